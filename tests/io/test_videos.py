"""Videos in and out."""

import builtins
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from manypose.io import hdr, videos

av = pytest.importorskip("av", reason="the extra 'video' is not installed")


def ramp(i: int, h: int = 48, w: int = 64) -> np.ndarray:
    """Frame i: a picture that brightens with time, its top left quarter dark."""
    frame = np.full((h, w, 3), 60 + 8 * i % 180, np.uint8)
    frame[: h // 2, : w // 2] = 10
    return frame


def make(path, count=10, h=48, w=64, fps=Fraction(30000, 1001)):
    with videos.writer(path, fps) as add:
        for i in range(count):
            add(ramp(i, h, w))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov", ".webm"])
def test_round_trip(tmp_path, suffix):
    path = make(tmp_path / f"a{suffix}")
    frames = list(videos.frames(path))
    assert len(frames) == 10
    for i, frame in enumerate(frames):
        assert np.abs(frame.astype(int) - ramp(i)).mean() < 4, i
    about = videos.about(path)
    assert about.size == (48, 64)
    assert abs(float(about.fps) - 29.97) < 0.05
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_odd_sides_are_made_even(tmp_path):
    frames = list(videos.frames(make(tmp_path / "a.mp4", 2, 47, 61)))
    assert frames[0].shape == (48, 62, 3)


def rotated(path, source, degrees):
    """A copy of a video whose header says that it is to be turned (FFmpeg's display matrix in the mp4 track header)."""
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4
    matrix = at + 4 + 36  # version 0: 4 bytes version and flags, 36 up to the matrix
    cos, sin = round(np.cos(np.deg2rad(degrees))), round(np.sin(np.deg2rad(degrees)))
    values = [cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30]
    data[matrix : matrix + 36] = b"".join((v & 0xFFFFFFFF).to_bytes(4, "big") for v in values)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_rotation_is_honoured(tmp_path, clockwise):
    source = make(tmp_path / "a.mp4", 3)
    seen = next(iter(videos.frames(rotated(tmp_path / "r.mp4", source, clockwise))))
    expected = np.rot90(ramp(0), -clockwise // 90)  # the track matrix turns clockwise
    assert seen.shape == expected.shape
    assert np.abs(seen.astype(int) - expected).mean() < 4


EIGHT = {  # a b c d of the display matrix: x' = a x + c y, y' = b x + d y (and a shift)
    "as it is": (1, 0, 0, 1), "turned by 180": (-1, 0, 0, -1), "mirrored": (-1, 0, 0, 1), "upside down": (1, 0, 0, -1),
    "turned right": (0, 1, -1, 0), "turned left": (0, -1, 1, 0), "transposed": (0, 1, 1, 0), "transposed the other way": (0, -1, -1, 0),
}  # fmt: skip


def with_matrix(path, source, a, b, c, d):
    """A copy of an mp4 with another display matrix in its track header."""
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 36
    values = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    data[at : at + 36] = b"".join((v & 0xFFFFFFFF).to_bytes(4, "big") for v in values)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", EIGHT)
def test_all_eight_display_matrices(tmp_path, name):
    """Each pixel of what is seen is the stored one that the matrix sends there."""
    a, b, c, d = EIGHT[name]
    y, x = np.mgrid[:48, :64]
    stored = np.stack([x * 4, y * 5, 255 - 2 * x - y], -1).astype(np.uint8)
    with videos.writer(tmp_path / "a.mp4", 10) as add:
        for _ in range(2):
            add(stored)
    seen = next(videos.frames(with_matrix(tmp_path / "b.mp4", tmp_path / "a.mp4", a, b, c, d)))
    to_x, to_y = a * x + c * y, b * x + d * y
    expected = np.zeros((48, 64, 3) if a else (64, 48, 3), np.uint8)
    expected[to_y - to_y.min(), to_x - to_x.min()] = stored
    assert seen.shape == expected.shape
    assert np.abs(seen.astype(int) - expected).mean() < 4


@pytest.mark.parametrize(("ratio", "width"), [(Fraction(4, 3), 85), (Fraction(1, 2), 32), (Fraction(1), 64)])
def test_pixels_become_square(tmp_path, ratio, width):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = ratio
        for i in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp(i), format="rgb24")))
        container.mux(stream.encode(None))
    assert next(videos.frames(tmp_path / "a.mp4")).shape == (48, width, 3)


def test_times_are_kept_and_written(tmp_path):
    times = [0.0, 0.1, 0.2, 3.5, 3.6, 7.0]
    with videos.writer(tmp_path / "a.mp4", 10) as add:
        for i, time in enumerate(times):
            add(ramp(i), time)
    read = list(videos.read(tmp_path / "a.mp4"))
    assert [f.number for f in read] == list(range(6))
    assert [f.time for f in read] == pytest.approx(times, abs=1e-4)
    assert [f.time for f in videos.read(make(tmp_path / "b.mkv", 5, fps=10))] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=2e-3)


def test_sound_is_copied(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        picture, sound = container.add_stream("libx264", rate=10), container.add_stream("aac", rate=44100)
        picture.height, picture.width, picture.pix_fmt = 48, 64, "yuv420p"
        for i in range(10):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(ramp(i), format="rgb24")))
        for i in range(43):
            wave = np.sin(np.arange(1024) / 20 + i).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, 1024 * i
            container.mux(sound.encode(frame))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))
    with videos.writer(tmp_path / "b.mp4", 10, sound=tmp_path / "a.mp4") as add:
        for frame in videos.read(tmp_path / "a.mp4"):
            add(frame.pixels, frame.time)

    def packets(name):
        with av.open(str(tmp_path / name)) as container:
            return [bytes(p) for p in container.demux(audio=0) if p.size]

    assert packets("b.mp4") == packets("a.mp4") != []
    with videos.writer(tmp_path / "c.mp4", 10, sound=make(tmp_path / "silent.mp4")) as add:
        add(ramp(0), 0.0)
    assert len(list(videos.frames(tmp_path / "c.mp4"))) == 1


def coded(picture: np.ndarray, transfer: str) -> np.ndarray:
    """An ordinary picture as 16-bit code values, white at 203 nits (ITU-R BT.2100, written here from the display's side)."""
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    light = (picture / 255.0) ** 2.2 @ to_2020.T
    if transfer == "pq":
        y = (light * 203 / 10000) ** 0.1593017578125
        code = ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    else:
        nits = light * 0.203
        luminance = np.maximum(nits @ np.array([0.2627, 0.678, 0.0593]), 1e-9)[..., None]
        scene = nits * luminance ** (1 / 1.2 - 1)
        code = np.where(scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073)
    return (np.clip(code, 0, 1) * 65535).astype(np.uint16)


@pytest.mark.parametrize(("transfer", "number"), [("pq", 16), ("hlg", 18)])
def test_high_dynamic_range_looks_as_the_ordinary_picture(transfer, number):
    y, x = np.mgrid[:40, :60]
    picture = np.stack([x * 4, y * 5, 200 - 2 * x - y], -1).astype(np.uint8)
    off = np.abs(hdr.to_sdr(coded(picture, transfer), number).astype(int) - picture)
    assert off.mean() < 1
    assert off.max() < 10
    bright = hdr.to_sdr(np.full((2, 2, 3), 65535, np.uint16), number)
    assert bright.min() > 240


def test_a_video_in_pq_is_brought_to_ordinary_brightness(tmp_path):
    if "libx265" not in av.codecs_available:
        pytest.skip("this PyAV has no encoder of HEVC")
    y, x = np.mgrid[:64, :96]
    picture = np.stack([x * 2, y * 3, 190 - x - y], -1).astype(np.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        tags = "bframes=0:log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
        stream = container.add_stream("libx265", rate=10, options={"x265-params": tags, "crf": "8"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p10le"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(coded(picture, "pq"), format="rgb48le")))
        container.mux(stream.encode(None))
    seen = next(videos.frames(tmp_path / "a.mp4"))
    assert np.abs(seen.astype(int) - picture).mean() < 6


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(tmp_path):
    def peak(count):
        path = make(tmp_path / f"{count}.mp4", count, 240, 320)
        tracemalloc.start()
        n = sum(1 for _ in videos.frames(path))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert n == count
        return top

    assert peak(120) < 1.5 * peak(20) + 1e6


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "empty"), (b"no video at all" * 9, "not a video"), (b"\0\0\0\x18ftypisom" + bytes(60), "a.mp4")],
)
def test_no_video(tmp_path, data, message):
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    for reading in (lambda: list(videos.frames(path)), lambda: videos.about(path)):
        with pytest.raises(ValueError, match=message) as caught:
            reading()
        assert "a.mp4" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_missing_folder_and_sound_only(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        list(videos.frames(tmp_path / "none.mp4"))
    with pytest.raises(ValueError, match="not a regular file"):
        list(videos.frames(tmp_path))
    for name, message in (("s.mkv", "has no video stream"), ("s.wav", "not a video")):
        with av.open(str(tmp_path / name), "w") as out:
            stream = out.add_stream("pcm_s16le", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            frame.sample_rate = 8000
            out.mux(stream.encode(frame))
        with pytest.raises(ValueError, match=message):
            list(videos.frames(tmp_path / name))


def test_truncated_video(tmp_path):
    data = make(tmp_path / "a.mkv", 60).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) // 2])
    count = 0
    try:
        for _ in videos.frames(cut):
            count += 1
    except ValueError as e:
        assert "cut.mkv" in str(e)  # noqa: PT017  # some FFmpeg versions end quietly, others complain
    assert 0 < count < 60
    short = tmp_path / "short.mp4"
    short.write_bytes(make(tmp_path / "b.mp4", 60).read_bytes()[:500])
    with pytest.raises(ValueError, match=r"short\.mp4"):
        list(videos.frames(short))


def test_frames_too_large_are_refused(tmp_path):
    path = make(tmp_path / "a.mp4", 2)
    with pytest.raises(ValueError, match="megapixels"):
        list(videos.frames(path, limit=1000))


def test_a_failed_writing_leaves_nothing(tmp_path):
    path = tmp_path / "a.mp4"

    def stops():
        with videos.writer(path, 25) as add:
            add(ramp(0))
            add(ramp(1, 50, 64))

    with pytest.raises(ValueError, match="a frame of 64x50"):
        stops()
    with pytest.raises(ValueError, match="without frames"), videos.writer(path, 25):
        pass
    with pytest.raises(ValueError, match=r"not a video format; use \.mp4"), videos.writer(tmp_path / "a.xyz", 25):
        pass
    with pytest.raises(TypeError), videos.writer(path, 25) as add:
        add(*[ramp(0), ramp(1)])
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"), videos.writer(tmp_path / "file" / "a.mp4", 25) as add:
        add(ramp(0))


def test_without_pyav(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "av":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"manypose\[video\]"):
        list(videos.frames(tmp_path / "a.mp4"))


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_reading_may_begin_anywhere(tmp_path, suffix):
    path = make(tmp_path / f"a{suffix}", 40)
    whole, ticks = list(videos.read(path)), videos.places(path)
    assert len(ticks) == 40
    for number in (1, 7, 24, 39):
        part = list(videos.read(path, start=videos.Start(number, ticks[number], ticks[0])))
        assert [f.number for f in part] == list(range(number, 40))
        for a, b in zip(part, whole[number:], strict=True):
            assert a.time == pytest.approx(b.time, abs=1e-6)
            np.testing.assert_array_equal(a.pixels, b.pixels)


def test_a_still_cover_before_the_video_is_passed_over(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        cover, stream = container.add_stream("mjpeg", rate=1), container.add_stream("mpeg4", rate=25)
        cover.height, cover.width, cover.pix_fmt = 64, 64, "yuvj420p"
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 200, np.uint8), format="rgb24")))
        container.mux(cover.encode(None))
        for i in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((96, 128, 3), 20 * i, np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    shown = list(videos.frames(path))
    assert {f.shape for f in shown} == {(96, 128, 3)}
    assert len(shown) == 12
    assert videos.about(path).size == (96, 128)


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4"])
def test_a_list_of_other_files_opens_none_of_them(tmp_path, name):
    video = make(tmp_path / "secret.mp4", 2)
    (tmp_path / name).write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{video.name}\n#EXT-X-ENDLIST\n")
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile {video.name}\n")
    for path in (tmp_path / name, tmp_path / "concat.mp4"):
        with pytest.raises(ValueError, match="not a video that FFmpeg can read"):
            list(videos.frames(path))
    assert len(list(videos.frames(video))) == 2
