"""Where PIR-GRPO is meant to pay: what each scenario starts from, learns from and is measured on. Data only.

The question is always the same: does PIR-GRPO gain more than the same minutes of further supervised training?
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from train.data.negatives import NegativeShares
from train.experiments.rows import RELEVANT_ONLY, Noise, PairsPlan
from train.experiments.world import WorldPlan
from train.shapeworld.queries import TEST_MIX, QueryMix

HARD = NegativeShares(irrelevant=5 / 13, edited=0.8, same_video=0.0, shuffled=0.2)
EASY = NegativeShares(irrelevant=5 / 13, edited=0.0, same_video=0.0, shuffled=1.0)
"""Five irrelevant pairs to eight relevant ones. A refusal earns 1 on every irrelevant pair and an answer its tIoU on
every relevant one, so that a model which cannot tell them apart yet does best to refuse everything once irrelevant
pairs are more than relevant ones times mean tIoU (docs/experiments.md tells of a run that went there)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Treatment:
    """One way to spend the minutes."""

    name: str
    method: Literal["pir", "sft", "none"]
    """`none`: the initial model as it is."""
    negatives: NegativeShares | None = None
    """Irrelevant pairs made for it; None: the rows as they are."""
    beta: float = 0.0
    """PIR-GRPO's pull back to the initial model (KL)."""
    show_refusals: Literal["never", "irrelevant", "always"] = "never"
    """In which groups without a refusal one rollout becomes it."""
    rate: float | None = None
    """Learning rate; None: the budget's for the method."""
    difficulty: str | None = None
    """A rule of `train.grpo.difficulty`: rows that get no weight by it, on the initial model, are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColdStart:
    """What the initial model learns by SFT, from random language weights or on from a model of the whole world."""

    name: str
    mix: QueryMix
    rich_share: float
    ticks: tuple[int, int]
    fresh_language: bool = True
    steps: int = 1500
    rate: float = 1.0
    """Factor on the learning rates of training from random weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """The first treatment is the claim; every other one, and the initial model, is what it is compared with."""

    name: str
    cold_start: ColdStart | None
    """None: the model that `start` names, as it is."""
    treatments: tuple[Treatment, ...]
    teach: PairsPlan
    worlds: dict[str, WorldPlan]
    noise: Noise = field(default_factory=Noise)


_PIR, _SFT = Treatment(name="pir", method="pir", beta=0.05), Treatment(name="sft", method="sft")
_GENTLE = Treatment(name="sft-gentle", method="sft", rate=3e-5)
_PIR_GENTLE = replace(_PIR, rate=3e-5)
"""Few or wrong labels punish a fast learner: both are given a slower rate, SFT its usual one as well. Where there are
enough right ones PIR-GRPO keeps its rate, and SFT still has both, so that no gain is a matter of rates alone."""
_TRAINING_MIX = QueryMix(irrelevant=0.35, negatives=(0.5, 0.2, 0.15, 0.15), hard_share=0.0, hard_kinds=())
_HARD_KINDS = ("motion", "order", "several")
_EVEN = replace(_TRAINING_MIX, wordings="even")
_TEST_EVEN = replace(TEST_MIX, wordings="even")
_SHORT = (8, 14)
_HOME = ColdStart(name="home", mix=_EVEN, rich_share=0.0, ticks=_SHORT)
_HOME_WORLD = WorldPlan(tier="plain", ticks=_SHORT, mix=_TEST_EVEN, seed=12, clips=80)
_RICH_PAIRS = PairsPlan(rich_share=1.0, ticks=_SHORT, mix=_EVEN)
_RICH_WORLD = {"rich": replace(_HOME_WORLD, tier="rich", clips=200)}

_SCENARIOS = (
    # A trained model that saw relevant pairs only until it refused nothing (Tempo-R0's two stages).
    Scenario(
        name="stages",
        cold_start=ColdStart(
            name="relevant-only",
            mix=RELEVANT_ONLY,
            rich_share=0.0,
            ticks=_SHORT,
            fresh_language=False,
            steps=300,
        ),
        treatments=(
            Treatment(name="pir-hard", method="pir", negatives=HARD, show_refusals="always"),
            Treatment(name="pir-shuffled", method="pir", negatives=EASY, show_refusals="always"),
            Treatment(name="sft-relevant", method="sft"),
            Treatment(name="sft-hard", method="sft", negatives=HARD),
        ),
        teach=PairsPlan(rich_share=0.0, ticks=_SHORT),
        worlds={"plain": WorldPlan(tier="plain", ticks=_SHORT, seed=14)},
    ),
    # 20 labels (1 %) of a new world: plain pictures known, rich ones asked.
    Scenario(
        name="few-1",
        cold_start=_HOME,
        treatments=(_PIR_GENTLE, _SFT, _GENTLE),
        teach=replace(_RICH_PAIRS, clips=4),
        worlds=_RICH_WORLD,
    ),
    # 100 labels (5 %) of it.
    Scenario(
        name="few-5",
        cold_start=_HOME,
        treatments=(_PIR_GENTLE, _SFT, _GENTLE),
        teach=replace(_RICH_PAIRS, clips=20),
        worlds=_RICH_WORLD,
    ),
    # Labels of a new world with edges one or two frames off and a fifth of the verdicts wrong.
    Scenario(
        name="noisy",
        cold_start=_HOME,
        treatments=(
            replace(_PIR_GENTLE, difficulty="tvg-r1"),
            replace(_PIR_GENTLE, name="pir-all-rows"),
            _SFT,
            _GENTLE,
            replace(_GENTLE, name="sft-filtered", difficulty="tvg-r1"),
        ),
        teach=replace(_RICH_PAIRS, clips=100),
        noise=Noise(jitter_frames=2, wrong_verdicts=0.2),
        worlds=_RICH_WORLD,
    ),
    # Motion, order and several moments, from the model that `--start` names.
    Scenario(
        name="hard",
        cold_start=None,
        treatments=(_PIR, _SFT, _GENTLE),
        teach=PairsPlan(
            rich_share=0.7, motion=0.5, mix=replace(_TRAINING_MIX, hard_share=0.75, hard_kinds=_HARD_KINDS)
        ),
        worlds={
            "hard": WorldPlan(
                tier="rich",
                seed=12,
                motion=0.4,
                mix=replace(TEST_MIX, hard_share=1.0, hard_kinds=_HARD_KINDS),
            )
        },
    ),
    # Taught short plain clips in half of the wordings; asked other pictures, lengths, cameras, wordings, pairs.
    Scenario(
        name="transfer",
        cold_start=_HOME,
        treatments=(_PIR, _SFT, _GENTLE),
        teach=PairsPlan(clips=400, rich_share=0.0, ticks=_SHORT, mix=_EVEN),
        worlds={
            "home": _HOME_WORLD,
            "pictures": replace(_HOME_WORLD, tier="rich"),
            "lengths": replace(_HOME_WORLD, ticks=(24, 40)),
            "camera": replace(_HOME_WORLD, shake=0.08),
            "wordings": replace(_HOME_WORLD, mix=replace(TEST_MIX, wordings="odd")),
            "pairs": replace(
                _HOME_WORLD, queries=3, mix=replace(_TEST_EVEN, irrelevant=0.0, held_out_pairs="only")
            ),
        },
    ),
)
SCENARIOS = {scenario.name: scenario for scenario in _SCENARIOS}
