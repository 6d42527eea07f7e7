"""Gradio handlers: who asks, what role they need, and what is said when something goes wrong, stated once."""

import inspect
from collections.abc import Callable
from functools import wraps
from operator import attrgetter
from typing import Any

import gradio as gr

from app.auth.users import Role
from app.http.errors import user_message
from app.ui.templates import status_html

Changes = dict[Any, Any]
"""New values by component: what a handler returns or yields."""

QUICK: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
"""Options of an event that shows its own progress, is no API endpoint, and may run many times at once."""


def handler(
    role: Role, *, line: str, clear: str | None = None
) -> Callable[[Callable[..., Changes]], Callable[..., Changes]]:
    """Make a page's method a Gradio handler for people with `role`.

    The method takes `user` where Gradio gives `request`. An error becomes a sentence on the component `view.<line>`
    and empties `view.<clear>`.

        @handler(Role.ANNOTATOR, line="figures.facts")
        def figures(self, user: User) -> Changes: ...
    """

    def decorate(method: Callable[..., Changes]) -> Callable[..., Changes]:
        signature = inspect.signature(method)
        place = list(signature.parameters).index("user") - 1  # among the inputs, without `self`

        @wraps(method)
        def handle(page: Any, *inputs: Any) -> Changes:
            try:
                user = page.authenticator.require(inputs[place], role)
                return method(page, *inputs[:place], user, *inputs[place + 1 :])
            except Exception as error:
                emptied = {} if clear is None else {attrgetter(clear)(page.view): None}
                return {**emptied, attrgetter(line)(page.view): status_html(user_message(error), error=True)}

        # Gradio finds the parameter that takes the request by its annotation.
        request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request)
        parameters = [request if name == "user" else p for name, p in signature.parameters.items()]
        handle.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        handle.__annotations__ = {**method.__annotations__, "request": gr.Request}
        return handle

    return decorate
