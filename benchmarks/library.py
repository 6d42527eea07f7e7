"""A folder of clips: what encoding it once, asking it again, and asking its clips together cost."""

import json
import os
import shutil
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from benchmarks.cpu import cpu_s
from tempo_core.engine import Engine, load_engine
from tempo_core.library import contexts as contexts_module
from tempo_core.library.contexts import ContextFiles
from tempo_core.library.index import ClipIndex, IndexProgress, index_folder
from tempo_core.library.search import ask_library

TARGET_S = 5.0
"""For one question to 200 clips."""
QUESTIONS = ["a red circle is on screen", "a blue square appears", "a dog runs"]


def run(
    clips: Annotated[int, typer.Option(help="clips of the folder")] = 200,
    distinct: Annotated[
        int, typer.Option(help="clips that are rendered; the others are copies with other bytes behind them")
    ] = 40,
    workers: Annotated[int, typer.Option(help="clips that are read at the same time")] = 2,
    folder: Annotated[
        Path | None, typer.Option(help="where clips and index are kept; a run that was stopped goes on")
    ] = None,
) -> int:
    """What encoding a folder once, asking it again, and asking its clips together cost.

    Exit code 1 when one question to all of 200 clips takes more than 5 seconds.
    """
    with TemporaryDirectory() as temporary:
        home = folder or Path(temporary)
        make_folder(home, clips, min(distinct, clips))
        engine, index = load_engine(), ClipIndex(home / "index")
        result: dict[str, Any] = {"clips": clips, "distinct": distinct, "model_id": engine.model_id}
        result |= measure_index(engine, home / "clips", index, workers)
        result |= measure_questions(engine, home / "clips", index)
        result |= measure_entries(engine, home / "clips", index)
    print(json.dumps(result, indent=1))
    return int(clips >= 200 and result["ask_s"] > TARGET_S * clips / 200)


def make_folder(home: Path, clips: int, distinct: int) -> None:
    """Shapeworld clips, and copies of them with a box of free space behind the data."""
    from train.shapeworld.clips import SetPlan, make_set

    make_set(SetPlan(clips=distinct), home / "rendered")
    rendered = sorted((home / "rendered" / "videos").glob("*.mp4"))[:distinct]
    (home / "clips").mkdir(exist_ok=True)
    for number in range(clips):
        copy = home / "clips" / f"{number:05d}.mp4"
        if not copy.exists():
            shutil.copyfile(rendered[number % distinct], copy)
            with copy.open("ab") as file:
                file.write((16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big"))


def measure_index(engine: Engine, folder: Path, index: ClipIndex, workers: int) -> dict[str, Any]:
    """Seconds and CPU seconds a clip, and the memory after a tenth of the clips and after all."""
    resident: list[int] = []
    begin_s, begin_cpu_s = time.perf_counter(), cpu_s()

    def on_progress(progress: IndexProgress) -> None:
        resident.append(resident_bytes())

    report = index_folder(engine, folder, index, workers=workers, on_progress=on_progress)
    wall_s, used_cpu_s = time.perf_counter() - begin_s, cpu_s() - begin_cpu_s
    count = max(1, len(report.encoded))
    seconds, _ = timed(lambda: index_folder(engine, folder, index, workers=workers))
    return {
        "encoded": len(report.encoded),
        "index_s_a_clip": round(wall_s / count, 3),
        "index_cpu_s_a_clip": round(used_cpu_s / count, 3),
        "index_again_s": round(seconds, 2),
        "resident_mb_after_a_tenth": round(resident[len(resident) // 10] / 1e6) if resident else None,
        "resident_mb_after_all": round(resident[-1] / 1e6) if resident else None,
        "cache_mb": round(index.contexts.total_bytes() / 1e6, 1),
    }


def measure_questions(engine: Engine, folder: Path, index: ClipIndex) -> dict[str, Any]:
    """One question to all clips, and how often its clips' answers are those of asking one by one."""
    from tempo_core.library.contexts import EncodingSettings

    ask_library(engine, folder, index, QUESTIONS[0])
    figures = []
    for question in QUESTIONS:
        begin_cpu_s = cpu_s()
        seconds, answer = timed(partial(ask_library, engine, folder, index, question))
        figures.append((seconds, cpu_s() - begin_cpu_s, answer))
    entries = list(index.entries(folder, engine, EncodingSettings()).values())[:48]
    stored: list[Any] = [index.contexts.load(entry.context_key or "", engine) for entry in entries]
    alone_s = equal = 0.0
    together = figures[0][2]
    for entry, context in zip(entries, stored, strict=True):
        seconds, answer = timed(partial(engine.ask, context, QUESTIONS[0], n_best=0), time.process_time)
        alone_s += seconds
        moments = sorted(item.moment for item in together.moments if item.clip == entry.name)
        equal += moments == answer.moments
    from tempo_core.decoding import ask_batch

    batch_s = 0.0
    for start in range(0, len(stored), 16):
        batch_s += timed(
            partial(ask_batch, engine, stored[start : start + 16], QUESTIONS[0]), time.process_time
        )[0]
    first = stored[:16]
    ranked_s, greedy_s, batched_ranked_s, batched_greedy_s = (
        timed(work, time.process_time)[0]
        for work in (
            lambda: [engine.ask(context, QUESTIONS[0], n_best=5) for context in first],
            lambda: [engine.ask(context, QUESTIONS[0], n_best=0) for context in first],
            lambda: ask_batch(engine, first, QUESTIONS[0], n_best=5),
            lambda: ask_batch(engine, first, QUESTIONS[0]),
        )
    )
    return {
        "ask_s": round(max(figure[0] for figure in figures), 2),
        "ask_cpu_s": round(max(figure[1] for figure in figures), 2),
        "moments": [len(figure[2].moments) for figure in figures],
        "compared": len(entries),
        "equal": int(equal),
        "alone_over_together_cpu": round(alone_s / batch_s, 2),
        "ranked_over_greedy_cpu": round(ranked_s / greedy_s, 2),
        "ranked_over_greedy_together_cpu": round(batched_ranked_s / batched_greedy_s, 2),
    }


def measure_entries(engine: Engine, folder: Path, index: ClipIndex) -> dict[str, Any]:
    """Bytes of a stored clip and seconds to load it, as a cache and as visual tokens, and what zlib would give."""
    from tempo_core.engine import encode_file

    context, small_bytes = encode_file(engine, sorted(folder.iterdir())[0]), contexts_module.SMALL_CACHE_BYTES
    figures: dict[str, Any] = {}
    for name, limit in (("cache", small_bytes), ("visual_tokens", 0)):
        contexts_module.SMALL_CACHE_BYTES = limit
        files = ContextFiles(index.home / f"entries-{name}")
        files.save("a", context)
        files.load("a", engine)
        seconds, _ = timed(partial(load_often, files, engine))
        data = files.path("a").read_bytes()
        zlib_s, packed = timed(partial(zlib.compress, data, 1))
        unpack_s, _ = timed(partial(zlib.decompress, packed))
        figures |= {
            f"entry_{name}_mb": round(len(data) / 1e6, 3),
            f"entry_{name}_load_ms": round(seconds * 100, 1),
            f"entry_{name}_zlib_share": round(len(packed) / len(data), 3),
            f"entry_{name}_zlib_ms": [round(zlib_s * 1000, 1), round(unpack_s * 1000, 1)],
        }
        shutil.rmtree(files.folder)
    contexts_module.SMALL_CACHE_BYTES = small_bytes
    encode_s, _ = timed(lambda: encode_file(engine, sorted(folder.iterdir())[0]))
    return {**figures, "encode_ms": round(encode_s * 1000, 1)}


def load_often(files: ContextFiles, engine: Engine) -> None:
    """Load one entry ten times."""
    for _ in range(10):
        files.load("a", engine)


def timed(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> tuple[float, Any]:
    """Seconds by a clock, and what the work returned."""
    begin_s = clock()
    result = work()
    return clock() - begin_s, result


def resident_bytes() -> int:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
