"""Plotly figures of training: live curves, and truth, old and new of one held-out row side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.ui.charts import ACCENT, GREY, calm, empty_figure
from app.ui.figures import ORANGE

SFT_PANEL = "loss and exact answers (SFT)"
PANELS: dict[str, Mapping[str, str]] = {
    SFT_PANEL: {"loss": "loss", "exact": "exact answers"},
    "reward (PIR-GRPO)": {"reward": "mean reward", "spread": "spread within a group"},
    "tIoU of relevant rollouts": {"tiou": "tIoU"},
    "refusal": {"over_refusal": "over-refusals", "refusal": "right refusals"},
    "answer length in tokens": {"length": "length"},
}
"""Which names in `curves.jsonl` share a panel."""
COLOURS = (ACCENT, ORANGE, GREY)


def curves_figure(lines: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Every curve that the lines hold, over steps counted through both stages; a line marks the change."""
    if not lines:
        return empty_figure("Curves appear here while a model trains.")
    sft_steps = max((line["step"] for line in lines if line["stage"] == "sft"), default=0)
    present = {name for line in lines for name in line}
    panels = {title: names for title, names in PANELS.items() if present.intersection(names)}
    figure = make_subplots(
        rows=len(panels), cols=1, shared_xaxes=True, subplot_titles=list(panels), vertical_spacing=0.07
    )
    for row, (title, names) in enumerate(panels.items(), start=1):
        curves = {name: label for name, label in names.items() if name in present}
        for colour, (name, label) in zip(COLOURS, curves.items(), strict=False):
            points = [line for line in lines if line.get(name) is not None]
            if title == SFT_PANEL:  # the loss of PIR-GRPO is not on SFT's scale, and says nothing
                points = [line for line in points if line["stage"] == "sft"]
            figure.add_scatter(
                x=[line["step"] + (0 if line["stage"] == "sft" else sft_steps) for line in points],
                y=[line[name] for line in points],
                name=label,
                mode="lines+markers",
                marker={"size": 4},
                line={"color": colour, "width": 2},
                row=row,
                col=1,
                hovertemplate=f"step %{{x}}: %{{y:.3f}}<extra>{label}</extra>",
            )
    if sft_steps and any(line["stage"] != "sft" for line in lines):
        figure.add_vline(x=sft_steps, line={"color": GREY, "dash": "dash", "width": 1})
    figure.update_xaxes(title_text="step", row=len(panels), col=1)
    return calm(figure, height=140 + 170 * len(panels), legend=True)


STAGE_COLOURS = {"reading": GREY, "replay": GREY, "checking": GREY, "measuring": ORANGE, "comparing": ACCENT}
"""Learning stages have curves of their own."""


def progress_figure(lines: Sequence[Mapping[str, Any]], stage_names: Mapping[str, str]) -> go.Figure:
    """How far each part of each stage had come after how many minutes; and, of old and new, the IoU of the answers so
    far, where they have answered."""
    if not lines:
        return empty_figure("How far each stage has come appears here.")
    ious = [line for line in lines if line.get("iou") is not None]
    titles = ["work done, %", *(["mean IoU of the answers so far"] if ious else [])]
    figure = make_subplots(rows=1, cols=len(titles), subplot_titles=titles, horizontal_spacing=0.12)
    parts = dict.fromkeys((str(line["stage"]), str(line["unit"])) for line in lines)
    for stage, unit in parts:
        points = [line for line in lines if (line["stage"], line["unit"]) == (stage, unit)]
        name = f"{stage_names.get(stage, stage)}, {unit}"
        figure.add_scatter(
            x=[point["seconds"] / 60 for point in points],
            y=[100 * point["step"] / point["steps"] for point in points],
            customdata=[f"{point['step']:,.4g} of {point['steps']:,} {unit}" for point in points],
            name=name,
            mode="lines+markers",
            marker={"size": 3},
            line={"color": STAGE_COLOURS.get(stage, ACCENT), "width": 2},
            hovertemplate=f"%{{customdata}} after %{{x:.1f}} min<extra>{name}</extra>",
            row=1,
            col=1,
        )
    for unit, colour in zip(
        dict.fromkeys(str(line["unit"]) for line in ious), (ORANGE, ACCENT), strict=False
    ):
        points = [line for line in ious if line["unit"] == unit]
        figure.add_scatter(
            x=[point["step"] for point in points],
            y=[point["iou"] for point in points],
            name=unit,
            mode="lines+markers",
            marker={"size": 3},
            line={"color": colour, "width": 2},
            hovertemplate=f"%{{x}} answers: %{{y:.3f}}<extra>{unit}</extra>",
            row=1,
            col=2,
        )
    figure.update_xaxes(title_text="minutes", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(range=[0, 105], row=1, col=1)
    if ious:
        figure.update_xaxes(title_text="answers", rangemode="tozero", row=1, col=2)
        figure.update_yaxes(range=[0, 1.05], row=1, col=2)
    return calm(figure, height=250)


def sides_figure(sides: Mapping[str, Sequence[Sequence[float]]], duration_s: float) -> go.Figure:
    """One lane each for the truth, the old and the new answer; an empty lane says that nothing matches."""
    figure = go.Figure()
    for (name, moments), colour in zip(sides.items(), (GREY, ORANGE, ACCENT), strict=False):
        figure.add_bar(
            y=[name] * max(1, len(moments)),
            base=[start for start, _ in moments] or [0],
            x=[end - start for start, end in moments] or [0],
            orientation="h",
            marker={"color": colour},
            hovertemplate=f"%{{base:.1f}} s, %{{x:.1f}} s long<extra>{name}</extra>",
            showlegend=False,
        )
        if not moments:
            figure.add_annotation(
                x=duration_s / 2, y=name, text="no moment", showarrow=False, font={"color": GREY}
            )
    figure.update_xaxes(title_text="seconds", range=[0, duration_s])
    figure.update_yaxes(autorange="reversed", type="category")
    return calm(figure, height=230, gap=0.4)
