"""Checkpoints as the authors publish them: found, checked, refused with one line."""

import pickle

import pytest
import torch

import manypose
from manypose.methods.catalog import MODELS, ModelSpec
from manypose.methods.simple_pose import SimplePose
from manypose.methods.simple_pose.published import PUBLISHED

TINY = {"c": 16, "n": 16, "stages": 2, "size": 128}


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(1)
    return SimplePose(**TINY)


@pytest.fixture
def fresh():
    torch.manual_seed(2)
    return SimplePose(**TINY)


def published(net: SimplePose) -> dict:
    return {f"posenet.{n}": t for n, t in net.net.state_dict().items()}


@pytest.mark.parametrize("kind", ["weights", "bare", "state_dict", "module", "without prefix"])
def test_wrappers(trained, fresh, tmp_path, kind):
    state, path = published(trained), tmp_path / "epoch_52.pth"
    content = {
        "weights": {"weights": state, "optimizer_weight": {"state": {}, "param_groups": [{"lr": 1e-4}]}, "train_loss": 1.5, "epoch": 52},
        "bare": state,
        "state_dict": {"state_dict": state},
        "module": {"weights": {f"module.{n}": t for n, t in state.items()}},
        "without prefix": trained.net.state_dict(),
    }[kind]
    torch.save(content, path)
    PUBLISHED.fit(fresh, PUBLISHED.read(path), str(path))
    assert all(torch.equal(a, b) for a, b in zip(trained.net.state_dict().values(), fresh.net.state_dict().values(), strict=True))


@pytest.mark.slow
def test_by_name_and_converted(trained, tmp_path, monkeypatch):
    """`manypose.load` and ``manypose convert`` find this room's checkpoints."""
    from manypose.weights.files import convert, load

    monkeypatch.setitem(MODELS, "imhn-tiny", ModelSpec("manypose.methods.simple_pose:SimplePose", TINY, "for tests"))
    path = tmp_path / "epoch_52.pth"
    torch.save({"weights": published(trained)}, path)
    file = convert(path, "imhn-tiny", tmp_path / "tiny.safetensors")
    method = load(file, device="cpu")
    for name, tensor in trained.net.state_dict().items():
        assert torch.equal(method.net.state_dict()[name], tensor)
    model = manypose.load(str(file), device="cpu")
    assert model is not None


class Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_bad_files_give_one_clear_line(trained, tmp_path):
    torch.save({"weights": published(trained)}, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.pth").write_text("<html>404</html>")
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    torch.save({"weights": Code(str(tmp_path / "ran"))}, tmp_path / "code.pth")
    (tmp_path / "pickle.pth").write_bytes(pickle.dumps(Code(str(tmp_path / "ran")), protocol=2))
    for name in ("cut", "page", "none", "code", "pickle"):
        with pytest.raises(ValueError, match=rf"{name}\.pth: (not a|refused)") as error:
            PUBLISHED.read(tmp_path / f"{name}.pth")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(FileNotFoundError, match=r"gone\.pth: no such weights file"):
        PUBLISHED.read(tmp_path / "gone.pth")


OTHERS = [
    ({"stages": 3}, "imhn-3, wiring 'released', 50 maps"),
    ({"wiring": "paper"}, "imhn-2, wiring 'paper', 50 maps"),
    ({"wiring": "paper_wide"}, "imhn-2, wiring 'paper_wide', 50 maps"),
    ({"wiring": "hourglass"}, "imhn-2, wiring 'hourglass', 50 maps"),
    ({"redundant": False}, "imhn-2, wiring 'released', 37 maps"),
]


@pytest.mark.parametrize(("choice", "looks"), OTHERS, ids=lambda c: str(c))
def test_another_network_is_told_by_name(fresh, choice, looks):
    before = {n: t.clone() for n, t in fresh.net.state_dict().items()}
    with pytest.raises(ValueError, match=r"^x\.pth: does not fit imhn-2, wiring 'released', 50 maps: .*") as error:
        PUBLISHED.fit(fresh, SimplePose(**{**TINY, **choice}).net.state_dict(), "x.pth")
    assert str(error.value).endswith(f"this looks like {looks}")
    assert all(torch.equal(before[n], t) for n, t in fresh.net.state_dict().items())


def test_foreign_files_are_told():
    assert PUBLISHED.describe({"conv1.weight": torch.zeros(1)}) == "no model of this family"


def test_all_but_the_heads(trained):
    """For other joints the layers that heat maps go through stay as they are."""
    other = SimplePose(**TINY, skeleton="crowdpose")
    heads = {n: t.clone() for n, t in other.net.state_dict().items() if n.startswith(("outs.", "merge_preds."))}
    with pytest.raises(ValueError, match="other shapes"):
        PUBLISHED.fit(other, trained.net.state_dict())
    PUBLISHED.fit(other, trained.net.state_dict(), trunk=True)
    now = other.net.state_dict()
    assert all(torch.equal(now[n], t) for n, t in heads.items())
    assert torch.equal(now["pre.conv1.weight"], trained.net.state_dict()["pre.conv1.weight"])
    with pytest.raises(ValueError, match="missing"):
        PUBLISHED.fit(other, {"pre.conv1.weight": torch.zeros(4, 3, 7, 7)}, trunk=True)
