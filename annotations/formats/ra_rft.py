"""RA-RFT's sets (HI-VTG, SS-VTG): queries that match a moment, and queries made from them that match none.

A JSON list of {"video": path, "query_text", "timestamp": [s, e] or [], "duration", "GRPO": [{"q", "a", "r", "c"}]}.
Each entry of GRPO is a query: with `r` true it matches `timestamp`, with `r` false nothing matches, and `a` says why.
Without GRPO the item is its `query_text`. A part of a longer file is a video of its own, as in Time-R1's rows.
Form: JINSUBY/RA-RFT, folder dataset/anno.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.options import Item, ReadOptions
from annotations.formats.records import Record, list_items, part_of, read_records, vid_of_path
from tempo_core.metrics.rows import FieldError

KNOWN = ("video", "query_text", "timestamp", "duration", "GRPO", "difficulty", "video_start", "video_end")
_ANSWER = re.compile(r"</?answer>|<correct(?:ion)?>.*", re.DOTALL)


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order, one for each query of an item."""
    return read_records(path, options, list_items(path), _records, KNOWN)


def _records(name: str, value: Any) -> Iterator[Record]:
    item = fields.mapping(value, name)
    video = fields.required(item, "video")
    vid, part_extra = part_of(vid_of_path(video), item.get("video_start"), item.get("video_end"))
    timestamp = fields.required(item, "timestamp")
    windows = [] if timestamp in ([], [0, 0], [-1, -1]) else [timestamp]
    own_query = {"q": fields.required(item, "query_text"), "r": bool(windows)}
    for idx, entry in enumerate(fields.sequence(item.get("GRPO") or [own_query], "GRPO")):
        query = fields.mapping(entry, "GRPO")
        is_relevant = fields.required(query, "r")
        if not isinstance(is_relevant, bool) or (is_relevant and not windows):
            raise FieldError("GRPO.r", is_relevant, "must be true or false, and true needs a timestamp")
        yield Record(
            place=f"{name} ({vid}), GRPO[{idx}]",
            vid=vid,
            query=fields.required(query, "q"),
            windows=windows if is_relevant else [],
            duration=item.get("duration"),
            reason=_ANSWER.sub("", str(query.get("a") or "")).strip() or None,
            extra={
                "difficulty": query.get("difficulty"),
                "categories": query.get("c") or None,
                **part_extra,
            },
        )
