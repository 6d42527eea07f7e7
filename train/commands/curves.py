"""`python -m train curves`: a run's curves as one self-contained page, or as the last lines of a table."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tempo_core.command_line import AsJson, show
from tempo_core.errors import InputError
from train.checkpoints import read_lines

LOSSES = "answer pointing bounds inside facts stamps vision looks surroundings loss"
PANELS = {
    "losses": LOSSES.split(),
    "what is right": ["exact", "answers", "refuses", "colour_f1", "shape_f1", "size_f1", "pair_f1"],
    "what is earned": ["reward", "tiou", "refusal", "over_refusal", "spread"],
}
"""Which curves share an axis, those of PIR-GRPO last. `exact` is the share of relevant answers that are right to the
last token (teacher forced), `answers` and `refuses` the shares of relevant and irrelevant questions whose first token
is right."""


def curves(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="the folder given to --out")],
    plot: Annotated[Path | None, typer.Option(help="write a self-contained HTML page here")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a run's curves.

    The last points of OUT/curves.jsonl as a table, the very last one as JSON.
    """
    import pandas as pd

    path = run_folder / "curves.jsonl"
    if not path.is_file():
        raise InputError(f"{path} does not exist. Name the folder of a run.")
    lines = read_lines(path)
    if not lines:
        raise InputError(f"{path} has no line yet. Look again when the run has made some steps.")
    points = pd.DataFrame(lines)
    points["minutes"] = (points["seconds"] / 60).round(2)
    if plot:
        plot.write_text(_page(points))
    columns = ("stage", "step", "minutes", *PANELS["what is right"], *PANELS["what is earned"])
    table = points[[name for name in columns if name in points]].tail(15).to_string(index=False)
    show(points.iloc[-1].dropna().to_dict(), table, as_json=as_json)


def _page(points: Any) -> str:
    """The panels that have curves, over minutes, the stages one after the other."""
    from plotly.subplots import make_subplots

    panels = {title: [name for name in names if name in points] for title, names in PANELS.items()}
    panels = {title: names for title, names in panels.items() if names}
    figure = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, subplot_titles=list(panels))
    for row, names in enumerate(panels.values(), start=1):
        for name in names:
            figure.add_scatter(x=points["minutes"], y=points[name], name=name, mode="lines", row=row, col=1)
    if "losses" in panels and "reward" not in points:  # PIR-GRPO's loss lies around 0
        figure.update_yaxes(type="log", row=1, col=1)
    figure.update_xaxes(title_text="minutes", row=len(panels), col=1)
    figure.update_layout(height=800, template="plotly_white", title="Training curves")
    return str(figure.to_html(include_plotlyjs=True))
