"""A part of a data set by image ids."""

from dataclasses import dataclass

import pytest

from manypose.data.datasets.subset import Subset, read_ids


@dataclass
class _Photo:
    image_id: int


class _Data:
    photos = [_Photo(i) for i in (7, 8, 9, 12)]  # noqa: RUF012

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, i):
        return self.photos[i]


def test_the_named_photos_or_the_others(tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("# a comment\n8 12  # two\n\n9\n")
    assert read_ids(ids) == {8, 9, 12}
    chosen, others = Subset(_Data(), str(ids)), Subset(_Data(), str(ids), without=True)
    assert [p.image_id for p in chosen.photos] == [8, 9, 12]
    assert len(chosen) == 3
    assert [p.image_id for p in others.photos] == [7]
    ids.write_text("7 8 9 12")
    with pytest.raises(ValueError, match="none of the 4 photos"):
        Subset(_Data(), str(ids), without=True)
    ids.write_text("seven")
    with pytest.raises(ValueError, match="numbers only"):
        read_ids(ids)
