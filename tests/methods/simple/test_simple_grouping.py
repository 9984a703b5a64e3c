"""The grouping CNN: it keeps or suppresses and never moves; what it learns from; who gets which peak."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import load_file

from manypose.methods.simple.grouping import GroupingCNN, at_points, grouping_loss
from manypose.methods.simple.grouping_file import BUNDLED, load_grouping, save_grouping
from manypose.methods.simple.peak_assignment import hand_out, odds_of_peaks


def small(**arguments) -> GroupingCNN:
    torch.manual_seed(0)
    cnn = GroupingCNN(**{"joints": 3, "size": (32, 16), "widths": (8, 8, 12, 12)} | arguments)
    torch.nn.init.normal_(cnn.head.weight)
    return cnn.eval()


@given(seed=st.integers(0, 1000))
def test_reserves_and_does_not_refine(seed):
    """Nothing appears where nothing was, nothing grows, and what is kept stays where it is."""
    rois = torch.rand(2, 3, 32, 16, generator=torch.Generator().manual_seed(seed))
    rois = rois * (rois > 0.5)
    with torch.no_grad():
        kept = small()(rois)
    assert kept.shape == rois.shape
    assert (kept >= 0).all()
    assert (kept <= rois).all()
    assert (kept[rois == 0] == 0).all()


def test_does_not_depend_on_the_batch():
    cnn, rois = small(), torch.rand(5, 3, 32, 16)
    with torch.no_grad():
        assert torch.allclose(cnn(rois)[3], cnn(rois[3:4])[0], atol=1e-5)


def test_every_response_is_seen_in_the_context_of_the_whole_roi():
    """A response in one corner changes what is thought of one in the other."""
    cnn, rois = small(), torch.rand(1, 3, 32, 16)
    far = rois.clone()
    far[0, 0, -1, -1] += 1
    with torch.no_grad():
        assert (cnn.logits(rois) - cnn.logits(far))[0, :, 0, 0].abs().max() > 1e-6


def test_untrained_it_knows_nothing():
    assert torch.equal(GroupingCNN().eval().logits(torch.rand(1, 17, 64, 48)), torch.zeros(1, 17, 64, 48))


def test_points_are_read_between_cells():
    maps = torch.arange(12.0).view(1, 1, 3, 4)
    cells = torch.tensor([[1.0, 1], [1.5, 0.25], [-3, 1], [9, 9]])
    zero = torch.zeros(4, dtype=torch.long)
    assert torch.allclose(at_points(maps, zero, zero, cells), torch.tensor([5, 2.5, 4, 11]))


def test_loss_of_peaks():
    """Both parts by hand: three peaks of one type in one RoI, of which the first is the person's; one of another's in a second."""
    logits = torch.zeros(2, 1, 1, 4)
    logits[0, 0, 0, :3] = torch.tensor([2.0, 1, -1])
    maps = logits.expand(-1, -1, 2, -1).contiguous()
    roi, joint = torch.tensor([0, 0, 0, 1]), torch.zeros(4, dtype=torch.long)
    cells, own = torch.tensor([[0.0, 0], [1, 0], [2, 1], [1, 0]]), torch.tensor([True, False, False, False])
    losses = grouping_loss(maps, roi, joint, cells, own)
    odds = np.array([2.0, 1, -1, 0])
    assert float(losses["own"]) == pytest.approx((np.log1p(np.exp(-2.0)) + np.log1p(np.exp(odds[1:])).sum()) / 4, rel=1e-5)
    assert float(losses["choice"]) == pytest.approx(np.log(np.exp(odds[:3]).sum()) - 2, rel=1e-5)


def test_loss_without_peaks_is_zero_and_has_a_gradient():
    maps, none = torch.zeros(1, 1, 2, 2, requires_grad=True), torch.zeros(0, dtype=torch.long)
    losses = grouping_loss(maps, none, none, torch.zeros(0, 2), none.bool())
    assert {k: float(v.detach()) for k, v in losses.items()} == {"own": 0, "choice": 0}
    sum(losses.values()).backward()


@given(arrays(np.float64, (4, 2, 5), elements=st.floats(-8, 8)), st.floats(0.5, 6))
def test_peaks_are_handed_out_once_unless_shared(odds, share):
    chosen = hand_out(odds, -3.0, share)
    for j in range(2):
        got = np.where(chosen[:, j] >= 0, np.take_along_axis(odds[:, j], chosen[:, j : j + 1].clip(0), 1)[:, 0], -3.0)
        assert (got[chosen[:, j] >= 0] >= -3).all()
        # Nobody is left with something much worse than what there is.
        assert (np.maximum(odds[:, j].max(1), -3) - got <= share + 1e-9).all()
        if share > 5.9 and odds.max() < 2.8:  # too dear to be shared
            given_out = chosen[chosen[:, j] >= 0, j]
            assert len(set(given_out.tolist())) == len(given_out)


def test_two_people_who_claim_one_peak():
    odds = np.array([[[4.0, 3.5]], [[3.0, -2.0]]])
    assert hand_out(odds, -3.0, 3.0).tolist() == [[1], [0]]  # the sum is highest when the first takes the other
    odds = np.array([[[4.0, -9.0]], [[3.0, -9.0]]])
    assert hand_out(odds, -3.0, 3.0).tolist() == [[0], [0]]  # one response for both
    assert hand_out(np.full((2, 1, 3), -np.inf), -3.0, 3.0).tolist() == [[-1], [-1]]


def test_odds_are_those_of_the_map_and_nothing_outside_the_roi():
    cnn = small(extend=1.0)
    heat, boxes, image = torch.rand(2, 3, 40, 40), torch.tensor([[20.0, 20, 84, 148], [0, 0, 64, 64]]), torch.tensor([1, 0])
    xy = torch.tensor([[40.0, 60], [19, 60], [84, 148.5], [50, 50]]).expand(2, 3, 4, 2)
    heights = torch.tensor([1.0, 1, 1, 0]).expand(2, 3, 4)
    with torch.no_grad():
        odds, logits = odds_of_peaks(heat, xy, heights, boxes, image, cnn), cnn.logits(cnn.rois(heat, boxes, image))
        cell = cnn.points(xy[:1, 0, :1], boxes[:1])[0]
    assert torch.isfinite(odds[0]).tolist() == [[True, False, False, False]] * 3
    wanted = at_points(logits, torch.zeros(1, dtype=torch.long), torch.ones(1, dtype=torch.long), cell)
    assert torch.allclose(odds[0, 1, :1], wanted, atol=1e-5)


def test_files_hold_all_that_is_needed(tmp_path):
    cnn = small(extend=1.5)
    again = load_grouping(save_grouping(cnn, tmp_path / "cnn.safetensors"))
    assert again.arguments == cnn.arguments
    assert not again.training
    rois = torch.rand(1, 3, 32, 16)
    with torch.no_grad():
        assert torch.equal(cnn(rois), again(rois))
    half = load_file(save_grouping(cnn, tmp_path / "half.safetensors", "float16"))
    assert half["head.weight"].dtype == torch.float16
    assert half["stem.1.weight"].dtype == torch.float32


def test_wrong_files_and_sizes_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.safetensors: no such weights file; `manypose grouping train`"):
        load_grouping(tmp_path / "none.safetensors")
    file = save_grouping(small(), tmp_path / "cnn.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cut.safetensors: not a complete"):
        load_grouping(tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match="holds no grouping CNN"):
        load_grouping(BUNDLED.with_name("nanodet.safetensors"))
    with pytest.raises(ValueError, match=r"weights files end in .safetensors"):
        save_grouping(small(), tmp_path / "cnn.pth")
    with pytest.raises(ValueError, match=r"multiples of 16, got \(30, 16\)"):
        GroupingCNN(size=(30, 16))


def test_the_bundled_cnn_keeps_the_person_in_the_middle():
    """Two people side by side, alike: in the box of one, the other's responses are suppressed."""
    cnn = load_grouping()
    assert BUNDLED.stat().st_size < 10e6
    heat, boxes = two_people()
    with torch.no_grad():
        rois = cnn.rois(heat, boxes, torch.tensor([0, 0]))
        kept = cnn(rois)
    middle = slice(16, 33)  # the box's part of the RoI's 48 columns is 12 … 36
    inside, outside = kept[..., middle].amax((2, 3)), torch.cat([kept[..., :8], kept[..., -8:]], 3).amax((2, 3))
    assert inside.min() > 0.7
    assert outside.max() < 0.2
    assert torch.cat([rois[..., :8], rois[..., -8:]], 3).amax() > 0.8  # the other was there


def two_people() -> tuple[torch.Tensor, torch.Tensor]:
    """Pose maps of two standing people 60 pixels apart, and their boxes."""
    from manypose.nn.heatmaps import gaussians

    x = torch.tensor([0, 2, -2, 5, -5, 12, -12, 18, -18, 20, -20, 8, -8, 9, -9, 9, -9.0]) * 1.2
    y = torch.tensor([0, -3, -3, -2, -2, 18, 18, 42, 42, 62, 62, 68, 68, 105, 105, 140, 140.0]) * 1.2
    one = torch.stack([x + 100, y + 60], 1)
    people = torch.stack([one, one + torch.tensor([60.0, 4])])
    heat = gaussians((people[None] - 1.5) / 4, torch.ones(1, 2, 17, dtype=torch.bool), (80, 80))
    low, high = people.amin(1) - 8, people.amax(1) + 8
    return heat, torch.cat([low - torch.tensor([0, 12.0]), high], 1)
