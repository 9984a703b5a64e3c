"""The greedy assembly of people from candidate parts (Section "Keypoint Assignment Algorithm").

Parts are taken by falling score, whatever their kind, so that a part of a higher score always has its joints before one of a lower score
that would share them. A part joins the groups of its two joints where they have no joint type in common and where all parts that
the two groups could have between them, redundant ones too, agree on the whole.
"""

import numpy as np
from jaxtyping import Float, Int

from manypose.methods.simple_pose.body import Body
from manypose.methods.simple_pose.candidates import Links

__all__ = ["Person", "assemble"]

Person = dict[int, int]
"""A group of joints: the candidate of each joint type that it has."""


def assemble(
    links: Links,
    joint: Int[np.ndarray, " n"],
    score: Float[np.ndarray, " n"],
    body: Body,
    doubt: float = 0.2,
) -> list[Person]:
    """All groups, single candidates too.

    Args:
        links: candidate parts, ends counted within the n candidates.
        joint: type of each candidate.
        score: height of each candidate.
        body: which parts there are.
        doubt: what a part must score to speak for joining two groups; one that is not a candidate speaks against it by so much.
    """
    ends: list[list[tuple[int, bool]]] = [[] for _ in body.sources]
    for a, b in body.parts:
        ends[a].append((b, False))
        ends[b].append((a, True))
    evidence = {(a, b): s for a, b, s in zip(links.a.tolist(), links.b.tolist(), (links.score - doubt).tolist(), strict=True)}
    kinds = joint.tolist()
    group = list(range(len(kinds)))
    people: dict[int, Person] = {i: {k: i} for i, k in enumerate(kinds)}
    weighted = 0.5 * links.score + 0.25 * (score[links.a] + score[links.b])
    order = np.argsort(-weighted, kind="stable")
    for i, j in zip(links.a[order].tolist(), links.b[order].tolist(), strict=True):
        a, b = group[i], group[j]
        if a == b:
            continue
        if len(people[a]) < len(people[b]):
            a, b = b, a
        large, small = people[a], people[b]
        if not large.keys().isdisjoint(small):
            continue
        total = 0.0
        for k, x in small.items():
            for other, back in ends[k]:
                y = large.get(other)
                if y is not None:
                    total += evidence.get((y, x) if back else (x, y), -doubt)
        if total > 0:
            large.update(small)
            del people[b]
            for x in small.values():
                group[x] = a
    return list(people.values())
