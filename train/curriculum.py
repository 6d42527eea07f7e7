"""Difficulty-controlled PIR-GRPO: measure how hard each row is for the model, draw rows accordingly, train.

TVG-R1 (2507.18100), TimeLens and TimeLens2 measure once, before the run. Time-R1 (2503.13377) measures again before
every epoch, so its run is one of rounds, each in a folder of its own. Without a rule this is `run_pir_grpo` itself.
"""

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from train.difficulty import EVERY_EPOCH, measure, sampling_weights
from train.encoding import Encoder
from train.examples import Example, require_training
from train.pir_config import PirGrpoConfig
from train.sft import Progress

Counted = Callable[[int, int], None]


def run_curriculum(
    model: Any,
    tokenizer: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: PirGrpoConfig,
    out_dir: Path,
    *,
    progress: Progress = lambda line: None,
    cache: Path | None = None,
    counted: Counted = lambda done, total: None,
    cancel: threading.Event | None = None,
) -> Any:
    """`run_pir_grpo` with rows drawn as `config.difficulty` says; result, resuming and errors are the same.

    `counted` hears (rows measured, rows). What was measured is kept in `cache` (None: `out_dir`/difficulty) by the
    model's weights and the rows, so a run that goes on draws the same rows and another one need not measure again.
    With rounds, the last one's result is in `out_dir`/adapter (or /checkpoint) as well.
    """
    from train.pir_grpo import run_pir_grpo

    if config.difficulty is None or not examples:
        return run_pir_grpo(
            model, tokenizer, encoder, examples, config, out_dir, progress=progress, cancel=cancel
        )
    require_training(examples)
    plan = rounds(config, len(examples), devices=int(os.environ.get("WORLD_SIZE", "1")))
    for number, each in enumerate(plan):
        folder = out_dir / f"round-{number + 1}" if len(plan) > 1 else out_dir
        weights = _weights(model, encoder, examples, each, cache or out_dir / "difficulty", counted, cancel)
        model = run_pir_grpo(
            model, tokenizer, encoder, examples, each, folder, weights=weights, cancel=cancel,
            progress=_in_round(number + 1, progress),
        )  # fmt: skip
    if len(plan) > 1:
        _publish(folder / ("adapter" if config.method == "lora" else "checkpoint"), out_dir)
    return model


def rounds(config: PirGrpoConfig, examples: int, *, devices: int = 1) -> list[PirGrpoConfig]:
    """The configuration of every round: one an epoch where the rule measures before each, else the run itself."""
    if config.difficulty not in EVERY_EPOCH:
        return [config]
    an_epoch = -(-examples // (config.groups * devices)) * config.updates
    lengths = [min(an_epoch, config.steps - start) for start in range(0, config.steps, an_epoch)]
    if len(lengths) == 1:
        return [config]
    return [  # at one rate: a fall in every round would begin anew in the next
        replace(
            config, steps=steps, seed=config.seed + number, schedule="constant",
            warmup_share=config.warmup_share if not number else 0.0,
        )
        for number, steps in enumerate(lengths)
    ]  # fmt: skip


def _in_round(number: int, progress: Progress) -> Progress:
    return lambda line: progress({"round": number, **line})


def _weights(
    model: Any, encoder: Encoder, examples: Sequence[Example], config: PirGrpoConfig, cache: Path, counted: Counted,
    cancel: threading.Event | None,
) -> list[float]:  # fmt: skip
    from accelerate import PartialState

    from train.sft import weights_digest

    assert config.difficulty is not None
    with PartialState().main_process_first():  # the others find the file
        found = measure(
            model.eval(), encoder, examples, model_id=weights_digest(model), cache=cache, rollouts=config.rollouts,
            temperature=config.temperature, constrained=config.constrained, max_new_tokens=config.max_new_tokens,
            thinking=config.thinking, seed=config.seed, progress=counted, cancel=cancel,
        )  # fmt: skip
    return sampling_weights(found, config.difficulty)


def _publish(made: Path, out_dir: Path) -> None:
    """The last round's result under the name that a run without rounds gives it."""
    if int(os.environ.get("RANK", "0")) or (out_dir / made.name).exists():
        return
    partial = out_dir / f"{made.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(made, partial)
    partial.rename(out_dir / made.name)
