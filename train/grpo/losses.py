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

LossType = Literal["grpo", "dr_grpo"]
MIN_SPREAD = 1e-6
"""Rewards that differ by less are equal: their differences are rounding."""


def advantages(rewards: Sequence[float], loss_type: LossType) -> list[float]:
    """How much better each reward is than its group's mean; `grpo` divides by the standard deviation.

    All 0 for a group without spread, so that rounding is never blown up into a signal.
    """
    values = np.asarray(rewards, dtype=np.float64)
    if len(values) == 0 or not has_spread(rewards):
        return [0.0] * len(values)
    centred = values - values.mean()
    return [float(value) for value in (centred / values.std() if loss_type == "grpo" else centred)]


def has_spread(rewards: Sequence[float]) -> bool:
    """Whether a group's rewards differ, so that it can teach."""
    return len(rewards) > 0 and max(rewards) - min(rewards) > MIN_SPREAD


@dataclass(frozen=True, slots=True)
class GroupLoss:
    """The loss of one group, and what to watch."""

    loss: Tensor
    kl: float
    """Mean k3 estimate per choice; 0 without a reference."""
    clip_ratio: float
    """Share of the choices whose ratio was clipped."""


def group_loss(
    per_token_logps: Tensor,
    completion_idx: Tensor,
    advantages: Tensor,
    multiplicity: Tensor,
    *,
    old_per_token_logps: Tensor | None = None,
    ref_per_token_logps: Tensor | None = None,
    loss_type: LossType = "dr_grpo",
    loss_divisor: float = 8.0,
    epsilon: tuple[float, float] = (0.2, 0.2),
    beta: float = 0.0,
) -> GroupLoss:
    """The loss of one group from its different completions.

    `per_token_logps`, `old_per_token_logps` and `ref_per_token_logps` are float32[N]: one a choice.
    `completion_idx` int64[N] is the completion that each choice belongs to. Per completion, float32[C]:
    `advantages` is its advantage times how many rollouts wrote it, over G; `multiplicity` is how many wrote it,
    over G. `grpo` takes the mean over a completion's choices, `dr_grpo` their sum over `loss_divisor`: with the
    mean, a refusal's one choice would weigh as much as all choices of a list of moments. Without
    `old_per_token_logps` the step is on-policy: the ratio is 1 and nothing is clipped.
    """
    # what each choice is divided by, inverted: float32[N]
    if loss_type == "dr_grpo":
        scale = torch.full(completion_idx.shape, 1 / loss_divisor, device=completion_idx.device)
    else:
        choices = torch.bincount(completion_idx, minlength=len(advantages))
        scale = 1 / choices.clamp_min(1)[completion_idx].float()

    # clipped surrogate
    old = per_token_logps.detach() if old_per_token_logps is None else old_per_token_logps
    advantage = advantages[completion_idx]
    ratio = (per_token_logps - old).exp()
    clipped_ratio = ratio.clamp(1 - epsilon[0], 1 + epsilon[1])
    surrogate = torch.minimum(ratio * advantage, clipped_ratio * advantage)
    loss = -(surrogate * scale).sum()

    # KL to the reference, by the k3 estimate: exp(d) - d - 1, never negative
    kl = torch.zeros((), device=per_token_logps.device)
    if ref_per_token_logps is not None and beta > 0:
        log_ratio = ref_per_token_logps - per_token_logps
        divergence = log_ratio.exp() - log_ratio - 1
        loss = loss + beta * (divergence * multiplicity[completion_idx] * scale).sum()
        kl = divergence.detach().mean()

    is_clipped = (ratio * advantage > clipped_ratio * advantage).float()
    clip_ratio = float(is_clipped.mean()) if len(per_token_logps) else 0.0
    return GroupLoss(loss=loss, kl=float(kl), clip_ratio=clip_ratio)
