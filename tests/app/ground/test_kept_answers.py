"""Answers on the page after a reload, a link to one, and what can be taken away of it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.auth.users import Authenticator
from tests.app.conftest import PATIENCE_MS, RunningApp
from tests.app.fakes import write_clip

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
]


def status(page: Any) -> Any:
    return page.locator("#ground-status .tempo-status")


def ask(page: Any, query: str) -> None:
    page.locator("#ground-query textarea").fill(query)
    page.keyboard.press("Enter")


def test_answers_stay_and_can_be_shared_and_taken_away(
    page: Any, chromium: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    running = serve(authenticator=Authenticator(anonymous=True, local=False))
    page.goto(running.url)
    page.locator("#ground-clip input[type=file]").set_input_files(str(clip))
    expect(page.locator("#ground-clip video")).to_be_visible()
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("1 moment found")
    earlier = page.locator("#ground-earlier")
    expect(earlier.get_by_role("button", name="a yellow square")).to_have_attribute("aria-current", "true")
    ask(page, "a purple square")
    expect(status(page)).to_contain_text("Nothing in this clip matches")
    expect(earlier.get_by_role("button")).to_have_count(2)
    earlier.get_by_role("button", name="a yellow square").click()
    moment = page.get_by_role("region", name="Answer").get_by_role("button", name="Moment 1 of 1")
    expect(moment).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?answer="))

    page.reload()
    expect(moment).to_be_visible()
    expect(page.locator("#ground-query textarea")).to_have_value("a yellow square")
    expect(page.locator("#ground-clip video")).to_be_visible()
    expect(page.locator("#ground-timeline .tl-video")).to_have_attribute("src", re.compile("^/media/"))
    ask(page, "a purple square")
    expect(status(page)).to_contain_text("nothing was decoded or encoded again")
    assert len(running.engine.encoded) == 1
    expect(page.locator("#ground-cancel")).to_be_disabled()  # the run has said its last

    earlier.get_by_role("button", name="a yellow square").click()
    expect(moment).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Moment 1 as a clip").click()
    assert download.value.suggested_filename == "square-1.0-2.5.mp4"
    with page.expect_download() as download:
        page.get_by_role("link", name="The answer as one HTML file").click()
    assert "a yellow square" in Path(download.value.path()).read_text()

    page.get_by_role("button", name="Make a link to this answer").click()
    link = page.locator("#ground-result").get_by_role("link", name="/shared/")
    address = running.url + link.get_attribute("href")
    other = chromium.new_context()
    stranger = other.new_page()
    stranger.set_default_timeout(PATIENCE_MS)
    own_address = page.url
    assert stranger.goto(address).status == 200
    expect(stranger.get_by_role("heading", name="a yellow square")).to_be_visible()
    expect(stranger.get_by_role("img", name="1 moment in")).to_be_visible()
    stranger.goto(own_address)
    expect(stranger).not_to_have_url(re.compile("answer="))
    expect(stranger.locator("#ground-query textarea")).to_have_value("")
    page.get_by_role("button", name="End the link").click()
    expect(link).to_have_count(0)
    assert stranger.goto(address).status == 404
    other.close()

    page.locator("#ground-clip").get_by_label("Clear").click()
    expect(status(page)).to_contain_text("Choose a clip")
    expect(page).not_to_have_url(re.compile("answer="))
    expect(earlier.get_by_role("button")).to_have_count(2)


def test_answers_about_the_open_clip_stand_first(
    page: Any, serve: Callable[..., RunningApp], clip: Path, tmp_path: Path
) -> None:
    running = serve()
    page.goto(running.url)
    earlier = page.locator("#ground-earlier")
    this_clip, others = (earlier.get_by_role("list", name=name) for name in ("This clip", "Earlier"))
    for number, file in enumerate((clip, write_clip(tmp_path / "other.mp4", hue=90))):
        page.locator("#ground-clip input[type=file]").set_input_files(str(file))
        expect(page.locator("#ground-clip video")).to_be_visible()
        for query in ("a yellow square", f"a purple square {number}"):
            ask(page, query)
            expect(this_clip.get_by_role("button", name=query)).to_have_attribute("aria-current", "true")
        if number == 0:
            expect(others).to_have_count(0)
            page.locator("#ground-clip").get_by_label("Clear").click()
            expect(this_clip).to_have_count(0)
            expect(others.get_by_role("button")).to_have_count(2)
    words = [re.compile("purple square 1"), re.compile("yellow")]
    expect(this_clip.get_by_role("button")).to_have_text(words)
    expect(others.get_by_role("button")).to_have_text([re.compile("purple square 0"), re.compile("yellow")])
    others.get_by_role("button", name="a purple square 0").click()
    expect(this_clip.get_by_role("button")).to_have_text(
        [re.compile("purple square 0"), re.compile("yellow")]
    )
    expect(others.get_by_role("button")).to_have_text(words)
