"""The top-down room as a user meets it: boxes, batches, decoding, training views."""

from typing import Any

import numpy as np
import pytest
import torch

from manypose.data.augmentation.person_crops import EachPerson, PersonView
from manypose.data.sample import Sample, collate
from manypose.inference.model import Model
from manypose.methods.catalog import build
from manypose.methods.method import Method
from manypose.methods.mspn.decode import decode
from manypose.methods.mspn.targets import ladders
from manypose.nn.heatmaps import gaussians
from manypose.poses.crops import crop
from manypose.poses.skeleton import COCO


def light(stages: int = 2, **options) -> Any:
    torch.manual_seed(0)
    small = {"trunk": "tiny", "width": 16, "input_size": [128, 96]}
    return build(f"mspn-{stages}", **{**small, **options})  # pyright: ignore[reportReturnType]


def sample_of(n: int = 1, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(30, 170, (n, 17, 2))
    keypoints = np.concatenate([xy, np.full((n, 17, 1), 2)], 2).astype(np.float32)
    boxes = np.concatenate([xy.min(1), xy.max(1)], 1).astype(np.float32)
    image = rng.integers(0, 255, (200, 200, 3), np.uint8)
    return Sample(COCO, image, keypoints, boxes, np.full(n, 9000, np.float32), np.ones((1, 200, 200), np.uint8))


@pytest.mark.parametrize("refinement", ["gaussian", "dark"])
def test_clean_maps_are_read_to_a_tenth_of_a_pixel(refinement):
    rng = torch.Generator().manual_seed(0)
    low, high = (3, [44.0, 60.0]) if refinement == "dark" else (-0.5, [47.5, 63.5])  # DARK takes no step at the edge
    xy = low + torch.rand(20, 1, 17, 2, generator=rng) * (torch.tensor(high) - low)
    heat = gaussians(xy, torch.ones(20, 1, 17, dtype=torch.bool), (64, 48), 1.1)
    found, heights = decode(heat, (256, 192), refinement)
    assert (found - (xy[:, 0] * 4 + 1.5)).abs().max() < 0.1
    assert (heights > 0.5).all()
    alone, _ = decode(heat[3:4], (256, 192), refinement)
    assert torch.equal(alone, found[3:4])


def test_a_single_hot_cell_of_noise_does_not_win():
    heat = 0.6 * gaussians(torch.tensor([[[[20.3, 30.8]]]]), torch.ones(1, 1, 1, dtype=torch.bool), (64, 48), 1.5)
    heat[0, 0, 5, 5] = 0.9
    assert (decode(heat, (256, 192))[0] - torch.tensor([20.3 * 4 + 1.5, 30.8 * 4 + 1.5])).abs().max() < 0.1


def test_joints_that_are_not_in_the_picture_do_not_lower_a_score():
    method = light()
    xy = 20 + 20 * torch.rand(2, 1, 17, 2, generator=torch.Generator().manual_seed(0))
    there = torch.ones(2, 1, 17, dtype=torch.bool)
    there[1, 0, 11:] = False  # no hips and legs
    heat = 0.8 * gaussians(xy, there, (64, 48), 1.1) + 0.04
    whole, cut = (p.scores[0] for p in method.decode({"heat": heat}, (256, 192)))
    assert cut == pytest.approx(whole, abs=0.05)
    assert method.decode({"heat": torch.full((1, 17, 64, 48), 0.04)}, (256, 192))[0].scores[0] == 0


def test_two_looks_at_one_person_are_one_person():
    """Ours removes the lower of two results of high OKS; MSPN's authors remove none, HRNet's above 0.9."""
    assert light().person_nms_oks == 0.7
    assert light(decoding="published").person_nms_oks == 1.0
    assert build("hrnet-w32", trunk="hrnet_w18_small", decoding="published").person_nms_oks == 0.9  # pyright: ignore


@pytest.mark.parametrize("extend", [(1.0, 1.0), (1.09, 1.135), (1.7, 1.7)])
@pytest.mark.parametrize("published", [False, True])
def test_a_box_is_shown_whole_and_in_proportion(extend, published):
    box = np.array([10.0, 40.0, 250.0, 90.0])
    warp = crop(box, (256, 192), extend, published)
    corners = warp.points(box.reshape(2, 2))
    assert (corners >= -0.6).all()
    assert (corners <= [192.6, 256.6]).all()
    assert warp.matrix[0, 0] == pytest.approx(warp.matrix[1, 1])
    middle = warp.points(np.array([[130.0, 65.0]]))[0]
    assert middle == pytest.approx([96, 128] if published else [95.5, 127.5])


VARIANTS = [
    {},
    {"trunk": "hourglass"},
    {"trunk": "hourglass-growing"},
    {"aggregation": False, "multi_scale": False, "coarse_to_fine": False},
    {"kernels": (5, 5)},
    {"labels": "published"},
    {"trunk": "xception-small"},
]


@pytest.mark.parametrize("options", VARIANTS)
def test_every_parameter_learns(options):
    method = light(**options)
    assert isinstance(method, Method)
    batch = collate([PersonView((128, 96))(sample_of(2, s), np.random.default_rng(s)) for s in range(2)])
    losses = method.loss(method.network(method.prepare(batch.images)), method.targets(batch, (128, 96)))
    torch.stack(list(losses.values())).sum().backward()
    assert set(losses) == {"stage0", "stage1"}
    assert not [name for name, p in method.named_parameters() if p.grad is None]


def test_kernels_of_table_5():
    assert ladders(2) == ladders(2, (7, 5)) == ((15, 11, 9, 7), (11, 9, 7, 5))
    assert ladders(2, (5, 5)) == ((11, 9, 7, 5),) * 2
    with pytest.raises(ValueError, match="kernels are one of"):
        ladders(2, (7,))


def test_joints_that_a_data_set_does_not_annotate_are_not_learnt_as_absent():
    method, sample = light(1), sample_of()
    sample.keypoints[:, :5] = 0
    planes = np.ones((17, 200, 200), np.uint8)
    planes[:5] = 0
    partly = Sample(sample.skeleton, sample.image, sample.keypoints, sample.boxes, sample.areas, planes)
    view = PersonView((128, 96), rotated=0, flip=0, half_body=0)
    known = [method.targets(collate([view(s, np.random.default_rng(0))]), (128, 96))["known"][0] for s in (sample, partly)]
    assert known[0].tolist() == [1] * 17
    assert known[1].tolist() == [0] * 5 + [1] * 12


def test_boxes_of_several_photos_go_in_full_batches_and_people_do_not_depend_on_them():
    method = light()
    model = Model(method)  # pyright: ignore[reportArgumentType]
    photos = [np.random.default_rng(i).integers(0, 255, (120, 160, 3), np.uint8) for i in range(3)]
    boxes = [np.array([[10, 10, 60, 100], [50, 20, 120, 110]], np.float32), np.zeros((0, 4)), np.array([[5, 5, 90, 90, 0.5]] * 1)]
    seen, network = [], method.net.forward
    method.net.forward = lambda images, every: (seen.append(len(images)), network(images, every))[1]
    together = model.predict(photos, boxes=boxes, batch_size=3, threshold=0.0)
    assert seen == [3]
    alone = [model.predict(p, boxes=b, batch_size=1, threshold=0.0) for p, b in zip(photos, boxes, strict=True)]
    assert [len(p) for p in together] == [2, 0, 1]
    for a, b in zip(together, alone, strict=True):
        assert a.keypoints == pytest.approx(b.keypoints, abs=1e-2)
    flipped = model.predict(photos, boxes=boxes, flip=True, threshold=0.0)
    assert [len(p) for p in flipped] == [2, 0, 1]


BAD = [[np.nan, 0, 5, 5], [0, 0, 0, 5], [10, 10, 5, 5], [-50, -50, -20, -20], [500, 0, 600, 50]]


@pytest.mark.parametrize("box", BAD)
def test_a_bad_box_is_left_out_and_said(box):
    model, photo = Model(light(1)), np.zeros((100, 100, 3), np.uint8)  # pyright: ignore[reportArgumentType]
    good = np.array([[10, 10, 50, 90]], np.float32)
    with pytest.warns(UserWarning, match="1 box was left out"):
        poses = model.predict(photo, boxes=np.concatenate([good, np.array([box], np.float32)]))
    assert np.array_equal(poses.keypoints, model.predict(photo, boxes=good).keypoints)


@pytest.mark.parametrize("box", BAD)
def test_whoever_cuts_a_bad_box_out_is_told(box, untyped):
    with pytest.raises(ValueError, match="1 of 2 boxes are not finite"):
        light(1).people(np.zeros((100, 100, 3), np.uint8), np.array([[10, 10, 50, 90], box], np.float32))  # pyright: ignore


def test_odd_boxes_are_looked_at():
    """Reaching far beyond the photo, or as small as a box may be."""
    boxes = np.array([[-1e30, -1e30, 1e30, 1e30], [98.9, 99, 99.01, 99.2], [-40, 20, 500, 20.2], [0, 0, 99, 99]], np.float32)
    poses = Model(light(1)).predict(np.zeros((100, 100, 3), np.uint8), boxes=boxes)  # pyright: ignore[reportArgumentType]
    assert np.isfinite(poses.keypoints).all()


def test_no_boxes_is_an_error_that_says_what_to_give():
    with pytest.raises(ValueError, match="is top-down and needs boxes"):
        Model(light(1)).predict(np.zeros((64, 64, 3), np.uint8))  # pyright: ignore[reportArgumentType]


def test_each_person_is_a_sample_and_crops_keep_their_joints():
    people = EachPerson([sample_of(2, 1), sample_of(3, 2)])  # pyright: ignore[reportArgumentType]
    assert len(people) == 5
    view = PersonView((256, 192), rotated=0, flip=0, half_body=0, scale=(1, 1))
    seen = view(people[3], np.random.default_rng(0))
    assert seen.image.shape == (256, 192, 3)
    assert (seen.keypoints[0, :, 2] == 2).all()
    half = PersonView(half_body=1, half_body_joints=8, scale=(1, 1), extend=(1, 1))(people[0], np.random.default_rng(0))
    assert len(half.keypoints) == 1
    nobody = Sample(COCO, people[0].image, *(a[:0] for a in (people[0].keypoints, people[0].boxes, people[0].areas)), people[0].mask)
    assert view(nobody, np.random.default_rng(0)).keypoints.shape == (0, 17, 3)


def test_04_published_files_of_mpii_are_read_at_their_own_size_and_filter(tmp_path):
    """MPII: views of 256 x 256, boxes x 1.25, a filter of 9 cells, no person removed; other sizes by argument."""
    from manypose.weights import files

    small = {"trunk": "tiny", "width": 16}
    torch.save({"model": light(1, skeleton="mpii").net.state_dict()}, tmp_path / "mpii.pth")
    out = files.convert(tmp_path / "mpii.pth", "mspn-1", tmp_path / "x.safetensors", skeleton="mpii", **small)
    for method in (files.load(out, device="cpu"), files.load(out, device="cpu", input_size=[384, 288])):
        assert (method.views.extend, method.post_filter, method.person_nms_oks) == ((1.25, 1.25), 9, 1.0)  # pyright: ignore
    assert files.load(out, device="cpu").input_size == (256, 256)  # pyright: ignore
    assert method.input_size == (384, 288)  # pyright: ignore


def test_published_files_set_the_published_rules(tmp_path):
    from manypose.weights import files

    source = light(1, decoding="published")
    torch.save({"model": source.net.state_dict(), "iteration": 1}, tmp_path / "mspn.pth")
    small = {"trunk": "tiny", "width": 16, "input_size": [128, 96]}
    method = files.load("mspn-1", weights=tmp_path / "mspn.pth", device="cpu", **small)
    assert method.decoding == "published"  # pyright: ignore[reportAttributeAccessIssue]
    assert method.views.extend == (1.09, 1.135)  # pyright: ignore[reportAttributeAccessIssue]
    again = files.load(files.convert(tmp_path / "mspn.pth", "mspn-1", tmp_path / "x.safetensors", **small), device="cpu")
    assert again.decoding == "published"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="does not fit mspn-2"):
        files.load("mspn-2", weights=tmp_path / "mspn.pth", device="cpu", **small)
