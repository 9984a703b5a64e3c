"""Benchmarks of MPII and PoseTrack, whose distances are measured in head sizes."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from manypose.data.datasets.head_sizes import HeadScaledTruth
from manypose.data.datasets.mpii import by_photo, group_poses, image_ids, person_boxes, read_groups, read_mpii, truths
from manypose.data.datasets.mpii_files import MpiiPeople
from manypose.data.datasets.mpii_results import read_preds, write_groups, write_preds, write_singles
from manypose.data.datasets.posetrack import Video, read_posetrack
from manypose.data.datasets.posetrack import truths as frames_of
from manypose.data.datasets.posetrack_results import read_posetrack_results, write_posetrack
from manypose.evaluation.benchmark import Benchmark, BenchmarkSpec, BoxesByImage, EvalImage, PosesByImage, Score
from manypose.evaluation.metrics.pckh import PartAP, keypoint_ap, pckh
from manypose.evaluation.metrics.posetrack import posetrack_ap, posetrack_mot
from manypose.poses.poses import Poses
from manypose.poses.skeleton import MPII, POSETRACK, Skeleton

__all__ = ["mpii", "posetrack"]


def mpii(request: BenchmarkSpec) -> Benchmark:
    """PCKh for models that are given each annotated person (and for ``preds`` files), keypoint AP for models that find all people."""
    _only(request, ("analyse", "boxes", "category", "area"))
    people = read_mpii(request.annotations or "", request.heads)
    ids, boxes = image_ids(people.images), person_boxes(people)
    root = request.images
    if request.one_by_one:
        shots = [] if root is None else [EvalImage(i, root / name, None, boxes[i : i + 1]) for i, name in enumerate(people.images)]
    else:
        shots = [] if root is None else [EvalImage(ids[name], root / name, None, boxes[rows]) for name, rows in by_photo(people).items()]
    _there(shots, root)

    several = not request.one_by_one and root is not None
    if request.groups is not None and not several:
        raise ValueError(f"{request.groups}: groups are for models that find all people in a photo")
    groups = None if request.groups is None else read_groups(request.groups, people)
    if groups is not None:
        shots = [shot for shot in shots if shot.id in {ids[people.images[rows[0]]] for rows in groups}]

    def of_groups(found: PosesByImage) -> list[Poses]:
        photo = (_in(found.get(ids[people.images[rows[0]]]), MPII) for rows in groups or ())
        return [group_poses(poses, people, rows) for poses, rows in zip(photo, groups or (), strict=True)]

    def score(found: PosesByImage, detected: BoxesByImage) -> Score:
        if not several:
            return _pckh_score(np.stack([_single(found.get(i)) for i in range(len(people))]), people)
        photos = truths(people, groups)
        poses = [_in(found.get(t.image_id), MPII) for t in photos] if groups is None else of_groups(found)
        return _ap_score(keypoint_ap(poses, photos), sum(map(len, poses)))

    def write(found: PosesByImage, path: Path) -> None:
        if groups is not None:
            write_groups(path, people, groups, of_groups(found))
            return
        joints = np.nan_to_num(np.stack([_single(found.get(i)) for i in range(len(people))]))
        # Results for the official file are in the official format, results for other files in COCO's.
        (write_singles if people.listing and path.suffix == ".mat" else write_preds)(path, people, joints)

    about = f"{len({s.id for s in shots} if groups else ids)} photos, {len(people)} people"
    about += "" if groups is None else f", of them {sum(map(len, groups))} in {len(groups)} groups"
    rules = "keypoint AP at 0.5 head sizes" if several else "one result for each annotated person, in head sizes"
    if groups is not None:
        rules += ", over MPII's groups: people whose mean joint lies within a quarter of a person's height of the group's centres"
    return Benchmark(
        f"MPII ({Path(people.name).name})",
        about,
        rules,
        MPII,
        shots,
        score,
        lambda path: _pckh_score(read_preds(path, people), people),
        None if several and groups is None else write,
        root=root,
    )


def posetrack(request: BenchmarkSpec) -> Benchmark:
    """PoseTrack18's keypoint AP and, for people with track ids, MOTA."""
    _only(request, ("analyse", "boxes", "category", "area"))
    videos = read_posetrack(request.annotations or "")
    frames, report = frames_of(videos)
    root = request.images
    shots = [] if root is None else [shot for video in videos for shot in _frames(video, root)]
    _there(shots, root)

    def score(found: PosesByImage, detected: BoxesByImage) -> Score:
        return _tracking_score([_in(found.get(t.image_id), POSETRACK) for t in frames], frames)

    def write(found: PosesByImage, path: Path) -> None:
        write_posetrack(path, videos, {i: _in(p, POSETRACK) for i, p in found.items()})

    labelled = sum(len(t) > 0 for t in frames)
    about = f"{len(videos)} videos, {len(frames)} frames ({labelled} with annotated people), {sum(map(len, frames))} people"
    notes = [f"{len(report.problems)} entries of the annotations are faulty: {', '.join(report.counts)}"] if report.problems else []
    rules = "joints within 0.5 head sizes, without frames that have no annotated people and without ignored regions"
    return Benchmark(
        "PoseTrack18",
        about,
        rules,
        POSETRACK,
        shots,
        score,
        lambda path: score(read_posetrack_results(path, videos), {}),
        write,
        notes,
        root=root,
    )


def _frames(video: Video, root: Path) -> list[EvalImage]:
    labelled = (i for i in video.images if i.get("is_labeled", True))
    return [EvalImage(int(i["id"]), root / i["file_name"], None, np.zeros((0, 4)), video.name) for i in labelled]


def _only(request: BenchmarkSpec, unknown: Sequence[str]) -> None:
    names = {"analyse": "the error analysis", "boxes": "box_ap"}
    asked = [names.get(name, name) for name in unknown if getattr(request, name)]
    if asked:
        raise ValueError(f"{request.dataset}: {asked[0]} needs a data set with OKS and person boxes")


def _there(shots: Sequence[EvalImage], root: Path | None) -> None:
    if root is not None and not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder of photos")
    missing = sorted({str(s.path) for s in shots if not s.path.is_file()})
    if missing:
        raise FileNotFoundError(f"{missing[0]}: no such photo ({len(missing)} photos of the data set are missing in {root})")


def _in(poses: Poses | None, skeleton: Skeleton) -> Poses:
    """The people with the data set's joints."""
    if poses is None:
        return Poses.empty(skeleton)
    return poses if poses.skeleton.joints == skeleton.joints else poses.to(skeleton)


def _single(poses: Poses | None) -> np.ndarray:
    """The joints of the person with the highest score; NaN for a joint that was not found."""
    if poses is None or not len(poses):
        return np.full((len(MPII), 2), np.nan)
    best = _in(poses, MPII)[[int(poses.scores.argmax())]]
    return np.where(best.keypoint_scores[0, :, None] > 0, best.keypoints[0], np.nan).astype(np.float64)


def _pckh_score(keypoints: np.ndarray, people: MpiiPeople) -> Score:
    truth, labelled = people.keypoints[..., :2], people.keypoints[..., 2] > 0
    half, tenth = (pckh(keypoints, truth, labelled, people.head_sizes, MPII, t) for t in (0.5, 0.1))
    figures = {"PCKh@0.5": half.mean, "PCKh@0.1": tenth.mean, **{f"PCKh@0.5 {part}": value for part, value in half.parts.items()}}
    return Score(figures, [], {"PCKh": [asdict(half), asdict(tenth)]}, results=len(people))


def _ap_score(ap: PartAP, results: int) -> Score:
    parts = {f"AP {part}": value for part, value in ap.parts.items()}
    return Score({"mAP": ap.mean, **parts}, [], {"keypoint_AP": asdict(ap)}, results=results)


def _tracking_score(poses: list[Poses], frames: list[HeadScaledTruth]) -> Score:
    ap = posetrack_ap(poses, frames)
    scored = _ap_score(ap, sum(map(len, poses)))
    if any(p.ids is None for p in poses if len(p)):
        return replace(scored, notes=["the people have no track ids, so MOTA is not measured"])
    tracks = posetrack_mot([p if p.ids is not None else replace(p, ids=np.zeros(0, np.int64)) for p in poses], frames)
    figures = {"MOTA": tracks.mota, "MOTP": tracks.motp, "precision": tracks.precision, "recall": tracks.recall}
    said = f"identity switches: {tracks.switches}, summed over {len(tracks.joints)} joints"
    return replace(scored, figures={**scored.figures, **figures}, more={**scored.more, "switches": tracks.switches}, text=said)
