"""Several clips in one pass: the answers of asking them one by one."""

import threading
from pathlib import Path
from typing import Any

import pytest

from tempo_core import batching
from tempo_core.batching import ask_batch, can_batch
from tempo_core.engine import load_engine
from tempo_core.errors import Cancelled, InputError
from tests.tempo_core.conftest import make_video
from tests.tempo_core.family_checkpoints import save_checkpoint

QUERIES = ["a red circle appears", "no such thing", "12.0"]


@pytest.fixture(scope="module")
def contexts(engine: Any) -> list[Any]:
    """Clips of different lengths, so that most rows are padded."""
    return [engine.encode(make_video(seed, count=3 + 4 * seed)) for seed in range(5)]


@pytest.mark.parametrize("n_best", [0, 5])
@pytest.mark.parametrize("query", QUERIES)
def test_the_answers_are_those_of_asking_one_by_one(
    engine: Any, contexts: list[Any], query: str, n_best: int
) -> None:
    assert can_batch(engine, contexts)
    before = [context.cache.get_seq_length() for context in contexts]
    together = ask_batch(engine, contexts, query, n_best=n_best)
    for context, answer in zip(contexts, together, strict=True):
        alone = engine.ask(context, query, n_best=n_best)
        assert answer.text == alone.text
        assert answer.moments == alone.moments
        assert answer.relevance == pytest.approx(alone.relevance, abs=1e-4)
        assert answer.confidences == pytest.approx(alone.confidences, abs=1e-4)
        assert [moment for moment, _ in answer.ranked] == [moment for moment, _ in alone.ranked]
        assert [score for _, score in answer.ranked] == pytest.approx(
            [score for _, score in alone.ranked], abs=1e-4
        )
    assert [context.cache.get_seq_length() for context in contexts] == before


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

    monkeypatch.setattr(batching.Turns, "_forward", fail)
    with pytest.raises(ZeroDivisionError, match="in the pass"):
        ask_batch(engine, contexts, "a red circle")
    assert ask_batch(engine, [], "a red circle") == []


@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "qwen3_vl", "qwen3_5"])
def test_every_family_answers_the_same_together(tmp_path: Path, tokenizer: Any, model_type: str) -> None:
    folder = save_checkpoint(tmp_path / model_type, model_type, tokenizer)
    engine = load_engine(folder, four_bit=False, device="cpu", protocol="tempo")
    contexts = [engine.encode(make_video(seed, count=3 + 4 * seed)) for seed in range(3)]
    assert can_batch(engine, contexts) == (model_type != "qwen3_5")  # linear attention takes no mask
    for context, answer in zip(contexts, ask_batch(engine, contexts, "12.0"), strict=True):
        alone = engine.ask(context, "12.0", n_best=0)
        assert answer.text == alone.text
        assert answer.relevance == pytest.approx(alone.relevance, abs=1e-4)
