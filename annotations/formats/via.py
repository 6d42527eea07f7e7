"""VIA 3 projects: {"project", "attribute", "file", "view", "metadata": {id: {"vid", "z": [s, e], "xy", "av"}}}.

A temporal segment has two times in `z` and no shape in `xy`; each value of its attributes is a query of its video. A
value that is an option's number stands for that option's text. Shapes, single times and notes on whole files are named.
Form: gitlab.com/vgg/via, version 3, "CodeDoc: structure of a VIA project".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import read_text
from annotations.formats.options import Item, Omission, ReadOptions
from annotations.formats.records import Record, read_records, vid_of_path


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the order in which a video's texts first occur."""
    document = fields.mapping(fields.parse_json(read_text(path)), "file")
    files, views, attributes = (
        fields.mapping(fields.required(document, key), key) for key in ("file", "view", "attribute")
    )
    metadata = fields.mapping(fields.required(document, "metadata"), "metadata")
    segments: dict[tuple[str, str], list[tuple[str, object]]] = {}
    for name, value in metadata.items():
        item = fields.mapping(value, name)
        times = fields.sequence(item.get("z") or [], "z")
        if len(times) != 2 or item.get("xy"):
            kind = "a shape" if item.get("xy") else "a note without two times"
            yield Omission(file=path.name, place=f"metadata {name}", reason=f"{kind} marks no moment")
            continue
        file_ids = fields.mapping(views.get(item.get("vid")), "view").get("fid_list") or [None]
        file = fields.mapping(files.get(str(file_ids[0])), "file")
        vid = vid_of_path(file.get("fname"), "fname")
        texts = fields.mapping(item.get("av") or {}, "av")
        if not any(str(text).strip() for text in texts.values()):
            yield Omission(file=path.name, place=f"metadata {name}", reason="has no text")
        for attribute_id, text in texts.items():
            options_of = fields.mapping(attributes.get(attribute_id) or {}, "attribute").get("options") or {}
            text = str(options_of.get(text, text))
            if text.strip():
                segments.setdefault((vid, text), []).append((name, times))

    def records(_: str, group: Any) -> Iterator[Record]:
        (vid, text), items = group
        place = f"metadata {', '.join(name for name, _ in items)}"
        yield Record(place=place, vid=vid, query=text, windows=[times for _, times in items], repeats=True)

    yield from read_records(path, options, (("metadata", group) for group in segments.items()), records)
