"""Examples as the model reads them: ids, positions and pixels exactly as the engine builds them, truth snapped outward.

A model is taught in the protocol that it is served with: its frames, its stamps, its words, its answers.

    encoder = Encoder.of(load_model())
    encoded = encoder.encode(example)

Models that think before they answer are taught to answer behind an empty thought, and are served with one from then
on; with `thinking`, a row's own trace is the thought and is taught too.

A video is decoded, allocated and resized once; every query about it, and every rollout, shares the result.
Legend: T frames, U units of visual tokens, M marks, the times that an answer may name.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from annotations.soft_edges import EdgeRange
from tempo_core.allocation import Allocation
from tempo_core.answers import snap_outward
from tempo_core.chunks import sample_window
from tempo_core.context import TemporalPositions, build_prompt
from tempo_core.defaults import GroundingDefaults
from tempo_core.engine import sample_for
from tempo_core.errors import InputError
from tempo_core.grammar import AnswerGrammar
from tempo_core.loading import LoadedModel
from tempo_core.moments import Moment, moments_between
from tempo_core.passes import sample_second_pass
from tempo_core.positions import next_position
from tempo_core.protocols.base import IM_END, Protocol, Timeline, plain_ids, prompt_ids, special_id
from tempo_core.protocols.tempo import PROTOCOL as TEMPO
from tempo_core.protocols.tempo import TempoProtocol
from tempo_core.video import SampledVideo, probe
from tempo_core.vision import Normaliser, resize_frame
from train.data.examples import THINK_CLOSE, THINK_OPEN, Example
from train.data.soft_edges import Masses, edge_masses

Sampler = Callable[[Example], SampledVideo]


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedVideo:
    """A video's prompt before any model has seen it; shared by all queries about it."""

    timeline: Timeline
    """What the model is told about the frames, and the M marks."""
    end_s: float
    allocation: Allocation
    """One entry a unit."""
    context_ids: tuple[int, ...]
    positions: npt.NDArray[np.int64]
    """int64[3, context]."""
    frames: tuple[npt.NDArray[np.uint8], ...]
    """T frames uint8[h, w, 3], each of its unit's size."""
    frames_per_unit: int
    normaliser: Normaliser
    grammar: AnswerGrammar
    sha256: str
    """Of the file."""
    window_s: tuple[float, float] | None
    """Which piece of it; None: all of it."""

    @property
    def stamps(self) -> tuple[str, ...]:
        """M texts: how an answer usually writes each mark. Of Tempo's own protocol: the T + 1 stamps."""
        return self.timeline.mark_spellings

    @property
    def stamp_times_s(self) -> tuple[float, ...]:
        """The true times behind them."""
        return tuple(self.timeline.marks_s)

    @property
    def modality(self) -> Literal["image", "video"]:
        """Which of the model's placeholders stand for the visual tokens."""
        return "image" if self.frames_per_unit == 1 else "video"

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
    """The true answer behind its trace, closed by <|im_end|>."""
    trace_ids: tuple[int, ...] = ()
    """The thought that `answer_ids` begin with."""
    pairs: tuple[tuple[int, int], ...]
    """The truth as indices of marks; () for an irrelevant query."""

    @property
    def prompt_ids(self) -> list[int]:
        return [*self.video.context_ids, *self.question_ids]

    @property
    def truth(self) -> tuple[Moment, ...]:
        """The truth as the answer can say it: snapped outward to the video's marks, in true seconds."""
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

    `protocol` is how the checkpoint is asked (None: Tempo's own, with the instruction of `defaults`), and
    `temporal_positions` its family's, which protocols without stamps need. `sample` gives an example's frames (None:
    from its file, as the checkpoint samples), `allocator` None is the protocol's own. Encoded videos are kept
    up to `cache_bytes`, the least recently used leave first. `thinking` puts an example's trace before its answer.
    Once `cancel` is set, reading a file raises Cancelled. Safe to share between threads. Raises InputError for
    `thinking` where the protocol has no thought.
    """

    def __init__(
        self,
        tokenizer: Any,
        defaults: GroundingDefaults,
        normaliser: Normaliser | None = None,
        *,
        protocol: Protocol | None = None,
        temporal_positions: TemporalPositions | None = None,
        sample: Sampler | None = None,
        token_budget: int | None = None,
        allocator: str | None = None,
        thinking: bool = False,
        cache_bytes: int = 512 * 2**20,
        cancel: threading.Event | None = None,
    ) -> None:
        self.tokenizer, self.defaults = tokenizer, defaults
        self.normaliser = normaliser or Normaliser()
        self.protocol = protocol or TEMPO.with_instruction(defaults.instruction)
        if thinking and self.protocol.thinking is None and not isinstance(self.protocol, TempoProtocol):
            raise InputError(
                f"The recipe teaches a thought before the answer, and {self.protocol.title} is served without one. "
                "Choose a recipe without thinking, or teach Tempo's own protocol by --protocol tempo."
            )
        self.token_budget, self.allocator, self.thinking = token_budget, allocator, thinking
        self._temporal_positions, self._cancel = temporal_positions, cancel
        self._sample = sample or self._sample_file
        self._cache_bytes = cache_bytes
        self._videos: OrderedDict[object, EncodedVideo] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, loaded: LoadedModel, *, protocol: Protocol | None = None, **options: Any) -> "Encoder":
        """The encoder of a loaded checkpoint in the protocol that it is served with, or in another one of its family;
        other `options` as in the constructor."""
        return cls(
            loaded.tokenizer,
            loaded.defaults,
            loaded.normaliser,
            protocol=protocol or loaded.protocol,
            temporal_positions=partial(loaded.family.temporal_positions, loaded.model.config),
            **options,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What the tempo.json of a model that is taught this way says."""
        has_empty_thought = self.protocol.thinking is not None and not self.thinking
        return {"protocol": self.protocol.name, **({"thinking_tokens": 0} if has_empty_thought else {})}

    def encode(self, example: Example) -> Encoded:
        """The example as ids. Raises InputError for a query or a truth that cannot be written, VideoError."""
        video, protocol = self.video(example), self.protocol
        try:
            question = prompt_ids(self.tokenizer, protocol.question(example.query))
            pairs = tuple(snap_outward(example.moments, video.stamp_times_s))
            if len(pairs) > video.grammar.max_moments:
                raise InputError(
                    f"An answer holds at most {video.grammar.max_moments} moments; got {len(pairs)}."
                )
            pieces = protocol.answer.pieces(
                [(video.stamps[start], video.stamps[end]) for start, end in pairs]
            )
        except InputError as error:
            raise InputError(f"Row {example.row_id}: {error}") from error
        trace = list[int]()
        if protocol.thinking is None:
            if self.thinking and example.thinking:
                trace = plain_ids(self.tokenizer, f"{THINK_OPEN}{example.thinking}{THINK_CLOSE}")
        elif self.thinking:
            thought = (example.thinking or "\n") + protocol.thinking.closing
            for part in (protocol.thinking.opening, thought, protocol.thinking.glue):
                trace += plain_ids(self.tokenizer, part)
        else:
            question += plain_ids(self.tokenizer, protocol.thinking.skipped)
        answer = [token for piece in pieces for token in plain_ids(self.tokenizer, piece)]
        return Encoded(
            example=example,
            video=video,
            question_ids=tuple(question),
            answer_ids=(*trace, *answer, special_id(self.tokenizer, IM_END)),
            trace_ids=tuple(trace),
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
        key = key, example.window_s
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
            protocol=self.protocol,
            temporal_positions=self._temporal_positions,
        )
        has_sampling = self.protocol.sampling is not None
        max_new_tokens = self.protocol.max_new_tokens if has_sampling else self.defaults.max_new_tokens
        sizes = np.repeat(prompt.allocation.sizes_px, prompt.frames_per_unit, axis=0)[: len(video.frames)]
        encoded = EncodedVideo(
            timeline=prompt.timeline,
            end_s=float(video.end_s),
            allocation=prompt.allocation,
            context_ids=tuple(prompt.ids),
            positions=prompt.positions,
            frames=tuple(resize_frame(frame, size) for frame, size in zip(video.frames, sizes, strict=True)),
            frames_per_unit=prompt.frames_per_unit,
            normaliser=self.normaliser,
            grammar=AnswerGrammar(
                self.tokenizer,
                prompt.timeline.mark_texts,
                form=self.protocol.answer,
                max_new_tokens=max_new_tokens,
            ),
            sha256=video.sha256,
            window_s=example.window_s,
        )
        with self._lock:
            self._videos[key] = encoded
            while (
                len(self._videos) > 1
                and sum(cached.n_bytes for cached in self._videos.values()) > self._cache_bytes
            ):
                self._videos.popitem(last=False)
        return encoded

    def _sample_file(self, example: Example) -> SampledVideo:
        """The frames that the checkpoint would see of an example's file, or of its piece of it."""
        if example.window_s is not None:
            info = probe(example.video, cancel=self._cancel)
            sample_part = sample_window if self.protocol.first_pass is None else sample_second_pass
            return sample_part(self.protocol, example.video, info, example.window_s, cancel=self._cancel)
        return sample_for(
            self.defaults,
            example.video,
            protocol=self.protocol,
            allocator=self.allocator,
            cancel=self._cancel,
        )
