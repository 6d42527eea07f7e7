"""The clip field: Gradio's video input with the doors shut that a stranger could use."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder, is_in_or_equal
from gradio_client.utils import is_http_url_like


class ClipInput(gr.Video):
    """A video input that takes uploaded files only.

    Gradio itself would fetch an http address that an API caller names, from this host, and runs ffmpeg on
    the upload in the web process when audio is to be left out. Neither happens here.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(sources=["upload", "webcam"], include_audio=True, **settings)

    async def async_move_resource_to_block_cache(self, url_or_file_path: str | Path | None) -> str | None:
        """The path itself, once it is sure that it was uploaded here. Raises gr.Error for addresses and
        other files.
        """
        if url_or_file_path is not None and is_http_url_like(str(url_or_file_path)):
            raise gr.Error("A clip must be uploaded; an address is not fetched. Use handle_file('clip.mp4').")
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload: Any) -> str | None:
        """The uploaded file's path. Raises gr.Error when it is gone or was not uploaded here."""
        if payload is None:
            return None
        path = Path(payload.path or "")
        if not is_in_or_equal(path, get_upload_folder()) or not path.is_file():
            raise gr.Error("The uploaded clip is no longer kept here. Upload it again.")
        return str(path)

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """The settings of the video input: the browser runs that component."""
        return super().get_config(gr.Video)

    def get_block_name(self) -> str:
        return "video"
