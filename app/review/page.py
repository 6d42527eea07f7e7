"""The review page: everybody's answers to one query on one timeline, least agreement first, and the decision.

The timeline is run by assets/review_page.js over the routes below /review/api; the figures below it are Gradio's.
"""

from typing import Annotated, Any

import gradio as gr
from fastapi import APIRouter

from annotations.anchoring import anchored_answers, by_annotator, by_arm
from annotations.correction_cost import correction_costs, cost_by_model, pace_by_annotator
from annotations.statistics import agreement_between_annotators, agreement_of_each, agreement_with_original
from app.auth.users import Authenticator, Role, User
from app.http.dependencies import Adjudicator, AfterId, RecordId, json_body, json_router
from app.http.errors import verdict_part
from app.review.layout import FiguresView
from app.review.service import DecisionRequest, ReviewService
from app.review.view import anchoring_html, costs_html, people_html
from app.timeline import Timeline
from app.ui.figures import agreement_figure, edges_figure, pace_figure, repair_figure
from app.ui.handlers import QUICK, Changes, handler
from app.ui.templates import status_html


class ReviewPage:
    """The timeline in review mode, and the figures folded below it."""

    title, path, role = "Review", "/review", Role.ADJUDICATOR

    def __init__(self, service: ReviewService, authenticator: Authenticator) -> None:
        self.service, self.authenticator = service, authenticator
        self.view: FiguresView

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
        view = self.view = FiguresView()
        view.fold.expand(self.figures, view.dataset, view.outputs, **QUICK)
        view.dataset.input(self.figures, view.dataset, view.outputs, **QUICK)

    @handler(Role.ADJUDICATOR, line="line")
    def figures(self, dataset: str | None, user: User) -> Changes:
        """How people agree, how fast they are, and what models' proposals cost them; role adjudicator."""
        view, store = self.view, self.service.store
        queries = store.answered_records(dataset or None)
        agreements = agreement_of_each(queries)
        mutual, with_original = agreement_between_annotators(queries), agreement_with_original(queries)
        paces, costs = pace_by_annotator(queries), correction_costs(queries)
        decided = anchored_answers(queries)
        names = [name for name, archived in store.datasets().items() if not archived]
        line = f"{mutual.pairs:,} pairs of answers, {len(costs):,} repaired proposals."
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
        }
