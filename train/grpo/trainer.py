"""PIR-GRPO: reinforcement on relevant and irrelevant pairs, on transformers' Trainer.

Refusing is learned together with grounding.

    model = adapt(loaded.model, config)                       # train.trainer's, also an SFT adapter to go on from
    model = run_pir_grpo(model, tokenizer, encoder, examples, config, folder)

One item of the loader is one group: its video is encoded once, its prompt read once for all rollouts (`grpo.rollouts`)
and once for the gradient (`grpo.group_forward`). Trainer brings devices, accelerate, optimizer states and resuming.
Order and sampling depend on seed and place alone, so that a killed run ends as one that was not.
Source: Tempo-R0 (2507.04702) names the method; rewards, loss and normalisation are decided here, see their modules.
Long because Trainer's override points, what they record and how a run begins, stops and ends stand together.
"""

import copy
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer

from tempo_core.answers import REFUSAL
from tempo_core.errors import Cancelled, InputError
from train.checkpoints import (
    Curves,
    exclusive_lock,
    last_state,
    open_run,
    read_curves,
    rows_digest,
    write_json,
)
from train.config import as_dict
from train.data.encoding import Encoded, EncodedVideo, Encoder
from train.data.examples import Example, require_training
from train.grpo.config import PirGrpoConfig
from train.grpo.difficulty import plateaued
from train.grpo.group_forward import PackedRow, encode_video, group_logprobs, pack, unwrapped
from train.grpo.group_order import Groups, only
from train.grpo.losses import advantages, group_loss, has_spread
from train.grpo.rewards import Reward, reward
from train.grpo.rollouts import Rollout, distinct, prefill, refusal_rollout, sample_group
from train.trainer import (
    VISION_CACHE_BYTES,
    OnProgress,
    Recorder,
    load_trained,
    save_trained,
    train_on,
    training_arguments,
    weights_digest,
)

__all__ = ["PirGrpoConfig", "PirGrpoTrainer", "run_pir_grpo"]

SCHEDULES = {"cosine": "cosine", "constant": "constant_with_warmup"}
"""transformers' names."""
ROLLOUT_SEED = 7
"""Keeps the sampling's random numbers apart from the order's."""

COUNTED = (
    "groups",
    "relevant",
    "irrelevant",
    "live",
    "rollouts",
    "reward",
    "tiou",
    "refusal",
    "over_refusal",
    "broken",
    "length",
    "spread",
    "distinct",
    "scored",
    "kl",
    "clipped",
    "loss",
)
"""Sums that a record is made of, in the order in which processes add them up."""


@dataclass(kw_only=True, slots=True)
class Group:
    """One query's rollouts, ready to learn from."""

    encoded: Encoded
    seen: Tensor | None
    """Vision tokens of the frozen tower; None: the tower learns."""
    row: PackedRow
    """The different completions."""
    weights: Tensor
    """float32[C]: advantage times how many rollouts wrote it, over G."""
    sizes: Tensor
    """float32[C]: how many rollouts wrote it, over G."""
    live: bool
    """Whether the rewards differ."""
    old: Tensor | None = None
    """float32[N]: log-probabilities when it was sampled, kept for a second update."""
    reference: Tensor | None = None


class PirGrpoTrainer(Trainer):
    """Trainer whose step samples a group and learns from it."""

    loss_is_scaled_for_ga = False

    def __init__(
        self, *, config: PirGrpoConfig, tokenizer: Any, groups: Groups, max_new_tokens: int, **options: Any
    ) -> None:
        super().__init__(train_dataset=groups, data_collator=only, **options)
        self.groups, self.config, self.tokenizer = groups, config, tokenizer
        self._max_new_tokens = max_new_tokens
        self._seen: OrderedDict[int, tuple[EncodedVideo, Tensor]] = OrderedDict()
        self._kept: dict[int, Group] = {}
        self._start = self._frozen_copy()
        self.counts = dict.fromkeys(COUNTED, 0.0)
        self.earlier: list[dict[str, Any]] = []
        """Records of the rounds before this run, for whoever looks for a plateau."""

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        """Sample the group (or take it from the step before) and learn from it, unless it cannot teach."""
        group = self._group(model, inputs["place"], inputs["encoded"])
        alone = self.accelerator.num_processes == 1  # several wait for each other's gradients
        if alone and self.config.skip_uniform_groups and not group.live and self.config.beta == 0:
            return torch.zeros((), device=self.args.device)
        return super().training_step(model, {"group": group}, num_items_in_batch)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of a group, weighed by how far its row is trusted."""
        group, config = inputs["group"], self.config
        logprobs = group_logprobs(model, group.encoded, group.row, group.seen, temperature=config.temperature)
        if group.old is None:
            group.old = logprobs.detach()
        if config.beta > 0 and group.reference is None:
            group.reference = self._reference(model, group)
        found = group_loss(
            logprobs,
            group.row.completion_idx,
            group.weights,
            group.sizes,
            old_per_token_logps=group.old,
            ref_per_token_logps=group.reference,
            loss_type=config.loss_type,
            loss_divisor=config.loss_divisor,
            epsilon=config.epsilon,
            beta=config.beta,
        )
        if not torch.isfinite(found.loss):
            raise InputError(
                f"The loss of row {group.encoded.example.row_id} is not finite. Lower the learning rate, or start "
                "from undamaged weights."
            )
        self._count(scored=1, kl=found.kl, clipped=found.clip_ratio, loss=float(found.loss.detach()))
        loss = found.loss * group.encoded.example.weight
        return (loss, logprobs) if return_outputs else loss

    def _group(self, model: nn.Module, place: int, encoded: Encoded) -> Group:
        """The rollouts of a place: sampled at the first of its updates, then kept."""
        if place in self._kept:
            return self._kept[place]
        group = self._sample(model, place, encoded)
        if self.config.num_iterations > 1:
            stale = place // self.groups_a_step * self.groups_a_step
            self._kept = {each: kept for each, kept in self._kept.items() if each >= stale} | {place: group}
        return group

    @property
    def groups_a_step(self) -> int:
        """Groups in an optimizer step, on all devices."""
        return self.config.groups * self.accelerator.num_processes

    def _sample(self, model: nn.Module, place: int, encoded: Encoded) -> Group:
        config, base = self.config, unwrapped(model)
        model.eval()  # a checkpointed forward in training mode drops the cache
        seen = self._look(base, encoded.video)
        rollouts = sample_group(
            prefill(base, encoded, seen),
            encoded,
            self.tokenizer,
            np.random.default_rng([config.seed, ROLLOUT_SEED, place]),
            num_generations=config.num_generations,
            temperature=config.temperature,
            constrained=config.constrained,
            max_new_tokens=self._max_new_tokens,
        )
        sampled = len(rollouts)
        shows = config.inject_refusal == "always" or (
            config.inject_refusal == "irrelevant" and not encoded.truth
        )
        if shows and all(each.text != REFUSAL for each in rollouts):
            rollouts[-1], sampled = refusal_rollout(encoded), sampled - 1
        kept, which = distinct(rollouts)
        earned = [self._judge(rollout, encoded) for rollout in kept]
        self._note(encoded, [earned[idx] for idx in which[:sampled]], kept, which[:sampled])
        totals = [earned[idx].total for idx in which]
        gains, counts = advantages(totals, config.loss_type), np.bincount(which, minlength=len(kept))
        first = [which.index(idx) for idx in range(len(kept))]
        weights = torch.tensor([gains[at] for at in first]) * torch.from_numpy(counts) / len(which)
        return Group(
            encoded=encoded,
            seen=None if config.train_vision else seen,
            row=pack(encoded, [rollout.completion for rollout in kept], base.device),
            weights=weights.float().to(base.device),
            sizes=(torch.from_numpy(counts).float() / len(which)).to(base.device),
            live=has_spread(totals),
        )

    def _judge(self, rollout: Rollout, encoded: Encoded) -> Reward:
        return reward(
            rollout.text,
            encoded.truth,
            stamps=encoded.stamps,
            stamp_times_s=encoded.video.stamp_times_s,
            weights=self.config.rewards,
            thinking=self.config.thinking,
        )

    def _look(self, base: Any, video: EncodedVideo) -> Tensor:
        """The video's vision tokens; a frozen tower looks at each video once."""
        if self.config.train_vision:
            return encode_video(base, video)
        if id(video) not in self._seen:
            self._seen[id(video)] = (
                video,
                encode_video(base, video),
            )  # holding the video keeps its id its own
            while (
                len(self._seen) > 1
                and sum(seen.nbytes for _, seen in self._seen.values()) > VISION_CACHE_BYTES
            ):
                self._seen.popitem(last=False)
        self._seen.move_to_end(id(video))
        return self._seen[id(video)][1]

    def _frozen_copy(self) -> Any:
        """The model at the start, where KL is measured from it: with an adapter, the model without it serves."""
        if self.config.beta == 0 or hasattr(self.model, "peft_config"):
            return None
        frozen: Any = copy.deepcopy(self.model)
        return frozen.eval().requires_grad_(False)

    @torch.no_grad()
    def _reference(self, model: Any, group: Group) -> Tensor:
        peft = getattr(model, "module", model)
        other = self._start if self._start is not None else peft
        seen = group.seen if group.seen is not None else encode_video(other, group.encoded.video)
        with peft.disable_adapter() if self._start is None else nullcontext():
            return group_logprobs(other, group.encoded, group.row, seen, temperature=self.config.temperature)

    def _note(self, encoded: Encoded, earned: list[Reward], kept: list[Rollout], which: list[int]) -> None:
        totals = [each.total for each in earned]
        relevant = encoded.example.relevant
        refused = sum(each.refused for each in earned) / len(earned)
        self._count(
            groups=1,
            relevant=relevant,
            irrelevant=not relevant,
            live=has_spread(totals),
            rollouts=len(earned),
            reward=sum(totals),
            spread=float(np.std(totals)),
            distinct=len(set(which)),
            broken=sum(each.moments is None for each in earned),
            length=sum(len(kept[idx].completion.ids) for idx in which),
            tiou=sum(each.parts.get("tiou", 0.0) for each in earned) / len(earned) if relevant else 0.0,
            refusal=0.0 if relevant else refused,
            over_refusal=refused if relevant else 0.0,
        )

    def _count(self, **more: float) -> None:
        for name, value in more.items():
            self.counts[name] += float(value)


class Watch(Recorder):
    """Records rewards, stops on a plateau, and only ever stops between blocks of updates."""

    _trainer: Any
    _config: Any

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Record; then save and stop where it was asked for."""
        step, config = state.global_step, self._config
        if step % config.logging_steps == 0 or step == self._steps:
            self._record(step, state)
        if step == self._steps:
            control.should_save = False  # the result itself is saved
        elif step % config.num_iterations == 0 and self._may_stop(step) and self._stops(step):
            control.should_save = control.should_training_stop = True

    def _may_stop(self, step: int) -> bool:
        """A plateau is seen in records, so that a run which looks for one stops only where one has been written."""
        return self._config.patience is None or step % self._config.logging_steps == 0

    def _stops(self, step: int) -> bool:
        """Whether any process was told to stop or sees a plateau; all of them learn it together."""
        stops = self._cancel is not None and self._cancel.is_set()
        patience, trainer = self._config.patience, self._trainer
        if (
            patience is not None
            and step % self._config.logging_steps == 0
            and trainer.is_world_process_zero()
        ):
            lines = [*trainer.earlier, *read_curves(self._curves.path)]
            stops = stops or plateaued(lines, patience=patience, min_gain=self._config.min_gain)
        told = torch.tensor(float(stops), device=trainer.args.device)
        return bool(trainer.accelerator.reduce(told, "sum") > 0)

    def _record(self, step: int, state: Any) -> None:
        trainer = self._trainer
        counts, trainer.counts = trainer.counts, dict.fromkeys(COUNTED, 0.0)
        sums = torch.tensor(
            [counts[name] for name in COUNTED], dtype=torch.float64, device=trainer.args.device
        )
        total = dict(zip(COUNTED, trainer.accelerator.reduce(sums, "sum").tolist(), strict=True))
        if state.is_world_process_zero:
            line = {
                "stage": "pir-grpo",
                "step": step,
                "steps": self._steps,
                "seconds": round(self._before_s + time.monotonic() - self._since, 2),
                **_means(total),
            }
            line["learning_rate"] = trainer.lr_scheduler.get_last_lr()[0]
            self._curves.add(line)
            self._on_progress(line)


def _means(total: dict[str, float]) -> dict[str, float]:
    """A record's numbers; a mean over nothing is left out."""
    over = {
        "reward": "rollouts",
        "tiou": "relevant",
        "refusal": "irrelevant",
        "over_refusal": "relevant",
        "broken": "rollouts",
        "length": "rollouts",
        "spread": "groups",
        "live": "groups",
        "distinct": "rollouts",
        "kl": "scored",
        "clipped": "scored",
        "loss": "scored",
    }
    return {name: round(total[name] / total[by], 5) for name, by in over.items() if total[by]}


def run_pir_grpo(
    model: Any,
    tokenizer: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: PirGrpoConfig,
    out_dir: Path,
    *,
    weights: Sequence[float] | None = None,
    earlier: Sequence[dict[str, Any]] = (),
    on_progress: OnProgress = lambda line: None,
    cancel: threading.Event | None = None,
) -> Any:
    """Train `model` (see `train.trainer.adapt`) and return it; its weights are then in
    `out_dir`/adapter or /checkpoint.

    `weights` draw rows by difficulty (`train.grpo.difficulty`); `earlier` are records of rounds before, where a plateau
    may have begun. Goes on where a killed or cancelled run stopped; one that
    has ended is loaded. `on_progress` hears each line of the curves. Raises InputError without rows or with rows of
    val or test, Cancelled after saving the state.
    """
    if not examples:
        raise InputError("There are no training rows, so nothing can be learned. Correct some rows first.")
    require_training(examples)
    drawn = None if weights is None else [float(weight) for weight in weights]
    decides = {
        "kind": "pir-grpo",
        "config": as_dict(config),
        "rows": rows_digest(examples),
        "weights": drawn,
        "start": weights_digest(model),
    }
    final = out_dir / ("adapter" if config.method == "lora" else "checkpoint")
    if open_run(out_dir, decides):
        return load_trained(model, final)
    with exclusive_lock(out_dir):
        return _run(
            model, tokenizer, encoder, examples, config, out_dir, final, drawn, earlier, on_progress, cancel
        )


def _run(
    model: Any,
    tokenizer: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: PirGrpoConfig,
    out_dir: Path,
    final: Path,
    drawn: list[float] | None,
    earlier: Sequence[dict[str, Any]],
    on_progress: OnProgress,
    cancel: threading.Event | None,
) -> Any:
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    trainer = _prepare(model, tokenizer, encoder, examples, config, out_dir, drawn, on_progress, cancel)
    trainer.earlier = list(earlier)
    state = last_state(out_dir)
    if state is not None and _had_settled(state, out_dir, config, earlier):
        return _finish(load_trained(model, state), trainer, out_dir, final, _step_of(state))
    try:
        train_on(trainer, config.method, state)
    finally:
        trainer.groups.close()
    if cancel is not None and cancel.is_set() and trainer.state.global_step < config.steps:
        raise Cancelled(
            f"Stopped at step {trainer.state.global_step} of {config.steps}; it can go on from there."
        )
    model = trainer.accelerator.unwrap_model(trainer.model)
    return _finish(model, trainer, out_dir, final, trainer.state.global_step)


def _had_settled(
    state: Path, out_dir: Path, config: PirGrpoConfig, earlier: Sequence[dict[str, Any]]
) -> bool:
    """Whether the run was killed after a plateau had stopped it at that state, before its result was written."""
    if config.patience is None:
        return False
    lines = [line for line in read_curves(out_dir / "curves.jsonl") if line["step"] <= _step_of(state)]
    return plateaued([*earlier, *lines], patience=config.patience, min_gain=config.min_gain)


def _step_of(state: Path) -> int:
    return int(state.name.rpartition("-")[2])


def _finish(model: Any, trainer: "PirGrpoTrainer", out_dir: Path, final: Path, steps: int) -> Any:
    if trainer.is_world_process_zero():
        save_trained(model, trainer.tokenizer, final)
        write_json(out_dir / "done.json", {"steps": steps, "result": final.name})
    return model.eval()


def _prepare(
    model: Any,
    tokenizer: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: PirGrpoConfig,
    out_dir: Path,
    weights: list[float] | None,
    on_progress: OnProgress,
    cancel: threading.Event | None,
) -> PirGrpoTrainer:
    attention = unwrapped(model).config.get_text_config()._attn_implementation
    if attention != "sdpa":
        raise InputError(
            f"Group-shared training needs sdpa attention; the model uses {attention}. Load it with sdpa."
        )
    devices = int(os.environ.get("WORLD_SIZE", "1"))  # set by `accelerate launch`
    trainer = PirGrpoTrainer(
        model=model,
        config=config,
        tokenizer=tokenizer,
        groups=Groups(examples, encoder, config, devices=devices, weights=weights),
        args=training_arguments(
            config,
            out_dir,
            steps=config.steps,
            gradient_accumulation_steps=config.groups,
            lr_scheduler_type=SCHEDULES[config.lr_scheduler_type],
            on_cpu=model.device.type == "cpu",
        ),
        max_new_tokens=config.max_new_tokens,
    )
    trainer.remove_callback(PrinterCallback)
    curves = Curves(out_dir / "curves.jsonl")
    trainer.add_callback(Watch(trainer, config, curves, config.steps, on_progress, cancel))
    return trainer
