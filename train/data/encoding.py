"""Examples as the model reads them: ids, positions and pixels exactly as the engine builds them, truth snapped outward.

Whatever a checkpoint spoke before, it is taught Tempo's own protocol; its adapter is served with that.

    encoder = Encoder.of(load_model())
    encoded = encoder.encode(example)

A video is decoded, allocated and resized once; every query about it, and every rollout, shares the result. T frames.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotations.soft_edges import EdgeRange
from tempo_core.allocation import Allocation
from tempo_core.answers import answer_pieces, snap_outward
from tempo_core.context import build_prompt
from tempo_core.defaults import GroundingDefaults
from tempo_core.engine import sample_for
from tempo_core.errors import InputError
from tempo_core.grammar import AnswerGrammar
from tempo_core.loading import LoadedModel
from tempo_core.moments import Moment, moments_between
from tempo_core.prompt import answer_ids, next_position, plain_ids
from tempo_core.protocols.base import prompt_ids
from tempo_core.protocols.tempo import PROTOCOL as TEMPO
from tempo_core.video import SampledVideo
from tempo_core.vision import Normaliser, resize_frame
from train.data.examples import THINK_CLOSE, THINK_OPEN, Example
from train.data.soft_edges import Masses, edge_masses

Sampler = Callable[[Example], SampledVideo]


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedVideo:
    """A video's prompt before any model has seen it; shared by all queries about it."""

    stamps: tuple[str, ...]
    """T + 1 texts, the last for the end."""
    stamp_times_s: tuple[float, ...]
    """The true times behind them."""
    allocation: Allocation
    context_ids: tuple[int, ...]
    positions: npt.NDArray[np.int64]
    """int64[3, context]."""
    frames: tuple[npt.NDArray[np.uint8], ...]
    """T frames uint8[h, w, 3], each of its allocated size."""
    normaliser: Normaliser
    grammar: AnswerGrammar
    sha256: str

    @property
    def n_bytes(self) -> int:
        """What holding on to it costs."""
        return sum(frame.nbytes for frame in self.frames) + self.positions.nbytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """An example as token ids: prompt = context + question, then the true answer."""

    example: Example
    video: EncodedVideo
    question_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    """The true answer, closed by <|im_end|>."""
    pairs: tuple[tuple[int, int], ...]
    """The truth as stamp indices; () for an irrelevant query."""

    @property
    def prompt_ids(self) -> list[int]:
        return [*self.video.context_ids, *self.question_ids]

    @property
    def truth(self) -> tuple[Moment, ...]:
        """The truth as the answer can say it: snapped outward to the sampled frames, in true seconds."""
        return tuple(moments_between(self.pairs, self.video.stamp_times_s))

    @property
    def edge_masses(self) -> tuple[Masses, ...]:
        """How likely each edge is each stamp, the starts and ends of `pairs` in turn; () where all edges are hard."""
        if not self.example.bands_s or not self.pairs:
            return ()
        # a snapped moment begins with the first moment that it was made of, and ends with the last
        moments = list(zip(self.example.moments, self.example.bands_s, strict=True))
        edges_s, bands_s = [], []
        for snapped in self.truth:
            parts = [
                part
                for part in moments
                if part[0].start_s < snapped.end_s and part[0].end_s > snapped.start_s
            ]
            # a moment within the tolerance before a stamp is snapped to what comes after it
            (first, (start_band_s, _)), (last, (_, end_band_s)) = (
                (parts[0], parts[-1]) if parts else ((snapped, (0.0, 0.0)), (snapped, (0.0, 0.0)))
            )
            edges_s.append((first.start_s, last.end_s))
            bands_s.append((start_band_s, end_band_s))
        return tuple(edge_masses(self.pairs, edges_s, bands_s, self.video.stamp_times_s))

    @property
    def edge_ranges_s(self) -> tuple[EdgeRange, ...]:
        """For each moment of `truth` the first and last time at which its start, and its end, may be said: the stamps
        that some place of the band snaps to. () where all edges are hard."""
        times_s = self.video.stamp_times_s
        stamps = [np.flatnonzero(masses) for masses in self.edge_masses]
        ranges = [(times_s[int(idx[0])], times_s[int(idx[-1])]) for idx in stamps]
        return tuple(zip(ranges[::2], ranges[1::2], strict=True))

    def positions(self, length: int) -> npt.NDArray[np.int64]:
        """m-rope positions int64[3, length] of the first `length` ids; text may go on past the answer."""
        context = self.video.positions
        text = max(0, length - context.shape[1])
        text_positions = next_position(context) + np.arange(text)
        return np.concatenate([context, np.broadcast_to(text_positions, (3, text))], axis=1)[:, :length]


class Encoder:
    """Makes examples into ids, positions and pixels for one checkpoint.

    `sample` gives an example's frames (None: from its file, as the checkpoint samples). Encoded videos are kept
    up to `cache_bytes`, the least recently used leave first. `thinking` puts an example's trace before its answer.
    Once `cancel` is set, reading a file raises Cancelled. Safe to share between threads.
    """

    def __init__(
        self,
        tokenizer: Any,
        defaults: GroundingDefaults,
        normaliser: Normaliser | None = None,
        *,
        sample: Sampler | None = None,
        token_budget: int | None = None,
        allocator: str = "saa",
        thinking: bool = False,
        cache_bytes: int = 512 * 2**20,
        cancel: threading.Event | None = None,
    ) -> None:
        self.tokenizer, self.defaults = tokenizer, defaults
        self.normaliser = normaliser or Normaliser()
        self.token_budget, self.allocator, self.thinking = token_budget, allocator, thinking
        self._sample = sample or (lambda example: sample_for(defaults, example.video, cancel=cancel))
        self._cache_bytes = cache_bytes
        self._videos: OrderedDict[object, EncodedVideo] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, loaded: LoadedModel, **options: Any) -> "Encoder":
        """The encoder of a loaded checkpoint; `options` as in the constructor."""
        return cls(loaded.tokenizer, loaded.defaults, loaded.normaliser, **options)

    def encode(self, example: Example) -> Encoded:
        """The example as ids. Raises InputError for a query or a truth that cannot be written, VideoError."""
        video = self.video(example)
        try:
            pairs = tuple(snap_outward(example.moments, video.stamp_times_s))
            protocol = TEMPO.with_instruction(self.defaults.instruction)
            question = prompt_ids(self.tokenizer, protocol.question(example.query))
            answer = answer_ids(self.tokenizer, answer_pieces(pairs, video.stamps))
        except InputError as error:
            raise InputError(f"Row {example.row_id}: {error}") from error
        if self.thinking and example.thinking:
            trace = plain_ids(self.tokenizer, f"{THINK_OPEN}{example.thinking}{THINK_CLOSE}")
            answer = [*trace, *answer]
        return Encoded(
            example=example,
            video=video,
            question_ids=tuple(question),
            answer_ids=tuple(answer),
            pairs=pairs,
        )

    def video(self, example: Example) -> EncodedVideo:
        """The example's video, from the cache where it is there. Raises VideoError, InputError."""
        # a video is told by its content, or by its file and when that was written
        key: object = example.content or str(example.video)
        if not example.content:
            with suppress(OSError):
                status = example.video.stat()
                key = str(example.video), status.st_size, status.st_mtime_ns
        with self._lock:
            if key in self._videos:
                self._videos.move_to_end(key)
                return self._videos[key]

        video = self._sample(example)
        prompt = build_prompt(
            self.tokenizer,
            self.defaults,
            video,
            token_budget=self.token_budget,
            allocator=self.allocator,
            token_px=self.normaliser.token_px,
        )
        sizes = prompt.allocation.sizes_px
        encoded = EncodedVideo(
            stamps=tuple(prompt.stamps),
            stamp_times_s=(*(float(time_s) for time_s in video.times_s), float(video.end_s)),
            allocation=prompt.allocation,
            context_ids=tuple(prompt.ids),
            positions=prompt.positions,
            frames=tuple(resize_frame(frame, size) for frame, size in zip(video.frames, sizes, strict=True)),
            normaliser=self.normaliser,
            grammar=AnswerGrammar(self.tokenizer, prompt.stamps, max_new_tokens=self.defaults.max_new_tokens),
            sha256=video.sha256,
        )
        with self._lock:
            self._videos[key] = encoded
            while (
                len(self._videos) > 1
                and sum(cached.n_bytes for cached in self._videos.values()) > self._cache_bytes
            ):
                self._videos.popitem(last=False)
        return encoded
