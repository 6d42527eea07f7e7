"""`python -m train curves`: a run's curves as one self-contained page, or as the last lines of a table."""

import argparse
import json
from pathlib import Path

from tempo_core.errors import InputError
from train.checkpoints import read_curves

PANELS = {
    "losses": (
        "answer",
        "pointing",
        "bounds",
        "inside",
        "facts",
        "stamps",
        "vision",
        "looks",
        "surroundings",
        "loss",
    ),
    "what is right": ("exact", "answers", "refuses", "colour_f1", "shape_f1", "size_f1", "pair_f1"),
    "what is earned": ("reward", "tiou", "refusal", "over_refusal", "spread"),
}
"""Which curves share an axis, those of PIR-GRPO last. `exact` is the share of relevant answers that are right to the
last token (teacher forced), `answers` and `refuses` the shares of relevant and irrelevant questions whose first token
is right."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser(
        "curves", help="show a run's curves", description="Show OUT/curves.jsonl of a run."
    )
    command.add_argument("run_folder", type=Path, metavar="RUN", help="the folder given to --out")
    command.add_argument("--plot", type=Path, help="write a self-contained HTML page here")
    command.add_argument("--json", action="store_true", help="print the last point as one JSON object")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import pandas as pd

    path = args.run_folder / "curves.jsonl"
    if not path.is_file():
        raise InputError(f"{path} does not exist. Name the folder of a run.")
    if not read_curves(path):
        raise InputError(f"{path} has no line yet. Look again when the run has made some steps.")
    curves = pd.DataFrame(read_curves(path))
    curves["minutes"] = (curves["seconds"] / 60).round(2)
    if args.plot:
        args.plot.write_text(_page(curves))
    last = curves.iloc[-1].dropna().to_dict()
    if args.json:
        print(json.dumps(last))
    else:
        wanted = ("stage", "step", "minutes", *PANELS["what is right"], *PANELS["what is earned"])
        shown = [name for name in wanted if name in curves]
        print(curves[shown].tail(15).to_string(index=False))
    return 0


def _page(curves) -> str:
    """The panels that have curves, over minutes, the stages one after the other."""
    from plotly.subplots import make_subplots

    panels = {title: names for title, names in PANELS.items() if any(name in curves for name in names)}
    figure = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, subplot_titles=list(panels))
    for row, names in enumerate(panels.values(), start=1):
        for name in names:
            if name in curves:
                figure.add_scatter(
                    x=curves["minutes"], y=curves[name], name=name, mode="lines", row=row, col=1
                )
    if "losses" in panels and "reward" not in curves:  # PIR-GRPO's loss lies around 0
        figure.update_yaxes(type="log", row=1, col=1)
    figure.update_xaxes(title_text="minutes", row=len(panels), col=1)
    figure.update_layout(height=800, template="plotly_white", title="Training curves")
    return str(figure.to_html(include_plotlyjs=True))
