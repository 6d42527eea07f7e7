"""P(relevant) becomes a frequency, and the command writes it where the model finds it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core.__main__ import main
from tempo_core.calibration import (
    FILE_NAME,
    PlattScaling,
    band_of,
    fit_scaling,
    read_scaling,
    relevance_note,
    write_scaling,
)
from tempo_core.errors import CheckpointError, InputError
from tempo_core.protocols import protocol_named


def draw(
    *, slope: float, offset: float, count: int = 4000, seed: int = 0
) -> tuple[list[float], list[bool], list[int]]:
    """Figures of a model whose true P(relevant) is sigmoid(slope * logit + offset), eight rows a video."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(1.0, 2.0, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-(slope * logits + offset)))
    return (1 / (1 + np.exp(-logits))).tolist(), truth.tolist(), [row // 8 for row in range(count)]


def test_the_fit_finds_what_the_figures_were_made_with() -> None:
    scaling = fit_scaling(*draw(slope=0.5, offset=-1.0), model_id="m")
    assert scaling.slope == pytest.approx(0.5, abs=0.05)
    assert scaling.offset == pytest.approx(-1.0, abs=0.1)
    assert scaling.error_after < 0.03 < 0.15 < scaling.error_before
    assert scaling.scale(0.5) == pytest.approx(1 / (1 + math.exp(-scaling.offset)))


def test_a_figure_that_says_nothing_becomes_the_share_of_relevant_rows() -> None:
    scaling = fit_scaling(*draw(slope=0.0, offset=0.0), model_id="m")
    assert scaling.slope == pytest.approx(0.0, abs=0.05)
    assert [scaling.scale(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([0.5] * 3, abs=0.2)


def test_a_figure_that_is_the_wrong_way_round_is_not_turned() -> None:
    scaling = fit_scaling(*draw(slope=-1.0, offset=0.0), model_id="m")
    assert scaling.slope == 0
    assert scaling.auroc < 0.5


def test_few_rows_or_one_video_calibrate_nothing() -> None:
    with pytest.raises(InputError, match="9 relevant and 20 irrelevant rows; a calibration needs 10 of each"):
        fit_scaling([0.5] * 29, [True] * 9 + [False] * 20, list(range(29)), model_id="m")
    with pytest.raises(InputError, match="All rows are of one video"):
        fit_scaling([0.5] * 40, [True, False] * 20, [3] * 40, model_id="m")


def scaling_of(model_id: str) -> PlattScaling:
    return PlattScaling(
        slope=1.0,
        offset=-0.5,
        model_id=model_id,
        relevant_rows=30,
        irrelevant_rows=20,
        error_before=0.2,
        error_after=0.05,
        auroc=0.8,
    )


def test_a_scaling_is_for_its_own_model(tmp_path: Path) -> None:
    assert read_scaling(tmp_path, "m@1/nf4") is None
    path = write_scaling(tmp_path, scaling_of("m@1/nf4"))
    assert json.loads(path.read_text())["offset"] == -0.5
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]
    assert read_scaling(tmp_path, "m@1/nf4") == scaling_of("m@1/nf4")
    assert read_scaling(tmp_path, "m@1+adapter/nf4") is None


@pytest.mark.parametrize("change", [{"slope": -1.0}, {"offset": None}, {"slope": "NaN"}])
def test_a_damaged_scaling_is_told(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write_scaling(tmp_path, scaling_of("m"))
    path.write_text(json.dumps(json.loads(path.read_text()) | change).replace('"NaN"', "NaN"))
    with pytest.raises(CheckpointError, match="Calibrate again"):
        read_scaling(tmp_path, "m")


@pytest.mark.parametrize(
    ("confidence", "relevance", "band"),
    [
        (0.97, 0.99, "clear"),
        (0.97, None, "clear"),
        (0.97, 0.3, "possible"),
        (0.3, 0.99, "possible"),
        (0.05, 0.99, "guess"),
        (None, 0.99, None),
    ],
)
def test_a_moment_has_one_of_three_bands(
    confidence: float | None, relevance: float | None, band: str | None
) -> None:
    assert band_of(confidence, relevance) == band


def test_the_page_is_told_where_a_figure_comes_from() -> None:
    ours, theirs = protocol_named("tempo"), protocol_named("timelens_8b")
    assert "first" not in relevance_note(theirs, None)
    assert relevance_note(theirs, None).startswith("This model was never taught to refuse")
    assert relevance_note(theirs, scaling_of("m")).endswith("calibrated on 50 held-out rows.")
    assert "refusal, not calibrated" in relevance_note(ours, None)


def rows(tmp_path: Path, *, model_ids: tuple[str, ...] = ("m@1/nf4",), **run_fields: Any) -> list[str]:
    """Files of 80 rows, 40 of them with a moment, and the command's arguments."""
    relevance, relevant, videos = draw(slope=1.0, offset=0.0, count=80)
    truth, predictions = tmp_path / "truth.jsonl", tmp_path / "predictions.jsonl"
    with truth.open("w") as truth_file, predictions.open("w") as predictions_file:
        for row, (p, is_relevant, video) in enumerate(zip(relevance, relevant, videos, strict=True)):
            shared = {"qid": row, "query": f"query {row}", "vid": f"v{video}"}
            windows = [[0, 2]] if is_relevant else []
            truth_file.write(json.dumps({**shared, "duration": 10, "relevant_windows": windows}) + "\n")
            answer = {"relevance": p, "refused": p < 0.5, "moments": [], "pred_relevant_windows": []}
            run = {"run": {"model_id": model_ids[row % len(model_ids)], **run_fields}}
            predictions_file.write(json.dumps({**shared, **answer, **run}) + "\n")
    return ["calibrate", "--predictions", str(predictions), "--ground-truth", str(truth)]


def test_the_command_writes_beside_the_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    assert main([*rows(tmp_path), "--into", str(folder), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data.pop("path") == str(folder / FILE_NAME)
    assert json.loads((folder / FILE_NAME).read_text()) == data
    assert data["model_id"] == "m@1/nf4"
    assert data["relevant_rows"] + data["irrelevant_rows"] == 80


def test_predictions_of_two_models_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*rows(tmp_path, model_ids=("a", "b")), "--into", str(tmp_path)]) == 2
    assert "must be made by one model" in capsys.readouterr().err
    assert not (tmp_path / FILE_NAME).exists()


def test_scaled_figures_are_not_scaled_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*rows(tmp_path, calibrated=True), "--into", str(tmp_path)]) == 2
    assert "calibrated already" in capsys.readouterr().err
    assert not (tmp_path / FILE_NAME).exists()


def test_a_missing_folder_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--predictions", "none", "--ground-truth", "none", "--into", str(tmp_path / "none")]
    assert main(["calibrate", *arguments]) == 2
    assert "There is no folder" in capsys.readouterr().err
