"""ActivityNet Captions' JSON: {vid: {"duration", "timestamps": [[s, e]], "sentences": [..]}}.

The arrays run parallel. A further one, `qids`, which other readers ignore, keeps query ids and says which
entries are one query. The form has no refusals. Spaces around sentences are kept as given (11,639 sentences
of val_1 have some).
Form: activity-net.org's captions release.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import read_text, split_of
from annotations.formats.grouping import Entry, by_video, rows_of
from annotations.formats.jsonl import pairs, plain
from annotations.formats.options import Contents, ExportFiles, ExportOptions, Item, ReadOptions
from annotations.formats.records import unread_fields
from annotations.rows import Row
from tempo_core.errors import InputError
from tempo_core.metrics.rows import FieldError, Problem

TIMES, SENTENCES = "timestamps", "sentences"


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order; a bad moment is named by its video and its place there."""
    return read_parallel(path, options, times=TIMES, sentences=SENTENCES)


def read_parallel(path: Path, options: ReadOptions, *, times: str, sentences: str) -> Iterator[Item]:
    """Rows of {vid: {duration, TIMES, SENTENCES[, qids]}}."""
    videos = fields.mapping(fields.parse_json(read_text(path)), "file")
    entries: list[Entry] = []
    unread: Counter[str] = Counter()
    held_count = 0
    for item, (vid, value) in enumerate(videos.items(), start=1):
        place = f"video {vid}"
        try:
            video = fields.mapping(value, fields.text(vid, "vid"))
            duration = fields.duration_s(fields.required(video, "duration"))
            spans = fields.sequence(fields.required(video, times), times)
            texts = fields.sequence(fields.required(video, sentences), sentences)
            qids = fields.sequence(video.get("qids", [None] * len(spans)), "qids")
            lengths = (len(spans), len(texts), len(qids))
            if len(set(lengths)) > 1:
                raise FieldError(vid, lengths, f"{times}, {sentences} and qids must be as many")
        except FieldError as error:
            yield Problem.of(error, path.name, item, place=place, raw=json.dumps({vid: value}))
            continue
        unread.update(key for key in video if key not in ("duration", times, sentences, "qids"))
        held_count += len(spans)
        for idx, (span, text, qid) in enumerate(zip(spans, texts, qids, strict=True)):
            place = f"video {vid}, {times}[{idx}]"
            try:
                entries.append(
                    Entry(
                        line=item,
                        place=place,
                        vid=vid,
                        query=fields.text(text, sentences),
                        duration_s=duration,
                        window=fields.window(span, times, duration, options.mending),
                        qid=None if qid is None else fields.qid(qid),
                    )
                )
            except FieldError as error:
                yield Problem.of(error, path.name, item, place=place, raw=json.dumps({vid: value}))
    yield from unread_fields(path.name, unread)
    yield Contents(unit="moments", held=held_count, taken=len(entries))
    yield from rows_of(entries, options, path.name, split_of(path, options))


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
    videos: dict[str, dict[str, Any]] = {}
    for vid, video_rows in by_video(rows).items():
        durations = {row.duration_s for row in video_rows}
        if len(durations) > 1:
            raise InputError(
                f"Video {vid!r} has rows with durations {sorted(durations, key=str)}; the format holds one."
            )
        entries = [(row, window) for row in video_rows for window in row.windows or ()]
        videos[vid] = {
            "duration": plain(video_rows[0].duration_s or 0.0),
            times: pairs(tuple(window for _, window in entries)),
            sentences: [row.query for row, _ in entries],
        }
        # Without ids, a reader would take neighbours that repeat a sentence for one query.
        has_own_ids = [row.qid_value for row in video_rows] != [f"{vid}/{n}" for n in range(len(video_rows))]
        if has_own_ids or any(first.query == second.query for first, second in pairwise(video_rows)):
            videos[vid]["qids"] = [row.qid_value for row, _ in entries]
    return ExportFiles(files={path: json.dumps(videos).encode("ascii")}, counts={"videos": len(videos)})
