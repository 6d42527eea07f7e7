"""The store of corrections: the only writer of the database, and what can be asked of it.

Every write carries an operation id made by the client (a retry with it is harmless and answers the same), is
one transaction, and names who did it. A write that adds a version names its parent; when somebody was faster
it raises Conflict with both versions and writes nothing.

    with Store("data/cqvh.sqlite3") as store:
        first = store.submit(7, Edit(...), annotator="ada", parent_id=None, op_id=str(uuid4()))
"""

import dataclasses
import hashlib
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, func, insert, select, update

from annotations import (
    audit,
    imports,
    operation_log,
    people,
    planting,
    projects,
    queue,
    reading,
    suspicion,
    tables,
)
from annotations.arms import ARMS, BLIND_SHARE, Arm, check_blind_share, draw_arm
from annotations.audit import AuditEntry
from annotations.database import Database, default_url
from annotations.errors import Conflict, NotFound, OperationReused
from annotations.expected_gain import GainEstimate, read_effects, row_gains
from annotations.imports import ImportReport
from annotations.loans import LoanTimer
from annotations.planting import PlantedAnswers
from annotations.projects import Project, ProjectChange, ProjectPlan, ProjectProgress
from annotations.proposers import model_name
from annotations.queue import ALL, BrowseFilter, BrowsePage, QueueFilter, QueueItem
from annotations.reading import AnnotatorRow, QueryRecords
from annotations.reason_precision import ReasonPrecision, reason_precisions
from annotations.records import (
    ROLES,
    Account,
    AnnotatorProgress,
    Assignment,
    Correction,
    Edit,
    EditedMoment,
    Identity,
    Plant,
    Prediction,
    Proposal,
    Query,
    ResolvedAnswer,
    Rule,
    UpcomingRow,
    Verdict,
    Video,
    check_choice,
    check_text,
    digest,
    resolve,
)
from annotations.rows import Row
from annotations.suspicion import Suspicion
from tempo_core.errors import InputError

LEASE_S = 900.0
"""How long a query stays with the annotator who got it (`annotations.loans`)."""
LENDING_LOCK = 20260118
"""Key of PostgreSQL's advisory lock; any number that nothing else uses."""
MAX_OP_ID = 200
"""Characters of an operation id."""
GAIN_ESTIMATE = "gain_estimate"
"""The setting that holds what the answers so far have taught about expected gains."""
GAIN_AGE = 12
"""Answers after which expected gains are worked out again."""
UNCHANGEABLE = ("name", "created_at_ms")
"""Fields of an account that stay as they began."""
DURATION_SLACK_MS = 1000
"""How far a moment may end beyond the annotated duration: real files differ from it by part of a second."""

# The statements of a save and of the next row, built once (`annotations.reading`).
_operation, _correction, _assignment = tables.operations, tables.corrections, tables.assignments
_own_assignment = (_assignment.c.query_id == bindparam("own_query_id")) & (
    _assignment.c.annotator == bindparam("own_annotator")
)
LOCK_OPERATION = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("op_id"), 0)))
OPERATION = select(_operation.c.request_sha256, _operation.c.result).where(
    _operation.c.op_id == bindparam("op_id")
)
LOCK_QUERY = (
    select(tables.queries.c.duration_ms)
    .where(tables.queries.c.id == bindparam("query_id"))
    .with_for_update(key_share=True)
)
PRESENT_VERSION = (
    select(_correction.c.id, _correction.c.revision)
    .where(_correction.c.query_id == bindparam("query_id"), _correction.c.annotator == bindparam("annotator"))
    .order_by(_correction.c.revision.desc())
    .limit(1)
)
INSERT_CORRECTION = insert(_correction).returning(_correction.c.id)
INSERT_MOMENTS = insert(tables.correction_moments)
END_LOAN = update(_assignment).where(_own_assignment).values(loan=None)
LEND = (
    update(_assignment)
    .where(_own_assignment)
    .values(loan=bindparam("new_loan"), project_id=bindparam("new_project_id"))
)
ARM = select(_assignment.c.arm).where(
    _assignment.c.query_id == bindparam("query_id"), _assignment.c.annotator == bindparam("annotator")
)
OWN_LOANS = (
    select(_assignment.c.query_id, _assignment.c.project_id)
    .join(tables.queue, tables.queue.c.query_id == _assignment.c.query_id)
    .where(_assignment.c.annotator == bindparam("annotator"), _assignment.c.loan.is_not(None))
    .where(_assignment.c.query_id.not_in(bindparam("excluding", expanding=True)))
    .where(~tables.queue.c.adjudicated)
    .order_by(_assignment.c.id)
)
LOANS = select(_assignment.c.loan).where(_assignment.c.loan.is_not(None))
FIRST_ARM = (
    select(_correction.c.arm)
    .where(_correction.c.query_id == bindparam("query_id"), _correction.c.annotator == bindparam("annotator"))
    .where(_correction.c.arm.in_(ARMS))
    .order_by(_correction.c.id)
    .limit(1)
)
_planted_ids = select(tables.plants.c.query_id).where(tables.plants.c.annotator == bindparam("annotator"))
PREVIOUS_ARMS = (
    select(_assignment.c.arm)
    .where(_assignment.c.annotator == bindparam("annotator"), _assignment.c.arm.is_not(None))
    .where(_assignment.c.query_id.not_in(_planted_ids))
    .order_by(_assignment.c.id)
)
PREVIOUS_ARMS_OF_PROJECT = PREVIOUS_ARMS.where(_assignment.c.project_id == bindparam("project_id"))
NUM_ARMS = select(func.count(_assignment.c.arm))
UPDATE_OWN_ASSIGNMENT, INSERT_ASSIGNMENT = update(_assignment).where(_own_assignment), insert(_assignment)
ACCOUNTS = select(tables.accounts).order_by(tables.accounts.c.name)
ACCOUNT = select(tables.accounts).where(tables.accounts.c.name == bindparam("name"))
PROPOSERS = select(tables.proposers.c.model).where(tables.proposers.c.dataset == bindparam("dataset"))
VIDEO = select(tables.videos).where(tables.videos.c.vid == bindparam("vid"))


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Operation:
    """A write under a client's operation id, inside its transaction."""

    connection: Connection
    op_id: str
    at_ms: int
    is_new: bool = True
    """False for a repetition: `result` is the first answer, and nothing is to be written."""
    result: Any = None
    """JSON values; what a repetition answers."""


class Store:
    """One database of queries, proposals, corrections and verdicts. Threads may share it."""

    def __init__(
        self,
        url: str | Path | None = None,
        *,
        clock: Callable[[], int] = now_ms,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open a database, by default TEMPO_HOME's; made when it is not there, migrated when it is old.

        `clock` gives the time of day that records carry, in ms; it decides nothing. `timer` gives the seconds that
        loans are measured in.
        """
        self.database = Database(url if url is not None else default_url())
        self._clock = clock
        self._loans = LoanTimer(timer)

    def shared_read(self) -> AbstractContextManager[None]:
        """All questions of this thread inside are answered from one state; nothing may be written inside."""
        return self.database.shared_read()

    def close(self) -> None:
        """Give the connections back."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        update: bool = False,
        rounding_s: float = 0.0,
    ) -> ImportReport:
        """Add rows that are new, all or nothing; importing twice changes nothing.

        With `update`, what known rows lack is filled (a split, the moments of a test set); what was there before
        stays in the operation's result. `rounding_s` is how far the file's edges may lie off those of known rows. The
        rows' `annotations` become proposals (models') and corrections
        (annotators'); those of source `original` are skipped: the row itself holds them. Raises InputError on rows
        that contradict others.
        """
        fingerprint = hashlib.sha256()
        for row in rows:
            fingerprint.update(repr(row).encode("utf-8", "surrogatepass"))  # raw lines included
        # The last value is there only where it says something: a retry begun before stays the same request.
        request = [dataset, file_name, format_name, fingerprint.hexdigest(), *([True] if update else [])]
        for attempt in self._operation(op_id, "import", actor, request):
            with attempt as operation:
                if operation.is_new:
                    source = {
                        "op_id": op_id,
                        "dataset": dataset,
                        "file_name": file_name,
                        "format": format_name,
                        "imported_at_ms": operation.at_ms,
                    }
                    counts = imports.add_rows(
                        operation.connection,
                        rows,
                        dataset=dataset,
                        source=source,
                        update=update,
                        rounding_s=rounding_s,
                    )
                    query_ids = counts.pop("ids")
                    counts |= _add_versions(operation, rows, dataset, query_ids)
                    operation.result = {**counts, "rows": len(rows)}
        names = {attribute.name for attribute in dataclasses.fields(ImportReport)}
        return ImportReport(**{name: value for name, value in operation.result.items() if name in names})

    def propose(self, query_id: int, prediction: Prediction, *, op_id: str, actor: str = "model") -> Proposal:
        """Store what a model says of a query."""
        request = [query_id, dataclasses.asdict(prediction)]
        for attempt in self._operation(op_id, "propose", actor, request):
            with attempt as operation:
                if operation.is_new:
                    _lock_query(operation.connection, query_id)
                    operation.result = _insert_proposal(
                        operation.connection, query_id, prediction, op_id=op_id, at_ms=operation.at_ms
                    )
                    suspicion.renew(operation.connection, [query_id])
        with self.database.read() as connection:
            return reading.proposal(connection, operation.result)

    # Writing: what people say

    def submit(
        self, query_id: int, edit: Edit, *, annotator: str, parent_id: int | None, op_id: str
    ) -> Correction:
        """Add an annotator's next version of a query; `parent_id` is their present one (None: there is none).

        Raises Conflict when it is not, NotFound, InputError, OperationReused.
        """
        request = [query_id, edit.to_request(), parent_id]
        for attempt in self._operation(op_id, "submit", annotator, request):
            with attempt as operation:
                correction = _append_correction(
                    operation, query_id, edit, annotator=annotator, parent_id=parent_id
                )
        return correction

    def revert(
        self, query_id: int, *, to_id: int | None, annotator: str, parent_id: int | None, op_id: str
    ) -> Correction:
        """Add a version equal to an older one, whoever made it; `to_id` None goes back to the original."""
        request = [query_id, to_id, parent_id]
        for attempt in self._operation(op_id, "revert", annotator, request):
            with attempt as operation:
                correction = _append_correction(
                    operation,
                    query_id,
                    _edit_to_restore(operation.connection, query_id, to_id),
                    annotator=annotator,
                    parent_id=parent_id,
                    restores_id=to_id,
                )
        return correction

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
        request = {"query_id": query_id, "correction_id": correction_id, "parent_id": parent_id, "note": note}
        for attempt in self._operation(op_id, "adjudicate", adjudicator, request):
            with attempt as operation:
                if operation.is_new:
                    connection = operation.connection
                    _lock_query(connection, query_id)
                    _check_belongs(connection, tables.corrections, correction_id, query_id, "correction")
                    if not reading.correction(connection, correction_id).edit.submitted:
                        raise InputError(
                            f"Correction {correction_id} is a draft; only a submitted one can be adopted."
                        )
                    table = tables.verdicts
                    count = select(func.count()).select_from(table).where(table.c.query_id == query_id)
                    verdicts = reading.verdicts(connection, [query_id])[query_id]
                    present = verdicts[-1] if verdicts else None
                    if parent_id != (None if present is None else present.id):
                        name = f"The verdict on query {query_id}"
                        raise _conflict(name, correction_id, present, parent_id)
                    values = {
                        **request,
                        "op_id": op_id,
                        "revision": 1 + connection.execute(count).scalar_one(),
                        "adjudicator": adjudicator,
                        "created_at_ms": operation.at_ms,
                    }
                    insertion = insert(tables.verdicts).returning(tables.verdicts.c.id)
                    operation.result = connection.execute(insertion, values).scalar_one()
                    suspicion.renew(connection, [query_id])
        statement = select(tables.verdicts).where(tables.verdicts.c.id == operation.result)
        with self.database.read() as connection:
            return reading.records(connection, Verdict, statement)[0]

    def withdraw_verdicts(self, batch: str, *, op_id: str, actor: str) -> list[int]:
        """Take back the verdicts of a bulk adoption that still hold; returns the ids of their queries.

        Nothing is removed, and a verdict that somebody has given since stays.
        """
        table, withdrawal = tables.verdicts, tables.verdict_withdrawals
        for attempt in self._operation(op_id, "withdraw", actor, batch):
            with attempt as operation:
                if operation.is_new:
                    connection = operation.connection
                    of_batch = select(table.c.id, table.c.query_id).where(
                        table.c.op_id.startswith(f"{batch}:", autoescape=True),
                        table.c.id.not_in(select(withdrawal.c.verdict_id)),
                    )
                    verdict_of = {row.query_id: row.id for row in connection.execute(of_batch)}
                    standing = reading.verdicts(connection, list(verdict_of))
                    query_ids = sorted(
                        query_id
                        for query_id, verdicts in standing.items()
                        if verdicts[-1].id == verdict_of[query_id]
                    )
                    rows = [
                        {
                            "verdict_id": verdict_of[query_id],
                            "op_id": op_id,
                            "actor": actor,
                            "created_at_ms": operation.at_ms,
                        }
                        for query_id in query_ids
                    ]
                    if rows:
                        connection.execute(insert(withdrawal), rows)
                    suspicion.renew(connection, query_ids)
                    operation.result = query_ids
        return list(operation.result)

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
        upcoming: UpcomingRow | None = None,
        avoiding: Sequence[int] = (),
    ) -> Assignment | None:
        """Lend an annotator the next row of the queue, or None when there is none left.

        `upcoming` is what `upcoming_row` has told and somebody sees already: it is lent, with its arm, before every
        other row, unless it cannot be lent to them any more. Rows of `avoiding`, which
        others are about to see, are lent where there is no other.

        A row still on loan to them comes first, unless `excluding` names it (the one on screen while the next
        is prefetched). Rows on loan to others count as being answered; loans older than `lease_s` are over. Whoever
        takes part in a project gets rows of projects only, whatever `queue_filter` and `answers_per_row` say
        (`annotations.projects`).
        """
        # The fourth value was the arm, which the app works out: a retry begun before stays the same request.
        request = [answers_per_row, lease_s, list(excluding), None, queue_filter.to_request()]
        table, arm = tables.assignments, None
        for attempt in self._operation(op_id, "next", annotator, request):
            with attempt as operation:
                arm = None
                if operation.is_new:
                    connection = operation.connection
                    _lock_lending(connection)
                    loans = connection.execute(LOANS).scalars().all()
                    for overdue in reading.chunks(self._loans.overdue(loans, lease_s)):
                        connection.execute(update(table).where(table.c.loan.in_(overdue)).values(loan=None))
                    own_projects = projects.projects_of(connection, annotator)
                    choice = partial(
                        self._next_row,
                        connection,
                        annotator,
                        own_projects,
                        queue_filter,
                        answers_per_row=answers_per_row,
                        excluding=excluding,
                        avoiding=avoiding,
                        at_ms=operation.at_ms,
                        draw=operation.op_id,
                    )
                    query_id: int | None = None
                    project_id: int | None = None
                    plant: Plant | None = None
                    if upcoming is not None:
                        query_id, project_id, plant = choice(upcoming=upcoming)
                    if query_id is None:
                        upcoming = None
                        query_id, project_id, plant = choice()
                    if query_id is not None:
                        operation.result = {"query_id": query_id, "annotator": annotator}
                        project = None if project_id is None else projects.project(connection, project_id)
                        if plant is not None:
                            planting.insert_plant(connection, plant, at_ms=operation.at_ms)
                        arm = self._drawn_arm(connection, query_id, annotator, project, upcoming)
                        own = {"own_query_id": query_id, "own_annotator": annotator}
                        connection.execute(LEND, {**own, "new_loan": op_id, "new_project_id": project_id})
                        self._loans.begin(op_id)
        if operation.result is None:
            return None
        query_id = operation.result["query_id"]
        return Assignment(query_id=query_id, annotator=annotator, arm=arm or self.arm(query_id, annotator))

    def _next_row(
        self,
        connection: Connection,
        annotator: str,
        own_projects: Sequence[Project],
        queue_filter: QueueFilter,
        *,
        answers_per_row: int,
        excluding: Sequence[int],
        avoiding: Sequence[int],
        at_ms: int,
        draw: str,
        upcoming: UpcomingRow | None = None,
    ) -> tuple[int | None, int | None, Plant | None]:
        """The next row for an annotator, its project, and what is to be planted on it; or `upcoming` alone, where it
        can still be lent. Nothing is written. `draw` tells one drawing of a plant from another.
        """
        only = None if upcoming is None else upcoming.query_id
        if queue_filter == ALL or own_projects:
            lending = [own.id for own in own_projects if own.state == "open"]
            parameters: dict[str, Any] = {"annotator": annotator, "excluding": list(excluding)}
            for query_id, project_id in connection.execute(OWN_LOANS, parameters):
                if only in (None, query_id) and (not own_projects or project_id in lending):
                    return query_id, project_id, None
        if upcoming is not None and upcoming.plant is not None:
            project_id = upcoming.plant.project_id
            is_free = only in planting.decided_rows(connection, project_id, annotator)
            return (only, project_id, upcoming.plant) if is_free else (None, None, None)
        next_rows = partial(
            _next_rows,
            connection,
            annotator,
            own_projects,
            queue_filter,
            answers_per_row=answers_per_row,
            at_ms=at_ms,
            only=only,
        )
        waiting = next_rows(excluding=[*excluding, *avoiding]) if only is None else []
        if not waiting and (avoiding or only is not None):
            waiting = next_rows(excluding=excluding)
        next_id, next_project_id = waiting[0] if waiting else (None, None)
        plant = None
        if only is None:
            plant = self._plant_to_draw(connection, annotator, own_projects, next_project_id, draw)
        return (next_id if plant is None else plant.query_id), next_project_id, plant

    def _plant_to_draw(
        self,
        connection: Connection,
        annotator: str,
        own_projects: Sequence[Project],
        project_id: int | None,
        draw: str,
    ) -> Plant | None:
        """What is planted on a decided row that is lent instead of the next one, as often as the project wants."""
        project = next((own for own in own_projects if own.id == project_id), None)
        if project is None or project.planted_share == 0:
            return None
        number = connection.execute(select(func.count()).select_from(tables.assignments)).scalar_one()
        rng = random.Random(f"{reading.setting(connection, 'arm_seed')}/plant/{number}/{draw}")
        if rng.random() >= project.planted_share:
            return None
        return planting.draw_plant(connection, project, annotator, rng=rng)

    def release(self, query_id: int, *, annotator: str, op_id: str) -> None:
        """Give a lent query back undone (skipped)."""
        own = {"own_query_id": query_id, "own_annotator": annotator}
        for attempt in self._operation(op_id, "release", annotator, query_id):
            with attempt as operation:
                if operation.is_new:
                    operation.connection.execute(END_LOAN, own)

    def arm(self, query_id: int, annotator: str, *, upcoming: UpcomingRow | None = None) -> Arm:
        """An annotator's arm for a row, lent or not: drawn when first asked for, then the same. It is `upcoming`'s,
        where that row was shown to them already. Raises NotFound.
        """
        parameters = {"query_id": query_id, "annotator": annotator}
        with self.database.read() as connection:
            arm: Arm | None = connection.execute(ARM, parameters).scalar_one_or_none()
        if arm is None:
            for transaction in self.database.transactions():
                with transaction as connection:
                    _lock_query(connection, query_id)
                    _lock_lending(connection)
                    project = projects.project_of_row(connection, query_id, annotator)
                    is_new = connection.execute(ARM, parameters).first() is None
                    if is_new and upcoming is not None and upcoming.plant is not None:
                        planting.insert_plant(connection, upcoming.plant, at_ms=self._clock())
                    arm = self._drawn_arm(connection, query_id, annotator, project, upcoming)
        assert arm is not None
        return arm

    def _drawn_arm(
        self,
        connection: Connection,
        query_id: int,
        annotator: str,
        project: Project | None,
        upcoming: UpcomingRow | None = None,
    ) -> Arm:
        """The arm of the assignment, which is made where there is none; one transaction draws at a time. `upcoming` has
        been drawn before.
        """
        parameters = {"query_id": query_id, "annotator": annotator}
        arm: Arm | None = connection.execute(ARM, parameters).scalar_one_or_none()
        if arm is not None:
            return arm
        if upcoming is not None:
            arm = upcoming.arm
        else:
            seed = reading.setting(connection, "arm_seed")
            if seed is None:
                seed = secrets.randbits(32)
                connection.execute(insert(tables.settings), {"name": "arm_seed", "value": seed})
            arm = self._arm_to_draw(connection, query_id, annotator, project, seed)
        values = {"arm": arm} if project is None else {"arm": arm, "project_id": project.id}
        own = {"own_query_id": query_id, "own_annotator": annotator}
        if connection.execute(UPDATE_OWN_ASSIGNMENT, {**own, **values}).rowcount == 0:
            connection.execute(INSERT_ASSIGNMENT, {**parameters, **values})
        return arm

    def _arm_to_draw(
        self, connection: Connection, query_id: int, annotator: str, project: Project | None, seed: int
    ) -> Arm:
        """The next arm of an annotator; nothing is written. A project with a share of its own draws apart from
        everything else.
        """
        # Before arms were stored, the annotator's first version of the row named the one that was drawn.
        parameters = {"query_id": query_id, "annotator": annotator}
        arm: Arm | None = connection.execute(FIRST_ARM, parameters).scalar_one_or_none()
        if arm is not None:
            return arm
        previous, of_project = PREVIOUS_ARMS, {}
        share = reading.setting(connection, "blind_share", BLIND_SHARE)
        if project is not None and project.blind_share is not None:
            share, previous = project.blind_share, PREVIOUS_ARMS_OF_PROJECT
            of_project = {"project_id": project.id}
        return draw_arm(
            connection.execute(previous, {"annotator": annotator, **of_project}).scalars().all(),
            blind_share=share,
            seed=seed,
            number=connection.execute(NUM_ARMS).scalar_one(),
        )

    def save_blind_share(self, share: float, *, op_id: str, actor: str) -> None:
        """Set the share of blind rows among those drawn from now on. Raises InputError."""
        check_blind_share(share)
        table = tables.settings
        for attempt in self._operation(op_id, "blind-share", actor, share):
            with attempt as operation:
                if operation.is_new:
                    values = {"name": "blind_share", "value": share}
                    _update_or_insert(operation.connection, table, table.c.name == "blind_share", values)

    def add_project(self, plan: ProjectPlan, *, op_id: str, actor: str) -> int:
        """Make a project and return its id. Raises InputError."""
        for attempt in self._operation(op_id, "add-project", actor, dataclasses.asdict(plan)):
            with attempt as operation:
                if operation.is_new:
                    operation.result = projects.add(
                        operation.connection, plan, actor=actor, at_ms=operation.at_ms
                    )
        return int(operation.result)

    def change_project(self, project_id: int, change: ProjectChange, *, op_id: str, actor: str) -> None:
        """Change a project's guidelines, people, state or end. Raises NotFound, InputError."""
        request = [project_id, dataclasses.asdict(change)]
        for attempt in self._operation(op_id, "change-project", actor, request):
            with attempt as operation:
                if operation.is_new:
                    projects.change(operation.connection, project_id, change)

    def archive(self, dataset: str, *, op_id: str, actor: str, archived: bool = True) -> None:
        """Take a dataset out of queue, snapshots and exports, or back in. Nothing is removed."""
        table = tables.datasets
        for attempt in self._operation(op_id, "archive", actor, [dataset, archived]):
            with attempt as operation:
                if operation.is_new:
                    connection = operation.connection
                    statement = update(table).where(table.c.name == dataset).values(archived=archived)
                    if connection.execute(statement).rowcount == 0:
                        raise NotFound(f"There is no dataset {dataset!r}.")
                    query_ids = select(tables.queries.c.id).where(tables.queries.c.dataset == dataset)
                    suspicion.renew(connection, connection.execute(query_ids).scalars().all())
                    action = "dataset archived" if archived else "dataset restored"
                    audit.append(
                        connection, action, at_ms=operation.at_ms, actor=actor, detail={"dataset": dataset}
                    )

    def save_proposer(
        self, dataset: str, model: str, *, op_id: str, actor: str, is_named: bool = True
    ) -> None:
        """Let a model propose for a dataset, or no longer; its rows are worked out again. Raises NotFound, InputError.

        `model` is a name as `annotations.proposers` says.
        """
        check_text("model", model)
        if not model.strip():
            raise InputError("A model needs a name; give the one before the `@` of its id, or * for any.")
        for attempt in self._operation(op_id, "proposer", actor, [dataset, model, is_named]):
            with attempt as operation:
                if operation.is_new:
                    connection = operation.connection
                    if dataset not in connection.execute(select(tables.datasets.c.name)).scalars():
                        raise NotFound(f"There is no dataset {dataset!r}.")
                    _save_proposers(connection, dataset, {model}, is_named=is_named)
                    query_ids = select(tables.queries.c.id).where(tables.queries.c.dataset == dataset)
                    suspicion.renew(connection, connection.execute(query_ids).scalars().all())

    def renew_queue(self) -> None:
        """Work out every row's suspicions and place again, as after a new version of the formula."""
        for transaction in self.database.transactions():
            with transaction as connection:
                suspicion.renew_all(connection)

    def renew_gains(self, *, age: int = 0) -> None:
        """Estimate each row's expected gain per minute from the answers so far, and store it.

        Does nothing until `age` answers (>= 0) were added since the last estimate. Source: `annotations.expected_gain`.
        """
        correction = tables.corrections
        counted = select(func.count()).select_from(correction).where(correction.c.submitted)
        with self.database.read() as connection:
            submitted = connection.execute(counted).scalar_one()
            stored = reading.setting(connection, GAIN_ESTIMATE)
            if stored is not None and submitted - stored["submitted"] < age:
                return
            estimate = GainEstimate.of(read_effects(connection))
            gains = row_gains(connection, estimate)
        values = {"name": GAIN_ESTIMATE, "value": {**estimate.to_dict(), "submitted": submitted}}
        table = tables.settings
        for transaction in self.database.transactions():
            with transaction as connection:
                connection.execute(delete(tables.gains))
                rows = [{"query_id": query_id, "gain": gain} for query_id, gain in gains.items()]
                if rows:
                    connection.execute(insert(tables.gains), rows)
                _update_or_insert(connection, table, table.c.name == GAIN_ESTIMATE, values)

    def save_account(
        self,
        account: Account,
        *,
        op_id: str,
        actor: str,
        is_same_password: bool = False,
        identity: tuple[str, str] | None = None,
    ) -> None:
        """Add an account, or change the role, hash or state of the one with its name, and write it to the audit log.

        `is_same_password`: the hash is a new one of the same password, which the audit log leaves out. `identity`:
        (issuer, subject) of the upstream login that signs in to this account from now on. Raises InputError for an
        unknown role, and for an identity that has another account.
        """
        check_choice("role", account.role, ROLES)
        values = dataclasses.asdict(account)
        table = tables.accounts
        for attempt in self._operation(op_id, "account", actor, values):
            with attempt as operation:
                if operation.is_new:
                    connection = operation.connection
                    # Whoever changes the same account waits here until this change is written.
                    own = select(table).where(table.c.name == account.name).with_for_update()
                    before = reading.records(connection, Account, own)
                    changes = {name: value for name, value in values.items() if name not in UNCHANGEABLE}
                    if before:
                        connection.execute(
                            update(table).where(table.c.name == account.name).values(**changes)
                        )
                    else:
                        connection.execute(insert(table), values)
                    if not is_same_password:
                        for action, detail in audit.account_changes(before[0] if before else None, account):
                            audit.append(
                                connection,
                                action,
                                at_ms=operation.at_ms,
                                actor=actor,
                                person=account.name,
                                detail=detail,
                            )
                    if identity is not None:
                        _link_identity(operation, *identity, account.name, actor)

    def link_identity(self, issuer: str, subject: str, account: str, *, op_id: str, actor: str) -> None:
        """Let whom an upstream calls `subject` sign in to an account. Raises NotFound for an account that is not
        there, and InputError when the identity has another one.
        """
        for attempt in self._operation(op_id, "identity", actor, [issuer, subject, account]):
            with attempt as operation:
                if operation.is_new:
                    connection = operation.connection
                    name = select(tables.accounts.c.name).where(tables.accounts.c.name == account)
                    if connection.execute(name).first() is None:
                        raise NotFound(f"There is no account {account!r}.")
                    _link_identity(operation, issuer, subject, account, actor)

    def erase_person(self, name: str, pseudonym: str, *, op_id: str, actor: str) -> dict[str, int]:
        """Put a pseudonym in a person's place everywhere (`annotations.people.erase`); rows by table."""
        actor = pseudonym if actor == name else actor
        # The name is not part of the request: its hash would tell whoever guesses the name.
        for attempt in self._operation(op_id, operation_log.ERASE, actor, [pseudonym]):
            with attempt as operation:
                if operation.is_new:
                    operation.result = people.erase(
                        operation.connection,
                        name,
                        pseudonym,
                        op_id=op_id,
                        at_ms=operation.at_ms,
                        actor=name if actor == pseudonym else actor,
                    )
        return dict(operation.result["rows"])

    def person_data(self, name: str) -> dict[str, Any]:
        """What the store has of a person, as JSON values (`annotations.people.person_data`)."""
        with self.database.read() as connection:
            return people.person_data(connection, name)

    def record_event(
        self,
        action: str,
        *,
        actor: str | None,
        person: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an entry of the audit log (`annotations.audit`) that belongs to no other write."""
        for transaction in self.database.transactions():
            with transaction as connection:
                audit.append(
                    connection, action, at_ms=self._clock(), actor=actor, person=person, detail=detail
                )

    def save_videos(self, videos: Sequence[Video], *, op_id: str, actor: str) -> None:
        """Register clips, or their new places (`annotations.videos` finds them)."""
        table = tables.videos
        clips = [dataclasses.asdict(video) for video in videos]
        for attempt in self._operation(op_id, "videos", actor, clips):
            with attempt as operation:
                if operation.is_new:
                    for clip in clips:
                        values = {**clip, "registered_at_ms": operation.at_ms}
                        _update_or_insert(operation.connection, table, table.c.vid == clip["vid"], values)

    def record_snapshot(self, *, sha256: str, path: str, counts: dict[str, int], actor: str) -> None:
        """Note that a snapshot was written; the same content is noted once."""
        table = tables.snapshots
        values = {"sha256": sha256, "path": path, "counts": counts, "actor": actor}
        for transaction in self.database.transactions():
            with transaction as connection:
                if connection.execute(select(table.c.id).where(table.c.sha256 == sha256)).first() is None:
                    connection.execute(insert(table), {**values, "created_at_ms": self._clock()})

    def _operation(
        self, op_id: str, kind: str, actor: str, request: Any
    ) -> Iterator[AbstractContextManager[Operation]]:
        """Attempts at one operation, as `Database.transactions` gives them; the last one is committed.

        `request` is what makes a repetition the same: JSON values. Raises InputError on an unusable id and
        OperationReused when the id was used for another request.
        """
        if not op_id or len(op_id) > MAX_OP_ID:
            raise InputError(
                f"An operation id has 1 to {MAX_OP_ID} characters; got {len(op_id)}. Send a UUID."
            )
        if not actor:
            raise InputError("A write needs the name of who does it; got an empty one.")
        record = {
            "op_id": op_id,
            "kind": kind,
            "actor": actor,
            "request_sha256": digest([kind, actor, request]),
        }
        for transaction in self.database.transactions():
            yield self._attempt(transaction, record)

    @contextmanager
    def _attempt(
        self, transaction: AbstractContextManager[Connection], record: dict[str, str]
    ) -> Iterator[Operation]:
        op_id = record["op_id"]
        with transaction as connection:
            if connection.dialect.name == "postgresql":
                # A retry that overtakes its first attempt waits for it here.
                connection.execute(LOCK_OPERATION, {"op_id": op_id})
            before = connection.execute(OPERATION, {"op_id": op_id}).one_or_none()
            operation = Operation(connection, op_id, self._clock())
            if before is not None:
                if before.request_sha256 != record["request_sha256"]:
                    raise OperationReused(
                        f"Operation {op_id!r} was done before with another request; "
                        "send a new id with a new request."
                    )
                operation.is_new, operation.result = False, before.result
            yield operation
            if operation.is_new:
                values = {**record, "result": operation.result, "created_at_ms": operation.at_ms}
                operation_log.append(connection, values)

    # Reading

    def query(self, query_id: int) -> Query:
        """One query. Raises NotFound."""
        with self.database.read() as connection:
            return reading.query(connection, query_id)

    def find(self, dataset: str, qid: str | int) -> Query:
        """A query by its dataset and its own id. Raises NotFound."""
        table = tables.queries
        with self.database.read() as connection:
            matches = reading.queries(connection, (table.c.dataset == dataset) & (table.c.qid == str(qid)))
        if not matches:
            raise NotFound(f"Dataset {dataset!r} has no query with qid {qid}.")
        return matches[0]

    def twins(self, query_id: int) -> list[Query]:
        """The other queries of its dataset that ask the same of the same video, oldest first. Raises NotFound."""
        with self.database.read() as connection:
            ids = list(connection.execute(reading.TWIN_IDS, {"query_id": query_id}).scalars())
            if not ids:
                reading.query(connection, query_id)
            return reading.queries(connection, tables.queries.c.id.in_(ids)) if ids else []

    def records(self, query_id: int) -> QueryRecords:
        """Everything that was said about one query. Raises NotFound."""
        with self.database.read() as connection:
            return next(reading.query_records(connection, [query_id]))

    def corrections(self, query_id: int) -> list[Correction]:
        """Every version of a query, drafts too, oldest first."""
        with self.database.read() as connection:
            return reading.corrections(connection, [query_id])[query_id]

    def versions(self, query_id: int) -> list[Correction]:
        """Each annotator's newest submitted version. Raises NotFound."""
        return self.records(query_id).versions

    def latest(self, query_id: int, annotator: str) -> Correction | None:
        """An annotator's newest version of a query, draft or not: the parent of their next one."""
        with self.database.read() as connection:
            return reading.latest(connection, query_id, annotator)

    def correction(self, correction_id: int) -> Correction:
        """One correction. Raises NotFound."""
        with self.database.read() as connection:
            return reading.correction(connection, correction_id)

    def proposals(self, query_id: int) -> list[Proposal]:
        """Every proposal for a query, oldest first."""
        with self.database.read() as connection:
            return reading.proposals(connection, [query_id])[query_id]

    def verdicts(self, query_id: int) -> list[Verdict]:
        """Every verdict on a query that stands, oldest first."""
        with self.database.read() as connection:
            return reading.verdicts(connection, [query_id])[query_id]

    def verdict(self, query_id: int) -> Verdict | None:
        """The present verdict on a query, if it has been adjudicated."""
        verdicts = self.verdicts(query_id)
        return verdicts[-1] if verdicts else None

    def resolved(self, query_id: int, rule: Rule = "latest") -> ResolvedAnswer:
        """The answer that a query has now (`records.resolve`)."""
        records = self.records(query_id)
        return resolve(records.query.row, records.versions, records.adopted, rule)

    def answered_records(self, dataset: str | None = None) -> list[QueryRecords]:
        """The records of the queries that somebody submitted an answer to, of one dataset or of all in use."""
        with self.database.read() as connection:
            return list(reading.answered_records(connection, dataset))

    def queue(
        self, queue_filter: QueueFilter = ALL, *, limit: int = 50, after: int | None = None
    ) -> list[QueueItem]:
        """A page of the queue with the reasons for each row's place; `after` is the last row's query id."""
        with self.database.read() as connection:
            return queue.page(connection, queue_filter, limit=limit, after=after)

    def browse(
        self, browse_filter: BrowseFilter | None = None, *, limit: int = 50, offset: int = 0
    ) -> BrowsePage:
        """Rows `offset` to `offset + limit` of the filtered table. Raises InputError on a page out of bounds."""
        with self.database.read() as connection:
            return queue.browse(connection, browse_filter or BrowseFilter(), limit=limit, offset=offset)

    def suspicions(self, query_id: int) -> list[Suspicion]:
        """Why a row looks wrong, strongest weight first; empty for a row that does not."""
        with self.database.read() as connection:
            return queue.reasons(connection, [query_id])[query_id]

    def annotator_progress(self, annotator: str, *, answers_per_row: int) -> AnnotatorProgress:
        """How far an annotator is; rows on loan to others count as remaining.

        Whoever takes part in projects is told of the one that they work in.
        """
        with self.database.read() as connection:
            own_projects = projects.projects_of(connection, annotator)
            counts: list[tuple[Project, tuple[int, int, int]]] = []
            for project in own_projects:
                counts.append((project, projects.member_counts(connection, project, annotator)))
                end_reason = projects.end_reason(connection, project, self._clock())
                if end_reason is None and counts[-1][1][1]:
                    break  # it has rows for them
            if counts:
                project, (submitted, remaining, waiting) = counts[-1]
                end_reason = projects.end_reason(connection, project, self._clock())
                return AnnotatorProgress(
                    submitted=submitted,
                    remaining=0 if end_reason else remaining,
                    project=project.name,
                    waiting_for_clip=0 if end_reason else waiting,
                    ended=end_reason,
                )
            submitted, remaining = queue.annotator_counts(
                connection, annotator, answers_per_row=answers_per_row
            )
        return AnnotatorProgress(submitted=submitted, remaining=remaining)

    def upcoming(
        self, annotator: str, *, answers_per_row: int, excluding: Sequence[int], limit: int
    ) -> list[int]:
        """The rows that would be lent to an annotator next, besides `excluding`; nothing is written."""
        with self.database.read() as connection:
            rows = _next_rows(
                connection,
                annotator,
                projects.projects_of(connection, annotator),
                ALL,
                answers_per_row=answers_per_row,
                excluding=excluding,
                at_ms=self._clock(),
                limit=limit,
            )
        return [query_id for query_id, _ in rows]

    def upcoming_row(
        self,
        annotator: str,
        *,
        answers_per_row: int,
        excluding: Sequence[int] = (),
        avoiding: Sequence[int] = (),
        queue_filter: QueueFilter = ALL,
        draw: str,
    ) -> UpcomingRow | None:
        """The row that `next_query` would lend now, with the arm that it would draw; nothing is written.

        Given to `next_query`, it is lent like that. `draw` is a new text each time. None: there is none, or nobody has
        drawn an arm in this store yet.
        """
        with self.database.read() as connection:
            seed = reading.setting(connection, "arm_seed")
            query_id, project_id, plant = self._next_row(
                connection,
                annotator,
                projects.projects_of(connection, annotator),
                queue_filter,
                answers_per_row=answers_per_row,
                excluding=excluding,
                avoiding=avoiding,
                at_ms=self._clock(),
                draw=draw,
            )
            if query_id is None or seed is None:
                return None
            if plant is not None:
                return UpcomingRow(query_id=query_id, arm="model-first", plant=plant)
            arm = connection.execute(ARM, {"query_id": query_id, "annotator": annotator}).scalar_one_or_none()
            if arm is None:
                project = None if project_id is None else projects.project(connection, project_id)
                arm = self._arm_to_draw(connection, query_id, annotator, project, seed)
            return UpcomingRow(query_id=query_id, arm=arm)

    def annotator_row(self, query_id: int, annotator: str) -> AnnotatorRow:
        """A query as one annotator's (`reading.AnnotatorRow`). Raises NotFound."""
        with self.database.read() as connection:
            return reading.annotator_row(connection, query_id, annotator)

    def plant(self, query_id: int, annotator: str) -> Plant | None:
        """The wrong proposal that was planted for somebody on a row, if one was."""
        table = tables.plants
        with self.database.read() as connection:
            own = (table.c.query_id == query_id) & (table.c.annotator == annotator)
            return next(iter(reading.plants(connection, own)), None)

    def planted_answers(self) -> list[PlantedAnswers]:
        """What people made of planted proposals (`annotations.planting`)."""
        with self.database.read() as connection:
            plants = reading.plants(connection, tables.plants.c.query_id.is_not(None))
            query_ids = sorted({plant.query_id for plant in plants})
            return planting.planted_answers(reading.query_records(connection, query_ids), plants)

    def reason_precisions(self) -> list[ReasonPrecision]:
        """How often each suspicion led to a change (`annotations.reason_precision`)."""
        with self.database.read() as connection:
            return reason_precisions(read_effects(connection))

    def plan_rows(self, plan: ProjectPlan) -> list[int]:
        """The rows that a project of this plan would have; nothing is written. Raises InputError."""
        with self.database.read() as connection:
            return projects.choose_rows(connection, plan)

    def projects(self) -> list[Project]:
        """Every project, oldest first."""
        with self.database.read() as connection:
            return projects.projects(connection)

    def project_progress(self, project_id: int) -> ProjectProgress:
        """How far a project is. Raises NotFound."""
        with self.database.read() as connection:
            return projects.progress(connection, project_id, now_ms=self._clock())

    def project_of_row(self, query_id: int, annotator: str | None = None) -> Project | None:
        """The project that holds a row (`projects.project_of_row`)."""
        with self.database.read() as connection:
            return projects.project_of_row(connection, query_id, annotator)

    def submitted_by(self, annotator: str, *, limit: int = 50) -> list[int]:
        """Ids of the queries that an annotator submitted, the latest first."""
        table = tables.corrections
        statement = (
            select(table.c.query_id)
            .join(tables.queue, tables.queue.c.query_id == table.c.query_id)
            .where(table.c.annotator == annotator, table.c.submitted)
            .group_by(table.c.query_id)
            .order_by(func.max(table.c.id).desc())
            .limit(limit)
        )
        with self.database.read() as connection:
            return list(connection.execute(statement).scalars())

    def blind_share(self) -> float:
        """The share of blind rows among those drawn, 0..1."""
        with self.database.read() as connection:
            return float(reading.setting(connection, "blind_share", BLIND_SHARE))

    def num_answers(self) -> int:
        """Submitted versions of everybody."""
        statement = select(func.count()).select_from(tables.corrections).where(tables.corrections.c.submitted)
        with self.database.read() as connection:
            return connection.execute(statement).scalar_one()

    def is_empty(self) -> bool:
        """Whether no dataset in use has a row."""
        with self.database.read() as connection:
            return connection.execute(select(tables.queue.c.query_id).limit(1)).first() is None

    def gains(self, query_ids: Sequence[int]) -> dict[int, float]:
        """The expected gain of each row, where it was worked out. At most MAX_PAGE_ROWS ids."""
        table = tables.gains
        statement = select(table).where(table.c.query_id.in_(query_ids))
        with self.database.read() as connection:
            return {row.query_id: row.gain for row in connection.execute(statement)}

    def proposers(self, dataset: str) -> frozenset[str]:
        """The names of the models that may propose for a dataset."""
        with self.database.read() as connection:
            return frozenset(connection.execute(PROPOSERS, {"dataset": dataset}).scalars())

    def datasets(self) -> dict[str, bool]:
        """Every dataset's name, and whether it is archived."""
        statement = select(tables.datasets).order_by(tables.datasets.c.name)
        with self.database.read() as connection:
            return {row.name: row.archived for row in connection.execute(statement)}

    def videos(self) -> list[Video]:
        """Every registered clip, by vid."""
        with self.database.read() as connection:
            return reading.records(connection, Video, select(tables.videos).order_by(tables.videos.c.vid))

    def video(self, vid: str) -> Video | None:
        """The clip registered for a vid, if there is one; its file may have gone since."""
        with self.database.read() as connection:
            return next(iter(reading.records(connection, Video, VIDEO, vid=vid)), None)

    def vids(self) -> list[str]:
        """The vid of every row of datasets that are not archived, once each, sorted."""
        query, dataset = tables.queries, tables.datasets
        joined = query.join(dataset, dataset.c.name == query.c.dataset)
        statement = select(query.c.vid).distinct().select_from(joined).where(~dataset.c.archived)
        with self.database.read() as connection:
            return sorted(connection.execute(statement).scalars())

    def account(self, name: str) -> Account:
        """One account. Raises NotFound."""
        with self.database.read() as connection:
            for account in reading.records(connection, Account, ACCOUNT, name=name):
                return account
        raise NotFound(f"There is no account {name!r}.")

    def identity(self, issuer: str, subject: str) -> Identity | None:
        """Whom an upstream calls `subject`; None for somebody new."""
        table = tables.identities
        statement = select(table).where(table.c.issuer == issuer, table.c.subject == subject)
        with self.database.read() as connection:
            rows = reading.records(connection, Identity, statement)
        return rows[0] if rows else None

    def identities(self, account: str) -> list[Identity]:
        """Who signs in to an account from elsewhere."""
        table = tables.identities
        statement = select(table).where(table.c.account == account).order_by(table.c.created_at_ms)
        with self.database.read() as connection:
            return reading.records(connection, Identity, statement)

    def audit_entries(
        self,
        *,
        action: str | None = None,
        person: str | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> list[AuditEntry]:
        """Entries of the audit log, the newest first (`annotations.audit.entries`)."""
        with self.database.read() as connection:
            return list(audit.entries(connection, action=action, person=person, before=before, limit=limit))

    def accounts(self) -> list[Account]:
        """Every account, by name."""
        with self.database.read() as connection:
            return reading.records(connection, Account, ACCOUNTS)


def _next_rows(
    connection: Connection,
    annotator: str,
    own_projects: Sequence[Project],
    queue_filter: QueueFilter,
    *,
    answers_per_row: int,
    excluding: Sequence[int],
    at_ms: int,
    limit: int = 1,
    only: int | None = None,
) -> list[tuple[int, int | None]]:
    """The next rows for an annotator, with their project: of the first that has any, else of the general queue.
    `only` this one, where it can be lent.
    """
    for project in own_projects:
        if projects.end_reason(connection, project, at_ms) is None:
            query_ids = projects.candidates(
                connection, project, annotator, excluding=excluding, limit=limit, only=only
            )
            if query_ids:
                return [(query_id, project.id) for query_id in query_ids]
    if own_projects:
        return []
    query_ids = queue.candidates(
        connection,
        annotator,
        queue_filter,
        answers_per_row=answers_per_row,
        excluding=excluding,
        limit=limit,
        only=only,
    )
    return [(query_id, None) for query_id in query_ids]


def _append_correction(
    operation: Operation,
    query_id: int,
    edit: Edit,
    *,
    annotator: str,
    parent_id: int | None,
    restores_id: int | None = None,
) -> Correction:
    """Add the annotator's next version and bring the queue up to date; a repetition answers the first one."""
    connection = operation.connection
    if not operation.is_new:
        return reading.correction(connection, operation.result)
    duration_ms = _lock_query(connection, query_id)
    if duration_ms is not None and edit.moments:
        end_ms = edit.moments[-1].end_ms
        if end_ms > duration_ms + DURATION_SLACK_MS:
            raise InputError(
                f"A moment ends at {end_ms / 1000} s, but the video at {duration_ms / 1000:g} s; cut it there."
            )
    present_id, revision = _present_version(connection, query_id, annotator)
    if parent_id != present_id:
        present = None if present_id is None else reading.correction(connection, present_id)
        raise _conflict(f"{annotator}'s version of query {query_id}", edit, present, parent_id)
    if edit.proposal_id is not None:
        _check_belongs(connection, tables.proposals, edit.proposal_id, query_id, "proposal")
    correction = _insert_correction(
        connection,
        op_id=operation.op_id,
        query_id=query_id,
        annotator=annotator,
        revision=revision + 1,
        parent_id=parent_id,
        restores_id=restores_id,
        created_at_ms=operation.at_ms,
        edit=edit,
    )
    operation.result = correction.id
    if edit.submitted:
        connection.execute(END_LOAN, {"own_query_id": query_id, "own_annotator": annotator})
        suspicion.renew(connection, [query_id])
    return correction


def _insert_correction(connection: Connection, *, edit: Edit, **fields: Any) -> Correction:
    """Write a version; `fields` are those of a Correction without its id, which the database gives."""
    values = edit.to_dict()
    moments = values.pop("moments")
    values |= {**fields, "moment_count": len(moments)}
    correction_id = connection.execute(INSERT_CORRECTION, values).scalar_one()
    for position, moment in enumerate(moments):
        moment |= {"correction_id": correction_id, "position": position}
    if moments:
        connection.execute(INSERT_MOMENTS, moments)
    return Correction(id=correction_id, edit=edit, **fields)


def _present_version(connection: Connection, query_id: int, annotator: str) -> tuple[int | None, int]:
    """The id and the revision of an annotator's newest version, draft or not; (None, 0) without one."""
    parameters = {"query_id": query_id, "annotator": annotator}
    row = connection.execute(PRESENT_VERSION, parameters).one_or_none()
    return (None, 0) if row is None else (row.id, row.revision)


def _insert_proposal(
    connection: Connection, query_id: int, prediction: Prediction, *, op_id: str, at_ms: int
) -> int:
    """The id of the new row."""
    table = tables.proposals
    values = dataclasses.asdict(prediction)
    values["moments"] = [[moment.start_ms, moment.end_ms, moment.confidence] for moment in prediction.moments]
    values |= {"op_id": op_id, "query_id": query_id, "created_at_ms": at_ms}
    return connection.execute(insert(table).returning(table.c.id), values).scalar_one()


def _add_versions(
    operation: Operation, rows: Sequence[Row], dataset: str, query_ids: dict[str, int]
) -> dict[str, int]:
    """Store the rows' `annotations`; those that an earlier import brought are recognised by their content."""
    connection, at_ms = operation.connection, operation.at_ms
    counts, changed_ids = {"proposals": 0, "corrections": 0}, set()
    records = []
    for row in rows:
        for version in row.annotations or ():
            if version.source == "original":
                continue
            op_id, query_id = imports.version_op_id(dataset, row.qid, version), query_ids[row.qid]
            table = tables.proposals if version.source == "model" else tables.corrections
            if connection.execute(select(table.c.id).where(table.c.op_id == op_id)).first() is not None:
                continue
            if version.source == "model":
                prediction = imports.prediction_of(version)
                # Whoever imports a model's answers about a dataset has named it for that.
                _save_proposers(connection, dataset, {model_name(prediction.model_id)})
                _insert_proposal(connection, query_id, prediction, op_id=op_id, at_ms=at_ms)
            else:
                parent_id, revision = _present_version(connection, query_id, version.annotator)
                _insert_correction(
                    connection,
                    op_id=op_id,
                    query_id=query_id,
                    annotator=version.annotator,
                    revision=revision + 1,
                    parent_id=parent_id,
                    restores_id=None,
                    created_at_ms=at_ms,
                    edit=imports.edit_of(version),
                )
            counts[table.name] += 1
            changed_ids.add(query_id)
            # The version's own operation, so that its next import finds it.
            record = {
                "op_id": op_id,
                "kind": "import-version",
                "request_sha256": op_id,
                "result": None,
                "actor": version.annotator,
                "created_at_ms": at_ms,
            }
            records.append(record)
    operation_log.append(connection, *records)
    suspicion.renew(connection, sorted(changed_ids))
    return counts


def _edit_to_restore(connection: Connection, query_id: int, to_id: int | None) -> Edit:
    """The content of an older version, or of the original as an edit."""
    if to_id is not None:
        _check_belongs(connection, tables.corrections, to_id, query_id, "correction")
        return dataclasses.replace(reading.correction(connection, to_id).edit, submitted=True)
    query = reading.query(connection, query_id)
    if query.row.verdict is None:
        raise InputError(
            f"Query {query_id} was imported without ground truth; there is nothing to go back to."
        )
    moments = tuple(EditedMoment.of(moment, "original") for moment in sorted(query.original or ()))
    reason = None if query.row.verdict == "moments" else query.row.reason or "the original says so"
    return Edit(verdict=query.row.verdict, moments=moments, reason=reason)


def _lock_query(connection: Connection, query_id: int) -> int | None:
    """The annotated duration in ms; other writers of the query wait until this transaction ends.

    Raises NotFound.
    """
    row = connection.execute(LOCK_QUERY, {"query_id": query_id}).one_or_none()
    if row is None:
        raise reading.no_query(query_id)
    return row.duration_ms


def _save_proposers(
    connection: Connection, dataset: str, models: Iterable[str], *, is_named: bool = True
) -> None:
    """Name models for a dataset, or take their names away; harmless to repeat."""
    table = tables.proposers
    for model in models:
        own = (table.c.dataset == dataset) & (table.c.model == model)
        connection.execute(delete(table).where(own))
        if is_named:
            connection.execute(insert(table), {"dataset": dataset, "model": model})


def _lock_lending(connection: Connection) -> None:
    """Let one transaction lend and draw at a time; SQLite's write transactions are alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LENDING_LOCK)))


def _update_or_insert(
    connection: Connection, table: Table, condition: ColumnElement[bool], values: dict[str, Any]
) -> None:
    """Write `values` over the row that meets the condition, or as a new row where there is none."""
    if connection.execute(update(table).where(condition).values(**values)).rowcount == 0:
        connection.execute(insert(table), values)


def _link_identity(operation: Operation, issuer: str, subject: str, account: str, actor: str) -> None:
    """Write who signs in to an account. Raises InputError when the identity has another one."""
    table, connection = tables.identities, operation.connection
    own = select(table.c.account).where(table.c.issuer == issuer, table.c.subject == subject)
    present = connection.execute(own).scalar_one_or_none()
    if present == account:
        return
    if present is not None:
        raise InputError(f"{subject!r} of {issuer} signs in to {present} already.")
    values = {"issuer": issuer, "subject": subject, "account": account, "created_at_ms": operation.at_ms}
    connection.execute(insert(table), values)
    audit.append(
        connection,
        "identity linked",
        at_ms=operation.at_ms,
        actor=actor,
        person=account,
        detail={"issuer": issuer},
    )


def _conflict(
    name: str, yours: Edit | int, theirs: Correction | Verdict | None, parent_id: int | None
) -> Conflict:
    present = "there is none" if theirs is None else f"the present one is {theirs.id}"
    return Conflict(
        f"{name} has moved on: your change starts from {parent_id}, {present}. "
        "Compare both and send it again.",
        yours=yours,
        theirs=theirs,
        parent_id=parent_id,
    )


def _check_belongs(connection: Connection, table: Table, record_id: int, query_id: int, name: str) -> None:
    statement = select(table.c.id).where(table.c.id == record_id, table.c.query_id == query_id)
    if connection.execute(statement).first() is None:
        raise InputError(f"There is no {name} {record_id} of query {query_id}.")
