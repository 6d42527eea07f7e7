"""What a model will need before it is loaded: layers in 4 bits, LoRA targets, bytes for weights, cache and
activations.

The model is built on the meta device from its configuration alone, so that the plan of Qwen2-VL-7B takes a
second and no weights.
"""

from dataclasses import asdict, dataclass
from typing import Any

from tempo_core.defaults import GroundingDefaults, read_defaults
from tempo_core.errors import CheckpointError

NF4_BITS_PER_WEIGHT = 4 + 8 / 64 + 32 / (64 * 256)
"""Four bits, one 8-bit scale per 64 weights, one float32 scale per 256 of those (double quantisation)."""

TOKENS_PER_STAMP = 6
"""Qwen2 writes a stamp digit by digit; the vision marks around a frame are two more tokens."""

PREFILL_TOKENS = 1024
"""Tokens of a context that are encoded in one go; between pieces a person can cancel."""

PUBLISHED: dict[str, dict[str, Any]] = {
    "Qwen2-VL-2B-Instruct": {
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "Qwen2-VL-7B-Instruct": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
    },
}
"""Sizes of the published language models, from their config.json."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPlan:
    """What loading and asking a model takes. Bytes are of the device that holds the model."""

    parameters: int
    """Weights in all; tied embeddings count once."""
    quantised_modules: tuple[str, ...]
    """Names of the linear layers that are stored in NF4."""
    quantised_parameters: int
    lora_targets: tuple[str, ...]
    """Leaf names to adapt: the language model's linear layers."""
    weight_bytes: int
    """NF4 for the quantised layers, the compute type for the rest."""
    cache_bytes: int
    """Keys and values of one video's context and one answer."""
    activation_bytes: int
    """Rough upper bound of the largest intermediate tensors while a context is encoded in pieces."""
    context_tokens: int
    """Text and vision tokens of the largest context that the defaults allow."""
    dtype: str
    """Compute type: float32 on a CPU, bfloat16 on a GPU."""

    @property
    def total_bytes(self) -> int:
        return self.weight_bytes + self.cache_bytes + self.activation_bytes

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return {**asdict(self), "total_bytes": self.total_bytes}

    def describe(self) -> str:
        """The plan in a few lines for a terminal."""
        rows = [
            (
                "parameters",
                f"{self.parameters / 1e6:,.1f} M, {self.quantised_parameters / 1e6:,.1f} M of them in 4 bits",
            ),
            ("4-bit layers", f"{len(self.quantised_modules)}"),
            ("LoRA targets", ", ".join(self.lora_targets)),
            ("weights", _size(self.weight_bytes)),
            ("cache", f"{_size(self.cache_bytes)} for {self.context_tokens:,} tokens"),
            ("activations", f"{_size(self.activation_bytes)} at most"),
            ("together", f"{_size(self.total_bytes)} in {self.dtype}"),
        ]
        return "\n".join(f"{name:<14}{value}" for name, value in rows)


def published_config(name: str) -> Any:
    """The configuration of a published Qwen2-VL by name (a key of PUBLISHED), without the hub."""
    from transformers import Qwen2VLConfig

    sizes = PUBLISHED[name]
    text = {
        **sizes,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    }
    vision = {
        "depth": 32,
        "embed_dim": 1280,
        "num_heads": 16,
        "mlp_ratio": 4,
        "hidden_size": sizes["hidden_size"],
    }
    return Qwen2VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=sizes["tie_word_embeddings"]
    )


def plan(
    checkpoint_or_config: Any,
    *,
    four_bit: bool = True,
    device: str = "cpu",
    defaults: GroundingDefaults | None = None,
) -> MemoryPlan:
    """The memory plan of a checkpoint folder, a name in PUBLISHED, or a Qwen2VLConfig; no weight is read.

    Raises CheckpointError for a folder whose configuration is not Qwen2-VL.
    """
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    from tempo_core.checkpoint import find_checkpoint, read_config
    from tempo_core.vision import MAX_BATCH_PATCHES

    config: Any
    checkpoint_defaults = GroundingDefaults()
    if isinstance(checkpoint_or_config, Qwen2VLConfig):
        config = checkpoint_or_config
    elif isinstance(checkpoint_or_config, str) and checkpoint_or_config in PUBLISHED:
        config = published_config(checkpoint_or_config)
    else:
        folder = find_checkpoint(checkpoint_or_config)
        try:
            config = Qwen2VLConfig.from_dict(read_config(folder))
            checkpoint_defaults = read_defaults(folder)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"{folder / 'config.json'} is no usable Qwen2-VL configuration: {error}"
            ) from error
    defaults = defaults or checkpoint_defaults
    with torch.device("meta"):
        model: Any = Qwen2VLForConditionalGeneration(config)
    model.tie_weights()

    layers = quantisable_layers(model)
    quantised = sum(layer.weight.numel() for layer in layers.values()) if four_bit else 0
    n_bytes = 4 if device == "cpu" else 2
    parameters = sum(parameter.numel() for parameter in model.parameters())
    context = context_tokens(defaults)
    text, vision = config.text_config, config.vision_config
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    cache_bytes = 2 * text.num_hidden_layers * text.num_key_value_heads * head * n_bytes
    # The widest layer's tensors for one piece of the context, or for one batch of the vision tower.
    prefill = min(context, PREFILL_TOKENS) * (2 * text.intermediate_size + 2 * text.hidden_size)
    tower = MAX_BATCH_PATCHES * round(vision.embed_dim * (vision.mlp_ratio + 4))
    return MemoryPlan(
        parameters=parameters,
        quantised_modules=tuple(layers) if four_bit else (),
        quantised_parameters=quantised,
        lora_targets=lora_targets(model),
        weight_bytes=round(quantised * NF4_BITS_PER_WEIGHT / 8) + (parameters - quantised) * n_bytes,
        cache_bytes=cache_bytes * (context + defaults.max_new_tokens),
        activation_bytes=max(prefill, tower) * n_bytes,
        context_tokens=context,
        dtype="float32" if device == "cpu" else "bfloat16",
    )


def quantisable_layers(model: Any) -> dict[str, Any]:
    """The linear layers that NF4 replaces, by name: all but the vision tower and the head."""
    from torch import nn

    from tempo_core.loading import KEPT_WHOLE

    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and not any(name == whole or name.startswith(f"{whole}.") for whole in KEPT_WHOLE)
    }


def lora_targets(model: Any) -> tuple[str, ...]:
    """Leaf names of the language model's linear layers, sorted: what an adapter for this model should target."""
    return tuple(sorted({name.rpartition(".")[2] for name in quantisable_layers(model)}))


def context_tokens(defaults: GroundingDefaults) -> int:
    """Tokens of the largest context under these defaults: vision, stamps, vision marks, and the frame around."""
    return defaults.token_budget + defaults.max_frames * (TOKENS_PER_STAMP + 2) + TOKENS_PER_STAMP + 4


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
