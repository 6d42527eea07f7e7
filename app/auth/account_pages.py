"""A person's own account: who they are here, where they are signed in, and their password. Plain pages and forms."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from app.auth.accounts import AccountService, TooManyAttempts, WrongPassword
from app.auth.forms import Form, page_response
from app.auth.sessions import LONGEST_S, browser_family
from app.auth.users import SESSION_COOKIE, NotAllowed, User
from app.http.base_path import address_of, cookie_name
from app.http.dependencies import Visitor
from app.ui.templates import macros
from tempo_core.errors import InputError, TempoError

SETTINGS, PASSWORD, SIGN_OUT = "/account/settings", "/account/password", "/account/sign-out"
DONE = {
    "password": "Your password is changed. Every other browser of yours is signed out.",
    "sessions": "Signed out there.",
}
"""What the page says after a form was sent, by the name that the address carries."""
pages = macros("auth/people.html")


def set_session_cookie(request: Request, response: Response, token: str) -> None:
    """Hand a session's token to the browser."""
    secure = request.url.scheme == "https"
    response.set_cookie(
        cookie_name(SESSION_COOKIE),
        token,
        max_age=LONGEST_S,
        path=address_of("/"),
        httponly=True,
        samesite="lax",
        secure=secure,
    )


def account_routes(accounts: AccountService) -> APIRouter:
    """GET /account/settings, and the forms on it: POST /account/password and POST /account/sign-out."""
    router = APIRouter(include_in_schema=False)

    def settings_page(
        request: Request, user: User, *, done: str = "", error: Exception | None = None, status: int = 200
    ) -> Response:
        if user.network:
            raise NotAllowed("Visitors have no account. Sign in first.")
        account = accounts.get(user.id)
        present = accounts.sessions.find(
            request.cookies.get(cookie_name(SESSION_COOKIE), ""), counts_as_use=False
        )
        sessions = accounts.sessions.of_account(user.id)
        identities, session_id = accounts.book.identities(user.id), present.id if present else ""
        html = pages.settings(user, account, identities, sessions, session_id, DONE.get(done), error)
        return page_response(html, status)

    @router.get(SETTINGS)
    def settings(request: Request, user: Visitor, done: str = "") -> Response:
        return settings_page(request, user, done=done)

    @router.post(PASSWORD)
    async def change_password(request: Request, user: Visitor, form: Form) -> Response:
        if isinstance(form, InputError):
            return settings_page(request, user, error=form, status=400)
        if form.get("new", "") != form.get("again", ""):
            error: TempoError = InputError("The two new passwords differ; nothing was changed.")
            return settings_page(request, user, error=error, status=400)
        address = request.client.host if request.client is not None else "unknown"
        browser = browser_family(request.headers.get("user-agent", ""))
        try:
            token = await asyncio.to_thread(
                accounts.change_own_password,
                user.id,
                form.get("present", ""),
                form.get("new", ""),
                address=address,
                browser=browser,
            )
        except WrongPassword as wrong:
            return settings_page(request, user, error=wrong, status=403)
        except TooManyAttempts as wait:
            response = settings_page(request, user, error=wait, status=429)
            response.headers["retry-after"] = str(int(wait.wait_s) + 1)
            return response
        except InputError as bad:
            return settings_page(request, user, error=bad, status=400)
        response = RedirectResponse(address_of(f"{SETTINGS}?done=password"), status_code=303)
        if user.signed_in:
            set_session_cookie(request, response, token)
        return response

    @router.post(SIGN_OUT)
    def sign_out(request: Request, user: Visitor, form: Form) -> Response:
        if user.network:
            raise NotAllowed("Visitors have no account. Sign in first.")
        if isinstance(form, InputError):
            return settings_page(request, user, error=form, status=400)
        try:
            own = request.cookies.get(cookie_name(SESSION_COOKIE), "")
            accounts.revoke(user.id, form.get("session") or None, actor=user.id, but=own)
        except InputError as error:
            return settings_page(request, user, error=error, status=404)
        return RedirectResponse(address_of(f"{SETTINGS}?done=sessions"), status_code=303)

    return router
