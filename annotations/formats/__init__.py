"""Every format in and out: `detect` names a file's format, `read` gives its rows, `write` makes files.

    result = read(Path("highlight_val_release.jsonl"))          # all rows, or RowsRejected
    options = ExportOptions(snapping="nearest")
    report = write(result.rows, Path("export"), format="qvhighlights", options=options)

A format's module is imported when it is used. `FORMATS` says what each can carry; docs/formats.md explains.
"""

import importlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from annotations.formats.adjudication import adjudicated
from annotations.formats.detection import detect
from annotations.formats.files import sha256_of, write_all, write_rejects
from annotations.formats.jsonl import split_of
from annotations.formats.manifest import export_manifest, licence_notice
from annotations.formats.options import (
    ADJUDICATIONS,
    SALIENCY_POLICIES,
    SNAPPINGS,
    ExportFiles,
    ExportOptions,
    ExportReport,
    FieldError,
    Problem,
    ReadOptions,
    ReadResult,
    RowsRejected,
)
from annotations.rows import Row, SourceLine
from tempo_core.errors import InputError

__all__ = [
    "ADJUDICATIONS",
    "FORMATS",
    "SALIENCY_POLICIES",
    "SNAPPINGS",
    "ExportOptions",
    "ExportReport",
    "Format",
    "Problem",
    "ReadOptions",
    "ReadResult",
    "RowsRejected",
    "detect",
    "dropped_fields",
    "is_folder",
    "names",
    "read",
    "write",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """What a format is called and what it can carry."""

    module: str
    """Module of `annotations.formats`."""
    title: str
    suffix: str
    """Of a file in this format."""
    folder: bool = False
    """True: a path without that suffix becomes a folder of files."""
    carries: frozenset[str]
    """Attributes of Row that an export keeps and a later import reads back."""


_BASIC = frozenset({"qid", "qid_is_int", "query", "vid", "windows", "verdict"})
_TIMED = _BASIC | {"duration_s"}
_SCORED = _TIMED | {"relevant_clip_ids", "saliency_scores", "extra", "reason"}
_ALL = _SCORED | {
    "split",
    "original_windows",
    "mean_tiou",
    "alpha_clip",
    "model_version",
    "row_rev",
    "annotations",
}

FORMATS: dict[str, Format] = {
    "qvhighlights": Format(
        module="qvhighlights",
        title="QVHighlights JSON lines: official, raw, no-moment, diff",
        suffix=".jsonl",
        folder=True,
        carries=_SCORED | {"split", "original_windows", "mean_tiou", "alpha_clip", "row_rev"},
    ),
    "predictions": Format(
        module="predictions",
        title="Predictions JSON lines, as QVHighlights' evaluator takes them",
        suffix=".jsonl",
        carries=frozenset({"qid", "qid_is_int", "query", "vid", "duration_s", "annotations", "extra"}),
    ),
    "lighthouse": Format(
        module="lighthouse", title="Lighthouse's unified JSON lines", suffix=".jsonl", carries=_SCORED
    ),
    "charades-sta": Format(
        module="charades_sta",
        title="Charades-STA text",
        suffix=".txt",
        carries=frozenset({"query", "vid", "windows", "verdict", "duration_s"}),
    ),
    "activitynet": Format(
        module="activitynet", title="ActivityNet Captions JSON", suffix=".json", carries=_TIMED
    ),
    "timelens": Format(
        module="timelens", title="TimeLens JSON and JSON lines", suffix=".json", carries=_TIMED | {"extra"}
    ),
    "parquet": Format(
        module="parquet",
        title="Parquet with a dataset card",
        suffix=".parquet",
        folder=True,
        carries=_ALL,
    ),
    "label-studio": Format(
        module="label_studio", title="Label Studio timeline labels", suffix=".json", carries=_ALL
    ),
    "webvtt": Format(module="webvtt", title="WebVTT cues", suffix=".vtt", folder=True, carries=_ALL),
    "elan": Format(module="elan", title="ELAN annotation files", suffix=".eaf", folder=True, carries=_ALL),
    "csv": Format(
        module="csv",
        title="Tidy CSV",
        suffix=".csv",
        carries=_TIMED | {"split", "original_windows", "reason", "row_rev", "annotations"},
    ),
}


def names() -> tuple[str, ...]:
    """The formats' names, as `--format` takes them."""
    return tuple(FORMATS)


def is_folder(format: str, path: Path) -> bool:
    """Whether a path becomes a folder of files in this format, which is unless it has the format's suffix."""
    return FORMATS[format].folder and path.suffix != FORMATS[format].suffix


def _module(name: str) -> ModuleType:
    if name not in FORMATS:
        raise InputError(f"There is no format {name!r}. The formats are {', '.join(FORMATS)}.")
    return importlib.import_module(f"annotations.formats.{FORMATS[name].module}")


def read(path: Path, *, format: str | None = None, options: ReadOptions | None = None) -> ReadResult:
    """Every row of a file or folder, in its order; read-only but for the rejects file.

    `format` None detects it. Raises RowsRejected naming every bad row unless `options.keep_going`, which
    leaves them out, returns them as `problems`, and writes them to `options.rejects_path`. Raises InputError
    for a file that cannot be read at all. A query id given twice is a bad row.
    """
    options = options or ReadOptions()
    if not path.exists():
        raise InputError(f"{path} does not exist. Check the path.")
    name = format or detect(path)
    module = _module(name)
    rows: list[Row] = []
    problems: list[Problem] = []
    try:
        for item in module.read(path, options):
            (problems if isinstance(item, Problem) else rows).append(item)
    except FieldError as error:
        raise InputError(f"{path.name} cannot be read as {name}: {error}") from error
    rows, repeated = _each_once(rows, path)
    problems = sorted([*problems, *repeated], key=lambda problem: (problem.file, problem.line))
    if problems and not options.keep_going:
        raise RowsRejected(tuple(problems), "imported")
    if problems and options.rejects_path is not None:
        write_rejects(options.rejects_path, problems)
    return ReadResult(
        format=name, path=path, sha256=sha256_of(path), rows=tuple(rows), problems=tuple(problems)
    )


def _each_once(rows: Sequence[Row], path: Path) -> tuple[list[Row], list[Problem]]:
    """Rows without those whose id an earlier row has."""
    first: dict[str, Row] = {}
    kept: list[Row] = []
    problems: list[Problem] = []
    for row in rows:
        earlier = first.setdefault(row.qid, row)
        if earlier is row:
            kept.append(row)
            continue
        at, before = (row.origin or SourceLine(file=path.name, line=0)), earlier.origin
        place = "" if before is None else f" in {before.file}, line {before.line}"
        error = FieldError("qid", row.qid_value, f"was given already{place}; ids are unique in a file")
        problems.append(Problem.of(error, at.file, at.line, row.raw))
    return kept, problems


def write(
    rows: Iterable[Row], path: Path, *, format: str, options: ExportOptions | None = None
) -> ExportReport:
    """Write rows to a file, or to a folder where the format makes several; all files or none.

    Raises RowsRejected when the format cannot carry a row (with `options.keep_going`: leaves it out, reports
    it, and writes it to `options.rejects_path`). `ExportReport.dropped` counts what carried rows lose. A
    manifest with the options, counts and hashes, and the licence's notice stand beside the files.
    """
    options = options or ExportOptions()
    module, form = _module(format), FORMATS[format]
    decided = [adjudicated(row, options.adjudication) for row in rows]
    if path.is_dir() and not is_folder(format, path):
        raise InputError(f"{path} is a folder; {format} needs a file, such as {path / f'rows{form.suffix}'}.")
    carried, problems = _checked(decided, module, path, options)
    if not carried:
        raise InputError(f"There are no rows to write to {path}.")
    dropped = dropped_fields(carried, path, format=format, options=options)
    try:
        written: ExportFiles = module.write(carried, path, options)
    except FieldError as error:
        raise InputError(f"{path.name} cannot be written as {format}: {error}") from error
    files = dict(written.files)
    if options.manifest:
        files.update(_papers(format, carried, written, dropped, options, path))
    write_all(files, overwrite=options.overwrite)
    if problems and options.rejects_path is not None:
        write_rejects(options.rejects_path, problems)
    return ExportReport(
        format=format,
        rows=len(carried),
        files=tuple(sorted(files)),
        counts=dict(written.counts),
        dropped=dropped,
        problems=tuple(problems),
    )


def _checked(
    rows: Sequence[Row], module: ModuleType, path: Path, options: ExportOptions
) -> tuple[list[Row], list[Problem]]:
    """The rows that the format can carry, and why it cannot carry the others."""
    kept: list[Row] = []
    problems: list[Problem] = []
    for place, row in enumerate(rows, start=1):
        try:
            module.check(row, path, options)
            kept.append(row)
        except FieldError as error:
            named = FieldError(f"qid {row.qid_value!r}: {error.field_name}", None, error.rule)
            named.value = error.value
            problems.append(Problem.of(named, f"export to {path.name}", place, row.raw))
    if problems and not options.keep_going:
        raise RowsRejected(tuple(problems), "written")
    return kept, problems


def dropped_fields(rows: Iterable[Row], path: Path, *, format: str, options: ExportOptions) -> dict[str, int]:
    """Field → how many rows hold a value in it that the format loses. A file's name carries its split."""
    carries = FORMATS[format].carries
    named_split = split_of(path, ReadOptions())
    dropped: Counter[str] = Counter()
    losses = getattr(_module(format), "losses", None)
    for row in rows:
        if losses is not None:
            dropped.update(losses(row, path, options))
        for name in sorted(_ALL - carries):
            value = getattr(row, name)
            if name == "split" and value in ("unknown", named_split):
                continue
            if value is not None and value is not False and value != {}:
                dropped[name] += 1
    return dict(dropped)


def _papers(
    format: str,
    rows: Sequence[Row],
    written: ExportFiles,
    dropped: dict[str, int],
    options: ExportOptions,
    path: Path,
) -> dict[Path, bytes]:
    """Manifest and licence: in the folder, or beside the file under its name."""
    folder = is_folder(format, path)
    said = export_manifest(format, rows, written, dropped, options, path if folder else path.parent)
    content = (json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode("utf-8")
    notice = licence_notice(rows, options).encode("utf-8")
    if folder:
        return {path / "MANIFEST.json": content, path / "LICENSE": notice}
    return {
        path.with_name(f"{path.name}.manifest.json"): content,
        path.with_name(f"{path.name}.LICENSE"): notice,
    }
