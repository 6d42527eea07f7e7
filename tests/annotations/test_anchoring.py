"""What seeing a proposal does to an answer, told by the rows that somebody decided."""

import pytest

from annotations.anchoring import anchored_answers, by_annotator, by_arm
from annotations.records import ADJUDICATION, Prediction, ProposedMoment
from annotations.store import Store
from tests.annotations.conftest import Operations, edit


def decide(
    store: Store, query_id: int, *windows_ms: tuple[int, int], op: Operations, **changes: object
) -> None:
    own = store.submit(
        query_id, edit(*windows_ms, arm=ADJUDICATION, **changes), annotator="eve", parent_id=None, op_id=op()
    )
    store.adjudicate(query_id, correction_id=own.id, adjudicator="eve", parent_id=None, op_id=op())


def test_right_and_wrong_starts_that_were_kept(filled: Store, op: Operations) -> None:
    moment = ProposedMoment(start_ms=60_000, end_ms=70_000, confidence=0.8)
    proposal = filled.propose(1, Prediction(model_id="tiny", moments=(moment,)), op_id=op())
    none = filled.propose(2, Prediction(model_id="tiny"), op_id=op())
    screen = {"proposal_id": proposal.id, "arm": "model-first"}
    filled.submit(1, edit((60_000, 70_000), **screen), annotator="ada", parent_id=None, op_id=op())
    filled.submit(1, edit((80_000, 90_000), **screen), annotator="bob", parent_id=None, op_id=op())
    filled.submit(1, edit((82_000, 90_000), arm="blind"), annotator="cyd", parent_id=None, op_id=op())
    filled.submit(
        2, edit(proposal_id=none.id, arm="model-first"), annotator="ada", parent_id=None, op_id=op()
    )
    filled.submit(3, edit((0, 150_000), arm="blind"), annotator="ada", parent_id=None, op_id=op())
    decide(filled, 1, (80_000, 90_000), op=op)
    decide(filled, 2, op=op)

    answers = anchored_answers(filled.answered_records())
    assert [
        (answer.query_id, answer.annotator, answer.right_start, answer.unchanged) for answer in answers
    ] == [
        (1, "ada", False, True),
        (1, "bob", False, False),
        (1, "cyd", None, False),
        (2, "ada", True, True),
    ]
    blind, with_proposal = by_arm(answers)
    assert (blind.name, blind.answers, blind.right, blind.wrong) == ("blind", 1, 0, 0)
    assert blind.mean_tiou == pytest.approx(0.8)
    assert (
        with_proposal.name,
        with_proposal.right,
        with_proposal.right_unchanged,
        with_proposal.wrong,
        with_proposal.wrong_unchanged,
    ) == (
        "model-first",
        1,
        1,
        2,
        1,
    )
    ada, bob, _ = by_annotator(answers)
    assert (ada.name, ada.mean_tiou, ada.wrong_unchanged) == ("ada", 0.5, 1)
    assert (bob.mean_tiou, bob.wrong, bob.wrong_unchanged) == (1.0, 1, 0)
    assert ada.wrong == 1


def test_a_lane_began_with_the_proposal_of_its_first_version(filled: Store, op: Operations) -> None:
    first, later = (
        filled.propose(
            1,
            Prediction(model_id=name, moments=(ProposedMoment(start_ms=at_ms, end_ms=at_ms + 10_000),)),
            op_id=op(),
        )
        for name, at_ms in (("tiny", 60_000), ("large", 80_000))
    )
    draft = edit((60_000, 70_000), proposal_id=first.id, arm="model-first", submitted=False)
    draft_version = filled.submit(1, draft, annotator="ada", parent_id=None, op_id=op())
    answer = edit((60_000, 70_000), proposal_id=later.id, arm="model-first", opening="version")
    filled.submit(1, answer, annotator="ada", parent_id=draft_version.id, op_id=op())
    decide(filled, 1, (80_000, 90_000), op=op)
    (anchored,) = anchored_answers(filled.answered_records())
    assert (anchored.right_start, anchored.unchanged) == (False, True)


def test_the_release_is_what_the_original_arm_starts_from(filled: Store, op: Operations) -> None:
    filled.submit(2, edit(arm="original-first"), annotator="ada", parent_id=None, op_id=op())
    filled.submit(2, edit((5_000, 9_000), arm="original-first"), annotator="bob", parent_id=None, op_id=op())
    decide(filled, 2, (5_000, 9_000), op=op)
    assert [
        (answer.right_start, answer.unchanged, answer.tiou)
        for answer in anchored_answers(filled.answered_records("qvh"))
    ] == [
        (False, True, 0.0),
        (False, False, 1.0),
    ]
    assert anchored_answers(filled.answered_records("other")) == []
    filled.archive("qvh", op_id=op(), actor="eve")
    assert filled.answered_records() == [], "an archived dataset leaves the figures"


def test_a_decision_or_an_answer_that_judges_nothing_tells_nothing(filled: Store, op: Operations) -> None:
    filled.submit(1, edit((10_000, 20_000), arm="blind"), annotator="ada", parent_id=None, op_id=op())
    filled.submit(3, edit(verdict="cannot-judge", reason="dark"), annotator="ada", parent_id=None, op_id=op())
    decide(filled, 1, op=op, verdict="cannot-judge", reason="dark")
    decide(filled, 3, (0, 9_000), op=op)
    assert anchored_answers(filled.answered_records()) == []
    assert (by_arm([]), by_annotator([])) == ([], [])
