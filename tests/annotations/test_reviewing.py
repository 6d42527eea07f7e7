"""What an adjudicator sees, and how a decision is stored."""

from dataclasses import replace

import pytest

from annotations.errors import Conflict, NotFound
from annotations.records import ADJUDICATION, Edit, Prediction, ProposedMoment
from annotations.reviewing import adopt, decide, proposed_moments, review_item
from annotations.statistics import agreement_between_annotators, agreement_of_each
from annotations.store import Store
from tempo_core.errors import InputError
from tests.annotations.conftest import Operations, edit


@pytest.fixture
def disputed(filled: Store, op: Operations) -> Store:
    """Query 1 with two annotators and a model's answer."""
    filled.submit(1, edit((10_000, 20_000)), annotator="ada", parent_id=None, op_id=op())
    filled.submit(1, edit((12_000, 24_000)), annotator="bob", parent_id=None, op_id=op())
    moment = ProposedMoment(start_ms=9_000, end_ms=21_000, confidence=0.8)
    filled.save_proposer("qvh", "tiny", op_id=op(), actor="test")
    filled.propose(1, Prediction(model_id="tiny", moments=(moment,)), op_id=op())
    return filled


def test_rows_are_annotators_then_model_then_original(disputed: Store) -> None:
    item = review_item(disputed, 1, "eve")
    assert [(candidate.kind, candidate.name) for candidate in item.candidates] == [
        ("annotator", "ada"),
        ("annotator", "bob"),
        ("model", "tiny"),
        ("original", "qvh"),
    ]
    assert [(m.start_ms, m.end_ms) for m in item.start.moments] == [(11_000, 22_000)]
    assert not item.start.submitted
    assert item.agreement == pytest.approx(8 / 14)
    values = item.to_dict()
    assert [candidate["key"] for candidate in values["candidates"]] == [1, 2, 3, 4]
    assert values["candidates"][2]["confidences"] == [0.8]
    assert values["verdict"] is None
    assert values["parent_id"] is None


def test_adopting_an_annotator_names_their_correction(disputed: Store, op: Operations) -> None:
    item = review_item(disputed, 1, "eve")
    verdict = adopt(
        disputed,
        1,
        kind="annotator",
        candidate_id=item.candidates[1].id,
        adjudicator="eve",
        verdict_parent_id=None,
        parent_id=None,
        op_id=op(),
    )
    assert verdict.correction_id == item.candidates[1].id
    assert len(disputed.corrections(1)) == 2, "nothing was written but the verdict"
    again = review_item(disputed, 1, "eve")
    assert again.start.windows == again.candidates[1].edit.windows
    assert again.verdict == verdict


@pytest.mark.parametrize(
    ("kind", "place", "source", "windows"),
    [("model", 2, "model", [(9.0, 21.0)]), ("original", 3, "original", [(10.0, 20.0), (22.0, 40.0)])],
)
def test_adopting_the_model_or_the_original_makes_the_adjudicators_correction(
    disputed: Store, op: Operations, kind: str, place: int, source: str, windows: list[tuple[float, float]]
) -> None:
    item = review_item(disputed, 1, "eve")
    before = agreement_between_annotators(disputed.answered_records())
    verdict = adopt(
        disputed,
        1,
        kind=kind,
        candidate_id=item.candidates[place].id,
        adjudicator="eve",  # type: ignore[arg-type]
        verdict_parent_id=None,
        parent_id=None,
        op_id=op(),
        active_ms=4_000,
        key_presses=1,
    )
    correction = disputed.correction(verdict.correction_id)
    assert correction.annotator == "eve"
    assert correction.edit.arm == ADJUDICATION
    assert (correction.edit.active_ms, correction.edit.key_presses) == (4_000, 1)
    assert [(m.start_s, m.end_s) for m in correction.edit.windows] == windows
    assert {m.start_source for m in correction.edit.moments} == {source}
    assert agreement_between_annotators(disputed.answered_records()) == before, (
        "the adjudicator is no annotator"
    )
    assert set(agreement_of_each(disputed.answered_records())) == {"ada", "bob"}
    assert [candidate.name for candidate in review_item(disputed, 1, "eve").candidates][:2] == ["ada", "bob"]


def test_what_is_not_there_cannot_be_adopted(disputed: Store, op: Operations) -> None:
    common = {"adjudicator": "eve", "verdict_parent_id": None, "parent_id": None}
    for kind, candidate_id in (("annotator", None), ("annotator", 99), ("model", 99), ("original", 3)):
        with pytest.raises(InputError):
            adopt(disputed, 1, kind=kind, candidate_id=candidate_id, op_id=op(), **common)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        review_item(disputed, 99, "eve")
    assert disputed.verdicts(1) == []
    assert disputed.latest(1, "eve") is None


def test_a_decision_sent_twice_is_one_decision(disputed: Store, op: Operations) -> None:
    same = op()
    verdicts = [
        decide(
            disputed,
            1,
            edit((11_000, 22_000)),
            adjudicator="eve",
            verdict_parent_id=None,
            parent_id=None,
            op_id=same,
        )
        for _ in range(2)
    ]
    assert verdicts[0] == verdicts[1]
    assert len(disputed.verdicts(1)) == 1
    assert len(disputed.corrections(1)) == 3


def test_the_second_of_two_adjudicators_conflicts_and_writes_nothing(disputed: Store, op: Operations) -> None:
    first = decide(
        disputed,
        1,
        edit((11_000, 22_000)),
        adjudicator="eve",
        verdict_parent_id=None,
        parent_id=None,
        op_id=op(),
    )
    with pytest.raises(Conflict) as conflict:
        decide(
            disputed,
            1,
            edit((1_000, 2_000)),
            adjudicator="fay",
            verdict_parent_id=None,
            parent_id=None,
            op_id=op(),
        )
    assert conflict.value.theirs == first
    assert disputed.latest(1, "fay") is None
    later = decide(
        disputed,
        1,
        edit((1_000, 2_000)),
        adjudicator="fay",
        verdict_parent_id=first.id,
        parent_id=None,
        op_id=op(),
    )
    assert disputed.verdict(1) == later
    assert [(m.start_s, m.end_s) for m in disputed.resolved(1).moments or ()] == [(1.0, 2.0)]


def test_a_refusal_can_be_the_verdict(disputed: Store, op: Operations) -> None:
    none = Edit(verdict="no-moment", reason="event absent", submitted=False)
    decide(disputed, 1, none, adjudicator="eve", verdict_parent_id=None, parent_id=None, op_id=op())
    assert disputed.resolved(1).verdict == "no-moment"


def test_a_models_answer_is_its_sure_moments_without_overlap() -> None:
    def moment(start_s: int, end_s: int, confidence: float | None) -> ProposedMoment:
        return ProposedMoment(start_ms=start_s * 1000, end_ms=end_s * 1000, confidence=confidence)

    ranked = (moment(30, 40, 0.9), moment(10, 20, 0.6), moment(35, 42, 0.5), moment(0, 5, 0.2))
    sure = proposed_moments(Prediction(model_id="m", moments=ranked))
    assert [((m.start_s, m.end_s), c) for m, c in sure] == [((10.0, 20.0), 0.6), ((30.0, 42.0), 0.9)]
    unsure = Prediction(model_id="m", moments=(moment(1, 2, 0.3), moment(4, 5, 0.2)))
    assert [m.start_s for m, _ in proposed_moments(unsure)] == [1.0]
    assert proposed_moments(replace(unsure, refused=True)) == []
