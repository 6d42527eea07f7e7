"""QVHighlights JSON lines, official and raw, with refusals and differences in files of their own.

An export of one split is up to five files: `highlight_{split}_corrected.jsonl` (2-second grid, loads in the
official evaluator), `…_raw.jsonl` (edges as annotated), `…_no_moment.jsonl` (refusals, on which the official
evaluator raises IndexError), `…_unlabelled.jsonl` (rows without ground truth, if others have it) and
`…_diff.jsonl` (every correction, old and new). Unedited rows pass through byte for byte.
Form: moment_detr's data/README (jayleicn/moment_detr), checked on its 10,310 rows.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotations.formats import fields, grid
from annotations.formats.files import split_of
from annotations.formats.jsonl import grounding_object, grounding_row, pairs, plain, read_lines, still_says
from annotations.formats.options import ExportFiles, ExportOptions, ReadOptions
from annotations.rows import Row
from tempo_core.errors import InputError
from tempo_core.metrics.rows import FieldError, Problem

SUFFIX = ".jsonl"
KINDS = ("corrected", "raw", "no_moment", "unlabelled", "diff")
_BUNDLE_NAME = re.compile(rf"highlight_(train|val|test|unknown)_({'|'.join(KINDS)})\.jsonl")


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows of a release file, or of an exported folder (raw edges, refusals, originals from the diff)."""
    if path.is_dir():
        yield from _read_folder(path, options)
        return
    split = split_of(path, options)
    for row in read_lines(
        path, lambda values, raw, origin: grounding_row(values, split, raw, origin, mending=options.mending)
    ):
        # Windows on the grid must cover exactly the clips that the row lists.
        if (
            isinstance(row, Row)
            and row.windows
            and row.relevant_clip_ids is not None
            and row.origin is not None
        ):
            covered = grid.covered_clips(row.windows)
            if grid.on_grid(row.windows) and covered != row.relevant_clip_ids:
                rule = f"must be exactly the clips that relevant_windows covers; they cover {list(covered)}"
                error = FieldError("relevant_clip_ids", list(row.relevant_clip_ids), rule)
                yield Problem.of(error, row.origin.file, row.origin.line, raw=row.raw)
                continue
        yield row


def _read_folder(folder: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    files = [
        (match[1], match[2], file)
        for file in sorted(folder.iterdir())
        if (match := _BUNDLE_NAME.fullmatch(file.name))
    ]
    if not files:
        raise InputError(
            f"{folder} holds no highlight_SPLIT_raw.jsonl. Give a folder that an export has made."
        )
    changes: dict[tuple[str, bool], dict[str, Any]] = {}
    for _, kind, file in files:
        if kind == "diff":
            for change in read_lines(file, lambda values, raw, origin: _change(values)):
                if isinstance(change, Problem):
                    yield change
                else:
                    changes[change[0]] = change[1]
    for split, kind, file in files:
        if kind not in ("raw", "no_moment", "unlabelled"):
            continue
        for row in read(file, replace(options, split=options.split or fields.split(split))):
            row_change = changes.get((row.qid, row.qid_is_int)) if isinstance(row, Row) else None
            yield replace(row, **row_change) if isinstance(row, Row) and row_change is not None else row


def _change(values: dict[str, Any]) -> tuple[tuple[str, bool], dict[str, Any]]:
    """A line of the differences: which row, and what of it. Raises FieldError."""
    return fields.qid(fields.required(values, "qid")), {
        "original_windows": fields.optional(values, "old", fields.windows),
        "verdict": fields.verdict(fields.required(values, "verdict")),
        "reason": fields.optional(values, "reason", fields.text),
        "mean_tiou": fields.optional(values, "mean_tiou", fields.number),
        "alpha_clip": fields.optional(values, "alpha_clip", fields.number),
        "row_rev": fields.optional(values, "row_rev", fields.whole),
    }


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without a duration of at least one clip."""
    if row.windows:
        grid.needed_duration(row)
    elif row.duration_s is None:
        raise FieldError("duration", None, "QVHighlights needs the video's duration in seconds")


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """A folder of files for each split; or, for a path that ends in .jsonl, that file and its neighbours."""
    lines_of_split: dict[str, dict[str, list[str]]] = {}
    counts: Counter[str] = Counter()
    for row in rows:
        lines = lines_of_split.setdefault(row.split, {kind: [] for kind in KINDS})
        _add_lines(row, lines, options, counts)
    if path.suffix == SUFFIX and len(lines_of_split) > 1:
        raise InputError(
            f"{path.name} would mix rows of {', '.join(sorted(lines_of_split))}. "
            "Give a folder, and each split gets its files."
        )
    files = {}
    for split, lines in lines_of_split.items():
        if not lines["corrected"] and not lines["no_moment"]:
            # Nothing is labelled, as in the release of the test split: these rows are the official file.
            lines["corrected"] = lines["raw"] = lines.pop("unlabelled")
        for kind, kind_lines in lines.items():
            if path.suffix != SUFFIX:
                file = path / f"highlight_{split}_{kind}.jsonl"
            else:
                file = path if kind == "corrected" else path.with_name(f"{path.stem}_{kind}{SUFFIX}")
            # The official file and its raw twin are always there, even empty.
            if kind_lines or kind in ("corrected", "raw"):
                files[file] = "\n".join(kind_lines).encode("ascii")
    return ExportFiles(files=files, counts=counts)


def _add_lines(row: Row, lines: dict[str, list[str]], options: ExportOptions, counts: Counter[str]) -> None:
    """Put one row's lines into the files where they belong."""
    passes = still_says(row)
    if row.original_windows is not None or row.verdict == "cannot-judge":
        difference = {
            "qid": row.qid_value,
            "vid": row.vid,
            "verdict": row.verdict,
            "old": None if row.original_windows is None else pairs(row.original_windows),
            "new": None if row.windows is None else pairs(row.windows),
            "reason": row.reason,
            "mean_tiou": row.mean_tiou,
            "alpha_clip": row.alpha_clip,
            "n_annotators": sum(version.source == "annotator" for version in row.annotations or ()),
            "row_rev": row.row_rev,
        }
        lines["diff"].append(json.dumps(difference))
    if row.verdict == "no-moment":
        counts["no moment, kept out of the official file"] += 1
        refusal = {
            "qid": row.qid_value,
            "query": row.query,
            "duration": None if row.duration_s is None else plain(row.duration_s),
            "vid": row.vid,
            "verdict": "no-moment",
            **({"reason": row.reason} if row.reason else {}),
            "relevant_windows": [],
            **row.extra,
        }
        lines["no_moment"].append(str(row.raw) if passes else json.dumps(refusal))
        return
    if row.verdict == "cannot-judge":
        counts["cannot judge, original kept"] += 1
        if row.original_windows is not None:
            row, passes = replace(row, windows=row.original_windows, raw=None), False
    if not row.windows:
        counts["without ground truth"] += 1
        lines["unlabelled"].append(str(row.raw) if passes else json.dumps(grounding_object(row, None)))
        return

    # The official line: the source's own while it still holds, else windows on the 2-second grid.
    windows = row.windows
    duration = grid.needed_duration(row)
    inside = grid.clamped(windows, duration) or windows
    on_grid = grid.snapped(inside, duration, options.snapping)
    clips = grid.covered_clips(on_grid)
    scores, filled_count = grid.scores_for(clips, row, options.saliency)
    is_official = (
        passes
        and windows[-1][1] <= duration
        and grid.on_grid(windows)
        and row.relevant_clip_ids == grid.covered_clips(windows)
    )
    if is_official and not (options.saliency == "drop" and row.saliency_scores is not None):
        counts["passed through byte for byte"] += 1
        lines["corrected"].append(str(row.raw))
    else:
        counts["written anew"] += 1
        counts["edges moved to the grid"] += int(on_grid != windows)
        counts["clips whose saliency the policy filled"] += filled_count
        lines["corrected"].append(json.dumps(grounding_object(row, on_grid, clips, scores)))

    # The raw line: edges as annotated, clips of the snapped windows.
    if passes and row.relevant_clip_ids is not None and options.saliency != "drop":
        lines["raw"].append(str(row.raw))
    else:
        lines["raw"].append(json.dumps(grounding_object(row, inside, clips, scores)))
