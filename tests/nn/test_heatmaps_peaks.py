import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manypose.nn import heatmaps
from manypose.nn.heatmaps import gather, gaussians, mirror, peaks, quarter_offset, subpixel


def brute_peaks(plane: np.ndarray, window: int, threshold: float, top: int) -> list[tuple[float, int, int]]:
    """Falling heights, then by place: every cell is compared with its whole neighbourhood; of equal neighbours the first is left."""
    r, found = window // 2, []
    for y, x in np.ndindex(*plane.shape):
        square = plane[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1]
        if plane[y, x] > threshold and plane[y, x] == square.max():
            found.append((float(plane[y, x]), x, y))
    found = sorted(found, key=lambda p: (-p[0], p[2], p[1]))[:top]
    near = [[p[0] == q[0] and max(abs(p[1] - q[1]), abs(p[2] - q[2])) <= r for q in found[:i]] for i, p in enumerate(found)]
    return [p for p, before in zip(found, near, strict=True) if not any(before)]


def listed(heights: torch.Tensor, cells: torch.Tensor) -> list[tuple[float, int, int]]:
    return [(float(v), int(x), int(y)) for v, (x, y) in zip(heights, cells, strict=True) if v > 0]


@given(
    seed=st.integers(0, 10**6),
    h=st.integers(1, 15),
    w=st.integers(1, 15),
    window=st.sampled_from([1, 3, 5, 7]),
    steps=st.sampled_from([3, 9, 10**6]),
)
def test_peaks_are_the_definition(seed, h, w, window, steps):
    # Few steps make many equal values, so ties and plateaus occur.
    heat = torch.from_numpy(np.random.default_rng(seed).integers(0, steps + 1, (2, 3, h, w)).astype(np.float32) / steps)
    expected = [brute_peaks(p, window, 0.3, 6) for p in heat.flatten(0, 1).numpy()]
    heights, cells = peaks(heat, window, 0.3, 6)
    assert heights.shape == (2, 3, 6)
    assert [listed(v, c) for v, c in zip(heights.flatten(0, 1), cells.flatten(0, 1), strict=True)] == expected
    assert not cells[heights == 0].any()
    if steps > 9:  # of equal heights at the border of the best 6, `topk` may choose others
        pooled, flat = heatmaps._peaks_pooled(heat, window, 0.3, 6)
        assert torch.equal(pooled, heights)
        assert torch.equal(flat, cells[..., 1] * w + cells[..., 0])


def test_a_peak_is_higher_than_the_threshold():
    heat = torch.zeros(1, 1, 9, 9)
    heat[..., 4, 4] = 0.1
    assert peaks(heat, threshold=float(heat.max()))[0].max() == 0
    assert peaks(heat, threshold=float(heat.max()) - 1e-6)[0].max() == heat.max()


def test_what_is_not_there_is_zero():
    heights, cells = peaks(torch.full((1, 2, 4, 4), -1.0), top=30)
    assert heights.shape == (1, 2, 30)
    assert not heights.any()
    assert not cells.any()


@pytest.mark.parametrize("window", [0, 4, -1])
def test_a_window_has_a_middle(window):
    with pytest.raises(ValueError, match=f"must be odd.* got {window}"):
        peaks(torch.zeros(1, 1, 4, 4), window)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_peaks_of_any_precision(dtype):
    heat = torch.rand(1, 2, 20, 20, generator=torch.Generator().manual_seed(0)).to(dtype)
    heights, cells = peaks(heat)
    assert heights.dtype == dtype
    assert torch.equal(heights, gather(heat, cells) * (heights > 0))


def test_peaks_do_not_depend_on_the_batch():
    heat = torch.rand(3, 2, 40, 30, generator=torch.Generator().manual_seed(1))
    together = peaks(heat)
    for i in range(3):
        alone = peaks(heat[i : i + 1])
        assert all(torch.equal(a[0], t[i]) for a, t in zip(alone, together, strict=True))
        assert torch.equal(subpixel(heat[i : i + 1], alone[1])[0], subpixel(heat, together[1])[i])


def one_gaussian(x: float, y: float, sigma: float, size: tuple[int, int] = (24, 31), height: float = 1.0) -> torch.Tensor:
    return gaussians(torch.tensor([[[[x, y]]]]), torch.ones(1, 1, 1, dtype=torch.bool), size, sigma) * height


@given(x=st.floats(-0.4, 30.4), y=st.floats(-0.4, 23.4), sigma=st.floats(1.5, 4.0), height=st.floats(0.2, 1.0))
def test_subpixel_is_right_on_clean_gaussians_at_any_phase(x, y, sigma, height):
    heat = one_gaussian(x, y, sigma, height=height)
    _, cells = peaks(heat, top=1)
    off = (subpixel(heat, cells)[0, 0, 0] - torch.tensor([x, y])).abs().max()
    inside = 1 <= x <= 29 and 1 <= y <= 22
    assert off < (0.01 if inside else 0.02)  # at the picture's edge a neighbour is missing


def test_subpixel_beats_the_quarter_offset_under_noise():
    random = torch.Generator().manual_seed(3)
    ours, published = [], []
    for _ in range(100):
        xy = torch.rand(2, generator=random) * 10 + 7
        heat = one_gaussian(float(xy[0]), float(xy[1]), 2.0, height=0.6)
        heat = (heat + 0.02 * torch.randn(heat.shape, generator=random)).clamp(0, 1)
        _, cells = peaks(heat, top=1)
        ours.append((subpixel(heat, cells)[0, 0, 0] - xy).abs().mean())
        published.append((quarter_offset(heat, cells)[0, 0, 0] - xy).abs().mean())
    assert torch.stack(ours).mean() < 0.1
    assert torch.stack(ours).mean() < 0.7 * torch.stack(published).mean()


def test_subpixel_of_anything_stays_near_its_peak():
    heat = torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(4)) - 0.3
    cells = torch.stack(torch.meshgrid(torch.arange(7), torch.arange(6), indexing="xy"), -1).reshape(1, 1, -1, 2).expand(2, 3, -1, 2)
    off = subpixel(heat, cells) - cells
    assert torch.isfinite(off).all()
    assert off.abs().max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (3, 3), (4, 4)])
def test_subpixel_of_small_maps(size):
    heat = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(5))
    _, cells = peaks(heat, top=1)
    assert torch.isfinite(subpixel(heat, cells)).all()


def test_quarter_offset_goes_to_the_higher_neighbour_and_down_on_a_tie():
    heat = torch.zeros(1, 1, 5, 5)
    heat[0, 0, 2, 2], heat[0, 0, 2, 3], heat[0, 0, 0, 0] = 1.0, 0.5, 0.8
    cells = torch.tensor([[[[2, 2], [0, 0], [4, 4]]]])
    assert quarter_offset(heat, cells)[0, 0].tolist() == [[2.25, 1.75], [-0.25, -0.25], [3.75, 3.75]]


def test_18_quarter_offset_is_its_definition_at_every_cell():
    """A neighbour beyond the edge is the edge cell itself."""
    heat = torch.rand(1, 2, 4, 5, generator=torch.Generator().manual_seed(8))
    cells = torch.stack(torch.meshgrid(torch.arange(5), torch.arange(4), indexing="xy"), -1).reshape(1, 1, -1, 2).expand(1, 2, -1, 2)
    padded = torch.nn.functional.pad(heat, (1, 1, 1, 1), "replicate")
    x, y = padded[..., 1:-1, 2:] > padded[..., 1:-1, :-2], padded[..., 2:, 1:-1] > padded[..., :-2, 1:-1]
    wanted = cells + torch.stack([x, y], -1).flatten(2, 3) * 0.5 - 0.25
    assert torch.equal(quarter_offset(heat, cells), wanted)


def test_18_subpixel_takes_small_values_for_a_thousandth_of_the_peak():
    heat = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(9)) * 0.1 - 0.05
    heat[..., 4, 4] = 1
    cells = torch.tensor([[[[4, 4]]]])
    found, same, more = (subpixel(h, cells) for h in (heat, heat.clamp(min=1e-3), heat.clamp(min=2e-3)))
    assert torch.equal(found, same)
    assert not torch.allclose(found, more, atol=1e-4)


@pytest.mark.parametrize("size", [(3, 3), (4, 3), (3, 7)])
def test_18_subpixel_is_right_on_maps_of_three_cells(size):
    heat = one_gaussian(1.2, 0.9, 1.0, size)
    assert (subpixel(heat, torch.tensor([[[[1, 1]]]]))[0, 0, 0] - torch.tensor([1.2, 0.9])).abs().max() < 0.01


@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_18_every_cell_above_zero_may_be_a_peak(threshold):
    heat = torch.zeros(1, 1, 9, 9)
    heat[..., 4, 4] = 0.004
    for find in (peaks, lambda h, window=5, threshold=0.1, top=30: heatmaps._peaks_pooled(h, window, max(threshold, 0.0), top)):
        assert find(heat, threshold=threshold)[0].count_nonzero() == 1


def test_gather_reads_maps_and_tags():
    values = torch.rand(2, 3, 4, 5, 2, generator=torch.Generator().manual_seed(6))
    cells = torch.tensor([[4, 3], [0, 1]]).expand(2, 3, 2, 2)
    assert torch.equal(gather(values, cells)[:, :, 0], values[:, :, 3, 4])
    assert torch.equal(gather(values[..., 0], cells)[:, :, 1], values[:, :, 1, 0, 0])


def test_mirror_exchanges_columns_and_channels_and_undoes_itself():
    order = (0, 2, 1)
    values = torch.rand(1, 3, 8, 9, generator=torch.Generator().manual_seed(7))
    back = mirror(values, order)
    assert torch.equal(back[0, 1], values[0, 2].flip(1))
    assert torch.equal(mirror(back, order), values)
    assert torch.equal(mirror(values), values.flip(3))
    heights, cells = peaks(values, top=4)
    mirrored_heights, mirrored_cells = peaks(back, top=4)
    assert torch.equal(mirrored_heights, heights[:, list(order)])
    seen = heights[:, list(order)] > 0
    assert torch.equal((8 - mirrored_cells[..., 0])[seen], cells[:, list(order)][..., 0][seen])
