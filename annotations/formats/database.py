"""The form that ActivityNet 1.3 and YouCook2 share: segments with a text under each video of a `database`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.options import Item, Omission, ReadOptions
from annotations.formats.records import Record, read_records, video_items

KNOWN = ("duration", "subset", "annotations")


def read_database(
    path: Path, options: ReadOptions, *, text: str, joined: bool = False, extra: tuple[str, ...] = ()
) -> Iterator[Item]:
    """Rows of the segments whose text stands under the key `text`; `joined`: one row for each text of a video."""

    def records(vid: str, value: Any) -> Iterator[Record | Omission]:
        video = fields.mapping(value, vid)
        shared: dict[str, Any] = {
            "vid": vid,
            "duration": video.get("duration"),
            "subset": video.get("subset"),
            "extra": {name: video.get(name) for name in extra},
        }
        segments: dict[object, list[object]] = {}
        annotations = fields.sequence(video.get("annotations") or [], "annotations")
        if not annotations:
            reason = "has no annotations, as a test set's videos"
            yield Omission(file=path.name, place=f"video {vid}", reason=reason)
        for idx, item in enumerate(annotations):
            annotation = fields.mapping(item, "annotations")
            segment, label = fields.required(annotation, "segment"), fields.required(annotation, text)
            place = f"video {vid}, annotations[{idx}]"
            if not joined:
                yield Record(place=place, query=label, windows=[segment], **shared)
            else:
                segments.setdefault(fields.text(label, text), []).append(segment)
        for label, windows in segments.items():
            place = f'video {vid}, {text} "{label}"'
            yield Record(place=place, query=label, windows=windows, repeats=True, **shared)

    return read_records(path, options, video_items(path, "database"), records, (*KNOWN, *extra))
