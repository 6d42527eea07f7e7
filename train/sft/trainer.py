"""Supervised fine-tuning: the cold start, on transformers' Trainer. Only the answers' tokens are learned.

    model = adapt(loaded.model, config)                       # LoRA on a frozen base, or every weight
    model = run_sft(model, tokenizer, encoder, examples, config, folder)

Trainer brings devices, accelerate, optimizer states and resuming; batches come from `train.sft.packing`. A run that was
killed goes on from its last whole state and ends with the same weights as one that was not. It is NOT a trainer for
random weights: that is `train.scratch`.
"""

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer

from tempo_core.errors import Cancelled, InputError
from tempo_core.prompt import IMAGE_PAD, special_id
from tempo_core.vision import encode_frames
from train.checkpoints import Curves, exclusive_lock, last_state, open_run, rows_digest, write_json
from train.config import as_dict
from train.data.encoding import EncodedVideo, Encoder
from train.data.examples import Example, require_training
from train.sft.config import SftConfig
from train.sft.packing import IGNORED, Batches, mask_of, plan_batches
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

log = logging.getLogger(__name__)


def run_sft(
    model: Any,
    tokenizer: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: SftConfig,
    out_dir: Path,
    *,
    on_progress: OnProgress = lambda line: None,
    cancel: threading.Event | None = None,
) -> Any:
    """Train `model` (see `adapt`) and return it; its weights are then in `out_dir`/adapter or `out_dir`/checkpoint.

    Goes on where a killed or cancelled run stopped; one that has ended is loaded. `on_progress` hears each line of
    the curves. Raises InputError without rows or with rows of val or test, Cancelled after saving the state.
    """
    if not examples:
        raise InputError("There are no training rows, so nothing can be learned. Correct some rows first.")
    require_training(examples)
    decides = {
        "kind": "sft",
        "config": as_dict(config),
        "rows": rows_digest(examples),
        "start": weights_digest(model),
    }
    final = out_dir / ("adapter" if config.method == "lora" else "checkpoint")
    if open_run(out_dir, decides):
        return load_trained(model, final)
    with exclusive_lock(out_dir):
        return _run(model, tokenizer, encoder, examples, config, out_dir, final, on_progress, cancel)


def _run(
    model: Any,
    tokenizer: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: SftConfig,
    out_dir: Path,
    final: Path,
    on_progress: OnProgress,
    cancel: threading.Event | None,
) -> Any:
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    trainer = _prepare(model, tokenizer, encoder, examples, config, out_dir, on_progress, cancel)
    try:
        train_on(trainer, config.method, last_state(out_dir))
    finally:
        trainer.batches.close()
    if trainer.state.global_step < trainer.args.max_steps:
        raise Cancelled(
            f"Stopped at step {trainer.state.global_step} of {trainer.args.max_steps}; it can go on from there."
        )
    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.is_world_process_zero():
        save_trained(model, tokenizer, final)
        write_json(out_dir / "done.json", {"steps": trainer.state.global_step, "result": final.name})
    return model.eval()


def _prepare(
    model: Any,
    tokenizer: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: SftConfig,
    out_dir: Path,
    on_progress: OnProgress,
    cancel: threading.Event | None,
) -> "SftTrainer":
    devices = int(os.environ.get("WORLD_SIZE", "1"))  # set by `accelerate launch`
    plan, steps = plan_batches(examples, config, encoder.defaults, devices=devices)
    arguments = training_arguments(
        config,
        out_dir,
        steps=steps,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        lr_scheduler_type="cosine",
        on_cpu=model.device.type == "cpu",
    )
    trainer = SftTrainer(
        model=model,
        args=arguments,
        train_dataset=Batches(plan, examples, encoder),
        data_collator=_only,
        pad_id=special_id(tokenizer, IMAGE_PAD),
        see_again=not config.train_vision,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(
        Recorder(trainer, config, Curves(out_dir / "curves.jsonl"), steps, on_progress, cancel)
    )
    return trainer


def _only(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The planned batch itself: batches are made by the plan, not by the loader."""
    (item,) = items
    return item


class SftTrainer(Trainer):
    """Trainer with the packed forward and the planned order."""

    loss_is_scaled_for_ga = True

    def __init__(self, *, pad_id: int, see_again: bool, **options: Any) -> None:
        super().__init__(**options)
        self.batches: Batches = options["train_dataset"]
        self._pad_id = pad_id
        self._seen: OrderedDict[str, Tensor] | None = OrderedDict() if see_again else None
        self.scores: list[dict[str, float]] = []

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Negative log-likelihood of the answers' tokens, each row by its weight, over the tokens of the whole step."""
        labels, weights = inputs["labels"], inputs["weights"]
        columns = (labels != IGNORED).any(dim=0).nonzero()[:, 0]
        logits = self._forward(model, inputs, columns)
        wanted = labels[:, columns]
        losses = F.cross_entropy(
            logits.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none"
        )
        losses = losses.view_as(wanted)
        items = int((labels != IGNORED).sum()) if num_items_in_batch is None else num_items_in_batch
        loss = (losses * weights[:, columns]).sum() / items * self.accelerator.num_processes
        self.scores.append(_scores(losses, logits, wanted, inputs["segments"][:, columns]))
        return (loss, logits) if return_outputs else loss

    def _forward(self, model: nn.Module, inputs: dict[str, Any], columns: Tensor) -> Tensor:
        """Logits [B, C, V] at the given columns."""
        base = self.accelerator.unwrap_model(model)
        base = base.get_base_model() if hasattr(base, "peft_config") else base
        ids = inputs["ids"]
        embedded = base.get_input_embeddings()(ids)
        seen = torch.cat([self._see(base, video) for video in inputs["videos"]]).to(embedded)
        embedded = embedded.masked_scatter(
            (ids == self._pad_id)[..., None] & (inputs["segments"] == 0)[..., None], seen
        )
        if self.args.activation_checkpointing and not embedded.requires_grad:
            embedded.requires_grad_(True)  # checkpointed layers need an input that does
        output = model(
            inputs_embeds=embedded,
            position_ids=inputs["positions"],
            attention_mask={"full_attention": mask_of(inputs["segments"])},
            use_cache=False,
            logits_to_keep=columns,
        )
        logits: Tensor = output.logits
        return logits

    def _see(self, base: Any, video: EncodedVideo) -> Tensor:
        """The clip's vision tokens; a frozen tower sees each clip once."""
        frames, sizes = video.frames, video.allocation.sizes_px
        if self._seen is None:
            return encode_frames(base, frames, sizes, video.normaliser)  # type: ignore[arg-type]
        if video.sha256 not in self._seen:
            with torch.no_grad():
                self._seen[video.sha256] = encode_frames(base, frames, sizes, video.normaliser).cpu()  # type: ignore[arg-type]
            while (
                len(self._seen) > 1 and sum(each.nbytes for each in self._seen.values()) > VISION_CACHE_BYTES
            ):
                self._seen.popitem(last=False)
        self._seen.move_to_end(video.sha256)
        return self._seen[video.sha256].to(base.device)


@torch.no_grad()
def _scores(losses: Tensor, logits: Tensor, wanted: Tensor, segments: Tensor) -> dict[str, float]:
    """Sums over a batch: loss, tokens, answers, and answers that are right to the last token (teacher forced)."""
    asked = wanted != IGNORED
    wrong = asked & (logits.argmax(-1) != wanted)
    rows = torch.arange(len(wanted), device=wanted.device)[:, None].expand_as(wanted)
    answers = (rows * (int(segments.max()) + 1) + segments.clamp(min=0))[asked]
    found, place = answers.unique(return_inverse=True)
    bad = torch.zeros(len(found), device=wanted.device).index_add_(0, place, wrong[asked].float())
    return {
        "loss": float(losses.sum()),
        "tokens": float(asked.sum()),
        "answers": float(len(found)),
        "exact": float((bad == 0).sum()),
    }
