"""One prompt, G completions, one row: log-probabilities of a whole group for the price of one prompt.

The row is prompt[:-1] and then, per completion, the prompt's last token and the completion without its last. Every
such suffix sees the prompt and itself only, and stands at the positions it would have alone, so that the official
Qwen2-VL forward gives what it gives for one row a completion (`plain_logprobs`, the twin; a test holds both equal).
Only positions where something was chosen get logits: under the answer grammar most tokens are forced.
Legend: P prompt tokens, L row tokens, N choices, K options of a choice, V vocabulary, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from tempo_core.vision import encode_frames
from train.data.encoding import Encoded, EncodedVideo

Options = tuple[int, ...] | None
"""Token ids that could have been said; one id: forced; None: the whole vocabulary but its pictures."""


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
    """N decisions: which of the options was taken."""

    options: Tensor | None
    """int64[N, K], padded with -1; None: the whole vocabulary but its pictures."""
    chosen: Tensor
    """int64[N]: column of `options`, or the token id."""

    def logprobs(self, logits: Tensor, temperature: float, pictures: Sequence[int]) -> Tensor:
        """float32[N] of logits [N, V], renormalised over the options at this temperature.

        `pictures` are the ids that stand for vision tokens: no answer may say them.
        """
        scaled = logits.float() / temperature
        if self.options is None:
            scaled = scaled.index_fill(-1, torch.tensor(pictures, device=logits.device), float("-inf"))
        else:
            scaled = scaled.gather(-1, self.options.clamp_min(0))
            scaled = scaled.masked_fill(self.options < 0, float("-inf"))
        return scaled.log_softmax(-1).gather(-1, self.chosen[:, None])[:, 0]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedRow:
    """A group as one row."""

    ids: Tensor
    """int64[1, L]."""
    positions: Tensor
    """int64[3, 1, L]."""
    mask: Tensor
    """bool[1, 1, L, L]: what each token may look at."""
    logit_positions: Tensor
    """int64[N]: the places whose logits decide."""
    completion_idx: Tensor
    """int64[N]: the completion that each choice belongs to, in order."""
    choices: Choices


def unwrapped(model: Any) -> Any:
    """The Qwen2VLForConditionalGeneration inside whatever wraps it (DDP, PEFT)."""
    inner = getattr(model, "module", model)
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def vision_token_ids(model: Any) -> tuple[int, int]:
    """The ids that stand for vision tokens, which a free answer must not say."""
    config = unwrapped(model).config
    return config.image_token_id, config.video_token_id


@torch.no_grad()
def encode_video(model: Any, video: EncodedVideo) -> Tensor:
    """The video's vision tokens [n, D], frames of equal size together; no gradient."""
    frames: Any = list(video.frames)
    return encode_frames(unwrapped(model), frames, video.allocation.sizes_px, video.normaliser)


def vision_inputs(
    model: Any, video: EncodedVideo, visual_tokens: Tensor | None, *, types: Tensor | None = None
) -> dict[str, Any]:
    """The forward's vision arguments: `visual_tokens` (frozen tower), or the pixels (None: trained tower)."""
    device = unwrapped(model).device
    if visual_tokens is not None:
        pictures: Any = (visual_tokens,)
        return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=pictures)}}
    return {
        "pixel_values": torch.from_numpy(video.pixel_values()).to(device),
        "image_grid_thw": torch.from_numpy(video.grids).to(device),
        "mm_token_type_ids": types,
    }


def pack(encoded: Encoded, completions: Sequence[Completion], device: Any = "cpu") -> PackedRow:
    """One row for all completions of an example's prompt."""
    prompt = encoded.prompt_ids
    own = encoded.positions(len(prompt))
    stem, ids, owners = len(prompt) - 1, [*prompt[:-1]], [np.full(len(prompt) - 1, -1)]
    positions, deciding, owner = [own[:, :-1]], [], []
    for number, completion in enumerate(completions):
        start, length = len(ids), len(completion.ids)
        ids += [prompt[-1], *completion.ids[:-1]]
        positions.append(own[:, -1:] + np.arange(length))
        owners.append(np.full(length, number))
        deciding += [start + step for step in completion.choices]
        owner += [number] * len(completion.choices)
    return PackedRow(
        ids=torch.tensor([ids], device=device),
        positions=torch.from_numpy(np.concatenate(positions, axis=1))[:, None].to(device),
        mask=_mask(torch.from_numpy(np.concatenate(owners)).to(device), stem),
        logit_positions=torch.tensor(deciding, dtype=torch.long, device=device),
        completion_idx=torch.tensor(owner, dtype=torch.long, device=device),
        choices=choices_of(completions, device),
    )


def choices_of(completions: Sequence[Completion], device: Any = "cpu") -> Choices:
    """Every choice of every completion, in order."""
    made = [(each.ids[step], each.options[step]) for each in completions for step in each.choices]
    if any(options is None for _, options in made):
        taken = torch.tensor([token for token, _ in made], dtype=torch.long, device=device)
        return Choices(options=None, chosen=taken)
    width = max((len(options or ()) for _, options in made), default=1)
    padded = np.full((len(made), width), -1, dtype=np.int64)
    for row, (_, options) in enumerate(made):
        padded[row, : len(options or ())] = np.array(options or ())
    columns = [(options or ()).index(token) for token, options in made]
    return Choices(
        options=torch.from_numpy(padded).to(device),
        chosen=torch.tensor(columns, dtype=torch.long, device=device),
    )


def group_logprobs(
    model: Any, encoded: Encoded, row: PackedRow, visual_tokens: Tensor | None, *, temperature: float = 1.0
) -> Tensor:
    """Log-probabilities float32[N] of the row's choices, by one official forward.

    `visual_tokens` are the vision tokens when the tower is frozen; None runs the tower, with gradients. The model must
    use sdpa attention: a boolean mask is silently wrong under eager.
    """
    types = (row.ids == unwrapped(model).config.image_token_id).int() if visual_tokens is None else None
    output = model(
        input_ids=row.ids,
        position_ids=row.positions,
        attention_mask={"full_attention": row.mask},
        use_cache=False,
        logits_to_keep=row.logit_positions,
        **vision_inputs(model, encoded.video, visual_tokens, types=types),
    )
    return row.choices.logprobs(output.logits[0], temperature, vision_token_ids(model))


def plain_logprobs(
    model: Any, encoded: Encoded, completions: Sequence[Completion], *, temperature: float = 1.0
) -> Tensor:
    """The twin: one row per completion, pixels and all, positions by the model itself. Slow; for tests."""
    base, found = unwrapped(model), []
    for completion in completions:
        ids = torch.tensor([[*encoded.prompt_ids, *completion.ids]], device=base.device)
        types = (ids == base.config.image_token_id).int()
        vision = vision_inputs(model, encoded.video, None, types=types)
        positions, _ = base.model.get_rope_index(ids, types, image_grid_thw=vision["image_grid_thw"])
        output = model(input_ids=ids, position_ids=positions, use_cache=False, **vision)
        start = len(encoded.prompt_ids) - 1
        logits = output.logits[0, [start + step for step in completion.choices]]
        choices = choices_of([completion], base.device)
        found.append(choices.logprobs(logits, temperature, vision_token_ids(model)))
    return torch.cat(found)


def _mask(owners: Tensor, stem: int) -> Tensor:
    """bool[1, 1, L, L]: earlier tokens of the stem (owner -1) and of the same completion."""
    causal = torch.ones(len(owners), len(owners), dtype=torch.bool, device=owners.device).tril()
    visible = (owners[None, :] == owners[:, None]) | (owners[None, :] < 0)
    return (causal & visible)[None, None]
