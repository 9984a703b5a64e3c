"""Which small changes of losses, targets, decoders and metrics no test notices.

    python benchmarks/mutations.py --sample 40 --seed 0 --record mutants.jsonl

Each mutant changes one operator, comparison, number or name of one file and runs the tests that execute its line, the quickest first, until
one fails; then, as results of fixtures outlive the test that asked for them, the whole files of these tests. A mutant is *killed* where a
test fails; where the time runs out it does not count. Survivors are printed as the line before and after: each is either equal in effect,
or lacks a test. Which tests execute which lines is found out once, with coverage.py, and kept in `--coverage`; `--record` keeps results, so
that a stopped run goes on. The process forks after the slow imports: a mutant costs its tests and the modules that depend on it (POSIX).
"""

import argparse
import ast
import json
import os
import random
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from time import process_time
from typing import Any

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/manypose"
FILES = (
    "methods/*/loss.py", "methods/*/targets.py", "methods/*/decode.py", "methods/simple_pose/assembly.py", "methods/multiposenet/assign.py",
    "methods/multiposenet/baselines.py", "methods/multiposenet/dense_prn.py", "methods/simple/boxes_from_points.py", "nn/heatmaps.py",
    "nn/retinanet/anchors.py", "nn/associative_embedding/*.py", "evaluation/metrics/*.py", "poses/oks.py", "training/plateau.py",
    "training/schedule.py",
)  # fmt: skip
TESTS = ("methods", "nn", "poses", "evaluation", "training", "tracking/test_association.py")
PYTEST = ("-q", "-p", "no:cacheprovider", "-m", "not slow and not rows")
SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {
    "max": "min", "min": "max", "amax": "amin", "amin": "amax", "argmax": "argmin", "argmin": "argmax", "maximum": "minimum",
    "minimum": "maximum", "sum": "mean", "mean": "sum", "floor": "ceil", "ceil": "floor", "cos": "sin", "sin": "cos", "any": "all",
    "all": "any",
}  # fmt: skip
Place = tuple[int, int, int, int, str]


def changes(tree: ast.AST) -> Iterator[tuple[Place, ast.AST]]:
    """Each place that can be mutated, and its changed node. Annotations, docstrings and messages of errors stay."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        new: ast.AST | None = None
        if isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in SWAPS:
            new = _with(node, op=SWAPS[type(node.op)]())
        elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPS:
            new = _with(node, ops=[SWAPS[type(node.ops[0])]()])
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
            new = node.operand
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            value = node.value
            new = ast.Constant(not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else value * 1.5 + 0.01)
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            new = _with(node, attr=NAMES[node.attr])
        if new is not None and not _left_alone(node):
            yield (node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0, ast.unparse(node)), new  # type: ignore[attr-defined]


def _with(node: ast.AST, **fields: object) -> ast.AST:
    return type(node)(**{**{f: getattr(node, f) for f in node._fields}, **fields})


def _left_alone(node: ast.AST) -> bool:
    while (parent := getattr(node, "parent", None)) is not None:
        if isinstance(parent, (ast.Raise, ast.JoinedStr, ast.Subscript)) and getattr(parent, "value", None) is not node:
            return not isinstance(parent, ast.Subscript) or _is_annotation(parent)
        if isinstance(parent, (ast.arg, ast.AnnAssign)) and parent.annotation is node:
            return True
        if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)) and parent.returns is node:
            return True
        if isinstance(parent, ast.Assert):
            return True
        node = parent
    return False


def _is_annotation(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple) and isinstance(node.slice.elts[-1], ast.Constant)


def mutated(text: str, place: Place, new: ast.AST) -> str:
    """The file with the node at a place replaced."""
    lines = text.encode().splitlines(keepends=True)
    first, start, last, stop, _ = place
    before = b"".join(lines[: first - 1]) + lines[first - 1][:start]
    after = lines[last - 1][stop:] + b"".join(lines[last:])
    return (before + b"(" + ast.unparse(new).encode() + b")" * 1 + after).decode()


class Cover:
    """A pytest plugin: the tests that execute each line, and the CPU seconds of each test."""

    def __init__(self, coverage: Any) -> None:
        self.coverage, self.seconds = coverage, {}

    def pytest_runtest_logstart(self, nodeid: str, location: object) -> None:
        """The test begins."""
        self.coverage.switch_context(nodeid)
        self.seconds[nodeid] = process_time()

    def pytest_runtest_logfinish(self, nodeid: str, location: object) -> None:
        """The test has ended."""
        self.seconds[nodeid] = process_time() - self.seconds[nodeid]


def coverage_of(test: str, files: list[Path]) -> dict[str, dict[str, list[tuple[float, str]]]]:
    """Run a file of tests once: ``{file: {line: [(CPU seconds, test)]}}``."""
    import coverage
    import pytest

    cover = Cover(coverage.Coverage(data_file=None, include=[str(path) for path in files], config_file=False))
    cover.coverage.start()
    pytest.main([*PYTEST, test], plugins=[cover])
    cover.coverage.stop()
    data = cover.coverage.get_data()
    lines = {str(path.relative_to(SOURCE)): data.contexts_by_lineno(str(path)) for path in files}
    return {f: {str(n): [(cover.seconds.get(t, 0), t) for t in named if t] for n, named in of.items()} for f, of in lines.items() if of}


def covered_lines(kept: Path, files: list[Path], processes: int) -> dict[str, dict[str, list[str]]]:
    """``{file: {line: [tests, the quickest first]}}``; what is in the file `kept`, a line for each file of tests, is not run again."""
    places = [ROOT / "tests" / part for part in TESTS]
    tests = sorted(str(test) for place in places for test in ([place] if place.suffix else place.rglob("test_*.py")))
    random.Random(0).shuffle(tests)
    found = dict(json.loads(line) for line in kept.read_text().splitlines()) if kept.exists() else {}
    left = [test for test in tests if test not in found]

    def work(i: int) -> list[tuple[str, Any]]:
        out = []
        for test in left[i::processes]:
            out.append((test, coverage_of(test, files)))
            with kept.open("a") as file:
                file.write(json.dumps(out[-1]) + "\n")
        return out

    found |= {test: lines for part in in_processes(processes, work) for test, lines in part}
    joined: dict[str, dict[str, list[tuple[float, str]]]] = {}
    for file, line, timed in ((file, n, timed) for of in found.values() for file, lines in of.items() for n, timed in lines.items()):
        joined.setdefault(file, {}).setdefault(line, []).extend(map(tuple, timed))
    return {file: {n: [t for _, t in sorted(timed)] for n, timed in lines.items() if timed} for file, lines in joined.items()}


def in_processes(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` returns, as JSON has it, for 0 to `count` - 1, each in a process of its own."""
    ways = []
    for i in range(count):
        read, write = os.pipe()
        if os.fork() == 0:
            with os.fdopen(write, "w") as out:
                json.dump(work(i), out)
            os._exit(0)
        os.close(write)
        ways.append(read)
    return [json.loads(os.fdopen(way).read()) for way in ways]


def tests_of(path: Path, first: int, covered: dict[str, dict[str, list[str]]]) -> list[list[str]]:
    """The tests that execute the statement at a line, the quickest first, and their files; where none does (a default, a constant) those
    that execute anything in its function, or else in its file."""
    lines = covered.get(str(path.relative_to(SOURCE)), {})
    around = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.stmt) and n.lineno <= first <= (n.end_lineno or 0)]
    for node in reversed(around):  # the innermost first
        last = (node.end_lineno or 0) if not isinstance(node, (ast.If, ast.For, ast.While, ast.With)) else node.lineno
        counts: dict[str, None] = {t: None for n in range(node.lineno, last + 1) for t in lines.get(str(n), ())}
        if counts:
            return [list(counts), sorted({t.partition("::")[0] for t in counts})]
    every = sorted({t.partition("::")[0] for tests in lines.values() for t in tests})
    return [every] if every else []


def module_of(path: Path) -> str:
    """The dotted name of a file of the package."""
    inside = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(inside[:-1] if inside[-1] == "__init__" else inside)


@cache
def _imports() -> dict[str, set[str]]:
    """What each module of the package names in its imports, with the names that it takes from there: these may be modules too."""
    found: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        plain = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
        taken = {(n.module or "", a.name) for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}
        found[module_of(path)] = plain | {m for m, _ in taken} | {f"{m}.{name}" for m, name in taken}
    return found


def dependents(path: Path) -> set[str]:
    """A module and all modules that import it, directly or through others: these hold the unchanged functions."""
    stale, more = set(), {module_of(path)}
    while more:
        stale |= more
        more = {m for m, named in _imports().items() if named & stale} - stale
    return stale


def import_everything() -> None:
    """The slow imports, once for all mutants, with the type checker of the tests."""
    for heavy in ("torch", "torchvision", "timm", "scipy.optimize", "cv2", "hypothesis", "beartype", "jaxtyping", "pytest"):
        import_module(heavy)
    import_module("jaxtyping").install_import_hook("manypose", "checker.typed")
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] in (*TESTS, "data", "weights", "inference", "training") and path.name != "__main__.py":
            with suppress(ImportError):
                import_module(module_of(path))


def run(path: Path, text: str, seconds: int, tests: list[str]) -> str:
    """What the tests say of the changed file: ``killed``, ``SURVIVED`` or ``time out``."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        out = os.open(os.devnull, os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(out, 2)
        read, stats = SourceFileLoader.get_data, SourceFileLoader.path_stats

        def get_data(self: SourceFileLoader, name: str) -> bytes:
            return text.encode() if Path(name) == path else read(self, name)

        def path_stats(self: SourceFileLoader, name: str) -> object:
            if Path(name) == path:
                raise OSError("its compiled form must not be used")
            return stats(self, name)

        SourceFileLoader.get_data, SourceFileLoader.path_stats = get_data, path_stats  # type: ignore[method-assign,assignment]
        for name in dependents(path):
            package, _, leaf = name.rpartition(".")
            sys.modules.pop(name, None)
            vars(sys.modules.get(package, sys)).pop(leaf if package in sys.modules else "", None)
        import pytest

        os._exit(int(pytest.main(["-x", *PYTEST, *tests])))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "time out"
    if (code := os.waitstatus_to_exitcode(status)) > 2:
        raise RuntimeError(f"pytest did not run (exit status {code}); delete the file of --coverage if the tests have changed")
    return "killed" if code else "SURVIVED"  # 1: a test failed, 2: the file cannot be imported


def _said(path: Path, place: Place, new: ast.AST) -> str:
    return f"{path.relative_to(SOURCE)}:{place[0]}:{place[1]}: {place[4]} -> {ast.unparse(new)}".replace("\n", " ")


def main() -> None:
    """Draw a sample of all mutants, run it, print the survivors and the share killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=40, help="mutants to run")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--seconds", type=int, default=300, help="of CPU for each")
    parser.add_argument("--only", default="", help="part of the path of the files")
    parser.add_argument("--coverage", type=Path, default=ROOT / ".mutations_coverage.jsonl", help="file of which tests execute which lines")
    parser.add_argument("--record", type=Path, help="file of the results; mutants in it are not run again")
    parser.add_argument("--most", type=int, default=10**9, help="mutants to run before it stops")
    parser.add_argument("--processes", type=int, default=1, help="at once")
    given = parser.parse_args()
    files = sorted({path for pattern in FILES for path in SOURCE.glob(pattern) if path.name != "__init__.py"})
    every = [(path, place, new) for path in files if given.only in str(path) for place, new in changes(ast.parse(path.read_text()))]
    some = random.Random(given.seed).sample(every, min(given.sample, len(every)))
    print(f"{len(every)} mutants of {len(files)} files, {len(some)} drawn", flush=True)
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tools")]
    os.chdir(ROOT)
    import_everything()
    sys.dont_write_bytecode = True
    covered = covered_lines(given.coverage, files, given.processes)
    done: dict[str, str] = {}
    if given.record and given.record.exists():
        done = dict(json.loads(line) for line in given.record.read_text().splitlines())
    named = [(_said(path, place, new), path, place, new) for path, place, new in some]
    left = [mutant for mutant in named if mutant[0] not in done][: given.most]

    def work(i: int) -> list[tuple[str, str]]:
        out = []
        for said, path, place, new in left[i :: given.processes]:
            found = "SURVIVED"
            for tests in tests_of(path, place[0], covered):
                found = run(path, mutated(path.read_text(), place, new), given.seconds, tests)
                if found != "SURVIVED":
                    break
            out.append((said, found))
            print(f"{found:8} {said}", flush=True)
            if given.record:
                with given.record.open("a") as file:
                    file.write(json.dumps(out[-1]) + "\n")
        return out

    done |= {said: found for part in in_processes(given.processes, work) for said, found in part}
    found = list(done.values())
    killed, survived = found.count("killed"), found.count("SURVIVED")
    share = 100 * killed / max(killed + survived, 1)
    print(f"killed {killed} of {killed + survived} ({share:.0f} %), {found.count('time out')} ran out of time")


if __name__ == "__main__":
    main()
