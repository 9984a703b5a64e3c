"""Runs bad inputs, those of a kind in one process, forked from one that has imported everything; writes ``outcomes.jsonl``.

``python run_cases.py FOLDER [WORD …]`` runs those cases whose name has one of the words (all without words).
"""

import contextlib
import io
import json
import math
import os
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import TextIO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from bad_api import API
from bad_case import Case, lay
from bad_data import DATA
from bad_options import OPTIONS
from bad_photos import PHOTOS
from bad_weights import WEIGHTS
from whole_files import write_all

from manypose.cli.__main__ import VERBS

CASES: list[Case] = [*PHOTOS, *DATA, *WEIGHTS, *OPTIONS, *API]


def snapshot(folder: Path) -> dict[str, str]:
    """The regular files of a folder by name, with a hash of their content."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return {str(p.relative_to(folder)): sha256(p.read_bytes()).hexdigest() for p in files}


def one(case: Case, at: Path, good: Path) -> dict:
    """What a case's call did, in this process."""
    from manypose.cli import __main__ as cli

    out, err, code = io.StringIO(), io.StringIO(), 0
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is counted from here on
    before, began = memory("VmRSS"), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("always")
        try:
            if case.call is not None:
                case.call(at, good)
            else:
                code = cli.main(case.line.format(at=at, good=good).split())
        except Exception as e:
            code = type(e).__name__
            print(f"manypose: error: {e}" if case.call is not None else traceback.format_exc(), file=sys.stderr)
    seconds, megabytes = time.process_time() - began, (memory("VmHWM") - before) / 1024
    return {"code": code, "out": out.getvalue(), "err": err.getvalue(), "megabytes": megabytes, "seconds": seconds}


def memory(name: str) -> int:
    """A line of the kernel's account of this process, in kB."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))


def limited(case: Case, at: Path, good: Path) -> dict:
    """A case with limits of its own: processor time, address space and the size of files."""
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir()
    os.chdir(at)
    lay(at, case.files)
    before, address_space = snapshot(at), int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = {
        resource.RLIMIT_CPU: math.ceil(time.process_time() + 2 * case.seconds),
        resource.RLIMIT_AS: address_space + (8 if case.line.startswith("export") else 2) * 2**30,
        resource.RLIMIT_FSIZE: case.disk if case.disk is not None else resource.RLIM_INFINITY,
    }
    for what, limit in limits.items():
        resource.setrlimit(what, (limit, resource.RLIM_INFINITY))
    found = one(case, at, good)
    for what in limits:
        resource.setrlimit(what, (resource.RLIM_INFINITY,) * 2)
    after = snapshot(at)
    found["changed"] = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return {"name": case.name, "faults": faults(case, found), **found}


def together(cases: Sequence[Case], at: Path, good: Path, results: TextIO) -> int:
    """Write the results of cases that run one after the other in a forked process; gives how many there are.

    A case that ends the process is the last of them.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with os.fdopen(writing, "w") as pipe:
            for case in cases:
                print(json.dumps(limited(case, at, good)), file=pipe, flush=True)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        done = sum(bool(results.write(line)) for line in pipe)
    _, status = os.waitpid(child, 0)
    if done < len(cases):
        results.write(json.dumps({"name": cases[done].name, "faults": [f"ended the process: status {status}"]}) + "\n")
    results.flush()
    return min(done + 1, len(cases))


DOCUMENTED = (
    "ValueError",
    "TypeError",
    "FileNotFoundError",
    "ConnectionError",
    "ImportError",
    "OSError",
    "IsADirectoryError",
    "ZeroDivisionError",
)


def faults(case: Case, found: dict) -> list[str]:
    """What is wrong with how a case ended."""
    said = [line for line in found["err"].replace("\r", "\n").splitlines() if line.strip() and "step/s" not in line]  # no progress bar
    lines = [line for line in said if not line.startswith(("manypose: warning: ", "usage: "))]
    wrong = [f"exit code {found['code']}"] * (found["code"] in ((None,) if case.said else (0, None)))
    wrong += [f"raised {found['code']}"] * (case.call is not None and found["code"] not in DOCUMENTED)
    wrong += ["a traceback or a defect"] * any(word in found["err"] + found["out"] for word in ("Traceback", "defect of manypose"))
    if case.said:
        wrong += [f"{len(lines)} lines of errors"] * (len(lines) > 1)
    else:
        wrong += [f"{len(lines)} lines of errors"] * (len(lines) != 1 or not lines[0].startswith("manypose: error: "))
        wrong += [f"lacks {word!r}" for word in case.says if word not in " ".join(lines)]
    wrong += [f"left {name}" for name in found["changed"] if name not in case.leaves]
    wrong += [f"{found['seconds']:.1f} s of the processor"] * (found["seconds"] > case.seconds)
    return wrong + [f"{found['megabytes']:.0f} MB"] * (found["megabytes"] > case.megabytes)


def main() -> None:
    """Everything that a case needs is imported and written once, before the first fork."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    good = folder / "good"
    write_all(good)
    for module in ("accelerate", "jsonargparse", "av", "h5py", "matplotlib", "tensorboard", "onnx", "scipy.io", "omegaconf"):
        with contextlib.suppress(ImportError):
            __import__(module)
    verbs = [place.partition(":")[0] for place, _ in VERBS.values()]
    for module in (*verbs, "manypose.cli.config", "manypose.export.onnx", "manypose.data"):
        __import__(module)
    before = snapshot(good)
    words = sys.argv[2:]
    cases = [case for case in CASES if not words or any(word in case.name for word in words)]
    results = open(folder / "outcomes.jsonl", "w")  # noqa: SIM115 - to the end of the program
    for _, same in groupby(cases, key=lambda case: case.name.partition(":")[0]):
        group = list(same)
        while group:
            group = group[together(group, folder / "at", good, results) :]
    changed = [f"changed {name}" for name, content in snapshot(good).items() if before.get(name) != content]
    results.write(json.dumps({"name": "the shared files", "faults": changed}) + "\n")
    results.close()


if __name__ == "__main__":
    main()
