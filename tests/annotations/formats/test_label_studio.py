"""Label Studio: the tasks as Label Studio reads them, frames by hand, and the rows that come back."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.formats import ReadOptions, RowsRejected, read
from annotations.formats.label_studio import frames_of, seconds_of
from annotations.rows import AnnotatorVersion, Row
from tests.annotations.formats.sample_rows import ADA, FULL, REFUSAL, TINY, UNCLEAR, UNLABELLED, export


@settings(derandomize=True)
@given(st.floats(0, 3600), st.floats(0.001, 600), st.sampled_from([9.53, 23.976, 25.0, 29.97, 30.0, 60.0]))
def test_frames_keep_times_within_one_frame(start_s: float, length_s: float, fps: float) -> None:
    end_s = start_s + length_s
    first, last = frames_of(start_s, end_s, fps)
    assert 1 <= first <= last
    shown_start, shown_end = seconds_of((first, last), fps)
    assert abs(shown_start - start_s) <= 1 / fps + 1e-6
    assert abs(shown_end - end_s) <= 1 / fps + 1e-6
    assert frames_of(shown_start, shown_end, fps) == (first, last)


@pytest.mark.parametrize(
    ("start_s", "end_s", "fps", "frames"),
    [
        (82, 150, 30, (2461, 4500)),
        (0, 2, 30, (1, 60)),
        (0.1, 0.2, 30, (4, 6)),
        (1.0, 1.0001, 30, (31, 31)),
        (1.001, 1.002, 30, (31, 31)),
        (1.0, 2.0, 29.97, (30, 60)),
        (1.0, 2.0, 9.53, (10, 20)),
        (0.0, 1e-9, 25, (1, 1)),
    ],
)
def test_frames_by_hand(start_s: float, end_s: float, fps: float, frames: tuple[int, int]) -> None:
    assert frames_of(start_s, end_s, fps) == frames


def test_seconds_by_hand() -> None:
    assert seconds_of((2461, 4500), 30) == (82, 150)
    assert seconds_of((1, 1), 25) == (0, 0.04)


def region(name: str, first: int, last: int, **further: Any) -> dict[str, Any]:
    return {
        "id": name,
        "type": "timelinelabels",
        "from_name": "moments",
        "to_name": "video",
        "origin": "manual",
        "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": ["Moment"]},
        **further,
    }


def choice(name: str, verdict: str) -> dict[str, Any]:
    return {
        "id": name,
        "type": "choices",
        "from_name": "verdict",
        "to_name": "video",
        "value": {"choices": [verdict]},
    }


def name_of(annotator: str) -> dict[str, Any]:
    return {
        "id": "an",
        "type": "textarea",
        "from_name": "annotator",
        "to_name": "video",
        "value": {"text": [annotator]},
    }


def test_a_task_holds_every_party(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    report = export(path, "label-studio", FULL, REFUSAL, UNLABELLED, UNCLEAR, frame_rate=25.0)
    assert json.loads(path.read_bytes()) == [
        {
            "id": 1,
            "data": {
                "video": "cl ip.mp4",
                "fps": 25.0,
                "qid": 7,
                "query": FULL.query,
                "vid": "cl ip",
                "duration": 20.0,
                "split": "val",
            },
            "annotations": [
                {
                    "ground_truth": True,
                    "result": [
                        region("truth1", 31, 138),
                        region("truth2", 226, 232),
                        choice("truth0", "moments"),
                    ],
                },
                {
                    "ground_truth": False,
                    "lead_time": 12.4,
                    "updated_at": "2026-11-21T01:02:03Z",
                    "result": [
                        region("a1", 31, 138),
                        region("a2", 225, 232),
                        choice("a0", "moments"),
                        name_of("ada"),
                    ],
                },
                {"ground_truth": False, "completed_by": 7, "result": [choice("a0", "no-moment")]},
                {"ground_truth": False, "result": [choice("a0", "cannot-judge"), name_of("cal")]},
            ],
            "predictions": [
                {
                    "model_version": "tempo/tiny+lora",
                    "score": 0.875,
                    "result": [
                        region("p1", 51, 150, score=0.875),
                        region("p2", 26, 63, score=0.25),
                        choice("p0", "moments"),
                    ],
                }
            ],
        },
        {
            "id": 2,
            "data": {
                "video": "cl ip.mp4",
                "fps": 25.0,
                "qid": "b-2",
                "query": "a cat",
                "vid": "cl ip",
                "duration": 20.0,
            },
            "annotations": [{"ground_truth": True, "result": [choice("truth0", "no-moment")]}],
            "predictions": [],
        },
        {
            "id": 3,
            "data": {
                "video": "other.mp4",
                "fps": 25.0,
                "qid": "c",
                "query": "a bird",
                "vid": "other",
                "duration": 9.5,
            },
            "annotations": [],
            "predictions": [],
        },
        {
            "id": 4,
            "data": {
                "video": "other.mp4",
                "fps": 25.0,
                "qid": "d",
                "query": "it",
                "vid": "other",
                "duration": 9.5,
            },
            "annotations": [
                {"ground_truth": True, "result": [region("truth1", 26, 50), choice("truth0", "cannot-judge")]}
            ],
            "predictions": [],
        },
    ]
    assert report.counts == {"tasks": 4}
    assert report.dropped == {
        "alpha_clip": 1,
        "annotations.arm": 1,
        "annotations.reason": 1,
        "annotations.revision": 1,
        "annotations.saliency": 1,
        "extra": 1,
        "mean_tiou": 1,
        "model_version": 1,
        "original_windows": 1,
        "reason": 2,
        "row_rev": 1,
    }


def test_the_labelling_interface_has_a_control_for_every_result(tmp_path: Path) -> None:
    export(tmp_path / "tasks.json", "label-studio", FULL, frame_rate=25.0)
    config = ElementTree.parse(tmp_path / "tasks.labels.xml").getroot()
    assert [(node.tag, node.get("name"), node.get("toName"), node.get("value")) for node in config] == [
        ("Text", "query", None, "$query"),
        ("Video", "video", None, "$video"),
        ("TimelineLabels", "moments", "video", None),
        ("Choices", "verdict", "video", None),
        ("TextArea", "annotator", "video", None),
    ]
    assert config[1].get("frameRate") == "$fps"
    assert [node.get("value") for node in config[2]] == ["Moment"]
    assert [node.get("value") for node in config[3]] == ["moments", "no-moment", "cannot-judge"]


def test_a_task_comes_back_in_frames(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    export(path, "label-studio", FULL, REFUSAL, UNLABELLED, UNCLEAR, frame_rate=25.0)
    full, refusal, unlabelled, unclear = read(path).rows
    assert full == Row(
        qid="7",
        qid_is_int=True,
        query=FULL.query,
        vid="cl ip",
        duration_s=20.0,
        split="val",
        windows=((1.2, 5.52), (9.0, 9.28)),
        annotations=(
            AnnotatorVersion(
                annotator="ada",
                windows=((1.2, 5.52), (8.96, 9.28)),
                active_ms=12_400,
                updated_at="2026-11-21T01:02:03Z",
            ),
            AnnotatorVersion(annotator="7", windows=()),
            AnnotatorVersion(annotator="cal", verdict="cannot-judge"),
            replace(TINY, windows=((2.0, 6.0), (1.0, 2.52)), saliency=None),
        ),
        extra={"fps": 25.0},
    )
    assert refusal == replace(REFUSAL, reason=None, extra={"fps": 25.0})
    assert unlabelled == replace(UNLABELLED, extra={"fps": 25.0})
    assert unclear == replace(UNCLEAR, extra={"fps": 25.0})


def test_the_rate_of_a_row_goes_before_the_exports(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    row = replace(REFUSAL, windows=((1.0, 2.0),), verdict="moments", extra={"fps": 9.53, "video": "/a/b.mkv"})
    export(path, "label-studio", row, frame_rate=25.0)
    (task,) = json.loads(path.read_bytes())
    assert (task["data"]["fps"], task["data"]["video"]) == (9.53, "/a/b.mkv")
    assert task["annotations"][0]["result"][0]["value"]["ranges"] == [{"start": 10, "end": 20}]
    assert read(path).rows[0].windows == ((9 / 9.53, 20 / 9.53),)


@pytest.mark.parametrize("rate", [None, 0, -1.0, "25"])
def test_label_studio_needs_a_frame_rate(tmp_path: Path, rate: Any) -> None:
    with pytest.raises(RowsRejected, match="fps"):
        export(tmp_path / "t.json", "label-studio", FULL, frame_rate=rate)


def test_moments_that_share_a_frame_come_back_as_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    windows = ((1.0, 2.02), (2.03, 3.0))
    close = AnnotatorVersion(annotator="ada", windows=windows)
    ranked = AnnotatorVersion(annotator="m", source="model", windows=windows)
    row = Row(qid="1", query="q", vid="v", windows=windows, annotations=(close, ranked))
    export(path, "label-studio", row, frame_rate=25.0)
    (task,) = json.loads(path.read_bytes())
    ranges = [
        [result["value"]["ranges"][0] for result in party["result"] if "ranges" in result["value"]]
        for party in [*task["annotations"], *task["predictions"]]
    ]
    apart = [{"start": 26, "end": 51}, {"start": 52, "end": 75}]
    assert ranges == [apart, apart, [{"start": 26, "end": 51}, {"start": 51, "end": 75}]]
    assert read(path).rows[0].windows == ((1.0, 2.04), (2.04, 3.0))


def test_the_last_frame_ends_with_the_video(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    row = Row(qid="1", query="q", vid="v", duration_s=9.99, windows=((1.0, 9.99),))
    export(path, "label-studio", row, frame_rate=10.0)
    assert json.loads(path.read_bytes())[0]["annotations"][0]["result"][0]["value"]["ranges"][0]["end"] == 100
    assert read(path).rows[0].windows == ((1.0, 9.99),)


def test_what_only_predictions_hold_is_counted(tmp_path: Path) -> None:
    released = AnnotatorVersion(annotator="r", source="original", windows=((0.0, 1.0),), scores=(0.5,))
    report = export(
        tmp_path / "t.json", "label-studio", replace(UNLABELLED, annotations=(released,)), frame_rate=25
    )
    assert report.dropped == {"annotations.source": 1, "annotations.scores": 1}
    dated = replace(TINY, saliency=None, active_ms=1, updated_at="2026-11-21T01:02:03Z")
    report = export(
        tmp_path / "d.json", "label-studio", replace(UNLABELLED, annotations=(dated,)), frame_rate=25
    )
    assert report.dropped == {"annotations.active_ms": 1, "annotations.updated_at": 1}
    numbered = replace(ADA, annotator="007", scores=None)
    export(tmp_path / "n.json", "label-studio", replace(UNLABELLED, annotations=(numbered,)), frame_rate=25)
    (row,) = read(tmp_path / "n.json").rows
    assert row.annotations is not None
    assert row.annotations[0].annotator == "007"


def task(**changes: Any) -> dict[str, Any]:
    data = {"video": "/data/upload/clip.mp4", "qid": "a", "query": "q", "fps": 30}
    return {"data": data, "annotations": [{"completed_by": 7, "result": [region("x", 1, 60)]}], **changes}


def rows_of(tmp_path: Path, *tasks: Any) -> tuple[Row, ...]:
    path = tmp_path / "mine_val.json"
    path.write_text(json.dumps(list(tasks)), "utf-8")
    return read(path, format="label-studio").rows


def test_a_foreign_task(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, task())
    assert row == Row(
        qid="a",
        query="q",
        vid="clip",
        split="val",
        annotations=(AnnotatorVersion(annotator="7", windows=((0.0, 2.0),)),),
        extra={"fps": 30.0},
    )
    assert str(row.origin) == "mine_val.json, task 1"


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ({"completed_by": {"id": 4, "email": "a@b.c"}}, "4"),
        ({"completed_by": {"email": "a@b.c"}}, "a@b.c"),
        ({"completed_by": "ann"}, "ann"),
        ({"completed_by": None}, "unknown"),
        ({}, "unknown"),
        ({"completed_by": 1, "model_version": "m"}, "m"),
    ],
)
def test_who_annotated(tmp_path: Path, user: dict[str, Any], name: str) -> None:
    (row,) = rows_of(tmp_path, task(annotations=[{**user, "result": [region("x", 1, 60)]}]))
    assert row.annotations is not None
    assert [version.annotator for version in row.annotations] == [name]


def test_what_is_read_of_annotations(tmp_path: Path) -> None:
    results = [
        {"result": [region("x", 1, 30)], "was_cancelled": True},
        {"result": [region("x", 1, 30)], "ground_truth": True},
        {"result": [region("x", 1, 60)], "ground_truth": True},
        {"result": [{"type": "labels", "from_name": "l", "value": {"labels": ["M"]}}, region("x", 31, 60)]},
        {"result": [{**choice("c", "no-moment"), "from_name": "colour"}, region("x", 61, 90)]},
        {"result": [{**name_of("zoe"), "from_name": "comment"}, region("x", 91, 120)]},
    ]
    predictions = [{"model_version": "m", "result": [region("p", 1, 30, score=0.5), region("p", 61, 90)]}]
    (row,) = rows_of(tmp_path, task(annotations=results, predictions=predictions))
    assert row.windows == ((0.0, 1.0),)
    assert row.annotations == (
        AnnotatorVersion(annotator="unknown", windows=((0.0, 2.0),)),
        AnnotatorVersion(annotator="unknown", windows=((1.0, 2.0),)),
        AnnotatorVersion(annotator="unknown", windows=((2.0, 3.0),)),
        AnnotatorVersion(annotator="unknown", windows=((3.0, 4.0),)),
        AnnotatorVersion(annotator="m", source="model", windows=((0.0, 1.0), (2.0, 3.0))),
    )


def test_several_ranges_of_one_region_and_a_truth_without_moments(tmp_path: Path) -> None:
    two = region("x", 1, 30)
    two["value"]["ranges"].append({"start": 61, "end": 90})
    unclear = {"ground_truth": True, "result": [choice("c", "cannot-judge")]}
    first, second = rows_of(
        tmp_path,
        task(annotations=[{"ground_truth": True, "result": [two]}]),
        task(data={**task()["data"], "qid": 3, "vid": "w", "duration": 4}, annotations=[unclear]),
    )
    assert first.windows == ((0.0, 1.0), (2.0, 3.0))
    assert (second.qid_value, second.vid, second.duration_s) == (3, "w", 4.0)
    assert (second.windows, second.verdict) == (None, "cannot-judge")


def test_the_split_of_the_options_goes_before_the_tasks(tmp_path: Path) -> None:
    path = tmp_path / "mine_val.json"
    path.write_text(json.dumps([task(data={**task()["data"], "split": "train"})]), "utf-8")
    assert read(path).rows[0].split == "train"
    assert read(path, options=ReadOptions(split="test")).rows[0].split == "test"


BROKEN: list[tuple[Any, str, str]] = [
    (3, "task", "JSON object"),
    ({}, "data", "missing"),
    (task(data={"qid": "a", "query": "q", "fps": 30}), "video", "must be text"),
    (
        task(data={"video": "v.mp4", "fps": 30}, annotations=[]),
        "query",
        "no query and no region with a label",
    ),
    (
        task(data={"video": "v.mp4", "qid": "a", "query": "q"}),
        "fps",
        "how many a second has; say it .on the command line: --frame-rate",
    ),
    (task(data={"video": "v.mp4", "qid": "a", "query": "q", "fps": "many"}), "fps", "must be a number"),
    (task(data={"video": "v.mp4", "qid": "a", "query": "q", "fps": 0}), "fps", "above 0"),
    (task(data={**task()["data"], "split": "x"}), "split", "train, val, test"),
    (task(data={**task()["data"], "duration": 0}), "duration", "above 0"),
    (task(annotations=3), "annotations", "list"),
    (task(annotations=[{}]), "result", "missing"),
    (task(annotations=[{"result": []}]), "verdict", "must choose no-moment"),
    (task(annotations=[{"result": [choice("c", "moments")]}]), "verdict", "contradicts the ranges"),
    (
        task(annotations=[{"result": [region("x", 1, 2), choice("c", "no-moment")]}]),
        "verdict",
        "contradicts the ranges",
    ),
    (task(annotations=[{"result": [choice("c", "maybe")]}]), "verdict", "must be one of"),
    (task(annotations=[{"result": [region("x", 0, 2)]}]), "ranges", "count from 1"),
    (task(annotations=[{"result": [region("x", 3, 2)]}]), "ranges", "cannot end before it starts"),
    (task(annotations=[{"result": [{"type": "timelinelabels"}]}]), "value", "JSON object"),
    (task(predictions=[{"result": [region("x", 1, 2, score="high")]}]), "score", "finite number"),
    (
        task(annotations=[{"ground_truth": True, "result": [region("x", 76, 150), region("y", 140, 180)]}]),
        "ranges",
        "overlap",
    ),
    (
        task(
            data={**task()["data"], "duration": 2},
            annotations=[{"ground_truth": True, "result": [region("x", 61, 90)]}],
        ),
        "ranges",
        "inside the video|end after it starts",
    ),
]


@pytest.mark.parametrize(("bad", "field", "rule"), BROKEN)
def test_a_bad_task_names_its_number_field_and_rule(tmp_path: Path, bad: Any, field: str, rule: str) -> None:
    with pytest.raises(RowsRejected, match=rf"mine_val\.json, task 2: {field} is .*({rule})") as caught:
        rows_of(tmp_path, task(), bad)
    assert json.loads(caught.value.problems[0].raw or "") == bad


def test_an_export_with_notes_still_reads_and_its_notes_say_nothing(tmp_path: Path) -> None:
    older = task(
        data={**task()["data"], "row": {"qid": "z", "query": "other", "vid": "x", "split": "train"}},
        annotations=[{"ground_truth": True, "result": [region("t", 1, 60), choice("t0", "moments")]}],
    )
    assert rows_of(tmp_path, older) == (
        Row(qid="a", query="q", vid="clip", split="val", windows=((0.0, 2.0),), extra={"fps": 30.0}),
    )


def items_of(tmp_path: Path, tasks: Any, **options: Any) -> tuple[tuple[Row, ...], list[str]]:
    """The rows of tasks, and what is said beside them."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(tasks), "utf-8")
    result = read(path, options=ReadOptions(keep_going=True, **options))
    return result.rows, [str(item) for item in (*result.contents, *result.omissions, *result.problems)]


def labelled(name: str, label: str, first: int, last: int, control: str = "tl") -> dict[str, Any]:
    value = {"ranges": [{"start": first, "end": last}], "timelinelabels": [label]}
    return {"id": name, "type": "timelinelabels", "from_name": control, "to_name": "video", "value": value}


PROJECT = {
    "id": 12,
    "data": {"clip": "https://bucket.example/a/clip%201.mp4?X-Signature=ab%2Fc"},
    "annotations": [
        {
            "id": 5,
            "completed_by": 1,
            "result": [labelled("a", "enters", 1, 25), labelled("b", "opens", 51, 75)],
        },
        {"id": 6, "completed_by": 2, "result": [labelled("c", "enters", 26, 50)]},
    ],
}


def test_each_label_of_another_project_is_a_query(tmp_path: Path) -> None:
    rows, messages = items_of(tmp_path, [PROJECT], frame_rate=25.0)
    assert rows == (
        Row(
            qid="12/enters",
            query="enters",
            vid="clip 1",
            annotations=(
                AnnotatorVersion(annotator="1", windows=((0.0, 1.0),)),
                AnnotatorVersion(annotator="2", windows=((1.0, 2.0),)),
            ),
            extra={"fps": 25.0},
        ),
        Row(
            qid="12/opens",
            query="opens",
            vid="clip 1",
            annotations=(AnnotatorVersion(annotator="1", windows=((2.0, 3.0),)),),
            extra={"fps": 25.0},
        ),
    )
    assert messages == ["3 of 3 regions taken"]


def test_the_same_label_of_two_controls_is_two_queries(tmp_path: Path) -> None:
    result = [labelled("a", "on", 1, 25, "left"), labelled("b", "on", 1, 50, "right")]
    task_of_two = {**PROJECT, "annotations": [{"id": 5, "completed_by": 1, "result": result}]}
    rows, _ = items_of(tmp_path, [task_of_two], frame_rate=25.0)
    assert [(row.qid, row.query) for row in rows] == [("12/left/on", "on"), ("12/right/on", "on")]


def test_neighbours_of_a_plain_task(tmp_path: Path) -> None:
    """A note on a region, scores that only some moments have, regions of two videos."""
    noted = labelled("a", "on", 1, 25) | {"meta": {"text": ["too late?"]}}
    prediction = {
        "id": 8,
        "model_version": "m",
        "result": [labelled("a", "on", 1, 25) | {"score": 0.5}, noted],
    }
    both = {
        **PROJECT,
        "annotations": [{"id": 5, "completed_by": 1, "result": [noted]}],
        "predictions": [prediction],
    }
    (row,), messages = items_of(tmp_path, [both], frame_rate=25.0)
    assert [(version.source, version.windows, version.scores) for version in row.annotations or ()] == [
        ("annotator", ((0.0, 1.0),), None),
        ("model", ((0.0, 1.0), (0.0, 1.0)), None),
    ]
    note = "its note ['too late?'] is not read"
    assert messages == [
        "3 of 3 regions taken",
        f'mine.json, task 12, annotation 5, region a of control "tl": {note}',
        f'mine.json, task 12, prediction 8, region a of control "tl": {note}',
        "mine.json, task 12, prediction 8: scores of 1 of 2 moments, as the others have none",
    ]
    second = {**labelled("b", "on", 1, 50, "right"), "to_name": "video2"}
    two_videos = {
        **PROJECT,
        "data": {"video": "a.mp4", "video2": "b.mp4"},
        "annotations": [{"id": 5, "completed_by": 1, "result": [noted, second]}],
    }
    rows, messages = items_of(tmp_path, [two_videos], frame_rate=25.0)
    assert rows == ()
    assert (
        'task 12: to_name is ["video", "video2"]; one task holds the regions of several videos'
        in messages[-1]
    )


def test_a_query_beside_labels_of_another_name_is_named_or_chosen(tmp_path: Path) -> None:
    project = {**PROJECT, "data": {**PROJECT["data"], "query": "somebody comes in", "fps": "25"}}
    rows, messages = items_of(tmp_path, [project])
    assert [row.query for row in rows] == ["enters", "opens"]
    assert messages[1:] == [
        "mine.json, task 12, data: the query 'somebody comes in' is not read, as the labels ['enters', 'opens'] "
        "are queries (on the command line, --query-from query reads it)"
    ]
    rows, messages = items_of(tmp_path, [project], query_from="query")
    assert [(row.qid_value, row.query) for row in rows] == [(12, "somebody comes in")]
    assert rows[0].annotations == (
        AnnotatorVersion(annotator="1", windows=((0.0, 1.0), (2.0, 3.0))),
        AnnotatorVersion(annotator="2", windows=((1.0, 2.0),)),
    )
    assert messages == ["3 of 3 regions taken"]


def test_the_rate_of_a_clip_goes_before_the_rate_of_all(tmp_path: Path) -> None:
    rows, _ = items_of(tmp_path, [PROJECT], frame_rate=25.0, frame_rates={"clip 1": 50.0, "other": 1.0})
    assert rows[1].annotations == (AnnotatorVersion(annotator="1", windows=((1.0, 1.5),)),)
    path = tmp_path / "t.json"
    row = Row(qid="1", query="q", vid="v", windows=((1.0, 2.0),))
    export(
        path,
        "label-studio",
        row,
        frame_rate=25.0,
        frame_rates={"v": 10.0},
        video_prefix="/data/local-files/?d=",
    )
    (written,) = json.loads(path.read_bytes())
    assert (written["data"]["fps"], written["data"]["video"]) == (10.0, "/data/local-files/?d=v.mp4")
    assert written["annotations"][0]["result"][0]["value"]["ranges"] == [{"start": 11, "end": 20}]
    assert read(path).rows[0].vid == "v"


def test_what_a_task_holds_beside_its_moments_is_named(tmp_path: Path) -> None:
    annotations = [
        {"id": 1, "was_cancelled": True, "result": [region("x", 1, 30)]},
        {"id": 2, "completed_by": 3, "result": [region("x", 1, 30), labelled("y", "Noise", 31, 60, "other")]},
        {
            "id": 3,
            "completed_by": 4,
            "result": [{"id": "z", "type": "rectangle", "from_name": "box", "value": {}}],
        },
    ]
    (row,), messages = items_of(
        tmp_path, [{**task(annotations=annotations), "id": 9, "predictions": [7], "drafts": [{"id": 8}]}]
    )
    assert row.annotations == (AnnotatorVersion(annotator="3", windows=((0.0, 1.0),)),)
    assert messages == [
        "1 of 3 regions taken",
        "mine.json, task 9, annotation 1: was skipped by its annotator",
        "mine.json, task 9, annotation 3, region z of control \"box\": holds 'rectangle', which are not read; "
        "timelinelabels are",
        "mine.json, task 9, prediction 7: an id alone, as Label Studio exports predictions; it says nothing of "
        "their moments",
        "mine.json, task 9, draft 8: drafts are not read",
        'mine.json, task 9, label "Noise" of control "other": 1 range that marks no moment of the query',
        "mine.json, task 9, annotation 3: has no timeline labels and chooses no verdict, so it says nothing of "
        "the query",
    ]


def test_a_json_min_export_comes_back_whole(tmp_path: Path) -> None:
    ranges = [{"ranges": [{"start": 1, "end": 30}], "timelinelabels": ["Moment"]}]
    shared = {"id": 4, "video": "/data/upload/1/0a1b2c3d-clip.mp4", "fps": 30, "qid": "a", "query": "q"}
    records = [
        {
            **shared,
            "moments": ranges,
            "verdict": "moments",
            "annotator": 1,
            "annotation_id": 10,
            "lead_time": 2.5,
        },
        {**shared, "verdict": "no-moment", "annotator": 2, "annotation_id": 11},
    ]
    rows, messages = items_of(tmp_path, records)
    assert rows == (
        Row(
            qid="a",
            query="q",
            vid="clip",
            annotations=(
                AnnotatorVersion(annotator="1", windows=((0.0, 1.0),), active_ms=2500),
                AnnotatorVersion(annotator="2", windows=()),
            ),
            extra={"fps": 30.0},
        ),
    )
    assert messages == ["1 of 1 regions taken"]


@pytest.mark.parametrize(
    ("url", "vid"),
    [
        ("/data/local-files/?d=set/clip%207.mp4", "clip 7"),
        ("/data/upload/3/0a1b2c3d-clip7.mp4", "clip7"),
        ("/data/upload/3/clip7.mp4", "clip7"),
        ("s3://bucket/0a1b2c3d-clip7.mp4", "0a1b2c3d-clip7"),
        ("https://x.example/v/clip7.mp4?sig=a/b.c", "clip7"),
        ("C:\\videos\\clip7.mp4", "clip7"),
    ],
)
def test_a_clips_address_says_its_id(tmp_path: Path, url: str, vid: str) -> None:
    (row,) = rows_of(tmp_path, task(data={**task()["data"], "video": url}))
    assert row.vid == vid


def test_ranges_of_one_annotator_that_overlap_are_a_bad_task(tmp_path: Path) -> None:
    with pytest.raises(RowsRejected, match=r"task 1: ranges is .* overlap; merge them"):
        rows_of(tmp_path, task(annotations=[{"result": [region("x", 1, 60), region("y", 31, 90)]}]))
