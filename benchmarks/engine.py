"""The engine: what reusing a context saves, whether answers stay equal, and how many of N answers parse."""

import json
import random
import time
from typing import Annotated, Any

import numpy as np
import torch
import typer

from tempo_core.answers import AnswerError, parse_answer
from tempo_core.engine import Engine, load_engine
from tempo_core.video import SampledVideo

WORDS = [
    "red",
    "circle",
    "two",
    "squares",
    "fade",
    "left",
    "green",
    "triangle",
    "blue",
    "cross",
    "wall",
    "moves",
]
"""Words that tempo-tiny was taught: a question with others would be declined unread."""
QUERIES_PER_VIDEO = 10


def run(
    checkpoint: Annotated[str | None, typer.Option(metavar="DIR")] = None,
    answers: Annotated[int, typer.Option(help="questions about random videos")] = 1000,
    frames: Annotated[int, typer.Option(help="sampled frames of each video")] = 20,
    compared: Annotated[int, typer.Option(help="answers that are repeated without reuse")] = 20,
    random_weights: Annotated[bool, typer.Option("--random-weights")] = False,
    four_bit: bool = True,
) -> int:
    """What reusing a context saves, whether answers stay equal, and how many of N answers parse.

    Videos and queries are random. With --random-weights the checkpoint's weights are replaced by noise: a model that
    knows nothing must still answer in the grammar. Exit code 0 when every answer parsed and every compared one was
    equal.
    """
    engine = load_engine(checkpoint, four_bit=four_bit)
    if random_weights:
        randomise(engine)
    result = {"model_id": engine.model_id, "random_weights": random_weights}
    result |= measure_parsing(engine, answers, frames) | measure_reuse(engine, compared, frames)
    print(json.dumps(result, indent=1))
    return int(result["parsed"] != answers or result["equal"] != compared)


def measure_parsing(engine: Engine, answers: int, frames: int) -> dict[str, Any]:
    """How many of so many answers parse, and the seconds that one takes on an encoded video."""
    parsed = refused = 0
    ask_s = 0.0
    for number in range(answers):
        if number % QUERIES_PER_VIDEO == 0:
            context = engine.encode(video(number, frames))
        start_s = time.perf_counter()
        answer = engine.ask(context, query(number))
        ask_s += time.perf_counter() - start_s
        refused += answer.refused
        try:
            parsed += len(parse_answer(answer.text, context.stamps)) == len(answer.moments)
        except AnswerError as error:
            print(error)
    return {"answers": answers, "parsed": parsed, "refused": refused, "ask_s": round(ask_s / answers, 4)}


def measure_reuse(engine: Engine, compared: int, frames: int) -> dict[str, Any]:
    """Answers with and without reuse: how many are equal, and the ratio of their seconds."""
    equal, reuse_s, plain_s = 0, 0.0, 0.0
    for number in range(compared):
        clip = video(number, frames)
        context = engine.encode(clip)
        start_s = time.perf_counter()
        answer = engine.ask(context, query(number), n_best=0)
        middle_s = time.perf_counter()
        plain = engine.ask_plain(clip, query(number))
        reuse_s, plain_s = reuse_s + middle_s - start_s, plain_s + time.perf_counter() - middle_s
        equal += answer.text == plain.text
    ratio = round(plain_s / reuse_s, 1) if reuse_s else None
    return {"compared": compared, "equal": equal, "plain_over_reuse": ratio}


def randomise(engine: Engine) -> None:
    """Noise for every weight that is not quantised; words weak beside what the layers add, so that answers
    vary."""
    torch.manual_seed(0)
    model = engine.loaded.model
    words = {id(parameter) for parameter in model.get_input_embeddings().parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point() and parameter.dim() > 1:
                parameter.normal_(std=0.02 if id(parameter) in words else 0.2)


def video(seed: int, frames: int) -> SampledVideo:
    """Blocks of colour that change now and then, one frame a second."""
    rng = np.random.default_rng(seed)
    pictures = np.empty((frames, 112, 112, 3), dtype=np.uint8)
    for idx in range(frames):
        if idx == 0 or rng.random() < 0.4:
            block = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        pictures[idx] = np.kron(block, np.ones((28, 28, 1), dtype=np.uint8))
    times_s = np.arange(frames, dtype=np.float64)
    return SampledVideo(
        times_s=times_s, frames=pictures, end_s=float(frames), reader="pyav", notes=(), sha256=f"{seed:064d}"
    )


def query(seed: int) -> str:
    """A few words in no order."""
    rng = random.Random(seed)
    return " ".join(rng.choices(WORDS, k=rng.randrange(1, 7)))
