"""Backup and restore of a store in use, archives, and what `verify` says of a file that is not whole."""

import json
import random
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from annotations import backups, checks
from annotations.__main__ import main
from annotations.errors import DiskFull, StoreError
from annotations.store import Store
from tempo_core.errors import InputError
from tests.annotations.conftest import ROWS, edit


@pytest.fixture
def path(sqlite_template: Path, tmp_path: Path) -> Path:
    """A store with three rows and three corrections, closed."""
    file = Path(shutil.copy(sqlite_template, tmp_path / "cqvh.sqlite3"))
    with Store(file) as store:
        store.import_rows(ROWS, dataset="qvh", op_id="import")
        work(store, 3)
    return file


def work(store: Store, count: int) -> None:
    """That many corrections by ada of the first row."""
    for _ in range(count):
        latest = store.latest(1, "ada")
        revision = latest.revision if latest else 0
        parent_id = latest.id if latest else None
        end_ms = 1000 + revision
        store.submit(1, edit((0, end_ms)), annotator="ada", parent_id=parent_id, op_id=f"ada-{revision}")


def revisions(path: Path) -> int:
    """How many corrections a file holds, without our own reader."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM corrections").fetchone()[0]


def test_a_backup_holds_what_the_write_ahead_log_holds(path: Path, tmp_path: Path) -> None:
    with Store(path) as store:
        work(store, 20)
        plain = Path(shutil.copy(path, tmp_path / "plain.sqlite3"))
        backup = backups.back_up(store.database, tmp_path / "kept" / "backup.sqlite3")
        work(store, 5)
    assert (revisions(plain), revisions(backup.path)) == (3, 23)
    assert backup.operations == 24
    with Store(backup.path) as archive:
        assert checks.problems(archive) == []
        assert [version.revision for version in archive.corrections(1)] == list(range(1, 24))


def test_verify_tells_a_plain_copy_of_a_store_in_use_each_time(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(path) as store:
        work(store, 20)
        plain = Path(shutil.copy(path, tmp_path / "plain.sqlite3"))
        assert main(["verify", "--database", str(path)]) == 0
    for _ in range(2):
        capsys.readouterr()
        assert main(["verify", "--database", str(plain)]) == 1
        assert "what was written after its 4 operations is missing" in capsys.readouterr().out
    with Store(plain) as copy:
        work(copy, 1)
    assert main(["verify", "--database", str(plain)]) == 0, "it is a store of its own now"


def test_a_store_that_was_closed_is_one_whole_file(path: Path, tmp_path: Path) -> None:
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name]
    copy = Path(shutil.copy(path, tmp_path / "copy.sqlite3"))
    with Store(copy) as store:
        assert checks.problems(store) == []


def test_a_backup_is_its_owners_and_an_archive(path: Path, tmp_path: Path) -> None:
    with Store(path) as store:
        archive = backups.back_up(store.database, tmp_path / "backup.sqlite3").path
    assert stat.S_IMODE(archive.stat().st_mode) == 0o400
    before = archive.read_bytes()
    with Store(archive) as store:
        assert len(store.corrections(1)) == 3
        with pytest.raises(StoreError, match="is an archive: nothing can be written to it"):
            work(store, 1)
    assert archive.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["backup.sqlite3", path.name]


def test_an_archive_whose_log_cannot_be_read_is_refused(path: Path, tmp_path: Path) -> None:
    with Store(path) as store:
        work(store, 1)
        archive = tmp_path / "archive"
        archive.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", archive / f"{path.name}{suffix}")
    (archive / path.name).chmod(0o400)
    with pytest.raises(StoreError, match="write-ahead log beside it"):
        Store(archive / path.name)


def test_a_backup_overwrites_nothing(path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with Store(path) as store, pytest.raises(InputError, match="overwrites nothing"):
        backups.back_up(store.database, tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "mine"


def test_restoring_brings_back_exactly_the_backup(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = tmp_path / "backup.sqlite3"
    database = ["--database", str(path), "--json"]
    assert main(["backup", str(backup), *database]) == 0
    written = json.loads(capsys.readouterr().out)
    with Store(path) as store:
        work(store, 4)
    assert main(["restore", str(backup), *database]) == 0
    restored = json.loads(capsys.readouterr().out)
    assert (restored["operations"], restored["head_sha256"]) == (
        written["operations"],
        written["head_sha256"],
    )
    assert revisions(path) == 3
    assert revisions(path.with_name("cqvh.sqlite3.before-restore")) == 7
    assert main(["verify", *database]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "problems": [],
        "operations": 4,
        "head_sha256": written["head_sha256"],
        "audit_entries": written["audit_entries"],
        "audit_sha256": written["audit_sha256"],
    }
    with Store(path) as store:
        work(store, 1)  # it can be written again
    assert revisions(path) == 4


def test_a_store_in_use_is_not_replaced(path: Path, tmp_path: Path) -> None:
    with Store(path) as store:
        backup = backups.back_up(store.database, tmp_path / "backup.sqlite3").path
        work(store, 1)
        with Store(path) as other, pytest.raises(StoreError, match="Stop the server, then restore"):
            backups.restore(backup, other.database)
        work(store, 1)
    assert revisions(path) == 5


@pytest.mark.parametrize("content", [b"", b"no database at all " * 300])
def test_what_is_no_backup_is_not_restored(path: Path, tmp_path: Path, content: bytes) -> None:
    other = tmp_path / "other"
    other.write_bytes(content)
    with Store(path) as store, pytest.raises((StoreError, InputError)):
        backups.restore(other, store.database)
    with Store(path) as store, pytest.raises(InputError, match="There is no file"):
        backups.restore(tmp_path / "missing", store.database)
    assert revisions(path) == 3
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name, "other"]


def damage(path: Path, table: str) -> None:
    """Overwrite the first page of a table."""
    with closing(sqlite3.connect(path)) as connection:
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(random.Random(7).randbytes(page_bytes))


def test_verify_tells_damage_in_sentences_and_goes_on(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(path, "corrections")
    assert main(["verify", "--database", str(path)]) == 1
    output = capsys.readouterr()
    assert "is damaged (database disk image is malformed)" in output.out
    assert "Every" not in output.out
    assert "Traceback" not in output.out + output.err


def test_a_damaged_store_is_told_at_a_servers_start(path: Path) -> None:
    damage(path, "corrections")
    with Store(path) as store, pytest.raises(StoreError, match=r"is damaged .* restore a backup"):
        checks.check_file(store)


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.sqlite3"
    path.write_bytes(b"hello" * 1000)
    assert main(["verify", "--database", str(path)]) == 1
    assert "is damaged (file is not a database)" in capsys.readouterr().out
    with pytest.raises(StoreError, match="is damaged"):
        Store(path)


def test_a_full_disk_is_told_and_writes_nothing_until_there_is_room(path: Path) -> None:
    """SQLite's own bound on a file's pages stands for the disk."""
    with Store(path) as store:
        raw = store.database.engine.raw_connection()
        pages = raw.cursor().execute("PRAGMA page_count").fetchone()[0]
        raw.cursor().execute(f"PRAGMA max_page_count = {pages}")
        raw.close()
        note = "x" * 4000

        def fill() -> None:
            for number in range(20):
                annotator, op_id = f"annotator{number}", f"fill-{number}"
                store.submit(2, edit((0, 10), note=note), annotator=annotator, parent_id=None, op_id=op_id)

        with pytest.raises(DiskFull, match="Edits stay in the browser"):
            fill()
        before = len(store.corrections(2))
        raw = store.database.engine.raw_connection()
        raw.cursor().execute("PRAGMA max_page_count = 1000000")
        raw.close()
        store.submit(2, edit((0, 10), note=note), annotator="late", parent_id=None, op_id="late")
        assert len(store.corrections(2)) == before + 1
        assert checks.problems(store) == []
