"""Which format a file is in, from its contents and, where those leave a choice, its name."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotations.formats.catalogue import FORMATS
from annotations.formats.csv import delimiter_of
from annotations.formats.files import BYTE_ORDER_MARK, read_bytes, text_of
from annotations.formats.manifest import YOUTUBE_CLIP
from tempo_core.errors import InputError
from tempo_core.metrics.rows import PREDICTION_LIST

_IN_FOLDER = {".parquet": "parquet", ".vtt": "webvtt", ".eaf": "elan", ".jsonl": "qvhighlights"}
_LINES = (
    ("predictions", {"pred_relevant_windows"}),
    ("timelens", {"events"}),
    ("timelens", {"video_path", "query", "span"}),
)
"""JSON lines: the fields of the first line."""
_LISTS = (
    ("predictions", {"pred_relevant_windows"}),
    ("label-studio", {"data"}),
    ("label-studio", {"annotation_id", "annotator"}),
    ("unitime", {"annos"}),
    ("ra-rft", {"query_text", "timestamp"}),
    ("time-r1", {"sentence", "timestamp"}),
    ("time-r1", {"question", "answer", "path"}),
    ("didemo", {"description", "times"}),
)
"""A JSON list: the fields of its first item."""
_DOCUMENTS = (
    ("predictions", {PREDICTION_LIST}),
    ("via", {"metadata", "attribute", "view"}),
    ("ego4d-nlq", {"videos", "version"}),
    ("fiftyone", {"classes", "labels"}),
    ("losslesscut", {"mediaFileName", "cutSegments"}),
)
"""A JSON object: its own fields."""
_VIDEOS = (("tacos", {"timestamps", "fps"}), ("activitynet", {"timestamps"}), ("timelens", {"spans"}))
"""A JSON object of videos: the fields of the first."""
_SEGMENTS = (("youcook2", {"sentence"}), ("activitynet13", {"label"}))
"""A JSON object with a `database`: the fields of the first segment in it."""
_SECONDS = r"\d+(?:[.,]\d+)?"
_TEXTS = (
    ("charades-sta", re.compile(r"\S+ [0-9.]+ [0-9.]+##")),
    ("audacity", re.compile(rf"{_SECONDS}\t{_SECONDS}(?:\t|\r?$)", re.MULTILINE)),
    ("srt", re.compile(r"(?:\d+\s*\n)?\s*\d+:\d\d:\d\d[,.]\d+\s*-->")),
    ("losslesscut", re.compile(r"(?i:start,end,name)|[\d:.]+,[\d:.]*,|,[\d:.]+,")),
)
"""How a text begins."""
_CODED_REFUSAL = re.compile(r'"relevant_windows":\s*\[\s*\[\s*(?:0\s*,\s*0|-1\s*,\s*-1)\s*\]\s*\]')


def detect(path: Path) -> str:
    """The format's name. Reads only. Raises InputError, with what was looked at, when the contents fit no format."""
    if path.is_dir():
        suffixes = {file.suffix for file in path.rglob("*")}
        name = next((name for suffix, name in _IN_FOLDER.items() if suffix in suffixes), None)
        look = f"a folder with files {', '.join(sorted(suffixes)) or 'of no kind'}"
    else:
        name, look = _of_content(read_bytes(path))
    if name is None:
        readable = ", ".join(name for name, form in FORMATS.items() if form.is_read)
        raise InputError(
            f"{path.name} is in no format known here: it is {look}. Name its format (on the command line: --format) if "
            f"it is one of {readable}; `python -m annotations formats` says what each holds."
        )
    return name


def _of_content(content: bytes) -> tuple[str | None, str]:
    """The format's name or None, and what the contents look like."""
    if content.startswith(b"PAR1"):
        return "parquet", "Parquet"
    if content.startswith(b"PK\x03\x04"):
        return ("xlsx" if b"xl/workbook.xml" in content else None), "a ZIP archive"
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        return (
            None,
            "an Office file in the form of before 2007, or with a password (save it as .xlsx without one)",
        )
    text = text_of(content).removeprefix(BYTE_ORDER_MARK).lstrip()
    if "\0" in text[:1024]:
        return None, "no text"
    if text.startswith("WEBVTT"):
        return "webvtt", "WebVTT"
    if text.startswith("<"):
        tag = re.search(r"<([A-Za-z][\w.-]*)", text)
        roots = {"ANNOTATION_DOCUMENT": "elan", "annotations": "cvat"}
        return roots.get(tag[1] if tag else ""), f"XML that begins with <{tag[1] if tag else ''}>"
    if text.startswith(("{", "[")):
        return _of_json(text)
    name = next((name for name, pattern in _TEXTS if pattern.match(text)), None)
    first_line = text.split("\n", 1)[0].strip()
    if name is None:
        name = "csv" if delimiter_of(first_line) is not None else None
    return name, f"text that begins with {first_line[:60]!r}" if first_line else "empty"


def _of_json(text: str) -> tuple[str | None, str]:
    # JSON lines by their first line; else one document by its shape.
    line = _parse(text.split("\n", 1)[0])
    if isinstance(line, dict) and (name := _by_fields(line, _LINES)):
        return name, "JSON lines"
    if isinstance(line, dict) and "qid" in line:
        return _of_row(line, text), "JSON lines"
    document = _parse(text)
    if isinstance(document, list):
        first = document[0] if document else None
        name = _by_fields(first, _LISTS)
        if name is None and isinstance(first, dict) and {"qid", "query", "vid"} <= first.keys():
            name = _of_row(first, text)
        return name, f"a JSON list whose first item has {_field_names(first)}"
    if not isinstance(document, dict):
        is_project = "cutSegments" in text and "mediaFileName" in text
        return ("losslesscut" if is_project else None), "text that begins as JSON and is none"
    if name := _by_fields(document, _DOCUMENTS):
        return name, "a JSON object"
    videos = document.get("database", document)
    values = list(videos.values()) if isinstance(videos, dict) else []
    if "database" in document:
        segments = [
            value["annotations"] for value in values if isinstance(value, dict) and value.get("annotations")
        ]
        segment = segments[0][0] if segments and isinstance(segments[0], list) else None
        return _by_fields(
            segment, _SEGMENTS
        ), f"a JSON object with a database whose first segment has {_field_names(segment)}"
    first = values[0] if values else None
    if name := _by_fields(first, _VIDEOS):
        return name, "a JSON object of videos"
    return None, f"a JSON object with {_field_names(document)}"


def _of_row(row: dict[str, Any], text: str) -> str:
    """The format of rows with a qid, by the first of them. An answer beside ground truth does not make predictions."""
    if "refused" in row and "vid" in row and "relevant_windows" not in row:
        return "predictions"
    if _CODED_REFUSAL.search(text):
        return "na-vmr"
    has_saliency = "relevant_clip_ids" in row or "saliency_scores" in row
    is_release = "relevant_windows" not in row and YOUTUBE_CLIP.fullmatch(str(row.get("vid")))
    return "qvhighlights" if has_saliency or is_release or row.get("verdict") == "no-moment" else "lighthouse"


def _by_fields(value: object, forms: tuple[tuple[str, set[str]], ...]) -> str | None:
    """The first form all of whose fields an object has."""
    if not isinstance(value, Mapping):
        return None
    return next((form for form, needed in forms if needed <= value.keys()), None)


def _field_names(value: object) -> str:
    """An object's fields in words."""
    if not isinstance(value, Mapping):
        return "no fields"
    return f"the fields {', '.join(map(str, list(value)[:8]))}" if value else "no fields"


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
