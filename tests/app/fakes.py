"""Stand-ins with the engine's contract, quick enough for tests of the page."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from app.media.library import ClipFacts, FilmStrip
from tempo_core.allocation import Allocation
from tempo_core.backend import AskRequest
from tempo_core.card import About
from tempo_core.defaults import GroundingDefaults
from tempo_core.errors import Cancelled, InputError, MemoryShortage, VideoError
from tempo_core.moments import Moment
from tempo_core.vocabulary import Understanding, Vocabulary

TILES = 8


def write_clip(path: Path, *, seconds: int = 4, rate: int = 10, hue: int = 40) -> Path:
    """A small H.264 clip of a bright square that crosses a coloured background."""
    with av.open(str(path), "w") as container:
        # With macroblock trees x264 gives other bytes, and pictures, each time.
        options = {"g": "5", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for idx in range(seconds * rate):
            picture = np.full((96, 160, 3), (hue, 90, 140), dtype=np.uint8)
            left = idx * 120 // (seconds * rate)
            picture[30:62, left : left + 32] = (240, 210, 60)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def light_prepare(
    source: Path,
    folder: Path,
    *,
    cancel: threading.Event,
    on_progress: Callable[[float], None],
    may_wait: bool = False,
) -> ClipFacts:
    """The file itself as the copy, once it looks like an mp4."""
    head = source.read_bytes()[:16]
    if b"ftyp" not in head:
        raise VideoError(f"{source.name!r} is not a video that can be read. Try an mp4.")
    (folder / "clip.mp4").write_bytes(source.read_bytes())
    return ClipFacts(duration_s=4.0, frame_rate=10.0, width=160, height=96)


def light_draw(clip: Path, target: Path, facts: ClipFacts, *, cancel: threading.Event) -> FilmStrip:
    """A strip of one colour."""
    Image.new("RGB", (32 * TILES, 20), (30, 90, 140)).save(target)
    times_s = tuple(0.5 * tile for tile in range(TILES))
    return FilmStrip(tile_width=32, tile_height=20, columns=TILES, times_s=times_s)


def no_shots(clip: Path, facts: ClipFacts, *, cancel: threading.Event) -> list[int]:
    """No picture is looked at."""
    return []


def no_sound(clip: Path, *, cancel: threading.Event) -> bytes | None:
    """No track is looked for."""
    return None


@dataclass
class FakeAnswer:
    """The attributes of tempo_core.engine.Answer."""

    query: str
    moments: list[Moment]
    confidences: list[float]
    relevance: float | None
    refused: bool
    ranked: list[tuple[Moment, float]]
    text: str = "From 0001.0 to 0002.0."
    model_id: str = "fake-engine"
    timings: dict[str, float] = field(default_factory=lambda: {"answer_s": 0.01})
    notes: list[str] = field(default_factory=list)
    understood: Understanding | None = None
    looks: tuple[Any, ...] = ()

    @property
    def is_understood(self) -> bool:
        return self.understood is None or self.understood.is_understood

    def to_dict(self) -> dict[str, Any]:
        return {
            "query": self.query,
            "refused": self.refused,
            "relevance": self.relevance,
            "moments": [
                {"start_s": m.start_s, "end_s": m.end_s, "confidence": c}
                for m, c in zip(self.moments, self.confidences, strict=True)
            ],
            "text": self.text,
            "model_id": self.model_id,
            "understood": None
            if self.understood is None
            else {"probability": self.understood.probability, "words": list(self.understood.words)},
        }


@dataclass
class FakeContext:
    """The attributes of tempo_core.engine.VideoContext that the app reads."""

    times_s: np.ndarray
    end_s: float
    allocation: Allocation
    path: str
    model_id: str = "fake-engine"
    stamp_records: list[dict[str, Any]] = field(default_factory=list)


class FakeEngine:
    """Finds one moment, refuses what is "purple", does not know an "axolotl"; waits while `gate` is cleared, and
    before it ranks while `ranking_gate` is."""

    model_id = "fake-engine"
    defaults = GroundingDefaults()
    about = About(understands="yellow squares.", does_not="axolotls.")
    vocabulary: Vocabulary | None = None
    weight_bytes = 0

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.ranking_gate = threading.Event()
        self.ranking_gate.set()
        self.encoded: list[str] = []
        self.cancelled = 0
        self.batches: list[list[str]] = []
        """Questions of each call of `ask_each`."""
        self.broken: Exception | None = None
        self.shortages: list[MemoryShortage] = []
        """What the next encodings raise."""

    def ask(
        self,
        context: FakeContext,
        query: str,
        *,
        n_best: int = 5,
        cancel: Any = None,
        on_answer: Callable[[FakeAnswer], None] | None = None,
    ) -> FakeAnswer:
        if self.broken is not None:
            raise self.broken
        if context.model_id != self.model_id:
            raise InputError(f"This context was encoded by {context.model_id}, not by {self.model_id}.")
        self.wait(cancel)
        understood = self.understanding(query)
        if understood is not None:
            return FakeAnswer(query, [], [], None, False, [], text="", understood=understood)
        moment = Moment(1.0, 2.5)
        refused = "purple" in query
        confidence = 0.05 if "vague" in query else 0.87
        answer = FakeAnswer(
            query=query,
            model_id=self.model_id,
            moments=[] if refused else [moment],
            confidences=[] if refused else [confidence],
            relevance=0.04 if refused else 0.95,
            refused=refused,
            ranked=[],
        )
        if on_answer is not None:
            on_answer(answer)
        self.wait(cancel, self.ranking_gate)
        return replace(answer, ranked=[(Moment(1.0 + k / 10, 2.5), 0.8 / (k + 1)) for k in range(n_best)])

    def ask_each(self, requests: Sequence[AskRequest]) -> list[FakeAnswer | Exception]:
        self.batches.append([request.query for request in requests])
        answers: list[FakeAnswer | Exception] = []
        for request in requests:
            context: Any = request.context
            on_answer: Any = request.on_answer
            try:
                answers.append(
                    self.ask(
                        context,
                        request.query,
                        n_best=request.n_best,
                        cancel=request.cancel,
                        on_answer=on_answer,
                    )
                )
            except Exception as error:
                answers.append(error)
        return answers

    def understanding(self, query: str) -> Understanding | None:
        return Understanding(probability=0.0, words=("axolotl",)) if "axolotl" in query else None

    def is_film(self, duration_s: float) -> bool:
        return False

    def step_for(self, duration_s: float) -> float:
        return 0.5

    def wait(self, cancel: threading.Event | None, gate: threading.Event | None = None) -> None:
        while not (gate or self.gate).is_set():
            if cancel is not None and cancel.is_set():
                self.cancelled += 1
                raise Cancelled("Cancelled.")
            time.sleep(0.01)


def fake_ground(
    engine: FakeEngine,
    path: Path,
    query: str,
    *,
    step_s: float | None,
    token_budget: int | None,
    allocator: str | None,
    n_best: int,
    cancel: threading.Event,
    on_progress: Callable[[str, float], None],
    on_answer: Callable[[FakeAnswer, FakeContext], None] | None = None,
) -> tuple[FakeAnswer, FakeContext]:
    """The contract of tempo_core.engine.ground."""
    for stage in ("decoding", "allocating", "encoding"):
        on_progress(stage, 0.5)
    if token_budget is not None and token_budget < 16:
        raise InputError(
            f"A budget of {token_budget} tokens cannot hold 8 frames of at least 2. Give 16 or more."
        )
    if engine.shortages:
        raise engine.shortages.pop(0)
    engine.encoded.append(str(path))
    engine.wait(cancel)
    tokens = np.array([2, 2, 4, 9, 4, 2, 2, 2])
    allocation = Allocation(
        tokens=tokens,
        sizes_px=np.stack([np.full(8, 28), tokens * 28], axis=1),
        variation=np.array([0.0, 0.1, 0.4, 1.0, 0.4, 0.1, 0.0, 0.0]),
        allocator=allocator or "saa",
        budget_tokens=token_budget or 32,
    )
    context = FakeContext(
        times_s=np.arange(8) * 0.5, end_s=4.0, allocation=allocation, path=str(path), model_id=engine.model_id
    )
    on_progress("answering", 0.0)
    early = None if on_answer is None else lambda answer: on_answer(answer, context)
    return engine.ask(context, query, n_best=n_best, cancel=cancel, on_answer=early), context
