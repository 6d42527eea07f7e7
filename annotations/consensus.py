"""One answer from several annotators, as a place to start from: the median of their edges.

Against a fifth annotator of Charades-STA, the median of three annotators' edges agrees better (mean IoU 0.575)
than any one of them does (0.524): QVHighlights-like rows are worth an adjudicator's minute, not a coin toss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from annotations.agreement import Version, match, matched_tiou
from annotations.rows import Verdict
from tempo_core.moments import Moment


@dataclass(frozen=True, kw_only=True, slots=True)
class Consensus:
    """What annotators say together."""

    verdict: Verdict
    moments: tuple[Moment, ...] = ()
    """Sorted, free of overlap, on whole milliseconds. Empty unless the verdict is `moments`."""
    support: tuple[int, ...] = ()
    """For each moment, how many annotators marked one that overlaps it."""
    voters: int = 0
    """Annotators who chose the verdict."""


def median_consensus(versions: Sequence[Version]) -> Consensus:
    """The verdict that most chose, with the median start and end of each moment that at least half of them have.

    Where no moment has so many, those with the most stand in: they say that there is something, and one is needed.
    Who could not judge does not vote; a tie between moments and none is for moments, which are easier to
    remove than to find. Moments of several annotators belong together when they are matched by overlap,
    beginning with the annotator whom the others agree with most. Medians that overlap become one moment.
    """
    judged = [version for version in versions if version.verdict != "cannot-judge"]
    marked = [version for version in judged if version.verdict == "moments"]
    if not judged:
        return Consensus(verdict="cannot-judge", voters=len(versions))
    if 2 * len(marked) < len(judged):
        return Consensus(verdict="no-moment", voters=len(judged) - len(marked))

    # Moments of one event in a group, at most one of each version; the most agreed version begins.
    agreement = [sum(matched_tiou(version.moments, other.moments) for other in marked) for version in marked]
    groups: list[list[Moment]] = []
    for index in sorted(range(len(marked)), key=lambda index: (-agreement[index], index)):
        own_moments = marked[index].moments
        pairs = {j: i for i, j, _ in match([_median(group) for group in groups], own_moments)}
        for j, moment in enumerate(own_moments):
            if j in pairs:
                groups[pairs[j]].append(moment)
            else:
                groups.append([moment])
    support_needed = min(max(map(len, groups)), len(marked) / 2)
    medians = sorted((_median(group), len(group)) for group in groups if len(group) >= support_needed)

    # Medians that overlap become one moment; those that touch stay apart.
    moments: list[Moment] = []
    support: list[int] = []
    for median_moment, num_annotators in medians:
        if moments and median_moment.start_s < moments[-1].end_s:
            moments[-1] = Moment(moments[-1].start_s, max(moments[-1].end_s, median_moment.end_s))
            support[-1] = max(support[-1], num_annotators)
        else:
            moments.append(median_moment)
            support.append(num_annotators)
    return Consensus(verdict="moments", moments=tuple(moments), support=tuple(support), voters=len(marked))


def _median(group: Sequence[Moment]) -> Moment:
    """The median start and the median end, on whole milliseconds; an even count takes the middle of two."""
    pairs = [moment.to_ms() for moment in group]
    start_ms, end_ms = (round(median(edges)) for edges in zip(*pairs, strict=True))
    return Moment.from_ms(start_ms, max(end_ms, start_ms + 1))
