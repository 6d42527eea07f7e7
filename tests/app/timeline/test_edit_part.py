"""The editing part of a timeline's value is checked like the rest of it."""

from typing import Any

import pytest

from app.timeline.parts import check_value
from tempo_core.errors import InputError
from tests.app.timeline.edit_harness import ITEMS, edit_part, item


@pytest.mark.parametrize("name", list(ITEMS))
def test_every_item_that_editing_is_tested_with_passes(name: str) -> None:
    value = ITEMS[name]()
    assert check_value(value) == value


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
        ({"query_id": "7"}, "edit.query_id must be int; got '7'"),
        ({"query_id": True}, "edit.query_id must be int"),
        ({"qid": 7}, "edit.qid must be str"),
        ({"parent_id": "x"}, "edit.parent_id must be int or null"),
        ({"arm": "open"}, "edit.arm is one of blind, original-first, model-first, adjudication; got 'open'"),
        ({"edit": []}, "edit.edit must be an object; got list"),
        ({"edit": {"verdict": "moments"}}, "edit.edit lacks moments"),
        ({"edit": {**DRAFT, "verdict": "odd"}}, "verdict is 'odd'"),
        ({"edit": {**DRAFT, "moments": [{"start_ms": 5, "end_ms": 5}]}}, "end after it starts"),
        ({"edit": {**DRAFT, "moments": ["x"]}}, "An edit has these fields"),
        ({"edit": {**DRAFT, "colour": "red"}}, "An edit has these fields"),
        ({"original": None}, "edit.original must be an object"),
        (
            {"original": {"moments": [{**SPAN, "end_ms": 9}], "refused": False}},
            r"original.moments\[0\] must end after",
        ),
        (
            {"original": {"moments": [{**SPAN, "end_ms": 20.5}], "refused": False}},
            "end_ms must be a whole number",
        ),
        ({"original": {"moments": [], "refused": 0}}, "refused must be bool"),
        ({"model": {**MODEL, "relevance": 1.5}}, "edit.model.relevance must be at most 1"),
        (
            {"model": {**MODEL, "moments": [{**SPAN, "confidence": float("nan")}]}},
            "confidence must be a finite number",
        ),
        ({"model": {"moments": []}}, "edit.model lacks model_id, proposal_id, refused, relevance"),
        ({"others": [{"name": "ada", "moments": [], "verdict": "maybe"}]}, r"others\[0\].verdict is one of"),
        ({"frame_rate": 0}, "edit.frame_rate must be above 0"),
        ({"frame_count": 12.5}, "edit.frame_count must be a whole number"),
        ({"grid_ms": 0}, "edit.grid_ms must be above 0"),
        ({"shots_ms": [400, 200]}, "edit.shots_ms must be strictly increasing"),
        ({"saliency": [[0, 2000]]}, r"edit.saliency\[0\] must be \[start_ms, end_ms, score\]"),
        ({"saliency": [[0, 2000, 5]]}, r"edit.saliency\[0\]\[2\] must be at most 4"),
        ({"reasons": [{"text": "x"}]}, r"edit.reasons\[0\] lacks kind"),
        ({"error_categories": {"x": 1}}, "error_categories"),
        ({"progress": {"done": 1, "left": -1}}, "edit.progress.left must be at least 0"),
        ({"missing_video": 3}, "edit.missing_video must be str or null"),
    ],
)
def test_what_cannot_be_shown_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_value(item(edit_part(**changes)))


def test_a_missing_key_is_named() -> None:
    part = edit_part()
    del part["shots_ms"]
    with pytest.raises(InputError, match="edit lacks shots_ms"):
        check_value(item(part))
