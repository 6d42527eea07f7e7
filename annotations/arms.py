"""Arms: what an annotator is shown before they answer a row, and how that is drawn. Pure functions.

Permuted blocks (Matts and Lachin, Controlled Clinical Trials 9, 1988): of every BLOCK rows that an annotator draws,
each arm gets its share, in random order. The randomness comes from a seed of the store and the number of the draw in
it, so that no name plays a part.
"""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

from tempo_core.errors import InputError

Arm = Literal["blind", "original-first", "model-first"]
ARMS: tuple[Arm, ...] = get_args(Arm)

BLIND_SHARE = 0.2
"""Unless the store says otherwise."""
BLOCK = 20
"""Draws of an annotator after which the shares hold exactly: a tenth is two of them, and what it leaves is even."""


def check_blind_share(share: float) -> None:
    """Raise InputError unless the share is a whole number of tenths, 0 to 1."""
    if not 0 <= share <= 1 or abs(10 * share - round(10 * share)) > 1e-9:
        raise InputError(f"The share of blind rows is {share}; give 0, 0.1, 0.2, ... or 1.")


def draw_arm(previous: Sequence[str], *, blind_share: float, seed: int, number: int) -> Arm:
    """An annotator's next arm. `blind_share` of the rows are blind, the others are halved.

    `previous` are the arms that they have drawn, oldest first; `number` counts everybody's draws. Raises InputError.
    """
    check_blind_share(blind_share)
    num_blind = round(BLOCK * blind_share)
    num_others = (BLOCK - num_blind) // 2
    block: Counter[Arm] = Counter(
        {"blind": num_blind, "original-first": num_others, "model-first": num_others}
    )
    counts = Counter(previous[len(previous) - len(previous) % BLOCK :])
    arms = [arm for arm in ARMS for _ in range(block[arm] - counts[arm])]
    # There is none when the share was changed within a block.
    return random.Random(f"{seed}/{number}").choice(arms or list(block.elements()))
