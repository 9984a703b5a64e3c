"""`VideoJobs`: videos processed one after the other, each in its own folder, which outlives the service.

If the service is stopped or killed during a job, the job starts again with the service, and its state says so.
"""

import json
import logging
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from manypose.inference.options import PredictOptions, changed
from manypose.io import videos
from manypose.io.files import write_json
from manypose.poses.drawing import draw
from manypose.poses.formats.result_files import FORMATS, Entry, ResultFiles
from manypose.poses.poses import Poses
from manypose.serve.batches import Batches
from manypose.serve.limits import Limits, Refused
from manypose.tracking.tracker import TrackOptions

__all__ = ["RESULTS", "Job", "VideoJobs"]

RESULTS = {"coco": "application/json", "csv": "text/csv", "jsonl": "application/x-ndjson", "mp4": "video/mp4"}
"""The results of a video and their media types."""

RESTARTS = 2
"""Largest number of restarts of a job, so that a job that kills the service does not do so forever."""

_DRAWN = "drawn.mp4"
_AGAIN = "the service was stopped during this job, which starts again"


@dataclass(frozen=True)
class Job:
    """A video and its progress.

    Args:
        id: its random id in addresses.
        video: file name of the upload.
        model: name of the model.
        options: prediction options as plain values.
        track, draw, boxes: whether to track people, to draw the video, and to draw boxes.
        state: queued, running, done or failed.
        frames: number of frames in the video's header; 0 if unknown.
        looked_at: number of finished frames.
        people: number of people found in them.
        restarts: number of restarts.
        note: a one-line message for the user.
        changed: seconds since 1970 of the last change of state.
    """

    id: str
    video: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    track: bool = True
    draw: bool = True
    boxes: bool = False
    state: str = "queued"
    frames: int = 0
    looked_at: int = 0
    people: int = 0
    restarts: int = 0
    note: str = ""
    changed: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The state as JSON."""
        done = 1.0 if self.state == "done" else round(min(0.99, self.looked_at / self.frames), 3) if self.frames else None
        results = [name for name in RESULTS if self.draw or name != "mp4"] if self.state == "done" else []
        return {**asdict(self), "progress": done, "results": {name: f"/video/{self.id}/{name}" for name in results}}


class _Stopped(Exception):
    """The job was removed, or the service is being stopped."""


class VideoJobs:
    """The video jobs and the thread that runs them, one at a time.

    Args:
        folder: folder of the jobs; created with the first one.
        batches: queue of the models.
        limits: limits of frames, pixels, minutes, and jobs.
        batch_size: number of frames in one call.
    """

    def __init__(self, folder: Path, batches: Batches, limits: Limits, batch_size: int) -> None:
        self.folder, self._batches, self._limits, self._batch_size = folder, batches, limits, batch_size
        self._jobs: dict[str, Job] = {}
        self._arriving: set[Path] = set()
        self._changed = threading.Condition()
        self._stopping = False
        for path in sorted(folder.glob("*/upload")):
            if (path.parent / "job.json").is_file():
                self._found(path.parent / "job.json")
            else:  # the service was killed during the upload
                shutil.rmtree(path.parent, ignore_errors=True)
        self._thread = threading.Thread(target=self._run, name="manypose-videos", daemon=True)
        self._thread.start()

    def _found(self, path: Path) -> None:
        """Take over a job of an earlier run of the service."""
        try:
            job = Job(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError):
            logging.getLogger("manypose").warning("%s: not a job of this service; it is left alone", path)
            return
        if job.state in ("queued", "running"):
            began = job.state == "running"
            note = _AGAIN if began else job.note
            job = replace(job, state="queued", looked_at=0, people=0, restarts=job.restarts + began, note=note)
            if job.restarts > RESTARTS:
                job = replace(job, state="failed", note=f"the service stopped {job.restarts} times during this job, which was abandoned")
            elif job.model not in self._batches.models:
                job = replace(job, state="failed", note=f"the service was restarted without the model {job.model}")
            if began:
                logging.getLogger("manypose").warning("video job %s (%s): %s", job.id, job.video, job.note)
        self._jobs[job.id] = job
        self._save(job)

    # ── from requests ──

    def new(self) -> Path:
        """An empty folder for an upload.

        Raises:
            Refused: too many videos wait already (503).
        """
        self._forget_old()
        path = self.folder / secrets.token_hex(16)
        with self._changed:
            waiting = self.unfinished + len(self._arriving)
            if self._stopping or waiting >= self._limits.max_videos:
                raise Refused(503, f"{waiting} videos are already waiting; try again in 60 s", 60)
            self._arriving.add(path)
        path.mkdir(parents=True, mode=0o700)
        return path

    def discard(self, folder: Path) -> None:
        """Delete the folder of a failed upload."""
        self._arriving.discard(folder)
        shutil.rmtree(folder, ignore_errors=True)

    def add(self, folder: Path, job: Job) -> Job:
        """Queue a job whose video is in its folder."""
        try:
            about = videos.about(folder / "upload", self._limits.pixels)
        except ValueError as e:
            raise Refused(422, self._plain(str(e), folder, job)) from None
        except ImportError as e:
            raise Refused(501, str(e)) from None
        if about.count > self._limits.max_frames:
            raise Refused(413, f"{job.video}: {about.count} frames; the limit is {self._limits.max_frames}")
        job = replace(job, id=folder.name, frames=about.count, changed=time.time())
        with self._changed:
            self._arriving.discard(folder)
            self._jobs[job.id] = job
            self._save(job)
            self._changed.notify()
        return job

    def get(self, name: str) -> Job:
        """A job by its id.

        Raises:
            Refused: there is none (404).
        """
        if name not in self._jobs:
            raise Refused(404, "no such video; finished ones are deleted after a while")
        return self._jobs[name]

    def result(self, name: str, kind: str) -> tuple[Path, str]:
        """A result file of a finished job, and its media type.

        Raises:
            Refused: no such job or kind (404), or it is not finished (409).
        """
        job = self.get(name)
        if kind not in RESULTS or (kind == "mp4" and not job.draw):
            raise Refused(404, f"results of this video are {', '.join(k for k in RESULTS if job.draw or k != 'mp4')}")
        if job.state != "done":
            raise Refused(409, f"{job.video}: {job.note or job.state}" if job.state == "failed" else f"{job.video}: not finished yet")
        return self.folder / job.id / (_DRAWN if kind == "mp4" else FORMATS[kind]), RESULTS[kind]

    def remove(self, name: str) -> None:
        """Stop a job, and delete its video and results."""
        job = self.get(name)
        with self._changed:
            self._jobs.pop(job.id, None)
        shutil.rmtree(self.folder / job.id, ignore_errors=True)

    @property
    def unfinished(self) -> int:
        """Number of videos that wait or run."""
        return sum(job.state in ("queued", "running") for job in list(self._jobs.values()))

    def states(self) -> dict[str, int]:
        """Number of jobs in each state."""
        jobs = list(self._jobs.values())
        return {state: sum(job.state == state for job in jobs) for state in ("queued", "running", "done", "failed")}

    def close(self, seconds: float) -> None:
        """Wait up to `seconds` for the running job; an unfinished job starts again with the next start of the service."""
        with self._changed:
            self._ending = time.monotonic() + seconds
            self._stopping = True
            self._changed.notify()
        self._thread.join(seconds + 30)

    # ── the thread ──

    _ending = float("inf")

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopping and not any(job.state == "queued" for job in self._jobs.values()):
                    self._changed.wait()
                if self._stopping:
                    return
                job = next(job for job in self._jobs.values() if job.state == "queued")
            job = self._set(job, state="running")
            try:
                job = self._look(job)
                job = self._set(job, state="done")
            except Exception as e:
                if self._stopping:  # not the video's fault
                    self._set(job, state="queued", looked_at=0, people=0, note=_AGAIN)
                    return
                if isinstance(e, _Stopped):
                    continue
                logging.getLogger("manypose").debug("video job %s", job.id, exc_info=e)
                known = isinstance(e, (ValueError, OSError, ImportError, Refused))
                said = self._plain(str(e), self.folder / job.id, job) if known else f"{type(e).__name__} during processing"
                self._set(self._jobs.get(job.id, job), state="failed", note=said)

    def _look(self, job: Job) -> Job:
        """Predict every frame, and write the result files."""
        folder, options = self.folder / job.id, changed(PredictOptions(), **job.options)
        model, source, began = self._batches.models[job.model], folder / "upload", time.monotonic()
        tracker = model.tracker(TrackOptions()) if job.track else False
        files = ResultFiles(folder, ("coco", "csv", "jsonl"))
        finder = self._batches.finder(job.model)
        with ExitStack() as open_files:
            show = None
            if job.draw:
                show = open_files.enter_context(videos.writer(folder / _DRAWN, videos.about(source, self._limits.pixels).fps, source))
            for frames in self._turns(source):
                pixels = [frame.pixels for frame in frames]
                turn = self._batches.call(lambda p=pixels: model.predict(p, detector=finder, track=tracker, colour="rgb", options=options))
                for frame, poses in zip(frames, turn.result(), strict=True):
                    job = self._frame(job, files, frame, poses)
                    if show is not None:
                        show(draw(frame.pixels, poses, boxes=job.boxes), frame.time)
                if time.monotonic() - began > self._limits.max_video_minutes * 60:
                    raise ValueError(f"not finished within {self._limits.max_video_minutes:g} minutes; send a shorter video")
        files.finish()
        return job

    def _turns(self, source: Path) -> Iterator[list[videos.Frame]]:
        frames = videos.read(source, self._limits.pixels)
        while group := list(islice(frames, self._batch_size)):
            if group[-1].number >= self._limits.max_frames:
                raise ValueError(f"more than {self._limits.max_frames} frames; send a shorter video")
            yield group

    def _frame(self, job: Job, files: ResultFiles, frame: videos.Frame, poses: Poses) -> Job:
        if job.id not in self._jobs or time.monotonic() > self._ending:
            raise _Stopped
        size = (frame.pixels.shape[0], frame.pixels.shape[1])
        files.add(Entry(f"{job.video}#{frame.number}", f"{frame.number}", frame.number + 1, size, poses, frame.number, frame.time))
        return self._set(job, save=False, looked_at=frame.number + 1, people=job.people + len(poses))

    # ── states ──

    def _set(self, job: Job, save: bool = True, **changes: Any) -> Job:
        job = replace(job, **changes, **({"changed": time.time()} if save else {}))
        with self._changed:
            if job.id in self._jobs:
                self._jobs[job.id] = job
                if save:
                    self._save(job)
        return job

    def _save(self, job: Job) -> None:
        write_json(self.folder / job.id / "job.json", asdict(job))

    def _forget_old(self) -> None:
        old = time.time() - self._limits.keep_hours * 3600
        for job in list(self._jobs.values()):
            if job.state in ("done", "failed") and job.changed < old:
                with suppress(Refused):
                    self.remove(job.id)

    @staticmethod
    def _plain(said: str, folder: Path, job: Job) -> str:
        """An error message without file paths of this machine."""
        said = said.replace(str(folder / "upload"), job.video).replace(str(folder), "the job")
        return re.sub(r"; if you trust it.*", "", " ".join(said.split()))[:400]
