"""The ground page: a clip and a question in one form, one action, and the answer on a timeline.

Handlers are generators that turn the service's events into what the page shows. A run belongs to one browser
tab: a new question, the Cancel button, another clip and a closed tab all stop it.
"""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from app.auth.users import Authenticator, Role, User
from app.ground.answers import AnswerHistory, StoredAnswer
from app.ground.examples import Example
from app.ground.layout import GroundView, TabState
from app.ground.service import (
    DEFAULT_SETTINGS,
    Copied,
    FirstAnswer,
    GroundingService,
    ModelFailure,
    Outcome,
    Question,
    Settings,
    Step,
)
from app.ground.view import (
    EMPTY_RESULT,
    IDLE_LINE,
    RANKING_LINE,
    about_html,
    about_text,
    compared_line,
    copying_line,
    done_line,
    links_html,
    model_html,
    progress_line,
    results_html,
    status_html,
)
from app.http.errors import NoSuchFile, StorageFull, user_message
from app.job_queue import Progress
from app.library.service import LibraryService, LibraryStatus
from app.library.view import MAX_SHOWN, answer_line, index_html, ranked_json
from app.media.library import Clip
from app.timeline import empty_value, error_value, lane_part, loading_value, timeline_value
from app.timeline.value import clip_parts
from app.ui.charts import allocation_figure, sizes_figure
from app.ui.handlers import QUICK, Changes
from app.ui.tabs import Tabs
from tempo_core.errors import Cancelled, InputError, TempoError
from tempo_core.moments import Moment


class GroundPage:
    """The page's handlers; `build` lays it out and wires them."""

    title, path, role = "Ground", "/", Role.VISITOR

    def __init__(
        self,
        service: GroundingService,
        authenticator: Authenticator,
        examples: list[Example],
        answers: AnswerHistory,
        library: LibraryService | None = None,
    ) -> None:
        """`library` has the folders that may be asked as a whole; None: there are none."""
        self.service, self.authenticator, self.examples = service, authenticator, examples
        self.library = library
        self.answers = answers
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
            trigger_mode="multiple",  # another question ends the one that runs
            **QUICK,
        )
        quick = {**QUICK, "queue": False}
        view.cancel.click(self.cancel, None, None, **quick)
        view.clip.change(self.clip_changed, [view.clip, view.state], view.outputs, **quick)
        choice = {
            **quick,
            "trigger_mode": "always_last",
        }  # a choice made during another's answer is not dropped
        view.cards.select(self.choose_example, None, [view.clip, view.query], **choice)
        view.cards.submit(
            self.ask_example,
            [*view.form, view.models],
            [*view.outputs, view.head, view.clip, view.query],
            trigger_mode="multiple",
            **QUICK,
        )
        scoped = [view.clip, view.cards, view.models, view.settings, view.library_line, view.library_ticker]
        view.scope.change(self.scope_changed, view.scope, [*scoped, *view.outputs], **quick)
        opened = [*view.outputs, view.head]
        view.ranked.select(self.open_moment, view.state, opened, trigger_mode="always_last", **QUICK)
        model = [view.head, view.about, view.ticker, view.models]
        view.ticker.tick(self.model_status, [view.state, view.scope], [*model, view.timeline], **quick)
        view.library_ticker.tick(
            self.library_status, view.scope, [view.library_line, view.library_ticker], **quick
        )
        blocks.load(
            self.arrive,
            [view.state, view.opening],
            [*model, *view.outputs, view.clip, view.query],
            js="(state) => [state, new URLSearchParams(location.search).get('answer') ?? '']",
            **quick,
        )
        view.earlier.select(self.open_answer, None, [*view.outputs, view.clip, view.query], **choice)
        links = [view.state, view.result, view.share, view.unshare, view.status]
        view.share.click(self.make_link, view.state, links, **quick)
        view.unshare.click(self.end_link, view.state, links, **quick)
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
    ) -> AsyncGenerator[Changes, None]:
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
        # The clip's own event may come after the question; it must not take this clip for another one.
        yield {self.view.state: TabState(source=clip)}
        names = list(dict.fromkeys(models or [""]))

        async def steps() -> AsyncGenerator[Step | ModelFailure, None]:
            async for progress in self.service.when_loaded(cancel):
                yield progress
            async with aclosing(self.service.ground_each(user, question, names, cancel)) as answers:
                async for step in answers:
                    yield step

        def copies(clip: Clip) -> AsyncGenerator[Progress | Copied, None]:
            return self.service.make_copy(user, clip, question.source, cancel)

        page_changes = self._show(
            user,
            steps(),
            copies,
            query,
            TabState(source=clip),
            is_comparison=len(names) > 1,
            settings=settings,
        )
        async with aclosing(
            self.tabs.changes_of(user, request, cancel, page_changes, self._nothing())
        ) as changes:
            async for change in changes:
                yield change

    async def ask_example(
        self,
        clip: str | None,
        query: str,
        token_budget: float | None,
        allocator: str,
        step_s: float | None,
        n_best: float,
        models: list[str] | None,
        request: gr.Request,
        event: gr.EventData,
    ) -> AsyncGenerator[Changes, None]:
        """Put an example's clip and question into the form, and answer them; role visitor."""
        self.authenticator.require(request, Role.VISITOR)
        example = self.examples[int(event._data["clip"])]
        question = example.questions[int(event._data["question"])]
        source = self._example_source(example)
        # The state goes along, so that the clip's own event does not take this clip for another one.
        changes: Changes = {self.view.query: question, self.view.state: TabState(source=source)}
        yield changes if clip == source else {**changes, self.view.clip: source}
        run = self.ask(source, question, token_budget, allocator, step_s, n_best, models, None, request)
        async with aclosing(run) as answers:
            async for change in answers:
                yield change

    def _example_source(self, example: Example) -> str:
        """The example among the uploads, where Gradio would put it."""
        assert self.service.uploads is not None, "a page that shows examples takes uploads"
        return save_file_to_cache(example.path, str(self.service.uploads.folder))

    async def _ask_library(
        self, user: User, name: str, query: str, request: gr.Request
    ) -> AsyncGenerator[Changes, None]:
        """Answer a question to all clips of a folder."""
        if self.library is None:
            raise InputError("No folder of clips is offered here. Reload the page.")
        cancel = self.tabs.begin(user, request)
        page_changes = self._show_library_answer(user, name, query, cancel)
        async with aclosing(
            self.tabs.changes_of(user, request, cancel, page_changes, self._nothing())
        ) as changes:
            async for change in changes:
                yield change

    async def _show_library_answer(
        self, user: User, name: str, query: str, cancel: threading.Event
    ) -> AsyncGenerator[Changes, None]:
        """The library's events as changes of the page."""
        view = self.view
        assert self.library is not None, "only a page with folders has a scope"
        running = {view.ask: gr.update(interactive=False), view.cancel: gr.update(interactive=True)}
        try:
            async with aclosing(self.library.ask(user, name, query, cancel)) as steps:
                async for step in steps:
                    if isinstance(step, Progress):
                        line = "Asking every clip." if step.stage == "answering" else progress_line(step)
                        yield {view.status: status_html(line, progress=step), **running}
                        running = {}
                        continue
                    moments = step.moments[:MAX_SHOWN]
                    value = ranked_json(step, self.library.pictures(step, moments))
                    yield {
                        **self._empty_page(),
                        view.timeline: empty_value("Choose a moment above: its clip is shown here."),
                        view.status: status_html(answer_line(step), complete=True),
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
        question = self.library.question(state.library, item, answer.query)

        def copies(clip: Clip) -> AsyncGenerator[Progress | Copied, None]:
            return self.service.make_copy(user, clip, question.source, cancel)

        steps = self.service.ground(user, question, cancel)
        page_changes = self._show(
            user, steps, copies, answer.query, state, is_comparison=False, selected=item.moment
        )
        async with aclosing(
            self.tabs.changes_of(user, request, cancel, page_changes, self._nothing())
        ) as changes:
            async for change in changes:
                yield change

    async def scope_changed(self, scope: str | None, request: gr.Request) -> Changes:
        """Look at one clip, or at all clips of a folder; role visitor."""
        user = self.authenticator.require(request, Role.VISITOR)
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
        changes = self._show_instead(user, request, {**self._empty_page(), **idle})
        return {
            **changes,
            view.clip: gr.update(visible=is_single),
            view.cards: gr.update(visible=is_single and bool(self.examples)),
            view.models: gr.update(visible=is_single and bool(self.service.offered())),
            view.settings: gr.update(visible=is_single),
            view.library_line: gr.update(value=index_html(status), visible=not is_single),
            view.library_ticker: gr.Timer(active=not is_single),
        }

    async def library_status(self, scope: str | None, request: gr.Request) -> Changes:
        """The index of the folder `scope`, every tick while it is made; role visitor."""
        self.authenticator.require(request, Role.VISITOR)
        if not scope:  # a tick of before: what was changed since must stand
            return {self.view.library_line: gr.skip(), self.view.library_ticker: gr.skip()}
        status = self._library_status(scope)
        return {
            self.view.library_line: gr.update(value=index_html(status)),
            self.view.library_ticker: gr.Timer(active=status is not None and status.is_indexing),
        }

    def _library_status(self, scope: str | None) -> LibraryStatus | None:
        statuses = [] if self.library is None else self.library.statuses()
        return next((status for status in statuses if status.name == scope), None)

    async def _show(
        self,
        user: User,
        steps: AsyncIterator[Step | ModelFailure],
        copies: Callable[[Clip], AsyncGenerator[Progress | Copied, None]],
        query: str,
        state: TabState,
        *,
        is_comparison: bool,
        selected: Moment | None = None,
        settings: Settings = DEFAULT_SETTINGS,
    ) -> AsyncGenerator[Changes, None]:
        """The service's events as changes of the page. Before the first event nothing of an earlier result changes.

        `selected` is the moment that the timeline goes to, `settings` are those of the question.
        """
        view = self.view
        clip: Clip | None = None
        started = False
        outcomes: list[Outcome] = []
        failures: list[ModelFailure] = []
        answer_changes: Changes = {}
        answered_s: float | None = None
        try:
            async for step in steps:
                if isinstance(step, Progress):
                    if answered_s is not None:
                        continue  # the answer's own line stays
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
                        is_film = self.service.is_film(clip, settings)
                        yield {
                            view.timeline: loading_value(
                                "Looking at the clip.", query=query, clip=clip, is_film=is_film
                            )
                        }
                elif isinstance(step, ModelFailure):
                    failures.append(step)
                elif isinstance(step, FirstAnswer):
                    if not is_comparison:
                        first, answered_s = step.outcome, step.outcome.elapsed_s
                        early = timeline_value(
                            first.answer, first.clip, first.strip, first.context, ranking=True
                        )
                        if selected in first.answer.moments:
                            early["selected"] = first.answer.moments.index(selected)
                        yield {
                            view.timeline: early,
                            view.status: status_html(f"{done_line(first)} {RANKING_LINE}", complete=True),
                            view.state: replace(state, context_id=first.context_id),
                            view.ask: gr.update(interactive=True, value="Ask another"),
                        }
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
            line = compared_line(outcomes, failures) if is_comparison else done_line(outcomes[0], answered_s)
            value = answer_changes[view.timeline]
            try:
                stored = await asyncio.to_thread(self.answers.add, outcomes[0], value, line)
            except StorageFull as error:  # the answer is shown all the same
                stored, line = None, f"{line} {error}"
            answer = None if stored is None else (stored.clip_id, stored.id)
            yield {
                **answer_changes,
                view.state: replace(state, context_id=outcomes[0].context_id, answer=answer),
                view.status: status_html(line, complete=True),
                view.result: results_html(outcomes, failures, stored),
                **self._buttons("Ask another"),
                **self._answer_list(user, stored),
            }
            if clip is not None and not clip.is_copy:
                async with aclosing(self._copy_changes(copies(clip), line, outcomes)) as copy_changes:
                    async for changes in copy_changes:
                        yield changes
            # At a run's end Gradio sends its last change once more, over what other events have changed since: no
            # longer the answer then. A chart whose tab is opened in that moment has missed what came before.
            yield {name: answer_changes[name] for name in (view.curves, view.sizes)}
        except Cancelled:
            if answered_s is not None:
                value = {**early, "ranking": False}
                line = f"{done_line(first)} The other windows were not ranked: cancelled. The answer stays."
                try:
                    stored = await asyncio.to_thread(self.answers.add, first, value, done_line(first))
                except StorageFull as error:
                    stored, line = None, f"{line} {error}"
                yield {
                    view.timeline: value,
                    view.status: status_html(line, complete=True),
                    view.result: results_html([first], [], stored),
                    **self._buttons("Ask another"),
                    **self._answer_list(user, stored),
                }
                return
            line = status_html("Cancelled. The clip and the question are still there.")
            cleared = self._empty_page()
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

    async def _copy_changes(
        self, steps: AsyncGenerator[Progress | Copied, None], line: str, outcomes: list[Outcome]
    ) -> AsyncGenerator[Changes, None]:
        """The copy's progress behind the answer's `line`, then the timeline on the copy.

        The answer and the uploaded clip stay on the page meanwhile, and where the copy fails; the line says why.
        """
        view = self.view
        try:
            async for step in steps:
                if isinstance(step, Progress):
                    yield {view.status: status_html(f"{line} {copying_line(step)}", complete=True)}
                    continue
                first = replace(outcomes[0], clip=step.clip, strip=step.strip)
                value = timeline_value(first.answer, first.clip, first.strip, first.context)
                if len(outcomes) > 1:
                    value["lanes"] = [lane_part(outcome.answer) for outcome in outcomes]
                yield {
                    view.status: status_html(line, complete=True),
                    view.timeline: value,
                }
        except TempoError as error:
            problem = (
                f"{line} No copy for stepping through single frames could be made: {user_message(error)}"
            )
            yield {view.status: status_html(problem, complete=True)}

    def _show_instead(self, user: User, request: gr.Request, changes: Changes) -> Changes:
        """These changes, in the place of what a run of the tab still has to say."""
        common = set(self.view.outputs)  # of every run
        self.tabs.show(user, request, {name: value for name, value in changes.items() if name in common})
        return changes

    def _nothing(self) -> Changes:
        """The page stays as it is."""
        return {self.view.status: gr.skip()}

    def _buttons(self, label: str) -> Changes:
        """No run: the question can be asked, and there is nothing to cancel."""
        return {
            self.view.ask: gr.update(interactive=True, value=label),
            self.view.cancel: gr.update(interactive=False),
        }

    def _answer_list(self, user: User, stored: StoredAnswer | None) -> Changes:
        """The open clip's answers, with the open one marked, earlier ones, and what can be done with the open one."""
        view = self.view
        opened, of_clip, besides = "", [], ""
        if stored is not None:
            opened, besides = f"{stored.clip_id}/{stored.id}", stored.clip_id
            with suppress(NoSuchFile):  # the clip made room meanwhile
                of_clip = self.answers.of_clip(self.answers.get(user, stored.clip_id, stored.id)[1])
        this_clip, earlier = (
            [
                {"id": f"{a.clip_id}/{a.id}", "query": a.value["query"], "line": a.line, "title": a.title}
                for a in answers
            ]
            for answers in (of_clip, self.answers.recent(user, besides))
        )
        return {
            view.earlier: json.dumps({"open": opened, "this_clip": this_clip, "earlier": earlier}),
            view.share: gr.update(interactive=stored is not None and not stored.secret),
            view.unshare: gr.update(interactive=stored is not None and bool(stored.secret)),
        }

    def open_answer(self, request: gr.Request, event: gr.EventData) -> Changes:
        """Show an earlier answer of one's own again; role visitor."""
        user = self.authenticator.require(request, Role.VISITOR)
        self.tabs.begin(user, request)  # nothing runs; what did says no more
        try:
            return self._show_instead(user, request, self._earlier_answer(user, str(event._data["id"])))
        except Exception as error:
            return {self.view.status: status_html(user_message(error), error=True)}

    def _earlier_answer(self, user: User, address: str) -> Changes:
        """The page with the earlier answer at `address` (CLIP/ID), its clip in the form. Raises NoSuchFile."""
        view = self.view
        stored, clip = self.answers.get(user, *(address.split("/") if address.count("/") == 1 else ("", "")))
        strip = self.service.media.drawn_strip(clip)
        value = {**stored.value, **clip_parts(clip, strip), "rev": empty_value()["rev"]}
        value["frames"] = stored.value["frames"]
        state = TabState(answer=(stored.clip_id, stored.id))
        changes: Changes = {view.query: stored.value["query"]}
        if self.service.uploads is not None:
            name = Path(clip.title).stem + clip.path.suffix
            source = str(self.service.uploads.link(user, clip.path, name).path)
            changes[view.clip], state = source, replace(state, source=source)
        return {
            **self._empty_page(),
            **changes,
            view.timeline: value,
            view.state: state,
            view.status: status_html(stored.line, complete=True),
            view.result: links_html(stored),
            **self._buttons("Ask another"),
            **self._answer_list(user, stored),
        }

    def make_link(self, state: TabState, request: gr.Request) -> Changes:
        """Make a link for others to the answer on the page; role visitor, and only the owner's."""
        return self._share(state, request, is_shared=True)

    def end_link(self, state: TabState, request: gr.Request) -> Changes:
        """End the link for others; role visitor, and only the owner's."""
        return self._share(state, request, is_shared=False)

    def _share(self, state: TabState, request: gr.Request, *, is_shared: bool) -> Changes:
        view = self.view
        try:
            user = self.authenticator.require(request, Role.VISITOR)
            stored = self.answers.share(user, *(state.answer or ("", "")), is_shared=is_shared)
        except Exception as error:
            return {view.status: status_html(user_message(error), error=True)}
        changes = self._answer_list(user, stored)
        del changes[view.earlier]
        return {**changes, view.result: links_html(stored)}

    def _empty_page(self) -> Changes:
        """No answer, no run; the clip and the question stay."""
        view = self.view
        return {
            view.timeline: empty_value(about_text(self.service.engines.knowledge(), self.service.others())),
            view.status: status_html(IDLE_LINE),
            view.result: EMPTY_RESULT,
            view.curves: None,
            view.sizes: None,
            view.state: TabState(),
            view.ranked: gr.update(value="null", visible=False),
            view.share: gr.update(interactive=False),
            view.unshare: gr.update(interactive=False),
            **self._buttons("Ask"),
        }

    async def cancel(self, request: gr.Request) -> None:
        """Stop this tab's run; role visitor."""
        self.tabs.cancel(self.authenticator.require(request, Role.VISITOR), request)

    async def clip_changed(self, clip: str | None, state: TabState, request: gr.Request) -> Changes:
        """Another clip: stop what runs, forget the old context, clear the result; role visitor."""
        user = self.authenticator.require(request, Role.VISITOR)
        if clip is not None and clip == state.source:
            return self._nothing()
        if state.context_id:
            self.service.contexts.drop(user.id, state.context_id)
        return self._show_instead(user, request, {**self._empty_page(), **self._answer_list(user, None)})

    async def choose_example(self, request: gr.Request, event: gr.EventData) -> Changes:
        """Put an example's clip and first question into the form; role visitor."""
        self.authenticator.require(request, Role.VISITOR)
        example = self.examples[int(event._data["clip"])]
        return {
            self.view.query: next(iter(example.questions), ""),
            self.view.clip: self._example_source(example),
        }

    async def model_status(self, state: TabState, scope: str | None, request: gr.Request) -> Changes:
        """The model's state and words, every tick while it is loading; role visitor."""
        self.authenticator.require(request, Role.VISITOR)
        status = self.service.engines.status
        offered, served = self.service.offered(), self.service.engines.name
        choices = [(f"{served} (served)", ""), *((name, name) for name in offered)]
        if self.service.others():
            choices = [("by the words", ""), (served, served), *choices[1:]]
        changes: Changes = {}
        if status.state == "ready":
            knowledge, others = self.service.engines.knowledge(), self.service.others()
            changes[self.view.about] = about_html(knowledge, others)
            if state.source is None and not state.library:
                changes[self.view.timeline] = empty_value(about_text(knowledge, others))
        return {
            **changes,
            self.view.head: model_html(status),
            self.view.ticker: gr.Timer(active=status.state == "loading"),
            self.view.models: gr.skip() if scope else gr.update(choices=choices, visible=bool(offered)),
        }

    async def arrive(self, state: TabState, opening: str, request: gr.Request) -> Changes:
        """The page as one user loads it, with their own earlier answers; role visitor.

        `opening` is the address's `?answer=CLIP/ID`: that answer is opened if it is theirs.
        """
        user = self.authenticator.require(request, Role.VISITOR)
        changes = {
            **self._empty_page(),
            **await self.model_status(state, None, request),
            **self._answer_list(user, None),
        }
        changes[self.view.models]["value"] = [""]  # here alone: a tick must not undo a choice
        if opening:
            with suppress(NoSuchFile):  # gone, or somebody else's: the page is as fresh as any
                changes |= self._earlier_answer(user, opening)
        return changes

    async def leave(self, request: gr.Request) -> None:
        """The tab was closed."""
        user: User | None = self.authenticator.resolve(request)
        if user is not None:
            self.tabs.cancel(user, request)
