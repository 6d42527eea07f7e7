"""Where PIR-GRPO is meant to pay: what each scenario starts from, learns from and is measured on. Data only.

The question is always the same: does PIR-GRPO gain more than the same minutes of further supervised training?
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from train.data.negatives import NegativeShares
from train.experiments.pairs import RELEVANT_ONLY, PairsPlan
from train.experiments.world import WorldPlan
from train.shapeworld.queries import QueryMix

HARD = NegativeShares(irrelevant=5 / 13, edited=0.8, same_video=0.0, shuffled=0.2)
EASY = NegativeShares(irrelevant=5 / 13, edited=0.0, same_video=0.0, shuffled=1.0)
"""Five irrelevant pairs to eight relevant ones. A refusal earns 1 on every irrelevant pair and an answer its tIoU on
every relevant one, so that a model which cannot tell them apart yet does best to refuse everything once irrelevant
pairs are more than relevant ones times mean tIoU (docs/experiments.md tells of a run that went there)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One way to spend the minutes."""

    name: str
    method: str
    """`pir` or `sft`."""
    negatives: NegativeShares | None = None
    """Irrelevant pairs made for it; None: the rows as they are."""
    beta: float = 0.0
    """PIR-GRPO's pull back to the cold model (KL)."""
    show_refusals: Literal["never", "irrelevant", "always"] = "never"
    """In which groups without a refusal one rollout becomes it."""
    rate: float | None = None
    """Learning rate; None: the effort's for the method."""
    difficulty: str | None = None
    """Rows to which this rule of `train.grpo.difficulty` gives no weight are left out, measured on the cold model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cold:
    """What the cold start learns, from random language weights or on from a model that knows the whole world."""

    name: str
    mix: QueryMix
    rich_share: float
    ticks: tuple[int, int]
    fresh_language: bool = True
    steps: int = 1500
    rate: float = 1.0
    """Factor on the learning rates of training from random weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """What is wrong with the labels."""

    jitter_frames: int = 0
    """Every edge is moved by up to so many frames, never by none."""
    wrong_verdicts: float = 0.0
    """Share of rows whose verdict is turned round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """The first arm is the claim; every other one, and the cold model, is what it is compared with."""

    name: str
    about: str
    cold: Cold | None
    """None: the model that `start` names, as it is."""
    arms: tuple[Arm, ...]
    teach: PairsPlan
    worlds: tuple[tuple[str, WorldPlan], ...]
    noise: Noise = field(default_factory=Noise)


_PIR, _SFT = Arm(name="pir", method="pir", beta=0.05), Arm(name="sft", method="sft")
_GENTLE = Arm(name="sft-gentle", method="sft", rate=3e-5)
_PIR_GENTLE = replace(_PIR, rate=3e-5)
"""Few or wrong labels punish a fast learner: both are given a slower rate, SFT its usual one as well. Where there are
enough right ones PIR-GRPO keeps its rate, and SFT still has both, so that no gain is a matter of rates alone."""
_ASKED = QueryMix(hard_share=0.0, hard_kinds=(), held_out_words=True)
_TAUGHT = QueryMix(irrelevant=0.35, negatives=(0.5, 0.2, 0.15, 0.15), hard_share=0.0, hard_kinds=())
_EVEN = replace(_TAUGHT, wordings="even")
_SHORT = (8, 14)
_HOME = Cold(name="home", mix=_EVEN, rich_share=0.0, ticks=_SHORT)
_AT_HOME = WorldPlan(tier="plain", ticks=_SHORT, mix=replace(_ASKED, wordings="even"), seed=12, clips=80)
_RICH_PAIRS = PairsPlan(rich_share=1.0, ticks=_SHORT, mix=_EVEN)
_RICH_WORLD = (("rich", replace(_AT_HOME, tier="rich", clips=200)),)

SCENARIOS = {
    each.name: each
    for each in (
        Scenario(
            name="stages",
            about="a trained model that saw relevant pairs only until it refused nothing (Tempo-R0's two stages)",
            cold=Cold(
                name="relevant-only", mix=RELEVANT_ONLY, rich_share=0.0, ticks=_SHORT, fresh_language=False, steps=300
            ),
            arms=(
                Arm(name="pir-hard", method="pir", negatives=HARD, show_refusals="always"),
                Arm(name="pir-shuffled", method="pir", negatives=EASY, show_refusals="always"),
                Arm(name="sft-relevant", method="sft"),
                Arm(name="sft-hard", method="sft", negatives=HARD),
            ),
            teach=PairsPlan(rich_share=0.0, ticks=_SHORT),
            worlds=(("plain", WorldPlan(tier="plain", ticks=_SHORT, mix=_ASKED, seed=14)),),
        ),
        Scenario(
            name="few-1",
            about="20 labels (1 %) of a new world: plain pictures known, rich ones asked",
            cold=_HOME, arms=(_PIR_GENTLE, _SFT, _GENTLE), teach=replace(_RICH_PAIRS, clips=4), worlds=_RICH_WORLD,
        ),
        Scenario(
            name="few-5",
            about="100 labels (5 %) of a new world: plain pictures known, rich ones asked",
            cold=_HOME, arms=(_PIR_GENTLE, _SFT, _GENTLE), teach=replace(_RICH_PAIRS, clips=20), worlds=_RICH_WORLD,
        ),
        Scenario(
            name="noisy",
            about="labels of a new world with edges one or two frames off and a fifth of the verdicts wrong",
            cold=_HOME,
            arms=(
                replace(_PIR_GENTLE, difficulty="tvg-r1"),
                replace(_PIR_GENTLE, name="pir-all-rows"),
                _SFT,
                _GENTLE,
                replace(_GENTLE, name="sft-filtered", difficulty="tvg-r1"),
            ),
            teach=replace(_RICH_PAIRS, clips=100),
            noise=Noise(jitter_frames=2, wrong_verdicts=0.2), worlds=_RICH_WORLD,
        ),
        Scenario(
            name="hard",
            about="motion, order and several moments, from the model that `--start` names",
            cold=None, arms=(_PIR, _SFT, _GENTLE),
            teach=PairsPlan(
                rich_share=0.7, motion=0.5,
                mix=replace(_TAUGHT, hard_share=0.75, hard_kinds=("motion", "order", "several")),
            ),
            worlds=(
                ("hard", WorldPlan(
                    tier="rich", seed=12, motion=0.4,
                    mix=replace(_ASKED, hard_share=1.0, hard_kinds=("motion", "order", "several")),
                )),
            ),
        ),
        Scenario(
            name="transfer",
            about="taught short plain clips in half of the wordings; asked other pictures, lengths, cameras, wordings, "
            "pairs",
            cold=_HOME,
            arms=(_PIR, _SFT, _GENTLE),
            teach=PairsPlan(clips=400, rich_share=0.0, ticks=_SHORT, mix=_EVEN),
            worlds=(
                ("home", _AT_HOME),
                ("pictures", replace(_AT_HOME, tier="rich")),
                ("lengths", replace(_AT_HOME, ticks=(24, 40))),
                ("camera", replace(_AT_HOME, shake=0.08)),
                ("wordings", replace(_AT_HOME, mix=replace(_ASKED, wordings="odd"))),
                ("pairs", replace(
                    _AT_HOME, queries=3,
                    mix=replace(_ASKED, wordings="even", irrelevant=0.0, held_out_pairs="only"),
                )),
            ),
        ),
    )
}  # fmt: skip
