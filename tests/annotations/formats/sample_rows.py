"""Rows written by hand with something in every attribute, for tests that read the files as other tools do."""

from pathlib import Path
from typing import Any

from annotations.formats import ExportOptions, ExportReport, write
from annotations.rows import AnnotatorVersion, Row

ADA = AnnotatorVersion(
    annotator="ada",
    windows=((1.2344, 5.5), (8.9999, 9.25)),
    reason="clearer",
    arm="blind",
    active_ms=12_400,
    updated_at="2026-11-21T01:02:03Z",
    revision=4,
)
BEN = AnnotatorVersion(annotator="7", windows=(), reason="event absent", revision=2)
CAL = AnnotatorVersion(annotator="cal", verdict="cannot-judge", reason="too dark")
TINY = AnnotatorVersion(
    annotator="tempo/tiny+lora",
    source="model",
    windows=((2.0, 6.0), (1.0, 2.5)),
    scores=(0.875, 0.25),
    saliency=(0.5, -1.0),
)
FULL = Row(
    qid="7",
    qid_is_int=True,
    query='a dog & "cat" <b>\nin  two lines ',
    vid="cl ip",
    duration_s=20.0,
    split="val",
    windows=((1.2345678, 5.5), (9.0, 9.25)),
    original_windows=((0.0, 2.0), (4.0, 6.0)),
    reason="boundary off",
    mean_tiou=0.5,
    alpha_clip=0.25,
    model_version="tempo-tiny",
    row_rev=3,
    annotations=(ADA, BEN, CAL, TINY),
    extra={"source": "made"},
)
REFUSAL = Row(qid="b-2", query="a cat", vid="cl ip", duration_s=20.0, windows=(), reason="event absent")
UNLABELLED = Row(qid="c", query="a bird", vid="other", duration_s=9.5)
UNCLEAR = Row(qid="d", query="it", vid="other", duration_s=9.5, windows=((1.0, 2.0),), verdict="cannot-judge")
FOUR = [FULL, REFUSAL, UNLABELLED, UNCLEAR]


def export(path: Path, form: str, *rows: Row, **options: Any) -> ExportReport:
    """Write rows in a format."""
    return write(rows, path, format=form, options=ExportOptions(**options))
