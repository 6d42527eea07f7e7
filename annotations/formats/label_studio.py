"""Label Studio tasks with timeline labels: frames are counted from 1 and a range includes its last frame.

The start frame of a moment is floor(t * fps) + 1 and its last frame is ceil(t * fps), so that times come back
within one frame. The row's own moments are the annotation marked `ground_truth`, annotators' are the others,
models' are predictions. A verdict is a choice beside the labels, so a refusal is an annotation without a range.
Form: labelstud.io, Video Timeline Segmentation.
"""

import json
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import read_text, split_of
from annotations.formats.options import ExportFiles, ExportOptions, ReadOptions
from annotations.rows import AnnotatorVersion, Row, SourceLine, Verdict, VersionSource, Windows
from tempo_core.metrics.rows import FieldError, Problem

LABEL_CONFIG = """<View>
  <Text name="query" value="$query"/>
  <Video name="video" value="$video" frameRate="$fps"/>
  <TimelineLabels name="moments" toName="video"><Label value="Moment"/></TimelineLabels>
  <Choices name="verdict" toName="video">
    <Choice value="moments"/><Choice value="no-moment"/><Choice value="cannot-judge"/>
  </Choices>
  <TextArea name="annotator" toName="video"/>
</View>
"""
"""The labelling interface that these tasks fit."""
_ROUNDING = Fraction(1, 1_000_000)
"""Frames: a time this close to a frame's edge is on it (0.1 s at 30 fps is 3.0000000000000004 frames)."""


def frames_of(start_s: float, end_s: float, fps: float) -> tuple[int, int]:
    """First and last frame of [start_s, end_s), from 1, both inclusive, at least one frame."""
    rate = Fraction(fps)
    first = math.floor(Fraction(start_s) * rate + _ROUNDING) + 1
    return first, max(first, math.ceil(Fraction(end_s) * rate - _ROUNDING))


def seconds_of(frames: tuple[int, int], fps: float) -> tuple[float, float]:
    """[start_s, end_s) of an inclusive range: where its first frame begins and its last one ends."""
    return (frames[0] - 1) / fps, frames[1] / fps


def read(path: Path, options: ReadOptions) -> Iterator[Row | Problem]:
    """Rows from a JSON export, one for each task; item numbers count the tasks from 1."""
    for item, task in enumerate(fields.sequence(fields.parse_json(read_text(path)), "file"), start=1):
        try:
            yield _row(fields.mapping(task, "task"), path, item, options)
        except FieldError as error:
            yield Problem.of(error, path.name, item, raw=json.dumps(task))


def _row(task: dict[str, Any], path: Path, item: int, options: ReadOptions) -> Row:
    data = fields.mapping(fields.required(task, "data"), "data")
    fps = fields.duration_s(data.get("fps"), "fps")
    qid, qid_is_int = fields.qid(fields.required(data, "qid"))
    duration = fields.duration_s(data["duration"]) if "duration" in data else None
    stated_split = fields.split(data["split"]) if "split" in data else None
    truth: AnnotatorVersion | None = None
    versions: list[AnnotatorVersion] = []
    sources: tuple[tuple[str, VersionSource], ...] = (("annotations", "annotator"), ("predictions", "model"))
    for key, source in sources:
        for value in fields.sequence(task.get(key, []), key):
            annotation = fields.mapping(value, key)
            if annotation.get("ground_truth") is True and truth is None:
                truth = _version(annotation, source, fps)
            elif annotation.get("was_cancelled") is not True:
                versions.append(_version(annotation, source, fps))
    windows = None
    if truth is not None and (truth.windows or truth.verdict == "no-moment"):
        # The last frame may end after a duration that was rounded down.
        limit_s = math.inf if duration is None else duration
        inside = [[start_s, min(end_s, limit_s)] for start_s, end_s in truth.windows]
        windows = fields.windows(inside, "ranges", duration)
    return Row(
        qid=qid,
        qid_is_int=qid_is_int,
        query=fields.text(fields.required(data, "query"), "query"),
        vid=fields.text(data.get("vid") or Path(fields.text(data.get("video"), "video")).stem, "vid"),
        duration_s=duration,
        split=options.split or stated_split or split_of(path, options),
        windows=windows,
        verdict=None if truth is None else truth.verdict,
        annotations=tuple(versions) or None,
        origin=SourceLine(file=path.name, line=item),
    )


def _version(annotation: dict[str, Any], source: VersionSource, fps: float) -> AnnotatorVersion:
    windows: list[tuple[float, float]] = []
    scores: list[float] = []
    verdict: Verdict | None = None
    annotator = annotation.get("model_version")
    for item in fields.sequence(fields.required(annotation, "result"), "result"):
        result = fields.mapping(item, "result")
        value = fields.mapping(result.get("value"), "value")
        if result.get("type") == "timelinelabels":
            for frames in fields.sequence(value.get("ranges"), "ranges"):
                frame_range = fields.mapping(frames, "ranges")
                first, last = (fields.whole(frame_range.get(name), "ranges") for name in ("start", "end"))
                if not 1 <= first <= last:
                    rule = "frames count from 1 and a range cannot end before it starts"
                    raise FieldError("ranges", frames, rule)
                windows.append(seconds_of((first, last), fps))
                if result.get("score") is not None:
                    scores.append(fields.number(result["score"], "score"))
        elif result.get("type") == "choices" and result.get("from_name") == "verdict":
            verdict = fields.verdict((fields.sequence(value.get("choices"), "choices") or [None])[0])
        elif result.get("type") == "textarea" and result.get("from_name") == "annotator":
            annotator = annotator or " ".join(map(str, fields.sequence(value.get("text"), "text")))
    verdict = verdict or ("moments" if windows else None)
    if verdict is None or (verdict != "cannot-judge" and (verdict == "moments") != bool(windows)):
        rule = "contradicts the ranges; an empty annotation must choose no-moment"
        raise FieldError("verdict", verdict, rule)
    if not annotator:
        user = annotation.get("completed_by")
        user = user.get("id", user.get("email")) if isinstance(user, dict) else user
        annotator = "unknown" if user is None else str(user)
    return AnnotatorVersion(
        annotator=str(annotator),
        source=source,
        windows=tuple(windows),
        scores=tuple(scores) if scores and len(scores) == len(windows) else None,
        verdict=verdict,
    )


def frame_rate_of(row: Row, options: ExportOptions) -> float | None:
    """Frames per second of the row's video: its own, else the export's."""
    rate: float | None = row.extra.get("fps", options.frame_rate)
    return rate


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without a frame rate."""
    rate = frame_rate_of(row, options)
    if rate is None:
        rule = "Label Studio counts frames: give frame_rate, or a row with extra['fps']"
        raise FieldError("fps", None, rule)
    fields.duration_s(rate, "fps")


def losses(row: Row, path: Path, options: ExportOptions) -> Iterator[str]:
    """A version of the release comes back as an annotator's; only predictions have scores."""
    versions = [version for version in row.annotations or () if version.source != "model"]
    if any(version.source == "original" for version in versions):
        yield "annotations.source"
    if any(version.scores for version in versions):
        yield "annotations.scores"


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """The tasks, and beside them the labelling interface (`NAME.labels.xml`)."""
    tasks = []
    for number, row in enumerate(rows, start=1):
        fps = fields.duration_s(frame_rate_of(row, options), "fps")
        data: dict[str, Any] = {
            "video": row.extra.get("video", f"{row.vid}.mp4"),
            "fps": fps,
            "qid": row.qid_value,
            "query": row.query,
            "vid": row.vid,
        }
        if row.duration_s is not None:
            data["duration"] = row.duration_s
        if row.split != "unknown":
            data["split"] = row.split
        annotations: list[dict[str, Any]] = []
        predictions: list[dict[str, Any]] = []
        if row.verdict is not None:
            result = _result("truth", row.windows or (), row.verdict, fps)
            annotations.append({"ground_truth": True, "result": result})
        for version in row.annotations or ():
            if version.source == "model":
                score = {"score": max(version.scores)} if version.scores else {}
                result = _result("p", version.windows, version.verdict, fps, version)
                predictions.append({"model_version": version.annotator, **score, "result": result})
                continue
            result = _result("a", version.windows, version.verdict, fps)
            timing = {} if version.active_ms is None else {"lead_time": version.active_ms / 1000}
            if fields.qid_of_text(version.annotator)[1]:
                annotations.append({"completed_by": int(version.annotator), **timing, "result": result})
                continue
            # Label Studio refuses users that it does not know: a pseudonym is a text beside the labels.
            value = {"text": [version.annotator]}
            name = {
                "id": "an",
                "type": "textarea",
                "from_name": "annotator",
                "to_name": "video",
                "value": value,
            }
            annotations.append({**timing, "result": [*result, name]})
        tasks.append({"id": number, "data": data, "annotations": annotations, "predictions": predictions})
    config = path.with_name(f"{path.stem}.labels.xml")
    files = {path: json.dumps(tasks, indent=1).encode("ascii"), config: LABEL_CONFIG.encode("ascii")}
    return ExportFiles(files=files, counts={"tasks": len(tasks)})


def _result(
    prefix: str,
    windows: Windows,
    verdict: Verdict | None,
    fps: float,
    prediction: AnnotatorVersion | None = None,
) -> list[dict[str, Any]]:
    regions: list[dict[str, Any]] = []
    previous_last = 0
    for idx, window in enumerate(windows):
        first, last = frames_of(*window, fps)
        if prediction is None:
            # Neighbours may share a frame, which a reader would take for an overlap.
            first = min(max(first, previous_last + 1), last)
            previous_last = last
        region: dict[str, Any] = {
            "id": f"{prefix}{idx + 1}",
            "type": "timelinelabels",
            "from_name": "moments",
            "to_name": "video",
            "origin": "manual",
            "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": ["Moment"]},
        }
        if prediction is not None and prediction.scores is not None:
            region["score"] = prediction.scores[idx]
        regions.append(region)
    choice = {"type": "choices", "from_name": "verdict", "to_name": "video", "value": {"choices": [verdict]}}
    return [*regions, {"id": f"{prefix}0", **choice}]
