"""The strict rules mend each fault of the official evaluator."""

from pathlib import Path

from tempo_core.metrics import read_truth
from tempo_core.metrics.evaluation import ceiling
from tempo_core.metrics.pairing import Pairs, pair, read_answers
from tempo_core.metrics.rows import PredictionRow, TruthRow
from tempo_core.metrics.strict import strict_scores
from tests.tempo_core.metrics.builders import predicted_row, published_numbers, truth

PERFECT = [(0.0, 10.0, 1.0)]


def score(truths: list[TruthRow], predictions: list[PredictionRow]) -> dict[str, float | None]:
    pairs = pair(truths, predictions)
    return published_numbers(strict_scores(pairs, read_answers(pairs)[0])[0])


def test_an_empty_refused_or_missing_prediction_scores_nothing() -> None:
    rows = [truth(q, [(0, 10)]) for q in (1, 2, 3, 4)]
    flat = score(
        rows, [predicted_row(1, PERFECT), predicted_row(2, []), predicted_row(3, PERFECT, refused=True)]
    )
    assert flat["full/MR-mAP/average"] == 25.0
    assert flat["full/MR-R1/0.5"] == 25.0


def test_queries_where_nothing_matches_are_not_counted() -> None:
    flat = score([truth(1, [(0, 10)]), truth(2, [])], [predicted_row(1, PERFECT), predicted_row(2, PERFECT)])
    assert flat["full/MR-mAP/average"] == 100.0
    assert None not in (flat["full/MR-R1/0.5"], flat["full/MR-R1/0.95"])


def test_windows_are_sorted_before_ten_are_kept() -> None:
    wrong = [(100.0 + i, 101.0 + i, 0.1) for i in range(10)]
    flat = score([truth(1, [(0, 10)])], [predicted_row(1, [*wrong, (0.0, 10.0, 0.9)])])
    assert flat["full/MR-mAP/average"] == 100.0
    assert flat["full/MR-R1/0.5"] == 100.0


def test_an_inverted_window_hits_nothing_and_is_reported() -> None:
    pairs = pair([truth(1, [(0, 10)])], [predicted_row(1, [(30.0, 20.0, 1.0), (0.0, 10.0, 0.5)])])
    answers, rejected = read_answers(pairs, file="p.jsonl")
    where = "p.jsonl, line 1 (qid 1): pred_relevant_windows[0] is [30.0, 20.0, 1.0]"
    assert [str(flat) for flat in rejected] == [f"{where}; a window must end after it starts"]
    assert published_numbers(strict_scores(pairs, answers)[0])["full/MR-mAP/average"] == 100.0


def test_a_moment_of_another_length_is_not_held_against_the_model() -> None:
    both = [(0.0, 5.0, 0.5), (20.0, 80.0, 0.9)]
    flat = score([truth(1, [(0, 5), (20, 80)])], [predicted_row(1, both)])
    assert flat["short/MR-mAP/average"] == 100.0
    assert flat["long/MR-mAP/average"] == 100.0
    # The top window found the long moment, so it says nothing about short ones.
    assert flat["short/MR-R1/0.5"] is None
    assert flat["long/MR-R1/0.5"] == 100.0
    assert flat["middle/MR-mAP/average"] is None


def test_a_stray_window_of_the_same_length_does_count() -> None:
    flat = score([truth(1, [(0, 5), (20, 80)])], [predicted_row(1, [(90.0, 96.0, 0.9), (0.0, 5.0, 0.5)])])
    assert flat["short/MR-mAP/average"] == 50.0
    assert flat["short/MR-R1/0.5"] == 0.0


def test_moments_longer_than_150_seconds_are_long() -> None:
    flat = score([truth(1, [(0, 400)], duration_s=500.0)], [predicted_row(1, [(0.0, 400.0, 1.0)])])
    assert flat["long/MR-mAP/average"] == 100.0


def test_annotators_for_whom_nothing_is_positive_are_left_out() -> None:
    rows = [truth(1, [(0, 2)], duration_s=4.0, clip_ids=(0,), saliency=((4.0, 1.0, 1.0),))]
    flat = score(rows, [predicted_row(1, PERFECT, saliency=(-3.0,))])
    assert flat["HL-min-VeryGood/HL-mAP"] == 100.0  # the clip without a score ranks below -3
    assert flat["HL-min-VeryGood/HL-Hit1"] == 100.0
    assert (
        score(rows, [predicted_row(1, PERFECT, saliency=(-3.0,), refused=True)]).get("HL-min-Fair/HL-mAP")
        is None
    )


def test_the_ceiling_is_100_but_for_queries_with_more_than_ten_moments(shared_data: Path) -> None:
    rows = read_truth(shared_data / "qvhighlights" / "highlight_val_release.jsonl")
    few = tuple(row for row in rows if len(row.windows) <= 10)
    pairs = Pairs(truth=few, predictions=(None,) * len(few), missing=(), unknown=(), notes=())
    assert len(few) == 1537
    assert set(published_numbers(ceiling(pairs, "strict")).values()) == {100.0}
