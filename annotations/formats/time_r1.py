"""Time-R1's training rows and TVGBench: JSON lists with one moment for each item.

Training: {"video": path, "duration", "timestamp": [s, e], "sentence", "qid", "video_start", "video_end", "difficulty"}.
TVGBench: {"path", "question", "answer": "s-e", "duration", "start", "end", "dataset_name", "qsemtype"}.
Times count from `video_start` (`start`) of the file where that is given: the clip is that part, and both edges of it
stay in `extra`. Form: xiaomi-research/time-r1, folder dataset/timer1/annotations.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.options import Item, ReadOptions
from annotations.formats.records import Record, list_items, part_of, read_records, vid_of_path
from tempo_core.metrics.rows import FieldError

KNOWN = (
    *("video", "duration", "timestamp", "sentence", "qid", "video_start", "video_end", "difficulty"),
    *("path", "question", "answer", "start", "end", "dataset_name", "qsemtype"),
)
_ANSWER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*")


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order. A part of a longer file is the video `NAME_START_END`."""
    return read_records(path, options, list_items(path), _records, KNOWN)


def _records(name: str, value: Any) -> Iterator[Record]:
    item = fields.mapping(value, name)
    if "question" in item:
        match = _ANSWER.fullmatch(fields.text(fields.required(item, "answer"), "answer"))
        if match is None:
            raise FieldError("answer", item["answer"], "must be two times in seconds: 13.4-28.1")
        video, query, window = item.get("path"), item["question"], [float(edge) for edge in match.groups()]
        part = (item.get("start"), item.get("end"))
        extra = {name: item.get(name) for name in ("dataset_name", "qsemtype")}
    else:
        video, query = item.get("video"), fields.required(item, "sentence")
        window = fields.required(item, "timestamp")
        part = (item.get("video_start"), item.get("video_end"))
        extra = {"difficulty": item.get("difficulty")}
    vid, part_extra = part_of(vid_of_path(video), *part)
    yield Record(
        place=f"{name} ({vid})",
        vid=vid,
        query=query,
        windows=[] if window == [] else [window],
        duration=item.get("duration"),
        qid=item.get("qid"),
        extra={**extra, **part_extra, "video": video},
    )
