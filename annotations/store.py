"""The store of corrections: the only writer (`annotations.reader` holds the questions that it answers).

Every write carries an operation id made by the client (a retry with it is harmless and answers the same), is
one transaction, and tells who did it. A write that adds a version names its parent; when somebody was faster
it raises Conflict with both versions and writes nothing.

    with Store("data/cqvh.sqlite3") as store:
        first = store.submit(7, Edit(...), annotator="ada", parent_id=None, op_id=str(uuid4()))
"""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from annotations import imports, queue, reading, tables, writing
from annotations.database import Database, default_url
from annotations.errors import NotFound
from annotations.imports import ImportReport
from annotations.operations import once
from annotations.queue import ALL, QueueFilter
from annotations.reader import Reader
from annotations.records import (
    ROLES,
    Account,
    Assignment,
    Correction,
    Edit,
    Prediction,
    Proposal,
    Verdict,
    Video,
)
from annotations.rows import Row
from tempo_core.errors import InputError

LEASE_S = 900.0
"""How long a query stays with the annotator who got it."""


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


class Store(Reader):
    """One database of queries, proposals, corrections and verdicts. Threads may share it."""

    def __init__(
        self, url: str | Path | None = None, *, migrate: bool = True, clock: Callable[[], int] = now_ms
    ) -> None:
        """Open a database, by default TEMPO_HOME's; made when it is not there, migrated when it is old."""
        super().__init__(Database(url if url is not None else default_url(), migrate=migrate))
        self._clock = clock

    # Writing: originals and what models say

    def import_rows(
        self,
        rows: Sequence[Row],
        *,
        dataset: str,
        op_id: str,
        actor: str = "import",
        file_name: str = "",
        format_name: str = "",
    ) -> ImportReport:
        """Add rows that are new, all or nothing; importing twice changes nothing.

        The rows' `annotations` become proposals (models') and corrections (annotators'); those of source
        `original` are skipped: the row itself holds them. Raises InputError on rows that contradict others.
        """
        request = [dataset, file_name, format_name, _fingerprint(rows)]

        def work(connection: Connection) -> dict[str, Any]:
            source: dict[str, Any] = {
                "op_id": op_id,
                "dataset": dataset,
                "file_name": file_name,
                "format": format_name,
            }
            source["imported_at_ms"] = self._clock()
            done = imports.add_rows(connection, rows, dataset=dataset, source=source)
            ids = done.pop("ids")
            given = writing.add_versions(connection, rows, dataset, ids, at_ms=self._clock())
            return {**done, **given, "rows": len(rows)}

        return ImportReport(**self._operation(op_id, "import", actor, request, work))

    def propose(self, query_id: int, prediction: Prediction, *, op_id: str, actor: str = "model") -> Proposal:
        """Store what a model says of a query."""
        request = [query_id, dataclasses.asdict(prediction)]

        def work(connection: Connection) -> int:
            reading.require_query(connection, query_id, lock=True)
            at_ms = self._clock()
            added = writing.insert_proposal(connection, query_id, prediction, op_id=op_id, at_ms=at_ms)
            queue.renew(connection, [query_id])
            return added

        return self.proposal(self._operation(op_id, "propose", actor, request, work))

    # Writing: what people say

    def submit(
        self, query_id: int, edit: Edit, *, annotator: str, parent_id: int | None, op_id: str
    ) -> Correction:
        """Add an annotator's next version of a query; `parent_id` is their present one (None: there is none).

        Raises Conflict when it is not, NotFound, InputError, OperationReused.
        """
        request = [query_id, edit.to_request(), parent_id]

        def work(connection: Connection) -> int:
            return writing.append_correction(
                connection,
                query_id,
                edit,
                annotator=annotator,
                parent_id=parent_id,
                op_id=op_id,
                at_ms=self._clock(),
            )

        return self.correction(self._operation(op_id, "submit", annotator, request, work))

    def revert(
        self, query_id: int, *, to_id: int | None, annotator: str, parent_id: int | None, op_id: str
    ) -> Correction:
        """Add a version equal to an older one, whoever made it; `to_id` None goes back to the original."""

        def work(connection: Connection) -> int:
            return writing.append_correction(
                connection,
                query_id,
                writing.edit_to_restore(connection, query_id, to_id),
                annotator=annotator,
                parent_id=parent_id,
                op_id=op_id,
                at_ms=self._clock(),
                restores_id=to_id,
            )

        request = [query_id, to_id, parent_id]
        return self.correction(self._operation(op_id, "revert", annotator, request, work))

    def adjudicate(
        self,
        query_id: int,
        *,
        correction_id: int,
        adjudicator: str,
        parent_id: int | None,
        op_id: str,
        note: str | None = None,
    ) -> Verdict:
        """Name the correction that answers a query; `parent_id` is the present verdict. Raises Conflict."""

        def work(connection: Connection) -> int:
            now = {"op_id": op_id, "adjudicator": adjudicator, "created_at_ms": self._clock()}
            return writing.append_verdict(connection, {**now, **named})

        named = {"query_id": query_id, "correction_id": correction_id, "parent_id": parent_id, "note": note}
        verdict_id = self._operation(op_id, "adjudicate", adjudicator, named, work)
        return next(each for each in self.verdicts(query_id) if each.id == verdict_id)

    # Writing: who does what

    def next_query(
        self,
        annotator: str,
        *,
        op_id: str,
        answers_per_row: int = 1,
        lease_s: float = LEASE_S,
        excluding: Sequence[int] = (),
        queue_filter: QueueFilter = ALL,
    ) -> Assignment | None:
        """Lend an annotator the next row of the queue, or None when there is none left.

        A row still on loan to them comes first, unless `excluding` names it (the one on screen while the next
        is prefetched). Rows on loan to others count as being reviewed.
        """
        request = [answers_per_row, lease_s, list(excluding), None, dataclasses.asdict(queue_filter)]

        def work(connection: Connection) -> dict[str, Any] | None:
            queue.lock_lending(connection)
            at_ms = self._clock()
            lent = writing.lent(connection, annotator, excluding, at_ms) if queue_filter == ALL else None
            query_id = lent or queue.candidate(
                connection,
                annotator,
                queue_filter,
                answers_per_row=answers_per_row,
                excluding=excluding,
                now_ms=at_ms,
            )
            if query_id is None:
                return None
            until_ms = at_ms + round(lease_s * 1000)
            return writing.lend(connection, query_id, annotator, until_ms)

        result = self._operation(op_id, "next", annotator, request, work)
        return (
            None
            if result is None
            else Assignment(
                query_id=result["query_id"], annotator=annotator, leased_until_ms=result["leased_until_ms"]
            )
        )

    def release(self, query_id: int, *, annotator: str, op_id: str) -> None:
        """Give a lent query back undone (skipped)."""
        table = tables.assignments

        def work(connection: Connection) -> None:
            mine = (table.c.query_id == query_id) & (table.c.annotator == annotator)
            connection.execute(update(table).where(mine).values(leased_until_ms=0))

        self._operation(op_id, "release", annotator, query_id, work)

    def archive(self, dataset: str, *, op_id: str, actor: str, archived: bool = True) -> None:
        """Take a dataset out of queue, snapshots and exports, or back in. Nothing is removed."""

        def work(connection: Connection) -> None:
            table = tables.datasets
            statement = update(table).where(table.c.name == dataset).values(archived=archived)
            if connection.execute(statement).rowcount == 0:
                raise NotFound(f"There is no dataset {dataset!r}.")
            queue.remove_dataset(connection, dataset)
            if not archived:
                ids = select(tables.queries.c.id).where(tables.queries.c.dataset == dataset)
                queue.renew(connection, list(connection.execute(ids).scalars()))

        self._operation(op_id, "archive", actor, [dataset, archived], work)

    def renew_queue(self) -> None:
        """Work out every row's suspicions and place again, as after a new version of the formula."""

        def work(connection: Connection) -> None:
            queue.renew(connection, list(connection.execute(select(tables.queries.c.id)).scalars()))

        self.database.write(work)

    def save_account(self, account: Account, *, op_id: str, actor: str) -> None:
        """Add an account, or change the role, hash or state of the one with its name."""
        if account.role not in ROLES:
            raise InputError(f"role is {account.role!r}; it must be one of {', '.join(ROLES)}.")
        values = dataclasses.asdict(account)
        table = tables.accounts

        def work(connection: Connection) -> None:
            changed = {name: values[name] for name in ("role", "password_hash", "disabled")}
            statement = update(table).where(table.c.name == account.name).values(**changed)
            if connection.execute(statement).rowcount == 0:
                connection.execute(insert(table), values)

        self._operation(op_id, "account", actor, values, work)

    def save_videos(self, videos: Sequence[Video], *, op_id: str, actor: str) -> None:
        """Register clips, or their new places (`annotations.videos` finds them)."""
        table = tables.videos
        clips = [dataclasses.asdict(video) for video in videos]

        def work(connection: Connection) -> None:
            for clip in clips:
                values = {**clip, "registered_at_ms": self._clock()}
                statement = update(table).where(table.c.vid == clip["vid"]).values(**values)
                if connection.execute(statement).rowcount == 0:
                    connection.execute(insert(table), values)

        self._operation(op_id, "videos", actor, clips, work)

    def record_snapshot(self, *, sha256: str, path: str, counts: dict[str, int], actor: str) -> None:
        """Note that a snapshot was written; the same content is noted once."""
        table = tables.snapshots
        values = {"sha256": sha256, "path": path, "counts": counts, "actor": actor}

        def work(connection: Connection) -> None:
            if connection.execute(select(table.c.id).where(table.c.sha256 == sha256)).first() is None:
                connection.execute(insert(table), {**values, "created_at_ms": self._clock()})

        self.database.write(work)

    def _operation(
        self, op_id: str, kind: str, actor: str, request: Any, work: Callable[[Connection], Any]
    ) -> Any:
        """Do `work` once under an operation id, in one transaction."""

        def whole(connection: Connection) -> Any:
            return once(
                connection,
                lambda: work(connection),
                op_id=op_id,
                kind=kind,
                request=request,
                actor=actor,
                now_ms=self._clock(),
            )

        return self.database.write(whole)


def _fingerprint(rows: Sequence[Row]) -> str:
    """SHA-256 of what the rows say, raw lines included."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
