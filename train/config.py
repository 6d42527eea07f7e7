"""What every fine-tuning run is decided by: the fields that SFT and PIR-GRPO share. Imports no torch."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from tempo_core.errors import InputError

Method = Literal["lora", "full"]

NAMES_ON_DISK = {
    "gradient_accumulation_steps": "accumulate",
    "per_device_train_batch_size": "rows",
    "questions_per_row": "questions",
    "logging_steps": "record_every",
    "save_steps": "save_every",
    "warmup_ratio": "warmup_share",
    "lr_scheduler_type": "schedule",
    "num_generations": "rollouts",
    "num_iterations": "updates",
    "epsilon": "clip",
    "loss_type": "loss",
    "loss_divisor": "constant",
    "inject_refusal": "show_refusals",
    "skip_uniform_groups": "drop_constant",
    "min_gain": "least_gain",
    "min_replay_rows": "least_replay_rows",
    "criteria": "gate",
    "metric": "measure",
    "refusal_metrics": "refusal",
    "replay_metrics": "kept",
    "min_rows": "least_rows",
    "min_clips": "least_clips",
    "num_resamples": "samples",
}
"""Fields whose word in run.json, begun.json and lineage.json is an older one: those files must stay readable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """The fields that SftConfig and PirGrpoConfig share."""

    name: str
    seed: int = 0
    method: Method = "lora"
    """lora: an adapter on a frozen base (NF4 or not); full: every weight of the language model."""
    train_vision: bool = False
    """Only with `full`: the vision tower learns too. A frozen tower encodes each video once for the whole run."""
    rank: int = 16
    """Of the LoRA matrices; an adapter that training goes on from keeps its own."""
    alpha: int = 32
    learning_rate: float
    warmup_ratio: float = 0.05
    """Share of the steps over which the rate rises."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    gradient_checkpointing: bool = False
    thinking: bool = False
    """A <think> trace may stand before the answer. SFT writes the row's own trace, where it has one."""
    token_budget: int | None = None
    """Vision tokens of a clip; None: the checkpoint's."""
    save_steps: int
    """Steps between states that a stopped run goes on from; a multiple of `logging_steps`."""
    logging_steps: int = 5
    """Steps between lines of the curves."""
    threads: int | None = None
    """CPU threads; sums are added in another order with another number, so equal runs need an equal number."""

    def __post_init__(self) -> None:
        require(type(self.seed) is int and self.seed >= 0, self, "seed", "a whole number, 0 or more")
        require_positive(self, "rank", "alpha", "save_steps", "logging_steps")
        require(0 < self.learning_rate < 1, self, "learning_rate", "above 0 and below 1")
        require(0 <= self.warmup_ratio < 1, self, "warmup_ratio", "at least 0 and below 1")
        require(self.method in ("lora", "full"), self, "method", "lora or full")
        require(self.method == "full" or not self.train_vision, self, "train_vision", "false with LoRA")
        require(self.save_steps % self.logging_steps == 0, self, "save_steps", "a multiple of logging_steps")


def require(good: bool, config: Any, name: str, rule: str) -> None:
    """Raise InputError naming the field, its value and the rule, unless `good`."""
    if not good:
        raise InputError(f"{type(config).__name__}.{name} is {getattr(config, name)!r}; it must be {rule}.")


def require_positive(config: Any, *names: str) -> None:
    """Raise InputError unless all these fields are positive whole numbers."""
    for name in names:
        value = getattr(config, name)
        require(type(value) is int and value > 0, config, name, "a positive whole number")


def as_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain values under the names that files use, configurations inside it too."""
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    return {
        NAMES_ON_DISK.get(name, name): as_dict(value) if hasattr(value, "__dataclass_fields__") else value
        for name, value in values.items()
    }
