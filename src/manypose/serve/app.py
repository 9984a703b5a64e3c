"""The service's endpoints, on FastAPI."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from prometheus_client import generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from manypose import __version__
from manypose.inference.model import Model
from manypose.inference.options import PredictOptions
from manypose.poses.drawing import joint_colour, limb_colour
from manypose.serve.answers import KINDS
from manypose.serve.desk import Desk
from manypose.serve.guard import Guard, Metrics, refusal
from manypose.serve.limits import Limits, Refused
from manypose.serve.requests import OPTIONS, Query, Video, parameters

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
        models: models by name; the first is the default.
        options: default prediction options.
        limits: limits of a request.
        token: the token that requests must send as ``Authorization: Bearer``; empty: none is needed.
        hosts: host names that requests may use; empty: any.
        url_hosts: hosts from which photos may be fetched by address; empty: none.
        jobs: the folder of the video jobs.
        grace: seconds that a shutdown waits for a running video.
        analysis: an error analysis for the page to show.
    """
    metrics = Metrics()
    desk = Desk(models, options, limits, url_hosts, jobs, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        yield
        await run_sync(desk.videos.close, grace)
        await run_sync(desk.batches.close)

    app = FastAPI(title="manypose", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    _photo_addresses(app, desk)
    _video_addresses(app, desk)
    _about_addresses(app, desk, metrics, analysis is not None)
    _analysis_addresses(app, analysis)
    _errors(app)
    return Guard(app, token, hosts, limits, metrics, _PATHS)


def _photo_addresses(app: FastAPI, desk: Desk) -> None:
    body = {"requestBody": {"content": {"image/*": {}, "multipart/form-data": {}, "application/json": {}}}}
    answers: dict[int | str, dict[str, Any]] = {200: {"content": {kind: {} for kind in KINDS.values()}}}

    @app.post("/predict", openapi_extra=parameters(Query) | body, responses=answers)
    async def predict(request: Request) -> Response:
        """The people in one photo."""
        return await desk.look(request, many=False)

    @app.post("/predict/batch", openapi_extra=parameters(Query) | body, responses=answers)
    async def batch(request: Request) -> Response:
        """The people in several photos of a form."""
        return await desk.look(request, many=True)


def _video_addresses(app: FastAPI, desk: Desk) -> None:
    @app.post("/video", openapi_extra=parameters(Video), status_code=202)
    async def video(request: Request) -> Response:
        """Submit a video; the response names the address of its progress and results."""
        return await desk.video(request)

    @app.get("/video/{name}")
    async def progress(name: str) -> Response:
        """The progress of a video."""
        return JSONResponse(desk.videos.get(name).to_json())

    @app.delete("/video/{name}", status_code=204)
    async def remove(name: str) -> Response:
        """Cancel a video, and delete it and its results."""
        await run_sync(desk.videos.remove, name)
        return Response(status_code=204)

    @app.get("/video/{name}/{kind}")
    async def results(name: str, kind: str) -> Response:
        """The people in a video as coco, csv or jsonl, or the drawn video as mp4."""
        path, media_type = desk.videos.result(name, kind)
        stem = re.sub(r"[^\w.-]", "_", Path(desk.videos.get(name).video).stem)[:80] or "video"
        return FileResponse(path, media_type=media_type, filename=f"{stem}_poses.{path.suffix[1:]}")


def _about_addresses(app: FastAPI, desk: Desk, metrics: Metrics, analysed: bool) -> None:
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
        """The loaded models (the first is the default) and the default options."""
        defaults = {name: getattr(desk.options, name) for name in OPTIONS}
        limits = {name: getattr(desk.limits, name) for name in ("max_megabytes", "max_video_megabytes", "max_megapixels", "max_photos")}
        loaded = [_about(name, model) for name, model in desk.models.items()]
        return JSONResponse({"models": loaded, "options": defaults, "limits": limits, "analysis": analysed})

    @app.get("/health")
    async def health() -> Response:
        """Whether the service is healthy."""
        good = desk.batches.working
        said = {"status": "ok" if good else "stopping", "version": __version__, "models": list(desk.models)}
        return JSONResponse({**said, "photos_accepted": desk.batches.accepted, "videos": desk.videos.states()}, 200 if good else 503)

    @app.get("/metrics", include_in_schema=False)
    async def measured() -> Response:
        metrics.queue.set(desk.batches.accepted)
        for name, number in desk.videos.states().items():
            metrics.videos.labels(name).set(number)
        return Response(generate_latest(metrics.registry), media_type="text/plain; version=0.0.4; charset=utf-8")


def _analysis_addresses(app: FastAPI, view: ErrorView | None) -> None:
    @app.get("/analysis")
    async def summary() -> Response:
        """The photos of an evaluation with their errors."""
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
        raise Refused(404, "this service has no error analysis; manypose evaluate --analyze --serve shows one")
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
        return refusal(500, "internal error; see the log of the service")

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


def _sha256(part: str) -> str:
    return base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
