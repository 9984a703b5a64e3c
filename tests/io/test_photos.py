"""Reading photos: every kind of pixel, every kind of broken file."""

import io
import os
import struct
import sys
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from manypose.io import photos as media
from manypose.io.sources import sources


@pytest.fixture
def photo():
    """A smooth picture that survives JPEG, different in every corner and channel."""
    y, x = np.mgrid[:48, :64]
    return np.stack([x * 4, y * 5, 255 - x * 2 - y], -1).astype(np.uint8)


def save(path: Path, image: Image.Image, kind: str | None = None, **options) -> Path:
    image.save(path, kind, **options)
    return path


# ── pixels ──


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_kinds_give_the_very_pixels(tmp_path, photo, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(media.read(save(tmp_path / f"a.{kind.lower()}", Image.fromarray(photo), kind, **options)), photo)


def test_the_content_tells_the_kind_and_not_the_name(tmp_path, photo):
    path = save(tmp_path / "really_a_png.jpg", Image.fromarray(photo), "PNG")
    assert np.array_equal(media.read(path), photo)
    assert np.array_equal(media.read(path.rename(tmp_path / "no_suffix")), photo)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, photo, kind, orientation):
    # EXIF's definition: what the stored row 0 and column 0 are in the picture as seen.
    stored = {
        1: photo, 2: photo[:, ::-1], 3: photo[::-1, ::-1], 4: photo[::-1],
        5: photo.transpose(1, 0, 2), 6: np.rot90(photo), 7: photo[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(photo, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 98, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    path = save(tmp_path / "a", Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)
    seen = media.read(path)
    assert seen.shape == photo.shape
    assert np.abs(seen.astype(int) - photo).max() <= (6 if kind == "JPEG" else 0)


def test_broken_exif_does_not_matter(tmp_path, photo):
    path = save(tmp_path / "a.jpg", Image.fromarray(photo), exif=b"Exif\0\0garbage that is no TIFF header", quality=98)
    assert media.read(path).shape == photo.shape


def test_grey_palette_and_bilevel(tmp_path, photo):
    grey = photo[..., 0]
    assert np.array_equal(media.read(save(tmp_path / "l.png", Image.fromarray(grey))), np.repeat(grey[..., None], 3, -1))
    bits = Image.fromarray(grey > 100)
    assert np.array_equal(media.read(save(tmp_path / "1.png", bits))[..., 1], np.where(grey > 100, 255, 0))
    palette = Image.fromarray(photo).quantize(32)
    assert np.array_equal(media.read(save(tmp_path / "p.png", palette)), np.asarray(palette.convert("RGB")))


def test_sixteen_bits_become_eight(tmp_path, photo):
    deep = photo[..., 0].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    cv2.imwrite(str(tmp_path / "a.tiff"), deep)
    for name in ("a.png", "a.tiff"):
        assert np.array_equal(media.read(tmp_path / name)[..., 2], photo[..., 0]), name
    cv2.imwrite(str(tmp_path / "rgb.png"), photo[..., ::-1].astype(np.uint16) * 257)
    assert np.array_equal(media.read(tmp_path / "rgb.png"), photo)


def test_transparent_parts_become_white(tmp_path, photo):
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    alpha[:24] = 0
    alpha[24:30] = 128
    rgba = np.dstack([photo, alpha])
    got = media.read(save(tmp_path / "rgba.png", Image.fromarray(rgba)))
    assert (got[:24] == 255).all()
    assert np.array_equal(got[30:], photo[30:])
    assert np.abs(got[24:30].astype(float) - (photo[24:30] * (128 / 255) + 127)).max() <= 1
    grey = media.read(save(tmp_path / "la.png", Image.fromarray(np.dstack([photo[..., 0], alpha]), "LA")))
    assert (grey[:24] == 255).all()
    assert np.array_equal(grey[30:, :, 0], photo[30:, :, 0])
    keyed = Image.fromarray(np.where(alpha > 0, 7, 3).astype(np.uint8), "P")
    keyed.putpalette([v for i in range(256) for v in (i, i, i)])
    got = media.read(save(tmp_path / "p.png", keyed, transparency=3))
    assert (got[:24] == 255).all()
    assert (got[24:] == 7).all()


def test_cmyk_is_converted_and_not_inverted(tmp_path, photo):
    cmyk = Image.fromarray(photo).convert("CMYK")
    for kind, off in (("JPEG", 8), ("TIFF", 1)):
        got = media.read(save(tmp_path / f"a.{kind}", cmyk, kind, **({"quality": 98} if kind == "JPEG" else {})))
        assert np.abs(got.astype(int) - photo).mean() < off, kind


def test_float_tiff(tmp_path, photo):
    values = (photo[..., 0] / 255).astype(np.float32)
    assert np.array_equal(media.read(save(tmp_path / "f.tiff", Image.fromarray(values)))[..., 0], photo[..., 0])
    with pytest.raises(ValueError, match=r"g.tiff.*0 … 1"):
        media.read(save(tmp_path / "g.tiff", Image.fromarray(values * 1000)))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_used_and_said(tmp_path, kind):
    shades = [Image.new("RGB", (20, 10), (40 * i + 40,) * 3) for i in range(3)]
    path = save(tmp_path / "a", shades[0], kind, save_all=True, append_images=shades[1:], lossless=True)
    with pytest.warns(UserWarning, match="first of 3 frames"):
        got = media.read(path)
    assert (got == 40).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64, np.int64])
def test_arrays_of_every_kind(photo, dtype):
    scale = {np.uint16: 257, np.float32: 1 / 255, np.float64: 1 / 255}.get(dtype, 1)
    array = (photo.astype(np.float64) * scale).astype(dtype)
    assert np.array_equal(media.from_array(array), photo)
    assert np.array_equal(media.from_array(array[..., 0]), np.repeat(photo[..., :1], 3, -1))
    assert np.array_equal(media.from_array(array[..., :1]), np.repeat(photo[..., :1], 3, -1))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 48, 64), np.uint8), "shape"),
        (np.zeros((48, 0, 3), np.uint8), "shape"),
        (np.zeros(5, np.uint8), "shape"),
        (np.full((4, 4, 3), 200.0), "0 … 1"),
        (np.full((4, 4, 3), -0.5), "0 … 1"),
        (np.full((4, 4, 3), np.nan), "0 … 1"),
        (np.full((4, 4, 3), 300), "uint8"),
        (np.zeros((4, 4, 3), bool), "uint8"),
        (np.zeros((4, 4, 3), complex), "uint8"),
    ],
)
def test_arrays_that_are_no_photo(array, message):
    with pytest.raises(ValueError, match=message):
        media.pixels(array)


def test_tensors_either_way_round(photo):
    t = torch.from_numpy(photo)
    for given_ in (t, t.permute(2, 0, 1), t.permute(2, 0, 1).float() / 255, (t.double() / 255)):
        assert np.array_equal(media.pixels(given_), photo)
    assert np.abs(media.pixels((t.float() / 255).to(torch.float16)).astype(int) - photo).max() <= 1
    assert np.array_equal(media.pixels(t[..., 0])[..., 1], photo[..., 0])


def test_pil_images_and_other_things(photo):
    assert np.array_equal(media.pixels(Image.fromarray(photo)), photo)
    with pytest.raises(TypeError, match="dict"):
        media.pixels({})


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_png_round_trip(tmp_path_factory, image):
    path = tmp_path_factory.mktemp("round") / "a.png"
    media.write(path, image)
    assert np.array_equal(media.read(path), image)


# ── broken files: one line that names the file ──


def png_of_size(w: int, h: int) -> bytes:
    """A PNG whose header promises w x h and that then ends."""
    header = b"IHDR" + struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data))


def encoded(photo, kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(photo).save(out, kind)
    return out.getvalue()


def fails(path: Path, message: str, error: type[Exception] = ValueError) -> None:
    with pytest.raises(error) as caught:
        media.read(path)
    said = str(caught.value)
    assert path.name in said
    assert message in said
    assert "\n" not in said
    assert caught.type is error


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_truncated(tmp_path, kind, part):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    data = encoded(noise, kind)
    path = tmp_path / f"cut.{kind.lower()}"
    path.write_bytes(data[: max(5, int(len(data) * part))])
    fails(path, "")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello, I am text\n" * 10, "not a photo"),
        (b"\xff\xd8\xff", "damaged"),
        (b"%PDF-1.7 and so on", "not a photo"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a photo"),
        (b"\0\0\0 ftypisom" + bytes(100), "video"),
        (png_of_size(10, 10), "damaged"),
        (png_of_size(0, 10), ""),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), ""),
    ],
)
def test_no_photo(tmp_path, data, message):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    fails(path, message)


def test_missing_folder_and_pipe(tmp_path):
    fails(tmp_path / "not there.jpg", "no such file", FileNotFoundError)
    (tmp_path / "folder.jpg").mkdir()
    fails(tmp_path / "folder.jpg", "a folder")
    os.mkfifo(tmp_path / "pipe.jpg")
    fails(tmp_path / "pipe.jpg", "not a regular file")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    fails(tmp_path / "loop.jpg", "")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    fails(tmp_path / "dangling.jpg", "no such file", FileNotFoundError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path, photo):
    path = save(tmp_path / "a.png", Image.fromarray(photo))
    path.chmod(0)
    fails(path, "cannot be read")


def test_a_read_error_is_told(tmp_path, photo, monkeypatch):
    path = save(tmp_path / "a.png", Image.fromarray(photo))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    fails(path, "cannot be read (Permission denied)")


# ── size limits, before anything is decoded ──


def test_a_huge_picture_is_refused_by_its_header(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_size(60_000, 50_000))
    fails(path, "3000 megapixels")
    fails(path, "MANYPOSE_MAX_PIXELS=3000000000")


def test_the_limit_can_be_moved(tmp_path, photo, monkeypatch):
    path = save(tmp_path / "a.png", Image.fromarray(photo))
    with pytest.raises(ValueError, match="megapixels"):
        media.read(path, limit=1000)
    monkeypatch.setenv("MANYPOSE_MAX_PIXELS", "1000")
    with pytest.raises(ValueError, match="megapixels"):
        media.read(path)
    monkeypatch.setenv("MANYPOSE_MAX_PIXELS", "4000")
    assert media.read(path).shape == photo.shape
    monkeypatch.setenv("MANYPOSE_MAX_PIXELS", "lots")
    with pytest.raises(ValueError, match="MANYPOSE_MAX_PIXELS must be"):
        media.read(path)


def test_pillows_own_limit_neither_blocks_nor_changes(tmp_path, photo, monkeypatch):
    path = save(tmp_path / "a.png", Image.fromarray(photo))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert media.read(path).shape == photo.shape
    assert Image.MAX_IMAGE_PIXELS == 100


def test_reading_in_threads(tmp_path, photo):
    path = save(tmp_path / "a.png", Image.fromarray(photo))
    results = []
    threads = [threading.Thread(target=lambda: results.append(media.read(path))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 8
    assert all(np.array_equal(r, photo) for r in results)


# ── writing ──


def test_write_refuses_what_is_no_picture(tmp_path, photo):
    with pytest.raises(ValueError, match=r"\.txt is not an image format"):
        media.write(tmp_path / "a.txt", photo)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_nothing(tmp_path, photo, monkeypatch):
    real = Path.write_bytes

    def full(self, data):
        real(self, data[: len(data) // 2])
        with open("/dev/full", "wb", buffering=0) as disk:
            disk.write(data)

    monkeypatch.setattr(Path, "write_bytes", full)
    (tmp_path / "a.png").write_text("what was there")
    with pytest.raises(OSError, match=r"cannot be written: No space left on device: .*a\.png"):
        media.write(tmp_path / "a.png", photo)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_text() == "what was there"


def test_where_nothing_can_be_written(tmp_path, photo):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        media.write(tmp_path / "file" / "a.png", photo)
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OSError, match="cannot be written"):
        media.write(tmp_path / "taken.png", photo)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken.png"]


# ── which files ──


def test_folders_patterns_and_lists(tmp_path, photo):
    for name in ("b.png", "a.png", "c.PNG", "no_suffix"):
        save(tmp_path / name, Image.fromarray(photo), "PNG")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    (tmp_path / "sub").mkdir()
    save(tmp_path / "sub" / "d.png", Image.fromarray(photo))
    (tmp_path / "broken.jpg").write_text("")
    found = sources(tmp_path)
    assert [p.name for p in found.paths] == ["a.png", "b.png", "broken.jpg", "c.PNG", "no_suffix"]
    assert found.skipped == 2
    assert [p.name for p in sources(str(tmp_path / "*.png")).paths] == ["a.png", "b.png"]
    assert [p.name for p in sources(str(tmp_path / "**" / "*.png")).paths] == ["a.png", "b.png", "d.png"]
    assert [p.name for p in sources([tmp_path / "b.png", str(tmp_path / "sub")]).paths] == ["b.png", "d.png"]
    assert sources(tmp_path / "notes.txt").paths == (tmp_path / "notes.txt",)


def test_a_name_with_brackets_is_a_file_first(tmp_path, photo):
    path = save(tmp_path / "a[1].png", Image.fromarray(photo))
    assert sources(str(path)).paths == (path,)


def test_nothing_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        sources(tmp_path / "missing.jpg")
    with pytest.raises(FileNotFoundError, match="no photo or video matches"):
        sources(str(tmp_path / "*.jpg"))
    with pytest.raises(ValueError, match="no photos or videos"):
        sources(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="other files: 1"):
        sources(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_that_cannot_be_read_to_its_end():
    fails(Path("/proc/self/mem"), "")


def test_integers_of_either_byte_order_and_as_pil_are_alike():
    """Case 19: a PIL picture of mode I with values 0 … 255 is no darker than the same array; big-endian 16 bits are read."""
    values = np.arange(4096).reshape(64, 64) % 256
    assert np.array_equal(media.from_pil(Image.fromarray(values.astype(np.int32))), media.from_array(values.astype(np.int32)))
    wide = (values * 257).astype(np.uint16)
    assert np.array_equal(media.from_array(wide.astype(">u2")), media.from_array(wide))
    assert np.array_equal(media.from_array(wide)[..., 0], values)


def test_palettes_whose_colours_have_their_own_transparency(tmp_path, photo):
    """Each colour's alpha counts, as in browsers, and not only that of one colour."""
    indices = np.repeat(np.arange(4, dtype=np.uint8), 8)[None].repeat(8, 0)
    picture = Image.fromarray(indices, "P")
    picture.putpalette([200, 0, 0] * 256)
    got = media.read(save(tmp_path / "p.png", picture, transparency=bytes([0, 85, 170, 255])))
    np.testing.assert_allclose(got[0, ::8], [[255, 255, 255], [237, 170, 170], [218, 85, 85], [200, 0, 0]], atol=1)


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF"])
def test_of_an_animated_picture_the_first_frame_is_taken_and_said(tmp_path, photo, kind):
    others = [Image.fromarray(255 - photo), Image.fromarray(photo // 2)]
    options = {"lossless": True} if kind == "WEBP" else {}
    path = save(tmp_path / "a", Image.fromarray(photo), kind, save_all=True, append_images=others, duration=100, **options)
    with pytest.warns(UserWarning, match=r"an animated image; only the first of 3 frames is used"):
        got = media.read(path)
    assert np.abs(got.astype(int) - photo).mean() < (15 if kind == "GIF" else 1)


def test_adobes_inverted_cmyk_is_seen_as_other_viewers_show_it(tmp_path):
    """Pillow stores CMYK JPEGs inverted with Adobe's marker, as Photoshop does: paper without ink is white, full black ink is black."""
    inks = np.zeros((16, 48, 4), np.uint8)
    inks[:, 16:32, 3] = 255
    inks[:, 32:, 1:3] = 255  # magenta and yellow: red
    got = media.read(save(tmp_path / "a.jpg", Image.fromarray(inks, "CMYK"), quality=100))
    assert got[8, 8].min() > 250
    assert got[8, 24].max() < 5
    assert got[8, 40, 0] > 200
    assert got[8, 40, 1:].max() < 60
