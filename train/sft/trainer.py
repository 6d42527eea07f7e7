"""Supervised fine-tuning: the cold start, on transformers' Trainer. Only the answers' tokens are learned.

    model = adapt(loaded.model, config)                       # train.trainer's
    model = run_sft(model, encoder, examples, config, folder)

Trainer brings devices, accelerate, optimizer states and resuming; batches come from `sft.packing`. A run that was
killed goes on from its last whole state and ends with the same weights as one that was not. It is NOT a trainer for
random weights: that is `train.scratch`.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tempo_core.errors import Cancelled
from tempo_core.families import family_of
from train.checkpoints import exclusive_lock
from train.config import SftConfig
from train.data.encoding import Encoder
from train.data.examples import Example
from train.sft.packing import make_batch, mask_of, plan_batches
from train.sft.targets import IGNORED, SoftEntries, is_right, token_losses
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

EDGE_SEED = 2
"""Beside the run's seed and the batch's number, for drawing edges within their bands."""


def run_sft(
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: SftConfig,
    out_dir: Path,
    *,
    on_progress: OnProgress = lambda line: None,
    on_batch: OnBatch | None = None,
    cancel: threading.Event | None = None,
) -> Any:
    """Train `model` (see `adapt`) and return it; its weights are then in `out_dir`/adapter or `out_dir`/checkpoint.

    Goes on where a killed or cancelled run stopped; one that has ended is loaded. `on_progress` is called with each
    line of the curves, `on_batch` within a step, too. Raises InputError without rows or with rows of val or test,
    Cancelled after saving the state.
    """
    if open_stage("sft", model, encoder, examples, config, out_dir):
        return load_trained(model, result_folder(out_dir, config))
    with exclusive_lock(out_dir):
        # every batch of the run is planned before it starts, for all devices
        devices = int(os.environ.get("WORLD_SIZE", "1"))  # set by `accelerate launch`
        packs_rows = family_of(unwrapped(model)).packs_rows
        plan, steps = plan_batches(
            examples,
            config,
            encoder.defaults,
            protocol=encoder.protocol,
            devices=devices,
            packs_rows=packs_rows,
        )

        def planned_batch(idx: int) -> dict[str, Any]:
            rng = np.random.default_rng([config.seed, EDGE_SEED, idx])
            return make_batch(plan[idx], examples, encoder, rng)

        trainer = SftTrainer(
            model,
            config,
            PrefetchedDataset(len(plan), planned_batch),
            out_dir,
            steps=steps,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            lr_scheduler_type="cosine",
            cancel=cancel,
        )
        trainer.add_callback(RunCallback(trainer, on_progress, on_batch))
        model = trainer.run()

        step = trainer.state.global_step
        if step < steps:
            raise Cancelled(f"Stopped at step {step} of {steps}; it can go on from there.")
        return trainer.finish(model, encoder, steps=step)


class SftTrainer(StageTrainer):
    """Trainer with the packed forward and the planned order."""

    stage = "sft"
    loss_is_scaled_for_ga = True

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Cross-entropy of the answers' tokens, each row by its weight, over the tokens of the whole step."""
        ids, segments = inputs["ids"], inputs["segments"]
        base = unwrapped(model)

        # the model puts the videos' tokens in the place of the contexts' image tokens
        family = family_of(base)
        embedded = base.get_input_embeddings()(ids)
        visual_tokens = torch.cat([self.vision.encode(base, video) for video in inputs["videos"]])
        if self.args.activation_checkpointing and not embedded.requires_grad:
            embedded.requires_grad_(True)  # checkpointed layers need an input that does

        # logits [B, C, V] only at the C columns in which some row has an answer's token
        columns = (inputs["labels"] != IGNORED).any(dim=0).nonzero()[:, 0]
        logits = model(
            inputs_embeds=embedded,
            position_ids=inputs["positions"],
            attention_mask=family.attention_mask(mask_of(segments)),
            mm_encoder_outputs={
                inputs["videos"][0].modality: family.encoder_outputs(visual_tokens, embedded.shape[-1])
            },
            use_cache=False,
            logits_to_keep=columns,
        ).logits

        labels, weights = inputs["labels"][:, columns], inputs["weights"][:, columns]
        soft = SoftEntries(**inputs["soft"])
        soft = soft._replace(columns=torch.searchsorted(columns, soft.columns))
        losses = token_losses(logits, labels, soft)
        items = int((labels != IGNORED).sum()) if num_items_in_batch is None else num_items_in_batch
        loss = (losses * weights).sum() / items * self.accelerator.num_processes
        self._count_answers(losses, labels, is_right(logits.argmax(-1), labels, soft), segments[:, columns])
        return (loss, logits) if return_outputs else loss

    @torch.no_grad()
    def _count_answers(self, losses: Tensor, labels: Tensor, right: Tensor, segments: Tensor) -> None:
        """Sums over a batch: loss, tokens, answers, and answers that are right to the last token (teacher forced)."""
        is_label = labels != IGNORED
        wrong = is_label & ~right
        rows = torch.arange(len(labels), device=labels.device)[:, None].expand_as(labels)
        # an answer is told by its row and its segment
        answer_ids = (rows * (int(segments.max()) + 1) + segments.clamp(min=0))[is_label]
        answers, answer_idx = answer_ids.unique(return_inverse=True)
        errors = torch.zeros(len(answers), device=labels.device)
        errors.index_add_(0, answer_idx, wrong[is_label].float())
        self.count(
            loss=float(losses.sum()),
            tokens=float(is_label.sum()),
            answers=len(answers),
            exact=float((errors == 0).sum()),
        )

    def take_means(self) -> dict[str, float] | None:
        """Loss by token, exact answers and length by answer, on this process."""
        counts, self.counts = self.counts, {}
        if not counts:
            return None
        return {
            "loss": round(counts["loss"] / counts["tokens"], 5),
            "exact": round(counts["exact"] / counts["answers"], 4),
            "length": round(counts["tokens"] / counts["answers"], 2),
        }
