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
from torch.nn.utils.rnn import pad_sequence

from tempo_core.defaults import GroundingDefaults
from tempo_core.memory import CHARACTERS_PER_TOKEN, QUESTION_TOKENS, TOKENS_PER_STAMP
from tempo_core.positions import next_position
from tempo_core.protocols.base import Protocol
from tempo_core.protocols.tempo import PROTOCOL as TEMPO
from tempo_core.video import round_step_s
from train.config import SftConfig
from train.data.encoding import Encoded, Encoder
from train.data.examples import Example
from train.sft.targets import IGNORED, SoftEntries, Target, draw_target


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
    protocol: Protocol = TEMPO,
    devices: int = 1,
    packs_rows: bool = True,
) -> tuple[Plan, int]:
    """Every batch of a run for all devices, and the number of optimizer steps. Pure; the seed decides.

    `defaults` and `protocol` say about how many tokens a clip takes. Without `packs_rows` (the family cannot keep
    questions apart) every question has a row of its own.
    """
    if not packs_rows:
        config = replace(config, questions_per_row=1)
    batches_per_step = config.gradient_accumulation_steps * devices
    plan = _plan_epoch(examples, config, defaults, protocol, 0)
    steps = config.steps or max(1, round(config.epochs * len(plan) / batches_per_step))
    epoch = 0
    while len(plan) < steps * batches_per_step:
        epoch += 1
        plan += _plan_epoch(examples, config, defaults, protocol, epoch)
    return plan[: steps * batches_per_step], steps


def _plan_epoch(
    examples: Sequence[Example],
    config: SftConfig,
    defaults: GroundingDefaults,
    protocol: Protocol,
    epoch: int,
) -> Plan:
    """Each example once: packed by clip, packs of like length in a batch, batches in random order."""
    rng = np.random.default_rng([config.seed, epoch])

    # the clips' questions, in random order
    by_clip: dict[object, list[int]] = {}
    for idx in rng.permutation(len(examples)):
        example = examples[idx]
        by_clip.setdefault((example.content or example.video, example.window_s), []).append(int(idx))

    # pack: some questions about one clip share a row
    question_tokens = QUESTION_TOKENS + sum(map(len, protocol.turns)) // CHARACTERS_PER_TOKEN
    packs = []
    for clip_idx in by_clip.values():
        for start in range(0, len(clip_idx), config.questions_per_row):
            row_idx = tuple(clip_idx[start : start + config.questions_per_row])
            # about how many tokens the video takes
            duration_s = examples[row_idx[0]].duration_s
            if protocol.sampling is None:
                step_s = round_step_s(duration_s, defaults.max_frames, finest=defaults.finest_step_s)
                units = max(1, min(defaults.max_frames, int(duration_s / step_s)))
                budget = defaults.budget_for(units)
            else:
                units, budget = protocol.sampling.most_units(duration_s)
            stamp_tokens = 2 + TOKENS_PER_STAMP + len(protocol.stamp) // CHARACTERS_PER_TOKEN
            tokens = (config.token_budget or budget) + units * stamp_tokens + question_tokens * len(row_idx)
            packs.append(Pack(example_idx=row_idx, tokens=tokens))
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


def pack_row(questions: Sequence[Encoded], targets: Sequence[Target] | None = None) -> dict[str, Any]:
    """Questions about one clip in one row, and its video; no question sees another (see `mask_of`).

    ids, segments and labels are int64[L], weights float32[L], positions int64[L, 3]. segments: 0 for the context,
    1, 2, ... for the questions, each of which starts where the context ends. labels: the token that follows, within
    an answer; IGNORED elsewhere. weights: the example's, of its labels. soft: (column, token, share) of places with
    several right tokens. `targets` are the answers that are taught; None: the true ones, all edges hard.
    """
    targets = targets or [Target(ids=question.answer_ids) for question in questions]
    video = questions[0].video
    context = len(video.context_ids)
    ids, labels, weights = list(video.context_ids), [IGNORED] * context, [0.0] * context
    segments, positions, start = [0] * context, [video.positions], next_position(video.positions)
    soft = []
    for number, (question, target) in enumerate(zip(questions, targets, strict=True), start=1):
        # the answer's last token is only a label: nothing follows it
        segment_ids = [*question.question_ids, *target.ids[:-1]]
        length = len(segment_ids)
        ids += segment_ids
        labels += [*[IGNORED] * (len(question.question_ids) - 1), *target.ids]
        weights += [question.example.weight] * length
        segments += [number] * length
        positions.append(np.broadcast_to(start + np.arange(length), (3, length)))
        first = len(labels) - len(target.ids)
        soft += [
            (first + place, token, share)
            for place, shares in target.shares.items()
            for token, share in shares.items()
        ]
    return {
        "ids": torch.tensor(ids),
        "labels": torch.tensor(labels),
        "weights": torch.tensor(weights),
        "segments": torch.tensor(segments),
        "positions": torch.from_numpy(np.concatenate(positions, axis=1).T),
        "soft": soft,
        "video": video,
    }


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows as one batch: ids, labels, weights, segments [B, L], positions [3, B, L], the fields of SoftEntries,
    and the videos as they are.

    Segments are -1 on padding, which stands at the end.
    """
    fillers = {"ids": 0, "labels": IGNORED, "weights": 0.0, "segments": -1, "positions": 0}
    batch: dict[str, Any] = {
        name: pad_sequence([row[name] for row in rows], batch_first=True, padding_value=filler)
        for name, filler in fillers.items()
    }
    positions = batch["positions"].permute(2, 0, 1).contiguous()
    entries = [(number, *entry) for number, row in enumerate(rows) for entry in row["soft"]]
    places = torch.tensor([entry[:3] for entry in entries], dtype=torch.int64).reshape(-1, 3)
    row_idx, columns, tokens = places.T.contiguous()
    shares = torch.tensor([entry[3] for entry in entries], dtype=torch.float32)
    soft = SoftEntries(rows=row_idx, columns=columns, tokens=tokens, shares=shares)
    return batch | {"positions": positions, "soft": soft._asdict(), "videos": [row["video"] for row in rows]}


def make_batch(
    packs: Sequence[Pack], examples: Sequence[Example], encoder: Encoder, rng: np.random.Generator
) -> dict[str, Any]:
    """A planned batch, encoded; `rng` draws edges that have a band."""
    rows = []
    for pack in packs:
        questions = [encoder.encode(examples[idx]) for idx in pack.example_idx]
        rows.append(
            pack_row(questions, [draw_target(question, encoder.tokenizer, rng) for question in questions])
        )
    return collate(rows)


def mask_of(segments: Tensor) -> Tensor:
    """bool[B, 1, L, L]: a token sees what stands before it in the context and in its own question.

    Padding sees itself, so that no row of the softmax is empty.
    """
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    queries, keys = segments[:, :, None], segments[:, None, :]
    return (causal & ((keys == 0) | (keys == queries)))[:, None]
