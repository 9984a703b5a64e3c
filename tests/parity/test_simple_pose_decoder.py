"""The authors' decoding: the peaks, people and scores that their program found in stored maps."""

import numpy as np
import pytest
import torch
from shared import parity_files

from manypose.methods.simple_pose.body import body_of
from manypose.methods.simple_pose.published_decode import decode_published
from manypose.poses.skeleton import COCO

BODY = body_of(COCO)


@pytest.mark.parametrize("path", parity_files("simple_pose_prn", "decode/case_*.npz"))
def test_people_are_the_authors(path):
    stored = np.load(path)
    maps = torch.from_numpy(stored["q"].astype(np.float32) / 4000).permute(2, 0, 1)[None]
    size = (4 * maps.shape[2], 4 * maps.shape[3])
    found = decode_published(maps[:, :30], maps[:, 30:48], BODY, size)[0]
    theirs = stored["keypoints_coco"]
    assert found.keypoints.shape == theirs.shape
    off = np.abs(found.keypoints - theirs)
    # Two neighbouring cells may be equally high but for the last bit, which another build of OpenCV rounds otherwise.
    assert off.max(initial=0) < 1.05
    assert (off > 0.01).any(2).sum() <= 1 + 0.01 * off[..., 0].size
    assert np.abs(found.scores - stored["scores"]).max(initial=0) < 1e-3
