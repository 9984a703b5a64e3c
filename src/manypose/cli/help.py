"""The text of ``manypose VERB --help``; argparse wraps it to the width of the terminal."""

import argparse
import os
import shutil

from manypose.cli.own_data import SHORTHANDS
from manypose.cli.signature import Parameter, Verb

__all__ = ["page"]

_KINDS = {"int": "N", "float": "X", "Path": "FILE", "str": "TEXT", "bool": "{true,false}"}
_TITLES = {"options": "prediction", "part": "frames of a video"}


def page(verb: Verb, prog: str, config: bool) -> str:
    """The help of a verb.

    Args:
        verb: the verb.
        prog: the command that calls it.
        config: whether it takes a config file with any of its options.
    """
    # Positional words of a verb with a config are options too.
    positional = [] if config else [p for p in verb.parameters if p.positional]
    options = [p for p in verb.parameters if p not in positional]
    words = " ".join(_place(p) for p in positional)
    own = config and verb.find("schedule") is not None
    file = "--data SET.yaml | --config FILE.yaml " if own else "--config FILE.yaml " if config else ""
    usage = f"{prog} {file}{words + ' ' if words else ''}[options]"
    width = min(100, int(os.environ.get("COLUMNS") or shutil.get_terminal_size((80, 24)).columns))
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=usage,
        description=_sentence(verb.summary),
        add_help=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=24, width=width),
    )
    group = parser.add_argument_group("inputs") if positional else None
    for p in positional:
        assert group is not None
        group.add_argument(p.name, metavar=_place(p), help=_explained(p))
    group = parser.add_argument_group("options")
    if config:
        _config_options(group)
    for p in SHORTHANDS if own else ():
        group.add_argument("--" + p.name.replace("_", "-"), metavar=_metavar(p), help=_explained(p))
    groups = {"": group}
    for p in (part for option in options for part in (option.parts or [option])):
        if not config and p.owner not in groups:
            groups[p.owner] = parser.add_argument_group(_TITLES.get(p.owner, p.owner))
        group = groups[p.owner] if not config else group
        flags = (["-o"] if p.name == "out" else []) + ["--" + (f"{p.owner}.{p.name}" if config and p.owner else p.name).replace("_", "-")]
        if p.switch and not p.default:
            group.add_argument(*flags, action="store_true", help=_explained(p))
        else:
            group.add_argument(*flags, metavar=_metavar(p), help=_explained(p))
    group = parser.add_argument_group("every verb")
    if verb.find("quiet") is None:
        group.add_argument("-q", "--quiet", action="store_true", help="Print errors only.")
    group.add_argument("-v", "--verbose", action="store_true", help="Print the log, and the traceback of an error.")
    group.add_argument("-h", "--help", action="store_true", help="Print this page.")
    return parser.format_help()


def _config_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--config", metavar="FILE", help="A YAML file with any of the options below; options that follow it override it.")
    group.add_argument("--print-config", action="store_true", help="Print the whole config with all defaults, and exit.")
    group.add_argument(
        "--allow-import",
        metavar="MODULE",
        help="Allow the config to name classes of this module; manypose and torch.optim are always allowed. May be repeated.",
    )
    group.add_argument(
        "--allow-env",
        metavar="NAME",
        help="Allow the config to read this environment variable as ${NAME}; MANYPOSE_… are always allowed. May be repeated.",
    )


def _place(p: Parameter) -> str:
    """A positional parameter in the usage: SOURCE for a list of sources."""
    word = (p.name[:-1] if p.many else p.name).upper()
    return f"{word if p.required else f'[{word}'}{' ...' if p.many else ''}{'' if p.required else ']'}"


def _metavar(p: Parameter) -> str:
    if p.choices:
        word = "{" + ",".join(p.choices) + "}"
    elif p.built:
        word = "VALUE"
    else:
        word = "DIR" if p.kind == "Path" and p.text.lower().removeprefix("the ").startswith("folder") else _KINDS[p.kind]
    return f"{word} ..." if p.many else word


def _explained(p: Parameter) -> str:
    """A parameter's sentence, with its default."""
    said = _sentence(p.text)
    if p.built:
        said = f"{said} Set its fields by options such as --{p.name.replace('_', '-')}.NAME VALUE.".strip()
    elif p.required and not p.positional:
        said += " Required."
    elif p.default not in (None, False, "") and not p.required and "default" not in p.text.lower():
        shown = " ".join(map(str, p.default)) if isinstance(p.default, list | tuple) else p.default
        said += f" Default: {shown}." if shown else ""
    return said.replace("%", "%%")


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", "!", "?")) else ".")
