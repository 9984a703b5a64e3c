"""The keyword arguments of a verb's function from a command line; jsonargparse checks them against its annotations.

Options are written with dashes or underscores. A ``bool`` is a switch. A list takes words, commas or repetitions: ``--format csv
coco``, ``--format csv,coco`` and ``--format csv --format coco`` are the same.
"""

import argparse
import dataclasses
import difflib
import functools
import inspect
import json
import operator
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from manypose.cli.config import ALLOWED, UsageError, denied, read_config
from manypose.cli.signature import Parameter, Verb

__all__ = ["CONFIG_OPTIONS", "UsageError", "Words", "arguments", "configured", "hint", "parse_config", "sort_words"]


Words = list[tuple[str, str]]
"""The options in their order: the name in Python (or a path such as ``saving.every``), and the words given for it."""


def sort_words(verb: Verb, argv: Sequence[str], extra: Sequence[Parameter] = ()) -> Words:
    """The command line as names and values. Nothing is imported and no value is checked.

    Args:
        verb: the verb that the words belong to.
        argv: the words that follow the verb.
        extra: further options.

    Raises:
        UsageError: an option is unknown or lacks its value, or there is a surplus word.
    """
    known = {p.name: p for p in (*verb.parameters, *extra)}
    places = [p for p in verb.parameters if p.positional]
    found: Words = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            words, rest = [], words
            found += _placed(places, rest)
        elif not word.startswith("-") or word == "-":
            found += _placed(places, [word])
        else:
            found += _option(word, words, known)
    return found


def _placed(places: list[Parameter], words: Sequence[str]) -> Words:
    found: Words = []
    for word in words:
        if not places:
            raise UsageError(f"unexpected argument {word!r}")
        found.append((places[0].name, word))
        if not places[0].many:
            places.pop(0)
    return found


def _option(word: str, rest: list[str], known: dict[str, Parameter]) -> Words:
    """One option with its values, which are removed from `rest`."""
    written, equals, value = word.partition("=")
    name = "out" if written == "-o" else written.removeprefix("--").replace("-", "_")
    p = known.get(name.split(".")[0])
    if p is None or not (written.startswith("--") or written == "-o"):
        raise UsageError(f"unknown option {written}{hint([written], [o for o in ('--' + n.replace('_', '-') for n in known)])}")
    if equals:
        return [(name, value)]
    if p.switch and name == p.name:
        return [(name, rest.pop(0) if rest and rest[0].lower() in ("true", "false") else "true")]
    if not rest or (rest[0].startswith("--") and len(rest[0]) > 2):
        raise UsageError(f"{written} needs a value")
    values = [rest.pop(0)]
    while p.many and rest and _fits(rest[0], p):
        values.append(rest.pop(0))
    return [(name, v) for v in values]


def _fits(word: str, p: Parameter) -> bool:
    """Whether a word is another value of the list, rather than the next source."""
    if p.choices:
        return all(part in p.choices for part in word.split(","))
    if p.kind not in ("int", "float"):
        return False
    try:
        return bool([float(part) for part in word.split(",")])
    except ValueError:
        return False


# ── verbs without a config ──


def arguments(function: Callable[..., Any], verb: Verb, words: Words) -> dict[str, Any]:
    """The keyword arguments of a function.

    Raises:
        UsageError: a value does not fit its annotation; the message says which, and what was expected.
    """
    from jsonargparse import ArgumentParser

    missing = [p for p in verb.parameters if p.required and p.name not in dict(words)]
    if missing:
        raise UsageError(f"missing: {', '.join(p.option if not p.positional else p.name.upper() for p in missing)}")
    parser = ArgumentParser(exit_on_error=False)
    hints = typing.get_type_hints(function)
    values: dict[str, Any] = {}
    for p in verb.parameters:
        given = [value for name, value in words if name == p.name]
        if given:
            kind = hints[p.name] if not p.owner else typing.get_type_hints(hints[p.owner])[p.name]
            parser.add_argument(f"--{p.name}", type=_typable(kind))
            text = json.dumps(_elements(given, p)) if p.many else given[-1]
            try:
                values[p.name] = parser.parse_args([f"--{p.name}={text}"])[p.name]
            except argparse.ArgumentError:
                wanted = f"one of {', '.join(p.choices)}" if p.choices else _WANTED.get(p.kind, p.kind)
                wrong = given[-1] if not p.many else next((g for g in _split(given, p) if not _right(g, p)), given[-1])
                raise UsageError(f"{p.option}: expected {wanted}, got {wrong}{hint([wrong], p.choices)}") from None
    defaults, built = inspect.signature(function).parameters, {}
    for owner in {p.owner for p in verb.parameters if p.owner}:
        given_fields = {p.name: values[p.name] for p in verb.parameters if p.owner == owner and p.name in values}
        built[owner] = dataclasses.replace(defaults[owner].default, **given_fields)
    return {**{p.name: values[p.name] for p in verb.parameters if not p.owner and p.name in values}, **built}


_WANTED = {"int": "a whole number", "float": "a number", "bool": "true or false", "Path": "a file", "str": "text"}


def _split(given: Sequence[str], p: Parameter) -> list[str]:
    """The elements of a list. Words of sources are not split, since file names may contain commas."""
    if p.positional:
        return list(given)
    parts = [part.strip() for word in given for part in word.removeprefix("[").removesuffix("]").split(",") if part.strip()]
    if given and not parts:
        raise UsageError(f"--{p.name.replace('_', '-')}: expected at least one value, got {given[0]}")
    return parts


def _elements(given: Sequence[str], p: Parameter) -> list[Any]:
    split = _split(given, p)
    return [yaml.safe_load(part) for part in split] if p.kind in ("int", "float", "bool") else split


def _right(word: str, p: Parameter) -> bool:
    return _fits(word, p) if p.choices or p.kind == "float" else word.lstrip("+-").isdecimal()


def _typable(kind: Any) -> Any:
    """An annotation without None and without classes of this package, which a command line cannot give."""
    parts = [k for k in typing.get_args(kind) if not (inspect.isclass(k) and (k is type(None) or k.__module__.startswith("manypose.")))]
    return functools.reduce(operator.or_, parts) if typing.get_origin(kind) in (typing.Union, types.UnionType) else kind


# ── verbs with a config ──

CONFIG_OPTIONS = (
    Parameter("config", kind="Path", default=None),
    Parameter("print_config", kind="bool", default=False),
    Parameter("allow_import", default=None),
    Parameter("allow_env", default=None),
)


def configured(function: Callable[..., Any], words: Words, prog: str) -> dict[str, Any]:
    """The keyword arguments that config files (``--config FILE.yaml``) and further options give a function, with all objects built.

    Raises:
        UsageError, ValueError, SystemExit: see `parse_config`.
    """
    parser, given = parse_config(function, words, prog)
    return {name: value for name, value in vars(parser.instantiate(given)).items() if name != "config"}


def parse_config(function: Callable[..., Any], words: Words, prog: str) -> tuple[Any, Any]:
    """jsonargparse's parser of a function, and the values that it read from config files and further options.

    Raises:
        UsageError: see `arguments`; the message names the place of a mistake in the config.
        ValueError: see `manypose.cli.config.read_config`.
        SystemExit: after ``--print-config``.
    """
    import jsonargparse

    allow_import = [value for name, value in words if name == "allow_import"]
    allow_env = [value for name, value in words if name == "allow_env"]
    jsonargparse.set_parsing_settings(
        import_path_denylist=["*"], import_path_allowlist=[*ALLOWED, *allow_import], instantiate_subclass_spec_in_any=False
    )
    parser = jsonargparse.ArgumentParser(prog=prog, exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(function, as_positional=False)
    dicts = {name for name, kind in typing.get_type_hints(function).items() if "dict[" in str(kind)}
    argv, mappings = [], {}
    for name, value in words:
        first, *path = name.split(".")
        if name == "config":
            tree = read_config(Path(value), allow_env, allow_import)
            mappings |= {key: tree[key] for key in dicts if isinstance(tree.get(key), dict)}
            argv.append(f"--config={json.dumps(tree)}")
        elif name == "tree":  # a config made by `manypose.cli.own_data`
            argv.append(f"--config={value}")
        elif first in dicts and path:  # jsonargparse would replace the whole dict `mimic` of the config by {"truth": False}
            mappings[first] = _changed(mappings.get(first) or {}, path, yaml.safe_load(value))
            argv.append(f"--{first}={json.dumps(mappings[first])}")
        elif not name.startswith("allow_") and name != "print_config":
            argv.append(f"--{name}={value}")
    argv += ["--print_config"] * any(name == "print_config" for name, _ in words)
    try:
        return parser, parser.parse_args(argv)
    except argparse.ArgumentError as e:
        raise UsageError(_explained(e, function)) from None


def _changed(tree: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of nested dicts with one value replaced."""
    first, *rest = path
    return {**tree, first: _changed(tree.get(first) or {}, rest, value) if rest else value}


def _explained(error: BaseException, function: Callable[..., Any]) -> str:
    """jsonargparse's nested error as one line: the place in the config and the mistake."""
    causes: list[str] = []
    inner: BaseException | None = error
    while inner is not None:
        causes.append(str(inner))
        if type(inner).__name__ == "ImportDenied":
            return f"{_place(causes[0])}{denied(str(inner).split(_QUOTE)[1])}"
        inner = inner.__cause__ or inner.__context__
    place = _place(causes[0])
    refused = next((said for said in reversed(causes) if "Option '" in said), "")
    if refused:
        option, names = refused.rsplit("Option '", 1)[1].split(_QUOTE)[0], list(inspect.signature(function).parameters)
        for mark in ("class_path '", "class_path='"):  # the class without this option is named by this message or an outer one
            owner = next((said for said in (causes[0], refused) if mark in said), "")
            if owner:
                names = list(inspect.signature(_named(owner.split(mark)[-1].split(_QUOTE)[0])).parameters)
        return f"{place}there is no {option!r}{hint([option], names)}"
    keyed = [i for i, said in enumerate(causes) if said.startswith('Parser key "')]
    return place + _expected(causes[min(keyed[-1] + 1, len(causes) - 1)] if keyed else causes[-1])


_QUOTE = "'"


def _place(said: str) -> str:
    """The place in the config, such as ``data.augment.size: ``."""
    keys = [part.split('"')[0] for part in said.split('Parser key "')[1:]]
    return "".join(f"{key}." for key in keys if key != "config")[:-1] + (": " if keys else "")


def _expected(said: str) -> str:
    """The allowed types of one value, and the value given, from jsonargparse's message."""
    parts = {line.strip().partition(": ")[0]: line.strip().partition(": ")[2] for line in said.splitlines()}
    kinds, given = parts.get("Subtypes", "").strip("[]").replace(", ", " or "), parts.get("Given value", "")
    if not kinds:
        kinds, _, given = " ".join(said.split()).partition(". Got value: ")
        kinds = kinds.removeprefix("Expected a ").removeprefix("Expected an ")
        if not given:
            return kinds
    if kinds.startswith("typing.Literal["):
        kinds = "one of " + kinds.removeprefix("typing.Literal").strip("[]").replace(_QUOTE, "")
    return f"expected {kinds.replace('<class ' + _QUOTE, '').replace(_QUOTE + '>', '')}, got {given}"


def hint(words: Sequence[str], known: Sequence[str]) -> str:
    """A suggestion for the first of `words` that resembles one of `known`; empty if none does."""
    near = [found for word in words for found in difflib.get_close_matches(word, known, 1)]
    return f"; did you mean {near[0]}?" if near else ""


def _named(path: str) -> Any:
    from importlib import import_module

    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)
