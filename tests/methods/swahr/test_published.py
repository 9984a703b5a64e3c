import os
import pickle

import numpy as np
import pytest
import torch

from manypose.methods.catalog import build
from manypose.methods.swahr.published import PUBLISHED


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(1)
    return build("swahr-w18-small")


@pytest.fixture
def fresh():
    torch.manual_seed(2)
    return build("swahr-w18-small")


def wrapped(kind: str, state: dict) -> dict:
    prefixed = {f"module.{n}": t for n, t in state.items()}
    if kind == "checkpoint.pth.tar":  # as the authors' training writes it; the score is a numpy number
        rest = {
            "epoch": 300,
            "model": "pose_higher_hrnet",
            "perf": np.float64(0.689),
            "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3}]},
        }
        return {**rest, "state_dict": {n: t + 1 if t.is_floating_point() else t for n, t in prefixed.items()}, "best_state_dict": state}
    return {"bare": state, "module.": prefixed, "state_dict": {"state_dict": prefixed}}[kind]


@pytest.mark.parametrize("kind", ["bare", "module.", "state_dict", "checkpoint.pth.tar"])
@pytest.mark.parametrize("zipped", [True, False])
def test_published_wrappers(trained, fresh, tmp_path, kind, zipped):
    state, path = trained.net.state_dict(), tmp_path / "weights.pth"
    torch.save(wrapped(kind, state), path, _use_new_zipfile_serialization=zipped)
    PUBLISHED.fit(fresh, PUBLISHED.read(path), "weights.pth")
    assert all(torch.equal(a, b) for a, b in zip(state.values(), fresh.net.state_dict().values(), strict=True))


def test_files_of_early_pytorch_lack_the_batch_counters(trained, fresh):
    PUBLISHED.fit(fresh, {n: t for n, t in trained.net.state_dict().items() if not n.endswith("num_batches_tracked")})
    assert torch.equal(fresh.net.conv1.weight, trained.net.conv1.weight)


class Code:
    """Does something when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def bad_files(folder, state):
    torch.save(state, folder / "whole.pth")
    whole = (folder / "whole.pth").read_bytes()
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    old = (folder / "old.pth").read_bytes()
    (folder / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (folder / "old_cut.pth").write_bytes(old[: len(old) // 2])
    (folder / "empty.pth").write_bytes(b"")
    (folder / "page.pth").write_text("<html>404 not found</html>")
    (folder / "picture.pth").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    torch.save([1, 2, 3], folder / "list.pth")
    torch.save({"epoch": 3}, folder / "no_weights.pth")
    torch.save({"state_dict": Code(str(folder / "ran"))}, folder / "code.pth")
    (folder / "pickle.pth").write_bytes(pickle.dumps(Code(str(folder / "ran")), protocol=2))


BAD = {
    "cut": "truncated",
    "old_cut": "truncated",
    "empty": "truncated",
    "page": "not a PyTorch checkpoint",
    "picture": "not a PyTorch checkpoint",
    "list": "holds no named tensors",
    "no_weights": "holds no named tensors",
    "code": r"refused: .*code.*mkdir",
    "pickle": "refused|not a PyTorch",
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory, trained):
    folder = tmp_path_factory.mktemp("bad")
    bad_files(folder, trained.net.state_dict())
    return folder


@pytest.mark.parametrize("name", BAD)
def test_bad_files_give_one_clear_line(bad, name, recwarn):
    with pytest.raises(ValueError, match=BAD[name]) as error:
        PUBLISHED.read(bad / f"{name}.pth")
    assert str(error.value).startswith(str(bad / f"{name}.pth"))
    assert "\n" not in str(error.value)
    assert not (bad / "ran").exists()
    assert not recwarn.list


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth: no such weights file"):
        PUBLISHED.read(tmp_path / "nothing.pth")


@pytest.mark.parametrize(
    ("name", "skeleton", "looks"),
    [("higherhrnet-w48", "crowdpose", "higherhrnet-w48, 14 joints"), ("swahr-w32", "coco", "swahr-w32, 17 joints")],
)
def test_wrong_networks_are_told_with_the_right_name(fresh, name, skeleton, looks):
    with torch.device("meta"):
        state = build(name, skeleton=skeleton).net.state_dict()
    before = {n: t.clone() for n, t in fresh.net.state_dict().items()}
    with pytest.raises(
        ValueError, match=f"^x.pth: does not fit swahr-w18-small, 17 joints: .*unexpected.*this looks like {looks}$"
    ) as error:
        PUBLISHED.fit(fresh, state, "x.pth")
    assert "expected (16," in str(error.value) or "expected (32," in str(error.value)
    assert all(torch.equal(before[n], t) for n, t in fresh.net.state_dict().items())


def test_wrong_number_of_joints_is_told(fresh):
    with torch.device("meta"):
        state = build("swahr-w18-small", skeleton="crowdpose").net.state_dict()
    with pytest.raises(ValueError, match=r"expected \(34, 16, 1, 1\), found \(28, 16, 1, 1\)"):
        PUBLISHED.fit(fresh, state)


def test_trunk_alone(trained, fresh):
    """An ImageNet file has the trunk, the exchange units that we drop, and a classifier; our heads stay as they were."""
    heads = {n: t.clone() for n, t in fresh.net.state_dict().items() if "final" in n or "deconv" in n or "scale" in n}
    state = {n: t for n, t in trained.net.state_dict().items() if n not in heads}
    more = {"classifier.weight": torch.zeros(1000, 2048), "stage4.2.fuse_layers.1.0.0.0.weight": torch.zeros(3)}
    with pytest.raises(ValueError, match="missing"):
        PUBLISHED.fit(fresh, {**state, **more})
    PUBLISHED.fit(fresh, {**state, **more}, trunk=True)
    now = fresh.net.state_dict()
    assert all(torch.equal(now[n], t) for n, t in (state | heads).items())
    with pytest.raises(ValueError, match=r"conv1\.weight"):
        PUBLISHED.fit(fresh, {"conv1.weight": torch.zeros(1)}, trunk=True)


def test_other_checkpoints_are_recognised():
    width = {"stage4.0.branches.0.0.conv1.weight": torch.empty(48, 48, 3, 3)}
    assert PUBLISHED.describe({**width, "final_layer.weight": torch.empty(17, 48, 1, 1)}) == "a top-down hrnet-w48, 17 joints"
    assert PUBLISHED.describe(width) == "an HRNet-w48 trunk without pose layers"
    assert PUBLISHED.describe({"top.conv.conv.weight": torch.empty(64, 3, 7, 7)}) == "mspn"
    assert PUBLISHED.describe({"a": torch.empty(1)}) == "no model of this family"
