"""DiDeMo: a JSON list of {"video", "description", "times": [[i, j], ..], "annotation_id", "num_segments"}.

`times` has a pair for each annotator: the first and the last of the video's 5-second segments, both included. The row
takes the pair that most annotators gave, the earlier one of equals; all of them stay in `extra["times"]`.
Form: LisaAnne/LocalizingMoments, folder data, and its README.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.options import Item, ReadOptions
from annotations.formats.records import Record, list_items, read_records, vid_of_path
from tempo_core.metrics.rows import FieldError

SEGMENT_S = 5
KNOWN = ("video", "description", "times", "annotation_id", "num_segments")


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order. The last segment of a video may be shorter than the file says."""
    return read_records(path, options, list_items(path), _records, KNOWN)


def _records(name: str, value: Any) -> Iterator[Record]:
    item = fields.mapping(value, name)
    pairs = [
        tuple(fields.whole(segment, "times") for segment in fields.sequence(pair, "times"))
        for pair in fields.sequence(fields.required(item, "times"), "times")
    ]
    if any(len(pair) != 2 for pair in pairs):
        raise FieldError("times", item["times"], "must be pairs of a first and a last segment")
    segment_count = item.get("num_segments")
    windows = None
    if pairs:
        first, last = Counter(pairs).most_common(1)[0][0]
        windows = [[first * SEGMENT_S, (last + 1) * SEGMENT_S]]
    yield Record(
        place=f"{name} (annotation_id {item.get('annotation_id')})",
        vid=vid_of_path(fields.required(item, "video")),
        query=fields.required(item, "description"),
        windows=windows,
        duration=None if segment_count is None else fields.whole(segment_count, "num_segments") * SEGMENT_S,
        qid=item.get("annotation_id"),
        extra={"times": [list(pair) for pair in pairs]},
    )
