"""Single sign-on by a proxy's header: who is believed, which account they get, and what their groups mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from app.__main__ import server_settings
from app.auth.routes import guard
from app.auth.sessions import IDLE_S
from app.auth.sign_on import OidcSettings, SignOnSettings, UpstreamIdentity, account_names, settings_from
from app.auth.users import SESSION_COOKIE, UPSTREAM, Authenticator, Role
from tempo_core.errors import InputError
from tests.app.auth.test_routes import sign_in
from tests.app.people import PASSWORD, People
from tests.app.studio import open_studio

PROXY = "10.0.0.2"
SETTINGS = settings_from(
    {
        "TEMPO_SIGN_IN_HEADER": "X-Forwarded-User",
        "TEMPO_ROLES_HEADER": "X-Forwarded-Groups",
        "TEMPO_ROLE_MAPPING": "video-admins=administrator, video-team=annotator",
    }
)


@pytest.fixture
def people() -> People:
    return People(sign_on=SETTINGS).add(ada="researcher", root="administrator")


@contextmanager
def behind(people: People, *, peer: str = PROXY, proxies: str = "10.0.0.0/8") -> Iterator[TestClient]:
    """A browser whose requests reach the server as uvicorn runs it, from the address `peer`."""
    app = FastAPI()
    authenticator = Authenticator(anonymous=False, local=False, accounts=people.accounts)
    guard(app, authenticator)

    @app.get("/page")
    def page(request: Request) -> dict[str, Any]:
        user = authenticator.require(request, Role.VISITOR)
        return {"id": user.id, "roles": sorted(user.roles), "address": request.client and request.client.host}

    config = server_settings(app, proxies, people.accounts.sign_on)
    config.load()
    with TestClient(
        config.loaded_app, base_url="https://tempo.example", follow_redirects=False, client=(peer, 4000)
    ) as client:
        yield client


def names(people: People) -> dict[str, str]:
    return {account.name: account.role for account in people.accounts.all()}


def test_a_first_request_makes_an_account_with_the_least_role(people: People) -> None:
    with behind(people) as client:
        headers = {"x-forwarded-user": "Grace.Hopper@example.org", "x-forwarded-for": "203.0.113.4"}
        assert client.get("/page", headers=headers).json() == {
            "id": "grace.hopper",
            "roles": ["visitor"],
            "address": "203.0.113.4",
        }
        assert client.get("/page", headers=headers).status_code == 200
        assert client.get("/page").status_code == 401
    assert names(people) == {"ada": "researcher", "root": "administrator", "grace.hopper": "visitor"}
    assert people.store.account("grace.hopper").password_hash is None
    logged = [(e.action, e.actor, e.person) for e in people.store.audit_entries()][:3]
    assert logged == [
        ("signed in", "grace.hopper", "grace.hopper"),
        ("identity linked", "single sign-on", "grace.hopper"),
        ("account added", "single sign-on", "grace.hopper"),
    ]


@pytest.mark.parametrize("peer", ["192.0.2.9", "127.0.0.1", "testclient", "::1"])
def test_the_header_of_anybody_else_is_not_believed(people: People, peer: str) -> None:
    with behind(people, peer=peer) as client:
        for forwarded in ({}, {"x-forwarded-for": PROXY}, {"forwarded": f"for={PROXY}"}):
            headers = {"x-forwarded-user": "grace", **forwarded}
            assert client.get("/page", headers=headers).status_code == 401
    assert set(names(people)) == {"ada", "root"}


@pytest.mark.parametrize(
    "headers",
    [
        [("x-forwarded-user", "ada"), ("x-forwarded-user", "grace")],
        [("x-forwarded-user", "")],
        [("x-forwarded-user", "x" * 256)],
        [("x_forwarded_user", "grace")],
        [("x-forwarded-username", "grace")],
    ],
)
def test_a_header_that_is_not_clear_is_nobody(people: People, headers: list[tuple[str, str]]) -> None:
    with behind(people) as client:
        assert client.get("/page", headers=headers).status_code == 401
    assert set(names(people)) == {"ada", "root"}


def test_a_name_upstream_is_not_an_account_of_that_name_here(people: People) -> None:
    """Otherwise whoever is called root in the directory were the administrator here."""
    with behind(people) as client:
        answer = client.get("/page", headers={"x-forwarded-user": "root"})
        assert answer.json()["id"] == "root-2"
        assert answer.json()["roles"] == ["visitor"]
        people.accounts.link("header", "ada@example.org", "ada", actor="root")
        assert client.get("/page", headers={"x-forwarded-user": "ada@example.org"}).json()["id"] == "ada"
        with pytest.raises(InputError, match="signs in to ada already"):
            people.accounts.link("header", "ada@example.org", "root", actor="root")


def test_groups_bring_the_first_role_of_the_mapping_and_take_it_again(people: People) -> None:
    def roles(groups: str) -> str:
        headers = {"x-forwarded-user": "grace", "x-forwarded-groups": groups}
        assert client.get("/page", headers=headers).status_code == 200
        return people.store.account("grace").role

    with behind(people) as client:
        assert roles("everybody, video-team") == "annotator"
        assert roles("video-team,video-admins") == "administrator"
        assert roles("video-team") == "annotator"
        assert roles("video-administrators") == "visitor"
    changes = [dict(e.detail) for e in people.store.audit_entries(action="role changed", person="grace")]
    assert changes[::-1] == [
        {"from": "annotator", "to": "administrator"},
        {"from": "administrator", "to": "annotator"},
        {"from": "annotator", "to": "visitor"},
    ]


def test_without_a_mapping_roles_are_given_here(people: People) -> None:
    people.accounts.sign_on = SignOnSettings(header="x-forwarded-user", first_role=Role.ANNOTATOR)
    with behind(people) as client:
        headers = {"x-forwarded-user": "grace", "x-forwarded-groups": "video-admins"}
        assert client.get("/page", headers=headers).json()["roles"] == ["annotator", "visitor"]
        people.accounts.change("grace", role="adjudicator", actor="root")
        assert "adjudicator" in client.get("/page", headers=headers).json()["roles"]


def test_a_disabled_account_stays_out(people: People) -> None:
    with behind(people) as client:
        headers = {"x-forwarded-user": "grace"}
        client.get("/page", headers=headers)
        people.accounts.change("grace", disabled=True, actor="root")
        assert client.get("/page", headers=headers).status_code == 401
        client.cookies.set(SESSION_COOKIE, people.token("root"), domain="tempo.example")
        assert client.get("/page", headers=headers).status_code == 401, "not as whose cookie is there either"


def test_the_header_counts_more_than_a_cookie_and_local_accounts_sign_in_without_it(people: People) -> None:
    with behind(people) as client:
        assert sign_in(client, "root").status_code == 303
        assert client.get("/page").json()["id"] == "root"
        assert client.get("/page", headers={"x-forwarded-user": "grace"}).json()["id"] == "grace"


def test_a_sign_in_is_logged_once_a_day_of_work(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = 1_700_000_000_000
    monkeypatch.setattr(people.accounts, "_clock", lambda: now_ms)
    with behind(people) as client:
        for pass_s in (0, IDLE_S - 1, IDLE_S):
            now_ms += pass_s * 1000
            client.get("/page", headers={"x-forwarded-user": "grace"})
    assert len(people.store.audit_entries(action="signed in")) == 2


def test_the_header_reaches_gradios_routes_and_handlers(tmp_path: Path, people: People) -> None:
    authenticator = Authenticator(anonymous=False, local=False, accounts=people.accounts)
    with open_studio(
        tmp_path, authenticator=authenticator, host="tempo.example", store=people.store
    ) as studio:
        config = server_settings(studio.app, "192.0.2.0/24", SETTINGS)
        config.load()
        studio.app = config.loaded_app
        headers = {"x-forwarded-user": "grace", "x-forwarded-groups": "video-team"}
        for path, status in (("/annotate", 200), ("/gradio_api/info", 200), ("/models", 403)):
            assert studio.request("GET", path, headers=headers).status == status
            assert studio.request("GET", path).status == 401


def test_gradios_handlers_are_told(people: People) -> None:
    identity = UpstreamIdentity(issuer="header", subject="grace", name="grace")
    request = gr.Request(Request({"type": "http", "headers": [], UPSTREAM: identity}))
    user = Authenticator(anonymous=False, local=False, accounts=people.accounts).resolve(request)
    assert user is not None
    assert user.id == "grace"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"TEMPO_SIGN_IN_HEADER": "X User"}, "TEMPO_SIGN_IN_HEADER is 'X User', which is no header's name"),
        ({"TEMPO_ROLES_HEADER": "X-Groups"}, "TEMPO_SIGN_IN_HEADER is not"),
        ({"TEMPO_ROLE_MAPPING": "administrator"}, "Write group=role"),
        ({"TEMPO_ROLE_MAPPING": "a=king"}, "the roles are visitor, annotator"),
        ({"TEMPO_FIRST_ROLE": "king"}, "TEMPO_FIRST_ROLE names the role 'king'"),
        ({"TEMPO_SIGN_OUT_URL": "javascript:alert(1)"}, "must be an https:// address"),
        ({"TEMPO_OIDC_ISSUER": "http://id.example"}, "must be an https:// address"),
        ({"TEMPO_OIDC_ISSUER": "https://id.example"}, "TEMPO_OIDC_CLIENT_ID is not"),
    ],
)
def test_settings_that_cannot_be_meant_are_said(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        settings_from(variables)


def test_what_is_not_set_keeps_its_default() -> None:
    variables = {"TEMPO_OIDC_ISSUER": "https://id.example", "TEMPO_OIDC_CLIENT_ID": "tempo"}
    oidc = OidcSettings(issuer="https://id.example", client_id="tempo")
    assert settings_from(variables) == SignOnSettings(oidc=oidc)
    assert (oidc.label, oidc.role_claim, oidc.scope) == ("single sign-on", "groups", "openid profile email")
    assert settings_from({}) == SignOnSettings()
    assert settings_from({**variables, "TEMPO_OIDC_LABEL": "Example"}).oidc == replace(oidc, label="Example")


def test_a_header_needs_a_proxy() -> None:
    with pytest.raises(InputError, match="--trusted-proxies"):
        server_settings(None, "", SETTINGS)


@pytest.mark.parametrize(
    ("name", "account_name"),
    [
        ("Ada Lovelace", "ada-lovelace"),
        ("ada@example.org", "ada"),
        ("Zoë", "zoe"),
        ("漢字", "person"),
        ("-_.x", "x"),
        ("x" * 50, "x" * 32),
    ],
)
def test_names_are_made_to_fit(name: str, account_name: str) -> None:
    first, second = next(iterator := iter(account_names(name))), next(iterator)
    assert (first, second) == (account_name, f"{account_name}-2")


def test_passwords_of_accounts_from_elsewhere_do_not_exist(people: People) -> None:
    with behind(people) as client:
        client.get("/page", headers={"x-forwarded-user": "grace"})
        assert sign_in(client, "grace", PASSWORD).status_code == 401
        page = client.get("/account/settings", headers={"x-forwarded-user": "grace"}).text
        assert "Present password" not in page
