"""Which answer a row has now: the adjudicated one, else the newest correction, else the original."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from annotations.records import Correction, Query
from annotations.rows import Verdict as VerdictKind
from tempo_core.errors import InputError
from tempo_core.moments import Moment

Rule = Literal["latest", "adjudicated"]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """The answer that holds, and who gave it."""

    source: Literal["original", "correction", "verdict"]
    verdict: VerdictKind | None
    """None where nothing is known: no ground truth and no correction."""
    moments: list[Moment] | None
    """None exactly when `verdict` is None or `cannot-judge` without an original."""
    correction: Correction | None = None
    """The version behind it, unless it is the original."""


def resolve(
    query: Query, submitted: Sequence[Correction], adopted: Correction | None, rule: Rule = "latest"
) -> Resolved:
    """The answer under a rule: `latest` takes corrections that nobody adjudicated, `adjudicated` does not.

    `submitted` are the query's submitted corrections, `adopted` the one that the verdict names. A correction
    that says "cannot judge" changes nothing unless it is adjudicated. Pure.
    """
    if rule not in RULES:
        raise InputError(f"The rule is {rule!r}; it must be one of {', '.join(RULES)}.")
    if adopted is not None:
        return _of_correction(query, adopted, "verdict")
    judged = [each for each in latest_of_each(submitted) if each.edit.verdict != "cannot-judge"]
    if rule == "latest" and judged:
        newest = max(judged, key=lambda each: (each.created_at_ms, each.id))
        return _of_correction(query, newest, "correction")
    return Resolved(source="original", verdict=query.row.verdict, moments=query.original)


def latest_of_each(corrections: Iterable[Correction]) -> list[Correction]:
    """Each annotator's newest version, annotators in the order of their names."""
    newest: dict[str, Correction] = {}
    for correction in sorted(corrections, key=lambda each: (each.annotator, each.revision)):
        newest[correction.annotator] = correction
    return list(newest.values())


def _of_correction(
    query: Query, correction: Correction, source: Literal["correction", "verdict"]
) -> Resolved:
    edit = correction.edit
    moments = query.original if edit.verdict == "cannot-judge" else edit.windows
    return Resolved(source=source, verdict=edit.verdict, moments=moments, correction=correction)
