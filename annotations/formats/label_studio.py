"""Label Studio tasks with timeline labels: frames are counted from 1 and a range includes its last frame.

The start frame of a moment is floor(t * fps) + 1 and its last frame is ceil(t * fps), so that times come back
within one frame. The row's own moments are the annotation marked `ground_truth`, annotators' are the others,
models' are predictions. A verdict is a choice beside the labels, so a refusal is an annotation without a range.
A task of another project has no `query`: there each label is a query, and the task's id is its id. Regions of other
kinds are named and left alone. Form: labelstud.io, Video Timeline Segmentation; exports of version 1.23.2.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from annotations.formats import fields
from annotations.formats.files import read_text, split_of
from annotations.formats.options import Contents, ExportFiles, ExportOptions, Item, Omission, ReadOptions
from annotations.formats.records import unread_fields
from annotations.rows import (
    VERDICTS,
    AnnotatorVersion,
    Row,
    SourceLine,
    Split,
    Verdict,
    VersionSource,
    Windows,
)
from tempo_core.metrics.rows import FieldError, Problem
from tempo_core.wording import plural

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
MOMENT = "Moment"
"""The label of that interface."""
OF_MIN = ("id", "annotation_id", "annotator", "lead_time", "created_at", "updated_at", "agreement")
"""Fields of a JSON-MIN record that are no data of the task."""
KNOWN_DATA = ("video", "vid", "fps", "qid", "query", "duration", "split", "row")
"""Fields of a task's data that are read; `row` is the note of older exports, which is passed over."""
Label: TypeAlias = tuple[str, str]
"""The control's name and the label's text."""
_VIDEO_FILE = re.compile(r"\.(?:mp4|mkv|webm|mov|avi|m4v|mpe?g)(?:\?|$)", re.IGNORECASE)
_UPLOAD_HASH = re.compile(r"^[0-9a-f]{8}-")
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


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows of an export, JSON or JSON-MIN: one for each task, or one for each label where labels are the queries."""
    values = fields.sequence(fields.parse_json(read_text(path)), "file")
    tasks = _tasks_of_min(values) if is_min(values) else values
    unread: Counter[str] = Counter()
    for number, value in enumerate(tasks, start=1):
        task_id = value.get("id", number) if isinstance(value, dict) else number
        origin = SourceLine(file=path.name, line=number, place=f"task {task_id}")
        try:
            task = _Task(fields.mapping(value, "task"), task_id, origin, options)
            unread.update(key for key in task.data if key not in (*KNOWN_DATA, task.video_field))
            yield from task.items(path)
        except FieldError as error:
            yield Problem.of(error, path.name, number, place=origin.place, raw=json.dumps(value))
    yield from unread_fields(path.name, unread, "data fields")


def is_min(values: Sequence[Any]) -> bool:
    """Whether these are records of a JSON-MIN export: an annotation each, with the task's data beside it."""
    first = values[0] if values else None
    return isinstance(first, dict) and "data" not in first and {"annotation_id", "annotator"} <= first.keys()


def _tasks_of_min(records: Sequence[Any]) -> list[Any]:
    """Tasks as in a JSON export. A record's lists of labels are its regions, a text under `verdict` its choice."""
    tasks: dict[int, dict[str, Any]] = {}
    for record in records:
        values = fields.mapping(record, "record")
        data: dict[str, Any] = {}
        result: list[dict[str, Any]] = []
        for name, value in values.items():
            if name == "verdict" and value in VERDICTS:
                result.append({"type": "choices", "from_name": name, "value": {"choices": [value]}})
            elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
                for item in value:
                    kind = next((key for key in item if key.endswith("labels")), "other")
                    result.append({"type": kind, "from_name": name, "value": item})
            elif name not in OF_MIN:
                data[name] = value
        annotation = {name: values[name] for name in OF_MIN[3:] if name in values}
        annotation |= {"id": values.get("annotation_id"), "completed_by": values.get("annotator")}
        task_id = fields.whole(fields.required(values, "id"), "id")
        task = tasks.setdefault(task_id, {"id": task_id, "data": data, "annotations": []})
        task["annotations"].append({**annotation, "result": result})
    return list(tasks.values())


@dataclass(slots=True)
class _Answer:
    """One annotation or prediction: what it marks under each label, and what it says beside that."""

    place: str
    annotation: dict[str, Any]
    source: VersionSource
    annotator: str
    windows: dict[Label, list[tuple[float, float]]] = field(default_factory=dict)
    scores: dict[Label, list[float]] = field(default_factory=dict)
    verdict: Verdict | None = None
    regions: list[list[Label]] = field(default_factory=list)
    """The labels of each region that has some."""
    others: int = 0
    """Regions and choices of controls that mark no moments."""

    def version(self, labels: Sequence[Label], verdict: Verdict | None) -> AnnotatorVersion:
        """What it says about the query behind some labels."""
        windows = [window for label in labels for window in self.windows.get(label, ())]
        scores = [score for label in labels for score in self.scores.get(label, ())]
        verdict = verdict or ("moments" if windows else None)
        if verdict is None or (verdict != "cannot-judge" and (verdict == "moments") != bool(windows)):
            rule = "contradicts the ranges; an empty annotation must choose no-moment"
            raise FieldError("verdict", verdict, rule)
        if self.source == "annotator" and verdict == "moments":
            fields.windows(windows, "ranges")
        lead_time = fields.optional(self.annotation, "lead_time", fields.number)
        updated_at = self.annotation.get("updated_at") or self.annotation.get("created_at")
        return AnnotatorVersion(
            annotator=self.annotator,
            source=self.source,
            windows=tuple(windows),
            scores=tuple(scores) if scores and len(scores) == len(windows) else None,
            verdict=verdict,
            active_ms=None if lead_time is None else round(lead_time * 1000),
            updated_at=None if updated_at is None else fields.text(updated_at, "updated_at"),
        )


class _Task:
    """One task: its clip, its query or labels, and everybody's answers."""

    def __init__(
        self, task: dict[str, Any], task_id: object, origin: SourceLine, options: ReadOptions
    ) -> None:
        self.task, self.origin, self.options = task, origin, options
        self.data = fields.mapping(fields.required(task, "data"), "data")
        self.qid = fields.qid(task_id if self.data.get("qid") is None else self.data["qid"])
        video_fields = _video_fields(self.data)
        self.video_field = video_fields[0] if "video" not in self.data and len(video_fields) == 1 else "video"
        """The field with the clip's address: `video`, else the only one that names a video file."""
        url = fields.text(self.data.get(self.video_field), "video")
        self.vid = fields.text(self.data.get("vid") or vid_of_url(url), "vid")
        self.duration = fields.optional(self.data, "duration", fields.duration_s)
        stated = self.data.get("fps")
        if stated is None:
            stated = options.rate_of(self.vid)
        self.fps = None if stated is None else fields.duration_s(fields.number_of_text(stated, "fps"), "fps")
        self.split: Split | None = self.options.split or fields.optional(
            self.data, "split", lambda value, _: fields.split(value)
        )
        self.held = 0
        self.objects: set[str] = set()
        """The players that regions belong to."""

    def items(self, path: Path) -> Iterator[Item]:
        """The task's rows, and what it holds beside them. Raises FieldError."""
        answers: list[_Answer] = []
        sources: tuple[tuple[str, VersionSource], ...] = (
            ("annotations", "annotator"),
            ("predictions", "model"),
        )
        for key, source in sources:
            for value in fields.sequence(self.task.get(key) or [], key):
                if source == "model" and isinstance(value, int):
                    reason = (
                        "an id alone, as Label Studio exports predictions; it says nothing of their moments"
                    )
                    yield self._omission(f"prediction {value}", reason)
                    continue
                annotation = fields.mapping(value, key)
                place = f"{key.removesuffix('s')} {annotation.get('id', len(answers) + 1)}"
                if annotation.get("was_cancelled") is True:
                    yield self._omission(place, "was skipped by its annotator")
                    continue
                answer = _Answer(place, annotation, source, _annotator(annotation))
                yield from self._read(answer)
                answers.append(answer)
        if len(self.objects) > 1 and len(_video_fields(self.data)) > 1:
            rule = "one task holds the regions of several videos; make it a task for each video"
            raise FieldError("to_name", sorted(self.objects), rule)
        for draft in fields.sequence(self.task.get("drafts") or [], "drafts"):
            draft_id = draft.get("id") if isinstance(draft, dict) else draft
            yield self._omission(f"draft {draft_id}", "drafts are not read")

        for answer in answers:
            scored = sum(map(len, answer.scores.values()))
            if scored and scored < (count := sum(map(len, answer.windows.values()))):
                yield self._omission(
                    answer.place, f"scores of {scored} of {plural(count, 'moment')}, as the others have none"
                )

        labels = list(dict.fromkeys(label for answer in answers for label in answer.windows))
        moment_labels = [label for label in labels if label[1] == MOMENT]
        query = self.data.get("query")
        if query is not None and (self.options.query_from == "query" or moment_labels or not labels):
            # The task says its query, and one label marks its moments.
            query_labels = labels if self.options.query_from == "query" else moment_labels
            for control, label in labels:
                if (control, label) not in query_labels:
                    count = sum(len(answer.windows.get((control, label), ())) for answer in answers)
                    reason = f"{plural(count, 'range that marks', 'ranges that mark')} no moment of the query"
                    yield self._omission(f'label "{label}" of control "{control}"', reason)
            full_answers = [
                answer for answer in answers if answer.windows or answer.verdict or not answer.others
            ]
            for answer in answers:
                if answer not in full_answers:
                    reason = "has no timeline labels and chooses no verdict, so it says nothing of the query"
                    yield self._omission(answer.place, reason)
            versions = [
                (answer, answer.version(query_labels, answer.verdict))
                for answer in full_answers
                if answer.verdict or not labels or any(label in answer.windows for label in query_labels)
            ]
            yield self._row(path, *self.qid, fields.text(query, "query"), versions)
            used_labels = query_labels
        else:
            if query is not None:
                reason = f"the query {query!r} is not read, as the labels {[name for _, name in labels]} are queries"
                yield self._omission("data", f"{reason} (on the command line, --query-from query reads it)")
            elif not labels:
                raise FieldError("query", None, "the task has no query and no region with a label")
            qid, qid_is_int = self.qid
            for control, label in labels:
                versions = [
                    (answer, answer.version([(control, label)], None))
                    for answer in answers
                    if (control, label) in answer.windows
                ]
                # The same label of two controls is two queries.
                controls = [name for name, other in labels if other == label]
                part = label if len(controls) == 1 else f"{control}/{label}"
                if len(labels) == 1:
                    yield self._row(path, qid, qid_is_int, fields.text(label, "label"), versions)
                else:
                    yield self._row(path, f"{qid}/{part}", False, fields.text(label, "label"), versions)
            used_labels = labels
        regions = [region for answer in answers for region in answer.regions]
        taken_count = sum(any(label in used_labels for label in region) for region in regions)
        yield Contents(unit="regions", held=self.held, taken=taken_count)

    def _omission(self, place: str, reason: str) -> Omission:
        return Omission(file=self.origin.file, place=f"{self.origin.place}, {place}", reason=reason)

    def _read(self, answer: _Answer) -> Iterator[Omission]:
        """Fill in an answer; what marks no moment comes out as omissions."""
        for item in fields.sequence(fields.required(answer.annotation, "result"), "result"):
            result = fields.mapping(item, "result")
            kind, control = result.get("type"), str(result.get("from_name"))
            if kind == "choices" and control == "verdict":
                value = fields.mapping(result.get("value"), "value")
                answer.verdict = fields.verdict(
                    (fields.sequence(value.get("choices"), "choices") or [None])[0]
                )
                continue
            if kind == "textarea" and control == "annotator":
                texts = fields.mapping(result.get("value"), "value").get("text")
                if not answer.annotation.get("model_version"):
                    answer.annotator = " ".join(map(str, fields.sequence(texts, "text")))
                continue
            self.held += 1
            place = f'{answer.place}, region {result.get("id")} of control "{control}"'
            if kind != "timelinelabels":
                answer.others += 1
                region = result.get("value")
                in_seconds = isinstance(region, dict) and {"start", "end"} <= region.keys()
                unit = " in seconds" if in_seconds else ""
                yield self._omission(place, f"holds {kind!r}{unit}, which are not read; timelinelabels are")
                continue
            value = fields.mapping(result.get("value"), "value")
            names = fields.sequence(value.get(kind) or [], kind)
            if not names:
                answer.others += 1
                yield self._omission(place, "has no label")
                continue
            if notes := fields.mapping(result.get("meta") or {}, "meta").get("text"):
                yield self._omission(place, f"its note {notes!r:.80} is not read")
            if result.get("to_name") is not None:
                self.objects.add(str(result["to_name"]))
            windows = [self._window(frames) for frames in fields.sequence(value.get("ranges"), "ranges")]
            region_labels = [(control, fields.text(name, kind)) for name in names]
            answer.regions.append(region_labels)
            for label in region_labels:
                answer.windows.setdefault(label, []).extend(windows)
                if result.get("score") is not None:
                    score = fields.number(result["score"], "score")
                    answer.scores.setdefault(label, []).extend([score] * len(windows))

    def _window(self, frames: object) -> tuple[float, float]:
        frame_range = fields.mapping(frames, "ranges")
        first, last = (fields.whole_number(frame_range.get(name), "ranges") for name in ("start", "end"))
        if not 1 <= first <= last:
            raise FieldError("ranges", frames, "frames count from 1 and a range cannot end before it starts")
        if self.fps is None:
            rule = (
                "Label Studio counts frames, and the task does not say how many a second has; say it (on the "
                "command line: --frame-rate)"
            )
            raise FieldError("fps", None, rule)
        return seconds_of((first, last), self.fps)

    def _row(
        self,
        path: Path,
        qid: str,
        qid_is_int: bool,
        query: str,
        versions: Sequence[tuple[_Answer, AnnotatorVersion]],
    ) -> Row:
        """The row of a query: its truth is the first annotation with Label Studio's star."""
        truth: AnnotatorVersion | None = None
        more_versions: list[AnnotatorVersion] = []
        for answer, version in versions:
            if answer.annotation.get("ground_truth") is True and truth is None:
                truth = version
            else:
                more_versions.append(version)
        windows = None
        if truth is not None and (truth.windows or truth.verdict == "no-moment"):
            # The last frame may end after a duration that was rounded down.
            limit_s = math.inf if self.duration is None else self.duration
            inside = [[start_s, min(end_s, limit_s)] for start_s, end_s in truth.windows]
            windows = fields.windows(inside, "ranges", self.duration)
        return Row(
            qid=qid,
            qid_is_int=qid_is_int,
            query=query,
            vid=self.vid,
            duration_s=self.duration,
            split=self.split or split_of(path, self.options),
            windows=windows,
            verdict=None if truth is None else truth.verdict,
            annotations=tuple(more_versions) or None,
            extra={} if self.fps is None else {"fps": self.fps},
            origin=self.origin,
        )


def _annotator(annotation: dict[str, Any]) -> str:
    """The model's version, else the user's id or address."""
    user = annotation.get("completed_by")
    user = user.get("id", user.get("email")) if isinstance(user, dict) else user
    return str(annotation.get("model_version") or ("unknown" if user is None else user))


def _video_fields(data: dict[str, Any]) -> list[str]:
    """The fields that name video files."""
    return [name for name, value in data.items() if isinstance(value, str) and _VIDEO_FILE.search(value)]


def vid_of_url(url: str) -> str:
    """The video's id in an address: local-files (`?d=clip.mp4`), signed, or an upload with a hash before its name."""
    parts = urlsplit(url)
    path = parse_qs(parts.query).get("d", [parts.path])[0] if "local-files" in parts.path else parts.path
    stem = PurePosixPath(unquote(path).replace("\\", "/")).stem
    return _UPLOAD_HASH.sub("", stem) if "/upload/" in parts.path else stem


def frame_rate_of(row: Row, options: ExportOptions) -> float | None:
    """Frames per second of the row's video: its own, else the export's."""
    rate: float | None = row.extra.get("fps", options.rate_of(row.vid))
    return rate


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a row without a frame rate."""
    rate = frame_rate_of(row, options)
    if rate is None:
        rule = "Label Studio counts frames: give frame_rate, frame_rates by vid, or a row with extra['fps']"
        raise FieldError("fps", None, rule)
    fields.duration_s(rate, "fps")


def losses(row: Row, path: Path, options: ExportOptions) -> Iterator[str]:
    """A version of the release comes back as an annotator's; only predictions have scores, and no times of work."""
    if row.extra.keys() - {"fps"}:
        yield "extra"
    models = [version for version in row.annotations or () if version.source == "model"]
    for name in ("active_ms", "updated_at"):
        if any(getattr(version, name) is not None for version in models):
            yield f"annotations.{name}"
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
            "video": f"{options.video_prefix}{row.extra.get('video', f'{row.vid}.mp4')}",
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
            # Label Studio's import takes an annotation that does not say so for ground truth.
            about: dict[str, Any] = {"ground_truth": False}
            if version.active_ms is not None:
                about["lead_time"] = version.active_ms / 1000
            if version.updated_at is not None:
                about["updated_at"] = version.updated_at
            if fields.qid_of_text(version.annotator)[1]:
                annotations.append({"completed_by": int(version.annotator), **about, "result": result})
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
            annotations.append({**about, "result": [*result, name]})
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
