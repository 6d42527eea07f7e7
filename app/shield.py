"""What every request passes: headers that keep the page on this host, and, for the local account, only this
machine's pages.

The local account has every role, so a web page from elsewhere that the same browser has open must not be
able to use it, neither by posting across sites nor by pointing its own name at 127.0.0.1.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.accounts import is_loopback

HEADERS = {
    # Gradio and its HTML components build code from strings, hence unsafe-inline and unsafe-eval.
    "content-security-policy": (
        "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'; "
        "form-action 'self'; base-uri 'self'; object-src 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


class Shield:
    """ASGI middleware; see the module's text."""

    def __init__(self, app: ASGIApp, *, local_only: bool) -> None:
        self.app, self.local_only = app, local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.local_only and (reason := _foreign(Headers(scope=scope))):
            await PlainTextResponse(reason, status_code=403)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
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


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
