"""The run: vision stage, joint stage, 4-bit finish. Resumable, with curves; the same command goes on where it stopped.

It is NOT a trainer for other models. Everything that matters is in the recipe; the state after every few hundred steps
is in `state.pt`, a line of curves every so many in `curves.jsonl`.
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, Qwen2VLForConditionalGeneration

from tempo_core.errors import InputError
from tempo_core.files import move
from train.checkpoints import append_line, read_lines, write_lines
from train.naturalworld import batches as natural_batches
from train.naturalworld.assets import Assets
from train.naturalworld.labels import spec_of
from train.naturalworld.vocabulary import natural_sentences
from train.scratch import four_bit
from train.scratch.architecture import HIDDEN, new_model
from train.scratch.batches import Frames, Videos, still_frames, videos
from train.scratch.checkpoint import Start
from train.scratch.forward import see
from train.scratch.heads import WEIGHTS, Heads, WorldHeads, joint_losses, vision_losses
from train.scratch.labels import SHAPEWORLD
from train.scratch.recipe import ScratchRecipe
from train.scratch.tokenizer import build_tokenizer, carry_over

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _State:
    model: Qwen2VLForConditionalGeneration
    heads: Heads | WorldHeads
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    stage: str = "vision"
    step: int = 0
    """Steps done in this stage."""
    seconds: float = 0.0
    warm_from: int = 0
    """Step at which the learning rate began to rise: again after the optimizers were lost."""


@dataclass(slots=True)
class VisionBatch:
    """Still pictures of one world."""

    world: str
    frames: list[Frames]


STATE, SMALL_STATE = "state.pt", "state-small.pt"
"""The whole state, and a copy in bfloat16 without the optimizers, small enough to carry elsewhere."""


def run(
    recipe: ScratchRecipe,
    folder: Path,
    *,
    start: Start | None = None,
    fresh_language: bool = False,
    assets: Assets | None = None,
    on_progress: Callable[[dict], None] = lambda line: None,
) -> tuple[Qwen2VLForConditionalGeneration, PreTrainedTokenizerBase]:
    """Train from random weights (or from `folder`'s state); returns the model, its weights exact, and its tokenizer.

    The joint stage begins with the weights of `start`, all of them or, with `fresh_language`, the vision tower's and
    its read-outs'. `assets` are what naturalworld is drawn from, for recipes that show it. Where the folder holds no
    state.pt but its small copy (`SMALL_STATE`), the run goes on from that with fresh optimizers. Raises InputError for
    a recipe whose assets or start are missing.
    """
    if recipe.needs_assets != (assets is not None) or (recipe.begins_with_checkpoint and start is None):
        raise InputError(f"{recipe.name} needs a checkpoint to begin with, and naturalworld's assets.")
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.threads)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    tokenizer_seed = recipe.seed if recipe.tokenizer_seed is None else recipe.tokenizer_seed
    sentences = None if assets is None else natural_sentences(assets, tokenizer_seed, recipe.natural_mix)
    tokenizer = build_tokenizer(tokenizer_seed, sentences=sentences)
    saved = next((path for name in (STATE, SMALL_STATE) if (path := folder / name).is_file()), None)
    model = new_model(tokenizer, seed=recipe.seed, whitened=start is None and saved is None)
    heads: Heads | WorldHeads = Heads(HIDDEN, tokenizer)
    if assets is not None:
        heads = WorldHeads(
            HIDDEN, tokenizer, {"shapeworld": SHAPEWORLD, natural_batches.WORLD: spec_of(assets)}
        )
    state = _State(model, heads)
    state.optimizers = _optimizers(state, recipe)
    if saved is not None:
        before = torch.load(saved, weights_only=True)
        state.stage, state.step, state.seconds = before["stage"], before["step"], before["seconds"]
        state.warm_from = state.step if saved.name == SMALL_STATE else 0
        state.model.load_state_dict(
            before["model"], strict=saved.name == STATE
        )  # the small copy has no tied head
        state.heads.load_state_dict(before["heads"])
        for optimizer, optimizer_state in zip(state.optimizers, before.get("optimizers", ()), strict=False):
            optimizer.load_state_dict(optimizer_state)
        lines = read_lines(folder / "curves.jsonl")  # those of later steps will be made again
        lines = [line for line in lines if line["stage"] != state.stage or line["step"] <= state.step]
        write_lines(folder / "curves.jsonl", lines)
        logger.info("resuming %s at %s step %d", recipe.name, state.stage, state.step)
    elif start is not None:
        model_weights, head_weights = start.weights()
        if recipe.begins_with_checkpoint:
            name = "model.language_model.embed_tokens.weight"
            model_weights[name] = carry_over(model_weights[name], start.tokenizer(), tokenizer)
            model_weights.pop("lm_head.weight", None)  # tied to the embeddings
        if fresh_language:
            model_weights = {name: w for name, w in model_weights.items() if ".visual." in name}
            head_weights = {n: w for n, w in head_weights.items() if "looks" in n or "surroundings" in n}
        strict = not fresh_language and not recipe.begins_with_checkpoint
        state.model.load_state_dict(model_weights, strict=strict)
        state.heads.load_state_dict(head_weights, strict=strict)
        state.stage = "vision" if recipe.vision_steps else "joint"
    if state.stage == "vision":
        make_vision = partial(vision_batch, recipe=recipe, assets=assets)
        _train_stage(state, recipe, folder, recipe.vision_steps, make_vision, on_progress)
        state.stage, state.step, state.warm_from = "joint", 0, 0
        state.optimizers = _optimizers(state, recipe)
        _save(state, folder)
    make_joint = partial(joint_batch, recipe=recipe, tokenizer=tokenizer, assets=assets)
    _train_stage(state, recipe, folder, recipe.joint_steps, make_joint, on_progress)
    _save(state, folder)
    four_bit.exact_weights(state.model)
    return state.model.eval(), tokenizer


def is_natural(step: int, share: float, seed: int) -> bool:
    """Whether the batch of a step shows naturalworld: a draw that depends on nothing but the step's number."""
    return share > 0 and bool(np.random.default_rng([seed, 31, step]).random() < share)


def vision_batch(step: int, *, recipe: ScratchRecipe, assets: Assets | None) -> VisionBatch:
    """The vision stage's batch at a step; a loader's process makes it."""
    if assets is not None and is_natural(step, recipe.natural_vision_share, recipe.seed):
        count = recipe.vision_frames // 2  # its pictures have more tokens
        frames = natural_batches.still_frames(step, seed=recipe.seed, count=count, assets=assets)
        return VisionBatch(world=natural_batches.WORLD, frames=frames)
    frames = still_frames(
        step, seed=recipe.seed, count=recipe.vision_frames, rich_share=recipe.vision_rich_share
    )
    return VisionBatch(world="shapeworld", frames=frames)


def joint_batch(
    step: int, *, recipe: ScratchRecipe, tokenizer: PreTrainedTokenizerBase, assets: Assets | None = None
) -> Videos:
    """The joint stage's batch at a step; a loader's process makes it."""
    number, mixture = recipe.batches_from + step, recipe.phase(step).mixture
    if assets is not None and is_natural(step, mixture.natural_share, recipe.seed):
        return natural_batches.videos(
            number, seed=recipe.seed, mixture=mixture, tokenizer=tokenizer, assets=assets
        )
    return videos(number, seed=recipe.seed, mixture=mixture, tokenizer=tokenizer)


def _optimizers(state: _State, recipe: ScratchRecipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the towers, AdamW for embeddings, norms, biases and heads."""
    parameters = dict([*state.model.named_parameters(), *state.heads.named_parameters(prefix="heads")])
    matrices = [
        name
        for name, parameter in parameters.items()
        if parameter.ndim == 2 and "embed_tokens" not in name and not name.startswith("heads")
    ]
    rest = [name for name in parameters if name not in set(matrices)]

    def groups(names: list[str]) -> list[dict]:
        # The vision tower has a learning rate of its own.
        return [
            {"params": [parameters[n] for n in names if (".visual." in n) == vision], "vision": vision}
            for vision in (True, False)
        ]

    decay = recipe.weight_decay
    return [
        torch.optim.Muon(groups(matrices), lr=1e-3, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups(rest), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _train_stage(
    state: _State,
    recipe: ScratchRecipe,
    folder: Path,
    steps: int,
    make_batch: Callable[[int], Any],
    on_progress: Callable[[dict], None],
) -> None:
    """Train from the state's step to `steps`, recording and saving as the recipe says."""
    if state.step >= steps:
        return
    joint = state.stage == "joint"
    # a single worker runs ahead of the training
    worker: dict[str, Any] = {"num_workers": 1, "prefetch_factor": 6, "multiprocessing_context": "spawn"}
    loader: DataLoader[Any] = DataLoader(
        range(state.step, steps),  # type: ignore[arg-type]
        batch_size=None,
        collate_fn=make_batch,  # type: ignore[arg-type]  # of one step's number, without batches
        **(worker if recipe.loader_processes else {}),
    )
    parameters = [
        p for optimizer in state.optimizers for group in optimizer.param_groups for p in group["params"]
    ]
    records: list[dict[str, float]] = []
    since = time.monotonic()
    for batch in loader:
        if joint and state.step >= steps * (1 - recipe.four_bit_share):
            four_bit.round_weights(state.model)

        # Learning rates: warm up, hold, fall linearly to nothing.
        decay = max(1.0, steps * (recipe.joint_decay_share if joint else recipe.vision_decay_share))
        warm = (state.step - state.warm_from + 1) / recipe.warmup_steps
        factor = min(1.0, warm, (steps - state.step) / decay)
        vision_rate, rates = 1.0, recipe.vision_rates
        if joint:
            phase = recipe.phase(state.step)
            factor, vision_rate, rates = factor * phase.rate, phase.vision_rate, recipe.joint_rates
        for optimizer, rate in zip(state.optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor * (vision_rate if group["vision"] else 1.0)

        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.bf16), parametrize.cached():
            if joint:
                losses, scores = joint_losses(state.model, state.heads.of(batch.world), batch)
                weights = WEIGHTS | {"vision": phase.vision_weight}
                loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
            else:
                visual_tokens = [see(state.model, frames.pixels) for frames in batch.frames]
                losses, scores = vision_losses(state.heads.of(batch.world), batch.frames, visual_tokens)
                loss = losses["looks"] + 0.3 * losses["surroundings"]
            record = {name: float(value.detach()) for name, value in losses.items()} | scores
            if batch.world != "shapeworld":  # the curves of the worlds stay apart
                record = {f"{batch.world}_{name}": value for name, value in record.items()}
            records.append(record)
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], 1.0)
        for optimizer in state.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        state.step += 1

        if state.step % recipe.record_every == 0 or state.step == steps:
            now = time.monotonic()
            state.seconds, since = state.seconds + now - since, now
            line: dict[str, Any] = {"stage": state.stage, "step": state.step, "steps": steps}
            line["seconds"] = round(state.seconds, 1)
            for name in sorted({name for record in records for name in record}):
                values = [record[name] for record in records if name in record]
                line[name] = round(sum(values) / len(values), 4)
            append_line(folder / "curves.jsonl", line)
            on_progress(line)
            records = []
        if state.step % recipe.save_every == 0:
            _save(state, folder)


def _save(state: _State, folder: Path) -> None:
    """Write the whole state, then put it in place in one step: a kill leaves the old one or the new one."""
    rounded = any(parametrize.is_parametrized(module) for module in state.model.modules())
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
    move(new, folder / STATE)
    small = {
        part: {
            name: weight.bfloat16() if weight.is_floating_point() else weight
            for name, weight in module.state_dict().items()
            if name != "lm_head.weight"
        }
        for part, module in (("model", state.model), ("heads", state.heads))
    }
    torch.save({**small, "stage": state.stage, "step": state.step, "seconds": state.seconds}, new)
    move(new, folder / SMALL_STATE)
    if rounded:
        four_bit.round_weights(state.model)
