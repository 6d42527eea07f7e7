"""Charades-STA's text: `3MSZA 24.3 30.4##person turn a light on.`, one moment a line.

The form has no query ids, no durations and no refusals. Durations go to and come from a neighbour,
`NAME.durations.json` ({vid: seconds}); ids are made of the vid and a count. A query's further moments repeat
its line; neighbouring lines that repeat a sentence are read as one row (`ReadOptions.join_repeats`).
Form: jiyanggao/TALL, as the public loaders read it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from annotations.formats import fields
from annotations.formats.files import BYTE_ORDER_MARK, read_text, split_of
from annotations.formats.grouping import Entry, rows_of
from annotations.formats.options import ExportFiles, ExportOptions, ReadOptions
from annotations.rows import Row
from tempo_core.metrics.rows import FieldError, Problem

SEPARATOR = "##"


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows in the file's order, with durations from the options or from the neighbouring file."""
    durations: Mapping[str, object] = options.durations or {}
    if options.durations is None and durations_path(path).exists():
        durations = fields.mapping(fields.parse_json(read_text(durations_path(path))), "file")
        for value in durations.values():
            fields.duration_s(value)
    entries: list[Entry] = []
    for line_number, line in enumerate(read_text(path).split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        try:
            head, separator, sentence = line.partition(SEPARATOR)
            parts = head.split()
            if not separator or len(parts) != 3:
                raise FieldError("line", line, "must be `VID START END##SENTENCE`")
            vid, *edges = parts
            duration = fields.duration_s(durations[vid]) if vid in durations else None
            seconds = [_seconds(edge) for edge in edges]
            entries.append(
                Entry(
                    line=line_number,
                    vid=vid,
                    query=fields.text(sentence, "sentence"),
                    duration_s=duration,
                    window=fields.window(seconds, "window", duration, options.mending),
                )
            )
        except FieldError as error:
            yield Problem.of(error, path.name, line_number, raw=line)
    yield from rows_of(entries, options, path.name, split_of(path, options))


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise FieldError("window", text, "must be a number of seconds") from error


def durations_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.durations.json")


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without moments, or whose text the line form would break."""
    if not row.windows:
        raise FieldError("windows", row.windows, "Charades-STA has no line for a query without moments")
    if any(char in row.query for char in "\r\n"):
        rule = "Charades-STA is one line a moment: a sentence cannot hold a newline"
        raise FieldError("query", row.query, rule)
    if row.vid.split() != [row.vid] or SEPARATOR in row.vid or row.vid.startswith(BYTE_ORDER_MARK):
        rule = f"Charades-STA ends the vid at a space: it can hold none, and no {SEPARATOR}"
        raise FieldError("vid", row.vid, rule)


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """The text, and known durations beside it. Times are the shortest decimals that read back equal."""
    lines = [
        f"{row.vid} {float(start_s)!r} {float(end_s)!r}{SEPARATOR}{row.query}"
        for row in rows
        for start_s, end_s in row.windows or ()
    ]
    files = {path: "".join(f"{line}\n" for line in lines).encode("utf-8")}
    durations = {row.vid: row.duration_s for row in rows if row.duration_s is not None}
    if durations:
        files[durations_path(path)] = json.dumps(durations).encode("ascii")
    repeats = sum((first.vid, first.query) == (second.vid, second.query) for first, second in pairwise(rows))
    counts = {"lines": len(lines), "neighbouring queries that repeat a sentence, read back as one": repeats}
    return ExportFiles(files=files, counts=counts)
