"""The desk: takes a clip and a question together, and hands back the answer for exactly that pair.

Page and HTTP API both come here. Everything heavy runs in two lanes, one for clips (normal copy, film
strip) and one for the model, never on the event loop; what comes out is a stream of Progress and, last, one
Outcome.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.auth.users import User
from app.ground.contexts import ContextStore, HeldContext
from app.ground.engines import EngineProvider
from app.job_queue import Job, JobQueue, Progress, result_of
from app.media.library import Clip, FilmStrip, MediaLibrary
from tempo_core.allocation import ALLOCATORS
from tempo_core.errors import InputError, TempoError
from tempo_core.prompt import clean_query
from tempo_core.video import round_step_s

log = logging.getLogger(__name__)

STAGES = ("preparing", "decoding", "allocating", "encoding", "answering")
MAX_N_BEST = 20
STRIP_PATIENCE_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How to look at a clip; None leaves the choice to the checkpoint."""

    token_budget: int | None = None
    """Visual tokens for the whole clip."""
    allocator: str = "saa"
    step_s: float | None = None
    """Seconds between sampled frames."""
    n_best: int = 5
    """Ranked windows to return, 1 to 20."""

    def __post_init__(self) -> None:
        if self.allocator not in ALLOCATORS:
            raise InputError(f"Unknown allocator {self.allocator!r}. Use one of: {', '.join(ALLOCATORS)}.")
        if self.token_budget is not None and self.token_budget < 1:
            raise InputError(
                f"The token budget must be 1 or more; got {self.token_budget}. Empty means the default."
            )
        if self.step_s is not None and not 0.1 <= self.step_s <= 600:
            raise InputError(f"The sampling step must lie between 0.1 and 600 seconds; got {self.step_s}.")
        if not 1 <= self.n_best <= MAX_N_BEST:
            raise InputError(f"Ranked windows: 1 to {MAX_N_BEST}; got {self.n_best}.")

    @classmethod
    def read(cls, token_budget: Any, allocator: Any, step_s: Any, n_best: Any) -> "Settings":
        """Settings from form values; None, "" and 0 mean the default. Raises InputError on what is no
        number.
        """
        return cls(
            token_budget=_whole("token budget", token_budget),
            allocator=str(allocator or "saa"),
            step_s=_number("sampling step", step_s),
            n_best=_whole("number of ranked windows", n_best) or 5,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A clip and a question that belong together."""

    source: Path
    title: str
    query: str
    settings: Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """An answer with the clip and the context that it is about."""

    clip: Clip
    strip: FilmStrip | None
    """The clip's film strip, once it is drawn."""
    context_id: str
    context: Any
    """tempo_core.engine.VideoContext"""
    answer: Any
    """tempo_core.engine.Answer"""
    reused: bool
    """Whether the context of an earlier question was used, so that nothing was decoded or encoded again."""
    elapsed_s: float

    def to_dict(self) -> dict[str, Any]:
        """The answer's documented JSON, with the clip and the allocation beside it."""
        return {
            **self.answer.to_dict(),
            "clip": {
                "title": self.clip.title,
                "duration_s": self.clip.facts.duration_s,
                "url": self.clip.url,
            },
            "allocation": {
                "times_s": [float(t) for t in self.context.times_s],
                "end_s": float(self.context.end_s),
                **self.context.allocation.to_dict(),
            },
            "context_id": self.context_id,
            "reused": self.reused,
            "elapsed_s": round(self.elapsed_s, 3),
        }


def ground_with_engine(*given: Any, **named: Any) -> tuple[Any, Any]:
    """`tempo_core.engine.ground`, imported when first needed: the page is up before torch is."""
    from tempo_core.engine import ground

    return ground(*given, **named)


class GroundingService:
    """Clips, contexts, engine and lanes of one running app."""

    def __init__(
        self,
        engines: EngineProvider,
        media: MediaLibrary,
        *,
        ground: Callable[..., tuple[Any, Any]],
        contexts: ContextStore | None = None,
        queue_limit: int = 16,
    ) -> None:
        self.engines, self.media = engines, media
        self.contexts = contexts or ContextStore()
        self._ground = ground
        self.clip_queue = JobQueue("clips", limit=queue_limit)
        self.strip_queue = JobQueue("strips", limit=4 * queue_limit, per_owner=4 * queue_limit)
        self.model_queue = JobQueue("model", limit=queue_limit)
        self.data_queue = JobQueue("data", limit=queue_limit)

    async def ground(
        self, user: User, question: Question, cancel: threading.Event
    ) -> AsyncIterator[Progress | Clip | Outcome]:
        """Progress, the clip once it is known, and the Outcome. Raises TempoError for what a person can
        mend.
        """
        began_s = time.monotonic()
        query = clean_query(question.query)
        model_id = self.engines.get().model_id  # says "still loading" before anybody waits in a queue
        clip: Clip | None = None
        async for step in self._prepare(user, question, cancel):
            if isinstance(step, Clip):
                clip = step
            yield step
        assert clip is not None, "preparing a clip ends with the clip or with an error"
        key = _key(model_id, clip, question.settings)
        held = self.contexts.find(user.id, key)
        work = self._first(clip, query, question.settings)
        if held is not None:
            work = self._again(held, query, question.settings.n_best, otherwise=work)
        settings = question.settings
        async for later in self._answer(user, clip, settings, held, work, cancel, began_s):
            yield later

    async def ask(
        self, user: User, context_id: str, query: str, n_best: int, cancel: threading.Event
    ) -> AsyncIterator[Progress | Clip | Outcome]:
        """Another question about a clip that was already encoded; only for whoever asked the first one."""
        began_s = time.monotonic()
        query = clean_query(query)
        held = self.contexts.get(user.id, context_id)
        clip = self.media.get(held.clip_id, user.id)
        work = self._again(held, query, n_best)
        async for step in self._answer(user, clip, None, held, work, cancel, began_s):
            yield step

    async def _prepare(
        self, user: User, question: Question, cancel: threading.Event
    ) -> AsyncIterator[Progress | Clip]:
        def work(job: Job) -> Clip:
            job.report("preparing")
            return self.media.ingest(
                question.source,
                owner=user.id,
                title=question.title,
                cancel=job.cancel,
                progress=lambda fraction: job.report("preparing", fraction),
            )

        job = self.clip_queue.submit(user.id, work, cancel=cancel)
        async for step in self.clip_queue.follow(job):
            yield step
        yield result_of(job)

    async def _answer(
        self,
        user: User,
        clip: Clip,
        settings: Settings | None,
        held: HeldContext | None,
        work: Callable[[Job], tuple[Any, Any]],
        cancel: threading.Event,
        began_s: float,
    ) -> AsyncIterator[Progress | Clip | Outcome]:
        """Run the model and, beside it, draw the film strip. `held` is the context that is there; another one that
        `work` made is kept under its `settings`.
        """
        strip_job = self.strip_queue.submit(
            user.id, lambda job: self.media.strip_of(clip, cancel=job.cancel), cancel=cancel
        )
        job = self.model_queue.submit(user.id, work, cancel=cancel)
        async for step in self.model_queue.follow(job):
            yield step
        answer, context = result_of(job)
        reused = held is not None and context is held.context
        if held is None or not reused:
            assert settings is not None, "only a question with settings makes a context"
            made_by = context.model_id  # another adapter may have come since the question was asked
            held = self.contexts.put(user.id, clip.id, _key(made_by, clip, settings), context)
        yield Outcome(
            clip=clip,
            strip=await _strip_within(strip_job, STRIP_PATIENCE_S),
            context_id=held.id,
            context=context,
            answer=answer,
            reused=reused,
            elapsed_s=time.monotonic() - began_s,
        )

    def first_look(self, clip: Clip, query: str) -> Callable[[Job], tuple[Any, Any]]:
        """The work of asking about a clip with the usual settings, for the model lane; raises TempoError."""
        return self._first(clip, clean_query(query), Settings())

    def _first(self, clip: Clip, query: str, settings: Settings) -> Callable[[Job], tuple[Any, Any]]:
        """The work of a first question: from the clip's file to the answer and its context."""

        def work(job: Job) -> tuple[Any, Any]:
            engine = self.engines.get()
            job.report("decoding")
            return self._ground(
                engine,
                clip.path,
                query,
                step_s=settings.step_s or _usual_step_s(engine, clip),
                token_budget=settings.token_budget,
                allocator=settings.allocator,
                n_best=settings.n_best,
                cancel=job.cancel,
                on_progress=job.report,
            )

        return work

    def _again(
        self,
        held: HeldContext,
        query: str,
        n_best: int,
        *,
        otherwise: Callable[[Job], tuple[Any, Any]] | None = None,
    ) -> Callable[[Job], tuple[Any, Any]]:
        """The work of another question on a context that is there already; `otherwise` when the model was changed
        while the question waited.
        """

        def work(job: Job) -> tuple[Any, Any]:
            engine = self.engines.get()
            if otherwise is not None and engine.model_id != held.context.model_id:
                return otherwise(job)
            job.report("answering")
            answer = engine.ask(held.context, query, n_best=n_best, cancel=job.cancel)
            return answer, held.context

        return work

    def sweep(self) -> None:
        """Forget what expired; called from time to time."""
        self.contexts.sweep()
        self.media.sweep()

    def close(self) -> None:
        """Stop all work."""
        for job_queue in (self.clip_queue, self.strip_queue, self.model_queue, self.data_queue):
            job_queue.close()


def _key(model_id: str, clip: Clip, settings: Settings) -> Hashable:
    """Another adapter's context is of no use."""
    return model_id, clip.id, settings.token_budget, settings.allocator, settings.step_s


def _usual_step_s(engine: Any, clip: Clip) -> float:
    """The step that the checkpoint samples such a clip with; the clip's length is known, so it is not
    probed again.
    """
    defaults = engine.defaults
    return round_step_s(clip.facts.duration_s, defaults.max_frames, finest=defaults.finest_step_s)


async def _strip_within(job: Job, patience_s: float) -> FilmStrip | None:
    """The drawn strip, or None when it is late or could not be drawn: an answer does not wait for
    decoration.
    """
    try:
        return await asyncio.wait_for(asyncio.wrap_future(job.future), patience_s)
    except (TimeoutError, asyncio.CancelledError, TempoError) as error:
        if isinstance(error, asyncio.CancelledError) and not job.future.cancelled():
            raise
        log.info("no film strip: %s", error)
        return None


def _number(name: str, given: Any) -> float | None:
    if given is None or given == "":
        return None
    try:
        number = float(given)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The {name} must be a number; got {str(given)[:40]!r}. Leave it empty for the default."
        ) from error
    if not math.isfinite(number):
        raise InputError(f"The {name} must be a finite number; got {number}. Leave it empty for the default.")
    return number or None


def _whole(name: str, given: Any) -> int | None:
    number = _number(name, given)
    if number is not None and number != int(number):
        raise InputError(f"The {name} must be a whole number; got {number:g}.")
    return None if number is None else int(number)
