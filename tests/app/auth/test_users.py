"""Who is asking, and what they may do."""

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.auth.users import (
    VISITOR_COOKIE,
    Authenticator,
    NotAllowed,
    NotSignedIn,
    Role,
    VisitorCookies,
    authenticator_for,
    is_loopback,
)

COOKIE = "a" * 43


def asking(cookie: str | None) -> Any:
    return SimpleNamespace(cookies={} if cookie is None else {VISITOR_COOKIE: cookie})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_knows_loopback_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_the_local_account_has_every_role() -> None:
    authenticator = authenticator_for("127.0.0.1", allow_anonymous_visitors=False)
    for role in Role:
        assert authenticator.require(asking(None), role).id == "local"


def test_an_open_host_asks_everybody_to_sign_in() -> None:
    authenticator = authenticator_for("0.0.0.0", allow_anonymous_visitors=False)
    assert authenticator.resolve(asking(None)) is None
    with pytest.raises(NotSignedIn, match="Sign in"):
        authenticator.require(asking(None), Role.VISITOR)


def test_anonymous_visitors_are_visitors_and_nothing_more() -> None:
    authenticator = authenticator_for("0.0.0.0", allow_anonymous_visitors=True)
    user = authenticator.require(asking(COOKIE), Role.VISITOR)
    assert user.roles == {Role.VISITOR}
    assert COOKIE not in user.id
    for role in set(Role) - {Role.VISITOR}:
        with pytest.raises(NotAllowed, match=role):
            authenticator.require(asking(COOKIE), role)


def test_the_flag_takes_the_local_account_away_even_on_loopback() -> None:
    authenticator = authenticator_for("127.0.0.1", allow_anonymous_visitors=True)
    assert authenticator.require(asking(COOKIE), Role.VISITOR).id != "local"


@pytest.mark.parametrize("cookie", [None, "", "short", "a" * 44, "../" + "a" * 40])
def test_an_unknown_browser_is_nobody(cookie: str | None) -> None:
    with pytest.raises(NotAllowed, match="cookies"):
        Authenticator(anonymous=True).require(asking(cookie), Role.VISITOR)


def test_every_browser_gets_its_own_lasting_cookie() -> None:
    authenticator = Authenticator(anonymous=True)

    def who(request: Request) -> PlainTextResponse:
        return PlainTextResponse(authenticator.require(request, Role.VISITOR).id)

    app = VisitorCookies(Starlette(routes=[Route("/", who)]))
    with TestClient(app) as first, TestClient(app) as second:
        answer = first.get("/")
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert "SameSite=Lax" in answer.headers["set-cookie"]
        again = first.get("/")
        assert "set-cookie" not in again.headers
        assert answer.text == again.text != second.get("/").text


def test_other_cookies_survive_the_first_request() -> None:
    def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(",".join(sorted(request.cookies)))

    with TestClient(VisitorCookies(Starlette(routes=[Route("/", echo)]))) as client:
        answer = client.get("/", headers={"cookie": f"theme=dark; {VISITOR_COOKIE}=broken"})
    assert VISITOR_COOKIE in answer.text


def test_visitors_of_one_address_share_what_one_may_use_whatever_cookies_they_hold() -> None:
    authenticator = Authenticator(anonymous=True)

    def share(request: Request) -> PlainTextResponse:
        return PlainTextResponse(authenticator.require(request, Role.VISITOR).share)

    app = VisitorCookies(Starlette(routes=[Route("/", share)]))
    shares = []
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"):
        with TestClient(app, client=(address, 4000)) as client:
            shares.append(client.get("/").text)
    assert shares == [
        "visitors from 192.0.2.1",
        "visitors from 192.0.2.1",
        "visitors from 192.0.2.2",
        "visitors from 2001:db8::/64",
        "visitors from 2001:db8::/64",
    ]
