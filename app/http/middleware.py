"""What every request passes: headers that keep the page on this host, and a check of where it comes from.

A web page from elsewhere that the same browser has open must not be able to act as whoever uses the app.
What changes something is taken from the app's own pages only. The local account needs no cookie, so there
even reading is: neither another site nor a name that was pointed at 127.0.0.1 gets an answer.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth.users import is_loopback

CSP = "content-security-policy"
SECURITY_HEADERS = {
    # Gradio and its HTML components build code from strings, hence unsafe-inline and unsafe-eval.
    CSP: (
        "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'; "
        "form-action 'self'; base-uri 'self'; object-src 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
ECHOED_HEADERS = (
    *(
        "cookie",
        "authorization",
        "proxy-authorization",
        "host",
        "origin",
        "referer",
        "user-agent",
        "forwarded",
    ),
    *("range", "if-range", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"),
)
"""Headers of requests only. Gradio 6.31 answers a request with a Range with all headers that came, the cookie too."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class SecurityHeaders:
    """ASGI middleware: every response carries SECURITY_HEADERS, unless it says something else itself, and none of
    ECHOED_HEADERS.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if scope.get("root_path"):
                    # Gradio's pages name a manifest at the root of the host, which is not the app's.
                    headers.setdefault(CSP, f"{SECURITY_HEADERS[CSP]}; manifest-src 'none'")
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                for name in ECHOED_HEADERS:
                    del headers[name]
            await send(message)

        await self.app(scope, receive, send_with_headers)


class CsrfCheck:
    """ASGI middleware: what changes something must come from the app's own pages (403 otherwise).

    `local_only`: reading too is for this machine's own pages only.
    """

    def __init__(self, app: ASGIApp, *, local_only: bool) -> None:
        self.app, self.local_only = app, local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            refusal = _refuse_other_host(headers) if self.local_only else None
            if refusal is None and scope["method"] not in SAFE_METHODS:
                refusal = _refuse_other_site(headers)
            if refusal is not None:
                await PlainTextResponse(refusal, status_code=403)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _refuse_other_host(headers: Headers) -> str | None:
    """Why this request does not come from this machine's own page; None when it does."""
    if not is_loopback(_host("//" + headers.get("host", ""))):
        return "This app answers to the names localhost and 127.0.0.1 only."
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_host(origin)):
        return "This app does not take requests from other sites."
    return None


def _refuse_other_site(headers: Headers) -> str | None:
    """Why this request was not sent by a page of the app itself; None when it was, or by no browser at all.

    Browsers name the sender of what they post and let no page lie about it; programs send neither header.
    """
    site = headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return None
    origin = headers.get("origin")
    names = {headers.get("host"), headers.get("x-forwarded-host")}
    if site is None and (origin is None or _host_and_port(origin) in names):
        return None
    return "This app does not take requests from other sites."


def _host_and_port(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
