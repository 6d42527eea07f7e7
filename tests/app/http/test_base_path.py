"""Everything stays below the base path: what the app makes of addresses, and what its sources may say."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from annotations.store import Store
from app.__main__ import prepare_surroundings
from app.auth.routes import local_path
from app.auth.sign_on import OidcSettings, SignOnSettings
from app.auth.users import SESSION_COOKIE, VISITOR_COOKIE, Authenticator
from app.build import build_app
from app.ground.engines import EngineProvider
from app.home import open_home
from app.http.base_path import address_of, address_script, below, check_base_path, cookie_name
from tempo_core.errors import InputError
from tests.app.auth.openid_provider import CLIENT_ID, CLIENT_SECRET, Provider, running_provider
from tests.app.conftest import own_environment
from tests.app.fakes import FakeEngine, fake_ground, light_draw, light_prepare
from tests.app.people import PASSWORD, People
from tests.app.test_inventory import own_routes

BASE = "/lab/tempo"
SOURCES = Path(__file__).parents[3] / "app"


@pytest.mark.parametrize(
    ("text", "base_path"),
    [
        ("", ""),
        ("/", ""),
        ("/tempo", "/tempo"),
        (" /tempo/ ", "/tempo"),
        ("/a-1/B_2/c.d~e", "/a-1/B_2/c.d~e"),
    ],
)
def test_a_base_path(text: str, base_path: str) -> None:
    assert check_base_path(text) == base_path


@pytest.mark.parametrize(
    "text",
    [
        *(
            "tempo",
            "//",
            "/a//b",
            "/..",
            "/a/./b",
            "/a b",
            "/ä",
            "/a%2fb",
            '/"',
            "/a?b",
            "/a;b",
            "/<b>",
            "/a\\b",
        ),
        *("https://lab.example/tempo", "//evil.example/tempo", "/" + "x" * 200),
    ],
)
def test_what_is_no_base_path_is_told_with_its_remedy(text: str) -> None:
    with pytest.raises(InputError) as refusal:
        check_base_path(text)
    assert repr(text[:200]) in str(refusal.value)
    assert "like /tempo for https://lab.example/tempo/" in str(refusal.value)


def test_at_the_root_addresses_and_cookies_are_as_they_are_written() -> None:
    assert (address_of("/data"), cookie_name(SESSION_COOKIE)) == ("/data", SESSION_COOKIE)
    assert address_script() == 'const addressOf = (path) => "" + path;\n'
    with below(BASE):
        assert (address_of("/data"), cookie_name(SESSION_COOKIE)) == (
            f"{BASE}/data",
            "tempo_session.lab.tempo",
        )


@pytest.mark.parametrize(
    ("next_path", "leads_to"),
    [
        (f"{BASE}/annotate?x=1#here", f"{BASE}/annotate?x=1#here"),
        (f"{BASE}/a/../b", f"{BASE}/a/../b"),
        *(
            (path, f"{BASE}/")
            for path in (
                *(
                    "",
                    "/",
                    BASE,
                    "/annotate",
                    "/lab/tempo-two/",
                    "/lab/",
                    "//evil.example",
                    "https://evil.example",
                ),
                *(
                    f"{BASE}/../other",
                    f"{BASE}/%2e%2e/other",
                    f"{BASE}/a/.%2E/../../other",
                    f"{BASE}/..\\other",
                ),
                *(f"{BASE}/sign-in", f"{BASE}/sign-out", f"{BASE}/sign-in/oidc/callback?code=1"),
            )
        ),
    ],
)
def test_next_leads_to_no_other_app_of_the_host(next_path: str, leads_to: str) -> None:
    with below(BASE):
        assert local_path(next_path) == leads_to


# The app itself


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def studio(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """The complete app below the base path, with one administrator."""
    home = open_home(tmp_path_factory.mktemp("below") / "home")
    with own_environment(), Store(home.database) as store:
        prepare_surroundings(home.uploads)
        oidc = OidcSettings(issuer=provider.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
        people = People(store=store, sign_on=SignOnSettings(oidc=oidc)).add(ada="administrator")
        yield build_app(
            engines=EngineProvider.of(FakeEngine()),
            home=home,
            authenticator=Authenticator(anonymous=True, accounts=people.accounts),
            store=store,
            prepare=light_prepare,
            draw=light_draw,
            ground=fake_ground,
            base_path=BASE,
        )


@pytest.fixture
def browser(studio: FastAPI) -> Iterator[TestClient]:
    """A browser that follows no redirects."""
    with closing(TestClient(studio, base_url="https://lab.example", follow_redirects=False)) as client:
        yield client


def sign_in(browser: TestClient, **fields: str) -> Any:
    return browser.post(f"{BASE}/sign-in", data={"name": "ada", "password": PASSWORD, **fields})


def cookie_paths(answer: Any) -> list[str]:
    return [
        path
        for line in answer.headers.get_list("set-cookie")
        for path in re.findall(r"[Pp]ath=([^;]*)", line)
    ]


def test_nothing_answers_outside_of_the_base_path(studio: FastAPI, browser: TestClient) -> None:
    for method, path in own_routes(studio):
        answer = browser.request(method, path)
        assert answer.status_code == 404, path
        assert "Tempo Studio lives below /lab/tempo/ here" in answer.text
        assert "set-cookie" not in answer.headers
    for path in ("/", "/lab/tempo-two/", "/lab", "/ui-assets/timeline.js", "/lab/tempo%2fsign-in/x"):
        assert browser.get(path).status_code in (303, 404)
    answer = browser.get(f"{BASE}?query=1")
    assert (answer.status_code, answer.headers["location"]) == (307, f"{BASE}/?query=1")


def test_no_answer_of_any_route_leads_outside(studio: FastAPI, browser: TestClient) -> None:
    sign_in(browser)
    session = dict(browser.cookies)
    for method, path in [*own_routes(studio), ("GET", "/annotate/"), ("GET", "/library/")]:
        browser.cookies.update(session)
        body: dict[str, Any] = {"json": {}} if method == "POST" else {}
        with browser.stream(method, BASE + path, **body) as answer:
            assert all(cookie.startswith(BASE + "/") for cookie in cookie_paths(answer)), path
            location = answer.headers.get("location", f"{BASE}/")
            local = location.removeprefix("https://lab.example")
            assert local.startswith(f"{BASE}/") or location.startswith("http://127.0.0.1:"), path
            if "text/html" in answer.headers.get("content-type", "") and path != "/":
                links = re.findall(r'(?:href|action|src)="(/[^"]*)', answer.read().decode())
                assert [link for link in links if not link.startswith(f"{BASE}/")] == [], path


@pytest.mark.parametrize("page", ["/", "/annotate", "/review", "/data", "/train", "/models"])
def test_a_page_of_gradio_names_the_base_path_and_no_address_outside(browser: TestClient, page: str) -> None:
    sign_in(browser)
    answer = browser.get(BASE + page)
    assert '"root":"https://lab.example/lab/tempo"' in answer.text
    assert "manifest-src 'none'" in answer.headers["content-security-policy"]
    outside = re.findall(r'(?:href|src)="(/[^"]*)', answer.text)
    assert outside == ["/manifest.json"], "the policy keeps browsers from asking for it"
    assert f'\\"{BASE}\\" + path' in answer.text


def test_signing_in_and_out_stays_below(browser: TestClient) -> None:
    answer = browser.get(f"{BASE}/people?a=b", headers={"accept": "text/html"})
    assert answer.status_code == 403, "visitors see that it needs a role"
    browser.cookies.clear()
    answer = sign_in(browser, next=f"{BASE}/people?a=b")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{BASE}/people?a=b")
    assert cookie_paths(answer) == [f"{BASE}/", f"{BASE}/sign-in", f"{BASE}/"]
    account = browser.get(f"{BASE}/account").json()
    assert (account["settings"], account["people"]) == (f"{BASE}/account/settings", f"{BASE}/people")
    answer = browser.post(f"{BASE}/sign-out")
    assert answer.headers["location"] == f"{BASE}/sign-in?left=1"
    assert browser.get(f"{BASE}/account").json()["name"] == "Visitor"


def test_a_studio_at_the_root_of_the_same_host_has_sessions_of_its_own(browser: TestClient) -> None:
    """A browser sends the cookies of / below /lab/tempo/ too, and nobody says in which order they are read."""
    sign_in(browser)
    own = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    browser.cookies.clear()
    foreign = f"{SESSION_COOKIE}={'s' * 43}; {VISITOR_COOKIE}={'v' * 43}"
    for cookies in (f"{own}; {foreign}", f"{foreign}; {own}"):
        assert browser.get(f"{BASE}/account", headers={"cookie": cookies}).json()["name"] == "ada"
    values = dict(part.split("=", 1) for part in own.split("; "))
    copied = "; ".join(f"{name.partition('.')[0]}={value}" for name, value in values.items())
    assert browser.get(f"{BASE}/account", headers={"cookie": copied}).json()["name"] == "Visitor"


def test_single_sign_on_comes_back_below(browser: TestClient, provider: Provider) -> None:
    redirect = browser.get(f"{BASE}/sign-in/oidc", params={"next": f"{BASE}/data"})
    location = redirect.headers["location"]
    [back_address] = parse_qs(urlsplit(location).query)["redirect_uri"]
    assert back_address == f"https://lab.example{BASE}/sign-in/oidc/callback"
    back = provider.authorize(location)
    answer = browser.get(f"{BASE}/sign-in/oidc/callback", params=back)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{BASE}/data")
    assert browser.get(f"{BASE}/account").json()["name"] == "grace"


def test_programs_find_everything_below(browser: TestClient) -> None:
    assert browser.get(f"{BASE}/health/live").status_code == 200
    assert browser.get(f"{BASE}/v1/models").json()["data"][0]["id"]
    sign_in(browser)
    assert 'route="/health/live"' in browser.get(f"{BASE}/metrics").text
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    tools = browser.post(
        f"{BASE}/mcp", json=request, headers={"accept": "application/json, text/event-stream"}
    )
    assert f"POST {BASE}/gradio_api/upload answered with" in tools.text
    unknown = browser.get(f"{BASE}/v1/models/none")
    assert unknown.json()["error"]["code"] == "model_not_found"


def test_another_site_may_not_post_below_either(browser: TestClient) -> None:
    headers = {"origin": "https://evil.example"}
    assert browser.post(f"{BASE}/sign-out", headers=headers).status_code == 403


# The sources


ADDRESS = re.compile(r"(\w*|(?:href|action|src)=)(\(?)[\"'`](/[a-z][^\"'`]*|(?<==.)/(?=[\"']))")
BY_HELPER = ("addressOf", "address_of", "read", "write", "act", "request")
"""The functions that make an address, and those of scripts that hand theirs to one."""
NO_ADDRESS = ("/srv/models/my-grounder", "/annotate/api", "/review/api")
"""A folder in a form, and the beginnings that server.js puts before what it asks for."""


def bare_addresses(source: str) -> list[str]:
    """Addresses in a script or a template that would leave the base path."""
    source = re.sub(r"/\*.*?\*/|{#.*?#}|^\s*//.*$", "", source, flags=re.DOTALL | re.MULTILINE)
    return [
        address
        for function, bracket, address in ADDRESS.findall(source)
        if not (bracket and function in BY_HELPER) and address not in NO_ADDRESS
    ]


def test_scripts_and_templates_make_addresses_by_the_helper_only() -> None:
    assert bare_addresses('fetch("/data"); fetch(addressOf("/data")); `/media/${id}`') == [
        "/data",
        "/media/${id}",
    ]
    assert bare_addresses('<a href="/data"><a href="/"><a href="{{ address_of("/data") }}">') == [
        "/data",
        "/",
    ]
    files = sorted({*SOURCES.rglob("*.js"), *SOURCES.rglob("*.html"), SOURCES / "auth/badge.py"})
    bare = {file.name: bare_addresses(file.read_text(encoding="utf-8")) for file in files}
    assert {name: addresses for name, addresses in bare.items() if addresses} == {}
