"""Pages of the table under filters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from annotations.queue import BrowseFilter
from annotations.rows import Row
from annotations.store import Store
from tempo_core.errors import InputError
from tests.annotations.conftest import Operations, edit


def ids(store: Store, **filters: object) -> list[int]:
    return [row.query_id for row in store.browse(BrowseFilter(**filters)).rows]  # type: ignore[arg-type]


def test_filters_narrow_and_say_how_many(filled: Store, op: Operations) -> None:
    filled.submit(1, edit((10_000, 20_000)), annotator="ada", parent_id=None, op_id=op())
    filled.submit(1, edit((30_000, 35_000), flagged=True), annotator="bob", parent_id=None, op_id=op())
    correction = filled.submit(2, edit(), annotator="ada", parent_id=None, op_id=op())
    filled.adjudicate(2, correction_id=correction.id, adjudicator="eve", parent_id=None, op_id=op())

    whole = filled.browse()
    assert whole.total == 3
    assert [row.query_id for row in whole.rows] == [1, 2, 3]
    first = whole.rows[0]
    assert (first.text, first.vid, first.reviews) == ("A dog runs", "a_b-C_60.0_210.0", 2)
    assert first.agreement == 0.0
    assert first.flagged
    assert ids(filled, text="DOG") == [1, 3]
    assert ids(filled, text="10") == [1, 3], "the text is also looked for in names of videos"
    assert ids(filled, text="A_B-c") == [1, 3]
    assert ids(filled, text="%") == []
    assert ids(filled, split="val") == [1, 2]
    assert ids(filled, dataset="other") == []
    assert ids(filled, state="open") == [3]
    assert ids(filled, state="adjudicated") == [2]
    assert ids(filled, state="several") == ids(filled, state="flagged") == [1]
    assert ids(filled, annotator="bob") == [1]
    assert ids(filled, reason="whole-video") == [3]
    assert ids(filled, order="disagreement") == [1, 2, 3]
    second = filled.browse(limit=1, offset=1)
    assert second.total == 3
    assert [row.query_id for row in second.rows] == [2]


def test_archived_rows_do_not_show(filled: Store, op: Operations) -> None:
    filled.archive("qvh", op_id=op(), actor="ada")
    assert filled.browse().total == 0


def test_a_bad_filter_is_refused(filled: Store) -> None:
    for wrong in ({"state": "odd"}, {"order": "odd"}, {"reason": "odd"}):
        with pytest.raises(InputError):
            BrowseFilter(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        filled.browse(limit=0)


@contextmanager
def statements() -> Iterator[list[str]]:
    """The SQL that runs inside."""
    texts: list[str] = []

    def on_execute(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        texts.append(statement)

    event.listen(Engine, "before_cursor_execute", on_execute)
    try:
        yield texts
    finally:
        event.remove(Engine, "before_cursor_execute", on_execute)


def test_a_page_of_many_rows_asks_no_more_than_a_page_of_few(store: Store, op: Operations) -> None:
    """How long it takes is `python -m benchmarks store`'s to say."""

    def rows(numbers: range) -> list[Row]:
        return [
            Row(
                qid=str(n),
                query=f"Someone does thing {n}",
                vid=f"v{n % 500}_0.0_150.0",
                duration_s=150,
                windows=((0, n % 70 + 2),),
            )
            for n in numbers
        ]

    store.import_rows(rows(range(200)), dataset="many", op_id=op())
    with statements() as of_few:
        few = store.browse(limit=50, offset=150)
        assert store.browse(BrowseFilter(text="thing 19", order="suspicion"), limit=50).total == 11
    store.import_rows(rows(range(200, 2000)), dataset="many", op_id=op())
    with statements() as of_many:
        last = store.browse(limit=50, offset=1950)
        page = store.browse(BrowseFilter(text="thing 199", order="suspicion"), limit=50)
    assert (few.total, few.rows[-1].qid) == (200, "199")
    assert (last.total, last.rows[-1].qid) == (2000, "1999")
    assert page.total == 11
    assert of_few
    assert of_many == of_few
