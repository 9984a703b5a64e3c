"""Which small changes of losses, targets, decoders and metrics no test notices.

    python benchmarks/mutations.py --sample 40 --seed 0

Each mutant changes one operator, comparison, number or name of one file and runs the tests of that file's folder (and those of `EXTRA`)
until the first failure, those that import the file first. A mutant is *killed* where a test fails; where the time runs out it does not
count. Survivors are printed as the line before and after: each is either equal in effect, or lacks a test. The process forks after the
slow imports, so a mutant costs its tests and the modules that depend on it (POSIX).
"""

import argparse
import ast
import os
import random
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/manypose"
FILES = (
    "methods/*/loss.py", "methods/*/targets.py", "methods/*/decode.py", "methods/simple_pose/assembly.py", "methods/multiposenet/assign.py",
    "methods/multiposenet/baselines.py", "methods/multiposenet/dense_prn.py", "methods/simple/boxes_from_points.py", "nn/heatmaps.py",
    "nn/retinanet/anchors.py", "nn/associative_embedding/*.py", "evaluation/metrics/*.py", "poses/oks.py", "training/plateau.py",
    "training/schedule.py",
)  # fmt: skip
EXTRA = {
    "methods": ["tests/methods/test_places.py"],
    "nn": ["tests/methods/swahr", "tests/methods/test_places.py"],
    "poses": ["tests/evaluation/metrics", "tests/tracking/test_association.py"],
    "evaluation": [],
    "training": [],
}
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


def tests_of(path: Path) -> list[list[str]]:
    """The tests that know a file, quickest to tell first: those that import it, then all of its folder and `EXTRA`."""
    inside = path.relative_to(SOURCE)
    folder = ROOT / "tests" / inside.parent
    while not list(folder.glob("test_*.py")) and folder != ROOT / "tests":
        folder = folder.parent
    direct = [str(test) for test in sorted(folder.rglob("test_*.py")) if module_of(path) in test.read_text()]
    return [*([direct] if direct else []), [str(folder), *(str(ROOT / t) for t in EXTRA.get(inside.parts[0], ()))]]


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
        if path.relative_to(SOURCE).parts[0] in (*EXTRA, "data", "weights", "inference", "training") and path.name != "__main__.py":
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

        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not rows", *tests])))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "time out"
    return "killed" if os.waitstatus_to_exitcode(status) in (1, 2) else "SURVIVED"  # 1: a test failed, 2: the file cannot be imported


def main() -> None:
    """Draw a sample of all mutants, run it, print the survivors and the share killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=40, help="mutants to run")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--seconds", type=int, default=300, help="of CPU for each")
    parser.add_argument("--tests", nargs="*", help="in place of those of the file's folder")
    parser.add_argument("--only", default="", help="part of the path of the files")
    parser.add_argument("--first", type=int, default=1, help="number of the sample to begin with")
    given = parser.parse_args()
    files = sorted({path for pattern in FILES for path in SOURCE.glob(pattern) if given.only in str(path) and path.name != "__init__.py"})
    every = [(path, place, new) for path in files for place, new in changes(ast.parse(path.read_text()))]
    some = random.Random(given.seed).sample(every, min(given.sample, len(every)))
    print(f"{len(every)} mutants of {len(files)} files, {len(some)} drawn", flush=True)
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tools")]
    os.chdir(ROOT)
    import_everything()
    sys.dont_write_bytecode = True
    counts = {"killed": 0, "SURVIVED": 0, "time out": 0}
    for number, (path, place, new) in list(enumerate(some, 1))[given.first - 1 :]:
        for tests in [given.tests] if given.tests else tests_of(path):
            found = run(path, mutated(path.read_text(), place, new), given.seconds, tests)
            if found != "SURVIVED":
                break
        counts[found] += 1
        said = f"{path.relative_to(SOURCE)}:{place[0]}: {place[4]} -> {ast.unparse(new)}".replace("\n", " ")
        print(f"{number}: {found:8} {said}", flush=True)
    decided = counts["killed"] + counts["SURVIVED"]
    print(
        f"killed {counts['killed']} of {decided} ({100 * counts['killed'] / max(decided, 1):.0f} %), {counts['time out']} ran out of time"
    )


if __name__ == "__main__":
    main()
