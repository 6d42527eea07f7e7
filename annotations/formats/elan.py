"""ELAN .eaf: a tier each for a query's moments, its original moments, and every annotator's and model's.

A tier's id is `QID/moments`, `QID/original`, `QID/annotator/NAME` or `QID/model/NAME`; its participant is the query,
which is also the value of every annotation. A tier without annotations says that no moment matches. Times are whole
milliseconds. One file a video. A file with a DOCTYPE is refused: no entity is ever expanded. Form: EAFv3.0.xsd
(archive.mpi.nl).
"""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from annotations.formats import fields
from annotations.formats.files import read_text, safe_name, split_of, vid_of_name
from annotations.formats.grouping import by_video
from annotations.formats.options import ExportFiles, ExportOptions, ReadOptions
from annotations.rows import VERSION_SOURCES, AnnotatorVersion, Row, SourceLine, Windows
from tempo_core.errors import InputError
from tempo_core.metrics.rows import FieldError, Problem
from tempo_core.moments import Moment

SUFFIX = ".eaf"
TRUTH, ORIGINAL = "moments", "original"
LINGUISTIC_TYPE = "moments"
NO_DATE = "1970-01-01T00:00:00+00:00"
SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_UNWRITABLE = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OLDER_TIER = re.compile(r"(\d+)/(moments|original|model|annotator)(?:/\d+ (.*))?", re.DOTALL)


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows of a file, or of every .eaf file in a folder; item numbers count a file's tiers from 1."""
    for file in sorted(path.glob("*.eaf")) if path.is_dir() else [path]:
        yield from _read_file(file, options)


def _read_file(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    root = parse_safely(read_text(path), path.name)
    times = {
        node.get("TIME_SLOT_ID"): node.get("TIME_VALUE") for node in root.iterfind("TIME_ORDER/TIME_SLOT")
    }
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    vid = "" if media is None else vid_of_name(PurePosixPath(media.get("MEDIA_URL", "")).stem)
    split = split_of(path, options)
    rows: dict[str, Row] = {}
    broken_qids: set[str] = set()
    foreign_count = 0
    for number, tier in enumerate(root.iterfind("TIER"), start=1):
        origin = SourceLine(file=path.name, line=number)
        party = _party(tier, path)
        try:
            windows_of: dict[str, list[tuple[float, float]]] = {}
            for node in tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION"):
                value = node.findtext("ANNOTATION_VALUE") or ""
                windows_of.setdefault(value, []).append(_window(node, times))
            if party is None:
                # Another tool's tier: each of its values is a query.
                for value, windows in windows_of.items():
                    foreign_count += 1
                    try:
                        row = Row(
                            qid=f"{path.stem}/{tier.get('TIER_ID', '')}/{foreign_count}",
                            query=fields.text(value, "ANNOTATION_VALUE"),
                            vid=path.stem,
                            split=split,
                            windows=fields.windows(windows, "TIME_SLOT"),
                            origin=origin,
                        )
                        rows[row.qid] = row
                    except FieldError as error:
                        yield Problem.of(error, path.name, number, raw=value)
                continue
            name, source, annotator = party
            query = tier.get("PARTICIPANT") or next(iter(windows_of), "")
            if not query:
                continue  # an older export: its note said whether nothing matches or nobody could judge
            if name not in rows:
                qid, qid_is_int = fields.qid_of_text(name)
                rows[name] = Row(
                    qid=qid,
                    qid_is_int=qid_is_int,
                    query=fields.text(query, "PARTICIPANT"),
                    vid=vid or path.stem,
                    split=split,
                    origin=origin,
                )
            row = rows[name]
            all_windows = [window for windows in windows_of.values() for window in windows]
            if source == TRUTH:
                rows[name] = replace(row, windows=fields.windows(all_windows, "TIME_SLOT"), verdict=None)
            elif not annotator:
                rows[name] = replace(row, original_windows=fields.windows(all_windows, "TIME_SLOT"))
            else:
                version = AnnotatorVersion(
                    annotator=annotator,
                    source=fields.choice(source, "source", VERSION_SOURCES),
                    windows=tuple(all_windows),
                )
                rows[name] = replace(row, annotations=(*(row.annotations or ()), version))
        except FieldError as error:
            broken_qids.add("" if party is None else party[0])
            yield Problem.of(error, path.name, number)
    yield from (row for qid, row in rows.items() if qid not in broken_qids)


def parse_safely(text: str, name: str) -> ElementTree.Element:
    """The document's root. Raises InputError for a DOCTYPE (entities read files and swell) or broken XML."""
    if re.search(r"<!\s*(?:DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise InputError(f"{name} declares a DOCTYPE or an entity, which ELAN never writes; it is not read.")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{name} is not well-formed XML ({error}). Export it from ELAN again.") from error


def _window(node: ElementTree.Element, times: dict[str | None, str | None]) -> tuple[float, float]:
    edges_ms = []
    for name in ("TIME_SLOT_REF1", "TIME_SLOT_REF2"):
        value = times.get(node.get(name, ""))
        if value is None or not value.isdecimal():
            rule = f"annotation {node.get('ANNOTATION_ID')} needs a time in milliseconds"
            raise FieldError("TIME_SLOT", value, rule)
        edges_ms.append(int(value))
    if edges_ms[1] <= edges_ms[0]:
        raise FieldError("TIME_SLOT", edges_ms, "an annotation must end after it starts")
    return edges_ms[0] / 1000, edges_ms[1] / 1000


def _party(tier: ElementTree.Element, path: Path) -> tuple[str, str, str] | None:
    """Query id, source and annotator ("" for the row's own moments) of a tier of ours; None for any other."""
    tier_id, annotator = tier.get("TIER_ID", ""), tier.get("ANNOTATOR", "")
    if tier.get("LINGUISTIC_TYPE_REF") != LINGUISTIC_TYPE:
        return None
    if "PARTICIPANT" not in tier.attrib:
        # Exports of 2026 numbered a file's queries: `1/moments`, `1/annotator/1 NAME`.
        match = _OLDER_TIER.fullmatch(tier_id)
        return None if match is None else (f"{path.stem}/{match[1]}", match[2], match[3] or "")
    for source in VERSION_SOURCES if annotator else (TRUTH, ORIGINAL):
        ending = f"/{source}/{annotator}" if annotator else f"/{source}"
        if tier_id.endswith(ending):
            return tier_id.removesuffix(ending), source, annotator
    return None


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for an id that XML cannot hold, or for two versions that would share a tier."""
    if xml_text(row.qid) != row.qid:
        raise FieldError("qid", row.qid, "a tier's id cannot hold control characters")
    parties = Counter((version.source, xml_text(version.annotator)) for version in row.annotations or ())
    if repeated := [party for party, count in parties.items() if count > 1]:
        raise FieldError("annotations", repeated[0], "two versions of one party would share a tier")


def left_out(row: Row) -> str | None:
    """Why a row has no tier, or None."""
    return None if _tiers(row) else fields.LEFT_OUT[row.verdict]


def losses(row: Row, path: Path, options: ExportOptions) -> Iterator[str]:
    """A tier cannot say that somebody could not judge, nor hold a control character."""
    if row.verdict == "cannot-judge":
        yield "verdict"
    if any(version.verdict == "cannot-judge" for version in row.annotations or ()):
        yield "annotations.cannot-judge"
    if xml_text(row.query) != row.query:
        yield "query"


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """A path that ends in .eaf takes the rows of one video; a folder gets one file for each."""
    videos = by_video(rows)
    if path.suffix == SUFFIX and len(videos) > 1:
        raise InputError(
            f"{path.name} would hold {len(videos)} videos; ELAN's files hold one. Give a folder."
        )
    files = {}
    for vid, video_rows in videos.items():
        file = path if path.suffix == SUFFIX else path / f"{safe_name(vid)}{SUFFIX}"
        tiers = [tier for row in video_rows for tier in _tiers(row)]
        files[file] = _document(vid, tiers)
    return ExportFiles(files=files, counts={"videos": len(videos)})


def _tiers(row: Row) -> list[tuple[dict[str, str], list[tuple[int, int]]]]:
    """Attributes and moments in milliseconds of each of a row's tiers."""
    parties: list[tuple[str, str, Windows]] = []
    if row.verdict in ("moments", "no-moment"):
        parties.append((TRUTH, "", row.windows or ()))
    if row.original_windows is not None:
        parties.append((ORIGINAL, "", row.original_windows))
    for version in row.annotations or ():
        if version.verdict != "cannot-judge":
            annotator = xml_text(version.annotator)
            parties.append((f"{version.source}/{annotator}", annotator, version.windows))
    return [
        (
            {
                **({"ANNOTATOR": annotator} if annotator else {}),
                "LINGUISTIC_TYPE_REF": LINGUISTIC_TYPE,
                "PARTICIPANT": xml_text(row.query),
                "TIER_ID": f"{row.qid}/{ending}",
            },
            [Moment(*window).to_ms() for window in windows],
        )
        for ending, annotator, windows in parties
    ]


def xml_text(text: str) -> str:
    """Text that XML can hold: control characters become a replacement sign."""
    return _UNWRITABLE.sub("\ufffd", text)


def _document(vid: str, tiers: Sequence[tuple[dict[str, str], list[tuple[int, int]]]]) -> bytes:
    schema = {f"{{{INSTANCE}}}noNamespaceSchemaLocation": SCHEMA}
    about = {"AUTHOR": "", "DATE": NO_DATE, "FORMAT": "3.0", "VERSION": "3.0"}
    root = ElementTree.Element("ANNOTATION_DOCUMENT", {**about, **schema})
    header = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    media = {"MEDIA_URL": f"./{safe_name(vid)}.mp4", "MIME_TYPE": "video/mp4"}
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", media)
    order = ElementTree.SubElement(root, "TIME_ORDER")
    times_ms = sorted({edge for _, spans in tiers for span in spans for edge in span})
    slots = {time_ms: f"ts{number}" for number, time_ms in enumerate(times_ms, start=1)}
    for time_ms, slot in slots.items():
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(time_ms)})
    annotation_count = 0
    for attributes, spans in tiers:
        tier = ElementTree.SubElement(root, "TIER", attributes)
        for start_ms, end_ms in spans:
            annotation_count += 1
            references = {"TIME_SLOT_REF1": slots[start_ms], "TIME_SLOT_REF2": slots[end_ms]}
            annotation = ElementTree.SubElement(
                ElementTree.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                {"ANNOTATION_ID": f"a{annotation_count}", **references},
            )
            ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = attributes["PARTICIPANT"]
    aligned = {
        "GRAPHIC_REFERENCES": "false",
        "LINGUISTIC_TYPE_ID": LINGUISTIC_TYPE,
        "TIME_ALIGNABLE": "true",
    }
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", aligned)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
