"""Three-dimensional bodies of all shapes and ages (anny: a CC0 body, Apache-2.0), posed, with COCO's joints. Needs the extra ``synth``."""

import contextlib
import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse

from manypose.poses.skeleton import COCO
from synthetic_people.rendered.postures import BONES, Rest

__all__ = ["PARTS", "Bodies", "Meshes"]

PARTS = (
    "head",
    "eye",
    "neck",
    "chest",
    "belly",
    "hips",
    "upper_arm",
    "elbow",
    "lower_arm",
    "hand",
    "upper_leg",
    "knee",
    "lower_leg",
    "foot",
)
_OF_BONE = {
    "head": "head", "eye": "eye", "neck": "neck", "root": "hips", "pelvis": "hips", "spine05": "belly", "spine04": "belly",
    "spine": "chest", "clavicle": "chest", "shoulder": "chest", "upperarm01": "upper_arm", "upperarm02": "elbow",
    "lowerarm": "lower_arm", "wrist": "hand", "finger": "hand", "metacarpal": "hand", "upperleg01": "upper_leg", "upperleg02": "knee",
    "lowerleg": "lower_leg", "foot": "foot", "toe": "foot",
}  # fmt: skip


@dataclass(frozen=True)
class Meshes:
    """n posed bodies of v vertices, in metres, world axes (`synthetic_people.rendered.postures`).

    Args:
        vertices: of the skin.
        joints: COCO's.
        tall: the standing height of each.
    """

    vertices: Float[np.ndarray, "n v 3"]
    joints: Float[np.ndarray, "n 17 3"]
    tall: Float[np.ndarray, " n"]


class Bodies:
    """The body model: loaded once, then any number of people.

    Raises:
        ValueError: the extra is not installed.
    """

    def __init__(self) -> None:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it greets on the standard output, which is for results
                import anny

                self.model = anny.Anny().to(torch.float32).eval()
                self.regressor = anny.KeypointsRegressor.coco(self.model).to(torch.float32)
        except ImportError as e:
            raise ValueError(f"three-dimensional bodies need more packages ({e}): pip install 'manypose[synth]'") from e
        self.order = [self.regressor.labels.index(joint) for joint in COCO.joints]
        self.faces: Int[np.ndarray, "f 3"] = _triangles(self.model.faces.numpy())
        out = self._posed({}, self._shape(None, 1))
        self.template: Float[np.ndarray, "v 3"] = out["vertices"][0].numpy().astype(np.float64)
        heads = out["bone_poses"][0, :, :3, 3].numpy().astype(np.float64)
        self.rest = Rest({b: heads[self.model.bone_labels.index(b)] for b in BONES})

    @cached_property
    def part(self) -> Int[np.ndarray, " v"]:
        """The part (index into PARTS) that each vertex moves with most."""
        weights, bones = self.model.vertex_bone_weights.numpy(), self.model.vertex_bone_indices.numpy()
        bone = bones[np.arange(len(bones)), weights.argmax(1)]
        of = []
        for label in self.model.bone_labels:
            name = label.split(".")[0]
            of.append(PARTS.index(next(p for b, p in sorted(_OF_BONE.items(), key=lambda i: -len(i[0])) if name.startswith(b))))
        return np.array(of)[bone]

    @cached_property
    def _around(self) -> sparse.csr_matrix:
        """Vertices by faces: adds up the normals of the faces around a vertex."""
        f = np.repeat(np.arange(len(self.faces)), 3)
        return sparse.csr_matrix((np.ones(len(f), np.float32), (self.faces.reshape(-1), f)), (len(self.template), len(self.faces)))

    def normals(self, vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
        """Of unit length, outwards."""
        a, b, c = (vertices[self.faces[:, i]] for i in range(3))
        n = self._around @ np.cross(b - a, c - a).astype(np.float32)
        return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12)

    def make(self, rng: np.random.Generator, turns: list[dict[str, Float[np.ndarray, "3 3"]]]) -> Meshes:
        """A body for each posture (see `synthetic_people.rendered.postures`), of random shape."""
        if not turns:
            return Meshes(np.zeros((0, *self.template.shape), np.float32), np.zeros((0, 17, 3), np.float32), np.zeros(0, np.float32))
        shape = self._shape(rng, len(turns))
        together = {bone: torch.from_numpy(np.stack([t[bone] for t in turns])).float() for bone in BONES}
        out = self._posed(together, shape)
        joints = self.regressor(out)[:, self.order].numpy()
        rest = out["rest_vertices"][..., 2]
        return Meshes(out["vertices"].numpy(), joints, (rest.amax(1) - rest.amin(1)).numpy())

    def _shape(self, rng: np.random.Generator | None, n: int) -> dict[str, torch.Tensor]:
        """Phenotypes: mostly adults, a fifth children; None: the average adult."""
        labels = self.model.phenotype_labels
        if rng is None:
            drawn = {label: np.full(n, 2 / 3 if label == "age" else 0.5) for label in labels}
        else:
            drawn = {label: np.clip(rng.normal(0.5, 0.2, n), 0, 1) for label in labels}
            drawn["age"] = np.where(rng.random(n) < 0.2, rng.uniform(0.25, 0.5, n), rng.uniform(0.55, 1, n))
            drawn["gender"] = rng.choice((0.05, 0.95), n) + rng.normal(0, 0.03, n).clip(-0.05, 0.05)
        return {label: torch.from_numpy(values).float() for label, values in drawn.items()}

    @torch.no_grad()
    def _posed(self, turns: dict[str, torch.Tensor], shape: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        n = len(next(iter(shape.values())))
        pose = torch.eye(4).repeat(n, self.model.bone_count, 1, 1)
        for bone, turn in turns.items():
            pose[:, self.model.bone_labels.index(bone), :3, :3] = turn
        return self.model(pose_parameters=pose, phenotype_kwargs=shape)


def _triangles(faces: Int[np.ndarray, "f k"]) -> Int[np.ndarray, "t 3"]:
    if faces.shape[1] == 3:
        return faces.astype(np.int64)
    return np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]]).astype(np.int64)
