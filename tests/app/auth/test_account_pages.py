"""One's own account: the password, and where one is signed in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from httpx import Response

from app.auth import routes
from app.auth.accounts import TEMPORARY_MS
from app.auth.routes import guard
from app.auth.sessions import IDLE_S
from app.auth.throttle import RULES
from app.auth.users import SESSION_COOKIE, Authenticator
from tests.app.auth.test_routes import browsing, sign_in
from tests.app.markup import page_text
from tests.app.people import PASSWORD, People
from tests.app.studio import open_studio

NEW = "another " + PASSWORD


@pytest.fixture
def people() -> People:
    return People().add(ada="annotator", root="administrator")


@pytest.fixture
def authenticator(people: People) -> Authenticator:
    return Authenticator(anonymous=False, local=False, accounts=people.accounts)


@pytest.fixture
def browser(authenticator: Authenticator) -> Iterator[TestClient]:
    with browsing(authenticator) as client:
        client.headers["user-agent"] = "Mozilla/5.0 Gecko/20100101 Firefox/142.0"
        sign_in(client)
        yield client


def change(client: TestClient, present: str = PASSWORD, new: str = NEW, again: str = NEW) -> Response:
    return client.post("/account/password", data={"present": present, "new": new, "again": again})


def test_a_new_password_keeps_this_browser_and_ends_the_others(browser: TestClient, people: People) -> None:
    other, before = people.token("ada"), browser.cookies[SESSION_COOKIE]
    answer = change(browser)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account/settings?done=password")
    assert people.accounts.of_session(other) is None
    assert people.accounts.of_session(before) is None, "a copy of the old cookie is worth nothing"
    page = browser.get(answer.headers["location"])
    assert "Your password is changed." in page_text(page.text)
    assert browser.get("/annotate").json() == "ada"
    with browsing(Authenticator(anonymous=False, local=False, accounts=people.accounts)) as another:
        assert sign_in(another).status_code == 401
        assert sign_in(another, password=NEW).status_code == 303


@pytest.mark.parametrize(
    ("sent", "status", "sentence"),
    [
        ({"present": "wrong"}, 403, "The present password is wrong; nothing was changed."),
        ({"again": NEW + "x"}, 400, "The two new passwords differ; nothing was changed."),
        ({"new": "short", "again": "short"}, 400, "12 to 1024 characters"),
        ({"new": PASSWORD, "again": PASSWORD}, 400, "The new password is the present one."),
    ],
)
def test_what_cannot_be_a_change_is_said_and_changes_nothing(
    browser: TestClient, people: People, sent: dict[str, str], status: int, sentence: str
) -> None:
    before = people.store.account("ada")
    answer = change(browser, **sent)
    assert answer.status_code == status
    assert sentence in page_text(answer.text)
    assert people.store.account("ada") == before
    assert browser.get("/annotate").status_code == 200


def test_guessing_the_present_password_is_told_to_wait(browser: TestClient) -> None:
    for _ in range(RULES["pair"].free + 1):
        assert change(browser, present="wrong").status_code == 403
    answer = change(browser)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 2


def test_only_the_form_changes_a_password(browser: TestClient) -> None:
    values = {"present": PASSWORD, "new": NEW, "again": NEW}
    assert browser.post("/account/password", json=values).status_code == 400
    other_site = {"origin": "https://evil.example"}
    assert browser.post("/account/password", data=values, headers=other_site).status_code == 403


def test_sessions_are_listed_and_ended_by_their_owner(browser: TestClient, people: People) -> None:
    people.accounts.sign_in("ada", PASSWORD, "192.0.2.7", browser="Safari")
    people.accounts.sign_in("ada", PASSWORD, "192.0.2.7", browser="Chrome")
    foreign = people.token("root")
    text = page_text(browser.get("/account/settings").text)
    assert "Firefox, this browser" in text
    assert {"Safari", "Chrome"} <= set(text.split())
    assert "192.0.2" not in text
    ids = {session.browser: session.id for session in people.accounts.sessions.of_account("ada")}
    answer = browser.post("/account/sign-out", data={"session": ids["Safari"]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/account/settings?done=sessions")
    assert "Safari" not in browser.get("/account/settings").text
    [of_root] = people.accounts.sessions.of_account("root")
    refused = browser.post("/account/sign-out", data={"session": of_root.id})
    assert refused.status_code == 404
    assert "has no session" in page_text(refused.text)
    assert people.accounts.of_session(foreign) is not None
    assert browser.post("/account/sign-out", data={"session": ""}).status_code == 303
    assert [session.browser for session in people.accounts.sessions.of_account("ada")] == ["Firefox"]
    assert browser.get("/annotate").status_code == 200


def test_a_temporary_password_opens_the_page_that_changes_it_and_nothing_else(
    browser: TestClient, people: People
) -> None:
    temporary = people.accounts.reset_password("ada", actor="root")
    assert browser.get("/annotate").status_code == 401, "their sessions are over"
    assert sign_in(browser, password=temporary).status_code == 303
    refused = browser.get("/annotate")
    assert refused.status_code == 403
    sentence = "Your password is a temporary one. Change it first, on the page Your account."
    assert refused.json()["error"] == sentence
    led = browser.get("/annotate", headers={"accept": "text/html"})
    assert (led.status_code, led.headers["location"]) == (303, "/account/settings")
    assert "a temporary one" in page_text(browser.get("/account/settings").text)
    assert change(browser, present=temporary).status_code == 303
    assert browser.get("/annotate").json() == "ada"
    assert people.store.account("ada").password_expires_at_ms is None


def test_a_temporary_password_works_for_three_days(
    browser: TestClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = 1_000
    monkeypatch.setattr(people.accounts, "_clock", lambda: now_ms)
    temporary = people.accounts.reset_password("ada", actor="root")
    now_ms += TEMPORARY_MS - 1
    assert sign_in(browser, password=temporary).status_code == 303
    now_ms += 1
    answer = sign_in(browser, password=temporary)
    assert answer.status_code == 401
    assert "The name or the password is wrong." in answer.text


def test_visitors_have_no_account(people: People) -> None:
    with browsing(Authenticator(anonymous=True, accounts=people.accounts)) as client:
        client.get("/page")
        for answer in (client.get("/account/settings"), change(client)):
            assert answer.status_code in (400, 403)
            assert "Visitors have no account" in answer.json()["error"]


def test_an_open_event_stream_ends_when_its_session_is_revoked(
    people: People, authenticator: Authenticator
) -> None:
    """The stream itself asks: nothing is told after the session is over, whoever ended it."""
    app = FastAPI()
    guard(app, authenticator)
    token = people.token("ada")

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            yield "data: before\n\n"
            people.accounts.revoke("ada", actor="root")
            for _ in range(3):
                yield "data: after\n\n"
                await asyncio.sleep(0)

        return StreamingResponse(events(), media_type="text/event-stream")

    with TestClient(app, base_url="http://tempo.example") as client:
        client.cookies.set(SESSION_COOKIE, token, domain="tempo.example")
        assert client.get("/stream").text == "data: before\n\n"
        assert client.get("/stream").status_code == 401


@pytest.mark.parametrize("ending", ["revoked", "expired"])
def test_a_silent_event_stream_ends_with_its_session(
    people: People, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(routes, "STREAM_CHECK_S", 0.01)
    app = FastAPI()
    guard(app, authenticator)
    token = people.token("ada")
    is_closed = False

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            nonlocal is_closed
            yield "data: before\n\n"
            if ending == "revoked":
                people.accounts.revoke("ada", actor="root")
            else:
                people.clock.pass_s(IDLE_S)
            try:
                await asyncio.Event().wait()
            finally:
                is_closed = True

        return StreamingResponse(events(), media_type="text/event-stream")

    with TestClient(app, base_url="http://tempo.example") as client:
        client.cookies.set(SESSION_COOKIE, token, domain="tempo.example")
        assert client.get("/stream").text == "data: before\n\n"
        assert is_closed, "what made its events stopped too"


def test_a_revoked_session_is_refused_by_gradios_routes_too(
    people: People, authenticator: Authenticator, tmp_path: Path
) -> None:
    cookie = {"cookie": f"{SESSION_COOKIE}={people.token('ada')}"}
    paths = (
        "/",
        "/annotate",
        "/config",
        "/gradio_api/info",
        "/gradio_api/heartbeat/mine",
        "/annotate/api/me",
    )
    with open_studio(
        tmp_path, authenticator=authenticator, host="tempo.example", store=people.store
    ) as studio:
        assert {studio.request("GET", path, headers=cookie).status for path in paths} == {200}
        people.accounts.revoke("ada", actor="root")
        assert {studio.request("GET", path, headers=cookie).status for path in paths} == {401}
        event = {**cookie, "content-type": "application/json"}
        assert studio.request("POST", "/gradio_api/queue/join", b"{}", headers=event).status == 401
