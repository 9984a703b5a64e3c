"""MultiPoseNet's Table 3 and Figure 2 as benchmarks: the network learns, baselines rank as published, clusters are found."""

import numpy as np
import pytest
import torch
from prn_clusters import cluster, clusters
from prn_table3 import evaluate, figures, first_images, grouped
from shared import shared

from manypose.methods.catalog import build
from manypose.methods.multiposenet.baselines import UCR, prior
from manypose.methods.multiposenet.prn_data import read_people
from manypose.methods.multiposenet.prn_file import BUNDLED, load_prn
from manypose.poses.skeleton import COCO
from manypose.training.prn import train

VAL = "data/coco_keypoints/person_keypoints_val2017_rebuilt.npz"


SMALL = {
    "perceptron": {"nodes": 32, "size": [14, 9]},
    "dense": {"nodes": 32, "size": [14, 9], "margin": 0.21},
    "attention": {"nodes": 16, "layers": 1, "size": [7, 5]},
}


@pytest.mark.parametrize("network", list(SMALL))
def test_it_learns(archive, people, network, tmp_path, capsys):
    path = train(archive, tmp_path, network=network, epochs=15, batch_size=32, lr=1e-2, dropout=0.0, **SMALL[network])
    assert path is not None
    learnt = evaluate(str(path), archive)["AP"]
    assert "without crowd regions" in capsys.readouterr().out
    untrained = figures(people, *grouped(UCR(margin=0.21), people), COCO)["AP"]
    assert learnt > max(0.9, untrained + 0.2)


def test_the_bundled_weights_on_the_published_tables_set():
    """The first 300 of the 2,346 images of COCO val2017; docs/prn.md has the figures on all of them."""
    people = first_images(read_people(shared(VAL)), 300)
    prn = load_prn(BUNDLED)
    assert BUNDLED.stat().st_size < 30e6
    with torch.inference_mode():
        ap = {how: figures(people, *grouped(prn, people, how), prn.skeleton)["AP"] for how in ("linear", "each", "shared")}
    assert ap["linear"] > 0.93
    assert ap["each"] > 0.94
    assert ap["shared"] > 0.95


def test_clusters_find_postures_again():
    g = np.random.default_rng(0)
    postures = g.uniform(0, 1, (3, 17, 2)) * [0.64, 1.0]
    poses = np.repeat(postures, [50, 30, 20], 0) + g.normal(0, 0.01, (100, 17, 2))
    middles, size = cluster(poses, 3, COCO)
    for found, n in zip(middles, size, strict=True):
        nearest = np.abs(postures - found).mean((1, 2)).argmin()
        assert n == [50, 30, 20][nearest]
        np.testing.assert_allclose(found, postures[nearest], atol=0.02)


def test_the_picture_of_configurations(archive, tmp_path, capsys):
    path = train(archive, tmp_path / "run", nodes=8, size=[14, 9], epochs=2, batch_size=32)
    found = clusters(path, archive, tmp_path / "poses.png", number=2, people=40)
    assert found.shape == (2, 17, 2)
    assert (tmp_path / "poses.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="is no perceptron"):
        clusters(BUNDLED, archive, tmp_path / "none.png")
    with pytest.raises(ValueError, match="100000 clusters of"):
        clusters(path, archive, tmp_path / "none.png", number=100000)
    assert not (tmp_path / "none.png").exists()


def test_a_prior_improves_on_max(people):
    ap = [figures(people, *grouped(b, people, "each"), COCO)["AP"] for b in (UCR(), UCR(prior=prior(people)))]
    assert ap[1] > ap[0]


def test_ucr_goes_into_a_weights_file_and_from_there_into_a_network(archive, people, tmp_path):
    path = train(archive, tmp_path, network="ucr")
    assert torch.equal(load_prn(path).prior, prior(people))
    method = build("multiposenet-small", prn={"kind": "UCR"})
    method.prn.load_state_dict(load_prn(path).state_dict())  # what `prn join` stores
    assert evaluate(str(path), archive, how="each")["AP"] == evaluate("ucr", archive, how="each", train=archive)["AP"]


def test_07_max_at_the_paper_s_region_sees_fewer_rivals():
    """Candidates outside the box are not in the paper's region; with the authors' margin Max loses 24 points."""
    people = first_images(read_people(shared(VAL)), 300)
    ap = [figures(people, *grouped(UCR(margin=m), people, "each"), COCO)["AP"] for m in (0.0, 0.21)]
    assert UCR().margin == 0.0
    assert ap[0] > ap[1] + 0.15


def test_bad_input_is_one_clear_error(archive, tmp_path, untyped):
    with pytest.raises(FileNotFoundError, match="no such"):
        evaluate("max", tmp_path / "none.npz")
    with pytest.raises(ValueError, match="give --train FILE"):
        evaluate("ucr", archive)
    with pytest.raises(ValueError, match="images must be at least 1"):
        evaluate("max", archive, images=0)
