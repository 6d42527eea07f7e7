"""What a protocol is made of: the frames, the stamps, the words and the answer that a checkpoint was trained with.

Pure Python on numbers and texts; no torch, no model. Times are presentation times in seconds.

The engine reads a protocol in this order:

1. `sampling.plan(info)` says which frames, at which size; None: the checkpoint's own defaults say it.
2. `timeline(times_s, end_s)` groups the frames that came into units of vision tokens, with the text before each.
3. The context is `opening`, then for each unit its stamp and its vision block, then `timeline.closing`.
   In layout "video" all units share one block, and no stamp stands before any.
4. `question(query)` follows the context. Everything up to here is a prompt, the same for a free and a bound answer.
5. With `thinking`, text is generated freely behind `thinking.opening` until `thinking.is_over`, then
   `thinking.bridge` is fed. Without it, `thinking.skipped` is fed instead.
6. The answer is decoded under `AnswerGrammar(tokenizer, timeline.mark_texts, form=protocol.answer)`, or freely and
   read by `answer.parse`. There is no third way to read an answer.
7. Where `answer.refusals` is empty, P(relevant) comes from `verification(query)` behind the same context: the
   probability of YES against NO as the first token.
"""

import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from tempo_core.answers import AnswerError
from tempo_core.errors import CheckpointError, InputError
from tempo_core.moments import Moment, merge

if TYPE_CHECKING:
    from tempo_core.video import VideoInfo

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"
MAX_QUERY_CHARACTERS = 500

Layout = Literal["frames", "groups", "video"]
"""frames: every frame is a still image. groups: two frames a unit, each unit a video block of its own, so that M-RoPE
sees no time. video: two frames a unit, all units in one block, M-RoPE carries their times since the first picture."""

END_TOLERANCE_S = 0.5
"""A free answer may end so far behind the clip, which models round; it is cut there. Farther out it is no answer."""
VERIFICATION = 'Does the following happen anywhere in the video: "{query}"? Answer with Yes or No only.'
"""The yes/no turn of checkpoints that were never taught to refuse (the idea is VideoMind's verifier)."""
YES, NO = "Yes", "No"

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NUMBER = r"(\d{1,7}(?:\.\d{1,6})?)"


class Token(str):
    """A special token within a prompt. Any other piece is text, and text never becomes a special token."""

    __slots__ = ()


class Tag(Token):
    """A special token where the tokenizer has it, else the same text: <think> is one for Qwen3 and none for Qwen2."""

    __slots__ = ()


class Mark(str):
    """A time within an answer. Any other piece of an answer is words."""

    __slots__ = ()


Pieces = tuple[str, ...]


def timelens_query(query: str) -> str:
    """A query as TimeLens and TimeLens2 write it: without a full stop."""
    return query.strip(".").strip()


def turn(role: str, *content: str) -> Pieces:
    """A whole ChatML turn."""
    return (*opened(role, *content), Token(IM_END), "\n")


def opened(role: str, *content: str) -> Pieces:
    """The beginning of a ChatML turn."""
    head, *rest = content or ("",)
    return (Token(IM_START), f"{role}\n{head}", *rest)


def clean_query(query: str) -> str:
    """The query in NFC with every run of white space as one blank.

    Any language is accepted. Raises InputError when it is empty, longer than MAX_QUERY_CHARACTERS, or holds
    control characters, direction overrides, or halves of surrogate pairs.
    """
    if not isinstance(query, str):
        raise InputError(f"A query is a sentence; got {type(query).__name__}.")
    for character in query:
        if character not in "\t\r\n" and (
            unicodedata.category(character) in ("Cc", "Cs") or character in _BIDI_CONTROLS
        ):
            raise InputError(
                f"The query holds the control character U+{ord(character):04X}. Remove it and ask again."
            )
    text = " ".join(unicodedata.normalize("NFC", query).split())
    if not any(unicodedata.category(character) != "Cf" for character in text):
        raise InputError("The query is empty. Write what to look for, for example 'a red circle appears'.")
    if len(text) > MAX_QUERY_CHARACTERS:
        raise InputError(
            f"The query has {len(text)} characters; at most {MAX_QUERY_CHARACTERS} are read. Shorten it to "
            "one sentence."
        )
    return text


def special_id(tokenizer: Any, token: str) -> int:
    """The id of one of the special tokens above. Raises CheckpointError when the tokenizer does not have it."""
    token_id = tokenizer.convert_tokens_to_ids(token)
    if token_id is None or token_id == tokenizer.unk_token_id:
        raise CheckpointError(
            f"The checkpoint's tokenizer has no token {token}: it is not that of a Qwen vision model. Copy "
            "the tokenizer that belongs to the weights."
        )
    return int(token_id)


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """The text's ids with nothing in it read as a special or added token."""
    # `split_special_tokens` spares added tokens that are not marked special, which foreign tokenizers have:
    # the text is cut inside each of them.
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if len(token.content) > 1]
    cuts = {
        match.start() + 1
        for content in added
        if content in text
        for match in re.finditer(re.escape(content), text)
    }
    pieces = [text[start:stop] for start, stop in itertools.pairwise([0, *sorted(cuts), len(text)])]
    encoded = tokenizer(pieces, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return [int(token_id) for ids in encoded for token_id in ids]


def prompt_ids(tokenizer: Any, pieces: Sequence[str]) -> list[int]:
    """The ids of a prompt's pieces, each tokenised on its own."""
    ids: list[int] = []
    for piece in pieces:
        is_token = isinstance(piece, Token)
        if isinstance(piece, Tag):
            is_token = tokenizer.convert_tokens_to_ids(str(piece)) not in (None, tokenizer.unk_token_id)
        ids += [special_id(tokenizer, str(piece))] if is_token else plain_ids(tokenizer, piece)
    return ids


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePlan:
    """Which frames of a video a checkpoint sees."""

    times_s: list[float]
    """Times to ask `video.sample(at=...)` for: each in the middle of its frame's display. Its own presentation time
    comes back with the frame."""
    size_px: tuple[int, int]
    """Height and width that every frame is resized to."""
    budget_tokens: int
    """Visual tokens of all frames at that size; another allocator may share them out differently."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Frames and pixels as qwen-vl-utils takes them: an even number of frames, spread from the first to the last."""

    fps: float = 2.0
    n_frames: int | None = None
    """If set, so many frames whatever the length."""
    min_frames: int = 4
    max_frames: int = 768
    factor_px: int
    """Side of the square of pixels that one visual token covers: 28 or 32."""
    min_pixels: int
    """Of a frame."""
    max_pixels: int | None = None
    """Of a frame; never more than 768 tokens' worth."""
    total_pixels: int
    """Of one frame of every unit of vision tokens."""
    frames_per_unit: int = 2
    """1 where frames are still images."""
    stride: int = 1
    """Of the frames that are spread, only every so manyth is seen, from the first."""

    def plan(self, info: "VideoInfo", window_s: tuple[float, float] | None = None) -> FramePlan:
        """The frames of a probed video, or of a stretch of it. A video of one frame has one."""
        first, last = frame_range(info, window_s)
        times_s = spread_times(info, self._count(info, last - first + 1), first=first, last=last)[
            :: self.stride
        ]
        high, low = self.frame_pixels(len(times_s)), self.min_pixels
        size = fit_pixels(info.height, info.width, factor=self.factor_px, low=low, high=high)
        units = math.ceil(len(times_s) / self.frames_per_unit)
        tokens = units * (size[0] // self.factor_px) * (size[1] // self.factor_px)
        return FramePlan(times_s=times_s, size_px=size, budget_tokens=tokens)

    def _count(self, info: "VideoInfo", total: int) -> int:
        if self.n_frames is not None:
            count = float(self.n_frames)
        else:
            count = (total / float(info.frame_rate) if info.frame_rate else info.duration_s) * self.fps
            count = min(max(count, self.min_frames), self.max_frames)
        return max(1 if total == 1 else 2, math.floor(min(count, total) / 2) * 2)

    def most_units(self, duration_s: float) -> tuple[int, int]:
        """Units of a clip of this length, and their visual tokens where every frame is as large as it may be."""
        count = self.n_frames or min(max(duration_s * self.fps, self.min_frames), self.max_frames)
        units = math.ceil(count / self.stride / self.frames_per_unit)
        return units, units * max(1, self.frame_pixels(units * self.frames_per_unit) // self.factor_px**2)

    def frame_pixels(self, count: int) -> int:
        """Most pixels of a frame when so many are seen."""
        share = min(768 * self.factor_px**2, self.total_pixels / count * self.frames_per_unit)
        share = max(share, int(self.min_pixels * 1.05))
        return int(share if self.max_pixels is None else min(share, self.max_pixels))


class FullSampling(Sampling):
    """Fills its budget: pictures are sized for `fps`, then as many frames are taken as still fit. UniTime's rule."""

    __slots__ = ()

    def plan(self, info: "VideoInfo", window_s: tuple[float, float] | None = None) -> FramePlan:
        first, last = frame_range(info, window_s)
        total = last - first + 1
        seconds = total / float(info.frame_rate) if info.frame_rate else info.duration_s
        high = self.frame_pixels(max(2, round(int(seconds * self.fps) / 2) * 2))
        size = fit_pixels(info.height, info.width, factor=self.factor_px, low=self.min_pixels, high=high)
        # UniTime's code repeats frames of a short clip until the budget is full; no frame is shown twice here.
        count = min(self.total_pixels // (size[0] * size[1]) * self.frames_per_unit, max(2, total // 2 * 2))
        times_s = spread_times(info, min(count, max(1, total)), first=first, last=last)
        units = math.ceil(len(times_s) / self.frames_per_unit)
        return FramePlan(
            times_s=times_s, size_px=size, budget_tokens=units * size[0] * size[1] // self.factor_px**2
        )

    def most_units(self, duration_s: float) -> tuple[int, int]:
        return self.total_pixels // self.min_pixels, self.total_pixels // self.factor_px**2


def fit_pixels(height: int, width: int, *, factor: int, low: int, high: float) -> tuple[int, int]:
    """(height, width) in multiples of `factor` with between `low` and `high` pixels, near the picture's shape.

    The rule of qwen-vl-utils' `smart_resize`, rounding half to even.
    """
    rows, columns = (max(1, round(side / factor)) for side in (height, width))
    if rows * columns * factor**2 > high:
        scale = math.sqrt(height * width / high)
        rows, columns = (max(1, math.floor(side / scale / factor)) for side in (height, width))
    elif rows * columns * factor**2 < low:
        scale = math.sqrt(low / (height * width))
        rows, columns = (math.ceil(side * scale / factor) for side in (height, width))
    return rows * factor, columns * factor


def frame_range(info: "VideoInfo", window_s: tuple[float, float] | None = None) -> tuple[int, int]:
    """The numbers of the first and the last frame of a video, or of those on screen at the edges of a stretch of it."""
    last = info.frame_count - 1
    if window_s is None:
        return 0, last
    rate = info.frame_count / (info.end_s - info.start_s)
    first, final = (min(max(0, int((time_s - info.start_s) * rate)), last) for time_s in window_s)
    return first, final


def spread_indices(count: int, first: int, last: int) -> list[int]:
    """`count` whole numbers from the first to the last, evenly apart but for rounding half to even."""
    return [first + round(k * (last - first) / max(1, count - 1)) for k in range(count)]


def spread_times(info: "VideoInfo", count: int, *, first: int = 0, last: int | None = None) -> list[float]:
    """`count` times from one frame of a video to another (None: its last), each in the middle of a frame's display."""
    last = info.frame_count - 1 if last is None else last
    return [display_middle_s(info, index) for index in spread_indices(count, first, last)]


def display_middle_s(info: "VideoInfo", index: int) -> float:
    """When half of a frame's display has passed, in a video of a constant rate."""
    return info.start_s + (index + 0.5) * (info.end_s - info.start_s) / info.frame_count


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunks:
    """Pieces that a long clip is cut into, and how what they say is joined."""

    length_s: float
    """A clip that is longer is cut."""
    overlap_s: float
    """What two neighbours both see."""
    shortest_s: float
    """A last piece that is shorter belongs to the one before."""
    same_start_s: float
    """Moments that overlap and begin so near to each other are one."""
    same_iou: float
    """So are those of this temporal IoU."""

    def windows(self, end_s: float) -> list[tuple[float, float]]:
        """(start, end) of each piece of a clip that ends at `end_s`, in seconds."""
        starts, step_s = [0.0], self.length_s - self.overlap_s
        while starts[-1] + self.length_s < end_s:
            starts.append(starts[-1] + step_s)
        windows = [(start_s, min(start_s + self.length_s, end_s)) for start_s in starts]
        if len(windows) > 1 and windows[-1][1] - windows[-1][0] < self.shortest_s:
            windows[-2:] = [(windows[-2][0], windows[-1][1])]
        return windows

    def join(self, moments: Sequence[Moment]) -> list[Moment]:
        """Moments of all pieces, sorted by start: of two that are one, the longer stays."""
        joined: list[Moment] = []
        for moment in moments:
            last = joined[-1] if joined else None
            if last is not None and self._are_one(last, moment):
                joined[-1] = moment if moment.duration_s > last.duration_s else last
            else:
                joined.append(moment)
        return joined

    def _are_one(self, earlier: Moment, later: Moment) -> bool:
        shared_s = min(earlier.end_s, later.end_s) - max(earlier.start_s, later.start_s)
        span_s = max(earlier.end_s, later.end_s) - min(earlier.start_s, later.start_s)
        is_near = abs(later.start_s - earlier.start_s) <= self.same_start_s
        return max(shared_s, 0.0) / span_s >= self.same_iou or (shared_s > 0 and is_near)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """The sampled frames of one video as the checkpoint is told about them. An answer names its marks."""

    units: list[tuple[int, ...]]
    """Frame indices of each unit of vision tokens: one, or two (the last frame twice where their number is odd)."""
    unit_times_s: list[float]
    """Presentation time of each unit: the frame's, or the mean of its two frames'."""
    stamps: list[str]
    """The text before each unit's vision block; "" for none."""
    closing: str
    """The text after the last unit."""
    marks_s: list[float]
    """The true times that an answer may name, increasing."""
    mark_texts: list[tuple[str, ...]]
    """How an answer may write each of them; the first is the usual way."""
    zero_s: float = 0.0
    """When the model's clock begins, on the clip's: with the first picture where M-RoPE carries the time, because
    positions begin at 0 whenever that is. Marks are written on the model's clock."""

    @property
    def mark_spellings(self) -> tuple[str, ...]:
        """How an answer usually writes each mark."""
        return tuple(texts[0] for texts in self.mark_texts)

    def stamp_pairs(self) -> list[dict[str, float | str]]:
        """What the checkpoint was told about each unit beside the truth, for an answer's JSON."""
        clock = {"clock_start_s": self.zero_s} if self.zero_s else {}
        return [
            {"stamp": stamp, "time_s": time_s, **clock}
            for stamp, time_s in zip(self.stamps, self.unit_times_s, strict=True)
        ]


def decimals(digits: int) -> Callable[[float], tuple[str, ...]]:
    """Spells seconds with so many digits behind the point."""
    return lambda time_s: (f"{time_s:.{digits}f}",)


def mean_time(first_s: float, last_s: float) -> str:
    """How Qwen3-VL names a unit: the mean of its first and last frame's times, in tenths."""
    return f"{(first_s + last_s) / 2:.1f}"


ASSISTANT = opened("assistant")
NON_THINKING: Pieces = (*ASSISTANT, Tag("<think>"), "\n\n", Tag("</think>"), "\n\n")
"""How Qwen3.5's template opens an answer without a thought."""
HELPFUL: Pieces = (*turn("system", "You are a helpful assistant."), *opened("user"))
"""How the templates of Qwen2-VL and Qwen2.5-VL begin where nobody wrote a system turn."""
TENTHS = decimals(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerForm:
    """The sentences that a checkpoint answers with: OPENING start TO end [NEXT start TO end ...] CLOSING, or a
    refusal."""

    opening: Pieces
    to: Pieces
    next: Pieces | None = None
    """None: one moment, never more."""
    closing: Pieces
    refusals: tuple[str, ...] = ()
    """Whole answers that say that nothing matches; empty where the checkpoint was never taught one."""
    lead: str = ""
    """Regular expression of what may stand before a free answer, such as a thought."""

    def pieces(self, moments: Sequence[tuple[str, str]]) -> Pieces:
        """The answer that names these (start, end) texts in the pieces that are tokenised one by one, times as Marks;
        the first refusal for none. Raises InputError where the checkpoint knows no refusal, or names one moment and
        has several."""
        if not moments:
            if not self.refusals:
                raise InputError("These answers know no refusal; name at least one moment.")
            return (self.refusals[0],)
        if len(moments) > 1 and self.next is None:
            raise InputError(f"These answers name one moment; got {len(moments)}.")
        pieces: Pieces = ()
        for start, end in moments:
            words = (self.next or ()) if pieces else self.opening
            pieces += (*words, Mark(start), *self.to, Mark(end))
        return (*pieces, *self.closing)

    def write(self, moments: Sequence[tuple[str, str]]) -> str:
        """The text of `pieces`."""
        return "".join(self.pieces(moments))

    def parse(self, text: str, timeline: Timeline, end_s: float) -> list[Moment]:
        """The moments that a free answer names, sorted and merged, [] for a refusal.

        A number that is written like a mark is that mark's true time; any other is on the model's clock. Raises
        AnswerError for every text that is not one whole sentence of this form, runs backwards or lies outside the
        video.
        """
        for refusal in self.refusals:
            if re.fullmatch(rf"\s*{self.lead}{re.escape(refusal)}\s*", text, re.DOTALL):
                return []
        pair = _NUMBER + _flexible(self.to) + _NUMBER
        more = f"(?:{_flexible(self.next)}{pair})*" if self.next else ""
        closing = re.sub(r"\\\.$", r"\\.?", _flexible(self.closing))  # a full stop may be missing at the end
        whole = rf"\s*{self.lead}{_flexible(self.opening)}(?P<pairs>{pair}{more}){closing}\s*"
        match = re.fullmatch(whole, text, re.DOTALL)
        if match is None:
            raise AnswerError(
                f"Not an answer: {text[-200:]!r}. It must read {self.write([('START', 'END')])!r}."
            )
        times = {
            spelling: time_s
            for texts, time_s in zip(reversed(timeline.mark_texts), reversed(timeline.marks_s), strict=True)
            for spelling in texts
        }
        moments = []
        for start, end in re.findall(pair, match["pairs"]):
            start_s, stop_s = (times.get(number, timeline.zero_s + float(number)) for number in (start, end))
            if start_s >= end_s or stop_s > end_s + END_TOLERANCE_S:
                own_end_s = end_s - timeline.zero_s
                raise AnswerError(
                    f"{start} to {end} lies outside the video, which ends at {own_end_s:.1f} s."
                )
            try:
                moments.append(Moment(start_s, min(stop_s, end_s)))
            except InputError as error:
                raise AnswerError(f"{error} The answer was {text[-200:]!r}.") from error
        return merge(moments)


def _flexible(pieces: Pieces | None) -> str:
    """A regular expression of the pieces in which a run of white space may be any, or none."""
    return r"\s*".join(re.escape(part) for part in re.split(r"\s+", "".join(pieces or ())))


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentPlan:
    """What the first of two passes sees of a long clip."""

    times_s: list[float]
    """Times to ask `video.sample(at=...)` for; two neighbours are a unit."""
    tower_px: tuple[int, int]
    """Height and width of the frames that the vision tower sees."""
    pooled_px: tuple[int, int]
    """Height and width in pixels that the pooled features of a unit stand for."""
    units_per_segment: int

    def edges_s(self, end_s: float) -> list[float]:
        """About where each segment begins, and the clip's end: exactly so at a constant rate."""
        step = 2 * self.units_per_segment
        starts = range(0, len(self.times_s), step)
        return [*((self.times_s[start] + self.times_s[start + 1]) / 2 for start in starts), end_s]


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstPass:
    """A look at a whole long clip in segments of pooled features, before the look at the window that it names."""

    over_s: float
    """A clip that is longer is looked at twice."""
    segment_s: float
    """Length of a segment while `fps` frames a second fit."""
    fps: float = 2.0
    factor_px: int
    tower_min_pixels: int
    """Of a frame, for the vision tower."""
    tower_max_pixels: int
    min_pixels: int
    """Of a unit's pooled features."""
    total_pixels: int
    """Of all pooled features."""
    most_units: int
    """Units of a clip while `fps` frames a second fit; fewer in proportion where fewer do."""
    turns: tuple[str, ...]
    """What the user says after the segments, with {query}; each after the first is a turn of its own."""
    answer: AnswerForm
    """A list of the segments' beginnings: it has no `to`."""

    def asked(self, protocol: "Protocol") -> "Protocol":
        """The protocol with the first pass's words and answers."""
        return replace(protocol, turns=self.turns, answer=self.answer)

    def is_for(self, info: "VideoInfo") -> bool:
        """Whether a probed clip is looked at twice."""
        return info.end_s - info.start_s > self.over_s

    def plan(self, info: "VideoInfo") -> SegmentPlan:
        """Frames, sizes and segments of a probed clip."""
        total, rate = info.frame_count, info.frame_count / (info.end_s - info.start_s)
        num_frames = max(2, round(int(total / rate * self.fps) / 2) * 2)
        high = max(min(self.tower_max_pixels, self.total_pixels / num_frames * 2), self.min_pixels)
        shape, factor = (info.height, info.width), self.factor_px
        tower = fit_pixels(*shape, factor=factor, low=self.tower_min_pixels, high=self.tower_max_pixels)
        pooled = fit_pixels(*shape, factor=factor, low=self.min_pixels, high=high)
        # as many frames as fit into the sum of all pooled features, none of them twice
        pixels = self.min_pixels if high == self.min_pixels else pooled[0] * pooled[1]
        count = max(2, min(self.total_pixels // pixels, total // 2) * 2)
        sampled_fps = count / total * rate
        indices = spread_indices(count, 0, total - 1)
        units = list(zip(indices[::2], indices[1::2], strict=True))
        most = max(1, int(self.most_units * sampled_fps / self.fps))
        if len(units) > most:
            units = [units[idx] for idx in spread_indices(most, 0, len(units) - 1)]
        return SegmentPlan(
            times_s=[display_middle_s(info, index) for unit in units for index in unit],
            tower_px=tower,
            pooled_px=pooled,
            units_per_segment=max(1, int(self.segment_s * sampled_fps / 2)),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Thinking:
    """Free text that the checkpoint writes before its answer."""

    opening: str = "<think>"
    closing: str = "</think>"
    glue: str = "\n"
    """Between the thought and the answer."""
    max_tokens: int = 512
    """Longest thought; the answer is asked for then."""

    @property
    def skipped(self) -> str:
        """What is fed where no thought is wanted: an empty one."""
        return f"{self.opening}\n{self.closing}{self.glue}"

    def is_over(self, thought: str) -> bool:
        """Whether the text behind `opening` has reached its end."""
        return self.closing in thought

    def runs_on(self, thought: str) -> bool:
        """Whether its last token reaches behind the closing tag and must be taken back: "><" is one token."""
        return bool(thought.partition(self.closing)[2].strip())

    def bridge(self, thought: str) -> str:
        """What is fed between the text behind `opening` and the answer. A tag that was cut off is completed."""
        if self.is_over(thought):
            return "" if thought[-1].isspace() else self.glue
        written = max(n for n in range(len(self.closing)) if thought.endswith(self.closing[:n]))
        return self.closing[written:] + self.glue


THOUGHT = r"(?:<think>(?:(?!</?think>).)*</think>\s*)?"
"""A whole thought, or none, before a free answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How one kind of checkpoint wants to be asked, and how it answers."""

    name: str
    title: str
    model_types: tuple[str, ...]
    """The families whose checkpoints speak it."""
    sampling: Sampling | None
    layout: Layout
    opening: Pieces
    """Before the first stamp: a system turn where there is one, and the beginning of the user's."""
    stamp: str = ""
    """The text before each unit, with {} for its time; empty: no text."""
    stamp_time: Callable[[float, float], str] = mean_time
    """From a unit's first and last frame times to what stands for {}."""
    lead: Pieces = ()
    """Between the video and the first of `turns`, tokenised apart from it."""
    turns: tuple[str, ...]
    """What the user says after the video, with {query}; each after the first is a turn of its own."""
    assistant: Pieces = ASSISTANT
    """How the answering turn begins."""
    self_opened: bool = False
    """Whether the checkpoint writes that beginning itself, so that the authors' prompt ends before it."""
    clean: Callable[[str], str] = clean_query
    """How a query is written into `turns`."""
    spell: Callable[[float], tuple[str, ...]] = TENTHS
    """How an answer may write a time."""
    marks: Literal["frames", "units"] = "frames"
    """Which times an answer may name: every frame's and the clip's end, or the stamps alone."""
    answer: AnswerForm
    thinking: Thinking | None = None
    chunks: Chunks | None = None
    """How a long clip is cut; None: it never is."""
    first_pass: FirstPass | None = None
    """How a long clip is looked at before the window that this look names; None: every clip is looked at once."""
    max_new_tokens: int = 256
    """Longest answer, without the thought."""
    sets: bool
    """Whether the checkpoint was trained to name several moments."""
    licence: str
    """Of the checkpoints."""
    source: str
    """Where the authors' words and numbers stand."""
    unverified: str = ""
    """What could not be checked against the authors' code, as a sentence for the page."""

    @property
    def refuses(self) -> bool:
        """Whether the checkpoint was taught to refuse; if not, refusing needs a calibration."""
        return bool(self.answer.refusals)

    def unsayable(self, num_moments: int) -> str | None:
        """Why no answer of this protocol names so many moments, for a list of rows; None where one does."""
        if num_moments == 0 and not self.refuses:
            return f"nothing matches, which {self.title}'s answers cannot say"
        if num_moments > 1 and self.answer.next is None:
            return f"several moments match, and {self.title}'s answers name one"
        return None

    def timeline(self, times_s: Iterable[float], end_s: float) -> Timeline:
        """The sampled frames at their presentation times, increasing, in a clip that ends at `end_s`."""
        times = [float(time_s) for time_s in times_s]
        if not times:
            raise InputError("A video without sampled frames cannot be asked. Sample at least one frame.")
        width = 1 if self.layout == "frames" else 2
        units = [tuple(min(k + j, len(times) - 1) for j in range(width)) for k in range(0, len(times), width)]
        unit_times = [(times[unit[0]] + times[unit[-1]]) / 2 for unit in units]
        named = [self.stamp_time(times[unit[0]], times[unit[-1]]) for unit in units]
        zero_s = times[0] if self.layout == "video" else 0.0
        marks: dict[tuple[str, ...], float] = {}  # times that are written alike are one
        if self.marks == "units":
            for text, time_s in zip(named, unit_times, strict=True):
                marks.setdefault((text,), time_s)
        else:
            for time_s in (*times, float(end_s)):
                marks.setdefault(self.spell(time_s - zero_s), time_s)
        if len(marks) == 1:  # no moment fits into one mark: the end is written as the next tenth
            marks.setdefault(self.spell(max(times[-1], float(end_s)) - zero_s + 0.1), float(end_s))
        return Timeline(
            units=units,
            unit_times_s=unit_times,
            stamps=[self.stamp.replace("{}", text) for text in named],
            closing="",
            marks_s=list(marks.values()),
            mark_texts=list(marks),
            zero_s=zero_s,
        )

    def question(self, query: str) -> Pieces:
        """What follows the context, up to where the answer (or the thought) begins. Raises InputError."""
        query = self.clean(clean_query(query))
        first, *more_turns = (text.replace("{query}", query) for text in self.turns)
        pieces: Pieces = (*self.lead, first, Token(IM_END), "\n")
        for text in more_turns:
            pieces += turn("user", text)
        return pieces + self.assistant

    def verification(self, query: str) -> Pieces:
        """The yes/no question behind the same context. Raises InputError."""
        text = VERIFICATION.replace("{query}", clean_query(query))
        return (text, Token(IM_END), "\n", *self.assistant)
