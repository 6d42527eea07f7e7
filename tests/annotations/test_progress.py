"""What is left for an annotator, and why a row is in the queue."""

from annotations.records import AnnotatorProgress, Edit, EditedMoment
from annotations.rows import Row
from annotations.store import Store

MOMENT = EditedMoment(start_ms=0, end_ms=1000)


def row(qid: int, **fields: object) -> Row:
    values = {"windows": ((1.0, 9.0),), "duration_s": 20.0, **fields}
    return Row(qid=str(qid), qid_is_int=True, query=f"query {qid}", vid=f"vid {qid}", **values)  # type: ignore[arg-type]


def submit(store: Store, query_id: int, who: str, *, submitted: bool = True) -> None:
    before = store.latest(query_id, who)
    edit = Edit(verdict="moments", moments=(MOMENT,), submitted=submitted)
    op_id = f"{query_id} {who} {before and before.id}"
    store.submit(query_id, edit, annotator=who, parent_id=before.id if before else None, op_id=op_id)


def test_only_submitted_rows_count_as_done(store: Store) -> None:
    assert store.is_empty()
    store.import_rows([row(1), row(2), row(3)], dataset="d", op_id="d")
    assert not store.is_empty()
    submit(store, 1, "ada")
    submit(store, 2, "ada", submitted=False)
    assert store.annotator_progress("ada", answers_per_row=3) == AnnotatorProgress(submitted=1, remaining=2)
    assert store.annotator_progress("bob", answers_per_row=1) == AnnotatorProgress(submitted=0, remaining=2)
    store.archive("d", op_id="gone", actor="ada")
    assert store.annotator_progress("ada", answers_per_row=3) == AnnotatorProgress(submitted=0, remaining=0)
    assert store.is_empty()


def test_an_adjudicated_row_is_not_left(store: Store) -> None:
    store.import_rows([row(1), row(2)], dataset="d", op_id="d")
    submit(store, 1, "ada")
    adopted = store.versions(1)[0].id
    store.adjudicate(1, correction_id=adopted, adjudicator="eve", parent_id=None, op_id="v")
    assert store.annotator_progress("bob", answers_per_row=3) == AnnotatorProgress(submitted=0, remaining=1)


def test_what_was_submitted_comes_latest_first_and_once(store: Store) -> None:
    store.import_rows([row(k) for k in (1, 2, 3)], dataset="d", op_id="d")
    for query_id in (1, 2, 3, 1):
        submit(store, query_id, "ada")
    submit(store, 2, "bob")
    assert store.submitted_by("ada") == [1, 3, 2]
    assert store.submitted_by("ada", limit=1) == [1]


def test_reasons_are_those_of_the_queue_strongest_first(store: Store) -> None:
    store.import_rows([row(1, windows=((0.0, 4.0), (6.0, 8.0)))], dataset="d", op_id="d")
    suspicions = store.suspicions(1)
    assert [suspicion.reason for suspicion in suspicions] == [
        "one-clip-hole",
        "one-clip-window",
        "touches-border",
    ]
    assert tuple(suspicions) == store.queue()[0].reasons
    assert store.suspicions(99) == []
