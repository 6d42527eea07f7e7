"""Every reason by a row that has it and one that just has it not, the order, and counts on real rows."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.suspicion import REASONS, Reason, Suspicion, score, suspicions, vid_range_s
from tempo_core.moments import Moment, moments_from_pairs

PLAIN = {"windows": [Moment(10, 20)], "duration_s": 150, "vid": "a_b-c_60.0_210.0"}


def severities(**changes: object) -> dict[str, float]:
    return {suspicion.reason: suspicion.number for suspicion in suspicions(**{**PLAIN, **changes})}  # type: ignore[arg-type]


def windows(*pairs: tuple[float, float]) -> list[Moment]:
    return moments_from_pairs(pairs)


def test_a_plain_row_is_not_suspect() -> None:
    assert severities() == {}
    assert score([]) == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"windows": windows((10, 20), (22, 30))}, {"one-clip-hole": 1}),
        ({"windows": windows((22, 30), (10, 20), (31.5, 40))}, {"one-clip-hole": 2}),
        ({"windows": windows((10, 20), (22.1, 30))}, {}),
        ({"windows": windows((10, 20), (20, 30))}, {}),
        ({"windows": windows((10, 12))}, {"one-clip-window": 1}),
        ({"windows": windows((10, 12.1))}, {}),
        ({"windows": windows((0, 20))}, {"touches-border": 1}),
        ({"windows": windows((0, 20), (100, 150))}, {"touches-border": 2}),
        ({"windows": windows(*((start, start + 5) for start in range(10, 60, 10)))}, {"many-windows": 5}),
        ({"windows": windows(*((start, start + 5) for start in range(10, 50, 10)))}, {}),
        ({"windows": windows((5, 140))}, {"whole-video": 0.9}),
        ({"windows": windows((5, 139))}, {}),
        ({"clip_ids": [5, 6], "saliency": [[1, 1, 1], [2, 1, 1]]}, {"low-saliency-inside": 1}),
        ({"clip_ids": [4, 10], "saliency": [[3, 3, 3], [4, 2, 2]]}, {"high-saliency-outside": 1}),
        ({"proposal": [(Moment(10, 20), 0.9), (Moment(30, 40), 0.7)]}, {"proposal-outside": 0.7}),
        ({"proposal": [(Moment(10, 20), 0.9), (Moment(30, 40), 0.49)]}, {}),
        ({"proposal": [(Moment(10, 14), 0.9)]}, {"model-disagrees": 0.4}),
        ({"proposal": [(Moment(10, 15), None)]}, {}),
        ({"proposal": []}, {"model-disagrees": 0}),
        ({"proposal": [], "windows": []}, {}),
        ({"duplicates": 2}, {"duplicate-query": 2}),
        ({"vid": "a_b-c_60.0_200.0"}, {"duration-differs": 10}),
        ({"vid": "3MSZA"}, {}),
        ({"versions": [windows((10, 20)), windows((16, 20))]}, {"annotators-disagree": 0.4}),
        ({"versions": [windows((10, 20)), windows((11, 20))]}, {}),
        ({"windows": None, "proposal": [(Moment(1, 2), 0.9)]}, {}),
    ],
)
def test_each_reason(changes: dict[str, object], expected: dict[str, float]) -> None:
    assert severities(**changes) == pytest.approx(expected)


def test_the_score_is_the_documented_formula() -> None:
    hole, border = Suspicion("one-clip-hole", 1), Suspicion("touches-border", 1)
    assert score([hole]) == pytest.approx(0.7)
    assert score([hole, border]) == pytest.approx(1 - (1 - 0.7) * (1 - 0.1 * 0.5))
    assert score([Suspicion("model-disagrees", 0.25)]) == pytest.approx(0.6 * 0.5)


@given(st.lists(st.tuples(st.sampled_from(list(REASONS)), st.floats(0, 100)), unique_by=lambda pair: pair[0]))
def test_a_further_reason_never_lowers_the_score(pairs: list[tuple[str, float]]) -> None:
    reasons = [Suspicion(reason, number) for reason, number in pairs]  # type: ignore[arg-type]
    scores = [score(reasons[:count]) for count in range(len(reasons) + 1)]
    assert scores == sorted(scores)
    assert 0 <= scores[-1] < 1


@pytest.mark.parametrize(
    ("vid", "expected"),
    [
        ("NUsG9BgSes0_210.0_360.0", ("NUsG9BgSes0", 210, 360)),
        ("_a-_b_0.0_150.0", ("_a-_b", 0, 150)),
        ("a_b_60_210", ("a_b", 60, 210)),
        ("3MSZA", None),
        ("v_uqiMw7tQ1Cc", None),
        ("s30-d52", None),
        ("a_20_10", None),
        ("_1_2", None),
    ],
)
def test_vids_are_split_from_the_right(vid: str, expected: object) -> None:
    assert vid_range_s(vid) == expected


def test_counts_on_the_real_validation_rows(shared_data: Path) -> None:
    """13.4 % of rows have a one-clip hole, 39 a duration that contradicts the vid: the published analysis."""
    counts: Counter[str] = Counter()
    lines = (shared_data / "qvhighlights/highlight_val_release.jsonl").read_text().splitlines()
    for row in map(json.loads, lines):
        reasons = suspicions(
            windows=moments_from_pairs(row["relevant_windows"]),
            duration_s=row["duration"],
            vid=row["vid"],
            clip_ids=row["relevant_clip_ids"],
            saliency=row["saliency_scores"],
        )
        counts.update(suspicion.reason for suspicion in reasons)
    assert (counts["one-clip-hole"], counts["duration-differs"]) == (207, 39)
    assert counts["high-saliency-outside"] == 0
    assert counts["many-windows"] / len(lines) == pytest.approx(0.06, abs=0.005)
    assert counts["low-saliency-inside"] / len(lines) == pytest.approx(0.14, abs=0.01)


@pytest.mark.parametrize("reason", [reason for reason, rule in REASONS.items() if rule.singular is not None])
def test_reasons_are_said_of_one_and_of_several(reason: Reason) -> None:
    assert Suspicion(reason, 1).text == REASONS[reason].singular
    assert Suspicion(reason, 3).text.startswith("3 ")
    assert "(s)" not in Suspicion(reason, 3).text
