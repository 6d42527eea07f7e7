"""What the Ground page says, as HTML: from domain objects to escaped text."""

import base64
import json
from collections.abc import Sequence

from annotations.proposers import model_name
from app.ground.engines import EngineStatus
from app.ground.service import STAGES, ModelFailure, Outcome
from app.job_queue import Progress
from app.ui.templates import macros
from app.ui.templates import status_html as line_html
from tempo_core.command_line import clock

IDLE_LINE = "Choose a clip, write what to look for, and press Ask."


def percent(probability: float) -> str:
    """A probability in whole percent, with tenths only near the ends."""
    digits = 1 if probability < 0.01 or 0.99 < probability < 1 else 0
    return f"{100 * probability:.{digits}f} %"


html = macros("ground/view.html")


def model_html(status: EngineStatus) -> str:
    """The page's head, with the state of the model."""
    return str(html.model(status))


def status_html(
    line: str = IDLE_LINE, *, progress: Progress | None = None, error: bool = False, done: bool = False
) -> str:
    """The stepper with one line of text below it; its height does not depend on what it says."""
    current = STAGES.index(progress.stage) if progress is not None and progress.stage in STAGES else -1
    stages = []
    for idx, stage in enumerate(STAGES):
        if done or idx < current:
            stages.append((stage.capitalize(), "done", 100))
        elif progress is not None and idx == current:
            stages.append((stage.capitalize(), "now", round(100 * progress.fraction)))
        else:
            stages.append((stage.capitalize(), "", 0))
    return str(html.status(stages, line, error))


def progress_line(progress: Progress) -> str:
    """One sentence about where the work stands."""
    if progress.stage == "queued":
        if progress.position == 0:
            return "Starting."
        questions = "1 question is" if progress.position == 1 else f"{progress.position} questions are"
        return f"Waiting: {questions} before yours."
    return {
        "loading": "Loading the model.",
        "preparing": "Making a normal copy of the clip that player and model share.",
        "decoding": "Reading the frames, each with its true time.",
        "allocating": "Measuring where the content changes, and sharing the visual tokens accordingly.",
        "encoding": "Looking at the frames.",
        "answering": "Answering.",
    }.get(progress.stage, progress.stage)


def done_line(outcome: Outcome) -> str:
    """What to say when the answer is there."""
    if not outcome.answer.is_understood:
        result = outcome.answer.understood.sentence.removesuffix(".")
    elif outcome.answer.refused:
        result = "Nothing in this clip matches"
    else:
        count = len(outcome.answer.moments)
        result = f"{count} {'moment' if count == 1 else 'moments'} found"
    reuse = " from the same context; nothing was decoded or encoded again" if outcome.reused else ""
    return f"{result}. Answered in {outcome.elapsed_s:.1f} s{reuse}."


EMPTY_RESULT = (
    '<div class="tempo-result"><p class="tempo-empty">'
    "What an answer cost is listed here, beside a download.</p></div>"
)


def results_html(outcomes: Sequence[Outcome], failures: Sequence[ModelFailure]) -> str:
    """What each model's answer cost, and why others gave none."""
    is_compared = len(outcomes) + len(failures) > 1
    parts = [
        result_html(outcome, model_name(outcome.answer.model_id) if is_compared else "")
        for outcome in outcomes
    ]
    return "".join(
        [*parts, *(line_html(f"{failure.model}: {failure.message}", error=True) for failure in failures)]
    )


def compared_line(outcomes: Sequence[Outcome], failures: Sequence[ModelFailure]) -> str:
    """What to say when several models were asked."""
    elapsed_s = sum(outcome.elapsed_s for outcome in outcomes)
    failed = f" {len(failures)} could not." if failures else ""
    return f"{len(outcomes)} models answered in {elapsed_s:.1f} s.{failed} A lane each below."


def result_html(outcome: Outcome, title: str = "") -> str:
    """Tokens spent against uniform, frames, timings and model; notes about the file; the answer's JSON as a link.

    The link holds the JSON itself, so nothing is kept on the server for it.
    """
    allocation = outcome.context.allocation
    tokens = [int(count) for count in allocation.tokens]
    spent, uniform = sum(tokens), sum(tokens) / max(1, len(tokens))
    low, high = min(tokens, default=0), max(tokens, default=0)
    if high > low:
        share = f"{low} to {high} a frame; uniform would give each {uniform:.1f}"
    else:
        share = f"{low} for every frame"
    timings = ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {seconds:.2f} s"
        for name, seconds in outcome.answer.timings.items()
    )
    budget = f"{spent:,} of {int(allocation.budget_tokens):,}"
    relevance = outcome.answer.relevance
    facts = [
        ("Visual tokens", budget, f"{allocation.allocator}: {share}"),
        ("Frames seen", f"{len(tokens):,}", f"of {clock(float(outcome.context.end_s))}"),
        ("P(relevant)", "not known" if relevance is None else percent(relevance), ""),
        ("Time", f"{outcome.elapsed_s:.1f} s", timings),
        ("Model", outcome.answer.model_id, " ".join(outcome.answer.notes)),
    ]
    answer_json = base64.b64encode(json.dumps(outcome.to_dict(), indent=2).encode()).decode()
    download = f"data:application/json;base64,{answer_json}"
    return str(html.result(facts, outcome.clip.facts.notes, download, title))
