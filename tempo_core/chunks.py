"""Long clips in pieces, for protocols whose authors cut them: each piece is a clip of its own, its clock begins at 0.

The pieces' answers are laid on the clip's clock and joined as the authors join them (`Chunks.join`). Pieces stay
encoded for the next question as long as they fit into KEPT_BYTES; the others are read again for each.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tempo_core.allocation import Allocation
from tempo_core.context import OnProgress, VideoContext
from tempo_core.errors import InputError
from tempo_core.moments import Moment, merge
from tempo_core.protocols.base import Protocol, Sampling, Timeline, fit_pixels

if TYPE_CHECKING:
    from tempo_core.backend import Backend
    from tempo_core.engine import Answer
    from tempo_core.video import SampledVideo, VideoInfo

KEPT_BYTES = 2 * 2**30
"""Of all pieces of one clip that stay encoded."""
MAX_RANKED = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkedContext(VideoContext):
    """A long clip; what the model saw of it is listed piece by piece on the clip's clock."""

    path: Path
    info: "VideoInfo"
    windows: tuple[tuple[float, float], ...]
    """Start and end of each piece in seconds."""
    pieces: tuple[VideoContext | None, ...]
    """The encoded pieces; None: read again for each question."""
    token_budget: int | None
    allocator: str | None

    def cache_bytes(self) -> int:
        return sum(piece.cache_bytes() for piece in self.pieces if piece is not None)


def chunks_for(backend: "Backend", info: "VideoInfo") -> list[tuple[float, float]]:
    """The windows in seconds in which a probed clip is looked at; one window: as a whole."""
    chunks = backend.protocol.chunks
    return [(0.0, info.end_s)] if chunks is None else chunks.windows(info.end_s)


def encode_chunks(
    backend: "Backend",
    path: Path,
    info: "VideoInfo",
    windows: Sequence[tuple[float, float]],
    *,
    token_budget: int | None = None,
    allocator: str | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
) -> ChunkedContext:
    """Read and encode every piece. Raises as `sample` and `Backend.encode` do."""
    started_s = time.perf_counter()
    encoded: list[VideoContext] = []
    pieces: list[VideoContext | None] = []
    kept_bytes = 0
    for number, window in enumerate(windows):
        if on_progress is not None:
            on_progress("encoding", number / len(windows))
        piece = encode_window(backend, path, info, window, token_budget, allocator, cancel)
        kept_bytes += piece.cache_bytes()
        encoded.append(replace(piece, cache=None, prompt=None))
        pieces.append(piece if kept_bytes <= KEPT_BYTES else None)
    starts = [start_s for start_s, _ in windows]
    return ChunkedContext(
        times_s=on_clip_clock([piece.times_s for piece in encoded], starts),
        frame_times_s=on_clip_clock([piece.frame_times_s for piece in encoded], starts),
        end_s=info.end_s,
        timeline=Timeline(units=[], unit_times_s=[], stamps=[], closing="", marks_s=[], mark_texts=[]),
        stamp_records=[
            {**record, "time_s": float(record["time_s"]) + start_s, "clock_start_s": start_s}
            for piece, (start_s, _) in zip(encoded, windows, strict=True)
            for record in piece.stamp_records
        ],
        allocation=joined_allocation(
            [piece.allocation for piece in encoded], [piece.times_s for piece in encoded], starts
        ),
        model_id=backend.model_id,
        prefix_tokens=sum(piece.prefix_tokens for piece in encoded),
        position=0,
        cache=None,
        timings={"pieces_s": round(time.perf_counter() - started_s, 4)},
        sha256=encoded[0].sha256,
        path=path,
        info=info,
        windows=tuple(windows),
        pieces=tuple(pieces),
        token_budget=token_budget,
        allocator=allocator,
    )


def encode_window(
    backend: "Backend",
    path: Path,
    info: "VideoInfo",
    window: tuple[float, float],
    token_budget: int | None,
    allocator: str | None,
    cancel: threading.Event | None,
) -> VideoContext:
    """One piece as a clip of its own."""
    video = sample_window(backend.protocol, path, info, window, cancel=cancel)
    return backend.encode(video, token_budget=token_budget, allocator=allocator, cancel=cancel)


def sample_window(
    protocol: Protocol,
    path: Path,
    info: "VideoInfo",
    window: tuple[float, float],
    *,
    cancel: threading.Event | None = None,
) -> "SampledVideo":
    """The frames of one piece of a probed file, on a clock that begins with the piece."""
    from tempo_core.video import sample

    if protocol.sampling is None:
        raise InputError(f"The protocol {protocol.name!r} cuts clips and has no sampling of its own.")
    times_s, size = window_plan(protocol.sampling, info, window)
    return on_own_clock(sample(path, at=times_s, size=size, cancel=cancel), window)


def window_plan(
    sampling: Sampling, info: "VideoInfo", window: tuple[float, float]
) -> tuple[list[float], tuple[int, int]]:
    """The times to sample a piece at, from its first picture to its last, and the size of its frames."""
    start_s, end_s = window
    num_frames = min(max((end_s - start_s) * sampling.fps, sampling.min_frames), sampling.max_frames)
    count = max(2, int(num_frames / 2) * 2)
    size = fit_pixels(
        info.height,
        info.width,
        factor=sampling.factor_px,
        low=sampling.min_pixels,
        high=sampling.frame_pixels(count),
    )
    display_s = (info.end_s - info.start_s) / info.frame_count
    last_s = max(start_s, end_s - display_s / 2)
    times = np.linspace(start_s, last_s, count).clip(max=np.nextafter(info.end_s, 0))
    return sorted(set(times.tolist())), size


def on_own_clock(video: "SampledVideo", window: tuple[float, float]) -> "SampledVideo":
    """The frames that begin within a window, on a clock that begins with it; where none does, the one on screen, at
    0."""
    start_s, end_s = window
    inside = np.flatnonzero(video.times_s >= start_s)
    if not len(inside):
        inside = np.array([len(video.times_s) - 1])
    return replace(
        video,
        times_s=np.maximum(video.times_s[inside] - start_s, 0.0),
        frames=video.frames[inside],
        end_s=min(end_s, video.end_s) - start_s,
    )


def ask_chunks(
    backend: "Backend",
    context: ChunkedContext,
    query: str,
    *,
    n_best: int,
    constrained: bool,
    thinking_tokens: int | None,
    cancel: threading.Event | None,
) -> "Answer":
    """Ask every piece and join what they say: each piece has its own moments, P(relevant) is the largest one."""
    from tempo_core.engine import Answer

    chunks = backend.protocol.chunks
    assert chunks is not None, "only protocols that cut clips make such contexts"
    started_s = time.perf_counter()
    answers: list[Answer] = []
    for window, piece in zip(context.windows, context.pieces, strict=True):
        if piece is None:
            piece = encode_window(
                backend, context.path, context.info, window, context.token_budget, context.allocator, cancel
            )
        answers.append(
            backend.ask(
                piece,
                query,
                n_best=n_best,
                constrained=constrained,
                thinking_tokens=thinking_tokens,
                cancel=cancel,
            )
        )
    starts = [start_s for start_s, _ in context.windows]
    figures: dict[Moment, float | None] = {}
    for answer, start_s in zip(answers, starts, strict=True):
        for moment, confidence in zip(answer.moments, answer.confidences, strict=True):
            figures[_shift(moment, start_s, context.end_s)] = confidence
    moments = merge(chunks.join(sorted(figures, key=lambda moment: (moment.start_s, moment.end_s))))
    ranked = [
        (_shift(moment, start_s, context.end_s), score)
        for answer, start_s in zip(answers, starts, strict=True)
        for moment, score in answer.ranked
    ]
    relevances = [answer.relevance for answer in answers if answer.relevance is not None]
    note = (
        f"This clip is longer than {chunks.length_s:g} s, so that it was looked at in {len(answers)} pieces, each by "
        "itself, as this model's authors do."
    )
    return Answer(
        moments=moments,
        confidences=[_confidence(moment, figures) for moment in moments],
        relevance=max(relevances, default=None),
        refused=not moments and answers[0].is_understood,
        text="\n".join(
            f"[{start_s:.1f} s to {end_s:.1f} s] {answer.text}"
            for (start_s, end_s), answer in zip(context.windows, answers, strict=True)
        ),
        ranked=sorted(ranked, key=lambda window: -window[1])[:MAX_RANKED],
        model_id=backend.model_id,
        timings={"answer_s": round(time.perf_counter() - started_s, 4)},
        query=answers[0].query,
        understood=answers[0].understood,
        notes=[*dict.fromkeys(chain.from_iterable(answer.notes for answer in answers)), note],
    )


def _shift(moment: Moment, start_s: float, end_s: float) -> Moment:
    """A piece's moment on the clip's clock."""
    return Moment(moment.start_s + start_s, min(moment.end_s + start_s, end_s))


def _confidence(moment: Moment, figures: dict[Moment, float | None]) -> float | None:
    """The largest confidence of the pieces' moments within a joined one."""
    stated = [
        figure
        for part, figure in figures.items()
        if figure is not None and moment.start_s <= part.start_s and part.end_s <= moment.end_s
    ]
    return max(stated, default=None)


def on_clip_clock(times: Sequence[np.ndarray], starts_s: Sequence[float]) -> np.ndarray:
    """All pieces' times on the clip's clock, increasing: what two pieces saw is listed once. `starts_s` is where each
    piece's own clock begins."""
    parts = [piece + start_s for piece, start_s in zip(times, starts_s, strict=True)]
    return np.unique(np.concatenate(parts).round(6))


def joined_allocation(
    allocations: Sequence[Allocation], times: Sequence[np.ndarray], starts_s: Sequence[float]
) -> Allocation:
    """One entry for each of `on_clip_clock`'s times; of a unit that two pieces saw, the first piece's, its tokens twice
    in the budget."""
    parts = [piece + start_s for piece, start_s in zip(times, starts_s, strict=True)]
    _, first = np.unique(np.concatenate(parts).round(6), return_index=True)
    return Allocation(
        tokens=np.concatenate([allocation.tokens for allocation in allocations])[first],
        sizes_px=np.concatenate([allocation.sizes_px for allocation in allocations])[first],
        variation=np.concatenate([allocation.variation for allocation in allocations])[first],
        allocator=allocations[0].allocator,
        budget_tokens=sum(allocation.budget_tokens for allocation in allocations),
    )
