"""The parameters of a verb's function, read from its source, so that `--help` and usage errors need no PyTorch.

A parameter before the ``*`` is positional, one after it is an option. The fields of a dataclass parameter, such as ``options:
PredictOptions``, are options of the verb. The docstrings of functions and dataclasses are their help.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["Parameter", "Verb", "read_verb"]

REQUIRED = object()
_PLAIN = ("str", "int", "float", "bool", "Path")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a verb.

    Args:
        name: its name in Python.
        text: its description in the docstring, on one line.
        kind: the name of a plain type (`str`, `int`, `float`, `bool`, `Path`) or of a class; of a list, that of its elements.
        default: its default; `REQUIRED` if it has none; the source text of an expression.
        positional: whether it is given by position.
        many: whether it is a list.
        choices: the allowed values, if they are limited.
        owner: the dataclass parameter that it is a field of.
        parts: the fields of a dataclass that a config describes.
    """

    name: str
    text: str = ""
    kind: str = "str"
    default: Any = REQUIRED
    positional: bool = False
    many: bool = False
    choices: tuple[str, ...] = ()
    owner: str = ""
    parts: tuple["Parameter", ...] = ()

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is REQUIRED

    @property
    def switch(self) -> bool:
        """Whether it takes no value on the command line."""
        return self.kind == "bool" and not self.many

    @property
    def built(self) -> bool:
        """Whether its value is an object built from a config."""
        return self.kind not in _PLAIN and not self.choices

    @property
    def option(self) -> str:
        """Its name on a command line."""
        return self.name if self.positional else "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class Verb:
    """A function of the command line: its summary and its parameters."""

    summary: str
    parameters: tuple[Parameter, ...]

    def find(self, name: str) -> Parameter | None:
        """The parameter of that name in Python."""
        return next((p for p in self.parameters if p.name == name), None)


def read_verb(place: str, flatten: bool = True) -> Verb:
    """The verb of the function ``module:name``, without importing its module.

    Args:
        place: ``module:name`` of the function.
        flatten: replace dataclass parameters by their fields; otherwise they are objects built from a config.
    """
    module, _, name = place.partition(":")
    node, where = _definition(name, module)
    assert isinstance(node, ast.FunctionDef), f"{place} is not a function"
    summary, texts = _docstring(node)
    arguments = node.args
    first = [None] * (len(arguments.args) - len(arguments.defaults))
    pairs = [
        *zip(arguments.args, [*first, *arguments.defaults], strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    found: list[Parameter] = []
    for a, default in pairs:
        fields = tuple(_fields(a.annotation, default, where, a.arg))
        if fields and flatten:
            found += fields
        else:
            more = {"positional": a in arguments.args, "parts": fields}
            found.append(_parameter(a.arg, a.annotation, default, texts.get(a.arg, ""), where, **more))
    return Verb(summary, tuple(found))


def _parameter(name: str, kind: ast.expr | None, default: ast.expr | None, text: str, module: str, **more: Any) -> Parameter:
    word, many, choices = _kind(kind, module)
    return Parameter(name, text, word, REQUIRED if default is None else _value(default, module), many=many, choices=choices, **more)


def _fields(kind: ast.expr | None, default: ast.expr | None, module: str, owner: str) -> Iterator[Parameter]:
    """The fields of a dataclass, with their values in `default`; empty if the annotation is not a dataclass."""
    if not isinstance(kind, ast.Name):
        return
    node, where = _definition(kind.id, module)
    if not isinstance(node, ast.ClassDef) or not any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        return
    _, texts = _docstring(node)
    made, place = _definition(default.id, module) if isinstance(default, ast.Name) else (default, module)
    other = {k.arg: k.value for k in made.keywords} if isinstance(made, ast.Call) else {}
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            name = line.target.id
            found = _parameter(name, line.annotation, line.value, texts.get(name, ""), where, owner=owner)
            yield replace(found, default=_value(other[name], place)) if name in other else found


def _kind(node: ast.expr | None, module: str) -> tuple[str, bool, tuple[str, ...]]:
    """The name of a type, whether it is a list, and its choices; for a union, the first member that a command line can give."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    if isinstance(node, ast.BinOp):
        left, right = _kind(node.left, module), _kind(node.right, module)
        return left if left[0] != "None" and (left[0] in _PLAIN or left[2] or right[0] == "None") else right
    if isinstance(node, ast.Subscript):
        inside = node.slice
        if ast.unparse(node.value) == "Literal":
            return "str", False, tuple(str(ast.literal_eval(e)) for e in (inside.elts if isinstance(inside, ast.Tuple) else [inside]))
        if ast.unparse(node.value) in ("list", "tuple", "Sequence"):
            element = inside.elts[0] if isinstance(inside, ast.Tuple) else inside
            return _kind(element, module)[0], True, _kind(element, module)[2]
        return ast.unparse(node.value), False, ()
    if isinstance(node, ast.Name) and node.id not in _PLAIN:
        value, where = _definition(node.id, module)
        if isinstance(value, ast.expr):  # a name for a type, such as How = Literal[...]
            return _kind(value, where)
    return (ast.unparse(node) if node is not None else "str"), False, ()


def _value(node: ast.expr, module: str) -> Any:
    """A default: its value if it is a constant or the name of one, else its source text."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        pass
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "Path" and node.args:
        return Path(ast.literal_eval(node.args[0]))
    if isinstance(node, ast.Name):
        value, where = _definition(node.id, module)
        if isinstance(value, ast.expr):
            return _value(value, where)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):  # a field's default, such as PredictOptions.min_score
        field = next((p for p in _fields(node.value, None, module, "") if p.name == node.attr), None)
        return ast.unparse(node) if field is None else field.default
    return ast.unparse(node)


def _definition(name: str, module: str) -> tuple[ast.AST | None, str]:
    """The definition of a module's name (a function, a class or an expression), and the module that contains it."""
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node, module
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return node.value, module
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            return node.value, module
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("manypose"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _definition(alias.name, node.module or "")
    return None, module


@cache
def _tree(module: str) -> ast.Module:
    """The syntax tree of a module; those of this package are found without importing their parent packages."""
    first, *rest = module.split(".")
    if first == "manypose":
        base = Path(__file__).parents[1].joinpath(*rest)
        file = base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"
    else:
        spec = find_spec(module)
        file = Path(spec.origin if spec is not None and spec.origin is not None else module)
    return ast.parse(file.read_text(encoding="utf-8"))


def _docstring(node: ast.FunctionDef | ast.ClassDef) -> tuple[str, dict[str, str]]:
    """The first sentence or line of a docstring, and the descriptions in its ``Args`` by name."""
    first, *rest = (ast.get_docstring(node) or "").splitlines() or [""]
    texts: dict[str, str] = {}
    name, inside = "", False
    for line in rest:
        if not line.startswith(" ") and line.strip():
            inside = line.strip() == "Args:"
        elif inside and line.startswith("    ") and not line.startswith("     "):
            name, _, said = line.strip().partition(":")
            texts[name] = said.strip()
        elif inside and line.strip():
            texts[name] += " " + line.strip()
    return first, {name: said.replace("`", "") for name, said in texts.items()}
