"""The engine provider: loads the model in the background while the page is already up, and again on request."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tempo_core.errors import InputError, TempoError

logger = logging.getLogger(__name__)


class NotReady(InputError):
    """The model is still loading, or could not be loaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineStatus:
    """What the page says about the model."""

    state: str
    """"loading", "ready" or "failed"."""
    message: str
    model_id: str | None = None


class EngineProvider:
    """Holds one engine; `start` loads it in a thread, `get` hands it out once it is there."""

    def __init__(
        self, load: Callable[[], Any], *, on_failure: Callable[[Exception], None] | None = None
    ) -> None:
        self._load, self._on_failure = load, on_failure
        self._engine: Any = None
        self._status = EngineStatus(state="loading", message="The model is loading.")
        self._settled = threading.Event()
        self._thread: threading.Thread | None = None
        self._reloading: threading.Thread | None = None
        self._reload_requests = 0
        self._lock = threading.Lock()

    @classmethod
    def of(cls, engine: Any) -> "EngineProvider":
        """A provider of an engine that is already there."""
        provider = cls(lambda: engine)
        provider._run()
        return provider

    @property
    def status(self) -> EngineStatus:
        return self._status

    def start(self) -> None:
        """Begin loading; returns at once, and a second call does nothing."""
        if self._thread is None and not self._settled.is_set():
            self._thread = threading.Thread(target=self._run, name="tempo-load", daemon=True)
            self._thread.start()

    def reload(self) -> None:
        """Load again in the background, for example after another adapter was promoted; returns at once.

        The present engine answers until the new one is there, and goes on if it cannot be loaded. A reload
        asked for while one runs follows it.
        """
        with self._lock:
            self._reload_requests += 1
            if self._reloading is None or not self._reloading.is_alive():
                self._reloading = threading.Thread(target=self._reload, name="tempo-reload", daemon=True)
                self._reloading.start()

    def _reload(self) -> None:
        if self._thread is not None:
            self._settled.wait()  # the first load is under way: two at once, and the older might win
        while True:
            with self._lock:
                requests = self._reload_requests
            try:
                self._load_engine()
            except Exception as error:  # as in _run: a thread has no caller
                logger.error("loading the model again failed; the present one goes on", exc_info=error)
                if self._engine is not None:
                    model_id = str(self._engine.model_id)
                    message = f"{model_id} answers: the promoted adapter could not be loaded."
                    self._status = EngineStatus(state="ready", message=message, model_id=model_id)
            with self._lock:
                if self._reload_requests == requests:
                    self._reloading = None
                    return

    def wait_reloaded(self, timeout_s: float | None = None) -> bool:
        """Whether no reload runs within `timeout_s` seconds."""
        thread = self._reloading
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether loading ended, well or badly, within `timeout_s` seconds."""
        return self._settled.wait(timeout_s)

    def get(self) -> Any:
        """The engine. Raises NotReady while there is none."""
        if self._engine is None:
            raise NotReady(self._status.message)
        return self._engine

    def _load_engine(self) -> None:
        engine = self._load()
        self._engine = engine
        model_id = str(engine.model_id)
        self._status = EngineStatus(state="ready", message=f"{model_id} is ready.", model_id=model_id)

    def _run(self) -> None:
        try:
            self._load_engine()
        except Exception as error:  # a thread has no caller: the status and on_failure are where it goes
            if not isinstance(error, TempoError):
                logger.exception("loading the model failed")
            self._status = EngineStatus(
                state="failed", message="The model could not be loaded, so questions cannot be answered."
            )
            if self._on_failure is not None:
                self._on_failure(error)
        finally:
            self._settled.set()
