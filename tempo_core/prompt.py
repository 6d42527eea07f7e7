"""From stamps, frame sizes and a query to token ids and m-rope positions. Pure functions on ints; no model,
no torch.

Context:  <|im_start|>user\\n per frame STAMP <|vision_start|> n x <|image_pad|> <|vision_end|>  END-STAMP \\n
Question: [INSTRUCTION] "Query: " QUERY <|im_end|>\\n<|im_start|>assistant\\n
Answer:   the grammar's pieces, then <|im_end|>

Every piece is tokenised on its own and the ids are joined, so that the context can be encoded once and any
question put behind it: no token ever spans a joint. Text that a person wrote can never become a special
token.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tempo_core.errors import CheckpointError, InputError

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"
MAX_QUERY_CHARACTERS = 500

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_query(query: str) -> str:
    """The query in NFC with every run of white space as one blank.

    Any language is accepted. Raises InputError when it is empty, longer than MAX_QUERY_CHARACTERS, or holds
    control characters, direction overrides, or halves of surrogate pairs.
    """
    if not isinstance(query, str):
        raise InputError(f"A query is a sentence; got {type(query).__name__}.")
    for character in query:
        if character not in "\t\r\n" and (
            unicodedata.category(character) in ("Cc", "Cs") or character in _BIDI_CONTROLS
        ):
            raise InputError(
                f"The query holds the control character U+{ord(character):04X}. Remove it and ask again."
            )
    text = " ".join(unicodedata.normalize("NFC", query).split())
    if not any(unicodedata.category(character) != "Cf" for character in text):
        raise InputError("The query is empty. Write what to look for, for example 'a red circle appears'.")
    if len(text) > MAX_QUERY_CHARACTERS:
        raise InputError(
            f"The query has {len(text)} characters; at most {MAX_QUERY_CHARACTERS} are read. Shorten it to "
            "one sentence."
        )
    return text


def special_id(tokenizer: Any, token: str) -> int:
    """The id of one of the special tokens above. Raises CheckpointError when the tokenizer does not have it."""
    token_id = tokenizer.convert_tokens_to_ids(token)
    if token_id is None or token_id == tokenizer.unk_token_id:
        raise CheckpointError(
            f"The checkpoint's tokenizer has no token {token}: it is not that of a Qwen vision model. Copy "
            "the tokenizer that belongs to the weights."
        )
    return int(token_id)


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """The text's ids with nothing in it read as a special or added token."""
    # `split_special_tokens` spares added tokens that are not marked special, which foreign tokenizers have:
    # the text is cut inside each of them.
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if len(token.content) > 1]
    cuts = {
        match.start() + 1
        for content in added
        if content in text
        for match in re.finditer(re.escape(content), text)
    }
    pieces = [text[start:stop] for start, stop in itertools.pairwise([0, *sorted(cuts), len(text)])]
    encoded = tokenizer(pieces, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return [int(token_id) for ids in encoded for token_id in ids]


def context_ids(tokenizer: Any, stamps: Sequence[str], tokens: Sequence[int]) -> list[int]:
    """The ids of the video: `stamps` are the T + 1 texts of `format_stamps`, `tokens` the T frames' vision
    tokens (>= 1)."""
    if len(stamps) != len(tokens) + 1:
        raise InputError(
            f"{len(tokens)} frames need {len(tokens) + 1} stamps, the last for the end; got {len(stamps)}."
        )
    if min(tokens) < 1:
        raise InputError(f"Every frame needs at least one vision token; got {min(tokens)}.")
    opened, pad, closed = (special_id(tokenizer, token) for token in (VISION_START, IMAGE_PAD, VISION_END))
    stamp_ids = tokenizer(list(stamps), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    ids = [special_id(tokenizer, IM_START), *plain_ids(tokenizer, "user\n")]
    for text, n_tokens in zip(stamp_ids, tokens, strict=False):
        ids += [*text, opened, *[pad] * int(n_tokens), closed]
    return [*ids, *stamp_ids[-1], *plain_ids(tokenizer, "\n")]


def question_ids(tokenizer: Any, query: str, instruction: str = "") -> list[int]:
    """The ids that follow a context: an optional instruction, the query, and the opening of the answer.

    Raises InputError as `clean_query` does.
    """
    before = plain_ids(tokenizer, instruction) if instruction else []
    question = [*plain_ids(tokenizer, "Query: "), *plain_ids(tokenizer, clean_query(query))]
    start, end = special_id(tokenizer, IM_START), special_id(tokenizer, IM_END)
    return [*before, *question, end, *plain_ids(tokenizer, "\n"), start, *plain_ids(tokenizer, "assistant\n")]


def answer_ids(tokenizer: Any, pieces: Iterable[str]) -> list[int]:
    """The ids of an answer's pieces (`answers.answer_pieces`), closed by <|im_end|>."""
    encoded = tokenizer(list(pieces), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return [*(int(token_id) for ids in encoded for token_id in ids), special_id(tokenizer, IM_END)]


def grid_sizes(sizes_px: NDArray[np.int64], token_px: int = 28) -> list[tuple[int, int]]:
    """(height, width) in merged vision tokens of frames given in pixels, multiples of `token_px`."""
    return [(int(height) // token_px, int(width) // token_px) for height, width in sizes_px]


def mrope_positions(
    ids: Sequence[int],
    grids: Sequence[tuple[int, int]],
    *,
    image_token_id: int,
    times: Sequence[Sequence[int]] | None = None,
    start: int = 0,
) -> NDArray[np.int64]:
    """Positions (time, height, width) of every id, int64[3, L], equal to the models' `get_rope_index` for images.

    `grids` are the blocks' (height, width) in merged tokens, in order; a block is a still image (or one group of
    frames between vision marks), or a video block of one grid a group. `times` are the groups' temporal positions in
    each block, from 0 (None: one group a block; see `Family.temporal_positions`). Text goes on after everything in a
    block: an image of h x w tokens advances the position by max(h, w). `image_token_id` is the placeholder's.
    `start` is the position of the first id, for a continuation of an earlier sequence. Raises InputError when the
    placeholders do not match the grids.
    """
    times = [(0,)] * len(grids) if times is None else times
    is_image = np.asarray(ids, dtype=np.int64) == image_token_id
    edges = np.flatnonzero(np.diff(is_image.astype(np.int8), prepend=0, append=0))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    blocks = [(height, width, np.asarray(block)) for (height, width), block in zip(grids, times, strict=True)]
    if [stop - first for first, stop in runs] != [height * width * len(t) for height, width, t in blocks]:
        raise InputError(
            "The image placeholders in the prompt do not match the frames' sizes; build both from one "
            "allocation."
        )
    positions = np.empty((3, len(is_image)), dtype=np.int64)
    position, filled = start, 0
    for (first, stop), (height, width, block_times) in zip(runs, blocks, strict=True):
        positions[:, filled:first] = position + np.arange(first - filled)
        position += first - filled
        positions[0, first:stop] = position + np.repeat(block_times, height * width)
        positions[1, first:stop] = position + np.tile(np.repeat(np.arange(height), width), len(block_times))
        positions[2, first:stop] = position + np.tile(np.arange(width), height * len(block_times))
        position, filled = position + max(height, width, int(block_times[-1]) + 1), stop
    positions[:, filled:] = position + np.arange(len(is_image) - filled)
    return positions


def next_position(positions: NDArray[np.int64]) -> int:
    """The position of the text token that follows. It is 0 after nothing."""
    return int(positions.max()) + 1 if positions.size else 0
