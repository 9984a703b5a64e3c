"""HigherHRNet, and the scale branches of SWAHR (Section 3.5, Figure 4), with the published names of all parameters."""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from timm.models.resnet import BasicBlock
from torch import Tensor, cat, nn
from torch.nn.functional import interpolate

from manypose.methods.method import Maps
from manypose.nn.backbones import hrnet_branches, hrnet_parts, hrnet_width

__all__ = ["HigherHRNet", "enlarge", "initialize", "read", "scale_head"]


class HigherHRNet(nn.Module):
    """Heat maps and tags at stride 4, heat maps at stride 2; with `scale_branch` also scale maps at both.

    Args:
        trunk: any HRNet of timm.
        joints: number of joints; COCO 17, CrowdPose 14.
        scale_branch: predict SAHR's ``1/s - 1`` for every cell and joint.
        pretrained: initialize the trunk from ImageNet weights.
        dilation: of the convolutions of each of the four residual blocks at stride 2 (Table 7).
    """

    def __init__(
        self,
        trunk: str = "hrnet_w32",
        joints: int = 17,
        scale_branch: bool = True,
        pretrained: bool = False,
        dilation: Sequence[int] = (1, 1, 1, 1),
    ) -> None:
        super().__init__()
        parts = hrnet_parts(trunk, branches=1, pretrained=pretrained)
        for name, part in parts.items():
            self.add_module(name, part)
        c = hrnet_width(parts)
        self.joints = joints
        self.final_layers = nn.ModuleList([nn.Conv2d(c, 2 * joints, 1), nn.Conv2d(c, joints, 1)])
        self.deconv_layers = nn.ModuleList([enlarge(c + 2 * joints, c, dilation)])
        self.conv_scale_layers = nn.ModuleList([scale_head(c, joints), scale_head(c, joints)]) if scale_branch else None
        for module in (self.final_layers, self.deconv_layers, self.conv_scale_layers):
            if module is not None:
                module.apply(initialize)
        for module in (self.conv_scale_layers or nn.Module()).modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                nn.init.zeros_(module.weight)  # initially s = 1

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``heat4``, ``tag4``, ``heat2`` and optionally ``scale4``, ``scale2``: (b, k, h, w) at strides 4 and 2."""
        fine = hrnet_branches(self, images)[0]
        quarter = self.final_layers[0](fine)
        half = self.deconv_layers[0](cat([fine, quarter], 1))
        heat, tag = quarter.split(self.joints, 1)
        out = {"heat4": heat, "tag4": tag, "heat2": self.final_layers[1](half)}
        if self.conv_scale_layers is not None:
            out["scale4"] = self.conv_scale_layers[0](fine)
            out["scale2"] = self.conv_scale_layers[1](half)
        return out


def read(outputs: Maps, heat_maps: Literal["both", "half"] = "both") -> Maps:
    """``heat``: mean of both heat maps (Section 3.5), or only the finer; ``tag``; both (b, k, h, w) at stride 2, enlarged bilinearly."""
    heat, tag = (interpolate(outputs[m].float(), scale_factor=2.0, mode="bilinear", align_corners=False) for m in ("heat4", "tag4"))
    fine = outputs["heat2"].float()
    return {"heat": (heat + fine) / 2 if heat_maps == "both" else fine, "tag": tag}


def enlarge(c_in: int, c: int, dilation: Sequence[int]) -> nn.Sequential:
    """The deconvolution to stride 2 and its residual blocks (HigherHRNet)."""
    up = nn.Sequential(nn.ConvTranspose2d(c_in, c, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(c), nn.ReLU(inplace=True))
    return nn.Sequential(up, *(nn.Sequential(BasicBlock(c, c, dilation=d)) for d in dilation))


def scale_head(c: int, k: int) -> nn.Sequential:
    """A scale branch (Figure 4)."""
    return nn.Sequential(nn.Conv2d(c, k, 1), nn.BatchNorm2d(k), nn.ReLU(inplace=True), nn.Conv2d(k, k, 9, padding=4, groups=k))


def initialize(module: nn.Module) -> None:
    """Initialize a layer of a head as published, for `nn.Module.apply`."""
    # As published for the heads. The backbone keeps timm's Kaiming initialization: the authors use ImageNet weights, and N(0, 0.001) would
    # be near BN's eps for few channels, which matters in training from random weights.
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, std=0.001)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
