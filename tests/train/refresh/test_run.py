"""Refresh: what is used and what is not, the same adapter after a kill, and promotion only for what is better."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from annotations.rows import Row
from app.training.runs import refresh_runs
from tempo_core import forkserver
from tempo_core.checkpoint import fingerprint
from tempo_core.engine import load_engine
from tempo_core.errors import Cancelled, InputError
from tempo_core.sandbox import unbound_parts
from tests.tempo_core.family_checkpoints import save_checkpoint
from tests.train.refresh import small_command
from tests.train.refresh.project import QUICK, SFT_ONLY, Project
from tests.train.refresh.test_registry import lineage
from train.__main__ import main
from train.checkpoints import exclusive_lock
from train.config import PromotionCriteria, RefreshConfig, as_dict
from train.data.negatives import NegativeShares
from train.refresh.gate import Decision, decide, decision_on
from train.refresh.registry import Registry
from train.refresh.replay import knows_shapeworld
from train.refresh.run import Outcome, Refresh, refresh_folder

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("frames_read_once")]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path / "project")
    yield project
    project.close()


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "home" / "adapters")


def refresh(
    project: Project,
    registry: Registry,
    checkpoint: Path,
    config: RefreshConfig = QUICK,
    *,
    run: str = "run",
    **options: Any,
) -> Outcome:
    folder = registry.folder.parent / run
    return Refresh(project.snapshot(), config, folder, registry, checkpoint=checkpoint, **options).run()


def state(registry: Registry, run: str = "run") -> dict[str, Any]:
    states: dict[str, Any] = json.loads((registry.folder.parent / run / "state.json").read_text())
    return states


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeRefresh:
    """A refresh from all corrections that nobody disturbed, and the stages that it reported."""

    project: Project
    registry: Registry
    outcome: Outcome
    stages: list[str]


@pytest.fixture(scope="module")
def whole(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeRefresh]:
    folder = tmp_path_factory.mktemp("whole")
    project, registry = Project(folder / "project"), Registry(folder / "home" / "adapters")
    project.correct_all()
    stages: list[str] = []
    outcome = refresh(
        project, registry, checkpoint, on_progress=lambda progress: stages.append(progress["stage"])
    )
    yield WholeRefresh(project=project, registry=registry, outcome=outcome, stages=stages)
    project.close()


def test_corrections_become_an_adapter_with_its_lineage(whole: WholeRefresh, checkpoint: Path) -> None:
    project, registry, outcome = whole.project, whole.registry, whole.outcome
    assert outcome.state in ("kept", "promoted")
    assert outcome.adapter is not None
    entry = registry.entry(outcome.adapter)
    lineage = entry.lineage
    assert lineage.base_fingerprint == fingerprint(checkpoint)
    assert lineage.snapshot_sha256 is not None
    assert lineage.snapshot_sha256.startswith(project.snapshot().name)
    assert lineage.parent is None
    assert lineage.recipe["sft"]["steps"] == 4
    assert (lineage.rows["training"]["rows"], lineage.rows["held_out"]["rows"]) == (4, 4)
    assert lineage.scores["corrected"]["rows"] == 4
    assert {"ra_iou", "set_iou", "refused_f1"} <= lineage.scores["corrected"]["differences"].keys()
    assert list(dict.fromkeys(whole.stages)) == [
        "reading",
        "replay",
        "checking",
        "sft",
        "pir-grpo",
        "comparing",
        "deciding",
    ]
    assert state(registry)["state"] == "done"
    rows = json.loads((registry.folder.parent / "run" / "rows.json").read_text())
    assert [row["row_id"] for row in rows["held_out"]] == ["set/2-0", "set/2-1", "set/3-0", "set/3-1"]
    assert refresh(project, registry, checkpoint) == outcome  # it has ended


def test_the_train_page_shows_a_refresh_of_the_command_line(whole: WholeRefresh) -> None:
    (run,) = refresh_runs(whole.registry.folder.parent)
    assert run.title.startswith("quick, ")
    assert run.title.endswith(", refresh: not promoted")
    rows = run.compared_rows()
    assert [row.row_id for row in rows] == ["set/2-0", "set/2-1", "set/3-0", "set/3-1"]
    assert rows[0].truth == [[2.0, 4.0]]
    assert (run.report("scores") or {})["corrected"]["rows"] == 4


def test_made_pairs_are_practised_on_and_kept_on_file(
    project: Project, registry: Registry, checkpoint: Path
) -> None:
    project.correct_all()
    config = replace(QUICK, negatives=NegativeShares(irrelevant=0.8))
    outcome = refresh(project, registry, checkpoint, config)
    assert outcome.adapter is not None
    assert registry.entry(outcome.adapter).lineage.recipe["negatives"]["irrelevant"] == 0.8
    negatives = json.loads((registry.folder.parent / "run" / "negatives.json").read_text())
    assert 0 < len(negatives["pairs"]) == negatives["made"]
    assert all(pair["changes"] and pair["check"] in ("proved", "unchecked") for pair in negatives["pairs"])


def test_a_model_goes_on_in_the_protocol_that_it_is_served_with(
    project: Project, registry: Registry, tmp_path: Path, tokenizer: Any
) -> None:
    """TimeLens' sentence on a Qwen3-VL: corrections that it cannot say are counted, its adapter is served with it, and
    the next refresh goes on from that adapter."""
    base = save_checkpoint(tmp_path / "base", "qwen3_vl", tokenizer)
    project.correct_all()
    config = replace(QUICK, negatives=NegativeShares(irrelevant=0.8))
    outcome = refresh(project, registry, base, config, protocol="timelens_8b")
    run = registry.folder.parent / "run"
    rows = json.loads((run / "rows.json").read_text())
    assert rows["left_out"] == {
        "nothing matches, which TimeLens-8B's answers cannot say": ["set/0-1", "set/1-1"]
    }
    assert [row["row_id"] for row in rows["held_out"]] == ["set/2-0", "set/2-1", "set/3-0", "set/3-1"]
    assert not (run / "negatives.json").exists()
    assert outcome.adapter is not None
    entry = registry.entry(outcome.adapter)
    served = load_engine(base, adapter=entry.folder, device="cpu")
    assert (served.protocol.name, served.loaded.choice.is_known) == ("timelens_8b", True)

    again = refresh(project, registry, base, config, run="again", adapter=entry.folder)
    assert again.adapter not in (None, outcome.adapter)
    second = registry.entry(str(again.adapter))
    assert second.lineage.parent == outcome.adapter
    assert load_engine(base, adapter=second.folder, device="cpu").protocol.name == "timelens_8b"
    with pytest.raises(InputError, match="differs in adapter"):
        refresh(project, registry, base, config, run="again")


def test_the_same_seed_twice_is_the_same_adapter(
    whole: WholeRefresh, project: Project, registry: Registry, checkpoint: Path
) -> None:
    project.correct_all()
    assert refresh(project, registry, checkpoint, run="two").adapter == whole.outcome.adapter
    other = replace(QUICK, seed=1, sft=replace(QUICK.sft, seed=1))
    assert refresh(project, registry, checkpoint, other, run="three").adapter != whole.outcome.adapter


def test_held_out_rows_never_teach(project: Project, registry: Registry, checkpoint: Path) -> None:
    """Another answer on a held-out row changes the scores' truth and not the adapter."""
    project.correct_all(["0-0", "1-1", "2-0"])
    first = refresh(project, registry, checkpoint, SFT_ONLY, run="one").adapter
    project.correct_all(["3-0", "3-1"])
    assert refresh(project, registry, checkpoint, SFT_ONLY, run="two").adapter == first


def test_a_refresh_that_is_stopped_in_every_part_of_every_stage_ends_with_the_same_adapter(
    project: Project, registry: Registry, checkpoint: Path
) -> None:
    """Stopped at the first unit of work of each part, one after the other: no second unit is begun."""
    project.correct_all()
    assert QUICK.pir is not None
    config = replace(QUICK, pir=replace(QUICK.pir, difficulty="timelens2"))
    parts = dict[tuple[str, str], None]()

    def note(progress: dict[str, Any]) -> None:
        parts[progress["stage"], progress["unit"]] = None

    whole = refresh(project, registry, checkpoint, config, on_progress=note)
    assert list(parts) == [
        ("reading", "rows"),
        ("replay", "clips"),
        ("checking", "weights"),
        ("checking", "rows"),
        ("sft", "steps"),
        ("measuring", "rows"),
        ("pir-grpo", "steps"),
        ("comparing", "weights"),
        ("comparing", "answers of the old model"),
        ("comparing", "answers of the new model"),
        ("deciding", ""),
    ]
    for part in [part for part in parts if part[0] not in ("replay", "deciding")]:  # nothing to render here
        cancel, places = threading.Event(), list[tuple[str, int, int]]()

        def stop(
            progress: dict[str, Any],
            part: tuple[str, str] = part,
            cancel: threading.Event = cancel,
            places: list[tuple[str, int, int]] = places,
        ) -> None:
            if cancel.is_set():
                places.append((progress["state"], progress["step"], progress["batch"]))
            elif (progress["stage"], progress["unit"]) == part and progress["step"] + progress["batch"] >= 1:
                cancel.set()
                places.append(("running", progress["step"], progress["batch"]))

        with pytest.raises(Cancelled):
            refresh(project, registry, checkpoint, config, run="stopped", on_progress=stop, cancel=cancel)
        (_, *place), *other_places = places
        assert other_places == [("cancelled", *place)], part
        assert (state(registry, "stopped")["state"], state(registry, "stopped")["stage"]) == (
            "cancelled",
            part[0],
        )
    assert refresh(project, registry, checkpoint, config, run="stopped").adapter == whole.adapter


def test_rendering_stops_between_two_clips_and_goes_on(
    project: Project, registry: Registry, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = list[str]()

    def write_clip(scene: Any, path: Path, **_: Any) -> None:
        path.touch()
        rendered.append(path.name)

    monkeypatch.setattr("train.shapeworld.clips.write_clip", write_clip)
    monkeypatch.setattr("train.refresh.run.knows_shapeworld", lambda checkpoint: True)
    project.correct_all()
    config = replace(QUICK, replay_share=0.5, min_replay_rows=18, world_clips=2)
    cancel, steps = threading.Event(), list[tuple[int, int]]()

    def stop_at(step: int) -> Any:
        def stop(progress: dict[str, Any]) -> None:
            steps.append((progress["step"], progress["steps"]))
            if progress["step"] == step:
                cancel.set()

        return stop

    for clip in (2, 4):
        cancel.clear()
        run = Refresh(
            project.snapshot(),
            config,
            registry.folder.parent / "run",
            registry,
            checkpoint=checkpoint,
            on_progress=stop_at(clip),
            cancel=cancel,
        )
        run.folder.mkdir(exist_ok=True)
        with pytest.raises(Cancelled):
            run.add_replay(run.read_rows())
        assert len(rendered) == clip
    cancel.clear()
    run = Refresh(project.snapshot(), config, registry.folder.parent / "run", registry, checkpoint=checkpoint)
    split, held_out = run.add_replay(run.read_rows())
    assert len(set(rendered)) == len(rendered) == 5, "three to teach and two to measure, each once"
    assert (len(split.training), len(held_out)) == (4 + 18, 12)
    assert set(steps) <= {(n, 5) for n in range(6)}


def test_a_refresh_that_waits_for_anothers_clips_can_be_stopped(tmp_path: Path) -> None:
    cancel = threading.Event()
    with exclusive_lock(tmp_path):
        cancel.set()
        with pytest.raises(Cancelled), exclusive_lock(tmp_path, wait=True, cancel=cancel):
            pass
    with exclusive_lock(tmp_path, wait=True, cancel=cancel):
        pass  # it is free: nothing is waited for


def test_a_checkpoint_that_is_replaced_meanwhile_is_noticed(
    project: Project, registry: Registry, checkpoint: Path, tmp_path: Path
) -> None:
    project.correct_all()
    base = tmp_path / "base"
    shutil.copytree(checkpoint, base)

    def replace_it(progress: dict[str, Any]) -> None:
        if progress["stage"] == "comparing" and not progress["steps"]:  # no weight is read yet
            weights = load_file(base / "model.safetensors")
            save_file({name: value + 1 for name, value in weights.items()}, base / "model.safetensors")

    with pytest.raises(InputError, match="was replaced while the refresh ran"):
        refresh(project, registry, base, SFT_ONLY, on_progress=replace_it)
    assert state(registry)["state"] == "failed"
    assert registry.entries() == []


def test_it_goes_on_from_the_promoted_adapter(project: Project, registry: Registry, checkpoint: Path) -> None:
    project.correct_all()
    parent = refresh(project, registry, checkpoint, SFT_ONLY, promote=False).adapter
    assert parent is not None
    registry.promote(parent, by="test")
    child = refresh(project, registry, checkpoint, SFT_ONLY, run="child").adapter
    assert child not in (None, parent)
    assert registry.entry(str(child)).lineage.parent == parent
    registry.rollback(fingerprint(checkpoint), by="test")
    assert refresh(project, registry, checkpoint, SFT_ONLY, run="child").adapter == child


def test_no_corrections(project: Project, registry: Registry, checkpoint: Path) -> None:
    outcome = refresh(project, registry, checkpoint)
    assert (outcome.state, outcome.adapter) == ("nothing", None)
    assert outcome.message == (
        "There are no corrections to learn from, so no adapter was made. (8 left out: nobody corrected it.)"
    )
    assert registry.entries() == []


def test_one_correction(project: Project, registry: Registry, checkpoint: Path) -> None:
    project.correct("0-0", (2000, 3000))
    outcome = refresh(project, registry, checkpoint)
    assert outcome.state == "kept"
    assert "0 corrected held-out rows about 0 clips cannot tell" in outcome.message


def test_a_held_out_correction_alone(project: Project, registry: Registry, checkpoint: Path) -> None:
    project.correct("3-0", (2000, 3000))
    outcome = refresh(project, registry, checkpoint)
    assert outcome.state == "nothing"
    assert "1 corrected row is held out" in outcome.message


def test_only_refusals(project: Project, registry: Registry, checkpoint: Path, tmp_path: Path) -> None:
    project.correct_all(["0-1", "1-1", "3-1"])
    outcome = refresh(project, registry, checkpoint)
    assert outcome.state == "nothing"
    assert "All 2 corrections say that nothing matches" in outcome.message
    rows = [
        {"qid": n, "query": "a square", "duration": 4, "vid": "clip0", "relevant_windows": [[0, 2]]}
        for n in range(4)
    ]
    file = tmp_path / "replay.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = replace(SFT_ONLY, replay_share=0.5, min_replay_rows=2)
    outcome = refresh(
        project, registry, checkpoint, config, run="with replay", replay=file, videos=project.clips
    )
    assert outcome.state == "kept"
    summary = json.loads((registry.folder.parent / "with replay" / "rows.json").read_text())["summary"]
    assert (summary["training"]["rows"], summary["replay"]) == (4, 2)


def test_videos_that_are_gone_or_broken(project: Project, registry: Registry, checkpoint: Path) -> None:
    project.correct_all()
    row = Row(qid="x", query="a square", vid="nowhere", duration_s=4.0, split="train", windows=((1.0, 2.0),))
    project.store.import_rows([row], dataset="set", op_id="a row without a clip")
    project.correct("x", (1000, 2000))
    (project.clips / "clip0.mp4").unlink()
    broken = project.clips / "clip1.mp4"
    broken.write_bytes(b"x" * broken.stat().st_size)
    outcome = refresh(project, registry, checkpoint)
    assert outcome.state == "nothing"
    assert "2 left out: the clip has gone" in outcome.message
    assert "1 left out: the clip was never there" in outcome.message
    assert "2 left out: the video cannot be decoded" in outcome.message
    left_out = json.loads((registry.folder.parent / "run" / "rows.json").read_text())["left_out"]
    assert left_out["the clip was never there"] == ["set/x"]
    assert left_out["the clip has gone"] == ["set/0-0", "set/0-1"]


def test_clips_that_are_back_are_learned_from(project: Project, registry: Registry, checkpoint: Path) -> None:
    """The same command again: nothing could be learned, and now something can."""
    project.correct_all(["0-0", "1-0"])
    away = project.clips.rename(project.folder / "away")
    project.clips.mkdir()
    snapshot = project.snapshot()
    without = refresh_folder(registry.folder, snapshot, QUICK, checkpoint)
    assert refresh(project, registry, checkpoint, SFT_ONLY).state == "nothing"
    project.clips.rmdir()
    away.rename(project.clips)
    assert refresh_folder(registry.folder, snapshot, QUICK, checkpoint) != without
    assert refresh(project, registry, checkpoint, SFT_ONLY).adapter is not None


def test_a_refresh_that_goes_on_learns_from_the_rows_that_it_began_with(
    project: Project, registry: Registry, checkpoint: Path
) -> None:
    project.correct_all(["0-0", "1-0"])
    clip = project.clips / "clip0.mp4"
    away = clip.rename(project.folder / "away.mp4")
    cancel = threading.Event()

    def stop(progress: dict[str, Any]) -> None:
        if progress["stage"] == "sft" and progress["step"] == 2:
            cancel.set()

    with pytest.raises(Cancelled):
        refresh(project, registry, checkpoint, SFT_ONLY, on_progress=stop, cancel=cancel)
    away.rename(clip)
    outcome = refresh(project, registry, checkpoint, SFT_ONLY)
    assert registry.entry(str(outcome.adapter)).lineage.rows["training"]["rows"] == 1


def test_refusals_and_a_replay_of_which_nothing_is_left_teach_nothing(
    project: Project, registry: Registry, checkpoint: Path, tmp_path: Path
) -> None:
    project.correct_all(["0-1", "1-1"])
    file = tmp_path / "replay.jsonl"
    row = {"qid": 1, "query": "a square", "duration": 4, "vid": "gone", "relevant_windows": [[0, 2]]}
    file.write_text(json.dumps(row) + "\n")
    config = replace(SFT_ONLY, replay_share=0.5)
    outcome = refresh(project, registry, checkpoint, config, replay=file, videos=project.clips)
    assert outcome.state == "nothing"
    assert "All 2 corrections say that nothing matches" in outcome.message


def test_another_replay_is_another_refresh(
    project: Project, registry: Registry, checkpoint: Path, tmp_path: Path
) -> None:
    project.correct("0-0", (2000, 3000))
    snapshot = project.snapshot()
    file = tmp_path / "replay.jsonl"
    file.write_text("{}\n")
    folders = [
        refresh_folder(registry.folder, snapshot, QUICK, checkpoint, replay) for replay in (None, file)
    ]
    assert folders[0] != folders[1]
    refresh(project, registry, checkpoint, SFT_ONLY)
    with pytest.raises(InputError, match="differs in replay"):
        refresh(project, registry, checkpoint, SFT_ONLY, replay=file)


def test_an_end_that_was_cut_short_is_told_to_its_end(
    project: Project, registry: Registry, checkpoint: Path
) -> None:
    """Killed between its outcome and its last state, it would be called interrupted for ever."""
    project.correct("0-0", (2000, 3000))
    first = refresh(project, registry, checkpoint, SFT_ONLY)
    file = registry.folder.parent / "run" / "state.json"
    file.write_text(
        json.dumps({**state(registry), "state": "running", "message": "Weighing old against new."})
    )
    assert refresh(project, registry, checkpoint, SFT_ONLY) == first
    assert (state(registry)["state"], state(registry)["message"]) == ("done", first.message)


def test_replay_that_is_held_out_does_not_teach(
    project: Project, registry: Registry, checkpoint: Path, tmp_path: Path
) -> None:
    """A replay row about a held-out clip is left out, whatever its file says."""
    project.correct_all()
    row = {"qid": 1, "query": "a square", "duration": 4, "vid": "clip3", "relevant_windows": [[0, 2]]}
    file = tmp_path / "replay.jsonl"
    file.write_text(json.dumps(row) + "\n")
    config = replace(SFT_ONLY, replay_share=0.5)
    refresh(project, registry, checkpoint, config, replay=file, videos=project.clips)
    rows = json.loads((registry.folder.parent / "run" / "rows.json").read_text())
    assert rows["left_out"] == {"its clip is held out for measuring": ["replay/replay/1"]}


def test_an_uncorrected_clip_of_val_does_not_teach_through_replay(
    project: Project, registry: Registry, checkpoint: Path, tmp_path: Path
) -> None:
    project.correct_all(["0-0", "1-1"])  # nobody corrected the held-out clips
    row = {"qid": 1, "query": "a square", "duration": 4, "vid": "clip3", "relevant_windows": [[0, 2]]}
    file = tmp_path / "replay.jsonl"
    file.write_text(json.dumps(row) + "\n")
    config = replace(SFT_ONLY, replay_share=0.5)
    refresh(project, registry, checkpoint, config, replay=file, videos=project.clips)
    left_out = json.loads((registry.folder.parent / "run" / "rows.json").read_text())["left_out"]
    assert left_out["its clip is held out for measuring"] == ["replay/replay/1"]


def test_a_correction_about_a_clip_that_replay_holds_out_does_not_teach(
    project: Project, registry: Registry, checkpoint: Path, tmp_path: Path
) -> None:
    project.correct_all(["0-0", "1-0"])
    rows = [
        {
            "qid": n,
            "query": "a square",
            "duration": 4,
            "vid": f"clip{n}",
            "relevant_windows": [[0, 2]],
            "split": split,
        }
        for n, split in ((0, "train"), (1, "val"))
    ]
    file = tmp_path / "replay.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = replace(SFT_ONLY, replay_share=0.5)
    refresh(project, registry, checkpoint, config, replay=file, videos=project.clips)
    rows_used = json.loads((registry.folder.parent / "run" / "training.json").read_text())
    assert rows_used == ["set/0-0", "replay/replay/0"]


def test_a_clip_that_vanishes_while_a_refresh_is_stopped_is_named(
    project: Project, registry: Registry, checkpoint: Path
) -> None:
    project.correct_all()
    cancel = threading.Event()

    def stop(progress: dict[str, Any]) -> None:
        if progress["stage"] == "sft":
            cancel.set()

    with pytest.raises(Cancelled):
        refresh(project, registry, checkpoint, on_progress=stop, cancel=cancel)
    clip = project.clips / "clip0.mp4"
    content = clip.read_bytes()
    clip.unlink()
    with pytest.raises(InputError, match=r"2 training rows have lost their clips .* \(first: set/0-0\)"):
        refresh(project, registry, checkpoint)
    clip.write_bytes(content)
    assert refresh(project, registry, checkpoint).adapter is not None


def test_what_was_promoted_meanwhile_is_not_overruled_and_an_ended_refresh_says_what_is_served(
    project: Project, registry: Registry, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.correct_all()
    other = refresh(project, registry, checkpoint, SFT_ONLY, promote=False).adapter
    assert other is not None
    monkeypatch.setattr("train.refresh.gate.decide", lambda *_: Decision(promote=True, reasons=("better",)))

    def promote_the_other(progress: dict[str, Any]) -> None:
        if progress["stage"] == "deciding":
            registry.promote(other, by="somebody")

    seed = replace(SFT_ONLY, seed=1, sft=replace(SFT_ONLY.sft, seed=1))
    outcome = refresh(project, registry, checkpoint, seed, run="late", on_progress=promote_the_other)
    assert outcome.state == "kept"
    assert f"{other} is served now, with which it was not compared" in outcome.message
    assert registry.entry(other).promoted
    third = replace(SFT_ONLY, seed=2, sft=replace(SFT_ONLY.sft, seed=2))
    assert refresh(project, registry, checkpoint, third, run="third").state == "promoted"
    registry.rollback(fingerprint(checkpoint), by="somebody")
    again = refresh(project, registry, checkpoint, third, run="third")
    assert again.state == "kept"
    assert "was better and was promoted; it is not served now." in again.message


def test_a_plan_counts_what_a_refresh_learns_from(
    project: Project, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "refresh",
        "--checkpoint",
        str(checkpoint),
        "--adapters",
        str(tmp_path / "adapters"),
        "--dry-run",
        "--json",
    ]
    project.correct_all(["3-0"])
    assert main([*words, "--data", str(project.snapshot())]) == 0
    assert "no corrections to learn from" in json.loads(capsys.readouterr().out)["message"]
    project.correct_all(["0-0", "0-1", "1-0"])
    assert main([*words, "--data", str(project.snapshot())]) == 0
    output = capsys.readouterr()
    knows = knows_shapeworld(checkpoint)
    assert json.loads(output.out)["rows"]["rows"] == 3 + (42 if knows else 0)
    assert "nobody corrected it" in output.err


def test_two_at_once_in_one_folder_are_refused(
    project: Project, registry: Registry, checkpoint: Path
) -> None:
    project.correct_all()
    refused: list[str] = []

    def second(progress: dict[str, Any]) -> None:
        if progress["stage"] == "checking" and not refused:
            with pytest.raises(InputError, match="is at work in") as error:
                refresh(project, registry, checkpoint, SFT_ONLY)
            refused.append(str(error.value))

    refresh(project, registry, checkpoint, SFT_ONLY, on_progress=second)
    assert len(refused) == 1


def test_a_folder_belongs_to_one_refresh(project: Project, registry: Registry, checkpoint: Path) -> None:
    refresh(project, registry, checkpoint)
    with pytest.raises(InputError, match="differs in config"):
        refresh(project, registry, checkpoint, SFT_ONLY)
    project.correct_all()
    with pytest.raises(InputError, match="differs in data"):
        refresh(project, registry, checkpoint)
    with pytest.raises(InputError, match="does not exist"):
        Refresh(
            project.folder / "nowhere", QUICK, registry.folder.parent / "x", registry, checkpoint=checkpoint
        ).run()


def test_several_processes_are_refused(
    project: Project, registry: Registry, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="accelerate"):
        refresh(project, registry, checkpoint)


def test_equal_refreshes_meet_in_one_folder(project: Project, checkpoint: Path, tmp_path: Path) -> None:
    folder = refresh_folder(tmp_path, project.snapshot(), QUICK, checkpoint)
    assert folder == refresh_folder(tmp_path, project.snapshot(), QUICK, checkpoint)
    assert folder != refresh_folder(tmp_path, project.snapshot(), replace(QUICK, seed=1), checkpoint)


def gap(first: float, second: float, low: float) -> dict[str, float]:
    return {"first": first, "second": second, "low": low, "high": 2 * (second - first) - low, "p_value": 0.01}


def scored(rows: int = 50, clips: int = 20, **gaps: Any) -> dict[str, Any]:
    usual = {
        "ra_iou": gap(0.5, 0.6, 0.02),
        "refused_f1": gap(0.8, 0.8, -0.1),
        "relevant_f1": gap(0.9, 0.9, -0.1),
    }
    return {"rows": rows, "clips": clips, "differences": {**usual, **gaps}}


NOT_DEFINED = {"first": None, "second": None, "low": None, "high": None, "p_value": None}


@pytest.mark.parametrize(
    ("corrected", "known_before", "reason"),
    [
        (scored(), scored(), None),
        (scored(), None, "Whether it forgot what it knew before was not measured"),
        (None, scored(), "0 corrected held-out rows"),
        (scored(rows=19), scored(), "19 corrected held-out rows"),
        (scored(clips=1), scored(), "about 1 clip cannot tell"),
        (scored(ra_iou=gap(0.5, 0.6, -0.01)), scored(), "no significant gain"),
        (scored(ra_iou=gap(0.6, 0.5, -0.2)), scored(), "no significant gain"),
        (scored(refused_f1=gap(0.8, 0.7, -0.2)), scored(), "refused_f1 0.800 → 0.700 (difference -0.200 to"),
        (scored(refused_f1=NOT_DEFINED), scored(), None),
        (scored(refused_f1=NOT_DEFINED), scored(refused_f1=NOT_DEFINED), "refused_f1 was not measured"),
        (scored(), scored(refused_f1=gap(0.8, 0.7, -0.2)), "on what was known before is a loss"),
        (scored(), scored(ra_iou=gap(0.8, 0.75, -0.1)), "ra_iou 0.800 → 0.750"),
    ],
)
def test_the_gate(corrected: Any, known_before: Any, reason: str | None) -> None:
    decision: Decision = decide(PromotionCriteria(), corrected, known_before)
    assert decision.promote == (reason is None)
    assert reason is None or reason in " ".join(decision.reasons)


def test_the_gate_reads_an_adapters_lineage_as_it_read_the_scores() -> None:
    better, criteria = {"corrected": scored(), "kept": scored()}, PromotionCriteria(min_clips=21)
    of_recipe = {"name": "test", "gate": json.loads(json.dumps(as_dict(criteria)))}
    assert decision_on(lineage(scores=better)).promote, "recipes of before had the usual criteria"
    decision = decision_on(lineage(scores=better, recipe=of_recipe))
    assert decision == decide(criteria, better["corrected"], better["kept"])
    assert "about 20 clips cannot tell" in decision.reasons[0]
    unreadable: list[dict[str, Any]] = [{}, {"corrected": {"differences": {}}}, {"corrected": 7}]
    for scores in unreadable:
        decision = decision_on(lineage(scores=scores))
        assert not decision.promote
        assert len(decision.reasons) == 1


def words_of(snapshot: Path, home: Path, checkpoint: Path) -> list[str]:
    """The command line of a refresh of four steps a stage."""
    words = ["refresh", "--data", str(snapshot), "--checkpoint", str(checkpoint)]
    return [
        *words,
        "--adapters",
        str(home / "adapters"),
        "--out",
        str(home / "run"),
        "--steps",
        "4",
        "--json",
    ]


def test_a_refresh_killed_at_any_moment_ends_with_the_same_adapter(
    processes: ForkServerContext, checkpoint: Path, tmp_path: Path
) -> None:
    """The command is killed in each long stage, also after a saved state, or asked to end, and then left to end."""
    with contextlib.closing(Project(tmp_path / "project", clips=3)) as project:
        project.correct_all()
        snapshot = project.snapshot()
    words = words_of(snapshot, tmp_path / "whole", checkpoint)
    command = [sys.executable, "-m", "tests.train.refresh.small_command", *words]
    whole = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert whole.returncode == 0, whole.stderr
    assert "pip install" not in whole.stderr
    words, log = words_of(snapshot, tmp_path / "killed", checkpoint), tmp_path / "log"
    asked, killed = signal.SIGTERM, signal.SIGKILL
    moments: list[tuple[tuple[str, int] | None, int]] = [
        (("reading", 0), asked),
        (("checking", 1), killed),
        (("checking", 2), asked),
        (("sft", 1), asked),
        (("sft", 3), killed),
        (("pir-grpo", 3), killed),
        (("pir-grpo", 0), asked),
        (("comparing", 1), asked),
        (("comparing", 1), killed),
        (("deciding", 0), killed),
        (None, killed),
    ]
    unbound_parts()  # its child starts the fork server
    server = forkserver._servers.get("tempo_core")
    children = None if server is None else server.requests
    for moment, number in moments:
        process = processes.Process(
            target=small_command.run_and_exit, args=(words, log, moment, number, children)
        )
        process.start()
        process.join()
        expected = -number if number == killed else 2
        assert process.exitcode == (0 if moment is None else expected), (moment, log.read_text())
        if number == asked:
            assert "refresh: Stopped" in log.read_text().splitlines()[-1]
            states = json.loads((tmp_path / "killed" / "run" / "state.json").read_text())
            assert (states["state"], states["stage"]) == ("cancelled", moment[0] if moment else "")
    last_line = json.loads(log.read_text().splitlines()[-1])
    assert last_line["adapter"] == json.loads(whole.stdout)["adapter"]
