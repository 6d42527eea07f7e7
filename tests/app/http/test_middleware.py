"""The local account answers to this machine's own pages only."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.http.middleware import CsrfCheck, SecurityHeaders


def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("in")


def client(*, local_only: bool) -> TestClient:
    inner = Starlette(routes=[Route("/", home, methods=["GET", "POST"])])
    return TestClient(
        SecurityHeaders(CsrfCheck(inner, local_only=local_only)), base_url="http://127.0.0.1:7860"
    )


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860"])
def test_takes_its_own_names(host: str) -> None:
    assert client(local_only=True).get("/", headers={"host": host}).text == "in"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:7860", "0.0.0.0:7860", "[broken"])
def test_refuses_a_name_that_was_pointed_at_it(host: str) -> None:
    answer = client(local_only=True).get("/", headers={"host": host})
    assert answer.status_code == 403
    assert answer.headers["x-content-type-options"] == "nosniff", "a refusal carries the headers too"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
def test_refuses_requests_from_other_sites(origin: str) -> None:
    assert client(local_only=True).post("/", headers={"origin": origin}).status_code == 403


def test_takes_requests_from_its_own_pages() -> None:
    own = {"host": "localhost:7860", "origin": "http://localhost:7860"}
    assert client(local_only=True).post("/", headers=own).text == "in"
    assert client(local_only=True).post("/", headers={"sec-fetch-site": "same-origin"}).text == "in"


@pytest.mark.parametrize("local_only", [True, False])
@pytest.mark.parametrize(
    "sent",
    [
        {"origin": "http://127.0.0.1:3000"},  # another program's page on this machine
        {"origin": "null"},
        {"origin": "http://[broken"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:7860"},
    ],
)
def test_changes_are_taken_from_its_own_pages_only(local_only: bool, sent: dict[str, str]) -> None:
    assert client(local_only=local_only).post("/", headers=sent).status_code == 403


def test_a_public_app_behind_a_proxy_takes_its_own_pages_requests() -> None:
    forwarded = {"origin": "https://tempo.example", "x-forwarded-host": "tempo.example"}
    assert client(local_only=False).post("/", headers=forwarded).text == "in"
    assert client(local_only=False).get("/", headers={"sec-fetch-site": "cross-site"}).text == "in"


def test_programs_may_post() -> None:
    assert client(local_only=False).post("/").text == "in"


def test_a_public_app_answers_to_any_name_and_keeps_the_page_on_its_host() -> None:
    answer = client(local_only=False).get("/", headers={"host": "tempo.example"})
    assert answer.text == "in"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "http" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
