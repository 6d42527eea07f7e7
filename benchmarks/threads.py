"""Threads: what one question costs with other thread settings, on an idle machine and beside spinning processes."""

import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated

import typer

SETTINGS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "threads that spin": {"OMP_WAIT_POLICY": "active"},
    "libgomp's own": {"OMP_WAIT_POLICY": ""},
    "threads that sleep (ours)": {},
}
"""Environment of the process that answers; an empty value takes a variable away."""
SPAWN = multiprocessing.get_context("spawn")
FRAMES = 20


def run(
    load: Annotated[int, typer.Option(help="spinning processes beside it")] = 20,
    questions: Annotated[int, typer.Option(help="per process")] = 9,
    rounds: Annotated[int, typer.Option(help="processes per setting, in turn")] = 3,
) -> int:
    """What encoding a clip and asking about it cost with other thread settings, idle and beside spinning processes.

    Prints medians of wall and processor seconds, and their ratio to one thread's in the same surroundings.
    """
    print(
        f"{'':28}{'encode: wall':>14}{'CPU':>8}{'ask: wall':>14}{'CPU':>8}{'ask, to one thread: wall':>28}{'CPU':>8}"
    )
    for spinning in (0, load):
        with spinning_processes(spinning):
            laps: dict[str, list[tuple[float, ...]]] = {name: [] for name in SETTINGS}
            for _ in range(rounds):
                for name, environment in SETTINGS.items():
                    with environ(environment), SPAWN.Pool(1) as pool:
                        laps[name].append(pool.apply(measure, (questions,)))
        print(f"beside {spinning} spinning processes")
        medians = {
            name: [statistics.median(column) for column in zip(*rows, strict=True)]
            for name, rows in laps.items()
        }
        for name, (encode_s, encode_cpu_s, ask_s, ask_cpu_s) in medians.items():
            _, _, one_s, one_cpu_s = medians["one thread"]
            print(
                f"  {name:26}{encode_s:14.3f}{encode_cpu_s:8.3f}{ask_s:14.3f}{ask_cpu_s:8.3f}"
                f"{ask_s / one_s:28.2f}{ask_cpu_s / one_cpu_s:8.2f}"
            )
    return 0


def measure(questions: int) -> tuple[float, float, float, float]:
    """Wall and processor seconds of one encoding and of a median question, in this process."""
    import torch  # noqa: F401  # first: it reads the environment once, and tempo_core has its own default

    from benchmarks.engine import query, video
    from tempo_core.engine import load_engine

    engine = load_engine()
    engine.ask(engine.encode(video(0, FRAMES)), query(0))
    laps = [(time.perf_counter(), time.process_time())]
    context = engine.encode(video(1, FRAMES))
    for number in range(questions + 1):
        laps.append((time.perf_counter(), time.process_time()))
        engine.ask(context, query(number))
    walls, cpus = (
        [after - before for before, after in pairwise(column)] for column in zip(*laps, strict=True)
    )
    return walls[0], cpus[0], statistics.median(walls[1:]), statistics.median(cpus[1:])


@contextmanager
def environ(variables: dict[str, str]) -> Iterator[None]:
    """The process's environment with these variables; processes that are started inside inherit it."""
    before = dict(os.environ)
    os.environ.update(variables)
    for name in [name for name, value in variables.items() if not value]:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def spinning_processes(count: int) -> Iterator[None]:
    """So many processes that do nothing but use a processor."""
    processes = [SPAWN.Process(target=spin, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()


def spin() -> None:
    """Count for ever."""
    while True:
        pass
