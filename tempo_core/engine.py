"""The engine: a loaded model that encodes a video once and answers any number of queries about it.

    engine = load_engine()
    answer, context = ground(engine, "clip.mp4", "a red circle appears")
    again = engine.ask(context, "a blue square appears")

It holds no state between calls: contexts belong to their askers. `ask` reuses the context's cache; its plain
twin `ask_plain` runs the whole model from the pixels for every token, through the model's own forward.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tempo_core.answers import answer_pieces, moments_of, parse_answer, write_answer
from tempo_core.checkpoint import folder_name
from tempo_core.context import OnProgress, VideoContext, build_prompt, encode_video
from tempo_core.decoding import (
    CachedScorer,
    Hypothesis,
    Scorer,
    decode_freely,
    feed,
    plain_scorer,
    search,
    share_cache,
)
from tempo_core.defaults import GroundingDefaults
from tempo_core.errors import InputError
from tempo_core.grammar import AnswerGrammar, GrammarState
from tempo_core.loading import LoadedModel, load_model
from tempo_core.moments import Moment
from tempo_core.prompt import IM_END, answer_ids, clean_query, question_ids, special_id

if TYPE_CHECKING:
    from tempo_core.video import SampledVideo

MAX_N_BEST = 20
MAX_RANKED = 10
"""Ranked windows that an answer carries: as many as the official QVHighlights score looks at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a model says about one query: moments with confidences, or the refusal."""

    moments: list[Moment]
    """In time order, apart; none when refused."""
    confidences: list[float]
    """Per moment, the probability of its two stamps given what was said before, among all stamps that could follow."""
    relevance: float
    """P(relevant): the probability that the answer opens with a moment rather than the refusal."""
    refused: bool
    text: str
    """The answer as the model wrote it."""
    ranked: list[tuple[Moment, float]]
    """Windows of the n best answers with a moment, best first, refused or not; a score is the probability of
    the answers that hold the window."""
    model_id: str
    timings: dict[str, float]
    """Seconds per stage."""
    query: str

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
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Answer":
        """The answer that `to_dict` described. Raises InputError when a part is missing or broken."""
        try:
            return cls(
                moments=[Moment(row["start_s"], row["end_s"]) for row in data["moments"]],
                confidences=[float(row["confidence"]) for row in data["moments"]],
                relevance=float(data["relevance"]),
                refused=bool(data["refused"]),
                text=str(data["text"]),
                ranked=[
                    (Moment(row["start_s"], row["end_s"]), float(row["score"])) for row in data["ranked"]
                ],
                model_id=str(data["model_id"]),
                timings={str(stage): float(seconds) for stage, seconds in data["timings"].items()},
                query=str(data["query"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"This is no answer object: {type(error).__name__} at {error}.") from error


class Engine:
    """A model that can be asked. Safe to share: it keeps nothing of what it was asked."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.model_id, self.defaults = loaded.model_id, loaded.defaults

    def describe(self) -> dict[str, Any]:
        """What this engine is, as plain JSON values."""
        model = self.loaded.model
        return {
            "model_id": self.model_id,
            "family": self.loaded.family.model_type,
            "checkpoint": folder_name(self.loaded.folder),
            "adapter": None if self.loaded.adapter is None else folder_name(self.loaded.adapter),
            "fingerprint": self.loaded.fingerprint,
            "precision": self.loaded.precision,
            "four_bit": self.loaded.four_bit,
            "device": self.loaded.device,
            "dtype": str(model.dtype).removeprefix("torch."),
            "weight_bytes": int(model.get_memory_footprint()),
            "defaults": {
                name: getattr(self.defaults, name) for name in GroundingDefaults.__dataclass_fields__
            },
        }

    def encode(
        self,
        video: "SampledVideo",
        *,
        token_budget: int | None = None,
        allocator: str = "saa",
        cancel: threading.Event | None = None,
        on_progress: OnProgress | None = None,
    ) -> VideoContext:
        """Encode a video once, for any number of questions.

        `token_budget` defaults to the checkpoint's. Raises InputError for a budget that cannot hold the
        frames' minimum or frames closer than a tenth of a second; Cancelled between steps.
        """
        return encode_video(
            self.loaded,
            video,
            token_budget=token_budget,
            allocator=allocator,
            cancel=cancel,
            on_progress=on_progress,
        )

    @torch.inference_mode()
    def ask(
        self,
        context: VideoContext,
        query: str,
        *,
        n_best: int = 5,
        constrained: bool = True,
        cancel: threading.Event | None = None,
    ) -> Answer:
        """Answer one query about an encoded video; the context stays as it was.

        `n_best` answers are ranked into windows (0: none, at most MAX_N_BEST). Without `constrained` the model writes
        what it likes, and AnswerError is raised when that is no answer; nothing is guessed. Raises InputError for a
        bad query or another model's context, Cancelled.
        """
        if context.model_id != self.model_id:
            raise InputError(
                f"This context was encoded by {context.model_id}, not by {self.model_id}. Encode the video "
                "again."
            )
        if not 0 <= n_best <= MAX_N_BEST:
            raise InputError(f"n_best must lie between 0 and {MAX_N_BEST}; got {n_best}.")
        started_at = time.perf_counter()
        ids = question_ids(self.loaded.tokenizer, query, self.defaults.instruction)
        cache = share_cache(context.cache)
        logits = feed(self.loaded.model, torch.tensor([ids]), context.position, cache)
        question_s = round(time.perf_counter() - started_at, 4)

        def new_scorer() -> Scorer:
            return CachedScorer(self.loaded.model, cache, logits, context.position + len(ids))

        times_s = [*context.times_s.tolist(), context.end_s]
        answer = self._answer(query, context.stamps, times_s, new_scorer, n_best, constrained, cancel)
        return replace(answer, timings={"question_s": question_s, **answer.timings})

    @torch.inference_mode()
    def ask_plain(
        self,
        video: "SampledVideo",
        query: str,
        *,
        token_budget: int | None = None,
        allocator: str = "saa",
        n_best: int = 0,
    ) -> Answer:
        """The same answer without any reuse: every choice runs the whole prompt, pixels included. Slow; for tests."""
        prompt = build_prompt(
            self.loaded.tokenizer,
            self.defaults,
            video,
            token_budget=token_budget,
            allocator=allocator,
            token_px=self.loaded.normaliser.token_px,
        )
        ids = question_ids(self.loaded.tokenizer, query, self.defaults.instruction)
        scorer = plain_scorer(self.loaded, video, prompt, ids)
        times_s = [*video.times_s.tolist(), float(video.end_s)]
        return self._answer(query, prompt.stamps, times_s, lambda: scorer, n_best, True, None)

    def _answer(
        self,
        query: str,
        stamps: list[str],
        times_s: list[float],
        new_scorer: Callable[[], Scorer],
        n_best: int,
        constrained: bool,
        cancel: threading.Event | None,
    ) -> Answer:
        """Decode and rank. `new_scorer()` makes a scorer behind the prompt; `times_s` are the stamps' true times."""
        laps = [time.perf_counter()]
        grammar = AnswerGrammar(self.loaded.tokenizer, stamps, max_new_tokens=self.defaults.max_new_tokens)
        # P(relevant) from the first choice, renormalised over a moment and the refusal.
        logits = new_scorer()([()], [0])[0].double()
        gap = float(logits[grammar.refusal_token] - logits[grammar.opening_token])
        relevance = 1 / (1 + math.exp(min(gap, 700.0)))

        if constrained:
            greedy = search(grammar, new_scorer(), cancel=cancel)[0]
            pairs = list(greedy.state.pairs)
            text = write_answer(pairs, stamps)
        else:
            tokenizer = self.loaded.tokenizer
            stop = [special_id(tokenizer, IM_END), *filter(None, [tokenizer.eos_token_id])]
            ids, logprobs = decode_freely(
                new_scorer(), stop=stop, max_new_tokens=self.defaults.max_new_tokens, cancel=cancel
            )
            text = tokenizer.decode(ids)
            pairs = parse_answer(text, stamps)
            usual_ids = answer_ids(tokenizer, answer_pieces(pairs, stamps))[:-1]
            if (
                ids != usual_ids
            ):  # written in other tokens than the grammar's: stamps cannot be told apart in it
                logprobs = [sum(logprobs), *[0.0] * len(usual_ids)]
            greedy = Hypothesis(GrammarState(), tuple(ids), tuple(logprobs))
        # Per moment, the product of its stamps' token probabilities.
        confidences = [
            math.exp(sum(greedy.logprobs[idx] for span in spans for idx in span))
            for spans in grammar.stamp_spans(pairs)
        ]
        laps.append(time.perf_counter())

        # Windows of the n best answers with a moment, the greedy one always among them, by summed probability.
        scores: dict[tuple[int, int], float] = {}
        if n_best:
            opened = Hypothesis(
                grammar.advance(GrammarState(), grammar.opening_token),
                (grammar.opening_token,),
                (math.log(max(relevance, 1e-300)),),
            )
            beams = search(grammar, new_scorer(), width=n_best, opened=opened, cancel=cancel)
            hypotheses = {beam.ids: beam for beam in beams}
            if pairs and constrained:
                hypotheses.setdefault(greedy.ids, greedy)
            for hypothesis in hypotheses.values():
                for pair in hypothesis.state.pairs:
                    scores[pair] = scores.get(pair, 0.0) + math.exp(hypothesis.logprob)
        ranking = sorted(
            ((pair, min(score, 1.0)) for pair, score in scores.items()), key=lambda item: (-item[1], item[0])
        )[:MAX_RANKED]
        laps.append(time.perf_counter())
        return Answer(
            moments=moments_of(pairs, times_s),
            confidences=confidences,
            relevance=relevance,
            refused=not pairs,
            text=text,
            ranked=[(moments_of([pair], times_s)[0], score) for pair, score in ranking],
            model_id=self.model_id,
            timings={
                stage: round(after - before, 4)
                for stage, (before, after) in zip(("answer_s", "ranking_s"), pairwise(laps), strict=True)
            },
            query=clean_query(query),
        )


def load_engine(
    checkpoint: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    four_bit: bool = True,
    device: str | None = None,
) -> Engine:
    """An engine on a checkpoint folder or hub name (None: the one that ships). Raises CheckpointError."""
    return Engine(load_model(checkpoint, adapter=adapter, four_bit=four_bit, device=device))


def ground(
    engine: Engine,
    video_path: str | Path,
    query: str,
    *,
    step_s: float | None = None,
    fps: float | None = None,
    token_budget: int | None = None,
    allocator: str = "saa",
    n_best: int = 5,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Answer, VideoContext]:
    """From a video file and a query to the answer, and the context for the next query.

    Without `step_s` and `fps`, frames are sampled as the checkpoint wants them. `on_progress` hears the stages
    "decoding", "allocating", "encoding" and "answering". Raises InputError and its kin for whatever a person
    can mend, Cancelled.
    """
    report: OnProgress = on_progress or (lambda stage, share: None)
    clean_query(query)  # before minutes go into a video that nobody can ask about
    started_at = time.perf_counter()
    report("decoding", 0.0)
    video = sample_for(engine.defaults, video_path, step_s=step_s, fps=fps, cancel=cancel, on_progress=report)
    decoding_s = round(time.perf_counter() - started_at, 4)
    context = engine.encode(
        video, token_budget=token_budget, allocator=allocator, cancel=cancel, on_progress=report
    )
    report("answering", 0.0)
    answer = engine.ask(context, query, n_best=n_best, cancel=cancel)
    report("answering", 1.0)
    answer.timings.update({"decoding_s": decoding_s, **context.timings})
    return answer, context


def sample_for(
    defaults: GroundingDefaults,
    video_path: str | Path,
    *,
    step_s: float | None = None,
    fps: float | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
) -> "SampledVideo":
    """The frames that a checkpoint with these defaults sees of a video file.

    Raises InputError when more than `max_frames` were asked for, VideoError for a file that cannot be read truthfully.
    """
    from tempo_core.video import probe, round_step_s, sample

    if step_s is None and fps is None:
        step_s = round_step_s(
            probe(video_path, cancel=cancel).duration_s, defaults.max_frames, finest=defaults.finest_step_s
        )
    report = None if on_progress is None else (lambda share: on_progress("decoding", share))
    return sample(
        video_path, step_s=step_s, fps=fps, max_frames=defaults.max_frames, cancel=cancel, on_progress=report
    )
