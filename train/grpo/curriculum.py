"""Difficulty-controlled PIR-GRPO: measure how hard each row is for the model, draw rows accordingly, train.

TVG-R1 (2507.18100), TimeLens and TimeLens2 measure once, before the run. Time-R1 (2503.13377) measures again before
every epoch, so its run is one of rounds, each in a folder of its own. Without a rule this is `run_pir_grpo` itself.
"""

import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import PartialState

from tempo_core.files import move
from train.checkpoints import read_lines, write_lines
from train.config import PirGrpoConfig
from train.data.encoding import Encoder
from train.data.examples import Example, require_training
from train.grpo.difficulty import EVERY_EPOCH, measure, plateaued, sampling_weights
from train.grpo.trainer import run_pir_grpo
from train.trainer import OnBatch, OnProgress, result_folder, weights_digest

logger = logging.getLogger(__name__)

OnMeasured = Callable[[int, int], None]
"""Called with the rows that are measured and the rows there are."""


def run_curriculum(
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: PirGrpoConfig,
    out_dir: Path,
    *,
    on_progress: OnProgress = lambda line: None,
    on_batch: OnBatch | None = None,
    cache: Path | None = None,
    on_measured: OnMeasured = lambda completed, total: None,
    cancel: threading.Event | None = None,
) -> Any:
    """`run_pir_grpo` with rows drawn as `config.difficulty` says; result, resuming and errors are the same.

    What was measured is kept in `cache` (None: `out_dir`/difficulty) by the model's weights and the rows, so a run
    that goes on draws the same rows and another one need not measure again. With rounds, the last one's result is in
    `out_dir`/adapter (or /checkpoint) as well, and `out_dir`/curves.jsonl has the lines of all.
    """
    if config.difficulty is None or not examples:
        return run_pir_grpo(
            model,
            encoder,
            examples,
            config,
            out_dir,
            on_progress=on_progress,
            on_batch=on_batch,
            cancel=cancel,
        )
    require_training(examples)
    configs = rounds(config, len(examples), devices=int(os.environ.get("WORLD_SIZE", "1")))

    def curves_of(count: int) -> list[dict[str, Any]]:
        """The curves of the first rounds as one, with steps and seconds counted from the first round on."""
        lines = list[dict[str, Any]]()
        for number in range(1, count + 1):
            step, seconds = (lines[-1]["step"], lines[-1]["seconds"]) if lines else (0, 0.0)
            lines += [
                {
                    **line,
                    "round": number,
                    "steps": config.steps,
                    "step": line["step"] + step,
                    "seconds": line["seconds"] + seconds,
                }
                for line in read_lines(out_dir / f"round-{number}" / "curves.jsonl")
            ]
        return lines

    def on_line(_: dict[str, Any]) -> None:
        lines = curves_of(len(configs))
        write_lines(out_dir / "curves.jsonl", lines)
        on_progress(lines[-1])

    for number, round_config in enumerate(configs, start=1):
        folder = out_dir / f"round-{number}" if len(configs) > 1 else out_dir
        earlier_lines = curves_of(number - 1)
        earlier_steps = earlier_lines[-1]["step"] if earlier_lines else 0

        def on_round_batch(line: dict[str, Any], earlier_steps: int = earlier_steps) -> None:
            if on_batch is not None:
                on_batch({**line, "step": line["step"] + earlier_steps, "steps": config.steps})

        # measure, and turn how hard the rows are into weights
        with PartialState().main_process_first():  # the others find the file
            difficulties = measure(
                model.eval(),
                encoder,
                examples,
                round_config,
                model_id=weights_digest(model),
                cache=cache or out_dir / "difficulty",
                on_progress=on_measured,
                cancel=cancel,
            )
        weights = sampling_weights(difficulties, config.difficulty)
        irrelevant = [weight for row, weight in zip(examples, weights, strict=True) if not row.relevant]
        if irrelevant and not any(irrelevant):
            logger.warning(
                "The rule %s leaves none of %d irrelevant rows, so refusing is not learned.",
                config.difficulty,
                len(irrelevant),
            )

        # train
        model = run_pir_grpo(
            model,
            encoder,
            examples,
            round_config,
            folder,
            weights=weights,
            earlier_lines=earlier_lines,
            on_progress=on_line if len(configs) > 1 else on_progress,
            on_batch=None if on_batch is None else on_round_batch,
            cancel=cancel,
        )
        PartialState().wait_for_everyone()  # the first process writes the lines
        if config.patience is not None and plateaued(
            curves_of(number), patience=config.patience, min_gain=config.min_gain
        ):
            break

    # the last round's result under the name that a run without rounds gives it
    result = result_folder(out_dir, config)
    if len(configs) > 1 and not int(os.environ.get("RANK", "0")) and not result.exists():
        partial = out_dir / f"{result.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(folder / result.name, partial)
        move(partial, result)
    return model


def rounds(config: PirGrpoConfig, examples: int, *, devices: int = 1) -> list[PirGrpoConfig]:
    """The configuration of every round: one an epoch where the rule measures before each, else the run itself."""
    if config.difficulty not in EVERY_EPOCH:
        return [config]
    epoch_steps = -(-examples // (config.groups * devices)) * config.num_iterations
    round_steps = [min(epoch_steps, config.steps - start) for start in range(0, config.steps, epoch_steps)]
    if len(round_steps) == 1:
        return [config]
    # at one rate: a fall in every round would begin anew in the next
    return [
        replace(
            config,
            steps=steps,
            seed=config.seed + number,
            lr_scheduler_type="constant",
            warmup_ratio=0.0 if number else config.warmup_ratio,
        )
        for number, steps in enumerate(round_steps)
    ]
