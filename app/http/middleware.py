"""What every request passes: headers that keep the page on this host, and a look at where it comes from.

A web page from elsewhere that the same browser has open must not be able to act as whoever uses the app.
What changes something is taken from the app's own pages only. The local account needs no cookie, so there
even reading is: neither another site nor a name that was pointed at 127.0.0.1 gets an answer.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth.users import is_loopback

HEADERS = {
    # Gradio and its HTML components build code from strings, hence unsafe-inline and unsafe-eval.
    "content-security-policy": (
        "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'; "
        "form-action 'self'; base-uri 'self'; object-src 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
READING = ("GET", "HEAD", "OPTIONS")


class Shield:
    """ASGI middleware; see the module's text."""

    def __init__(self, app: ASGIApp, *, local_only: bool) -> None:
        self.app, self.local_only = app, local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        reason = _foreign(headers) if self.local_only else None
        if scope["method"] not in READING:
            reason = reason or _across_sites(headers)
        if reason:
            await PlainTextResponse(reason, status_code=403)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answered.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _foreign(headers: Headers) -> str | None:
    """Why this request does not come from this machine's own page; None when it does."""
    if not is_loopback(_host_of("//" + headers.get("host", ""))):
        return "This app answers to the names localhost and 127.0.0.1 only."
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_host_of(origin)):
        return "This app does not take requests from other sites."
    return None


def _across_sites(headers: Headers) -> str | None:
    """Why this request was not sent by a page of the app itself; None when it was, or by no browser at all.

    Browsers name the sender of what they post and let no page lie about it; programs send neither header.
    """
    site = headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return None
    origin = headers.get("origin")
    names = {headers.get("host"), headers.get("x-forwarded-host")}
    if site is None and (origin is None or _place_of(origin) in names):
        return None
    return "This app does not take requests from other sites."


def _place_of(address: str) -> str:
    """The host and port of an origin; an empty text when it has none."""
    try:
        return urlsplit(address).netloc
    except ValueError:
        return ""


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
