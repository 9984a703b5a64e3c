"""Reading and writing of photos: files, arrays, PIL images and tensors as RGB uint8 arrays (H, W, 3).

The EXIF orientation is applied, transparent parts become white, and of an animated image the first frame is used, with a warning. The
file format is detected from the content, not the name.
"""

import io
import os
import stat
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import filetype
import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageOps

from manypose.io.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "MAX_PIXELS", "check_size", "from_array", "from_pil", "from_tensor", "is_photo", "is_tensor", "is_video", "max_pixels", "pixels",
    "read", "write",
]  # fmt: skip

MAX_PIXELS = 100_000_000
"""Default limit of the size of photos and video frames in pixels; ``MANYPOSE_MAX_PIXELS`` or an argument overrides it."""

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2", ".avif", ".mpo", ".jfif")
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts")

# Pillow's formats that run other programs (EPS) or are not photos are left out.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
_SNIFFED = ("jpg", "png", "apng", "webp", "bmp", "tif", "gif", "jpx", "avif")  # as `filetype` calls them
_ORIENTATION = 0x0112  # EXIF's tag
_lock = threading.Lock()  # Pillow's size limit and the warning filter are global


def max_pixels() -> int:
    """The current size limit in pixels: ``MANYPOSE_MAX_PIXELS``, else `MAX_PIXELS`."""
    given = os.environ.get("MANYPOSE_MAX_PIXELS", "")
    if not given:
        return MAX_PIXELS
    if not given.replace("_", "").isdigit():
        raise ValueError(f"MANYPOSE_MAX_PIXELS must be a whole number of pixels, got {given!r}")
    return int(given)


def check_size(path: str | Path, w: int, h: int, limit: int | None = None) -> None:
    """Refuse an image larger than `limit` pixels; called before decoding."""
    limit = max_pixels() if limit is None else limit
    if w * h > limit:
        raise ValueError(
            f"{path}: {w}x{h} is {w * h / 1e6:.0f} megapixels, more than the limit of {limit / 1e6:g}; "
            f"if you trust it, raise the limit: MANYPOSE_MAX_PIXELS={w * h}"
        )


def read(path: str | Path, limit: int | None = None, content: bytes | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """A photo file as RGB.

    Args:
        path: JPEG, PNG, WebP, BMP, TIFF, GIF, PPM, JPEG 2000 or AVIF.
        limit: largest size in pixels; default `max_pixels`.
        content: the file's bytes if they are already read; `path` is then only used in error messages.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a folder, not a photo, empty, truncated, too large or unreadable; the message names the file.
    """
    try:
        if content is not None and not content:
            raise _Refused(f"{path}: an empty file")
        with _opened(Path(path)) if content is None else io.BytesIO(content) as file:
            with _lock, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about broken metadata, which is not used
                image, frames = _header(file, path, limit)
            image.load()
            with _lock, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = _upright(image)
            rgb = from_pil(image)
    except _Refused as e:
        raise ValueError(str(e)) from None
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except MemoryError:
        raise ValueError(f"{path}: not enough memory to decode it") from None
    except Exception as e:  # decoders raise many types on broken files: OSError, SyntaxError, struct.error, EOFError …
        raise ValueError(f"{path}: a damaged photo ({_line(e)}); download it again") from None
    if frames > 1:
        warnings.warn(f"{path}: an animated image; only the first of {frames} frames is used; save it as a video to use all", stacklevel=2)
    return rgb


class _Refused(ValueError):
    """An error whose message is complete and names the file."""


def _opened(path: Path) -> BinaryIO:
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise _Refused(f"{path}: a folder, not a photo")
        if not stat.S_ISREG(about.st_mode):
            raise _Refused(f"{path}: not a regular file")
        if not about.st_size:
            raise _Refused(f"{path}: an empty file")
        return open(path, "rb")
    except FileNotFoundError:
        raise
    except OSError as e:
        raise _Refused(f"{path}: cannot be read ({e.strerror or e})") from None


def _header(file: BinaryIO | io.BytesIO, path: str | Path, limit: int | None) -> tuple[Image.Image, int]:
    """The image, not yet decoded, and its number of frames (1 for multi-picture JPEG and TIFF, whose first picture is the photo)."""
    before = Image.MAX_IMAGE_PIXELS
    Image.init()
    try:
        Image.MAX_IMAGE_PIXELS = None  # `check_size`, below, replaces it
        image = Image.open(file, formats=[f for f in _FORMATS if f in Image.OPEN])
    except Image.UnidentifiedImageError:
        what = "a video, not a photo" if is_video(path) else "not a photo in a supported format, or its header is damaged"
        raise _Refused(f"{path}: {what}") from None
    finally:
        Image.MAX_IMAGE_PIXELS = before
    try:
        check_size(path, *image.size, limit)
    except ValueError as e:
        raise _Refused(str(e)) from None
    return image, getattr(image, "n_frames", 1) if image.format in ("GIF", "PNG", "WEBP", "AVIF") else 1


def _upright(image: Image.Image) -> Image.Image:
    try:
        # `exif_transpose` copies the image even without an orientation.
        return ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION, 1) != 1 else image
    except Exception:  # broken EXIF: used as stored, as image viewers do
        return image


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


# ── other inputs ──


def from_pil(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    """A PIL image of any mode as 8-bit RGB; transparent parts become white.

    Raises:
        ValueError: the image has no pixels, or its floats are not in 0 … 1.
    """
    if 0 in image.size:
        raise ValueError(f"an image without pixels: {image.size[0]}x{image.size[1]}")
    if image.mode.startswith("I"):  # "I" holds 16-bit PNGs and PGMs, and integer arrays
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return from_array(values if image.mode == "I" and values.max() <= 255 else values.astype(np.uint16))
    if image.mode == "F":
        return from_array(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return _on_white(np.asarray(image.convert("RGBA")))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def from_array(array: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "H W 3"]:
    """An array (H, W), (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4) as RGB.

    Args:
        array: uint8; uint16; other integers in 0 … 255; or floats in 0 … 1.

    Raises:
        ValueError: another shape, type or range; the message states the expected one.
    """
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(f"a photo as an array is (H, W), (H, W, 3) RGB or (H, W, 4) RGBA, got the shape {array.shape}")
    pixels = _to_uint8(array)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape[2] == 4:
        return _on_white(pixels)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def from_tensor(tensor: "Tensor") -> UInt8[np.ndarray, "H W 3"]:
    """A tensor (3, H, W), (1, H, W), (H, W, 3) or (H, W) as RGB; values as in `from_array`. (3, H, 3) is read channels first."""
    array = tensor.detach().cpu()
    array = (array.float() if array.is_floating_point() and array.itemsize < 4 else array).numpy()
    channels_first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
    return from_array(array.transpose(1, 2, 0) if channels_first else array)


def _to_uint8(array: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # of either byte order
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    number = np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)
    low, high = (array.min(), array.max()) if number else (0, 0)
    if np.issubdtype(array.dtype, np.floating):
        if not (low >= 0 and high <= 1):  # also where one is NaN
            raise ValueError(f"a photo of floats must be in 0 … 1, got {low:g} … {high:g}; give uint8 pixels or undo the normalization")
        return np.round(array * 255.0).astype(np.uint8)
    if not number or low < 0 or high > 255:
        raise ValueError(f"a photo's pixels are uint8, uint16 or floats in 0 … 1, got {array.dtype} in {low} … {high}")
    return array.astype(np.uint8)


def _on_white(rgba: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 3"]:
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def pixels(thing: Any, limit: int | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """A photo given as a path, a file's bytes, an array, a PIL image or a tensor, as RGB.

    Raises:
        TypeError: another type.
    """
    if isinstance(thing, (str, Path)):
        return read(thing, limit)
    if isinstance(thing, bytes):
        return read("the photo", limit, thing)
    if isinstance(thing, np.ndarray):
        return from_array(thing)
    if is_tensor(thing):
        return from_tensor(thing)
    if isinstance(thing, Image.Image):
        return from_pil(_upright(thing))
    raise TypeError(f"a photo is a path, bytes, an array, a PIL image or a tensor, got {type(thing).__name__}")


def is_tensor(thing: Any) -> bool:
    """Whether `thing` is a PyTorch tensor; does not import PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.Tensor)


def write(path: str | Path, image: UInt8[np.ndarray, "H W 3"]) -> Path:
    """Write an image atomically, in the format of its suffix (JPEG, PNG, WebP …).

    Raises:
        ValueError: the suffix is not that of an image format.
        OSError: the file cannot be written.
    """
    path = Path(path)
    Image.init()
    kind = Image.EXTENSION.get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise ValueError(f"{path}: {path.suffix or 'no suffix'} is not an image format; use .jpg or .png")
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind, **({"quality": 92, "subsampling": 0} if kind == "JPEG" else {}))
    return write_bytes(path, out.getvalue())


# ── file types, by the first bytes ──


def _head(path: str | Path) -> bytes:
    try:
        if not Path(path).is_file():  # opening a pipe would block
            return b""
        with open(path, "rb") as file:
            return file.read(1024)
    except (OSError, ValueError):  # ValueError: a name with a null byte
        return b""


def _photo(head: bytes) -> bool:
    kind = filetype.image_match(head)
    return head.startswith((b"P5\n", b"P6\n")) or (kind is not None and kind.extension in _SNIFFED)


def is_photo(path: str | Path) -> bool:
    """Whether a file has the header of a photo."""
    return _photo(_head(path))


def is_video(path: str | Path) -> bool:
    """Whether a file is a video: by its header, or by its suffix if the header is not known."""
    head = _head(path)
    return filetype.video_match(head) is not None or (not _photo(head) and Path(path).suffix.lower() in VIDEOS)
