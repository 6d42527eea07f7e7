"""Long clips in two passes, for protocols whose authors look twice: first at the whole clip in segments of pooled
features, then at the window of the segments that the first answer names.

The first pass is read once and asked by every question; the second depends on its answer, so that its frames are read
for each question anew. Both are in the answer (`Answer.passes`).
Legend: U units of two frames, S segments, N visual tokens of a pooled unit, W width of the language model.
"""

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from tempo_core.allocation import Allocation, content_variation
from tempo_core.conformance import unit_hash
from tempo_core.context import OnProgress, PromptTokens, VideoContext
from tempo_core.decoding import CachedScorer, Decoding, beam_search, feed, read_prompt, share_cache
from tempo_core.grammar import AnswerGrammar, Branch, Choice
from tempo_core.positions import mrope_positions, next_position
from tempo_core.protocols.base import (
    VIDEO_PAD,
    VISION_END,
    VISION_START,
    FirstPass,
    Protocol,
    Timeline,
    plain_ids,
    prompt_ids,
    special_id,
)
from tempo_core.room import check_room, telling_shortage
from tempo_core.vision import encode_frames

if TYPE_CHECKING:
    from tempo_core.backend import Backend
    from tempo_core.engine import Answer, Engine
    from tempo_core.video import SampledVideo, VideoInfo

FRAMES_AT_ONCE = 64
"""Frames of the first pass that are in memory together; they are larger than their pooled features."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoPassContext(VideoContext):
    """A long clip after the first pass; marks are the beginnings of its segments."""

    path: Path
    info: "VideoInfo"
    token_budget: int | None
    """Of the second pass."""
    allocator: str | None

    @property
    def edges_s(self) -> list[float]:
        """Where each segment begins, and the clip's end."""
        return [*self.timeline.marks_s, self.end_s]


class SegmentGrammar(AnswerGrammar):
    """The first pass's answers: beginnings of segments in time order. A state's pairs end in their marks."""

    def _list_branches(self, choice: Choice) -> list[Branch]:
        last, branches = len(self.stamps) - 1, list[Branch]()
        if choice not in ("opening", "start"):
            return branches
        before = self._opening if choice == "opening" else ()
        for idx in range(last + 1):
            for ids in self._mark_ids[idx]:
                named, number = (*before, *ids), range(len(before), len(before) + len(ids))
                branches.append(Branch((*named, *self._closing), number, len(named) + 1, "done", idx))
                if self._next is not None and idx < last:
                    branches.append(Branch((*named, *self._next), number, len(named) + 1, "start", idx))
        return branches


def first_pass_of(backend: "Backend", info: "VideoInfo") -> FirstPass | None:
    """How a probed clip is looked at before its window; None where it is looked at once."""
    first = backend.protocol.first_pass
    return first if first is not None and first.is_for(info) else None


def pool(tokens: torch.Tensor, grid: tuple[int, int], pooled: tuple[int, int]) -> torch.Tensor:
    """Visual tokens [U * rows * columns, W] of equal units on a smaller (or larger) grid, bilinear."""
    maps = tokens.view(-1, *grid, tokens.shape[-1]).permute(0, 3, 1, 2).float()
    resized = F.interpolate(maps, size=pooled, mode="bilinear", align_corners=False)
    return resized.permute(0, 2, 3, 1).reshape(-1, tokens.shape[-1]).to(tokens.dtype)


def segment_ids(
    tokenizer: Any, protocol: Protocol, stamps: Sequence[str], tokens: Sequence[int]
) -> list[int]:
    """The ids of a first pass before its question: of S segments the stamps and numbers of visual tokens."""
    pad, opened, closed = (special_id(tokenizer, token) for token in (VIDEO_PAD, VISION_START, VISION_END))
    ids = prompt_ids(tokenizer, protocol.opening)
    for stamp, n_tokens in zip(stamps, tokens, strict=True):
        ids += [*plain_ids(tokenizer, stamp), opened, *[pad] * n_tokens, closed]
    return ids


@telling_shortage
@torch.inference_mode()
def encode_first_pass(
    engine: "Engine",
    path: Path,
    info: "VideoInfo",
    first: FirstPass,
    *,
    token_budget: int | None = None,
    allocator: str | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
) -> TwoPassContext:
    """Read the whole clip in segments. Raises as `sample` and `encode_frames` do."""
    from tempo_core.video import sample

    report: OnProgress = on_progress or (lambda stage, share: None)
    loaded, protocol, laps = engine.loaded, engine.protocol, [time.perf_counter()]
    tokenizer, side = loaded.tokenizer, loaded.normaliser.token_px
    plan = first.plan(info)
    grid = plan.tower_px[0] // side, plan.tower_px[1] // side
    pooled = plan.pooled_px[0] // side, plan.pooled_px[1] // side
    planned = math.ceil(len(plan.times_s) / 2) * pooled[0] * pooled[1]
    check_room(loaded, planned, planned)  # the stamps of the segments are few

    # the tower sees frames at their full size; only pooled features stay
    features, frame_times, variation = list[torch.Tensor](), list[float](), list[float]()
    unit_times, stamps, hashes, sha256 = list[float](), list[str](), list[str](), ""
    for start in range(0, len(plan.times_s), FRAMES_AT_ONCE):
        report("encoding", start / len(plan.times_s))
        video = sample(
            path, at=plan.times_s[start : start + FRAMES_AT_ONCE], size=plan.tower_px, cancel=cancel
        )
        batch = protocol.timeline(video.times_s, info.end_s)
        sizes = np.tile(np.array(plan.tower_px, dtype=np.int64), (len(batch.units), 1))
        tokens = encode_frames(
            loaded.model, video.frames, sizes, loaded.normaliser, frames_per_unit=2, cancel=cancel
        )
        features.append(pool(tokens, grid, pooled))
        frame_times += [float(time_s) for time_s in video.times_s]
        unit_times += batch.unit_times_s
        stamps += batch.stamps
        hashes += [unit_hash(video, unit) for unit in batch.units]
        variation += content_variation(video.frames[[unit[0] for unit in batch.units]]).tolist()
        sha256 = video.sha256
    laps.append(time.perf_counter())

    # the prompt: a stamp before each segment, whose units share a block of their own times
    unit_tokens = pooled[0] * pooled[1]
    starts = range(0, len(unit_times), plan.units_per_segment)
    lengths = [min(plan.units_per_segment, len(unit_times) - start) for start in starts]
    segment_tokens = [length * unit_tokens for length in lengths]
    ids = segment_ids(tokenizer, protocol, [stamps[start] for start in starts], segment_tokens)
    times = [
        loaded.family.temporal_positions(loaded.model.config, unit_times[start : start + length])
        for start, length in zip(starts, lengths, strict=True)
    ]
    pad = special_id(tokenizer, VIDEO_PAD)
    positions = mrope_positions(ids, [pooled] * len(unit_times), image_token_id=pad, times=times)
    visual_tokens = torch.cat(features)
    cache, _ = read_prompt(loaded.model, ids, positions, visual_tokens, cancel=cancel)
    laps.append(time.perf_counter())
    begins = [unit_times[start] for start in starts]
    timeline = Timeline(
        units=[tuple(range(start, start + length)) for start, length in zip(starts, lengths, strict=True)],
        unit_times_s=begins,
        stamps=[stamps[start] for start in starts],
        closing="",
        marks_s=begins,
        mark_texts=[(_number(protocol.stamp, stamps[start]),) for start in starts],
    )
    return TwoPassContext(
        times_s=np.asarray(unit_times, dtype=np.float64),
        frame_times_s=np.asarray(frame_times, dtype=np.float64),
        end_s=float(info.end_s),
        timeline=timeline,
        stamp_records=[
            {"stamp": stamps[start], "time_s": unit_times[start], "sha256": hashes[start]} for start in starts
        ],
        allocation=Allocation(
            tokens=np.full(len(unit_times), unit_tokens),
            sizes_px=np.tile(np.array(plan.pooled_px, dtype=np.int64), (len(unit_times), 1)),
            variation=np.array(variation),
            allocator="uniform",
            budget_tokens=unit_tokens * len(unit_times),
        ),
        model_id=loaded.model_id,
        prefix_tokens=len(ids),
        position=next_position(positions),
        cache=cache,
        timings={
            stage: round(after - before, 4)
            for stage, (before, after) in zip(("vision_s", "prefix_s"), pairwise(laps), strict=True)
        },
        sha256=sha256,
        prompt=PromptTokens(ids=ids, positions=positions, visual_tokens=visual_tokens),
        grammar=SegmentGrammar(
            tokenizer, timeline.mark_texts, form=first.answer, max_moments=len(timeline.marks_s)
        ),
        path=path,
        info=info,
        token_budget=token_budget,
        allocator=allocator,
    )


@torch.inference_mode()
def choose_segments(
    engine: "Engine", context: TwoPassContext, query: str, *, cancel: threading.Event | None = None
) -> tuple[list[int], str, float]:
    """The segments that the first pass names for a query, its text, and the text's probability."""
    first, grammar, loaded = engine.protocol.first_pass, context.grammar, engine.loaded
    assert first is not None, "only protocols that look twice make such contexts"
    assert grammar is not None, "a first pass has one"
    question = prompt_ids(loaded.tokenizer, first.asked(engine.protocol).question(query))
    cache = share_cache(context.cache)
    logits = feed(loaded.model, torch.tensor([question]), context.position, cache, grammar.tokens)
    scorer = CachedScorer(loaded.model, cache, logits, context.position + len(question), grammar.tokens)
    best = Decoding(beam_search(grammar, cancel=cancel)).run(scorer)[0]
    segments = [mark for _, mark in best.state.pairs]
    return segments, loaded.tokenizer.decode(best.ids[:-1]), float(np.exp(best.logprob))


def sample_second_pass(
    protocol: Protocol,
    path: Path,
    info: "VideoInfo",
    window_s: tuple[float, float],
    *,
    cancel: threading.Event | None = None,
) -> "SampledVideo":
    """The frames of a window, on the clip's clock."""
    from tempo_core.video import sample

    assert protocol.sampling is not None, "a protocol that looks twice has a sampling of its own"
    frames = protocol.sampling.plan(info, window_s=window_s)
    return sample(path, at=frames.times_s, size=frames.size_px, cancel=cancel)


def ask_passes(
    engine: "Engine",
    context: TwoPassContext,
    query: str,
    *,
    n_best: int,
    constrained: bool,
    thinking_tokens: int | None,
    cancel: threading.Event | None,
) -> "Answer":
    """Ask the first pass for segments, then look at their window and ask there. The first answer is always bound."""
    laps = [time.perf_counter()]
    segments, text, probability = choose_segments(engine, context, query, cancel=cancel)
    laps.append(time.perf_counter())
    window = context.edges_s[segments[0]], context.edges_s[segments[-1] + 1]
    video = sample_second_pass(engine.protocol, context.path, context.info, window, cancel=cancel)
    fine = engine.encode(video, token_budget=context.token_budget, allocator=context.allocator, cancel=cancel)
    laps.append(time.perf_counter())
    answer = engine.ask(
        fine,
        query,
        n_best=n_best,
        constrained=constrained,
        thinking_tokens=thinking_tokens,
        cancel=cancel,
    )
    first_pass = {
        "start_s": context.info.start_s,
        "end_s": context.end_s,
        "text": text,
        "probability": probability,
        "segments": [
            {"start_s": context.edges_s[idx], "end_s": context.edges_s[idx + 1]} for idx in segments
        ],
        "frames": len(context.frame_times_s),
        "tokens": context.allocation.budget_tokens,
    }
    second_pass = {
        "start_s": window[0],
        "end_s": window[1],
        "text": answer.text,
        "frames": len(fine.frame_times_s),
        "tokens": int(fine.allocation.tokens.sum()),
        "stamps": fine.stamp_records,
    }
    over_s = engine.protocol.first_pass.over_s if engine.protocol.first_pass else 0.0
    note = (
        f"This clip is longer than {over_s:g} s, so that it was looked at twice, as this model's authors do: the whole "
        f"clip in segments, then {window[0]:.1f} s to {window[1]:.1f} s, which alone was searched for moments."
    )
    stages = ("segments_s", "window_s")
    return replace(
        answer,
        clip_end_s=context.end_s,
        passes=[first_pass, second_pass],
        notes=[*answer.notes, note],
        timings={
            **answer.timings,
            **{
                stage: round(after - before, 4)
                for stage, (before, after) in zip(stages, pairwise(laps), strict=True)
            },
        },
    )


def _number(stamp: str, text: str) -> str:
    """The time within a stamp's text."""
    before, _, after = stamp.partition("{}")
    return text[len(before) : len(text) - len(after)]
