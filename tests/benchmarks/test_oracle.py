"""The oracle benchmark: what it renders, that it counts right, and SWAHR's figures on the first images."""

import json

import numpy as np
import oracle
import pytest
from shared import shared

from manypose.data.datasets.coco import annotated_people

ARCHIVE = ("data", "coco_keypoints", "person_keypoints_val2017_rebuilt.npz")


@pytest.fixture(scope="module")
def swahr():
    return oracle.METHODS["swahr"]


def one_person(x: float, y: float) -> np.ndarray:
    keypoints = np.zeros((1, 17, 3))
    keypoints[0, 0] = x, y, 2
    return keypoints


def test_frames_are_the_published_ones(swahr):
    """Short side 512, long side up to a multiple of 64, the photo in the middle."""
    warp = swahr.view((480, 640))
    assert warp.size == (512, 704)
    assert np.allclose(warp.points(np.array([[320.0, 240.0]])), [[352, 256]])
    assert swahr.view((640, 480)).size == (704, 512)
    assert swahr.view((500, 500)).size == (512, 512)


def test_maps_are_painted_at_whole_cells(swahr):
    maps, warp = swahr.maps(one_person(320.0, 240.0), (480, 640), 1)
    x, y = warp.points(np.array([320.0, 240.0]))
    heat, tag = maps["heat"][0, 0].numpy(), maps["tag"][0, 0].numpy()
    assert np.unravel_index(heat.argmax(), heat.shape) == (int(y / 2), int(x / 2))
    assert tag[int(y / 2), int(x / 2)] == pytest.approx(2.0)
    assert (tag > 1).sum() == 14 * 14  # 7 cells of the 1/4 map, enlarged twice
    assert not maps["heat"][0, 1:].any()
    assert not swahr.maps(one_person(-30.0, 10.0), (480, 640), 1)[0]["heat"].any()


def test_degradation_is_drawn_from_the_image_number(swahr):
    person = one_person(320.0, 240.0)
    a, b, c = (swahr.maps(person, (480, 640), i, True)[0] for i in (7, 7, 8))
    assert np.array_equal(a["heat"], b["heat"])
    assert not np.array_equal(a["heat"], c["heat"])
    draw = np.random.Generator(np.random.PCG64(7))
    gain, kept = draw.uniform(0.3, 1, (1, 17)), draw.uniform(size=(1, 17)) >= 0.1
    assert float(a["heat"][0, 0].max()) == pytest.approx(gain[0, 0] if kept[0, 0] else 0, abs=0.1)


def test_no_data_is_one_clear_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        oracle.main(["--method", "swahr", "--data", str(tmp_path / "none.npz")])
    assert stopped.value.code == 2
    assert "none.npz: no such annotation archive" in capsys.readouterr().err


@pytest.mark.parametrize(("degraded", "published", "least"), [(False, False, 0.97), (True, False, 0.9), (False, True, 0.96)])
def test_first_images(tmp_path, degraded, published, least):
    out = tmp_path / "out.json"
    flags = ["--degraded"] * degraded + ["--published"] * published
    images = 5 if published else 20
    oracle.main(["--method", "swahr", "--images", str(images), "--data", str(shared(*ARCHIVE)), "--json", str(out), *flags])
    written = json.loads(out.read_text())
    assert written["AP"] >= least
    people = [len(image.keypoints) for image in sorted(annotated_people(shared(*ARCHIVE)), key=lambda image: image.image_id)[:images]]
    assert written["persons_annotated"] == sum(people)
    assert abs(written["persons_out"] - sum(people)) <= 3
    assert 0 < written["p50_ms"] <= written["p95_ms"]
    assert f"{'degraded' if degraded else 'perfect'} maps, one scale" in written["protocol"]


def test_figures_are_those_of_the_coco_api(capsys):
    """The benchmark's own bookkeeping, counted by pycocotools."""
    from pycocotools.coco import COCO as Annotated
    from pycocotools.cocoeval import COCOeval

    done = oracle.run("swahr", shared(*ARCHIVE), 12, True, False)
    figures, _, _ = oracle.evaluate(done)
    truth = Annotated()
    truth.dataset = {"images": done.images, "annotations": done.annotations, "categories": [{"id": 1, "name": "person"}]}
    truth.createIndex()
    counted = COCOeval(truth, truth.loadRes(done.results), "keypoints")
    counted.evaluate()
    counted.accumulate()
    counted.summarize()
    capsys.readouterr()
    assert np.allclose(list(figures.values()), counted.stats, atol=1e-9)
