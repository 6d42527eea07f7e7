"""The run: vision stage, joint stage, 4-bit finish. Resumable, with curves; the same command goes on where it stopped.

It is NOT a trainer for other models. Everything that matters is in the recipe; the state after every few hundred steps
is in `state.pt`, a line of curves every so many in `curves.jsonl`.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, Qwen2VLForConditionalGeneration

from train.scratch import four_bit
from train.scratch.architecture import HIDDEN, new_model
from train.scratch.batches import Batches, still_frames, videos
from train.scratch.forward import see
from train.scratch.heads import WEIGHTS, Heads, joint_losses, vision_losses
from train.scratch.recipe import ScratchRecipe
from train.scratch.start import Start
from train.scratch.tokenizer import build_tokenizer

log = logging.getLogger(__name__)
Progress = Callable[[dict], None]


@dataclass(slots=True)
class _State:
    model: Qwen2VLForConditionalGeneration
    heads: Heads
    tokenizer: PreTrainedTokenizerBase
    optimizers: list[torch.optim.Optimizer]
    stage: str = "vision"
    step: int = 0
    """Steps done in this stage."""
    seconds: float = 0.0


def run(
    recipe: ScratchRecipe, folder: Path, *, start: Start | None = None, fresh_language: bool = False,
    progress: Progress = lambda _: None,
) -> tuple[Qwen2VLForConditionalGeneration, PreTrainedTokenizerBase]:  # fmt: skip
    """Train from random weights (or from `folder`'s state); returns the model, its weights exact, and its tokenizer.

    The joint stage begins with the weights of `start`, all of them or, with `fresh_language`, the vision tower's and
    its read-outs'.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.threads)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    state = _begin(recipe, whitened=start is None and not (folder / "state.pt").exists())
    if not _resume(state, recipe, folder) and start is not None:
        _start_from(state, recipe, start, fresh_language=fresh_language)
    if state.stage == "vision":
        _stage(state, recipe, folder, recipe.vision_steps, _vision_batches(recipe), _vision_step, progress)
        state.stage, state.step = "joint", 0
        state.optimizers = _optimizers(state, recipe)
        _save(state, folder)
    _stage(
        state,
        recipe,
        folder,
        recipe.joint_steps,
        _joint_batches(recipe, state.tokenizer),
        partial(_joint_step, recipe=recipe),
        progress,
    )
    _save(state, folder)
    four_bit.exact_weights(state.model)
    return state.model.eval(), state.tokenizer


def _begin(recipe: ScratchRecipe, *, whitened: bool) -> _State:
    tokenizer = build_tokenizer(recipe.seed if recipe.tokenizer_seed is None else recipe.tokenizer_seed)
    model = new_model(tokenizer, seed=recipe.seed, whitened=whitened)
    heads = Heads(HIDDEN, tokenizer)
    state = _State(model=model, heads=heads, tokenizer=tokenizer, optimizers=[])
    state.optimizers = _optimizers(state, recipe)
    return state


def _optimizers(state: _State, recipe: ScratchRecipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the towers, AdamW for embeddings, norms, biases and heads."""
    named = [*state.model.named_parameters(), *state.heads.named_parameters(prefix="heads")]
    matrices = [n for n, p in named if p.ndim == 2 and "embed_tokens" not in n and not n.startswith("heads")]
    others = [n for n, _ in named if n not in set(matrices)]
    parameters = dict(named)

    def groups(names: list[str]) -> list[dict]:
        parts = {
            seeing: [parameters[n] for n in names if (".visual." in n) == seeing] for seeing in (True, False)
        }
        return [{"params": part, "vision": seeing} for seeing, part in parts.items()]

    return [
        torch.optim.Muon(
            groups(matrices), lr=1e-3, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(groups(others), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _vision_batches(recipe: ScratchRecipe) -> Callable[[int], object]:
    return partial(
        still_frames, seed=recipe.seed, count=recipe.vision_frames, rich_share=recipe.vision_rich_share
    )


def _joint_batches(recipe: ScratchRecipe, tokenizer: PreTrainedTokenizerBase) -> Callable[[int], object]:
    return partial(_joint_batch, recipe=recipe, tokenizer=tokenizer)


def _joint_batch(step: int, *, recipe: ScratchRecipe, tokenizer: PreTrainedTokenizerBase) -> object:
    number = recipe.batches_from + step
    return videos(number, seed=recipe.seed, mixture=recipe.phase(step).mixture, tokenizer=tokenizer)


def _vision_step(state: _State, batch: object) -> tuple[Tensor, dict[str, float]]:
    seen = [see(state.model, frames.pixels) for frames in batch]  # type: ignore[attr-defined]
    parts, scores = vision_losses(state.heads, batch, seen)  # type: ignore[arg-type]
    loss = parts["looks"] + 0.3 * parts["surroundings"]
    return loss, {k: float(v.detach()) for k, v in parts.items()} | scores


def _joint_step(state: _State, batch: object, *, recipe: ScratchRecipe) -> tuple[Tensor, dict[str, float]]:
    losses, scores = joint_losses(state.model, state.heads, batch)  # type: ignore[arg-type]
    weights = WEIGHTS | {"vision": recipe.phase(state.step).vision_weight}
    total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
    return total, {name: float(value.detach()) for name, value in losses.items()} | scores


def _stage(
    state: _State, recipe: ScratchRecipe, folder: Path, steps: int, make: Callable[[int], object],
    advance: Callable[[_State, object], tuple[Tensor, dict[str, float]]], progress: Progress,
) -> None:  # fmt: skip
    """Train from the state's step to `steps`, recording and saving as the recipe says."""
    if state.step >= steps:
        return
    beside: dict[str, Any] = {"num_workers": 1, "prefetch_factor": 6, "multiprocessing_context": "spawn"}
    batches = Batches(make, state.step, steps)
    loader = DataLoader(batches, batch_size=None, **(beside if recipe.loader_processes else {}))
    gathered: list[dict[str, float]] = []
    since = time.monotonic()
    for batch in loader:
        if state.stage == "joint" and state.step >= steps * (1 - recipe.four_bit_share):
            four_bit.round_weights(state.model)
        _set_rates(state, recipe, steps)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.bf16), parametrize.cached():
            loss, scores = advance(state, batch)
        loss.backward()
        _update(state)
        gathered.append(scores)
        state.step += 1
        if state.step % recipe.record_every == 0 or state.step == steps:
            now = time.monotonic()
            state.seconds, since = state.seconds + now - since, now
            _record(state, folder, gathered, steps, progress)
            gathered = []
        if state.step % recipe.save_every == 0:
            _save(state, folder)


def _update(state: _State) -> None:
    parameters = [
        p for optimizer in state.optimizers for group in optimizer.param_groups for p in group["params"]
    ]
    nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], 1.0)
    for optimizer in state.optimizers:
        optimizer.step()
        optimizer.zero_grad()


def _set_rates(state: _State, recipe: ScratchRecipe, steps: int) -> None:
    """Warm up, hold, fall linearly to nothing."""
    share = recipe.vision_decay_share if state.stage == "vision" else recipe.joint_decay_share
    decay = max(1.0, steps * share)
    factor = min(1.0, (state.step + 1) / recipe.warmup_steps, (steps - state.step) / decay)
    seeing, rates = 1.0, recipe.vision_rates
    if state.stage == "joint":
        phase = recipe.phase(state.step)
        factor, seeing, rates = factor * phase.rate, phase.vision_rate, recipe.joint_rates
    for optimizer, rate in zip(state.optimizers, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate * factor * (seeing if group["vision"] else 1.0)


def _record(
    state: _State, folder: Path, gathered: list[dict[str, float]], steps: int, progress: Progress
) -> None:
    names = sorted({name for scores in gathered for name in scores})
    means = {n: round(_mean([s[n] for s in gathered if n in s]), 4) for n in names}
    line = {
        "stage": state.stage,
        "step": state.step,
        "steps": steps,
        "seconds": round(state.seconds, 1),
        **means,
    }
    with (folder / "curves.jsonl").open("a") as curves:
        curves.write(json.dumps(line) + "\n")
    progress(line)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _save(state: _State, folder: Path) -> None:
    """Write the whole state, then put it in place in one step: a kill leaves the old one or the new one."""
    rounded = [p for p in state.model.modules() if parametrize.is_parametrized(p)]
    four_bit.exact_weights(state.model)
    new = folder / "state.new"
    torch.save(
        {
            "model": state.model.state_dict(),
            "heads": state.heads.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
            "stage": state.stage,
            "step": state.step,
            "seconds": state.seconds,
        },
        new,
    )
    os.replace(new, folder / "state.pt")
    if rounded:
        four_bit.round_weights(state.model)


def _start_from(state: _State, recipe: ScratchRecipe, start: Start, *, fresh_language: bool) -> None:
    model, heads = start.weights()
    parts = ((state.model, model, ".visual."), (state.heads, heads, "looks"))
    for module, weights, seeing in parts:
        also = "surroundings" if seeing == "looks" else seeing
        kept = {n: w for n, w in weights.items() if not fresh_language or seeing in n or also in n}
        module.load_state_dict(kept, strict=not fresh_language)
    state.stage = "joint"
    state.optimizers = _optimizers(state, recipe)


def _resume(state: _State, recipe: ScratchRecipe, folder: Path) -> bool:
    """Take up the folder's state, if it has one."""
    path = folder / "state.pt"
    if not path.exists():
        return False
    saved = torch.load(path, weights_only=True)
    state.stage, state.step, state.seconds = saved["stage"], saved["step"], saved["seconds"]
    state.model.load_state_dict(saved["model"])
    state.heads.load_state_dict(saved["heads"])
    for optimizer, old in zip(state.optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(old)
    _forget_curves(folder / "curves.jsonl", state)
    log.info("resuming %s at %s step %d", recipe.name, state.stage, state.step)
    return True


def _forget_curves(path: Path, state: _State) -> None:
    """Drop the lines of steps that were made after the saved state and will be made again."""
    if not path.exists():
        return
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [line for line in lines if line["stage"] != state.stage or line["step"] <= state.step]
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))
