"""The fast twin of Qwen2-VL's forward pass, on the same weights: many equal frames at once, packed rows, chosen layers.

The model's own forward loops over images, duplicates each into two temporal slots and puts one question in a row. Here
frames of one size form a batch, the temporal slots are folded into the kernel, and all questions about a video share
one row. A test holds both equal.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.modeling_qwen2_vl import rotate_half

from tempo_core.families import family_of
from tempo_core.vision import PATCH_PX
from train.scratch.architecture import NORMALISER

# F frames of one size, N merged tokens of a frame (4 N patches); B videos of P context tokens, K questions of S tokens
# behind each; D hidden size, H heads of size d


@dataclass(slots=True)
class HiddenStates:
    """What one pass leaves behind; every list has one entry per layer."""

    context: list[Tensor]
    """[B, P, D] after each layer."""
    questions: list[Tensor]
    """[B, K, S, D] after each layer."""
    last: Tensor
    """[B, K, S, D] after the final norm: what the answer is read from."""
    pointing: dict[int, tuple[Tensor, Tensor]]
    """Layer -> (rotated queries [B, K, H, S, d] of the questions, rotated keys [B, H, P, d] of the context)."""


def see(model: Qwen2VLForConditionalGeneration, frames: Tensor) -> Tensor:
    """Visual tokens [F, N, D] of frames uint8[F, H, W, 3] of one size."""
    visual: Any = model.model.visual
    weight = visual.patch_embed.proj.weight.sum(2).flatten(1)  # both temporal slots hold the same picture
    grid = frames.shape[1] // PATCH_PX, frames.shape[2] // PATCH_PX
    return family_of(model).run_tower(visual, F.linear(to_patches(frames), weight), grid)


def to_patches(frames: Tensor) -> Tensor:
    """Normalised patches [F, 4 N, 588] in the order of the 2 x 2 merge, each as (channel, row, column)."""
    count, height, width = frames.shape[:3]
    mean, std = torch.tensor(NORMALISER.mean), torch.tensor(NORMALISER.std)
    pixels = (frames.float() / 255 - mean) / std
    rows, columns = height // (2 * PATCH_PX), width // (2 * PATCH_PX)
    cut = pixels.view(count, rows, 2, PATCH_PX, columns, 2, PATCH_PX, 3)
    return cut.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(count, rows * columns * 4, 3 * PATCH_PX * PATCH_PX)


def read(
    model: Qwen2VLForConditionalGeneration,
    context: Tensor,
    context_positions: Tensor,
    questions: Tensor,
    question_positions: Tensor,
    context_mask: Tensor,
    watch: tuple[int, ...] = (),
) -> HiddenStates:
    """Run the language model over contexts [B, P, D] with K questions behind each, [B, K, S, D].

    Positions are [3, B, P] and [3, B * K, S]; `context_mask` bool[B, P] is false on padding, which stands at the end.
    A question sees its context and itself, never another question; nothing is computed twice for the context.
    """
    language: Any = model.model.language_model
    videos, per_video = questions.shape[:2]
    context_rotary = language.rotary_emb(context, context_positions)
    question_rotary = language.rotary_emb(questions, question_positions)
    questions = questions.flatten(0, 1)
    states = HiddenStates(context=[], questions=[], last=questions, pointing={})
    for i, layer in enumerate(language.layers):
        q, k, v = _project(layer, context, context_rotary)
        question_q, question_k, question_v = _project(layer, questions, question_rotary)
        if i in watch:
            states.pointing[i] = (question_q.unflatten(0, (videos, per_video)), k)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        question_mixed = _attend_both(question_q, question_k, question_v, k, v, context_mask)
        context, questions = _finish(layer, context, mixed), _finish(layer, questions, question_mixed)
        states.context.append(context)
        states.questions.append(questions.unflatten(0, (videos, per_video)))
    states.last = language.norm(questions).unflatten(0, (videos, per_video))
    return states


def _project(layer: Any, x: Tensor, rotary: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated queries and keys and the values, [rows, H, L, d] each, keys and values repeated to all heads."""
    attention, normed = layer.self_attn, layer.input_layernorm(x)
    q, k, v = (
        project(normed).view(*x.shape[:2], -1, attention.head_dim).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    cos, sin = (part[:, None] for part in rotary)
    q, k = ((t * cos + rotate_half(t) * sin).to(t.dtype) for t in (q, k))
    k, v = (t.repeat_interleave(attention.num_key_value_groups, dim=1) for t in (k, v))
    return q, k, v


def _attend_both(
    q: Tensor, k: Tensor, v: Tensor, context_k: Tensor, context_v: Tensor, context_mask: Tensor
) -> Tensor:
    """Attention of questions [B * K, H, S, d] over their video's context [B, H, P, d] and causally over themselves.

    One softmax over both parts; the context is never repeated per question, which is why this beats a masked kernel.
    """
    videos, (total, heads, length, size) = len(context_k), q.shape
    per_video = total // videos
    side_by_side = q.view(videos, per_video, heads, length, size).transpose(1, 2)
    over_context = side_by_side.reshape(videos, heads, -1, size) @ context_k.transpose(-1, -2)
    over_context = over_context.masked_fill(~context_mask[:, None, None], float("-inf"))
    over_context = over_context.view(videos, heads, per_video, length, -1).transpose(1, 2).flatten(0, 1)
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    over_self = (q @ k.transpose(-1, -2)).masked_fill(later, float("-inf"))
    weights = (torch.cat([over_context, over_self], dim=-1).float() * size**-0.5).softmax(-1).to(v.dtype)
    of_context, of_self = weights.split([context_k.shape[2], length], dim=-1)
    of_context = of_context.reshape(videos, per_video, heads, length, -1).transpose(1, 2).flatten(2, 3)
    mixed = (of_context @ context_v).view(videos, heads, per_video, length, size)
    return mixed.transpose(1, 2).flatten(0, 1) + of_self @ v


def _finish(layer: Any, x: Tensor, mixed: Tensor) -> Tensor:
    x = x + layer.self_attn.o_proj(mixed.transpose(1, 2).reshape(*x.shape[:2], -1))
    return x + layer.mlp(layer.post_attention_layernorm(x))
