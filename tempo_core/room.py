"""Room for a clip's context on its model's device: held against what is free before anything is computed, and told as
a sentence with a remedy where it runs out nevertheless."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from tempo_core.errors import MemoryShortage
from tempo_core.loading import free_bytes, return_freed_memory

if TYPE_CHECKING:
    from tempo_core.loading import LoadedModel

P = ParamSpec("P")
R = TypeVar("R")

REMEDY = "Give fewer frames (--fps, or a longer sampling step) or a smaller token budget (--token-budget)"


def context_bytes(loaded: "LoadedModel", tokens: int, visual_tokens: int) -> int:
    """What a context of so many tokens takes while it is asked: its visual tokens, its keys and values, and the copy of
    these that grows with a question, because the context itself stays as it was."""
    family, config = loaded.family, loaded.model.config
    number_bytes = loaded.model.dtype.itemsize
    cache = family.cache_bytes(config.get_text_config(), tokens, number_bytes)
    return 2 * cache + visual_tokens * family.token_numbers(config) * number_bytes


def check_room(loaded: "LoadedModel", tokens: int, visual_tokens: int) -> None:
    """Raise MemoryShortage where the model's device has no room for a context of so many tokens."""
    device = str(loaded.model.device)
    needed, free = context_bytes(loaded, tokens, visual_tokens), free_bytes(device)
    if needed <= free:
        return
    fitting = f"{int(visual_tokens * free / needed):.2g}"  # two digits: nobody knows it better
    raise MemoryShortage(
        f"This clip's {tokens:,} tokens take {needed / 1e9:.1f} GB while they are asked about, and {free / 1e9:.1f} GB "
        f"are free on {device}. {REMEDY}: about {int(float(fitting)):,} visual tokens fit.",
        missing_bytes=needed - free,
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it is what Python, numpy or torch raise where memory runs out."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


def shortage(work: str) -> MemoryShortage:
    """What is said where memory ran out although it seemed to suffice; what is free again is given back."""
    return_freed_memory()
    return MemoryShortage(f"The memory ran out while {work}. {REMEDY}, or ask again when less is going on.")


def telling_shortage(encode: Callable[P, R]) -> Callable[P, R]:
    """`encode` with MemoryShortage for what `is_out_of_memory`."""

    @wraps(encode)
    def attempt(*args: P.args, **options: P.kwargs) -> R:
        try:
            return encode(*args, **options)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # raised here, behind the handler: the first error's traceback would hold on to what was computed so far
        raise shortage("the clip was read")

    return attempt
