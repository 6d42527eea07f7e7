"""Signing in and out, and the middleware that lets nobody unknown past the sign-in page.

`guard` puts all of it into the app. Every route and handler still asks for the role that it needs.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from posixpath import normpath
from urllib.parse import quote, unquote, urlsplit

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from annotations.errors import StoreError
from app.auth.account_pages import PASSWORD, SETTINGS, account_routes, set_session_cookie
from app.auth.accounts import AccountService, TooManyAttempts, WrongPassword
from app.auth.audit_pages import AUDIT, audit_routes
from app.auth.forms import Form, page_response
from app.auth.oidc import PENDING_S, OidcProvider, SignOnFailed
from app.auth.people_pages import PEOPLE, people_routes
from app.auth.sessions import BROWSER_S, browser_family
from app.auth.sign_on import SignOnSettings
from app.auth.users import (
    BROWSER_COOKIE,
    SESSION_COOKIE,
    SIGN_ON_COOKIE,
    UPSTREAM,
    USER_KEY,
    Authenticator,
    NotAllowed,
    NotSignedIn,
    Role,
    User,
    VisitorCookies,
)
from app.http.base_path import BasePathRequired, address_of, cookie_name, route_path
from app.http.dependencies import CurrentUser, prepare_app
from app.http.errors import NO_STORE, OPENAI_PREFIX, error_response, openai_error_response, user_message
from app.http.middleware import CsrfCheck, SecurityHeaders
from app.http.operations import ACCOUNT_KEY
from app.ui.templates import macros
from tempo_core.errors import InputError

pages = macros("auth/page.html")
SIGN_IN_PATHS = ("/sign-in", "/sign-out")
SIGN_ON, SIGN_ON_BACK = "/sign-in/oidc", "/sign-in/oidc/callback"
ADMINISTRATION = {PEOPLE: "People", AUDIT: "Audit log"}
"""Plain pages for administrators, by their addresses."""
OPEN_PATHS = (*SIGN_IN_PATHS, SIGN_ON, SIGN_ON_BACK, "/health/live", "/health/ready", "/metrics")
"""What answers people who are not known; /metrics asks for its role itself."""
STREAM_CHECK_S = 10.0
"""How often an open event stream that is silent asks whether its session goes on."""


def guard(app: FastAPI, authenticator: Authenticator) -> list[str]:
    """Put sign-in into the app: its routes, the user and role of every request, and the middleware. The paths of the
    routes, as they are declared.
    """
    prepare_app(app, authenticator)
    routers = [sign_in_routes(authenticator)]
    if authenticator.accounts is not None:
        accounts = authenticator.accounts
        routers += [account_routes(accounts), people_routes(accounts), audit_routes(accounts)]
    for router in routers:
        app.include_router(router)
    # The last one added is passed first.
    app.add_middleware(LoginRequired, authenticator=authenticator)
    if authenticator.anonymous:
        app.add_middleware(VisitorCookies)
    app.add_middleware(BasePathRequired)
    app.add_middleware(CsrfCheck, local_only=authenticator.is_local)
    app.add_middleware(SecurityHeaders)
    return [route.path for router in routers for route in router.routes if isinstance(route, Route)]


def local_path(path: str) -> str:
    """`path` if it leads to a page of this app, else to its first page: never to another site or another app of the
    same host, never round in circles.
    """
    first_page = address_of("/")
    if not path.startswith(first_page) or path.startswith("//") or "\\" in path or len(path) > 2000:
        return first_page
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in path):
        return first_page
    parts = urlsplit(path)
    is_way_in = parts.path in map(address_of, (*SIGN_IN_PATHS, SIGN_ON, SIGN_ON_BACK))
    leads_out = not f"{normpath(unquote(parts.path))}/".startswith(first_page)
    return first_page if parts.scheme or parts.netloc or is_way_in or leads_out else path


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
        path = route_path(scope)
        wants_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
        try:
            user = self.authenticator.resolve(request)
        except StoreError as error:  # nobody knows who is signed in; the app's own handlers stand behind this
            response: Response = error_response(error)
            if path.startswith(OPENAI_PREFIX):
                response = openai_error_response(error)
            if wants_page:
                response = page_response(pages.no_answer(user_message(error)), response.status_code)
            await response(scope, receive, send)
            return
        if user is not None:
            scope.setdefault("state", {}).update({ACCOUNT_KEY: user.id, USER_KEY: user})
        if path in OPEN_PATHS:
            await self.app(scope, receive, send)
            return
        refusal: NotAllowed
        if user is None:
            query = f"?{request.url.query}" if request.url.query else ""
            way_on = f"{address_of('/sign-in')}?next={quote(request.url.path + query, safe='/')}"
            refusal = NotSignedIn("You are signed out. Sign in and try again.")
        elif user.must_change_password and path not in (SETTINGS, PASSWORD, "/account"):
            way_on = address_of(SETTINGS)
            refusal = NotAllowed(
                "Your password is a temporary one. Change it first, on the page Your account."
            )
        else:
            await self._run_while_signed_in(request, user, receive, send)
            return
        response = error_response(refusal)
        if path.startswith(OPENAI_PREFIX):
            response = openai_error_response(refusal)
        if wants_page:
            response = RedirectResponse(way_on, status_code=303)
        await response(scope, receive, send)

    async def _run_while_signed_in(self, request: Request, user: User, receive: Receive, send: Send) -> None:
        """Run the app. An event stream ends when its session does: before its next event, and a silent one within
        STREAM_CHECK_S.
        """
        watch: asyncio.Task[None] | None = None
        is_over = False

        async def end_if_signed_out() -> None:
            nonlocal is_over
            with suppress(StoreError):  # while the store is away nobody is signed out
                present = self.authenticator.resolve(request, counts_as_use=False)
                is_over = present is None or present.id != user.id
            if is_over:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def watch_session() -> None:
            while not is_over:
                await asyncio.sleep(STREAM_CHECK_S)
                await end_if_signed_out()
            answer.reschedule(asyncio.get_running_loop().time())

        async def send_while_signed_in(message: Message) -> None:
            nonlocal watch
            if message["type"] == "http.response.start":
                content_type = dict(message.get("headers", ())).get(b"content-type", b"")
                if content_type.startswith(b"text/event-stream"):
                    watch = asyncio.create_task(watch_session())
            elif watch is not None and not is_over:
                await end_if_signed_out()
                if not message.get("more_body", False):
                    watch.cancel()  # nothing may follow the last message
            if not is_over:
                await send(message)

        async def receive_while_signed_in() -> Message:
            return {"type": "http.disconnect"} if is_over else await receive()

        try:
            async with asyncio.timeout(None) as answer:
                await self.app(request.scope, receive_while_signed_in, send_while_signed_in)
        except TimeoutError:
            if not answer.expired():
                raise
        finally:
            if watch is not None:
                watch.cancel()


def sign_in_routes(authenticator: Authenticator) -> APIRouter:
    """GET and POST /sign-in, POST /sign-out, GET /account, and the way to a provider of OpenID Connect and back, where
    one is set up. All but GET /account are open to everybody.
    """
    router = APIRouter(include_in_schema=False)
    accounts = authenticator.accounts
    sign_on = accounts.sign_on if accounts is not None else SignOnSettings()
    provider = OidcProvider(sign_on.oidc) if sign_on.oidc is not None else None

    def form_page(
        next_path: str,
        name: str = "",
        error: Exception | str | None = None,
        status: int = 200,
        sign_out_address: str = "",
    ) -> Response:
        label = sign_on.oidc.label if sign_on.oidc is not None else ""
        html = pages.sign_in(next_path, name[:64], error, authenticator.anonymous, label, sign_out_address)
        return page_response(html, status)

    def end_session(request: Request) -> None:
        token = request.cookies.get(cookie_name(SESSION_COOKIE))
        if accounts is not None and token is not None:
            accounts.sign_out(token)

    @router.get("/sign-in")
    def page(request: Request, user: CurrentUser, next: str = "/", left: str = "") -> Response:
        if user is not None and user.signed_in:
            elsewhere = sign_on.sign_out_url or "/" if UPSTREAM in request.scope else ""
            return page_response(pages.signed_in(user, local_path(next), elsewhere))
        address = provider.sign_out_address(_own_url(request, "/sign-in")) if provider and left else ""
        return form_page(local_path(next), sign_out_address=address)

    @router.post("/sign-in")
    async def sign_in(request: Request, form: Form) -> Response:
        if isinstance(form, InputError):
            return form_page("/", error=form, status=400)
        name, next_path = form.get("name", ""), local_path(form.get("next", "/"))
        if accounts is None:
            no_accounts = InputError("Nobody can sign in here: this app has no accounts.")
            return form_page(next_path, name, no_accounts, 404)
        address = request.client.host if request.client is not None else "unknown"
        try:
            # Not in the pool of the other routes: guesses that wait for their hash must not hold up anybody else.
            token = await asyncio.to_thread(
                accounts.sign_in,
                name,
                form.get("password", ""),
                address,
                request.cookies.get(BROWSER_COOKIE, ""),
                browser_family(request.headers.get("user-agent", "")),
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
        set_session_cookie(request, response, token)
        response.set_cookie(
            BROWSER_COOKIE,
            accounts.remember_browser(name),
            max_age=BROWSER_S,
            path=address_of("/sign-in"),
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response

    if provider is not None and accounts is not None:
        add_sign_on_routes(router, provider, accounts, form_page, end_session)

    @router.post("/sign-out")
    def sign_out(request: Request) -> Response:
        end_session(request)
        response = RedirectResponse(
            address_of("/sign-in?left=1" if provider else "/sign-in"), status_code=303
        )
        response.delete_cookie(
            cookie_name(SESSION_COOKIE), path=address_of("/"), httponly=True, samesite="lax"
        )
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
            "settings": address_of(SETTINGS) if user.signed_in else None,
            "people": address_of(PEOPLE) if user.signed_in and Role.ADMINISTRATOR in user.roles else None,
        }
        return JSONResponse(account, headers=NO_STORE)

    return router


def add_sign_on_routes(
    router: APIRouter,
    provider: OidcProvider,
    accounts: AccountService,
    form_page: Callable[..., Response],
    end_session: Callable[[Request], None],
) -> None:
    """GET /sign-in/oidc sends the browser to the provider, GET /sign-in/oidc/callback takes it back."""

    @router.get(SIGN_ON)
    async def begin(request: Request, next: str = "/") -> Response:
        try:
            # Not in the pool of the other routes: a provider that is slow must hold up nobody else.
            back = _own_url(request, SIGN_ON_BACK)
            address, cookie = await asyncio.to_thread(provider.begin, back, local_path(next))
        except SignOnFailed as error:
            return form_page(local_path(next), error=error, status=503)
        response = RedirectResponse(address, status_code=303, headers=NO_STORE)
        # Lax: the way back is a navigation from the provider's site.
        response.set_cookie(
            SIGN_ON_COOKIE,
            cookie,
            max_age=PENDING_S,
            path=address_of(SIGN_ON),
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response

    @router.get(SIGN_ON_BACK)
    async def finish(request: Request) -> Response:
        try:
            parameters, cookie = dict(request.query_params), request.cookies.get(SIGN_ON_COOKIE, "")
            identity, next_path = await asyncio.to_thread(provider.finish, parameters, cookie)
            browser = browser_family(request.headers.get("user-agent", ""))
            token = await asyncio.to_thread(accounts.sign_in_by, identity, browser)
        except (SignOnFailed, WrongPassword) as error:
            response = form_page("/", error=error, status=403)
        except StoreError as error:
            response = form_page("/", error=user_message(error), status=503)
        else:
            end_session(request)
            response = RedirectResponse(local_path(next_path), status_code=303, headers=NO_STORE)
            set_session_cookie(request, response, token)
        response.delete_cookie(SIGN_ON_COOKIE, path=address_of(SIGN_ON), httponly=True, samesite="lax")
        return response


def _own_url(request: Request, path: str) -> str:
    """A path of the app with the host, as the browser knows it."""
    return f"{request.url.scheme}://{request.url.netloc}{address_of(path)}"
