"""Learning from a top-down teacher."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_people import batch_of, random_people
from torch import nn

from manypose.data.sample import Batch
from manypose.io.safetensors import read_tensors
from manypose.methods.catalog import build
from manypose.methods.method import Field
from manypose.methods.simple.distillation import Mimic, matched
from manypose.methods.simple.teacher import Teacher, read_teacher
from manypose.nn.heatmaps import gaussians
from manypose.poses.skeleton import COCO, CROWDPOSE
from manypose.poses.warp import Warp
from manypose.weights import files

TEACHER = {"teacher": "mspn-1", "teacher_args": {"trunk": "tiny", "width": 8, "input_size": [128, 96]}}
SMALL = {"trunk": "hrnet_w18_small", "channels": 16, "inner": 8, "cnn": {"widths": [8, 8, 8, 8], "size": [32, 32]}}


class Knowing(nn.Module):
    """A top-down model whose maps are the joints' true places in its crop, told by the picture: red and green are x and y there."""

    stride, size, input_size, skeleton = 32, 96, (128, 96), COCO
    training_only, person_nms_oks = (), 0.9
    fields = {"heat": Field(COCO.mirror)}  # noqa: RUF012

    def __init__(self, joints: torch.Tensor):
        super().__init__()
        self.joints = joints

    def targets(self, people, size):
        raise AssertionError("a teacher is not taught")

    loss = decode = targets

    def people(self, photo, boxes):
        return [Warp.crop(b, self.input_size) for b in boxes]

    def prepare(self, images):
        return images.permute(0, 3, 1, 2).float()

    def network(self, images):
        return {"heat": images}

    def readout(self, outputs):
        pixels = outputs["heat"]
        far = (pixels[:, None, :2] - self.joints[None, :, :, None, None]).norm(dim=2)
        at = far.flatten(2).argmin(2)
        cells = (torch.stack([at % 96, at // 96], -1).float() - 1.5) / 4
        return {"heat": gaussians(cells[:, None], torch.ones(len(pixels), 1, 17, dtype=torch.bool), (32, 24), 2.0)}


def scene() -> Batch:
    """One person in the box that a crop of 128 × 96 shows pixel by pixel, in a picture whose pixels say where they are."""
    joints = np.zeros((1, 17, 3), np.float32)
    joints[0, :, 0], joints[0, :, 1], joints[0, :, 2] = np.linspace(30, 100, 17), np.linspace(45, 140, 17), 2
    batch = batch_of([joints], (192, 192))
    y, x = torch.meshgrid(torch.arange(192), torch.arange(192), indexing="ij")
    images = torch.stack([x, y, x * 0], -1)[None].to(torch.uint8)
    return replace(batch, images=images, boxes=torch.tensor([[[15.5, 27.5, 111.5, 155.5]]]))


def pose_of(batch: Batch, move: float = 0.0) -> torch.Tensor:
    cells = (batch.keypoints[..., :2] + move - 1.5) / 4
    h, w = batch.images.shape[1:3]
    return gaussians(cells, (batch.keypoints[..., 2] > 0) & batch.there[..., None], (h // 4, w // 4), 2.0)


def losses(mimic: Mimic, batch: Batch, pose: torch.Tensor, boxes: torch.Tensor | None = None, **outputs: torch.Tensor):
    found = torch.cat([batch.boxes, batch.there[..., None].float()], 2) if boxes is None else boxes
    targets = mimic.targets(batch) | {"mask": torch.ones(len(pose), 1, *pose.shape[2:])}
    return mimic({"pose": pose, **outputs}, targets, found)


def with_teacher(method: nn.Module, **arguments) -> Mimic:
    mimic = Mimic(COCO, **arguments)
    mimic._teacher.append(Teacher(method, COCO))  # type: ignore[arg-type]
    return mimic


def test_a_student_that_knows_as_much_loses_next_to_nothing():
    """Both terms: the teacher's maps and the annotated ones lie cell upon cell on the student's."""
    batch = scene()
    mimic = with_teacher(Knowing(batch.keypoints[0, 0, :, :2]))
    right, moved = (losses(mimic, batch, pose_of(batch, by)) for by in (0.0, 4.0))
    assert set(right) == {"mimic_truth", "mimic_soft"}
    for name, value in right.items():
        assert float(value.detach()) < 0.15 * float(moved[name].detach()), name
        assert 1 < float(moved[name].detach()) < 20  # a Gaussian of deviation 2 has a squared norm of 12.6


def test_the_student_and_the_adapters_learn_and_the_teacher_does_not():
    batch = scene()
    pose = torch.rand(1, 17, 48, 48, requires_grad=True)
    mimic = Mimic(COCO, **TEACHER)
    sum(losses(mimic, batch, pose).values()).backward()
    teacher = mimic.teacher(torch.device("cpu")).method
    assert pose.grad is not None
    assert float(pose.grad.abs().sum()) > 0
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in mimic.parameters())
    assert not any(p.requires_grad for p in teacher.parameters())  # type: ignore[attr-defined]
    assert not teacher.training  # type: ignore[attr-defined]
    assert sorted(mimic.state_dict()) == [f"adapter{i}.{p}" for i in (1, 2) for p in ("bias", "weight")]


def test_each_term_alone():
    """Table 3: (b) annotated maps, (c) features, (d) the teacher's maps, (e) both."""
    batch, pose = scene(), torch.rand(1, 17, 48, 48)
    features = {"soft": "features", "tap": "net.stage0.upsample.up4.res_conv1", "widths": (8, 20)}
    for arguments, names in (
        ({"soft": "none"}, {"mimic_truth"}),
        ({"truth": False, **features}, {"mimic_soft"}),
        ({"truth": False}, {"mimic_soft"}),
        ({}, {"mimic_truth", "mimic_soft"}),
    ):
        out = losses(Mimic(COCO, **TEACHER, **arguments), batch, pose, features=torch.rand(1, 20, 48, 48))
        assert set(out) == names
        assert all(float(v.detach()) > 0 for v in out.values())


def test_beta_weighs_both_terms():
    batch, pose = scene(), torch.rand(1, 17, 48, 48)
    knowing = Knowing(batch.keypoints[0, 0, :, :2])
    one, three = (losses(with_teacher(knowing, beta=b), batch, pose) for b in (1.0, 3.0))
    assert all(torch.allclose(3 * one[name], three[name]) for name in one)


@pytest.mark.parametrize("boxes", [torch.zeros(1, 4, 5), torch.tensor([[[300.0, 300, 340, 380, 0.9], [0, 0, 20, 20, 0.8]]])])
def test_no_box_or_none_that_is_anybodys(boxes):
    pose = torch.rand(1, 17, 48, 48, requires_grad=True)
    out = losses(Mimic(COCO, **TEACHER), scene(), pose, boxes)
    assert {k: float(v.detach()) for k, v in out.items()} == {"mimic_truth": 0, "mimic_soft": 0}
    sum(out.values()).backward()  # so that every parameter has a gradient on every process


def test_annotated_boxes_stand_in_for_missing_ones():
    batch, pose, none = scene(), torch.rand(1, 17, 48, 48), torch.zeros(1, 4, 5)
    knowing = Knowing(batch.keypoints[0, 0, :, :2])
    detected = losses(with_teacher(knowing), batch, pose)
    annotated = losses(with_teacher(knowing, boxes="annotated"), batch, pose, none)
    both = losses(with_teacher(knowing, boxes="both"), batch, pose)
    for name in detected:
        assert torch.allclose(detected[name], annotated[name])
        assert torch.allclose(detected[name], both[name])  # twice the same box, and the mean over boxes


def test_others_in_the_box_are_spared_unless_asked_for():
    """The student shows a second person in the box, as a bottom-up map must."""
    batch = scene()
    other = batch.keypoints.clone()
    other[..., :2] = other[..., :2].flip(2)
    two = replace(
        batch,
        keypoints=torch.cat([batch.keypoints, other], 1),
        boxes=torch.cat([batch.boxes, batch.boxes + 500], 1),
        areas=torch.ones(1, 2),
        there=torch.ones(1, 2, dtype=torch.bool),
    )
    found = torch.cat([batch.boxes, torch.ones(1, 1, 1)], 2)
    knowing = Knowing(batch.keypoints[0, 0, :, :2])
    alone, spared, suppressed = (
        losses(with_teacher(knowing, others=rule), scenery, pose_of(scenery), found)
        for rule, scenery in (("spared", batch), ("spared", two), ("suppressed", two))
    )
    for name in alone:
        assert float(spared[name].detach()) < float(alone[name].detach()) + 0.5
        assert float(suppressed[name].detach()) > float(alone[name].detach()) + 5


def test_joints_that_a_data_set_lacks_are_not_held_against_the_student():
    batch, pose = scene(), torch.rand(1, 17, 48, 48)
    mimic = with_teacher(Knowing(batch.keypoints[0, 0, :, :2]), soft="none")
    found = torch.cat([batch.boxes, torch.ones(1, 1, 1)], 2)
    mask = torch.ones(1, 17, 48, 48)
    whole = float(mimic({"pose": pose}, mimic.targets(batch) | {"mask": mask}, found)["mimic_truth"].detach())
    mask[:, :5] = 0
    part = mimic({"pose": pose}, mimic.targets(batch) | {"mask": mask}, found)["mimic_truth"]
    more = pose.clone()
    more[:, :5] += 7
    assert 0 < float(part.detach()) < whole
    assert torch.allclose(part, mimic({"pose": more}, mimic.targets(batch) | {"mask": mask}, found)["mimic_truth"])


def test_boxes_belong_to_whom_they_overlap_most():
    annotated = torch.tensor([[0.0, 0, 10, 10], [0, 0, 12, 10], [50, 50, 60, 60]])
    boxes = torch.tensor([[0.0, 0, 11.5, 10], [50, 50, 60, 60], [50, 50, 54, 60]])
    assert matched(boxes, annotated, torch.tensor([True, True, False]), 0.5).tolist() == [1, -1, -1]
    assert matched(boxes, annotated, torch.tensor([True, False, True]), 0.5).tolist() == [0, 2, -1]
    assert matched(boxes, annotated[:0], torch.zeros(0, dtype=torch.bool), 0.5).tolist() == [-1, -1, -1]


def test_trained_as_a_method_and_saved_without_the_teacher(tmp_path):
    """The student with a teacher is a method like any other; its weights file is that of the student alone."""
    student = build("simple-w18", **SMALL, mimic=TEACHER | {"boxes": "annotated"}).train()
    batch = batch_of([random_people(3, 2, (96, 96)), random_people(4, 1, (96, 96))], (96, 96))
    outputs = student.network(student.prepare(batch.images))
    parts = student.loss(outputs, student.targets(batch, (96, 96)))
    assert {"pose", "points", "mimic_truth", "mimic_soft"} <= set(parts)
    sum(parts.values()).backward()
    file = files.save(student, tmp_path / "student.safetensors", name="simple-w18", kwargs=SMALL | {"mimic": TEACHER})
    assert not [k for k in load_file(file) if k.startswith("mimic")]
    alone = files.load(file, device="cpu")
    assert alone.mimic is None  # type: ignore[attr-defined]
    assert "mimic" not in read_tensors(file)[0]["kwargs"]
    same = student.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(v, same[k]) for k, v in alone.state_dict().items())  # type: ignore[attr-defined]


def test_teachers_are_read_from_weights_files(tmp_path):
    arguments = TEACHER["teacher_args"]
    saved = build("mspn-1", **arguments)  # type: ignore[arg-type]
    file = files.save(saved, tmp_path / "teacher.safetensors", name="mspn-1", kwargs=arguments)
    read = read_teacher("mspn-1", file, {})
    images = torch.rand(1, 3, 128, 96)
    with torch.no_grad():
        assert torch.equal(read.network(images)["heat0_3"], saved.eval().network(images)["heat0_3"])  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="holds the model 'mspn-1', not the teacher 'hrnet-w32'"):
        read_teacher("hrnet-w32", file, {})
    with pytest.raises(FileNotFoundError, match=r"none.safetensors: no such weights file"):
        read_teacher("mspn-1", tmp_path / "none.safetensors", {})
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"cut.safetensors: not a complete safetensors file"):
        read_teacher("mspn-1", tmp_path / "cut.safetensors", {})
    with pytest.raises(ValueError, match="does not fit the teacher"):
        read_teacher("mspn-1", file, {"width": 16})


def test_wrong_teachers_and_arguments_are_refused(untyped):
    teacher = build("mspn-1", **TEACHER["teacher_args"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be top-down"):
        Teacher(build("swahr-w18-small"), COCO)
    with pytest.raises(ValueError, match="has other joints than the student's 'crowdpose'"):
        Teacher(teacher, CROWDPOSE)
    with pytest.raises(ValueError, match=r"no submodule 'net\.head'"):
        Teacher(teacher, COCO, "net.head")
    for arguments, said in (
        ({"soft": "none", "truth": False}, "needs a term"),
        ({"soft": "features"}, "need tap"),
        ({"soft": "heats"}, "soft is heat"),
        ({"boxes": "all"}, "boxes is detected"),
        ({"others": "x"}, "others is spared"),
    ):
        with pytest.raises(ValueError, match=said):
            Mimic(COCO, **arguments)  # type: ignore[arg-type]


def test_a_student_that_cannot_mimic_is_refused():
    with pytest.raises(ValueError, match="mimicking needs boxes: annotated"):
        build("simple-w18", **SMALL, detector="none", grouping="ae", mimic=TEACHER)
    with pytest.raises(ValueError, match="mimicking features needs features: true"):
        build("simple-w18", **SMALL, mimic=TEACHER | {"soft": "features", "tap": "net.stage0.upsample.up4.res_conv1", "widths": (8, 240)})
