"""What every JSON route of a page shares: reading a body, answering errors, and working off the event loop.

Errors are {"error": sentence}: 400 for input, 401 and 403 for people, 404 for what is not there, 409 for a
conflict with both versions beside it, 413 and 415 for bodies that cannot be one, 500 with an incident number.
"""

import json
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from annotations.errors import Conflict, NotFound
from annotations.records import Correction, Edit, Verdict
from app.annotate.task import correction_part
from app.auth.routes import refusal
from app.auth.users import NotAllowed
from app.http.errors import user_message
from app.job_queue import Busy
from tempo_core.errors import InputError, TempoError

LONGEST_BODY = 512 * 1024
"""Bytes of a request: an edit with three texts of full length, every character escaped, and 2,000 moments."""
NOT_KEPT = {"cache-control": "no-store"}


class BadBody(InputError):
    """The body is too long or no JSON at all."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


async def read_object(request: Request) -> dict[str, Any]:
    """The body's JSON object. Raises BadBody. JSON must be declared: a form of another site cannot do that."""
    declared = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if declared != "application/json":
        raise BadBody("Send JSON, with content-type: application/json.", 415)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            raise BadBody(f"The request is longer than {LONGEST_BODY} bytes; shorten texts or moments.", 413)
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
        return JSONResponse(await run_in_threadpool(work, *given, **named), headers=NOT_KEPT)
    except Exception as error:
        return error_answer(error)


def error_answer(error: Exception) -> JSONResponse:
    """The answer for something that was raised."""
    if isinstance(error, NotAllowed):
        return refusal(error)
    if isinstance(error, Conflict):
        return JSONResponse(_conflict(error), status_code=409, headers=NOT_KEPT)
    if isinstance(error, BadBody):
        status = error.status
    elif isinstance(error, NotFound):
        status = 404
    elif isinstance(error, Busy):
        status = 503
    else:
        status = 400 if isinstance(error, InputError) else 500
    if isinstance(error, TempoError) and status == 500:
        return JSONResponse({"error": str(error)}, status_code=503, headers=NOT_KEPT)
    return JSONResponse({"error": user_message(error)}, status_code=status, headers=NOT_KEPT)


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


def _conflict(error: Conflict) -> dict[str, Any]:
    yours, theirs = error.yours, error.theirs
    return {
        "error": str(error),
        "yours": yours.to_dict() if isinstance(yours, Edit) else yours,
        "theirs": verdict_part(theirs, error.adopted) if isinstance(theirs, Verdict) else _version(theirs),
        "parent_id": error.parent_id,
    }


def verdict_part(given: Verdict, adopted: Correction | None = None) -> dict[str, Any]:
    """A decision as JSON values, with the version that it names where that is known."""
    return {
        "id": given.id,
        "adjudicator": given.adjudicator,
        "decided_at_ms": given.created_at_ms,
        "note": given.note,
        "correction_id": given.correction_id,
        **(correction_part(adopted) if adopted is not None else {}),
    }


def _version(theirs: Correction | Verdict | None) -> dict[str, Any] | None:
    return correction_part(theirs) if isinstance(theirs, Correction) else None
