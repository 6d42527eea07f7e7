"""Batches as pure functions of (recipe seed, step): still frames for the vision stage, packed videos for the rest.

Because batch i depends on nothing but its number, a run that was killed goes on with exactly the batches that are left.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerBase

from tempo_core.allocation import TOKEN_PX, Allocation, allocate
from tempo_core.answers import answer_pieces
from tempo_core.prompt import (
    IMAGE_PAD,
    VISION_END,
    answer_ids,
    grid_sizes,
    mrope_positions,
    next_position,
    question_ids,
    special_id,
)
from tempo_core.timestamps import format_stamps
from train.scratch import labels
from train.scratch.recipe import Mixture
from train.scratch.stamp_styles import styled_context, written
from train.shapeworld.queries import Query, QueryMix, sample_queries
from train.shapeworld.render import render
from train.shapeworld.scene import TIERS, Scene, Tier, sample_scene, sample_still

IGNORED = -100
LONGEST_QUESTION = 48
"""Question and answer together, in tokens; longer ones are left out of training."""


@dataclass(slots=True)
class Frames:
    """Frames of one size with what is true of them. F frames, N = rows x columns merged tokens."""

    pixels: Tensor
    """uint8[F, H, W, 3]."""
    looks: Tensor
    """bool[F, N, LOOKS]."""
    surroundings: Tensor
    """int64[F, 4]."""
    readable: Tensor
    """bool[F]."""


@dataclass(slots=True)
class Videos:
    """B videos with K questions each, ready for `forward.read`. T frames, P context and S question tokens."""

    frames: list[Frames]
    image_order: Tensor
    """int64[all image tokens]: where in the concatenated visual tokens each placeholder's embedding stands."""
    context: Tensor
    """int64[B, P]."""
    context_mask: Tensor
    context_positions: Tensor
    """int64[3, B, P]."""
    closing: Tensor
    """int64[B, T + 1]: position in the context of each frame's <|vision_end|>, then of the end stamp's newline."""
    stamp_digits: Tensor
    """int64[B, T + 1, 3]: the three tokens of each stamp."""
    facts: Tensor
    """bool[B, T, FACTS]."""
    questions: Tensor
    """int64[B, K, S]."""
    question_positions: Tensor
    """int64[3, B * K, S]."""
    targets: Tensor
    """int64[B, K, S]: the next token where it belongs to the answer, else IGNORED."""
    asked: Tensor
    """int64[B, K]: index of the question's last token, from which the answer is decided."""
    inside: Tensor
    """bool[B, K, T]: frames that lie in a moment."""
    bounds: Tensor
    """int64[B, K, 2]: first moment's start frame and end stamp index, IGNORED for irrelevant questions."""
    points: Tensor
    """int64[M, 4]: (b, k, question position, context position) where attention should point."""


class Batches(IterableDataset):
    """make(step) for every step from `first` to `last`; a single loader worker runs ahead of the trainer."""

    def __init__(self, make: Callable[[int], object], first: int, last: int) -> None:
        self._make, self._first, self._last = make, first, last

    def __iter__(self) -> Iterator[object]:
        torch.set_num_threads(1)
        for step in range(self._first, self._last):
            yield self._make(step)


# ------------------------------------------------------------------------------------------ still frames


def still_frames(step: int, *, seed: int, count: int, rich_share: float) -> list[Frames]:
    """A batch for the vision stage: single pictures crowded with things, all of one size per group."""
    rng = np.random.default_rng([seed, 1, step])
    shapes = [((56, 56), 0.42), ((112, 112), 0.2), ((84, 84), 0.24), ((28, 28), 0.04), ((56, 84), 0.1)]
    out = []
    for size, share in shapes:
        made = [
            _still(rng, size, TIERS["rich" if rng.random() < rich_share else "plain"])
            for _ in range(max(1, round(count * share)))
        ]
        out.append(_stack(made))
    return out


def _still(rng: np.random.Generator, size: tuple[int, int], tier: Tier) -> tuple:
    aspect = (1, 1) if size[0] == size[1] else (3, 4)
    scene = sample_still(int(rng.integers(2**31)), tier, aspect=aspect)
    frame = render(scene, short_side_px=112)[0]
    return _frame(scene, 0, frame, size)


def _frame(scene: Scene, tick: int, frame: np.ndarray, size: tuple[int, int]) -> tuple:
    rows, columns = size[0] // TOKEN_PX, size[1] // TOKEN_PX
    return (
        resize(frame, size),
        labels.cell_looks(scene, tick, rows, columns),
        labels.surroundings_of(scene)[tick],
        labels.readable(scene)[tick],
    )


def _stack(made: list[tuple]) -> Frames:
    pixels, looks, surroundings, readable = (
        torch.from_numpy(np.stack(part)) for part in zip(*made, strict=True)
    )
    return Frames(pixels=pixels, looks=looks, surroundings=surroundings, readable=readable)


def resize(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The frame uint8[H, W, 3] at (height, width), as the engine does it: bicubic on bytes."""
    if frame.shape[:2] == tuple(size):
        return frame
    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BICUBIC))


# ----------------------------------------------------------------------------------------------- videos


def videos(step: int, *, seed: int, mixture: Mixture, tokenizer: PreTrainedTokenizerBase) -> Videos:
    """B videos of one length, aspect and token budget, with K questions each."""
    rng = np.random.default_rng([seed, 2, step])
    tier = _tier(rng.random(), mixture)
    ticks = int(rng.integers(mixture.ticks[0], mixture.ticks[1] + 1))
    aspect = tier.aspects[int(rng.integers(len(tier.aspects)))]
    per_frame, least = mixture.tokens_per_frame, mixture.min_tokens
    if rng.random() < mixture.other_budgets:
        per_frame, least = rng.uniform(3.0, 10.0), 1
    names, shares = zip(*mixture.allocators, strict=True)
    allocator = names[int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))]
    scenes = [
        sample_scene(
            int(rng.integers(2**31)), tier, ticks=ticks, aspect=aspect, motion=mixture.motion,
            wall_chances=mixture.wall_chances,
        )
        for _ in range(mixture.videos)
    ]  # fmt: skip
    clips = [
        _clip(rng, scene, (round(ticks * per_frame), least), allocator, mixture, scenes, tokenizer)
        for scene in scenes
    ]
    return _pack(clips, tokenizer)


def _tier(draw: float, mixture: Mixture) -> Tier:
    if draw < mixture.rich_share:
        return TIERS["rich"]
    return TIERS["sparse" if draw < mixture.rich_share + mixture.sparse_share else "plain"]


@dataclass(slots=True)
class _Clip:
    scene: Scene
    frames: np.ndarray
    allocation: Allocation
    stamps: list[str]
    widths: list[int]
    """Tokens of each stamp as the answer writes it."""
    context: list[int]
    questions: list[tuple[Query, list[int], list[int]]]


def _clip(
    rng: np.random.Generator, scene: Scene, budget: tuple[int, int], allocator: str, mixture: Mixture,
    scenes: list[Scene], tokenizer: PreTrainedTokenizerBase,
) -> _Clip:  # fmt: skip
    """One of the batch's scenes with its questions; `budget` is of tokens in all and the least of a frame."""
    frames = render(scene, short_side_px=112)
    others = [s for s in scenes if s is not scene]
    allocation = allocate(
        frames,
        budget_tokens=budget[0],
        min_tokens=budget[1],
        max_tokens=mixture.max_tokens,
        allocator=allocator,
        seed=scene.seed,
    )
    stamps = format_stamps(*_clock(rng, scene, mixture))
    mix = mixture.query_mix
    if rng.random() >= 0.8 and mix.irrelevant > 0:
        mix = replace(mix, irrelevant=0.5)
    questions = []
    queries = sample_queries(rng, scene, mixture.questions + 2, mix, others)
    for query in queries or sample_queries(
        rng, scene, 2, QueryMix(irrelevant=1.0, negatives=(0.0, 0.0, 1.0, 0.0)), []
    ):
        asked, answer = (
            question_ids(tokenizer, query.text),
            answer_ids(tokenizer, answer_pieces(query.runs, written(stamps, mixture.stamps))),
        )
        if len(asked) + len(answer) <= LONGEST_QUESTION:
            questions.append((query, asked, answer))
    chosen = [questions[i % len(questions)] for i in range(mixture.questions)]
    context = styled_context(tokenizer, stamps, allocation.tokens.tolist(), mixture.stamps)
    widths = [
        len(ids) for ids in tokenizer(written(stamps, mixture.stamps), add_special_tokens=False)["input_ids"]
    ]
    return _Clip(scene, frames, allocation, stamps, widths, context, chosen)


def _clock(rng: np.random.Generator, scene: Scene, mixture: Mixture) -> tuple[list[float], float]:
    """Frame times and end: mostly the clip's beat, sometimes an odd rate or a last frame that is cut short."""
    step = (
        mixture.beat_s or scene.step_s
        if rng.random() < 1 - mixture.odd_clocks
        else float(rng.choice([0.5, 0.8, 1.5, 2.5, 3.0, rng.uniform(0.4, 4.0)]))
    )
    times = [i * step for i in range(scene.ticks)]
    return times, times[-1] + step * (
        1.0 if rng.random() < 1 - mixture.odd_clocks else float(rng.uniform(0.3, 1.0))
    )


def _pack(clips: list[_Clip], tokenizer: PreTrainedTokenizerBase) -> Videos:
    pad = special_id(tokenizer, IMAGE_PAD)
    vision_end = special_id(tokenizer, VISION_END)
    longest = max(len(clip.context) for clip in clips)
    context = np.full((len(clips), longest), tokenizer.pad_token_id)
    positions = np.zeros((3, len(clips), longest), dtype=np.int64)
    closing = []
    for b, clip in enumerate(clips):
        ids = np.array(clip.context)
        context[b, : len(ids)] = ids
        positions[:, b, : len(ids)] = mrope_positions(
            clip.context, grid_sizes(clip.allocation.sizes_px), image_token_id=pad
        )
        closing.append([*np.flatnonzero(ids == vision_end), len(ids) - 1])
    frames, order = _group_frames(clips)
    return Videos(
        frames=frames,
        image_order=torch.from_numpy(order),
        context=torch.from_numpy(context),
        context_mask=torch.from_numpy(np.arange(longest) < np.array([[len(c.context)] for c in clips])),
        context_positions=torch.from_numpy(positions),
        closing=torch.tensor(np.array(closing)),
        stamp_digits=torch.tensor(
            [tokenizer(c.stamps, add_special_tokens=False)["input_ids"] for c in clips]
        ),
        facts=torch.from_numpy(np.stack([labels.frame_facts(c.scene) for c in clips])),
        **_pack_questions(clips, positions, closing),
    )


def _group_frames(clips: list[_Clip]) -> tuple[list[Frames], np.ndarray]:
    """All frames by size, and where each placeholder finds its token in the concatenation of the groups."""
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for b, clip in enumerate(clips):
        for t, size in enumerate(clip.allocation.sizes_px):
            groups.setdefault((int(size[0]), int(size[1])), []).append((b, t))
    frames, first = [], {}
    done = 0
    facts = [(labels.surroundings_of(c.scene), labels.readable(c.scene)) for c in clips]
    for (height, width), members in groups.items():
        rows, columns = height // TOKEN_PX, width // TOKEN_PX
        made = [
            (resize(clips[b].frames[t], (height, width)), labels.cell_looks(clips[b].scene, t, rows, columns),
             facts[b][0][t], facts[b][1][t])
            for b, t in members
        ]  # fmt: skip
        frames.append(_stack(made))
        for member in members:
            first[member] = done
            done += rows * columns
    order = [
        np.arange(first[b, t], first[b, t] + int(tokens))
        for b, clip in enumerate(clips)
        for t, tokens in enumerate(clip.allocation.tokens)
    ]
    return frames, np.concatenate(order)


def _pack_questions(clips: list[_Clip], positions: np.ndarray, closing: list[list[int]]) -> dict[str, Tensor]:
    per_clip, ticks = len(clips[0].questions), clips[0].scene.ticks
    shape = (len(clips), per_clip)
    longest = max(len(asked) + len(answer) - 1 for clip in clips for _, asked, answer in clip.questions)
    ids = np.zeros((*shape, longest), dtype=np.int64)
    targets = np.full((*shape, longest), IGNORED)
    where = np.zeros((3, *shape, longest), dtype=np.int64)
    asked_at = np.zeros(shape, dtype=np.int64)
    inside = np.zeros((*shape, ticks), dtype=bool)
    bounds = np.full((*shape, 2), IGNORED)
    points: list[tuple[int, int, int, int]] = []
    for b, clip in enumerate(clips):
        start = next_position(positions[:, b, : len(clip.context)])
        where[:, b] = start + np.arange(longest)
        for k, (query, asked, answer) in enumerate(clip.questions):
            whole = [*asked, *answer]
            ids[b, k, : len(whole) - 1] = whole[:-1]
            targets[b, k, len(asked) - 1 : len(whole) - 1] = answer
            asked_at[b, k] = len(asked) - 1
            for first, last in query.runs:
                inside[b, k, first:last] = True
            if query.runs:
                bounds[b, k] = query.runs[0]
            stamps = [stamp for run in query.runs for stamp in run]
            points += [
                (b, k, s, closing[b][stamp]) for s, stamp in _pointing(len(asked), stamps, clip.widths)
            ]
    return {
        "questions": torch.from_numpy(ids),
        "question_positions": torch.from_numpy(where.reshape(3, -1, longest)),
        "targets": torch.from_numpy(targets),
        "asked": torch.from_numpy(asked_at),
        "inside": torch.from_numpy(inside),
        "bounds": torch.from_numpy(bounds),
        "points": torch.tensor(points, dtype=torch.long).view(-1, 4),
    }


def _pointing(asked: int, stamps: list[int], widths: list[int]) -> Iterator[tuple[int, int]]:
    """(question position, stamp index): the positions that write each of a stamp's tokens (three of an ETA stamp).

    An answer is From, blank, stamp, to, blank, stamp, then `,` and `from` for each further moment.
    """
    position = asked
    for i, stamp in enumerate(stamps):
        position += 1 if i == 0 or i % 2 == 1 else 2
        yield from ((position + n, stamp) for n in range(widths[stamp]))
        position += widths[stamp] + 1
