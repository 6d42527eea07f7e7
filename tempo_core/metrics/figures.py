"""The plots of an evaluation, as Plotly figures in plain JSON: traces and layout, without colours of text or paper.

They are written by hand because importing Plotly's Python side costs more CPU than the whole evaluation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tempo_core.metrics.arrays import Floats
from tempo_core.metrics.evaluation import Evaluation
from tempo_core.metrics.measures import calibrate

BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
"""Colours that colour-blind readers tell apart (Okabe and Ito), legible on white and on near-black."""
LENGTHS = {"short": "short, to 10 s", "middle": "middle, to 30 s", "long": "long", "full": "all"}
PERCENT_AXIS = {"title": {"text": "%"}, "range": [0, 104]}
EDGE_SPAN_S = 15
"""Edge errors beyond this many seconds are counted in the outermost bins."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One plot with its heading and the sentence that says how to read it."""

    name: str
    title: str
    caption: str
    traces: Sequence[dict[str, Any]]
    """Empty when there is nothing to plot; the caption then says why."""
    layout: dict[str, Any]


def figures(evaluation: Evaluation, corrected: Evaluation | None = None) -> list[Figure]:
    """The plots of a report, in reading order."""
    return [
        length_figure(evaluation),
        iou_figure(evaluation),
        edge_figure(evaluation),
        calibration_figure(evaluation),
        corrected_figure(evaluation, corrected),
    ]


def length_figure(evaluation: Evaluation) -> Figure:
    """Retrieval scores by the length of the moments, beside what the ground truth itself would score."""
    scores, ceiling = evaluation.scores, evaluation.ceiling
    traces: list[dict[str, Any]] = []
    if "full" in scores:
        labels = list(LENGTHS.values())
        for label, kind, key, colour in (
            ("mAP", "MR-mAP", "average", BLUE),
            ("R1@0.5", "MR-R1", "0.5", ORANGE),
            ("R1@0.7", "MR-R1", "0.7", GREEN),
        ):
            traces.append(_bars(label, labels, [scores[name][kind][key] for name in LENGTHS], colour))
        marker = {"symbol": "line-ew-open", "size": 26, "color": PINK, "line": {"width": 3}}
        best = {"x": labels, "y": [ceiling[name]["MR-mAP"]["average"] for name in LENGTHS], "marker": marker}
        traces.append({"type": "scatter", "mode": "markers", "name": "mAP ceiling", **best})
    caption = "Percent. The ceiling is the mAP that the ground truth itself gets under these rules."
    return Figure(
        name="length",
        title="Score by moment length",
        caption=caption if traces else "The predictions hold no windows.",
        traces=traces,
        layout={"barmode": "group", "yaxis": PERCENT_AXIS},
    )


def iou_figure(evaluation: Evaluation) -> Figure:
    """How the IoU of the best-scored window spreads over the queries that have a moment."""
    queries = evaluation.queries
    counts, edges = np.histogram(queries.first_iou[queries.relevant], bins=20, range=(0, 1))
    return Figure(
        name="iou",
        title="IoU of the top window",
        caption="Queries that have a moment. A refusal, and a query without an answer, count as 0.",
        traces=[_bars("queries", _middles(edges), _numbers(counts), BLUE)],
        layout={"bargap": 0.04, "xaxis": {"title": {"text": "IoU"}}, "yaxis": {"title": {"text": "queries"}}},
    )


def edge_figure(evaluation: Evaluation) -> Figure:
    """How far the edges of matched moments lie from the true ones, with their sign."""
    queries = evaluation.queries
    bins = np.linspace(-EDGE_SPAN_S - 0.5, EDGE_SPAN_S + 0.5, 2 * EDGE_SPAN_S + 2)
    traces = []
    for name, errors, colour in (
        ("start", queries.start_error_s, BLUE),
        ("end", queries.end_error_s, ORANGE),
    ):
        counts, edges = np.histogram(np.clip(errors, -EDGE_SPAN_S, EDGE_SPAN_S), bins=bins)
        traces.append(_bars(name, _middles(edges), _numbers(counts), colour))
    matched = len(queries.error_rows)
    caption = f"{matched} matched moments, predicted minus true; the outermost bins hold all beyond."
    axes = {"xaxis": {"title": {"text": "seconds"}}, "yaxis": {"title": {"text": "moments"}}}
    return Figure(
        name="edges",
        title="Boundary errors",
        caption=caption if matched else "No predicted moment overlaps a true one.",
        traces=traces if matched else [],
        layout={"barmode": "group", **axes},
    )


def calibration_figure(evaluation: Evaluation) -> Figure:
    """What P(relevant) promises against what holds."""
    calibration = calibrate(evaluation.queries.relevance, evaluation.queries.relevant)
    filled = calibration.counts > 0
    weights = calibration.counts[filled] / max(1, int(calibration.counts.max()))
    ideal = {"type": "scatter", "mode": "lines", "name": "ideal", "x": [0, 1], "y": [0, 1]}
    observed = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "observed",
        "x": _numbers(calibration.predicted[filled]),
        "y": _numbers(calibration.observed[filled]),
        "text": [f"{count} queries" for count in calibration.counts[filled]],
        "marker": {"color": BLUE, "size": _numbers(6 + 14 * np.sqrt(weights))},
        "line": {"color": BLUE},
    }
    caption = f"Expected calibration error {calibration.error:.3f}; a larger dot holds more queries."
    return Figure(
        name="calibration",
        title="Calibration of P(relevant)",
        caption=caption if filled.any() else "The predictions do not say P(relevant).",
        traces=[ideal | {"line": {"color": PINK, "dash": "dot"}}, observed] if filled.any() else [],
        layout={
            "xaxis": {"title": {"text": "mean P(relevant) said"}, "range": [-0.03, 1.03]},
            "yaxis": {"title": {"text": "share that has a moment"}, "range": [-0.03, 1.03]},
        },
    )


def corrected_figure(evaluation: Evaluation, corrected: Evaluation | None) -> Figure:
    """The same predictions on the original and on the corrected ground truth."""
    traces = []
    if corrected is not None:
        names = [name for name in evaluation.scores["brief"] if name in corrected.scores["brief"]]
        for label, scored, colour in (("original", evaluation, BLUE), ("corrected", corrected, ORANGE)):
            traces.append(_bars(label, names, [scored.scores["brief"][name] for name in names], colour))
    missing = "No corrected ground truth was given; --corrected adds it."
    return Figure(
        name="corrected",
        title="Original against corrected ground truth",
        caption="The same predictions on both, percent." if traces else missing,
        traces=traces,
        layout={"barmode": "group", "yaxis": PERCENT_AXIS},
    )


def _bars(name: str, x: Sequence[Any], y: Sequence[float | None], colour: str) -> dict[str, Any]:
    return {"type": "bar", "name": name, "x": list(x), "y": list(y), "marker": {"color": colour}}


def _middles(edges: Floats) -> list[float]:
    return _numbers((edges[:-1] + edges[1:]) / 2)


def _numbers(values: Iterable[float]) -> list[float]:
    return [round(float(value), 6) for value in values]
