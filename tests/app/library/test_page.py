"""All clips of a folder on the Ground page: ranked moments, opened by mouse and by keyboard."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.app.conftest import RunningApp
from tests.app.library.conftest import RED

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
]

PICTURES = os.environ.get("TEMPO_PICTURES", "")


def picture(page: Any, name: str) -> None:
    """A screenshot for whoever wants to look."""
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


def test_a_folder_is_asked_and_a_moment_opened(page: Any, serve_rushes: Callable[[], RunningApp]) -> None:
    running = serve_rushes()
    page.goto(running.url)
    page.get_by_label("All clips of rushes").check()
    expect(page.locator("#ground-library")).to_contain_text("2 clips are ready.")
    expect(page.locator("#ground-clip")).to_be_hidden()
    picture(page, "before")
    page.locator("#ground-query textarea").fill("a dog runs")
    page.locator("#ground-ask").click()
    status = page.locator("#ground-status .tempo-status")
    expect(status).to_contain_text("does not know “dog”")
    expect(page.locator("#ground-ranked")).to_be_hidden()
    page.locator("#ground-query textarea").fill(RED)
    page.locator("#ground-ask").click()
    expect(status).to_contain_text("of 2 clips. Answered in")
    cards = page.locator("#ground-ranked button")
    expect(cards.first).to_contain_text("plain.mp4")
    picture(page, "asked")

    count = cards.count()
    cards.first.focus()
    page.keyboard.press("End")
    expect(cards.nth(count - 1)).to_be_focused()
    page.keyboard.press("Home")
    expect(cards.first).to_be_focused()
    page.keyboard.press("Enter")
    expect(status).to_contain_text("Answered in")
    timeline = page.locator("#ground-timeline")
    expect(timeline.locator(".tl-root")).to_have_attribute("data-state", "ready")
    expect(cards.first).to_have_attribute("aria-current", "true")
    start_s = float(timeline.get_by_role("slider", name="Playhead").get_attribute("aria-valuenow"))
    [moment] = [item for item in running.app.state.library.statuses() if item.name == "rushes"]
    assert moment.ready == 2
    assert start_s > 0
    picture(page, "opened")

    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    expect(cards.first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    picture(page, "phone")
    page.get_by_label("One clip").check()
    expect(page.locator("#ground-ranked")).to_be_hidden()
    expect(page.locator("#ground-clip")).to_be_visible()
