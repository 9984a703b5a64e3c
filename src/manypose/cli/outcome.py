"""How a prediction into a folder is made, and what came of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from manypose.io.files import known_by
from manypose.poses.drawing import ColourBy

__all__ = ["Drawing", "Outcome", "Part", "Team", "counted", "known_by"]


@dataclass
class Outcome:
    """What came of a run.

    Args:
        photos: photos and frames, those of an earlier run too.
        people: people found in them.
        empty: photos and frames without people.
        resumed: photos and videos that an earlier run had finished.
        written: result files.
        drawn: drawn pictures and videos.
        failed: one line for each photo or video that could not be used.
        skipped: boxes that were left out, by reason.
    """

    photos: int = 0
    people: int = 0
    empty: int = 0
    resumed: int = 0
    written: list[Path] = field(default_factory=list)
    drawn: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Drawing:
    """How to draw.

    Args:
        boxes: draw people's boxes too.
        joint_threshold: joints with a lower score are not drawn.
        colour_by: see `manypose.poses.drawing.draw`.
        scores: write people's scores.
    """

    boxes: bool = False
    joint_threshold: float = 0.1
    colour_by: ColourBy = "side"
    scores: bool = False


@dataclass(frozen=True)
class Part:
    """Which frames of a video are looked at.

    Args:
        every: look at one frame of so many. Raising it takes less time, and tracked people lose their ids sooner.
        start: leave out the frames before this second.
        end: leave out the frames from this second on.

    Raises:
        ValueError: a number makes no sense.
    """

    every: int = 1
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be a whole number from 1 on, got {self.every}")
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise ValueError(f"start must be 0 or more and end after it, got {self.start:g} and {self.end}")


@dataclass(frozen=True)
class Team:
    """Processes that share a run, as ``torchrun`` starts them.

    Args:
        rank: this process's number, from 0 on.
        number: of processes.
        wait: returns when all of them are there.
    """

    rank: int
    number: int
    wait: Callable[[], None]


def counted(n: int, one: str, many: str = "") -> str:
    """A number and its noun, such as 3 people."""
    return f"{n} {one if n == 1 else many or one + 's'}"
