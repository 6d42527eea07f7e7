"""What decides a supervised fine-tuning run. Imports no torch."""

from dataclasses import dataclass

from train.config import TrainingConfig, require, require_positive


@dataclass(frozen=True, kw_only=True, slots=True)
class SftConfig(TrainingConfig):
    """Supervised fine-tuning on rows with answers. After the warm-up the rate falls along a cosine to nothing."""

    name: str = "sft"
    learning_rate: float = 1e-4
    steps: int | None = None
    """Optimizer steps; None: as many as `epochs` takes."""
    epochs: float = 1.0
    questions_per_row: int = 8
    """Questions about one clip that share a row: the clip is read once for all of them."""
    per_device_train_batch_size: int = 4
    """Rows in a batch on each device."""
    batch_tokens: int = 16_384
    """Most tokens of a batch, padding included; a row that is longer goes alone."""
    gradient_accumulation_steps: int = 1
    """Batches in an optimizer step, on each device."""
    save_steps: int = 50

    def __post_init__(self) -> None:
        TrainingConfig.__post_init__(self)  # super() finds the class before slots=True made it anew
        require_positive(
            self,
            "questions_per_row",
            "per_device_train_batch_size",
            "batch_tokens",
            "gradient_accumulation_steps",
        )
        require(self.steps is None or self.steps > 0, self, "steps", "a positive whole number, or None")
        require(self.epochs > 0, self, "epochs", "above 0")
