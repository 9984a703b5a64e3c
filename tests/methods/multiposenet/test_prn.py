"""The Pose Residual Network and the assignment: what must hold for any candidates and boxes."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manypose.methods.multiposenet.assign import Candidates, assign, match, pair_scores
from manypose.methods.multiposenet.attention import AttentionPRN
from manypose.methods.multiposenet.baselines import UCR
from manypose.methods.multiposenet.dense_prn import DensePRN, dense_loss
from manypose.methods.multiposenet.prn import PRN, log_share
from manypose.methods.multiposenet.prn_data import Points
from manypose.methods.multiposenet.prn_file import load_prn, save_prn
from manypose.methods.multiposenet.published_prn import PublishedPRN, load_published_prn
from manypose.methods.multiposenet.region_maps import cells_of, render, stamps
from manypose.methods.multiposenet.roi import Inside, Regions, inside
from manypose.poses.skeleton import COCO

SIZE = (8, 6)


def networks() -> list:
    torch.manual_seed(0)
    small = [PRN(size=SIZE, nodes=16), PRN(size=SIZE, nodes=8, layers=2, residual=False, sharp=True, margin=0.5, extend=0.2)]
    made = [
        *small, AttentionPRN(size=(4, 3), width=8, layers=2, heads=2), DensePRN(size=SIZE, nodes=8, margin=0.2),
        UCR(size=SIZE, margin=0.21), PublishedPRN(nodes=8, size=SIZE),
    ]  # fmt: skip
    for net in made:
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.5)
    return [net.eval() for net in made]


def scene(seed: int, people: int = 4, images: int = 3) -> tuple[Candidates, torch.Tensor, torch.Tensor]:
    """People with most of their joints; boxes around them; all in some images."""
    g = np.random.default_rng(seed)
    middle, size = g.uniform(0, 200, (people, 1, 2)), g.uniform(30, 120, (people, 1, 2))
    xy = middle + size * g.uniform(-0.5, 0.5, (people, 17, 2))
    image = g.integers(0, images, people)
    person, joint = np.nonzero(g.uniform(size=(people, 17)) < 0.8)
    boxes = np.concatenate([xy.min(1), xy.max(1)], 1) + g.normal(0, 2, (people, 4))
    order = g.permutation(len(person))
    person, joint = person[order], joint[order]
    heights = torch.from_numpy(g.uniform(0.2, 1, len(person))).float()
    candidates = Candidates(torch.from_numpy(xy[person, joint]).float(), heights, torch.from_numpy(joint), torch.from_numpy(image[person]))
    return candidates, torch.from_numpy(boxes).float(), torch.from_numpy(image)


@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([(56, 36), (8, 6), (2, 3)]))
def test_stamps_share_a_point_among_cells_and_keep_its_place(seed, sharp, size):
    place = torch.from_numpy(np.random.default_rng(seed).uniform(-2, 3, (20, 2)))
    flat, shares = stamps(place, size, sharp)
    assert flat.min() >= 0
    assert flat.max() < size[0] * size[1]
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(1), torch.ones(20, dtype=shares.dtype))
    x = ((flat % size[1] + 0.5) * shares).sum(1) / size[1]
    y = ((flat // size[1] + 0.5) * shares).sum(1) / size[0]
    half = torch.tensor([0.5 / size[1], 0.5 / size[0]], dtype=place.dtype)
    within = place.clamp(min=half, max=1 - half)
    error = (torch.stack([x, y], 1) - within).abs()
    assert (error <= (half + 1e-9 if sharp else 1e-9)).all()


@given(st.integers(0, 2**32 - 1))
def test_points_outside_lie_on_the_border_and_never_wrap_around(seed):
    place = torch.from_numpy(np.random.default_rng(seed).uniform(-0.3, 1.3, (50, 2)))
    cells = cells_of(place, (56, 36))
    for axis, side in ((0, 36), (1, 56)):
        assert (cells[:, axis][place[:, axis] < 0] == 0).all()
        assert (cells[:, axis][place[:, axis] >= 1] == side - 1).all()
        inner = (place[:, axis] >= 0) & (place[:, axis] < 1)
        assert (cells[:, axis][inner] == (place[:, axis][inner] * side).long()).all()


def test_rendered_maps_are_filtered_points():
    from scipy.ndimage import gaussian_filter

    g = np.random.default_rng(0)
    cells = np.stack([g.integers(0, 12, 30), g.integers(0, 20, 30)], 1)
    row, joint = np.sort(g.integers(0, 3, 30)), g.integers(0, 2, 30)
    for mode, sigma in (("nearest", 1.0), ("constant", 2.0)):
        points = np.zeros((3, 2, 20, 12), np.float32)
        points[row, joint, cells[:, 1], cells[:, 0]] = 1
        wanted = np.stack([[gaussian_filter(m, sigma, mode=mode) for m in maps] for maps in points])
        given_to = map(torch.from_numpy, (row, joint, cells))
        np.testing.assert_allclose(render(*given_to, (3, 2, 20, 12), sigma, nearest=mode == "nearest"), wanted, atol=1e-6)


def as_modules(net: PRN) -> torch.nn.Sequential:
    """The perceptron φ of a sparse network, as ordinary dense layers."""
    first, last = torch.nn.Linear(*net.first.shape), torch.nn.Linear(*net.last.T.shape)
    with torch.no_grad():
        first.weight.copy_(net.first.T), first.bias.copy_(net.first_bias)
        last.weight.copy_(net.last), last.bias.copy_(net.last_bias[:, 0])
    hidden = [m for layer in net.hidden for m in (layer, torch.nn.ReLU())]
    return torch.nn.Sequential(torch.nn.Flatten(), first, torch.nn.ReLU(), *hidden, last)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_sparse_network_is_equation_1_on_maps(layers, residual):
    """``y = φ(X) + X`` read at the candidates' cells (Eq. 1), ``y = φ(X)`` without the residual (Eq. 3)."""
    torch.manual_seed(1)
    net = PRN(size=SIZE, nodes=8, layers=layers, residual=residual, gain=1.0, sharp=True, margin=0.0).eval()
    torch.nn.init.normal_(net.last), torch.nn.init.normal_(net.last_bias), torch.nn.init.normal_(net.first_bias)
    candidates, boxes, image = scene(1)
    pairs = inside(candidates.xy, candidates.image, boxes, image, 0.0)
    seen = Regions(len(boxes), pairs.box, candidates.joint[pairs.candidate], pairs.place, candidates.scores[pairs.candidate])
    x, y = cells_of(seen.place, SIZE).unbind(1)
    maps = torch.zeros(len(boxes), len(COCO), *SIZE).index_put((seen.row, seen.joint, y, x), seen.heights, accumulate=True)
    with torch.no_grad():
        wanted = as_modules(net)(maps).view(maps.shape) + (maps if residual else 0)
        torch.testing.assert_close(net(seen), wanted[seen.row, seen.joint, y, x], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("residual", [True, False])
def test_07_the_dense_network_is_equation_1_with_a_softmax_over_each_map(residual):
    torch.manual_seed(2)
    net = DensePRN(size=SIZE, nodes=8, residual=residual).eval()
    seen = Regions(1, torch.tensor([0]), torch.tensor([3]), torch.tensor([[0.4, 0.6]]), torch.tensor([0.7]))
    x = net.inputs(seen)
    assert x[0, 3].max() == pytest.approx(0.7, abs=0.01)  # as high as the candidate
    assert divmod(int(x[0, 3].argmax()), SIZE[1]) == (4, 2)
    assert x[0, :3].abs().sum() == x[0, 4:].abs().sum() == 0
    with torch.no_grad():
        y = net.phi(x.flatten(1)).view(x.shape) + (x if residual else 0)
        maps = torch.stack([m.flatten().softmax(0).view(SIZE) for m in y[0]])
        torch.testing.assert_close(net.log_maps(seen)[0].exp(), maps)
        torch.testing.assert_close(net(seen), maps[3, 4, 2].log()[None])
        place, height = net.selected(seen)
    for joint in range(17):
        at = divmod(int(maps[joint].argmax()), SIZE[1])
        torch.testing.assert_close(place[0, joint], torch.tensor([(at[1] + 0.5) / SIZE[1], (at[0] + 0.5) / SIZE[0]]))
    torch.testing.assert_close(height[0], maps.flatten(1).amax(1))


def test_07_the_residual_puts_a_candidate_into_the_result():
    """With φ = 0, Eq. 1 selects the candidate and Eq. 3 does not know where it is."""
    seen = Regions(1, torch.tensor([0, 0]), torch.tensor([3, 3]), torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0.5, 0.9]))
    found = {}
    for residual in (True, False):
        net = DensePRN(size=(56, 36), nodes=4, residual=residual).eval()
        for p in net.parameters():
            torch.nn.init.zeros_(p)
        with torch.no_grad():
            found[residual] = net.selected(seen)[0][0, 3]
    assert (found[True] - torch.tensor([0.2, 0.8])).abs().max() < 0.02
    assert (found[False] - torch.tensor([0.2, 0.8])).abs().max() > 0.1


def test_the_dense_loss_is_binary_cross_entropy():
    torch.manual_seed(3)
    net = DensePRN(size=SIZE, nodes=8).eval()
    yes, no = torch.tensor([True, True]), torch.tensor([True, False])
    p = Points(torch.tensor([0, 0]), torch.tensor([2, 2]), torch.tensor([[0.3, 0.3], [0.7, 0.9]]), no, yes, torch.tensor([0, 1]))
    probability = net.log_maps(Regions(1, p.row, p.joint, p.place, torch.ones(2))).exp()
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    target = torch.zeros_like(probability)
    target[0, 2] = torch.exp(-((x - 1) ** 2 + (y - 2) ** 2) / 2) * ((x - 1).abs() <= 4) * ((y - 2).abs() <= 4)
    target /= sum(np.exp(-(i**2) / 2) for i in range(-4, 5)) ** 2
    wanted = -(target * probability.log() + (1 - target) * (1 - probability).log()).sum()
    torch.testing.assert_close(dense_loss(net, p, 1), wanted, rtol=1e-4, atol=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_probabilities_of_a_joint_sum_to_1_with_nowhere(seed):
    g = torch.Generator().manual_seed(seed)
    row, joint = torch.randint(3, (20,), generator=g).sort().values, torch.randint(2, (20,), generator=g)
    log, none = log_share(torch.randn(20, generator=g) * 30, row, joint, (3, 2))
    total = none.exp().flatten().index_add(0, row * 2 + joint, log.exp())
    torch.testing.assert_close(total, torch.ones(6))


@pytest.mark.parametrize("how", ["linear", "each", "shared"])
@pytest.mark.parametrize("net", networks(), ids=lambda n: type(n).__name__)
def test_a_batch_gives_what_its_images_give_alone(net, how):
    candidates, boxes, image = scene(2, people=7)
    keypoints, scores = assign(net, candidates, boxes, image, how)
    for i in range(3):
        mine, ours = candidates.image == i, image == i
        alone = Candidates(candidates.xy[mine], candidates.scores[mine], candidates.joint[mine])
        xy, s = assign(net, alone, boxes[ours], how=how)
        torch.testing.assert_close(xy, keypoints[ours])
        torch.testing.assert_close(s, scores[ours], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("net", networks()[:3:2], ids=lambda n: type(n).__name__)
def test_results_do_not_depend_on_the_order_nor_on_where_and_how_large(net):
    candidates, boxes, image = scene(3, people=6)
    keypoints, scores = assign(net, candidates, boxes, image)
    g = torch.Generator().manual_seed(0)
    c, b = torch.randperm(len(candidates), generator=g), torch.randperm(len(boxes), generator=g)
    moved = Candidates(candidates.xy[c] * 2 + 64, candidates.scores[c], candidates.joint[c], candidates.image[c])
    xy, s = assign(net, moved, boxes[b] * 2 + 64, image[b])
    torch.testing.assert_close(s, scores[b], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(torch.where(s[..., None] > 0, (xy - 64) / 2, xy), keypoints[b], atol=1e-3, rtol=0)


@pytest.mark.parametrize("net", networks(), ids=lambda n: type(n).__name__)
def test_nothing_to_assign(net):
    candidates, boxes, image = scene(4)
    for c, b, i in ((Candidates(torch.zeros(0, 2), torch.zeros(0), torch.zeros(0, dtype=torch.long)), boxes, image * 0),):
        keypoints, scores = assign(net, c, b, i)
        assert keypoints.shape == (4, 17, 2)
        assert not scores.any()
    keypoints, scores = assign(net, candidates, boxes[:0], image[:0])
    assert keypoints.shape == (0, 17, 2)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
def test_linear_is_the_best_sum_and_gives_nothing_twice(seed, n, m):
    score = torch.from_numpy(np.random.default_rng(seed).normal(0, 5, (n, m)))
    box, candidate = (t.flatten() for t in torch.meshgrid(torch.arange(n), torch.arange(m), indexing="ij"))
    pairs = Inside(box, candidate, torch.zeros(n * m, 2))
    kinds = torch.zeros(m, dtype=torch.long)
    row = match(pairs, score.flatten(), kinds, (n, 1), "linear")[:, 0]
    taken = candidate[row[row >= 0]].tolist()
    assert len(set(taken)) == len(taken) == min(n, m)
    tall = score if n >= m else score.T
    best = max(sum(float(tall[a, i]) for i, a in enumerate(chosen)) for chosen in permutations(range(max(n, m)), min(n, m)))
    assert float(score.flatten()[row[row >= 0]].sum()) == pytest.approx(best)
    each = match(pairs, score.flatten(), kinds, (n, 1), "each")[:, 0]
    assert candidate[each].tolist() == score.argmax(1).tolist()
    shared = match(pairs, score.flatten(), kinds, (n, 1), "shared")[:, 0]
    assert shared.tolist() == torch.where(row >= 0, row, each).tolist()


def test_a_candidate_that_scores_too_little_is_left():
    pairs = Inside(torch.tensor([0, 0]), torch.tensor([0, 1]), torch.zeros(2, 2))
    for how in ("linear", "each", "shared"):
        assert match(pairs, torch.tensor([-3.0, -5.0]), torch.tensor([0, 1]), (1, 2), how, least=-4).tolist() == [[0, -1]]


def test_weights_round_trip(tmp_path):
    for net in networks()[:4]:
        back = load_prn(save_prn(net, tmp_path / "prn.safetensors"))
        assert type(back) is type(net)
        assert back.arguments == net.arguments
        candidates, boxes, image = scene(5)
        for a, b in zip(assign(net, candidates, boxes, image), assign(back, candidates, boxes, image), strict=True):
            assert torch.equal(a, b)
        half = load_prn(save_prn(net, tmp_path / "half.safetensors", "float16"))
        assert (tmp_path / "half.safetensors").stat().st_size < (tmp_path / "prn.safetensors").stat().st_size
        _, whole = pair_scores(net, candidates, boxes, image)
        torch.testing.assert_close(pair_scores(half, candidates, boxes, image)[1], whole, atol=0.1, rtol=0.02)


def test_published_files(tmp_path):
    net = PublishedPRN(nodes=8)
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, tmp_path / "default.pth.tar")
    back = load_published_prn(tmp_path / "default.pth.tar")
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), back.parameters(), strict=True))
    torch.save({"state_dict": {"dens1.bias": torch.zeros(8)}}, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"part\.pth: does not fit.*missing"):
        load_published_prn(tmp_path / "part.pth")
    torch.save({"conv.weight": torch.zeros(8)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth: holds no published PRN"):
        load_published_prn(tmp_path / "other.pth")


def test_bad_input_is_one_clear_error(tmp_path, untyped):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: no such weights file"):
        load_prn(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.safetensors: not a complete safetensors file"):
        load_prn(tmp_path / "text.safetensors")
    with pytest.raises(ValueError, match=r"\.safetensors"):
        save_prn(networks()[0], tmp_path / "prn.pth")
    with pytest.raises(ValueError, match="of one length"):
        Candidates(torch.zeros(3, 2), torch.zeros(2), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="nodes and layers of at least 1"):
        PRN(nodes=0)
    with pytest.raises(ValueError, match="multiple of the heads"):
        AttentionPRN(width=10, heads=4)
    with pytest.raises(ValueError, match="how must be one of linear, each, shared"):
        assign(networks()[0], *scene(0), how="best")  # type: ignore[arg-type]
