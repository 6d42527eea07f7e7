"""What the ground page says, as HTML: pure functions from domain objects to escaped text.

Everything that a person or a model wrote goes through `html.escape`, and only these functions write markup.
"""

import base64
import json
from collections.abc import Mapping
from html import escape

from app.ground.engines import EngineStatus
from app.ground.service import STAGES, Outcome
from app.job_queue import Progress

STAGE_NAMES = {
    "preparing": "Preparing",
    "decoding": "Decoding",
    "allocating": "Allocating",
    "encoding": "Encoding",
    "answering": "Answering",
}
IDLE_LINE = "Choose a clip, write what to look for, and press Ask."


def clock(time_s: float) -> str:
    """Seconds as m:ss.t, or h:mm:ss.t from one hour on."""
    tenths = round(time_s * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02d}.{rest % 10}"


def percent(probability: float) -> str:
    """A probability in whole percent, with tenths only near the ends."""
    digits = 1 if probability < 0.01 or 0.99 < probability < 1 else 0
    return f"{100 * probability:.{digits}f} %"


def model_html(status: EngineStatus) -> str:
    """The page's head, with the state of the model."""
    return (
        '<header class="tempo-head"><h1>Tempo Studio</h1><p>When does it happen? Ask a video.</p>'
        f'<span class="tempo-model {escape(status.state)}" role="status"><i></i>'
        f"{escape(status.message)}</span></header>"
    )


def status_html(
    line: str = IDLE_LINE, *, progress: Progress | None = None, error: bool = False, done: bool = False
) -> str:
    """The stepper with one line of text below it; its height does not depend on what it says."""
    now = STAGES.index(progress.stage) if progress is not None and progress.stage in STAGES else -1
    steps = []
    for idx, stage in enumerate(STAGES):
        finished = done or idx < now
        width = (
            100 if finished else round(100 * progress.fraction) if progress is not None and idx == now else 0
        )
        kind = "done" if finished else "now" if idx == now else ""
        steps.append(f'<li class="{kind}" style="--done:{width}%">{STAGE_NAMES[stage]}</li>')
    role = "alert" if error else "status"
    return (
        f'<div class="tempo-status{" error" if error else ""}" role="{role}">'
        f'<ol class="tempo-stages">{"".join(steps)}</ol>'
        f"<p>{escape(line)}</p></div>"
    )


def progress_line(progress: Progress) -> str:
    """One sentence about where the work stands."""
    if progress.stage == "queued":
        before = progress.position
        return (
            "Starting."
            if before == 0
            else f"Waiting: {before} {'question is' if before == 1 else 'questions are'} before yours."
        )
    return {
        "preparing": "Making a normal copy of the clip that player and model share.",
        "decoding": "Reading the frames, each with its true time.",
        "allocating": "Measuring where the content changes, and sharing the visual tokens accordingly.",
        "encoding": "Looking at the frames.",
        "answering": "Answering.",
    }.get(progress.stage, progress.stage)


def done_line(outcome: Outcome) -> str:
    """What to say when the answer is there."""
    if outcome.answer.refused:
        found = "Nothing in this clip matches"
    else:
        count = len(outcome.answer.moments)
        found = f"{count} {'moment' if count == 1 else 'moments'} found"
    how = " from the same context; nothing was decoded or encoded again" if outcome.reused else ""
    return f"{found}. Answered in {outcome.elapsed_s:.1f} s{how}."


EMPTY_RESULT = (
    '<div class="tempo-result"><p class="tempo-empty">'
    "What an answer cost is listed here, beside a download.</p></div>"
)


def result_html(outcome: Outcome) -> str:
    """What the answer cost, what was odd about the file, and the download; the answer itself is the
    timeline's.
    """
    return (
        f'<section class="tempo-result" aria-label="What it cost">'
        f"{facts_html(outcome)}{notes_html(outcome.clip.facts.notes)}{download_html(outcome)}</section>"
    )


def facts_html(outcome: Outcome) -> str:
    """Tokens spent against uniform, frames, timings, model."""
    allocation = outcome.context.allocation
    tokens = [int(count) for count in allocation.tokens]
    spent, uniform = sum(tokens), sum(tokens) / max(1, len(tokens))
    low, high = min(tokens, default=0), max(tokens, default=0)
    share = (
        f"{low} to {high} a frame; uniform would give each {uniform:.1f}"
        if high > low
        else f"{low} for every frame"
    )
    facts = [
        (
            "Visual tokens",
            f"{spent:,} of {int(allocation.budget_tokens):,}",
            f"{allocation.allocator}: {share}",
        ),
        ("Frames seen", f"{len(tokens):,}", f"of {clock(float(outcome.context.end_s))}"),
        ("P(relevant)", percent(outcome.answer.relevance), ""),
        ("Time", f"{outcome.elapsed_s:.1f} s", timings_text(outcome.answer.timings)),
        ("Model", outcome.answer.model_id, ""),
    ]
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for name, value, more in facts
    )
    return f'<dl class="tempo-facts">{cells}</dl>'


def timings_text(timings: Mapping[str, float]) -> str:
    """The stages' seconds in one line."""
    return ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {seconds:.2f} s" for name, seconds in timings.items()
    )


def notes_html(notes: tuple[str, ...]) -> str:
    """What was done to the file before the model saw it."""
    if not notes:
        return ""
    return f'<ul class="tempo-notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'


def download_html(outcome: Outcome) -> str:
    """A link with the answer's JSON inside it: nothing is kept on the server for it."""
    text = json.dumps(outcome.to_dict(), indent=2)
    packed = base64.b64encode(text.encode()).decode()
    address = f"data:application/json;base64,{packed}"
    return f'<p><a download="tempo-answer.json" href="{address}">Download the answer as JSON</a></p>'
