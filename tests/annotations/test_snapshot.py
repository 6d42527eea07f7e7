"""Snapshots: immutable, equal for equal data on every database, complete, and exported from."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from annotations.errors import NotFound
from annotations.exporting import export_rows
from annotations.records import Prediction, ProposedMoment, Video
from annotations.rows import Row
from annotations.snapshot import LEFT_BEHIND_S, Snapshot, open_snapshot, take_snapshot, temporary_snapshot
from annotations.store import Store
from tempo_core.errors import InputError
from tests.annotations.conftest import ROWS, Clock, Operations, edit


def fill(store: Store, op: Operations) -> None:
    """One of everything."""
    store.import_rows(ROWS, dataset="qvh", op_id=op())
    moment = ProposedMoment(start_ms=10_000, end_ms=41_000, confidence=0.5)
    proposal = store.propose(1, Prediction(model_id="m", moments=(moment,)), op_id=op())
    ada = store.submit(
        1, edit((10_000, 40_500), proposal_id=proposal.id), annotator="ada", parent_id=None, op_id=op()
    )
    store.submit(1, edit((1, 2), submitted=False), annotator="ada", parent_id=ada.id, op_id=op())
    store.submit(1, edit((10_000, 20_000)), annotator="bo", parent_id=None, op_id=op())
    store.adjudicate(1, correction_id=ada.id, adjudicator="dee", parent_id=None, op_id=op())
    store.submit(3, edit(edited_text="Another dog runs"), annotator="bo", parent_id=None, op_id=op())


def test_equal_data_has_one_hash_on_both_databases(
    tmp_path: Path, sqlite_template: Path, new_postgresql: Callable[[], str]
) -> None:
    snapshots = []
    for url in (f"sqlite:///{tmp_path / 'a.sqlite3'}", new_postgresql(), "sqlite://"):
        with Store(url, clock=Clock()) as store:
            fill(store, Operations())
            snapshots.append(take_snapshot(store, tmp_path / str(len(snapshots)), actor="ada"))
    assert len({snapshot.sha256 for snapshot in snapshots}) == 1


def test_a_snapshot_is_taken_once_and_changes_with_the_data(
    store: Store, op: Operations, tmp_path: Path
) -> None:
    fill(store, op)
    first, again = (take_snapshot(store, tmp_path, actor="ada") for _ in range(2))
    assert first == again
    store.submit(2, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
    second = take_snapshot(store, tmp_path, actor="ada")
    assert second.sha256 != first.sha256
    assert sorted(
        path.name for path in tmp_path.iterdir() if path.is_dir() and path.name[0] != "."
    ) == sorted([first.sha256[:16], second.sha256[:16]])
    assert first.problems() == second.problems() == []
    assert dict(first.counts) == {"rows": 3, "corrections": 4, "proposals": 1, "verdicts": 1, "videos": 0}


def test_a_clip_that_moves_changes_no_data_and_the_snapshot_follows_it(
    store: Store, op: Operations, tmp_path: Path
) -> None:
    fill(store, op)
    clip = Video(vid="a", sha256="0" * 64, path="/old/a.mp4", size_bytes=1, modified_ns=1)
    store.save_videos([clip], op_id=op(), actor="ada")
    first = take_snapshot(store, tmp_path, actor="ada")
    store.save_videos([replace(clip, path="/new/a.mp4", modified_ns=2)], op_id=op(), actor="ada")
    again = take_snapshot(store, tmp_path, actor="ada")
    assert again.folder == first.folder
    assert again.video_paths() == {"a": Path("/new/a.mp4")}
    assert again.problems() == []


def test_a_passing_snapshot_leaves_nothing(store: Store, op: Operations, tmp_path: Path) -> None:
    fill(store, op)
    root = tmp_path / "snapshots"
    with temporary_snapshot(store, root) as passing:
        assert len(list(passing.rows())) == 3
    assert list(root.iterdir()) == []
    assert passing.sha256 == take_snapshot(store, root, actor="ada").sha256


def test_what_a_killed_program_left_is_swept_and_what_is_being_written_is_not(
    store: Store, op: Operations, tmp_path: Path
) -> None:
    fill(store, op)
    old, new = tmp_path / ".partial-old", tmp_path / ".partial-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "copy.sqlite3").touch()
    long_ago = time.time() - LEFT_BEHIND_S - 60
    os.utime(old, (long_ago, long_ago))
    take_snapshot(store, tmp_path, actor="ada")
    assert (old.exists(), new.exists()) == (False, True)


def test_two_who_take_the_same_snapshot_at_once_get_one(store: Store, op: Operations, tmp_path: Path) -> None:
    fill(store, op)
    root = tmp_path / "snapshots"
    with ThreadPoolExecutor(4) as pool:
        snapshots = list(pool.map(lambda _: take_snapshot(store, root, actor="ada"), range(4)))
    assert len({snapshot.folder for snapshot in snapshots}) == 1
    assert snapshots[0].problems() == []
    assert [path.name for path in root.iterdir()] == [snapshots[0].folder.name]


def test_it_holds_everything_and_each_rows_split(store: Store, op: Operations, tmp_path: Path) -> None:
    fill(store, op)
    snapshot = take_snapshot(store, tmp_path, actor="ada")
    rows = list(snapshot.rows())
    assert [row.row for row in rows] == ROWS
    assert [row.row.raw for row in rows] == [row.raw for row in ROWS]
    assert [row.split for row in rows] == ["val", "val", "train"]
    assert [row.row.qid for row in snapshot.rows(splits=["train"])] == ["12"]
    assert [version.annotator for version in rows[0].versions] == ["ada", "bo"]
    assert rows[0].resolved().source == "verdict"
    assert rows[0].resolved().moments == store.resolved(1).moments
    corrections = list(snapshot.records("corrections"))
    assert [correction["edit"]["submitted"] for correction in corrections] == [True, False, True, True]
    assert corrections[0]["proposal"] == next(snapshot.records("proposals"))["op_id"]
    assert corrections[1]["parent"] == corrections[0]["op_id"]
    assert next(snapshot.records("verdicts"))["correction"] == corrections[0]["op_id"]


def test_tampering_is_found(store: Store, op: Operations, tmp_path: Path) -> None:
    fill(store, op)
    snapshot = take_snapshot(store, tmp_path, actor="ada")
    file = snapshot.folder / "rows.jsonl"
    file.chmod(0o644)
    file.write_text(file.read_text().replace("A dog", "A cat"))
    assert snapshot.problems() == [f"{file} is not what was written: its hash differs from the manifest's."]
    file.unlink()
    assert snapshot.problems() == [f"{file} is missing."]
    with pytest.raises(InputError, match="is no snapshot"):
        open_snapshot(tmp_path)


def test_archived_datasets_stay_out(store: Store, op: Operations, tmp_path: Path) -> None:
    fill(store, op)
    store.import_rows([ROWS[1]], dataset="other", op_id=op())
    store.archive("qvh", op_id=op(), actor="ada")
    snapshot = take_snapshot(store, tmp_path, actor="ada")
    assert (snapshot.datasets, snapshot.counts["rows"]) == (("other",), 1)
    with pytest.raises(InputError, match="no dataset 'none'"):
        take_snapshot(store, tmp_path, actor="ada", datasets=["none"])
    with pytest.raises(NotFound):
        store.find("none", 1)


@pytest.fixture
def exported(store: Store, op: Operations, tmp_path: Path) -> Snapshot:
    fill(store, op)
    return take_snapshot(store, tmp_path, actor="ada")


def windows(rows: list[Row]) -> list[object]:
    return [row.windows for row in rows]


def test_rules_decide_whose_answer_is_exported(exported: Snapshot) -> None:
    latest, adjudicated, majority = (
        list(export_rows(exported, rule=rule)) for rule in ("latest", "adjudicated", "majority")
    )
    assert windows(latest) == [((10, 40.5),), (), ()]
    assert windows(adjudicated) == [((10, 40.5),), (), ((0, 150),)]
    assert [row.verdict for row in majority] == ["moments", "no-moment", "no-moment"]
    assert [row.raw is None for row in latest] == [True, True, True]  # the second had no line to begin with
    assert latest[0].original_windows == ((10, 20), (22, 40))
    assert latest[2].reason == "nothing there"
    assert latest[0].mean_tiou == pytest.approx(10 / 30.5)
    assert [version.annotator for version in latest[0].annotations or ()] == ["m", "ada", "bo"]
    with pytest.raises(InputError, match="The rule is 'loudest'"):
        list(export_rows(exported, rule="loudest"))  # type: ignore[arg-type]


def test_edited_text_is_taken_only_on_request(exported: Snapshot) -> None:
    plain, edited = (
        list(export_rows(exported, edited_text=edited_text))[2].query for edited_text in (False, True)
    )
    assert (plain, edited) == ("a  DOG runs", "Another dog runs")


def test_an_untouched_row_keeps_its_raw_line(store: Store, op: Operations, tmp_path: Path) -> None:
    store.import_rows(ROWS, dataset="qvh", op_id=op())
    confirmed = edit((10_000, 20_000), (22_000, 40_000))
    store.submit(1, confirmed, annotator="ada", parent_id=None, op_id=op())
    row = next(export_rows(take_snapshot(store, tmp_path, actor="ada")))
    assert row.raw == ROWS[0].raw


def test_files_are_json_lines_that_any_program_reads(exported: Snapshot) -> None:
    answers = [
        json.loads(line)["answer"] for line in (exported.folder / "rows.jsonl").read_text().splitlines()
    ]
    assert answers[0] == {
        "source": "verdict",
        "verdict": "moments",
        "windows": [[10.0, 40.5]],
        "by": "ada",
        "op_id": "op-3",
    }


def test_the_files_say_exactly_this(store: Store, op: Operations, tmp_path: Path) -> None:
    fill(store, op)
    clip = Video(vid="x_0.0_150.0", sha256="ab" * 32, path="/clips/x.mp4", size_bytes=7, modified_ns=1)
    store.save_videos([clip], op_id=op(), actor="ada")
    snapshot = take_snapshot(store, tmp_path, actor="ada")
    lines = {
        name: (snapshot.folder / f"{name}.jsonl").read_text().splitlines()
        for name in ("rows", "corrections", "proposals", "verdicts", "videos", "paths")
    }
    assert lines["rows"][1] == (
        '{"dataset":"qvh","split":"val","row":{"qid":"11","qid_is_int":true,"query":"A cat sleeps",'
        '"vid":"x_0.0_150.0","duration_s":150,"split":"val","windows":[],"verdict":"no-moment"},"raw":null,'
        f'"video_sha256":"{clip.sha256}","answer":{{"source":"original","verdict":"no-moment","windows":[],'
        '"by":null,"op_id":null},"versions":[],"adopted":null}'
    )
    assert lines["corrections"][0] == (
        '{"op_id":"op-3","dataset":"qvh","qid":10,"annotator":"ada","revision":1,"parent":null,"restores":null,'
        '"proposal":"op-2","created_at_ms":1700000000003,"edit":{"verdict":"moments","moments":[{"start_ms":10000,'
        '"end_ms":40500,"start_source":"hand","end_source":"hand","start_uncertainty_ms":null,'
        '"end_uncertainty_ms":null,"start_frame":null,"end_frame":null}],"reason":null,"categories":[],'
        '"edited_text":null,"note":null,"flagged":false,"submitted":true,"arm":null,"opening":null,'
        '"screen_reasons":null,"active_ms":null,'
        '"key_presses":null}}'
    )
    corrected = json.loads(lines["rows"][0])
    assert corrected["adopted"] == corrected["versions"][0] == json.loads(lines["corrections"][0])
    assert corrected["row"]["windows"] == [[10, 20], [22, 40]]
    assert corrected["raw"] == ROWS[0].raw
    assert lines["proposals"] == [
        '{"op_id":"op-2","dataset":"qvh","qid":10,"created_at_ms":1700000000002,"model_id":"m","adapter_id":null,'
        '"refused":false,"relevance":null,"moments":[[10000,41000,0.5]],"allocation":null,"timings":null,'
        '"answer":null}'
    ]
    assert lines["verdicts"] == [
        '{"op_id":"op-6","dataset":"qvh","qid":10,"revision":1,"parent":null,"correction":"op-3",'
        '"adjudicator":"dee","note":null,"created_at_ms":1700000000006}'
    ]
    assert lines["videos"] == [f'{{"vid":"x_0.0_150.0","sha256":"{clip.sha256}","size_bytes":7}}']
    assert lines["paths"] == ['{"vid":"x_0.0_150.0","path":"/clips/x.mp4"}']
    manifest = json.loads((snapshot.folder / "MANIFEST.json").read_text())
    assert list(manifest) == ["form", "sha256", "datasets", "files"]
    assert (manifest["form"], manifest["datasets"]) == (1, ["qvh"])
    for name, file in manifest["files"].items():
        content = (snapshot.folder / name).read_bytes()
        assert file == {"sha256": hashlib.sha256(content).hexdigest(), "records": content.count(b"\n")}


def test_each_answer_says_where_it_comes_from(store: Store, op: Operations, tmp_path: Path) -> None:
    store.import_rows(ROWS, dataset="qvh", op_id=op())
    unsure = edit(verdict="cannot-judge", reason="too dark")
    bo = store.submit(1, edit((1_500, 2_250)), annotator="bo", parent_id=None, op_id=op())
    store.submit(1, unsure, annotator="cy", parent_id=None, op_id=op())
    cy = store.submit(3, unsure, annotator="cy", parent_id=None, op_id=op())
    store.adjudicate(3, correction_id=cy.id, adjudicator="dee", parent_id=None, op_id=op())
    snapshot = take_snapshot(store, tmp_path, actor="ada")
    answers = [
        json.loads(line)["answer"] for line in (snapshot.folder / "rows.jsonl").read_text().splitlines()
    ]
    assert [tuple(answer.values()) for answer in answers] == [
        ("correction", "moments", [[1.5, 2.25]], "bo", bo.op_id),
        ("original", "no-moment", [], None, None),
        ("verdict", "cannot-judge", [[0.0, 150.0]], "cy", cy.op_id),
    ]
