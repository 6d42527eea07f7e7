"""Forms of the plain pages: how they are read, and the headers that every such page carries."""

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse

from tempo_core.errors import InputError

LONGEST_FORM = 16_384
"""Bytes of a form; a name and a password of full length take 13,000 when every character is escaped."""
PAGE_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
}


async def read_form(request: Request) -> dict[str, str] | InputError:
    """The fields of a URL-encoded form; the error for anything else, or for too much of it."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if content_type != "application/x-www-form-urlencoded":
        return InputError("This was not sent by the form of this page. Fill it in here.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            return InputError("This is too long for a name and a password.")
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        return InputError("This was not sent by the form of this page. Fill it in here.")
    return {key: values[-1] for key, values in fields.items()}


Form = Annotated[dict[str, str] | InputError, Depends(read_form)]


def page_response(html: object, status: int = 200) -> HTMLResponse:
    """A plain page, which no browser stores, frames or scripts."""
    return HTMLResponse(str(html), status_code=status, headers=PAGE_HEADERS)
