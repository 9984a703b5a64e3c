"""`Warp`: the affine map of a photo, its joints, boxes and masks to the network input and back.

Integer coordinates are pixel centres everywhere: the top left pixel covers -0.5 … 0.5 in x and y. Scaling a picture by s maps x to
``(x + 0.5)·s - 0.5``, cell i of a map of stride s lies at pixel ``i·s + (s - 1)/2`` (`cell_to_pixel`), and mirroring a picture of width W
maps x to ``W - 1 - x``.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from manypose.io.shapes import Float, Shaped
from manypose.poses.boxes import boxes_around, counted
from manypose.poses.poses import Poses

__all__ = ["Warp", "cell_to_pixel", "pixel_to_cell"]


def cell_to_pixel(xy, stride: float | Shaped[np.ndarray, "..."]):
    """Coordinates on a map of `stride` to network pixels (array or tensor of any shape)."""
    return xy * stride + (stride - 1) / 2


def pixel_to_cell(xy, stride: float | Shaped[np.ndarray, "..."]):
    """Network pixels to coordinates on a map of `stride`; the inverse of `cell_to_pixel`."""
    return (xy - (stride - 1) / 2) / stride


@dataclass(frozen=True)
class Warp:
    """An affine map from photo pixels to network pixels.

    Args:
        matrix: 2×3, in pixel-centre coordinates, double precision.
        size: height and width of the network input.
        mirrored: whether the map mirrors; left and right joints are then exchanged.
    """

    matrix: Float[np.ndarray, "2 3"]
    size: tuple[int, int]
    mirrored: bool = False

    def __post_init__(self) -> None:
        if not np.isfinite(self.matrix).all() or abs(np.linalg.det(self.matrix[:, :2])) < 1e-12:
            raise ValueError("a Warp needs an affine matrix that can be inverted; check the box or the image size it was made from")

    # ── construction ──

    @classmethod
    def fit(cls, photo: tuple[int, int], short: int, stride: int = 64, long: int | None = None) -> "Warp":
        """A map that scales a photo to the short side `short` and pads it (right, bottom) to multiples of `stride`.

        Args:
            photo: height and width.
            short: the short side of the result before padding, in pixels.
            stride: of the network.
            long: largest long side before padding; default 4 × `short`.
        """
        h, w = photo
        scale = min(short / min(h, w), (long or 4 * short) / max(h, w))
        height, width = (max(stride, int(np.ceil(round(side * scale, 6) / stride)) * stride) for side in (h, w))
        return cls.scaling(scale, (height, width))

    @classmethod
    def scaling(cls, scale: float, size: tuple[int, int]) -> "Warp":
        """A scaling that keeps the outer corner of the top left pixel in place."""
        offset = (scale - 1) / 2
        return cls(np.array([[scale, 0, offset], [0, scale, offset]], np.float64), size)

    @classmethod
    def similarity(
        cls, center: tuple[float, float], extent: float, size: tuple[int, int], degrees: float = 0.0, mirror: bool = False
    ) -> "Warp":
        """A similarity that maps the photo point `center` to the middle of the result, and `extent` photo pixels to its width.

        Args:
            center: xy in photo pixels.
            extent: width in photo pixels.
            size: height and width of the result.
            degrees: rotation, counter-clockwise as seen.
            mirror: whether to mirror afterwards.
        """
        h, w = size
        scale, angle = w / extent, np.deg2rad(degrees)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        linear = np.array([[cos, sin], [-sin, cos]])
        shift = np.array([(w - 1) / 2, (h - 1) / 2]) - linear @ np.asarray(center, np.float64)
        warp = cls(np.column_stack([linear, shift]), size)
        return warp.mirror() if mirror else warp

    @classmethod
    def crop(cls, box: Float[np.ndarray, "4"], size: tuple[int, int], degrees: float = 0.0, mirror: bool = False) -> "Warp":
        """The crop of an xyxy box, enlarged to the aspect ratio of the result."""
        x0, y0, x1, y1 = (float(v) for v in box)
        if not np.isfinite([x0, y0, x1, y1]).all() or x1 <= x0 or y1 <= y0:
            raise ValueError(f"a box must be finite with x1 > x0 and y1 > y0, got {[x0, y0, x1, y1]}")
        h, w = size
        return cls.similarity(((x0 + x1) / 2, (y0 + y1) / 2), max(x1 - x0, (y1 - y0) * w / h), size, degrees, mirror)

    def mirror(self) -> "Warp":
        """This map, followed by mirroring left to right."""
        matrix = self.matrix.copy()
        matrix[0] = -matrix[0]
        matrix[0, 2] += self.size[1] - 1
        return replace(self, matrix=matrix, mirrored=not self.mirrored)

    def then(self, other: "Warp") -> "Warp":
        """This map, followed by another."""
        matrix = np.vstack([other.matrix, [0, 0, 1]]) @ np.vstack([self.matrix, [0, 0, 1]])
        return Warp(matrix[:2], other.size, self.mirrored != other.mirrored)

    # ── application ──

    @property
    def scale(self) -> float:
        """Network pixels per photo pixel (length)."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    @cached_property
    def inverse(self) -> Float[np.ndarray, "2 3"]:
        """The 2×3 matrix from network pixels to photo pixels."""
        return np.linalg.inv(np.vstack([self.matrix, [0, 0, 1]]))[:2]

    def image(self, photo: Shaped[np.ndarray, "H W *c"], fill: int = 0) -> Shaped[np.ndarray, "h w *c"]:
        """The photo in network pixels: bilinear, `fill` outside the photo, area-averaged before reduction.

        Sampling points are exact to 0.001 network pixels (OpenCV before 5 rounds them to 1/32 photo pixel).
        """
        step = max(1, int(1 / self.scale + 1e-9))
        part, matrix = self._seen(photo, step)
        if part.size == 0:
            return np.full((*self.size, *photo.shape[2:]), fill, photo.dtype)
        if step > 1:
            # Averaging whole blocks is exact in pixel-centre coordinates: block i covers photo pixels i·step … i·step + step - 1.
            h, w = part.shape[:2]
            part = cv2.copyMakeBorder(part, 0, -h % step, 0, -w % step, cv2.BORDER_REPLICATE)
            part = cv2.resize(part, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
            matrix[:, 2] += matrix[:, :2] @ np.full(2, (step - 1) / 2)
            matrix[:, :2] *= step
        seen = cv2.warpAffine(
            part, matrix, self.size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(fill,) * 4
        )
        return seen.reshape(*self.size, *photo.shape[2:])

    def mask(self, mask: Shaped[np.ndarray, "H W"], outside: int = 0) -> Shaped[np.ndarray, "h w"]:
        """A mask in network pixels: nearest neighbour, `outside` beyond the photo."""
        part, matrix = self._seen(mask, 1)
        if part.size == 0:
            return np.full(self.size, outside, mask.dtype)
        part = part.astype(np.uint8) if mask.dtype == np.bool_ else part
        return cv2.warpAffine(
            part, matrix, self.size[::-1], flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(outside,) * 4
        ).astype(mask.dtype)

    def _seen(self, photo: Shaped[np.ndarray, "H W ..."], step: int) -> tuple[Shaped[np.ndarray, "..."], Float[np.ndarray, "2 3"]]:
        """The visible part of the photo, aligned to blocks of `step` pixels, and the matrix from there.

        This bounds the cost for large photos and avoids OpenCV's limit of 32,767 pixels a side.
        """
        h, w = self.size
        corners = np.array([[-1, -1], [w, -1], [w, h], [-1, h]]) @ self.inverse[:, :2].T + self.inverse[:, 2]
        sides = np.array(photo.shape[1::-1])
        low = np.clip((corners.min(0) // step - 1) * step, 0, sides).astype(int)
        high = np.clip((corners.max(0) // step + 2) * step, 0, sides).astype(int)
        matrix = self.matrix.copy()
        matrix[:, 2] += matrix[:, :2] @ low
        return photo[low[1] : high[1], low[0] : high[0]], matrix

    def points(self, xy: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Photo points in network pixels (left and right are not exchanged: see `joints`)."""
        return (xy @ self.matrix[:, :2].T + self.matrix[:, 2]).astype(xy.dtype)

    def joints(self, keypoints: Float[np.ndarray, "n k c"], mirror: tuple[int, ...]) -> Float[np.ndarray, "n k c"]:
        """People's joints (x, y and further columns) in network pixels; `mirror` is the skeleton's, applied if this map mirrors."""
        out = keypoints.copy()
        out[..., :2] = self.points(keypoints[..., :2])
        return out[:, list(mirror)] if self.mirrored else out

    def boxes(self, boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """Axis-aligned xyxy boxes around the mapped corners."""
        return _map_boxes(boxes, self.matrix)

    def back(self, poses: Poses, photo: tuple[int, int] | None = None) -> Poses:
        """Poses mapped back from network pixels to photo pixels.

        Args:
            poses: in network pixels.
            photo: the photo's height and width; required for masks.

        Raises:
            ValueError: there are masks and `photo` is None.
        """
        if poses.masks is not None and photo is None:
            raise ValueError("masks need the photo's height and width: warp.back(poses, photo=(H, W))")
        inverse = self.inverse
        keypoints = (poses.keypoints @ inverse[:, :2].T + inverse[:, 2]).astype(np.float32)
        scores = poses.keypoint_scores
        if self.mirrored:
            order = list(poses.skeleton.mirror)
            keypoints, scores = keypoints[:, order], scores[:, order]
        keypoints[scores == 0] = 0
        # A box around the joints is recomputed, to stay tight under rotation; a detector's box becomes the box around its mapped corners.
        around = np.allclose(poses.boxes, boxes_around(poses.keypoints, counted(poses.keypoint_scores)), atol=1e-3)
        boxes = boxes_around(keypoints, counted(scores)) if around else _map_boxes(poses.boxes, inverse).astype(np.float32)
        masks = None
        if poses.masks is not None and photo is not None:
            masks = _masks_back(poses.masks, inverse, photo)
        detections = None if poses.detections is None else _map_boxes(poses.detections, inverse).astype(np.float32)
        return replace(poses, keypoints=keypoints, keypoint_scores=scores, boxes=boxes, masks=masks, detections=detections)


def _masks_back(masks: Shaped[np.ndarray, "n h w"], inverse: Float[np.ndarray, "2 3"], photo: tuple[int, int]) -> np.ndarray:
    """Masks at the photo's size; only the part around each person is computed."""
    out = np.zeros((len(masks), *photo), np.bool_)
    for mask, to in zip(masks, out, strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            continue
        around = np.array([[columns[0] - 1, rows[0] - 1, columns[-1] + 1, rows[-1] + 1]], np.float64)
        x0, y0, x1, y1 = np.clip(_map_boxes(around, inverse)[0], -1, [photo[1], photo[0]] * 2)
        left, top = max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))
        right, bottom = min(photo[1], int(np.ceil(x1)) + 1), min(photo[0], int(np.ceil(y1)) + 1)
        if left < right and top < bottom:
            part = Warp(np.column_stack([inverse[:, :2], inverse[:, 2] - [left, top]]), (bottom - top, right - left))
            to[top:bottom, left:right] = part.mask(mask)
    return out


def _map_boxes(boxes: Float[np.ndarray, "n 4"], matrix: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "n 4"]:
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    mapped = corners @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([mapped.min(1), mapped.max(1)], 1).astype(boxes.dtype)
