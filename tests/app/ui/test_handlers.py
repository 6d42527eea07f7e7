"""Handlers state their role once: who lacks it, and what goes wrong, is a sentence on the page."""

import inspect
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.helpers import special_args

from app.auth.users import Authenticator, Role, User
from app.ui.handlers import Changes, handler
from tempo_core.errors import InputError
from tests.app.markup import HOSTILE, hostile_texts, page_text

LINE, HISTORY = "the line's component", "the history's component"


class OneUser(Authenticator):
    __slots__ = ()

    def resolve(self, request: Any) -> User | None:
        return User(id="ada", name="ada", roles=frozenset({request}))


class Page:
    authenticator = OneUser(anonymous=False)
    view = SimpleNamespace(rows=SimpleNamespace(line=LINE, history=HISTORY))

    @handler(Role.ANNOTATOR, line="rows.line", clear="rows.history")
    def choose(self, name: str, user: User, event: gr.EventData) -> Changes:
        if name == "broken":
            raise ZeroDivisionError("of a secret")
        if name == HOSTILE:
            raise InputError(HOSTILE)
        return {LINE: (name, user.id, event)}


def test_gradio_gives_the_request_where_the_method_takes_the_user() -> None:
    page = Page()
    assert list(inspect.signature(page.choose).parameters) == ["name", "request", "event"]
    request, event = gr.Request(), gr.EventData(None, None)
    inputs, *_ = special_args(page.choose, ["x"], request, event)
    assert inputs[:2] == ["x", request]


def test_the_user_has_the_role() -> None:
    assert Page().choose("x", Role.ANNOTATOR, "event") == {LINE: ("x", "ada", "event")}
    refused = Page().choose("x", Role.VISITOR, "event")
    assert list(refused) == [HISTORY, LINE]
    assert refused[HISTORY] is None
    assert "role annotator" in page_text(refused[LINE])


def test_an_error_is_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    assert hostile_texts(Page().choose(HOSTILE, Role.ANNOTATOR, None)[LINE]) == 1
    broken = page_text(Page().choose("broken", Role.ANNOTATOR, None)[LINE])
    assert "report incident" in broken
    assert "secret" not in broken
    assert "ZeroDivisionError" in caplog.text
