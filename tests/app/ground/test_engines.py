"""The engine provider."""

import threading
import time
import weakref
from functools import partial
from typing import Any

import pytest

from app.ground.engines import EngineProvider, NotReady
from tempo_core.errors import CheckpointError, MemoryShortage
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
    began, gate, engines_made = threading.Event(), threading.Event(), list[Any]()

    def load() -> Any:
        if not engines_made:
            engines_made.append(FakeEngine())
            began.set()
            gate.wait(300)
            return engines_made[0]
        engines_made.append(FakeEngine())
        engines_made[-1].model_id = "newer"
        return engines_made[-1]

    engines = EngineProvider(load)
    engines.start()
    engines.reload()
    assert began.wait(300)
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


class Machine:
    """A machine whose memory holds so many bytes of models; engines leave it when nobody has them any more."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.engines: weakref.WeakSet[Any] = weakref.WeakSet()
        self.loads: list[str] = []

    def load(self, name: str, weight_bytes: int, *, is_damaged: bool = False) -> Any:
        missing = sum(engine.weight_bytes for engine in self.engines) + weight_bytes - self.size
        if missing > 0:
            raise MemoryShortage(f"The weights of {name} take too much.", missing_bytes=missing)
        self.loads.append(name)
        if is_damaged:
            raise CheckpointError(f"{name} is damaged.")
        engine = FakeEngine()
        engine.model_id, engine.weight_bytes = name, weight_bytes  # type: ignore[misc]
        self.engines.add(engine)
        return engine

    def serving(self, name: str, weight_bytes: int) -> EngineProvider:
        engines = EngineProvider(partial(self.load, name, weight_bytes), name=name)
        engines.start()
        assert engines.wait(300)
        return engines


def test_a_model_that_fits_only_by_itself_takes_the_served_ones_place() -> None:
    machine, departures = Machine(10), list[str]()
    engines = machine.serving("old", 6)
    engines.on_departure = departures.append
    question = engines.get()  # somebody is being answered
    engines.serve("large", partial(machine.load, "large", 9))
    while engines.status.state != "loading":
        time.sleep(0.01)
    assert "takes the place of old" in engines.status.message
    with pytest.raises(NotReady, match="holds one of them"):
        engines.get()
    assert not engines.wait(0.5), "the last answer is waited for"
    assert question.model_id == "old"
    del question
    assert engines.wait(300)
    assert (engines.get().model_id, engines.name, engines.status.state) == ("large", "large", "ready")
    assert (engines.problem, engines.loading, departures) == ("", None, ["old"])


def test_a_served_model_comes_back_where_the_other_cannot_be_loaded() -> None:
    machine = Machine(10)
    engines = machine.serving("old", 6)
    engines.serve("large", partial(machine.load, "large", 9, is_damaged=True))
    assert engines.wait(300)
    assert machine.loads == ["old", "large", "old"]
    assert (engines.get().model_id, engines.name, engines.status.state) == ("old", "old", "ready")
    assert engines.problem == "large could not be loaded: large is damaged."


def test_a_served_model_stays_where_its_room_is_not_enough() -> None:
    machine = Machine(10)
    engines = machine.serving("old", 6)
    served = engines.get()
    engines.serve("huge", partial(machine.load, "huge", 11))
    assert engines.wait(300)
    assert engines.get() is served
    assert machine.loads == ["old"]
    assert "take too much" in engines.problem


def test_models_asked_beside_the_served_one_go_before_it() -> None:
    machine = Machine(10)
    engines = machine.serving("old", 4)
    served = engines.get()
    engines.other("beside", partial(machine.load, "beside", 3))
    engines.serve("next", partial(machine.load, "next", 5))
    assert engines.wait(300)
    assert engines.get().model_id == "next"
    assert engines.loaded("beside") is None
    assert served.model_id == "old", "it was held here all the while, and stood in nobody's way"


def test_a_server_stays_up_when_neither_model_can_be_loaded_any_more() -> None:
    machine, failures = Machine(10), list[Exception]()
    engines = EngineProvider(partial(machine.load, "old", 6), name="old", on_failure=failures.append)
    engines.start()
    assert engines.wait(300)

    def load() -> Any:
        engine = machine.load("large", 9)
        machine.size = 5  # the old one finds no room any more
        raise CheckpointError(f"{engine.model_id} is damaged.")

    engines.serve("large", load)
    assert engines.wait(300)
    assert engines.status.state == "failed"
    assert failures == []
    engines.serve("small", partial(machine.load, "small", 1))
    assert engines.wait(300)
    assert engines.get().model_id == "small"
