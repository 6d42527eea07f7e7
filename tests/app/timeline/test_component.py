"""The timeline's value: what the builder makes of an answer, and what the check refuses."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.media.library import Clip, ClipFacts, FilmStrip
from app.timeline import Timeline, check_value, empty_value, error_value, loading_value, timeline_value
from app.timeline.component import ASSETS, assets_version, mount_assets
from tempo_core.errors import InputError
from tempo_core.film_plan import FilmWindow, Look
from tempo_core.moments import Moment
from tempo_core.vocabulary import Understanding
from tests.app.timeline.harness import ready_value


@dataclass(frozen=True)
class Allocation:
    tokens: Any = field(default_factory=lambda: np.array([4, 16, 4]))
    sizes_px: Any = field(default_factory=lambda: np.array([[56, 56], [112, 112], [56, 56]]))
    variation: Any = field(default_factory=lambda: np.array([0.0, 1.0, 0.25]))
    budget_tokens: int = 24


@dataclass(frozen=True)
class Context:
    times_s: Any = field(default_factory=lambda: np.array([0.0, 1.0, 2.0]))
    end_s: float = 3.0
    allocation: Allocation = field(default_factory=Allocation)


@dataclass(frozen=True)
class Answer:
    query: str = "a red disc"
    moments: tuple[Moment, ...] = (Moment(1.0, 2.0),)
    confidences: tuple[float, ...] = (0.9,)
    relevance: float | None = 0.8
    refused: bool = False
    ranked: tuple[tuple[Moment, float], ...] = ((Moment(1.0, 2.0), 0.6), (Moment(0.0, 2.0), 0.3))
    understood: Understanding | None = None
    looks: tuple[Look, ...] = ()


STRIP = FilmStrip(tile_width=96, tile_height=54, columns=4, times_s=(0.0, 1.0))


def clip(frame_rate: float | None = 30000 / 1001) -> Clip:
    facts = ClipFacts(duration_s=3.0, frame_rate=frame_rate, width=320, height=180)
    return Clip(id="1", owner="ada", title="", source_sha256="", folder=Path(), facts=facts)


def test_an_answer_becomes_plain_json() -> None:
    value = timeline_value(Answer(), clip(), STRIP, Context())
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert value == {
        "rev": value["rev"],
        "state": "ready",
        "message": None,
        "query": "a red disc",
        "video": {
            "url": "/media/1",
            "id": "1",
            "duration_s": 3.0,
            "frame_rate": 30000 / 1001,
            "width": 320,
            "height": 180,
        },
        "strip": {
            "url": "/media/1/strip",
            "tile_width": 96,
            "tile_height": 54,
            "columns": 4,
            "times_s": [0.0, 1.0],
            "levels": 0,
        },
        "frames": {
            "times_s": [0.0, 1.0, 2.0],
            "end_s": 3.0,
            "tokens": [4, 16, 4],
            "variation": [0.0, 1.0, 0.25],
            "sizes_px": [[56, 56], [112, 112], [56, 56]],
            "uniform_tokens": 8.0,
            "budget_tokens": 24,
        },
        "moments": [{"start_s": 1.0, "end_s": 2.0, "confidence": 0.9, "band": "clear"}],
        "ranked": [
            {"start_s": 1.0, "end_s": 2.0, "score": 0.6},
            {"start_s": 0.0, "end_s": 2.0, "score": 0.3},
        ],
        "ranking": False,
        "selected": 0,
        "refusal": {"refused": False, "relevance": 0.8},
        "understood": None,
        "looks": None,
    }


def test_a_films_looks_are_parts_of_the_value() -> None:
    window = FilmWindow(0.0, 2.0, 0.5)
    moments = (Moment(0.5, 1.0),)
    look = Look(
        window=window, kind="second", num_frames=4, relevance=0.9, moments=moments, confidences=(0.5,)
    )
    value = timeline_value(Answer(looks=(look,)), clip(), STRIP, Context())
    assert value["looks"] == [
        {
            "start_s": 0.0,
            "end_s": 2.0,
            "kind": "second",
            "step_s": 0.5,
            "frames": 4,
            "relevance": 0.9,
            "moments": 1,
        }
    ]
    assert check_value(value) == value
    with pytest.raises(InputError, match=r"looks\.0\.kind"):
        check_value({**value, "looks": [{**value["looks"][0], "kind": "third"}]})
    assert loading_value("Looking.", clip=clip(), is_film=True)["looks"] == []


def test_not_knowing_what_was_asked_is_a_state_of_its_own() -> None:
    unknown = Understanding(probability=0.0, words=("dog",))
    answer = Answer(moments=(), confidences=(), relevance=None, ranked=(), understood=unknown)
    value = timeline_value(answer, clip(), STRIP, Context())
    assert (value["moments"], value["ranked"]) == ([], [])
    assert value["refusal"] == {"refused": False, "relevance": None}
    assert value["understood"] == {"probability": 0.0, "words": ["dog"], "sentence": unknown.sentence}
    assert check_value(value) == value
    with pytest.raises(InputError, match=r"understood\.probability"):
        check_value({**value, "understood": {**value["understood"], "probability": 2}})


def test_a_clip_without_even_frames_states_no_rate() -> None:
    assert timeline_value(Answer(), clip(frame_rate=None), None, None)["video"]["frame_rate"] is None


def test_two_equal_answers_differ_in_rev() -> None:
    first, second = (timeline_value(Answer(), None, None, Context()) for _ in range(2))
    assert first["rev"] != second["rev"]
    assert {**first, "rev": ""} == {**second, "rev": ""}


def test_loading_and_error_keep_what_is_known() -> None:
    for make, state in ((loading_value, "loading"), (error_value, "error")):
        value = make("Words", query="q", clip=clip())
        assert (value["state"], value["message"], value["query"]) == (state, "Words", "q")
        assert value["video"] == timeline_value(Answer(), clip(), None, None)["video"]
        assert (value["frames"], value["strip"]) == (None, None)
        assert value["moments"] == []


def test_a_missing_confidence_is_not_made_up() -> None:
    with pytest.raises(ValueError, match="zip"):
        timeline_value(Answer(confidences=()), None, None, Context())


def broken(path: str, replacement: Any) -> dict[str, Any]:
    value = json.loads(json.dumps(ready_value()))
    *parents, last = path.split(".")
    node = value
    for name in parents:
        node = node[int(name)] if isinstance(node, list) else node[name]
    node[int(last) if isinstance(node, list) else last] = replacement
    return value


@pytest.mark.parametrize(
    ("path", "replacement", "says"),
    [
        ("state", "done", "`state` is 'done': input should be 'empty', 'loading', 'ready' or 'error'"),
        ("moments.0.end_s", 4.0, "`moments.0` is {.*}: it must end after it starts"),
        ("moments.0.confidence", 1.2, "`moments.0.confidence` is 1.2: .* less than or equal to 1"),
        ("moments.0.confidence", math.nan, "finite"),
        ("moments.0.start_s", -1.0, "`moments.0.start_s` is -1.0: .* greater than or equal to 0"),
        ("moments.0.start_s", "4", "`moments.0.start_s` is '4': .* valid number"),
        ("ranked.1.score", True, "`ranked.1.score` is True: .* valid number"),
        ("frames.tokens", [1, 2], "one length"),
        ("frames.times_s.1", 0.0, "`frames.times_s` is .*: each must be greater than the one before"),
        ("frames.end_s", 3.0, "after the last frame"),
        ("frames.variation.2", math.inf, "`frames.variation.2` is inf: .* finite number"),
        ("strip.columns", 0, "`strip.columns` is 0: .* greater than 0"),
        ("video.duration_s", 0, "`video.duration_s` is 0: .* greater than 0"),
        ("refusal.relevance", 2, "`refusal.relevance` is 2: .* less than or equal to 1"),
    ],
)
def test_a_value_that_cannot_be_drawn_is_refused(path: str, replacement: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_value(broken(path, replacement))


def test_a_value_lacking_a_part_names_it() -> None:
    value: dict[str, Any] = {**empty_value()}
    del value["ranked"]
    with pytest.raises(InputError, match=r"`ranked` is missing"):
        check_value(value)
    with pytest.raises(InputError, match=r"<p>Hello</p>.*: input should be a valid dictionary"):
        check_value("<p>Hello</p>")


def test_the_component_bakes_no_value_and_no_text_into_the_page() -> None:
    with gr.Blocks(analytics_enabled=False):
        timeline = Timeline(elem_id="t")
    config = timeline.get_config()
    assert config["value"] is None
    assert "{{" not in config["html_template"]
    assert "${" not in config["html_template"]
    assert f'"/ui-assets", version = "{assets_version()}"' in config["js_on_load"]
    assert timeline.postprocess(None) is None
    assert timeline.postprocess(ready_value(rev="1")) == ready_value(rev="1")


def test_assets_are_revalidated_and_nothing_else_is_served() -> None:
    app = FastAPI()
    mount_assets(app)
    client = TestClient(app)
    for path in sorted(ASSETS.iterdir()):
        response = client.get(f"/ui-assets/{path.name}")
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-cache"
        assert ("javascript" if path.suffix == ".js" else "css") in response.headers["content-type"]
    again = client.get(
        "/ui-assets/viewport.js",
        headers={"If-None-Match": client.get("/ui-assets/viewport.js").headers["etag"]},
    )
    assert again.status_code == 304
    assert client.get("/ui-assets/../component.py").status_code == 404
