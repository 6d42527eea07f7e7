"""What happens to the store when processes are killed, and when many write at once."""

import random
import shutil
import time
from multiprocessing.context import ForkServerContext as ForkServer
from pathlib import Path

import pytest
from sqlalchemy import text

from annotations import checks
from annotations.rows import Row
from annotations.store import Store
from tests.annotations import writer
from tests.forkserver import processes_with

QUERIES = 40
KILLS = 90
TOGETHER = 3
SUBMISSIONS = 150
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def processes() -> ForkServer:
    """Makes processes that start in milliseconds, everything imported."""
    return processes_with("tests.annotations.writer")


@pytest.fixture
def database(sqlite_template: Path, tmp_path: Path) -> Path:
    """A SQLite store of QUERIES rows."""
    file = Path(shutil.copy(sqlite_template, tmp_path / "cqvh.sqlite3"))
    rows = [
        Row(qid=str(number), query=f"q{number}", vid=f"v{number}", duration_s=150, windows=((0, 2),))
        for number in range(QUERIES)
    ]
    with Store(file) as store:
        store.import_rows(rows, dataset="d", op_id="import")
    return file


def test_every_acknowledged_correction_survives_sigkill(
    processes: ForkServer, database: Path, tmp_path: Path
) -> None:
    """90 writers, three at a time, each killed at a random moment: every fourth wherever it is by then
    (starting, opening), the others a little after their second acknowledged correction."""
    seeded = random.Random(20_260_117)
    notes = [tmp_path / f"w{number}" for number in range(KILLS)]
    for first in range(0, KILLS, TOGETHER):
        together = notes[first : first + TOGETHER]
        writers = [
            processes.Process(
                target=writer.write_until_killed,
                args=(str(database), str(note), note.name, QUERIES),
                daemon=True,
            )
            for note in together
        ]
        for process in writers:
            process.start()
        for note, process in zip(together, writers, strict=True):
            waits = seeded.random() < 0.75
            while waits and not (note.exists() and note.read_bytes().count(b"\n") > 1):
                time.sleep(0.002)
            time.sleep(seeded.uniform(0, 0.03))
            process.kill()
        for process in writers:
            process.join()
            assert process.exitcode == -9
        assert writer.file_is_sound(database)
    sent = [op_id for note in notes if note.exists() for op_id in note.read_text().split()]
    with Store(database) as store:
        assert checks.problems(store) == []
        corrections = [
            correction for query_id in range(1, QUERIES + 1) for correction in store.corrections(query_id)
        ]
    assert len(sent) > KILLS  # the writers did get to write
    assert set(sent) <= {correction.op_id for correction in corrections}
    assert all(correction.edit.note == correction.op_id for correction in corrections)
    assert all(correction.edit.moments for correction in corrections)


def test_eight_writers_lose_nothing_and_see_no_lock(
    processes: ForkServer, database: Path, tmp_path: Path
) -> None:
    """8 processes × 150 corrections; two of them write as one annotator, so that conflicts happen."""
    names = [f"w{number}" for number in range(8)]
    annotators = {"w0": "both", "w1": "both"}
    have_read = processes.Barrier(len(names))
    writers = [
        processes.Process(
            target=writer.write_many,
            args=(
                str(database),
                str(tmp_path / name),
                name,
                annotators.get(name, name),
                5,
                SUBMISSIONS,
                have_read,
            ),
        )
        for name in names
    ]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0] * 8
    conflicts = {name: int((tmp_path / name).read_text()) for name in names}
    assert conflicts["w0"] + conflicts["w1"] > 0
    assert all(conflicts[name] == 0 for name in names[2:])
    with Store(database) as store:
        assert checks.problems(store) == []
        with store.database.read() as connection:
            op_ids = connection.execute(text("SELECT op_id FROM corrections")).scalars().all()
    assert sorted(op_ids) == sorted(f"{name}-{number}" for name in names for number in range(SUBMISSIONS))
