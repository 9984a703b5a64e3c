"""Drawing solid shapes with depth, shading and soft edges: what synthetic people are made of.

All coordinates are pixels, integers are pixel centres; depth is in pixels too and grows away from the viewer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, Shaped

__all__ = ["Canvas", "ellipsoid", "hull", "limb"]

Vector = Float[np.ndarray, "3"]
Plane = Float[np.ndarray, "#h #w"]
Paint = Callable[[Shaped[np.ndarray, "h w"], Shaped[np.ndarray, "h w"]], Float[np.ndarray, "#h #w 3"]]
"""Colours 0 … 255 of the places along (0 … 1) and across (-1 … 1) a shape, or of the three axes of an ellipsoid's surface."""

LIGHT_AMBIENT = 0.62


@dataclass
class Canvas:
    """What one person looks like: colours (already multiplied by `alpha`), cover, depth and which part is seen.

    Args:
        origin: x, y of the top left pixel in the picture.
        rgb: 0 … 255, premultiplied.
        alpha: 0 … 1.
        depth: of the nearest surface; infinity where there is none.
        part: its number, -1 where there is none.
        light: direction to the light, unit length, in camera axes.
        strength: how much the light does, beside what comes from everywhere.
    """

    origin: tuple[int, int]
    rgb: Float[np.ndarray, "H W 3"]
    alpha: Float[np.ndarray, "H W"]
    depth: Float[np.ndarray, "H W"]
    part: Int[np.ndarray, "H W"]
    light: Vector
    strength: float

    @classmethod
    def blank(cls, box: tuple[int, int, int, int], light: Vector, strength: float) -> "Canvas":
        """An empty canvas over the pixels x0 … x1 - 1, y0 … y1 - 1 of the picture."""
        x0, y0, x1, y1 = box
        h, w = max(0, y1 - y0), max(0, x1 - x0)
        plane = np.zeros((h, w), np.float32)
        far, none = np.full((h, w), np.inf, np.float32), np.full((h, w), -1, np.int16)
        return cls((x0, y0), np.zeros((h, w, 3), np.float32), plane, far, none, light.astype(np.float32), strength)

    def window(
        self, low: Float[np.ndarray, "2"], high: Float[np.ndarray, "2"]
    ) -> tuple[tuple[slice, slice], Float[np.ndarray, "1 w"], Float[np.ndarray, "h 1"]] | None:
        """The part of the canvas that a shape between two corners can touch, and its pixels' x and y; None where it touches none."""
        (ox, oy), (h, w) = self.origin, self.alpha.shape
        x0, y0 = max(0, int(np.floor(low[0])) - 1 - ox), max(0, int(np.floor(low[1])) - 1 - oy)
        x1, y1 = min(w, int(np.ceil(high[0])) + 2 - ox), min(h, int(np.ceil(high[1])) + 2 - oy)
        if x0 >= x1 or y0 >= y1:
            return None
        x, y = np.arange(x0 + ox, x1 + ox, dtype=np.float32)[None], np.arange(y0 + oy, y1 + oy, dtype=np.float32)[:, None]
        return (slice(y0, y1), slice(x0, x1)), x, y

    def put(self, at: tuple[slice, slice], number: int, cover: Plane, depth: Plane, colour: Float[np.ndarray, "#h #w 3"]) -> None:
        """Lay a shape over what is there, where it is nearer."""
        cover = np.where(depth < self.depth[at], cover, 0)
        keep = 1 - cover
        self.rgb[at] *= keep[..., None]
        self.rgb[at] += colour * cover[..., None]
        self.alpha[at] *= keep
        self.alpha[at] += cover
        solid = cover > 0.5
        np.copyto(self.depth[at], depth, where=solid)
        np.copyto(self.part[at], number, where=solid)

    def shade(self, nx: Plane, ny: Plane, nz: Plane) -> Plane:
        """Brightness of a surface whose normal points (nx, ny, -nz) in camera axes; edges turned away are darker."""
        lx, ly, lz = self.light
        direct = np.maximum(nx * lx + ny * ly - nz * lz, 0)
        return LIGHT_AMBIENT * (0.75 + 0.25 * nz) + self.strength * direct


def limb(canvas: Canvas, number: int, a: Vector, b: Vector, radii: tuple[float, float, float], paint: Paint) -> None:
    """A round limb from `a` to `b` (x, y, depth) whose radius runs from radii[0] over radii[1] (at a third) to radii[2]."""
    r0, r1, r2 = radii
    most = max(radii)
    found = canvas.window(np.minimum(a, b)[:2] - most, np.maximum(a, b)[:2] + most)
    if found is None:
        return
    at, x, y = found
    vx, vy = float(b[0] - a[0]), float(b[1] - a[1])
    length2 = max(vx * vx + vy * vy, 1e-6)
    dx, dy = x - np.float32(a[0]), y - np.float32(a[1])
    t = np.clip((dx * vx + dy * vy) / length2, 0, 1)
    # The parabola through the three radii at t = 0, 1/3 and 1.
    bend = 4.5 * (r1 - r0 - (r2 - r0) / 3)
    radius = np.maximum(r0 + t * (r2 - r0) + bend * t * (1 - t), 0.3)
    ex, ey = dx - t * vx, dy - t * vy
    distance = np.sqrt(ex * ex + ey * ey)
    cover = np.clip(radius - distance + 0.5, 0, 1) * min(1.0, most * 2)
    if not cover.any():
        return
    nx, ny = ex / radius, ey / radius
    nz = np.sqrt(np.maximum(1 - np.minimum(nx * nx + ny * ny, 1), 0))
    across = (vx * ny - vy * nx) / np.sqrt(length2)
    depth = a[2] + t * (b[2] - a[2]) - nz * radius
    canvas.put(at, number, cover, depth.astype(np.float32), paint(t, across) * canvas.shade(nx, ny, nz)[..., None])


def ellipsoid(
    canvas: Canvas,
    number: int,
    centre: Vector,
    axes: Float[np.ndarray, "3 3"],
    radii: Float[np.ndarray, "3"],
    paint: Callable[[Shaped[np.ndarray, "h w 3"]], Float[np.ndarray, "#h #w 3"]],
) -> None:
    """An ellipsoid; `axes` turns its own axes to camera axes. `paint` gets the surface's places as unit vectors of its own axes."""
    spread = (axes * radii) @ (axes * radii).T
    reach = np.sqrt(np.diag(spread))[:2]
    found = canvas.window(centre[:2] - reach, centre[:2] + reach)
    if found is None:
        return
    at, x, y = found
    form = np.linalg.inv(spread)
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    # Along the line of sight the surface is a quadratic in depth; its silhouette is the ellipse of `flat`.
    flat = np.linalg.inv(spread[:2, :2])
    inside = flat[0, 0] * dx * dx + 2 * flat[0, 1] * dx * dy + flat[1, 1] * dy * dy
    level = np.sqrt(np.maximum(inside, 1e-12))
    # Distance to the silhouette in pixels, to first order: (1 - level) / |gradient of level|.
    gx, gy = (flat[0, 0] * dx + flat[0, 1] * dy) / level, (flat[0, 1] * dx + flat[1, 1] * dy) / level
    cover = np.clip((1 - level) / np.maximum(np.sqrt(gx * gx + gy * gy), 1e-6) + 0.5, 0, 1) * min(1.0, 2 * float(reach.min()))
    if not cover.any():
        return
    half = form[0, 2] * dx + form[1, 2] * dy
    dz = (-half - np.sqrt(np.maximum(1 - inside, 0) * form[2, 2])) / form[2, 2]
    offset = np.stack(np.broadcast_arrays(dx, dy, dz), -1).astype(np.float32)
    own = offset @ (axes / radii).astype(np.float32)
    own /= np.maximum(np.linalg.norm(own, axis=-1, keepdims=True), 1e-6)
    normal = own @ (axes / radii).T.astype(np.float32)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    shade = canvas.shade(normal[..., 0], normal[..., 1], np.maximum(-normal[..., 2], 0))
    canvas.put(at, number, cover, (centre[2] + dz).astype(np.float32), paint(own) * shade[..., None])


def hull(canvas: Canvas, number: int, balls: Float[np.ndarray, "n 4"], frame: tuple[Vector, Vector], paint: Paint) -> None:
    """The skin around balls (x, y, depth, radius): a trunk, a skirt. `frame`: start and end of its axis, for the paint's places."""
    low, high = (balls[:, :2] - balls[:, 3:]).min(0), (balls[:, :2] + balls[:, 3:]).max(0)
    found = canvas.window(low, high)
    if found is None:
        return
    at, x, y = found
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1)
    rim = (balls[:, None, :2] + balls[:, None, 3:] * ring).reshape(-1, 2)
    outline = cv2.convexHull((rim - [x[0, 0], y[0, 0]]).astype(np.float32))
    stencil = np.zeros((y.shape[0] + 2, x.shape[1] + 2), np.uint8)
    cv2.fillConvexPoly(stencil, np.round((outline + 1) * 16).astype(np.int32), 255, cv2.LINE_AA, shift=4)
    cover = stencil[1:-1, 1:-1].astype(np.float32) / 255
    if not cover.any():
        return
    # Rounded edges: the normal leans outwards within half a ball's radius of the outline.
    inner = cv2.distanceTransform((stencil > 127).astype(np.uint8), cv2.DIST_L2, 3)
    round_ = float(balls[:, 3].mean()) * 1.1
    height = np.minimum(inner / round_, 1)
    height = cv2.GaussianBlur(height * (2 - height), (0, 0), max(0.5, round_ * 0.25))
    nx, ny = -cv2.Sobel(height, cv2.CV_32F, 1, 0)[1:-1, 1:-1], -cv2.Sobel(height, cv2.CV_32F, 0, 1)[1:-1, 1:-1]
    nx, ny = nx * round_ / 8, ny * round_ / 8
    long = np.sqrt(nx * nx + ny * ny + 0.5)
    nx, ny, nz = nx / long, ny / long, np.float32(0.7071) / long
    (ax, ay), (bx, by) = frame[0][:2], frame[1][:2]
    vx, vy = bx - ax, by - ay
    length2 = max(vx * vx + vy * vy, 1e-6)
    t = np.clip(((x - ax) * vx + (y - ay) * vy) / length2, 0, 1)
    across = (vx * (y - ay) - vy * (x - ax)) / np.sqrt(length2) / max(float((high - low).max()) / 2, 1e-3)
    depth = _sheet(balls, x, y) - height[1:-1, 1:-1] * round_
    canvas.put(at, number, cover, depth.astype(np.float32), paint(t, across) * canvas.shade(nx, ny, nz)[..., None])


def _sheet(balls: Float[np.ndarray, "n 4"], x: Plane, y: Plane) -> Plane:
    """The depth of the balls' centres, smoothly between them: a plane fitted to them, held between the nearest and the farthest."""
    middle = balls[:, :3].mean(0)
    offset = balls[:, :3] - middle
    # A little stiffness: balls in one line (a trunk seen from the side) leave the slope across undetermined.
    stiff = (0.3 * balls[:, 3].mean()) ** 2 * len(balls)
    slope = np.linalg.solve(offset[:, :2].T @ offset[:, :2] + stiff * np.eye(2), offset[:, :2].T @ offset[:, 2])
    depth = middle[2] + slope[0] * (x - middle[0]) + slope[1] * (y - middle[1])
    return np.clip(depth, balls[:, 2].min(), balls[:, 2].max())
