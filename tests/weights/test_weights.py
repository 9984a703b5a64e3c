import errno
import json
import pickle

import pytest
import tiny_training
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from manypose.io.safetensors import read_tensors
from manypose.methods.catalog import MODELS, build
from manypose.nn.device import choose_device
from manypose.poses.skeleton import COCO, CROWDPOSE, Skeleton
from manypose.weights import files


@pytest.fixture
def tiny():
    torch.manual_seed(1)
    method = tiny_training.Tiny(width=6)
    for buffer in method.buffers():
        buffer.add_(1)
    return method


@pytest.fixture
def file(tiny, tmp_path):
    return files.save(tiny, tmp_path / "a.safetensors", name="tiny", kwargs={"width": 6})


def same(a, b) -> bool:
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("source", ["path", "string", "name and weights"])
def test_what_is_saved_is_loaded(tiny, file, source):
    if source == "name and weights":
        loaded = files.load("tiny", weights=file, device="cpu")
    else:
        loaded = files.load(file if source == "path" else str(file), device="cpu")
    assert same(loaded, tiny)
    assert not loaded.training
    assert loaded.skeleton == COCO


def test_the_file_says_all_about_itself(tiny, tmp_path):
    skeleton = Skeleton.build("stick", ("top", "left_foot", "right_foot"), [("top", "left_foot")], (0.1, 0.2, 0.3))
    path = tmp_path / "new folder" / "stick.safetensors"
    files.save(tiny_training.Tiny(skeleton), path, name="tiny", kwargs={"pretrained": True}, note="on sticks", AP=0.5)
    about, state = read_tensors(path)
    assert about["skeleton"]["sigmas"] == [0.1, 0.2, 0.3]
    assert (about["model"], about["note"], about["AP"], about["kwargs"]) == ("tiny", "on sticks", 0.5, {})
    assert files.load(path).skeleton == skeleton
    assert len(state["head.1.bias"]) == 3


def test_half_precision_halves_the_file_and_keeps_vectors(tiny, tmp_path, file):
    half = files.save(tiny, tmp_path / "half.safetensors", name="tiny", kwargs={"width": 6}, dtype="float16")
    stored = load_file(half)
    assert stored["trunk.0.weight"].dtype == torch.float16
    assert stored["trunk.1.running_var"].dtype == torch.float32
    loaded = files.load(half, device="cpu").state_dict()
    for k, v in tiny.state_dict().items():
        assert loaded[k].dtype == v.dtype
        torch.testing.assert_close(loaded[k], v, rtol=1e-3, atol=1e-4)


def test_memory_layout_does_not_matter(tiny, tmp_path):
    path = files.save(tiny.to(memory_format=torch.channels_last), tmp_path / "a.safetensors", name="tiny", kwargs={"width": 6})
    assert same(files.load(path, device="cpu"), tiny)


def test_the_bundled_model_is_the_default(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BUNDLED", tmp_path)
    with pytest.raises(ValueError, match=rf"no weights for '{files.DEFAULT}'.*models with bundled weights: no model"):
        files.load()
    monkeypatch.setattr(files, "DEFAULT", "tiny")
    files.save(tiny, tmp_path / "tiny.safetensors", name="tiny", kwargs={"width": 6})
    assert same(files.load(device="cpu"), tiny)
    assert same(files.load("tiny", device="cpu"), tiny)


def test_random_weights_never_predict():
    with pytest.raises(
        ValueError, match=r"no weights for 'swahr-w48': give a file \(--weights FILE, or load\('swahr-w48', weights=FILE\)\)"
    ):
        files.load("swahr-w48")


WHOLE = sorted(p for p in files.BUNDLED.glob("*.safetensors") if p.stem in MODELS)  # the others are parts of models, tested with them


@pytest.mark.parametrize("path", WHOLE, ids=lambda p: p.stem)
def test_bundled_files_load_and_are_small(path):
    method = files.load(path.stem, device="cpu")
    assert isinstance(method, type(build(path.stem)))
    assert path.stat().st_size <= 30e6


# ── what can be wrong ──


def damaged(kind: str, file, tmp_path):
    path = tmp_path / "bad.safetensors"
    whole = file.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(whole[:-100])
    elif kind == "text":
        path.write_text("these are no weights, whatever the name says")
    elif kind == "bad header":
        path.write_bytes(whole[:40] + b"\xff" * 20 + whole[60:])
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"a": 1}))
    elif kind == "about is no JSON":
        save_file({"a": torch.zeros(1)}, path, {"manypose": "{"})
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["empty", "truncated", "text", "bad header", "pickle", "about is no JSON"])
def test_damaged_files_are_named(kind, file, tmp_path):
    with pytest.raises(ValueError, match=r"bad.safetensors: not a complete safetensors file") as caught:
        files.load(damaged(kind, file, tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "folder"])
@pytest.mark.parametrize("name", [None, "tiny"])
def test_missing_files_are_named(kind, name, file, tmp_path):
    path = damaged(kind, file, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"bad.safetensors: no such weights file"):
        files.load(path) if name is None else files.load(name, weights=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("head.1.bias"), r"1 missing \(head.1.bias\)"),
        (lambda s: s.update(extra=torch.zeros(1)), r"1 unexpected \(extra\)"),
        (lambda s: s.update({"head.1.bias": torch.zeros(9)}), r"1 other shapes \(head.1.bias: expected \(17,\), found \(9,\)\)"),
    ],
)
def test_tensors_that_do_not_fit_are_counted_and_named(change, message, file, tmp_path):
    about, state = read_tensors(file)
    change(state)
    path = tmp_path / "other.safetensors"
    save_file(state, path, {"manypose": json.dumps(about)})
    with pytest.raises(ValueError, match=message):
        files.load(path)


def test_a_file_of_another_model_or_skeleton_is_refused(file, tmp_path):
    with pytest.raises(ValueError, match="holds the model 'tiny', not 'swahr-w32'"):
        files.load("swahr-w32", weights=file)
    with pytest.raises(ValueError, match="holds the skeleton 'coco' of 17 joints, not 'crowdpose' of 14"):
        files.load(file, skeleton=CROWDPOSE)
    with pytest.raises(ValueError, match="holds the skeleton 'coco' of 17 joints, not 'crowdpose' of 14"):
        files.load(file, skeleton="crowdpose")
    about, state = read_tensors(file)
    for change, message in (({"model": "later"}, "'later', which is unknown to this version"), ({"skeleton": {"joints": ["a"]}}, "sigmas")):
        save_file(state, tmp_path / "b.safetensors", {"manypose": json.dumps({**about, **change})})
        with pytest.raises(ValueError, match=rf"b.safetensors: .*{message}"):
            files.load(tmp_path / "b.safetensors")


def test_foreign_safetensors_need_a_name(file, tmp_path):
    _, state = read_tensors(file)
    save_file(state, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="no model name; give it"):
        files.load(tmp_path / "foreign.safetensors")
    assert files.load("tiny", weights=tmp_path / "foreign.safetensors", width=6).skeleton == COCO


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "swhar-w32"}, r"no model and no file 'swhar-w32'; did you mean swahr-w32\? \(manypose models"),
        ({"weights": "x.safetensors"}, "need the name of their model"),
        ({"source": "hrnet.pth"}, "no such weights file"),
        ({"source": "swahr-w32", "device": "gpu"}, "no device 'gpu'; give auto, cpu, cuda"),
    ],
)
def test_calls_that_cannot_work_say_how_they_would(arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        files.load(**arguments)


def test_a_published_file_needs_a_name_and_runs_no_code(tmp_path):
    path, witness = tmp_path / "published.pth", tmp_path / "was run"

    class Evil:
        def __reduce__(self):
            return (open, (str(witness), "w"))

    torch.save({"state_dict": Evil()}, path)
    with pytest.raises(ValueError, match="no model name"):
        files.load(path)
    with pytest.raises(ValueError, match=r"published.pth: .*code"):
        files.load("swahr-w18-small", weights=path)
    assert not witness.exists()


def test_published_files_load_and_convert(tmp_path):
    net = build("swahr-w18-small").net
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, tmp_path / "published.pth")
    out = files.convert(tmp_path / "published.pth", "swahr-w18-small", tmp_path / "converted.safetensors")
    assert same(files.load(out, device="cpu").net, net)
    assert read_tensors(out)[0]["note"] == "converted from the published file published.pth"
    with pytest.raises(ValueError, match=r"published.pth: does not fit"):
        files.convert(tmp_path / "published.pth", "higherhrnet-w32", tmp_path / "no.safetensors")
    assert not (tmp_path / "no.safetensors").exists()


def test_starting_from_another_file_takes_what_fits(tiny, file, tmp_path):
    other = tiny_training.Tiny(CROWDPOSE, width=6)
    assert files.transfer(other, file, "tiny").endswith("a.safetensors: 9 of 11 tensors")
    assert torch.equal(other.trunk[0].weight, tiny.trunk[0].weight)
    with pytest.raises(ValueError, match="only 1 of the 11 tensors of tiny fit"):
        files.transfer(tiny_training.Tiny(CROWDPOSE, width=5), file, "tiny")


def test_published_trunks_start_other_joints(tmp_path):
    first, second = build("swahr-w18-small"), build("swahr-w18-small", skeleton=CROWDPOSE)
    torch.save(first.net.state_dict(), tmp_path / "published.pth")
    assert files.transfer(second, tmp_path / "published.pth", "swahr-w18-small").startswith("started from the backbone of")
    assert torch.equal(first.net.conv1.weight, second.net.conv1.weight)


@pytest.mark.parametrize("kind", ["library", "system"])
def test_a_full_disk_leaves_nothing_and_keeps_the_old(kind, tiny, file, tmp_path, monkeypatch):
    before = file.read_bytes()

    def full(state, path, metadata):
        path.write_bytes(b"half")
        if kind == "system":
            raise OSError(errno.ENOSPC, "No space left on device")
        raise SafetensorError("Error while serializing: No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match=r"No space left on device.*a.safetensors"):
        files.save(tiny, file, name="tiny")
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_weights_are_safetensors_of_known_models(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"weights files end in .safetensors"):
        files.save(tiny, tmp_path / "a.pth", name="tiny")
    with pytest.raises(ValueError, match="no model 'other'"):
        files.save(tiny, tmp_path / "a.safetensors", name="other")
    assert not list(tmp_path.iterdir())


def test_devices_that_are_not_there_are_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="device 'cuda' was asked for, but PyTorch sees 0 GPUs; use cpu or auto"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto") == torch.device("cuda")
    with pytest.raises(ValueError, match="device 'cuda:1' was asked for"):
        choose_device("cuda:1")


def test_every_named_model_can_be_saved(tmp_path):
    """What stands in the table of models is JSON, and a file built from it says the same."""
    for name, named in MODELS.items():
        assert json.loads(json.dumps(named.kwargs)) == named.kwargs, name
