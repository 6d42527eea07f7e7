"""The run that a browser tab has."""

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

from app.auth.users import LOCAL_USER
from app.ui.tabs import Tabs

NOTHING: dict[Any, Any] = {"status": "as it is"}
TAB = SimpleNamespace(session_hash="tab")


async def run(count: int) -> AsyncGenerator[dict[Any, Any], None]:
    for number in range(count):
        yield {"status": number}


def test_a_run_says_what_it_has_to_say_and_has_ended() -> None:
    async def main() -> list[dict[Any, Any]]:
        tabs = Tabs()
        cancel = tabs.begin(LOCAL_USER, TAB)
        changes = [change async for change in tabs.changes_of(LOCAL_USER, TAB, cancel, run(2), NOTHING)]
        assert cancel.is_set()
        return changes

    assert asyncio.run(main()) == [{"status": 0}, {"status": 1}]


def test_a_run_that_another_replaced_says_nothing_more() -> None:
    async def main() -> list[dict[Any, Any]]:
        tabs, changes = Tabs(), []
        cancel = tabs.begin(LOCAL_USER, TAB)
        async for change in tabs.changes_of(LOCAL_USER, TAB, cancel, run(9), NOTHING):
            changes.append(change)
            if change == {"status": 1}:
                other = tabs.begin(LOCAL_USER, TAB)
        assert cancel.is_set()
        assert not other.is_set()
        assert tabs.is_replaced(LOCAL_USER, TAB, cancel)
        return changes

    assert asyncio.run(main()) == [{"status": 0}, {"status": 1}, NOTHING]


def test_a_run_repeats_what_the_tab_shows_instead_also_at_its_very_end() -> None:
    """Its own words may reach the browser behind those that took their place."""

    async def main(count: int) -> list[dict[Any, Any]]:
        tabs, changes = Tabs(), []
        cancel = tabs.begin(LOCAL_USER, TAB)
        async for change in tabs.changes_of(LOCAL_USER, TAB, cancel, run(count), NOTHING):
            changes.append(change)
            if change == {"status": 1}:
                tabs.show(LOCAL_USER, TAB, {"status": "choose a clip"})
        assert cancel.is_set()
        return changes

    for count in (2, 9):
        assert asyncio.run(main(count)) == [{"status": 0}, {"status": 1}, {"status": "choose a clip"}]


def test_a_new_run_takes_the_place_of_what_the_tab_showed() -> None:
    async def main() -> list[dict[Any, Any]]:
        tabs, changes = Tabs(), []
        cancel = tabs.begin(LOCAL_USER, TAB)
        async for change in tabs.changes_of(LOCAL_USER, TAB, cancel, run(9), NOTHING):
            changes.append(change)
            if change == {"status": 0}:
                tabs.show(LOCAL_USER, TAB, {"status": "choose a clip"})
                tabs.begin(LOCAL_USER, TAB)
        return changes

    assert asyncio.run(main()) == [{"status": 0}, NOTHING]
