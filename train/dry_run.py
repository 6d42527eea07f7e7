"""What a run would take, before it starts: rows, tokens, memory and time. Nothing is decoded, no weight is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tempo_core.memory import plan, read_model_config
from tempo_core.protocols.base import Protocol
from tempo_core.protocols.tempo import PROTOCOL as TEMPO
from tempo_core.wording import plural
from train.config import RefreshConfig
from train.data.examples import Example, counts

CPU_FLOPS = 4e10
"""Of two cores in float32, as measured on tempo-tiny; a guess for any other machine."""
GPU_FLOPS = 1.5e14
"""Of one GPU of the H100's class in bfloat16 at 15 % of its peak, as LoRA training with checkpointing reaches."""
ANSWER_TOKENS = 15
STATE_BYTES = 16
"""Of a trained weight: itself, its gradient and Adam's two moments, float32 each."""
RENDER_S, READ_S, ANSWER_S = 0.2, 0.45, 0.05
"""Processor seconds for rendering a shapeworld clip, reading a clip in its child process, and an answer beside its
tokens, as measured on tempo-tiny (docs/experiments.md)."""


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
    """Of each training stage."""
    other_seconds: dict[str, float]
    """Of a refresh's other stages: replay, checking, comparing, and measuring where a rule wants it."""
    device: str
    memory_bytes: int

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Of every stage, as far as it is known."""
        return {**self.other_seconds, **self.seconds}

    def describe(self) -> str:
        """The plan in a few lines for a terminal."""
        rows, clips, refusals = (self.rows[name] for name in ("rows", "clips", "no moment"))
        lines = [f"rows        {rows:,} about {plural(clips, 'clip')}, {refusals} of them without a moment"]
        for stage, steps in self.steps.items():
            tokens = self.tokens[stage] / 1e6
            lines.append(
                f"{stage:<12}{plural(steps, 'step')}, {tokens:,.2f} M tokens, "
                f"about {duration_text(self.seconds[stage])}"
            )
        for stage, seconds in self.other_seconds.items():
            lines.append(f"{stage:<12}about {duration_text(seconds)}")
        if self.other_seconds:
            lines.append(f"in all      about {duration_text(sum(self.stage_seconds.values()))}")
        lines.append(f"learns      {self.trained / 1e6:,.2f} M weights")
        parts = {
            "weights": self.weight_bytes,
            "learning": self.state_bytes,
            "activations": self.activation_bytes,
        }
        shares = ", ".join(f"{name} {size_text(n_bytes)}" for name, n_bytes in parts.items())
        lines.append(f"memory      about {size_text(self.memory_bytes)} on {self.device}: {shares}")
        return "\n".join(lines)


def dry_run(
    examples: Sequence[Example],
    config: RefreshConfig,
    *,
    checkpoint: str | Path | None = None,
    protocol: Protocol = TEMPO,
    device: str = "cpu",
    stages: Sequence[str] = ("sft", "pir-grpo"),
    devices: int = 1,
    held_out: Sequence[Example] | None = None,
    rendered_clips: int = 0,
) -> DryRun:
    """The plan of a recipe's stages on these rows, taught in `protocol`. `checkpoint` is a folder, or a published
    checkpoint's name. A clip that the protocol asks in pieces counts as one.

    With `held_out`, the rows on which old and new are compared, it is the plan of a refresh, which also renders
    `rendered_clips` and looks at every clip. Raises CheckpointError.
    """
    from tempo_core.families import family_named
    from train.sft.packing import QUESTION_TOKENS, plan_batches

    model_config, defaults = read_model_config(checkpoint)
    packs_rows = family_named(model_config.model_type).packs_rows
    memory = plan(model_config, four_bit=config.four_bit, device=device, defaults=defaults)
    text = model_config.text_config

    # optimizer steps, and tokens through the language model, of each stage
    steps: dict[str, int] = {}
    tokens: dict[str, int] = {}
    longest, prompt_tokens = 1, 0.0
    if examples:
        batches, steps["sft"] = plan_batches(
            examples, config.sft, defaults, protocol=protocol, devices=devices, packs_rows=packs_rows
        )
        tokens["sft"] = sum(pack.tokens for batch in batches for pack in batch)
        longest = max(sum(pack.tokens for pack in batch) for batch in batches)
        prompt_tokens = tokens["sft"] / sum(len(batch) for batch in batches)
        if config.pir is not None:
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
    token_s = 2 * body / flops
    other_seconds: dict[str, float] = {}
    if held_out is not None:
        clips = len({example.video for example in held_out})
        if rendered_clips:
            other_seconds["replay"] = rendered_clips * RENDER_S
        other_seconds["checking"] = READ_S * len({example.video for example in [*examples, *held_out]})
        if config.pir is not None and config.pir.difficulty is not None:
            answers = len(examples) * config.pir.num_generations
            row_tokens = len(examples) * prompt_tokens + answers * ANSWER_TOKENS
            other_seconds["measuring"] = row_tokens * token_s + answers * ANSWER_S
        answer_tokens = clips * prompt_tokens + len(held_out) * (QUESTION_TOKENS + ANSWER_TOKENS)
        other_seconds["comparing"] = 2 * (clips * READ_S + answer_tokens * token_s + len(held_out) * ANSWER_S)
        other_seconds = {name: round(seconds, 1) for name, seconds in other_seconds.items()}

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
        seconds={name: round(3 * token_s * count, 1) for name, count in tokens.items()},
        other_seconds=other_seconds,
        device=device,
        memory_bytes=memory.weight_bytes + STATE_BYTES * trained + activation_bytes,
    )


def size_text(n_bytes: float) -> str:
    """Bytes as a person says them: 230 MB, 1.5 GB."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def duration_text(seconds: float) -> str:
    """Seconds as a person says them: 40 s, 12 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
