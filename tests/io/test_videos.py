"""Videos in and out."""

import builtins
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from manypose.io import videos

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
    with av.open(str(tmp_path / "s.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
    with pytest.raises(ValueError, match="has no pictures"):
        list(videos.frames(tmp_path / "s.wav"))


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
    with pytest.raises(ValueError, match=r"no kind of video; use \.mp4"), videos.writer(tmp_path / "a.xyz", 25):
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
