from pathlib import Path

import pytest

from manypose.cli import __main__ as cli
from manypose.poses.skeleton import COCO

pytestmark = pytest.mark.usefixtures("untyped")


def test_a_built_in_skeleton_with_its_pairs(capsys: pytest.CaptureFixture):
    assert cli.main(["doctor", "skeleton", "coco"]) == 0
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[2:] for line in said.splitlines()[3:20]}
    assert list(rows) == list(COCO.joints)
    assert rows["left_wrist"] == ["right_wrist"]
    assert rows["nose"] == ["none:", "in", "the", "middle"]
    assert said.count(" - ") == len(COCO.limbs)


def test_a_joint_without_partner_is_named(tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "s.yaml").write_text("name: bird\njoints: [head, left_wing, right_wing, left_leg]\nsigmas: [0.1, 0.1, 0.1, 0.1]\n")
    assert cli.main(["doctor", "skeleton", str(tmp_path / "s.yaml")]) == 1
    said = capsys.readouterr().out
    assert "without a mirror partner: left_leg" in said
    assert next(line for line in said.splitlines() if line.startswith("left_wing")).split()[2] == "right_wing"


def test_no_such_skeleton(capsys: pytest.CaptureFixture):
    assert cli.main(["doctor", "skeleton", "cooc"]) == 1
    assert "no skeleton 'cooc'" in capsys.readouterr().err
