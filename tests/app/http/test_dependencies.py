"""What routes declare: the user, the role and the JSON body; and how every error is answered."""

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import Field

from annotations.errors import DiskFull, NotFound
from app.auth.users import GRANTS, Authenticator, Role, User
from app.http.dependencies import (
    MAX_BODY_BYTES,
    AfterId,
    Annotator,
    RecordId,
    RequestBody,
    json_body,
    json_router,
    prepare_app,
)
from app.http.errors import NoSuchFile, StorageFull
from app.job_queue import Busy
from tempo_core.errors import InputError, TempoError


class HeaderUsers(Authenticator):
    """A request says who it is from: `x-role`."""

    __slots__ = ()

    def resolve(self, request: Any) -> User | None:
        role = request.headers.get("x-role")
        return User(id="ada", name="ada", roles=GRANTS[Role(role)]) if role else None


class Order(RequestBody):
    op_id: str
    count: int | None = None
    ids: list[int] = Field(default_factory=list)


ERRORS = {
    "input": (InputError("/srv/clips/a.mp4 is empty."), 400),
    "not-found": (NotFound("There is no query 9."), 404),
    "no-file": (NoSuchFile("There is no such clip."), 404),
    "busy": (Busy("Too many wait."), 503),
    "store": (TempoError("It is locked."), 503),
    "full-disk": (DiskFull("The server's disk is full; nothing was saved."), 507),
    "full-share": (StorageFull("Your uploads take all that they may."), 507),
    "bug": (RuntimeError("secret"), 500),
}


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    prepare_app(app, HeaderUsers(anonymous=False))
    router = json_router("/api")

    @router.get("/me")
    def me(user: Annotator) -> dict[str, str]:
        return {"id": user.id}

    @router.post("/orders")
    def order(user: Annotator, body: Annotated[Order, json_body(Order)]) -> dict[str, Any]:
        return body.model_dump()

    @router.get("/orders/{order_id}")
    def one(user: Annotator, order_id: RecordId, after: AfterId = None) -> list[int | None]:
        return [order_id, after]

    @router.get("/errors/{name}")
    def fail(user: Annotator, name: str) -> None:
        raise ERRORS[name][0]

    app.include_router(router)
    client = TestClient(app, raise_server_exceptions=False)
    client.headers["x-role"] = "annotator"
    return client


def test_nobody_is_401_and_a_missing_role_403_before_the_body_is_read(client: TestClient) -> None:
    for method, path in (("GET", "/api/me"), ("POST", "/api/orders")):
        nobody = client.request(method, path, headers={"x-role": ""}, content=b"{")
        assert (nobody.status_code, list(nobody.json())) == (401, ["error"])
        visitor = client.request(method, path, headers={"x-role": "visitor"}, content=b"{")
        assert visitor.status_code == 403
        assert "role annotator" in visitor.json()["error"]
    assert client.get("/api/me").json() == {"id": "ada"}


def test_responses_are_not_stored(client: TestClient) -> None:
    for path in ("/api/me", "/api/errors/input", "/api/errors/bug"):
        assert client.get(path).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("content", "content_type", "status", "sentence"),
    [
        (b"{}", "text/plain", 415, "Send JSON, with content-type: application/json."),
        (b"{", "application/json", 400, "The request is no JSON"),
        (b"[" * 100_000, "application/json", 400, "The request is no JSON"),
        (b"[]", "application/json; charset=utf-8", 400, "The request must be one JSON object."),
        (b'"' + b"x" * MAX_BODY_BYTES + b'"', "application/json", 413, f"longer than {MAX_BODY_BYTES} bytes"),
        (b"{}", "application/json", 400, "`op_id` is missing: field required. Correct it and send it again."),
        (b'{"op_id": 7}', "application/json", 400, "`op_id` is 7: input should be a valid string."),
        (
            b'{"op_id": "a", "count": true}',
            "application/json",
            400,
            "`count` is True: input should be a valid integer.",
        ),
        (
            b'{"op_id": "a", "count": 1.5}',
            "application/json",
            400,
            "`count` is 1.5: input should be a valid integer.",
        ),
        (
            b'{"op_id": "a", "ids": "1"}',
            "application/json",
            400,
            "`ids` is '1': input should be a valid list.",
        ),
        (
            b'{"op_id": "a", "ids": [1, "2"]}',
            "application/json",
            400,
            "`ids.1` is '2': input should be a valid integer.",
        ),
    ],
)
def test_a_wrong_body_is_one_sentence(
    client: TestClient, content: bytes, content_type: str, status: int, sentence: str
) -> None:
    response = client.post("/api/orders", content=content, headers={"content-type": content_type})
    assert (response.status_code, list(response.json())) == (status, ["error"])
    assert sentence in response.json()["error"]


def test_a_right_body_is_the_model(client: TestClient) -> None:
    response = client.post("/api/orders", json={"op_id": "a", "ids": [2], "unknown": 1})
    assert response.json() == {"op_id": "a", "count": None, "ids": [2]}


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_has_its_status(client: TestClient, name: str) -> None:
    response = client.get(f"/api/errors/{name}")
    assert response.status_code == ERRORS[name][1]
    message = response.json()["error"]
    assert "/srv" not in message
    assert ("report incident" in message and "secret" not in message) == (name == "bug")
    if name == "bug":
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b'{"op_id": "x", "count": 9223372036854775808}', "beyond 64 bits"),
        (b'{"op_id": "x", "ids": [1, -9223372036854775809]}', "beyond 64 bits"),
        (b'{"op_id": "\\ud83d"}', "half of a character (U+D83D)"),
        (b'{"op_id": "x", "\\udc00": 1}', "half of a character (U+DC00)"),
        (b'{"op_id": "x", "count": Infinity}', "Infinity is no JSON number"),
        (b'{"op_id": "x", "count": 1e999}', "too large for a float"),
        (b'{"op_id": "x", "deep": ' + b"[" * 70 + b"]" * 70 + b"}", "nests more than 64 levels"),
    ],
)
def test_what_no_database_can_hold_is_explained(client: TestClient, body: bytes, rule: str) -> None:
    headers = {"x-role": "annotator", "content-type": "application/json"}
    answer = client.post("/api/orders", content=body, headers=headers)
    assert answer.status_code == 400
    assert rule in answer.json()["error"]


def test_the_largest_numbers_and_whole_characters_pass(client: TestClient) -> None:
    body = {"op_id": "\U0001f600", "count": 2**63 - 1, "ids": [-(2**63)]}
    answer = client.post("/api/orders", json=body, headers={"x-role": "annotator"})
    assert (answer.status_code, answer.json()) == (200, body)


@pytest.mark.parametrize(
    "path", ["9223372036854775808", "-1", "x", "1?after=9223372036854775808", "1" * 5000]
)
def test_a_record_number_that_cannot_be_one_is_explained(client: TestClient, path: str) -> None:
    answer = client.get(f"/api/orders/{path}", headers={"x-role": "annotator"})
    assert answer.status_code == 422
    assert "Correct it and send it again." in answer.json()["error"]
    assert client.get("/api/orders/9223372036854775807", headers={"x-role": "annotator"}).status_code == 200


def test_somebody_who_leaves_while_sending_is_no_incident(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/orders",
        "query_string": b"",
        "headers": [(b"x-role", b"annotator"), (b"content-type", b"application/json")],
    }

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    assert caplog.text == ""
