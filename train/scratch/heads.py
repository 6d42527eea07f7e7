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
from train.scratch.forward import Reading, read, see
from train.scratch.labels import FACTS, LOOK_PARTS, LOOKS, SURROUNDINGS

FRAME_LAYER, QUESTION_LAYER, POINTING_LAYER = 1, 3, 4
"""Where frames have been summed up, where the question has met them, and where attention points (of six layers)."""
POINTING_HEADS = 2
_MATCH = 64

WEIGHTS = {
    "answer": 0.3, "decision": 0.5, "pointing": 0.7, "inside": 1.5, "bounds": 0.3, "facts": 8.0,
    "stamps": 0.2, "vision": 0.15,
}  # fmt: skip
"""Weight of each loss in the joint stage."""


class Heads(nn.Module):
    """Linear read-outs of hidden states of size D."""

    stamp_class: Tensor
    """int64[V]: class of each token that a stamp can be made of, else IGNORED."""

    def __init__(self, hidden: int, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.looks = nn.Linear(hidden, LOOKS)
        self.surroundings = nn.Linear(hidden, sum(SURROUNDINGS))
        self.facts = nn.Linear(hidden, 3 * FACTS)
        pieces = [f"{n:02d}" for n in range(100)] + [f".{n}" for n in range(10)]
        self.stamps = nn.Linear(hidden, 3 * len(pieces))
        classes = torch.full((len(tokenizer),), IGNORED)
        classes[torch.tensor(tokenizer.convert_tokens_to_ids(pieces))] = torch.arange(len(pieces))
        self.register_buffer("stamp_class", classes, persistent=False)
        self.asks = nn.Linear(hidden, 3 * _MATCH)
        self.shows = nn.Linear(hidden, 3 * _MATCH)
        for rare in (self.looks, self.facts):
            nn.init.constant_(rare.bias, -3.0)


def vision_losses(
    heads: Heads, groups: list[Frames], seen: list[Tensor]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Losses of the vision tower on frames and their visual tokens [F, N, D], and F1 by part of a look."""
    looks, around, tokens = [], [], 0
    counts = torch.zeros(3, LOOKS)
    for frames, vision in zip(groups, seen, strict=True):
        clear = frames.readable
        logits = heads.looks(vision)[clear].float()
        looks.append(F.binary_cross_entropy_with_logits(logits, frames.looks[clear].float(), reduction="sum"))
        said, true = logits.detach() > 0, frames.looks[clear]
        counts += torch.stack([(said & true).sum((0, 1)), said.sum((0, 1)), true.sum((0, 1))])
        tokens += int(clear.sum()) * vision.shape[1]
        parts = heads.surroundings(vision.mean(1)).float().split(SURROUNDINGS, dim=-1)
        around += [
            F.cross_entropy(part, kind, ignore_index=IGNORED, reduction="sum")
            for part, kind in zip(parts, frames.surroundings.T, strict=True)
        ]
    count = sum(len(frames.pixels) for frames in groups)
    losses = {
        "looks": torch.stack(looks).sum() / max(1, tokens),
        "surroundings": torch.stack(around).sum() / count,
    }
    sums = [part.sum(1) for part in counts.split(LOOK_PARTS, dim=1)]
    names = ("colour", "shape", "size", "pair")
    return losses, {
        f"{n}_f1": float(2 * s[0] / (s[1] + s[2]).clamp_min(1)) for n, s in zip(names, sums, strict=True)
    }


def joint_losses(
    model: Qwen2VLForConditionalGeneration, heads: Heads, batch: Videos
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """All losses of one batch of videos, and how well its answers are read (teacher forced)."""
    seen = [see(model, frames.pixels) for frames in batch.frames]
    embed = model.model.language_model.embed_tokens
    context = _with_pictures(embed(batch.context), batch, torch.cat([v.flatten(0, 1) for v in seen]), model)
    reading = read(
        model, context, batch.context_positions, embed(batch.questions), batch.question_positions,
        batch.context_mask, watch=(POINTING_LAYER,),
    )  # fmt: skip
    losses, scores = _answer_losses(embed.weight, reading.last, batch)
    losses["pointing"] = _pointing_loss(reading, batch)
    losses |= _frame_losses(heads, reading, batch) | _match_losses(heads, reading, batch)
    parts, looks = vision_losses(heads, batch.frames, seen)
    return losses | {"vision": parts["looks"] + 0.1 * parts["surroundings"]}, scores | looks


def _with_pictures(
    embeds: Tensor, batch: Videos, vision: Tensor, model: Qwen2VLForConditionalGeneration
) -> Tensor:
    """Context embeddings with the placeholders' places taken by visual tokens."""
    is_image = batch.context == model.config.image_token_id
    out = embeds.clone()
    out[is_image] = vision[batch.image_order].to(out.dtype)
    return out


def _answer_losses(
    embedding: Tensor, last: Tensor, batch: Videos
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Cross entropy summed over an answer's tokens, and of the token that decides for moments or refusal."""
    wanted = batch.targets != IGNORED
    logits = F.linear(last[wanted], embedding).float()
    targets = batch.targets[wanted]
    each = torch.zeros(batch.targets.shape)
    each[wanted] = F.cross_entropy(logits, targets, reduction="none")
    losses = {
        "answer": each.sum() / each.shape[:2].numel(),
        "decision": each.gather(-1, batch.asked[..., None]).mean(),
    }
    right = torch.ones_like(batch.targets, dtype=torch.bool)
    right[wanted] = logits.argmax(-1) == targets
    whole = right.all(-1)
    relevant = batch.bounds[..., 0] != IGNORED
    decided = right.gather(-1, batch.asked[..., None])[..., 0]
    share = {"exact": whole[relevant], "answers": decided[relevant], "refuses": decided[~relevant]}
    return losses, {name: float(value.float().mean()) for name, value in share.items() if value.numel()}


def _pointing_loss(reading: Reading, batch: Videos) -> Tensor:
    """Cross entropy of the first heads' attention over the context towards the frame whose stamp is written."""
    queries, keys = reading.pointing[POINTING_LAYER]
    b, k, s, target = batch.points.unbind(1)
    chosen = queries[b, k, :POINTING_HEADS, s].float()
    scores = (
        torch.einsum("mhd,mhpd->mhp", chosen, keys[:, :POINTING_HEADS].float()[b]) * chosen.shape[-1] ** -0.5
    )
    scores = scores.masked_fill(~batch.context_mask[b][:, None], float("-inf"))
    return F.cross_entropy(scores.flatten(0, 1), target.repeat_interleave(POINTING_HEADS))


def _frame_losses(heads: Heads, reading: Reading, batch: Videos) -> dict[str, Tensor]:
    """What each frame shows, what came and went since the last one, and what its stamp says."""
    frames = _at(reading.context[FRAME_LAYER], batch.closing)
    now = batch.facts
    before = torch.cat([torch.zeros_like(now[:, :1]), now[:, :-1]], dim=1)
    wanted = torch.cat([now, now & ~before, before & ~now], dim=-1).float()
    facts = F.binary_cross_entropy_with_logits(heads.facts(frames[:, :-1]).float(), wanted)
    stamps = heads.stamps(frames).float().unflatten(-1, (3, -1))
    classes = heads.stamp_class[batch.stamp_digits]
    return {
        "facts": facts,
        "stamps": F.cross_entropy(stamps.flatten(0, 2), classes.flatten(), ignore_index=IGNORED),
    }


def _match_losses(heads: Heads, reading: Reading, batch: Videos) -> dict[str, Tensor]:
    """The question's last token against every frame: inside a moment or not, where the first starts and ends."""
    frames = (
        heads.shows(_at(reading.context[FRAME_LAYER + 1], batch.closing)).float().unflatten(-1, (3, _MATCH))
    )
    ids = batch.asked[..., None, None].expand(-1, -1, 1, reading.last.shape[-1])
    asked = (
        heads.asks(reading.questions[QUESTION_LAYER].gather(2, ids)[:, :, 0])
        .float()
        .unflatten(-1, (3, _MATCH))
    )
    scores = torch.einsum("bkmd,btmd->mbkt", asked, frames) * _MATCH**-0.5
    inside = F.binary_cross_entropy_with_logits(scores[0][..., :-1] - 2.0, batch.inside.float())
    start = F.cross_entropy(scores[1].flatten(0, 1), batch.bounds[..., 0].flatten(), ignore_index=IGNORED)
    end = F.cross_entropy(scores[2].flatten(0, 1), batch.bounds[..., 1].flatten(), ignore_index=IGNORED)
    return {"inside": inside, "bounds": start + end}


def _at(hidden: Tensor, places: Tensor) -> Tensor:
    """Hidden states [B, n, D] at context positions int64[B, n]."""
    return hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1]))
