"""The data page: rows with their history, files in, files out, and what the corrections are worth.

Anyone who may annotate can look; importing takes an administrator, taking files away a researcher. Heavy work
runs in the data service's job queue, and a handler only follows it.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr
from fastapi import APIRouter

from annotations.errors import Conflict
from annotations.formats import ExportOptions
from annotations.queue import BrowseFilter
from annotations.statistics import dataset_progress, stats
from app.auth.users import Authenticator, NotAllowed, Role
from app.data.downloads import download_routes
from app.data.layout import ALL, DataView, Memory, lay_out
from app.data.service import DataService, ExportRequest, ImportRequest
from app.data.table import history_json, rows_json
from app.data.view import (
    comparison_html,
    count_line,
    export_html,
    facts_html,
    import_html,
    progress_html,
    status_html,
)
from app.http.errors import user_message
from app.job_queue import Job, result_of
from app.ui.figures import counts_figure, standing_figure

PAGE_ROWS = 50

Changes = dict[Any, Any]
"""New values by component: what a handler yields."""


class DataPage:
    """The page's handlers; `build` lays it out and wires them."""

    title, path, role = "Data", "/data", Role.ANNOTATOR

    def __init__(self, service: DataService, authenticator: Authenticator) -> None:
        self.service, self.authenticator = service, authenticator
        self.view: DataView

    def routes(self) -> APIRouter:
        """Where exported files are served."""
        return download_routes(self.service.downloads, self.authenticator)

    def build(self, blocks: gr.Blocks) -> None:
        """Lay the page out inside its route and connect every event."""
        view = self.view = lay_out()
        quick: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "concurrency_limit": None,
        }
        table = [view.rows, view.count, view.back, view.forward, view.memory]
        changed = [view.text.change, *(each.input for each in view.filters if each is not view.text)]
        gr.on(
            changed,
            self.narrow,
            [*view.filters, view.memory],
            table,
            trigger_mode="always_last",
            **quick,
        )
        turned = [*view.filters, view.memory]
        view.back.click(self.turn_back, turned, table, **quick)
        view.forward.click(self.turn_forward, turned, table, **quick)
        story = [view.history, view.history_line, view.memory]
        view.rows.select(self.choose, view.memory, story, **quick)
        view.history.select(self.restore, None, [view.history, view.history_line], **quick)
        self._wire_work(quick)
        arriving = [
            view.import_tab,
            view.export_tab,
            view.compare_tab,
            *self._choices(),
            *table,
        ]
        blocks.load(self.arrive, None, arriving, **quick)

    def _wire_work(self, quick: dict[str, Any]) -> None:
        view = self.view
        form = [view.files, view.import_format, view.import_dataset, view.import_split, view.keep_going]
        shown = [view.import_line, view.import_report, view.do_import, *self._choices()]
        view.do_import.click(self.bring_in, form, shown, **quick)
        form = [
            view.export_format, view.export_dataset, view.export_split, view.rule, view.edited_text, view.snapping,
            view.saliency, view.model, view.refusals, view.frame_rate, view.licence, view.export_keep_going,
        ]  # fmt: skip
        view.do_export.click(
            self.take_out, form, [view.export_line, view.export_files, view.do_export], **quick
        )
        form = [view.compare_dataset, view.compare_split, view.compare_rule, view.reviewed_only]
        view.do_compare.click(
            self.compare, form, [view.compare_line, view.compare_result, view.do_compare], **quick
        )
        view.figures_tab.select(self.figures, None, [view.facts, view.progress, view.reasons], **quick)

    def _choices(self) -> list[Any]:
        """The dropdowns that name datasets."""
        return [self.view.dataset, self.view.export_dataset, self.view.compare_dataset]

    def arrive(self, request: gr.Request) -> Changes:
        """A fresh page: what this person may see, and the first rows; role annotator."""
        view = self.view
        try:
            user = self.authenticator.require(request, self.role)
        except NotAllowed as error:
            return {view.count: status_html(str(error), error=True)}
        return {
            view.import_tab: gr.update(visible=Role.ADMINISTRATOR in user.roles),
            view.export_tab: gr.update(visible=Role.RESEARCHER in user.roles),
            view.compare_tab: gr.update(visible=Role.RESEARCHER in user.roles),
            **self._named(),
            **self._page(BrowseFilter(), Memory()),
        }

    def _named(self) -> Changes:
        """The datasets that there are, in every dropdown that asks for one."""
        view = self.view
        names = [name for name, archived in self.service.store.datasets().items() if not archived]
        counts = {name: sum(each.values()) for name, each in dataset_progress(self.service.store).items()}
        first = max(names, key=lambda name: counts.get(name, 0), default=None)
        return {
            view.dataset: gr.update(choices=[("All", ALL), *((name, name) for name in names)], value=ALL),
            view.export_dataset: gr.update(choices=names, value=first),
            view.compare_dataset: gr.update(choices=names, value=first),
        }

    def narrow(
        self, text: str, dataset: str, split: str, state: str, reason: str, order: str, memory: Memory,
        request: gr.Request,
    ) -> Changes:  # fmt: skip
        """The first rows of another filter; role annotator."""
        return self._turn((text, dataset, split, state, reason, order), replace(memory, offset=0), request)

    def turn_back(
        self, text: str, dataset: str, split: str, state: str, reason: str, order: str, memory: Memory,
        request: gr.Request,
    ) -> Changes:  # fmt: skip
        """The page of rows before; role annotator."""
        memory = replace(memory, offset=max(0, memory.offset - PAGE_ROWS))
        return self._turn((text, dataset, split, state, reason, order), memory, request)

    def turn_forward(
        self, text: str, dataset: str, split: str, state: str, reason: str, order: str, memory: Memory,
        request: gr.Request,
    ) -> Changes:  # fmt: skip
        """The page of rows after; role annotator."""
        last = max(0, memory.total - 1) // PAGE_ROWS * PAGE_ROWS
        memory = replace(memory, offset=min(last, memory.offset + PAGE_ROWS))
        return self._turn((text, dataset, split, state, reason, order), memory, request)

    def _turn(self, given: tuple[str, ...], memory: Memory, request: gr.Request) -> Changes:
        try:
            self.authenticator.require(request, self.role)
            text, dataset, split, state, reason, order = given
            wanted = BrowseFilter(
                text=(text or "").strip()[:200],
                dataset=dataset or None,
                split=split or None,
                state=state or "any",  # type: ignore[arg-type]
                reason=reason or None,
                order=order or "import",  # type: ignore[arg-type]
            )
            return self._page(wanted, memory)
        except Exception as error:
            return {self.view.count: status_html(user_message(error), error=True)}

    def _page(self, wanted: BrowseFilter, memory: Memory) -> Changes:
        view, page = self.view, self.service.browse(wanted, limit=PAGE_ROWS, offset=memory.offset)
        narrowed = wanted != BrowseFilter(order=wanted.order)
        empty = (
            "No row fits these filters."
            if narrowed
            else "There are no rows yet. An administrator can import some."
        )
        return {
            view.rows: rows_json(page, chosen=memory.chosen, empty=empty),
            view.count: status_html(count_line(page.offset, len(page.rows), page.total)),
            view.back: gr.update(interactive=page.offset > 0),
            view.forward: gr.update(interactive=page.offset + len(page.rows) < page.total),
            view.memory: replace(memory, total=page.total),
        }

    def choose(self, memory: Memory, request: gr.Request, event: gr.EventData) -> Changes:
        """A row was chosen: its history; role annotator."""
        view = self.view
        try:
            user = self.authenticator.require(request, self.role)
            query_id = _whole(event._data, "query_id")
            return {
                view.history: history_json(self.service.history(query_id), user),
                view.history_line: "",
                view.memory: replace(memory, chosen=query_id),
            }
        except Exception as error:
            return {view.history: None, view.history_line: status_html(user_message(error), error=True)}

    def restore(self, request: gr.Request, event: gr.EventData) -> Changes:
        """Go back to an older version; role annotator. What others wrote meanwhile is shown, not overwritten."""
        view = self.view
        try:
            user = self.authenticator.require(request, self.role)
            query_id = _whole(event._data, "query_id")
            to_id, parent_id = (event._data.get(name) for name in ("to_id", "parent_id"))
            try:
                self.service.restore(user, query_id, to_id, parent_id, op_id=str(uuid4()))
                line = status_html("Restored as your newest version.")
            except Conflict as conflict:
                line = status_html(f"{conflict} The history below is up to date.", error=True)
            return {
                view.history: history_json(self.service.history(query_id), user),
                view.history_line: line,
            }
        except Exception as error:
            return {view.history_line: status_html(user_message(error), error=True)}

    async def bring_in(
        self,
        files: list[str] | None,
        form: str,
        dataset: str,
        split: str,
        keep_going: bool,
        request: gr.Request,
    ) -> AsyncIterator[Changes]:
        """Import the uploaded files; role administrator."""
        view = self.view
        try:
            user = self.authenticator.require(request, Role.ADMINISTRATOR)
            import_request = ImportRequest(
                files=tuple(Path(file) for file in files or ()),
                format=form or None,
                dataset=(dataset or "").strip() or None,
                split=split or None,  # type: ignore[arg-type]
                keep_going=bool(keep_going),
            )
            job = self.service.submit_import(user, import_request)
            yield {view.import_report: "", view.do_import: gr.update(interactive=False)}
            async for line in self._follow(job):
                yield {view.import_line: line}
            outcome = result_of(job)
            failed = bool(outcome.refused)
            said = "Not everything came in; the report says why." if failed else "Done."
            yield {
                view.import_line: status_html(said, error=failed),
                view.import_report: import_html(outcome),
                view.do_import: gr.update(interactive=True),
                **self._named(),
            }
        except Exception as error:
            yield {
                view.import_line: status_html(user_message(error), error=True),
                view.do_import: gr.update(interactive=True),
            }

    async def take_out(
        self, form: str, dataset: str | None, split: str, rule: str, edited_text: bool, snapping: str, saliency: str,
        model: str, refusals: str, frame_rate: float | None, licence: str, keep_going: bool, request: gr.Request,
    ) -> AsyncIterator[Changes]:  # fmt: skip
        """Export a dataset into files to take away; role researcher."""
        view = self.view
        try:
            user = self.authenticator.require(request, Role.RESEARCHER)
            options = ExportOptions(
                snapping=snapping,  # type: ignore[arg-type]
                saliency=saliency,  # type: ignore[arg-type]
                keep_going=bool(keep_going),
                predictions_of=(model or "").strip() or None,
                refusals=refusals,  # type: ignore[arg-type]
                frame_rate=frame_rate or None,
                licence=(licence or "").strip() or None,
            )
            export_request = ExportRequest(
                format=form,
                dataset=dataset or "",
                split=split or None,  # type: ignore[arg-type]
                rule=rule,  # type: ignore[arg-type]
                edited_text=bool(edited_text),
                options=options,
            )
            job = self.service.submit_export(user, export_request)
            yield {view.export_files: "", view.do_export: gr.update(interactive=False)}
            async for line in self._follow(job):
                yield {view.export_line: line}
            outcome = result_of(job)
            yield {
                view.export_line: status_html("Done. The files are kept for a day."),
                view.export_files: export_html(outcome),
                view.do_export: gr.update(interactive=True),
            }
        except Exception as error:
            yield {
                view.export_line: status_html(user_message(error), error=True),
                view.do_export: gr.update(interactive=True),
            }

    async def compare(
        self, dataset: str | None, split: str, rule: str, reviewed_only: bool, request: gr.Request
    ) -> AsyncIterator[Changes]:
        """Score the released moments against the corrected ones; role researcher."""
        view = self.view
        try:
            user = self.authenticator.require(request, Role.RESEARCHER)
            job = self.service.submit_comparison(
                user,
                dataset or "",
                split or None,  # type: ignore[arg-type]
                rule,  # type: ignore[arg-type]
                reviewed_only=bool(reviewed_only),
            )
            yield {view.compare_result: "", view.do_compare: gr.update(interactive=False)}
            async for line in self._follow(job):
                yield {view.compare_line: line}
            yield {
                view.compare_line: status_html("Done. The reports are kept for a day."),
                view.compare_result: comparison_html(result_of(job)),
                view.do_compare: gr.update(interactive=True),
            }
        except Exception as error:
            yield {
                view.compare_line: status_html(user_message(error), error=True),
                view.do_compare: gr.update(interactive=True),
            }

    async def _follow(self, job: Job) -> AsyncIterator[str]:
        async for progress in self.service.job_queue.follow(job):
            yield progress_html(progress)

    def figures(self, request: gr.Request) -> Changes:
        """The store in numbers; role annotator."""
        view = self.view
        try:
            self.authenticator.require(request, self.role)
            found = stats(self.service.store)
            return {
                view.facts: facts_html(found),
                view.progress: standing_figure(dataset_progress(self.service.store)),
                view.reasons: counts_figure(found["suspicions"], empty="No row looks wrong.", unit="rows"),
            }
        except Exception as error:
            return {view.facts: status_html(user_message(error), error=True)}


def _whole(data: Any, name: str) -> int:
    """A whole number that the page's script sent; 0, which no record has, for anything else."""
    value = data.get(name) if isinstance(data, dict) else None
    return value if type(value) is int else 0
