"""What the annotator sees is what is stored, and what the model samples there."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tempo_core.video import sample
from tests.app.timeline.edit_harness import NTSC, NTSC_FRAMES
from tests.app.timeline.edit_speed import measure
from tests.app.timeline.editor_page import EditorPage
from tests.videos import canvas_picture, number_of, numbers_of

pytestmark = pytest.mark.browser

PICTURE = """(selector) => {
  const source = document.querySelector(selector);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [128, 96];
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0, 128, 96);
  return canvas.toDataURL("image/png");
}"""


def picture_number(editor: EditorPage, selector: str = ".tl-video") -> int:
    """The number in a picture on the page."""
    return number_of(canvas_picture(editor.page.evaluate(PICTURE, selector)))


def test_picture_stored_time_and_sampled_frame_agree_for_every_frame(editor: EditorPage, clips: Path) -> None:
    editor.open("item=numbered")
    badge = editor.page.locator(".tl-status .tl-badge")
    editor.press("[", "Home")
    stored_ms, numbers, truths = [], [], []
    for _ in range(NTSC_FRAMES - 1):
        stored_ms.append(editor.times()[0][0])
        numbers.append(picture_number(editor))
        truths.append(badge.get_attribute("data-truth"))
        editor.press("ArrowRight")
    assert numbers == list(range(NTSC_FRAMES - 1))
    assert stored_ms == [round(1000 * idx / NTSC) for idx in range(NTSC_FRAMES - 1)]
    assert set(truths) == {"exact"}
    sampled = sample(clips / "numbered.mp4", at=[ms / 1000 for ms in stored_ms])
    assert numbers_of(sampled.frames) == numbers


def test_the_end_is_the_first_frame_out(editor: EditorPage) -> None:
    editor.open("item=numbered")
    editor.press("]", "ArrowLeft", "ArrowLeft")
    idx = NTSC_FRAMES - 2
    assert editor.times()[0][1] == round(1000 * idx / NTSC)
    assert picture_number(editor) == idx
    expect(editor.page.locator(".tl-loupe .tl-badge")).to_have_text("exact")
    assert picture_number(editor, ".tl-loupe [data-side=before] .tl-loupe-main") == idx - 1
    assert picture_number(editor, ".tl-loupe [data-side=after] .tl-loupe-main") == idx
    editor.press("End")
    assert editor.times()[0][1] == round(1000 * NTSC_FRAMES / NTSC)
    assert picture_number(editor) == NTSC_FRAMES - 1  # there is no picture at the end itself


def test_the_playhead_walks_the_same_frames(editor: EditorPage) -> None:
    editor.open("item=numbered")
    editor.press("Escape", "Home")
    for idx in range(1, 12):
        editor.press(".")
        assert picture_number(editor) == idx
        assert editor.run("view.playhead_ms") == round(1000 * idx / NTSC)
    editor.press("n")
    assert editor.times()[0][0] == 0  # inside the moment there is no room for another
    editor.press("b")
    assert editor.times() == [[0, round(11_000 / NTSC)], [round(11_000 / NTSC), 1502]]


def test_the_benchmark_measures_every_drag_key_and_seek(editor: EditorPage) -> None:
    """How long they take is for `python -m benchmarks timeline` to say: a test does not depend on speed."""
    editor.open("item=crowded")
    speed = measure(editor.page, frames=30, presses=6)
    assert editor.commits()[0] == "setEdge"
    assert [len(times) for times in (speed.gaps, speed.work, speed.repaint, speed.seek)] == [30, 30, 6, 6]
    assert editor.run("view.state.truth") == "exact"
