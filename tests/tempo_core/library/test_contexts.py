"""Encoded clips on disk: equal answers, and nothing damaged or foreign is ever used."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tempo_core.errors import MemoryShortage
from tempo_core.library import contexts as contexts_module
from tempo_core.library.contexts import ContextFiles, EncodingSettings, context_key
from tests.forkserver import processes_with
from tests.tempo_core.conftest import make_video

QUERIES = ["a red circle appears", "no such thing", "12.0"]


def save_often(folder: Path, key: str, seed: int) -> None:
    """Write one entry again and again; the other process does the same."""
    context = make_context(seed)
    files = ContextFiles(folder)
    for _ in range(20):
        assert files.save(key, context)


def make_context(seed: int) -> Any:
    """A context without a model."""
    from transformers import DynamicCache

    from tempo_core.allocation import Allocation
    from tempo_core.context import PromptTokens, VideoContext
    from tempo_core.protocols.base import Timeline

    cache = DynamicCache()
    cache.update(torch.full((1, 2, 50, 8), float(seed)), torch.full((1, 2, 50, 8), float(seed)), 0)
    return VideoContext(
        times_s=np.array([0.0, 1.0]),
        frame_times_s=np.array([0.0, 1.0]),
        end_s=2.0,
        timeline=Timeline(
            units=[(0,), (1,)], unit_times_s=[0, 1], stamps=["", ""], closing="", marks_s=[], mark_texts=[]
        ),
        stamp_records=[],
        allocation=Allocation(
            tokens=np.array([1, 1]),
            sizes_px=np.array([[28, 28], [28, 28]]),
            variation=np.zeros(2),
            allocator="saa",
            budget_tokens=2,
        ),
        model_id="m",
        prefix_tokens=50,
        position=50,
        cache=cache,
        timings={},
        sha256="0" * 64,
        prompt=PromptTokens(
            ids=[1], positions=np.zeros((3, 1), dtype=np.int64), visual_tokens=torch.zeros(1, 8)
        ),
    )


@pytest.mark.parametrize("small_bytes", [2**30, 0], ids=["cache", "visual-tokens"])
def test_answers_are_the_same_from_disk(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_bytes: int
) -> None:
    monkeypatch.setattr(contexts_module, "SMALL_CACHE_BYTES", small_bytes)
    files = ContextFiles(tmp_path)
    for seed in range(3):
        context = engine.encode(make_video(seed))
        key = context_key(engine, context.sha256, EncodingSettings())
        assert files.save(key, context)
        stored = files.load(key, engine)
        assert stored is not None
        for query in QUERIES:
            fresh, again = engine.ask(context, query).to_dict(), engine.ask(stored, query).to_dict()
            del fresh["timings"], again["timings"]
            assert fresh == again
        assert stored.stamp_records == context.stamp_records
        assert stored.allocation.to_dict() == context.allocation.to_dict()
        assert stored.timeline == context.timeline


def test_an_entry_that_the_memory_does_not_hold_is_told_and_stays(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*args: Any, **options: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(contexts_module, "SMALL_CACHE_BYTES", 0)
    files = ContextFiles(tmp_path)
    files.save("a", engine.encode(make_video()))
    with monkeypatch.context() as patched:
        patched.setattr("tempo_core.room.free_bytes", lambda device: 1000)
        with pytest.raises(MemoryShortage, match="are free on cpu"):
            files.load("a", engine)
    with monkeypatch.context() as patched:
        patched.setattr(contexts_module, "read_prompt", run_out)
        with pytest.raises(MemoryShortage, match="ran out while the clip was read"):
            files.load("a", engine)
    assert files.load("a", engine) is not None


def test_visual_tokens_take_less_room(engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, files = engine.encode(make_video()), ContextFiles(tmp_path)
    files.save("a", context)
    cache_bytes = files.total_bytes()
    monkeypatch.setattr(contexts_module, "SMALL_CACHE_BYTES", 0)
    files.save("a", context)
    assert files.total_bytes() < cache_bytes


def test_entries_from_before_marks_counted_from_the_first_picture_are_not_found(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {}
    for layout in ("frames", "video"):
        protocol = replace(engine.protocol, layout=layout)
        monkeypatch.setattr(engine, "choice", replace(engine.choice, protocol=protocol))
        keys[layout] = context_key(engine, "0" * 64, EncodingSettings())
    assert keys["video"] != keys["frames"]


@pytest.mark.parametrize("place", [40, 0.5, 0.999])
def test_an_entry_with_one_other_byte_is_not_used(
    engine: Any, tmp_path: Path, place: float, caplog: pytest.LogCaptureFixture
) -> None:
    files, context = ContextFiles(tmp_path), engine.encode(make_video())
    files.save("a", context)
    data = bytearray(files.path("a").read_bytes())
    data[int(place if place >= 1 else place * len(data))] ^= 1
    files.path("a").write_bytes(data)
    assert files.load("a", engine) is None
    assert not files.path("a").exists()
    assert "is not used" in caplog.text


def test_a_cut_off_and_a_foreign_entry_are_not_used(engine: Any, tmp_path: Path) -> None:
    files, context = ContextFiles(tmp_path), engine.encode(make_video())
    files.save("a", context)
    os.link(files.path("a"), files.path("b"))
    assert files.load("b", engine) is None
    files.path("a").write_bytes(files.path("a").read_bytes()[:-1])
    assert files.load("a", engine) is None
    assert files.load("never", engine) is None


def test_the_key_names_everything_that_decides(engine: Any, engine_nf4: Any) -> None:
    plain = EncodingSettings()
    keys = [
        context_key(engine, "0" * 64, plain),
        context_key(engine_nf4, "0" * 64, plain),
        context_key(engine, "1" * 64, plain),
        context_key(engine, "0" * 64, EncodingSettings(fps=2.0)),
        context_key(engine, "0" * 64, EncodingSettings(token_budget=100)),
        context_key(engine, "0" * 64, EncodingSettings(allocator="uniform")),
    ]
    assert len(set(keys)) == len(keys)
    assert context_key(engine, "0" * 64, EncodingSettings()) == keys[0]


def test_the_least_recently_used_makes_room(engine: Any, tmp_path: Path) -> None:
    context, files = engine.encode(make_video()), ContextFiles(tmp_path)
    files.save("a", context)
    size = files.total_bytes()
    files = ContextFiles(tmp_path, max_bytes=3 * size)
    files.save("b", context)
    files.save("c", context)
    for place, key in enumerate("abc"):
        os.utime(files.path(key), (place, place))
    files.load("a", engine)  # used now
    files.save("d", context)
    assert [key for key in "abcd" if key in files] == ["a", "c", "d"]
    assert not files.save("e", context, used_before_s=0.0)
    assert [key for key in "abcde" if key in files] == ["a", "c", "d"]
    assert files.total_bytes() <= files.max_bytes


@pytest.mark.slow
def test_two_processes_may_write_one_entry(tmp_path: Path) -> None:
    server = processes_with("tempo_core.context", __name__)
    processes = [server.Process(target=save_often, args=(tmp_path, "a", seed)) for seed in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    assert ContextFiles(tmp_path).total_bytes() > 0
