"""Rows are read whole or not at all, and whoever wrote a broken one is told where and why."""

import json
from pathlib import Path
from typing import Any

import pytest

from tempo_core.errors import InputError
from tempo_core.metrics import SubmissionError, read_both, read_predictions, read_truth
from tests.tempo_core.metrics.builders import write_rows

GOOD_TRUTH = {"qid": 1, "query": "q", "vid": "a_0.0_10.0", "duration": 10, "relevant_windows": [[0, 4]]}
GOOD_PREDICTION = {"qid": 1, "query": "q", "vid": "a_0.0_10.0", "pred_relevant_windows": [[0, 4, 0.9]]}


def test_real_files_read_whole(shared_data: Path) -> None:
    rows = read_truth(shared_data / "qvhighlights" / "highlight_val_release.jsonl")
    assert len(rows) == 1550
    assert sum(len(row.windows) for row in rows) == 2803
    assert len(read_predictions(shared_data / "eval" / "sample_val_preds.jsonl")) == 1550
    taco = read_truth(shared_data / "other_datasets" / "tacos_test_release.first400.jsonl")
    assert taco[0].qid == "s30-d52_0"
    assert len(read_truth(shared_data / "other_datasets" / "activitynet_val_release.jsonl")) == 17505


def test_a_refusal_needs_no_window_and_a_row_without_matches_is_kept(tmp_path: Path) -> None:
    rows = read_predictions(
        write_rows(tmp_path / "p", [{"qid": "a", "refused": True}, {"qid": "b", "pred_relevant_windows": []}])
    )
    assert [row.has_refused for row in rows] == [True, True]
    empty = GOOD_TRUTH | {"relevant_windows": [], "verdict": "no-moment"}
    assert read_truth(write_rows(tmp_path / "g", [empty]))[0].windows == ()


def test_rows_that_nobody_could_judge_are_left_out(tmp_path: Path) -> None:
    unclear = {"qid": 2, "relevant_windows": [], "verdict": "cannot-judge"}
    assert [row.qid for row in read_truth(write_rows(tmp_path / "g", [GOOD_TRUTH, unclear]))] == [1]


def test_blank_lines_a_mark_and_a_line_separator_in_a_query_are_harmless(tmp_path: Path) -> None:
    path = tmp_path / "g"
    row = '{"qid": 1, "query": "a\u2028b", "relevant_windows": [[0, 1]]}'
    path.write_bytes(("\ufeff" + row + "\r\n\r\n" + row.replace(": 1,", ": 2,") + "\n").encode())
    assert [(listed.qid, listed.query, listed.line) for listed in read_truth(path)] == [
        (1, "a\u2028b", 1),
        (2, "a\u2028b", 3),
    ]


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"qid": None}, "qid", "whole number or a text"),
        ({"qid": True}, "qid", "whole number or a text"),
        ({"pred_relevant_windows": "x"}, "pred_relevant_windows", "list of windows"),
        ({"pred_relevant_windows": None}, "pred_relevant_windows", "list of windows"),
        (
            {"pred_relevant_windows": [[0, 4]]},
            "pred_relevant_windows[0]",
            "3 finite numbers [start, end, score]",
        ),
        ({"pred_relevant_windows": [[0, 4, 1], [0, "4", 1]]}, "pred_relevant_windows[1]", "3 finite numbers"),
        ({"pred_relevant_windows": [[0, float("nan"), 1]]}, "pred_relevant_windows[0]", "3 finite numbers"),
        ({"pred_relevant_windows": [[0, 10**400, 1]]}, "pred_relevant_windows[0]", "3 finite numbers"),
        ({"pred_saliency_scores": [10**400]}, "pred_saliency_scores", "finite numbers"),
        ({"moments": [[0, 10**400]]}, "moments[0]", "2 finite numbers"),
        ({"relevance": 10**400}, "relevance", "from 0 to 1"),
        ({"pred_relevant_windows": [[0, True, 1]]}, "pred_relevant_windows[0]", "3 finite numbers"),
        ({"pred_saliency_scores": [1, float("inf")]}, "pred_saliency_scores", "finite numbers"),
        ({"pred_saliency_scores": []}, "pred_saliency_scores", "finite numbers"),
        ({"moments": [[1, 2, 3]]}, "moments[0]", "2 finite numbers [start, end]"),
        ({"relevance": 1.5}, "relevance", "from 0 to 1"),
        ({"refused": "no"}, "refused", "true or false"),
        ({"query": 5}, "query", "a text"),
    ],
)
def test_a_broken_prediction_is_named(tmp_path: Path, change: dict[str, Any], field: str, rule: str) -> None:
    path = write_rows(tmp_path / "p.jsonl", [GOOD_PREDICTION | {"qid": 7}, GOOD_PREDICTION | change])
    with pytest.raises(SubmissionError) as caught:
        read_predictions(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.field, problem.file) == (2, field, str(path))
    assert rule in problem.rule
    assert f"{path}, line 2" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"relevant_windows": [[4, 4]]}, "relevant_windows[0]", "end after its start"),
        ({"relevant_windows": [[-1, 4]]}, "relevant_windows[0]", "start at 0 or later"),
        ({"relevant_windows": None}, "relevant_windows", "list of windows"),
        ({"verdict": "no-moment"}, "relevant_windows", "must have no windows"),
        ({"duration": 0}, "duration", "above 0"),
        ({"duration": "10"}, "duration", "above 0"),
        ({"relevant_clip_ids": [5], "saliency_scores": [[1, 1, 1]]}, "relevant_clip_ids", "from 0 to 4"),
        ({"relevant_clip_ids": [0, 1], "saliency_scores": [[1, 1, 1]]}, "saliency_scores", "each of the 2"),
        ({"relevant_clip_ids": [0], "saliency_scores": [[1, 1]]}, "saliency_scores", "three numbers"),
    ],
)
def test_a_broken_truth_is_named(tmp_path: Path, change: dict[str, Any], field: str, rule: str) -> None:
    with pytest.raises(SubmissionError) as caught:
        read_truth(write_rows(tmp_path / "g.jsonl", [GOOD_TRUTH | change]))
    (problem,) = caught.value.problems
    assert (problem.line, problem.qid, problem.field) == (1, 1, field)
    assert rule in problem.rule


def test_a_file_without_ground_truth_says_so(shared_data: Path) -> None:
    with pytest.raises(SubmissionError, match=r"relevant_windows is absent.*and 1541 more"):
        read_truth(shared_data / "qvhighlights" / "highlight_test_release.jsonl")


def test_every_broken_row_is_reported_at_once(tmp_path: Path) -> None:
    rows = ["not json", "[1]", GOOD_PREDICTION, GOOD_PREDICTION, {"qid": 3}]
    with pytest.raises(SubmissionError) as caught:
        read_predictions(write_rows(tmp_path / "p", rows))
    assert [problem.line for problem in caught.value.problems] == [1, 2, 4, 5]
    assert "given on line 3 already" in caught.value.problems[2].rule
    assert caught.value.problems[1].to_dict()["value"] == "[1]"


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no file"), (b"", "holds no rows"), (b"\xff\xfe{", "UTF-8")]
)
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "p"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_predictions(path)


def test_a_long_value_is_shortened(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError) as caught:
        read_predictions(write_rows(tmp_path / "p", [GOOD_PREDICTION | {"query": ["x" * 500]}]))
    assert len(caught.value.problems[0].value) == 80


REFUSED = GOOD_TRUTH | {
    "vid": "other",
    "relevant_windows": [[0, 0]],
    "relevant_clip_ids": [],
    "saliency_scores": [[]],
}


def test_repeated_qids_of_coded_refusals_are_told_apart_by_their_order(tmp_path: Path) -> None:
    """Moment of Untruth's combined files give a refusal the qid of the query that it is made from."""
    truth = write_rows(tmp_path / "g.jsonl", [GOOD_TRUTH, REFUSED, GOOD_TRUTH | {"qid": 2}, REFUSED])
    predictions = write_rows(
        tmp_path / "p.jsonl", [GOOD_PREDICTION | {"qid": qid, "vid": "v"} for qid in (1, 1, 2, 1)]
    )
    prediction_rows, truth_rows = read_both(predictions, truth)
    assert [row.qid for row in truth_rows] == [row.qid for row in prediction_rows] == [1, "1#2", 2, "1#3"]
    assert [bool(row.windows) for row in truth_rows] == [True, False, True, False]


def test_na_vmrs_object_of_predictions_is_read(tmp_path: Path) -> None:
    """`pred_class` under one half rejects the query, unless the row says itself whether it refuses."""
    items = [GOOD_PREDICTION | {"vid": "v", "pred_class": relevance} for relevance in (0.5, 0.25)]
    items.append(items[1] | {"qid": 2, "refused": False})
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"preds": items}, indent=1))
    rows = read_predictions(path, number_repeats=True)
    assert [(row.qid, row.relevance, row.has_refused) for row in rows] == [
        (1, 0.5, False),
        ("1#2", 0.25, True),
        (2, 0.25, False),
    ]
    assert [row.has_refused for row in read_predictions(write_rows(tmp_path / "l", items[1:]))] == [
        True,
        False,
    ]
    path.write_text(json.dumps({"preds": [{"qid": 1}, 3]}))
    with pytest.raises(SubmissionError, match=r"p\.json, item 1 of preds \(qid 1\): pred_relevant_windows"):
        read_predictions(path)
    path.write_text('{"preds": [], "gt": []}')
    with pytest.raises(InputError, match="holds preds, gt; an object of predictions has one field"):
        read_predictions(path)


def test_elsewhere_and_where_the_order_says_nothing_repeated_qids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="given on line 1 already"):
        read_truth(write_rows(tmp_path / "g.jsonl", [GOOD_TRUTH, GOOD_TRUTH]))
    truth = write_rows(tmp_path / "g.jsonl", [GOOD_TRUTH, REFUSED])
    without_vid = {name: value for name, value in GOOD_PREDICTION.items() if name != "vid"}
    with pytest.raises(SubmissionError, match="several queries have it, and the row has no vid"):
        read_both(write_rows(tmp_path / "p.jsonl", [without_vid]), truth)
