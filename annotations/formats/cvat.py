"""CVAT for video 1.1: XML of tracks, each a label with shapes by frame; a track is visible until a shape is `outside`.

A label is a query; its moments are the stretches in which one of its tracks is visible. Frames count from 0 and need a
frame rate (`--frame-rate`). The video is the task's `source`, else the file's name. Tags, attributes and images are
named. Form: docs.cvat.ai, "XML annotation format", interpolation mode.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from annotations.formats import fields
from annotations.formats.elan import parse_safely
from annotations.formats.files import read_text
from annotations.formats.options import Item, Omission, ReadOptions
from annotations.formats.records import Record, read_records, vid_of_path
from tempo_core.metrics.rows import FieldError

NO_SHAPES = ("tag", "attribute")


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the order in which labels first occur."""
    root = parse_safely(read_text(path), path.name)
    source = root.findtext("meta/task/source") or root.findtext("meta/source") or path.name
    vid = vid_of_path(source, "source")
    rate, size = options.rate_of(vid), root.findtext("meta/task/size")
    if rate is None:
        raise FieldError(
            "frame", None, "CVAT counts frames, and its file has no frame rate: pass --frame-rate"
        )
    labels: dict[str, list[ElementTree.Element]] = {}
    for track in root.iterfind("track"):
        labels.setdefault(track.get("label", ""), []).append(track)
    for name, count in {
        "images": len(root.findall("image")),
        "tags": len(root.findall(".//tag")),
        "attributes of shapes": len(root.findall("track/*/attribute")),
    }.items():
        if count:
            yield Omission(file=path.name, place=f"{count} {name}", reason="mark no stretch of time")

    def records(_: str, label: str) -> Iterator[Record]:
        tracks = labels[label]
        spans = [span for track in tracks for span in _spans(track, size)]
        yield Record(
            place=f"track {', '.join(track.get('id', '?') for track in tracks)}",
            vid=vid,
            query=label,
            windows=[(first / rate, end / rate) for first, end in spans],
            duration=None if size is None else fields.number_of_text(size, "size") / rate,
            extra={"fps": rate},
            repeats=True,
        )

    yield from read_records(path, options, ((f'label "{label}"', label) for label in labels), records)


def _spans(track: ElementTree.Element, size: str | None) -> list[tuple[int, int]]:
    """[first frame, frame after the last) of each stretch in which a track is visible."""
    spans: list[tuple[int, int]] = []
    first: int | None = None
    frame = -1
    for shape in track:
        if shape.tag in NO_SHAPES:
            continue
        frame = int(fields.number_of_text(shape.get("frame", ""), "frame"))
        is_outside = shape.get("outside") == "1"
        if is_outside and first is not None:
            spans.append((first, frame))
            first = None
        elif not is_outside and first is None:
            first = frame
    if first is not None:
        # A track that never goes outside stays until the task ends.
        end = frame + 1 if size is None else int(fields.number_of_text(size, "size"))
        spans.append((first, end))
    return spans
