"""Recipes: functions that return a full configuration. A run is a recipe, a seed and a folder."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from train.config import PirGrpoConfig, RefreshConfig, SftConfig
from train.data.negatives import NegativeShares
from train.grpo.rewards import TVG_R1
from train.naturalworld.queries import FOOTAGE_MIX, NaturalMix
from train.scratch.recipe import Mixture, Phase, ScratchRecipe
from train.shapeworld.queries import QueryMix


def tempo_tiny(seed: int = 0) -> ScratchRecipe:
    """tempo-tiny: shapeworld from random weights, about an hour and a half on two quiet cores.

    Short clips first, then all lengths; plain pictures first, then mostly rich ones; 4-bit rounding at the end.
    The vision tower learns at a quarter of the joint stage's rate: at full rate it forgets shapes. Walls, pairs and
    counts are asked for where they do not hold as often as where they do, and walls change more than once: where one
    wall changes and is asked for, its colour need not be read.
    """
    query_mix = QueryMix(
        irrelevant=0.42,
        negatives=(0.4, 0.15, 0.15, 0.3),
        absent_near=0.5,
        absent_kinds=("scene",) * 4 + ("pair", "count") * 3 + ("size", "existence", "shape", "colour"),
    )
    short = Mixture(
        videos=10, questions=8, ticks=(8, 14), rich_share=0.4, query_mix=query_mix, wall_chances=(0.9, 0.9)
    )
    middle = replace(short, videos=8, ticks=(10, 24), rich_share=0.5)
    long = replace(short, videos=7, ticks=(10, 40), rich_share=0.55)
    return ScratchRecipe(
        name="tempo-tiny",
        seed=seed,
        vision_steps=700,
        joint_steps=5000,
        phases=(
            Phase(first_step=0, mixture=short, vision_rate=0.25, vision_weight=0.6),
            Phase(first_step=700, mixture=middle, vision_rate=0.25, vision_weight=0.5),
            Phase(first_step=1600, mixture=long, vision_rate=0.25, vision_weight=0.4),
        ),
    )


def tempo_tiny_motion(seed: int = 0) -> ScratchRecipe:
    """Motion, order and several moments, on from a finished run of tempo-tiny: about twenty minutes.

    Half of the relevant questions are of the hard kinds, and half of the things slide; the rest is what the run before
    learned, so that it is not forgotten.
    """
    before = tempo_tiny(seed)
    long = before.phases[-1].mixture
    mix = replace(long.query_mix, hard_share=0.5, hard_kinds=("motion", "motion", "order", "several"))
    moving = replace(long, query_mix=mix, motion=0.5, wall_chances=(0.45, 0.15))
    return replace(
        before,
        name="tempo-tiny-motion",
        follows="tempo-tiny",
        vision_steps=0,
        joint_steps=1200,
        batches_from=before.joint_steps,
        phases=(Phase(first_step=0, mixture=moving, rate=0.4, vision_rate=0.25, vision_weight=0.4),),
        four_bit_share=0.3,
    )


def tempo_tiny_natural(seed: int = 0) -> ScratchRecipe:
    """Real pictures for the tempo-tiny that ships: photographs, camera and cutting, 600 named things; about ten hours.

    It begins with a checkpoint, whose vocabulary grows from 1,024 to 4,096 tokens. A vision stage teaches the tower
    what the things look like; then short clips, all lengths, and at last 4-bit rounding. Two batches of five are of
    shapeworld throughout, so that it is not forgotten.
    """
    before = tempo_tiny(seed)
    hard = replace(
        before.phases[-1].mixture.query_mix,
        hard_share=0.3,
        hard_kinds=("motion", "motion", "order", "several"),
    )
    short = replace(
        before.phases[0].mixture,
        videos=8,
        ticks=(8, 14),
        query_mix=hard,
        motion=0.3,
        natural_share=0.6,
    )
    middle = replace(short, videos=7, ticks=(10, 24))
    long = replace(short, videos=6, ticks=(10, 40))
    return replace(
        before,
        name="tempo-tiny-natural",
        begins_with_checkpoint=True,
        vision_steps=2500,
        natural_vision_share=0.75,
        vision_frames=128,
        vision_rates=(4e-3, 1.5e-3),
        joint_steps=14_000,
        joint_rates=(2.5e-3, 1.5e-3),
        batches_from=10_000,
        phases=(
            Phase(first_step=0, mixture=short, vision_rate=0.35, vision_weight=0.5),
            Phase(first_step=3000, mixture=middle, vision_rate=0.3, vision_weight=0.4),
            Phase(first_step=7000, mixture=long, vision_rate=0.25, vision_weight=0.3),
        ),
        four_bit_share=0.15,
    )


def tempo_tiny_natural_pilot(seed: int = 0) -> ScratchRecipe:
    """An hour of tempo-tiny-natural on one busy core: short clips, mostly camera, picture and cutting."""
    whole = tempo_tiny_natural(seed)
    events = NaturalMix(
        kinds=("picture", "picture", "cutting", "cutting", "camera", "name", "category", "several")
    )
    short = replace(
        whole.phases[0].mixture,
        videos=4,
        ticks=(8, 12),
        natural_share=0.7,
        natural_mix=events,
        other_budgets=0.1,
    )
    return replace(
        whole,
        name="tempo-tiny-natural-pilot",
        vision_steps=20,
        vision_frames=48,
        joint_steps=300,
        phases=(Phase(first_step=0, mixture=short, vision_rate=0.35, vision_weight=0.3),),
        threads=1,
        save_every=20,
        record_every=10,
    )


def tempo_tiny_footage(seed: int = 0) -> ScratchRecipe:
    """A tempo-tiny for anybody's footage that knows cutting and looks only: an hour and a half on two cores.

    It begins with the checkpoint that ships and gives up its shapes. Things come, go and slide in the pictures, and the
    camera moves, so that neither is taken for a cut; nobody asks for them.
    """
    whole = tempo_tiny_natural(seed)
    short = replace(
        whole.phases[0].mixture,
        videos=6,
        ticks=(8, 14),
        natural_share=1.0,
        natural_mix=replace(FOOTAGE_MIX, irrelevant=0.4),
        montage_share=0.2,
        longest_question=128,
        varied=True,
        other_budgets=0.15,
    )
    cutting = replace(short.natural_mix, kinds=("cutting", "cutting", "picture"))  # cuts are learned last
    middle = replace(short, videos=5, ticks=(10, 24), natural_mix=cutting)
    long = replace(middle, videos=4, ticks=(10, 40))
    return replace(
        whole,
        name="tempo-tiny-footage",
        vision_steps=0,
        joint_steps=2400,
        phases=(
            Phase(first_step=0, mixture=short, vision_rate=0.35, vision_weight=0.1),
            Phase(first_step=1100, mixture=middle, vision_rate=0.35, vision_weight=0.1),
            Phase(first_step=1700, mixture=long, vision_rate=0.3, vision_weight=0.1),
        ),
        joint_decay_share=0.5,
        save_every=100,
    )


RECIPES = {
    "tempo-tiny": tempo_tiny,
    "tempo-tiny-motion": tempo_tiny_motion,
    "tempo-tiny-natural": tempo_tiny_natural,
    "tempo-tiny-natural-pilot": tempo_tiny_natural_pilot,
    "tempo-tiny-footage": tempo_tiny_footage,
}


def tempo_tiny_refresh(seed: int = 0) -> RefreshConfig:
    """tempo-tiny learns from corrections on two cores, in minutes: LoRA on the NF4 base that is served.

    PIR-GRPO adds nothing measurable to right labels and loses less than SFT to wrong ones (docs/experiments.md), so SFT
    is short. No negatives are made: shapeworld is so dense that a query with one word exchanged still holds somewhere
    in more than a fifth of the clips, and rows alone cannot tell; replay brings exact ones.
    """
    name = "tempo-tiny-refresh"
    sft = SftConfig(
        name=name, seed=seed, learning_rate=2e-4, epochs=3.0, save_steps=10, logging_steps=2, threads=2
    )
    pir = PirGrpoConfig(
        name=name,
        seed=seed,
        learning_rate=1e-4,
        steps=10,
        groups=64,
        save_steps=2,
        logging_steps=1,
        threads=2,
    )
    return RefreshConfig(name=name, seed=seed, sft=sft, pir=pir)


def qwen2_vl_2b(seed: int = 0) -> RefreshConfig:
    """Qwen2-VL-2B-Instruct with QLoRA on one GPU of 24 GB. Rates: TVG-R1 (2507.18100) for RL, QLoRA's for SFT."""
    return _qlora("qwen2-vl-2b", seed, sft_rate=1e-4, pir_rate=1e-5)


def qwen2_vl_7b(seed: int = 0) -> RefreshConfig:
    """Qwen2-VL-7B-Instruct with QLoRA on one GPU of 40 GB or more."""
    return _qlora("qwen2-vl-7b", seed, sft_rate=5e-5, pir_rate=5e-6)


def _qlora(name: str, seed: int, *, sft_rate: float, pir_rate: float) -> RefreshConfig:
    """Both stages on an NF4 base. Many groups in few steps: with few groups a step tempo-tiny followed noise
    (docs/experiments.md). Not run at this size.
    """
    shared: dict[str, Any] = {
        "name": name,
        "seed": seed,
        "rank": 32,
        "alpha": 64,
        "gradient_checkpointing": True,
    }
    sft = SftConfig(
        **shared,
        learning_rate=sft_rate,
        epochs=2.0,
        questions_per_row=6,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=8,
        batch_tokens=8192,
    )
    pir = PirGrpoConfig(
        **shared,
        learning_rate=pir_rate,
        steps=75,
        groups=32,
        inject_refusal="always",
        patience=15,
        save_steps=5,
        logging_steps=1,
    )
    return RefreshConfig(name=name, seed=seed, sft=sft, pir=pir, negatives=NegativeShares(), world_clips=0)


def qwen2_vl_7b_gpus(seed: int = 0) -> RefreshConfig:
    """Qwen2-VL-7B-Instruct on several GPUs, whole base in bfloat16, one adapter: launch with accelerate.

    accelerate launch --config_file train/configs/ddp.yaml -m train sft --recipe qwen2-vl-7b-gpus ...
    """
    recipe, name = qwen2_vl_7b(seed), "qwen2-vl-7b-gpus"
    assert recipe.pir is not None
    return replace(
        recipe,
        name=name,
        four_bit=False,
        sft=replace(recipe.sft, name=name, gradient_accumulation_steps=2),
        pir=replace(recipe.pir, name=name, groups=8),
    )


def tvg_r1(base: Callable[[int], RefreshConfig], name: str, seed: int) -> RefreshConfig:
    """TVG-R1's two stages (2507.18100) on another recipe's model: a cold start on curated rows, then RL on rows that
    are neither solved nor hopeless, 0.9 tIoU + 0.1 format, eight answers at temperature 1, no KL.

    Its answers are free text, so that the format is something to earn. No irrelevant pairs are made: the paper has
    none, and those that annotators and replay hold stay. Its learning rate of 1e-6 is for full weights: an adapter
    needs about ten times as much (decided here).
    """
    recipe = base(seed)
    assert recipe.pir is not None
    pir = replace(
        recipe.pir,
        name=name,
        rewards=TVG_R1,
        difficulty="tvg-r1",
        constrained=False,
        inject_refusal="never",
        num_generations=8,
        temperature=1.0,
        loss_type="grpo",
        beta=0.0,
        learning_rate=1e-5,
    )
    return replace(recipe, name=name, sft=replace(recipe.sft, name=name), pir=pir, negatives=None)


FINE_TUNING: dict[str, Callable[..., RefreshConfig]] = {
    "tempo-tiny-refresh": tempo_tiny_refresh,
    "tempo-tiny-tvg-r1": lambda seed=0: tvg_r1(tempo_tiny_refresh, "tempo-tiny-tvg-r1", seed),
    "qwen2-vl-7b-tvg-r1": lambda seed=0: tvg_r1(qwen2_vl_7b, "qwen2-vl-7b-tvg-r1", seed),
    "qwen2-vl-2b": qwen2_vl_2b,
    "qwen2-vl-7b": qwen2_vl_7b,
    "qwen2-vl-7b-gpus": qwen2_vl_7b_gpus,
}
"""Recipes for further training: `train sft`, `train pir-grpo` and `train refresh` take them."""
