"""Fits the weights of `manypose.inference.channel_order`: ``python tools/channel_order.py --images DIR``.

A logistic regression on colour histograms of the photos of COCO train2017 that the other bundled models are trained on, without the
photos kept aside. It has no constant and its features change sign when red and blue are swapped, so each photo stands for its swapped
copy too. Prints the share of correct answers on the photos kept aside, and writes the weights.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize

from manypose.inference import channel_order
from manypose.io.photos import read
from manypose.io.safetensors import write_tensors

SUBSETS = Path(__file__).parent.parent / "configs/subsets"
TRAINED, KEPT = ("coco_741", "coco_124", "coco_327_empty"), "coco_93_held_out"
DECAY = 1e-4
"""Weight decay; of 1e-4, 3e-4 and 1e-3 the best in five-fold cross-validation (0.886, 0.886, 0.879 correct)."""


def features(images: Path, subset: str) -> Float[np.ndarray, "n f"]:
    """Of each photo whose id the subset lists."""
    ids = [int(line.split()[0]) for line in (SUBSETS / f"{subset}.txt").read_text().splitlines() if line[:1].isdigit()]
    return np.stack([channel_order.features(read(images / f"{i:012d}.jpg")) for i in ids]).astype(float)


def fitted(x: Float[np.ndarray, "n f"], decay: float = DECAY) -> Float[np.ndarray, " f"]:
    """The weights for which the mean log loss of "not swapped" and half the decay times the squared weights are smallest."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ w
        slope = -x.T @ (1 / (1 + np.exp(z))) / len(x)
        return float(np.logaddexp(0, -z).mean() + decay * w @ w / 2), slope + decay * w

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="COCO's train2017")
    parser.add_argument("--out", type=Path, default=channel_order.WEIGHTS)
    given = parser.parse_args()
    weights = fitted(np.concatenate([features(given.images, subset) for subset in TRAINED]))
    found = features(given.images, KEPT) @ weights
    print(f"{len(found)} photos kept aside: {(found > 0).mean():.3f} correct, {(found < -1).mean():.3f} wrong by odds of more than e")
    about = {"data": "741 + 124 + 327 photos of COCO train2017 (each under its owner's licence)"}
    write_tensors(given.out, {"weights": torch.from_numpy(weights.astype(np.float16))}, about)


if __name__ == "__main__":
    main()
