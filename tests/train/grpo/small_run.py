"""A small PIR-GRPO run for a process of its own, which may kill itself, or be launched several times over."""

import os
import signal
import warnings
from pathlib import Path
from typing import Any

from tempo_core.loading import load_model
from tests.train.conftest import example_of, sampled
from train.config import PirGrpoConfig
from train.data.encoding import Encoder
from train.grpo.trainer import run_pir_grpo
from train.trainer import adapt

ROWS = [
    example_of(1, moments=[(1, 4)]),
    example_of(1, query="night"),
    example_of(2, moments=[(0, 2), (5, 8)]),
    example_of(3, query="two squares"),
]
CONFIG = PirGrpoConfig(
    steps=6, groups=2, num_generations=4, rank=4, learning_rate=1e-2, save_steps=2, logging_steps=1, threads=1
)


def main(checkpoint: Path, out: Path, kill_at: int | None = None) -> None:
    """Train; nothing after the step `kill_at` is done."""
    warnings.simplefilter("ignore")
    loaded = load_model(checkpoint, four_bit=False, device="cpu")
    encoder = Encoder.of(loaded, sample=sampled)

    def kill(line: dict[str, Any]) -> None:
        if line["step"] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    model = adapt(loaded.model, CONFIG)
    run_pir_grpo(model, encoder, ROWS, CONFIG, out, on_progress=kill)
