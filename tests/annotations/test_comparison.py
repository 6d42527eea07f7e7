"""The old ground truth scored against the corrected one, and the shared ways in and out."""

from pathlib import Path

import pytest

from annotations import formats
from annotations.comparison import compare_with_original
from annotations.exporting import export_to
from annotations.formats import ReadOptions, RowsRejected
from annotations.importing import import_file
from annotations.snapshot import take_snapshot
from annotations.store import Store
from tempo_core.errors import InputError
from tests.annotations.conftest import Operations, edit


def test_untouched_rows_score_full_marks(filled: Store, tmp_path: Path) -> None:
    comparison = compare_with_original(take_snapshot(filled, tmp_path, actor="ada"), dataset="qvh")
    assert (comparison.rows, comparison.changed, comparison.unscored) == (3, 0, 1)
    assert comparison.official is not None
    assert comparison.official.scores["brief"]["MR-full-R1@0.7"] == 100
    assert comparison.strict.scores["brief"]["MR-full-R1@0.7"] == 100


def test_a_correction_costs_the_old_rows_points(filled: Store, op: Operations, tmp_path: Path) -> None:
    filled.submit(1, edit((60_000, 70_000)), annotator="ada", parent_id=None, op_id=op())
    filled.submit(3, edit(), annotator="ada", parent_id=None, op_id=op())
    snapshot = take_snapshot(filled, tmp_path, actor="ada")
    comparison = compare_with_original(snapshot, dataset="qvh")
    assert (comparison.rows, comparison.changed, comparison.unscored) == (3, 2, 2)
    assert comparison.official is not None
    assert comparison.official.scores["brief"]["MR-full-R1@0.5"] == 0
    few = compare_with_original(snapshot, dataset="qvh", reviewed_only=True)
    assert few.rows == 2
    for wrong in ({"dataset": "qvh", "split": "test"}, {"dataset": "qvh", "rule": "majority"}):
        with pytest.raises(InputError):
            compare_with_original(snapshot, **wrong)  # type: ignore[arg-type]


def test_real_rows_with_filled_holes_lose_what_they_are_known_to_lose(
    shared_data: Path, sqlite_template: Path, tmp_path: Path
) -> None:
    """Untouched val rows: identity scores 100 under the official rules, as the release does against itself."""
    file = next((shared_data / "qvhighlights").rglob("highlight_val_release.jsonl"))
    few = tmp_path / "highlight_val_release.jsonl"
    few.write_text("\n".join(file.read_text().split("\n")[:60]))
    with Store(tmp_path / "s.sqlite3") as store:
        outcome = import_file(store, few, op_id="a", actor="ada")
        assert (outcome.format, outcome.dataset, outcome.report.added, outcome.problems) == (
            "qvhighlights",
            "qvhighlights",
            60,
            (),
        )
        snapshot = take_snapshot(store, tmp_path / "snapshots", actor="ada")
    comparison = compare_with_original(snapshot, dataset="qvhighlights")
    assert comparison.official is not None
    assert comparison.official.scores["brief"]["MR-full-mAP"] == 100
    export_to(snapshot, tmp_path / "out", format="qvhighlights")
    written = (tmp_path / "out" / "highlight_val_corrected.jsonl").read_bytes()
    assert written == few.read_bytes()


def test_an_import_names_every_row_that_stayed_out(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    good = '{"qid": 1, "query": "a", "vid": "v", "duration": 10, "relevant_windows": [[0, 2]]}'
    bad = '{"qid": 2, "query": "b", "vid": "v", "duration": 10, "relevant_windows": [[4, 2]]}'
    file.write_text(f"{good}\n{bad}\n")
    with pytest.raises(RowsRejected) as refused:
        import_file(store, file, op_id="x", actor="ada")
    assert [(problem.line, problem.file) for problem in refused.value.problems] == [(2, "rows.jsonl")]
    assert store.datasets() == {}
    outcome = import_file(store, file, op_id="x", actor="ada", options=ReadOptions(keep_going=True))
    assert outcome.report.added == 1
    assert [problem.line for problem in outcome.problems] == [2]


def test_an_export_needs_to_know_its_dataset(filled: Store, op: Operations, tmp_path: Path) -> None:
    filled.import_rows(formats.read(_one_row(tmp_path)).rows, dataset="other", op_id=op())
    snapshot = take_snapshot(filled, tmp_path / "s", actor="ada")
    with pytest.raises(InputError, match="say which one"):
        export_to(snapshot, tmp_path / "out.csv", format="csv")
    assert export_to(snapshot, tmp_path / "out.csv", format="csv", dataset="other").rows == 1


def _one_row(folder: Path) -> Path:
    file = folder / "one.jsonl"
    file.write_text('{"qid": 5, "query": "a", "vid": "v", "duration": 10, "relevant_windows": [[0, 2]]}')
    return file
