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

import dataclasses
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy import Row as SqlRow

from annotations import tables
from annotations.database import Database
from annotations.records import (
    PLANTED,
    Correction,
    Edit,
    EditedMoment,
    ResolvedAnswer,
    Rule,
    answering_version,
    digest,
    latest_of_each,
    released_moments,
    resolve,
)
from annotations.rows import Row, Split, row_from_content
from annotations.store import Store
from tempo_core.errors import InputError
from tempo_core.files import make_folder, move

MANIFEST = "MANIFEST.json"
HASHED = ("rows", "corrections", "proposals", "verdicts", "videos")
FORM = 1
"""The number of this form; a reader refuses others."""
PARTIAL = ".partial-"
"""Begins the name of a folder that is being written."""
LEFT_BEHIND_S = 6 * 3600
"""A folder that is still partial after so long was left by a program that was killed."""
BATCH = 500
"""Queries whose lines are written at a time."""
EDIT_FIELDS = [attribute.name for attribute in dataclasses.fields(Edit) if attribute.name != "proposal_id"]
MOMENT_FIELDS = [attribute.name for attribute in dataclasses.fields(EditedMoment)]
PROPOSAL_FIELDS = (
    "created_at_ms",
    "model_id",
    "adapter_id",
    "refused",
    "relevance",
    "moments",
    "allocation",
    "timings",
    "answer",
)
"""What a line of each file says, in this order: the order is part of the hash."""


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
    answer_op_id: str | None
    """Of the version whose answer holds under the rule `latest`; None: the original holds."""

    def resolved(self, rule: Rule = "latest") -> ResolvedAnswer:
        """The answer that holds under a rule."""
        # Without ids the versions have no order; the store's order made the answer that the line names.
        versions = [version for version in self.versions if version.op_id == self.answer_op_id]
        return resolve(self.row, versions, self.adopted, rule)


def _correction(values: Mapping[str, Any]) -> Correction:
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
                yield SnapshotRow(
                    dataset=values["dataset"],
                    row=row_from_content(values["row"], values["raw"]),
                    split=values["split"],
                    video_sha256=values["video_sha256"],
                    versions=tuple(_correction(version) for version in values["versions"]),
                    adopted=None if values["adopted"] is None else _correction(values["adopted"]),
                    answer_op_id=values["answer"]["op_id"],
                )

    def records(self, name: str) -> Iterator[dict[str, Any]]:
        """The JSON objects of one file: rows, corrections, proposals, verdicts, videos or paths."""
        with (self.folder / f"{name}.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    def video_paths(self) -> dict[str, Path]:
        """Where each clip lay, by vid."""
        return {video["vid"]: Path(video["path"]) for video in self.records("paths")}

    def problems(self) -> list[str]:
        """What is wrong with the files, one sentence each; empty when they are as they were written."""
        files = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        problems = []
        for name in HASHED:
            file = self.folder / f"{name}.jsonl"
            if not file.is_file():
                problems.append(f"{file} is missing.")
                continue
            with file.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            if sha256 != files[file.name]["sha256"]:
                problems.append(f"{file} is not what was written: its hash differs from the manifest's.")
        if self.sha256 != _content_sha256(files):
            problems.append("The manifest was edited.")
        return problems


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
    with _written_files(store, root, datasets) as partial:
        folder = root / open_snapshot(partial).sha256[:16]
        for file in partial.iterdir():
            file.chmod(0o444)
        partial.chmod(0o755)
        try:
            move(partial, folder)
        except OSError:
            if not folder.is_dir():
                raise
            # A folder of that name holds the same data, but clips may have moved since.
            for name in ("paths.jsonl", MANIFEST):
                move(partial / name, folder / name)
    snapshot = open_snapshot(folder)
    counts = dict(snapshot.counts)
    store.record_snapshot(sha256=snapshot.sha256, path=str(snapshot.folder), counts=counts, actor=actor)
    return snapshot


@contextmanager
def temporary_snapshot(store: Store, root: Path) -> Iterator[Snapshot]:
    """What the store holds now, for counting: gone afterwards, and not noted in the store."""
    with _written_files(store, root, None) as partial:
        yield open_snapshot(partial)


@contextmanager
def _written_files(store: Store, root: Path, datasets: Sequence[str] | None) -> Iterator[Path]:
    """A folder with every file of a snapshot; what is left of it afterwards is removed."""
    make_folder(root)
    for folder in root.glob(f"{PARTIAL}*"):
        with suppress(FileNotFoundError):  # another process has finished it meanwhile
            if time.time() - folder.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(folder, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=root))
    try:
        with _unchanging(store.database, partial) as connection:
            _write_files(connection, partial, datasets)
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _unchanging(database: Database, scratch: Path) -> Iterator[Connection]:
    """A connection to one state of the database, which holds up neither writers nor the log."""
    if not database.is_sqlite or database.in_memory:
        with database.read() as connection:
            yield connection
        return
    # A long reader would keep SQLite's log growing, so a copy is read.
    file = scratch / "copy.sqlite3"
    with database.engine.connect() as connection:
        connection.connection.driver_connection.execute("VACUUM INTO ?", (str(file),))  # type: ignore[union-attr]
    copy = Database(file, migrate=False)
    try:
        with copy.read() as connection:
            yield connection
    finally:
        copy.close()
        for leftover in scratch.glob("copy.sqlite3*"):
            leftover.unlink()


def _write_files(connection: Connection, folder: Path, datasets: Sequence[str] | None) -> None:
    """Write the JSON lines and the manifest of these datasets (None: all that are not archived)."""
    archived = {row.name: row.archived for row in connection.execute(select(tables.datasets))}
    names = [name for name in archived if not archived[name]] if datasets is None else list(datasets)
    names.sort()
    for name in names:
        if name not in archived:
            raise InputError(
                f"There is no dataset {name!r}; there are {', '.join(sorted(archived)) or 'none'}."
            )
    with ExitStack() as stack:
        files = {name: stack.enter_context(JsonLines(folder, name)) for name in (*HASHED, "paths")}
        video_hashes = {}
        for video in connection.execute(select(tables.videos).order_by(tables.videos.c.vid)):
            video_hashes[video.vid] = video.sha256
            files["videos"].write({"vid": video.vid, "sha256": video.sha256, "size_bytes": video.size_bytes})
            files["paths"].write({"vid": video.vid, "path": video.path})
        query = tables.queries
        statement = select(query.c.id).where(query.c.dataset.in_(names)).order_by(query.c.id)
        query_ids = connection.execute(statement).scalars().all()
        for start in range(0, len(query_ids), BATCH):
            _write_queries(connection, query_ids[start : start + BATCH], video_hashes, files)
    hashes = {
        file.name: {"sha256": file.digest.hexdigest(), "records": file.records} for file in files.values()
    }
    manifest = {"form": FORM, "sha256": _content_sha256(hashes), "datasets": names, "files": hashes}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _write_queries(
    connection: Connection,
    query_ids: Sequence[int],
    video_hashes: Mapping[str, str],
    files: Mapping[str, "JsonLines"],
) -> None:
    """The lines of some queries, straight from the tables' columns; they name each other by operation id."""
    # Answers to planted proposals and verdicts that were withdrawn are nobody's opinion.
    corrections_of = {
        query_id: [row for row in rows if row.arm != PLANTED]
        for query_id, rows in _rows_of(connection, tables.corrections, query_ids).items()
    }
    proposals_of = _rows_of(connection, tables.proposals, query_ids)
    withdrawn = set(connection.execute(select(tables.verdict_withdrawals.c.verdict_id)).scalars())
    verdicts_of = {
        query_id: [row for row in rows if row.id not in withdrawn]
        for query_id, rows in _rows_of(connection, tables.verdicts, query_ids).items()
    }
    correction, moment = tables.corrections, tables.correction_moments
    moments_of: dict[int, list[dict[str, Any]]] = {}
    statement = select(moment).join(correction, correction.c.id == moment.c.correction_id)
    statement = statement.where(correction.c.query_id.in_(query_ids))
    for row in connection.execute(statement.order_by(moment.c.correction_id, moment.c.position)):
        moments_of.setdefault(row.correction_id, []).append(
            {name: row._mapping[name] for name in MOMENT_FIELDS}
        )

    statement = select(tables.queries).where(tables.queries.c.id.in_(query_ids)).order_by(tables.queries.c.id)
    for query in connection.execute(statement):
        content = query.content
        qid = int(query.qid) if content.get("qid_is_int") else query.qid
        key = {"dataset": query.dataset, "qid": qid}
        corrections, verdicts = corrections_of[query.id], verdicts_of[query.id]
        proposal_op_ids = {row.id: row.op_id for row in proposals_of[query.id]}
        op_ids: dict[int, str] = {}
        lines: dict[int, dict[str, Any]] = {}
        for row in corrections:
            op_ids[row.id] = row.op_id
            fields = {**row._mapping, "moments": moments_of.get(row.id, [])}
            lines[row.id] = {
                "op_id": row.op_id,
                **key,
                "annotator": row.annotator,
                "revision": row.revision,
                "parent": op_ids.get(row.parent_id),
                "restores": op_ids.get(row.restores_id),
                "proposal": proposal_op_ids.get(row.proposal_id),
                "created_at_ms": row.created_at_ms,
                "edit": {name: fields[name] for name in EDIT_FIELDS},
            }
            files["corrections"].write(lines[row.id])
        for row in proposals_of[query.id]:
            line = {"op_id": row.op_id, **key}
            for name in PROPOSAL_FIELDS:
                line[name] = row._mapping[name]
            files["proposals"].write(line)
        verdict_op_ids: dict[int, str] = {}
        for row in verdicts:
            verdict_op_ids[row.id] = row.op_id
            files["verdicts"].write(
                {
                    "op_id": row.op_id,
                    **key,
                    "revision": row.revision,
                    "parent": verdict_op_ids.get(row.parent_id),
                    "correction": op_ids.get(row.correction_id),
                    "adjudicator": row.adjudicator,
                    "note": row.note,
                    "created_at_ms": row.created_at_ms,
                }
            )

        # The answer that holds now, by `records.answering_version` as everywhere.
        versions = latest_of_each([row for row in corrections if row.submitted])
        adopted_id = verdicts[-1].correction_id if verdicts else None
        adopted = next((row for row in corrections if row.id == adopted_id), None)
        answer = answering_version(versions, adopted)
        if answer is None or answer.verdict == "cannot-judge":
            released = released_moments(content.get("windows"), content.get("verdict"))
            windows = None if released is None else [[span.start_s, span.end_s] for span in released]
        else:
            spans = lines[answer.id]["edit"]["moments"]
            windows = [[span["start_ms"] / 1000, span["end_ms"] / 1000] for span in spans]
        source = "original" if answer is None else "correction" if adopted is None else "verdict"
        files["rows"].write(
            {
                "dataset": query.dataset,
                "split": query.split,
                "row": content,
                "raw": query.raw,
                "video_sha256": video_hashes.get(query.vid),
                "answer": {
                    "source": source,
                    "verdict": content.get("verdict") if answer is None else answer.verdict,
                    "windows": windows,
                    "by": None if answer is None else answer.annotator,
                    "op_id": None if answer is None else answer.op_id,
                },
                "versions": [lines[row.id] for row in versions],
                "adopted": None if adopted is None else lines[adopted.id],
            }
        )


def _rows_of(connection: Connection, table: Table, query_ids: Sequence[int]) -> dict[int, list[SqlRow[Any]]]:
    """A table's rows about each query, oldest first."""
    grouped: dict[int, list[SqlRow[Any]]] = {query_id: [] for query_id in query_ids}
    for row in connection.execute(select(table).where(table.c.query_id.in_(query_ids)).order_by(table.c.id)):
        grouped[row.query_id].append(row)
    return grouped


class JsonLines:
    """A file of JSON lines that hashes and counts what is written to it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = f"{name}.jsonl"
        self.records = 0
        self.digest = hashlib.sha256()
        self._file = (folder / self.name).open("wb")

    def __enter__(self) -> "JsonLines":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, values: Mapping[str, Any]) -> None:
        """Add one line. Raises ValueError on a number that JSON does not know."""
        line = json.dumps(values, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        self.digest.update(line)
        self._file.write(line)
        self.records += 1


def _content_sha256(files: Mapping[str, Mapping[str, Any]]) -> str:
    """The snapshot's hash, from the manifest's hash of each hashed file."""
    return digest([FORM, [[f"{name}.jsonl", files[f"{name}.jsonl"]["sha256"]] for name in HASHED]])
