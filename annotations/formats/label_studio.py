"""Label Studio tasks with timeline labels: frames are counted from 1 and a range includes its last frame.

The start frame of a moment is floor(t * fps) + 1 and its last frame is ceil(t * fps), so that times come back
within one frame. The row's own moments are the annotation marked `ground_truth`, annotators' are the others,
models' are predictions. A verdict is a choice beside the labels. `data.row` keeps what the form lacks.
Form: labelstud.io, Video Timeline Segmentation.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from annotations.formats import carried, fields
from annotations.formats.files import read_text
from annotations.formats.jsonl import loads, split_of
from annotations.formats.options import ExportFiles, ExportOptions, FieldError, Problem, ReadOptions
from annotations.rows import AnnotatorVersion, Row, SourceLine, Verdict, Windows

LABEL_CONFIG = """<View>
  <Text name="query" value="$query"/>
  <Video name="video" value="$video" frameRate="$fps"/>
  <TimelineLabels name="moments" toName="video"><Label value="Moment"/></TimelineLabels>
  <Choices name="verdict" toName="video">
    <Choice value="moments"/><Choice value="no-moment"/><Choice value="cannot-judge"/>
  </Choices>
</View>
"""
"""The labelling interface that these tasks fit."""
_ROUNDING = Fraction(1, 1_000_000)
"""Frames: a time this close to a frame's edge is on it (0.1 s at 30 fps is 3.0000000000000004 frames)."""
Frames = tuple[int, int]


def frames_of(start_s: float, end_s: float, fps: float) -> Frames:
    """First and last frame of [start_s, end_s), from 1, both inclusive, at least one frame."""
    rate = Fraction(fps)
    first = math.floor(Fraction(start_s) * rate + _ROUNDING) + 1
    return first, max(first, math.ceil(Fraction(end_s) * rate - _ROUNDING))


def seconds_of(frames: Frames, fps: float) -> tuple[float, float]:
    """[start_s, end_s) of an inclusive range: where its first frame begins and its last one ends."""
    return (frames[0] - 1) / fps, frames[1] / fps


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows from a JSON export, one for each task; item numbers count the tasks from 1."""
    for item, task in enumerate(fields.sequence(loads(read_text(path)), "file"), start=1):
        try:
            yield _row(fields.mapping(task, "task"), path, item, options)
        except FieldError as error:
            yield Problem.of(error, path.name, item, json.dumps(task))


def _row(task: dict[str, Any], path: Path, item: int, options: ReadOptions) -> Row:
    data = fields.mapping(fields.required(task, "data"), "data")
    fps = fields.duration_s(data.get("fps", options.frame_rate), "fps")
    row = _base(data, path, item, options)
    noted = list(enumerate(row.annotations or ()))
    annotators = iter([pair for pair in noted if pair[1].source != "model"])
    models = iter([pair for pair in noted if pair[1].source == "model"])
    versions: list[tuple[int, AnnotatorVersion]] = []
    found_truth = False
    for annotation in _results(task, "annotations"):
        if annotation.get("ground_truth") is True and not found_truth:
            row, found_truth = _truth(row, annotation, fps), True
        elif annotation.get("was_cancelled") is not True:
            place, before = next(annotators, (len(noted), None))
            versions.append((place, _version(annotation, before, fps, "annotator")))
    for prediction in _results(task, "predictions"):
        place, before = next(models, (len(noted), None))
        versions.append((place, _version(prediction, before, fps, "model")))
    versions.sort(key=lambda found: found[0])
    return replace(row, annotations=tuple(version for _, version in versions) or None)


def _results(task: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [fields.mapping(item, name) for item in fields.sequence(task.get(name, []), name)]


def _base(data: dict[str, Any], path: Path, item: int, options: ReadOptions) -> Row:
    """The row that the task's data describe, with the note's exact values where there is a note."""
    origin = SourceLine(file=path.name, line=item)
    if "row" in data:
        row = carried.row_of(data["row"], origin)
        return row if options.split is None else replace(row, split=options.split)
    qid, qid_is_int = fields.qid(fields.required(data, "qid"))
    video = fields.text(data.get("vid", data.get("video")), "video")
    return Row(
        qid=qid,
        qid_is_int=qid_is_int,
        query=fields.text(fields.required(data, "query"), "query"),
        vid=data.get("vid") or Path(video).stem,
        duration_s=fields.duration_s(data["duration"]) if "duration" in data else None,
        split=split_of(path, options),
        origin=origin,
    )


def _truth(row: Row, annotation: dict[str, Any], fps: float) -> Row:
    shown, verdict = _shown(annotation)
    windows = _settled(row.windows or (), shown, fps)
    if windows == (row.windows or ()) and verdict == row.verdict:
        return row
    cut = fields.windows(_inside(windows, row.duration_s), "ranges", row.duration_s)
    return replace(row, windows=cut, verdict=_agreeing(cut, verdict))


def _inside(windows: Windows, duration: float | None) -> list[list[float]]:
    """A last frame may end after a duration that was rounded down: cut there."""
    return [[start_s, end_s if duration is None else min(end_s, duration)] for start_s, end_s in windows]


def _version(
    item: dict[str, Any], noted: AnnotatorVersion | None, fps: float, source: str
) -> AnnotatorVersion:
    shown, verdict = _shown(item)
    if noted is not None:
        windows = _settled(noted.windows, shown, fps)
        if windows == noted.windows and verdict == noted.verdict:
            return noted
        moved = carried.version_with(noted, windows)
        return replace(moved, verdict=_agreeing(moved.windows, verdict))
    windows = _settled((), shown, fps)
    return AnnotatorVersion(
        annotator=str(item.get("model_version") or _who(item.get("completed_by"))),
        source="model" if source == "model" else "annotator",
        windows=windows,
        verdict=_agreeing(windows, verdict),
    )


def _who(completed_by: object) -> str:
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("id", completed_by.get("email"))
    return "unknown" if completed_by is None else str(completed_by)


def _settled(exact: Windows, shown: list[Frames], fps: float) -> Windows:
    return carried.settled(
        exact, shown, lambda s, e: frames_of(s, e, fps), lambda frames: seconds_of(frames, fps)
    )


def _agreeing(windows: Windows, verdict: Verdict | None) -> Verdict:
    if verdict is None or (verdict != "cannot-judge" and (verdict == "moments") != bool(windows)):
        raise FieldError(
            "verdict", verdict, "contradicts the ranges; an empty annotation must choose no-moment"
        )
    return verdict


def _shown(item: dict[str, Any]) -> tuple[list[Frames], Verdict | None]:
    """The ranges and the verdict of an annotation; ranges without a choice mean `moments`."""
    ranges: list[Frames] = []
    verdict: Verdict | None = None
    for result in fields.sequence(fields.required(item, "result"), "result"):
        value = fields.mapping(fields.mapping(result, "result").get("value"), "value")
        if result.get("type") == "timelinelabels":
            ranges += [_range(found) for found in fields.sequence(value.get("ranges"), "ranges")]
        elif result.get("type") == "choices" and result.get("from_name") == "verdict":
            verdict = fields.verdict((fields.sequence(value.get("choices"), "choices") or [None])[0])
    return ranges, verdict or ("moments" if ranges else None)


def _range(found: object) -> Frames:
    values = fields.mapping(found, "ranges")
    first, last = fields.whole(values.get("start"), "ranges"), fields.whole(values.get("end"), "ranges")
    if not 1 <= first <= last:
        raise FieldError("ranges", found, "frames count from 1 and a range cannot end before it starts")
    return first, last


def _fps(row: Row, options: ExportOptions) -> float:
    given = row.extra.get("fps", options.frame_rate)
    if given is None:
        raise FieldError(
            "fps", None, "Label Studio counts frames: give frame_rate, or a row with extra['fps']"
        )
    return fields.duration_s(given, "fps")


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without a frame rate."""
    _fps(row, options)


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """The tasks, and beside them the labelling interface (`NAME.labels.xml`)."""
    tasks = [_task(number, row, _fps(row, options)) for number, row in enumerate(rows, start=1)]
    config = path.with_name(f"{path.stem}.labels.xml")
    files = {path: json.dumps(tasks, indent=1).encode("ascii"), config: LABEL_CONFIG.encode("ascii")}
    return ExportFiles(files=files, counts={"tasks": len(tasks)})


def _task(number: int, row: Row, fps: float) -> dict[str, Any]:
    versions = row.annotations or ()
    annotations = [_annotation(version, fps) for version in versions if version.source != "model"]
    if row.verdict is not None:
        truth = {"ground_truth": True, "result": _result("truth", row.windows or (), row.verdict, fps)}
        annotations.insert(0, truth)
    data = {
        "video": row.extra.get("video", f"{row.vid}.mp4"),
        "fps": fps,
        "qid": row.qid_value,
        "query": row.query,
    }
    return {
        "id": number,
        "data": {**data, "row": carried.noted(row)},
        "annotations": annotations,
        "predictions": [_prediction(version, fps) for version in versions if version.source == "model"],
    }


def _annotation(version: AnnotatorVersion, fps: float) -> dict[str, Any]:
    who = {"completed_by": int(version.annotator)} if version.annotator.isdecimal() else {}
    timing = {} if version.active_ms is None else {"lead_time": version.active_ms / 1000}
    return {**who, **timing, "result": _result("a", version.windows, version.verdict, fps)}


def _prediction(version: AnnotatorVersion, fps: float) -> dict[str, Any]:
    score = {"score": max(version.scores)} if version.scores else {}
    shown = _result("p", version.windows, version.verdict, fps)
    return {"model_version": version.annotator, **score, "result": shown}


def _result(prefix: str, windows: Windows, verdict: Verdict | None, fps: float) -> list[dict[str, Any]]:
    shown = [frames_of(*window, fps) for window in windows]
    regions: list[dict[str, Any]] = [
        {
            "id": f"{prefix}{place}",
            "type": "timelinelabels",
            "from_name": "moments",
            "to_name": "video",
            "origin": "manual",
            "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": ["Moment"]},
        }
        for place, (first, last) in enumerate(shown, start=1)
    ]
    choice = {"type": "choices", "from_name": "verdict", "to_name": "video", "value": {"choices": [verdict]}}
    return [*regions, {"id": f"{prefix}0", **choice}]
