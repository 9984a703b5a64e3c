"""MultiPoseNet's claim in small: the PRN against Max and UCR, on a bottom-up model's own joints and boxes.

``python benchmarks/claims_prn.py --images DIR --annotations FILE --people person_keypoints_train2017_rebuilt.npz``

Only what gives the joints to the boxes differs: the highest candidate in the box (Max), the prior of Eq. 2 (UCR), the paper's perceptron
and our attention, the last two trained with each seed. Networks and boxes are the bundled `multiposenet-mobile`'s.
"""

import argparse
from pathlib import Path

from claims import BUNDLED, stored
from torch import nn

from manypose.cli.__main__ import main as manypose
from manypose.inference.model import load

MODEL = BUNDLED / "multiposenet-mobile.safetensors"
WIDE = ["--margin", "1.0", "--extend", "0.2", "--epochs", "1"]
ARMS: dict[str, list[str]] = {
    "Max": [],
    "UCR": ["--network", "ucr"],
    "PRN": ["--network", "perceptron", "--nodes", "512", "--batch-size", "1024", *WIDE],
    "attention": ["--network", "attention", "--nodes", "64", "--layers", "3", "--batch-size", "256", *WIDE],
}
"""What each arm's `manypose prn train` is called with; Max has nothing to train."""


def weights(arm: str, seed: int, people: Path, folder: Path) -> Path:
    """The model with this arm's PRN."""
    joined = folder / "joined.safetensors"
    commands = [["prn", "train", str(people), str(folder), *ARMS[arm], "--seed", str(seed)]]
    commands.append(["prn", "join", str(MODEL), str(folder / "prn.safetensors"), str(joined)])
    if not joined.exists() and any(manypose(command) for command in commands):
        raise SystemExit(1)
    return joined


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/claims/prn"))
    parser.add_argument("--people", type=Path, required=True, help="annotated people to train on, for manypose prn train")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    given = parser.parse_args()
    for arm, options in ARMS.items():
        for seed in given.seeds if "1024" in options or "256" in options else given.seeds[:1]:
            folder = given.out / f"{arm}-{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            model = load(weights(arm, seed, given.people, folder) if options else MODEL, device="cpu", runtime="torch")
            if not options:
                assert isinstance(model.method, nn.Module)
                model.method.prn = None  # pyright: ignore[reportArgumentType]
            found = stored(folder, model, given)
            print(f"{arm:10} seed {seed}", "  ".join(f"{name} {value:.3f}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
