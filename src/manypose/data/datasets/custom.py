"""Custom data sets: a YAML file that names the photos, the annotations and the skeleton.

train: {images: photos/train, annotations: train.json}   # folder and file, relative to this file
val: {images: photos/val, annotations: val.json}         # optional: evaluated during training, and by evaluate
category: dog             # optional: the category, if several have keypoints
skeleton: dog.yaml        # a built-in name, a skeleton YAML, or joints, limbs, sigmas; default: that of the annotations
sigmas: [0.03, 0.05]      # one per joint, or one number for all, if the skeleton has none
all_persons_labelled: false   # optional: some people are not annotated; mask the loss outside the annotated ones

``images`` and ``annotations`` at the top level may replace ``train`` and ``val``. Annotations are COCO's JSON or a format of
`manypose.data.datasets.labelling_tools`. YOLO-pose's ``data.yaml`` is read too, with ``sigmas`` added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from typing_extensions import Unpack

from manypose.data.datasets.annotation_report import Report
from manypose.data.datasets.coco import Keep, Reading, dataset, photos_of
from manypose.data.datasets.coco_json import keypoint_category
from manypose.data.datasets.labelling_tools import read_annotations
from manypose.data.photos import Photos
from manypose.poses.skeleton import BUILT_IN, COCO, Skeleton

__all__ = ["Description", "Part", "custom", "describe"]

KEYS = ("images", "annotations", "category", "skeleton", "sigmas", "all_persons_labelled")
YOLO_KEYS = ("path", "test", "nc", "names", "kpt_shape", "flip_idx", "kpt_names", "download")

Part = Literal["train", "val"]
PARTS: tuple[Part, ...] = ("train", "val")


@dataclass(frozen=True)
class Description:
    """The checked content of a data set's YAML file.

    Args:
        images: the folder of photos.
        annotations: the annotation file.
        skeleton: the people's joints.
        complete: whether all people in the photos are annotated.
        category: the name of the category that is read.
        content: the annotations in COCO's format.
        parts: those of ``train`` and ``val`` that the file has.
    """

    images: Path
    annotations: Path
    skeleton: Skeleton
    complete: bool
    category: str
    content: Mapping[str, Any] = field(repr=False)
    parts: tuple[Part, ...] = ()


def custom(path: str | Path, keep: Keep = "annotated", part: Part = "train", **reading: Unpack[Reading]) -> Photos:
    """The photos that a data set's YAML file describes, as samples. Other arguments as of `manypose.data.coco`.

    Raises:
        FileNotFoundError: the file, the folder or the annotations do not exist.
        ValueError: keys missing or unknown, no sigmas, or joints that contradict the annotations; the message names the file.
    """
    said = describe(path, part)
    report = Report(str(said.annotations))
    name = said.category if said.content.get("categories") else None
    photos = photos_of(said.content, said.images, said.skeleton, report, keep, name, complete=said.complete)
    return dataset(photos, said.skeleton, report, **reading)


def describe(path: str | Path, part: Part = "train") -> Description:
    """The checked YAML file of a data set, with the annotations of one part; a file without parts uses one for both."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such data set YAML; it gives images, annotations and skeleton")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise ValueError(f"{path}: cannot be read as YAML: {str(e)[:200]}") from None
    given = given if isinstance(given, dict) else {}
    parts: tuple[Part, ...] = tuple(p for p in PARTS if given.get(p) is not None)
    yolo = isinstance(given.get("train"), str)
    if unknown := sorted(map(str, set(given) - {*KEYS, *PARTS, *(YOLO_KEYS if yolo else ())})):
        raise ValueError(f"{path}: unknown keys {', '.join(unknown)}; a data set has {', '.join((*PARTS, *KEYS))}")
    if parts and part not in parts:
        raise ValueError(f"{path}: has no '{part}' part; add it: {part}: {{images: FOLDER, annotations: FILE}}")
    own = _yolo_part(given, part, path) if yolo else given[part] if parts else given
    if not isinstance(own, dict) or not isinstance(own.get("images"), str) or not isinstance(own.get("annotations"), str):
        place = f"{path}: {part}" if parts else f"{path}: a data set YAML"
        raise ValueError(f"{place} gives at least 'images' (a folder) and 'annotations' (a file)")
    complete = given.get("all_persons_labelled", True)
    if not isinstance(complete, bool):
        raise ValueError(f"{path}: all_persons_labelled is true or false, got {complete!r}")
    root = path.parent / str(given.get("path") or "") if yolo else path.parent
    images, annotations = root / own["images"], root / own["annotations"]
    asked, names = given.get("skeleton"), given.get("names")
    fixed = None if asked is None else _named(asked, given.get("sigmas"), path).joints
    joints = fixed or (_yolo_joints(given, path) if yolo else None)
    classes = dict(enumerate(names)) if isinstance(names, list) else names
    content = read_annotations(annotations, images, joints, classes)
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in ("images", "annotations")):
        raise ValueError(f"{annotations}: an annotation file needs the lists 'images' and 'annotations'; is it a result file?")
    category = keypoint_category(content, str(annotations), name=given.get("category"))
    entry = {**category.entry, "flip_idx": given.get("flip_idx")} if category.joints else {}
    return Description(images, annotations, _skeleton(given, entry, path, annotations), complete, category.name, content, parts)


def _yolo_part(given: Mapping[str, Any], part: Part, path: Path) -> dict[str, str]:
    """A part of YOLO's data.yaml: the labels lie in the folder whose path has ``labels`` in place of the last ``images``."""
    images = given[part]
    folders = Path(str(images)).parts
    if "images" not in folders:
        raise ValueError(f"{path}: {part}: YOLO's photos lie in a folder 'images' beside 'labels', got {images!r}")
    at = len(folders) - 1 - folders[::-1].index("images")
    return {"images": str(images), "annotations": str(Path(*folders[:at], "labels", *folders[at + 1 :]))}


def _yolo_joints(given: Mapping[str, Any], path: Path) -> tuple[str, ...] | None:
    """The joints of YOLO's data.yaml: their names where it has them, COCO's for 17, else numbers."""
    shape, names = given.get("kpt_shape"), given.get("kpt_names")
    if not isinstance(shape, list) or not shape or not isinstance(shape[0], int):
        raise ValueError(f"{path}: YOLO's data.yaml for poses has 'kpt_shape', such as [17, 3]")
    names = next(iter(names.values())) if isinstance(names, dict) and names else names
    if isinstance(names, list) and len(names) == shape[0]:
        return tuple(map(str, names))
    return None if shape[0] == len(COCO) else tuple(f"joint_{i}" for i in range(shape[0]))


def _skeleton(given: Mapping[str, Any], category: Mapping[str, Any], path: Path, annotations: Path) -> Skeleton:
    asked, sigmas = given.get("skeleton"), given.get("sigmas")
    k = len(category.get("keypoints") or ())
    if isinstance(sigmas, (int, float)) and not isinstance(sigmas, bool) and (k or asked is None):
        sigmas = [float(sigmas)] * k
    if sigmas is not None and (not isinstance(sigmas, Sequence) or isinstance(sigmas, str)):
        raise ValueError(f"{path}: sigmas are a list, one number for each joint, or one number for all; got {sigmas!r}")
    if asked is None:
        if not category:
            raise ValueError(f"{path}: no skeleton, and {annotations} has no category with keypoints; give one of the two")
        found = Skeleton.from_coco_category(category, sigmas, f"{path} (joints from {annotations})")
        flip = category.get("flip_idx")
        pairs = [(i, j) for i, j in enumerate(flip) if i < j] if isinstance(flip, list) and sorted(flip) == list(range(k)) else None
        return found if pairs is None else Skeleton.from_mapping({**found.to_mapping(), "mirror": pairs}, str(path))
    skeleton = _named(asked, sigmas, path)
    joints = tuple(category.get("keypoints") or skeleton.joints)
    if joints != skeleton.joints:
        raise ValueError(
            f"{path}: skeleton {skeleton.name!r} has the joints {', '.join(skeleton.joints)}, "
            f"but {annotations} has {', '.join(map(str, joints))}; names and order must agree"
        )
    return skeleton


def _named(asked: Any, sigmas: Any, path: Path) -> Skeleton:
    """The skeleton that the YAML names or describes."""
    if isinstance(asked, dict):
        count = len(asked.get("joints") or ())
        sigmas = [float(sigmas)] * count if isinstance(sigmas, (int, float)) else sigmas
        return Skeleton.from_mapping({"name": path.stem, **asked, **({} if sigmas is None else {"sigmas": sigmas})}, str(path))
    if sigmas is not None:
        raise ValueError(f"{path}: skeleton {asked!r} has sigmas of its own; leave 'sigmas' out")
    if isinstance(asked, str) and asked in BUILT_IN:
        return BUILT_IN[asked]
    if isinstance(asked, str):
        return Skeleton.from_yaml(path.parent / asked)
    raise ValueError(f"{path}: skeleton is a built-in name ({', '.join(BUILT_IN)}), a YAML file or a mapping, got {asked!r}")
