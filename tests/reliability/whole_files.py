"""Whole, small files that every verb takes: the bad ones are made from them."""

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from coco_file import annotations, person
from dots import FLY, Dots, photo_of
from PIL import Image
from prn_crowd import crowd
from safetensors.torch import save

from manypose.methods.catalog import MODELS, ModelSpec, build
from manypose.poses.skeleton import COCO

__all__ = ["CONFIG", "archive", "jpeg", "photo", "png", "results", "safetensors", "video", "write_all"]


class Fly(Dots):
    """A method that needs no training, as a file of weights."""

    def __init__(self, skeleton=FLY):
        super().__init__()
        assert skeleton.joints == FLY.joints


MODELS["fly"] = ModelSpec(f"{__name__}:Fly", {}, "for tests")

CONFIG = """
model: tiny
out: {at}/run
data:
  class_path: manypose.data.loader
  init_args:
    sources: [{{dataset: {{class_path: manypose.data.coco, init_args: {{images: {good}/small, annotations: {good}/small.json}}}}}}]
    augment: null
    batch_size: 2
    length: 4
    seed: 0
    workers: 0
optimizer: {{class_path: torch.optim.Adam, init_args: {{lr: 0.01}}}}
schedule: {{epochs: 1}}
saving: {{every: 1}}
device: cpu
"""


def photo() -> np.ndarray:
    return photo_of((120, 160), np.array([[40.0, 30], [100, 30], [70, 90]]))


def jpeg(**more: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(photo()).save(out, "JPEG", **more)
    return out.getvalue()


def png(w: int, h: int, data: bytes, bits: int = 8, kind: int = 2) -> bytes:
    """A PNG file of any claimed size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", w, h, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def video(path: Path, frames: int = 4, size: tuple[int, int] = (64, 64)) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for i in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((*size, 3), 20 * i % 256, np.uint8), format="rgb24")))
        container.mux(stream.encode(None))


def results(**change: Any) -> list[dict]:
    return [{"image_id": 1, "category_id": 1, "keypoints": person()["keypoints"], "score": 0.9, **change}]


def archive(**change: Any) -> bytes:
    """An archive of annotated people; ``key=None`` leaves an array out."""
    out = io.BytesIO()
    np.savez(out, **{k: v for k, v in {**crowd(images=8), **change}.items() if v is not None})
    return out.getvalue()


MPII = {"imgname": np.array([b"a.jpg", b"b.jpg"]), "part": np.ones((2, 16, 2)), "visible": np.ones((2, 16)), "center": np.ones((2, 2)),
        "scale": np.ones(2), "normalize": np.ones(2), "index": np.arange(2), "person": np.arange(2)}  # fmt: skip


def hdf5(**arrays: Any) -> bytes:
    """The hourglass authors' HDF5 file of MPII's people, with some arrays replaced; h5py's links are written as such."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, array in (MPII | arrays).items():
            file[name] = array
    return out.getvalue()


def zipped(compress: bool = True, **members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as z:
        for name, content in members.items():
            z.writestr(name.replace("__", "."), content)
    return out.getvalue()


def safetensors(tensors: dict[str, torch.Tensor] | None = None, **about: Any) -> bytes:
    return save({"weight": torch.ones(1)} if tensors is None else tensors, {"manypose": json.dumps(about)})


def write_all(folder: Path) -> None:
    """Everything, into the folder that the cases share."""
    from grouping_scene import cnn
    from tiny_training import Tiny

    from manypose.methods.multiposenet.prn_file import save_prn
    from manypose.methods.multiposenet.prn_networks import prn_network
    from manypose.methods.simple.grouping_file import save_grouping
    from manypose.weights.files import BUNDLED
    from manypose.weights.files import save as save_method

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "photos/1.png", "photos/3.png", "data/a.png", "data/000000000001.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(photo()).save(folder / name)
    (folder / "small").mkdir()
    for i in range(4):
        Image.fromarray(photo()[:32, :32]).save(folder / f"small/{i}.png")
    images = [{"id": i, "file_name": f"{i}.png", "width": 32, "height": 32} for i in range(4)]
    people = [person(id=i, image_id=i, bbox=[1, 1, 30, 30], keypoints=[9, 9, 2] * 17) for i in range(4)]
    (folder / "small.json").write_text(json.dumps(annotations(*people, images=images)))
    (folder / "a.json").write_text(json.dumps(annotations()))
    (folder / "part.json").write_text(json.dumps(annotations(images=[{**annotations()["images"][0], "all_persons_labelled": False}])))
    (folder / "r.json").write_text(json.dumps(results()))
    (folder / "people.npz").write_bytes(archive())
    video(folder / "clip.mp4")
    save_method(Fly(), folder / "fly.safetensors", name="fly")
    save_method(Tiny(), folder / "tiny.safetensors", name="tiny")
    save_prn(prn_network(COCO, "PRN", size=(8, 6), nodes=8, layers=1), folder / "prn.safetensors")
    save_grouping(cnn(), folder / "grouping.safetensors")
    (folder / "multiposenet.safetensors").symlink_to(BUNDLED / "multiposenet-mobile.safetensors")
    state = build("swahr-w18-small").net.state_dict()  # type: ignore[attr-defined]
    torch.save({f"module.{k}": v for k, v in state.items()}, folder / "model.pth")
