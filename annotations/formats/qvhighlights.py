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
from annotations.formats.jsonl import (
    grounding_object,
    grounding_row,
    pairs,
    plain,
    read_lines,
    split_of,
    still_says,
)
from annotations.formats.options import ExportFiles, ExportOptions, FieldError, Problem, ReadOptions
from annotations.rows import Row, Windows
from tempo_core.errors import InputError

SUFFIX = ".jsonl"
KINDS = ("corrected", "raw", "no_moment", "unlabelled", "diff")
_BUNDLE_NAME = re.compile(
    r"highlight_(train|val|test|unknown)_(corrected|raw|no_moment|unlabelled|diff)\.jsonl"
)


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows of a release file, or of an exported folder (raw edges, refusals, originals from the diff)."""
    if path.is_dir():
        yield from _read_folder(path, options)
        return
    split = split_of(path, options)
    for row in read_lines(path, lambda values, raw, origin: grounding_row(values, split, raw, origin)):
        problem = _clip_problem(row) if isinstance(row, Row) else None
        yield problem or row


def _clip_problem(row: Row) -> Problem | None:
    """Windows on the grid must cover exactly the clips that the row lists."""
    if not row.windows or row.relevant_clip_ids is None or not grid.on_grid(row.windows):
        return None
    covered = grid.covered_clips(row.windows)
    if covered == row.relevant_clip_ids or row.origin is None:
        return None
    rule = f"must be exactly the clips that relevant_windows covers; they cover {list(covered)}"
    error = FieldError("relevant_clip_ids", list(row.relevant_clip_ids), rule)
    return Problem.of(error, row.origin.file, row.origin.line, row.raw)


def _read_folder(folder: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    files = [
        (found, item) for item in sorted(folder.iterdir()) if (found := _BUNDLE_NAME.fullmatch(item.name))
    ]
    if not files:
        raise InputError(
            f"{folder} holds no highlight_SPLIT_raw.jsonl. Give a folder that an export has made."
        )
    changes = _changes([item for found, item in files if found[2] == "diff"])
    for found, item in files:
        if found[2] in ("raw", "no_moment", "unlabelled"):
            split = options.split or fields.split(found[1])
            for row in read(item, replace(options, split=split)):
                yield _with_change(row, changes) if isinstance(row, Row) else row


def _changes(diffs: Sequence[Path]) -> dict[tuple[str, bool], dict[str, Any]]:
    """What the diff files say, by query id."""
    changes = {}
    for path in diffs:
        for line in path.read_text("utf-8").splitlines():
            change = fields.mapping(json.loads(line), path.name)
            changes[fields.qid(fields.required(change, "qid"))] = change
    return changes


def _with_change(row: Row, changes: dict[tuple[str, bool], dict[str, Any]]) -> Row:
    change = changes.get((row.qid, row.qid_is_int))
    if change is None:
        return row
    old = change["old"]
    verdict = fields.verdict(change["verdict"])
    return replace(
        row,
        original_windows=None if old is None else fields.windows(old, "old"),
        verdict=verdict,
        reason=change["reason"],
        mean_tiou=change["mean_tiou"],
        alpha_clip=change["alpha_clip"],
        row_rev=change["row_rev"],
    )


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without a duration of at least one clip."""
    if row.windows:
        grid.needed_duration(row)
    elif row.duration_s is None:
        raise FieldError("duration", None, "QVHighlights needs the video's duration in seconds")


Lines = dict[str, list[str]]
"""Of one split: its files' lines by kind."""


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """A folder of files for each split; or, for a path that ends in .jsonl, that file and its neighbours."""
    splits: dict[str, Lines] = {}
    counts: Counter[str] = Counter()
    for row in rows:
        _place(row, splits.setdefault(row.split, {kind: [] for kind in KINDS}), options, counts)
    if path.suffix == SUFFIX and len(splits) > 1:
        raise InputError(
            f"{path.name} would mix rows of {', '.join(sorted(splits))}. "
            "Give a folder, and each split gets its files."
        )
    files = {}
    for split, gathered in splits.items():
        for kind, lines in _settled(gathered).items():
            files[_file(path, split, kind)] = "\n".join(lines).encode("ascii")
    return ExportFiles(files=files, counts=counts)


def _file(path: Path, split: str, kind: str) -> Path:
    if path.suffix != SUFFIX:
        return path / f"highlight_{split}_{kind}.jsonl"
    return path if kind == "corrected" else path.with_name(f"{path.stem}_{kind}{path.suffix}")


def _settled(gathered: Lines) -> dict[str, list[str]]:
    """The kinds to write: the official file always; unlabelled rows are it when nothing else is labelled."""
    lines = dict(gathered)
    if not lines["corrected"] and not lines["no_moment"]:
        lines["corrected"] = lines["raw"] = lines.pop("unlabelled")
    return {kind: found for kind, found in lines.items() if found or kind in ("corrected", "raw")}


def _place(row: Row, lines: Lines, options: ExportOptions, counts: Counter[str]) -> None:
    """Put one row's lines where they belong."""
    if row.original_windows is not None or row.verdict == "cannot-judge":
        lines["diff"].append(json.dumps(_difference(row)))
    if row.verdict == "no-moment":
        counts["no moment, kept out of the official file"] += 1
        lines["no_moment"].append(_refusal(row))
        return
    if row.verdict == "cannot-judge":
        counts["cannot judge, original kept"] += 1
        row = row if row.original_windows is None else replace(row, windows=row.original_windows, raw=None)
    if not row.windows:
        counts["without ground truth"] += 1
        lines["unlabelled"].append(_unlabelled(row))
        return
    lines["corrected"].append(_official(row, row.windows, options, counts))
    lines["raw"].append(_raw(row, row.windows, options))


def _official(row: Row, windows: Windows, options: ExportOptions, counts: Counter[str]) -> str:
    if _is_official(row, windows) and not (options.saliency == "drop" and row.saliency_scores is not None):
        counts["passed through byte for byte"] += 1
        return str(row.raw)
    duration = grid.needed_duration(row)
    result = grid.snapped(grid.clamped(windows, duration) or windows, duration, options.snapping)
    clips = grid.covered_clips(result)
    scores, filled = grid.scores_for(clips, row, options.saliency)
    counts["written anew"] += 1
    counts["edges moved to the grid"] += int(result != windows)
    counts["clips whose saliency the policy filled"] += filled
    return json.dumps(grounding_object(row, result, clips, scores))


def _is_official(row: Row, windows: Windows) -> bool:
    """Whether the source line can go to the official evaluator as it stands."""
    inside = row.duration_s is not None and windows[-1][1] <= row.duration_s
    exact = grid.on_grid(windows) and row.relevant_clip_ids == grid.covered_clips(windows)
    return inside and exact and still_says(row)


def _raw(row: Row, windows: Windows, options: ExportOptions) -> str:
    if row.relevant_clip_ids is not None and options.saliency != "drop" and still_says(row):
        return str(row.raw)
    duration = grid.needed_duration(row)
    inside = grid.clamped(windows, duration) or windows
    clips = grid.covered_clips(grid.snapped(inside, duration, options.snapping))
    return json.dumps(grounding_object(row, inside, clips, grid.scores_for(clips, row, options.saliency)[0]))


def _refusal(row: Row) -> str:
    if still_says(row):
        return str(row.raw)
    duration = None if row.duration_s is None else plain(row.duration_s)
    refusal = {"qid": row.qid_value, "query": row.query, "duration": duration, "vid": row.vid}
    said = {"verdict": "no-moment", **({"reason": row.reason} if row.reason else {}), "relevant_windows": []}
    return json.dumps({**refusal, **said, **row.extra})


def _unlabelled(row: Row) -> str:
    return str(row.raw) if still_says(row) else json.dumps(grounding_object(row, None))


def _difference(row: Row) -> dict[str, Any]:
    """One line of the diff: what the row was, what it is, and how far annotators agree."""
    return {
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
