"""The page in a real browser."""

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from serve.errors import view
from serve.running import clip, photo, served

from manypose.inference.model import Model

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it comes with the extra 'dev'")
pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
expect = sync_api.expect
DROP = """async ([content, n]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0)), files = new DataTransfer();
  for (let i = 0; i < n; i++) files.items.add(new File([bytes], `${i}.jpg`, { type: "image/jpeg" }));
  return files;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_api.sync_playwright() as p:
        if CHROMIUM is None and not Path(p.chromium.executable_path).exists():
            pytest.skip("no browser: playwright install chromium, or apt-get install chromium")
        flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = p.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


def opened(browser, address: str, **about):
    """The page, which must say nothing on the console and ask no other host."""
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 800}, **about})
    page.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    page.wrong = []
    page.on("console", lambda m: page.wrong.append(m.text) if m.type == "error" and "status of 4" not in m.text else None)
    page.on("pageerror", lambda e: page.wrong.append(str(e)))
    page.on("request", lambda r: page.wrong.append(r.url) if not r.url.startswith((address, "blob:", "data:")) else None)
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    return page


@pytest.fixture
def page(browser, client: httpx.Client) -> Iterator:
    page = opened(browser, str(client.base_url))
    yield page
    assert not page.wrong
    page.close()


def upload(page, *files: tuple[str, bytes], kind: str = "image/jpeg") -> None:
    page.set_input_files("#files", [{"name": name, "mimeType": kind, "buffer": content} for name, content in files])


def state(page, says: str) -> None:
    expect(page.locator("#state")).to_have_text(re.compile(says), timeout=300_000)


def saved(page, button: str) -> bytes:
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes()


def test_a_photo_is_drawn_as_by_the_package(page, model: Model):
    content = photo(kind="PNG")  # browsers decode JPEGs a little differently
    upload(page, ("a.png", content))
    state(page, "^1 photo, 1 person$")
    poses = model.predict(content)
    page.uncheck("#ids")
    plain = np.asarray(Image.open(io.BytesIO(content)), int)
    here = np.asarray(Image.open(io.BytesIO(saved(page, "#get-picture"))).convert("RGB"), int)
    there = poses.draw(photo=content).astype(int)
    assert here.shape == there.shape
    mine, theirs = (np.abs(picture - plain).max(2) > 40 for picture in (here, there))
    assert (mine & theirs).sum() > 0.9 * mine.sum()
    assert mine.sum() > 0.6 * theirs.sum()  # OpenCV's strokes are a pixel wider
    (answer,) = json.loads(saved(page, "#get-json"))
    np.testing.assert_allclose(answer["people"][0]["score"], poses.scores[0], rtol=1e-3)
    rows = saved(page, "#get-csv").decode().splitlines()
    assert rows[0].startswith("image,person,joint,x,y,score,id")
    assert len(rows) == 1 + int((poses.keypoint_scores[0] > 0).sum())


def test_names_and_scores_under_the_pointer_and_the_threshold(page, model: Model):
    content = photo()
    poses = model.predict(content)
    upload(page, ("a.jpg", content))
    state(page, "1 person")
    box = page.locator("#stage canvas").bounding_box()
    x, y = poses.keypoints[0, 0] / 256
    page.mouse.move(float(box["x"] + x * box["width"]), float(box["y"] + y * box["height"]))
    expect(page.locator("#tip")).to_have_text(re.compile(rf"^nose {poses.keypoint_scores[0, 0]:.2f} · person 1, score"))
    page.fill("#threshold", "1")
    state(page, "0 people")
    expect(page.locator("#people li")).to_have_count(0)


def test_twenty_photos_are_dropped_and_gone_through_by_keyboard(page):
    files = page.evaluate_handle(DROP, [base64.b64encode(photo()).decode(), 20])
    page.dispatch_event("#drop", "drop", {"dataTransfer": files})
    state(page, "^20 photos, 20 people$")
    assert page.locator("#strip button").count() == 20
    page.check("#boxes")  # a checkbox has the focus, and the arrow keys still change the photo
    page.keyboard.press("ArrowRight")
    expect(page.locator("#strip button").nth(1)).to_have_attribute("aria-current", "true")
    page.keyboard.press("ArrowDown")
    state(page, r"^person 1, nose \d\.\d\d$")
    page.select_option("#compare", "other")
    expect(page.locator("#stage figure")).to_have_count(2)
    expect(page.locator("#stage figcaption").nth(1)).to_contain_text("other · 1 person")


def test_a_bad_file_is_an_error_beside_the_good_ones(page):
    page.select_option("#compare", "other")
    upload(page, ("bad.jpg", b"no photo"), ("good.jpg", photo()))
    expect(page.locator("#errors p")).to_have_text([re.compile("^bad.jpg: not a photo")])  # once, though two models were asked
    expect(page.locator("#stage canvas").first).to_be_hidden()
    state(page, "^2 photos, 1 person$")
    page.click("#errors-close")
    expect(page.locator("#errors")).to_be_hidden()


def test_a_video_and_a_camera(page, tmp_path: Path):
    upload(page, ("walk.mp4", clip(tmp_path / "walk.mp4", frames=6).read_bytes()), kind="video/mp4")
    expect(page.locator("#drop")).not_to_have_class("empty")
    expect(page.locator("#video-results button")).to_have_count(4)
    expect(page.locator("#video-note")).to_contain_text("walk.mp4: 6 frames")
    lines = [json.loads(line) for line in saved(page, "#video-results button:text('JSONL')").splitlines()]
    assert [line["frame"] for line in lines] == list(range(6))
    page.click("#tab-camera")
    page.click("#camera-start")
    state(page, "pictures a second")
    page.click("#camera-stop")


def test_a_phone_in_the_dark(browser, client: httpx.Client):
    phone = opened(
        browser, str(client.base_url), viewport={"width": 390, "height": 844}, color_scheme="dark", is_mobile=True, has_touch=True
    )
    upload(phone, ("a.jpg", photo()))
    state(phone, "1 person")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    ground = phone.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground)[:3])) < 60
    assert phone.locator("#view-photos").bounding_box()["y"] < phone.locator("#model-card").bounding_box()["y"]
    assert not phone.wrong
    phone.close()


def test_the_error_report_and_its_filters(browser, tmp_path: Path):
    with served({}, tmp_path, analysis=view(tmp_path)) as client:
        page = opened(browser, str(client.base_url))
        rows = page.locator("#photos-list button")
        expect(rows).to_have_count(3)
        expect(page.locator("#photo-about")).to_contain_text("1 person, 1 missed, 1 false positive;")
        page.select_option("#by-kind", "inversion")
        expect(rows).to_have_text([re.compile("^a.png")])
        page.select_option("#by-joint", label="nose")
        expect(rows).to_have_count(0)
        page.select_option("#by-joint", "")
        page.select_option("#by-kind", "missed person")
        expect(rows).to_have_text([re.compile("^b.png")])
        page.select_option("#by-kind", "")
        page.select_option("#by-crowd", label="no overlap")
        expect(rows).to_have_count(3)
        assert not page.wrong
        page.close()


def test_the_page_asks_for_the_token(browser, model: Model, tmp_path: Path):
    with served({"fast": model}, tmp_path, token="s3cret-token") as client:
        page = browser.new_page()
        page.goto(str(client.base_url))
        page.fill("#token", "s3cret-token")
        page.keyboard.press("Enter")
        page.wait_for_selector("body[data-ready]")
        upload(page, ("a.jpg", photo()))
        state(page, "1 person")
        page.close()
