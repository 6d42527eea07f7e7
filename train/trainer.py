"""What both trainers share: a model made trainable, one run in one folder, the curves, and saved weights.

model = adapt(loaded.model, config)                       # LoRA on a frozen base, or every weight
"""

import hashlib
import json
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from tempo_core.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, find_adapter
from tempo_core.defaults import FILE_NAME
from tempo_core.errors import Cancelled, InputError
from tempo_core.files import sync_all, write_whole
from tempo_core.loading import attach_adapter, load_weights
from tempo_core.memory import quantisable_layers
from tempo_core.vision import encode_frames
from train.checkpoints import (
    WHOLE,
    append_line,
    last_state,
    open_run,
    read_lines,
    rows_digest,
    write_json,
    write_lines,
)
from train.config import TrainingConfig, as_dict
from train.data.encoding import EncodedVideo, Encoder
from train.data.examples import Example, require_training

OnProgress = Callable[[dict[str, Any]], None]
"""Called with each line of the curves."""
OnBatch = Callable[[dict[str, Any]], None]
"""Called after each batch within a step, with the curve's line as it would be now: `step` counts whole steps, and
`batch` of `batches` are done since."""
PREFETCHED_ITEMS = 2
VISION_CACHE_BYTES = 256 * 2**20


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
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # peft warns of tied embeddings, which no target touches
        torch.manual_seed(config.seed)
        if parent is not None:
            return attach_adapter(model, find_adapter(parent), trainable=True)
        # full names of the language model's layers: leaf names alone could meet the vision tower's
        layers = sorted(quantisable_layers(model))
        lora = LoraConfig(r=config.rank, lora_alpha=config.alpha, lora_dropout=0.0, target_modules=layers)
        return get_peft_model(model, lora)


def open_stage(
    kind: str,
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    config: TrainingConfig,
    out_dir: Path,
    **more: Any,
) -> bool:
    """Begin or go on with a stage's run; True when it has ended already. `more` decides the run too.

    Raises InputError when there is nothing to learn from, when a row of val or test is about to teach, and when
    another run is in the folder.
    """
    if not examples:
        raise InputError("There are no training rows, so nothing can be learned. Correct some rows first.")
    require_training(examples)
    identity = {"kind": kind, "config": as_dict(config), "rows": rows_digest(examples)}
    if encoder.protocol.name != "tempo":  # runs from before other protocols were taught name none
        identity["protocol"] = encoder.protocol.name
    return open_run(out_dir, {**identity, **more, "start": weights_digest(model)})


class PrefetchedDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """Items that a thread makes ahead of their turn. `make(idx)` gives the same item whenever it is called.

    Raises Cancelled instead of giving an item once `cancel` is set.
    """

    cancel: threading.Event | None = None

    def __init__(self, length: int, make: Callable[[int], dict[str, Any]]) -> None:
        self._length, self._make = length, make
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tempo-decode")
        self._futures: dict[int, Future[dict[str, Any]]] = {}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, idx: int) -> dict[str, Any]:
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled("Stopped before the next batch.")
        for ahead in range(idx, min(idx + 1 + PREFETCHED_ITEMS, self._length)):
            if ahead not in self._futures:
                self._futures[ahead] = self._pool.submit(self._make, ahead)
        for passed in [earlier for earlier in self._futures if earlier < idx]:
            self._futures.pop(passed).cancel()
        return self._futures.pop(idx).result()

    def close(self) -> None:
        """Stop making items ahead."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class VisionCache:
    """Vision tokens [n, D] of videos; a frozen tower encodes each video once, as long as it is used."""

    def __init__(self, *, frozen: bool) -> None:
        self._frozen = frozen
        self._tokens: OrderedDict[object, Tensor] = OrderedDict()

    def encode(self, base: Any, video: EncodedVideo) -> Tensor:
        """The video's tokens on the model's device; with gradients where the tower learns and gradients are on."""
        if not self._frozen:
            return encode_video(base, video)
        key = video.sha256, video.window_s
        if key not in self._tokens:
            with torch.no_grad():
                self._tokens[key] = encode_video(base, video).cpu()
            while (
                len(self._tokens) > 1
                and sum(tokens.nbytes for tokens in self._tokens.values()) > VISION_CACHE_BYTES
            ):
                self._tokens.popitem(last=False)
        self._tokens.move_to_end(key)
        return self._tokens[key].to(base.device)


def encode_video(model: Any, video: EncodedVideo, *, cancel: threading.Event | None = None) -> Tensor:
    """The video's vision tokens [n, D], units of equal size together. Raises Cancelled between batches of units."""
    frames: Any = list(video.frames)
    return encode_frames(
        unwrapped(model),
        frames,
        video.allocation.sizes_px,
        video.normaliser,
        frames_per_unit=video.frames_per_unit,
        cancel=cancel,
    )


@contextmanager
def stop_between_layers(model: Any, cancel: threading.Event) -> Iterator[None]:
    """Within the block the model raises Cancelled before its next layer, forward or backward, once `cancel` is set.

    Numbers stay as they are. With gradients, what a pass added to them before it stopped must be thrown away.
    """

    def check(*_: Any) -> None:
        if cancel.is_set():
            raise Cancelled("Stopped between two layers.")

    def check_backward(layer: nn.Module, inputs: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        if hidden.requires_grad:
            hidden.register_hook(check)

    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    handles = [layer.register_forward_pre_hook(check) for stack in stacks for layer in stack]
    handles += [layer.register_forward_hook(check_backward) for stack in stacks for layer in stack]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def unwrapped(model: Any) -> Any:
    """The transformers model inside whatever wraps it (DDP, PEFT)."""
    inner = getattr(model, "module", model)
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


class StageTrainer(Trainer):
    """transformers' Trainer on a dataset that was planned before the run; subclasses bring the loss.

    It counts what it does in `counts`, and `take_means` makes the numbers of a curve's line out of that.
    """

    stage: str

    def __init__(
        self,
        model: Any,
        config: TrainingConfig,
        dataset: PrefetchedDataset,
        out_dir: Path,
        *,
        steps: int,
        gradient_accumulation_steps: int,
        lr_scheduler_type: str,
        cancel: threading.Event | None = None,
    ) -> None:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        on_cpu = model.device.type == "cpu"
        arguments = TrainingArguments(
            output_dir=str(out_dir / "states"),
            per_device_train_batch_size=1,  # an item of the dataset is a whole batch already
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
            activation_checkpointing=config.gradient_checkpointing,
            activation_checkpointing_kwargs={"use_reentrant": False},
        )
        super().__init__(
            model=model, args=arguments, train_dataset=dataset, data_collator=lambda items: items[0]
        )
        self.remove_callback(PrinterCallback)
        self.config, self.dataset, self.out_dir = config, dataset, out_dir
        self.vision = VisionCache(frozen=not config.train_vision)
        self.cancel = cancel
        self.counts: dict[str, float] = {}

    def count(self, **amounts: float) -> None:
        """Add to what the next line of the curves is made of."""
        for name, amount in amounts.items():
            self.counts[name] = self.counts.get(name, 0.0) + float(amount)

    def take_means(self) -> dict[str, float] | None:
        """The numbers since the last call, for a line of the curves (None: no line). Every process calls it."""
        raise NotImplementedError

    def means_so_far(self) -> dict[str, float] | None:
        """What `take_means` would give now; it stays to be taken. Every process calls it."""
        counts = dict(self.counts)
        means = self.take_means()
        self.counts = counts
        return means

    def can_resume_at(self, step: int) -> bool:
        """Whether a state saved after so many steps leads to the same end."""
        return True

    def run(self) -> Any:
        """Train to the end, from the folder's last whole state or from the beginning; the model.

        Raises Cancelled, on one device in the middle of a step: the state of the last whole step is saved then.
        """
        state = last_state(self.out_dir)
        if state is not None and self.config.method == "full":
            # transformers 5.23 saves Qwen2-VL under its published names; Trainer, not strict, then finds none of them
            load_trained(self.model, state).train()
        # several devices wait for each other's gradients, so that they only stop together, between steps
        cancel = self.cancel if self.accelerator.num_processes == 1 else None
        self.dataset.cancel = cancel
        stop_early = nullcontext() if cancel is None else stop_between_layers(self.model, cancel)
        try:
            with warnings.catch_warnings(), stop_early:
                warnings.filterwarnings("ignore", message=".*pin_memory.*")
                self.train(resume_from_checkpoint=None if state is None else str(state))
        except Cancelled:
            step = self._save_last_step()
            raise Cancelled(
                f"Stopped at step {step} of {self.args.max_steps}; it can go on from there."
            ) from None
        finally:
            self.dataset.close()
        return self.accelerator.unwrap_model(self.model)

    def _save_last_step(self) -> int:
        """Save the state after the last whole step, where a run may go on from it; the step to go on from.

        In the middle of a step the weights and the optimizer are still those of the step before.
        """
        step = self.state.global_step
        state = last_state(self.out_dir)
        last_step = 0 if state is None else int(state.name.rpartition("-")[2])
        if step <= last_step or not self.can_resume_at(step):
            return last_step
        self._save_checkpoint(self.model_wrapped, trial=None)
        self.control = self.callback_handler.on_save(self.args, self.state, self.control)
        return step

    def finish(self, model: Any, encoder: Encoder, *, steps: int) -> Any:
        """Save the result and mark the run as ended; the model in eval mode."""
        if self.is_world_process_zero():
            result = result_folder(self.out_dir, self.config)
            save_trained(model, encoder.tokenizer, result, encoder.settings)
            sync_all(result)
            write_json(self.out_dir / "done.json", {"steps": steps, "result": result.name})
        return model.eval()


class RunCallback(TrainerCallback):
    """Writes the curves, marks whole states, and stops when it is asked to."""

    def __init__(self, trainer: StageTrainer, on_progress: OnProgress, on_batch: OnBatch | None) -> None:
        self.trainer, self.config = trainer, trainer.config
        self.curves = trainer.out_dir / "curves.jsonl"
        self._on_progress, self._on_batch, self._batch = on_progress, on_batch, 0
        self._earlier_s, self._started_s = 0.0, time.monotonic()

    @property
    def cancelled(self) -> bool:
        return self.trainer.cancel is not None and self.trainer.cancel.is_set()

    def should_stop(self, step: int) -> bool:
        """Whether to save a state after this step and stop."""
        return self.cancelled

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero and self.curves.is_file():
            # lines of steps that will be made again go
            lines = [line for line in read_lines(self.curves) if line["step"] <= state.global_step]
            write_lines(self.curves, lines)
            self._earlier_s = float(lines[-1]["seconds"]) if lines else 0.0
        self._started_s = time.monotonic()
        self._report_batch(args, state)

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._batch += 1
        self._report_batch(args, state)

    def _report_batch(self, args: Any, state: Any) -> None:
        if self._on_batch is not None:
            self._on_batch(
                {
                    "stage": self.trainer.stage,
                    "step": state.global_step,
                    "steps": args.max_steps,
                    "batch": self._batch,
                    "batches": args.gradient_accumulation_steps,
                    **(self.trainer.means_so_far() or {}),
                }
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step, steps = state.global_step, args.max_steps
        # the first step is a point, too: whoever waits sees that it learns
        if step % self.config.logging_steps == 0 or step in (1, steps):
            means = self.trainer.take_means()
            if state.is_world_process_zero and means is not None:
                line = {
                    "stage": self.trainer.stage,
                    "step": step,
                    "steps": steps,
                    "seconds": round(self._earlier_s + time.monotonic() - self._started_s, 2),
                    **means,
                    "learning_rate": self.trainer.lr_scheduler.get_last_lr()[0],  # type: ignore[union-attr]
                }
                append_line(self.curves, line)
                self._on_progress(line)
        self._batch = 0
        self._report_batch(args, state)
        if step == steps:
            control.should_save = False  # the result itself is saved
        elif self.should_stop(step):
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            sync_all(folder)
            write_whole(folder / WHOLE, "")


def weights_digest(model: Any) -> str:
    """A hash of what training begins with: every weight that learns, and the input embeddings as the base's mark."""
    digest = hashlib.sha256()
    trainable = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    for name, weight in [*trainable, ("embeddings", model.get_input_embeddings().weight)]:
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def result_folder(out_dir: Path, config: TrainingConfig) -> Path:
    """Where a run leaves its weights."""
    return out_dir / ("adapter" if config.method == "lora" else "checkpoint")


def save_trained(model: Any, tokenizer: Any, folder: Path, settings: dict[str, Any]) -> None:
    """An adapter as peft's files, or a whole model with its tokenizer; and a tempo.json of `settings`, which name the
    protocol that it was taught."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    if not hasattr(model, "peft_config"):
        tokenizer.save_pretrained(folder)
        write_json(folder / FILE_NAME, settings)
        return
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = None  # a path of this machine; tempo_adapter.json names the base
    config["target_modules"] = sorted(config["target_modules"])
    write_json(folder / ADAPTER_CONFIG, config)
    write_json(folder / FILE_NAME, settings)


def load_trained(model: Any, folder: Path) -> Any:
    """Put the weights that `save_trained` wrote into a model that `adapt` made."""
    from safetensors.torch import load_file

    if hasattr(model, "peft_config"):
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model, load_file(folder / ADAPTER_WEIGHTS))
    else:
        weights = load_weights(folder, four_bit=False, device=str(model.device)).state_dict()
        model.load_state_dict(weights)
    return model.eval()
