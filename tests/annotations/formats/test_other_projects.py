"""Files of other projects and tools, which are read only: every query taken, or named with its place."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annotations.formats import Mending, ReadOptions, ReadResult, RowsRejected, read
from annotations.rows import Row
from tempo_core.errors import InputError


def read_content(path: Path, content: Any, **options: Any) -> ReadResult:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, "utf-8")
    return read(path, options=ReadOptions(keep_going=True, **options))


def moments(result: ReadResult) -> list[tuple[Any, ...]]:
    return [(row.qid_value, row.query, row.vid, row.windows) for row in result.rows]


def messages_of(result: ReadResult) -> list[str]:
    return [str(item) for item in (*result.contents, *result.omissions, *result.problems)]


def test_refusals_of_ra_rft_have_their_reason(tmp_path: Path) -> None:
    item = {"video": "/d/v.mp4", "query_text": "a", "timestamp": [1, 2], "duration": 9}
    queries = [
        {"q": "a", "a": "<answer>1 to 2</answer>", "r": True, "difficulty": "original"},
        {"q": "b", "a": "<answer>There is no b.</answer><correct>a</correct>", "r": False, "c": ["Object"]},
    ]
    result = read_content(tmp_path / "hi_vtg.json", [{**item, "GRPO": queries}, {**item, "timestamp": []}])
    assert result.format == "ra-rft"
    shared = {"vid": "v", "duration_s": 9.0}
    assert result.rows == (
        Row(qid="v/0", query="a", windows=((1.0, 2.0),), extra={"difficulty": "original"}, **shared),
        Row(
            qid="v/1",
            query="b",
            windows=(),
            reason="There is no b.",
            extra={"categories": ["Object"]},
            **shared,
        ),
        Row(qid="v/2", query="a", windows=(), **shared),
    )
    assert messages_of(result) == ["3 of 3 queries taken"]


@pytest.mark.parametrize(
    ("duration", "length_text"), [(0, "0"), (-3, "-3"), ("nine", '"nine"'), (True, "true")]
)
def test_a_length_that_is_none_is_named(tmp_path: Path, duration: Any, length_text: str) -> None:
    item = {"video": "v.mp4", "query_text": "a", "timestamp": [1, 2], "duration": duration}
    result = read_content(tmp_path / "x.json", [item])
    assert result.rows == ()
    assert f"item 0 (v), GRPO[0]: duration is {length_text}; " in messages_of(result)[1]


@pytest.mark.parametrize("code", [[], [0, 0], [-1, -1]])
def test_codes_of_no_moment_in_ra_rft(tmp_path: Path, code: list[int]) -> None:
    result = read_content(tmp_path / "x.json", [{"video": "v.mp4", "query_text": "a", "timestamp": code}])
    assert result.rows == (Row(qid="v/0", query="a", vid="v", windows=()),)
    item = {"video": "v.mp4", "query_text": "a", "timestamp": code, "GRPO": [{"q": "a", "r": True}]}
    contradicting = read_content(tmp_path / "y.json", [item])
    assert contradicting.rows == ()
    assert "GRPO.r is true; " in messages_of(contradicting)[1]


@pytest.mark.parametrize("relevant", [None, "yes"])
def test_a_flag_of_ra_rft_that_says_neither_is_named_with_its_item(tmp_path: Path, relevant: Any) -> None:
    item = {"video": "v.mp4", "query_text": "a", "timestamp": [1, 2], "GRPO": [{"q": "a", "r": relevant}]}
    result = read_content(tmp_path / "x.json", [item])
    assert result.rows == ()
    assert messages_of(result)[1].startswith("x.json, item 0: GRPO.r is ")


def test_a_part_of_a_longer_file_is_a_video_of_its_own(tmp_path: Path) -> None:
    item = {"video": "a/v.mp4", "duration": 20, "timestamp": [1, 2], "sentence": "q", "qid": "my|v"}
    part = {**item, "video_start": 30.5, "video_end": 50.5}
    result = read_content(tmp_path / "train_2k5.json", [part, item, item])
    assert moments(result) == [
        ("my|v", "q", "v_30.5_50.5", ((1.0, 2.0),)),
        ("my|v#2", "q", "v", ((1.0, 2.0),)),
        ("my|v#3", "q", "v", ((1.0, 2.0),)),
    ]
    assert result.rows[0].extra == {"video": "a/v.mp4", "video_start": 30.5, "video_end": 50.5}
    assert {row.split for row in result.rows} == {"train"}


def test_tvgbench_answers_are_times(tmp_path: Path) -> None:
    item = {
        "path": "./t/v.mp4",
        "question": "q",
        "answer": "1.5-2",
        "start": None,
        "end": None,
        "duration": 9,
    }
    result = read_content(tmp_path / "tvgbench.json", [item, {**item, "answer": "soon"}])
    assert moments(result) == [("v/0", "q", "v", ((1.5, 2.0),))]
    assert (
        messages_of(result)[1]
        == 'tvgbench.json, item 1: answer is "soon"; must be two times in seconds: 13.4-28.1'
    )


def test_a_video_of_unitime_may_have_several_queries(tmp_path: Path) -> None:
    annotations = [
        {"query": "a", "window": [[1, 2], [4, 5]]},
        {"query": "b", "window": [[8, 12]]},
        {"query": "c"},
    ]
    item = {"qid": 3, "id": "v", "annos": annotations, "duration": 9, "video_path": "v.mp4", "mode": "mr"}
    result = read_content(tmp_path / "x.json", [item])
    assert moments(result) == [("3/0", "a", "v", ((1.0, 2.0), (4.0, 5.0))), ("3/2", "c", "v", None)]
    assert messages_of(result) == [
        "2 of 3 queries taken",
        "x.json, item 0 (qid 3), annos[1]: windows is [8, 12]; a window must lie inside the video, which lasts 9 s",
    ]


@pytest.mark.parametrize(
    ("times", "window"),
    [([[1, 1], [0, 0], [1, 1]], (5.0, 10.0)), ([[2, 3], [0, 0]], (10.0, 20.0)), ([[5, 5]], (25.0, 30.0))],
)
def test_didemo_takes_what_most_annotators_marked(
    tmp_path: Path, times: list[list[int]], window: tuple[float, float]
) -> None:
    item = {"video": "v.mov", "description": "q", "times": times, "annotation_id": 4, "num_segments": 6}
    (row,) = read_content(tmp_path / "x.json", [item]).rows
    assert row == Row(
        qid="4", qid_is_int=True, query="q", vid="v", duration_s=30, windows=(window,), extra={"times": times}
    )


def test_tacos_counts_frames(tmp_path: Path) -> None:
    video = {"timestamps": [[25, 50], [30, 40]], "sentences": ["a", "b"], "fps": 29.4, "num_frames": 294}
    result = read_content(
        tmp_path / "test.json", {"s1-d2.avi": video, "s9.avi": {**video, "sentences": ["a"]}}
    )
    assert moments(result) == [
        ("s1-d2/0", "a", "s1-d2", ((25 / 29.4, 50 / 29.4),)),
        ("s1-d2/1", "b", "s1-d2", ((30 / 29.4, 40 / 29.4),)),
    ]
    assert (
        messages_of(result)[1]
        == "test.json, s9.avi: s9.avi is [2, 1]; timestamps and sentences must be as many"
    )


def test_a_label_is_one_query_with_all_of_its_segments(tmp_path: Path) -> None:
    def segment(start: float, end: float, label: str) -> dict[str, Any]:
        return {"segment": [start, end], "label": label}

    annotations = [segment(1, 2, "run"), segment(3, 4, "jump"), segment(5, 6, "run"), segment(1.5, 3, "run")]
    database = {
        "v": {"duration": 9, "subset": "training", "annotations": annotations},
        "t": {"duration": 9, "subset": "testing", "annotations": []},
    }
    result = read_content(tmp_path / "x.json", {"version": "1.3", "database": database})
    assert moments(result) == [
        ("v/0", "run", "v", ((1.0, 2.0), (5.0, 6.0))),
        ("v/1", "run", "v", ((1.5, 3.0),)),
        ("v/2", "jump", "v", ((3.0, 4.0),)),
    ]
    assert {row.split for row in result.rows} == {"train"}
    assert messages_of(result) == [
        "2 of 2 queries taken",
        "x.json, video t: has no annotations, as a test set's videos",
    ]


def test_each_step_of_a_recipe_is_a_query(tmp_path: Path) -> None:
    steps = [
        {"segment": [1, 2], "id": 0, "sentence": "cut"},
        {"segment": [2, 99], "id": 1, "sentence": "fry"},
    ]
    database = {"v": {"duration": 9, "subset": "validation", "recipe_type": "113", "annotations": steps}}
    result = read_content(tmp_path / "x.json", {"database": database})
    assert result.rows == (
        Row(
            qid="v/0",
            query="cut",
            vid="v",
            duration_s=9,
            split="val",
            windows=((1.0, 2.0),),
            extra={"recipe_type": "113"},
        ),
    )
    assert messages_of(result)[1].startswith("x.json, video v, annotations[1]: windows is [2, 99]; ")


def test_ego4d_queries_lie_in_their_clip(tmp_path: Path) -> None:
    queries = [
        {"clip_start_sec": 1.5, "clip_end_sec": 2, "query": "Where is it?", "template": "Objects"},
        {"clip_start_sec": 0, "clip_end_sec": 1, "query": None},
        {"query": "Who?"},
    ]
    clip = {
        "clip_uid": "c",
        "clip_start_sec": 0,
        "clip_end_sec": 480.5,
        "annotations": [{"annotation_uid": "a", "language_queries": queries}],
    }
    document = {"version": "2", "split": "val", "videos": [{"video_uid": "v", "clips": [clip]}]}
    result = read_content(tmp_path / "nlq.json", document)
    assert moments(result) == [("c/0", "Where is it?", "c", ((1.5, 2.0),)), ("c/1", "Who?", "c", None)]
    assert (result.rows[0].duration_s, result.rows[0].split) == (480.5, "val")
    assert result.rows[0].extra == {"template": "Objects", "video_uid": "v"}
    assert messages_of(result)[1:] == ["nlq.json, clip c, annotation a, language_queries[1]: has no query"]


VIA: dict[str, Any] = {
    "project": {},
    "attribute": {
        "1": {"aname": "what", "type": 1, "options": {}},
        "2": {"type": 2, "options": {"0": "left", "1": "up"}},
    },
    "file": {"7": {"fid": "7", "fname": "clips/v.mp4"}},
    "view": {"3": {"fid_list": ["7"]}},
}


def test_segments_of_via_are_queries_and_its_shapes_are_named(tmp_path: Path) -> None:
    metadata = {
        "a": {"vid": "3", "z": [1, 2], "xy": [], "av": {"1": "opens", "2": "0,1"}},
        "b": {"vid": "3", "z": [5, 6], "xy": [], "av": {"1": "opens"}},
        "c": {"vid": "3", "z": [5], "xy": [2, 1, 1, 9, 9], "av": {"1": "box"}},
        "d": {"vid": "3", "z": [7, 8], "xy": [], "av": {}},
        "e": {"vid": "3", "z": [], "xy": [], "av": {"1": "good"}},
    }
    result = read_content(tmp_path / "project.json", {**VIA, "metadata": metadata})
    assert moments(result) == [
        ("v/0", "opens", "v", ((1.0, 2.0), (5.0, 6.0))),
        ("v/1", "left", "v", ((1.0, 2.0),)),
        ("v/2", "up", "v", ((1.0, 2.0),)),
    ]
    assert messages_of(result)[1:] == [
        "project.json, metadata c: a shape marks no moment",
        "project.json, metadata d: has no text",
        "project.json, metadata e: a note without two times marks no moment",
    ]


def test_detections_of_fiftyone_in_seconds_or_frames(tmp_path: Path) -> None:
    labels = {
        "v": [{"label": 0, "timestamps": [1.5, 2]}, {"label": "jump", "timestamps": [0, 1]}],
        "w": [{"label": "run", "support": [1, 25]}],
        "x": [],
    }
    document = {"classes": ["run"], "labels": labels}
    result = read_content(tmp_path / "labels.json", document, frame_rate=25.0)
    assert moments(result) == [
        ("v/0", "run", "v", ((1.5, 2.0),)),
        ("v/1", "jump", "v", ((0.0, 1.0),)),
        ("w/0", "run", "w", ((0.0, 1.0),)),
    ]
    assert messages_of(result)[1:] == ["labels.json, video x: has no detections"]
    (problem,) = read_content(tmp_path / "labels.json", document).problems
    assert (problem.place, problem.rule.split("; ")[-1]) == (
        "w",
        "give one (on the command line: --frame-rate)",
    )


def track(label: str, *shapes: tuple[int, int], number: int = 0) -> str:
    boxes = "".join(f'<box frame="{frame}" outside="{outside}"/>' for frame, outside in shapes)
    return f'<track id="{number}" label="{label}">{boxes}</track>'


def test_a_track_of_cvat_is_visible_until_it_is_outside(tmp_path: Path) -> None:
    tracks = (
        track("walks", (0, 0), (5, 0), (10, 1), (20, 0), (30, 1))
        + track("sits", (40, 0), (45, 0), number=1)
        + track("walks", (5, 0), (15, 1), number=2)
    )
    meta = "<meta><task><size>50</size><source>clips/v 1.mp4</source></task></meta>"
    result = read_content(tmp_path / "a.xml", f"<annotations>{meta}{tracks}</annotations>", frame_rate=10.0)
    assert moments(result) == [
        ("v 1/0", "walks", "v 1", ((0.0, 1.0), (2.0, 3.0))),
        ("v 1/1", "walks", "v 1", ((0.5, 1.5),)),
        ("v 1/2", "sits", "v 1", ((4.0, 5.0),)),
    ]
    with pytest.raises(
        InputError, match=r"a\.xml cannot be read as cvat: .*\(on the command line: --frame-rate\)"
    ):
        read(tmp_path / "a.xml")


def test_frames_of_cvat_count_in_the_whole_video(tmp_path: Path) -> None:
    """A task may hold a part of a video, or every second frame of it; a track may stay to its end."""
    meta = (
        "<meta><task><size>50</size><start_frame>50</start_frame><stop_frame>148</stop_frame>"
        "<frame_filter>step=2</frame_filter><source>v.mp4</source></task></meta>"
    )
    text = f"<annotations>{meta}{track('a', (60, 0), (140, 1))}{track('b', (100, 0))}</annotations>"
    result = read_content(tmp_path / "a.xml", text, frame_rate=10.0)
    assert moments(result) == [("v/0", "a", "v", ((6.0, 14.0),)), ("v/1", "b", "v", ((10.0, 14.9),))]
    assert [row.duration_s for row in result.rows] == [None, None]
    job = "<meta><job><size>50</size><start_frame>0</start_frame><stop_frame>49</stop_frame></job></meta>"
    text = f"<annotations>{job}{track('a', (10, 0))}</annotations>"
    result = read_content(tmp_path / "a.xml", text, frame_rate=10.0)
    assert [(row.windows, row.duration_s) for row in result.rows] == [(((1.0, 5.0),), 5.0)]


def test_a_project_of_cvat_has_a_video_for_each_task(tmp_path: Path) -> None:
    tasks = "".join(
        f"<task><id>{number}</id><name>n{number}</name><size>50</size>{source}</task>"
        for number, source in ((4, "<source>a.mp4</source>"), (7, ""))
    )
    tracks = "".join(
        track("walks", (0, 0), (10, 1)).replace("<track", f'<track task_id="{number}"')
        for number in (4, 7, 9)
    )
    text = f"<annotations><meta><project><tasks>{tasks}</tasks></project></meta>{tracks}</annotations>"
    result = read_content(tmp_path / "p.xml", text, frame_rate=10.0)
    assert moments(result) == [
        ("a/0", "walks", "a", ((0.0, 1.0),)),
        ("n7/0", "walks", "n7", ((0.0, 1.0),)),
    ]
    assert 'task_id is "9"; must name one of the file\'s tasks: 4, 7' in str(result.problems[0])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("{version: 2, mediaFileName: 'it\\'s \"v\".mp4', cutSegments: [{start: 1.5, end: 2e0, name: 'a, b}'}]}",
         [("it's \"v\"/0", "a, b}", "it's \"v\"", ((1.5, 2.0),))]),
        ('{\n// mine\n mediaFileName: "v.mp4", /* x */ cutSegments: [\n {end: 2, name: "a", tags: {k: \'1\'},},\n],\n}',
         [("v/0", "a", "v", ((0.0, 2.0),))]),
    ],
)  # fmt: skip
def test_projects_of_losslesscut_are_json5(tmp_path: Path, text: str, rows: list[Any]) -> None:
    result = read_content(tmp_path / "v-proj.llc", text)
    assert (result.format, moments(result)) == ("losslesscut", rows)


def test_a_segment_of_losslesscut_that_is_not_selected_is_named(tmp_path: Path) -> None:
    segments = [{"start": 1, "end": 2, "name": "a", "selected": chosen} for chosen in (True, False)]
    result = read_content(
        tmp_path / "v.llc", {"version": 2, "mediaFileName": "v.mp4", "cutSegments": segments}
    )
    assert messages_of(result) == [
        "2 of 2 queries taken",
        "v.llc, segment 2: is not selected for LosslessCut's own export; it is read all the same",
    ]
    assert [row.windows for row in result.rows] == [((1.0, 2.0),)] * 2


def test_lists_of_losslesscut_have_tags_and_open_ends(tmp_path: Path) -> None:
    text = "Start,End,Name,Place\n00:01:02.500,63,a,kitchen\n5,,b,\n,3,c,\n7,8,,\n9,8,d,\n"
    result = read_content(tmp_path / "v.csv", text, durations={"v": 99.0})
    assert moments(result) == [
        ("v/0", "a", "v", ((62.5, 63.0),)),
        ("v/1", "b", "v", ((5.0, 99.0),)),
        ("v/2", "c", "v", ((0.0, 3.0),)),
    ]
    assert result.rows[0].extra == {"tags": {"Place": "kitchen"}}
    assert messages_of(result) == [
        "3 of 4 queries taken",
        "v.csv, line 5: has no name, which would be its query",
        "v.csv, line 6: windows is [9.0, 8.0]; a window must end after it starts",
    ]


def test_labels_of_audacity(tmp_path: Path) -> None:
    text = "1.0\t2.5\ta\n\\\t100.0\t200.0\n3,5\t4\tb\tc\n5\t5\tpoint\n6\t7\t\nx\t7\td\n8\t9\n8\n"
    result = read_content(tmp_path / "v.txt", text)
    assert moments(result) == [("v/1", "a", "v", ((1.0, 2.5),)), ("v/2", "b\tc", "v", ((3.5, 4.0),))]
    assert messages_of(result) == [
        "2 of 7 labels taken",
        "v.txt, line 2: a label's frequencies are not read",
        "v.txt, label 3 (line 4): a point label marks no moment",
        'v.txt, label 4 (line 5): label text is ""; must be text, and not empty',
        'v.txt, label 5 (line 6): label is "x"; must be a number',
        'v.txt, label 6 (line 7): label text is ""; must be text, and not empty',
        'v.txt, label 7 (line 8): label is "8"; must be `START<tab>END<tab>TEXT`',
    ]


def test_cues_of_subrip(tmp_path: Path) -> None:
    text = (
        "\ufeff1\r\n00:00:01,000 --> 00:00:02,500 X1:1\r\n{\\an8}<i>one</i>\r\ntwo 2\r\n2\r\n"
        "00:00:03.5 --> 00:00:04,000\r\n3 < 4\r\n\r\n7\r\n0:00:06,000 --> 0:00:05,000\r\nlate\r\n"
    )
    result = read_content(tmp_path / "v.srt", text)
    assert moments(result) == [
        ("v/1", "one\ntwo 2", "v", ((1.0, 2.5),)),
        ("v/2", "3 < 4", "v", ((3.5, 4.0),)),
    ]
    assert messages_of(result) == [
        "2 of 3 cues taken",
        "v.srt, cue 3 (line 10): cue is [6.0, 5.0]; a window must end after it starts",
    ]


def test_cues_of_subrip_without_numbers_keep_their_last_line(tmp_path: Path) -> None:
    text = "00:00:01,000 --> 00:00:02,000\none\n2 dogs\n\n00:00:03,000 --> 00:00:04,000\ntwo\n4"
    result = read_content(tmp_path / "v.srt", text)
    assert moments(result) == [
        ("v/1", "one\n2 dogs", "v", ((1.0, 2.0),)),
        ("v/2", "two\n4", "v", ((3.0, 4.0),)),
    ]


def test_one_query_a_line_of_timelens2(tmp_path: Path) -> None:
    line = {"video_path": "a/v.mp4", "duration": 9, "query": "q", "span": [[1, 2]], "rollouts": [[0, 1]]}
    grouped = {"video_path": "w.mp4", "duration": 9, "events": [{"query": "r", "span": [[1, 2], [3, 4]]}]}
    text = "\n".join(json.dumps(item) for item in (line, {**line, "query": "p"}, grouped))
    result = read_content(tmp_path / "t.jsonl", text)
    assert moments(result) == [
        ("v/0", "q", "v", ((1.0, 2.0),)),
        ("v/1", "p", "v", ((1.0, 2.0),)),
        ("w/0", "r", "w", ((1.0, 2.0), (3.0, 4.0))),
    ]
    assert result.rows[0].extra == {"video_path": "a/v.mp4", "rollouts": [[0, 1]]}


TABLES = [
    ("Video;Sentence;Start;End\nv.mp4;q;0:01,5;00:00:02\n", "v.csv"),
    ("\ufeffvid\tquery\tstart_s\tend_s\nv.mp4\tq\t1,5\t2\n", "v.tsv"),
]


@pytest.mark.parametrize(("text", "name"), TABLES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_as_spreadsheets_save_them(tmp_path: Path, text: str, name: str, encoding: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    assert moments(read(path)) == [("v.mp4/0", "q", "v.mp4", ((1.5, 2.0),))]


@pytest.mark.parametrize("codes", [[[0, 0]], [[-1, -1]], [[0.0, 0.0]]])
def test_a_coded_refusal_is_no_window(tmp_path: Path, codes: Any) -> None:
    line = {"qid": "t0", "query": "q", "vid": "v", "duration": 9, "relevant_windows": codes}
    coded = {**line, "relevant_clip_ids": [], "saliency_scores": [[]]}
    result = read_content(tmp_path / "neg.jsonl", json.dumps(coded))
    assert [(row.verdict, row.windows) for row in result.rows] == [("no-moment", ())]
    with pytest.raises(RowsRejected, match="a window must end after it starts"):
        read_line(tmp_path, {**line, "relevant_windows": [[0, 0], [1, 2]]})


def read_line(tmp_path: Path, line: dict[str, Any]) -> ReadResult:
    path = tmp_path / "line.jsonl"
    path.write_text(json.dumps(line))
    return read(path)


def test_windows_that_overlap_are_merged_on_request(tmp_path: Path) -> None:
    windows = [[26, 34], [30, 38], [38, 40], [9, 12], [34, 29]]
    line = {"qid": 1, "query": "q", "vid": "v", "duration": 39, "relevant_windows": windows}
    with pytest.raises(RowsRejected, match=r"\[38, 40\]; a window must lie inside the video"):
        read_line(tmp_path, line)
    with pytest.raises(
        RowsRejected, match=r"\[26.0, 34.0\], \[30.0, 38.0\]\]; two windows of one query overlap"
    ):
        read_line(tmp_path, {**line, "relevant_windows": windows[:2]})
    result = read(tmp_path / "line.jsonl", options=ReadOptions(mending=Mending()))
    assert [(row.windows, row.extra) for row in result.rows] == [
        (((26.0, 38.0),), {"mended": ["overlapping windows merged"]})
    ]
    (tmp_path / "line.jsonl").write_text(json.dumps(line))
    result = read(tmp_path / "line.jsonl", options=ReadOptions(mending=Mending()))
    repairs = {"edges swapped": 1, "ends cut at the duration": 1, "overlapping windows merged": 2}
    assert [(row.windows, row.extra) for row in result.rows] == [
        (((9.0, 12.0), (26.0, 38.0), (38.0, 39.0)), {"mended": sorted(repairs)})
    ]
    assert result.mended == repairs


@pytest.mark.parametrize(
    ("name", "content", "omission"),
    [
        (
            "x.json",
            [{"video": "v.mp4", "query_text": "q", "timestamp": [1, 2], "think": "", "PRO": {}}] * 2,
            "x.json, fields think (2), PRO (2): not read",
        ),
        (
            "x.json",
            {"v": {"duration": 9, "timestamps": [[1, 2]], "sentences": ["q"], "url": "u"}},
            "x.json, fields url (1): not read",
        ),
        (
            "x.json",
            {"database": {"v": {"annotations": [{"segment": [1, 2], "label": "q"}], "resolution": "9x9"}}},
            "x.json, fields resolution (1): not read",
        ),
        (
            "x.json",
            [{"id": 1, "data": {"video": "v.mp4", "query": "q", "camera": 2}, "annotations": []}],
            "x.json, data fields camera (1): not read",
        ),
        (
            "x.csv",
            "vid,query,start_s,end_s,mood\nv,q,1,2,good\nv,p,1,2,\n",
            "x.csv, columns mood (1): not read",
        ),
        ("x.csv", "1,2,q,a\n", None),
    ],
)
def test_fields_that_nothing_reads_are_named_once(
    tmp_path: Path, name: str, content: Any, omission: str | None
) -> None:
    result = read_content(tmp_path / name, content)
    assert result.rows
    assert [str(item) for item in result.omissions] == ([] if omission is None else [omission])


REGION = {"id": "r", "type": "timelinelabels", "from_name": "l", "to_name": "video"}
DOCUMENTS: dict[str, Any] = {
    "label-studio": [
        {
            "id": 1,
            "data": {"video": "v.mp4", "fps": 25, "query": "q"},
            "annotations": [
                {
                    "id": 2,
                    "completed_by": {"id": 3},
                    "lead_time": 1.5,
                    "result": [
                        {
                            **REGION,
                            "value": {"ranges": [{"start": 1, "end": 2}], "timelinelabels": ["Moment"]},
                        }
                    ],
                }
            ],
            "predictions": [7],
            "drafts": [],
        }
    ],
    "label-studio min": [
        {
            "id": 1,
            "video": "v.mp4",
            "fps": 25,
            "l": [{"ranges": [{"start": 1, "end": 2}], "timelinelabels": ["q"]}],
            "annotator": 1,
            "annotation_id": 2,
        }
    ],
    "ra-rft": [
        {
            "video": "v.mp4",
            "query_text": "q",
            "timestamp": [1, 2],
            "GRPO": [{"q": "q", "a": "", "r": True, "c": []}],
        }
    ],
    "time-r1": [{"video": "v.mp4", "sentence": "q", "timestamp": [1, 2], "video_start": 1, "video_end": 9}],
    "tvgbench": [{"path": "v.mp4", "question": "q", "answer": "1-2", "start": None, "duration": 9}],
    "unitime": [{"qid": 0, "id": "v", "annos": [{"query": "q", "window": [[1, 2]]}], "duration": 9}],
    "didemo": [
        {"video": "v.mp4", "description": "q", "times": [[1, 1]], "annotation_id": 4, "num_segments": 6}
    ],
    "tacos": {"v.avi": {"timestamps": [[1, 2]], "sentences": ["q"], "fps": 25, "num_frames": 50}},
    "activitynet": {"v": {"timestamps": [[1, 2]], "sentences": ["q"], "duration": 9, "qids": [1]}},
    "database": {"database": {"v": {"subset": "val", "annotations": [{"segment": [1, 2], "label": "q"}]}}},
    "ego4d-nlq": {
        "version": "2",
        "split": "val",
        "videos": [
            {
                "video_uid": "u",
                "clips": [
                    {
                        "clip_uid": "v",
                        "clip_start_sec": 0,
                        "clip_end_sec": 9,
                        "annotations": [
                            {"language_queries": [{"query": "q", "clip_start_sec": 1, "clip_end_sec": 2}]}
                        ],
                    }
                ],
            }
        ],
    },
    "via": {**VIA, "metadata": {"a": {"vid": "3", "z": [1, 2], "xy": [], "av": {"1": "q"}}}},
    "fiftyone": {"classes": ["q"], "labels": {"v": [{"label": 0, "support": [1, 2]}]}},
    "losslesscut": {
        "mediaFileName": "v.mp4",
        "cutSegments": [{"start": 1, "end": 2, "name": "q", "tags": {}}],
    },
}
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 1e999, 10**400, -(10**400), 2**64, "", "x", "9" * 5000, [], [[]], [1], {}, {"a": 1}),
)


def with_odd_values(value: Any) -> Iterator[Any]:
    """The document once for each of its values and each odd value in that place."""
    yield from ODD_VALUES
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(places):
        for odd in with_odd_values(inner):
            changed = dict(value) if isinstance(value, dict) else list(value)
            changed[key] = odd
            yield changed


@pytest.mark.parametrize("name", DOCUMENTS)
def test_odd_values_become_problems_and_never_a_crash(tmp_path: Path, name: str) -> None:
    document, path = DOCUMENTS[name], tmp_path / "x.json"
    assert len(read_content(path, document, frame_rate=25.0).rows) == 1
    form = read(path, options=ReadOptions(frame_rate=25.0)).format
    for odd in with_odd_values(document):
        path.write_text(json.dumps(odd))
        with contextlib.suppress(InputError):
            read(path, format=form, options=ReadOptions(keep_going=True, frame_rate=25.0))


def test_marks_that_never_end_are_text(tmp_path: Path) -> None:
    """They are looked at once each; ever more of them cost no more each."""
    marks = "<" * 200_000 + "{\\" * 200_000
    (row,) = read_content(
        tmp_path / "v.srt", f"1\n00:00:01,000 --> 00:00:02,000\n{marks}<i>a</i> < b{{\\an8}}\n"
    ).rows
    assert row.query == f"{marks}a < b"
    (row,) = read_content(
        tmp_path / "v.vtt", f"WEBVTT\n\n00:01.000 --> 00:02.000\n{'<' * 200_000}<i>a</i>\n"
    ).rows
    assert row.query == f"{'<' * 200_000}a"


def test_a_name_that_stands_twice_among_very_many_is_named(tmp_path: Path) -> None:
    names = "".join(f'"a{number}": 1, ' for number in range(100_000))
    path = tmp_path / "x.json"
    path.write_text(f'[{{{names}"a5": 2}}]')
    with pytest.raises(InputError, match="'a5' is given twice"):
        read(path, format="time-r1")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("v.srt", "1\n{9}:00:01,000 --> {9}:00:02,500\nx\n"),
        ("v.vtt", "WEBVTT\n\n{9}:00:01.000 --> {9}:00:02.500\nx\n"),
        ("v.txt", "{9}\t{9}.5\tx\n"),
        ("v.csv", "vid,query,start_s,end_s,row_rev\nv,q,1,2,{9}\n"),
        ("v.csv", "vid,query,start_s,end_s\nv,q,1e400,{9}\n"),
        ("v.jsonl", '{{"qid": 1, "query": "q", "vid": "v", "duration": 9, "relevant_windows": [[0, {9}]]}}'),
        (
            "v.jsonl",
            '{{"qid": 1, "query": "q", "vid": "v", "duration": 9, "relevant_windows": [], "x": 1e999}}',
        ),
        (
            "v.eaf",
            '<ANNOTATION_DOCUMENT><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="{9}"/>'
            '<TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="{9}"/></TIME_ORDER><TIER TIER_ID="t"><ANNOTATION>'
            '<ALIGNABLE_ANNOTATION ANNOTATION_ID="1" TIME_SLOT_REF1="a" TIME_SLOT_REF2="b"><ANNOTATION_VALUE>x'
            "</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>",
        ),
    ],
)
@pytest.mark.parametrize("digits", [400, 5000])
def test_numbers_that_nothing_holds_are_problems(tmp_path: Path, name: str, text: str, digits: int) -> None:
    content = text.replace("{9}", "9" * digits).replace("{{", "{").replace("}}", "}")
    rows: tuple[Row, ...] = ()
    with contextlib.suppress(InputError):
        rows = read_content(tmp_path / name, content).rows
    assert rows == ()
