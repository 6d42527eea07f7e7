"""TACoS as JSON: {"s13-d21.avi": {"timestamps": [[first frame, last frame]], "sentences": [..], "fps", "num_frames"}}.

Times are frames: seconds are frame / fps. The parallel arrays have one entry a moment.
Form: the splits that microsoft/2D-TAN distributes, folder data/TACoS, as its loader reads them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.options import Item, ReadOptions
from annotations.formats.records import Record, read_records, vid_of_path, video_items
from tempo_core.metrics.rows import FieldError

KNOWN = ("timestamps", "sentences", "fps", "num_frames")


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order, one for each entry."""
    return read_records(path, options, video_items(path), _records, KNOWN)


def _records(name: str, value: Any) -> Iterator[Record]:
    video = fields.mapping(value, name)
    fps = fields.duration_s(fields.required(video, "fps"), "fps")
    frame_count = fields.duration_s(fields.required(video, "num_frames"), "num_frames")
    frames = fields.sequence(fields.required(video, "timestamps"), "timestamps")
    sentences = fields.sequence(fields.required(video, "sentences"), "sentences")
    if len(frames) != len(sentences):
        raise FieldError(name, (len(frames), len(sentences)), "timestamps and sentences must be as many")
    for idx, (pair, sentence) in enumerate(zip(frames, sentences, strict=True)):
        edges = fields.numbers(pair, "timestamps")
        yield Record(
            place=f"video {name}, timestamps[{idx}]",
            vid=vid_of_path(name),
            query=sentence,
            windows=[[edge / fps for edge in edges]],
            duration=frame_count / fps,
            extra={"fps": fps},
        )
