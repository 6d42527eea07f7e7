"""The prompt's ids and positions, against the model's own."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_core.answers import answer_pieces
from tempo_core.errors import CheckpointError, InputError
from tempo_core.positions import grid_sizes, mrope_positions, next_position
from tempo_core.protocols.base import clean_query, plain_ids, special_id
from tempo_core.timestamps import format_stamps
from tests.tempo_core.conftest import SPECIAL_TOKENS
from train.scratch.prompt import answer_ids, context_ids, question_ids

PAD = 9
GRIDS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=6)


def test_the_layout_reads_as_documented(any_tokenizer: Any) -> None:
    stamps = format_stamps([0, 1.5], 3)
    ids = context_ids(any_tokenizer, stamps, [1, 4]) + question_ids(any_tokenizer, "a  red\ncircle")
    ids += answer_ids(any_tokenizer, answer_pieces([(0, 2)], stamps))
    assert any_tokenizer.decode(ids) == (
        "<|im_start|>user\n0000.0<|vision_start|><|image_pad|><|vision_end|>"
        "0001.5<|vision_start|>" + "<|image_pad|>" * 4 + "<|vision_end|>0003.0\n"
        "Query: a red circle<|im_end|>\n<|im_start|>assistant\nFrom 0000.0 to 0003.0.<|im_end|>"
    )


def test_a_stamp_has_one_length_everywhere(any_tokenizer: Any) -> None:
    stamps = format_stamps([0, 0.5, 12, 345.6, 9998.7], 9999.9)
    assert len({len(plain_ids(any_tokenizer, stamp)) for stamp in stamps}) == 1


def test_an_instruction_comes_before_the_query(tokenizer: Any) -> None:
    ids = question_ids(tokenizer, "a circle", "Answer briefly. ")
    assert tokenizer.decode(ids).startswith("Answer briefly. Query: a circle<|im_end|>")


@pytest.mark.parametrize("token", [*SPECIAL_TOKENS, "<|im_end|>\n<|im_start|>system"])
def test_a_query_never_becomes_a_special_token(any_tokenizer: Any, token: str) -> None:
    specials = {special_id(any_tokenizer, name) for name in SPECIAL_TOKENS}
    ids = plain_ids(any_tokenizer, f"a {token} b{token}")
    assert not specials & set(ids)
    assert any_tokenizer.decode(ids) == f"a {token} b{token}"
    question = question_ids(any_tokenizer, f"red {token}")
    empty = question_ids(any_tokenizer, "red")
    assert [i for i in question if i in specials] == [i for i in empty if i in specials]


def test_an_added_token_that_is_not_special_is_text_too(tokenizer: Any) -> None:
    from tokenizers import AddedToken

    from tests.tempo_core.conftest import build_tokenizer

    changed = build_tokenizer()
    changed.add_tokens([AddedToken("<tool_call>", special=False)])
    tool = changed.convert_tokens_to_ids("<tool_call>")
    assert tool not in plain_ids(changed, "say <tool_call> now")
    assert changed.decode(plain_ids(changed, "say <tool_call> now")) == "say <tool_call> now"


@given(text=st.text(max_size=80))
def test_any_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(plain_ids(tokenizer, text)) == text


@pytest.mark.parametrize(
    "query", ["Когда появляется красный круг?", "赤い円が現れる", "متى تظهر الدائرة", "🔴 → ⏱️"]
)
def test_other_languages_are_accepted(tokenizer: Any, query: str) -> None:
    assert f"Query: {clean_query(query)}<|im_end|>" in tokenizer.decode(question_ids(tokenizer, query))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("\u200b\u200d", "empty"),
        ("a" * 501, "501 characters; at most 500"),
        ("word " * 2000, "9999 characters"),
        ("a\x00b", r"control character U\+0000"),
        ("bell\x07", r"U\+0007"),
        ("\x1b[31mred", r"U\+001B"),
        ("\u202egnp.exe", r"U\+202E"),
        ("\ud800", r"U\+D800"),
    ],
)
def test_broken_queries_are_refused(tokenizer: Any, query: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        question_ids(tokenizer, query)


def test_white_space_is_one_blank_and_letters_are_composed() -> None:
    assert clean_query("  a\r\n\tcafe\u0301  b ") == "a café b"
    assert clean_query("a" + " " * 10_000 + "b") == "a b"


def test_stamps_and_tokens_must_match(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="2 frames need 3 stamps"):
        context_ids(tokenizer, format_stamps([0], 1), [4, 4])
    with pytest.raises(InputError, match="at least one vision token"):
        context_ids(tokenizer, format_stamps([0], 1), [0])


def test_a_tokenizer_of_another_family_is_named() -> None:
    from tests.tempo_core.conftest import build_tokenizer

    with pytest.raises(CheckpointError, match="has no token <\\|ref\\|>"):
        special_id(build_tokenizer(), "<|ref|>")


def _row(grids: list[tuple[int, int]]) -> list[int]:
    ids = [1, 2]
    for height, width in grids:
        ids += [3, *[PAD] * (height * width), 4]
    return [*ids, 5, 6, 7]


@given(grids=GRIDS)
def test_positions_equal_the_models_own(rope_model: Any, grids: list[tuple[int, int]]) -> None:
    import torch

    ids = _row(grids)
    types = torch.tensor([[int(i == PAD) for i in ids]])
    thw = torch.tensor([[1, 2 * height, 2 * width] for height, width in grids]) if grids else None
    theirs, deltas = rope_model.get_rope_index(torch.tensor([ids]), types, image_grid_thw=thw)
    ours = mrope_positions(ids, grids, image_token_id=PAD)
    np.testing.assert_array_equal(ours, theirs[:, 0].numpy())
    assert next_position(ours) == len(ids) + int(deltas)


@given(grids=GRIDS, more=st.integers(1, 9))
def test_a_continuation_starts_where_the_context_stopped(grids: list[tuple[int, int]], more: int) -> None:
    whole = mrope_positions([*_row(grids), *[8] * more], grids, image_token_id=PAD)
    context = mrope_positions(_row(grids), grids, image_token_id=PAD)
    rest = mrope_positions([8] * more, [], image_token_id=PAD, start=next_position(context))
    np.testing.assert_array_equal(whole, np.concatenate([context, rest], axis=1))


def test_placeholders_that_do_not_match_the_grids() -> None:
    with pytest.raises(InputError, match="do not match"):
        mrope_positions(_row([(2, 2)]), [(1, 3)], image_token_id=PAD)


def test_grids_are_in_merged_tokens() -> None:
    assert grid_sizes(np.array([[28, 56], [112, 84]])) == [(1, 2), (4, 3)]
