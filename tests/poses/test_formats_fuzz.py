"""Readers of formats raise `ValueError` for anything that is no such file, and nothing else."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoiled import spoil

from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.poses import formats
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton

TRIO = Skeleton.build("trio", ["a", "left_b", "right_b"], [(0, 1)], [0.1] * 3)
XY = np.random.default_rng(0).uniform(0, 9, (2, 3, 2)).astype(np.float32)
PEOPLE = Poses(TRIO, XY, np.ones((2, 3), np.float32), np.ones(2, np.float32), ids=np.array([1, 2]))
ANNOTATIONS = formats.coco_annotations([("a.jpg", (10, 10), PEOPLE), ("b.jpg", (10, 10), PEOPLE)], TRIO)
RESULTS = PEOPLE.to_coco(1)
CONTENTS = {
    "annotations": (ANNOTATIONS, formats.from_coco_annotations),
    "results": (RESULTS, lambda given: formats.from_coco(given, TRIO)),
    "openpose": (formats.to_openpose(PEOPLE), formats.from_openpose),
    "json lines": (json.loads(PEOPLE.to_json("a.jpg")), lambda given: list(formats.from_jsonl([json.dumps(given)]))),
    "truth": (ANNOTATIONS, read_truth),
    "results of a truth": (RESULTS, lambda given: read_results(given, read_truth(ANNOTATIONS))),
}


@pytest.mark.parametrize("name", CONTENTS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("untyped")
def test_readers_raise_only_their_documented_error(name: str, data: st.DataObject) -> None:
    content, read = CONTENTS[name]
    check(read, spoil(data, content))


def check(read: Callable[[Any], Any], content: Any) -> None:
    try:
        read(content)
    except ValueError as e:
        assert str(e)  # noqa: PT017 - any or no error is right, but not another one
        assert "\n" not in str(e)  # noqa: PT017


@pytest.mark.parametrize("name", CONTENTS)
def test_the_contents_are_read_unspoiled(name: str) -> None:
    content, read = CONTENTS[name]
    assert len(read(content).ids if name == "truth" else read(content)) > 0


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("content", [None, 1, 0.5, [], {}, [[]], [1], {"images": 1}], ids=str)
@pytest.mark.usefixtures("untyped")
def test_other_things_altogether(name: str, content: Any) -> None:
    check(CONTENTS[name][1], content)


IMAGE_NAMES = ["=1+1.jpg", "+a", "-b", "@c", "'=d", "''=e", "'plain", "plain", "\tx"]


@pytest.mark.parametrize("image", IMAGE_NAMES)
def test_names_are_no_formulas_in_a_spreadsheet(image: str) -> None:
    text = formats.to_csv([(image, PEOPLE)])
    assert not text.splitlines()[1].strip('"').startswith(("=", "+", "-", "@", "\t"))
    assert list(formats.from_csv(text.splitlines(), TRIO)) == [image]
