"""Parquet with a dataset card, as `datasets.load_dataset(FOLDER)` reads it.

Files are `data/{split}-00000-of-00001.parquet`. They carry every field of a row. `qid` is a number when every
row's is, else text beside `qid_is_int`; `extra` is JSON text. pyarrow is imported when used.
"""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotations.formats import carried
from annotations.formats.files import read_bytes
from annotations.formats.jsonl import loads
from annotations.formats.manifest import dataset_card
from annotations.formats.options import ExportFiles, ExportOptions, FieldError, Problem, ReadOptions
from annotations.rows import SPLITS, Row, SourceLine

SUFFIX = ".parquet"
LARGEST_INT = 2**63 - 1


def _schema(numbered: bool) -> Any:
    import pyarrow as pa

    windows = pa.list_(pa.list_(pa.float64()))
    version = pa.struct(
        [
            ("annotator", pa.string()),
            ("source", pa.string()),
            ("windows", windows),
            ("scores", pa.list_(pa.float64())),
            ("saliency", pa.list_(pa.float64())),
            ("verdict", pa.string()),
            ("reason", pa.string()),
            ("arm", pa.string()),
            ("active_ms", pa.int64()),
            ("updated_at", pa.string()),
            ("revision", pa.int64()),
        ]
    )
    return pa.schema(
        [
            ("qid", pa.int64() if numbered else pa.string()),
            ("qid_is_int", pa.bool_()),
            ("query", pa.string()),
            ("vid", pa.string()),
            ("duration", pa.float64()),
            ("split", pa.string()),
            ("verdict", pa.string()),
            ("relevant_windows", windows),
            ("relevant_clip_ids", pa.list_(pa.int32())),
            ("saliency_scores", pa.list_(pa.list_(pa.int8()))),
            ("original_windows", windows),
            ("reason", pa.string()),
            ("n_annotators", pa.int32()),
            ("mean_tiou", pa.float64()),
            ("alpha_clip", pa.float64()),
            ("model_version", pa.string()),
            ("row_rev", pa.int64()),
            ("annotations", pa.list_(version)),
            ("extra", pa.string()),
        ]
    )


COLUMN_OF = {"duration_s": "duration", "windows": "relevant_windows"}
"""Row attribute → column, where the two differ."""


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows of a .parquet file, or of every one below a folder in the order of their names."""
    for file in sorted(path.rglob("*.parquet")) if path.is_dir() else [path]:
        for line, values in enumerate(_values(file), start=1):
            try:
                yield _row(values, SourceLine(file=file.name, line=line), options)
            except FieldError as error:
                yield Problem.of(error, file.name, line, repr(values))


def _values(file: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        values: list[dict[str, Any]] = pq.read_table(io.BytesIO(read_bytes(file))).to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise FieldError("file", file.name, f"is not readable as Parquet ({error})") from error
    return values


def _row(values: dict[str, Any], origin: SourceLine, options: ReadOptions) -> Row:
    note = {name: value for name, value in values.items() if value is not None}
    for attribute, column in COLUMN_OF.items():
        if column in note:
            note[attribute] = note.pop(column)
    if isinstance(note.get("qid"), int):
        note["qid"], note["qid_is_int"] = str(note["qid"]), True
    note["split"] = options.split or note.get("split", "unknown")
    note["extra"] = loads(note["extra"]) if "extra" in note else {}
    return carried.row_of(note, origin)


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a number that does not fit its column."""
    if row.qid_is_int and abs(int(row.qid)) > LARGEST_INT:
        raise FieldError("qid", row.qid, "does not fit in 64 bits; make it a text")


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """A folder with a file for each split and README.md; or, for a path that ends in .parquet, that file."""
    numbered = all(row.qid_is_int for row in rows)
    if path.suffix == SUFFIX:
        return ExportFiles(files={path: _table(rows, numbered)}, counts={"shards": 1})
    files: dict[Path, bytes] = {}
    sizes: dict[str, int] = {}
    for split in SPLITS:
        found = [row for row in rows if row.split == split]
        if found:
            files[path / "data" / f"{split}-00000-of-00001.parquet"] = _table(found, numbered)
            sizes[split] = len(found)
    files[path / "README.md"] = dataset_card(sizes, rows, options).encode("utf-8")
    return ExportFiles(files=files, counts={"shards": len(sizes)})


def _table(rows: Sequence[Row], numbered: bool) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(numbered)
    table = pa.Table.from_pylist([_columns(row, numbered) for row in rows], schema=schema)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _columns(row: Row, numbered: bool) -> dict[str, Any]:
    values = carried.noted(row)
    for attribute, column in COLUMN_OF.items():
        if attribute in values:
            values[column] = values.pop(attribute)
    values["qid"] = int(row.qid) if numbered else row.qid
    values["qid_is_int"] = row.qid_is_int
    values["n_annotators"] = sum(version.source == "annotator" for version in row.annotations or ())
    values["extra"] = json.dumps(dict(row.extra)) if row.extra else None
    return values
