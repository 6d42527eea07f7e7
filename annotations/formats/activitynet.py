"""ActivityNet Captions' JSON: {vid: {"duration", "timestamps": [[s, e]], "sentences": [..]}}.

The arrays run parallel. A further one, `qids`, which other readers ignore, keeps query ids and says which
entries are one query. The form has no refusals. Spaces around sentences are kept as given (11,639 sentences
of val_1 have some).
Form: activity-net.org's captions release.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.entries import Entry, by_video, joined, rows_of
from annotations.formats.files import read_text
from annotations.formats.jsonl import loads, pairs, plain, split_of
from annotations.formats.options import ExportFiles, ExportOptions, FieldError, Problem, ReadOptions
from annotations.rows import Row
from tempo_core.errors import InputError

TIMES, SENTENCES = "timestamps", "sentences"


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows in the file's order; item numbers count the videos from 1."""
    return read_parallel(path, options, times=TIMES, sentences=SENTENCES)


def read_parallel(path: Path, options: ReadOptions, *, times: str, sentences: str) -> Iterator[Row | Problem]:
    """Rows of {vid: {duration, TIMES, SENTENCES[, qids]}}."""
    videos = fields.mapping(loads(read_text(path)), "file")
    entries: list[Entry] = []
    for item, (vid, video) in enumerate(videos.items(), start=1):
        try:
            entries += _entries(item, fields.text(vid, "vid"), fields.mapping(video, vid), times, sentences)
        except FieldError as error:
            yield Problem.of(error, path.name, item, json.dumps({vid: video}))
    yield from rows_of(joined(entries, options), path.name, split_of(path, options))


def _entries(item: int, vid: str, video: dict[str, Any], times: str, sentences: str) -> list[Entry]:
    duration = fields.duration_s(fields.required(video, "duration"))
    spans = fields.sequence(fields.required(video, times), times)
    texts = fields.sequence(fields.required(video, sentences), sentences)
    ids = fields.sequence(video.get("qids", [None] * len(spans)), "qids")
    if not len(spans) == len(texts) == len(ids):
        raise FieldError(
            vid, (len(spans), len(texts), len(ids)), f"{times}, {sentences} and qids must be as many"
        )
    return [
        Entry(
            line=item,
            vid=vid,
            query=fields.text(text, sentences),
            duration_s=duration,
            window=fields.window(span, times, duration),
            qid=None if qid is None else fields.qid(qid),
        )
        for span, text, qid in zip(spans, texts, ids, strict=True)
    ]


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without moments or without a duration."""
    if not row.windows:
        raise FieldError("windows", row.windows, "the format has no entry for a query without moments")
    if row.duration_s is None:
        raise FieldError("duration", None, "the format needs the video's duration in seconds")


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file."""
    return write_parallel(rows, path, times=TIMES, sentences=SENTENCES)


def write_parallel(rows: Sequence[Row], path: Path, *, times: str, sentences: str) -> ExportFiles:
    """{vid: {duration, TIMES, SENTENCES, qids}}; made-up ids (`VID/N` in place) are left out."""
    videos = by_video(rows)
    for vid, queries in videos.items():
        stated = {row.duration_s for row in queries}
        if len(stated) > 1:
            raise InputError(
                f"Video {vid!r} has rows with durations {sorted(stated, key=str)}; the format holds one."
            )
    content = {vid: _video(queries, times, sentences) for vid, queries in videos.items()}
    return ExportFiles(files={path: json.dumps(content).encode("ascii")}, counts={"videos": len(videos)})


def _video(rows: Sequence[Row], times: str, sentences: str) -> dict[str, Any]:
    repeated = [(row, window) for row in rows for window in row.windows or ()]
    video: dict[str, Any] = {
        "duration": plain(rows[0].duration_s or 0.0),
        times: pairs(tuple(window for _, window in repeated)),
        sentences: [row.query for row, _ in repeated],
    }
    if not all(_is_made_up(row, place) for place, row in enumerate(rows)) or _would_join(rows):
        video["qids"] = [row.qid_value for row, _ in repeated]
    return video


def _is_made_up(row: Row, place: int) -> bool:
    return not row.qid_is_int and row.qid == f"{row.vid}/{place}"


def _would_join(rows: Sequence[Row]) -> bool:
    """Whether reading without ids could take two rows for one, or one for two."""
    return any(before.query == after.query for before, after in itertools.pairwise(rows))
