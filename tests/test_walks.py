"""The counting rule of `python -m benchmarks walks`."""

import json

import pytest

from annotations.database import parse_url
from annotations.records import EditedMoment
from benchmarks.__main__ import main
from benchmarks.walks import TARGETS, traced


def test_functions_files_and_depth_of_a_call_are_counted() -> None:
    with traced() as walk:
        EditedMoment(start_ms=1000, end_ms=9000)
        parse_url("data.sqlite3")
    names = [code.co_qualname for code in walk.functions]
    assert names == ["EditedMoment.__post_init__", "check_choice", "parse_url"]
    assert walk.figures() == {"files": 2, "functions": 3, "depth": 2}
    assert walk.files == ["annotations/database.py", "annotations/records.py"]


def test_a_function_counts_once_however_often_it_runs() -> None:
    with traced() as walk:
        for end_ms in range(1, 4):
            EditedMoment(start_ms=0, end_ms=end_ms)
    assert walk.figures() == {"files": 1, "functions": 2, "depth": 2}


def test_nothing_of_tests_or_libraries_is_counted() -> None:
    def ours() -> str:
        return json.dumps([str(number) for number in range(3)])

    with traced() as walk:
        ours()
    assert walk.figures() == {"files": 0, "functions": 0, "depth": 0}


def test_nothing_is_counted_after_the_block() -> None:
    with traced() as walk:
        pass
    parse_url("data.sqlite3")
    assert walk.figures()["functions"] == 0


def test_the_report_names_what_is_over_its_target(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS, "snapshot", {"files": 1, "functions": 100})
    status = main(["walks", "submit", "snapshot", "--functions", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert list(report) == ["submit", "snapshot"]
    assert report["snapshot"]["over"] == ["files"]
    assert status == 1
    assert report["submit"]["over"] == []  # a correction's way stays as short as it was made
    for name, entry in report.items():
        assert entry["target"] == TARGETS[name]
        assert len(entry["calls"]) == entry["functions"]
    assert report["submit"]["calls"][0].startswith("Store.submit  annotations/store.py:")


@pytest.mark.parametrize("name", ["snapshot", pytest.param("ask", marks=pytest.mark.slow)])
def test_a_way_stays_as_short_as_it_was_made(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["walks", name, "--functions"])
    assert status == 0, capsys.readouterr().out
