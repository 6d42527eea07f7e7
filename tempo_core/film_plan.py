"""Where to look in a long clip, coarse to fine: arithmetic without pictures and without a model.

A scan looks at the whole clip at a low rate, in windows. Where it sees a moment, or cannot decide, second looks follow
at the finest rate, within a budget of frames (`next_looks`). What a later look says replaces what earlier ones said of
the same stretch (`standing_moments`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tempo_core.errors import InputError
from tempo_core.moments import Moment
from tempo_core.timestamps import RESOLUTION_S

if TYPE_CHECKING:
    from tempo_core.context import VideoContext

FILM_CONTEXTS = 8
"""A clip is a film, and scanned unasked, where it lasts longer than so many of the model's contexts at its finest
step."""
SCAN_STEPS = 8
"""Steps of the scan, in the finest ones, where nobody names another."""
SCAN_TILES = 2
"""Contexts at the finest step whose length a scan's window has. Longer windows have times that models were not taught:
they see what happens in them and misplace it (docs/experiments.md)."""
BUDGET_SHARE = 0.2
"""Of the frames of the full-rate pass: what both passes look at, where nobody names a budget."""
UNDECIDED = 0.1
"""A window without a moment is looked at again where its P(relevant) is at least this."""
SECOND_STEPS = 5
"""Steps of the scan that a second look spans at least. In less, what happens fills most of the window, and the model
misplaces it (docs/experiments.md)."""
MAX_ROUNDS = 3
"""Of second looks: each is planned from what the ones before have seen, and opens the file once more."""


@dataclass(frozen=True, order=True, slots=True)
class FilmWindow:
    """A stretch of the clip that is looked at in one context, a frame every `step_s`."""

    start_s: float
    end_s: float
    step_s: float

    @property
    def times_s(self) -> list[float]:
        """The times to sample, from the start on."""
        return [self.start_s + k * self.step_s for k in range(self.num_frames)]

    @property
    def num_frames(self) -> int:
        return max(1, math.ceil((self.end_s - self.start_s) / self.step_s - 1e-6))


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmPlan:
    """A clip cut twice: coarse for the scan, fine for the full-rate pass."""

    end_s: float
    max_frames: int
    """Of one window."""
    scan: tuple[FilmWindow, ...]
    tiles: tuple[FilmWindow, ...]
    """The whole clip at the finest step, each as long as one context holds."""
    budget_frames: int
    """Frames of both passes together."""

    @property
    def fine_step_s(self) -> float:
        return self.tiles[0].step_s

    @property
    def scan_step_s(self) -> float:
        return self.scan[0].step_s

    @property
    def is_full_rate(self) -> bool:
        """Whether the scan is the full-rate pass, so that there is nothing to look at again."""
        return self.scan == self.tiles

    @property
    def spare_frames(self) -> int:
        """What the scan leaves for second looks."""
        return self.budget_frames - sum(window.num_frames for window in self.scan)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a model said about one window, on the clip's clock."""

    window: FilmWindow
    kind: Literal["scan", "second"]
    num_frames: int
    """Frames that it truly saw: pictures that stand for two sampled times come once."""
    relevance: float | None
    moments: tuple[Moment, ...]
    confidences: tuple[float | None, ...]
    changes: tuple[tuple[float, float], ...] = field(default=(), compare=False)
    """Time and content variation in [0, 1] of each unit of frames."""
    frames: "VideoContext | None" = field(default=None, compare=False)
    """The frames' stamps and allocation, without a cache, on a clock that begins with the first of them."""

    def to_dict(self) -> dict[str, Any]:
        """The look as plain JSON values."""
        return {
            "pass": self.kind,
            "start_s": self.window.start_s,
            "end_s": self.window.end_s,
            "step_s": self.window.step_s,
            "frames": self.num_frames,
            "relevance": self.relevance,
            "moments": [
                {"start_s": moment.start_s, "end_s": moment.end_s, "confidence": confidence}
                for moment, confidence in zip(self.moments, self.confidences, strict=True)
            ],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Look":
        """The look that `to_dict` described, without its frames. Raises KeyError, TypeError and ValueError."""
        moments = data["moments"]
        return cls(
            window=FilmWindow(float(data["start_s"]), float(data["end_s"]), float(data["step_s"])),
            kind=data["pass"],
            num_frames=int(data["frames"]),
            relevance=None if data["relevance"] is None else float(data["relevance"]),
            moments=tuple(Moment(row["start_s"], row["end_s"]) for row in moments),
            confidences=tuple(
                None if row["confidence"] is None else float(row["confidence"]) for row in moments
            ),
        )


def plan_film(
    end_s: float,
    *,
    max_frames: int,
    finest_step_s: float,
    scan_step_s: float | None = None,
    budget_frames: int | None = None,
) -> FilmPlan:
    """Cut a clip of `end_s` seconds for contexts of at most `max_frames` frames.

    Windows of a pass are equally long, to the finest step. A scan at the finest step is the full-rate pass. Raises
    InputError for a scan that is finer than the finest step, and for a budget that does not hold the scan.
    """
    scan_step_s = SCAN_STEPS * finest_step_s if scan_step_s is None else scan_step_s
    if not (math.isfinite(scan_step_s) and scan_step_s >= finest_step_s):
        raise InputError(
            f"A scan with a frame every {scan_step_s:g} s was asked for; this model's finest step is "
            f"{finest_step_s:g} s. Give that or more."
        )
    total = max(1, math.ceil(end_s / finest_step_s - 1e-6))
    num_tiles = math.ceil(total / max_frames)

    def windows(count: int, step_s: float) -> tuple[FilmWindow, ...]:
        edges = [round(idx * total / count) * finest_step_s for idx in range(count)]
        return tuple(
            FilmWindow(start_s, window_end_s, step_s)
            for start_s, window_end_s in zip(edges, [*edges[1:], end_s], strict=True)
        )

    tiles = windows(num_tiles, finest_step_s)
    scan = tiles
    if scan_step_s > finest_step_s:
        length = min(SCAN_TILES, max(1, math.floor(scan_step_s / finest_step_s))) * max_frames
        scan = windows(math.ceil(total / length), scan_step_s)
    scan_frames = sum(window.num_frames for window in scan)
    if budget_frames is None:
        budget_frames = max(scan_frames + max_frames, math.ceil(BUDGET_SHARE * total))
    elif budget_frames < scan_frames:
        raise InputError(
            f"A budget of {budget_frames} frames does not hold the scan's {scan_frames} (one every {scan_step_s:g} s). "
            f"Give at least {scan_frames}, or a longer step."
        )
    return FilmPlan(end_s=end_s, max_frames=max_frames, scan=scan, tiles=tiles, budget_frames=budget_frames)


def next_looks(plan: FilmPlan, looks: Sequence[Look]) -> list[FilmWindow]:
    """The windows to look at again after these looks, in time order and apart, within the budget; none: it is enough.

    A budget for the whole clip goes to every tile. A smaller one goes first to the moments that the scan named, each
    with a step of the scan on both sides and SECOND_STEPS in all, the most probable first; then to windows that are
    undecided, and to those whose moments second looks did not confirm, by P(relevant), each where its picture changes
    most.
    """
    scan = [look for look in looks if look.kind == "scan"]
    second = [look for look in looks if look.kind == "second"]
    spare = plan.spare_frames - sum(look.window.num_frames for look in second)
    if plan.is_full_rate:
        return []
    if plan.spare_frames >= sum(tile.num_frames for tile in plan.tiles):
        return [] if second else list(plan.tiles)
    covered = [(look.window.start_s, look.window.end_s) for look in second]
    named: list[tuple[float, tuple[float, float]]] = []
    undecided: list[tuple[float, tuple[float, float]]] = []
    for look in scan:
        relevance, margin_s = _probability(look), look.window.step_s
        stretches = [
            _around(plan, moment.start_s - margin_s, moment.end_s + margin_s) for moment in look.moments
        ]
        if any(_outside(stretch, covered) for stretch in stretches):
            named += [(relevance, stretch) for stretch in stretches]
            continue
        is_confirmed = any(other.moments and _overlap_s(other.window, look.window) > 0 for other in second)
        rest = _pieces(plan, _outside((look.window.start_s, look.window.end_s), covered))
        if rest and relevance >= UNDECIDED and not is_confirmed:
            piece = max(rest, key=lambda piece: (_change(look, piece), -piece.start_s))
            undecided.append((relevance, (piece.start_s, piece.end_s)))
    best_first = [sorted(group, key=lambda item: (-item[0], item[1])) for group in (named, undecided)]
    chosen: list[FilmWindow] = []
    for _, stretch in chain.from_iterable(best_first):
        taken = [*covered, *((window.start_s, window.end_s) for window in chosen)]
        for piece in _pieces(plan, _outside(stretch, taken)):
            if piece.num_frames <= spare:
                chosen.append(piece)
                spare -= piece.num_frames
    return sorted(chosen)


def standing_moments(looks: Iterable[Look]) -> list[tuple[Moment, float | None, Look]]:
    """What stands of all moments when each look, in this order, replaces what was said of its window before: sorted,
    with their confidence and the look that named them. What touches is not joined yet."""
    standing: list[tuple[Moment, float | None, Look]] = []
    for look in looks:
        window = (look.window.start_s, look.window.end_s)
        standing = [
            (Moment(*piece), confidence, author)
            for moment, confidence, author in standing
            for piece in _outside((moment.start_s, moment.end_s), [window])
        ]
        standing += [
            (moment, confidence, look)
            for moment, confidence in zip(look.moments, look.confidences, strict=True)
        ]
    return sorted(standing, key=lambda item: item[0])


def joined(standing: Sequence[tuple[Moment, float | None, Look]]) -> list[tuple[Moment, float | None]]:
    """Moments that touch at a border of windows as one, with the largest of their confidences."""
    result: list[tuple[Moment, float | None]] = []
    for moment, confidence, _ in standing:
        if result and moment.start_s <= result[-1][0].end_s + RESOLUTION_S / 2:
            before, other = result[-1]
            stated = [figure for figure in (confidence, other) if figure is not None]
            whole = Moment(before.start_s, max(before.end_s, moment.end_s))
            result[-1] = whole, max(stated, default=None)
        else:
            result.append((moment, confidence))
    return result


def film_relevance(
    looks: Sequence[Look], standing: Sequence[tuple[Moment, float | None, Look]]
) -> float | None:
    """P(relevant) of the whole clip: the largest of the looks whose moments stand; where none does, of the looks that
    named none. It stays what the model's calibration made of one window's."""
    authors = [author for _, _, author in standing] or [look for look in looks if not look.moments]
    return max((look.relevance for look in authors if look.relevance is not None), default=None)


def _probability(look: Look) -> float:
    """P(relevant), or what the answer says where the model gives none."""
    return look.relevance if look.relevance is not None else float(bool(look.moments))


def _around(plan: FilmPlan, start_s: float, end_s: float) -> tuple[float, float]:
    """A stretch widened to SECOND_STEPS, as far as one context holds them, and to the finest step; within the clip."""
    step_s, last = plan.fine_step_s, math.ceil(plan.end_s / plan.fine_step_s - 1e-6)
    start, end = math.floor(start_s / step_s + 1e-6), math.ceil(end_s / step_s - 1e-6)
    least = min(plan.max_frames, math.ceil(SECOND_STEPS * plan.scan_step_s / step_s), last)
    if end - start < least:
        start -= (least - (end - start)) // 2
        start = min(max(0, start), last - least)
        end = start + least
    return max(0, start) * step_s, min(plan.end_s, end * step_s)


def _outside(
    stretch: tuple[float, float], covered: Iterable[tuple[float, float]]
) -> list[tuple[float, float]]:
    """What of a stretch no other one covers; splinters below the stamps' resolution are nothing."""
    pieces = [stretch]
    for start_s, end_s in covered:
        pieces = [
            part
            for piece in pieces
            for part in ((piece[0], min(piece[1], start_s)), (max(piece[0], end_s), piece[1]))
            if part[1] > part[0]
        ]
    return [piece for piece in pieces if piece[1] - piece[0] >= RESOLUTION_S]


def _pieces(plan: FilmPlan, stretches: Iterable[tuple[float, float]]) -> list[FilmWindow]:
    """Stretches in equal windows at the finest step, each as long as one context holds at most."""
    windows = []
    for start_s, end_s in stretches:
        frames = FilmWindow(start_s, end_s, plan.fine_step_s).num_frames
        count = math.ceil(frames / plan.max_frames)
        edges = [start_s + round(idx * frames / count) * plan.fine_step_s for idx in range(count)]
        windows += [
            FilmWindow(edge_s, next_s, plan.fine_step_s)
            for edge_s, next_s in zip(edges, [*edges[1:], end_s], strict=True)
        ]
    return windows


def _overlap_s(one: FilmWindow, other: FilmWindow) -> float:
    return min(one.end_s, other.end_s) - max(one.start_s, other.start_s)


def _change(look: Look, piece: FilmWindow) -> float:
    """How much the picture changes within a piece of a look's window, a step of the look around it included."""
    margin_s = look.window.step_s
    values = [
        change
        for time_s, change in look.changes
        if piece.start_s - margin_s < time_s < piece.end_s + margin_s
    ]
    return float(np.mean(values)) if values else 0.0
