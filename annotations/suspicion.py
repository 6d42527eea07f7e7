"""Why a row looks wrong: reasons as data, each with its number, and one documented formula for the order.

Pure functions of what is known about one row; the store keeps their results and renews a row's when a
correction, a verdict or a proposal arrives (`annotations.queue`).

The order. Each reason has a weight w (how often it pays to look) and a strength s in (0, 1] made from its
number. A row's score is the chance that at least one reason is right if they were independent:

    score = 1 - product over reasons of (1 - w * s)

so that it lies in [0, 1), grows with every further reason, and no pile of weak ones beats a certain one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal

from tempo_core.moments import Moment, intersection_s, merge, set_iou

Reason = Literal[
    "one-clip-hole",
    "one-clip-window",
    "touches-border",
    "many-windows",
    "whole-video",
    "low-saliency-inside",
    "high-saliency-outside",
    "proposal-outside",
    "model-disagrees",
    "duplicate-query",
    "duration-differs",
    "annotators-disagree",
]

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
    one: str | None = None
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
        one="a hole of one clip between moments",
    ),
    "one-clip-window": ReasonRule(
        weight=0.4, full_at=1, text="{:.0f} moments of one clip only", one="a moment of one clip only"
    ),
    "touches-border": ReasonRule(
        weight=0.1, full_at=2, text="{:.0f} edges on the video's border", one="an edge on the video's border"
    ),
    "many-windows": ReasonRule(weight=0.4, full_at=8, text="{:.0f} moments for one query"),
    "whole-video": ReasonRule(weight=0.4, full_at=1, text="one moment covers {:.0%} of the video"),
    "low-saliency-inside": ReasonRule(
        weight=0.4, full_at=4, text="{:.0f} clips inside rated 1 or less", one="a clip inside rated 1 or less"
    ),
    "high-saliency-outside": ReasonRule(
        weight=0.6,
        full_at=2,
        text="{:.0f} clips outside rated 3 or more",
        one="a clip outside rated 3 or more",
    ),
    "proposal-outside": ReasonRule(weight=0.6, full_at=1, text="the model is {:.0%} sure of another moment"),
    "model-disagrees": ReasonRule(
        weight=0.6, full_at=0.5, counts_down=True, text="the model and this row overlap by {:.0%}"
    ),
    "duplicate-query": ReasonRule(
        weight=0.5,
        full_at=1,
        text="{:.0f} other rows ask this of this video",
        one="another row asks this of this video",
    ),
    "duration-differs": ReasonRule(weight=0.3, full_at=10, text="duration and video id differ by {:.1f} s"),
    "annotators-disagree": ReasonRule(
        weight=0.8, full_at=0.5, counts_down=True, text="two annotators overlap by {:.0%} only"
    ),
}
"""Every reason. In QVHighlights 28 % of gaps are one clip long, 36 % of queries touch a border, 6 % have five
windows or a whole-video one, 13 % a clip rated 1 or less, 3 % a duration that their id contradicts."""

MANY_WINDOWS = 5
WHOLE_VIDEO = 0.9
LOW_SALIENCY = 1.0
HIGH_SALIENCY = 3.0
CONFIDENT = 0.5
DISAGREEMENT = 0.5


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One reason to look at a row, with the number behind it."""

    reason: Reason
    number: float

    @property
    def text(self) -> str:
        """One line for an annotator."""
        rule = REASONS[self.reason]
        return rule.one if rule.one is not None and round(self.number) == 1 else rule.text.format(self.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFacts:
    """What is known about one row when it is judged."""

    windows: Sequence[Moment] | None
    """The row's moments now (adjudicated, else corrected, else original); None: nothing is known."""
    duration_s: float | None = None
    vid: str = ""
    clip_ids: Sequence[int] = ()
    saliency: Sequence[Sequence[int]] = ()
    """Scores 0..4 of several raters for each of `clip_ids`."""
    proposal: Sequence[tuple[Moment, float | None]] | None = None
    """The latest proposal's moments, best first, with their confidence; empty for a refusal, None without a
    proposal. Of a ranked list only moments of CONFIDENT or more count as its answer, or else the first."""
    duplicates: int = 0
    """Other rows with the same video and the same words."""
    versions: Sequence[Sequence[Moment]] = ()
    """Each annotator's latest submitted moments."""


def suspicions(facts: RowFacts) -> list[Suspicion]:
    """Every reason that holds for the row, strongest weight first. Read-only, deterministic."""
    found = {
        **_shape_reasons(facts),
        **_saliency_reasons(facts),
        **_proposal_reasons(facts),
        "duplicate-query": float(facts.duplicates),
        "duration-differs": _duration_difference_s(facts),
    }
    agreement = lowest_agreement(facts.versions)
    reasons = [Suspicion(reason, found[reason]) for reason in REASONS if found.get(reason)]
    for reason, overlap in (
        ("model-disagrees", _model_overlap(facts)),
        ("annotators-disagree", agreement),
    ):
        if overlap is not None and overlap < DISAGREEMENT:
            reasons.append(Suspicion(reason, overlap))  # type: ignore[arg-type]
    return sorted(reasons, key=lambda each: -REASONS[each.reason].weight)


def score(reasons: Iterable[Suspicion]) -> float:
    """The module's formula: the place in the queue, in [0, 1), larger first."""
    rules = [(REASONS[each.reason], each.number) for each in reasons]
    return 1.0 - prod(1.0 - rule.weight * rule.strength(number) for rule, number in rules)


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


def _shape_reasons(facts: RowFacts) -> dict[str, float]:
    windows = sorted(facts.windows or ())
    gaps_s = [after.start_s - before.end_s for before, after in pairwise(windows)]
    found = {
        "one-clip-hole": float(sum(0 < gap_s <= CLIP_S for gap_s in gaps_s)),
        "one-clip-window": float(sum(window.duration_s <= CLIP_S for window in windows)),
        "many-windows": float(len(windows)) if len(windows) >= MANY_WINDOWS else 0.0,
    }
    if facts.duration_s:
        first = sum(window.start_s <= 0 for window in windows)
        last = sum(window.end_s >= facts.duration_s for window in windows)
        found["touches-border"] = float(first + last)
        share = max((window.duration_s / facts.duration_s for window in windows), default=0.0)
        found["whole-video"] = share if share >= WHOLE_VIDEO else 0.0
    return found


def _saliency_reasons(facts: RowFacts) -> dict[str, float]:
    if facts.windows is None:
        return {}
    inside_low = outside_high = 0
    windows = merge(facts.windows)
    for clip, scores in zip(facts.clip_ids, facts.saliency, strict=False):
        mean = sum(scores) / max(len(scores), 1)
        inside = any(window.start_s <= clip * CLIP_S < window.end_s for window in windows)
        inside_low += inside and mean <= LOW_SALIENCY
        outside_high += not inside and mean >= HIGH_SALIENCY
    return {"low-saliency-inside": float(inside_low), "high-saliency-outside": float(outside_high)}


def _proposal_reasons(facts: RowFacts) -> dict[str, float]:
    if facts.windows is None or not facts.proposal:
        return {}
    windows = merge(facts.windows)
    outside = [
        confidence
        for moment, confidence in facts.proposal
        if confidence is not None and confidence >= CONFIDENT and intersection_s([moment], windows) == 0
    ]
    return {"proposal-outside": max(outside, default=0.0)}


def _model_overlap(facts: RowFacts) -> float | None:
    if facts.windows is None or facts.proposal is None:
        return None
    sure = [moment for moment, confidence in facts.proposal if confidence is None or confidence >= CONFIDENT]
    return set_iou(sure or [moment for moment, _ in facts.proposal[:1]], facts.windows)


def _duration_difference_s(facts: RowFacts) -> float:
    named = vid_range_s(facts.vid)
    if named is None or facts.duration_s is None:
        return 0.0
    difference_s = abs(named[2] - named[1] - facts.duration_s)
    return round(difference_s, 3) if difference_s >= 1 else 0.0
