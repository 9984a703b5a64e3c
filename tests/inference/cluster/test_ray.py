"""A real Ray cluster of two workers on this machine: one test, since Ray takes a while to start."""

import os
import signal
import threading
import time

import jobs
import pytest

from manypose.inference.cluster.engine import Actors, do
from manypose.inference.cluster.rows import Counts
from manypose.inference.cluster.sources import Cutting

pytest.importorskip("pyarrow", reason="the extra 'cluster' is not installed")
ray = pytest.importorskip("ray", reason="the extra 'cluster' is not installed")


@pytest.mark.slow
def test_killed_workers_lose_nothing(tmp_path):
    pids = tmp_path / "pids"
    pids.mkdir()
    jobs.write_photos(tmp_path / "photos", 24)
    job = jobs.plan([tmp_path / "photos"], tmp_path / "job", Cutting(block_size=2))
    killed: list[int] = []

    def waiting():
        """A worker without a network that tells its process id; made here, so that Ray sends it along."""

        def work(block, refused, tell):
            (pids / f"{os.getpid()}.pid").touch()
            time.sleep(0.3)
            return "".join(uri + "\n" for uri in block["uris"]).encode(), Counts(len(block["uris"]), 0, 1)

        return work

    def kill():
        while len(killed) < 3:
            time.sleep(0.1)
            for file in pids.iterdir():
                pid = int(file.stem)
                if pid not in killed and len(killed) < 3:
                    time.sleep(0.4)
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    break

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    total = do(job, waiting, Actors(workers=2), quiet=True)
    thread.join(10)
    assert len(killed) == 3
    names = [line for n in job.finished() for line in job.folder.read(job.shard(n)).decode().split()]
    assert names == [str(tmp_path / "photos" / f"{i:03d}.png") for i in range(24)]
    assert sorted(p.name for p in (tmp_path / "job" / "shards").iterdir()) == [f"{n:08d}.parquet" for n in range(12)]
    assert total.rows <= 24
    assert do(job, waiting, Actors(workers=2), quiet=True) == Counts()
