"""What a family of models tells the engine, the memory plan and the trainers, with what the Qwen families share.

All of them cut frames into patches, merge 2 x 2 patches into a visual token, and look at two frames at a time; a
still image is two equal frames. A *unit* is what becomes one grid of visual tokens: a still image, or a group of two
frames.
Legend: U units of one size, P patches of a unit, D width of the tower, W width of the language model, N visual tokens,
K features of a token besides itself (deepstack; 0 in most families).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tempo_core.vision import MERGE, Normaliser

Windows = Sequence[Tensor]
"""Patch indices int64[number, length] of windows of equal length; together they hold every patch once."""


class Family:
    """One architecture. Subclasses state its facts; the registry holds one instance of each."""

    model_type: str
    """As in config.json."""
    title: str
    """As its makers write it."""
    class_name: str
    """transformers' model class, with language model head."""
    normaliser = Normaliser()
    """How pixels are prepared where the checkpoint does not say; `patch_px` is the family's."""
    unquantised: tuple[str, ...] = ("model.visual", "lm_head")
    """Modules that stay whole in NF4: names from the model down, or the end of a name. A list of one's own replaces
    bitsandbytes' default, so lm_head must be in it."""
    packs_rows = True
    """Whether several continuations may share a row behind one prompt, kept apart by an attention mask."""
    published: ClassVar[Mapping[str, dict[str, Any]]] = {}
    """Configurations of published checkpoints, by the last part of their hub names."""

    @property
    def model_class(self) -> Any:
        """The transformers class."""
        import transformers

        return getattr(transformers, self.class_name)

    @property
    def config_class(self) -> Any:
        """The class of its configuration."""
        return self.model_class.config_class

    def published_config(self, name: str) -> Any:
        """The configuration of a published checkpoint, without the hub."""
        return self.config_class(**self.published[name])

    # --- vision

    def run_tower(self, visual: Any, hidden: Tensor, grid: tuple[int, int]) -> Tensor:
        """Embedded patches [U, P, D] of units of one size through the vision tower: [U, P / 4, (1 + K) W].

        `grid` is (rows, columns) of patches, which come in the order of the 2 x 2 merging. Equal to the model's own
        `get_image_features`, which visits units one by one. The K deepstack features stand behind each token.
        """
        return run_blocks(visual, hidden, grid)

    def features(self, output: Any) -> Tensor:
        """The same layout [N, (1 + K) W] from what `get_image_features` or `get_video_features` returns."""
        return torch.cat(list(output.pooler_output))

    def encoder_outputs(self, visual_tokens: Tensor, width: int) -> Any:
        """`visual_tokens` [N, (1 + K) W] as the model's `mm_encoder_outputs` wants them for one modality; `width` is
        W."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        outputs: Any = (visual_tokens,)
        return BaseModelOutputWithPooling(pooler_output=outputs)

    # --- time and text

    def temporal_positions(self, config: Any, group_times_s: Sequence[float]) -> tuple[int, ...]:
        """M-RoPE time of each two-frame group of one video block, counted from its first.

        `group_times_s` are the true times at which the groups begin. Here a group is one step, whenever it is.
        """
        return tuple(range(len(group_times_s)))

    def position_step_s(self, config: Any) -> float | None:
        """Seconds of one step of that time; None where it is no time but a count."""
        return None

    def language_inputs(self, is_visual: Tensor, features: Tensor, width: int) -> dict[str, Any]:
        """More arguments of the language model for a piece: `is_visual` bool[1, L] and its features [n, K W]."""
        return {}

    def attention_mask(self, mask: Tensor) -> Tensor | None:
        """The forward's `attention_mask` for a bool[B, 1, L, L] of what each token may see. sdpa only: a boolean mask
        is silently wrong under eager."""
        return mask

    # --- memory

    def token_numbers(self, config: Any) -> int:
        """Numbers of one visual token, (1 + K) W."""
        return int(config.get_text_config().hidden_size)

    def tower_width(self, vision_config: Any) -> int:
        """Numbers that one patch takes in the widest layer of the tower."""
        return int(vision_config.intermediate_size + 4 * vision_config.hidden_size)

    def cache_bytes(self, text_config: Any, tokens: int, bytes_each: int) -> int:
        """Bytes of the language model's cache behind so many tokens."""
        head = getattr(text_config, "head_dim", None)
        head = head or text_config.hidden_size // text_config.num_attention_heads
        return int(
            2 * text_config.num_hidden_layers * text_config.num_key_value_heads * head * bytes_each * tokens
        )


def configuration(
    text: Mapping[str, Any],
    vision: Mapping[str, Any],
    *,
    tied: bool,
    hidden_size: int,
    joint: str = "out_hidden_size",
    **sizes: int,
) -> dict[str, Any]:
    """A published model's, as in its config.json, from the sizes of its language model. `joint` is the tower's name
    for the language model's width."""
    return {
        "text_config": {**text, **sizes, "hidden_size": hidden_size, "tie_word_embeddings": tied},
        "vision_config": {**vision, joint: hidden_size},
        "tie_word_embeddings": tied,
    }


def patch_positions(grid: tuple[int, int], device: Any) -> Tensor:
    """(row, column) of each patch int64[P, 2], in the order of the 2 x 2 merging."""
    rows, columns = grid
    positions = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"), dim=-1)
    positions = positions.view(rows // MERGE, MERGE, columns // MERGE, MERGE, 2).transpose(1, 2)
    return positions.reshape(-1, 2).to(device)


def run_blocks(
    visual: Any,
    hidden: Tensor,
    grid: tuple[int, int],
    *,
    windows: Windows | None = None,
    deepstack: Mapping[int, Any] = MappingProxyType({}),
) -> Tensor:
    """`Family.run_tower`. With `windows`, only the layers of `fullatt_block_indexes` see the whole unit; `deepstack`
    has the merger behind each layer whose output is a feature, in order."""
    n_units, n_patches = hidden.shape[:2]
    tables = visual.rotary_pos_emb(hidden, patch_positions(grid, hidden.device))
    cos, sin = (table[:, None].float() for table in tables)  # each [P, 1, D / heads]
    features = []
    for idx, block in enumerate(visual.blocks):
        sees_all = windows is None or idx in visual.fullatt_block_indexes
        hidden = hidden + attend(block.attn, block.norm1(hidden), cos, sin, None if sees_all else windows)
        hidden = hidden + block.mlp(block.norm2(hidden))
        if idx in deepstack:
            features.append(deepstack[idx](hidden))
    merged = torch.cat([visual.merger(hidden), *features], dim=-1)
    return merged.view(n_units, n_patches // (MERGE * MERGE), -1)


def attend(
    attention: Any, hidden: Tensor, cos: Tensor, sin: Tensor, windows: Windows | None = None
) -> Tensor:
    """Attention within each unit of hidden [U, P, D], or within each of its windows. `cos` and `sin` are of the
    positions, float32[P, 1, D / heads]."""
    n_units, n_patches, width = hidden.shape
    qkv = attention.qkv(hidden).view(n_units, n_patches, 3 * attention.num_heads, -1)
    heads = rotate(qkv[:, :, : 2 * attention.num_heads], cos, sin)
    query, key = heads.chunk(2, dim=2)  # each [U, P, heads, D / heads]
    value = qkv[:, :, 2 * attention.num_heads :]
    if windows is None:
        mixed = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), scale=attention.scaling
        ).transpose(1, 2)
    else:
        mixed = torch.empty_like(value)
        for window in windows:
            # [U * number, heads, length, D / heads]: every window is a small picture of its own
            pieces = [heads[:, window].flatten(0, 1).transpose(1, 2) for heads in (query, key, value)]
            out = F.scaled_dot_product_attention(pieces[0], pieces[1], pieces[2], scale=attention.scaling)
            mixed[:, window] = out.transpose(1, 2).unflatten(0, (n_units, -1))
    return attention.proj(mixed.reshape(n_units, n_patches, width))


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries and keys [..., D] turned by their positions, computed in float32: `x cos + rotate_half(x) sin`.

    The halves are written in place, which takes a third of the time of transformers' `apply_rotary_pos_emb_vision`,
    its plain twin.
    """
    half, exact = heads.shape[-1] // 2, heads.float()
    turned = exact * cos
    turned[..., :half].addcmul_(exact[..., half:], sin[..., :half], value=-1)
    turned[..., half:].addcmul_(exact[..., :half], sin[..., half:])
    return turned.to(heads.dtype)
