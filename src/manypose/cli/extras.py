"""Optional outputs of `manypose predict` for each picture: crops of the people, and a window that shows it."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from manypose.io import photos as media
from manypose.poses.arrays import result_boxes
from manypose.poses.poses import Poses

__all__ = ["Window", "save_crops"]

MARGIN = 0.1
"""Fraction of its size by which a person's box grows on each side before it is cropped."""


def save_crops(folder: Path, stem: str, pixels: UInt8[np.ndarray, "H W 3"], poses: Poses) -> list[Path]:
    """Write each person as ``STEM_0.jpg``, ``STEM_1.jpg`` … (tracked: ``STEM_id7.jpg``), best first, and return the files."""
    h, w = pixels.shape[:2]
    written = []
    for i, (x0, y0, x1, y1) in enumerate(result_boxes(poses).tolist()):
        dx, dy = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
        left, top = max(0, int(x0 - dx)), max(0, int(y0 - dy))
        part = pixels[top : min(h, int(y1 + dy) + 1), left : min(w, int(x1 + dx) + 1)]
        if part.size:
            name = i if poses.ids is None else f"id{int(poses.ids[i])}"
            written.append(media.write(folder / f"{stem}_{name}.jpg", np.ascontiguousarray(part)))
    return written


class Window:
    """A desktop window that shows one picture after another; it closes when the run ends.

    Raises:
        ValueError: there is no display, or Python has no tkinter.
    """

    def __init__(self, title: str = "manypose") -> None:
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise ValueError("--show needs a display, and there is none here (DISPLAY is not set); the drawn pictures are in --out")
        try:
            import tkinter

            self._root: Any = tkinter.Tk()
        except ImportError:
            raise ValueError("--show needs tkinter, which this Python does not have (Debian: apt install python3-tk)") from None
        except tkinter.TclError as e:
            raise ValueError(f"--show: cannot open a window ({e}); the drawn pictures are in --out") from None
        self._root.title(title)
        self._label: Any = tkinter.Label(self._root)
        self._label.pack()

    def show(self, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Show a picture, scaled down if it does not fit the screen."""
        from PIL import ImageTk

        image = Image.fromarray(picture)
        image.thumbnail((int(0.9 * self._root.winfo_screenwidth()), int(0.9 * self._root.winfo_screenheight())))
        self._label.image = ImageTk.PhotoImage(image)  # Tk keeps no reference to it
        self._label.configure(image=self._label.image)
        self._root.update()

    def close(self) -> None:
        """Close the window."""
        self._root.destroy()
