"""What decides a PIR-GRPO run: plain data that recipes return and lineage records. Imports no torch."""

from dataclasses import dataclass, field
from typing import Literal

from train.configuration import Method, require
from train.difficulty import WEIGHTS
from train.rewards import RewardWeights


@dataclass(frozen=True, kw_only=True, slots=True)
class PirGrpoConfig:
    """GRPO on relevant and irrelevant pairs (Tempo-R0, 2507.04702); defaults from TVG-R1 where it names them."""

    name: str = "pir-grpo"
    seed: int = 0
    method: Method = "lora"
    """lora: an adapter on a frozen base (NF4 or not); full: every weight of the language model."""
    train_vision: bool = False
    """With `full`, the vision tower learns too; else every video is looked at once for the whole run."""
    rank: int = 16
    """Of the LoRA matrices; an adapter that training goes on from keeps its own."""
    alpha: int = 32
    steps: int = 200
    """Optimizer steps."""
    groups: int = 8
    """Queries in an optimizer step, on each device."""
    rollouts: int = 8
    """Answers sampled for each of them (G)."""
    temperature: float = 1.0
    constrained: bool = True
    """Sample under the answer grammar; log-probabilities are renormalised over what it allows."""
    show_refusals: Literal["never", "irrelevant", "always"] = "never"
    """Where nobody in a group (of an irrelevant query, or of any) refuses, one rollout becomes the refusal: after a
    cold start on relevant rows alone it would never be sampled, and what is never sampled is never rewarded."""
    thinking: bool = False
    """Let a <think> trace stand before the answer; needs free sampling."""
    max_new_tokens: int = 256
    """Longest free answer."""
    rewards: RewardWeights = field(default_factory=RewardWeights)
    loss: Literal["grpo", "dr_grpo"] = "dr_grpo"
    """dr_grpo divides neither by the spread nor by the length: a refusal has one choice, a list has many."""
    constant: float = 8.0
    """What dr_grpo divides the sum over an answer's choices by."""
    beta: float = 0.0
    """Weight of the KL divergence to the model without its adapter (`full`: to that at the start of run or round)."""
    updates: int = 1
    """Optimizer steps on the same rollouts; with more than one, ratios are clipped."""
    clip: tuple[float, float] = (0.2, 0.2)
    """How far a ratio may fall and rise."""
    drop_constant: bool = True
    """Skip groups whose rewards are all equal; they teach nothing (kept when beta pulls on them)."""
    learning_rate: float = 2e-5
    warmup_share: float = 0.05
    """Share of the steps over which the rate rises."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What the rate does then: fall to nothing as SFT's does, or stay."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    gradient_checkpointing: bool = False
    token_budget: int | None = None
    """Vision tokens of a clip; None: the checkpoint's."""
    difficulty: str | None = None
    """How rows are drawn by how hard they are for the model: one of `difficulty.WEIGHTS`; None: all alike."""
    patience: int | None = None
    """Stop when neither mean reward nor within-group spread has moved over so many records; None: never."""
    least_gain: float = 0.005
    """A rise of the reward's mean, or a change of the spread, that counts as moving."""
    save_every: int = 25
    """Steps between states that a stopped run goes on from; a multiple of `updates` and of `record_every`."""
    record_every: int = 5
    """Steps between lines of the curves."""
    threads: int | None = None
    """CPU threads; sums are added in another order with another number, so equal runs need an equal number."""

    def __post_init__(self) -> None:
        require(type(self.seed) is int and self.seed >= 0, self, "seed", "a whole number, 0 or more")
        whole = (
            "rank",
            "alpha",
            "steps",
            "groups",
            "max_new_tokens",
            "updates",
            "save_every",
            "record_every",
        )
        for name in whole:
            require(
                type(getattr(self, name)) is int and getattr(self, name) > 0,
                self,
                name,
                "a positive whole number",
            )
        require(type(self.rollouts) is int and self.rollouts > 1, self, "rollouts", "at least 2")
        require(0 < self.temperature < 100, self, "temperature", "above 0")
        require(0 < self.learning_rate < 1, self, "learning_rate", "above 0 and below 1")
        require(0 <= self.warmup_share < 1, self, "warmup_share", "at least 0 and below 1")
        require(self.beta >= 0, self, "beta", "0 or more")
        require(
            0 < self.clip[0] < 1 and self.clip[1] > 0, self, "clip", "two positive numbers, the first below 1"
        )
        require(self.constant > 0, self, "constant", "above 0")
        require(self.method in ("lora", "full"), self, "method", "lora or full")
        require(self.loss in ("grpo", "dr_grpo"), self, "loss", "grpo or dr_grpo")
        require(self.schedule in ("cosine", "constant"), self, "schedule", "cosine or constant")
        require(self.method == "full" or not self.train_vision, self, "train_vision", "false with LoRA")
        require(not (self.thinking and self.constrained), self, "thinking", "false under the grammar")
        known = self.show_refusals in ("never", "irrelevant", "always")
        require(known, self, "show_refusals", "never, irrelevant or always")
        shown = self.show_refusals != "never"
        require(self.constrained or not shown, self, "show_refusals", "never for free answers")
        both = self.save_every % self.updates == 0 and self.save_every % self.record_every == 0
        require(both, self, "save_every", "a multiple of updates and of record_every")
        names = ", ".join(WEIGHTS)
        require(self.difficulty is None or self.difficulty in WEIGHTS, self, "difficulty", f"one of {names}")
        require(self.patience is None or self.patience > 1, self, "patience", "at least 2, or None")
