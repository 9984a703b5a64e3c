"""The content of a request: its options, and its photos, read within limits. No file path is ever taken from a request."""

import json
import re
from collections.abc import Sequence
from dataclasses import fields
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import numpy as np
from fastapi import Request
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from starlette.datastructures import UploadFile

from manypose.inference.options import PredictOptions, changed
from manypose.io import photos
from manypose.io.printable import printable
from manypose.serve.limits import Limits, Refused, affordable

__all__ = ["OPTIONS", "Photo", "Query", "Video", "asked", "decode", "fetched", "label", "parameters", "sent"]

Photo = tuple[str, bytes]
"""The name of an upload, and its bytes."""

OPTIONS = [f.name for f in fields(PredictOptions) if f.name not in ("batch_size", "published")]
"""The options that a request may set: all except those that change only memory and time, or allow inputs of any size."""

_HINTS = get_type_hints(PredictOptions)
_FIELDS: dict[str, Any] = {name: (_HINTS[name] | None, None) for name in OPTIONS}


class _Common(BaseModel):
    """Query parameters of every request."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = None
    format: str | None = None
    boxes: bool = False


class _ForPhotos(_Common):
    image_id: int = 1
    draw_threshold: float | None = None


class _ForVideos(_Common):
    track: bool = True
    draw: bool = True


Query = create_model("Query", __base__=_ForPhotos, **_FIELDS)
"""The query of a request for photos."""

Video = create_model("Video", __base__=_ForVideos, **_FIELDS)
"""The query of a request for a video."""


def parameters(kind: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI description of the query parameters."""
    shapes = kind.model_json_schema()["properties"]
    return {"parameters": [{"in": "query", "name": name, "required": False, "schema": shape} for name, shape in shapes.items()]}


def asked(request: Request, kind: type[BaseModel], defaults: PredictOptions, limits: Limits) -> tuple[Any, PredictOptions]:
    """The query parameters of a request, and its prediction options.

    Raises:
        Refused: an unknown parameter or an invalid value (422).
    """
    given: dict[str, Any] = dict(request.query_params)
    if "scales" in given:
        given["scales"] = [word for text in request.query_params.getlist("scales") for word in text.split(",")]
    try:
        query = kind.model_validate(given)
        named = {name: getattr(query, name) for name in OPTIONS if getattr(query, name) is not None}
        options = changed(defaults, **named)
    except ValidationError as e:
        first = e.errors()[0]
        place = ".".join(map(str, first["loc"]))
        near = "no such option; available: " + ", ".join(kind.model_fields) if first["type"] == "extra_forbidden" else first["msg"]
        raise Refused(422, f"{printable(place)[:80]}: {near}") from None
    except ValueError as e:
        raise Refused(422, str(e)) from None
    affordable(options, limits)
    return query, options


def label(name: str | None, else_: str) -> str:
    """The name of an upload in responses and errors: its file name without folders, on one line."""
    said = printable(re.split(r"[/\\]", name or "")[-1]).strip()[:120]
    return said or else_


async def sent(request: Request, limits: Limits, hosts: Sequence[str] = ()) -> list[Photo] | str:
    """The photos of a request, or the address of one.

    Args:
        request: multipart/form-data with a file or several; ``{"url": ...}`` as application/json; anything else is a photo's bytes.
        limits: limits of a request.
        hosts: hosts from which photos may be fetched by address.

    Raises:
        Refused: no photo, too many, or an address that may not be fetched.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=limits.max_photos, max_fields=20) as form:
            files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            if not files:
                raise Refused(422, "the form has no file; send a photo: curl -F image=@photo.jpg ADDRESS")
            return [(label(file.filename, f"photo {i}"), await file.read()) for i, file in enumerate(files)]
    content = await request.body()
    if kind == "application/json":
        return _address(content, hosts)
    if not content:
        raise Refused(422, "the request has no photo; send its bytes, or a form with a file")
    return [("the photo", content)]


def _address(content: bytes, hosts: Sequence[str]) -> str:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise Refused(422, "the body is not JSON; send a photo's bytes or a form with a file") from None
    address = body.get("url") if isinstance(body, dict) else None
    if not isinstance(address, str) or set(body) != {"url"}:
        raise Refused(422, 'JSON must be {"url": "https://HOST/photo.jpg"}; otherwise send a photo\'s bytes or a form with a file')
    if not hosts:
        raise Refused(403, "this service does not fetch addresses; send the photo itself")
    return address


def fetched(address: str, hosts: Sequence[str], limits: Limits) -> Photo:
    """The photo at an http or https address of an allowed host; redirections are not followed.

    Raises:
        Refused: the host is not allowed (403), or the photo cannot be fetched (422).
    """
    try:
        parts = urlsplit(address)
        where = parts.hostname or ""
        port = parts.port
    except ValueError:
        raise Refused(422, "the url is not a valid address") from None
    allowed = {where, f"{where}:{port}"} & {h.lower() for h in hosts}
    if parts.scheme not in ("http", "https") or not allowed or parts.username is not None:
        raise Refused(403, "this service may not fetch from the host of that address; allowed hosts are set at its start (--url-hosts)")
    if re.search(r"[\x00-\x20\x7f-\uffff]", address):
        raise Refused(422, "the url has characters that must be percent-encoded (%XX)")
    most = int(limits.max_megabytes * 1e6)
    connection = (HTTPSConnection if parts.scheme == "https" else HTTPConnection)(where, port, timeout=min(30, limits.max_seconds))
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers={"User-Agent": "manypose"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise Refused(422, f"cannot fetch the address: status {answer.status}")
        content = answer.read(most + 1)
    except (OSError, HTTPException) as e:
        raise Refused(422, f"cannot fetch the address ({type(e).__name__})") from None
    finally:
        connection.close()
    if len(content) > most:
        raise Refused(413, f"the photo at the address is larger than {limits.max_megabytes:g} MB")
    return label(parts.path, "the photo"), content


def decode(photo: Photo, limits: Limits) -> UInt8[np.ndarray, "H W 3"]:
    """A photo's pixels.

    Raises:
        Refused: it is damaged, too large, or not a photo (422).
    """
    try:
        return photos.read(photo[0], limits.pixels, photo[1])
    except ValueError as e:
        said = str(e).partition("; if you trust it")[0]  # the hint for raising the limit is for the operator only
        raise Refused(413 if said != str(e) else 422, said) from None
