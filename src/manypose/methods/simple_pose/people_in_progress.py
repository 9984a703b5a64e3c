"""Groups of joints during the assembly of people."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

__all__ = ["Groups"]


@dataclass
class Groups:
    """g groups of joints.

    Args:
        xy: positions of joints, in cells.
        score: heights of joints, 0 for missing ones.
        fresh: mask of joints from which no limb was followed yet.
    """

    xy: Float[np.ndarray, "g j 2"]
    score: Float[np.ndarray, "g j"]
    fresh: Bool[np.ndarray, "g j"]

    @property
    def there(self) -> Bool[np.ndarray, "g j"]:
        """A mask of the joints present."""
        return self.score > 0

    def keep(self, rows: Shaped[np.ndarray, " _g"]) -> None:
        """Keep some of the groups, by index or mask."""
        self.xy, self.score, self.fresh = self.xy[rows], self.score[rows], self.fresh[rows]

    def merge(self, pairs: list[tuple[int, int]]) -> dict[int, int]:
        """Join groups without common joint types, in the given order; returns the new index by old index."""
        into = list(range(len(self.xy)))

        def root(i: int) -> int:
            while into[i] != i:
                i = into[i]
            return i

        there = self.there
        for a, b in pairs:
            a, b = root(a), root(b)
            if a == b or (there[a] & there[b]).any():
                continue
            new = there[b]
            for of in (self.xy, self.score, self.fresh):
                of[a, new] = of[b, new]
            there[a] |= new
            into[b] = a
        kept = [i for i in range(len(into)) if into[i] == i]
        self.keep(np.array(kept))
        place = {i: n for n, i in enumerate(kept)}
        return {i: place[root(i)] for i in range(len(into))}
