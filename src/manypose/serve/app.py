"""The service's addresses, on FastAPI."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import anyio
import numpy as np
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from jaxtyping import UInt8
from prometheus_client import generate_latest
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from manypose import __version__
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.poses.drawing import joint_colour, limb_colour
from manypose.serve.answers import KINDS, PICTURES, kind_of, picture, text
from manypose.serve.batches import Batches
from manypose.serve.guard import Guard, Metrics, refusal
from manypose.serve.limits import Limits, Refused
from manypose.serve.requests import OPTIONS, Photo, Query, Video, asked, decode, fetched, label, parameters, sent
from manypose.serve.video_jobs import Job, VideoJobs

__all__ = ["ErrorView", "service"]

_PAGE = Path(__file__).with_name("page.html")
_PATHS = ("/", "/predict", "/video", "/models", "/health", "/metrics", "/openapi.json", "/analysis")


@runtime_checkable
class ErrorView(Protocol):
    """An error analysis for the page; `manypose.serve.analysis_view.AnalysisView` is one."""

    def summary(self) -> dict[str, Any]:
        """All photos with their errors."""
        ...

    def photo_people(self, image: int) -> dict[str, Any]:
        """A photo's annotated people and results."""
        ...

    def jpeg(self, image: int) -> bytes:
        """A photo."""
        ...


class _Service:
    """What the addresses share."""

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
        """The model that a request means."""
        if not self.models:
            raise Refused(404, "this service has no model")
        if name is not None and name not in self.models:
            raise Refused(404, f"no model of that name is loaded; there are {', '.join(self.models)}")
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
                raise Refused(406, "a batch is answered as JSON, COCO or CSV; ask for the picture of one photo")
            given = await sent(request, self.limits, self.url_hosts)
            if isinstance(given, str):
                given = [await run_sync(fetched, given, self.url_hosts, self.limits)]
            if len(given) > 1 and not many:
                raise Refused(422, f"{len(given)} photos; send one, or several to /predict/batch")
            if len(given) > self.limits.queue:
                raise Refused(413, f"{len(given)} photos at a time, and this service takes {self.limits.queue}")
            with self.batches.place(len(given) - 1):
                found = await self.people(given, model, options)
                if all(len(f) == 2 for f in found):
                    raise found[0][1]
                draw = {"boxes": query.boxes}
                draw |= {} if query.draw_threshold is None else {"joint_threshold": query.draw_threshold}
                return await run_sync(partial(_answer, kind, found, model, query.image_id, not many, draw))

    async def people(self, given: Sequence[Photo], model: str, options: PredictOptions) -> list[tuple]:
        """For each photo its name, pixels and people, or its name and why there are none."""
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
            for path in folder.iterdir():
                path.unlink(missing_ok=True)
            folder.rmdir()
            raise
        return JSONResponse(job.to_json(), 202, {"location": f"/video/{job.id}"})


def service(
    models: Mapping[str, Model],
    *,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    limits: Limits = Limits(),  # noqa: B008 - frozen
    token: str = "",
    hosts: Sequence[str] = (),
    url_hosts: Sequence[str] = (),
    jobs: Path = Path("manypose-jobs"),
    grace: float = 30.0,
    analysis: ErrorView | None = None,
) -> Guard:
    """The service as an ASGI application.

    Args:
        models: by name; the first is used where a request names none.
        options: how to predict where a request does not say.
        limits: what a request may cost.
        token: what requests must bring as ``Authorization: Bearer``; empty: nothing.
        hosts: the names by which the service may be called; empty: any.
        url_hosts: hosts from which photos are fetched by address; empty: none are.
        jobs: the folder of videos.
        grace: for how many seconds a running video is waited for at the end.
        analysis: an error analysis that the page shows.
    """
    metrics = Metrics()
    state = _Service(models, options, limits, url_hosts, jobs, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        yield
        await run_sync(state.videos.close, grace)
        await run_sync(state.batches.close)

    app = FastAPI(title="manypose", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    _photo_addresses(app, state)
    _video_addresses(app, state)
    _about_addresses(app, state, metrics, analysis is not None)
    _analysis_addresses(app, analysis)
    _errors(app)
    return Guard(app, token, hosts, limits, metrics, _PATHS)


def _photo_addresses(app: FastAPI, state: _Service) -> None:
    body = {"requestBody": {"content": {"image/*": {}, "multipart/form-data": {}, "application/json": {}}}}
    answers: dict[int | str, dict[str, Any]] = {200: {"content": {kind: {} for kind in KINDS.values()}}}

    @app.post("/predict", openapi_extra=parameters(Query) | body, responses=answers)
    async def predict(request: Request) -> Response:
        """The people of one photo."""
        return await state.look(request, many=False)

    @app.post("/predict/batch", openapi_extra=parameters(Query) | body, responses=answers)
    async def batch(request: Request) -> Response:
        """The people of several photos of a form."""
        return await state.look(request, many=True)


def _video_addresses(app: FastAPI, state: _Service) -> None:
    @app.post("/video", openapi_extra=parameters(Video), status_code=202)
    async def video(request: Request) -> Response:
        """Look at a video; the answer says where its progress and results will be."""
        return await state.video(request)

    @app.get("/video/{name}")
    async def progress(name: str) -> Response:
        """How far a video is."""
        return JSONResponse(state.videos.get(name).to_json())

    @app.delete("/video/{name}", status_code=204)
    async def remove(name: str) -> Response:
        """Stop looking at a video, and delete it and its results."""
        await run_sync(state.videos.remove, name)
        return Response(status_code=204)

    @app.get("/video/{name}/{kind}")
    async def results(name: str, kind: str) -> Response:
        """A video's people as coco, csv or jsonl, or the drawn video as mp4."""
        path, media_type = state.videos.result(name, kind)
        stem = re.sub(r"[^\w.-]", "_", Path(state.videos.get(name).video).stem)[:80] or "video"
        return FileResponse(path, media_type=media_type, filename=f"{stem}_poses.{path.suffix[1:]}")


def _about_addresses(app: FastAPI, state: _Service, metrics: Metrics, analysed: bool) -> None:
    content = _PAGE.read_text(encoding="utf-8")
    parts = {tag: re.findall(rf"<{tag}>(.*?)</{tag}>", content, re.DOTALL) for tag in ("script", "style")}
    hashes = {tag: " ".join(f"'sha256-{_sha256(part)}'" for part in some) for tag, some in parts.items()}
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(content, media_type="text/html; charset=utf-8", headers={"content-security-policy": policy})

    @app.get("/models")
    async def models() -> Response:
        """The models that are loaded, the first of them the default, and the options' defaults."""
        defaults = {name: getattr(state.options, name) for name in OPTIONS}
        limits = {name: getattr(state.limits, name) for name in ("max_megabytes", "max_video_megabytes", "max_megapixels", "max_photos")}
        loaded = [_about(name, model) for name, model in state.models.items()]
        return JSONResponse({"models": loaded, "options": defaults, "limits": limits, "analysis": analysed})

    @app.get("/health")
    async def health() -> Response:
        """Whether the service works."""
        good = state.batches.working
        said = {"status": "ok" if good else "stopping", "version": __version__, "models": list(state.models)}
        return JSONResponse({**said, "photos_accepted": state.batches.accepted, "videos": state.videos.states()}, 200 if good else 503)

    @app.get("/metrics", include_in_schema=False)
    async def measured() -> Response:
        metrics.queue.set(state.batches.accepted)
        for name, number in state.videos.states().items():
            metrics.videos.labels(name).set(number)
        return Response(generate_latest(metrics.registry), media_type="text/plain; version=0.0.4; charset=utf-8")


def _analysis_addresses(app: FastAPI, view: ErrorView | None) -> None:
    @app.get("/analysis")
    async def summary() -> Response:
        """An evaluation's photos with their errors."""
        return JSONResponse(await run_sync(_there(view).summary))

    @app.get("/analysis/{image}")
    async def people(image: int) -> Response:
        """A photo's annotated people and results."""
        return JSONResponse(_there(view).photo_people(image))

    @app.get("/analysis/{image}/photo")
    async def photo(image: int) -> Response:
        """The photo."""
        return Response(await run_sync(_there(view).jpeg, image), media_type="image/jpeg")


def _there(view: ErrorView | None) -> ErrorView:
    if view is None:
        raise Refused(404, "this service shows no error analysis; manypose evaluate --analyze --serve does")
    return view


def _errors(app: FastAPI) -> None:
    async def refused(request: Request, error: Any) -> Response:
        return refusal(error.status, str(error), error.retry)

    async def said(request: Request, error: Any) -> Response:
        return refusal(error.status_code, f"{error.detail}")

    async def wrong(request: Request, error: Any) -> Response:
        return refusal(422, "; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in error.errors()))

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=400)

    async def failed(request: Request, error: Exception) -> Response:
        return refusal(500, "the service failed; its log says why")

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(HTTPException, said)
    app.add_exception_handler(RequestValidationError, wrong)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, failed)


# ── parts ──


def _about(name: str, model: Model) -> dict[str, Any]:
    skeleton = model.skeleton
    return {
        "name": name, "detector": model.detector, "needs_boxes": model.needs_boxes, "skeleton": skeleton.name,
        "joints": list(skeleton.joints), "limbs": [list(limb) for limb in skeleton.limbs], "sigmas": list(skeleton.sigmas),
        "joint_colours": [joint_colour(skeleton, j) for j in range(len(skeleton))],
        "limb_colours": [limb_colour(skeleton, limb) for limb in skeleton.limbs],
    }  # fmt: skip


def _answer(kind: str, found: Sequence[tuple], model: str, first_id: int, alone: bool, draw: dict[str, Any]) -> Response:
    """The people of photos in the format that was asked for."""
    if kind in PICTURES:
        (_, pixels, poses) = found[0]
        return Response(picture(kind, pixels, poses, **draw), media_type=KINDS[kind])
    rows = [(f[0], str(f[1])) if len(f) == 2 else (f[0], _size(f[1]), f[2]) for f in found]
    return Response(text(kind, rows, model, first_id, alone), media_type=KINDS[kind])


def _size(pixels: UInt8[np.ndarray, "H W 3"]) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


class _within:
    """A block that takes at most so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._scope, self._seconds = anyio.move_on_after(seconds), seconds

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        done = self._scope.__exit__(*error)
        if self._scope.cancelled_caught:
            raise Refused(503, f"not answered within {self._seconds:g} s; try again when fewer photos are waiting", 10)
        return done


def _first(error: BaseException) -> BaseException:
    """The first error of a group of them."""
    inner = getattr(error, "exceptions", None)
    return _first(inner[0]) if inner else error


async def _stored(request: Request, path: Path) -> str:
    """Write an uploaded video to a file; what it is called."""
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


def _sha256(part: str) -> str:
    return base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
