"""The harness of `python -m benchmarks load` and `kills`, for a short while."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.kills import kill_repeatedly
from tests.app.load.books import lost_saves
from tests.app.load.people import Save

pytestmark = pytest.mark.slow


def save(number: int, sent_s: float, acknowledged_s: float) -> Save:
    return Save(
        op_id=f"op-{number}",
        query_id=1,
        annotator="ada",
        correction_id=number,
        sent_s=sent_s,
        acknowledged_s=acknowledged_s,
        attempts=1,
    )


def test_a_save_that_is_gone_or_out_of_its_place_is_named(tmp_path: Path) -> None:
    from annotations.store import Store
    from tests.annotations.conftest import ROWS, edit

    with Store(tmp_path / "cqvh.sqlite3") as store:
        store.import_rows(ROWS, dataset="d", op_id="import")
        first = store.submit(1, edit((0, 1000)), annotator="ada", parent_id=None, op_id="op-1")
        store.submit(1, edit((0, 2000)), annotator="ada", parent_id=first.id, op_id="op-2")
        assert lost_saves(store, [save(1, 0.0, 1.0), save(2, 0.5, 2.0)]) == []
        assert lost_saves(store, [save(1, 3.0, 4.0), save(2, 0.5, 2.0)]) == [
            "op-1 was sent after a later operation had been acknowledged."
        ]
        assert lost_saves(store, [save(3, 0.0, 1.0)]) == ["op-3 was acknowledged and is not there."]


def test_nothing_acknowledged_is_lost_when_the_server_is_killed_three_times(tmp_path: Path) -> None:
    report = kill_repeatedly(tmp_path, kills=3, annotators=4, longest_s=0.5, seed=3)
    assert report["problems"] == []
    assert report["acknowledged"] > 0
    assert report["broken"] > 0


def test_a_backup_under_load_holds_what_was_acknowledged_before(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--light", "--annotators=6", "--visitors=2", "--minutes=0.15", "--pace=0.3", "--rows=200"]
    main(["load", *options, "--json"])
    report = json.loads(capsys.readouterr().out)
    # Who waits how long is for a machine of one's own; what is stored is the same everywhere.
    assert [
        problem for problem in report["problems"] if "starved" not in problem and "memory" not in problem
    ] == []
    assert report["backup"]["acknowledged_before"] > 0


def test_a_full_disk_is_told_and_work_goes_on_when_there_is_room(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True
    )
    if mounting.returncode:
        pytest.skip("needs to mount a small disk, which root may do here and elsewhere nobody")
    subprocess.run(["umount", str(tmp_path)], check=True)
    options = ["--light", "--annotators=6", "--visitors=0", "--minutes=0.4", "--pace=0.3", "--rows=200"]
    main(["load", *options, "--full-disk", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert [problem for problem in report["problems"] if "memory" not in problem] == []
    assert report["full_disk"]["told_507"] > 0
    assert any("Edits stay in the browser" in text for text in report["refusals"])
