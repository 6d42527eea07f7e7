"""The door: sign-in, sign-out, and a gate that lets nobody unknown past it.

`guard` puts all of it into the app. The gate is a second lock: every route and handler still asks
`Authenticator.require` for the role that it needs.
"""

import asyncio
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.auth.accounts import AccountService, TooManyAttempts, WrongPassword
from app.auth.page import sign_in_page, signed_in_page
from app.auth.sessions import LONGEST_S
from app.auth.users import SESSION_COOKIE, Authenticator, NotAllowed, VisitorCookies
from app.http.middleware import Shield
from tempo_core.errors import InputError

OPEN_PATHS = ("/sign-in", "/sign-out")
LONGEST_FORM = 16_384
"""Bytes of a sign-in form; a name and a password of full length take 13,000 when every character is escaped."""
PAGE_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
}


def guard(app: FastAPI, authenticator: Authenticator) -> None:
    """Put the door into the app: its routes, the gate, the shield, and answers for those who may not."""

    def refuse(_request: Request, error: Exception) -> Response:
        return refusal(error) if isinstance(error, NotAllowed) else Response(status_code=500)

    app.add_exception_handler(NotAllowed, refuse)
    app.include_router(sign_in_routes(authenticator))
    # The last one added is passed first.
    app.add_middleware(LoginRequired, authenticator=authenticator)
    if authenticator.anonymous:
        app.add_middleware(VisitorCookies)
    app.add_middleware(Shield, local_only=authenticator.is_local)


def refusal(error: NotAllowed) -> JSONResponse:
    """The answer for a request that may not: 401 where signing in helps, else 403."""
    return JSONResponse({"error": str(error)}, status_code=error.status)


def local_path(wanted: str) -> str:
    """`wanted` if it leads to a page of this app, else "/": never to another site, never round in circles."""
    if not wanted.startswith("/") or wanted.startswith("//") or "\\" in wanted or len(wanted) > 2000:
        return "/"
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in wanted):
        return "/"
    parts = urlsplit(wanted)
    return "/" if parts.scheme or parts.netloc or parts.path in OPEN_PATHS else wanted


class LoginRequired:
    """ASGI middleware: unknown people get to the sign-in page and no further."""

    def __init__(self, app: ASGIApp, *, authenticator: Authenticator) -> None:
        self.app, self.authenticator = app, authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            raise RuntimeError(f"the app speaks HTTP only; got {scope['type']}")
        elif scope["path"] in OPEN_PATHS or self.authenticator.resolve(request := Request(scope)) is not None:
            await self.app(scope, receive, send)
        else:
            await _turn_away(request)(scope, receive, send)


def _turn_away(request: Request) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        query = f"?{request.url.query}" if request.url.query else ""
        wanted = quote(request.url.path + query, safe="/")
        return RedirectResponse(f"/sign-in?next={wanted}", status_code=303)
    return JSONResponse({"error": "You are signed out. Sign in and try again."}, status_code=401)


def sign_in_routes(authenticator: Authenticator) -> APIRouter:
    """GET and POST /sign-in, POST /sign-out, GET /account. All but the last are open to everybody."""
    router = APIRouter(include_in_schema=False)

    @router.get("/sign-in")
    def page(request: Request, next: str = "/") -> Response:
        user, next_path = authenticator.resolve(request), local_path(next)
        if user is not None and user.signed_in:
            return HTMLResponse(signed_in_page(user, next_path=next_path), headers=PAGE_HEADERS)
        html = sign_in_page(next_path=next_path, visitors=authenticator.anonymous)
        return HTMLResponse(html, headers=PAGE_HEADERS)

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        return await _sign_in(authenticator, request)

    @router.post("/sign-out")
    def sign_out(request: Request) -> Response:
        _end_session(authenticator, request)
        answer = RedirectResponse("/sign-in", status_code=303)
        answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")
        return answer

    @router.get("/account")
    def account(request: Request) -> Response:
        user = authenticator.resolve(request)
        if user is None:
            return JSONResponse({"error": "Nobody is signed in."}, status_code=401)
        shown = {"name": user.name, "roles": sorted(user.roles), "signed_in": user.signed_in}
        may_sign_in = authenticator.accounts is not None and not authenticator.is_local
        return JSONResponse({**shown, "may_sign_in": may_sign_in}, headers={"cache-control": "no-store"})

    return router


async def _sign_in(authenticator: Authenticator, request: Request) -> Response:
    try:
        form = await _read_form(request)
    except InputError as error:
        return _form_again("/", "", str(error), 400, authenticator)
    name, next_path = form.get("name", ""), local_path(form.get("next", "/"))
    if authenticator.accounts is None:
        return _form_again(
            next_path, name, "Nobody can sign in here: this app has no accounts.", 404, authenticator
        )
    address = request.client.host if request.client is not None else "unknown"
    try:
        token = await asyncio.to_thread(
            authenticator.accounts.sign_in, name, form.get("password", ""), address
        )
    except WrongPassword as error:
        return _form_again(next_path, name, str(error), 401, authenticator)
    except TooManyAttempts as error:
        answer = _form_again(next_path, name, str(error), 429, authenticator)
        answer.headers["retry-after"] = str(int(error.wait_s) + 1)
        return answer
    _end_session(authenticator, request)
    return _with_session(RedirectResponse(next_path, status_code=303), token, request)


def _with_session(answer: Response, token: str, request: Request) -> Response:
    answer.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=LONGEST_S,
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


def _form_again(next_path: str, name: str, error: str, status: int, authenticator: Authenticator) -> Response:
    html = sign_in_page(next_path=next_path, name=name[:64], error=error, visitors=authenticator.anonymous)
    return HTMLResponse(html, status_code=status, headers=PAGE_HEADERS)


def _end_session(authenticator: Authenticator, request: Request) -> None:
    accounts: AccountService | None = authenticator.accounts
    if accounts is not None and SESSION_COOKIE in request.cookies:
        accounts.sign_out(request.cookies[SESSION_COOKIE])


async def _read_form(request: Request) -> dict[str, str]:
    """The fields of a URL-encoded form. Raises InputError for anything else, or for too much of it."""
    if (
        request.headers.get("content-type", "").partition(";")[0].strip()
        != "application/x-www-form-urlencoded"
    ):
        raise InputError("This was not sent by the sign-in form. Fill it in here.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            raise InputError("This is too long for a name and a password.")
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        raise InputError("This was not sent by the sign-in form. Fill it in here.") from None
    return {key: values[-1] for key, values in fields.items()}
