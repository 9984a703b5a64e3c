"""Self-training: a teacher model adds missing people to an annotation file.

A detected person without annotation becomes a person of the new file (score `min_score` or more) or a region without loss (`ignore_score`
or more), so that missed people are not learned as background. Joints that no person of the file has, such as the face points of sports
photos, are added to the annotated people. The loss then covers the whole photo instead of the annotated people alone. Sources:
pseudo-labels (Lee, 2013); for keypoints Radosavovic et al., *Data Distillation*, CVPR 2018.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, UInt8
from tqdm import tqdm

from manypose import __version__
from manypose.data.datasets.coco_json import load_json
from manypose.data.photos import read_rgb
from manypose.inference.model import Model, load
from manypose.inference.options import PredictOptions
from manypose.inference.photos import PhotoInput, read_ahead
from manypose.inference.pipeline import Detector
from manypose.inference.running import AnyModel
from manypose.inference.turned import find_people
from manypose.io.files import file_identity, write_text
from manypose.io.journal import Journal
from manypose.poses.boxes import with_scores
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton
from manypose.training.labelling_input import check_entries
from manypose.training.new_annotations import LabelOptions, Row, add_joints, box_rows, corners, new_people, usable

__all__ = ["Labelled", "asked", "assembled", "completed", "label", "labelled", "name_of", "to_label"]


@dataclass
class Labelled:
    """Numbers of photos predicted on, of people and regions without a loss added, and of joints added to annotated people."""

    photos: int = 0
    people: int = 0
    regions: int = 0
    joints: int = 0

    def __str__(self) -> str:
        return (
            f"in {self.photos} photos {self.people} people, {self.regions} regions without a loss, {self.joints} joints of annotated people"
        )


def label(
    *,
    images: Path,
    annotations: Path,
    out: Path,
    model: str | None = None,
    weights: Path | None = None,
    detector: str | None = None,
    photos: Literal["all", "present"] = "all",
    rules: LabelOptions = LabelOptions(),  # noqa: B008 - frozen
    device: str = "auto",
    quiet: bool = False,
) -> None:
    """Annotate people that an annotation file misses, with a model, to train on them (self-training).

    Photos marked as fully annotated are unchanged. New people have ``"labelled_by": model`` and their score.

    Args:
        images: folder of the photos.
        annotations: an annotation file in COCO's format.
        out: the new annotation file, different from `annotations`.
        model: the teacher: a model's name or a .safetensors file; by default the bundled default.
        weights: a weights file for a named model.
        detector: the person detector of a top-down teacher; by default the model's own.
        photos: all annotated photos, or those present in the folder; the new file then lacks the others.
        rules: rules for new annotations, and prediction options.
        device: the device that runs the networks: auto, cpu, cuda or cuda:N.
        quiet: no progress bar and no output.

    Raises:
        FileNotFoundError, ValueError: files are missing or broken, or thresholds are inconsistent.
    """
    given = asked(annotations, images, out, photos)
    teacher = load(model, weights=weights, device=device)
    options = rules.predicting()
    teacher.check(options, detector is not None)
    files = {"annotations": annotations, "images": images, "model": model, "weights": weights, "detector": detector}
    settings = {
        **{k: file_identity(v) for k, v in files.items()},
        "options": asdict(replace(options, batch_size=1)),
        "rules": asdict(replace(rules, batch_size=1)),
    }
    journal = Journal(out, {**settings, "photos": photos, "version": __version__})
    try:
        done, count = labelled(given, images, teacher, detector, options, rules, name_of(model), quiet, journal)
    except ValueError as e:
        raise ValueError(str(e) if str(annotations) in str(e) else f"{annotations}: {e}") from None
    write_text(out, json.dumps(done, allow_nan=False))
    journal.remove()
    if not quiet:
        print(f"{out}: {count}")


def asked(annotations: Path, images: Path, out: Path, photos: Literal["all", "present"]) -> dict[str, Any]:
    """The content of the annotation file to complete; see `label`.

    Raises:
        FileNotFoundError, ValueError: files are missing or broken, or `out` cannot be the new file.
    """
    if out.resolve() == annotations.resolve():
        raise ValueError(f"{out}: is the input file; give another one for the output")
    if out.is_dir():
        raise ValueError(f"{out}: is a folder; give a file")
    return _with_photos(load_json(annotations, ("images", "annotations", "categories")), images, annotations, photos)


def _with_photos(given: dict[str, Any], images: Path, annotations: Path, photos: Literal["all", "present"]) -> dict[str, Any]:
    """The checked content of an annotation file, without photos to label that are not in the folder.

    Raises:
        ValueError: an entry cannot be used (`check_entries`), or no photo is to be labelled.
        FileNotFoundError: photos are missing.
    """
    check_entries(given, str(annotations))
    wanted = [image for image in given["images"] if image.get("all_persons_labelled") is False]
    if not wanted:
        raise ValueError(
            f'{annotations}: all people are annotated: no photo of the file has "all_persons_labelled": false; give it to incomplete photos'
        )
    missing = [image for image in wanted if not (images / str(image.get("file_name"))).is_file()]
    if missing and (photos == "all" or len(missing) == len(wanted)):
        cure = (
            "download them, or label those present (--photos present)" if photos == "all" else "give the folder that holds them (--images)"
        )
        first = missing[0].get("file_name")
        raise FileNotFoundError(
            f"{images}: {len(missing)} of the {len(wanted)} photos of {annotations} are missing, the first is {first}; {cure}"
        )
    gone = {image["id"] for image in missing}
    kept = {key: [row for row in given[key] if row[name] not in gone] for key, name in (("images", "id"), ("annotations", "image_id"))}
    return {**given, **kept}


def name_of(model: str | None) -> str:
    """The name of a teacher in its annotations."""
    return Path(model or "default").stem


def labelled(
    given: Mapping[str, Any],
    images: Path,
    teacher: Model,
    detector: Any,
    options: PredictOptions,
    rules: LabelOptions,
    by: str,
    quiet: bool = True,
    journal: Journal | None = None,
) -> tuple[dict[str, Any], Labelled]:
    """The content of an annotation file with a teacher's annotations; see `label`. Photos of the journal are skipped."""
    todo, rows, missing = to_label(given, teacher.skeleton)
    done: dict[Any, tuple[list[Row], int]] = {} if journal is None else {k: (mine, n) for k, (mine, n) in journal.done.items()}
    todo = [image for image in todo if image["id"] not in done]
    with tqdm(total=len(todo), desc="labelling", unit=" photos", disable=quiet or not sys.stderr.isatty()) as bar:
        found = completed(todo, rows, images, teacher, detector, options, rules, by, missing)
        for image, result in zip(todo, found, strict=True):
            done[image["id"]] = result
            if journal is not None:
                journal.add(image["id"], list(result))
            bar.update()
    return assembled(given, done)


def to_label(given: Mapping[str, Any], skeleton: Skeleton) -> tuple[list[Row], Mapping[Any, list[Row]], Bool[np.ndarray, " k"]]:
    """The photos that are not completely annotated, all annotations by photo, and the joints that no person of the file has.

    Raises:
        ValueError: there is no such photo, or the file's people have other joints.
    """
    rows: dict[Any, list[Row]] = defaultdict(list)
    for row in given["annotations"]:
        rows[row["image_id"]].append(row)
    todo = [image for image in given["images"] if image.get("all_persons_labelled") is False]
    if not todo:
        raise ValueError('all people are annotated: no photo of the file has "all_persons_labelled": false')
    return todo, rows, _never_annotated(given["annotations"], skeleton)


def completed(
    todo: Sequence[Row],
    rows: Mapping[Any, list[Row]],
    images: Path,
    teacher: Model,
    detector: Any,
    options: PredictOptions,
    rules: LabelOptions,
    by: str,
    missing: Bool[np.ndarray, " k"],
) -> Iterator[tuple[list[Row], int]]:
    """The annotations of each photo with the teacher's, which have no id yet, and the number of joints added to the others.

    Args:
        todo: the photos.
        rows: the annotations of each photo, by its id.
        images: folder of the photos.
        teacher, detector, options, rules: as in `labelled`.
        by: the teacher's name.
        missing: joints that no person of the file has.
    """
    for image, found, again in zip(todo, *_looks(todo, rows, images, teacher, detector, options, missing), strict=True):
        mine = [dict(row) for row in rows[image["id"]]]
        joints = add_joints(mine, again, missing, rules)
        new = list(new_people(*found, mine, (image["height"], image["width"]), rules))
        yield mine + [{"image_id": image["id"], "labelled_by": by, **row} for row in new], joints


def assembled(given: Mapping[str, Any], done: Mapping[Any, tuple[list[Row], int]]) -> tuple[dict[str, Any], Labelled]:
    """The content of an annotation file with the completed photos and ids of new annotations."""
    number = max((r["id"] for r in given["annotations"] if isinstance(r.get("id"), int)), default=0)
    category = next((c["id"] for c in given["categories"] if c.get("name", "person") == "person"), 1)
    count = Labelled(photos=len(done), joints=sum(joints for _, joints in done.values()))
    before: dict[Any, list[Row]] = defaultdict(list)
    for row in given["annotations"]:
        before[row["image_id"]].append(row)
    annotations: dict[Any, list[Row]] = dict(before)
    for image in given["images"]:
        if image["id"] in done:
            mine, old = done[image["id"]][0], len(before[image["id"]])
            for i, row in enumerate(mine[old:], old):
                number += 1
                mine[i] = {"id": number, "category_id": category, **row}
                count.people, count.regions = count.people + (not row["iscrowd"]), count.regions + row["iscrowd"]
            annotations[image["id"]] = mine
    listed = [{**i, "all_persons_labelled": True} if i["id"] in done else i for i in given["images"]]
    return {**given, "images": listed, "annotations": [r for i in given["images"] for r in annotations.get(i["id"], [])]}, count


def _never_annotated(annotations: Sequence[Row], skeleton: Skeleton) -> Bool[np.ndarray, " k"]:
    """The joints that no person of the file has."""
    seen = np.zeros(len(skeleton), bool)
    for row in annotations:
        keypoints = row.get("keypoints") or []
        if keypoints and len(keypoints) != 3 * len(skeleton):
            raise ValueError(
                f"annotation {row.get('id')} has {len(keypoints)} numbers, the teacher's {len(skeleton)} joints need three each"
            )
        seen |= np.asarray(keypoints[2::3] or 0) > 0
    return ~seen


def _looks(
    todo: Sequence[Row],
    rows: Mapping[Any, list[Row]],
    images: Path,
    teacher: Model,
    detector: Any,
    options: PredictOptions,
    missing: np.ndarray,
) -> tuple[Iterator[tuple[Poses, np.ndarray]], Iterator[Poses | None]]:
    """The people of each photo with all detected boxes, and predictions in the boxes of annotated people who lack joints."""
    paths = [images / image["file_name"] for image in todo]

    def photos() -> Iterator[tuple[Path, UInt8[np.ndarray, "H W 3"]]]:
        """The photos in the pixel coordinates of their annotations."""
        return ((path, read_rgb(path, size=(image["height"], image["width"]))) for path, image in zip(paths, todo, strict=True))

    def people(items: Iterable[PhotoInput], finder: AnyModel | Detector | None = None) -> Iterator[tuple[Poses, np.ndarray]]:
        for result in find_people(teacher.method, finder, items, options):
            if result.poses is None:
                raise result.error or RuntimeError(f"{result.item.name}: no result")
            yield result.poses, box_rows(result.poses) if result.item.boxes is None else result.item.boxes

    whole = (PhotoInput(rgb, keep=False, name=str(path)) for path, rgb in photos())
    finder = teacher.finder(detector)
    found = people(read_ahead(whole, options.batch_size), finder)
    if not missing.any():
        return found, repeat(None, len(todo))
    if not teacher.needs_boxes:
        return found, (poses for poses, _ in people(PhotoInput(rgb, keep=False, name=str(p)) for p, rgb in photos()))
    own = ([corners(r) for r in rows[image["id"]] if usable(r)] for image in todo)
    known = (PhotoInput(rgb, with_scores(b), keep=False, name=str(p)) for (p, rgb), b in zip(photos(), own, strict=True))
    return found, (poses for poses, _ in people(known))
