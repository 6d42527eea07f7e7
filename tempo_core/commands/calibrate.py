"""`python -m tempo_core calibrate`: fit P(relevant) on held-out predictions and write it beside the checkpoint."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tempo_core.command_line import AsJson, show
from tempo_core.errors import InputError


def calibrate(
    predictions: Annotated[Path, typer.Option(metavar="P.jsonl", help="what `predict` wrote for these rows")],
    ground_truth: Annotated[
        Path,
        typer.Option(
            metavar="G.jsonl", help="rows that the model was not trained on; no windows: irrelevant"
        ),
    ],
    into: Annotated[
        Path,
        typer.Option(metavar="DIR", help="the folder of the checkpoint, or of the adapter, that predicted"),
    ],
    as_json: AsJson = False,
) -> None:
    """Fit a model's P(relevant) to how often it is right, so that models that were never taught to refuse can.

    Writes calibration.json into DIR; the model uses it from its next start on.
    """
    from tempo_core.calibration import fit_scaling, write_scaling
    from tempo_core.metrics.pairing import pair
    from tempo_core.metrics.rows import read_both

    if not into.is_dir():
        raise InputError(f"There is no folder {into}. Name the one that holds the checkpoint or the adapter.")
    model_id = predicting_model(predictions)
    prediction_rows, truth_rows = read_both(predictions, ground_truth)
    pairs = pair(truth_rows, prediction_rows, partial=True)
    stated = [
        (prediction.relevance, bool(truth.windows), int(cluster))
        for truth, prediction, cluster in zip(pairs.truth, pairs.predictions, pairs.clusters, strict=True)
        if prediction is not None and prediction.relevance is not None
    ]
    scaling = fit_scaling(
        [relevance for relevance, _, _ in stated],
        [is_relevant for _, is_relevant, _ in stated],
        [cluster for _, _, cluster in stated],
        model_id=model_id,
    )
    path = write_scaling(into, scaling)
    text = (
        f"{model_id}: {scaling.relevant_rows} relevant and {scaling.irrelevant_rows} irrelevant rows\n"
        f"calibration error {scaling.error_before:.3f} before, {scaling.error_after:.3f} after (cross-fitted); "
        f"AUROC {scaling.auroc:.3f}\n"
        f"slope {scaling.slope:.3f}, offset {scaling.offset:.3f}; see {path}"
    )
    show({**asdict(scaling), "path": str(path)}, text, as_json=as_json)


def predicting_model(predictions: Path) -> str:
    """The one model that made a prediction file with its own figures.

    Raises InputError when there are several models, none is named, or the figures are scaled already.
    """
    from tempo_core.metrics.rows import Problem, read_json_lines

    names = set()
    for line in read_json_lines(predictions):
        run = None if isinstance(line, Problem) else line.values.get("run")
        run = run if isinstance(run, dict) else {}
        if run.get("calibrated"):
            raise InputError(
                f"{predictions} holds figures that are calibrated already. Delete the model's calibration.json, "
                "predict again, then calibrate."
            )
        names.add(run.get("model_id"))
    if len(names) != 1 or not isinstance(name := names.pop(), str):
        raise InputError(
            f"{predictions} must be made by one model, named in run.model_id of every row. Make it with "
            "`python -m tempo_core predict`."
        )
    return name
