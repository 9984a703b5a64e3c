"""The progress of a job, and its shards merged into the result files of plain prediction."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

from manypose.inference.cluster.job import Job
from manypose.inference.cluster.rows import Counts, Row, read_counts, read_rows
from manypose.poses.formats import to_jsonl
from manypose.poses.formats.result_files import ResultFiles

__all__ = ["Status", "failures", "merge", "rows_of", "status", "totals"]

READERS = 16
"""Number of shards whose footers are read in parallel."""


@dataclass(frozen=True)
class Status:
    """The progress of a job.

    Args:
        blocks: number of blocks.
        finished: number of blocks with a shard.
        size: total size of the shards in bytes.
        counts: counts of their rows.
        dying: number of unfinished blocks that were started before.
        chunks: number of unfinished blocks that are predicted chunks of videos and wait for track ids.
    """

    blocks: int
    finished: int
    size: int
    counts: Counts
    dying: int
    chunks: int = 0

    def __str__(self) -> str:
        done = "finished" if self.finished == self.blocks else f"{self.blocks - self.finished} to do: the same command resumes the job"
        rows = f"{self.counts.rows} rows, {self.counts.errors} of them errors, {self.counts.people} people, {self.size / 1e6:.1f} MB"
        dying = f"\n{self.dying} unfinished blocks were started before" if self.dying else ""
        chunks = f"\n{self.chunks} of them are predicted chunks of videos without track ids yet" if self.chunks else ""
        return f"{self.finished} of {self.blocks} blocks ({done}){chunks}\n{rows}{dying}"


def status(job: Job) -> Status:
    """The progress of a job, which may be running."""
    sizes, chunks = job.finished(), job.finished(chunks=True)
    return Status(
        len(job), len(sizes), sum(sizes.values()), totals(job), len(job.folder.names("attempts")), len(chunks.keys() - sizes.keys())
    )


def totals(job: Job) -> Counts:
    """The counts of all shards."""
    total = Counts()
    for counts in _counts(job).values():
        total += counts
    return total


def failures(job: Job) -> list[int]:
    """The finished blocks that have rows with errors."""
    return [number for number, counts in _counts(job).items() if counts.errors]


def _counts(job: Job) -> dict[int, Counts]:
    def read(number: int) -> Counts:
        with job.folder.open(job.shard(number)) as file:
            return read_counts(file, job.suffix)

    numbers = list(job.finished())
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(numbers, pool.map(read, numbers), strict=True))


def rows_of(job: Job) -> Iterator[Row]:
    """The rows of all finished blocks, in the plan's order, a shard at a time."""
    for number in job.finished():
        yield from read_rows(job.folder.read(job.shard(number)), job.suffix)


def merge(job: Job, out: Path, formats: Sequence[str] = ("coco",)) -> tuple[list[Path], Counts]:
    """Write the rows of a job as result files, such as one ``coco.json``, and the photos with an error to ``errors.txt``.

    Names are relative to the common folder of all inputs, and photos named by a number have it as image id, as in plain prediction.

    Args:
        job: the job; rows with errors are left out.
        out: the folder.
        formats: coco, csv, jsonl.

    Raises:
        ValueError: the job is not finished.
        OSError: a file cannot be written.
    """
    left = len(job) - len(job.finished())
    if left:
        raise ValueError(f"{job.folder.uri}: {left} of {len(job)} blocks are not finished; the command that started the job resumes it")
    common, numbers, counts = _names(job)
    ids = (n for n in count(1) if n not in numbers)
    errors: list[str] = []

    def lines() -> Iterator[str]:
        for row in rows_of(job):
            if row.people is None:
                errors.append(f"{row.uri}\t{row.error}\n")
                continue
            name, stem = row.uri[len(common) :], _stem(row.uri)
            own = row.frame is None and numbers.get(_number(stem)) == 1
            more = {} if row.frame is None else {"frame": row.frame, "time": row.time}
            name = name if row.frame is None else f"{name}#{row.frame}"
            yield to_jsonl(row.people, name, row.size, image_id=int(stem) if own else next(ids), **more) + "\n"

    written = ResultFiles(out, formats, lines()).finish()
    if errors:
        path = out / "errors.txt"
        path.write_text("".join(errors), encoding="utf-8")
        written.append(path)
    return written, counts


def _names(job: Job) -> tuple[str, Counter[int | None], Counts]:
    """The common prefix of all addresses, how often each number is a photo's name, and the number of rows."""
    common: str | None = None
    numbers: Counter[int | None] = Counter()
    counts = Counts()
    for row in rows_of(job):
        folder = row.uri.rpartition("/")[0] + "/" if "/" in row.uri else ""
        common = folder if common is None else common
        while not folder.startswith(common):
            common = common.rstrip("/").rpartition("/")[0] + "/" if "/" in common.rstrip("/") else ""
        if row.frame is None:
            numbers[_number(_stem(row.uri))] += 1
        counts += Counts.of([row])
    return common or "", numbers, counts


def _stem(uri: str) -> str:
    return PurePosixPath(uri.partition("::")[0]).stem


def _number(stem: str) -> int | None:
    return int(stem) if stem.isascii() and stem.isdecimal() and len(stem) <= 18 else None
