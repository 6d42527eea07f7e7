"""An evaluation as one HTML page with its plots and tables: it needs no network and follows the reader's
light or dark.
"""

import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template

from tempo_core.errors import InputError
from tempo_core.metrics.evaluation import Evaluation
from tempo_core.metrics.figures import Figure, figures
from tempo_core.metrics.table import GROUP_MEASURES, percent, share, span

ROWS_SHOWN = 200
"""Windows left out that the page lists; the JSON holds them all."""


def render_page(evaluation: Evaluation, corrected: Evaluation | None = None) -> str:
    """The page as text, about five megabytes of it the plotting library, which is embedded.

    Raises InputError when Plotly is not installed.
    """
    plots = figures(evaluation, corrected)
    data = {plot.name: {"data": list(plot.traces), "layout": plot.layout} for plot in plots if plot.traces}
    return Template(_PAGE).substitute(
        title=escape(f"Evaluation of {evaluation.files['predictions']}"),
        facts=_facts(evaluation) + (_facts(corrected) if corrected else ""),
        plots="\n".join(_plot(plot) for plot in plots),
        tables=_tables(evaluation, corrected),
        remarks=_remarks(evaluation) + (_remarks(corrected) if corrected else ""),
        plotly=_plotly(),
        figures=json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
    )


def _plotly() -> str:
    """Plotly's own script, from the installed package."""
    try:
        return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError):
        raise InputError("The HTML page needs Plotly, which is not installed: pip install plotly.") from None


def _facts(evaluation: Evaluation) -> str:
    counts = evaluation.counts
    text = (
        f"{evaluation.files['ground_truth']}, {evaluation.rules} rules: {counts['scored']} of "
        f"{counts['ground_truth']} queries scored, {counts['relevant']} with a moment and "
        f"{counts['irrelevant']} without, over {counts['videos']} videos; {counts['missing']} missing, "
        f"{counts['unknown']} not in the ground truth, {counts['rejected_windows']} impossible windows."
    )
    return f"<p>{escape(text)}</p>"


def _plot(plot: Figure) -> str:
    canvas = f'<div class="plot" id="{plot.name}"></div>' if plot.traces else ""
    return f"<section><h2>{escape(plot.title)}</h2><p>{escape(plot.caption)}</p>{canvas}</section>"


def _tables(evaluation: Evaluation, corrected: Evaluation | None) -> str:
    beside = [found for found in (evaluation, corrected) if found is not None]
    heads = [("score", "ceiling"), ("corrected", "its ceiling")][: len(beside)]
    rows = [
        [
            name,
            *(percent(part["brief"].get(name)) for found in beside for part in (found.scores, found.ceiling)),
        ]
        for name in evaluation.scores["brief"]
    ]
    text = _table("QVHighlights, %", ["", *(head for pair in heads for head in pair)], rows)
    heads = [("value", "95 % interval"), ("corrected", "95 % interval")][: len(beside)]
    rows = [
        [
            name,
            *(
                cell
                for found in beside
                for cell in (share(found.measures[name]["value"]), span(found.measures[name]))
            ),
            share(evaluation.whole_clip.get(name)),
        ]
        for name in evaluation.measures
    ]
    for name in ("auroc", "calibration_error"):
        rows.append([name, *(cell for found in beside for cell in (share(getattr(found, name)), "-")), "-"])
    text += _table("Measures", ["", *(head for pair in heads for head in pair), "whole clip"], rows)
    for field, values in evaluation.groups.items():
        rows = [
            [
                value,
                f"{found['queries']['value']:.0f}",
                *(share(found[name]["value"]) for name in GROUP_MEASURES),
            ]
            for value, found in values.items()
        ]
        text += _table(f"By {field}", ["", "queries", *GROUP_MEASURES], rows)
    return text


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr><th scope='row'>{escape(name)}</th>{_cells(values)}</tr>" for name, *values in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<section><h2>{escape(title)}</h2><div class='wide'>{table}</div></section>"


def _cells(values: Sequence[str]) -> str:
    return "".join(f"<td>{escape(value)}</td>" for value in values)


def _remarks(evaluation: Evaluation) -> str:
    lines = [*evaluation.notes, *(f"Left out: {problem}" for problem in evaluation.rejected[:ROWS_SHOWN])]
    if evaluation.missing:
        lines.append("Missing queries: " + ", ".join(str(qid) for qid in evaluation.missing[:ROWS_SHOWN]))
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #d5dae0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaee; --paper: #14171b; --soft: #3a414a; } }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 4rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 0; }
p, li { overflow-wrap: anywhere; } section { margin-top: 2rem; min-width: 0; } section p { margin: 0; }
main { display: grid; column-gap: 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
.plot { height: 22rem; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15rem 0.8rem 0.15rem 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--soft); }
th:first-child { text-align: left; font-weight: 500; }
</style>
</head>
<body>
<h1>$title</h1>
$facts
<main>
$plots
</main>
$tables
$remarks
<script>$plotly</script>
<script>
const figures = $figures;
const scheme = window.matchMedia("(prefers-color-scheme: dark)");
function draw() {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim(), soft = style.getPropertyValue("--soft").trim();
  for (const [name, figure] of Object.entries(figures)) {
    const axis = (own) => ({ gridcolor: soft, linecolor: soft, zerolinecolor: soft, automargin: true,
      ...own });
    const layout = { ...figure.layout, font: { color: ink }, paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)", margin: { t: 24, r: 12, b: 48, l: 56 },
      legend: { orientation: "h", y: 1.14 },
      xaxis: axis(figure.layout.xaxis), yaxis: axis(figure.layout.yaxis) };
    Plotly.react(name, figure.data, layout, { responsive: true, displaylogo: false });
  }
}
draw();
scheme.addEventListener("change", draw);
</script>
</body>
</html>
"""
