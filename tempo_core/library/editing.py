"""Moments of many clips for editing programs: an EDL (CMX 3600) and FCPXML 1.10, one shot after the other.

Boundaries are the frames that are shown then, counted at the clip's own rate; an end is the first frame that is not
shown, in both formats. The sequence has the rate of the first moment's clip (`sequence_rate`). Timecode counts frames:
at 29.97 and 59.94 frames a second drop-frame timecode leaves numbers out, never frames, so that it keeps up with the
clock (SMPTE 12M). Frames of a clip count from its timecode track where it has one, else from 00:00:00:00.

Sources: CMX 3600 as opentimelineio's adapter reads it; FCPXML as in Apple's document type definition 1.10.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree as ET

from tempo_core.errors import InputError
from tempo_core.moments import Moment
from tempo_core.video import VideoInfo

DROP_RATES = (Fraction(30_000, 1001), Fraction(60_000, 1001))
USUAL_RATES = (
    *(Fraction(24_000, 1001), Fraction(24), Fraction(25), Fraction(30_000, 1001), Fraction(30)),
    *(Fraction(50), Fraction(60_000, 1001), Fraction(60)),
)
"""Those that editing programs have sequences of."""
DEFAULT_RATE = Fraction(25)
"""Of a clip whose rate is not known."""
MAX_EVENTS = 999
"""An EDL numbers its events with three digits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """A moment of a clip as an editing program places it."""

    name: str
    """Of the clip."""
    path: Path
    moment: Moment
    note: str = ""
    rate: Fraction = DEFAULT_RATE
    """Frames a second of the clip."""
    duration_s: float
    """Of the clip."""
    width: int = 0
    height: int = 0
    has_audio: bool = False
    timecode: str | None = None
    """Of the clip's first frame; None: it begins with 00:00:00:00."""

    @classmethod
    def of(cls, name: str, moment: Moment, info: VideoInfo, note: str = "") -> "Shot":
        """The shot of a probed clip."""
        return cls(
            name=name,
            path=info.path.resolve(),
            moment=moment,
            note=note,
            rate=info.frame_rate or DEFAULT_RATE,
            duration_s=info.end_s,
            width=info.width,
            height=info.height,
            has_audio=info.audio_codec is not None,
            timecode=info.timecode,
        )

    def at(self, moment: Moment, note: str = "") -> "Shot":
        """Another moment of the same clip."""
        return replace(self, moment=moment, note=note)

    def frames(self, rate: Fraction) -> tuple[int, int]:
        """First frame, and the first behind the last, at a rate; at least one lies between. They count from the clip's
        own timecode."""
        zero = round(self.first_frame * rate / self.rate)
        start = round(Fraction(self.moment.start_s) * rate)
        return zero + start, zero + max(start + 1, round(Fraction(self.moment.end_s) * rate))

    @property
    def first_frame(self) -> int:
        """The number of the clip's first frame, by its timecode track."""
        return 0 if self.timecode is None else frame_of(self.timecode, self.rate)

    @property
    def is_drop(self) -> bool:
        """Whether the clip's own timecode leaves numbers out."""
        return ";" in (self.timecode or "") and self.rate in DROP_RATES


def timecode(frame: int, rate: Fraction, *, drop: bool = False) -> str:
    """HH:MM:SS:FF of a frame counted from 0, HH:MM:SS;FF with `drop`. Raises InputError for a rate that drops nothing.

    timecode(1800, Fraction(30000, 1001), drop=True) == "00:01:00;02"
    """
    nominal = -(-rate.numerator // rate.denominator)  # 24 for 23.976
    if drop:
        if rate not in DROP_RATES:
            raise InputError(
                f"Drop-frame timecode exists at 29.97 and 59.94 frames a second, not at {float(rate):g}."
            )
        # The first numbers of each minute are left out, but of every tenth minute.
        dropped = nominal // 15
        per_minute, per_ten = nominal * 60 - dropped, nominal * 600 - 9 * dropped
        tens, rest = divmod(frame, per_ten)
        minutes = max(0, (rest - dropped) // per_minute)
        frame += dropped * (9 * tens + minutes)
    seconds, frames = divmod(frame, nominal)
    digits = max(2, len(str(nominal - 1)))
    clock = f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{clock}{';' if drop else ':'}{frames:0{digits}d}"


def frame_of(text: str, rate: Fraction) -> int:
    """The frame that a timecode names, counted from 00:00:00:00; 0 for a text that is no timecode of this rate.

    frame_of("00:01:00;02", Fraction(30000, 1001)) == 1800
    """
    match = re.fullmatch(r"(\d\d):([0-5]\d):([0-5]\d)([:;.])(\d{2,3})", text)
    nominal = -(-rate.numerator // rate.denominator)
    if match is None or int(match[5]) >= nominal:
        return 0
    minutes = 60 * int(match[1]) + int(match[2])
    frame = (60 * minutes + int(match[3])) * nominal + int(match[5])
    is_drop = match[4] == ";" and rate in DROP_RATES
    return frame - nominal // 15 * (minutes - minutes // 10) * is_drop


def edl(shots: Sequence[Shot], title: str, *, drop: bool = False) -> str:
    """The shots as one CMX 3600 list, in their order. Raises InputError for more than 999 shots, for none, and for
    `drop` at a rate that has none."""
    rate = sequence_rate(shots)
    if len(shots) > MAX_EVENTS:
        raise InputError(
            f"An EDL holds {MAX_EVENTS} moments; there are {len(shots)}. Give fewer (--top), or write FCPXML."
        )
    lines = [f"TITLE: {_ascii(title)[:70]}", f"FCM: {'DROP FRAME' if drop else 'NON-DROP FRAME'}", ""]
    record = 0
    for number, shot in enumerate(shots, start=1):
        start, end = shot.frames(rate)
        times = [timecode(frame, rate, drop=drop) for frame in (start, end, record, record + end - start)]
        lines.append(f"{number:03d}  AX       V     C        {' '.join(times)}")
        lines.append(f"* FROM CLIP NAME: {_ascii(shot.name)}")
        if shot.note:
            lines.append(f"* COMMENT: {_ascii(shot.note)}")
        record += end - start
    return "\r\n".join([*lines, ""])


def fcpxml(shots: Sequence[Shot], title: str, *, drop: bool = False) -> str:
    """The shots as one FCPXML 1.10 project, in their order. Raises InputError for none, and for `drop` at a rate that
    has none."""
    rate = sequence_rate(shots)
    timecode(0, rate, drop=drop)
    tc_format = "DF" if drop else "NDF"
    title = _xml_text(title)
    root = ET.Element("fcpxml", version="1.10")
    resources = ET.SubElement(root, "resources")
    formats: dict[tuple[Fraction, int, int], str] = {}
    assets: dict[Path, str] = {}
    first = shots[0]
    sequence_shape = (rate, first.width, first.height)
    shapes = [sequence_shape, *((shot.rate, shot.width, shot.height) for shot in shots)]
    for shape, shot in zip(shapes, [None, *shots], strict=True):
        if shape not in formats:
            formats[shape] = f"r{len(formats) + len(assets) + 1}"
            ET.SubElement(
                resources,
                "format",
                id=formats[shape],
                frameDuration=_rational(1, shape[0]),
                width=str(shape[1]),
                height=str(shape[2]),
            )
        if shot is not None and shot.path not in assets:
            assets[shot.path] = f"r{len(formats) + len(assets) + 1}"
            n_frames = max(1, round(Fraction(shot.duration_s) * shot.rate))
            asset = ET.SubElement(
                resources,
                "asset",
                id=assets[shot.path],
                name=_xml_text(shot.name),
                start=_rational(shot.first_frame, shot.rate),
                duration=_rational(n_frames, shot.rate),
                hasVideo="1",
                format=formats[shape],
            )
            if shot.has_audio:
                asset.attrib |= {"hasAudio": "1", "audioSources": "1"}
            ET.SubElement(asset, "media-rep", kind="original-media", src=shot.path.as_uri())
    event = ET.SubElement(ET.SubElement(root, "library"), "event", name=title)
    sequence = ET.SubElement(
        ET.SubElement(event, "project", name=title),
        "sequence",
        format=formats[sequence_shape],
        tcStart="0s",
        tcFormat=tc_format,
    )
    spine = ET.SubElement(sequence, "spine")
    record = 0
    for shot in shots:
        # A clip begins at one of its own frames, and takes whole frames of the sequence.
        start, end = shot.frames(shot.rate)
        n_frames = max(1, round((end - start) * rate / shot.rate))
        clip = ET.SubElement(
            spine,
            "asset-clip",
            ref=assets[shot.path],
            name=_xml_text(shot.name),
            offset=_rational(record, rate),
            start=_rational(start, shot.rate),
            duration=_rational(n_frames, rate),
            tcFormat="DF" if shot.is_drop else "NDF",
        )
        if shot.note:
            ET.SubElement(clip, "note").text = _xml_text(shot.note)
        record += n_frames
    sequence.set("duration", _rational(record, rate))
    ET.indent(root, " ")
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{text}\n'


def sequence_rate(shots: Sequence[Shot]) -> Fraction:
    """The rate of the first shot where it is a usual one, else the first usual one that is a multiple of it, else 25.

    Raises InputError where there is no shot.
    """
    if not shots:
        raise InputError("There is no moment to write. Ask something that happens in the clips.")
    rate = shots[0].rate
    multiples = (usual for usual in USUAL_RATES if (usual / rate).denominator == 1)
    return rate if rate in USUAL_RATES else next(multiples, DEFAULT_RATE)


def _rational(frames: int, rate: Fraction) -> str:
    """So many frames as seconds, the way FCPXML writes them: 1001/30000s."""
    time = frames / rate
    return f"{time.numerator}s" if time.denominator == 1 else f"{time.numerator}/{time.denominator}s"


def _ascii(text: str) -> str:
    """One line without letters that old readers stumble over."""
    return " ".join(text.encode("ascii", "replace").decode().split())


def _xml_text(text: str) -> str:
    """The text without characters that XML cannot hold."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
