"""The papers' claims in small, on light models: ``python benchmarks/claims.py --images DIR --annotations FILE [CLAIM …]``.

Each claim is a few arms that differ in one argument: the same config, initial weights, photos, number of views and seed. Every arm is
trained with each seed and evaluated on photos that none was trained on; AP is printed and stored under ``--out``.
A training or figure that exists is not made again. MANYPOSE_DATA and MANYPOSE_PRETRAINED are as in `configs/README.md`.
"""

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import yaml

from manypose.cli.__main__ import main as manypose
from manypose.evaluation.evaluate import evaluate
from manypose.inference.model import Model, load

ROOT = Path(__file__).parent.parent
BUNDLED = ROOT / "src/manypose/weights/bundled"
TRUNK = {"pretrained": str(BUNDLED / "simple-pose-mobile.safetensors")}
TEACHER = {"teacher": "mspn-mobile", "weights": str(BUNDLED / "mspn-mobile.safetensors"), "boxes": "both", "most": 2, "half": True}

CLAIMS: dict[str, tuple[str, dict[str, Any], dict[str, dict[str, Any]]]] = {
    "simple_pose": ("simple_pose/mobile", {}, {"focal L2": {}, "L2": {"focal": "none"}}),
    "swahr": (
        "swahr/mobile",
        TRUNK,
        {
            "neither": {"scale_branch": False},
            "SAHR": {"weight_adaptive": False},
            "WAHR": {"scale_branch": False, "weight_adaptive": True},
            "both": {},
        },
    ),
    "simple": (
        "simple/mobile",
        TRUNK,
        {
            "no mimicking": {},
            "annotated maps alone": {"mimic": TEACHER | {"soft": "none"}},
            "teacher's maps alone": {"mimic": TEACHER | {"truth": False}},
            "both": {"mimic": TEACHER},
        },
    ),
    "mspn": (
        "mspn/small_photos",
        {},
        {
            "1 stage": {"stages": 1, "depths": [6, 5, 5, 4]},
            "2 stages": {},
            "4 stages": {"stages": 4, "depths": [1, 1, 1, 1], "width": 48},
        },
    ),
}
"""By name: the config, arguments of all arms, and those of each."""


def config(claim: str, arm: str, seed: int, out: Path, steps: int) -> dict[str, Any]:
    """The training of an arm: so many steps of a bottom-up model on views of 256 px, twelve times as many of a top-down one."""
    name, common, arms = CLAIMS[claim]
    whole = yaml.safe_load((ROOT / f"configs/{name}.yaml").read_text())
    whole["model_args"] = whole["model_args"] | copy.deepcopy(common | arms[arm])
    data = whole["data"]["init_args"]
    if claim == "mspn":  # the photos kept aside are among this config's
        kept = yaml.safe_load((ROOT / "configs/mspn/mobile.yaml").read_text())["data"]["init_args"]["sources"]
        data["sources"] = [source for source in kept if "coco" in source["dataset"]["init_args"]["dataset"]["class_path"]]
        steps = 12 * steps * 8 // data["batch_size"]
    else:
        data["augment"]["init_args"]["size"] = 256
    data["seed"] = seed
    epochs = steps * data["batch_size"] / data["length"]
    whole["schedule"] |= {"epochs": epochs, "warmup": epochs / 8}
    return whole | {"seed": seed, "out": str(out)}


def figures(claim: str, arm: str, seed: int, given: argparse.Namespace) -> dict[str, float]:
    """AP, AP50 and AR of an arm, which is trained first unless it is there."""
    folder = given.out / claim / f"{arm.replace(' ', '_')}-{seed}"
    if not (folder / "figures.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / "config.yaml"
        written.write_text(yaml.safe_dump(config(claim, arm, seed, folder, given.steps), sort_keys=False))
        if code := manypose(["train", "--config", str(written)]):
            raise SystemExit(code)
    model = load(next(folder.glob("*.safetensors")), device="cpu", runtime="torch")
    return stored(folder, model, given, **({"boxes": "annotated"} if claim == "mspn" else {"size": given.size}))


def stored(folder: Path, model: Model, given: argparse.Namespace, **options: Any) -> dict[str, float]:
    """A model's AP, AP50 and AR, which are stored in the folder."""
    file = folder / "figures.json"
    if not file.exists():
        found = evaluate(model=model, annotations=given.annotations, images=given.images, quiet=True, **options).figures
        file.write_text(json.dumps({name: found[name] for name in ("AP", "AP50", "AR")}))
    return json.loads(file.read_text())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=f"default: all ({', '.join(CLAIMS)})")
    parser.add_argument("--out", type=Path, default=Path("runs/claims"))
    parser.add_argument("--steps", type=int, default=200, help="of 8 views, a bottom-up model's arm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--size", type=int, default=384, help="short side of the evaluated photos")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    given = parser.parse_args()
    if wrong := [claim for claim in given.claims if claim not in CLAIMS]:
        parser.error(f"no claim {wrong[0]!r}; there are {', '.join(CLAIMS)}")
    for seed in given.seeds:
        for claim in given.claims or CLAIMS:
            for arm in CLAIMS[claim][2]:
                found = figures(claim, arm, seed, given)
                print(f"{claim:12} {arm:22} seed {seed}", "  ".join(f"{name} {value:.3f}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
