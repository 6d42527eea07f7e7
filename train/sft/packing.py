"""Rows of supervised training: several questions behind one clip, rows of like length together, all from seeds.

The whole run is planned before it starts: batch i is the same whenever it is asked for, so a stopped run goes on
where it was, and devices share the plan by taking turns. Legend: B rows, L tokens of the longest row, T frames.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
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

IGNORED = -100
QUESTION_TOKENS = 40
"""Tokens of a question and its answer, for planning; the true number is known once it is encoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pack:
    """Questions about one clip that share a row: places in the list of examples."""

    places: tuple[int, ...]
    tokens: int
    """About how long the row is."""


Plan = list[tuple[Pack, ...]]
"""Batch by batch."""


def plan_batches(
    examples: Sequence[Example], config: SftConfig, defaults: GroundingDefaults, *, devices: int = 1
) -> tuple[Plan, int]:
    """Every batch of a run for all devices, and the number of optimizer steps. Pure; the seed decides."""
    a_step = config.gradient_accumulation_steps * devices
    first = _epoch(examples, config, defaults, 0)
    steps = config.steps or max(1, round(config.epochs * len(first) / a_step))
    plan, epoch = list(first), 0
    while len(plan) < steps * a_step:
        epoch += 1
        plan += _epoch(examples, config, defaults, epoch)
    return plan[: steps * a_step], steps


def _epoch(examples: Sequence[Example], config: SftConfig, defaults: GroundingDefaults, epoch: int) -> Plan:
    """Each example once: packed by clip, packs of like length in a batch, batches in random order."""
    rng = np.random.default_rng([config.seed, epoch])
    by_clip: dict[object, list[int]] = {}
    for place in rng.permutation(len(examples)):
        by_clip.setdefault(examples[place].content or examples[place].video, []).append(int(place))
    packs = [
        Pack(
            places=tuple(part),
            tokens=_context_tokens(examples[part[0]], config, defaults) + QUESTION_TOKENS * len(part),
        )
        for places in by_clip.values()
        for part in (
            places[at : at + config.questions_per_row]
            for at in range(0, len(places), config.questions_per_row)
        )
    ]
    order = [packs[idx] for idx in rng.permutation(len(packs))]
    batches: Plan = []
    window = (
        8 * config.per_device_train_batch_size
    )  # sorted by length within it: little padding, and still mixed
    for at in range(0, len(order), window):
        batches += _filled(sorted(order[at : at + window], key=lambda pack: -pack.tokens), config)
    return [batches[idx] for idx in rng.permutation(len(batches))]


def _filled(packs: Sequence[Pack], config: SftConfig) -> Plan:
    batches: list[list[Pack]] = []
    for pack in packs:  # longest first: a batch is as wide as its first row
        open_batch = batches[-1] if batches else None
        if (
            open_batch is None
            or len(open_batch) == config.per_device_train_batch_size
            or (len(open_batch) + 1) * open_batch[0].tokens > config.batch_tokens
        ):
            batches.append([pack])
        else:
            open_batch.append(pack)
    return [tuple(batch) for batch in batches]


def _context_tokens(example: Example, config: SftConfig, defaults: GroundingDefaults) -> int:
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


def pack_row(encoded: Sequence[Encoded]) -> PackedRow:
    """Questions about one clip in one row; no question sees another (see `Batch.mask`)."""
    video = encoded[0].video
    context = len(video.context_ids)
    ids, labels, weights = list(video.context_ids), [IGNORED] * context, [0.0] * context
    segments, positions, start = [0] * context, [video.positions], next_position(video.positions)
    for number, each in enumerate(encoded, start=1):
        mine = [*each.question_ids, *each.answer_ids[:-1]]
        silent = len(each.question_ids) - 1
        ids += mine
        labels += [*[IGNORED] * silent, *each.answer_ids]
        weights += [each.example.weight] * len(mine)
        segments += [number] * len(mine)
        positions.append(np.broadcast_to(start + np.arange(len(mine)), (3, len(mine))))
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

    def padded(values: Sequence[Sequence[float]], filler: float, kind: torch.dtype) -> Tensor:
        return torch.tensor([[*each, *[filler] * (length - len(each))] for each in values], dtype=kind)

    positions = np.zeros((3, len(rows), length), dtype=np.int64)
    for place, row in enumerate(rows):
        positions[:, place, : len(row.ids)] = row.positions
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
    mine, theirs = segments[:, :, None], segments[:, None, :]
    return (causal & ((theirs == 0) | (theirs == mine)))[:, None]


class Batches(torch.utils.data.Dataset[dict[str, Any]]):
    """The planned batches; the next ones are decoded ahead in threads."""

    def __init__(self, plan: Plan, examples: Sequence[Example], encoder: Encoder, *, ahead: int = 2) -> None:
        self._plan, self._examples, self._encoder, self._ahead = plan, examples, encoder, ahead
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tempo-decode")
        self._coming: dict[int, Future[dict[str, Any]]] = {}

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, place: int) -> dict[str, Any]:
        for coming in range(place, min(place + 1 + self._ahead, len(self._plan))):
            if coming not in self._coming:
                self._coming[coming] = self._pool.submit(self._make, coming)
        for passed in [each for each in self._coming if each < place]:
            self._coming.pop(passed).cancel()
        return self._coming.pop(place).result()

    def _make(self, place: int) -> dict[str, Any]:
        return collate(
            [
                pack_row([self._encoder.encode(self._examples[at]) for at in pack.places])
                for pack in self._plan[place]
            ]
        )

    def close(self) -> None:
        """Stop decoding ahead."""
        self._pool.shutdown(wait=True, cancel_futures=True)
