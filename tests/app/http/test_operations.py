"""Health, metrics and the request log: what they tell, and what they leave out."""

import json
import logging

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.auth.routes import guard
from app.auth.users import SESSION_COOKIE, Authenticator
from app.http.dependencies import Visitor
from app.http.operations import JsonFormatter, RequestLog, RequestMetrics, operation_routes, request_id
from tests.app.people import People

TOKEN = "a token of the scraper"


def client(checks: dict[str, object] | None = None, token: str = TOKEN) -> TestClient:
    """An app with one page, /clips/{name}, and its operation routes."""
    people = People().add(ada="annotator", root="administrator")
    authenticator = Authenticator(anonymous=False, local=False, accounts=people.accounts)
    app, metrics = FastAPI(), RequestMetrics()
    guard(app, authenticator)
    app.add_middleware(RequestLog, metrics=metrics, routes=["/metrics", "/clips/{name}"])

    @app.get("/clips/{name}")
    def clip(user: Visitor, name: str) -> str:
        return name

    routes = operation_routes(
        authenticator,
        metrics,
        checks=checks or {},  # type: ignore[arg-type]
        gauges=lambda: {"disk_free_bytes": 5},
        metrics_token=token,
    )
    app.include_router(routes)
    opened = TestClient(app, base_url="http://tempo.example")
    opened.people = people  # type: ignore[attr-defined]
    return opened


def signed_in(opened: TestClient, name: str) -> TestClient:
    opened.cookies.set(SESSION_COOKIE, opened.people.token(name), domain="tempo.example")  # type: ignore[attr-defined]
    return opened


def test_ready_is_when_every_part_is() -> None:
    answer = client({"model": lambda: "ok", "disk": lambda: "ok"}).get("/health/ready")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "parts": {"model": "ok", "disk": "ok"}},
    )


def test_a_part_that_is_not_ready_is_named_and_no_more_is_told() -> None:
    def broken() -> str:
        raise OSError("/srv/tempo/secret.sqlite3 is gone")

    opened = client({"model": lambda: "loading", "database": broken})
    answer = opened.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "parts": {"model": "loading", "database": "failed"}}
    assert opened.get("/health/live").json() == {"live": True}


def test_metrics_are_for_administrators_and_the_scraper() -> None:
    opened = client()
    assert opened.get("/metrics").status_code == 401
    assert opened.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert opened.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert signed_in(opened, "ada").get("/metrics").status_code == 403
    assert signed_in(opened, "root").get("/metrics").status_code == 200


def test_without_a_token_nobody_has_it() -> None:
    opened = client(token="")
    assert opened.get("/metrics", headers={"authorization": "Bearer "}).status_code == 401


def test_requests_are_counted_by_the_route_as_it_is_declared() -> None:
    opened = signed_in(client(), "root")
    for name in ("private holiday.mp4", "other.mp4"):
        assert opened.get(f"/clips/{name}").status_code == 200
    opened.get("/secret-place")
    lines = opened.get("/metrics").text.splitlines()
    assert 'tempo_requests_total{method="GET",route="/clips/{name}",status="200"} 2' in lines
    assert 'tempo_requests_total{method="GET",route="other",status="404"} 1' in lines
    assert 'tempo_request_seconds_count{method="GET",route="/clips/{name}"} 2' in lines
    assert 'tempo_request_seconds_bucket{method="GET",route="/clips/{name}",le="+Inf"} 2' in lines
    assert "tempo_disk_free_bytes 5" in lines
    assert "holiday" not in "\n".join(lines)
    assert "secret" not in "\n".join(lines)


def test_a_line_of_the_log_names_request_account_and_duration_and_no_file(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "app.http.operations")
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonFormatter().format(record))

    handler = Lines()
    logging.getLogger("app.http.operations").addHandler(handler)
    try:
        answer = signed_in(client(), "ada").get("/clips/private holiday.mp4?password=hunter2")
    finally:
        logging.getLogger("app.http.operations").removeHandler(handler)
    [line] = lines
    values = json.loads(line)
    assert values["request_id"] == answer.headers["x-request-id"]
    assert len(values["request_id"]) == 16
    fields = {name: values[name] for name in ("method", "route", "status", "account", "level")}
    expected = {"method": "GET", "route": "/clips/{name}", "status": 200, "account": "ada", "level": "INFO"}
    assert fields == expected
    assert values["duration_ms"] >= 0
    assert "holiday" not in line
    assert "hunter2" not in line
    assert request_id.get() == ""
