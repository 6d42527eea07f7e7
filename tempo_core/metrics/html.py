"""An evaluation as one HTML page with its plots and tables (`page.html`). It needs no network and follows the reader's
light or dark."""

import json
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tempo_core.errors import InputError
from tempo_core.metrics.evaluation import Evaluation
from tempo_core.metrics.figures import figures
from tempo_core.metrics.table import group_table, heading, measure_table, score_table

MAX_LISTED = 200
"""Windows left out that the page lists; the JSON holds them all."""


def render_page(evaluation: Evaluation, corrected: Evaluation | None = None) -> str:
    """The page as text, about five megabytes of it the plotting library, which is embedded.

    Raises InputError when Plotly is not installed.
    """
    try:
        plotly = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError):
        raise InputError("The HTML page needs Plotly, which is not installed: pip install plotly.") from None
    plots = figures(evaluation, corrected)
    data = {plot.name: {"data": list(plot.traces), "layout": plot.layout} for plot in plots if plot.traces}
    remarks = []
    evaluations = [evaluation] if corrected is None else [evaluation, corrected]
    for scored in evaluations:
        remarks += [*scored.notes, *(f"Left out: {problem}" for problem in scored.rejected[:MAX_LISTED])]
        if scored.missing:
            remarks.append("Missing queries: " + ", ".join(map(str, scored.missing[:MAX_LISTED])))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("page.html").render(
        title=f"Evaluation of {evaluation.files['predictions']}",
        headings=[heading(scored) for scored in evaluations],
        plots=plots,
        tables=[
            score_table(evaluation, corrected),
            measure_table(evaluation, corrected),
            *(group_table(field, values) for field, values in evaluation.groups.items()),
        ],
        remarks=remarks,
        plotly=plotly,
        figures=json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
    )
