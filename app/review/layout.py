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
            self.planted = gr.HTML("", elem_id="review-planted")
            self.precision = gr.HTML("", elem_id="review-precision")
        self.outputs = [self.dataset, self.line, self.agreement, self.edges, self.table]
        self.outputs += [self.pace, self.repair, self.costs, self.anchoring, self.planted, self.precision]


class AdoptionView:
    """Deciding many rows by a rule, folded away; making one lays it out inside the current Blocks."""

    def __init__(self) -> None:
        self.previewed = gr.State(())
        with gr.Accordion("Decide many at once", open=False, elem_id="review-adoption"):
            hint = (
                "Rule: two annotators agree within one frame, nobody answered otherwise or flagged the row, and "
                "nobody has decided. The earlier answer becomes the decision."
            )
            gr.HTML(status_html(hint))
            with gr.Row():
                self.dataset = gr.Textbox(
                    label="Dataset", placeholder="empty: all", max_length=80, min_width=160, scale=1
                )
                self.preview = gr.Button("Show the rows", elem_id="adoption-preview", min_width=140)
                self.adopt = gr.Button(
                    "Decide these rows",
                    variant="primary",
                    interactive=False,
                    elem_id="adoption-adopt",
                    min_width=160,
                )
                self.undo = gr.Button("Take the last back", elem_id="adoption-undo", min_width=160)
            self.line = gr.HTML(status_html(), elem_id="adoption-line")
            self.rows = gr.HTML("", elem_id="adoption-rows")
