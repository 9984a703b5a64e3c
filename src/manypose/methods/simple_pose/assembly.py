"""The greedy assembly of people from candidate parts (Section "Keypoint Assignment Algorithm").

Parts are taken by falling score, whatever their kind, so that a part of a higher score always has its joints before one of a lower score
that would share them. A part joins the groups of its two joints where they have no joint type in common and where all parts that the two
groups could have between them, redundant ones too, agree on the whole. A part that comes too late, because its joints are in two groups
already, has those groups exchange joints where that makes the parts of both stronger.
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
    """Exchange the joints of some types between two groups where that gains evidence; whether it did.

    Whatever types change sides, exactly those parts change that have one end among them, and each of these changes by the same amount.
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
            # What moving one more joint type gains: its parts to those that stay, less its parts to those that moved.
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
