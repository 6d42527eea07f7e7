"""What decides a fine-tuning run or a refresh. Fields that TRL's GRPOConfig has too carry its names. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from tempo_core.errors import InputError
from train.data.negatives import NegativeShares
from train.grpo.rewards import RewardWeights

DifficultyRule = Literal["tvg-r1", "timelens", "timelens2", "time-r1"]
"""Those of `train.grpo.difficulty`."""

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


def require(good: bool, config: Any, name: str, rule: str) -> None:
    """Raise InputError naming the field, its value and the rule, unless `good`."""
    if not good:
        raise InputError(f"{type(config).__name__}.{name} is {getattr(config, name)!r}; it must be {rule}.")


def require_positive(config: Any, *names: str) -> None:
    """Raise InputError unless all these fields are positive whole numbers."""
    for name in names:
        value = getattr(config, name)
        require(type(value) is int and value > 0, config, name, "a positive whole number")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """The fields that SftConfig and PirGrpoConfig share."""

    name: str
    seed: int = 0
    method: Literal["lora", "full"] = "lora"
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
    difficulty: DifficultyRule | None = None
    """How rows are drawn by how hard they are for the model; None: all alike."""
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
        rules = get_args(DifficultyRule)
        is_rule = self.difficulty is None or self.difficulty in rules
        require(is_rule, self, "difficulty", f"one of {', '.join(rules)}")
        require(self.patience is None or self.patience > 1, self, "patience", "at least 2, or None")


@dataclass(frozen=True, kw_only=True, slots=True)
class PromotionCriteria:
    """When a new adapter may be promoted by itself."""

    metric: str = "ra_iou"
    """What must rise on the corrected held-out rows, with a 95 % interval above 0."""
    refusal_metrics: tuple[str, ...] = ("refused_f1", "relevant_f1")
    """What may not fall anywhere by more than `tolerance`."""
    replay_metrics: tuple[str, ...] = ("ra_iou",)
    """What may not fall on the replay's own held-out rows by more than `tolerance`."""
    tolerance: float = 0.02
    min_rows: int = 20
    """Corrected held-out rows without which nothing is promoted."""
    min_clips: int = 8
    """Clips that these rows must be about: within a clip, answers rise and fall together."""
    num_resamples: int = 2000
    """Draws of the paired bootstrap over videos."""

    def __post_init__(self) -> None:
        require(0 <= self.tolerance < 1, self, "tolerance", "at least 0 and below 1")
        require(self.min_rows > 0, self, "min_rows", "a positive whole number")
        require(self.min_clips > 1, self, "min_clips", "a whole number above 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshConfig:
    """From a snapshot of corrections to a new adapter, or to the finding that there should be none."""

    name: str
    seed: int = 0
    sft: SftConfig
    pir: PirGrpoConfig | None = None
    """PIR-GRPO after SFT; None: none."""
    negatives: NegativeShares | None = None
    """Irrelevant pairs that are made for PIR-GRPO; None: only those that annotators and replay hold."""
    four_bit: bool = True
    """Train on the base in NF4, as it is served."""
    uncorrected: Literal["leave", "use"] = "leave"
    """Whether training rows that nobody corrected teach too."""
    original_weight: float = 0.5
    """Weight of those, if they do."""
    replay_share: float = 0.5
    """Share of the training rows that are replay, so that nothing old is forgotten. 0: none."""
    min_replay_rows: int = 40
    """Replay rows at least, however few corrections there are."""
    held_out_share: float = 0.2
    """Of the clips without a split, the share that is kept for measuring."""
    world_clips: int = 24
    """Shapeworld clips on which old and new are compared (tempo-tiny only)."""
    criteria: PromotionCriteria = PromotionCriteria()

    def __post_init__(self) -> None:
        if self.pir is not None and (self.pir.token_budget, self.pir.thinking) != (
            self.sft.token_budget,
            self.sft.thinking,
        ):
            raise InputError(
                "RefreshConfig.sft and .pir differ in token_budget or thinking; both stages read the same prompts."
            )
        require(0 <= self.replay_share < 1, self, "replay_share", "at least 0 and below 1")
        require(0 <= self.held_out_share < 1, self, "held_out_share", "at least 0 and below 1")
        require(0 < self.original_weight <= 1, self, "original_weight", "above 0 and at most 1")
        require(self.uncorrected in ("leave", "use"), self, "uncorrected", "leave or use")


def criteria_of(recipe: Mapping[str, Any]) -> PromotionCriteria:
    """The promotion criteria of a recipe as `as_dict` wrote it; those of before they were recorded are the default.

    Raises InputError.
    """
    on_disk = recipe.get(NAMES_ON_DISK["criteria"], {})
    values: dict[str, Any] = {}
    for criterion in fields(PromotionCriteria):
        name = NAMES_ON_DISK.get(criterion.name, criterion.name)
        if name in on_disk:
            values[criterion.name] = (
                tuple(on_disk[name]) if isinstance(on_disk[name], list) else on_disk[name]
            )
    return PromotionCriteria(**values)


def as_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain values under the names that files use, configurations inside it too."""
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    return {
        NAMES_ON_DISK.get(name, name): as_dict(value) if hasattr(value, "__dataclass_fields__") else value
        for name, value in values.items()
    }
