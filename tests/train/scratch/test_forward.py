"""The fast forward pass equals the model's own: pictures, packed questions, labels and 4-bit rounding."""

import numpy as np
import pytest
import torch

from tempo_core.positions import grid_sizes, mrope_positions
from train.scratch.architecture import new_model
from train.scratch.batches import IGNORED, Videos, still_frames, videos
from train.scratch.forward import read, see, to_patches
from train.scratch.four_bit import exact_weights, quantised_layers, round_weights
from train.scratch.heads import WEIGHTS, Heads, joint_losses, vision_losses
from train.scratch.recipe import Mixture
from train.shapeworld.render import render
from train.shapeworld.scene import PLAIN, RICH, sample_scene


@pytest.fixture(scope="module")
def tokenizer(shapeworld_tokenizer):
    return shapeworld_tokenizer


@pytest.fixture(scope="module")
def model(tokenizer):
    return new_model(tokenizer, seed=1, whitened=False).eval()


@pytest.fixture(scope="module")
def batch(tokenizer) -> Videos:
    mixture = Mixture(videos=2, questions=3, ticks=(8, 9), rich_share=1.0)
    return videos(3, seed=9, mixture=mixture, tokenizer=tokenizer)


def own_patches(frames: torch.Tensor) -> torch.Tensor:
    """What the model's own forward takes: every still picture filled into both temporal slots, [patches, 1176]."""
    return to_patches(frames).unflatten(-1, (3, 1, 14, 14)).expand(-1, -1, -1, 2, -1, -1).reshape(-1, 1176)


@pytest.mark.parametrize("size", [(28, 28), (56, 84), (112, 112)])
def test_seeing_equals_the_models_own_vision_tower(model, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (3, *size, 3), dtype=torch.uint8, generator=generator)
    grid = torch.tensor([[1, size[0] // 14, size[1] // 14]] * 3)
    with torch.inference_mode():
        own = model.model.visual(own_patches(frames), grid_thw=grid).pooler_output
        assert (see(model, frames).flatten(0, 1) - own).abs().max() < 1e-4


@pytest.mark.slow
def test_a_new_model_sees_shapeworld_in_uncorrelated_features_of_one_size(tokenizer) -> None:
    model = new_model(tokenizer, seed=1).eval()
    scenes = [
        sample_scene(seed, RICH if seed % 2 else PLAIN, ticks=12, aspect=(1, 1)) for seed in range(1000, 1020)
    ]
    frames = [render(scene, short_side_px=112, times=np.array([2.0, 6.0, 9.0])) for scene in scenes]
    with torch.inference_mode():
        features = model.model.visual.patch_embed(own_patches(torch.from_numpy(np.concatenate(frames))))
    assert ((features[:, :4].std(0) - 1).abs() < 0.25).all()
    correlations = features[:, :32].T.corrcoef() - torch.eye(32)
    assert correlations.abs().mean() < 0.1


def test_reading_packed_questions_equals_one_row_per_question(model, tokenizer, batch: Videos) -> None:
    order = picture_order(batch)
    worst = 0.0
    with torch.inference_mode():
        last = packed(model, batch)
        for b in range(2):
            context = batch.context[b][batch.context_mask[b]]
            patches, grids = pictures(batch, order[b])
            for k in range(3):
                length = int((batch.targets[b, k] != IGNORED).nonzero().max()) + 1
                ids = torch.cat([context, batch.questions[b, k, :length]])[None]
                is_image = (ids == model.config.image_token_id).long()
                own = model.model(
                    input_ids=ids, pixel_values=patches, image_grid_thw=grids, mm_token_type_ids=is_image
                ).last_hidden_state[0, len(context) :]
                worst = max(worst, float((own - last[b, k, :length]).abs().max()))
    assert worst < 2e-4


def packed(model, batch: Videos) -> torch.Tensor:
    embed = model.model.language_model.embed_tokens
    vision = torch.cat([see(model, frames.pixels).flatten(0, 1) for frames in batch.frames])
    context = embed(batch.context)
    context[batch.context == model.config.image_token_id] = vision[batch.image_order]
    return read(
        model,
        context,
        batch.context_positions,
        embed(batch.questions),
        batch.question_positions,
        batch.context_mask,
    ).last


def picture_order(batch: Videos) -> list[list[tuple[int, int]]]:
    """For each video its frames in time order as (group, index in the group), found from the first tokens' places."""
    starts, token_count = {}, 0
    for g, frames in enumerate(batch.frames):
        tokens = frames.looks.shape[1]
        for i in range(len(frames.pixels)):
            starts[token_count] = (g, i, tokens)
            token_count += tokens
    flat, out, at = batch.image_order.tolist(), [], 0
    for _ in range(len(batch.context)):
        places = []
        for _ in range(batch.facts.shape[1]):
            g, i, tokens = starts[flat[at]]
            places.append((g, i))
            at += tokens
        out.append(places)
    return out


def pictures(batch: Videos, order: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = [batch.frames[g].pixels[i : i + 1] for g, i in order]
    grids = torch.tensor([[1, f.shape[1] // 14, f.shape[2] // 14] for f in chosen])
    return torch.cat([own_patches(f) for f in chosen]), grids


def test_labels_point_at_the_stamps_that_are_written(tokenizer, batch: Videos) -> None:
    assert len(batch.points) > 0
    for b, k, s, place in batch.points.tolist():
        stamp = batch.closing[b].tolist().index(place)
        assert int(batch.targets[b, k, s]) in batch.stamp_digits[b, stamp].tolist()
    answers = (batch.targets != IGNORED).sum(-1)
    assert int(answers.min()) >= 5
    assert batch.questions.shape[-1] <= 48, "the mixture's longest question"
    relevant = batch.bounds[..., 0] != IGNORED
    assert (batch.inside.any(-1) == relevant).all()


def test_context_positions_are_qwen2_vls(model, tokenizer, batch: Videos) -> None:
    ids = batch.context[0][batch.context_mask[0]].tolist()
    sizes = [batch.frames[g].pixels.shape[1:3] for g, _ in picture_order(batch)[0]]
    expected = mrope_positions(ids, grid_sizes(np.array(sizes)), image_token_id=model.config.image_token_id)
    assert (batch.context_positions[:, 0, : len(ids)].numpy() == expected).all()


def test_a_batch_depends_on_its_number_only(tokenizer) -> None:
    mixture = Mixture(videos=2, questions=2, ticks=(8, 10), rich_share=0.5)
    first, again, other = (videos(i, seed=0, mixture=mixture, tokenizer=tokenizer) for i in (4, 4, 5))
    assert torch.equal(first.questions, again.questions)
    assert torch.equal(first.frames[0].pixels, again.frames[0].pixels)
    assert first.context.shape != other.context.shape or not torch.equal(first.context, other.context)


def test_every_loss_is_finite_and_reaches_the_weights(tokenizer, batch: Videos) -> None:
    model = new_model(tokenizer, seed=2, whitened=False)
    heads = Heads(256, tokenizer)
    losses, scores = joint_losses(model, heads, batch)
    assert losses.keys() == WEIGHTS.keys()
    assert all(torch.isfinite(value) for value in losses.values())
    assert 0 <= scores["exact"] <= 1
    torch.stack([WEIGHTS[n] * v for n, v in losses.items()]).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_still_frames_teach_every_part_of_a_look(tokenizer) -> None:
    groups = still_frames(0, seed=0, count=40, rich_share=0.5)
    model, heads = new_model(tokenizer, seed=2, whitened=False), Heads(256, tokenizer)
    losses, scores = vision_losses(heads, groups, [see(model, g.pixels) for g in groups])
    assert torch.isfinite(losses["looks"])
    assert {"colour_f1", "shape_f1", "size_f1", "pair_f1"} == scores.keys()
    assert sum(int(g.looks.sum()) for g in groups) > 200


def test_rounding_is_what_bitsandbytes_stores_and_can_be_undone(tokenizer) -> None:
    import bitsandbytes.functional as bnb

    model = new_model(tokenizer, seed=2, whitened=False)
    layer = quantised_layers(model)[0]
    exact = layer.weight.detach().clone()
    round_weights(model)
    packed_weight, state = bnb.quantize_4bit(exact, quant_type="nf4", blocksize=64, compress_statistics=False)
    stored = bnb.dequantize_4bit(packed_weight, state)
    assert (layer.weight.detach() - stored).abs().max() < 1e-6
    layer.weight.sum().backward()
    exact_weights(model)
    assert torch.equal(layer.weight, exact)
