"""Drawn people: jointed bodies over any background, with exact joints, visibility, boxes and masks. Nothing has to be downloaded.

A scene (poses, looks, places, depth order, light and background) depends only on (seed, index).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from manypose.data.sample import Sample
from manypose.poses.skeleton import COCO
from synthetic_people.drawn.backdrop import patch
from synthetic_people.drawn.draw_person import Drawn, draw_person, turned_away
from synthetic_people.drawn.figure import Figure, random_figure
from synthetic_people.drawn.look import random_look
from synthetic_people.scene import BackgroundPhotos, Scene, check_ranges, cover, finished, labelled

__all__ = ["SyntheticPeople"]


@dataclass(eq=False)
class SyntheticPeople:
    """A map-style data set of drawn scenes with COCO's joints; sample i of a seed is always the same.

    Args:
        length: number of scenes.
        seed: of all random choices.
        size: height and width in pixels.
        people: least and largest number of people in a scene.
        height: least and largest height of a standing person, as parts of the picture's height.
        crowd: chance that a person stands close to the previous one, partly in front of or behind them.
        truncate: chance that a person may reach beyond the picture's edge where there is room inside.
        objects: largest number of objects (boxes, boards, posts) in front of people.
        backgrounds: folder of photos without people; None: drawn backgrounds.
        far_face: visibility of face points on the far side of the head: 1, hidden, or 0, as in COCO's annotations.
        with_people: COCO annotation file; background photos with annotated people are left out.

    Raises:
        ValueError: a range is empty or negative, or the background folder has no pictures.
    """

    length: int = 10_000
    seed: int = 0
    size: tuple[int, int] = (256, 256)
    people: tuple[int, int] = (1, 6)
    height: tuple[float, float] = (0.2, 1.3)
    crowd: float = 0.4
    truncate: float = 0.2
    objects: int = 2
    backgrounds: str | Path | None = None
    far_face: Literal[0, 1] = 1
    with_people: str | Path | None = None

    def __post_init__(self) -> None:
        check_ranges("SyntheticPeople", self.length, self.size, self.people, self.height)
        self.skeleton, self._backgrounds = COCO, BackgroundPhotos(self.backgrounds, self.with_people)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> Sample:
        if not -self.length <= i < self.length:
            raise IndexError(f"no scene {i}, there are {self.length}")
        return self.scene(i % self.length).sample

    def scene(self, i: int) -> Scene:
        """Scene i with its instance masks."""
        rng = np.random.default_rng((self.seed, i))
        image = self._backgrounds.pick(rng, self.size)
        clean = image.copy()
        look = lambda: random_look(rng, lambda: patch(rng, clean))  # noqa: E731
        light = rng.normal(0, 1, 3) * (1, 0.7, 0.5) + (0, -0.8, -0.7)
        light, strength = light / np.linalg.norm(light), rng.uniform(0.15, 0.65)
        exposure = rng.uniform(0.75, 1.15)
        stand = self._places(rng)
        owner, drawn = np.full(self.size, -1, np.int16), []
        things = np.sort(rng.integers(0, len(stand) + 1, rng.integers(0, self.objects + 1)))
        for place, (figure, scale, at) in enumerate(stand):
            person = draw_person(figure, look(), scale, at, self.size, light, strength)
            _shadow(image, figure, scale, at, rng)
            _paste(image, owner, person, place, exposure)
            drawn.append(person)
            for _ in range(int((things == place + 1).sum())):
                cover(image, owner, clean, rng)
        joints = np.stack([d.keypoints for d in drawn]) if drawn else np.zeros((0, 17, 3), np.float32)
        if self.far_face == 0:
            for person, (figure, *_) in zip(joints, stand, strict=True):
                person[turned_away(figure) & (person[:, 2] == 1)] = 0
        _hide(joints, owner)
        return labelled(finished(image, rng), joints, owner, np.maximum(12, 0.08 * _areas(drawn)), i)

    def _places(self, rng: np.random.Generator) -> list[tuple[Figure, float, tuple[float, float]]]:
        """Figures with their scale and the pixel position of their hips, far ones first."""
        h, w = self.size
        common = np.exp(rng.uniform(*np.log(self.height)))
        placed: list[tuple[Figure, float, tuple[float, float]]] = []
        before: tuple[float, float] | None = None
        for _ in range(rng.integers(self.people[0], self.people[1] + 1)):
            figure, near = random_figure(rng), rng.random() < self.crowd
            part = common * rng.lognormal(0, 0.12) if near or rng.random() < 0.5 else np.exp(rng.uniform(*np.log(self.height)))
            scale = float(np.clip(part, *self.height)) * h
            xy = np.stack(list(figure.points.values()))[:, :2] * scale
            low, high = xy.min(0) - 0.06 * scale, xy.max(0) + 0.06 * scale
            if near and before is not None:
                at = np.array(before) + rng.uniform(-0.35, 0.35, 2) * (scale, 0.4 * scale)
            else:
                at = rng.uniform(0, 1, 2) * (w - 1, h - 1)
                if rng.random() >= self.truncate:
                    # Wholly inside where there is room; of a person taller than the picture mostly the upper part.
                    room = np.array([w - 1, h - 1]) - (high - low)
                    at = np.where(room > 0, rng.uniform(0, 1, 2) * room, (rng.uniform(0, 1) * room[0], rng.uniform(-0.3, 0.25) * h)) - low
            before = (float(at[0]), float(at[1]))
            placed.append((figure, scale, before))
        # Larger people and people lower in the picture stand nearer.
        return sorted(placed, key=lambda p: p[1] + 0.5 * p[2][1])


def _paste(image: Float[np.ndarray, "H W 3"], owner: Int[np.ndarray, "H W"], person: Drawn, number: int, exposure: float) -> None:
    canvas = person.canvas
    (x, y), (h, w) = canvas.origin, canvas.alpha.shape
    if h and w:
        at = (slice(y, y + h), slice(x, x + w))
        image[at] *= 1 - canvas.alpha[..., None]
        image[at] += canvas.rgb * np.float32(exposure)
        owner[at][canvas.alpha > 0.5] = number


def _shadow(image: Float[np.ndarray, "H W 3"], figure: Figure, scale: float, at: tuple[float, float], rng: np.random.Generator) -> None:
    """A soft dark spot on the ground under a person, half of the time."""
    if rng.random() < 0.5:
        return
    feet = np.stack([figure.points[f"{s}_{e}"][:2] for s in ("left", "right") for e in ("heel", "toe")]) * scale + at
    x, y = feet[:, 0].mean(), feet[:, 1].max()
    rx, ry = max(np.ptp(feet[:, 0]), 0.15 * scale), 0.05 * scale
    h, w = image.shape[:2]
    x0, x1, y0, y1 = (int(np.clip(v, 0, m)) for v, m in ((x - 2 * rx, w), (x + 2 * rx, w), (y - 2 * ry, h), (y + 2 * ry, h)))
    if x0 < x1 and y0 < y1:
        dx, dy = (np.arange(x0, x1, dtype=np.float32)[None] - x) / rx, (np.arange(y0, y1, dtype=np.float32)[:, None] - y) / ry
        image[y0:y1, x0:x1] *= (1 - rng.uniform(0.2, 0.6) * np.exp(-1.5 * (dx * dx + dy * dy)))[..., None]


def _areas(drawn: list[Drawn]) -> Float[np.ndarray, " n"]:
    """How many pixels each person would fill, were nothing before them."""
    return np.array([(d.canvas.alpha > 0.5).sum() for d in drawn], np.float32)


def _hide(joints: Float[np.ndarray, "n 17 3"], owner: Int[np.ndarray, "H W"]) -> None:
    """Set the visibility of joints covered by other people or objects to 1, in place."""
    h, w = owner.shape
    column = np.clip(np.round(joints[..., 0]).astype(int), 0, w - 1)
    row = np.clip(np.round(joints[..., 1]).astype(int), 0, h - 1)
    other = owner[row, column] != np.arange(len(joints))[:, None]
    joints[..., 2][(joints[..., 2] == 2) & other] = 1
