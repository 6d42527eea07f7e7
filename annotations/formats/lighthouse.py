"""Lighthouse's unified grounding JSON lines: Charades-STA, ActivityNet Captions, TACoS in one form.

One object a line: qid (number or text), query, duration, vid, relevant_windows, and whatever else it holds.
Edges are written as they are: no grid. Form: line/lighthouse, folder data/.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from annotations.formats import grid
from annotations.formats.files import split_of
from annotations.formats.jsonl import grounding_object, grounding_row, read_lines, still_says, with_refusals
from annotations.formats.options import ExportFiles, ExportOptions, ReadOptions
from annotations.rows import Row
from tempo_core.metrics.rows import FieldError, Problem


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows in the file's order. `relevant_windows` missing or null means no ground truth, [] a refusal."""
    split = split_of(path, options)
    return read_lines(
        path, lambda values, raw, origin: grounding_row(values, split, raw, origin, mending=options.mending)
    )


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without a duration."""
    if row.duration_s is None:
        raise FieldError("duration", None, "Lighthouse needs the video's duration in seconds")


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file; refusals beside it in `…_no_moment` (its evaluator fails on them) unless asked for inline."""
    lines: list[str] = []
    refusals: list[str] = []
    passed_count = 0
    for row in rows:
        if row.raw is not None and row.verdict != "cannot-judge" and still_says(row):
            passed_count += 1
            line = row.raw
        else:
            # Scores of clips belong to the windows that they were given with.
            is_corrected = row.original_windows is not None
            clips, scores = (None, None) if is_corrected else (row.relevant_clip_ids, row.saliency_scores)
            if (
                is_corrected
                and row.saliency_scores is not None
                and row.duration_s is not None
                and row.windows
            ):
                # Its loader needs both fields in QVHighlights' lines: the clips that the moments touch.
                on_grid = grid.snapped(row.windows, row.duration_s, options.snapping)
                clips = grid.covered_clips(on_grid)
                scores, _ = grid.scores_for(clips, row, options.saliency)
            values = grounding_object(row, row.windows, clips, scores)
            if row.verdict == "cannot-judge":
                values["verdict"] = row.verdict
            if row.reason is not None:
                values["reason"] = row.reason
            line = json.dumps(values)
        is_apart = options.refusals == "apart" and row.verdict == "no-moment"
        (refusals if is_apart else lines).append(line)
    counts = {
        "passed through byte for byte": passed_count,
        "no moment, kept in a file of their own": len(refusals),
    }
    return ExportFiles(files=with_refusals(path, lines, refusals), counts=counts)
