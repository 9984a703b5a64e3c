import numpy as np
import pytest
import torch

from manypose.methods.simple_pose.body import body_of, spanning_tree
from manypose.poses.skeleton import COCO, CROWDPOSE, MPII, POSETRACK, Skeleton


def test_coco_has_a_neck_and_thirty_parts():
    body = body_of(COCO)
    assert (len(body.sources), len(body.parts)) == (18, 30)
    assert body.made == (1,)
    assert body.sources[1] == (5, 6)
    assert len(set(map(frozenset, body.parts))) == 30
    assert [COCO.joints[body.sources[j]] for j in body.parts[16]] == ["right_hip", "right_knee"]
    assert [body.sources[j] for j in body.back] == list(range(17))


@pytest.mark.parametrize("skeleton", [COCO, CROWDPOSE, MPII, POSETRACK], ids=lambda s: s.name)
@pytest.mark.parametrize("redundant", [True, False])
def test_orders_are_mirror_images(skeleton, redundant):
    body = body_of(skeleton, redundant)
    assert [body.mirror_joints[body.mirror_joints[j]] for j in range(len(body.sources))] == list(range(len(body.sources)))
    for i, (a, b) in enumerate(body.parts):
        image = body.parts[body.mirror_parts[i]]
        assert {body.mirror_joints[a], body.mirror_joints[b]} == set(image)


@pytest.mark.parametrize("skeleton", [COCO, CROWDPOSE, MPII, POSETRACK], ids=lambda s: s.name)
def test_without_redundant_parts_there_is_a_tree(skeleton):
    """n - 1 parts that reach every joint."""
    body = body_of(skeleton, redundant=False)
    assert len(body.parts) == len(body.sources) - 1
    reached, more = {0}, True
    while more:
        new = {j for p in body.parts if reached & set(p) for j in p}
        reached, more = reached | new, bool(new - reached)
    assert reached == set(range(len(body.sources)))


def test_neck_lies_between_the_shoulders_where_both_are_labelled():
    people = torch.zeros(1, 2, 17, 3)
    people[0, :, 5] = torch.tensor([10.0, 20.0, 2.0])
    people[0, 0, 6] = torch.tensor([20.0, 24.0, 1.0])
    joints = body_of(COCO).joints(people)
    assert joints[0, 0, 1].tolist() == [15, 22, 1]
    assert joints[0, 1, 1, 2] == 0
    assert joints[0, 0, 5].tolist() == [10, 20, 2]


def stick(limbs, **more) -> Skeleton:
    return Skeleton.build("stick", ["left_end", "middle", "right_end"], limbs, [0.1] * 3, **more)


def test_limbs_that_leave_a_joint_alone_are_told():
    with pytest.raises(ValueError, match="'stick': its limbs do not join all of its joints"):
        body_of(stick([["left_end", "right_end"]]))
    with pytest.raises(ValueError, match="do not join all"):
        body_of(stick([]))


def test_limbs_without_their_mirror_image_are_told():
    with pytest.raises(ValueError, match="lack their mirror image"):
        body_of(stick([["left_end", "middle"], ["left_end", "right_end"]]))


def test_joints_of_which_no_build_is_known():
    """They are grouped by parts alone."""
    body = body_of(stick([["left_end", "middle"], ["middle", "right_end"]]))
    assert np.isnan(body.place).all()
    assert np.isinf(body.variance[~np.eye(3, dtype=bool)]).all()


def test_build_is_symmetric_and_grows_along_the_tree():
    body = body_of(COCO)
    mirrored = body.place[list(body.mirror_joints)] * [-1, 1]
    assert np.allclose(mirrored, body.place)
    assert np.allclose(body.variance, body.variance.T)
    neck, hip, knee, ankle = 1, 8, 9, 10
    assert body.variance[neck, hip] < body.variance[neck, knee] < body.variance[neck, ankle]
    order = list(body.mirror_joints)
    assert np.allclose(body.variance[order][:, order], body.variance)


def test_a_tree_takes_both_sides_or_neither():
    tree = spanning_tree(CROWDPOSE)
    pairs = {frozenset(p) for p in tree}
    assert all(frozenset(CROWDPOSE.mirror[j] for j in p) in pairs for p in tree)
