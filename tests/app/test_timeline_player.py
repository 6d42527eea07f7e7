"""The player against a video element that presents frames when it is told to: late, early, or another one."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.app.timeline_harness import build, serving

pytestmark = pytest.mark.browser

PLAYER = """async ([doing]) => {
  const { Player } = await import("/ui-assets/player.js");
  const video = Object.assign(new EventTarget(), {
    paused: true, ended: false, seeking: false, readyState: 4, currentTime: 0, waiting: [],
    requestVideoFrameCallback(call) { this.waiting.push(call); },
    present(mediaTime) { for (const call of this.waiting.splice(0)) call(0, { mediaTime }); },
    arrive() { this.dispatchEvent(new Event("seeked")); },
    pause() {},
  });
  const said = [];
  const says = { time: (time_s, idx, truth) => said.push([idx, truth]), state() {}, failure() {} };
  const player = new Player(video, says, new AbortController().signal);
  player.load({ url: "clip.mp4", frame_rate: 25 }, 12);
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  await new Function("player", "video", "wait", `return (async () => { ${doing} })()`)(player, video, wait);
  return said;
}"""


@pytest.fixture(scope="module")
def page(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    context = chromium.new_context()
    sheet = context.new_page()
    with serving(build(tmp_path_factory.mktemp("player"))) as address:
        sheet.goto(address)
        yield sheet
    context.close()


def said(page: Page, doing: str) -> list[list[object]]:
    """Every (frame, truth) that the player reports."""
    found: list[list[object]] = page.evaluate(PLAYER, [doing])
    return found


def test_a_frame_presented_before_or_after_the_seek_ends_is_exact(page: Page) -> None:
    assert said(page, "player.seek(2); video.present(2); video.arrive();") == [[50, None], [50, "exact"]]
    assert said(page, "player.seek(2); video.arrive(); video.present(2);") == [[50, None], [50, "exact"]]


def test_a_late_frame_of_the_seek_before_is_not_taken_for_this_ones(page: Page) -> None:
    late = "player.seek(5.52); video.arrive(); player.seek(0); video.present(5.52); video.arrive(); video.present(0);"
    assert said(page, late) == [[138, None], [0, None], [0, "exact"]]
    assert said(page, f"{late} await wait(200);")[2:] == [[0, "exact"]]


def test_another_frame_than_the_one_asked_for_is_shown_as_approximate(page: Page) -> None:
    early = "player.seek(2); video.present(2.04); video.arrive(); await wait(200);"
    assert said(page, early) == [[50, None], [51, "approximate"]]
    assert said(page, "player.seek(2); video.arrive(); video.present(2.04);") == [
        [50, None],
        [51, "approximate"],
    ]


def test_a_frame_that_comes_after_the_clip_failed_is_not_shown(page: Page) -> None:
    fails = "player.seek(2.03); video.arrive(); video.dispatchEvent(new Event('error')); video.present(2);"
    assert said(page, f"{fails} await wait(200);") == [[50, None], [50, "approximate"]]
