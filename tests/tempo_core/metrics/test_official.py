"""The official scores: every published number, the evaluator's faults, and equality with the plain twin."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tempo_core.metrics import read_predictions, read_truth
from tempo_core.metrics.arrays import pad
from tempo_core.metrics.official import (
    arrange,
    first_iou,
    official_scores,
    percent,
    rank,
    retrieval_scores,
)
from tempo_core.metrics.pairing import pair
from tests.tempo_core.metrics import plain
from tests.tempo_core.metrics.builders import (
    any_window,
    possible_window,
    predicted_row,
    published_numbers,
    scored,
    truth,
)

Scored = tuple[float, float, float]
Window = tuple[float, float]

PUBLISHED = {
    "sample_val_preds.jsonl": "sample_val_preds_metrics_raw.json",
    "moment_detr_inference_hl_val_preds.jsonl": "moment_detr_inference_hl_val_preds_metrics.json",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_number_is_reproduced(shared_data: Path, name: str) -> None:
    predictions = read_predictions(shared_data / "eval" / name)
    rows = read_truth(shared_data / "qvhighlights" / "highlight_val_release.jsonl")
    scores, _, notes = official_scores(pair(rows, predictions))
    published = json.loads((shared_data / "eval" / PUBLISHED[name]).read_text())
    assert len(published_numbers(published)) == 104
    assert published_numbers(scores) == published_numbers(published)
    assert list(scores) == list(published)
    assert notes == []


def test_the_ground_truth_itself_does_not_reach_100(shared_data: Path) -> None:
    rows = read_truth(shared_data / "qvhighlights" / "highlight_val_release.jsonl")
    windows = [row.windows for row in rows]
    ranked = pad([row[:10] for row in windows])
    brief = arrange(retrieval_scores(pad(windows), ranked, pad(windows))[0])["brief"]
    assert brief["MR-full-mAP"] == 99.76
    assert brief["MR-short-mAP"] == 79.75
    assert brief["MR-full-R1@0.7"] == 100.0


def test_plain_twin_agrees_on_a_real_file(shared_data: Path) -> None:
    predictions = read_predictions(shared_data / "eval" / "sample_val_preds.jsonl")[:300]
    rows = read_truth(shared_data / "qvhighlights" / "highlight_val_release.jsonl")
    pairs = pair(rows, predictions, partial=True)
    ranked = [row.windows or () for row in pairs.predictions if row]
    fast, _ = retrieval_scores(pad(ranked), rank(ranked), pairs.truth_windows)
    slow = plain.official_retrieval(list(zip(ranked, [row.windows for row in pairs.truth], strict=True)))
    rounded = published_numbers(slow)
    assert published_numbers(fast) == pytest.approx(rounded, abs=0.005 + 1e-9)


def test_wrong_and_empty_predictions_as_the_evaluator_counts_them() -> None:
    rows = [truth(1, [(0, 10)]), truth(2, [(0, 10)])]
    perfect, wrong, empty = [(0.0, 10.0, 1.0)], [(100.0, 110.0, 1.0)], []
    with_empty, _, notes = official_scores(pair(rows, [predicted_row(1, perfect), predicted_row(2, empty)]))
    assert with_empty["full"]["MR-mAP"]["0.5"] == 100.0
    assert with_empty["full"]["MR-R1"]["0.5"] is None
    assert "1 predictions have no window" in notes[0]
    with_wrong, _, _ = official_scores(pair(rows, [predicted_row(1, perfect), predicted_row(2, wrong)]))
    assert with_wrong["full"]["MR-mAP"]["0.5"] == 50.0


def test_only_the_first_ten_in_the_order_of_the_file_count() -> None:
    wrong = [(100.0 + i, 101.0 + i, 0.1) for i in range(10)]
    scores, _, _ = official_scores(
        pair([truth(1, [(0, 10)])], [predicted_row(1, [*wrong, (0.0, 10.0, 0.9)])])
    )
    assert scores["full"]["MR-mAP"]["average"] == 0.0


def test_an_inverted_window_can_be_a_hit() -> None:
    # Its negative length cancels the moment's: 0 / 0 is NaN, which is below no threshold.
    scores, _, _ = official_scores(pair([truth(1, [(0, 10)])], [predicted_row(1, [(30.0, 20.0, 1.0)])]))
    assert scores["full"]["MR-mAP"]["average"] == 100.0
    assert scores["full"]["MR-R1"]["0.5"] == 0.0


def test_ground_truth_without_windows_gives_no_number_and_says_so() -> None:
    rows = [truth(1, [(0, 10)]), truth(2, [])]
    scores, mean_iou, notes = official_scores(
        pair(rows, [predicted_row(q, [(0.0, 10.0, 1.0)]) for q in (1, 2)])
    )
    assert scores["full"]["MR-mAP"]["average"] is None
    assert scores["full"]["MR-R1"]["0.5"] is None
    assert scores["short"]["MR-mAP"]["average"] == 100.0
    assert mean_iou == {"short": 100.0, "middle": None, "long": None, "full": None}
    assert "1 ground-truth rows have no window" in notes[0]


def test_highlights_need_saliency_everywhere_or_nowhere() -> None:
    rated = {"clip_ids": (0,), "saliency": ((4.0, 4.0, 4.0),)}
    rows = [truth(1, [(0, 2)], **rated), truth(2, [(0, 2)], **rated)]
    window = [(0.0, 2.0, 1.0)]
    both = [predicted_row(1, window, saliency=(1.0, 0.0)), predicted_row(2, window, saliency=(0.0, 1.0))]
    scores, _, notes = official_scores(pair(rows, both))
    # A clip without a score counts as 0: in the second query 74 clips tie, and AP is 1/75.
    assert scores["HL-min-VeryGood"] == {"HL-mAP": 50.67, "HL-Hit1": 50.0}
    assert notes == []
    scores, _, notes = official_scores(pair(rows, [both[0], predicted_row(2, window)]))
    assert "HL-min-Fair" not in scores
    assert "1 predictions have no saliency scores" in notes[0]


# One query for each length group, so that none is empty: the evaluator has no number for an empty group.
FILLERS = [([(0.0, end, 1.0)], [(0.0, end)]) for end in (5.0, 20.0, 40.0)]
rows_of_a_file = st.lists(
    st.tuples(
        st.lists(scored(any_window), min_size=1, max_size=12),
        st.lists(possible_window, min_size=1, max_size=6),
    ),
    max_size=5,
)


@settings(max_examples=150)
@given(rows_of_a_file)
def test_retrieval_equals_its_plain_twin(rows: list[tuple[list[Scored], list[Window]]]) -> None:
    rows = [*rows, *FILLERS]
    listed = [windows for windows, _ in rows]
    fast, _ = retrieval_scores(pad(listed), rank(listed), pad([moments for _, moments in rows]))
    slow = published_numbers(plain.official_retrieval(rows))
    assert len(slow) == 84
    assert published_numbers(fast) == pytest.approx(slow, abs=0.005 + 1e-9)


def test_no_queries_give_no_numbers() -> None:
    nothing = pad([])
    scores, mean_iou = retrieval_scores(nothing, nothing, nothing)
    assert set(published_numbers(scores).values()) == {None}
    assert first_iou(nothing, nothing) is None
    assert mean_iou["full"] is None
    assert percent(np.nan) is None


def test_ties_of_score_keep_the_order_of_the_file_and_ten_are_cut_first() -> None:
    listed = [[(float(i), i + 1.0, 0.5) for i in range(9)] + [(20.0, 21.0, 0.9), (30.0, 31.0, 1.0)]]
    assert rank(listed).edges[0, :, 0].tolist() == [20.0, *range(9)]
