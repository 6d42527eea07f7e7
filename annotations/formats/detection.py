"""Which format a file is in, from its contents and, where those leave a choice, its name."""

import json
import re
from pathlib import Path
from typing import Any

from annotations.formats.files import BYTE_ORDER_MARK, read_bytes
from annotations.formats.label_studio import is_min
from annotations.formats.manifest import YOUTUBE_CLIP
from tempo_core.errors import InputError

_CHARADES_LINE = re.compile(r"\S+ [0-9.]+ [0-9.]+##")
_IN_FOLDER = {".parquet": "parquet", ".vtt": "webvtt", ".eaf": "elan", ".jsonl": "qvhighlights"}


def detect(path: Path) -> str:
    """The format's name. Reads only. Raises InputError when the contents fit no format."""
    if path.is_dir():
        suffixes = {file.suffix for file in path.rglob("*")}
        name = next((name for suffix, name in _IN_FOLDER.items() if suffix in suffixes), None)
    else:
        name = _of_content(read_bytes(path))
    if name is None:
        raise InputError(f"{path.name} is in no format known here. Name its format with --format.")
    return name


def _of_content(content: bytes) -> str | None:
    if content.startswith(b"PAR1"):
        return "parquet"
    text = content.decode("utf-8", errors="replace").removeprefix(BYTE_ORDER_MARK).lstrip()
    first_line = text.split("\n", 1)[0]
    if text.startswith("WEBVTT"):
        return "webvtt"
    if text.startswith("<"):
        return "elan" if "<ANNOTATION_DOCUMENT" in text else None
    if text.startswith(("{", "[")):
        # JSON lines by their first line; else one document by its shape.
        line = _parse(first_line)
        if not isinstance(line, dict) or not ("qid" in line or "events" in line):
            document = _parse(text)
            if isinstance(document, list):
                is_task = bool(document) and isinstance(document[0], dict) and "data" in document[0]
                return "label-studio" if is_task or is_min(document) else None
            video = next(iter(document.values()), None) if isinstance(document, dict) else None
            if not isinstance(video, dict):
                return None
            return "activitynet" if "timestamps" in video else "timelens" if "spans" in video else None
        if "pred_relevant_windows" in line:
            return "predictions"
        if "events" in line:
            return "timelens"
        has_saliency = "relevant_clip_ids" in line or "saliency_scores" in line
        is_release = "relevant_windows" not in line and YOUTUBE_CLIP.fullmatch(str(line.get("vid")))
        is_ours = has_saliency or is_release or line.get("verdict") == "no-moment"
        return "qvhighlights" if is_ours else "lighthouse"
    if _CHARADES_LINE.match(first_line):
        return "charades-sta"
    columns = set(first_line.strip().replace('"', "").split(","))
    return "csv" if {"qid", "start_s", "end_s"} <= columns else None


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
