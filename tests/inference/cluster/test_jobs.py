import json
import tarfile

import jobs
import numpy as np
import pytest
from dots import Dots

from manypose.inference.cluster.job import begin, opened
from manypose.inference.cluster.report import failures, merge, status
from manypose.inference.cluster.sources import Cutting, blocks
from manypose.inference.cluster.worker import Recipe
from manypose.inference.model import Model
from manypose.io import photos
from manypose.io.storage import Folder
from manypose.poses.formats import to_jsonl

pa = pytest.importorskip("pyarrow", reason="the extra 'cluster' is not installed")
parquet = pytest.importorskip("pyarrow.parquet")


def equal(row, people):
    for name in ("keypoints", "keypoint_scores", "scores", "boxes"):
        np.testing.assert_array_equal(getattr(row.people, name), getattr(people, name))


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_rows_are_those_of_plain_prediction(tmp_path, suffix):
    paths = jobs.write_photos(tmp_path / "photos", 11)
    photos.write(paths[3], np.full((64, 64, 3), 60, np.uint8))  # nobody
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff junk")
    recipe = Recipe(suffix=suffix)
    job = jobs.plan([tmp_path / "photos"], tmp_path / "job", Cutting(block_size=5), recipe)
    jobs.do(job, jobs.actor(job, recipe))
    found = jobs.rows(job)
    assert [r.uri for r in found] == [str(p) for p in [*paths, tmp_path / "photos" / "broken.jpg"]]
    assert found[-1].people is None
    assert "broken.jpg: " in found[-1].error
    plain = Model(Dots()).predict(paths)
    for row, people in zip(found, plain, strict=False):
        assert row.error is None
        if suffix == ".parquet":
            equal(row, people)
        else:
            assert to_jsonl(row.people, "", row.size) == to_jsonl(people, "", row.size)
    assert str(status(job)).startswith("3 of 3 blocks (finished)\n12 rows, 1 of them errors, 10 people")
    assert failures(job) == [2]


def test_every_kind_of_source_gives_the_same_photos(tmp_path):
    paths = jobs.write_photos(tmp_path / "photos", 6)
    names, data = [p.name for p in paths], [p.read_bytes() for p in paths]
    (tmp_path / "photos" / "list.txt").write_text("\n".join(names) + "\n\n")
    (tmp_path / "photos" / "list.csv").write_text("n,path\n" + "".join(f"{i},{n}\n" for i, n in enumerate(names)))
    parquet.write_table(pa.table({"uri": [str(p) for p in paths]}), tmp_path / "uris.parquet", row_group_size=4)
    parquet.write_table(pa.table({"i": range(6), "jpg": data}), tmp_path / "bytes.parquet", row_group_size=4)
    parquet.write_table(pa.table({"image": [{"bytes": d, "path": "x"} for d in data]}), tmp_path / "hugging.parquet")
    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        for path in paths:
            archive.add(path, path.name)
            archive.add(tmp_path / "photos" / "list.txt", path.stem + ".txt")
    expected = Model(Dots()).predict(paths)
    sources = {
        "photos": 3, "photos/*.png": 3, "photos/list.txt": 3, "photos/list.csv": 3, "uris.parquet": 3, "bytes.parquet": 2,
        "hugging.parquet": 1, "shard.tar": 1,
    }  # fmt: skip
    for i, (source, number) in enumerate(sources.items()):
        job = jobs.plan([tmp_path / source, tmp_path / source], tmp_path / f"job{i}", Cutting(block_size=2))
        assert len(job) == number, source
        jobs.do(job, jobs.actor(job))
        found = jobs.rows(job)
        assert len({r.uri for r in found}) == len(found) == 6, source
        for row, people in zip(found, expected, strict=True):
            equal(row, people)
        if i < 5:
            assert [r.uri for r in found] == [str(p) for p in paths]
    assert found[0].uri == f"tar://000.png::{tmp_path / 'shard.tar'}"


def test_addresses_and_a_job_on_another_file_system(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for i, path in enumerate(jobs.write_photos(tmp_path, 3)):
        memory.pipe_file(f"/in/{i}.png", path.read_bytes())
    memory.pipe_file("/in/list.txt", b"0.png\n2.png\nmemory://in/absent.png\n")
    local, remote = (jobs.plan(s, f"memory://out{i}", Cutting(block_size=2)) for i, s in enumerate(([tmp_path.as_uri()], ["memory://in"])))
    for job in (local, remote, jobs.plan(["memory://in/list.txt"], tmp_path / "job", Cutting(block_size=2))):
        jobs.do(job, jobs.actor(job))
    assert [r.uri for r in jobs.rows(remote)] == ["memory:///in/0.png", "memory:///in/1.png", "memory:///in/2.png"]
    assert [r.uri for r in jobs.rows(local)] == [str(tmp_path / f"00{i}.png") for i in range(3)]
    for a, b in zip(jobs.rows(local), jobs.rows(remote), strict=True):
        equal(a, b.people)
    absent = jobs.rows(job)[-1]
    assert absent.error == "memory://in/absent.png: no such file"
    assert not [n for n in memory.find("/out1") if n.rpartition("/")[2].startswith(".")]
    memory.rm("/in", recursive=True)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_dies_each_input_is_done_exactly_once(tmp_path, seed):
    """Workers and drivers die at random places: in the network, before a shard is written, and after."""
    rng = np.random.default_rng(seed)
    paths = jobs.write_photos(tmp_path / "photos", 12)
    done: list[int] = []

    class Dies(Exception):
        pass

    def dying():
        job = jobs.plan([tmp_path / "photos"], tmp_path / "job", Cutting(block_size=2))
        who = jobs.actor(job)
        work, write = who.work, who.job.write

        def sometimes(*args):
            if rng.random() < 0.2:
                raise Dies
            return work(*args)

        def half(name, data):
            if name.startswith("shards") and rng.random() < 0.3:
                (tmp_path / "job" / "shards").mkdir(exist_ok=True)
                (tmp_path / "job" / "shards" / ".00000000.77.tmp.parquet").write_bytes(data[:20])
                raise Dies
            write(name, data)
            done.extend([int(name[7:15])] if name.startswith("shards") else [])

        who.work = sometimes
        object.__setattr__(who.job, "write", half)
        jobs.do(job, who)
        return job

    for _ in range(200):
        try:
            job = dying()
            break
        except Dies:
            continue
    job = jobs.plan([tmp_path / "photos"], tmp_path / "job", Cutting(block_size=2))
    assert sorted(done) == list(range(6))
    assert [r.uri for r in jobs.rows(job)] == [str(p) for p in paths]
    assert sorted(p.name for p in (tmp_path / "job" / "shards").iterdir()) == [f"{n:08d}.parquet" for n in range(6)]


def test_a_photo_that_kills_the_program_becomes_a_row(tmp_path, monkeypatch):
    paths = jobs.write_photos(tmp_path / "photos", 6)
    job = jobs.plan([tmp_path / "photos"], tmp_path / "job")

    class Dies(BaseException):
        pass

    from manypose.inference.cluster import items

    plain = items.decoded

    def deadly(photo):
        if str(photo.photo).endswith("003.png"):
            raise Dies
        return plain(photo)

    monkeypatch.setattr(items, "decoded", deadly)
    lives = 0
    while not job.finished():
        lives += 1
        assert lives < 10
        try:
            jobs.do(job, jobs.actor(job))
        except Dies:
            continue
    found = jobs.rows(job)
    assert [r.uri for r in found] == [str(p) for p in paths]
    assert [r.error is not None for r in found] == [False] * 3 + [True] + [False] * 2
    assert "died on it twice" in found[3].error
    assert lives == 5
    for row, people in zip(found, Model(Dots()).predict(paths), strict=True):
        if row.error is None:
            equal(row, people)


def test_another_job_in_the_folder_is_not_touched(tmp_path):
    jobs.write_photos(tmp_path / "photos", 2)
    job = jobs.plan([tmp_path / "photos"], tmp_path / "job", threshold=0.1)
    before = (tmp_path / "job" / "plan.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"job with other settings \(threshold\); give the same ones"):
        jobs.plan([tmp_path / "photos"], tmp_path / "job", threshold=0.2)
    assert (tmp_path / "job" / "plan.jsonl").read_bytes() == before
    with pytest.raises(FileNotFoundError, match="no job here"):
        opened(Folder(str(tmp_path)))
    jobs.do(job, jobs.actor(job))
    fresh = begin(job.folder, {}, ".parquet", blocks([str(tmp_path / "photos")], Cutting(), False), overwrite=True)
    assert not fresh.finished()


def test_merged_results_are_those_of_predict(tmp_path):
    from manypose.cli.predict_into import predict_to

    jobs.write_photos(tmp_path / "a" / "photos", 5)
    jobs.write_photos(tmp_path / "b", 2)
    (tmp_path / "b" / "x.jpg").write_bytes(b"no photo")
    sources = [tmp_path / "a" / "photos", tmp_path / "b"]
    job = jobs.plan(sources, tmp_path / "job", Cutting(block_size=3))
    with pytest.raises(ValueError, match="3 of 3 blocks are not finished"):
        merge(job, tmp_path / "merged")
    jobs.do(job, jobs.actor(job))
    predict_to(sources, Model(Dots()), tmp_path / "plain", formats=("coco", "csv"), drawing=None, complain=lambda line: None)
    written, counts = merge(job, tmp_path / "merged", ("coco", "csv"))
    assert (tmp_path / "merged" / "coco.json").read_bytes() == (tmp_path / "plain" / "coco.json").read_bytes()
    assert (tmp_path / "merged" / "poses.csv").read_bytes() == (tmp_path / "plain" / "poses.csv").read_bytes()
    assert (tmp_path / "merged" / "errors.txt").read_text().startswith(str(tmp_path / "b" / "x.jpg"))
    assert (counts.rows, counts.errors) == (8, 1)
    assert [p.name for p in written] == ["coco.json", "poses.csv", "errors.txt"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "x,y\n1,2\n", "no column uri or url"), ("a.parquet", "junk", "not a Parquet file"), ("b", None, "no such file or folder"),
        ("*.jpg", None, "no photo, video"), ("empty/", None, "no photos, videos"),
    ],
)  # fmt: skip
def test_sources_that_make_no_sense(tmp_path, name, content, message):
    (tmp_path / "empty").mkdir()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        list(blocks([str(tmp_path / name)], Cutting(), False))


def test_a_container_that_breaks_off_keeps_what_came_before(tmp_path):
    paths = jobs.write_photos(tmp_path / "photos", 6)
    with tarfile.open(tmp_path / "whole.tar", "w") as archive:
        for path in paths:
            archive.add(path, path.name)
    whole = (tmp_path / "whole.tar").read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as archive:
        middle = archive.getmembers()[3].offset_data + 10
    (tmp_path / "half.tar").write_bytes(whole[:middle])
    job = jobs.plan([tmp_path / "half.tar"], tmp_path / "job")
    jobs.do(job, jobs.actor(job))
    found = jobs.rows(job)
    assert [r.error is None for r in found] == [True, True, True, False]
    assert json.loads((tmp_path / "job" / "plan.jsonl").read_text()) == {"kind": "tar", "uri": str(tmp_path / "half.tar")}


def test_links_in_a_folder_are_photos(tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.png").symlink_to(jobs.write_photos(tmp_path / "photos", 1)[0])
    assert list(blocks([str(tmp_path / "links")], Cutting(), False)) == [{"kind": "files", "uris": [str(tmp_path / "links" / "a.png")]}]


def test_cutting_makes_sense():
    with pytest.raises(ValueError, match="chunk frames must be at least 1, got 0"):
        Cutting(chunk_frames=0)
