"""Long clips, coarse to fine within a budget: a scan at a low rate, then second looks where it matters.

    context = encode_film(engine, Path("film.mp4"))                 # plans; nothing is decoded yet
    answer = ask_film(engine, AskRequest(context=context, query="a red circle appears"))
    answer.looks                                                    # which windows were looked at, and what each found

Each window is a clip of its own whose clock begins with its first picture. Windows stay encoded for the next question
within KEPT_BYTES, whatever the clip's length, and where a store of contexts is given, on disk. The plain twin is the
scan at the finest step, which looks at every window at the full rate (`scan_step_s` of the model's finest step).
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from tempo_core.allocation import Allocation
from tempo_core.chunks import MAX_RANKED, joined_allocation, on_clip_clock, window_plan
from tempo_core.context import OnProgress, VideoContext
from tempo_core.errors import Cancelled, InputError
from tempo_core.film_plan import (
    MAX_ROUNDS,
    FilmPlan,
    FilmWindow,
    Look,
    film_relevance,
    joined,
    next_looks,
    plan_film,
    standing_moments,
)
from tempo_core.moments import Moment
from tempo_core.protocols.base import Timeline

if TYPE_CHECKING:
    from tempo_core.backend import AskRequest, Backend
    from tempo_core.engine import Answer
    from tempo_core.video import SampledVideo, VideoInfo

KEPT_BYTES = 512 * 2**20
"""Of all windows of one film that stay encoded in memory."""
READ_BYTES = 192 * 2**20
"""Frames that are decoded in one go, of as many windows as they suffice for."""
ASK_WINDOWS = 16
"""Most windows that are asked in one go."""
ASK_BYTES = 256 * 2**20
"""No further window joins those whose caches take so much; they are held twice while they are asked."""
SHOWN_TOLERANCE_S = 1e-3
"""A sampled picture whose time is later than the wanted one by less is the one on screen then."""


class WindowStore(Protocol):
    """Keeps encoded windows of one film beyond a process."""

    def __contains__(self, window: FilmWindow) -> bool: ...

    def load(self, window: FilmWindow) -> VideoContext | None:
        """The window, where it was kept."""
        ...

    def save(self, window: FilmWindow, context: VideoContext) -> None:
        """Keep it, where there is room."""
        ...


class WindowCache:
    """Encoded windows of one film in memory; the one that was not used for longest makes room. Safe to share."""

    def __init__(self, max_bytes: int = KEPT_BYTES) -> None:
        self.max_bytes = max_bytes
        self._windows: OrderedDict[FilmWindow, VideoContext] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, window: FilmWindow) -> bool:
        with self._lock:
            return window in self._windows

    def load(self, window: FilmWindow) -> VideoContext | None:
        """The window, used again now."""
        with self._lock:
            context = self._windows.get(window)
            if context is not None:
                self._windows.move_to_end(window)
            return context

    def save(self, window: FilmWindow, context: VideoContext) -> None:
        """Keep a window; others make room, or, where it is too large alone, it is not kept."""
        with self._lock:
            self._windows[window] = context
            self._windows.move_to_end(window)
            while self._windows and self._n_bytes() > self.max_bytes:
                self._windows.popitem(last=False)

    def n_bytes(self) -> int:
        """What all of them take."""
        with self._lock:
            return self._n_bytes()

    def _n_bytes(self) -> int:
        return sum(context.cache_bytes() for context in self._windows.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmContext(VideoContext):
    """A long clip and how it is looked at. Its own frames are none: which are seen depends on the question
    (`frames_seen`)."""

    path: Path
    info: "VideoInfo"
    plan: FilmPlan
    token_budget: int | None
    """Of a window that is as long as one context."""
    allocator: str | None
    windows: WindowCache
    store: WindowStore | None

    def cache_bytes(self) -> int:
        return self.windows.n_bytes()


def plan_for(
    backend: "Backend",
    info: "VideoInfo",
    *,
    scan_step_s: float | None = None,
    budget_frames: int | None = None,
) -> FilmPlan | None:
    """How a probed clip is looked at as a film; None where it is short, or its protocol samples long clips as its
    authors do, and neither a step nor a budget was asked for.

    Raises InputError as `plan_film` does, and for a protocol that cuts clips into pieces.
    """
    defaults, sampling, chunks = backend.defaults, backend.protocol.sampling, backend.protocol.chunks
    is_asked_for = scan_step_s is not None or budget_frames is not None
    if is_asked_for and chunks is not None:
        raise InputError(
            f"The protocol {backend.protocol.name!r} cuts long clips into pieces of {chunks.length_s:g} s and looks at "
            "all of them. Leave --scan and --budget out."
        )
    if not is_asked_for and not backend.is_film(info.end_s):
        return None
    max_frames, finest_step_s = defaults.max_frames, defaults.finest_step_s
    if sampling is not None:
        max_frames, finest_step_s = sampling.n_frames or sampling.max_frames, 1 / sampling.fps
    return plan_film(
        info.end_s,
        max_frames=max_frames,
        finest_step_s=finest_step_s,
        scan_step_s=scan_step_s,
        budget_frames=budget_frames,
    )


def film_context(
    backend: "Backend",
    path: Path,
    info: "VideoInfo",
    plan: FilmPlan,
    *,
    token_budget: int | None = None,
    allocator: str | None = None,
    store: WindowStore | None = None,
) -> FilmContext:
    """A context that encodes windows when a question needs them."""
    empty = np.zeros(0)
    return FilmContext(
        times_s=empty,
        frame_times_s=empty,
        end_s=info.end_s,
        timeline=Timeline(units=[], unit_times_s=[], stamps=[], closing="", marks_s=[], mark_texts=[]),
        stamp_records=[],
        allocation=Allocation(
            tokens=np.zeros(0, dtype=np.int64),
            sizes_px=np.zeros((0, 2), dtype=np.int64),
            variation=empty,
            allocator=allocator or ("saa" if backend.protocol.sampling is None else "uniform"),
            budget_tokens=0,
        ),
        model_id=backend.model_id,
        prefix_tokens=0,
        position=0,
        cache=None,
        timings={},
        sha256=info.sha256,
        path=path,
        info=info,
        plan=plan,
        token_budget=token_budget,
        allocator=allocator,
        windows=WindowCache(),
        store=store,
    )


def ask_film(backend: "Backend", request: "AskRequest") -> "Answer":
    """Scan a film, look again where it matters, and join what the looks say.

    Windows of the scan are not ranked: their moments stand among the ranked windows of second looks with their own
    probability. `request.on_progress` hears "scanning" and "looking again" between windows. Raises what `Backend.ask`
    raises, VideoError, Cancelled.
    """
    from tempo_core.backend import answers_of
    from tempo_core.engine import Answer

    context = request.context
    assert isinstance(context, FilmContext), "only films are asked window by window"
    plan = context.plan
    report: OnProgress = request.on_progress or (lambda stage, share: None)
    started_s = time.perf_counter()
    understood = backend.understanding(request.query)
    if understood is not None and not understood.is_understood:
        return Answer.not_understood(backend, request.query, understood)

    looks: list[Look] = []
    answers: list[Answer] = []

    def look_at(windows: Sequence[FilmWindow], kind: Literal["scan", "second"]) -> None:
        n_best = 0 if kind == "scan" and not plan.is_full_rate else request.n_best
        batch: list[tuple[FilmWindow, VideoContext]] = []
        for number, item in enumerate(_encoded(backend, context, windows, request.cancel), start=1):
            batch.append(item)
            n_bytes = sum(piece.cache_bytes() for _, piece in batch)
            if len(batch) == ASK_WINDOWS or n_bytes > ASK_BYTES or number == len(windows):
                requests = [
                    replace(request, context=piece, n_best=n_best, on_answer=None, on_progress=None)
                    for _, piece in batch
                ]
                batch_answers = answers_of(backend.ask_each(requests))
                answers.extend(batch_answers)
                looks.extend(
                    _look(window, kind, piece, answer, context.end_s)
                    for (window, piece), answer in zip(batch, batch_answers, strict=True)
                )
                batch = []
            report("scanning" if kind == "scan" else "looking again", number / len(windows))

    report("scanning", 0.0)
    look_at(plan.scan, "scan")
    scan_s = time.perf_counter() - started_s
    for _ in range(MAX_ROUNDS):
        windows = next_looks(plan, looks)
        if not windows:
            break
        report("looking again", 0.0)
        look_at(windows, "second")

    standing = standing_moments(looks)
    moments = joined(standing)
    num_second = sum(look.kind == "second" for look in looks)
    ranked = [
        (_shifted(moment, look.frames.clock_start_s, context.end_s), score)
        for look, answer in zip(looks, answers, strict=True)
        if look.frames is not None
        for moment, score in answer.ranked
    ]
    ranked += [
        (moment, (confidence or 0.0) * (look.relevance or 0.0))
        for moment, confidence, look in standing
        if look.kind == "scan" and not plan.is_full_rate and request.n_best
    ]
    # What a second look did not confirm is no part of the answer.
    sources = [
        (look, answer)
        for look, answer in zip(looks, answers, strict=True)
        if any(source is look for _, _, source in standing)
    ]
    refusal = next((answer.text for answer in answers if answer.refused), answers[0].text)
    return Answer(
        clip_end_s=context.end_s,
        moments=[moment for moment, _ in moments],
        confidences=[confidence for _, confidence in moments],
        relevance=film_relevance(looks, standing),
        refused=not moments,
        text="\n".join(
            f"[{look.window.start_s:.1f} s to {look.window.end_s:.1f} s] {answer.text}"
            for look, answer in sources
        )
        or refusal,
        ranked=sorted(ranked, key=lambda window: -window[1])[:MAX_RANKED],
        model_id=backend.model_id,
        timings={
            "scan_s": round(scan_s, 4),
            "second_looks_s": round(time.perf_counter() - started_s - scan_s, 4),
        },
        query=answers[0].query,
        understood=answers[0].understood,
        notes=[
            *dict.fromkeys(chain.from_iterable(answer.notes for answer in answers)),
            _note(plan, num_second),
        ],
        looks=tuple(looks),
    )


def frames_seen(context: VideoContext, answer: "Answer") -> VideoContext:
    """The context as it is shown beside an answer: of a film, with all frames that the answer stands on, in time
    order; of any other clip, as it is."""
    # Where a picture was seen twice, the second look's tokens are shown.
    looks = sorted(answer.looks, key=lambda look: look.kind != "second")
    pieces = [look.frames for look in looks if look.frames is not None]
    if not isinstance(context, FilmContext) or not pieces:
        return context
    starts_s = [piece.clock_start_s for piece in pieces]
    times = [piece.times_s for piece in pieces]
    return replace(
        context,
        times_s=on_clip_clock(times, starts_s),
        frame_times_s=on_clip_clock([piece.frame_times_s for piece in pieces], starts_s),
        allocation=joined_allocation([piece.allocation for piece in pieces], times, starts_s),
        stamp_records=[
            {
                **record,
                "time_s": float(record["time_s"]) + piece.clock_start_s,
                "clock_start_s": piece.clock_start_s + float(record.get("clock_start_s", 0.0)),
            }
            for piece in sorted(pieces, key=lambda piece: piece.clock_start_s)
            for record in piece.stamp_records
        ],
        prefix_tokens=sum(piece.prefix_tokens for piece in pieces),
    )


def _note(plan: FilmPlan, num_second: int) -> str:
    rate = f"a frame every {plan.scan_step_s:g} s"
    if plan.is_full_rate:
        windows = "1 window" if len(plan.scan) == 1 else f"{len(plan.scan)} windows"
        return f"This film was looked at in {windows}, with {rate}."
    again = "1 place was" if num_second == 1 else f"{num_second} places were"
    return (
        f"This film was scanned with {rate}, and {again} looked at again with a frame every {plan.fine_step_s:g} s. "
        "What happens between two frames of the scan can be missed."
    )


def _encoded(
    backend: "Backend", context: FilmContext, windows: Sequence[FilmWindow], cancel: threading.Event | None
) -> Iterator[tuple[FilmWindow, VideoContext]]:
    """Windows in order, as they were encoded for an earlier question, in memory or on disk, or else decoded and
    encoded. Raises Cancelled between two."""
    frame_bytes = context.info.width * context.info.height * 3
    store: WindowStore = context.windows if context.store is None else context.store
    videos: dict[FilmWindow, tuple[SampledVideo, float]] = {}
    for number, window in enumerate(windows):
        if cancel is not None and cancel.is_set():
            raise Cancelled("Stopped between two windows of the film.")
        piece = context.windows.load(window) or store.load(window)
        if piece is None:
            if window not in videos:  # as many of the next ones as READ_BYTES hold are decoded along with it
                group, n_bytes = [window], window.num_frames * frame_bytes
                for other in windows[number + 1 :]:
                    n_bytes += other.num_frames * frame_bytes
                    if n_bytes > READ_BYTES:
                        break
                    if other not in context.windows and other not in store:
                        group.append(other)
                videos = dict(zip(group, _read(backend, context, group, cancel), strict=True))
            video, start_s = videos.pop(window)
            piece = backend.encode(
                video,
                token_budget=_token_budget(backend, context, window),
                allocator=context.allocator,
                cancel=cancel,
            )
            piece = replace(piece, clock_start_s=start_s)
            store.save(window, piece)
        context.windows.save(window, piece)
        yield window, piece


def _read(
    backend: "Backend", context: FilmContext, windows: Sequence[FilmWindow], cancel: threading.Event | None
) -> list[tuple["SampledVideo", float]]:
    """Each window's frames on a clock of its own, and where that begins."""
    from tempo_core.video import sample, without_twins

    sampling = backend.protocol.sampling
    sizes: set[tuple[int, int] | None] = set()
    sample_times: list[list[float]] = []
    for window in windows:
        if sampling is None:
            sample_times.append([time_s for time_s in window.times_s if time_s < context.info.end_s])
            sizes.add(None)
            continue
        rate = replace(sampling, fps=1 / window.step_s, n_frames=None)
        times_s, size = window_plan(rate, context.info, (window.start_s, window.end_s))
        sample_times.append(times_s)
        sizes.add(size)
    if len(sizes) > 1:  # windows of other lengths have frames of other sizes
        return [piece for window in windows for piece in _read(backend, context, [window], cancel)]
    video = sample(
        context.path, at=sorted(set(chain.from_iterable(sample_times))), size=next(iter(sizes)), cancel=cancel
    )
    pieces = []
    for window, times_s in zip(windows, sample_times, strict=True):
        # The picture on screen at each wanted time; one that is on screen at two comes once.
        frame_idx = np.searchsorted(video.times_s, np.array(times_s) + SHOWN_TOLERANCE_S, side="right") - 1
        idx = np.unique(frame_idx.clip(min=0))
        start_s = float(video.times_s[idx[0]])
        piece = replace(
            video,
            times_s=video.times_s[idx] - start_s,
            frames=video.frames[idx],
            end_s=window.end_s - start_s,
        )
        pieces.append((without_twins(piece), start_s))
    return pieces


def _token_budget(backend: "Backend", context: FilmContext, window: FilmWindow) -> int | None:
    """A window's share of what one whole context may have, so that a short one does not cost as much."""
    defaults = backend.defaults
    if backend.protocol.sampling is not None:
        return context.token_budget
    whole = (
        defaults.budget_for(context.plan.max_frames) if context.token_budget is None else context.token_budget
    )
    return max(defaults.min_tokens, round(whole * window.num_frames / context.plan.max_frames))


def _look(
    window: FilmWindow, kind: Literal["scan", "second"], piece: VideoContext, answer: "Answer", end_s: float
) -> Look:
    start_s = piece.clock_start_s
    return Look(
        window=window,
        kind=kind,
        num_frames=len(piece.frame_times_s),
        relevance=answer.relevance,
        moments=tuple(_shifted(moment, start_s, end_s) for moment in answer.moments),
        confidences=tuple(answer.confidences),
        changes=tuple(
            (float(time_s) + start_s, float(change))
            for time_s, change in zip(piece.times_s, piece.allocation.variation, strict=True)
        ),
        frames=replace(piece, cache=None, prompt=None),
    )


def _shifted(moment: Moment, start_s: float, end_s: float) -> Moment:
    """A window's moment on the film's clock."""
    return Moment(moment.start_s + start_s, min(moment.end_s + start_s, end_s))
