"""The figures about the store: what stands in their bars, and what they say when there is nothing."""

from typing import Any

import plotly.graph_objects as go

from annotations.agreement import THRESHOLDS, AgreementReport
from annotations.correction_cost import AnnotatorPace, CorrectionCost, CostSummary
from app.ui.figures import (
    agreement_figure,
    counts_figure,
    edges_figure,
    pace_figure,
    repair_figure,
    standing_figure,
)


def report(**changes: Any) -> AgreementReport:
    values: dict[str, Any] = {
        "pairs": 3,
        "verdict_agreement": 1.0,
        "mean_tiou": 0.5,
        "f1": dict.fromkeys(THRESHOLDS, 0.25),
        "start_median_s": 0.5,
        "start_p75_s": 1.0,
        "end_median_s": 1.5,
        "end_p75_s": 2.0,
        "alpha": None,
    }
    return AgreementReport(**values | changes)


def pace(name: str, seconds: float | None) -> AnnotatorPace:
    cost = CostSummary(
        name=name,
        answers=4,
        unchanged=0.0,
        mean_tiou=None,
        seconds_median=seconds,
        seconds_p75=seconds,
        keys_median=9,
        keys_p75=9,
    )
    return AnnotatorPace(cost=cost, refusals=0, cannot_judge=0, flagged=0)


def repair(model: str, seconds: float | None, keys: int | None) -> CorrectionCost:
    return CorrectionCost(
        query_id=1,
        model=model,
        annotator="ada",
        active_s=seconds,
        key_presses=keys,
        tiou=0.5,
        accepted=False,
    )


def bars(figure: go.Figure) -> dict[str | None, tuple[list[Any], list[Any]]]:
    return {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}


def test_rows_stand_beside_each_other_by_what_is_done() -> None:
    figure = standing_figure({"qvh": {"open": 3, "answered": 2, "decided": 1}})
    assert bars(figure) == {"open": ([3], ["qvh"]), "answered": ([2], ["qvh"]), "decided": ([1], ["qvh"])}
    assert (figure.layout.xaxis.title.text, figure.layout.xaxis.rangemode) == ("rows", "tozero")
    assert figure.layout.barmode == "stack"


def test_the_longest_count_stands_at_the_top_and_none_is_left_out() -> None:
    figure = counts_figure({"too-short": 1, "odd": 5, "none": 0}, empty="Nothing.", unit="rows")
    assert bars(figure) == {None: ([1, 5], ["too short", "odd"])}


def test_agreement_is_drawn_where_somebody_agrees() -> None:
    figure = agreement_figure({"annotators": report(), "nobody": report(pairs=0)})
    (measures,) = figure.data
    assert measures.name == "annotators (3 pairs)"
    assert list(measures.y) == [0.5, *[0.25] * len(THRESHOLDS), None]
    assert list(measures.text) == ["0.50", *["0.25"] * len(THRESHOLDS), "–"]


def test_edges_and_pace_are_drawn_for_whoever_has_them() -> None:
    edges = bars(edges_figure({"ada": report(), "bob": report(start_median_s=None)}))
    assert edges == {"median |Δstart|": ([0.5], ["ada"]), "median |Δend|": ([1.5], ["ada"])}
    figure = pace_figure([pace("ada", 12.0), pace("bob", None)])
    assert bars(figure) == {None: ([12.0], ["ada"])}
    assert [list(facts) for facts in figure.data[0].customdata] == [[4, 9]]


def test_repairs_are_dots_by_model() -> None:
    figure = repair_figure([repair("b", 5.0, 3), repair("a", None, 2), repair("c", None, None)])
    dots = [(trace.name, list(trace.y)) for trace in figure.data]
    assert dots == [("a", []), ("b", [5.0]), ("a", [2]), ("b", [3])]


def test_without_anything_to_show_a_figure_says_so() -> None:
    figures = [
        standing_figure({}),
        counts_figure({"odd": 0}, empty="Nothing is odd.", unit="rows"),
        agreement_figure({"annotators": report(pairs=0)}),
        edges_figure({"ada": report(start_median_s=None)}),
        pace_figure([pace("ada", None)]),
        repair_figure([repair("a", None, None)]),
    ]
    sentences = [figure.layout.annotations[0].text.replace("<br>", " ") for figure in figures]
    assert sentences == [
        "There are no rows yet.",
        "Nothing is odd.",
        "Nobody answered a row that somebody else answered too.",
        "No two annotators marked moments that overlap.",
        "No answer says how long it took.",
        "No answer that started from a proposal says what it took.",
    ]
