"""Simple Pose: Li, Su & Wang, *Simple Pose: Rethinking and Improving a Bottom-up Approach for Multi-Person Pose Estimation*, AAAI 2020.

Besides a heat map per joint (Gaussians, σk = 9 pixels) there is one per body part, the area between two joints (elliptical Gaussians,
σp = 7), instead of a vector field (Eq. 1). Stacked hourglasses pass features and heat maps from stage to stage at five scales (IMHN,
Fig. 3). The focal L2 loss reduces the weight of easy cells (Eq. 2–4). Joints are peaks of the heat maps; pairs of them are scored by the
part's map between them; people are assembled greedily from the best of 30 parts, 13 of which are redundant.
Files: `body` (joints and parts), `network`, `cmu_baseline`, `targets`, `loss`, `decode` (`candidates`, `assembly`, `follow_limbs`,
`merge_by_proportions`), `published_decode`, `published` (checkpoints).

Deviations in decoding: maps are decoded at stride 4; parts of all types are processed by falling score, and two groups are joined only if
all parts between them agree (the authors' program processes type by type, attaches one end of a part only, and returns fragments); joints
without a peak are placed at the ends of their parts; fragments are joined to the person whose proportions they fit. Training is as in the
paper, or with ``published=True`` as in the authors' program where the two differ (targets, focal factor, sums).

Published: AP 69.1 on COCO val2017, 68.1 on test-dev, 512 px, four scales, flip (Table 1, experiment 16; Table 2).
Ours: see the README and the models' cards.
"""

from inspect import Parameter, signature
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from manypose.data.sample import Batch
from manypose.methods.method import Field, Maps
from manypose.methods.simple_pose.body import Body, body_of
from manypose.methods.simple_pose.loss import LAMBDAS, simple_pose_loss
from manypose.methods.simple_pose.network import IMHN, SCALES, Wiring
from manypose.methods.simple_pose.targets import targets
from manypose.nn.movenet_photo import LIGHT, movenet_pixels
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, Skeleton, named

__all__ = ["SimplePose"]

PUBLISHED_LAMBDAS = (0.1, 0.2, 0.4, 1.6, 6.4)


class SimplePose(nn.Module):
    """The method: heat maps of joints and body parts, and greedy assembly of people.

    Args:
        stages: number of hourglasses (or stages of the cascade).
        size: default short side of the input, in pixels.
        skeleton: a skeleton, its name, or the path of its YAML.
        c: channels of the network at stride 4 (Section "Network Structure").
        n: additional channels per halving of the resolution.
        wiring: see `network.Wiring`. ``cascade``: the baseline's CNN, at 1/8 of the input (CMU-Net, Table 1).
            ``movenet``, ``efficientnet_lite0`` … ``2``: the light network on that trunk (`mobile`), without stages, n and attention.
        spatial_attention: heat maps at five scales (experiment 9: without).
        channel_attention: squeeze and excitation (experiment 10: without).
        redundant: all parts, or only a spanning tree of the joints (experiment 12).
        encoding: ``parts``, or ``fields``: the baseline's part affinity fields (experiment 1).
        auxiliary: two more channels, the person mask and the maximum of all joints' maps, as in the published networks.
        focal: channels with focal loss: ``all``, ``joints`` (experiment 11) or ``none`` (plain L2).
        alpha: a foreground cell's factor is |1 + α - S|: α at S = 1, 0 at S = 1 + α (Equation 2).
        beta: a background cell's factor is |S + β|: β at S = 0, 0 at S = -β.
        eta: the weight of joints is η + 1, that of parts 1 (Equation 3).
        power: of the focal factor (Equation 3: 2).
        mask_weight: weight of the auxiliary person mask.
        thre: value at which Gaussians are truncated, and threshold of foreground cells.
        sigma_k: deviation of joints' Gaussians, in pixels of the input.
        sigma_p: deviation across parts.
        lambdas: weights of the scales, finest first (Equation 4).
        published: targets, loss and defaults of α, β, power and λ as in the authors' program instead of the paper; for their checkpoints.
        decoder: ``ours`` (`decode.decode`), ``published``, the authors' program, or ``paper``, the paper's text (`published_decode`).
        assembly: arguments of `decode.decode`.
        pretrained, frozen: for a light trunk, see `manypose.nn.movenet_photo.photo_trunk`.

    Raises:
        ValueError: inconsistent arguments.
    """

    stride = 64
    training_only: tuple[str, ...] = ("frozen",)

    def __init__(
        self,
        stages: int = 4,
        size: int = 512,
        skeleton: Skeleton | str = COCO,
        c: int = 256,
        n: int = 128,
        wiring: Wiring | Literal["cascade", "movenet", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"] = "released",
        spatial_attention: bool = True,
        channel_attention: bool = True,
        redundant: bool = True,
        encoding: Literal["parts", "fields"] = "parts",
        auxiliary: bool = True,
        focal: Literal["all", "joints", "none"] = "all",
        alpha: float | None = None,
        beta: float | None = None,
        eta: float = 2.0,
        power: float | None = None,
        mask_weight: float = 0.1,
        thre: float = 0.01,
        sigma_k: float = 9.0,
        sigma_p: float = 7.0,
        lambdas: tuple[float, ...] | None = None,
        published: bool = False,
        decoder: Literal["ours", "published", "paper"] = "ours",
        assembly: dict[str, Any] | None = None,
        pretrained: str | bool | None = None,
        frozen: int = 0,
    ) -> None:
        super().__init__()
        _one_of("wiring", wiring, (*get_args(Wiring), "cascade", *LIGHT))
        _one_of("encoding", encoding, ("parts", "fields"))
        _one_of("focal", focal, ("all", "joints", "none"))
        _one_of("decoder", decoder, ("ours", "published", "paper"))
        if decoder != "ours" and encoding == "fields":
            raise ValueError(f"decoder {decoder} reads body parts; of part affinity fields (encoding fields) ours alone makes people")
        self._decoder = decoder
        if not (0 < thre < 1 and min(sigma_k, sigma_p) > 0 and stages >= 1):
            raise ValueError(
                f"Simple Pose needs 0 < thre < 1, positive deviations and a stage, got thre {thre}, sigma_k {sigma_k}, sigma_p {sigma_p}, "
                f"stages {stages}"
            )
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.size = size
        self.body = body_of(self.skeleton, redundant)
        joints, parts = len(self.body.sources), len(self.body.parts) * (2 if encoding == "fields" else 1)
        self.encoding, self._parts, self._joints = encoding, parts, joints
        if wiring == "cascade":
            from manypose.methods.simple_pose.cmu_baseline import Cascade

            self.net: nn.Module = Cascade(parts, joints + 2 * auxiliary, stages)
        elif wiring in LIGHT:
            from manypose.methods.simple_pose.mobile import MobileMaps

            if encoding == "fields":
                raise ValueError(f"wiring {wiring} has body parts, not fields")
            self.net = MobileMaps(self.body, 2 * auxiliary, c, frozen, pretrained, wiring)
        else:
            self.net = IMHN(parts + joints + 2 * auxiliary, stages, c, n, wiring, spatial_attention, channel_attention)
        self.grid, self._light = 8 if wiring == "cascade" else 4, wiring in LIGHT
        scales = SCALES if wiring in ("released", "paper", "paper_wide") and spatial_attention else 1
        lambdas = lambdas or (PUBLISHED_LAMBDAS if published else LAMBDAS)
        if len(lambdas) < scales or min(lambdas) < 0 or sum(lambdas[:scales]) <= 0:
            raise ValueError(f"heat maps have {scales} scales: they need as many lambdas, none negative, one positive; got {list(lambdas)}")
        mirror = _mirrored_fields(self.body) if encoding == "fields" else self.body.mirror_parts
        self.fields = {"part": Field(mirror), "heat": Field(self.body.mirror_joints)}
        # The authors' parts extend a cell beyond their joints; those of the paper's definition taper before them.
        self.assembly = {"ridges": {"beyond": 1.0 if published else -0.5}, **_known(assembly or {})}
        self._targets: dict[str, Any] = {
            "sigma_k": sigma_k, "sigma_p": sigma_p, "thre": thre, "published": published, "auxiliary": auxiliary,
            "fields": encoding == "fields", "stride": self.grid, "scales": scales,
        }  # fmt: skip
        self._loss: dict[str, Any] = {
            "weights": [1.0] * parts + [eta + 1] * joints + [mask_weight, 1.0] * auxiliary,
            "focal": {"none": None, "all": [1.0] * (parts + joints + 2 * auxiliary)}.get(
                focal, [0.0] * parts + [1.0] * joints + [0.0, 0.0] * auxiliary
            ),
            "lambdas": lambdas[:scales], "stages": "mean" if published else "sum", "thre": thre, "inclusive": published,
            "alpha": alpha if alpha is not None else 0.0 if published else 0.1,
            "beta": beta if beta is not None else 0.0 if published else 0.02, 
            "power": power if power is not None else 1.0 if published else 2.0,
        }  # fmt: skip

    def prepare(self, images: UInt8[Tensor, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        """BGR scaled to 0 … 1, as in the authors' program; RGB scaled to -1 … 1 for light trunks."""
        if self._light:
            return movenet_pixels(images)
        return images.permute(0, 3, 1, 2).flip(1).float() / 255

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``stage{t}_scale{i}``: (b, parts + joints + 2, h, w) of each stage at strides 4 … 64."""
        return {f"stage{t}_scale{i}": maps for t, stage in enumerate(self.net(images)) for i, maps in enumerate(stage)}

    forward = network

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """See `manypose.methods.simple_pose.targets.targets`."""
        return targets(people, size, self.body, **self._targets)

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """Means over the batch of each scale's part of `manypose.methods.simple_pose.loss.simple_pose_loss`."""
        return {name: part.mean() for name, part in simple_pose_loss(outputs, targets, **self._loss).items()}

    def readout(self, outputs: Maps) -> Maps:
        """``part`` (b, l, h, w; for fields x, y, -x and -y of all parts) and ``heat`` (b, j, h, w) of the last stage's finest scale."""
        last = max((name for name in outputs if name.endswith("_scale0")), key=lambda name: int(name[5:].partition("_")[0]))
        part, heat = outputs[last][:, : self._parts + self._joints].float().split([self._parts, self._joints], 1)
        if self.encoding == "fields":
            part = torch.cat([part, -part], 1)  # mirroring then exchanges channels
        return {"part": part, "heat": heat}

    def decode(self, outputs: Maps, size: tuple[int, int]) -> list[Poses]:
        """People from ``part`` and ``heat``; see `manypose.methods.simple_pose.decode` and `published_decode`."""
        from manypose.methods.simple_pose.decode import decode
        from manypose.methods.simple_pose.published_decode import decode_published

        if self._decoder != "ours":
            return decode_published(outputs["part"], outputs["heat"], self.body, size, self._decoder == "paper")
        return decode(outputs["part"], outputs["heat"], self.body, size, **self.assembly)


def _one_of(name: str, given: str, there: tuple[str, ...]) -> None:
    if given not in there:
        raise ValueError(f"{name} is one of {', '.join(there)}; got {given!r}")


def _known(assembly: dict[str, Any]) -> dict[str, Any]:
    """The checked arguments of `decode.decode`."""
    from manypose.methods.simple_pose.decode import decode

    there = [name for name, p in signature(decode).parameters.items() if p.kind is Parameter.KEYWORD_ONLY]
    for name in assembly:
        _one_of("an argument of assembly", name, tuple(there))
    return assembly


def _mirrored_fields(body: Body) -> tuple[int, ...]:
    """Channel order of x, y, -x and -y after mirroring: x changes its sign, and both do if the mirrored part is reversed."""
    n = len(body.parts)
    images = [body.parts[i] for i in body.mirror_parts]
    backwards = [tuple(body.mirror_joints[j] for j in p) != image for p, image in zip(body.parts, images, strict=True)]
    signs = [(sign ^ (axis == 0), axis) for sign in (0, 1) for axis in (0, 1)]
    return tuple(((sign ^ back) * 2 + axis) * n + i for sign, axis in signs for i, back in zip(body.mirror_parts, backwards, strict=True))
