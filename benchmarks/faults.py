"""What `kill -9`, full disks and truncated files do: ``python benchmarks/faults.py [--kills 30] [--offsets 10] [--cuts 20]``.

Each verb is run to its end once. Then it is killed at random moments, and the same command is given again: its outputs must be byte-equal
to those of the undisturbed run. With files that may not grow beyond an offset (a full disk, to the program) it must end with one line and
leave no file that is half-written; and the same command, given once more without the limit, must end with the same outputs. Input files
that are cut off must be one line too. Prints a table for docs/reliability.md; the exit code is 1 where something fell.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from manypose.cli import __main__ as cli
from manypose.io import photos, videos
from manypose.io.sources import example_photo


@dataclass(frozen=True)
class Verb:
    """A command line (``{at}`` is its own folder, ``{good}`` that of the inputs), its outputs, and the input that is cut off."""

    name: str
    line: str
    outputs: str
    cut: str
    resumes: bool = True


VERBS = [
    Verb("predict, photos", "predict {good}/photos --model fast --format coco csv jsonl --out {at}/out", "out/*",
         "photos/000000000001.jpg"),
    Verb("predict, video", "predict {good}/clip.mp4 --model fast --format jsonl --out {at}/out", "out/*.jsonl", "clip.mp4"),
    Verb("label", "label --images {good}/photos --annotations {good}/part.json --model fast --out {at}/new.json", "new.json", "part.json"),
    Verb("evaluate", "evaluate --images {good}/photos --annotations {good}/whole.json --model fast --json {at}/figures.json "
         "--results-out {at}/found.json", "*.json", "whole.json"),
    Verb("train", "train --data {good}/my.yaml --model fast --epochs 3 --batch-size 2 --data.length 8 --saving.every 2 --validation null "
         "--log csv --device cpu --out {at}/out", "out/*.safetensors", "whole.json"),
    Verb("prn train", "prn train {good}/people.npz {at}/out --epochs 3 --batch-size 16 --nodes 64 --save-every 5",
         "out/prn.safetensors", "people.npz"),
    Verb("grouping train", "grouping train --annotations {good}/people.npz --out {at}/out --steps 12 --rois 4 --save-every 3",
         "out/grouping.safetensors", "people.npz"),
    Verb("convert", "convert {good}/model.pth --model swahr-w18-small --out {at}/new.safetensors", "new.safetensors", "model.pth", False),
    Verb("prn join", "prn join {good}/multiposenet.safetensors {good}/prn.safetensors {at}/new.safetensors",
         "new.safetensors", "prn.safetensors",
         False),
]  # fmt: skip


def write_inputs(good: Path, n: int) -> None:
    """Photos with a person, annotations of them, a video, an archive of made-up people, and checkpoints."""
    from manypose.methods.catalog import build
    from manypose.poses.skeleton import COCO
    from manypose.weights.files import BUNDLED

    rng, whole = np.random.default_rng(0), photos.read(example_photo())
    images, people = [], []
    for i in range(1, n + 1):
        x, y = rng.integers(0, 80, 2)
        photos.write(good / f"photos/{i:012d}.jpg", whole[y : y + 400, x : x + 420].copy())
        images.append({"id": i, "file_name": f"{i:012d}.jpg", "height": 400, "width": 420})
        joints = [v for _ in COCO.joints for v in (float(rng.uniform(50, 350)), float(rng.uniform(50, 350)), 2)]
        people.append({"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "bbox": [60, 40, 250, 350], "area": 40000.0,
                       "num_keypoints": 17, "keypoints": joints})  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(COCO.joints), "skeleton": []}
    content = {"images": images, "annotations": people, "categories": [category]}
    (good / "whole.json").write_text(json.dumps(content))
    part = {**content, "images": [{**image, "all_persons_labelled": False} for image in images], "annotations": people[: n // 2]}
    (good / "part.json").write_text(json.dumps(part))
    (good / "my.yaml").write_text("train: {images: photos, annotations: whole.json}\nskeleton: coco\n")
    with videos.writer(good / "clip.mp4", 10) as add:
        for i in range(n // 2):
            add(whole[i : i + 320, i : i + 320])
    keypoints = np.concatenate([rng.uniform(0, 300, (200, 17, 2)), np.full((200, 17, 1), 2)], 2).astype(np.int16)
    np.savez(
        good / "people.npz", image_id=np.repeat(np.arange(100), 2), keypoints=keypoints, bbox=np.tile([5.0, 5, 300, 300], (200, 1)),
        area=np.full(200, 9e4), area_true=np.ones(200, bool), img_id=np.arange(100), img_wh=np.full((100, 2), 320),
    )  # fmt: skip
    network: torch.nn.Module = build("swahr-w18-small").net  # type: ignore[attr-defined]
    torch.save(network.state_dict(), good / "model.pth")
    (good / "multiposenet.safetensors").symlink_to(BUNDLED / "multiposenet-mobile.safetensors")
    shutil.copy(BUNDLED / "prn.safetensors", good / "prn.safetensors")


def run(line: str, disk: int | None = None, kill_after: float | None = None) -> tuple[int, str, float]:
    """A command line in a forked process: its exit code (-9 after a kill), what it wrote on stderr, and how long it took (s)."""
    reading, writing = os.pipe()  # not a file, which could not grow on a full disk either
    began = time.monotonic()
    child = os.fork()
    if not child:
        code = 99
        try:
            with open(os.devnull, "w") as out:
                os.dup2(out.fileno(), 1)
            os.dup2(writing, 2)
            if disk is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (disk, resource.RLIM_INFINITY))
            code = cli.main(line.split())
            sys.stderr.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)  # the parent's folders are not this process's to remove
    os.close(writing)
    killer = threading.Timer(kill_after or 0.0, os.kill, (child, signal.SIGKILL))
    if kill_after is not None:
        killer.start()
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    killer.cancel()
    _, status = os.waitpid(child, 0)
    said = [part for part in text.replace("\r", "\n").splitlines() if part.startswith(("manypose: error", "Traceback"))]
    return os.waitstatus_to_exitcode(status), "\n".join(said), time.monotonic() - began


def digests(at: Path, outputs: str) -> dict[str, str]:
    """The output files by name, with a hash of their content."""
    return {str(p.relative_to(at)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(at.glob(outputs)) if p.is_file()}


def visible(at: Path) -> list[str]:
    return [str(p.relative_to(at)) for p in at.rglob("*") if p.is_file() and not p.name.startswith(".")]


def fresh(at: Path) -> Path:
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir()
    return at


Result = tuple[int, int, list[str]]
"""How many were tried, how many ended as they must, and what fell."""


def tried(moments: int, one: Callable[[int], str]) -> Result:
    """The result of something that gives what fell, empty where nothing did."""
    fell = [said for i in range(moments) if (said := one(i))]
    return moments, moments - len(fell), fell


def killed(verb: Verb, line: str, at: Path, right: dict[str, str], seconds: float, moments: int, rng: random.Random) -> Result:
    def one(i: int) -> str:
        fresh(at)
        run(line, kill_after=rng.uniform(0.05, 0.98) * seconds)
        for _ in range(3):
            code, said, _ = run(line)
            if code == 0:
                break
        return "" if code == 0 and digests(at, verb.outputs) == right else f"kill {i}: exit code {code}, other outputs; {said}"

    return tried(moments, one)


def full(verb: Verb, line: str, at: Path, right: dict[str, str], offsets: int) -> Result:
    largest = max((at / name).stat().st_size for name in right)

    def one(i: int) -> str:
        fresh(at)
        offset = int(largest * i / offsets)
        code, said, _ = run(line, disk=offset)
        if code == 0 and digests(at, verb.outputs) == right:
            return ""  # nothing is as large as that
        if code not in (1, 2) or said.count("manypose: error") < 1 or "Traceback" in said or "defect" in said:
            return f"offset {offset}: exit code {code}: {said}"
        half = [name for name, content in digests(at, verb.outputs).items() if right.get(name) != content and not readable(at / name)]
        if half:
            return f"offset {offset}: half-written {half}"
        code, said, _ = run(line)
        return "" if code == 0 and digests(at, verb.outputs) == right else f"offset {offset}, then again: exit code {code}: {said}"

    return tried(offsets, one)


def readable(path: Path) -> bool:
    """Whether a result file is whole: as far as it goes, every line or picture of it can be read."""
    if path.suffix == ".json":
        with contextlib.suppress(ValueError):
            return json.loads(path.read_text()) is not None
        return False
    if path.suffix == ".jsonl":
        return path.read_text().endswith("\n") or not path.stat().st_size
    return path.suffix not in (".safetensors", ".npz", ".jpg", ".mp4")  # of these only the whole one may be there


def cut(verb: Verb, good: Path, at: Path, cuts: int, folder: Path) -> Result:
    source = good / verb.cut
    content = source.read_bytes()

    def one(i: int) -> str:
        fresh(at)
        other = fresh(folder / "cut")
        for path in good.iterdir():
            if path.name != verb.cut.split("/")[0]:
                (other / path.name).symlink_to(path)
        target = other / verb.cut
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content[: len(content) * i // cuts])
        code, said, _ = run(verb.line.format(at=at, good=other))
        if code not in (0, 1) or "Traceback" in said or "defect" in said or (code and Path(verb.cut).name not in said):
            return f"cut at {i}/{cuts}: exit code {code}: {said}"
        return "" if code or verb.cut.endswith((".jpg", ".mp4")) else f"cut at {i}/{cuts}: taken for whole"

    return tried(cuts, one)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("kills", 30), ("offsets", 10), ("cuts", 20), ("photos", 60), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", default="", help="verbs whose name has this word")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rng, fallen = random.Random(given.seed), 0
    print("| verb | kill -9, then the same outputs | full disk | cut-off input |\n| --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good, at = fresh(folder / "good"), folder / "at"
        write_inputs(good, given.photos)
        for place, _ in cli.VERBS.values():
            __import__(place.partition(":")[0])
        for verb in (v for v in VERBS if given.only in v.name):
            line = verb.line.format(at=fresh(at), good=good)
            code, said, seconds = run(line)
            assert code == 0, f"{verb.name}: exit code {code}: {said}"
            right = digests(at, verb.outputs)
            disk = full(verb, line, at, right, given.offsets)
            results = [killed(verb, line, at, right, seconds, given.kills, rng), disk, cut(verb, good, at, given.cuts, folder)]
            print(f"| {verb.name} | " + " | ".join(f"{well} of {n}" for n, well, _ in results) + " |", flush=True)
            for _, _, fell in results:
                fallen += len(fell)
                print(*(f"  {said}" for said in fell), sep="\n", file=sys.stderr, flush=True)
    return int(bool(fallen))


if __name__ == "__main__":
    sys.exit(main())
