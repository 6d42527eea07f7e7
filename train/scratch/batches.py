"""Batches as pure functions of (recipe seed, step): still frames for the vision stage, packed videos for the rest.

Because batch i depends on nothing but its number, a run that was killed goes on with exactly the batches that are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tempo_core.allocation import TOKEN_PX, Allocation, allocate
from tempo_core.answers import answer_pieces
from tempo_core.positions import grid_sizes, mrope_positions, next_position
from tempo_core.protocols.base import IMAGE_PAD, VISION_END, special_id
from tempo_core.timestamps import format_stamps
from tempo_core.vision import resize_frame
from train.scratch.labels import ClipLabels, SceneLabels
from train.scratch.prompt import answer_ids, question_ids
from train.scratch.recipe import Mixture
from train.scratch.stamp_styles import styled_context, written
from train.shapeworld.queries import Query, QueryMix, sample_queries
from train.shapeworld.render import render
from train.shapeworld.scene import TIERS, sample_scene, sample_still

IGNORED = -100
UNKNOWN_ONLY = QueryMix(irrelevant=1.0, negatives=(0.0, 0.0, 1.0, 0.0))
"""For a clip about which nothing else can be asked."""


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
    question_end: Tensor
    """int64[B, K]: index of the question's last token, from which the answer is decided."""
    inside: Tensor
    """bool[B, K, T]: frames that lie in a moment."""
    bounds: Tensor
    """int64[B, K, 2]: first moment's start frame and end stamp index, IGNORED for irrelevant questions."""
    points: Tensor
    """int64[M, 4]: (b, k, question position, context position) where attention should point."""
    world: str = "shapeworld"
    """Whose labels these are."""


def still_frames(step: int, *, seed: int, count: int, rich_share: float) -> list[Frames]:
    """A batch for the vision stage: single pictures crowded with things, all of one size per group."""
    rng = np.random.default_rng([seed, 1, step])
    shares = {(56, 56): 0.42, (112, 112): 0.2, (84, 84): 0.24, (28, 28): 0.04, (56, 84): 0.1}
    groups = []
    for size, share in shares.items():
        pictures = []
        for _ in range(max(1, round(count * share))):
            tier = TIERS["rich" if rng.random() < rich_share else "plain"]
            aspect = (1, 1) if size[0] == size[1] else (3, 4)
            scene = sample_still(int(rng.integers(2**31)), tier, aspect=aspect)
            pictures.append((SceneLabels(scene), 0, render(scene, short_side_px=112)[0]))
        groups.append(frames_with_labels(pictures, size))
    return groups


def frames_with_labels(
    pictures: Sequence[tuple[ClipLabels, int, np.ndarray]], size: tuple[int, int]
) -> Frames:
    """Pictures (their clip's labels, tick, uint8[H, W, 3]) at one size (height, width)."""
    rows, columns = size[0] // TOKEN_PX, size[1] // TOKEN_PX
    looks = [labels.cells(tick, rows, columns) for labels, tick, _ in pictures]
    surroundings = [labels.surroundings()[tick] for labels, tick, _ in pictures]
    readable = [labels.readable()[tick] for labels, tick, _ in pictures]
    return Frames(
        pixels=torch.from_numpy(np.stack([resize_frame(picture, size) for _, _, picture in pictures])),
        looks=torch.from_numpy(np.stack(looks)),
        surroundings=torch.from_numpy(np.stack(surroundings)),
        readable=torch.from_numpy(np.stack(readable)),
    )


@dataclass(slots=True)
class Clip:
    """A clip with its questions, as token ids."""

    labels: ClipLabels
    frames: np.ndarray
    allocation: Allocation
    stamps: list[str]
    stamp_tokens: list[int]
    """Number of tokens of each stamp as the answer writes it."""
    context: list[int]
    questions: list[tuple[Query, list[int], list[int]]]
    """Query, its token ids and its answer's."""


def stamps_of(rng: np.random.Generator, mixture: Mixture, step_s: float, ticks: int) -> list[str]:
    """The stamps of frames a beat apart; sometimes at an odd rate, or with a last frame that is cut short."""
    step_s = mixture.beat_s or step_s
    if rng.random() >= 1 - mixture.odd_clocks:
        step_s = float(rng.choice([0.5, 0.8, 1.5, 2.5, 3.0, rng.uniform(0.4, 4.0)]))
    times_s = [i * step_s for i in range(ticks)]
    last = 1.0 if rng.random() < 1 - mixture.odd_clocks else float(rng.uniform(0.3, 1.0))
    return format_stamps(times_s, times_s[-1] + step_s * last)


def make_clip(
    tokenizer: PreTrainedTokenizerBase,
    mixture: Mixture,
    clip_labels: ClipLabels,
    frames: np.ndarray,
    allocation: Allocation,
    stamps: list[str],
    queries: Sequence[Query],
) -> Clip:
    """A clip in token ids, with `mixture.questions` questions; one is asked again where there are fewer."""
    answer_stamps = written(stamps, mixture.stamps)
    questions = []
    for query in queries:
        question = question_ids(tokenizer, query.text)
        answer = answer_ids(tokenizer, answer_pieces(query.runs, answer_stamps))
        if len(question) + len(answer) <= mixture.longest_question:
            questions.append((query, question, answer))
    return Clip(
        labels=clip_labels,
        frames=frames,
        allocation=allocation,
        stamps=stamps,
        stamp_tokens=[len(ids) for ids in tokenizer(answer_stamps, add_special_tokens=False)["input_ids"]],
        context=styled_context(tokenizer, stamps, allocation.tokens.tolist(), mixture.stamps),
        questions=[questions[i % len(questions)] for i in range(mixture.questions)],
    )


def videos(step: int, *, seed: int, mixture: Mixture, tokenizer: PreTrainedTokenizerBase) -> Videos:
    """B videos of one length, aspect and token budget, with K questions each."""
    rng = np.random.default_rng([seed, 2, step])
    draw = rng.random()
    sparse = draw < mixture.rich_share + mixture.sparse_share
    tier = TIERS["rich" if draw < mixture.rich_share else "sparse" if sparse else "plain"]
    ticks = int(rng.integers(mixture.ticks[0], mixture.ticks[1] + 1))
    aspect = tier.aspects[int(rng.integers(len(tier.aspects)))]
    tokens_per_frame, min_tokens = mixture.tokens_per_frame, mixture.min_tokens
    if rng.random() < mixture.other_budgets:
        tokens_per_frame, min_tokens = rng.uniform(3.0, 10.0), 1
    names, shares = zip(*mixture.allocators, strict=True)
    allocator = names[int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))]
    seeds = [int(rng.integers(2**31)) for _ in range(mixture.videos)]
    scenes = [
        sample_scene(
            seed, tier, ticks=ticks, aspect=aspect, motion=mixture.motion, wall_chances=mixture.wall_chances
        )
        for seed in seeds
    ]
    clips = []
    for scene in scenes:
        frames = render(scene, short_side_px=112)
        allocation = allocate(
            frames,
            budget_tokens=round(ticks * tokens_per_frame),
            min_tokens=min_tokens,
            max_tokens=mixture.max_tokens,
            allocator=allocator,
            seed=scene.seed,
        )
        stamps = stamps_of(rng, mixture, scene.step_s, scene.ticks)

        # A fifth of the clips is asked about what it does not show in half of the questions.
        mix = mixture.query_mix
        if rng.random() >= 0.8 and mix.irrelevant > 0:
            mix = replace(mix, irrelevant=0.5)
        other_scenes = [other for other in scenes if other is not scene]
        queries = sample_queries(rng, scene, mixture.questions + 2, mix, other_scenes)
        if not queries:
            queries = sample_queries(rng, scene, 2, UNKNOWN_ONLY, [])
        clip = make_clip(tokenizer, mixture, SceneLabels(scene), frames, allocation, stamps, queries)
        clips.append(clip)
    return pack(clips, tokenizer)


def pack(clips: list[Clip], tokenizer: PreTrainedTokenizerBase, *, world: str = "shapeworld") -> Videos:
    """Clips of one length and one number of questions as tensors."""
    image_pad = special_id(tokenizer, IMAGE_PAD)
    vision_end = special_id(tokenizer, VISION_END)
    longest = max(len(clip.context) for clip in clips)
    context = np.full((len(clips), longest), tokenizer.pad_token_id)
    positions = np.zeros((3, len(clips), longest), dtype=np.int64)
    closing = []
    for b, clip in enumerate(clips):
        ids, grids = np.array(clip.context), grid_sizes(clip.allocation.sizes_px)
        context[b, : len(ids)] = ids
        positions[:, b, : len(ids)] = mrope_positions(clip.context, grids, image_token_id=image_pad)
        closing.append([*np.flatnonzero(ids == vision_end), len(ids) - 1])

    # the questions behind each context
    shape = (len(clips), len(clips[0].questions))
    longest_question = max(
        len(question) + len(answer) - 1 for clip in clips for _, question, answer in clip.questions
    )
    questions = np.zeros((*shape, longest_question), dtype=np.int64)
    targets = np.full((*shape, longest_question), IGNORED)
    question_positions = np.zeros((3, *shape, longest_question), dtype=np.int64)
    question_end = np.zeros(shape, dtype=np.int64)
    inside = np.zeros((*shape, len(clips[0].frames)), dtype=bool)
    bounds = np.full((*shape, 2), IGNORED)
    points: list[tuple[int, int, int, int]] = []
    for b, clip in enumerate(clips):
        start = next_position(positions[:, b, : len(clip.context)])
        question_positions[:, b] = start + np.arange(longest_question)
        for k, (query, question, answer) in enumerate(clip.questions):
            whole = [*question, *answer]
            questions[b, k, : len(whole) - 1] = whole[:-1]
            targets[b, k, len(question) - 1 : len(whole) - 1] = answer
            question_end[b, k] = len(question) - 1
            for first, last in query.runs:
                inside[b, k, first:last] = True
            if query.runs:
                bounds[b, k] = query.runs[0]
            # The positions that write a stamp's tokens (three of an ETA stamp) should look at its frame. An answer
            # is From, blank, stamp, to, blank, stamp, then `,` and `from` for each further moment.
            position = len(question)
            for i, stamp in enumerate(stamp for run in query.runs for stamp in run):
                position += 1 if i == 0 or i % 2 == 1 else 2
                points += [(b, k, position + n, closing[b][stamp]) for n in range(clip.stamp_tokens[stamp])]
                position += clip.stamp_tokens[stamp] + 1

    frames, image_order = _group_frames(clips)
    digits = [tokenizer(clip.stamps, add_special_tokens=False)["input_ids"] for clip in clips]
    return Videos(
        frames=frames,
        image_order=torch.from_numpy(image_order),
        context=torch.from_numpy(context),
        context_mask=torch.from_numpy(np.arange(longest) < np.array([[len(c.context)] for c in clips])),
        context_positions=torch.from_numpy(positions),
        closing=torch.tensor(np.array(closing)),
        stamp_digits=torch.tensor(digits),
        facts=torch.from_numpy(np.stack([clip.labels.facts() for clip in clips])),
        questions=torch.from_numpy(questions),
        question_positions=torch.from_numpy(question_positions.reshape(3, -1, longest_question)),
        targets=torch.from_numpy(targets),
        question_end=torch.from_numpy(question_end),
        inside=torch.from_numpy(inside),
        bounds=torch.from_numpy(bounds),
        points=torch.tensor(points, dtype=torch.long).view(-1, 4),
        world=world,
    )


def _group_frames(clips: list[Clip]) -> tuple[list[Frames], np.ndarray]:
    """All frames by size, and where each placeholder finds its token in the concatenation of the groups."""
    members: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for b, clip in enumerate(clips):
        for t, size in enumerate(clip.allocation.sizes_px):
            members.setdefault((int(size[0]), int(size[1])), []).append((b, t))
    frames, first_token = [], {}
    token_count = 0
    for (height, width), places in members.items():
        pictures = [(clips[b].labels, t, clips[b].frames[t]) for b, t in places]
        frames.append(frames_with_labels(pictures, (height, width)))
        for place in places:
            first_token[place] = token_count
            token_count += (height // TOKEN_PX) * (width // TOKEN_PX)
    order = [
        np.arange(first_token[b, t], first_token[b, t] + int(tokens))
        for b, clip in enumerate(clips)
        for t, tokens in enumerate(clip.allocation.tokens)
    ]
    return frames, np.concatenate(order)
