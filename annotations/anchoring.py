"""What seeing a proposal does to an answer (anchoring), measured on decided queries. Read-only.

Nothing is planted: a start that the adjudicated answer showed to be wrong is a wrong proposal, and an answer
that is still that start, to the millisecond, kept it. The others are held against the blind arm, which was
shown nothing. Why it is measured: arXiv 2509.08514.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from annotations.agreement import matched_tiou
from annotations.reading import QueryRecords
from annotations.reviewing import proposed_moments

RIGHT_TIOU = 0.7
"""From this matched tIoU with the decision on, what was shown counts as right: the strict bar of R1@.7."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchoredAnswer:
    """One answer to a decided query, and what it started from."""

    query_id: int
    annotator: str
    arm: str | None
    tiou: float
    """Mean matched IoU of the answer with the decision."""
    right_start: bool | None
    """Whether what was shown is right; None where nothing was."""
    unchanged: bool
    """The answer is what was shown, to the millisecond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchoring:
    """The answers of one annotator or of one arm."""

    name: str
    answers: int
    mean_tiou: float
    right: int
    """Answers that were shown something right, and how many of them are still that."""
    right_unchanged: int
    wrong: int
    """Answers that were shown something wrong, and how many of them are still that."""
    wrong_unchanged: int


def anchored_answers(queries: Iterable[QueryRecords]) -> list[AnchoredAnswer]:
    """Every annotator's newest answer to each query with an adjudicated one, in the order of queries.

    Answers and decisions that nothing can be judged, and those given in order to decide, are left out.
    `queries` are what `Store.answered_records` gives.
    """
    answers = []
    for records in queries:
        decision = records.adopted
        if decision is None or decision.verdict == "cannot-judge":
            continue
        proposals = {proposal.id: proposal for proposal in records.proposals}
        for version in records.independent_versions:
            if version.verdict == "cannot-judge":
                continue
            # What the arm put in front of the annotator; None for the blind arm, or with nothing to show.
            start, moments = None, version.edit.windows
            if version.edit.arm == "original-first":
                start = records.query.original
            elif version.edit.arm == "model-first":
                # The lane began with the proposal of the first version; a later one may have had another beside it.
                first_id = next(
                    earlier.edit.proposal_id
                    for earlier in records.corrections
                    if earlier.annotator == version.annotator and earlier.edit.arm == "model-first"
                )
                prediction = proposals[first_id].prediction if first_id in proposals else None
                if prediction is not None:
                    start = [moment for moment, _ in proposed_moments(prediction)]
            right_start, unchanged = None, False
            if start is not None:
                right_start = matched_tiou(start, decision.edit.windows) >= RIGHT_TIOU
                unchanged = [moment.to_ms() for moment in start] == [moment.to_ms() for moment in moments]
            answers.append(
                AnchoredAnswer(
                    query_id=version.query_id,
                    annotator=version.annotator,
                    arm=version.edit.arm,
                    tiou=matched_tiou(moments, decision.edit.windows),
                    right_start=right_start,
                    unchanged=unchanged,
                )
            )
    return answers


def by_annotator(answers: Sequence[AnchoredAnswer]) -> list[Anchoring]:
    """One line an annotator, by name."""
    names = sorted({answer.annotator for answer in answers})
    return [_anchoring(name, [answer for answer in answers if answer.annotator == name]) for name in names]


def by_arm(answers: Sequence[AnchoredAnswer]) -> list[Anchoring]:
    """One line an arm, by name; answers from elsewhere (imports, scripts) have none."""
    names = sorted({answer.arm for answer in answers if answer.arm is not None})
    return [_anchoring(name, [answer for answer in answers if answer.arm == name]) for name in names]


def _anchoring(name: str, answers: Sequence[AnchoredAnswer]) -> Anchoring:
    right = [answer.unchanged for answer in answers if answer.right_start]
    wrong = [answer.unchanged for answer in answers if answer.right_start is False]
    return Anchoring(
        name=name,
        answers=len(answers),
        mean_tiou=sum(answer.tiou for answer in answers) / len(answers),
        right=len(right),
        right_unchanged=sum(right),
        wrong=len(wrong),
        wrong_unchanged=sum(wrong),
    )
