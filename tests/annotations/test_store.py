"""The store on both databases: what it takes in, what it refuses, and that nothing is lost or changed."""

import contextlib
import dataclasses
import json
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from annotations import tables
from annotations.errors import Conflict, NotFound, OperationReused
from annotations.projects import ProjectPlan
from annotations.records import (
    Account,
    Edit,
    EditedMoment,
    Prediction,
    ProposedMoment,
)
from annotations.rows import AnnotatorVersion, Row
from annotations.snapshot import take_snapshot
from annotations.store import LEASE_S, Store
from annotations.tables import APPEND_ONLY
from tempo_core.errors import InputError
from tests.annotations.conftest import ROWS, Clock, Operations, Timer, edit

YEAR_MS = 365 * 24 * 3600 * 1000


def test_imported_rows_come_back_as_they_were(filled: Store) -> None:
    rows = [filled.query(query_id).row for query_id in (1, 2, 3)]
    assert rows == ROWS
    assert rows[0].raw == ROWS[0].raw
    assert [type(value) for value in (rows[0].duration_s, rows[2].duration_s)] == [int, float]


@pytest.mark.parametrize("field", ["query", "vid"])
def test_texts_that_no_database_holds_are_refused(store: Store, op: Operations, field: str) -> None:
    row = dataclasses.replace(ROWS[0], **{field: "a\0b"}, raw=None)
    with pytest.raises(InputError, match=f"The {field} of qid 10 holds a NUL character"):
        store.import_rows([row], dataset="d", op_id=op())
    assert store.datasets() == {}


def test_a_duration_is_stored_in_whole_milliseconds(store: Store, op: Operations) -> None:
    assert 1.005 * 1000 != 1005
    store.import_rows([Row(qid="1", query="q", vid="v", duration_s=1.005)], dataset="d", op_id=op())
    with store.database.read() as connection:
        duration_ms = connection.execute(text("SELECT duration_ms FROM queries")).scalar_one()
    assert (duration_ms, type(duration_ms)) == (1005, int)


def test_importing_twice_changes_nothing(filled: Store, op: Operations) -> None:
    report = filled.import_rows(ROWS, dataset="qvh", op_id=op())
    assert (report.added, report.unchanged) == (0, 3)
    with filled.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM sources")).scalar_one() == 1


def test_import_is_all_or_nothing(filled: Store, op: Operations) -> None:
    changed = dataclasses.replace(ROWS[0], windows=((10, 21),))
    fresh = dataclasses.replace(ROWS[0], qid="99")
    with pytest.raises(InputError, match=r"already holds other content for qid 10 \(windows\)"):
        filled.import_rows([fresh, changed], dataset="qvh", op_id=op())
    with pytest.raises(NotFound):
        filled.find("qvh", 99)
    assert filled.import_rows([changed], dataset="other", op_id=op()).added == 1


def test_import_refuses_a_qid_given_twice(store: Store, op: Operations) -> None:
    with pytest.raises(InputError, match="qid 10 comes twice"):
        store.import_rows([ROWS[0], ROWS[0]], dataset="qvh", op_id=op())


def test_versions_in_rows_become_proposals_and_corrections_once(filled: Store, op: Operations) -> None:
    versions = (
        AnnotatorVersion(annotator="tempo", source="model", windows=((10, 19),), scores=(0.5,)),
        AnnotatorVersion(annotator="ada", windows=((11, 20),)),
        AnnotatorVersion(annotator="bo", windows=()),
    )
    row = Row(qid="10", query="A dog runs", vid="a_b-C_60.0_210.0", annotations=versions)
    first = filled.import_rows([row], dataset="qvh", op_id=op())
    again = filled.import_rows([row], dataset="qvh", op_id=op())
    assert (first.proposals, first.corrections, again.proposals, again.corrections) == (1, 2, 0, 0)
    assert [version.annotator for version in filled.versions(1)] == ["ada", "bo"]
    assert filled.proposals(1)[0].prediction.moments == (
        ProposedMoment(start_ms=10_000, end_ms=19_000, confidence=0.5),
    )


def test_a_correction_keeps_everything_that_was_said(filled: Store, op: Operations) -> None:
    answer = Edit(
        verdict="moments",
        moments=(
            EditedMoment(start_ms=0, end_ms=1, start_source="original", end_source="model"),
            EditedMoment(
                start_ms=1,
                end_ms=150_900,
                start_source="snap",
                end_source="hand",
                start_uncertainty_ms=0,
                end_uncertainty_ms=700,
            ),
        ),
        categories=("missed-moment", "boundary-off"),
        edited_text="Ein Hund läuft\n🐕",
        note="'; DROP TABLE corrections; --",
        flagged=True,
        arm="blind",
        active_ms=5_400,
        key_presses=6,
    )
    correction = filled.submit(1, answer, annotator="ada", parent_id=None, op_id=op())
    assert correction.edit == answer
    assert correction == filled.correction(correction.id) == filled.latest(1, "ada")
    assert (correction.revision, correction.parent_id, correction.annotator) == (1, None, "ada")
    assert Edit.from_dict(answer.to_dict()) == answer
    assert filled.query(1).row.query == "A dog runs"


def test_frames_are_kept_and_do_not_make_a_retry_another_request(filled: Store) -> None:
    bare = EditedMoment(start_ms=1000, end_ms=2000)
    framed = dataclasses.replace(bare, start_frame=25, end_frame=50)
    corrections = [
        filled.submit(
            1, Edit(verdict="moments", moments=(moment,)), annotator="ada", parent_id=None, op_id="mine"
        )
        for moment in (framed, bare)
    ]
    assert [(m.start_frame, m.end_frame) for correction in corrections for m in correction.edit.moments] == [
        (25, 50),
        (25, 50),
    ]
    assert corrections[0].edit.to_dict()["moments"][0]["end_frame"] == 50
    with pytest.raises(InputError, match="start_frame is -1; give whole frames"):
        dataclasses.replace(bare, start_frame=-1)


def test_a_retry_is_harmless_and_answers_the_same(filled: Store) -> None:
    def send() -> object:
        return filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id="mine")

    assert send() == send()
    assert len(filled.corrections(1)) == 1
    with pytest.raises(OperationReused, match="'mine' was done before with another request"):
        filled.submit(1, edit((1, 3)), annotator="ada", parent_id=None, op_id="mine")
    with pytest.raises(OperationReused):
        filled.submit(1, edit((1, 2)), annotator="bo", parent_id=None, op_id="mine")


def test_a_stale_parent_is_a_conflict_with_both_versions(filled: Store, op: Operations) -> None:
    first = filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
    second = filled.submit(1, edit((1, 3)), annotator="ada", parent_id=first.id, op_id=op())
    answer = edit((1, 4))
    with pytest.raises(Conflict, match="ada's version of query 1 has moved on") as caught:
        filled.submit(1, answer, annotator="ada", parent_id=first.id, op_id=op())
    assert (caught.value.yours, caught.value.theirs) == (answer, second)
    assert filled.corrections(1) == [first, second]
    filled.submit(1, answer, annotator="bo", parent_id=None, op_id=op())  # others' versions are no parents


def test_simultaneous_writers_from_one_parent_leave_one_winner(filled: Store) -> None:
    def send(number: int) -> object:
        try:
            return filled.submit(
                1, edit((1, 2 + number)), annotator="ada", parent_id=None, op_id=f"w{number}"
            )
        except Conflict as conflict:
            return conflict

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(send, range(8)))
    winners = [result for result in results if not isinstance(result, Conflict)]
    assert winners == filled.corrections(1)
    assert len(winners) == 1
    assert all(result.theirs == winners[0] for result in results if isinstance(result, Conflict))


def test_simultaneous_retries_do_the_work_once(filled: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        sent = [
            pool.submit(filled.submit, 1, edit((1, 2)), annotator="ada", parent_id=None, op_id="same")
            for _ in range(8)
        ]
        results = [future.result() for future in sent]
    assert results == filled.corrections(1) * 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: edit((5, 5)), "must start at 0 or later and end after"),
        (lambda: edit((-1, 5)), "must start at 0 or later"),
        (lambda: edit((1.5, 5)), "start_ms is 1.5; it must be whole milliseconds"),  # type: ignore[arg-type]
        (lambda: edit((0, 10), (9, 20)), "overlap"),
        (lambda: edit((10, 20), (0, 5)), "out of order"),
        (lambda: Edit(verdict="moments"), "came with 0 moments"),
        (lambda: edit((0, 1), verdict="no-moment"), "came with 1 moments"),
        (lambda: Edit(verdict="cannot-judge", reason=" "), "came without a reason"),
        (lambda: edit((0, 1), categories=("wrong",)), "category is 'wrong'"),
        (lambda: edit((0, 1), note="a\0b"), "NUL"),
        (lambda: edit((0, 1), note="x" * 10_001), "10001 characters"),
        (lambda: EditedMoment(start_ms=0, end_ms=1, start_source="guess"), "start_source is 'guess'"),  # type: ignore[arg-type]
        (lambda: Edit.from_dict({"verdict": "moments", "colour": 1}), "An edit has these fields"),
        (lambda: Prediction(model_id="m", relevance=1.5), "between 0 and 1"),
    ],
)
def test_bad_edits_are_refused_in_words(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        make()


def test_writes_check_what_they_refer_to(filled: Store, op: Operations) -> None:
    with pytest.raises(NotFound, match="no query 77"):
        filled.submit(77, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
    with pytest.raises(InputError, match=r"ends at 151\.001 s, but the video at 150 s"):
        filled.submit(1, edit((1, 151_001)), annotator="ada", parent_id=None, op_id=op())
    with pytest.raises(InputError, match="no proposal 5 of query 1"):
        filled.submit(1, edit((1, 2), proposal_id=5), annotator="ada", parent_id=None, op_id=op())
    with pytest.raises(InputError, match="operation id has 1 to"):
        filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id="")
    with pytest.raises(InputError, match="name of who does it"):
        filled.submit(1, edit((1, 2)), annotator="", parent_id=None, op_id=op())


def test_drafts_are_kept_but_do_not_count(filled: Store, op: Operations) -> None:
    draft = filled.submit(1, edit((1, 2), submitted=False), annotator="ada", parent_id=None, op_id=op())
    empty = Edit(verdict="moments", submitted=False)
    filled.submit(1, empty, annotator="ada", parent_id=draft.id, op_id=op())
    assert [correction.edit.submitted for correction in filled.corrections(1)] == [False, False]
    assert filled.versions(1) == []
    assert filled.resolved(1).source == "original"


def test_the_answer_is_the_verdict_else_the_newest_correction_else_the_original(
    filled: Store, op: Operations
) -> None:
    assert filled.resolved(2).verdict == "no-moment"
    ada = filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
    bo = filled.submit(1, edit(), annotator="bo", parent_id=None, op_id=op())
    unsure = Edit(verdict="cannot-judge", reason="too dark")
    filled.submit(1, unsure, annotator="cy", parent_id=None, op_id=op())
    assert filled.resolved(1).correction == bo
    assert filled.resolved(1, "adjudicated").source == "original"
    verdict = filled.adjudicate(1, correction_id=ada.id, adjudicator="dee", parent_id=None, op_id=op())
    assert filled.resolved(1).correction == filled.resolved(1, "adjudicated").correction == ada
    assert filled.verdict(1) == verdict


def test_verdicts_have_parents_too(filled: Store, op: Operations) -> None:
    ada = filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
    first = filled.adjudicate(1, correction_id=ada.id, adjudicator="dee", parent_id=None, op_id=op())
    with pytest.raises(Conflict, match="The verdict on query 1 has moved on") as caught:
        filled.adjudicate(1, correction_id=ada.id, adjudicator="eve", parent_id=None, op_id=op())
    assert (caught.value.yours, caught.value.theirs) == (ada.id, first)
    second = filled.adjudicate(1, correction_id=ada.id, adjudicator="eve", parent_id=first.id, op_id=op())
    assert (second.revision, filled.verdict(1)) == (2, second)
    with pytest.raises(InputError, match="no correction 1 of query 2"):
        filled.adjudicate(2, correction_id=ada.id, adjudicator="eve", parent_id=None, op_id=op())


def test_revert_makes_a_new_version_equal_to_the_old_one(filled: Store, op: Operations) -> None:
    first = filled.submit(1, edit((1, 2), note="n"), annotator="ada", parent_id=None, op_id=op())
    second = filled.submit(1, edit(), annotator="ada", parent_id=first.id, op_id=op())
    back = filled.revert(1, to_id=first.id, annotator="ada", parent_id=second.id, op_id=op())
    assert (back.edit, back.restores_id, back.revision) == (first.edit, first.id, 3)
    original = filled.revert(1, to_id=None, annotator="ada", parent_id=back.id, op_id=op())
    assert [(moment.start_ms, moment.end_ms) for moment in original.edit.moments] == [
        (10_000, 20_000),
        (22_000, 40_000),
    ]
    assert {moment.start_source for moment in original.edit.moments} == {"original"}
    refusal = filled.revert(2, to_id=None, annotator="ada", parent_id=None, op_id=op())
    assert refusal.edit.verdict == "no-moment"
    assert len(filled.corrections(1)) == 4


def test_proposals_are_kept_whole(filled: Store, op: Operations) -> None:
    prediction = Prediction(
        model_id="tempo-tiny",
        adapter_id="a1",
        moments=(
            ProposedMoment(start_ms=0, end_ms=500, confidence=0.25),
            ProposedMoment(start_ms=600, end_ms=700),
        ),
        relevance=0.75,
        allocation={"tokens": [4, 16], "allocator": "saa"},
        timings={"encoding": 0.1},
        answer={"text": "From 0000.0 to 0000.5."},
    )
    proposal = filled.propose(1, prediction, op_id=op())
    assert proposal.prediction == prediction
    assert filled.proposals(1) == [proposal]
    assert Prediction(model_id="m").refused is True
    ada = filled.submit(
        1, edit((0, 500), proposal_id=proposal.id), annotator="ada", parent_id=None, op_id=op()
    )
    assert ada.edit.proposal_id == proposal.id


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_raw_sql_cannot_change_or_remove_what_was_said(filled: Store, op: Operations, table: str) -> None:
    filled.propose(1, Prediction(model_id="m"), op_id=op())
    ada = filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
    filled.adjudicate(1, correction_id=ada.id, adjudicator="dee", parent_id=None, op_id=op())
    filled.record_snapshot(sha256="s", path="p", counts={}, actor="dee")
    bo = filled.submit(2, edit(), annotator="bo", parent_id=None, op_id=op())
    filled.adjudicate(2, correction_id=bo.id, adjudicator="dee", parent_id=None, op_id="bulk-1:2")
    filled.withdraw_verdicts("bulk-1", op_id=op(), actor="dee")
    plant = {
        "query_id": 1,
        "annotator": "bo",
        "project_id": filled.add_project(ProjectPlan(name="p"), op_id=op(), actor="dee"),
        "correction_id": ada.id,
        "model_id": "m",
        "moments": [[1, 2]],
        "created_at_ms": 1,
    }
    with filled.database.engine.begin() as connection:
        connection.execute(insert(tables.plants), plant)
    filled.record_event("signed in", actor="ada", person="ada")
    filled.erase_person("bo", "erased-1", op_id=op(), actor="dee")
    before = _dump(filled, table)
    column = {
        "operations": "actor",
        "operation_log": "sha256",
        "correction_moments": "end_ms",
        "verdict_withdrawals": "actor",
        "plants": "model_id",
        "snapshots": "path",
        "audit_log": "action",
        "audit_names": "name",
        "redactions": "sha256",
    }.get(table, "id")
    statements = [f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"]
    if filled.database.is_sqlite:
        statements.append(f"REPLACE INTO {table} SELECT * FROM {table}")
    else:
        statements.append(f"TRUNCATE {table} CASCADE")
    for statement in statements:
        with pytest.raises(DBAPIError, match="is append-only"), filled.database.engine.begin() as connection:
            connection.execute(text(statement))
    assert before
    assert _dump(filled, table) == before


@pytest.mark.parametrize(
    "change", ["content = NULL", "filled_by = NULL, split = 'test'", "filled_by = 'x', text = 'other'"]
)
def test_raw_sql_cannot_change_a_query_but_by_filling_it(filled: Store, change: str) -> None:
    before = _dump(filled, "queries")
    with pytest.raises(DBAPIError, match="is append-only"), filled.database.engine.begin() as connection:
        connection.execute(text(f"UPDATE queries SET {change}"))
    assert _dump(filled, "queries") == before


def test_filling_keeps_what_was_there_in_the_operation(store: Store, op: Operations) -> None:
    bare = Row(qid="1", query="q", vid="v", duration_s=9, raw="{}")
    store.import_rows([bare], dataset="d", op_id=op())
    labelled = dataclasses.replace(
        bare, windows=((1.0, 2.0),), verdict="moments", split="val", raw='{"x": 1}'
    )
    report = store.import_rows([labelled], dataset="d", op_id="fill", update=True)
    assert (report.added, report.filled) == (0, {"windows": 1, "verdict": 1, "split": 1})
    assert store.import_rows([labelled], dataset="d", op_id="fill", update=True) == report
    query = store.find("d", "1")
    assert (query.row, query.row.raw) == (labelled, '{"x": 1}')
    with store.database.read() as connection:
        result = connection.execute(text("SELECT result FROM operations WHERE op_id = 'fill'")).scalar_one()
    result = json.loads(result) if isinstance(result, str) else result
    assert result["before"] == [[query.id, {"qid": "1", "query": "q", "vid": "v", "duration_s": 9}, "{}"]]


def test_raw_sql_cannot_add_a_moment_to_an_old_correction(filled: Store, op: Operations) -> None:
    filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
    late = "INSERT INTO correction_moments VALUES (1, 1, 5, 6, 'hand', 'hand', NULL, NULL, NULL, NULL)"
    with pytest.raises(DBAPIError, match="append-only"), filled.database.engine.begin() as connection:
        connection.execute(text(late))


def test_next_query_lends_different_rows_and_resumes(filled: Store, op: Operations, timer: Timer) -> None:
    ada, bo = (filled.next_query(name, op_id=op()) for name in ("ada", "bo"))
    assert ada is not None
    assert bo is not None
    assert ada.query_id != bo.query_id
    resumed = filled.next_query("ada", op_id=op())
    assert resumed is not None
    assert resumed.query_id == ada.query_id
    prefetched = filled.next_query("ada", op_id=op(), excluding=[ada.query_id])
    assert prefetched is not None
    assert {ada.query_id, bo.query_id, prefetched.query_id} == {1, 2, 3}
    assert filled.next_query("cy", op_id=op()) is None
    timer.now_s += LEASE_S
    assert filled.next_query("cy", op_id=op()) is not None


@pytest.mark.parametrize("change_ms", [10 * YEAR_MS, -10 * YEAR_MS])
def test_a_clock_that_is_set_changes_no_loan(
    filled: Store, op: Operations, clock: Clock, timer: Timer, change_ms: int
) -> None:
    rows = {name: filled.next_query(name, op_id=op()) for name in ("ada", "bo", "cy")}
    clock.now_ms += change_ms
    assert filled.next_query("dee", op_id=op()) is None
    assert {name: filled.next_query(name, op_id=op()) for name in rows} == rows
    timer.now_s += LEASE_S
    assert filled.next_query("dee", op_id=op()) is not None


def test_each_lender_measures_a_loan_from_when_it_saw_it(
    url: str, filled: Store, op: Operations, timer: Timer
) -> None:
    timer.now_s = 1e6  # another machine's timer begins anywhere
    lent = {name: filled.next_query(name, op_id=op()) for name in ("ada", "bo", "cy")}
    own_timer = Timer()
    with Store(url, timer=own_timer) as other:
        assert other.next_query("dee", op_id=op()) is None
        own_timer.now_s = LEASE_S - 1
        assert other.next_query("dee", op_id=op()) is None
        filled.next_query("ada", op_id=op())  # a loan that is renewed begins anew for everybody
        own_timer.now_s = LEASE_S
        after = [other.next_query(name, op_id=op()) for name in ("dee", "eve", "fay")]
    assert {lending.query_id for lending in after if lending} == {
        lent[name].query_id  # type: ignore[union-attr]
        for name in ("bo", "cy")
    }


@pytest.mark.parametrize("change_ms", [10 * YEAR_MS, -10 * YEAR_MS])
def test_the_newest_answer_is_the_one_written_last_whatever_the_clock_said(
    filled: Store, op: Operations, clock: Clock, tmp_path: Path, change_ms: int
) -> None:
    filled.submit(1, edit((1000, 2000)), annotator="bo", parent_id=None, op_id=op())
    clock.now_ms += change_ms
    newest = filled.submit(1, edit(), annotator="ada", parent_id=None, op_id=op())
    assert filled.resolved(1).correction == newest
    snapshot = take_snapshot(filled, tmp_path / "snapshots", actor="test")
    row = next(snapshot.rows())
    answer = row.resolved()
    assert answer.correction is not None
    assert (answer.correction.op_id, answer.moments) == (newest.op_id, [])
    assert row.resolved("adjudicated").source == "original"
    # The queue looks at the same answer, which has no hole.
    assert "one-clip-hole" not in {suspicion.reason for suspicion in filled.suspicions(1)}


def test_next_query_ends_when_all_is_done(filled: Store, op: Operations) -> None:
    for _ in range(3):
        lent = filled.next_query("ada", op_id=op())
        assert lent is not None
        filled.submit(lent.query_id, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
    assert filled.next_query("ada", op_id=op()) is None
    assert filled.next_query("bo", op_id=op()) is None
    assert filled.next_query("ada", op_id=op(), answers_per_row=2) is None
    assert filled.next_query("bo", op_id=op(), answers_per_row=2) is not None


def test_simultaneous_annotators_never_get_one_row_twice(store: Store, op: Operations) -> None:
    rows = [dataclasses.replace(ROWS[1], qid=str(number), vid=f"v{number}") for number in range(16)]
    store.import_rows(rows, dataset="qvh", op_id=op())
    with ThreadPoolExecutor(8) as pool:
        lent = list(pool.map(lambda number: store.next_query(f"a{number}", op_id=f"n{number}"), range(16)))
    assert sorted(lending.query_id for lending in lent if lending) == list(range(1, 17))


def test_a_released_row_goes_to_the_next(filled: Store, op: Operations) -> None:
    lent = filled.next_query("ada", op_id=op())
    assert lent is not None
    filled.release(lent.query_id, annotator="ada", op_id=op())
    other = filled.next_query("bo", op_id=op())
    assert other is not None
    assert other.query_id == lent.query_id


def test_archiving_takes_a_dataset_out_of_the_queue_and_back(filled: Store, op: Operations) -> None:
    filled.archive("qvh", op_id=op(), actor="ada")
    assert filled.queue() == []
    assert filled.datasets() == {"qvh": True}
    filled.archive("qvh", op_id=op(), actor="ada", archived=False)
    assert len(filled.queue()) == 3
    with pytest.raises(NotFound, match="no dataset 'none'"):
        filled.archive("none", op_id=op(), actor="ada")


def test_accounts(store: Store, op: Operations) -> None:
    ada = Account(name="ada", role="annotator", password_hash="h", disabled=False, created_at_ms=5)
    store.save_account(ada, op_id=op(), actor="admin")
    store.save_account(dataclasses.replace(ada, disabled=True, created_at_ms=9), op_id=op(), actor="admin")
    assert store.accounts() == [dataclasses.replace(ada, disabled=True)]
    with pytest.raises(NotFound):
        store.account("bo")
    with pytest.raises(InputError, match="role is 'king'"):
        store.save_account(dataclasses.replace(ada, role="king"), op_id=op(), actor="admin")


def _dump(store: Store, table: str) -> list[tuple[object, ...]]:
    with store.database.read() as connection:
        return sorted((tuple(line) for line in connection.execute(text(f"SELECT * FROM {table}"))), key=repr)


def test_a_submission_leaves_these_rows_in_the_file(
    sqlite_template: Path, tmp_path: Path, op: Operations, clock: Clock
) -> None:
    file = tmp_path / "cqvh.sqlite3"
    shutil.copy(sqlite_template, file)
    with Store(file, clock=clock) as store:
        store.import_rows(ROWS, dataset="qvh", op_id=op())
        lent = store.next_query("ada", op_id=op())
        assert lent is not None
        answer = edit((10_000, 20_000), (20_500, 40_000), categories=("boundary-off",), arm="blind")
        store.submit(1, answer, annotator="ada", parent_id=None, op_id=op())
    with contextlib.closing(sqlite3.connect(file)) as connection:

        def rows(statement: str) -> list[tuple[object, ...]]:
            return connection.execute(statement).fetchall()

        columns = (
            "id, op_id, query_id, annotator, revision, parent_id, submitted, verdict, reason, categories"
        )
        assert rows(f"SELECT {columns}, arm, moment_count, created_at_ms FROM corrections") == [
            (1, "op-3", 1, "ada", 1, None, 1, "moments", None, '["boundary-off"]', "blind", 2, clock.now_ms)
        ]
        assert rows("SELECT correction_id, position, start_ms, end_ms FROM correction_moments") == [
            (1, 0, 10_000, 20_000),
            (1, 1, 20_500, 40_000),
        ]
        assert rows("SELECT op_id, kind, result, actor FROM operations ORDER BY op_id")[2] == (
            "op-3",
            "submit",
            1,
            "ada",
        )
        assert rows("SELECT * FROM queue WHERE query_id = 1") == [
            (1, "qvh", "val", pytest.approx(0.85), 1, None, 0, None, 0)
        ]
        assert rows("SELECT * FROM suspicions WHERE query_id = 1 ORDER BY reason") == [
            (1, "duplicate-query", 1.0),
            (1, "one-clip-hole", 1.0),
        ]
        assert rows("SELECT query_id, annotator, arm, loan FROM assignments") == [(1, "ada", lent.arm, None)]
