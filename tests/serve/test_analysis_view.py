"""The error analysis as the page gets it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serve.errors import view
from serve.running import served

from manypose.cli.__main__ import main
from manypose.evaluation.error_analysis.errors import KINDS
from manypose.poses.skeleton import COCO
from manypose.serve.limits import Refused


def test_the_summary_counts_as_the_analysis_does(tmp_path: Path):
    shown = view(tmp_path)
    summary, report = shown.summary(), shown.analysis.to_json()
    people = [p for photo in summary["photos"] for p in photo["people"]]
    assert len(people) == report["people"]
    assert sum(kinds is None for _, _, kinds in people) == report["missed"] == 1
    assert sum(photo["surplus"] for photo in summary["photos"]) == 1
    counts = np.array([np.bincount(np.array(kinds) + 1, minlength=6)[1:] for _, _, kinds in people if kinds is not None]).sum(0)
    assert dict(zip(KINDS, (counts / counts.sum()).round(4), strict=True)) == report["shares"]
    assert summary["figures"] == {"AP": 0.5, "APm": None}
    assert [photo["name"] for photo in summary["photos"]] == ["a.png", "b.png", "c.png"]


def test_a_photos_people_and_results(tmp_path: Path):
    shown = view(tmp_path)
    a, b = shown.photo_people(1), shown.photo_people(2)
    assert a["results"][0]["person"] == a["people"][0]["id"] == 10
    wrong = {COCO.joints[j] for j, k in enumerate(a["results"][0]["kinds"]) if KINDS[k] == "inversion"}
    assert wrong == {"left_wrist", "right_wrist"}
    assert 0.5 < a["results"][0]["oks"] < 1
    assert [r["person"] for r in b["results"]] == [None]
    assert Image.open(io.BytesIO(shown.jpeg(1))).size == (200, 160)
    with pytest.raises(Refused, match="does not exist"):
        shown.jpeg(3)
    with pytest.raises(Refused, match="no photo 4"):
        shown.photo_people(4)


def test_by_http(tmp_path: Path):
    with served({}, tmp_path, analysis=view(tmp_path)) as client:
        assert client.get("/models").json()["analysis"] is True
        assert len(client.get("/analysis").json()["photos"]) == 3
        assert client.get("/analysis/2").json()["id"] == 2
        assert client.get("/analysis/2/photo").headers["content-type"] == "image/jpeg"
        for path in ("/analysis/7", "/analysis/x", "/analysis/..%2f..%2fetc", "/analysis/3/photo"):
            answer = client.get(path)
            assert answer.status_code in (404, 422)
            assert list(answer.json()) == ["error"]
        assert client.post("/predict", content=b"x").status_code == 404


def test_serve_belongs_to_analyze(capsys: pytest.CaptureFixture):
    assert main(["evaluate", "--results", "r.json", "--annotations", "a.json", "--serve"]) == 2
    assert "--analyze" in capsys.readouterr().err
