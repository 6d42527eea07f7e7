"""When each picture of a video is shown and how it lies: what the packets say, and arithmetic on it."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

NO_PTS = np.iinfo(np.int64).min
UPRIGHT = (1, 0, 0, 1)
UNSTATED_STAY_S = 0.04  # of a last picture whose length neither container nor rate tells
ROUNDING_S = 0.0021  # containers with a millisecond clock jitter by one of theirs on either side


Joint = tuple[int, float]
"""(position in the file at which a further recording begins, seconds to add to its clock)"""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFile:
    """One opened foreign file, as the child may use it."""

    path: str
    """A path that reopens the checked file."""
    name: str
    """The file's own name, for messages."""
    demuxer: str
    """The only demuxer that may parse it (libavformat's name, from the magic bytes)."""
    max_pixels: int
    """Largest picture, coded width times height."""
    max_side_px: int
    """Longest side of a picture."""
    max_packets: int = 6_000_000
    """More packets than this are refused: 240 pictures a second for nearly seven hours."""
    threads: int = 2
    """Decoder threads."""


@dataclass(slots=True)
class Oddities:
    """How many packets of the video are out of the ordinary."""

    discarded: int = 0
    """Cut away by an edit list."""
    undated: int = 0
    """Without a presentation time."""
    corrupt: int = 0
    """Marked as damaged by the demuxer."""
    soft_keys: int = 0
    """Marked as keys, yet decoding from them is whole only some pictures later (intra refresh)."""


@dataclass(kw_only=True, slots=True)
class PictureIndex:
    """What the container's packets say. Arrays have one entry per video packet, in file order."""

    container: str
    codec: str
    pixel_format: str
    stream: int
    """PictureIndex of the video stream in the container."""
    video_streams: int
    time_base: Fraction
    """Seconds per tick of `pts`."""
    zero_s: float
    """The player's zero on the container's clock."""
    pts: np.ndarray
    """Presentation time in ticks; NO_PTS where the container has none."""
    key: np.ndarray
    """Whether decoding can start at the packet."""
    shown: np.ndarray
    """Whether the packet's picture is shown: not cut by an edit list, not a hidden reference picture, dated."""
    referred: np.ndarray
    """Whether another picture may be predicted from the packet's."""
    last_duration: int
    """Ticks for which the last shown picture stays; 0 where the container does not say."""
    oddities: Oddities
    joints: tuple[Joint, ...] = ()
    """Where further recordings begin in a joined file; `pts` has their clocks added already."""
    out_of_order: bool
    """Whether shown times repeat or decoding times run backwards (damage)."""
    falls_back_s: float
    """The furthest that the decoding clock falls back from one packet to the next (joined recordings)."""
    header_end_s: float | None
    """Where the header says that the video track ends, on the player's clock."""
    fragmented: bool
    """Whether an MP4's samples are listed piece by piece (moof boxes)."""
    index_first: bool
    """Whether an MP4's index stands before its data."""
    states_length: bool = True
    """Whether the file says how long it is, which one that was written while it was sent does not, nor one whose header
    ends before its pictures do."""
    truncated: bool = False
    """Whether the container's structure goes beyond the file's end."""
    recordings: int = 1
    """Whole recordings one behind the other in a container of which a player reads the first."""
    audio_codec: str | None
    audio_end_s: float
    """Where the last audio packet ends on the player's clock; 0 without audio."""
    average_rate: Fraction | None
    coded_size: tuple[int, int]
    """Height and width of the coded pictures."""
    pixel_ratio: Fraction
    """Width of one coded sample over its height."""
    matrix: tuple[int, int, int, int] = UPRIGHT
    """Signs (a, b, c, d) of the display matrix: x' = a x + c y, y' = b x + d y."""
    plain_colour: bool = False
    """Whether the first picture states its colours as a normal copy does (`tempo_core.colour.is_plain`)."""
    timecode: str | None = None
    """Of the first picture, where the file has a timecode track."""
    notes: list[str] = field(default_factory=list)
    times_s: np.ndarray = field(init=False)
    """float64: shown times on the player's clock, sorted."""

    def __post_init__(self) -> None:
        self.times_s = self.seconds(np.sort(self.pts[self.shown]))

    def seconds(self, pts: Any) -> Any:
        """Ticks as seconds on the player's clock; the same arithmetic for one tick count and for an array."""
        return pts * (self.time_base.numerator / self.time_base.denominator) - self.zero_s

    @property
    def end_s(self) -> float:
        """Where the last shown picture ends; always after its start."""
        stay_s = self.last_duration * float(self.time_base)
        if stay_s <= 0:
            gaps = np.diff(self.times_s)
            gaps = gaps[gaps > 0]  # two pictures may carry one time
            # Gaps that vary say nothing about the last picture, which is then not made longer than it may be.
            stay_s = float(
                gaps.min(initial=UNSTATED_STAY_S if self.variable_rate or not len(gaps) else np.inf)
            )
        return float(self.times_s[-1]) + stay_s

    @property
    def turned(self) -> bool:
        """Whether the shown picture is the coded one turned by a quarter."""
        return self.matrix[0] == 0

    @property
    def shown_size(self) -> tuple[int, int]:
        """Height and width as a player shows them: square samples (never shrunk), turned upright."""
        height, width = self.coded_size
        if self.pixel_ratio >= 1:
            width = max(1, round(width * self.pixel_ratio))
        else:
            height = max(1, round(height / self.pixel_ratio))
        return (width, height) if self.turned else (height, width)

    @property
    def variable_rate(self) -> bool:
        """Whether the gaps between shown pictures differ by more than a clock's rounding."""
        gaps = np.diff(self.times_s)
        return bool(len(gaps)) and float(gaps.max() - gaps.min()) > ROUNDING_S + 2 * float(self.time_base)

    @property
    def frame_rate(self) -> Fraction | None:
        """Pictures per second (measured; the header's fraction where it agrees), None for one picture."""
        if len(self.times_s) < 2:
            return None
        measured = (len(self.times_s) - 1) / float(self.times_s[-1] - self.times_s[0])
        whole = Fraction(max(1, round(measured)))
        for usual in (self.average_rate, whole, whole * Fraction(1000, 1001)):
            if usual and abs(float(usual) / measured - 1) < 0.0005:
                return usual
        return Fraction(measured).limit_denominator(1001)

    @property
    def stands_in_order(self) -> bool:
        """Whether every packet is a shown picture, in the order shown, and keys stand alone: as our transcoder writes
        them."""
        in_order = self.shown.all() and (np.diff(self.pts) > 0).all()
        return bool(in_order and self.key[0] and not self.oddities.soft_keys and not self.fragmented)

    @property
    def key_gap_s(self) -> float:
        """The longest stretch between pictures at which decoding can start."""
        keys = np.sort(self.seconds(self.pts[self.key & self.shown]))
        return float(np.diff(np.append(keys, self.end_s)).max()) if len(keys) else self.end_s

    @property
    def is_cut_short(self) -> bool:
        """Whether the header promises clearly more pictures than the file holds."""
        promised_s = self.header_end_s
        return promised_s is not None and self.end_s < promised_s - max(1.0, 0.05 * promised_s)
