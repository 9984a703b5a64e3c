"""Settings and outcome of a prediction into a folder."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from manypose.io.files import file_identity
from manypose.poses.drawing import ColourBy

__all__ = ["Drawing", "Outcome", "Part", "Team", "counted", "file_identity"]


@dataclass
class Outcome:
    """The outcome of a run.

    Args:
        photos: number of photos and frames, including those of an earlier run.
        people: number of people found in them.
        empty: number of photos and frames without people.
        frames: number of frames among `photos`.
        in_frames: number of `people` in these frames.
        tracks: number of track ids in videos and tracked folders.
        resumed: number of photos and videos that an earlier run had finished.
        written: result files.
        drawn: drawn pictures and videos.
        failed: one line for each photo or video that could not be used.
        skipped: number of boxes that were left out, by reason.
    """

    photos: int = 0
    people: int = 0
    empty: int = 0
    frames: int = 0
    in_frames: int = 0
    tracks: int = 0
    resumed: int = 0
    written: list[Path] = field(default_factory=list)
    drawn: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def counts(self) -> str:
        """The numbers of people, photos and frames as text; people with track ids are counted once a video."""
        said = []
        if self.photos > self.frames or not self.photos:
            people = counted(self.people - self.in_frames, "person", "people")
            said.append(f"{people} in {counted(self.photos - self.frames, 'photo')}")
        if self.frames:
            each = f"{self.in_frames / self.frames:.1f} people a frame"
            people = counted(self.tracks, "tracked person", "tracked people") if self.tracks else each
            said.append(f"{people} in {counted(self.frames, 'frame')}")
        return ", ".join(said) + (f" (no people in {self.empty} of them)" if self.empty else "")


@dataclass(frozen=True)
class Drawing:
    """Drawing options.

    Args:
        boxes: draw the box of each person too.
        joint_threshold: joints with a lower score are not drawn.
        colour_by: see `manypose.poses.drawing.draw`.
        scores: draw the score of each person too.
    """

    boxes: bool = False
    joint_threshold: float = 0.1
    colour_by: ColourBy = "side"
    scores: bool = False


@dataclass(frozen=True)
class Part:
    """The frames of a video to process.

    Args:
        every: process every N-th frame. Raising it saves time, but tracked people lose their ids sooner.
        start: skip the frames before this time: seconds such as 90, or 1:30, or 0:01:30.5.
        end: skip the frames from this time on.

    Raises:
        ValueError: a number is out of range, or a time cannot be read.
    """

    every: int = 1
    start: str | float = 0.0
    end: str | float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be a whole number of at least 1, got {self.every}")
        first, last = self.between
        if last <= first:
            raise ValueError(f"end must be later than start, got {self.start} and {self.end}")

    @property
    def between(self) -> tuple[float, float]:
        """Start and end in seconds; the end of the video is infinity."""
        return _seconds("start", self.start), math.inf if self.end is None else _seconds("end", self.end)


def _seconds(name: str, time: str | float) -> float:
    try:
        parts = [float(part) for part in str(time).split(":")]
    except ValueError:
        parts = [math.nan]
    whole = all(part.is_integer() for part in parts[:-1]) and len(parts) <= 3
    if not (whole and all(0 <= part < math.inf for part in parts) and all(part < 60 for part in parts[1:])):
        raise ValueError(f"{name} must be a time such as 90 (seconds), 1:30 or 0:01:30.5, got {time}")
    return sum(part * 60**i for i, part in enumerate(reversed(parts)))


@dataclass(frozen=True)
class Team:
    """Processes that share a run, as ``torchrun`` starts them.

    Args:
        rank: number of this process, from 0.
        number: number of processes.
        wait: a barrier: returns when all processes have called it.
    """

    rank: int
    number: int
    wait: Callable[[], None]


def counted(n: int, one: str, many: str = "") -> str:
    """A number and its noun, such as 3 people."""
    return f"{n} {one if n == 1 else many or one + 's'}"
