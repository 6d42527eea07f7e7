"""`python -m train refresh` with a recipe of few groups a step, which may kill itself."""

import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from tempo_core import forkserver
from train import recipes
from train.__main__ import main
from train.config import RefreshConfig
from train.refresh.progress import Progress

WHOLE = recipes.tempo_tiny_refresh()


def small_recipe(seed: int = 0) -> RefreshConfig:
    """The recipe, which reports every step and saves every other one."""
    assert WHOLE.pir is not None
    sft = replace(WHOLE.sft, save_steps=2, logging_steps=1, threads=1)
    return replace(WHOLE, sft=sft, pir=replace(WHOLE.pir, groups=4, save_steps=2, threads=1))


def run(
    words: Sequence[str],
    log: Path | None = None,
    kill_at: tuple[str, int] | None = None,
    with_signal: int = signal.SIGKILL,
) -> int:
    """The command's exit status, its output in the file `log`; it sends itself a signal at a stage's step."""
    if log is not None:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, sys.stdout.fileno())
        os.dup2(output, sys.stderr.fileno())
    recipes.FINE_TUNING[WHOLE.name] = small_recipe
    tell = Progress.tell

    def tell_and_die(progress: Progress, *, write: bool) -> None:
        tell(progress, write=write)
        stage, step = progress.state["stage"], progress.state["step"]
        if kill_at is not None and stage == kill_at[0] and step >= kill_at[1]:
            Progress.tell = tell  # type: ignore[method-assign]
            os.kill(os.getpid(), with_signal)

    Progress.tell = tell_and_die  # type: ignore[method-assign, assignment]
    return main(words)


def run_and_exit(
    words: Sequence[str],
    log: Path,
    kill_at: tuple[str, int] | None,
    with_signal: int,
    children: socket.socket | None,
) -> None:
    """`run` as a process of `multiprocessing`. `children` is where the fork server of the tests is asked, which has
    loaded what reads a clip; None starts another."""
    if children is not None:
        forkserver._servers["tempo_core"] = SimpleNamespace(requests=children)  # type: ignore[assignment]
    sys.exit(run(words, log, kill_at, with_signal))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
