import json

import pytest
import torch

from manypose.cli import bench
from manypose.methods.mspn.example_maps import examples as top_down
from manypose.methods.swahr.example_maps import examples
from manypose.nn.associative_embedding.decode import decode
from manypose.poses.skeleton import COCO


def test_decode_gives_rows_a_table_and_json(tmp_path, capsys):
    out = tmp_path / "rows.json"
    rows = bench.decode(method="swahr", people=[1, 3], size=[64, 128], cases=2, repeats=2, json=out)
    assert [(r["method"], r["people"], r["size"]) for r in rows] == [("swahr", n, s) for s in (64, 128) for n in (1, 3)]
    assert all(0 < r["p50_ms"] <= r["p95_ms"] for r in rows)
    assert json.loads(out.read_text()) == rows
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["method", "people", "size", "p50_ms", "p95_ms", "cpu_p50_ms"]
    assert len(lines) == 5


def test_a_model_is_as_good_as_a_method():
    row = bench.decode(model="swahr-w32", people=[1], size=[64], cases=1, repeats=1)[0]
    assert row["method"] == "swahr"


def test_time_is_measured_with_the_threads_asked_for(monkeypatch):
    before, seen = torch.get_num_threads(), []
    monkeypatch.setattr(bench, "_times", lambda *_: seen.append(torch.get_num_threads()) or [(1.0, 1.0)])
    bench.decode(method="swahr", people=[1], size=[64], cases=1, threads=2)
    assert seen == [2]
    assert torch.get_num_threads() == before


def test_network_and_train_measure(tmp_path):
    row = bench.network(model="swahr-w18-small", how=bench.Measuring(size=(64,), batch_size=(2,), repeats=2, json=tmp_path / "n.json"))[0]
    assert (row["size"], row["batch_size"]) == (64, 2)
    assert row["images_per_s"] == pytest.approx(1e3 / row["ms_per_image"], rel=0.02)
    row = bench.train(model="swahr-w18-small", how=bench.Measuring(size=(64,), batch_size=(2,), repeats=1))[0]
    assert row["images_per_s"] == pytest.approx(2e3 / row["ms_per_step"], rel=0.02)


def test_crops_of_one_person_are_not_square():
    rows = bench.network(model="mspn-small", how=bench.Measuring(batch_size=(2,), repeats=1)) + bench.train(
        model="mspn-small", how=bench.Measuring(batch_size=(2,), repeats=1)
    )
    assert [(r["size"], r["batch_size"]) for r in rows] == [(128, 2)] * 2
    row = bench.decode(method="mspn", people=[3], cases=1, repeats=1)[0]
    assert (row["people"], row["size"]) == (3, 256)
    maps = top_down(COCO, 3, 256, 0)["heat"]
    assert maps.shape == (3, 17, 64, 48)
    assert torch.equal(maps, top_down(COCO, 3, 256, 0)["heat"])
    with pytest.raises(ValueError, match=r"stride 32, got 96 \(96 x 72\)"):
        bench.network(model="mspn-small", how=bench.Measuring(size=(96,)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give a method or a model"),
        ({"method": "swahr", "model": "swahr-w32"}, "give a method or a model"),
        ({"method": "swarh"}, "no method 'swarh'; there are"),
        ({"model": "swahr-w31"}, r"no model 'swahr-w31'; did you mean swahr-w32\? \(manypose models"),
        ({"method": "swahr", "people": []}, "people must be 1 or more, got nothing"),
        ({"method": "swahr", "size": [0]}, "size must be 1 or more, got 0"),
    ],
)
def test_what_cannot_be_measured(arguments, message):
    with pytest.raises(ValueError, match=message):
        bench.decode(**arguments)


def test_a_size_that_the_network_cannot_take():
    with pytest.raises(ValueError, match="multiple of the model's stride 32, got 50"):
        bench.network(model="swahr-w18-small", how=bench.Measuring(size=(50,)))


def test_examples_are_the_same_each_time_and_have_their_people():
    first, again, other = (examples(COCO, 4, 96, seed) for seed in (1, 1, 2))
    assert torch.equal(first["heat"], again["heat"])
    assert torch.equal(first["tag"], again["tag"])
    assert not torch.equal(first["heat"], other["heat"])
    assert len(decode(first["heat"], first["tag"], COCO, (96, 96))[0]) == 4
