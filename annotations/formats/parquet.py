"""Parquet with a dataset card, as `datasets.load_dataset(FOLDER)` reads it.

Files are `data/{split}-00000-of-00001.parquet`. They carry every field of a row. `qid` is a number when every
row's is, else text beside `qid_is_int`; `extra` is JSON text. pyarrow is imported when used.
"""

import dataclasses
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import read_bytes
from annotations.formats.jsonl import KNOWN, grounding_row
from annotations.formats.manifest import dataset_card
from annotations.formats.options import ExportFiles, ExportOptions, Item, ReadOptions
from annotations.formats.records import unread_fields
from annotations.rows import SPLITS, VERSION_SOURCES, AnnotatorVersion, Row, SourceLine
from tempo_core.errors import InputError
from tempo_core.metrics.rows import FieldError, Problem

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
            ("relevance", pa.float64()),
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


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows of a .parquet file, or of every one below a folder in the order of their names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = set(_schema(numbered=True).names)
    for file in sorted(path.rglob("*.parquet")) if path.is_dir() else [path]:
        try:
            table: list[dict[str, Any]] = pq.read_table(io.BytesIO(read_bytes(file))).to_pylist()
        except MemoryError:  # Arrow's own too, which is also an ArrowException
            raise
        except (pa.ArrowException, ValueError, OSError) as error:  # OSError: damaged pages
            raise FieldError("file", file.name, f"is not readable as Parquet ({error})") from error
        unread: Counter[str] = Counter()
        for line, cells in enumerate(table, start=1):
            unread.update(name for name, cell in cells.items() if name not in columns and cell is not None)
            place = f"row {line}"
            try:
                yield _row(cells, SourceLine(file=file.name, line=line, place=place), options)
            except FieldError as error:
                yield Problem.of(error, file.name, line, place=place, raw=repr(cells))
        yield from unread_fields(file.name, unread, "columns")


def _row(cells: dict[str, Any], origin: SourceLine, options: ReadOptions) -> Row:
    values = {name: value for name, value in cells.items() if value is not None}
    split = options.split or fields.split(values.get("split", "unknown"))
    row = grounding_row(
        {
            name: values[name] for name in KNOWN if name in values
        },  # columns that are also a JSON line's fields
        split,
        origin=origin,
        needs_duration=False,
        mending=options.mending,
    )
    if "original_windows" in values:
        original_windows = fields.windows(values["original_windows"], "original_windows", row.duration_s)
    else:
        original_windows = None
    versions = fields.sequence(values.get("annotations", []), "annotations")
    try:
        return dataclasses.replace(
            row,
            qid_is_int=row.qid_is_int or bool(values.get("qid_is_int")),
            original_windows=original_windows,
            mean_tiou=fields.optional(values, "mean_tiou", fields.number),
            alpha_clip=fields.optional(values, "alpha_clip", fields.number),
            model_version=fields.optional(values, "model_version", fields.text),
            row_rev=fields.optional(values, "row_rev", fields.whole),
            annotations=tuple(map(_version, versions)) if "annotations" in values else None,
            extra=fields.mapping(fields.parse_json(values.get("extra", "{}")), "extra"),
        )
    except FieldError:
        raise
    except InputError as error:
        raise FieldError("qid_is_int", True, str(error)) from error


def _version(item: object) -> AnnotatorVersion:
    values = fields.mapping(item, "annotations")
    try:
        return AnnotatorVersion(
            annotator=fields.text(values.get("annotator"), "annotator"),
            source=fields.choice(values.get("source") or "annotator", "source", VERSION_SOURCES),
            windows=fields.any_windows(values.get("windows") or [], "windows"),
            scores=fields.optional(values, "scores", fields.numbers),
            saliency=fields.optional(values, "saliency", fields.numbers),
            relevance=fields.optional(values, "relevance", fields.probability),
            verdict=fields.verdict(values["verdict"]) if values.get("verdict") else None,
            reason=fields.optional(values, "reason", fields.text),
            arm=fields.optional(values, "arm", fields.text),
            active_ms=fields.optional(values, "active_ms", fields.whole),
            updated_at=fields.optional(values, "updated_at", fields.text),
            revision=fields.optional(values, "revision", fields.whole),
        )
    except FieldError:
        raise
    except InputError as error:
        raise FieldError("annotations", item, str(error)) from error


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
        split_rows = [row for row in rows if row.split == split]
        if split_rows:
            files[path / "data" / f"{split}-00000-of-00001.parquet"] = _table(split_rows, numbered)
            sizes[split] = len(split_rows)
    files[path / "README.md"] = dataset_card(sizes, rows, options).encode("utf-8")
    return ExportFiles(files=files, counts={"shards": len(sizes)})


def _table(rows: Sequence[Row], numbered: bool) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(numbered)
    cells = []
    for row in rows:
        # Most columns have an attribute's name; the schema leaves out those that have none.
        values = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
        versions = None if row.annotations is None else list(map(dataclasses.asdict, row.annotations))
        cells.append(
            {
                **values,
                "qid": int(row.qid) if numbered else row.qid,
                "duration": row.duration_s,
                "relevant_windows": row.windows,
                "n_annotators": sum(version.source == "annotator" for version in row.annotations or ()),
                "annotations": versions,
                "extra": json.dumps(dict(row.extra)) if row.extra else None,
            }
        )
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(cells, schema=schema), sink, compression="zstd")
    return sink.getvalue()
