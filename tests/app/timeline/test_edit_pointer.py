"""Editing with a mouse, a pen or fingers: edges, zones, snapping, and what the pointer meets."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.app.timeline.editor_page import EditorPage

pytestmark = pytest.mark.browser


def test_an_edge_is_dragged_and_the_picture_follows(editor: EditorPage) -> None:
    editor.drag(8.0, 8.84, drop=False)
    editor.page.wait_for_function("() => view.editor.moments[1].end_ms === 8840")
    editor.settle()
    assert editor.number() == 221
    assert editor.commits() == []
    editor.page.mouse.up()
    editor.settle()
    assert editor.times()[1] == [6000, 8840]
    assert editor.commits() == ["setEdge"]
    expect(editor.edge(1, "end")).to_be_focused()


def test_escape_cancels_a_drag(editor: EditorPage) -> None:
    editor.drag(8.0, 9.3, drop=False)
    editor.page.keyboard.press("Escape")
    editor.page.mouse.move(*editor.x(9.9))
    editor.page.mouse.up()
    editor.settle()
    assert editor.times()[1] == [6000, 8000]
    assert editor.commits() == []


def test_the_zone_reaches_ten_pixels_and_the_selected_edge_wins(editor: EditorPage) -> None:
    px_s = editor.px_s()
    editor.drag(8.0 + 9 * px_s, 8.52 + 9 * px_s)
    assert editor.times()[1] == [6000, 8520]
    editor.drag(8.52 - 9 * px_s, 8.0 - 9 * px_s)
    assert editor.times()[1] == [6000, 8000]
    editor.press("ArrowUp", "]", "End")  # the first now touches the second, and is selected
    assert editor.times() == [[2000, 6000], [6000, 8000]]
    editor.drag(6.0 + 5 * px_s, 5.4 + 5 * px_s)
    assert editor.times() == [[2000, 5400], [6000, 8000]]


def test_snapping_says_to_what_and_alt_leaves_it(editor: EditorPage) -> None:
    px_s = editor.px_s()
    editor.drag(8.0, 7.0 + 6 * px_s, drop=False)
    chip = editor.page.locator(".tl-snap")
    expect(chip).to_have_text("Snapped to shot cut at 0:07.00")
    editor.page.mouse.up()
    editor.settle()
    assert (editor.times()[1], editor.sources()[1]) == ([6000, 7000], ["original", "snap"])
    expect(chip).to_have_text("Snap on · snapped to shot cut")
    expect(editor.edge(1, "end")).to_have_attribute(
        "aria-valuetext", "7.00 seconds, frame 175, snapped to shot cut"
    )
    editor.drag(7.0, 9.96, modifiers=("Alt",))
    assert (editor.times()[1][1], editor.sources()[1][1]) == (9960, "hand")
    editor.drag(9.96, 9.98)
    editor.drag(9.96, 9.90, drop=False)
    editor.page.mouse.move(*editor.x(9.97), steps=3)
    expect(chip).to_have_text("Snapped to the model’s edge at 0:10.00")
    editor.page.mouse.up()
    editor.settle()
    assert editor.sources()[1][1] == "model"
    editor.press("s")
    expect(chip).to_contain_text("Snap off")
    editor.drag(10.0, 7.04)
    assert editor.times()[1] == [6000, 7040]


def test_neighbours_stop_a_drag_and_shift_pushes_frame_by_frame(editor: EditorPage) -> None:
    editor.drag(4.0, 7.5)
    assert editor.times() == [[2000, 6000], [6000, 8000]]
    x, y = editor.x(6.0)
    editor.page.mouse.move(x, y)
    editor.press("ArrowUp")
    editor.page.mouse.down()
    editor.page.keyboard.down("Shift")
    editor.page.mouse.move(x + 10, y, steps=5)
    editor.page.mouse.up()
    editor.page.keyboard.up("Shift")
    editor.settle()
    assert editor.times() == [[2000, 6400], [6400, 8000]]  # ten pixels are ten frames
    editor.press("Control+z")
    assert editor.times() == [[2000, 6000], [6000, 8000]]


def test_dragging_in_the_empty_lane_makes_a_moment(editor: EditorPage) -> None:
    editor.drag(10.6, 11.4)
    assert editor.times()[2] == [10600, 11400]
    assert editor.commits() == ["newMoment"]
    expect(editor.page.locator(".tl-own.tl-selected .tl-tag")).to_contain_text("3")
    editor.drag(11.8, 11.0)  # back over the new one: it stops there
    assert editor.times()[3] == [11400, 11800]


def test_a_click_in_a_lane_without_moments_makes_the_first_one(editor: EditorPage) -> None:
    editor.press("ArrowUp", "Delete", "Delete")
    assert editor.times() == []
    lane = editor.page.locator("[data-lane=mine]")
    expect(lane).to_contain_text("Click or drag here")
    editor.run("(commits.length = 0)")
    editor.page.mouse.click(*editor.x(3.0))
    editor.settle()
    ((start_ms, end_ms),) = editor.times()
    assert abs(start_ms - 3000) <= 40
    assert end_ms == start_ms + 2000
    assert editor.commits() == ["newMoment"]
    expect(editor.edge(0, "end")).to_be_focused()
    assert editor.number() == end_ms // 40, "the picture is that of the end, which is to be set next"
    editor.page.mouse.click(*editor.x(8.0))  # beside a moment a click seeks
    editor.settle()
    assert len(editor.times()) == 1
    assert editor.number() == 200
    editor.press("Control+z")
    assert editor.times() == []


def test_a_click_beside_an_answer_without_moments_changes_nothing(editor: EditorPage) -> None:
    editor.open("item=refused-model-first")
    editor.page.mouse.click(*editor.x(3.0))
    editor.settle()
    assert editor.times() == []
    assert editor.number() == 75
    expect(editor.page.locator("[data-lane=mine]")).to_contain_text("No matching moment · event absent")


def test_whole_moments_are_locked_until_unlocked(editor: EditorPage) -> None:
    editor.drag(3.0, 3.6)
    assert editor.times()[0] == [2000, 4000]
    editor.page.get_by_role("button", name="Whole moments locked").click()
    editor.drag(3.0, 3.6)
    assert editor.times()[0] == [2600, 4600]
    assert editor.commits() == ["slip"]


def test_a_press_in_the_overview_moves_the_view_and_a_drag_takes_it_along(editor: EditorPage) -> None:
    editor.run("(view.state.viewport.show(0, 4), view.state.touch('viewport'))")
    editor.settle()
    box = editor.page.locator("[data-lane=minimap]").bounding_box()
    assert box is not None

    def middle_s() -> float:
        return float(editor.run("(view.state.viewport.start_s + view.state.viewport.end_s) / 2"))

    y = box["y"] + box["height"] / 2
    number = editor.number()
    editor.page.mouse.move(box["x"] + box["width"] * 8 / 12, y)
    editor.page.mouse.down()
    assert middle_s() == pytest.approx(8, abs=0.05)
    editor.page.mouse.move(box["x"] + box["width"] * 5 / 12, y, steps=4)
    editor.page.mouse.up()
    assert middle_s() == pytest.approx(5, abs=0.05)
    assert editor.run("view.state.viewport.span_s") == pytest.approx(4)
    editor.settle()
    assert editor.number() == number, "the playhead stays"


def test_a_drag_beyond_the_view_moves_it_along(editor: EditorPage) -> None:
    editor.run("(view.state.viewport.show(1, 5), view.state.touch('viewport'))")
    editor.settle()
    x, y = editor.x(4.0)
    right = editor.x(5.0)[0]
    editor.page.mouse.move(x, y)
    editor.page.mouse.down()
    editor.page.mouse.move(right + 12, y, steps=5)
    editor.page.wait_for_function("() => view.editor.moments[0].end_ms >= 5800")
    editor.page.mouse.up()
    assert editor.run("view.state.viewport.start_s") > 1.5


def test_clicks_select_seek_and_audition(editor: EditorPage) -> None:
    editor.page.mouse.click(*editor.x(7.02))
    editor.settle()
    assert editor.run("view.editor.selection.id") == 2
    assert editor.number() == 175
    editor.page.mouse.click(*editor.x(4.0))
    editor.settle()
    assert editor.run("view.editor.selection.edge") == "end"
    assert editor.number() == 100
    editor.page.mouse.click(*editor.x(5.2))
    editor.settle()
    assert editor.run("view.editor.selection.id") is None
    editor.page.mouse.click(*editor.x(9.5, "model"))
    expect(editor.page.locator(".tl-ghost").nth(1)).to_be_focused()
    editor.page.mouse.dblclick(*editor.x(7.02))
    editor.page.wait_for_function("() => view.player.range?.loop && view.player.range.start_s === 6")
    editor.page.keyboard.press("Escape")
    editor.settle()
    assert editor.run("view.player.playing") is False
    assert editor.commits() == []


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_targets_are_large_enough_and_nothing_overflows(editor: EditorPage, width: int) -> None:
    editor.page.set_viewport_size({"width": width, "height": 900})
    editor.press("]")
    assert editor.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    sizes = editor.page.evaluate(
        """() => [...document.querySelectorAll(".tl-root :is(button, select, input, [role=slider])")]
          .filter((node) => !node.closest("dialog") && !node.matches(".tl-ghost"))
          .map((node) => [node.className, node.getBoundingClientRect()]).filter(([, box]) => box.width)
          .map(([name, box]) => [name, Math.min(box.width, box.height)])"""
    )
    small = [entry for entry in sizes if entry[1] < 24]
    assert len(sizes) > 20
    assert small == []


def test_fingers_trim_with_handles_and_pinch(chromium: Browser, address: str) -> None:
    editor = EditorPage(chromium, address, has_touch=True, is_mobile=True)
    editor.page.set_viewport_size({"width": 390, "height": 844})
    editor.page.touchscreen.tap(*editor.x(3.0))
    editor.settle()
    handle = editor.page.locator(".tl-handle[data-edge=end]")
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
    editor.page.evaluate(drag, [box["x"] + 22, box["y"] + 22, 30])
    editor.settle()
    assert editor.times()[0][1] > 4400
    editor.page.get_by_role("button", name="Undo").tap()
    editor.settle()
    assert editor.times()[0][1] == 4000
    for node in editor.page.locator(".tl-thumb").all():
        size = node.bounding_box()
        assert size is not None
        assert size["height"] >= 44
    editor.context.close()


def test_the_edge_that_lost_stays_as_a_tick_and_says_whose_it_is(editor: EditorPage) -> None:
    ticks = editor.page.locator("[data-lane=mine] .tl-lost")
    says = "view.lanes.find((l) => l.id === 'mine').hover(view.state, %s)"
    expect(ticks).to_have_count(2)  # of the model, which starts and ends later
    editor.press("2")
    assert [tick.get_attribute("data-source") for tick in ticks.all()] == ["original", "model"]
    box = ticks.first.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] / 2 == pytest.approx(editor.x(4.0)[0], abs=1)
    assert "The original’s end: 0:04.00" in editor.run(says % 4.0)
    assert "The model’s start: 0:02.12" in editor.run(says % 2.12)
    editor.press("1", "ArrowDown")  # the second moment is the original's, and the model has none there
    expect(ticks).to_have_count(0)
    editor.page.mouse.move(*editor.x(9.5, "model"))
    expect(editor.page.locator(".tl-tip")).to_contain_text("confidence 41 %")


def test_reviewers_snap_to_other_peoples_edges(editor: EditorPage) -> None:
    editor.open("item=reviewed&mode=review")
    editor.drag(4.0, 4.4 + 3 * editor.px_s(), drop=False)
    expect(editor.page.locator(".tl-snap")).to_have_text("Snapped to the model’s edge at 0:04.40")
    editor.page.mouse.move(*editor.x(2.5), steps=6)
    editor.page.mouse.up()
    editor.settle()
    editor.drag(2.0, 2.4 + 3 * editor.px_s(), drop=False)
    expect(editor.page.locator(".tl-snap")).to_have_text("Snapped to grace’s edge at 0:02.40")
    editor.page.mouse.up()
    editor.settle()
    assert editor.sources()[0][0] == "snap"
    expect(editor.edge(0, "start")).to_have_attribute(
        "aria-valuetext", "2.40 seconds, frame 60, snapped to grace’s edge"
    )


def test_an_edge_is_given_a_band_with_the_control_key(editor: EditorPage) -> None:
    editor.press("]")
    editor.drag(4.0, 4.6, modifiers=("Control",))
    assert editor.times()[0] == [2000, 4000]
    assert editor.commits() == ["setUncertainty"]
    band_ms = editor.run("view.editor.moments[0].end_uncertainty_ms")
    assert band_ms == pytest.approx(600, abs=1000 * editor.px_s() + 1)
    expect(editor.edge(0, "end")).to_have_attribute("aria-valuetext", re.compile("uncertain by 0.[56]"))
    expect(editor.page.locator(".tl-origin")).to_contain_text("±0.")
    editor.page.evaluate("() => view.state.viewport.show(3, 5)")
    editor.press("Control+z")
    assert editor.run("view.editor.moments[0].end_uncertainty_ms") is None


def test_what_was_decided_for_the_same_question_is_shown(editor: EditorPage) -> None:
    editor.open("item=twin")
    twin = editor.page.locator("[data-lane=original] .tl-twin").bounding_box()
    assert twin is not None
    assert twin["x"] == pytest.approx(editor.x(1.8)[0], abs=2)
    expect(editor.page.locator("[data-lane=original] .tl-layer")).to_have_attribute(
        "aria-label", re.compile("Row 2580 asks the same: decided 0:01.8 – 0:04.6")
    )
    editor.press("[", "Shift+E")
    assert editor.times()[0] == [1800, 4000]
