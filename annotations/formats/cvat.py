"""CVAT for video 1.1: XML of tracks, each a label with shapes by frame; a track is visible until a shape is `outside`.

A label is a query; its moments are the stretches in which one of its tracks is visible. Frames count from 0, in the
whole video where the task is a part of it or every n-th frame, and need a frame rate (`--frame-rate`). The video is the
task's `source`, else the file's name; a project's export has a video for each task. Tags, attributes and images are
named. Form: docs.cvat.ai, "XML annotation format", interpolation mode.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from annotations.formats import fields
from annotations.formats.elan import parse_safely
from annotations.formats.files import read_text
from annotations.formats.options import Item, Omission, ReadOptions
from annotations.formats.records import Record, read_records, vid_of_path
from tempo_core.metrics.rows import FieldError

NO_SHAPES = ("tag", "attribute")


@dataclass(frozen=True, slots=True)
class _Task:
    """What the file says of one video."""

    vid: str
    rate: float
    """Frames a second."""
    end_frame: int | None
    """The frame after the task's last one."""
    duration_s: float | None
    """None where the task does not say how long the video is."""


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the order in which labels first occur."""
    root = parse_safely(read_text(path), path.name)
    elements = [
        *root.iterfind("meta/project/tasks/task"),
        *root.iterfind("meta/task"),
        *root.iterfind("meta/job"),
    ]
    tasks = {
        element.findtext("id", "").strip(): _task(
            element, element.findtext("name", "") if len(elements) > 1 else path.name, root, options
        )
        for element in elements or [root]
    }
    labels: dict[tuple[str, str], list[ElementTree.Element]] = {}
    for track in root.iterfind("track"):
        labels.setdefault((track.get("task_id", ""), track.get("label", "")), []).append(track)
    for name, count in {
        "images": len(root.findall("image")),
        "tags": len(root.findall(".//tag")),
        "attributes of shapes": len(root.findall("track/*/attribute")),
    }.items():
        if count:
            yield Omission(file=path.name, place=f"{count} {name}", reason="mark no stretch of time")

    def records(_: str, key: tuple[str, str]) -> Iterator[Record]:
        task_id, label = key
        tracks = labels[key]
        task = next(iter(tasks.values())) if len(tasks) == 1 else tasks.get(task_id)
        if task is None:
            raise FieldError("task_id", task_id, f"must name one of the file's tasks: {', '.join(tasks)}")
        spans = [span for track in tracks for span in _spans(track, task.end_frame)]
        yield Record(
            place=f"track {', '.join(track.get('id', '?') for track in tracks)}",
            vid=task.vid,
            query=label,
            windows=[(first / task.rate, end / task.rate) for first, end in spans],
            duration=task.duration_s,
            extra={"fps": task.rate},
            repeats=True,
        )

    yield from read_records(path, options, ((f'label "{key[1]}"', key) for key in labels), records)


def _task(element: ElementTree.Element, name: str, root: ElementTree.Element, options: ReadOptions) -> _Task:
    """`name` is the video's where nothing says its source. Raises FieldError for a video without a frame rate."""
    source = element.findtext("source") or root.findtext("meta/source") or name
    vid = vid_of_path(source, "source")
    rate = options.rate_of(vid)
    if rate is None:
        raise FieldError(
            "frame",
            None,
            "CVAT counts frames, and its file has no frame rate; give one (on the command line: --frame-rate)",
        )

    def frame(name: str) -> int | None:
        text = element.findtext(name)
        return None if not text else int(fields.number_of_text(text, name))

    size, stop = frame("size"), frame("stop_frame")
    end_frame = size if stop is None else stop + 1
    is_whole = not frame("start_frame") and not element.findtext("frame_filter")
    return _Task(vid, rate, end_frame, size / rate if size is not None and is_whole else None)


def _spans(track: ElementTree.Element, end_frame: int | None) -> list[tuple[int, int]]:
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
        spans.append((first, frame + 1 if end_frame is None else end_frame))
    return spans
