"""Tracking measured: how fast and in how much memory, and how well on synthetic videos of people who walk across one another.

    python benchmarks/tracking.py                        # speed, memory over 10,000 frames, MOTA and switches
    python benchmarks/tracking.py --write DIR            # a synthetic video as PoseTrack18 has them: pictures and annotations
    manypose evaluate --dataset posetrack --images DIR --annotations DIR/annotations --model NAME

One CPU thread. Speed is of the tracker alone, ten people a frame, without flow: the median over frames of the processor's time. MOTA is of
15 joints within half a head size, every frame counted. Detections are made from the truth: ``perfect`` are all joints in the picture;
``noisy`` ones stray by a fifth of a head size, a tenth of the people and of the joints is missing, as is whoever is covered by more than
half by another, and in a fifth of the frames there is somebody who is not there; in ``sparse`` ones every second frame is missing, as in a
video of half the rate, and so on. Flow is computed on drawn frames.
"""

import argparse
import json
import resource
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from synthetic_people.drawn.videos import Crowd, SyntheticVideo, found_in

from manypose.data.datasets.posetrack_results import JOINTS, PLACES
from manypose.evaluation.metrics.posetrack import posetrack_mot
from manypose.io import photos
from manypose.poses.poses import Poses
from manypose.poses.skeleton import COCO, POSETRACK
from manypose.tracking.tracker import Tracker, TrackOptions

NOISY: dict[str, Any] = {"noise": 0.2, "drop": 0.1, "hide": 0.5, "ghosts": 0.2}
KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "perfect": (1, {}),
    "noisy": (1, NOISY),
    "perfect, every 2nd frame": (2, {}),
    "noisy, every 2nd frame": (2, NOISY),
    "perfect, every 4th frame": (4, {}),
    "noisy, every 4th frame": (4, NOISY),
}


def ten_people(frames: int) -> Iterator[Poses]:
    """Ten people a frame who wander about a picture of 1920 x 1080."""
    rng = np.random.default_rng(0)
    bodies, at = rng.uniform(0, 1, (10, 17, 2)) * (80, 200), rng.uniform(0, 1, (10, 1, 2)) * (1840, 880)
    speed = rng.normal(0, 3, (10, 1, 2))
    for _ in range(frames):
        at = at + speed
        outside = (at < 0) | (at > [1840, 880])
        speed = np.where(outside, -speed, speed)
        keypoints = (bodies + at + rng.normal(0, 1.5, bodies.shape)).astype(np.float32)
        yield Poses(COCO, keypoints, np.ones((10, 17), np.float32), rng.uniform(0.5, 1, 10).astype(np.float32))


def speed(frames: int) -> dict[str, float]:
    """Frames a second, and the same of the slowest tenth."""
    tracker, times = Tracker(TrackOptions(flow="none")), []
    for poses in ten_people(frames):
        start = time.process_time()
        tracker.update(poses)
        times.append(time.process_time() - start)
    middle, slow = np.percentile(times, [50, 90])
    return {"frames_a_second": round(1 / middle), "slowest_tenth": round(1 / slow), "ids": tracker.update(next(ten_people(1))).ids.max()}  # type: ignore[union-attr]


def memory(frames: int, step: int = 1000) -> list[dict[str, float]]:
    """What the tracker and all around it hold, in KiB, and the process's peak in MiB, every `step` frames of one video."""
    video = SyntheticVideo(frames=frames, seed=50_000, lanes=6, skeleton=POSETRACK)
    tracker, rng, rows = Tracker(TrackOptions(flow="none")), np.random.default_rng(1), []
    tracemalloc.start()
    newest = 0
    for i in range(frames):
        ids = tracker.update(found_in(video.people(i), rng, **NOISY)).ids
        newest = max(newest, int(ids.max(initial=0)))  # type: ignore[union-attr]
        if (i + 1) % step == 0:
            now, _ = tracemalloc.get_traced_memory()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append({"frame": i + 1, "KiB": round(now / 1024), "peak_MiB": round(peak), "ids_given": newest})
    tracemalloc.stop()
    return rows


def quality(options: TrackOptions, seeds: range, frames: int, step: int, spoil: dict[str, Any], lanes: int) -> dict[str, float]:
    """MOTA and switches over videos of some seeds; the joints' switches are also given as people's (over 15)."""
    poses, truths = [], []
    for seed in seeds:
        video, rng = SyntheticVideo(frames=frames, seed=seed, lanes=lanes, skeleton=POSETRACK), np.random.default_rng(seed)
        tracker = Tracker(options)
        for i in range(0, frames, step):
            crowd = video.people(i)
            picture = _picture(video, i) if tracker.needs_frames else None
            poses.append(tracker.update(found_in(crowd, rng, **spoil), picture))
            truths.append(crowd.truth)
    found = posetrack_mot(poses, truths, as_poseval=False)
    return {
        "MOTA": round(found.mota, 2),
        "switches": found.switches,
        "recall": round(found.recall, 2),
        "precision": round(found.precision, 2),
    }


_drawn: dict[tuple, np.ndarray] = {}


def _picture(video: SyntheticVideo, i: int) -> np.ndarray:
    """Drawn once for all ways of tracking."""
    key = (video.seed, video.lanes, video.frames, i)
    if key not in _drawn:
        _drawn[key] = video.picture(i)
    return _drawn[key]


def write(folder: Path, frames: int, seed: int, lanes: int) -> None:
    """A video's frames and its annotations in PoseTrack18's form."""
    video, name = SyntheticVideo(frames=frames, seed=seed, lanes=lanes, skeleton=POSETRACK), f"synthetic_{seed}"
    images, people = [], []
    for i, (picture, crowd) in enumerate(video):
        file = f"images/val/{name}/{i:06d}.jpg"
        photos.write(folder / file, picture)
        images.append({"id": 10_000 * (seed + 1) + i, "file_name": file, "is_labeled": True, "vid_id": str(seed), "nframes": frames})
        people += _annotations(crowd, images[-1]["id"])
    category = {"id": 1, "name": "person", "keypoints": list(JOINTS)}
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": people, "categories": [category]}
    (folder / "annotations" / f"{name}.json").write_text(json.dumps(content))


def _annotations(crowd: Crowd, image: int) -> list[dict[str, Any]]:
    rows = []
    for i, (joints, head, person) in enumerate(zip(crowd.truth.keypoints, crowd.truth.head_sizes, crowd.truth.ids, strict=True)):  # type: ignore[arg-type]
        flat = np.zeros((len(JOINTS), 3))
        flat[list(PLACES)] = np.column_stack([joints[:, :2], joints[:, 2] > 0])
        side = float(head / 0.6 / np.sqrt(2))
        row = {"id": image * 100 + i, "image_id": image, "category_id": 1, "track_id": int(person), "keypoints": flat.ravel().tolist()}
        rows.append({**row, "bbox_head": [float(joints[2, 0]), float(joints[2, 1]), side, side]})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="write a synthetic video here and do nothing else")
    parser.add_argument("--only", choices=("speed", "memory", "quality"))
    parser.add_argument("--frames", type=int, default=200, help="of each video")
    parser.add_argument("--long", type=int, default=10_000, help="frames over which memory is watched")
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--seed", type=int, default=70_000, help="of the first video")
    parser.add_argument("--lanes", type=int, default=5)
    parser.add_argument("--flow", default="none,dis", help="ways to compare, with commas")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    if given.write is not None:
        write(given.write, given.frames, given.seed, given.lanes)
        return
    rows: dict[str, Any] = {}
    if given.only in (None, "speed"):
        rows["speed"] = speed(3000)
        print(f"ten people, no flow: {rows['speed']}")
    if given.only in (None, "memory"):
        rows["memory"] = memory(given.long, max(1, given.long // 10))
        print("\n".join(map(str, rows["memory"])))
    if given.only in (None, "quality"):
        seeds = range(given.seed, given.seed + given.videos)
        for flow in given.flow.split(","):
            for matching in ("hungarian", "greedy"):
                for name, (step, spoil) in KINDS.items():
                    options = TrackOptions(flow=flow, matching=matching)  # type: ignore[arg-type]
                    row = quality(options, seeds, given.frames, step, spoil, given.lanes)
                    rows[f"{flow}, {matching}, {name}"] = row
                    print(f"{flow:10} {matching:10} {name:28} {row}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1, default=int))


if __name__ == "__main__":
    main()
