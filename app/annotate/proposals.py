"""The model's proposals for rows of the queue: computed beside the annotator's work, stored, never waited for."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

from annotations.errors import StoreError
from annotations.proposers import may_propose, model_name, named_proposals
from annotations.records import Plant, Prediction, Proposal, ProposedMoment, Query
from annotations.source_worth import SourceWorth, source_worth
from annotations.store import Store
from app.ground.service import DEFAULT_SETTINGS, GroundingService, context_key, shown_context
from app.http.errors import user_message
from app.job_queue import Busy, Job, result_of
from app.media.library import Clip
from tempo_core.errors import Cancelled, InputError
from tempo_core.protocols.base import clean_query

OWNER = "proposals"
"""Whose share of the model's queue is used."""
WORTH_AGE = 20
"""Answers after which a model's worth is worked out again, at least; in a large store, a fifth more than there were: it
reads every answered row of a dataset, while somebody waits for their next row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProposalState:
    """Where the proposal for a row stands."""

    state: str
    """`ready`, `computing`, `waiting` (for the model or a place in its queue), `failed`, or `none`: no model that is
    named for the dataset can answer."""
    proposal: Proposal | None = None
    message: str | None = None


class Proposals:
    """Asks for proposals and keeps them. Threads may share it."""

    def __init__(self, store: Store, grounding: GroundingService) -> None:
        self.store, self.grounding = store, grounding
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._failures: dict[tuple[int, str | None], str] = {}
        self._worths: dict[tuple[str, str], tuple[int, SourceWorth]] = {}
        """By dataset and model name: how many answers there were, and the worth then."""
        self._context_id = ""
        """Of the clip that was looked at last; the model's queue looks at one at a time."""

    def newest(self, query: Query) -> Proposal | None:
        """The proposal to show, of a model that is named for the row's dataset: the present one's newest, else nothing
        if it can still make one.
        """
        proposals = named_proposals(self.store.proposals(query.id), self.store.proposers(query.dataset))
        model_id = self.grounding.engines.status.model_id
        if model_id is not None and self.absence(query) is None:
            proposals = [proposal for proposal in proposals if proposal.prediction.model_id == model_id]
        return proposals[-1] if proposals else None

    def absence(self, query: Query) -> str | None:
        """Why the present model does not propose for the row; None: it proposes, or it is not known yet.

        It may not for the row's dataset, or it does not know what the row asks for, which is no refusal.
        """
        names = self.store.proposers(query.dataset)
        model_id = self.grounding.engines.status.model_id
        if not names:
            return f"No model is named for the dataset {query.dataset}, so none proposes"
        if model_id is not None and not may_propose(model_id, names):
            return (
                f"{model_name(model_id)} is not named for the dataset {query.dataset}, so it does not propose"
            )
        if model_id is not None and self.grounding.engines.status.state == "ready":
            understood = self.grounding.engines.get().understanding(query.row.query)
            if understood is not None and not understood.is_understood:
                return f"{understood.sentence.removesuffix('.')}, and proposes nothing"
        return None

    def worth(self, query: Query, proposal: Proposal) -> SourceWorth:
        """What the proposal's model is worth on the row's dataset; some answers old (WORTH_AGE)."""
        name = model_name(proposal.prediction.model_id)
        num_answers = self.store.num_answers()
        with self._lock:
            counted_at, worth = self._worths.get((query.dataset, name), (-WORTH_AGE, None))
        if worth is None or num_answers - counted_at >= max(WORTH_AGE, counted_at // 5):
            worth = source_worth(self.store.answered_records(query.dataset), name)
            with self._lock:
                self._worths[query.dataset, name] = num_answers, worth
        return worth

    def request(self, query: Query, clip: Clip) -> ProposalState:
        """The row's proposal, or where it stands; begins to compute it. Returns at once."""
        newest = self.newest(query)
        if newest is not None:
            return ProposalState(state="ready", proposal=newest)
        absence = self.absence(query)
        if absence is not None:
            return ProposalState(state="none", message=absence)
        status = self.grounding.engines.status
        if status.state != "ready":
            state = "failed" if status.state == "failed" else "waiting"
            return ProposalState(state=state, message=status.message)
        with self._lock:
            failure = self._failures.get((query.id, status.model_id))
            if failure is not None:
                return ProposalState(state="failed", message=failure)
            job = self._jobs.get(query.id)
            if job is None:
                try:
                    job = self.grounding.queues.model.submit(
                        OWNER, lambda job: self._propose(query, clip, job)
                    )
                except Busy:
                    return ProposalState(state="waiting", message="Other questions are before this one.")
                self._jobs[query.id] = job
            elif job.future.done():
                del self._jobs[query.id]
                try:
                    return ProposalState(state="ready", proposal=result_of(job))
                except Cancelled:
                    return ProposalState(state="waiting", message="The model was interrupted.")
                except StoreError as error:  # it may be back when somebody asks again
                    return ProposalState(state="waiting", message=user_message(error))
                except Exception as error:
                    message = self._failures[query.id, status.model_id] = user_message(error)
                    return ProposalState(state="failed", message=message)
        return ProposalState(state="computing", message="The model is looking.")

    def _propose(self, query: Query, clip: Clip, job: Job) -> Proposal:
        grounding, settings = self.grounding, DEFAULT_SETTINGS
        engine = grounding.engines.get()
        key = context_key(engine.model_id, clip, settings)
        stored = grounding.contexts.find(OWNER, key)
        if stored is None:
            answer, context = grounding.encode_and_ask(job, clip, query.row.query, settings, engine=engine)
            # One is enough for the rows of a clip, and leaves the room to people.
            grounding.contexts.drop(OWNER, self._context_id)
            self._context_id = grounding.contexts.add(OWNER, clip.id, key, context).id
        else:
            context = stored.context
            answer = engine.ask(
                context, clean_query(query.row.query), n_best=settings.n_best, cancel=job.cancel
            )
        context = shown_context(context, answer)
        if not answer.is_understood:  # the model was changed after it was asked whether it knows the words
            raise InputError(answer.understood.sentence)
        return self.store.propose(query.id, prediction_of(answer, context), op_id=str(uuid4()))

    def request_all(self, queries: Sequence[Query], clip: Clip) -> None:
        """Have the model look at these rows of a clip one after the other, behind whatever people ask it."""

        def propose(query: Query, job: Job) -> None:
            if self.newest(query) is None and self.absence(query) is None:
                self._propose(query, clip, job)

        if self.grounding.engines.status.state == "ready":
            works = {f"the proposal for query {query.id}": partial(propose, query) for query in queries}
            self.grounding.queues.model.submit_in_turn(f"{OWNER} in advance", works)


def planted_proposal(plant: Plant, real: Proposal | None) -> Proposal | None:
    """A planted proposal as one of the model's, which the browser cannot tell; None where the model's own has gone."""
    if real is None:
        return None
    confidences = [moment.confidence for moment in real.prediction.moments]
    moments = tuple(
        ProposedMoment(start_ms=start_ms, end_ms=end_ms, confidence=confidences[0] if confidences else None)
        for start_ms, end_ms in plant.moments
    )
    prediction = replace(
        real.prediction, model_id=plant.model_id, moments=moments, refused=False, relevance=None, answer=None
    )
    return replace(real, prediction=prediction)


def prediction_of(answer: Any, context: Any) -> Prediction:
    """What the store keeps of an engine's answer: with the frames looked at, so that lanes can be drawn again."""
    moments = []
    for moment, confidence in zip(answer.moments, answer.confidences, strict=True):
        start_ms, end_ms = moment.to_ms()
        probability = None if confidence is None else min(1.0, max(0.0, float(confidence)))
        moments.append(ProposedMoment(start_ms=start_ms, end_ms=end_ms, confidence=probability))
    return Prediction(
        model_id=answer.model_id,
        moments=tuple(sorted(moments, key=lambda moment: -(moment.confidence or 0.0))),
        refused=answer.refused,
        relevance=None if answer.relevance is None else float(answer.relevance),
        allocation={
            "times_s": [float(time_s) for time_s in context.times_s],
            "end_s": float(context.end_s),
            **context.allocation.to_dict(),
        },
        timings=dict(answer.timings),
        answer=answer.to_dict(),
    )
