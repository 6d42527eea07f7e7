"""What the Ground page says: every text as text, and numbers as people read them."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.ground.engines import EngineStatus, Knowledge
from app.ground.view import (
    about_html,
    about_text,
    done_line,
    model_html,
    percent,
    progress_line,
    result_html,
    status_html,
)
from app.job_queue import Progress
from app.media.library import ClipFacts
from tempo_core.card import About
from tempo_core.vocabulary import Understanding, Vocabulary
from tests.app.markup import HOSTILE, attributes, hostile_texts, page_text


def outcome(**changes: Any) -> Any:
    """An outcome whose every text is hostile."""
    facts = ClipFacts(
        duration_s=4, frame_rate=10, width=160, height=96, notes=(HOSTILE, "Two frames were repaired.")
    )
    answer = SimpleNamespace(
        refused=False,
        moments=[1, 2],
        confidences=[0.9, 0.3],
        relevance=0.95,
        is_understood=True,
        timings={"answer_s": 0.25, "read_frames_s": 1},
        model_id=HOSTILE,
        notes=[HOSTILE],
        looks=(),
    )
    allocation = SimpleNamespace(tokens=[2, 4, 2], budget_tokens=1200, allocator=HOSTILE)
    return SimpleNamespace(
        **{
            "clip": SimpleNamespace(facts=facts, path=Path("clip.mp4")),
            "answer": answer,
            "context": SimpleNamespace(allocation=allocation, end_s=4.0),
            "elapsed_s": 1.26,
            "reused": False,
            "by_words": "",
            "to_dict": lambda: {"query": HOSTILE},
            **changes,
        }
    )


def test_the_cost_of_an_answer_reads_as_text_and_holds_its_json() -> None:
    html = result_html(outcome())
    text = page_text(html)
    assert hostile_texts(html) == 4, "the allocator, the clip's note, the model and its note"
    assert f"{HOSTILE}: 2 to 4 a frame; uniform would give each 2.7" in text
    for words in (
        "8 of 1,200",
        "of 0:04.0",
        "95 %",
        "1.3 s",
        "answer 0.25 s, read frames 1.00 s",
        "were repaired",
    ):
        assert words in text
    address = next(value for value in attributes(html) if value.startswith("data:application/json;base64,"))
    assert json.loads(base64.b64decode(address.partition(",")[2])) == {"query": HOSTILE}


def test_what_a_model_knows_is_said_in_its_cards_words() -> None:
    words = Vocabulary(content=["square", "<b>"], grammar=["a"])
    card = Knowledge(about=About(understands="shapes.", does_not=f"films {HOSTILE}."), vocabulary=words)
    html = about_html(card, {})
    text = page_text(html)
    assert "This model understands shapes." in text
    assert f"It does not understand films {HOSTILE}." in text
    assert "The 2 words that it was taught: <b>, square." in text
    assert about_text(card, {}).split("\n\n")[:2] == [
        "This model understands shapes.",
        f"It does not understand films {HOSTILE}.",
    ]
    hub = Knowledge(about=About(summary="We present X."), vocabulary=None)
    assert "From the model’s own card: We present X." in page_text(about_html(hub, {}))
    assert "was taught 2 words" in page_text(about_html(Knowledge(about=None, vocabulary=words), {}))
    assert "has no card" in page_text(about_html(Knowledge(about=None, vocabulary=None), {}))
    assert "not there yet" in page_text(about_html(None, {}))
    both = page_text(about_html(card, {"other": replace(card, about=About(understands="fades."))}))
    assert "other understands fades. Questions with its words are asked of it." in both
    assert "The 2 words that other was taught: <b>, square." in both


def test_status_and_model_read_as_text() -> None:
    assert hostile_texts(status_html(HOSTILE, error=True)) == 1
    assert 'role="alert"' in status_html("No clip.", error=True)
    assert hostile_texts(model_html(EngineStatus(state="failed", message=HOSTILE))) == 1


@pytest.mark.parametrize(
    ("stage", "fraction", "classes"),
    [
        ("queued", 0.0, ["", "", "", "", ""]),
        ("encoding", 0.5, ["done", "done", "done", "now", ""]),
    ],
)
def test_the_stages_say_how_far_a_run_is(stage: str, fraction: float, classes: list[str]) -> None:
    html = status_html(progress=Progress(stage=stage, fraction=fraction))
    values = attributes(html)
    assert [value for value in values if value in ("done", "now", "")] == classes
    assert ("--done:50%" in values) == (stage == "encoding")


def test_numbers_and_lines_read_well() -> None:
    assert [percent(value) for value in (0.004, 0.5, 0.995, 1)] == ["0.4 %", "50 %", "99.5 %", "100 %"]
    assert progress_line(Progress(stage="queued", position=1)) == "Waiting: 1 question is before yours."
    assert progress_line(Progress(stage="queued", position=2)) == "Waiting: 2 questions are before yours."
    timed = Progress(stage="queued", position=2, wait_s=19.6)
    assert progress_line(timed) == "Waiting: 2 questions are before yours, about 20 seconds."
    assert done_line(outcome()) == "2 moments found. Answered in 1.3 s."
    assert done_line(outcome(), answered_s=0.4) == "2 moments found. Answered in 0.4 s."
    for confidence, words in ((0.7, "1 moment found."), (0.3, "may be right."), (0.05, "little behind it.")):
        answer = SimpleNamespace(
            is_understood=True, refused=False, moments=[1], confidences=[confidence], relevance=0.95, looks=()
        )
        assert words in done_line(outcome(answer=answer))
    refused = outcome(answer=SimpleNamespace(refused=True, is_understood=True, looks=()), reused=True)
    assert done_line(refused).startswith(
        "Nothing in this clip matches. Answered in 1.3 s from the same context;"
    )
    understood = Understanding(probability=0.0, words=("dog", "<b>"))
    unknown = SimpleNamespace(
        understood=understood,
        looks=(),
        is_understood=False,
        relevance=None,
        refused=False,
        timings={},
        model_id="",
        notes=[],
    )
    assert done_line(outcome(answer=unknown)).startswith("This model does not know “dog” and “")
    assert "<b>" in page_text(status_html(done_line(outcome(answer=unknown))))
    assert "not known" in page_text(result_html(outcome(answer=unknown)))


def test_a_films_stages_stand_in_the_stepper_and_say_how_far_they_are() -> None:
    for stage, step, words in (
        ("scanning", "Encoding", "Scanning the film at a low rate: 40%."),
        ("looking again", "Answering", "Looking again where something may be: 40%."),
    ):
        progress = Progress(stage=stage, fraction=0.4)
        assert progress_line(progress) == words
        assert re.findall(r'class="now"[^>]*>(\w+)<', status_html(words, progress=progress)) == [step]


def test_a_second_question_on_a_film_says_what_was_new() -> None:
    again = outcome(reused=True)
    assert "nothing was decoded" in done_line(again)
    again.answer.looks = (1,)
    assert "only second looks were new" in done_line(again)
