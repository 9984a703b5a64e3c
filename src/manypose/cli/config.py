"""Configs: YAML files in which ``${NAME}`` and ``${NAME:-default}`` are replaced by environment variables, as in a shell.

All configs find the data through one variable: ``MANYPOSE_DATA=/data manypose train --config FILE.yaml``. A config may come from an
untrusted place, so it can read only variables whose name starts with ``MANYPOSE_`` and those that the command line allows, and it can
name only classes of manypose and torch.optim, and of modules that the command line allows. Anything else is refused before any import.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = ["ALLOWED", "denied", "fill_in", "read_config", "refuse_foreign"]

ALLOWED = ("manypose", "torch.optim")
"""The modules whose classes and functions a config may name."""

_OPENED = re.compile(r"\$\{(?:(\w+)(:-|(?=\}))|(?=.))")


class UsageError(Exception):
    """The command line or its config file is wrong; the message is one line."""


def read_config(file: Path, allow_env: Collection[str] = (), allow_import: Collection[str] = ()) -> dict[str, Any]:
    """The content of a config file, with its variables replaced.

    Raises:
        UsageError: no such file, or it is not a YAML mapping.
        ValueError: the file needs a variable that is not set or not allowed, or names a class that is not allowed.
    """
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as e:
        raise UsageError(f"{file}: no such config, or it cannot be read ({e.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as e:
        raise UsageError(f"{file}: not YAML: {e}") from None
    if not isinstance(tree, dict):
        raise UsageError(f"{file}: a config is a YAML mapping of options, such as 'model: swahr-w32'; got {type(tree).__name__}")
    try:
        tree = _map_strings(tree, lambda text: _scalar(text, fill_in(text, allow_env)))
        refuse_foreign(tree, allow_import)
    except ValueError as e:
        raise ValueError(f"{file}: {e}") from None
    return tree


def fill_in(text: str, allow_env: Collection[str] = ()) -> str:
    """The text with its variables replaced; a default may contain variables too.

    Raises:
        ValueError: a variable is not allowed, or has no default and is not set.
    """
    if "${" not in text:
        return text
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    def translated(found: re.Match[str]) -> str:
        name, default = found.groups()
        if name is None:
            raise ValueError(f"{text!r}: a config supports only ${{NAME}} and ${{NAME:-default}}")
        if not name.startswith("MANYPOSE_") and name not in allow_env:
            raise ValueError(f"a config may read only MANYPOSE_… variables; {name} needs the option --allow-env {name}")
        return f"${{manypose.variable:{name}{',' if default else ''}"

    OmegaConf.register_resolver("manypose.variable", _variable, replace=True, annotation_validation="off")
    try:
        filled = OmegaConf.create({"text": _OPENED.sub(translated, text)}).text
    except OmegaConfBaseException as e:
        raise ValueError(f"{text!r}: {' '.join(str(e.__cause__ or e).split())}") from None
    return "" if filled is None else str(filled)


def _scalar(text: str, filled: str) -> Any:
    """A value that is a single variable may become a number, as if the number stood in the file."""
    value = yaml.safe_load(filled) if text.startswith("${") and text.endswith("}") and text.count("$") == 1 else filled
    return value if isinstance(value, int | float) else filled


def _variable(name: str, *default: Any) -> str:
    value = os.environ.get(name)
    if not value and not default:
        raise ValueError(f"the config needs the environment variable {name}, which is not set; give {name}=… before the command")
    return value or ("" if default[0] is None else str(default[0]))


def _map_strings(tree: Any, change: Callable[[str], Any]) -> Any:
    if isinstance(tree, dict):
        return {key: _map_strings(value, change) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_map_strings(value, change) for value in tree]
    return change(tree) if isinstance(tree, str) else tree


def refuse_foreign(tree: Any, allow_import: Collection[str] = ()) -> None:
    """Check that every ``class_path`` of a config may be imported; nothing is imported here.

    Raises:
        ValueError: a class is not allowed; the message says how to allow it.
    """
    for path in _class_paths(tree):
        if "." in path and not any(path.startswith(f"{module}.") for module in (*ALLOWED, *allow_import)):
            raise ValueError(denied(path))


def denied(path: str) -> str:
    """The error message for a class or function that a config may not name."""
    return (
        f"a config may name only classes of {' and '.join(ALLOWED)}, not {path!r}; "
        f"if you trust it, give --allow-import {path.partition('.')[0]}"
    )


def _class_paths(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get("class_path"), str):
            yield tree["class_path"]
        for value in tree.values():
            yield from _class_paths(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _class_paths(value)
