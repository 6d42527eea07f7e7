"""Everybody's accounts and sessions, for administrators."""

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.auth.users import Authenticator
from tests.app.auth.test_routes import browsing, sign_in
from tests.app.markup import page_text
from tests.app.people import PASSWORD, People


@pytest.fixture
def people() -> People:
    return People().add(ada="annotator", root="administrator")


@pytest.fixture
def browser(people: People) -> Iterator[TestClient]:
    with browsing(Authenticator(anonymous=False, local=False, accounts=people.accounts)) as client:
        sign_in(client, "root")
        yield client


def test_everybody_is_listed_with_role_and_last_use(browser: TestClient, people: People) -> None:
    people.accounts.change("ada", disabled=True, actor="root")
    text = " ".join(page_text(browser.get("/people").text).split())
    assert "ada annotator, disabled; not signed in" in text
    assert "root, you administrator; signed in, last used 1970-01-12" in text


def test_a_temporary_password_is_shown_once(browser: TestClient, people: People) -> None:
    token = people.token("ada")
    answer = browser.post("/people/ada/password")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    password_match = re.search(r"<code>([a-z0-9-]{23})</code>", answer.text)
    assert password_match is not None
    assert people.accounts.of_session(token) is None
    assert password_match[1] not in browser.get("/people/ada").text
    session = people.accounts.of_session(people.accounts.sign_in("ada", password_match[1], "192.0.2.1"))
    assert session is not None
    assert session.password_expires_at_ms is not None


def test_an_administrator_changes_their_own_password_elsewhere(browser: TestClient, people: People) -> None:
    before = people.store.account("root")
    answer = browser.post("/people/root/password")
    assert answer.status_code == 400
    assert "on the page Your account" in page_text(answer.text)
    assert people.store.account("root") == before


def test_sessions_of_anybody_are_ended(browser: TestClient, people: People) -> None:
    first = people.accounts.sign_in("ada", PASSWORD, "192.0.2.7", browser="Safari")
    second = people.accounts.sign_in("ada", PASSWORD, "192.0.2.7", browser="Firefox")
    page = browser.get("/people/ada").text
    assert {"Safari", "Firefox"} <= set(page_text(page).split())
    safari = next(s.id for s in people.accounts.sessions.of_account("ada") if s.browser == "Safari")
    answer = browser.post("/people/ada/sign-out", data={"session": safari})
    assert (answer.status_code, answer.headers["location"]) == (303, "/people/ada?done=sessions")
    assert people.accounts.of_session(first) is None
    assert people.accounts.of_session(second) is not None
    assert browser.post("/people/ada/sign-out", data={"session": safari}).status_code == 400
    assert browser.post("/people/ada/sign-out", data={"session": ""}).status_code == 303
    assert people.accounts.of_session(second) is None


def test_nobody_else_gets_any_of_it(people: People) -> None:
    with browsing(Authenticator(anonymous=False, local=False, accounts=people.accounts)) as client:
        sign_in(client)
        for method, path in (
            ("GET", "/people"),
            ("GET", "/people/root"),
            ("POST", "/people/root/password"),
            ("POST", "/people/root/sign-out"),
        ):
            assert client.request(method, path).status_code == 403
        assert people.accounts.of_session(people.token("root")) is not None


def test_a_name_that_is_not_there(browser: TestClient) -> None:
    assert browser.get("/people/nobody").status_code == 404
    assert browser.post("/people/nobody/password").status_code == 404
    assert browser.post("/people/nobody/sign-out", data={"session": ""}).status_code == 404
