"""Wrong values for the functions of the public interface: the error says what was wrong, and is of a documented kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bad_case import Case
from PIL import Image

__all__ = ["API"]

PHOTO = np.zeros((64, 64, 3), np.uint8)


def fly(good: Path) -> Any:
    import manypose

    return manypose.load(good / "fly.safetensors")


def predicted(photo: Any, **options: Any) -> Callable[[Path, Path], object]:
    return lambda at, good: _all(fly(good).predict(photo(at, good) if callable(photo) else photo, **options))


def _all(people: Any) -> Any:
    return list(people) if hasattr(people, "__next__") else people


def loaded(*names: Any, **options: Any) -> Callable[[Path, Path], object]:
    import manypose

    return lambda at, good: manypose.load(*names, **options)


def tables() -> dict[str, tuple[Callable[[Path, Path], object], str]]:
    from manypose.inference.options import PredictOptions
    from manypose.io import photos
    from manypose.poses import formats
    from manypose.poses.poses import Poses
    from manypose.poses.skeleton import COCO, Skeleton
    from manypose.poses.warp import Warp
    from manypose.tracking.tracker import TrackOptions

    k = np.zeros((1, 17, 2), np.float32)
    return {
        "predict, None": (predicted(None), "NoneType"),
        "predict, a number": (predicted(3.5), "float"),
        "predict, an object": (predicted({"a": 1}), "a: no such file"),
        "predict, an empty array": (predicted(np.zeros((0, 5, 3), np.uint8)), "shape"),
        "predict, an array of two channels": (predicted(np.zeros((5, 5, 2), np.uint8)), "shape"),
        "predict, an array of five axes": (predicted(np.zeros((1, 1, 5, 5, 3), np.uint8)), "shape"),
        "predict, an array of NaN": (predicted(np.full((5, 5, 3), np.nan)), "0 … 1"),
        "predict, an array of -1": (predicted(np.full((5, 5, 3), -1)), "-1"),
        "predict, an array of 300": (predicted(np.full((5, 5, 3), 300)), "300"),
        "predict, an array of text": (predicted(np.full((5, 5, 3), "a")), "uint8"),
        "predict, an array of objects": (predicted(np.full((5, 5, 3), None)), "uint8"),
        "predict, an array of complex numbers": (predicted(np.full((5, 5, 3), 1j)), "complex"),
        "predict, a tensor of 2": (predicted(torch.full((3, 5, 5), 2.0)), "0 … 1"),
        "predict, an empty picture": (predicted(Image.new("RGB", (0, 5))), "without pixels"),
        "predict, bytes of text": (predicted(b"hello"), "the photo"),
        "predict, no bytes": (predicted(b""), "empty"),
        "predict, a path that is not there": (predicted("gone.jpg"), "gone.jpg"),
        "predict, an empty path": (predicted(""), ""),
        "predict, a list with a bad photo": (predicted([PHOTO, b"x"]), "photo"),
        "predict, a list of None": (predicted([None]), "NoneType"),
        "predict, a generator that fails": (predicted(lambda at, good: (1 / 0 for _ in range(3))), "zero"),
        "predict, a threshold of text": (predicted(PHOTO, threshold="high"), "threshold"),
        "predict, a threshold of NaN": (predicted(PHOTO, threshold=float("nan")), "threshold"),
        "predict, an option misspelt": (predicted(PHOTO, treshold=0.5), "did you mean threshold?"),
        "predict, scales of nothing": (predicted(PHOTO, scales=()), "scales"),
        "predict, scales of a number": (predicted(PHOTO, scales=2), "scales"),
        "predict, size of text": (predicted(PHOTO, size="big"), "size"),
        "predict, flip of a number": (predicted(PHOTO, flip=3), "flip"),
        "predict, batch size of a half": (predicted(PHOTO, batch_size=0.5), "batch_size"),
        "predict, boxes for a model that takes none": (predicted(PHOTO, boxes=[[0, 0, 1, 1]]), "takes no boxes"),
        "predict, boxes and a detector": (predicted(PHOTO, boxes=[[0, 0, 1, 1]], detector="nanodet"), "not both"),
        "predict, colours of nobody": (predicted(PHOTO, colour="cmyk"), "colour"),
        "predict, one photo tracked": (predicted(PHOTO, track=True), "tracking needs"),
        "predict, a camera that is not there": (predicted(99), "camera 99"),
        "load, an unknown name": (loaded("swahr-w33"), "no model"),
        "load, an empty name": (loaded(""), "no model"),
        "load, no such file": (loaded("gone.safetensors"), "gone.safetensors"),
        "load, no such checkpoint": (loaded("swahr-w18-small", weights="gone.pth"), "gone.pth"),
        "load, no weights": (loaded("swahr-w48"), "no weights"),
        "load, an unknown device": (loaded(device="tpu"), "no device"),
        "load, an unknown argument": (loaded("mspn-mobile", colour="red"), "colour"),
        "load, an unknown skeleton": (loaded("mspn-mobile", skeleton="cat"), "cat"),
        "load, another skeleton": (loaded("mspn-mobile", skeleton="mpii"), "skeleton"),
        "options, a list of texts": (lambda at, good: PredictOptions(scales=("a",)), "scales"),
        "options, track": (lambda at, good: TrackOptions(nms=5), "nms"),
        "photos, an unknown suffix": (lambda at, good: photos.write(at / "a.xyz", PHOTO), ".xyz"),
        "photos, no suffix": (lambda at, good: photos.write(at / "a", PHOTO), "no suffix"),
        "photos, a folder": (lambda at, good: photos.read(at), "a folder, not a photo"),
        "skeleton, two joints of one name": (lambda at, good: Skeleton.build("x", ["a", "a"], [], [0.1, 0.1]), "x"),
        "skeleton, no joints": (lambda at, good: Skeleton.build("x", [], [], []), "x"),
        "skeleton, sigmas of 0": (lambda at, good: Skeleton.build("x", ["a"], [], [0.0]), "x"),
        "poses, scores of others": (lambda at, good: Poses(COCO, k, np.zeros((2, 17), np.float32), np.zeros(1, np.float32)), ""),
        "poses, joints of others": (lambda at, good: Poses(COCO, k[:, :3], np.zeros((1, 3), np.float32), np.zeros(1, np.float32)), ""),
        "formats, COCO of a text": (lambda at, good: formats.from_coco("x"), "list"),
        "formats, COCO of numbers": (lambda at, good: formats.from_coco([1]), "result 0"),
        "formats, OpenPose of a list": (lambda at, good: formats.from_openpose([1]), ""),
        "formats, CSV of a text": (lambda at, good: formats.from_csv(["hello"]), ""),
        "formats, JSON Lines of a text": (lambda at, good: list(formats.from_jsonl(["hello"])), ""),
        "warp, a box without an area": (lambda at, good: Warp.crop(np.zeros(4, np.float32), (64, 48)), ""),
    }  # fmt: skip


API = [Case(f"api, {name}", call=call, says=(says,) if says else ()) for name, (call, says) in tables().items()]
