"""Wrong proposals on purpose: how far people keep what they are shown, measured where the truth is known.

A planted row is one that somebody has decided. It is lent once more, to somebody who has not answered it, with the
decided moments moved so far that they are wrong, under the name of the model that proposed for the row. What is
answered there counts nowhere else: the decision stands, and agreement, gains, snapshots and exports leave it out. Why
it is measured: arXiv 2509.08514.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select

from annotations import projects, queue, reading, tables
from annotations.agreement import matched_tiou
from annotations.projects import Project
from annotations.proposers import named_proposals
from annotations.reading import QueryRecords
from annotations.records import PLANTED, Plant, latest_of_each
from tempo_core.moments import Moment, merge

WRONG_TIOU = 0.5
"""What is planted overlaps the decision by no more."""
RIGHT_TIOU = 0.7
"""An answer from here on found what was decided."""
SHIFT = 0.6
"""How far a moment is moved, as a share of its length."""
MIN_SHIFT_S = 2.0
FRAME_MS = 40
"""An edge that moved by less was left where it was shown."""
MAX_TRIES = 20
"""Decided rows that are looked at for one that can be planted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlantedAnswers:
    """What one annotator made of planted proposals."""

    annotator: str
    answers: int
    kept: int
    """Answers that are what was shown, to a frame."""
    right: int
    """Answers that agree with the decision (RIGHT_TIOU)."""
    flagged: int


def wrong_moments(moments: Sequence[Moment], duration_s: float, rng: random.Random) -> list[Moment] | None:
    """The moments moved, all one way, inside the clip; None where there is no room to make them wrong."""
    directions = [1, -1]
    rng.shuffle(directions)
    for direction in directions:
        moved = []
        for moment in moments:
            shift_s = direction * max(MIN_SHIFT_S, SHIFT * moment.duration_s)
            start_s, end_s = max(0.0, moment.start_s + shift_s), min(duration_s, moment.end_s + shift_s)
            if end_s - start_s >= MIN_SHIFT_S / 2:
                moved.append(Moment.from_ms(round(start_s * 1000), round(end_s * 1000)))
        wrong = merge(moved)
        if wrong and matched_tiou(wrong, moments) <= WRONG_TIOU:
            return wrong
    return None


def decided_rows(connection: Connection, project_id: int, annotator: str) -> list[int]:
    """Decided rows of a project that this annotator has never had, and that have their clip, in the order of ids."""
    place, row, assignment = tables.queue, tables.project_rows, tables.assignments
    had_before = select(assignment.c.query_id).where(assignment.c.annotator == annotator)
    statement = (
        select(place.c.query_id)
        .join(row, row.c.query_id == place.c.query_id)
        .where(row.c.project_id == project_id, place.c.adjudicated, projects.has_clip())
        .where(~queue.is_submitted_by(annotator), place.c.query_id.not_in(had_before))
        .order_by(place.c.query_id)
    )
    return list(connection.execute(statement).scalars())


def draw_plant(
    connection: Connection, project: Project, annotator: str, *, rng: random.Random
) -> Plant | None:
    """A wrong proposal on a decided row of the project for this annotator; None without one. Read-only."""
    query_ids = decided_rows(connection, project.id, annotator)
    rng.shuffle(query_ids)
    names = tables.proposers
    for records in reading.query_records(connection, query_ids[:MAX_TRIES]):
        query, adopted = records.query, records.adopted
        named = select(names.c.model).where(names.c.dataset == query.dataset)
        proposals = named_proposals(records.proposals, connection.execute(named).scalars())
        if adopted is None or adopted.verdict != "moments" or not proposals:
            continue
        windows = adopted.edit.windows
        wrong = wrong_moments(windows, query.row.duration_s or windows[-1].end_s, rng)
        if wrong is not None:
            return Plant(
                query_id=query.id,
                annotator=annotator,
                project_id=project.id,
                correction_id=adopted.id,
                model_id=proposals[-1].prediction.model_id,
                moments=tuple(moment.to_ms() for moment in wrong),
            )
    return None


def insert_plant(connection: Connection, plant: Plant, *, at_ms: int) -> None:
    """Record a drawn plant, on a row that is lent with it."""
    values = {**asdict(plant), "moments": [list(edges) for edges in plant.moments], "created_at_ms": at_ms}
    connection.execute(insert(tables.plants), values)
    assignment = {"query_id": plant.query_id, "annotator": plant.annotator, "arm": "model-first"}
    connection.execute(insert(tables.assignments), assignment)


def planted_answers(queries: Iterable[QueryRecords], plants: Iterable[Plant]) -> list[PlantedAnswers]:
    """What each annotator made of what was planted for them, by name; `queries` hold the planted rows' records."""
    plant_of = {(plant.query_id, plant.annotator): plant for plant in plants}
    outcomes: dict[str, list[tuple[bool, bool, bool]]] = {}
    for records in queries:
        adopted = records.adopted
        answers = latest_of_each(
            version
            for version in records.corrections
            if version.edit.submitted and version.edit.arm == PLANTED
        )
        for answer in answers:
            present = plant_of.get((records.query.id, answer.annotator))
            if present is None or adopted is None:
                continue
            pairs = [(moment.start_ms, moment.end_ms) for moment in answer.edit.moments]
            is_same = len(pairs) == len(present.moments) and all(
                abs(a - c) <= FRAME_MS and abs(b - d) <= FRAME_MS
                for (a, b), (c, d) in zip(pairs, present.moments, strict=True)
            )
            right = matched_tiou(answer.edit.windows, adopted.edit.windows) >= RIGHT_TIOU
            outcomes.setdefault(answer.annotator, []).append((is_same, right, answer.edit.flagged))
    return [
        PlantedAnswers(
            annotator=annotator,
            answers=len(rows),
            kept=sum(is_same for is_same, _, _ in rows),
            right=sum(right for _, right, _ in rows),
            flagged=sum(flagged for _, _, flagged in rows),
        )
        for annotator, rows in sorted(outcomes.items())
    ]
