"""No two places of `src` share ten lines of code, names and constants aside."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = 10
"""Lines of consecutive statements that two places must not share."""
NESTED = ("body", "handlers", "orelse", "finalbody")


def shape(node: ast.AST) -> str:
    """A statement without its names, constants and nested statements."""
    if isinstance(node, ast.Name):
        return "n"
    if isinstance(node, ast.Constant):
        return "c"
    if isinstance(node, ast.AnnAssign | ast.arg):  # declarations have no logic: only the same names are a repetition
        return ast.unparse(node)
    parts = []
    for field, value in ast.iter_fields(node):
        if field in ("ctx", "returns", "annotation") or (field in NESTED and isinstance(value, list)):
            continue
        values = value if isinstance(value, list) else [value]
        parts += [shape(v) for v in values if isinstance(v, ast.AST)]
    return f"{type(node).__name__}({','.join(parts)})"


def lines_of(node: ast.stmt) -> int:
    """Lines of a statement without the statements in it."""
    inner = [child.lineno for field in NESTED for child in getattr(node, field, [])]
    return (min(inner) if inner else (node.end_lineno or node.lineno) + 1) - node.lineno


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements in the order of the source; without imports and docstrings."""
    for node in body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if docstring or isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        yield node
        for field in NESTED:
            for child in getattr(node, field, []):
                yield from statements(child.body if isinstance(child, ast.ExceptHandler) else [child])


def pairs(sources: dict[str, str], least: int = LINES) -> list[tuple[str, str]]:
    """Pairs of places (``file:line``) whose next `least` lines or more of statements have the same shapes."""
    found = defaultdict(list)
    for name, source in sources.items():
        rows = [(n.lineno, lines_of(n), shape(n)) for n in statements(ast.parse(source).body)]
        for i, (first, _, _) in enumerate(rows):
            lines = accumulate(n for _, n, _ in rows[i : i + least])
            j = next((j for j, n in enumerate(lines, i) if n >= least), i)
            if j >= i + 2:  # one long statement is data
                found[tuple(s for _, _, s in rows[i : j + 1])].append((name, first))
    return [(f"{a[0]}:{a[1]}", f"{b[0]}:{b[1]}") for places in found.values() for a, b in pairwise(places)]


def test_no_code_stands_twice():
    sources = {p.relative_to(ROOT).as_posix(): p.read_text() for top in ("src", "tools") for p in sorted((ROOT / top).rglob("*.py"))}
    assert len(sources) > 100
    assert pairs(sources) == []


LOOP = """
def total(rows):
    out = 0
    for row in rows:
        if row.good:
            out += row.value * 2
        else:
            out -= 1
    left = sorted(rows, key=lambda r: r.value)
    best = left[-1]
    return out / len(rows), best
"""


def test_a_copy_with_other_names_is_found():
    copy = LOOP.replace("row", "item").replace("out", "result").replace("2", "3")
    other = LOOP.replace("sorted(rows, key=lambda r: r.value)", "list(rows)")
    assert ("a:3", "b:3") in pairs({"a": LOOP, "b": copy}, 8)
    assert pairs({"a": LOOP, "b": other}, 8) == []
    assert pairs({"a": LOOP, "b": copy}, 9) == []


def test_fields_are_the_same_where_their_names_are():
    fields = [f"    {name}: int = 0\n" for name in "abcdefghijkl"]
    one, same, other = ("class A:\n" + "".join(f) for f in (fields, fields, [f.replace("int", "str") for f in fields]))
    assert pairs({"a": one, "b": same})
    assert not pairs({"a": one, "b": other})
