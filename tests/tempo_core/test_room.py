"""A clip's context is held against the free memory before it is computed, and running out is a sentence."""

from typing import Any

import pytest
import torch

from tempo_core.decoding import cache_bytes
from tempo_core.engine import Engine, load_engine
from tempo_core.errors import MemoryShortage
from tempo_core.room import context_bytes, is_out_of_memory
from tests.tempo_core.conftest import make_video
from tests.tempo_core.family_checkpoints import ALL, save_checkpoint

QUERY = "a red circle"
SHORTAGES = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: 18800000000"
    ),
]


@pytest.fixture(scope="module", params=ALL)
def family_engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tokenizer: Any
) -> Engine:
    folder = save_checkpoint(tmp_path_factory.mktemp(request.param), request.param, tokenizer)
    return load_engine(folder, four_bit=False, device="cpu")


def test_what_is_planned_is_what_a_context_takes(family_engine: Engine) -> None:
    context = family_engine.encode(make_video())
    assert context.prompt is not None
    taken = 2 * cache_bytes(context.cache) + context.prompt.visual_tokens.nbytes
    planned = context_bytes(family_engine.loaded, context.prefix_tokens, len(context.prompt.visual_tokens))
    assert planned == pytest.approx(taken, rel=0.01)


def test_a_context_that_does_not_fit_is_refused_before_the_frames_are_looked_at(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = engine.encode(make_video())
    visual_tokens = int(context.allocation.tokens.sum())
    needed = context_bytes(engine.loaded, context.prefix_tokens, visual_tokens)
    monkeypatch.setattr("tempo_core.room.free_bytes", lambda device: needed)
    engine.encode(make_video())
    monkeypatch.setattr("tempo_core.room.free_bytes", lambda device: needed // 2)
    monkeypatch.setattr("tempo_core.context.encode_frames", lambda *args, **options: pytest.fail("too late"))
    with pytest.raises(MemoryShortage) as caught:
        engine.encode(make_video())
    assert caught.value.missing_bytes == needed - needed // 2
    message = str(caught.value)
    assert f"This clip's {context.prefix_tokens:,} tokens take" in message
    assert "are free on cpu" in message
    for remedy in ("--fps", "sampling step", "--token-budget"):
        assert remedy in message
    fitting = int(message.rpartition("about ")[2].split()[0].replace(",", ""))
    assert fitting == pytest.approx(visual_tokens / 2, rel=0.05)


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_while_a_clip_is_read_is_a_sentence(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def run_out(*args: Any, **options: Any) -> Any:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("tempo_core.context.read_prompt", run_out)
        with pytest.raises(
            MemoryShortage, match=r"ran out while the clip was read.*--token-budget"
        ) as caught:
            engine.encode(make_video())
    assert caught.value.__context__ is None  # what was computed so far is free
    assert engine.ask(engine.encode(make_video()), QUERY).text


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_while_a_question_is_answered_is_a_sentence(
    family_engine: Engine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def run_out(*args: Any, **options: Any) -> Any:
        raise error

    context = family_engine.encode(make_video())
    place = "decoding.feed_rows" if family_engine.family.packs_rows else "engine.feed"
    with monkeypatch.context() as patched:
        patched.setattr(f"tempo_core.{place}", run_out)
        with pytest.raises(MemoryShortage, match=r"ran out while the question was answered.*--token-budget"):
            family_engine.ask(context, QUERY)
    assert family_engine.ask(context, QUERY).text


def test_another_error_is_none_of_memory(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise RuntimeError("shapes do not match")

    context = engine.encode(make_video())
    monkeypatch.setattr("tempo_core.context.read_prompt", fail)
    monkeypatch.setattr("tempo_core.decoding.feed_rows", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        engine.encode(make_video())
    with pytest.raises(RuntimeError, match="shapes"):
        engine.ask(context, QUERY)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))
