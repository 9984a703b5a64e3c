"""SWAHR's targets, losses, gradients and a whole training step give the authors' numbers."""

import json

import numpy as np
import pytest
import torch
from shared import parity, parity_module
from test_swahr_networks import FAMILY, build
from tiny_people import batch_of

from manypose.methods.swahr.loss import adaptive_weight, heat_loss, regularizer, scaled_target, swahr_loss
from manypose.methods.swahr.targets import targets
from manypose.nn.associative_embedding import associative_embedding
from manypose.nn.heatmaps import gaussians

KINDS = [pytest.param(True, id="swahr"), pytest.param(False, id="higherhrnet")]


@pytest.fixture(scope="module")
def stored():
    return np.load(parity(FAMILY, "loss_swahr.npz"))


def stored_targets(z, dtype=torch.float64) -> dict:
    out = {}
    for level, i in (("4", 0), ("2", 1)):
        out["heat" + level] = torch.from_numpy(z[f"heatmaps{i}"]).to(dtype)
        out["mask" + level] = torch.from_numpy(z[f"masks{i}"])[:, None].to(dtype)
    return {**out, **tag_targets(z)}


def tag_targets(z) -> dict:
    """The authors list a person's labelled joints one after another, as flat indices into (k, h, w); ours has a column a joint."""
    index = torch.from_numpy(z["joints_index0"]).long()
    b, n, k, _ = index.shape
    cells = z["heatmaps0"].shape[-1] * z["heatmaps0"].shape[-2]
    cell, tagged = torch.zeros(b, n, k, dtype=torch.long), torch.zeros(b, n, k, dtype=torch.bool)
    i, person, slot = torch.nonzero(index[..., 1], as_tuple=True)
    flat = index[i, person, slot, 0]
    cell[i, person, flat // cells] = flat % cells
    tagged[i, person, flat // cells] = True
    return {"cell": cell, "tagged": tagged}


def split(tensors: list, scale: bool) -> dict:
    names = (("scale4", "heat4", "tag4"), ("scale2", "heat2")) if scale else (("heat4", "tag4"), ("heat2",))
    return {n: c for level, t in zip(names, tensors, strict=True) for n, c in zip(level, t.chunk(len(level), 1), strict=True)}


def relative(a, b) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-300))


def people_of(z, level: int) -> list:
    return [z[f"joints_xyv{level}_img{i}"] for i in range(len(z["heatmaps0"]))]


@pytest.mark.parametrize("level", [0, 1])
def test_heat_maps_are_the_authors(stored, level):
    size = stored[f"heatmaps{level}"].shape[-2:]
    for i, joints in enumerate(people_of(stored, level)):
        xyv = torch.from_numpy(joints)[None]
        ours = gaussians(xyv[..., :2].trunc().float(), xyv[..., 2] > 0, size)
        reference = torch.from_numpy(stored[f"heatmaps{level}"][i])
        assert torch.equal(ours[0] > 0, reference > 0)
        assert torch.allclose(ours[0], reference, rtol=1e-5, atol=0)


def test_targets_are_the_authors(stored):
    """The authors' targets from people in network pixels: level 0 lies at 1/4 of them, so pixels are cells times four."""
    h, w = stored["heatmaps0"].shape[-2:]
    people = [np.concatenate([x[..., :2] * 4, x[..., 2:]], -1) for x in people_of(stored, 0)]
    ours = targets(batch_of(people, (4 * h, 4 * w)), (4 * h, 4 * w), published=True)
    assert torch.allclose(ours["heat4"], torch.from_numpy(stored["heatmaps0"]), rtol=1e-5, atol=0)
    theirs = stored_targets(stored)
    n = ours["tagged"].shape[1]
    # The authors leave out people without a labelled joint; whoever is there keeps the order.
    for i in range(len(people)):
        rows = ours["tagged"][i].any(1)
        m = int(rows.sum())
        assert m <= n
        assert torch.equal(ours["tagged"][i][rows], theirs["tagged"][i, :m])
        assert not theirs["tagged"][i, m:].any()
        assert torch.equal((ours["cell"] * ours["tagged"])[i][rows], (theirs["cell"] * theirs["tagged"])[i, :m])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", KINDS)
def test_losses_and_gradients_are_the_authors(stored, scale, dtype):
    kind = "swahr" if scale else "higher"
    outputs = [torch.from_numpy(stored[f"{kind}_outputs{i}"]).to(dtype).requires_grad_() for i in (0, 1)]
    parts = swahr_loss(split(outputs, scale), stored_targets(stored, dtype), scale_adaptive=scale, weight_adaptive=scale)
    names = {"heatmap_loss0": "heat4", "heatmap_loss1": "heat2", "push_loss0": "push", "pull_loss0": "pull"}
    names |= {"scale_loss0": "scale4", "scale_loss1": "scale2"} if scale else {}
    assert set(parts) == set(names.values())
    for theirs, ours in names.items():
        # The stored values are float32 sums over 17 to 70 thousand cells.
        assert relative(parts[ours].detach(), stored[f"{kind}_{theirs}"]) < 2e-6, ours
        if scale and dtype == torch.float64:
            assert relative(parts[ours].detach(), stored[f"swahr_fp64_{theirs}"]) < 1e-12, ours
    total = torch.stack([p.mean() for p in parts.values()]).sum()
    total.backward()
    assert relative(total.detach(), stored[f"{kind}_total"]) < 1e-6
    for i, output in enumerate(outputs):
        grad = output.grad
        assert grad is not None
        assert relative(grad.double().flatten(2).norm(dim=2), stored[f"{kind}_grad_l2_per_image_channel{i}"]) < 1e-6
        assert relative(grad[0, :: (1, 4)[i]], stored[f"{kind}_grad_img0_{i}"]) < 1e-6


@pytest.mark.parametrize("level", [0, 1])
def test_each_part_of_the_heat_map_loss(stored, level):
    output = torch.from_numpy(stored[f"swahr_outputs{level}"]).double()
    alpha, pred = output.chunk((3, 2)[level], 1)[:2]
    t = stored_targets(stored)
    heat, mask = t["heat" + "42"[level]], t["mask" + "42"[level]]
    scaled, weight = scaled_target(heat, alpha), adaptive_weight(pred, heat)
    for name, value in (
        ("plain_l2", heat_loss(pred, heat, mask)),
        ("weight_only", heat_loss(pred, heat, mask, weight)),
        ("scale_only_no_weight", heat_loss(pred, scaled, mask)),
    ):
        assert relative(value, stored[f"swahr_fp64_{name}_stage{level}"]) < 1e-12, name
    assert relative(regularizer(alpha, heat, mask), stored[f"swahr_fp64_scale_loss{level}"]) < 1e-12


@pytest.mark.parametrize("kind", ["exp", "max"])
def test_associative_embedding(stored, kind):
    t = stored_targets(stored)
    tags = torch.from_numpy(stored["swahr_outputs0"]).double().chunk(3, 1)[2]
    push, pull = associative_embedding(tags, t["cell"], t["tagged"], kind)
    assert relative(push, stored[f"ae_{kind}_push_fp64"]) < 1e-12
    assert relative(pull, stored[f"ae_{kind}_pull_fp64"]) < 1e-12


def test_taylor_curve(stored):
    heat, alpha = np.meshgrid(stored["curve_h"], stored["curve_alpha"], indexing="ij")
    ours = scaled_target(torch.from_numpy(heat), torch.from_numpy(alpha))
    assert relative(ours, stored["curve_taylor_target"]) < 1e-12


@pytest.mark.parametrize("scale", KINDS)
def test_training_step_is_the_authors(stored, scale):
    z = np.load(parity(FAMILY, f"train_step_{'swahr' if scale else 'higher'}.npz"))
    fill = parity_module(FAMILY, "fill")
    keys = json.loads(parity(FAMILY, f"{'swahr' if scale else 'higherhrnet'}_w32_512.keys.json").read_text())["keys"]
    net = build(keys)
    net.load_state_dict(fill.fill_state_dict({n: (shape, kind) for n, (shape, kind) in keys.items()}))
    net.double().train()
    outputs = net(fill.make_image(21, 128, 128, 4).double())
    parts = swahr_loss(outputs, stored_targets(stored), scale_adaptive=scale, weight_adaptive=scale)
    total = torch.stack([p.mean() for p in parts.values()]).sum()
    total.backward()
    for theirs in [n for n in z.files if "_loss" in n]:
        ours = {"heatmap": "heat", "scale": "scale", "push": "push", "pull": "pull"}[theirs.split("_")[0]]
        ours += "42"[int(theirs[-1])] if ours in ("heat", "scale") else ""
        assert relative(parts[ours].detach(), z[theirs]) < 1e-6, theirs
    assert relative(total.detach(), z["total"]) < 1e-6
    grads = {n: p.grad for n, p in net.named_parameters()}
    assert sorted(grads) == sorted(z["param_names"])
    norms, sums = {}, {}
    for name, norm, sum_ in zip(z["param_names"], z["grad_l2"], z["grad_sum"], strict=True):
        grad = grads[str(name)]
        assert grad is not None
        norms[name] = abs(float(grad.norm()) - norm) / max(norm, 1e-12)
        # A sum may cancel to nothing, so it is measured against the gradient it sums.
        sums[name] = abs(float(grad.sum()) - sum_) / max(norm * grad.numel() ** 0.5, 1e-12)
    buffers = dict(net.named_buffers())
    kept = {
        n: abs(float(buffers[str(n)].double().norm()) - b) / max(b, 1e-12)
        for n, b in zip(z["buffer_names"], z["buffer_l2_after"], strict=True)
    }
    for what, worst in (("norms", norms), ("sums", sums), ("buffers", kept)):
        name = max(worst, key=worst.get)
        print(f"{what}: largest relative difference {worst[name]:.1e} ({name})")
        assert worst[name] < 1e-6, (what, name)
