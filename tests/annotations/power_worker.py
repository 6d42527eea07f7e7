"""Work on a store whose writes are recorded, for the power cuts: each promise is noted once it was given."""

import os
import random
import tempfile
from pathlib import Path

from annotations import backups
from annotations.rows import Row
from annotations.snapshot import take_snapshot
from annotations.store import Store
from tempo_core.files import write_whole
from tests.annotations import old_stores, writer
from tests.annotations.conftest import ROWS
from tests.power_cuts import acknowledge

HOME = "home/deep"
QUERIES = 30


def make(root: str) -> None:
    """A new store in a new folder, an import, corrections; closed as it should be."""
    with Store(Path(root) / HOME / "cqvh.sqlite3") as store:
        import_rows(store, "first")
        acknowledge(root, "save import-first")
        save(root, store, "first", 40)


def go_on(root: str, name: str, count: str) -> None:
    """Further corrections and a big import; the process ends without closing anything."""
    store = Store(Path(root) / HOME / "cqvh.sqlite3")
    save(root, store, name, int(count))
    import_rows(store, name)
    acknowledge(root, f"save import-{name}")
    save(root, store, f"{name}-then", 5)
    os._exit(0)


def copy_out(root: str) -> None:
    """A backup and a snapshot while others could write, and corrections after each."""
    home = Path(root) / HOME
    with Store(home / "cqvh.sqlite3") as store:
        save(root, store, "before", 5)
        backup = backups.back_up(store.database, home / "backups" / "one.sqlite3")
        acknowledge(root, f"backup {backup.operations} {backup.head_sha256}")
        save(root, store, "between", 5)
        snapshot = take_snapshot(store, home / "snapshots", actor="ada")
        acknowledge(root, f"snapshot {snapshot.folder.relative_to(root)}")
        save(root, store, "after", 5)


def restore(root: str) -> None:
    """The backup in the place of the store."""
    home = Path(root) / HOME
    with Store(home / "cqvh.sqlite3") as store:
        restored = backups.restore(home / "backups" / "one.sqlite3", store.database)
    acknowledge(root, f"restored {restored.operations} {restored.head_sha256}")


def migrate(root: str) -> None:
    """A store of the oldest schema, made elsewhere and copied here, is opened by today's program."""
    path = Path(root) / "old.sqlite3"
    with tempfile.TemporaryDirectory() as elsewhere:
        content = old_stores.filled_store(Path(elsewhere) / "today.sqlite3", ROWS)
        old_store = Path(elsewhere) / "old.sqlite3"
        old_stores.make_old(f"sqlite:///{old_store}", old_stores.REVISIONS[0], content)
        write_whole(path, old_store.read_bytes())
    acknowledge(root, "old")
    Store(path).close()
    acknowledge(root, "new")


def import_rows(store: Store, name: str) -> None:
    rows = [
        Row(qid=str(number), query=f"{name} {number}", vid=f"v{number}", duration_s=150, windows=((0, 2),))
        for number in range(QUERIES)
    ]
    store.import_rows(rows, dataset=name, op_id=f"import-{name}")


def save(root: str, store: Store, name: str, count: int) -> None:
    seeded = random.Random(name)
    for number in range(count):
        op_id = f"{name}-{number}"
        writer.submit(store, seeded.randrange(1, QUERIES + 1), "ada", op_id, seeded)
        acknowledge(root, f"save {op_id}")
