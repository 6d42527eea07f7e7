"""An answer as a small timeline in HTML, which Jupyter shows: no script, no other file, every text escaped."""

from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from tempo_core.engine import Answer

TEMPLATE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """<div style="max-width:48em;font:14px/1.5 system-ui,sans-serif">
<div><b>{{ answer.query }}</b></div>
{% if not answer.is_understood %}
<div>{{ answer.understood.sentence }}</div>
{% elif answer.refused %}
<div>No moment matches.</div>
{% else %}
<div role="img" aria-label="{{ label }}" style="position:relative;height:20px;margin:4px 0;
background:rgba(128,128,128,.25)">
{% for bar in bars %}
<div title="{{ bar.title }}" style="position:absolute;top:0;height:20px;left:{{ bar.left }}%;width:{{ bar.width }}%;
min-width:2px;background:#2f6fde"></div>
{% endfor %}
</div>
<div style="display:flex;justify-content:space-between;opacity:.75"><span>0 s</span>
<span>{{ "%.1f"|format(end_s) }} s</span></div>
<ul style="margin:4px 0;padding-left:1.4em">
{% for bar in bars %}
<li>{{ bar.title }}</li>
{% endfor %}
</ul>
{% endif %}
{% if answer.relevance is not none %}
<div>P(relevant) {{ "%.2f"|format(answer.relevance) }}</div>
{% endif %}
{% for note in answer.notes %}
<div style="opacity:.75">{{ note }}</div>
{% endfor %}
<div style="opacity:.75">{{ answer.model_id }}</div>
</div>"""
)


def answer_html(answer: "Answer") -> str:
    """One <div>: the query, moments on the clip's length, P(relevant), notes and the model.

    Where the clip's length is not known (an answer read from JSON) the axis ends with the last window.
    """
    ends_s = [moment.end_s for moment in [*answer.moments, *(moment for moment, _ in answer.ranked)]]
    end_s = answer.clip_end_s or max(ends_s, default=1.0)
    bars = [
        {
            "left": round(100 * moment.start_s / end_s, 3),
            "width": round(100 * (moment.end_s - moment.start_s) / end_s, 3),
            "title": f"{moment.start_s:.1f} to {moment.end_s:.1f} s"
            + ("" if confidence is None else f", confidence {confidence:.2f}"),
        }
        for moment, confidence in zip(answer.moments, answer.confidences, strict=True)
    ]
    label = "; ".join(str(bar["title"]) for bar in bars)
    return TEMPLATE.render(answer=answer, bars=bars, end_s=end_s, label=label)
