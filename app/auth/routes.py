"""Signing in and out, and the middleware that lets nobody unknown past the sign-in page.

`guard` puts all of it into the app. Every route and handler still asks for the role that it needs.
"""

import asyncio
from typing import Annotated
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from annotations.errors import StoreError
from app.auth.accounts import TooManyAttempts, WrongPassword
from app.auth.sessions import BROWSER_S, LONGEST_S
from app.auth.users import (
    BROWSER_COOKIE,
    SESSION_COOKIE,
    USER_KEY,
    Authenticator,
    NotSignedIn,
    VisitorCookies,
)
from app.http.dependencies import CurrentUser, prepare_app
from app.http.errors import NO_STORE, OPENAI_PREFIX, error_response, openai_error_response, user_message
from app.http.middleware import CsrfCheck, SecurityHeaders
from app.http.operations import ACCOUNT_KEY
from app.ui.templates import macros
from tempo_core.errors import InputError

pages = macros("auth/page.html")
SIGN_IN_PATHS = ("/sign-in", "/sign-out")
OPEN_PATHS = (*SIGN_IN_PATHS, "/health/live", "/health/ready", "/metrics")
"""What answers people who are not known; /metrics asks for its role itself."""
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
    """Put sign-in into the app: its routes, the user and role of every request, and the middleware."""
    prepare_app(app, authenticator)
    app.include_router(sign_in_routes(authenticator))
    # The last one added is passed first.
    app.add_middleware(LoginRequired, authenticator=authenticator)
    if authenticator.anonymous:
        app.add_middleware(VisitorCookies)
    app.add_middleware(CsrfCheck, local_only=authenticator.is_local)
    app.add_middleware(SecurityHeaders)


def local_path(path: str) -> str:
    """`path` if it leads to a page of this app, else "/": never to another site, never round in circles."""
    if not path.startswith("/") or path.startswith("//") or "\\" in path or len(path) > 2000:
        return "/"
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in path):
        return "/"
    parts = urlsplit(path)
    return "/" if parts.scheme or parts.netloc or parts.path in SIGN_IN_PATHS else path


class LoginRequired:
    """ASGI middleware: unknown people get to the sign-in page and no further."""

    def __init__(self, app: ASGIApp, *, authenticator: Authenticator) -> None:
        self.app, self.authenticator = app, authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the app speaks HTTP only; got {scope['type']}")
        request = Request(scope)
        wants_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
        try:
            user = self.authenticator.resolve(request)
        except StoreError as error:  # nobody knows who is signed in; the app's own handlers stand behind this
            response: Response = error_response(error)
            if scope["path"].startswith(OPENAI_PREFIX):
                response = openai_error_response(error)
            if wants_page:
                html = pages.no_answer(user_message(error))
                response = HTMLResponse(html, status_code=response.status_code, headers=PAGE_HEADERS)
            await response(scope, receive, send)
            return
        if user is not None:
            scope.setdefault("state", {}).update({ACCOUNT_KEY: user.id, USER_KEY: user})
        if scope["path"] in OPEN_PATHS or user is not None:
            await self.app(scope, receive, send)
            return
        unknown = NotSignedIn("You are signed out. Sign in and try again.")
        response = error_response(unknown)
        if scope["path"].startswith(OPENAI_PREFIX):
            response = openai_error_response(unknown)
        if wants_page:
            query = f"?{request.url.query}" if request.url.query else ""
            next_path = quote(request.url.path + query, safe="/")
            response = RedirectResponse(f"/sign-in?next={next_path}", status_code=303)
        await response(scope, receive, send)


def sign_in_routes(authenticator: Authenticator) -> APIRouter:
    """GET and POST /sign-in, POST /sign-out, GET /account. All but the last are open to everybody."""
    router = APIRouter(include_in_schema=False)
    accounts = authenticator.accounts

    def form_page(
        next_path: str, name: str = "", error: Exception | str | None = None, status: int = 200
    ) -> Response:
        html = pages.sign_in(next_path, name[:64], error, authenticator.anonymous)
        return HTMLResponse(html, status_code=status, headers=PAGE_HEADERS)

    def end_session(request: Request) -> None:
        if accounts is not None and SESSION_COOKIE in request.cookies:
            accounts.sign_out(request.cookies[SESSION_COOKIE])

    @router.get("/sign-in")
    def page(user: CurrentUser, next: str = "/") -> Response:
        if user is not None and user.signed_in:
            return HTMLResponse(pages.signed_in(user, local_path(next)), headers=PAGE_HEADERS)
        return form_page(local_path(next))

    @router.post("/sign-in")
    async def sign_in(
        request: Request, form: Annotated[dict[str, str] | InputError, Depends(_read_form)]
    ) -> Response:
        if isinstance(form, InputError):
            return form_page("/", error=form, status=400)
        name, next_path = form.get("name", ""), local_path(form.get("next", "/"))
        if accounts is None:
            no_accounts = InputError("Nobody can sign in here: this app has no accounts.")
            return form_page(next_path, name, no_accounts, 404)
        address = request.client.host if request.client is not None else "unknown"
        try:
            # Not in the pool of the other routes: guesses that wait for their hash must not hold up anybody else.
            browser = request.cookies.get(BROWSER_COOKIE, "")
            token = await asyncio.to_thread(
                accounts.sign_in, name, form.get("password", ""), address, browser
            )
        except WrongPassword as error:
            return form_page(next_path, name, error, 401)
        except TooManyAttempts as error:
            response = form_page(next_path, name, error, 429)
            response.headers["retry-after"] = str(int(error.wait_s) + 1)
            return response
        except StoreError as error:
            return form_page(next_path, name, user_message(error), 503)
        end_session(request)
        response = RedirectResponse(next_path, status_code=303)
        secure = request.url.scheme == "https"
        response.set_cookie(
            SESSION_COOKIE, token, max_age=LONGEST_S, path="/", httponly=True, samesite="lax", secure=secure
        )
        response.set_cookie(
            BROWSER_COOKIE,
            accounts.remember_browser(name),
            max_age=BROWSER_S,
            path="/sign-in",
            httponly=True,
            samesite="lax",
            secure=secure,
        )
        return response

    @router.post("/sign-out")
    def sign_out(request: Request) -> Response:
        end_session(request)
        response = RedirectResponse("/sign-in", status_code=303)
        response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")
        return response

    @router.get("/account")
    def account(user: CurrentUser) -> Response:
        if user is None:
            raise NotSignedIn("Nobody is signed in.")
        account = {
            "name": user.name,
            "roles": sorted(user.roles),
            "signed_in": user.signed_in,
            "may_sign_in": accounts is not None and not authenticator.is_local,
        }
        return JSONResponse(account, headers=NO_STORE)

    return router


async def _read_form(request: Request) -> dict[str, str] | InputError:
    """The fields of a URL-encoded form; the error for anything else, or for too much of it."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if content_type != "application/x-www-form-urlencoded":
        return InputError("This was not sent by the sign-in form. Fill it in here.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            return InputError("This is too long for a name and a password.")
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        return InputError("This was not sent by the sign-in form. Fill it in here.")
    return {key: values[-1] for key, values in fields.items()}
