"""Stores to test with: each test gets an empty one, on SQLite and on PostgreSQL."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from annotations.records import Edit, EditedMoment
from annotations.rows import Row
from annotations.store import Store
from tests.annotations import postgresql


class Clock:
    """A clock that tests set: each reading is one millisecond later."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        self.now_ms += 1
        return self.now_ms


class Timer:
    """Monotonic seconds that tests let pass."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Operations:
    """Operation ids 1, 2, ... within one test."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self) -> str:
        return f"op-{next(self._numbers)}"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file: copying it is faster than migrating."""
    file = tmp_path_factory.mktemp("template") / "empty.sqlite3"
    Store(file).close()
    return file


@pytest.fixture(scope="session")
def postgresql_socket() -> Iterator[str]:
    """The socket folder of a server that holds the migrated, empty database `template_cqvh`."""
    with postgresql.server() as server:
        socket = str(server.folder)
        execute(socket, "CREATE DATABASE template_cqvh")
        Store(postgresql_url(socket, "template_cqvh")).close()
        yield socket


@pytest.fixture(scope="session")
def postgresql_admin(postgresql_socket: str) -> Iterator[Connection]:
    """A connection that makes and drops databases of that server."""
    engine = create_engine(postgresql_url(postgresql_socket, "postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def new_postgresql(postgresql_socket: str, postgresql_admin: Connection) -> Iterator[Callable[[], str]]:
    """Makes URLs of fresh, migrated databases."""
    names: list[str] = []

    def make() -> str:
        name = f"test_{len(names)}"
        create_database(postgresql_admin, name, template="template_cqvh")
        names.append(name)
        return postgresql_url(postgresql_socket, name)

    yield make
    for name in names:
        drop_database(postgresql_admin, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, migrated database of each kind."""
    if request.param == "postgresql":
        return request.getfixturevalue("new_postgresql")()
    template = request.getfixturevalue("sqlite_template")
    return f"sqlite:///{shutil.copy(template, tmp_path / 'cqvh.sqlite3')}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def op() -> Operations:
    return Operations()


@pytest.fixture
def store(url: str, clock: Clock, timer: Timer) -> Iterator[Store]:
    """An empty store."""
    with Store(url, clock=clock, timer=timer) as opened:
        yield opened


@pytest.fixture
def filled(store: Store, op: Operations) -> Store:
    """A store with three rows, the second a refusal; their ids are 1, 2, 3 in both databases."""
    store.import_rows(ROWS, dataset="qvh", op_id=op())
    return store


# fmt: off
ROWS = [
    Row(
        qid="10",
        qid_is_int=True,
        query="A dog runs",
        vid="a_b-C_60.0_210.0",
        duration_s=150,
        split="val",
        windows=((10, 20), (22, 40)),
        relevant_clip_ids=(5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19),
        saliency_scores=((4, 4, 3),) * 14,
        raw='{"qid": 10, "query": "A dog runs", "odd":  "spacing"}',
    ),
    Row(
        qid="11", qid_is_int=True, query="A cat sleeps", vid="x_0.0_150.0", duration_s=150, split="val",
        windows=(),
    ),
    Row(
        qid="12", qid_is_int=True, query="a  DOG runs", vid="a_b-C_60.0_210.0", duration_s=150.0,
        split="train", windows=((0, 150),),
    ),
]
# fmt: on


def edit(*windows_ms: tuple[int, int], **changes: object) -> Edit:
    """A submitted edit of these moments; without moments a refusal."""
    moments = tuple(EditedMoment(start_ms=start, end_ms=end) for start, end in windows_ms)
    verdict = "moments" if moments else "no-moment"
    values = {"verdict": verdict, "reason": None if moments else "nothing there"}
    return Edit(moments=moments, **{**values, **changes})  # type: ignore[arg-type]


def postgresql_url(socket: str, database: str) -> str:
    return f"postgresql+psycopg://{postgresql.USER}@/{database}?host={socket}"


def execute(socket: str, statement: str) -> None:
    engine = create_engine(postgresql_url(socket, "postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def create_database(admin: Connection, name: str, *, template: str) -> None:
    """A copy of the database `template`, file by file: through the log, as from version 15 on, takes twice as long."""
    strategy = " STRATEGY file_copy" if (admin.dialect.server_version_info or ()) >= (15,) else ""
    admin.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}{strategy}"))


def drop_database(admin: Connection, name: str) -> None:
    admin.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
