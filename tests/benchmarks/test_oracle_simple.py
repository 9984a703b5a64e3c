"""The oracle benchmark of SIMPLE's grouping: what is rendered, and the figures on the first images."""

import numpy as np
import oracle
import pytest
import torch
from shared import shared

from manypose.nn.heatmaps import peaks, subpixel
from manypose.poses.warp import cell_to_pixel

ARCHIVE = ("data", "coco_keypoints", "person_keypoints_val2017_rebuilt.npz")


def test_maps_stand_where_the_joints_are():
    """A joint's peak on the map, refined and sent back to the photo, is the joint; its box likewise."""
    keypoints, box = np.zeros((1, 17, 3)), np.array([[10.0, 20, 90, 200]])
    keypoints[0, 3] = 61.0, 83.0, 1
    maps, warp = oracle.METHODS["simple"].maps(keypoints, (240, 320), 7, False, box)
    assert warp.size == (512, 704)
    heights, cells = peaks(maps["heat"])
    assert heights[0, 3, 0] > 0.9
    assert not heights[0, :3].any()
    xy = cell_to_pixel(subpixel(maps["heat"], cells), 4)[0, 3, 0].double().numpy() @ warp.inverse[:, :2].T + warp.inverse[:, 2]
    assert np.abs(xy - [61, 83]).max() < 0.02
    assert np.allclose(
        maps["boxes"].double().numpy().reshape(-1, 2) @ warp.inverse[:, :2].T + warp.inverse[:, 2], box.reshape(-1, 2), atol=1e-3
    )


def test_degradation_is_the_one_of_all_methods():
    keypoints, box = np.zeros((1, 17, 3)), np.array([[10.0, 20, 90, 200]])
    keypoints[0] = 61.0, 83.0, 1
    heat = [oracle.METHODS["simple"].maps(keypoints, (240, 320), i, True, box)[0]["heat"] for i in (3, 3, 4)]
    assert torch.equal(heat[0], heat[1])
    assert not torch.equal(heat[0], heat[2])
    draw = np.random.Generator(np.random.PCG64(3))
    gain, kept = draw.uniform(0.3, 1, (1, 17)), draw.uniform(size=(1, 17)) >= 0.1
    assert np.allclose(heat[0].amax((0, 2, 3)).numpy(), np.where(kept, gain, 0)[0], atol=0.17)


@pytest.mark.parametrize(
    ("method", "degraded", "least", "most"), [("simple", False, 0.95, 1), ("simple", True, 0.7, 0.95), ("simple-max", False, 0.4, 0.85)]
)
def test_first_images(method, degraded, least, most):
    done = oracle.run(method, shared(*ARCHIVE), 25, degraded, False)
    figures, _, _ = oracle.evaluate(done)
    assert least <= figures["AP"] <= most
    assert all(out == there for out, there in done.counts)


def test_weights_of_a_method_without_any_are_refused(capsys):
    with pytest.raises(SystemExit):
        oracle.main(["--method", "swahr", "--weights", "x.safetensors", "--data", str(shared(*ARCHIVE))])
    assert "swahr has none" in capsys.readouterr().err
