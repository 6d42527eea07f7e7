"""The cache of a prompt that is read piece by piece, against transformers' own, which joins tensors."""

import pytest
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from tempo_core.engine import Engine
from tempo_core.prompt_cache import SizedLayer, grow_from, sized_cache
from tests.tempo_core.conftest import make_video


@pytest.mark.parametrize("pieces", [[7], [3, 3, 1], [1] * 7])
def test_pieces_are_joined_as_transformers_joins_them(engine: Engine, pieces: list[int]) -> None:
    config = engine.loaded.model.config.get_text_config()
    sized, usual = sized_cache(config, sum(pieces)), DynamicCache(config=config)
    generator = torch.Generator().manual_seed(0)
    for length in pieces:
        keys, values = torch.randn(2, 1, 2, length, 4, generator=generator)
        for number in range(len(usual.layers)):
            mask = sized.layers[number].get_mask_sizes(length)
            assert mask == usual.layers[number].get_mask_sizes(length)
            torch.testing.assert_close(
                sized.update(keys, values, number), usual.update(keys, values, number), rtol=0, atol=0
            )
    after = torch.randn(2, 1, 2, 5, 4, generator=generator)
    grown = grow_from(sized)
    assert [type(layer) for layer in grown.layers] == [DynamicLayer] * len(usual.layers)
    torch.testing.assert_close(grown.update(*after, 0), usual.update(*after, 0), rtol=0, atol=0)
    assert grown.get_seq_length() == usual.get_seq_length() == sum(pieces) + 5


def test_a_layer_keeps_its_place_while_it_fills(engine: Engine) -> None:
    (layer, *_) = sized_cache(engine.loaded.model.config.get_text_config(), 6).layers
    assert isinstance(layer, SizedLayer)
    places = set()
    for _ in range(3):
        keys, _ = layer.update(*torch.randn(2, 1, 2, 2, 4))
        places.add(keys.data_ptr())
    assert len(places) == 1


def test_what_a_clip_keeps_is_its_tokens_and_no_more(engine: Engine) -> None:
    context = engine.encode(make_video(0))
    (layer, *_) = context.cache.layers
    assert layer.keys.is_contiguous()
    assert layer.keys.untyped_storage().nbytes() == layer.keys.nbytes
    assert layer.keys.shape[-2] == context.prefix_tokens
