"""Measures the rows: every side's process is started once, then all work in turn, round after round."""

import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.cpu import rss_mib
from benchmarks.peers import worker
from benchmarks.peers.environments import python_of, variables
from benchmarks.peers.rows import Row, Side, Size, rows
from tempo_core.errors import InputError
from tempo_core.files import write_whole

TOLERANCE = 6.0
"""Of 255: two readers' colours and scaling may differ by so much in the mean of a frame."""
POLL_S = 0.02
END_S = 30.0
"""How long a worker may take to end by itself."""


@dataclass(kw_only=True, slots=True)
class Result:
    """What one side took for a row, by round."""

    side: str
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    """Memory of its processes at the highest, looked at every POLL_S."""
    agreement: float | None = None
    """Share of the first side's results that are the same; None for the first side itself."""
    problem: str | None = None
    """Why it could not do the work."""


def run(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="clips, environments, peers.json and peers.md")],
    only: Annotated[
        list[str] | None, typer.Option(help="rows whose name holds this; may be repeated")
    ] = None,
    rounds: Annotated[int, typer.Option(help="in each of which every side works once")] = 5,
    seconds: Annotated[int, typer.Option(help="length of the clips")] = 150,
    height: Annotated[int, typer.Option(help="of the clips, in pixels")] = 1080,
    frames: Annotated[int, typer.Option(help="sampled from a clip")] = 150,
    questions: Annotated[int, typer.Option(help="about one clip")] = 8,
    saves: Annotated[int, typer.Option(help="in a round")] = 100,
) -> int:
    """Rows of work that Tempo and pinned peers both do: processor seconds of each over Tempo's.

    Every peer has an environment of its own, which is made on the first run and kept in FOLDER. The sides work in turn,
    A B A B; medians and spread over rounds. A peer that cannot be installed or fails is named with the reason. Exit
    code 1 where Tempo itself fails.
    """
    if rounds < 1:
        raise InputError(f"--rounds must be 1 or more; got {rounds}.")
    out.mkdir(parents=True, exist_ok=True)
    size = Size(seconds=seconds, height=height, frames=frames, questions=questions, saves=saves)
    chosen = [
        row for row in rows(size, out) if not only or any(part.lower() in row.name.lower() for part in only)
    ]
    if not chosen:
        raise InputError(
            f"No row's name holds {only}. Rows: {', '.join(row.name for row in rows(size, out))}."
        )
    report: dict[str, Any] = {
        "size": asdict(size),
        "rounds": rounds,
        "python": sys.version.split()[0],
        "rows": [],
    }
    for row in chosen:
        if row.prepare is not None:
            row.prepare()
        results = measure(row, rounds, out / "environments")
        report["rows"].append(
            {"name": row.name, "agreement": row.agreement, "sides": [*map(asdict, results)]}
        )
        write_whole(out / "peers.json", json.dumps(report, indent=1) + "\n")
        write_whole(out / "peers.md", table(report))
    print(table(report))
    return int(any(row["sides"][0]["problem"] for row in report["rows"]))


def measure(row: Row, rounds: int, environments: Path) -> list[Result]:
    """All sides of a row, in turn."""
    results = [Result(side=side.name) for side in row.sides]
    processes: dict[int, subprocess.Popen[str]] = {}
    answers: dict[int, Any] = {}
    try:
        for number, side in enumerate(row.sides):
            try:
                processes[number] = start(side, row.arguments, environments)
            except InputError as error:
                results[number].problem = str(error).replace(str(environments.resolve()), "environments")
        for _ in range(rounds):
            for number, process in processes.items():
                result = results[number]
                if result.problem is not None:
                    continue
                try:
                    with peak_memory(process.pid, result.peak_mib):
                        answer = tell(process, "again")
                except InputError as error:
                    result.problem = str(error)
                    continue
                result.cpu_s.append(answer["cpu_s"])
                result.wall_s.append(answer["wall_s"])
                answers[number] = answer["result"]
    finally:
        for process in processes.values():
            end(process)
    for number, answer in answers.items():
        if number and 0 in answers:
            results[number].agreement = agreement(answers[0], answer)
    return results


def start(side: Side, arguments: dict[str, Any], environments: Path) -> "subprocess.Popen[str]":
    """The side's process, set up. Raises InputError where it cannot be."""
    process = subprocess.Popen(
        [str(python_of(side.environment, environments)), worker.__file__, side.function],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables(side.environment, environments),
    )
    try:
        tell(process, json.dumps({**arguments, **side.options}))
    except InputError:
        process.kill()
        process.wait()
        raise
    return process


def end(process: "subprocess.Popen[str]") -> None:
    """No more lines end a worker, which then removes its folder; one that goes on working is killed."""
    try:
        process.communicate(timeout=END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def tell(process: "subprocess.Popen[str]", line: str) -> dict[str, Any]:
    """One line to a worker and its answer. Raises InputError with the last line that it said of its failure."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass
    while (answer := process.stdout.readline()) and not answer.startswith("{"):
        pass  # what a library prints
    if not answer:
        lines = process.communicate()[1].strip().splitlines()
        raise InputError(lines[-1][:200] if lines else "The process ended without a word.")
    reply: dict[str, Any] = json.loads(answer)
    return reply


@contextmanager
def peak_memory(pid: int, peaks_mib: list[float]) -> Iterator[None]:
    """Adds to the list what the process and its children hold at most within the block."""
    over = threading.Event()
    peak_mib = rss_mib(pid)

    def watch() -> None:
        nonlocal peak_mib
        while not over.wait(POLL_S):
            peak_mib = max(peak_mib, rss_mib(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    peaks_mib.append(round(peak_mib, 1))


def agreement(ours: Any, theirs: Any) -> float:
    """Share of results that are the same: frames of a row of means within TOLERANCE, texts and counts equal."""
    if not isinstance(ours, list):
        return float(ours == theirs)
    if not isinstance(theirs, list):  # only how many
        return float(len(ours) == theirs)
    same = 0
    for own, other in zip(ours, theirs, strict=False):
        if isinstance(own, list):
            off = statistics.fmean(abs(a - b) for a, b in zip(own, other, strict=False))
            same += len(own) == len(other) and off <= TOLERANCE
        else:
            same += own == other
    return same / max(len(ours), len(theirs), 1)


def table(report: dict[str, Any]) -> str:
    """Markdown: processor seconds by side, and over Tempo's, and the highest memory."""
    lines = [
        "| work | by | CPU s, median (lowest to highest) | over Tempo | peak MiB | the same |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        ours = statistics.median(row["sides"][0]["cpu_s"] or [float("nan")])
        for number, side in enumerate(row["sides"]):
            name = row["name"] if number == 0 else ""
            if side["problem"] is not None:
                lines.append(f"| {name} | {side['side']} | not measured: {side['problem']} | | | |")
                continue
            median = statistics.median(side["cpu_s"])
            spread = f"{median:.3f} ({min(side['cpu_s']):.3f} to {max(side['cpu_s']):.3f})"
            same = "" if side["agreement"] is None else f"{side['agreement']:.0%}"
            ratio = f"{median / ours:.2f}" if ours else ""  # too short for the clock
            peak = f"{max(side['peak_mib']):,.0f}"
            lines.append(f"| {name} | {side['side']} | {spread} | {ratio} | {peak} | {same} |")
    return "\n".join([*lines, ""])
