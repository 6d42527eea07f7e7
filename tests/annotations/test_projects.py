"""Projects: which rows they choose, whom they lend them to, how often, and how far they are."""

import dataclasses

import pytest

from annotations.errors import NotFound
from annotations.projects import DAY_MS, ProjectChange, ProjectPlan
from annotations.queue import BrowseFilter, QueueFilter
from annotations.records import Account, Video
from annotations.store import Store
from tempo_core.errors import InputError
from tests.annotations.conftest import ROWS, Clock, Operations, edit

NUM_ROWS = 6


@pytest.fixture
def planned(store: Store, op: Operations) -> Store:
    """Six rows of equal suspicion; all but the last have a clip."""
    rows = [
        dataclasses.replace(ROWS[2], qid=str(n), query=f"q{n}", vid=f"v{n}", windows=((0, 20),))
        for n in range(NUM_ROWS)
    ]
    store.import_rows(rows, dataset="qvh", op_id=op())
    videos = [
        Video(vid=f"v{n}", sha256=str(n), path=f"/v{n}", size_bytes=1, modified_ns=1)
        for n in range(NUM_ROWS - 1)
    ]
    store.save_videos(videos, op_id=op(), actor="test")
    return store


def make(
    store: Store, op: Operations, name: str = "week", people: tuple[str, ...] = ("ada", "bo"), **plan: object
) -> int:
    values = ProjectPlan(name=name, people=people, **plan)  # type: ignore[arg-type]
    return store.add_project(values, op_id=op(), actor="lead")


def lend(store: Store, op: Operations, who: str, **options: object) -> int | None:
    assignment = store.next_query(who, op_id=op(), **options)  # type: ignore[arg-type]
    return None if assignment is None else assignment.query_id


def answer(store: Store, op: Operations, who: str, query_id: int, **changes: object) -> None:
    parent = store.latest(query_id, who)
    store.submit(
        query_id,
        edit((0, 15_000), **changes),
        annotator=who,
        parent_id=None if parent is None else parent.id,
        op_id=op(),
    )


def test_a_project_lends_its_rows_to_its_people_only(planned: Store, op: Operations) -> None:
    make(planned, op, qids=("1", "2"))
    assert lend(planned, op, "ada") == 2
    answer(planned, op, "ada", 2)
    assert lend(planned, op, "ada") == 3
    answer(planned, op, "ada", 3)
    assert lend(planned, op, "ada") is None, "nothing else while the project is not closed"
    outsiders = {lend(planned, op, f"eve-{n}", answers_per_row=1) for n in range(5)}
    assert outsiders == {1, 4, 5, 6, None}


def test_a_person_works_in_one_project_at_a_time_and_goes_on_to_the_next(
    planned: Store, op: Operations
) -> None:
    make(planned, op, "first", ("ada",), qids=("1",))
    second = make(planned, op, "second", ("ada",), qids=("3",))
    assert planned.annotator_progress("ada", answers_per_row=3).project == "first"
    assert lend(planned, op, "ada") == 2
    answer(planned, op, "ada", 2)
    assert planned.annotator_progress("ada", answers_per_row=3).project == "second"
    assert lend(planned, op, "ada") == 4
    planned.change_project(second, ProjectChange(state="paused"), op_id=op(), actor="lead")
    assert lend(planned, op, "ada") is None
    planned.change_project(second, ProjectChange(state="closed"), op_id=op(), actor="lead")
    first = planned.projects()[0].id
    planned.change_project(first, ProjectChange(state="closed"), op_id=op(), actor="lead")
    assert lend(planned, op, "ada") is not None, "the general queue again"


def test_second_answers_begin_at_once(planned: Store, op: Operations) -> None:
    make(planned, op, answers_per_row=2)
    first = lend(planned, op, "ada")
    assert first is not None
    assert lend(planned, op, "bo") == first, "both may have it in hand"
    answer(planned, op, "ada", first)
    second = lend(planned, op, "ada")
    assert second != first
    assert lend(planned, op, "bo", excluding=[]) == first
    answer(planned, op, "bo", first)
    assert planned.project_progress(1).complete == 1
    # Without a project every row is answered once first.
    planned.change_project(1, ProjectChange(state="closed"), op_id=op(), actor="lead")
    answer(planned, op, "cy", 5)
    assert lend(planned, op, "dee", answers_per_row=3) not in (first, 5)


def test_a_share_of_the_rows_gets_a_second_answer(planned: Store, op: Operations) -> None:
    make(planned, op, people=("ada", "bo"), second_share=0.5)
    progress = planned.project_progress(1)
    assert (progress.rows, progress.answers_wanted) == (6, 9)
    for who in ("ada", "bo"):
        while (query_id := lend(planned, op, who)) is not None:
            answer(planned, op, who, query_id)
    # The row without a clip stays; it wants one or two.
    assert planned.project_progress(1).complete == 5
    assert sum(len(planned.versions(query_id)) == 2 for query_id in range(1, 6)) in (2, 3)


def test_rows_without_a_clip_do_not_stand_in_the_queue(planned: Store, op: Operations) -> None:
    make(planned, op, people=("ada",), order="import")
    lent = []
    while (query_id := lend(planned, op, "ada")) is not None:
        answer(planned, op, "ada", query_id)
        lent.append(query_id)
    assert lent == [1, 2, 3, 4, 5]
    assert planned.project_progress(1).without_clip == 1
    assert planned.annotator_progress("ada", answers_per_row=3).to_dict() == {
        "done": 5,
        "left": 0,
        "project": "week",
        "waiting": 1,
        "ended": None,
    }
    video = Video(vid="v5", sha256="5", path="/v5", size_bytes=1, modified_ns=1)
    planned.save_videos([video], op_id=op(), actor="test")
    assert lend(planned, op, "ada") == 6


def test_a_project_ends_by_answers_and_by_its_last_day(planned: Store, op: Operations, clock: Clock) -> None:
    counted = make(planned, op, "counted", ("ada",), end_answers=1)
    query_id = lend(planned, op, "ada")
    assert query_id is not None
    answer(planned, op, "ada", query_id)
    assert lend(planned, op, "ada") is None
    assert planned.project_progress(counted).ended == "It has the answer that it was to get."
    planned.change_project(
        counted, ProjectChange(end_answers=0, end_day="2023-11-14"), op_id=op(), actor="lead"
    )
    assert lend(planned, op, "ada") is not None, "its last day is today"
    planned.change_project(counted, ProjectChange(state="paused"), op_id=op(), actor="lead")
    planned.change_project(counted, ProjectChange(state="open"), op_id=op(), actor="lead")
    clock.now_ms += 2 * DAY_MS
    assert lend(planned, op, "ada", excluding=list(range(1, 7))) is None
    assert planned.project_progress(counted).ended == "Its last day was 2023-11-14."


def test_progress_tells_who_did_what_how_fast_and_when_it_will_be_done(
    planned: Store, op: Operations, clock: Clock
) -> None:
    make(planned, op, people=("ada", "bo"), guidelines="Ends: the first frame after.")
    answer(planned, op, "ada", 1, active_ms=30_000)
    answer(planned, op, "ada", 1, active_ms=60_000)  # a later version says what it took in all
    clock.now_ms += DAY_MS
    answer(planned, op, "bo", 2, active_ms=30_000)
    planned.change_project(1, ProjectChange(people=("ada",)), op_id=op(), actor="lead")
    progress = planned.project_progress(1)
    assert [(m.annotator, m.takes_part, m.answers, m.left, m.rows_per_hour) for m in progress.people] == [
        ("ada", True, 1, 3, 60.0),
        ("bo", False, 1, 0, 120.0),
    ]
    assert progress.rows_per_hour == 80.0
    assert progress.answers_per_day == pytest.approx(2.0, rel=0.01)
    assert (progress.answers_given, progress.complete, progress.ended) == (2, 2, None)
    assert progress.expected_day == "2023-11-17", "four rows at two a day, from 2023-11-15 on"
    assert progress.project.guidelines == "Ends: the first frame after."


def test_a_projects_blind_share_is_drawn_apart(planned: Store, op: Operations) -> None:
    make(planned, op, people=("ada",), blind_share=1.0)
    arms = set()
    while (assignment := planned.next_query("ada", op_id=op())) is not None:
        arms.add(assignment.arm)
        answer(planned, op, "ada", assignment.query_id)
    assert arms == {"blind"}
    assert planned.project_of_row(1, "ada") == planned.projects()[0]
    assert planned.project_of_row(1, "bo") is None


def test_rows_are_chosen_by_filter_ids_and_number(planned: Store, op: Operations) -> None:
    def chosen(**plan: object) -> list[int]:
        return planned.plan_rows(ProjectPlan(name="x", **plan))  # type: ignore[arg-type]

    assert chosen() == [1, 2, 3, 4, 5, 6]
    assert chosen(qids=("4", "0"), order="import") == [1, 5]
    assert chosen(most_rows=2) == [1, 2]
    assert chosen(rows=BrowseFilter(text="q3")) == [4]
    assert chosen(rows=BrowseFilter(reason="touches-border")) == [1, 2, 3, 4, 5, 6]
    with pytest.raises(InputError, match="1 of 2 qids are unknown, the first 99"):
        chosen(qids=("1", "99"))
    with pytest.raises(InputError, match="No row fits"):
        chosen(rows=BrowseFilter(reason="whole-video"))
    planned.import_rows([dataclasses.replace(ROWS[1], qid="1")], dataset="other", op_id=op())
    with pytest.raises(InputError, match="Several datasets"):
        chosen(qids=("1",))
    assert chosen(qids=("1",), rows=BrowseFilter(dataset="other")) == [7]


def test_what_makes_no_project_is_refused(planned: Store, op: Operations) -> None:
    for plan, message in (
        ({"name": " "}, "1 to 80 characters"),
        ({"name": "x", "answers_per_row": 4}, "1 to 3 answers"),
        ({"name": "x", "answers_per_row": 2, "second_share": 0.5}, "with one answer a row"),
        ({"name": "x", "end_day": "tomorrow"}, "write it as 2026-11-30"),
        ({"name": "x", "end_answers": 0}, "from 1 on"),
        ({"name": "x", "blind_share": 0.25}, "0.1, 0.2"),
    ):
        with pytest.raises(InputError, match=message):
            ProjectPlan(**plan)  # type: ignore[arg-type]
    make(planned, op)
    with pytest.raises(InputError, match="already"):
        make(planned, op)
    account = Account(name="ada", role="annotator", password_hash=None, disabled=False, created_at_ms=1)
    planned.save_account(account, op_id=op(), actor="test")
    with pytest.raises(InputError, match="no account 'zoe'; the accounts are ada"):
        make(planned, op, "other", ("zoe",))
    with pytest.raises(NotFound):
        planned.project_progress(99)
    assert [project.name for project in planned.projects()] == ["week"], "all or nothing"


def test_the_general_queue_can_be_listed_whatever_projects_there_are(planned: Store, op: Operations) -> None:
    make(planned, op)
    assert len(planned.queue(QueueFilter(dataset="qvh"))) == NUM_ROWS
