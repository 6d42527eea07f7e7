"""What a model will need before it is loaded: layers in 4 bits, LoRA targets, bytes for weights, cache and
activations.

The model is built on the meta device from its configuration alone, so that the plan of Qwen2-VL-7B takes a
second and no weights.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tempo_core.defaults import GroundingDefaults, read_defaults
from tempo_core.errors import CheckpointError
from tempo_core.protocols.base import FullSampling, Protocol, fit_pixels
from tempo_core.protocols.tempo import PROTOCOL as TEMPO
from tempo_core.sampling import round_step_s

if TYPE_CHECKING:
    from tempo_core.video import VideoInfo

NF4_BITS_PER_WEIGHT = 4 + 8 / 64 + 32 / (64 * 256)
"""Four bits, one 8-bit scale per 64 weights, one float32 scale per 256 of those (double quantisation)."""

PACKED_BITS_PER_WEIGHT = 4 + 16 / 64
"""Four bits, one bfloat16 scale per 64 weights: the layout of `cpu_four_bit`."""

DENSE_CPU_WEIGHTS = 16_000_000
"""Up to so many quantised weights, a CPU keeps them in float32 too: 64 MB, and a third less time for a question."""

EXACT_CPU_WEIGHTS = 200_000_000
"""Up to so many quantised weights, a CPU computes in float32 with bitsandbytes' own layers.

A small model then answers the same on every processor. A large one is computed in bfloat16 where the processor has
instructions for it: about three times as fast, in half of the memory (docs/decisions/0028-cpu.md).
"""

TOKENS_PER_STAMP = 6
"""Qwen2 writes a stamp digit by digit; the vision marks around a frame are two more tokens."""

QUESTION_TOKENS = 40
"""Tokens of a question without the protocol's own words."""

CHARACTERS_PER_TOKEN = 4
"""Of English words, for planning."""

PREFILL_TOKENS = 1024
"""Tokens of a context that are encoded in one go; between pieces a person can cancel."""

UNPACKED_WEIGHTS = 1 << 22
"""Weights of a packed layer that a large product on a CPU unpacks together: 8 MB of bfloat16."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPlan:
    """What loading and asking a model takes. Bytes are of the device that holds the model."""

    family: str
    """As its makers write it."""
    parameters: int
    """Weights in all; tied embeddings count once."""
    quantised_modules: tuple[str, ...]
    """Names of the linear layers that are stored in NF4."""
    quantised_parameters: int
    lora_targets: tuple[str, ...]
    """Leaf names to adapt: the language model's linear layers."""
    lora_rank_parameters: int
    """Weights of an adapter of rank 1 on all of them."""
    weight_bytes: int
    """NF4 for the quantised layers, the compute type for the rest."""
    cache_bytes: int
    """Keys and values of one video's context and one answer."""
    visual_bytes: int
    """The context's visual tokens, which it keeps beside its cache."""
    asking_bytes: int
    """The copy of the cache that grows with a question; the context itself stays as it was."""
    activation_bytes: int
    """Rough upper bound of the largest intermediate tensors while a context is encoded in pieces."""
    context_tokens: int
    """Text and vision tokens of the context."""
    protocol: str
    """Title of the protocol that asks."""
    clip_s: float | None
    """Length of the clip that the context is of; where none was named, of the shortest clip with the largest context
    (None: any clip has it)."""
    is_largest: bool
    """Whether it is the largest context that the protocol makes, because no clip was named."""
    dtype: str
    """Compute type: bfloat16 on a GPU, and for large models in NF4 on a CPU that has it; else float32."""
    kernel: str | None
    """How a CPU multiplies NF4 layers, see `cpu_four_bit`: "packed" or "blocks" of a large model, "dense" of a very
    small one; None: as bitsandbytes does."""

    @property
    def total_bytes(self) -> int:
        working = max(self.activation_bytes, self.asking_bytes)  # first the clip is read, then asked about
        return self.weight_bytes + self.cache_bytes + self.visual_bytes + working

    @property
    def clip(self) -> str:
        """Which clip it is for, in words."""
        if self.clip_s is None:
            return "of any length"
        return f"of {self.clip_s:,.0f} s" + (" or longer" if self.is_largest else "")

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return {**asdict(self), "total_bytes": self.total_bytes}

    def describe(self) -> str:
        """The plan in a few lines for a terminal."""
        rows = [
            ("family", self.family),
            (
                "parameters",
                f"{self.parameters / 1e6:,.1f} M, {self.quantised_parameters / 1e6:,.1f} M of them in 4 bits",
            ),
            ("4-bit layers", f"{len(self.quantised_modules)}"),
            ("LoRA targets", ", ".join(self.lora_targets)),
            ("weights", _size(self.weight_bytes)),
            ("clip", f"{self.clip}, as {self.protocol} is asked: {self.context_tokens:,} tokens"),
            ("cache", _size(self.cache_bytes)),
            ("visual tokens", _size(self.visual_bytes)),
            ("question", f"{_size(self.asking_bytes)}, its copy of the cache"),
            ("activations", f"{_size(self.activation_bytes)} at most"),
            ("together", f"{_size(self.total_bytes)} in {self.dtype}"),
        ]
        return "\n".join(f"{name:<14}{value}" for name, value in rows)


def published() -> dict[str, Any]:
    """The families of published checkpoints, by the last part of the checkpoints' hub names."""
    from tempo_core.families import MODEL_TYPES, family_named

    families = [family_named(model_type) for model_type in MODEL_TYPES]
    return {name: family for family in families for name in family.published}


def published_name(checkpoint: Any) -> str | None:
    """The published checkpoint whose sizes a name stands for: its own, or the one that a known grounder was trained
    from. None for folders and everything else."""
    from tempo_core.grounders import ARCHITECTURES, known_grounder

    if checkpoint is None or Path(str(checkpoint)).is_dir():
        return None
    grounder = known_grounder(str(checkpoint))
    if grounder is not None:
        return next(name for name, sizes in ARCHITECTURES.items() if sizes is grounder.architecture)
    name = str(checkpoint).partition("@")[0].rpartition("/")[2]
    return name if name in published() else None


def read_model_config(checkpoint_or_config: Any) -> tuple[Any, GroundingDefaults]:
    """The configuration and defaults of a checkpoint folder, a hub name, the name of a published checkpoint (with or
    without its owner) or of a known grounder, or a configuration; no weight is read.

    Raises CheckpointError for a folder whose configuration is not one of a family's.
    """
    from transformers import PretrainedConfig

    from tempo_core.checkpoint import find_checkpoint, read_config
    from tempo_core.families import family_named

    if isinstance(checkpoint_or_config, PretrainedConfig):
        return checkpoint_or_config, GroundingDefaults()
    name = published_name(checkpoint_or_config)
    if name is not None:
        return published()[name].published_config(name), GroundingDefaults()
    folder = find_checkpoint(checkpoint_or_config)
    data = read_config(folder)
    family = family_named(data["model_type"])
    try:
        return family.config_class.from_dict(data), read_defaults(folder)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / 'config.json'} is no usable {family.title} configuration: {error}"
        ) from error


def plan(
    checkpoint_or_config: Any,
    *,
    four_bit: bool = True,
    device: str = "cpu",
    defaults: GroundingDefaults | None = None,
    protocol: Protocol = TEMPO,
    clip: "VideoInfo | None" = None,
    token_budget: int | None = None,
    fps: float | None = None,
) -> MemoryPlan:
    """The memory plan of whatever `read_model_config` takes; no weight is read. Raises CheckpointError as it does.

    Its context is that of `clip`, a probed file (None: the largest), as `protocol` asks at `fps` frames a second and
    with `token_budget` (None: as it wants).
    """
    import torch

    from tempo_core.checkpoint import stored_precision
    from tempo_core.families import family_named
    from tempo_core.vision import batch_patches

    config, checkpoint_defaults = read_model_config(checkpoint_or_config)
    defaults = defaults or checkpoint_defaults
    family = family_named(config.model_type)
    with torch.device("meta"):
        model: Any = family.model_class(config)
    model.tie_weights()

    layers = quantisable_layers(model)
    stored = stored_precision(config.to_dict())
    four_bit = four_bit or stored is not None
    sizes = [layer.weight.numel() for layer in layers.values()] if four_bit else [0]
    quantised = sum(sizes)
    kernel = None if stored == "int8" else cpu_kernel(quantised, device)
    bits = 8 if stored == "int8" else nf4_bits(kernel)
    n_bytes = float_bytes(device, kernel)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    units, visual_tokens, clip_s = largest_context(protocol, defaults, clip, fps=fps)
    if token_budget is not None:
        visual_tokens = min(visual_tokens, token_budget)
    context = visual_tokens + text_tokens(protocol, units)
    answer = defaults.max_new_tokens if protocol.sampling is None else protocol.max_new_tokens
    answer += protocol.thinking.max_tokens if protocol.thinking is not None else 0
    text = config.get_text_config()
    # The widest layer's tensors for one piece of the context, or for one batch of the vision tower.
    prefill = min(context, PREFILL_TOKENS) * (2 * text.intermediate_size + 2 * text.hidden_size)
    dtype = torch.float32 if n_bytes == 4 else torch.bfloat16
    tower = batch_patches(device, dtype) * family.tower_width(config.vision_config)
    # a part of a packed layer as it is unpacked: bfloat16 in two orders, and its nibbles in two
    unpacked = 6 * min(max(sizes), UNPACKED_WEIGHTS) if kernel == "packed" else 0
    return MemoryPlan(
        family=family.title,
        parameters=parameters,
        quantised_modules=tuple(layers) if four_bit else (),
        quantised_parameters=quantised,
        lora_targets=tuple(sorted({name.rpartition(".")[2] for name in layers})),
        lora_rank_parameters=sum(layer.in_features + layer.out_features for layer in layers.values()),
        weight_bytes=round(quantised * bits / 8) + (parameters - quantised) * n_bytes,
        cache_bytes=(cache := family.cache_bytes(text, context + answer, n_bytes)),
        visual_bytes=visual_tokens * family.token_numbers(config) * n_bytes,
        asking_bytes=cache,
        activation_bytes=max(prefill * n_bytes + unpacked, tower * n_bytes),
        context_tokens=context,
        protocol=protocol.title,
        clip_s=clip_s,
        is_largest=clip is None,
        dtype=str(dtype).removeprefix("torch."),
        kernel=kernel,
    )


def largest_context(
    protocol: Protocol, defaults: GroundingDefaults, clip: "VideoInfo | None", *, fps: float | None = None
) -> tuple[int, int, float | None]:
    """Units, visual tokens and length in seconds of a clip's context (see `MemoryPlan.clip_s`). Of a clip that is cut,
    of its longest piece; of one that is looked at twice, of both looks together."""
    sampling, frames_per_unit = protocol.sampling, 1 if protocol.layout == "frames" else 2
    clip_s = None if clip is None else clip.duration_s
    if sampling is None:
        if clip_s is None:
            longest_s = defaults.max_frames * (defaults.finest_step_s if fps is None else 1 / fps)
            return defaults.max_frames, defaults.budget_for(defaults.max_frames), longest_s
        step_s = 1 / fps if fps else round_step_s(clip_s, defaults.max_frames, finest=defaults.finest_step_s)
        frames = max(1, min(defaults.max_frames, math.ceil(clip_s / step_s)))
        return frames, defaults.budget_for(frames), clip_s
    if (
        fps is not None
    ):  # in one piece, in one look, at most as many frames as the checkpoint's defaults allow
        frames = defaults.max_frames if clip_s is None else min(defaults.max_frames, math.ceil(clip_s * fps))
        units = math.ceil(max(1, frames) / frames_per_unit)
        low, high = sampling.min_pixels, sampling.frame_pixels(units * sampling.frames_per_unit)
        if clip is not None:
            size = fit_pixels(clip.height, clip.width, factor=sampling.factor_px, low=low, high=high)
            high = size[0] * size[1]
        tokens = units * max(1, high // sampling.factor_px**2)
        return units, tokens, defaults.max_frames / fps if clip_s is None else clip_s
    longest_s = math.inf
    if sampling.n_frames is None and not isinstance(sampling, FullSampling):
        longest_s = sampling.max_frames / sampling.fps
    if protocol.chunks is not None:
        longest_s = min(longest_s, protocol.chunks.length_s + protocol.chunks.shortest_s)
    if clip is None or (protocol.chunks is not None and clip.duration_s > longest_s):
        units, tokens = sampling.most_units(longest_s)
    else:
        frame_plan = sampling.plan(clip)
        units = math.ceil(len(frame_plan.times_s) / sampling.frames_per_unit)
        tokens = frame_plan.budget_tokens
    first = protocol.first_pass
    if first is not None and (clip is None or first.is_for(clip)):
        units += math.ceil(2 * first.most_units / first.fps / first.segment_s)  # a stamp a segment
        tokens += first.total_pixels // first.factor_px**2
        longest_s = first.over_s
    return units, tokens, clip_s if clip_s is not None or longest_s == math.inf else longest_s


def text_tokens(protocol: Protocol, units: int) -> int:
    """About how many tokens of text a context of so many units has with a question behind it."""
    stamp = (
        0
        if protocol.layout == "video"
        else 2 + TOKENS_PER_STAMP + len(protocol.stamp) // CHARACTERS_PER_TOKEN
    )
    words = sum(map(len, (*protocol.opening, *protocol.lead, *protocol.turns)))
    return units * stamp + words // CHARACTERS_PER_TOKEN + QUESTION_TOKENS


def cpu_kernel(quantised: int, device: str) -> str | None:
    """`MemoryPlan.kernel` for so many weights in NF4."""
    if device != "cpu" or DENSE_CPU_WEIGHTS < quantised <= EXACT_CPU_WEIGHTS:
        return None
    if quantised <= EXACT_CPU_WEIGHTS:
        return "dense" if quantised else None
    return "packed" if has_bfloat16_cpu() else "blocks"


def nf4_bits(kernel: str | None) -> float:
    """Bits of a weight in NF4 with its share of the scales, and of its float32 twin where one is kept."""
    if kernel == "packed":
        return PACKED_BITS_PER_WEIGHT
    return NF4_BITS_PER_WEIGHT + (32 if kernel == "dense" else 0)


def float_bytes(device: str, kernel: str | None) -> int:
    """Bytes of a weight that is not quantised, and of a number of the cache."""
    return 4 if device == "cpu" and kernel != "packed" else 2


def has_bfloat16_cpu() -> bool:
    """Whether this machine's processor multiplies bfloat16 by itself."""
    import torch

    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def quantisable_layers(model: Any) -> dict[str, Any]:
    """The linear layers that NF4 replaces and LoRA adapts, by name: all but those that the family keeps whole."""
    from torch import nn

    from tempo_core.families import family_of

    unquantised = family_of(model).unquantised
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and not any(name.startswith(f"{whole}.") or name.endswith(whole) for whole in unquantised)
    }


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
