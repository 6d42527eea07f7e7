"""JSON routes of the pages: who asks, what they sent, and one answer for each thing that can go wrong.

Errors are `{"error": sentence}` with 400 (bad input), 401 and 403 (role), 404 (unknown), 409 (conflict, with both
sides), 500 (an incident number). Work runs in a thread, because the store blocks.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from annotations.errors import Conflict, NotFound
from annotations.records import Correction, Edit, Verdict
from app.accounts import Accounts, NotAllowed, Role, User
from app.incidents import message_for
from tempo_core.errors import InputError, TempoError

LONGEST_BODY = 2**20
"""Bytes of one message."""


def sides(conflict: Conflict) -> dict[str, Any]:
    """Both sides of a conflict as JSON values."""
    return {"yours": side(conflict.yours), "theirs": side(conflict.theirs), "parent_id": conflict.parent_id}


async def reply(
    request: Request,
    accounts: Accounts,
    role: Role,
    work: Callable[[User, dict[str, Any]], dict[str, Any]],
    *,
    explain: Callable[[Conflict], dict[str, Any]] = sides,
) -> JSONResponse:
    """What `work(user, body)` returns, as JSON; `body` is {} for GET. The role is asked for first.

    `explain` says what stands beside the error of a conflict.
    """
    try:
        user = accounts.require(request, role)
        body = {} if request.method == "GET" else await _body(request)
        return JSONResponse(await asyncio.to_thread(work, user, body))
    except NotAllowed as error:
        return _error(error, error.status)
    except Conflict as error:
        return JSONResponse({"error": str(error), **explain(error)}, status_code=409)
    except NotFound as error:
        return _error(error, 404)
    except TempoError as error:
        return _error(error, 400)
    except Exception as error:
        return _error(error, 500)


def whole(values: dict[str, Any], name: str, *, optional: bool = False) -> Any:
    """A whole number of a message, or None where it may be missing. Raises InputError."""
    value = values.get(name)
    if (value is None and optional) or type(value) is int:
        return value
    raise InputError(f"{name} is {str(value)[:40]!r}; give a whole number.")


def side(said: Any) -> dict[str, Any] | int | None:
    """One side of a conflict as JSON values: an edit, a stored version or a verdict."""
    if isinstance(said, Edit):
        return said.to_dict()
    if isinstance(said, Correction):
        named = {"id": said.id, "annotator": said.annotator, "created_at_ms": said.created_at_ms}
        return {**named, "edit": said.edit.to_dict()}
    if isinstance(said, Verdict):
        named = {"id": said.id, "adjudicator": said.adjudicator, "correction_id": said.correction_id}
        return {**named, "created_at_ms": said.created_at_ms}
    return said if isinstance(said, int) else None


async def _body(request: Request) -> dict[str, Any]:
    """The message, a JSON object. A form of another site cannot send this content type."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise InputError("Send a JSON object with the content type application/json.")
    content = await request.body()
    if len(content) > LONGEST_BODY:
        raise InputError(f"The message has {len(content)} bytes; at most {LONGEST_BODY} are taken.")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The message is no JSON ({error}).") from error
    if not isinstance(values, dict):
        raise InputError(f"The message is a {type(values).__name__}; send a JSON object.")
    return values


def _error(error: Exception, status: int) -> JSONResponse:
    return JSONResponse({"error": message_for(error)}, status_code=status)
