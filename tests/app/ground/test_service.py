"""The rules about settings, and a model that is changed while questions wait; the rest of its work is tested
through the API and the page.
"""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.auth.users import LOCAL_USER
from app.ground.engines import EngineProvider
from app.ground.service import (
    FirstAnswer,
    GroundingService,
    Outcome,
    Question,
    Settings,
    ground_with_engine,
)
from app.job_queue import JobQueues
from app.media.library import Clip, ClipFacts, MediaLibrary
from tempo_core.errors import InputError
from tests.app.fakes import FakeEngine, fake_ground, light_draw, light_prepare, write_clip


def test_reads_a_form() -> None:
    assert Settings.read(None, None, None, None) == Settings()
    assert Settings.read(0, "uniform", "", 7) == Settings(allocator="uniform", n_best=7)
    assert Settings.read("96", "saa", "0.5", 1) == Settings(
        token_budget=96, allocator="saa", step_s=0.5, n_best=1
    )


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ((10.5, "saa", None, 5), "token budget must be a whole number"),
        (("many", "saa", None, 5), "token budget must be a number; got 'many'"),
        ((float("nan"), "saa", None, 5), "finite"),
        ((float("inf"), "saa", None, 5), "finite"),
        ((10**400, "saa", None, 5), "finite"),
        ((-1, "saa", None, 5), "1 or more"),
        ((None, "greedy", None, 5), "Unknown allocator 'greedy'"),
        ((None, "saa", 0.01, 5), "between 0.1 and 600"),
        ((None, "saa", None, 21), "1 to 20"),
    ],
)
def test_explains_what_cannot_be(form: tuple[Any, ...], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        Settings.read(*form)


def test_a_question_that_waited_while_the_model_was_changed_is_answered_by_the_one_it_was_asked_of(
    tmp_path: Path,
) -> None:
    fake_engines = [FakeEngine(), FakeEngine(), FakeEngine()]
    for number, engine in enumerate(fake_engines):
        engine.model_id = f"model-{number}"  # type: ignore[misc]
    engines = EngineProvider(lambda: fake_engines[0])
    engines.start()
    assert engines.wait(300)
    (tmp_path / "media").mkdir()
    media, queues = MediaLibrary(tmp_path / "media", light_prepare, light_draw), JobQueues()
    service = GroundingService(engines, media, queues, ground=fake_ground)
    question = Question(source=write_clip(tmp_path / "clip.mp4"), query="a square", settings=Settings())

    def ask() -> Outcome:
        return asyncio.run(_outcome(service, question))

    assert (ask().reused, ask().reused) == (False, True)
    service.contexts.find = _changing(service, engines, fake_engines[1], service.contexts.find)  # type: ignore[method-assign]
    outcome = ask()  # a context of model-0 is there, and it answers from it
    assert (outcome.reused, outcome.answer.model_id, outcome.context.model_id) == (True, "model-0", "model-0")
    first = ask()  # the next one is asked of model-1
    assert (first.reused, first.answer.model_id, first.context.model_id) == (False, "model-1", "model-1")
    assert ask().reused
    service.contexts.find = _changing(service, engines, fake_engines[2], lambda *_: None)  # type: ignore[method-assign]
    assert ask().context.model_id == "model-1"  # asked of model-1, where nothing was kept
    del service.contexts.find
    assert ask().answer.model_id == "model-2"  # what model-1 made is not taken for model-2's
    queues.close()


def test_the_answer_comes_before_its_windows_are_ranked(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.ranking_gate.clear()
    (tmp_path / "media").mkdir()
    media, queues = MediaLibrary(tmp_path / "media", light_prepare, light_draw), JobQueues()
    service = GroundingService(EngineProvider.of(engine), media, queues, ground=fake_ground)
    question = Question(source=write_clip(tmp_path / "clip.mp4"), query="a square", settings=Settings())

    async def ask() -> list[Outcome]:
        answers = []
        async for step in service.ground(LOCAL_USER, question, threading.Event()):
            if isinstance(step, FirstAnswer):
                answers.append(step.outcome)
                engine.ranking_gate.set()  # nothing is ranked before this
            elif isinstance(step, Outcome):
                answers.append(step)
        return answers

    for is_reused in (False, True):
        engine.ranking_gate.clear()
        early, outcome = asyncio.run(ask())
        assert (early.answer.ranked, len(outcome.answer.ranked)) == ([], 5)
        assert replace(outcome.answer, ranked=[]) == early.answer
        assert early.context_id == outcome.context_id
        assert (early.reused, outcome.reused) == (is_reused, is_reused)
    assert len(service.contexts) == 1
    queues.close()


def test_questions_that_wait_for_one_clip_are_answered_together(tmp_path: Path) -> None:
    engine = FakeEngine()
    (tmp_path / "media").mkdir()
    media, queues = MediaLibrary(tmp_path / "media", light_prepare, light_draw), JobQueues()
    service = GroundingService(EngineProvider.of(engine), media, queues, ground=fake_ground)
    question = Question(source=write_clip(tmp_path / "clip.mp4"), query="a square", settings=Settings())
    gate = threading.Event()

    async def again(query: str, context_id: str) -> Outcome | Exception:
        try:
            steps = [step async for step in service.ask(LOCAL_USER, context_id, query, 3, threading.Event())]
        except InputError as error:
            return error
        assert isinstance(steps[-1], Outcome)
        return steps[-1]

    async def scene() -> list[Outcome | Exception]:
        first = await _outcome(service, question)
        queues.model.submit("somebody", lambda job: gate.wait(300))
        tasks = [
            asyncio.create_task(again(query, first.context_id)) for query in ("a", "purple", "an axolotl")
        ]
        tasks.append(asyncio.create_task(_outcome(service, replace(question, query="another"))))
        while len(queues.model) < 5:
            await asyncio.sleep(0.01)
        gate.set()
        return await asyncio.gather(*tasks)

    outcomes = asyncio.run(scene())
    assert sorted(map(sorted, engine.batches)) == [["a", "an axolotl", "another", "purple"]]
    assert all(isinstance(outcome, Outcome) and outcome.reused for outcome in outcomes)
    answers = [outcome.answer for outcome in outcomes if isinstance(outcome, Outcome)]
    assert [answer.query for answer in answers] == ["a", "purple", "an axolotl", "another"]
    assert [answer.refused for answer in answers] == [False, True, False, False]
    assert [len(answer.ranked) for answer in answers] == [3, 3, 0, 5]
    queues.close()


async def _outcome(service: GroundingService, question: Question) -> Outcome:
    steps = [step async for step in service.ground(LOCAL_USER, question, threading.Event())]
    assert isinstance(steps[-1], Outcome)
    return steps[-1]


def _changing(service: GroundingService, engines: EngineProvider, engine: FakeEngine, find: Any) -> Any:
    """`find`, and then, before the question's turn comes, another model."""

    def find_and_change(*args: Any) -> Any:
        stored = find(*args)
        engines._engine = engine
        return stored

    return find_and_change


def test_a_film_is_scanned_and_the_next_question_looks_only_where_it_must(tmp_path: Path) -> None:
    from tempo_core.engine import load_engine

    engine = load_engine()
    (tmp_path / "media").mkdir()

    def prepare(*args: Any, **kwargs: Any) -> ClipFacts:
        return replace(light_prepare(*args, **kwargs), duration_s=330.0)

    media, queues = MediaLibrary(tmp_path / "media", prepare, light_draw), JobQueues()
    service = GroundingService(EngineProvider.of(engine), media, queues, ground=ground_with_engine)
    film = write_clip(tmp_path / "film.mp4", seconds=330, rate=2)

    async def ask(query: str) -> tuple[Clip, Outcome]:
        question = Question(source=film, query=query, settings=Settings())
        steps = [step async for step in service.ground(LOCAL_USER, question, threading.Event())]
        (clip,) = (step for step in steps if isinstance(step, Clip))
        assert isinstance(steps[-1], Outcome)
        return clip, steps[-1]

    for query, is_reused in (("a red circle is on screen", False), ("a blue square", True)):
        clip, outcome = asyncio.run(ask(query))
        assert service.is_film(clip, Settings())
        assert not service.is_film(clip, Settings(step_s=10))
        assert outcome.reused == is_reused
        data = outcome.to_dict()
        assert {look["step_s"] for look in data["looks"] if look["pass"] == "scan"} == {8.0}
        assert sum(look["frames"] for look in data["looks"]) == len(data["stamps"])
        assert len(data["allocation"]["times_s"]) == len(set(data["allocation"]["times_s"])) > 40
    assert len(service.contexts) == 1
    queues.close()
