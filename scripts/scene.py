"""What a scene is, and the steps that several take."""

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from scripts.stage import PATIENCE_MS, Served, StageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One state of one page. `act` gets a fresh page and leaves it as it is to be looked at."""

    name: str
    """What its pictures are called: page first, then the state."""
    act: Callable[[Any, Served], None]
    signed_out: bool = False
    """Whether it happens on the app that asks people to sign in and admits visitors to Ground."""
    whole: bool = True
    """Whether the picture shows the whole page; with False, what the window shows (dialogs belong there)."""


def visit(page: Any, served: Served, path: str = "/") -> None:
    """Open a page of the app."""
    page.goto(f"{served.url}{path}")


def settle(page: Any, wait_ms: int = 700) -> None:
    """Let pictures load and layouts come to rest."""
    page.wait_for_timeout(wait_ms)


def api(served: Served, path: str, body: Any = None) -> Any:
    """The JSON that one of the app's own routes answers; a body is posted."""
    data = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"content-type": "application/json"}
    request = urllib.request.Request(f"{served.url}{path}", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def make_sample(served: Served) -> None:
    """The sample project, unless it is there. Raises StageError when it is not made in time."""
    give_up_s = time.monotonic() + PATIENCE_MS / 1000
    while (standing := api(served, "/annotate/api/sample"))["state"] != "present":
        if standing["state"] == "absent":
            api(served, "/annotate/api/sample", {})
        if time.monotonic() > give_up_s:
            raise StageError(f"the sample project was not made: {standing}.")
        time.sleep(0.5)


def new_id() -> str:
    """An operation id."""
    return str(uuid4())
