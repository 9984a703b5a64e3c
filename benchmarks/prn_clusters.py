"""MultiPoseNet's Figure 2, right: ``python benchmarks/prn_clusters.py PRN DATA OUT.png``.

The body configurations that a PRN has learnt: k-means of its outputs with OKS as similarity.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from manypose.io.photos import write
from manypose.methods.multiposenet.baselines import prior
from manypose.methods.multiposenet.prn import PRN
from manypose.methods.multiposenet.prn_data import People, order, points, read_people
from manypose.methods.multiposenet.prn_file import load_prn
from manypose.methods.multiposenet.roi import Regions
from manypose.poses.drawing import draw
from manypose.poses.oks import oks
from manypose.poses.poses import Poses
from manypose.poses.skeleton import Skeleton


def clusters(
    prn: Path, data: Path, out: Path, number: int = 6, people: int = 3000, height: int = 280, seed: int = 0
) -> Float[np.ndarray, "c k 2"]:
    """Draw the cluster centres of a PRN's outputs.

    Args:
        prn: weights of a perceptron (.safetensors).
        data: annotated persons that are its input: COCO person_keypoints JSON or an archive (.npz).
        out: the picture.
        number: of clusters; the paper shows six.
        people: how many persons' outputs are clustered, those with most joints first.
        height: of a pose in the picture, in pixels.
        seed: of the first centres.

    Returns:
        the cluster centres, the largest cluster first; xy in a box of width 0.64 and height 1.

    Raises:
        ValueError: the weights are of a network without regions of cells.
    """
    net = load_prn(prn)
    if not isinstance(net, PRN):
        raise ValueError(f"{prn}: is no perceptron: it has no output for every cell of a region; train one with --network perceptron")
    everybody = read_people(data)
    chosen = order(everybody, len(net.skeleton) // 2)[:people]
    if number < 1 or len(chosen) < number:
        raise ValueError(f"{data}: {number} clusters of {len(chosen)} persons with most joints; give 1 or more, and fewer than persons")
    p = points(everybody, chosen, margin=net.margin)
    s = p.seen
    with torch.inference_mode():
        frequency = prior(_widened(everybody, net.extend), net.size, sigma=0.8)
        seen = Regions(len(chosen), p.row[s], p.joint[s], p.place[s], torch.ones(int(s.sum())))
        poses = configurations(net, frequency, seen).numpy()
    found, size = cluster(poses, number, net.skeleton, seed)
    found = found[np.argsort(-size)]
    picture = [_drawn(pose, net.skeleton, height) for pose in found]
    write(out, np.concatenate(picture, 1))
    print(f"wrote {out}: {number} clusters of {len(poses)} outputs")
    return found


def _widened(people: People, extend: float) -> People:
    """The same people with boxes as large as a network's regions."""
    size = (people.boxes[:, 2:] - people.boxes[:, :2]) * extend
    return replace(people, boxes=torch.cat([people.boxes[:, :2] - size, people.boxes[:, 2:] + size], 1))


def configurations(prn: PRN, frequency: Float[Tensor, "k h w"], seen: Regions) -> Float[Tensor, "n k 2"]:
    """The mean place of each joint in each region's output, with or without a candidate there: a whole body.

    It is the mean over the region's cells, weighted by ``exp φ_k`` and by how often the joint lies in a cell at all: the output of cells in
    which it never lies was not trained.

    Args:
        prn: a perceptron.
        frequency: see `baselines.prior`.
        seen: the regions' candidates.
    """
    k, (h, w) = len(prn.skeleton), prn.size
    phi = prn.last @ prn.activations(seen).T + prn.last_bias
    weight = (phi.view(k, h * w, seen.n) + frequency.flatten(1)[..., None].clamp(min=1e-12).log()).softmax(1)
    cell = torch.arange(h * w)
    middle = torch.stack([(cell % w + 0.5) / w, (cell // w + 0.5) / h], 1)
    # The region's cells back to places in the box, and those to a box as tall as 1 and as wide as people's mostly are.
    xy = torch.einsum("kcn,cx->nkx", weight, middle) * (1 + 2 * prn.extend) - prn.extend
    return xy * xy.new_tensor([36 / 56, 1.0])


def cluster(
    poses: Float[np.ndarray, "n k 2"], number: int, skeleton: Skeleton, seed: int = 0, rounds: int = 50
) -> tuple[Float[np.ndarray, "c k 2"], Int[np.ndarray, " c"]]:
    """K-means with OKS: each pose goes to the middle it is most like, which becomes its poses' mean. Middles, and their sizes."""
    g = np.random.default_rng(seed)
    middles = poses[g.choice(len(poses), 1)]
    while len(middles) < number:  # the next first middle is a pose that is like none yet
        far = 1 - _alike(poses, middles, skeleton).max(1)
        middles = np.concatenate([middles, poses[g.choice(len(poses), 1, p=far / far.sum() if far.sum() > 0 else None)]])
    mine = np.zeros(len(poses), np.int64)
    for _ in range(rounds):
        before, mine = mine, _alike(poses, middles, skeleton).argmax(1)
        middles = np.stack([poses[mine == c].mean(0) if (mine == c).any() else middles[c] for c in range(number)])
        if (before == mine).all():
            break
    return middles, np.bincount(mine, minlength=number)


def _alike(poses: Float[np.ndarray, "n k 2"], middles: Float[np.ndarray, "c k 2"], skeleton: Skeleton) -> Float[np.ndarray, "n c"]:
    labelled: Bool[np.ndarray, "c k"] = np.ones(middles.shape[:2], bool)
    # Of the size of the box; wider by far than evaluation's, so that poses far apart can be told from poses very far apart.
    return oks(poses, middles, labelled, np.full(len(middles), 36 / 56), tuple(2 * s for s in skeleton.sigmas))


def _drawn(pose: Float[np.ndarray, "k 2"], skeleton: Skeleton, height: int) -> UInt8[np.ndarray, "H W 3"]:
    canvas = np.full((int(height * 1.1), int(height * 0.7), 3), 255, np.uint8)
    xy = (pose + np.array([0.03, 0.05])) * height
    return draw(canvas, Poses(skeleton, xy[None].astype(np.float32), np.ones((1, len(pose)), np.float32), np.ones(1, np.float32)), width=4)


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(clusters)
