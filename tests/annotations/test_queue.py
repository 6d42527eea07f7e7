"""The queue: its order, its pages, and that it follows what is written without being worked out anew."""

import dataclasses

import pytest

from annotations.queue import QueueFilter
from annotations.records import Prediction, ProposedMoment, Video
from annotations.store import Store
from tempo_core.errors import InputError
from tests.annotations.conftest import ROWS, Operations, edit


def order(store: Store, **filters: object) -> list[int]:
    return [item.query_id for item in store.queue(QueueFilter(**filters))]  # type: ignore[arg-type]


def reasons(store: Store, query_id: int) -> dict[str, float]:
    items = {item.query_id: item for item in store.queue()}
    return {suspicion.reason: suspicion.number for suspicion in items[query_id].reasons}


def test_rows_come_with_their_reasons_most_suspect_first(filled: Store) -> None:
    assert order(filled) == [1, 3, 2]
    assert reasons(filled, 1) == {"one-clip-hole": 1, "duplicate-query": 1}
    assert reasons(filled, 3) == {"touches-border": 2, "whole-video": 1, "duplicate-query": 1}
    assert reasons(filled, 2) == {}
    first = filled.queue()[0]
    assert first.score == pytest.approx(1 - 0.3 * 0.5)
    assert (first.qid, first.text, first.split, first.reviews) == ("10", "A dog runs", "val", 0)


def test_a_correction_renews_its_row(filled: Store, op: Operations) -> None:
    filled.submit(1, edit((10_000, 40_000)), annotator="ada", parent_id=None, op_id=op())
    assert order(filled) == [3, 2, 1]  # fewest reviews first
    assert reasons(filled, 1) == {"duplicate-query": 1}
    filled.submit(1, edit((10_000, 20_000)), annotator="bo", parent_id=None, op_id=op())
    assert reasons(filled, 1)["annotators-disagree"] == pytest.approx(1 / 3)
    assert order(filled, review=True) == [1]


def test_a_proposal_renews_its_row(filled: Store, op: Operations) -> None:
    filled.save_proposer("qvh", "m", op_id=op(), actor="test")
    sure = ProposedMoment(start_ms=100_000, end_ms=110_000, confidence=0.9)
    filled.propose(1, Prediction(model_id="m", moments=(sure,)), op_id=op())
    assert reasons(filled, 1)["proposal-outside"] == 0.9
    assert reasons(filled, 1)["model-disagrees"] == 0
    filled.propose(1, Prediction(model_id="m"), op_id=op())
    assert "proposal-outside" not in reasons(filled, 1)


def test_what_was_kept_equals_what_is_worked_out_anew(filled: Store, op: Operations) -> None:
    ada = filled.submit(1, edit((10_000, 40_000)), annotator="ada", parent_id=None, op_id=op())
    filled.submit(1, edit((10_000, 20_000), flagged=True), annotator="bo", parent_id=None, op_id=op())
    filled.submit(3, edit(), annotator="ada", parent_id=None, op_id=op())
    filled.submit(1, edit((1, 2), submitted=False), annotator="ada", parent_id=ada.id, op_id=op())
    filled.save_proposer("qvh", "m", op_id=op(), actor="test")
    filled.propose(2, Prediction(model_id="m"), op_id=op())
    queue = filled.queue()
    filled.renew_queue()
    assert filled.queue() == queue


def test_adjudicated_rows_leave_the_queues(filled: Store, op: Operations) -> None:
    ada = filled.submit(1, edit((1, 2), flagged=True), annotator="ada", parent_id=None, op_id=op())
    assert order(filled, review=True) == [1]
    filled.adjudicate(1, correction_id=ada.id, adjudicator="dee", parent_id=None, op_id=op())
    assert order(filled, review=True) == []
    assert order(filled) == [3, 2]


def test_a_new_row_makes_an_old_one_a_duplicate(filled: Store, op: Operations) -> None:
    twin = dataclasses.replace(ROWS[1], qid="20", query=" a CAT  sleeps ", raw=None)
    filled.import_rows([twin], dataset="qvh", op_id=op())
    assert reasons(filled, 2) == {"duplicate-query": 1}


def test_filters(filled: Store, op: Operations) -> None:
    assert order(filled, split="train") == [3]
    assert order(filled, dataset="none") == []
    assert order(filled, reason="one-clip-hole") == [1]
    clip = Video(vid="x_0.0_150.0", sha256="s", path="/x.mp4", size_bytes=1, modified_ns=1)
    filled.save_videos([clip], op_id=op(), actor="ada")
    assert order(filled, with_video=True) == [2]
    lent = filled.next_query("ada", op_id=op(), queue_filter=QueueFilter(with_video=True))
    assert lent is not None
    assert lent.query_id == 2
    filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
    assert order(filled, unseen_by="ada") == [3, 2]
    with pytest.raises(InputError, match="reason is 'mood'"):
        QueueFilter(reason="mood")


@pytest.mark.parametrize("review", [False, True])
def test_pages_join_to_the_whole(store: Store, op: Operations, review: bool) -> None:
    rows = [dataclasses.replace(ROWS[number % 3], qid=str(number), raw=None) for number in range(12)]
    store.import_rows(rows, dataset="qvh", op_id=op())
    for number in range(1, 13):
        for name, end_ms in (("ada", 100), ("bo", 100 - number % 5 * 10)):
            store.submit(number, edit((1, end_ms)), annotator=name, parent_id=None, op_id=op())
    whole = order(store, review=review)
    paged, after = [], None
    while page := store.queue(QueueFilter(review=review), limit=5, after=after):
        paged += [item.query_id for item in page]
        after = paged[-1]
    assert paged == whole
    assert len(set(whole)) == 12
    with pytest.raises(InputError, match="1 to 1000 rows"):
        store.queue(limit=0)


def test_what_is_said_of_an_archived_row_does_not_bring_it_back(filled: Store, op: Operations) -> None:
    dataset = filled.query(1).dataset
    filled.archive(dataset, op_id=op(), actor="ada")
    filled.propose(1, Prediction(model_id="late"), op_id=op())  # a model that was still at work
    correction = filled.submit(2, edit((10_000, 40_000)), annotator="ada", parent_id=None, op_id=op())
    filled.adjudicate(2, correction_id=correction.id, adjudicator="eve", parent_id=None, op_id=op())
    filled.renew_queue()
    assert filled.queue() == []
    assert filled.is_empty()
    filled.archive(dataset, op_id=op(), actor="ada", archived=False)
    assert sorted(order(filled)) == [1, 3]  # 2 is decided
