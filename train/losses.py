"""GRPO's arithmetic: advantages within a group and the loss over its choices. Pure functions on tensors.

Sources: GRPO (DeepSeekMath, 2402.03300), Dr. GRPO (2503.20783), the k3 estimate of KL (Schulman). Tokens that the
answer grammar forces are no choices: they have probability 1 and count nowhere.
Legend: G rollouts, C different completions of them, N choices of those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

LossKind = Literal["grpo", "dr_grpo"]
LEAST_SPREAD = 1e-6
"""Rewards that differ by less are equal: their differences are rounding."""


def advantages(rewards: Sequence[float], kind: LossKind) -> list[float]:
    """How much better each reward is than its group's mean; `grpo` divides by the standard deviation.

    All 0 for a group without spread, so that rounding is never blown up into a signal.
    """
    values = np.asarray(rewards, dtype=np.float64)
    if len(values) == 0 or not has_spread(rewards):
        return [0.0] * len(values)
    centred = values - values.mean()
    return [float(value) for value in (centred / values.std() if kind == "grpo" else centred)]


def has_spread(rewards: Sequence[float]) -> bool:
    """Whether a group's rewards differ, so that it can teach."""
    return len(rewards) > 0 and max(rewards) - min(rewards) > LEAST_SPREAD


@dataclass(frozen=True, slots=True)
class GroupLoss:
    """The loss of one group, and what to watch."""

    loss: Tensor
    kl: float
    """Mean k3 estimate per choice; 0 without a reference."""
    clipped: float
    """Share of the choices whose ratio was cut."""


def group_loss(
    logprobs: Tensor,
    owner: Tensor,
    weights: Tensor,
    sizes: Tensor,
    *,
    old: Tensor | None = None,
    reference: Tensor | None = None,
    kind: LossKind = "dr_grpo",
    constant: float = 8.0,
    clip: tuple[float, float] = (0.2, 0.2),
    beta: float = 0.0,
) -> GroupLoss:
    """The loss of one group from its different completions.

    `logprobs`, `old`, `reference` are float32[N], `owner` int64[N] says whose each choice is. Per completion,
    float32[C]: `weights` is its advantage times how many rollouts wrote it, over G; `sizes` is how many wrote it,
    over G. `grpo` takes the mean over a completion's choices, `dr_grpo` their sum over `constant`: with the mean,
    a refusal's one choice would weigh as much as all choices of a list of moments. `old` None: on-policy, the
    ratio is 1 and nothing is clipped.
    """
    scale = _scale(owner, len(weights), kind, constant)
    advantage = weights[owner]
    ratio = (logprobs - (logprobs.detach() if old is None else old)).exp()
    cut = ratio.clamp(1 - clip[0], 1 + clip[1])
    gain = torch.minimum(ratio * advantage, cut * advantage)
    loss = -(gain * scale).sum()
    kl = torch.zeros((), device=logprobs.device)
    if reference is not None and beta > 0:
        gap = reference - logprobs
        divergence = gap.exp() - gap - 1
        loss = loss + beta * (divergence * sizes[owner] * scale).sum()
        kl = divergence.detach().mean()
    clipped = (ratio * advantage > cut * advantage).float().mean() if len(logprobs) else kl
    return GroupLoss(loss=loss, kl=float(kl), clipped=float(clipped))


def _scale(owner: Tensor, completions: int, kind: LossKind, constant: float) -> Tensor:
    """float32[N]: what each choice is divided by, inverted."""
    if kind == "dr_grpo":
        return torch.full(owner.shape, 1 / constant, device=owner.device)
    return 1 / torch.bincount(owner, minlength=completions).clamp_min(1)[owner].float()
