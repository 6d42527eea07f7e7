"""Figures about a store: how much there is, how much is done, and how well people agree. Read-only."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, func, select

from annotations import reading, tables
from annotations.agreement import AgreementReport, Version, agreement
from annotations.records import ADJUDICATION, Correction, Query, latest_of_each, resolve
from annotations.store import Store


def stats(store: Store) -> dict[str, Any]:
    """Counts by dataset, split, annotator, verdict, category and reason, as JSON values."""
    query, correction, place = tables.queries, tables.corrections, tables.queue
    with store.database.read() as connection:

        def count(table: Any, *where: Any) -> int:
            return connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one()

        categories: Counter[str] = Counter()
        for (named,) in connection.execute(select(correction.c.categories).where(correction.c.submitted)):
            categories.update(named)
        submitted = correction.c.submitted
        return {
            "queries": count(query),
            "queries_by_dataset": _grouped(connection, query.c.dataset),
            "queries_by_split": _grouped(connection, query.c.split),
            "reviewed": count(place, place.c.reviews > 0),
            "adjudicated": count(place, place.c.adjudicated),
            "flagged": count(place, place.c.flagged),
            "corrections": count(correction, submitted),
            "drafts": count(correction, ~submitted),
            "corrections_by_annotator": _grouped(connection, correction.c.annotator, submitted),
            "corrections_by_verdict": _grouped(connection, correction.c.verdict, submitted),
            "corrections_by_category": dict(sorted(categories.items())),
            "proposals": count(tables.proposals),
            "proposals_by_model": _grouped(connection, tables.proposals.c.model_id),
            "suspicions": _grouped(connection, tables.suspicions.c.reason),
            "videos": count(tables.videos),
            "queries_with_video": count(query.join(tables.videos, tables.videos.c.vid == query.c.vid)),
            "snapshots": count(tables.snapshots),
        }


def dataset_progress(store: Store) -> dict[str, dict[str, int]]:
    """For each dataset that is not archived: rows that are open, answered (but not decided) and decided."""
    place = tables.queue
    columns = {
        "open": (place.c.reviews == 0) & ~place.c.adjudicated,
        "answered": (place.c.reviews > 0) & ~place.c.adjudicated,
        "decided": place.c.adjudicated,
    }
    counts = [func.count().filter(where).label(name) for name, where in columns.items()]
    statement = select(place.c.dataset, *counts).group_by(place.c.dataset).order_by(place.c.dataset)
    with store.database.read() as connection:
        found = connection.execute(statement).mappings().all()
    return {each["dataset"]: {name: each[name] for name in columns} for each in found}


def agreement_between_annotators(store: Store, *, dataset: str | None = None) -> AgreementReport:
    """Agreement of the annotators' newest submitted versions of each query."""
    with store.database.read() as connection:
        return agreement(
            (_duration_s(query, versions), [_version(each) for each in _annotated(versions)])
            for query, versions, _ in _reviewed(connection, dataset)
        )


def agreement_with_original(store: Store, *, dataset: str | None = None) -> AgreementReport:
    """Agreement of the released moments with the answer that holds, over rows that somebody reviewed."""
    with store.database.read() as connection:
        return agreement(
            (_duration_s(query, versions), pair)
            for query, versions, adopted in _reviewed(connection, dataset)
            if (pair := _before_and_after(query, versions, adopted))
        )


def agreement_of_each(store: Store, *, dataset: str | None = None) -> dict[str, AgreementReport]:
    """For each annotator, agreement with every other annotator who did the same rows."""
    found: dict[str, list[tuple[float, list[Version]]]] = {}
    with store.database.read() as connection:
        for query, versions, _ in _reviewed(connection, dataset):
            answers = _annotated(versions)
            for mine in answers:
                pairs = [[_version(mine), _version(other)] for other in answers if other is not mine]
                duration_s = _duration_s(query, versions)
                found.setdefault(mine.annotator, []).extend((duration_s, pair) for pair in pairs)
    return {annotator: agreement(items) for annotator, items in sorted(found.items())}


def _reviewed(
    connection: Connection, dataset: str | None
) -> Iterator[tuple[Query, list[Correction], Correction | None]]:
    """Queries that have a submitted correction, with each annotator's newest and the adopted one."""
    place = tables.queue
    statement = select(place.c.query_id).where(place.c.reviews > 0).order_by(place.c.query_id)
    if dataset is not None:
        statement = statement.where(place.c.dataset == dataset)
    for ids in reading.chunks(connection.execute(statement).scalars().all()):
        queries = reading.queries(connection, ids)
        versions = reading.corrections(connection, ids)
        decided = reading.verdicts(connection, ids)
        for query_id in ids:
            named = decided[query_id][-1].correction_id if decided[query_id] else None
            adopted = next((each for each in versions[query_id] if each.id == named), None)
            yield queries[query_id], latest_of_each(versions[query_id]), adopted


def _annotated(versions: list[Correction]) -> list[Correction]:
    """The versions without those that adjudicators made after looking at the others."""
    return [each for each in versions if each.edit.arm != ADJUDICATION]


def _before_and_after(
    query: Query, versions: list[Correction], adopted: Correction | None
) -> list[Version] | None:
    answer = resolve(query, versions, adopted)
    if query.original is None or query.row.verdict is None or answer.verdict is None:
        return None
    after = Version(verdict=answer.verdict, moments=answer.moments or [])
    return [Version(verdict=query.row.verdict, moments=query.original), after]


def _version(correction: Correction) -> Version:
    return Version(verdict=correction.edit.verdict, moments=correction.edit.windows)


def _duration_s(query: Query, versions: list[Correction]) -> float:
    """The annotated duration, else where the last known moment ends."""
    if query.row.duration_s is not None:
        return query.row.duration_s
    ends = [moment.end_s for each in versions for moment in each.edit.windows]
    return max([moment.end_s for moment in query.original or ()] + ends, default=1.0)


def _grouped(connection: Connection, column: Any, *where: Any) -> dict[str, int]:
    statement = select(column, func.count()).where(*where).group_by(column).order_by(column)
    return {each[0]: each[1] for each in connection.execute(statement)}
