"""``manypose serve``: a service for photos and videos, and its page."""

import os
import re
import signal
import warnings
from pathlib import Path

from manypose.inference.loading import RuntimeName
from manypose.inference.model import load
from manypose.inference.options import PredictOptions
from manypose.serve.limits import Limits

__all__ = ["run", "serve"]


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
    """Serve photos and videos over HTTP, with a page at the address that is printed.

    Args:
        model: models to load, by name or .safetensors file; the first is used where a request names none.
        weights: a file for the only model, where it is a name: .safetensors, or a published .pth.
        device: auto, cpu, cuda or cuda:N.
        runtime: what runs the networks: torch, onnx or openvino; auto is onnx where the graph comes with the package, else torch.
        host: the address to listen on; with the default one the service is reached from this machine alone.
        port: the port to listen on; 0 takes a free one.
        token_file: a file with the token that requests must bring; MANYPOSE_TOKEN does the same.
        options: how to predict where a request does not say.
        limits: what a request may cost.
        url_hosts: hosts from which photos may be fetched by their address; by default none.
        jobs: the folder where videos and their results are kept.
        grace: for how many seconds a running video is waited for when the service is stopped; it begins again with the next start.
    """
    if weights is not None and len(model) != 1:
        raise ValueError("weights are for one model; give one (--model NAME)")
    if not 0 <= port < 65536:
        raise ValueError(f"port must be 0 to 65535, got {port}")
    secret = _token(token_file)
    from manypose.serve.guard import LOOPBACK

    local = host in LOOPBACK
    if not local and not secret:
        warnings.warn(f"everybody who reaches {host} may use this service; a token keeps others out (--token-file FILE)", stacklevel=2)
    from manypose.serve.app import service

    models = {_short(name): load(name, weights=weights, device=device, runtime=runtime) for name in model}
    app = service(
        models, options=options, limits=limits, token=secret, hosts=LOOPBACK if local else (), url_hosts=url_hosts, jobs=jobs, grace=grace
    )
    run(app, host, port)


def run(app: object, host: str, port: int) -> None:
    """Serve an ASGI application until it is stopped (Ctrl-C, SIGTERM); what was accepted is finished first.

    Raises:
        OSError: the address is taken, or is none of this machine's.
    """
    import uvicorn

    config = uvicorn.Config(app, host, port, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=30)  # type: ignore[arg-type]
    try:
        socket = config.bind_socket()
    except SystemExit:  # uvicorn has said why
        raise OSError(f"{host}:{port} cannot be listened on; another program may have it (--port N)") from None
    shown, bound = f"[{host}]" if ":" in host else host, socket.getsockname()[1]
    print(f"manypose: http://{shown}:{bound} (Ctrl-C stops it)", flush=True)
    # uvicorn raises the signal that stopped it once more when all is done: it then has no effect, and the exit code is 0.
    before = {s: signal.signal(s, lambda *_: None) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        uvicorn.Server(config).run([socket])
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def _token(path: Path | None) -> str:
    """The token of a file or of the environment."""
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
        raise ValueError("a token has at least 8 characters, and no blanks or letters beyond ASCII")
    return token


def _short(name: str) -> str:
    """What a model is called in requests: its name, or its file's without folder and suffix."""
    return Path(name).stem if name.endswith(".safetensors") else name
