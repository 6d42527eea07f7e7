"""Editing with the keyboard alone, in Chromium, on a clip whose pictures carry their number."""

import re

import pytest
from playwright.sync_api import expect

from tests.app.timeline.editor_page import EditorPage
from tests.app.timeline.harness import RATE

pytestmark = pytest.mark.browser


def test_accepting_the_model_and_going_on_takes_two_keys(editor: EditorPage) -> None:
    editor.press("Shift+Enter", "Control+Enter")
    edits = editor.run("submits")
    assert len(edits) == 1
    assert edits[0]["submitted"] is True
    assert [(m["start_ms"], m["end_ms"], m["end_source"]) for m in edits[0]["moments"]] == [
        (2120, 4400, "model"),
        (9000, 10000, "model"),
    ]
    assert edits[0]["key_presses"] == 2


def test_what_the_model_gave_first_is_accepted_with_one_key(editor: EditorPage) -> None:
    editor.open("item=model-first")
    editor.press("Control+Enter")
    assert editor.run("submits.length") == 1


def test_half_a_second_on_one_edge_and_going_on_takes_three_keys(editor: EditorPage) -> None:
    editor.press("]", "d", "Control+Enter")
    (edit,) = editor.run("submits")
    assert (edit["moments"][0]["end_ms"], edit["moments"][0]["end_source"]) == (4520, "hand")
    assert edit["key_presses"] == 3


def test_the_end_alone_from_the_model_is_one_key(editor: EditorPage) -> None:
    editor.press("2")
    assert editor.times()[0] == [2000, 4400]
    assert editor.sources()[0] == ["original", "model"]
    editor.press("4")
    assert editor.times()[0] == [2000, 4000]
    editor.press("1", "3")
    assert editor.commits() == ["takeEdge"] * 4


def test_edge_mode_is_the_slider_pattern(editor: EditorPage) -> None:
    editor.press("]")
    end = editor.edge(0, "end")
    expect(end).to_be_focused()
    assert editor.number() == 100
    for key, ms in (
        ("ArrowRight", 4040),
        ("ArrowLeft", 4000),
        ("Shift+ArrowRight", 5000),
        ("Shift+A", 4840),
        ("Shift+D", 5000),
        ("PageUp", 3000),
        ("PageDown", 5000),
        ("End", 6000),
        ("Home", 2040),
    ):
        editor.press(key)
        assert editor.times()[0][1] == ms, key
        assert editor.number() == ms * RATE / 1000, key
        expect(end).to_have_attribute("aria-valuenow", f"{ms / 1000:.2f}")
    expect(end).to_have_attribute("aria-valuetext", "2.04 seconds, frame 51, by hand")
    expect(end).to_have_attribute("aria-valuemin", "2.04")
    expect(end).to_have_attribute("aria-valuemax", "6.00")
    assert end.get_attribute("aria-controls") == editor.run("document.querySelector('.tl-video').id")
    editor.press("Escape")
    expect(editor.page.locator("[data-lane=ruler]")).to_be_focused()


def test_shot_changes_and_edges_of_any_lane_are_a_key_away(editor: EditorPage) -> None:
    editor.open()
    frames = []
    for key in ("Home", "c", "c", "c", "Shift+C", "Home", "e", "e", "e", "Shift+E"):
        editor.press(key)
        frames.append(editor.run("view.state.frame_idx") * 1000 / RATE)
    # Shot changes at 3.96 and 7 s, and none after; edges at 2, 2.12, 4 s of the original and the model.
    assert frames == [0, 3960, 7000, 7000, 3960, 0, 2000, 2120, 4000, 2120]
    editor.press("[", "c")
    assert editor.times()[0] == [3960, 4000]
    assert editor.sources()[0] == ["snap", "original"]
    editor.press("Shift+E")
    assert editor.times()[0] == [2120, 4000]
    assert editor.sources()[0] == ["model", "original"]
    editor.press("]", "e")
    assert editor.times()[0] == [2120, 4400]


def test_the_models_other_places_come_by_probability(editor: EditorPage) -> None:
    editor.press("h")
    first = editor.run("view.state.playhead_s")
    editor.press("h")
    second = editor.run("view.state.playhead_s")
    windows = editor.run("view.state.value.ranked.map((w) => [w.start_s, w.end_s, w.score])")
    own = [(start_ms / 1000, end_ms / 1000) for start_ms, end_ms in editor.times()]
    proposed = [[9.0, 10.0, 0.41]]
    free = [w for w in [*proposed, *windows] if all(w[1] <= start or w[0] >= end for start, end in own)]
    apart: list[list[float]] = []
    for window in sorted(free, key=lambda w: -w[2]):
        if all(window[1] <= other[0] or window[0] >= other[1] for other in apart):
            apart.append(window)
    assert [first, second] == [apart[0][0], apart[1 % len(apart)][0]]
    editor.open("item=blind")
    editor.press("h")
    expect(editor.said).to_have_text("The model’s moments are hidden until you submit.")


def test_the_last_corrections_offset_is_repeated_on_any_edge(editor: EditorPage) -> None:
    editor.press("[", "r")
    expect(editor.said).to_have_text("No edge was moved yet.")
    editor.press("ArrowRight", "ArrowRight", "]", "d", "[", "r")
    assert editor.times()[0] == [2600, 4520]
    editor.press("Control+z", "ArrowDown", "[", "r")
    assert editor.times()[1] == [6520, 8000]
    # Keys on one edge are one correction, however many they are; repeating is none of its own.
    before = editor.times()
    editor.press("]", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowUp", "[", "r", "r")
    assert editor.times() == [[before[0][0] - 240, before[0][1]], [before[1][0], before[1][1] - 120]]


def test_accepting_all_and_going_on_begins_the_next_row_with_a_loop(editor: EditorPage) -> None:
    editor.press("Alt+Enter")
    assert editor.run("submits.length") == 1
    assert editor.run("submits[0].moments.map((m) => m.start_ms)") == [2120, 9000]
    editor.page.evaluate(
        """async () => { view.auditioning = true; // what a page does when it takes the submission
        view.load(await (await fetch("/items/unreasoned")).json()); }"""
    )
    editor.page.wait_for_function("() => view.player.range?.loop && view.player.going")
    assert editor.run("[view.player.range.start_s, view.player.range.end_s]") == [2, 4]
    editor.press("Escape")


LOAD_NEXT = """async (loops) => { view.auditioning = view.loopsRows = loops; // what a page does at the submission
  view.load(await (await fetch("/items/unreasoned")).json());
  return [view.editor.selection.edge ?? null, view.player.time_s, view.player.range]; }"""


@pytest.mark.parametrize(("key", "edge", "times_s"), [("[", "start", [1, 3]), ("]", "end", [3, 5])])
def test_the_next_row_is_looped_as_the_last_one_was(
    editor: EditorPage, key: str, edge: str, times_s: list[int]
) -> None:
    editor.page.keyboard.press(key)
    editor.page.keyboard.press("p")
    opening = editor.page.evaluate(LOAD_NEXT, True)
    assert opening[:2] == [edge, times_s[0]], "the edge is active, and the first picture is the loop's"
    assert [opening[2]["start_s"], opening[2]["end_s"], opening[2]["loop"]] == [*times_s, True]
    expect(editor.edge(0, edge)).to_be_focused()
    editor.page.wait_for_function("() => view.player.playing")
    editor.page.keyboard.press("Shift+ArrowRight")
    assert editor.times()[0] == ([3000, 4000] if edge == "start" else [2000, 5000])
    editor.page.keyboard.press("Escape")
    editor.page.keyboard.press("Shift+P")
    edge_now, time_s, _ = editor.page.evaluate(LOAD_NEXT, True)
    assert [edge_now, time_s] == [None, 2], "a loop around the moment leaves no edge active"
    editor.press("Escape")


def test_a_row_that_is_opened_for_no_loop_opens_at_its_start_with_no_edge_active(editor: EditorPage) -> None:
    editor.page.keyboard.press("]")
    editor.page.keyboard.press("p")
    assert editor.page.evaluate(LOAD_NEXT, False) == [None, 2, None]


def test_speed_zoom_and_sound_stay_from_row_to_row(editor: EditorPage) -> None:
    assert editor.run("view.player.video.muted") is True
    editor.page.get_by_label("Playback speed").select_option("2")
    editor.press("Shift+M", "Shift+ArrowDown", "Shift+ArrowDown", "]", "z", "z")
    span_s = editor.run("view.state.viewport.span_s")
    assert span_s < 12
    editor.page.evaluate("async () => view.load(await (await fetch('/items/numbered')).json())")
    editor.ready()
    editor.page.evaluate("async () => view.load(await (await fetch('/items/ready')).json())")
    editor.ready()
    rate, muted, volume = editor.run(
        "(({ video }) => [video.playbackRate, video.muted, video.volume])(view.player)"
    )
    assert [rate, muted, round(volume, 1)] == [2, False, 0.8]
    assert editor.run("view.state.viewport.span_s") == span_s  # the short clip between them was all in view
    editor.page.evaluate("() => openItem('')")
    editor.ready()
    assert editor.run("[view.player.video.muted, view.player.video.volume]") == [False, 0.8]


def test_times_are_typed_and_shown_on_a_clock_or_in_seconds(editor: EditorPage) -> None:
    field = editor.page.get_by_label("End of moment 1, time")
    for text, ms in (("0:04,4", 4400), ("4.2", 4200), ("0:00:05", 5000), ("0:4:5:6", 5000), ("later", 5000)):
        field.fill(text)
        field.press("Enter")
        assert editor.times()[0] == [2000, ms], text
    expect(editor.said).to_have_text("“later” is no time. Type it as 11:00.5 or as 660.5.")
    field.press("ArrowUp")
    expect(field).to_have_value("0:05.04")
    editor.press("Escape", "t")
    expect(field).to_have_value("5.04")
    expect(editor.page.locator(".tl-time")).to_contain_text(" / 12.00")
    editor.page.evaluate("() => openItem('')")
    editor.ready()
    expect(editor.page.get_by_label("End of moment 1, time")).to_have_value("4.00")
    editor.press("?")
    editor.page.get_by_label("Times in seconds").uncheck()
    editor.page.keyboard.press("Escape")
    expect(editor.page.get_by_label("End of moment 1, time")).to_have_value("0:04.00")


def test_a_held_key_is_one_gesture(editor: EditorPage) -> None:
    editor.press("]")
    for _ in range(12):
        editor.page.keyboard.down("ArrowRight")
    assert editor.commits() == []
    editor.page.keyboard.up("ArrowRight")
    editor.settle()
    assert editor.times()[0][1] == 4480
    assert editor.commits() == ["nudgeEdge"]
    editor.press("Control+z")
    assert editor.times()[0][1] == 4000
    editor.press("Control+y")
    assert editor.times()[0][1] == 4480
    editor.press("Control+z", "Control+Shift+Z")
    assert editor.times()[0][1] == 4480


def test_four_frames_are_one_key_which_is_held_undone_limited_and_repeated_as_others(
    editor: EditorPage,
) -> None:
    editor.press("]")
    editor.page.keyboard.down("Shift")
    for _ in range(3):
        editor.page.keyboard.down("D")
    assert editor.commits() == []
    editor.page.keyboard.up("D")
    editor.page.keyboard.up("Shift")
    editor.settle()
    assert (editor.times()[0], editor.commits()) == ([2000, 4480], ["nudgeEdge"])
    editor.press("[", "r")
    assert editor.times()[0] == [2480, 4480]
    editor.press("Control+z", "Control+z")
    assert editor.times()[0] == [2000, 4000]
    editor.press("[", "Home", "ArrowRight", "ArrowRight", "Shift+A")
    assert editor.times()[0] == [0, 4000]
    expect(editor.said).to_contain_text("0.00 seconds")
    editor.press("Shift+A")
    expect(editor.said).to_have_text("The edge cannot go further.")
    editor.press("Escape", "Shift+D")
    assert editor.times()[0] == [0, 4000]


def test_the_playhead_has_its_own_keys(editor: EditorPage) -> None:
    assert editor.number() == 50  # the first moment's start
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
        editor.press(key)
        assert editor.number() == frame, key
    editor.press("ArrowDown")
    assert editor.number() == 150
    editor.press("ArrowDown", "ArrowUp")
    assert editor.number() == 50


def test_in_and_out_at_the_playhead(editor: EditorPage) -> None:
    editor.press(".", ".", "i")
    assert editor.times()[0] == [2080, 4000]
    editor.press("Shift+.", "o")
    assert editor.times()[0] == [2080, 3080]
    editor.press("Escape", "End", "o")  # nothing is selected: a new moment up to the end of the clip
    assert editor.times()[-1] == [10000, 12000]
    assert editor.sources()[-1] == ["hand", "hand"]


def test_in_beyond_the_end_takes_the_moment_along(editor: EditorPage) -> None:
    editor.press("ArrowDown", "ArrowDown", "Shift+.", "Shift+.", "Shift+.", "i")
    assert editor.times() == [[2000, 4000], [9000, 11000]]


def test_new_split_merge_delete_keep_the_focus(editor: EditorPage) -> None:
    editor.press("Shift+.")
    assert editor.run("view.playhead_ms") == 3000
    editor.press("b")
    assert editor.times()[:2] == [[2000, 3000], [3000, 4000]]
    editor.press("ArrowUp", "m")
    assert editor.times()[0] == [2000, 4000]
    editor.press("End", "PageUp", "n")
    assert editor.times()[-1] == [9960, 11960]
    editor.press("Delete")
    assert len(editor.times()) == 2
    assert editor.run("document.activeElement !== document.body") is True
    editor.press("Backspace", "Backspace")
    assert editor.times() == []
    assert editor.run("document.activeElement !== document.body") is True
    expect(editor.page.locator("[data-lane=mine]")).to_contain_text("press N, for a moment")
    editor.press("Control+Enter")
    assert editor.run("submits.length") == 0
    expect(editor.said).to_contain_text("no moment yet")


def test_the_models_moments_are_taken_or_rejected_one_by_one(editor: EditorPage) -> None:
    editor.press("v")
    expect(editor.page.locator(".tl-ghost").first).to_be_focused()
    editor.press("x")
    expect(editor.page.locator(".tl-ghost").first).to_have_class(re.compile("tl-rejected"))
    editor.press("ArrowDown", "Enter")
    assert editor.times() == [[2000, 4000], [6000, 8000], [9000, 10000]]
    assert editor.sources()[2] == ["model", "model"]
    assert editor.commits() == ["rejectModel", "acceptModel"]
    editor.press("Enter")  # the last of one's own: confirmed
    expect(editor.said).to_contain_text("That was the last moment")


def test_no_matching_moment_asks_why(editor: EditorPage) -> None:
    editor.press("0")
    dialog = editor.page.get_by_role("dialog", name="No matching moment: why?")
    expect(dialog).to_be_visible()
    editor.page.keyboard.press("3")
    expect(dialog).to_be_hidden()
    edit = editor.run("view.editor.edit()")
    assert (edit["verdict"], edit["reason"], edit["moments"]) == ("no-moment", "query wrong", [])
    expect(editor.page.locator("[data-lane=mine]")).to_contain_text("No matching moment · query wrong")
    editor.press("Control+Enter")
    assert editor.run("submits[0].verdict") == "no-moment"
    editor.press("Control+z")
    assert len(editor.times()) == 2
    editor.press("0", "4")
    assert editor.run("view.editor.edit().verdict") == "cannot-judge"


def test_comment_categories_flag_doubt_and_wording(editor: EditorPage) -> None:
    editor.press("q")
    editor.page.keyboard.type("gradual fade i o n")
    editor.page.get_by_label("a moment starts or ends at the wrong time").check()
    editor.page.keyboard.press("Control+Enter")
    editor.press("f", "[", "u", "u")
    editor.page.get_by_role("button", name="Propose a better wording").click()
    editor.page.get_by_label("Better wording", exact=True).fill("When is the disc bright orange?")
    editor.page.get_by_role("button", name="Save").last.click()
    edit = editor.run("view.editor.edit()")
    assert (edit["note"], edit["flagged"], edit["categories"]) == (
        "gradual fade i o n",
        True,
        ["boundary-off"],
    )
    assert edit["edited_text"] == "When is the disc bright orange?"
    assert edit["moments"][0]["start_uncertainty_ms"] == 1000
    expect(editor.page.locator(".tl-query")).to_have_text("When is the disc bright orange?")
    expect(editor.page.locator(".tl-released")).to_have_text("Released as: When is the disc orange?")
    expect(editor.edge(0, "start")).to_have_attribute(
        "aria-valuetext", "2.00 seconds, frame 50, as in the original, uncertain by 1 second"
    )


def test_undo_survives_a_reload(editor: EditorPage) -> None:
    editor.press("]", "ArrowRight", "ArrowRight", "2", "f")
    editor.run("sessionStorage.setItem('history', JSON.stringify(view.editor.history()))")
    editor.page.reload()
    editor.ready()
    assert editor.times()[0] == [2000, 4400]
    editor.press("Control+z", "Control+z", "Control+z", "Control+z")
    assert editor.times()[0] == [2000, 4000]
    assert editor.run("view.editor.doc.flagged") is False
    editor.press("Control+y", "Control+y", "Control+y")
    assert editor.times()[0] == [2000, 4400]


@pytest.mark.parametrize(
    ("code", "key", "moment"),
    [
        ("BracketRight", "$", [2000, 4040]),  # AZERTY: the place of ] gives $
        ("Digit2", "é", [2000, 4400]),
        ("Semicolon", "m", [2000, 8000]),
    ],
)
def test_places_and_letters_work_on_azerty(
    editor: EditorPage, code: str, key: str, moment: list[int]
) -> None:
    send = """([code, key]) => document.activeElement.dispatchEvent(
      new KeyboardEvent("keydown", { code, key, bubbles: true, cancelable: true }))"""
    editor.page.locator("[data-lane=ruler]").focus()
    editor.page.evaluate(send, [code, key])
    if code == "BracketRight":
        editor.press("ArrowRight")
    editor.settle()
    assert editor.times()[0] == moment


def test_keys_can_be_rebound_and_switched_off(editor: EditorPage) -> None:
    editor.press("?")
    sheet = editor.page.get_by_role("dialog", name="Keys and pointer")
    change = sheet.get_by_role("button", name="Work on the end; a loop goes to it: ]. Change")
    change.click()
    editor.page.keyboard.press("e")
    expect(sheet.get_by_role("button", name="Work on the end; a loop goes to it: E. Change")).to_be_focused()
    editor.page.keyboard.press("Escape")
    editor.press("]")
    assert editor.run("view.editor.selection.edge") is None
    editor.press("e")
    assert editor.run("view.editor.selection.edge") == "end"
    editor.page.reload()
    editor.ready()
    editor.press("e")
    assert editor.run("view.editor.selection.edge") == "end"
    editor.press("Escape", "?")
    sheet.get_by_label("Single keys work").uncheck()
    editor.page.keyboard.press("Escape")
    editor.press("e", "2", "n")
    assert editor.commits() == []
    editor.press("Shift+Enter")
    assert editor.commits() == ["acceptAll"]


def test_typing_is_left_alone(editor: EditorPage) -> None:
    field = editor.page.get_by_label("End of moment 1, time")
    field.fill("4.49")
    field.press("Enter")
    editor.settle()
    assert editor.times()[0] == [2000, 4480]
    expect(editor.edge(0, "end")).to_be_focused()
    field.fill("4.6")
    editor.page.keyboard.press("2")
    field.press("Escape")
    assert editor.times()[0] == [2000, 4480]
    assert field.input_value() == "0:04.48"


def test_the_keyboard_alone_reaches_everything(editor: EditorPage) -> None:
    editor.run("document.querySelector('.tl-query-row button').focus()")
    focused: list[str] = []
    for _ in range(60):
        editor.page.keyboard.press("Tab")
        focused.append(
            editor.run(
                "`${document.activeElement.getAttribute('role') ?? document.activeElement.tagName}"
                ":${document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent}`"
            )
        )
        if focused[-1].startswith("BODY"):
            break
    stops_text = "\n".join(focused)
    for part in (
        "slider:Playhead",
        "slider:Start of moment 1",
        "BUTTON:Model moment 1 of 2",
        "INPUT:End of moment 2",
    ):
        assert part in stops_text, (part, stops_text)
    assert (
        stops_text.count("slider:Start of moment") + stops_text.count("slider:End of moment") == 1
    )  # one stop for all edges


def test_zoom_presets_go_round(editor: EditorPage) -> None:
    spans = []
    editor.press("]")
    for _ in range(3):
        editor.press("z")
        spans.append(
            editor.run(
                "[view.state.viewport.start_s, view.state.viewport.end_s].map((t) => Math.round(t * 10) / 10)"
            )
        )
    assert spans == [[1.8, 4.2], [2, 6], [0, 12]]


def test_what_was_typed_counts_before_it_is_submitted(editor: EditorPage) -> None:
    editor.page.get_by_label("End of moment 2, time").fill("9.2")
    editor.press("Control+Enter")
    assert editor.run("submits[0].moments[1].end_ms") == 9200


def test_an_absent_event_is_said_by_one_key_without_the_list_of_reasons(editor: EditorPage) -> None:
    editor.press("Alt+Digit0")
    expect(editor.page.locator("[data-lane=mine]")).to_contain_text("No matching moment · event absent")
    assert editor.page.locator("dialog[open]").count() == 0
    editor.press("Control+z")
    assert len(editor.times()) == 2
    editor.press("Alt+Digit0", "Alt+Shift+Enter")
    (edit,) = editor.run("submits")
    assert (edit["verdict"], edit["reason"], edit["moments"]) == ("no-moment", "event absent", [])


@pytest.mark.parametrize("name", ["refused-model-first", "empty"])
def test_agreeing_that_nothing_matches_is_one_key(editor: EditorPage, name: str) -> None:
    editor.open(f"item={name}")
    expect(editor.page.locator("[data-lane=mine]")).to_contain_text("No matching moment · event absent")
    editor.press("Control+Enter")
    (edit,) = editor.run("submits")
    assert (edit["verdict"], edit["reason"], edit["moments"]) == ("no-moment", "event absent", [])
    editor.press("n")
    assert len(editor.times()) == 1
