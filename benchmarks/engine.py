"""The engine: what reusing a context and sharing passes save, whether answers stay equal, how many of N parse."""

import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
import typer

from tempo_core import memory
from tempo_core.answers import AnswerError, parse_answer
from tempo_core.backend import AskRequest
from tempo_core.engine import Answer, Engine, load_engine
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
    shared: Annotated[
        int, typer.Option(help="videos that are asked eight questions, alone and together")
    ] = 8,
    random_weights: Annotated[bool, typer.Option("--random-weights")] = False,
    four_bit: bool = True,
) -> int:
    """What reusing a context and sharing passes save, whether answers stay equal, and how many of N answers parse.

    Videos and queries are random. With --random-weights the checkpoint's weights are replaced by noise: a model that
    knows nothing must still answer in the grammar. Exit code 0 when every answer parsed and every compared one was
    equal, those that share passes too.
    """
    engine = load_engine(checkpoint, four_bit=four_bit)
    if random_weights:
        randomise(engine)
    result = {"model_id": engine.model_id, "random_weights": random_weights}
    result |= measure_parsing(engine, answers, frames) | measure_reuse(engine, compared, frames)
    result |= measure_sharing(engine, shared, frames)
    if four_bit and not random_weights:
        result |= measure_layers(engine, checkpoint, shared, frames)
    print(json.dumps(result, indent=1))
    is_equal = result["equal"] == compared and result["shared_equal"] == result["shared_compared"]
    is_equal &= result.get("layers_equal") == result.get("layers_compared")
    return int(result["parsed"] != answers or not is_equal)


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


def measure_sharing(engine: Engine, videos: int, frames: int) -> dict[str, Any]:
    """Processor seconds of ranked windows over those of the answer alone, by what was answered, of each with its plain
    twin over sharing, and of eight questions one by one over together. Everything in turn, a video at a time."""
    seconds: dict[str, list[float]] = defaultdict(list)
    equal = compared = 0

    def measure(name: str, work: Callable[[], Any]) -> Any:
        begin_s = time.process_time()
        result = work()
        seconds[name].append(time.process_time() - begin_s)
        return result

    for number in range(videos):
        context = engine.encode(video(number, frames))
        queries = [query(8 * number + idx) for idx in range(8)]
        alone: dict[int, list[Answer]] = {0: [], 5: []}
        for text in queries:
            refused = engine.ask(context, text, n_best=0).refused
            kind = "refusal" if refused else "moments"
            for n_best in (0, 5):
                answer = measure(f"{kind} {n_best}", partial(engine.ask, context, text, n_best=n_best))
                request = AskRequest(context=context, query=text, n_best=n_best)
                twin = measure(f"{kind} {n_best} twin", partial(engine.ask_by_itself, request))
                alone[n_best].append(answer)
                equal, compared = equal + is_equal(answer, twin), compared + 1
        for n_best in (0, 5):
            measure(f"alone {n_best}", partial(ask_one_by_one, engine, context, queries, n_best))
            together = measure(
                f"together {n_best}", partial(engine.ask_many, context, queries, n_best=n_best)
            )
            pairs = zip(alone[n_best], together, strict=True)
            equal, compared = equal + sum(is_equal(a, b) for a, b in pairs), compared + len(queries)

    def ratio(over: str, under: str) -> float | None:
        pairs = zip(seconds[over], seconds[under], strict=True)
        ratios = [first / second for first, second in pairs]
        return round(statistics.median(ratios), 2) if ratios else None

    return {
        "shared_compared": compared,
        "shared_equal": equal,
        "refusals": len(seconds["refusal 0"]),
        "answers_with_moments": len(seconds["moments 0"]),
        **{
            f"ranked_over_greedy_{kind}{twin.replace(' ', '_')}": ratio(f"{kind} 5{twin}", f"{kind} 0{twin}")
            for kind in ("moments", "refusal")
            for twin in ("", " twin")
        },
        **{
            f"twin_over_shared_{kind}_{n_best}": ratio(f"{kind} {n_best} twin", f"{kind} {n_best}")
            for kind in ("moments", "refusal")
            for n_best in (0, 5)
        },
        **{
            f"eight_alone_over_together_{n_best}": ratio(f"alone {n_best}", f"together {n_best}")
            for n_best in (0, 5)
        },
    }


def measure_layers(engine: Engine, checkpoint: str | None, videos: int, frames: int) -> dict[str, Any]:
    """Processor seconds of NF4 layers as this machine multiplies them over those of their plain twin, in turn: of a
    clip, and of a question with no ranked windows and with five. And how many answers are equal."""
    dense_weights, memory.DENSE_CPU_WEIGHTS = memory.DENSE_CPU_WEIGHTS, 0
    try:
        plain = load_engine(checkpoint)
    finally:
        memory.DENSE_CPU_WEIGHTS = dense_weights
    ratios: dict[str, list[float]] = defaultdict(list)
    equal = compared = 0

    def measure(name: str, works: Sequence[Callable[[], Any]]) -> list[Any]:
        results, seconds = [], []
        for work in works:
            begin_s = time.process_time()
            results.append(work())
            seconds.append(time.process_time() - begin_s)
        ratios[name].append(seconds[0] / seconds[1])
        return results

    for number in range(videos):
        clip = video(number, frames)
        contexts = measure("clip", [partial(asked.encode, clip) for asked in (engine, plain)])
        for idx in range(8):
            for n_best in (0, 5):
                text = query(8 * number + idx)
                pairs = zip((engine, plain), contexts, strict=True)
                works = [partial(asked.ask, context, text, n_best=n_best) for asked, context in pairs]
                equal += is_equal(*measure(f"question_{n_best}", works))
                compared += 1
    medians = {f"layers_over_plain_{name}": round(statistics.median(ratios[name]), 2) for name in ratios}
    return {"layers_compared": compared, "layers_equal": equal, **medians}


def ask_one_by_one(engine: Engine, context: Any, queries: list[str], n_best: int) -> list[Answer]:
    """What `ask_many` does, without sharing between questions."""
    return [engine.ask(context, text, n_best=n_best) for text in queries]


def is_equal(answer: Answer, twin: Answer) -> bool:
    """Whether two answers say the same, token by token, with figures within 1e-4."""
    figures: list[Any] = [
        [a.relevance, *a.confidences, *(score for _, score in a.ranked)] for a in (answer, twin)
    ]
    return (
        (answer.text, answer.moments) == (twin.text, twin.moments)
        and [window for window, _ in answer.ranked] == [window for window, _ in twin.ranked]
        and np.allclose(figures[0], figures[1], rtol=0, atol=1e-4)
    )


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
