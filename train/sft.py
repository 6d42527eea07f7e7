"""Supervised fine-tuning: the cold start, on transformers' Trainer. Only the answers' tokens are learned.

    model = adapt(loaded.model, config)                       # LoRA on a frozen base, or every weight
    model = run_sft(model, tokenizer, encoder, examples, config, folder)

Trainer brings devices, accelerate, optimizer states and resuming; batches come from `train.packing`. A run that was
killed goes on from its last whole state and ends with the same weights as one that was not. It is NOT a trainer for
random weights: that is `train.scratch`.
"""

import hashlib
import json
import logging
import os
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from tempo_core.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from tempo_core.errors import Cancelled, InputError
from tempo_core.loading import load_weights
from tempo_core.prompt import IMAGE_PAD, special_id
from tempo_core.vision import encode_frames
from train.checkpoints import WHOLE, Curves, alone, last_state, open_run, rows_digest
from train.configuration import Method, SftConfig, as_dict
from train.encoding import EncodedVideo, Encoder
from train.examples import Example, require_training
from train.lineage import write_json
from train.packing import IGNORED, Batches, mask_of, plan_batches
from train.pir_config import PirGrpoConfig

log = logging.getLogger(__name__)

Progress = Callable[[dict[str, Any]], None]
SEEN_BYTES = 256 * 2**20
"""Vision tokens kept between steps while the vision tower is frozen."""


def adapt(model: Any, config: SftConfig | PirGrpoConfig, *, parent: Path | None = None) -> Any:
    """The model made trainable: a new LoRA adapter, the parent's, or (method `full`) its own weights.

    Deterministic in the seed. The base stays as it is with LoRA.
    """
    if config.method == "full":
        if parent is not None:
            raise InputError(
                "Full fine-tuning goes on from a checkpoint, not from an adapter. Leave --adapter out."
            )
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(config.train_vision or ".visual." not in name)
        return model
    from peft import LoraConfig, PeftModel, get_peft_model

    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # peft warns of tied embeddings, which no target touches
        torch.manual_seed(config.seed)
        if parent is not None:
            return PeftModel.from_pretrained(model, str(parent), is_trainable=True)
        lora = LoraConfig(
            r=config.rank, lora_alpha=config.alpha, lora_dropout=0.0, target_modules=_targets(model)
        )
        return get_peft_model(model, lora)


def _targets(model: Any) -> list[str]:
    """Full names of the language model's linear layers: leaf names alone could meet the vision tower's."""
    from tempo_core.memory import quantisable_layers

    return sorted(quantisable_layers(model))


def run_sft(
    model: Any,
    tokenizer: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: SftConfig,
    out_dir: Path,
    *,
    progress: Progress = lambda line: None,
    cancel: threading.Event | None = None,
) -> Any:
    """Train `model` (see `adapt`) and return it; its weights are then in `out_dir`/adapter or `out_dir`/checkpoint.

    Goes on where a killed or cancelled run stopped; one that has ended is loaded. `progress` hears each line of
    the curves. Raises InputError without rows or with rows of val or test, Cancelled after saving the state.
    """
    if not examples:
        raise InputError("There are no training rows, so nothing can be learned. Correct some rows first.")
    require_training(examples)
    decides = {
        "kind": "sft", "config": as_dict(config), "rows": rows_digest(examples), "start": weights_digest(model),
    }  # fmt: skip
    final = out_dir / ("adapter" if config.method == "lora" else "checkpoint")
    if open_run(out_dir, decides):
        return load_trained(model, final)
    with alone(out_dir):
        return _run(model, tokenizer, encoder, examples, config, out_dir, final, progress, cancel)


def _run(
    model: Any, tokenizer: Any, encoder: Encoder, examples: Sequence[Example], config: SftConfig, out_dir: Path,
    final: Path, progress: Progress, cancel: threading.Event | None,
) -> Any:  # fmt: skip
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    trainer = _prepare(model, tokenizer, encoder, examples, config, out_dir, progress, cancel)
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


def train_on(trainer: Trainer, method: Method, state: Path | None) -> None:
    """Train to the end, from a saved state or from the beginning."""
    if state is not None and method == "full":
        # transformers 5.23 saves Qwen2-VL under its published names and Trainer, not strict, then finds none of them
        load_trained(trainer.model, state).train()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        trainer.train(resume_from_checkpoint=None if state is None else str(state))


def weights_digest(model: Any) -> str:
    """A hash of what training begins with: every weight that learns, and the input embeddings as the base's mark."""
    digest = hashlib.sha256()
    learning = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    for name, weight in [*learning, ("embeddings", model.get_input_embeddings().weight)]:
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def save_trained(model: Any, tokenizer: Any, folder: Path) -> None:
    """An adapter as peft's files, or a whole model with its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(model, "peft_config"):
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = None  # a path of this machine; tempo_adapter.json names the base
        config["target_modules"] = sorted(config["target_modules"])
        write_json(folder / ADAPTER_CONFIG, config)
    else:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def load_trained(model: Any, folder: Path) -> Any:
    """Put the weights that `save_trained` wrote into a model that `adapt` made."""
    from safetensors.torch import load_file

    if hasattr(model, "peft_config"):
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model, load_file(folder / ADAPTER_WEIGHTS))
    else:
        found = load_weights(folder, four_bit=False, device=str(model.device)).state_dict()
        model.load_state_dict(found)
    return model.eval()


def _prepare(
    model: Any, tokenizer: Any, encoder: Encoder, examples: Sequence[Example], config: SftConfig, out_dir: Path,
    progress: Progress, cancel: threading.Event | None,
) -> "SftTrainer":  # fmt: skip
    devices = int(os.environ.get("WORLD_SIZE", "1"))  # set by `accelerate launch`
    plan, steps = plan_batches(examples, config, encoder.defaults, devices=devices)
    arguments = training_arguments(config, out_dir, steps, on_cpu=model.device.type == "cpu")
    trainer = SftTrainer(
        model=model, args=arguments, train_dataset=Batches(plan, examples, encoder), data_collator=_only,
        pad_id=special_id(tokenizer, IMAGE_PAD), see_again=not config.train_vision,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Recorder(trainer, config, Curves(out_dir / "curves.jsonl"), steps, progress, cancel))
    return trainer


def _only(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The planned batch itself: batches are made by the plan, not by the loader."""
    (item,) = items
    return item


def training_arguments(config: SftConfig, out_dir: Path, steps: int, *, on_cpu: bool) -> TrainingArguments:
    """Trainer's settings for a configuration; one planned batch is one item of the loader."""
    checkpointing: dict[str, Any] = {}
    if config.gradient_checkpointing:
        checkpointing = {
            "activation_checkpointing": True,
            "activation_checkpointing_kwargs": {"use_reentrant": False},
        }
    return TrainingArguments(
        output_dir=str(out_dir / "states"), per_device_train_batch_size=1, max_steps=steps, seed=config.seed,
        gradient_accumulation_steps=config.accumulate, train_sampling_strategy="sequential",
        learning_rate=config.learning_rate, lr_scheduler_type="cosine",
        warmup_steps=round(config.warmup_share * steps), optim="adamw_torch",
        weight_decay=config.weight_decay, max_grad_norm=config.max_grad_norm, use_cpu=on_cpu, bf16=not on_cpu,
        logging_strategy="no", save_strategy="steps", save_steps=config.save_every, save_total_limit=2,
        remove_unused_columns=False, report_to=[], disable_tqdm=True, log_level="error",
        dataloader_pin_memory=False, ddp_find_unused_parameters=False, **checkpointing,
    )  # fmt: skip


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
            while len(self._seen) > 1 and sum(each.nbytes for each in self._seen.values()) > SEEN_BYTES:
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


class Recorder(TrainerCallback):
    """Writes the curves, marks whole states, and stops when asked to."""

    def __init__(
        self, trainer: SftTrainer, config: SftConfig, curves: Curves, steps: int, progress: Progress,
        cancel: threading.Event | None,
    ) -> None:  # fmt: skip
        self._trainer, self._config, self._curves, self._steps = trainer, config, curves, steps
        self._progress, self._cancel = progress, cancel
        self._before_s, self._since = 0.0, time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self._before_s = self._curves.forget_after(state.global_step)
        self._since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = state.global_step
        if step % self._config.record_every == 0 or step == self._steps:
            self._record(step, state)
        if step == self._steps:
            control.should_save = False  # the result itself is saved
        elif self._cancel is not None and self._cancel.is_set():
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero:
            (folder / WHOLE).touch()

    def _record(self, step: int, state: Any) -> None:
        scores, self._trainer.scores = self._trainer.scores, []
        if not state.is_world_process_zero or not scores:
            return
        total = {name: sum(each[name] for each in scores) for name in scores[0]}
        line = {
            "stage": "sft",
            "step": step,
            "steps": self._steps,
            "seconds": round(self._before_s + time.monotonic() - self._since, 2),
            "loss": round(total["loss"] / total["tokens"], 5),
            "exact": round(total["exact"] / total["answers"], 4),
            "length": round(total["tokens"] / total["answers"], 2),
            "learning_rate": self._trainer.lr_scheduler.get_last_lr()[0],  # type: ignore[union-attr]
        }
        self._curves.add(line)
        self._progress(line)
