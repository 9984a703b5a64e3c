"""A command line from a typed function: its parameters are the arguments, its docstring the help.

Parameters before the ``*`` are positional (a list: one or more), those after it are options. A ``bool`` that is False is a switch, a
list is given with commas: ``--scales 0.5,1``. jsonargparse checks values against the annotations.
"""

import argparse
import difflib
import functools
import inspect
import operator
import re
import types
import typing
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import yaml
from docstring_parser import parse as parse_docstring
from jsonargparse import ActionConfigFile, ArgumentParser

from manypose.cli.config import read_environment

__all__ = ["UsageError", "bind", "configure", "hint"]


class UsageError(Exception):
    """The command line is wrong; the message is one line."""


def bind(function: Callable, argv: Sequence[str], prog: str) -> tuple[list[Any], dict[str, Any]]:
    """The positional and keyword arguments that a command line gives a function.

    Raises:
        UsageError: they do not fit; the message says which, and what was perhaps meant.
        SystemExit: after ``--help``.
    """
    parser, lists = _parser(function, prog)
    try:
        given = vars(parser.parse_args(_bracketed(argv, lists)))
    except argparse.ArgumentError as e:
        raise UsageError(_said(e, parser)) from None
    kinds = {p.name: p.kind for p in inspect.signature(function).parameters.values()}
    positional = [given[name] for name, kind in kinds.items() if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return positional, {name: given[name] for name, kind in kinds.items() if kind is inspect.Parameter.KEYWORD_ONLY}


def configure(function: Callable, argv: Sequence[str], prog: str) -> dict[str, Any]:
    """The keyword arguments that a config file (``--config FILE.yaml``) and further options give a function, its classes built.

    Raises:
        UsageError: as of `bind`; a mistake in a config is named by its place in it.
        SystemExit: after ``--help`` and ``--print_config``.
    """
    read_environment()
    parser = ArgumentParser(prog=prog, description=parse_docstring(function.__doc__ or "").short_description, exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile, help="a YAML file with any of the options below; later options overrule it")
    parser.add_function_arguments(function, as_positional=False)
    shallow, deep = _deep(function, argv)
    try:
        given = parser.parse_args(shallow)
    except argparse.ArgumentError as e:
        file = next((b for a, b in pairwise(argv) if a == "--config"), "the config")
        raise UsageError(_explained(e, function, parser).replace("Problems parsing config:", f"{file}: not YAML:")) from None
    made = {k: v for k, v in vars(parser.instantiate(given)).items() if k != "config"}
    for (first, *between, last), value in deep:
        at = made[first] = dict(made[first] or {})
        for key in between:
            at[key] = at = dict(at.get(key) or {})
        at[last] = value
    return made


def _deep(function: Callable, argv: Sequence[str]) -> tuple[list[str], list[tuple[list[str], Any]]]:
    """The command line without the options that reach into a dict's dicts (``--model_args.mimic.truth false``), and these.

    jsonargparse would put ``{"truth": False}`` in place of all that the config says of ``mimic``.
    """
    dicts = {name for name, kind in typing.get_type_hints(function).items() if "dict[" in str(kind)}
    shallow: list[str] = []
    deep: list[tuple[list[str], Any]] = []
    words = iter(argv)
    for word in words:
        option, equals, value = word.partition("=")
        path = option.removeprefix("--").split(".")
        if option.startswith("--") and path[0] in dicts and len(path) > 2:
            deep.append((path, yaml.safe_load(value if equals else next(words, ""))))
        else:
            shallow.append(word)
    return shallow, deep


def _explained(error: Exception, function: Callable, parser: ArgumentParser) -> str:
    """jsonargparse's chain of messages as the place in the config and what is wrong there."""
    text = " ".join(str(error).split())
    keys, classes = re.findall(r'Parser key "([\w.]+)":', text), re.findall(r"Problem with given class_path '([\w.]+)'", text)
    place = ".".join(keys) + ": " if keys else ""
    option = re.search(r"Option '([\w.]+)' is not accepted", text)
    if option:
        owner = _named(classes[-1]) if classes else function
        return f"{place}there is no {option[1]!r}" + hint([option[1]], list(inspect.signature(owner).parameters))
    union = re.search(r"Subtypes: \[([^\]]*)\] Errors:.* Given value: (\S+?)\.? ", text + " ")
    last = _said(argparse.ArgumentError(None, re.split(r'Parser key "[\w.]+":', text)[-1].strip()), parser)
    if union and "expected" not in last.split(" - ")[0]:
        return f"{place}expected {_plain(union[1]).replace(', ', ' or ')}, got {union[2]}"
    noise = r"Problem with given class_path '[\w.]+': |Type collections\.abc\.Callable\[.*\] expects a function or a callable class: "
    return place + re.sub(noise, "", last).partition(". Got value: Namespace")[0]


def _parser(function: Callable, prog: str) -> tuple[ArgumentParser, set[str]]:
    doc, hints = parse_docstring(function.__doc__ or ""), typing.get_type_hints(function)
    said = {p.arg_name: " ".join((p.description or "").split()).replace("`", "").replace("%", "percent") for p in doc.params}
    parser = ArgumentParser(prog=prog, description=doc.short_description, exit_on_error=False, allow_abbrev=False)
    lists = set()
    for p in inspect.signature(function).parameters.values():
        kind = _typable(hints[p.name])
        many = typing.get_origin(kind) is list
        more = {"help": said.get(p.name), **({} if p.default is p.empty else {"default": p.default})}
        if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            # A list `sources` is shown as SOURCE, one or more of them.
            how = {"nargs": "+" if p.default is p.empty else "*", "type": str} if many else {"type": kind}
            parser.add_argument(p.name, metavar=(p.name[:-1] if many else p.name).upper(), **how, **more)
            continue
        option = "--" + p.name.replace("_", "-")
        if kind is bool and p.default is False:
            parser.add_argument(option, action="store_true", **more)
        else:
            parser.add_argument(option, type=kind, required=p.default is p.empty, **more)
        if many or any(typing.get_origin(k) is list for k in typing.get_args(kind)):
            lists.add(option)
    return parser, lists


def _typable(kind: Any) -> Any:
    """An annotation without None and the classes of our own, which only a program can give."""
    parts = [k for k in typing.get_args(kind) if not (inspect.isclass(k) and (k is type(None) or k.__module__.startswith("manypose.")))]
    return functools.reduce(operator.or_, parts) if typing.get_origin(kind) in (typing.Union, types.UnionType) else kind


def _bracketed(argv: Sequence[str], lists: set[str]) -> list[str]:
    """``--scales 0.5,1`` as jsonargparse reads lists: ``--scales [0.5,1]``."""
    out: list[str] = []
    for word in argv:
        option, equals, value = word.partition("=")
        if option in lists and equals and not value.startswith("["):
            word = f"{option}=[{value}]"
        elif out and out[-1] in lists and not word.startswith(("[", "--")):
            word = f"[{word}]"
        out.append(word)
    return out


def _said(error: argparse.ArgumentError, parser: ArgumentParser) -> str:
    """jsonargparse's message as one line in the user's words."""
    text = " ".join(str(error).split())
    text = re.sub(r'Parser key "(\w+)":', lambda m: f"--{m[1].replace('_', '-')}:", text)
    text = re.sub(r"[Ee]xpected (?:an? )?(.+?)\. Got value: ", r"expected \1, got ", _plain(text))
    known = [o for action in parser._actions for o in action.option_strings]
    return text + hint([w for w in re.findall(r"--[\w-]+", text) if w not in known], known)


def _plain(text: str) -> str:
    """Types as their names."""
    text = re.sub(r"typing\.Literal\[(.*?)\]", lambda m: "one of " + m[1].replace("'", ""), text)
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)


def hint(words: Sequence[str], known: Sequence[str]) -> str:
    """What was perhaps meant by the first of `words` that is like one of `known`; empty where none is."""
    for word in words:
        near = difflib.get_close_matches(word, known, 1)
        if near:
            return f"; did you mean {near[0]}?"
    return ""


def _named(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)
