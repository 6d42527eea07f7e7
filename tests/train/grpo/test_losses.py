"""GRPO's arithmetic by hand: advantages, both normalisations, clipping, KL, and groups that cannot teach."""

import math

import pytest
import torch

from train.grpo.losses import advantages, group_loss, has_spread

OWNER = torch.tensor([0, 1, 1, 1])
SIZES = torch.tensor([0.75, 0.25])


def test_advantages_are_centred_and_for_grpo_scaled() -> None:
    assert advantages([0, 1, 1, 0], "dr_grpo") == [-0.5, 0.5, 0.5, -0.5]
    assert advantages([0, 1, 1, 0], "grpo") == [-1, 1, 1, -1]
    assert sum(advantages([0.2, 0.9, 0.4], "grpo")) == pytest.approx(0)


@pytest.mark.parametrize("rewards", [[0.3] * 8, [1.0], [], [0.1 + 0.2, 0.3], [-1.0, -1.0]])
@pytest.mark.parametrize("kind", ["grpo", "dr_grpo"])
def test_a_group_without_spread_has_no_advantage(rewards: list[float], kind) -> None:
    assert not has_spread(rewards)
    assert advantages(rewards, kind) == [0.0] * len(rewards)


@pytest.mark.parametrize(("kind", "expected"), [("grpo", [-0.5, 0.2 / 3]), ("dr_grpo", [-0.5 / 8, 0.2 / 8])])
def test_on_policy_gradients_are_the_advantages_per_choice(kind, expected: list[float]) -> None:
    logprobs = torch.tensor([-1.0, -0.5, -0.2, -3.0], requires_grad=True)
    outcome = group_loss(logprobs, OWNER, torch.tensor([0.5, -0.2]), SIZES, loss_type=kind)
    outcome.loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([expected[0], *[expected[1]] * 3])
    assert outcome.clip_ratio == outcome.kl == 0


def test_merging_equal_rollouts_changes_nothing() -> None:
    """Three rollouts that said the same are one completion with three times the weight."""
    gains = advantages([1, 1, 1, 0], "dr_grpo")
    apart = torch.tensor([-1.0, -1.0, -1.0, -0.5], requires_grad=True)
    loss = group_loss(
        apart,
        torch.arange(4),
        torch.tensor(gains) / 4,
        torch.full((4,), 0.25),
        beta=0.1,
        ref_per_token_logps=torch.tensor([-1.5, -1.5, -1.5, -0.7]),
    ).loss
    merged = torch.tensor([-1.0, -0.5], requires_grad=True)
    weights = torch.tensor([3 * gains[0], gains[3]]) / 4
    twin = group_loss(
        merged,
        torch.arange(2),
        weights,
        torch.tensor([0.75, 0.25]),
        beta=0.1,
        ref_per_token_logps=torch.tensor([-1.5, -0.7]),
    ).loss
    assert loss.item() == pytest.approx(twin.item())
    loss.backward()
    twin.backward()
    assert apart.grad is not None
    assert merged.grad is not None
    assert apart.grad[:3].sum().item() == pytest.approx(merged.grad[0].item())


@pytest.mark.parametrize(
    ("step", "advantage", "moves"),
    [(0.3, 1.0, False), (0.3, -1.0, True), (-0.3, 1.0, True), (-0.3, -1.0, False), (0.1, 1.0, True)],
)
def test_a_ratio_that_went_far_enough_is_cut(step: float, advantage: float, moves: bool) -> None:
    old = torch.tensor([-1.0])
    logprobs = (old + step).requires_grad_()
    outcome = group_loss(
        logprobs, torch.tensor([0]), torch.tensor([advantage]), torch.ones(1), old_per_token_logps=old
    )
    outcome.loss.backward()
    assert logprobs.grad is not None
    assert (logprobs.grad.abs().item() > 0) == moves
    assert outcome.clip_ratio == float(not moves)


def test_kl_is_the_k3_estimate_and_pulls_back() -> None:
    logprobs = torch.tensor([-1.0], requires_grad=True)
    reference = torch.tensor([-2.0])
    outcome = group_loss(
        logprobs,
        torch.tensor([0]),
        torch.zeros(1),
        torch.ones(1),
        ref_per_token_logps=reference,
        beta=0.5,
        loss_type="grpo",
    )
    assert outcome.kl == pytest.approx(math.exp(-1) + 1 - 1)
    assert outcome.loss.item() == pytest.approx(0.5 * math.exp(-1))
    outcome.loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.item() > 0
