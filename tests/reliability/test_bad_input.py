"""Some thousand bad inputs: each is one line that names the file, a failed exit code, no new file, and little time and memory.

`run_cases.py` runs them; ``python tests/reliability/run_cases.py FOLDER WORD`` those whose name has a word.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from manypose.cli.__main__ import VERBS

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's account of a process in /proc")]

PROGRAM = Path(__file__).with_name("run_cases.py")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """Of every case its name and what is wrong with how it ended."""
    paths = os.pathsep.join([str(PROGRAM.parents[1]), *sys.path])
    folder = tmp_path_factory.mktemp("cases")
    done = subprocess.run(
        [sys.executable, PROGRAM, folder], env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in (folder / "outcomes.jsonl").read_text().splitlines()]


def test_there_are_enough_of_them_and_the_whole_files_stay_whole(outcomes: list[dict]):
    names = [outcome["name"] for outcome in outcomes]
    assert len(set(names)) == len(names) >= 250
    assert outcomes[-1] == {"name": "the shared files", "faults": []}


@pytest.mark.parametrize("verb", [*VERBS, "line", "api"])
def test_bad_input_is_one_line_and_leaves_nothing(verb: str, outcomes: list[dict]):
    mine = [outcome for outcome in outcomes if outcome["name"].split(":")[0].split(",")[0] == verb]
    assert mine, f"no bad input for {verb}"
    wrong = [f"{o['name']}: {'; '.join(o['faults'])}\n    {o.get('err', '').strip()[-300:]}" for o in mine if o["faults"]]
    assert not wrong, "\n".join(wrong)
