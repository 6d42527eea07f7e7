"""Editing with the keyboard alone, in Chromium, on a clip whose pictures carry their number."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.app.edit_bench import Bench
from tests.app.timeline_harness import RATE

pytestmark = pytest.mark.browser

expect.set_options(timeout=15_000)  # a busy machine is slow, not wrong


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
    edit = bench.run("view.editor.edit()")
    assert (edit["verdict"], edit["reason"], edit["moments"]) == ("no-moment", "query wrong", [])
    expect(bench.page.locator("[data-lane=mine]")).to_contain_text("No matching moment · query wrong")
    bench.press("Control+Enter")
    assert bench.run("submits[0].verdict") == "no-moment"
    bench.press("Control+z")
    assert len(bench.times()) == 2
    bench.press("0", "4")
    assert bench.run("view.editor.edit().verdict") == "cannot-judge"


def test_comment_categories_flag_doubt_and_wording(bench: Bench) -> None:
    bench.press("q")
    bench.page.keyboard.type("gradual fade i o n")
    bench.page.get_by_label("a moment starts or ends at the wrong time").check()
    bench.page.keyboard.press("Control+Enter")
    bench.press("f", "[", "u", "u")
    bench.page.get_by_role("button", name="Propose a better wording").click()
    bench.page.get_by_label("Better wording", exact=True).fill("When is the disc bright orange?")
    bench.page.get_by_role("button", name="Save").last.click()
    edit = bench.run("view.editor.edit()")
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
    bench.run("sessionStorage.setItem('history', JSON.stringify(view.editor.history()))")
    bench.page.reload()
    bench.ready()
    assert bench.times()[0] == [2000, 4400]
    bench.press("Control+z", "Control+z", "Control+z", "Control+z")
    assert bench.times()[0] == [2000, 4000]
    assert bench.run("view.editor.doc.flagged") is False
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
    assert bench.run("view.editor.selection.edge") is None
    bench.press("e")
    assert bench.run("view.editor.selection.edge") == "end"
    bench.page.reload()
    bench.ready()
    bench.press("e")
    assert bench.run("view.editor.selection.edge") == "end"
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


def test_zoom_presets_go_round(bench: Bench) -> None:
    spans = []
    bench.press("]")
    for _ in range(3):
        bench.press("z")
        spans.append(
            bench.run(
                "[view.state.viewport.start_s, view.state.viewport.end_s].map((t) => Math.round(t * 10) / 10)"
            )
        )
    assert spans == [[1.8, 4.2], [2, 6], [0, 12]]


def test_what_was_typed_counts_before_it_is_submitted(bench: Bench) -> None:
    bench.page.get_by_label("End of moment 2, seconds").fill("9.2")
    bench.press("Control+Enter")
    assert bench.run("submits[0].moments[1].end_ms") == 9200


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
