"""What the train page says, as escaped HTML (`view.html`)."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.training.jobs import JobStatus
from app.training.service import Preview
from app.ui.templates import macros, status_html
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
MEASURE_NAMES = {
    "ra_iou": "refusal-aware IoU",
    "set_iou": "set IoU",
    "miou": "mIoU of the best window",
    "refused_f1": "F1 of refusals",
    "relevant_f1": "F1 of answers",
    "over_refusal": "over-refusal",
}
SET_NAMES = {"corrected": "Corrected held-out rows", "kept": "What it knew before"}

html = macros("training/view.html")


def preview_html(preview: Preview) -> str:
    """What a refresh would use, what it would measure on, and what it leaves out and why."""
    kinds = [(f"of them {name}", count) for name, count in preview.kinds.items()]
    return str(html.preview(preview, kinds))


def job_html(status: JobStatus) -> str:
    """The stages as a line of steps, a bar, and one sentence."""
    current = status.stages.index(status.stage) if status.stage in status.stages else -1
    stages = []
    for place, name in enumerate(status.stages):
        passed = status.state == "done" or place < current
        stages.append(
            ("done" if passed else "now" if place == current else "todo", STAGE_NAMES.get(name, name))
        )
    count = f" ({status.step} of {status.steps})" if status.state == "running" and status.steps else ""
    line = status_html(status.message + count, error=status.state == "failed")
    return f"{html.job(status, STATE_NAMES.get(status.state, status.state), stages)}{line}"


def scores_html(scores: Mapping[str, Any] | None, outcome: Mapping[str, Any] | None) -> str:
    """Old against new on each held-out set, with intervals, and what was decided."""
    if not scores:
        return '<p class="tempo-faint">Old and new are compared here when a refresh has trained.</p>'
    tables = []
    for set_name, comparison in scores.items():
        title = SET_NAMES.get(set_name, set_name)
        gaps = comparison["differences"]
        rows = [(name, gaps[measure]) for measure, name in MEASURE_NAMES.items() if measure in gaps]
        tables.append((f"{title}: {comparison['rows']:,} rows, {comparison['clips']:,} clips", rows))
    return str(html.scores(tables, outcome and {"reasons": (), **outcome}))


def adapters_html(entries: Sequence[Entry], serving: str = "") -> str:
    """What the app answers with, and every adapter with where it came from."""
    return str(html.adapters(entries, serving))
