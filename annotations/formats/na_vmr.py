"""Negative-aware moment retrieval: QVHighlights' and Charades-STA's lines with queries that match nothing.

A refusal is `"relevant_windows": [[0, 0]]` with `"relevant_clip_ids": []` and `"saliency_scores": [[]]`; it stands
among the other lines. Charades' refusals repeat the ids of the queries that they are made from: they become `ID#2`.
Form: keflanagan/MomentofUntruth, folder dataset (arXiv 2502.08544).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from annotations.formats import lighthouse
from annotations.formats.files import json_lines
from annotations.formats.jsonl import grounding_object, still_says
from annotations.formats.options import ExportFiles, ExportOptions, Item, ReadOptions
from annotations.rows import Row
from tempo_core.metrics.rows import FieldError


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order; the codes of a refusal are no windows."""
    uses: Counter[str] = Counter()
    for item in lighthouse.read(path, options):
        if isinstance(item, Row):
            uses[item.qid] += 1
            if uses[item.qid] > 1:
                item = replace(item, qid=f"{item.qid}#{uses[item.qid]}", qid_is_int=False)
        yield item


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without ground truth or duration."""
    if row.windows is None or row.verdict == "cannot-judge":
        raise FieldError("verdict", row.verdict, "the form has no line for a query without ground truth")
    lighthouse.check(row, path, options)


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file; lines that nobody changed pass through."""
    lines = []
    for row in rows:
        if row.raw is not None and still_says(row):
            lines.append(row.raw.encode())
        elif row.windows:
            clips = None if row.original_windows is not None else row.relevant_clip_ids
            scores = None if clips is None else row.saliency_scores
            lines.append(json_lines([grounding_object(row, row.windows, clips, scores)]))
        else:
            refusal = {"relevant_windows": [[0, 0]], "relevant_clip_ids": [], "saliency_scores": [[]]}
            lines.append(json_lines([{**grounding_object(row, None), **refusal}]))
    return ExportFiles(files={path: b"\n".join(lines)}, counts={"lines": len(lines)})
