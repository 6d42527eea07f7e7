"""What decides a run from random weights: mixtures, phases, rates. Data only; importing it needs no torch."""

from dataclasses import dataclass, field

from train.naturalworld.queries import NaturalMix
from train.shapeworld.queries import QueryMix


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """What a batch of videos is drawn from."""

    videos: int
    questions: int
    ticks: tuple[int, int]
    rich_share: float
    """Share of batches of the rich tier; what is left is plain."""
    sparse_share: float = 0.0
    query_mix: QueryMix = field(default_factory=QueryMix)
    tokens_per_frame: float = 8.0
    min_tokens: int = 4
    other_budgets: float = 0.3
    """Share of batches with another budget: one token a frame at least, three to ten on average."""
    allocators: tuple[tuple[str, float], ...] = (("uniform", 0.2), ("saa", 0.8))
    """Share of batches with each allocator."""
    stamps: str = "interleaved"
    """One of `stamp_styles.STYLES`."""
    odd_clocks: float = 0.2
    """Share of clips whose frames are not a beat apart, and of those whose last frame is cut short."""
    beat_s: float | None = None
    """Seconds of every beat, or None: the scene's own."""
    motion: float = 0.0
    wall_chances: tuple[float, float] = (0.45, 0.15)
    """Chances that the wall changes, and once more: only two changes make the wall's colour worth reading."""
    max_tokens: int = 16
    natural_share: float = 0.0
    """Share of batches of naturalworld; those draw their clips and questions by the fields above that apply."""
    natural_mix: NaturalMix = field(default_factory=NaturalMix)
    montage_share: float = 0.0
    """Share of naturalworld's clips that are cut fast."""
    longest_question: int = 48
    """Question and answer together, in tokens; longer ones are left out of training."""
    varied: bool = False
    """Whether naturalworld's photographs are mirrored, in other lights and seen from everywhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """From `first_step` of the joint stage on, batches are drawn from this mixture."""

    first_step: int
    mixture: Mixture
    rate: float = 1.0
    """Factor on every learning rate."""
    vision_rate: float = 1.0
    """Further factor on the vision tower's."""
    vision_weight: float = 0.15
    """Weight of the vision losses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScratchRecipe:
    """Everything that decides what a run makes."""

    name: str
    seed: int = 0
    follows: str | None = None
    """Recipe whose finished run this one goes on from; None: it begins with random weights."""
    begins_with_checkpoint: bool = False
    """Whether the run begins with the weights of a checkpoint, whose tokenizer it makes larger."""
    natural_vision_share: float = 0.0
    """Share of the vision stage's batches that are of naturalworld."""
    tokenizer_seed: int | None = None
    """Seed of the text that the tokenizer is made from, or None: the run's own."""
    vision_steps: int
    vision_frames: int = 192
    vision_rich_share: float = 0.7
    joint_steps: int
    batches_from: int = 0
    """Number of the joint stage's first batch: a recipe that follows another draws other clips."""
    phases: tuple[Phase, ...]
    vision_rates: tuple[float, float] = (1.2e-2, 3e-3)
    """Learning rates of the vision stage: matrices (Muon with arXiv 2502.16982's RMS matching) and everything else."""
    joint_rates: tuple[float, float] = (3.5e-3, 1.5e-3)
    """The same of the joint stage."""
    warmup_steps: int = 20
    vision_decay_share: float = 0.4
    joint_decay_share: float = 0.65
    """Share of each stage's end over which the rate falls to nothing."""
    four_bit_share: float = 0.12
    """Share of the joint stage's end that is trained with NF4 rounding."""
    weight_decay: float = 0.01
    bf16: bool = True
    """bfloat16 autocast: four times faster where the processor has it, three times slower where it has not."""
    threads: int = 2
    loader_processes: int = 1
    """1 makes batches beside the training, 0 in between; the batches are the same."""
    save_every: int = 200
    record_every: int = 20

    @property
    def needs_assets(self) -> bool:
        """Whether photographs and pictures of things are needed."""
        return self.natural_vision_share > 0 or any(phase.mixture.natural_share > 0 for phase in self.phases)

    @property
    def shows_shapes(self) -> bool:
        """Whether any batch of the joint stage is of shapeworld."""
        return any(phase.mixture.natural_share < 1 for phase in self.phases)

    @property
    def natural_mix(self) -> NaturalMix:
        """What the joint stage begins to ask about naturalworld: tokenizer and vocabulary are made for it."""
        return self.phases[0].mixture.natural_mix

    def phase(self, step: int) -> Phase:
        """The joint stage's phase at a step."""
        return [phase for phase in self.phases if phase.first_step <= step][-1]
