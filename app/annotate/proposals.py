"""The model's proposals for rows of the queue: computed beside the annotator's work, stored, never waited for."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from annotations.records import Prediction, Proposal, ProposedMoment, Query
from annotations.store import Store
from app.ground.service import GroundingService
from app.http.errors import user_message
from app.job_queue import Busy, Job, result_of
from app.media.library import Clip
from tempo_core.errors import Cancelled, TempoError

log = logging.getLogger(__name__)

OWNER = "proposals"
"""Whose share of the model lane is used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProposalState:
    """Where the proposal for a row stands."""

    state: str
    """`ready`, `computing`, `waiting` (for the model or a place in its queue) or `failed`."""
    proposal: Proposal | None = None
    message: str | None = None


class Proposals:
    """Asks for proposals and keeps them. Threads may share it."""

    def __init__(self, store: Store, grounding: GroundingService) -> None:
        self.store, self.grounding = store, grounding
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._failed: dict[tuple[int, str | None], str] = {}

    def newest(self, query_id: int) -> Proposal | None:
        """The proposal to show: the present model's newest, else nothing if that model can still make one."""
        known = self.store.proposals(query_id)
        model_id = self.grounding.engines.status.model_id
        ours = [each for each in known if model_id in (None, each.prediction.model_id)]
        return ours[-1] if ours else None

    def want(self, query: Query, clip: Clip) -> ProposalState:
        """The row's proposal, or where it stands; begins to compute it. Returns at once."""
        found = self.newest(query.id)
        if found is not None:
            return ProposalState(state="ready", proposal=found)
        status = self.grounding.engines.status
        if status.state != "ready":
            state = "failed" if status.state == "failed" else "waiting"
            return ProposalState(state=state, message=status.message)
        with self._lock:
            failed = self._failed.get((query.id, status.model_id))
            if failed is not None:
                return ProposalState(state="failed", message=failed)
            job = self._jobs.get(query.id)
            if job is not None and not job.future.done():
                return ProposalState(state="computing", message="The model is looking.")
            if job is not None:
                return self._finished(query, job)
            return self._begin(query, clip)

    def _begin(self, query: Query, clip: Clip) -> ProposalState:
        try:
            self._jobs[query.id] = self.grounding.model_queue.submit(OWNER, self._work(query, clip))
        except Busy:
            return ProposalState(state="waiting", message="Other questions are before this one.")
        return ProposalState(state="computing", message="The model is looking.")

    def _finished(self, query: Query, job: Job) -> ProposalState:
        del self._jobs[query.id]
        try:
            return ProposalState(state="ready", proposal=result_of(job))
        except Cancelled:
            return ProposalState(state="waiting", message="The model was interrupted.")
        except Exception as error:
            message = user_message(error)
            self._failed[(query.id, self.grounding.engines.status.model_id)] = message
            return ProposalState(state="failed", message=message)

    def _work(self, query: Query, clip: Clip) -> Callable[[Job], Proposal]:
        def work(job: Job) -> Proposal:
            answer, context = self.grounding.first_look(clip, query.row.query)(job)
            return self.store.propose(query.id, prediction_of(answer, context), op_id=str(uuid4()))

        return work

    def ask_for_all(self, queries: Sequence[Query], clip_of: Callable[[Query], Clip | None]) -> None:
        """Have the model look at these rows one after the other, behind whatever people ask it."""
        if not queries or self.grounding.engines.status.state != "ready":
            return
        first, *others = queries
        clip = clip_of(first)

        def work(job: Job) -> None:
            try:
                if clip is not None and self.newest(first.id) is None:
                    self._work(first, clip)(job)
            except Cancelled:
                raise
            except TempoError as error:
                log.warning("no proposal for query %s: %s", first.id, error)
            self.ask_for_all(others, clip_of)

        try:
            self.grounding.model_queue.submit(f"{OWNER} in advance", work)
        except Busy:
            log.info("the model is busy; %s proposals are made when their rows are opened", len(queries))


def prediction_of(answer: Any, context: Any) -> Prediction:
    """What the store keeps of an engine's answer: with the frames looked at, so that lanes can be drawn again."""
    pairs = zip(answer.moments, answer.confidences, strict=True)
    moments = [(*moment.to_ms(), min(1.0, max(0.0, float(confidence)))) for moment, confidence in pairs]
    allocation = {
        "times_s": [float(time_s) for time_s in context.times_s],
        "end_s": float(context.end_s),
        **context.allocation.to_dict(),
    }
    best_first = sorted(moments, key=lambda each: -each[2])
    return Prediction(
        model_id=answer.model_id,
        moments=tuple(ProposedMoment(start_ms=a, end_ms=b, confidence=p) for a, b, p in best_first),
        refused=answer.refused,
        relevance=float(answer.relevance),
        allocation=allocation,
        timings=dict(answer.timings),
        answer=answer.to_dict(),
    )
