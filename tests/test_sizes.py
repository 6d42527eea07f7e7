"""The benchmark of real sizes, on a small one: every way is measured with the same work."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import sizes
from tempo_core.checkpoint import find_checkpoint
from tempo_core.families import family_named
from tempo_core.loading import load_tokenizer
from tests.tempo_core.conftest import tiny_config

FRAMES, TOKENS = 4, 16


@pytest.mark.slow
def test_a_small_size_is_measured_every_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(find_checkpoint(None))
    family = family_named("qwen2_vl")

    def small_config(name: str) -> Any:
        config = tiny_config(tokenizer)
        config.text_config.vocab_size = len(tokenizer)
        return config

    small = SimpleNamespace(
        published_config=small_config,
        model_class=family.model_class,
        class_name=family.class_name,
        normaliser=family.normaliser,
    )
    monkeypatch.setattr("tempo_core.memory.published", lambda: {"small": small})
    for name in ("EXACT_CPU_WEIGHTS", "DENSE_CPU_WEIGHTS"):  # the benchmark sets them, here in this process
        monkeypatch.setattr(f"tempo_core.memory.{name}", 0)
    monkeypatch.setattr(sizes, "PROBE", (8, 64, 64))
    sizes.write_checkpoint(tmp_path / "small", "small", 1)
    results: dict[str, list[dict[str, Any]]] = {}
    for way in sizes.WAYS:
        results[way] = [sizes.measure(way, tmp_path / "small", FRAMES, TOKENS, [3, 3])]
    assert results["transformers"][0]["tokens"] == [3, 3]
    for row in results.values():
        assert 0 < row[0]["loaded_gb"] <= row[0]["peak_gb"]
        assert 0 < row[0]["load_own_gb"] < row[0]["load_peak_gb"]
        assert row[0]["gflop"] == results["ours"][0]["gflop"]
    lines = sizes.table(results).splitlines()
    assert [line.split()[0] for line in lines] == [
        "load_cpu_s",
        "ours",
        *(word for way in sizes.WAYS[1:] for word in (way, "ours")),
    ]
