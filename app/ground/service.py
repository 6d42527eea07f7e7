"""Takes a clip and a question together, and gives the answer for exactly that pair.

The Ground page and the HTTP API both call it. Heavy work runs in the job queues, never on the event loop. What comes
out is a stream of Progress and, last, one Outcome.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from app.auth.users import User
from app.ground.contexts import ContextStore, StoredContext
from app.ground.engines import EngineProvider, Knowledge, Load
from app.http.errors import user_message
from app.job_queue import FOLLOW_EVERY_S, Batch, Job, JobQueues, Progress, result_of
from app.media.library import Clip, FilmStrip, MediaLibrary
from app.media.uploads import Uploads
from tempo_core.allocation import ALLOCATORS
from tempo_core.backend import AskRequest
from tempo_core.drawn import is_drawn
from tempo_core.errors import Cancelled, InputError, MemoryShortage, TempoError
from tempo_core.protocols.base import clean_query
from tempo_core.video import sample
from tempo_core.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

STAGES = ("preparing", "decoding", "allocating", "encoding", "answering")
MAX_N_BEST = 20
MAX_MODELS = 3
"""Asked about one clip in one go: as many contexts as a person may have."""
PICTURES, PICTURE_PIXELS = 8, 112 * 200
"""How many pictures of a clip, of what size, tell whether it is drawn."""
MOST_REMEMBERED = 1000
STRIP_PATIENCE_S = 5.0
OnContextAnswer = Callable[[Any, Any], None]
"""Hears an answer and the context that it stands on, before its windows are ranked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How to look at a clip; None leaves the choice to the checkpoint."""

    token_budget: int | None = None
    """Visual tokens for the whole clip."""
    allocator: str | None = None
    step_s: float | None = None
    """Seconds between sampled frames."""
    n_best: int = 5
    """Ranked windows to return, 1 to 20."""

    def __post_init__(self) -> None:
        if self.allocator is not None and self.allocator not in ALLOCATORS:
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
            token_budget=_whole_number("token budget", token_budget),
            allocator=str(allocator) if allocator else None,
            step_s=_number("sampling step", step_s),
            n_best=_whole_number("number of ranked windows", n_best) or 5,
        )


DEFAULT_SETTINGS = Settings()


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A clip and a question that belong together."""

    source: Path
    query: str
    settings: Settings
    model: str = ""
    """The name of the served model or of an offered one; empty: the question's words choose (`knowing`)."""
    load_context: Callable[[Any], Any] | None = None
    """Gives an engine's context of the clip where it was encoded before, else None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnotherQuestion:
    """About a stored context: it is answered together with those that wait for the same one."""

    engine: Callable[[], Any]
    """Gives the engine when its turn comes."""
    query: str
    n_best: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFailure:
    """One of several models could not answer."""

    model: str
    message: str


class ModelChoices(Protocol):
    """What may be asked beside the served model."""

    def offered(self) -> list[str]:
        """Names of models that visitors may choose."""
        ...

    def loader(self, name: str) -> Load:
        """What loads one of them. Raises InputError when it is not here."""
        ...

    def knowledge(self, name: str) -> Knowledge | None:
        """What one of them says that it knows."""
        ...


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
    by_words: str = ""
    """The model's name where the question's words chose it, and not whoever asked."""

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
            "stamps": self.context.stamp_records,
            "context_id": self.context_id,
            "reused": self.reused,
            "elapsed_s": round(self.elapsed_s, 3),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstAnswer:
    """The answer as soon as it is known; the Outcome with its ranked windows follows."""

    outcome: Outcome
    """Without ranked windows, and without a film strip that is not drawn yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """The normal copy of a clip is there."""

    clip: Clip
    strip: FilmStrip | None


Step = Progress | Clip | FirstAnswer | Outcome
"""What a question's stream holds, in this order."""


def ground_with_engine(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """`tempo_core.engine.ground`, imported when first needed: the page is up before torch is."""
    from tempo_core.engine import ground

    return ground(*args, **kwargs)


def shown_context(context: Any, answer: Any) -> Any:
    """What is shown beside an answer: the context, of a film with the frames that the answer stands on."""
    if not answer.looks:
        return context
    from tempo_core.films import frames_seen

    return frames_seen(context, answer)


class GroundingService:
    """Answers questions about clips; holds the clips, the encoded contexts and the engine of one running app."""

    def __init__(
        self,
        engines: EngineProvider,
        media: MediaLibrary,
        queues: JobQueues,
        *,
        ground: Callable[..., tuple[Any, Any]],
        contexts: ContextStore | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        self.engines, self.media, self.queues, self.uploads = engines, media, queues, uploads
        self.contexts = ContextStore() if contexts is None else contexts  # an empty one is false
        engines.on_departure = self.contexts.forget
        self.choices: ModelChoices | None = None
        """Models beside the served one; None where there are none to choose."""
        self._ground = ground
        self._drawn: dict[str, bool] = {}
        """Whether a clip is drawn, by its id, for clips where it mattered."""
        self._copies_lock = threading.Lock()
        self._copies: dict[str, Job] = {}
        """Copies that are being made, by the clip's id."""

    def offered(self) -> list[str]:
        """Names of the models that may be asked beside the served one."""
        return [] if self.choices is None else self.choices.offered()

    def knowing(self, query: str) -> dict[str, Vocabulary]:
        """Of the served model and `others`, those that were taught all words of a question, by name."""
        models = {self.engines.name: self.engines.knowledge(), **self.others()}
        return {
            name: known.vocabulary
            for name, known in models.items()
            if known is not None
            and known.vocabulary is not None
            and known.vocabulary.understanding(query).is_understood
        }

    async def _model_of(self, user: User, clip: Clip, query: str, cancel: threading.Event) -> str:
        """The model that a question goes to where nobody chose one: the one that was taught its words, else the served
        one. Where several were, the clip tells in which sense they are meant.
        """
        knowing = self.knowing(query)
        if len({vocabulary.is_general for vocabulary in knowing.values()}) > 1:
            if clip.id not in self._drawn:
                job = self.queues.clips.submit(
                    user.id, lambda job: _is_drawn(clip), cancel=cancel, network=user.network
                )
                async for _ in self.queues.clips.follow(job):
                    pass
                self._drawn[clip.id] = result_of(job)
                for oldest in list(self._drawn)[:-MOST_REMEMBERED]:
                    del self._drawn[oldest]
            is_general = not self._drawn[clip.id]
            knowing = {name: words for name, words in knowing.items() if words.is_general == is_general}
        return next(iter(knowing), self.engines.name)

    def others(self) -> dict[str, Knowledge]:
        """What each offered model that a question's words may choose says that it knows, by its name.

        Models without a list of words are not among them: they would have to be loaded to know what they know. None is
        where the served model has no such list, because that one is asked everything.
        """
        served = self.engines.knowledge()
        if self.choices is None or served is None or served.vocabulary is None:
            return {}
        known = {name: self.choices.knowledge(name) for name in self.choices.offered()}
        return {
            name: knowledge
            for name, knowledge in known.items()
            if knowledge is not None and knowledge.vocabulary is not None
        }

    async def ground_each(
        self, user: User, question: Question, models: Sequence[str], cancel: threading.Event
    ) -> AsyncGenerator[Step | ModelFailure, None]:
        """The same question to several models, one after the other, as `ground` answers it.

        One that fails is told, and the others go on. Raises InputError for too many, and what the last one raised
        when none answered.
        """
        names = list(dict.fromkeys(models)) or [""]
        if len(names) > MAX_MODELS:
            raise InputError(f"{len(names)} models were chosen; at most {MAX_MODELS} are asked in one go.")
        num_failures = 0
        for name in names:
            try:
                async with aclosing(self.ground(user, replace(question, model=name), cancel)) as steps:
                    async for step in steps:
                        yield step
            except Cancelled:
                raise
            except TempoError as error:
                num_failures += 1
                if num_failures == len(names):
                    raise
                yield ModelFailure(model=name or self.engines.name, message=user_message(error))

    async def when_loaded(self, cancel: threading.Event) -> AsyncGenerator[Progress, None]:
        """Progress while the first model is loading; ends when it is there or could not be loaded. Raises Cancelled."""
        while self.engines.status.state == "loading":
            if cancel.is_set():
                raise Cancelled("Cancelled while the model was loading.")
            yield Progress(stage="loading")
            await asyncio.sleep(FOLLOW_EVERY_S)

    async def ground(
        self, user: User, question: Question, cancel: threading.Event
    ) -> AsyncGenerator[Step, None]:
        """Progress, the clip once it is known, the answer, and the Outcome. Raises TempoError for what a person can
        mend."""
        started_s = time.monotonic()
        query, settings = clean_query(question.query), question.settings
        engine = self.engines.get()  # says "still loading" before anybody waits in a queue
        name, load = question.model, None
        if name and name != self.engines.name and name not in self.offered():
            raise InputError(
                f"The model {name[:120]!r} is not offered here. Ask the served one, or reload the page."
            )

        def ingest(job: Job) -> Clip:
            job.report("preparing")
            source = question.source
            clip = self.media.ingest(source, owner=user.id, title=source.name, job=job, may_wait=True)
            self._let_upload_go(source, clip)
            return clip

        job = self.queues.clips.submit(user.id, ingest, cancel=cancel, network=user.network)
        async for progress in self.queues.clips.follow(job):
            yield progress
        clip: Clip = result_of(job)
        yield clip
        by_words = ""
        if not name:
            name = await self._model_of(user, clip, query, cancel)
            by_words = name if name != self.engines.name else ""
        if self.choices is not None and name != self.engines.name:
            load, engine = self.choices.loader(name), self.engines.loaded(name)
        stored: StoredContext | None = None
        if engine is not None:
            stored = self.contexts.find(user.id, context_key(engine.model_id, clip, settings))

        def answer(job: Job, on_answer: OnContextAnswer) -> tuple[Any, Any]:
            # The engine that was asked answers, also where another one is served by now.
            answering = engine
            if load is not None:
                job.report("loading")
                answering = self.engines.other(name, load)
            if question.load_context is not None:
                job.report("answering")
                context = question.load_context(answering)
                if context is not None:
                    return answering.ask(context, query, n_best=settings.n_best, cancel=job.cancel), context
            if stored is not None and stored.context.model_id == answering.model_id:
                job.report("answering")
                context, n_best = stored.context, settings.n_best
                return answering.ask(
                    context,
                    query,
                    n_best=n_best,
                    cancel=job.cancel,
                    on_answer=lambda answer: on_answer(answer, context),
                ), context
            return self.encode_and_ask(job, clip, query, settings, engine=answering, on_answer=on_answer)

        work: Callable[..., tuple[Any, Any]] | AnotherQuestion = answer
        # A model that may have to be loaded again can turn out to be another one by then.
        if stored is not None and load is None and question.load_context is None:
            work = AnotherQuestion(engine=lambda: engine, query=query, n_best=settings.n_best)
        async for step in self._answer(user, clip, work, cancel, stored, settings, started_s, by_words):
            yield step

    async def ask(
        self, user: User, context_id: str, query: str, n_best: int, cancel: threading.Event
    ) -> AsyncIterator[Step]:
        """Another question about a clip that was already encoded; only for whoever asked the first one."""
        started_s = time.monotonic()
        query = clean_query(query)
        stored = self.contexts.get(user.id, context_id)
        clip = self.media.get(stored.clip_id, user.id)
        question = AnotherQuestion(
            engine=lambda: self.engines.with_id(stored.context.model_id), query=query, n_best=n_best
        )
        async for step in self._answer(user, clip, question, cancel, stored, None, started_s):
            yield step

    async def _answer(
        self,
        user: User,
        clip: Clip,
        answer: Callable[[Job, OnContextAnswer], tuple[Any, Any]] | AnotherQuestion,
        cancel: threading.Event,
        stored: StoredContext | None,
        settings: Settings | None,
        started_s: float,
        by_words: str = "",
    ) -> AsyncIterator[Step]:
        """Run the model and, beside it, draw the film strip. A context other than the stored one is stored too, under
        its settings.
        """
        before = stored
        early: list[tuple[Any, Any]] = []  # filled by the model's thread, at most once

        def outcome(result: Any, context: Any, strip: FilmStrip | None) -> Outcome:
            nonlocal stored
            if stored is None or context is not stored.context:
                assert settings is not None, "only a question with settings makes a context"
                key = context_key(context.model_id, clip, settings)
                stored = self.contexts.add(user.id, clip.id, key, context)
            return Outcome(
                clip=clip,
                strip=strip,
                context_id=stored.id,
                context=shown_context(context, result),
                answer=result,
                reused=stored is before,
                elapsed_s=time.monotonic() - started_s,
                by_words=by_words,
            )

        # Of a whole upload a strip costs as much as the answer: it waits for the copy.
        strip_job = self._draw_strip(user, clip, cancel) if clip.is_copy else None

        def on_answer(job: Job, result: Any, context: Any) -> None:
            early.append((result, context))
            job.report("ranking")

        work: Callable[[Job], Any] | Batch
        if isinstance(answer, AnotherQuestion):
            assert stored is not None, "another question is about a stored context"
            context = stored.context
            work = Batch(
                key=stored.id,
                item=lambda job: AskRequest(
                    context=context,
                    query=answer.query,
                    n_best=answer.n_best,
                    cancel=job.cancel,
                    on_answer=lambda result: on_answer(job, result, context),
                    on_progress=job.report,
                ),
                run=partial(_ask_together, answer.engine),
            )
        else:
            work = lambda job: answer(job, partial(on_answer, job))  # noqa: E731
        job = self.queues.model.submit(user.id, work, cancel=cancel, network=user.network)
        async for progress in self.queues.model.follow(job):
            if progress.stage == "ranking":
                result, context = early[0]
                is_drawn = strip_job is not None and strip_job.future.done()
                strip = await _strip_within(strip_job, STRIP_PATIENCE_S) if is_drawn else None
                yield FirstAnswer(outcome=outcome(result, context, strip))
            yield progress
        result, context = result_of(job)
        yield outcome(result, context, await _strip_within(strip_job, STRIP_PATIENCE_S))

    def _draw_strip(self, user: User, clip: Clip, cancel: threading.Event | None = None) -> Job:
        return self.queues.strips.submit(
            user.id,
            lambda job: self.media.strip_of(clip, cancel=job.cancel),
            cancel=cancel,
            network=user.network,
        )

    def _let_upload_go(self, source: Path, clip: Clip) -> None:
        if self.uploads is not None and clip.is_copy:
            self.uploads.copied(source, clip.path)

    async def make_copy(
        self, user: User, clip: Clip, source: Path, cancel: threading.Event
    ) -> AsyncGenerator[Progress | Copied, None]:
        """Make the normal copy of a clip that was answered about as it was uploaded, then its strip. Setting `cancel`
        ends the following, never the copy: the next question is shown on it. Raises VideoError, Busy.
        """

        def copy(job: Job) -> Clip:
            copied = self.media.make_copy(clip, job)
            self._let_upload_go(source, copied)
            return copied

        with self._copies_lock:
            job = self._copies.get(clip.id)
            if job is None or job.future.done():
                job = self.queues.copies.submit(user.id, copy, network=user.network)
                self._copies = {k: j for k, j in self._copies.items() if not j.future.done()} | {clip.id: job}
        last = None
        while not job.future.done() and not cancel.is_set():
            if job.progress != last:
                last = job.progress
                yield Progress(stage="copying", fraction=last.fraction)
            await asyncio.sleep(FOLLOW_EVERY_S)
        if not cancel.is_set():
            copied: Clip = result_of(job)
            yield Copied(
                clip=copied, strip=await _strip_within(self._draw_strip(user, copied), STRIP_PATIENCE_S)
            )

    def encode_and_ask(
        self,
        job: Job,
        clip: Clip,
        query: str,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        engine: Any = None,
        on_answer: OnContextAnswer | None = None,
    ) -> tuple[Any, Any]:
        """A first question, in the model's queue: from the clip's file to the answer and its context. `engine` None is
        the one that is served when its turn comes. Where the memory does not hold another clip's context, those that
        were used longest ago make room.
        """
        engine = engine or self.engines.get()
        job.report("decoding")
        # The clip's length is known, so it is not probed again for the step that the checkpoint samples it with; a film
        # has none.
        step_s = settings.step_s or engine.step_for(clip.facts.duration_s)

        def ground_once() -> tuple[Any, Any]:
            return self._ground(
                engine,
                clip.path,
                clean_query(query),
                step_s=step_s,
                token_budget=settings.token_budget,
                allocator=settings.allocator,
                n_best=settings.n_best,
                cancel=job.cancel,
                on_progress=job.report,
                on_answer=on_answer,
            )

        try:
            return ground_once()
        except MemoryShortage as shortage:
            if not shortage.missing_bytes or not self.contexts.make_room(shortage.missing_bytes):
                raise
        return ground_once()

    def is_film(self, clip: Clip, settings: Settings) -> bool:
        """Whether the served model scans a clip of this length and looks at it again."""
        return settings.step_s is None and bool(self.engines.get().is_film(clip.facts.duration_s))

    def sweep(self) -> None:
        """Forget what expired; called from time to time."""
        self.contexts.sweep()
        self.media.sweep()
        if self.uploads is not None:
            self.uploads.sweep()


def _is_drawn(clip: Clip) -> bool:
    """Whether a clip is drawn in flat colours. Slow: it is read."""
    step_s = clip.facts.duration_s / PICTURES
    times_s = [(i + 0.5) * step_s for i in range(PICTURES)]
    return is_drawn(sample(clip.path, at=times_s, max_pixels=PICTURE_PIXELS).frames)


def _ask_together(engine: Callable[[], Any], jobs: Sequence[Job]) -> list[Any]:
    """Questions about one context that wait together: each one's answer and the context, or its error."""
    for job in jobs:
        job.report("answering")
    requests = [job.batch.item(job) for job in jobs if job.batch is not None]
    answers = engine().ask_each(requests)
    return [
        answer if isinstance(answer, Exception) else (answer, request.context)
        for answer, request in zip(answers, requests, strict=True)
    ]


def context_key(model_id: str, clip: Clip, settings: Settings) -> Hashable:
    """What a context is found again by; another adapter's is of no use."""
    return model_id, clip.id, settings.token_budget, settings.allocator, settings.step_s


async def _strip_within(job: Job | None, patience_s: float) -> FilmStrip | None:
    """The drawn strip, or None when it is late or could not be drawn: an answer does not wait for
    decoration.
    """
    if job is None:
        return None
    try:
        return await asyncio.wait_for(asyncio.wrap_future(job.future), patience_s)
    except (TimeoutError, asyncio.CancelledError, TempoError) as error:
        if isinstance(error, asyncio.CancelledError) and not job.future.cancelled():
            raise
        logger.info("no film strip: %s", error)
        return None


def _number(name: str, value: Any) -> float | None:
    """A form's value as a number; None, "" and 0 mean the default. Raises InputError."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The {name} must be a number; got {str(value)[:40]!r}. Leave it empty for the default."
        ) from error
    except OverflowError:  # a whole number beyond a float's range
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"The {name} must be a finite number; got {number}. Leave it empty for the default.")
    return number or None


def _whole_number(name: str, value: Any) -> int | None:
    number = _number(name, value)
    if number is not None and number != int(number):
        raise InputError(f"The {name} must be a whole number; got {number:g}.")
    return None if number is None else int(number)
