"""Difficulty-controlled PIR-GRPO: measure how hard each row is for the model, draw rows accordingly, train.

TVG-R1 (2507.18100), TimeLens and TimeLens2 measure once, before the run. Time-R1 (2503.13377) measures again before
every epoch, so its run is one of rounds, each in a folder of its own. Without a rule this is `run_pir_grpo` itself.
"""

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from train.checkpoints import read_curves
from train.data.encoding import Encoder
from train.data.examples import Example, require_training
from train.grpo.config import PirGrpoConfig
from train.grpo.difficulty import EVERY_EPOCH, measure, plateaued, sampling_weights
from train.trainer import OnProgress

log = logging.getLogger(__name__)

OnMeasured = Callable[[int, int], None]


def run_curriculum(
    model: Any,
    tokenizer: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: PirGrpoConfig,
    out_dir: Path,
    *,
    on_progress: OnProgress = lambda line: None,
    cache: Path | None = None,
    on_measured: OnMeasured = lambda done, total: None,
    cancel: threading.Event | None = None,
) -> Any:
    """`run_pir_grpo` with rows drawn as `config.difficulty` says; result, resuming and errors are the same.

    `on_measured` hears (rows measured, rows). What was measured is kept in `cache` (None: `out_dir`/difficulty) by the
    model's weights and the rows, so a run that goes on draws the same rows and another one need not measure again.
    With rounds, the last one's result is in `out_dir`/adapter (or /checkpoint) as well, and `out_dir`/curves.jsonl
    has the records of all.
    """
    from accelerate import PartialState

    from train.grpo.trainer import run_pir_grpo

    if config.difficulty is None or not examples:
        return run_pir_grpo(
            model, tokenizer, encoder, examples, config, out_dir, on_progress=on_progress, cancel=cancel
        )
    require_training(examples)
    plan = rounds(config, len(examples), devices=int(os.environ.get("WORLD_SIZE", "1")))
    cache, lines = cache or out_dir / "difficulty", list[dict[str, Any]]()
    for number, each in enumerate(plan, start=1):
        folder = out_dir / f"round-{number}" if len(plan) > 1 else out_dir
        hear = partial(_in_round, number, lines, folder, out_dir, config.steps, on_progress)
        model = run_pir_grpo(
            model,
            tokenizer,
            encoder,
            examples,
            each,
            folder,
            weights=_weights(model, encoder, examples, each, cache, on_measured, cancel),
            earlier=lines,
            cancel=cancel,
            on_progress=on_progress if len(plan) == 1 else hear,
        )
        PartialState().wait_for_everyone()  # the first process writes the records
        lines += _counted_on(lines, read_curves(folder / "curves.jsonl"), number, config.steps)
        if config.patience is not None and plateaued(
            lines, patience=config.patience, min_gain=config.min_gain
        ):
            break
    if len(plan) > 1:
        _publish(folder / ("adapter" if config.method == "lora" else "checkpoint"), out_dir)
    return model


def rounds(config: PirGrpoConfig, examples: int, *, devices: int = 1) -> list[PirGrpoConfig]:
    """The configuration of every round: one an epoch where the rule measures before each, else the run itself."""
    if config.difficulty not in EVERY_EPOCH:
        return [config]
    an_epoch = -(-examples // (config.groups * devices)) * config.num_iterations
    lengths = [min(an_epoch, config.steps - start) for start in range(0, config.steps, an_epoch)]
    if len(lengths) == 1:
        return [config]
    return [  # at one rate: a fall in every round would begin anew in the next
        replace(
            config,
            steps=steps,
            seed=config.seed + number,
            lr_scheduler_type="constant",
            warmup_ratio=config.warmup_ratio if not number else 0.0,
        )
        for number, steps in enumerate(lengths)
    ]


def _in_round(
    number: int,
    before: list[dict[str, Any]],
    folder: Path,
    out_dir: Path,
    steps: int,
    on_progress: OnProgress,
    _: dict[str, Any],
) -> None:
    """Write the curves of all rounds so far as one, and pass the newest line on."""
    now = _counted_on(before, read_curves(folder / "curves.jsonl"), number, steps)
    part = out_dir / ".curves.part"
    part.write_text("".join(json.dumps(each) + "\n" for each in [*before, *now]), encoding="utf-8")
    part.replace(out_dir / "curves.jsonl")
    on_progress(now[-1])


def _counted_on(
    before: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]], number: int, steps: int
) -> list[dict[str, Any]]:
    """A round's records with steps and seconds on_measured from the first round on."""
    step, seconds = (before[-1]["step"], before[-1]["seconds"]) if before else (0, 0.0)
    return [
        {
            **line,
            "round": number,
            "steps": steps,
            "step": line["step"] + step,
            "seconds": line["seconds"] + seconds,
        }
        for line in lines
    ]


def _weights(
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: PirGrpoConfig,
    cache: Path,
    on_measured: OnMeasured,
    cancel: threading.Event | None,
) -> list[float]:
    from accelerate import PartialState

    from train.trainer import weights_digest

    assert config.difficulty is not None
    with PartialState().main_process_first():  # the others find the file
        found = measure(
            model.eval(),
            encoder,
            examples,
            model_id=weights_digest(model),
            cache=cache,
            num_generations=config.num_generations,
            temperature=config.temperature,
            constrained=config.constrained,
            max_new_tokens=config.max_new_tokens,
            thinking=config.thinking,
            seed=config.seed,
            on_progress=on_measured,
            cancel=cancel,
        )
    weights = sampling_weights(found, config.difficulty)
    irrelevant = [weight for each, weight in zip(examples, weights, strict=True) if not each.relevant]
    if irrelevant and not any(irrelevant):
        log.warning(
            "The rule %s leaves none of %d irrelevant rows, so refusing is not learned.",
            config.difficulty,
            len(irrelevant),
        )
    return weights


def _publish(made: Path, out_dir: Path) -> None:
    """The last round's result under the name that a run without rounds gives it."""
    if int(os.environ.get("RANK", "0")) or (out_dir / made.name).exists():
        return
    partial = out_dir / f"{made.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(made, partial)
    partial.rename(out_dir / made.name)
