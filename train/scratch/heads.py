"""Auxiliary heads and losses: dense supervision for a model that starts blind. None of them ships with the checkpoint.

- vision tokens say which things stand in their cell and what surrounds them;
- each frame's <|vision_end|> says what the frame shows, what came, what went, and its own stamp;
- the question's last token finds the frames that it asks for;
- two attention heads point at the frame whose stamp is being written.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, Qwen2VLForConditionalGeneration

from train.scratch.batches import IGNORED, Frames, Videos
from train.scratch.forward import read, see
from train.scratch.labels import SHAPEWORLD, LabelSpec

FRAME_LAYER, QUESTION_LAYER, POINTING_LAYER = 1, 3, 4
"""Where frames have been summed up, where the question has met them, and where attention points (of six layers)."""
POINTING_HEADS = 2
_MATCH = 64

WEIGHTS = {
    "answer": 0.3,
    "decision": 0.5,
    "pointing": 0.7,
    "inside": 1.5,
    "bounds": 0.3,
    "facts": 8.0,
    "stamps": 0.2,
    "vision": 0.15,
}
"""Weight of each loss in the joint stage."""


class Heads(nn.Module):
    """Linear read-outs of hidden states of size D."""

    stamp_class: Tensor
    """int64[V]: class of each token that a stamp can be made of, else IGNORED."""

    def __init__(self, hidden: int, tokenizer: PreTrainedTokenizerBase, spec: LabelSpec = SHAPEWORLD) -> None:
        super().__init__()
        self.spec = spec
        self.looks = nn.Linear(hidden, spec.looks)
        self.surroundings = nn.Linear(hidden, sum(spec.surroundings))
        self.facts = nn.Linear(hidden, 3 * spec.facts)
        pieces = [f"{n:02d}" for n in range(100)] + [f".{n}" for n in range(10)]
        self.stamps = nn.Linear(hidden, 3 * len(pieces))
        classes = torch.full((len(tokenizer),), IGNORED)
        classes[torch.tensor(tokenizer.convert_tokens_to_ids(pieces))] = torch.arange(len(pieces))
        self.register_buffer("stamp_class", classes, persistent=False)
        self.asks = nn.Linear(hidden, 3 * _MATCH)
        self.shows = nn.Linear(hidden, 3 * _MATCH)
        for rare in (self.looks, self.facts):
            nn.init.constant_(rare.bias, spec.rare_bias)
            if spec.begin_at_bias:
                nn.init.zeros_(rare.weight)

    def of(self, world: str) -> "Heads":
        """The read-outs for a batch of a world: these know one only."""
        return self


class WorldHeads(nn.Module):
    """Read-outs of several worlds over one model."""

    def __init__(self, hidden: int, tokenizer: PreTrainedTokenizerBase, specs: dict[str, LabelSpec]) -> None:
        super().__init__()
        self.worlds = nn.ModuleDict({world: Heads(hidden, tokenizer, spec) for world, spec in specs.items()})

    def of(self, world: str) -> Heads:
        """The read-outs for a batch of a world."""
        heads = self.worlds[world]
        assert isinstance(heads, Heads)
        return heads


def vision_losses(
    heads: Heads, groups: list[Frames], visual_tokens: list[Tensor]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Losses of the vision tower on frames and their visual tokens [F, N, D], and F1 by part of a look."""
    looks, surroundings, token_count = [], [], 0
    counts = torch.zeros(3, heads.spec.looks)  # true positives, predicted, true
    for frames, tokens in zip(groups, visual_tokens, strict=True):
        readable = frames.readable
        logits = heads.looks(tokens)[readable].float()
        target = frames.looks[readable]
        looks.append(F.binary_cross_entropy_with_logits(logits, target.float(), reduction="sum"))
        predicted = logits.detach() > 0
        counts += torch.stack([(predicted & target).sum((0, 1)), predicted.sum((0, 1)), target.sum((0, 1))])
        token_count += int(readable.sum()) * tokens.shape[1]
        parts = heads.surroundings(tokens.mean(1)).float().split(heads.spec.surroundings, dim=-1)
        surroundings += [
            F.cross_entropy(part, kind, ignore_index=IGNORED, reduction="sum")
            for part, kind in zip(parts, frames.surroundings.T, strict=True)
        ]
    frame_count = sum(len(frames.pixels) for frames in groups)
    losses = {
        "looks": torch.stack(looks).sum() / max(1, token_count),
        "surroundings": torch.stack(surroundings).sum() / frame_count,
    }
    scores = {}
    names, widths = zip(*heads.spec.look_parts, strict=True)
    for name, part in zip(names, counts.split(widths, dim=1), strict=True):
        hits, predictions, positives = part.sum(1)
        scores[f"{name}_f1"] = float(2 * hits / (predictions + positives).clamp_min(1))
    return losses, scores


def joint_losses(
    model: Qwen2VLForConditionalGeneration, heads: Heads, batch: Videos
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """All losses of one batch of videos, and how well its answers are read (teacher forced)."""
    visual_tokens = [see(model, frames.pixels) for frames in batch.frames]
    embed = model.model.language_model.embed_tokens
    context = embed(batch.context).clone()
    flat_tokens = torch.cat([tokens.flatten(0, 1) for tokens in visual_tokens])
    is_image = batch.context == model.config.image_token_id
    context[is_image] = flat_tokens[batch.image_order].to(context.dtype)
    reading = read(
        model,
        context,
        batch.context_positions,
        embed(batch.questions),
        batch.question_positions,
        batch.context_mask,
        watch=(POINTING_LAYER,),
    )

    # The answer: cross entropy summed over its tokens, and of the token that decides for moments or refusal.
    is_answer = batch.targets != IGNORED
    logits = F.linear(reading.last[is_answer], embed.weight).float()
    target_tokens = batch.targets[is_answer]
    token_losses = torch.zeros(batch.targets.shape)
    token_losses[is_answer] = F.cross_entropy(logits, target_tokens, reduction="none")
    question_end = batch.question_end[..., None]
    losses = {
        "answer": token_losses.sum() / token_losses.shape[:2].numel(),
        "decision": token_losses.gather(-1, question_end).mean(),
    }
    right = torch.ones_like(batch.targets, dtype=torch.bool)
    right[is_answer] = logits.argmax(-1) == target_tokens
    relevant = batch.bounds[..., 0] != IGNORED
    decided = right.gather(-1, question_end)[..., 0]
    shares = {"exact": right.all(-1)[relevant], "answers": decided[relevant], "refuses": decided[~relevant]}
    scores = {name: float(share.float().mean()) for name, share in shares.items() if share.numel()}

    # The first heads' attention over the context points at the frame whose stamp is being written.
    queries, keys = reading.pointing[POINTING_LAYER]
    b, k, s, target = batch.points.unbind(1)
    query = queries[b, k, :POINTING_HEADS, s].float()
    attention = torch.einsum("mhd,mhpd->mhp", query, keys[:, :POINTING_HEADS].float()[b])
    attention = attention * query.shape[-1] ** -0.5
    attention = attention.masked_fill(~batch.context_mask[b][:, None], float("-inf"))
    losses["pointing"] = F.cross_entropy(attention.flatten(0, 1), target.repeat_interleave(POINTING_HEADS))

    # What each frame shows, what came and went since the last one, and what its stamp says.
    frames = _at(reading.context[FRAME_LAYER], batch.closing)
    facts = batch.facts
    before = torch.cat([torch.zeros_like(facts[:, :1]), facts[:, :-1]], dim=1)
    targets = torch.cat([facts, facts & ~before, before & ~facts], dim=-1).float()
    losses["facts"] = F.binary_cross_entropy_with_logits(heads.facts(frames[:, :-1]).float(), targets)
    digits = heads.stamps(frames).float().unflatten(-1, (3, -1)).flatten(0, 2)
    digit_classes = heads.stamp_class[batch.stamp_digits].flatten()
    losses["stamps"] = F.cross_entropy(digits, digit_classes, ignore_index=IGNORED)

    # The question's last token against every frame: inside a moment or not, where the first starts and ends.
    keys = heads.shows(_at(reading.context[FRAME_LAYER + 1], batch.closing)).float()
    ends = question_end[..., None].expand(-1, -1, 1, reading.last.shape[-1])
    questions = heads.asks(reading.questions[QUESTION_LAYER].gather(2, ends)[:, :, 0]).float()
    match = torch.einsum(
        "bkmd,btmd->mbkt", questions.unflatten(-1, (3, _MATCH)), keys.unflatten(-1, (3, _MATCH))
    )
    inside, start, end = match * _MATCH**-0.5
    losses["inside"] = F.binary_cross_entropy_with_logits(inside[..., :-1] - 2.0, batch.inside.float())
    losses["bounds"] = _edge_loss(start, batch.bounds[..., 0]) + _edge_loss(end, batch.bounds[..., 1])

    parts, looks = vision_losses(heads, batch.frames, visual_tokens)
    losses["vision"] = parts["looks"] + 0.1 * parts["surroundings"]
    return losses, scores | looks


def _edge_loss(logits: Tensor, frames: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), frames.flatten(), ignore_index=IGNORED)


def _at(hidden: Tensor, positions: Tensor) -> Tensor:
    """Hidden states [B, n, D] at context positions int64[B, n]."""
    return hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[-1]))
