"""The data page: rows with their history, files in, files out, and what the corrections are worth.

Anyone who may annotate can look; importing takes an administrator, taking files away a researcher. Heavy work
runs in the data service's queue, and a handler only follows it.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import gradio as gr
from fastapi import APIRouter

from annotations.errors import Conflict
from annotations.history import history
from annotations.queue import BrowseFilter
from annotations.statistics import dataset_progress, stats
from app.auth.users import Authenticator, Role, User
from app.data.downloads import download_routes
from app.data.layout import ALL, CompareTab, DataView, ExportTab, ImportTab, TabState, filled_in
from app.data.projects import ProjectsTab
from app.data.service import ComparisonOutcome, DataService, ExportOutcome, ImportOutcome
from app.data.table import history_json, rows_json
from app.data.view import comparison_html, count_line, export_html, facts_html, import_html, progress_html
from app.http.errors import user_message
from app.job_queue import Job, result_of
from app.ui.figures import counts_figure, standing_figure
from app.ui.handlers import QUICK, Changes, handler
from app.ui.templates import status_html

PAGE_ROWS = 50
MOST_SEARCH_CHARACTERS = 200

Values = dict[Any, Any]
"""What a form holds, by component."""


class DataPage:
    """The page's handlers; `build` lays it out and wires them."""

    title, path, role = "Data", "/data", Role.ANNOTATOR

    def __init__(self, service: DataService, authenticator: Authenticator) -> None:
        self.service, self.authenticator = service, authenticator
        self.view: DataView
        self.projects = ProjectsTab(service.store, authenticator)

    def routes(self) -> APIRouter:
        """Where exported files are served."""
        return download_routes(self.service.downloads)

    def build(self, blocks: gr.Blocks) -> None:
        """Lay the page out inside its route and connect every event."""
        view = self.view = DataView(self.projects.build)
        rows, tab_state = view.rows, view.tab_state
        table = [rows.rows, rows.count, rows.back, rows.forward, tab_state]
        filters = {*rows.form.values(), tab_state}
        changed = [choice.change if name == "text" else choice.input for name, choice in rows.form.items()]
        gr.on(changed, self.show_rows, filters, table, trigger_mode="always_last", **QUICK)
        gr.on([rows.back.click, rows.forward.click], self.show_rows, filters, table, **QUICK)
        chosen = [rows.history, rows.history_line, tab_state]
        rows.rows.select(self.choose, tab_state, chosen, trigger_mode="always_last", **QUICK)
        rows.history.select(self.restore, None, [rows.history, rows.history_line], **QUICK)
        datasets = [tab.form["dataset"] for tab in (rows, view.exports, view.compare)]
        for tab, work in (
            (view.imports, self.bring_in),
            (view.exports, self.take_out),
            (view.compare, self.compare),
        ):
            tab.button.click(
                work, {*tab.form.values()}, [tab.line, tab.result, tab.button, *datasets], **QUICK
            )
        figures = view.figures
        figures.tab.select(self.figures, None, [figures.facts, figures.progress, figures.reasons], **QUICK)
        tabs = [view.imports.tab, view.exports.tab, view.compare.tab, self.projects.view.tab]
        blocks.load(self.arrive, None, [*tabs, *datasets, *table], **QUICK)

    @handler(Role.ANNOTATOR, line="rows.count")
    def arrive(self, user: User) -> Changes:
        """A fresh page: the tabs that this person may use, and the first rows; role annotator."""
        view = self.view
        return {
            view.imports.tab: gr.update(visible=Role.ADMINISTRATOR in user.roles),
            view.exports.tab: gr.update(visible=Role.RESEARCHER in user.roles),
            view.compare.tab: gr.update(visible=Role.RESEARCHER in user.roles),
            self.projects.view.tab: gr.update(visible=Role.RESEARCHER in user.roles),
            **self._datasets(),
            **self._page(BrowseFilter(), TabState()),
        }

    def _datasets(self) -> Changes:
        """The datasets in use, in every dropdown that names one; exports begin with the largest."""
        view, store = self.view, self.service.store
        names = [name for name, archived in store.datasets().items() if not archived]
        counts = {name: sum(splits.values()) for name, splits in dataset_progress(store).items()}
        largest = max(names, key=lambda name: counts.get(name, 0), default=None)
        return {
            view.rows.form["dataset"]: gr.update(
                choices=[("All", ALL), *((name, name) for name in names)], value=ALL
            ),
            view.exports.form["dataset"]: gr.update(choices=names, value=largest),
            view.compare.form["dataset"]: gr.update(choices=names, value=largest),
        }

    @handler(Role.ANNOTATOR, line="rows.count")
    def show_rows(self, values: Values, user: User, event: gr.EventData) -> Changes:
        """The first rows that fit a changed filter, or the page of rows before or after; role annotator."""
        rows, tab_state = self.view.rows, values[self.view.tab_state]
        last = max(0, tab_state.total - 1) // PAGE_ROWS * PAGE_ROWS
        # By elem_id: Gradio gives a session its own copy of a component that was updated.
        offsets = {
            rows.back.elem_id: max(0, tab_state.offset - PAGE_ROWS),
            rows.forward.elem_id: min(last, tab_state.offset + PAGE_ROWS),
        }
        row_filter = BrowseFilter(**filled_in(rows.form, values))
        row_filter = replace(row_filter, text=row_filter.text[:MOST_SEARCH_CHARACTERS])
        offset = offsets.get(getattr(event.target, "elem_id", None), 0)
        return self._page(row_filter, replace(tab_state, offset=offset))

    def _page(self, row_filter: BrowseFilter, tab_state: TabState) -> Changes:
        rows = self.view.rows
        page = self.service.store.browse(row_filter, limit=PAGE_ROWS, offset=tab_state.offset)
        empty = "There are no rows yet. An administrator can import some."
        if row_filter != BrowseFilter(order=row_filter.order):
            empty = "No row fits these filters."
        return {
            rows.rows: rows_json(page, chosen=tab_state.query_id, empty=empty),
            rows.count: status_html(count_line(tab_state.offset, len(page.rows), page.total)),
            rows.back: gr.update(interactive=tab_state.offset > 0),
            rows.forward: gr.update(interactive=tab_state.offset + len(page.rows) < page.total),
            self.view.tab_state: replace(tab_state, total=page.total),
        }

    @handler(Role.ANNOTATOR, line="rows.history_line", clear="rows.history")
    def choose(self, tab_state: TabState, user: User, event: gr.EventData) -> Changes:
        """A row was chosen: its history; role annotator."""
        rows, query_id = self.view.rows, _query_id(event)
        return {
            rows.history: history_json(history(self.service.store, query_id), user),
            rows.history_line: "",
            self.view.tab_state: replace(tab_state, query_id=query_id),
        }

    @handler(Role.ANNOTATOR, line="rows.history_line")
    def restore(self, user: User, event: gr.EventData) -> Changes:
        """Go back to an older version (none: the original); role annotator.

        A version that was written meanwhile is shown and not overwritten.
        """
        store, query_id = self.service.store, _query_id(event)
        line = status_html("Restored as your newest version.")
        to_id, parent_id = (event._data.get(name) if query_id else None for name in ("to_id", "parent_id"))
        try:
            store.revert(query_id, to_id=to_id, annotator=user.id, parent_id=parent_id, op_id=str(uuid4()))
        except Conflict as conflict:
            line = status_html(f"{conflict} The history below is up to date.", error=True)
        rows = self.view.rows
        return {rows.history: history_json(history(store, query_id), user), rows.history_line: line}

    async def bring_in(self, values: Values, request: gr.Request) -> AsyncIterator[Changes]:
        """Import the uploaded files; role administrator."""
        tab = self.view.imports

        def work(job: Job, user: User) -> ImportOutcome:
            return self.service.import_files(job, user, **filled_in(tab.form, values))

        def report(outcome: ImportOutcome) -> Changes:
            partly = bool(outcome.refused)
            line = "Not everything came in; the report says why." if partly else "Done."
            result = {tab.line: status_html(line, error=partly), tab.result: import_html(outcome)}
            return {**result, **self._datasets()}

        async for changes in self._follow(tab, request, Role.ADMINISTRATOR, work, report):
            yield changes

    async def take_out(self, values: Values, request: gr.Request) -> AsyncIterator[Changes]:
        """Export a dataset into files to take away; role researcher."""
        tab = self.view.exports

        def work(job: Job, user: User) -> ExportOutcome:
            return self.service.export(job, user, **filled_in(tab.form, values))

        def report(outcome: ExportOutcome) -> Changes:
            line = status_html("Done. The files are kept for a day.")
            return {tab.line: line, tab.result: export_html(outcome)}

        async for changes in self._follow(tab, request, Role.RESEARCHER, work, report):
            yield changes

    async def compare(self, values: Values, request: gr.Request) -> AsyncIterator[Changes]:
        """Score the released moments against the corrected ones; role researcher."""
        tab = self.view.compare

        def work(job: Job, user: User) -> ComparisonOutcome:
            return self.service.compare(job, user, **filled_in(tab.form, values))

        def report(outcome: ComparisonOutcome) -> Changes:
            line = status_html("Done. The reports are kept for a day.")
            return {tab.line: line, tab.result: comparison_html(outcome)}

        async for changes in self._follow(tab, request, Role.RESEARCHER, work, report):
            yield changes

    async def _follow(
        self,
        tab: ImportTab | ExportTab | CompareTab,
        request: gr.Request,
        role: Role,
        work: Callable[[Job, User], Any],
        report: Callable[[Any], Changes],
    ) -> AsyncIterator[Changes]:
        """Queue the work, show its progress on the tab, then what `report` makes of its result, or the error."""
        job_queue = self.service.job_queue
        try:
            user = self.authenticator.require(request, role)
            job = job_queue.submit(user.id, lambda job: work(job, user))
            yield {tab.result: "", tab.button: gr.update(interactive=False)}
            async for progress in job_queue.follow(job):
                yield {tab.line: progress_html(progress)}
            changes = report(result_of(job))
        except Exception as error:
            changes = {tab.line: status_html(user_message(error), error=True)}
        yield {**changes, tab.button: gr.update(interactive=True)}

    @handler(Role.ANNOTATOR, line="figures.facts")
    def figures(self, user: User) -> Changes:
        """The store in numbers; role annotator."""
        tab, store = self.view.figures, self.service.store
        numbers = stats(store)
        return {
            tab.facts: facts_html(numbers),
            tab.progress: standing_figure(dataset_progress(store)),
            tab.reasons: counts_figure(numbers["suspicions"], empty="No row looks wrong.", unit="rows"),
        }


def _query_id(event: gr.EventData) -> int:
    """The query that the page's script names; 0, which no query has, where it sent anything else."""
    query_id = event._data.get("query_id") if isinstance(event._data, dict) else None
    return query_id if type(query_id) is int else 0
