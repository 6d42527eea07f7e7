"""Lighthouse's unified grounding JSON lines: Charades-STA, ActivityNet Captions, TACoS in one form.

One object a line: qid (number or text), query, duration, vid, relevant_windows, and whatever else it holds.
Edges are written as they are: no grid. Form: line/lighthouse, folder data/.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from annotations.formats.jsonl import grounding_object, grounding_row, read_lines, split_of, still_says
from annotations.formats.options import ExportFiles, ExportOptions, FieldError, Problem, ReadOptions
from annotations.rows import Row


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows in the file's order. `relevant_windows` missing or null means no ground truth, [] a refusal."""
    split = split_of(path, options)
    return read_lines(path, lambda values, raw, origin: grounding_row(values, split, raw, origin))


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without a duration."""
    if row.duration_s is None:
        raise FieldError("duration", None, "Lighthouse needs the video's duration in seconds")


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file; refusals beside it in `…_no_moment` (its evaluator fails on them) unless asked for inline."""
    apart = [row for row in rows if options.refusals == "apart" and row.verdict == "no-moment"]
    away = {id(row) for row in apart}
    files = {path: _lines([row for row in rows if id(row) not in away])}
    if apart:
        files[path.with_name(f"{path.stem}_no_moment{path.suffix}")] = _lines(apart)
    passed = sum(_passes(row) for row in rows)
    counts = {"passed through byte for byte": passed, "no moment, kept in a file of their own": len(apart)}
    return ExportFiles(files=files, counts=counts)


def _lines(rows: Sequence[Row]) -> bytes:
    return "\n".join(_line(row) for row in rows).encode("utf-8")


def _passes(row: Row) -> bool:
    return row.verdict != "cannot-judge" and still_says(row)


def _line(row: Row) -> str:
    if row.raw is not None and _passes(row):
        return row.raw
    corrected = row.original_windows is not None
    clips, scores = (None, None) if corrected else (row.relevant_clip_ids, row.saliency_scores)
    written = grounding_object(row, row.windows, clips, scores)
    if row.verdict == "cannot-judge":
        written["verdict"] = row.verdict
    if row.reason is not None:
        written["reason"] = row.reason
    return json.dumps(written)
