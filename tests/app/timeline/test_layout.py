"""How much of the editing timeline is on the screen, and that nothing moves from row to row."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.app.timeline.editor_page import EditorPage

pytestmark = pytest.mark.browser

PARTS = (".tl-stage", ".tl-controls", ".tl-loupe", ".tl-edge-card", ".tl-own-list", ".tl-status")
LANES = (
    "[...document.querySelectorAll('.tl-lane:not([hidden])')].map((row) => `[data-row=${row.dataset.row}]`)"
)
BOXES = """(selectors) => Object.fromEntries(selectors.map((selector) => {
  const { left, top, right, bottom } = document.querySelector(selector).getBoundingClientRect();
  return [selector, [left, top, right, bottom].map(Math.round)];
}))"""


def boxes(editor: EditorPage) -> dict[str, Any]:
    """Left, top, right and bottom of every part, in CSS pixels."""
    selectors = [*PARTS, *editor.run(LANES)]
    return dict(editor.page.evaluate(BOXES, selectors))


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1440, 900)])
def test_everything_that_is_edited_is_on_one_screen(editor: EditorPage, width: int, height: int) -> None:
    editor.open("item=reasons")
    editor.page.set_viewport_size({"width": width, "height": height})
    editor.press("]")
    for name, (left, top, right, bottom) in boxes(editor).items():
        assert 0 <= left < right <= width, name
        assert 0 <= top < bottom <= height, name
    assert editor.run("document.documentElement.scrollHeight") <= height
    loupe = editor.page.locator(".tl-loupe-main").first.bounding_box()
    assert loupe is not None
    assert loupe["height"] >= 80
    # One height for every row, with four reasons or none, and whatever is done to it.
    before = boxes(editor)
    editor.press("Escape", "End", "n", "f", "Escape")
    assert boxes(editor) == before
    for name in ("unreasoned", "blind", "waiting", "refused-model-first"):
        editor.page.evaluate("(name) => openItem(`item=${name}`)", name)
        editor.ready()
        assert boxes(editor) == before, name


def test_the_wide_picture_takes_the_width_and_stays_chosen(editor: EditorPage) -> None:
    editor.page.set_viewport_size({"width": 1440, "height": 900})
    editor.press("w")
    picture, lane = boxes(editor)[".tl-stage"], boxes(editor)["[data-row=mine]"]
    assert picture[2] - picture[0] >= 1400
    assert picture[3] < lane[1]
    expect(editor.page.locator(".tl-status")).to_contain_text("Wide picture")
    editor.page.evaluate("() => openItem('item=ready')")
    editor.ready()
    assert boxes(editor)[".tl-stage"] == picture
    editor.press("w")
    assert boxes(editor)[".tl-stage"][2] < 900


def test_the_picture_can_stand_in_a_window_of_its_own(editor: EditorPage) -> None:
    editor.open("item=numbered")
    with editor.page.expect_popup() as opening:
        editor.page.keyboard.press("Shift+W")
    popup = opening.value
    expect(editor.page.locator(".tl-stage")).to_have_css("opacity", "0")
    editor.press("Home")
    popup.bring_to_front()
    popup.locator("body").press("ArrowRight")
    popup.locator("body").press("ArrowRight")
    editor.page.bring_to_front()
    editor.settle()
    assert editor.run("view.state.frame_idx") == 2
    drawn_canvas = """() => { const canvas = document.querySelector("canvas");
      return Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data); }"""
    video = """() => { const video = document.querySelector(".tl-video"), canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
      canvas.getContext("2d").drawImage(video, 0, 0);
      return Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data); }"""
    assert popup.evaluate(drawn_canvas) == editor.page.evaluate(video)
    with popup.expect_event("close"):
        editor.page.keyboard.press("Shift+W")
    expect(editor.page.locator(".tl-stage")).to_have_css("opacity", "1")


MIDDLE = """() => {
  const canvas = document.querySelector("[data-lane=strip] canvas");
  return Array.from(canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data.slice(0, 2));
}"""


def test_the_film_strip_has_a_picture_at_every_zoom_level(editor: EditorPage) -> None:
    """The harness paints level 1 in (0, 90) and level 2 in (250, 180); the whole clip is one sprite picture."""
    paths: list[str] = []
    editor.page.on("request", lambda request: paths.append(request.url.partition("/strip.png")[2]))
    editor.open("item=deep")
    assert editor.page.evaluate(MIDDLE) not in ([0, 90], [250, 180])
    for span_s, colour in ((4.0, [0, 90]), (1.0, [250, 180]), (0.4, [250, 180])):
        editor.run(f"(view.state.viewport.show(6, 6 + {span_s}), view.state.touch('viewport'))")
        editor.page.wait_for_function(
            f"(colour) => JSON.stringify(({MIDDLE})()) === JSON.stringify(colour)", arg=colour
        )
    sheets = [path for path in paths if path.count("/") == 2]
    assert {path.split("/")[1] for path in sheets} == {"1", "2"}
    assert len(sheets) == len(set(sheets))  # each once, and only what came into view
    assert len(sheets) < (24 * 4 + 24 * 16) / 16


def test_a_clip_with_sound_has_a_lane_for_it_that_begins_muted(editor: EditorPage) -> None:
    note = editor.page.locator("[data-row=sound] .tl-note")
    expect(note).to_have_text("none")
    before = boxes(editor)
    editor.open("item=sounding")
    assert boxes(editor) == before
    expect(note).to_have_text("muted")
    columns = """() => { const canvas = document.querySelector("[data-lane=sound] canvas");
      const context = canvas.getContext("2d");
      return [0.25, 0.75].map((share) => {
        const data = context.getImageData(Math.round(canvas.width * share), 0, 1, canvas.height).data;
        return data.filter((value, k) => k % 4 === 3 && value > 0).length / canvas.height; }); }"""
    editor.page.wait_for_function(f"() => ({columns})()[1] > 0")
    silent, loud = editor.page.evaluate(columns)
    assert silent < 0.2
    assert loud > 0.8
    editor.press("Shift+M")
    expect(note).to_have_text("on")
