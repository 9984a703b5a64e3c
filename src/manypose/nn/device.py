"""Which device to work on."""

import torch

__all__ = ["choose_device"]


def choose_device(name: str = "auto") -> torch.device:
    """The device to work on; ``auto`` is a GPU where there is one.

    Raises:
        ValueError: no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(name)
    except RuntimeError:
        raise ValueError(f"no device {name!r}; give auto, cpu, cuda or cuda:N") from None
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} was asked for, but PyTorch sees {torch.cuda.device_count()} GPUs; use --device cpu or auto")
    if wanted.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device {name!r} was asked for, but there is none; use --device cpu or auto")
    return wanted
