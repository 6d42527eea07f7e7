"""Processes that start in milliseconds, since their server has imported what they need."""

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

_preloaded: list[tuple[str, ...]] = []


def processes_with(*modules: str) -> ForkServerContext:
    """A context whose server has imported `modules`.

    A server that runs already imports nothing more, and each process would do it for itself; so one with other modules
    is stopped, and the first process starts the next.
    """
    context = multiprocessing.get_context("forkserver")
    if _preloaded != [modules]:
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # there is no public way
        context.set_forkserver_preload(list(modules))
        _preloaded[:] = [modules]
    return context
