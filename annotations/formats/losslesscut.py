"""LosslessCut's projects (.llc, JSON5) and segment lists (CSV): each named segment is a query.

A project: {version, mediaFileName, cutSegments: [{start, end, name, tags, selected}]}, in seconds; version 1 leaves
`start` out at the beginning of the file. A list: `start,end,name` and tags, with or without the line Start,End,Name. A
segment without an end runs to the end of the clip: it needs `--durations`, else it is named, as one without a name is.
Form: mifi/lossless-cut, src/renderer/src/edlStore.ts, edlFormats.ts.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import read_text, vid_of_name
from annotations.formats.options import Item, Omission, ReadOptions
from annotations.formats.records import Record, read_records, vid_of_path
from tempo_core.errors import InputError

KNOWN = ("start", "end", "name", "tags", "selected")
HEADER = ["start", "end", "name"]
_TOKEN = re.compile(
    r"""'(?P<single>(?:[^'\\]|\\.)*)'|(?P<double>"(?:[^"\\]|\\.)*")|(?P<comment>//[^\n]*|/\*.*?\*/)"""
    r"""|(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_$][\w$]*)|(?P<other>.)""",
    re.DOTALL,
)


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order, one for each named segment."""
    text = read_text(path)
    if text.lstrip().startswith("{"):
        project = fields.mapping(fields.parse_json(json_of_json5(text)), "file")
        vid = vid_of_path(fields.required(project, "mediaFileName"), "mediaFileName")
        segments = fields.sequence(fields.required(project, "cutSegments"), "cutSegments")
        items: Iterator[tuple[str, Any]] = (
            (f"segment {n}", value) for n, value in enumerate(segments, start=1)
        )
    else:
        vid, items = vid_of_name(path.stem), _lines(text, path.name)

    def records(name: str, value: Any) -> Iterator[Record | Omission]:
        segment = fields.mapping(value, name)
        end_s = segment.get("end")
        duration = (options.durations or {}).get(vid)
        if not str(segment.get("name") or "").strip():
            yield Omission(file=path.name, place=name, reason="has no name, which would be its query")
            return
        if end_s is None and duration is None:
            reason = (
                "has no end, and the clip's duration is not known; give it (on the command line: --durations)"
            )
            yield Omission(file=path.name, place=name, reason=reason)
            return
        if segment.get("selected") is False:
            reason = "is not selected for LosslessCut's own export; it is read all the same"
            yield Omission(file=path.name, place=name, reason=reason)
        yield Record(
            place=name,
            vid=vid,
            query=segment["name"],
            windows=[[segment.get("start") or 0, duration if end_s is None else end_s]],
            duration=duration,
            extra={"tags": segment.get("tags") or None},
        )

    return read_records(path, options, items, records, KNOWN)


def _lines(text: str, name: str) -> Iterator[tuple[str, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    tag_names: list[str] = []
    try:
        for cells in reader:
            if [cell.strip().lower() for cell in cells[:3]] == HEADER:
                tag_names = cells[3:]
            elif cells:
                start, end, label, *tags = [*cells, "", ""][: max(3, len(cells))]
                names = [*tag_names, *(f"tag{n + 1}" for n in range(len(tag_names), len(tags)))]
                values = {
                    "start": fields.seconds_of_text(start, "start") if start.strip() else 0,
                    "end": fields.seconds_of_text(end, "end") if end.strip() else None,
                    "name": label.strip(),
                    "tags": {key: tag for key, tag in zip(names, tags, strict=False) if tag.strip()},
                }
                yield f"line {reader.line_num}", values
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: is not CSV ({error}).") from error


def json_of_json5(text: str) -> str:
    """JSON of a JSON5 text: names and strings in double quotes, no comments, no commas before a bracket."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match[0]
        if kind == "comment" or token.isspace():
            continue
        if kind == "single":
            body = re.sub(
                r'\\.|"', lambda part: {r"\'": "'", '"': r"\""}.get(part[0], part[0]), match["single"]
            )
            token = f'"{body}"'
        elif kind == "name" and token not in ("true", "false", "null"):
            token = json.dumps(token)
        elif token in ("]", "}") and tokens and tokens[-1] == ",":
            tokens.pop()
        tokens.append(token)
    return "".join(tokens)
