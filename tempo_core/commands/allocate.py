"""`python -m tempo_core allocate`: where a video's vision tokens go, without asking a model anything."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tempo_core.command_line import AsJson, ProgressLine, clock, show, writable_file
from tempo_core.commands import options

if TYPE_CHECKING:
    from tempo_core.allocation import Allocation
    from tempo_core.video import SampledVideo


def allocate(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="a video file")],
    checkpoint: Annotated[
        str | None, typer.Option(metavar="DIR", help="whose defaults to use; default: the one that ships")
    ] = None,
    fps: options.Fps = None,
    token_budget: options.TokenBudget = None,
    allocator: options.Allocator = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="OUT.html", help="write a page that plots tokens and variation over time"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sample a video as a checkpoint would and show how its vision tokens are shared among the frames."""
    from tempo_core import allocation as allocators
    from tempo_core.checkpoint import SHIPPED, find_checkpoint
    from tempo_core.defaults import GroundingDefaults, read_defaults
    from tempo_core.engine import sample_for

    page = None if plot is None else writable_file(plot)
    defaults, progress_line = GroundingDefaults(), ProgressLine()
    if checkpoint is not None or SHIPPED.is_dir():  # else those of big models
        defaults = read_defaults(find_checkpoint(checkpoint))
    sampled = sample_for(defaults, video, fps=fps, on_progress=progress_line)
    progress_line.clear()
    allocation = allocators.allocate(
        sampled.frames,
        budget_tokens=defaults.budget_for(len(sampled.times_s)) if token_budget is None else token_budget,
        min_tokens=defaults.min_tokens,
        max_tokens=defaults.max_tokens,
        allocator=allocator or "saa",
    )
    if page is not None:
        page.write_text(render_plot(sampled, allocation, title=video), encoding="utf-8")
    data = {"video": video, "times_s": sampled.times_s.tolist(), "end_s": sampled.end_s}
    show(data | allocation.to_dict(), describe(sampled, allocation), as_json=as_json)


def describe(video: "SampledVideo", allocation: "Allocation") -> str:
    """One line a frame: time, size, tokens, variation; then the sum."""
    rows = ["     time        size  tokens  variation"]
    for time_s, (height, width), tokens, variation in zip(
        video.times_s,
        allocation.sizes_px.tolist(),
        allocation.tokens.tolist(),
        allocation.variation,
        strict=True,
    ):
        rows.append(f"{clock(time_s):>9}  {width:>4}x{height:<4}  {tokens:>6}  {variation:>9.2f}")
    spent, count = int(allocation.tokens.sum()), len(allocation.tokens)
    share = spent / max(allocation.budget_tokens, 1)
    rows.append(
        f"{count} frames, {spent} of {allocation.budget_tokens} tokens ({share:.0%}), {allocation.allocator}"
    )
    return "\n".join(rows)


def render_plot(video: "SampledVideo", allocation: "Allocation", *, title: str) -> str:
    """A page that needs no network: tokens and variation as steps over true seconds."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    # A step lasts until the next frame, the last one until the end.
    times = [*video.times_s.tolist(), video.end_s]
    tokens, variation = allocation.tokens.tolist(), allocation.variation.tolist()
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for row, (name, values) in enumerate([("tokens", tokens), ("variation", variation)], start=1):
        steps = go.Scatter(
            x=times, y=[*values, values[-1]], name=name, mode="lines", fill="tozeroy", line={"shape": "hv"}
        )
        figure.add_trace(steps, row=row, col=1)
        figure.update_yaxes(title_text=name, rangemode="tozero", row=row, col=1)
    uniform = sum(tokens) / len(tokens)
    figure.add_hline(y=uniform, line={"dash": "dot"}, annotation_text=f"uniform {uniform:.1f}", row=1, col=1)
    figure.update_xaxes(title_text="seconds", row=2, col=1)
    figure.update_layout(title=f"{title}: {sum(tokens)} tokens, {allocation.allocator}", showlegend=False)
    return str(figure.to_html(include_plotlyjs=True, full_html=True))
