"""Contexts belong to their asker, expire, and are few."""

from types import SimpleNamespace

import pytest

from app.ground.contexts import ContextGone, ContextStore


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_only_the_asker_gets_it_back() -> None:
    store = ContextStore()
    entry = store.add("alice", "clip", "key", "context")
    assert store.get("alice", entry.id).context == "context"
    assert store.find("alice", "key") is entry
    assert store.find("bob", "key") is None
    with pytest.raises(ContextGone) as foreign:
        store.get("bob", entry.id)
    with pytest.raises(ContextGone) as unknown:
        store.get("bob", "no-such-id")
    assert str(foreign.value) == str(unknown.value)


def test_what_a_model_has_seen_goes_with_it() -> None:
    store = ContextStore()
    contexts = {name: SimpleNamespace(model_id=name) for name in ("old", "other")}
    entries = {name: store.add("alice", "clip", name, context) for name, context in contexts.items()}
    store.forget("old")
    assert store.find("alice", "old") is None
    assert store.get("alice", entries["other"].id).context is contexts["other"]


def test_the_longest_unused_make_room_for_so_many_bytes() -> None:
    clock = Clock()
    store = ContextStore(clock=clock)
    for number in range(3):
        clock.now_s = number
        store.add("alice", "clip", number, SimpleNamespace(cache_bytes=lambda: 100))
    assert not store.make_room(301)
    assert len(store) == 3
    assert store.make_room(150)
    assert [store.find("alice", number) is not None for number in range(3)] == [False, False, True]


def test_expires_when_unused() -> None:
    clock = Clock()
    store = ContextStore(ttl_s=10, clock=clock)
    entry = store.add("alice", "clip", "key", "context")
    clock.now_s = 9
    store.get("alice", entry.id)
    clock.now_s = 18
    store.get("alice", entry.id)
    clock.now_s = 29
    with pytest.raises(ContextGone):
        store.get("alice", entry.id)
    assert len(store) == 0


def test_the_least_recently_used_makes_room() -> None:
    clock = Clock()
    store = ContextStore(limit=3, per_owner=2, clock=clock)
    first = store.add("alice", "clip", 1, None)
    clock.now_s = 1
    second = store.add("alice", "clip", 2, None)
    clock.now_s = 2
    store.get("alice", first.id)
    clock.now_s = 3
    store.add("alice", "clip", 3, None)
    assert store.find("alice", 1) is first
    assert store.find("alice", 2) is None
    with pytest.raises(ContextGone):
        store.get("alice", second.id)
    clock.now_s = 4
    store.add("bob", "clip", 4, None)
    store.add("bob", "clip", 5, None)
    assert len(store) == 3


def test_only_the_owner_drops_it() -> None:
    store = ContextStore()
    entry = store.add("alice", "clip", "key", None)
    store.drop("bob", entry.id)
    assert len(store) == 1
    store.drop("alice", entry.id)
    assert len(store) == 0
