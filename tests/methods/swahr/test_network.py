import numpy as np
import pytest
import torch
from tiny_people import batch_of, random_people

from manypose.methods.catalog import build
from manypose.methods.method import Method
from manypose.methods.swahr import SWAHR
from manypose.poses.skeleton import COCO, CROWDPOSE, MPII
from manypose.poses.warp import pixel_to_cell


@pytest.fixture(scope="module")
def swahr():
    torch.manual_seed(0)
    return SWAHR("hrnet_w18_small", 256)


@pytest.fixture(scope="module")
def batch():
    return batch_of([random_people(s, 3, (64, 96)) for s in (1, 2)], (64, 96))


def test_it_is_a_method(swahr):
    assert isinstance(swahr, Method)
    assert swahr.fields["heat"].merge == "mean"
    assert (swahr.fields["tag"].merge, swahr.fields["tag"].scales) == ("stack", "base")
    assert swahr.fields["tag"].mirror == COCO.mirror


@pytest.mark.parametrize("skeleton", [COCO, "crowdpose", MPII])
@pytest.mark.parametrize("scale_branch", [True, False])
def test_outputs(skeleton, scale_branch):
    with torch.device("meta"):
        net = build("swahr-w18-small", skeleton=skeleton, scale_branch=scale_branch)
        outputs = net.network(torch.empty(2, 3, 96, 160))
        read = net.readout(outputs)
    k = len(net.skeleton)
    quarter, half = (2, k, 24, 40), (2, k, 48, 80)
    shapes = {"heat4": quarter, "tag4": quarter, "heat2": half} | ({"scale4": quarter, "scale2": half} if scale_branch else {})
    assert {n: tuple(o.shape) for n, o in outputs.items()} == shapes
    assert {n: tuple(o.shape) for n, o in read.items()} == {"heat": half, "tag": half}


def test_skeleton_from_a_file(tmp_path):
    file = tmp_path / "stick.yaml"
    file.write_text("name: stick\njoints: [left_end, right_end]\nlimbs: [[left_end, right_end]]\nsigmas: [0.05, 0.05]\n")
    with torch.device("meta"):
        net = SWAHR("hrnet_w18_small", skeleton=str(file))
    assert (len(net.skeleton), net.fields["heat"].mirror) == (2, (1, 0))


@pytest.mark.slow
def test_named_models_take_crowdpose():
    with torch.device("meta"):
        assert build("swahr-w32", skeleton=CROWDPOSE).network(torch.empty(1, 3, 64, 64))["heat2"].shape == (1, 14, 32, 32)


def test_switches_that_contradict_are_told():
    for kwargs in ({"scale_adaptive": False}, {"scale_branch": False, "scale_adaptive": True}):
        with pytest.raises(ValueError, match="set both or neither"):
            SWAHR("hrnet_w18_small", **kwargs)
    with pytest.raises(ValueError, match="scale_branch=False"):
        SWAHR("hrnet_w18_small", naive_scale=256)


def test_prepare_is_imagenets(swahr):
    image = torch.tensor([[[[255, 0, 124]]]], dtype=torch.uint8)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (124 / 255 - 0.406) / 0.225]
    assert swahr.prepare(image).flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_scale_starts_at_one(swahr):
    outputs = swahr.network(torch.randn(1, 3, 64, 64))
    assert not outputs["scale4"].any()
    assert not outputs["scale2"].any()


def test_results_do_not_depend_on_the_batch(swahr):
    images = torch.randn(3, 3, 64, 64)
    swahr.eval()
    with torch.no_grad():
        together, alone = swahr.network(images), [swahr.network(i[None]) for i in images]
    swahr.train()
    for name, maps in together.items():
        assert torch.allclose(maps, torch.cat([a[name] for a in alone]), atol=1e-6)


@pytest.mark.parametrize("kwargs", [{}, {"scale_branch": False}, {"scale_branch": False, "naive_scale": 256.0}])
def test_every_parameter_learns(kwargs, batch):
    """Distributed training stops at a parameter without a gradient."""
    net = SWAHR("hrnet_w18_small", **kwargs)
    losses = net.loss(net.network(net.prepare(batch.images)), net.targets(batch, (64, 96)))
    torch.stack(list(losses.values())).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


def test_half_precision(swahr, batch):
    targets = swahr.targets(batch, (64, 96))
    with torch.autocast("cpu", torch.bfloat16):
        outputs = swahr.network(swahr.prepare(batch.images))
        losses = swahr.loss(outputs, targets)
    assert outputs["heat2"].dtype == torch.bfloat16
    assert {v.dtype for v in losses.values()} == {torch.float32}
    assert swahr.readout(outputs)["heat"].dtype == torch.float32
    torch.stack(list(losses.values())).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in swahr.parameters() if p.grad is not None)


def test_perfect_maps_are_read_out_where_the_joints_are(swahr):
    people = random_people(5, 1, (128, 128))
    targets = swahr.targets(batch_of([people], (128, 128)), (128, 128))
    heat = swahr.readout({"heat4": targets["heat4"], "heat2": targets["heat2"], "tag4": targets["heat4"]})["heat"][0]
    y, x = np.unravel_index(heat.flatten(1).argmax(1).numpy(), heat.shape[-2:])
    drawn = people[0, :, 2] > 0
    assert np.abs(np.stack([x, y], 1) - pixel_to_cell(people[0, :, :2], 2))[drawn].max() < 1.0


@pytest.mark.slow
def test_it_learns_one_batch():
    torch.manual_seed(0)
    net, people = SWAHR("hrnet_w18_small"), batch_of([random_people(3, 2, (64, 64))] * 2, (64, 64))
    images = net.prepare(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8))
    targets = net.targets(people, (64, 64))
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    totals = []
    for _ in range(25):
        total = torch.stack(list(net.loss(net.network(images), targets).values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.5 * totals[0]
