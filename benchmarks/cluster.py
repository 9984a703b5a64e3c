"""What `manypose cluster predict` must show, on a Ray cluster of two workers with one processor each:

    python benchmarks/cluster.py PHOTOS OUT --photos 2000 --model fast

PHOTOS is a folder of photos, which are repeated (as links) until there are as many as asked for. It prints, as JSON: whether the rows are
those of plain prediction, the throughput against two plain processes at once, the driver's memory at a quarter and at the end, and what
is left after three kills of a worker, one kill of the driver and 5 % damaged photos. Parts can be chosen: ``--only equal kills``.
``--only video --video CLIP`` compares the track ids of a video in chunks with those of the video in one piece.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from manypose.inference.cluster.job import opened
from manypose.inference.cluster.report import rows_of, status
from manypose.inference.model import load
from manypose.io.storage import Folder

PARTS = ("equal", "throughput", "memory", "kills", "damaged", "video")


def repeated(photos: Path, out: Path, count: int, damaged: float = 0.0) -> Path:
    """A folder of links to photos, of which a share is cut off in the middle."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    there = sorted(p for p in photos.iterdir() if p.suffix == ".jpg")
    for i in range(count):
        source, place = there[i % len(there)], out / f"p{i:06d}.jpg"
        if i % 100 < 100 * damaged:
            place.write_bytes(source.read_bytes()[:200])
        else:
            place.symlink_to(source)
    return out


def command(photos: Path, job: Path, model: str, block: int, workers: int = 2) -> list[str]:
    """The command line of a job; one photo a batch, so that its neighbours do not change the last bits of a photo's numbers."""
    more = ["--workers", str(workers), "--block-size", str(block), "--batch-size", "1"]
    return [sys.executable, "-m", "manypose", "cluster", "predict", str(photos), "--out", str(job), "--model", model, *more]


def rows(job: Path) -> dict:
    """The rows of a job by address; raises where one is there twice."""
    found: dict = {}
    for row in rows_of(opened(Folder(str(job)))):
        assert row.uri not in found, row.uri
        found[row.uri] = row
    return found


def equal(photos: Path, job: Path, model: str) -> dict:
    """How many rows are those of plain prediction, to the bit."""
    one, found, same = load(model, device="cpu"), rows(job), 0
    known: dict = {}
    for place in sorted(photos.iterdir()):
        source = place.resolve()
        if source not in known:
            known[source] = one.predict(source, batch_size=1)
        mine, theirs = found[str(place)].people, known[source]
        same += all(np.array_equal(getattr(mine, n), getattr(theirs, n)) for n in ("keypoints", "keypoint_scores", "scores", "boxes"))
    return {"rows": len(found), "equal to plain predict": same}


def followed(clip: Path, job: Path, model: str, chunk: int) -> dict:
    """How many people in the frames of a video have the same id in chunks as in one piece."""
    words = [sys.executable, "-m", "manypose", "cluster", "predict", str(clip), "--out", str(job), "--model", model, "--track"]
    shutil.rmtree(job, ignore_errors=True)
    began = time.perf_counter()
    subprocess.run([*words, "--workers", "2", "--chunk-frames", str(chunk)], check=True, stdout=subprocess.DEVNULL)
    chunks, seconds = list(rows_of(opened(Folder(str(job))))), time.perf_counter() - began
    began = time.perf_counter()
    whole = list(load(model, device="cpu").predict(clip, track=True))
    ids = [(a.ids, b.people.ids) for a, b in zip(whole, chunks, strict=True) if len(a) or len(b.people)]
    same = sum(int((a == b).sum()) for a, b in ids if a is not None and b is not None and len(a) == len(b))
    people = sum(map(len, whole))
    return {
        "frames": len(whole), "person-frames": people, "in chunks": sum(len(r.people) for r in chunks), "same id": same,
        "share": same / people, "tracks": max(int(a.max()) for a, _ in ids if a is not None),
        "chunks": len(list((job / "shards").iterdir())),
        "seconds in chunks": round(seconds, 1), "seconds in one piece": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def workers_of(parent: int) -> list[int]:
    """The actors of Ray on this machine that hold a model, begun after a process."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and int(place.name) > parent and b"MapWorker" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
        except OSError:
            pass
    return found


def memory(pid: int) -> float:
    """Megabytes that a process holds alone."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon"):
            return int(line.split()[1]) / 1000
    return 0.0


def cpu_seconds(parent: int, into: dict[tuple[str, int], float]) -> None:
    """Seconds of CPU that the driver, the workers and Ray's own processes have used, by kind and process."""
    for place in Path("/proc").iterdir():
        try:
            if not place.name.isdigit() or int(place.name) < parent:
                continue
            words, fields = (place / "cmdline").read_bytes(), (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(place.name)
        kind = "driver" if pid == parent else "workers" if b"MapWorker" in words else "Ray" if b"ray" in words else None
        if kind is not None:
            into[kind, pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watched(words: list[str], job: Path, kills: int = 0, driver_after: float | None = None) -> dict:
    """Run a job; kill -9 workers at random moments, or the driver once a share of the blocks is finished; what was seen."""
    # Ray gives its workers a niceness of 15, plain processes have 0.
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**os.environ, "RAY_worker_niceness": "0"})
    used: dict[tuple[str, int], float] = {}
    before: dict[tuple[str, int], float] = {}
    held: list[tuple[float, float]] = []
    dead: list[int] = []
    rng = random.Random(1)
    following = rng.uniform(0.05, 0.3)

    def look() -> None:
        nonlocal following
        while process.poll() is None:
            time.sleep(0.5)
            try:
                planned = opened(Folder(str(job)))
            except (OSError, ValueError):
                continue
            share = len(planned.finished()) / len(planned)
            cpu_seconds(process.pid, used)
            if not share:  # as the throughput, from the first shard on
                before.update(used)
            try:
                held.append((share, memory(process.pid)))
            except OSError:
                return
            if len(dead) < kills and share >= following and (there := [p for p in workers_of(process.pid) if p not in dead]):
                dead.append(rng.choice(there))
                os.kill(dead[-1], signal.SIGKILL)
                following = share + rng.uniform(0.05, 0.3)
            if driver_after is not None and share >= driver_after:
                process.kill()
                return

    began = time.perf_counter()
    thread = threading.Thread(target=look)
    thread.start()
    code = process.wait()
    thread.join()
    cpu = dict.fromkeys(("driver", "workers", "Ray"), 0.0)
    for key, seconds in used.items():
        cpu[key[0]] = round(cpu[key[0]] + seconds - before.get(key, 0), 1)
    return {"code": code, "seconds": round(time.perf_counter() - began, 1), "workers killed": len(dead), "memory": held, "cpu": cpu}


def measured(args: argparse.Namespace) -> dict:
    """All parts that were asked for."""
    out, found = args.out, {}
    if "video" in args.only and args.video:
        found["video"] = followed(args.video.resolve(), out / "video", args.model, args.chunk)
    photos = repeated(args.folder, out / "photos", args.photos)
    job = out / "job"
    if {"equal", "throughput", "memory"} & set(args.only):
        shutil.rmtree(job, ignore_errors=True)
        seen = watched(command(photos, job, args.model, args.block), job)
        held = [m for share, m in seen["memory"] if share >= 0.25]
        found["job"] = {
            "code": seen["code"],
            "seconds": seen["seconds"],
            "CPU seconds after the first shard": seen["cpu"],
            "status": str(status(opened(Folder(str(job))))),
        }
        found["memory"] = {"driver at a quarter, MB": held[0], "at the end": held[-1], "spread": max(held) - min(held)} if held else {}
        times = sorted(p.stat().st_mtime for p in (job / "shards").iterdir())
        # Without the start of Ray and of the networks, as the plain processes are measured too: from the second shard on, when both
        # workers have finished one.
        found["throughput"] = {"cluster, photos/s": args.block * (len(times) - 2) / max(times[-1] - times[1], 1e-9)}
    if "throughput" in args.only:
        code = (
            "import sys, time; from pathlib import Path; from manypose import load; m = load(sys.argv[1], device='cpu');"
            "p = sorted(Path(sys.argv[2]).iterdir())[int(sys.argv[3])::2]; m.predict(p[0]);"
            "t, c = time.perf_counter(), time.process_time();"
            "m.predict(p, batch_size=1); print(len(p) / (time.perf_counter() - t), time.process_time() - c)"
        )
        one = {**os.environ, "OMP_NUM_THREADS": "1"}  # each process has one core, as each worker
        both = [
            subprocess.Popen([sys.executable, "-c", code, args.model, str(photos), str(i)], stdout=subprocess.PIPE, text=True, env=one)
            for i in range(2)
        ]
        rates, seconds = zip(*(map(float, p.communicate()[0].split()) for p in both), strict=True)
        plain = sum(rates)
        found["throughput"]["CPU seconds of the two processes"] = round(sum(seconds), 1)
        found["throughput"] |= {"two processes": plain, "ratio": found["throughput"]["cluster, photos/s"] / plain}
    if "equal" in args.only:
        found["equal"] = equal(photos, job, args.model)
    if {"kills", "damaged"} & set(args.only):
        photos = repeated(args.folder, out / "damaged", args.photos, 0.05 if "damaged" in args.only else 0.0)
        job, kills = out / "killed", "kills" in args.only
        shutil.rmtree(job, ignore_errors=True)
        words = command(photos, job, args.model, args.block)
        first = watched(words, job, driver_after=0.3) if kills else {}
        after = len(list((job / "shards").glob("*"))) if kills else 0
        second = watched(words, job, kills=3 if kills else 0)
        all_rows = rows(job)
        found["kills"] = {
            "code of the killed driver": first.get("code"), "blocks it had finished": after, "then": second["code"],
            "workers killed": second["workers killed"], "rows": len(all_rows), "inputs": args.photos,
            "errors": sum(r.error is not None for r in all_rows.values()),
            "damaged": sum(not p.is_symlink() for p in photos.iterdir()),
            "half-written": [p.name for p in (job / "shards").iterdir() if p.name.startswith(".")],
        }  # fmt: skip
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--block", type=int, default=50)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--chunk", type=int, default=500, help="frames in a chunk of the video")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    args.out = args.out.resolve()
    print(json.dumps(measured(args), indent=1))


if __name__ == "__main__":
    main()
