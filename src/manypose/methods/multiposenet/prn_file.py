"""A PRN in a ``.safetensors`` file, with all that is needed to build it again."""

import json
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from manypose.io.files import atomic
from manypose.methods.multiposenet.prn_networks import PrnNetwork, prn_network
from manypose.poses.skeleton import Skeleton

__all__ = ["BUNDLED", "load_prn", "save_prn"]

BUNDLED = Path(__file__).parents[2] / "weights" / "bundled" / "prn.safetensors"
"""The weights that come with the package."""


def save_prn(prn: PrnNetwork, path: str | Path, dtype: Literal["float32", "float16"] = "float32", note: str = "") -> Path:
    """Write a PRN, whole or not at all.

    Args:
        prn: with ``arguments``, what it was built with.
        path: ``.safetensors``.
        dtype: ``float16`` stores matrices in half precision.
        note: how it was trained, on what, under which licence.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: weights are written as .safetensors")
    about = {"prn": {"kind": type(prn).__name__, **prn.arguments}, "skeleton": prn.skeleton.to_mapping(), "note": note}
    half = dtype == "float16"
    state = {k: (v.half() if half and v.ndim > 1 else v).detach().cpu().contiguous().clone() for k, v in prn.state_dict().items()}
    with atomic(path) as temporary:
        save_file(state, temporary, {"format": "pt", "manypose": json.dumps(about)})
    return path


def load_prn(path: str | Path) -> PrnNetwork:
    """A PRN ready to assign (eval mode, single precision).

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not a whole safetensors file, or not a PRN's.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file")
    try:
        with safe_open(path, "pt") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {}).get("manypose", "{}"))
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as e:
        raise ValueError(f"{path}: not a whole safetensors file ({e}); train or download it again") from None
    if "prn" not in about:
        raise ValueError(f"{path}: holds no PRN; `manypose prn train` writes one")
    prn = prn_network(Skeleton.from_mapping(about["skeleton"], str(path)), **about["prn"])
    try:
        prn.load_state_dict(state)
    except RuntimeError as e:
        raise ValueError(f"{path}: does not fit the PRN it says it is ({str(e).splitlines()[-1].strip()})") from None
    return prn.eval()
