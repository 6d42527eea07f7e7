"""torch and transformers are imported by one thread at a time.

A server answers while its model is being loaded. Two threads that import transformers at once find it half there
(ImportError: partially initialized module), and the model is lost: whoever may be the first to need it imports it here.
"""

import threading

_LOCK = threading.Lock()


def import_models() -> None:
    """Import what models need. Seconds the first time, nothing afterwards; a thread waits for one that is at it."""
    with _LOCK:
        import tempo_core.engine  # noqa: F401
