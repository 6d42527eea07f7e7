"""The evaluators' faults by hand: each of these numbers is another than the benchmark's paper would have."""

from collections.abc import Sequence

import pytest

from tempo_core.metrics.rows import PredictionRow, TruthRow
from tempo_core.metrics.rules.report import evaluate_by_rules
from tests.tempo_core.metrics.builders import predicted_row, truth


def ranking(qid: int, *windows: Sequence[float]) -> PredictionRow:
    return predicted_row(qid, [(*window, 0.9) for window in windows])


def says(qid: int, *moments: tuple[float, float]) -> PredictionRow:
    return predicted_row(qid, [], moments=moments, refused=not moments)


def score(rules: str, rows: list[TruthRow], predictions: list[PredictionRow], name: str) -> float | None:
    value: float | None = evaluate_by_rules(predictions, rows, rules=rules).headline[name]
    return value


def test_omtg_lengthens_the_earliest_window_before_it_matches() -> None:
    # As said, neither 0-10 nor 8-20 reaches IoU .7 with 0-20; merged, the first becomes 0-20 and the second stays.
    value = score("omtg", [truth(1, [(0, 20)])], [says(1, (0.0, 10.0), (8.0, 20.0))], "tF1@0.7")
    assert value == pytest.approx(100 * 2 / 3)


def test_omtg_gives_a_right_refusal_every_score_but_one() -> None:
    report = evaluate_by_rules([says(1)], [truth(1, [])], rules="omtg")
    assert {name: value for name, value in report.scores.items() if value != 100.0} == {"tIoU": 0.0}


def test_soccer_gmr_matches_windows_that_do_not_overlap() -> None:
    rows, predictions = [truth(1, [(0, 10), (100, 110)])], [ranking(1, (0, 10), (50, 60))]
    # 1 / (2 + 2 - 2); with IoU > 0 it is a third
    assert score("soccer-gmr", rows, predictions, "G-mIoU@3") == 50.0


def test_soccer_gmr_does_not_hold_a_missed_moment_against_the_mean_iou() -> None:
    rows, predictions = [truth(1, [(0, 10), (100, 110)])], [ranking(1, (0, 10))]
    assert score("soccer-gmr", rows, predictions, "mIoU@5") == 100.0


def test_qv_m2_drops_queries_with_too_few_windows() -> None:
    two = [(0, 10), (20, 30)]
    rows = [truth(1, two), truth(2, two), truth(3, [(0, 10)])]
    predictions = [ranking(1, *two), ranking(2, (0, 10)), ranking(3, (0, 10))]
    assert score("qv-m2", rows, predictions, "MR-full-mR2") == 100.0


def test_qv_m2_weighs_numbers_of_moments_alike_however_many_queries_have_them() -> None:
    moments = [(10 * start, 10 * start + 5) for start in range(4)]
    rows = [truth(1, moments[:3]), truth(2, moments[:3]), truth(3, moments)]
    predictions = [ranking(1, *moments[:3]), ranking(2, *moments[:3]), ranking(3, (100, 110))]
    assert score("qv-m2", rows, predictions, "MR-full-mAP@3+tgt") == 50.0
    assert score("qv-m2", rows, predictions, "MR-full-mAP") == 66.67


def test_vue_tr_misses_overlap_in_windows_out_of_order() -> None:
    rows, predictions = [truth(1, [(0, 10), (20, 30)])], [says(1, (20.0, 30.0), (0.0, 10.0))]
    assert score("vue-tr", rows, predictions, "IoU") == 99.5  # 1 is not above the last threshold
    assert score("vue-tr", rows, predictions, "Precision") == 50.5


def test_vue_tr_does_not_hold_silence_against_precision() -> None:
    rows, predictions = (
        [truth(1, [(0, 10)]), truth(2, [(0, 10)]), truth(3, [])],
        [says(1, (0.0, 10.0)), says(2), says(3)],
    )
    assert score("vue-tr", rows, predictions, "Precision") == 100.0
    assert score("vue-tr", rows, predictions, "Recall") == 50.2
    half_right = [says(1, (0.0, 20.0)), says(2), says(3)]
    assert score("vue-tr", rows, half_right, "Precision") == 50.5
    assert score("vue-tr-v2", rows, half_right, "Precision") == 75.25  # the right refusal counts there


def test_unitime_counts_a_moment_that_is_said_twice_twice() -> None:
    value = score("unitime", [truth(1, [(0, 10)])], [says(1, (0.0, 10.0), (0.0, 10.0))], "mIoU")
    assert value == 200.0
    overlapping = [(0, 10), (0, 10), (0, 10)]
    value = score("unitime", [truth(1, overlapping)], [says(1, *[(0.0, 10.0)] * 3)], "mIoU")
    assert value == -300.0  # shared 90, of 30 + 30 - 90


def test_vue_tr_counts_overlap_in_the_ground_truth_twice() -> None:
    rows = [truth(1, [(0, 10), (0, 10), (20, 30)])]
    assert (
        score("vue-tr", rows, [says(1, (0.0, 10.0))], "IoU") == 99.5
    )  # 20 shared of 10 + 30 - 20, not 10 of 20


def test_timelens_hears_only_the_first_moment() -> None:
    rows = [truth(1, [(0, 10)])]
    assert score("timelens", rows, [says(1, (50.0, 60.0), (0.0, 10.0))], "mIOU") == 0.0
    assert score("timelens", rows, [says(1, (0.0, 10.0), (50.0, 60.0))], "mIOU") == 100.0


def test_na_vmr_praises_a_model_that_refuses_everything() -> None:
    rows, predictions = [truth(1, [(0, 10)]), truth(2, [])], [says(1), says(2)]
    report = evaluate_by_rules(predictions, rows, rules="na-vmr")
    assert report.scores["Rejection Accuracy"] == 100.0
    assert report.scores["Recall@1, IoU@0.3"] == 0.0


def test_na_vmr_does_not_reach_a_threshold_by_equality() -> None:
    rows, predictions = [truth(1, [(0, 10)])], [ranking(1, (0, 5))]
    assert score("na-vmr", rows, predictions, "Recall@1, IoU@0.5") == 0.0
    assert score("timelens", rows, predictions, "IOU 0.5") == 100.0


def test_ra_rft_knows_one_moment_a_query() -> None:
    rows, predictions = [truth(1, [(0, 10), (20, 30)])], [says(1, (0.0, 10.0), (20.0, 30.0))]
    report = evaluate_by_rules(predictions, rows, rules="ra-rft")
    assert report.scores["RA-IoU"]["mean_all"] == 0.0
    assert report.notes == ("1 queries have several moments: the evaluator gives them IoU 0.",)
