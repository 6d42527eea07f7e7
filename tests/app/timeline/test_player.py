"""The player against a video element that presents frames when it is told to: late, early, or another one."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.app.timeline.editor_page import CLOCK, PATIENCE_MS

pytestmark = pytest.mark.browser

PLAYER = (
    "async (steps) => {"
    + CLOCK
    + """
  const { Player } = await import("/ui-assets/player.js");
  const video = Object.assign(new EventTarget(), {
    paused: true, ended: false, seeking: false, readyState: 4, time_s: 0, waiting: [], seeks: [],
    requestVideoFrameCallback(call) { this.waiting.push(call); },
    present(mediaTime) {
      if (!this.paused) this.time_s = mediaTime;
      for (const call of this.waiting.splice(0)) call(0, { mediaTime });
    },
    arrive() { this.dispatchEvent(new Event("seeked")); },
    async play() { this.paused = false; },
    pause() { this.paused = true; },
  });
  Object.defineProperty(video, "currentTime", {
    get: () => video.time_s,
    set: (time_s) => video.seeks.push((video.time_s = time_s)),
  });
  const reports = [];
  const events = { time: (time_s, idx, truth) => reports.push([idx, truth]), state() {}, failure() {} };
  const player = new Player(video, events, new AbortController().signal);
  player.load({ url: "clip.mp4", frame_rate: 25 }, 12);
  const run = new Function("player", "video", "wait", `return (async () => { ${steps} })()`);
  const result = await run(player, video, wait);
  restoreTimers();
  return { reports, result, seeks: video.seeks };
}"""
)


@pytest.fixture(scope="module")
def page(chromium: Browser, address: str) -> Iterator[Page]:
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}/ground")
    yield page
    page.close()


def run(page: Page, steps: str) -> dict[str, Any]:
    """What the player reports as (frame, truth), the times that it seeks, and what `steps` return."""
    outcome: dict[str, Any] = page.evaluate(PLAYER, steps)
    return outcome


def reports(page: Page, steps: str) -> list[list[object]]:
    """Every (frame, truth) that the player reports."""
    return list(run(page, steps)["reports"])


@pytest.mark.parametrize(
    ("time_s", "frame"), [(0, 0), (2, 50), (2.037, 50), (2.04, 51), (1.96, 49), (12, 299), (99, 299)]
)
def test_a_seek_goes_to_the_middle_of_its_frame(page: Page, time_s: float, frame: int) -> None:
    """A browser that is asked for a frame's edge may show its neighbour."""
    assert run(page, f"player.seek({time_s});")["seeks"] == [pytest.approx((frame + 0.5) / 25, abs=1e-9)]


def test_where_frames_are_not_evenly_spaced_a_seek_goes_to_the_time_itself(page: Page) -> None:
    uneven = "player.load({ url: 'clip.mp4', frame_rate: null }, 12);"
    assert run(page, f"{uneven} player.seek(2.01);")["seeks"] == [2.01]


def test_seeks_that_come_faster_than_the_browser_collapse_into_the_last(page: Page) -> None:
    burst = "for (let idx = 0; idx < 30; idx += 1) player.step(1); video.present(0.04); video.arrive();"
    assert run(page, burst)["seeks"] == pytest.approx([1.5 / 25, 30.5 / 25])
    arrived = f"{burst} video.present(1.2); video.arrive();"
    assert reports(page, arrived)[-1] == [30, "exact"]


PLAY_RANGE = """const states = [];
  const present = (idx) => { video.present(idx / 25); states.push([idx, video.paused]); };
  player.playRange({ start_s: 4, end_s: 5, %s onEnd: () => states.push("ended") });
  states.push(["sought", video.paused]); video.arrive(); present(100);"""


def test_a_range_plays_from_its_first_frame_and_stops_on_its_last(page: Page) -> None:
    plain = PLAY_RANGE % ""
    on_time = run(page, f"{plain} for (const idx of [101, 122, 123, 124]) present(idx); return states;")
    playing = [[idx, False] for idx in (100, 101, 122, 123)]
    assert on_time["result"] == [["sought", True], *playing, "ended", [124, True]]
    assert on_time["seeks"] == pytest.approx([100.5 / 25, 124.5 / 25])  # it stands on the last frame
    late = run(page, f"{plain} present(101); present(131); return states;")  # a page that stalled
    assert late["result"][-2:] == ["ended", [131, True]]
    assert late["seeks"] == on_time["seeks"]


def test_a_range_that_loops_begins_again_at_its_first_frame(page: Page) -> None:
    loop = f"{PLAY_RANGE % 'loop: true,'} present(124); video.arrive(); present(100); present(101); return states;"
    played = run(page, loop)
    assert played["seeks"] == pytest.approx([100.5 / 25, 100.5 / 25])
    assert played["result"][1:] == [[100, False], [124, True], [100, False], [101, False]]


def test_a_frame_presented_before_or_after_the_seek_ends_is_exact(page: Page) -> None:
    assert reports(page, "player.seek(2); video.present(2); video.arrive();") == [[50, None], [50, "exact"]]
    assert reports(page, "player.seek(2); video.arrive(); video.present(2);") == [[50, None], [50, "exact"]]


def test_a_late_frame_of_the_seek_before_is_not_taken_for_this_ones(page: Page) -> None:
    late = "player.seek(5.52); video.arrive(); player.seek(0); video.present(5.52); video.arrive(); video.present(0);"
    assert reports(page, late) == [[138, None], [0, None], [0, "exact"]]
    assert reports(page, f"{late} await wait(200);")[2:] == [[0, "exact"]]


def test_another_frame_than_the_one_asked_for_is_shown_as_approximate(page: Page) -> None:
    early = "player.seek(2); video.present(2.04); video.arrive(); await wait(200);"
    assert reports(page, early) == [[50, None], [51, "approximate"]]
    assert reports(page, "player.seek(2); video.arrive(); video.present(2.04);") == [
        [50, None],
        [51, "approximate"],
    ]


def test_a_seek_that_ends_without_a_picture_is_made_again(page: Page) -> None:
    """Chromium does so now and then where a clip is paused and sought at once: the frame would stay unknown."""
    lost = "player.seek(2); video.arrive(); await wait(200);"
    again = run(page, f"{lost} video.arrive(); video.present(2);")
    assert again["seeks"] == pytest.approx([50.5 / 25, 50.5 / 25])
    assert again["reports"] == [[50, None], [50, "exact"]]
    never = run(page, lost + "for (let idx = 0; idx < 20; idx += 1) { video.arrive(); await wait(200); }")
    assert never["seeks"] == pytest.approx([50.5 / 25] * 6)
    assert never["reports"][-1] == [50, "approximate"]


def test_a_frame_that_comes_after_the_clip_failed_is_not_shown(page: Page) -> None:
    fails = "player.seek(2.03); video.arrive(); video.dispatchEvent(new Event('error')); video.present(2);"
    assert reports(page, f"{fails} await wait(200);") == [[50, None], [50, "approximate"]]
