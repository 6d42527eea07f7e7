"""WebVTT: one cue a moment, so that any player shows the moments as captions or chapters.

A cue's id is `QID-N`, its text is the query, its times are whole milliseconds. A folder gets one file for each
video, named after it. A file holds nothing else: rows without moments are left out and counted. In files of other
tools the cues are grouped by id. Form: w3.org/TR/webvtt1.
"""

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from annotations.formats import fields
from annotations.formats.files import read_text, safe_name, split_of, vid_of_name
from annotations.formats.grouping import by_video
from annotations.formats.options import ExportFiles, ExportOptions, ReadOptions
from annotations.rows import Row, SourceLine
from tempo_core.errors import InputError
from tempo_core.metrics.rows import FieldError, Problem
from tempo_core.moments import Moment

SUFFIX = ".vtt"
_TIMING = re.compile(r"(?:(\d{2,}):)?([0-5]\d):([0-5]\d)\.(\d{3})")
_CUE_ID = re.compile(r"(.+)-\d+")


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows of a file, or of every .vtt file in a folder."""
    for file in sorted(path.glob("*.vtt")) if path.is_dir() else [path]:
        yield from _read_file(file, options)


def _read_file(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    content = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    if not re.match(r"WEBVTT(?:[ \t\n]|$)", content):
        raise InputError(f"{path.name} does not begin with WEBVTT, so it is no WebVTT file.")
    queries: dict[str, tuple[int, str, list[tuple[float, float]]]] = {}
    next_line = 1
    # The first part is the header; every second one is the empty lines between two blocks.
    for part_idx, part in enumerate(re.split(r"(\n{2,})", content)):
        line, next_line = next_line, next_line + part.count("\n")
        block = part.strip("\n")
        is_cue = "-->" in block or not block.startswith(("NOTE", "STYLE", "REGION"))
        if part_idx == 0 or not block or not is_cue:
            continue
        try:
            cue_id, window, query = _cue(block)
        except FieldError as error:
            yield Problem.of(error, path.name, line, raw=block)
            continue
        match = _CUE_ID.fullmatch(cue_id)
        qid = match[1] if match else cue_id or f"{path.stem}/{line}"
        queries.setdefault(qid, (line, query, []))[2].append(window)
    for qid, (line, query, windows) in queries.items():
        try:
            name, qid_is_int = fields.qid_of_text(qid)
            yield Row(
                qid=name,
                qid_is_int=qid_is_int,
                query=fields.text(query, "cue text"),
                vid=vid_of_name(path.stem),
                split=split_of(path, options),
                windows=fields.windows(windows, "cue"),
                origin=SourceLine(file=path.name, line=line),
            )
        except FieldError as error:
            yield Problem.of(error, path.name, line)


def _cue(block: str) -> tuple[str, tuple[float, float], str]:
    """A cue's id ("" if it has none), its window in seconds and its text."""
    lines = block.split("\n")
    cue_id = "" if "-->" in lines[0] else lines.pop(0)
    if not lines:
        raise FieldError("cue", block, "a cue needs a line with `START --> END`")
    start, _, rest = lines[0].partition("-->")
    # Settings may follow the end: `00:02.500 align:start`.
    start_ms, end_ms = _milliseconds(start.strip()), _milliseconds((rest.split() or [""])[0])
    if end_ms <= start_ms:
        raise FieldError("cue", lines[0], "a cue must end after it starts")
    return cue_id, (start_ms / 1000, end_ms / 1000), html.unescape("\n".join(lines[1:]))


def _milliseconds(stamp: str) -> int:
    match = _TIMING.fullmatch(stamp)
    if match is None:
        raise FieldError("cue", stamp, "must be a time such as 00:01:22.000")
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in match.groups())
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
