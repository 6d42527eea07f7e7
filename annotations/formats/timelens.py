"""TimeLens: the benchmark's JSON ({vid: {"duration", "spans", "queries"}}) and the 100K set's JSON lines.

A path that ends in .jsonl is the second: {"source", "video_path", "duration", "events": [{"query", "span"}]},
where an event has any number of spans. TimeLens2's lines may have `query` and `span` in place of events, and no source;
TimeLens' loader needs `source`, so it is written always. `qid` beside an event's fields, and `vid` beside a video's
where the path does not say it, keep what the form lacks; other readers ignore them. Form: TencentARC/TimeLens,
MCG-NJU/TimeLens2 (grpo/README).
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from annotations.formats import activitynet, fields
from annotations.formats.files import json_lines, split_of
from annotations.formats.jsonl import pairs, plain, read_lines
from annotations.formats.options import ExportFiles, ExportOptions, Item, ReadOptions
from annotations.rows import Row, SourceLine, Split
from tempo_core.metrics.rows import FieldError, Problem

SPANS, QUERIES = "spans", "queries"
SOURCE = "tempo-studio"
"""The source of rows that do not say theirs."""
KNOWN_OF_VIDEO = ("vid", "duration", "events")
KNOWN_OF_EVENT = ("qid", "query", "span")


def _is_lines(path: Path) -> bool:
    return path.suffix == ".jsonl"


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order. Without ids an event is `VID/N`, N counting the video's events from 0."""
    if not _is_lines(path):
        yield from activitynet.read_parallel(path, options, times=SPANS, sentences=QUERIES)
        return
    split = split_of(path, options)
    lines_of_video: Counter[str] = Counter()
    for rows in read_lines(
        path, lambda values, _, origin: _rows(values, split, origin, options.mending, lines_of_video)
    ):
        yield from [rows] if isinstance(rows, Problem) else rows


def _rows(
    video: dict[str, Any],
    split: Split,
    origin: SourceLine,
    mending: fields.Mending | None,
    lines_of_video: Counter[str],
) -> list[Row]:
    path = fields.text(fields.required(video, "video_path"), "video_path")
    vid = fields.text(video.get("vid", PurePosixPath(path).stem), "vid")
    duration = fields.duration_s(fields.required(video, "duration"))
    video_extra = {name: value for name, value in video.items() if name not in KNOWN_OF_VIDEO}
    if path == f"{vid}.mp4":
        del video_extra["video_path"]
    if video_extra.get("source") == SOURCE:
        del video_extra["source"]
    first_place = 0
    if "events" in video:
        events = fields.sequence(video["events"], "events")
    else:
        # One query a line, TimeLens2's form: a video may have several.
        first_place = lines_of_video[vid]
        lines_of_video[vid] += 1
        events = [{name: video_extra.pop(name) for name in KNOWN_OF_EVENT if name in video_extra}]
    rows = []
    for place, item in enumerate(events, start=first_place):
        event = fields.mapping(item, "events")
        qid, qid_is_int = fields.qid(event.get("qid", f"{vid}/{place}"))
        event_extra = {name: value for name, value in event.items() if name not in KNOWN_OF_EVENT}
        rows.append(
            Row(
                qid=qid,
                qid_is_int=qid_is_int,
                query=fields.text(fields.required(event, "query"), "query"),
                vid=vid,
                duration_s=duration,
                split=split,
                windows=fields.windows(fields.required(event, "span"), "span", duration, mending),
                extra={**video_extra, "event": event_extra} if event_extra else video_extra,
                origin=origin,
            )
        )
    return rows


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without ground truth or duration (the benchmark: or without moments)."""
    if row.windows is None:
        raise FieldError("windows", None, "TimeLens has no entry for a query without ground truth")
    if not row.windows and not _is_lines(path):
        rule = "the benchmark's JSON has no entry for a query without moments"
        raise FieldError("windows", row.windows, rule)
    if row.duration_s is None:
        raise FieldError("duration", None, "TimeLens needs the video's duration in seconds")


def losses(row: Row, path: Path, options: ExportOptions) -> Iterator[str]:
    """The benchmark's JSON has no place for further fields."""
    if row.extra and not _is_lines(path):
        yield "extra"


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file: JSON lines when the path ends in .jsonl, else the benchmark's JSON."""
    if not _is_lines(path):
        return activitynet.write_parallel(rows, path, times=SPANS, sentences=QUERIES)
    # Rows that agree in all of their video's fields share a line.
    videos: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        extra = {name: value for name, value in row.extra.items() if name not in KNOWN_OF_VIDEO}
        event_extra = extra.pop("event", {})
        video_path = extra.pop("video_path", f"{row.vid}.mp4")
        video = {
            "source": extra.pop("source", SOURCE),
            "video_path": video_path,
            **({} if PurePosixPath(str(video_path)).stem == row.vid else {"vid": row.vid}),
            **extra,
            "duration": plain(row.duration_s or 0),
        }
        events = videos.setdefault(json.dumps(video), [])
        is_usual_id = not row.qid_is_int and row.qid == f"{row.vid}/{len(events)}"
        event = {"query": row.query, "span": pairs(row.windows or ())}
        events.append({**({} if is_usual_id else {"qid": row.qid_value}), **event, **event_extra})
    lines = [{**json.loads(video), "events": events} for video, events in videos.items()]
    return ExportFiles(files={path: json_lines(lines)}, counts={"videos": len(lines)})
