"""How many people are in each photo of a folder, and who raises a hand: ``python examples/count_people.py FOLDER``."""

import sys
from pathlib import Path

import manypose
from manypose.io.sources import sources


def raised_hands(poses: manypose.Poses, least: float = 0.3) -> int:
    """People with a wrist above the shoulder of its side (image y grows downwards)."""
    at = poses.skeleton.index
    count = 0
    for joints, scores in zip(poses.keypoints, poses.keypoint_scores, strict=True):
        pairs = [(at(f"{side}_wrist"), at(f"{side}_shoulder")) for side in ("left", "right")]
        count += any(min(scores[w], scores[s]) >= least and joints[w, 1] < joints[s, 1] for w, s in pairs)
    return count


def main(folder: Path) -> None:
    """Print a line a photo."""
    model = manypose.load()
    paths = sources(folder).paths
    for path, poses in zip(paths, model.predict(list(paths), threshold=0.1), strict=True):
        print(f"{path.name}: {len(poses)} people, {raised_hands(poses)} with a raised hand")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
