"""Simple Pose: Li, Su & Wang, *Simple Pose: Rethinking and Improving a Bottom-up Approach for Multi-Person Pose Estimation*, AAAI 2020.

Idea: beside a heat map for each joint (Gaussians, σk = 9 pixels) there is one for each body part, the area between two joints (elliptical
Gaussians, σp = 7), where others paint a vector field (Eq. 1). Stacked hourglasses carry features and heat maps from stage to stage at five
scales (IMHN, Fig. 3). The focal L2 loss weighs down cells that are easy and right (Eq. 2–4). Joints are the heat maps' peaks; a pair of
them is a part as far as the part's map says so between them; people are assembled greedily from the best parts, 13 of which are redundant.
Files: `body` (joints and parts), `network`, `cmu_baseline`, `targets`, `loss`, `decode` (`candidates`, `assembly`, `follow_limbs`,
`merge_by_proportions`), `published_decode`, `published` (checkpoints).

We deviate, as decoding goes: maps are decoded at 1/4 of the input and not enlarged; parts are taken from the best on, of whatever kind,
and two groups join only where all parts between them agree (the authors' program goes kind by kind, attaches one end of a part only, and
returns fragments); joints without a peak are placed where the parts that lead to them end; fragments join the person whose proportions
they fit. Training is as in the paper; ``published=True`` is the authors' program where the two differ (targets, focal factor, sums).

Published: AP 69.1 on COCO val2017, 68.1 on test-dev, 512 px, four scales, flip (Table 1, experiment 16; Table 2).
Ours: see the table of models in the README.
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
    """Heat maps of joints and body parts, and people assembled from them.

    Args:
        stages: how many hourglasses (or stages of the cascade).
        size: the short side of the input it is tested at, in pixels.
        skeleton: a skeleton, its name, or the path of its YAML.
        c: channels of the network at 1/4 of the input (Section "Network Structure").
        n: how many more each halving brings.
        wiring: of the network; see `network.Wiring`. ``cascade``: the baseline's CNN, at 1/8 of the input (CMU-Net, Table 1).
            ``movenet``, ``efficientnet_lite0`` … ``2``: the light network on that trunk (`mobile`); stages, n and both attentions do not
            apply to it.
        spatial_attention: heat maps at five scales (experiment 9: without).
        channel_attention: squeeze and excitation (experiment 10: without).
        redundant: all parts, or a spanning tree of the joints alone (experiment 12).
        encoding: ``parts``, or ``fields``: the baseline's part affinity fields (experiment 1).
        auxiliary: two more channels, a mask of all people and the largest of all joints' maps, as the published networks have.
        focal: which channels' loss is focal: ``all``, ``joints`` (experiment 11) or ``none`` (plain L2).
        alpha: a foreground cell's factor is |1 + α - S|: α at S = 1, 0 at S = 1 + α (Equation 2).
        beta: a background cell's factor is |S + β|: β at S = 0, 0 at S = -β.
        eta: joints weigh η + 1, parts 1 (Equation 3).
        power: of the focal factor (Equation 3: 2).
        mask_weight: weight of the auxiliary person mask.
        thre: where Gaussians are cut off, and which cells are foreground.
        sigma_k: deviation of joints' Gaussians, in pixels of the input.
        sigma_p: of parts', across.
        lambdas: weights of the scales, finest first (Equation 4).
        published: targets and loss as in the authors' program instead of the paper's text, and what is not given of α, β, power and λ as
            theirs; for their checkpoints too.
        decoder: ``ours`` (`decode.decode`), ``published``, the authors' program, or ``paper``, their text (`published_decode`).
        assembly: arguments of `decode.decode`.
        pretrained, frozen: of a light trunk, see `manypose.nn.movenet_photo.photo_trunk`.

    Raises:
        ValueError: arguments that do not go together.
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
                raise ValueError(f"wiring {wiring} paints body parts, not fields")
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
        # The authors' parts are painted a cell beyond their joints; those of the paper's definition grow thin before them.
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
        """BGR from 0 to 1, as the authors' OpenCV reads photos; RGB from -1 to 1 for light trunks."""
        if self._light:
            return movenet_pixels(images)
        return images.permute(0, 3, 1, 2).flip(1).float() / 255

    def network(self, images: Float[Tensor, "b 3 H W"]) -> Maps:
        """``stage{t}_scale{i}``: (b, parts + joints + 2, h, w) of each stage at 1/4 … 1/64 of the input."""
        return {f"stage{t}_scale{i}": maps for t, stage in enumerate(self.net(images)) for i, maps in enumerate(stage)}

    forward = network

    def targets(self, people: Batch, size: tuple[int, int]) -> Maps:
        """See `manypose.methods.simple_pose.targets.targets`."""
        return targets(people, size, self.body, **self._targets)

    def loss(self, outputs: Maps, targets: Maps) -> dict[str, Tensor]:
        """Means over the batch of each scale's part of `manypose.methods.simple_pose.loss.simple_pose_loss`."""
        return {name: part.mean() for name, part in simple_pose_loss(outputs, targets, **self._loss).items()}

    def readout(self, outputs: Maps) -> Maps:
        """``part`` (b, l, h, w) and ``heat`` (b, j, h, w): the last stage at the finest scale. Of fields: x, y, -x and -y of all parts."""
        last = max((name for name in outputs if name.endswith("_scale0")), key=lambda name: int(name[5:].partition("_")[0]))
        part, heat = outputs[last][:, : self._parts + self._joints].float().split([self._parts, self._joints], 1)
        if self.encoding == "fields":
            part = torch.cat([part, -part], 1)  # so that a mirrored sign is another channel
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
    """The arguments of `decode.decode`, its own names alone."""
    from manypose.methods.simple_pose.decode import decode

    there = [name for name, p in signature(decode).parameters.items() if p.kind is Parameter.KEYWORD_ONLY]
    for name in assembly:
        _one_of("an argument of assembly", name, tuple(there))
    return assembly


def _mirrored_fields(body: Body) -> tuple[int, ...]:
    """Channels of x, y, -x and -y in the mirrored picture: x changes its sign, and a part whose mirror image runs backwards both signs."""
    n = len(body.parts)
    images = [body.parts[i] for i in body.mirror_parts]
    backwards = [tuple(body.mirror_joints[j] for j in p) != image for p, image in zip(body.parts, images, strict=True)]
    signs = [(sign ^ (axis == 0), axis) for sign in (0, 1) for axis in (0, 1)]
    return tuple(((sign ^ back) * 2 + axis) * n + i for sign, axis in signs for i, back in zip(body.mirror_parts, backwards, strict=True))
