"""Neighbours of files as people have them: what each holds comes into rows, or is named with its place."""

from pathlib import Path
from typing import Any

import pytest

from annotations.formats import ReadOptions, read

EAF = """<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds">{head}</HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="2000"/>
<TIME_SLOT TIME_SLOT_ID="t3"/></TIME_ORDER>{tiers}</ANNOTATION_DOCUMENT>"""


def tier(name: str, *annotations: str) -> str:
    return f'<TIER TIER_ID="{name}">{"".join(annotations)}</TIER>'


def aligned(name: str, first: str, last: str, value: str) -> str:
    slots = f'TIME_SLOT_REF1="{first}" TIME_SLOT_REF2="{last}"'
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" {slots}><ANNOTATION_VALUE>{value}'
        "</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
    )


def referring(name: str, parent: str, value: str) -> str:
    return (
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{parent}"><ANNOTATION_VALUE>{value}'
        "</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
    )


Case = tuple[str, str, list[tuple[Any, ...]], list[str]]
CASES: list[Case] = [
    (
        "bom_semi_comma.csv",
        '\ufeffvid;query;start_s;end_s\r\nv;"a; b";0,5;1,25\r\nv;q2;1.234,5;1.240,5\r\n',
        [("v/0", "a; b", ((0.5, 1.25),))],
        ['line 3: start_s is "1.234,5"; must be a number'],
    ),
    (
        "quoted_newline.csv",
        'vid,query,start,end\nv,"a\nb",1,2\n\n,,,\nv,c,3,4,extra\n',
        [("v/0", "a\nb", ((1.0, 2.0),))],
        [
            (
                'line 6: line is "extra"; is beyond the last column; a cell with a separator in'
                " it must stand in quotes"
            )
        ],
    ),
    (
        "short_line.csv",
        "vid,query,start,end\nv,q,1\nv,r,2,3\n",
        [("v/1", "r", ((2.0, 3.0),))],
        ['line 2: end_s is ""; must be a number'],
    ),
    (
        "overlap_query.csv",
        "vid,query,start,end\nv,q,1,3\nv,q,2,4\n",
        [("v/0", "q", ((1.0, 3.0),)), ("v/1", "q", ((2.0, 4.0),))],
        [],
    ),
    (
        "empty_times.csv",
        "vid,query,start,end\nv,q,,2\nv,r,1,\nv,s,,\n",
        [("v/2", "s", None)],
        ['line 2: start_s is ""; must be a number', 'line 3: end_s is ""; must be a number'],
    ),
    (
        "regions.vtt",
        (
            "WEBVTT\n\nREGION\nid:fred\nwidth:40%\nlines:3\n\nSTYLE\n::cue { color: red }\n"
            "\nNOTE a note --> here\n\n"
            "00:01.000 --> 00:02.000 region:fred align:left\n<v Fred>one\n- two\n\n"
            "00:03.000 --> 00:04.000\nthree\n"
        ),
        [("regions/13", "one\n- two", ((1.0, 2.0),)), ("regions/17", "three", ((3.0, 4.0),))],
        [
            "2 of 3 cues taken",
            "1 cues with a <v NAME> tag: the text is read, who speaks it is not",
            (
                'cue 1 (line 11): cue is "NOTE a note --> here"; must be two times such as 00:0'
                "1:22.000 --> 00:01:24.500"
            ),
        ],
    ),
    (
        "timestamps.vtt",
        (
            "WEBVTT\n\n00:01.000 --> 00:05.000\n"
            "<00:01.000>a <00:02.000>dog <c.yellow>runs</c>\n\n"
            "00:05.000 --> 00:05.000\nzero\n\n00:07.000 --> 00:06.000\nback\n"
        ),
        [("timestamps/3", "a dog runs", ((1.0, 5.0),))],
        [
            "1 of 3 cues taken",
            ('cue 2 (line 6): cue is "00:05.000 --> 00:05.000"; a cue must end after it starts'),
            ('cue 3 (line 9): cue is "00:07.000 --> 00:06.000"; a cue must end after it starts'),
        ],
    ),
    (
        "ruby.vtt",
        (
            "WEBVTT\n\n1\n00:01.000 --> 00:02.000\n"
            "<ruby>kan<rt>ji</rt></ruby> &lt;b&gt; &nbsp;x &unknown; &amp;lt;\n\n1\n"
            "00:03.000 --> 00:04.000\nsame id\n"
        ),
        [(1, "kanji <b> \xa0x &unknown; &lt;", ((1.0, 2.0),)), ("ruby/7", "same id", ((3.0, 4.0),))],
        ["2 of 2 cues taken"],
    ),
    (
        "hours100.vtt",
        (
            "WEBVTT\n\n100:00:01.000 --> 100:00:02.000\na\n\n00:61.000 --> 00:62.000\n"
            "badminutes\n\n00:01,000 --> 00:02,000\ncomma\n"
        ),
        [("hours100/3", "a", ((360001.0, 360002.0),))],
        [
            "1 of 3 cues taken",
            (
                'cue 2 (line 6): cue is "00:61.000 --> 00:62.000"; must be two times such as 00'
                ":01:22.000 --> 00:01:24.500"
            ),
            (
                'cue 3 (line 9): cue is "00:01,000 --> 00:02,000"; must be two times such as 00'
                ":01:22.000 --> 00:01:24.500"
            ),
        ],
    ),
    (
        "arrow_in_text.vtt",
        ("WEBVTT\n\n00:01.000 --> 00:02.000\nfirst line\nsecond --> third\n\n00:03.000 --> 00:04.000\nb\n"),
        [("arrow_in_text/3", "first line", ((1.0, 2.0),)), ("arrow_in_text/7", "b", ((3.0, 4.0),))],
        [
            "2 of 3 cues taken",
            (
                'cue 2 (line 5): cue is "second --> third"; must be two times such as 00:01:22.'
                "000 --> 00:01:24.500"
            ),
        ],
    ),
    (
        "overlap.srt",
        (
            "1\n00:00:01,000 --> 00:00:04,000\na\n\n2\n00:00:02,000 --> 00:00:05,000\nb\n"
            "\n3\n00:00:02,000 --> 00:00:05,000\na\n"
        ),
        [
            ("overlap/1", "a", ((1.0, 4.0),)),
            ("overlap/2", "b", ((2.0, 5.0),)),
            ("overlap/3", "a", ((2.0, 5.0),)),
        ],
        ["3 of 3 cues taken"],
    ),
    (
        "coords.srt",
        (
            "1\n00:00:01,000 --> 00:00:02,000 X1:100 X2:200 Y1:10 Y2:20\n"
            '<font color="red">a</font>\n\n2\n00:00:03,000 --> 00:00:04,000\n\n\n3\n'
            "00:00:05,000 --> 00:00:06,000\nc\n"
        ),
        [("coords/1", "a", ((1.0, 2.0),)), ("coords/3", "c", ((5.0, 6.0),))],
        ["2 of 3 cues taken", 'cue 2 (line 6): cue text is ""; must be text, and not empty'],
    ),
    (
        "nonum.srt",
        "00:00:01,000 --> 00:00:02,000\na\n00:00:03,000 --> 00:00:04,000\nb\n",
        [("nonum/1", "a", ((1.0, 2.0),)), ("nonum/2", "b", ((3.0, 4.0),))],
        ["2 of 2 cues taken"],
    ),
    (
        "short_fraction.srt",
        "1\n00:00:01,5 --> 00:00:02,50\na\n\n2\n00:00:03 --> 00:00:04\nb\n",
        [("short_fraction/1", "a", ((1.5, 2.5),))],
        [
            "1 of 2 cues taken",
            (
                'cue 2 (line 6): cue is "00:00:03 --> 00:00:04"; must be two times such as 00:0'
                "1:22,000 --> 00:01:24,500"
            ),
        ],
    ),
    (
        "blankintext.srt",
        ("1\n00:00:01,000 --> 00:00:02,000\nline one\n\nline two\n\n2\n00:00:03,000 --> 00:00:04,000\nb\n"),
        [("blankintext/1", "line one\n\nline two", ((1.0, 2.0),)), ("blankintext/2", "b", ((3.0, 4.0),))],
        ["2 of 2 cues taken"],
    ),
    (
        "numeric_text.srt",
        ("1\n00:00:01,000 --> 00:00:02,000\n42\n\n2\n00:00:03,000 --> 00:00:04,000\nb\n"),
        [("numeric_text/1", "42", ((1.0, 2.0),)), ("numeric_text/2", "b", ((3.0, 4.0),))],
        ["2 of 2 cues taken"],
    ),
    (
        "aud.txt",
        "1.0\t2.0\ta\n\\\t100.0\t200.0\n3.0\t3.0\tpoint\n5.0\t4.0\tback\n",
        [("aud/1", "a", ((1.0, 2.0),))],
        [
            "1 of 3 labels taken",
            "line 2: a label's frequencies are not read",
            "label 2 (line 3): a point label marks no moment",
            "label 3 (line 4): label is [5.0, 4.0]; a window must end after it starts",
        ],
    ),
    (
        "aud_dup.txt",
        "1.0\t2.0\ta\n3.0\t4.0\ta\n1.5\t2.5\ta\n",
        [
            ("aud_dup/1", "a", ((1.0, 2.0),)),
            ("aud_dup/2", "a", ((3.0, 4.0),)),
            ("aud_dup/3", "a", ((1.5, 2.5),)),
        ],
        ["3 of 3 labels taken"],
    ),
    (
        "ll.csv",
        "1.5,2.5,a\n,3.5,no start\n4.5,,no end\n",
        [("ll/0", "a", ((1.5, 2.5),)), ("ll/1", "no start", ((0.0, 3.5),))],
        [
            "2 of 2 queries taken",
            "line 3: has no end, and the clip's duration is not known; give it (on the command line: --durations)",
        ],
    ),
    (
        "ll.llc",
        (
            "{version: 1, mediaFileName: 'k.mp4', cutSegments: [{start: 1, end: 2, name: 'i"
            "t\\'s'}, {start: 3, name: ''}, {name: 'whole'}]}"
        ),
        [("k/0", "it's", ((1.0, 2.0),))],
        [
            "1 of 1 queries taken",
            "segment 2: has no name, which would be its query",
            "segment 3: has no end, and the clip's duration is not known; give it (on the command line: --durations)",
        ],
    ),
    (
        "charades.txt",
        (
            "AO8RW 0.0 6.9##a person.\nAO8RW 0.0 6.9##a person ## twice\n\n"
            "AO8RW 7 6##back\nX  1 2##two spaces\n"
        ),
        [
            ("AO8RW/0", "a person.", ((0.0, 6.9),)),
            ("AO8RW/1", "a person ## twice", ((0.0, 6.9),)),
            ("X/0", "two spaces", ((1.0, 2.0),)),
        ],
        ["line 4: window is [7.0, 6.0]; a window must end after it starts"],
    ),
    (
        "mixed_qids.jsonl",
        (
            '{"qid": 7, "query": "q", "vid": "v", "duration": 10, "relevant_windows": [[1, '
            "2]]}\n"
            '{"qid": "7", "query": "q", "vid": "v", "duration": 10, "relevant_windows": [[1'
            ", 2]]}\n"
            '{"qid": "007", "query": "q", "vid": "v", "duration": 10, "relevant_windows": ['
            "[1, 2]]}\n"
            '{"qid": 7.0, "query": "q", "vid": "v", "duration": 10, "relevant_windows": [[1'
            ", 2]]}"
        ),
        [(7, "q", ((1.0, 2.0),)), ("007", "q", ((1.0, 2.0),))],
        [
            ('line 2: qid is "7"; was given already in mixed_qids.jsonl, line 1; ids are unique in a file'),
            "line 4: qid is 7.0; must be a whole number or a text that is not empty",
        ],
    ),
    (
        "touch.jsonl",
        ('{"qid": 1, "query": "q", "vid": "v", "duration": 10, "relevant_windows": [[1, 2], [2, 3]]}'),
        [(1, "q", ((1.0, 2.0), (2.0, 3.0)))],
        [],
    ),
    (
        "dupkey.jsonl",
        ('{"qid":1,"qid":2,"query":"q","vid":"v","duration":10,"relevant_windows":[[1,2]]}'),
        [],
        [
            (
                'line 1: the line is "{\\"qid\\":1,\\"qid\\":2,\\"query\\":\\"q\\",\\"vid\\":\\"v\\",\\"dura'
                'tion\\":10,\\"releva"; it is not JSON: \'qid\' is given twice'
            )
        ],
    ),
    (
        "unaligned_end.eaf",
        EAF.format(head="", tiers=tier("a", aligned("a1", "t1", "t2", "x"), aligned("a2", "t2", "t3", "y"))),
        [("unaligned_end/a/1", "x", ((1.0, 2.0),))],
        ["1 of 2 annotations taken", 'tier "a", annotation a2: time slot t3 has no time'],
    ),
    (
        "ref_of_ref.eaf",
        EAF.format(
            head="",
            tiers=tier("a", aligned("a1", "t1", "t2", "x"))
            + tier("b", referring("a2", "a1", "y"))
            + tier("c", referring("a3", "a2", "z"), referring("a4", "a9", "lost")),
        ),
        [
            ("ref_of_ref/a/1", "x", ((1.0, 2.0),)),
            ("ref_of_ref/b/2", "y", ((1.0, 2.0),)),
            ("ref_of_ref/c/3", "z", ((1.0, 2.0),)),
        ],
        [
            "3 of 4 annotations taken",
            ('tier "c", annotation a4: ANNOTATION_REF is "a9"; must name an annotation that leads to times'),
        ],
    ),
    (
        "two_media.eaf",
        EAF.format(
            head='<MEDIA_DESCRIPTOR MEDIA_URL="a.mp4"/><MEDIA_DESCRIPTOR MEDIA_URL="b.wav" TIME_ORIGIN="500"/>',
            tiers=tier("a", aligned("a1", "t1", "t2", "x")),
        ),
        [("two_media/a/1", "x", ((1.0, 2.0),))],
        ["1 of 1 annotations taken"],
    ),
    (
        "links.eaf",
        EAF.format(
            head="",
            tiers=tier("a", aligned("a1", "t1", "t2", "x"))
            + '<REF_LINK_SET LINK_SET_ID="s1" LINK_SET_NAME="causes"><CROSS_REF_LINK REF_LINK_ID="l1" REF1="a1" '
            'REF2="a1"/><GROUP_REF_LINK REF_LINK_ID="l2" REFS="a1 l1"/></REF_LINK_SET>'
            '<REF_LINK_SET LINK_SET_ID="s2"/>',
        ),
        [("links/a/1", "x", ((1.0, 2.0),))],
        [
            "1 of 1 annotations taken",
            'link set "causes": 2 links between annotations are not read',
        ],
    ),
    (
        "spaced_header.csv",
        "Video ID,Sentence,Start Time,end time,Start_Time\nv,q,1,2,9\n",
        [("v/0", "q", ((1.0, 2.0),))],
        ["columns Start_Time (1): not read"],
    ),
    (
        "capitals.csv",
        "VID;QUERY;START-S;End_S;Duration_S\nv;q;1;2,5;9\n",
        [("v/0", "q", ((1.0, 2.5),))],
        [],
    ),
    (
        "listed.json",
        '[{"qid": 1, "query": "q", "vid": "v", "duration": 10, "relevant_windows": [[0, 2]], '
        '"relevant_clip_ids": [0], "saliency_scores": [[1, 2, 3]]},\n'
        ' {"qid": 2, "query": "r", "vid": "v", "duration": 10, "relevant_windows": [[4, 99]], '
        '"relevant_clip_ids": [2]}]',
        [(1, "q", ((0.0, 2.0),))],
        [
            "item 1: relevant_windows is [4, 99]; a window must lie inside the video, which lasts 10 s",
        ],
    ),
    (
        "listed_refusals.json",
        '[\n {"qid": "a", "query": "q", "vid": "v", "duration": 10,\n  "relevant_windows": [[0, 0]]}\n]',
        [("a", "q", ())],
        [],
    ),
    (
        "listed_mixture.json",
        '[{"qid": 1, "query": "q", "vid": "v", "duration": 10, "relevant_windows": [[0, 2]]}, 3]',
        [(1, "q", ((0.0, 2.0),))],
        ["item 1: the item is 3; it must be a JSON object"],
    ),
]
"""A file's name, its text, its rows and what is said beside them."""


@pytest.mark.parametrize(("name", "text", "rows", "messages"), CASES, ids=[case[0] for case in CASES])
def test_all_that_a_file_holds_is_read_or_named(
    tmp_path: Path, name: str, text: str, rows: list[tuple[Any, ...]], messages: list[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    result = read(path, options=ReadOptions(keep_going=True))
    assert [(row.qid_value, row.query, row.windows) for row in result.rows] == rows
    items = (*result.contents, *result.omissions, *result.problems)
    assert [str(item).removeprefix(f"{name}, ") for item in items] == messages
