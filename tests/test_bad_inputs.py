"""Bad input, one kind after the other, through the command line: one clear line, an exit code that is not 0, nothing half-written."""

import gzip
import json
import os
import pickle
import resource
import struct
import sys
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tiny_training
import torch
from coco_file import annotations, person
from dots import FLY, Dots, photo_of
from PIL import Image
from safetensors.torch import save_file

from manypose.cli import __main__ as cli
from manypose.io import photos as media
from manypose.io.files import write_json
from manypose.io.safetensors import read_tensors
from manypose.methods.catalog import MODELS, ModelSpec
from manypose.poses.skeleton import COCO, CROWDPOSE
from manypose.weights import files as weights

pytestmark = pytest.mark.usefixtures("untyped")


class Fly(Dots):
    """A method that needs no training, as a file of weights."""

    def __init__(self, skeleton=FLY):
        super().__init__()
        assert skeleton.joints == FLY.joints


MODELS["fly"] = ModelSpec(f"{__name__}:Fly", {}, "for tests")


@pytest.fixture(scope="module")
def fly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights.save(Fly(), tmp_path_factory.mktemp("fly") / "fly.safetensors", name="fly")


@pytest.fixture
def good() -> np.ndarray:
    return photo_of((120, 160), np.array([[40.0, 30], [100, 30], [70, 90]]))


class Run:
    """What a command line did."""

    def __init__(self, capsys: pytest.CaptureFixture, *line: object):
        self.code = cli.main([str(word) for word in line])
        self.out, self.err = capsys.readouterr()


@pytest.fixture
def run(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.delenv("MANYPOSE_DEBUG", raising=False)
    return lambda *line: Run(capsys, *line)


def refused(done: Run, *says: str, code: int | None = None) -> None:
    """One clear line and no success."""
    assert done.code not in (0, None)
    assert code is None or done.code == code
    lines = done.err.strip().splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("manypose: error: ")
    assert "Traceback" not in done.err
    assert "defect of manypose" not in done.err
    for word in says:
        assert word in lines[0], lines[0]


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) if folder.exists() else []


# ── photos ──


def png(w: int, h: int, data: bytes) -> bytes:
    """A PNG file of any claimed size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def jpeg(photo: np.ndarray, path: Path) -> bytes:
    Image.fromarray(photo).save(path, "JPEG")
    return path.read_bytes()


PHOTOS: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "empty": ("a.jpg", lambda good: b"", "an empty file"),
    "truncated": ("a.jpg", lambda good: good[: len(good) // 2], "a damaged photo"),
    "cut in its header": ("a.jpg", lambda good: good[:20], "a.jpg"),
    "half of a PNG's pixels": ("a.png", lambda good: png(300, 300, bytes(1000)), "a damaged photo"),
    "huge": ("a.png", lambda good: png(60_000, 60_000, b""), "3600 megapixels, more than the limit"),
    "text named as a photo": ("a.jpg", lambda good: b"dear diary\n" * 100, "not a photo"),
    "a text file": ("notes.txt", lambda good: b"dear diary\n" * 100, "not a photo"),
    "compressed": ("a.jpg", gzip.compress, "not a photo"),
    "a video named as a photo": ("a.jpg", lambda good: b"\0\0\0\x18ftypmp42" + bytes(400), "a.jpg"),
    "a video that is none": ("a.mp4", lambda good: b"dear diary\n" * 100, "a.mp4"),
}


@pytest.mark.parametrize("kind", PHOTOS)
def test_a_bad_photo(kind: str, run: Callable[..., Run], fly: Path, good: np.ndarray, tmp_path: Path):
    name, spoil, says = PHOTOS[kind]
    (tmp_path / name).write_bytes(spoil(jpeg(good, tmp_path / "good")))
    done = run("predict", tmp_path / name, "--model", fly, "--out", tmp_path / "out")
    refused(done, str(tmp_path / name), says, code=1)
    assert files(tmp_path / "out") == ["failed.json"]


def test_a_bad_photo_among_good_ones(run: Callable[..., Run], fly: Path, good: np.ndarray, tmp_path: Path):
    """The others are looked at; the bad one is named, and the exit code tells."""
    folder = tmp_path / "photos"
    media.write(folder / "1.png", good)
    media.write(folder / "3.png", good)
    (folder / "2.png").write_bytes((folder / "1.png").read_bytes()[:200])
    done = run("predict", folder, "--model", fly, "--out", tmp_path / "out")
    refused(done, "2.png: a damaged photo", code=1)
    resuming = [".poses.jsonl", ".progress.jsonl"]  # the same command then tries the bad photo again
    assert files(tmp_path / "out") == [*resuming, "1_poses.jpg", "3_poses.jpg", "coco.json", "failed.json"]
    assert {row["image_id"] for row in json.loads((tmp_path / "out/coco.json").read_text())} == {1, 3}


@pytest.mark.parametrize("kind", ["wrong extension", "animated", "grey with alpha"])
def test_odd_photos_that_work(kind: str, run: Callable[..., Run], fly: Path, good: np.ndarray, tmp_path: Path):
    picture = Image.fromarray(good)
    path = tmp_path / {"wrong extension": "a.jpg", "animated": "a.gif", "grey with alpha": "a.png"}[kind]
    if kind == "animated":
        picture.save(path, save_all=True, append_images=[picture.rotate(90), picture.rotate(180)])
    else:
        (picture if kind == "wrong extension" else picture.convert("LA")).save(path, "PNG")
    done = run("predict", path, "--model", fly, "--out", tmp_path / "out")
    assert done.code == 0
    assert ("first of 3 frames" in done.err) == (kind == "animated")
    people = json.loads((tmp_path / "out/coco.json").read_text())
    if kind != "grey with alpha":  # grey dots are nobody
        np.testing.assert_allclose(np.reshape(people[0]["keypoints"], (3, 3))[:, :2], [[40, 30], [100, 30], [70, 90]], atol=2)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.jpg", "no such file"),
        ("empty", "no photos or videos in this folder (other files: 0)"),
        ("texts", "no photos or videos in this folder (other files: 1)"),
        ("*.jpg", "no photo or video matches"),
        ("texts/*", "no photo or video matches (other files that match: 1)"),
        ("link.jpg", "no such file"),
        ("pipe.jpg", "not a regular file"),
        ("nul\0.jpg", "no such file"),
        ("http://localhost/a.jpg", "cannot be downloaded"),
    ],
)
def test_a_bad_source(name: str, says: str, run: Callable[..., Run], fly: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("dear diary")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    source = name if "://" in name else f"{tmp_path}/{name}"
    refused(run("predict", source, "--model", fly, "--out", tmp_path / "out"), says, code=1)
    assert files(tmp_path / "out") == (["failed.json"] if name == "pipe.jpg" else [])


def test_a_folder_that_may_not_be_read(run: Callable[..., Run], fly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By permissions; where the tests run as root, who may read anything, the system call is made to fail."""
    secret = tmp_path / "secret"
    secret.mkdir(mode=0)
    if os.geteuid() == 0:

        def forbidden(self: Path):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "iterdir", forbidden)
    refused(run("predict", secret, "--model", fly, "--out", tmp_path / "out"), str(secret), "Permission denied", code=1)


# ── options ──


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        ("--flipp", "--flipp; did you mean --flip?", 2),
        ("--scales 0.5,big", "--scales: expected a number, got big", 2),
        ("--scales 0,1", "scales must be different numbers from 0.05 to 20", 1),
        ("--scales=-1", "scales must be different numbers", 1),
        ("--scales nan", "--scales: expected a number, got nan", 2),
        ("--scales ,", "--scales", 2),
        ("--size 3", "size must be 16 to 10,000", 1),
        ("--batch-size 0", "batch_size must be a whole number from 1 on", 1),
        ("--threshold nan", "--threshold: expected a number, got nan", 2),
        ("--format xml", "--format: expected one of coco, openpose, csv, jsonl, got xml", 2),
        ("--device gpu", "no device 'gpu'; give auto, cpu, cuda, cuda:N, xpu or mps", 1),
        ("--device cuda:99", "PyTorch sees", 1),
    ],
)
def test_a_bad_option(options: str, says: str, code: int, run: Callable[..., Run], fly: Path, good: np.ndarray, tmp_path: Path):
    photo = media.write(tmp_path / "a.png", good)
    refused(run("predict", photo, "--model", fly, "--out", tmp_path / "out", *options.split()), says, code=code)
    assert files(tmp_path / "out") == []


@pytest.mark.parametrize(
    "line", ["predict {photo} --model {fly} --out {out}", "evaluate --model {fly} --images {out} --annotations x.json"]
)
def test_no_gpu_though_asked(
    line: str, run: Callable[..., Run], fly: Path, good: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    photo = media.write(tmp_path / "a.png", good)
    words = line.format(photo=photo, fly=fly, out=tmp_path / "out").split()
    refused(run(*words, "--device", "cuda"), "'cuda' was asked for, but PyTorch sees 0 GPUs; use cpu or auto", code=1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ('{"a.png": [10, 10, 50, 20]}', "not a boxes file"),
        ('[{"image_id": 1, "bbox": [1, 2, 3]}]', "not a boxes file"),
        ('[{"image_id": 1, "bbox": [1, null, 3, 4]}]', "not a boxes file"),
        ("[1, 2]", "not a boxes file"),
        ("3", "not a boxes file"),
        ('{"a.png": [[10, 10, 20]]}', "not a boxes file"),
        ('[{"image_id": 1, "bbox": ["a", 2, 3, 4]}]', "not a boxes file"),
        ('{"other.png": [[0, 0, 10, 10]]}', "has boxes for none of the given photos"),
        ('{"a.png": [[0, 0, 10, 10]]}', "takes no boxes"),
        (None, "no such boxes file"),
    ],
)
def test_bad_boxes(content: str | None, says: str, run: Callable[..., Run], fly: Path, good: np.ndarray, tmp_path: Path):
    photo, boxes = media.write(tmp_path / "a.png", good), tmp_path / "boxes.json"
    if content is not None:
        boxes.write_text(content)
    refused(run("predict", photo, "--model", fly, "--out", tmp_path / "out", "--boxes", boxes), says, code=1)
    assert files(tmp_path / "out") == []


# ── places to write ──


def test_the_output_folder_is_a_file(run: Callable[..., Run], fly: Path, good: np.ndarray, tmp_path: Path):
    photo, out = media.write(tmp_path / "a.png", good), tmp_path / "out"
    out.write_text("mine")
    refused(run("predict", photo, "--model", fly, "--out", out), str(out), code=1)
    assert out.read_text() == "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that nobody may write, such as /proc")
def test_a_folder_that_may_not_be_written(run: Callable[..., Run], fly: Path, good: np.ndarray, tmp_path: Path):
    photo = media.write(tmp_path / "a.png", good)
    refused(run("predict", photo, "--model", fly, "--out", "/proc/out"), "/proc/out", code=1)


@contextmanager
def full_disk():
    """No file may grow beyond 4 kB: the write fails in the system, as on a full disk, only with another number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_while_predicting(run: Callable[..., Run], fly: Path, tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    photo = media.write(tmp_path / "a.png", noise)
    with full_disk():
        done = run("predict", photo, "--model", fly, "--out", tmp_path / "out")
    refused(done, "a_poses.jpg: cannot be written: File too large", code=1)
    assert files(tmp_path / "out") == []


def test_a_full_disk_while_converting(run: Callable[..., Run], tmp_path: Path, published: Path):
    with full_disk():
        done = run("convert", published, "--model", "swahr-w18-small", "--out", tmp_path / "new" / "a.safetensors")
    refused(done, "a.safetensors: cannot be written", code=1)
    assert files(tmp_path / "new") == []


def test_a_full_disk_while_evaluating(run: Callable[..., Run], dataset: Path):
    done = run("evaluate", "--annotations", dataset / "a.json", "--results", dataset / "r.json", "--json", "/dev/full")
    refused(done, "/dev/full: cannot be written: No space left on device", code=1)
    assert Path("/dev/full").is_char_device()


# ── weights ──


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as the authors publish theirs: a pickled state dict."""
    from manypose.methods.catalog import build

    path = tmp_path_factory.mktemp("published") / "model.pth"
    torch.save({f"module.{k}": v for k, v in build("swahr-w18-small").net.state_dict().items()}, path)  # type: ignore[attr-defined]
    return path


class Evil:
    """A pickle that would run code."""

    def __reduce__(self):
        return os.system, ("touch was-here",)


def truncated(path: Path, source: Path) -> Path:
    path.write_bytes(source.read_bytes()[:-100])
    return path


WEIGHTS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "missing": (lambda at, fly: at / "gone.safetensors", "no such weights file"),
    "unknown name": (lambda at, fly: Path("swahr-w33"), "no model and no file 'swahr-w33'; did you mean swahr-w32? (manypose models"),
    "no weights": (lambda at, fly: Path("swahr-w48"), "no weights for 'swahr-w48'"),
    "truncated": (lambda at, fly: truncated(at / "a.safetensors", fly), "not a complete safetensors file"),
    "text": (lambda at, fly: _text(at / "a.safetensors"), "not a complete safetensors file"),
    "a folder": (lambda at, fly: _folder(at / "a.safetensors"), "no such weights file"),
    "of something else": (lambda at, fly: _save(at / "a.safetensors", {"x": torch.zeros(3)}), "no model name"),
    "of an unknown model": (lambda at, fly: _save(at / "a.safetensors", {"x": torch.zeros(3)}, model="yolo"), "holds the model 'yolo'"),
    "with missing tensors": (lambda at, fly: _save(at / "a.safetensors", {"x": torch.zeros(3)}, model="fly"), "does not fit the model"),
    "of another shape": (
        lambda at, fly: _save(at / "a.safetensors", {"weight": torch.zeros(3)}, model="fly"),
        "weight: expected (1,), found (3,)",
    ),
}


def _text(path: Path) -> Path:
    path.write_text("dear diary")
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _save(path: Path, tensors: dict[str, torch.Tensor], **about: str) -> Path:
    save_file(tensors, path, {"format": "pt", **({"manypose": json.dumps(about)} if about else {})})
    return path


@pytest.mark.parametrize("kind", WEIGHTS)
def test_bad_weights(kind: str, run: Callable[..., Run], fly: Path, good: np.ndarray, tmp_path: Path):
    make, says = WEIGHTS[kind]
    photo = media.write(tmp_path / "a.png", good)
    refused(run("predict", photo, "--model", make(tmp_path, fly), "--out", tmp_path / "out"), says, code=1)
    assert files(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (pickle.dumps(Evil()), "model.pth"),
        (b"dear diary", "model.pth"),
        (b"", "model.pth"),
        ({"weights": [1, 2]}, "model.pth"),
        ({"conv1.weight": torch.zeros(3)}, "model.pth"),
        (None, "no such weights file"),
    ],
    ids=["code", "text", "empty", "no tensors", "another network", "missing"],
)
def test_bad_checkpoints(content: object, says: str, run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    refused(run("convert", path, "--model", "swahr-w18-small", "--out", tmp_path / "a.safetensors"), says, code=1)
    assert files(tmp_path) == ([] if content is None else ["model.pth"])  # no code ran, nothing was written


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "swahr-w33", "--out", "a.safetensors"], "no model"),
        (["--model", "swahr-w32", "--out", "a.safetensors"], "this looks like swahr-w18-small, 17 joints"),
        (["--model", "swahr-w18-small", "--out", "a.pth"], "weights files end in .safetensors"),
        (["--model", "swahr-w18-small", "--out", "a.safetensors", "--skeleton", "mpii"], "this looks like swahr-w18-small, 17 joints"),
        (["--model", "swahr-w18-small", "--out", "a.safetensors", "--skeleton", "cocoo"], "no skeleton 'cocoo'"),
        (["--model", "swahr-w18-small", "--out", "a.safetensors", "--skeleton", "dog.yaml"], "dog.yaml: a skeleton must give sigmas"),
        (["--model", "swahr-w18-small"], "missing: --out"),
    ],
)
def test_bad_conversions(
    words: list[str], says: str, run: Callable[..., Run], published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("dog.yaml").write_text("joints: [nose, tail]\nlimbs: [[nose, tail]]\n")
    refused(run("convert", published, *words), says)
    assert files(tmp_path) == ["dog.yaml"]


# ── data sets and results ──


@pytest.fixture
def dataset(tmp_path: Path, good: np.ndarray) -> Path:
    """A folder with a photo, its annotations and results."""
    folder = tmp_path / "data"
    media.write(folder / "a.png", good)
    write_json(folder / "a.json", annotations())
    write_json(folder / "r.json", [{"image_id": 1, "category_id": 1, "keypoints": person()["keypoints"], "score": 0.9}])
    return folder


ANNOTATIONS: dict[str, tuple[object, str]] = {
    "missing": (None, "no such annotation file"),
    "not JSON": ("{'images': []}", "not a JSON file"),
    "empty": ("", "not a JSON file"),
    "a list": ([], "needs the lists 'images' and 'annotations'"),
    "no images": ({"annotations": []}, "needs the list"),
    "nobody": (annotations(person(keypoints=[0] * 51)), "no person with labelled joints"),
    "other joints": (annotations(person(keypoints=[1, 2, 2] * 14)), "keypoints are not 3 x 17 numbers"),
    "no photo": (annotations(images=[{"id": 1, "file_name": "gone.png", "width": 9, "height": 9}]), "none of its 1 photos is in"),
}


@pytest.mark.parametrize("kind", ANNOTATIONS)
def test_annotations_that_cannot_be_used(kind: str, run: Callable[..., Run], dataset: Path):
    content, says = ANNOTATIONS[kind]
    path = dataset / "b.json"
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    refused(run("doctor", "data", "--annotations", path, "--images", dataset), "b.json", says, code=1)


ENTRIES: dict[str, tuple[dict, str]] = {
    "NaN": (person(keypoints=[float("nan")] * 51), "keypoints are not finite"),
    "too few numbers": (person(keypoints=[1, 2, 2]), "keypoints are not 3 x 17 numbers"),
    "no number": (person(keypoints=["a"] * 51), "keypoints are not 3 x 17 numbers"),
    "visibility": (person(keypoints=[1, 2, 5] * 17), "visibility is not 0, 1 or 2"),
    "box outside": (person(bbox=[500, 500, 20, 20]), "box"),
    "unknown photo": (person(image_id=99), "annotation of an unknown image"),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_bad_annotation_is_named_by_its_id(kind: str, run: Callable[..., Run], dataset: Path):
    """The rest of the file is of use, so this is a finding of `doctor data` and no error."""
    entry, says = ENTRIES[kind]
    (dataset / "b.json").write_text(json.dumps(annotations(person(id=1), {**entry, "id": 4711})))
    done = run("doctor", "data", "--annotations", dataset / "b.json", "--images", dataset)
    assert done.code == 1
    assert done.err == ""
    line = next(line for line in done.out.splitlines() if says in line)
    assert "4711" in line


def test_a_photo_of_a_data_set_that_cannot_be_read(run: Callable[..., Run], dataset: Path):
    (dataset / "a.png").write_bytes(b"dear diary")
    done = run("doctor", "data", "--annotations", dataset / "a.json", "--images", dataset, "--decode")
    assert done.code == 1
    assert "a.png: not an image that can be decoded" in done.out


def result(**change: object) -> list[dict]:
    return [{"image_id": 1, "category_id": 1, "keypoints": person()["keypoints"], "score": 0.9, **change}]


RESULTS: dict[str, tuple[object, str]] = {
    "missing": (None, "no such"),
    "not JSON": ("[", "r2.json"),
    "annotations": (annotations(), "r2.json"),
    "too few numbers": (result(keypoints=[1, 2, 3]), "r2.json"),
    "NaN": (result(keypoints=[float("nan")] * 51), "r2.json"),
    "no score": ([{k: v for k, v in result()[0].items() if k != "score"}], "score"),
    "score is no number": (result(score="high"), "score"),
    "of another data set": (result(image_id=5), "r2.json"),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_results_that_cannot_be_evaluated(kind: str, run: Callable[..., Run], dataset: Path):
    content, says = RESULTS[kind]
    path = dataset / "r2.json"
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    done = run("evaluate", "--annotations", dataset / "a.json", "--results", path, "--json", dataset / "figures.json")
    refused(done, "r2.json", says, code=1)
    assert not (dataset / "figures.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--dataset", "cocoa", "--results", "{data}/r.json", "--annotations", "{data}/a.json"], "cocoa"),
        (["--annotations", "{data}/a.json"], "give the folder of the photos (--images DIR), or a result file"),
        (["--results", "{data}/r.json"], "annotation"),
        (["--results", "{data}/r.json", "--annotations", "{data}/a.json", "--model", "{fly}"], "with a result file, leave out"),
        (["--images", "{data}/gone", "--annotations", "{data}/a.json", "--model", "{fly}"], "gone"),
        (["--images", "{data}", "--annotations", "{data}/a.json", "--model", "{fly}", "--boxes", "annotated"], "boxes"),
        (
            ["--images", "{data}", "--annotations", "{data}/a.json", "--model", "{fly}", "--report", "x.html"],
            "needs the error analysis (--analyze)",
        ),
        (["--dataset", "{data}/set.yaml", "--model", "{fly}"], "sigmas"),
    ],
)
def test_bad_evaluations(words: list[str], says: str, run: Callable[..., Run], fly: Path, dataset: Path):
    (dataset / "set.yaml").write_text("images: .\nannotations: dogs.json\n")
    dogs = {"id": 1, "name": "dog", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}
    write_json(dataset / "dogs.json", annotations(person(keypoints=[1, 2, 2, 3, 4, 2]), categories=[dogs]))
    refused(run("evaluate", *(w.format(data=dataset, fly=fly) for w in words)), says, code=1)


def test_a_photo_of_another_size_than_its_annotations(run: Callable[..., Run], fly: Path, dataset: Path):
    Image.new("RGB", (50, 50)).save(dataset / "a.png")
    done = run("evaluate", "--annotations", dataset / "a.json", "--images", dataset, "--model", fly, "--json", dataset / "figures.json")
    refused(done, "a.png", "50x50", "160x120", code=1)
    assert not (dataset / "figures.json").exists()


# ── training ──

CONFIG = """
model: tiny
out: {out}
data:
  class_path: manypose.data.loader
  init_args:
    sources: [{{dataset: {{class_path: tiny_training.Noise}}}}]
    augment: null
    batch_size: 4
    length: 8
    seed: 0
    workers: 0
optimizer: {{class_path: torch.optim.Adam, init_args: {{lr: 0.01}}}}
schedule: {{epochs: 1}}
saving: {{every: 1}}
device: cpu
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    assert tiny_training.MODELS["tiny"]
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG.format(out=tmp_path / "run"))
    return path


@pytest.mark.parametrize(
    ("change", "says", "code"),
    [
        (("model:", "modle:"), "there is no 'modle'; did you mean model?", 2),
        (("batch_size: 4", "batch_size: four"), "data.batch_size: expected int, got four", 2),
        (("batch_size", "batch_sise"), "data: there is no 'batch_sise'; did you mean batch_size?", 2),
        (("lr: 0.01", "rate: 0.01"), "optimizer: there is no 'rate'", 2),
        (("torch.optim.Adam", "torch.optim.Adm"), "module 'torch.optim' has no attribute 'Adm'", 2),
        (("epochs: 1", "epochs: -1"), "epochs > 0", 1),
        (("model: tiny", "model: swahr-w33"), "no model 'swahr-w33'", 1),
        (("model: tiny", "model: [tiny"), "tiny.yaml: not YAML", 2),
        (("device: cpu", "skeleton: cocoo"), "no skeleton 'cocoo'", 1),
        (("device: cpu", "model_args: {width: 3, depth: 2}"), "cannot be built with ['depth', 'width']", 1),
        (("device: cpu", "init: gone.safetensors"), "gone.safetensors: no such weights file", 1),
        (("out: ", "out: ${NOT_SET_ANYWHERE}"), "NOT_SET_ANYWHERE", 1),
        (("length: 8", "length: 2"), "batch_size must lie between 1 and the 2 samples", 1),
    ],
)
def test_bad_configs(change: tuple[str, str], says: str, code: int, run: Callable[..., Run], config: Path, tmp_path: Path):
    config.write_text(config.read_text().replace(*change))
    refused(run("train", "--allow-import", "tiny_training", "--config", config), says, code=code)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_no_config(run: Callable[..., Run], tmp_path: Path):
    refused(run("train", "--config", tmp_path / "gone.yaml"), "gone.yaml", code=2)
    refused(run("train"), "--data SET.yaml", "--config FILE.yaml", code=2)


@pytest.mark.parametrize("spoil", ["truncated", "no json", "other batch"])
def test_a_checkpoint_that_cannot_be_resumed(spoil: str, run: Callable[..., Run], config: Path, tmp_path: Path):
    assert run("train", "--allow-import", "tiny_training", "--config", config, "--max_minutes", "0").code == 0
    last = max((tmp_path / "run/checkpoints").glob("step-*"))
    if spoil == "truncated":
        model = next(last.glob("model*.safetensors"))
        model.write_bytes(model.read_bytes()[:50])
    elif spoil == "no json":
        (last / "training.json").write_text("{")
    else:
        config.write_text(config.read_text().replace("batch_size: 4", "batch_size: 2"))
    before = files(tmp_path / "run/checkpoints")
    done = run("train", "--allow-import", "tiny_training", "--config", config)
    done.err = "\n".join(line for line in done.err.splitlines() if "step/s" not in line and line.strip() and "it/s" not in line)
    refused(done, str(last), "belongs to another training" if spoil == "other batch" else "damaged; delete it", code=1)
    assert files(tmp_path / "run/checkpoints") == before


# ── bench ──


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("decode --method swarh", "swarh"),
        ("decode", "--method"),
        ("decode --method swahr --people -1", "people"),
        ("decode --method swahr --people many", "--people: expected a whole number, got many"),
        ("network --model swahr-w33", "no model 'swahr-w33'"),
        ("network --model swahr-w18-small --size 7", "size"),
        ("network --model swahr-w18-small --threads 0", "threads"),
        ("train --model swahr-w18-small --batch-size 0", "batch"),
    ],
)
def test_bad_benches(words: str, says: str, run: Callable[..., Run]):
    refused(run("bench", *words.split()), says)


def test_a_file_of_the_wrong_skeleton(run: Callable[..., Run], tmp_path: Path):
    """Weights for CrowdPose's 14 joints are not those of COCO's 17."""
    from manypose.methods.catalog import build

    path = weights.save(build("swahr-w18-small", skeleton=CROWDPOSE), tmp_path / "crowd.safetensors", name="swahr-w18-small")
    about, state = read_tensors(path)
    about["skeleton"] = COCO.to_mapping()
    save_file(state, path, {"format": "pt", "manypose": json.dumps(about)})
    media.write(tmp_path / "a.png", np.zeros((64, 64, 3), np.uint8))
    refused(run("predict", tmp_path / "a.png", "--model", path, "--out", tmp_path / "out"), "expected (", "found (", code=1)
