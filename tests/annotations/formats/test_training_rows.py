"""Rows for other trainers and NA-VMR: the files as those projects read them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from annotations.formats import RowsRejected, read
from annotations.rows import Row
from tempo_core.errors import InputError
from tests.annotations.formats.sample_rows import REFUSAL, UNCLEAR, UNLABELLED, export

QUERY = Row(
    qid="1", query="a dog\nbarks é", vid="v", duration_s=9, split="train", windows=((1.2345, 2.5), (4, 5))
)
PROMPT = (
    "<video>Find every moment of the video that matches this query: a dog barks é\n"
    "Answer with a JSON list of [start, end] pairs in seconds, or [] if nothing in the video matches."
)
ANSWER = "[[1.234, 2.5], [4, 5]]"


def test_llama_factory_reads_conversations_and_their_entry(tmp_path: Path) -> None:
    report = export(tmp_path / "moments.json", "llama-factory", QUERY, REFUSAL, video_prefix="clips/")
    examples = json.loads((tmp_path / "moments.json").read_bytes())
    assert examples[0] == {
        "messages": [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": ANSWER}],
        "videos": ["clips/v.mp4"],
    }
    assert examples[1]["messages"][1] == {"role": "assistant", "content": "[]"}
    assert json.loads((tmp_path / "dataset_info.json").read_bytes()) == {
        "moments": {
            "file_name": "moments.json",
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "videos": "videos"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
            },
        }
    }
    assert (report.rows, report.counts) == (2, {"examples": 2})


def test_ms_swift_reads_conversations_with_a_solution(tmp_path: Path) -> None:
    export(tmp_path / "m.jsonl", "ms-swift", replace(QUERY, extra={"video": "a/v.mkv"}))
    (line,) = (tmp_path / "m.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line) == {
        "messages": [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": ANSWER}],
        "videos": ["a/v.mkv"],
        "solution": ANSWER,
    }


def test_easyr1_reads_prompts_and_answers(tmp_path: Path) -> None:
    export(tmp_path / "m.jsonl", "easyr1", QUERY)
    (line,) = (tmp_path / "m.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line) == {"prompt": PROMPT, "answer": ANSWER, "videos": ["v.mp4"]}


@pytest.mark.parametrize("form", ["llama-factory", "ms-swift", "easyr1"])
def test_rows_for_scoring_never_become_training_rows(tmp_path: Path, form: str) -> None:
    scoring = (replace(QUERY, qid="2", split="val"), replace(QUERY, qid="3", split="test"))
    report = export(tmp_path / "m.jsonl", form, QUERY, *scoring, UNLABELLED, UNCLEAR)
    assert report.rows == 1
    assert report.counts == {
        "examples": 1,
        "of val, which is for scoring, left out": 1,
        "of test, which is for scoring, left out": 1,
        "no ground truth, left out": 1,
        "cannot judge, left out": 1,
    }
    with pytest.raises(InputError, match="1 row: of val, which is for scoring, left out"):
        export(tmp_path / "n.jsonl", form, scoring[0])
    with pytest.raises(RowsRejected, match="cannot hold <video>, which stands for the clip"):
        export(tmp_path / "n.jsonl", form, replace(QUERY, query="<video> b"))


def test_na_vmr_codes_its_refusals_among_the_other_lines(tmp_path: Path) -> None:
    path = tmp_path / "neg.jsonl"
    row = Row(
        qid="t0",
        query="q",
        vid="v",
        duration_s=9,
        windows=((1, 2),),
        relevant_clip_ids=(0,),
        saliency_scores=((1, 2, 3),),
    )
    refusal = replace(REFUSAL, reason=None)
    report = export(path, "na-vmr", row, replace(row, qid="t1", original_windows=((3, 4),)), refusal)
    assert path.read_text("utf-8").split("\n") == [
        '{"qid": "t0", "query": "q", "duration": 9, "vid": "v", "relevant_clip_ids": [0], '
        '"saliency_scores": [[1, 2, 3]], "relevant_windows": [[1, 2]]}',
        '{"qid": "t1", "query": "q", "duration": 9, "vid": "v", "relevant_windows": [[1, 2]]}',
        '{"qid": "b-2", "query": "a cat", "duration": 20, "vid": "cl ip", "relevant_windows": [[0, 0]], '
        '"relevant_clip_ids": [], "saliency_scores": [[]]}',
    ]
    assert report.counts == {"lines": 3}
    again = read(path)
    assert again.format == "na-vmr"
    assert again.rows[0] == row
    assert again.rows[2] == replace(refusal, relevant_clip_ids=(), saliency_scores=())
    export(tmp_path / "again.jsonl", "na-vmr", *again.rows)
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()
    with pytest.raises(RowsRejected, match="no line for a query without ground truth"):
        export(tmp_path / "x.jsonl", "na-vmr", UNLABELLED)


def test_a_refusal_that_repeats_the_id_of_its_query_is_a_row_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "charades_id_pos_neg_test.jsonl"
    line = {"qid": "test0", "query": "q", "vid": "v", "duration": 9, "relevant_windows": [[1, 2]]}
    refusal = {
        **line,
        "vid": "w",
        "relevant_windows": [[0, 0]],
        "relevant_clip_ids": [],
        "saliency_scores": [[]],
    }
    path.write_text("\n".join(map(json.dumps, (line, refusal))))
    assert [(row.qid, row.vid, row.windows) for row in read(path).rows] == [
        ("test0", "v", ((1.0, 2.0),)),
        ("test0#2", "w", ()),
    ]
