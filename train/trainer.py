"""What both trainers share: a model made trainable, Trainer's settings, the curves, and saved weights.

model = adapt(loaded.model, config)                       # LoRA on a frozen base, or every weight
"""

import hashlib
import json
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from tempo_core.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from tempo_core.errors import InputError
from tempo_core.loading import load_weights
from train.checkpoints import WHOLE, Curves, write_json
from train.config import Method, TrainingConfig

OnProgress = Callable[[dict[str, Any]], None]
"""Called with each line of the curves."""
VISION_CACHE_BYTES = 256 * 2**20
"""Vision tokens kept between steps while the vision tower is frozen."""


def adapt(model: Any, config: TrainingConfig, *, parent: Path | None = None) -> Any:
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


def training_arguments(
    config: TrainingConfig,
    out_dir: Path,
    *,
    steps: int,
    gradient_accumulation_steps: int,
    lr_scheduler_type: str,
    on_cpu: bool,
) -> TrainingArguments:
    """Trainer's settings: one item of the loader is one planned batch (SFT) or one group (PIR-GRPO)."""
    checkpointing: dict[str, Any] = {}
    if config.gradient_checkpointing:
        checkpointing = {
            "activation_checkpointing": True,
            "activation_checkpointing_kwargs": {"use_reentrant": False},
        }
    return TrainingArguments(
        output_dir=str(out_dir / "states"),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=gradient_accumulation_steps,
        train_sampling_strategy="sequential",
        max_steps=steps,
        seed=config.seed,
        learning_rate=config.learning_rate,
        lr_scheduler_type=lr_scheduler_type,
        warmup_steps=round(config.warmup_ratio * steps),
        optim="adamw_torch",
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        use_cpu=on_cpu,
        bf16=not on_cpu,
        save_strategy="steps",
        save_steps=config.save_steps,
        save_total_limit=2,
        logging_strategy="no",
        log_level="error",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        **checkpointing,
    )


class Recorder(TrainerCallback):
    """Writes the curves, marks whole states, and stops when asked to."""

    def __init__(
        self,
        trainer: Any,
        config: TrainingConfig,
        curves: Curves,
        steps: int,
        on_progress: OnProgress,
        cancel: threading.Event | None,
    ) -> None:
        self._trainer, self._config, self._curves, self._steps = trainer, config, curves, steps
        self._on_progress, self._cancel = on_progress, cancel
        self._before_s, self._since = 0.0, time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self._before_s = self._curves.truncate_after(state.global_step)
        self._since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = state.global_step
        if step % self._config.logging_steps == 0 or step == self._steps:
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
            "learning_rate": self._trainer.lr_scheduler.get_last_lr()[0],
        }
        self._curves.add(line)
        self._on_progress(line)
