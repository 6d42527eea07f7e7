"""What a visitor is told: no path, no traceback."""

import logging

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.requests import ClientDisconnect

from annotations.database import StoreError
from app.http.errors import add_exception_handlers, user_message, without_paths
from tempo_core.errors import CheckpointError


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (
            "The database sqlite:////srv/me/c.sqlite3 cannot be opened",
            "The database c.sqlite3 cannot be opened",
        ),
        ("/srv/adapters/x/adapter_model.safetensors is damaged.", "adapter_model.safetensors is damaged."),
        ("('~/clips/a.mp4')", "('a.mp4')"),
        ("Use `python -m train`, and/or 1/2 of https://example.org/a/b", None),
        ("Open /annotate or /train?x=1.", None),
    ],
)
def test_a_file_is_named_and_not_where_it_lies(text: str, cleaned: str | None) -> None:
    assert without_paths(text) == (cleaned or text)


def test_our_own_errors_are_told_and_others_are_numbers(caplog: pytest.LogCaptureFixture) -> None:
    assert user_message(CheckpointError("/srv/a/b lacks x.")) == "b lacks x."
    assert user_message(StoreError("It is busy.")) == "It is busy."
    with caplog.at_level(logging.ERROR):
        message = user_message(RuntimeError("/srv/secret broke"))
    assert "secret" not in message
    assert message.rstrip(".").rpartition(" ")[2] in caplog.text


def test_who_goes_away_while_sending_is_told_nothing() -> None:
    app = FastAPI()
    add_exception_handlers(app)

    @app.get("/")
    def gone() -> None:
        raise ClientDisconnect

    answer = TestClient(app).get("/")
    assert (answer.status_code, answer.content) == (400, b"")
