"""The run that each open browser tab has, so that it can be stopped. Only touched on the event loop, hence
no lock.
"""

import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from app.auth.users import User
from app.ui.handlers import Changes


class Tabs:
    """Cancel events by user and tab, and what a tab shows since its run was replaced by no other run."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], threading.Event] = {}
        self._shown: dict[tuple[str, str], Changes] = {}

    def begin(self, user: User, request: Any) -> threading.Event:
        """A new run's cancel event; the tab's former run is cancelled."""
        self.cancel(user, request)
        event = threading.Event()
        self._running[_tab(user, request)] = event
        return event

    def show(self, user: User, request: Any, changes: Changes) -> None:
        """The tab shows what these changes make of it; its run is cancelled and repeats them as its last words.

        What it said before may still be on its way: Gradio prepares it for the browser beside everything else, and
        sends it behind these changes when the machine is busy.
        """
        self.begin(user, request)
        self._shown[_tab(user, request)] = changes

    def cancel(self, user: User, request: Any) -> None:
        """Stop the tab's run, if there is one."""
        self._shown.pop(_tab(user, request), None)
        event = self._running.pop(_tab(user, request), None)
        if event is not None:
            event.set()

    def is_replaced(self, user: User, request: Any, event: threading.Event) -> bool:
        """Whether another run began in the run's tab since: what this one has to say is shown no more."""
        return self._running.get(_tab(user, request), event) is not event

    async def changes_of(
        self,
        user: User,
        request: Any,
        event: threading.Event,
        changes: AsyncGenerator[Changes, None],
        nothing: Changes,
    ) -> AsyncGenerator[Changes, None]:
        """A run's changes of the page; `nothing` from when another run begins in the tab, or what the tab shows
        instead. The run has ended then.

        At its end Gradio sends what a handler yielded last once more, which must be nothing by then.
        """
        try:
            async with aclosing(changes):
                async for change in changes:
                    if self.is_replaced(user, request, event):
                        break
                    yield change
            if self.is_replaced(user, request, event):
                yield self._shown.get(_tab(user, request), nothing)
        finally:
            self.end(user, request, event)

    def end(self, user: User, request: Any, event: threading.Event) -> None:
        """Stop a run, because its follower is done or gone, and forget it."""
        event.set()
        if self._running.get(_tab(user, request)) is event:
            del self._running[_tab(user, request)]


def _tab(user: User, request: Any) -> tuple[str, str]:
    return user.id, str(request.session_hash)
