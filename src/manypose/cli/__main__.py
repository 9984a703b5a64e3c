"""The command line: ``manypose VERB …``. Each verb is a typed function; only the one that is called is imported.

Whatever goes wrong is one line on stderr and an exit code that is not zero: 2 where the command line is wrong, 1 elsewhere, 130 after
Ctrl-C. ``MANYPOSE_DEBUG=1`` shows where an error came from.
"""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from manypose import __version__

__all__ = ["VERBS", "main"]

VERBS: dict[str, tuple[str, str]] = {
    "predict": ("manypose.cli.predict:predict", "find the people in photos and videos"),
    "train": ("manypose.training.train:train", "train a model from a config, or go on with a training that was stopped"),
    "evaluate": ("manypose.evaluation.evaluate:evaluate", "measure a model, or results, on a data set"),
    "label": ("manypose.training.self_training:label", "annotate the people whom a data set leaves out, to train on (self-training)"),
    "convert": ("manypose.cli.convert:convert", "turn a published checkpoint into .safetensors"),
    "export": ("manypose.cli.export:export", "write a model's network as an ONNX file"),
    "models": ("manypose.cli.models:models", "list the models, their size, cost and figures"),
    "bench decode": ("manypose.cli.bench:decode", "how long grouping takes, against the number of people"),
    "bench network": ("manypose.cli.bench:network", "how long a network takes, against the input's size"),
    "bench train": ("manypose.cli.bench:train", "how many photos a second a training gets through"),
    "prn train": ("manypose.methods.multiposenet.prn_train:train", "train a Pose Residual Network on annotations alone"),
    "prn detect": ("manypose.cli.prn_detect:detect", "a MultiPoseNet's detections on annotated photos, for prn train"),
    "prn join": ("manypose.cli.join_prn:join", "put a Pose Residual Network into a MultiPoseNet's weights file"),
    "grouping train": ("manypose.methods.simple.grouping_train:train", "train SIMPLE's grouping CNN on annotations alone, from a config"),
    "doctor": ("manypose.cli.doctor:doctor", "what is installed, and whether it works"),
    "doctor data": ("manypose.cli.doctor:data", "check a data set and say what is wrong with it, by id"),
}

FROM_CONFIG = ("train", "grouping train")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: the process's); gives the exit code."""
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # here and not at exit, where a broken pipe could not be caught
        return code
    except KeyboardInterrupt:
        print("manypose: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - else Python complains at exit that it cannot flush
        return 141
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except Exception as e:
        return _failed(e)


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        print(f"manypose {__version__}")
        return 0
    verb = max((v for v in VERBS if argv[: len(v.split())] == v.split()), key=len, default=None)
    if verb is None:
        return _no_verb(argv)
    _quiet()
    rest, prog = argv[len(verb.split()) :], f"manypose {verb}"
    from manypose.cli.arguments import bind, configure

    function = _load(verb)
    positional, named = ([], configure(function, rest, prog)) if verb in FROM_CONFIG else bind(function, rest, prog)
    code = function(*positional, **named)
    return code if isinstance(code, int) else 0


def _load(verb: str) -> Callable[..., Any]:
    module, _, name = VERBS[verb][0].partition(":")
    return getattr(import_module(module), name)


def _usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb.ljust(width)}  {summary}" for verb, (_, summary) in VERBS.items())
    return (
        f"manypose {__version__}: every person in a photo or video, their 2D keypoints\n\n"
        f"usage: manypose VERB …; manypose VERB --help says more\n\n{verbs}\n"
    )


def _no_verb(argv: list[str]) -> int:
    from manypose.cli.arguments import hint

    under = [v for v in VERBS if v.split()[0] == argv[0]]
    if under and len(argv) > 1 and argv[1] in ("-h", "--help"):
        print("\n".join(f"manypose {v}: {VERBS[v][1]}" for v in under))
        return 0
    if under:
        there = ", ".join(v.split()[1] for v in under)
        return _fail(f"manypose {argv[0]} needs one of {there}", 2)
    near = hint(argv[:1], [v.split()[0] for v in VERBS]) or f"; there are {', '.join(dict.fromkeys(v.split()[0] for v in VERBS))}"
    return _fail(f"no verb {argv[0]!r}{near}", 2)


# ── one line ──


def _fail(message: str, code: int = 1) -> int:
    print(f"manypose: error: {message}", file=sys.stderr)
    return code


def _failed(error: Exception) -> int:
    """The one line of an error, and the exit code."""
    if os.environ.get("MANYPOSE_DEBUG"):
        traceback.print_exception(error)
    usage = type(error).__name__ == "UsageError"  # by name: a quick `--help` does not import where it is defined
    expected = (ValueError, OSError, ImportError, ArithmeticError, MemoryError)
    if isinstance(error, OSError) and error.strerror:
        said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif type(error).__name__ == "OutOfMemoryError":
        said = "the device's memory is too small; give a smaller --batch-size or --device cpu"
    elif usage or isinstance(error, expected):
        said = str(error) or type(error).__name__
    else:
        said = f"{type(error).__name__}: {error} (a defect of manypose: MANYPOSE_DEBUG=1 shows where; please report it)"
    line = " ".join(said.split())
    return _fail(line if len(line) <= 800 else line[:797] + "...", 2 if usage else 1)


def _quiet() -> None:
    """Warnings and the log as one line each."""

    def show(message, category, *_: object, **__: object) -> None:
        if issubclass(category, UserWarning):
            print(f"manypose: warning: {' '.join(str(message).split())}", file=sys.stderr)

    warnings.showwarning = show
    logging.basicConfig(format="manypose: %(message)s", level=logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
