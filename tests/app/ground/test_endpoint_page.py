"""The ground page with a model behind a small local server."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.ground.engines import EngineProvider
from app.ground.service import ground_with_engine
from app.media.clips import prepare_clip
from tempo_core.endpoints import open_endpoint
from tests.app.conftest import RunningApp
from tests.openai_server import completion, fake_server, token

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
]

SLOW_MS = 300_000
ANSWER = "The event happens in 1.0 - 3.0 seconds."
SURE = completion(
    ANSWER,
    logprobs=[token("The event happens in ", -0.1), token("1.0", -0.1), token(" - 3.0 seconds.", -0.1)],
)
YES = completion("Yes", logprobs=[token("Yes", math.log(0.9), No=math.log(0.1))])


def test_a_served_model_answers_on_the_page_and_its_absence_is_explained(
    page: Any, serve: Callable[..., RunningApp], clip: Path
) -> None:
    with fake_server() as server:
        server.replies = [
            SURE,
            YES,
            completion(ANSWER),
            (401, {}, {}),
            completion("Somewhere."),
            completion(ANSWER),
        ]
        backend = open_endpoint(server.address)
        running = serve(engines=EngineProvider.of(backend), ground=ground_with_engine, prepare=prepare_clip)
        page.goto(running.url)
        expect(page.get_by_text("TimeLens-8B").first).to_be_visible(timeout=SLOW_MS)
        page.locator("#ground-clip input[type=file]").set_input_files(str(clip))
        expect(page.locator("#ground-clip video")).to_be_visible(timeout=SLOW_MS)
        status, timeline = page.locator("#ground-status .tempo-status"), page.locator("#ground-timeline")

        def ask(query: str) -> None:
            page.locator("#ground-query textarea").fill(query)
            page.locator("#ground-ask").click()

        ask("a square crosses")
        expect(status).to_contain_text("1 moment found", timeout=SLOW_MS)
        expect(timeline.get_by_text("0:01.0 – 0:03.0").first).to_be_visible()
        expect(timeline.get_by_text("P(relevant) 90 %").first).to_be_visible()
        expect(page.locator("#ground-result")).to_contain_text("never taught to refuse")
        ask("no probabilities")
        expect(page.locator("#ground-result")).to_contain_text(
            "no confidence and no P(relevant)", timeout=SLOW_MS
        )
        expect(timeline.get_by_text("no confidence").first).to_be_visible()
        expect(page.locator("#ground-result")).to_contain_text("not known")
        # What goes wrong there is one sentence here, and the next question is answered.
        ask("no key")
        expect(status).to_contain_text("wants a key (401)", timeout=SLOW_MS)
        expect(status).not_to_contain_text("127.0.0.1")
        ask("no grammar")
        expect(status).to_contain_text(
            "answered outside of its grammar, so there is no answer", timeout=SLOW_MS
        )
        ask("an answer again")
        expect(status).to_contain_text("1 moment found", timeout=SLOW_MS)
        assert all("image_url" in str(body["messages"]) for body in server.bodies)
