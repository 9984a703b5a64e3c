"""Lines 10 and 12: several models as one, at test time and on the command line."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from dots import BoxDots, Dots, photo_of

from manypose.cli.__main__ import main
from manypose.inference.ensemble import together
from manypose.inference.model import Model
from manypose.io import photos as media
from manypose.methods.catalog import build
from manypose.poses.skeleton import Skeleton
from manypose.weights import files

JOINTS = np.array([[40.0, 60.0], [110.0, 70.0], [75.0, 25.0]])
SMALL = {"stages": 1, "trunk": "tiny", "width": 16, "input_size": [128, 96]}


def mspn(seed: int) -> Model:
    torch.manual_seed(seed)
    return Model(build("mspn-1", **SMALL).eval())


def test_10_maps_of_top_down_models_are_averaged():
    photo, boxes = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8), [[10, 10, 90, 110]]
    one, other = mspn(0), mspn(1)
    both = together([one, other])
    assert both.needs_boxes
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 128, 96, 3), np.uint8))

    def heat(model: Model) -> torch.Tensor:
        with torch.no_grad():
            return model.method.readout(model.method.network(model.method.prepare(images)))["heat"]

    assert torch.allclose(heat(both), (heat(one) + heat(other)) / 2, atol=1e-6)
    assert not torch.allclose(heat(one), heat(other), atol=1e-3)
    alone, twice = (
        one.predict(photo, boxes=boxes, flip=True),
        together([one, Model(deepcopy(one.method))]).predict(photo, boxes=boxes, flip=True),
    )
    assert np.allclose(alone.keypoints, twice.keypoints, atol=1e-3)


def test_12_people_of_whole_photos_are_joined():
    """Each of two models sees a part of the people; one of them is seen by both and stays once."""

    class Half(Dots):
        def __init__(self, left: bool) -> None:
            super().__init__()
            self.left = left

        def decode(self, outputs, size):
            return [p[(p.keypoints[:, :, 0].mean(1) < 150) == self.left] for p in super().decode(outputs, size)]

    photo = photo_of((100, 150), JOINTS)
    both = together([Model(Half(True)), Model(Half(True)), Model(Half(False))])
    for options in ({}, {"flip": True}, {"scales": (1.0, 1.5)}):
        found, alone = both.predict(photo, **options), Model(Dots()).predict(photo, **options)
        assert len(found) == len(alone) == 1
        assert np.allclose(found.keypoints, alone.keypoints, atol=1e-3)
    assert not len(together([Model(Half(False)), Model(Half(False))]).predict(photo))


def test_10_12_models_that_do_not_fit_are_one_clear_error():
    other = BoxDots()
    other.skeleton = Skeleton.build("other", ["a", "b", "c"], [], [0.05] * 3)
    for models, message in (
        ([Model(Dots()), Model(BoxDots())], "not both"),
        ([Model(BoxDots()), Model(other)], "one skeleton"),
        ([mspn(0), Model(build("mspn-1", **{**SMALL, "input_size": [256, 192]}))], "one input size"),
    ):
        with pytest.raises(ValueError, match=message):
            together(models)


def test_10_12_ensembles_on_the_command_line(tmp_path, capsys):
    media.write(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8))
    (tmp_path / "boxes.json").write_text('[{"file_name": "a.png", "bbox": [10, 10, 80, 100], "score": 1.0}]')
    for i in range(2):
        files.save(mspn(i).method, tmp_path / f"{i}.safetensors", name="mspn-1", kwargs=SMALL)
    line = ["predict", str(tmp_path / "a.png"), "--model", str(tmp_path / "0.safetensors"), "--boxes", str(tmp_path / "boxes.json")]
    results = []
    for more in ([], ["--ensemble", str(tmp_path / "1.safetensors")], ["--ensemble", str(tmp_path / "0.safetensors")]):
        out = tmp_path / f"out{len(results)}"
        assert main([*line, "--out", str(out), "--format", "jsonl", "--device", "cpu", "--no-pictures", "--threshold", "0", *more]) == 0
        results.append((out / "poses.jsonl").read_text())
    assert results[0] != results[1]
    assert len(results[1].splitlines()) == 1
