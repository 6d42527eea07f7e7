"""Rows of supervised training: several questions behind one clip, rows of like length together, all from seeds.

The whole run is planned before it starts: batch i is the same whenever it is asked for, so a stopped run goes on
where it was, and devices share the plan by taking turns.
Legend: B rows, L tokens of the longest row, T frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tempo_core.defaults import GroundingDefaults
from tempo_core.memory import TOKENS_PER_STAMP
from tempo_core.prompt import next_position
from tempo_core.video import round_step_s
from train.data.encoding import Encoded, EncodedVideo, Encoder
from train.data.examples import Example
from train.sft.config import SftConfig
from train.trainer import PrefetchedDataset

IGNORED = -100
QUESTION_TOKENS = 40
"""Tokens of a question and its answer, for planning; the true number is known once it is encoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pack:
    """Questions about one clip that share a row."""

    example_idx: tuple[int, ...]
    """Where they stand in the list of examples."""
    tokens: int
    """About how long the row is."""


Plan = list[tuple[Pack, ...]]
"""Batch by batch."""


def plan_batches(
    examples: Sequence[Example],
    config: SftConfig,
    defaults: GroundingDefaults,
    *,
    devices: int = 1,
    packs_rows: bool = True,
) -> tuple[Plan, int]:
    """Every batch of a run for all devices, and the number of optimizer steps. Pure; the seed decides.

    Without `packs_rows` (the family cannot keep questions apart) every question has a row of its own.
    """
    if not packs_rows:
        config = replace(config, questions_per_row=1)
    batches_per_step = config.gradient_accumulation_steps * devices
    plan = _plan_epoch(examples, config, defaults, 0)
    steps = config.steps or max(1, round(config.epochs * len(plan) / batches_per_step))
    epoch = 0
    while len(plan) < steps * batches_per_step:
        epoch += 1
        plan += _plan_epoch(examples, config, defaults, epoch)
    return plan[: steps * batches_per_step], steps


def _plan_epoch(
    examples: Sequence[Example], config: SftConfig, defaults: GroundingDefaults, epoch: int
) -> Plan:
    """Each example once: packed by clip, packs of like length in a batch, batches in random order."""
    rng = np.random.default_rng([config.seed, epoch])

    # the clips' questions, in random order
    by_clip: dict[object, list[int]] = {}
    for idx in rng.permutation(len(examples)):
        by_clip.setdefault(examples[idx].content or examples[idx].video, []).append(int(idx))

    # pack: some questions about one clip share a row
    packs = []
    for clip_idx in by_clip.values():
        for start in range(0, len(clip_idx), config.questions_per_row):
            row_idx = tuple(clip_idx[start : start + config.questions_per_row])
            context_tokens = _context_tokens(examples[row_idx[0]], config, defaults)
            packs.append(Pack(example_idx=row_idx, tokens=context_tokens + QUESTION_TOKENS * len(row_idx)))
    packs = [packs[idx] for idx in rng.permutation(len(packs))]

    # batch: within a window of eight batches sorted by length, so that there is little padding and still a mix
    batches: list[list[Pack]] = []
    batch_size = config.per_device_train_batch_size
    for start in range(0, len(packs), 8 * batch_size):
        batch: list[Pack] = []
        # longest first: a batch is as wide as its first row
        for pack in sorted(packs[start : start + 8 * batch_size], key=lambda pack: -pack.tokens):
            too_wide = batch and (len(batch) + 1) * batch[0].tokens > config.batch_tokens
            if not batch or len(batch) == batch_size or too_wide:
                batch = []
                batches.append(batch)
            batch.append(pack)
    return [tuple(batches[idx]) for idx in rng.permutation(len(batches))]


def _context_tokens(example: Example, config: SftConfig, defaults: GroundingDefaults) -> int:
    """About how many tokens the example's video takes."""
    step_s = round_step_s(example.duration_s, defaults.max_frames, finest=defaults.finest_step_s)
    frames = max(1, min(defaults.max_frames, int(example.duration_s / step_s)))
    budget = config.token_budget or defaults.budget_for(frames)
    return budget + frames * (TOKENS_PER_STAMP + 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedRow:
    """One clip's context and the questions behind it, as ids."""

    video: EncodedVideo
    ids: list[int]
    positions: np.ndarray
    """int64[3, L]: every question starts where the context ends."""
    segments: list[int]
    """int[L]: 0 for the context, 1, 2, ... for the questions."""
    labels: list[int]
    """The token that follows, within an answer; IGNORED elsewhere."""
    weights: list[float]
    """Of the labels: the example's."""


def pack_row(questions: Sequence[Encoded]) -> PackedRow:
    """Questions about one clip in one row; no question sees another (see `mask_of`)."""
    video = questions[0].video
    context = len(video.context_ids)
    ids, labels, weights = list(video.context_ids), [IGNORED] * context, [0.0] * context
    segments, positions, start = [0] * context, [video.positions], next_position(video.positions)
    for number, question in enumerate(questions, start=1):
        # the answer's last token is only a label: nothing follows it
        segment_ids = [*question.question_ids, *question.answer_ids[:-1]]
        length = len(segment_ids)
        ids += segment_ids
        labels += [*[IGNORED] * (len(question.question_ids) - 1), *question.answer_ids]
        weights += [question.example.weight] * length
        segments += [number] * length
        positions.append(np.broadcast_to(start + np.arange(length), (3, length)))
    return PackedRow(
        video=video,
        ids=ids,
        positions=np.concatenate(positions, axis=1),
        segments=segments,
        labels=labels,
        weights=weights,
    )


def collate(rows: Sequence[PackedRow]) -> dict[str, Any]:
    """Rows as one batch: ids, labels, weights, segments [B, L], positions [3, B, L], and the videos as they are.

    Segments are -1 on padding, which stands at the end.
    """
    length = max(len(row.ids) for row in rows)

    def padded(values: Sequence[Sequence[float]], filler: float, dtype: torch.dtype) -> Tensor:
        return torch.tensor([[*row, *[filler] * (length - len(row))] for row in values], dtype=dtype)

    positions = np.zeros((3, len(rows), length), dtype=np.int64)
    for idx, row in enumerate(rows):
        positions[:, idx, : len(row.ids)] = row.positions
    return {
        "ids": padded([row.ids for row in rows], 0, torch.long),
        "labels": padded([row.labels for row in rows], IGNORED, torch.long),
        "weights": padded([row.weights for row in rows], 0.0, torch.float32),
        "segments": padded([row.segments for row in rows], -1, torch.long),
        "positions": torch.from_numpy(positions),
        "videos": [row.video for row in rows],
    }


def mask_of(segments: Tensor) -> Tensor:
    """bool[B, 1, L, L]: a token sees what stands before it in the context and in its own question.

    Padding sees itself, so that no row of the softmax is empty.
    """
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    queries, keys = segments[:, :, None], segments[:, None, :]
    return (causal & ((keys == 0) | (keys == queries)))[:, None]


class Batches(PrefetchedDataset):
    """The planned batches."""

    def __init__(self, plan: Plan, examples: Sequence[Example], encoder: Encoder) -> None:
        super().__init__(len(plan))
        self._plan, self._examples, self._encoder = plan, examples, encoder

    def make(self, idx: int) -> dict[str, Any]:
        rows = [
            [self._encoder.encode(self._examples[i]) for i in pack.example_idx] for pack in self._plan[idx]
        ]
        return collate([pack_row(row) for row in rows])
