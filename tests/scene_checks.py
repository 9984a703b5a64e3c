"""What holds in every scene of drawn or rendered people."""

from collections.abc import Sequence


def joint_counts(scenes: Sequence) -> tuple[int, int]:
    """Numbers of visible and hidden joints; each lies in the picture, and each visible one on its person."""
    seen = hidden = 0
    for scene in scenes:
        h, w = scene.owner.shape
        for number, person in enumerate(scene.sample.keypoints):
            for x, y, v in person:
                if v == 0:
                    assert (x, y) == (0, 0)
                    continue
                assert -0.5 <= x <= w - 0.5
                assert -0.5 <= y <= h - 0.5
                here = scene.owner[min(round(float(y)), h - 1), min(round(float(x)), w - 1)]
                assert v == 1 or here == number
                seen, hidden = seen + (v == 2), hidden + (v == 1)
    return seen, hidden
