"""Rendered people: three-dimensional bodies in realistic postures, with clothes and light, over photos. Needs the extra ``synth``.

A scene depends only on (seed, index). Unlike in drawn scenes, perspective, self-occlusion and depth are exact.
``python -m synthetic_people rendered`` writes them as a COCO data set.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from manypose.data.sample import Sample
from manypose.poses.skeleton import COCO
from synthetic_people.drawn.backdrop import patch
from synthetic_people.rendered.bodies import Bodies
from synthetic_people.rendered.outfits import dress
from synthetic_people.rendered.postures import Bank, real_poses
from synthetic_people.rendered.render import Light, Rendered, Renderer
from synthetic_people.scene import BackgroundPhotos, Scene, check_ranges, cover, finished, labelled

__all__ = ["RenderedPeople"]

# Depth of each joint under the skin, in metres for a person of 1.7 m; a surface nearer to the camera than that hides the joint.
_UNDER = np.array([0.05, *[0.05] * 2, *[0.09] * 2, *[0.13] * 2, *[0.09] * 2, *[0.07] * 2, *[0.2] * 2, *[0.11] * 2, *[0.09] * 2], np.float32)


@dataclass(frozen=True)
class Placed:
    """Bodies in camera axes."""

    vertices: Float[np.ndarray, "n v 3"]
    joints: Float[np.ndarray, "n 17 3"]
    tall: Float[np.ndarray, " n"]


@dataclass(eq=False)
class RenderedPeople:
    """A map-style data set of rendered scenes with COCO's joints; sample i of a seed is always the same.

    Args:
        length: number of scenes.
        seed: of all random choices.
        size: height and width in pixels.
        people: least and largest number of people in a scene.
        height: least and largest height of a standing adult, as parts of the picture's height.
        crowd: chance that a person stands close to the previous one.
        truncate: chance that a person may reach beyond the picture's edge where there is room inside.
        objects: largest number of objects in front of people.
        backgrounds: folder of photos without people; None: drawn backgrounds.
        with_people: COCO annotation file; background photos with annotated people are left out.
        poses: COCO annotation file, or ``.npz`` with ``keypoints`` (n, 17, 3), of real people whose postures are used; None: random
            postures within plausible joint ranges.
        far_face: visibility of hidden face points: 0, as in most of COCO's annotations, or 1.

    Raises:
        ValueError: the extra ``synth`` or EGL is missing, a range is empty, or a file is empty.
    """

    length: int = 4000
    seed: int = 0
    size: tuple[int, int] = (256, 320)
    people: tuple[int, int] = (1, 6)
    height: tuple[float, float] = (0.25, 1.4)
    crowd: float = 0.4
    truncate: float = 0.3
    objects: int = 2
    backgrounds: str | Path | None = None
    with_people: str | Path | None = None
    poses: str | Path | None = None
    far_face: Literal[0, 1] = 0

    def __post_init__(self) -> None:
        check_ranges("RenderedPeople", self.length, self.size, self.people, self.height)
        self.skeleton, self._backgrounds = COCO, BackgroundPhotos(self.backgrounds, self.with_people)

    @cached_property
    def _bodies(self) -> Bodies:
        return Bodies()

    @cached_property
    def _bank(self) -> Bank:
        return Bank(self._bodies.rest, real=None if self.poses is None else real_poses(self.poses))

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self.size)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> Sample:
        return self.scene(i).sample

    def scene(self, i: int) -> Scene:
        """Scene i with its instance masks.

        Raises:
            IndexError: there is no scene i.
        """
        if not -self.length <= i < self.length:
            raise IndexError(f"no scene {i}, there are {self.length}")
        rng = np.random.default_rng((self.seed, i % self.length))
        image = self._backgrounds.pick(rng, self.size)
        clean = image.copy()
        focal = float(rng.uniform(0.9, 2.2) * self.size[0])
        placed = self._places(rng, focal)
        outfits = [dress(rng, self._bodies.template, self._bodies.part, patch(rng, clean)) for _ in placed.tall]
        normals = np.array([self._bodies.normals(v) for v in placed.vertices], np.float32).reshape(placed.vertices.shape)
        off = np.array([o.off for o in outfits], np.float32).reshape(*normals.shape[:2], 1) * (placed.tall / 1.7)[:, None, None]
        paint = np.array([np.column_stack([o.colours, o.rough]) for o in outfits], np.float32).reshape(*normals.shape[:2], 4)
        seen = self._renderer.draw(
            placed.vertices + off * normals, normals, paint, self._bodies.template, self._bodies.faces, focal, _light(rng, clean)
        )
        image = image * (1 - seen.alpha[..., None] / np.float32(255)) + seen.rgb
        owner = seen.owner.copy()
        for _ in range(rng.integers(0, self.objects + 1)):
            cover(image, owner, clean, rng)
        return self._labelled(finished(image.astype(np.float32), rng), placed, seen, owner, focal, i % self.length)

    def _places(self, rng: np.random.Generator, focal: float) -> Placed:
        """Rotated bodies at random places in the picture."""
        h = self.size[0]
        picks = [self._bank.pick(rng) for _ in range(rng.integers(self.people[0], self.people[1] + 1))]
        meshes = self._bodies.make(rng, [turns for turns, _ in picks])
        vertices, joints = meshes.vertices.astype(np.float32), meshes.joints.astype(np.float32)
        common, before = np.exp(rng.uniform(*np.log(self.height))), None
        for i, (_, view) in enumerate(picks):
            near = before is not None and rng.random() < self.crowd
            part = common * rng.lognormal(0, 0.15) if near or rng.random() < 0.5 else np.exp(rng.uniform(*np.log(self.height)))
            away = focal * 1.7 / (np.clip(part, *self.height) * h)
            v, j = vertices[i] @ view.T.astype(np.float32), joints[i] @ view.T.astype(np.float32)
            middle = (v.min(0) + v.max(0)) / 2
            v, j = v - middle, j - middle
            if near and before is not None:
                to = before + rng.uniform(-0.5, 0.5, 3) * (1.0, 0.3, 0.8)
                to[2] = max(to[2], 0.6)
            else:
                xy = self._spot(rng, np.abs(v[:, :2]).max(0) * focal / away)
                to = np.array([xy[0] * away / focal, xy[1] * away / focal, away])
            # Keep bodies in front of the camera.
            to[2] = max(to[2], 0.3 - float(v[:, 2].min()))
            before = to.copy()
            vertices[i], joints[i] = v + to.astype(np.float32), j + to.astype(np.float32)
        return Placed(vertices, joints, meshes.tall)

    def _spot(self, rng: np.random.Generator, reach: Float[np.ndarray, "2"]) -> tuple[float, float]:
        """Position of a body's middle in pixels from the picture's middle; `reach` is half of its width and height."""
        h, w = self.size
        cut = rng.random() < self.truncate
        aside = w / 2 if cut else max(w / 2 - reach[0], 0)
        # Photographers cut legs, hardly ever heads: the top of the body is in the picture, with some room above it.
        highest = reach[1] - h / 2
        lowest = h / 2 if cut else h / 2 - reach[1]
        if lowest < highest:
            lowest = highest + rng.uniform(0, 0.25) * h
        if cut and rng.random() < 0.15:
            highest = -h / 2
        return float(rng.uniform(-aside, aside)), float(rng.uniform(highest, lowest))

    def _labelled(self, image: np.ndarray, placed: Placed, seen: Rendered, owner: Int[np.ndarray, "H W"], focal: float, i: int) -> Scene:
        """The scene with visibility, boxes and areas; people who are almost fully hidden are masked and not labelled."""
        (h, w), n = self.size, len(placed.tall)
        xy = placed.joints[..., :2] * focal / placed.joints[..., 2:] + np.array([w / 2 - 0.5, h / 2 - 0.5], np.float32)
        cell = np.round(xy).astype(int)
        inside = ((xy > -0.5) & (xy < np.array([w, h]) - 0.5)).all(-1)
        x, y = np.clip(cell[..., 0], 0, w - 1), np.clip(cell[..., 1], 0, h - 1)
        skin = _UNDER * (placed.tall / 1.7)[:, None]
        open_ = (owner[y, x] == np.arange(n)[:, None]) & (seen.depth[y, x] > placed.joints[..., 2] - skin)
        visible = np.where(inside, np.where(open_, 2, 1), 0)
        visible[:, :5][visible[:, :5] == 1] = self.far_face
        keypoints = np.concatenate([xy, visible[..., None]], -1) * (visible > 0)[..., None]
        full = np.array([_extent(v, focal) for v in placed.vertices], np.float32)
        smallest = np.where((visible == 2).sum(1) < 2, np.inf, np.maximum(16, 0.02 * full))
        return labelled(image, keypoints, owner, smallest, i)


def _extent(vertices: Float[np.ndarray, "v 3"], focal: float) -> float:
    """Area in pixels of the box around a whole body, also outside the picture."""
    xy = vertices[:, :2] * focal / vertices[:, 2:]
    return float(np.prod(xy.max(0) - xy.min(0)))


def _light(rng: np.random.Generator, background: Float[np.ndarray, "H W 3"]) -> Light:
    """A light of about the brightness and tint of the background."""
    tint = background.mean((0, 1)) / max(float(background.mean()), 1.0)
    tint = 0.6 + 0.4 * tint
    bright = np.clip(background.mean() / 255 * rng.uniform(1.0, 1.7) + 0.15, 0.25, 1.1)
    share = rng.uniform(0.25, 0.75)
    sun = rng.normal(0, 1, 3) * (1, 0.7, 0.6) + (0, -0.8, -0.7)
    sky = bright * (1 - share) * rng.uniform(0.9, 1.3) * tint
    return Light(
        sun / np.linalg.norm(sun),
        bright * share * 1.3 * (1 + rng.normal(0, 0.05, 3)),
        sky,
        sky * rng.uniform(0.4, 0.8),
        rng.uniform(0.2, 1.0),
    )
