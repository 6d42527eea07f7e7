"""Everybody with an account, for administrators: who they are, where they are signed in, and a way back in for whoever
forgot their password. Plain pages and forms.
"""

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from app.auth.accounts import AccountService
from app.auth.forms import Form, page_response
from app.auth.users import User
from app.http.base_path import address_of
from app.http.dependencies import Administrator
from app.http.errors import NoSuchFile
from app.ui.templates import macros
from tempo_core.errors import InputError

PEOPLE = "/people"
pages = macros("auth/people.html")


def people_routes(accounts: AccountService) -> APIRouter:
    """GET /people and /people/{name}, and the forms there: a new password, and the end of sessions."""
    router = APIRouter(prefix=PEOPLE, include_in_schema=False)

    def person_page(
        user: User, name: str, *, password: str = "", done: str = "", error: Exception | None = None
    ) -> Response:
        account = next((account for account in accounts.all() if account.name == name), None)
        if account is None:
            raise NoSuchFile("There is no such account. Open the list of people again.")
        sessions = accounts.sessions.of_account(name)
        identities = accounts.book.identities(name)
        html = pages.person(user, account, identities, sessions, password, done, error)
        return page_response(html, 200 if error is None else 400)

    @router.get("")
    def people(user: Administrator) -> Response:
        sessions = accounts.sessions.of_account()
        last_used_s = {session.account: session.used_at_s for session in reversed(sessions)}
        return page_response(pages.people(user, accounts.all(), last_used_s))

    @router.get("/{name}")
    def person(user: Administrator, name: str, done: str = "") -> Response:
        return person_page(user, name, done="Their sessions are over." if done else "")

    @router.post("/{name}/password")
    def reset_password(user: Administrator, name: str) -> Response:
        if name == user.id:
            error = InputError("This is your own account: change its password on the page Your account.")
            return person_page(user, name, error=error)
        try:
            password = accounts.reset_password(name, actor=user.id)
        except InputError as error:
            raise NoSuchFile("There is no such account. Open the list of people again.") from error
        return person_page(user, name, password=password)

    @router.post("/{name}/sign-out")
    def sign_out(user: Administrator, name: str, form: Form) -> Response:
        if isinstance(form, InputError):
            return person_page(user, name, error=form)
        try:
            accounts.revoke(name, form.get("session") or None, actor=user.id)
        except InputError as error:
            return person_page(user, name, error=error)
        return RedirectResponse(address_of(f"{PEOPLE}/{name}?done=sessions"), status_code=303)

    return router
