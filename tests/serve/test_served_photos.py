"""Photos by HTTP: the same people as by `Model.predict`, in every format; and what a service refuses."""

import csv
import io
import json
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from serve.running import as_file, photo, served

from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.poses.formats import from_jsonl
from manypose.serve.answers import kind_of
from manypose.serve.limits import Limits, Refused
from manypose.serve.requests import OPTIONS, Query, Video

CONTENT = photo()


def people(answer: httpx.Response):
    assert answer.status_code == 200, answer.text
    ((_, poses),) = from_jsonl([answer.text])
    return poses


def test_every_option_can_be_asked_for():
    kept_back = {"batch_size", "published"}  # they change the service's memory, not what a client gets
    assert set(OPTIONS) == {*PredictOptions.__dataclass_fields__} - kept_back
    assert set(OPTIONS) <= {*Query.model_fields} & {*Video.model_fields}


@pytest.mark.parametrize("options", [{}, {"flip": "true"}, {"threshold": "0.9"}, {"joint_threshold": "0.5"}])
def test_the_same_people_as_in_a_program(client: httpx.Client, model: Model, options: dict):
    here = model.predict(CONTENT, **{k: v == "true" if v == "true" else float(v) for k, v in options.items()})
    there = people(client.post("/predict", content=CONTENT, params=options))
    np.testing.assert_allclose(there.keypoints, here.keypoints * (here.keypoint_scores > 0)[..., None], atol=1e-3)
    np.testing.assert_allclose(there.scores, here.scores, rtol=1e-4)


def test_a_form_is_as_good_as_bytes_and_its_name_is_a_name(client: httpx.Client):
    plain = client.post("/predict", content=CONTENT).json()
    form = client.post("/predict", files={"image": ("../../etc/pass\nwd.jpg", CONTENT)}).json()
    assert form["people"] == plain["people"]
    assert form["image"] in ("pass\\x0awd.jpg", "pass%0Awd.jpg", "pass%0awd.jpg")
    assert (plain["height"], plain["width"], plain["model"]) == (256, 256, "fast")


def test_a_photo_in_odd_colours_warns_programs_and_not_the_service(client: httpx.Client, model: Model, recwarn: pytest.WarningsRecorder):
    swapped = np.asarray(Image.open(io.BytesIO(CONTENT)))[..., ::-1]
    out = io.BytesIO()
    Image.fromarray(swapped).save(out, "PNG")
    assert client.post("/predict", content=out.getvalue()).status_code == 200
    assert not [w for w in recwarn if "BGR" in str(w.message)]
    with pytest.warns(UserWarning, match="seem to be BGR"):
        model.predict([swapped])


def test_coco_csv_and_pictures_by_accept(client: httpx.Client, model: Model):
    poses = model.predict(CONTENT)
    coco = client.post("/predict", content=CONTENT, headers={"accept": "application/coco+json"}, params={"image_id": 7})
    assert coco.headers["content-type"] == "application/coco+json"
    for row, mine in zip(coco.json(), poses.to_coco(7), strict=True):
        assert row["image_id"] == 7
        np.testing.assert_allclose(row["keypoints"], mine["keypoints"], atol=2e-3)
    rows = list(csv.DictReader(io.StringIO(client.post("/predict?format=csv", content=CONTENT).text)))
    assert len(rows) == int((poses.keypoint_scores > 0).sum())
    drawn = client.post("/predict", content=CONTENT, headers={"accept": "image/png,*/*;q=0.1"})
    picture = np.asarray(Image.open(io.BytesIO(drawn.content)))
    assert np.abs(picture.astype(int) - poses.draw(photo=CONTENT)).max() <= 1
    assert (picture != np.asarray(Image.open(io.BytesIO(CONTENT)))).any()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("", "json"), ("*/*", "json"), ("image/*", "jpeg"), ("text/csv;q=0.5, image/png", "png"), ("application/json;q=0, text/csv", "csv")],
)
def test_what_is_accepted(accept: str, kind: str):
    assert kind_of(accept, None) == kind


def test_nothing_that_is_accepted():
    with pytest.raises(Refused, match="Accept header"):
        kind_of("audio/ogg, x;q=nan-sense", None)


def test_a_batch_answers_each_photo(client: httpx.Client):
    files = [("images", (f"{i}.jpg", CONTENT if i != 1 else b"no photo")) for i in range(3)]
    first, bad, last = client.post("/predict/batch", files=files, params={"image_id": 10}).json()
    assert first["people"] == last["people"] != []
    assert (bad["image"], bad["image_id"]) == ("1.jpg", 11)
    assert "not a photo" in bad["error"]
    rows = client.post("/predict/batch", files=files, headers={"accept": "application/coco+json"}).json()
    assert {row["file_name"] for row in rows} == {"0.jpg", "2.jpg"}


def test_clients_share_batches(client: httpx.Client):
    def photos(text: str) -> float:
        return float(next(line for line in text.splitlines() if line.startswith("manypose_photos_together_count")).split()[1])

    before = photos(client.get("/metrics").text)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.post("/predict", content=CONTENT), range(24)))
    assert {a.status_code for a in answers} == {200}
    first = people(answers[0])
    for answer in answers:  # whatever it was looked at with
        np.testing.assert_allclose(people(answer).keypoints, first.keypoints, atol=0.01)
    assert photos(client.get("/metrics").text) - before < 20


# ── what is refused ──


def _png(width: int, height: int) -> bytes:
    """The header of a picture of any size; 60 bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"x")


BAD = {
    "empty": b"",
    "a text": b"hello",
    "zeros": bytes(1000),
    "cut short": CONTENT[: len(CONTENT) // 2],
    "only a start": CONTENT[:20],
    "a bomb": _png(60_000, 60_000),
    "no size": _png(0, 0),
    "damaged": CONTENT[:300] + bytes(200) + CONTENT[500:600],
    "a page": b"<html><script>alert(1)</script></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "PDF": b"%PDF-1.4\n",
    "a zip": b"PK\x03\x04" + bytes(40),
    "a video": b"\x00\x00\x00\x18ftypmp42" + bytes(40),
    "a pickle": b"\x80\x04cos\nsystem\n",
    "GIF": b"GIF89a\xff\xff\xff\xff",
    "TIFF": b"II*\x00\x08\x00\x00\x00" + b"\xff" * 40,
    "WebP": b"RIFF\x10\x00\x00\x00WEBPVP8 ",
}


def one_line(answer: httpx.Response) -> str:
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
    assert list(answer.json()) == ["error"]
    said = answer.json()["error"]
    assert said
    assert "\n" not in said
    assert "Traceback" not in said
    assert "MANYPOSE_" not in said  # what the operator may do
    return said


@pytest.mark.parametrize("name", BAD)
def test_bad_photos(client: httpx.Client, name: str):
    for answer in (client.post("/predict", content=BAD[name]), client.post("/predict", files={"f": (f"{name}.jpg", BAD[name])})):
        one_line(answer)
    one_line(client.post("/predict/batch", files=[("f", ("a.jpg", BAD[name])), ("f", ("b.jpg", BAD[name]))]))


@pytest.mark.parametrize(
    ("path", "sent", "status", "says"),
    [
        ("/predict?flap=1", {}, 422, "flap"),
        ("/predict?flip=perhaps", {}, 422, "flip"),
        ("/predict?threshold=nan", {}, 422, "threshold"),
        ("/predict?threshold=7", {}, 422, "threshold"),
        ("/predict?scales=1,x", {}, 422, "scales"),
        ("/predict?size=9999", {}, 422, "size"),
        ("/predict?published=true", {}, 422, "published"),
        ("/predict?model=..%2F..%2Fetc%2Fpasswd", {}, 404, "no model"),
        ("/predict?format=exe", {}, 422, "format"),
        ("/predict", {"headers": {"accept": "audio/ogg"}}, 406, "Accept"),
        ("/predict/batch", {"headers": {"accept": "image/png"}}, 406, "pictures are for single photos"),
        ("/predict", {"headers": {"content-type": "multipart/form-data"}}, 400, "oundary"),
        ("/predict", {"headers": {"content-type": "multipart/form-data; boundary=x"}, "content": b"garbage"}, 400, ""),
        ("/predict", {"content": None, "data": {"a": "b"}}, 422, "photo"),
        ("/predict", {"content": None, "files": [("a", ("1", CONTENT)), ("a", ("2", CONTENT))]}, 422, "2 photos"),
        ("/predict/batch", {"content": None, "files": [("a", (f"{i}", b"x")) for i in range(65)]}, 400, "64"),
        ("/predict", {"content": None, "json": {"url": "file:///etc/passwd"}}, 403, "address"),
        ("/predict", {"content": None, "json": {"url": "http://127.0.0.1:9/a.jpg"}}, 403, "address"),
        ("/predict", {"content": None, "json": {"url": "http://user@127.0.0.1:8/a.jpg"}}, 403, "address"),
        ("/predict", {"content": None, "json": {"url": "http://[/a.jpg"}}, 422, "address"),
        ("/predict", {"content": None, "json": {"url": "http://127.0.0.1:8/a b"}}, 422, "%XX"),
        ("/predict", {"content": None, "json": {"url": "http://127.0.0.1:8/a.jpg"}}, 422, "cannot fetch"),
        ("/predict", {"content": None, "json": {"path": "/etc/passwd"}}, 422, "url"),
        ("/predict", {"headers": {"content-type": "application/json"}, "content": b"[" * 100_000}, 422, "JSON"),
        ("/predict", {"content": bytes(2_000_001)}, 413, "2 MB"),
        ("/predict", {"content": (bytes(500_000) for _ in range(5))}, 413, "2 MB"),
        ("/predict", {"headers": {"host": "evil.example"}}, 403, "name"),
        ("/predict", {"headers": {"origin": "http://evil.example"}}, 403, "cross-origin"),
        ("/nowhere", {}, 404, ""),
        ("/models", {}, 405, ""),
        ("/video", {"content": b"no video"}, 422, "not a video"),
        ("/video", {"content": b""}, 422, "no video"),
        ("/video?every=0", {}, 422, "every"),
    ],
)
def test_bad_requests(client: httpx.Client, path: str, sent: dict, status: int, says: str):
    answer = client.post(path, **{"content": CONTENT, **sent})
    assert says in one_line(answer)
    assert answer.status_code == status


def test_nothing_of_this_machine_is_in_an_error(client: httpx.Client):
    said = one_line(client.post("/video", files={"v": ("clip.mp4", b"x" * 50)}))
    assert "clip.mp4" in said
    assert "upload" not in said
    assert "/" not in said


@pytest.mark.parametrize("path", ["/video/..%2f..%2fetc%2fpasswd", "/video/x", "/video/x/mp4", "/video/x/..%2fjob.json"])
def test_no_file_is_read_by_its_name(client: httpx.Client, path: str):
    assert one_line(client.get(path))


def test_limits_of_the_queue_and_of_time(model: Model, tmp_path: Path):
    big = as_file(np.zeros((1200, 1200, 3), np.uint8))
    with served({"fast": model}, tmp_path, limits=Limits(queue=2, max_megapixels=1)) as client:
        assert "megapixels" in one_line(client.post("/predict", content=big))
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: client.post("/predict?flip=true", content=CONTENT), range(32)))
        assert {a.status_code for a in answers} == {200, 503}
        for answer in (a for a in answers if a.status_code == 503):
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert "already waiting" in answer.json()["error"]
        one_line(client.post("/predict/batch", files=[("f", (str(i), CONTENT)) for i in range(3)]))  # never fits
        assert client.post("/predict", content=CONTENT).status_code == 200
        assert client.get("/health").json()["photos_accepted"] == 0
    with served({"fast": model}, tmp_path, limits=Limits(max_seconds=0.02)) as client:
        late = client.post("/predict?flip=true", content=photo(1024))
        assert (late.status_code, late.headers["retry-after"]) == (503, "10")


def test_a_token_is_asked_for(model: Model, tmp_path: Path):
    with served({"fast": model}, tmp_path, token="s3cret-token") as client:
        for given in ({}, {"authorization": "Bearer wrong-token"}, {"authorization": "Basic s3cret-token"}):
            answer = client.post("/predict", content=CONTENT, headers=given)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert client.get("/metrics", headers=given).status_code == 401
        assert client.get("/health").status_code == 200
        assert client.get("/").status_code == 200
        people(client.post("/predict", content=CONTENT, headers={"authorization": "Bearer s3cret-token"}))


def test_photos_of_an_allowed_host(model: Model, tmp_path: Path):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/moved" else 200)
            self.send_header("location", "/a.jpg")
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{host.server_port}"
        with served({"fast": model}, tmp_path, url_hosts=["127.0.0.1"]) as client:
            answer = client.post("/predict", json={"url": f"{where}/a.jpg"})
            assert people(answer).scores.size
            assert answer.json()["image"] == "a.jpg"
            assert "302" in one_line(client.post("/predict", json={"url": f"{where}/moved"}))
        host.shutdown()


def test_what_is_said_of_the_service(client: httpx.Client, model: Model):
    known = client.get("/models").json()
    assert [m["name"] for m in known["models"]] == ["fast", "other"]
    assert known["models"][0]["joints"] == list(model.skeleton.joints)
    assert known["options"]["threshold"] == PredictOptions().threshold
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/predict", "/predict/batch", "/video", "/models", "/health"} <= set(paths)
    assert {p["name"] for p in paths["/predict"]["post"]["parameters"]} >= set(OPTIONS)
    assert "access-control-allow-origin" not in client.post("/predict", content=CONTENT, headers={"accept": "text/csv"}).headers
    assert json.dumps(known)
