"""Test-time augmentation equal to the authors' programs', with a stand-in for the network."""

import numpy as np
import pytest
import torch
from shared import parity, parity_module
from torch import Tensor

from manypose.inference.test_time_augmentation import outputs
from manypose.inference.views import _centred, published_views
from manypose.methods.method import Field, Maps
from manypose.methods.swahr.network import read
from manypose.poses.skeleton import COCO, CROWDPOSE

FILE = np.load(parity("hrnet_mspn", "swahr_pipeline_tta.npz"))
cases = parity_module("hrnet_mspn", "cases")

CONFIGURATIONS = sorted(k.removesuffix("_heatmaps_sub") for k in FILE if k.endswith("_heatmaps_sub"))


class StandIn(torch.nn.Module):
    """`cases.fake_model` as a method whose maps are read by our own HigherHRNet's rule."""

    stride = 64
    size = 64
    training_only: tuple[str, ...] = ()

    def __init__(self, skeleton, scale_branch):
        super().__init__()
        self.skeleton, self.skip = skeleton, len(skeleton) if scale_branch else 0
        self.fields = {"heat": Field(skeleton.mirror), "tag": Field(skeleton.mirror, "stack", "base")}
        self.net = cases.fake_model(len(skeleton), scale_branch)

    def prepare(self, images: Tensor) -> Tensor:
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        return ((images.float() / 255 - mean) / deviation).permute(0, 3, 1, 2)

    def network(self, images: Tensor) -> Maps:
        k, (quarter, half) = len(self.skeleton), self.net(images)
        _, heat4, tag4 = quarter.split([self.skip, k, k], 1)
        return {"heat4": heat4, "tag4": tag4, "heat2": half[:, self.skip : self.skip + k]}

    def readout(self, outputs: Maps) -> Maps:
        return read(outputs)

    def targets(self, people, size):
        raise NotImplementedError

    def loss(self, outputs, targets):
        raise NotImplementedError

    def decode(self, outputs, size):
        raise NotImplementedError


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_merged_maps_are_the_authors(name):
    several = "_ms_" in name
    # The inputs do not depend on the network or on what is done with its maps; they are stored once.
    stored = f"swahr_{'ms' if several else 's1'}_flip_proj_resized_uint8_"
    images = [torch.from_numpy(FILE[k])[None] for k in sorted(k for k in FILE if k.startswith(stored))]
    assert len(images) == (3 if several else 1)
    method = StandIn(CROWDPOSE if "crowdpose" in name else COCO, not name.startswith("higher"))
    base_size = tuple(FILE[f"{name}_base_size_wh"][::-1])
    base = next(i for i, image in enumerate(images) if tuple(image.shape[1:3]) == base_size)
    zooms = [image.shape[1] / base_size[0] for image in images]
    maps = outputs(method, images, zooms, base, flip="_flip_" in name, grid="largest" if name.endswith("noproj") else "input")
    assert [*maps["heat"].shape, *maps["tag"].shape] == FILE[f"{name}_shape"].tolist()
    step = int(FILE[f"{name}_subsample"])
    for ours, theirs, means in (("heat", "heatmaps", "heatmap"), ("tag", "tags", "tag")):
        assert np.abs(maps[ours][:, :, ::step, ::step].numpy() - FILE[f"{name}_{theirs}_sub"]).max() < 1e-5
        mean = maps[ours].double().mean((2, 3))[0].numpy()
        assert np.abs(mean - FILE[f"{name}_{means}_channel_mean_fp64"]).max() < 1e-6


@pytest.mark.parametrize("row", FILE["size_table_h_w_input_scale_minscale_rw_rh_cx_cy_sx_sy"].tolist())
def test_published_sizes(row):
    h, w, size, scale, smallest, rw, rh, cx, cy, sx, _ = row
    scales = (scale,) if smallest == scale else (smallest, scale) if scale != 1 or smallest == 1 else (smallest, 1.0)
    warp = published_views((int(h), int(w)), int(size), scales)[-1]
    assert warp.size == (rh, rw)
    assert np.allclose(warp.points(np.array([[cx, cy]])), [[rw / 2, rh / 2]])
    assert warp.scale == pytest.approx(rw / (200 * sx))


def test_published_places_in_the_photo():
    decoded = np.load(parity("hrnet_mspn", "decoder_reference.npz"))
    for name in ("e05", "e10"):
        if f"{name}_refined" not in decoded:
            continue
        found, final = decoded[f"{name}_refined"], FILE[f"final_preds_{name}_"]
        cx, cy, sx, _ = FILE[f"final_preds_{name}_center_scale"]
        size = tuple(cases.decoder_case(int(name[1:]), mode="easy")[0].shape[2:])
        warp = _centred(np.array([cx, cy]), size[1] / (200 * sx), size)
        back = found[..., :2].astype(np.float64) @ warp.inverse[:, :2].T + warp.inverse[:, 2]
        assert np.abs(back - final[..., :2]).max() < 1e-3
        return
    pytest.skip("neither e05 nor e10 is among the stored decoder cases")


@pytest.mark.parametrize(("name", "scales"), [("s1", (1.0,)), ("ms", (2.0, 1.0, 0.5))])
def test_the_photo_as_the_authors_resize_it(name, scales):
    photo = cases.uint8_image(5, 75, 100)
    for i, warp in enumerate(published_views(photo.shape[:2], 64, scales)):
        theirs = FILE[f"swahr_{name}_flip_proj_resized_uint8_{i}"].astype(int)
        assert warp.size == theirs.shape[:2]
        # OpenCV 5 gives the very pixels; 4.x differs by up to 4 grey levels in a fifth of them.
        assert np.abs(warp.image(photo).astype(int) - theirs).mean() < 1
