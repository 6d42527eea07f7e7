"""What stands below the timeline of the review page: figures about people and models."""

import gradio as gr

from app.ui.templates import status_html


class FiguresView:
    """The figures, folded away; making one lays them out inside the current Blocks."""

    def __init__(self) -> None:
        with gr.Accordion(
            "Agreement, pace and repair cost", open=False, elem_id="review-figures"
        ) as self.fold:
            with gr.Row():
                self.dataset = gr.Dropdown(
                    [("All datasets", "")], value="", label="Dataset", min_width=160, scale=1
                )
                self.line = gr.HTML(status_html(), elem_id="review-figures-line")
            with gr.Row():
                self.agreement = gr.Plot(label="Agreement", elem_id="review-agreement", min_width=330)
                self.edges = gr.Plot(label="Edges", elem_id="review-edges", min_width=330)
            self.table = gr.HTML("", elem_id="review-annotators")
            with gr.Row():
                self.pace = gr.Plot(label="Pace", elem_id="review-pace", min_width=330)
                self.repair = gr.Plot(
                    label="Repair cost of each proposal", elem_id="review-repair", min_width=330
                )
            self.costs = gr.HTML("", elem_id="review-costs")
            self.anchoring = gr.HTML("", elem_id="review-anchoring")
        self.outputs = [self.dataset, self.line, self.agreement, self.edges, self.table]
        self.outputs += [self.pace, self.repair, self.costs, self.anchoring]
