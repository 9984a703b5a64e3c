"""MultiPoseNet's network, targets, losses and steps of training."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_people import batch_of, random_people

from manypose.data.sample import Batch
from manypose.methods.catalog import build
from manypose.methods.method import Method
from manypose.methods.multiposenet import MultiPoseNet
from manypose.methods.multiposenet.loss import keypoint_losses, masked_l2
from manypose.methods.multiposenet.targets import keypoint_targets
from manypose.training.step import Step

LIGHT = {
    "trunk": "resnet18", "channels": [8, 8, 16, 16], "width": 16, "features": 8, "smooth": 16, "norm": True, "size": 64, "prn": None,
}  # fmt: skip


def light(**more) -> MultiPoseNet:
    torch.manual_seed(0)
    return MultiPoseNet(**{**LIGHT, **more})


def a_batch(seed: int = 0, size=(64, 96)) -> Batch:
    return batch_of([random_people(seed, 2, size), random_people(seed + 1, 1, size)], size)


def test_it_is_a_method():
    assert isinstance(light(), Method)


@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_shapes(output_stride):
    net = light(output_stride=output_stride).eval()
    out = net.network(net.prepare(a_batch().images))
    assert set(out) == {"heat", "person", "shift"}
    read = net.readout(out)
    assert read["heat"].shape == (2, 18, 16, 24)
    assert read["boxes"].shape == (2, 1000, 5)


def test_maps_of_every_level_are_supervised_in_training_alone():
    net = light()
    images = net.prepare(a_batch().images)
    assert {n for n in net.train().network(images) if n.startswith("heat")} == {"heat", "heat2", "heat3", "heat4", "heat5"}
    assert {n for n in light(intermediate=False).train().network(images) if n.startswith("heat")} == {"heat"}
    assert {n for n in light(concat=False).train().network(images) if n.startswith("heat")} == {"heat", "heat3", "heat4", "heat5"}
    for name, stride in (("heat", 4), ("heat2", 4), ("heat3", 8), ("heat4", 16), ("heat5", 32)):
        assert net.network(images)[name].shape == (2, 18, 64 // stride, 96 // stride)
    with pytest.raises(ValueError, match="concat, intermediate, or both"):
        light(concat=False, intermediate=False)


def test_the_paper_s_sizes():
    """Section 3.2: K of 256, D of 128, four of them concatenated to 512, K + 1 maps."""
    with torch.device("meta"):
        net: MultiPoseNet = build("multiposenet-r50", prn=None)  # type: ignore[assignment]
    shapes = {n: tuple(p.shape) for n, p in net.named_parameters() if n.endswith("weight")}
    assert shapes["keypoints.pyramid.inner_blocks.0.0.weight"] == (256, 256, 1, 1)
    assert shapes["keypoints.features.0.0.0.weight"] == (128, 256, 3, 3)
    assert shapes["keypoints.features.3.1.0.weight"] == (128, 128, 3, 3)
    assert shapes["keypoints.last.0.0.weight"] == (256, 512, 3, 3)
    assert shapes["keypoints.last.1.weight"] == (18, 256, 1, 1)
    assert shapes["persons.head.classification_head.cls_logits.weight"] == (9, 256, 3, 3)
    backbone = sum(p.numel() for p in net.backbone.parameters()) / 1e6
    assert backbone == pytest.approx(23.508, abs=1e-3)  # ResNet-50 without its classifier


@pytest.mark.parametrize(("step", "learns"), [("keypoints", {"backbone", "keypoints"}), ("persons", {"persons"})])
def test_a_step_trains_its_part_and_nothing_else(step, learns):
    net = light(step=step).train()
    before = {n: v.clone() for n, v in net.state_dict().items()}
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    losses = Step(net)(a_batch())
    torch.stack(list(losses.values())).sum().backward()
    optimizer.step()
    changed = {n.split(".")[0] for n, v in net.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == learns  # running statistics of frozen parts stay too
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters() if p.requires_grad)
    assert set(losses) == ({"person", "box"} if step == "persons" else {"heat", "heat2", "heat3", "heat4", "heat5"})


def test_all_at_once():
    losses = Step(light(step="all").train())(a_batch())
    assert set(losses) == {"person", "box", "heat", "heat2", "heat3", "heat4", "heat5"}


def test_the_joints_weigh_as_asked_where_all_is_trained_at_once():
    usual, heavier = (Step(light(step="all", heat_weight=w).train())(a_batch()) for w in (1.0, 3.0))
    assert all(torch.allclose(heavier[n], usual[n] * (3 if n.startswith("heat") else 1)) for n in usual)
    usual, same = (Step(light(step="keypoints", heat_weight=w).train())(a_batch()) for w in (1.0, 3.0))
    assert all(torch.equal(same[n], usual[n]) for n in usual)


def test_a_light_trunks_joints_start_from_its_own_heat_maps():
    torch.manual_seed(0)
    net: MultiPoseNet = build("multiposenet-mobile", prn=None).eval()  # type: ignore[assignment]
    images = net.prepare(torch.randint(256, (1, 64, 96, 3), dtype=torch.uint8))
    with torch.inference_mode():
        heat, logits = net(images)["heat"][:, :-1], net.backbone(images)[0]
    torch.testing.assert_close(heat, logits.sigmoid(), atol=0.02, rtol=0)
    assert logits.sigmoid().std() > 0.01


def test_wrong_choices_are_one_clear_error(untyped):
    with pytest.raises(ValueError, match="step is one of all, keypoints, persons; got 'both'"):
        light(step="both")
    with pytest.raises(ValueError, match="a PRN is one of PRN, DensePRN, AttentionPRN, UCR; got 'Max'"):
        light(prn={"kind": "Max"})
    with pytest.raises(ValueError, match="no ResNet 'vgg16'"):
        light(trunk="vgg16")
    with pytest.raises(ValueError, match="leave out channels"):
        light(pretrained=True)


def test_every_parameter_of_a_step_is_used():
    for more in ({}, {"concat": False}, {"intermediate": False}, {"step": "keypoints"}, {"step": "persons"}):
        net = light(**more).train()
        torch.stack(list(Step(net)(a_batch()).values())).sum().backward()
        idle = [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
        assert not idle, (more, idle)


def test_the_result_does_not_depend_on_the_batch():
    net = light().eval()
    images = net.prepare(torch.randint(256, (3, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        whole = net.readout(net.network(images))
        single = net.readout(net.network(images[1:2]))
    for name in whole:
        assert torch.allclose(whole[name][1:2], single[name], atol=1e-4)


@given(st.integers(0, 1000))
def test_targets_peak_at_the_joints(seed):
    size = (64, 96)
    people = random_people(seed, 2, size)
    made = keypoint_targets(batch_of([people], size), size, 1.75)
    assert made["heat"].shape == (1, 18, 16, 24)
    for person in people:
        for joint, (x, y, v) in enumerate(person):
            if v > 0:
                cell = (np.array([x, y]) - 1.5) / 4
                near = np.clip(np.round(cell), 0, [23, 15]).astype(int)
                high = np.exp(-((near - cell) ** 2).sum() / (2 * 1.75**2))
                assert made["heat"][0, joint, near[1], near[0]] >= high - 1e-5
    nobody = ~(people[..., 2] > 0).any(0)
    assert (made["heat"][0, :17][nobody] == 0).all()


def test_the_person_mask_is_a_target_where_it_is_known():
    people = a_batch(size=(64, 64))
    plane = torch.zeros(2, 64, 64, dtype=torch.uint8)
    plane[0, 8:24, 8:24], plane[0, 32:] = 1, 255
    plane[1] = 255
    made = keypoint_targets(Batch(**{**vars(people), "segmentation": plane}), (64, 64))
    assert made["heat"][0, -1, 2:6, 2:6].min() == 1
    assert made["heat"][0, -1].sum() == 16
    assert made["mask"][0, -1, :8].min() == 1
    assert made["mask"][0, -1, 8:].max() == 0
    assert made["mask"][1, -1].max() == 0
    assert made["mask"][:, :-1].min() == 1


def test_18_the_person_mask_is_the_part_of_what_is_known():
    people, plane = a_batch(size=(64, 64)), torch.zeros(2, 64, 64, dtype=torch.uint8)
    plane[0, :4, :2], plane[0, :4, 2], plane[0, :4, 4:6] = 1, 255, 255  # of 16 pixels: 8 person, 4 unknown; beside it 8 unknown
    made = keypoint_targets(Batch(**{**vars(people), "segmentation": plane}), (64, 64))
    assert float(made["heat"][0, -1, 0, 0]) == pytest.approx(8 / 12)
    assert made["mask"][0, -1, 0, :3].tolist() == [1, 0, 1]  # half of a cell is not enough
    maps = torch.rand(1, 3, 4, 5)
    assert torch.equal(masked_l2(maps, 1 - maps, maps), masked_l2(maps, 1 - maps, maps, 1.0))


@given(st.integers(0, 1000))
def test_equation_4(seed):
    random = torch.Generator().manual_seed(seed)
    maps, heat, mask = (torch.rand(2, 3, 4, 5, generator=random) for _ in range(3))
    mask = (mask > 0.4).float()
    expected = sum((mask * (maps - heat) ** 2)[:, c].sum() / 40 * (1, 1, 0.5)[c] for c in range(3))
    assert torch.allclose(masked_l2(maps, heat, mask, 0.5), expected, atol=1e-6)
    spoiled = torch.where(mask == 0, maps + 7, maps)
    assert torch.allclose(masked_l2(spoiled, heat, mask), masked_l2(maps, heat, mask), atol=1e-6)


def test_coarse_maps_are_measured_on_the_finest_grid():
    heat = torch.zeros(1, 2, 8, 8)
    heat[:, :, :4] = 1
    targets = {"heat": heat, "mask": torch.ones_like(heat)}
    losses = keypoint_losses({"heat": heat, "heat4": heat[:, :, ::4, ::4]}, targets)
    assert losses["heat"] == 0
    assert 0 < losses["heat4"] < 0.2


@pytest.mark.slow
def test_it_learns_one_picture():
    """All parts at once on two drawn blocks: losses fall by far."""
    torch.manual_seed(0)
    net = light(step="all").train()
    people = a_batch(3)
    images = torch.zeros(2, 64, 96, 3, dtype=torch.uint8)
    for image, joints in zip(images, people.keypoints, strict=True):
        for x, y, v in joints.flatten(0, 1).round().long().tolist():
            if v:
                image[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = 255
    batch = Batch(**{**vars(people), "images": images})
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    first = last = 0.0
    for i in range(25):
        losses = torch.stack(list(Step(net)(batch).values())).sum()
        optimizer.zero_grad()
        losses.backward()
        optimizer.step()
        first, last = (losses.item() if i == 0 else first), losses.item()
    assert last < 0.5 * first


def test_as_a_detector_it_gives_boxes_also_where_there_are_no_joints():
    boxes = torch.tensor([
        [[5.0, 5, 30, 60, 0.9], [6, 5, 31, 60, 0.8], [40, 5, 70, 60, 0.02], [50, 5, 80, 60, 0.003]],
        [[0.0, 0, 0, 0, 0.0]] * 4,
    ])  # fmt: skip
    first, second = light().detect({"heat": torch.zeros(2, 18, 16, 24), "boxes": boxes}, (64, 96))
    assert first[:, :4].tolist() == [[5, 5, 30, 60], [40, 5, 70, 60]]  # the second is the first once more, the fourth is nothing
    assert first[:, 4].tolist() == pytest.approx([0.9, 0.02])
    assert len(second) == 0
    assert not len(light().decode({"heat": torch.zeros(2, 18, 16, 24), "boxes": boxes}, (64, 96))[1])
