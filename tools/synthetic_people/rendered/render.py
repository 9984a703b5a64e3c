"""Coloured meshes to pixels, with OpenGL in memory (moderngl on EGL: a GPU, or Mesa's software renderer). Needs the extra ``synth``."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

__all__ = ["Light", "Rendered", "Renderer"]

_VERTEX = """
#version 330
uniform vec4 lens;   // fx / (W/2), fy / (H/2), near, far
in vec3 at; in vec3 normal; in vec4 colour; in vec3 rest; in float owner;
out vec3 n; out vec4 c; out vec3 r; flat out float who;
void main() {
    n = normal; c = colour; r = rest; who = owner;
    gl_Position = vec4(at.x * lens.x, -at.y * lens.y, (at.z * (lens.w + lens.z) - 2.0 * lens.w * lens.z) / (lens.w - lens.z), at.z);
}
"""
_FRAGMENT = """
#version 330
uniform vec3 sun; uniform vec3 sun_colour; uniform vec3 sky; uniform vec3 ground; uniform float folds;
in vec3 n; in vec4 c; in vec3 r; flat in float who;
layout(location = 0) out vec4 colour; layout(location = 1) out float owner;
void main() {
    vec3 wave = sin(r.yzx * 41.0 + sin(r.zxy * 23.0 + who) * 2.0) + 0.5 * sin(r.zxy * 97.0 + 2.0 * who);
    vec3 m = normalize(n + c.a * folds * 0.35 * wave);
    float lit = max(dot(m, sun), 0.0);
    vec3 around = mix(ground, sky, 0.5 - 0.5 * m.y);
    vec3 shine = (1.0 - c.a) * 0.12 * pow(max(dot(reflect(-sun, m), vec3(0.0, 0.0, -1.0)), 0.0), 12.0) * sun_colour;
    colour = vec4(c.rgb * (around + lit * sun_colour) + shine, 1.0);
    owner = who;
}
"""
_NEAR, _FAR = 0.1, 200.0


@dataclass(frozen=True)
class Light:
    """In camera axes (x right, y down, z away).

    Args:
        sun: unit vector towards it.
        sun_colour: what it adds, of 0 … 1.
        sky: light from above.
        ground: light from below.
        folds: how much cloth is crumpled.
    """

    sun: Float[np.ndarray, "3"]
    sun_colour: Float[np.ndarray, "3"]
    sky: Float[np.ndarray, "3"]
    ground: Float[np.ndarray, "3"]
    folds: float


@dataclass(frozen=True)
class Rendered:
    """What a camera sees.

    Args:
        rgb: premultiplied by `alpha`.
        alpha: 0 … 255.
        owner: the mesh in each pixel's middle, -1 nothing.
        depth: metres to it along the camera's axis; infinite where there is nothing.
    """

    rgb: UInt8[np.ndarray, "H W 3"]
    alpha: UInt8[np.ndarray, "H W"]
    owner: Int[np.ndarray, "H W"]
    depth: Float[np.ndarray, "H W"]


class Renderer:
    """Draws meshes into pictures of one size; made once, used for many scenes, by one thread.

    Args:
        size: height and width in pixels; twice that is drawn, and averaged.

    Raises:
        ValueError: moderngl is not installed, or the machine has no EGL.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        try:
            import moderngl
        except ImportError as e:
            raise ValueError(f"rendering needs more packages ({e}): pip install 'manypose[synth]'") from e
        try:
            self.gl = moderngl.create_context(standalone=True, backend="egl")  # pyright: ignore[reportArgumentType]
        except Exception as e:  # it raises plain Exceptions
            raise ValueError(f"no OpenGL through EGL on this machine ({e}); on Debian: apt install libegl1 libgl1-mesa-dri") from e
        h, w = self.size = size
        self.program = self.gl.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self.colour, self.owner = self.gl.texture((2 * w, 2 * h), 4), self.gl.texture((2 * w, 2 * h), 1, dtype="f4")
        self.depth = self.gl.depth_texture((2 * w, 2 * h))
        self.frame = self.gl.framebuffer([self.colour, self.owner], self.depth)

    def draw(
        self,
        vertices: Float[np.ndarray, "n v 3"],
        normals: Float[np.ndarray, "n v 3"],
        colours: Float[np.ndarray, "n v 4"],
        rest: Float[np.ndarray, "v 3"],
        faces: Int[np.ndarray, "f 3"],
        focal: float,
        light: Light,
    ) -> Rendered:
        """n meshes of the same faces, in camera axes and metres. The camera's axis goes through the picture's middle.

        Args:
            colours: and in the last channel how rough the surface is.
            focal: in pixels.
        """
        import moderngl

        (h, w), (n, v) = self.size, vertices.shape[:2]
        data = np.empty((n, v, 14), np.float32)
        data[..., :3], data[..., 3:6], data[..., 6:10], data[..., 10:13] = vertices, normals, colours, rest
        data[..., 13] = np.arange(n)[:, None]
        index = (faces[None] + v * np.arange(n)[:, None, None]).astype(np.uint32)
        with self.gl:  # other renderers may have been at work meanwhile
            self.program["lens"] = (2 * focal / w, 2 * focal / h, _NEAR, _FAR)
            for name in ("sun", "sun_colour", "sky", "ground"):
                self.program[name] = tuple(float(x) for x in getattr(light, name))
            self.program["folds"] = light.folds
            self.frame.use()
            self.gl.enable(moderngl.DEPTH_TEST)
            self.frame.clear(0, 0, 0, 0, depth=1.0)
            if n:
                vbo, ibo = self.gl.buffer(data.tobytes()), self.gl.buffer(index.tobytes())
                form = [(vbo, "3f 3f 4f 3f 1f", "at", "normal", "colour", "rest", "owner")]
                vao = self.gl.vertex_array(self.program, form, ibo)
                vao.render()
                for made in (vao, vbo, ibo):
                    made.release()
            return self._read()

    def _read(self) -> Rendered:
        h, w = self.size
        # OpenGL's rows begin at the bottom.
        rgba = np.frombuffer(self.colour.read(), np.uint8).reshape(2 * h, 2 * w, 4)[::-1]
        owner = np.frombuffer(self.owner.read(), np.float32).reshape(2 * h, 2 * w)[::-1]
        z = np.frombuffer(self.depth.read(), np.float32).reshape(2 * h, 2 * w)[::-1]
        small = rgba.reshape(h, 2, w, 2, 4).astype(np.uint16).sum((1, 3))
        small = ((small + 2) // 4).astype(np.uint8)
        # Of the four drawn pixels the nearest surface: it is the one that a labelled joint must not hide behind.
        z4, o4 = (a.reshape(h, 2, w, 2).transpose(0, 2, 1, 3).reshape(h, w, 4) for a in (z, owner))
        first = z4.argmin(-1)[..., None]
        zs = np.take_along_axis(z4, first, -1)[..., 0].astype(np.float64)
        there = zs < 1
        metres = 2 * _FAR * _NEAR / (_FAR + _NEAR - (2 * zs - 1) * (_FAR - _NEAR))
        who = np.where(there & (small[..., 3] > 127), np.take_along_axis(o4, first, -1)[..., 0], -1).astype(np.int16)
        return Rendered(small[..., :3], small[..., 3], who, np.where(there, metres, np.inf).astype(np.float32))
