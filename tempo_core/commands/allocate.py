"""`python -m tempo_core allocate`: where a video's vision tokens go, without asking a model anything."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from tempo_core.commands.options import (
    StageLine,
    add_budget_options,
    clock,
    defaults_for,
    writable,
    write_json,
)

if TYPE_CHECKING:
    from tempo_core.allocation import Allocation
    from tempo_core.video import SampledVideo


def add_parser(subparsers: Any) -> None:
    """Add the command to an argparse subparsers object."""
    parser = subparsers.add_parser(
        "allocate",
        help="show how vision tokens are shared among a video's frames",
        description="Sample a video as a checkpoint would and share its vision tokens among the frames.",
    )
    parser.add_argument("video", metavar="VIDEO", help="a video file")
    parser.add_argument(
        "--checkpoint", metavar="DIR", help="whose defaults to use; default: the one that ships"
    )
    add_budget_options(parser)
    parser.add_argument(
        "--plot", metavar="OUT.html", help="write a page that plots tokens and variation over time"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Sample, allocate, print, plot. Raises InputError and its kin on bad input."""
    from tempo_core.allocation import allocate
    from tempo_core.engine import sample_for

    page = None if args.plot is None else writable(args.plot)
    defaults, stages = defaults_for(args.checkpoint), StageLine()
    video = sample_for(defaults, args.video, fps=args.fps, progress=stages)
    stages.clear()
    allocation = allocate(
        video.frames,
        budget_tokens=defaults.budget_for(len(video.times_s))
        if args.token_budget is None
        else args.token_budget,
        min_tokens=defaults.min_tokens,
        max_tokens=defaults.max_tokens,
        allocator=args.allocator,
    )
    if page is not None:
        page.write_text(plot(video, allocation, title=args.video), encoding="utf-8")
    if args.json:
        facts = {"video": args.video, "times_s": video.times_s.tolist(), "end_s": video.end_s}
        write_json({**facts, **allocation.to_dict()})
    else:
        sys.stdout.write(describe(video, allocation))
    return 0


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
    return "\n".join(rows) + "\n"


def plot(video: "SampledVideo", allocation: "Allocation", *, title: str) -> str:
    """A page that needs no network: tokens and variation as steps over true seconds."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    times = [
        *video.times_s.tolist(),
        video.end_s,
    ]  # a step lasts until the next frame, the last one until the end
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
