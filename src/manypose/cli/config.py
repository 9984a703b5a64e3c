"""Configs: YAML in which ``${NAME}`` and ``${NAME:-default}`` are taken from the environment, as in a shell.

So one variable says where the data lie, whatever the config: ``MANYPOSE_DATA=/data manypose train --config FILE.yaml``.
"""

import os
import re

import jsonargparse
import yaml

__all__ = ["fill_in", "read_environment"]

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def fill_in(text: str) -> str:
    """The text with its variables replaced.

    Raises:
        ValueError: a variable without default is not set.
    """

    def value(found: re.Match[str]) -> str:
        name, default = found.groups()
        if not os.environ.get(name) and default is None:
            raise ValueError(f"the config needs the environment variable {name}, which is not set; give {name}=… before the command")
        return os.environ.get(name) or default

    return _VARIABLE.sub(value, text)


def read_environment() -> None:
    """Make jsonargparse fill in variables in all configs that it reads from now on."""
    plain = jsonargparse.get_loader("yaml")
    if getattr(plain, "fills_in", False):
        return

    def load(text: str):
        return plain(fill_in(text))

    load.fills_in = True
    jsonargparse.set_loader("yaml", load, (yaml.YAMLError,))
