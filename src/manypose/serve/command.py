"""``manypose serve``: an HTTP service for photos and videos, with a web page."""

import ctypes
import os
import re
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from manypose.inference.loading import RuntimeName
from manypose.inference.model import load
from manypose.inference.options import PredictOptions
from manypose.serve.limits import Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["bound_heap", "closing", "run", "serve"]

M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3
"""Parameters of glibc's mallopt: the number of heaps, and the size in bytes from which a block is returned to the system at once."""


def serve(
    *,
    model: list[str] = ["default"],  # noqa: B006 - shown by --help, never changed
    weights: Path | None = None,
    device: str = "auto",
    runtime: RuntimeName = "auto",
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Path | None = None,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
    limits: Limits = Limits(),  # noqa: B008 - frozen
    url_hosts: list[str] = [],  # noqa: B006 - never changed
    jobs: Path = Path("manypose-jobs"),
    grace: float = 30.0,
) -> None:
    """Serve predictions for photos and videos over HTTP, with a web page at the printed address.

    Args:
        model: models to load, by name or .safetensors file; the first is the default.
        weights: a weights file for a single named model: .safetensors, or a published .pth.
        device: the device that runs the networks: auto, cpu, cuda or cuda:N.
        runtime: the library that runs the networks: torch, onnx or openvino; auto is onnx if the graph is bundled, else torch.
        host: the address to listen on; by default only this machine can reach the service.
        port: the port to listen on; 0 chooses a free one.
        token_file: a file with the token that requests must send; alternatively set MANYPOSE_TOKEN.
        options: default prediction options.
        limits: limits of a request.
        url_hosts: hosts from which photos may be fetched by address; by default none.
        jobs: the folder where videos and their results are kept.
        grace: seconds that a shutdown waits for a running video; an unfinished one is processed again after the next start.
    """
    if weights is not None and len(model) != 1:
        raise ValueError("weights need exactly one model (--model NAME)")
    if not 0 <= port < 65536:
        raise ValueError(f"port must be from 0 to 65535, got {port}")
    secret = _token(token_file)
    from manypose.serve.guard import LOOPBACK

    local = host in LOOPBACK
    if not local and not secret:
        warnings.warn(f"anyone who can reach {host} can use this service; require a token with --token-file FILE", stacklevel=2)
    from manypose.serve.app import service

    bound_heap()
    models = {_short(name): load(name, weights=weights, device=device, runtime=runtime) for name in model}
    app = service(
        models, options=options, limits=limits, token=secret, hosts=LOOPBACK if local else (), url_hosts=url_hosts, jobs=jobs, grace=grace
    )
    run(app, host, port)


def bound_heap() -> bool:
    """Limit the memory that glibc keeps after use; whether it could be done (not on other systems).

    By default threads get up to eight heaps per core, and once a large block was freed, blocks of its size also come from the heaps. The
    memory of a service with many threads then grows for a long time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return bool(mallopt(M_ARENA_MAX, 2) and mallopt(M_MMAP_THRESHOLD, 1 << 20))


def run(app: "ASGIApp", host: str, port: int) -> None:
    """Serve an ASGI application until Ctrl-C or SIGTERM; accepted requests are finished first.

    Raises:
        OSError: the address is in use, or does not belong to this machine.
    """
    import uvicorn

    config = uvicorn.Config(
        closing(app, lambda: server.should_exit),
        host,
        port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
    )
    server = uvicorn.Server(config)
    try:
        socket = config.bind_socket()
    except SystemExit:  # uvicorn has printed the reason
        raise OSError(f"cannot listen on {host}:{port}; another program may use it (--port N chooses another)") from None
    socket.listen(config.backlog)  # a client that reads the next line may connect at once
    shown, bound = f"[{host}]" if ":" in host else host, socket.getsockname()[1]
    print(f"manypose: http://{shown}:{bound} (Ctrl-C stops it)", flush=True)
    # uvicorn raises the signal again after a clean shutdown; it is ignored then, so that the exit code is 0.
    before = {s: signal.signal(s, lambda *_: None) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run([socket])
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def closing(app: "ASGIApp", stopping: Callable[[], bool]) -> "ASGIApp":
    """An application whose responses close their connection once `stopping` is true.

    uvicorn closes the connections that it knows of when it is stopped. One that is opened in this moment would be kept alive for half a
    minute after its response, and the process with it.
    """

    async def answer(scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def told(message: "Message") -> None:
            if message["type"] == "http.response.start" and stopping():
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await app(scope, receive, told)

    return answer


def _token(path: Path | None) -> str:
    """The token from a file or from the environment."""
    if path is None:
        token = os.environ.get("MANYPOSE_TOKEN", "")
    else:
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as e:
            raise ValueError(f"{path}: cannot be read ({getattr(e, 'strerror', None) or 'not a text'})") from None
        if not token:
            raise ValueError(f"{path}: no token in it")
    if token and not re.fullmatch(r"[\x21-\x7e]{8,}", token):
        raise ValueError("a token needs at least 8 characters, ASCII only and without spaces")
    return token


def _short(name: str) -> str:
    """The name of a model in requests: its name, or that of its file without folder and suffix."""
    return Path(name).stem if name.endswith(".safetensors") else name
