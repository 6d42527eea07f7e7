"""Every error as a response, in one place.

A response to an error is {"error": sentence}: 400 for input, 401 when nobody is signed in, 403 for a missing role,
404 for what is not there, 409 for a conflict with both versions beside it, 413 and 415 for bodies that cannot be one,
422 for parameters that cannot be one, 503 for what may work later, 507 when the disk or somebody's share of it is full,
500 with an incident number for everything else.
"""

import json
import logging
import re
import secrets
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from annotations.errors import Conflict, DiskFull, NotFound
from annotations.records import Correction, Edit, Verdict
from app.auth.users import NotAllowed
from app.http.middleware import SECURITY_HEADERS
from app.job_queue import Busy
from tempo_core.errors import InputError, TempoError

logger = logging.getLogger(__name__)

NO_STORE = {"cache-control": "no-store"}
FOLDERS = re.compile(r"(?:\bsqlite:/+|(?<![\w:/.~])~?/)(?:[^\s/'\"]+/)+(?=[^\s/])")
"""Everything of an absolute path before its last part."""


class NoSuchFile(InputError):
    """A file or clip is not there, or it is somebody else's: both read the same."""


class StorageFull(TempoError):
    """There is no room for another upload or copy."""

    status = 507


class BadBody(InputError):
    """A request's body is no JSON object of the right length and type; `status` is the HTTP status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def add_exception_handlers(app: FastAPI) -> None:
    """Answer every error of this app's routes with `error_response`."""

    def respond(_request: Request, error: Exception) -> JSONResponse:
        return error_response(error)

    def respond_invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return JSONResponse({"error": sentence_of(error)}, status_code=422, headers=NO_STORE)

    def respond_to_nobody(_request: Request, _error: Exception) -> Response:
        return Response(status_code=400)  # who asked has gone: nobody reads it, and nothing is wrong here

    app.add_exception_handler(TempoError, respond)
    app.add_exception_handler(RequestValidationError, respond_invalid)
    app.add_exception_handler(ClientDisconnect, respond_to_nobody)
    app.add_exception_handler(Exception, respond)


def error_response(error: Exception) -> JSONResponse:
    """The response to an error, with the status of the module's text."""
    content: dict[str, Any] = {"error": user_message(error)}
    match error:
        case NotAllowed() | BadBody() | StorageFull():
            status = error.status
        case NotFound() | NoSuchFile():
            status = 404
        case Conflict():
            status = 409
            content |= _both_versions(error)
        case DiskFull():
            status = 507
        case Busy():
            status = 503
        case InputError():
            status = 400
        case TempoError():
            status = 503
        case _:
            status = (
                500  # the one response that the middleware does not pass, so it carries its headers itself
            )
            return JSONResponse(content, status_code=status, headers={**NO_STORE, **SECURITY_HEADERS})
    return JSONResponse(content, status_code=status, headers=NO_STORE)


OPENAI_PREFIX = "/v1/"
"""Below it, errors have the form that OpenAI's clients read."""
OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def openai_error(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an error in OpenAI's form. A full queue is 429, which its clients wait for."""
    if isinstance(error, RequestValidationError):
        status, message = 422, sentence_of(error)
    else:
        response = error_response(error)
        status, message = response.status_code, json.loads(bytes(response.body))["error"]
    status = 429 if isinstance(error, Busy) else status
    name = OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    code = {401: "invalid_api_key", 404: "model_not_found"}.get(status)
    return status, {"error": {"message": message, "type": name, "param": None, "code": code}}


def openai_error_response(error: Exception) -> JSONResponse:
    """`openai_error` as a response."""
    status, content = openai_error(error)
    headers = {**NO_STORE, "retry-after": "5"} if status == 429 else NO_STORE
    return JSONResponse(content, status_code=status, headers=headers)


def user_message(error: Exception) -> str:
    """The error's own text when it is ours; else a sentence with an incident number, under which the traceback
    is logged. Files are named by the last part of their path.
    """
    if isinstance(error, TempoError):
        return without_paths(str(error))
    incident = secrets.token_hex(4)
    logger.error("incident %s", incident, exc_info=error)
    return (
        "Something went wrong on our side; your clip is not at fault. "
        f"If it happens again, report incident {incident}."
    )


def without_paths(text: str) -> str:
    """The text with `name` for every `/some/folder/name`: where files lie is no visitor's business."""
    return FOLDERS.sub("", text)


def sentence_of(error: ValidationError | RequestValidationError) -> str:
    """The first broken rule of a pydantic model, or of a route's parameters: field, value, rule and remedy."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    value = "missing" if first["type"] == "missing" else repr(first["input"])[:60]
    message = first["msg"].removeprefix("Value error, ")
    rule = message[:1].lower() + message[1:]
    return f"`{field}` is {value}: {rule}. Correct it and send it again."


def correction_part(correction: Correction) -> dict[str, Any]:
    """A stored version as JSON values."""
    return {
        "correction_id": correction.id,
        "revision": correction.revision,
        "annotator": correction.annotator,
        "saved_at_ms": correction.created_at_ms,
        "edit": correction.edit.to_dict(),
    }


def verdict_part(verdict: Verdict, adopted: Correction | None = None) -> dict[str, Any]:
    """A decision as JSON values, with the version that it names where that is known."""
    return {
        "id": verdict.id,
        "adjudicator": verdict.adjudicator,
        "decided_at_ms": verdict.created_at_ms,
        "note": verdict.note,
        "correction_id": verdict.correction_id,
        **(correction_part(adopted) if adopted is not None else {}),
    }


def _both_versions(error: Conflict) -> dict[str, Any]:
    yours, theirs = error.yours, error.theirs
    stored: dict[str, Any] | None = None
    if isinstance(theirs, Verdict):
        stored = verdict_part(theirs, error.adopted)
    elif isinstance(theirs, Correction):
        stored = correction_part(theirs)
    return {
        "yours": yours.to_dict() if isinstance(yours, Edit) else yours,
        "theirs": stored,
        "parent_id": error.parent_id,
    }
