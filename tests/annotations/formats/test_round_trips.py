"""Import → export → import gives back what a format carries: on made rows here, on real ones below."""

import re
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from annotations.formats import ExportOptions, ReadOptions, RowsRejected, is_folder, read, write
from annotations.formats.elan import xml_text
from annotations.rows import AnnotatorVersion, Row, Windows
from tempo_core.moments import Moment
from tests.annotations.formats.made_rows import bare, rows, several, versions

fast = settings(
    max_examples=25,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def again(
    given_rows: list[Row] | tuple[Row, ...],
    form: str,
    name: str,
    read_options: ReadOptions | None = None,
    **options: object,
) -> list[Row]:
    """The rows after an export to a fresh folder and an import, sorted by id."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(given_rows, path, format=form, options=ExportOptions(**options))  # type: ignore[arg-type]
        result = read(path, format=form, options=read_options)
    return by_id(result.rows)


def by_id(rows: list[Row] | tuple[Row, ...]) -> list[Row]:
    return sorted(rows, key=lambda row: row.qid)


CARRY_ALL = [("parquet", "rows.parquet"), ("parquet", "folder")]


@pytest.mark.parametrize(("form", "name"), CARRY_ALL)
def test_a_lossless_format_gives_every_field_back(form: str, name: str) -> None:
    @fast
    @given(several())
    def check(rows: list[Row]) -> None:
        assert again(rows, form, name) == by_id(rows)

    check()


def in_milliseconds(windows: Windows | None) -> Windows | None:
    if windows is None:
        return None
    moments = [Moment(*window).to_ms() for window in windows]
    return tuple((start_ms / 1000, end_ms / 1000) for start_ms, end_ms in moments)


def of_text(row: Row) -> Row:
    """The row with its id as a format of text alone reads it: digits are a number."""
    return replace(row, qid_is_int=re.fullmatch("0|-?[1-9][0-9]*", row.qid) is not None)


def is_shown_in_milliseconds(windows: Windows | None) -> bool:
    """Whether rounding leaves the moments apart from each other."""
    rounded = in_milliseconds(windows) or ()
    return all(first[1] <= second[0] for first, second in pairwise(rounded))


@fast
@given(several())
def test_webvtt_gives_back_the_cues(rows: list[Row]) -> None:
    in_format = [
        replace(bare(row, windows=in_milliseconds(row.windows)), duration_s=None)
        for row in rows
        if row.windows and is_shown_in_milliseconds(row.windows) and not re.search("[\r\n]|-->", row.qid)
    ]
    assume(in_format)
    assert again(in_format, "webvtt", "folder") == by_id([of_text(row) for row in in_format])


@fast
@given(several())
def test_elan_gives_back_the_tiers(rows: list[Row]) -> None:
    in_format = []
    for row in rows:
        visible_versions = [version for version in row.annotations or () if version.verdict != "cannot-judge"]
        parties = {(version.source, version.annotator) for version in visible_versions}
        windows = [row.windows, row.original_windows, *(version.windows for version in visible_versions)]
        is_text = xml_text(row.qid + row.query) == row.qid + row.query
        has_tiers = row.verdict is not None or row.original_windows is not None or visible_versions
        if (
            is_text
            and has_tiers
            and len(parties) == len(visible_versions)
            and all(map(is_shown_in_milliseconds, windows))
        ):
            versions = [
                AnnotatorVersion(
                    annotator=version.annotator,
                    source=version.source,
                    windows=in_milliseconds(version.windows) or (),
                )
                for version in visible_versions
            ]
            in_format.append(
                replace(
                    bare(row, windows=in_milliseconds(row.windows)),
                    duration_s=None,
                    original_windows=in_milliseconds(row.original_windows),
                    annotations=tuple(versions) or None,
                )
            )
    assume(in_format)
    assert again(in_format, "elan", "folder") == by_id([of_text(row) for row in in_format])


@fast
@given(several(), st.sampled_from([9.53, 29.97, 60.0]))
def test_label_studio_gives_back_frames(rows: list[Row], fps: float) -> None:
    given_rows = [bare(row, split=row.split, extra={"fps": fps}) for row in rows]
    try:
        once = again(given_rows, "label-studio", "rows.json", frame_rate=fps)
    except RowsRejected:
        reject()  # two moments within one frame
    for row, read_row in zip(by_id(given_rows), once, strict=True):
        assert replace(read_row, windows=row.windows) == row
        for exact, near in zip(row.windows or (), read_row.windows or (), strict=True):
            assert all(abs(a - b) <= 1 / fps + 1e-6 for a, b in zip(exact, near, strict=True))
    assert again(once, "label-studio", "rows.json", frame_rate=fps) == once


@fast
@given(several())
def test_lighthouse(rows: list[Row]) -> None:
    in_format = [bare(row, reason=row.reason, extra=row.extra) for row in rows]
    assert again(in_format, "lighthouse", "rows.jsonl", refusals="inline") == by_id(in_format)


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_tables(form: str) -> None:
    @fast
    @given(several())
    def check(rows: list[Row]) -> None:
        in_format = in_tables(rows)
        assert again(in_format, form, f"rows.{form}", frame_rate=30.0) == by_id(
            [of_text(row) for row in in_format]
        )

    check()


def in_tables(rows: list[Row]) -> list[Row]:
    """The rows with what tables carry."""
    return [
        bare(
            row,
            split=row.split,
            reason=row.reason,
            row_rev=row.row_rev,
            original_windows=row.original_windows,
            annotations=tuple(
                replace(version, saliency=None, relevance=None) for version in row.annotations or ()
            )
            or None,
        )
        for row in rows
    ]


@fast
@given(st.data())
def test_predictions(data: st.DataObject) -> None:
    version = data.draw(versions(100.0, 0))
    scores = tuple(0.5 for _ in version.windows) or None
    prediction = AnnotatorVersion(
        annotator="model",
        source="model",
        windows=version.windows,
        scores=scores,
        saliency=version.saliency,
        relevance=version.relevance,
    )
    row = data.draw(rows())
    in_format = bare(row, windows=None, verdict=None, annotations=(prediction,), extra=row.extra)
    assert again([in_format], "predictions", "rows.jsonl", refusals="inline") == [in_format]


@pytest.mark.parametrize(("form", "name"), [("activitynet", "rows.json"), ("timelens", "rows.json")])
def test_parallel_arrays(form: str, name: str) -> None:
    @fast
    @given(several(least=1))
    def check(rows: list[Row]) -> None:
        in_format = [bare(row, vid=f"{row.vid}{place}") for place, row in enumerate(rows)]
        assert again(in_format, form, name) == by_id(in_format)

    check()


@fast
@given(several(labelled=True))
def test_timelens_lines(rows: list[Row]) -> None:
    in_format = [bare(row, extra=row.extra) for row in rows]
    assert again(in_format, "timelens", "rows.jsonl") == by_id(in_format)


@pytest.mark.parametrize("form", ["lighthouse", "timelens"])
def test_answers_beside_the_ground_truth_stay_beside_it(tmp_path: Path, form: str) -> None:
    """The fields that `predict` writes, in lines whose format nobody names."""
    answer = {"moments": [[1.0, 2.5]], "refused": False, "relevance": 0.7, "confidences": [0.6]}
    refusal = {"moments": [], "refused": True, "relevance": 0.1, "confidences": []}
    rows = [
        Row(qid="a", query="q", vid="v", duration_s=9.5, windows=((1.0, 2.0), (3.0, 4.5)), extra=answer),
        Row(qid="b", query="r", vid="v", duration_s=9.5, windows=(), extra=refusal),
    ]
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    write(rows, first, format=form, options=ExportOptions(refusals="inline"))
    result = read(first)
    assert result.format == form
    assert result.omissions == ()
    assert [replace(row, raw=None, origin=None) for row in by_id(result.rows)] == rows
    write(result.rows, second, format=form, options=ExportOptions(refusals="inline"))
    assert second.read_bytes() == first.read_bytes()


@fast
@given(several(least=1))
def test_charades_sta_keeps_all_but_ids(rows: list[Row]) -> None:
    in_format = [
        bare(row, vid=f"V{place}", query=" ".join(row.query.splitlines()) + ".")
        for place, row in enumerate(rows)
    ]
    named = [replace(row, qid=f"{row.vid}/0", qid_is_int=False) for row in in_format]
    assert again(in_format, "charades-sta", "rows.txt") == by_id(named)


@fast
@given(several())
def test_qvhighlights_folder_keeps_the_raw_edges(rows: list[Row]) -> None:
    in_format = [bare(row, split=row.split, extra=row.extra) for row in rows]
    first = again(in_format, "qvhighlights", "folder")
    without_clips = [replace(row, relevant_clip_ids=None, saliency_scores=None) for row in first]
    assert without_clips == by_id(in_format)
    assert again(first, "qvhighlights", "folder") == first


REAL = [
    "qvhighlights/highlight_val_release.jsonl",
    "qvhighlights/highlight_test_release.jsonl",
    "other_datasets/charades_test_release.jsonl",
    "other_datasets/activitynet_val_release.jsonl",
    "other_datasets/tacos_test_release.first400.jsonl",
    "eval/sample_val_preds.jsonl",
]


@pytest.mark.parametrize("source", REAL)
@pytest.mark.parametrize(("form", "name"), [*CARRY_ALL, ("same", "rows")])
def test_real_rows(shared_data: Path, tmp_path: Path, source: str, form: str, name: str) -> None:
    source_file = read(shared_data / source)
    some = source_file.rows[:: max(1, len(source_file.rows) // 300)] if form != "same" else source_file.rows
    form = source_file.format if form == "same" else form
    whole = form == source_file.format and not is_folder(form, tmp_path / name)
    path = tmp_path / (f"{name}_{some[0].split}.jsonl" if whole else name)
    split = ReadOptions(split=some[0].split)
    report = write(some, path, format=form)
    assert not report.dropped
    assert by_id(read(path, format=form, options=split).rows) == by_id(some)


@pytest.mark.parametrize("form", ["webvtt", "elan"])
def test_real_moments_in_whole_milliseconds(shared_data: Path, tmp_path: Path, form: str) -> None:
    source_file = read(shared_data / "other_datasets" / "charades_test_release.jsonl").rows[::20]
    write(source_file, tmp_path / "out", format=form)
    expected_rows = [
        replace(bare(row, split="test", windows=in_milliseconds(row.windows)), duration_s=None)
        for row in source_file
    ]
    assert by_id(read(tmp_path / "out", options=ReadOptions(split="test")).rows) == by_id(expected_rows)


@pytest.mark.parametrize(
    ("form", "name"),
    [("activitynet", "r.json"), ("timelens", "r.json"), ("timelens", "r.jsonl"), ("csv", "r.csv")],
)
@pytest.mark.parametrize("source", ["charades_test_release.jsonl", "tacos_test_release.first400.jsonl"])
def test_real_moments_without_saliency(shared_data: Path, form: str, name: str, source: str) -> None:
    source_file = read(shared_data / "other_datasets" / source)
    assert again(source_file.rows, form, name, ReadOptions(split="test")) == by_id(source_file.rows)


def test_charades_text_of_the_real_split_is_stable(shared_data: Path, tmp_path: Path) -> None:
    source_file = read(shared_data / "other_datasets" / "charades_test_release.jsonl")
    first, second = tmp_path / "test_1.txt", tmp_path / "test_2.txt"
    report = write(source_file.rows, first, format="charades-sta")
    assert report.dropped == {"qid": 3720, "qid_is_int": 3720}
    assert first.read_text("utf-8").startswith("3MSZA 24.3 30.4##person turn a light on.\n")
    once = read(first)
    assert once.format == "charades-sta"
    write(once.rows, second, format="charades-sta")
    assert second.read_bytes() == first.read_bytes()
    assert read(second).rows == once.rows
    contents = [(row.vid, row.query, row.windows, row.duration_s, row.split) for row in source_file.rows]
    assert [(row.vid, row.query, row.windows, row.duration_s, row.split) for row in once.rows] == contents
