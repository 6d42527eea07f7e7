"""Learning: a group-shared PIR-GRPO step against one row per rollout, on the same model, prompt and answers.

Both ways do a whole step on random weights of tempo-tiny's size: look at the video, sample G answers under the
grammar, score them and go back. The plain way is what a general trainer does: every rollout is a row of its own, with
its own copy of the pixels, for sampling and for the gradient. Both sample the same answers (equal random numbers), so
that log-probabilities and gradients can be compared; the group-shared step does not profit from answers that are equal
(`--merge` lets it, as in training).
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.engine import video
from tempo_core.command_line import AsJson
from tempo_core.decoding import Scorer
from tempo_core.defaults import GroundingDefaults
from tempo_core.moments import Moment
from tests.train.grpo.plain import pixel_inputs, plain_logprobs
from train.config import PirGrpoConfig
from train.data.encoding import Encoded, Encoder
from train.data.examples import Example
from train.grpo.group_forward import group_logprobs, pack
from train.grpo.rollouts import Rollout, distinct, prefill, sample_group
from train.trainer import encode_video

SEED = 3


def run(
    rollouts: Annotated[int, typer.Option(help="G")] = 8,
    frames: int = 42,
    tokens_per_frame: int = 32,
    repeats: int = 3,
    merge: Annotated[
        bool, typer.Option("--merge", help="let equal answers share their work, as in training")
    ] = False,
    train_vision: Annotated[
        bool, typer.Option("--train-vision", help="gradients through the vision tower too")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """A group-shared PIR-GRPO step against one row per rollout, on the same model, prompt and answers.

    Exit code 0 when the step is at least four times faster than its plain twin and equal to it.
    """
    model, encoded, tokenizer = scene(frames, tokens_per_frame)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(train_vision or ".visual." not in name)
    steps: dict[str, Callable[[], Step]] = {
        "shared": lambda: shared_step(model, encoded, tokenizer, rollouts, merge, train_vision),
        "plain": lambda: plain_step(model, encoded, tokenizer, rollouts),
    }
    result = compare(steps, repeats) | {
        "prompt_tokens": len(encoded.prompt_ids),
        "rollouts": rollouts,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result) if as_json else describe(result))
    equal = result["logprob_difference"] < 1e-5 and result["gradient_cosine"] > 0.9999
    return int(not equal or result["ratio"] < 4)


class Step:
    """What one step did: seconds of its parts, answers, log-probabilities and gradient."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.rollouts: list[Rollout] = []
        self.logprobs = torch.zeros(0)
        self.gradient = torch.zeros(0)
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self._last = now - self._last, now


def shared_step(
    model: Any, encoded: Encoded, tokenizer: Any, size: int, merge: bool, train_vision: bool
) -> Step:
    """One look, one prefill, one packed row."""
    step = Step()
    model.eval()
    with torch.no_grad():
        visual_tokens = encode_video(model, encoded.video)
    step.rollouts = sample(prefill(model, encoded, visual_tokens), encoded, tokenizer, size)
    step.lap("sampling")
    model.train()
    unique, places = distinct(step.rollouts) if merge else (step.rollouts, list(range(size)))
    row = pack(encoded, [rollout.completion for rollout in unique])
    if train_vision:
        visual_tokens = encode_video(model, encoded.video)
    logprobs = group_logprobs(model, row, visual_tokens)
    weights = torch.zeros(len(unique))
    weights.index_add_(0, torch.tensor(places), torch.tensor(advantages(step.rollouts)))
    _backward(step, model, logprobs, weights[row.completion_idx])
    step.logprobs = torch.cat([logprobs[row.completion_idx == place] for place in places]).detach()
    return step


def plain_step(model: Any, encoded: Encoded, tokenizer: Any, size: int) -> Step:
    """G rows: G times the pixels and the prompt for sampling, G rows for the gradient."""
    step = Step()
    model.eval()
    step.rollouts = sample(repeated_prefill(model, encoded, size), encoded, tokenizer, size)
    step.lap("sampling")
    model.train()
    completions = [rollout.completion for rollout in step.rollouts]
    logprobs = plain_logprobs(model, encoded, completions)
    counts = torch.tensor([len(completion.choices) for completion in completions])
    _backward(step, model, logprobs, torch.tensor(advantages(step.rollouts)).repeat_interleave(counts))
    step.logprobs = logprobs.detach()
    return step


def _backward(step: Step, model: Any, logprobs: Tensor, weights: Tensor) -> None:
    step.lap("forward")
    (-(weights * logprobs).sum()).backward()
    step.lap("backward")
    step.gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()


@torch.no_grad()
def repeated_prefill(model: Any, encoded: Encoded, size: int) -> Any:
    """The prompt read G times, each with its own pixels; behind it the same sampling as the shared step's."""
    from transformers import DynamicCache

    from tempo_core.decoding import CachedScorer

    ids = torch.tensor([encoded.prompt_ids] * size)
    vision = pixel_inputs(model, encoded.video, ids)
    vision["pixel_values"] = vision["pixel_values"].repeat(size, 1)
    vision["image_grid_thw"] = vision["image_grid_thw"].repeat(size, 1)
    positions, _ = model.model.get_rope_index(
        ids, vision["mm_token_type_ids"], image_grid_thw=vision["image_grid_thw"]
    )
    cache = DynamicCache(config=model.config.get_text_config())
    output = model(
        input_ids=ids,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        **vision,
    )
    scorer = CachedScorer(model, cache, output.logits[:, -1].float(), int(positions.max()) + 1)
    scorer._rows = size
    return _EveryRow(scorer, size)


class _EveryRow:
    """Feeds all G rows at every step, equal ones too, as sampling without sharing does."""

    def __init__(self, scorer: Any, size: int) -> None:
        self._scorer, self._size = scorer, size
        self._rows = list(range(size))

    def __call__(self, prefixes: Any, parents: Any) -> Tensor:
        spread = [prefixes[idx % len(prefixes)] for idx in range(self._size)]
        rows = [parents[idx % len(prefixes)] for idx in range(self._size)]
        logits: Tensor = self._scorer(spread, rows)
        return logits[: len(prefixes)]


def sample(scorer: Scorer, encoded: Encoded, tokenizer: Any, size: int) -> list[Rollout]:
    """The same answers for both ways: equal random numbers, equal distributions."""
    return sample_group(
        scorer, encoded, tokenizer, np.random.default_rng(SEED), PirGrpoConfig(num_generations=size)
    )


def advantages(rollouts: list[Rollout]) -> list[float]:
    """Advantages that differ, but are equal for equal answers."""
    ids = [rollout.completion.ids for rollout in rollouts]
    rewards = np.array([len(tokens) + sum(tokens) % 7 for tokens in ids], dtype=float)
    return [float(value) for value in (rewards - rewards.mean()) / (rewards.std() + 1e-6)]


def compare(steps: dict[str, Callable[[], Step]], repeats: int) -> dict[str, Any]:
    """The fastest of several runs of each, taken in turns, and how far apart their numbers are."""
    runs: dict[str, list[Step]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            runs[name].append(step())
    best = {name: min(tries, key=lambda step: sum(step.seconds.values())) for name, tries in runs.items()}
    shared, plain = best["shared"], best["plain"]
    ids, plain_ids = ([rollout.completion.ids for rollout in step.rollouts] for step in (shared, plain))
    if ids != plain_ids:
        raise AssertionError("Both ways must sample the same answers; their distributions differ.")
    seconds = {name: sum(step.seconds.values()) for name, step in best.items()}
    cosine = torch.cosine_similarity(shared.gradient.double(), plain.gradient.double(), dim=0)
    return {
        "ratio": round(seconds["plain"] / seconds["shared"], 2),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "parts": {
            name: {part: round(s, 3) for part, s in step.seconds.items()} for name, step in best.items()
        },
        "distinct": len(distinct(shared.rollouts)[0]),
        "answer_tokens": sum(map(len, ids)),
        "logprob_difference": float((shared.logprobs - plain.logprobs).abs().max()),
        "gradient_cosine": float(cosine),
        "gradient_difference": float((shared.gradient - plain.gradient).norm() / plain.gradient.norm()),
    }


def describe(result: dict[str, Any]) -> str:
    """The result in a few lines."""
    lines = [
        f"prompt of {result['prompt_tokens']} tokens, {result['rollouts']} answers ({result['distinct']} different, "
        f"{result['answer_tokens']} tokens), {result['threads']} threads",
        f"{'':10}{'sampling':>10}{'forward':>10}{'backward':>10}{'whole':>10}",
    ]
    for name, parts in result["parts"].items():
        cells = [*parts.values(), result["seconds"][name]]
        lines.append(f"{name:10}" + "".join(f"{seconds:9.3f}s" for seconds in cells))
    lines.append(
        f"{result['ratio']} times faster; log-probabilities {result['logprob_difference']:.1e} apart, gradient cosine "
        f"{result['gradient_cosine']:.8f}, relative difference {result['gradient_difference']:.1e}"
    )
    return "\n".join(lines)


def scene(frames: int, tokens_per_frame: int) -> tuple[Any, Encoded, Any]:
    """A random model of tempo-tiny's size, and a query about a random video."""
    from train.scratch.architecture import new_model
    from train.scratch.tokenizer import build_tokenizer

    tokenizer: Any = build_tokenizer()
    model = new_model(tokenizer, seed=0)
    defaults = GroundingDefaults(
        max_frames=frames, token_budget=frames * tokens_per_frame, min_tokens=4, max_tokens=64, instruction=""
    )
    encoder = Encoder(tokenizer, defaults, sample=lambda _: video(0, frames))
    example = Example(
        row_id="benchmark",
        video=Path("benchmark"),
        query="a red circle appears",
        duration_s=float(frames),
        moments=(Moment(3.0, 9.0),),
    )
    return model, encoder.encode(example), tokenizer
