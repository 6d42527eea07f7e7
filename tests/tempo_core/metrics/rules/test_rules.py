"""Every benchmark's rules give what its authors' own evaluator printed for the same generated file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tempo_core.errors import InputError
from tempo_core.metrics.rows import PredictionRow, TruthRow, read_predictions, read_truth
from tempo_core.metrics.rules import BENCHMARKS
from tempo_core.metrics.rules.report import evaluate_by_rules
from tempo_core.metrics.table import flatten
from tests.tempo_core.metrics.builders import predicted_row, truth, write_rows

FIXTURE = json.loads((Path(__file__).parent / "evaluators.json").read_text(encoding="utf-8"))
RESULTS = {(result["rules"], result["rows"]): result for result in FIXTURE["results"]}
NO_SCORES = {"stats", "G-mIoU_gate", "score_sources", "num_multi_moment_queries", "TP", "TN", "FP", "FN"}
"""Counts of rows and options, which Soccer-GMR's evaluator writes between its scores."""
TWICE = {"G-mIoU_detail", "mIoU_detail", "mIoU+_detail", "mAP_detail/mAP"}
"""Soccer-GMR's scores that its brief has too."""


def shared(ours: Any, theirs: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Each number of ours beside theirs under the same names."""
    if isinstance(ours, Mapping):
        return [
            line
            for name in ours
            for line in shared(ours[name], theirs[name], f"{path}/{name}" if path else name)
        ]
    return [(path, ours, theirs)]


def digits(value: Any) -> str | None:
    """A number to ten decimals: where the evaluator does not round, sums differ in their last bits by their order."""
    return None if value is None else f"{value:.10f}"


def files(folder: Path) -> tuple[tuple[PredictionRow, ...], tuple[TruthRow, ...]]:
    predictions = write_rows(folder / "p.jsonl", FIXTURE["predictions"])
    return read_predictions(predictions), read_truth(write_rows(folder / "g.jsonl", FIXTURE["ground_truth"]))


@pytest.mark.parametrize(("rules", "rows"), RESULTS)
def test_every_number_is_that_of_the_authors_evaluator(tmp_path: Path, rules: str, rows: str) -> None:
    predictions, ground_truth = files(tmp_path)
    if rows == "with moments":
        ground_truth = tuple(row for row in ground_truth if row.windows)
    theirs = RESULTS[rules, rows]
    report = evaluate_by_rules(predictions, ground_truth, rules=rules, partial=rows == "with moments")
    numbers = shared(report.scores, theirs["scores"])
    assert [(name, digits(ours)) for name, ours, _ in numbers] == [
        (name, digits(value)) for name, _, value in numbers
    ]
    assert report.source.endswith(theirs["commit"][:8])
    assert report.source.startswith(theirs["repository"])


@pytest.mark.parametrize("rules", BENCHMARKS)
def test_no_score_of_the_evaluator_is_left_out(tmp_path: Path, rules: str) -> None:
    predictions, ground_truth = files(tmp_path)
    report = evaluate_by_rules(predictions, ground_truth, rules=rules)
    theirs = flatten(RESULTS[rules, "every"]["scores"])
    absent = set(theirs) - set(flatten(report.scores))
    if rules == "soccer-gmr":
        absent = {name for name in absent if not NO_SCORES & set(name.split("/"))}
        absent = {name for name in absent if not name.startswith(tuple(TWICE))}
    assert absent == set()


def test_unknown_rules_are_refused_by_name() -> None:
    rows = [truth(1, [(0, 10)])]
    with pytest.raises(InputError, match="no rules 'qvm2'; give one of qv-m2, soccer-gmr"):
        evaluate_by_rules([predicted_row(1, [(0.0, 10.0, 1.0)])], rows, rules="qvm2")


def test_a_query_without_a_prediction_is_left_out_as_the_evaluators_do() -> None:
    rows = [truth(1, [(0, 10)]), truth(2, [(0, 10)])]
    report = evaluate_by_rules([predicted_row(1, [(0.0, 10.0, 1.0)])], rows, rules="timelens")
    assert report.scores["mIOU"] == 100.0
    assert report.counts == {"ground_truth": 2, "scored": 1, "missing": 1, "unknown": 0}
    assert report.notes == (
        "1 queries have no prediction and are left out, as in the evaluator: leaving out hard queries flatters.",
    )
    with pytest.raises(InputError, match="the QV-M2 rules need the same queries"):
        evaluate_by_rules([predicted_row(1, [(0.0, 10.0, 1.0)])], rows, rules="qv-m2")


def test_scores_of_each_value_of_a_field() -> None:
    rows = [truth(1, [(0, 10)], fields={"kind": "a"}), truth(2, [(0, 10)], fields={"kind": "b"})]
    predictions = [predicted_row(1, [(0.0, 10.0, 1.0)]), predicted_row(2, [(50.0, 60.0, 1.0)])]
    report = evaluate_by_rules(predictions, rows, rules="timelens", by=["kind"])
    assert {value: scores["mIOU"] for value, scores in report.groups["kind"].items()} == {
        "a": 100.0,
        "b": 0.0,
    }


ONLY_REFUSALS = ([truth(1, []), truth(2, [])], [predicted_row(1, []), predicted_row(2, [], refused=True)])
UNANSWERED = ([truth(1, [(0, 10)])], [predicted_row(1, [], refused=False)])


@pytest.mark.parametrize("rules", BENCHMARKS)
@pytest.mark.parametrize(("rows", "predictions"), [ONLY_REFUSALS, UNANSWERED], ids=["refusals", "unanswered"])
def test_files_of_one_kind_give_numbers_or_none(
    rules: str, rows: list[TruthRow], predictions: list[PredictionRow]
) -> None:
    report = evaluate_by_rules(predictions, rows, rules=rules)
    numbers = [value for _, value, _ in shared(report.scores, report.scores)]
    assert all(value is None or 0 <= value <= 100 for value in numbers)
    json.dumps(report.to_dict(), allow_nan=False)
    if any(value is None for value in numbers):
        assert report.notes


def test_the_refusals_of_other_data_sets_are_queries_without_a_moment(tmp_path: Path) -> None:
    unrated = {"relevant_clip_ids": [], "saliency_scores": [[]], "duration": 150}
    rows = [
        {"qid": 1, "relevant_windows": [[0, 0]]} | unrated,
        {"qid": 2, "relevant_windows": [[-1, -1]]},
    ]
    assert [row.windows for row in read_truth(write_rows(tmp_path / "g.jsonl", rows))] == [(), ()]
    predictions = [
        {"qid": 1, "pred_relevant_windows": [], "pred_class": 0.2},
        {"qid": 2, "pred_relevant_windows": [], "pred_exist_score": 0.7},
    ]
    predictions = read_predictions(write_rows(tmp_path / "p.jsonl", predictions))
    assert [row.relevance for row in predictions] == [0.2, 0.7]
