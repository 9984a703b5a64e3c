"""Parts that drawn and rendered scenes share: labelled scenes, background photos, objects in front of people, camera blur and grain."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from manypose.data.photos import read_rgb
from manypose.data.sample import Sample
from manypose.poses.skeleton import COCO
from synthetic_people.drawn.backdrop import backdrop, patch, shape

__all__ = ["BackgroundPhotos", "Scene", "check_ranges", "cover", "finished", "labelled"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True)
class Scene:
    """A sample and the person visible in each of its pixels.

    Args:
        sample: image, people and mask.
        owner: index of the person in the sample's arrays; -1: no person; -2: a person too hidden to be labelled.
    """

    sample: Sample
    owner: Int[np.ndarray, "H W"]

    @property
    def masks(self) -> Bool[np.ndarray, "n H W"]:
        """The visible part of each person."""
        return self.owner[None] == np.arange(len(self.sample.boxes))[:, None, None]


def check_ranges(name: str, length: int, size: Sequence[int], people: Sequence[int], height: Sequence[float]) -> None:
    """Raise ValueError if a range of a scene is empty or negative."""
    if length < 1 or min(size) < 16 or not 0 <= people[0] <= people[1] or not 0 < height[0] <= height[1]:
        raise ValueError(
            f"{name} needs length >= 1, size >= 16, 0 <= people[0] <= people[1] and 0 < height[0] <= height[1], got "
            f"length {length}, size {tuple(size)}, people {tuple(people)}, height {tuple(height)}"
        )


class BackgroundPhotos:
    """Backgrounds from the photos of a folder, or drawn ones without a folder.

    Args:
        folder: of photos without people.
        people: a COCO annotation file, such as the person keypoints of train2017; photos with annotated people are left out.

    Raises:
        ValueError: no such folder, no pictures in it, or a file that is no annotation file.
    """

    def __init__(self, folder: str | Path | None, people: str | Path | None = None) -> None:
        self.files: list[Path] = []
        if folder is None:
            return
        root = Path(folder)
        files = sorted(p for p in root.glob("*") if p.suffix.lower() in SUFFIXES) if root.is_dir() else []
        with_people = set() if people is None else _with_people(people)
        self.files = [p for p in files if p.name not in with_people]
        if not self.files:
            raise ValueError(f"{root}: no folder with pictures ({', '.join(SUFFIXES)}) without people")

    def pick(self, rng: np.random.Generator, size: tuple[int, int]) -> Float[np.ndarray, "H W 3"]:
        """A random background of a size: a view of a random photo, or a drawn one."""
        photo = read_rgb(self.files[rng.integers(len(self.files))]) if self.files else None
        return backdrop(rng, size, photo)


def _with_people(path: str | Path) -> set[str]:
    try:
        given = json.loads(Path(path).read_bytes())
        ids = {a["image_id"] for a in given["annotations"]}
        return {image["file_name"] for image in given["images"] if image["id"] in ids}
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ValueError(f"{path}: no COCO annotation file ({type(e).__name__}: {str(e)[:80]})") from None


def cover(image: np.ndarray, owner: np.ndarray, clean: np.ndarray, rng: np.random.Generator) -> None:
    """Put a random object (box, board, post), textured from the background, in front of the scene; in place."""
    h, w = owner.shape
    thing = shape(rng, (h, w))
    texture = cv2.resize(patch(rng, clean), (w, h)).astype(np.float32) * rng.uniform(0.4, 1.2)
    image += thing[..., None] * (texture - image)
    owner[thing > 0.5] = -1


def finished(image: Float[np.ndarray, "H W 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """The picture with camera blur and grain, which make people and background look alike."""
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.9))
    h, w = image.shape[:2]
    grain = rng.standard_normal((64, 64, 3), np.float32) * rng.uniform(0, 5)
    image += np.tile(grain, (-(-h // 64), -(-w // 64), 1))[:h, :w]
    return np.clip(image, 0, 255).astype(np.uint8)


def labelled(
    image: UInt8[np.ndarray, "H W 3"],
    joints: Float[np.ndarray, "n 17 3"],
    owner: Int[np.ndarray, "H W"],
    smallest: Float[np.ndarray, " n"],
    number: int,
) -> Scene:
    """A labelled scene, with boxes and areas of the visible pixels.

    Args:
        image: the finished picture.
        joints: x, y, visibility.
        owner: index of the person in each pixel, -1: none.
        smallest: least number of visible pixels of each person; people with fewer are masked and not labelled.
        number: the sample's id.
    """
    kept, boxes, areas = [], [], []
    new = np.where(owner >= 0, -2, -1).astype(np.int16)
    for person in range(len(joints)):
        seen = owner == person
        if (area := int(seen.sum())) < smallest[person] or not (joints[person, :, 2] > 0).any():
            continue
        ys, xs = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        new[seen] = len(kept)
        kept.append(person)
        boxes.append([xs[0] - 0.5, ys[0] - 0.5, xs[-1] + 0.5, ys[-1] + 0.5])
        areas.append(area)
    sample = Sample(
        COCO, image,
        joints[kept].astype(np.float32).reshape(-1, 17, 3), np.array(boxes, np.float32).reshape(-1, 4), np.array(areas, np.float32),
        (new != -2).astype(np.uint8)[None], (new != -1).astype(np.uint8), number,
    )  # fmt: skip
    return Scene(sample, new)
