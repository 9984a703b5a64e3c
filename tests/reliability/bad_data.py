"""Annotations, results, archives, MATLAB files and data set descriptions that cannot be used, for every verb that reads them."""

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from bad_case import Case, each
from coco_file import annotations, person
from prn_crowd import crowd
from scipy.io import savemat
from whole_files import CONFIG, archive, hdf5, photo, results, zipped

__all__ = ["DATA"]

HUGE = 99999999999999999999999
CATEGORY = annotations()["categories"][0]
NAN = float("nan")


def image(**change: Any) -> dict:
    return {**annotations()["images"][0], **change}


def rle(size: Any, counts: Any) -> dict:
    return person(iscrowd=1, segmentation={"size": size, "counts": counts})


# What both the strict readers (evaluation) and the lenient ones (training, labelling, the doctor) refuse: the whole file is of no use.
BROKEN: dict[str, tuple[Any]] = {
    "empty": ("",),
    "one bracket": ("{",),
    "cut off": (json.dumps(annotations())[:200],),
    "Python's writing": ("{'images': []}",),
    "two files in one": (json.dumps(annotations()) * 2,),
    "bytes at random": (bytes(range(256)) * 20,),
    "a photo": (b"\x89PNG\r\n\x1a\n" + bytes(100),),
    "nested 100,000 deep": ("[" * 100_000,),
    "objects nested 100,000 deep": ('{"a":' * 100_000,),
    "a list": ([],),
    "a number": ("3",),
    "null": ("null",),
    "a text": ('"images"',),
    "results": (results(),),
    "no images": ({"annotations": [], "categories": []},),
    "images are an object": (annotations(images={"1": image()}),),
    "images are null": (annotations(images=None),),
    "annotations are a text": (annotations(annotations="none"),),
    "no image": (annotations(images=[]),),
    "joints of another skeleton": (annotations(person(keypoints=[1, 2, 2] * 14)),),
    "categories are a number": (annotations(categories=3),),
    "two categories with joints": (annotations(categories=[{**CATEGORY, "name": "a"}, {**CATEGORY, "id": 2, "name": "b"}]),),
    "joints' names are a text": (annotations(categories=[{**CATEGORY, "keypoints": "nose"}]),),
    "joints' names are numbers": (annotations(categories=[{**CATEGORY, "keypoints": [1, 2]}]),),
}

# What evaluation refuses, and the other readers leave out or mend.
ODD: dict[str, tuple[Any]] = {
    "an image is a number": (annotations(images=[image(), 3]),),
    "an image without an id": (annotations(images=[image(), {"file_name": "b.png"}]),),
    "an image id of 23 digits": (annotations(images=[image(), image(id=HUGE)]),),
    "an image id is a list": (annotations(images=[image(), image(id=[1])]),),
    "an image id is NaN": (annotations(images=[image(), image(id=NAN)]),),
    "an image id twice": (annotations(images=[image(), image()]),),
    "a height of text": (annotations(images=[image(height="tall")]),),
    "an annotation is null": (annotations(person(), None),),
    "an annotation is a list": (annotations(person(), [1]),),
    "an annotation without an id": (annotations({k: v for k, v in person().items() if k != "id"}),),
    "an annotation's id is a list": (annotations(person(), person(id=[1])),),
    "an annotation's id is an object": (annotations(person(), person(id={"a": 1})),),
    "an annotation's id of 23 digits": (annotations(person(), person(id=HUGE)),),
    "an annotation's id twice": (annotations(person(), person(score=1)),),
    "an annotation of no photo": (annotations(person(), person(id=8, image_id=99)),),
    "an annotation's photo is a list": (annotations(person(), person(id=8, image_id=[1])),),
    "joints of NaN": (annotations(person(), person(id=8, keypoints=[NAN] * 51)),),
    "joints of infinity": (annotations(person(), person(id=8, keypoints=[float("inf"), 1, 2] * 17)),),
    "joints of text": (annotations(person(), person(id=8, keypoints=["a"] * 51)),),
    "joints are a text": (annotations(person(), person(id=8, keypoints="a" * 51)),),
    "joints are an object": (annotations(person(), person(id=8, keypoints={"nose": [1, 2]})),),
    "joints nested": (annotations(person(), person(id=8, keypoints=[[1, 2, 2]] * 17)),),
    "joints of 400 digits": (annotations(person(), person(id=8, keypoints=[10**400, 1, 2] * 17)),),
    "one number too many": (annotations(person(), person(id=8, keypoints=[1, 2, 2] * 17 + [1])),),
    "a visibility of 5": (annotations(person(), person(id=8, keypoints=[1, 2, 5] * 17)),),
    "a visibility of -1": (annotations(person(), person(id=8, keypoints=[1, 2, -1] * 17)),),
    "a box of three numbers": (annotations(person(), person(id=8, bbox=[1, 2, 3])),),
    "a box of text": (annotations(person(), person(id=8, bbox=["a"] * 4)),),
    "a box of null": (annotations(person(), person(id=8, bbox=[None] * 4)),),
    "a box is null": (annotations(person(), person(id=8, bbox=None)),),
    "a box of NaN": (annotations(person(), person(id=8, bbox=[NAN] * 4)),),
    "an area of text": (annotations(person(), person(id=8, area="big")),),
    "an area of NaN": (annotations(person(), person(id=8, area=NAN)),),
    "an area below 0": (annotations(person(), person(id=8, area=-5)),),
    "num_keypoints of text": (annotations(person(), person(id=8, num_keypoints="all")),),
    "num_keypoints is a list": (annotations(person(), person(id=8, num_keypoints=[3])),),
}

MASKS: dict[str, tuple[Any]] = {
    "a mask of 70,000 squared": (annotations(person(), rle([70_000, 70_000], [4_900_000_000])),),
    "a mask of another photo": (annotations(person(), rle([30, 40], [1200])),),
    "a mask without counts": (annotations(person(), rle([120, 160], None)),),
    "counts below 0": (annotations(person(), rle([120, 160], [-5, 19205])),),
    "counts of 2^70": (annotations(person(), rle([120, 160], [2**70])),),
    "counts of text": (annotations(person(), rle([120, 160], "oooooooooooooooooooooo")),),
    "counts of odd characters": (annotations(person(), rle([120, 160], "\x00é")),),
    "a size of text": (annotations(person(), rle("big", [1])),),
    "a size of one number": (annotations(person(), rle([120], [1])),),
    "a mask's size below 0": (annotations(person(), rle([-1, -1], [1])),),
    "a polygon of text": (annotations(person(id=8, segmentation=[["a"] * 8]), person()),),
    "a polygon of NaN": (annotations(person(id=8, segmentation=[[NAN] * 8]), person()),),
    "a polygon beyond 2^31": (annotations(person(id=8, segmentation=[[1e12, 0, 0, 1e12, 5, 5]]), person()),),
    "polygons are a number": (annotations(person(id=8, segmentation=3), person()),),
}

RESULTS: dict[str, tuple[Any]] = {
    "empty": ("",),
    "cut off": ("[",),
    "nested 100,000 deep": ("[" * 100_000,),
    "annotations": (annotations(),),
    "a number": ("3",),
    "of numbers": ([1, 2],),
    "of null": ([None],),
    "without a photo": ([{k: v for k, v in results()[0].items() if k != "image_id"}],),
    "without a score": ([{k: v for k, v in results()[0].items() if k != "score"}],),
    "without joints": ([{k: v for k, v in results()[0].items() if k != "keypoints"}],),
    "of another photo": (results(image_id=5),),
    "whose photo is a list": (results(image_id=[1]),),
    "whose photo is an object": (results(image_id={"a": 1}),),
    "whose photo is NaN": (results(image_id=NAN),),
    "whose photo has 23 digits": (results(image_id=HUGE),),
    "of another category": (results(category_id=2),),
    "whose category is a list": (results(category_id=[1]),),
    "of three numbers": (results(keypoints=[1, 2, 3]),),
    "of NaN": (results(keypoints=[NAN] * 51),),
    "of text": (results(keypoints=["a"] * 51),),
    "of 400 digits": (results(keypoints=[10**400] * 51),),
    "whose joints are a text": (results(keypoints="a" * 51),),
    "whose joints are an object": (results(keypoints={"nose": 1}),),
    "whose score is a text": (results(score="high"),),
    "whose score is NaN": (results(score=NAN),),
    "whose score is a list": (results(score=[0.5]),),
    "whose id is twice": ([*results(id=1), *results(id=1)],),
    "whose box is three numbers": (results(bbox=[1, 2, 3]),),
    "whose box is a text": (results(bbox="here"),),
}


def folder_of(name: str, content: Any) -> tuple[dict[str, Any]]:
    return ({f"found/{name}": content},)


FOLDERS: dict[str, tuple[dict[str, Any]]] = {
    "empty": ({"found": lambda path: path.mkdir()},),
    "of texts": folder_of("notes.md", "hello"),
    "OpenPose cut off": folder_of("a_keypoints.json", "{"),
    "OpenPose of a list": folder_of("a_keypoints.json", []),
    "OpenPose of null": folder_of("a_keypoints.json", {"people": None}),
    "OpenPose of text": folder_of("a_keypoints.json", {"people": [{"pose_keypoints_2d": "abc"}]}),
    "OpenPose of 4 numbers": folder_of("a_keypoints.json", {"people": [{"pose_keypoints_2d": [1, 2, 3, 4]}]}),
    "OpenPose of other photos": folder_of("b_keypoints.json", {"people": []}),
    "MMPose of numbers": folder_of("a.json", [1]),
    "MMPose of texts": folder_of("a.json", [{"keypoints": "x", "keypoint_scores": "y"}]),
    "YOLO of words": folder_of("a.txt", "0 here there\n"),
    "YOLO of 3 numbers": folder_of("a.txt", "0 0.5 0.5\n"),
    "YOLO of NaN": folder_of("a.txt", " ".join(["0", *["nan"] * 55]) + "\n"),
    "bytes": folder_of("a.txt", bytes(range(256))),
}

PEOPLE = crowd(images=8)
ARCHIVES: dict[str, tuple[Any]] = {
    "empty": (b"",),
    "text": (b"dear diary",),
    "a zip's first bytes": (b"PK\3\4" + bytes(50),),
    "cut off": (archive()[:500],),
    "a zip of a text": (zipped(a__txt=b"hello"),),
    "no arrays": (zipped(),),
    "an array of text": (zipped(image_id__npy=b"hello"),),
    "a header of 10^15 elements": (
        zipped(image_id__npy=b"\x93NUMPY\x01\0v\0" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (10**15,), }".ljust(117) + b"\n"),
    ),
    "a header of code": (zipped(image_id__npy=b"\x93NUMPY\x01\0v\0" + b"__import__('os').system('touch x')".ljust(117) + b"\n"),),
    "a header nested deep": (zipped(image_id__npy=b"\x93NUMPY\x01\0\xff\xff" + b"(" * 65_535),),
    "a bomb": (lambda path: path.write_bytes(zipped(image_id__npy=bytes(2 * 10**8))),),
    "pickled objects": (archive(image_id=np.array([{}, 1], dtype=object)),),
    "no joints": (archive(keypoints=None),),
    "no boxes": (archive(bbox=None),),
    "fewer joints than people": (archive(keypoints=PEOPLE["keypoints"][:3]),),
    "fewer boxes than people": (archive(bbox=PEOPLE["bbox"][:3]),),
    "joints of 14": (archive(keypoints=PEOPLE["keypoints"][:, :14]),),
    "joints of one axis": (archive(keypoints=PEOPLE["keypoints"].ravel()),),
    "joints of two numbers": (archive(keypoints=PEOPLE["keypoints"][..., :2]),),
    "joints of text": (archive(keypoints=PEOPLE["keypoints"].astype(str)),),
    "joints of complex numbers": (archive(keypoints=PEOPLE["keypoints"].astype(complex)),),
    "a scalar": (archive(image_id=np.array(3)),),
    "boxes of NaN": (archive(bbox=np.full_like(PEOPLE["bbox"], np.nan)),),
    "boxes of three numbers": (archive(bbox=PEOPLE["bbox"][:, :3]),),
    "nobody": (archive(**{k: PEOPLE[k][:0] for k in ("image_id", "keypoints", "bbox", "area", "area_true")}),),
    "sizes of other photos": (archive(img_wh=PEOPLE["img_wh"][:2]),),
}  # fmt: skip


def mat(**variables: Any) -> Callable[[Path], None]:
    return lambda path: savemat(path, variables)


MATS: dict[str, tuple[Any, str]] = {
    "empty": (b"", "x.mat"),
    "text": (b"dear diary", "x.mat"),
    "a header alone": (b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM", "x.mat"),
    "version 7.3": (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(400), "x.mat"),
    "bytes after the header": (b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + bytes(range(256)) * 4, "x.mat"),
    "a matrix of 2^31 bytes": (b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"\x0e\0\0\0\xff\xff\xff\x7f" + bytes(64), "x.mat"),
    "another variable": (mat(x=np.arange(3)), "x.mat"),
    "RELEASE is a number": (mat(RELEASE=3.0), "x.mat"),
    "RELEASE is a text": (mat(RELEASE="v1"), "x.mat"),
    "RELEASE lacks its lists": (mat(RELEASE={"version": 1}), "x.mat"),
    "lists of other lengths": (mat(RELEASE={"annolist": np.arange(3), "img_train": np.ones(7)}), "x.mat"),
    "a list of numbers": (mat(RELEASE={"annolist": np.arange(3), "img_train": np.ones(3), "single_person": np.arange(3)}), "x.mat"),
}

MPII_JSON: dict[str, tuple[Any, str]] = {
    "empty": ("", "x.json"),
    "a number": ("3", "x.json"),
    "an object": ({}, "x.json"),
    "of numbers": ([1, 2, 3], "x.json"),
    "of empty objects": ([{}], "x.json"),
    "nested deep": ("[" * 100_000, "x.json"),
    "joints of text": ([{"image": "a.png", "joints": "x", "joints_vis": "y", "center": [1, 1], "scale": 1}], "x.json"),
    "a center of null": ([{"image": "a.png", "joints": [[1, 1]] * 16, "joints_vis": [1] * 16, "center": None, "scale": 1}], "x.json"),
    "a scale of NaN": ([{"image": "a.png", "joints": [[1, 1]] * 16, "joints_vis": [1] * 16, "center": [1, 1], "scale": NAN}], "x.json"),
}


def _hdf5_with(change: Callable[[h5py.File], Any]) -> bytes:
    """The file with another thing in place of ``part``."""
    out = io.BytesIO(hdf5())
    with h5py.File(out, "r+") as file:
        del file["part"]
        change(file)
    return out.getvalue()


H5: dict[str, tuple[Any, str]] = {
    "empty": (b"", "x.h5"),
    "its first bytes": (b"\x89HDF\r\n\x1a\n" + bytes(100), "x.h5"),
    "text": (b"dear diary", "x.h5"),
    "a link to another file": (hdf5(part=h5py.ExternalLink("other.h5", "part")), "x.h5"),
    "a link to nowhere": (hdf5(part=h5py.SoftLink("/nowhere")), "x.h5"),
    "content in another file": (
        _hdf5_with(lambda file: file.create_dataset("part", (2, 16, 2), "f8", external=[("/etc/passwd", 0, 512)])),
        "x.h5",
    ),
    "one that claims 80 TB": (_hdf5_with(lambda file: file.create_dataset("part", (10**13,), "f8", chunks=(1024,))), "x.h5"),
    "joints of text": (hdf5(part=np.full((2, 16, 2), b"x")), "x.h5"),
    "joints of nobody": (hdf5(part=np.ones((0, 16, 2))), "x.h5"),
    "a name of huge numbers": (hdf5(imgname=np.full((2, 9), 2**40), center=np.full((2, 2), np.nan)), "x.h5"),
    "a folder in place of joints": (_hdf5_with(lambda file: file.create_group("part")), "x.h5"),
}

SETS: dict[str, tuple[Any, str]] = {
    "empty": ("", "set.yaml"),
    "no YAML": ("images: [", "set.yaml"),
    "a list": ("[1, 2]", "set.yaml"),
    "a bomb of aliases": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefghi", "bcdefghij", strict=True)),
        "set.yaml",
    ),
    "a tag that runs code": ("images: !!python/object/apply:os.system ['touch x']\nannotations: a.json\n", "set.yaml"),
    "without annotations": ("images: .\n", "annotations"),
    "unknown keys": ("images: .\nannotations: a.json\ncolour: red\n", "colour"),
    "annotations that are not there": ("images: .\nannotations: gone.json\n", "gone.json"),
    "a folder that is not there": ("images: gone\nannotations: {good}/a.json\n", "gone"),
    "sigmas of text": ("images: .\nannotations: a.json\nsigmas: many\n", "set.yaml"),
    "a skeleton that is not there": ("images: .\nannotations: a.json\nskeleton: gone.yaml\n", "gone.yaml"),
    "a skeleton of a number": ("images: .\nannotations: a.json\nskeleton: 3\n", "set.yaml"),
    "a folder of numbers": ("images: 3\nannotations: a.json\n", "set.yaml"),
    "bytes": (bytes(range(256)), "set.yaml"),
}

SKELETONS: dict[str, tuple[Any, str]] = {
    "empty": ("", "s.yaml"),
    "no YAML": ("joints: [", "s.yaml"),
    "a list": ("[a, b]", "s.yaml"),
    "without sigmas": ("joints: [a, b]\n", "sigmas"),
    "a joint twice": ("joints: [a, a]\nsigmas: [0.1, 0.1]\n", "s.yaml"),
    "fewer sigmas": ("joints: [a, b]\nsigmas: [0.1]\n", "s.yaml"),
    "sigmas of text": ("joints: [a, b]\nsigmas: [x, y]\n", "s.yaml"),
    "sigmas below 0": ("joints: [a, b]\nsigmas: [-1, 0.1]\n", "s.yaml"),
    "sigmas of NaN": ("joints: [a, b]\nsigmas: [.nan, 0.1]\n", "s.yaml"),
    "a limb of three": ("joints: [a, b, c]\nsigmas: [0.1, 0.1, 0.1]\nlimbs: [[a, b, c]]\n", "s.yaml"),
    "a limb to nobody": ("joints: [a, b]\nsigmas: [0.1, 0.1]\nlimbs: [[a, z]]\n", "s.yaml"),
    "a limb of numbers beyond": ("joints: [a, b]\nsigmas: [0.1, 0.1]\nlimbs: [[0, 9]]\n", "s.yaml"),
    "limbs are a number": ("joints: [a, b]\nsigmas: [0.1, 0.1]\nlimbs: 3\n", "s.yaml"),
    "a mirror of one": ("joints: [a, b]\nsigmas: [0.1, 0.1]\nmirror: [[a]]\n", "s.yaml"),
    "unknown keys": ("joints: [a]\nsigmas: [0.1]\ncolour: red\n", "colour"),
}

SOME = {k: BROKEN[k] for k in ("empty", "objects nested 100,000 deep", "a list", "images are an object", "categories are a number")}

EVALUATE = "evaluate --annotations {at}/x.json --results {good}/r.json --json {at}/figures.json"
DOCTOR = "doctor data --annotations {at}/x.json --images {good}/data"
LABEL = "label --annotations {at}/x.json --images {good}/data --out {at}/new.json --model {good}/tiny.safetensors"


def given(line: str, name: str = "x.json", **more: Any) -> Callable[..., dict[str, Any]]:
    return lambda content, *says: {"line": line, "files": {name: content}, "says": says or (name,), **more}


def trained(content: Any) -> dict[str, Any]:
    """Annotations in a training's config."""
    config = (
        CONFIG.replace("{good}/small.json", "{at}/x.json").replace("{good}/small,", "{good}/data,").replace("{{", "{").replace("}}", "}")
    )
    return {
        "line": "train --allow-import tiny_training --config {at}/c.yaml", "says": ("x.json",),
        "files": {"x.json": content, "c.yaml": lambda path: path.write_text(placed(config, path))},
    }  # fmt: skip


def placed(text: str, path: Path) -> str:
    """A config with the folders in place."""
    return text.replace("{at}", str(path.parent)).replace("{good}", str(path.parent.parent / "good"))


def partly(content: Any) -> Any:
    """The same file, with photos whose people are not all annotated: those are what `label` looks at."""
    content = copy.deepcopy(content)
    for entry in content["images"] if isinstance(content, dict) and isinstance(content.get("images"), list) else ():
        if isinstance(entry, dict):
            entry["all_persons_labelled"] = False
    return content


LABELLED = {kind: (partly(content),) for kind, (content,) in {**ODD, **MASKS}.items()}

DATA = [
    *each("evaluate, annotations", BROKEN, given(EVALUATE)),
    *each("evaluate, annotations", ODD, given(EVALUATE)),
    Case("doctor data: nobody", DOCTOR, files={"x.json": annotations(person(keypoints=[0] * 51, num_keypoints=0))}, says=("x.json", "no person")),
    *each("evaluate, masks", MASKS, given("evaluate --annotations {at}/x.json --images {good}/data --model {good}/tiny.safetensors --mask-iou --json {at}/figures.json")),
    *each("evaluate, results", RESULTS, given("evaluate --annotations {good}/a.json --results {at}/x.json --json {at}/figures.json")),
    *each("evaluate, folder", FOLDERS, lambda files: {
        "line": "evaluate --annotations {good}/a.json --results {at}/found --json {at}/figures.json", "files": files, "says": ("found",)}),
    *each("evaluate, data set", SETS, lambda content, says: {
        "line": "evaluate --dataset {at}/set.yaml --results {good}/r.json", "files": {"set.yaml": content, "a.json": annotations()},
        "says": (says,)}),
    *each("evaluate, mpii", MATS, given("evaluate --dataset mpii --annotations {at}/x.mat --results {good}/r.json", "x.mat")),
    *each("doctor data", BROKEN, given(DOCTOR)),
    *each("doctor data", ODD, given(DOCTOR, said=True)),
    *each("doctor data, masks", MASKS, given(DOCTOR, said=True)),
    *each("doctor data, custom", SETS, lambda content, says: {
        "line": "doctor data --dataset custom --annotations {at}/set.yaml", "files": {"set.yaml": content, "a.json": annotations()},
        "says": (says,)}),
    *each("doctor data, mpii", MATS, given("doctor data --dataset mpii --annotations {at}/x.mat --images {good}/data", "x.mat")),
    *each("doctor data, mpii, JSON", MPII_JSON, given("doctor data --dataset mpii --annotations {at}/x.json --images {good}/data")),
    *each("doctor data, mpii, HDF5", H5, given("doctor data --dataset mpii --annotations {at}/x.h5 --images {good}/data", "x.h5")),
    *each("doctor data, lspet", MATS, given("doctor data --dataset lspet --annotations {at}/x.mat --images {good}/data", "x.mat")),
    *each("doctor data, crowdpose", SOME, given(DOCTOR + " --dataset crowdpose")),
    *each("doctor data, ochuman", SOME, given(DOCTOR + " --dataset ochuman")),
    *each("doctor data, posetrack", SOME, given(DOCTOR + " --dataset posetrack")),
    *each("doctor skeleton", SKELETONS, given("doctor skeleton {at}/s.yaml", "s.yaml")),
    *each("label", {k: (partly(v[0]),) for k, v in BROKEN.items() if "joints'" not in k and "two categories" not in k}, given(LABEL)),
    *each("label", LABELLED, given(LABEL, said=True, leaves=("new.json",))),
    *each("train, annotations", BROKEN, trained),
    *each("prn train", ARCHIVES, given("prn train {at}/x.npz {at}/out --epochs 1 --batch-size 4", "x.npz")),
    *each("prn train, JSON", SOME, given("prn train {at}/x.json {at}/out --epochs 1 --batch-size 4")),
    *each("prn detect", {k: v for k, v in ARCHIVES.items() if k in ("empty", "a bomb", "no joints")},
          given("prn detect multiposenet-mobile {good}/data {at}/x.npz {at}/new.npz", "x.npz")),
    *each("grouping train", ARCHIVES, given("grouping train --annotations {at}/x.npz --out {at}/out --steps 1", "x.npz")),
    Case("label: a photo of another size", LABEL.replace("{good}/data", "{at}"),
         files={"x.json": partly(annotations()), "a.png": lambda path: _half(path)}, says=("a.png", "80x60")),
    Case("label: a damaged photo", LABEL.replace("{good}/data", "{at}"), files={"x.json": partly(annotations()), "a.png": b"PNG"}, says=("a.png",)),
    Case("evaluate: a damaged photo", "evaluate --annotations {good}/a.json --images {at} --model {good}/tiny.safetensors --json {at}/f.json",
         files={"a.png": b"PNG"}, says=("a.png",)),
]  # fmt: skip


def _half(path: Path) -> None:
    from PIL import Image

    Image.fromarray(photo()[::2, ::2].copy()).save(path)
