"""An evaluation as one HTML page with its plots and tables: it needs no network and follows the reader's light or
dark."""

import json
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

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
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_PAGE).render(
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


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
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
<h1>{{ title }}</h1>
{% for heading in headings %}
<p>{{ heading }}</p>
{% endfor %}
<main>
{% for plot in plots %}
<section><h2>{{ plot.title }}</h2><p>{{ plot.caption }}</p>
{% if plot.traces %}
<div class="plot" id="{{ plot.name }}"></div>
{% endif %}
</section>
{% endfor %}
</main>
{% for header, rows in tables %}
<section><h2>{{ header[0] }}</h2><div class="wide"><table>
<thead><tr><th></th>{% for cell in header[1:] %}<th>{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr><th scope="row">{{ row[0] }}</th>{% for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div></section>
{% endfor %}
{% if remarks %}
<ul>{% for remark in remarks %}<li>{{ remark }}</li>{% endfor %}</ul>
{% endif %}
<script>{{ plotly | safe }}</script>
<script>
const figures = {{ figures | safe }};
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
