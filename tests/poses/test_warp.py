"""One affine for photo, joints, boxes and masks: everything agrees to 0.01 network pixels."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp, cell_to_pixel, pixel_to_cell

H, W = 240, 320
ROUNDING = 0.001 if int(cv2.__version__.split(".")[0]) >= 5 else 1 / 60  # OpenCV 4 rounds the places where it reads to 1/32 px


@st.composite
def warps(draw, low: float = 0.15, high: float = 4.0, turns: bool = True) -> Warp:
    """A Warp of an H × W photo: fit, scaling, similarity or crop, perhaps mirrored."""
    number = lambda a, b: draw(st.floats(a, b, allow_nan=False))  # noqa: E731
    size = (draw(st.integers(48, 160)), draw(st.integers(48, 160)))
    degrees = draw(st.sampled_from([0.0, 90.0, 180.0]) | st.floats(-180, 180)) if turns else 0.0
    mirror = draw(st.booleans())
    kind = draw(st.sampled_from(["fit", "scaling", "similarity", "crop"]))
    if kind == "fit":
        warp = Warp.fit((H, W), draw(st.integers(int(H * low) + 1, int(H * min(high, 1.5)))), stride=draw(st.sampled_from([1, 32, 64])))
        return warp.mirror() if mirror else warp
    if kind == "scaling":
        warp = Warp.scaling(number(low, high), size)
        return warp.mirror() if mirror else warp
    center = (number(80, W - 80), number(80, H - 80))
    extent = size[1] / number(low, high)
    if kind == "similarity":
        return Warp.similarity(center, extent, size, degrees, mirror)
    box = np.array([center[0] - extent / 2, center[1] - 10, center[0] + extent / 2, center[1] + 10])
    return Warp.crop(box, size, degrees, mirror)


def people(n: int = 3, seed: int = 0) -> Poses:
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform((0, 0), (W - 1, H - 1), (n, 17, 2)).astype(np.float32)
    scores = rng.uniform(0.1, 1, (n, 17)).astype(np.float32)
    scores[:, 3] = 0
    keypoints[scores == 0] = 0
    return Poses(COCO, keypoints, scores, rng.uniform(0, 1, n).astype(np.float32))


def to_network(poses: Poses, warp: Warp) -> Poses:
    """The poses as a network sees them."""
    joined = np.concatenate([poses.keypoints, poses.keypoint_scores[..., None]], -1)
    joined = warp.joints(joined, COCO.mirror)
    return Poses(COCO, joined[..., :2], joined[..., 2], poses.scores, warp.boxes(poses.boxes))


def coordinates(size: tuple[int, int]) -> np.ndarray:
    """A picture whose channels are the x and the y of each pixel, and 0."""
    x, y = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    return np.dstack([x, y, 0 * x]).astype(np.float32)


def read_at(warp: Warp) -> np.ndarray:
    """The photo point of every network pixel."""
    return coordinates(warp.size)[..., :2].astype(np.float64) @ warp.inverse[:, :2].T + warp.inverse[:, 2]


@given(warps())
def test_every_pixel_is_read_where_its_point_lies(warp: Warp):
    """A picture of coordinates shows in each network pixel which photo point was read there."""
    read, wanted = warp.image(coordinates((H, W)))[..., :2].astype(np.float64), read_at(warp)
    margin = 2 * max(1, int(1 / warp.scale) + 1)
    inside = ((wanted > margin) & (wanted < np.array([W, H]) - 1 - margin)).all(-1)
    assume(inside.any())
    assert np.abs(read - wanted)[inside].max() * warp.scale < ROUNDING * max(1, warp.scale)


def blob(center: np.ndarray, sigma: float, dtype: type) -> np.ndarray:
    y, x = np.mgrid[:H, :W]
    return (250 * np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * sigma**2))).astype(dtype)


def centroid(picture: np.ndarray) -> np.ndarray:
    picture = picture.astype(np.float64)
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(picture * x).sum(), (picture * y).sum()]) / picture.sum()


@given(warps(0.35, 2.0), st.floats(110, 210), st.floats(100, 140), st.sampled_from([np.uint8, np.float32]))
def test_a_blob_lands_where_its_centre_is_mapped(warp: Warp, x: float, y: float, dtype: type):
    sigma = 5 * max(1, 1 / warp.scale)  # smooth enough that bilinear sampling itself does not move it
    photo = blob(np.array([x, y]), sigma, dtype)
    centre = warp.points(centroid(photo)[None])[0]
    reach = 5 * sigma * warp.scale + 1
    assume((centre > reach).all() and (centre < np.array(warp.size[::-1]) - 1 - reach).all())
    found = centroid(warp.image(photo))
    # Eight bits round each of some hundred pixels; that alone moves a centroid by thousandths of a pixel.
    assert np.abs(found - centre).max() < (0.01 if dtype is np.float32 else 0.02)


@pytest.mark.parametrize("step", [2, 3, 4, 7])
def test_shrinking_by_a_whole_number_averages_whole_blocks(step: int):
    photo = np.random.default_rng(step).uniform(0, 255, (84, 168, 3)).astype(np.float32)
    small = Warp.scaling(1 / step, (84 // step, 168 // step)).image(photo)
    blocks = photo.reshape(84 // step, step, 168 // step, step, 3).mean((1, 3))
    np.testing.assert_allclose(small, blocks, atol=1e-3)


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 1), (40, 60, 3), (40, 60, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_a_photo_of_the_right_size_comes_through_untouched(shape: tuple[int, ...], dtype: type):
    photo = (np.random.default_rng(0).uniform(0, 255, shape)).astype(dtype)
    same = Warp.fit((40, 60), 40, stride=20)
    assert same.size == (40, 60)
    np.testing.assert_array_equal(same.image(photo), photo)
    np.testing.assert_array_equal(same.mirror().image(photo), photo[:, ::-1])
    assert same.image(photo).dtype == dtype


@given(warps())
def test_mirroring_a_warp_mirrors_its_picture(warp: Warp):
    photo = np.random.default_rng(1).integers(0, 255, (H, W, 3), dtype=np.uint8)
    difference = warp.mirror().image(photo).astype(int) - warp.image(photo)[:, ::-1]
    assert np.abs(difference).max() <= 1 + 2 * 255 * ROUNDING


@given(warps())
def test_a_person_shown_large_does_not_depend_on_how_large_the_photo_is(warp: Warp):
    """What lies outside the result is cut away before work starts; that must not be seen."""
    photo = np.random.default_rng(2).integers(0, 255, (H, W, 3), dtype=np.uint8)
    around = np.zeros((3 * H, 3 * W, 3), np.uint8)
    step = max(1, int(1 / warp.scale + 1e-9))
    y, x = H // step * step, W // step * step  # blocks are averaged from the corner on
    around[y : y + H, x : x + W] = photo
    moved = Warp(np.column_stack([warp.matrix[:, :2], warp.matrix[:, 2] - warp.matrix[:, :2] @ [x, y]]), warp.size, warp.mirrored)
    inner = np.ones((H, W), np.uint8)
    inner[: 2 * step], inner[-2 * step :], inner[:, : 2 * step], inner[:, -2 * step :] = 0, 0, 0, 0
    inner = warp.mask(inner) > 0
    difference = np.abs(warp.image(photo).astype(int) - moved.image(around))[inner]
    assert difference.max(initial=0) <= 1 + 2 * 255 * ROUNDING


def test_a_crop_beyond_the_photo_is_empty_and_a_very_long_photo_works():
    photo = np.full((10, 40_000, 3), 200, np.uint8)
    box = np.array([39_000.0, 0, 39_020, 10])
    assert (Warp.crop(box, (32, 64)).image(photo)[10:20, 10:50] == 200).all()
    assert (Warp.crop(box + 5000, (32, 64)).image(photo, fill=7) == 7).all()
    assert (Warp.crop(box + 5000, (32, 64)).mask(photo[..., 0], outside=255) == 255).all()
    assert Warp.fit((10, 40_000), 512).image(photo).shape[1] == 2048


@given(warps())
def test_back_inverts(warp: Warp):
    poses = people()
    there_and_back = warp.back(to_network(poses, warp))
    np.testing.assert_allclose(there_and_back.keypoints, poses.keypoints, atol=0.01)
    np.testing.assert_array_equal(there_and_back.keypoint_scores, poses.keypoint_scores)
    np.testing.assert_array_equal(there_and_back.scores, poses.scores)


@given(warps(turns=False))
def test_boxes_come_back_when_the_picture_stays_upright(warp: Warp):
    poses = people()
    boxes = poses.boxes + np.array([-3, -4, 5, 6], np.float32)  # a detector's boxes, not the joints' own
    network = to_network(poses, warp)
    network = Poses(COCO, network.keypoints, network.keypoint_scores, network.scores, warp.boxes(boxes))
    if warp.matrix[0, 1] == 0:
        np.testing.assert_allclose(warp.back(network).boxes, boxes, atol=0.01)


@given(warps())
def test_boxes_enclose_what_they_enclosed(warp: Warp):
    poses = people()
    network = to_network(poses, warp)
    there = network.keypoint_scores > 0
    low, high = network.boxes[:, None, :2], network.boxes[:, None, 2:]
    assert ((network.keypoints >= low - 0.01) & (network.keypoints <= high + 0.01)).all(-1)[there].all()
    tight = Poses(COCO, network.keypoints, network.keypoint_scores, network.scores)
    np.testing.assert_allclose(warp.back(tight).boxes, poses.boxes, atol=0.01)


@given(warps(), warps())
def test_then_is_one_after_the_other(first: Warp, second: Warp):
    both = first.then(second)
    points = np.random.default_rng(3).uniform(0, 200, (20, 2))
    np.testing.assert_allclose(both.points(points), second.points(first.points(points)), atol=1e-6)
    assert both.size == second.size
    assert both.mirrored == (first.mirrored != second.mirrored)
    assert both.scale == pytest.approx(first.scale * second.scale)
    assert (np.linalg.det(both.matrix[:, :2]) < 0) == both.mirrored


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(32, 800), st.sampled_from([1, 32, 64, 128]))
def test_fit_shows_the_whole_photo_and_as_little_else_as_it_may(h: int, w: int, short: int, stride: int):
    warp = Warp.fit((h, w), short, stride)
    corners = warp.points(np.array([[-0.5, -0.5], [w - 0.5, h - 0.5]]))
    assert corners[0] == pytest.approx([-0.5, -0.5], abs=1e-6)
    wide, high = corners[1] + 0.5
    assert high <= warp.size[0] + 1e-3
    assert wide <= warp.size[1] + 1e-3
    assert min(wide, high) <= short + 1e-6
    assert max(wide, high) <= 4 * short + 1e-6
    assert all(side % stride == 0 for side in warp.size)
    assert all(side - seen < stride or side == stride for side, seen in zip(warp.size, (high, wide), strict=True))


@given(st.floats(0, 200), st.floats(0, 150), st.floats(5, 200), st.floats(5, 200), st.booleans())
def test_crop_shows_the_box_whole_in_the_middle(x: float, y: float, w: float, h: float, mirror: bool):
    warp = Warp.crop(np.array([x, y, x + w, y + h]), (64, 48), mirror=mirror)
    x0, y0, x1, y1 = warp.boxes(np.array([[x, y, x + w, y + h]]))[0]
    assert (x0 + x1) / 2 == pytest.approx(23.5, abs=1e-6)
    assert (y0 + y1) / 2 == pytest.approx(31.5, abs=1e-6)
    assert max((x1 - x0) / 48, (y1 - y0) / 64) == pytest.approx(1)


def test_turning_is_counter_clockwise_as_seen():
    warp = Warp.similarity((50, 50), 100, (101, 101), degrees=90)
    np.testing.assert_allclose(warp.points(np.array([[60.0, 50.0]])), [[50.0, 39.9]], atol=0.001)  # right of the middle → above it


@given(warps())
def test_masks_land_where_points_land(warp: Warp):
    mask = np.zeros((H, W), bool)
    mask[60:180, 80:240] = True
    found = warp.mask(mask)
    assert found.dtype == np.bool_
    seen = read_at(warp)
    off = np.maximum(np.array([79.5, 59.5]) - seen, seen - np.array([239.5, 179.5])).max(-1)  # how far outside, in photo pixels
    assert found[off < -0.05].all()
    assert not found[off > 0.05].any()


def test_masks_go_back_to_the_photo():
    poses = people(2)
    masks = np.zeros((2, H, W), bool)
    masks[0, 40:200, 60:260] = True
    warp = Warp.fit((H, W), 480, 32).mirror()
    network = Poses(
        COCO, *(getattr(to_network(poses, warp), f) for f in ("keypoints", "keypoint_scores", "scores", "boxes")),
        masks=np.stack([warp.mask(m) for m in masks]),
    )  # fmt: skip
    np.testing.assert_array_equal(warp.back(network, (H, W)).masks, masks)
    with pytest.raises(ValueError, match="height and width"):
        warp.back(network)


@given(st.floats(-50, 500), st.sampled_from([1, 2, 4, 8]))
def test_cells_and_pixels_invert(x: float, stride: int):
    assert pixel_to_cell(cell_to_pixel(x, stride), stride) == pytest.approx(x, abs=1e-9)
    # A cell's centre is the mean of the pixels it covers.
    assert cell_to_pixel(3, stride) == np.arange(3 * stride, 4 * stride).mean()


@pytest.mark.parametrize("box", [[0, 0, 0, 5], [5, 5, 1, 9], [0, 0, np.nan, 4], [0, 0, np.inf, 4]])
def test_a_box_without_a_surface_is_refused(box: list[float]):
    with pytest.raises(ValueError, match="x1 > x0"):
        Warp.crop(np.array(box, np.float64), (64, 64))


@pytest.mark.parametrize("matrix", [np.zeros((2, 3)), np.full((2, 3), np.nan), np.array([[1.0, 2, 0], [2, 4, 0]])])
def test_a_matrix_that_cannot_be_inverted_is_refused(matrix: np.ndarray):
    with pytest.raises(ValueError, match="inverted"):
        Warp(matrix, (64, 64))


@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.77, 2.1]), st.booleans())
def test_masks_made_part_by_part_are_those_made_whole(seed, scale, mirrored):
    rng = np.random.default_rng(seed)
    photo = tuple(int(v) for v in rng.integers(20, 90, 2))
    warp = Warp.similarity(tuple(rng.uniform(0, 60, 2)), 64 / scale, (48, 64), rng.uniform(-40, 40), mirrored)
    masks = np.zeros((3, 48, 64), bool)
    for mask in masks[:2]:
        (x0, x1), (y0, y1) = np.sort(rng.integers(0, 65, 2)), np.sort(rng.integers(0, 49, 2))
        mask[y0:y1, x0:x1] = rng.random((y1 - y0, x1 - x0)) < 0.7
    joints = np.zeros((3, 17, 2), np.float32)
    poses = Poses(COCO, joints, np.ones((3, 17), np.float32), np.ones(3, np.float32), masks=masks)
    whole = np.stack([Warp(warp.inverse, photo).mask(m) for m in masks])
    np.testing.assert_array_equal(warp.back(poses, photo).masks, whole)
