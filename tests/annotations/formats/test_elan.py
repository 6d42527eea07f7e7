"""ELAN: the XML of the files as ELAN reads it, and the rows that come back."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from annotations.formats import Mending, ReadOptions, RowsRejected, read
from annotations.rows import AnnotatorVersion, Row, Windows
from tempo_core.errors import InputError
from tests.annotations.formats.sample_rows import (
    ADA,
    FOUR,
    FULL,
    REFUSAL,
    TINY,
    UNCLEAR,
    UNLABELLED,
    export,
)

Tier = tuple[dict[str, str], list[tuple[int, int, str | None]]]


def document(path: Path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_bytes())


def tiers(root: ElementTree.Element) -> dict[str, Tier]:
    """Each tier's other attributes and its annotations (start, end, value), by the tier's id."""
    times = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")}
    return {
        tier.attrib.pop("TIER_ID"): (
            tier.attrib,
            [
                (
                    times[node.get("TIME_SLOT_REF1")],
                    times[node.get("TIME_SLOT_REF2")],
                    node.findtext("ANNOTATION_VALUE"),
                )
                for node in tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION")
            ],
        )
        for tier in root.iterfind("TIER")
    }


def test_a_tier_for_each_party_with_its_own_moments(tmp_path: Path) -> None:
    report = export(tmp_path / "out", "elan", *FOUR)
    tier_texts = tiers(document(tmp_path / "out" / "cl%20ip.eaf"))
    query = FULL.query
    kind = {"LINGUISTIC_TYPE_REF": "moments"}
    assert tier_texts == {
        "7/moments": ({**kind, "PARTICIPANT": query}, [(1235, 5500, query), (9000, 9250, query)]),
        "7/original": ({**kind, "PARTICIPANT": query}, [(0, 2000, query), (4000, 6000, query)]),
        "7/annotator/ada": (
            {**kind, "PARTICIPANT": query, "ANNOTATOR": "ada"},
            [(1234, 5500, query), (9000, 9250, query)],
        ),
        "7/annotator/7": ({**kind, "PARTICIPANT": query, "ANNOTATOR": "7"}, []),
        "7/model/tempo/tiny+lora": (
            {**kind, "PARTICIPANT": query, "ANNOTATOR": "tempo/tiny+lora"},
            [(2000, 6000, query)],
        ),
        "7/model/tempo/tiny+lora#2": (
            {**kind, "PARTICIPANT": query, "ANNOTATOR": "tempo/tiny+lora"},
            [(1000, 2500, query)],
        ),
        "b-2/moments": ({**kind, "PARTICIPANT": "a cat"}, []),
    }
    assert report.rows == 2
    assert report.counts == {"videos": 1, "no ground truth, left out": 1, "cannot judge, left out": 1}
    assert report.dropped == {
        "alpha_clip": 1,
        "annotations.active_ms": 1,
        "annotations.arm": 1,
        "annotations.cannot-judge": 1,
        "annotations.reason": 1,
        "annotations.revision": 1,
        "annotations.saliency": 1,
        "annotations.scores": 1,
        "annotations.updated_at": 1,
        "duration_s": 2,
        "extra": 1,
        "mean_tiou": 1,
        "model_version": 1,
        "reason": 2,
        "row_rev": 1,
        "split": 1,
    }


def test_the_rest_of_the_document(tmp_path: Path) -> None:
    export(tmp_path / "cl%20ip.eaf", "elan", FULL)
    root = document(tmp_path / "cl%20ip.eaf")
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert root.attrib == {
        "AUTHOR": "",
        "DATE": "1970-01-01T00:00:00+00:00",
        "FORMAT": "3.0",
        "VERSION": "3.0",
        "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation": (
            "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
        ),
    }
    assert [node.tag for node in root] == ["HEADER", "TIME_ORDER", *["TIER"] * 6, "LINGUISTIC_TYPE"]
    assert root[0].attrib == {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}
    assert [(node.tag, node.attrib) for node in root[0]] == [
        ("MEDIA_DESCRIPTOR", {"MEDIA_URL": "./cl%20ip.mp4", "MIME_TYPE": "video/mp4"})
    ]
    assert root[-1].attrib == {
        "GRAPHIC_REFERENCES": "false",
        "LINGUISTIC_TYPE_ID": "moments",
        "TIME_ALIGNABLE": "true",
    }
    # Each annotation has slots of its own.
    edges_ms = [0, 1000, 1234, 1235, 2000, 2000, 2500, 4000, 5500, 5500, 6000, 6000, 9000, 9000, 9250, 9250]
    assert [node.attrib for node in root[1]] == [
        {"TIME_SLOT_ID": f"ts{number}", "TIME_VALUE": str(edge_ms)}
        for number, edge_ms in enumerate(edges_ms, start=1)
    ]
    ids = [node.get("ANNOTATION_ID") for node in root.iter("ALIGNABLE_ANNOTATION")]
    assert ids == [f"a{number}" for number in range(1, 9)]


def test_slots_stand_in_the_order_of_time_and_belong_to_one_annotation(tmp_path: Path) -> None:
    touching = Row(qid="1", query="q", vid="v", windows=((1.0, 2.0), (2.0, 3.0)))
    export(tmp_path / "v.eaf", "elan", touching)
    root = document(tmp_path / "v.eaf")
    references = [
        (node.get("TIME_SLOT_REF1"), node.get("TIME_SLOT_REF2")) for node in root.iter("ALIGNABLE_ANNOTATION")
    ]
    assert references == [("ts1", "ts2"), ("ts3", "ts4")]
    assert [slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")] == ["1000", "2000", "2000", "3000"]


def test_a_models_overlapping_moments_lie_in_tiers_of_their_own(tmp_path: Path) -> None:
    ranked = AnnotatorVersion(annotator="m#2", source="model", windows=((4.0, 8.0), (5.0, 6.0), (1.0, 2.0)))
    row = Row(qid="q/model/m", query="q", vid="v", annotations=(ranked,))
    report = export(tmp_path / "v.eaf", "elan", row)
    assert {
        name: [span[:2] for span in spans] for name, (_, spans) in tiers(document(tmp_path / "v.eaf")).items()
    } == {
        "q/model/m/model/m#2": [(4000, 8000), (1000, 2000)],
        "q/model/m/model/m#2#2": [(5000, 6000)],
    }
    assert report.dropped == {"annotations.order": 1}
    (back,) = read(tmp_path / "v.eaf").rows
    assert back == Row(
        qid="q/model/m",
        query="q",
        vid="v",
        annotations=(
            AnnotatorVersion(annotator="m#2", source="model", windows=((4.0, 8.0), (1.0, 2.0), (5.0, 6.0))),
        ),
    )


def rounded(windows: Windows) -> Windows:
    return tuple((round(start_s, 3), round(end_s, 3)) for start_s, end_s in windows)


def test_tiers_come_back_as_the_parties_they_are(tmp_path: Path) -> None:
    export(tmp_path / "out", "elan", *FOUR)
    assert read(tmp_path / "out").rows == (
        Row(
            qid="7",
            qid_is_int=True,
            query=FULL.query,
            vid="cl ip",
            windows=((1.235, 5.5), (9.0, 9.25)),
            original_windows=FULL.original_windows,
            annotations=(
                AnnotatorVersion(annotator="ada", windows=rounded(ADA.windows)),
                AnnotatorVersion(annotator="7", windows=()),
                AnnotatorVersion(annotator="tempo/tiny+lora", source="model", windows=TINY.windows),
            ),
        ),
        Row(qid="b-2", query="a cat", vid="cl ip", windows=()),
    )


def test_a_row_that_nobody_could_judge_keeps_its_other_tiers(tmp_path: Path) -> None:
    unclear = replace(UNCLEAR, original_windows=((3.0, 4.0),))
    report = export(tmp_path / "other.eaf", "elan", unclear)
    assert list(tiers(document(tmp_path / "other.eaf"))) == ["d/original"]
    assert report.dropped == {"duration_s": 1, "verdict": 1}
    (row,) = read(tmp_path / "other.eaf", options=ReadOptions(split="test")).rows
    assert (row.windows, row.verdict, row.original_windows, row.split) == (None, None, ((3.0, 4.0),), "test")
    with pytest.raises(
        InputError, match=r"1 row: cannot judge, left out\. 1 row: no ground truth, left out\."
    ):
        export(tmp_path / "none.eaf", "elan", UNCLEAR, UNLABELLED)


def test_a_moment_moved_in_elan(tmp_path: Path) -> None:
    path = tmp_path / "clip.eaf"
    export(path, "elan", replace(FULL, vid="clip"))
    path.write_text(path.read_text("utf-8").replace('TIME_VALUE="9250"', 'TIME_VALUE="9500"', 1), "utf-8")
    (row,) = read(path).rows
    assert row.windows == ((1.235, 5.5), (9.0, 9.5))
    assert row.annotations is not None
    assert row.annotations[0].windows == ((1.234, 5.5), (9.0, 9.25))


def test_a_text_changed_in_elan_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.eaf"
    export(path, "elan", Row(qid="1", query="a dog", vid="clip", windows=((1.0, 2.0), (3.0, 4.0))))
    path.write_text(path.read_text("utf-8").replace("VALUE>a dog<", "VALUE>a cat<", 1), "utf-8")
    result = read(path)
    assert [(row.query, row.windows) for row in result.rows] == [("a dog", ((1.0, 2.0), (3.0, 4.0)))]
    assert [str(omission) for omission in result.omissions] == [
        "clip.eaf, tier \"1/moments\", annotation a1: its text 'a cat' differs from the query's; its times are read"
    ]


def test_a_file_that_elan_has_saved_knows_its_video_by_the_media(tmp_path: Path) -> None:
    path = tmp_path / "mine.eaf"
    export(path, "elan", replace(REFUSAL, vid="cl ip.1"))
    saved = path.read_text("utf-8").replace('"./cl%20ip.1.mp4"', '"file:///C:/clips/cl%20ip.1.mp4"')
    path.write_text(saved, "utf-8")
    assert read(path).rows[0].vid == "cl ip.1"


def test_what_xml_cannot_hold_is_counted_or_refused(tmp_path: Path) -> None:
    row = Row(qid="1", query="q\x01\r", vid="clip", windows=((1.0, 2.0),))
    report = export(tmp_path / "clip.eaf", "elan", row)
    assert report.dropped == {"query": 1}
    assert read(tmp_path / "clip.eaf").rows[0].query == "q\ufffd\ufffd"
    with pytest.raises(RowsRejected, match="a tier's id cannot hold control characters"):
        export(tmp_path / "b.eaf", "elan", replace(row, qid="1\x02"))


def test_two_versions_of_one_party_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RowsRejected, match=r'annotations is \["annotator", "ada"\]; two versions of one party'
    ):
        export(tmp_path / "x.eaf", "elan", replace(FULL, annotations=(ADA, replace(ADA, revision=5))))
    model = replace(ADA, source="model")
    assert export(tmp_path / "x.eaf", "elan", replace(FULL, annotations=(ADA, model))).rows == 1


def test_a_file_holds_one_video(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"x\.eaf would hold 2 videos; ELAN's files hold one\. Give a folder\."
    ):
        export(tmp_path / "x.eaf", "elan", REFUSAL, replace(REFUSAL, qid="3", vid="w"))


OLDER = """<ANNOTATION_DOCUMENT><HEADER><MEDIA_DESCRIPTOR MEDIA_URL="./clip.mp4"/>
<PROPERTY NAME="row 1">{"qid": "7", "query": "a dog", "vid": "clip", "windows": [[1.0001, 2.0]]}</PROPERTY>
</HEADER><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2000"/>
</TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="moments" TIER_ID="1/moments">ONE</TIER>
<TIER LINGUISTIC_TYPE_REF="moments" TIER_ID="1/original">ONE</TIER>
<TIER LINGUISTIC_TYPE_REF="moments" TIER_ID="1/annotator/1 ann lee">ONE</TIER>
<TIER LINGUISTIC_TYPE_REF="moments" TIER_ID="1/model/2 tiny">ONE</TIER>
<TIER LINGUISTIC_TYPE_REF="moments" TIER_ID="1/annotator/3 ben"/>
<TIER LINGUISTIC_TYPE_REF="moments" TIER_ID="2/moments"/>
</ANNOTATION_DOCUMENT>""".replace(
    "ONE",
    '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">'
    "<ANNOTATION_VALUE>a dog</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>",
)


def test_an_export_with_notes_still_reads_by_its_tiers(tmp_path: Path) -> None:
    path = tmp_path / "renamed.eaf"
    path.write_text(OLDER, "utf-8")
    assert read(path).rows == (
        Row(
            qid="renamed/1",
            query="a dog",
            vid="clip",
            windows=((1.0, 2.0),),
            original_windows=((1.0, 2.0),),
            annotations=(
                AnnotatorVersion(annotator="ann lee", windows=((1.0, 2.0),)),
                AnnotatorVersion(annotator="tiny", source="model", windows=((1.0, 2.0),)),
            ),
        ),
    )


FOREIGN = """<ANNOTATION_DOCUMENT><HEADER><MEDIA_DESCRIPTOR MEDIA_URL="./film.mp4"/></HEADER><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="1500"/>
<TIME_SLOT TIME_SLOT_ID="t3" TIME_VALUE="2000"/><TIME_SLOT TIME_SLOT_ID="t4"/></TIME_ORDER>
<TIER TIER_ID="gesture" LINGUISTIC_TYPE_REF="default" PARTICIPANT="K">A1A2A3</TIER>
<TIER TIER_ID="x/moments" LINGUISTIC_TYPE_REF="default" PARTICIPANT="K">A1</TIER>
</ANNOTATION_DOCUMENT>"""


def annotation(name: str, start: str, end: str, value: str) -> str:
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" TIME_SLOT_REF1="{start}" TIME_SLOT_REF2="{end}">'
        f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
    )


def foreign(path: Path, *annotations: tuple[str, str, str]) -> Path:
    text = FOREIGN
    for number, (start, end, value) in enumerate(annotations, start=1):
        text = text.replace(f"A{number}", annotation(f"a{number}", start, end, value))
    path.write_text(text, "utf-8")
    return path


def test_every_value_of_another_tools_tier_is_a_query(tmp_path: Path) -> None:
    path = foreign(tmp_path / "clip.eaf", ("t1", "t2", "wave"), ("t2", "t3", "nod"), ("t2", "t3", "wave"))
    rows = read(path).rows
    assert [(row.qid, row.query, row.vid, row.windows) for row in rows] == [
        ("clip/gesture/1", "wave", "clip", ((0.0, 1.5), (1.5, 2.0))),
        ("clip/gesture/2", "nod", "clip", ((1.5, 2.0),)),
        ("clip/x/moments/3", "wave", "clip", ((0.0, 1.5),)),
    ]
    assert [str(row.origin) for row in rows] == [
        'clip.eaf, tier "gesture", annotation a1, a3',
        'clip.eaf, tier "gesture", annotation a2',
        'clip.eaf, tier "x/moments", annotation a1',
    ]


@pytest.mark.parametrize(
    ("bad", "field", "rule"),
    [
        (("t2", "t1", "wave"), "TIME_SLOT", "must end after it starts"),
        (("t2", "t2", "wave"), "TIME_SLOT", "must end after it starts"),
        (("t1", "t9", "wave"), "TIME_SLOT", "annotation a1 needs a time in milliseconds"),
        (("t1", "t2", " "), "ANNOTATION_VALUE", "must be text, and not empty"),
    ],
)
def test_a_bad_annotation_names_its_tier_and_the_others_stay(
    tmp_path: Path, bad: tuple[str, str, str], field: str, rule: str
) -> None:
    path = foreign(tmp_path / "clip.eaf", bad, ("t2", "t3", "nod"), ("t2", "t3", "bow"))
    with pytest.raises(RowsRejected) as caught:
        read(path)
    assert [(problem.line, problem.field) for problem in caught.value.problems] == [(1, field), (2, field)]
    assert rule in caught.value.problems[0].rule
    assert str(caught.value.problems[0]).startswith('clip.eaf, tier "gesture", annotation a1: ')
    result = read(path, options=ReadOptions(keep_going=True))
    assert [row.query for row in result.rows] == ["nod", "bow"]
    assert [str(contents) for contents in result.contents] == ["2 of 4 annotations taken"]


def test_annotations_are_mended_on_request(tmp_path: Path) -> None:
    path = foreign(tmp_path / "clip.eaf", ("t2", "t1", "wave"), ("t2", "t3", "nod"))
    path.write_text(path.read_text("utf-8").replace("A3", ""), "utf-8")
    result = read(path, options=ReadOptions(mending=Mending()))
    assert [(row.query, row.windows, row.extra) for row in result.rows] == [
        ("wave", ((0.0, 1.5),), {"mended": ["edges swapped"]}),
        ("nod", ((1.5, 2.0),), {}),
        ("wave", ((0.0, 1.5),), {"mended": ["edges swapped"]}),
    ]
    assert result.mended == {"edges swapped": 2}


def test_an_annotation_between_undated_slots_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    path = foreign(tmp_path / "clip.eaf", ("t1", "t4", "wave"), ("t2", "t3", "nod"), ("t4", "t3", "bow"))
    result = read(path)
    assert [row.query for row in result.rows] == ["nod"]
    assert [str(omission) for omission in result.omissions] == [
        'clip.eaf, tier "gesture", annotation a1: time slot t4 has no time',
        'clip.eaf, tier "gesture", annotation a3: time slot t4 has no time',
        'clip.eaf, tier "x/moments", annotation a1: time slot t4 has no time',
    ]


def reference(name: str, parent: str, value: str) -> str:
    return (
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{parent}">'
        f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
    )


def with_children(path: Path, kind: str, *children: str) -> Path:
    """A file with a dated tier `event` and a tier `words` of a linguistic type below it."""
    text = FOREIGN.replace("A1A2A3", annotation("a1", "t1", "t2", "wave")).replace("A1", "")
    words = f'<TIER TIER_ID="words" LINGUISTIC_TYPE_REF="w" PARENT_REF="gesture">{"".join(children)}</TIER>'
    types = f'<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="w" CONSTRAINTS="{kind}"/>'
    path.write_text(text.replace("</ANNOTATION_DOCUMENT>", f"{words}{types}</ANNOTATION_DOCUMENT>"), "utf-8")
    return path


def test_a_reference_annotation_has_the_times_of_its_parent(tmp_path: Path) -> None:
    children = (reference("r1", "a1", "a man waves"), reference("r2", "r1", "ein Mann winkt"))
    rows = read(with_children(tmp_path / "clip.eaf", "Symbolic_Association", *children)).rows
    assert [(row.query, row.windows) for row in rows] == [
        ("wave", ((0.0, 1.5),)),
        ("a man waves", ((0.0, 1.5),)),
        ("ein Mann winkt", ((0.0, 1.5),)),
    ]


def test_parts_that_share_their_parents_time_are_named(tmp_path: Path) -> None:
    children = (reference("r1", "a1", "a man"), reference("r2", "a1", "waves"))
    result = read(with_children(tmp_path / "clip.eaf", "Symbolic_Subdivision", *children))
    assert [row.query for row in result.rows] == ["wave"]
    assert [str(omission) for omission in result.omissions] == [
        f'clip.eaf, tier "words", annotation {name}: a part of a Symbolic_Subdivision has no times of its own'
        for name in ("r1", "r2")
    ]


@pytest.mark.parametrize(("parent", "value"), [("r2", '"r2"'), ("gone", '"gone"')])
def test_a_reference_that_leads_nowhere_is_a_bad_row(tmp_path: Path, parent: str, value: str) -> None:
    children = (reference("r1", parent, "a"), reference("r2", "r1", "b"))
    path = with_children(tmp_path / "clip.eaf", "Symbolic_Association", *children)
    with pytest.raises(RowsRejected, match="must name an annotation that leads to times") as caught:
        read(path)
    assert [(problem.place, problem.field) for problem in caught.value.problems] == [
        ('tier "words", annotation r1', "ANNOTATION_REF"),
        ('tier "words", annotation r2', "ANNOTATION_REF"),
    ]
    assert caught.value.problems[0].value == value


@pytest.mark.parametrize(("origin", "window"), [("250", (0.25, 1.75)), ("-500", None), ("0", (0.0, 1.5))])
def test_the_origin_of_the_media_is_added(
    tmp_path: Path, origin: str, window: tuple[float, float] | None
) -> None:
    path = foreign(tmp_path / "clip.eaf", ("t1", "t2", "wave"))
    text = path.read_text("utf-8").replace("A2A3", "").replace('mp4"/>', f'mp4" TIME_ORIGIN="{origin}"/>')
    path.write_text(text, "utf-8")
    if window is None:
        with pytest.raises(RowsRejected, match="a window cannot start before 0"):
            read(path)
    else:
        assert [row.windows for row in read(path).rows] == [(window,), (window,)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<HEADER>", '<HEADER TIME_UNITS="PAL-frames">', "counts time in PAL-frames"),
        ('mp4"/>', 'mp4" TIME_ORIGIN="2 s"/>', "TIME_ORIGIN '2 s'; it must be whole milliseconds"),
    ],
)
def test_a_clock_that_is_not_known_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = foreign(tmp_path / "clip.eaf", ("t1", "t2", "wave"))
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(InputError, match=message):
        read(path)


def test_a_query_with_one_bad_tier_is_left_out_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.eaf"
    export(path, "elan", FULL, REFUSAL)
    path.write_text(path.read_text("utf-8").replace('TIME_VALUE="1234"', 'TIME_VALUE="x"'), "utf-8")
    result = read(path, options=ReadOptions(keep_going=True))
    assert [row.qid for row in result.rows] == ["b-2"]
    assert [(problem.line, problem.field) for problem in result.problems] == [(3, "TIME_SLOT")]


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c SYSTEM "file:///etc/passwd">]><ANNOTATION_DOCUMENT>&b;&c;</ANNOTATION_DOCUMENT>'


@pytest.mark.parametrize(
    "encoded",
    [
        BOMB,
        BOMB.replace("<!DOCTYPE", "<!doctype"),
        BOMB.replace("DOCTYPE a", "DOCTYPE\na"),
        '<ANNOTATION_DOCUMENT><! ENTITY b "b"></ANNOTATION_DOCUMENT>',
    ],
)
def test_elan_never_expands_an_entity(tmp_path: Path, encoded: str) -> None:
    path = tmp_path / "x.eaf"
    path.write_text(encoded, "utf-8")
    with pytest.raises(InputError, match="DOCTYPE or an entity"):
        read(path)


def test_elan_in_another_encoding_cannot_hide_a_doctype(tmp_path: Path) -> None:
    path = tmp_path / "x.eaf"
    path.write_bytes(BOMB.encode("utf-16"))
    with pytest.raises(InputError, match="DOCTYPE or an entity"):
        read(path, format="elan")
    path.write_bytes(BOMB.encode("utf-16-le"))
    with pytest.raises(InputError, match="holds NUL characters"):
        read(path, format="elan")


def test_broken_xml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.eaf"
    path.write_text("<ANNOTATION_DOCUMENT><TIER>", "utf-8")
    with pytest.raises(
        InputError, match=r"x\.eaf is not well-formed XML \(.*\)\. Export it from its tool again\."
    ):
        read(path)
