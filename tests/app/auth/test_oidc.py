"""Sign-in by OpenID Connect, against a provider that speaks it, and against one that lies."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from annotations.errors import StoreError
from app.auth import oidc
from app.auth.oidc import KEYS_PAUSE_S, LEEWAY_S, PENDING_S, OidcProvider, groups_of
from app.auth.sign_on import OidcSettings, SignOnSettings
from app.auth.users import SESSION_COOKIE, SIGN_ON_COOKIE, Authenticator, Role
from tests.app.auth.openid_provider import CLIENT_ID, CLIENT_SECRET, Provider, running_provider
from tests.app.auth.test_routes import browsing, sign_in
from tests.app.conftest import RunningApp
from tests.app.markup import page_text
from tests.app.people import People

MAPPING = (("admins", Role.ADMINISTRATOR), ("team", Role.ANNOTATOR))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def people(provider: Provider) -> People:
    settings = OidcSettings(
        issuer=provider.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, label="Example"
    )
    return People(sign_on=SignOnSettings(oidc=settings, role_mapping=MAPPING)).add(root="administrator")


@contextmanager
def at(people: People) -> Iterator[TestClient]:
    authenticator = Authenticator(anonymous=False, local=False, accounts=people.accounts)
    with browsing(authenticator, "https://tempo.example") as client:
        yield client


@pytest.fixture
def browser(people: People) -> Iterator[TestClient]:
    with at(people) as client:
        yield client


def go(client: TestClient, provider: Provider, next_path: str = "/page", **changes: str) -> Response:
    """Sign in with the button: to the provider and back, with `changes` to what the browser brings back."""
    redirect = client.get("/sign-in/oidc", params={"next": next_path})
    assert redirect.status_code == 303
    return client.get(
        "/sign-in/oidc/callback", params={**provider.authorize(redirect.headers["location"]), **changes}
    )


def refused(client: TestClient, people: People, answer: Response, sentence: str) -> None:
    """A sentence on the sign-in page, no session, no account, no word of the reason, no cookie left."""
    assert answer.status_code == 403
    assert sentence in page_text(answer.text)
    assert "Sign in with Example" in page_text(answer.text)
    assert SESSION_COOKIE not in client.cookies
    assert SIGN_ON_COOKIE not in client.cookies
    assert client.get("/page").status_code == 401
    assert [account.name for account in people.accounts.all()] == ["root"]


def test_a_first_sign_in_makes_an_account_with_the_least_role(
    browser: TestClient, people: People, provider: Provider
) -> None:
    assert "Sign in with Example" in page_text(browser.get("/sign-in?next=/page").text)
    answer = go(browser, provider)
    assert (answer.status_code, answer.headers["location"]) == (303, "/page")
    assert browser.get("/page").json() == "grace"
    account = people.store.account("grace")
    assert (account.role, account.password_hash) == ("visitor", None)
    assert [s.account for s in people.accounts.sessions.of_account()] == ["grace"]
    latest = people.store.audit_entries(limit=1)[0]
    assert (latest.action, latest.person, latest.detail) == ("signed in", "grace", {"by": "OpenID Connect"})
    assert go(browser, provider).status_code == 303
    assert len(people.accounts.all()) == 2, "the second sign-in finds the account of the first"


def test_the_cookie_of_the_way_is_for_that_way_only(browser: TestClient, provider: Provider) -> None:
    cookie = browser.get("/sign-in/oidc").headers["set-cookie"].lower()
    assert {"httponly", "secure", "samesite=lax", "path=/sign-in/oidc", f"max-age={PENDING_S}"} <= {
        part.strip() for part in cookie.split(";")
    }


def test_groups_bring_roles(browser: TestClient, people: People, provider: Provider) -> None:
    for groups, role in (
        (["x", "team"], "annotator"),
        (["admins", "team"], "administrator"),
        ([], "visitor"),
    ):
        provider.person["groups"] = groups
        assert go(browser, provider).status_code == 303
        assert people.store.account("grace").role == role


@pytest.mark.parametrize(
    ("claims", "name", "groups"),
    [
        ({"groups": ["a", "b", 3]}, "groups", ("a", "b")),
        ({"role": "a"}, "role", ("a",)),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", ("a",)),
        ({"https://x.example/roles": ["a"]}, "https://x.example/roles", ("a",)),
        ({"groups": {"a": True}}, "groups", ()),
        ({"groups": "a"}, "groups.b", ()),
        ({}, "groups", ()),
    ],
)
def test_groups_in_claims(claims: dict[str, Any], name: str, groups: tuple[str, ...]) -> None:
    assert groups_of(claims, name) == groups


def signed_by_the_secret(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET * 3), algorithms=["HS256"])


def unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{head}.{body}."


def own_key(claims: dict[str, Any]) -> str:
    key = RSAKey.generate_key(2048, {"kid": "other"})
    return jwt.encode({"alg": "RS256", "kid": "other"}, claims, key)


HOSTILE: dict[str, Callable[[Provider, dict[str, Any]], str]] = {
    "wrong issuer": lambda p, c: p.sign({**c, "iss": "https://evil.example"}),
    "no issuer": lambda p, c: p.sign({k: v for k, v in c.items() if k != "iss"}),
    "wrong audience": lambda p, c: p.sign({**c, "aud": "another-app"}),
    "another app's, for us as well": lambda p, c: p.sign({**c, "aud": [CLIENT_ID, "x"], "azp": "x"}),
    "many audiences, for nobody": lambda p, c: p.sign({**c, "aud": [CLIENT_ID, "x"]}),
    "wrong nonce": lambda p, c: p.sign({**c, "nonce": "x"}),
    "no nonce": lambda p, c: p.sign({k: v for k, v in c.items() if k != "nonce"}),
    "expired": lambda p, c: p.sign({**c, "exp": int(time.time()) - LEEWAY_S - 5}),
    "without end": lambda p, c: p.sign({k: v for k, v in c.items() if k != "exp"}),
    "not yet": lambda p, c: p.sign({**c, "nbf": int(time.time()) + LEEWAY_S + 60}),
    "alg none": lambda p, c: unsigned(c),
    "the client's secret": lambda p, c: signed_by_the_secret(c),
    "unknown key": lambda p, c: own_key(c),
    "known key's name, other key": lambda p, c: jwt.encode(
        {"alg": "RS256", "kid": p.keys[0].kid}, c, RSAKey.generate_key(2048)
    ),
    "changed after signing": lambda p, c: ".".join(
        [p.sign(c).split(".")[0], unsigned({**c, "sub": "root"}).split(".")[1], p.sign(c).split(".")[2]]
    ),
    "no token": lambda p, c: "",
    "no JSON": lambda p, c: "a.b.c",
    "nobody": lambda p, c: p.sign({**c, "sub": ""}),
    "a number": lambda p, c: p.sign({**c, "sub": 7}),
}


@pytest.mark.parametrize("lie", HOSTILE)
def test_a_hostile_token_is_refused_in_a_sentence(
    browser: TestClient, people: People, provider: Provider, lie: str
) -> None:
    provider.forge = lambda claims: HOSTILE[lie](provider, claims)
    refused(browser, people, go(browser, provider), "The provider's answer")


@pytest.mark.parametrize("lie", ["wrong nonce", "alg none", "unknown key"])
def test_a_hostile_token_does_no_harm_to_the_session_that_is_there(
    browser: TestClient, people: People, provider: Provider, lie: str
) -> None:
    sign_in(browser, "root")
    token = browser.cookies[SESSION_COOKIE]
    provider.forge = lambda claims: HOSTILE[lie](provider, claims)
    assert go(browser, provider).status_code == 403
    assert browser.cookies[SESSION_COOKIE] == token
    assert browser.get("/page").json() == "root"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"state": "x"}, "This sign-in was not begun in this browser"),
        ({"state": ""}, "This sign-in was not begun in this browser"),
        ({"iss": "https://evil.example"}, "Another provider answered"),
        ({"code": "made-up"}, "The provider did not accept this sign-in."),
    ],
)
def test_what_the_browser_brings_back_must_be_what_it_took(
    browser: TestClient, people: People, provider: Provider, changes: dict[str, str], sentence: str
) -> None:
    refused(browser, people, go(browser, provider, **changes), sentence)


def test_another_browsers_way_back_is_refused(people: People, provider: Provider) -> None:
    """Otherwise somebody could be signed in as whoever sent them the link."""
    with at(people) as attacker, at(people) as victim:
        link = provider.authorize(attacker.get("/sign-in/oidc").headers["location"])
        refused(
            victim, people, victim.get("/sign-in/oidc/callback", params=link), "not begun in this browser"
        )
        victim.get("/sign-in/oidc")
        refused(
            victim, people, victim.get("/sign-in/oidc/callback", params=link), "not begun in this browser"
        )


def test_a_way_back_is_good_once(browser: TestClient, provider: Provider) -> None:
    redirect = browser.get("/sign-in/oidc")
    cookie, link = browser.cookies[SIGN_ON_COOKIE], provider.authorize(redirect.headers["location"])
    assert browser.get("/sign-in/oidc/callback", params=link).status_code == 303
    assert SIGN_ON_COOKIE not in browser.cookies
    browser.cookies.set(SIGN_ON_COOKIE, cookie, domain="tempo.example", path="/sign-in/oidc")
    assert browser.get("/sign-in/oidc/callback", params=link).status_code == 403, "the code is used up"


@pytest.mark.parametrize("cookie", ["", "x", "x.y", "é.é", "e30=.0"])
def test_a_made_up_cookie_opens_nothing(browser: TestClient, people: People, cookie: str) -> None:
    raw = {"cookie": f"{SIGN_ON_COOKIE}={cookie}".encode()}
    answer = browser.get("/sign-in/oidc/callback?code=x&state=y", headers=raw)  # type: ignore[arg-type]
    assert answer.status_code == 403


def test_what_the_provider_refuses_is_said(browser: TestClient, people: People, provider: Provider) -> None:
    address = browser.get("/sign-in/oidc").headers["location"]
    state = parse_qs(urlsplit(address).query)["state"][0]
    answer = browser.get("/sign-in/oidc/callback", params={"state": state, "error": "access_denied"})
    refused(browser, people, answer, "The provider did not sign you in (access_denied).")
    state = parse_qs(urlsplit(browser.get("/sign-in/oidc").headers["location"]).query)["state"][0]
    answer = browser.get("/sign-in/oidc/callback", params={"state": state, "error": "<img src=x>"})
    refused(browser, people, answer, "The provider did not sign you in.")
    assert "<img" not in answer.text


def test_a_new_key_is_asked_for_and_an_unknown_one_only_once_a_minute(
    browser: TestClient, provider: Provider
) -> None:
    assert go(browser, provider).status_code == 303
    provider.new_key()
    assert go(browser, provider).status_code == 403, "the keys were read a moment ago"
    assert provider.paths.count("/keys") == 1


def test_keys_rotate(provider: Provider) -> None:
    now_s = time.time()
    settings = OidcSettings(issuer=provider.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    client = OidcProvider(settings, clock=lambda: now_s)

    def subject() -> str:
        address, cookie = client.begin("https://tempo.example/back", "/")
        return client.finish(provider.authorize(address), cookie)[0].subject

    assert subject() == "0001"
    provider.new_key()
    now_s += KEYS_PAUSE_S
    assert subject() == "0001"
    assert provider.paths.count("/keys") == 2
    provider.forge = own_key
    with pytest.raises(oidc.SignOnFailed):
        subject()
    assert provider.paths.count("/keys") == 2, "nobody makes us ask again and again"
    now_s += PENDING_S + 1
    address, cookie = client.begin("https://tempo.example/back", "/")
    now_s += PENDING_S + 1
    with pytest.raises(oidc.SignOnFailed, match="took too long"):
        client.finish(provider.authorize(address), cookie)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"issuer": "https://evil.example"}, "not the one that was set up"),
        ({"token_endpoint": "http://evil.example/token"}, "The provider cannot be used."),
        ({"jwks_uri": None}, "The provider cannot be used."),
        ({"end_session_endpoint": "javascript:alert(1)"}, "The provider cannot be used."),
    ],
)
def test_a_provider_that_is_not_what_it_should_be(
    browser: TestClient, provider: Provider, metadata: dict[str, Any], sentence: str
) -> None:
    provider.metadata = metadata
    answer = browser.get("/sign-in/oidc")
    assert answer.status_code == 503
    assert sentence in page_text(answer.text)
    assert sign_in(browser, "root").status_code == 303, "a password still works"


def test_a_provider_that_is_away(people: People) -> None:
    settings = OidcSettings(issuer="http://127.0.0.1:9", client_id=CLIENT_ID)
    people.accounts.sign_on = SignOnSettings(oidc=settings)
    with at(people) as client:
        answer = client.get("/sign-in/oidc")
        assert answer.status_code == 503
        assert "does not answer as it should" in page_text(answer.text)
        assert "127.0.0.1" not in answer.text


def test_a_provider_that_did_not_answer_is_left_alone_for_a_while(provider: Provider) -> None:
    now_s = time.time()
    client = OidcProvider(OidcSettings(issuer=provider.issuer, client_id=CLIENT_ID), clock=lambda: now_s)
    provider.metadata = {"issuer": "https://evil.example"}
    for _ in range(3):
        with pytest.raises(oidc.SignOnFailed):
            client.begin("https://tempo.example/back", "/")
    assert len(provider.paths) == 1
    provider.metadata, now_s = {}, now_s + oidc.SILENCE_S
    assert client.begin("https://tempo.example/back", "/")[0].startswith(provider.issuer)


def test_a_disabled_account_stays_out_and_that_is_logged(
    browser: TestClient, people: People, provider: Provider
) -> None:
    go(browser, provider)
    people.accounts.change("grace", disabled=True, actor="root")
    answer = go(browser, provider)
    assert answer.status_code == 403
    assert "Your account is disabled here." in page_text(answer.text)
    assert browser.get("/page").status_code == 401
    latest = people.store.audit_entries(limit=1)[0]
    assert (latest.action, latest.actor, latest.person) == ("sign-in refused", None, "grace")


def test_a_store_that_is_away_is_said(
    browser: TestClient, people: People, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreError("The database is away.")

    monkeypatch.setattr(people.store, "record_event", away)
    answer = go(browser, provider)
    assert answer.status_code == 503
    assert "The database is away." in page_text(answer.text)
    assert SESSION_COOKIE not in browser.cookies


def test_a_name_there_is_no_account_of_that_name_here(
    browser: TestClient, people: People, provider: Provider
) -> None:
    provider.person["preferred_username"] = "root"
    go(browser, provider)
    assert browser.get("/page").json() == "root-2"


def test_signing_out_leads_to_the_providers_page(browser: TestClient, provider: Provider) -> None:
    go(browser, provider)
    answer = browser.post("/sign-out")
    page = browser.get(answer.headers["location"])
    assert "You are signed out here." in page_text(page.text)
    assert (
        f'href="{provider.issuer}/leave?client_id=tempo&amp;post_logout_redirect_uri=https%3A%2F%2F'
        in page.text
    )
    assert browser.get("/page").status_code == 401


@pytest.mark.parametrize("next_path", ["//evil.example", "https://evil.example", "/sign-in/oidc"])
def test_the_way_back_never_leaves_this_app(browser: TestClient, provider: Provider, next_path: str) -> None:
    assert go(browser, provider, next_path).headers["location"] == "/"


def test_without_a_provider_there_is_no_button_and_no_way(people: People) -> None:
    people.accounts.sign_on = SignOnSettings()
    with at(people) as client:
        assert "Sign in with" not in client.get("/sign-in").text
        assert client.get("/sign-in/oidc").status_code == 404


@pytest.mark.browser
def test_a_person_signs_in_with_the_button_in_a_browser(
    page: Any, serve: Callable[..., RunningApp], people: People, provider: Provider
) -> None:
    authenticator = Authenticator(anonymous=False, local=False, accounts=people.accounts)
    running = serve(store=people.store, authenticator=authenticator)
    page.goto(running.url)
    page.get_by_role("link", name="Sign in with Example").click()
    badge = page.locator(".nav-holder .tempo-account")
    badge.get_by_role("link", name="grace, your account").click()
    page.get_by_role("heading", name="Your account").wait_for()
    page.get_by_text("by single sign-on").wait_for()
    assert page.get_by_label("Present password").count() == 0
    page.goto(running.url)
    badge.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign out of Example too").wait_for()
    provider.forge = unsigned
    page.get_by_role("link", name="Sign in with Example").click()
    page.get_by_role("alert").wait_for()
    assert "cannot be trusted" in page.get_by_role("alert").inner_text()
