"""Checkpoints of a training, written whole or not at all, so that a killed training resumes from the last one.

A checkpoint consists of safetensors and JSON; reading it runs no code.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from manypose.io.safetensors import read_tensors, write_tensors
from manypose.training.facts import Facts
from manypose.training.state import pack, random_state, set_random_state, unpack

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Checkpoints"]


class Checkpoints:
    """The folder of a training's checkpoints: ``step-00001000/`` and so on.

    Each holds ``model.safetensors``, one safetensors file for each further part (optimiser, average, gradient scaler) and for each
    process's random generators, and ``training.json``: step, settings and progress.

    Args:
        folder: where they lie; one folder that all processes see.
        accelerator: the processes.
        keep: number of checkpoints that stay; the oldest is removed first.
        facts: what the training is made of.
        network: its state is saved under its own names.
        parts: further objects with ``state_dict`` and ``load_state_dict``.
    """

    def __init__(self, folder: Path, accelerator: "Accelerator", keep: int, facts: Facts, network: nn.Module, parts: Mapping[str, Any]):
        self.folder, self.accelerator, self.keep, self.facts, self.network, self.parts = folder, accelerator, keep, facts, network, parts

    def there(self) -> list[Path]:
        """The whole checkpoints, oldest first."""
        return sorted(p for p in self.folder.glob("step-*") if (p / "training.json").is_file())

    def save(self, step: int, progress: Mapping[str, Any]) -> Path:
        """Write a checkpoint under a temporary name, rename it, then remove the oldest. All processes call this.

        Args:
            step: optimiser steps done.
            progress: JSON values that `resume` gives back.

        Raises:
            OSError: it cannot be written; those before stay.
        """
        place = self.folder / f"step-{step:08d}"
        temporary = self.folder / f".{place.name}.tmp"
        main = self.accelerator.is_main_process
        try:
            if main:
                for leftover in self.folder.glob(".step-*.tmp"):
                    shutil.rmtree(leftover)
                temporary.mkdir(parents=True)
            self.accelerator.wait_for_everyone()
            process, device = self.accelerator.process_index, torch.device(self.accelerator.device)
            _write(temporary / f"random-{process:05d}.safetensors", random_state(device))
            if main:
                write_tensors(temporary / "model.safetensors", self.network.state_dict(), {})
                for name, part in self.parts.items():
                    _write(temporary / f"{name}.safetensors", part.state_dict())
            self.accelerator.wait_for_everyone()
            if main:
                about = {"step": step, "progress": progress, "processes": self.accelerator.num_processes, **self.facts.to_json()}
                (temporary / "training.json").write_text(json.dumps(about, indent=1))
                if place.exists():
                    shutil.rmtree(place)
                temporary.rename(place)
                for old in self.there()[: -self.keep]:
                    shutil.rmtree(old)
        except OSError as e:
            shutil.rmtree(temporary, ignore_errors=True)
            why = (e.strerror or str(e)).removeprefix("cannot be written: ")
            raise OSError(f"{place}: cannot be written: {why}; the checkpoints before it stay") from None
        self.accelerator.wait_for_everyone()
        return place

    def resume(self, say: Callable[[str], None]) -> tuple[int, dict[str, Any]]:
        """Load the newest checkpoint; gives its step and progress, or 0 and nothing where there is none. All processes call this.

        Args:
            say: takes a line for each setting that differs from the checkpoint's.

        Raises:
            ValueError: it belongs to another training, is damaged, or the processes see different folders.
        """
        there = self.there()
        self._agree(there)
        if not there:
            return 0, {}
        last = there[-1]
        if (last / "optimizer.bin").is_file():
            raise ValueError(f"{last}: holds pickles of an earlier version, which are not read; finish the training there, or begin anew")
        about = _about(last)
        for line in self.facts.check(about, str(last)):
            say(line)
        try:
            self.network.load_state_dict(read_tensors(last / "model.safetensors")[1])
            for name, part in self.parts.items():
                _load(part, _read(last / f"{name}.safetensors"))
            random = last / f"random-{self.accelerator.process_index:05d}.safetensors"
            set_random_state(_read(random), torch.device(self.accelerator.device))
        except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError):
            raise _damaged(last) from None
        return about["step"], about["progress"]

    def _agree(self, there: list[Path]) -> None:
        step = int(there[-1].name.removeprefix("step-")) if there else 0
        steps: Any = self.accelerator.gather(torch.tensor([step], device=self.accelerator.device))
        if len(set(steps.tolist())) > 1:
            raise ValueError(
                f"{self.folder}: the processes see checkpoints of different steps ({steps.tolist()}); "
                "`out` must be one folder that all machines share"
            )


def _about(checkpoint: Path) -> dict[str, Any]:
    try:
        about = json.loads((checkpoint / "training.json").read_text())
        if isinstance(about["step"], int) and isinstance(about["progress"], dict):
            return about
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    raise _damaged(checkpoint)


def _write(path: Path, state: Any) -> None:
    tree, tensors = pack(state)
    write_tensors(path, tensors, {"state": tree})


def _read(path: Path) -> Any:
    about, tensors = read_tensors(path)
    return unpack(about["state"], tensors)


def _load(part: Any, state: Any) -> None:
    """Optimisers keep the settings of the config: a stored state would bring the old rate and weight decay back."""
    settings = [{k: v for k, v in g.items() if k != "params"} for g in part.param_groups] if isinstance(part, Optimizer) else []
    part.load_state_dict(state)
    if isinstance(part, Optimizer):
        for group, setting in zip(part.param_groups, settings, strict=True):
            group.update(setting)
        for parameter, values in part.state.items():  # a file has one memory layout; fused optimisers need the parameter's
            for name, value in values.items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                    values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _damaged(checkpoint: Path) -> ValueError:
    return ValueError(f"{checkpoint}: damaged; delete it, and the training goes on from the checkpoint before it")
