"""Editing with a mouse, a pen or fingers: edges, zones, snapping, and what the pointer meets."""

import pytest
from playwright.sync_api import Browser, expect

from tests.app.edit_bench import Bench

pytestmark = pytest.mark.browser

expect.set_options(timeout=15_000)  # a busy machine is slow, not wrong


def test_an_edge_is_dragged_and_the_picture_follows(bench: Bench) -> None:
    bench.drag(8.0, 8.84, drop=False)
    bench.page.wait_for_function("() => view.editor.moments[1].end_ms === 8840")
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
    bench.run("(view.state.viewport.show(1, 5), view.state.touch('viewport'))")
    bench.settle()
    x, y = bench.x(4.0)
    right = bench.x(5.0)[0]
    bench.page.mouse.move(x, y)
    bench.page.mouse.down()
    bench.page.mouse.move(right + 12, y, steps=5)
    bench.page.wait_for_function("() => view.editor.moments[0].end_ms >= 5800")
    bench.page.mouse.up()
    assert bench.run("view.state.viewport.start_s") > 1.5


def test_clicks_select_seek_and_audition(bench: Bench) -> None:
    bench.page.mouse.click(*bench.x(7.02))
    bench.settle()
    assert bench.run("view.editor.selection.id") == 2
    assert bench.number() == 175
    bench.page.mouse.click(*bench.x(4.0))
    bench.settle()
    assert bench.run("view.editor.selection.edge") == "end"
    assert bench.number() == 100
    bench.page.mouse.click(*bench.x(5.2))
    bench.settle()
    assert bench.run("view.editor.selection.id") is None
    bench.page.mouse.click(*bench.x(9.5, "model"))
    expect(bench.page.locator(".tl-ghost").nth(1)).to_be_focused()
    bench.page.mouse.dblclick(*bench.x(7.02))
    bench.page.wait_for_function("() => view.player.range?.loop && view.player.range.start_s === 6")
    bench.page.keyboard.press("Escape")
    bench.settle()
    assert bench.run("view.player.playing") is False
    assert bench.commits() == []


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


def test_the_edge_that_lost_stays_as_a_tick_and_says_whose_it_is(bench: Bench) -> None:
    ticks = bench.page.locator("[data-lane=mine] .tl-lost")
    says = "view.lanes.find((l) => l.id === 'mine').says(view.state, %s)"
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
