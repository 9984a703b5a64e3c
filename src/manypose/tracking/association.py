"""Similarity (OKS) of the people of two frames, and one-to-one matching."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from lap import lapjv

from manypose.poses.oks import keypoint_similarity

__all__ = ["pairs", "similarity"]

CHUNK = 2_000_000
"""Joint distances computed at once, which bounds the memory."""


def similarity(
    known: Float[np.ndarray, "m k 2"],
    known_found: Bool[np.ndarray, "m k"],
    seen: Float[np.ndarray, "n k 2"],
    seen_found: Bool[np.ndarray, "n k"],
    areas: Float[np.ndarray, "m n"],
    sigmas: Sequence[float],
    moved: Float[np.ndarray, "m k 2"] | float = 0.0,
) -> Float[np.ndarray, "m n"]:
    """OKS (0 … 1) between people with missing joints.

    The sum of COCO's ``exp(-d² / (2 area (2 sigma)²))`` over the joints that both have, divided by the geometric mean of their numbers of
    joints: two complete people reach 1, a complete person and half a person at most 0.7.

    Args:
        known: people of the earlier frame.
        known_found: which joints they have.
        seen: people of the later frame.
        seen_found: which joints those have.
        areas: of each pair, in square pixels.
        sigmas: OKS constants.
        moved: predicted motion of the known joints (separate from `known`, so that rounding does not depend on the position).
    """
    m, n, k = len(known), len(seen), len(sigmas)
    out = np.empty((m, n))
    step = max(1, CHUNK // max(1, 2 * n * k))
    for i in range(0, m, step):
        rows = slice(i, i + step)
        away = seen[None] - known[rows, None]
        away -= moved[rows, None] if isinstance(moved, np.ndarray) else moved
        near = keypoint_similarity(np.einsum("mnkc,mnkc->mnk", away, away), np.maximum(areas[rows], 1.0), sigmas)
        out[rows] = np.einsum("mnk,mk,nk->mn", near, known_found[rows].astype(np.float64), seen_found.astype(np.float64))
    counts = np.sqrt(np.outer(known_found.sum(1), seen_found.sum(1)))
    return out / np.maximum(counts, 1)


def pairs(alike: Float[np.ndarray, "m n"], min_similarity: float, how: Literal["hungarian", "greedy"]) -> Int[np.ndarray, "p 2"]:
    """Rows and columns of one-to-one pairs with a similarity of at least `min_similarity`.

    Args:
        alike: similarities.
        min_similarity: smallest similarity of a pair.
        how: largest total similarity, or most similar pair first (ties by row, then column).
    """
    possible = alike >= min_similarity
    if not possible.any():
        return np.zeros((0, 2), np.int64)
    if how == "hungarian":
        # Pairs below the threshold do not count.
        columns = lapjv(1 - np.where(possible, alike, 0.0), extend_cost=True)[1]
        rows = np.flatnonzero(columns >= 0)
        good = possible[rows, columns[rows]]
        return np.stack([rows, columns[rows]], 1)[good].astype(np.int64)
    rows, columns = np.nonzero(possible)
    order = np.argsort(-alike[rows, columns], kind="stable")
    taken, chosen = (set(), set()), []
    for r, c in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if r not in taken[0] and c not in taken[1]:
            taken[0].add(r)
            taken[1].add(c)
            chosen.append((r, c))
    return np.array(chosen, np.int64)
