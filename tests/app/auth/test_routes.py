"""Signing in and out: who gets in, how, and what those see who do not."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from httpx import Response

from annotations.errors import DatabaseAway
from app.auth.routes import guard, local_path
from app.auth.sessions import BROWSER_S, IDLE_S, LONGEST_S
from app.auth.throttle import RULES
from app.auth.users import BROWSER_COOKIE, SESSION_COOKIE, VISITOR_COOKIE, Authenticator, Role, User
from app.ui.templates import macros
from tests.app.markup import HOSTILE, attributes, hostile_texts, page_text
from tests.app.people import PASSWORD, People

NEEDED = {"/page": Role.VISITOR, "/annotate": Role.ANNOTATOR, "/users": Role.ADMINISTRATOR}


@pytest.fixture
def people() -> People:
    return People().add(ada="annotator", root="administrator")


@contextmanager
def browsing(
    authenticator: Authenticator, base: str = "http://tempo.example", at: str = "192.0.2.1"
) -> Iterator[TestClient]:
    """A browser that opens an app with three pages; it follows no redirects."""
    app = FastAPI()
    guard(app, authenticator)

    def add(path: str, role: Role) -> None:
        @app.get(path)
        def page(request: Request) -> str:
            return authenticator.require(request, role).id

    for path, role in NEEDED.items():
        add(path, role)
    with TestClient(app, base_url=base, follow_redirects=False, client=(at, 4000)) as client:
        yield client


@pytest.fixture
def browser(people: People) -> Iterator[TestClient]:
    with browsing(Authenticator(anonymous=False, local=False, accounts=people.accounts)) as client:
        yield client


def sign_in(client: TestClient, name: str = "ada", password: str = PASSWORD, **more: str) -> Response:
    return client.post("/sign-in", data={"name": name, "password": password, **more})


def test_nobody_gets_past_the_gate(browser: TestClient) -> None:
    for path in (*NEEDED, "/account", "/no-such-page", "/gradio_api/info"):
        answer = browser.get(path)
        assert answer.status_code == 401
        assert "Sign in" in answer.json()["error"]


def test_a_person_is_led_to_the_form_and_back(browser: TestClient) -> None:
    answer = browser.get("/annotate?query=7&sort=a%26b", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 303
    form = browser.get(answer.headers["location"])
    assert form.status_code == 200
    fields = Fields.of(form.text)
    assert fields["next"] == "/annotate?query=7&sort=a%26b"
    response = sign_in(browser, next=fields["next"])
    assert (response.status_code, response.headers["location"]) == (303, "/annotate?query=7&sort=a%26b")
    assert browser.get(response.headers["location"]).json() == "ada"


class Fields(HTMLParser):
    """The values of a page's inputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "input":
            self.values[attributes.get("name") or ""] = attributes.get("value") or ""

    @classmethod
    def of(cls, html: str) -> dict[str, str]:
        parser = cls()
        parser.feed(html)
        return parser.values


def test_the_cookie_is_kept_from_scripts_and_other_sites(browser: TestClient, people: People) -> None:
    cookies = sign_in(browser).headers.get_list("set-cookie")
    parts = {}
    for cookie in cookies:
        name, *attributes = cookie.replace("=", ";", 1).split(";")
        parts[name] = {part.strip().lower() for part in attributes[1:]}
    assert parts == {
        SESSION_COOKIE: {"httponly", "samesite=lax", "path=/", f"max-age={LONGEST_S}"},
        BROWSER_COOKIE: {"httponly", "samesite=lax", "path=/sign-in", f"max-age={BROWSER_S}"},
    }
    with browsing(
        Authenticator(anonymous=False, local=False, accounts=people.accounts), "https://tempo.example"
    ) as client:
        assert all("; secure" in cookie.lower() for cookie in sign_in(client).headers.get_list("set-cookie"))


def test_each_sign_in_makes_a_token_of_its_own_and_ends_the_one_before(
    browser: TestClient, people: People
) -> None:
    sign_in(browser)
    first = browser.cookies[SESSION_COOKIE]
    sign_in(browser)
    second = browser.cookies[SESSION_COOKIE]
    assert first != second
    assert people.accounts.of_session(first) is None
    assert people.accounts.of_session(second) is not None


def test_a_token_that_was_planted_is_not_taken(browser: TestClient, people: People) -> None:
    planted = "a" * 43
    browser.cookies.set(SESSION_COOKIE, planted, domain="tempo.example")
    assert browser.get("/page").status_code == 401
    answer = sign_in(browser)
    assert planted not in answer.headers["set-cookie"]


def test_roles_hold_behind_the_gate(browser: TestClient) -> None:
    sign_in(browser)
    assert browser.get("/annotate").json() == "ada"
    refused = browser.get("/users")
    assert refused.status_code == 403
    assert "administrator" in refused.json()["error"]


def test_wrong_sign_ins_are_told_and_keep_the_name(browser: TestClient) -> None:
    answer = sign_in(browser, password="wrong")
    assert answer.status_code == 401
    assert 'role="alert"' in answer.text
    assert "The name or the password is wrong." in answer.text
    assert Fields.of(answer.text)["name"] == "ada"
    assert Fields.of(answer.text)["password"] == ""
    assert "set-cookie" not in answer.headers
    unknown = sign_in(browser, name="eve", password="wrong")
    assert unknown.status_code == 401
    assert unknown.text.replace("eve", "ada") == answer.text, "nobody learns which names exist"


def test_what_was_typed_is_shown_as_text(browser: TestClient) -> None:
    typed = '"><img src=x onerror=alert(1)>${1}'
    answer = sign_in(browser, name=typed, password="x", next='/a"><script>')
    assert "<img" not in answer.text
    assert "<script" not in answer.text
    assert Fields.of(answer.text)["name"] == typed


def test_guessing_is_told_to_wait(browser: TestClient, people: People) -> None:
    for _ in range(RULES["pair"].free + 1):
        assert sign_in(browser, password="wrong").status_code == 401
    answer = sign_in(browser)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 2
    assert "Try again in 2 seconds" in answer.text
    people.clock.pass_s(3)
    assert sign_in(browser).status_code == 303


def test_a_stranger_behind_the_same_proxy_does_not_keep_a_known_browser_out(people: People) -> None:
    authenticator = Authenticator(anonymous=False, local=False, accounts=people.accounts)
    with browsing(authenticator) as stranger, browsing(authenticator) as ada, browsing(authenticator) as new:
        assert sign_in(ada).status_code == 303
        ada.post("/sign-out")
        while sign_in(stranger, password="wrong").status_code != 429:
            pass
        assert sign_in(new).status_code == 429
        assert sign_in(ada).status_code == 303


def test_guesses_from_one_address_do_not_keep_another_out(people: People) -> None:
    authenticator = Authenticator(anonymous=False, local=False, accounts=people.accounts)
    with browsing(authenticator) as guesser, browsing(authenticator, at="198.51.100.9") as ada:
        while sign_in(guesser, password="wrong").status_code != 429:
            pass
        assert sign_in(ada).status_code == 303


def test_signing_out(browser: TestClient, people: People) -> None:
    sign_in(browser)
    token = browser.cookies[SESSION_COOKIE]
    answer = browser.post("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert SESSION_COOKIE not in browser.cookies
    assert people.accounts.of_session(token) is None, "a copy of the cookie is worth nothing either"
    assert browser.get("/sign-out").status_code == 405, "a picture on another page cannot sign anybody out"


def test_sessions_end_on_their_own(browser: TestClient, people: People) -> None:
    sign_in(browser)
    people.clock.pass_s(IDLE_S)
    assert browser.get("/annotate").status_code == 401


def test_while_the_store_is_away_nobody_is_signed_out_and_each_kind_of_client_is_told(
    browser: TestClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(browser)
    sentence = "The database does not answer."

    def fail(*_: object) -> None:
        raise DatabaseAway(f"{sentence} It is /srv/home/cqvh.sqlite3.")

    with monkeypatch.context() as away:
        away.setattr(people.store, "account", fail)
        away.setattr(people.store, "accounts", fail)
        program, page = browser.get("/annotate"), browser.get("/annotate", headers={"accept": "text/html"})
        chat, form = browser.get("/v1/models"), sign_in(browser)
    assert [answer.status_code for answer in (program, page, chat)] == [503, 503, 503]
    assert program.json() == {"error": f"{sentence} It is cqvh.sqlite3."}
    assert chat.json()["error"]["message"] == f"{sentence} It is cqvh.sqlite3."
    assert sentence in page_text(page.text)
    assert "/srv" not in page.text + form.text
    assert page.headers["x-content-type-options"] == "nosniff"
    assert form.status_code == 503
    assert browser.get("/annotate").json() == "ada", "the session goes on"


def test_a_sign_in_while_the_store_is_away_keeps_the_name(
    browser: TestClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DatabaseAway("The database does not answer.")

    monkeypatch.setattr(people.store, "accounts", fail)
    form = sign_in(browser, next="/annotate")
    assert form.status_code == 503
    assert "The database does not answer." in page_text(form.text)
    assert (Fields.of(form.text)["name"], Fields.of(form.text)["next"]) == ("ada", "/annotate")


def test_a_disabled_account_is_out_at_its_next_request(browser: TestClient, people: People) -> None:
    sign_in(browser)
    assert browser.get("/annotate").status_code == 200
    people.accounts.change("ada", disabled=True, actor="test")
    assert browser.get("/annotate").status_code == 401


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
@pytest.mark.parametrize("sent", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_other_sites_can_sign_nobody_in_or_out(browser: TestClient, path: str, sent: dict[str, str]) -> None:
    answer = browser.post(path, data={"name": "ada", "password": PASSWORD}, headers=sent)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_only_the_form_is_taken(browser: TestClient) -> None:
    assert browser.post("/sign-in", json={"name": "ada", "password": PASSWORD}).status_code == 400
    assert sign_in(browser, name="x" * 20_000).status_code == 400
    many = {f"field{number}": "" for number in range(50)}
    assert browser.post("/sign-in", data=many).status_code == 400
    assert browser.post("/sign-in", data={"name": "ada"}).status_code == 401


@pytest.mark.parametrize("password", ["ä" * 500, "漢字" * 500, "&=%+" * 200])
def test_any_password_may_be_typed(people: People, password: str) -> None:
    people.accounts.add("bo", "annotator", password, actor="test")
    with browsing(Authenticator(anonymous=False, local=False, accounts=people.accounts)) as client:
        assert sign_in(client, "bo", password).status_code == 303


@pytest.mark.parametrize(
    ("next_path", "leads_to"),
    [
        ("/", "/"),
        ("/annotate?x=1#here", "/annotate?x=1#here"),
        ("/a/../b", "/a/../b"),
        ("", "/"),
        ("annotate", "/"),
        ("//evil.example", "/"),
        ("///evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        (" //evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/x\r\nset-cookie: a=b", "/"),
        ("/sign-in?next=/sign-in", "/"),
        ("/sign-out", "/"),
        ("/" + "x" * 3000, "/"),
    ],
)
def test_next_never_leaves_this_app(browser: TestClient, next_path: str, leads_to: str) -> None:
    assert local_path(next_path) == leads_to
    assert sign_in(browser, next=next_path).headers["location"] == leads_to


def test_the_page_is_not_kept_framed_or_scripted(browser: TestClient) -> None:
    answer = browser.get("/sign-in")
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy + answer.text
    assert not re.search(r"(src|href)=\"?https?:", answer.text)


def test_who_is_signed_in_already_may_go_on_or_sign_out(browser: TestClient) -> None:
    sign_in(browser)
    page = browser.get("/sign-in?next=/annotate").text
    assert "as ada" in page
    assert 'href="/annotate"' in page
    assert 'action="/sign-out"' in page


def test_the_account_is_said(browser: TestClient) -> None:
    sign_in(browser)
    assert browser.get("/account").json() == {
        "name": "ada",
        "roles": ["annotator", "visitor"],
        "signed_in": True,
        "may_sign_in": True,
        "settings": "/account/settings",
        "people": None,
    }
    sign_in(browser, "root")
    assert browser.get("/account").json()["people"] == "/people"


class TestVisitors:
    @pytest.fixture
    def browser(self, people: People) -> Iterator[TestClient]:
        with browsing(Authenticator(anonymous=True, accounts=people.accounts)) as client:
            yield client

    def test_look_around_and_no_further(self, browser: TestClient) -> None:
        assert browser.get("/page").json().startswith("visitor-")
        refused = browser.get("/annotate")
        assert refused.status_code == 403
        assert "Sign in with an account" in refused.json()["error"]

    def test_may_sign_in_and_are_visitors_again_afterwards(self, browser: TestClient) -> None:
        visitor = browser.get("/page").json()
        assert VISITOR_COOKIE in browser.cookies
        assert "as a visitor" in browser.get("/sign-in").text
        sign_in(browser)
        assert browser.get("/annotate").json() == "ada"
        browser.post("/sign-out")
        assert browser.get("/page").json() == visitor


class TestThisMachine:
    base = "http://127.0.0.1:7860"

    def test_the_single_account_needs_no_sign_in(self) -> None:
        people = People()
        people.accounts.add_first()
        with browsing(Authenticator(anonymous=False, accounts=people.accounts), self.base) as client:
            assert client.get("/users").json() == "local"
            assert client.get("/account").json()["may_sign_in"] is False

    def test_a_second_account_makes_everybody_sign_in(self, people: People) -> None:
        people.accounts.add_first()
        with browsing(Authenticator(anonymous=False, accounts=people.accounts), self.base) as client:
            assert client.get("/page").status_code == 401
            sign_in(client)
            assert client.get("/page").json() == "ada"
            for name in ("ada", "root"):
                people.accounts.change(name, disabled=True, actor="test")
            assert client.get("/page").status_code == 401, "there was never an account of this machine"

    def test_disabling_the_others_makes_it_single_again(self) -> None:
        people = People()
        people.accounts.add_first()
        people.add(ada="annotator")
        with browsing(Authenticator(anonymous=False, accounts=people.accounts), self.base) as client:
            assert client.get("/page").status_code == 401
            people.accounts.change("ada", disabled=True, actor="test")
            assert client.get("/page").json() == "local"
            people.accounts.change("local", disabled=True, actor="test")
            assert client.get("/page").status_code == 401

    def test_its_role_is_the_one_in_the_store(self) -> None:
        people = People()
        people.accounts.add_first()
        people.accounts.change("local", role="annotator", actor="test")
        with browsing(Authenticator(anonymous=False, accounts=people.accounts), self.base) as client:
            assert client.get("/annotate").json() == "local"
            assert client.get("/users").status_code == 403

    @pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "x-real-ip"])
    def test_what_came_through_a_proxy_is_not_this_machine(self, header: str) -> None:
        people = People()
        people.accounts.add_first()
        with browsing(Authenticator(anonymous=False, accounts=people.accounts), self.base) as client:
            assert client.get("/users", headers={header: "203.0.113.5"}).status_code == 401

    @pytest.mark.parametrize("sent", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
    def test_other_names_and_sites_are_refused(self, sent: dict[str, str]) -> None:
        people = People()
        people.accounts.add_first()
        with browsing(Authenticator(anonymous=False, accounts=people.accounts), self.base) as client:
            assert client.get("/users", headers=sent).status_code == 403


def test_without_accounts_nobody_can_sign_in() -> None:
    with browsing(Authenticator(anonymous=True)) as client:
        answer = sign_in(client)
        assert answer.status_code == 404
        assert "no accounts" in answer.text


def test_what_was_typed_comes_back_as_text(browser: TestClient) -> None:
    form = {"name": HOSTILE, "password": PASSWORD, "next": "/data?q=<x-hostile>"}
    html = browser.post("/sign-in", data=form).text
    assert HOSTILE in attributes(html)
    assert hostile_texts(html) == 1
    assert "/data?q=<x-hostile>" in attributes(html)


def test_a_page_without_its_role_says_names_as_text() -> None:
    user = User(id="x", name=HOSTILE, roles=frozenset(), signed_in=True)
    html = str(macros("auth/page.html").no_role(user, HOSTILE, Role.ANNOTATOR))
    assert hostile_texts(html) == 3, "the name, the heading and the title"
    assert "needs the role annotator" in page_text(html)
    assert "Sign in" not in page_text(html)
    assert "Sign in to go on." in page_text(
        str(macros("auth/page.html").no_role(None, "Data", Role.ANNOTATOR))
    )
