"""SubRip subtitles (.srt): each cue is a query of the video that the file is named after.

A cue is its number, `00:00:03,000 --> 00:00:06,000` (a point for the comma is read too) and lines of text up to the
next cue. Tags such as `<i>` and `{\\an8}` are for the looks. Form: matroska.org, "SRT Subtitles"; there is no standard.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from annotations.formats import fields
from annotations.formats.files import read_text, split_of, vid_of_name
from annotations.formats.options import Contents, Item, Omission, ReadOptions
from annotations.formats.webvtt import ARROW, TAG
from annotations.rows import Row, SourceLine
from tempo_core.metrics.rows import FieldError, Problem

_TIME = r"(\d{1,9}):(\d{1,2}):(\d{1,2})[,.](\d{1,3})"
TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}", re.ASCII)
_POSITION = re.compile(r"\{\\[^{}]*\}")


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order; cues are named by their place, as their numbers may repeat."""
    lines = read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    times_lines = [idx for idx, line in enumerate(lines) if ARROW in line]
    taken_count = 0
    before = lines[: times_lines[0]] if times_lines else lines
    if text := " ".join(line for line in before if line.strip() and not line.strip().isdecimal()):
        yield Omission(
            file=path.name, place="the lines before the first cue", reason=f"{text[:60]!r} is no cue"
        )
    for number, idx in enumerate(times_lines, start=1):
        end_idx = times_lines[number] if number < len(times_lines) else len(lines)
        text_lines = lines[idx + 1 : end_idx]
        # The last line before the next times is that cue's number.
        if number < len(times_lines) and text_lines and text_lines[-1].strip().isdecimal():
            del text_lines[-1]
        text = _POSITION.sub("", TAG.sub("", "\n".join(text_lines))).strip()
        place = f"cue {number} (line {idx + 1})"
        try:
            match = TIMES.match(lines[idx])
            if match is None:
                raise FieldError("cue", lines[idx], "must be two times such as 00:01:22,000 --> 00:01:24,500")
            edges = [_seconds(match.groups()[:4]), _seconds(match.groups()[4:])]
            yield Row(
                qid=f"{path.stem}/{number}",
                query=fields.text(text, "cue text"),
                vid=vid_of_name(path.stem),
                split=split_of(path, options),
                windows=(fields.window(edges, "cue", mending=options.mending),),
                origin=SourceLine(file=path.name, line=idx + 1, place=place),
            )
            taken_count += 1
        except FieldError as error:
            raw = "\n".join(lines[idx:end_idx])
            yield Problem.of(error, path.name, idx + 1, place=place, raw=raw)
    yield Contents(unit="cues", held=len(times_lines), taken=taken_count)


def _seconds(parts: tuple[str, ...]) -> float:
    hours, minutes, seconds = map(int, parts[:3])
    return (hours * 60 + minutes) * 60 + seconds + int(parts[3].ljust(3, "0")) / 1000
