"""Other programs and ours on the same photos, in one run: CPU time a photo and a person against a ResNet-50's forward pass, and COCO's AP.

    python benchmarks/peers.py --annotations person_keypoints_train2017.json --images train2017 --json peers.json \\
        --ids configs/subsets/coco_93_held_out.txt --movenet movenet_thunder.safetensors --mediapipe other_venv/bin/python

Each photo is given to all programs one after the other, then to the ResNet-50 at 224 × 224, so that what else the machine does falls on
all of them alike. "upright": without the second look at photos that may lie turned (`PredictOptions.turned`). Time is that of the
processor, of all threads, from a photo's path to its people; ratios are of medians. Programs run on one thread where they can be told.

`benchmarks/peers_mediapipe.py` runs in a Python that has MediaPipe (``pip install mediapipe==0.10.21``, in a virtual environment of its
own: it needs an older NumPy), whose wheel holds the model of complexity 1, "full". MediaPipe and MoveNet see one person: they are asked
about whole photos, and about each box that our detector finds from score 0.2 on.
"""

import argparse
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torchvision.models import resnet50
from torchvision.models.detection import keypointrcnn_resnet50_fpn

import manypose
from manypose.evaluation.metrics.annotations import read_results, read_truth
from manypose.evaluation.metrics.oks_ap import oks_ap
from manypose.inference.detectors import find_detector
from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput
from manypose.inference.pipeline import detect
from manypose.io.files import write_json
from manypose.io.photos import read
from manypose.nn.movenet import MoveNetHeads, MoveNetTrunk, load_heads, load_trunk, to_input
from manypose.poses.crops import crops
from manypose.poses.skeleton import COCO
from manypose.poses.warp import Warp

People = tuple[np.ndarray, np.ndarray]
"""Joints (n, 17, 2) in photo pixels, and scores (n,)."""

Program = Callable[[Path], tuple[People, float]]
"""From a photo to its people, and the seconds of processor time."""

OURS = ("default:onnx", "default:onnx:upright", "default:torch:upright", "fast:onnx", "fast:onnx:upright", "fast:torch:upright")

BOXES = PredictOptions(detector_threshold=0.2)


def ours(name: str, runtime: Any, turned: bool) -> Program:
    """A model of this package."""
    model = manypose.load(name, runtime=runtime, device="cpu")

    def people(path: Path) -> People:
        found = model.predict(path, turned=turned)
        return found.keypoints, found.scores

    return timed(people)


def timed(people: Callable[[Path], People]) -> Program:
    """With the processor time of this process."""

    def program(path: Path) -> tuple[People, float]:
        began = process_time()
        return people(path), process_time() - began

    return program


def boxes_of(detector: Any, pixels: np.ndarray) -> np.ndarray:
    """Boxes and scores (n, 5) of the people in a photo."""
    boxes = next(iter(detect(detector, [PhotoInput(pixels, pixels=pixels)], BOXES))).boxes
    assert boxes is not None
    return boxes


def movenet(file: Path, detector: Any) -> Program:
    """MoveNet Thunder (PyTorch) on squares of 1.25 times the boxes that the detector finds; without one, on the whole photo."""
    trunk, heads = MoveNetTrunk().eval(), MoveNetHeads().eval()
    load_trunk(trunk, file)
    load_heads(heads, file)

    def people(path: Path) -> People:
        pixels = read(path)
        h, w = pixels.shape[:2]
        boxes = np.array([[0.0, 0, w, h, 1]]) if detector is None else boxes_of(detector, pixels)
        if not len(boxes):
            return np.zeros((0, 17, 2)), np.zeros(0)
        grow = 1.0 if detector is None else 1.25
        warps = crops(boxes[:, :4], (h, w), (256, 256), (grow, grow))
        images = torch.from_numpy(np.stack([warp.image(pixels) for warp in warps])).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            out = {name: maps.numpy() for name, maps in heads(trunk(to_input(images))).items()}
        joints, sure = joints_of(out)
        back = [Warp(warp.inverse, (h, w)).points(one) for one, warp in zip(joints, warps, strict=True)]
        return np.stack(back), sure.mean(1) * boxes[:, 4]

    return timed(people)


def joints_of(out: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """MoveNet's joints (n, 17, 2) in pixels of its input and their scores, as its authors describe the decoding.

    The person whose centre is highest near the middle; the pose regressed there; of each joint's heat map, weighted by the nearness to the
    regressed joint, the highest cell, moved by that cell's offset. Regressions and offsets are (y, x) of each joint, in cells.
    """
    centre, heat = (expit(out[name]) for name in ("centre", "heat"))
    n, _, h, w = heat.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    near = 1 / (np.hypot(y - h / 2, x - w / 2) + h / 4)
    at = (centre[:, 0] * near).reshape(n, -1).argmax(1)
    rows, cells = np.arange(n)[:, None], np.arange(17)
    regressed = out["regression"].reshape(n, 17, 2, -1)[rows, cells, :, at[:, None]] + np.stack(np.divmod(at, w), -1)[:, None]
    distance = np.hypot(y - regressed[..., 0, None, None], x - regressed[..., 1, None, None])
    best = (heat / (distance + 1.8)).reshape(n, 17, -1).argmax(2)
    yx = np.stack(np.divmod(best, w), -1) + out["offset"].reshape(n, 17, 2, -1)[rows, cells, :, best]
    return 4 * yx[..., ::-1] + 1.5, heat.reshape(n, 17, -1)[rows, cells, best]


def keypoint_rcnn(file: Path) -> Program:
    """torchvision's keypoint R-CNN from its file of weights."""
    network = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))

    def people(path: Path) -> People:
        with torch.inference_mode():
            found = network([torch.from_numpy(read(path)).permute(2, 0, 1).float() / 255])[0]
        return found["keypoints"][..., :2].numpy(), found["scores"].numpy()

    return timed(people)


@contextmanager
def mediapipe(python: Path, detector: Any) -> Iterator[Program]:
    """MediaPipe's full model, in a process of its own."""
    script = Path(__file__).with_name("peers_mediapipe.py")
    pipe = subprocess.PIPE
    with subprocess.Popen([str(python), str(script)], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def program(path: Path) -> tuple[People, float]:
            began = process_time()
            boxes = None if detector is None else boxes_of(detector, read(path))
            spent = process_time() - began
            asked = {"path": str(path), "boxes": None if boxes is None else boxes[:, :4].tolist()}
            print(json.dumps(asked), file=process.stdin, flush=True)
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{python}: MediaPipe ended; run {script} there to see why")
            found = json.loads(line)
            joints = np.array([one["joints"] for one in found["people"]], np.float64).reshape(-1, 17, 3)
            weights = np.ones(len(joints)) if boxes is None else boxes[[one["box"] for one in found["people"]], 4]
            return (joints[..., :2], joints[..., 2].mean(1) * weights), found["seconds"] + spent

        yield program
        process.stdin.close()


def reference() -> Callable[[], float]:
    """The processor time of a ResNet-50's forward pass at 224 × 224."""
    network = resnet50().eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue, reportArgumentType]
    image = torch.zeros(1, 3, 224, 224).contiguous(memory_format=torch.channels_last)

    def forward() -> float:
        began = process_time()
        with torch.inference_mode():
            network(image)
        return process_time() - began

    return forward


def measure(programs: dict[str, Program], photos: dict[int, Path], annotations: Path) -> list[dict[str, Any]]:
    """A row for each program: ratios to the ResNet-50, AP and AR."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in programs}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    forward, base = reference(), []
    for place, (image, path) in enumerate([next(iter(photos.items())), *photos.items()]):
        # A program that follows another kind (ONNX Runtime after PyTorch) pays for cold caches and memory: the second of two looks counts.
        rows = {name: [program(path) for _ in range(2)][1] for name, program in programs.items()}
        base += [forward()] if place else []
        for name, ((joints, scores), spent) in rows.items() if place else ():  # the first photo warms up
            seconds[name].append(spent)
            results[name] += [coco_row(image, one, score) for one, score in zip(joints, scores, strict=True)]
    truth = read_truth(annotations, COCO, "annotated", list(photos))
    unit, out = median(base), []
    for name in programs:
        figures = oks_ap(truth, read_results(results[name], truth)) if results[name] else {"AP": 0.0, "AP50": 0.0, "AR": 0.0}
        people = max(1, len(results[name]))
        whole = sum(seconds[name]) / len(photos)
        out.append(
            {
                "program": name, "a photo": round(median(seconds[name]) / unit, 2), "mean of photos": round(whole / unit, 2),
                "a person": round(whole * len(photos) / people / unit, 2), "people a photo": round(people / len(photos), 2),
                **{key: round(100 * float(figures[key]), 1) for key in ("AP", "AP50", "AR")},
            }
        )  # fmt: skip
    return out


def coco_row(image: int, joints: np.ndarray, score: float) -> dict[str, Any]:
    """A line of a result file."""
    flat = np.column_stack([joints, np.ones(len(joints))]).ravel()
    return {"image_id": image, "category_id": 1, "keypoints": flat.tolist(), "score": float(score)}


def text(rows: Sequence[dict[str, Any]]) -> str:
    """A table in Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(map(str, row.values())) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(argv: list[str] | None = None) -> list[dict[str, Any]]:
    """The command line; gives what it wrote."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--ids", type=Path, help="a list of image ids; default all photos with annotated people")
    parser.add_argument("--photos", type=int, help="so many of them, spread evenly")
    parser.add_argument("--ours", nargs="*", default=OURS, help="models as NAME:RUNTIME or NAME:RUNTIME:upright")
    parser.add_argument("--movenet", type=Path, help="MoveNet's weights, as configs/README.md says")
    parser.add_argument("--mediapipe", type=Path, help="a Python with MediaPipe")
    parser.add_argument("--keypointrcnn", type=Path, help="torchvision's file of weights")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    content = json.loads(given.annotations.read_text())
    wanted = {a["image_id"] for a in content["annotations"] if a.get("num_keypoints")}
    if given.ids is not None:
        wanted = {int(line) for line in given.ids.read_text().splitlines() if line.strip() and not line.startswith("#")}
    files = sorted((i["id"], given.images / i["file_name"]) for i in content["images"] if i["id"] in wanted)
    if not files:
        parser.error(f"{given.annotations}: none of its photos is wanted")
    chosen = dict(files[i] for i in sorted({round(x) for x in np.linspace(0, len(files) - 1, given.photos or len(files))}))
    with ExitStack() as stack:
        programs = {f"manypose {one}": ours(*one.split(":")[:2], not one.endswith(":upright")) for one in given.ours}
        boxes = find_detector("nanodet", device="cpu")
        if given.movenet:
            programs |= {"MoveNet Thunder in NanoDet's boxes, torch": movenet(given.movenet, boxes)}
            programs |= {"MoveNet Thunder, whole photo, torch": movenet(given.movenet, None)}
        if given.mediapipe:
            programs |= {"MediaPipe full, whole photo": stack.enter_context(mediapipe(given.mediapipe, None))}
            programs |= {"MediaPipe full in NanoDet's boxes": stack.enter_context(mediapipe(given.mediapipe, boxes))}
        if given.keypointrcnn:
            programs |= {"torchvision keypoint R-CNN": keypoint_rcnn(given.keypointrcnn)}
        rows = measure(programs, chosen, given.annotations)
    left = [n for n in ("movenet", "mediapipe", "keypointrcnn") if getattr(given, n) is None]
    print(text(rows) + (f"\nnot measured, since not given: {', '.join('--' + n for n in left)}" if left else ""))
    if given.json:
        write_json(given.json, rows)
    return rows


if __name__ == "__main__":
    main()
