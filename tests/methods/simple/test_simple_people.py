"""Perfect maps of drawn people, who stand before one another: found boxes and the bundled grouping CNN give them back."""

import numpy as np
import pytest
import torch
from synthetic_people.drawn.scenes import SyntheticPeople

from manypose.data.sample import collate
from manypose.methods.simple import SIMPLE
from manypose.methods.simple.example_maps import perfect
from manypose.poses.oks import oks

SMALL = {"trunk": "hrnet_w18_small", "size": 512, "channels": 16, "inner": 8}


def test_decoding_targets_of_drawn_people_gives_the_people():
    method = SIMPLE(**SMALL, cnn={"weights": "bundled"}).eval()
    data, alike, out_of, into = SyntheticPeople(length=10, seed=5), [], 0, 0
    for i in range(10):
        sample = data[i]
        batch = collate([sample])
        size = (batch.images.shape[1], batch.images.shape[2])
        with torch.no_grad():
            found = method.decode(perfect(method.targets(batch, size)), size)[0]
        labelled = sample.keypoints[..., 2] > 0
        similar = oks(found.keypoints, sample.keypoints[..., :2], labelled, sample.areas, method.skeleton.sigmas)
        alike += list(similar.max(0, initial=0)[labelled.sum(1) >= 3])
        out_of, into = out_of + len(found), into + len(sample.keypoints)
    assert np.mean(alike) > 0.78
    assert np.mean(np.array(alike) > 0.5) > 0.85
    assert abs(out_of - into) <= 0.15 * into


def test_a_grouping_cnn_that_does_not_fit_is_one_error():
    with pytest.raises(ValueError, match="has 17 joints, the skeleton 14"):
        SIMPLE(**SMALL, skeleton="crowdpose", cnn={"weights": "bundled"})
    with pytest.raises(ValueError, match="leave out extend"):
        SIMPLE(**SMALL, cnn={"weights": "bundled", "extend": 2.0})
    with pytest.raises(FileNotFoundError, match="no such weights file"):
        SIMPLE(**SMALL, cnn={"weights": "nowhere.safetensors"})
