"""What corrections cost."""

import pytest

from annotations.correction_cost import correction_costs, cost_by_model, pace_by_annotator
from annotations.records import Prediction, ProposedMoment
from annotations.statistics import dataset_progress
from annotations.store import Store
from tests.annotations.conftest import Operations, edit


def test_seconds_and_keys_of_each_models_proposals(filled: Store, op: Operations) -> None:
    moment = ProposedMoment(start_ms=10_000, end_ms=20_000, confidence=0.8)
    proposal = filled.propose(1, Prediction(model_id="tiny", moments=(moment,)), op_id=op())
    none = filled.propose(2, Prediction(model_id="tiny", adapter_id="a1"), op_id=op())
    screen = {"proposal_id": proposal.id, "arm": "model-first"}
    first = filled.submit(
        1, edit((1, 2), **screen, active_ms=90_000), annotator="ada", parent_id=None, op_id=op()
    )
    filled.submit(
        1,
        edit((10_000, 20_000), **screen, active_ms=2_000, key_presses=2),
        annotator="ada",
        parent_id=first.id,
        op_id=op(),
    )
    filled.submit(
        1,
        edit((10_000, 15_000), **screen, active_ms=8_000, key_presses=6),
        annotator="bob",
        parent_id=None,
        op_id=op(),
    )
    filled.submit(2, edit(proposal_id=none.id), annotator="bob", parent_id=None, op_id=op())
    filled.submit(3, edit((0, 150_000)), annotator="bob", parent_id=None, op_id=op())

    costs = correction_costs(filled.answered_records())
    assert [(cost.query_id, cost.annotator, cost.accepted) for cost in costs] == [
        (1, "ada", True),
        (1, "bob", False),
        (2, "bob", True),
    ]
    assert costs[1].tiou == pytest.approx(0.5)
    tiny, adapted = cost_by_model(costs)
    assert (tiny.name, tiny.answers, tiny.unchanged) == ("tiny", 2, 0.5)
    assert (tiny.seconds_median, tiny.seconds_p75, tiny.keys_median) == (5.0, 8.0, 4.0)
    assert adapted.name == "tiny+a1"
    assert adapted.seconds_median is None
    assert adapted.mean_tiou == 1.0


def test_each_annotators_pace_against_the_released_moments(filled: Store, op: Operations) -> None:
    filled.submit(1, edit((10_000, 20_000), (22_000, 40_000)), annotator="ada", parent_id=None, op_id=op())
    filled.submit(2, edit(active_ms=3_000, flagged=True), annotator="ada", parent_id=None, op_id=op())
    filled.submit(3, edit(verdict="cannot-judge", reason="dark"), annotator="bob", parent_id=None, op_id=op())
    ada, bob = pace_by_annotator(filled.answered_records("qvh"))
    assert (ada.cost.name, ada.cost.answers, ada.cost.unchanged, ada.cost.mean_tiou) == ("ada", 2, 1.0, 1.0)
    assert (ada.refusals, ada.flagged, ada.cannot_judge) == (1, 1, 0)
    assert (bob.cost.answers, bob.cannot_judge) == (0, 1)
    assert pace_by_annotator(filled.answered_records("other")) == []
    assert correction_costs(filled.answered_records()) == []


def test_where_the_rows_of_each_dataset_stand(filled: Store, op: Operations) -> None:
    correction = filled.submit(1, edit((10_000, 20_000)), annotator="ada", parent_id=None, op_id=op())
    filled.submit(2, edit(), annotator="ada", parent_id=None, op_id=op())
    filled.adjudicate(1, correction_id=correction.id, adjudicator="eve", parent_id=None, op_id=op())
    assert dataset_progress(filled) == {"qvh": {"open": 1, "answered": 1, "decided": 1}}
