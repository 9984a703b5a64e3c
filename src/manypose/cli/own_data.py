"""``manypose train --data FILE.yaml``: the command line with a config made from the data set's YAML file and the model."""

import json
from pathlib import Path

from manypose.cli.arguments import UsageError, Words
from manypose.cli.signature import Parameter

__all__ = ["SHORTHANDS", "expanded"]

SHORTHANDS = (
    Parameter("epochs", "length of the training, short for --schedule.epochs.", "float", None),
    Parameter("batch_size", "samples a step, short for --data.batch_size.", "int", None),
)
"""Options of ``train`` that are short for options of the config."""


def expanded(words: Words) -> Words:
    """The same words, with the data set's YAML file replaced by a whole config, which the other words override.

    Raises:
        UsageError: a value is not a number.
        FileNotFoundError, ValueError: the data set or the model cannot be used.
    """
    said = dict(words)
    file = next((value for name, value in words if name == "data" and Path(value).suffix in (".yaml", ".yml")), None)
    if file is None:
        long = {"epochs": "schedule.epochs", "batch_size": "data.batch_size"}
        return [(long.get(name, name), value) for name, value in words]
    try:
        epochs, batch = float(said.get("epochs", 50)), said.get("batch_size")
        batch_size = None if batch is None else int(batch)
    except ValueError:
        raise UsageError(f"--epochs and --batch-size must be numbers, got {said.get('epochs')} and {said.get('batch_size')}") from None
    if epochs <= 0 or (batch_size is not None and batch_size < 1):
        raise UsageError(f"--epochs and --batch-size must be above 0, got {said.get('epochs')} and {said.get('batch_size')}")
    from manypose.training.own_data import own_data_config

    config = own_data_config(file, said.get("model"), epochs=epochs, batch_size=batch_size)
    config["out"] = said.get("out", config["out"])
    config["init"] = None if said.get("init", "").lower() in ("none", "null") else said.get("init", config["init"])
    rest = [(n, v) for n, v in words if n not in ("epochs", "batch_size", "model", "out", "init") and (n, v) != ("data", file)]
    return [("tree", json.dumps(config)), *rest]
