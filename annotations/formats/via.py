"""VIA 3 projects: {"project", "attribute", "file", "view", "metadata": {id: {"vid", "z": [s, e], "xy", "av"}}}.

A temporal segment has two times in `z` and no shape in `xy`; each value of its attributes is a query of its video. A
value that is an option's number stands for that option's text. Shapes, single times and notes on whole files are named.
Form: gitlab.com/vgg/via, version 3, "CodeDoc: structure of a VIA project".
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import read_text
from annotations.formats.options import Item, Omission, ReadOptions
from annotations.formats.records import Record, read_records, vid_of_path
from tempo_core.metrics.rows import FieldError, Problem


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the order in which a video's texts first occur."""
    document = fields.mapping(fields.parse_json(read_text(path)), "file")
    files, views, attributes = (
        fields.mapping(fields.required(document, key), key) for key in ("file", "view", "attribute")
    )
    metadata = fields.mapping(fields.required(document, "metadata"), "metadata")
    segments: dict[tuple[str, str], list[tuple[str, object]]] = {}
    for number, (name, value) in enumerate(metadata.items(), start=1):
        place = f"metadata {name}"
        try:
            item = fields.mapping(value, name)
            times = fields.sequence(item.get("z") or [], "z")
            if len(times) != 2 or item.get("xy"):
                kind = "a shape" if item.get("xy") else "a note without two times"
                yield Omission(file=path.name, place=place, reason=f"{kind} marks no moment")
                continue
            view = fields.mapping(views.get(str(item.get("vid"))), "view")
            file_ids = fields.sequence(view.get("fid_list"), "fid_list")
            file = fields.mapping(files.get(str(file_ids[0])) if file_ids else None, "file")
            vid = vid_of_path(file.get("fname"), "fname")
            texts = [
                text
                for attribute_id, content in fields.mapping(item.get("av") or {}, "av").items()
                for text in _texts(content, attributes.get(attribute_id))
            ]
            if not texts:
                yield Omission(file=path.name, place=place, reason="has no text")
            for text in texts:
                segments.setdefault((vid, text), []).append((name, times))
        except FieldError as error:
            yield Problem.of(error, path.name, number, place=place, raw=json.dumps(value))

    def records(_: str, group: Any) -> Iterator[Record]:
        (vid, text), items = group
        place = f"metadata {', '.join(name for name, _ in items)}"
        yield Record(place=place, vid=vid, query=text, windows=[times for _, times in items], repeats=True)

    yield from read_records(path, options, (("metadata", group) for group in segments.items()), records)


def _texts(content: object, attribute: object) -> list[str]:
    """What an attribute says of a segment: a text, or the texts of the options whose numbers it has ("0" or "0,2")."""
    if not isinstance(content, str):
        raise FieldError("av", content, "must be text")
    options = fields.mapping(fields.mapping(attribute or {}, "attribute").get("options") or {}, "options")
    numbers = content.split(",")
    texts = [str(options[number]) for number in numbers] if options.keys() >= set(numbers) else [content]
    return [text for text in texts if text.strip()]
