"""The review page: everybody's answers to one query on one timeline, least agreement first, and the decision.

The timeline is run by assets/review_page.js over the routes below /review/api; the figures below it are Gradio's.
"""

from typing import Any

import gradio as gr
from fastapi import APIRouter

from annotations.anchoring import anchored_answers, by_annotator, by_arm
from annotations.correction_cost import correction_costs, cost_by_model, pace_by_annotator
from annotations.statistics import agreement_between_annotators, agreement_of_each, agreement_with_original
from app.auth.users import Authenticator, Role
from app.data.view import status_html
from app.http.errors import user_message
from app.review.layout import FiguresView, lay_out_figures
from app.review.service import ReviewService, review_routes
from app.review.view import anchoring_html, costs_html, people_html
from app.timeline import Timeline
from app.ui.figures import agreement_figure, edges_figure, pace_figure, repair_figure

Changes = dict[Any, Any]
"""New values by component: what a handler yields."""


class ReviewPage:
    """See the module's text."""

    title, path, role = "Review", "/review", Role.ADJUDICATOR

    def __init__(self, service: ReviewService, authenticator: Authenticator) -> None:
        self.service, self.authenticator = service, authenticator
        self.view: FiguresView

    def routes(self) -> APIRouter:
        """The routes below /review/api."""
        return review_routes(self.service, self.authenticator)

    def build(self, blocks: gr.Blocks) -> None:
        """The timeline in review mode, and the figures folded below it."""
        Timeline(label="Everybody's moments", mode="review", workspace="review_page.js", elem_id="review")
        view = self.view = lay_out_figures()
        quick: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "concurrency_limit": None,
        }
        shown = [
            view.dataset,
            view.line,
            view.agreement,
            view.edges,
            view.table,
            view.pace,
            view.repair,
            view.costs,
            view.anchoring,
        ]
        view.fold.expand(self.figures, view.dataset, shown, **quick)
        view.dataset.input(self.figures, view.dataset, shown, **quick)

    def figures(self, dataset: str | None, request: gr.Request) -> Changes:
        """How people agree, how fast they are, and what models' proposals cost them; role adjudicator."""
        view = self.view
        try:
            self.authenticator.require(request, self.role)
            store, name = self.service.store, dataset or None
            each = agreement_of_each(store, dataset=name)
            between = agreement_between_annotators(store, dataset=name)
            released = agreement_with_original(store, dataset=name)
            paces, found = pace_by_annotator(store, dataset=name), correction_costs(store, dataset=name)
            decided = anchored_answers(store, dataset=name)
            names = [name for name, archived in store.datasets().items() if not archived]
        except Exception as error:
            return {view.line: status_html(user_message(error), error=True)}
        return {
            view.dataset: gr.update(choices=[("All datasets", ""), *((name, name) for name in names)]),
            view.line: status_html(f"{between.pairs:,} pairs of answers, {len(found):,} repaired proposals."),
            view.agreement: agreement_figure({"annotators": between, "released and corrected": released}),
            view.edges: edges_figure(each),
            view.table: people_html(paces, each),
            view.pace: pace_figure(paces),
            view.repair: repair_figure(found),
            view.costs: costs_html(cost_by_model(found)),
            view.anchoring: anchoring_html(by_arm(decided), by_annotator(decided)),
        }
