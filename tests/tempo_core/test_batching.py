"""Several clips in one pass: the answers of asking them one by one."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tempo_core import decoding
from tempo_core.backend import AskRequest
from tempo_core.decoding import ask_batch, feed, feed_rows
from tempo_core.engine import load_engine
from tempo_core.errors import Cancelled, InputError
from tests.tempo_core.conftest import make_video
from tests.tempo_core.family_checkpoints import save_checkpoint

QUERIES = ["a red circle appears", "no such thing", "12.0"]


@pytest.fixture(scope="module")
def contexts(engine: Any) -> list[Any]:
    """Clips of different lengths, so that most rows are padded."""
    return [engine.encode(make_video(seed, count=3 + 4 * seed)) for seed in range(5)]


def check_equal(answer: Any, twin: Any) -> None:
    """Token by token, and figures to what rounding leaves."""
    assert (answer.query, answer.text, answer.moments) == (twin.query, twin.text, twin.moments)
    assert answer.relevance == pytest.approx(twin.relevance, abs=1e-4)
    assert answer.confidences == pytest.approx(twin.confidences, abs=1e-4)
    assert [moment for moment, _ in answer.ranked] == [moment for moment, _ in twin.ranked]
    assert [score for _, score in answer.ranked] == pytest.approx(
        [score for _, score in twin.ranked], abs=1e-4
    )


@pytest.mark.parametrize("n_best", [0, 1, 5, 20])
def test_searches_that_share_passes_find_what_each_finds_alone(
    engine: Any, contexts: list[Any], n_best: int
) -> None:
    for context in contexts:
        for query in QUERIES:
            request = AskRequest(context=context, query=query, n_best=n_best)
            check_equal(engine.ask(context, query, n_best=n_best), engine.ask_by_itself(request))


@pytest.mark.parametrize("n_best", [0, 5])
@pytest.mark.parametrize("query", QUERIES)
def test_the_answers_are_those_of_asking_one_by_one(
    engine: Any, contexts: list[Any], query: str, n_best: int
) -> None:
    before = [context.cache.get_seq_length() for context in contexts]
    together = ask_batch(engine, contexts, query, n_best=n_best)
    for context, answer in zip(contexts, together, strict=True):
        check_equal(answer, engine.ask(context, query, n_best=n_best))
    assert [context.cache.get_seq_length() for context in contexts] == before


@pytest.mark.parametrize("n_best", [0, 5])
def test_questions_that_wait_together_are_answered_as_one_by_one(
    engine: Any, contexts: list[Any], n_best: int
) -> None:
    queries = [*QUERIES, "red", "a " * 60, "two squares fade left and then right", "red", "?"]
    context = contexts[2]
    before = context.cache.get_seq_length()
    for query, answer in zip(queries, engine.ask_many(context, queries, n_best=n_best), strict=True):
        check_equal(answer, engine.ask(context, query, n_best=n_best))
    assert context.cache.get_seq_length() == before
    assert engine.ask_many(context, []) == []


def test_questions_about_several_clips_with_settings_of_their_own(engine: Any, contexts: list[Any]) -> None:
    requests = [
        AskRequest(context=contexts[number % 3], query=query, n_best=number)
        for number, query in enumerate([*QUERIES, *QUERIES])
    ]
    for request, answer in zip(requests, engine.ask_each(requests), strict=True):
        check_equal(answer, engine.ask(request.context, request.query, n_best=request.n_best))


def passes(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The rows' tokens of every pass from here on."""
    counts: list[list[int]] = []

    def count(engine: Any, rows: Any) -> None:
        counts.append([len(row.unfed) for row in rows])
        feed_rows(engine, rows)

    monkeypatch.setattr(decoding, "feed_rows", count)
    return counts


def test_an_answer_and_its_windows_share_passes(
    engine: Any, contexts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, twin_counts = passes(monkeypatch), []

    def feed_alone(model: Any, ids: Any, start: int, cache: Any, tokens: Any = None) -> Any:
        twin_counts.append(ids.shape)
        return feed(model, ids, start, cache, tokens)

    for module in ("tempo_core.engine.feed", "tempo_core.decoding.feed"):
        monkeypatch.setattr(module, feed_alone)
    for context in contexts:
        for query in QUERIES:
            engine.ask(context, query, n_best=5)
            engine.ask_by_itself(AskRequest(context=context, query=query, n_best=5))
            assert len(counts) < len(twin_counts)
            assert {len(rows) for rows in counts} == {1}, "the clip stands there once"
            counts.clear()
            twin_counts.clear()


def test_what_two_questions_share_is_fed_once(
    engine: Any, contexts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = passes(monkeypatch)
    engine.ask(contexts[1], "a red circle", n_best=5)
    alone = list(counts)
    counts.clear()
    engine.ask_many(contexts[1], ["a red circle"] * 8, n_best=5)
    assert counts == alone


def test_the_error_of_one_question_is_its_own(engine: Any, contexts: list[Any]) -> None:
    cancelled = threading.Event()
    cancelled.set()
    early_answers: list[Any] = []
    good, cancelled_result, bad, foreign = engine.ask_each(
        [
            AskRequest(context=contexts[0], query="a red circle", on_answer=early_answers.append),
            AskRequest(context=contexts[0], query="a red circle", cancel=cancelled),
            AskRequest(context=contexts[1], query=" "),
            AskRequest(context=replace(contexts[0], model_id="another"), query="a red circle"),
        ]
    )
    check_equal(good, engine.ask(contexts[0], "a red circle"))
    assert [answer.text for answer in early_answers] == [good.text]
    assert isinstance(cancelled_result, Cancelled)
    assert isinstance(bad, InputError)
    assert isinstance(foreign, InputError)


def test_errors_reach_whoever_asked(
    engine: Any, contexts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="n_best must lie"):
        ask_batch(engine, contexts, "a red circle", n_best=99)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        ask_batch(engine, contexts, "a red circle", cancel=cancel)

    def fail(*args: Any) -> None:
        raise ZeroDivisionError("in the pass")

    monkeypatch.setattr(decoding, "feed_rows", fail)
    with pytest.raises(ZeroDivisionError, match="in the pass"):
        ask_batch(engine, contexts, "a red circle")
    assert ask_batch(engine, [], "a red circle") == []


@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "qwen3_vl", "qwen3_5"])
def test_every_family_answers_the_same_together(
    tmp_path: Path, tokenizer: Any, model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_checkpoint(tmp_path / model_type, model_type, tokenizer)
    engine = load_engine(folder, four_bit=False, device="cpu", protocol="tempo")
    contexts = [engine.encode(make_video(seed, count=3 + 4 * seed)) for seed in range(3)]
    counts = passes(monkeypatch)
    for context, answer in zip(contexts, ask_batch(engine, contexts, "12.0", n_best=3), strict=True):
        twin = engine.ask_by_itself(AskRequest(context=context, query="12.0", n_best=3))
        check_equal(answer, twin)
    for query, answer in zip(QUERIES, engine.ask_many(contexts[1], QUERIES), strict=True):
        check_equal(answer, engine.ask_by_itself(AskRequest(context=contexts[1], query=query)))
    assert bool(counts) == (model_type != "qwen3_5"), "linear attention takes no mask: nothing is shared"
