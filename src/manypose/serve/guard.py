"""`Guard`: what stands before the service: who may ask, how large a request may be, and what is counted.

Cross-origin requests are refused (CORS is off), and so are, on a loopback address, those for another host's name, by which pages of
strangers could reach the service (DNS rebinding).
"""

import hmac
import logging
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from manypose.serve.limits import Limits, Refused

__all__ = ["LOOPBACK", "Guard", "Metrics", "refusal"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
OPEN = ("/", "/health")
"""What needs no token: the page, which holds no data, and what a load balancer asks."""

_HEADERS = {
    b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer", b"x-frame-options": b"DENY",
    b"cross-origin-resource-policy": b"same-origin",
}  # fmt: skip


class Metrics:
    """What is counted, for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        more: dict[str, Any] = {"namespace": "manypose", "registry": self.registry}
        self.requests = Counter("requests", "Requests by address and status.", ["path", "status"], **more)
        self.seconds = Histogram(
            "request_seconds", "Time to the answer.", ["path"], buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60), **more
        )
        self.photos = Counter("photos", "Photos that were looked at.", **more)
        self.people = Counter("people", "People found in photos.", **more)
        self.together = Histogram("photos_together", "Photos that went to the network at a time.", buckets=(1, 2, 4, 8, 16, 32), **more)
        self.network = Counter("network_seconds", "Time that the network and its pre- and post-processing took.", **more)
        self.queue = Gauge("photos_accepted", "Photos accepted and not yet answered.", **more)
        self.videos = Gauge("videos", "Videos by state.", ["state"], **more)
        ProcessCollector(namespace="manypose", registry=self.registry)


def refusal(status: int, said: str, retry: int | None = None) -> JSONResponse:
    """An error as one line of JSON."""
    headers = {"retry-after": str(retry)} if retry is not None else {}
    headers |= {"www-authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse({"error": " ".join(said.split())[:400]}, status, headers)


class Guard:
    """An ASGI application before another.

    Args:
        app: the service.
        token: what ``Authorization: Bearer`` must be; empty: nothing is asked for.
        hosts: names by which the service may be called; empty: any.
        limits: of bodies.
        metrics: are told of each request.
        paths: those that are counted by name; others are counted together.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Sequence[str], limits: Limits, metrics: Metrics, paths: Sequence[str]) -> None:
        self.app, self.metrics = app, metrics
        self._token, self._hosts, self._limits, self._paths = token.encode(), [h.lower() for h in hosts], limits, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        request, began, status = Request(scope), time.perf_counter(), 0
        first = "/" + scope["path"].split("/")[1]
        path = first if first in self._paths else "other"

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *_HEADERS.items()]}
            await send(message)

        try:
            most = self._limits.max_video_megabytes if first == "/video" else self._limits.max_megabytes
            self._check(request, int(most * 1e6))
            await self.app(scope, _counted(receive, int(most * 1e6)), told)
        except Refused as e:
            await refusal(e.status, str(e), e.retry)(scope, receive, told)
        except Exception:
            logging.getLogger("manypose").exception("a request for %s failed", path)
            if not status:  # nothing was sent yet
                await refusal(500, "the service failed; its log says why")(scope, receive, told)
        finally:
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - began)

    def _check(self, request: Request, most: int) -> None:
        host = (urlsplit("//" + request.headers.get("host", "")).hostname or "").lower()
        if self._hosts and host not in self._hosts:
            raise Refused(403, "this service is not called by that name")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
            raise Refused(403, "pages of other addresses may not use this service")
        if self._token and request.url.path not in OPEN:
            kind, _, given = request.headers.get("authorization", "").partition(" ")
            if not hmac.compare_digest(given.strip().encode(), self._token) or kind.lower() != "bearer":
                raise Refused(401, "this service needs a token: Authorization: Bearer TOKEN")
        size = request.headers.get("content-length", "0")
        if size.isdecimal() and int(size[:15]) > most:
            raise _too_large(most)


def _too_large(most: int) -> Refused:
    return Refused(413, f"the request is larger than {most / 1e6:g} MB")


def _counted(receive: Receive, most: int) -> Receive:
    """The request's parts, up to so many bytes, whatever its header says."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise _too_large(most)
        return message

    return counted
