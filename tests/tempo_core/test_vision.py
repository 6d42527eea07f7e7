"""Our patches equal the published processor's, and the batched tower equals the model's own."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tempo_core.errors import Cancelled, InputError
from tempo_core.vision import Normaliser, encode_frames, patchify, pixel_values, resize_frame
from tests.tempo_core.plain import encode_frames_plain


def _frames(count: int, height: int = 90, width: int = 120) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Any:
    from transformers import Qwen2VLForConditionalGeneration

    return Qwen2VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).eval()


@pytest.mark.parametrize("size", [(28, 28), (56, 112), (112, 84)])
def test_patches_equal_the_published_processors(size: tuple[int, int]) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    frame = resize_frame(_frames(1)[0], size)
    processor = Qwen2VLImageProcessorPil(do_resize=False)
    theirs = processor(images=[frame], return_tensors="np")
    np.testing.assert_allclose(pixel_values(frame, Normaliser()), theirs["pixel_values"], atol=1e-5, rtol=0)
    assert theirs["image_grid_thw"].tolist() == [[1, size[0] // 14, size[1] // 14]]


def test_resizing_equals_the_published_processors() -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    frame = _frames(1, 84, 112)[0]
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 42 * 56})
    theirs = processor(images=[frame], return_tensors="np")
    rows, columns = (int(n) for n in theirs["image_grid_thw"][0, 1:])
    ours = pixel_values(resize_frame(frame, (rows * 14, columns * 14)), Normaliser())
    np.testing.assert_allclose(ours, theirs["pixel_values"], atol=1e-5, rtol=0)


def test_other_sides_are_refused() -> None:
    with pytest.raises(InputError, match="multiples of 28"):
        patchify(_frames(1, 30, 56)[0], Normaliser())


@torch.inference_mode()
def test_batched_frames_equal_the_models_own_call(model: Any) -> None:
    sizes = np.array([[28, 28], [56, 84], [28, 28], [112, 112], [56, 84], [84, 56], [28, 28]])
    frames = _frames(len(sizes))
    shares: list[float] = []
    fast = encode_frames(model, frames, sizes, Normaliser(), on_progress=shares.append)
    plain = encode_frames_plain(model, frames, sizes, Normaliser())
    assert fast.shape == (int((sizes // 28).prod(axis=1).sum()), 128)
    assert (fast - plain).abs().max() < 1e-5 * plain.abs().max()
    assert shares[-1] == 1.0
    assert shares == sorted(shares)


@torch.inference_mode()
def test_a_large_batch_is_cut_and_stays_equal(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = np.array([[56, 56]] * 7)
    frames = _frames(len(sizes))
    whole = encode_frames(model, frames, sizes, Normaliser())
    monkeypatch.setattr("tempo_core.vision.MAX_BATCH_PATCHES", 40)
    torch.testing.assert_close(encode_frames(model, frames, sizes, Normaliser()), whole)


def test_cancelling_stops_between_batches(model: Any) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        encode_frames(model, _frames(2), np.array([[28, 28]] * 2), Normaliser(), cancel=cancel)
