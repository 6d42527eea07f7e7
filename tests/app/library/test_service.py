"""A folder that is asked as a whole: in the background, between people's questions, without a path to anybody."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.auth.users import LOCAL_USER
from app.ground.engines import EngineProvider
from app.ground.service import GroundingService, Outcome, ground_with_engine
from app.job_queue import JobQueues, Progress
from app.library.service import LibraryService, LibraryStatus
from app.library.view import MAX_SHOWN, answer_line, index_html, index_line, ranked_json
from app.media.library import MediaLibrary
from tempo_core.errors import InputError
from tempo_core.library.index import ClipIndex
from tempo_core.library.search import ClipMoment, LibraryAnswer
from tempo_core.moments import Moment
from tests.app.conftest import RunningApp
from tests.app.fakes import FakeEngine, light_draw, light_prepare
from tests.app.library.conftest import RED

gradio_client = pytest.importorskip("gradio_client")


@pytest.fixture
def library(tmp_path: Path, engine: Any, rushes: Path) -> Any:
    (tmp_path / "media").mkdir()
    queues = JobQueues()
    media = MediaLibrary(tmp_path / "media", light_prepare, light_draw)
    grounding = GroundingService(EngineProvider.of(engine), media, queues, ground=ground_with_engine)
    yield LibraryService([rushes], tmp_path / "index", grounding)
    queues.close()


def answer_of(library: LibraryService, query: str) -> tuple[list[Progress], Any]:
    async def ask() -> list[Any]:
        return [step async for step in library.ask(LOCAL_USER, "rushes", query, threading.Event())]

    *progress, answer = asyncio.run(ask())
    return progress, answer


def test_one_clip_is_counted_as_one() -> None:
    status = LibraryStatus(name="rushes", clips=1)
    assert index_line(status).startswith("0 of 1 clip is ready.")
    assert index_line(replace(status, is_indexing=False)) == "1 clip is ready."
    answer = LibraryAnswer(
        query="a dog",
        folder=Path("rushes"),
        moments=[],
        without={"plain.mp4": 0.1},
        problems={},
        understood=None,
        ends_s={},
        is_calibrated=True,
        model_id="tiny",
        notes=[],
        elapsed_s=1.0,
    )
    assert answer_line(answer).startswith("In none of 1 clip.")
    found = ClipMoment(clip="plain.mp4", moment=Moment(0.0, 1.0), probability=0.9, confidence=0.9)
    assert answer_line(replace(answer, moments=[found], without={})).startswith("1 moment in 1 of 1 clip.")


def test_a_folder_is_encoded_and_asked(library: LibraryService, tmp_path: Path) -> None:
    assert index_line(library.statuses()[0]) == "Looking through the folder."
    with pytest.raises(InputError, match="No clip of rushes is ready yet"):
        answer_of(library, RED)
    library.refresh()
    [status] = library.statuses()
    assert (status.clips, status.ready, status.problems, status.is_indexing) == (2, 2, 0, False)
    assert index_line(status) == "2 clips are ready."
    progress, answer = answer_of(library, RED)
    assert {step.stage for step in progress} <= {"queued", "answering"}
    assert answer.moments
    assert answer.moments[0].clip == "plain.mp4"
    assert [picture[:2] for picture in library.pictures(answer, answer.moments[:1])] == [b"\xff\xd8"]
    assert str(tmp_path) not in ranked_json(answer, library.pictures(answer, answer.moments[:MAX_SHOWN]))
    assert "of 2 clips. Answered in" in answer_line(answer)
    _, unknown = answer_of(library, "a dog runs")
    assert answer_line(unknown).startswith("This model does not know “dog”")


def test_a_listed_moment_opens_with_the_same_answer(library: LibraryService) -> None:
    library.refresh()
    _, answer = answer_of(library, RED)
    item = answer.moments[0]
    question = library.question("rushes", item, answer.query)

    async def ground() -> list[Any]:
        steps = library.grounding.ground(LOCAL_USER, question, threading.Event())
        return [step async for step in steps]

    outcome = asyncio.run(ground())[-1]
    assert isinstance(outcome, Outcome)
    assert item.moment in outcome.answer.moments
    assert outcome.answer.relevance == pytest.approx(item.probability)
    assert outcome.clip.title == "plain.mp4"


def test_what_cannot_be_asked_is_said(library: LibraryService, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not offered here"):
        asyncio.run(anext(library.ask(LOCAL_USER, "../etc", RED, threading.Event())))
    with pytest.raises(InputError, match="there is no such folder"):
        LibraryService([tmp_path / "none"], tmp_path, library.grounding)
    library.grounding.engines._engine = FakeEngine()
    library.refresh()
    assert "keeps no encoded clips" in index_line(library.statuses()[0])


def test_folders_of_one_name_are_told_apart(library: LibraryService, tmp_path: Path) -> None:
    other = tmp_path / "other" / "rushes"
    other.mkdir(parents=True)
    both = LibraryService([library.folders["rushes"], other], tmp_path, library.grounding)
    assert list(both.folders) == ["rushes", "rushes (2)"]


def test_a_closed_service_encodes_nothing(library: LibraryService, engine: Any, rushes: Path) -> None:
    library.close()
    library.refresh()
    assert ClipIndex(library.home).digests(rushes) == {}


@pytest.mark.slow
def test_programs_ask_a_folder_by_its_name(serve_rushes: Callable[[], RunningApp], tmp_path: Path) -> None:
    running = serve_rushes()
    folders = httpx.get(f"{running.url}/library", timeout=300).json()["folders"]
    assert [(folder["name"], folder["ready"]) for folder in folders] == [("rushes", 2)]
    client = gradio_client.Client(
        running.url, verbose=False, analytics_enabled=False, httpx_kwargs={"timeout": 300}
    )
    answer = client.predict(folder="rushes", query=RED, api_name="/ask_library")
    assert answer["result"] == "moments"
    assert answer["moments"][0]["clip"] == "plain.mp4"
    assert str(tmp_path) not in str(answer)
    with pytest.raises(Exception, match="not offered here"):
        client.predict(folder=str(tmp_path), query=RED, api_name="/ask_library")


def test_the_page_says_how_far_a_folder_is() -> None:
    def line(**parts: Any) -> str:
        return index_line(LibraryStatus(name="rushes", **parts))

    assert line(clips=200, ready=120, seconds_left=130.0) == (
        "120 of 200 clips are ready, about 2 min left. Questions go to those."
    )
    assert line(clips=200, ready=199, seconds_left=4.0, problems=1).endswith(
        "about 4 s left. Questions go to those. 1 cannot be read."
    )
    assert line(clips=1, ready=1, is_indexing=False) == "1 clip is ready."
    bar = index_html(LibraryStatus(name="rushes", clips=200, ready=120))
    assert 'max="200" value="120"' in bar
    assert " hidden" not in bar
    assert " hidden" in index_html(LibraryStatus(name="rushes", clips=2, ready=2, is_indexing=False))
    assert index_html(None) == ""
