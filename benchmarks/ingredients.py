"""What each ingredient of the bundled model brings, at equal budgets: ``python benchmarks/ingredients.py --out runs/ingredients [ARM …]``.

`configs/mspn/ingredients.yaml` trains a light MSPN on COCO photos alone (the ground). Each arm goes on from its weights, for the same
number of views at the same rates: "coco" with the same photos, the others with half of their views from another source, or with another
loss. So an arm beside "coco" says what an ingredient is worth once the photos have been seen often, which is when it is needed.
Then each is measured on photos that none has seen, in annotated boxes: AP with flip, PCK without.

A training or figure that is there already is not made again. Needed in ``runs``: rendered scenes (docs/training-data.md), and what
``manypose label`` made of the two annotation files (docs/default-model.md); MANYPOSE_DATA, MANYPOSE_RENDERED and MANYPOSE_LABELLED name
other places.
"""

import argparse
import copy
import json
import os
from pathlib import Path
from typing import Any

import yaml
from pck import measure

from manypose.cli.__main__ import main as manypose
from manypose.data.datasets.coco import coco
from manypose.evaluation.evaluate import evaluate
from manypose.inference.model import load

GROUND = Path(__file__).parent.parent / "configs/mspn/ingredients.yaml"


def file(images: str, annotations: str) -> dict[str, Any]:
    """A data set of COCO's format."""
    return made("manypose.data.coco", images=images, annotations=annotations, cache="decoded")


def made(path: str, **arguments: Any) -> dict[str, Any]:
    """A class and its arguments, as a config has them."""
    return {"class_path": path, "init_args": arguments}


def sources() -> dict[str, dict[str, Any]]:
    """The data sets by name."""
    data, labelled = os.environ.get("MANYPOSE_DATA", "../shared/data"), os.environ.get("MANYPOSE_LABELLED", "runs/labelled")
    photos, sports = f"{data}/coco_photos/train2017", f"{data}/lspet_photos/images"
    own = file(photos, f"{data}/coco_photos/person_keypoints_train.json")
    whole = {
        "coco": own,
        "sports": file(sports, f"{data}/lspet_photos/person_keypoints.json"),
        "coco labelled": file(photos, f"{labelled}/coco.json"),
        "sports labelled": file(sports, f"{labelled}/lspet.json"),
    }
    one = {name: made("manypose.data.EachPerson", least=3, dataset=copy.deepcopy(data)) for name, data in whole.items()}
    # Of a written scene a view draws one of its people.
    written = {name: file(f"{data}/{name}/images", f"{data}/{name}/annotations.json") for name in ("drawn", "rendered")}
    pasted = made("manypose.data.Pasted", onto=copy.deepcopy(own), people=copy.deepcopy(own), length=4000, number=[1, 3])
    return one | written | {"pasted": pasted}


ARMS: dict[str, tuple[dict[str, float], dict[str, Any]]] = {
    "coco": ({"coco": 1}, {}),
    "drawn": ({"coco": 0.5, "drawn": 0.5}, {}),
    "rendered": ({"coco": 0.5, "rendered": 0.5}, {}),
    "pasted": ({"coco": 0.5, "pasted": 0.5}, {}),
    "sports": ({"coco": 0.5, "sports": 0.5}, {}),
    "sports labelled": ({"coco": 0.5, "sports labelled": 0.5}, {}),
    "coco labelled": ({"coco labelled": 1}, {}),
    "hardest": ({"coco": 1}, {"hardest": 8}),
    "all": ({"coco labelled": 0.4, "sports labelled": 0.3, "rendered": 0.3}, {}),
}
"""By name: weights of the sources, and arguments of the model."""


def config(arm: str, out: Path, views: int, rate: float, seed: int) -> dict[str, Any]:
    """The training of an arm, as a config."""
    whole = yaml.safe_load(GROUND.read_text())
    (weights, arguments), known = ARMS[arm], sources()
    given = whole["data"]["init_args"]
    given["sources"] = [{"dataset": known[name], "weight": weight} for name, weight in weights.items()]
    given["seed"] = seed + 100  # other views than the ground's
    whole["optimizer"]["init_args"]["lr"] = rate
    whole["schedule"] |= {"epochs": views / given["length"], "final": 0.01, "warmup": 0.1}
    return whole | {"init": str(ground(out)), "out": str(out / name_of(arm, seed)), **({"model_args": arguments} if arguments else {})}


def ground(out: Path) -> Path:
    """The weights that all arms start from."""
    return out / "ground" / "mspn-small.safetensors"


def name_of(arm: str, seed: int) -> str:
    """The folder of an arm."""
    return f"{arm.replace(' ', '_')}-{seed}"


def trained(folder: Path, arguments: list[str]) -> Path:
    """The weights of a training, which is run, or goes on, where it is not at its end."""
    if not (folder / "done").exists():
        if code := manypose(["train", *arguments]):
            raise SystemExit(code)
        (folder / "done").touch()
    return folder / "mspn-small.safetensors"


def figures(weights: Path, images: Path, annotations: Path) -> dict[str, float]:
    """AP with flip and PCK without, of people in their annotated boxes."""
    file = weights.with_name(f"figures-{annotations.stem}.json")
    if not file.exists():
        model = load(weights, device="cpu", runtime="torch")
        ap = evaluate(model=model, annotations=annotations, images=images, boxes="annotated", flip=True, quiet=True).figures
        pck = measure(model.method.eval(), coco(images, annotations))  # pyright: ignore[reportAttributeAccessIssue]
        file.write_text(json.dumps({"AP": ap["AP"], "AP50": ap["AP50"], "PCK@0.2": pck[0], "PCK@0.1": pck[1]}))
    return json.loads(file.read_text())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arms", nargs="*", metavar="ARM", help=f"default: all ({', '.join(ARMS)})")
    parser.add_argument("--out", type=Path, default=Path("runs/ingredients"))
    parser.add_argument("--views", type=int, default=24576)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=Path, help="photos to measure on; without them arms are trained and not measured")
    parser.add_argument("--annotations", type=Path)
    given = parser.parse_args()
    if wrong := [arm for arm in given.arms if arm not in ARMS]:
        parser.error(f"no arm {wrong[0]!r}; there are {', '.join(ARMS)}")
    weights = {"(the ground)": trained(given.out / "ground", ["--config", str(GROUND), "--out", str(given.out / "ground")])}
    for arm in given.arms or ARMS:
        folder = given.out / name_of(arm, given.seed)
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / "config.yaml"
        written.write_text(yaml.safe_dump(config(arm, given.out, given.views, given.rate, given.seed), sort_keys=False))
        weights[arm] = trained(folder, ["--config", str(written)])
    if given.images is None or given.annotations is None:
        return
    for arm, file in weights.items():
        found = figures(file, given.images, given.annotations)
        print(f"{arm:16}", "  ".join(f"{name} {value:.3f}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
