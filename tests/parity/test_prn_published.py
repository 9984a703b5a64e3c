"""The authors' PRN: network, maps and assignment against numbers of their program."""

import json

import numpy as np
import pytest
import torch
from prn_authors import authors_assign, authors_cells
from shared import parity, parity_module

from manypose.methods.multiposenet.published_prn import PublishedPRN
from manypose.methods.multiposenet.region_maps import render
from manypose.methods.multiposenet.roi import MARGIN

FOLDER = "simple_pose_prn"


@pytest.fixture(scope="module")
def prn() -> PublishedPRN:
    with torch.device("meta"):
        net = PublishedPRN()
    keys = json.loads(parity(FOLDER, "prn_pytorch.keys.json").read_text())["keys"]
    assert {name: list(p.shape) for name, p in net.named_parameters()} == {name: shape for name, (shape, _) in keys.items()}
    fill = parity_module(FOLDER, "fill")
    net.load_state_dict(fill.fill_state_dict({k: (tuple(s), d) for k, (s, d) in keys.items()}), assign=True)
    return net.eval()


def test_network(prn):
    given = np.load(parity(FOLDER, "prn_pytorch.out.npz"))
    x = torch.from_numpy(given["x"]).permute(0, 3, 1, 2)
    with torch.no_grad():
        logits, y = prn.logits(x).permute(0, 2, 3, 1), prn.maps(x).permute(0, 2, 3, 1)
    torch.testing.assert_close(logits[: len(given["logits"])], torch.from_numpy(given["logits"]), atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(y[: len(given["y_softmax"])], torch.from_numpy(given["y_softmax"]), atol=0, rtol=1e-4)
    torch.testing.assert_close(y.flatten(1).sum(1), torch.ones(len(x)), atol=1e-4, rtol=0)


def _annotations() -> tuple[dict, dict]:
    given = np.load(parity(FOLDER, "prn_data_cases.npz"))
    return given, json.loads(str(given["json"]))


def _wrapped(xy: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Which points their program wraps around: beyond the last cell in one coordinate, left of or above the first in the other."""
    cell = ((xy - box[:2].astype(int)) * [36, 56] / np.ceil(box[2:])).astype(int)
    return (cell >= [36, 56]).any(1) & (cell < 0).any(1)


def test_inputs_and_targets():
    given, coco = _annotations()
    people = {a["id"]: (a["image_id"], np.array(a["bbox"]), np.array(a["keypoints"], float).reshape(17, 3)) for a in coco["annotations"]}
    compared = 0
    for name in given:
        kind, _, number = name.partition("_")
        if kind not in ("input", "target"):
            continue
        image, box, own = people[int(number)]
        everybody = own[None] if kind == "target" else np.stack([k for i, _, k in people.values() if i == image])
        person, joint = np.nonzero(everybody[..., 2] > 0)
        xy = everybody[person, joint, :2]
        place = (xy - box[:2]) / box[2:]
        seen = ((place > -MARGIN) & (place < 1 + MARGIN)).all(1) | (kind == "target")
        xy, joint = xy[seen], joint[seen]
        cells = authors_cells(torch.from_numpy(xy), torch.from_numpy(box))
        maps = render(
            torch.zeros(len(xy), dtype=torch.long), torch.from_numpy(joint), cells, (1, 17, 56, 36),
            sigma=1.0 if kind == "input" else 2.0, nearest=kind == "input",
        )[0]  # fmt: skip
        right = np.setdiff1d(np.arange(17), joint[_wrapped(xy, box)])
        np.testing.assert_allclose(maps.permute(1, 2, 0).numpy()[..., right], given[name][..., right], atol=2e-7)
        compared += len(right)
    assert compared > 100


@pytest.mark.parametrize("weights", ["fill", "zero_residual"])
def test_assignment(prn, weights):
    wanted = json.loads(parity(FOLDER, "prn_eval_cases.json").read_text())[weights]["results"]
    coco = _annotations()[1]
    net = prn if weights == "fill" else _nothing(prn)
    found = {}
    for image in {a["image_id"] for a in coco["annotations"]}:
        people = [a for a in coco["annotations"] if a["image_id"] == image]
        k = np.array([a["keypoints"] for a in people], np.float32).reshape(-1, 17, 3)
        person, joint = np.nonzero(k[..., 2] > 0)
        boxes = torch.tensor([a["bbox"] for a in people])
        keypoints, scores = authors_assign(net, torch.from_numpy(k[person, joint, :2]), torch.from_numpy(joint), boxes)
        for a, xy, s in zip(people, keypoints, scores, strict=True):
            found[image, tuple(a["bbox"])] = xy, s
    assert len(found) == len(wanted)
    for r in wanted:
        xy, s = found[r["image_id"], tuple(r["bbox"])]
        np.testing.assert_allclose(xy.numpy(), np.array(r["keypoints"]).reshape(17, 3)[:, :2], atol=1e-3, err_msg=str(r))
        assert float(s.sum() / 17) == pytest.approx(r["score"])


def _nothing(prn: PublishedPRN) -> PublishedPRN:
    with torch.device("meta"):
        net = PublishedPRN()
    net.load_state_dict({name: p.detach()[:1].expand(p.shape) * 0 for name, p in prn.named_parameters()}, assign=True)
    return net.eval()
