"""The engine's random checkpoint and videos, for training."""

import functools
import gc
import hashlib
import importlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from tempo_core.moments import Moment
from tests.forkserver import processes_with
from tests.tempo_core.conftest import (  # noqa: F401  (fixtures)
    checkpoint,
    clip,
    engine,
    engine_nf4,
    make_video,
    tokenizer,
)
from train.data.encoding import Encoder
from train.data.examples import Example

TRAINING_MODULES = (
    "bitsandbytes",
    "tests.train.grpo.small_run",
    "tests.train.refresh.small_command",
    "train.grpo.curriculum",
    "train.sft.trainer",
)
"""What takes seconds to import, with all that it imports."""


@pytest.fixture(scope="session", autouse=True)
def training_libraries() -> None:
    """All that trains is imported, and no collection searches it again (tests.conftest)."""
    for name in TRAINING_MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """A training sets how many threads torch has; the tests after it have as many as before."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Makes processes that start in milliseconds, with all imported that trains."""
    return processes_with(*TRAINING_MODULES)


@pytest.fixture(scope="session")
def shapeworld_tokenizer() -> Any:
    """tempo-tiny's tokenizer of seed 0."""
    from train.scratch.tokenizer import build_tokenizer as train_tokenizer

    return train_tokenizer(0)


NARROW = 64
"""Width of the language model that `narrow_runs` make."""


@pytest.fixture(scope="module")
def narrow_runs() -> Iterator[None]:
    """Runs from random weights train a model of a quarter of the width, and make a seed's tokenizer once.

    A processor without bfloat16 takes 25 times as long for Muon's steps, which are cubic in the width. The patch
    embedding is not whitened, which takes seconds.
    """
    from train.scratch.architecture import new_model, tiny_config
    from train.scratch.tokenizer import build_tokenizer as train_tokenizer

    def narrow_config(tokenizer: Any) -> Any:  # noqa: F811
        config = tiny_config(tokenizer)
        language = {"hidden_size": NARROW, "intermediate_size": NARROW}
        config.text_config.update({**language, "num_attention_heads": 2, "num_key_value_heads": 1})
        config.vision_config.update({"hidden_size": NARROW, "embed_dim": 64, "depth": 1, "num_heads": 2})
        return config

    def narrow_model(tokenizer: Any, *, seed: int, whitened: bool) -> Any:  # noqa: F811
        with pytest.MonkeyPatch.context() as narrower:
            narrower.setattr("train.scratch.architecture.tiny_config", narrow_config)
            return new_model(tokenizer, seed=seed, whitened=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.scratch.run.new_model", narrow_model)
        patch.setattr("train.scratch.run.HIDDEN", NARROW)
        for module in ("train.scratch.run", "train.scratch.checkpoint"):
            patch.setattr(f"{module}.build_tokenizer", functools.cache(train_tokenizer))
        yield


@pytest.fixture(scope="module")
def frames_read_once() -> Iterator[None]:
    """Files of equal bytes are read once: every reading is a process of its own."""
    from tempo_core.engine import sample_for
    from tempo_core.video import SampledVideo

    videos: dict[tuple[str, str], SampledVideo] = {}

    def sample_once(defaults: Any, video_path: Path, **options: Any) -> SampledVideo:
        if not video_path.is_file():
            return sample_for(defaults, video_path, **options)
        key = hashlib.sha256(video_path.read_bytes()).hexdigest(), repr(defaults)
        if key not in videos:
            videos[key] = sample_for(defaults, video_path, **options)
        return videos[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in ("train.data.encoding", "train.refresh.comparison"):
            patch.setattr(f"{module}.sample_for", sample_once)
        yield


def cancel_in_layer(model: Any, cancel: threading.Event, *, at: int, backward: bool = False) -> list[int]:
    """The passes through a model's first layer so far, of which the one numbered `at` sets `cancel` (on the way back
    with `backward`)."""
    from train.trainer import unwrapped

    passes = list[int]()

    def count(layer: Any, inputs: Any, output: Any) -> None:
        passes.append(len(passes) + 1)
        if len(passes) == at and not backward:
            cancel.set()
        if len(passes) == at and backward:
            output.register_hook(lambda gradient: cancel.set())

    unwrapped(model).model.language_model.layers[0].register_forward_hook(count)
    return passes


def example_of(number: int = 0, *, query: str = "a red circle appears", moments: Any = ()) -> Example:
    """A row about the video `make_video(number)`, which lasts eight seconds."""
    return Example(
        row_id=f"rows:{number}:{query}",
        video=Path(f"video-{number}"),
        query=query,
        duration_s=8.0,
        moments=tuple(Moment(*pair) for pair in moments),
    )


def sampled(example: Example) -> Any:
    """The frames of `example_of`'s video."""
    return make_video(int(example.video.name.rpartition("-")[2]))


@pytest.fixture
def encoder(engine: Any) -> Encoder:  # noqa: F811
    return Encoder.of(engine.loaded, sample=sampled)


@pytest.fixture
def terse(engine: Any) -> Encoder:  # noqa: F811
    """An encoder that spends few tokens, for training on a CPU."""
    defaults = replace(engine.loaded.defaults, tokens_per_frame=2.0)
    return Encoder(engine.loaded.tokenizer, defaults, engine.loaded.normaliser, sample=sampled)
