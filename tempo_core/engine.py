"""The engine: a loaded model that encodes a video once and answers any number of queries about it.

    engine = load_engine()
    answer, context = ground(engine, "clip.mp4", "a red circle appears")
    again = engine.ask(context, "a blue square appears")

It holds no state between calls: contexts belong to their askers. `ask` reuses the context's cache, and what it asks
the model for shares forward passes (`tempo_core.decoding`); its plain twin `ask_plain` runs the whole model from the
pixels for every token, through the model's own forward.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import DynamicLayer

from tempo_core.answers import AnswerError
from tempo_core.backend import AskRequest, Backend, OnAnswer, answers_of
from tempo_core.calibration import read_scaling, relevance_note
from tempo_core.card import read_about
from tempo_core.checkpoint import folder_name
from tempo_core.chunks import ChunkedContext, ask_chunks, chunks_for, encode_chunks
from tempo_core.context import OnProgress, VideoContext, encode_video, prompt_for
from tempo_core.decoding import (
    AnswerSteps,
    CachedScorer,
    Decoding,
    Hypothesis,
    Scorer,
    Steps,
    answer_by_itself,
    answer_together,
    beam_search,
    decode_freely,
    feed,
    logits_after,
    plain_scorer,
    share_cache,
)
from tempo_core.defaults import GroundingDefaults
from tempo_core.errors import InputError
from tempo_core.film_plan import Look
from tempo_core.films import FilmContext, WindowStore, ask_film, film_context, plan_for
from tempo_core.grammar import GrammarState
from tempo_core.loading import LoadedModel, load_model
from tempo_core.moments import Moment, moments_between
from tempo_core.passes import TwoPassContext, ask_passes, encode_first_pass, first_pass_of
from tempo_core.protocols.base import (
    IM_END,
    NO,
    YES,
    Protocol,
    clean_query,
    plain_ids,
    prompt_ids,
    special_id,
)
from tempo_core.room import is_out_of_memory, shortage
from tempo_core.thinking import think
from tempo_core.timestamps import RESOLUTION_S
from tempo_core.vocabulary import Understanding

if TYPE_CHECKING:
    from tempo_core.video import SampledVideo

MAX_N_BEST = 20
MOST_PIXELS = 4
"""Pixels of a sampled frame, in those of the protocol's size, where an allocator may make some frames larger."""
MAX_RANKED = 10
"""Ranked windows that an answer carries: as many as the official QVHighlights score looks at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a model says about one query: moments with confidences, or the refusal."""

    moments: list[Moment]
    """In time order, apart; none when refused."""
    confidences: list[float | None]
    """Per moment, the probability of its two stamps given what was said before, among all stamps that could follow;
    None where an endpoint gives no log-probabilities."""
    relevance: float | None
    """P(relevant): the probability that the answer opens with a moment rather than the refusal; where a model knows no
    refusal, that it says yes rather than no when it is asked whether this happens at all; scaled where it was
    calibrated; None where an endpoint gives no log-probabilities, or the question was not understood."""
    refused: bool
    """Whether the model says that nothing in the clip matches. Not understanding the question is no refusal."""
    text: str
    """The answer as the model wrote it, its thought first where it has one; empty where it was not asked."""
    ranked: list[tuple[Moment, float]]
    """Windows of the n best answers with a moment, best first, refused or not; a score is the probability of
    the answers that hold the window."""
    model_id: str
    timings: dict[str, float]
    """Seconds per stage."""
    query: str
    notes: list[str] = field(default_factory=list)
    """What a person should know before they believe it: nothing for a model that is asked as it was trained and was
    taught to refuse."""
    clip_end_s: float | None = field(default=None, compare=False)
    """Where the clip ends, for the timeline of `_repr_html_`; no part of the JSON object."""
    understood: Understanding | None = None
    """Whether the model knows what was asked for; None where it does not say which words it was taught."""
    looks: tuple[Look, ...] = ()
    """Of a film, the windows that were looked at in the order of looking; none for a clip in one piece."""
    passes: list[dict[str, Any]] = field(default_factory=list)
    """Of a clip that was looked at twice: the whole clip in segments with those that were named, and the window. Each
    has start_s, end_s, text, frames and tokens; the first also segments, and its text's probability; the window also
    stamps, its `stamp_records`."""

    @property
    def is_understood(self) -> bool:
        """Whether the answer is about the clip: moments or the refusal."""
        return self.understood is None or self.understood.is_understood

    @classmethod
    def not_understood(cls, backend: Backend, query: str, understood: Understanding) -> "Answer":
        """What is said where nobody looked, because the model does not know what was asked for."""
        return cls(
            moments=[],
            confidences=[],
            relevance=None,
            refused=False,
            text="",
            ranked=[],
            model_id=backend.model_id,
            timings={},
            query=clean_query(query),
            notes=backend.notes,
            understood=understood,
        )

    def _repr_html_(self) -> str:
        """The answer as a timeline, for Jupyter."""
        from tempo_core.answer_view import answer_html

        return answer_html(self)

    def to_dict(self) -> dict[str, Any]:
        """The one documented JSON object of an answer, the same in the CLI, the HTTP API and the store."""
        return {
            "query": self.query,
            "refused": self.refused,
            "relevance": self.relevance,
            "moments": [
                {"start_s": moment.start_s, "end_s": moment.end_s, "confidence": confidence}
                for moment, confidence in zip(self.moments, self.confidences, strict=True)
            ],
            "ranked": [
                {"start_s": moment.start_s, "end_s": moment.end_s, "score": score}
                for moment, score in self.ranked
            ],
            "text": self.text,
            "model_id": self.model_id,
            "timings": self.timings,
            "notes": self.notes,
            "understood": None
            if self.understood is None
            else {"probability": self.understood.probability, "words": list(self.understood.words)},
            **({"looks": [look.to_dict() for look in self.looks]} if self.looks else {}),
            **({"passes": self.passes} if self.passes else {}),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Answer":
        """The answer that `to_dict` described. Raises InputError when a part is missing or broken."""
        try:
            understood = data.get("understood")
            return cls(
                moments=[Moment(row["start_s"], row["end_s"]) for row in data["moments"]],
                confidences=[_optional_float(row["confidence"]) for row in data["moments"]],
                relevance=_optional_float(data["relevance"]),
                refused=bool(data["refused"]),
                text=str(data["text"]),
                ranked=[
                    (Moment(row["start_s"], row["end_s"]), float(row["score"])) for row in data["ranked"]
                ],
                model_id=str(data["model_id"]),
                timings={str(stage): float(seconds) for stage, seconds in data["timings"].items()},
                query=str(data["query"]),
                notes=[str(note) for note in data.get("notes", ())],
                understood=None
                if understood is None
                else Understanding(
                    probability=float(understood["probability"]),
                    words=tuple(str(word) for word in understood["words"]),
                ),
                looks=tuple(Look.from_dict(look) for look in data.get("looks", ())),
                passes=[dict(look) for look in data.get("passes", ())],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"This is no answer object: {type(error).__name__} at {error}.") from error


def _search_options(request: AskRequest) -> dict[str, Any]:
    """How a question about parts of a clip is answered."""
    return {
        "n_best": request.n_best,
        "constrained": request.constrained,
        "thinking_tokens": request.thinking_tokens,
        "cancel": request.cancel,
    }


def _optional_float(number: Any) -> float | None:
    """A number of an answer's JSON, which may be absent."""
    return None if number is None else float(number)


class Engine(Backend):
    """A model that can be asked. Safe to share: it keeps nothing of what it was asked."""

    batch_size = 8

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded, self.family = loaded, loaded.family
        self.model_id, self.defaults, self.choice = loaded.model_id, loaded.defaults, loaded.choice
        self.vocabulary = loaded.vocabulary
        self.weight_bytes = int(loaded.model.get_memory_footprint())
        self.about = (read_about(loaded.adapter) if loaded.adapter else None) or read_about(loaded.folder)
        self.scaling = read_scaling(loaded.adapter or loaded.folder, loaded.model_id)
        """What makes P(relevant) a frequency, where the model was calibrated."""
        self.notes = [] if loaded.choice.is_known else [loaded.choice.reason]
        if self.scaling is not None or not self.protocol.refuses:
            self.notes.append(relevance_note(self.protocol, self.scaling))

    def describe(self) -> dict[str, Any]:
        """What this engine is, as plain JSON values."""
        model = self.loaded.model
        return {
            "model_id": self.model_id,
            "family": self.family.model_type,
            "checkpoint": folder_name(self.loaded.folder),
            "adapter": None if self.loaded.adapter is None else folder_name(self.loaded.adapter),
            "fingerprint": self.loaded.fingerprint,
            "precision": self.loaded.precision,
            "four_bit": self.loaded.four_bit,
            "device": self.loaded.device,
            "protocol": self.protocol.name,
            "protocol_title": self.protocol.title,
            "protocol_reason": self.loaded.choice.reason,
            "protocol_is_known": self.loaded.choice.is_known,
            "names_sets": self.protocol.sets,
            "refuses": self.protocol.refuses,
            "words": None if self.vocabulary is None else len(self.vocabulary.content),
            "relevance": relevance_note(self.protocol, self.scaling),
            "dtype": str(model.dtype).removeprefix("torch."),
            "weight_bytes": self.weight_bytes,
            "defaults": {
                name: getattr(self.defaults, name) for name in GroundingDefaults.__dataclass_fields__
            },
        }

    def encode(
        self,
        video: "SampledVideo",
        *,
        token_budget: int | None = None,
        allocator: str | None = None,
        cancel: threading.Event | None = None,
        on_progress: OnProgress | None = None,
    ) -> VideoContext:
        """Encode a video once, for any number of questions.

        `allocator` None is the protocol's own way to share out tokens, `token_budget` None its or the checkpoint's.
        Raises InputError for a budget that cannot hold the frames' minimum or frames closer than a tenth of a second;
        MemoryShortage for a context that the device has no room for; Cancelled between steps.
        """
        return encode_video(
            self.loaded,
            video,
            token_budget=token_budget,
            allocator=allocator,
            cancel=cancel,
            on_progress=on_progress,
        )

    def ask(
        self,
        context: VideoContext,
        query: str,
        *,
        n_best: int = 5,
        constrained: bool = True,
        thinking_tokens: int | None = None,
        cancel: threading.Event | None = None,
        on_answer: OnAnswer | None = None,
    ) -> Answer:
        """Answer one query about an encoded video; the context stays as it was.

        `n_best` answers are ranked into windows (0: none, at most MAX_N_BEST). Without `constrained` the model writes
        what it likes, and AnswerError is raised when that is no answer; nothing is guessed. `thinking_tokens` is the
        longest thought before the answer, of models that think (None: the protocol's; 0: none). `on_answer` hears the
        answer before its windows are ranked; not for clips in pieces. Raises InputError for a bad query or another
        model's context, Cancelled.
        """
        request = AskRequest(
            context=context,
            query=query,
            n_best=n_best,
            constrained=constrained,
            thinking_tokens=thinking_tokens,
            cancel=cancel,
            on_answer=on_answer,
        )
        (result,) = self.ask_each([request])
        if isinstance(result, Exception):
            raise result
        return result

    def ask_each(self, requests: Sequence[AskRequest]) -> list[Answer | Exception]:
        """Answer questions in shared forward passes, each as `ask` does; one that cannot be answered has what `ask`
        would raise in its place."""
        results: dict[int, Answer | Exception] = {}
        together: dict[int, AnswerSteps] = {}
        for number, request in enumerate(requests):
            context = request.context
            try:
                if context.model_id != self.model_id:
                    raise InputError(
                        f"This context was encoded by {context.model_id}, not by {self.model_id}. Encode the video "
                        "again."
                    )
                if not 0 <= request.n_best <= MAX_N_BEST:
                    raise InputError(f"n_best must lie between 0 and {MAX_N_BEST}; got {request.n_best}.")
                if isinstance(context, FilmContext):
                    results[number] = ask_film(self, request)
                elif isinstance(context, ChunkedContext):
                    results[number] = ask_chunks(self, context, request.query, **_search_options(request))
                elif isinstance(context, TwoPassContext):
                    results[number] = ask_passes(self, context, request.query, **_search_options(request))
                elif self.family.packs_rows and all(
                    type(layer) is DynamicLayer for layer in context.cache.layers
                ):
                    together[number] = self._answer(request)
                else:
                    results[number] = self.ask_by_itself(request)
            except Exception as error:  # whoever asked gets it
                results[number] = error
        contexts = [requests[number].context for number in together]
        answers: list[Answer | Exception]
        try:
            answers = answer_together(self, contexts, list(together.values()))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            answers = [MemoryError()] * len(together)
        results.update(zip(together, answers, strict=True))
        return [
            shortage("the question was answered")
            if isinstance(result, Exception) and is_out_of_memory(result)
            else result
            for result in (results[number] for number in range(len(requests)))
        ]

    @torch.inference_mode()
    def ask_by_itself(self, request: AskRequest) -> Answer:
        """The same answer with a cache and passes of its own for every decoding: for models whose continuations cannot
        share a row, and the plain twin of the passes that are shared."""
        model, context = self.loaded.model, request.context
        read_stems: dict[Sequence[int], tuple[Any, torch.Tensor]] = {}

        def scorer_of(decoding: Decoding) -> Scorer:
            stem, tokens = decoding.stem, decoding.tokens  # the same tokens for all with one stem
            if stem not in read_stems:
                cache = share_cache(context.cache)
                read_stems[stem] = cache, feed(model, torch.tensor([stem]), context.position, cache, tokens)
            return CachedScorer(model, *read_stems[stem], context.position + len(stem), tokens)

        return answer_by_itself(self._answer(request), scorer_of)

    @torch.inference_mode()
    def ask_plain(
        self,
        video: "SampledVideo",
        query: str,
        *,
        token_budget: int | None = None,
        allocator: str | None = None,
        n_best: int = 0,
        thinking_tokens: int | None = None,
    ) -> Answer:
        """The same answer without any reuse: every choice runs the whole prompt, pixels included. Slow; for tests."""
        prompt = prompt_for(self.loaded, video, token_budget=token_budget, allocator=allocator)
        # the cache of this context stays unread: the scorer sees nothing but pixels and ids
        context = encode_video(self.loaded, video, prompt=prompt)
        request = AskRequest(context=context, query=query, n_best=n_best, thinking_tokens=thinking_tokens)
        return answer_by_itself(
            self._answer(request), lambda decoding: plain_scorer(self.loaded, video, prompt, decoding.stem)
        )

    def _answer(self, request: AskRequest) -> AnswerSteps:
        """P(relevant), the greedy answer, and the windows of the best answers, one after the other.

        Their decodings begin at once, so that passes can be shared.
        """
        query, constrained, cancel = request.query, request.constrained, request.cancel
        timeline, grammar = request.context.timeline, request.context.grammar
        assert grammar is not None, "an engine's contexts have one"
        laps = [time.perf_counter()]
        understood = None if self.vocabulary is None else self.vocabulary.understanding(query)
        if understood is not None and not understood.is_understood:
            return Answer.not_understood(self, query, understood)

        # The question, and a thought where the protocol has one.
        tokenizer, protocol = self.loaded.tokenizer, self.choice.protocol
        stem = tuple(prompt_ids(tokenizer, protocol.question(query)))
        thought: list[int] = []
        if protocol.thinking is not None and (constrained or request.thinking_tokens is not None):
            thinking = Decoding(
                think(tokenizer, protocol.thinking, max_tokens=request.thinking_tokens, cancel=cancel), stem
            )
            thought = yield thinking, [thinking]
            stem = (*stem, *thought)

        # What is decoded behind it.
        moments_only = grammar.without_refusals
        # Without a calibration the model's own first choice decides whether it refuses, with one P(relevant) does.
        refuses_by_itself = protocol.refuses and self.scaling is None
        stop = [special_id(tokenizer, IM_END), *filter(None, [tokenizer.eos_token_id])]
        limit = self.defaults.max_new_tokens if protocol.sampling is None else protocol.max_new_tokens
        limit += protocol.thinking.max_tokens if protocol.thinking else 0
        steps: Steps[Any] = (
            beam_search(grammar if refuses_by_itself else moments_only, cancel=cancel)
            if constrained
            else decode_freely(stop=stop, max_new_tokens=limit, cancel=cancel)
        )
        tokens = grammar.tokens if constrained else None
        greedy = Decoding(steps, stem, tokens)
        decodings = [greedy]
        if request.n_best:
            ranking = Decoding(beam_search(moments_only, width=request.n_best, cancel=cancel), stem, tokens)
            decodings.append(ranking)
        elif constrained:  # the words before a moment, should the answer be one: nobody waits for them
            decodings.append(Decoding(logits_after(moments_only.relevance[0]), stem, tokens))
        if protocol.refuses:
            prefix, moment_tokens, refusal_tokens = grammar.relevance
            first_choice = Decoding(logits_after(prefix), stem, tokens)
        else:
            moment_tokens, refusal_tokens = (plain_ids(tokenizer, word)[:1] for word in (YES, NO))
            verification = tuple(prompt_ids(tokenizer, protocol.verification(query)))
            first_choice = Decoding(logits_after(()), verification, [*moment_tokens, *refusal_tokens])
        decodings.append(first_choice)
        laps.append(time.perf_counter())

        # P(relevant) from the first choice between a moment and the refusal, or from a question of its own.
        logits = yield first_choice, decodings
        gap = float(logits[refusal_tokens].logsumexp(0) - logits[moment_tokens].logsumexp(0))
        relevance = 1 / (1 + math.exp(min(gap, 700.0)))
        if self.scaling is not None:
            relevance = self.scaling.scale(relevance)

        # The answer. Per moment, the product of its marks' token probabilities; where they cannot be told apart, the
        # answer's.
        result = yield greedy, decodings
        state: GrammarState | None
        if constrained:
            best: Hypothesis = result[0]
            state, logprobs = best.state, best.logprobs
            moments = moments_between(best.state.pairs, timeline.marks_s)
            text = tokenizer.decode([*thought, *best.ids[:-1]])
        else:
            ids, logprobs = result
            text = tokenizer.decode([*thought, *ids])
            moments = protocol.answer.parse(text, timeline, request.context.end_s)
            try:
                state = grammar.replay([*ids, stop[0]])
            except AnswerError:
                state = None  # a good answer in other tokens than the grammar's, behind a thought or with other times
        confidences: list[float | None] = [math.exp(sum(logprobs))] * len(moments)
        if state is not None and len(state.spans) == len(moments):
            confidences = [
                math.exp(sum(logprobs[idx] for span in spans for idx in span)) for spans in state.spans
            ]
        if self.scaling is not None and relevance < 0.5:
            moments, confidences = [], []
            text = protocol.answer.write([]) if protocol.refuses else text
        laps.append(time.perf_counter())
        notes = self.notes
        if timeline.zero_s >= RESOLUTION_S:
            clock = (
                f"This model counts seconds from the first picture, which this clip shows at {timeline.zero_s:.2f} s: "
                "so do the times in its own words. Moments and windows are on the clip's clock."
            )
            notes = [*notes, clock]
        answer = Answer(
            clip_end_s=request.context.end_s,
            moments=moments,
            confidences=confidences,
            relevance=relevance,
            refused=not moments,
            text=text,
            ranked=[],
            model_id=self.model_id,
            timings={"question_s": round(laps[1] - laps[0], 4), "answer_s": round(laps[2] - laps[1], 4)},
            query=clean_query(query),
            notes=notes,
            understood=understood,
        )
        if request.n_best and request.on_answer is not None:
            request.on_answer(answer)

        # Windows of the n best answers with a moment, the greedy one always among them, by summed probability.
        scores: dict[tuple[int, int], float] = {}
        if request.n_best:
            beams: list[Hypothesis] = yield ranking, decodings
            answers = {beam.ids: (beam.state.pairs, math.exp(beam.logprob) * relevance) for beam in beams}
            if moments and constrained:
                factor = 1.0 if refuses_by_itself else relevance
                answers.setdefault(best.ids, (best.state.pairs, math.exp(best.logprob) * factor))
            for pairs, probability in answers.values():
                for pair in pairs:
                    scores[pair] = scores.get(pair, 0.0) + probability
        windows = sorted(
            ((pair, min(score, 1.0)) for pair, score in scores.items()), key=lambda item: (-item[1], item[0])
        )[:MAX_RANKED]
        return replace(
            answer,
            ranked=[(moments_between([pair], timeline.marks_s)[0], score) for pair, score in windows],
            timings={**answer.timings, "ranking_s": round(time.perf_counter() - laps[2], 4)},
        )


def load_engine(
    checkpoint: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    four_bit: bool = True,
    device: str | None = None,
    protocol: str | None = None,
) -> Engine:
    """An engine on a checkpoint folder or hub name (None: the one that ships); see `load_model`.

    Raises CheckpointError, and InputError for a protocol that the model does not speak.
    """
    return Engine(
        load_model(checkpoint, adapter=adapter, four_bit=four_bit, device=device, protocol=protocol)
    )


def ground(
    engine: Backend,
    video_path: str | Path,
    query: str,
    *,
    step_s: float | None = None,
    fps: float | None = None,
    token_budget: int | None = None,
    allocator: str | None = None,
    scan_step_s: float | None = None,
    budget_frames: int | None = None,
    n_best: int = 5,
    window_store: WindowStore | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
    on_answer: Callable[[Answer, VideoContext], None] | None = None,
) -> tuple[Answer, VideoContext]:
    """From a video file and a query to the answer, and the context for the next query.

    Without `step_s` and `fps`, frames are sampled as the checkpoint wants them, and a long clip is scanned and looked
    at again within a budget (`tempo_core.films`): `scan_step_s` seconds between the scan's frames, at most
    `budget_frames` frames in all; either one asks for it whatever the length. `window_store` keeps a film's encoded
    windows. `on_progress` hears the stages "decoding", "allocating", "encoding" and "answering", of a film "scanning"
    and "looking again"; `on_answer` hears the answer and its context before windows are ranked, as in `Engine.ask`, not
    for films. Raises InputError and its kin for whatever a person can mend, Cancelled.
    """
    report: OnProgress = on_progress or (lambda stage, share: None)
    clean_query(query)  # before minutes go into a video that nobody can ask about
    context = encode_file(
        engine,
        video_path,
        step_s=step_s,
        fps=fps,
        token_budget=token_budget,
        allocator=allocator,
        scan_step_s=scan_step_s,
        budget_frames=budget_frames,
        window_store=window_store,
        cancel=cancel,
        on_progress=report,
    )
    if isinstance(context, FilmContext):
        request = AskRequest(context=context, query=query, n_best=n_best, cancel=cancel, on_progress=report)
        return answers_of(engine.ask_each([request]))[0], context
    report("answering", 0.0)
    answer = engine.ask(
        context,
        query,
        n_best=n_best,
        cancel=cancel,
        on_answer=None if on_answer is None else lambda answer: on_answer(answer, context),
    )
    report("answering", 1.0)
    answer.timings.update(context.timings)
    return answer, context


def encode_file(
    engine: Backend,
    video_path: str | Path,
    *,
    step_s: float | None = None,
    fps: float | None = None,
    token_budget: int | None = None,
    allocator: str | None = None,
    scan_step_s: float | None = None,
    budget_frames: int | None = None,
    window_store: WindowStore | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
) -> VideoContext:
    """A video file, ready for questions: sampled as the model wants it, in pieces where its protocol cuts long clips,
    as a film where it is long, after the first of two passes where its protocol looks at long clips twice.

    Parameters and errors as for `ground`. Whoever names a step or a rate gets the clip in one piece and one pass, and
    so does an endpoint, which takes no pooled features.
    """
    report: OnProgress = on_progress or (lambda stage, share: None)
    started_at = time.perf_counter()
    report("decoding", 0.0)
    is_film_asked = scan_step_s is not None or budget_frames is not None
    if is_film_asked and (step_s is not None or fps is not None):
        raise InputError(
            "A rate for the whole clip and a scan or a budget were given. Leave one out: a film is scanned at one rate "
            "and looked at again at another."
        )
    protocol = engine.protocol
    is_plannable = protocol.sampling is None or protocol.chunks is not None or is_film_asked
    if step_s is None and fps is None and (is_plannable or protocol.first_pass is not None):
        from tempo_core.video import probe

        info = probe(video_path, cancel=cancel)
        plan = None
        if is_plannable:
            plan = plan_for(engine, info, scan_step_s=scan_step_s, budget_frames=budget_frames)
        first = first_pass_of(engine, info)
        if plan is None and first is not None and isinstance(engine, Engine):
            return encode_first_pass(
                engine,
                Path(video_path),
                info,
                first,
                token_budget=token_budget,
                allocator=allocator,
                cancel=cancel,
                on_progress=report,
            )
        if plan is not None:
            return film_context(
                engine,
                Path(video_path),
                info,
                plan,
                token_budget=token_budget,
                allocator=allocator,
                store=window_store,
            )
        windows = chunks_for(engine, info)
        if len(windows) > 1:
            return encode_chunks(
                engine,
                Path(video_path),
                info,
                windows,
                token_budget=token_budget,
                allocator=allocator,
                cancel=cancel,
                on_progress=report,
            )
        step_s = engine.step_for(info.duration_s)
    video = sample_for(
        engine.defaults,
        video_path,
        step_s=step_s,
        fps=fps,
        protocol=engine.protocol,
        allocator=allocator,
        cancel=cancel,
        on_progress=report,
    )
    decoding_s = round(time.perf_counter() - started_at, 4)
    context = engine.encode(
        video, token_budget=token_budget, allocator=allocator, cancel=cancel, on_progress=report
    )
    return replace(context, timings={"decoding_s": decoding_s, **context.timings})


def sample_for(
    defaults: GroundingDefaults,
    video_path: str | Path,
    *,
    step_s: float | None = None,
    fps: float | None = None,
    protocol: Protocol | None = None,
    allocator: str | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
) -> "SampledVideo":
    """The frames that a checkpoint with these defaults sees of a video file; a protocol may have a sampling of its own.

    `allocator` is the one that will share out tokens (None: the protocol's own).

    Raises InputError when more than `max_frames` were asked for, VideoError for a file that cannot be read truthfully.
    """
    from tempo_core.video import probe, round_step_s, sample, without_twins

    report = None if on_progress is None else (lambda share: on_progress("decoding", share))
    if step_s is None and fps is None and protocol is not None and protocol.sampling is not None:
        frames = protocol.sampling.plan(probe(video_path, cancel=cancel))
        # frames that get more tokens than others need more pixels than the protocol's size
        size: dict[str, Any] = {"size": frames.size_px}
        if allocator not in (None, "uniform"):
            size = {"max_pixels": MOST_PIXELS * frames.size_px[0] * frames.size_px[1]}
        return sample(video_path, at=frames.times_s, cancel=cancel, on_progress=report, **size)
    if step_s is None and fps is None:
        step_s = round_step_s(
            probe(video_path, cancel=cancel).duration_s, defaults.max_frames, finest=defaults.finest_step_s
        )
    video = sample(
        video_path, step_s=step_s, fps=fps, max_frames=defaults.max_frames, cancel=cancel, on_progress=report
    )
    # A clip of variable rate can have two pictures that close together around a sampled time.
    step_s = step_s if fps is None else 1 / fps
    return without_twins(video) if step_s is not None and step_s >= RESOLUTION_S else video
