"""FiftyOne's temporal detections: {"classes": [..], "labels": {uuid: [{"label", "support" or "timestamps"}]}}.

`timestamps` are seconds; `support` is the first and the last frame, counted from 1, both included, and needs a frame
rate. The uuid is the video's file name without its ending. A label of a video is a query with all of its detections; a
label may be its number in `classes`. Form: FiftyOneTemporalDetectionDataset, docs.voxel51.com, exporting datasets.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import read_text
from annotations.formats.label_studio import seconds_of
from annotations.formats.options import Item, Omission, ReadOptions
from annotations.formats.records import Record, read_records
from tempo_core.metrics.rows import FieldError


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order, one for each label of a video."""
    document = fields.mapping(fields.parse_json(read_text(path)), "file")
    classes = fields.sequence(document.get("classes") or [], "classes")

    def records(vid: str, value: Any) -> Iterator[Record | Omission]:
        windows: dict[str, list[object]] = {}
        for item in fields.sequence(value or [], "labels"):
            detection = fields.mapping(item, "labels")
            label = fields.required(detection, "label")
            if isinstance(label, int) and 0 <= label < len(classes):
                label = classes[label]
            window = detection.get("timestamps")
            if window is None:
                window = _seconds(fields.required(detection, "support"), options.rate_of(vid))
            windows.setdefault(fields.text(label, "label"), []).append(window)
        if not windows:
            yield Omission(file=path.name, place=f"video {vid}", reason="has no detections")
        for label, pairs in windows.items():
            place = f'video {vid}, label "{label}"'
            yield Record(place=place, vid=vid, query=label, windows=pairs, repeats=True)

    labels = fields.mapping(fields.required(document, "labels"), "labels")
    return read_records(path, options, labels.items(), records)


def _seconds(support: object, fps: float | None) -> tuple[float, float]:
    frames = [fields.whole(frame, "support") for frame in fields.sequence(support, "support")]
    if len(frames) != 2 or not 1 <= frames[0] <= frames[1]:
        raise FieldError("support", support, "must be a first and a last frame, counted from 1")
    if fps is None:
        raise FieldError(
            "support",
            support,
            "counts frames, and the file has no frame rate; give one (on the command line: --frame-rate)",
        )
    return seconds_of((frames[0], frames[1]), fps)
