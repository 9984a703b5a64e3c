"""A part of a data set: the photos that a list of ids names, or all others."""

from dataclasses import dataclass, field
from pathlib import Path

from manypose.data.loading import People
from manypose.data.sample import Sample

__all__ = ["Subset", "read_ids"]


def read_ids(path: str | Path) -> set[int]:
    """The numbers in a text file, one a line or several; what follows a # does not count.

    Raises:
        FileNotFoundError: no such file.
        ValueError: something in it is no number.
    """
    words = [word for line in Path(path).read_text().splitlines() for word in line.partition("#")[0].split()]
    try:
        return {int(word) for word in words}
    except ValueError as e:
        raise ValueError(f"{path}: a list of image ids holds numbers only ({e})") from None


@dataclass(eq=False)
class Subset:
    """The photos of a data set that a list names, or (`without`) those that it does not.

    Args:
        dataset: has ``photos`` with their image ids, as all of `manypose.data` have.
        ids: path of a list of image ids, see `read_ids`.
        without: the others.

    Raises:
        ValueError: no photo is left.
    """

    dataset: People
    ids: str
    without: bool = False
    index: list[int] = field(init=False)

    def __post_init__(self) -> None:
        chosen = read_ids(self.ids)
        every = self.dataset.photos  # type: ignore[attr-defined]
        self.index = [i for i, photo in enumerate(every) if (photo.image_id in chosen) != self.without]
        if not self.index:
            raise ValueError(f"{self.ids}: none of the {len(every)} photos is left")
        self.photos = [every[i] for i in self.index]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> Sample:
        return self.dataset[self.index[i]]
