"""The loupe's pictures, from a video element that loads, seeks and presents frames when it is told to."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.app.timeline.editor_page import CLOCK, PATIENCE_MS, EditorPage

pytestmark = pytest.mark.browser

GRABBER = (
    "async (steps) => {"
    + CLOCK
    + """
  const [{ FrameGrabber }, { FrameClock }] = await Promise.all(
    ["frame_grabber", "frames"].map((name) => import(`/ui-assets/${name}.js`)));
  const video = Object.assign(document.createElement("canvas"), {
    seeking: false, readyState: 4, error: null, videoWidth: 320, videoHeight: 180, waiting: [], seeks: [],
    requestVideoFrameCallback(call) { this.waiting.push(call); },
    present(mediaTime) { for (const call of this.waiting.splice(0)) call(0, { mediaTime }); },
    arrive() { [this.seeking, this.readyState] = [false, 4]; this.dispatchEvent(new Event("seeked")); },
    load() { this.readyState = 0; },
  });
  Object.defineProperty(video, "currentTime", {
    set(time_s) { [video.seeking, video.readyState] = [true, 1]; video.seeks.push(time_s * 25); },
  });
  const grabber = new FrameGrabber(() => {}, new AbortController().signal, video);
  grabber.load("clip.mp4", new FrameClock(25, 300));
  await new Function("grabber", "video", "wait", `return (async () => { ${steps} })()`)(grabber, video, wait);
  restoreTimers();
  const pictures = Object.fromEntries(
    Array.from({ length: 300 }, (_, idx) => [idx, grabber.get(idx)?.exact]).filter(([, exact]) => exact !== undefined));
  return { pictures, seeks: video.seeks, working: grabber.working };
}"""
)


@pytest.fixture(scope="module")
def page(chromium: Browser, address: str) -> Iterator[Page]:
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE_MS)
    sheet = context.new_page()
    sheet.goto(address)
    yield sheet
    context.close()


def after(page: Page, steps: str) -> Any:
    """The stored pictures (frame: whether it is exact), the frames sought, and whether more can be had."""
    return page.evaluate(GRABBER, steps)


def test_wanted_frames_are_sought_one_after_the_other(page: Page) -> None:
    outcome = after(
        page, "grabber.want([50, 49]); video.arrive(); video.present(2); video.present(1.96); video.arrive();"
    )
    assert outcome == {"pictures": {"49": True, "50": True}, "seeks": [50.5, 49.5], "working": True}


def test_a_seek_that_takes_long_is_waited_for(page: Page) -> None:
    outcome = after(page, "grabber.want([50, 49]); await wait(3400); video.present(2); video.arrive();")
    assert outcome == {"pictures": {"50": True}, "seeks": [50.5, 49.5], "working": True}


def test_a_seek_that_hangs_does_not_hold_up_another_edge(page: Page) -> None:
    outcome = after(page, "grabber.want([50, 49]); grabber.want([80]); await wait(1700);")
    assert outcome == {"pictures": {}, "seeks": [50.5, 80.5], "working": True}


def test_a_seek_that_presents_nothing_is_tried_again_and_a_late_frame_still_counts(page: Page) -> None:
    nothing = "grabber.want([50]); video.arrive(); await wait(1700); video.arrive(); await wait(1700);"
    assert after(page, nothing) == {"pictures": {"50": False}, "seeks": [50.5, 50.7], "working": True}
    assert after(page, f"{nothing} video.present(2);")["pictures"] == {"50": True}


def test_a_late_frame_of_the_seek_before_is_not_kept(page: Page) -> None:
    """What would be drawn by then may be the next frame already."""
    late = "grabber.want([50]); video.present(5.52); video.arrive(); video.present(2);"
    assert after(page, late) == {"pictures": {"50": True}, "seeks": [50.5], "working": True}
    later = "grabber.want([50]); video.arrive(); video.present(5.52); video.present(2); video.arrive();"
    assert after(page, later) == {"pictures": {"50": True}, "seeks": [50.5, 50.7], "working": True}


def test_a_frame_off_the_clips_own_clock_is_not_exact(page: Page) -> None:
    assert after(page, "grabber.want([50]); video.arrive(); video.present(2.01);")["pictures"] == {
        "50": False
    }


def test_nothing_is_tried_again_while_nobody_looks(page: Page) -> None:
    hidden = "Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
    away = f"{hidden} grabber.want([50]); video.arrive(); await wait(3400); delete document.hidden;"
    assert after(page, away) == {"pictures": {}, "seeks": [50.5], "working": True}
    assert after(page, f"{away} video.present(2);")["pictures"] == {"50": True}


def test_what_is_wanted_is_not_what_is_let_go(page: Page) -> None:
    shows = "const show = (k) => { video.arrive(); video.present(k / 25); };"
    fills = "const all = [...Array(160).keys()]; grabber.want(all); all.forEach(show);"
    outcome = after(page, f"{shows} {fills} grabber.want([0, 1, 160, 161]); show(160); show(161);")
    assert sorted(map(int, outcome["pictures"])) == [0, 1, *range(4, 162)]


def test_another_clip_takes_nothing_from_the_one_before(page: Page) -> None:
    other = "grabber.want([50]); video.readyState = 0; grabber.load('other.mp4', { fps: 25, count: 9 });"
    outcome = after(page, f"{other} video.present(2); await wait(1700);")
    assert outcome == {"pictures": {}, "seeks": [50.5], "working": True}


def test_a_clip_that_failed_is_loaded_again_when_frames_are_wanted(page: Page) -> None:
    fails = (
        "grabber.want([50]); video.dispatchEvent(new Event('error')); video.arrive(); video.readyState = 0;"
    )
    assert after(page, fails) == {"pictures": {}, "seeks": [50.5], "working": False}
    again = """video.src = ""; grabber.want([51]); if (!video.src.endsWith("clip.mp4")) throw video.src;
        video.readyState = 1; video.dispatchEvent(new Event("loadedmetadata")); video.present(2.04); video.arrive();"""
    assert after(page, fails + again) == {"pictures": {"51": True}, "seeks": [50.5, 51.5], "working": True}


def test_a_clip_that_never_loads_is_given_up(page: Page) -> None:
    outcome = after(
        page,
        """video.readyState = 0; grabber.load("slow.mp4", { fps: 25, count: 9 });
        grabber.want([5]); await wait(60_000);""",
    )
    assert outcome == {"pictures": {}, "seeks": [], "working": False}


def test_a_clip_given_up_too_soon_is_taken_up_again(page: Page) -> None:
    """First the file loads after all, then a seek arrives after all."""
    slow = """const long = 60_000; video.readyState = 0; grabber.load("slow.mp4", { fps: 25, count: 99 });
        grabber.want([50, 49, 48]); await wait(long); if (grabber.working) throw "patient";
        video.readyState = 1; video.dispatchEvent(new Event("loadedmetadata"));"""
    late = """await wait(long); if (grabber.working) throw "patient"; video.arrive(); video.present(2);"""
    assert after(page, slow) == {"pictures": {}, "seeks": [50.5], "working": True}
    assert after(page, slow + late) == {"pictures": {"50": True}, "seeks": [50.5, 49.5], "working": True}


def test_without_a_clip_nothing_is_loaded(page: Page) -> None:
    outcome = after(
        page,
        """video.dispatchEvent(new Event("error")); video.src = "as it was";
        grabber.load(null, { fps: 25, count: 99 }); grabber.want([50]);
        if (video.src !== "as it was") throw video.src;""",
    )
    assert outcome == {"pictures": {}, "seeks": [], "working": False}


def test_the_loupe_says_when_there_is_no_picture_to_come(chromium: Browser, address: str) -> None:
    editor = EditorPage(chromium, address)
    badge = editor.page.locator(".tl-loupe .tl-badge")
    editor.press("]")
    expect(badge).to_have_text("exact")
    editor.run(
        """view.load({ ...view.state.value, video: { ...view.state.value.video, url: "/not-there.mp4" } })"""
    )
    editor.page.keyboard.press("BracketRight")
    expect(badge).to_have_text("no picture")
    expect(editor.page.locator(".tl-status .tl-badge")).to_contain_text("approximate")
    editor.context.close()
