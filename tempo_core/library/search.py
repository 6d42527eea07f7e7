"""One question to every clip of an indexed folder: moments ranked over all of them.

answer = ask_library(engine, Path("clips"), index, "a red circle appears")
answer.moments[0].clip, answer.moments[0].moment, answer.moments[0].probability
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tempo_core.context import VideoContext
from tempo_core.decoding import ask_batch
from tempo_core.engine import Engine, encode_file
from tempo_core.errors import Cancelled, TempoError
from tempo_core.library.contexts import EncodingSettings, context_key
from tempo_core.library.index import ClipIndex, Entry
from tempo_core.moments import Moment
from tempo_core.protocols.base import clean_query
from tempo_core.vocabulary import Understanding

BATCH_CLIPS = 16
"""Most clips that are asked in one go."""
BATCH_BYTES = 256 * 2**20
"""No further clip joins those whose caches take so much; they are held twice while they are asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipMoment:
    """A moment of a clip."""

    clip: str
    """The clip's name: its path below the folder."""
    moment: Moment
    probability: float
    """P(relevant) of the clip: that the question happens in it at all. Calibrated where the model was."""
    confidence: float | None
    """Of these two boundaries, as in an `Answer`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LibraryAnswer:
    """What a model says about one question and many clips."""

    query: str
    folder: Path
    moments: list[ClipMoment]
    """The most probable first: by the clip's probability, then by confidence, then in time order."""
    without: dict[str, float]
    """Clips in which it does not happen, by name, with their P(relevant)."""
    problems: dict[str, str]
    """Clips that could not be asked, and why."""
    understood: Understanding | None
    """Whether the model knows what was asked for. If not, no clip was looked at."""
    ends_s: dict[str, float]
    """Where each clip that was asked ends."""
    is_calibrated: bool
    model_id: str
    notes: list[str]
    elapsed_s: float

    @property
    def is_understood(self) -> bool:
        """Whether the answer is about the clips."""
        return self.understood is None or self.understood.is_understood

    @property
    def result(self) -> str:
        """ "moments", "nowhere" (in none of the clips) or "not understood" (nobody looked)."""
        if not self.is_understood:
            return "not understood"
        return "moments" if self.moments else "nowhere"

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain JSON values."""
        return {
            "query": self.query,
            "result": self.result,
            "moments": [
                {
                    "clip": item.clip,
                    "start_s": item.moment.start_s,
                    "end_s": item.moment.end_s,
                    "probability": item.probability,
                    "confidence": item.confidence,
                }
                for item in self.moments
            ],
            "not_in": [{"clip": clip, "probability": p} for clip, p in self.without.items()],
            "problems": [{"clip": clip, "reason": reason} for clip, reason in self.problems.items()],
            "understood": None
            if self.understood is None
            else {"probability": self.understood.probability, "words": list(self.understood.words)},
            "calibrated": self.is_calibrated,
            "model_id": self.model_id,
            "notes": self.notes,
            "elapsed_s": round(self.elapsed_s, 3),
        }


def ask_library(
    engine: Engine,
    folder: Path,
    index: ClipIndex,
    query: str,
    settings: EncodingSettings | None = None,
    *,
    cancel: threading.Event | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> LibraryAnswer:
    """Ask every clip that `index_folder` found in a folder; what is not indexed is not asked.

    A clip whose encoded form is gone is encoded again. `on_progress` is told how many of how many clips were asked.
    Raises InputError for a bad question, Cancelled.
    """
    started_s, started_at_s = time.perf_counter(), time.time()
    folder, settings = folder.resolve(), settings or EncodingSettings()
    query, understood = clean_query(query), engine.understanding(query)
    moments: list[ClipMoment] = []
    without: dict[str, float] = {}
    problems: dict[str, str] = {}
    ends_s: dict[str, float] = {}
    notes = list(engine.notes)
    entries = list(index.entries(folder, engine, settings).values())
    if understood is not None and not understood.is_understood:
        entries = []

    def load(entry: Entry) -> VideoContext | None:
        """The clip's context; None, and its problem is written down, where it has none."""
        if entry.problem is not None:
            problems[entry.name] = entry.problem
            return None
        is_film = settings.fps is None and entry.end_s is not None and engine.is_film(entry.end_s)
        context = None
        if entry.context_key is not None and not is_film:
            context = index.contexts.load(entry.context_key, engine)
        if context is not None:
            return context
        try:
            context = encode_file(
                engine,
                folder / entry.name,
                fps=settings.fps,
                token_budget=settings.token_budget,
                allocator=settings.allocator,
                cancel=cancel,
            )
            index.contexts.save(
                context_key(engine, context.sha256, settings), context, used_before_s=started_at_s
            )
            return context
        except Cancelled:
            raise
        except TempoError as error:
            problems[entry.name] = str(error)
            return None

    def ask(contexts: dict[str, VideoContext]) -> None:
        """Ask clips by name, and write down what is said of each."""
        answers = ask_batch(engine, list(contexts.values()), query, cancel=cancel)
        for (name, context), answer in zip(contexts.items(), answers, strict=True):
            ends_s[name] = context.end_s
            relevance = answer.relevance if answer.relevance is not None else 1.0
            notes.extend(note for note in answer.notes if note not in notes)
            if not answer.moments:
                without[name] = relevance
            moments.extend(
                ClipMoment(clip=name, moment=moment, probability=relevance, confidence=confidence)
                for moment, confidence in zip(answer.moments, answer.confidences, strict=True)
            )

    batch: dict[str, VideoContext] = {}
    for number, entry in enumerate(entries, start=1):
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped while the clips were asked.")
        if (context := load(entry)) is not None:
            batch[entry.name] = context
        n_bytes = sum(context.cache_bytes() for context in batch.values())
        if len(batch) == BATCH_CLIPS or n_bytes > BATCH_BYTES or number == len(entries):
            ask(batch)
            batch = {}
            on_progress(number, len(entries))
    moments.sort(key=lambda item: (-item.probability, -(item.confidence or 0.0), item.clip, item.moment))
    return LibraryAnswer(
        query=query,
        folder=folder,
        moments=moments,
        without=dict(sorted(without.items(), key=lambda item: -item[1])),
        problems=problems,
        understood=understood,
        ends_s=ends_s,
        is_calibrated=engine.scaling is not None,
        model_id=engine.model_id,
        notes=notes,
        elapsed_s=time.perf_counter() - started_s,
    )
