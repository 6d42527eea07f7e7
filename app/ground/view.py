"""What the Ground page says, as HTML: from domain objects to escaped text."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from annotations.proposers import model_name
from app.ground.answers import StoredAnswer
from app.ground.engines import EngineStatus, Knowledge
from app.ground.service import STAGES, ModelFailure, Outcome
from app.job_queue import Progress, seconds_text
from app.ui.templates import macros
from app.ui.templates import status_html as line_html
from tempo_core.calibration import Band, band_of
from tempo_core.card import About
from tempo_core.command_line import clock

RANKING_LINE = "Other windows are being ranked."
FILM_STAGES = {"scanning": "encoding", "looking again": "answering"}
"""Where the stages of a film stand in the stepper."""
IDLE_LINE = "Choose a clip, write what to look for, and press Enter."


def percent(probability: float) -> str:
    """A probability in whole percent, with tenths only near the ends."""
    digits = 1 if probability < 0.01 or 0.99 < probability < 1 else 0
    return f"{100 * probability:.{digits}f} %"


html = macros("ground/view.html")


def about_lines(knowledge: Knowledge | None, name: str = "This model") -> list[str]:
    """What a model knows, in sentences: its card's words, or what follows from a list of taught words."""
    if knowledge is None:
        return ["The model is not there yet."]
    about, vocabulary = knowledge.about or About(), knowledge.vocabulary
    lines = [
        f"{opening} {text}"
        for opening, text in (
            (f"{name} understands", about.understands),
            ("It does not understand", about.does_not),
            ("From the model’s own card:" if name == "This model" else f"{name}:", about.summary),
        )
        if text
    ]
    if not lines and vocabulary is not None:
        count = len(vocabulary.content)
        lines = [f"{name} was taught {count} words, and says so when a question has another one."]
    return lines or [f"{name} has no card that says what it understands. Ask in plain English."]


def about_text(knowledge: Knowledge | None, others: Mapping[str, Knowledge]) -> str:
    """What the served model and the others that answer unchosen know, as the text of the empty page."""
    return "\n\n".join(
        [
            *about_lines(knowledge),
            *_other_lines(others),
            "Choose a clip or an example, and ask when something happens.",
        ]
    )


def about_html(knowledge: Knowledge | None, others: Mapping[str, Knowledge]) -> str:
    """The panel with it, and every word that each of them was taught."""
    words = {"it": knowledge, **others}
    lists = [
        (name, sorted(known.vocabulary.content))
        for name, known in words.items()
        if known is not None and known.vocabulary is not None
    ]
    return str(html.about([*about_lines(knowledge), *_other_lines(others)], lists))


def _other_lines(others: Mapping[str, Knowledge]) -> list[str]:
    """What each of the models that words may choose understands."""
    return [
        f"{about_lines(known, name)[0]} Questions with its words are asked of it."
        for name, known in others.items()
    ]


def model_html(status: EngineStatus) -> str:
    """The page's head, with the state of the model."""
    return str(html.model(status))


def status_html(
    line: str = IDLE_LINE, *, progress: Progress | None = None, error: bool = False, complete: bool = False
) -> str:
    """The stepper with one line of text below it; its height does not depend on what it says."""
    stage = "" if progress is None else FILM_STAGES.get(progress.stage, progress.stage)
    current = STAGES.index(stage) if stage in STAGES else -1
    stages = []
    for idx, name in enumerate(STAGES):
        if complete or idx < current:
            stages.append((name.capitalize(), "done", 100))
        elif progress is not None and idx == current:
            stages.append((name.capitalize(), "now", round(100 * progress.fraction)))
        else:
            stages.append((name.capitalize(), "", 0))
    return str(html.status(stages, line, error))


def progress_line(progress: Progress) -> str:
    """One sentence about where the work stands."""
    if progress.stage == "queued":
        if progress.position == 0:
            return "Starting."
        questions = "1 question is" if progress.position == 1 else f"{progress.position} questions are"
        wait = "" if progress.wait_s is None else f", about {seconds_text(progress.wait_s)}"
        return f"Waiting: {questions} before yours{wait}."
    return {
        "loading": "Waiting for the model, which is loading; then the question is answered.",
        "preparing": "Checking the clip; one that browsers cannot play gets a normal copy first.",
        "decoding": "Reading the frames, each with its true time.",
        "allocating": "Measuring where the content changes, and sharing the visual tokens accordingly.",
        "encoding": "Looking at the frames.",
        "answering": "Answering.",
        "scanning": f"Scanning the film at a low rate: {progress.fraction:.0%}.",
        "looking again": f"Looking again where something may be: {progress.fraction:.0%}.",
    }.get(progress.stage, progress.stage)


def copying_line(progress: Progress) -> str:
    """What is exact while the clip is shown as it was uploaded."""
    return (
        "The clip's own file is shown and all times are exact; the film strip and quick steps by single frames "
        f"follow with its normal copy ({progress.fraction:.0%})."
    )


FINDINGS: dict[Band | None, str] = {
    "clear": "found",
    "possible": "found that may be right",
    "guess": "guessed, with little behind it",
    None: "found",
}
"""What is said of the best moment of an answer, by its band."""


def best_band(answer: Any) -> Band | None:
    """The band of an answer's most probable moment."""
    figures = [confidence for confidence in answer.confidences if confidence is not None]
    return band_of(max(figures, default=None), answer.relevance)


def done_line(outcome: Outcome, answered_s: float | None = None) -> str:
    """What to say when the answer is there; `answered_s` is when it was shown, where that was before the outcome."""
    if not outcome.answer.is_understood:
        result = outcome.answer.understood.sentence.removesuffix(".")
    elif outcome.answer.refused:
        result = "Nothing in this clip matches"
    else:
        answer = outcome.answer
        count = len(answer.moments)
        result = f"{count} {'moment' if count == 1 else 'moments'} {FINDINGS[best_band(answer)]}"
    model = "" if not outcome.by_words else f" {outcome.by_words} was asked, which knows these words."
    reuse = ""
    if outcome.reused:
        again = (
            "only second looks were new" if outcome.answer.looks else "nothing was decoded or encoded again"
        )
        reuse = f" from the same context; {again}"
    seconds = outcome.elapsed_s if answered_s is None else answered_s
    return f"{result}. Answered in {seconds:.1f} s{reuse}.{model}"


EMPTY_RESULT = (
    '<div class="tempo-result"><p class="tempo-empty">'
    "What an answer cost is listed here, beside a download.</p></div>"
)


def results_html(
    outcomes: Sequence[Outcome], failures: Sequence[ModelFailure], stored: StoredAnswer | None = None
) -> str:
    """What each model's answer cost, and why others gave none; links to what is kept of the first one."""
    is_compared = len(outcomes) + len(failures) > 1
    parts = [
        result_html(outcome, model_name(outcome.answer.model_id) if is_compared else "")
        for outcome in outcomes
    ]
    if stored is not None:
        parts.append(links_html(stored))
    return "".join(
        [*parts, *(line_html(f"{failure.model}: {failure.message}", error=True) for failure in failures)]
    )


def links_html(stored: StoredAnswer) -> str:
    """What can be taken away of an answer that is kept, and the link for others where there is one."""
    moments = [
        (f"Moment {number} as a clip", f"{stored.address}/moments/{number}")
        for number in range(1, len(stored.value["moments"]) + 1)
    ]
    return str(html.links([("The answer as one HTML file", stored.address), *moments], stored.link))


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
