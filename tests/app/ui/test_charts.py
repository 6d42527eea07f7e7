"""The Plotly figures: true seconds, honest gaps, and nothing that only one theme can show."""

import json
from typing import Any

import pytest

from app.ui.charts import allocation_figure, shown_s, sizes_figure

FRAMES: dict[str, Any] = {
    "times_s": [0.0, 1.0, 2.0, 5.0],
    "end_s": 6.0,
    "tokens": [4, 16, 16, 4],
    "variation": [0.0, 1.0, 0.5, 0.0],
    "sizes_px": [[56, 56], [112, 112], [112, 112], [56, 56]],
    "uniform_tokens": 10.0,
    "budget_tokens": 50,
}
NO_FRAMES: dict[str, Any] = {
    "times_s": [],
    "end_s": 1.0,
    "tokens": [],
    "variation": [],
    "sizes_px": [],
    "uniform_tokens": 0.0,
    "budget_tokens": 0,
}


def test_a_bar_covers_what_its_frame_stands_for() -> None:
    assert shown_s(FRAMES) == [1.0, 1.0, 1.0, 1.0]
    assert shown_s({**FRAMES, "times_s": [0.0, 1.0, 2.0, 3.4], "end_s": 4.5}) == pytest.approx(
        [1, 1, 1.4, 1.1]
    )
    assert shown_s({**FRAMES, "times_s": [2.0], "end_s": 6.0}) == [4.0]


def test_allocation_is_drawn_in_true_seconds() -> None:
    figure = allocation_figure(FRAMES, [{"start_s": 1.0, "end_s": 3.0}])
    bars, steps = figure.data
    assert (list(bars.x), list(bars.y), list(bars.width), bars.offset) == (
        [0.0, 1.0, 2.0, 5.0],
        [4, 16, 16, 4],
        [1.0] * 4,
        0,
    )
    assert (list(steps.x), list(steps.y)) == (FRAMES["times_s"], FRAMES["variation"])
    assert list(steps.width) == list(bars.width)
    lines = [shape for shape in figure.layout.shapes if shape.type == "line"]
    assert [shape.y0 for shape in lines] == [10.0]
    shaded = {(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"}
    assert shaded == {(1.0, 3.0)}


def test_sizes_are_counted_from_small_to_large() -> None:
    bars = sizes_figure(FRAMES).data[0]
    assert list(bars.y) == ["56 × 56 px, 4 tokens", "112 × 112 px, 16 tokens"]
    assert list(bars.x) == [2, 2]
    axis = sizes_figure(FRAMES).layout.xaxis
    assert (axis.title.text, axis.rangemode) == ("frames", "tozero")


def test_figures_are_plain_json_and_fit_both_themes() -> None:
    for figure in (
        allocation_figure(FRAMES),
        sizes_figure(FRAMES),
        allocation_figure(NO_FRAMES),
        sizes_figure(NO_FRAMES),
    ):
        figure_json = json.loads(figure.to_json())
        assert (
            figure_json["layout"]["paper_bgcolor"] == figure_json["layout"]["plot_bgcolor"] == "rgba(0,0,0,0)"
        )
        assert "http" not in figure.to_json()


def test_without_frames_the_figure_says_so() -> None:
    assert allocation_figure(NO_FRAMES).layout.annotations[0].text == "No frame was sampled."
