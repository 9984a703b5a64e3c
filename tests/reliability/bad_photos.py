"""Photos, videos and boxes that ``predict`` cannot use."""

import gzip
import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from bad_case import Case, each
from PIL import Image
from whole_files import jpeg, photo, png, video

__all__ = ["PHOTOS"]

PREDICT = "predict {at}/NAME --model {good}/fly.safetensors --out {at}/out"


def saved(kind: str, **more: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(photo()).save(out, kind, **more)
    return out.getvalue()


def cut(kind: str, part: float) -> bytes:
    content = saved(kind)
    return content[: int(len(content) * part)]


def spoiled(kind: str, first: int, seed: int = 0) -> bytes:
    """With a third of its bytes after the header at random."""
    content = bytearray(saved(kind))
    rng = np.random.default_rng(seed)
    for i in rng.integers(first, len(content), len(content) // 3):
        content[i] = rng.integers(256)
    return bytes(content)


def bmp(w: int, h: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, w, h, 1, 24, 0, 0, 0, 0, 0, 0)


def tiff_of(w: int, h: int) -> bytes:
    tags = [(256, w), (257, h), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, h), (279, 2**31 - 1)]
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags) + bytes(4)


def gif(w: int, h: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", w, h, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, w, h, 0) + b"\x02\x02D\x01\0;"


def link(path: Path) -> None:
    path.symlink_to(path)


HUGE = "more than the limit"
KINDS: dict[str, tuple[str, Any, str]] = {
    "empty": ("a.jpg", b"", "an empty file"),
    "one byte": ("a.jpg", b"\xff", "not a photo"),
    "only a JPEG's start": ("a.jpg", b"\xff\xd8\xff\xe0", "a.jpg"),
    "JPEG cut in its header": ("a.jpg", jpeg()[:20], "a.jpg"),
    "JPEG cut in its tables": ("a.jpg", cut("JPEG", 0.2), "a.jpg"),
    "JPEG cut in half": ("a.jpg", cut("JPEG", 0.5), "a damaged photo"),
    "PNG cut in half": ("a.png", cut("PNG", 0.5), "a damaged photo"),
    "PNG with fewer pixels": ("a.png", png(300, 300, bytes(1000)), "a damaged photo"),
    "PNG of a wrong checksum": ("a.png", spoiled("PNG", 40), "a.png"),
    "PNG of no size": ("a.png", png(0, 0, b""), "a.png"),
    "PNG of one side": ("a.png", png(10, 0, b""), "a.png"),
    "PNG of 3600 megapixels": ("a.png", png(60_000, 60_000, b""), HUGE),
    "PNG of 2^31 pixels a side": ("a.png", png(2**31 - 1, 2**31 - 1, b""), "a.png"),
    "PNG of 1 x 2^31": ("a.png", png(1, 2**31 - 1, b""), "a.png"),
    "PNG whose text is a bomb": ("a.png", png(60_001, 60_001, bytes(10**7)), HUGE),
    "WebP cut in half": ("a.webp", cut("WEBP", 0.5), "a.webp"),
    "WebP at random": ("a.webp", spoiled("WEBP", 24), "a.webp"),
    "GIF of 4 gigapixels": ("a.gif", gif(65_535, 65_535), HUGE),
    "GIF cut": ("a.gif", cut("GIF", 0.3), "a.gif"),
    "BMP of 10^8 a side": ("a.bmp", bmp(10**8, 10**8), HUGE),
    "BMP of a negative width": ("a.bmp", bmp(-5, 5), "a.bmp"),
    "BMP without pixels": ("a.bmp", bmp(100, 100), "a.bmp"),
    "TIFF of 4 gigapixels": ("a.tif", tiff_of(65_535, 65_535), HUGE),
    "TIFF whose strip lies outside": ("a.tif", tiff_of(50, 50), "a.tif"),
    "TIFF that points at itself": ("a.tif", b"II*\0" + struct.pack("<I", 4), "a.tif"),
    "TIFF cut": ("a.tif", cut("TIFF", 0.5), "a.tif"),
    "PGM of 10^9 a side": ("a.pgm", b"P5 1000000000 1000000000 255\n", HUGE),
    "PPM of text": ("a.ppm", b"P6 ten ten 255\n", "a.ppm"),
    "AVIF cut": ("a.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "a.avif"),
    "JPEG 2000 cut": ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "a.jp2"),
    "text": ("a.jpg", b"dear diary\n" * 100, "not a photo"),
    "text of another name": ("notes.txt", b"dear diary\n" * 100, "not a photo"),
    "HTML": ("a.jpg", b"<!DOCTYPE html><html><body>404 not found</body></html>", "not a photo"),
    "SVG": ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a photo"),
    "EPS": ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(touch x) run\n", "not a photo"),
    "PDF": ("a.pdf", b"%PDF-1.4\n", "not a photo"),
    "compressed": ("a.jpg", gzip.compress(jpeg()), "not a photo"),
    "zeros": ("a.jpg", bytes(5000), "not a photo"),
    "a video's first bytes": ("a.jpg", b"\0\0\0\x18ftypmp42" + bytes(400), "a.jpg"),
    "a git LFS pointer": ("a.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n", "not a photo"),
    "a pipe": ("a.jpg", lambda path: os.mkfifo(path), "not a regular file"),
    "a link to itself": ("a.jpg", link, "a.jpg"),
    "a folder of that name": ("a.jpg/b", b"", "a.jpg"),
    "a name of control characters": ("a\x1b[31m.jpg", b"", "an empty file"),
}

VIDEOS: dict[str, tuple[str, Any, str]] = {
    "empty": ("a.mp4", b"", "an empty file"),
    "text": ("a.mp4", b"dear diary\n" * 100, "not a video"),
    "only its start": ("a.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a.mp4"),
    "a box larger than the file": ("a.mp4", b"\0\0\0\x18ftypmp42" + b"\x7f\xff\xff\xffmoov" + bytes(64), "a.mp4"),
    "Matroska's start": ("a.mkv", b"\x1aE\xdf\xa3" + bytes(100), "a.mkv"),
    "AVI's start": ("a.avi", b"RIFF\xff\xff\xff\x7fAVI LIST", "a.avi"),
    "FLV's start": ("a.flv", b"FLV\x01\x05\0\0\0\x09\0\0\0\0", "a.flv"),
    "a stream's start": ("a.ts", b"G@\0\x10" + bytes(184), "a.ts"),
    "a playlist that names other files": ("a.m3u8", "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "a.m3u8"),
    "a playlist named as a video": ("a.mp4", "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "a.mp4"),
    "a list of concat": ("a.mp4", "ffconcat version 1.0\nfile /etc/passwd\n", "a.mp4"),
    "sound alone": ("a.mp4", lambda path: sound(path), "no video stream"),
}


def sound(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def cut_video(path: Path) -> None:
    video(path, 12)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])


def photo_case(name: str, content: Any, says: str) -> dict[str, Any]:
    first = name.split("/")[0]
    named = first.replace("\x1b", "\\x1b") if "\x1b" in first else first
    return {
        "line": PREDICT.replace("NAME", first),
        "files": {name: content},
        "says": (named.removeprefix("a"), says),
        "leaves": ("out/failed.json",),
    }


BOXES: dict[str, tuple[Any, str]] = {
    "cut off": ("{", "not JSON"),
    "empty": ("", "not JSON"),
    "not text": (b"\xff\xfe\0\0", "not JSON"),
    "nested 100,000 deep": ("[" * 100_000, "not JSON"),
    "a number": ("3", "not a boxes file"),
    "null": ("null", "not a boxes file"),
    "a text": ('"a.png"', "not a boxes file"),
    "numbers": ([1, 2], "not a boxes file"),
    "one flat box": ({"a.png": [10, 10, 50, 20]}, "not a boxes file"),
    "of three numbers": ({"a.png": [[10, 10, 20]]}, "not a boxes file"),
    "of texts": ({"a.png": [["x", 1, 2, 3]]}, "not a boxes file"),
    "of null": ({"a.png": [[1, None, 3, 4]]}, "not a boxes file"),
    "null for a photo": ({"a.png": None}, "not a boxes file"),
    "a number of 400 digits": ('{"a.png": [[1, 2, 3, ' + "9" * 400 + "]]}", "boxes"),
    "detections without a box": ([{"image_id": 1, "score": 0.5}], "not a boxes file"),
    "detections of three numbers": ([{"image_id": 1, "bbox": [1, 2, 3]}], "not a boxes file"),
    "detections without a photo": ([{"bbox": [1, 2, 3, 4]}], "not a boxes file"),
    "a score of text": ([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": "high"}], "not a boxes file"),
    "of other photos": ({"b.png": [[0, 0, 10, 10]]}, "has boxes for none of the given photos"),
    "for a model that takes none": ({"a.png": [[0, 0, 10, 10]]}, "takes no boxes"),
}

SOURCES: dict[str, tuple[str, dict[str, Any], str]] = {
    "nothing there": ("{at}/gone.jpg", {}, "no such file"),
    "an empty folder": ("{at}/empty", {"empty": lambda path: path.mkdir()}, "no photos or videos in this folder"),
    "a folder of texts": ("{at}/texts", {"texts/a.txt": "dear diary"}, "other files: 1"),
    "a pattern without a match": ("{at}/*.jpg", {}, "no photo or video matches"),
    "a link to nothing": ("{at}/link.jpg", {"link.jpg": lambda path: path.symlink_to("nowhere")}, "no such file"),
    "an address that answers nobody": ("http://localhost:9/a.jpg", {}, "localhost"),
    "a stream that answers nobody": ("rtsp://localhost:9/a", {}, "localhost"),
    "a device": ("/dev/zero", {}, "/dev/zero"),
    "a folder of the system": ("/proc/self/fd", {}, "/proc/self/fd"),
    "a name that is too long": ("{at}/" + "x" * 5000 + ".jpg", {}, "xxx"),
    "an option's value is a folder": ("{good}/a.png --boxes {at}", {}, "not JSON"),
    "boxes and a detector": ("{good}/a.png --boxes {good}/r.json --detector nanodet", {}, "not both"),
    "boxes for a video": ("{good}/clip.mp4 --boxes {at}/b.json", {"b.json": {"clip.mp4": [[0, 0, 9, 9]]}}, "boxes are for photos"),
    "tracking one photo": ("{good}/a.png --track", {}, "a single photo was given"),
    "a detector that is none": ("{good}/a.png --detector nobody", {}, "takes no boxes"),
    "a redetector without tracking": ("{good}/a.png --redetector mspn-mobile", {}, "--track"),
    "weights for a file of weights": ("{good}/a.png --weights {good}/prn.safetensors", {}, "need the name of their model"),
    "detector weights without a detector": ("{good}/a.png --detector-weights {good}/prn.safetensors", {}, "--detector"),
    "frames after the video's end": ("{good}/clip.mp4 --start 99", {}, "clip.mp4"),
    "an end before the start": ("{good}/clip.mp4 --start 2 --end 1", {}, "end must be later than start"),
    "a time of 75 seconds": ("{good}/clip.mp4 --start 1:75", {}, "start must be a time such as 90"),
    "every frame of none": ("{good}/clip.mp4 --every 0", {}, "every"),
}

PHOTOS = [
    *each("predict, photo", KINDS, photo_case),
    *each("predict, video", VIDEOS, photo_case),
    Case("predict, video: cut in a third", PREDICT.replace("NAME", "a.mp4"), files={"a.mp4": cut_video}, says=("a.mp4",),
         leaves=("out/failed.json",)),
    *each("predict, boxes", BOXES, lambda content, says: {
        "line": "predict {good}/a.png --model {good}/fly.safetensors --out {at}/out --boxes {at}/boxes.json", "files": {"boxes.json": content},
        "says": (says,)}),
    *each("predict, source", SOURCES, lambda source, files, says: {
        "line": f"predict {source} --model {{good}}/fly.safetensors --out {{at}}/out", "files": files, "says": (says,),
        "leaves": ("out/failed.json",)}),
    Case("predict, photo: bad among good ones", "predict {good}/photos {at}/2.png --model {good}/fly.safetensors --out {at}/out --format coco csv",
         files={"2.png": cut("PNG", 0.5)}, says=("2.png: a damaged photo",),
         leaves=("out/.poses.jsonl", "out/.progress.jsonl", "out/photos-1_poses.jpg", "out/1_poses.jpg", "out/3_poses.jpg", "out/coco.json", "out/poses.csv",
                 "out/failed.json")),
]  # fmt: skip
