"""What an installation may lack, and the one line that says how to get it."""

from importlib.util import find_spec

__all__ = ["TORCH", "missing_extra", "need_torch", "torch_installed"]

TORCH = ("torch", "torchvision", "timm", "scipy", "huggingface_hub")
"""Packages of the extra ``torch``: networks, training, evaluation."""


def torch_installed() -> bool:
    """Whether PyTorch can be imported; nothing is imported."""
    return find_spec("torch") is not None


def need_torch(what: str) -> None:
    """Raises `ImportError` with the cure where PyTorch is not installed; `what` needs it."""
    if not torch_installed():
        raise ImportError(f"{what} needs PyTorch, which is not installed: pip install 'manypose[torch]'")


def missing_extra(error: ImportError) -> str:
    """The line for a module of the extra ``torch`` that is missing; empty for other errors."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return f"this needs {name}, which is not installed: pip install 'manypose[torch]'" if name in TORCH else ""
