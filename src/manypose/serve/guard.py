"""`Guard`: ASGI middleware that checks the token, the origin and the size of requests, and counts them.

Cross-origin requests are refused (CORS is off). On a loopback address, so are requests with another host name, which foreign web pages
could use to reach the service (DNS rebinding).
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
"""Paths that need no token: the page, which holds no data, and the health check of a load balancer."""

_HEADERS = {
    b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer", b"x-frame-options": b"DENY",
    b"cross-origin-resource-policy": b"same-origin",
}  # fmt: skip


class Metrics:
    """The counters for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        more: dict[str, Any] = {"namespace": "manypose", "registry": self.registry}
        self.requests = Counter("requests", "Requests by path and status.", ["path", "status"], **more)
        self.seconds = Histogram(
            "request_seconds", "Time to the response.", ["path"], buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60), **more
        )
        self.photos = Counter("photos", "Photos processed.", **more)
        self.people = Counter("people", "People found in photos.", **more)
        self.together = Histogram("photos_together", "Photos processed in one group.", buckets=(1, 2, 4, 8, 16, 32), **more)
        self.network = Counter("network_seconds", "Seconds spent in the network and its pre- and post-processing.", **more)
        self.queue = Gauge("photos_accepted", "Photos accepted and not yet processed.", **more)
        self.videos = Gauge("videos", "Videos by state.", ["state"], **more)
        ProcessCollector(namespace="manypose", registry=self.registry)


def refusal(status: int, said: str, retry: int | None = None) -> JSONResponse:
    """An error as one line of JSON."""
    headers = {"retry-after": str(retry)} if retry is not None else {}
    headers |= {"www-authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse({"error": " ".join(said.split())[:400]}, status, headers)


class Guard:
    """ASGI middleware in front of the service.

    Args:
        app: the service.
        token: the token that ``Authorization: Bearer`` must hold; empty: none is needed.
        hosts: host names that requests may use; empty: any.
        limits: limits of request bodies.
        metrics: counters of requests.
        paths: paths that are counted by name; all others are counted together.
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
                await refusal(500, "internal error; see the log of the service")(scope, receive, told)
        finally:
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - began)

    def _check(self, request: Request, most: int) -> None:
        host = (urlsplit("//" + request.headers.get("host", "")).hostname or "").lower()
        if self._hosts and host not in self._hosts:
            raise Refused(403, "unknown host name in the request")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
            raise Refused(403, "cross-origin requests are not allowed")
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
    """`receive` with a limit on the bytes of the body, whatever the request's header says."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise _too_large(most)
        return message

    return counted
