"""Plotly figures for what people would rather study than scrub: allocation, variation, sizes of frames.

Every figure takes the `frames` part of a timeline value (plain lists). Backgrounds are transparent and greys
are of middle lightness, so that one figure reads on a light and on a dark page; the one colour is the accent.
"""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median_low
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

ACCENT = "#1a7fc1"
GREY = "#7f8794"
FAINT = "rgba(127, 135, 148, 0.25)"
SHADE = "rgba(26, 127, 193, 0.16)"


def allocation_figure(frames: Mapping[str, Any], moments: Sequence[Mapping[str, Any]] = ()) -> go.Figure:
    """Tokens per sampled frame (bars in true seconds; dashed: the uniform share) above their variation.

    `moments` (with start_s and end_s) are shaded on both. A figure without frames says so.
    """
    if not frames["times_s"]:
        return empty_figure("No frame was sampled.")
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.06)
    sizes = [f"{width} × {height} px" for height, width in frames["sizes_px"]]
    token_bars = go.Bar(
        x=frames["times_s"],
        y=frames["tokens"],
        width=shown_s(frames),
        offset=0,
        marker={"color": ACCENT, "line": {"width": 0}},
        customdata=list(zip(range(1, len(sizes) + 1), sizes, strict=True)),
        hovertemplate="frame %{customdata[0]} at %{x:.2f} s<br>%{y} tokens, %{customdata[1]}<extra></extra>",
    )
    variation_steps = go.Bar(
        x=frames["times_s"],
        y=frames["variation"],
        width=shown_s(frames),
        offset=0,
        marker={"color": GREY, "line": {"width": 0}},
        hovertemplate="%{x:.2f} s: variation %{y:.2f}<extra></extra>",
    )
    figure.add_trace(token_bars, row=1, col=1)
    figure.add_trace(variation_steps, row=2, col=1)
    figure.add_hline(
        y=frames["uniform_tokens"],
        line={"color": GREY, "width": 1.5, "dash": "dash"},
        row=1,
        col=1,
    )
    for moment in moments:
        figure.add_vrect(
            x0=moment["start_s"], x1=moment["end_s"], fillcolor=SHADE, line={"width": 0}, layer="below"
        )
    share = f"dashed: uniform, {frames['uniform_tokens']:.1f}"
    figure.add_annotation(
        text=share, xref="paper", yref="paper", x=1, y=1.0, yshift=18, showarrow=False, font={"color": GREY}
    )
    figure.update_yaxes(title_text="tokens", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="variation", range=[0, 1.05], row=2, col=1)
    figure.update_xaxes(title_text="seconds", range=[0, frames["end_s"]], row=2, col=1)
    return calm(figure, height=420)


def sizes_figure(frames: Mapping[str, Any]) -> go.Figure:
    """How many frames have which size, small to large, with the tokens that one frame of that size costs."""
    if not frames["times_s"]:
        return empty_figure("No frame was sampled.")
    counts = Counter(
        (tokens, width, height)
        for tokens, (height, width) in zip(frames["tokens"], frames["sizes_px"], strict=True)
    )
    frames_by_size = {
        f"{width} × {height} px, {tokens} tokens": count
        for (tokens, width, height), count in sorted(counts.items())
    }
    return bars_figure(frames_by_size, unit="frames", hover="%{x} frames of %{y}<extra></extra>")


def shown_s(frames: Mapping[str, Any]) -> list[float]:
    """How long each frame stands for the video, in seconds: until the next one, at most 1.5 usual steps.

    A longer gap counts as one usual step, and the rest of it as not looked at (the timeline hatches it).
    """
    gaps = [b - a for a, b in pairwise([*frames["times_s"], frames["end_s"]])]
    usual = median_low(gaps[:-1] or gaps)
    return [usual if gap > 1.5 * usual else gap for gap in gaps]


def bars_figure(
    lengths: Mapping[str, float], *, unit: str, hover: str, facts: Sequence[Sequence[Any]] | None = None
) -> go.Figure:
    """A horizontal bar for each name, the first one lowest; `facts` are each bar's `customdata` in `hover`."""
    figure = go.Figure()
    figure.add_bar(
        x=list(lengths.values()),
        y=list(lengths),
        orientation="h",
        marker={"color": ACCENT},
        customdata=facts,
        hovertemplate=hover,
    )
    return calm_bars(figure, unit=unit, height=max(220, 110 + 28 * len(lengths)))


def calm_bars(figure: go.Figure, *, unit: str, height: int, legend: bool = False) -> go.Figure:
    """`calm` for horizontal bars: names on one side, amounts from zero on in `unit` below."""
    figure.update_xaxes(title_text=unit, rangemode="tozero")
    figure.update_yaxes(type="category")
    return calm(figure, height=height, gap=0.35, legend=legend)


def calm(figure: go.Figure, *, height: int, gap: float = 0.0, legend: bool = False) -> go.Figure:
    """No frame and no background: the same figure on a light and on a dark page. Changes it and returns it."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 56, "r": 16, "t": 80 if legend else 30, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY, "family": "system-ui, sans-serif", "size": 12},
        showlegend=legend,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
        bargap=gap,
        hoverlabel={"font": {"family": "system-ui, sans-serif"}},
    )
    figure.update_xaxes(gridcolor=FAINT, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=FAINT, zeroline=False, automargin=True)
    return figure


WRAP_CHARACTERS = 32
"""A line that a phone can hold."""


def empty_figure(text: str) -> go.Figure:
    """A figure that says why there is nothing to see."""
    figure = go.Figure()
    lines = "<br>".join(textwrap.wrap(text, WRAP_CHARACTERS))
    figure.add_annotation(text=lines, showarrow=False, font={"color": GREY, "size": 14})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return calm(figure, height=180)
