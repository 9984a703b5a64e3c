"""The greedy assembly of people from candidate parts (Section "Keypoint Assignment Algorithm").

Parts of all types are processed by falling score. A part joins the groups of its two joints if they have no joint type in common and all
possible parts between the two groups, redundant ones included, agree in sum. If the groups cannot be joined, they exchange joints if that
increases the sum of their parts' scores.
"""

import numpy as np
from jaxtyping import Float, Int

from manypose.methods.simple_pose.body import Body
from manypose.methods.simple_pose.candidates import Links

__all__ = ["Person", "assemble"]

Person = dict[int, int]
"""A group of joints: the candidate of each of its joint types."""


def assemble(
    links: Links,
    joint: Int[np.ndarray, " n"],
    score: Float[np.ndarray, " n"],
    body: Body,
    doubt: float = 0.2,
) -> list[Person]:
    """All groups, including single candidates.

    Args:
        links: candidate parts, with ends among the n candidates.
        joint: type of each candidate.
        score: height of each candidate.
        body: the parts.
        doubt: score at which a part is neutral for joining two groups; a part that is not a candidate counts as -doubt.
    """
    ends: list[list[tuple[int, bool]]] = [[] for _ in body.sources]
    for a, b in body.parts:
        ends[a].append((b, False))
        ends[b].append((a, True))
    evidence = {(a, b): s for a, b, s in zip(links.a.tolist(), links.b.tolist(), (links.score - doubt).tolist(), strict=True)}
    kinds = joint.tolist()
    group = list(range(len(kinds)))
    people: dict[int, Person] = {i: {k: i} for i, k in enumerate(kinds)}
    late: dict[tuple[int, int], None] = {}
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
            late[i, j] = None
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
    done = set()
    for i, j in late:
        pair = (group[i], group[j]) if group[i] < group[j] else (group[j], group[i])
        if pair[0] != pair[1] and pair not in done:
            done.add(pair)
            if _exchange(people[pair[0]], people[pair[1]], evidence, body.parts, doubt):
                done = {p for p in done if p[0] not in pair and p[1] not in pair}
                for a in pair:
                    for x in people[a].values():
                        group[x] = a
    return [person for person in people.values() if person]


def _exchange(
    one: Person, two: Person, evidence: dict[tuple[int, int], float], parts: tuple[tuple[int, int], ...], doubt: float, least: float = 0.1
) -> bool:
    """Exchange the joints of some types between two groups if that increases the score; returns whether it did.

    An exchange changes only the parts with one end among the exchanged types.
    """
    gains: list[tuple[int, int, float]] = []
    useful = False
    for a, b in parts:
        a1, a2, b1, b2 = one.get(a), two.get(a), one.get(b), two.get(b)
        now = then = 0.0
        if b1 is not None:
            now += evidence.get((a1, b1), -doubt) if a1 is not None else 0.0
            then += evidence.get((a2, b1), -doubt) if a2 is not None else 0.0
        if b2 is not None:
            now += evidence.get((a2, b2), -doubt) if a2 is not None else 0.0
            then += evidence.get((a1, b2), -doubt) if a1 is not None else 0.0
        if then != now:
            gains.append((a, b, then - now))
            useful |= then - now > least
    if not useful:
        return False
    best: tuple[float, set[int]] = (least, set())
    for start in {j for a, b, gain in gains if gain > 0 for j in (a, b)}:
        moved, total = {start}, sum(g for a, b, g in gains if (a == start) != (b == start))
        while True:
            # Gain of moving one more joint type: its parts to types that stay, minus its parts to types that moved.
            more: dict[int, float] = {}
            for a, b, g in gains:
                for k, other in ((a, b), (b, a)):
                    if k not in moved:
                        more[k] = more.get(k, 0.0) + (-g if other in moved else g)
            if total > best[0]:
                best = (total, set(moved))
            k = max(more, key=more.__getitem__, default=None)
            if k is None or more[k] <= 0:
                break
            moved.add(k)
            total += more[k]
    for k in best[1]:
        x, y = one.pop(k, None), two.pop(k, None)
        if y is not None:
            one[k] = y
        if x is not None:
            two[k] = x
    return bool(best[1])
