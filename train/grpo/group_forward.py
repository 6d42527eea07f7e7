"""One prompt, G completions, one row: log-probabilities of a whole group for the price of one prompt.

The row is prompt[:-1] and then, per completion, the prompt's last token and the completion without its last. Every
such suffix sees the prompt and itself only, and stands at the positions it would have alone, so that the official
forward gives what it gives for one row a completion (a test holds both equal).
Only positions where something was chosen get logits: under the answer grammar most tokens are forced.
Legend: P prompt tokens, L row tokens, N choices, K options of a choice, V vocabulary, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from tempo_core.families import family_of
from train.data.encoding import Encoded
from train.trainer import unwrapped

Options = tuple[int, ...] | None
"""Token ids that could have been said; one id: forced; None: the whole vocabulary but its vision tokens."""


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer as it was written, with what else could have been written at every step."""

    ids: tuple[int, ...]
    options: tuple[Options, ...]

    @property
    def choices(self) -> list[int]:
        """The steps at which something was chosen."""
        return [step for step, options in enumerate(self.options) if options is None or len(options) > 1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """N decisions: which of the options was chosen."""

    options: Tensor | None
    """int64[N, K], padded with -1; None: the whole vocabulary but its vision tokens."""
    chosen: Tensor
    """int64[N]: column of `options`, or the token id."""

    @classmethod
    def of(cls, completions: Sequence[Completion], device: Any = "cpu") -> "Choices":
        """Every choice of every completion, in order."""
        steps = [
            (completion.ids[step], completion.options[step])
            for completion in completions
            for step in completion.choices
        ]
        if any(options is None for _, options in steps):
            chosen = torch.tensor([token for token, _ in steps], dtype=torch.long, device=device)
            return cls(options=None, chosen=chosen)
        width = max((len(options or ()) for _, options in steps), default=1)
        padded = [[*(options or ()), *[-1] * (width - len(options or ()))] for _, options in steps]
        columns = [(options or ()).index(token) for token, options in steps]
        return cls(
            options=torch.tensor(padded, dtype=torch.long, device=device).view(len(steps), width),
            chosen=torch.tensor(columns, dtype=torch.long, device=device),
        )

    def logprobs(self, logits: Tensor, temperature: float, vision_ids: Sequence[int]) -> Tensor:
        """float32[N] of logits [N, V], renormalised over the options at this temperature.

        `vision_ids` stand for vision tokens: no answer may say them.
        """
        scaled = logits.float() / temperature
        if self.options is None:
            scaled = scaled.index_fill(-1, torch.tensor(vision_ids, device=logits.device), float("-inf"))
        else:
            scaled = scaled.gather(-1, self.options.clamp_min(0))
            scaled = scaled.masked_fill(self.options < 0, float("-inf"))
        return scaled.log_softmax(-1).gather(-1, self.chosen[:, None])[:, 0]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedRow:
    """A group as one row, or as one row a completion where a family cannot keep completions apart (B rows)."""

    modality: Literal["image", "video"]
    """Which of the model's placeholders stand for the visual tokens."""
    ids: Tensor
    """int64[B, L], padded with 0 at the end."""
    positions: Tensor
    """int64[3, B, L]."""
    mask: Tensor | None
    """bool[1, 1, L, L]: what each token may look at; None: everything before it in its row."""
    logit_positions: Tensor
    """int64[C]: the columns whose logits decide."""
    choice_rows: Tensor
    """int64[N]: row of each choice."""
    choice_columns: Tensor
    """int64[N]: and where its column stands in `logit_positions`."""
    completion_idx: Tensor
    """int64[N]: the completion that each choice belongs to, in order."""
    choices: Choices


def pack(
    encoded: Encoded, completions: Sequence[Completion], device: Any = "cpu", *, one_row: bool = True
) -> PackedRow:
    """One row for all completions of an example's prompt; without `one_row`, one for each (see `Family.packs_rows`)."""
    prompt = encoded.prompt_ids
    prompt_positions = encoded.positions(len(prompt))
    choices = Choices.of(completions, device)
    completion_idx = [idx for idx, completion in enumerate(completions) for _ in completion.choices]
    if not one_row:
        rows = [[*prompt, *completion.ids[:-1]] for completion in completions]
        length = max(map(len, rows))
        columns = [len(prompt) - 1 + step for completion in completions for step in completion.choices]
        logit_positions, choice_columns = np.unique(columns, return_inverse=True)
        positions = np.repeat(encoded.positions(length)[:, None], len(rows), axis=1)
        return PackedRow(
            modality=encoded.video.modality,
            ids=torch.tensor([[*row, *[0] * (length - len(row))] for row in rows], device=device),
            positions=torch.from_numpy(positions).to(device),
            mask=None,
            logit_positions=torch.from_numpy(logit_positions).long().to(device),
            choice_rows=torch.tensor(completion_idx, dtype=torch.long, device=device),
            choice_columns=torch.from_numpy(choice_columns).long().to(device),
            completion_idx=torch.tensor(completion_idx, dtype=torch.long, device=device),
            choices=choices,
        )

    ids, position_parts = prompt[:-1], [prompt_positions[:, :-1]]
    owners = [-1] * len(ids)  # -1: the prompt
    columns = list[int]()
    for idx, completion in enumerate(completions):
        start, length = len(ids), len(completion.ids)
        ids += [prompt[-1], *completion.ids[:-1]]
        position_parts.append(prompt_positions[:, -1:] + np.arange(length))
        owners += [idx] * length
        columns += [start + step for step in completion.choices]

    # a token sees what stands before it in the prompt and in its own completion
    owner = torch.tensor(owners, device=device)
    causal = torch.ones(len(ids), len(ids), dtype=torch.bool, device=device).tril()
    visible = (owner[None, :] == owner[:, None]) | (owner[None, :] < 0)
    return PackedRow(
        modality=encoded.video.modality,
        ids=torch.tensor([ids], device=device),
        positions=torch.from_numpy(np.concatenate(position_parts, axis=1))[:, None].to(device),
        mask=(causal & visible)[None, None],
        logit_positions=torch.tensor(columns, dtype=torch.long, device=device),
        choice_rows=torch.zeros(len(columns), dtype=torch.long, device=device),
        choice_columns=torch.arange(len(columns), device=device),
        completion_idx=torch.tensor(completion_idx, dtype=torch.long, device=device),
        choices=choices,
    )


def vision_token_ids(model: Any) -> tuple[int, int]:
    """The ids that stand for vision tokens, which a free answer must not say."""
    config = unwrapped(model).config
    return config.image_token_id, config.video_token_id


def group_logprobs(model: Any, row: PackedRow, visual_tokens: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Log-probabilities float32[N] of the row's choices behind a video's `visual_tokens`, by one official forward.

    The model must use sdpa attention: a boolean mask is silently wrong under eager.
    """
    base = unwrapped(model)
    family, width = family_of(base), base.config.get_text_config().hidden_size
    if len(row.ids) > 1:  # every row has the video before it
        visual_tokens = visual_tokens.repeat(len(row.ids), 1)
    output = model(
        input_ids=row.ids,
        position_ids=row.positions,
        attention_mask=None if row.mask is None else family.attention_mask(row.mask),
        use_cache=False,
        logits_to_keep=row.logit_positions,
        mm_encoder_outputs={row.modality: family.encoder_outputs(visual_tokens, width)},
    )
    logits = output.logits[row.choice_rows, row.choice_columns]
    return row.choices.logprobs(logits, temperature, vision_token_ids(model))
