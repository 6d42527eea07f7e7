"""What decides a fine-tuning run: plain data that recipes return and lineage records. Imports no torch."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from tempo_core.errors import InputError

Method = Literal["lora", "full"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SftConfig:
    """Supervised fine-tuning on rows with answers."""

    name: str = "sft"
    seed: int = 0
    method: Method = "lora"
    """lora: an adapter on a frozen base (NF4 or not); full: every weight of the language model."""
    train_vision: bool = False
    """With `full`, the vision tower learns too."""
    rank: int = 16
    """Of the LoRA matrices; an adapter that training goes on from keeps its own."""
    alpha: int = 32
    learning_rate: float = 1e-4
    warmup_share: float = 0.05
    """Share of the steps over which the rate rises; then it falls along a cosine to nothing."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    steps: int | None = None
    """Optimizer steps; None: as many as `epochs` takes."""
    epochs: float = 1.0
    questions: int = 8
    """Questions about one clip that share a row: the clip is read once for all of them."""
    rows: int = 4
    """Rows in a batch on each device."""
    batch_tokens: int = 16_384
    """Most tokens of a batch, padding included; a row that is longer goes alone."""
    accumulate: int = 1
    """Batches in an optimizer step, on each device."""
    gradient_checkpointing: bool = False
    thinking: bool = False
    """Write a row's thinking trace before its answer, where it has one."""
    token_budget: int | None = None
    """Vision tokens of a clip; None: the checkpoint's."""
    save_every: int = 50
    """Steps between states that a stopped run goes on from; a multiple of `record_every`."""
    record_every: int = 5
    """Steps between lines of the curves."""
    threads: int | None = None
    """CPU threads; sums are added in another order with another number, so equal runs need an equal number."""

    def __post_init__(self) -> None:
        require(type(self.seed) is int and self.seed >= 0, self, "seed", "a whole number, 0 or more")
        for name in (
            "rank",
            "alpha",
            "questions",
            "rows",
            "batch_tokens",
            "accumulate",
            "save_every",
            "record_every",
        ):
            require(
                type(getattr(self, name)) is int and getattr(self, name) > 0,
                self,
                name,
                "a positive whole number",
            )
        require(self.steps is None or self.steps > 0, self, "steps", "a positive whole number, or None")
        require(self.epochs > 0, self, "epochs", "above 0")
        require(0 < self.learning_rate < 1, self, "learning_rate", "above 0 and below 1")
        require(0 <= self.warmup_share < 1, self, "warmup_share", "at least 0 and below 1")
        require(self.save_every % self.record_every == 0, self, "save_every", "a multiple of record_every")
        require(self.method in ("lora", "full"), self, "method", "lora or full")
        require(self.method == "full" or not self.train_vision, self, "train_vision", "false with LoRA")


def require(good: bool, config: Any, name: str, rule: str) -> None:
    """Raise InputError naming the field, its value and the rule, unless `good`."""
    if not good:
        raise InputError(f"{type(config).__name__}.{name} is {getattr(config, name)!r}; it must be {rule}.")


def as_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain values, configurations inside it too (slots dataclasses of this project)."""
    return {
        each.name: as_dict(value)
        if hasattr(value := getattr(config, each.name), "__dataclass_fields__")
        else value
        for each in fields(config)
    }
