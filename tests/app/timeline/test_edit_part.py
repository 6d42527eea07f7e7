"""The editing part of a timeline's value is checked like the rest of it."""

from typing import Any

import pytest

from app.timeline.parts import check_value
from tempo_core.errors import InputError
from tests.app.timeline.edit_harness import ITEMS, edit_part, item


@pytest.mark.parametrize("name", list(ITEMS))
def test_every_item_that_editing_is_tested_with_passes(name: str) -> None:
    value = ITEMS[name]()
    checked = check_value(value)
    assert checked == value
    assert checked is not value, "what a page adds to it is not added to what was checked"


def test_a_value_without_a_row_to_edit_passes() -> None:
    value = item()
    assert check_value({**value, "edit": None})["edit"] is None
    del value["edit"]
    assert "edit" not in check_value(value)


SPAN = {"start_ms": 10, "end_ms": 20}
MODEL = edit_part()["model"]
DRAFT = {"verdict": "moments", "moments": [SPAN], "submitted": False}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"query_id": "7"}, "`edit.query_id` is '7': .* valid integer"),
        ({"query_id": True}, "`edit.query_id` is True: .* valid integer"),
        ({"qid": 7}, "`edit.qid` is 7: .* valid string"),
        ({"parent_id": "x"}, "`edit.parent_id` is 'x': .* valid integer"),
        (
            {"arm": "open"},
            "`edit.arm` is 'open': .* 'blind', 'original-first', 'model-first' or 'adjudication'",
        ),
        ({"edit": []}, r"`edit.edit` is \[\]: .* valid dictionary"),
        ({"edit": {"verdict": "moments"}}, "`moments` needs at least one"),
        ({"edit": {**DRAFT, "verdict": "odd"}}, "verdict is 'odd'"),
        ({"edit": {**DRAFT, "moments": [{"start_ms": 5, "end_ms": 5}]}}, "end after it starts"),
        ({"edit": {**DRAFT, "moments": ["x"]}}, "An edit has these fields"),
        ({"edit": {**DRAFT, "colour": "red"}}, "An edit has these fields"),
        ({"original": None}, "`edit.original` is None: .* valid dictionary"),
        (
            {"original": {"moments": [{**SPAN, "end_ms": 9}], "refused": False}},
            "`edit.original.moments.0` is {.*}: it must end after it starts",
        ),
        (
            {"original": {"moments": [{**SPAN, "end_ms": 20.5}], "refused": False}},
            "`edit.original.moments.0.end_ms` is 20.5: .* valid integer",
        ),
        ({"original": {"moments": [], "refused": 0}}, "`edit.original.refused` is 0: .* valid boolean"),
        ({"model": {**MODEL, "relevance": 1.5}}, "`edit.model.relevance` is 1.5: .* less than or equal to 1"),
        (
            {"model": {**MODEL, "moments": [{**SPAN, "confidence": float("nan")}]}},
            "`edit.model.moments.0.confidence` is nan: .* finite number",
        ),
        ({"model": {"moments": []}}, "`edit.model.proposal_id` is missing"),
        (
            {"others": [{"name": "ada", "moments": [], "verdict": "maybe"}]},
            "`edit.others.0.verdict` is 'maybe': .* 'moments', 'no-moment' or 'cannot-judge'",
        ),
        ({"frame_rate": 0}, "`edit.frame_rate` is 0: .* greater than 0"),
        ({"frame_count": 12.5}, "`edit.frame_count` is 12.5: .* valid integer"),
        ({"grid_ms": 0}, "`edit.grid_ms` is 0: .* greater than 0"),
        ({"shots_ms": [400, 200]}, "`edit.shots_ms` is .*: each must be greater than the one before"),
        ({"saliency": [[0, 2000]]}, r"`edit.saliency.0` is .*: it must be \[start_ms, end_ms, score\]"),
        ({"saliency": [[0, 2000, 5]]}, "`edit.saliency.0` is .*, with a score of 0 to 4"),
        ({"reasons": [{"text": "x"}]}, "`edit.reasons.0.kind` is missing"),
        ({"error_categories": {"x": 1}}, "`edit.error_categories.x` is 1: .* valid string"),
        ({"progress": {"done": 1, "left": -1}}, "`edit.progress.left` is -1: .* greater than or equal to 0"),
        ({"missing_video": 3}, "`edit.missing_video` is 3: .* valid string"),
    ],
)
def test_what_cannot_be_shown_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_value(item(edit_part(**changes)))


def test_a_missing_key_is_named() -> None:
    part = edit_part()
    del part["shots_ms"]
    with pytest.raises(InputError, match=r"`edit.shots_ms` is missing"):
        check_value(item(part))
