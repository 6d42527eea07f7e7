"""Editing in Chromium: pointer, keys, loupe and words, on a clip whose pictures carry their number."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.app.edit_bench import LOUPE, Bench, number_in
from tests.app.edit_harness import build
from tests.app.timeline_harness import RATE, serving

pytestmark = pytest.mark.browser

expect.set_options(timeout=15_000)  # a busy machine is slow, not wrong


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(build(tmp_path_factory.mktemp("bench"))) as url:
        yield url


@pytest.fixture
def bench(chromium: Browser, address: str) -> Iterator[Bench]:
    bench = Bench(chromium, address)
    yield bench
    bench.context.close()
    assert bench.faults == []
    assert bench.hosts == {address.removeprefix("http://")}


# ---- keys


def test_accepting_the_model_and_going_on_takes_two_keys(bench: Bench) -> None:
    bench.press("Shift+Enter", "Control+Enter")
    edits = bench.run("submits")
    assert len(edits) == 1
    assert edits[0]["submitted"] is True
    assert [(m["start_ms"], m["end_ms"], m["end_source"]) for m in edits[0]["moments"]] == [
        (2120, 4400, "model"),
        (9000, 10000, "model"),
    ]
    assert edits[0]["key_presses"] == 2


def test_what_the_model_gave_first_is_accepted_with_one_key(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=model-first")
    bench.press("Control+Enter")
    assert bench.run("submits.length") == 1
    bench.context.close()


def test_half_a_second_on_one_edge_and_going_on_takes_three_keys(bench: Bench) -> None:
    bench.press("]", "d", "Control+Enter")
    (edit,) = bench.run("submits")
    assert (edit["moments"][0]["end_ms"], edit["moments"][0]["end_source"]) == (4520, "hand")
    assert edit["key_presses"] == 3


def test_the_end_alone_from_the_model_is_one_key(bench: Bench) -> None:
    bench.press("2")
    assert bench.times()[0] == [2000, 4400]
    assert bench.sources()[0] == ["original", "model"]
    bench.press("4")
    assert bench.times()[0] == [2000, 4000]
    bench.press("1", "3")
    assert bench.commits() == ["takeEdge"] * 4


def test_edge_mode_is_the_slider_pattern(bench: Bench) -> None:
    bench.press("]")
    end = bench.edge(0, "end")
    expect(end).to_be_focused()
    assert bench.number() == 100
    for key, ms in (
        ("ArrowRight", 4040),
        ("ArrowLeft", 4000),
        ("Shift+ArrowRight", 5000),
        ("PageDown", 3000),
        ("PageUp", 5000),
        ("End", 6000),
        ("Home", 2040),
    ):
        bench.press(key)
        assert bench.times()[0][1] == ms, key
        assert bench.number() == ms * RATE / 1000, key
        expect(end).to_have_attribute("aria-valuenow", f"{ms / 1000:.2f}")
    expect(end).to_have_attribute("aria-valuetext", "2.04 seconds, frame 51, by hand")
    expect(end).to_have_attribute("aria-valuemin", "2.04")
    expect(end).to_have_attribute("aria-valuemax", "6.00")
    assert end.get_attribute("aria-controls") == bench.run("document.querySelector('.tl-video').id")
    bench.press("Escape")
    expect(bench.page.locator("[data-lane=ruler]")).to_be_focused()


def test_a_held_key_is_one_gesture(bench: Bench) -> None:
    bench.press("]")
    for _ in range(12):
        bench.page.keyboard.down("ArrowRight")
    assert bench.commits() == []
    bench.page.keyboard.up("ArrowRight")
    bench.settle()
    assert bench.times()[0][1] == 4480
    assert bench.commits() == ["nudgeEdge"]
    bench.press("Control+z")
    assert bench.times()[0][1] == 4000
    bench.press("Control+y")
    assert bench.times()[0][1] == 4480
    bench.press("Control+z", "Control+Shift+Z")
    assert bench.times()[0][1] == 4480


def test_the_playhead_has_its_own_keys(bench: Bench) -> None:
    assert bench.number() == 50  # the first moment's start
    for key, frame in (
        (".", 51),
        (",", 50),
        ("ArrowRight", 51),
        ("Shift+ArrowRight", 76),
        ("Shift+,", 51),
        ("PageDown", 101),
        ("PageUp", 51),
        ("l", 51),
        ("k", 51),
        ("End", 299),
        ("Home", 0),
    ):
        if key in "lk":
            continue
        bench.press(key)
        assert bench.number() == frame, key
    bench.press("ArrowDown")
    assert bench.number() == 150
    bench.press("ArrowDown", "ArrowUp")
    assert bench.number() == 50


def test_in_and_out_at_the_playhead(bench: Bench) -> None:
    bench.press(".", ".", "i")
    assert bench.times()[0] == [2080, 4000]
    bench.press("Shift+.", "o")
    assert bench.times()[0] == [2080, 3080]
    bench.press("Escape", "End", "o")  # nothing is selected: a new moment up to the end of the clip
    assert bench.times()[-1] == [10000, 12000]
    assert bench.sources()[-1] == ["hand", "hand"]


def test_in_beyond_the_end_takes_the_moment_along(bench: Bench) -> None:
    bench.press("ArrowDown", "ArrowDown", "Shift+.", "Shift+.", "Shift+.", "i")
    assert bench.times() == [[2000, 4000], [9000, 11000]]


def test_new_split_merge_delete_keep_the_focus(bench: Bench) -> None:
    bench.press("Shift+.", "b")
    assert bench.times()[:2] == [[2000, 3000], [3000, 4000]]
    bench.press("ArrowUp", "m")
    assert bench.times()[0] == [2000, 4000]
    bench.press("End", "PageUp", "n")
    assert bench.times()[-1] == [9960, 11960]
    bench.press("Delete")
    assert len(bench.times()) == 2
    assert bench.run("document.activeElement !== document.body") is True
    bench.press("Backspace", "Backspace")
    assert bench.times() == []
    assert bench.run("document.activeElement !== document.body") is True
    expect(bench.page.locator("[data-lane=mine]")).to_contain_text("press N, for a moment")
    bench.press("Control+Enter")
    assert bench.run("submits.length") == 0
    expect(bench.page.locator(".tl-says")).to_contain_text("no moment yet")


def test_the_models_moments_are_taken_or_rejected_one_by_one(bench: Bench) -> None:
    bench.press("v")
    expect(bench.page.locator(".tl-ghost").first).to_be_focused()
    bench.press("x")
    expect(bench.page.locator(".tl-ghost").first).to_have_class(re.compile("tl-rejected"))
    bench.press("ArrowDown", "Enter")
    assert bench.times() == [[2000, 4000], [6000, 8000], [9000, 10000]]
    assert bench.sources()[2] == ["model", "model"]
    assert bench.commits() == ["rejectModel", "acceptModel"]
    bench.press("Enter")  # the last of one's own: confirmed
    expect(bench.page.locator(".tl-says")).to_contain_text("That was the last moment")


def test_no_matching_moment_asks_why(bench: Bench) -> None:
    bench.press("0")
    dialog = bench.page.get_by_role("dialog", name="No matching moment: why?")
    expect(dialog).to_be_visible()
    bench.page.keyboard.press("3")
    expect(dialog).to_be_hidden()
    edit = bench.run("bench.editor.edit()")
    assert (edit["verdict"], edit["reason"], edit["moments"]) == ("no-moment", "query wrong", [])
    expect(bench.page.locator("[data-lane=mine]")).to_contain_text("No matching moment · query wrong")
    bench.press("Control+Enter")
    assert bench.run("submits[0].verdict") == "no-moment"
    bench.press("Control+z")
    assert len(bench.times()) == 2
    bench.press("0", "4")
    assert bench.run("bench.editor.edit().verdict") == "cannot-judge"


def test_comment_categories_flag_doubt_and_wording(bench: Bench) -> None:
    bench.press("q")
    bench.page.keyboard.type("gradual fade i o n")
    bench.page.get_by_label("a moment starts or ends at the wrong time").check()
    bench.page.keyboard.press("Control+Enter")
    bench.press("f", "[", "u", "u")
    bench.page.get_by_role("button", name="Propose a better wording").click()
    bench.page.get_by_label("Better wording", exact=True).fill("When is the disc bright orange?")
    bench.page.get_by_role("button", name="Save").last.click()
    edit = bench.run("bench.editor.edit()")
    assert (edit["note"], edit["flagged"], edit["categories"]) == (
        "gradual fade i o n",
        True,
        ["boundary-off"],
    )
    assert edit["edited_text"] == "When is the disc bright orange?"
    assert edit["moments"][0]["start_uncertainty_ms"] == 1000
    expect(bench.page.locator(".tl-query")).to_have_text("When is the disc bright orange?")
    expect(bench.page.locator(".tl-released")).to_have_text("Released as: When is the disc orange?")
    expect(bench.edge(0, "start")).to_have_attribute(
        "aria-valuetext", "2.00 seconds, frame 50, as in the original, uncertain by 1 second"
    )


def test_undo_survives_a_reload(bench: Bench) -> None:
    bench.press("]", "ArrowRight", "ArrowRight", "2", "f")
    bench.run("sessionStorage.setItem('history', JSON.stringify(bench.editor.history()))")
    bench.page.reload()
    bench.ready()
    assert bench.times()[0] == [2000, 4400]
    bench.press("Control+z", "Control+z", "Control+z", "Control+z")
    assert bench.times()[0] == [2000, 4000]
    assert bench.run("bench.editor.doc.flagged") is False
    bench.press("Control+y", "Control+y", "Control+y")
    assert bench.times()[0] == [2000, 4400]


@pytest.mark.parametrize(
    ("code", "key", "moment"),
    [
        ("BracketRight", "$", [2000, 4040]),  # AZERTY: the place of ] gives $
        ("Digit2", "é", [2000, 4400]),
        ("Semicolon", "m", [2000, 8000]),
    ],
)
def test_places_and_letters_work_on_azerty(bench: Bench, code: str, key: str, moment: list[int]) -> None:
    send = """([code, key]) => document.activeElement.dispatchEvent(
      new KeyboardEvent("keydown", { code, key, bubbles: true, cancelable: true }))"""
    bench.page.locator("[data-lane=ruler]").focus()
    bench.page.evaluate(send, [code, key])
    if code == "BracketRight":
        bench.press("ArrowRight")
    bench.settle()
    assert bench.times()[0] == moment


def test_keys_can_be_rebound_and_switched_off(bench: Bench) -> None:
    bench.press("?")
    sheet = bench.page.get_by_role("dialog", name="Keys and pointer")
    change = sheet.get_by_role("button", name="Work on the end: ]. Change")
    change.click()
    bench.page.keyboard.press("e")
    expect(sheet.get_by_role("button", name="Work on the end: E. Change")).to_be_focused()
    bench.page.keyboard.press("Escape")
    bench.press("]")
    assert bench.run("bench.editor.selection.edge") is None
    bench.press("e")
    assert bench.run("bench.editor.selection.edge") == "end"
    bench.page.reload()
    bench.ready()
    bench.press("e")
    assert bench.run("bench.editor.selection.edge") == "end"
    bench.press("Escape", "?")
    sheet.get_by_label("Single keys work").uncheck()
    bench.page.keyboard.press("Escape")
    bench.press("e", "2", "n")
    assert bench.commits() == []
    bench.press("Shift+Enter")
    assert bench.commits() == ["acceptAll"]


def test_typing_is_left_alone(bench: Bench) -> None:
    field = bench.page.get_by_label("End of moment 1, seconds")
    field.fill("4.49")
    field.press("Enter")
    bench.settle()
    assert bench.times()[0] == [2000, 4480]
    expect(bench.edge(0, "end")).to_be_focused()
    field.fill("4.6")
    bench.page.keyboard.press("2")
    field.press("Escape")
    assert bench.times()[0] == [2000, 4480]
    assert field.input_value() == "4.48"


# ---- pointer


def test_an_edge_is_dragged_and_the_picture_follows(bench: Bench) -> None:
    bench.drag(8.0, 8.84, drop=False)
    bench.page.wait_for_function("() => bench.editor.moments[1].end_ms === 8840")
    bench.settle()
    assert bench.number() == 221
    assert bench.commits() == []
    bench.page.mouse.up()
    bench.settle()
    assert bench.times()[1] == [6000, 8840]
    assert bench.commits() == ["setEdge"]
    expect(bench.edge(1, "end")).to_be_focused()


def test_escape_cancels_a_drag(bench: Bench) -> None:
    bench.drag(8.0, 9.3, drop=False)
    bench.page.keyboard.press("Escape")
    bench.page.mouse.move(*bench.x(9.9))
    bench.page.mouse.up()
    bench.settle()
    assert bench.times()[1] == [6000, 8000]
    assert bench.commits() == []


def test_the_zone_reaches_ten_pixels_and_the_selected_edge_wins(bench: Bench) -> None:
    px_s = bench.px_s()
    bench.drag(8.0 + 9 * px_s, 8.52 + 9 * px_s)
    assert bench.times()[1] == [6000, 8520]
    bench.drag(8.52 - 9 * px_s, 8.0 - 9 * px_s)
    assert bench.times()[1] == [6000, 8000]
    bench.press("ArrowUp", "]", "End")  # the first now touches the second, and is selected
    assert bench.times() == [[2000, 6000], [6000, 8000]]
    bench.drag(6.0 + 5 * px_s, 5.4 + 5 * px_s)
    assert bench.times() == [[2000, 5400], [6000, 8000]]


def test_snapping_says_to_what_and_alt_leaves_it(bench: Bench) -> None:
    px_s = bench.px_s()
    bench.drag(8.0, 7.0 + 6 * px_s, drop=False)
    chip = bench.page.locator(".tl-snap")
    expect(chip).to_have_text("Snapped to shot cut at 0:07.00")
    bench.page.mouse.up()
    bench.settle()
    assert (bench.times()[1], bench.sources()[1]) == ([6000, 7000], ["original", "snap"])
    expect(chip).to_have_text("Snap on · snapped to shot cut")
    expect(bench.edge(1, "end")).to_have_attribute(
        "aria-valuetext", "7.00 seconds, frame 175, snapped to shot cut"
    )
    bench.drag(7.0, 9.96, modifiers=("Alt",))
    assert (bench.times()[1][1], bench.sources()[1][1]) == (9960, "hand")
    bench.drag(9.96, 9.98)
    bench.drag(9.96, 9.90, drop=False)
    bench.page.mouse.move(*bench.x(9.97), steps=3)
    expect(chip).to_have_text("Snapped to the model’s edge at 0:10.00")
    bench.page.mouse.up()
    bench.settle()
    assert bench.sources()[1][1] == "model"
    bench.press("s")
    expect(chip).to_contain_text("Snap off")
    bench.drag(10.0, 7.04)
    assert bench.times()[1] == [6000, 7040]


def test_neighbours_stop_a_drag_and_shift_pushes_frame_by_frame(bench: Bench) -> None:
    bench.drag(4.0, 7.5)
    assert bench.times() == [[2000, 6000], [6000, 8000]]
    x, y = bench.x(6.0)
    bench.page.mouse.move(x, y)
    bench.press("ArrowUp")
    bench.page.mouse.down()
    bench.page.keyboard.down("Shift")
    bench.page.mouse.move(x + 10, y, steps=5)
    bench.page.mouse.up()
    bench.page.keyboard.up("Shift")
    bench.settle()
    assert bench.times() == [[2000, 6400], [6400, 8000]]  # ten pixels are ten frames
    bench.press("Control+z")
    assert bench.times() == [[2000, 6000], [6000, 8000]]


def test_dragging_in_the_empty_lane_makes_a_moment(bench: Bench) -> None:
    bench.drag(10.6, 11.4)
    assert bench.times()[2] == [10600, 11400]
    assert bench.commits() == ["newMoment"]
    expect(bench.page.locator(".tl-own.tl-selected .tl-tag")).to_contain_text("3")
    bench.drag(11.8, 11.0)  # back over the new one: it stops there
    assert bench.times()[3] == [11400, 11800]


def test_whole_moments_are_locked_until_unlocked(bench: Bench) -> None:
    bench.drag(3.0, 3.6)
    assert bench.times()[0] == [2000, 4000]
    bench.page.get_by_role("button", name="Whole moments locked").click()
    bench.drag(3.0, 3.6)
    assert bench.times()[0] == [2600, 4600]
    assert bench.commits() == ["slip"]


def test_a_drag_beyond_the_view_moves_it_along(bench: Bench) -> None:
    bench.run("(bench.state.view.show(1, 5), bench.state.touch('view'))")
    bench.settle()
    x, y = bench.x(4.0)
    right = bench.x(5.0)[0]
    bench.page.mouse.move(x, y)
    bench.page.mouse.down()
    bench.page.mouse.move(right + 12, y, steps=5)
    bench.page.wait_for_function("() => bench.editor.moments[0].end_ms >= 5800")
    bench.page.mouse.up()
    assert bench.run("bench.state.view.start_s") > 1.5


def test_clicks_select_seek_and_audition(bench: Bench) -> None:
    bench.page.mouse.click(*bench.x(7.02))
    bench.settle()
    assert bench.run("bench.editor.selection.id") == 2
    assert bench.number() == 175
    bench.page.mouse.click(*bench.x(4.0))
    bench.settle()
    assert bench.run("bench.editor.selection.edge") == "end"
    assert bench.number() == 100
    bench.page.mouse.click(*bench.x(5.2))
    bench.settle()
    assert bench.run("bench.editor.selection.id") is None
    bench.page.mouse.click(*bench.x(9.5, "model"))
    expect(bench.page.locator(".tl-ghost").nth(1)).to_be_focused()
    bench.page.mouse.dblclick(*bench.x(7.02))
    bench.page.wait_for_function("() => bench.player.range?.loop && bench.player.range.start_s === 6")
    bench.page.keyboard.press("Escape")
    bench.settle()
    assert bench.run("bench.player.playing") is False
    assert bench.commits() == []


# ---- playing


def test_auditions_loop_around_the_edge_and_within_the_moment(bench: Bench) -> None:
    bench.press("]")
    bench.page.keyboard.press("p")
    assert bench.run("[bench.player.range.start_s, bench.player.range.end_s]") == [3, 5]
    note = """() => { window.seen = []; const v = document.querySelector(".tl-video");
      const f = (_, m) => { seen.push(Math.round(m.mediaTime * 25)); v.requestVideoFrameCallback(f); };
      v.requestVideoFrameCallback(f); }"""
    bench.page.evaluate(note)
    bench.page.wait_for_function("() => seen.some((n, k) => k && n < seen[k - 1] - 10)", timeout=60_000)
    bench.page.keyboard.press("p")
    bench.settle()
    seen = bench.run("seen")
    assert min(seen) >= 75
    assert max(seen) <= 126
    bench.page.keyboard.press("Shift+P")
    assert bench.run("[bench.player.range.start_s, bench.player.range.end_s]") == [2, 4]
    bench.page.keyboard.press("Space")
    bench.settle()
    assert bench.run("bench.player.playing") is False


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
        const windows = m.likelyWindows(bench.editor.item, []);
        return m.reviewOrder(bench.editor.moments, 12000, windows).map((g) => [g.start_ms, g.p]); })()"""
    )
    assert [start for start, _ in order] == [4000, 8000, 0]


def test_shuttle_keys(bench: Bench) -> None:
    bench.page.keyboard.press("l")
    bench.page.wait_for_function("() => bench.player.playing")
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
    assert bench.run("bench.player.playing") is False


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


# ---- truth


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


# ---- everything else


@pytest.mark.parametrize("name", ["blind", "waiting", "refused", "empty"])
def test_every_kind_of_item_says_what_it_is(chromium: Browser, address: str, name: str) -> None:
    bench = Bench(chromium, address, f"item={name}")
    model = bench.page.locator("[data-lane=model]")
    original = bench.page.locator("[data-lane=original]")
    if name == "blind":
        expect(model).to_contain_text("Hidden until you submit")
        expect(original).to_contain_text("Hidden until you submit")
        assert bench.times() == []
        bench.press("2", "v", "Shift+Enter")
        expect(bench.page.locator(".tl-says")).to_contain_text("hidden until you submit")
        assert bench.commits() == []
    elif name == "waiting":
        expect(model).to_contain_text("not there yet")
        assert len(bench.times()) == 2
    elif name == "refused":
        expect(model).to_contain_text("No matching moment")
        bench.press("Shift+Enter", "Control+Enter")
        assert bench.run("submits[0].verdict") == "no-moment"
    else:
        expect(original).to_contain_text("No matching moment")
    assert bench.faults == []
    bench.context.close()


def test_words_of_strangers_are_shown_as_words(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=hostile")
    assert bench.page.locator(".tl-query").evaluate("(n) => n.textContent") == bench.run(
        "bench.editor.item.query"
    )
    assert bench.run("document.body.dataset.hit ?? null") is None
    assert bench.page.locator(".tl-root img").count() == 0
    bench.context.close()


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_targets_are_large_enough_and_nothing_overflows(chromium: Browser, address: str, width: int) -> None:
    bench = Bench(chromium, address)
    bench.page.set_viewport_size({"width": width, "height": 900})
    bench.press("]")
    assert bench.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    sizes = bench.page.evaluate(
        """() => [...document.querySelectorAll(".tl-root :is(button, select, input, [role=slider])")]
          .filter((node) => !node.closest("dialog") && !node.matches(".tl-ghost"))
          .map((node) => [node.className, node.getBoundingClientRect()]).filter(([, box]) => box.width)
          .map(([name, box]) => [name, Math.min(box.width, box.height)])"""
    )
    small = [entry for entry in sizes if entry[1] < 24]
    assert len(sizes) > 20
    assert small == []
    bench.context.close()


def test_fingers_trim_with_handles_and_pinch(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, has_touch=True, is_mobile=True)
    bench.page.set_viewport_size({"width": 390, "height": 844})
    bench.page.touchscreen.tap(*bench.x(3.0))
    bench.settle()
    handle = bench.page.locator(".tl-handle[data-edge=end]")
    expect(handle).to_be_visible()
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 44
    drag = """async ([x, y, by]) => {
      const at = document.elementFromPoint(x, y);
      const send = (type, px) => at.dispatchEvent(new PointerEvent(type, { pointerId: 5, pointerType: "touch",
        button: 0, clientX: px, clientY: y, bubbles: true, cancelable: true }));
      Element.prototype.setPointerCapture = () => {};
      send("pointerdown", x);
      for (let k = 1; k <= 8; k += 1) {
        send("pointermove", x + (by * k) / 8);
        await new Promise(requestAnimationFrame);
      }
      send("pointerup", x + by);
    }"""
    bench.page.evaluate(drag, [box["x"] + 22, box["y"] + 22, 30])
    bench.settle()
    assert bench.times()[0][1] > 4400
    bench.page.get_by_role("button", name="Undo").tap()
    bench.settle()
    assert bench.times()[0][1] == 4000
    for node in bench.page.locator(".tl-thumb").all():
        size = node.bounding_box()
        assert size is not None
        assert size["height"] >= 44
    bench.context.close()


def test_the_keyboard_alone_reaches_everything(bench: Bench) -> None:
    bench.run("document.querySelector('.tl-query-row button').focus()")
    seen: list[str] = []
    for _ in range(60):
        bench.page.keyboard.press("Tab")
        seen.append(
            bench.run(
                "`${document.activeElement.getAttribute('role') ?? document.activeElement.tagName}"
                ":${document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent}`"
            )
        )
        if seen[-1].startswith("BODY"):
            break
    said = "\n".join(seen)
    for part in (
        "slider:Playhead",
        "slider:Start of moment 1",
        "BUTTON:Model moment 1 of 2",
        "INPUT:End of moment 2",
    ):
        assert part in said, (part, said)
    assert (
        said.count("slider:Start of moment") + said.count("slider:End of moment") == 1
    )  # one stop for all edges


def test_review_shows_everybody(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=reviewed&mode=review")
    assert bench.page.locator(".tl-other").count() == 2
    bench.page.mouse.move(*bench.x(3.0, "other-2"))
    expect(bench.page.locator(".tl-tip")).to_contain_text("grace")
    bench.run("bench.editor.apply({ type: 'adopt', moments: bench.editor.item.others[1].moments })")
    assert bench.times() == [[2400, 4400]]
    bench.context.close()


def test_zoom_presets_go_round(bench: Bench) -> None:
    spans = []
    bench.press("]")
    for _ in range(3):
        bench.press("z")
        spans.append(
            bench.run(
                "[bench.state.view.start_s, bench.state.view.end_s].map((t) => Math.round(t * 10) / 10)"
            )
        )
    assert spans == [[1.8, 4.2], [2, 6], [0, 12]]


def test_moments_are_a_captions_track(bench: Bench) -> None:
    cues = "[...document.querySelector('.tl-video').textTracks[0].cues].map((c) => [c.startTime, c.endTime, c.text])"
    assert bench.run(cues) == [[2, 4, "Moment 1 of 2"], [6, 8, "Moment 2 of 2"]]
    bench.press("2")
    assert bench.run(cues)[0] == [2, 4.4, "Moment 1 of 2"]


def test_what_was_typed_counts_before_it_is_submitted(bench: Bench) -> None:
    bench.page.get_by_label("End of moment 2, seconds").fill("9.2")
    bench.press("Control+Enter")
    assert bench.run("submits[0].moments[1].end_ms") == 9200


def test_a_page_may_ask_why_itself_and_hears_where_to_go(bench: Bench) -> None:
    bench.run(
        """(() => { window.heard = [];
        document.addEventListener("tl-ask", (event) => (event.preventDefault(), heard.push(event.type)));
        for (const name of ["tl-previous", "tl-skip"])
          document.addEventListener(name, (event) => heard.push(event.type)); })()"""
    )
    bench.press("0", "Control+Shift+Enter")
    bench.run("bench.skip()")
    assert bench.run("heard") == ["tl-ask", "tl-previous", "tl-skip"]
    expect(bench.page.get_by_role("dialog")).to_have_count(0)


def test_an_item_can_be_closed(bench: Bench) -> None:
    bench.run("bench.load(null)")
    bench.settle_nothing()
    bench.page.keyboard.press("n")
    bench.run("bench.actions.add()")
    assert bench.times() == []
    assert bench.page.locator(".tl-own").count() == 0
    assert bench.commits() == []


def test_the_buttons_under_the_picture_do_what_they_say(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=unanswered")
    bench.page.get_by_role("button", name="Next moment (Down)").click()
    bench.settle()
    assert (bench.run("bench.editor.selection.id"), bench.number()) == (2, 150)
    bench.page.get_by_role("button", name="Previous moment (Up)").click()
    bench.settle()
    assert (bench.run("bench.editor.selection.id"), bench.number()) == (1, 50)
    bench.page.get_by_role("button", name="Fit the whole clip (Z goes round)").click()
    bench.run("bench.focusTimeline()")
    rate = bench.page.get_by_label("Playback speed")
    for keys, speed in (("ll", "1.5"), ("j", "1"), ("jj", "0.25"), ("kg", "2")):
        for key in keys:
            bench.page.keyboard.press(key)
        expect(rate).to_have_value(speed)
    bench.context.close()


def test_a_loop_goes_on_around_the_edge_that_moves(bench: Bench) -> None:
    around = "[bench.player.range?.start_s, bench.player.range?.end_s, bench.player.range?.loop]"
    bench.press("]")
    bench.page.keyboard.press("p")
    bench.page.wait_for_function("() => bench.player.playing")
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
    bench.page.wait_for_function("() => bench.player.playing")
    bench.page.keyboard.press("Shift+P")  # stops what loops
    bench.settle()
    assert bench.run("bench.player.playing") is False
    bench.page.keyboard.press("Shift+P")
    bench.page.keyboard.press("ArrowRight")
    assert bench.run(around) == [2.04, 5.56, True]
    bench.page.keyboard.press("Escape")
    bench.settle()


def test_a_seek_leaves_a_loop_and_stands_and_stays_in_the_gap_under_review(bench: Bench) -> None:
    bench.press("]")
    bench.page.keyboard.press("p")
    bench.page.wait_for_function("() => bench.player.playing")
    bench.page.mouse.click(*bench.x(10.0, "original"))
    bench.settle()
    assert bench.number() == 250
    assert bench.run("[bench.player.playing, bench.player.range]") == [False, None]
    bench.page.keyboard.press("g")  # 4 to 6 s
    bench.page.wait_for_function("() => bench.player.playing")
    bench.page.mouse.click(*bench.x(5.0, "original"))
    assert bench.run("[bench.player.range.start_s, bench.player.range.end_s]") == [
        pytest.approx(5, abs=0.02),
        6,
    ]
    assert bench.run("bench.transport.reviewing") is True
    bench.page.mouse.click(*bench.x(11.0, "original"))
    assert bench.run("[bench.transport.reviewing, bench.player.playing]") == [False, False]


def test_the_edge_that_lost_stays_as_a_tick_and_says_whose_it_is(bench: Bench) -> None:
    ticks = bench.page.locator("[data-lane=mine] .tl-lost")
    says = "bench.lanes.find((l) => l.id === 'mine').says(bench.state, %s)"
    expect(ticks).to_have_count(2)  # of the model, which starts and ends later
    bench.press("2")
    assert [tick.get_attribute("data-source") for tick in ticks.all()] == ["original", "model"]
    box = ticks.first.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] / 2 == pytest.approx(bench.x(4.0)[0], abs=1)
    assert "The original’s end: 0:04.00" in bench.run(says % 4.0)
    assert "The model’s start: 0:02.12" in bench.run(says % 2.12)
    bench.press("1", "ArrowDown")  # the second moment is the original's, and the model has none there
    expect(ticks).to_have_count(0)
    bench.page.mouse.move(*bench.x(9.5, "model"))
    expect(bench.page.locator(".tl-tip")).to_contain_text("confidence 41 %")


@pytest.mark.parametrize("name", ["refused-model-first", "empty"])
def test_agreeing_that_nothing_matches_is_one_key(chromium: Browser, address: str, name: str) -> None:
    bench = Bench(chromium, address, f"item={name}")
    expect(bench.page.locator("[data-lane=mine]")).to_contain_text("No matching moment · event absent")
    bench.press("Control+Enter")
    (edit,) = bench.run("submits")
    assert (edit["verdict"], edit["reason"], edit["moments"]) == ("no-moment", "event absent", [])
    bench.press("n")
    assert len(bench.times()) == 1
    bench.context.close()


def test_reviewers_snap_to_other_peoples_edges(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=reviewed&mode=review")
    bench.drag(4.0, 4.4 + 3 * bench.px_s(), drop=False)
    expect(bench.page.locator(".tl-snap")).to_have_text("Snapped to the model’s edge at 0:04.40")
    bench.page.mouse.move(*bench.x(2.5), steps=6)
    bench.page.mouse.up()
    bench.settle()
    bench.drag(2.0, 2.4 + 3 * bench.px_s(), drop=False)
    expect(bench.page.locator(".tl-snap")).to_have_text("Snapped to grace’s edge at 0:02.40")
    bench.page.mouse.up()
    bench.settle()
    assert bench.sources()[0][0] == "snap"
    expect(bench.edge(0, "start")).to_have_attribute(
        "aria-valuetext", "2.40 seconds, frame 60, snapped to grace’s edge"
    )
    bench.context.close()


def test_nothing_moves_on_the_page_when_the_proposal_comes(chromium: Browser, address: str) -> None:
    bench = Bench(chromium, address, "item=coming")
    late = "(([model, frames]) => (bench.update({ ...bench.state.value, frames }), bench.setModel(model)))"
    given = bench.page.evaluate(
        """async () => { const { edit, frames } = await (await fetch("/items/ready")).json();
        return [edit.model, frames]; }"""
    )
    tops = """[...document.querySelectorAll(".tl-lane:not([hidden])")]
      .map((row) => [row.dataset.row, row.getBoundingClientRect().top])"""
    before = bench.run(tops)
    expect(bench.page.locator("[data-row=tokens] .tl-note")).to_have_text("not there yet")
    bench.press("]")
    bench.page.evaluate(late, given)
    bench.settle()
    assert bench.run(tops) == before
    assert bench.times() == [[2000, 4000], [6000, 8000]]
    expect(bench.page.locator(".tl-says")).to_have_text(
        "The model has answered: Shift + Enter takes its moments."
    )
    expect(bench.page.locator("[data-row=tokens] .tl-note")).to_contain_text("0 to")
    bench.press("d")
    assert bench.times()[0] == [2000, 4520]
    bench.context.close()
