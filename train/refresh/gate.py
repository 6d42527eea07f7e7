"""Whether a new adapter may be served: the decision on what old and new scored, and every reason. No torch here."""

from dataclasses import dataclass
from typing import Any

from tempo_core.errors import InputError
from tempo_core.wording import plural
from train.config import PromotionCriteria, criteria_of
from train.refresh.registry import Lineage

UNMEASURED = "Nothing was measured: it has no scores of a refresh."


class AgainstGate(InputError):
    """Somebody promotes an adapter against the gate's decision, and has not said that this is meant."""

    def __init__(self, name: str, reasons: tuple[str, ...]) -> None:
        self.name, self.reasons = name, reasons
        super().__init__(f"{name} did not pass: {' '.join(reasons)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Whether a new adapter may be served, and every reason why or why not."""

    promote: bool
    reasons: tuple[str, ...]


def decide(
    criteria: PromotionCriteria, corrected: dict[str, Any] | None, replayed: dict[str, Any] | None
) -> Decision:
    """Promote only on a significant gain on corrected rows, and no loss in refusal or in what was known before.

    Both are `compare_on`'s scores. What was not measured counts as a reason against: somebody who knows better may
    still promote by hand.
    """
    against: list[str] = []

    # a significant gain on rows enough
    rows, clips = (0, 0) if corrected is None else (corrected["rows"], corrected["clips"])
    gain = None
    if corrected is None or rows < criteria.min_rows or clips < criteria.min_clips:
        against.append(
            f"{plural(rows, 'corrected held-out row')} about {plural(clips, 'clip')} cannot tell whether it is "
            f"better; at least {criteria.min_rows} about {plural(criteria.min_clips, 'clip')} are needed."
        )
    else:
        gain = corrected["differences"].get(criteria.metric)
        if gain is None or gain["low"] is None or gain["low"] <= 0:
            against.append(f"{_describe(criteria.metric, gain)} on corrected rows is no significant gain.")

    # no loss
    for scores, rows_name, metrics in (
        (corrected, "corrected rows", criteria.refusal_metrics),
        (replayed, "what was known before", (*criteria.refusal_metrics, *criteria.replay_metrics)),
    ):
        for metric in dict.fromkeys(metrics):
            difference: Any = None if scores is None else scores["differences"].get(metric)
            if _is_defined(difference) and difference["second"] < difference["first"] - criteria.tolerance:
                against.append(f"{_describe(metric, difference)} on {rows_name} is a loss.")

    # nothing that could have become worse unseen
    if replayed is None:
        against.append("Whether it forgot what it knew before was not measured, for want of replay rows.")
    for metric in criteria.refusal_metrics:
        differences = [
            scores["differences"].get(metric) for scores in (corrected, replayed) if scores is not None
        ]
        if not any(_is_defined(difference) for difference in differences):
            against.append(f"{metric} was not measured: the held-out rows do not hold both kinds of query.")

    if against:
        return Decision(promote=False, reasons=tuple(against))
    return Decision(
        promote=True, reasons=(f"{_describe(criteria.metric, gain)} on {plural(rows, 'corrected row')}.",)
    )


def decision_on(lineage: Lineage) -> Decision:
    """What the gate of its own recipe says of an adapter, read off the scores that its lineage holds."""
    try:
        scores = lineage.scores
        if not scores:
            return Decision(promote=False, reasons=(UNMEASURED,))
        return decide(criteria_of(lineage.recipe), scores.get("corrected"), scores.get("kept"))
    except (AttributeError, KeyError, TypeError, InputError):  # written by hand, or by another version
        return Decision(promote=False, reasons=("Its scores cannot be read.",))


def require_passed(name: str, lineage: Lineage) -> None:
    """Raise AgainstGate for an adapter that the gate would not promote."""
    decision = decision_on(lineage)
    if not decision.promote:
        raise AgainstGate(name, decision.reasons)


def _is_defined(difference: Any) -> bool:
    return difference is not None and None not in (difference["first"], difference["second"])


def _describe(metric: str, difference: Any) -> str:
    if not _is_defined(difference):
        return f"{metric} (not defined)"
    text = f"{metric} {difference['first']:.3f} → {difference['second']:.3f}"
    low, high = difference["low"], difference["high"]
    return text if None in (low, high) else f"{text} (difference {low:+.3f} to {high:+.3f})"
