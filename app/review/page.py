"""The review page: everybody's answers to one query on one timeline, least agreement first, and the decision.

The timeline is run by assets/review_page.js over the routes below /review/api; the figures below it are Gradio's.
"""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import uuid4

import gradio as gr
from fastapi import APIRouter

from annotations.anchoring import anchored_answers, by_annotator, by_arm
from annotations.bulk_adoption import AgreedRow, adopt_rows, agreed_rows, bulk_adoptions
from annotations.correction_cost import correction_costs, cost_by_model, pace_by_annotator
from annotations.statistics import agreement_between_annotators, agreement_of_each, agreement_with_original
from app.auth.users import Authenticator, Role, User
from app.http.dependencies import Adjudicator, AfterId, RecordId, json_body, json_router
from app.http.errors import verdict_part
from app.review.layout import AdoptionView, FiguresView
from app.review.service import DecisionRequest, ReviewService
from app.review.view import (
    agreed_html,
    anchoring_html,
    costs_html,
    people_html,
    planted_html,
    precision_html,
)
from app.timeline import Timeline
from app.ui.figures import agreement_figure, edges_figure, pace_figure, repair_figure
from app.ui.handlers import QUICK, Changes, handler
from app.ui.templates import status_html
from tempo_core.wording import plural


class ReviewView:
    """What stands below the timeline."""

    def __init__(self) -> None:
        self.adoption = AdoptionView()
        self.figures = FiguresView()


class ReviewPage:
    """The timeline in review mode, and the figures folded below it."""

    title, path, role = "Review", "/review", Role.ADJUDICATOR

    def __init__(self, service: ReviewService, authenticator: Authenticator) -> None:
        self.service, self.authenticator = service, authenticator
        self.view: ReviewView

    def routes(self) -> APIRouter:
        """The queue, one query with every answer, and the decision; role adjudicator."""
        router, service = json_router("/review/api"), self.service

        @router.get("/queue")
        def queue(user: Adjudicator, dataset: str = "", after: AfterId = None) -> dict[str, Any]:
            return service.queue(dataset, after)

        @router.get("/queries/{query_id}")
        def item(query_id: RecordId, user: Adjudicator) -> dict[str, Any]:
            return service.item(user, query_id)

        @router.post("/queries/{query_id}/verdict")
        def verdict(
            query_id: RecordId,
            user: Adjudicator,
            body: Annotated[DecisionRequest, json_body(DecisionRequest)],
        ) -> dict[str, Any]:
            return {"verdict": verdict_part(service.decide(user, query_id, body))}

        return router

    def build(self, blocks: gr.Blocks) -> None:
        """Lay the page out inside its route and connect every event."""
        Timeline(label="Everybody's moments", mode="review", workspace="review_page.js", elem_id="review")
        self.view = ReviewView()
        view, adoption = self.view.figures, self.view.adoption
        view.fold.expand(self.figures, view.dataset, view.outputs, **QUICK)
        view.dataset.input(self.figures, view.dataset, view.outputs, trigger_mode="always_last", **QUICK)
        outputs = [adoption.line, adoption.rows, adoption.previewed, adoption.adopt]
        adoption.preview.click(self.preview, adoption.dataset, outputs, **QUICK)
        adoption.adopt.click(self.adopt, [adoption.dataset, adoption.previewed], outputs, **QUICK)
        adoption.undo.click(self.undo, None, outputs, **QUICK)

    @handler(Role.ADJUDICATOR, line="adoption.line")
    def preview(self, dataset: str | None, user: User) -> Changes:
        """The rows that the rule would decide; role adjudicator."""
        rows = agreed_rows(self.service.store.answered_records((dataset or "").strip() or None))
        line = f"{plural(len(rows), 'row')} would be decided." if rows else "No row fits the rule."
        return self._adoption(line, rows)

    @handler(Role.ADJUDICATOR, line="adoption.line")
    def adopt(self, dataset: str | None, previewed: Sequence[tuple[int, int]], user: User) -> Changes:
        """Decide the rows that were shown, as far as the rule still holds; role adjudicator."""
        store = self.service.store
        present = agreed_rows(store.answered_records((dataset or "").strip() or None))
        pairs = {(query_id, correction_id) for query_id, correction_id in previewed}
        rows = [row for row in present if (row.query_id, row.correction_id) in pairs]
        adopt_rows(store, rows, actor=user.id)
        line = f"{plural(len(rows), 'row')} decided. “Take the last back” undoes it."
        if len(rows) < len(pairs):
            line += f" {plural(len(pairs) - len(rows), 'row')} had changed meanwhile and stayed."
        return self._adoption(line, [])

    @handler(Role.ADJUDICATOR, line="adoption.line")
    def undo(self, user: User) -> Changes:
        """Take back the newest bulk adoption that still stands; role adjudicator."""
        store = self.service.store
        batch = next((adoption for adoption in bulk_adoptions(store) if adoption.standing), None)
        if batch is None:
            return self._adoption("There is nothing to take back.", [])
        query_ids = store.withdraw_verdicts(batch.batch, op_id=str(uuid4()), actor=user.id)
        return self._adoption(f"{plural(len(query_ids), 'row is', 'rows are')} open again.", [])

    def _adoption(self, line: str, rows: Sequence[AgreedRow]) -> Changes:
        view = self.view.adoption
        return {
            view.line: status_html(line),
            view.rows: agreed_html(rows),
            view.previewed: tuple((row.query_id, row.correction_id) for row in rows),
            view.adopt: gr.update(interactive=bool(rows)),
        }

    @handler(Role.ADJUDICATOR, line="figures.line")
    def figures(self, dataset: str | None, user: User) -> Changes:
        """How people agree, how fast they are, and what models' proposals cost them; role adjudicator."""
        view, store = self.view.figures, self.service.store
        queries = store.answered_records(dataset or None)
        agreements = agreement_of_each(queries)
        mutual, with_original = agreement_between_annotators(queries), agreement_with_original(queries)
        paces, costs = pace_by_annotator(queries), correction_costs(queries)
        decided = anchored_answers(queries)
        names = [name for name, archived in store.datasets().items() if not archived]
        line = f"{plural(mutual.pairs, 'pair')} of answers, {plural(len(costs), 'repaired proposal')}."
        return {
            view.dataset: gr.update(choices=[("All datasets", ""), *((name, name) for name in names)]),
            view.line: status_html(line),
            view.agreement: agreement_figure({"annotators": mutual, "released and corrected": with_original}),
            view.edges: edges_figure(agreements),
            view.table: people_html(paces, agreements),
            view.pace: pace_figure(paces),
            view.repair: repair_figure(costs),
            view.costs: costs_html(cost_by_model(costs)),
            view.anchoring: anchoring_html(by_arm(decided), by_annotator(decided)),
            view.planted: planted_html(store.planted_answers()),
            view.precision: precision_html(store.reason_precisions()),
        }
