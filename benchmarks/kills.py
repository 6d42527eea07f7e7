"""SIGKILL of a server again and again while people save: is everything there that was acknowledged?

Each round starts a server on the same home, lets annotators save and visitors ask for a random while, kills it, and
looks. They send again what was not answered, as the browser does. The server is the one of
`tests/app/load/server.py`, whose text says what it lacks against the app, forked from a process that has imported
everything; with `--app` it is `python -m app` itself, which takes long to start.
"""

import asyncio
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from tempo_core.command_line import AsJson

AT_ONCE = 0.25
"""The share of servers that are killed wherever they are then; the others once they have acknowledged a save."""
VERIFY_EVERY = 20
"""Rounds after which all of the store is verified; after each round its file is."""


def run(
    kills: Annotated[int, typer.Option(help="rounds")] = 200,
    annotators: Annotated[int, typer.Option(help="who save")] = 8,
    visitors: Annotated[int, typer.Option(help="who ask, each from an address of their own")] = 0,
    pace: Annotated[float, typer.Option(help="mean seconds between two saves of one annotator")] = 0.02,
    seconds: Annotated[
        float, typer.Option(help="the most that a server lives on after it has answered, or saved")
    ] = 0.5,
    app: Annotated[bool, typer.Option("--app", help="kill the complete app")] = False,
    seed: Annotated[int, typer.Option(help="of when and what")] = 0,
    as_json: AsJson = False,
) -> int:
    """Kill a server again and again under load; every acknowledged save must be there. Exit code 1 when one is not."""
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        report = kill_repeatedly(
            Path(folder),
            kills=kills,
            annotators=annotators,
            visitors=visitors,
            pace_s=pace,
            longest_s=seconds,
            app=app,
            seed=seed,
        )
    if as_json:
        print(json.dumps(report))
    else:
        print(
            f"{report['kills']} kills: {report['acknowledged']} saves acknowledged, {report['sent_again']} of them "
            f"sent again, {report['questions']} questions answered, {report['broken']} requests cut off; "
            f"{report['recovered']} kills left a log to recover"
        )
        print(
            "\n".join(report["problems"])
            or "nothing is lost; every acknowledged save is in its place; verify is clean"
        )
    return int(bool(report["problems"]))


def kill_repeatedly(
    folder: Path,
    *,
    kills: int,
    annotators: int,
    longest_s: float,
    visitors: int = 0,
    pace_s: float = 0.02,
    app: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """The rounds, and what they found, as JSON values."""
    from benchmarks.load import _free_port
    from tests.annotations.writer import file_is_sound
    from tests.app.load.books import problems
    from tests.app.load.people import Annotator, Diary, Visitor, at_work
    from tests.app.load.server import make_home

    rows = max(4 * annotators, 200) + 20 * kills
    keys = make_home(folder / "home", rows=rows, annotators=annotators)
    database, port = folder / "home" / "cqvh.sqlite3", _free_port()
    diary, rng, faults, recovered = Diary(), random.Random(seed), list[str](), 0
    people: list[Annotator | Visitor] = [
        Annotator(name, key, port, diary, pace_s=pace_s, seed=seed) for name, key in keys.items()
    ]
    clip = folder / "home" / "videos" / "clip-0.mp4"
    people += [Visitor(number, port, clip, diary, pace_s=2 * pace_s) for number in range(visitors)]

    def has_saved(number: int) -> bool:
        return len(diary.saves) >= number

    async def work() -> None:
        nonlocal recovered
        checked = 0
        async with at_work(people):
            for number in range(1, kills + 1):
                waits = rng.random() >= AT_ONCE
                num_saves = len(diary.saves) + waits
                lives_s = longest_s * rng.random()
                await asyncio.to_thread(
                    _one_life, folder / "home", port, lives_s, partial(has_saved, num_saves), app
                )
                recovered += database.with_name(f"{database.name}-wal").stat().st_size > 0
                if not file_is_sound(database):
                    faults.append(f"after kill {number} the file is damaged")
                if number % VERIFY_EVERY == 0 or number == kills:
                    faults.extend(problems(database, list(diary.saves)))
                else:
                    faults.extend(problems_of_last(database, diary.saves[checked:]))
                checked = len(diary.saves)
                if faults:
                    return

    asyncio.run(work())
    return {
        "kills": kills,
        "acknowledged": len(diary.saves),
        "sent_again": sum(save.attempts > 1 for save in diary.saves),
        "questions": sum(len(waits) for waits in diary.answer_waits_s.values()),
        "broken": diary.broken,
        "recovered": recovered,
        "problems": faults + diary.failures[:20],
    }


def problems_of_last(database: Path, saves: list[Any]) -> list[str]:
    """What of one life is lost."""
    from annotations.store import Store
    from tests.app.load.books import lost_saves

    with Store(database) as store:
        return lost_saves(store, saves)


def _one_life(home: Path, port: int, lives_s: float, has_saved: Callable[[], bool], app: bool) -> None:
    """Start a server, let it live on for so long once it has saved, and kill it."""
    from benchmarks.load import server
    from tests.app.load.people import until_served
    from tests.app.load.server import serve

    if app:
        with server(home, port, light=False) as process:
            asyncio.run(until_served(port, lambda: process.poll() is None))
            while not has_saved() and process.poll() is None:
                time.sleep(0.002)
            time.sleep(lives_s)
            process.kill()
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.app.load.server"])
    process = context.Process(target=serve, args=(str(home), port), daemon=True)
    process.start()
    asyncio.run(until_served(port, process.is_alive))
    while not has_saved() and process.is_alive():
        time.sleep(0.002)
    time.sleep(lives_s)
    process.kill()
    process.join()
