"""What a model's answers are worth on a dataset: how far they agree with what people have answered there. Read-only."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from annotations.agreement import matched_tiou
from annotations.proposers import model_name
from annotations.reading import QueryRecords
from annotations.records import answering_version
from annotations.reviewing import proposed_moments


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceWorth:
    """A model on the rows that people have answered."""

    answers: int
    """Rows with an answer of people and one of the model."""
    mean_tiou: float | None
    """Mean matched IoU of the two; None without such rows."""


def source_worth(queries: Iterable[QueryRecords], name: str) -> SourceWorth:
    """The worth of the model of this name (`proposers.model_name`), by its newest proposal for each query.

    Rows are held against the verdict, else the newest answer. Answers that began with a model's moments are left out:
    they agree with it for another reason. `queries` are what `Store.answered_records` gives.
    """
    overlaps = []
    for records in queries:
        predictions = [proposal.prediction for proposal in records.proposals]
        own = [prediction for prediction in predictions if model_name(prediction.model_id) == name]
        versions = [version for version in records.versions if version.edit.arm != "model-first"]
        answer = answering_version(versions, records.adopted)
        if own and answer is not None and answer.verdict != "cannot-judge":
            proposed = [moment for moment, _ in proposed_moments(own[-1])]
            overlaps.append(matched_tiou(proposed, answer.edit.windows))
    return SourceWorth(answers=len(overlaps), mean_tiou=fmean(overlaps) if overlaps else None)
