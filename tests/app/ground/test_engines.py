"""The engine provider."""

import threading
from typing import Any

import pytest

from app.ground.engines import EngineProvider, NotReady
from tempo_core.errors import CheckpointError
from tests.app.fakes import FakeEngine


def test_loads_in_the_background() -> None:
    gate = threading.Event()

    def load() -> Any:
        gate.wait(300)
        return FakeEngine()

    engines = EngineProvider(load)
    engines.start()
    engines.start()
    assert engines.status.state == "loading"
    with pytest.raises(NotReady, match="loading"):
        engines.get()
    gate.set()
    assert engines.wait(300)
    assert engines.status.state == "ready"
    assert engines.get().model_id == "fake-engine"


def test_says_that_loading_failed_without_saying_where() -> None:
    failures: list[Exception] = []

    def load() -> Any:
        raise CheckpointError("/secret/path/config.json is damaged.")

    engines = EngineProvider(load, on_failure=failures.append)
    engines.start()
    assert engines.wait(300)
    assert engines.status.state == "failed"
    assert "/secret" not in engines.status.message
    assert str(failures[0]) == "/secret/path/config.json is damaged."
    with pytest.raises(NotReady, match="could not be loaded"):
        engines.get()


def test_a_reload_waits_for_the_first_load() -> None:
    """Both at once would need memory for two models, and the older might win."""
    gate, engines_made = threading.Event(), list[Any]()

    def load() -> Any:
        if not engines_made:
            engines_made.append(FakeEngine())
            gate.wait(300)
            return engines_made[0]
        engines_made.append(FakeEngine())
        engines_made[-1].model_id = "newer"
        return engines_made[-1]

    engines = EngineProvider(load)
    engines.start()
    engines.reload()
    assert not engines.wait(0.2)
    assert len(engines_made) == 1
    gate.set()
    assert engines.wait(300)
    assert engines.get().model_id == "newer"


def test_a_reload_swaps_the_engine_and_keeps_the_old_one_when_it_fails() -> None:
    engines_made: list[Any] = []
    gate = threading.Event()

    def load() -> Any:
        if len(engines_made) == 2:
            raise CheckpointError("The adapter is damaged.")
        if engines_made:
            gate.wait(300)
        engine = FakeEngine()
        engine.model_id = f"fake-{len(engines_made)}"  # type: ignore[misc]
        engines_made.append(engine)
        return engine

    engines = EngineProvider(load)
    engines.start()
    assert engines.wait(300)
    engines.reload()
    assert engines.get().model_id == "fake-0"  # answers go on meanwhile
    gate.set()
    assert engines.wait(300)
    assert (engines.get().model_id, engines.status.model_id) == ("fake-1", "fake-1")
    engines.reload()
    assert engines.wait(300)
    assert engines.get().model_id == "fake-1"
    assert engines.status.state == "ready"
    assert "could not be loaded" in engines.status.message
