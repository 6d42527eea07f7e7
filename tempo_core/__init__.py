"""Grounding a sentence in a video: sampling, allocation, prompt, model, answer. Knows no database, no page, no
trainer.

    from tempo_core import ground, load_engine

`load_engine`, `open_backend`, `ground` and `Moment` are here for convenience; torch is imported when one of the first
three is used.
"""

import logging
import os
from typing import TYPE_CHECKING, Any

# Threads that wait for work sleep. By default they spin, and beside other busy processes a question took seventeen
# times as long (docs/experiments.md). OpenMP reads this once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Where a processor has bfloat16 instructions, bitsandbytes 0.50 wants a kernel of the package `kernels` and asks for
# it to be installed. Nothing here calls that kernel.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

if TYPE_CHECKING:
    from tempo_core.backend import open_backend
    from tempo_core.engine import ground, load_engine
    from tempo_core.moments import Moment

__all__ = ["Moment", "ground", "load_engine", "open_backend"]


def __getattr__(name: str) -> Any:
    """Import a convenience name when it is first asked for."""
    if name == "Moment":
        from tempo_core.moments import Moment

        return Moment
    if name == "open_backend":
        from tempo_core.backend import open_backend

        return open_backend
    if name in __all__:
        from tempo_core import engine

        return getattr(engine, name)
    raise AttributeError(f"module 'tempo_core' has no attribute {name!r}")
