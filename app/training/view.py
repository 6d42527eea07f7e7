"""What the train page says, as escaped HTML (`view.html`)."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.training.jobs import JobStatus
from app.training.service import Preview
from app.ui.templates import macros, status_html
from tempo_core.wording import plural
from train.dry_run import duration_text, size_text
from train.refresh.gate import AgainstGate
from train.refresh.registry import Entry

STAGE_NAMES = {
    "reading": "Reading the snapshot",
    "replay": "Rows of before",
    "checking": "Looking at clips",
    "sft": "Learning answers",
    "measuring": "Measuring difficulty",
    "pir-grpo": "Practising",
    "comparing": "Old against new",
    "deciding": "Deciding",
}
PARTS_OF_STEPS = {"sft": "batches", "pir-grpo": "questions"}
"""What a learning step is made of."""
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
    """What a refresh would use and take, what it would measure on, and what it leaves out and why."""
    kinds = [(f"of them {name}", count) for name, count in preview.kinds.items()]
    plan, stages, total, memory = preview.plan, [], "", ""
    if plan is not None:
        for stage in STAGE_NAMES:
            if stage in plan.stage_seconds:
                work = plural(plan.steps[stage], "step") if stage in plan.steps else ""
                stages.append((STAGE_NAMES[stage], work, f"about {duration_text(plan.stage_seconds[stage])}"))
        total = f"About {duration_text(sum(plan.stage_seconds.values()))}"
        memory = f"about {size_text(plan.memory_bytes)}"
    return str(html.preview(preview, kinds, stages, total, memory))


def job_html(status: JobStatus) -> str:
    """The stages as a line of steps, a bar, and one sentence."""
    current = status.stages.index(status.stage) if status.stage in status.stages else -1
    stages = []
    for place, name in enumerate(status.stages):
        passed = status.state == "done" or place < current
        stages.append(
            ("done" if passed else "now" if place == current else "todo", STAGE_NAMES.get(name, name))
        )
    line = status_html(status.message, error=status.state == "failed")
    work = work_text(status) if status.state == "running" else ""
    return f"{html.job(status, STATE_NAMES.get(status.state, status.state), stages, work)}{line}"


def work_text(status: JobStatus) -> str:
    """Units of work done of all, and the time that is left, as far as anybody knows."""
    parts = []
    if status.steps:
        parts.append(f"{status.step:,} of {status.steps:,} {status.unit}")
    if status.batches > 1:
        pieces = PARTS_OF_STEPS.get(status.stage, "batches")
        parts.append(f"{status.batch:,} of {status.batches:,} {pieces} of the next step")
    if status.seconds_left is not None:
        parts.append(f"about {duration_text(status.seconds_left)} left")
    if status.seconds_to_come:
        parts.append(f"about {duration_text(status.seconds_to_come)} for what follows, by estimate")
    return " · ".join(parts)


def scores_html(scores: Mapping[str, Any] | None, outcome: Mapping[str, Any] | None) -> str:
    """Old against new on each held-out set, with intervals, and what was decided."""
    if not scores:
        return '<p class="tempo-faint">Old and new are compared here when a refresh has trained.</p>'
    tables = []
    for set_name, comparison in scores.items():
        title = SET_NAMES.get(set_name, set_name)
        gaps = comparison["differences"]
        rows = [(name, gaps[measure]) for measure, name in MEASURE_NAMES.items() if measure in gaps]
        counts = f"{plural(comparison['rows'], 'row')}, {plural(comparison['clips'], 'clip')}"
        tables.append((f"{title}: {counts}", rows))
    return str(html.scores(tables, outcome and {"reasons": (), **outcome}))


def question_html(error: AgainstGate) -> str:
    """Whether somebody means to promote an adapter against the gate's decision, with its reasons."""
    return str(html.question(error.name, error.reasons))


def adapters_html(entries: Sequence[Entry], serving: str = "") -> str:
    """What the app answers with, and every adapter with where it came from."""
    return str(html.adapters(entries, serving))
