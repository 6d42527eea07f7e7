"""All clips of a folder on the Ground page: ranked moments, opened by mouse and by keyboard."""

import os
import re
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tempo_core.library.index import ClipIndex, index_folder
from tempo_core.library.reports import write_report
from tempo_core.library.search import ask_library
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
    page.goto(serve_rushes().url)
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
    minutes, seconds = (cards.first.locator(".times").text_content() or "").split()[1].split(":")
    start_s = 60 * int(minutes) + float(seconds)
    playhead = timeline.get_by_role("slider", name="Playhead")
    expect(playhead).to_have_attribute("aria-valuenow", re.compile(rf"^{start_s:.0f}(\.0+)?$"))
    picture(page, "opened")

    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    expect(cards.first).to_be_visible()
    # What is drawn is drawn anew for another width a little later.
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    picture(page, "phone")
    page.get_by_label("One clip").check()
    expect(page.locator("#ground-ranked")).to_be_hidden()
    expect(page.locator("#ground-clip")).to_be_visible()


def test_the_written_page_plays_the_clips_and_asks_for_nothing_else(
    page: Any, engine: Any, rushes: Path, tmp_path: Path
) -> None:
    index = ClipIndex(tmp_path / "index")
    index_folder(engine, rushes, index)
    answer = ask_library(engine, rushes, index, RED)
    write_report(tmp_path / "moments.html", answer, index, list)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"http://127.0.0.1:{server.server_port}/moments.html")
        expect(page.get_by_role("heading", name=RED)).to_be_visible()
        assert [url for url in requests if "moments.html" not in url and not url.startswith("data:")] == []
        video = page.locator("video").first
        video.evaluate("video => video.load()")
        video.evaluate("video => video.play()")
        expect(video).to_have_js_property("readyState", 4)
        assert page.locator("video").first.evaluate("video => video.videoWidth") > 0
        picture(page, "written")
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        picture(page, "written-phone")
        server.shutdown()
