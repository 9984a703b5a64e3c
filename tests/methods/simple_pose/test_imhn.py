"""Networks of Simple Pose, and the method as a whole."""

import pytest
import torch
from tiny_people import batch_of, random_people

from manypose.inference.test_time_augmentation import outputs
from manypose.inference.views import views
from manypose.methods.catalog import build
from manypose.methods.method import Method
from manypose.methods.simple_pose import SimplePose
from manypose.methods.simple_pose.network import IMHN
from manypose.methods.simple_pose.published import PUBLISHED
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp

TINY = {"c": 16, "n": 16, "stages": 2, "size": 128}
SIZE = (64, 128)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("spatial", [True, False])
@pytest.mark.parametrize("channel", [True, False])
@pytest.mark.parametrize("wiring", ["released", "paper", "paper_wide", "hourglass"])
def test_outputs_and_gradients(wiring, channel, spatial):
    net = IMHN(50, 2, 16, 16, wiring, spatial_attention=spatial, channel_attention=channel)
    outputs = net(torch.rand(2, 3, *SIZE))
    scales = 5 if spatial and wiring != "hourglass" else 1
    shapes = [(2, 50, 16 >> i, 32 >> i) for i in range(scales)]
    assert [[tuple(m.shape) for m in stage] for stage in outputs] == [shapes] * 2
    sum(m.sum() for stage in outputs for m in stage).backward()
    # A parameter that reaches no output would stop distributed training.
    assert not [name for name, p in net.named_parameters() if p.grad is None]
    attends = any("fc." in name for name in net.state_dict())
    assert attends == (channel and wiring != "hourglass")
    assert PUBLISHED.describe(net.state_dict()).startswith(f"imhn-2, wiring '{wiring}'")


@pytest.mark.parametrize("bad", [{"c": 20}, {"n": 5}, {"stages": 0}, {"c": 0}])
def test_sizes_that_cannot_be(bad):
    with pytest.raises(ValueError, match="IMHN needs c and n in multiples of 16"):
        IMHN(50, **{"stages": 2, "c": 16, "n": 16, **bad})


def test_sides_that_cannot_be_halved(untyped):
    with pytest.raises(ValueError, match=r"multiples of 64, got \(64, 96\)"):
        IMHN(50, 1, 16, 16)(torch.rand(1, 3, 64, 96))


def test_wider_and_deeper():
    """C and N are those of Figure 4: the deepest map has C + 4N channels."""
    with torch.device("meta"):
        net = IMHN(50, 3, 32, 48)
    assert net.hourglass[2].hg[3][4].convBlock[0].in_channels == 32 + 4 * 48
    assert len(net.hourglass) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["imhn-3", "imhn-4"])
def test_named_models(name):
    with torch.device("meta"):
        net = build(name).eval()
        outputs = net.network(torch.empty(1, 3, 64, 64))
    assert isinstance(net, Method)
    assert len(outputs) == 5 * int(name[-1])
    assert net.fields["heat"].mirror == (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)
    published = [0, 2, 1, 4, 3, 6, 5, 8, 7, 12, 13, 14, 9, 10, 11, 18, 19, 20, 15, 16, 17, 22, 21, 25, 26, 23, 24, 28, 27, 29]
    assert list(net.fields["part"].mirror or ()) == published
    read = net.readout(outputs)
    assert (tuple(read["part"].shape), tuple(read["heat"].shape)) == ((1, 30, 16, 16), (1, 18, 16, 16))


def test_the_last_stage_is_read():
    net = SimplePose(**{**TINY, "stages": 11})
    outputs = {f"stage{t}_scale0": torch.full((1, 50, 2, 2), float(t)) for t in range(11)}
    assert net.readout(outputs)["part"].unique() == 10


def test_photos_are_blue_first():
    """As OpenCV reads them, from 0 to 1."""
    red = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    red[..., 0] = 255
    prepared = SimplePose(**TINY).prepare(red)
    assert prepared[0, :, 0, 0].tolist() == [0, 0, 1]


CHOICES = [
    {},
    {"wiring": "paper"},
    {"wiring": "hourglass", "focal": "none"},
    {"spatial_attention": False},
    {"redundant": False, "focal": "joints"},
    {"encoding": "fields", "focal": "none"},
    {"wiring": "cascade"},
    {"published": True},
    {"auxiliary": False, "skeleton": "crowdpose"},
]


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: ",".join(map(str, c.values())) or "default")
def test_every_experiment_can_be_trained(choice):
    """A step in each of the paper's settings makes the loss smaller; every parameter takes part; what comes out can be decoded."""
    net = SimplePose(**{**TINY, **choice})
    batch = batch_of([random_people(s, 2, SIZE, len(net.skeleton)) for s in (1, 2)], SIZE)
    goal, images = net.targets(batch, SIZE), torch.rand(2, 3, *SIZE)
    optimizer = torch.optim.Adam(net.parameters(), 3e-4)
    losses = []
    for _ in range(4):
        parts = net.loss(net.network(images), goal)
        loss = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        assert not [name for name, p in net.named_parameters() if p.grad is None]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    with torch.no_grad():
        poses = net.eval().decode(net.readout(net.network(images)), SIZE)
    assert len(poses) == 2
    assert all(p.skeleton is net.skeleton for p in poses)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"lambdas": (1.0, 2.0, 4.0)}, "5 scales: they need as many lambdas"),
        ({"lambdas": (0.0,) * 5}, "one positive"),
        ({"focal": "joint"}, "focal is one of all, joints, none; got 'joint'"),
        (
            {"wiring": "figure3"},
            "wiring is one of released, paper, paper_wide, hourglass, cascade, movenet, efficientnet_lite0, "
            "efficientnet_lite1, efficientnet_lite2; got 'figure3'",
        ),
        ({"encoding": "paf"}, "encoding is one of parts, fields; got 'paf'"),
        ({"thre": 0.0}, "0 < thre < 1"),
        ({"sigma_p": 0.0}, "positive deviations"),
        ({"stages": 0, "wiring": "cascade"}, "and a stage"),
        ({"assembly": {"round": 3}}, "an argument of assembly is one of joints, parts, .*; got 'round'"),
    ],
)
def test_arguments_that_cannot_be_are_told(bad, told, untyped):
    with pytest.raises(ValueError, match=told):
        SimplePose(**{**TINY, **bad})


def test_the_loss_has_the_papers_numbers_or_those_given():
    loss = SimplePose(**TINY)._loss
    assert (loss["alpha"], loss["beta"], loss["power"], loss["thre"], loss["stages"]) == (0.1, 0.02, 2.0, 0.01, "sum")
    assert loss["lambdas"] == (1.0, 2.0, 4.0, 16.0, 64.0)
    assert loss["weights"] == [1.0] * 30 + [3.0] * 18 + [0.1, 1.0]
    theirs = SimplePose(**TINY, published=True)._loss
    assert (theirs["alpha"], theirs["beta"], theirs["power"], theirs["stages"]) == (0.0, 0.0, 1.0, "mean")
    given = SimplePose(**TINY, published=True, alpha=0.2, beta=0.3, power=3.0, eta=0.0, lambdas=(1.0,) * 5)._loss
    assert (given["alpha"], given["beta"], given["power"], given["lambdas"]) == (0.2, 0.3, 3.0, (1.0,) * 5)
    assert given["weights"][30:48] == [1.0] * 18


def test_half_precision_does_not_overflow():
    """The loss sums over all cells: in half precision it would be infinite."""
    net = SimplePose(**TINY)
    batch = batch_of([random_people(1, 5, SIZE)], SIZE)
    goal = net.targets(batch, SIZE)
    outputs = {f"stage0_scale{i}": torch.full_like(goal[f"scale{i}"], 8.0).half() for i in range(5)}
    loss = torch.stack(list(net.loss(outputs, goal).values())).sum()
    assert loss.isfinite()
    assert loss.dtype == torch.float32


def test_skeleton_by_name():
    assert SimplePose(**TINY, skeleton="coco").skeleton is COCO


@pytest.mark.parametrize("encoding", ["parts", "fields"])
def test_a_flipped_view_agrees(encoding):
    """What test-time augmentation does with the mirrored picture's maps gives the maps of the picture."""
    net = SimplePose(**TINY, encoding=encoding)
    people = random_people(5, 2, SIZE)
    people[..., 2] = 2
    mirrored = Warp.scaling(1.0, SIZE).mirror().joints(people, COCO.mirror)
    there, back = (net.readout({"stage0_scale0": net.targets(batch_of([p], SIZE), SIZE)["scale0"]}) for p in (people, mirrored))
    for name, field in net.fields.items():
        restored = back[name].flip(3)[:, list(field.mirror or ())]
        assert there[name].shape == restored.shape
        # Cells at the very edge of a part may fall on either side.
        assert ((there[name] - restored).abs() > 1e-3).float().mean() < 1e-3
        assert there[name].abs().sum() > 10


def test_flips_and_scales_run_through_the_shared_code():
    """Scales 0.5, 1, 1.5 and 2 with flipping (Section "Testing details"), sides being multiples of 64."""
    net = SimplePose(**TINY).eval()
    warps = views((150, 200), 128, net.stride, (0.5, 1.0, 1.5, 2.0))
    assert [w.size for w in warps] == [(64, 128), (128, 192), (192, 256), (256, 384)]
    images = [torch.randint(0, 256, (1, *w.size, 3), dtype=torch.uint8) for w in warps]
    with torch.inference_mode():
        merged = outputs(net, images, [w.scale / warps[1].scale for w in warps], 1, flip=True)
        assert {n: tuple(m.shape) for n, m in merged.items()} == {"part": (1, 30, 32, 48), "heat": (1, 18, 32, 48)}
        assert len(net.decode(merged, warps[1].size)) == 1
