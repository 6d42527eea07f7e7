"""Annotators and visitors at once on a server of this machine: what they wait, and whether everything told is stored.

The server is the complete app with the shipped model, as `python -m app` starts it, or with `--light` the server of
`tests/app/load/server.py`, whose text says what it lacks. Beside wall time stands CPU time, and how much of the
machine others used: waits on a machine that others use are theirs too. A backup is made in the middle, and must
restore to exactly the operations up to its own place, among them all that was acknowledged before it began.
"""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.cpu import TICKS, cpu_s
from tempo_core.command_line import AsJson
from tempo_core.errors import InputError

SAVE_P95_S = 0.15
"""The longest that 19 of 20 saves should wait on a machine that nobody else uses."""
MEMORY_GROWTH = 0.1
"""The most that the server's memory may grow after it has warmed up."""
WARM_UP_S = 120.0
SAMPLE_EVERY_S = 10.0
PATIENCE_S = 600.0
STARVED = 10.0
"""Somebody who waits so many times the median, or gets nothing, starves."""


@dataclass
class Samples:
    """What was measured while people worked."""

    memory_mib: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since the start, resident MiB of the server)."""
    wall_s: float = 0.0
    server_cpu_s: float = 0.0
    used_by_others: float = 0.0
    """Of the machine's cores, 0 to 1."""
    backup: dict[str, Any] = field(default_factory=dict)
    full_disk: dict[str, Any] = field(default_factory=dict)


def run(
    annotators: Annotated[int, typer.Option(help="who save")] = 50,
    visitors: Annotated[int, typer.Option(help="who ask, each from an address of their own")] = 20,
    minutes: Annotated[float, typer.Option(help="of work")] = 10.0,
    pace: Annotated[float, typer.Option(help="mean seconds between two saves of one annotator")] = 5.0,
    rows: Annotated[int, typer.Option(help="in the store")] = 2000,
    light: Annotated[bool, typer.Option("--light", help="the small server with a stand-in model")] = False,
    full_disk: Annotated[
        bool,
        typer.Option(
            "--full-disk", help="let a disk of its own run full for a while; as root (mounts a tmpfs)"
        ),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Annotators and visitors at once: waits, CPU, memory, and whether every acknowledged save is stored in order.

    Exit code 1 when a save was lost, somebody starved, or memory grew.
    """
    from tests.app.load.people import Diary
    from tests.app.load.server import make_home

    diary, samples = Diary(), Samples()
    disk_mib = None
    if full_disk:
        # The app takes no upload below 1 GB of free space, so that its disk begins with more.
        disk_mib = 64 if light else 1600
    with tempfile.TemporaryDirectory(prefix="load-") as scratch, _disk(Path(scratch), disk_mib) as folder:
        home = folder / "home"
        keys = make_home(home, rows=rows, annotators=annotators)
        port = _free_port()
        with server(home, port, light=light) as process:
            work = _work(
                diary,
                samples,
                keys=keys,
                visitors=visitors,
                duration_s=minutes * 60,
                pace_s=pace,
                home=home,
                port=port,
                process=process,
                ballast=folder / "ballast" if full_disk else None,
            )
            asyncio.run(work)
        report = _report(diary, samples, home)
    print(json.dumps(report) if as_json else _text(report))
    return int(bool(report["problems"]))


async def _work(
    diary: Any,
    samples: Samples,
    *,
    keys: dict[str, str],
    visitors: int,
    duration_s: float,
    pace_s: float,
    home: Path,
    port: int,
    process: Any,
    ballast: Path | None,
) -> None:
    from tests.app.load.people import Annotator, Visitor, at_work, until_served

    await until_served(port, lambda: process.poll() is None, "/health/ready")
    people: list[Annotator | Visitor] = [
        Annotator(name, key, port, diary, pace_s=pace_s) for name, key in keys.items()
    ]
    clip = home / "videos" / "clip-0.mp4"
    people += [Visitor(number, port, clip, diary, pace_s=2 * pace_s) for number in range(visitors)]
    begun_s, begun_cpu_s = time.monotonic(), cpu_s(process.pid)
    machine_s, own_s = _machine_s(), time.process_time()

    async def sample() -> None:
        while True:
            samples.memory_mib.append((time.monotonic() - begun_s, _memory_mib(process.pid)))
            await asyncio.sleep(min(SAMPLE_EVERY_S, duration_s / 10))

    async with at_work(people) as tasks:
        sampling = asyncio.create_task(sample())
        await asyncio.sleep(duration_s / 4)
        if ballast is not None:
            samples.full_disk = await _run_full(ballast, diary, duration_s / 8)
        await asyncio.sleep(duration_s / 4)
        samples.backup = await _back_up(diary, home)
        await asyncio.sleep(max(0.0, duration_s - (time.monotonic() - begun_s)))
        sampling.cancel()
        early_tasks = [task for task in tasks if task.done()]
        if early_tasks:
            diary.failures.append(f"{len(early_tasks)} people stopped before the end")
    samples.wall_s, samples.server_cpu_s = time.monotonic() - begun_s, cpu_s(process.pid) - begun_cpu_s
    others_s = _machine_s() - machine_s - samples.server_cpu_s - (time.process_time() - own_s)
    samples.used_by_others = max(0.0, others_s) / samples.wall_s / (os.cpu_count() or 1)


async def _back_up(diary: Any, home: Path) -> dict[str, Any]:
    """Run the command while people work; what was acknowledged before it began."""
    acknowledged = len(diary.saves)
    command = [sys.executable, "-m", "annotations", "backup", str(home / "backup.sqlite3")]
    command += ["--database", str(home / "cqvh.sqlite3")]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = (await process.communicate())[0].decode()
    return {"acknowledged_before": acknowledged, "rc": process.returncode, "output": output.strip()}


async def _run_full(ballast: Path, diary: Any, duration_s: float) -> dict[str, Any]:
    """Fill the disk, wait, and make room again."""
    saved, begun_s = len(diary.saves), time.monotonic()
    with ballast.open("wb", buffering=0) as file:
        for block in (bytes(2**20), bytes(4096)):
            with suppress(OSError):
                while True:
                    file.write(block)

    def told_507() -> int:
        return sum(count for text, count in diary.refusals.items() if text.startswith("507"))

    await asyncio.sleep(duration_s)
    await _until(lambda: told_507() > 0)
    during = len(diary.saves) - saved
    ballast.unlink()
    full_s = time.monotonic() - begun_s
    await _until(lambda: len(diary.saves) > saved + during)
    return {"seconds": full_s, "told_507": told_507(), "saved_meanwhile": during, "saves_before": saved}


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for it as long as a busy machine may need; the report says when it never came."""
    begun_s = time.monotonic()
    while not condition() and time.monotonic() - begun_s < PATIENCE_S:
        await asyncio.sleep(0.05)


def _report(diary: Any, samples: Samples, home: Path) -> dict[str, Any]:
    from tests.app.load.books import problems

    saves, waits = diary.saves, [wait for own in diary.answer_waits_s.values() for wait in own]
    faults = problems(home / "cqvh.sqlite3", saves) + diary.failures[:20]
    if samples.backup:
        faults += _backup_problems(samples.backup, saves, home)
    # Whoever asks while the disk is full waits for room, and no shorter.
    longest_s = STARVED * max(statistics.median(waits) if waits else 0.0, 1.0)
    longest_s += samples.full_disk.get("seconds", 0.0)
    starved = [name for name, own in diary.answer_waits_s.items() if not own or max(own) > longest_s]
    faults += [f"{name} starved" for name in starved]
    warm = [mib for at_s, mib in samples.memory_mib if at_s >= min(WARM_UP_S, samples.wall_s / 2)]
    growth = max(warm) / warm[0] - 1 if warm else 0.0
    if growth > MEMORY_GROWTH:
        faults.append(f"memory grew by {growth:.0%}")
    if samples.full_disk:
        full = samples.full_disk
        if not full["told_507"]:
            faults.append("nobody was told of the full disk")
        if len(saves) <= full["saves_before"] + full["saved_meanwhile"]:
            faults.append("nothing was saved once there was room")
    requests = len(saves) + len(diary.next_waits_s) + len(waits)
    return {
        "seconds": samples.wall_s,
        "saves": {"count": len(saves), **_waits([save.wait_s for save in saves])},
        "cut_off": diary.broken,
        "sent_again": sum(save.attempts > 1 for save in saves),
        "next": {"count": len(diary.next_waits_s), **_waits(diary.next_waits_s)},
        "questions": {"count": len(waits), **_waits(waits)},
        "questions_of_a_visitor": sorted(len(own) for own in diary.answer_waits_s.values()),
        "refusals": diary.refusals,
        "server_cpu_s": samples.server_cpu_s,
        "server_cpu_ms_a_request": 1000 * samples.server_cpu_s / max(1, requests),
        "used_by_others": samples.used_by_others,
        "memory_mib": samples.memory_mib,
        "memory_growth": growth,
        "backup": samples.backup,
        "full_disk": samples.full_disk,
        "problems": faults,
    }


def _backup_problems(backup: dict[str, Any], saves: Sequence[Any], home: Path) -> list[str]:
    """What the restored backup does not hold, or holds too much."""
    from annotations import checks, operation_log
    from annotations.backups import restore
    from annotations.database import Database
    from annotations.store import Store
    from tests.app.load.books import lost_saves

    if backup["rc"]:
        return [f"the backup failed: {backup['output']}"]
    target = home / "restored.sqlite3"
    restored = restore(home / "backup.sqlite3", Database(target, migrate=False))
    backup["operations"] = restored.operations
    with Store(target) as store, Store(home / "cqvh.sqlite3") as live:
        faults = lost_saves(store, saves[: backup["acknowledged_before"]]) + checks.problems(
            store, snapshots=False
        )
        statement = "SELECT op_id, position, sha256 FROM operation_log WHERE position <= ? ORDER BY position"
        logs = []
        for part in (store, live):
            with part.database.read() as connection:
                logs.append(connection.exec_driver_sql(statement, (restored.operations,)).all())
        if logs[0] != logs[1]:
            faults.append("the backup's log is not the beginning of the store's")
        with store.database.read() as connection:
            if operation_log.head(connection)[0] != restored.operations:
                faults.append("the backup holds more than its report says")
    return faults


@contextmanager
def server(home: Path, port: int, *, light: bool) -> Iterator[Any]:
    """The server's process, which is told to stop at the end."""
    command = [sys.executable, "-m", "tests.app.load.server", str(home), str(port)]
    if not light:
        options = ["--sign-in", "--allow-anonymous-visitors", "--trusted-proxies", "127.0.0.1"]
        command = [sys.executable, "-m", "app", "--home", str(home), "--port", str(port), *options]
    process = subprocess.Popen(command, stdout=2)  # the report alone is printed
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _disk(folder: Path, size_mib: int | None) -> Iterator[Path]:
    """The folder, or a disk of its own in it of that size. Raises InputError where none can be mounted."""
    if size_mib is None:
        yield folder
        return
    disk = folder / "disk"
    disk.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
    )
    if mounting.returncode:
        raise InputError(f"No small disk can be mounted: {mounting.stderr.strip()}. Run this as root.")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _waits(waits_s: Sequence[float]) -> dict[str, float]:
    if not waits_s:
        return {}
    in_order = sorted(waits_s)
    return {
        "p50_s": in_order[len(in_order) // 2],
        "p95_s": in_order[min(len(in_order) - 1, int(0.95 * len(in_order)))],
        "max_s": in_order[-1],
    }


def _text(report: dict[str, Any]) -> str:
    lines = []
    for name in ("saves", "next", "questions"):
        part = report[name]
        if part["count"]:
            lines.append(
                f"{name:10}{part['count']:>7}   p50 {1000 * part['p50_s']:.0f} ms   "
                f"p95 {1000 * part['p95_s']:.0f} ms   longest {part['max_s']:.2f} s"
            )
    own = report["questions_of_a_visitor"]
    if own:
        lines.append(f"questions of a visitor: {own[0]} to {own[-1]}")
    lines.append(
        f"server: {report['server_cpu_s']:.1f} s of CPU in {report['seconds']:.0f} s, "
        f"{report['server_cpu_ms_a_request']:.1f} ms a request; others used "
        f"{report['used_by_others']:.0%} of the machine"
    )
    memory = report["memory_mib"]
    lines.append(
        f"memory: {memory[0][1]:.0f} MiB at first, {memory[-1][1]:.0f} at last; "
        f"grew by {report['memory_growth']:.1%} once warm"
    )
    lines += [f"told {count} times: {text}" for text, count in report["refusals"].items()]
    if report["full_disk"]:
        lines.append(f"full disk: {report['full_disk']}")
    if report["backup"]:
        lines.append(
            f"backup: {report['backup'].get('operations')} operations, "
            f"{report['backup']['acknowledged_before']} saves acknowledged before it began"
        )
    lines += report["problems"] or ["every acknowledged save is in the store, in order; verify finds nothing"]
    return "\n".join(lines)


def _free_port() -> int:
    from app.__main__ import claim_port

    with claim_port("127.0.0.1", 0) as listener:
        return int(listener.getsockname()[1])


def _machine_s() -> float:
    """Seconds that all cores together have worked."""
    user, nice, system, *_ = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return (int(user) + int(nice) + int(system)) / TICKS


def _memory_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
