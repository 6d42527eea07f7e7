"""Projects: rows that certain people answer, how often, in which order, and until when.

Whoever takes part in a project that is not closed works in projects only, in the oldest one that has a row for them.
The rows of such a project are lent to nobody else. Rows without a registered clip do not stand in its queue. A row
that somebody has answered and that wants more answers comes before rows that nobody has, so that second answers begin
at once.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from annotations import queue, reading, tables
from annotations.arms import check_blind_share
from annotations.errors import NotFound
from annotations.queue import BrowseFilter
from annotations.records import ADJUDICATION, PLANTED, check_choice, check_text
from tempo_core.errors import InputError

ProjectState = Literal["open", "paused", "closed"]
PROJECT_STATES: tuple[ProjectState, ...] = get_args(ProjectState)
ProjectOrder = Literal["suspicion", "gain", "import"]
PROJECT_ORDERS: tuple[ProjectOrder, ...] = get_args(ProjectOrder)

MAX_NAME = 80
MAX_ANSWERS = 3
"""Answers of a row at most: the knee of agreement with a held-out annotator."""
MAX_PEOPLE = 200
MAX_PLANTED = 0.3
"""Planted rows cost people's time."""
DAY_MS = 86_400_000
PACE_DAYS = 7.0
"""The expected day goes by the answers of so many days."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectPlan:
    """What a project is to be."""

    name: str
    rows: BrowseFilter = field(default_factory=BrowseFilter)
    """Which rows; its `order` says which of them come first where `most_rows` cuts."""
    qids: tuple[str, ...] = ()
    """Only these, by their own ids."""
    most_rows: int | None = None
    guidelines: str = ""
    people: tuple[str, ...] = ()
    """Who takes part."""
    answers_per_row: int = 1
    """1 to MAX_ANSWERS, each by another person."""
    second_share: float = 0.0
    """With one answer a row: the share of the rows, drawn by chance, that get a second one, 0..1."""
    order: ProjectOrder = "suspicion"
    blind_share: float | None = None
    """Of the rows that somebody draws here; None: the store's."""
    planted_share: float = 0.0
    """Of the lent rows: decided ones with a wrong proposal, 0..MAX_PLANTED (`annotations.planting`)."""
    end_answers: int | None = None
    """The project ends with so many answers; None: when every row has its own."""
    end_day: str | None = None
    """The last day of work, as 2026-11-30 (UTC)."""

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_text("guidelines", self.guidelines)
        if not self.name.strip() or len(self.name) > MAX_NAME:
            raise InputError(f"A project's name has 1 to {MAX_NAME} characters; got {len(self.name)}.")
        if type(self.answers_per_row) is not int or not 1 <= self.answers_per_row <= MAX_ANSWERS:
            raise InputError(f"A row gets 1 to {MAX_ANSWERS} answers; {self.answers_per_row} were asked for.")
        if not 0 <= self.second_share <= 1 or (self.second_share and self.answers_per_row > 1):
            raise InputError(
                f"{self.second_share} of the rows are to get a second answer, of {self.answers_per_row} a row; give a "
                "share from 0 to 1, with one answer a row."
            )
        check_choice("order", self.order, PROJECT_ORDERS)
        if self.blind_share is not None:
            check_blind_share(self.blind_share)
        if not 0 <= self.planted_share <= MAX_PLANTED:
            raise InputError(f"The share of planted rows is {self.planted_share}; give 0 to {MAX_PLANTED}.")
        for name in ("end_answers", "most_rows"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 1 <= value < 2**31):
                raise InputError(f"{name} is {value}; give a whole number from 1 on, or nothing.")
        _check_day(self.end_day)
        if len(self.people) > MAX_PEOPLE:
            raise InputError(f"At most {MAX_PEOPLE} people take part in a project; got {len(self.people)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectChange:
    """What of a project is to change; None leaves it. Its rows stay."""

    guidelines: str | None = None
    people: tuple[str, ...] | None = None
    """Everybody who takes part from now on."""
    state: ProjectState | None = None
    end_answers: int | None = None
    """0 takes the condition away."""
    end_day: str | None = None
    """An empty text takes it away."""

    def __post_init__(self) -> None:
        check_text("guidelines", self.guidelines)
        check_choice("state", self.state, (None, *PROJECT_STATES))
        _check_day(self.end_day or None)
        if self.people is not None and len(self.people) > MAX_PEOPLE:
            raise InputError(f"At most {MAX_PEOPLE} people take part in a project; got {len(self.people)}.")
        if self.end_answers is not None and not 0 <= self.end_answers < 2**31:
            raise InputError(f"end_answers is {self.end_answers}; give a whole number, 0 for no end.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A project as it is stored."""

    id: int
    name: str
    guidelines: str
    answers_per_row: int
    second_share: float
    order: ProjectOrder
    blind_share: float | None
    planted_share: float
    end_answers: int | None
    end_day: str | None
    state: ProjectState
    selection: dict[str, Any]
    """What was asked for when its rows were chosen."""
    created_by: str
    created_at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberProgress:
    """One person's work in a project."""

    annotator: str
    takes_part: bool
    """False: answered rows of it, and takes no part now."""
    answers: int
    """Rows that they submitted."""
    rows_per_hour: float | None
    """Of working time, without idle stretches; None where no answer counted it."""
    left: int
    """Rows that the project still has for them."""
    last_at_ms: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectProgress:
    """How far a project is."""

    project: Project
    rows: int
    complete: int
    """Rows with all their answers, or decided."""
    answers_wanted: int
    answers_given: int
    """Those beyond what a row wants do not count."""
    without_clip: int
    """Rows that want answers and whose clip is not registered: they do not stand in the queue."""
    people: tuple[MemberProgress, ...]
    rows_per_hour: float | None
    answers_per_day: float | None
    """Over the last PACE_DAYS days, or since the first answer; None before it."""
    expected_day: str | None
    """When the answers that are left are there at that pace, as 2026-11-30; None where nobody works."""
    ended: str | None
    """Why nothing is lent any more."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def choose_rows(connection: Connection, plan: ProjectPlan) -> list[int]:
    """The ids of the plan's rows, in its order. Raises InputError where there are none or a qid is unknown."""
    place, query = tables.queue, tables.queries
    conditions = queue.browse_conditions(plan.rows)
    if plan.qids:
        qids = list(dict.fromkeys(plan.qids))
        ids_of_qid: dict[str, list[int]] = {}
        for batch in reading.chunks(qids):
            statement = select(query.c.qid, query.c.id).where(query.c.qid.in_(batch))
            if plan.rows.dataset is not None:
                statement = statement.where(query.c.dataset == plan.rows.dataset)
            for row in connection.execute(statement.order_by(query.c.id)):
                ids_of_qid.setdefault(row.qid, []).append(row.id)
        unknown = [qid for qid in qids if qid not in ids_of_qid]
        if unknown:
            raise InputError(
                f"{len(unknown)} of {len(qids)} qids are unknown, the first {', '.join(unknown[:5])}. Look at the "
                "dataset, or leave them out."
            )
        if any(len(ids) > 1 for ids in ids_of_qid.values()):
            raise InputError("Several datasets have rows with these qids; name the dataset as well.")
        chosen = {ids[0] for ids in ids_of_qid.values()}
    rank: dict[ProjectOrder, tuple[ColumnElement[Any], ...]] = {
        "suspicion": (place.c.score.desc(), place.c.query_id),
        "gain": (queue.expected_gain().desc(), place.c.query_id),
        "import": (place.c.query_id,),
    }
    statement_of_ids = select(place.c.query_id).where(*conditions).order_by(*rank[plan.order])
    query_ids = list(connection.execute(statement_of_ids).scalars())
    if plan.qids:
        query_ids = [query_id for query_id in query_ids if query_id in chosen]
    query_ids = query_ids[: plan.most_rows]
    if not query_ids:
        raise InputError("No row fits this selection, so there would be nothing to do. Widen it.")
    return query_ids


def add(connection: Connection, plan: ProjectPlan, *, actor: str, at_ms: int) -> int:
    """Write a new project with its rows and people, and return its id. Raises InputError."""
    table = tables.projects
    if connection.execute(select(table.c.id).where(table.c.name == plan.name)).first() is not None:
        raise InputError(f"There is a project {plan.name!r} already; choose another name.")
    query_ids = choose_rows(connection, plan)
    values: dict[str, Any] = {
        "name": plan.name,
        "guidelines": plan.guidelines,
        "answers_per_row": plan.answers_per_row,
        "second_share": plan.second_share,
        "order": plan.order,
        "blind_share": plan.blind_share,
        "planted_share": plan.planted_share,
        "end_answers": plan.end_answers,
        "end_day": plan.end_day,
    }
    selection = {**asdict(plan.rows), "qids": list(plan.qids), "most_rows": plan.most_rows}
    values |= {"state": "open", "selection": selection, "created_by": actor, "created_at_ms": at_ms}
    project_id = connection.execute(insert(table).returning(table.c.id), values).scalar_one()
    seconds = random.Random(f"{project_id}/{plan.name}/{at_ms}")
    doubled = set(seconds.sample(query_ids, round(plan.second_share * len(query_ids))))
    rows = [
        {
            "project_id": project_id,
            "query_id": query_id,
            "answers_wanted": plan.answers_per_row + (query_id in doubled),
        }
        for query_id in query_ids
    ]
    connection.execute(insert(tables.project_rows), rows)
    _set_people(connection, project_id, plan.people)
    return project_id


def change(connection: Connection, project_id: int, new: ProjectChange) -> None:
    """Write what is to change. Raises NotFound, InputError."""
    present = project(connection, project_id)
    values: dict[str, Any] = {}
    if new.guidelines is not None:
        values["guidelines"] = new.guidelines
    if new.state is not None:
        values["state"] = new.state
    if new.end_answers is not None:
        values["end_answers"] = new.end_answers or None
    if new.end_day is not None:
        values["end_day"] = new.end_day or None
    if values:
        table = tables.projects
        connection.execute(update(table).where(table.c.id == present.id).values(**values))
    if new.people is not None:
        _set_people(connection, project_id, new.people)


def project(connection: Connection, project_id: int) -> Project:
    """One project. Raises NotFound."""
    statement = select(tables.projects).where(tables.projects.c.id == project_id)
    matches = reading.records(connection, Project, statement)
    if not matches:
        raise NotFound(f"There is no project {project_id}.")
    return matches[0]


def projects(connection: Connection) -> list[Project]:
    """Every project, oldest first."""
    return reading.records(connection, Project, select(tables.projects).order_by(tables.projects.c.id))


def people(connection: Connection, project_id: int) -> list[str]:
    """Who takes part, by name."""
    table = tables.project_members
    statement = select(table.c.annotator).where(table.c.project_id == project_id).order_by(table.c.annotator)
    return list(connection.execute(statement).scalars())


def projects_of(connection: Connection, annotator: str) -> list[Project]:
    """The projects that a person takes part in and that are not closed, oldest first."""
    return reading.records(connection, Project, PROJECTS_OF, annotator=annotator)


def project_of_row(connection: Connection, query_id: int, annotator: str | None = None) -> Project | None:
    """The oldest project that is not closed and holds a row; with a name, one that they take part in."""
    if annotator is None:
        projects = reading.records(connection, Project, PROJECT_OF_ROW, query_id=query_id)
    else:
        projects = reading.records(
            connection, Project, OWN_PROJECT_OF_ROW, query_id=query_id, annotator=annotator
        )
    return projects[0] if projects else None


def end_reason(connection: Connection, present: Project, now_ms: int) -> str | None:
    """Why a project lends nothing any more; None: it goes on."""
    if present.state != "open":
        return f"The project is {present.state}."
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()
    if present.end_day is not None and today > present.end_day:
        return f"Its last day was {present.end_day}."
    if present.end_answers is not None and _given_answers(connection, present.id) >= present.end_answers:
        answers = "the answer" if present.end_answers == 1 else f"the {present.end_answers} answers"
        return f"It has {answers} that it was to get."
    return None


def candidates(
    connection: Connection,
    present: Project,
    annotator: str,
    *,
    excluding: Sequence[int],
    limit: int = 1,
    only: int | None = None,
) -> list[int]:
    """The first rows of the project for this annotator; `only` this one where it is one of them. The caller lets one
    transaction lend at a time.
    """
    parameters = {
        "project_id": present.id,
        "annotator": annotator,
        "excluding": list(excluding),
        "most": limit,
    }
    statement = CANDIDATES[present.order]
    if only is not None:
        statement, parameters["only"] = statement.where(_place.c.query_id == bindparam("only")), only
    return list(connection.execute(statement, parameters).scalars())


def member_counts(connection: Connection, present: Project, annotator: str) -> tuple[int, int, int]:
    """Rows of a project that a person submitted, that it still has for them, and that wait for their clip."""
    parameters = {"project_id": present.id, "annotator": annotator}
    num_own, num_remaining, num_waiting = connection.execute(MEMBER_COUNTS, parameters).one()
    return num_own, num_remaining, num_waiting


def progress(connection: Connection, project_id: int, *, now_ms: int) -> ProjectProgress:
    """How far a project is, for each person too. Read-only. Raises NotFound."""
    present = project(connection, project_id)
    place, row, correction = tables.queue, tables.project_rows, tables.corrections
    joined = place.join(row, row.c.query_id == place.c.query_id)
    is_complete = or_(place.c.adjudicated, place.c.reviews >= row.c.answers_wanted)
    columns = (
        func.count(),
        func.count().filter(is_complete),
        func.count().filter(~is_complete, ~has_clip()),
        func.coalesce(func.sum(row.c.answers_wanted), 0),
        func.coalesce(func.sum(row.c.answers_wanted - place.c.reviews).filter(~is_complete), 0),
    )
    statement = select(*columns).select_from(joined).where(row.c.project_id == project_id)
    num_rows, num_complete, without_clip, num_answers, remaining = connection.execute(statement).one()

    # Each person's first submission of a row dates it; the newest one says what it took.
    is_answer = (correction.c.submitted) & (
        func.coalesce(correction.c.arm, "").not_in((ADJUDICATION, PLANTED))
    )
    answers = (
        select(
            correction.c.annotator, correction.c.query_id, correction.c.created_at_ms, correction.c.active_ms
        )
        .join(row, row.c.query_id == correction.c.query_id)
        .where(row.c.project_id == project_id, is_answer)
        .order_by(correction.c.id)
    )
    first_at_ms: dict[str, dict[int, int]] = {}
    active_ms: dict[str, dict[int, int | None]] = {}
    for answer in connection.execute(answers):
        first_at_ms.setdefault(answer.annotator, {}).setdefault(answer.query_id, answer.created_at_ms)
        active_ms.setdefault(answer.annotator, {})[answer.query_id] = answer.active_ms

    members = people(connection, project_id)
    reports = []
    for annotator in sorted({*members, *first_at_ms}):
        dates = first_at_ms.get(annotator, {})
        _, num_open, _ = member_counts(connection, present, annotator)
        reports.append(
            MemberProgress(
                annotator=annotator,
                takes_part=annotator in members,
                answers=len(dates),
                rows_per_hour=_rows_per_hour(active_ms.get(annotator, {}).values()),
                left=num_open if annotator in members else 0,
                last_at_ms=max(dates.values(), default=None),
            )
        )
    dates_ms = [at_ms for dates in first_at_ms.values() for at_ms in dates.values()]
    per_day, expected_day = None, None
    if dates_ms:
        days = min(PACE_DAYS, max(1.0, (now_ms - min(dates_ms)) / DAY_MS))
        per_day = sum(at_ms >= now_ms - days * DAY_MS - 1 for at_ms in dates_ms) / days
    if present.end_answers is not None:
        remaining = min(remaining, max(0, present.end_answers - _given_answers(connection, project_id)))
    if per_day and remaining:
        expected = datetime.fromtimestamp(now_ms / 1000, UTC).date() + timedelta(
            days=min(36_500, math.ceil(round(remaining / per_day, 2)))
        )
        expected_day = expected.isoformat()
    reason = end_reason(connection, present, now_ms)
    if reason is None and not remaining:
        reason = "Every row has its answers."
    return ProjectProgress(
        project=present,
        rows=num_rows,
        complete=num_complete,
        answers_wanted=int(num_answers),
        answers_given=_given_answers(connection, project_id),
        without_clip=without_clip,
        people=tuple(reports),
        rows_per_hour=_rows_per_hour([row_ms for own in active_ms.values() for row_ms in own.values()]),
        answers_per_day=per_day,
        expected_day=expected_day,
        ended=reason,
    )


def has_clip() -> ColumnElement[bool]:
    """The condition that a row of the queue has a registered clip."""
    query = tables.queries
    with_clip = select(query.c.id).join(tables.videos, tables.videos.c.vid == query.c.vid)
    return tables.queue.c.query_id.in_(with_clip)


def _given_answers(connection: Connection, project_id: int) -> int:
    """Answers of the project's rows, none beyond what a row wants."""
    return int(connection.execute(GIVEN_ANSWERS, {"project_id": project_id}).scalar_one())


def _set_people(connection: Connection, project_id: int, names: Sequence[str]) -> None:
    """Make these the people who take part. Raises InputError on a name that no account has."""
    account = tables.accounts
    accounts = set(connection.execute(select(account.c.name).where(~account.c.disabled)).scalars())
    unknown = [name for name in names if accounts and name not in accounts]
    if unknown:
        raise InputError(
            f"There is no account {unknown[0]!r}; the accounts are {', '.join(sorted(accounts))}."
        )
    table = tables.project_members
    connection.execute(delete(table).where(table.c.project_id == project_id))
    values = [{"project_id": project_id, "annotator": name} for name in dict.fromkeys(names) if name]
    if values:
        connection.execute(insert(table), values)


def _rows_per_hour(active_ms: Any) -> float | None:
    stated_ms = [row_ms for row_ms in active_ms if row_ms]
    return 3_600_000 * len(stated_ms) / sum(stated_ms) if stated_ms else None


def _check_day(day: str | None) -> None:
    if day is None:
        return
    try:
        is_day = date.fromisoformat(day).isoformat() == day
    except ValueError:
        is_day = False
    if not is_day:
        raise InputError(f"The last day is {day!r}; write it as 2026-11-30.")


# The statements of the next row, built once (`annotations.reading`).
_project, _member, _row, _place = (
    tables.projects,
    tables.project_members,
    tables.project_rows,
    tables.queue,
)
_annotator: BindParameter[str] = bindparam("annotator")
_of_project = _row.c.project_id == bindparam("project_id")
PROJECTS_OF = (
    select(_project)
    .join(_member, _member.c.project_id == _project.c.id)
    .where(_member.c.annotator == _annotator, _project.c.state != "closed")
    .order_by(_project.c.id)
)
PROJECT_OF_ROW = (
    select(_project)
    .join(_row, _row.c.project_id == _project.c.id)
    .where(_row.c.query_id == bindparam("query_id"), _project.c.state != "closed")
    .order_by(_project.c.id)
    .limit(1)
)
OWN_PROJECT_OF_ROW = PROJECT_OF_ROW.where(
    _project.c.id.in_(select(_member.c.project_id).where(_member.c.annotator == _annotator))
)
_joined = _place.join(_row, _row.c.query_id == _place.c.query_id)
_is_own = queue.is_submitted_by(_annotator)
_is_open = and_(~_place.c.adjudicated, _place.c.reviews < _row.c.answers_wanted, ~_is_own)
"""That a person can still answer a row of the project."""
_has_clip = has_clip()
MEMBER_COUNTS = (
    select(
        func.count().filter(_is_own),
        func.count().filter(_is_open, _has_clip),
        func.count().filter(_is_open, ~_has_clip),
    )
    .select_from(_joined)
    .where(_of_project)
)
GIVEN_ANSWERS = (
    select(
        func.coalesce(
            func.sum(
                case(
                    (_place.c.reviews < _row.c.answers_wanted, _place.c.reviews), else_=_row.c.answers_wanted
                )
            ),
            0,
        )
    )
    .select_from(_joined)
    .where(_of_project)
)
_ranks: dict[ProjectOrder, list[ColumnElement[Any]]] = {
    "suspicion": [_place.c.score.desc()],
    "gain": [queue.expected_gain().desc()],
    "import": [],
}
CANDIDATES = {
    order: select(_place.c.query_id)
    .select_from(_joined)
    .where(_of_project, _is_open, _has_clip)
    .where(_place.c.reviews + queue.others_at_work() < _row.c.answers_wanted)
    .where(_place.c.query_id.not_in(bindparam("excluding", expanding=True)))
    .order_by((_place.c.reviews > 0).desc(), *rank, _place.c.query_id)
    .limit(bindparam("most"))
    for order, rank in _ranks.items()
}
