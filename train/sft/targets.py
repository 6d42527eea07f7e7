"""What SFT teaches at each token of an answer: one token, or where an edge has a band, a distribution over tokens.

    target = draw_target(encoded, tokenizer, rng)
    losses = token_losses(logits, labels, soft)

The edges are drawn in time order, each from its masses (`train.data.soft_edges`) behind the one before it. The target
of each of the stamp's tokens is then the distribution of that token over all stamps that agree with the tokens before
it. The mean over draws is exactly the cross-entropy between the distribution over answers and the model's: each stamp
of a band is taught to its last digit, and a draw is only ever an answer that the grammar allows.
Legend: B rows, C columns, V vocabulary, N entries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from tempo_core.protocols.base import Mark, plain_ids
from train.data.encoding import Encoded

IGNORED = -100


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """An answer as SFT teaches it."""

    ids: tuple[int, ...]
    """The answer's tokens, closed by <|im_end|>."""
    shares: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    """For places in `ids` with more than one right token: token -> share; the shares of a place sum to 1."""


class SoftEntries(NamedTuple):
    """Right tokens of a batch's soft places, one entry a token, in any order."""

    rows: Tensor
    """int64[N]."""
    columns: Tensor
    """int64[N]."""
    tokens: Tensor
    """int64[N]."""
    shares: Tensor
    """float32[N]; those of a place sum to 1."""


def draw_target(encoded: Encoded, tokenizer: Any, rng: np.random.Generator) -> Target:
    """An answer whose edges are drawn from their bands; the one true answer, and no draw, where all are hard.

    Marks have one number of decimals, so that none begins another."""
    all_masses = encoded.edge_masses
    if all(np.count_nonzero(masses) == 1 for masses in all_masses):
        return Target(ids=encoded.answer_ids)
    stamp_ids = [tuple(plain_ids(tokenizer, stamp)) for stamp in encoded.video.stamps]

    # draw the edges: each behind the one before
    edges: list[int] = []
    spreads = []
    for masses in all_masses:
        behind = masses.copy()
        behind[: edges[-1] + 1 if edges else 0] = 0.0
        behind /= behind.sum()
        spreads.append(behind)
        edges.append(int(rng.choice(len(behind), p=behind)))

    # write the answer; a trace may stand before it
    stamps = [encoded.video.stamps[edge] for edge in edges]
    pieces = encoded.video.grammar.form.pieces(list(zip(stamps[::2], stamps[1::2], strict=True)))
    ids, shares, edge = list(encoded.trace_ids), dict[int, Mapping[int, float]](), 0
    for piece in pieces:
        if isinstance(piece, Mark):
            for depth, share in enumerate(next_token_shares(spreads[edge], stamp_ids, edges[edge])):
                if len(share) > 1:
                    shares[len(ids) + depth] = share
            edge += 1
        ids += plain_ids(tokenizer, piece)
    return Target(ids=(*ids, encoded.answer_ids[-1]), shares=shares)


def next_token_shares(
    masses: Sequence[float] | np.ndarray, stamp_ids: Sequence[Sequence[int]], stamp: int
) -> list[dict[int, float]]:
    """Along the tokens of a stamp: how likely each next token is, given those before it. No stamp begins another."""
    likely = [int(idx) for idx in np.flatnonzero(masses)]
    all_shares = []
    for depth, token in enumerate(stamp_ids[stamp]):
        total = sum(float(masses[idx]) for idx in likely)
        shares: dict[int, float] = {}
        for idx in likely:
            next_token = stamp_ids[idx][depth]
            shares[next_token] = shares.get(next_token, 0.0) + float(masses[idx]) / total
        all_shares.append(shares)
        likely = [idx for idx in likely if stamp_ids[idx][depth] == token]
    return all_shares


def token_losses(logits: Tensor, labels: Tensor, soft: SoftEntries) -> Tensor:
    """float32[B, C]: cross-entropy between each column's target and the model's logits [B, C, V]; 0 where IGNORED.

    `labels` int64[B, C] is the token that was drawn. Without soft entries these are the negative log-likelihoods.
    """
    losses = F.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(labels)
    if len(soft.rows) == 0:
        return losses
    # share x (logsumexp - logit), summed, is (logsumexp - drawn logit) plus share x (drawn logit - logit), summed
    label_logits = logits[soft.rows, soft.columns, labels[soft.rows, soft.columns]].float()
    right = logits[soft.rows, soft.columns, soft.tokens].float()
    return losses.index_put((soft.rows, soft.columns), soft.shares * (label_logits - right), accumulate=True)


def is_right(predictions: Tensor, labels: Tensor, soft: SoftEntries) -> Tensor:
    """bool[B, C]: whether the predicted token int64[B, C] is the label, or another right token of a soft place."""
    right = predictions == labels
    hits = predictions[soft.rows, soft.columns] == soft.tokens
    right[soft.rows[hits], soft.columns[hits]] = True
    return right
