"""Which format a file is in, from its contents and, where those leave a choice, its name."""

import json
import re
from pathlib import Path
from typing import Any

from annotations.formats.files import BYTE_ORDER_MARK, read_bytes
from tempo_core.errors import InputError

_CHARADES_LINE = re.compile(r"\S+ [0-9.]+ [0-9.]+##")
_YOUTUBE_RANGE = re.compile(r".+_\d+\.\d_\d+\.\d")
_IN_FOLDER = ((".parquet", "parquet"), (".vtt", "webvtt"), (".eaf", "elan"), (".jsonl", "qvhighlights"))


def detect(path: Path) -> str:
    """The format's name. Reads only. Raises InputError when the contents fit no format."""
    found = _of_folder(path) if path.is_dir() else _of_content(path)
    if found is None:
        raise InputError(f"{path.name} is in no format known here. Name its format with --format.")
    return found


def _of_folder(folder: Path) -> str | None:
    suffixes = {item.suffix for item in folder.rglob("*")}
    return next((name for suffix, name in _IN_FOLDER if suffix in suffixes), None)


def _of_content(path: Path) -> str | None:
    content = read_bytes(path)
    if content.startswith(b"PAR1"):
        return "parquet"
    text = content.decode("utf-8", errors="replace").removeprefix(BYTE_ORDER_MARK).lstrip()
    first = text.split("\n", 1)[0]
    if text.startswith("WEBVTT"):
        return "webvtt"
    if text.startswith("<"):
        return "elan" if "<ANNOTATION_DOCUMENT" in text else None
    if text.startswith(("{", "[")):
        return _of_json(first, text)
    if _CHARADES_LINE.match(first):
        return "charades-sta"
    return "csv" if {"qid", "start_s", "end_s"} <= set(first.strip().replace('"', "").split(",")) else None


def _of_json(first: str, text: str) -> str | None:
    """JSON lines by their first line; else one document by its shape."""
    line = _parsed(first)
    if isinstance(line, dict) and ("qid" in line or "events" in line):
        return _of_line(line)
    document = _parsed(text)
    if isinstance(document, list):
        return (
            "label-studio" if document and isinstance(document[0], dict) and "data" in document[0] else None
        )
    video = next(iter(document.values()), None) if isinstance(document, dict) else None
    if not isinstance(video, dict):
        return None
    return "activitynet" if "timestamps" in video else "timelens" if "spans" in video else None


def _of_line(line: dict[str, Any]) -> str:
    if "pred_relevant_windows" in line:
        return "predictions"
    if "events" in line:
        return "timelens"
    labelled = "relevant_clip_ids" in line or "saliency_scores" in line
    released = "relevant_windows" not in line and _YOUTUBE_RANGE.fullmatch(str(line.get("vid")))
    return "qvhighlights" if labelled or released or line.get("verdict") == "no-moment" else "lighthouse"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
