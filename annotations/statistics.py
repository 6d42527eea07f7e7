"""Figures about a store: how much there is, how much is done, and how well people agree. Read-only.

The figures of agreement take what `Store.answered_records` gives.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, select

from annotations import tables
from annotations.agreement import AgreementReport, Version, agreement
from annotations.reading import QueryRecords
from annotations.records import resolve
from annotations.store import Store


def stats(store: Store) -> dict[str, Any]:
    """Counts by dataset, split, annotator, verdict, category and reason, as JSON values."""
    query, correction, place = tables.queries, tables.corrections, tables.queue
    submitted = correction.c.submitted
    with store.database.read() as connection:

        def count(table: Any, *conditions: Any) -> int:
            statement = select(func.count()).select_from(table).where(*conditions)
            return connection.execute(statement).scalar_one()

        categories: Counter[str] = Counter()
        for (names,) in connection.execute(select(correction.c.categories).where(submitted)):
            categories.update(names)
        return {
            "queries": count(query),
            "queries_by_dataset": _counts_by(connection, query.c.dataset),
            "queries_by_split": _counts_by(connection, query.c.split),
            "reviewed": count(place, place.c.reviews > 0),
            "adjudicated": count(place, place.c.adjudicated),
            "flagged": count(place, place.c.flagged),
            "corrections": count(correction, submitted),
            "drafts": count(correction, ~submitted),
            "corrections_by_annotator": _counts_by(connection, correction.c.annotator, submitted),
            "corrections_by_verdict": _counts_by(connection, correction.c.verdict, submitted),
            "corrections_by_category": dict(sorted(categories.items())),
            "proposals": count(tables.proposals),
            "proposals_by_model": _counts_by(connection, tables.proposals.c.model_id),
            "suspicions": _counts_by(connection, tables.suspicions.c.reason),
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
    counts = [func.count().filter(condition).label(name) for name, condition in columns.items()]
    statement = select(place.c.dataset, *counts).group_by(place.c.dataset).order_by(place.c.dataset)
    with store.database.read() as connection:
        rows = connection.execute(statement).mappings().all()
    return {row["dataset"]: {name: row[name] for name in columns} for row in rows}


def agreement_between_annotators(queries: Iterable[QueryRecords]) -> AgreementReport:
    """Agreement of the annotators' newest submitted versions of each query."""
    return agreement(
        (_duration_s(records), [Version.of(correction) for correction in records.independent_versions])
        for records in queries
    )


def agreement_with_original(queries: Iterable[QueryRecords]) -> AgreementReport:
    """Agreement of the released moments with the answer that holds, over rows that somebody reviewed."""
    items = []
    for records in queries:
        query = records.query
        answer = resolve(query.row, records.versions, records.adopted)
        if query.original is None or query.row.verdict is None or answer.verdict is None:
            continue
        before = Version(verdict=query.row.verdict, moments=query.original)
        after = Version(verdict=answer.verdict, moments=answer.moments or [])
        items.append((_duration_s(records), [before, after]))
    return agreement(items)


def agreement_of_each(queries: Iterable[QueryRecords]) -> dict[str, AgreementReport]:
    """For each annotator, agreement with every other annotator who did the same rows."""
    items: dict[str, list[tuple[float, list[Version]]]] = {}
    for records in queries:
        answers = records.independent_versions
        for answer in answers:
            pairs = [[Version.of(answer), Version.of(other)] for other in answers if other is not answer]
            items.setdefault(answer.annotator, []).extend((_duration_s(records), pair) for pair in pairs)
    return {annotator: agreement(pairs) for annotator, pairs in sorted(items.items())}


def _duration_s(records: QueryRecords) -> float:
    """The annotated duration, else where the last known moment ends."""
    if records.query.row.duration_s is not None:
        return records.query.row.duration_s
    moments = list(records.query.original or ())
    for correction in records.versions:
        moments += correction.edit.windows
    return max((moment.end_s for moment in moments), default=1.0)


def _counts_by(connection: Connection, column: Any, *conditions: Any) -> dict[str, int]:
    statement = select(column, func.count()).where(*conditions).group_by(column).order_by(column)
    return {row[0]: row[1] for row in connection.execute(statement)}
