"""One video, encoded once: its frames' tokens and its stamps in the language model's cache.

A context belongs to whoever asked for it and is never changed by a question.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from tempo_core.allocation import TOKEN_PX, Allocation, allocate
from tempo_core.decoding import cache_bytes, read_prompt
from tempo_core.defaults import GroundingDefaults
from tempo_core.loading import LoadedModel
from tempo_core.prompt import IMAGE_PAD, context_ids, grid_sizes, mrope_positions, next_position, special_id
from tempo_core.timestamps import format_stamps
from tempo_core.vision import encode_frames

if TYPE_CHECKING:
    from tempo_core.video import SampledVideo

OnProgress = Callable[[str, float], None]
"""Called with a stage ("decoding", "allocating", "encoding", "answering") and the share of it that is done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoContext:
    """A video that can be asked about without looking at it again."""

    times_s: npt.NDArray[np.float64]
    """float64[T]: the sampled frames' presentation times."""
    end_s: float
    stamps: list[str]
    """T + 1 texts, the last for the end."""
    allocation: Allocation
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

    @property
    def stamp_times_s(self) -> list[float]:
        """The true times behind the stamps."""
        return [*(float(time_s) for time_s in self.times_s), float(self.end_s)]

    def cache_bytes(self) -> int:
        """What holding on to this context costs."""
        return cache_bytes(self.cache)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoPrompt:
    """A video's prompt before any model has seen it."""

    stamps: list[str]
    allocation: Allocation
    ids: list[int]
    positions: npt.NDArray[np.int64]
    """int64[3, L]"""


def build_prompt(
    tokenizer: Any,
    defaults: GroundingDefaults,
    video: "SampledVideo",
    *,
    token_budget: int | None,
    allocator: str,
    token_px: int = TOKEN_PX,
) -> VideoPrompt:
    """Stamps, allocation, ids and positions of a video. Raises InputError for budgets and times that cannot be."""
    stamps = format_stamps(video.times_s, video.end_s)
    allocation = allocate(
        video.frames,
        budget_tokens=defaults.budget_for(len(video.times_s)) if token_budget is None else token_budget,
        min_tokens=defaults.min_tokens,
        max_tokens=defaults.max_tokens,
        allocator=allocator,
        token_px=token_px,
    )
    ids = context_ids(tokenizer, stamps, allocation.tokens.tolist())
    pad = special_id(tokenizer, IMAGE_PAD)
    positions = mrope_positions(ids, grid_sizes(allocation.sizes_px, token_px), image_token_id=pad)
    return VideoPrompt(stamps=stamps, allocation=allocation, ids=ids, positions=positions)


@torch.inference_mode()
def encode_video(
    loaded: LoadedModel,
    video: "SampledVideo",
    *,
    token_budget: int | None = None,
    allocator: str = "saa",
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
    prompt: VideoPrompt | None = None,
) -> VideoContext:
    """Run a sampled video through the vision tower and the language model, once.

    `prompt` replaces `build_prompt`'s, for experiments that write the context otherwise. Raises InputError
    for a budget that cannot hold the frames' minimum, Cancelled between steps.
    """
    report: OnProgress = on_progress or (lambda stage, share: None)
    laps = [time.perf_counter()]
    report("allocating", 0.0)
    prompt = prompt or build_prompt(
        loaded.tokenizer,
        loaded.defaults,
        video,
        token_budget=token_budget,
        allocator=allocator,
        token_px=loaded.normaliser.token_px,
    )
    laps.append(time.perf_counter())
    visual_tokens = encode_frames(
        loaded.model,
        video.frames,
        prompt.allocation.sizes_px,
        loaded.normaliser,
        cancel=cancel,
        on_progress=lambda share: report("encoding", share / 2),
    )
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
        times_s=np.asarray(video.times_s, dtype=np.float64),
        end_s=float(video.end_s),
        stamps=prompt.stamps,
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
    )
