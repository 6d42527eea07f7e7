"""What JSON routes without a body model share: reading a body, and working off the event loop."""

import json
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from app.http.dependencies import MAX_BODY_BYTES
from app.http.errors import NO_STORE, BadBody, error_response, verdict_part
from tempo_core.errors import InputError

__all__ = ["answer", "error_answer", "number_of", "numbers_of", "read_object", "text_of", "verdict_part"]

error_answer = error_response


async def read_object(request: Request) -> dict[str, Any]:
    """The body's JSON object. Raises BadBody. JSON must be declared: a form of another site cannot do that."""
    declared = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if declared != "application/json":
        raise BadBody("Send JSON, with content-type: application/json.", 415)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise BadBody(
                f"The request is longer than {MAX_BODY_BYTES} bytes; shorten texts or moments.", 413
            )
    try:
        values = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise BadBody(f"The request is no JSON ({error}).", 400) from error
    if not isinstance(values, dict):
        raise BadBody("The request must be one JSON object.", 400)
    return values


async def answer(work: Callable[..., Any], *given: Any, **named: Any) -> JSONResponse:
    """What `work` returns as JSON, made in a thread; its errors as the module's text says."""
    try:
        return JSONResponse(await run_in_threadpool(work, *given, **named), headers=NO_STORE)
    except Exception as error:
        return error_response(error)


def text_of(values: dict[str, Any], name: str) -> str:
    """A text of a request. Raises InputError."""
    if not isinstance(values.get(name), str):
        raise InputError(f"`{name}` must be a text; got {str(values.get(name))[:40]!r}.")
    return str(values[name])


def number_of(values: dict[str, Any], name: str) -> int | None:
    """A whole number of a request, or None. Raises InputError."""
    if values.get(name) is not None and type(values[name]) is not int:
        raise InputError(f"`{name}` must be a whole number or null; got {str(values[name])[:40]!r}.")
    return values.get(name)


def numbers_of(values: dict[str, Any], name: str) -> list[int]:
    """A list of whole numbers of a request; none when it is left out. Raises InputError."""
    given = values.get(name, [])
    if not isinstance(given, list) or any(type(each) is not int for each in given):
        raise InputError(f"`{name}` must be a list of whole numbers; got {str(given)[:40]!r}.")
    return given
