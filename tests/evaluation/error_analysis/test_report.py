"""The report: everything from a file is escaped, every number is there."""

from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from fake_coco import fake_coco

from manypose.evaluation.error_analysis import charts
from manypose.evaluation.error_analysis.analysis import Analysis, analyse
from manypose.evaluation.error_analysis.report import COLOURS, html, table
from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.io.printable import printable
from manypose.poses.skeleton import COCO, Skeleton

EVIL = '<script>alert(1)</script>$x^2$&\x1b[31m"'


def analysis_of(skeleton: Skeleton | None = None) -> Analysis:
    content, found = fake_coco(1, images=20)
    if skeleton is not None:
        content["categories"] = [{"id": 1, "name": EVIL, "keypoints": list(skeleton.joints)}]
    truth = read_truth(content, skeleton)
    return analyse(truth, read_results(found, truth))


class Text(HTMLParser):
    """Tags, and the text outside of style elements."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.slow
def test_names_from_files_are_escaped() -> None:
    joints = (EVIL, *COCO.joints[1:])
    skeleton = Skeleton(EVIL, joints, COCO.limbs, COCO.mirror, COCO.sigmas)
    analysis = analysis_of(skeleton)
    page = html(analysis, {EVIL: 0.5, "AP": float("nan")}, EVIL, [EVIL], [(EVIL, b"jpeg")])
    plain = html(analysis, {"a": 0.5, "AP": float("nan")}, "p", ["n"], [("c", b"jpeg")])
    read, other = Text(), Text()
    read.feed(page)
    other.feed(plain)
    assert read.tags == other.tags
    assert "script" not in read.tags
    assert read.text.count("<script>alert(1)</script>$x^2$&") >= 6  # figure, protocol, note, caption, chart, table
    assert "\x1b" not in page
    assert "\x1b" not in table(analysis)


@pytest.mark.slow
def test_figures_and_sentences_are_there() -> None:
    analysis = analysis_of()
    read = Text()
    read.feed(html(analysis, {"AP": 0.1234, "APl": float("nan")}, "the protocol"))
    for said in ("0.123", "–", "the protocol", f"{analysis.missed} are missed", "left ankle", f"{analysis.costs[3].alone.mean():.3f}"):
        assert said in read.text, said
    assert read.tags.count("svg") == 5 + len(analysis.groups)


@pytest.mark.slow
def test_the_report_is_the_same_each_time() -> None:
    assert html(analysis_of(), {"AP": 0.5}, "p") == html(analysis_of(), {"AP": 0.5}, "p")


def lengths(svg: str, colour: str) -> list[float]:
    """Widths of the bars of a colour."""
    out = []
    for path in ElementTree.fromstring(svg.replace("xlink:href", "href")).iter("{http://www.w3.org/2000/svg}path"):
        if f"fill: {colour}" in path.get("style", ""):
            x = [float(v.split()[0]) for v in path.get("d", "").replace("M", "L").split("L")[1:]]
            out.append(max(x) - min(x))
    return out


def test_bars_are_as_long_as_their_values() -> None:
    drawn = charts.bars(["a", "b", "c"], [1.0, 2.0, float("nan")], ["1", "2", "-"], ["#112233", "#445566", "#778899"])
    one, two, none = (lengths(drawn, c)[0] for c in ("#112233", "#445566", "#778899"))
    assert two == pytest.approx(2 * one, rel=1e-3)
    assert none == 0
    shares = charts.stacked(["a"], [[1, 1, 2, 0, 4]], ["8 joints"], COLOURS)
    widths = [lengths(shares, c)[0] for c in COLOURS.values()]
    np.testing.assert_allclose(np.array(widths) / sum(widths), [1 / 8, 1 / 8, 1 / 4, 0, 1 / 2], atol=1e-3)


@pytest.mark.parametrize("text", ["a\nb", "\x1b]0;title\x07", "\u202egpj.exe", "\ud800"])
def test_control_characters_are_shown_as_such(text: str) -> None:
    assert printable(text).isprintable()
    assert printable("Grün 写真.jpg") == "Grün 写真.jpg"
