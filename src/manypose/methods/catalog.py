"""The catalog of named models: method, arguments, and the paper's figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from manypose.methods.method import Method

__all__ = ["MODELS", "ModelSpec", "build", "no_model"]


@dataclass(frozen=True)
class ModelSpec:
    """A model of the catalog.

    Args:
        factory: ``module:callable`` that returns the `Method`.
        kwargs: its arguments.
        summary: one line for ``manypose models``.
        published: the paper's figures, with their source.
        detector: of a top-down model: the name of the default person detector, optionally with ``@`` and its input's short side.
        weights: name of the model whose bundled weights are used; empty: its own.
        untrainable: the reason why it cannot be trained; empty: it can.
    """

    factory: str
    kwargs: dict[str, Any]
    summary: str
    published: str = ""
    detector: str = ""
    weights: str = ""
    untrainable: str = ""


NANODET_AS_IT_IS = "NanoDet comes with its published weights and is not trained here; MultiPoseNet's person subnet is a detector that is"


def _swahr(trunk: str, size: int, scale_branch: bool, published: str = "") -> ModelSpec:
    kwargs = {"trunk": trunk, "size": size, "scale_branch": scale_branch}
    name = trunk.replace("hrnet_w", "HigherHRNet-W").replace("_", "-") + (" + SWAHR" if scale_branch else "")
    return ModelSpec("manypose.methods.swahr:SWAHR", kwargs, f"{name}, bottom-up, {size} px", published)


def _mspn(stages: int, published: str) -> ModelSpec:
    summary = f"MSPN, {stages} stage{'s' if stages > 1 else ''} of ResNet-50, top-down, 256 x 192 px a person"
    return ModelSpec("manypose.methods.mspn:MSPN", {"stages": stages}, summary, published)


def _hrnet(width: int, size: tuple[int, int], published: str) -> ModelSpec:
    summary = f"HRNet-W{width}, top-down, {size[0]} x {size[1]} px a person"
    return ModelSpec("manypose.methods.mspn:HRNet", {"trunk": f"hrnet_w{width}", "input_size": list(size)}, summary, published)


def _simple(width: int, published: str) -> ModelSpec:
    kwargs = {"trunk": f"hrnet_w{width}", "size": 512}
    return ModelSpec("manypose.methods.simple:SIMPLE", kwargs, f"SIMPLE, HRNet-W{width}, bottom-up with boxes, 512 px", published)


def _light_multiposenet(summary: str, **different: Any) -> ModelSpec:
    kwargs = {"norm": True, "sigma": 1.5, "mask_weight": 0.25, "prn": {"kind": "AttentionPRN"}, "grouping": {"threshold": 0.3}}
    return ModelSpec("manypose.methods.multiposenet:MultiPoseNet", kwargs | different, summary)


def _multiposenet(trunk: str, published: str) -> ModelSpec:
    summary = f"MultiPoseNet, {trunk.replace('resnet', 'ResNet-')}, bottom-up, 480 px"
    return ModelSpec("manypose.methods.multiposenet:MultiPoseNet", {"trunk": trunk, "size": 480, "prn": {}}, summary, published)


MODELS: dict[str, ModelSpec] = {
    "swahr-w18-small": _swahr("hrnet_w18_small", 256, True),
    "swahr-mobile": ModelSpec(
        "manypose.methods.swahr:SWAHR",
        {"trunk": "movenet", "size": 448, "dilation": [1, 1], "grouping": {"tag_threshold": 4.0}},
        "HigherHRNet's heads + SWAHR on MoveNet's trunk, bottom-up, 448 px",
    ),
    "swahr-w32": _swahr("hrnet_w32", 512, True, "AP 68.9 COCO val2017, one scale, flip (SWAHR, Table 3)"),
    "swahr-w48": _swahr("hrnet_w48", 640, True, "AP 70.2 COCO test-dev2017, one scale, flip (SWAHR, Table 1)"),
    "higherhrnet-w32": _swahr("hrnet_w32", 512, False, "AP 67.1 COCO val2017, one scale, flip (SWAHR, Table 3)"),
    "higherhrnet-w48": _swahr("hrnet_w48", 640, False, "AP 68.4 COCO test-dev2017, one scale, flip (SWAHR, Table 1)"),
    "mspn-1": _mspn(1, "AP 71.5 COCO minival, flip (MSPN, Table 2)"),
    "mspn-2": _mspn(2, "AP 74.5 COCO minival, flip (MSPN, Table 2)"),
    "mspn-3": _mspn(3, "AP 75.2 COCO minival, flip (MSPN, Table 2)"),
    "mspn-4": _mspn(4, "AP 75.9 COCO minival, flip (MSPN, Table 2)"),
    "mspn-small": ModelSpec(
        "manypose.methods.mspn:MSPN",
        {
            "stages": 2,
            "trunk": "tiny",
            "depths": [2, 3, 2, 2],
            "width": 64,
            "input_size": [128, 96],
            "extend": [1.25, 1.25],
            "peak": 12.0,
            "hardest": None,
            "hidden": True,
        },
        "MSPN, 2 light stages, top-down, 128 x 96 px a person",
        detector="nanodet-fast",
    ),
    "mspn-medium": ModelSpec(
        "manypose.methods.mspn:MSPN",
        {"stages": 2, "trunk": "light", "width": 128, "extend": [1.25, 1.25], "peak": 12.0, "hardest": None, "hidden": True},
        "MSPN, 2 stages of middle weight, top-down, 256 x 192 px a person",
        detector="nanodet",
    ),
    "mspn-mobile": ModelSpec(
        "manypose.methods.mspn.mobile:MobileMSPN",
        {},
        "MSPN, two light stages, the first MoveNet's, top-down, 256 x 192 px a person",
        detector="nanodet",
    ),
    "mspn-mobile-fast": ModelSpec(
        "manypose.methods.mspn.mobile:MobileMSPN",
        {"input_size": [192, 128]},
        "the same weights as mspn-mobile, 192 x 128 px a person",
        detector="nanodet-fast",
        weights="mspn-mobile",
    ),
    "nanodet": ModelSpec(
        "manypose.methods.nanodet:NanoDet",
        {},
        "NanoDet-g, a person detector for top-down models, 448 and 256 px",
        untrainable=NANODET_AS_IT_IS,
    ),
    "nanodet-fast": ModelSpec(
        "manypose.methods.nanodet:NanoDet",
        {"size": 288, "zooms": []},
        "NanoDet-g, a person detector for top-down models, 288 px",
        weights="nanodet",
        untrainable=NANODET_AS_IT_IS,
    ),
    "hrnet-w32": _hrnet(32, (256, 192), ""),
    "hrnet-w48": _hrnet(48, (384, 288), "AP 75.5 COCO test-dev2017, flip (HRNet, as quoted in MSPN)"),
    "imhn-small": ModelSpec(
        "manypose.methods.simple_pose:SimplePose",
        {"stages": 2, "size": 128, "c": 32, "n": 32, "sigma_k": 4.0, "sigma_p": 3.0, "auxiliary": False},
        "Simple Pose, light 2-stage IMHN, bottom-up, 128 px",
    ),
    "simple-pose-mobile": ModelSpec(
        "manypose.methods.simple_pose:SimplePose",
        {"size": 448, "c": 64, "wiring": "movenet", "sigma_k": 7.0, "sigma_p": 6.0, "auxiliary": False},
        "Simple Pose on MoveNet's trunk, bottom-up, 448 px",
    ),
    "imhn-3": ModelSpec(
        "manypose.methods.simple_pose:SimplePose",
        {"stages": 3, "size": 384, "published": True},
        "Simple Pose, 3-stage IMHN, bottom-up, 384 px",
        "AP 65.8 COCO val2017, four scales, flip (Simple Pose, Table 1)",
    ),
    "imhn-4": ModelSpec(
        "manypose.methods.simple_pose:SimplePose",
        {"stages": 4, "size": 512, "published": True},
        "Simple Pose, 4-stage IMHN, bottom-up, 512 px",
        "AP 69.1 COCO val2017, four scales, flip (Simple Pose, Table 1)",
    ),
    "multiposenet-r50": _multiposenet("resnet50", "AP 62.3 COCO val2017 (MultiPoseNet, Table 2)"),
    "multiposenet-r101": _multiposenet("resnet101", "AP 63.9 COCO val2017 (MultiPoseNet, Table 2)"),
    "multiposenet-small": _light_multiposenet(
        "MultiPoseNet, ResNet-18 of half width, bottom-up, 256 px",
        trunk="resnet18",
        size=256,
        channels=[32, 64, 128, 256],
        width=64,
        features=32,
        smooth=64,
        anchor_scale=3.0,
    ),
    "multiposenet-medium": _light_multiposenet(
        "MultiPoseNet, light ResNet-18, bottom-up, 384 px",
        trunk="resnet18",
        size=384,
        channels=[64, 128, 256, 384],
        width=96,
        features=48,
        smooth=96,
    ),
    "multiposenet-mobile": _light_multiposenet(
        "MultiPoseNet on MoveNet's trunk, bottom-up, 448 px",
        trunk="movenet",
        size=448,
        width=64,
        features=32,
        smooth=64,
        sigma=2.25,
    ),
    "simple-w18": _simple(18, "AP 66.1 COCO test-dev2017, one scale (SIMPLE, Table 4)"),
    "simple-w32": _simple(32, "AP 69.6 COCO test-dev2017, one scale (SIMPLE, Table 4)"),
    "simple-mobile": ModelSpec(
        "manypose.methods.simple:SIMPLE",
        {"trunk": "movenet", "size": 448, "channels": 32, "inner": 24},
        "SIMPLE on MoveNet's trunk, bottom-up with boxes, 448 px",
    ),
    "simple-small": ModelSpec(
        "manypose.methods.simple:SIMPLE",
        {"trunk": "hrnet_w18_small", "size": 192, "channels": 32, "inner": 32},
        "SIMPLE, HRNet-W18-small, bottom-up with boxes, 192 px",
    ),
}


def build(name: str, **overrides: Any) -> Method:
    """A new, untrained method by name; `overrides` replace arguments of its factory (such as ``skeleton``).

    Raises:
        ValueError: no such name; the message lists the names.
    """
    if name not in MODELS:
        raise ValueError(no_model(name))
    module, _, attribute = MODELS[name].factory.partition(":")
    return getattr(import_module(module), attribute)(**{**MODELS[name].kwargs, **overrides})


def no_model(name: str, others: Sequence[str] = (), what: str = "model") -> str:
    """The error message for an unknown model name, with the most similar one; `what` is what the name could have been."""
    names = [*others, *MODELS]
    near = get_close_matches(name, names, 1)
    rest = f"did you mean {near[0]}? (manypose models lists all)" if near else f"there are {', '.join(names)}"
    return f"no {what} {name!r}; {rest}"
