"""Every config in the repository parses, builds its model, its optimiser and its data, and gives a batch that the model learns from."""

import json
import math
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from header_lines import rows
from PIL import Image
from safetensors import safe_open
from scipy.io import savemat
from shared import REPOSITORY, shared

from manypose.cli.__main__ import VERBS
from manypose.cli.__main__ import main as manypose
from manypose.cli.arguments import CONFIG_OPTIONS, UsageError, configured, parse_config, sort_words
from manypose.cli.signature import read_verb
from manypose.data.datasets.posetrack_results import JOINTS
from manypose.methods.catalog import MODELS, build
from manypose.poses.skeleton import BUILT_IN, named
from manypose.training.checkpoints import Checkpoints
from manypose.training.loop import Job
from manypose.training.train import Step, train

ALL = sorted((REPOSITORY / "configs").rglob("*.yaml"))
CONFIGS = [path for path in ALL if "manypose grouping train" not in path.read_text()]  # that one is tested with its room


FIRST, LEARNT, FURTHER, EMPTY = 36, 49, 659, (7, 64)
"""Photos of COCO train2017: held out (the first of ``configs/subsets/coco_834.txt``), in ``coco_741.txt``, in ``coco_124.txt``."""


def words(*line: object) -> list[tuple[str, str]]:
    """A command line of ``manypose train``."""
    verb = read_verb("manypose.training.train:train", flatten=False)
    return sort_words(verb, list(map(str, line)), CONFIG_OPTIONS)


def parsed(config: Path, *more: object) -> Any:
    """What a config says."""
    return parse_config(train, words("--config", config, *more), "manypose train")[1]


def built(config: Path, *more: object) -> dict[str, Any]:
    """The objects that a config describes."""
    return configured(train, words("--config", config, *more), "manypose train")


def write_coco(images: Path, annotations: Path, skeleton: str, people: Sequence[int] = ()) -> None:
    """A data set of grey photos, `FIRST` and `people` with a person and `EMPTY` without, laid out as the published ones."""
    images.mkdir(parents=True, exist_ok=True)
    annotations.parent.mkdir(parents=True, exist_ok=True)
    for number in (FIRST, *people, *EMPTY):
        cv2.imwrite(str(images / f"{number:012d}.jpg"), np.full((100, 120, 3), 99, np.uint8))
    joints = BUILT_IN[skeleton].joints
    keypoints = [v for i in range(len(joints)) for v in (20 + 5 * i, 10 + 4 * i, 2)]
    person = {"id": 1, "image_id": FIRST, "category_id": 1, "iscrowd": 0, "bbox": [15, 5, 95, 80], "area": 4000.0, "keypoints": keypoints}
    person["segmentation"] = [[15, 5, 110, 5, 110, 85, 15, 85]]
    listed = [{"id": i, "file_name": f"{i:012d}.jpg", "width": 120, "height": 100, "crowdIndex": 0.5} for i in (FIRST, *people, *EMPTY)]
    rows = [{**person, "id": i, "image_id": i, "num_keypoints": len(joints)} for i in (FIRST, *people)]
    category = {"id": 1, "name": "person", "keypoints": joints, "skeleton": []}
    annotations.write_text(json.dumps({"images": listed, "annotations": rows, "categories": [category]}))


def write_mpii(annotations: Path) -> None:
    """The same photo's person in MPII's form."""
    annotations.parent.mkdir(parents=True, exist_ok=True)
    joints = [[20 + 5 * i, 10 + 4 * i] for i in range(16)]
    row = {"image": f"{FIRST:012d}.jpg", "center": [60, 45], "scale": 0.4, "joints": joints, "joints_vis": [1] * 16}
    annotations.write_text(json.dumps([row]))


def write_posetrack(root: Path) -> None:
    """One frame of one person as PoseTrack has it."""
    write_coco(root / "images" / "train" / "1", root / "unused.json", "coco")
    image = {"id": 1, "frame_id": 1, "file_name": f"images/train/1/{FIRST:012d}.jpg", "is_labeled": True, "vid_id": "1"}
    row: dict[str, Any] = {"id": 1, "image_id": 1, "track_id": 0, "category_id": 1, "bbox": [15, 5, 80, 85], "bbox_head": [18, 6, 12, 12]}
    row["keypoints"] = [v for i in range(17) for v in (20 + 3 * i, 10 + 4 * i, 1)]
    frame = {"images": [image], "annotations": [row], "categories": [{"id": 1, "name": "person", "keypoints": list(JOINTS)}]}
    (root / "annotations" / "train").mkdir(parents=True)
    (root / "annotations" / "train" / "1.json").write_text(json.dumps(frame))


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Stands for the folder of the public data sets."""
    coco = tmp_path / "coco"
    write_coco(coco / "train2017", coco / "annotations" / "person_keypoints_train2017.json", "coco", (LEARNT, FURTHER))
    write_coco(coco / "val2017", coco / "annotations" / "person_keypoints_val2017.json", "coco")
    crowdpose = tmp_path / "crowdpose"
    write_coco(crowdpose / "images", crowdpose / "json" / "crowdpose_train.json", "crowdpose")
    write_coco(tmp_path / "mpii" / "images", tmp_path / "unused_mpii.json", "mpii")
    write_mpii(tmp_path / "mpii" / "annotations" / "train.json")
    for name in ("drawn", "rendered"):
        write_coco(tmp_path / name / "images", tmp_path / name / "annotations.json", "coco")
    write_coco(tmp_path / "lspet/images", tmp_path / "lspet/labelled.json", "coco")
    Image.fromarray(np.full((100, 120, 3), 99, np.uint8)).save(tmp_path / "lspet/images/im00002.jpg")
    joints = np.concatenate([np.linspace(5, 90, 28).reshape(14, 2), np.ones((14, 1))], 1)
    savemat(tmp_path / "lspet/joints.mat", {"joints": np.stack([joints, joints], 2)})
    write_posetrack(tmp_path / "posetrack18")
    monkeypatch.setenv("MANYPOSE_DATA", str(tmp_path))
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_config_builds_all_it_names(path, data):
    given = parsed(path, "--data.batch_size=2", "--data.workers=0")
    data_ = given.data.init_args
    sizes = [view["init_args"]["size"] for view in (data_.views or [data_.augment])]
    with torch.device("meta"):  # shapes are enough: the large models take a while to fill
        arguments = given.model_args or {}
        untrained = {"pretrained": False} if "pretrained" in arguments else {}
        method = build(given.model, skeleton=named(given.skeleton), **{**arguments, **untrained})
    made = built(path, "--data.batch_size=2", "--data.workers=0")
    optimizer = made["optimizer"](method.parameters())
    assert optimizer.param_groups[0]["lr"] == given.optimizer.init_args.lr
    assert made["schedule"].at(made["schedule"].epochs) <= 0.1 or made["schedule"].decay in ("constant", "plateau")
    batch = next(iter(made["data"]))
    assert batch.images.shape in [(2, *((size, size) if isinstance(size, int) else size), 3) for size in sizes]
    assert batch.keypoints.shape[2] == len(method.skeleton)
    assert batch.there.any()


# ── two real steps of every config and of every line of its head ──

LINE = re.compile(r"--(?:model_args|schedule|optimizer|data|seed|precision|clip_norm|accumulate|skeleton)\S*")


def small(path: Path, out: Path) -> list[str]:
    """Options that make a recipe two steps of two small photos on one CPU core; nothing is downloaded."""
    given = yaml.safe_load(path.read_text().replace("${MANYPOSE_DATA:-data}", "x"))
    words = ["--out", str(out), "--data.batch_size", "2", "--data.length", "4", "--data.workers", "0", "--schedule.epochs", "1"]
    words += ["--schedule.warmup", "0", "--device", "cpu", "--precision", "no", "--log", "none"]
    if "sync_batchnorm" in given:
        words += ["--sync_batchnorm", "false"]
    if given.get("schedule", {}).get("decay") == "steps":
        words += ["--schedule.milestones", "[0.5]"]
    augment = given["data"]["init_args"]["augment"]
    if augment is not None:
        words += ["--data.augment.size", "128" if isinstance(augment["init_args"]["size"], int) else "[128, 96]"]
    words += ["--init", "null"] if "init" in given else []
    words += ["--model_args.mimic.weights", "null"] if "MANYPOSE_TEACHER" in path.read_text() else []  # an untrained teacher
    return words + (["--model_args.pretrained", "false"] if "pretrained" in (given.get("model_args") or {}) else [])


def steps_of(weights: Path) -> dict[str, torch.Tensor]:
    with safe_open(weights, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_config_takes_two_steps(path, data, tmp_path, monkeypatch):
    """The whole command of the recipe, with a tiny schedule: finite weights are left.

    Checkpoints, which are some gigabytes of the large networks, have tests of their own (`tests/training`).
    """
    monkeypatch.setattr(Checkpoints, "save", lambda *_: None)
    out = tmp_path / "run"
    assert manypose(["train", "--config", str(path), *small(path, out)]) == 0
    weights = [path for path in out.glob("*.safetensors") if path.name != "best.safetensors"]  # a recipe with validation writes both
    assert len(weights) == 1
    tensors = steps_of(weights[0])
    assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())


HEADER_ROWS = [pytest.param(path, row, id=f"{path.stem} {' '.join(row)}") for path in CONFIGS for row in rows(path)]


def test_19_the_headers_rows_are_found():
    """No line with options is overlooked: 76 were counted by hand when this was written."""
    assert len(HEADER_ROWS) >= 76


@pytest.mark.parametrize(("path", "row"), HEADER_ROWS)
def test_19_every_row_of_a_header_is_a_command(path, row, data):
    """Its options are the recipe's, and its model takes the arguments; `test_19_every_row_of_a_header_trains` is slow."""
    given = parsed(path, *row)
    module, _, factory = MODELS[given.model].factory.partition(":")
    accepted = signature(getattr(import_module(module), factory)).parameters
    unknown = set(given.model_args or {}) - set(accepted)
    assert not unknown


def one_step(acc: Any, job: Job, out: Path) -> Path:
    """A step without curves and files, which `test_every_config_takes_two_steps` writes: most of a large model's time."""
    loss = torch.stack(list(job.network.train()(next(job.stream(0, 0, 1)).to(acc.device)).values())).sum()
    loss.backward()
    if job.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(job.network.parameters(), job.clip_norm)
    learning = [p for p in job.network.parameters() if p.grad is not None]
    before = [p.detach().clone() for p in learning]
    job.optimizer.step()
    assert loss.isfinite()
    assert all(p.isfinite().all() for p in learning)
    assert any(not torch.equal(p, old) for p, old in zip(learning, before, strict=True))
    return out


@pytest.mark.slow
@pytest.mark.rows
@pytest.mark.parametrize(("path", "row"), [p for p in HEADER_ROWS if "--init" not in p.values[1]])
def test_19_every_row_of_a_header_trains(path, row, data, tmp_path, monkeypatch):
    """One step of the row, small: finite weights are left. Rows that start from another recipe's weights are parsed alone."""
    monkeypatch.setattr("manypose.training.train.run", one_step)
    names = set(row[::2])
    less = [word for pair in zip(*[iter(small(path, tmp_path / "run"))] * 2, strict=True) if pair[0] not in names - TINY for word in pair]
    one = 2 * int(dict(zip(row[::2], row[1::2], strict=True)).get("--accumulate", 1))
    tiny = ["--data.length", str(one), "--data.batch_size", "2", "--log", "none"]
    assert manypose(["train", "--config", str(path), *row, *less, *tiny]) == 0


TINY = {"--data.augment.size", "--data.length", "--data.batch_size", "--model_args.pretrained"}
"""What stays small although the row says otherwise."""


def test_19_train_commands_within_the_text_of_documents_are_parsed(data):
    """Those of code blocks: `test_package.py::test_commands_of_the_pages_are_understood`."""
    pages = [*(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "configs").glob("*.md")]
    found = [m for page in pages for m in re.findall(r"`(?:torchrun [^`\n]*-m )?manypose train (--config [^`\n]+)`", page.read_text())]
    assert len(found) >= 8
    for line in found:
        if "NAME" not in line:
            assert parse_config(train, words(*shlex.split(line)), "manypose train")[1].model in MODELS


def test_12_multiposenets_script_does_all_three_steps_and_the_evaluation(data, tmp_path):
    """Its commands, as two stand-ins for torchrun and manypose are given them: each is one, and hands its result to the next."""
    (tmp_path / "bin").mkdir()
    for program in ("torchrun", "manypose"):
        (tmp_path / "bin" / program).write_text(f'#!/bin/sh\necho "{program} $*" >> "{tmp_path}/commands.txt"\n')
        (tmp_path / "bin" / program).chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    subprocess.run(
        ["sh", str(REPOSITORY / "configs/multiposenet/run.sh"), "r50", "--schedule.epochs", "3"], cwd=tmp_path, env=env, check=True
    )
    lines = [line.partition("manypose ")[2].split() for line in (tmp_path / "commands.txt").read_text().splitlines()]
    assert [" ".join(line[: 2 if line[0] == "prn" else 1]) for line in lines] == ["train", "train", "prn train", "prn join", "evaluate"]
    first, second = (parse_config(train, words(*line[1:]), "manypose train")[1] for line in lines[:2])
    assert (first.model_args["step"], second.model_args["step"]) == ("keypoints", "persons")
    assert first.schedule.epochs == second.schedule.epochs == 3
    assert str(second.init) == f"{first.out}/{first.model}.safetensors"
    assert lines[3][2:] == [
        f"{second.out}/{second.model}.safetensors",
        f"{lines[2][3]}/prn.safetensors",
        "runs/multiposenet_r50.safetensors",
    ]
    assert lines[4][lines[4].index("--model") + 1] == lines[3][4]
    for line, verb in ((lines[2], "prn train"), (lines[4], "evaluate")):
        known = {p.name for p in read_verb(VERBS[verb][0]).parameters}
        assert {word.removeprefix("--").replace("-", "_") for word in line if word.startswith("--")} <= known


def test_an_option_reaches_into_a_dict_of_the_config_and_leaves_the_rest(data):
    config = REPOSITORY / "configs/simple/small_mimic.yaml"
    line = ["--model_args.mimic.truth", "false", "--model-args.mimic.widths=[64, 240]", "--model_args.grouping", "max", "--seed", "3"]
    made = built(config, *line)
    own = parsed(config).model_args
    assert made["model_args"] == {**own, "grouping": "max", "mimic": {**own["mimic"], "truth": False, "widths": [64, 240]}}
    assert made["seed"] == 3


def test_headers_say_how_to_run_and_what_to_expect():
    for path in ALL:
        text = path.read_text()
        assert text.startswith("# ")
        assert f"--config {path.relative_to(REPOSITORY)}" in text, path
        assert all(f"# {word}:" in text for word in ("Command", "Hardware", "Expected")), path


def test_the_small_configs_differ_in_the_loss_alone():
    a, b = (parsed(REPOSITORY / "configs/swahr" / f"small_photos{s}.yaml") for s in ("", "_l2"))
    assert a.model_args is None
    assert b.model_args == {"scale_branch": False, "scale_adaptive": False, "weight_adaptive": False}
    a.model_args, a.out, a.config = b.model_args, b.out, b.config
    assert a.as_dict() == b.as_dict()


def test_the_small_config_trains_on_the_photos(tmp_path, monkeypatch):
    data = shared("data")
    (tmp_path / "coco/annotations").mkdir(parents=True)
    photos, people = "coco_photos/train2017", "coco_photos/person_keypoints_train.json"
    links = {
        "coco/train2017": photos, "coco/annotations/person_keypoints_train2017.json": people,
        "drawn/images": photos, "drawn/annotations.json": people,
        "lspet/images": "lspet_photos/images", "lspet/joints.mat": "lspet_photos/person_keypoints.json",
    }  # fmt: skip
    for folder in ("drawn", "lspet"):
        (tmp_path / folder).mkdir()
    for new, old in links.items():
        (tmp_path / new).symlink_to(data / old)
    monkeypatch.setenv("MANYPOSE_DATA", str(tmp_path))
    monkeypatch.chdir(REPOSITORY)
    config = REPOSITORY / "configs/swahr/small_photos.yaml"
    made = built(config, "--data.batch_size=2", "--data.augment.size=64", "--data.length=2")
    method = build(made["model"])
    losses = Step(method)(next(iter(made["data"])))
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())


def test_the_light_top_down_configs_show_the_network_what_it_will_see():
    for path in sorted((REPOSITORY / "configs/mspn").glob("small*.yaml")):
        given = parsed(path)
        method: Any = build(given.model, **(given.model_args or {}))
        view = given.data.init_args.augment.init_args
        assert tuple(view.size) == method.input_size
        assert tuple(view.extend) == method.views.extend


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--optimizer.lr", "fast"], "optimizer.lr: expected float or torch.Tensor, got fast"),
        (["--optimizer.lrr", "1"], "optimizer: there is no 'lrr'; did you mean lr?"),
        (["--modle", "swahr-w32"], "unknown option --modle; did you mean --model?"),
        (["--schedule.decay", "exponential"], "schedule.decay: expected one of linear, cosine, steps, plateau, constant, got exponential"),
        (["--data.batch_sise", "3"], "data: there is no 'batch_sise'; did you mean batch_size?"),
        (["--data.augment.size", "large"], "data.augment.size: expected int, got large"),
        (["--precision", "int8"], "precision: expected one of auto, no, bf16, fp16, got int8"),
    ],
)
def test_typos_are_refused(change, message):
    with pytest.raises(UsageError) as e:
        parsed(REPOSITORY / "configs/swahr/w32_coco.yaml", *change)
    assert str(e.value) == message


def test_what_is_printed_is_read_again(tmp_path, data, capsys):
    def printed(config: Path, *more: str) -> str:
        with pytest.raises(SystemExit) as e:
            parsed(config, *more, "--print-config")
        assert e.value.code == 0
        return capsys.readouterr().out

    first = printed(REPOSITORY / "configs/swahr/w48_coco.yaml", "--schedule.epochs=7")
    (tmp_path / "again.yaml").write_text(first)
    assert printed(tmp_path / "again.yaml") == first
    assert "epochs: 7" in first


ROWS = {
    ("swahr/w32_coco", "--model_args.scale_branch false"): (False, False, 1.0, 0.01),  # Table 3: baseline, WAHR, SAHR
    ("swahr/w32_coco", "--model_args.scale_branch false --model_args.weight_adaptive true"): (False, True, 1.0, 0.01),
    ("swahr/w32_coco", "--model_args.weight_adaptive false"): (True, False, 1.0, 0.01),
    ("swahr/w32_coco", "--model_args.scale_branch false --model_args.naive_scale 256"): (False, False, 1.0, 0.01),  # Table 4
    ("swahr/w32_coco", "--model_args.weight_adaptive false --model_args.lambda_ 0.1"): (True, False, 0.1, 0.01),  # Table 5
    ("swahr/w32_coco", "--model_args.weight_adaptive false --model_args.lambda_ inf"): (True, False, math.inf, 0.01),
    ("swahr/w32_coco", "--model_args.scale_branch false --model_args.weight_adaptive true --model_args.gamma 1.0"): (False, True, 1.0, 1.0),
}
"""Rows of SWAHR's tables: options of the header, and what is trained: SAHR, WAHR, lambda, gamma."""


@pytest.mark.parametrize(("row", "options"), ROWS)
def test_14_a_tables_command_trains_its_row(row, options):
    config = REPOSITORY / "configs" / f"{row}.yaml"
    assert options.removesuffix(" inf") in config.read_text()
    made = parsed(config, *options.split())
    with torch.device("meta"):
        method = build(made.model, **{**made.model_args, "trunk": "hrnet_w18_small", "pretrained": False})
    loss = method._loss
    assert (loss["scale_adaptive"], loss["weight_adaptive"], float(loss["lambda_"]), loss["gamma"]) == ROWS[row, options]
    assert (method.net.conv_scale_layers is not None) == loss["scale_adaptive"]
    assert method._targets["published"]
    assert method._targets["naive_scale"] == (256 if "naive_scale" in options else None)


@pytest.mark.parametrize("options", ["--model_args.dilation=[1, 1, 2, 2]", "--model_args.sigma 2.5", "--model_args.heat_maps half"])
def test_the_map_at_half_the_size_has_its_tables(options):
    words = [options] if "=" in options else options.split()
    made = parsed(REPOSITORY / "configs/swahr/higherhrnet_w32_coco.yaml", *words)
    with torch.device("meta"):
        method = build(made.model, **{**made.model_args, "trunk": "hrnet_w18_small", "pretrained": False})
    blocks = list(method.net.deconv_layers[0])[1:]
    assert [b[0].conv1.dilation[0] for b in blocks] == ([1, 1, 2, 2] if "dilation" in options else [1] * 4)
    assert method._targets["sigma"] == (2.5 if "sigma" in options else 2.0)
    assert method._heat_maps == ("half" if "half" in options else "both")


def test_09_table_2s_hourglass_has_none_of_mspns_improvements(data):
    """One heat map a stage, equal labels in all stages, nothing handed from the ways of one stage to the next."""
    path = REPOSITORY / "configs/mspn/coco.yaml"
    (row,) = (row for row in rows(path) if "hourglass" in row)
    given = parsed(path, *row)
    with torch.device("meta"):
        method = build(given.model, **given.model_args)
        stages = method.net(torch.zeros(1, 3, 64, 64), True)
        improved = build(given.model, **{k: v for k, v in given.model_args.items() if k not in ("aggregation", "multi_scale")})
        assert [len(stage) for stage in improved.net(torch.zeros(1, 3, 64, 64), True)] == [4] * 8
    assert [len(stage) for stage in stages] == [1] * 8
    assert len(set(method.ladders)) == 1
    own, theirs = ({n for n, _ in m.net.named_parameters()} for m in (method, improved))
    assert own < theirs
    assert any("skip" in name for name in theirs - own)
    assert not any("skip" in name for name in own)


def test_simples_two_stages_are_the_papers():
    """Algorithm 1 and Section 6.1: mimicking from epoch 151 of 200 on, at a tenth of the rate since epoch 121."""
    first, second = (parsed(REPOSITORY / f"configs/simple/{n}_coco.yaml") for n in ("w32", "mimic"))
    assert (first.schedule.epochs, list(first.schedule.milestones), first.schedule.factor) == (150, [120], 0.1)
    assert (second.schedule.epochs, second.schedule.decay) == (50, "constant")
    assert second.optimizer.init_args.lr == pytest.approx(first.optimizer.init_args.lr / 10)
    assert second.model_args["mimic"]["others"] == "suppressed"
    assert second.model_args["channels"] is first.model_args["channels"] is None
    assert str(second.init).startswith(str(first.out))
    assert second.out != first.out
