"""Plotly figures about the store: progress of rows, agreement of annotators, and what corrections cost.

They look like those of `app.ui.charts`: transparent, one accent colour, greys that read on light and on dark.
"""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from annotations.agreement import THRESHOLDS, AgreementReport
from annotations.correction_cost import AnnotatorPace, CorrectionCost
from app.ui.charts import ACCENT, FAINT, GREY, bars_figure, calm, calm_bars, empty_figure

ORANGE = "#d55e00"
"""Okabe and Ito's vermilion, where a second colour is needed."""

PROGRESS_COLOURS = {"open": FAINT, "answered": "#56b4e9", "decided": ACCENT}


def standing_figure(counts_by_dataset: Mapping[str, Mapping[str, int]]) -> go.Figure:
    """A bar for each dataset: rows that are open, answered, decided."""
    if not counts_by_dataset:
        return empty_figure("There are no rows yet.")
    figure = go.Figure()
    for name, colour in PROGRESS_COLOURS.items():
        figure.add_bar(
            name=name,
            y=list(counts_by_dataset),
            x=[counts[name] for counts in counts_by_dataset.values()],
            orientation="h",
            marker={"color": colour},
            hovertemplate=f"%{{x}} {name}<extra></extra>",
        )
    figure.update_layout(barmode="stack")
    return calm_bars(figure, unit="rows", height=max(220, 130 + 40 * len(counts_by_dataset)), legend=True)


def counts_figure(counts: Mapping[str, int], *, empty: str, unit: str) -> go.Figure:
    """A horizontal bar for each name, longest at the top."""
    rows = sorted((count, name.replace("-", " ")) for name, count in counts.items() if count)
    if not rows:
        return empty_figure(empty)
    lengths = {name: count for count, name in rows}
    return bars_figure(lengths, unit=unit, hover=f"%{{x}} {unit}<extra>%{{y}}</extra>")


def agreement_figure(reports: Mapping[str, AgreementReport]) -> go.Figure:
    """For each comparison: mean matched tIoU, set-F1 at three thresholds and alpha, all at most 1."""
    compared = {name: report for name, report in reports.items() if report.pairs}
    if not compared:
        return empty_figure("Nobody answered a row that somebody else answered too.")
    names = ["mean tIoU", *(f"set-F1@{threshold}" for threshold in THRESHOLDS), "alpha"]
    figure = go.Figure()
    for (name, report), colour in zip(compared.items(), (ACCENT, GREY, ORANGE), strict=False):
        values = [report.mean_tiou, *(report.f1[threshold] for threshold in THRESHOLDS), report.alpha]
        figure.add_bar(
            name=f"{name} ({report.pairs} pairs)",
            x=names,
            y=values,
            marker={"color": colour},
            text=["–" if value is None else f"{value:.2f}" for value in values],
            textposition="outside",
            textfont={"color": GREY},
            cliponaxis=False,
            hovertemplate="%{x}: %{y:.3f}<extra></extra>",
        )
    figure.update_layout(barmode="group")
    figure.update_yaxes(range=[min(0, *(report.alpha or 0 for report in compared.values())), 1.08])
    return calm(figure, height=320, gap=0.3, legend=True)


def edges_figure(reports: Mapping[str, AgreementReport]) -> go.Figure:
    """Median distance of each annotator's starts and ends from the others', in seconds."""
    measured = {name: report for name, report in reports.items() if report.start_median_s is not None}
    if not measured:
        return empty_figure("No two annotators marked moments that overlap.")
    figure = go.Figure()
    for name, colour, get in (
        ("start", ACCENT, lambda report: report.start_median_s),
        ("end", ORANGE, lambda report: report.end_median_s),
    ):
        figure.add_bar(
            name=f"median |Δ{name}|",
            y=list(measured),
            x=[get(report) for report in measured.values()],
            orientation="h",
            marker={"color": colour},
            hovertemplate="%{x:.2f} s<extra>%{y}</extra>",
        )
    figure.update_layout(barmode="group")
    height = max(240, 130 + 44 * len(measured))
    return calm_bars(figure, unit="seconds from the others", height=height, legend=True)


def pace_figure(paces: Sequence[AnnotatorPace]) -> go.Figure:
    """Each annotator's median seconds a row."""
    costs = [pace.cost for pace in paces if pace.cost.seconds_median is not None]
    if not costs:
        return empty_figure("No answer says how long it took.")
    return bars_figure(
        {cost.name: cost.seconds_median or 0.0 for cost in costs},
        unit="median seconds a row",
        hover="%{x:.1f} s, %{customdata[1]} keys, %{customdata[0]} rows<extra>%{y}</extra>",
        facts=[[cost.answers, cost.keys_median] for cost in costs],
    )


def repair_figure(costs: Sequence[CorrectionCost]) -> go.Figure:
    """Seconds and keys that repairing cost proposal took, a dot cost, with the middle half, by model."""
    timed = [cost for cost in costs if cost.active_s is not None or cost.key_presses is not None]
    if not timed:
        return empty_figure("No answer that started from a proposal says what it took.")
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.12)
    measures = (("seconds", lambda cost: cost.active_s), ("keys", lambda cost: cost.key_presses))
    for column, (name, get) in enumerate(measures, start=1):
        for model in sorted({cost.model for cost in timed}):
            model_costs = [cost for cost in timed if cost.model == model and get(cost) is not None]
            figure.add_trace(
                go.Box(
                    name=model,
                    y=[get(cost) for cost in model_costs],
                    boxpoints="all",
                    jitter=0.4,
                    pointpos=0,
                    marker={"color": ACCENT, "size": 4, "opacity": 0.6},
                    line={"color": GREY, "width": 1.5},
                    fillcolor=FAINT,
                    customdata=[[cost.query_id, cost.annotator, cost.tiou] for cost in model_costs],
                    hovertemplate=f"query %{{customdata[0]}}, %{{customdata[1]}}: %{{y}} {name}, "
                    "tIoU %{customdata[2]:.2f}<extra></extra>",
                ),
                row=1,
                col=column,
            )
        figure.update_yaxes(title_text=name, rangemode="tozero", row=1, col=column)
    return calm(figure, height=340, gap=0.3)
