"""Plotly figures of training: live curves, and truth, old and new of one held-out row side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.ui.charts import ACCENT, GREY, calm, empty_figure
from app.ui.figures import ORANGE

PANELS: dict[str, Mapping[str, str]] = {
    "loss and exact answers (SFT)": {"loss": "loss", "exact": "exact answers"},
    "reward (PIR-GRPO)": {"reward": "mean reward", "spread": "spread within a group"},
    "tIoU of relevant rollouts": {"tiou": "tIoU"},
    "refusal": {
        "over_refusal": "over-refusals",
        "refusal": "right refusals",
    },
    "answer length in tokens": {"length": "length"},
}
"""Which names in `curves.jsonl` share a panel."""
COLOURS = (ACCENT, ORANGE, GREY)


def curves_figure(lines: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Every curve that the lines hold, over steps counted through both stages; a line marks the change."""
    if not lines:
        return empty_figure("Curves appear here while a model trains.")
    sft_steps = max((line["step"] for line in lines if line["stage"] == "sft"), default=0)
    shown = {
        title: {name: label for name, label in names.items() if any(name in line for line in lines)}
        for title, names in PANELS.items()
    }
    shown = {title: names for title, names in shown.items() if names}
    figure = make_subplots(
        rows=len(shown), cols=1, shared_xaxes=True, subplot_titles=list(shown), vertical_spacing=0.07
    )
    for row, names in enumerate(shown.values(), start=1):
        for colour, (name, label) in zip(COLOURS, names.items(), strict=False):
            there = [line for line in lines if line.get(name) is not None and _belongs(name, line)]
            figure.add_scatter(
                x=[line["step"] + (0 if line["stage"] == "sft" else sft_steps) for line in there],
                y=[line[name] for line in there], name=label, mode="lines+markers", marker={"size": 4},
                line={"color": colour, "width": 2}, row=row, col=1,
                hovertemplate=f"step %{{x}}: %{{y:.3f}}<extra>{label}</extra>",
            )  # fmt: skip
    if sft_steps and any(line["stage"] != "sft" for line in lines):
        figure.add_vline(x=sft_steps, line={"color": GREY, "dash": "dash", "width": 1})
    figure.update_xaxes(title_text="step", row=len(shown), col=1)
    return calm(figure, height=140 + 170 * len(shown), legend=True)


def _belongs(name: str, line: Mapping[str, Any]) -> bool:
    """The loss of PIR-GRPO is not on SFT's scale, and says nothing."""
    return name not in PANELS["loss and exact answers (SFT)"] or line["stage"] == "sft"


def sides_figure(sides: Mapping[str, Sequence[Sequence[float]]], duration_s: float) -> go.Figure:
    """One lane each for the truth, the old and the new answer; an empty lane says that nothing matches."""
    figure = go.Figure()
    colours = dict(zip(sides, (GREY, ORANGE, ACCENT), strict=False))
    for name, moments in sides.items():
        figure.add_bar(
            y=[name] * max(1, len(moments)), base=[start for start, _ in moments] or [0],
            x=[end - start for start, end in moments] or [0], orientation="h", marker={"color": colours[name]},
            hovertemplate="%{base:.1f} s, %{x:.1f} s long<extra>" + name + "</extra>", showlegend=False,
        )  # fmt: skip
        if not moments:
            figure.add_annotation(
                x=duration_s / 2, y=name, text="no moment", showarrow=False, font={"color": GREY}
            )
    figure.update_xaxes(title_text="seconds", range=[0, duration_s])
    figure.update_yaxes(autorange="reversed", type="category")
    return calm(figure, height=230, gap=0.4)
