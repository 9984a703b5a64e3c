"""Simple Pose's targets, losses and gradients are those of the authors' program."""

import json

import numpy as np
import pytest
import torch
from shared import parity, parity_files, parity_module
from tiny_people import batch_of

from manypose.methods.simple_pose.body import Body, body_of
from manypose.methods.simple_pose.loss import focal_l2, simple_pose_loss
from manypose.methods.simple_pose.targets import heat_maps, part_maps, pyramid, targets
from manypose.poses.skeleton import COCO

FAMILY = "simple_pose_prn"


def body(parts: list) -> Body:
    """The 30 parts, or the 24 of the authors' 3-stage configuration."""
    whole = body_of(COCO)
    parts = tuple(tuple(p) for p in parts)
    images = [parts.index(p) for p in parts]
    return Body(whole.skeleton, whole.sources, parts, whole.mirror_joints, tuple(images), whole.place, whole.variance)


@pytest.mark.parametrize("path", parity_files(FAMILY, "simplepose_targets_*.npz"))
def test_targets_are_the_authors(path):
    summary = json.loads(parity(FAMILY, "simplepose_targets_summary.json").read_text())[path.stem.removeprefix("simplepose_targets_")]
    stored, how = np.load(path), summary["transform"]
    labels = torch.from_numpy(stored["labels"])
    parts, grid = len(summary["limbs"]), tuple(labels.shape[1:])
    joints = torch.from_numpy(stored["joints18"])[None]
    xy, drawn = joints[..., :2], joints[..., 2] < 2  # in the authors' arrays 2 means: not labelled
    heat = heat_maps(xy, drawn, grid, how["sigma"], how["keypoint_gaussian_thre"], published=True)
    part = part_maps(xy, drawn, body(summary["limbs"]), grid, how["paf_sigma"], how["limb_gaussian_thre"], published=True)
    assert (heat[0] - labels[parts : parts + 18]).abs().max() < 1e-6
    assert (part[0] - labels[:parts]).abs().max() < 1e-6
    assert (heat[0].amax(0) - labels[-1]).abs().max() < 1e-6


@pytest.mark.parametrize("path", parity_files(FAMILY, "simplepose_targets_config*.npz"))
def test_a_whole_batch_of_targets_is_the_authors(path):
    """From COCO's people: the neck, the channels' order and the person mask."""
    how = json.loads(parity(FAMILY, "simplepose_targets_summary.json").read_text())[path.stem.removeprefix("simplepose_targets_")]
    if len(how["limbs"]) != 30:
        pytest.skip(f"{path.name}: another set of parts")
    stored = np.load(path)
    joints = stored["joints18"].astype(np.float32)
    people = np.zeros((len(joints), 17, 3), np.float32)
    for i, source in enumerate(body_of(COCO).sources):
        if isinstance(source, int):
            people[:, source] = joints[:, i]
    people[..., 2] = np.where(people[..., 2] < 2, 1, 0)
    # A neck may be labelled by another rule than the shoulders' middle once joints have left the picture; leave those people's out.
    necks = joints[:, 1, 2] < 2
    both = (people[:, 5, 2] > 0) & (people[:, 6, 2] > 0)
    middle = (people[:, 5, :2] + people[:, 6, :2]) / 2
    assert (necks == both).all()
    assert np.abs(middle - joints[:, 1, :2])[both].max() < 1e-3
    mask = np.kron(stored["mask_all_in"], np.ones((4, 4)))
    size = mask.shape
    batch = batch_of([people], size)
    segmentation = torch.from_numpy((mask > 0.5).astype(np.uint8))[None]
    object.__setattr__(batch, "segmentation", segmentation)
    ours = targets(
        batch,
        size,
        body_of(COCO),
        thre=how["transform"]["keypoint_gaussian_thre"],
        thre_p=how["transform"]["limb_gaussian_thre"],
        published=True,
    )
    labels = torch.from_numpy(stored["labels"])
    channels = [c for c in range(50) if c not in (48,)]
    assert (ours["scale0"][0, channels] - labels[channels]).abs().max() < 1e-4  # the authors' necks are float32 means of rounded places
    binary = ((stored["mask_all_in"] == 0) | (stored["mask_all_in"] == 1)).all()
    if binary:
        assert torch.equal(ours["scale0"][0, 48], labels[48])


CONFIGS = [("config", 4, 50, 3.0), ("config2", 3, 44, 1.0)]


@pytest.mark.parametrize(("name", "stages", "channels", "weight"), CONFIGS)
def test_losses_and_gradients_are_the_authors(name, stages, channels, weight):
    stored = json.loads(parity(FAMILY, "simplepose_loss.json").read_text())[name]
    grads = np.load(parity(FAMILY, "simplepose_loss_grads.npz"))
    mask, labels, preds = parity_module(FAMILY, "loss_cases").case(nstack=stages, channels=channels)
    goal = pyramid(torch.from_numpy(labels), torch.from_numpy(mask))
    outputs = {f"stage{t}_scale{i}": torch.from_numpy(preds[t][i]).requires_grad_() for t in range(stages) for i in range(5)}
    weights = [1.0] * (channels - 20) + [weight] * 18 + [0.1, 1.0]
    published = {"alpha": 0.0, "beta": 0.0, "power": 1.0, "inclusive": True}
    parts = simple_pose_loss(outputs, goal, weights, [1.0] * channels, stored["scale_weight"], "mean", **published)
    total = sum(stored["scale_weight"])
    for i, unweighted in enumerate(stored["per_scale_unweighted"]):
        assert float(parts[f"scale{i}"].detach().sum()) * total / stored["scale_weight"][i] == pytest.approx(unweighted, rel=1e-6)
    loss = torch.stack(list(parts.values())).mean(1).sum()
    assert float(loss.detach()) == pytest.approx(stored["total_loss_batchsize2"], rel=1e-6)
    loss.backward()
    for t in range(stages):
        for i in range(5):
            grad = outputs[f"stage{t}_scale{i}"].grad
            assert float(grad.double().abs().sum()) == pytest.approx(stored[f"grad_abs_sum.s{t}"][i], rel=1e-6)
            if f"{name}.grad.s{t}.j{i}" in grads.files:
                reference = torch.from_numpy(grads[f"{name}.grad.s{t}.j{i}"])
                assert (grad - reference).abs().max() < 1e-6 * reference.abs().max()


# The stored values are means over stages at scale 0, with joints weighing 3 and the person mask 0.1.
VARIANTS = {
    "fl_alpha0_beta0_kw3_mw0.1": ("weighted", {"alpha": 0.0, "beta": 0.0, "power": 1.0, "inclusive": True}),
    "fl_alpha.1_beta.02_kw3_mw0.1": ("weighted", {"power": 1.0, "inclusive": True}),
    "mine_paper_alpha.1_beta.02_power2": ("weighted", {"inclusive": True}),
    "l2_kw3_mw0.1": ("weighted", None),
    "parallel_focal_gamma2": ("flat", {"alpha": 0.0, "beta": 0.0, "inclusive": True}),
    "parallel_l2": ("flat", None),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("name", "stages", "channels", "weight"), CONFIGS)
def test_other_losses_of_the_authors(variant, name, stages, channels, weight):
    stored = json.loads(parity(FAMILY, "simplepose_loss.json").read_text())[name][variant]
    mask, labels, preds = parity_module(FAMILY, "loss_cases").case(nstack=stages, channels=channels)
    kind, factor = VARIANTS[variant]
    weights = torch.tensor([1.0] * (channels - 20) + [3.0] * 18 + [0.1, 1.0] if kind == "weighted" else [1.0] * channels).double()
    scaled = pyramid(torch.from_numpy(labels).double(), torch.from_numpy(mask).double(), 1)
    goal, look = scaled["scale0"], scaled["mask0"]
    focal = None if factor is None else torch.ones(channels).double()
    each = [focal_l2(torch.from_numpy(p[0]).double(), goal, look, weights, focal, **(factor or {})).sum() for p in preds]
    assert float(torch.stack(each).mean()) == pytest.approx(stored, rel=1e-6)
