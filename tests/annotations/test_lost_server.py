"""PostgreSQL goes away in the middle of saves and comes back: nothing acknowledged is lost, nothing is there twice."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import select, text

from annotations import checks, tables
from annotations.errors import DatabaseAway, StoreError
from annotations.records import Edit
from annotations.store import Store
from tests.annotations import postgresql
from tests.annotations.conftest import ROWS, edit, execute, postgresql_url

WRITERS = 3
OUTAGES = ("fast", "immediate", "fast", "immediate")


@pytest.fixture(scope="module")
def server() -> Iterator[postgresql.Server]:
    """A server that forgets nothing when it stops, with an empty database `lost`."""
    with postgresql.server("") as running:
        execute(str(running.folder), "CREATE DATABASE lost")
        yield running


@pytest.mark.slow
def test_saves_go_on_after_each_outage_with_nothing_lost_or_doubled(server: postgresql.Server) -> None:
    """Writers that send again under the same operation id, as the browser does, while the server stops four times."""
    store = Store(postgresql_url(str(server.folder), "lost"))
    store.import_rows(ROWS, dataset="qvh", op_id="import")
    acknowledged: list[str] = []
    sent: Counter[str] = Counter()
    lost: list[str] = []
    errors: list[BaseException] = []
    stopping = threading.Event()

    def write(name: str) -> None:
        parent_id, number = None, 0
        while not stopping.is_set():
            op_id = f"{name}-{number}"
            change: Edit = edit((0, 1000 + number), note=op_id)
            try:
                sent[op_id] += 1
                saved = store.submit(1, change, annotator=name, parent_id=parent_id, op_id=op_id)
            except DatabaseAway:
                lost.append(op_id)
                time.sleep(0.01)
                continue
            except BaseException as error:
                errors.append(error)
                return
            acknowledged.append(op_id)
            parent_id, number = saved.id, number + 1

    threads = [threading.Thread(target=write, args=(f"w{number}",)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        for mode in OUTAGES:
            before = len(acknowledged)
            while len(acknowledged) < before + 10 and not errors:
                time.sleep(0.01)
            server.stop(mode)
            before = len(lost)
            while len(lost) == before and not errors:
                time.sleep(0.01)
            server.start()
        before = len(acknowledged)
        while len(acknowledged) < before + 10 and not errors:
            time.sleep(0.01)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert max(sent.values()) > 1, "some saves met an outage"
    with store.database.read() as connection:
        stored = connection.execute(select(tables.corrections.c.op_id)).scalars().all()
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))
    assert checks.problems(store) == []
    store.close()


def test_a_question_to_a_stopped_server_is_a_sentence_and_the_next_one_is_answered(
    server: postgresql.Server,
) -> None:
    with Store(postgresql_url(str(server.folder), "lost")) as store:
        before = store.datasets()
        server.stop()
        with pytest.raises(DatabaseAway, match=r"does not answer\. Edits stay in the browser") as away:
            store.datasets()
        assert str(server.folder) not in str(away.value)
        server.start()
        assert store.datasets() == before
        server.stop()
        server.start()
        assert store.datasets() == before, "a connection of before is not used"


def test_a_stopped_server_at_the_start_is_named(server: postgresql.Server) -> None:
    server.stop()
    with pytest.raises(Exception, match="cannot be opened") as error:
        Store(postgresql_url(str(server.folder), "lost"))
    assert not isinstance(error.value, DatabaseAway)
    server.start()


def test_a_database_whose_connections_all_wait_is_told_as_away(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(url) as store:
        pool = store.database.engine.pool
        monkeypatch.setattr(pool, "_timeout", 0.01)
        with ExitStack() as waiting:
            for _ in range(pool.size() + pool._max_overflow):  # type: ignore[attr-defined]
                waiting.enter_context(store.database.engine.connect())
            with pytest.raises(DatabaseAway):
                store.datasets()
        assert store.datasets() == {}


def test_a_database_that_became_read_only_is_told_and_writes_nothing(url: str) -> None:
    with Store(url) as store:
        store.import_rows(ROWS, dataset="qvh", op_id="import")
        switch = (
            "PRAGMA query_only = {}" if store.database.is_sqlite else "SET default_transaction_read_only = {}"
        )
        with store.database.engine.connect() as connection:
            # The one connection of the pool, which the store takes next.
            connection.execute(text(switch.format("ON")))
            connection.commit()
        with pytest.raises(StoreError, match="cannot be written just now"):
            store.submit(1, edit((0, 1)), annotator="ada", parent_id=None, op_id="refused")
        with store.database.engine.connect() as connection:
            connection.execute(text(switch.format("OFF")))
            connection.commit()
        assert store.corrections(1) == []
        store.submit(1, edit((0, 1)), annotator="ada", parent_id=None, op_id="refused")
        assert checks.problems(store) == []
