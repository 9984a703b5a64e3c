"""Photos and videos from other places than files."""

import io
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import sleep

import numpy as np
import pytest
from dots import BoxDots, Dots, photo_of
from PIL import Image

from manypose.inference.inputs import inputs
from manypose.inference.model import Model
from manypose.io import sources, videos

JOINTS = np.array([[30.0, 40.0], [85.0, 50.0], [50.0, 80.0]])


@pytest.fixture
def png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(photo_of((96, 128), JOINTS)).save(out, "PNG")
    return out.getvalue()


def right(poses) -> bool:
    return len(poses) == 1 and np.abs(poses.keypoints[0] - JOINTS).max() < 1


@pytest.fixture
def server(png, tmp_path):
    clip = b""
    if videos_there():
        with videos.writer(tmp_path / "clip.mp4", 10) as add:
            for _ in range(3):
                add(photo_of((96, 128), JOINTS))
        clip = (tmp_path / "clip.mp4").read_bytes()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            content = {"/a.png": png, "/no-suffix?x=1": png, "/clip.mp4": clip}.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    made = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


def videos_there() -> bool:
    try:
        videos.available()
    except ImportError:
        return False
    return True


def test_bytes_and_open_files(png, tmp_path):
    model = Model(Dots())
    (tmp_path / "a.png").write_bytes(png)
    with open(tmp_path / "a.png", "rb") as file:
        assert right(model.predict(file))
    for source in (png, bytearray(png), memoryview(png), io.BytesIO(png)):
        assert right(model.predict(source))
    for bad, message in ((b"", "empty"), (b"no photo", "not a photo"), (png[:200], "damaged")):
        with pytest.raises(ValueError, match=message):
            model.predict(bad)


def test_an_address(server):
    model = Model(Dots())
    assert right(model.predict(f"{server}/a.png"))
    assert right(model.predict(f"{server}/no-suffix?x=1"))
    with pytest.raises(ConnectionError, match=r"none\.png: cannot be downloaded"):
        model.predict(f"{server}/none.png")
    with pytest.raises(ConnectionError, match="cannot be downloaded"):
        model.predict("http://127.0.0.1:9/a.png")
    if videos_there():
        assert [right(p) for p in model.predict(f"{server}/clip.mp4")] == [True] * 3
        with pytest.raises(ValueError, match=r"rtsp://127\.0\.0\.1:9/x: not a video that FFmpeg can read"):
            next(model.predict("rtsp://127.0.0.1:9/x"))


@pytest.fixture
def silent():
    """The port of a server that takes connections, and answers none, or sends a byte now and then, or breaks off."""
    listening = socket.create_server(("127.0.0.1", 0))
    kept = []

    def answer(connection: socket.socket) -> None:
        asked = connection.recv(4096)
        if b"/silent" in asked or not asked.startswith(b"GET"):
            return
        with suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
            if b"/cut" in asked:
                connection.shutdown(socket.SHUT_RDWR)
            while True:
                connection.sendall(b"d")
                sleep(0.05)

    def serve() -> None:
        with suppress(OSError):
            while True:
                kept.append(listening.accept()[0])
                threading.Thread(target=answer, args=(kept[-1],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    for connection in (listening, *kept):
        connection.close()


def test_an_address_that_does_not_answer_ends_in_time(silent, monkeypatch):
    for name, said in (("silent", "timed out"), ("drip", " bytes in "), ("cut", "the connection ended after 3 bytes")):
        with pytest.raises(ConnectionError, match=said):
            sources.fetch(f"http://127.0.0.1:{silent}/{name}.jpg", 0.5)
    if videos_there():
        monkeypatch.setattr(videos, "PATIENCE", 0.5)
        for address in (f"rtsp://127.0.0.1:{silent}/x", f"http://127.0.0.1:{silent}/silent.mp4"):
            with pytest.raises(ValueError, match=r"no answer within 0\.5 seconds"):
                next(videos.read(address))


def test_standard_input(png, monkeypatch):
    class Input:
        buffer = io.BytesIO(png)

    monkeypatch.setattr(sys, "stdin", Input)
    assert right(Model(Dots()).predict("-"))
    with pytest.raises(ValueError, match="standard input: empty"):
        Model(Dots()).predict("-")


def test_a_camera(monkeypatch):
    frames = [photo_of((96, 128), JOINTS)[..., ::-1] for _ in range(4)]

    class Capture:
        def __init__(self, index):
            self.index, self.left = index, list(frames)

        def isOpened(self):
            return self.index == 0

        def read(self):
            return (True, self.left.pop()) if self.left else (False, None)

        def release(self):
            pass

    monkeypatch.setattr(sources.cv2, "VideoCapture", Capture)
    assert [right(p) for p in Model(Dots()).predict(0)] == [True] * 4
    with pytest.raises(ValueError, match="camera 3: not found"):
        next(Model(Dots()).predict(3))
    with pytest.raises(TypeError, match="bool"):
        Model(Dots()).predict(True)


def test_colour_order(untyped):
    rgb = photo_of((96, 128), JOINTS)
    model = Model(Dots())
    assert right(model.predict(rgb[..., ::-1], colour="bgr"))
    assert not right(model.predict(rgb[..., ::-1]))
    assert [right(p) for p in model.predict([rgb[..., ::-1]] * 2, colour="bgr")] == [True] * 2
    assert [right(p) for p in model.predict((f for f in [rgb[..., ::-1]] * 2), colour="bgr")] == [True] * 2
    assert right(model.predict(Image.fromarray(rgb), colour="bgr"))  # a PIL image knows its order
    with pytest.raises(ValueError, match="colour must be rgb or bgr, got 'gbr'"):
        inputs(rgb, None, "gbr")  # type: ignore[arg-type]


def test_short_texts_of_models():
    assert repr(Model(Dots())) == "Model(Dots, 3 joints of skeleton 'fly', on cpu)"
    assert repr(Model(BoxDots(), "finder", "mine")) == "Model(mine, 3 joints of skeleton 'fly', people found by finder, on cpu)"
