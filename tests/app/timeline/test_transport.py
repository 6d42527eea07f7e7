"""Playing while editing: loops, gaps, shuttle, reaction time, the loupe and what is heard."""

import pytest
from playwright.sync_api import expect

from tests.app.timeline.editor_page import LOUPE, EditorPage, number_in

pytestmark = pytest.mark.browser

LOOP = "view.player.range?.loop ? [view.player.range.start_s, view.player.range.end_s] : null"


def test_auditions_loop_around_the_edge_and_within_the_moment(editor: EditorPage) -> None:
    editor.press("]")
    editor.page.keyboard.press("p")
    assert editor.run("[view.player.range.start_s, view.player.range.end_s]") == [3, 5]
    editor.page.evaluate(
        """() => { window.numbers = []; const video = document.querySelector(".tl-video");
        const note = (_, frame) => {
          numbers.push(Math.round(frame.mediaTime * 25));
          video.requestVideoFrameCallback(note);
        };
        video.requestVideoFrameCallback(note); }"""
    )
    # Which frames a loop shows is in test_player.py; here it goes round, and never begins before its start.
    rounds = "numbers.filter((number, k) => k && number < numbers[k - 1] - 10).length"
    editor.page.wait_for_function(f"() => {rounds} >= 2")
    editor.page.keyboard.press("p")
    editor.settle()
    assert min(editor.run("numbers")) >= 75
    editor.page.keyboard.press("Shift+P")
    assert editor.run("[view.player.range.start_s, view.player.range.end_s]") == [2, 4]
    editor.page.keyboard.press("Space")
    editor.settle()
    assert editor.run("view.player.playing") is False


def test_a_loop_is_stopped_by_its_key_while_it_seeks_back_to_its_start(editor: EditorPage) -> None:
    editor.press("]")
    pressed = "view.transport.auditionEdge(), [view.player.playing, view.player.range?.loop ?? null]"
    waits, stopped = editor.run(f"[({pressed}), ({pressed})]")
    assert (waits, stopped) == ([False, True], [False, None])
    editor.settle()
    assert editor.run("view.player.playing") is False


def test_a_loop_goes_around_the_edge_that_work_begins_on(editor: EditorPage) -> None:
    reach = "[view.player.range.start_s, view.player.range.end_s, view.player.range.loop]"
    editor.press("Shift+P")
    assert editor.run(reach) == [2, 4, True]
    editor.page.keyboard.press("]")
    assert editor.run(reach) == [3, 5, True]
    editor.page.keyboard.press("Shift+ArrowRight")  # the loop follows the edge that moves
    assert editor.run(reach) == [4, 6, True]
    editor.page.keyboard.press("[")
    assert editor.run(reach) == [1, 3, True]


def test_the_end_of_a_new_moment_is_the_next_to_be_set(editor: EditorPage) -> None:
    editor.press("End", "PageUp", "n")
    assert editor.times()[-1] == [9960, 11_960]
    assert editor.run("view.editor.selection.edge") == "end"
    assert editor.number() == 299  # the first frame behind it
    editor.press("Shift+ArrowLeft")
    assert editor.times()[-1] == [9960, 10_960]


def test_gaps_are_reviewed_the_likeliest_first_and_added_with_one_key(editor: EditorPage) -> None:
    # A gap plays for a second, and the next one begins: here it stands.
    editor.run("void (view.player.video.play = async () => {})")
    editor.press("g")
    expect(editor.page.locator(".tl-doing")).to_contain_text("Gap 1 of 3 · 0:04.0–0:06.0 · 83 % likely")
    assert editor.run("document.querySelector('.tl-video').playbackRate") == 2
    editor.page.keyboard.press("g")
    expect(editor.page.locator(".tl-doing")).to_contain_text("Gap 2 of 3")
    editor.page.keyboard.press("Escape")
    editor.settle()
    expect(editor.page.locator(".tl-doing")).to_have_text("")
    assert editor.run("document.querySelector('.tl-video').playbackRate") == 1
    order = editor.run(
        """(async () => { const m = await import("/ui-assets/moments.js");
        const windows = m.likelyWindows(view.editor.item, []);
        return m.reviewOrder(view.editor.moments, 12000, windows).map((g) => [g.start_ms, g.p]); })()"""
    )
    assert [start for start, _ in order] == [4000, 8000, 0]


def test_shuttle_keys(editor: EditorPage) -> None:
    editor.page.keyboard.press("l")
    editor.page.wait_for_function("() => view.player.playing")
    editor.page.keyboard.press("l")
    assert editor.run("document.querySelector('.tl-video').playbackRate") == 1.5
    editor.page.keyboard.press("j")
    editor.page.keyboard.press("j")
    assert editor.run("document.querySelector('.tl-video').playbackRate") == 0.5
    editor.page.keyboard.down("k")
    editor.settle()
    before = editor.number()
    for key in ("l", "l", "j"):
        editor.page.keyboard.press(key)
    editor.page.keyboard.up("k")
    editor.settle()
    assert editor.number() == before + 1
    assert editor.run("view.player.playing") is False


def test_marking_while_playing_counts_the_reaction_time(editor: EditorPage) -> None:
    learned = editor.run(
        """(async () => { const { Reaction } = await import("/ui-assets/reaction.js");
        const store = new Map();
        const storage = { getItem: (k) => store.get(k) ?? null, setItem: (k, v) => store.set(k, v) };
        const r = new Reaction(storage);
        const first = [r.lag_ms, r.meant(5000, 2, "1:start")];
        r.learn(() => 4200);
        for (const ms of [4600, 4700, 4650, 4900]) { r.meant(5000, 1, "1:start"); r.learn(() => ms); }
        r.meant(5000, 1, "2:end"); r.learn(() => null);
        const again = new Reaction(storage);
        again.on = false;
        return [...first, again.lag_ms, again.meant(5000, 1, "x:start")]; })()"""
    )
    assert learned == [250, 4500, 350, 5000]
    editor.page.keyboard.press("Space")
    editor.page.wait_for_function("() => document.querySelector('.tl-video').currentTime > 2.8")
    # One task of the page: the clip's clock may go on beside it, but no refresh comes between.
    before_s, after_s = editor.page.evaluate(
        """() => { const video = document.querySelector(".tl-video"), before_s = video.currentTime;
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "i", code: "KeyI", bubbles: true }));
        return [before_s, video.currentTime]; }"""
    )
    marked_s = editor.times()[0][0] / 1000
    editor.page.keyboard.press("Space")
    assert before_s - 0.25 - 0.02 <= marked_s <= after_s - 0.25 + 0.02  # the nearest frame boundary
    expect(editor.said).to_contain_text("250 ms earlier for your reaction time")


def test_the_loupe_shows_the_last_frame_out_and_the_first_in(editor: EditorPage) -> None:
    editor.press("[")
    for key, first in (("", 50), ("ArrowRight", 51), ("Shift+ArrowRight", 76)):
        if key:
            editor.press(key)
        main = editor.page.locator(".tl-loupe [data-side=after] .tl-loupe-main")
        expect(main).to_have_attribute("data-frame", str(first))
        expect(editor.page.locator(".tl-loupe .tl-badge")).to_have_text("exact")
        assert number_in(editor.page.evaluate(LOUPE, "before")) == first - 1
        assert number_in(editor.page.evaluate(LOUPE, "after")) == first
        expect(editor.page.locator(".tl-loupe [data-side=after] figcaption")).to_have_text(
            f"First in · {first}"
        )
    tile = editor.page.locator(".tl-loupe figure[data-side=after] .tl-loupe-tile").nth(3)
    expect(tile).to_have_attribute("data-frame", "79")
    tile.click()
    editor.settle()
    assert editor.times()[0][0] == 3160


def test_the_badge_says_exact(editor: EditorPage) -> None:
    badge = editor.page.locator(".tl-status .tl-badge")
    editor.press("ArrowRight")
    expect(badge).to_have_text("exact · frame 51")
    expect(badge).to_have_attribute("data-truth", "exact")


def test_moments_are_a_captions_track(editor: EditorPage) -> None:
    cues = "[...document.querySelector('.tl-video').textTracks[0].cues].map((c) => [c.startTime, c.endTime, c.text])"
    assert editor.run(cues) == [[2, 4, "Moment 1 of 2"], [6, 8, "Moment 2 of 2"]]
    editor.press("2")
    assert editor.run(cues)[0] == [2, 4.4, "Moment 1 of 2"]


def test_an_edit_is_shown_whole_when_the_view_changes_in_the_same_frame(editor: EditorPage) -> None:
    take = "view.editor.apply({ type: 'takeEdge', id: 1, edge: 'end', source: 'model' })"
    editor.run(f"(view.state.touch('viewport'), {take}, null)")
    editor.settle()
    cue = "document.querySelector('.tl-video').textTracks[0].cues[0].endTime"
    assert (editor.run(cue), editor.times()[0]) == (4.4, [2000, 4400])
    expect(editor.page.get_by_label("End of moment 1, time")).to_have_value("0:04.40")


def test_a_loop_goes_on_around_the_edge_that_moves(editor: EditorPage) -> None:
    around = "[view.player.range?.start_s, view.player.range?.end_s, view.player.range?.loop]"
    editor.press("]")
    editor.page.keyboard.press("p")
    editor.page.wait_for_function("() => view.player.playing")
    for keys, expected in (
        (("Shift+ArrowRight",), [4, 6, True]),
        (("d", "ArrowRight"), [4.56, 6.56, True]),
        (("2",), [3.4, 5.4, True]),
        (("Control+z",), [4.56, 6.56, True]),
        (("[",), [1, 3, True]),
    ):
        for key in keys:
            editor.page.keyboard.press(key)
        assert editor.run(around) == expected, keys
    editor.page.wait_for_function("() => view.player.playing")
    editor.page.keyboard.press("Shift+P")  # stops what loops
    editor.settle()
    assert editor.run("view.player.playing") is False
    editor.page.keyboard.press("Shift+P")
    editor.page.keyboard.press("ArrowRight")
    assert editor.run(around) == [2.04, 5.56, True]
    editor.page.keyboard.press("Escape")
    editor.settle()


def test_a_loop_plays_on_while_the_edge_that_moves_is_still_to_come(editor: EditorPage) -> None:
    """A seek for every key would flicker; where the edge has passed, it is shown at once all the same."""
    editor.press("]")
    editor.page.keyboard.press("p")
    moved = editor.page.evaluate(
        """async () => {
          const { player, actions } = view;
          const moved = {};
          const isTime = { ahead: (s) => s >= 3.2 && s < 3.9, passed: (s) => s >= 4.2 };
          for (const [place, isThere] of Object.entries(isTime)) {
            while (!player.playing || player.video.seeking || !isThere(player.time_s))
              await new Promise(requestAnimationFrame);
            actions.nudge({ frames: 1 });
            moved[place] = [player.video.seeking, player.range.start_s, player.range.end_s];
          }
          return moved;
        }"""
    )
    assert moved == {"ahead": [False, 3.04, 5.04], "passed": [True, 3.08, 5.08]}


def test_a_seek_leaves_a_loop_and_stands_and_stays_in_the_gap_under_review(editor: EditorPage) -> None:
    editor.press("]")
    editor.page.keyboard.press("p")
    editor.page.wait_for_function("() => view.player.playing")
    editor.page.mouse.click(*editor.x(10.0, "original"))
    editor.settle()
    assert editor.number() == 250
    assert editor.run("[view.player.playing, view.player.range]") == [False, None]
    editor.page.keyboard.press("g")  # 4 to 6 s
    # a busy machine must not play the gap to its end meanwhile
    editor.page.wait_for_function("() => view.player.playing && (view.player.video.playbackRate = 0.0625)")
    editor.page.mouse.click(*editor.x(5.0, "original"))
    assert editor.run("[view.player.range.start_s, view.player.range.end_s]") == [
        pytest.approx(5, abs=0.02),
        6,
    ]
    assert editor.run("view.transport.reviewing") is True
    editor.page.mouse.click(*editor.x(11.0, "original"))
    assert editor.run("[view.transport.reviewing, view.player.playing]") == [False, False]


def open_for_a_loop(editor: EditorPage) -> None:
    """A row without moments, after the row before was submitted for a loop: its clip plays."""
    editor.page.evaluate(
        """async () => { view.auditioning = true; // what a page does when it takes the submission
        view.load(await (await fetch("/items/blind")).json()); }"""
    )
    editor.page.wait_for_function("() => view.player.playing")
    expect(editor.page.locator(".tl-doing")).to_have_text("A new moment loops · Esc stops")


def around(edge_ms: int) -> list[float]:
    """What a loop around an edge plays."""
    return [(edge_ms - 1000) / 1000, (edge_ms + 1000) / 1000]


@pytest.mark.parametrize(
    ("key", "is_playing", "moment"),
    [
        ("n", False, [4000, 6000]),
        ("n", True, [4000, 6000]),
        ("i", False, [4000, 6000]),
        ("o", False, [2000, 4000]),
        ("o", True, [2000, 4000]),
        ("drag", False, [4000, 6000]),
        ("drag", True, [4000, 6000]),
    ],
)
def test_the_first_moment_of_a_row_that_was_opened_for_a_loop_begins_it(
    editor: EditorPage, key: str, is_playing: bool, moment: list[int]
) -> None:
    open_for_a_loop(editor)
    if not is_playing:
        editor.press(",")
    editor.run("view.player.video.playbackRate = 0.0625")  # a busy machine must not play on meanwhile
    editor.run("view.player.seek(4)")
    editor.settle()
    if key == "drag":
        editor.page.mouse.move(*editor.x(4.0))
        editor.page.mouse.down()
        editor.page.mouse.move(*editor.x(6.0), steps=6)
        assert editor.run(LOOP) is None
        editor.page.mouse.up()
    else:
        editor.page.keyboard.press(key)
    (times,) = editor.times()
    assert times == [pytest.approx(ms, abs=400) for ms in moment]
    assert editor.run(LOOP) == around(times[1])
    editor.page.wait_for_function("() => view.player.playing")
    expect(editor.page.locator(".tl-doing")).to_have_text("Looping · Esc stops")
    editor.page.keyboard.press("]")
    editor.page.keyboard.press("Shift+ArrowRight")
    assert editor.run(LOOP) == around(times[1] + 1000)
    editor.press("Escape", "Escape", "Home", "n")  # it was for one moment
    assert len(editor.times()) == 2
    assert editor.run(LOOP) is None


def test_a_start_marked_while_the_clip_plays_waits_for_its_end(editor: EditorPage) -> None:
    open_for_a_loop(editor)
    editor.page.wait_for_function("() => view.player.video.currentTime > 0.5")
    editor.page.keyboard.press("i")
    editor.page.wait_for_function("() => view.player.video.currentTime > 1.5")
    assert editor.run("[view.player.playing, view.player.range]") == [True, None]
    editor.page.keyboard.press("o")
    ((_, end_ms),) = editor.times()
    assert editor.run(LOOP) == around(end_ms)
    editor.press("Escape")


@pytest.mark.parametrize(
    "keys", [["Space"], ["Space", "Space"], ["k"], ["k", "l"], ["Escape"], ["g", "Escape"]]
)
def test_whoever_plays_or_stops_it_themselves_waits_for_no_loop(editor: EditorPage, keys: list[str]) -> None:
    open_for_a_loop(editor)
    for key in keys:
        editor.page.keyboard.press(key)
    plays = keys[-1] in ("Space", "l") and len(keys) == 2
    if plays:
        editor.page.wait_for_function("() => view.player.playing")
    expect(editor.page.locator(".tl-doing")).to_have_text("")
    editor.page.keyboard.press("n")
    assert len(editor.times()) == 1
    assert editor.run(LOOP) is None
    assert editor.run("view.player.playing") is plays
    editor.press("Escape")


def test_the_drill_begins_no_loop_that_was_waited_for(editor: EditorPage) -> None:
    open_for_a_loop(editor)
    editor.run("view.tutorial.start()")
    editor.press("End", "PageUp", "n")
    assert editor.run("[view.editor.moments.length, view.player.playing]") == [2, False]
    assert editor.run(LOOP) is None
    editor.press("Escape")
