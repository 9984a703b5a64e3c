"""The command line: ``manypose VERB …``. Each verb is a typed function; only the one that is called is imported.

Every error is one line on stderr and a non-zero exit code: 2 for a wrong command line, 1 for any other error, 130 after Ctrl-C.
``MANYPOSE_DEBUG=1`` prints the traceback too.
"""

import os
import sys

if __name__ == "__main__" and sys.path[:1] == [os.getcwd()]:
    # `python -m` looks for modules in the working folder first, which may hold somebody else's files.
    del sys.path[0]

import logging
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from importlib import import_module
from typing import Any

from manypose import __version__
from manypose.cli.arguments import CONFIG_OPTIONS, arguments, configured, hint, sort_words
from manypose.cli.help import page
from manypose.cli.own_data import SHORTHANDS, expanded
from manypose.cli.signature import Parameter, Verb, read_verb
from manypose.io.extras import missing_extra
from manypose.io.printable import printable

__all__ = ["VERBS", "main"]

VERBS: dict[str, tuple[str, str]] = {
    "predict": ("manypose.cli.predict:predict", "find the people in photos and videos"),
    "train": ("manypose.training.train:train", "train a model on your own data or from a config; an interrupted run resumes"),
    "evaluate": ("manypose.evaluation.evaluate:evaluate", "evaluate a model, or result files, on a data set"),
    "label": (
        "manypose.training.self_training:label",
        "annotate people that a data set misses, to train on them (self-training)",
    ),
    "cluster predict": ("manypose.cli.cluster:predict", "find the people in millions of photos and videos, on many machines"),
    "cluster status": ("manypose.cli.cluster:status", "show the progress of a cluster job"),
    "cluster merge": ("manypose.cli.cluster:merge", "write a cluster job's results as result files, such as coco.json"),
    "cluster evaluate": ("manypose.evaluation.cluster:evaluate", "evaluate a model on a data set, on many machines"),
    "cluster label": (
        "manypose.training.self_training_cluster:label",
        "annotate people that a data set misses, on many machines",
    ),
    "convert": ("manypose.cli.convert:convert", "convert a published checkpoint to .safetensors"),
    "export": ("manypose.cli.export:export", "write a model's network as an ONNX file"),
    "serve": ("manypose.serve.command:serve", "serve photos and videos over HTTP, with a page that shows the people"),
    "models": ("manypose.cli.models:models", "list the models with their size, cost and accuracy"),
    "bench decode": ("manypose.cli.bench:decode", "measure decoding time by the number of people"),
    "bench network": ("manypose.cli.bench:network", "measure the time of a network by the size of its input"),
    "bench pipeline": ("manypose.cli.bench_pipeline:pipeline", "measure each step of prediction, from a photo file to poses"),
    "bench train": ("manypose.cli.bench:train", "measure the time of a training step"),
    "prn train": ("manypose.training.prn:train", "train a Pose Residual Network on annotations alone"),
    "prn detect": ("manypose.cli.prn_detect:detect", "write a MultiPoseNet's detections on annotated photos, for prn train"),
    "prn join": ("manypose.cli.join_prn:join", "put a Pose Residual Network into a MultiPoseNet's weights file"),
    "grouping train": ("manypose.training.grouping:train", "train SIMPLE's grouping CNN on annotations alone, from a config"),
    "doctor": ("manypose.cli.doctor:doctor", "report what is installed and whether it works"),
    "doctor skeleton": ("manypose.cli.doctor_skeleton:show", "show the joints, limbs and mirror pairs of a skeleton"),
    "doctor data": ("manypose.cli.doctor:data", "check a data set and list its problems, by id"),
}

RESUMES = (("predict",), ("label",), ("train",), ("prn", "train"), ("grouping", "train"))
"""The verbs that always keep a record of what is finished."""

FROM_CONFIG = ("train", "grouping train")
"""The verbs that take a config file."""

SERVE = Parameter(
    "serve",
    "with --analyze: show annotations and results on a web page, worst first",
    kind="bool",
    default=False,
)
"""An option of ``evaluate``; it is added here because `evaluation` may not import `serve`."""

QUIET = Parameter("quiet", kind="bool", default=False)
VERBOSE = Parameter("verbose", kind="bool", default=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: ``sys.argv``) and return the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(argv)
        sys.stdout.flush()  # not at exit, where a broken pipe could not be caught
        return code
    except KeyboardInterrupt:
        goes_on = any(tuple(argv[: len(verb)]) == verb for verb in RESUMES)
        print("manypose: interrupted" + ("; the same command resumes" if goes_on else ""), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - else Python complains at exit that it cannot flush
        return 141
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except Exception as e:
        return _failed(e)


def _run(argv: list[str]) -> int:
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    if argv[0] in ("-V", "--version", "version"):
        print(f"manypose {__version__}")
        return 0
    name = max((v for v in VERBS if argv[: len(v.split())] == v.split()), key=len, default=None)
    if name is None:
        return _no_verb(argv)
    rest, prog = argv[len(name.split()) :], f"manypose {name}"
    config = name in FROM_CONFIG
    verb = read_verb(VERBS[name][0], flatten=not config)
    verb = replace(verb, parameters=(*verb.parameters, SERVE)) if name == "evaluate" else verb
    if any(word in ("-h", "--help") for word in rest):
        print(page(verb, prog, config), end="")
        return 0
    needed = [p for p in verb.parameters if p.positional]
    if not rest and needed and not config:
        print(page(verb, prog, config).partition("\n\n")[0], file=sys.stderr)
        return _fail(f"missing: {', '.join(p.name.removesuffix('s').upper() for p in needed)}; {prog} --help explains the options", 2)
    if not rest and name == "train":  # the errors of a config name options that the short form does not have
        return _fail(f"missing: --data SET.yaml --model NAME --out DIR, or --config FILE.yaml; {prog} --help explains the options", 2)
    words = sort_words(verb, [{"-q": "--quiet", "-v": "--verbose"}.get(word, word) for word in rest], _shared(verb, config))
    quiet, verbose = (dict(words).get(name, "false").lower() == "true" for name in ("quiet", "verbose"))
    _say(quiet, verbose)
    words = [(name, value) for name, value in words if verb.find(name.split(".")[0]) or name not in ("quiet", "verbose")]
    serving = name == "evaluate" and dict(words).get("serve", "false").lower() == "true"
    if serving and dict(words).get("analyze", "false").lower() != "true":
        return _fail("--serve shows the error analysis and needs --analyze", 2)
    words = [(option, value) for option, value in words if name != "evaluate" or option != "serve"]
    function = _load(name)
    words = expanded(words) if name == "train" else words
    given = configured(function, words, prog) if config else arguments(function, verb, words)
    with open(os.devnull, "w") if quiet else nullcontext(sys.stdout) as out, redirect_stdout(out):
        code = function(**given)
        code = import_module("manypose.serve.show_errors").show(code) if serving else code
    return code if isinstance(code, int) else getattr(code, "exit_code", 0)


def _shared(verb: Verb, config: bool) -> list[Parameter]:
    """The options that all verbs share."""
    more = [p for p in (QUIET, VERBOSE) if verb.find(p.name) is None]
    return [*more, *(CONFIG_OPTIONS if config else ()), *(SHORTHANDS if verb.find("schedule") and config else ())]


def _load(verb: str) -> Callable[..., Any]:
    module, _, name = VERBS[verb][0].partition(":")
    return getattr(import_module(module), name)


def _usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb.ljust(width)}  {summary}" for verb, (_, summary) in VERBS.items())
    return (
        f"manypose {__version__}: every person in a photo or video, their 2D keypoints\n\n"
        f"usage: manypose VERB [options]\n\n{verbs}\n\n"
        "manypose VERB --help explains a verb; manypose version prints the version.\n"
    )


def _no_verb(argv: list[str]) -> int:
    under = [v for v in VERBS if v.split()[0] == argv[0]]
    if under and any(word in ("-h", "--help") for word in argv[1:]):
        print("\n".join(f"manypose {v}: {VERBS[v][1]}" for v in under))
        return 0
    if under:
        there = [v.split()[1] for v in under]
        return _fail(f"manypose {argv[0]} needs one of {', '.join(there)}{hint(argv[1:2], there)}", 2)
    near = hint(argv[:1], [v.split()[0] for v in VERBS]) or f"; there are {', '.join(dict.fromkeys(v.split()[0] for v in VERBS))}"
    return _fail(f"no verb {argv[0]!r}{near}", 2)


# ── one line ──


def _fail(message: str, code: int = 1) -> int:
    print(f"manypose: error: {printable(message)}", file=sys.stderr)
    return code


def _failed(error: Exception) -> int:
    """The one line of an error, and the exit code."""
    if os.environ.get("MANYPOSE_DEBUG") or logging.getLogger("manypose").isEnabledFor(logging.DEBUG):
        traceback.print_exception(error)
    usage = type(error).__name__ == "UsageError"  # by name: importing the class would make `--help` slow
    expected = (ValueError, OSError, ImportError, ArithmeticError, MemoryError)
    if isinstance(error, OSError) and error.strerror:
        said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif isinstance(error, ImportError) and missing_extra(error):
        said = missing_extra(error)
    elif type(error).__name__ == "OutOfMemoryError":
        said = "the device ran out of memory; give a smaller --batch-size or --device cpu"
    elif usage or isinstance(error, expected):
        said = str(error) or type(error).__name__
    else:
        said = f"{type(error).__name__}: {error} (a defect of manypose: please report it with the traceback of MANYPOSE_DEBUG=1)"
    line = " ".join(said.split())
    return _fail(line if len(line) <= 800 else line[:797] + "...", 2 if usage else 1)


def _say(quiet: bool, verbose: bool) -> None:
    """Warnings and the log as one line each; none with ``--quiet``, all with ``--verbose``."""

    def show(message, category, *_: object, **__: object) -> None:
        if issubclass(category, UserWarning) and not quiet:
            print(f"manypose: warning: {printable(' '.join(str(message).split()))}", file=sys.stderr)

    warnings.showwarning = show
    logging.basicConfig(format="manypose: %(message)s", level=logging.WARNING)
    logging.getLogger("manypose").setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
