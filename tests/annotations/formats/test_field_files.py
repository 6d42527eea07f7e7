"""Files as people have them: what each holds, read to the last item, or said to be left out.

They lie in the shared data's folder `field`; the manifest there says what went wrong with each.
"""

from pathlib import Path
from typing import Any

import pytest

from annotations.__main__ import main
from annotations.formats import Mending, ReadOptions, ReadResult, RowsRejected, read
from annotations.rows import Row


@pytest.fixture(scope="session")
def field(shared_data: Path) -> Path:
    folder = shared_data / "field"
    if not folder.is_dir():
        pytest.skip("needs the shared folder of files from the field")
    return folder


def content_of(row: Row) -> tuple[Any, ...]:
    """A row's id, query, video and moments."""
    return row.qid_value, row.query, row.vid, row.windows


def take(path: Path, **options: Any) -> ReadResult:
    return read(path, options=ReadOptions(keep_going=True, **options))


WEBVTT = {
    "vtt_a_style_region.vtt": [
        ("vtt_a_style_region/13", "a person & pours", ((3.0, 6.0),)),
        ("vtt_a_style_region/16", "second", ((7.0, 8.0),)),
    ],
    "vtt_b_same_text.vtt": [
        ("vtt_b_same_text/3", "a person pours", ((3.0, 6.0),)),
        ("vtt_b_same_text/6", "a person pours", ((8.0, 9.0),)),
    ],
    "vtt_c_numbered.vtt": [
        (1, "first thing", ((3.0, 6.0),)),
        (2, "second thing", ((5.0, 9.0),)),
    ],
    "vtt_d_step_ids.vtt": [
        ("step-1", "pour the water", ((3.0, 6.0),)),
        ("step-2", "stir the pot", ((7.0, 9.0),)),
    ],
    "vtt_e_blank_with_space.vtt": [
        ("vtt_e_blank_with_space/3", "pour", ((3.0, 6.0),)),
        ("vtt_e_blank_with_space/6", "stir", ((7.0, 9.0),)),
    ],
    "vtt_f_rolling.vtt": [("vtt_f_rolling/5", "pour the water", ((3.0, 6.0),))],
    "vtt_j_date_ids.vtt": [("2024-01", "pour", ((3.0, 6.0),)), ("2024-02", "stir", ((7.0, 9.0),))],
    "voice.vtt": [
        (1, "a man opens the door", ((1.0, 3.0),)),
        ("voice/10", "a dog runs & jumps", ((4.5, 6.0),)),
        ("voice/15", "late", ((360_000.0, 360_001.0),)),
    ],
}


@pytest.mark.parametrize("name", WEBVTT)
def test_every_cue_is_a_query(field: Path, name: str) -> None:
    result = take(field / name)
    assert [(row.qid_value, row.query, row.windows) for row in result.rows] == WEBVTT[name]
    assert result.problems == ()
    assert [(item.held, item.taken) for item in result.contents] == [(len(WEBVTT[name]),) * 2]


ELAN = {
    "eaf_a_ref_tier.eaf": [
        ("pour", ((3.0, 6.0),)),
        ("a person pours water into a pot", ((3.0, 6.0),)),
    ],
    "eaf_c_time_origin.eaf": [("pour", ((5.0, 8.0),))],
    "eaf_d_empty_value.eaf": [("pour", ((3.0, 6.0),))],
    "eaf_e_two_tiers_same_value.eaf": [("pour", ((3.0, 6.0),)), ("pour", ((4.0, 8.0),))],
    "elan_origin.eaf": [("opens door", ((6.0, 8.0),))],
    "elan_sub.eaf": [("opens door", ((1.0, 3.0),))],
}


@pytest.mark.parametrize("name", ELAN)
def test_every_dated_annotation_is_read_on_the_medias_clock(field: Path, name: str) -> None:
    assert [(row.query, row.windows) for row in take(field / name).rows] == ELAN[name]


def test_an_annotation_that_says_nothing_is_named_by_its_tier_and_id(field: Path) -> None:
    assert [str(problem) for problem in take(field / "eaf_d_empty_value.eaf").problems] == [
        'eaf_d_empty_value.eaf, tier "event", annotation a2: ANNOTATION_VALUE is ""; must be text, and not empty'
    ]


def test_annotations_without_times_are_named(field: Path) -> None:
    result = take(field / "elan_sub.eaf")
    assert [str(item) for item in (*result.omissions, *result.contents)] == [
        'elan_sub.eaf, tier "parts", annotation a90: time slot ts90 has no time',
        'elan_sub.eaf, tier "parts", annotation a91: time slot ts90 has no time',
        "1 of 3 annotations taken",
    ]
    assert result.problems == ()


def versions(result: ReadResult) -> list[tuple[Any, ...]]:
    """Each row's id, query and video, and every annotator's moments."""
    return [
        (row.qid_value, row.query, row.vid, [version.windows for version in row.annotations or ()])
        for row in result.rows
    ]


LABEL_STUDIO = {
    "ls_a_plain_export.json": [(1, "Moment", "kitchen", [((3.0, 6.0),)])],
    "ls_b_two_labels.json": [
        ("1/pour water", "pour water", "kitchen", [((3.0, 6.0),)]),
        ("1/stir pot", "stir pot", "kitchen", [((6.36, 8.0),)]),
    ],
    "ls_g_seconds_video_labels.json": [(1, "x y", "k", [])],
    "ls_j_no_fps.json": [(1, "a person pours", "kitchen", [((3.0, 6.0),)])],
    "ls_h_min_export.json": [(1, "Moment", "kitchen", [((3.0, 6.0),)])],
    "ls_upload.json": [(1, "a dog runs", "clip7", [((1.0, 3.0),)])],
    "ls_local2.json": [(1, "a dog runs", "clip7", [((1.0, 3.0),)])],
    "ls_two.json": [(1, "a dog runs", "clip7", [((0.0, 1.0),)])],
    "ls_strfps.json": [(1, "a dog runs", "clip7", [((1.0, 3.0),)])],
    "label_studio_1.23.2_third_party_project.json": [
        ("5/Person enters", "Person enters", "nasa_13013", [((0.96, 3.0),)]),
        ("5/Door opens", "Door opens", "nasa_13013", [((3.96, 4.8),)]),
    ],
}


@pytest.mark.parametrize("name", LABEL_STUDIO)
def test_every_task_of_label_studio_is_read(field: Path, name: str) -> None:
    result = take(field / name, frame_rate=25.0)
    assert versions(result) == LABEL_STUDIO[name]
    assert result.problems == ()


LABEL_STUDIO_SAYS = {
    "ls_b_two_labels.json": [
        "task 1, data: the query 'cooking' is not read, as the labels ['pour water', 'stir pot'] are queries "
        "(on the command line, --query-from query reads it)"
    ],
    "ls_g_seconds_video_labels.json": [
        "task 1, annotation 1, region a of control \"l\": holds 'labels' in seconds, which are not read; "
        "timelinelabels are",
        "task 1, annotation 1: has no timeline labels and chooses no verdict, so it says nothing of the query",
    ],
    "ls_two.json": ['task 1, label "Noise" of control "other": 1 range that marks no moment of the query'],
}


@pytest.mark.parametrize("name", LABEL_STUDIO_SAYS)
def test_what_a_task_holds_beside_its_moments_is_named(field: Path, name: str) -> None:
    omissions = [f"{item.place}: {item.reason}" for item in take(field / name).omissions]
    assert omissions == LABEL_STUDIO_SAYS[name]


def test_regions_that_are_no_moments_do_not_count_as_taken(field: Path) -> None:
    assert [str(item) for item in take(field / "ls_two.json").contents] == ["1 of 2 regions taken"]


def test_a_project_without_frame_rates_names_the_remedy(field: Path) -> None:
    (problem,) = take(field / "label_studio_1.23.2_third_party_project.json").problems
    assert problem.place == "task 5"
    assert problem.rule.endswith("(on the command line: --frame-rate)")


def test_label_studios_own_export_of_our_project_comes_back(field: Path) -> None:
    result = take(field / "label_studio_1.23.2_export_JSON.json")
    assert [(row.qid_value, row.vid, row.windows) for row in result.rows] == [
        (1, "charades_3MSZA", ((24.3, 30.4),)),
        (2, "kinetics_flipping_a_pancake", ((2.0, 4.0), (6.0, 8.0))),
        (3, "kinetics_mmaction2_demo", ((2.0, 7.0),)),
        (4, "nasa_13013", ((2.0, 6.0),)),
    ]
    assert result.problems == ()
    (version,) = result.rows[2].annotations or ()
    assert (version.annotator, version.windows, version.active_ms, version.updated_at) == (
        "1",
        ((2.3, 200 / 30),),
        12_300,
        "2026-11-29T13:47:35.549417Z",
    )
    assert [item.place for item in result.omissions] == ["task 1, prediction 1", "task 2, prediction 2"]


OTHERS = {
    "timer1.json": ("time-r1", [("x", "a person pours", "kitchen", ((3.0, 6.0),), 10.0)]),
    "unitime.json": ("unitime", [(0, "a person pours", "kitchen", ((3.0, 6.0),), 10.0)]),
    "rarft.json": ("ra-rft", [("kitchen/0", "a person pours", "kitchen", ((3.0, 6.0),), 10.0)]),
    "didemo.json": ("didemo", [(1, "the man pours", "a", ((5.0, 10.0),), 30.0)]),
    "youcook2.json": ("youcook2", [("abc/0", "pour the water", "abc", ((3.0, 6.0),), 10.0)]),
    "activitynet13.json": ("activitynet13", [("abc/0", "Pouring", "abc", ((3.0, 6.0),), 10.0)]),
    "via3_project.json": ("via", [("kitchen/0", "a person pours", "kitchen", ((3.0, 6.0),), None)]),
    "cvat_video.xml": ("cvat", [("cvat_video/0", "a person pours", "cvat_video", ((3.0, 6.0),), 10.0)]),
    "subs.srt": ("srt", [("subs/1", "a person pours", "subs", ((3.0, 6.0),), None)]),
    "losslesscut.csv": (
        "losslesscut",
        [("losslesscut/0", "a person pours", "losslesscut", ((3.0, 6.0),), None)],
    ),
    "losslesscut.llc": ("losslesscut", [("kitchen/0", "a person pours", "kitchen", ((3.0, 6.0),), None)]),
    "audacity_labels.txt": (
        "audacity",
        [("audacity_labels/1", "a person pours", "audacity_labels", ((3.0, 6.0),), None)],
    ),
    "excel_semicolon.csv": ("csv", [(1, "a person pours", "kitchen", ((3.0, 6.0),), None)]),
    "excel_utf16.csv": ("csv", [(1, "a person pours", "kitchen", ((3.0, 6.0),), None)]),
    "csv_other_header.csv": ("csv", [("kitchen/0", "a person pours", "kitchen", ((3.0, 6.0),), None)]),
    "tacos.json": ("tacos", [("s1-d1/0", "a person pours", "s1-d1", ((3.0, 6.0),), 10.0)]),
    "pred_k_neg_zero_pair.jsonl": ("na-vmr", [(1, "a person pours", "kitchen", (), 10.0)]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_format_of_the_job_is_recognised_and_read(field: Path, name: str) -> None:
    result = take(field / name, frame_rate=25.0)
    form, rows = OTHERS[name]
    assert result.format == form
    assert [(*content_of(row), row.duration_s) for row in result.rows] == rows
    assert result.problems == ()


@pytest.mark.parametrize(
    ("name", "places"),
    [
        (
            "losslesscut.csv",
            [
                "line 2: has no end, and the clip's duration is not known; give it (on the command line: --durations)"
            ],
        ),
        ("cvat_video.xml", ["1 tags: mark no stretch of time"]),
        ("pred_d_zero_length.jsonl", ["line 1 (qid 1): 1 window without length"]),
    ],
)
def test_what_no_row_says_is_named(field: Path, name: str, places: list[str]) -> None:
    result = take(field / name, frame_rate=25.0)
    assert [f"{item.place}: {item.reason}" for item in result.omissions] == places


def test_a_prediction_keeps_its_windows_that_have_a_length(field: Path) -> None:
    result = take(field / "pred_d_zero_length.jsonl")
    ((version,),) = [row.annotations or () for row in result.rows]
    assert (version.windows, version.scores) == (((3.0, 6.0),), (0.4,))
    assert [str(item) for item in result.contents] == ["1 of 2 windows taken"]


@pytest.mark.parametrize(
    ("name", "mended", "windows"),
    [
        ("anet_reversed.json", {"edges swapped": 1}, [((3.0, 6.0),), ((1.0, 2.0),)]),
        ("tall_charades_train.txt", {"edges swapped": 1}, [((0.0, 6.9),), ((12.0, 20.9),)]),
    ],
)
def test_edges_in_the_wrong_order_are_refused_or_mended(
    field: Path, name: str, mended: dict[str, int], windows: list[Any]
) -> None:
    with pytest.raises(RowsRejected, match="a window must end after it starts"):
        read(field / name)
    result = read(field / name, options=ReadOptions(mending=Mending()))
    assert [row.windows for row in result.rows] == windows
    assert result.mended == mended


def test_a_known_row_gets_the_split_that_it_lacked(
    field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPO_HOME", str(tmp_path))
    assert main(["import", str(field / "split_first.jsonl")]) == 0
    assert main(["import", str(field / "highlight_val_release.jsonl"), "--split", "val", "--update"]) == 0
    export = ["export", "--format", "qvhighlights", "--split", "val", "--out", str(tmp_path / "out")]
    assert main(export) == 0
    written = (tmp_path / "out" / "highlight_val_corrected.jsonl").read_text("utf-8")
    assert written == (field / "highlight_val_release.jsonl").read_text("utf-8").rstrip("\n")


def test_a_cue_without_text_is_named_and_the_others_are_read(field: Path) -> None:
    result = take(field / "vtt_g_empty_cue.vtt")
    assert [(row.query, row.windows) for row in result.rows] == [("stir", ((7.0, 9.0),))]
    assert len(result.omissions) + len(result.problems) == 1


def test_the_star_marks_the_truth_beside_the_others(field: Path) -> None:
    (row,) = take(field / "ls_i_ground_truth_star.json").rows
    assert row.windows == ((3.0, 6.0),)
    assert [version.windows for version in row.annotations or ()] == [((3.16, 6.0),)]


def test_a_region_of_another_kind_is_named(field: Path) -> None:
    result = take(field / "ls_l_other_type.json")
    assert [row.annotations for row in result.rows] == [None]
    assert "holds 'timeserieslabels'" in result.omissions[0].reason
    assert [str(item) for item in result.contents] == ["0 of 1 regions taken"]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("ls_d_nolabel_submitted.json", "an empty annotation must choose no-moment"),
        ("ls_e_overlap_same.json", "overlap"),
        ("ls_f_float_frames.json", "whole number"),
        ("pred_a_strings.jsonl", "number"),
        ("pred_b_nan.jsonl", "NaN is not a JSON number"),
        ("pred_c_no_score.jsonl", "[start, end, score]"),
        ("pred_e_negative_start.jsonl", "cannot start before 0"),
        ("pred_f_reversed.jsonl", "must end after it starts"),
        ("pred_g_flat.jsonl", "list"),
        ("pred_i_null.jsonl", "list"),
        ("pred_l_answer_text.jsonl", "missing"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_place_and_rule(field: Path, name: str, rule: str) -> None:
    result = take(field / name)
    assert [row for row in result.rows if row.annotations or row.windows] == []
    assert len(result.problems) == 1
    assert rule in result.problems[0].rule
    assert result.problems[0].line == 1


def test_an_id_of_text_stays_text(field: Path) -> None:
    (row,) = take(field / "pred_j_qid_text.jsonl").rows
    assert (row.qid_value, [version.windows for version in row.annotations or ()]) == ("1", [((3.0, 6.0),)])
