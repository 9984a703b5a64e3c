"""Every reader of files from strangers raises its documented errors and nothing else, whatever is in the file.

``make fuzz`` searches for five minutes a reader (``MANYPOSE_FUZZ_SECONDS``); otherwise each is tried with a few examples. What was found
once lies in ``found/READER/`` and is tried in every run. What fell now lies in ``build/fuzz``: ``failing.*``, or ``spoiled.*`` where the
program itself ended.
"""

import io
import json
import os
import time
import warnings
from collections.abc import Callable
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from coco_file import annotations
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save
from scipy.io import savemat
from spoiled import spoil, spoiled_bytes
from tiny_training import Tiny
from whole_files import CONFIG, MPII, archive, hdf5, photo, results, video

from manypose.cli.config import UsageError, read_config
from manypose.data.datasets.coco import annotated_people, read_coco
from manypose.data.datasets.custom import describe
from manypose.data.datasets.lspet import read_lspet
from manypose.data.datasets.mpii_files import read_mpii
from manypose.data.photos import read_rgb
from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.io import photos, videos
from manypose.io.safetensors import read_tensors
from manypose.nn.checkpoint_files import read_checkpoint
from manypose.poses.boxes import read_boxes
from manypose.poses.skeleton import COCO, Skeleton
from manypose.weights import files as weights

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untyped")]

SECONDS = float(os.environ.get("MANYPOSE_FUZZ_SECONDS", "0"))
FOUND = Path(__file__).with_name("found")
LIMIT = 4_000_000
"""Pixels: a photo or frame whose spoiled header claims more is refused, as ever; it only takes less time here."""

Maker = Callable[[st.DataObject], bytes]


def as_bytes(whole: Callable[[], bytes]) -> Maker:
    return lambda data: spoiled_bytes(data, whole())


def as_json(content: Any) -> Maker:
    """A JSON value with a part spoiled, or spoiled as text."""

    def make(data: st.DataObject) -> bytes:
        if data.draw(st.integers(0, 3)):
            return json.dumps(spoil(data, content)).encode()
        return spoiled_bytes(data, json.dumps(content).encode())

    return make


def as_yaml(text: str) -> Maker:
    def make(data: st.DataObject) -> bytes:
        if data.draw(st.booleans()):
            return spoiled_bytes(data, text.encode())
        try:
            return yaml.safe_dump(spoil(data, yaml.safe_load(text)), allow_unicode=True).encode()
        except (UnicodeEncodeError, yaml.YAMLError):
            return b""

    return make


@cache
def saved(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(photo()[:48, :64]).save(out, kind)
    return out.getvalue()


def as_photo(data: st.DataObject) -> bytes:
    return spoiled_bytes(data, saved(data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000"]))))


@cache
def made_video(suffix: str) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        video(path, 4)
        return path.read_bytes()


def as_video(data: st.DataObject) -> bytes:
    return spoiled_bytes(data, made_video(data.draw(st.sampled_from([".mp4", ".mkv", ".avi"]))))


@cache
def weights_file() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    return Tiny().state_dict(), {"model": "tiny", "kwargs": {"width": 4}, "skeleton": COCO.to_mapping(), "note": ""}


def as_weights(data: st.DataObject) -> bytes:
    state, about = weights_file()
    if data.draw(st.booleans()):
        return spoiled_bytes(data, save(state, {"manypose": json.dumps(about)}))
    return save(state, {"manypose": json.dumps(spoil(data, about))})


@cache
def checkpoint(legacy: bool) -> bytes:
    out = io.BytesIO()
    torch.save({"state_dict": Tiny().state_dict(), "best": np.float64(3)}, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


ARRAYS = st.sampled_from(
    [np.zeros(0), np.zeros((2, 2)), np.array("text"), np.array(3), np.array([np.nan]), np.array([2**62]), np.ones(3, bool)]
)


def as_archive(data: st.DataObject) -> bytes:
    if data.draw(st.booleans()):
        return spoiled_bytes(data, archive())
    key = data.draw(st.sampled_from(["image_id", "keypoints", "bbox", "area", "area_true", "img_id", "img_wh"]))
    return archive(**{key: data.draw(ARRAYS)})


RECT = {"annopoints": {"point": [{"id": i, "x": 5.0, "y": 6.0, "is_visible": 1} for i in range(16)]}, "objpos": {"x": 5.0, "y": 5.0},
        "scale": 1.0, "x1": 1.0, "y1": 1.0, "x2": 9.0, "y2": 9.0}  # fmt: skip
RELEASE = {"annolist": [{"image": {"name": "a.jpg"}, "annorect": [RECT, RECT]}] * 2, "img_train": [1, 1], "single_person": [[1], [1, 2]]}


@cache
def mat(content: str) -> bytes:
    out = io.BytesIO()
    savemat(out, json.loads(content))
    return out.getvalue()


def as_mat(data: st.DataObject) -> bytes:
    whole = {"RELEASE": RELEASE, "joints": np.ones((14, 3, 2)).tolist()}
    if data.draw(st.booleans()):
        return spoiled_bytes(data, mat(json.dumps(whole)))
    try:
        return mat(json.dumps(spoil(data, whole)))
    except Exception:  # SciPy cannot write it: then nobody can give such a file
        return b""


def as_h5(data: st.DataObject) -> bytes:
    if data.draw(st.booleans()):
        return spoiled_bytes(data, hdf5())
    return hdf5(**{data.draw(st.sampled_from(sorted(MPII))): data.draw(ODD_SETS)})


def as_mat_of_hdf5(data: st.DataObject) -> bytes:
    """A .mat of version 7.3: HDF5 behind MATLAB's header."""
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\x02IM"
    return spoiled_bytes(data, header.ljust(512, b"\0") + hdf5()) if data.draw(st.booleans()) else header.ljust(512, b"\0") + hdf5()


ODD_SETS = ARRAYS.map(lambda a: a.astype("S8") if a.dtype.kind == "U" else a) | st.sampled_from(
    [np.array([b"x", b"y"]), np.full((2, 16, 2), np.nan), np.array([np.inf, -np.inf]), np.full((2, 9), 2**40), np.full((2, 9), -1.5),
     np.zeros((2, 16, 2), complex), np.zeros((0, 16, 2))]
)  # fmt: skip

TRUTH = read_truth(annotations())
READERS: dict[str, tuple[Maker, str, Callable[[Path], Any], tuple[type[Exception], ...]]] = {
    "coco_strict": (as_json(annotations()), ".json", read_truth, (ValueError,)),
    "coco_lenient": (as_json(annotations()), ".json", lambda path: read_coco(path.parent, path, COCO), (ValueError,)),
    "coco_people": (as_json(annotations()), ".json", lambda path: list(annotated_people(path)), (ValueError,)),
    "boxes": (as_json({"a.png": [[1, 2, 3, 4], [1, 2, 3, 4, 0.5]]}), ".json", read_boxes, (ValueError,)),
    "detections": (as_json(results(bbox=[1, 2, 3, 4])), ".json", read_boxes, (ValueError,)),
    "results": (as_json(results(bbox=[1, 2, 3, 4])), ".json", lambda path: read_results(path, TRUTH), (ValueError,)),
    "mpii": (as_mat, ".mat", read_mpii, (ValueError,)),
    "lspet": (as_mat, ".mat", lambda path: read_lspet(path.parent, path), (ValueError,)),
    "mat_7_3": (as_mat_of_hdf5, ".mat", read_mpii, (ValueError,)),
    "hdf5": (as_h5, ".h5", read_mpii, (ValueError,)),
    "archive": (as_archive, ".npz", lambda path: list(annotated_people(path)), (ValueError,)),
    "safetensors": (as_weights, ".safetensors", read_tensors, (ValueError,)),
    "weights": (as_weights, ".safetensors", lambda path: weights.load(path, device="cpu"), (ValueError,)),
    "checkpoint": (as_bytes(lambda: checkpoint(False)), ".pth", lambda path: read_checkpoint(path, ("state_dict",)), (ValueError,)),
    "old_checkpoint": (as_bytes(lambda: checkpoint(True)), ".pth", lambda path: read_checkpoint(path, ("state_dict",)), (ValueError,)),
    "config": (as_yaml(CONFIG.format(at="/a", good="/b")), ".yaml", read_config, (ValueError, UsageError)),
    "skeleton": (as_yaml(yaml.safe_dump(COCO.to_mapping())), ".yaml", Skeleton.from_yaml, (ValueError,)),
    "data_set": (as_yaml("images: .\nannotations: a.json\nskeleton: coco\n"), ".yaml", describe, (ValueError, FileNotFoundError)),
    "photo": (as_photo, ".jpg", lambda path: photos.read(path, LIMIT), (ValueError,)),
    "annotated_photo": (as_photo, ".jpg", read_rgb, (ValueError,)),
    "video": (as_video, ".mp4", lambda path: list(islice(videos.read(path, LIMIT), 30)), (ValueError,)),
}


def attempt(name: str, path: Path) -> None:
    """Read a file; any or no documented error is right."""
    _, _, read, documented = READERS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read(path)
        except documented as e:
            assert str(e), "an error says something"  # noqa: PT017


@pytest.mark.parametrize("name", READERS)
def test_readers_raise_their_documented_errors_alone(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make, suffix, _, _ = READERS[name]
    monkeypatch.setenv("MANYPOSE_MAX_PIXELS", str(LIMIT))
    (tmp_path / "a.json").write_text(json.dumps(annotations()))
    Image.fromarray(photo()).save(tmp_path / "a.png")

    until = time.monotonic() + SECONDS
    for number in count():
        options: dict[str, Any] = {"derandomize": True, "max_examples": 15} if not SECONDS else {"derandomize": False, "max_examples": 300}

        @settings(**options, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(data=st.data())
        def search(data: st.DataObject) -> None:
            path = tmp_path / f"spoiled{suffix}"
            path.write_bytes(make(data))
            try:
                attempt(name, path)
            except Exception:  # kept, to be added to `found`
                (tmp_path / f"failing{suffix}").write_bytes(path.read_bytes())
                raise

        (seed(time.time_ns())(search) if SECONDS else search)()
        if time.monotonic() >= until:
            return
        assert number < 10**6


@pytest.mark.parametrize("path", sorted(p for p in FOUND.glob("*/*") if p.is_file()), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_inputs_that_were_found_once(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MANYPOSE_MAX_PIXELS", str(LIMIT))
    attempt(path.parent.name, path)
