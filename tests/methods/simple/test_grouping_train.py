"""What the grouping CNN learns from, and its training."""

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import REPOSITORY, shared
from tiny_people import random_people

from manypose.cli.__main__ import main
from manypose.data.datasets.coco import AnnotatedImage, annotated_people
from manypose.methods.simple.grouping import GroupingCNN, at_points
from manypose.methods.simple.grouping_file import load_grouping
from manypose.methods.simple.grouping_train import drawn_examples, train
from manypose.methods.simple.training_maps import MERGED, Examples, Rendering, crowded, render
from manypose.poses.skeleton import COCO

PLAIN = Rendering(short=160, zoom=(1, 1), sigma=(2, 2), flip=0, jitter=0, spoiled=0)


def cnn() -> GroupingCNN:
    return GroupingCNN(size=(32, 32), widths=(8, 8, 8, 8))


def scene(seed: int, n: int = 3, size: tuple[int, int] = (160, 200)) -> AnnotatedImage:
    keypoints = random_people(seed, n, size)
    keypoints[..., 2] = np.where(keypoints[..., 2] > 0, 2, 0)
    keypoints[:, 0, 2] = 2
    there = keypoints[..., 2:] > 0
    low = np.where(there, keypoints[..., :2], np.inf).min(1)
    high = np.where(there, keypoints[..., :2], -np.inf).max(1)
    boxes = np.concatenate([low, np.maximum(high, low + 12)], 1).astype(np.float32)
    return AnnotatedImage(seed, size, keypoints, boxes, np.full(n, 900.0), np.ones(n, bool))


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_peaks_are_where_the_responses_are(seed):
    """On clean maps each peak of the person stands on a response, and all joints of the person are there."""
    image, network = scene(seed), cnn()
    out = render(image, np.ones(3, bool), network, PLAIN, COCO.mirror, np.random.default_rng(seed))
    assert out is not None
    assert out.rois.shape == (3, 17, 32, 32)
    labelled = image.keypoints[..., 2] > 0
    own = torch.zeros(3, 17).index_put((out.roi[out.own], out.joint[out.own]), torch.ones(int(out.own.sum())), accumulate=True)
    assert torch.equal(own.bool(), torch.from_numpy(labelled))
    assert (own <= 1).all()
    assert (at_points(out.rois, out.roi, out.joint, out.cells) > 0.25).all()  # a bump in few cells of a large RoI is lower


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_the_mirrored_scene_has_mirrored_rois(seed):
    image, network = scene(seed), cnn()
    plain, mirrored = (
        render(image, np.ones(3, bool), network, Rendering(**{**vars(PLAIN), "flip": f}), COCO.mirror, np.random.default_rng(seed))
        for f in (0.0, 1.0)
    )
    assert plain is not None
    assert mirrored is not None
    # Padding to the right is mirrored to the left, where the map ends: the RoIs' parts outside the photo may differ by cut-off bumps.
    back = mirrored.rois[:, list(COCO.mirror)].flip(3)
    assert (plain.rois - back).abs().flatten().quantile(0.9) < 0.02
    assert int(plain.own.sum()) == int(mirrored.own.sum())


def test_others_too_near_are_not_held_against_anybody():
    image = scene(1, 2)
    image.keypoints[1] = image.keypoints[0]
    image.keypoints[1, :, 0] += 4 * MERGED - 1
    out = render(image, np.array([True, False]), cnn(), PLAIN, COCO.mirror, np.random.default_rng(0))
    assert out is not None
    assert out.own.all()
    image.keypoints[1, :, 0] += 4
    out = render(image, np.array([True, False]), cnn(), PLAIN, COCO.mirror, np.random.default_rng(0))
    assert out is not None
    assert not out.own.all()


def test_spoiled_maps_are_lower_noisy_and_have_holes_that_are_learnt():
    image, network = scene(5), cnn()
    rule = Rendering(**{**vars(PLAIN), "spoiled": 1.0, "drop": 0.5, "false": 10})
    pool = torch.randn(17, 64, 64, generator=torch.Generator().manual_seed(0))
    clean, spoiled = (render(image, np.ones(3, bool), network, r, COCO.mirror, np.random.default_rng(0), pool) for r in (PLAIN, rule))
    assert clean is not None
    assert spoiled is not None
    assert (spoiled.rois == 0).float().mean() < 0.6 < (clean.rois < 1e-6).float().mean()
    assert int(spoiled.own.sum()) == int(clean.own.sum())  # joints without a response are the person's all the same
    height = at_points(spoiled.rois, spoiled.roi, spoiled.joint, spoiled.cells)[spoiled.own]
    assert (height < 0.2).float().mean() > 0.25


def test_who_has_others_in_the_box():
    keypoints = np.zeros((3, 17, 3), np.float32)
    keypoints[:, 0] = [[50, 50, 2], [70, 50, 2], [150, 50, 0]]
    boxes = np.array([[40, 40, 60, 60], [65, 45, 75, 55], [140, 40, 160, 60]], np.float32)
    image = AnnotatedImage(1, (100, 200), keypoints, boxes, np.ones(3), np.ones(3, bool))
    assert crowded(image, 1.0).tolist() == [False, False, False]
    assert crowded(image, 2.1).tolist() == [True, False, False]
    assert crowded(image, 6.0).tolist() == [True, True, False]


def test_joined_examples_keep_their_rois():
    parts = [render(scene(i), np.ones(3, bool), cnn(), PLAIN, COCO.mirror, np.random.default_rng(i)) for i in range(2)]
    sound = [p for p in parts if p is not None]
    joined = Examples.joined(sound)
    assert len(joined.rois) == 6
    assert torch.equal(joined.roi[: len(sound[0].roi)], sound[0].roi)
    assert torch.equal(joined.roi[len(sound[0].roi) :] - 3, sound[1].roi)


def archive(path, images):
    ids = np.concatenate([[i.image_id] * len(i.boxes) for i in images])
    boxes = np.concatenate([i.boxes for i in images])
    np.savez(
        path, image_id=ids, keypoints=np.concatenate([i.keypoints for i in images]).astype(np.int16),
        bbox=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1), area=np.ones(len(ids)), area_true=np.ones(len(ids), bool),
        img_id=np.array([i.image_id for i in images]), img_wh=np.array([i.size[::-1] for i in images]),
    )  # fmt: skip
    return path


def test_it_learns_and_goes_on_where_it_stopped(tmp_path, capsys):
    """Two runs of four steps are one of eight to the last bit; the loss falls."""
    people = archive(tmp_path / "people.npz", [scene(i) for i in range(6)])
    settings_ = {"rois": 6, "lr": 5e-3, "warmup": 2, "rendering": PLAIN, "device": "cpu", "seed": 3}

    def run(folder, **more):
        torch.manual_seed(7)
        return load_grouping(train(people, tmp_path / folder, network=cnn(), **{**settings_, "steps": 8, **more}))

    whole = run("whole")
    run("parts", max_minutes=0)
    for _ in range(7):
        run("parts", max_minutes=0)
    parts = run("parts")
    assert all(torch.equal(v, parts.state_dict()[k]) for k, v in whole.state_dict().items())
    with pytest.raises(ValueError, match="belongs to a training with steps 8, not 9"):
        run("parts", steps=9)
    capsys.readouterr()
    examples = drawn_examples(list(annotated_people(people)), whole, PLAIN, 12, np.random.default_rng(1))
    trained = run("long", steps=60)
    assert losses_of(trained, examples) < 0.9 * losses_of(cnn().eval(), examples)


def losses_of(network: GroupingCNN, examples: Examples) -> float:
    from manypose.methods.simple.grouping import grouping_loss

    with torch.no_grad():
        return float(sum(grouping_loss(network.logits(examples.rois), examples.roi, examples.joint, examples.cells, examples.own).values()))


def test_nobody_to_learn_from_is_one_clear_error():
    image = scene(1, 1)
    image.keypoints[..., 2] = 0
    with pytest.raises(ValueError, match="nobody in the annotations"):
        drawn_examples([image], cnn(), PLAIN, 4, np.random.default_rng(0))


def test_one_command_trains_from_the_config(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MANYPOSE_DATA", str(tmp_path))
    config = REPOSITORY / "configs/simple/grouping.yaml"
    place = tmp_path / yaml.safe_load(config.read_text())["annotations"].split("}/")[1]
    place.parent.mkdir()
    archive(place, [scene(i) for i in range(3)])
    given_ = ["grouping", "train", "--config", str(config), "--device", "cpu"]
    assert main([*given_, "--out", str(tmp_path / "out"), "--steps", "1", "--rois", "2"]) == 0
    assert load_grouping(tmp_path / "out" / "grouping.safetensors").extend == 2.0
    assert main([*given_, "--setps", "1"]) == 2
    assert "did you mean --steps" in capsys.readouterr().err
    place.unlink()
    assert main([*given_, "--out", str(tmp_path / "none")]) == 1
    assert "no such annotation archive" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_real_annotations_are_crowded():
    """Every second person of COCO has somebody else's joint in the RoI: there is something to be suppressed."""
    people = annotated_people(shared("data", "coco_keypoints", "person_keypoints_val2017_rebuilt.npz"))
    images = [image for image, _ in zip(people, range(300), strict=False)]
    share = np.concatenate([crowded(image, 2.0) for image in images]).mean()
    assert 0.4 < share < 0.9
