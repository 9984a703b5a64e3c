"""A job: a folder with the plan of its blocks and a shard of results for each block that is finished.

``job.json`` holds the settings, ``plan.jsonl`` a line for each block of inputs, ``shards/00000017.parquet`` the rows of block 17. Shards
are written atomically, so the existence of a shard alone marks a block as finished. After the death of a worker, the driver or a machine,
the same command processes exactly the blocks without a shard. The plan is made once; photos that are added to a folder later belong to
another job.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from manypose.io.storage import Folder

__all__ = ["Block", "Job", "begin", "check_block_size", "opened", "read_block", "shard_name"]

Block = dict[str, Any]
"""The inputs of one unit of work, as JSON values; see `manypose.inference.cluster.sources`."""


@dataclass(frozen=True, eq=False)
class Job:
    """A planned job.

    Args:
        folder: its folder.
        settings: everything that the results depend on, as JSON values.
        suffix: suffix of the shards.
        places: offsets of the blocks' lines in the plan, and the end of the last one.
    """

    folder: Folder
    settings: dict[str, Any]
    suffix: str
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places) - 1

    def shard(self, number: int, chunk: bool = False) -> str:
        """The name of a block's shard; see `shard_name`."""
        return shard_name(number, self.suffix, chunk)

    def block(self, number: int) -> Block:
        """A block of the plan."""
        return read_block(self.folder, number)

    def blocks(self) -> Iterator[Block]:
        """All blocks, in order."""
        with self.folder.open("plan.jsonl") as file:
            yield from map(json.loads, file)

    def finished(self, chunks: bool = False) -> dict[int, int]:
        """The finished blocks, or the predicted chunks of videos that wait for track ids, with the sizes of their shards in bytes."""
        folder, ends = ("chunks", ".parquet") if chunks else ("shards", self.suffix)
        names = self.folder.names(folder).items()
        found = {int(n.removesuffix(ends)): size for n, size in names if n.endswith(ends) and n.removesuffix(ends).isdecimal()}
        return {n: found[n] for n in sorted(found) if n < len(self)}


def shard_name(number: int, suffix: str, chunk: bool = False) -> str:
    """The name of a block's shard; `chunk`: that of the people in a chunk of a video, still without track ids, in exact numbers."""
    return f"chunks/{number:08d}.parquet" if chunk else f"shards/{number:08d}{suffix}"


def read_block(folder: Folder, number: int) -> Block:
    """A block of the plan, without reading the rest of the plan."""
    start, stop = np.frombuffer(folder.read("plan.places", 8 * number, 8 * number + 16), np.int64)
    return json.loads(folder.read("plan.jsonl", int(start), int(stop)))


def check_block_size(photos: int) -> None:
    """Raise `ValueError` if a block would have no photo."""
    if photos < 1:
        raise ValueError(f"block size must be at least 1, got {photos}")


def begin(folder: Folder, settings: Mapping[str, Any], suffix: str, blocks: Iterable[Block], overwrite: bool = False) -> Job:
    """Plan a job, or resume the one in the folder.

    Args:
        folder: folder of the job.
        settings: everything that the results depend on.
        suffix: suffix of the shards.
        blocks: the inputs; only used if the job is new.
        overwrite: start again.

    Raises:
        ValueError: the folder holds a job with other settings.
    """
    said = json.loads(json.dumps({**settings, "suffix": suffix}))
    if not overwrite and folder.has("job.json"):
        job = opened(folder)
        other = sorted(k for k in {*said, *job.settings} if said.get(k) != job.settings.get(k))
        if other:
            raise ValueError(
                f"{folder.uri}: holds a job with other settings ({', '.join(other)}); give the same ones to continue, another --out, "
                "or --overwrite"
            )
        for name in folder.names("shards"):
            if name.startswith("."):  # a half-written file left by a kill
                folder.remove(f"shards/{name}")
        return job
    for name in ("job.json", "plan.jsonl", "shards", "chunks", "attempts"):
        folder.remove(name)
    places = [0]
    with folder.open("plan.jsonl", "wb") as file:
        for block in blocks:
            line = json.dumps(block, ensure_ascii=False).encode() + b"\n"
            file.write(line)
            places.append(places[-1] + len(line))
    folder.write("plan.places", np.array(places, np.int64).tobytes())
    folder.write("job.json", json.dumps(said, indent=1, ensure_ascii=False).encode())  # last: it marks the plan as complete
    return opened(folder)


def opened(folder: Folder) -> Job:
    """The job in a folder.

    Raises:
        FileNotFoundError: there is no job.
        ValueError: its files are damaged.
    """
    if not folder.has("job.json"):
        raise FileNotFoundError(f"{folder.uri}: no job here (job.json is missing); 'manypose cluster predict' creates one")
    try:
        settings = json.loads(folder.read("job.json"))
        return Job(folder, settings, settings["suffix"], np.frombuffer(folder.read("plan.places"), np.int64))
    except (ValueError, KeyError, TypeError, FileNotFoundError) as e:
        raise ValueError(f"{folder.uri}: job.json or plan.places is damaged ({e}); start again with --overwrite") from None
