"""Training data: data sets, augmentation, loading. Configs use the names exported here.

Data sets (`Photos` of `Sample`s): `coco`, `crowdpose`, `ochuman`, `mpii`, `posetrack`, `lspet`, and `custom` for custom data sets;
`shards` reads any of them from WebDataset tar files written by `write_shards`.
Augmentation: `Augment` (views for bottom-up methods), `EachPerson` and `PersonView` (crops for top-down methods), `Pasted`, `Colour`.
Loading: `loader` mixes `Source`s into batches.
"""

from manypose.data.augmentation.paste import Pasted
from manypose.data.augmentation.person_crops import EachPerson, PersonView
from manypose.data.augmentation.views import Augment, Colour
from manypose.data.datasets.coco import coco
from manypose.data.datasets.crowdpose import crowdpose
from manypose.data.datasets.custom import custom
from manypose.data.datasets.lspet import lspet
from manypose.data.datasets.mpii import mpii
from manypose.data.datasets.ochuman import ochuman
from manypose.data.datasets.posetrack import posetrack
from manypose.data.datasets.shards import Shards, shards, write_shards
from manypose.data.loading import Loader, Source, loader
from manypose.data.photos import Photo, Photos
from manypose.data.sample import Batch, Sample, collate

__all__ = [
    "Augment", "Batch", "Colour", "EachPerson", "Loader", "Pasted", "PersonView", "Photo", "Photos", "Sample", "Shards", "Source",
    "coco", "collate", "crowdpose", "custom", "loader", "lspet", "mpii", "ochuman", "posetrack", "shards", "write_shards",
]  # fmt: skip
