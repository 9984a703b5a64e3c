"""Choice of the device and of the precision."""

import os
from functools import lru_cache
from pathlib import Path

import torch

__all__ = ["bf16_is_faster", "choose_device"]


def choose_device(name: str = "auto") -> torch.device:
    """The device; ``auto`` is a GPU if there is one, under ``torchrun`` that of the process.

    Args:
        name: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``xpu``, ``xpu:N`` or ``mps``.

    Raises:
        ValueError: no such device on this machine.
    """
    if name == "auto":
        here = torch.cuda.device_count() if torch.cuda.is_available() else 0
        local = os.environ.get("LOCAL_RANK", "")
        own = f":{int(local) % here}" if here > 1 and local.isdecimal() else ""
        return torch.device(f"cuda{own}" if here else "cpu")
    try:
        wanted = torch.device(name)
    except RuntimeError:
        wanted = torch.device("meta")
    if wanted.type not in ("cpu", "cuda", "xpu", "mps"):
        raise ValueError(f"no device {name!r}; give auto, cpu, cuda, cuda:N, xpu or mps")
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "xpu": torch.xpu.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (wanted.index or 0) >= there[wanted.type]:
        kind = {"cuda": "GPUs", "xpu": "XPUs", "mps": "MPS devices", "cpu": "CPUs"}[wanted.type]
        raise ValueError(f"device {name!r} was asked for, but PyTorch sees {there[wanted.type]} {kind}; use cpu or auto")
    return wanted


def bf16_is_faster(device: torch.device) -> bool:
    """Whether bfloat16 is faster on a device: GPUs that support it, and CPUs with AMX or AVX-512 BF16 (others emulate it slowly)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type in ("xpu", "mps") or (device.type == "cpu" and bool({"amx_bf16", "avx512_bf16"} & _cpu_flags()))


@lru_cache(maxsize=1)
def _cpu_flags() -> frozenset[str]:
    """The CPU flags on Linux; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())
