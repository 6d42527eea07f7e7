"""The formats by name: what each is, whether it is read or written, and what it can carry."""

import dataclasses
from dataclasses import dataclass

from annotations.rows import AnnotatorVersion

VERSION = frozenset(field.name for field in dataclasses.fields(AnnotatorVersion))


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """What a format can carry."""

    title: str
    suffix: str
    """Of a file in this format."""
    folder: bool = False
    """True: a path without that suffix becomes a folder of files."""
    carries: frozenset[str]
    """Attributes of Row that a file can hold: an import reads them, an export keeps them."""
    version_carries: frozenset[str] = VERSION
    """The same for the AnnotatorVersions of a format that carries `annotations`."""
    is_read: bool = True
    is_written: bool = True
    is_shared: bool = False
    """Whether several data sets come in it: an import's data set is then named after the file."""


_BASIC = frozenset({"qid", "qid_is_int", "query", "vid", "windows", "verdict"})
_TIMED = _BASIC | {"duration_s"}
_SCORED = _TIMED | {"relevant_clip_ids", "saliency_scores", "extra", "reason"}
ALL = _SCORED | {
    "split",
    "original_windows",
    "mean_tiou",
    "alpha_clip",
    "model_version",
    "row_rev",
    "annotations",
}
_NOTED = _TIMED | {"extra"}
_TABLE = _TIMED | {"split", "original_windows", "reason", "row_rev", "annotations"}
_TRAINED = frozenset({"query", "vid", "windows", "verdict"})
_MARKED = frozenset({"annotator", "source", "windows", "verdict"})
"""Attributes of AnnotatorVersion that show on a timeline."""

FORMATS: dict[str, Format] = {
    "qvhighlights": Format(
        title="QVHighlights JSON lines (QV-M2 too): official, raw, no-moment, diff",
        suffix=".jsonl",
        is_shared=True,
        folder=True,
        carries=_SCORED | {"split", "original_windows", "mean_tiou", "alpha_clip", "row_rev"},
    ),
    "predictions": Format(
        title="Predictions JSON lines, as QVHighlights' evaluator takes them",
        suffix=".jsonl",
        carries=frozenset({"qid", "qid_is_int", "query", "vid", "duration_s", "annotations", "extra"}),
    ),
    "lighthouse": Format(
        title="Lighthouse's unified JSON lines", suffix=".jsonl", carries=_SCORED, is_shared=True
    ),
    "na-vmr": Format(
        title="NA-VMR JSON lines with coded refusals",
        suffix=".jsonl",
        carries=_SCORED - {"reason"},
        is_shared=True,
    ),
    "charades-sta": Format(
        title="Charades-STA text",
        suffix=".txt",
        carries=frozenset({"query", "vid", "windows", "verdict", "duration_s"}),
    ),
    "activitynet": Format(title="ActivityNet Captions JSON", suffix=".json", carries=_TIMED, is_shared=True),
    "timelens": Format(
        title="TimeLens and TimeLens2 JSON and JSON lines",
        suffix=".json",
        carries=_TIMED | {"extra"},
        is_shared=True,
    ),
    "parquet": Format(title="Parquet with a dataset card", suffix=".parquet", folder=True, carries=ALL),
    "label-studio": Format(
        title="Label Studio timeline labels",
        suffix=".json",
        carries=_TIMED | {"split", "annotations", "extra"},
        version_carries=_MARKED | {"scores", "active_ms", "updated_at"},
    ),
    "webvtt": Format(title="WebVTT cues", suffix=".vtt", folder=True, carries=_BASIC),
    "elan": Format(
        title="ELAN annotation files",
        suffix=".eaf",
        folder=True,
        carries=_BASIC | {"original_windows", "annotations"},
        version_carries=_MARKED,
    ),
    "csv": Format(
        title="Tidy CSV, and spreadsheets saved as text",
        suffix=".csv",
        carries=_TABLE,
        version_carries=VERSION - {"saliency", "relevance"},
    ),
    "xlsx": Format(
        title="Excel workbooks, with CSV's columns",
        suffix=".xlsx",
        carries=_TABLE,
        version_carries=VERSION - {"saliency", "relevance"},
    ),
    "ra-rft": Format(
        title="RA-RFT JSON: queries and refusals made from them",
        suffix=".json",
        carries=_NOTED | {"reason"},
        is_written=False,
        is_shared=True,
    ),
    "time-r1": Format(
        title="Time-R1 and TVGBench JSON",
        suffix=".json",
        carries=_NOTED,
        is_written=False,
        is_shared=True,
    ),
    "unitime": Format(title="UniTime JSON", suffix=".json", carries=_NOTED, is_written=False, is_shared=True),
    "didemo": Format(title="DiDeMo JSON", suffix=".json", carries=_NOTED, is_written=False),
    "tacos": Format(title="TACoS JSON", suffix=".json", carries=_NOTED, is_written=False),
    "youcook2": Format(title="YouCook2 JSON", suffix=".json", carries=_NOTED | {"split"}, is_written=False),
    "activitynet13": Format(
        title="ActivityNet 1.3 JSON", suffix=".json", carries=_TIMED | {"split"}, is_written=False
    ),
    "ego4d-nlq": Format(title="Ego4D NLQ JSON", suffix=".json", carries=_NOTED | {"split"}, is_written=False),
    "via": Format(title="VIA 3 projects", suffix=".json", carries=_BASIC, is_written=False),
    "cvat": Format(title="CVAT for video XML", suffix=".xml", carries=_NOTED, is_written=False),
    "fiftyone": Format(
        title="FiftyOne temporal detections", suffix=".json", carries=_BASIC, is_written=False
    ),
    "losslesscut": Format(
        title="LosslessCut projects and lists", suffix=".llc", carries=_BASIC | {"extra"}, is_written=False
    ),
    "audacity": Format(title="Audacity labels", suffix=".txt", carries=_BASIC, is_written=False),
    "srt": Format(title="SubRip subtitles", suffix=".srt", carries=_BASIC, is_written=False),
    "llama-factory": Format(
        title="Training rows for LLaMA-Factory", suffix=".json", carries=_TRAINED, is_read=False
    ),
    "ms-swift": Format(title="Training rows for ms-swift", suffix=".jsonl", carries=_TRAINED, is_read=False),
    "easyr1": Format(title="Training rows for EasyR1", suffix=".jsonl", carries=_TRAINED, is_read=False),
}
