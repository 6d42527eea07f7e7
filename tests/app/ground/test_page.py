"""The ground page in Chromium: one form, streaming progress, cancel, errors, no request to another host."""

import asyncio
import base64
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from app.ground.engines import EngineProvider
from tests.app.conftest import RunningApp
from tests.app.fakes import FakeEngine, write_clip

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
]

SLOW_MS = 300_000


def visit(page: Any, running: RunningApp, query: str = "") -> None:
    page.goto(f"{running.url}/{query}")
    expect(page.get_by_text("fake-engine is ready.")).to_be_visible(timeout=SLOW_MS)


def upload(page: Any, clip: Path) -> None:
    page.locator("#ground-clip input[type=file]").set_input_files(str(clip))
    expect(page.locator("#ground-clip video")).to_be_visible(timeout=SLOW_MS)


def ask(page: Any, query: str) -> None:
    page.locator("#ground-query textarea").fill(query)
    page.locator("#ground-ask").click()


def status(page: Any) -> Any:
    return page.locator("#ground-status .tempo-status")


def wait_ended(page: Any) -> None:
    """Until the run has said its last: what is still on its way would be shown over what other events change."""
    expect(page.locator("#ground-cancel")).to_be_disabled(timeout=SLOW_MS)


def cancelled(page: Any, running: RunningApp) -> int:
    """How many runs the engine has stopped, as soon as there is one."""
    for _ in range(SLOW_MS // 100):
        if running.engine.cancelled:
            break
        page.wait_for_timeout(100)
    return int(running.engine.cancelled)


def test_answers_and_asks_another_from_the_same_context(
    page: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    running = serve()
    visit(page, running)
    upload(page, clip)
    ask(page, "a <b>yellow</b> ${square}")
    expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)
    timeline = page.locator("#ground-timeline")
    expect(timeline.get_by_text("0:01.0 – 0:02.5").first).to_be_visible()
    expect(timeline.get_by_text("a <b>yellow</b> ${square}").first).to_be_visible()
    expect(page.locator("#ground-result")).to_contain_text("27 of 32")
    expect(page.locator("#ground-result")).to_contain_text("uniform would give each 3.4")
    expect(page.locator("#ground-ask")).to_have_text("Ask another")
    ask(page, "a purple dog")
    expect(status(page)).to_contain_text("nothing was decoded or encoded again", timeout=SLOW_MS)
    expect(timeline.get_by_text("Not in this clip").first).to_be_visible()
    assert len(running.engine.encoded) == 1


def test_the_answer_can_be_downloaded(page: Any, serve: Callable[..., RunningApp], clip: Path) -> None:
    visit(page, serve())
    upload(page, clip)
    ask(page, "a yellow square")
    link = page.get_by_role("link", name="Download the answer as JSON")
    expect(link).to_be_visible(timeout=SLOW_MS)
    answer = json.loads(base64.b64decode(link.get_attribute("href").split(",", 1)[1]))
    assert answer["query"] == "a yellow square"
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "tempo-answer.json"
    assert json.loads(Path(download.value.path()).read_text()) == answer


def test_shows_charts(page: Any, serve: Callable[..., RunningApp], clip: Path) -> None:
    visit(page, serve())
    upload(page, clip)
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)
    page.get_by_role("tab", name="Charts").click()
    expect(page.locator("#ground-curves .js-plotly-plot")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator("#ground-sizes .js-plotly-plot")).to_be_visible(timeout=SLOW_MS)


def test_cancel_really_stops_the_engine(page: Any, serve: Callable[..., RunningApp], clip: Path) -> None:
    running = serve()
    running.engine.gate.clear()
    visit(page, running)
    upload(page, clip)
    ask(page, "a yellow square")
    expect(status(page).locator("li.now")).to_have_text("Encoding", timeout=SLOW_MS)
    expect(page.locator("#ground-ask")).to_be_disabled()
    page.locator("#ground-cancel").click()
    expect(status(page)).to_contain_text("Cancelled", timeout=SLOW_MS)
    expect(page.locator("#ground-ask")).to_be_enabled()
    assert running.engine.cancelled == 1
    running.engine.gate.set()
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)


def test_closing_the_tab_stops_the_engine(page: Any, serve: Callable[..., RunningApp], clip: Path) -> None:
    running = serve()
    running.engine.gate.clear()
    visit(page, running)
    upload(page, clip)
    ask(page, "a yellow square")
    expect(status(page).locator("li.now")).to_have_text("Encoding", timeout=SLOW_MS)
    other = page.context.new_page()
    page.close()
    assert cancelled(other, running) == 1


def test_another_clip_clears_the_result_and_forgets_the_context(
    page: Any, serve: Callable[..., RunningApp], clip: Path, other_clip: Path
) -> None:
    running = serve()
    visit(page, running)
    upload(page, clip)
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)
    assert len(running.app.state.grounding.contexts) == 1
    wait_ended(page)
    page.locator("#ground-clip").get_by_label("Clear").click()
    expect(status(page)).to_contain_text("Choose a clip", timeout=SLOW_MS)
    expect(page.locator("#ground-result")).not_to_contain_text("Visual tokens")
    assert len(running.app.state.grounding.contexts) == 0
    upload(page, other_clip)
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)
    assert len(set(running.engine.encoded)) == 2


def test_another_clip_stops_a_running_question(
    page: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    running = serve()
    running.engine.gate.clear()
    visit(page, running)
    upload(page, clip)
    ask(page, "a yellow square")
    expect(status(page).locator("li.now")).to_have_text("Encoding", timeout=SLOW_MS)
    page.locator("#ground-clip").get_by_label("Clear").click()
    expect(page.locator("#ground-ask")).to_be_enabled(timeout=SLOW_MS)
    assert cancelled(page, running) == 1
    assert len(running.app.state.grounding.contexts) == 0


def test_a_run_that_another_clip_replaced_says_nothing_at_its_end(
    page: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    running = serve()
    running.engine.ranking_gate.clear()
    visit(page, running)
    upload(page, clip)
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("Other windows are being ranked", timeout=SLOW_MS)
    page.locator("#ground-clip").get_by_label("Clear").click()
    expect(status(page)).to_contain_text("Choose a clip", timeout=SLOW_MS)
    assert cancelled(page, running) == 1
    page.wait_for_timeout(500)  # whatever its end changes is on the page by then
    expect(status(page)).to_contain_text("Choose a clip")
    expect(page.locator("#ground-result")).not_to_contain_text("Visual tokens")


def test_a_result_that_comes_late_does_not_stay_over_another_clip(
    page: Any, serve: Callable[..., RunningApp], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine Gradio is still preparing the result for the browser when the clip is taken away."""
    prepare, is_late = gr.Blocks.postprocess_data, threading.Event()

    async def prepare_late(self: Any, block_fn: Any, predictions: Any, *rest: Any, **options: Any) -> Any:
        texts = str(predictions)
        if "1 moment found" in texts and not any(
            words in texts for words in ("being ranked", "Choose a clip")
        ):
            is_late.set()
            await asyncio.sleep(3)
        return await prepare(self, block_fn, predictions, *rest, **options)

    monkeypatch.setattr(gr.Blocks, "postprocess_data", prepare_late)
    visit(page, serve())
    upload(page, clip)
    ask(page, "a yellow square")
    assert is_late.wait(SLOW_MS / 1000)
    page.locator("#ground-clip").get_by_label("Clear").click()
    expect(status(page)).to_contain_text("Choose a clip", timeout=SLOW_MS)
    page.wait_for_timeout(4000)  # the late result has come by then
    expect(status(page)).to_contain_text("Choose a clip", timeout=SLOW_MS)
    expect(page.locator("#ground-result")).not_to_contain_text("Visual tokens")
    expect(page.locator("#ground-timeline").get_by_text("0:01")).to_have_count(0)


def test_the_second_in_the_queue_sees_its_place(
    page: Any, serve: Callable[..., RunningApp], clip: Path, other_clip: Path
) -> None:
    running = serve()
    running.engine.gate.clear()
    visit(page, running)
    upload(page, clip)
    ask(page, "a yellow square")
    expect(status(page).locator("li.now")).to_have_text("Encoding", timeout=SLOW_MS)
    second = page.context.new_page()
    visit(second, running)
    upload(second, other_clip)
    ask(second, "a yellow square")
    expect(status(second)).to_contain_text("1 question is before yours", timeout=SLOW_MS)
    running.engine.gate.set()
    expect(status(second)).to_contain_text("1 moment found", timeout=SLOW_MS)


def test_a_late_event_of_the_clip_leaves_its_question_alone(
    page: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    visit(page, serve())
    late: list[Any] = []  # the clip's event goes out at once, questions go through the queue
    page.route("**/run/predict", lambda route: late.append(route))
    upload(page, clip)
    ask(page, "   ")
    expect(status(page)).to_contain_text("query is empty", timeout=SLOW_MS)
    while not late:
        page.wait_for_timeout(20)
    with page.expect_response("**/run/predict") as response:
        late[0].continue_()
    assert response.value.ok
    page.wait_for_timeout(200)  # whatever it changes is on the page by then
    expect(status(page)).to_contain_text("query is empty")


def test_bad_input_is_explained_in_place(
    page: Any, serve: Callable[..., RunningApp], clip: Path, tmp_path: Path
) -> None:
    running = serve()
    visit(page, running)
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("There is no clip yet", timeout=SLOW_MS)
    upload(page, clip)
    ask(page, "   ")
    expect(status(page)).to_contain_text("query is empty", timeout=SLOW_MS)
    ask(page, "word " * 200)  # all of it is there to be shortened
    expect(status(page)).to_contain_text("has 999 characters; at most 500 are read", timeout=SLOW_MS)
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Token budget").fill("3")
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("cannot hold 8 frames", timeout=SLOW_MS)
    expect(status(page)).to_have_attribute("role", "alert")
    page.get_by_label("Token budget").fill("")
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)


def test_a_refused_question_leaves_the_last_answer_alone(
    page: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    visit(page, serve())
    upload(page, clip)
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)
    wait_ended(page)
    ask(page, "")
    expect(status(page)).to_contain_text("query is empty", timeout=SLOW_MS)
    expect(page.locator("#ground-result")).to_contain_text("27 of 32")


def test_a_break_shows_an_incident_and_nothing_else(
    page: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    running = serve()
    running.engine.broken = RuntimeError("cannot open /home/secret/model.bin")
    visit(page, running)
    upload(page, clip)
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text(re.compile("incident [0-9a-f]{8}"), timeout=SLOW_MS)
    assert "secret" not in page.content()
    running.engine.broken = None
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """Two examples of two seconds; the inside of their moments begins at half a second."""
    folder = tmp_path / "examples"
    folder.mkdir()
    rows = []
    for name, title in (("a.mp4", "Shapes & <i>light</i>"), ("b.mp4", "Second")):
        write_clip(folder / name, seconds=2, hue=len(rows) * 90)
        questions = [f"{title} ${{1+1}}?", "a purple dog"]
        rows.append({"file": name, "title": title, "questions": questions, "loop_s": [0.5, 1.5]})
    (folder / "manifest.json").write_text(json.dumps(rows))
    return folder


def test_a_card_fills_the_form_and_a_chip_asks(
    page: Any, serve: Callable[..., RunningApp], examples: Path
) -> None:
    running = serve(examples_folder=examples)
    visit(page, running)
    query = page.locator("#ground-query textarea")
    page.get_by_role("button", name="a purple dog").click()  # the first thing that is done on the page
    expect(status(page)).to_contain_text("Nothing in this clip matches", timeout=SLOW_MS)
    expect(query).to_have_value("a purple dog")
    expect(page.locator("#ground-clip video")).to_be_visible(timeout=SLOW_MS)
    wait_ended(page)
    page.get_by_role("button", name="Second", exact=True).click()
    expect(query).to_have_value("Second ${1+1}?", timeout=SLOW_MS)
    expect(status(page)).to_contain_text("Choose a clip", timeout=SLOW_MS)
    page.get_by_role("button", name="Second ${1+1}?").click()
    expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)
    page.get_by_role("button", name="Shapes & <i>light</i>").click()
    page.get_by_role("button", name="Shapes & <i>light</i> ${1+1}?").click()
    expect(page.locator("#ground-timeline .tl-query")).to_have_text("Shapes & <i>light</i> ${1+1}?")
    expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)
    assert len(set(running.engine.encoded)) == 2


def test_cards_move_for_a_while_and_stand_still_for_who_wants_that(
    page: Any, serve: Callable[..., RunningApp], examples: Path
) -> None:
    running = serve(examples_folder=examples)
    inside = """(wanted) => {
      const video = document.querySelector('.tempo-cards video');
      return video && video.currentTime >= 0.5 && video.currentTime < 1.7 && video.paused === (wanted === 'still');
    }"""
    page.emulate_media(reduced_motion="no-preference")
    visit(page, running)
    page.wait_for_function(inside, arg="still")  # after its seconds
    card = page.get_by_role("button", name="Shapes & <i>light</i>", exact=True)
    card.focus()
    page.wait_for_function(inside, arg="moving")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_function(inside, arg="still")
    page.emulate_media(reduced_motion="reduce")
    card.focus()
    card.hover()
    page.wait_for_timeout(500)
    assert page.evaluate(inside, "still")


def test_the_answer_is_there_before_its_windows(
    page: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    running = serve()
    running.engine.ranking_gate.clear()
    visit(page, running)
    upload(page, clip)
    page.locator("#ground-query textarea").fill("a yellow square")
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text("Other windows are being ranked", timeout=SLOW_MS)
    aside = page.get_by_role("region", name="Answer")
    moment = aside.get_by_role("button", name="Moment 1 of 1")
    expect(moment).to_be_visible()
    expect(aside).to_contain_text("They are being ranked.")
    expect(page.locator("#ground-timeline [role=slider]")).to_have_attribute("aria-valuenow", "1.00")
    moment.focus()
    running.engine.ranking_gate.set()
    expect(aside.get_by_role("button", name="Window 1")).to_be_visible(timeout=SLOW_MS)
    expect(status(page)).to_have_text(re.compile("1 moment found. Answered in .* s.$"))
    expect(moment).to_be_focused()  # what is added later takes nothing away


def test_nothing_moves_while_a_question_is_answered(
    page: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    page.add_init_script(
        "window.shifts = []; window.observer = new PerformanceObserver((list) => {"
        " for (const entry of list.getEntries()) window.shifts.push(entry.value); });"
        "window.observer.observe({ type: 'layout-shift' });"
    )
    running = serve()
    running.engine.gate.clear()
    visit(page, running)
    upload(page, clip)
    page.locator("#ground-query textarea").fill("a yellow square")
    # A shift is told a little after it: none of those before may come now.
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate("window.observer.takeRecords(); window.shifts.length = 0")
    page.keyboard.press("Enter")
    expect(status(page).locator("li.now")).to_have_text("Encoding", timeout=SLOW_MS)
    running.engine.gate.set()
    expect(page.locator("#ground-result .tempo-facts")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator("#ground-earlier").get_by_role("button")).to_have_count(1)
    # What a browser calls good is up to 0.1; the playhead and what is written below the tabs may move.
    assert page.evaluate("window.shifts.reduce((sum, shift) => sum + shift, 0)") < 0.02


def test_another_question_needs_no_ranking_to_end(
    page: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    running = serve()
    running.engine.ranking_gate.clear()
    visit(page, running)
    upload(page, clip)
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("Other windows are being ranked", timeout=SLOW_MS)
    ask(page, "a purple dog")
    expect(status(page)).to_contain_text("Nothing in this clip matches", timeout=SLOW_MS)
    assert running.engine.cancelled == 1
    page.locator("#ground-cancel").click()
    expect(status(page)).to_contain_text("The answer stays", timeout=SLOW_MS)
    expect(page.locator("#ground-timeline .tl-refusal")).to_contain_text("Not in this clip")
    expect(page.get_by_role("region", name="Answer")).not_to_contain_text("being ranked")
    for query in ("a yellow square", "a purple dog"):
        expect(page.locator("#ground-earlier").get_by_role("button", name=query)).to_be_visible()


def test_a_question_asked_while_the_model_loads_is_answered(
    page: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    gate, engine = threading.Event(), FakeEngine()
    running = serve(engines=EngineProvider(lambda: gate.wait(600) and engine), engine=engine)
    page.goto(running.url)
    upload(page, clip)
    ask(page, "a yellow square")
    expect(status(page)).to_contain_text("Waiting for the model", timeout=SLOW_MS)
    gate.set()
    expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)
    expect(page.locator("#ground-about")).to_contain_text("This model understands yellow squares.")


def test_the_first_screen_says_what_the_model_knows(page: Any, serve: Callable[..., RunningApp]) -> None:
    visit(page, serve())
    expect(page.locator("#ground-timeline .tl-stage-note")).to_contain_text(
        "This model understands yellow squares. It does not understand axolotls.", use_inner_text=False
    )
    page.get_by_text("What can be asked").click()
    expect(page.locator("#ground-about")).to_contain_text("It does not understand axolotls.")


@pytest.mark.parametrize(
    ("query", "chip", "card"),
    [
        ("a yellow square", "1 moment, clear", "clear"),
        ("a vague square", "1 moment, a guess", "a guess"),
        ("a purple square", "Not in this clip", "Next: look at the ranked windows"),
        ("an axolotl", "Not understood", "Next: ask in words that it knows"),
    ],
)
def test_an_answer_is_headed_by_how_far_to_trust_it(
    page: Any, serve: Callable[..., RunningApp], clip: Path, query: str, chip: str, card: str
) -> None:
    visit(page, serve())
    upload(page, clip)
    ask(page, query)
    expect(page.locator("#ground-timeline .tl-chip")).to_have_text(chip, timeout=SLOW_MS)
    expect(page.get_by_role("region", name="Answer")).to_contain_text(card)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_fits_every_width_and_does_not_jump(
    page: Any, serve: Callable[..., RunningApp], clip: Path, theme: str
) -> None:
    top_of = "document.querySelector('#ground-result').getBoundingClientRect().top + scrollY"
    page.set_viewport_size({"width": 390, "height": 900})
    visit(page, serve(), f"?__theme={theme}")
    for width in (390, 768, 1024, 1440, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        upload(page, clip)
        expect(page.locator("#ground-timeline .tl-root > *").first).to_be_visible(timeout=SLOW_MS)
        before = page.evaluate(top_of)
        ask(page, "a yellow square")
        expect(status(page)).to_contain_text("1 moment found", timeout=SLOW_MS)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert abs(page.evaluate(top_of) - before) <= 24, width
        wait_ended(page)
        page.locator("#ground-clip").get_by_label("Clear").click()
        expect(status(page)).to_contain_text("Choose a clip", timeout=SLOW_MS)
