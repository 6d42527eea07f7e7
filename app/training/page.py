"""The train page: what a refresh would use, the job with its curves, old against new, and the adapters.

Researchers start, cancel and resume; promoting and rolling back takes an administrator. Everything slow runs in a
thread or in the clip lane; the training itself is a child process (`app.training.jobs`), so the page stays responsive.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import gradio as gr
from fastapi import APIRouter

from app.auth.users import Authenticator, NotAllowed, Role, User
from app.data.view import status_html
from app.ground.service import GroundingService
from app.http.errors import user_message
from app.job_queue import Job, result_of
from app.media.library import Clip, FilmStrip
from app.timeline import empty_value, error_value, loading_value, timeline_value
from app.training.figures import curves_figure, sides_figure
from app.training.jobs import JobStatus
from app.training.layout import TrainView, lay_out
from app.training.service import HeldOutRow, TrainingService
from app.training.view import adapters_html, job_html, preview_html, scores_html
from app.ui.charts import empty_figure
from tempo_core.errors import Cancelled, InputError, TempoError

Changes = dict[Any, Any]
"""New values by component: what a handler yields."""
PROMOTED = "*"
"""Behind an adapter's name in what the page remembers."""
NOTHING_CHOSEN = "Choose a held-out row: its clip appears here, with the answer before or after the refresh."


class TrainPage:
    """The page's handlers; `build` lays it out and wires them."""

    title, path, role = "Train", "/train", Role.RESEARCHER

    def __init__(
        self, training: TrainingService, grounding: GroundingService, authenticator: Authenticator
    ) -> None:
        self.training, self.grounding, self.authenticator = training, grounding, authenticator
        self.view: TrainView

    def routes(self) -> APIRouter | None:
        """None: the page has no routes of its own."""
        return None

    def build(self, blocks: gr.Blocks) -> None:
        """Lay the page out inside its route and connect every event."""
        view = self.view = lay_out()
        quick: dict[str, Any] = {
            "show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None
        }  # fmt: skip
        told = [view.line, view.job, view.start, view.resume, view.cancel, view.memory, view.ticker]
        view.start.click(self.start, [view.recipe, view.seed], told, **quick)
        view.resume.click(self.resume, None, told, **quick)
        view.cancel.click(self.cancel, None, told, **quick)
        view.look.click(self.look, None, [view.preview], **quick)
        watched = [*told, view.curves, view.scores, view.row, view.adapters, view.adapter]
        view.ticker.tick(self.watch, view.memory, watched, **quick)
        shown = [view.lanes, view.row_line, view.timeline]
        gr.on(
            [view.row.input, view.side.input], self.show, [view.row, view.side], shown,
            trigger_mode="always_last", **quick,
        )  # fmt: skip
        served = [view.served_line, view.adapters, view.adapter]
        view.promote.click(self.promote, [view.adapter, view.memory], [*served, view.memory], **quick)
        view.rollback.click(self.rollback, view.memory, [*served, view.memory], **quick)
        blocks.load(
            self.arrive, None,
            [view.recipe, view.promote, view.rollback, view.preview, view.timeline, *watched], **quick,
        )  # fmt: skip

    async def arrive(self, request: gr.Request) -> AsyncIterator[Changes]:
        """A fresh page: the job at once, then what a refresh would use; role researcher."""
        view = self.view
        try:
            user = self.authenticator.require(request, self.role)
            names = await asyncio.to_thread(self.training.recipes)
            may = Role.ADMINISTRATOR in user.roles
            yield {
                view.recipe: gr.update(choices=names, value=names[0]),
                view.promote: gr.update(visible=may),
                view.rollback: gr.update(visible=may),
                view.preview: status_html("Counting."),
                view.timeline: empty_value(NOTHING_CHOSEN),
                **await asyncio.to_thread(self._standing, ""),
            }
            yield {view.preview: await asyncio.to_thread(self._preview)}
        except Exception as error:
            yield {view.line: status_html(user_message(error), error=True)}

    async def look(self, request: gr.Request) -> Changes:
        """Count again what a refresh would use; role researcher."""
        try:
            self.authenticator.require(request, self.role)
        except NotAllowed as error:
            return {self.view.preview: status_html(str(error), error=True)}
        return {self.view.preview: await asyncio.to_thread(self._preview)}

    def _preview(self) -> str:
        try:
            return preview_html(self.training.preview())
        except Exception as error:
            return status_html(user_message(error), error=True)

    async def start(self, recipe: str, seed: float | None, request: gr.Request) -> Changes:
        """Begin a refresh; role researcher."""
        try:
            user = self.authenticator.require(request, self.role)
            number = _whole(seed)
            status = await asyncio.to_thread(self.training.start, user, recipe, number)
            return {self.view.line: status_html("Started."), **self._job(status), self.view.memory: ""}
        except Exception as error:
            return {self.view.line: status_html(user_message(error), error=True)}

    async def resume(self, request: gr.Request) -> Changes:
        """Go on with the job that stopped; role researcher."""
        try:
            user = self.authenticator.require(request, self.role)
            status = await asyncio.to_thread(self.training.jobs.resume, user.id)
            return {self.view.line: status_html("It goes on where it was."), **self._job(status)}
        except Exception as error:
            return {self.view.line: status_html(user_message(error), error=True)}

    async def cancel(self, request: gr.Request) -> Changes:
        """Ask the job to stop; role researcher."""
        try:
            self.authenticator.require(request, self.role)
            status = await asyncio.to_thread(self.training.jobs.cancel)
            return {self.view.line: status_html(""), **self._job(status)}
        except Exception as error:
            return {self.view.line: status_html(user_message(error), error=True)}

    async def watch(self, memory: str, request: gr.Request) -> Changes:
        """What has changed since the last look; role researcher."""
        try:
            self.authenticator.require(request, self.role)
            return await asyncio.to_thread(self._standing, memory)
        except Exception as error:
            return {self.view.line: status_html(user_message(error), error=True)}

    def _standing(self, memory: str) -> Changes:
        """The job; and, where something moved, its curves, its results and the adapters."""
        view, jobs = self.view, self.training.jobs
        adapters, shown = self._adapters()
        status = jobs.status() if shown is None else self.training.status()
        lines = jobs.curves()
        changes = self._job(status)
        now = f"{status.folder}|{status.state}|{status.stage}|{len(lines)}|{shown}"
        if now == memory:
            return {**changes, view.memory: gr.skip()}
        outcome = jobs.report("outcome") if shown is None else self.training.outcome()
        changes |= {
            view.memory: now,
            view.curves: curves_figure(lines),
            view.scores: scores_html(jobs.report("scores"), outcome),
            **adapters,
        }
        if status.state != "running" or not memory:
            rows = [(_name(row), row.row_id) for row in self.training.compared()]
            changes[view.row] = gr.update(choices=rows)
        return changes

    def _job(self, status: JobStatus) -> Changes:
        view, running = self.view, status.state == "running"
        return {
            view.job: job_html(status),
            view.start: gr.update(interactive=not running),
            view.resume: gr.update(interactive=status.can_resume),
            view.cancel: gr.update(interactive=running and not status.stopping),
        }

    def _adapters(self) -> tuple[Changes, str | None]:
        """The adapters, and in a few words what is shown of them; None: a damaged one, a sentence that stops nothing
        else."""
        view = self.view
        try:
            entries = self.training.registry.entries()
        except TempoError as error:
            said = status_html(user_message(error), error=True)
            return {view.adapters: said, view.adapter: gr.update(choices=[])}, None
        serving = self.training.engines.status.message
        shown = {
            view.adapters: adapters_html(entries, serving),
            view.adapter: gr.update(choices=[entry.name for entry in entries]),
        }
        names = ",".join(f"{entry.name}{PROMOTED if entry.promoted else ''}" for entry in entries)
        return shown, f"{serving}|{names}"

    async def show(self, row_id: str | None, side: str, request: gr.Request) -> AsyncIterator[Changes]:
        """Truth, old and new of one held-out row, and one of them on its clip; role researcher."""
        view = self.view
        try:
            user = self.authenticator.require(request, self.role)
            rows = await asyncio.to_thread(self.training.compared)
            row = next((each for each in rows if each.row_id == row_id), None)
            if row is None:
                yield {
                    view.lanes: empty_figure("Choose a held-out row."),
                    view.timeline: empty_value(NOTHING_CHOSEN),
                }
                return
            sides = _sides(row)
            yield {
                view.lanes: sides_figure({name: sides[key] for name, key in _NAMES.items()}, row.duration_s),
                view.row_line: status_html(row.query),
                view.timeline: loading_value("Preparing the clip.", query=row.query),
            }
            clip, strip = await self._clip(user, row)
            yield {view.timeline: _value(row, side, sides, clip, strip)}
        except Cancelled:
            return
        except Exception as error:
            yield {
                view.row_line: status_html(user_message(error), error=True),
                view.timeline: error_value(user_message(error)),
            }

    async def _clip(self, user: User, row: HeldOutRow) -> tuple[Clip, FilmStrip | None]:
        media = self.grounding.media

        def work(job: Job) -> tuple[Clip, FilmStrip | None]:
            clip = media.ingest(
                row.video, owner=user.id, title=row.video.name, cancel=job.cancel,
                progress=lambda fraction: job.report("preparing", fraction),
            )  # fmt: skip
            return clip, media.strip_of(clip, cancel=job.cancel)

        if not row.video.is_file():
            raise InputError(f"The clip {row.video.name} is gone. Put it back to look at this row.")
        job = self.grounding.clip_queue.submit(user.id, work, cancel=threading.Event())
        async for _ in self.grounding.clip_queue.follow(job):
            pass
        found: tuple[Clip, FilmStrip | None] = result_of(job)
        return found

    async def promote(self, name: str | None, memory: str, request: gr.Request) -> Changes:
        """Serve an adapter from now on; role administrator."""
        try:
            user = self.authenticator.require(request, Role.ADMINISTRATOR)
            if not name:
                raise InputError("Choose an adapter first.")
            said = await asyncio.to_thread(self.training.promote, user, name)
            return self._served(said, memory)
        except Exception as error:
            return {self.view.served_line: status_html(user_message(error), error=True)}

    async def rollback(self, memory: str, request: gr.Request) -> Changes:
        """Serve what was served before what this page shows; role administrator."""
        try:
            user = self.authenticator.require(request, Role.ADMINISTRATOR)
            shown = tuple(
                name.removesuffix(PROMOTED)
                for name in memory.rpartition("|")[2].split(",")
                if name.endswith(PROMOTED)
            )
            said = await asyncio.to_thread(self.training.rollback, user, shown or None)
            return self._served(said, memory)
        except Exception as error:
            return {self.view.served_line: status_html(user_message(error), error=True)}

    def _served(self, line: str, memory: str) -> Changes:
        adapters, shown = self._adapters()
        before = "|".join(memory.split("|")[:4])
        return {self.view.served_line: status_html(line), **adapters, self.view.memory: f"{before}|{shown}"}


_NAMES = {"Truth": "truth", "Old": "old", "New": "new"}


def _name(row: HeldOutRow) -> str:
    where = "corrected" if row.row_set == "corrected" else "known before"
    return f"{row.query} ({where}, {row.row_id})"


def _sides(row: HeldOutRow) -> dict[str, list[list[float]]]:
    def moments(answer: dict[str, Any] | None) -> list[list[float]]:
        return [[each["start_s"], each["end_s"]] for each in (answer or {}).get("moments", [])]

    return {"truth": row.truth, "old": moments(row.old), "new": moments(row.new)}


def _value(row: HeldOutRow, side: str, sides: dict[str, Any], clip: Clip, strip: FilmStrip | None) -> Any:
    from tempo_core.engine import Answer  # the page is up before torch is

    said = row.old if side == "old" else row.new
    if side == "truth" or said is None:
        moments = [{"start_s": start, "end_s": end, "confidence": 1.0} for start, end in sides["truth"]]
        said = {
            "query": row.query, "refused": not moments, "relevance": float(bool(moments)), "moments": moments,
            "ranked": [], "text": "", "model_id": "truth", "timings": {},
        }  # fmt: skip
    drawn = (
        None if strip is None else {**asdict(strip), "times_s": list(strip.times_s), "url": clip.strip_url}
    )
    return timeline_value(Answer.from_dict({**said, "query": row.query}), None, clip.url, clip.facts, drawn)


def _whole(seed: float | None) -> int:
    if seed is None or seed != int(seed):
        raise InputError(f"The seed must be a whole number; got {seed!r}.")
    return int(seed)
