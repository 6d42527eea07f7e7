"""The words that options take. It imports nothing, so that `--help` can list them at once."""

from typing import Literal, get_args

TwoWayFormat = Literal[
    "qvhighlights",
    "predictions",
    "lighthouse",
    "na-vmr",
    "charades-sta",
    "activitynet",
    "timelens",
    "parquet",
    "label-studio",
    "webvtt",
    "elan",
    "csv",
    "xlsx",
]
"""Formats that are read and written."""
FormatName = Literal[
    TwoWayFormat,
    "ra-rft",
    "time-r1",
    "unitime",
    "didemo",
    "tacos",
    "youcook2",
    "activitynet13",
    "ego4d-nlq",
    "via",
    "cvat",
    "fiftyone",
    "losslesscut",
    "audacity",
    "srt",
]
"""Formats that are read."""
ExportFormat = Literal[TwoWayFormat, "llama-factory", "ms-swift", "easyr1"]
"""Formats that are written."""
Reason = Literal[
    "one-clip-hole",
    "one-clip-window",
    "touches-border",
    "many-windows",
    "whole-video",
    "low-saliency-inside",
    "high-saliency-outside",
    "proposal-outside",
    "model-disagrees",
    "duplicate-query",
    "duration-differs",
    "annotators-disagree",
]
"""Why a row looks wrong."""
ExportRule = Literal["latest", "adjudicated", "majority"]
Snapping = Literal["outward", "nearest"]
SaliencyPolicy = Literal["keep+neutral", "carry", "drop"]

EXPORT_RULES: tuple[ExportRule, ...] = get_args(ExportRule)
SNAPPINGS: tuple[Snapping, ...] = get_args(Snapping)
SALIENCY_POLICIES: tuple[SaliencyPolicy, ...] = get_args(SaliencyPolicy)
REASONS: tuple[Reason, ...] = get_args(Reason)
