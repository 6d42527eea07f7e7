"""ELAN .eaf: a tier each for a query's moments, its original moments, and every annotator's and model's.

A tier's id is `QID/moments`, `QID/original`, `QID/annotator/NAME` or `QID/model/NAME`; its participant is the query,
which is also the value of every annotation. Annotations of one tier may not overlap in ELAN: those that do go to
`…#2`, `…#3`. A tier without annotations says that no moment matches. Times are whole milliseconds. One file a video. In
files of other tools each value of each tier is a query; a reference annotation has the times of its parent. A file with
a DOCTYPE is refused: no entity is ever expanded. Form: EAFv3.0.xsd (archive.mpi.nl), and the guidelines for it
("EAF Annotation Format 3.0", sections 2.2 and 2.8: TIME_ORIGIN is added to get the time in the media).
"""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from annotations.formats import fields
from annotations.formats.files import read_text, safe_name, split_of, vid_of_name
from annotations.formats.grouping import by_video, layers
from annotations.formats.options import Contents, ExportFiles, ExportOptions, Item, Omission, ReadOptions
from annotations.rows import VERSION_SOURCES, AnnotatorVersion, Row, SourceLine, Split, Windows
from tempo_core.errors import InputError
from tempo_core.metrics.rows import FieldError, Problem
from tempo_core.moments import Moment
from tempo_core.wording import plural

SUFFIX = ".eaf"
TRUTH, ORIGINAL = "moments", "original"
LINGUISTIC_TYPE = "moments"
NO_DATE = "1970-01-01T00:00:00+00:00"
SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_UNWRITABLE = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OLDER_TIER = re.compile(r"(\d+)/(moments|original|model|annotator)(?:/\d+ (.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Annotation:
    """One annotation that has times."""

    id: str
    value: str
    window: tuple[float, float]


@dataclass(slots=True)
class _Query:
    """The tiers of one query in a file of ours."""

    text: str
    origin: SourceLine
    windows: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    """Of each party: (source, annotator)."""


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows of a file, or of every .eaf file in a folder; item numbers count a file's tiers from 1."""
    for file in sorted(path.glob("*.eaf")) if path.is_dir() else [path]:
        yield from _read_file(file, options)


def _read_file(path: Path, options: ReadOptions) -> Iterator[Item]:
    root = parse_safely(read_text(path), path.name)
    clock = _Clock(root, path.name)
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    vid = "" if media is None else vid_of_name(PurePosixPath(media.get("MEDIA_URL", "")).stem)
    split = split_of(path, options)
    queries: dict[str, _Query] = {}
    broken_qids: set[str] = set()
    foreign_count = taken_count = 0
    for number, tier in enumerate(root.iterfind("TIER"), start=1):
        tier_id = tier.get("TIER_ID", "")
        party = _party(tier, path)
        annotations: list[_Annotation] = []
        for node in tier.iterfind("ANNOTATION/*"):
            annotation_id, value = node.get("ANNOTATION_ID", ""), node.findtext("ANNOTATION_VALUE") or ""
            place = _place(tier_id, annotation_id)
            try:
                if (reason := clock.undated(node)) is not None:
                    yield Omission(file=path.name, place=place, reason=reason)
                else:
                    window = clock.window(node, options.mending)
                    annotations.append(_Annotation(annotation_id, value, window))
            except FieldError as error:
                broken_qids.add("" if party is None else party[0])
                yield Problem.of(error, path.name, number, place=place, raw=value)

        if party is None:
            # Another tool's tier: each of its values is a query.
            groups: dict[str, list[_Annotation]] = {}
            for annotation in annotations:
                groups.setdefault(annotation.value, []).append(annotation)
            for value, group in groups.items():
                foreign_count += 1
                place = _place(tier_id, *(annotation.id for annotation in group))
                try:
                    yield Row(
                        qid=f"{path.stem}/{tier_id}/{foreign_count}",
                        query=fields.text(value, "ANNOTATION_VALUE"),
                        vid=path.stem,
                        split=split,
                        windows=fields.windows(
                            [annotation.window for annotation in group],
                            "TIME_SLOT",
                            mending=options.mending,
                        ),
                        origin=SourceLine(file=path.name, line=number, place=place),
                    )
                    taken_count += len(group)
                except FieldError as error:
                    yield Problem.of(error, path.name, number, place=place, raw=value)
            continue

        qid, source, annotator = party
        text = tier.get("PARTICIPANT") or next((annotation.value for annotation in annotations), "")
        if not text:
            reason = (
                "an older export's empty tier: its note said whether nothing matches or nobody could judge"
            )
            yield Omission(file=path.name, place=_place(tier_id), reason=reason)
            continue
        origin = SourceLine(file=path.name, line=number, place=_place(tier_id))
        query = queries.setdefault(qid, _Query(text, origin))
        windows = query.windows.setdefault((source, annotator), [])
        windows += [annotation.window for annotation in annotations]
        taken_count += len(annotations)
        for annotation in annotations:
            if annotation.value not in ("", query.text):
                place = _place(tier_id, annotation.id)
                reason = f"its text {annotation.value!r} differs from the query's; its times are read"
                yield Omission(file=path.name, place=place, reason=reason)

    for number, links in enumerate(root.iterfind("REF_LINK_SET"), start=1):
        if len(links):
            name = links.get("LINK_SET_NAME") or links.get("LINK_SET_ID") or str(number)
            reason = f"{plural(len(links), 'link')} between annotations {'is' if len(links) == 1 else 'are'} not read"
            yield Omission(file=path.name, place=f'link set "{name}"', reason=reason)

    for qid, query in queries.items():
        if qid not in broken_qids:
            try:
                yield _row(qid, query, vid or path.stem, split)
            except FieldError as error:
                yield Problem.of(error, path.name, query.origin.line, place=query.origin.place)
    held_count = sum(1 for _ in root.iterfind("TIER/ANNOTATION"))
    yield Contents(unit="annotations", held=held_count, taken=taken_count)


def _place(tier_id: str, *annotation_ids: str) -> str:
    annotations = f", annotation {', '.join(annotation_ids)}" if annotation_ids else ""
    return f'tier "{tier_id}"{annotations}'


def _row(qid: str, query: _Query, vid: str, split: Split) -> Row:
    """The row of one query's tiers. Raises FieldError."""
    name, qid_is_int = fields.qid_of_text(qid)
    released = {
        source: fields.windows(query.windows[source, ""], "TIME_SLOT")
        for source in (TRUTH, ORIGINAL)
        if (source, "") in query.windows
    }
    versions = tuple(
        AnnotatorVersion(
            annotator=annotator,
            source=fields.choice(source, "source", VERSION_SOURCES),
            windows=tuple(windows),
        )
        for (source, annotator), windows in query.windows.items()
        if annotator
    )
    return Row(
        qid=name,
        qid_is_int=qid_is_int,
        query=fields.text(query.text, "PARTICIPANT"),
        vid=vid,
        split=split,
        windows=released.get(TRUTH),
        original_windows=released.get(ORIGINAL),
        annotations=versions or None,
        origin=query.origin,
    )


class _Clock:
    """Where a document's annotations lie in its video."""

    def __init__(self, root: ElementTree.Element, name: str) -> None:
        """Raises InputError for a document that counts otherwise than in milliseconds."""
        header = root.find("HEADER")
        units = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
        if units != "milliseconds":
            raise InputError(f"{name} counts time in {units}; save it from ELAN with milliseconds.")
        media = root.find("HEADER/MEDIA_DESCRIPTOR")
        origin = "0" if media is None else media.get("TIME_ORIGIN", "0")
        if re.fullmatch(r"-?\d{1,15}", origin, re.ASCII) is None:
            raise InputError(
                f"{name} has TIME_ORIGIN {origin[:40]!r}; it must be whole milliseconds, of at most 15 digits."
            )
        self.origin_ms = int(origin)
        """Of the annotations' 0 in the video: ELAN lets a video begin late on its timeline."""
        slots = root.iterfind("TIME_ORDER/TIME_SLOT")
        self.times = {slot.get("TIME_SLOT_ID", ""): slot.get("TIME_VALUE") for slot in slots}
        nodes = root.iterfind("TIER/ANNOTATION/*")
        self.nodes = {node.get("ANNOTATION_ID", ""): node for node in nodes}
        subdivisions = {
            kind.get("LINGUISTIC_TYPE_ID")
            for kind in root.iterfind("LINGUISTIC_TYPE")
            if kind.get("CONSTRAINTS") == "Symbolic_Subdivision"
        }
        self.parts = {
            node.get("ANNOTATION_ID", "")
            for tier in root.iterfind("TIER")
            if tier.get("LINGUISTIC_TYPE_REF") in subdivisions
            for node in tier.iterfind("ANNOTATION/*")
        }
        """Annotations that share their parent's time with their neighbours."""

    def undated(self, node: ElementTree.Element) -> str | None:
        """Why an annotation has no times of its own, or None. ELAN lets slots without a time stand between others."""
        if node.get("ANNOTATION_ID", "") in self.parts:
            return "a part of a Symbolic_Subdivision has no times of its own"
        aligned = self._node_with_times(node)
        for name in ("TIME_SLOT_REF1", "TIME_SLOT_REF2"):
            slot = aligned.get(name, "")
            if slot in self.times and self.times[slot] is None:
                return f"time slot {slot} has no time"
        return None

    def window(self, node: ElementTree.Element, mending: fields.Mending | None) -> tuple[float, float]:
        """An annotation's [start_s, end_s) in the video. Raises FieldError."""
        aligned = self._node_with_times(node)
        edges_ms = []
        for name in ("TIME_SLOT_REF1", "TIME_SLOT_REF2"):
            value = self.times.get(aligned.get(name, ""))
            if value is None or re.fullmatch(r"\d{1,15}", value) is None:
                rule = f"annotation {node.get('ANNOTATION_ID')} needs a time in milliseconds, of at most 15 digits"
                raise FieldError("TIME_SLOT", value, rule)
            edges_ms.append(int(value) + self.origin_ms)
        window = fields.in_order((edges_ms[0] / 1000, edges_ms[1] / 1000), mending)
        if window is None:
            raise FieldError("TIME_SLOT", edges_ms, "an annotation must end after it starts")
        return window

    def _node_with_times(self, node: ElementTree.Element) -> ElementTree.Element:
        """The annotation that has the times: the node, or the one that it refers to."""
        ids: set[str] = set()
        while (parent_id := node.get("ANNOTATION_REF")) is not None:
            if parent_id in ids or parent_id not in self.nodes:
                raise FieldError("ANNOTATION_REF", parent_id, "must name an annotation that leads to times")
            ids.add(parent_id)
            node = self.nodes[parent_id]
        return node


def parse_safely(text: str, name: str) -> ElementTree.Element:
    """The document's root. Raises InputError for a DOCTYPE (entities read files and swell) or broken XML."""
    if "\0" in text:
        # The parser would take it for UTF-16, in which the next rule sees no DOCTYPE.
        raise InputError(f"{name} holds NUL characters, which XML never does. Save it as UTF-8.")
    if re.search(r"<!\s*(?:DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise InputError(
            f"{name} declares a DOCTYPE or an entity, which no annotation tool writes; it is not read."
        )
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(
            f"{name} is not well-formed XML ({error}). Export it from its tool again."
        ) from error


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
        match = re.fullmatch(rf"(.+){re.escape(ending)}(?:#\d+)?", tier_id, re.DOTALL)
        if match:
            return match[1], source, annotator
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
    for version in row.annotations or ():
        spans = [Moment(*window).to_ms() for window in version.windows]
        if [span for layer in layers(spans) for span in layer] != spans:
            yield "annotations.order"
            break


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
                "TIER_ID": f"{row.qid}/{ending}" + (f"#{number}" if number > 1 else ""),
            },
            layer,
        )
        for ending, annotator, windows in parties
        for number, layer in enumerate(layers([Moment(*window).to_ms() for window in windows]), start=1)
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
    # Slots of its own for each annotation: in ELAN, those that share one move together.
    edges = [edge for _, spans in tiers for span in spans for edge in span]
    slots = [""] * len(edges)
    for number, idx in enumerate(sorted(range(len(edges)), key=edges.__getitem__), start=1):
        slots[idx] = f"ts{number}"
        slot = {"TIME_SLOT_ID": slots[idx], "TIME_VALUE": str(edges[idx])}
        ElementTree.SubElement(order, "TIME_SLOT", slot)
    annotation_count = 0
    for attributes, spans in tiers:
        tier = ElementTree.SubElement(root, "TIER", attributes)
        for _ in spans:
            first_slot = 2 * annotation_count
            references = {"TIME_SLOT_REF1": slots[first_slot], "TIME_SLOT_REF2": slots[first_slot + 1]}
            annotation_count += 1
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
