"""What the hot path reads in few statements is what the plain questions answer one by one."""

import random

from sqlalchemy import func, select

from annotations import queue, tables
from annotations.projects import ProjectPlan
from annotations.records import Video
from annotations.store import Store
from tests.annotations.conftest import Operations, edit


def counts_row_by_row(store: Store, annotator: str, answers_per_row: int) -> tuple[int, int]:
    """The plain form of `queue.annotator_counts`: each row of the queue is asked."""
    table, is_submitted = tables.queue, queue.is_submitted_by(annotator)
    is_open = ~table.c.adjudicated & (table.c.reviews < answers_per_row) & ~queue.is_in_project()
    statement = select(
        func.count().filter(is_submitted), func.count().filter(~is_submitted, is_open)
    ).select_from(table)
    with store.database.read() as connection:
        submitted, remaining = connection.execute(statement).one()
    return submitted, remaining


def test_counts_of_an_annotator_are_those_of_every_row(filled: Store, op: Operations) -> None:
    rng = random.Random(5)
    people, parents = ["ada", "bob", "cyd"], dict[tuple[int, str], int]()
    filled.add_project(ProjectPlan(name="p", qids=("12",), people=("cyd",)), op_id=op(), actor="t")
    for number in range(30):
        query_id, who = rng.randrange(1, 4), rng.choice(people)
        correction = filled.submit(
            query_id,
            edit((1000, 2000 + number), submitted=rng.random() < 0.5),
            annotator=who,
            parent_id=parents.get((query_id, who)),
            op_id=op(),
        )
        parents[query_id, who] = correction.id
        if number == 20:
            filled.adjudicate(
                query_id,
                correction_id=filled.versions(query_id)[0].id,
                adjudicator="eve",
                parent_id=None,
                op_id=op(),
            )
        for answers_per_row in (1, 2, 3):
            for name in people:
                with filled.database.read() as connection:
                    counts = queue.annotator_counts(connection, name, answers_per_row=answers_per_row)
                assert counts == counts_row_by_row(filled, name, answers_per_row)


def test_a_row_of_an_annotator_is_what_each_question_answers(filled: Store, op: Operations) -> None:
    first = filled.submit(1, edit((0, 1000), submitted=False), annotator="ada", parent_id=None, op_id=op())
    filled.submit(1, edit((0, 1000), (2000, 3000)), annotator="bob", parent_id=None, op_id=op())
    second = filled.submit(1, edit(), annotator="ada", parent_id=first.id, op_id=op())
    video = Video(
        vid="a_b-C_60.0_210.0", sha256="0" * 64, path="/clips/a.mp4", size_bytes=9, modified_ns=2**40
    )
    filled.save_videos([video], op_id=op(), actor="t")
    before = filled.annotator_row(1, "ada")
    assert (before.arm, filled.annotator_row(3, "bob").video) == (None, filled.video("a_b-C_60.0_210.0"))
    arm = filled.arm(1, "ada")
    row = filled.annotator_row(1, "ada")
    assert (row.query, row.arm, row.video, row.plant) == (filled.query(1), arm, video, filled.plant(1, "ada"))
    assert [(head.id, head.op_id, head.submitted) for head in row.heads] == [
        (first.id, first.op_id, False),
        (second.id, second.op_id, True),
    ]
    assert filled.annotator_row(2, "ada").video is None
    assert filled.latest(1, "ada") == second
    assert [len(correction.edit.moments) for correction in filled.corrections(1)] == [1, 2, 0]


def test_reads_that_share_a_connection_see_one_state(filled: Store, op: Operations) -> None:
    with filled.shared_read():
        assert filled.num_answers() == 0
        with Store(filled.database.url.render_as_string(hide_password=False)) as other:
            other.submit(1, edit((0, 1000)), annotator="ada", parent_id=None, op_id=op())
            assert other.num_answers() == 1
        assert filled.num_answers() == 0
    assert filled.num_answers() == 1
