"""Which query is sampled when: a pure function of the seed and the place, whatever was stopped in between."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from tempo_core.errors import InputError
from train.data.encoding import Encoder
from train.data.examples import Example
from train.grpo.config import PirGrpoConfig


class Groups(torch.utils.data.Dataset[dict[str, Any]]):
    """Place -> the example to sample there; each step's queries come `updates` times. The next are decoded ahead."""

    def __init__(
        self,
        examples: Sequence[Example],
        encoder: Encoder,
        config: PirGrpoConfig,
        *,
        devices: int = 1,
        weights: Sequence[float] | None = None,
        ahead: int = 2,
    ) -> None:
        self._examples, self._encoder, self._ahead = examples, encoder, ahead
        self._a_step, self._updates = config.groups * devices, config.num_iterations
        self._length = config.steps * self._a_step
        self._order = row_order(len(examples), self._length, seed=config.seed, weights=weights)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tempo-decode")
        self._coming: dict[int, Future[dict[str, Any]]] = {}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, item: int) -> dict[str, Any]:
        for coming in range(item, min(item + 1 + self._ahead, self._length)):
            if coming not in self._coming:
                self._coming[coming] = self._pool.submit(self._make, coming)
        for passed in [each for each in self._coming if each < item]:
            self._coming.pop(passed).cancel()
        return self._coming.pop(item).result()

    def place(self, item: int) -> int:
        """The item's place in the order: items of one block of updates share it."""
        step, slot = divmod(item, self._a_step)
        return step // self._updates * self._a_step + slot

    def _make(self, item: int) -> dict[str, Any]:
        place = self.place(item)
        return {"place": place, "encoded": self._encoder.encode(self._examples[self._order[place]])}

    def close(self) -> None:
        """Stop decoding ahead."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def row_order(examples: int, length: int, *, seed: int, weights: Sequence[float] | None = None) -> list[int]:
    """Which example comes when: every one once an epoch, or drawn in proportion to weights. Pure in the seed."""
    shares = None
    if weights is not None:
        shares = np.asarray(weights, dtype=np.float64)
        if (
            len(shares) != examples
            or not np.isfinite(shares).all()
            or (shares < 0).any()
            or shares.sum() == 0
        ):
            raise InputError(
                "Sampling weights must be finite numbers, one a row, not negative and not all 0."
            )
        shares = shares / shares.sum()
    order: list[int] = []
    for epoch in range(-(-length // examples)):
        rng = np.random.default_rng([seed, epoch])
        drawn = rng.permutation(examples) if shares is None else rng.choice(examples, size=examples, p=shares)
        order += drawn.tolist()
    return order[:length]


def only(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The group itself: one is one batch."""
    (item,) = items
    return item
