"""What there is to see: every page in every state, and how to get there. `scripts.screenshots` takes the pictures.

A scene gets a fresh page of a browser and the app's address, and leaves the page as it is to be looked at.
States that need bad luck (no connection, a conflict) are staged by answering the page's requests ourselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.stage import PATIENCE_MS, Served

EXAMPLES = Path(__file__).resolve().parents[1] / "app" / "examples"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One state of one page."""

    name: str
    """What its pictures are called: page first, then the state."""
    act: Callable[[Any, Served], None]
    needs_sign_in: bool = False
    """Whether it happens on the app that asks everybody to sign in."""


def _visit(page: Any, served: Served, path: str = "/") -> None:
    page.goto(f"{served.url}{path}")


def _ground(page: Any, served: Served) -> None:
    _visit(page, served)
    page.get_by_text("is ready.").wait_for(timeout=PATIENCE_MS)
    page.locator(".tempo-cards button").first.wait_for()


def _ask(page: Any, query: str) -> None:
    page.locator(".tempo-cards button").first.click()
    page.locator("#ground-clip video").wait_for(timeout=PATIENCE_MS)
    if query:
        page.locator("#ground-query textarea").fill(query)
    page.locator("#ground-ask").click()


def ground_answered(page: Any, served: Served) -> None:
    _ground(page, served)
    _ask(page, "")
    page.locator("#ground-result .tempo-facts").wait_for(timeout=PATIENCE_MS)
    page.wait_for_timeout(500)


def ground_refused(page: Any, served: Served) -> None:
    _ground(page, served)
    _ask(page, "the dog jumps over a fence")
    page.locator("#ground-result .tempo-facts").wait_for(timeout=PATIENCE_MS)
    page.wait_for_timeout(500)


def ground_working(page: Any, served: Served) -> None:
    _ground(page, served)
    _ask(page, "")
    page.locator(".tempo-stages .now").wait_for(timeout=PATIENCE_MS)


def ground_error(page: Any, served: Served) -> None:
    _ground(page, served)
    page.locator("#ground-clip input[type=file]").set_input_files(str(EXAMPLES / "shapes-plain.mp4"))
    page.locator("#ground-clip video").wait_for(timeout=PATIENCE_MS)
    page.locator("#ground-ask").click()
    page.locator(".tempo-status.error").wait_for(timeout=PATIENCE_MS)


def sign_in(page: Any, served: Served) -> None:
    _visit(page, served, "/")
    page.get_by_label("Name").wait_for()


def sign_in_wrong(page: Any, served: Served) -> None:
    sign_in(page, served)
    page.get_by_label("Name").fill(f"{served.account}-typo")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()


def signed_in(page: Any, served: Served) -> None:
    sign_in(page, served)
    page.get_by_label("Name").fill(served.account)
    page.get_by_label("Password").fill(served.password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for(timeout=PATIENCE_MS)


def signed_in_already(page: Any, served: Served) -> None:
    signed_in(page, served)
    _visit(page, served, "/sign-in")
    page.get_by_role("heading", name="You are signed in").wait_for()


SCENES = (
    Scene(name="ground-empty", act=_ground),
    Scene(name="ground-working", act=ground_working),
    Scene(name="ground-answered", act=ground_answered),
    Scene(name="ground-refused", act=ground_refused),
    Scene(name="ground-error", act=ground_error),
    Scene(name="sign-in", act=sign_in, needs_sign_in=True),
    Scene(name="sign-in-wrong", act=sign_in_wrong, needs_sign_in=True),
    Scene(name="sign-in-done", act=signed_in, needs_sign_in=True),
    Scene(name="sign-in-already", act=signed_in_already, needs_sign_in=True),
)
