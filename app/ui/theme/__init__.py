"""How the app looks: system fonts only, so that no request leaves the host; light and dark from the same
variables.
"""

from pathlib import Path

import gradio as gr

STYLES = Path(__file__).parent

SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

ACCENT = gr.themes.Color(
    name="tempo",
    c50="#eef6fb",
    c100="#d6eaf6",
    c200="#add5ed",
    c300="#85c0e3",
    c400="#56b4e9",
    c500="#0072b2",
    c600="#0072b2",
    c700="#005f94",
    c800="#004d78",
    c900="#003a5c",
    c950="#00263d",
)
"""The one accent colour, Okabe and Ito's blue, as the timeline has it."""


def theme() -> gr.themes.Base:
    """The app's Gradio theme."""
    return gr.themes.Default(
        primary_hue=ACCENT,
        secondary_hue=ACCENT,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=SANS,
        font_mono=MONO,
    ).set(  # the defaults do not reach a contrast of 4.5:1 for words and 3:1 for what is pressed
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        link_text_color_dark="*primary_400",
        link_text_color_visited_dark="*primary_400",
        link_text_color_hover_dark="*primary_300",
    )


def style() -> str:
    """The app's own stylesheets: every file beside this one, in the order of their names."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(STYLES.glob("*.css")))
