"""Why a row looks wrong: reasons as data, each with its number, and one documented formula for the order.

Pure functions of what is known about one row, and `renew`, which stores their results for rows of which something
was said.

The order. Each reason has a weight w (how often it pays to look) and a strength s in (0, 1] made from its
number. A row's score is the chance that at least one reason is right if they were independent:

    score = 1 - product over reasons of (1 - w * s)

so that it lies in [0, 1), grows with every further reason, and no pile of weak ones beats a certain one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
)

from annotations import tables
from annotations.choices import Reason
from annotations.proposers import ANY
from annotations.records import PLANTED, answering_version, released_moments
from tempo_core.moments import Moment, intersection_s, merge, set_iou

CLIP_S = 2.0
"""Seconds of one QVHighlights clip, the unit in which its annotators worked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonRule:
    """How one reason counts."""

    weight: float
    """Chance that a row with this reason at full strength needs a correction. A judgement, not a fit."""
    full_at: float
    """The number at which the reason has full strength; smaller numbers count in proportion."""
    text: str
    """What to tell an annotator; `{}` stands for the number."""
    singular: str | None = None
    """The same for exactly one, where it reads differently."""
    counts_down: bool = False
    """True where a smaller number is worse: strength 1 at 0, falling to 0 at `full_at`."""

    def strength(self, number: float) -> float:
        """The share of the weight that this number earns, in [0, 1]."""
        share = max(0.0, min(1.0, number / self.full_at))
        return 1.0 - share if self.counts_down else share


REASONS: dict[Reason, ReasonRule] = {
    "one-clip-hole": ReasonRule(
        weight=0.7,
        full_at=1,
        text="{:.0f} holes of one clip between moments",
        singular="a hole of one clip between moments",
    ),
    "one-clip-window": ReasonRule(
        weight=0.4, full_at=1, text="{:.0f} moments of one clip only", singular="a moment of one clip only"
    ),
    "touches-border": ReasonRule(
        weight=0.1,
        full_at=2,
        text="{:.0f} edges on the video's border",
        singular="an edge on the video's border",
    ),
    "many-windows": ReasonRule(weight=0.4, full_at=8, text="{:.0f} moments for one query"),
    "whole-video": ReasonRule(weight=0.4, full_at=1, text="one moment covers {:.0%} of the video"),
    "low-saliency-inside": ReasonRule(
        weight=0.4,
        full_at=4,
        text="{:.0f} clips inside rated 1 or less",
        singular="a clip inside rated 1 or less",
    ),
    "high-saliency-outside": ReasonRule(
        weight=0.6,
        full_at=2,
        text="{:.0f} clips outside rated 3 or more",
        singular="a clip outside rated 3 or more",
    ),
    "proposal-outside": ReasonRule(weight=0.6, full_at=1, text="the model is {:.0%} sure of another moment"),
    "model-disagrees": ReasonRule(
        weight=0.6, full_at=0.5, counts_down=True, text="the model and this row overlap by {:.0%}"
    ),
    "duplicate-query": ReasonRule(
        weight=0.5,
        full_at=1,
        text="{:.0f} other rows ask this of this video",
        singular="another row asks this of this video",
    ),
    "duration-differs": ReasonRule(weight=0.3, full_at=10, text="duration and video id differ by {:.1f} s"),
    "annotators-disagree": ReasonRule(
        weight=0.8, full_at=0.5, counts_down=True, text="two annotators overlap by {:.0%} only"
    ),
}
"""Every reason. In QVHighlights 28 % of gaps are one clip long, 36 % of queries touch a border, 6 % have five
windows or a whole-video one, 13 % a clip rated 1 or less, 3 % a duration that their id contradicts."""

BY_WEIGHT: tuple[Reason, ...] = tuple(sorted(REASONS, key=lambda reason: -REASONS[reason].weight))
"""The reasons in the order in which people see them."""

MANY_WINDOWS = 5
WHOLE_VIDEO = 0.9
LOW_SALIENCY = 1.0
HIGH_SALIENCY = 3.0
CONFIDENT = 0.5
DISAGREEMENT = 0.5

BATCH = 500
"""Rows renewed at a time; SQLite's smallest limit for an IN list is 999."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One reason to look at a row, with the number behind it."""

    reason: Reason
    number: float

    @property
    def text(self) -> str:
        """One line for an annotator."""
        rule = REASONS[self.reason]
        if rule.singular is not None and round(self.number) == 1:
            return rule.singular
        return rule.text.format(self.number)


def suspicions(
    *,
    windows: Sequence[Moment] | None,
    duration_s: float | None = None,
    vid: str = "",
    clip_ids: Sequence[int] = (),
    saliency: Sequence[Sequence[int]] = (),
    proposal: Sequence[tuple[Moment, float | None]] | None = None,
    duplicates: int = 0,
    versions: Sequence[Sequence[Moment]] = (),
) -> list[Suspicion]:
    """Every reason that holds for a row, strongest weight first. Read-only, deterministic.

    `windows` are the row's moments now (adjudicated, else corrected, else original); None: nothing is known.
    `saliency` has the scores 0..4 of several raters for each of `clip_ids`. `proposal` has the latest proposal's
    moments, best first, with their confidence: empty for a refusal, None without a proposal. `duplicates` counts
    other rows with the same video and words, `versions` are each annotator's latest submitted moments.
    """
    numbers: dict[Reason, float] = {"duplicate-query": duplicates}
    moments = sorted(windows or ())

    # The shape of the moments.
    numbers["one-clip-hole"] = numbers["one-clip-window"] = edges = 0
    for index, moment in enumerate(moments):
        if index and 0 < moment.start_s - moments[index - 1].end_s <= CLIP_S:
            numbers["one-clip-hole"] += 1
        if moment.duration_s <= CLIP_S:
            numbers["one-clip-window"] += 1
        if duration_s:
            edges += (moment.start_s <= 0) + (moment.end_s >= duration_s)
            share = moment.duration_s / duration_s
            if share >= WHOLE_VIDEO:
                numbers["whole-video"] = max(share, numbers.get("whole-video", 0))
    numbers["touches-border"] = edges
    numbers["many-windows"] = len(moments) if len(moments) >= MANY_WINDOWS else 0

    # The clip ratings and the model against the moments.
    if windows is not None:
        merged = merge(moments)
        low_inside = high_outside = 0
        for clip, ratings in zip(clip_ids, saliency, strict=False):
            mean = sum(ratings) / max(len(ratings), 1)
            is_inside = any(span.start_s <= clip * CLIP_S < span.end_s for span in merged)
            low_inside += is_inside and mean <= LOW_SALIENCY
            high_outside += not is_inside and mean >= HIGH_SALIENCY
        numbers |= {"low-saliency-inside": low_inside, "high-saliency-outside": high_outside}
        for moment, confidence in proposal or ():
            is_sure = confidence is not None and confidence >= CONFIDENT
            if is_sure and intersection_s([moment], merged) == 0:
                numbers["proposal-outside"] = max(confidence or 0, numbers.get("proposal-outside", 0))

    # The video's name against its duration.
    named_range = vid_range_s(vid)
    if named_range is not None and duration_s is not None:
        difference_s = abs(named_range[2] - named_range[1] - duration_s)
        numbers["duration-differs"] = round(difference_s, 3) if difference_s >= 1 else 0

    # A count of 0 is no reason; an overlap of 0 is the strongest.
    numbers = {reason: number for reason, number in numbers.items() if number}
    agreement = lowest_agreement(versions)
    if agreement is not None and agreement < DISAGREEMENT:
        numbers["annotators-disagree"] = agreement
    if windows is not None and proposal is not None:
        overlap = set_iou([moment for moment, _ in confident_moments(proposal)], moments)
        if overlap < DISAGREEMENT:
            numbers["model-disagrees"] = overlap
    return [Suspicion(reason, float(numbers[reason])) for reason in BY_WEIGHT if reason in numbers]


def confident_moments(
    moments: Sequence[tuple[Moment, float | None]],
) -> Sequence[tuple[Moment, float | None]]:
    """A model's answer as a set: of a ranked list, those of CONFIDENT or more, or else the first."""
    confident = [pair for pair in moments if pair[1] is None or pair[1] >= CONFIDENT]
    return confident or moments[:1]


def score(reasons: Iterable[Suspicion]) -> float:
    """The module's formula: the place in the queue, in [0, 1), larger first."""
    chance_of_none = 1.0
    for suspicion in reasons:
        rule = REASONS[suspicion.reason]
        chance_of_none *= 1.0 - rule.weight * rule.strength(suspicion.number)
    return 1.0 - chance_of_none


def lowest_agreement(versions: Sequence[Sequence[Moment]]) -> float | None:
    """The smallest set IoU of any two versions, or None when there are fewer than two."""
    overlaps = [set_iou(a, b) for i, a in enumerate(versions) for b in versions[:i]]
    return min(overlaps, default=None)


def vid_range_s(vid: str) -> tuple[str, float, float] | None:
    """(source id, start_s, end_s) of a `{id}_{start}_{end}` name, from the right; None: another form."""
    parts = vid.rsplit("_", 2)
    if len(parts) != 3 or not all(part.replace(".", "", 1).isdecimal() for part in parts[1:]):
        return None
    start_s, end_s = float(parts[1]), float(parts[2])
    return (parts[0], start_s, end_s) if parts[0] and end_s > start_s else None


def renew_all(connection: Connection) -> None:
    """`renew` for every row, as after a new version of the formula."""
    renew(connection, connection.execute(select(tables.queries.c.id)).scalars().all())


def renew(connection: Connection, query_ids: Sequence[int]) -> None:
    """Work out these rows' suspicions and places in the queue again, and write them (`suspicions`, `queue`).

    Rows of an archived dataset get none, also when something is said of them afterwards.
    """
    if len(query_ids) > BATCH:
        for start in range(0, len(query_ids), BATCH):
            renew(connection, query_ids[start : start + BATCH])
        return
    rows = connection.execute(ROWS, {"query_ids": query_ids}).all()
    adopted_ids = [row.adopted_id for row in rows if row.adopted_id is not None]
    versions: dict[int, dict[int, Any]] = {query_id: {} for query_id in query_ids}
    windows: dict[int, list[Moment]] = {}
    for line in connection.execute(VERSIONS, {"query_ids": query_ids, "adopted_ids": adopted_ids}):
        versions[line.query_id][line.id] = line
        windows.setdefault(line.id, [])
        if line.start_ms is not None:
            windows[line.id].append(Moment.from_ms(line.start_ms, line.end_ms))

    places, reasons = [], []
    for row in rows:
        content = row.content
        moments = released_moments(content.get("windows"), content.get("verdict"))
        newest = [version for version in versions[row.id].values() if version.is_newest]
        adopted = versions[row.id].get(row.adopted_id)
        answer = answering_version(newest, adopted)
        if answer is not None and answer.verdict != "cannot-judge":
            moments = windows[answer.id]
        judged = [windows[version.id] for version in newest if version.verdict != "cannot-judge"]
        proposed = None
        if row.proposed is not None:
            proposed = [(Moment.from_ms(start_ms, end_ms), share) for start_ms, end_ms, share in row.proposed]
        because = suspicions(
            windows=moments,
            duration_s=content.get("duration_s"),
            vid=row.vid,
            clip_ids=content.get("relevant_clip_ids") or (),
            saliency=content.get("saliency_scores") or (),
            proposal=proposed,
            duplicates=row.duplicates,
            versions=judged,
        )
        for suspicion in because:
            reasons.append({"query_id": row.id, "reason": suspicion.reason, "number": suspicion.number})
        agreement = lowest_agreement(judged)
        flagged = any(version.flagged for version in newest)
        places.append(
            {
                "query_id": row.id,
                "dataset": row.dataset,
                "split": row.split,
                "score": score(because),
                "reviews": len(newest),
                "agreement": agreement,
                "flagged": flagged,
                "review_rank": 0.0 if flagged else agreement,
                "adjudicated": row.adopted_id is not None,
            }
        )
    for (deletion, insertion), values in zip(RENEWALS, (reasons, places), strict=True):
        connection.execute(deletion, {"query_ids": query_ids})
        if values:
            connection.execute(insertion, values)


def _select_rows() -> Select[Any]:
    """The rows, with how many others of their dataset ask the same of the same video, the newest proposal of a model
    that is named for the dataset, and the correction that the newest verdict names.
    """
    query, twin = tables.queries, tables.queries.alias()
    proposal, verdict, named = tables.proposals, tables.verdicts, tables.proposers
    same_question = and_(
        twin.c.vid == query.c.vid,
        twin.c.text_key == query.c.text_key,
        twin.c.dataset == query.c.dataset,
        twin.c.id != query.c.id,
    )
    begins_with_name = (
        func.substr(proposal.c.model_id, 1, func.length(named.c.model) + 1) == named.c.model + "@"
    )
    may_propose = or_(named.c.model == ANY, named.c.model == proposal.c.model_id, begins_with_name)
    newest_proposal = select(func.max(proposal.c.id)).where(
        proposal.c.query_id == query.c.id, named.c.dataset == query.c.dataset, may_propose
    )
    withdrawn = select(tables.verdict_withdrawals.c.verdict_id)
    adopted_id = (
        select(verdict.c.correction_id)
        .where(verdict.c.query_id == query.c.id, verdict.c.id.not_in(withdrawn))
        .order_by(verdict.c.revision.desc())
        .limit(1)
    )
    return (
        select(
            query.c.id,
            query.c.dataset,
            query.c.split,
            query.c.vid,
            query.c.content,
            select(func.count()).where(same_question).scalar_subquery().label("duplicates"),
            proposal.c.moments.label("proposed"),
            adopted_id.scalar_subquery().label("adopted_id"),
        )
        .join(tables.datasets, tables.datasets.c.name == query.c.dataset)
        .outerjoin(proposal, proposal.c.id == newest_proposal.correlate(query).scalar_subquery())
        .where(query.c.id.in_(QUERY_IDS), ~tables.datasets.c.archived)
    )


def _select_versions() -> Select[Any]:
    """Each annotator's newest submitted version and the adopted ones, a line for each moment."""
    correction, later, moment = tables.corrections, tables.corrections.alias(), tables.correction_moments
    is_newest = ~exists().where(
        later.c.query_id == correction.c.query_id,
        later.c.annotator == correction.c.annotator,
        later.c.submitted,
        later.c.revision > correction.c.revision,
    )
    return (
        select(
            correction.c.id,
            correction.c.query_id,
            correction.c.verdict,
            correction.c.flagged,
            is_newest.label("is_newest"),
            moment.c.start_ms,
            moment.c.end_ms,
        )
        .outerjoin(moment, moment.c.correction_id == correction.c.id)
        .where(correction.c.query_id.in_(QUERY_IDS), correction.c.submitted)
        .where(or_(is_newest, correction.c.id.in_(bindparam("adopted_ids", expanding=True))))
        .where(func.coalesce(correction.c.arm, "") != PLANTED)
        .order_by(correction.c.annotator, correction.c.id, moment.c.position)
    )


# Built once, as in `annotations.reading`: every answer renews its row.
QUERY_IDS: BindParameter[Any] = bindparam("query_ids", expanding=True)
ROWS, VERSIONS = _select_rows(), _select_versions()
RENEWALS = [
    (delete(table).where(table.c.query_id.in_(QUERY_IDS)), insert(table))
    for table in (tables.suspicions, tables.queue)
]
