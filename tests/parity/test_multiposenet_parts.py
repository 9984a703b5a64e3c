"""A third party's MultiPoseNet (ResNet-50), where its definition is the paper's: trunk, person subnet, K2 … K4 and their maps.

It differs from the paper, and so from ours, elsewhere: 18 keypoint maps with a neck and no person mask (its inner heads have 19, of which
18 are used); K5 without a 3 × 3 convolution; D features without ReLUs. Its anchors lie half a cell further on.
"""

import json

import numpy as np
import pytest
import torch
from shared import parity, parity_files, parity_module

from manypose.methods.multiposenet import MultiPoseNet

FAMILY = "simple_pose_prn"


def renamed(name: str) -> str | None:
    """Our name of a parameter of theirs; None where the two differ or ours has none."""
    table = {
        **{f"fpn.latlayer{i}": f"persons.pyramid.inner_blocks.{3 - i}.0" for i in (1, 2, 3)},
        **{f"fpn.toplayer{i}": f"persons.pyramid.layer_blocks.{2 - i}.0" for i in (0, 1, 2)},
        "fpn.conv6": "persons.pyramid.extra_blocks.p6",
        "fpn.conv7": "persons.pyramid.extra_blocks.p7",
        "fpn.toplayer": "keypoints.pyramid.inner_blocks.3.0",
        **{f"fpn.flatlayer{i}": f"keypoints.pyramid.inner_blocks.{3 - i}.0" for i in (1, 2, 3)},
        **{f"fpn.smooth{i}": f"keypoints.pyramid.layer_blocks.{3 - i}.0" for i in (1, 2, 3)},
        **{f"convfin_k{i}": f"keypoints.heads.{i - 2}" for i in (2, 3, 4)},
        **{f"regressionModel.conv{i}": f"persons.head.regression_head.conv.{i - 1}.0" for i in (1, 2, 3, 4)},
        "regressionModel.output": "persons.head.regression_head.bbox_reg",
        **{f"classificationModel.conv{i}": f"persons.head.classification_head.conv.{i - 1}.0" for i in (1, 2, 3, 4)},
        "classificationModel.output": "persons.head.classification_head.cls_logits",
    }
    stem, _, kind = name.rpartition(".")
    if stem in table:
        return f"{table[stem]}.{kind}"
    return f"backbone.{name[4:]}" if name.startswith(("fpn.conv1.", "fpn.bn1.", "fpn.layer")) else None


@pytest.mark.parametrize("path", parity_files(FAMILY, "multiposenet_r*.out_*.npz"))
def test_trunk_person_subnet_and_inner_maps_are_theirs(path):
    name = path.name.split(".")[0]
    meta = json.loads(parity(FAMILY, f"{name}.keys.json").read_text())["keys"]
    state = parity_module(FAMILY, "fill").fill_state_dict({n: tuple(v) for n, v in meta.items() if not n.startswith("prn")})
    net = MultiPoseNet(f"resnet{name.rpartition('_r')[2]}", prn=None)
    taken = {renamed(n): v for n, v in state.items() if renamed(n)}
    own = net.state_dict()
    # Their inner heads have 19 maps, ours 18: the first 18 are compared.
    taken = {n: v[:18] if n.startswith("keypoints.heads") else v for n, v in taken.items()}
    assert {n for n in own if n.startswith(("backbone.", "persons."))} <= set(taken)
    missing, unexpected = net.load_state_dict(taken, strict=False)
    assert not unexpected
    assert all(
        n.startswith(("keypoints.features", "keypoints.last", "keypoints.heads.3", "keypoints.pyramid.layer_blocks.3")) for n in missing
    )
    stored = np.load(path)
    image = torch.from_numpy(stored["image_u8_bgr"][..., ::-1].copy())[None]
    with torch.no_grad():
        trunk = net.eval().backbone(net.prepare(image))
        persons = net.persons(trunk[1:])
        maps = net.keypoints.train()(trunk)
    np.testing.assert_allclose(persons["person"].sigmoid()[0].numpy(), stored["det_cls"][:, 0], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(persons["shift"][0].numpy(), stored["det_reg"], atol=2e-4 * np.abs(stored["det_reg"]).max())
    theirs = stored["kp_k2"][:18]
    np.testing.assert_allclose(maps["heat2"][0].numpy(), theirs, atol=2e-4 * np.abs(theirs).max())
    sizes = net.anchors((96, 128))
    centre, theirs = sizes.view(-1, 2, 2).mean(1).numpy(), stored["det_anchors"].reshape(-1, 2, 2).mean(1)
    assert np.isin(np.round((theirs - centre) / np.repeat([8, 16, 32, 64, 128], [1728, 432, 108, 36, 9])[:, None], 3), 0.5).all()
