"""What decides a refresh: its two stages, what they learn from, and when the result may be served. Imports no torch."""

from dataclasses import dataclass, field
from typing import Literal

from tempo_core.errors import InputError
from train.config import require
from train.data.negatives import NegativeShares
from train.grpo.config import PirGrpoConfig
from train.sft.config import SftConfig


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
    criteria: PromotionCriteria = field(default_factory=PromotionCriteria)

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
