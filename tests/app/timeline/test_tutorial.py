"""The drill in Chromium: done by keyboard, on whatever row is open, and nothing of it stays."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import func, select

from annotations import tables
from scripts.setup import axe_path
from tests.app.annotating import Bench as AnnotateBench
from tests.app.annotating import annotator_with, fill, open_bench, row, until
from tests.app.annotating import serving as serving_bench
from tests.app.conftest import Profile
from tests.app.test_accessibility import serious
from tests.app.timeline.editor_page import EditorPage

pytestmark = [pytest.mark.browser]

PATIENCE_MS = 300_000
STANDS = """(() => {
  const { editor, state, player, videoPane, snapping, slip, fine, zoom_idx } =
    document.querySelector(".tl-root").timeline;
  const { start_s, end_s } = state.viewport;
  return JSON.stringify([editor.history(), editor.selection, editor.item, [start_s, end_s], player.time_s,
    videoPane.video.playbackRate, [snapping, slip, fine, zoom_idx], state.value],
    (key, value) => key.startsWith("shots_") ? undefined : value);  // shot changes come when they are found
})()"""
ANSWERED = """(() => {
  const { annotatePage, timeline } = document.querySelector(".tl-root");
  return timeline.editor.item?.model && annotatePage.ahead?.item?.edit.model;
})()"""  # the model's proposals for this row and the next are here, in whichever order they came
KEYS = [
    ("Press Space to play", ["Space", "played", "Space"]),
    ("Go on by one frame with . or →", ["."]),
    ("the end of your moment in hand with ]", ["]"]),
    ("by one frame with ←, four with Shift + A, half a second with A", ["ArrowLeft"]),
    ("a new moment at the playhead with N", ["n"]),
    ("Take that back with Ctrl + Z", ["Control+z"]),
    ("where the model has it with 2", ["2"]),
    ("nothing matches with 0", ["0", "1"]),
    ("Bring your moments back with Ctrl + Z", ["Control+z"]),
    ("Submit with Ctrl + Enter", ["Control+Enter"]),
]


@pytest.fixture
def timeline(editor: EditorPage) -> EditorPage:
    return editor


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AnnotateBench]:
    with open_bench(tmp_path / "home", clips=2, rate=2) as bench:
        fill(bench.store, bench.home, [row(k + 1, f"clip-{k}") for k in range(2)])
        yield bench


@pytest.fixture
def served(bench: AnnotateBench, listener: socket.socket, browser_profiles: list[Profile]) -> Iterator[str]:
    with serving_bench(bench, listener=listener) as url:
        yield url
        for profile in browser_profiles:
            profile.close_pages()


def begin(page: Page) -> None:
    """`?`, Tab to the button, Enter."""
    page.keyboard.press("?")
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Try them in 90 seconds")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".tl-drill")).to_be_visible()


def says(page: Page) -> Any:
    return page.locator(".tl-drill-says")


def marks(page: Page) -> list[str]:
    script = "nodes => nodes.map((node) => node.dataset.mark ?? '')"
    return list(page.locator(".tl-drill-steps li").evaluate_all(script))


def do(page: Page, keys: list[str]) -> None:
    for key in keys:
        if key == "played":
            page.wait_for_function("document.querySelector('.tl-video').currentTime > 0.02")
            page.wait_for_function("!document.querySelector('.tl-video').paused")
        else:
            page.keyboard.press(key)


def go_through(page: Page) -> None:
    for text, keys in KEYS:
        expect(says(page)).to_contain_text(text)
        do(page, keys)
    expect(says(page)).to_contain_text(re.compile(r"^Done in \d+ s\."))


def written(bench: AnnotateBench) -> tuple[int, int]:
    """How many corrections and how many operations the store holds."""
    with bench.store.database.read() as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (tables.corrections, tables.operations)
        ]
    return counts[0], counts[1]


def sit_down(page: Page, url: str, name: str) -> None:
    page.context.set_extra_http_headers({"x-user": f"{name}/annotator"})
    page.goto(f"{url}/annotate#q=1")
    page.wait_for_selector('.tl-root[data-state="ready"]:not(.fl-covered)', timeout=PATIENCE_MS)


# ---- on the Annotate page


def test_the_whole_of_it_by_keyboard_changes_nothing(bench: AnnotateBench, served: str, page: Page) -> None:
    sit_down(page, served, annotator_with("original-first"))
    page.wait_for_function(ANSWERED)
    for key in ("]", "ArrowLeft", "Escape", "z", "s"):
        page.keyboard.press(key)
    until(lambda: written(bench)[0], lambda count: count == 1)
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('.tl-video').seeking")
    before, counts = page.evaluate(STANDS), written(bench)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.evaluate("document.querySelector('.tl-root').timeline.help.open_()")
    page.get_by_role("button", name="Try them in 90 seconds").press("Enter")
    go_through(page)
    assert marks(page) == ["done"] * 10
    page.keyboard.press("Control+Enter")
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    expect(page.locator(".tl-drill")).to_have_count(0)
    assert page.evaluate(STANDS) == before
    expect(page.locator("[data-lane=ruler]")).to_be_focused()
    assert written(bench) == counts
    with page.expect_response("**/queries/1/edits"):
        page.keyboard.press("Control+z")
    # Edits are sent in their order: whatever the drill had left would have come before this one.
    assert [url.partition("/annotate/api")[2] for url in sent] == ["/queries/1/edits"]
    assert written(bench) == (counts[0] + 1, counts[1] + 1)
    assert bench.store.corrections(1)[1].edit.moments[0].end_ms == 2000


def test_it_is_offered_once(bench: AnnotateBench, served: str, page: Page) -> None:
    name = annotator_with("original-first")
    sit_down(page, served, name)
    offer = page.get_by_text("First time here?")
    expect(offer).to_be_visible()
    page.reload()
    expect(offer).to_be_visible()
    page.get_by_role("button", name="No, thanks").click()
    expect(offer).to_have_count(0)
    expect(page.locator("[data-lane=ruler]")).to_be_focused()
    page.reload()
    page.wait_for_selector('.tl-root[data-state="ready"]:not(.fl-covered)', timeout=PATIENCE_MS)
    expect(offer).to_have_count(0)


def test_the_offer_begins_it_and_escape_leaves_it(bench: AnnotateBench, served: str, page: Page) -> None:
    sit_down(page, served, annotator_with("model-first"))
    page.get_by_role("button", name="Try the keys, 90 s").press("Enter")
    expect(page.get_by_text("First time here?")).to_have_count(0)
    do(page, ["]", "d", "0", "1"])
    page.keyboard.press("Escape")
    expect(page.locator(".tl-drill")).to_have_count(0)
    assert page.evaluate("document.querySelector('.tl-root').timeline.editor.doc.verdict") == "moments"
    page.reload()
    page.wait_for_selector('.tl-root[data-state="ready"]:not(.fl-covered)', timeout=PATIENCE_MS)
    expect(page.get_by_text("First time here?")).to_have_count(0)
    assert written(bench)[0] == 0


def test_work_goes_on_beside_the_offer_and_ends_it(bench: AnnotateBench, served: str, page: Page) -> None:
    sit_down(page, served, annotator_with("original-first"))
    page.keyboard.press("ArrowRight")  # who submits has looked at the clip
    page.wait_for_function("!document.querySelector('.tl-video').seeking")
    page.keyboard.press("Control+Enter")
    until(lambda: written(bench)[0], lambda count: count == 1)
    expect(page.get_by_text("First time here?")).to_have_count(0)


def test_a_finger_does_it_too_on_a_phone(bench: AnnotateBench, served: str, chromium: Browser) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    sit_down(page, served, annotator_with("original-first"))
    page.wait_for_function("document.querySelector('.tl-root').timeline.editor.item?.model")
    page.get_by_role("button", name="Try the keys, 90 s").tap()
    thumb = page.locator(".tl-thumb")
    expect(says(page)).to_have_text("Press the play button, and again to pause.")
    page.locator(".tl-main").tap()
    page.wait_for_function("!document.querySelector('.tl-video').paused")
    page.locator(".tl-main").tap()
    expect(page.locator(".tl-drill-steps li").first).to_have_attribute("data-mark", "done")
    for text in ("1 f ▶", "End edge", "◀ 1 f", "New", "Undo"):
        thumb.get_by_text(text, exact=True).tap()
    page.locator(".tl-choices button:enabled", has_text="Model").tap()
    thumb.get_by_text("No moment").tap()
    page.locator(".tl-reason").first.tap()
    thumb.get_by_text("Undo").tap()
    page.locator(".fl-bar").get_by_role("button", name="Submit").tap()
    expect(says(page)).to_contain_text("Done in")
    assert marks(page) == ["done"] * 10
    page.get_by_role("button", name="Back to the row").tap()
    expect(page.locator(".tl-drill")).to_have_count(0)
    assert written(bench)[0] == 0
    context.close()


def test_without_a_clip_it_plays_nothing_but_goes_on(bench: AnnotateBench, served: str, page: Page) -> None:
    bench.store.archive("small", op_id="gone", actor="test")
    bench.store.import_rows([row(9, "lost")], dataset="other", op_id="o")
    name = annotator_with("original-first")
    page.context.set_extra_http_headers({"x-user": f"{name}/annotator"})
    page.goto(f"{served}/annotate")
    page.wait_for_selector("text=lost.mp4", timeout=PATIENCE_MS)
    before = page.evaluate(STANDS)
    page.get_by_role("button", name="Try the keys, 90 s").press("Enter")
    expect(page.locator(".tl-drill")).to_contain_text(
        "Play and pause is left out: there is no clip to play here."
    )
    do(page, [".", "]", "a", "n", "Control+z"])
    expect(says(page)).to_have_text("Take the end where the original has it with 4.")
    do(page, ["4"])
    do(page, ["0", "1", "Control+z", "Control+Enter"])
    expect(says(page)).to_contain_text("Done in")
    assert marks(page) == ["left out", *["done"] * 9]
    page.keyboard.press("Escape")
    assert page.evaluate(STANDS) == before


# ---- on the timeline alone


def test_the_sentences_have_this_persons_keys(timeline: EditorPage) -> None:
    page = timeline.page
    timeline.run("(view.keys.rebind('toggle', 'key:w'), view.keys.rebind('frameOn', 'key:e'))")
    begin(page)
    expect(says(page)).to_have_text("Press W to play, and again to pause.")
    page.keyboard.press("Shift+ArrowDown")
    expect(says(page)).to_have_text("Go on by one frame with E.")
    page.keyboard.press("e")
    expect(says(page)).to_contain_text("with ]")
    page.keyboard.press("?")
    page.get_by_label("Single keys work").uncheck()
    page.keyboard.press("Escape")
    expect(says(page)).to_contain_text("press it in the lane")
    assert marks(page)[:3] == ["left out", "done", ""]


def test_what_is_hidden_or_not_there_is_left_out_with_the_reason(timeline: EditorPage) -> None:
    page = timeline.page
    for item, reason in (("blind", "hidden until you submit"), ("empty", None)):
        timeline.open(f"item={item}")
        before = page.evaluate(STANDS)
        timeline.run("view.tutorial.start()")
        expect(page.locator("[data-lane=mine] .tl-own")).to_have_count(1)
        do(page, ["Shift+ArrowDown", ".", "]", "a", "n", "Control+z"])
        if reason:
            expect(page.locator(".tl-drill")).to_contain_text(reason)
            assert marks(page)[6] == "left out"
        else:
            expect(says(page)).to_contain_text("model has it")
        page.keyboard.press("Escape")
        assert page.evaluate(STANDS) == before
        assert timeline.commits() == []


def test_the_original_stands_in_where_there_is_no_proposal(timeline: EditorPage) -> None:
    timeline.open("item=waiting")
    timeline.run("view.tutorial.start()")
    do(timeline.page, ["Shift+ArrowDown", ".", "]", "a", "n", "Control+z"])
    expect(says(timeline.page)).to_have_text("Take the end where the original has it with 4.")
    timeline.press("4")
    expect(says(timeline.page)).to_contain_text("nothing matches")


def test_a_submit_key_that_is_held_or_pressed_again_sends_nothing(timeline: EditorPage) -> None:
    begin(timeline.page)
    for _ in range(9):
        timeline.page.keyboard.press("Shift+ArrowDown")
        if "Submit with" in timeline.page.inner_text(".tl-drill-says"):
            break
    timeline.page.keyboard.down("Control")
    for _ in range(4):
        timeline.page.keyboard.down("Enter")
    timeline.page.keyboard.up("Control")
    timeline.page.keyboard.down("Enter")
    timeline.page.keyboard.up("Enter")
    expect(says(timeline.page)).to_contain_text("steps left out")
    timeline.press("Control+Enter", "Escape")
    assert (timeline.commits(), timeline.run("submits.length")) == ([], 0)
    timeline.press("Control+Enter")
    assert timeline.run("submits.length") == 1


def test_what_comes_for_the_row_meanwhile_waits(timeline: EditorPage) -> None:
    timeline.open("item=waiting")
    timeline.run("view.tutorial.start()")
    moment = "{ start_ms: 2120, end_ms: 4400, confidence: 0.8 }"
    model = f"{{ proposal_id: 3, model_id: 'm', refused: false, relevance: 0.9, moments: [{moment}] }}"
    timeline.run(f"view.setModel({model})")
    assert timeline.run("view.editor.item.model") is None
    timeline.press("Escape")
    assert timeline.run("view.editor.item.model.proposal_id") == 3
    timeline.run("view.tutorial.start()")
    timeline.run("view.load(view.state.value)")
    assert timeline.run("[view.tutorial.running, view.editor.rehearsing]") == [False, False]


def test_nothing_on_the_page_moves(timeline: EditorPage) -> None:
    box = "(name) => JSON.stringify(document.querySelector(name).getBoundingClientRect())"
    script = f"['.tl-stage', '.tl-axis', '.tl-status'].map({box})"
    before = timeline.run(script)
    begin(timeline.page)
    card = timeline.page.locator(".tl-drill").bounding_box()
    for text, keys in KEYS[:4]:
        assert timeline.run(script) == before, text
        assert timeline.page.locator(".tl-drill").bounding_box() == card
        do(timeline.page, keys)
        timeline.settle()


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.skipif(
    not axe_path().exists(), reason="needs axe-core, which `make test` fetches from the npm registry"
)
def test_axe_finds_nothing_serious(page: Page, address: str, theme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{address}/?theme={theme}")
    page.wait_for_selector("body[data-ready=true]")
    page.keyboard.press("?")
    assert serious(page) == []
    page.get_by_role("button", name="Try them in 90 seconds").click()
    for _ in range(2):
        page.keyboard.press("Shift+ArrowDown")
    assert serious(page) == []
    for _ in range(8):
        page.keyboard.press("Shift+ArrowDown")
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# ---- the sheet of keys


def test_the_sheet_shows_its_last_row_and_prints_on_one_page(timeline: EditorPage) -> None:
    page = timeline.page
    timeline.press("?")
    sheet = page.get_by_role("dialog", name="Keys and pointer")
    expect(sheet.get_by_role("button", name="One frame on: . or →. Change")).to_be_visible()
    below = sheet.evaluate("(node) => node.scrollHeight - node.clientHeight")
    assert below == 0
    last = sheet.get_by_text("Zoom at the pointer; with Shift, move along").bounding_box()
    foot = sheet.get_by_role("button", name="Print").bounding_box()
    assert last
    assert foot
    assert last["y"] + last["height"] <= foot["y"]
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) == 1
    page.emulate_media(media="print")
    expect(page.locator(".tl-axis")).to_be_hidden()
    expect(sheet.get_by_role("button", name="Print")).to_be_hidden()
    expect(sheet.get_by_text("Zoom at the pointer; with Shift, move along")).to_be_visible()
