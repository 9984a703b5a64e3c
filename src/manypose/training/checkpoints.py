"""Checkpoints of a training: whole or not there, so that a training killed at any moment goes on where the last one was."""

import json
import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Checkpoints"]


class Checkpoints:
    """The folder of a training's checkpoints: ``step-00001000/`` and so on.

    Each holds what `accelerate` saves (network, optimiser, gradient scaler, random generators, whatever was registered) and
    ``training.json``: the step and what the training must have in common with the one that goes on.

    Args:
        folder: where they lie.
        accelerator: with everything prepared or registered.
        keep: how many stay.
        same: facts that must be the same when the training goes on.
    """

    def __init__(self, folder: Path, accelerator: "Accelerator", keep: int, same: dict[str, Any]):
        self.folder, self.accelerator, self.keep = folder, accelerator, keep
        self.same = json.loads(json.dumps(same))

    def there(self) -> list[Path]:
        """The whole checkpoints, oldest first."""
        return sorted(p for p in self.folder.glob("step-*") if (p / "training.json").is_file())

    def save(self, step: int) -> Path:
        """Write a checkpoint beside its place and move it there; then let the oldest go. To be called by all processes.

        Raises:
            OSError: it cannot be written; those before stay.
        """
        place = self.folder / f"step-{step:08d}"
        temporary = self.folder / f".{place.name}.tmp"
        main = self.accelerator.is_main_process
        if main:
            for leftover in self.folder.glob(".step-*.tmp"):
                shutil.rmtree(leftover)
            temporary.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        try:
            self.accelerator.save_state(str(temporary))
        except (OSError, RuntimeError, SafetensorError) as e:  # each of the libraries below has its own way to say that a disk is full
            shutil.rmtree(temporary, ignore_errors=True)
            raise OSError(f"{place}: cannot be written: {e}; the checkpoints before it stay") from None
        self.accelerator.wait_for_everyone()
        if main:
            (temporary / "training.json").write_text(json.dumps({"step": step, **self.same}, indent=1))
            if place.exists():
                shutil.rmtree(place)
            temporary.rename(place)
            for old in self.there()[: -self.keep]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()
        return place

    def resume(self) -> int:
        """Load the newest checkpoint; gives its step, or 0 where there is none.

        Raises:
            ValueError: it belongs to another training, or is damaged.
        """
        there = self.there()
        if not there:
            return 0
        try:
            about = json.loads((there[-1] / "training.json").read_text())
        except ValueError:
            raise _damaged(there[-1]) from None
        for key, now in self.same.items():
            if about.get(key) != now:
                raise ValueError(
                    f"{there[-1]}: belongs to a training with {key} {about.get(key)!r}, not {now!r}; "
                    "give another output folder, or the settings it was begun with"
                )
        try:
            self.accelerator.load_state(str(there[-1]))
        except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, UnpicklingError):
            raise _damaged(there[-1]) from None
        return int(about["step"])


def _damaged(checkpoint: Path) -> ValueError:
    return ValueError(f"{checkpoint}: damaged; delete it, and the training goes on from the checkpoint before it")
