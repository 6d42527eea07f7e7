"""PIR-GRPO: reinforcement on relevant and irrelevant pairs, on transformers' Trainer. Grounding and refusing are
learned together.

    model = adapt(loaded.model, config)                       # train.trainer's, also an SFT adapter to go on from
    model = run_pir_grpo(model, encoder, examples, config, folder)

One item of the dataset is one group: its video is encoded once, its prompt read once for all rollouts
(`grpo.rollouts`) and once for the gradient (`grpo.group_forward`). Order and sampling depend on seed and place alone,
so that a killed run ends as one that was not.
Source: Tempo-R0 (2507.04702) names the method; rewards, loss and normalisation are decided here, see their modules.
"""

import copy
import os
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tempo_core.errors import Cancelled, InputError
from tempo_core.families import family_of
from train.checkpoints import exclusive_lock, last_state, read_lines
from train.config import PirGrpoConfig
from train.data.encoding import Encoded, Encoder
from train.data.examples import Example
from train.grpo.difficulty import plateaued
from train.grpo.group_forward import PackedRow, group_logprobs, pack
from train.grpo.losses import advantages, group_loss, has_spread
from train.grpo.rewards import reward
from train.grpo.rollouts import distinct, prefill, refusal_rollout, sample_group
from train.trainer import (
    OnBatch,
    OnProgress,
    PrefetchedDataset,
    RunCallback,
    StageTrainer,
    load_trained,
    open_stage,
    result_folder,
    unwrapped,
)

SCHEDULERS = {"cosine": "cosine", "constant": "constant_with_warmup"}
"""transformers' names."""
ROLLOUT_SEED = 7
"""Keeps the sampling's random numbers apart from the order's."""

DENOMINATORS = {
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
"""What each of a line's numbers is a mean over."""
COUNTED = tuple(dict.fromkeys((*DENOMINATORS, *DENOMINATORS.values())))
"""Sums that a line of the curves is made of, in the order in which processes add them up."""


def run_pir_grpo(
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: PirGrpoConfig,
    out_dir: Path,
    *,
    weights: Sequence[float] | None = None,
    earlier_lines: Sequence[dict[str, Any]] = (),
    on_progress: OnProgress = lambda line: None,
    on_batch: OnBatch | None = None,
    cancel: threading.Event | None = None,
) -> Any:
    """Train `model` (see `adapt`) and return it; its weights are then in `out_dir`/adapter or `out_dir`/checkpoint.

    `weights` draw rows by difficulty (`grpo.difficulty`). `earlier_lines` are the curves of rounds before, where a
    plateau may have begun. Goes on where a killed or cancelled run stopped; one that has ended is loaded.
    `on_progress` is called with each line of the curves, `on_batch` after each group. Raises InputError without rows or
    with rows of val or test, Cancelled after saving the state.
    """
    row_weights = None if weights is None else [float(weight) for weight in weights]
    if open_stage("pir-grpo", model, encoder, examples, config, out_dir, weights=row_weights):
        return load_trained(model, result_folder(out_dir, config))
    with exclusive_lock(out_dir):
        trainer = PirGrpoTrainer(model, encoder, examples, config, out_dir, weights=weights, cancel=cancel)
        callback = PirGrpoCallback(trainer, on_progress, on_batch)
        callback.earlier_lines = list(earlier_lines)
        trainer.add_callback(callback)

        # a run that was killed after a plateau had stopped it has only its result to write
        state = last_state(out_dir)
        if state is not None and config.patience is not None:
            step = int(state.name.rpartition("-")[2])
            if callback.has_plateaued(up_to_step=step):
                return trainer.finish(load_trained(model, state), encoder, steps=step)

        model = trainer.run()
        step = trainer.state.global_step
        if callback.cancelled and step < config.steps:
            raise Cancelled(f"Stopped at step {step} of {config.steps}; it can go on from there.")
        return trainer.finish(model, encoder, steps=step)


@dataclass(kw_only=True, slots=True)
class Group:
    """One query's rollouts, ready to learn from. C different completions, N choices in them."""

    encoded: Encoded
    row: PackedRow
    """The different completions."""
    advantages: Tensor
    """float32[C]: advantage times how many rollouts wrote it, over G."""
    multiplicity: Tensor
    """float32[C]: how many rollouts wrote it, over G."""
    has_signal: bool
    """Whether the rewards differ."""
    old_per_token_logps: Tensor | None = None
    """float32[N]: when it was sampled; kept for a second iteration."""
    ref_per_token_logps: Tensor | None = None
    """float32[N]: of the model at the start, for the KL divergence."""


class PirGrpoTrainer(StageTrainer):
    """Trainer whose step samples a group and learns from it."""

    stage = "pir-grpo"
    loss_is_scaled_for_ga = False
    config: PirGrpoConfig
    dataset: "Groups"

    def __init__(
        self,
        model: Any,
        encoder: Encoder,
        examples: Sequence[Example],
        config: PirGrpoConfig,
        out_dir: Path,
        *,
        weights: Sequence[float] | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        attention = unwrapped(model).config.get_text_config()._attn_implementation
        if attention != "sdpa":
            raise InputError(
                f"Group-shared training needs sdpa attention; the model uses {attention}. Load it with sdpa."
            )
        devices = int(os.environ.get("WORLD_SIZE", "1"))  # set by `accelerate launch`
        super().__init__(
            model,
            config,
            Groups(examples, encoder, config, devices=devices, weights=weights),
            out_dir,
            steps=config.steps,
            gradient_accumulation_steps=config.groups,
            lr_scheduler_type=SCHEDULERS[config.lr_scheduler_type],
            cancel=cancel,
        )
        self.tokenizer = encoder.tokenizer
        self._groups: dict[int, Group] = {}
        self._reference: Any = None
        if config.beta > 0 and not hasattr(model, "peft_config"):
            self._reference = copy.deepcopy(model).eval().requires_grad_(False)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        """Sample the group, or take it from the iteration before, and learn from it, unless it cannot teach."""
        place, config = inputs["place"], self.config
        group = self._groups.get(place) or self.generate_group(model, place, inputs["encoded"])
        if config.num_iterations > 1:
            first = place - place % self.dataset.groups_per_step  # groups of earlier steps do not come again
            self._groups = {idx: self._groups[idx] for idx in self._groups if idx >= first} | {place: group}
        # several processes wait for each other's gradients, so that none may skip a group
        may_skip = self.accelerator.num_processes == 1 and config.skip_uniform_groups and config.beta == 0
        if may_skip and not group.has_signal:
            return torch.zeros((), device=self.args.device)
        return super().training_step(model, {"group": group}, num_items_in_batch)

    @torch.no_grad()
    def generate_group(self, model: nn.Module, place: int, encoded: Encoded) -> Group:
        """A query's answers, sampled and rewarded and compared with each other."""
        config, base = self.config, unwrapped(model)
        model.eval()  # a checkpointed forward in training mode drops the cache

        # sample G answers behind one reading of the prompt
        rollouts = sample_group(
            prefill(base, encoded, self.vision.encode(base, encoded.video)),
            encoded,
            self.tokenizer,
            np.random.default_rng([config.seed, ROLLOUT_SEED, place]),
            config,
        )
        num_sampled = len(rollouts)
        injects = {"never": False, "irrelevant": not encoded.truth, "always": True}[config.inject_refusal]
        refusals = encoded.video.grammar.form.refusals
        if injects and refusals and all(rollout.text not in refusals for rollout in rollouts):
            rollouts[-1] = refusal_rollout(encoded)
            num_sampled -= 1  # the curves show what the model does by itself

        # reward: equal answers are one completion and earn the same
        completions, completion_idx = distinct(rollouts)
        completion_rewards = [
            reward(
                completion.text,
                encoded.truth,
                timeline=encoded.video.timeline,
                end_s=encoded.video.end_s,
                form=encoded.video.grammar.form,
                edge_ranges_s=encoded.edge_ranges_s,
                weights=config.rewards,
                thinking=config.thinking,
            )
            for completion in completions
        ]
        sampled_rewards = [completion_rewards[idx] for idx in completion_idx[:num_sampled]]
        sampled_totals = [sampled.total for sampled in sampled_rewards]
        relevant = encoded.example.relevant
        tiou = sum(sampled.parts.get("tiou", 0.0) for sampled in sampled_rewards) / num_sampled
        refused = sum(sampled.refused for sampled in sampled_rewards) / num_sampled
        self.count(
            groups=1,
            relevant=relevant,
            irrelevant=not relevant,
            live=has_spread(sampled_totals),
            rollouts=num_sampled,
            reward=sum(sampled_totals),
            spread=float(np.std(sampled_totals)),
            distinct=len(set(completion_idx[:num_sampled])),
            broken=sum(sampled.moments is None for sampled in sampled_rewards),
            length=sum(len(completions[idx].completion.ids) for idx in completion_idx[:num_sampled]),
            tiou=tiou if relevant else 0.0,
            refusal=0.0 if relevant else refused,
            over_refusal=refused if relevant else 0.0,
        )

        # advantage: of each rollout within its group, then summed by completion
        rewards = [completion_rewards[idx].total for idx in completion_idx]
        rollout_advantages = advantages(rewards, config.loss_type)
        first_rollout = [completion_idx.index(idx) for idx in range(len(completions))]
        completion_advantages = torch.tensor([rollout_advantages[idx] for idx in first_rollout])
        counts = torch.from_numpy(np.bincount(completion_idx, minlength=len(completions)))
        return Group(
            encoded=encoded,
            row=pack(
                encoded,
                [completion.completion for completion in completions],
                base.device,
                one_row=family_of(base).packs_rows,
            ),
            advantages=(completion_advantages * counts / len(rollouts)).float().to(base.device),
            multiplicity=(counts.float() / len(rollouts)).to(base.device),
            has_signal=has_spread(rewards),
        )

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of a group, weighed by how far its row is trusted."""
        group, config = inputs["group"], self.config
        per_token_logps = self._per_token_logps(model, group)
        if group.old_per_token_logps is None:
            group.old_per_token_logps = per_token_logps.detach()
        if config.beta > 0 and group.ref_per_token_logps is None:
            # by the copy of the start, or by the model without its adapter
            peft: Any = getattr(model, "module", model)
            with torch.no_grad(), peft.disable_adapter() if self._reference is None else nullcontext():
                group.ref_per_token_logps = self._per_token_logps(self._reference or peft, group)
        result = group_loss(
            per_token_logps,
            group.row.completion_idx,
            group.advantages,
            group.multiplicity,
            old_per_token_logps=group.old_per_token_logps,
            ref_per_token_logps=group.ref_per_token_logps,
            loss_type=config.loss_type,
            loss_divisor=config.loss_divisor,
            epsilon=config.epsilon,
            beta=config.beta,
        )
        if not torch.isfinite(result.loss):
            raise InputError(
                f"The loss of row {group.encoded.example.row_id} is not finite. Lower the learning rate, or start "
                "from undamaged weights."
            )
        self.count(scored=1, kl=result.kl, clipped=result.clip_ratio, loss=float(result.loss.detach()))
        loss = result.loss * group.encoded.example.weight
        return (loss, per_token_logps) if return_outputs else loss

    def _per_token_logps(self, model: Any, group: Group) -> Tensor:
        visual_tokens = self.vision.encode(unwrapped(model), group.encoded.video)
        return group_logprobs(model, group.row, visual_tokens, temperature=self.config.temperature)

    def can_resume_at(self, step: int) -> bool:
        """Only between blocks of iterations on the same rollouts, and, where a plateau may end the run, only where a
        line was written: it is seen in the curves."""
        config = self.config
        looks_for_plateau = config.patience is not None
        return step % config.num_iterations == 0 and not (looks_for_plateau and step % config.logging_steps)

    def take_means(self) -> dict[str, float]:
        """Means over all processes; one over nothing is left out."""
        counts, self.counts = self.counts, {}
        sums = torch.tensor(
            [counts.get(name, 0.0) for name in COUNTED], dtype=torch.float64, device=self.args.device
        )
        totals = dict(zip(COUNTED, self.accelerator.reduce(sums, "sum").tolist(), strict=True))
        return {name: round(totals[name] / totals[by], 5) for name, by in DENOMINATORS.items() if totals[by]}


class PirGrpoCallback(RunCallback):
    """Stops on a plateau, too, and only ever between blocks of iterations on the same rollouts."""

    trainer: PirGrpoTrainer
    config: PirGrpoConfig
    earlier_lines: Sequence[dict[str, Any]] = ()
    """Curves of the rounds before this run."""

    def has_plateaued(self, *, up_to_step: int) -> bool:
        """Whether the curves have not moved of late."""
        patience = self.config.patience
        if patience is None:
            return False
        lines = [line for line in read_lines(self.curves) if line["step"] <= up_to_step]
        return plateaued([*self.earlier_lines, *lines], patience=patience, min_gain=self.config.min_gain)

    def should_stop(self, step: int) -> bool:
        """Whether any process was told to stop or sees a plateau; all of them learn it together."""
        if not self.trainer.can_resume_at(step):
            return False
        stops = self.cancelled
        if self.config.patience is not None and self.trainer.is_world_process_zero():
            stops = stops or self.has_plateaued(up_to_step=step)
        flag = torch.tensor(float(stops), device=self.trainer.args.device)
        return bool(self.trainer.accelerator.reduce(flag, "sum") > 0)


class Groups(PrefetchedDataset):
    """The query of every place in the order. With several iterations each step's queries come so many times."""

    def __init__(
        self,
        examples: Sequence[Example],
        encoder: Encoder,
        config: PirGrpoConfig,
        *,
        devices: int = 1,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.groups_per_step = config.groups * devices
        length = config.steps * self.groups_per_step
        super().__init__(length, self._group)
        self._examples, self._encoder, self._num_iterations = examples, encoder, config.num_iterations
        self._order = row_order(len(examples), length, seed=config.seed, weights=weights)

    def place(self, idx: int) -> int:
        """The item's place in the order: items of one block of iterations share it."""
        step, slot = divmod(idx, self.groups_per_step)
        return step // self._num_iterations * self.groups_per_step + slot

    def _group(self, idx: int) -> dict[str, Any]:
        place = self.place(idx)
        return {"place": place, "encoded": self._encoder.encode(self._examples[self._order[place]])}


def row_order(examples: int, length: int, *, seed: int, weights: Sequence[float] | None = None) -> list[int]:
    """Which example comes when: every one once an epoch, or drawn in proportion to weights. Pure in the seed."""
    shares = None
    if weights is not None:
        shares = np.asarray(weights, dtype=np.float64)
        good = len(shares) == examples and np.isfinite(shares).all() and (shares >= 0).all()
        if not good or shares.sum() == 0:
            raise InputError(
                "Sampling weights must be finite numbers, one a row, not negative and not all 0."
            )
        shares = shares / shares.sum()
    order: list[int] = []
    for epoch in range(-(-length // examples)):
        rng = np.random.default_rng([seed, epoch])
        epoch_order = (
            rng.permutation(examples) if shares is None else rng.choice(examples, size=examples, p=shares)
        )
        order += epoch_order.tolist()
    return order[:length]
