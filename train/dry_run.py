"""What a run would take, before it starts: rows, tokens, memory and time. Nothing is decoded, no weight is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tempo_core.memory import plan, read_model_config
from train.config import RefreshConfig
from train.data.examples import Example, counts

CPU_FLOPS = 4e10
"""Of two cores in float32, as measured on tempo-tiny; a guess for any other machine."""
GPU_FLOPS = 1.5e14
"""Of one GPU of the H100's class in bfloat16 at 15 % of its peak, as LoRA training with checkpointing reaches."""
ANSWER_TOKENS = 15
STATE_BYTES = 16
"""Of a trained weight: itself, its gradient and Adam's two moments, float32 each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """The plan of a run; all figures are estimates but the rows."""

    rows: dict[str, int]
    steps: dict[str, int]
    """Optimizer steps of each stage."""
    tokens: dict[str, int]
    """Through the language model, forward, in each stage."""
    weight_bytes: int
    trained: int
    """Weights that learn."""
    state_bytes: int
    """For those: weights, gradients, optimizer."""
    activation_bytes: int
    seconds: dict[str, float]
    device: str
    memory_bytes: int

    def describe(self) -> str:
        """The plan in a few lines for a terminal."""
        rows, clips, refusals = (self.rows[name] for name in ("rows", "clips", "no moment"))
        lines = [f"rows        {rows} about {clips} clips, {refusals} of them without a moment"]
        for stage, steps in self.steps.items():
            tokens = self.tokens[stage] / 1e6
            lines.append(
                f"{stage:<12}{steps} steps, {tokens:,.2f} M tokens, about {_time(self.seconds[stage])}"
            )
        lines.append(f"learns      {self.trained / 1e6:,.2f} M weights")
        lines.append(
            f"memory      about {_size(self.memory_bytes)} on {self.device}: weights {_size(self.weight_bytes)}, "
            f"learning {_size(self.state_bytes)}, activations {_size(self.activation_bytes)}"
        )
        return "\n".join(lines)


def dry_run(
    examples: Sequence[Example],
    config: RefreshConfig,
    *,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
    stages: Sequence[str] = ("sft", "pir-grpo"),
    devices: int = 1,
) -> DryRun:
    """The plan of a recipe's stages on these rows. `checkpoint` is a folder, or a published checkpoint's name.

    Raises CheckpointError.
    """
    from tempo_core.families import family_named
    from train.sft.packing import plan_batches

    model_config, defaults = read_model_config(checkpoint)
    packs_rows = family_named(model_config.model_type).packs_rows
    memory = plan(model_config, four_bit=config.four_bit, device=device, defaults=defaults)
    text = model_config.text_config

    # optimizer steps, and tokens through the language model, of each stage
    steps: dict[str, int] = {}
    tokens: dict[str, int] = {}
    longest = 1
    if examples:
        batches, steps["sft"] = plan_batches(
            examples, config.sft, defaults, devices=devices, packs_rows=packs_rows
        )
        tokens["sft"] = sum(pack.tokens for batch in batches for pack in batch)
        longest = max(sum(pack.tokens for pack in batch) for batch in batches)
        if config.pir is not None:
            prompt_tokens = tokens["sft"] / sum(len(batch) for batch in batches)
            steps["pir-grpo"] = config.pir.steps
            groups = config.pir.steps * config.pir.groups * devices
            # twice: once to sample, once for the gradient
            tokens["pir-grpo"] = round(
                groups * 2 * (prompt_tokens + config.pir.num_generations * ANSWER_TOKENS)
            )
    steps = {name: steps[name] for name in stages if name in steps}
    tokens = {name: tokens[name] for name in stages if name in tokens}

    # weights that learn: all, or LoRA matrices on the language model's linear layers
    body = memory.quantised_parameters or memory.parameters
    trained = body if config.sft.method == "full" else config.sft.rank * memory.lora_rank_parameters

    flops = (CPU_FLOPS if device == "cpu" else GPU_FLOPS) * devices
    kept_activations = 1 if config.sft.gradient_checkpointing else 12
    bytes_each = 4 if device == "cpu" else 2
    activation_bytes = (
        memory.activation_bytes
        + longest * text.hidden_size * text.num_hidden_layers * bytes_each * kept_activations
    )
    return DryRun(
        rows=counts(examples),
        steps=steps,
        tokens=tokens,
        weight_bytes=memory.weight_bytes,
        trained=trained,
        state_bytes=STATE_BYTES * trained,
        activation_bytes=activation_bytes,
        seconds={name: round(6 * body * count / flops, 1) for name, count in tokens.items()},
        device=device,
        memory_bytes=memory.weight_bytes + STATE_BYTES * trained + activation_bytes,
    )


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
