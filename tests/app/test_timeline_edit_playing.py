"""Playing while editing: loops, gaps, shuttle, reaction time, the loupe and what is heard."""

from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.app.edit_bench import LOUPE, Bench, number_in

pytestmark = pytest.mark.browser

expect.set_options(timeout=15_000)  # a busy machine is slow, not wrong


def test_auditions_loop_around_the_edge_and_within_the_moment(bench: Bench) -> None:
    bench.press("]")
    bench.page.keyboard.press("p")
    assert bench.run("[view.player.range.start_s, view.player.range.end_s]") == [3, 5]
    note = """() => { window.seen = []; const v = document.querySelector(".tl-video");
      const f = (_, m) => { seen.push(Math.round(m.mediaTime * 25)); v.requestVideoFrameCallback(f); };
      v.requestVideoFrameCallback(f); }"""
    bench.page.evaluate(note)
    begun_again = "seen.filter((n, k) => k && n < seen[k - 1] - 10).length"
    bench.page.wait_for_function(f"() => {begun_again} >= 3", timeout=60_000)
    bench.page.keyboard.press("p")
    bench.settle()
    seen = bench.run("seen")
    assert min(seen) >= 75
    ends = sorted(a for a, b in pairwise(seen) if b < a - 10)
    assert ends[1] == 124  # the last frame before 5 s; a page that stalls may be late once
    assert ends[-1] < 137
    bench.page.keyboard.press("Shift+P")
    assert bench.run("[view.player.range.start_s, view.player.range.end_s]") == [2, 4]
    bench.page.keyboard.press("Space")
    bench.settle()
    assert bench.run("view.player.playing") is False


def test_a_loop_is_stopped_by_its_key_while_it_seeks_back_to_its_start(bench: Bench) -> None:
    bench.press("]")
    pressed = "view.transport.auditionEdge(), [view.player.playing, view.player.range?.loop ?? null]"
    waits, stopped = bench.run(f"[({pressed}), ({pressed})]")
    assert (waits, stopped) == ([False, True], [False, None])
    bench.settle()
    assert bench.run("view.player.playing") is False


def test_gaps_are_reviewed_the_likeliest_first_and_added_with_one_key(bench: Bench) -> None:
    bench.press("g")
    expect(bench.page.locator(".tl-doing")).to_contain_text("Gap 1 of 3 · 4.0–6.0 s · 83 % likely")
    assert bench.run("document.querySelector('.tl-video').playbackRate") == 2
    bench.page.keyboard.press("g")
    expect(bench.page.locator(".tl-doing")).to_contain_text("Gap 2 of 3")
    bench.page.keyboard.press("Escape")
    bench.settle()
    expect(bench.page.locator(".tl-doing")).to_have_text("")
    assert bench.run("document.querySelector('.tl-video').playbackRate") == 1
    order = bench.run(
        """(async () => { const m = await import("/ui-assets/gaps.js");
        const windows = m.likelyWindows(view.editor.item, []);
        return m.reviewOrder(view.editor.moments, 12000, windows).map((g) => [g.start_ms, g.p]); })()"""
    )
    assert [start for start, _ in order] == [4000, 8000, 0]


def test_shuttle_keys(bench: Bench) -> None:
    bench.page.keyboard.press("l")
    bench.page.wait_for_function("() => view.player.playing")
    bench.page.keyboard.press("l")
    assert bench.run("document.querySelector('.tl-video').playbackRate") == 1.5
    bench.page.keyboard.press("j")
    bench.page.keyboard.press("j")
    assert bench.run("document.querySelector('.tl-video').playbackRate") == 0.5
    bench.page.keyboard.down("k")
    bench.settle()
    before = bench.number()
    for key in ("l", "l", "j"):
        bench.page.keyboard.press(key)
    bench.page.keyboard.up("k")
    bench.settle()
    assert bench.number() == before + 1
    assert bench.run("view.player.playing") is False


def test_marking_while_playing_counts_the_reaction_time(bench: Bench) -> None:
    learned = bench.run(
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
    bench.page.keyboard.press("Space")
    bench.page.wait_for_function("() => document.querySelector('.tl-video').currentTime > 2.8")
    at_s = bench.run("document.querySelector('.tl-video').currentTime")
    bench.page.keyboard.press("i")
    marked_s = bench.times()[0][0] / 1000
    bench.page.keyboard.press("Space")
    assert at_s - 0.29 <= marked_s <= at_s + 0.6
    expect(bench.page.locator(".tl-says")).to_contain_text("250 ms earlier for your reaction time")


def test_the_loupe_shows_the_last_frame_out_and_the_first_in(bench: Bench) -> None:
    bench.press("[")
    for key, first in (("", 50), ("ArrowRight", 51), ("Shift+ArrowRight", 76)):
        if key:
            bench.press(key)
        main = bench.page.locator(".tl-loupe [data-side=after] .tl-loupe-main")
        expect(main).to_have_attribute("data-frame", str(first))
        expect(bench.page.locator(".tl-loupe .tl-badge")).to_have_text("exact")
        assert number_in(bench.page.evaluate(LOUPE, "before")) == first - 1
        assert number_in(bench.page.evaluate(LOUPE, "after")) == first
        expect(bench.page.locator(".tl-loupe [data-side=after] figcaption")).to_have_text(
            f"First in · {first}"
        )
    tile = bench.page.locator(".tl-loupe figure[data-side=after] .tl-loupe-tile").nth(3)
    expect(tile).to_have_attribute("data-frame", "79")
    tile.click()
    bench.settle()
    assert bench.times()[0][0] == 3160


def test_the_badge_says_exact(bench: Bench) -> None:
    badge = bench.page.locator(".tl-status .tl-badge")
    bench.press("ArrowRight")
    expect(badge).to_have_text("exact · frame 51")
    expect(badge).to_have_attribute("data-truth", "exact")


def test_moments_are_a_captions_track(bench: Bench) -> None:
    cues = "[...document.querySelector('.tl-video').textTracks[0].cues].map((c) => [c.startTime, c.endTime, c.text])"
    assert bench.run(cues) == [[2, 4, "Moment 1 of 2"], [6, 8, "Moment 2 of 2"]]
    bench.press("2")
    assert bench.run(cues)[0] == [2, 4.4, "Moment 1 of 2"]


def test_an_edit_is_shown_whole_when_the_view_changes_in_the_same_frame(bench: Bench) -> None:
    take = "view.editor.apply({ type: 'takeEdge', id: 1, edge: 'end', source: 'model' })"
    bench.run(f"(view.state.touch('viewport'), {take}, null)")
    bench.settle()
    cue = "document.querySelector('.tl-video').textTracks[0].cues[0].endTime"
    assert (bench.run(cue), bench.times()[0]) == (4.4, [2000, 4400])
    expect(bench.page.get_by_label("End of moment 1, seconds")).to_have_value("4.40")


def test_a_loop_goes_on_around_the_edge_that_moves(bench: Bench) -> None:
    around = "[view.player.range?.start_s, view.player.range?.end_s, view.player.range?.loop]"
    bench.press("]")
    bench.page.keyboard.press("p")
    bench.page.wait_for_function("() => view.player.playing")
    for keys, expected in (
        (("Shift+ArrowRight",), [4, 6, True]),
        (("d", "ArrowRight"), [4.56, 6.56, True]),
        (("2",), [3.4, 5.4, True]),
        (("Control+z",), [4.56, 6.56, True]),
        (("[",), [1, 3, True]),
    ):
        for key in keys:
            bench.page.keyboard.press(key)
        assert bench.run(around) == expected, keys
    bench.page.wait_for_function("() => view.player.playing")
    bench.page.keyboard.press("Shift+P")  # stops what loops
    bench.settle()
    assert bench.run("view.player.playing") is False
    bench.page.keyboard.press("Shift+P")
    bench.page.keyboard.press("ArrowRight")
    assert bench.run(around) == [2.04, 5.56, True]
    bench.page.keyboard.press("Escape")
    bench.settle()


def test_a_seek_leaves_a_loop_and_stands_and_stays_in_the_gap_under_review(bench: Bench) -> None:
    bench.press("]")
    bench.page.keyboard.press("p")
    bench.page.wait_for_function("() => view.player.playing")
    bench.page.mouse.click(*bench.x(10.0, "original"))
    bench.settle()
    assert bench.number() == 250
    assert bench.run("[view.player.playing, view.player.range]") == [False, None]
    bench.page.keyboard.press("g")  # 4 to 6 s
    bench.page.wait_for_function("() => view.player.playing")
    bench.page.mouse.click(*bench.x(5.0, "original"))
    assert bench.run("[view.player.range.start_s, view.player.range.end_s]") == [
        pytest.approx(5, abs=0.02),
        6,
    ]
    assert bench.run("view.transport.reviewing") is True
    bench.page.mouse.click(*bench.x(11.0, "original"))
    assert bench.run("[view.transport.reviewing, view.player.playing]") == [False, False]
