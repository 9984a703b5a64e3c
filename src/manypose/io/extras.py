"""Optional dependencies, and the messages that say how to install them."""

from importlib.util import find_spec

__all__ = ["TORCH", "missing_extra", "need_torch", "torch_installed"]

TORCH = ("torch", "torchvision", "timm", "scipy", "huggingface_hub")
"""Packages of the extra ``torch``: networks, training, evaluation."""


def torch_installed() -> bool:
    """Whether PyTorch is installed; does not import it."""
    return find_spec("torch") is not None


def need_torch(what: str) -> None:
    """Raise `ImportError` with the installation command if PyTorch is not installed; `what` names the feature that needs it."""
    if not torch_installed():
        raise ImportError(f"{what} needs PyTorch, which is not installed: pip install 'manypose[torch]'")


def missing_extra(error: ImportError) -> str:
    """The message for a missing package of the extra ``torch``; empty for other errors."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return f"this needs {name}, which is not installed: pip install 'manypose[torch]'" if name in TORCH else ""
