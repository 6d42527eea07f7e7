"""The engine's random checkpoint and videos, for training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tempo_core.moments import Moment
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
