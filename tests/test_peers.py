"""`python -m benchmarks peers`: a tiny run without anything to install, the table, and what counts as the same."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.peers.rows import Row, Side
from benchmarks.peers.runner import agreement, measure, table


def test_a_tiny_run_measures_both_sides_in_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["peers", "--out", str(tmp_path), "--only", "saved", "--rounds", "2", "--saves", "3"]) == 0
    report = json.loads((tmp_path / "peers.json").read_text())
    (row,) = report["rows"]
    assert row["name"] == "3 saved answers"
    assert [len(side["cpu_s"]) for side in row["sides"]] == [2, 2]
    assert [side["agreement"] for side in row["sides"]] == [None, 1.0]
    assert (tmp_path / "peers.md").read_text() == table(report)
    assert "Store.submit" in capsys.readouterr().out


def test_bad_options_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["peers", "--out", str(tmp_path), "--only", "nothing"]) == 2
    assert "150 frames of 150 s, 1080p H.264" in capsys.readouterr().err, "the rows that there are"
    assert main(["peers", "--out", str(tmp_path), "--rounds", "0"]) == 2
    assert "--rounds must be 1 or more; got 0" in capsys.readouterr().err


def test_a_peer_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    sides = (
        Side(name="ours", function="save_sqlite"),
        Side(name="broken", function="no_such_work"),
        Side(name="theirs", function="save_sqlite"),
    )
    row = Row(name="saves", sides=sides, arguments={"saves": 1}, agreement="writes")
    ours, broken, theirs = measure(row, 2, tmp_path)
    assert (ours.problem, theirs.problem, theirs.agreement) == (None, None, 1.0)
    assert broken.problem == "KeyError: 'no_such_work'"
    report = {"rows": [{"name": "saves", "sides": [vars_of(side) for side in (ours, broken, theirs)]}]}
    assert "|  | broken | not measured: KeyError: 'no_such_work' | | |" in table(report)


def vars_of(result: object) -> dict[str, object]:
    return {name: getattr(result, name) for name in ("side", "cpu_s", "wall_s", "agreement", "problem")}


def test_the_table_has_medians_spread_and_ratios() -> None:
    sides = [
        {"side": "Tempo", "cpu_s": [2.0, 1.0, 4.0], "agreement": None, "problem": None},
        {"side": "peer", "cpu_s": [8.0, 3.0, 4.0], "agreement": 0.5, "problem": None},
    ]
    assert table({"rows": [{"name": "work", "sides": sides}]}).splitlines()[2:] == [
        "| work | Tempo | 2.000 (1.000 to 4.000) | 1.00 |  |",
        "|  | peer | 4.000 (3.000 to 8.000) | 2.00 | 50% |",
    ]


def test_what_is_the_same() -> None:
    assert agreement(["a", "b"], ["a", "c"]) == 0.5
    assert agreement(["a", "b"], ["a"]) == 0.5
    assert agreement([[10.0, 20.0], [0.0, 0.0]], [[12.0, 22.0], [90.0, 0.0]]) == 0.5
    assert agreement([[1.0], [2.0]], 2) == 1.0
    assert agreement(3, 4) == 0.0
