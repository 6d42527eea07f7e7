"""What `scripts/same_results.py` leaves out, and how it names a difference."""

import json
from pathlib import Path

import pytest

from scripts.same_results import Checkout, differences, files_in, stable


def test_times_ids_and_places_are_left_out_and_answers_stay() -> None:
    answer = {
        "moments": [{"start_s": 1.0, "end_s": 2.5}],
        "relevance": 0.5,
        "timings": {"ask_s": 0.1},
        "elapsed_s": 0.3,
        "context_id": "x",
        "created_at_ms": 5,
    }
    assert stable(answer) == {"moments": [{"start_s": 1.0, "end_s": 2.5}], "relevance": 0.5}


def test_long_lists_and_texts_become_digests_that_tell_them_apart() -> None:
    first, again, other = (stable(list(range(start, start + 50))) for start in (0, 0, 1))
    assert first == again != other
    assert stable("a" * 300) != stable("a" * 299 + "b")
    assert stable(list(range(40))) == list(range(40))


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, []),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, ["    .a[1].b: 2 -> 3"]),
        ({"a": 1}, {"c": 1}, ["    .a: 1 -> 'absent'", "    .c: 'absent' -> 1"]),
        ([1, 2], [1], ["    value: [1, 2] -> [1]"]),
    ],
)
def test_a_difference_is_named_by_its_place(old: object, new: object, lines: list[str]) -> None:
    assert differences(old, new) == lines


def test_files_are_told_apart_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.txt").write_text("one")
    (tmp_path / "manifest.json").write_text(json.dumps({"rows": 3, "created_at": "today"}))
    before = files_in(tmp_path)
    assert list(before) == ["inner/a.txt", "manifest.json"]
    (tmp_path / "manifest.json").write_text(json.dumps({"rows": 3, "created_at": "tomorrow"}))
    assert files_in(tmp_path) == before
    (tmp_path / "inner" / "a.txt").write_text("two")
    (line,) = differences(before, files_in(tmp_path))
    assert line.startswith("    .inner/a.txt: ")


def test_a_commands_answer_has_no_place_of_its_checkout(tmp_path: Path) -> None:
    checkout = Checkout(Path(__file__).parents[1], tmp_path)
    text = f"{tmp_path}/out of {checkout.root}/app"
    assert checkout.without_places(text) == "SCRATCH/out of CHECKOUT/app"
