"""UniTime: a JSON list of {"qid", "id", "annos": [{"query", "window": [[s, e], ..]}], "duration", "video_path"}.

Form: Lzq5/UniTime, data/test.json and its README. Annotations without a window have no ground truth.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.options import Item, ReadOptions
from annotations.formats.records import Record, list_items, read_records, vid_of_path

KNOWN = ("qid", "id", "annos", "duration", "video_path", "mode")


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order; an item with several queries gives `QID/N` to each."""
    return read_records(path, options, list_items(path), _records, KNOWN)


def _records(name: str, value: Any) -> Iterator[Record]:
    item = fields.mapping(value, name)
    annotations = fields.sequence(fields.required(item, "annos"), "annos")
    for idx, annotation in enumerate(annotations):
        query = fields.mapping(annotation, "annos")
        qid = item.get("qid")
        yield Record(
            place=f"{name} (qid {qid}), annos[{idx}]",
            vid=item["id"] if "id" in item else vid_of_path(fields.required(item, "video_path")),
            query=fields.required(query, "query"),
            windows=query.get("window"),
            duration=item.get("duration"),
            qid=qid if len(annotations) == 1 or qid is None else f"{qid}/{idx}",
            extra={"video": item.get("video_path")},
        )
