"""`Desk`: handles requests for photos and videos, from their arrival to their response."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from jaxtyping import UInt8
from starlette.datastructures import UploadFile

from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.serve.answers import KINDS, PICTURES, kind_of, picture, text
from manypose.serve.batches import Batches
from manypose.serve.guard import Metrics
from manypose.serve.limits import Limits, Refused
from manypose.serve.requests import OPTIONS, Photo, Query, Video, asked, decode, fetched, label, sent
from manypose.serve.video_jobs import Job, VideoJobs

__all__ = ["Desk"]


class Desk:
    """The state that requests share: the models, their queue, and the video jobs.

    Args:
        models: models by name; the first is the default.
        options: default prediction options.
        limits: limits of a request.
        url_hosts: hosts from which photos may be fetched by address.
        jobs: the folder of the video jobs.
        metrics: counters of photos and people.
    """

    def __init__(
        self, models: Mapping[str, Model], options: PredictOptions, limits: Limits, url_hosts: Sequence[str], jobs: Path, metrics: Metrics
    ) -> None:
        self.models, self.options, self.limits, self.url_hosts, self.metrics = models, options, limits, url_hosts, metrics
        self.batches = Batches(models, limits.queue, self._tell)
        self.videos = VideoJobs(jobs, self.batches, limits, options.batch_size)
        self.decoders = anyio.CapacityLimiter(4)

    def _tell(self, photos: int, seconds: float) -> None:
        self.metrics.photos.inc(photos)
        self.metrics.together.observe(photos)
        self.metrics.network.inc(seconds)

    def chosen(self, name: str | None) -> str:
        """The name of the model for a request."""
        if not self.models:
            raise Refused(404, "this service has no model")
        if name is not None and name not in self.models:
            raise Refused(404, f"no model of that name is loaded; available: {', '.join(self.models)}")
        return name or next(iter(self.models))

    def check(self, model: str, options: PredictOptions) -> None:
        """Refuse options that do not suit the model, before anything is decoded."""
        try:
            self.models[model].check(options, False)
        except ValueError as e:
            raise Refused(422, str(e)) from None

    # ── photos ──

    async def look(self, request: Request, many: bool) -> Response:
        """Answer ``/predict`` and ``/predict/batch``."""
        with self.batches.place(), _within(self.limits.max_seconds):
            query, options = asked(request, Query, self.options, self.limits)
            kind = kind_of(request.headers.get("accept", ""), query.format)
            model = self.chosen(query.model)
            self.check(model, options)
            if many and kind in PICTURES:
                raise Refused(406, "a batch is answered as JSON, COCO or CSV; pictures are for single photos")
            given = await sent(request, self.limits, self.url_hosts)
            if isinstance(given, str):
                given = [await run_sync(fetched, given, self.url_hosts, self.limits)]
            if len(given) > 1 and not many:
                raise Refused(422, f"{len(given)} photos; send one, or use /predict/batch for several")
            if len(given) > self.limits.queue:
                raise Refused(413, f"{len(given)} photos at once; this service accepts {self.limits.queue}")
            with self.batches.place(len(given) - 1):
                found = await self.people(given, model, options)
                if all(len(f) == 2 for f in found):
                    raise found[0][1]
                draw = {"boxes": query.boxes}
                draw |= {} if query.draw_threshold is None else {"joint_threshold": query.draw_threshold}
                return await run_sync(partial(_answer, kind, found, model, query.image_id, not many, draw))

    async def people(self, given: Sequence[Photo], model: str, options: PredictOptions) -> list[tuple]:
        """For each photo its name, pixels and people, or its name and an error message."""
        out: list[tuple] = [()] * len(given)

        async def one(i: int, photo: Photo) -> None:
            try:
                pixels = await run_sync(decode, photo, self.limits, limiter=self.decoders)
                poses = await asyncio.wrap_future(self.batches.submit(model, pixels, options))
            except Refused as e:
                if e.status == 503:
                    raise
                out[i] = (photo[0], e)
            except ValueError as e:
                out[i] = (photo[0], Refused(422, f"{photo[0]}: {e}"))
            else:
                self.metrics.people.inc(len(poses))
                out[i] = (photo[0], pixels, poses)

        try:
            async with anyio.create_task_group() as group:
                for i, photo in enumerate(given):
                    group.start_soon(one, i, photo)
        except BaseException as e:  # anyio groups what its tasks raise
            raise _first(e) from None
        return out

    # ── videos ──

    async def video(self, request: Request) -> Response:
        """Take a video."""
        query, options = asked(request, Video, self.options, self.limits)
        model = self.chosen(query.model)
        self.check(model, options)
        folder = self.videos.new()
        try:
            with _within(10 * self.limits.max_seconds):
                name = await _stored(request, folder / "upload")
            given = {field: getattr(options, field) for field in (*OPTIONS, "batch_size")}
            job = Job("", name, model, given, query.track, query.draw, query.boxes)
            job = await run_sync(self.videos.add, folder, job)
        except BaseException:
            self.videos.discard(folder)
            raise
        return JSONResponse(job.to_json(), 202, {"location": f"/video/{job.id}"})


def _answer(kind: str, found: Sequence[tuple], model: str, first_id: int, alone: bool, draw: dict[str, Any]) -> Response:
    """The people in photos, in the requested format."""
    if kind in PICTURES:
        (_, pixels, poses) = found[0]
        return Response(picture(kind, pixels, poses, **draw), media_type=KINDS[kind])
    rows = [(f[0], str(f[1])) if len(f) == 2 else (f[0], _size(f[1]), f[2]) for f in found]
    return Response(text(kind, rows, model, first_id, alone), media_type=KINDS[kind])


def _size(pixels: UInt8[np.ndarray, "H W 3"]) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


class _within:
    """A context that raises `Refused` after a number of seconds."""

    def __init__(self, seconds: float) -> None:
        self._scope, self._seconds = anyio.move_on_after(seconds), seconds

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        done = self._scope.__exit__(*error)
        if self._scope.cancelled_caught:
            raise Refused(503, f"no result within {self._seconds:g} s; try again when fewer photos are waiting", 10)
        return done


def _first(error: BaseException) -> BaseException:
    """The first error of an exception group."""
    inner = getattr(error, "exceptions", None)
    return _first(inner[0]) if inner else error


async def _stored(request: Request, path: Path) -> str:
    """Write an uploaded video to a file and return its name."""
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=20) as form:
            files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            if not files:
                raise Refused(422, "the form has no file; send a video: curl -F video=@clip.mp4 ADDRESS")
            with open(path, "wb") as out:
                while chunk := await files[0].read(1 << 20):
                    await run_sync(out.write, chunk)
            return label(files[0].filename, "the video")
    with open(path, "wb") as out:
        async for chunk in request.stream():
            await run_sync(out.write, chunk)
    if not path.stat().st_size:
        raise Refused(422, "the request has no video; send its bytes, or a form with a file")
    return "the video"
