"""A user's own data set with its own skeleton: one YAML file that names the photos, the annotations and the joints.

images: photos            # folder, relative to this file
annotations: people.json  # COCO's format, relative to this file
category: dog             # optional: whose annotations, where several categories have keypoints
skeleton: dog.yaml        # a built-in name, a skeleton YAML, or joints, limbs, sigmas here; left out: what the annotations say
sigmas: [0.03, 0.05]      # one a joint, where the skeleton does not give them
all_persons_labelled: false   # optional: others in the photos are not annotated, so mask outside the annotated ones
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import Unpack

from manypose.data.datasets.annotation_report import Report
from manypose.data.datasets.coco import Keep, Reading, dataset, photos_of
from manypose.data.datasets.coco_json import keypoint_category, load_json
from manypose.data.photos import Photos
from manypose.poses.skeleton import BUILT_IN, Skeleton

__all__ = ["Description", "custom", "describe"]

KEYS = ("images", "annotations", "category", "skeleton", "sigmas", "all_persons_labelled")


@dataclass(frozen=True)
class Description:
    """What a data set's YAML file says, checked.

    Args:
        images: the folder of photos.
        annotations: the JSON file in COCO's format.
        skeleton: the people's joints.
        complete: everybody in the photos is annotated.
        category: the name of the category that is read.
    """

    images: Path
    annotations: Path
    skeleton: Skeleton
    complete: bool
    category: str


def custom(path: str | Path, keep: Keep = "annotated", **reading: Unpack[Reading]) -> Photos:
    """The photos that a data set's YAML file describes, as samples. Other arguments as of `manypose.data.coco`.

    Raises:
        FileNotFoundError: the file, the folder or the annotations are not there.
        ValueError: keys missing or unknown, no sigmas, or joints that contradict the annotations; the message names the file.
    """
    said = describe(path)
    given, report = load_json(said.annotations), Report(str(said.annotations))
    name = said.category if given.get("categories") else None
    photos = photos_of(given, said.images, said.skeleton, report, keep, name, complete=said.complete)
    return dataset(photos, said.skeleton, report, **reading)


def describe(path: str | Path) -> Description:
    """Read and check a data set's YAML file; the annotation file is opened for its category."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such data set YAML; it gives images, annotations and skeleton")
    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise ValueError(f"{path}: cannot be read as YAML: {str(e)[:200]}") from None
    if not isinstance(given, dict) or not isinstance(given.get("images"), str) or not isinstance(given.get("annotations"), str):
        raise ValueError(f"{path}: a data set YAML gives at least 'images' (a folder) and 'annotations' (a JSON file)")
    if unknown := sorted(map(str, set(given) - set(KEYS))):
        raise ValueError(f"{path}: unknown keys {', '.join(unknown)}; a data set has {', '.join(KEYS)}")
    complete = given.get("all_persons_labelled", True)
    if not isinstance(complete, bool):
        raise ValueError(f"{path}: all_persons_labelled is true or false, got {complete!r}")
    images, annotations = path.parent / given["images"], path.parent / given["annotations"]
    category = keypoint_category(load_json(annotations), str(annotations), name=given.get("category"))
    return Description(
        images, annotations, _skeleton(given, category.entry if category.joints else {}, path, annotations), complete, category.name
    )


def _skeleton(given: Mapping[str, Any], category: Mapping[str, Any], path: Path, annotations: Path) -> Skeleton:
    asked, sigmas = given.get("skeleton"), given.get("sigmas")
    if sigmas is not None and (not isinstance(sigmas, Sequence) or isinstance(sigmas, str)):
        raise ValueError(f"{path}: sigmas are a list, one number for each joint, got {sigmas!r}")
    if asked is None:
        if not category:
            raise ValueError(f"{path}: no skeleton, and {annotations} has no category with keypoints; give one of the two")
        return Skeleton.from_coco_category(category, sigmas, f"{path} (joints from {annotations})")
    if isinstance(asked, dict):
        skeleton = Skeleton.from_mapping({"name": path.stem, **asked, **({} if sigmas is None else {"sigmas": sigmas})}, str(path))
    elif sigmas is not None:
        raise ValueError(f"{path}: skeleton {asked!r} has sigmas of its own; leave 'sigmas' out")
    elif isinstance(asked, str) and asked in BUILT_IN:
        skeleton = BUILT_IN[asked]
    elif isinstance(asked, str):
        skeleton = Skeleton.from_yaml(path.parent / asked)
    else:
        raise ValueError(f"{path}: skeleton is a built-in name ({', '.join(BUILT_IN)}), a YAML file or a mapping, got {asked!r}")
    joints = tuple(category.get("keypoints") or skeleton.joints)
    if joints != skeleton.joints:
        raise ValueError(
            f"{path}: skeleton {skeleton.name!r} has the joints {', '.join(skeleton.joints)}, "
            f"but {annotations} has {', '.join(map(str, joints))}; names and order must agree"
        )
    return skeleton
