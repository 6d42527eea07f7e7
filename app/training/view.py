"""What the train page says, as HTML: pure functions from domain objects to escaped text."""

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from app.data.view import status_html
from app.training.jobs import JobStatus
from app.training.service import Preview
from train.refresh.registry import Entry

STAGE_NAMES = {
    "reading": "Reading the snapshot",
    "replay": "Rows of before",
    "checking": "Looking at clips",
    "sft": "Learning answers",
    "pir-grpo": "Practising",
    "comparing": "Old against new",
    "deciding": "Deciding",
}
STATE_NAMES = {
    "idle": "Nothing runs",
    "running": "Running",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "stopped": "Interrupted",
}
SHOWN_MEASURES = {
    "ra_iou": "refusal-aware IoU",
    "set_iou": "set IoU",
    "miou": "mIoU of the best window",
    "refused_f1": "F1 of refusals",
    "relevant_f1": "F1 of answers",
    "over_refusal": "over-refusal",
}
SET_NAMES = {"corrected": "Corrected held-out rows", "kept": "What it knew before"}


def preview_html(found: Preview) -> str:
    """What a refresh would use, what it would measure on, and what it leaves out and why."""
    teach = _facts(
        ("rows that teach", found.training["rows"]),
        ("clips", found.training["clips"]),
        *((f"of them {name}", count) for name, count in found.kinds.items()),
    )
    measure = _facts(
        ("held-out rows that measure", found.held_out["rows"]),
        ("clips", found.held_out["clips"]),
        ("of them no moment", found.held_out["no moment"]),
    )
    left = "".join(
        f"<li><b>{count:,}</b> left out: {escape(reason)}</li>" for reason, count in found.left_out.items()
    )
    hint = (
        "" if found.useful else "<p>There are no corrections to learn from yet. Annotate some rows first.</p>"
    )
    replay = "<p>Rows of what the model knew before are mixed in.</p>" if found.replay else ""
    return (
        f'<div class="tempo-train-facts">{teach}{measure}</div>{hint}{replay}'
        f'{f"<ul>{left}</ul>" if left else ""}<p class="tempo-faint">Snapshot {escape(found.snapshot)}</p>'
    )


def _facts(*facts: tuple[str, int]) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{value:,}</dd>" for name, value in facts)
    return f"<dl>{items}</dl>"


def job_html(status: JobStatus) -> str:
    """The stages as a line of steps, a bar, and one sentence."""
    steps = []
    passed = status.state == "done"
    names = list(status.stages)
    now = names.index(status.stage) if status.stage in names else -1
    for place, name in enumerate(names):
        kind = "done" if passed or place < now else "now" if place == now else "todo"
        current = ' aria-current="step"' if kind == "now" else ""
        steps.append(f'<li class="{kind}"{current}>{escape(STAGE_NAMES.get(name, name))}</li>')
    share = round(100 * status.step / status.steps) if status.steps else 0
    bar = (
        f'<progress class="tempo-bar" max="100" value="{share}" aria-label="Progress of the stage"></progress>'
        if status.state == "running"
        else ""
    )
    who = (
        f" · {escape(status.recipe)}, started by {escape(status.by)} {_when(status.started_at_ms)}"
        if status.by
        else ""
    )
    head = (
        f'<p class="tempo-line" role="status"><b>{STATE_NAMES.get(status.state, status.state)}</b>{who}</p>'
    )
    counted = f" ({status.step} of {status.steps})" if status.state == "running" and status.steps else ""
    said = status_html(status.message + counted, error=status.state in ("failed",))
    listed = f'<ol class="tempo-stages">{"".join(steps)}</ol>' if steps else ""
    return head + listed + bar + said


def scores_html(scores: Mapping[str, Any] | None, outcome: Mapping[str, Any] | None) -> str:
    """Old against new on each held-out set, with intervals, and what was decided."""
    if not scores:
        return '<p class="tempo-faint">Old and new are compared here when a refresh has trained.</p>'
    parts = []
    for name, measures in scores.items():
        rows = "".join(
            _measure_row(label, measures["differences"][key])
            for key, label in SHOWN_MEASURES.items()
            if key in measures["differences"]
        )
        parts.append(
            f"<table><caption>{escape(SET_NAMES.get(name, name))}: {measures['rows']:,} rows, "
            f"{measures['clips']:,} clips</caption><thead><tr><th>Measure</th><th>Old</th><th>New</th>"
            f"<th>Difference, 95 %</th></tr></thead><tbody>{rows}</tbody></table>"
        )
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in (outcome or {}).get("reasons", ()))
    said = f"<p><b>{escape(str(outcome['message']))}</b></p><ul>{reasons}</ul>" if outcome else ""
    return f'<div class="tempo-train-scores">{said}{"".join(parts)}</div>'


def _measure_row(label: str, gap: Mapping[str, float | None]) -> str:
    old, new, low, high = (gap[name] for name in ("first", "second", "low", "high"))
    span = "–" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"
    sure = low is not None and high is not None and (low > 0 or high < 0)
    kind = ' class="sure"' if sure else ""
    return f"<tr{kind}><th>{escape(label)}</th><td>{_number(old)}</td><td>{_number(new)}</td><td>{span}</td></tr>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def adapters_html(entries: Sequence[Entry], serving: str = "") -> str:
    """What the app answers with, and every adapter with where it came from."""
    now = f'<p role="status">{escape(serving)}</p>' if serving else ""
    if not entries:
        return f'{now}<p class="tempo-faint">There are no adapters yet: the bare model is served.</p>'
    rows = "".join(_adapter_row(entry) for entry in entries)
    names = ("Name", "Made", "From", "Recipe", "Rows", "Corrected rows, old → new")
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        f'{now}<div class="tempo-train-scores"><table><caption>Adapters, newest first</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _adapter_row(entry: Entry) -> str:
    lineage = entry.lineage
    gain = (
        lineage.scores.get("corrected", {}).get("differences", {}).get("ra_iou") if lineage.scores else None
    )
    served = ' <b class="tempo-served">promoted</b>' if entry.promoted else ""
    seeds = ", ".join(f"{name} {seed}" for name, seed in lineage.seeds.items())
    told = (
        f"snapshot {str(lineage.snapshot_sha256)[:16]}, code {lineage.code_version}, seeds {seeds}, "
        f"base {lineage.base}@{lineage.base_fingerprint[:12]}"
    )
    shown = "–" if not gain else f"{_number(gain['first'])} → {_number(gain['second'])}"
    rows = lineage.rows.get("training", {}).get("rows", "–")
    return (
        f"<tr><th>{escape(entry.name)}{served}<small>{escape(told)}</small></th><td>{_when(lineage.made_at_ms)}</td>"
        f"<td>{escape(lineage.parent or lineage.base)}</td><td>{escape(str(lineage.recipe.get('name', '–')))}</td>"
        f"<td>{rows}</td><td>{shown}</td></tr>"
    )


def _when(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at_ms / 1000)) + " UTC" if at_ms else "–"
