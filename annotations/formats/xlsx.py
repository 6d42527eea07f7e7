"""Excel workbooks with CSV's columns: every sheet whose first line names moments; the others are named, not read.

A cell is read as the text that it shows, so that a workbook and the CSV saved from it are the same rows. A time cell
with seconds in its form counts so; one of hours and minutes (what Excel makes of a typed `0:30`) counts as M:SS.
A workbook is a ZIP archive from somebody else: its size, its compression and its lines are limited, and a document
type in its XML is refused.
"""

import datetime
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.utils.datetime import to_excel

from annotations.formats import csv, fields
from annotations.formats.csv import COLUMNS, Cells, Line, cells_by_column, lines_of, read_lines, safe
from annotations.formats.files import read_bytes
from annotations.formats.options import ExportFiles, ExportOptions, Item, Omission, ReadOptions
from annotations.rows import Row, SourceLine
from tempo_core.errors import InputError
from tempo_core.metrics.rows import FieldError

MAX_BYTES = 256 << 20
"""Of the archive's files together, unpacked."""
MAX_RATIO, RATIO_FROM_BYTES = 200, 4 << 20
"""How many times larger than packed the files may be, once they are as large as this; tables reach about 50."""
MAX_LINES, MAX_COLUMNS = 200_000, 100
LAST_LINE = 1_048_576
"""Of an Excel sheet."""
MAX_CHARACTERS = 32_767
"""In a cell; Excel cuts what is longer."""
EXACT_DIGITS = 15
"""Of a whole number that Excel keeps."""
NUMBERS = (
    "span_idx",
    "start_s",
    "end_s",
    "start_frame",
    "end_frame",
    "score",
    "active_ms",
    "row_rev",
    "duration_s",
)
"""Columns that hold numbers."""
WIDTHS = {"query": 60, "vid": 24}
"""Of columns, in characters, in files that are written."""
DAY_S = 86_400
LONGEST_DAYS = 60
"""A cell of a later date is a date, an earlier one is a length of time."""
DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    EOFError,
    NotImplementedError,
)
"""What openpyxl raises for files that are no workbooks, beside what ZIP and XML raise."""
CODED = re.compile("_x([0-9A-Fa-f]{4})_")
NOT_XML = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
"""What a cell holds as `_xHHHH_` (ECMA-376, ST_Xstring)."""
CLOCK = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows of every sheet with moments, as `csv` reads its lines. Raises InputError."""
    lines: list[Line] = []
    omissions: list[Omission] = []
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
            warnings.simplefilter("ignore")  # openpyxl names what it leaves out of a workbook's looks
            has_formulas = _check_archive(archive, path.name)
            for line in _lines(archive, path.name, has_formulas):
                (omissions if isinstance(line, Omission) else lines).append(line)  # type: ignore[arg-type]
    except (*DAMAGED, zipfile.BadZipFile, zlib.error, ParseError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path.name} cannot be read as an Excel workbook ({error}). Save it again as .xlsx, or as CSV."
        ) from error
    if not lines and omissions:
        raise InputError(
            f"{path.name} has no sheet whose first line names columns vid, query, start_s and end_s: "
            f"{'; '.join(f'{omission.place} {omission.reason}' for omission in omissions)}."
        )
    yield from omissions
    yield from read_lines(lines, path, options)


def _check_archive(archive: zipfile.ZipFile, name: str) -> bool:
    """Refuse an archive that unpacks to too much; whether its sheets hold formulas. Raises InputError."""
    files = archive.infolist()
    unpacked, packed = sum(file.file_size for file in files), sum(file.compress_size for file in files)
    if unpacked > MAX_BYTES or unpacked > max(RATIO_FROM_BYTES, MAX_RATIO * packed):
        raise InputError(
            f"{name} unpacks from {packed} to {unpacked} bytes; a workbook may have {MAX_BYTES}, and {MAX_RATIO} times "
            "its packed size. Save its sheet as CSV."
        )
    has_formulas = False
    for file in files:
        if file.filename.endswith((".xml", ".rels")):
            content = archive.read(file)  # no more than `file_size`, whatever the stream holds
            for mark in ("<!DOCTYPE", "<!ENTITY"):
                if any(mark.encode(encoding) in content for encoding in ("utf-8", "utf-16-le", "utf-16-be")):
                    raise InputError(
                        f"{name} declares a document type in {file.filename}; workbooks have none."
                    )
            has_formulas |= (
                "worksheets/" in file.filename and re.search(rb"<(\w+:)?f[ >]", content) is not None
            )
    return has_formulas


def _lines(archive: zipfile.ZipFile, name: str, has_formulas: bool) -> Iterator[Line | Omission]:
    """The lines of the sheets with moments, and what the workbook holds beside them. Raises InputError."""
    stream = archive.fp
    workbook = openpyxl.load_workbook(stream, read_only=True, data_only=True)
    formulas = openpyxl.load_workbook(stream, read_only=True) if has_formulas else None
    line_count = 0
    for title in workbook.sheetnames:
        place = f"sheet {title!r}"
        sheet = workbook[title]
        if not hasattr(sheet, "iter_rows"):
            yield Omission(file=name, place=place, reason="is a chart")
            continue
        twin = None if formulas is None else _rows(formulas[title])
        table = _texts(_rows(sheet), twin, place)
        header = next(table, (1, []))[1]
        while header and not header[-1]:
            header.pop()
        if csv.delimiter_of("\t".join(header)) is None:
            words = ", ".join(cell for cell in header if cell)[:80]
            reason = (
                f"is no table of moments: its first line has {words}" if words else "has an empty first line"
            )
            yield Omission(file=name, place=place, reason=reason)
            continue
        for number, cells in cells_by_column(header, table, f"{name}, {place}"):
            line_count += 1
            if line_count > MAX_LINES:
                raise InputError(f"{name} has more than {MAX_LINES} lines. Divide it, or save it as CSV.")
            yield SourceLine(file=name, line=number, place=f"{place}, line {number}"), cells


def _rows(sheet: Any) -> Iterator[Sequence[Any]]:
    """A sheet's rows of cells. The size that the file states is not believed."""
    sheet.reset_dimensions()
    yield from sheet.iter_rows(max_col=MAX_COLUMNS + 1, max_row=LAST_LINE)


def _texts(
    rows: Iterator[Sequence[Any]], formulas: Iterator[Sequence[Any]] | None, place: str
) -> Iterator[tuple[int, list[str]]]:
    """The rows as texts, with their numbers. Raises InputError for a formula whose value is not in the file."""
    for number, (cells, twins) in enumerate(zip(rows, formulas or repeat(()), strict=False), start=1):
        for cell, twin in zip(cells, twins, strict=False):
            if cell.value is None and twin.data_type == "f":
                raise InputError(
                    f"{place}, cell {twin.coordinate} is a formula without a value. Open the workbook in a spreadsheet "
                    "program and save it."
                )
        texts = [_text(cell) for cell in cells]
        if texts[MAX_COLUMNS:] and texts[MAX_COLUMNS]:
            raise InputError(
                f"{place}, line {number} has more than {MAX_COLUMNS} cells. Keep the columns that matter."
            )
        yield number, texts


def _text(cell: Any) -> str:
    """What a cell says, as CSV would hold it."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return CODED.sub(lambda code: chr(int(code[1], 16)), value)
    if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
        days = to_excel(value)
        if days >= LONGEST_DAYS and not isinstance(value, datetime.timedelta):
            return str(value.isoformat())
        form = re.sub(r'"[^"]*"|\\.', "", cell.number_format).lower()
        return repr(round(days * DAY_S / (1 if "s" in form else 60), 3))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError as `csv` does, and for a text that is too long for a cell."""
    csv.check(row, path, options)
    for line in lines_of(row, options):
        for name, text in line.items():
            if len(_escape(safe(text))) > MAX_CHARACTERS:
                raise FieldError(name, f"{text[:40]}…", f"an Excel cell holds {MAX_CHARACTERS} characters")


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One sheet `moments` with every column of `COLUMNS`. Equal rows give equal bytes."""
    workbook = openpyxl.Workbook(write_only=True)
    workbook.properties.created = datetime.datetime(1980, 1, 1)
    sheet: Any = workbook.create_sheet("moments")
    sheet.freeze_panes = "A2"
    for idx, name in enumerate(COLUMNS):
        sheet.column_dimensions[openpyxl.utils.get_column_letter(idx + 1)].width = WIDTHS.get(name, 12)
    sheet.append(COLUMNS)
    line_count = 0
    for row in rows:
        for line in lines_of(row, options):
            sheet.append([_cell(sheet, name, line) for name in COLUMNS])
            line_count += 1
    if line_count > MAX_LINES:
        raise FieldError("lines", line_count, f"a workbook takes {MAX_LINES}; write CSV")
    stream = io.BytesIO()
    workbook.save(stream)
    return ExportFiles(files={path: _without_date(stream)}, counts={"lines": line_count})


def _cell(sheet: Any, name: str, line: Cells) -> Any:
    """A cell of a number or a text. It is never a formula."""
    text = line.get(name, "")
    is_id = name == "qid" and fields.qid_of_text(text)[1] and len(text) <= EXACT_DIGITS
    cell = WriteOnlyCell(sheet, _escape(safe(text)))
    cell.data_type = "s"
    if text and (name in NUMBERS or is_id):
        cell.value = text  # as text with the type of a number: openpyxl would round it to 16 digits
        cell.data_type = "n"
    return cell


def _escape(text: str) -> str:
    return NOT_XML.sub(lambda sign: f"_x{ord(sign[0]):04X}_", text)


def _without_date(stream: io.BytesIO) -> bytes:
    """The archive without the time at which it was made."""
    output = io.BytesIO()
    with zipfile.ZipFile(stream) as source, zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "docProps/core.xml":
                content = CLOCK.sub(b"1980-01-01T00:00:00Z", content)
            target.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return output.getvalue()
