"""Steps of GRPO by PIR-GRPO's trainer and by TRL's, each by its own `training_step`: answers, rewards, gradients.

Both have the same random weights, read the same prompts (a new clip each step, allocated and stamped as Tempo does) and
sample freely, so that answers are equally long. The optimizer's step, which is the same for both, is left out. TRL is
imported where it is used: it stands in an environment of its own.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.engine import video
from tempo_core.defaults import GroundingDefaults
from tempo_core.moments import Moment
from train.config import PirGrpoConfig
from train.data.encoding import Encoder
from train.data.examples import Example

FRAMES = 20
TOKENS_PER_FRAME = 16
NUM_GENERATIONS = 8
ANSWER_TOKENS = 16
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)
"""The text as it is: it has its turns already."""


def scene() -> tuple[Any, Encoder]:
    """A random model of tempo-tiny's size whose language model learns, and the encoder of its prompts."""
    from train.scratch.architecture import new_model
    from train.scratch.tokenizer import build_tokenizer

    tokenizer: Any = build_tokenizer()
    model = new_model(tokenizer, seed=0, whitened=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".visual." not in name)
    defaults = GroundingDefaults(
        max_frames=FRAMES, token_budget=FRAMES * TOKENS_PER_FRAME, min_tokens=4, max_tokens=64, instruction=""
    )
    return model, Encoder(tokenizer, defaults, sample=lambda row: video(int(row.row_id), FRAMES))


def example(number: int) -> Example:
    """A question about a clip that no other example is about."""
    return Example(
        row_id=str(number),
        video=Path(f"{number}"),
        query="a red circle appears",
        duration_s=float(FRAMES),
        moments=(Moment(3.0, 9.0),),
    )


def tempo_steps(steps: int, folder: Path) -> Callable[[], int]:
    """The answers of so many steps: each of 16 tokens or, by chance, fewer, behind a prompt of 438. The
    trainer has `folder` to itself."""
    from train.grpo.trainer import PirGrpoTrainer

    model, encoder = scene()
    config = PirGrpoConfig(
        method="full",
        num_generations=NUM_GENERATIONS,
        groups=1,
        constrained=False,
        max_new_tokens=ANSWER_TOKENS,
        skip_uniform_groups=False,
        threads=1,
    )
    trainer = PirGrpoTrainer(model, encoder, [example(0)], config, folder)
    trainer.current_gradient_accumulation_steps = 1
    number = 0

    def work() -> int:
        nonlocal number
        trainer.counts.clear()
        for _ in range(steps):
            number += 1
            encoded = encoder.encode(example(number))
            trainer.training_step(model, {"place": number, "encoded": encoded})
            model.zero_grad()
        return int(trainer.counts["rollouts"])

    return work


def trl_steps(steps: int, folder: Path) -> Callable[[], int]:
    """As `tempo_steps`, behind prompts of 437 tokens: the same text in one piece. TRL's own gradient checkpointing,
    which trades time for memory, is off."""
    from datasets import Dataset
    from PIL import Image
    from transformers import Qwen2VLImageProcessorPil, Qwen2VLProcessor
    from trl import GRPOConfig, GRPOTrainer

    class ImagesAlone(Qwen2VLProcessor):
        """Without a processor of videos, which needs torchvision."""

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return (
                None if argument is None else super().check_argument_for_proper_class(argument_name, argument)
            )

    model, encoder = scene()
    processor = ImagesAlone(
        Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=2**20),
        encoder.tokenizer,
        chat_template=TEMPLATE,
    )
    answers = 0

    def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
        nonlocal answers
        answers += len(completion_ids)
        return [float(sum(ids) % 7) for ids in completion_ids]

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=GRPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=NUM_GENERATIONS,
            num_generations=NUM_GENERATIONS,
            max_completion_length=ANSWER_TOKENS,
            loss_type="dr_grpo",
            gradient_checkpointing=False,
            use_cpu=True,
            bf16=False,
            report_to=[],
        ),
        train_dataset=Dataset.from_list([{"prompt": "as given to training_step"}]),
        processing_class=processor,
    )
    trainer.current_gradient_accumulation_steps = 1
    number = 0

    def row(number: int) -> dict[str, Any]:
        encoded = encoder.encode(example(number))
        text = re.sub(r"(<\|image_pad\|>)+", "<|image_pad|>", encoder.tokenizer.decode(encoded.prompt_ids))
        images = [{"type": "image", "image": Image.fromarray(frame)} for frame in encoded.video.frames]
        return {"prompt": [{"role": "user", "content": [*images, {"type": "text", "text": text}]}]}

    def work() -> int:
        nonlocal number, answers
        answers = 0
        for _ in range(steps):
            number += 1
            trainer.training_step(model, [row(number)] * NUM_GENERATIONS, None)
            model.zero_grad()
        return answers

    return work
