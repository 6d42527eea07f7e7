"""Snapshots: an immutable, hashed copy of everything the store held at one moment, as a folder of JSON lines.

    <root>/<first 16 digits of the hash>/
        rows.jsonl         one query a line: imported row, raw line, split, every annotator's newest version,
                           verdict, and the answer that holds (the newest, `records.resolve`)
        corrections.jsonl  the whole history, drafts too
        proposals.jsonl    what models said
        verdicts.jsonl     what adjudicators decided
        videos.jsonl       content hash of each registered clip
        paths.jsonl        where the clips lie (not part of the hash: moving a file changes no data, and the same
                           snapshot taken again brings them up to date)
        MANIFEST.json      counts, hash of every file, and the hash of those hashes

Records are named by dataset, qid and operation id, never by row numbers of a database, so that equal data
gives an equal hash on every database. Training and export read snapshots, never the store.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from annotations import reading, tables
from annotations.database import Database
from annotations.records import Correction, Edit, Query, ResolvedAnswer, Rule, digest, resolve
from annotations.rows import Row, Split, row_from_content
from annotations.snapshot_files import JsonLines, Names, row_values
from annotations.store import Store
from tempo_core.errors import InputError

MANIFEST = "MANIFEST.json"
HASHED = ("rows", "corrections", "proposals", "verdicts", "videos")
FORM = 1
"""The number of this form; a reader refuses others."""
PARTIAL = ".partial-"
"""Begins the name of a folder that is being written."""
LEFT_BEHIND_S = 6 * 3600
"""A folder that is still partial after so long was left by a program that was killed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotRow:
    """One query as it was when the snapshot was taken."""

    dataset: str
    row: Row
    """As imported, with its raw line."""
    split: Split
    video_sha256: str | None
    """Content hash of the registered clip, or None."""
    versions: tuple[Correction, ...]
    """Each annotator's newest submitted version. Their ids are 0: a snapshot knows operation ids only."""
    adopted: Correction | None
    """The correction that the verdict names."""

    def resolved(self, rule: Rule = "latest") -> ResolvedAnswer:
        """The answer that holds under a rule."""
        return resolve(Query(id=0, dataset=self.dataset, row=self.row), self.versions, self.adopted, rule)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A snapshot's folder, opened for reading."""

    folder: Path
    sha256: str
    datasets: tuple[str, ...]
    counts: Mapping[str, int]

    def rows(self, *, splits: Sequence[Split] | None = None) -> Iterator[SnapshotRow]:
        """The queries in the order of import; with `splits`, only those of these splits."""
        for values in self.records("rows"):
            if splits is None or values["split"] in splits:
                yield _row_of(values)

    def records(self, name: str) -> Iterator[dict[str, Any]]:
        """The JSON objects of one file: rows, corrections, proposals, verdicts, videos or paths."""
        with (self.folder / f"{name}.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    def video_paths(self) -> dict[str, Path]:
        """Where each clip lay, by vid."""
        return {each["vid"]: Path(each["path"]) for each in self.records("paths")}

    def problems(self) -> list[str]:
        """What is wrong with the files, one sentence each; empty when they are as they were written."""
        manifest = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        found = []
        for name in HASHED:
            file = self.folder / f"{name}.jsonl"
            if not file.is_file():
                found.append(f"{file} is missing.")
            elif _file_sha256(file) != manifest["files"][file.name]["sha256"]:
                found.append(f"{file} is not what was written: its hash differs from the manifest's.")
        return (
            found
            if self.sha256 == _content_sha256(manifest["files"])
            else [*found, "The manifest was edited."]
        )


def open_snapshot(folder: Path) -> Snapshot:
    """A snapshot by its folder; does not read the data (see `problems`). Raises InputError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        form, sha256, files = manifest["form"], manifest["sha256"], manifest["files"]
        names = tuple(manifest["datasets"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder} is no snapshot: it needs a {MANIFEST} ({error}).") from error
    if form != FORM:
        raise InputError(f"{folder} has form {form}; this program reads form {FORM}. Take a new snapshot.")
    counts = {name: files[f"{name}.jsonl"]["records"] for name in HASHED}
    return Snapshot(folder=folder, sha256=sha256, datasets=names, counts=counts)


def take_snapshot(store: Store, root: Path, *, actor: str, datasets: Sequence[str] | None = None) -> Snapshot:
    """Write what the store holds now below `root`, note it in the store, and open it.

    `datasets` None takes all that are not archived. The same data lands in the same folder, and is written
    there once. Memory does not grow with the store. Raises InputError on an unknown dataset.
    """
    with _written(store, root, datasets) as (partial, names):
        snapshot = _seal(partial, root, names)
    counts = dict(snapshot.counts)
    store.record_snapshot(sha256=snapshot.sha256, path=str(snapshot.folder), counts=counts, actor=actor)
    return snapshot


@contextmanager
def temporary_snapshot(store: Store, root: Path) -> Iterator[Snapshot]:
    """What the store holds now, for counting: gone afterwards, and not noted in the store."""
    with _written(store, root, None) as (partial, names):
        _write_manifest(partial, names)
        yield open_snapshot(partial)


@contextmanager
def _written(
    store: Store, root: Path, datasets: Sequence[str] | None
) -> Iterator[tuple[Path, Sequence[str]]]:
    """A folder with the files of a snapshot, and its datasets; what is left of the folder is removed afterwards."""
    root.mkdir(parents=True, exist_ok=True)
    for folder in root.glob(f"{PARTIAL}*"):
        with suppress(FileNotFoundError):  # another process has finished it meanwhile
            if time.time() - folder.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(folder, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=root))
    try:
        with _still(store.database, partial) as connection:
            names = _chosen(connection, datasets)
            _write_files(connection, partial, names)
        yield partial, names
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _still(database: Database, scratch: Path) -> Iterator[Connection]:
    """A connection to one unchanging state of the database, which holds up neither writers nor the log."""
    if not database.is_sqlite or database.in_memory:
        with database.read() as connection:
            yield connection
        return
    copy = scratch / "copy.sqlite3"  # a long reader would keep SQLite's log growing
    with database.engine.connect() as connection:
        connection.connection.driver_connection.execute("VACUUM INTO ?", (str(copy),))  # type: ignore[union-attr]
    still = Database(copy, migrate=False)
    try:
        with still.read() as connection:
            yield connection
    finally:
        still.close()
        for leftover in scratch.glob("copy.sqlite3*"):
            leftover.unlink()


def _chosen(connection: Connection, datasets: Sequence[str] | None) -> list[str]:
    statement = select(tables.datasets.c.name, tables.datasets.c.archived)
    known: dict[str, bool] = {each.name: each.archived for each in connection.execute(statement)}
    unknown = [name for name in datasets or () if name not in known]
    if unknown:
        raise InputError(
            f"There is no dataset {unknown[0]!r}; there are {', '.join(sorted(known)) or 'none'}."
        )
    return sorted(datasets) if datasets is not None else sorted(name for name in known if not known[name])


def _write_files(connection: Connection, folder: Path, names: Sequence[str]) -> None:
    clips = {
        each.vid: each for each in connection.execute(select(tables.videos).order_by(tables.videos.c.vid))
    }
    with ExitStack() as stack:
        files = {name: stack.enter_context(JsonLines(folder, name)) for name in (*HASHED, "paths")}
        for vid, clip in clips.items():
            files["videos"].write({"vid": vid, "sha256": clip.sha256, "size_bytes": clip.size_bytes})
            files["paths"].write({"vid": vid, "path": clip.path})
        table = tables.queries
        statement = select(table.c.id).where(table.c.dataset.in_(names)).order_by(table.c.id)
        for ids in reading.chunks(connection.execute(statement).scalars().all()):
            _write_queries(connection, ids, {vid: clip.sha256 for vid, clip in clips.items()}, files)
    summary = {file.name: {"sha256": file.sha256, "records": file.records} for file in files.values()}
    (folder / MANIFEST).write_text(json.dumps(summary), encoding="utf-8")


def _write_queries(
    connection: Connection, ids: Sequence[int], hashes: Mapping[str, str], files: Mapping[str, "JsonLines"]
) -> None:
    found = reading.queries(connection, ids)
    versions = reading.corrections(connection, ids, drafts=True)
    proposed = reading.proposals(connection, ids)
    decided = reading.verdicts(connection, ids)
    for query_id in ids:
        query, mine = found[query_id], versions[query_id]
        names = Names(query, mine, proposed[query_id], decided[query_id])
        written = {each.id: names.correction(each) for each in mine}
        for correction in mine:
            files["corrections"].write(written[correction.id])
        for proposal in proposed[query_id]:
            files["proposals"].write(names.proposal(proposal))
        for verdict in decided[query_id]:
            files["verdicts"].write(names.verdict(verdict))
        files["rows"].write(row_values(query, mine, decided[query_id], written, hashes.get(query.row.vid)))


def _seal(partial: Path, root: Path, names: Sequence[str]) -> Snapshot:
    """Write the manifest and move the folder to its name. A folder of that name holds the same data; clips may have
    moved since."""
    sha256 = _write_manifest(partial, names)
    folder = root / sha256[:16]
    for file in partial.iterdir():
        file.chmod(0o444)
    partial.chmod(0o755)
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        for name in ("paths.jsonl", MANIFEST):
            os.replace(partial / name, folder / name)
    return open_snapshot(folder)


def _write_manifest(folder: Path, names: Sequence[str]) -> str:
    """The manifest, from the hashes that `_write_files` left there; returns the snapshot's hash."""
    files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    sha256 = _content_sha256(files)
    manifest = {"form": FORM, "sha256": sha256, "datasets": list(names), "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return sha256


def _content_sha256(files: Mapping[str, Mapping[str, Any]]) -> str:
    return digest([FORM, [[f"{name}.jsonl", files[f"{name}.jsonl"]["sha256"]] for name in HASHED]])


def _file_sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _row_of(values: Mapping[str, Any]) -> SnapshotRow:
    adopted = values["adopted"]
    return SnapshotRow(
        dataset=values["dataset"],
        row=row_from_content(values["row"], values["raw"]),
        split=values["split"],
        video_sha256=values["video_sha256"],
        versions=tuple(_correction_of(each) for each in values["versions"]),
        adopted=None if adopted is None else _correction_of(adopted),
    )


def _correction_of(values: Mapping[str, Any]) -> Correction:
    return Correction(
        id=0,
        op_id=values["op_id"],
        query_id=0,
        annotator=values["annotator"],
        revision=values["revision"],
        parent_id=None,
        restores_id=None,
        created_at_ms=values["created_at_ms"],
        edit=Edit.from_dict(values["edit"]),
    )
