"""Grouping against the authors': the published way gives their people and scores; ours gives people at least as near the true ones."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from shared import parity, parity_module

from manypose.nn.associative_embedding.decode import decode, published_grouping
from manypose.poses.oks import oks
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, CROWDPOSE, Skeleton
from manypose.poses.warp import cell_to_pixel

FAMILY, MODES = "hrnet_mspn", {"e": "easy", "c": "clean", "h": "hard"}


@pytest.fixture(scope="module")
def stored():
    with np.load(parity(FAMILY, "decoder_reference.npz")) as z:
        return dict(z)


@dataclass
class Case:
    """What was found on the maps of one case; the maps themselves are large and not kept."""

    key: str
    authors: Poses
    ours: Poses
    truth: np.ndarray


@cache
def found(letter: str) -> list[Case]:
    """The cases of a family that the file holds; half of them are kept elsewhere."""
    with np.load(parity(FAMILY, "decoder_reference.npz")) as stored:
        numbers = sorted(int(key[1:3]) for key in stored if key[0] == letter and key[1:3].isdigit() and key.endswith("_det_digest"))
        assert numbers, f"{MODES[letter]}: decoder_reference.npz holds no case"
        cases, digest, out = parity_module(FAMILY, "cases"), parity_module(FAMILY, "fill").array_digest, []
        for i in numbers:
            key = f"{letter}{i:02d}"
            heat, tag, truth = cases.decoder_case(i, mode=MODES[letter], truth=True)
            assert digest(heat.numpy()) == str(stored[f"{key}_det_digest"]), "these are not the maps that the authors' program had"
            assert digest(tag.numpy()) == str(stored[f"{key}_tag_digest"])
            authors = published(heat, tag, float(stored[f"{key}_threshold"]))
            out.append(Case(key, authors, decode(heat, tag, COCO, tuple(heat.shape[2:]))[0], truth))
    return out


def published(heat: torch.Tensor, tag: torch.Tensor, threshold: float = 0.1, skeleton=COCO) -> Poses:
    return published_grouping(heat, tag, skeleton, tuple(heat.shape[2:]), threshold=threshold)[0]


def same(found: Poses, people: np.ndarray, scores: np.ndarray) -> None:
    assert found.keypoints.shape == people[..., :2].shape
    assert np.abs(found.keypoints - people[..., :2]).max() < 1e-4
    assert np.abs(found.keypoint_scores - people[..., 2]).max() < 1e-6
    assert np.abs(found.scores - scores).max() < 1e-6


def test_easy_cases_are_the_authors(stored):
    for case in found("e"):
        same(case.authors, stored[f"{case.key}_refined"], stored[f"{case.key}_scores"])


def test_our_own_way_agrees_on_easy_cases(stored):
    """The same people with the same scores; their joints at the sub-pixel place instead of a quarter of a pixel beside the cell."""
    for case in found("e"):
        theirs, seen = stored[f"{case.key}_refined"], stored[f"{case.key}_matched"][..., 2] > 0
        assert len(case.ours) == len(theirs)
        distance = np.linalg.norm(case.ours.keypoints[:, None] - (theirs[None, ..., :2] - 0.5), axis=-1)
        order = (distance * seen).sum(2).argmin(0)
        assert sorted(order) == list(range(len(case.ours)))
        assert np.abs(case.ours.scores[order] - stored[f"{case.key}_scores"]).max() < 1e-6
        assert distance[order, np.arange(len(order))][seen].max() < 1.0


@pytest.mark.parametrize("letter", ["c", "h"])
def test_with_scipys_solver_ties_too_are_the_authors(stored, letter):
    """Where many assignments cost the same, the authors' solver decides; their program with ours was recorded as well."""
    for case in found(letter):
        key = f"{case.key}_lsa" if f"{case.key}_lsa_refined" in stored else case.key
        same(case.authors, stored[f"{key}_refined"], stored[f"{key}_scores"])


def similarity(keypoints: np.ndarray, truth: np.ndarray, skeleton: Skeleton = COCO) -> tuple[np.ndarray, int]:
    """OKS of each true person with the one found for it (best one-to-one assignment; 0 where nobody is left), and how many people found are
    nobody's (OKS 0.5 or less)."""
    labelled = truth[..., 2] > 0
    truth, labelled = truth[labelled.any(1)], labelled[labelled.any(1)]
    low = np.where(labelled[..., None], truth[..., :2], np.inf).min(1)
    high = np.where(labelled[..., None], truth[..., :2], -np.inf).max(1)
    alike = oks(keypoints, truth[..., :2], labelled, 0.53 * (high - low + 1).prod(1), skeleton.sigmas)
    rows, columns = linear_sum_assignment(alike, maximize=True)
    out = np.zeros(len(truth))
    out[columns] = alike[rows, columns]
    return out, len(keypoints) - int((alike[rows, columns] > 0.5).sum())


@pytest.mark.parametrize("letter", ["c", "h"])
def test_people_are_nearer_the_true_ones_than_the_authors(stored, letter, capsys):
    ours, theirs = [], []
    for case in found(letter):
        ours.append(similarity(case.ours.keypoints, case.truth))
        # Their pixels begin at 0, the true people's have their centre there: half a pixel is taken off, in their favour.
        theirs.append(similarity(stored[f"{case.key}_refined"][..., :2] - 0.5, case.truth))
        assert ours[-1][0].mean() >= theirs[-1][0].mean() - 0.02, case.key
    mean, their_mean = (np.mean(np.concatenate([similar for similar, _ in each])) for each in (ours, theirs))
    false, their_false = (sum(n for _, n in each) for each in (ours, theirs))
    with capsys.disabled():
        print(f"\n{MODES[letter]}: mean OKS {mean:.4f}, authors' {their_mean:.4f}; false people {false}, authors' {their_false}", end=" ")
    assert mean >= their_mean
    assert false <= their_false


def test_fourteen_joints(stored):
    keys = sorted(key for key in stored if key.startswith("crowdpose") and key.endswith("_refined"))
    if not keys:
        pytest.skip("decoder_reference.npz holds no case of CrowdPose")
    alike = {"authors": [], "published": [], "ours": []}
    for key in keys:
        letter, i = key.split("_")[1][0], int(key.split("_")[1][1:])
        heat, tag, truth = parity_module(FAMILY, "cases").decoder_case(i, mode=MODES[letter], joints=14, truth=True)
        people = {
            "authors": stored[key][..., :2] - 0.5,
            "published": published(heat, tag, skeleton=CROWDPOSE).keypoints - 0.5,
            "ours": decode(heat, tag, CROWDPOSE, tuple(heat.shape[2:]))[0].keypoints,
        }
        for name, keypoints in people.items():
            alike[name].extend(similarity(keypoints, truth, CROWDPOSE)[0])
    # Few people (10 and 9), so one joint more or less is 0.005.
    assert np.mean(alike["ours"]) >= np.mean(alike["authors"]) - 0.005, alike
    assert np.mean(alike["published"]) >= np.mean(alike["authors"]) - 0.02, alike  # their solver chooses among equal costs


def test_one_tag_for_all_is_one_person():
    """With all tags alike the authors' program finds one person (recorded as ``zero_tag``): people are told apart by their first tag."""
    heat, tag = parity_module(FAMILY, "cases").decoder_case(0, mode="clean")
    assert len(published(heat, torch.zeros_like(tag))) == 1


def test_published_pixels():
    """A peak in cell 10 of a map of stride 1 lies at 10.75 or 10.25: a quarter towards the higher neighbour, then half a pixel on."""
    heat, tag = torch.zeros(1, 17, 32, 32), torch.zeros(1, 17, 32, 32, 1)
    heat[0, :, 10, 10], heat[0, :, 10, 11] = 0.9, 0.5
    assert np.allclose(published(heat, tag).keypoints[0], [10.75, 10.25])
    ours = decode(heat, tag, COCO, (64, 64), refinement="quarter")[0]
    assert np.allclose(ours.keypoints[0], cell_to_pixel(np.array([10.25, 9.75]), 2))
