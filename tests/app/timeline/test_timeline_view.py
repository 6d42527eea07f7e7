"""The read-only timeline in Chromium, on a clip whose pictures carry their number: what is shown is what is said."""

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.app.timeline.editor_page import GRAB, PATIENCE_MS, REFRESHED, number_in
from tests.app.timeline.harness import DURATION_S, RATE, STATES, build, serving

pytestmark = pytest.mark.browser

STILL = """() => {
  const { player, state, videoPane } = document.querySelector(".tl-root").timeline;
  return !player.playable || (!videoPane.video.seeking && state.truth !== null);
}"""


class Screen:
    """One page with the timeline open, and the few things that tests do on it."""

    def __init__(self, browser: Browser, url: str, width: int = 1440) -> None:
        size: ViewportSize = {"width": width, "height": 1200}
        self.page: Page = browser.new_page(viewport=size)
        self.page.set_default_timeout(PATIENCE_MS)
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.goto(url)
        expect(self.page.locator(".tl-axis")).to_be_visible()

    def open(self) -> None:
        """An empty timeline, as on a fresh page."""
        self.page.mouse.move(0, 0)
        self.page.evaluate("openTimeline()")

    def show(self, name: str) -> None:
        self.page.evaluate("(name) => showValue(name)", name)
        self.wait_for(name)

    def wait_for(self, name: str) -> None:
        """Until a state of the harness is on the screen."""
        state = "ready" if name in ("unplayable", "hostile", "crowded", "even", "film") else name.split()[0]
        expect(self.page.locator(".tl-root")).to_have_attribute("data-state", state)
        if name in ("ready", "refused", "unknown", "crowded", "even", "film"):
            self.page.wait_for_function("() => document.querySelector('.tl-video').readyState >= 2")
            self.settle()

    def settle(self) -> None:
        """Until no seek is under way, the shown frame is known, and two refreshes have passed."""
        self.page.wait_for_function(STILL)
        self.page.evaluate(REFRESHED)
        self.page.wait_for_function(STILL)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def focus(self) -> None:
        self.page.locator(".tl-axis").focus()

    def number(self) -> int:
        """The number of the picture that the video really shows."""
        return number_in(self.page.evaluate(GRAB))

    def said_s(self) -> float:
        return float(self.page.locator(".tl-axis").get_attribute("aria-valuenow") or "nan")

    def spoken(self) -> str:
        return self.page.locator(".tl-axis").get_attribute("aria-valuetext") or ""

    def box(self, lane: str) -> dict[str, float]:
        box = self.page.locator(f"[data-lane={lane}]").bounding_box()
        assert box is not None
        return dict(box)

    def click_at(self, lane: str, time_s: float) -> None:
        box = self.box(lane)
        self.page.mouse.click(box["x"] + box["width"] * time_s / DURATION_S, box["y"] + box["height"] / 2)
        self.settle()

    def paused(self) -> bool:
        return bool(self.page.evaluate("() => document.querySelector('.tl-video').paused"))


class GradioScreen(Screen):
    """The same inside a Gradio page, where a button of the page makes each state."""

    def show(self, name: str) -> None:
        self.page.locator(f"#to-{name.replace(' ', '-')}").click()
        self.wait_for(name)


@pytest.fixture(scope="module")
def module_screen(chromium: Browser, address: str) -> Iterator[Screen]:
    screen = Screen(chromium, f"{address}/ground")
    yield screen
    screen.page.close()


@pytest.fixture
def screen(module_screen: Screen, address: str) -> Iterator[Screen]:
    """An empty timeline on a bare page; afterwards nothing has failed and no other host was asked."""
    module_screen.faults.clear()
    module_screen.hosts.clear()
    module_screen.open()
    yield module_screen
    assert module_screen.faults == []
    assert module_screen.hosts <= {address.removeprefix("http://")}


@pytest.fixture(scope="module")
def gradio_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    with serving(build(tmp_path_factory.mktemp("gradio"))) as url:
        yield url


def test_moments_are_buttons_that_say_what_they_are(screen: Screen) -> None:
    screen.show("ready")
    answer = screen.page.get_by_role("region", name="Answer")
    for name in (
        "Moment 1 of 2, 4.0 to 7.0 seconds, confidence 83 percent",
        "Moment 2 of 2, 9.5 to 10.0 seconds, confidence 41 percent",
        "Window 2, 3.5 to 7.5 seconds, score 0.17",
    ):
        expect(answer.get_by_role("button", name=name, exact=True)).to_be_visible()
    assert screen.page.locator(".tl-moment").first.inner_text() == "1 · 83 %"
    opacities = screen.page.evaluate(
        "() => [...document.querySelectorAll('.tl-fill')].map((n) => +n.style.opacity)"
    )
    assert opacities == pytest.approx([0.2 + 0.7 * 0.83, 0.2 + 0.7 * 0.41])
    expect(screen.page.locator(".tl-root [role=status]")).to_contain_text("2 moments found. Moment 1 of 2")


def test_lanes_share_one_axis(screen: Screen) -> None:
    screen.show("ready")
    lanes = ["ruler", "strip", "moments", "ranked", "tokens", "variation", "minimap"]
    boxes = [screen.box(lane) for lane in lanes]
    assert len({(round(box["x"], 2), round(box["width"], 2)) for box in boxes}) == 1
    moment = screen.page.locator(".tl-moment").first.bounding_box()
    assert moment is not None
    assert moment["x"] == pytest.approx(boxes[0]["x"] + boxes[0]["width"] * 4 / 12, abs=0.6)
    assert moment["width"] == pytest.approx(boxes[0]["width"] * 3 / 12, abs=0.6)


def test_keys_step_frames_and_seconds_exactly(screen: Screen) -> None:
    screen.show("ready")
    screen.focus()
    expected = 0
    for key, change in (
        [("ArrowRight", 1)] * 5
        + [("Shift+ArrowRight", RATE)] * 3
        + [("ArrowLeft", -1)] * 3
        + [("Shift+ArrowLeft", -RATE)]
    ):
        screen.press(key)
        expected += change
        assert screen.number() == expected
        assert screen.said_s() == pytest.approx(expected / RATE)
        assert f"frame {expected}," in screen.spoken()
    screen.press("Home")
    assert screen.number() == 0
    screen.press("End")
    assert screen.number() == RATE * DURATION_S - 1
    screen.press("ArrowRight")
    assert screen.number() == RATE * DURATION_S - 1


def test_a_burst_of_keys_loses_no_step(screen: Screen) -> None:
    screen.show("ready")
    screen.focus()
    for _ in range(30):
        screen.page.keyboard.press("ArrowRight")
    expect(screen.page.locator(".tl-axis")).to_have_attribute("aria-valuenow", f"{30 / RATE:.2f}")
    screen.settle()
    assert screen.number() == 30


@pytest.mark.parametrize("lane", ["ruler", "strip", "tokens", "variation", "ranked"])
def test_a_click_anywhere_seeks(screen: Screen, lane: str) -> None:
    screen.show("ready")
    screen.click_at(lane, 6.02)
    assert screen.number() == 150
    assert screen.said_s() == pytest.approx(6.0)
    assert screen.paused()


def test_a_moment_that_is_played_stops_on_its_last_frame(screen: Screen) -> None:
    """Which frames are played is in test_player.py: what a browser presents in between depends on its speed."""
    screen.show("ready")
    screen.page.evaluate(
        """() => {
          window.events = [];
          const note = ({ type }) => events.push(type);
          for (const type of ["play", "pause"]) document.querySelector(".tl-video").addEventListener(type, note);
        }"""
    )
    screen.click_at("moments", 9.75)
    expect(screen.page.locator(".tl-item").nth(1)).to_have_attribute("aria-current", "true")
    screen.page.wait_for_function("() => events.at(-1) === 'pause'")
    screen.settle()
    assert screen.page.evaluate("() => events") == ["play", "pause"]
    assert screen.number() == 249
    assert screen.said_s() == pytest.approx(249 / RATE)
    assert screen.page.evaluate("() => document.querySelector('.tl-video').currentTime") == pytest.approx(
        249.5 / RATE, abs=1e-4
    )


def test_up_down_and_enter_go_through_the_moments(screen: Screen) -> None:
    screen.show("ready")
    screen.focus()
    screen.press("ArrowDown")
    assert (screen.said_s(), screen.number()) == (4.0, 100)
    assert "in moment 1" in screen.spoken()
    screen.press("ArrowDown")
    assert screen.number() == 237
    screen.press("ArrowDown")
    assert screen.number() == 237
    screen.page.keyboard.press("Enter")
    screen.page.wait_for_function(
        "() => { const v = document.querySelector('.tl-video'); return v.paused && v.currentTime > 9.9; }"
    )
    screen.settle()
    assert screen.number() == 249
    screen.press("ArrowUp")
    assert screen.number() == 100


def test_space_plays_and_pauses_and_the_playhead_moves(screen: Screen) -> None:
    screen.show("ready")
    screen.focus()
    screen.press("Space")
    screen.page.wait_for_function("() => document.querySelector('.tl-video').currentTime > 0.5")
    assert not screen.paused()
    screen.press("Space")
    assert screen.paused()
    screen.settle()
    assert screen.number() == round(screen.said_s() * RATE)


def test_keys_do_nothing_while_somebody_types(screen: Screen) -> None:
    screen.show("ready")
    words = screen.page.get_by_label("Words")
    words.click()
    words.press_sequentially("f ? + ")
    screen.press("ArrowLeft", "ArrowDown")
    assert words.input_value() == "f ? + "
    assert screen.number() == 0
    assert screen.paused()
    screen.page.locator(".tl-rate").focus()
    screen.press("ArrowDown")
    assert screen.number() == 0


def test_the_wheel_zooms_at_the_pointer_and_f_fits(screen: Screen) -> None:
    screen.show("ready")
    box = screen.box("tokens")
    x = box["x"] + box["width"] * 5.6 / 12
    screen.page.mouse.move(x, box["y"] + 20)
    expect(screen.page.locator(".tl-tip")).to_be_visible()
    before = screen.page.locator(".tl-tip").inner_text()
    for _ in range(4):
        screen.page.mouse.wheel(0, -200)
    expect(screen.page.locator(".tl-root")).to_have_attribute("data-zoomed", "true")
    screen.page.mouse.move(x + 1, box["y"] + 20)
    screen.page.mouse.move(x, box["y"] + 20)
    screen.settle()
    assert screen.page.locator(".tl-tip").inner_text() == before
    moment = screen.page.locator(".tl-moment").first.bounding_box()
    assert moment is not None
    assert moment["width"] > box["width"] * 0.8
    screen.focus()
    screen.press("f")
    expect(screen.page.locator(".tl-root")).to_have_attribute("data-zoomed", "false")


def test_a_drag_pans_when_zoomed_and_scrubs_on_the_ruler(screen: Screen) -> None:
    screen.show("ready")
    screen.click_at("ruler", 5.0)
    screen.press("+")
    left_px = "() => document.querySelector('.tl-moment').getBoundingClientRect().left"
    box = screen.box("tokens")
    before = screen.page.evaluate(left_px)
    screen.page.mouse.move(box["x"] + 700, box["y"] + 20)
    screen.page.mouse.down()
    screen.page.mouse.move(box["x"] + 500, box["y"] + 20, steps=5)
    screen.page.mouse.up()
    screen.settle()
    assert screen.page.evaluate(left_px) == pytest.approx(before - 200, abs=2)
    assert screen.said_s() == 5.0
    screen.press("f")
    ruler = screen.box("ruler")
    screen.page.mouse.move(ruler["x"] + 100, ruler["y"] + 10)
    screen.page.mouse.down()
    screen.page.mouse.move(ruler["x"] + ruler["width"] * 0.75, ruler["y"] + 10, steps=8)
    screen.page.mouse.up()
    screen.settle()
    assert screen.number() in (224, 225)


def test_a_films_looks_stand_on_a_lane_that_other_clips_do_not_have(screen: Screen) -> None:
    lane, row = screen.page.locator("[data-lane=looks]"), screen.page.locator("[data-row=looks]")
    screen.show("ready")
    expect(row).to_be_hidden()
    screen.show("loading film")
    expect(lane).to_be_visible()
    height = screen.page.locator(".tl-axis").evaluate("(axis) => axis.offsetHeight")
    screen.show("film")
    expect(row).to_contain_text("2 second looks")
    for share, lines in (
        (0.42, ["Second look: 0:02.0 – 0:06.0", "8 frames, one every 0.5 s", "P(relevant) 97 % · 1 moment"]),
        (0.75, ["Second look: 0:08.0 – 0:10.0", "4 frames, one every 0.5 s", "no moment"]),
        (0.95, ["Scanned: 0:08.0 – 0:12.0", "2 frames, one every 2 s", "P(relevant) 40 % · no moment"]),
    ):
        box = screen.box("looks")
        screen.page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        expect(screen.page.locator(".tl-tip")).to_have_text("".join(lines))
    # The next question on the film: nothing comes and goes while its clip is looked up.
    screen.show("loading")
    expect(lane).to_be_visible()
    assert screen.page.locator(".tl-axis").evaluate("(axis) => axis.offsetHeight") == height
    screen.show("ready")
    expect(row).to_be_hidden()


def test_hovering_a_bar_tells_its_frame(screen: Screen) -> None:
    screen.show("ready")
    box = screen.box("tokens")
    screen.page.mouse.move(box["x"] + box["width"] * 4.2 / 12, box["y"] + 30)
    expect(screen.page.locator(".tl-tip")).to_contain_text("Frame 9 of 21 at 4.00 s")
    assert screen.page.locator(".tl-tip").inner_text().split("\n")[1:] == [
        "784 × 56 px · 56 tokens",
        "uniform share 23.8 (+135 %)",
        "variation 1.00",
    ]
    screen.page.mouse.move(box["x"] + box["width"] * 9.0 / 12, box["y"] + 30)
    expect(screen.page.locator(".tl-tip")).to_contain_text("the model did not look here")


def test_every_state_has_the_same_height_and_says_itself(screen: Screen) -> None:
    heights = {}
    for name in STATES:
        screen.show(name)
        screen.page.evaluate(REFRESHED)
        heights[name] = screen.page.locator(".tl-axis").evaluate(
            "(node) => [node.offsetTop, node.offsetHeight]"
        )
    heights.pop("hostile")  # three lines of question instead of one
    films = [heights.pop("film"), heights.pop("loading film")]  # a lane more, from when the clip is known
    assert films[0] == films[1]
    assert films[0][1] > heights["ready"][1]
    assert len({tuple(place) for place in heights.values()}) == 1, heights
    screen.show("refused")
    expect(screen.page.locator(".tl-refusal")).to_contain_text("Not in this clip")
    expect(screen.page.locator(".tl-refusal")).to_contain_text("7 %")
    expect(screen.page.locator("[data-lane=moments]")).to_contain_text("No relevant moment · P(relevant) 7 %")
    assert screen.page.locator(".tl-moment").count() == 0
    screen.show("unknown")
    expect(screen.page.locator(".tl-refusal")).to_contain_text("This model does not know that")
    expect(screen.page.locator(".tl-refusal")).to_contain_text("This model does not know “giraffe”.")
    expect(screen.page.locator(".tl-chip")).to_have_text("Not understood")
    assert screen.page.locator(".tl-moment").count() == 0
    screen.show("error")
    expect(screen.page.locator(".tl-stage-note")).to_contain_text("Choose another file.")
    screen.show("loading")
    expect(screen.page.locator(".tl-stage-note")).to_have_text("Decoding the clip")
    assert screen.page.locator("[data-waiting=true]:visible").count() == 6
    screen.show("loading clip")
    expect(screen.page.locator(".tl-video")).to_be_visible()


def test_an_even_allocation_is_said_and_not_drawn(screen: Screen) -> None:
    note = screen.page.locator("[data-row=tokens] .tl-note")
    screen.show("even")
    expect(note).to_have_text("8 each")
    screen.show("ready")
    expect(note).to_have_text(re.compile("^0 to "))


def test_hostile_words_are_shown_as_words(screen: Screen) -> None:
    screen.show("hostile")
    text = STATES["hostile"]()["query"]
    assert screen.page.locator(".tl-query").evaluate("(node) => node.textContent") == text
    assert screen.page.evaluate("() => document.body.dataset.hit ?? null") is None
    assert screen.page.locator(".tl-root img").count() == 0


def test_a_clip_that_cannot_play_still_has_a_timeline(screen: Screen) -> None:
    screen.show("unplayable")
    expect(screen.page.locator(".tl-stage-note")).to_contain_text("cannot play the clip")
    expect(screen.page.locator(".tl-still")).to_be_visible()
    expect(screen.page.get_by_role("button", name="Play", exact=False).first).to_be_disabled()
    screen.focus()
    screen.press("ArrowRight", "ArrowRight", "ArrowRight")
    assert screen.said_s() == 1.5
    screen.press("ArrowDown")
    assert screen.said_s() == 4.0
    assert "56 tokens" in screen.spoken()


def test_a_gradio_page_shows_hides_and_updates_it(chromium: Browser, gradio_address: str) -> None:
    screen = GradioScreen(chromium, gradio_address)
    for _ in range(3):
        screen.page.locator("#hide").click()
        expect(screen.page.locator(".tl-axis")).to_have_count(0)
        screen.page.locator("#show").click()
        expect(screen.page.locator(".tl-axis")).to_have_count(1)
    screen.show("ready")
    sizes = screen.page.evaluate(
        """() => ['.tl-video', '.tl-stage'].map(name => {
             const box = document.querySelector(name).getBoundingClientRect();
             return [Math.round(box.width), Math.round(box.height)];
           })"""
    )
    assert sizes[0] == sizes[1]  # Gradio's own styles do not cut the picture
    screen.focus()
    screen.press("ArrowRight")
    assert screen.number() == 1
    screen.show("refused")
    expect(screen.page.locator(".tl-refusal")).to_contain_text("Not in this clip")
    assert screen.faults == []
    assert screen.hosts == {gradio_address.removeprefix("http://")}
    screen.page.close()


def test_an_update_keeps_the_video_and_the_view(screen: Screen) -> None:
    screen.show("ready")
    screen.focus()
    screen.press("+", "+")
    screen.page.evaluate("() => { document.querySelector('.tl-video').mark = 1 }")
    screen.press("Shift+ArrowRight")
    screen.show("refused")
    assert screen.page.evaluate("() => document.querySelector('.tl-video').mark") == 1
    assert screen.number() == RATE
    expect(screen.page.locator(".tl-root")).to_have_attribute("data-zoomed", "true")


def test_nothing_overflows_and_targets_are_large_enough(chromium: Browser, gradio_address: str) -> None:
    screen = GradioScreen(chromium, gradio_address)
    screen.show("ready")
    for width in (390, 768, 1440, 1920):
        screen.page.set_viewport_size({"width": width, "height": 1200})
        screen.settle()
        overflow = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert screen.page.evaluate(overflow) <= 0, width
        sizes = screen.page.evaluate(
            """() => [...document.querySelectorAll(".tl-root button, .tl-root select, .tl-axis")]
              .map((node) => node.getBoundingClientRect()).filter((box) => box.width)
              .map((box) => Math.min(box.width, box.height))"""
        )
        assert len(sizes) > 12, width
        assert min(sizes) >= 24, width
    screen.page.close()


def test_light_and_dark_follow_the_page(chromium: Browser, gradio_address: str) -> None:
    for theme in ("light", "dark"):
        screen = GradioScreen(chromium, f"{gradio_address}?__theme={theme}")
        expect(screen.page.locator(".tl-root")).to_have_attribute("data-theme", theme)
        screen.page.close()


def test_help_lists_the_keys_and_escape_closes_it(screen: Screen) -> None:
    screen.show("ready")
    screen.focus()
    screen.press("?")
    dialog = screen.page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_contain_text("Play exactly this moment")
    screen.press("ArrowRight")
    assert screen.number() == 0
    screen.press("Escape")
    expect(dialog).to_be_hidden()


def module(screen: Screen, name: str, expression: str) -> Any:
    return screen.page.evaluate(
        f"async () => {{ const m = await import('/ui-assets/{name}.js'); return {expression}; }}"
    )


def test_times_and_shares_are_written_without_lies(screen: Screen) -> None:
    clocks = module(screen, "format", "[0, 59.996, 83.4, 3725.5].map((t) => m.clock(t))")
    assert clocks == ["0:00.00", "1:00.00", "1:23.40", "1:02:05.50"]
    percents = module(screen, "format", "[0, 0.001, 0.5, 0.999, 1].map(m.percent)")
    assert percents == ["0 %", "<1 %", "50 %", ">99 %", "100 %"]


def test_the_axis_is_cut_into_looked_at_and_not(screen: Screen) -> None:
    parts = module(
        screen,
        "state",
        "m.segments({ times_s: [1, 2, 3, 6], end_s: 7 }, 8).map((p) => [p.idx, p.start_s, p.end_s])",
    )
    assert parts == [[-1, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [-1, 4, 6], [3, 6, 7], [-1, 7, 8]]
    assert module(screen, "state", "m.segments({ times_s: [0], end_s: 5 }, 5).length") == 1
    assert module(screen, "state", "m.segments(null, 5).length") == 0


def test_ticks_fit_every_zoom(screen: Screen) -> None:
    counts = module(
        screen,
        "viewport",
        """[0.1, 1, 12, 150, 3600, 9000].flatMap((span) => [280, 1100, 1800].map((width) => {
          const viewport = new m.Viewport(); viewport.reset(span, 1000); viewport.width = width;
          const { major_s, minor_s } = m.ticks(viewport);
          const nested = major_s.every((t) => minor_s.some((n) => Math.abs(n - t) < 1e-6));
          return [major_s.length, minor_s.length, width, nested];
        }))""",
    )
    for major, minor, width, nested in counts:
        assert 1 <= major <= width / 76 + 1
        assert major <= minor <= width / 8 + 1
        assert nested
