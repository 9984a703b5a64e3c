"""``manypose convert``."""

from pathlib import Path

from manypose.weights import files

__all__ = ["convert"]


def convert(published: Path, *, model: str, out: Path, skeleton: str = "coco") -> None:
    """Turn a published checkpoint into a .safetensors file that says what it is.

    Args:
        published: the checkpoint, .pth.
        model: which model it is; `manypose models` lists them.
        out: the file to write, .safetensors.
        skeleton: of the checkpoint: coco, crowdpose, mpii, posetrack or a skeleton YAML.
    """
    print(f"wrote {files.convert(published, model, out, skeleton=skeleton)}")
