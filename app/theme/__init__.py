"""How the app looks: system fonts only, so that no request leaves the host; light and dark from the same
variables.
"""

from pathlib import Path

import gradio as gr

from app.charts import CHARTS_CSS

STYLE = Path(__file__).parent / "style.css"

SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def theme() -> gr.themes.Base:
    """The app's Gradio theme."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.indigo,
        secondary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=SANS,
        font_mono=MONO,
    )


def style() -> str:
    """The app's own stylesheet."""
    return STYLE.read_text(encoding="utf-8") + CHARTS_CSS
