"""Options and configs that make no sense, places that cannot be written, and full disks, for every verb."""

from pathlib import Path
from typing import Any

from bad_case import Case, each
from bad_data import placed
from whole_files import CONFIG

__all__ = ["OPTIONS"]

# A line of each verb that works as it is.
WORKS = {
    "predict": "predict {good}/a.png --model {good}/fly.safetensors --out {at}/out",
    "evaluate": "evaluate --annotations {good}/a.json --results {good}/r.json --json {at}/f.json",
    "label": "label --annotations {good}/part.json --images {good}/data --model {good}/tiny.safetensors --out {at}/new.json",
    "convert": "convert {good}/model.pth --model swahr-w18-small --out {at}/new.safetensors",
    "export": "export {good}/tiny.safetensors --out {at}/new.onnx",
    "train": "train --allow-import tiny_training --config {at}/c.yaml",
    "prn train": "prn train {good}/people.npz {at}/out --epochs 1 --batch-size 4 --nodes 8",
    "prn detect": "prn detect multiposenet-mobile {good}/data {good}/a.json {at}/new.npz",
    "prn join": "prn join {good}/multiposenet.safetensors {good}/prn.safetensors {at}/new.safetensors",
    "grouping train": "grouping train --annotations {good}/people.npz --out {at}/out --steps 1 --rois 2",
    "models": "models --json {at}/f.json",
    "bench decode": "bench decode --method swahr --people 1 --cases 1 --repeats 1 --size 64 --json {at}/f.json",
    "bench network": "bench network --model swahr-w18-small --size 64 --repeats 1 --json {at}/f.json",
    "bench train": "bench train --model swahr-w18-small --size 64 --repeats 1 --json {at}/f.json",
    "bench pipeline": "bench pipeline --repeats 1 --people 1 --json {at}/f.json",
    "serve": "serve --port 0",
    "cluster predict": "cluster predict {good}/data --out {at}/out",
    "cluster status": "cluster status {good}/data",
    "cluster merge": "cluster merge {good}/data --out {at}/new.json",
    "cluster evaluate": "cluster evaluate --annotations {good}/a.json --images {good}/data --out {at}/out",
    "cluster label": "cluster label --annotations {good}/a.json --images {good}/data --job {at}/out --out {at}/new.json",
    "doctor": "doctor",
    "doctor skeleton": "doctor skeleton coco",
    "doctor data": "doctor data --annotations {good}/a.json --images {good}/data",
}

BAD: dict[str, dict[str, str]] = {  # what is added to a line that works, and what is said of it
    "predict": {
        "--flipp": "did you mean --flip?", "--scales 0.5,big": "expected a number, got big", "--scales 0,1": "scales must be different numbers",
        "--scales 1,1": "scales must be different numbers", "--scales nan": "got nan", "--scales ,": "--scales", "--scales 1e9": "scales",
        "--size 3": "size must be 16 to 10,000", "--size 99999999": "size must be 16 to 10,000", "--size 1.5": "expected a whole number",
        "--batch-size 0": "batch_size", "--batch-size -5": "batch_size", "--threshold nan": "got nan", "--threshold 2": "from 0 to 1",
        "--threshold -1": "from 0 to 1", "--joint-threshold inf": "--joint-threshold", "--format xml": "expected one of coco, openpose, csv, jsonl",
        "--format": "needs a value", "--device gpu": "no device 'gpu'", "--device cuda:99": "PyTorch sees", "--device meta": "no device",
        "--model nobody": "no model", "--threshold": "needs a value", "--every": "needs a value",
        "--track --min-similarity 7": "min_similarity", "--track --flow magic": "--flow", "--track --max-missing-frames -1": "max_missing_frames",
    },
    "evaluate": {
        "--dataset cocoa": "no data set 'cocoa'", "--photos some": "--photos", "--area none": "--area", "--flow magic": "--flow",
        "--category dog": "0 categories are called 'dog'", "--model {good}/fly.safetensors": "leave out the model", "--mask-iou": "mask_iou is for models",
        "--report {at}/r.html": "needs the error analysis (--analyze)", "--heads {good}/r.json": "heads are only for the data set mpii", "--boxes annotated": "leave out",
        "--annotations {at}/gone.json": "gone.json: no such annotation file", "--results {at}/gone.json": "gone.json: no such result file",
        "word": "unexpected argument",
    },
    "bench pipeline": {"--people 0": "whole numbers of at least 1", "--model nobody": "nobody", "--repeats no": "whole number"},
    "serve": {"--model nobody": "no model", "--port 99999999": "port must be from 0 to 65535", "--port no": "whole number"},
    "cluster predict": {"--workers 0": "workers must be at least 1", "--model nobody": "nobody", "--workers no": "whole number"},
    "cluster status": {"": "no job here"},
    "cluster merge": {"": "no job here"},
    "cluster evaluate": {"--annotations {at}/gone.json": "gone.json: no such annotation file"},
    "cluster label": {"--annotations {at}/gone.json": "gone.json", "--min-score nan": "nan"},
    "label": {
        "--min-score 0.1 --ignore-score 0.5": "ignore score", "--joints 0": "joints", "--joints many": "expected a whole number", "--batch-size 0": "batch_size",
        "--images {at}/gone": "gone", "--annotations {at}/gone.json": "gone.json", "--out {good}/part.json": "is the input file",
        "--model nobody": "nobody", "--detector nanodet": "takes no boxes", "--device cuda:9": "PyTorch sees", "--min-score nan": "nan",
        "--annotations {good}/a.json": "all people are annotated",
    },
    "convert": {
        "--model nobody": "no model", "--skeleton cocoa": "no skeleton 'cocoa'", "--skeleton {at}/gone.yaml": "gone.yaml", "--out {at}/a.pth": "weights files end in .safetensors",
        "--skeleton mpii": "16 joints", "--input-size 3": "input_size", "--input-size big": "expected a whole number", "again.pth": "unexpected argument",
    },
    "export": {
        "--out {at}/a.txt": ".onnx", "--precision int4": "--precision", "--precision int8": "--calibration", "--weights {good}/model.pth": "need the name of their model",
        "--precision int8 --calibration {at}/gone": "gone",
    },
    "prn train": {
        "--network magic": "--network", "--size 3": "size is height and width", "--size 0 0": "size", "--nodes 0": "nodes", "--nodes -1": "nodes",
        "--layers -1": "layers", "--dropout 2": "dropout", "--batch-size 0": "batch", "--batch-size 100000": "smaller batch_size", "--epochs 0": "epochs",
        "--epochs nan": "epochs", "--lr 0": "lr", "--lr nan": "lr", "--jitter -1": "jitter", "--lost 2": "lost", "--min-joints 99": "persons to learn from", "--skip 100": "persons to learn from",
        "--network dense --extend 0.1": "leave out extend", "--network attention --residual false": "attention is residual", "--save-every 0": "at least 1",
        "--log magic": "--log", "--log mlflow": "mlflow",
    },
    "prn detect": {"--threshold 2": "threshold", "--device cuda:9": "PyTorch sees", "word": "unexpected argument"},
    "prn join": {"--dtype float8": "--dtype", "word": "unexpected argument"},
    "grouping train": {
        "--steps 0": "steps", "--rois 0": "rois", "--lr nan": "lr", "--lr -1": "lr", "--warmup -1": "warmup", "--ema 2": "ema", "--save-every 0": "at least 1", "--annotations {at}/gone.npz": "gone.npz",
        "--init {at}/gone.safetensors": "gone.safetensors", "--precision fp16": "fp16 needs a GPU", "--device gpu": "no device 'gpu'",
        "--rendering.short 0": "short", "--network.class_path os.system": "os.system",
    },
    "models": {"--format x": "unknown option", "word": "unexpected argument"},
    "bench decode": {
        "--method magic": "no method 'magic'", "--model swahr-w32": "give a method or a model", "--people -1": "people", "--people many": "expected a whole number",
        "--size 0": "size", "--cases 0": "cases", "--repeats 0": "repeats", "--threads 0": "threads", "--device gpu": "no device",
    },
    "bench network": {"--model nobody": "no model", "--size 7": "size", "--batch-size 0": "batch size", "--threads 0": "threads", "--repeats 0": "repeats", "--size -64": "size"},
    "bench train": {"--model nanodet": "not trained here", "--model nobody": "no model", "--people -1": "people", "--size 7": "size", "--batch-size 0": "batch size", "--threads 0": "threads"},
    "doctor": {"--device gpu": "no device 'gpu'", "--device cuda:9": "PyTorch sees", "--all": "unknown option"},
    "doctor skeleton": {"cat": "unexpected argument", "--joints": "unknown option"},
    "doctor data": {
        "--dataset cats": "--dataset", "--images {at}/gone": "gone", "--annotations {at}/gone.json": "gone.json", "--skeleton cat": "no skeleton 'cat'",
        "--skeleton mpii": "16", "--dataset mpii": "a.json", "--dataset posetrack": "a.json",
    },
}  # fmt: skip

LINES: dict[str, tuple[str, str]] = {
    "no verb": ("predit {good}/a.png", "did you mean predict?"),
    "a verb of two words, cut": ("prn", "needs one of"),
    "a verb of two words, wrong": ("bench decod", "did you mean decode?"),
    "no sources": ("predict", "SOURCE"),
    "only options": ("predict --flip", "no source is given"),
    "evaluate nothing": ("evaluate", "give the folder of the photos"),
    "label nothing": ("label", "missing: --images, --annotations, --out"),
    "convert nothing": ("convert", "missing: PUBLISHED"),
    "convert without a model": ("convert x.pth", "missing: --model, --out"),
    "export nothing": ("export", "missing: MODEL"),
    "train nothing": ("train", "--config FILE.yaml"),
    "prn train nothing": ("prn train", "missing: DATA, OUT"),
    "grouping train nothing": ("grouping train", "annotations"),
    "doctor data nothing": ("doctor data", "missing: --annotations"),
    "doctor skeleton nothing": ("doctor skeleton", "missing: SKELETON"),
    "doctor skeleton of nothing": ("doctor skeleton cat", "no skeleton 'cat'"),
    "bench decode nothing": ("bench decode", "give a method or a model"),
    "bench network nothing": ("bench network", "missing: --model"),
    "export of nothing": ("export nobody --out {at}/x.onnx", "no model and no file 'nobody'"),
    "export without weights": ("export swahr-w48 --out {at}/x.onnx", "no weights for 'swahr-w48'"),
    "export of what cannot be": ("export simple-small --out {at}/x.onnx", "simple-small"),
    "prn detect of another model": ("prn detect {good}/tiny.safetensors {good}/data {good}/a.json {at}/x.npz", "not a MultiPoseNet"),
    "prn detect of no photos": ("prn detect multiposenet-mobile {at} {good}/a.json {at}/x.npz", "has none of the photos"),
    "prn join of another model": ("prn join {good}/tiny.safetensors {good}/prn.safetensors {at}/x.safetensors", "not a MultiPoseNet"),
    "prn join of another suffix": (
        "prn join {good}/multiposenet.safetensors {good}/prn.safetensors {at}/x.pth",
        "weights files end in .safetensors",
    ),
}

CONFIGS: dict[str, tuple[str, str, str]] = {  # what is replaced by what, and what is said
    "empty": ("", "", "c.yaml"),
    "a word misspelt": ("model:", "modle:", "did you mean model?"),
    "a number of text": ("batch_size: 2", "batch_size: two", "data.batch_size: expected int, got two"),
    "a part misspelt": ("batch_size", "batch_sise", "did you mean batch_size?"),
    "an argument misspelt": ("lr: 0.01", "rate: 0.01", "there is no 'rate'"),
    "no such optimiser": ("torch.optim.Adam", "torch.optim.Adm", "has no attribute 'Adm'"),
    "epochs below 0": ("epochs: 1", "epochs: -1", "epochs > 0"),
    "epochs of NaN": ("epochs: 1", "epochs: .nan", "schedule.epochs"),
    "epochs of infinity": ("epochs: 1", "epochs: .inf", "epochs"),
    "an unknown model": ("model: tiny", "model: swahr-w33", "no model 'swahr-w33'"),
    "a model of a list": ("model: tiny", "model: [tiny]", "model"),
    "brackets left open": ("model: tiny", "model: [tiny", "not YAML"),
    "an unknown skeleton": ("device: cpu", "skeleton: cocoa", "no skeleton 'cocoa'"),
    "another skeleton": ("device: cpu", "skeleton: mpii", "17 joints"),
    "arguments that the model lacks": ("device: cpu", "model_args: {depth: 3}", "depth"),
    "a width of text": ("device: cpu", "model_args: {width: wide}", "width"),
    "a width below 0": ("device: cpu", "model_args: {width: -1}", "width"),
    "weights that are not there": ("device: cpu", "init: gone.safetensors", "gone.safetensors: no such weights file"),
    "weights of another network": ("device: cpu", "init: {good}/prn.safetensors", "prn.safetensors"),
    "a variable that is not set": ("out: ", "out: ${MANYPOSE_NOT_SET_ANYWHERE}", "MANYPOSE_NOT_SET_ANYWHERE"),
    "a variable that is a secret": ("out: ", "out: ${HOME}", "--allow-env HOME"),
    "a resolver": ("out: ", "out: ${oc.env:HOME}", "NAME"),
    "a variable left open": ("out: ", "out: ${MANYPOSE_X", "c.yaml"),
    "a function of the system": ("torch.optim.Adam", "os.system", "not 'os.system'"),
    "exec": ("manypose.data.coco", "builtins.exec", "not 'builtins.exec'"),
    "a class by its parent's path": ("torch.optim.Adam", "torch.optim.adam.os.system", "torch.optim.adam"),
    "a method of a class": ("torch.optim.Adam", "torch.optim.Adam.step", "optimizer"),
    "a module": ("torch.optim.Adam", "torch.optim", "not 'torch.optim'"),
    "our own command line as data": ("manypose.data.coco", "manypose.cli.__main__.main", "data"),
    "a tag of Python": ("model: tiny", "model: !!python/object/apply:os.system ['touch x']", "not YAML"),
    "fewer samples than a batch": ("length: 4", "length: 1", "batch_size must lie between"),
    "no samples": ("length: 4", "length: 0", "batch_size must lie between"),
    "no data": ("sources: [", "sources: [] #", "give at least one source"),
    "data that are a number": ("sources: [", "sources: 3 #", "sources"),
    "a folder that is not there": ("{good}/small,", "{good}/gone,", "gone: no such folder"),
    "annotations that are not there": ("{good}/small.json", "{good}/gone.json", "gone.json: no such annotation file"),
    "workers below 0": ("workers: 0", "workers: -1", "num_workers"),
    "a rate of NaN": ("lr: 0.01", "lr: .nan", "lr"),
    "a rate below 0": ("lr: 0.01", "lr: -1", "learning rate"),
    "saving every 0 steps": ("every: 1", "every: 0", "at least 1"),
    "a GPU that is not there": ("device: cpu", "device: cuda:9", "PyTorch sees"),
    "a device of a number": ("device: cpu", "device: 3", "device"),
    "an average of 2": ("device: cpu", "ema: 2", "ema is a decay"),
    "clipping of text": ("device: cpu", "clip_norm: tight", "clip_norm"),
    "accumulate 0": ("device: cpu", "accumulate: 0", "accumulate must be at least 1"),
    "a global batch that does not fit": ("device: cpu", "global_batch: 3", "global_batch 3"),
    "more accumulated than there is": ("device: cpu", "accumulate: 99", "less than one step"),
    "a log of nobody": ("device: cpu", "log: magic", "log"),
    "precision of nobody": ("device: cpu", "precision: fp8", "precision"),
    "half precision without a GPU": ("device: cpu", "precision: fp16", "fp16 needs a GPU"),
    "groups without parameters": ("device: cpu", "parameter_groups: [{match: 'trnk.*'}]", "no parameter is left"),
    "a validation of nothing": ("device: cpu", "validation: {class_path: os.system}", "not 'os.system'"),
    "a schedule that is unknown": ("epochs: 1", "epochs: 1, decay: magic", "schedule.decay"),
    "a warm-up longer than all": ("epochs: 1", "epochs: 1, warmup: 5", "schedule"),
    "an output below a file": ("{at}/run", "{good}/a.png/run", "a.png"),
    "a detector that is not trained here": ("model: tiny", "model: nanodet", "not trained here"),
    "nested 10,000 deep": ("model: tiny", "model: " + "[" * 10_000, "c.yaml"),
    "a key of a list": ("model: tiny", "? [a]\n: 1\nmodel: tiny", "c.yaml"),
    "a key of a number": ("model: tiny", "3: 1\nmodel: tiny", "3"),
    "bytes": ("model: tiny", "model: \x00", "c.yaml"),
}


def configured(old: str, new: str, says: str, **more: Any) -> dict[str, Any]:
    config = CONFIG.replace("{{", "{").replace("}}", "}")
    config = config.replace(old, new) if old else ""

    def write(path: Path) -> None:
        path.write_text(placed(config, path))

    return {"line": WORKS["train"], "files": {"c.yaml": write}, "says": (says,), **more}


def good_config(path: Path) -> None:
    path.write_text(placed(CONFIG.replace("{{", "{").replace("}}", "}"), path))


OUT = {  # where each verb writes, by its line
    "predict": "{at}/out", "evaluate": "{at}/f.json", "label": "{at}/new.json", "convert": "{at}/new.safetensors", "export": "{at}/new.onnx",
    "train": "{at}/run", "prn train": "{at}/out", "prn detect": "{at}/new.npz", "prn join": "{at}/new.safetensors", "grouping train": "{at}/out",
    "models": "{at}/f.json", "bench decode": "{at}/f.json",
}  # fmt: skip


def elsewhere(verb: str, place: str) -> dict[str, Any]:
    """A line that works, but for where it writes."""
    if verb == "train":
        return {"line": f"{WORKS[verb]} --out {place}", "files": {"c.yaml": good_config}}
    return {"line": WORKS[verb].replace(OUT[verb], place), "files": {}}


def places() -> list[Case]:
    found = []
    for verb, out in OUT.items():
        name = out.removeprefix("{at}/")
        folder = verb in ("predict", "train", "prn train", "grouping train")
        below, system = elsewhere(verb, f"{{good}}/a.png/{name}"), elsewhere(verb, f"/proc/manypose/{name}")
        found.append(Case(f"{verb}, place: below a file", below["line"], files=below["files"], says=("a.png",)))
        found.append(Case(f"{verb}, place: a folder of the system", system["line"], files=system["files"], says=("/proc/manypose",)))
        if folder:
            there: dict[str, Any] = {name: "mine"}
        else:
            there = {f"{name}/mine": "mine"}
        more = elsewhere(verb, out)
        found.append(
            Case(
                f"{verb}, place: a {'file' if folder else 'folder'} of that name",
                more["line"],
                files={**more["files"], **there},
                says=(name,),
            )
        )
    return found


DISKS: dict[str, tuple[str, int]] = {
    "predict": ("--format coco csv jsonl openpose", 600), "evaluate": ("", 100), "label": ("", 100), "convert": ("", 5000), "export": ("", 3000), "train": ("--log csv", 2000),
    "train, TensorBoard": ("--log tensorboard", 10), "train, TensorBoard later": ("--log tensorboard", 300), "prn train": ("", 1500), "prn detect": ("", 500), "prn join": ("", 5000), "grouping train": ("", 3000), "models": ("", 500), "bench decode": ("", 100),
    "evaluate, report": ("--analyze --report {at}/r.html", 2000),
}  # fmt: skip


# What grows in a run ends with a whole line; the first batch is a whole picture.
LINES_OF_A_RUN = ("out/poses.csv", "out/poses.jsonl", "out/curves.csv", "run/curves.csv", "run/first_batch.jpg")


def disks() -> list[Case]:
    found = []
    for name, (more, size) in DISKS.items():
        verb = name.split(",")[0]
        files = {"c.yaml": good_config} if verb == "train" else {}
        found.append(
            Case(
                f"{name}, full disk",
                f"{WORKS[verb]} {more}",
                files=files,
                says=("cannot be written", "File too large"),
                disk=size,
                seconds=20,
                leaves=LINES_OF_A_RUN,
            )
        )
    return found


OPTIONS = [
    *(Case(f"{verb}, option: {more}", f"{WORKS[verb]} {more}", files={"c.yaml": good_config} if verb == "train" else {}, says=(says,))
      for verb, options in BAD.items() for more, says in options.items()),
    *each("line", LINES, lambda line, says: {"line": line, "says": (says,)}),
    *each("train, config", CONFIGS, configured),
    Case("train, config: not there", "train --config {at}/gone.yaml", says=("gone.yaml", "no such config")),
    Case("train, config: a folder", "train --config {at}", says=("cannot be read",)),
    *places(),
    *disks(),
]  # fmt: skip
