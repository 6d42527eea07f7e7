"""Excel workbooks: what their cells show, what is refused, and files that hold no formula."""

import datetime
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.chart import BarChart

from annotations.formats import ReadOptions, RowsRejected, detect, read, xlsx
from annotations.rows import Row
from tempo_core.errors import InputError
from tests.annotations.formats.sample_rows import FULL, REFUSAL, UNCLEAR, UNLABELLED, export

HEADER = ("Video", "Sentence", "Start", "End")


def save(path: Path, *lines: tuple[Any, ...], forms: dict[str, str] | None = None) -> Path:
    workbook = openpyxl.Workbook()
    for line in lines:
        workbook.active.append(line)
    for coordinate, form in (forms or {}).items():
        workbook.active[coordinate].number_format = form
    workbook.save(path)
    return path


def moments(rows: tuple[Row, ...]) -> list[tuple[str, str, Any]]:
    return [(row.qid, row.query, row.windows) for row in rows]


def repacked(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The archive with its files changed."""
    source = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
    return path


@pytest.mark.parametrize(
    ("start", "end", "form", "window"),
    [
        (1, 2.5, "General", (1.0, 2.5)),
        ("0:01,5", "00:00:02", "General", (1.5, 2.0)),
        # Typed as 0:30, which Excel keeps as half an hour and shows as 0:30.
        (datetime.time(0, 30), datetime.time(1, 5), "h:mm", (30.0, 65.0)),
        (datetime.time(0, 0, 30), datetime.time(0, 1, 5), "h:mm:ss", (30.0, 65.0)),
        (datetime.time(0, 0, 30, 250_000), datetime.time(0, 1, 5), "mm:ss.0", (30.25, 65.0)),
        (datetime.timedelta(hours=25), datetime.timedelta(hours=26), "[h]:mm:ss", (90_000.0, 93_600.0)),
        (datetime.time(0, 30), datetime.time(1, 5), 'h:mm" s"', (30.0, 65.0)),
        # The last day that a length of time may reach: the date that Excel shows for it is a date one day later.
        (0, datetime.datetime(1900, 2, 28, 23), "[h]:mm:ss", (0.0, 59.0 * 86_400 + 23 * 3600)),
    ],
)
def test_a_time_counts_as_it_is_shown(
    tmp_path: Path, start: object, end: object, form: str, window: tuple[float, float]
) -> None:
    path = save(tmp_path / "v.xlsx", HEADER, ("v", "q", start, end), forms={"C2": form, "D2": form})
    assert moments(read(path).rows) == [("v/0", "q", (window,))]


def test_a_date_is_no_length_of_time(tmp_path: Path) -> None:
    path = save(tmp_path / "v.xlsx", HEADER, ("v", "q", 1, datetime.datetime(1900, 3, 1)))
    with pytest.raises(RowsRejected, match="1900-03-01"):
        read(path)


def test_ids_are_texts_and_numbers(tmp_path: Path) -> None:
    lines = [(7, "a", "q", 1, 2), (8.0, "a", "p", 1, 2), ("007", "b", True, 3, 4)]
    result = read(save(tmp_path / "v.xlsx", ("qid", "vid", "query", "start_s", "end_s"), *lines))
    assert [(row.qid, row.qid_is_int, row.query) for row in result.rows] == [
        ("7", True, "q"),
        ("8", True, "p"),
        ("007", False, "True"),
    ]


def test_every_sheet_is_read_or_named(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.active.title = "first"
    workbook.active.append(HEADER)
    workbook.active.append(("v", "q", 1, 2))
    notes = workbook.create_sheet("notes")
    notes.append(("who", "when"))
    hidden = workbook.create_sheet("more")
    hidden.sheet_state = "hidden"
    hidden.append((*HEADER, "Mood"))
    hidden.append((None,))
    hidden.append(("w", "p", 3, 4, "good"))
    workbook.create_sheet("empty")
    workbook.create_chartsheet("picture").add_chart(BarChart())
    workbook.save(tmp_path / "v.xlsx")
    result = read(tmp_path / "v.xlsx")
    assert moments(result.rows) == [("v/0", "q", ((1.0, 2.0),)), ("w/0", "p", ((3.0, 4.0),))]
    assert str(result.rows[1].origin) == "v.xlsx, sheet 'more', line 3"
    assert [str(omission) for omission in result.omissions] == [
        "v.xlsx, sheet 'notes': is no table of moments: its first line has who, when",
        "v.xlsx, sheet 'empty': has an empty first line",
        "v.xlsx, sheet 'picture': is a chart",
        "v.xlsx, columns Mood (1): not read",
    ]


def test_a_workbook_without_moments_says_what_its_sheets_have(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"has no sheet .* sheet 'Sheet' is no table .* first line has who, when"
    ):
        read(save(tmp_path / "v.xlsx", ("who", "when")))


def test_a_bad_line_is_named_by_sheet_and_line(tmp_path: Path) -> None:
    path = save(tmp_path / "v.xlsx", HEADER, ("v", "q", 1, 2), ("v", "p", 4, 3), ("w", "p", "#REF!", 3))
    with pytest.raises(
        RowsRejected, match=r"v\.xlsx, sheet 'Sheet', line 3: start_s, end_s is \[4\.0, 3\.0\]"
    ):
        read(path)
    result = read(path, options=ReadOptions(keep_going=True))
    assert moments(result.rows) == [("v/0", "q", ((1.0, 2.0),))]
    assert [problem.place for problem in result.problems] == [
        "sheet 'Sheet', line 3",
        "sheet 'Sheet', line 4",
    ]


def test_a_formula_counts_by_its_stored_value(tmp_path: Path) -> None:
    path = save(tmp_path / "v.xlsx", HEADER, ("v", "q", 1, "=C2+1"))
    with pytest.raises(InputError, match=r"sheet 'Sheet', cell D2 is a formula without a value"):
        read(path)
    repacked(path, lambda _name, content: content.replace(b"<v /></c>", b"<v>2</v></c>"))
    assert moments(read(path).rows) == [("v/0", "q", ((1.0, 2.0),))]


def test_what_is_written_is_text_or_numbers_and_the_same_each_time(tmp_path: Path) -> None:
    formula = Row(
        qid="8", qid_is_int=True, query="=1+1", vid="v\x07_x0041_", duration_s=0.1 + 0.2, windows=()
    )
    export(tmp_path / "a.xlsx", "xlsx", FULL, REFUSAL, UNLABELLED, UNCLEAR, formula, frame_rate=25.0)
    export(tmp_path / "b.xlsx", "xlsx", FULL, REFUSAL, UNLABELLED, UNCLEAR, formula, frame_rate=25.0)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").active
    types = {cell.data_type for line in sheet.iter_rows() for cell in line}
    assert "f" not in types
    assert [cell.value for cell in sheet[2]][:8] == [7, FULL.vid, "val", "truth", None, 0, 1.2345678, 5.5]
    export(tmp_path / "x.csv", "csv", FULL, REFUSAL, UNLABELLED, UNCLEAR, formula, frame_rate=25.0)
    workbook_rows, table_rows = (
        [(row.qid, row.query, row.vid, row.windows, row.duration_s) for row in read(tmp_path / name).rows]
        for name in ("a.xlsx", "x.csv")
    )
    assert workbook_rows == table_rows


def test_a_text_that_no_cell_holds_is_refused(tmp_path: Path) -> None:
    row = Row(qid="1", query="q" * 32_768, vid="v", windows=((1.0, 2.0),))
    with pytest.raises(RowsRejected, match="an Excel cell holds 32767 characters"):
        export(tmp_path / "x.xlsx", "xlsx", row)


def bomb(name: str, content: bytes) -> bytes:
    return content + b" " * (40 << 20) if name == "xl/workbook.xml" else content


def with_entity(name: str, content: bytes) -> bytes:
    declared = b'<!DOCTYPE w [<!ENTITY a "aaaa">]>' + content
    return declared if name == "xl/worksheets/sheet1.xml" else content


def without_sheet(name: str, content: bytes) -> bytes:
    return b"<worksheet" if name == "xl/worksheets/sheet1.xml" else content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (bomb, "unpacks from .* to .* bytes"),
        (with_entity, r"declares a document type in xl/worksheets/sheet1\.xml"),
        (without_sheet, "cannot be read as an Excel workbook"),
    ],
)
def test_a_hostile_or_damaged_workbook_is_refused(
    tmp_path: Path, change: Callable[[str, bytes], bytes], message: str
) -> None:
    path = repacked(save(tmp_path / "v.xlsx", HEADER, ("v", "q", 1, 2)), change)
    with pytest.raises(InputError, match=message):
        read(path)


def test_limits_of_lines_and_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "v.xlsx", HEADER, ("v", "q", 1, 2), ("v", "p", 1, 2))
    monkeypatch.setattr(xlsx, "MAX_LINES", 1)
    with pytest.raises(InputError, match="more than 1 lines"):
        read(path)
    monkeypatch.setattr(xlsx, "MAX_COLUMNS", 3)
    with pytest.raises(InputError, match="line 1 has more than 3 cells"):
        read(path)


def test_a_stated_size_is_not_believed(tmp_path: Path) -> None:
    path = save(tmp_path / "v.xlsx", HEADER, ("v", "q", 1, 2))
    repacked(path, lambda _name, content: content.replace(b'ref="A1:D2"', b'ref="A1:A1"'))
    assert moments(read(path).rows) == [("v/0", "q", ((1.0, 2.0),))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04...xl/workbook.xml", "cannot be read as an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"before 2007, or with a password \(save it as \.xlsx"),
        (b"PK\x03\x04...content.xml", "a ZIP archive"),
    ],
)
def test_other_office_files_name_the_remedy(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "v.xlsx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(path)


def test_a_workbook_is_known_by_its_content(tmp_path: Path) -> None:
    assert detect(save(tmp_path / "table", HEADER)) == "xlsx"
