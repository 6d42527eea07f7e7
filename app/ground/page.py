"""The ground page: a clip and a question in one form, one action, and the answer on a timeline.

Handlers are generators that turn the service's events into what the page shows. A run belongs to one browser
tab: a new question, the Cancel button, another clip and a closed tab all stop it.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import gradio as gr

from app.auth.users import Authenticator, Role, User
from app.ground.examples import Example
from app.ground.layout import GroundView, TabState
from app.ground.service import GroundingService, ModelFailure, Outcome, Question, Settings
from app.ground.view import (
    EMPTY_RESULT,
    IDLE_LINE,
    compared_line,
    done_line,
    model_html,
    progress_line,
    results_html,
    status_html,
)
from app.http.errors import user_message
from app.job_queue import Progress
from app.library.service import LibraryService, LibraryStatus
from app.library.view import MAX_SHOWN, answer_line, index_html, ranked_json
from app.media.library import Clip
from app.timeline import empty_value, error_value, lane_part, loading_value, timeline_value
from app.ui.charts import allocation_figure, sizes_figure
from app.ui.handlers import QUICK, Changes
from app.ui.tabs import Tabs
from tempo_core.errors import Cancelled, InputError
from tempo_core.moments import Moment


class GroundPage:
    """The page's handlers; `build` lays it out and wires them."""

    title, path, role = "Ground", "/", Role.VISITOR

    def __init__(
        self,
        service: GroundingService,
        authenticator: Authenticator,
        examples: list[Example],
        library: LibraryService | None = None,
    ) -> None:
        """`library` has the folders that may be asked as a whole; None: there are none."""
        self.service, self.authenticator, self.examples = service, authenticator, examples
        self.library = library
        self.tabs = Tabs()
        self.view: GroundView

    def routes(self) -> None:
        """None: the routes are those of `app.ground.api`."""

    def build(self, blocks: gr.Blocks) -> None:
        """Lay the page out inside `blocks` and connect every event."""
        libraries = [] if self.library is None else list(self.library.folders)
        view = self.view = GroundView(self.examples, libraries)
        gr.on(
            [view.ask.click, view.query.submit],
            self.ask,
            [*view.form, view.models, view.scope],
            [*view.outputs, view.head],
            api_name="page_ask",
            **QUICK,
        )
        quick = {**QUICK, "queue": False}
        view.cancel.click(self.cancel, None, None, **quick)
        view.clip.change(self.clip_changed, [view.clip, view.state], view.outputs, **quick)
        view.cards.select(self.choose_example, None, [view.clip, view.query], **quick)
        scoped = [view.clip, view.cards, view.models, view.settings, view.library_line, view.ticker]
        view.scope.change(self.scope_changed, view.scope, [*scoped, *view.outputs], **quick)
        view.ranked.select(self.open_moment, view.state, [*view.outputs, view.head], **QUICK)
        status = [view.head, view.ticker, view.models, view.library_line]
        view.ticker.tick(self.model_status, view.scope, status, **quick)
        blocks.load(self.arrive, None, [*status, *view.outputs], **quick)
        blocks.unload(self.leave)

    async def ask(
        self,
        clip: str | None,
        query: str,
        token_budget: float | None,
        allocator: str,
        step_s: float | None,
        n_best: float,
        models: list[str] | None,
        scope: str | None,
        request: gr.Request,
    ) -> AsyncIterator[Changes]:
        """Answer the form; role visitor."""
        try:
            user = self.authenticator.require(request, Role.VISITOR)
            if scope:
                async for change in self._ask_library(user, scope, query or "", request):
                    yield change
                return
            if not clip:
                raise InputError(
                    "There is no clip yet. Upload one, record one, or choose an example, then ask."
                )
            settings = Settings.read(token_budget, allocator, step_s, n_best)
            question = Question(source=Path(clip), query=query or "", settings=settings)
        except Exception as error:
            # The question could not be taken; what is on the page stays.
            yield {self.view.status: status_html(user_message(error), error=True)}
            return
        cancel = self.tabs.begin(user, request)
        names = list(dict.fromkeys(models or [""]))
        steps = self.service.ground_each(user, question, names, cancel)
        page_changes = self._show(steps, query, TabState(source=clip), is_comparison=len(names) > 1)
        try:
            async with aclosing(page_changes) as changes:
                async for change in changes:
                    yield change
        finally:
            self.tabs.end(user, request, cancel)

    async def _ask_library(
        self, user: User, name: str, query: str, request: gr.Request
    ) -> AsyncGenerator[Changes, None]:
        """Answer a question to all clips of a folder."""
        view = self.view
        if self.library is None:
            raise InputError("No folder of clips is offered here. Reload the page.")
        cancel = self.tabs.begin(user, request)
        running = {view.ask: gr.update(interactive=False), view.cancel: gr.update(interactive=True)}
        try:
            async with aclosing(self.library.ask(user, name, query, cancel)) as steps:
                async for step in steps:
                    if isinstance(step, Progress):
                        line = "Asking every clip." if step.stage == "answering" else progress_line(step)
                        yield {view.status: status_html(line, progress=step), **running}
                        running = {}
                        continue
                    shown = step.moments[:MAX_SHOWN]
                    value = ranked_json(step, self.library.pictures(step, shown))
                    yield {
                        **self._cleared(),
                        view.timeline: empty_value("Choose a moment above: its clip is shown here."),
                        view.status: status_html(answer_line(step), done=True),
                        view.ranked: gr.update(value=value, visible=step.is_understood),
                        view.state: TabState(library=name, library_answer=step),
                        **self._buttons("Ask another"),
                    }
        except Cancelled:
            yield {
                view.status: status_html("Cancelled. The question is still there."),
                **self._buttons("Ask"),
            }
        except Exception as error:
            yield {view.status: status_html(user_message(error), error=True), **self._buttons("Ask")}
        finally:
            self.tabs.end(user, request, cancel)

    async def open_moment(
        self, state: TabState, request: gr.Request, event: gr.EventData
    ) -> AsyncIterator[Changes]:
        """Show a listed moment's clip, at the moment; role visitor."""
        user = self.authenticator.require(request, Role.VISITOR)
        rank, answer = int(event._data["rank"]), state.library_answer
        if self.library is None or answer is None or not 0 <= rank < len(answer.moments):
            return
        item = answer.moments[rank]
        cancel = self.tabs.begin(user, request)
        steps = self.service.ground(user, self.library.question(state.library, item, answer.query), cancel)
        changes = self._show(steps, answer.query, state, is_comparison=False, selected=item.moment)
        try:
            async with aclosing(changes):
                async for change in changes:
                    yield change
        finally:
            self.tabs.end(user, request, cancel)

    async def scope_changed(self, scope: str | None, request: gr.Request) -> Changes:
        """Look at one clip, or at all clips of a folder; role visitor."""
        self.tabs.cancel(self.authenticator.require(request, Role.VISITOR), request)
        view, is_single = self.view, not scope
        status = self._library_status(scope)
        idle: Changes = {}
        if scope:
            idle = {
                view.status: status_html(f"Write what to look for in all clips of {scope}, and press Ask."),
                view.timeline: empty_value(
                    "Moments of all clips are listed above. One that you choose opens here."
                ),
            }
        return {
            **self._cleared(),
            **idle,
            view.clip: gr.update(visible=is_single),
            view.cards: gr.update(visible=is_single and bool(self.examples)),
            view.models: gr.update(visible=is_single and bool(self.service.offered())),
            view.settings: gr.update(visible=is_single),
            view.library_line: gr.update(value=index_html(status), visible=not is_single),
            view.ticker: gr.Timer(active=True),
        }

    def _library_status(self, scope: str | None) -> LibraryStatus | None:
        statuses = [] if self.library is None else self.library.statuses()
        return next((status for status in statuses if status.name == scope), None)

    async def _show(
        self,
        steps: AsyncIterator[Progress | Clip | Outcome | ModelFailure],
        query: str,
        state: TabState,
        *,
        is_comparison: bool,
        selected: Moment | None = None,
    ) -> AsyncGenerator[Changes, None]:
        """The service's events as changes of the page. Before the first event nothing of an earlier result changes.

        `selected` is the moment that the timeline goes to.
        """
        view = self.view
        clip: Clip | None = None
        started = False
        outcomes: list[Outcome] = []
        failures: list[ModelFailure] = []
        answer_changes: Changes = {}
        try:
            async for step in steps:
                if isinstance(step, Progress):
                    changes: Changes = {view.status: status_html(progress_line(step), progress=step)}
                    if not started:
                        changes |= {
                            view.timeline: loading_value("Working on it.", query=query),
                            view.result: EMPTY_RESULT,
                            view.curves: None,
                            view.sizes: None,
                            view.state: state,
                            view.ask: gr.update(interactive=False),
                            view.cancel: gr.update(interactive=True),
                            view.head: model_html(self.service.engines.status),
                        }
                    started = True
                    yield changes
                elif isinstance(step, Clip):
                    clip = step
                    if not outcomes:
                        yield {view.timeline: loading_value("Looking at the clip.", query=query, clip=clip)}
                elif isinstance(step, ModelFailure):
                    failures.append(step)
                else:
                    outcomes.append(step)
                    first = outcomes[0]
                    value = timeline_value(first.answer, first.clip, first.strip, first.context)
                    if selected in first.answer.moments:
                        value["selected"] = first.answer.moments.index(selected)
                    if len(outcomes) + len(failures) > 1:
                        value["lanes"] = [lane_part(outcome.answer) for outcome in outcomes]
                    answer_changes = {
                        view.timeline: value,
                        view.curves: allocation_figure(value["frames"], value["moments"]),
                        view.sizes: sizes_figure(value["frames"]),
                        view.state: replace(state, context_id=first.context_id),
                    }
                    if is_comparison:
                        yield {**answer_changes, view.result: results_html(outcomes, failures)}
            line = compared_line(outcomes, failures) if is_comparison else done_line(outcomes[0])
            yield {
                **answer_changes,
                view.status: status_html(line, done=True),
                view.result: results_html(outcomes, failures),
                **self._buttons("Ask another"),
            }
        except Cancelled:
            line = status_html("Cancelled. The clip and the question are still there.")
            cleared = self._cleared()
            if state.library:  # the list of moments stays
                cleared |= {view.state: state, view.ranked: gr.skip()}
            yield {**cleared, view.status: line}
        except Exception as error:
            message = user_message(error)
            changes = {view.status: status_html(message, error=True)}
            if started:
                changes |= {
                    view.timeline: error_value(message, query=query, clip=clip),
                    view.result: EMPTY_RESULT,
                    view.state: state if state.library else TabState(),
                    **self._buttons("Ask"),
                }
            yield changes

    def _buttons(self, label: str) -> Changes:
        """No run: the question can be asked, and there is nothing to cancel."""
        return {
            self.view.ask: gr.update(interactive=True, value=label),
            self.view.cancel: gr.update(interactive=False),
        }

    def _cleared(self) -> Changes:
        view = self.view
        return {
            view.timeline: empty_value(),
            view.status: status_html(IDLE_LINE),
            view.result: EMPTY_RESULT,
            view.curves: None,
            view.sizes: None,
            view.state: TabState(),
            view.ranked: gr.update(value="null", visible=False),
            **self._buttons("Ask"),
        }

    async def cancel(self, request: gr.Request) -> None:
        """Stop this tab's run; role visitor."""
        self.tabs.cancel(self.authenticator.require(request, Role.VISITOR), request)

    async def clip_changed(self, clip: str | None, state: TabState, request: gr.Request) -> Changes:
        """Another clip: stop what runs, forget the old context, clear the result; role visitor."""
        user = self.authenticator.require(request, Role.VISITOR)
        if clip is not None and clip == state.source:
            return {self.view.status: gr.skip()}
        self.tabs.cancel(user, request)
        if state.context_id:
            self.service.contexts.drop(user.id, state.context_id)
        return self._cleared()

    async def choose_example(self, request: gr.Request, event: gr.EventData) -> Changes:
        """Put an example's clip and question into the form; role visitor."""
        self.authenticator.require(request, Role.VISITOR)
        example = self.examples[int(event._data["clip"])]
        changes: Changes = (
            {self.view.query: example.questions[int(event._data["question"])]} if example.questions else {}
        )
        if not event._data["keep_clip"]:
            changes[self.view.clip] = str(example.path)
        return changes

    async def model_status(self, scope: str | None, request: gr.Request) -> Changes:
        """How the model and the folder in question are; asked again until they are settled. Role visitor."""
        self.authenticator.require(request, Role.VISITOR)
        status, library_status = self.service.engines.status, self._library_status(scope)
        is_indexing = library_status is not None and library_status.is_indexing
        offered = self.service.offered()
        choices = [(f"{self.service.engines.name} (served)", ""), *((name, name) for name in offered)]
        return {
            self.view.head: model_html(status),
            self.view.ticker: gr.Timer(active=status.state == "loading" or is_indexing),
            self.view.models: gr.skip()
            if scope
            else gr.update(choices=choices, value=[""], visible=bool(offered)),
            self.view.library_line: gr.update(value=index_html(library_status)),
        }

    async def arrive(self, request: gr.Request) -> Changes:
        """A fresh page: nothing of anybody else's is baked into it. Role visitor."""
        return {**await self.model_status(None, request), **self._cleared()}

    async def leave(self, request: gr.Request) -> None:
        """The tab was closed."""
        user: User | None = self.authenticator.resolve(request)
        if user is not None:
            self.tabs.cancel(user, request)
