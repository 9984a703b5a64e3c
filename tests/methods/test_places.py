"""Decoding a method's own targets gives back the people, in every option: where targets stand and what decoding adds belong together."""

import numpy as np
import pytest
import torch
from tiny_people import batch_of

from manypose.inference.test_time_augmentation import outputs
from manypose.inference.views import base_scale
from manypose.methods.catalog import build
from manypose.methods.method import Maps
from manypose.poses.skeleton import CROWDPOSE, MPII, Skeleton

SIZE = (256, 320)
PHASES = (np.arange(16) + 0.5) / 4
"""Where in a square of 4 × 4 pixels a joint lies: over these the errors of whole cells average out."""


def people_of(skeleton: Skeleton) -> list[np.ndarray]:
    """Two photos with an upright person each, whose joints have all phases in x and in y; the second is half a step further on."""
    k = len(skeleton)
    place = np.array([16 * np.array([(j * 5) % k % 16, j % 14]) for j in range(k)])
    xy = place + np.stack([PHASES[np.arange(k) % 16], PHASES[(np.arange(k) * 7 + 3) % 16]], 1) + [24, 16]
    return [np.concatenate([xy + at, np.full((k, 1), 2.0)], 1).astype(np.float32)[None] for at in (0, 4)]


def seen(method, people: list[np.ndarray], flip: bool, scales: tuple[float, ...], noise: float = 1e-5) -> list:
    """The people that a method decodes where its network paints its targets in each view; the photos are white on the left, so a view tells
    whether it is mirrored."""

    def network(images: torch.Tensor) -> Maps:
        h, w = images.shape[2:]
        zoom, mirrored = h / SIZE[0], bool(images[0, 0, 0, 0] < images[0, 0, 0, -1])
        moved = []
        for photo in people:
            photo = photo.copy()
            photo[..., :2] = (photo[..., :2] + 0.5) * zoom - 0.5
            if mirrored:
                photo[..., 0] = w - 1 - photo[..., 0]
                photo = photo[:, list(method.skeleton.mirror)]
            moved.append(photo)
        return painted(method, method.targets(batch_of(moved, (h, w)), (h, w)))

    method.network = network
    images = []
    for s in scales:
        image = torch.zeros(len(people), round(SIZE[0] * s), round(SIZE[1] * s), 3, dtype=torch.uint8)
        image[:, :, : image.shape[2] // 2] = 255
        images.append(image)
    base, first = base_scale(scales), "pose" if "pose" in method.fields else "heat"
    maps = outputs(method, images, [s / scales[base] for s in scales], base, flip=flip)
    # Of two equally high cells the first is the peak, always, which would move the mean of all joints by a part of a cell.
    maps[first] = maps[first] + noise * torch.rand(maps[first].shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = method.decode(maps, tuple(images[base].shape[1:3]))
    return [p[p.scores > 0.05] for p in found]  # boxes by regression are all people, most with a score of next to nothing


def painted(method, made: Maps) -> Maps:
    """A network's outputs that are as the targets say."""
    if "heat4" in made:
        return {"heat4": made["heat4"], "heat2": made["heat2"], "tag4": torch.zeros_like(made["heat4"])}
    if "scale0" in made:
        return {"stage0_scale0": made["scale0"]}
    boxes = {"person": torch.where(made["label"] == 1, 9.0, -9.0), "shift": made["shift"]} if "label" in made else {}
    if "heat" in made or "tag" in method.fields or boxes:  # MultiPoseNet; SIMPLE with a regression or with tags
        maps = {name: made[name] for name in ("heat", "pose") if name in made}
        return maps | (boxes or {"tag": torch.zeros_like(made["pose"])})
    logits = {p: torch.logit(made[p].clamp(1e-4, 1 - 1e-4)) for p in ("centre", "top_left", "bottom_right")}
    off = {f"{p}_offset": made[f"{p}_offset"][:, 0, :, None, None].expand(-1, 2, *made[p].shape[2:]) for p in logits}
    return {"pose": made["pose"], **logits, **off}


SWAHR = {"trunk": "hrnet_w18_small"}
SIMPLE_POSE = {"stages": 1, "c": 16, "n": 16, "auxiliary": False}
OPTIONS = [
    pytest.param("swahr-w32", SWAHR | arguments, id="swahr " + " ".join(arguments))
    for arguments in (
        {},
        {"published_targets": True},
        {"published_targets": True, "window": "paper"},
        {"published_targets": True, "heat_maps": "half"},
        {"heat_maps": "half"},
        {"published_targets": True, "grouping": {"refinement": "quarter"}},
    )
] + [
    pytest.param("imhn-4", SIMPLE_POSE | {"published": False}, id="simple_pose"),
    pytest.param("imhn-4", SIMPLE_POSE | {"published": True}, id="simple_pose published"),
    pytest.param("imhn-4", {"stages": 1, "wiring": "cascade", "published": False}, id="simple_pose stride 8"),
    pytest.param("imhn-4", SIMPLE_POSE | {"published": True, "decoder": "published"}, id="simple_pose published decoder"),
    pytest.param("imhn-4", SIMPLE_POSE | {"published": True, "decoder": "paper"}, id="simple_pose paper decoder"),
    pytest.param("imhn-4", SIMPLE_POSE | {"published": False, "encoding": "fields"}, id="simple_pose fields"),
    pytest.param("simple-small", {"grouping": "max"}, id="simple"),
    pytest.param("simple-small", {"grouping": "max", "detector": "regression"}, id="simple regression"),
    pytest.param("simple-small", {"grouping": "ae", "detector": "none"}, id="simple tags"),
    pytest.param("multiposenet-small", {"prn": None, "sigma": 1.75}, id="multiposenet max"),
    pytest.param("multiposenet-small", {"prn": None, "sigma": 1.75, "output_stride": 16}, id="multiposenet dilated"),
    pytest.param("multiposenet-small", {"prn": {"kind": "PRN"}, "sigma": 1.75}, id="multiposenet prn"),
    pytest.param("multiposenet-small", {"prn": {"kind": "DensePRN"}, "sigma": 1.75}, id="multiposenet dense prn"),
]


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)], ids=["one scale", "three scales"])
@pytest.mark.parametrize("flip", [False, True], ids=["", "flip"])
@pytest.mark.parametrize(("name", "arguments"), OPTIONS)
def test_01_people_lie_where_the_targets_were(name, arguments, flip, scales):
    if arguments.get("wiring") == "cascade" and len(scales) > 1:
        scales = (1.0, 2.0)  # at half the size a cell has 16 pixels, and a Gaussian of 9 is but three cells
    method = build(name, **arguments)
    people = people_of(method.skeleton)
    found = seen(method, people, flip, scales)
    authors = "decoder" in arguments
    if authors:  # their decoder leaves fragments, and enlarges maps by cubic interpolation
        away = [np.abs(p.keypoints[:, :16] - truth[:, :16, :2]).mean((1, 2)) for p, truth in zip(found, people, strict=True)]
        found = [p[[int(a.argmin())]] for p, a in zip(found, away, strict=True)]
    assert [len(p) for p in found] == [1, 1]
    off = np.concatenate([p.keypoints[0, :16] - truth[0, :16, :2] for p, truth in zip(found, people, strict=True)])
    if authors:  # and some joints are in no part that it takes
        there = np.concatenate([p.keypoint_scores[0, :16] > 0 for p in found])
        assert there.sum() >= 16
        off = off[there]
    whole = arguments.get("published_targets", False)
    assert np.abs(off.mean(0)).max() < (0.25 if authors else 0.1), off.mean(0)
    # Joints cut to whole cells, of 2 to 8 pixels in the views, are right in the mean alone.
    assert np.abs(off).max() < (2.5 if whole else 1.0 if authors else 0.1), np.abs(off).max(0)


@pytest.mark.parametrize("flip", [False, True], ids=["", "flip"])
def test_01_a_joint_between_two_cells_is_one_joint(flip):
    """Where the mirrored view's whole cell is the next one, their mean has two equally high cells: an extra person before."""
    method = build("swahr-w32", **SWAHR, published_targets=True)
    for seed in range(4):
        xy = np.random.default_rng(seed).uniform([8, 8], [312, 248], (2, 1, 17, 2))
        people = list(np.concatenate([xy, np.full((2, 1, 17, 1), 2.0)], 3).astype(np.float32))
        assert [len(p) for p in seen(method, people, flip, (1.0,), noise=0)] == [1, 1]


CATS = ("nose", "left_hand", "right_hand", "left_foot", "right_foot", "tail")
CAT = Skeleton("cat", CATS, ((0, 1), (0, 2), (0, 5), (5, 3), (5, 4)), (0, 2, 1, 4, 3, 5), (0.05,) * 6)


@pytest.mark.parametrize("size", [(256, 640), (640, 320)], ids=str)
@pytest.mark.parametrize("skeleton", [CROWDPOSE, MPII, CAT], ids=lambda s: s.name)
@pytest.mark.parametrize(("name", "arguments"), [p for p in OPTIONS if p.id in ("simple_pose", "simple", "multiposenet prn")])
def test_01_other_skeletons_and_sizes(name, arguments, skeleton, size, monkeypatch):
    monkeypatch.setattr(f"{__name__}.SIZE", size)
    method = build(name, **arguments, skeleton=skeleton)
    people = people_of(skeleton)
    found = seen(method, people, True, (1.0,))
    assert [len(p) for p in found] == [1, 1]
    assert max(np.abs(p.keypoints[0] - truth[0, :, :2]).max() for p, truth in zip(found, people, strict=True)) < 0.1
