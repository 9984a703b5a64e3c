"""Atomic checkpoints of a training, from which a killed training resumes.

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

    Each holds ``model.safetensors``, one safetensors file for each further part (optimizer, average, gradient scaler) and for each
    process's random generators, and ``training.json``: step, settings and progress.

    Args:
        folder: the folder, shared by all processes.
        accelerator: the processes.
        keep: number of checkpoints to keep; the oldest is removed first.
        facts: settings of the training.
        network: its state is saved under its own names.
        parts: further objects with ``state_dict`` and ``load_state_dict``.
    """

    def __init__(self, folder: Path, accelerator: "Accelerator", keep: int, facts: Facts, network: nn.Module, parts: Mapping[str, Any]):
        self.folder, self.accelerator, self.keep, self.facts, self.network, self.parts = folder, accelerator, keep, facts, network, parts

    def there(self) -> list[Path]:
        """The complete checkpoints, oldest first."""
        return sorted(p for p in self.folder.glob("step-*") if (p / "training.json").is_file())

    def save(self, step: int, progress: Mapping[str, Any]) -> Path:
        """Write a checkpoint under a temporary name, rename it, then remove the oldest. All processes call this.

        Args:
            step: number of optimizer steps.
            progress: JSON values that `resume` returns.

        Raises:
            OSError: it cannot be written; earlier checkpoints are kept.
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
        """Load the newest checkpoint; returns its step and progress, or 0 and {} without one. All processes call this.

        Args:
            say: is called with a line for each setting that differs from the checkpoint's.

        Raises:
            ValueError: it belongs to another training or is damaged, or processes have different folders.
        """
        there = self.there()
        self._agree(there)
        if not there:
            return 0, {}
        last = there[-1]
        if (last / "optimizer.bin").is_file():
            raise ValueError(f"{last}: holds pickles of an earlier version, which are not read; finish the training there, or start again")
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
    """Load a state; optimizers keep the settings of the config instead of the stored learning rate and weight decay."""
    settings = [{k: v for k, v in g.items() if k != "params"} for g in part.param_groups] if isinstance(part, Optimizer) else []
    part.load_state_dict(state)
    if isinstance(part, Optimizer):
        for group, setting in zip(part.param_groups, settings, strict=True):
            group.update(setting)
        for parameter, values in part.state.items():  # fused optimizers need the parameter's memory layout
            for name, value in values.items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                    values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _damaged(checkpoint: Path) -> ValueError:
    return ValueError(f"{checkpoint}: damaged; delete it, and the training goes on from the checkpoint before it")
