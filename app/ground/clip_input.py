"""The clip field: Gradio's video input, which takes uploaded files only and converts none of them."""

from pathlib import Path
from typing import Any

import gradio as gr


class ClipInput(gr.Video):
    """A video input that hands the uploaded file on as it is.

    Gradio itself runs ffmpeg on the upload in the web process when audio is to be left out. That files are uploads
    of the sender is the rule of `app.media.uploads.OwnedFileBlocks`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(sources=["upload", "webcam"], include_audio=True, **settings)

    def preprocess(self, payload: Any) -> str | None:
        """The uploaded file's path."""
        return None if payload is None else str(Path(payload.path))

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """The settings of the video input: the browser runs that component."""
        return super().get_config(gr.Video)

    def get_block_name(self) -> str:
        return "video"
