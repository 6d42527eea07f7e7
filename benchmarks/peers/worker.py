"""One side's process: `python worker.py FUNCTION` reads a line of JSON for each round and answers with one.

It runs in a peer's environment, so that nothing of the project is imported at its top. The first line sets the work up
and is not timed. Processor seconds are those of this process and of its children.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cpu import cpu_s

Work = Callable[[], Any]
"""Does the work once and returns what is compared."""


def main() -> None:
    """Set up with the first line, work once for every other."""
    arguments = json.loads(sys.stdin.readline())
    work = globals()[sys.argv[1]](**arguments)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        begin_s, begin_cpu_s = time.perf_counter(), cpu_s()
        result = work()
        answer = {"wall_s": time.perf_counter() - begin_s, "cpu_s": cpu_s() - begin_cpu_s}
        print(json.dumps({**answer, "result": summary(result)}), flush=True)


def summary(result: Any) -> Any:
    """Frames [T, H, W, 3] as the means of each colour over an 8 x 8 grid; texts and counts as they are."""
    if not hasattr(result, "shape"):
        return result
    import numpy as np

    means = []
    for frame in result:  # one by one, so that no copy of all of them stands beside them
        height, width = frame.shape[0] // 8 * 8, frame.shape[1] // 8 * 8
        grid = np.asarray(frame)[:height, :width].reshape(8, height // 8, 8, width // 8, 3)
        means.append(grid.mean(axis=(1, 3)).round(1).ravel().tolist())
    return means


def sample_tempo(path: str, times_s: list[float], size: tuple[int, int] | None = None) -> Work:
    from tempo_core.video import sample

    return lambda: sample(path, at=times_s, size=size).frames


def sample_pyav(path: str, times_s: list[float], size: tuple[int, int] | None = None) -> Work:
    """As its documentation reads a video: from the start, each picture turned to RGB where it is wanted."""
    import av
    import numpy as np

    height, width = size or (None, None)

    def pixels(picture: Any) -> Any:
        return picture.to_ndarray(format="rgb24", height=height, width=width)

    def work() -> Any:
        frames, next_times_s = [], iter(times_s)
        time_s: float | None = next(next_times_s)
        before: Any = None
        with av.open(path) as container:
            container.streams.video[0].thread_type = "NONE"
            for picture in container.decode(video=0):
                while time_s is not None and before is not None and picture.time > time_s:
                    frames.append(pixels(before))
                    time_s = next(next_times_s, None)
                if time_s is None:
                    break
                before = picture
        while time_s is not None:
            frames.append(pixels(before))
            time_s = next(next_times_s, None)
        return np.stack(frames)

    return work


def sample_decord(path: str, times_s: list[float], size: tuple[int, int] | None = None) -> Work:
    import decord

    height, width = size or (-1, -1)

    def work() -> Any:
        reader = decord.VideoReader(path, num_threads=1, height=height, width=width)
        rate = reader.get_avg_fps()
        return reader.get_batch([min(int(time_s * rate), len(reader) - 1) for time_s in times_s]).asnumpy()

    return work


def sample_ffmpeg(path: str, times_s: list[float], size: tuple[int, int] | None = None) -> Work:
    """One pass of the program with `select`, raw RGB through a pipe."""
    import imageio_ffmpeg
    import numpy as np

    program = imageio_ffmpeg.get_ffmpeg_exe()
    probe = imageio_ffmpeg.read_frames(path)
    information = next(probe)
    probe.close()
    (width, height), rate = information["source_size"], information["fps"]
    chosen = "+".join(f"eq(n\\,{int(time_s * rate)})" for time_s in times_s)
    if size is not None:
        height, width = size
        chosen += f",scale={width}:{height}"
    with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False) as script:
        script.write(f"select={chosen}")

    def work() -> Any:
        command = [program, "-v", "error", "-threads", "1", "-i", path, "-filter_script:v", script.name]
        command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        data = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        return np.frombuffer(data, dtype=np.uint8).reshape(-1, height, width, 3)

    return work


def sample_torchcodec(path: str, times_s: list[float], size: tuple[int, int] | None = None) -> Work:
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    transforms = None if size is None else [Resize(size)]

    def work() -> Any:
        decoder = VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1, transforms=transforms)
        return decoder.get_frames_played_at(seconds=times_s).data.numpy()

    return work


def sample_qwen(path: str, times_s: list[float], size: tuple[int, int] | None = None) -> Work:
    """Its own choice of frames: as many, at even places, so that only their number is compared. They are read by
    torchcodec, which it prefers, and come as float32 of at most 1008 x 560 pixels, its limit, or of `size`."""
    from qwen_vl_utils import fetch_video

    request: dict[str, Any] = {"video": path, "nframes": len(times_s)}
    if size is not None:
        request |= {"resized_height": size[0], "resized_width": size[1]}
    return lambda: len(fetch_video(request))


def ask_tempo(questions: int, n_best: int, together: bool) -> Work:
    from benchmarks.engine import query, video
    from tempo_core.engine import load_engine

    engine = load_engine()
    context, queries = engine.encode(video(0, 20)), [query(number) for number in range(questions)]

    def work() -> list[str]:
        if together:
            return [answer.text for answer in engine.ask_many(context, queries, n_best=n_best)]
        return [engine.ask(context, text, n_best=n_best).text for text in queries]

    return work


def ask_generate(questions: int, n_best: int, reuse: bool) -> Work:
    """The same weights by `generate`: behind a copy of the clip's cache as its documentation reuses one, or with the
    pixels each time. `n_best` beams bring as many sequences."""
    import copy

    import torch

    from benchmarks.engine import query, video
    from tempo_core.context import prompt_for
    from tempo_core.engine import load_engine
    from tempo_core.protocols.base import IM_END, IMAGE_PAD, prompt_ids, special_id
    from tempo_core.vision import image_inputs

    engine = load_engine()
    loaded, clip = engine.loaded, video(0, 20)
    tokenizer, model = loaded.tokenizer, loaded.model
    prompt = prompt_for(loaded, clip, token_budget=None, allocator=None)
    pixels, grids = image_inputs(
        model, clip.frames, prompt.allocation.sizes_px, loaded.normaliser, frames_per_unit=1
    )
    cache, end = engine.encode(clip).cache, special_id(tokenizer, IM_END)
    options: dict[str, Any] = {
        "max_new_tokens": engine.defaults.max_new_tokens,
        "do_sample": False,
        "eos_token_id": end,
        "pad_token_id": end,
        "num_beams": max(1, n_best),
        "num_return_sequences": max(1, n_best),
    }

    def ask(text: str) -> str:
        ids = torch.tensor([[*prompt.ids, *prompt_ids(tokenizer, engine.protocol.question(text))]])
        types = (ids == special_id(tokenizer, IMAGE_PAD)).int()
        inputs: dict[str, Any] = {"pixel_values": pixels, "image_grid_thw": grids}
        inputs["mm_token_type_ids"] = types
        if reuse:
            copies = copy.deepcopy(cache)
            if n_best > 1:
                copies.batch_repeat_interleave(n_best)
            inputs = {"past_key_values": copies, "image_grid_thw": grids, "mm_token_type_ids": types}
        with torch.inference_mode():
            output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **inputs, **options)
        answer = output[0, ids.shape[1] :].tolist()
        return tokenizer.decode(answer[: answer.index(end)] if end in answer else answer)

    queries = [query(number) for number in range(questions)]
    return lambda: [ask(text) for text in queries]


def score_tempo(predictions: str, truth: str) -> Work:
    """With what `evaluate` gives beside them: intervals, and measures of refusals and of sets."""
    from tempo_core.metrics import evaluate_files

    return lambda: flat(evaluate_files(predictions, truth, rules="official").scores)


def score_official(predictions: str, truth: str) -> Work:
    from standalone_eval.eval import eval_submission
    from standalone_eval.utils import load_jsonl

    return lambda: flat(eval_submission(load_jsonl(predictions), load_jsonl(truth), verbose=False))


def flat(scores: Any, name: str = "") -> list[str]:
    """Every number with its name, sorted."""
    if not isinstance(scores, dict):
        return [f"{name} {scores}"]
    return sorted(line for key, value in scores.items() for line in flat(value, f"{name}/{key}"))


def learn_tempo(steps: int) -> Work:
    from benchmarks.peers.learning import tempo_steps

    folder = tempfile.TemporaryDirectory(prefix="peers-")
    learn = tempo_steps(steps, Path(folder.name))

    def work(_keep: Any = folder) -> int:
        return learn()

    return work


def learn_trl(steps: int) -> Work:
    from benchmarks.peers.learning import trl_steps

    folder = tempfile.TemporaryDirectory(prefix="peers-")
    learn = trl_steps(steps, Path(folder.name))

    def work(_keep: Any = folder) -> int:
        return learn()

    return work


def save_tempo(saves: int) -> Work:
    from uuid import uuid4

    from annotations.records import Edit, EditedMoment
    from annotations.rows import Row
    from annotations.store import Store

    folder = tempfile.TemporaryDirectory(prefix="peers-")
    store = Store(str(Path(folder.name, "cqvh.sqlite3")))
    rows = [Row(qid=f"q{number}", vid=f"v{number}", query="a dog", duration_s=10.0) for number in range(200)]
    store.import_rows(rows, dataset="peers", op_id="1")
    answer = Edit(verdict="moments", moments=(EditedMoment(start_ms=1000, end_ms=2000),))
    parents: dict[int, int] = {}

    def work(_keep: Any = folder) -> int:
        for number in range(saves):
            query_id = 1 + number % 40
            correction = store.submit(
                query_id, answer, annotator="bob", parent_id=parents.get(query_id), op_id=str(uuid4())
            )
            parents[query_id] = correction.id
        return saves

    return work


def save_sqlite(saves: int) -> Work:
    import sqlite3

    folder = tempfile.TemporaryDirectory(prefix="peers-")
    connection = sqlite3.connect(Path(folder.name, "bare.sqlite3"), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")

    def work(_keep: Any = folder) -> int:
        (before,) = connection.execute("SELECT count(*) FROM rows").fetchone()
        for _ in range(saves):
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(5):
                connection.execute("INSERT INTO rows (text) VALUES (?)", ("x" * 200,))
            connection.execute("COMMIT")
        (after,) = connection.execute("SELECT count(*) FROM rows").fetchone()
        return int(after - before) // 5

    return work


if __name__ == "__main__":
    main()
