"""Expected gain: what it learns from answers, and the order that it makes."""

import dataclasses

import pytest

from annotations.expected_gain import AnswerEffect, GainEstimate, uncertainty
from annotations.queue import QueueFilter
from annotations.records import Prediction, ProposedMoment
from annotations.store import GAIN_AGE, Store
from tempo_core.moments import Moment
from tests.annotations.conftest import ROWS, Operations, edit


def effect(
    change: float, *, error: float | None = None, seconds: float | None = None, **reasons: float
) -> AnswerEffect:
    return AnswerEffect(
        query_id=1,
        reasons={name.replace("_", "-"): number for name, number in reasons.items()},
        uncertainty=0.0,
        moment_count=1,
        change=change,
        model_error=error,
        active_s=seconds,
    )


def test_the_prior_is_the_worth_that_suspicion_gives() -> None:
    estimate = GainEstimate.of([])
    plain = estimate.gain({}, 0.0, 1)
    assert (
        plain < estimate.gain({"touches-border": 2.0}, 0.0, 1) < estimate.gain({"one-clip-hole": 1.0}, 0.0, 1)
    )
    assert plain < estimate.gain({}, 1.0, 1), "a model that is unsure can learn more"


def test_a_reason_that_changes_nothing_loses_its_place_and_one_that_does_gains_it() -> None:
    answers = [effect(0.0, one_clip_hole=1.0), effect(0.9, touches_border=2.0)] * 20
    estimate = GainEstimate.of(answers)
    assert estimate.gain({"touches-border": 2.0}, 0.0, 1) > 2 * estimate.gain({"one-clip-hole": 1.0}, 0.0, 1)
    # A reason that nobody has met keeps what it was thought to add.
    prior = GainEstimate.of([])
    assert estimate.change_weights[5] == pytest.approx(prior.change_weights[5]), "whole-video"


def test_what_takes_twice_as_long_is_worth_half() -> None:
    slow, quick = (GainEstimate.of([effect(0.5, seconds=seconds)] * 400) for seconds in (60.0, 30.0))
    assert quick.gain({}, 0.0, 1) == pytest.approx(2 * slow.gain({}, 0.0, 1), rel=0.02)


def test_uncertainty_is_what_the_models_answer_leaves_open() -> None:
    moment = Moment(1, 2)
    assert uncertainty(None) == 1.0
    assert uncertainty([], 0.1) == 0.1
    assert uncertainty([(moment, 0.9)], 0.5) == pytest.approx(0.55)
    assert uncertainty([(moment, None)]) == 0.5


def test_an_estimate_survives_json_and_one_with_other_features_is_not_believed() -> None:
    estimate = GainEstimate.of([effect(0.5, error=0.25, seconds=9.0, whole_video=1.0)])
    assert GainEstimate.from_dict(estimate.to_dict()) == estimate
    assert GainEstimate.from_dict({**estimate.to_dict(), "features": ["row"]}) == GainEstimate.of([])


def test_each_answer_records_what_it_changed_and_the_queue_learns_from_it(
    store: Store, op: Operations
) -> None:
    # Holes of one clip are right as they are here, what touches the border is wrong.
    holes = [
        dataclasses.replace(
            ROWS[0], qid=str(n), query=f"q{n}", raw=None, relevant_clip_ids=None, saliency_scores=None
        )
        for n in range(2 * GAIN_AGE)
    ]
    borders = [
        dataclasses.replace(ROWS[2], qid=str(100 + n), query=f"b{n}", windows=((0, 20),))
        for n in range(2 * GAIN_AGE)
    ]
    store.import_rows([*holes, *borders], dataset="qvh", op_id=op())
    store.save_proposer("qvh", "m", op_id=op(), actor="test")
    first = ProposedMoment(start_ms=0, end_ms=20_000, confidence=0.5)
    for n in (100, 101):
        query_id = store.find("qvh", n).id
        store.propose(query_id, Prediction(model_id="m", moments=(first,), relevance=1.0), op_id=op())

    def first_reasons(order: str) -> set[str]:
        items = store.queue(QueueFilter(dataset="qvh", order=order, unseen_by="ada"), limit=8)  # type: ignore[arg-type]
        return {suspicion.reason for item in items for suspicion in item.reasons}

    store.renew_gains()
    assert "one-clip-hole" in first_reasons("gain")
    for n in range(GAIN_AGE):
        for qid, moments in ((n, ((10_000, 20_000), (22_000, 40_000))), (100 + n, ((60_000, 80_000),))):
            store.submit(
                store.find("qvh", qid).id,
                edit(*moments, active_ms=9_000),
                annotator="ada",
                parent_id=None,
                op_id=op(),
            )
    store.renew_gains(age=1000)
    assert "one-clip-hole" in first_reasons("gain"), "not so many answers yet"
    store.renew_gains(age=GAIN_AGE)
    assert "one-clip-hole" in first_reasons("suspicion")
    assert "one-clip-hole" not in first_reasons("gain")
    gains = store.gains([item.query_id for item in store.queue(limit=100)])
    assert len(gains) == 4 * GAIN_AGE
    # Every row has its gain, and a row of the highest stands first.
    first_item = store.queue(QueueFilter(order="gain", unseen_by="ada"), limit=1)[0]
    assert gains[first_item.query_id] == max(
        gains[item.query_id] for item in store.queue(QueueFilter(unseen_by="ada"), limit=100)
    )
