"""The registry: immutable entries, one promoted adapter a base, and the way back."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tempo_core.checkpoint import SHIPPED, choose_adapter, fingerprint, promoted_adapter
from tempo_core.errors import CheckpointError, InputError
from tempo_core.vocabulary import Vocabulary, read_vocabulary, write_vocabulary
from train.__main__ import main
from train.refresh.registry import Entry, Lineage, Registry, code_version

BASE = fingerprint(SHIPPED)


def peft_files(folder: Path, value: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    save_file(
        {"base_model.model.x.lora_A.weight": np.full((2, 2), value, np.float32)},
        folder / "adapter_model.safetensors",
    )
    return folder


def lineage(**changes: Any) -> Lineage:
    values: dict[str, Any] = {
        "base": "tempo-tiny",
        "base_fingerprint": BASE,
        "parent": None,
        "snapshot_sha256": "ab" * 32,
        "recipe": {"name": "test"},
        "seeds": {"sft": 0},
        "code_version": code_version(),
    }
    return Lineage(**{**values, **changes})


def passing_scores() -> dict[str, Any]:
    """Scores of an adapter that is better, and forgot nothing."""
    differences = {
        "ra_iou": {"first": 0.5, "second": 0.6, "low": 0.02, "high": 0.18},
        "refused_f1": {"first": 0.8, "second": 0.8, "low": -0.1, "high": 0.1},
        "relevant_f1": {"first": 0.8, "second": 0.8, "low": -0.1, "high": 0.1},
    }
    scores = {"rows": 40, "clips": 10, "irrelevant": 4, "differences": differences}
    return {"corrected": scores, "kept": scores}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "home" / "adapters")


def add(registry: Registry, tmp_path: Path, value: float, **changes: Any) -> Entry:
    return registry.add(peft_files(tmp_path / f"made-{value}", value), lineage(**changes))


def test_an_entry_holds_what_it_was_made_from(registry: Registry, tmp_path: Path) -> None:
    entry = add(registry, tmp_path, 1.0, scores={"corrected": {"n": 3}}, made_at_ms=5)
    assert entry.name == f"tempo-tiny-{fingerprint(entry.folder)[:12]}"
    assert (entry.lineage.scores, entry.promoted) == ({"corrected": {"n": 3}}, False)
    assert all(file.stat().st_mode & 0o222 == 0 for file in entry.folder.iterdir())
    assert (
        add(registry, tmp_path, 1.0, made_at_ms=9).lineage.made_at_ms == 5
    )  # the same weights: the same entry
    other = add(registry, tmp_path, 2.0, made_at_ms=9)
    assert [entry.name for entry in registry.entries()] == [other.name, entry.name]


def test_an_entry_is_asked_as_it_was_taught(registry: Registry, tmp_path: Path) -> None:
    adapter = peft_files(tmp_path / "made", 1.0)
    settings = {"protocol": "time_r1", "thinking_tokens": 0}
    (adapter / "tempo.json").write_text(json.dumps(settings))
    assert json.loads((registry.add(adapter, lineage()).folder / "tempo.json").read_text()) == settings


def test_promote_and_roll_back_to_the_bare_base(registry: Registry, tmp_path: Path) -> None:
    first, second = (add(registry, tmp_path, value).name for value in (1.0, 2.0))
    assert registry.promoted(BASE) is None
    registry.promote(first, by="ada")
    registry.promote(first, by="ada")  # twice is once
    assert registry.promote(second, by="ada").promoted
    back = registry.rollback(BASE, by="eva")
    assert back is not None
    assert back.name == first
    assert registry.rollback(BASE, by="eva") is None
    with pytest.raises(InputError, match="nothing to roll back"):
        registry.rollback(BASE, by="eva")
    history = json.loads((registry.folder / "promoted.json").read_text())["history"]
    steps = [(step["action"], step["name"], step["by"]) for step in history]
    assert steps == [
        ("promote", first, "ada"),
        ("promote", second, "ada"),
        ("rollback", first, "eva"),
        ("rollback", None, "eva"),
    ]


def test_two_who_roll_back_what_both_see_roll_back_once(registry: Registry, tmp_path: Path) -> None:
    first, second = (add(registry, tmp_path, value).name for value in (1.0, 2.0))
    registry.promote(first, by="ada")
    registry.promote(second, by="ada")
    registry.rollback(BASE, by="eva", instead_of=(second,))
    with pytest.raises(InputError, match=f"{first} is served by now"):
        registry.rollback(BASE, by="ben", instead_of=(second,))
    assert (registry.serves(first), registry.serves(second), registry.serves("gone")) == (True, False, False)


def test_rolling_back_goes_through_an_adapter_that_was_promoted_twice(
    registry: Registry, tmp_path: Path
) -> None:
    a, b, c = (add(registry, tmp_path, value).name for value in (1.0, 2.0, 3.0))
    for name in (a, b, a, c):
        registry.promote(name, by="ada")
    entries = [registry.rollback(BASE, by="eva") for _ in range(4)]
    assert [entry.name if entry else None for entry in entries] == [a, b, a, None]


def test_bases_are_served_apart(registry: Registry, tmp_path: Path) -> None:
    promoted = add(registry, tmp_path, 1.0).name
    other = add(registry, tmp_path, 2.0, base="big", base_fingerprint="f" * 64).name
    registry.promote(promoted, by="ada")
    registry.promote(other, by="ada")
    assert {entry.lineage.base for entry in registry.entries() if entry.promoted} == {"tempo-tiny", "big"}
    registry.rollback("f" * 64, by="ada")
    entry = registry.promoted(BASE)
    assert entry is not None
    assert entry.name == promoted


def test_what_the_engine_reads(registry: Registry, tmp_path: Path) -> None:
    assert promoted_adapter(BASE, registry.folder) is None
    assert choose_adapter(None, None, registry.folder) is None
    entry = registry.promote(add(registry, tmp_path, 1.0).name, by="ada")
    assert promoted_adapter(BASE, registry.folder) == entry.folder
    assert choose_adapter(None, None, registry.folder) == entry.folder
    assert choose_adapter(None, "none", registry.folder) is None
    assert choose_adapter(None, tmp_path, registry.folder) == tmp_path
    assert promoted_adapter("another base", registry.folder) is None
    entry.folder.rename(tmp_path / "taken away")
    with pytest.raises(CheckpointError, match="rollback"):
        promoted_adapter(BASE, registry.folder)
    assert registry.rollback(BASE, by="ada") is None


@pytest.mark.parametrize("content", ["{", "[]", '{"bases": 3}'])
def test_a_damaged_pointer_says_so(registry: Registry, content: str) -> None:
    (registry.folder / "promoted.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"promoted\.json"):
        promoted_adapter(BASE, registry.folder)
    with pytest.raises(CheckpointError, match=r"promoted\.json"):
        registry.promoted(BASE)


@pytest.mark.parametrize("name", ["nobody", "../adapters", ".partial-x", ""])
def test_there_is_no_such_adapter(registry: Registry, name: str) -> None:
    with pytest.raises(InputError, match="There is no adapter"):
        registry.entry(name)


def test_the_words_that_an_adapter_was_taught_stay_with_it(registry: Registry, tmp_path: Path) -> None:
    folder = peft_files(tmp_path / "made", 0.5)
    write_vocabulary(folder, Vocabulary(content=["dog"]))
    vocabulary = read_vocabulary(registry.add(folder, lineage()).folder)
    assert vocabulary is not None
    assert vocabulary.content == {"dog"}


def test_what_is_no_adapter_is_not_added(registry: Registry, tmp_path: Path) -> None:
    folder = peft_files(tmp_path / "made", 1.0)
    (folder / "adapter_model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="damaged"):
        registry.add(folder, lineage())
    assert list(registry.folder.iterdir()) == []


def test_the_commands(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--adapters", str(registry.folder)]
    gain = {"corrected": {"differences": {"set_iou": {"first": 0.5, "second": 0.625}}}}
    name = add(registry, tmp_path, 1.0, scores=gain).name
    assert main(["adapters", "promote", name, *at]) == 2
    output = capsys.readouterr().err
    assert f"{name} did not pass: Its scores cannot be read. Give --yes to serve it all the same." in output
    assert registry.promoted(BASE) is None
    assert main(["adapters", "promote", name, *at, "--yes"]) == 0
    assert main(["adapters", "list", *at]) == 0
    assert f"* {name}  from tempo-tiny  corrected 0.500 -> 0.625" in capsys.readouterr().out
    assert main(["adapters", "show", name, "--json", *at]) == 0
    assert json.loads(capsys.readouterr().out)["lineage"]["recipe"] == {"name": "test"}
    assert main(["adapters", "rollback", "--json", *at]) == 0
    assert json.loads(capsys.readouterr().out) == {"promoted": None}
    assert main(["adapters", "promote", "nobody", *at]) == 2
    assert "There is no adapter 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "promoted"), [("y", True), ("n", False), ("", False)])
def test_at_a_terminal_one_is_asked_before_an_adapter_that_did_not_pass_is_served(
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    promoted: bool,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    scores = passing_scores()
    scores["corrected"]["rows"] = 3
    name = add(registry, tmp_path, 1.0, scores=scores).name
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    status = main(["adapters", "promote", name, "--adapters", str(registry.folder)])
    output = capsys.readouterr().err
    assert "3 corrected held-out rows about 10 clips cannot tell whether it is better" in output
    assert "Serve it all the same? [y/N]" in output
    assert status == (0 if promoted else 2)
    assert (registry.promoted(BASE) is not None) == promoted


def test_nobody_is_asked_about_an_adapter_that_passed(registry: Registry, tmp_path: Path) -> None:
    name = add(registry, tmp_path, 1.0, scores=passing_scores()).name
    words = ["adapters", "promote", name, "--adapters", str(registry.folder)]
    assert main(words) == 0
    assert registry.entry(name).promoted
