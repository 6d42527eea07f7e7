"""One video, encoded once: its frames' tokens and its stamps in the language model's cache.

A context belongs to whoever asked for it and is never changed by a question.
Legend: T frames, U units of visual tokens (a frame, or a group of two), L tokens of the context.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from tempo_core.allocation import TOKEN_PX, Allocation, allocate, content_variation
from tempo_core.conformance import unit_hash
from tempo_core.decoding import cache_bytes, read_prompt
from tempo_core.defaults import GroundingDefaults
from tempo_core.errors import InputError
from tempo_core.grammar import AnswerGrammar
from tempo_core.loading import LoadedModel, return_freed_memory
from tempo_core.positions import grid_sizes, mrope_positions, next_position
from tempo_core.protocols.base import (
    IMAGE_PAD,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
    Protocol,
    Timeline,
    fit_pixels,
    plain_ids,
    prompt_ids,
    special_id,
)
from tempo_core.protocols.tempo import PROTOCOL as TEMPO
from tempo_core.room import check_room, telling_shortage
from tempo_core.vision import encode_frames, is_large_on_cpu

if TYPE_CHECKING:
    from tempo_core.video import SampledVideo

OnProgress = Callable[[str, float], None]
"""Called with a stage ("decoding", "allocating", "encoding", "answering") and the share of it that is done."""
TemporalPositions = Callable[[list[float]], tuple[int, ...]]
"""`Family.temporal_positions` of a model's configuration."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptTokens:
    """What a cache was read from, so that it can be read again."""

    ids: list[int]
    positions: npt.NDArray[np.int64]
    """int64[3, L]"""
    visual_tokens: torch.Tensor
    """[N, (1 + K) W]: in the placeholders' places."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoContext:
    """A video that can be asked about without looking at it again."""

    times_s: npt.NDArray[np.float64]
    """float64[U]: presentation time of each unit: its frame's, or the mean of its two frames'."""
    frame_times_s: npt.NDArray[np.float64]
    """float64[T]: the sampled frames' presentation times."""
    end_s: float
    timeline: Timeline
    """What the model was told about the frames, and the times that it may name."""
    stamp_records: list[dict[str, float | str]]
    """The same so that it can be checked: stamp text, true time in seconds and sha256 of the pixels, for every unit."""
    allocation: Allocation
    """One entry a unit."""
    model_id: str
    """The model that encoded it; no other can continue it."""
    prefix_tokens: int
    """Text and vision tokens in the cache."""
    position: int
    """m-rope position of the next token."""
    cache: Any
    timings: dict[str, float]
    """Seconds per stage."""
    sha256: str
    """Of the video file."""
    prompt: PromptTokens | None = None
    """None where no model of this process read it."""
    grammar: AnswerGrammar | None = None
    """The answers that can be given about it, the same for every question; None where another process writes them."""
    clock_start_s: float = 0.0
    """Where its clock begins on the clip's: later than 0 for a window of a film."""

    @property
    def stamps(self) -> list[str]:
        """How an answer usually writes the times that it may name: for Tempo's own protocol, the T + 1 stamps."""
        return list(self.timeline.mark_spellings)

    @property
    def stamp_times_s(self) -> list[float]:
        """The true times behind them."""
        return self.timeline.marks_s

    def cache_bytes(self) -> int:
        """What its cache takes; the visual tokens of `prompt` are a small share beside it."""
        return cache_bytes(self.cache)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoPrompt:
    """A video's prompt before any model has seen it."""

    timeline: Timeline
    allocation: Allocation
    ids: list[int]
    positions: npt.NDArray[np.int64]
    """int64[3, L]"""
    frames_per_unit: int = 1

    @property
    def stamps(self) -> list[str]:
        """How an answer usually writes the times that it may name."""
        return list(self.timeline.mark_spellings)


def build_prompt(
    tokenizer: Any,
    defaults: GroundingDefaults,
    video: "SampledVideo",
    *,
    token_budget: int | None,
    allocator: str | None,
    token_px: int = TOKEN_PX,
    protocol: Protocol = TEMPO,
    temporal_positions: TemporalPositions | None = None,
) -> VideoPrompt:
    """Stamps, allocation, ids and positions of a video as a protocol wants them.

    `allocator` None is the protocol's own: SAA for Tempo, equal sizes for the others; at an equal budget another may be
    named. `temporal_positions` is needed where M-RoPE carries the time (layout "video"). Raises InputError for budgets,
    times and allocators that cannot be.
    """
    timeline = protocol.timeline(video.times_s, video.end_s)
    units = timeline.units
    allocation = allocate_units(
        video.frames[[unit[0] for unit in units]],
        defaults,
        protocol,
        token_budget=token_budget,
        allocator=allocator,
        token_px=token_px,
    )
    tokens = allocation.tokens.tolist()
    frames_per_unit = len(units[0])
    pad = special_id(tokenizer, IMAGE_PAD if frames_per_unit == 1 else VIDEO_PAD)
    vision_start, vision_end = special_id(tokenizer, VISION_START), special_id(tokenizer, VISION_END)
    grids = grid_sizes(allocation.sizes_px, token_px)

    ids = prompt_ids(tokenizer, protocol.opening)
    times: list[tuple[int, ...]] | None = None
    if protocol.layout == "video":
        if temporal_positions is None:
            raise InputError(f"The protocol {protocol.name!r} needs a model's own positions of time.")
        ids += [vision_start, *[pad] * sum(tokens), vision_end]
        times = [temporal_positions([float(video.times_s[unit[0]]) for unit in units])]
    else:
        for stamp, n_tokens in zip(timeline.stamps, tokens, strict=True):
            ids += [*plain_ids(tokenizer, stamp), vision_start, *[pad] * n_tokens, vision_end]
    ids += plain_ids(tokenizer, timeline.closing) if timeline.closing else []
    positions = mrope_positions(ids, grids, image_token_id=pad, times=times)
    return VideoPrompt(
        timeline=timeline,
        allocation=allocation,
        ids=ids,
        positions=positions,
        frames_per_unit=frames_per_unit,
    )


def prompt_for(
    loaded: LoadedModel, video: "SampledVideo", *, token_budget: int | None, allocator: str | None
) -> VideoPrompt:
    """`build_prompt` as a loaded model wants it."""
    return build_prompt(
        loaded.tokenizer,
        loaded.defaults,
        video,
        token_budget=token_budget,
        allocator=allocator,
        token_px=loaded.normaliser.token_px,
        protocol=loaded.protocol,
        temporal_positions=partial(loaded.family.temporal_positions, loaded.model.config),
    )


def grammar_for(loaded: LoadedModel, timeline: Timeline) -> AnswerGrammar:
    """The answers that a loaded model can give about a video."""
    protocol = loaded.protocol
    own_limit = loaded.defaults.max_new_tokens if protocol.sampling is None else protocol.max_new_tokens
    return AnswerGrammar(
        loaded.tokenizer, timeline.mark_texts, form=protocol.answer, max_new_tokens=own_limit
    )


def allocate_units(
    frames: npt.NDArray[np.uint8],
    defaults: GroundingDefaults,
    protocol: Protocol,
    *,
    token_budget: int | None,
    allocator: str | None,
    token_px: int,
) -> Allocation:
    """The sizes of U units, of which `frames` uint8[U, H, W, 3] are the first frames.

    A protocol without sampling of its own shares out the checkpoint's budget. Any other gives all units the size that
    its checkpoints were trained with, or one that `token_budget` allows; a named allocator shares out the same sum.
    """
    sampling = protocol.sampling
    if sampling is None:
        return allocate(
            frames,
            budget_tokens=defaults.budget_for(len(frames)) if token_budget is None else token_budget,
            min_tokens=defaults.min_tokens,
            max_tokens=defaults.max_tokens,
            allocator=allocator or "saa",
            token_px=token_px,
        )
    count, height, width = frames.shape[:3]
    high = sampling.frame_pixels(count * sampling.frames_per_unit)
    low = sampling.min_pixels
    if token_budget is not None:
        if token_budget < count:
            raise InputError(
                f"A budget of {token_budget} tokens cannot hold {count} units of frames. Give at least {count} tokens."
            )
        high = min(high, token_budget // count * token_px**2)
        low = min(low, high)
    size = fit_pixels(height, width, factor=token_px, low=low, high=high)
    tokens = size[0] * size[1] // token_px**2
    if allocator in (None, "uniform"):
        return Allocation(
            tokens=np.full(count, tokens),
            sizes_px=np.tile(np.array(size, dtype=np.int64), (count, 1)),
            variation=content_variation(frames),
            allocator="uniform",
            budget_tokens=tokens * count,
        )
    return allocate(
        frames,
        budget_tokens=tokens * count,
        min_tokens=1,
        max_tokens=768,
        allocator=str(allocator),
        token_px=token_px,
    )


@telling_shortage
@torch.inference_mode()
def encode_video(
    loaded: LoadedModel,
    video: "SampledVideo",
    *,
    token_budget: int | None = None,
    allocator: str | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
    prompt: VideoPrompt | None = None,
) -> VideoContext:
    """Run a sampled video through the vision tower and the language model, once.

    `prompt` replaces `build_prompt`'s, for experiments that write the context otherwise. Raises InputError
    for a budget that cannot hold the frames' minimum, MemoryShortage for a context that the device has no room for,
    Cancelled between steps.
    """
    report: OnProgress = on_progress or (lambda stage, share: None)
    laps = [time.perf_counter()]
    report("allocating", 0.0)
    prompt = prompt or prompt_for(loaded, video, token_budget=token_budget, allocator=allocator)
    check_room(loaded, len(prompt.ids), int(prompt.allocation.tokens.sum()))
    laps.append(time.perf_counter())
    visual_tokens = encode_frames(
        loaded.model,
        video.frames,
        prompt.allocation.sizes_px,
        loaded.normaliser,
        frames_per_unit=prompt.frames_per_unit,
        cancel=cancel,
        on_progress=lambda share: report("encoding", share / 2),
    )
    if is_large_on_cpu(str(loaded.model.device), loaded.model.dtype):
        return_freed_memory()  # the tower's; the language model's tensors are larger and would not fit in between
    laps.append(time.perf_counter())
    cache, _ = read_prompt(
        loaded.model,
        prompt.ids,
        prompt.positions,
        visual_tokens,
        cancel=cancel,
        on_progress=lambda share: report("encoding", 0.5 + share / 2),
    )
    laps.append(time.perf_counter())
    stages = ("allocating_s", "vision_s", "prefix_s")
    return VideoContext(
        times_s=np.asarray(prompt.timeline.unit_times_s, dtype=np.float64),
        frame_times_s=np.asarray(video.times_s, dtype=np.float64),
        end_s=float(video.end_s),
        timeline=prompt.timeline,
        stamp_records=[
            {**pair, "sha256": unit_hash(video, unit)}
            for pair, unit in zip(prompt.timeline.stamp_pairs(), prompt.timeline.units, strict=True)
        ],
        allocation=prompt.allocation,
        model_id=loaded.model_id,
        prefix_tokens=len(prompt.ids),
        position=next_position(prompt.positions),
        cache=cache,
        timings={
            stage: round(after - before, 4)
            for stage, (before, after) in zip(stages, pairwise(laps), strict=True)
        },
        sha256=video.sha256,
        prompt=PromptTokens(ids=prompt.ids, positions=prompt.positions, visual_tokens=visual_tokens),
        grammar=grammar_for(loaded, prompt.timeline),
    )
