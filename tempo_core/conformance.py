"""Whether a checkpoint is told the truth about a file: every stamp against the presentation time of its pixels.

    report = check_file("clip.mp4", protocol_named("timelens_8b"))

Each sampled frame is asked for once more at the very time that came back with it: another time, or another picture,
means that the two did not belong together. Then each stamp is read back as text and held against the true time of its
unit. Protocols that write no stamps are told the time by M-RoPE positions: what each says is held against the first
frame of its unit, and every time that an answer may name against the frame that it stands for.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tempo_core.errors import InputError
from tempo_core.protocols.base import Protocol, Timeline
from tempo_core.sampling import round_step_s
from tempo_core.video import SampledVideo, VideoInfo, probe, sample, without_twins

ROUNDING_S = 0.05 + 1e-6
"""A stamp in tenths is off by half a tenth at most, UniTime's by a whole one: it rounds twice."""
READ_AGAIN_PIXELS = 64 * 64


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeReport:
    """What one file's checkpoint was told, beside the truth."""

    file: str
    protocol: str
    n_frames: int
    allowed_s: float
    """Half a displayed frame, or half a tenth where that is more; a whole step of positions where these tell the
    time, because they are rounded down."""
    largest_gap_s: float
    """Between a stamp, or a position, and its unit's true time."""
    pairs: tuple[dict[str, float | str], ...]
    """Stamp text, true time in seconds, and the sha256 of the unit's pixels, for every unit; where there is no stamp,
    `told_s` is what its position says on the clip's clock, of the first frame at `begins_s`."""
    problems: tuple[str, ...]
    refusal: str = ""
    """Why the protocol does not take these frames at all: its stamps could not tell them apart."""

    @property
    def conforms(self) -> bool:
        return not self.problems and not self.refusal

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        names = ("file", "protocol", "n_frames", "allowed_s", "largest_gap_s", "conforms")
        return {name: getattr(self, name) for name in names} | {
            "pairs": list(self.pairs),
            "problems": list(self.problems),
            "refusal": self.refusal,
        }


def check_file(path: str | Path, protocol: Protocol, *, max_frames: int = 64) -> TimeReport:
    """`check_protocols` for one protocol."""
    return check_protocols(path, [protocol], max_frames=max_frames)[0]


def check_protocols(
    path: str | Path, protocols: Sequence[Protocol], *, max_frames: int = 64
) -> list[TimeReport]:
    """Sample a file as each protocol does (at most `max_frames` small frames) and hold its stamps against the truth.

    The file is read twice, whatever the number of protocols. Raises VideoError for files that cannot be read
    truthfully.
    """
    info = probe(path)
    protocol_times = [wanted_times(info, protocol, max_frames) for protocol in protocols]
    every = sample(
        path,
        at=sorted({time_s for times in protocol_times for time_s in times}),
        max_pixels=READ_AGAIN_PIXELS,
    )
    again = sample(path, at=every.times_s.tolist(), max_pixels=READ_AGAIN_PIXELS)
    problems = []
    if not np.array_equal(every.times_s, again.times_s):
        problems.append("A frame that is asked for at its own time comes back with another.")
    elif not np.array_equal(every.frames, again.frames):
        problems.append("A frame that is asked for at its own time comes back as another picture.")
    reports = []
    for protocol, times in zip(protocols, protocol_times, strict=True):
        # Of all sampled frames, those that are on screen at this protocol's times.
        idx = np.unique(np.searchsorted(every.times_s, times, side="right").clip(1) - 1)
        video = replace(every, times_s=every.times_s[idx], frames=every.frames[idx])
        if protocol.sampling is None:
            video = without_twins(video)
        reports.append(_report(Path(path).name, info, video, protocol, problems))
    return reports


def _report(
    name: str, info: VideoInfo, video: SampledVideo, protocol: Protocol, problems: Sequence[str]
) -> TimeReport:
    """A protocol's stamps beside the frames' own times."""
    rounding_s = ROUNDING_S * (2 if protocol.marks == "units" else 1)
    allowed_s = max((info.end_s - info.start_s) / info.frame_count / 2, rounding_s)
    gaps: list[float] = []
    pairs: list[dict[str, float | str]] = []
    problems, refusal = list(problems), ""
    try:
        timeline = protocol.timeline(video.times_s.tolist(), video.end_s)
    except InputError as error:
        refusal = str(error)
    else:
        position_records = [dict[str, float]() for _ in timeline.units]
        if protocol.layout == "video":
            begin_times = [float(video.times_s[unit[0]]) for unit in timeline.units]
            positions_s, step_s = position_times(protocol, timeline, begin_times)
            position_records = [
                {"told_s": position_s, "begins_s": begin_s}
                for position_s, begin_s in zip(positions_s, begin_times, strict=True)
            ]
            gaps = [abs(record["told_s"] - record["begins_s"]) for record in position_records]
            allowed_s = max(allowed_s, step_s)
            problems += _gap_problems(
                "positions", map("{:.3f} s".format, positions_s), begin_times, gaps, allowed_s
            )
            spellings = timeline.mark_spellings[:-1]  # the clip's end may be written as the next tenth
            spelt_times = [timeline.zero_s + float(spelling) for spelling in spellings]
            spelling_gaps = [abs(a - b) for a, b in zip(spelt_times, timeline.marks_s, strict=False)]
            problems += _gap_problems(
                "times of answers", spellings, timeline.marks_s, spelling_gaps, ROUNDING_S
            )
        else:
            gaps = stamp_gaps(timeline)
            stamps = map(repr, timeline.stamps)
            problems += _gap_problems("stamps", stamps, timeline.unit_times_s, gaps, allowed_s)
        pairs = [
            {**pair, **record, "sha256": unit_hash(video, unit)}
            for pair, record, unit in zip(
                timeline.stamp_pairs(), position_records, timeline.units, strict=True
            )
        ]
    return TimeReport(
        file=name,
        protocol=protocol.name,
        n_frames=len(video.times_s),
        allowed_s=allowed_s,
        largest_gap_s=max(gaps, default=0.0),
        pairs=tuple(pairs),
        problems=tuple(problems),
        refusal=refusal,
    )


def _gap_problems(
    what: str, texts: Iterable[str], true_times: Sequence[float], gaps: Sequence[float], allowed_s: float
) -> list[str]:
    """The sentence on what is told farther from the truth than it may be; none where nothing is."""
    late = [idx for idx, gap_s in enumerate(gaps) if gap_s > allowed_s]
    if not late:
        return []
    first = next(itertools.islice(texts, late[0], None))
    return [f"{len(late)} {what} are off; the first is {first} for pixels of {true_times[late[0]]:.3f} s."]


def position_times(
    protocol: Protocol, timeline: Timeline, begin_times: Sequence[float]
) -> tuple[list[float], float]:
    """What the M-RoPE positions of units that begin at these times say on the clip's clock, and the seconds of one
    step, as the published checkpoints of the protocol's family count."""
    from tempo_core.families import family_named

    family = family_named(protocol.model_types[0])
    config = family.published_config(next(iter(family.published)))
    step_s = family.position_step_s(config)
    if step_s is None:
        raise InputError(
            f"The protocol {protocol.name!r} writes no stamps, and {family.title} counts no time."
        )
    positions = family.temporal_positions(config, begin_times)
    return [timeline.zero_s + position * step_s for position in positions], step_s


def wanted_times(info: VideoInfo, protocol: Protocol, max_frames: int) -> list[float]:
    """The times to sample a file at, as the protocol does, thinned to `max_frames`."""
    if max_frames < 1:
        raise InputError(f"At least one frame must be sampled; got max_frames={max_frames}. Give 1 or more.")
    if protocol.sampling is not None:
        times = protocol.sampling.plan(info).times_s
    else:
        step_s = round_step_s(info.duration_s, max_frames)
        times = [k * step_s for k in range(max_frames) if k * step_s < info.end_s]
    return times[:: -(-len(times) // max_frames)]


def stamp_gaps(timeline: Timeline) -> list[float]:
    """Seconds between each stamp, read back as text, and its unit's true time; none where there are no stamps."""
    gaps = []
    for stamp, time_s in zip(timeline.stamps, timeline.unit_times_s, strict=True):
        if number := re.search(r"\d+(?:\.\d+)?", stamp):
            gaps.append(abs(float(number[0]) - time_s))
    return gaps


def unit_hash(video: SampledVideo, unit: tuple[int, ...]) -> str:
    """A sha256 in hex of a unit's frames."""
    return hashlib.sha256(np.ascontiguousarray(video.frames[list(unit)]).tobytes()).hexdigest()
