"""The comparisons of the papers' claims in small: arms that differ in one thing, and photos that none was trained on."""

from pathlib import Path

import claims
import pytest

from manypose.methods.catalog import build

KEPT = {line.split()[0] for line in (claims.ROOT / "configs/subsets/coco_93_held_out.txt").read_text().splitlines() if line[:1].isdigit()}


def all_of(claim: str) -> dict[str, dict]:
    return {arm: claims.config(claim, arm, 3, Path("out"), 200) for arm in claims.CLAIMS[claim][2]}


@pytest.mark.parametrize("claim", claims.CLAIMS)
def test_arms_differ_in_the_arguments_of_the_model_alone(claim):
    arms = all_of(claim)
    rest = [{name: value for name, value in arm.items() if name != "model_args"} for arm in arms.values()]
    assert all(other == rest[0] for other in rest)
    arguments = [arm["model_args"] for arm in arms.values()]
    assert all(one != other for i, one in enumerate(arguments) for other in arguments[:i])


@pytest.mark.parametrize("claim", claims.CLAIMS)
def test_photos_kept_aside_are_not_trained_on(claim):
    whole = next(iter(all_of(claim).values()))
    lists = [source["dataset"]["init_args"] for source in whole["data"]["init_args"]["sources"]]
    files = [claims.ROOT / (one.get("only") or one["dataset"]["init_args"]["only"]) for one in lists]
    used = {line.split()[0] for file in files for line in file.read_text().splitlines() if line[:1].isdigit()}
    assert len(used) > 800
    assert not used & KEPT


@pytest.mark.parametrize(("claim", "arm"), [(claim, arm) for claim, (_, _, arms) in claims.CLAIMS.items() for arm in arms])
def test_each_arm_is_a_model_with_a_loss(claim, arm, monkeypatch):
    monkeypatch.setenv("MANYPOSE_PRETRAINED", "unused")
    whole = claims.config(claim, arm, 0, Path("out"), 200)
    arguments = {name: value for name, value in whole["model_args"].items() if "${" not in str(value)}
    assert callable(build(whole["model"], **arguments).loss)
