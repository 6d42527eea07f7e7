"""The Models page in Chromium: a download that is cut, cancelled, looked at again and resumed; another model served."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotations.rows import Row
from annotations.store import Store
from app.ground.engines import EngineProvider
from tempo_core.checkpoint import SHIPPED
from tempo_core.hub import Hub
from tempo_core.moments import Moment
from tests.app.annotating import until
from tests.app.conftest import RunningApp
from tests.app.fakes import FakeAnswer, FakeEngine
from tests.bad_checkpoints import bad_checkpoint
from tests.fake_hub import FakeHub, serve_hub

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
]

SLOW_MS = 300_000
NAME = "someone/grounder"


class OtherEngine(FakeEngine):
    """An engine that was loaded from a folder and never learned to refuse."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model_id = f"{folder.name}@0/nf4"  # type: ignore[misc]

    def ask(self, context: Any, query: str, **options: Any) -> FakeAnswer:
        answer = super().ask(context, query, **options)
        note = "This model was never taught to refuse: P(relevant) is its own yes/no turn, not calibrated."
        return replace(answer, moments=[Moment(2.0, 3.5)], confidences=[0.4], relevance=0.62, notes=[note])


@pytest.fixture
def remote() -> Iterator[FakeHub]:
    with serve_hub(FakeHub()) as served:
        served.add(NAME, SHIPPED)
        yield served


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(":memory:") as store:
        store.import_rows([Row(qid="q", vid="v", query="a")], dataset="cooking", op_id="1")
        yield store


@pytest.fixture
def running(store: Store, serve: Callable[..., RunningApp], remote: FakeHub, tmp_path: Path) -> RunningApp:
    """The store closes after the server, whose threads share its one connection."""
    engine = FakeEngine()
    return serve(
        store=store,
        engine=engine,
        engines=EngineProvider.of(engine, name="tempo-tiny"),
        hub=Hub(endpoint=remote.url, cache=tmp_path / "cache", pause_s=0.0),
        load_model=lambda folder, adapter, four_bit: OtherEngine(folder),
    )


def card(page: Any, name: str) -> Any:
    return page.get_by_role("article", name=name, exact=True)


def test_a_download_that_is_cut_and_cancelled_goes_on_and_is_served(
    page: Any, running: RunningApp, remote: FakeHub
) -> None:
    page.goto(f"{running.url}/models")
    expect(page.get_by_text("fake-engine is ready.")).to_be_visible(timeout=SLOW_MS)
    timelens = card(page, "MCG-NJU/TimeLens2-4B")
    expect(timelens).to_contain_text("several moments · never taught to refuse")
    expect(timelens).to_contain_text("a confidence for each moment · P(relevant) not calibrated")
    expect(timelens).to_contain_text("In memory: NF4")
    expect(timelens.get_by_role("link", name="source")).to_have_attribute(
        "href", "https://huggingface.co/MCG-NJU/TimeLens2-4B"
    )

    # cut once, resumed by itself; then it waits half-way
    remote.cut_after = [2_000_000]
    remote.gate.clear()
    page.get_by_label("Another checkpoint of the hub").first.fill(NAME)
    page.locator(".tempo-models-add form").first.get_by_role("button").click()
    grounder = card(page, NAME)
    expect(grounder).to_contain_text("%)", timeout=SLOW_MS)
    expect(grounder.get_by_role("progressbar")).to_be_visible()
    while len(remote.ranges) < 2:  # smaller files come first, and each is synced
        page.wait_for_timeout(20)
    assert remote.ranges[:2] == ["", "bytes=2000000-"]
    page.reload()
    expect(grounder.get_by_role("progressbar")).to_be_visible(timeout=SLOW_MS)
    with page.expect_response("**/downloads/cancel"):  # or all of it may be here before it is cancelled
        grounder.get_by_role("button", name=f"Cancel {NAME}").click()
    remote.gate.set()
    expect(grounder).to_contain_text("What is here is kept", timeout=SLOW_MS)
    grounder.get_by_role("button", name=f"Download {NAME}").click()
    expect(grounder.locator(".state")).to_have_text("Here", timeout=SLOW_MS)
    assert remote.ranges[-1].startswith("bytes=")

    # what cannot be had is one sentence
    page.get_by_label("Another checkpoint of the hub").first.fill("someone/else")
    page.locator(".tempo-models-add form").first.get_by_role("button").click()
    absent = card(page, "someone/else")
    expect(absent).to_contain_text("has no model someone/else", timeout=SLOW_MS)
    absent.get_by_role("button", name="Remove someone/else").click()
    expect(absent).to_have_count(0, timeout=SLOW_MS)

    grounder.get_by_role("button", name=f"Serve {NAME}").click()
    expect(grounder.locator(".state")).to_have_text("Served", timeout=SLOW_MS)
    expect(page.locator(".tempo-models-served")).to_contain_text("@0/nf4 is ready.")
    expect(card(page, "tempo-tiny").locator(".state")).to_have_text("Here")

    # proposers
    fieldset = page.get_by_role("group", name="cooking")
    fieldset.get_by_label("grounder", exact=True).check()
    store = running.app.state.models.store
    until(lambda: store.proposers("cooking"), lambda names: names == {"grounder"})


def test_folders_that_cannot_run_are_told_one_by_one_and_the_served_model_answers(
    page: Any, running: RunningApp, clip: Path, tmp_path: Path
) -> None:
    page.goto(f"{running.url}/models")
    expect(page.get_by_text("fake-engine is ready.")).to_be_visible(timeout=SLOW_MS)
    for kind in ("custom code", "pickle", "gptq", "gguf", "unknown type", "mixture of experts"):
        folder = tmp_path / kind.replace(" ", "-")
        words = bad_checkpoint(kind, SHIPPED, folder)
        page.get_by_label("A folder on the server").first.fill(str(folder))
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible(timeout=SLOW_MS)
        answer = page.request.post(f"{running.url}/models/api/folders", data={"path": str(folder)})
        assert answer.status == 400
        assert words in answer.json()["error"]
    page.goto(running.url)
    page.locator("#ground-clip input[type=file]").set_input_files(str(clip))
    expect(page.locator("#ground-clip video")).to_be_visible(timeout=SLOW_MS)
    page.locator("#ground-query textarea").fill("a red square")
    page.locator("#ground-ask").click()
    expect(page.locator("#ground-result")).to_contain_text("fake-engine", timeout=SLOW_MS)


def test_two_models_answer_about_one_clip_and_one_is_served_while_a_question_waits(
    page: Any, running: RunningApp, clip: Path, tmp_path: Path
) -> None:
    shutil.copytree(SHIPPED, tmp_path / "second")
    page.goto(f"{running.url}/models")
    page.get_by_label("A folder on the server").first.fill(str(tmp_path / "second"))
    page.get_by_role("button", name="Add", exact=True).click()
    second = card(page, "second")
    expect(second.locator(".state")).to_have_text("Here", timeout=SLOW_MS)
    assert str(tmp_path) not in page.content()
    offered = second.get_by_label("Visitors may choose it")
    open_box = offered.screenshot()
    offered.check()
    page.mouse.move(0, 0)
    assert offered.screenshot() != open_box, "a checked box looks like one"
    page.wait_for_function(
        "async () => (await (await fetch('/status')).json()).offered.includes('second')", timeout=SLOW_MS
    )

    page.goto(running.url)
    models = page.locator("#ground-models")
    expect(models.get_by_label("tempo-tiny (served)")).to_be_checked(timeout=SLOW_MS)
    models.get_by_label("second", exact=True).check()
    page.locator("#ground-clip input[type=file]").set_input_files(str(clip))
    expect(page.locator("#ground-clip video")).to_be_visible(timeout=SLOW_MS)
    page.locator("#ground-query textarea").fill("a yellow square")
    page.locator("#ground-ask").click()
    status = page.locator("#ground-status .tempo-status")
    expect(status).to_contain_text("2 models answered", timeout=SLOW_MS)
    lanes = page.locator("#ground-timeline .tl-lane:visible .tl-label")
    expect(lanes.filter(has_text="fake-engine")).to_contain_text("P(relevant) 95 %")
    expect(lanes.filter(has_text="second")).to_contain_text("P(relevant) 62 %, never taught to refuse")
    expect(page.locator("#ground-timeline [data-lane='model-1'] .tl-moment")).to_contain_text("40 %")
    expect(page.locator("#ground-result")).to_contain_text("second@0/nf4")

    # the served model alone again: no lanes; and another one is served while the question waits
    models.get_by_label("second", exact=True).uncheck()
    running.engine.gate.clear()
    page.locator("#ground-query textarea").fill("a red square")
    page.locator("#ground-ask").click()
    expect(page.locator("#ground-ask")).to_be_disabled(timeout=SLOW_MS)
    running.app.state.models.serve("second")
    assert running.app.state.models.engines.wait(300)
    running.engine.gate.set()
    expect(status).to_contain_text("1 moment found", timeout=SLOW_MS)
    result = page.locator("#ground-result")
    expect(result).to_contain_text("fake-engine")
    expect(page.locator("#ground-timeline [data-row='model-1']")).to_be_hidden()
    page.locator("#ground-ask").click()
    expect(result).to_contain_text("second@0/nf4", timeout=SLOW_MS)
    expect(page.locator("#ground-head")).to_contain_text("second@0/nf4 is ready.")
