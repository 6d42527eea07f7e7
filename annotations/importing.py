"""A file into the store: the format's reader, the right dataset, and a report that names the rows left out."""

from dataclasses import dataclass
from pathlib import Path

from annotations import formats
from annotations.formats import Contents, Omission, Problem, ReadOptions
from annotations.imports import ImportReport
from annotations.store import Store
from tempo_core.errors import InputError

ATTACHED = ("predictions", "label-studio", "csv", "parquet", "webvtt", "elan")
"""Formats that carry answers to rows which are often in the store already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedFile:
    """One file as it was imported."""

    file_name: str
    format: str
    dataset: str
    report: ImportReport
    problems: tuple[Problem, ...]
    """Rows that were left out (only with `keep_going`)."""
    omissions: tuple[Omission, ...] = ()
    """What the file holds and no row says."""
    contents: tuple[Contents, ...] = ()
    """How much of the file is in rows, in the format's own units."""


def import_file(
    store: Store,
    path: Path,
    *,
    op_id: str,
    actor: str,
    format: str | None = None,
    dataset: str | None = None,
    options: ReadOptions | None = None,
) -> ImportedFile:
    """Import one file or folder, all or nothing; `format` None detects it, `dataset` None chooses one.

    With `options.keep_going`, rows that break a rule are left out and named. Raises RowsRejected, InputError.
    """
    result = formats.read(path, format=format, options=options)
    dataset = dataset or usual_dataset(store, result.format)
    report = store.import_rows(
        result.rows,
        dataset=dataset,
        op_id=op_id,
        actor=actor,
        file_name=path.name,
        format_name=result.format,
    )
    return ImportedFile(
        file_name=path.name,
        format=result.format,
        dataset=dataset,
        report=report,
        problems=result.problems,
        omissions=result.omissions,
        contents=result.contents,
    )


def usual_dataset(store: Store, format_name: str) -> str:
    """Where rows of a format go when nobody says: to the only dataset, or to one named after the format."""
    datasets = list(store.datasets())
    if format_name not in ATTACHED or not datasets:
        return format_name
    if len(datasets) > 1:
        raise InputError(
            f"There are datasets {', '.join(datasets)}; say which one is meant (on the command line: --dataset)."
        )
    return datasets[0]
