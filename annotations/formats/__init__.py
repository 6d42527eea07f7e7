"""Every format in and out: `detect` names a file's format, `read` gives its rows, `write` makes files.

    result = read(Path("highlight_val_release.jsonl"))          # all rows, or RowsRejected
    options = ExportOptions(snapping="nearest")
    report = write(result.rows, Path("export"), format="qvhighlights", options=options)

A format's module is imported when it is used. `FORMATS` says what each can carry; docs/formats.md explains. Some
formats are only read, and rows for training are only written.
"""

import dataclasses
import importlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from annotations.choices import SALIENCY_POLICIES, SNAPPINGS
from annotations.formats.catalogue import ALL, FORMATS, VERSION, Format
from annotations.formats.detection import detect
from annotations.formats.fields import Mending
from annotations.formats.files import sha256_of, split_of, write_all, write_rejects
from annotations.formats.manifest import MENDED, export_manifest, licence_notice
from annotations.formats.options import (
    Contents,
    ExportFiles,
    ExportOptions,
    ExportReport,
    Omission,
    ReadOptions,
    ReadResult,
    RowsRejected,
)
from annotations.rows import Row, SourceLine
from tempo_core.errors import InputError
from tempo_core.metrics.rows import FieldError, Problem
from tempo_core.wording import plural

__all__ = [
    "FORMATS",
    "SALIENCY_POLICIES",
    "SNAPPINGS",
    "Contents",
    "ExportOptions",
    "ExportReport",
    "Format",
    "Mending",
    "Omission",
    "Problem",
    "ReadOptions",
    "ReadResult",
    "RowsRejected",
    "detect",
    "dropped_fields",
    "export_names",
    "is_folder",
    "names",
    "read",
    "write",
]


def names() -> tuple[str, ...]:
    """The names of the formats that are read, as `import --format` takes them."""
    return tuple(name for name, form in FORMATS.items() if form.is_read)


def export_names() -> tuple[str, ...]:
    """The names of the formats that are written."""
    return tuple(name for name, form in FORMATS.items() if form.is_written)


def is_folder(format: str, path: Path) -> bool:
    """Whether a path becomes a folder of files in this format, which is unless it has the format's suffix."""
    return FORMATS[format].folder and path.suffix != FORMATS[format].suffix


def _module(name: str, names: tuple[str, ...], use: str) -> ModuleType:
    if name not in names:
        other = f"Format {name!r} is not {use}" if name in FORMATS else f"There is no format {name!r}"
        raise InputError(f"{other}. The formats that are {use}: {', '.join(names)}.")
    return importlib.import_module(f"annotations.formats.{name.replace('-', '_')}")


def read(path: Path, *, format: str | None = None, options: ReadOptions | None = None) -> ReadResult:
    """Every row of a file or folder, in its order; read-only but for the rejects file.

    `format` None detects it. Raises RowsRejected naming every bad row unless `options.keep_going`, which
    leaves them out, returns them as `problems`, and writes them to `options.rejects_path`. Raises InputError
    for a file that cannot be read at all. A query id given twice is a bad row. What the file holds beside its
    rows is in `omissions`, and how much of it was taken in `contents`.
    """
    options = options or ReadOptions()
    if not path.exists():
        raise InputError(f"{path} does not exist. Check the path.")
    name = format or detect(path)
    rows: dict[str, Row] = {}
    problems: list[Problem] = []
    omissions: list[Omission] = []
    held_counts: Counter[str] = Counter()
    taken_counts: Counter[str] = Counter()
    try:
        for place, item in enumerate(_module(name, names(), "read").read(path, options), start=1):
            if options.max_items is not None and place > options.max_items:
                raise InputError(
                    f"{path.name} holds more than {options.max_items} rows. Divide it and import the parts."
                )
            if isinstance(item, Problem):
                problems.append(item)
            elif isinstance(item, Omission):
                omissions.append(item)
            elif isinstance(item, Contents):
                held_counts[item.unit] += item.held
                taken_counts[item.unit] += item.taken
            elif item.qid in rows:
                origin = item.origin or SourceLine(file=path.name, line=place)
                earlier = rows[item.qid].origin
                rule = f"was given already{f' in {earlier}' if earlier else ''}; ids are unique in a file"
                error = FieldError("qid", item.qid_value, rule)
                problems.append(Problem.of(error, origin.file, origin.line, place=origin.place, raw=item.raw))
            else:
                mending = options.mending
                if mending is not None and (repairs := mending.repairs_of(item.windows)):
                    # The row itself says what was repaired in it, so that every export does.
                    item = dataclasses.replace(item, extra={**item.extra, MENDED: repairs})
                rows[item.qid] = item
    except FieldError as error:
        raise InputError(f"{path.name} cannot be read as {name}: {error}") from error
    problems.sort(key=lambda problem: (problem.file, problem.line))
    if problems and not options.keep_going:
        raise RowsRejected(tuple(problems), "imported")
    if problems and options.rejects_path is not None:
        write_rejects(options.rejects_path, problems)
    return ReadResult(
        format=name,
        path=path,
        sha256=sha256_of(path),
        rows=tuple(rows.values()),
        problems=tuple(problems),
        omissions=tuple(omissions),
        contents=tuple(
            Contents(unit=unit, held=count, taken=taken_counts[unit]) for unit, count in held_counts.items()
        ),
        mended={} if options.mending is None else dict(options.mending.counts),
    )


def write(
    rows: Iterable[Row], path: Path, *, format: str, options: ExportOptions | None = None
) -> ExportReport:
    """Write rows to a file, or to a folder where the format makes several; all files or none.

    Raises RowsRejected when the format cannot carry a row (with `options.keep_going`: leaves it out, reports
    it, and writes it to `options.rejects_path`). `ExportReport.counts` says how many rows have nothing that the
    format shows, `ExportReport.dropped` what the others lose. A manifest with the options, counts and hashes,
    and the licence's notice stand beside the files.
    """
    options = options or ExportOptions()
    module = _module(format, export_names(), "written")
    folder = is_folder(format, path)
    if path.is_dir() and not folder:
        example = path / f"rows{FORMATS[format].suffix}"
        raise InputError(f"{path} is a folder; {format} needs a file, such as {example}.")

    # Which rows the format can carry, and which have nothing in them that it shows.
    exported: list[Row] = []
    problems: list[Problem] = []
    left_out: Counter[str] = Counter()
    for place, row in enumerate(rows, start=1):
        try:
            module.check(row, path, options)
        except FieldError as error:
            named = FieldError(f"qid {row.qid_value!r}: {error.field}", None, error.rule)
            named.value = error.value
            problems.append(Problem.of(named, f"export to {path.name}", place, raw=row.raw))
            continue
        reason = module.left_out(row) if hasattr(module, "left_out") else None
        if reason is None:
            exported.append(row)
        else:
            left_out[reason] += 1
    if problems and not options.keep_going:
        raise RowsRejected(tuple(problems), "written")
    if not exported:
        counted = "".join(f" {plural(count, 'row')}: {reason}." for reason, count in left_out.items())
        raise InputError(f"There are no rows to write to {path}.{counted}")

    dropped = dropped_fields(exported, path, format=format, options=options)
    try:
        output: ExportFiles = module.write(exported, path, options)
    except FieldError as error:
        raise InputError(f"{path.name} cannot be written as {format}: {error}") from error
    counts = {**output.counts, **left_out}
    files = dict(output.files)
    manifest = export_manifest(
        format, exported, output.files, counts, dropped, options, path if folder else path.parent
    )
    content = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode("utf-8")
    notice = licence_notice(exported, options).encode("utf-8")
    # In the folder, or beside the file under its name.
    files[path / "MANIFEST.json" if folder else path.with_name(f"{path.name}.manifest.json")] = content
    files[path / "LICENSE" if folder else path.with_name(f"{path.name}.LICENSE")] = notice
    write_all(files, overwrite=options.overwrite)
    if problems and options.rejects_path is not None:
        write_rejects(options.rejects_path, problems)
    return ExportReport(
        format=format,
        rows=len(exported),
        files=tuple(sorted(files)),
        counts=counts,
        dropped=dropped,
        problems=tuple(problems),
    )


def dropped_fields(rows: Iterable[Row], path: Path, *, format: str, options: ExportOptions) -> dict[str, int]:
    """Field → how many rows hold a value in it that the format loses. A file's name carries its split."""
    module, carries = _module(format, export_names(), "written"), FORMATS[format].carries
    version_drops = VERSION - FORMATS[format].version_carries if "annotations" in carries else frozenset()
    dropped: Counter[str] = Counter()
    for row in rows:
        if hasattr(module, "losses"):
            dropped.update(module.losses(row, path, options))
        for name in sorted(version_drops):
            if any(getattr(version, name) is not None for version in row.annotations or ()):
                dropped[f"annotations.{name}"] += 1
        for name in sorted(ALL - carries):
            value = getattr(row, name)
            if name == "split" and value in ("unknown", split_of(path, ReadOptions())):
                continue
            if value is not None and value is not False and value != {}:
                dropped[name] += 1
    return dict(dropped)
