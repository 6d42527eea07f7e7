"""How often a suspicion led to a change: the precision of each reason, from every answer so far. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from annotations.expected_gain import AnswerEffect
from annotations.suspicion import BY_WEIGHT, REASONS

NO_REASON = "no suspicion"
"""Rows that nothing looked wrong about: what the reasons are to be held against."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonPrecision:
    """The answers to rows with one suspicion."""

    reason: str
    weight: float | None
    """The chance that suspicion gives it; None for NO_REASON."""
    answers: int
    changed: int
    """Answers that are not what the row held before them."""
    mean_change: float
    """Mean of 1 - matched tIoU of what the row held with the answer."""

    @property
    def precision(self) -> float:
        """Share of the answers that changed something."""
        return self.changed / self.answers


def reason_precisions(effects: Sequence[AnswerEffect]) -> list[ReasonPrecision]:
    """One line a reason that was met, heaviest first, then the rows without any. `effects` are of
    `expected_gain.read_effects`; answers to rows of which nothing was known are left out.
    """
    judged = [effect for effect in effects if effect.change is not None]
    groups = {
        **{str(reason): [effect for effect in judged if reason in effect.reasons] for reason in BY_WEIGHT},
        NO_REASON: [effect for effect in judged if not effect.reasons],
    }
    weights = {str(reason): rule.weight for reason, rule in REASONS.items()}
    return [
        ReasonPrecision(
            reason=name,
            weight=weights.get(name),
            answers=len(group),
            changed=sum(bool(effect.change) for effect in group),
            mean_change=fmean(effect.change or 0.0 for effect in group),
        )
        for name, group in groups.items()
        if group
    ]
