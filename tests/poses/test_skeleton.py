"""Skeletons: the data sets' own definitions, conversion between them, and what is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import shared

from manypose.poses.skeleton import BUILT_IN, COCO, CROWDPOSE, MPII, POSETRACK, Skeleton, named


def category(*parts: str) -> dict:
    """The person category of an annotation file beside the project."""
    return json.loads(shared("data", *parts).read_text())["categories"][0]


def test_coco_is_coco():
    of_file = category("format_samples", "coco", "test_coco.json")
    assert Skeleton.from_coco_category(of_file) is COCO
    assert [[a + 1, b + 1] for a, b in COCO.limbs] == of_file["skeleton"]


def test_coco_sigmas_are_those_of_its_evaluation():
    params = pytest.importorskip("pycocotools.cocoeval").Params(iouType="keypoints")
    assert COCO.sigmas == pytest.approx(params.kpt_oks_sigmas)


def test_crowdpose_is_crowdpose():
    of_file = category("eval_fixtures", "crowdpose", "crowdpose_val.json")
    assert Skeleton.from_coco_category(of_file) is CROWDPOSE
    # The file's limbs are COCO's, cut off: those that name no joint beyond the 14 belong to another order of joints.
    assert len(CROWDPOSE) == 14
    assert CROWDPOSE.sigmas[:2] == CROWDPOSE.sigmas[-2:] == (0.079, 0.079)  # head and neck as the shoulders


def test_posetrack_joints_are_those_of_its_files():
    """The published files still list COCO's ears, which nobody labelled: 17 names, 15 joints."""
    joints = category("format_samples", "posetrack18", "annotations", "val", "009473_mpii_test.json")["keypoints"]
    assert [j for j in joints if not j.endswith("_ear")] == list(POSETRACK.joints)


def test_mpii_order_by_where_its_joints_lie():
    """The file has no names: left and right must be mirrored sides, hips below shoulders, head on top, in upright people."""
    people = json.loads(shared("data", "format_samples", "mpii", "test_mpii.json").read_text())
    at = MPII.index
    upright = 0
    for person in people:
        xy = person["joints"]
        if not all(person["joints_vis"]) or xy[at("head_top")][1] > xy[at("pelvis")][1]:
            continue
        upright += 1
        assert xy[at("head_top")][1] < xy[at("upper_neck")][1] < xy[at("pelvis")][1]
        assert xy[at("thorax")][1] < xy[at("pelvis")][1]
        hips, shoulders = (xy[at("left_hip")], xy[at("right_hip")]), (xy[at("left_shoulder")], xy[at("right_shoulder")])
        assert sum(p[1] for p in shoulders) < sum(p[1] for p in hips)
        # The pelvis was marked between the hips.
        for axis in (0, 1):
            low, high = sorted(h[axis] for h in hips)
            assert low - 15 <= xy[at("pelvis")][axis] <= high + 15
    assert upright >= 2


@pytest.mark.parametrize("skeleton", BUILT_IN.values(), ids=BUILT_IN)
def test_built_in_skeletons_hold_together(skeleton: Skeleton):
    for i, j in enumerate(skeleton.mirror):
        a, b = skeleton.joints[i], skeleton.joints[j]
        side, part = a.split("_", 1) if a.startswith(("left_", "right_")) else ("middle", a)
        assert skeleton.side(i) == side
        assert b == {"left": f"right_{part}", "right": f"left_{part}", "middle": a}[side]
        assert skeleton.sigmas[i] == skeleton.sigmas[j]
    # Limbs mirror onto limbs, and from every joint any other can be reached along them.
    limbs = {frozenset(limb) for limb in skeleton.limbs}
    assert limbs == {frozenset(skeleton.mirror[j] for j in limb) for limb in skeleton.limbs}
    assert len(limbs) == len(skeleton.limbs)
    reached = {0}
    for _ in skeleton.joints:
        reached |= {j for limb in limbs if limb & reached for j in limb}
    assert len(reached) == len(skeleton)
    assert named(skeleton.name) is skeleton


@pytest.mark.parametrize("skeleton", BUILT_IN.values(), ids=BUILT_IN)
def test_shared_joints_have_coco_sigmas(skeleton: Skeleton):
    shared = [(ours, coco) for ours, coco in enumerate(skeleton.from_skeleton(COCO)) if coco >= 0]
    assert len(shared) == {"coco": 17, "crowdpose": 12, "mpii": 12, "posetrack": 13}[skeleton.name]
    assert [skeleton.sigmas[ours] for ours, _ in shared] == [COCO.sigmas[coco] for _, coco in shared]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_hip", "right_hip"), ("hip_left", "hip_right"), ("L_hip", "R_hip"), ("Left_Hip", "Right_Hip"), ("hip_l", "hip_r"),
        ("LHip", "RHip"), ("hip-left", "hip-right"), ("wrist.L", "wrist.R"), ("leftHip", "rightHip"), ("hipL", "hipR"),
        ("L_F_Paw", "R_F_Paw"),        ("front_left_paw", "front_right_paw"), ("front_l_paw", "front_r_paw"), ("left", "right"),
    ],
)  # fmt: skip
def test_sides_are_read_from_names(left: str, right: str, recwarn: pytest.WarningsRecorder):
    """Whatever separates the side from the rest, the two are a pair, and are drawn as left and right."""
    skeleton = Skeleton.build("x", ["tail", left, "rib", right, "lower_back"], [], [0.1] * 5)
    assert skeleton.mirror == (0, 3, 2, 1, 4)
    assert [skeleton.side(i) for i in range(5)] == ["middle", "left", "middle", "right", "middle"]
    assert skeleton.unpaired == ()
    assert not recwarn


def test_a_side_without_a_partner_is_said():
    with pytest.warns(UserWarning, match="skeleton 'x': left_hip, R_knee have a side but no partner"):
        skeleton = Skeleton.build("x", ["left_hip", "R_knee", "tail"], [], [0.1] * 3)
    assert skeleton.mirror == (0, 1, 2)
    given = Skeleton.build("x", ["left_hip", "R_knee", "tail"], [], [0.1] * 3, mirror=[])
    assert given.unpaired == ("left_hip", "R_knee")


def test_conversion_goes_by_name():
    source = CROWDPOSE.from_skeleton(COCO)
    assert [COCO.joints[i] for i in source[:12]] == list(CROWDPOSE.joints[:12])
    assert source[12:] == (-1, -1)
    assert all(CROWDPOSE.from_skeleton(CROWDPOSE)[i] == i for i in range(14))


names = st.lists(
    st.sampled_from(["nose", "tail", "left_paw", "right_paw", "left_ear", "right_ear", "back"]), min_size=1, max_size=7, unique=True
)


@given(names, st.data())
def test_a_mapping_gives_the_same_skeleton_back(joints: list[str], data: st.DataObject):
    pairs = st.tuples(*[st.integers(0, len(joints) - 1)] * 2)
    sigmas = data.draw(st.lists(st.floats(0.01, 0.3), min_size=len(joints), max_size=len(joints)))
    first = Skeleton.build("dog", joints, data.draw(st.lists(pairs, max_size=5)), sigmas)
    assert Skeleton.from_mapping(json.loads(json.dumps(first.to_mapping())), "here") == first


DOG = {"name": "dog", "joints": ["nose", "left_paw", "right_paw"], "limbs": [["nose", "left_paw"], [0, 2]], "sigmas": [0.05, 0.1, 0.1]}


def test_a_yaml_file(tmp_path: Path):
    path = tmp_path / "dog.yaml"
    path.write_text(json.dumps(DOG))  # JSON is YAML
    dog = named(str(path))
    assert dog.limbs == ((0, 1), (0, 2))
    assert dog.mirror == (0, 2, 1)
    assert [dog.side(i) for i in range(3)] == ["middle", "left", "right"]


def test_a_category_with_sigmas():
    dog = Skeleton.from_coco_category({"name": "dog", "keypoints": DOG["joints"], "skeleton": [[1, 2], [1, 3]], "sigmas": DOG["sigmas"]})
    assert dog == Skeleton.from_mapping(DOG, "here")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sigmas": None}, "must give sigmas"),
        ({"joints": []}, "must give joints"),
        ({"sigmas": [0.1]}, "3 joints but 1 sigmas"),
        ({"sigmas": [0.1, 0.1, 0]}, "positive"),
        ({"sigmas": [0.1, 0.1, float("nan")]}, "positive"),
        ({"sigmas": ["a", "b", "c"]}, "could not convert"),
        ({"joints": "nose"}, "are lists"),
        ({"joints": ["nose", "nose", "tail"], "limbs": []}, "differ"),
        ({"limbs": [[0, 3]]}, "no joint 3"),
        ({"limbs": [[-1, 0]]}, "no joint -1"),
        ({"limbs": [["nose", "tail"]]}, "'tail' is not one of its joints"),
        ({"limbs": [[0]]}, "unpack"),
        ({"mirror": [[0, 9]]}, "no joint 9"),
        ({"mirror": [[0, 1], [1, 2]]}, "exchange pairs"),
        ({"sigma": [0.1]}, "unknown keys"),
    ],
)
def test_a_bad_skeleton_is_refused_with_its_place(change: dict, says: str):
    with pytest.raises(ValueError, match=says) as e:
        Skeleton.from_mapping({**DOG, **change}, "dog.yaml")
    assert str(e.value).startswith("dog.yaml: ")


@pytest.mark.parametrize("text", ["[1, 2", "just words", "- a\n- b", ""])
def test_a_file_that_is_no_skeleton_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "dog.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"dog\.yaml"):
        named(str(path))


@pytest.mark.parametrize(
    ("category", "says"),
    [
        ({"keypoints": DOG["joints"]}, "no sigmas"),
        ({"keypoints": DOG["joints"], "sigmas": DOG["sigmas"], "skeleton": [[1, 4]]}, "no joint 3"),
        ({"keypoints": DOG["joints"], "sigmas": DOG["sigmas"], "skeleton": [[1]]}, "pairs"),
        ({"keypoints": DOG["joints"], "sigmas": DOG["sigmas"], "skeleton": 5}, "pairs"),
        ({"name": "person"}, "no sigmas"),
    ],
)
def test_a_bad_category_is_refused(category: dict, says: str):
    with pytest.raises(ValueError, match=says):
        Skeleton.from_coco_category(category, where="x.json")


def test_unknown_names():
    with pytest.raises(ValueError, match="there are coco, crowdpose, mpii, posetrack"):
        named("cocoo")
    with pytest.raises(ValueError, match="no joint 'tail'; it has nose"):
        COCO.index("tail")
    with pytest.raises(ValueError, match=r"gone\.yaml: cannot be read"):
        named("gone.yaml")
