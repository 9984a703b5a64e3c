"""Weights, checkpoints and published files that cannot be used, or are hostile."""

import io
import json
import os
import pickle
import struct
from typing import Any

import torch
from bad_case import Case, each
from safetensors.torch import save
from whole_files import safetensors, zipped

__all__ = ["WEIGHTS"]

ONE = {"weight": torch.ones(1)}
FLY = {"name": "fly", "joints": ["left_wing", "right_wing", "head"], "limbs": [[0, 2], [1, 2]], "sigmas": [0.05] * 3, "mirror": [[0, 1]]}


class Evil:
    """A pickle that would run code."""

    def __reduce__(self):
        return os.system, ("touch was-run",)


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def tensor(**change: Any) -> bytes:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **change}
    return header(json.dumps({"weight": entry, "__metadata__": {"manypose": '{"model": "fly"}'}}).encode()) + bytes(4)


SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a complete safetensors file"),
    "three bytes": (b"abc", "not a complete safetensors file"),
    "text": (b"dear diary" * 10, "not a complete safetensors file"),
    "a length of 2^63": (header(b"{}", 2**63), "not a complete safetensors file"),
    "a header of 20 MB": (header(b" " * 20 * 2**20), "not a complete safetensors file"),
    "no JSON": (header(b"{"), "not a complete safetensors file"),
    "a list": (header(b"[]"), "not a complete safetensors file"),
    "nested 100,000 deep": (header(b"[" * 100_000), "not a complete safetensors file"),
    "metadata of numbers": (header(b'{"__metadata__": {"manypose": 3}}'), "not a complete safetensors file"),
    "an unknown type": (tensor(dtype="F999"), "not a complete safetensors file"),
    "a shape below 0": (tensor(shape=[-1]), "not a complete safetensors file"),
    "a shape of 2^62": (tensor(shape=[2**62]), "not a complete safetensors file"),
    "a shape that overflows": (tensor(shape=[2**40, 2**40]), "not a complete safetensors file"),
    "offsets beyond the file": (tensor(data_offsets=[0, 400]), "not a complete safetensors file"),
    "offsets backwards": (tensor(data_offsets=[4, 0]), "not a complete safetensors file"),
    "data missing": (tensor()[:-2], "not a complete safetensors file"),
    "data left over": (tensor() + bytes(10), "not a complete safetensors file"),
    "of another program": (save(ONE), "no model name"),
    "description is no JSON": (save(ONE, {"manypose": "{"}), "not a complete safetensors file"),
    "description nested deep": (save(ONE, {"manypose": "[" * 100_000}), "not a complete safetensors file"),
    "description is a list": (save(ONE, {"manypose": "[1]"}), "not a JSON object"),
    "no model": (safetensors(note="x"), "model"),
    "an unknown model": (safetensors(model="yolo"), "holds the model 'yolo'"),
    "a model of a list": (safetensors(model=["fly"]), "model"),
    "a model of an object": (safetensors(model={"fly": 1}), "model"),
    "a model of null": (safetensors(model=None), "model"),
    "arguments of a list": (safetensors(model="fly", kwargs=[1], skeleton=FLY), "kwargs"),
    "an unknown argument": (safetensors(model="fly", kwargs={"depth": 3}, skeleton=FLY), "depth"),
    "arguments of 10^9 channels": (safetensors(model="tiny", kwargs={"width": 10**9}), "a number above 65536"),
    "arguments of 60,000 channels": (safetensors(model="tiny", kwargs={"width": 60_000}), "does not fit"),
    "arguments of -1 channels": (safetensors(model="tiny", kwargs={"width": -1}), "negative"),
    "arguments of text": (safetensors(model="tiny", kwargs={"width": "wide"}), "is wrong"),
    "a skeleton of a list": (safetensors(model="fly", skeleton=[1]), "skeleton"),
    "a skeleton of null": (safetensors(model="fly", skeleton=None), "skeleton"),
    "a skeleton without sigmas": (safetensors(model="fly", skeleton={"joints": ["a"]}), "sigmas"),
    "a skeleton of 10^5 joints": (safetensors(model="tiny", skeleton={"joints": [f"j{i}" for i in range(10**5)], "sigmas": [0.1] * 10**5}), "at most 1000"),
    "tensors missing": (safetensors({"x": torch.zeros(3)}, model="fly", skeleton=FLY), "does not fit"),
    "tensors of another shape": (safetensors({"weight": torch.zeros(3)}, model="fly", skeleton=FLY), "expected (1,), found (3,)"),
    "tensors left over": (safetensors({"weight": torch.ones(1), "x": torch.ones(1)}, model="fly", skeleton=FLY), "unexpected"),
}  # fmt: skip


def pth(content: Any, legacy: bool = False) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


def recompressed(content: bytes) -> bytes:
    """The same zip, its members compressed."""
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return out.getvalue()


NOT_ONE = "not a PyTorch checkpoint"
PTH: dict[str, tuple[bytes, str]] = {
    "empty": (b"", NOT_ONE),
    "text": (b"dear diary" * 10, NOT_ONE),
    "a zip of nothing": (zipped(), NOT_ONE),
    "a zip of a text": (zipped(a__txt=b"hello"), NOT_ONE),
    "cut off": (pth({"x": torch.zeros(999)})[:700], NOT_ONE),
    "an older file cut off": (pth({"x": torch.zeros(999)}, legacy=True)[:700], NOT_ONE),
    "a pickle cut off": (pickle.dumps({"x": 1})[:5], NOT_ONE),
    "code": (pth({"x": Evil()}), "refused: the file holds code or objects"),
    "code in an older file": (pth({"x": Evil()}, legacy=True), "refused: the file holds code or objects"),
    "code in a plain pickle": (pickle.dumps(Evil()), "m.pth"),
    "a whole network": (pth(torch.nn.Linear(2, 2)), "refused: the file holds code or objects"),
    "a TorchScript": (zipped(archive__constants__pkl=b"", code__torch__py=b"import os"), NOT_ONE),
    "a bomb": (lambda path: path.write_bytes(recompressed(pth({"x": torch.zeros(3 * 10**7)}))), "m.pth"),
    "a number": (pth(3), "holds no named tensors"),
    "a list": (pth([torch.zeros(3)]), "holds no named tensors"),
    "an empty dictionary": (pth({}), "holds no named tensors"),
    "numbers by name": (pth({"x": 1}), "holds no named tensors"),
    "tensors by number": (pth({1: torch.zeros(1)}), "holds no named tensors"),
    "another network": (pth({"x": torch.zeros(3)}), "m.pth"),
    "a view of 10^12 elements": (pth({"x": torch.zeros(1).expand(10**6, 10**6)}), "m.pth"),
    "sparse": (pth({"x": torch.eye(3).to_sparse()}), "m.pth"),
}

LOADING = {
    "predict": "predict {good}/a.png --model {at}/m.safetensors --out {at}/out",
    "evaluate": "evaluate --annotations {good}/a.json --images {good}/data --model {at}/m.safetensors --json {at}/f.json",
    "label": "label --annotations {good}/part.json --images {good}/data --model {at}/m.safetensors --out {at}/new.json",
    "export": "export {at}/m.safetensors --out {at}/m.onnx",
    "prn join": "prn join {at}/m.safetensors {good}/prn.safetensors {at}/new.safetensors",
    "prn detect": "prn detect {at}/m.safetensors {good}/data {good}/a.json {at}/new.npz",
}
FEW = (
    "empty",
    "nested 100,000 deep",
    "a model of a list",
    "arguments of a list",
    "a skeleton of null",
    "arguments of 10^9 channels",
    "tensors left over",
)

PARTS: dict[str, tuple[bytes]] = {
    "empty": (b"",),
    "of another program": (save(ONE),),
    "a description of a list": (safetensors(prn=[1], grouping=[1]),),
    "a description of nothing": (safetensors(prn={}, grouping={"x": 1}),),
    "an unknown kind": (safetensors(prn={"kind": "yolo"}, skeleton=FLY),),
    "a kind of a list": (safetensors(prn={"kind": []}, skeleton=FLY),),
    "no skeleton": (safetensors(prn={"kind": "PRN"}),),
    "a skeleton of text": (safetensors(prn={"kind": "PRN"}, skeleton="coco"),),
    "an unknown argument": (safetensors(prn={"kind": "PRN", "depth": 3}, skeleton=FLY),),
    "10^7 nodes": (safetensors(prn={"kind": "PRN", "nodes": 10**7}, skeleton=FLY),),
    "nodes of text": (safetensors(prn={"kind": "PRN", "nodes": "many"}, skeleton=FLY),),
    "a size of one number": (safetensors(prn={"kind": "PRN", "size": [3]}, skeleton=FLY),),
    "no tensors of it": (safetensors(prn={"kind": "PRN", "nodes": 8}, skeleton=FLY),),
}


def loaded(line: str, name: str = "m.safetensors"):
    return lambda content, *says: {"line": line, "files": {name: content}, "says": (name, *says)}


WEIGHTS = [
    *each("predict, weights", SAFETENSORS, loaded(LOADING["predict"])),
    *(case for verb, line in LOADING.items() if verb != "predict"
      for case in each(f"{verb}, weights", {k: SAFETENSORS[k][:1] for k in FEW}, loaded(line))),
    *each("convert", PTH, loaded("convert {at}/m.pth --model swahr-w18-small --out {at}/new.safetensors", "m.pth")),
    *each("predict, published", {k: v for k, v in PTH.items() if k in ("empty", "code", "a bomb")},
          loaded("predict {good}/a.png --model swahr-w18-small --weights {at}/m.pth --out {at}/out", "m.pth")),
    *each("prn join, PRN", PARTS, loaded("prn join {good}/multiposenet.safetensors {at}/m.safetensors {at}/new.safetensors")),
    *each("grouping train, init", {k: v for k, v in PARTS.items() if "nodes" not in k and "PRN" not in k},
          loaded("grouping train --annotations {good}/people.npz --out {at}/out --steps 1 --init {at}/m.safetensors")),
    Case("convert: no such file", "convert {at}/gone.pth --model swahr-w18-small --out {at}/new.safetensors", says=("gone.pth", "no such")),
    Case("convert: a folder", "convert {at} --model swahr-w18-small --out {at}/new.safetensors", says=("no such weights file",)),
    Case("convert: a model without published files", "convert {good}/model.pth --model mspn-mobile --out {at}/new.safetensors", says=("model.pth",)),
    Case("convert: another model", "convert {good}/model.pth --model swahr-w32 --out {at}/new.safetensors", says=("this looks like swahr-w18-small",)),
]  # fmt: skip
