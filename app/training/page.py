"""The train page: what a refresh would use, the job with its curves, old against new, and the adapters.

Researchers start, cancel and resume; promoting and rolling back takes an administrator. Gradio runs these handlers in
threads, and the training itself is a child process (`app.training.jobs`), so the page stays responsive.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr
from fastapi import APIRouter

from app.auth.users import Authenticator, Role, User
from app.ground.service import GroundingService
from app.http.errors import user_message
from app.job_queue import Job, result_of
from app.media.library import Clip, FilmStrip
from app.timeline import empty_value, error_value, loading_value, timeline_value
from app.training.figures import curves_figure, progress_figure, sides_figure
from app.training.jobs import JobStatus
from app.training.layout import PageState, TrainView
from app.training.runs import HeldOutRow, RefreshRun
from app.training.service import TrainingService
from app.training.view import STAGE_NAMES, adapters_html, job_html, preview_html, question_html, scores_html
from app.ui.charts import empty_figure
from app.ui.handlers import QUICK, Changes, handler
from app.ui.templates import status_html
from tempo_core.errors import Cancelled, InputError, TempoError
from train.refresh.gate import AgainstGate

NOTHING_CHOSEN = "Choose a held-out row: its clip appears here, with the answer before or after the refresh."

NO_QUESTION_JS = f"() => [{json.dumps(status_html())}, {{ __type__: 'update', visible: false }}]"
"""Clears the line about what is served, and hides the question about an adapter."""


class TrainPage:
    """The page's handlers; `build` lays it out and wires them."""

    title, path, role = "Train", "/train", Role.RESEARCHER

    def __init__(
        self, service: TrainingService, grounding: GroundingService, authenticator: Authenticator
    ) -> None:
        self.service, self.grounding, self.authenticator = service, grounding, authenticator
        self.view: TrainView

    def routes(self) -> APIRouter | None:
        """None: the page has no routes of its own."""
        return None

    def build(self, blocks: gr.Blocks) -> None:
        """Lay the page out inside its route and connect every event."""
        view = self.view = TrainView()
        job = [view.line, view.job, view.start, view.resume, view.cancel, view.state]
        options = [view.recipe, view.seed, view.no_pir]
        view.start.click(self.start, options, job, **QUICK)
        view.resume.click(self.resume, None, job, **QUICK)
        view.cancel.click(self.cancel, None, job, **QUICK)
        counts = [view.count_again.click, view.recipe.input, view.seed.input, view.no_pir.input]
        gr.on(counts, self.count, options, view.preview, trigger_mode="always_last", **QUICK)
        polled = [*job, view.progress, view.curves, view.run, view.scores, view.row]
        polled += [view.adapters, view.adapter]
        view.ticker.tick(self.poll, [view.state, view.run], polled, **QUICK)
        choices = [view.row, view.side, view.run]
        row_parts = [view.lanes, view.row_line, view.timeline]
        scores = [view.scores, view.row, *row_parts]
        view.run.input(self.show_run, view.run, scores, trigger_mode="always_last", **QUICK)
        gr.on(
            [view.row.input, view.side.input],
            self.show_row,
            choices,
            row_parts,
            trigger_mode="always_last",
            **QUICK,
        )
        question = [view.ask, view.question, view.refused_adapter]
        served = [view.served_line, view.adapters, view.adapter, view.state, *question]
        view.promote.click(self.promote, [view.adapter, view.state], served, **QUICK)
        view.promote_anyway.click(self.promote_anyway, [view.refused_adapter, view.state], served, **QUICK)
        view.leave.click(self.leave, None, [view.served_line, *question], **QUICK)
        # In the browser alone: a late answer would take away the question about the adapter that was chosen.
        view.adapter.input(None, None, [view.served_line, view.ask], js=NO_QUESTION_JS, **QUICK)
        view.rollback.click(self.rollback, view.state, served, **QUICK)
        blocks.load(
            self.arrive, None, [view.recipe, view.promote, view.rollback, view.timeline, *polled], **QUICK
        )
        blocks.load(self.count, options, view.preview, **QUICK)

    @handler(Role.RESEARCHER, line="line")
    def arrive(self, user: User) -> Changes:
        """A fresh page: the recipes, the job and the adapters; role researcher."""
        view, recipes = self.view, self.service.recipes()
        may_promote = Role.ADMINISTRATOR in user.roles
        return {
            view.recipe: gr.update(choices=recipes, value=recipes[0]),
            view.promote: gr.update(visible=may_promote),
            view.rollback: gr.update(visible=may_promote),
            view.timeline: empty_value(NOTHING_CHOSEN),
            **self._changes_since(PageState(), None),
        }

    @handler(Role.RESEARCHER, line="preview")
    def count(self, recipe: str | None, seed: float | None, no_pir: bool, user: User) -> Changes:
        """What a refresh would use and take now; role researcher."""
        preview = self.service.preview(recipe, _whole(seed), pir=not no_pir)
        return {self.view.preview: preview_html(preview)}

    @handler(Role.RESEARCHER, line="line")
    def start(self, recipe: str, seed: float | None, no_pir: bool, user: User) -> Changes:
        """Begin a refresh; role researcher."""
        status = self.service.start(user, recipe, _whole(seed), pir=not no_pir)
        view = self.view
        return {view.line: status_html("Started."), **self._job_parts(status), view.state: PageState()}

    @handler(Role.RESEARCHER, line="line")
    def resume(self, user: User) -> Changes:
        """Go on with the job that stopped; role researcher."""
        status = self.service.jobs.resume(user.id)
        return {self.view.line: status_html("It goes on where it was."), **self._job_parts(status)}

    @handler(Role.RESEARCHER, line="line")
    def cancel(self, user: User) -> Changes:
        """Ask the job to stop; role researcher."""
        return {self.view.line: status_html(), **self._job_parts(self.service.jobs.cancel())}

    @handler(Role.RESEARCHER, line="line")
    def poll(self, state: PageState, run: str | None, user: User) -> Changes:
        """What has changed since the last look; role researcher."""
        return self._changes_since(state, run)

    def _changes_since(self, state: PageState, chosen_run: str | None) -> Changes:
        """The job; and, where something moved, its curves, its results and the adapters."""
        view, jobs = self.view, self.service.jobs
        adapters, now = self._adapters()
        readable = now.serving is not None
        status = self.service.status() if readable else jobs.status()
        lines, progress = jobs.curves(), jobs.progress()
        changes = self._job_parts(status)
        runs = self.service.runs()
        default_run = _default_run(runs, status)
        now = now._replace(
            job=(str(status.folder), status.state, status.stage, len(lines) + len(progress)),
            runs=tuple((run.name, run.state, run.report("scores") is not None) for run in runs),
            default_run=default_run,
        )
        if now == state:
            return {**changes, view.state: gr.skip()}
        changes |= {
            view.state: now,
            view.progress: progress_figure(progress, STAGE_NAMES),
            view.curves: curves_figure(lines),
            **adapters,
        }
        if state.job is None or now._replace(job=state.job) != state:
            changes |= self._comparison(runs, now, state, chosen_run)
        return changes

    def _comparison(
        self, runs: Sequence[RefreshRun], now: PageState, state: PageState, chosen_run: str | None
    ) -> Changes:
        """Old against new of the refresh that somebody has chosen, else of the present job or the newest."""
        view = self.view
        has_chosen = chosen_run != state.default_run and chosen_run in [run.name for run in runs]
        name = chosen_run if has_chosen else now.default_run
        selected_run = next((run for run in runs if run.name == name), None)
        changes: Changes = {view.scores: self._scores(selected_run, now.serving is not None)}
        if (now.runs, now.default_run) != (state.runs, state.default_run):
            changes[view.run] = gr.update(choices=[(run.title, run.name) for run in runs], value=name)
            changes[view.row] = gr.update(choices=_row_choices(selected_run))
        return changes

    def _scores(self, run: RefreshRun | None, readable: bool) -> str:
        """Old against new of a refresh; without a readable registry its outcome is as it was when it ended."""
        if run is None:
            return scores_html(None, None)
        outcome = self.service.outcome_of(run) if readable else run.report("outcome")
        return scores_html(run.report("scores"), outcome)

    @handler(Role.RESEARCHER, line="scores")
    def show_run(self, run: str | None, user: User) -> Changes:
        """Old against new of a refresh that was chosen; role researcher."""
        view, selected_run = self.view, self.service.run_named(run)
        _, now = self._adapters()
        return {
            view.scores: self._scores(selected_run, now.serving is not None),
            view.row: gr.update(choices=_row_choices(selected_run), value=None),
            view.lanes: empty_figure("Choose a held-out row."),
            view.row_line: status_html(),
            view.timeline: empty_value(NOTHING_CHOSEN),
        }

    def _job_parts(self, status: JobStatus) -> Changes:
        view, running = self.view, status.state == "running"
        return {
            view.job: job_html(status),
            view.start: gr.update(interactive=not running),
            view.resume: gr.update(interactive=status.can_resume),
            view.cancel: gr.update(interactive=running and not status.stopping),
        }

    def _adapters(self) -> tuple[Changes, PageState]:
        """The adapters, and what is remembered of them. A damaged registry is a sentence and stops nothing else."""
        view = self.view
        try:
            entries = self.service.registry.entries()
        except TempoError as error:
            line = status_html(user_message(error), error=True)
            return {view.adapters: line, view.adapter: gr.update(choices=[])}, PageState()
        serving = self.service.engines.status.message
        changes = {
            view.adapters: adapters_html(entries, serving),
            view.adapter: gr.update(choices=[entry.name for entry in entries]),
        }
        promoted = tuple((entry.name, entry.promoted) for entry in entries)
        return changes, PageState(serving=serving, adapters=promoted)

    async def show_row(
        self, row_id: str | None, side: str, run: str | None, request: gr.Request
    ) -> AsyncIterator[Changes]:
        """Truth, old and new of one held-out row, and one of them on its clip; role researcher."""
        view, media, clip_queue = self.view, self.grounding.media, self.grounding.queues.dataset_clips
        try:
            user = self.authenticator.require(request, Role.RESEARCHER)
            rows = await asyncio.to_thread(lambda: self.service.run_named(run).compared_rows())
            row = next((row for row in rows if row.row_id == row_id), None)
            if row is None:
                yield {
                    view.lanes: empty_figure("Choose a held-out row."),
                    view.timeline: empty_value(NOTHING_CHOSEN),
                }
                return
            sides = {"Truth": row.truth, "Old": _windows(row.old), "New": _windows(row.new)}
            yield {
                view.lanes: sides_figure(sides, row.duration_s),
                view.row_line: status_html(row.query),
                view.timeline: loading_value("Preparing the clip.", query=row.query),
            }
            if not row.video.is_file():
                raise InputError(f"The clip {row.video.name} is gone. Put it back to look at this row.")

            def prepare(job: Job) -> tuple[Clip, FilmStrip | None]:
                clip = media.ingest(row.video, owner=user.id, title=row.video.name, job=job)
                return clip, media.strip_of(clip, cancel=job.cancel)

            job = clip_queue.submit(user.id, prepare)
            async for _ in clip_queue.follow(job):
                pass
            clip, strip = result_of(job)
            yield {view.timeline: _timeline_value(row, side, clip, strip)}
        except Cancelled:
            return
        except Exception as error:
            message = user_message(error)
            yield {view.row_line: status_html(message, error=True), view.timeline: error_value(message)}

    @handler(Role.ADMINISTRATOR, line="served_line")
    def promote(self, name: str | None, state: PageState, user: User) -> Changes:
        """Serve an adapter from now on, or ask about one that did not pass; role administrator."""
        if not name:
            raise InputError("Choose an adapter first.")
        try:
            return self._served_changes(self.service.promote(user, name), state)
        except AgainstGate as error:
            view = self.view
            return {
                view.served_line: status_html(),
                view.ask: gr.update(visible=True),
                view.question: question_html(error),
                view.refused_adapter: name,
            }

    @handler(Role.ADMINISTRATOR, line="served_line")
    def promote_anyway(self, name: str, state: PageState, user: User) -> Changes:
        """Serve the adapter that was asked about; role administrator."""
        if not name:
            raise InputError("Choose an adapter first.")
        return self._served_changes(self.service.promote(user, name, against_gate=True), state)

    @handler(Role.ADMINISTRATOR, line="served_line")
    def leave(self, user: User) -> Changes:
        """Ask no longer; role administrator."""
        return {self.view.served_line: status_html(), **self._unasked()}

    @handler(Role.ADMINISTRATOR, line="served_line")
    def rollback(self, state: PageState, user: User) -> Changes:
        """Serve what was served before what this page shows; role administrator."""
        promoted = tuple(name for name, is_promoted in state.adapters if is_promoted)
        return self._served_changes(self.service.rollback(user, promoted or None), state)

    def _served_changes(self, line: str, state: PageState) -> Changes:
        changes, now = self._adapters()
        view = self.view
        return {
            view.served_line: status_html(line),
            **changes,
            view.state: now._replace(job=state.job),
            **self._unasked(),
        }

    def _unasked(self) -> Changes:
        return {
            self.view.ask: gr.update(visible=False),
            self.view.question: "",
            self.view.refused_adapter: "",
        }


def _default_run(runs: Sequence[RefreshRun], status: JobStatus) -> str | None:
    """The present job's refresh where it has begun to compare, else the newest."""
    job = None if status.folder is None else status.folder.name
    names = [run.name for run in runs]
    return job if job in names else next(iter(names), None)


def _row_choices(run: RefreshRun | None) -> list[tuple[str, str]]:
    return [] if run is None else [(row.title, row.row_id) for row in run.compared_rows()]


def _whole(seed: float | None) -> int:
    if seed is None or seed != int(seed):
        raise InputError(f"The seed must be a whole number; got {seed!r}.")
    return int(seed)


def _windows(answer: dict[str, Any] | None) -> list[list[float]]:
    return [[moment["start_s"], moment["end_s"]] for moment in (answer or {}).get("moments", [])]


def _timeline_value(row: HeldOutRow, side: str, clip: Clip, strip: FilmStrip | None) -> Any:
    """One side of a held-out row on its clip; the truth where that side has no answer."""
    from tempo_core.engine import Answer  # the page is up before torch is

    answer = {"old": row.old, "new": row.new}.get(side)
    if answer is None:
        moments = [{"start_s": start, "end_s": end, "confidence": 1.0} for start, end in row.truth]
        answer = {
            "refused": not moments,
            "relevance": float(bool(moments)),
            "moments": moments,
            "ranked": [],
            "text": "",
            "model_id": "truth",
            "timings": {},
        }
    return timeline_value(Answer.from_dict({**answer, "query": row.query}), clip, strip, None)
