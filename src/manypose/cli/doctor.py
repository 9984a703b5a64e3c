"""``manypose doctor``: what is installed and whether it works; problems of a data set."""

import logging
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from manypose.inference.model import load
from manypose.io.extras import TORCH, torch_installed
from manypose.io.printable import printable
from manypose.weights.names import BUNDLED, DEFAULT

__all__ = ["EXTRAS", "READERS", "data", "doctor"]

EXTRAS = {
    "torch": TORCH,
    "train": ("accelerate", "tensorboard", "pycocotools"),
    "eval": ("faster_coco_eval", "matplotlib", "jinja2"),
    "video": ("av",),
    "export": ("onnx", "onnxscript"),
    "openvino": ("openvino",),
    "serve": ("fastapi", "uvicorn", "prometheus_client"),
    "cluster": ("ray",),
    "docs": ("material", "mkdocstrings"),
    "interop": ("supervision",),
    "synth": ("anny", "moderngl"),
}
"""The modules that each extra of the package installs."""

READERS = {
    "coco": "manypose.data:coco",
    "crowdpose": "manypose.data:crowdpose",
    "mpii": "manypose.data:mpii",
    "posetrack": "manypose.data:posetrack",
    "ochuman": "manypose.data:ochuman",
    "lspet": "manypose.data:lspet",
}
"""The reader of each data set."""


def doctor(*, device: str = "auto") -> int:
    """Report what is installed, run the bundled model on a test image, and name what is missing.

    Args:
        device: device of the test: auto, cpu, cuda or cuda:N.
    """
    print(f"manypose     {version('manypose')}, {Path(__file__).parents[1]}")
    print(f"Python       {platform.python_version()}, {platform.platform()}")
    for package in ("torch", "torchvision", "timm", "onnxruntime", "numpy", "opencv-python-headless", "safetensors", "jsonargparse"):
        print(f"{package.removesuffix('-python-headless'):<12} {_version(package)}")
    if torch_installed():
        import torch

        gpus = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        print(f"GPUs         {gpus or 'none that PyTorch sees'}")
    for extra, modules in EXTRAS.items():
        missing = [m for m in modules if find_spec(m) is None]
        cure = f"{', '.join(missing)} missing: pip install 'manypose[{extra}]'"
        print(f"{f'[{extra}]':<12} {cure if missing else 'installed'}")
    bundled = sorted(p.stem for p in BUNDLED.glob("*.safetensors"))
    print(f"weights      {', '.join(bundled) or 'none come with this package'}")
    print(f"graph-test   {_graph_test()}")
    print(f"self-test    {_self_test(device) if torch_installed() else 'skipped: PyTorch is not installed, and prediction uses the graph'}")
    return 0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)


def _graph_test() -> str:
    """The result of running the default model's graph on a test image, as prediction without PyTorch does. Errors propagate."""
    model, began = load(runtime="onnx", device="cpu"), time.perf_counter()
    if not np.isfinite(model.predict(_picture(), boxes=[[0, 0, 255, 255]], threshold=0.0).keypoints).all():
        raise ValueError("graph-test: the outputs are not finite; reinstall onnxruntime")
    return f"{DEFAULT} on cpu by onnxruntime: works, {1000 * (time.perf_counter() - began):.0f} ms"


def _self_test(device: str) -> str:
    """The result of running the default model on a test image with PyTorch. Errors propagate."""
    import torch

    from manypose.methods.catalog import build
    from manypose.nn.device import choose_device
    from manypose.weights.files import load as load_method

    target = choose_device(device)
    bundled = (BUNDLED / f"{DEFAULT}.safetensors").is_file()
    method: Any = load_method(device=device) if bundled else build(DEFAULT).to(target).eval()  # type: ignore[attr-defined]
    began = time.perf_counter()
    with torch.inference_mode():
        outputs = method.readout(method.network(method.prepare(torch.from_numpy(_picture()[None]).to(target))))
        poses = method.decode(outputs, (256, 256))[0]
    if not all(o.isfinite().all() for o in outputs.values()) or not np.isfinite(poses.keypoints).all():
        raise ValueError(f"self-test: the network's outputs on {target} are not finite; try --device cpu, or reinstall PyTorch")
    state = "" if bundled else ", untrained"
    return f"{DEFAULT}{state} on {target} by torch: works, {1000 * (time.perf_counter() - began):.0f} ms"


def data(
    *,
    annotations: Path,
    images: Path | None = None,
    dataset: Literal["coco", "crowdpose", "mpii", "posetrack", "ochuman", "lspet", "custom"] = "coco",
    skeleton: str = "coco",
    decode: bool = False,
) -> int:
    """Check a data set and list its problems, by id; the exit code is 1 if any part of it is unusable.

    Args:
        annotations: the annotation file, a folder of such files, or the YAML of a custom data set, whose parts are all checked.
        images: folder of the photos; not needed for a custom data set, whose YAML names it.
        dataset: the format of the annotations; a YAML is always custom.
        skeleton: the skeleton of an annotation file in COCO's format: a built-in name or a skeleton YAML.
        decode: also decode every photo, which takes longer.
    """
    unusable = False
    with _silent("manypose.data"):  # the readers log the problems that are printed here
        for photos in _read(dataset, annotations, images, skeleton):
            unreadable = _unreadable(photos) if decode else []
            if decode:
                _note_turned(photos)
            found = str(photos.report).splitlines()
            nothing = "  nothing wrong" + ("" if decode else "; --decode also checks the photos")
            print("\n".join(printable(line) for line in ([*found, *unreadable] if found[1:] or unreadable else [*found, nothing])))
            unusable |= bool(unreadable) or any(problem.dropped for problem in photos.report.problems)
    return int(unusable)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _read(dataset: str, annotations: Path, images: Path | None, skeleton: str) -> Iterator[Any]:
    """The parts of a data set: of a custom one `train` and `val`, if its YAML names both."""
    if dataset == "custom" or annotations.suffix in (".yaml", ".yml"):
        from manypose.data.datasets.custom import custom, describe

        for part in describe(annotations).parts or ("train",):
            yield custom(annotations, part=part, unreadable="skip")
        return
    if images is None:
        raise ValueError(f"{annotations}: give the folder of its photos (--images)")
    module, _, name = READERS[dataset].partition(":")
    reader: Callable[..., Any] = getattr(import_module(module), name)
    options = {"skeleton": skeleton} if dataset == "coco" else {}
    yield reader(images, annotations, unreadable="skip", **options)


def _note_turned(photos: Any) -> None:
    """Report photos with an EXIF orientation, and whether their annotations count rotated pixels (`manypose.data.photos.read_rgb`)."""
    from manypose.data.photos import ORIENTATION

    for photo in photos.photos:
        with suppress(OSError, SyntaxError, ValueError, Image.DecompressionBombError), Image.open(photo.path) as header:
            turned = header.getexif().get(ORIENTATION, 1)
            pixels = "stored" if photo.size == (header.height, header.width) else "upright"
            if turned != 1:
                kind = f"EXIF orientation: its annotations are assumed to refer to {pixels} pixels"
                photos.report.add("image", photo.image_id, kind, f"orientation {turned}", dropped=False)


def _unreadable(photos: Any) -> list[str]:
    """A line for each photo that cannot be read with its people and masks."""
    wrong = []
    for i in range(len(photos)):
        try:
            photos[i]
        except Exception as e:  # an unreadable photo or mask does not end the check
            wrong.append(f"  photo {photos.photos[i].image_id}: {type(e).__name__}: {' '.join(str(e).split())}")
        if sys.stderr.isatty() and i % 50 == 0:
            print(f"\r{i}/{len(photos)} photos", end="", file=sys.stderr)
    return wrong + [f"  {said}" for said in photos.skipped.values()]
