"""MoveNet's trunk and heads against the published network's stored outputs, and its padding against TensorFlow's rule."""

import numpy as np
import pytest
import torch
from shared import shared
from torch.nn.functional import conv2d, pad

from manypose.nn.movenet import FEATURES, MoveNetHeads, MoveNetTrunk, load_heads, load_trunk, to_input
from manypose.nn.movenet_file import movenet_tensors


@pytest.mark.parity
@pytest.mark.slow
def test_the_four_heads_are_the_published_ones():
    file = shared("pretrained") / "movenet_thunder.safetensors"
    trunk, heads = MoveNetTrunk().eval(), MoveNetHeads().eval()
    load_trunk(trunk, file)
    load_heads(heads, file)
    with np.load(shared("pretrained") / "movenet_thunder.reference.npz") as z:
        picture = torch.from_numpy(z["heads_input"]).permute(0, 3, 1, 2).float()
        published = {name: torch.from_numpy(z[name]).permute(0, 3, 1, 2) for name in ("heat", "centre", "regression", "offset")}
    with torch.inference_mode():
        ours = heads(trunk(to_input(picture)))
    for name, expected in published.items():
        # raw heads reach 120: 1e-5 of that is single precision's own error
        assert (ours[name] - expected).abs().max() < 1e-5 * expected.abs().max(), name
    assert (ours["heat"].sigmoid() - published["heat"].sigmoid()).abs().max() < 1e-4


def test_a_turned_convolution_of_stride_two_pads_as_tensorflow_does():
    torch.manual_seed(0)
    x, kernel = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3)
    tensorflow = conv2d(pad(x, (0, 1, 0, 1)), kernel, stride=2)  # SAME: of an even side only the end is padded
    ours = conv2d(x.flip(2, 3), kernel.flip(2, 3), stride=2, padding=1).flip(2, 3)
    torch.testing.assert_close(ours, tensorflow)


def test_features_have_strides_4_to_32_and_frozen_parts_do_not_learn():
    trunk, picture = MoveNetTrunk(frozen=6), torch.zeros(1, 3, 64, 96)
    pyramid, own = trunk.pyramid(picture)
    assert pyramid.shape == (1, 24, 16, 24)
    assert [tuple(f.shape[1:]) for f in own] == [(c, 16 // 2**i, 24 // 2**i) for i, c in enumerate(FEATURES)]
    learns = {name.split(".")[1] for name, p in trunk.named_parameters() if p.requires_grad and name.startswith("blocks")}
    assert learns == {str(i) for i in range(6, 17)}
    assert not trunk.stem.weight.requires_grad


def test_another_file_is_told_apart(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(FileNotFoundError, match="no such file"):
        movenet_tensors(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not the weights of MoveNet Thunder"):
        movenet_tensors(tmp_path / "other.safetensors")
