"""Rewards by table: valid, broken and mixed rows, several windows, and every trap that was published."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from tempo_core.errors import InputError
from tempo_core.moments import Moment, total_s
from tempo_core.protocols.tempo import PROTOCOL as TEMPO
from train.grpo.rewards import TVG_R1, RewardWeights, boundary, reward, shape, wasserstein_s, without_trace

TIMES = [float(second) for second in range(0, 101, 10)]
TIMELINE = TEMPO.timeline(TIMES[:-1], TIMES[-1])
REFUSAL = "No relevant moment."


def answer_of(*pairs: tuple[int, int]) -> str:
    return "From " + ", from ".join(f"{a:04d}.0 to {b:04d}.0" for a, b in pairs) + "."


def of(*pairs: tuple[float, float]) -> list[Moment]:
    return [Moment(*pair) for pair in pairs]


def earned(text, truth, **options):
    return reward(text, truth, timeline=TIMELINE, end_s=TIMES[-1], **options)


ONE, TWO = of((20, 40)), of((20, 40), (60, 80))


@pytest.mark.parametrize(
    ("text", "truth", "tiou"),
    [
        (answer_of((20, 40)), ONE, 1.0),
        (answer_of((20, 30)), ONE, 0.5),
        (answer_of((50, 70)), ONE, 0.0),
        (answer_of((0, 100)), ONE, 0.2),
        (answer_of((20, 40), (60, 80)), TWO, 1.0),
        (answer_of((20, 40)), TWO, 0.5),  # a dropped window: half of the truth is not answered
        (answer_of((60, 80)), TWO, 0.5),  # ... whichever of them
        (answer_of((20, 80)), TWO, 2 / 3),
        (answer_of((20, 40), (60, 80)), ONE, 0.5),
        (REFUSAL, ONE, 0.0),
        (REFUSAL, TWO, 0.0),
    ],
)
def test_tiou_counts_every_window(text: str, truth: list[Moment], tiou: float) -> None:
    assert earned(text, truth).parts["tiou"] == pytest.approx(tiou)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "from 0020.0 to 0040.0.",
        "From 0020.0 to 0040.0",
        "From 0040.0 to 0020.0.",  # inverted
        "From 0020.0 to 0020.0.",  # empty
        "From nan to nan.",
        "From 0020.0 to nan.",
        "From 0020.0 to 0041.0.",  # no such stamp
        "From 0020.0 to 0040.0, from 0030.0 to 0060.0.",  # out of order
        "20 40",
        "The moment is From 0020.0 to 0040.0.",
        "no relevant moment",
        "No relevant moment. From 0020.0 to 0040.0.",
    ],
)
@pytest.mark.parametrize("truth", [[], ONE, TWO], ids=["irrelevant", "one", "two"])
def test_a_text_outside_the_grammar_earns_less_than_anything_else(text: str, truth: list[Moment]) -> None:
    score = earned(text, truth)
    assert score.total == -1
    assert score.parts == {"parse": -1.0}
    assert score.moments is None
    assert not score.refused
    assert earned(text, truth, weights=RewardWeights(parse=0.25)).total == -0.25


@pytest.mark.parametrize(
    ("text", "truth", "total"),
    [
        (REFUSAL, [], 1.0),
        (answer_of((0, 100)), [], 0.0),
        (answer_of((20, 40)), [], 0.0),
        (REFUSAL, ONE, 0.0),
        (answer_of((20, 40)), ONE, 1.0),
        (answer_of((20, 40), (60, 80)), TWO, 1.0),
    ],
)
def test_refusing_pays_for_irrelevant_pairs_only(text: str, truth: list[Moment], total: float) -> None:
    assert earned(text, truth).total == pytest.approx(total)


def test_over_refusal_never_pays_and_may_cost() -> None:
    worst = min(earned(answer_of((a, a + 10)), ONE).total for a in range(0, 100, 10))
    assert earned(REFUSAL, ONE).total == 0.0 < worst
    assert earned(REFUSAL, ONE, weights=RewardWeights(over_refusal=0.5)).total == -0.5
    assert earned(REFUSAL, ONE, weights=TVG_R1).total == 0.0


def test_tvg_r1_is_nine_tenths_tiou_and_a_tenth_format() -> None:
    assert earned(answer_of((20, 30)), ONE, weights=TVG_R1).total == pytest.approx(0.9 * 0.5 + 0.1)
    assert earned(answer_of((50, 70)), ONE, weights=TVG_R1).total == pytest.approx(0.1)
    assert earned(REFUSAL, [], weights=TVG_R1).total == pytest.approx(1.0)


def test_an_answer_earns_the_same_whatever_was_judged_before() -> None:
    """The published trap: with an empty union, one reward kept the IoU of the sample before."""
    rows = [(answer_of((20, 40)), ONE), (REFUSAL, ONE), ("", ONE), (REFUSAL, []), (answer_of((50, 60)), TWO)]
    alone = [earned(text, truth) for text, truth in rows]
    for order in ([4, 3, 2, 1, 0], [2, 0, 1, 4, 3], [0, 0, 2, 2, 1]):
        assert [earned(*rows[idx]) for idx in order] == [alone[idx] for idx in order]


def test_shape_orders_answers_that_all_miss() -> None:
    misses = [answer_of((50, 60)), answer_of((60, 70)), answer_of((70, 80)), answer_of((90, 100))]
    assert [earned(text, of((20, 40))).parts["tiou"] for text in misses] == [0, 0, 0, 0]
    totals = [earned(text, of((20, 40))).total for text in misses]
    assert totals == sorted(totals, reverse=True)
    assert len(set(totals)) == len(totals)
    assert totals[-1] > 0


def test_shape_is_what_the_paper_says_for_two_shifted_windows() -> None:
    assert wasserstein_s(of((50, 70)), ONE) == pytest.approx(30)
    assert shape(of((50, 70)), ONE) == pytest.approx(math.exp(-30 / 20))
    assert shape(ONE, ONE) == 1.0
    assert shape([], ONE) == shape(ONE, []) == 0.0


spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda s: Moment(s[0], s[0] + s[1])),
    min_size=1,
    max_size=4,
)


@given(spans, spans)
def test_the_distance_is_exact(a: list[Moment], b: list[Moment]) -> None:
    fine = np.arange(0, 80, 0.05) + 0.025

    def points(moments: list[Moment]) -> np.ndarray:
        return fine[np.any([(fine > m.start_s) & (fine < m.end_s) for m in moments], axis=0)]

    distance_s = wasserstein_s(a, b)
    assert distance_s == pytest.approx(wasserstein_distance(points(a), points(b)), abs=0.03)
    assert distance_s == pytest.approx(wasserstein_s(b, a))
    assert distance_s <= 80
    assert total_s(a) > 0


@given(spans, st.one_of(st.just([]), spans), st.booleans())
def test_every_total_is_finite_and_between_the_worst_and_the_best(
    said_moments: list[Moment], truth: list[Moment], with_boundary: bool
) -> None:
    for moments in (said_moments, []):
        score = earned(moments, truth, weights=RewardWeights(boundary=with_boundary))
        assert 0 <= score.total <= 1 + 1e-9
        assert all(math.isfinite(part) for part in score.parts.values())


@pytest.mark.parametrize(
    ("predicted", "truth", "value"),
    [
        (ONE, ONE, 1.0),
        (of((30, 40)), ONE, 0.9),
        (of((30, 60)), ONE, 0.9 * 0.8),
        (TWO, of((20, 40)), 0.6),
        (TWO, TWO, 1.0),
        ([], ONE, 0.0),
    ],
)
def test_boundary_is_measured_at_the_outermost_edges(predicted, truth, value: float) -> None:
    assert boundary(predicted, truth, 100.0) == pytest.approx(value)


def test_boundary_multiplies_tiou() -> None:
    score = earned(answer_of((30, 40)), ONE, weights=RewardWeights(boundary=True, tiou=1, shape=0))
    assert score.total == pytest.approx(0.5 * 0.9)


def test_a_trace_may_stand_before_the_answer_only_where_it_is_allowed() -> None:
    text = f"<think>it is there from twenty on</think> {answer_of((20, 40))}"
    assert earned(text, ONE).total == -1
    assert earned(text, ONE, thinking=True).total == pytest.approx(1)
    assert earned(answer_of((20, 40)), ONE, thinking=True).total == pytest.approx(1)
    assert earned("<think>never closed", ONE, thinking=True).total == -1
    assert without_trace("<think>a</think><think>b</think>x") == "<think>b</think>x"


def test_parsed_moments_earn_what_their_text_earns() -> None:
    assert earned(TWO, ONE) == earned(answer_of((20, 40), (60, 80)), ONE)
    assert earned([], []) == earned(REFUSAL, [])
    assert earned([Moment(30, 40), Moment(20, 35)], ONE).total == pytest.approx(1)


@pytest.mark.parametrize("options", [{"tiou": -1}, {"parse": math.nan}, {"refusal": math.inf}])
def test_weights_that_make_no_sense_are_refused(options: dict) -> None:
    with pytest.raises(InputError, match="must be 0 or more"):
        RewardWeights(**options)
    with pytest.raises(InputError, match="no relevant answer"):
        RewardWeights(tiou=0, shape=0)


def test_any_edge_within_the_range_earns_what_the_true_one_earns() -> None:
    ranges = [((10.0, 30.0), (40.0, 40.0))]
    for start_s in (10, 20, 30):
        assert earned(answer_of((start_s, 40)), ONE, edge_ranges_s=ranges).total == pytest.approx(1.0)
    assert earned(answer_of((0, 40)), ONE, edge_ranges_s=ranges).parts["tiou"] == pytest.approx(30 / 40)
    assert earned(answer_of((20, 50)), ONE, edge_ranges_s=ranges) == earned(answer_of((20, 50)), ONE)
    assert earned(REFUSAL, ONE, edge_ranges_s=ranges).total == 0
