"""A file into the store: the format's reader, the right dataset, and a report that names the rows left out."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from annotations import formats
from annotations.formats import FORMATS, Contents, Omission, Problem, ReadOptions, ReadResult
from annotations.formats.child import read_in_child
from annotations.formats.manifest import YOUTUBE_CLIP
from annotations.formats.options import ReadLimits
from annotations.formats.predictions import UNNAMED_MODEL
from annotations.imports import ImportReport
from annotations.rows import Row
from annotations.store import Store
from tempo_core.errors import InputError

NO_NAMES = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "release", "corrected", "raw"}
)
"""Words of a file's name that say nothing of its data set."""
ATTACHED = ("predictions", "label-studio", "csv", "xlsx", "parquet", "webvtt", "elan")
"""Formats that carry answers to rows which are often in the store already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedFile:
    """One file as it was imported."""

    file_name: str
    format: str
    dataset: str
    report: ImportReport
    models: tuple[str, ...]
    """Whose predictions it holds."""
    problems: tuple[Problem, ...]
    """Rows that were left out (only with `keep_going`)."""
    omissions: tuple[Omission, ...] = ()
    """What the file holds and no row says."""
    contents: tuple[Contents, ...] = ()
    """How much of the file is in rows, in the format's own units."""
    mended: Mapping[str, int] = field(default_factory=dict)
    """Repair → how many windows (only with `mending`)."""


def import_file(
    store: Store,
    path: Path,
    *,
    op_id: str,
    actor: str,
    format: str | None = None,
    dataset: str | None = None,
    options: ReadOptions | None = None,
    model: str | None = None,
    update: bool = False,
    limits: ReadLimits | None = None,
    cancel: threading.Event | None = None,
) -> ImportedFile:
    """Import one file or folder, all or nothing; `format` None detects it, `dataset` None chooses one. `model` is whose
    predictions they are where a file of predictions names no model; None: the file's name without its ending.

    With `options.keep_going`, rows that break a rule are left out and named; with `update`, what known rows lack is
    filled from the file. With `limits` a child process reads it, which is for files of others, and `cancel` stops it.
    Raises RowsRejected, InputError, Cancelled.
    """
    if limits is None:
        result = formats.read(path, format=format, options=options)
    else:
        result = read_in_child(path, format=format, options=options, limits=limits, cancel=cancel)
    dataset = dataset or usual_dataset(store, result)
    rows = result.rows
    if result.format == "predictions":
        rows = tuple(with_model(row, model or path.stem) for row in rows)
    report = store.import_rows(
        rows,
        dataset=dataset,
        op_id=op_id,
        actor=actor,
        file_name=path.name,
        format_name=result.format,
        update=update,
        rounding_s=rounding_of(result),
    )
    versions = [version for row in rows for version in row.annotations or ()]
    return ImportedFile(
        models=tuple(dict.fromkeys(version.annotator for version in versions if version.source == "model")),
        file_name=path.name,
        format=result.format,
        dataset=dataset,
        report=report,
        problems=result.problems,
        omissions=result.omissions,
        contents=result.contents,
        mended=result.mended,
    )


def with_model(row: Row, model: str) -> Row:
    """The row with its unnamed predictions as those of `model`: two files of them are of two models."""
    versions = tuple(
        replace(version, annotator=model) if version.annotator == UNNAMED_MODEL else version
        for version in row.annotations or ()
    )
    return replace(row, annotations=versions or row.annotations)


def rounding_of(result: ReadResult) -> float:
    """How far edges may lie off those that an export began with: a frame, or half a millisecond."""
    if result.format in ("webvtt", "elan"):
        return 0.000501
    if result.format == "label-studio":
        return max((1 / row.extra["fps"] + 1e-6 for row in result.rows if row.extra.get("fps")), default=0.0)
    return 0.0


def usual_dataset(store: Store, result: ReadResult) -> str:
    """Where a file's rows go when nobody says.

    Answers go to the only dataset that there is. Others go to one of their own: named after the format, or after the
    file where several published data sets share the format. Raises InputError where answers could go to several.
    """
    form = FORMATS[result.format]
    datasets = list(store.datasets())
    if result.format in ATTACHED and datasets:
        if len(datasets) > 1:
            raise InputError(
                f"There are datasets {', '.join(datasets)}; say which one is meant (on the command line: --dataset)."
            )
        return datasets[0]
    is_qvhighlights = result.format == "qvhighlights" and all(
        YOUTUBE_CLIP.fullmatch(row.vid) for row in result.rows
    )
    if not form.is_shared or is_qvhighlights:
        return result.format
    words = re.split(r"[\W_]+", result.path.stem.lower())
    return "-".join(word for word in words if word and word not in NO_NAMES) or result.format
