"""``manypose convert``."""

from pathlib import Path

from manypose.weights import files

__all__ = ["convert"]


def convert(published: Path, *, model: str, out: Path, skeleton: str = "coco", input_size: list[int] | None = None) -> None:
    """Turn a published checkpoint into a .safetensors file that says what it is.

    Args:
        published: the checkpoint, .pth.
        model: which model it is; `manypose models` lists them.
        out: the file to write, .safetensors.
        skeleton: of the checkpoint: coco, crowdpose, mpii, posetrack or a skeleton YAML.
        input_size: of a top-down model: height and width of a person's view that the checkpoint was trained with, such as 384 288.
    """
    size = {} if input_size is None else {"input_size": input_size}
    print(f"wrote {files.convert(published, model, out, skeleton=skeleton, **size)}")
