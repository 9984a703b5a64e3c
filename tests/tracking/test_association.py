"""How alike people are, and pairs of the most alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from manypose.poses.oks import oks
from manypose.poses.skeleton import COCO
from manypose.tracking import association
from manypose.tracking.association import pairs, similarity

ALL = np.ones((1, 17), bool)


def people(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (n, 17, 2))


def test_of_whole_people_it_is_oks():
    a, b = people(0, 4), people(0, 4)[:3] + np.random.default_rng(1).normal(0, 3, (3, 17, 2))
    areas = np.array([900.0, 5000.0, 2e4])
    there = np.ones((4, 17), bool)
    found = similarity(a, there, b, there[:3], np.tile(areas, (4, 1)), COCO.sigmas)
    assert np.allclose(found, oks(a, b, there[:3], areas, COCO.sigmas))


def test_missing_joints_cost():
    body = people(0, 1)
    for some in (1, 4, 9, 17):
        part = np.arange(17)[None] < some
        for first, second in ((part, ALL), (ALL, part)):
            found = similarity(body, first, body, second, np.full((1, 1), 1e4), COCO.sigmas)[0, 0]
            assert found == pytest.approx(np.sqrt(some / 17))
    nobody = np.zeros((1, 17), bool)
    assert similarity(body, nobody, body, ALL, np.ones((1, 1)), COCO.sigmas)[0, 0] == 0
    left, right = ALL & (np.arange(17) < 8), ALL & (np.arange(17) >= 8)
    assert similarity(body, left, body, right, np.ones((1, 1)), COCO.sigmas)[0, 0] == 0


@given(st.integers(0, 1000), st.integers(0, 5), st.integers(0, 5))
def test_symmetric_and_within_bounds(seed, m, n):
    rng = np.random.default_rng(seed)
    a, b = people(seed, m), people(seed + 1, n)
    there = rng.random((m, 17)) < 0.7, rng.random((n, 17)) < 0.7
    areas, moved = rng.uniform(0, 4e4, (m, n)), rng.normal(0, 5, (m, 17, 2))
    found = similarity(a, there[0], b, there[1], areas, COCO.sigmas, moved)
    assert found.shape == (m, n)
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()
    back = similarity(b, there[1], a + moved, there[0], areas.T, COCO.sigmas)
    assert np.allclose(found, back.T)


def test_many_people_are_done_in_parts(monkeypatch):
    a, there = people(3, 9), np.random.default_rng(0).random((9, 17)) < 0.8
    areas, moved = np.full((9, 9), 1e4), np.ones((9, 17, 2))
    whole = similarity(a, there, a, there, areas, COCO.sigmas, moved)
    monkeypatch.setattr(association, "CHUNK", 700)
    assert np.array_equal(similarity(a, there, a, there, areas, COCO.sigmas, moved), whole)


TABLES = hnp.arrays(np.float64, st.tuples(st.integers(0, 6), st.integers(0, 6)), elements=st.integers(0, 20).map(lambda v: v / 20))


@given(TABLES, st.sampled_from([0.05, 0.3, 0.8]))
def test_pairs_are_pairs(table, least):
    for how in ("hungarian", "greedy"):
        found = pairs(table, least, how)
        assert len(set(found[:, 0].tolist())) == len(set(found[:, 1].tolist())) == len(found)
        assert (table[found[:, 0], found[:, 1]] >= least).all()
        # Nobody is left who could have had a partner that is left too.
        rows, columns = (np.setdiff1d(np.arange(n), found[:, i]) for i, n in enumerate(table.shape))
        assert (table[np.ix_(rows, columns)] < least).all()


@given(TABLES)
def test_hungarian_has_the_largest_sum_and_greedy_the_best_pair(table):
    sums = {how: table[tuple(pairs(table, 0.05, how).T)].sum() for how in ("hungarian", "greedy")}
    assert sums["hungarian"] >= sums["greedy"] - 1e-12
    chosen = pairs(table, 0.05, "greedy")
    if len(chosen):
        assert table[tuple(chosen[0])] == table.max()
