"""After a power cut at any moment the store opens, is whole, and holds everything that was acknowledged.

`TEMPO_POWER_CUTS=400` tries that many cuts; without it 24. What a disk may hold then: tests/power_cuts.py.
"""

import os
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from annotations import checks, operation_log, tables
from annotations.errors import StoreError
from annotations.snapshot import open_snapshot
from annotations.store import Store
from tempo_core.errors import InputError
from tests import power_cuts
from tests.annotations import old_stores, power_worker
from tests.power_cuts import Recording, State

CUTS = int(os.environ.get("TEMPO_POWER_CUTS", "24"))
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    """Of a store's life, and of a life that ends with a restored backup."""
    folder = tmp_path_factory.mktemp("power")
    library = power_cuts.recorder(folder)
    root, log = folder / "disk", folder / "log"
    power_cuts.record(library, power_worker.make, root, log)
    power_cuts.record(library, power_worker.go_on, root, log, "second", "60")
    power_cuts.record(library, power_worker.go_on, root, log, "third", "20")
    power_cuts.record(library, power_worker.copy_out, root, log)
    life = Recording(log, root)
    power_cuts.record(library, power_worker.restore, root, log)
    return {"life": life, "restored": Recording(log, root)}


def chosen(recording: Recording, count: int, seeded: random.Random, *, after: int = 0) -> list[int]:
    """Places to cut at, all after a number of changes."""
    places = [place for place in recording.places() if place > after]
    # The end, four times: each kind of damage once.
    return sorted([*seeded.sample(places, min(count, len(places))), *[places[-1]] * len(power_cuts.DAMAGES)])


def promise(recording: Recording, beginning: str) -> int:
    """The number of changes when a promise was given."""
    notes = (change.content.startswith(beginning.encode()) for change in recording.changes)
    return list(notes).index(True)


def problems_of(state: State, folder: Path, seeded: random.Random) -> list[str]:
    """What is wrong with a disk: one sentence each; empty when every promise is held."""
    state.write(folder)
    for index in folder.rglob("*-shm"):  # SQLite's map of the log: memory, of which a cut leaves anything
        index.write_bytes(seeded.randbytes(32768))
    home = folder / power_worker.HOME
    saves = {line.split()[1] for line in state.promised if line.startswith("save ")}
    if not (home / "cqvh.sqlite3").is_file():
        return ["The store is gone."] if saves else []
    try:
        with Store(home / "cqvh.sqlite3") as store:
            sentences = checks.problems(store, snapshots=False)
            with store.database.read() as connection:
                op_ids = set(connection.execute(select(tables.operations.c.op_id)).scalars())
    except StoreError as error:
        return [str(error)]
    sentences += [f"Operation {op_id} is gone." for op_id in sorted(saves - op_ids)]
    for line in state.promised:
        what, *values = line.split()
        if what == "backup":
            sentences += backup_problems(home / "backups" / "one.sqlite3", int(values[0]), values[1])
        elif what == "snapshot" and not (folder / values[0]).is_dir():
            sentences.append("The snapshot is gone.")
    # What has its name is whole, promised or not.
    for snapshot in home.glob("snapshots/[!.]*"):
        try:
            sentences += open_snapshot(snapshot).problems()
        except InputError as error:
            sentences.append(str(error))
    return sentences


def backup_problems(path: Path, operations: int, sha256: str) -> list[str]:
    if not path.is_file():
        return [f"{path.name} is gone."]
    path.chmod(0o400)
    try:
        with Store(path) as archive, archive.database.read() as connection:
            if operation_log.head(connection) != (operations, sha256):
                return [f"{path.name} is not what was promised."]
            return []
    except StoreError as error:
        return [str(error)]


def failures(
    recording: Recording, cuts: Sequence[int], folder: Path, seeded: random.Random, *, is_honest: bool = True
) -> list[str]:
    """Each cut after which something was wrong, with the first thing."""
    problems = []
    for state in recording.states(cuts, seeded, is_honest=is_honest):
        if sentences := problems_of(state, folder, seeded):
            problems.append(f"cut {state.cut}, {state.damage}: {sentences[0]}")
    return problems


def test_what_was_acknowledged_survives_a_power_cut(recordings: dict[str, Recording], tmp_path: Path) -> None:
    seeded, life = random.Random(20_261_130), recordings["life"]
    kinds = Counter(change.kind for change in life.changes)
    assert kinds["W"] > 500
    assert kinds["S"] > 150, "each save syncs"
    assert failures(life, chosen(life, CUTS, seeded), tmp_path / "disk", seeded) == []


def test_backups_and_snapshots_survive_from_when_they_were_promised(
    recordings: dict[str, Recording], tmp_path: Path
) -> None:
    seeded, life = random.Random(1), recordings["life"]
    cuts = chosen(life, CUTS // 2, seeded, after=promise(life, "save before-4"))
    assert failures(life, cuts, tmp_path / "disk", seeded) == []


def test_a_restore_ends_with_the_old_store_or_the_backup(
    recordings: dict[str, Recording], tmp_path: Path
) -> None:
    seeded, recording = random.Random(2), recordings["restored"]
    restored = recording.changes[promise(recording, "restored ")].content.decode().strip()
    change_count = len(recordings["life"].changes)
    numbers = set()
    # Where names change, each kind of damage often: few of these places are random ones.
    renames = [place for place in recording.places("RL") if place > change_count]
    cuts = sorted([*chosen(recording, CUTS, seeded, after=change_count), *renames * 20])
    for state in recording.states(cuts, seeded):
        state.write(tmp_path / "disk")
        home = tmp_path / "disk" / power_worker.HOME
        with Store(home / "cqvh.sqlite3") as store:
            assert checks.problems(store, snapshots=False) == []
            with store.database.read() as connection:
                number = operation_log.head(connection)[0]
        numbers.add(number)
        if restored in state.promised:
            assert number == int(restored.split()[1])
            with Store(home / "cqvh.sqlite3.before-restore") as before, before.database.read() as connection:
                assert operation_log.head(connection)[0] == max(numbers)
    assert len(numbers) == 2, "the old store and the backup"


def test_a_migration_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    root, log, disk = tmp_path / "written", tmp_path / "log", tmp_path / "disk"
    power_cuts.record(power_cuts.recorder(tmp_path), power_worker.migrate, root, log)
    recording, seeded = Recording(log, root), random.Random(4)
    expected = old_stores.dump(f"sqlite:///{root / 'old.sqlite3'}")
    cuts = chosen(recording, CUTS, seeded, after=promise(recording, "old"))
    for state in recording.states(cuts, seeded):
        state.write(disk)
        with Store(disk / "old.sqlite3") as store:
            assert checks.problems(store, snapshots=False) == []
        assert old_stores.dump(f"sqlite:///{disk / 'old.sqlite3'}") == expected, f"cut {state.cut}"


def test_a_disk_that_only_says_synced_is_noticed(recordings: dict[str, Recording], tmp_path: Path) -> None:
    """The simulation finds losses where there are some."""
    seeded, life = random.Random(3), recordings["life"]
    cuts = chosen(life, 12, seeded, after=promise(life, "save second-9"))
    assert failures(life, cuts, tmp_path / "disk", seeded, is_honest=False)
