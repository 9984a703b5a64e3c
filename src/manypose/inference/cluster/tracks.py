"""Track ids of a whole video from those of its chunks, which were tracked separately.

A chunk overlaps the one before it by some frames. In these frames both have found the same people under their own ids; the pairs of ids
that agree most often are the same track. An id without a partner is a new track, and new ids count up, as in a video that is tracked
without chunks.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from manypose.inference.cluster.job import Block, Job
from manypose.inference.cluster.rows import Row, read_rows, to_shard
from manypose.poses.oks import oks
from manypose.poses.poses import Poses
from manypose.tracking.association import pairs

__all__ = ["join_videos", "joined"]

SAME = 0.5
"""Smallest OKS of the same person in two chunks."""


def join_videos(job: Job) -> None:
    """Write the shards of tracked videos from their chunks; existing shards are kept."""
    if not job.settings.get("recipe", {}).get("tracking"):
        return
    finished = job.finished()
    tracked = ((n, block) for n, block in enumerate(job.blocks()) if block.get("track"))
    for _, video in groupby(tracked, key=lambda pair: pair[1]["uri"]):
        some = list(video)
        if all(n in finished for n, _ in some):
            continue
        pieces = ((block, list(read_rows(job.folder.read(job.shard(n, "chunks")), job.suffix))) for n, block in some)
        for (n, _), rows in zip(some, joined(pieces), strict=True):
            skeleton = next((r.people.skeleton for r in rows if r.people is not None), None)
            piece = job.folder.read(job.shard(n, "chunks")) if skeleton is None else to_shard(rows, skeleton, job.suffix)
            job.folder.write(job.shard(n), piece)
    job.folder.remove("chunks")


def joined(pieces: Iterable[tuple[Block, Sequence[Row]]]) -> Iterator[list[Row]]:
    """The rows of each chunk of a video without the overlap, with ids of the whole video.

    Args:
        pieces: the chunks in order, each with its rows; ``first`` of a block is its first own frame.
    """
    before: Mapping[int | None, Row] = {}
    following = 1
    for block, rows in pieces:
        ids = _same(before, rows)
        own = [r for r in rows if r.frame is None or r.frame >= block["first"]]
        there = {int(i) for r in own if r.people is not None and r.people.ids is not None for i in r.people.ids}
        for track in sorted(there - ids.keys()):
            ids[track], following = following, following + 1
        done = [r if r.people is None else replace(r, people=_renamed(r.people, ids)) for r in own]
        before = {r.frame: r for r in done}
        yield done


def _renamed(people: Poses, ids: Mapping[int, int]) -> Poses:
    return people if people.ids is None else replace(people, ids=np.array([ids[int(i)] for i in people.ids], np.int64))


def _same(before: Mapping[int | None, Row], rows: Sequence[Row]) -> dict[int, int]:
    """The ids of the previous chunk by those of this one."""
    votes: Counter[tuple[int, int]] = Counter()
    for row in rows:
        old = before.get(row.frame)
        a, b = row.people, None if old is None else old.people
        if a is not None and b is not None and a.ids is not None and b.ids is not None and len(a) and len(b):
            areas = np.maximum(b.boxes[:, 2:] - b.boxes[:, :2], 1).prod(1)
            alike = oks(a.keypoints, b.keypoints, b.keypoint_scores > 0, areas, a.skeleton.sigmas)
            votes.update((int(a.ids[i]), int(b.ids[j])) for i, j in pairs(alike, SAME, "hungarian"))
    found: dict[int, int] = {}
    for (mine, theirs), _ in votes.most_common():
        if mine not in found and theirs not in found.values():
            found[mine] = theirs
    return found
