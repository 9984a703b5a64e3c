"""Scenes written once and read many times: pixels as uint8 arrays that are mapped, people as JSON.

    python -m manypose.data.shards --out DIR --scenes 4000 --seed 0 --backgrounds DIR --poses FILE.npz

writes ``images-00000.npy`` (n, H, W, 3), ``owners-00000.npy`` (n, H, W) and, last, ``people-00000.json`` for each shard. A shard with its
JSON is whole: what was interrupted is continued, and gives the same scenes.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from synthetic_people.drawn.scenes import Scene
from torch.utils.data import Dataset

from manypose.data.sample import Sample
from manypose.io.files import atomic, write_text
from manypose.poses.skeleton import COCO

__all__ = ["Shards", "write"]


@runtime_checkable
class Scenes(Protocol):
    """Whatever makes numbered scenes of one size."""

    def __len__(self) -> int: ...
    def scene(self, i: int) -> Scene: ...


def write(scenes: Scenes, out: Path, each: int = 250) -> int:
    """Writes the shards that are not there yet; returns how many scenes were made now.

    Args:
        scenes: see `RenderedPeople`.
        out: folder.
        each: scenes a shard.
    """
    out.mkdir(parents=True, exist_ok=True)
    made = 0
    for shard, first in enumerate(range(0, len(scenes), each)):
        people = out / f"people-{shard:05d}.json"
        if people.exists():
            continue
        some = [scenes.scene(i) for i in range(first, min(first + each, len(scenes)))]
        for name, arrays in (("images", [s.sample.image for s in some]), ("owners", [s.owner.astype(np.int8) for s in some])):
            with atomic(out / f"{name}-{shard:05d}.npy") as temporary, open(temporary, "wb") as file:
                np.save(file, np.stack(arrays))
        write_text(people, json.dumps([_described(s.sample) for s in some]))
        made += len(some)
    return made


def _described(sample: Sample) -> dict[str, Any]:
    rounded = {"keypoints": sample.keypoints, "boxes": sample.boxes, "areas": sample.areas}
    return {"id": sample.image_id, **{name: np.round(values.astype(float), 2).tolist() for name, values in rounded.items()}}


@dataclass(eq=False)
class Shards(Dataset):
    """What `write` wrote, as a map-style data set.

    Args:
        folder: with the shards.

    Raises:
        ValueError: no whole shard in it, or one whose files do not belong together.
    """

    folder: str | Path

    def __post_init__(self) -> None:
        self.skeleton, self._people, self._at = COCO, [], []
        self._arrays: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for shard, file in enumerate(sorted(Path(self.folder).glob("people-*.json"))):
            people = json.loads(file.read_text())
            number = file.stem.split("-")[1]
            try:
                arrays = tuple(np.load(file.with_name(f"{name}-{number}.npy"), mmap_mode="r") for name in ("images", "owners"))
            except (OSError, ValueError) as e:
                raise ValueError(f"{file}: its pixels cannot be read ({e}); delete the file and write the shards again") from e
            if {len(a) for a in arrays} != {len(people)}:
                raise ValueError(f"{file}: {len(people)} scenes, but its arrays hold {[len(a) for a in arrays]}; delete it and write again")
            self._arrays[shard] = (arrays[0], arrays[1])
            self._people += people
            self._at += [(shard, i) for i in range(len(people))]
        if not self._people:
            raise ValueError(f"{self.folder}: no shards (people-*.json); make them with python -m manypose.data.shards --out {self.folder}")

    def __len__(self) -> int:
        return len(self._people)

    def __getitem__(self, i: int) -> Sample:
        (shard, row), told = self._at[i], self._people[i]
        image, owner = (np.array(a[row]) for a in self._arrays[shard])
        return Sample(
            COCO, image,
            np.array(told["keypoints"], np.float32).reshape(-1, 17, 3), np.array(told["boxes"], np.float32).reshape(-1, 4),
            np.array(told["areas"], np.float32), (owner != -2).astype(np.uint8)[None], (owner != -1).astype(np.uint8), told["id"],
        )  # fmt: skip


def main() -> None:
    """The command in this module's head."""
    from synthetic_people.rendered.scenes import RenderedPeople

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 320), metavar=("H", "W"))
    parser.add_argument("--backgrounds", type=Path, help="folder of photos without people")
    parser.add_argument("--poses", type=Path, help=".npz with real keypoints (n, 17, 3), whose postures are taken over")
    given = parser.parse_args()
    try:
        scenes = RenderedPeople(given.scenes, given.seed, tuple(given.size), backgrounds=given.backgrounds, poses=given.poses)
        made = write(scenes, given.out)
    except (ValueError, OSError) as e:
        raise SystemExit(f"manypose: {e}") from None
    print(f"{given.out}: {made} scenes written, {len(Shards(given.out))} there")


if __name__ == "__main__":
    main()
