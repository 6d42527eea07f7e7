"""Adoption by a rule: which rows it decides, and that one call takes them back."""

import pytest

from annotations.bulk_adoption import adopt_rows, agreed_rows, bulk_adoptions
from annotations.checks import problems
from annotations.history import history
from annotations.records import Edit, EditedMoment
from annotations.snapshot import open_snapshot, take_snapshot
from annotations.store import Store
from tests.annotations.conftest import Operations, edit


def answer(store: Store, op: Operations, who: str, query_id: int, content: Edit) -> None:
    store.submit(query_id, content, annotator=who, parent_id=None, op_id=op())


@pytest.fixture
def agreed_store(filled: Store, op: Operations) -> Store:
    """Row 1: two agree to 40 ms. Row 2: both find nothing. Row 3: 41 ms apart."""
    answer(filled, op, "ada", 1, edit((10_000, 20_000), (30_000, 40_000)))
    answer(filled, op, "bo", 1, edit((10_040, 19_960), (30_000, 40_000)))
    for who in ("ada", "bo"):
        answer(filled, op, who, 2, edit())
    answer(filled, op, "ada", 3, edit((1_000, 9_000)))
    answer(filled, op, "bo", 3, edit((1_041, 9_000)))
    return filled


def rule_ids(store: Store) -> list[int]:
    return [row.query_id for row in agreed_rows(store.answered_records())]


def test_rows_on_which_two_agree_within_a_frame_fit_the_rule(agreed_store: Store) -> None:
    rows = agreed_rows(agreed_store.answered_records())
    assert [(row.query_id, row.annotators, row.verdict) for row in rows] == [
        (1, ("ada", "bo"), "moments"),
        (2, ("ada", "bo"), "no-moment"),
    ]
    assert rows[0].moments == ((10_000, 20_000), (30_000, 40_000))
    assert rows[0].correction_id == agreed_store.versions(1)[0].id, "the earlier answer"


def test_frames_decide_where_both_answers_name_them(filled: Store, op: Operations) -> None:
    for who, start_ms, frame in (("ada", 1000, 10), ("bo", 1100, 11)):  # ten frames a second
        moment = EditedMoment(start_ms=start_ms, end_ms=2000, start_frame=frame, end_frame=20)
        answer(filled, op, who, 1, Edit(verdict="moments", moments=(moment,)))
    assert rule_ids(filled) == [1]


def test_a_third_answer_a_flag_and_a_decision_keep_a_row_for_a_person(
    agreed_store: Store, op: Operations
) -> None:
    answer(agreed_store, op, "cy", 1, edit((10_000, 25_000)))
    flagged = edit(flagged=True)
    answer(agreed_store, op, "cy", 2, flagged)
    assert rule_ids(agreed_store) == []
    # A third who agrees changes nothing.
    latest = agreed_store.latest(1, "cy")
    assert latest is not None
    agreeing = edit((10_000, 20_000), (30_000, 40_000))
    agreed_store.submit(1, agreeing, annotator="cy", parent_id=latest.id, op_id=op())
    assert rule_ids(agreed_store) == [1]
    agreed_store.adjudicate(1, correction_id=latest.id, adjudicator="dee", parent_id=None, op_id=op())
    assert rule_ids(agreed_store) == []


def test_a_batch_is_adopted_and_taken_back(
    agreed_store: Store, op: Operations, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = take_snapshot(agreed_store, tmp_path_factory.mktemp("before"), actor="test").sha256
    batch = adopt_rows(agreed_store, agreed_rows(agreed_store.answered_records()), actor="dee")
    verdict = agreed_store.verdict(1)
    assert verdict is not None
    assert (verdict.adjudicator, verdict.correction_id) == ("dee", agreed_store.versions(1)[0].id)
    assert rule_ids(agreed_store) == []
    assert [row.query_id for row in agreed_store.queue()] == [3]
    (adoption,) = bulk_adoptions(agreed_store)
    assert (adoption.batch, adoption.actor, adoption.adopted, adoption.standing) == (batch, "dee", 2, 2)

    # Somebody has looked at row 2 since: their decision stays.
    second = agreed_store.verdict(2)
    assert second is not None
    agreed_store.adjudicate(
        2, correction_id=agreed_store.versions(2)[1].id, adjudicator="eve", parent_id=second.id, op_id=op()
    )
    undo = op()
    assert agreed_store.withdraw_verdicts(batch, op_id=undo, actor="dee") == [1]
    assert agreed_store.withdraw_verdicts(batch, op_id=undo, actor="dee") == [1], "sent twice, done once"
    assert agreed_store.verdict(1) is None
    assert agreed_store.verdict(2) is not None
    assert rule_ids(agreed_store) == [1]
    assert bulk_adoptions(agreed_store)[0].standing == 1
    assert [entry.withdrawn_by for entry in history(agreed_store, 1) if entry.kind == "verdict"] == ["dee"]
    assert problems(agreed_store) == []

    # Row 1 can be decided again, by whomever.
    agreed_store.adjudicate(
        1, correction_id=agreed_store.versions(1)[1].id, adjudicator="eve", parent_id=None, op_id=op()
    )
    assert agreed_store.resolved(1).source == "verdict"
    assert take_snapshot(agreed_store, tmp_path_factory.mktemp("after"), actor="test").sha256 != before


def test_a_snapshot_after_taking_back_is_the_one_before(
    agreed_store: Store, op: Operations, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = take_snapshot(agreed_store, tmp_path_factory.mktemp("before"), actor="test")
    batch = adopt_rows(agreed_store, agreed_rows(agreed_store.answered_records()), actor="dee")
    agreed_store.withdraw_verdicts(batch, op_id=op(), actor="dee")
    after = take_snapshot(agreed_store, tmp_path_factory.mktemp("after"), actor="test")
    assert after.sha256 == before.sha256
    assert open_snapshot(after.folder).problems() == []


def test_a_batch_that_was_taken_back_is_not_done_by_sending_it_again(
    agreed_store: Store, op: Operations
) -> None:
    rows = agreed_rows(agreed_store.answered_records())
    batch = adopt_rows(agreed_store, rows, actor="dee")
    agreed_store.withdraw_verdicts(batch, op_id=op(), actor="dee")
    adopt_rows(agreed_store, rows, actor="dee", batch=batch)
    assert bulk_adoptions(agreed_store)[0].standing == 0
    assert agreed_store.verdict(1) is None


def test_an_interrupted_batch_goes_on(agreed_store: Store) -> None:
    rows = agreed_rows(agreed_store.answered_records())
    batch = adopt_rows(agreed_store, rows[:1], actor="dee")
    assert adopt_rows(agreed_store, rows, actor="dee", batch=batch) == batch
    assert bulk_adoptions(agreed_store)[0].adopted == 2
