"""WebVTT: one cue a moment, so that any player shows the moments as captions or chapters.

A cue's id is `QID-N`, its text is the query, its times are whole milliseconds. A folder gets one file for each
video, named after it. A file holds nothing else: rows without moments are left out and counted. Files are read as
browsers read them (w3.org/TR/webvtt1, section 6: the parser and the cue text's tags), but where a browser passes over
a cue in silence, it is named. In files of other tools each cue is a query.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotations.formats import fields
from annotations.formats.files import read_text, safe_name, split_of, vid_of_name
from annotations.formats.grouping import by_video
from annotations.formats.options import Contents, ExportFiles, ExportOptions, Item, Omission, ReadOptions
from annotations.rows import Row, SourceLine
from tempo_core.errors import InputError
from tempo_core.metrics.rows import FieldError, Problem
from tempo_core.moments import Moment

SUFFIX = ".vtt"
ARROW = "-->"
_TIME = r"(?:(\d{1,9}):)?([0-5]\d):([0-5]\d)\.(\d{3})(?!\d)"
_TIMES = re.compile(rf"[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}", re.ASCII)
_CUE_ID = re.compile(r"(.+)-([1-9]\d*)", re.DOTALL)
_NO_CUE = re.compile(r"(?:NOTE|STYLE|REGION)(?:[ \t]|$)")
TAG = re.compile(r"<[^<>]*>")
_OFFSET = re.compile(r"^X-TIMESTAMP-MAP=.*", re.MULTILINE)
"""In the files of HLS."""
_VOICE = re.compile(r"<v[.\s][^<>]*>")


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines up to an empty one, or up to the times of the next cue."""

    line: int
    """The number of its first line, from 1."""
    lines: list[str]
    times_idx: int | None
    """Which of its lines has the times; None: it is no cue."""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class _Cue:
    """A cue with its place in the file."""

    number: int
    """Among the file's cues, from 1."""
    line: int
    id: str
    """Empty where it has none."""
    window: tuple[float, float]
    text: str

    @property
    def place(self) -> str:
        return _place(self.number, self.line)


def _place(number: int, line: int) -> str:
    return f"cue {number} (line {line})"


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows of a file, or of every .vtt file in a folder."""
    for file in sorted(path.glob("*.vtt")) if path.is_dir() else [path]:
        yield from _read_file(file, options)


def _read_file(path: Path, options: ReadOptions) -> Iterator[Item]:
    content = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    if not re.match(r"WEBVTT(?:[ \t\n]|$)", content):
        raise InputError(f"{path.name} does not begin with WEBVTT, so it is no WebVTT file.")
    header, *_ = content.split("\n\n", 1)
    if offset := _OFFSET.search(header):
        reason = "places the cues in a broadcast's stream; their times are read as those of the clip"
        yield Omission(file=path.name, place=offset[0], reason=reason)
    cues: list[_Cue] = []
    cue_count = note_count = voice_count = 0
    for block in _blocks(content.split("\n")):
        if block.times_idx is None and (not block.text.strip() or _NO_CUE.match(block.lines[0])):
            note_count += block.lines[0].startswith("NOTE")
            continue
        cue_count += 1
        try:
            cue = _cue(block, cue_count, options)
        except FieldError as error:
            place = _place(cue_count, block.line)
            yield Problem.of(error, path.name, block.line, place=place, raw=block.text)
            continue
        voice_count += bool(_VOICE.search(block.text))
        cues.append(cue)

    # Exports of ours number the moments of a query: `QID-1`, `QID-2`, all with its text.
    stems: dict[str, list[_Cue]] = {}
    for cue in cues:
        if match := _CUE_ID.fullmatch(cue.id):
            stems.setdefault(match[1], []).append(cue)
    exported = {
        stem
        for stem, group in stems.items()
        if [cue.id for cue in group] == [f"{stem}-{number}" for number in range(1, len(group) + 1)]
        and len({cue.text for cue in group}) == 1
    }
    queries: dict[str, list[_Cue]] = {}
    for cue in cues:
        match = _CUE_ID.fullmatch(cue.id)
        if match and match[1] in exported:
            queries.setdefault(match[1], []).append(cue)
        else:
            # Ids may repeat in files of other tools; a line does not.
            repeated = not cue.id or cue.id in queries or cue.id in exported
            queries[f"{path.stem}/{cue.line}" if repeated else cue.id] = [cue]

    taken_count = 0
    for qid, group in queries.items():
        first = group[0]
        try:
            name, qid_is_int = fields.qid_of_text(qid)
            yield Row(
                qid=name,
                qid_is_int=qid_is_int,
                query=fields.text(first.text, "cue text"),
                vid=vid_of_name(path.stem),
                split=split_of(path, options),
                windows=fields.windows([cue.window for cue in group], "cue", mending=options.mending),
                origin=SourceLine(file=path.name, line=first.line, place=first.place),
            )
            taken_count += len(group)
        except FieldError as error:
            yield Problem.of(error, path.name, first.line, place=first.place)
    yield Contents(unit="cues", held=cue_count, taken=taken_count)
    for count, name, reason in (
        (note_count, "NOTE blocks", "comments are no moments"),
        (voice_count, "cues with a <v NAME> tag", "the text is read, who speaks it is not"),
    ):
        if count:
            yield Omission(file=path.name, place=f"{count} {name}", reason=reason)


def _blocks(lines: Sequence[str]) -> Iterator[_Block]:
    """The file's blocks after its header, by the rules of "collect a WebVTT block".

    Times stand in a block's first or second line. A later line with an arrow begins the next block, also where the
    empty line before it is missing.
    """
    # The header: up to an empty line or to times.
    idx = 1
    while idx < len(lines) and lines[idx] and ARROW not in lines[idx]:
        idx += 1
    while idx < len(lines):
        if not lines[idx]:
            idx += 1
            continue
        start_idx, times_idx = idx, None
        while idx < len(lines) and lines[idx]:
            if ARROW in lines[idx]:
                if times_idx is not None or idx - start_idx > 1:
                    break
                times_idx = idx - start_idx
            idx += 1
        yield _Block(start_idx + 1, list(lines[start_idx:idx]), times_idx)


def _cue(block: _Block, number: int, options: ReadOptions) -> _Cue:
    """Raises FieldError for a block without times, or with times that no cue can have."""
    if block.times_idx is None:
        raise FieldError("cue", block.text, "a cue needs a line with `START --> END`")
    times = block.lines[block.times_idx]
    match = _TIMES.match(times)
    if match is None:
        raise FieldError("cue", times, "must be two times such as 00:01:22.000 --> 00:01:24.500")
    start_ms, end_ms = _milliseconds(match.groups()[:4]), _milliseconds(match.groups()[4:])
    window = fields.in_order((start_ms / 1000, end_ms / 1000), options.mending)
    if window is None:
        raise FieldError("cue", times, "a cue must end after it starts")
    lines = block.lines[block.times_idx + 1 :]
    while lines and not lines[0].strip():
        del lines[0]
    while lines and not lines[-1].strip():
        del lines[-1]
    return _Cue(
        number=number,
        line=block.line,
        id=block.lines[0] if block.times_idx and block.lines[0].strip() else "",
        window=window,
        text=html.unescape(TAG.sub("", "\n".join(lines))),
    )


def _milliseconds(parts: Sequence[str | None]) -> int:
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in parts)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a query id that a cue cannot have."""
    if re.search(r"[\r\n]|-->", row.qid):
        raise FieldError("qid", row.qid, "a cue's id is one line without an arrow (-->)")


def left_out(row: Row) -> str | None:
    """Why a row has no cue, or None."""
    return None if row.verdict == "moments" else fields.LEFT_OUT[row.verdict]


def losses(row: Row, path: Path, options: ExportOptions) -> Iterator[str]:
    """The video's id is read from the file's name."""
    if path.suffix == SUFFIX and path.stem != safe_name(row.vid):
        yield "vid"


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """A path that ends in .vtt takes the rows of one video; a folder gets one file for each."""
    videos = by_video(rows)
    if path.suffix == SUFFIX and len(videos) > 1:
        raise InputError(f"{path.name} would hold {len(videos)} videos; cues belong to one. Give a folder.")
    files = {}
    for vid, video_rows in videos.items():
        blocks = ["WEBVTT"]
        for row in video_rows:
            # A line break as a character reference: an empty line would end the cue.
            query = html.escape(row.query, quote=False).replace("\r", "&#13;").replace("\n", "&#10;")
            for number, window in enumerate(row.windows or (), start=1):
                start, end = (_stamp(edge_ms) for edge_ms in Moment(*window).to_ms())
                blocks.append(f"{row.qid}-{number}\n{start} --> {end}\n{query}")
        file = path if path.suffix == SUFFIX else path / f"{safe_name(vid)}{SUFFIX}"
        files[file] = "".join(f"{block}\n\n" for block in blocks).encode("utf-8")
    return ExportFiles(files=files, counts={"videos": len(videos)})


def _stamp(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{milliseconds:03d}"
