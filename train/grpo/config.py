"""What decides a PIR-GRPO run. Imports no torch. Fields that TRL's GRPOConfig has too carry its names."""

from dataclasses import dataclass, field
from typing import Literal

from train.config import TrainingConfig, require, require_positive
from train.grpo.difficulty import WEIGHTS
from train.grpo.rewards import RewardWeights


@dataclass(frozen=True, kw_only=True, slots=True)
class PirGrpoConfig(TrainingConfig):
    """GRPO on relevant and irrelevant pairs (Tempo-R0, 2507.04702); defaults from TVG-R1 where it names them."""

    name: str = "pir-grpo"
    learning_rate: float = 2e-5
    steps: int = 200
    """Optimizer steps."""
    groups: int = 8
    """Queries in an optimizer step, on each device."""
    num_generations: int = 8
    """Answers sampled for each of them (G)."""
    temperature: float = 1.0
    constrained: bool = True
    """Sample under the answer grammar; log-probabilities are renormalised over what it allows. `thinking` needs
    free sampling."""
    inject_refusal: Literal["never", "irrelevant", "always"] = "never"
    """Where nobody in a group (of an irrelevant query, or of any) refuses, one rollout becomes the refusal: after a
    cold start on relevant rows alone it would never be sampled, and what is never sampled is never rewarded."""
    max_new_tokens: int = 256
    """Longest free answer."""
    rewards: RewardWeights = field(default_factory=RewardWeights)
    loss_type: Literal["grpo", "dr_grpo"] = "dr_grpo"
    """dr_grpo divides neither by the spread nor by the length: a refusal has one choice, a list has many."""
    loss_divisor: float = 8.0
    """What dr_grpo divides the sum over an answer's choices by."""
    beta: float = 0.0
    """Weight of the KL divergence to the model without its adapter (`full`: to that at the start of run or round)."""
    num_iterations: int = 1
    """Optimizer steps on the same rollouts; with more than one, ratios are clipped."""
    epsilon: tuple[float, float] = (0.2, 0.2)
    """How far a ratio may fall and rise."""
    skip_uniform_groups: bool = True
    """Skip groups whose rewards are all equal; they teach nothing (kept when beta pulls on them)."""
    lr_scheduler_type: Literal["cosine", "constant"] = "cosine"
    """What the rate does after the warm-up: fall to nothing as SFT's does, or stay."""
    difficulty: str | None = None
    """How rows are drawn by how hard they are for the model: one of `difficulty.WEIGHTS`; None: all alike."""
    patience: int | None = None
    """Stop when neither mean reward nor within-group spread has moved over so many records; None: never."""
    min_gain: float = 0.005
    """A rise of the reward's mean, or a change of the spread, that counts as moving."""
    save_steps: int = 25
    """A multiple of `num_iterations`, too."""

    def __post_init__(self) -> None:
        TrainingConfig.__post_init__(self)  # super() finds the class before slots=True made it anew
        require_positive(self, "steps", "groups", "max_new_tokens", "num_iterations")
        generations = self.num_generations
        require(type(generations) is int and generations > 1, self, "num_generations", "at least 2")
        require(0 < self.temperature < 100, self, "temperature", "above 0")
        require(self.beta >= 0, self, "beta", "0 or more")
        low, high = self.epsilon
        require(0 < low < 1 and high > 0, self, "epsilon", "two positive numbers, the first below 1")
        require(self.loss_divisor > 0, self, "loss_divisor", "above 0")
        require(self.loss_type in ("grpo", "dr_grpo"), self, "loss_type", "grpo or dr_grpo")
        schedules = ("cosine", "constant")
        require(self.lr_scheduler_type in schedules, self, "lr_scheduler_type", "cosine or constant")
        require(not (self.thinking and self.constrained), self, "thinking", "false under the grammar")
        choices = ("never", "irrelevant", "always")
        require(self.inject_refusal in choices, self, "inject_refusal", "never, irrelevant or always")
        injects = self.inject_refusal != "never"
        require(self.constrained or not injects, self, "inject_refusal", "never for free answers")
        whole_blocks = self.save_steps % self.num_iterations == 0
        require(whole_blocks, self, "save_steps", "a multiple of num_iterations and of logging_steps")
        rules = ", ".join(WEIGHTS)
        require(self.difficulty is None or self.difficulty in WEIGHTS, self, "difficulty", f"one of {rules}")
        require(self.patience is None or self.patience > 1, self, "patience", "at least 2, or None")
