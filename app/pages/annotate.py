"""The Annotate page: one row of the queue at a time on an editable timeline.

The page is its timeline; everything that changes goes over the routes below /annotate/api.
"""

import gradio as gr
from fastapi import APIRouter

from app.accounts import Role
from app.timeline import Timeline


class AnnotatePage:
    """See the module's text."""

    title, path, role = "Annotate", "/annotate", Role.ANNOTATOR

    def routes(self) -> APIRouter | None:
        """The routes below /annotate/api."""
        return None

    def build(self, blocks: gr.Blocks) -> None:
        """One timeline in edit mode, run by assets/flow.js."""
        Timeline(label="Your moments", mode="annotate", workspace="flow.js", elem_id="annotate")
