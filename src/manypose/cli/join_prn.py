"""``manypose prn join``: a network and a PRN in one weights file (MultiPoseNet, Section 3.5: they are trained separately)."""

from pathlib import Path
from typing import Any, Literal

from manypose.io.safetensors import read_about
from manypose.methods.multiposenet import MultiPoseNet
from manypose.methods.multiposenet.prn_file import load_prn
from manypose.weights.files import load, save

__all__ = ["join"]


def join(
    network: Path, prn: Path, out: Path, *, dtype: Literal["float32", "float16"] = "float16", note: str = "", measured: str = ""
) -> Path:
    """Write a complete MultiPoseNet, ready for ``manypose predict --model OUT``.

    Args:
        network: weights of the keypoint and person subnets (``manypose train``).
        prn: weights of a Pose Residual Network.
        out: file to write.
        dtype: float16 stores matrices in half precision.
        note: training data and licence of both; default: the network's note.
        measured: accuracy of the complete model, for the table of models.

    Raises:
        FileNotFoundError, ValueError: a file is missing, is not a MultiPoseNet or PRN, or their skeletons differ.
    """
    method = load(network, device="cpu")
    about, chooser = read_about(network), load_prn(prn)
    kept = {k: v for k, v in about.get("kwargs", {}).items() if k != "step"}
    arguments: dict[str, Any] = {**kept, "prn": {"kind": type(chooser).__name__, **chooser.arguments}}
    if not isinstance(method, MultiPoseNet):
        raise ValueError(f"{network}: holds {about.get('model', 'no model')!r}, not a MultiPoseNet")
    if chooser.skeleton.joints != method.skeleton.joints:
        raise ValueError(f"{prn}: is for the skeleton {chooser.skeleton.name!r}, {network} for {method.skeleton.name!r}")
    method.prn = chooser
    more = {"measured": measured} if measured else {}
    return save(method, out, name=about["model"], kwargs=arguments, dtype=dtype, note=note or about.get("note", ""), **more)
