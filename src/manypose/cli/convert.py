"""``manypose convert``."""

from pathlib import Path

from manypose.weights import files

__all__ = ["convert"]


def convert(published: Path, *, model: str, out: Path, skeleton: str = "coco", input_size: list[int] | None = None) -> None:
    """Convert a published checkpoint to a self-describing .safetensors file.

    Args:
        published: the checkpoint, .pth.
        model: the model's name; `manypose models` lists them.
        out: the file to write, .safetensors.
        skeleton: the skeleton of the checkpoint: coco, crowdpose, mpii, posetrack or a skeleton YAML.
        input_size: for a top-down model, the height and width of the crops that the checkpoint was trained with, such as 384 288.
    """
    size = {} if input_size is None else {"input_size": input_size}
    print(f"wrote {files.convert(published, model, out, skeleton=skeleton, **size)}")
