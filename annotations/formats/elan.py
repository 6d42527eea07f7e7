"""ELAN .eaf: a tier each for a query's moments, its original moments, and every annotator's and model's.

Times are whole milliseconds. A PROPERTY in the header holds each row as JSON, which keeps exact seconds,
refusals and whatever a tier cannot say; moments edited in ELAN are read from the tiers. One file a video. A
file with a DOCTYPE is refused: no entity is ever expanded. Form: EAFv3.0.xsd (archive.mpi.nl).
"""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from annotations.formats import carried, fields
from annotations.formats.entries import by_video
from annotations.formats.files import read_text, safe_name
from annotations.formats.jsonl import loads, split_of
from annotations.formats.options import ExportFiles, ExportOptions, FieldError, Problem, ReadOptions
from annotations.formats.webvtt import Milliseconds, to_ms, to_seconds
from annotations.rows import Row, SourceLine, Windows
from tempo_core.errors import InputError

SUFFIX = ".eaf"
PROPERTY = "row "
TRUTH, ORIGINAL = "moments", "original"
NO_DATE = "1970-01-01T00:00:00+00:00"
SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Tiers = dict[str, list[tuple[Milliseconds, str]]]


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows of a file, or of every .eaf file in a folder; item numbers count a file's queries from 1."""
    for file in sorted(path.glob("*.eaf")) if path.is_dir() else [path]:
        yield from _read_file(file, options)


def _read_file(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    root = parse_safely(read_text(path), path.name)
    notes = [node for node in root.iterfind("HEADER/PROPERTY") if node.get("NAME", "").startswith(PROPERTY)]
    try:
        tiers = _tiers(root)
    except FieldError as error:
        yield Problem.of(error, path.name, 0)
        return
    for item, node in enumerate(notes, start=1):
        try:
            yield _noted_row(
                loads(node.text or ""), tiers, item, SourceLine(file=path.name, line=item), options
            )
        except FieldError as error:
            yield Problem.of(error, path.name, item, node.text)
    if not notes:
        yield from _plain_rows(tiers, path, options)


def parse_safely(text: str, name: str) -> ElementTree.Element:
    """The document's root. Raises InputError for a DOCTYPE (entities read files and swell) or broken XML."""
    if re.search(r"<!\s*(?:DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise InputError(f"{name} declares a DOCTYPE or an entity, which ELAN never writes; it is not read.")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{name} is not well-formed XML ({error}). Export it from ELAN again.") from error


def _tiers(root: ElementTree.Element) -> Tiers:
    slots = {
        slot.get("TIME_SLOT_ID", ""): slot.get("TIME_VALUE") for slot in root.iterfind("TIME_ORDER/TIME_SLOT")
    }
    tiers: Tiers = {}
    for tier in root.iterfind("TIER"):
        found = tiers.setdefault(tier.get("TIER_ID", ""), [])
        for node in tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION"):
            shown = (_time(slots, node, "TIME_SLOT_REF1"), _time(slots, node, "TIME_SLOT_REF2"))
            if shown[1] <= shown[0]:
                raise FieldError(tier.get("TIER_ID", ""), shown, "an annotation must end after it starts")
            found.append((shown, node.findtext("ANNOTATION_VALUE") or ""))
    return tiers


def _time(slots: dict[str, str | None], node: ElementTree.Element, name: str) -> int:
    value = slots.get(node.get(name, ""))
    if value is None or not value.isdecimal():
        raise FieldError(
            "TIME_SLOT", value, f"annotation {node.get('ANNOTATION_ID')} needs a time in milliseconds"
        )
    return int(value)


def _tier_id(item: int, lane: str) -> str:
    return f"{item}/{lane}"


def _noted_row(note: object, tiers: Tiers, item: int, origin: SourceLine, options: ReadOptions) -> Row:
    row = carried.row_of(note, origin)
    row = carried.with_windows(row, _lane(tiers, item, TRUTH, row.windows or ()))
    versions = tuple(
        carried.version_with(version, _lane(tiers, item, f"{version.source}/{place}", version.windows))
        for place, version in enumerate(row.annotations or (), start=1)
    )
    row = replace(row, annotations=versions or row.annotations)
    return row if options.split is None else replace(row, split=options.split)


def _lane(tiers: Tiers, item: int, lane: str, exact: Windows) -> Windows:
    """A tier's moments; a tier that has been deleted says nothing, so the note stands."""
    start = _tier_id(item, lane)
    name = next((tier for tier in tiers if tier == start or tier.startswith(f"{start} ")), None)
    if name is None:
        return exact
    in_order = sorted(shown for shown, _ in tiers[name])
    if in_order == sorted(to_ms(*window) for window in exact):
        return exact
    return carried.settled(exact, in_order, to_ms, to_seconds)


def _plain_rows(tiers: Tiers, path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Any other tool's file: each value of each tier is a query, its annotations are the moments."""
    queries: dict[tuple[str, str], list[Milliseconds]] = {}
    for tier, found in tiers.items():
        for shown, value in found:
            queries.setdefault((tier, value), []).append(shown)
    for item, ((tier, value), shown_at) in enumerate(queries.items(), start=1):
        try:
            yield Row(
                qid=f"{path.stem}/{tier}/{item}",
                query=fields.text(value, "ANNOTATION_VALUE"),
                vid=path.stem,
                split=split_of(path, options),
                windows=fields.windows([to_seconds(shown) for shown in shown_at], "TIME_SLOT"),
                origin=SourceLine(file=path.name, line=item),
            )
        except FieldError as error:
            yield Problem.of(error, path.name, item)


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Every row can be carried."""


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """A path that ends in .eaf takes the rows of one video; a folder gets one file for each."""
    videos = by_video(rows)
    if path.suffix == SUFFIX and len(videos) > 1:
        raise InputError(
            f"{path.name} would hold {len(videos)} videos; ELAN's files hold one. Give a folder."
        )
    date = options.created_at or NO_DATE
    files = {
        path if path.suffix == SUFFIX else path / f"{safe_name(vid)}.eaf": _document(vid, found, date)
        for vid, found in videos.items()
    }
    return ExportFiles(files=files, counts={"videos": len(videos)})


def _document(vid: str, rows: Sequence[Row], date: str) -> bytes:
    schema = {f"{{{INSTANCE}}}noNamespaceSchemaLocation": SCHEMA}
    about = {"AUTHOR": "", "DATE": date, "FORMAT": "3.0", "VERSION": "3.0"}
    root = ElementTree.Element("ANNOTATION_DOCUMENT", {**about, **schema})
    _header(root, vid, rows)
    order = ElementTree.SubElement(root, "TIME_ORDER")
    lanes = [lane for item, row in enumerate(rows, start=1) for lane in _lanes(item, row)]
    times = sorted({edge for _, windows, _ in lanes for window in windows for edge in to_ms(*window)})
    slots = {time: f"ts{place}" for place, time in enumerate(times, start=1)}
    for time, name in slots.items():
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": name, "TIME_VALUE": str(time)})
    count = 0
    for tier_id, windows, query in lanes:
        tier = ElementTree.SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": "moments", "TIER_ID": tier_id})
        for window in windows:
            count += 1
            _annotation(tier, f"a{count}", [slots[edge] for edge in to_ms(*window)], query)
    aligned = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": "moments", "TIME_ALIGNABLE": "true"}
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", aligned)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _header(root: ElementTree.Element, vid: str, rows: Sequence[Row]) -> None:
    header = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    media = {"MEDIA_URL": f"./{safe_name(vid)}.mp4", "MIME_TYPE": "video/mp4"}
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", media)
    for item, row in enumerate(rows, start=1):
        note = ElementTree.SubElement(header, "PROPERTY", {"NAME": f"{PROPERTY}{item}"})
        note.text = json.dumps(carried.noted(row))


def _lanes(item: int, row: Row) -> Iterator[tuple[str, Windows, str]]:
    """Tier id, moments and text of each party."""
    text = writable(row.query)
    if row.verdict is not None:
        yield _tier_id(item, TRUTH), row.windows or (), text
    if row.original_windows is not None:
        yield _tier_id(item, ORIGINAL), row.original_windows, text
    for place, version in enumerate(row.annotations or (), start=1):
        yield _tier_id(item, f"{version.source}/{place} {writable(version.annotator)}"), version.windows, text


def writable(text: str) -> str:
    """Text that XML can hold: control characters become a replacement sign (the note keeps the true text)."""
    return _UNWRITABLE.sub("\ufffd", text)


def _annotation(tier: ElementTree.Element, name: str, slots: Sequence[str], query: str) -> None:
    holder = ElementTree.SubElement(tier, "ANNOTATION")
    times = {"TIME_SLOT_REF1": slots[0], "TIME_SLOT_REF2": slots[1]}
    aligned = ElementTree.SubElement(holder, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": name, **times})
    ElementTree.SubElement(aligned, "ANNOTATION_VALUE").text = query
