"""A whole row as one JSON object, for formats of other tools that leave room for a note.

Label Studio, WebVTT and ELAN show moments in their own units (frames, milliseconds). The note keeps exact
seconds and everything the tool has no place for; what the tool shows decides: a moment that still shows as
its exact seconds would keeps them, one that a person moved takes the tool's.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from annotations.formats import fields
from annotations.formats.options import FieldError
from annotations.rows import VERSION_SOURCES, AnnotatorVersion, Row, SourceLine, Windows, verdict_of
from tempo_core.errors import InputError

Value = TypeVar("Value")
Shown = TypeVar("Shown", bound="tuple[int, int]")
LEFT_OUT = ("raw", "origin")


def noted(row: Row) -> dict[str, Any]:
    """The row as JSON values, without fields that hold their default."""
    return {name: value for name, value in _plain(row).items() if name not in LEFT_OUT}


def _plain(holder: Row | AnnotatorVersion) -> dict[str, Any]:
    values = {}
    for attribute in dataclasses.fields(holder):
        value = getattr(holder, attribute.name)
        if value is None or (attribute.name == "extra" and not value):
            continue
        if attribute.name == "annotations":
            value = [_plain(version) for version in value]
        values[attribute.name] = value
    return values


def row_of(note: object, origin: SourceLine | None = None) -> Row:
    """The row that `noted` wrote, every field checked. Raises FieldError."""
    values = fields.mapping(note, "note")
    duration = None if values.get("duration_s") is None else fields.duration_s(values["duration_s"])
    clips = (
        None if "relevant_clip_ids" not in values else fields.clip_ids(values["relevant_clip_ids"], duration)
    )
    try:
        return Row(
            qid=fields.text(fields.required(values, "qid"), "qid"),
            qid_is_int=bool(values.get("qid_is_int", False)),
            query=fields.text(fields.required(values, "query"), "query"),
            vid=fields.text(fields.required(values, "vid"), "vid"),
            duration_s=duration,
            split=fields.split(values.get("split", "unknown")),
            windows=_windows(values, "windows", duration),
            verdict=fields.verdict(values["verdict"]) if "verdict" in values else None,
            relevant_clip_ids=clips,
            saliency_scores=fields.saliency(values["saliency_scores"], clips)
            if "saliency_scores" in values
            else None,
            original_windows=_windows(values, "original_windows", duration),
            reason=_optional(values, "reason", fields.text),
            mean_tiou=_optional(values, "mean_tiou", fields.number),
            alpha_clip=_optional(values, "alpha_clip", fields.number),
            model_version=_optional(values, "model_version", fields.text),
            row_rev=_optional(values, "row_rev", fields.whole),
            annotations=_versions(values),
            extra=fields.mapping(values.get("extra", {}), "extra"),
            origin=origin,
        )
    except FieldError:
        raise
    except InputError as error:
        raise FieldError("verdict", values.get("verdict"), str(error)) from error


def _windows(values: dict[str, Any], name: str, duration: float | None) -> Windows | None:
    return fields.windows(values[name], name, duration) if values.get(name) is not None else None


def _versions(values: dict[str, Any]) -> tuple[AnnotatorVersion, ...] | None:
    if values.get("annotations") is None:
        return None
    return tuple(version_of(item) for item in fields.sequence(values["annotations"], "annotations"))


def version_of(item: object) -> AnnotatorVersion:
    """One version from its JSON object. Raises FieldError."""
    values = fields.mapping(item, "annotations")
    if values.get("source", "annotator") not in VERSION_SOURCES:
        raise FieldError("source", values["source"], f"must be one of {', '.join(VERSION_SOURCES)}")
    try:
        return AnnotatorVersion(
            annotator=fields.text(fields.required(values, "annotator"), "annotator"),
            source=values.get("source", "annotator"),
            windows=fields.any_windows(values.get("windows") or [], "windows"),
            scores=_numbers(values, "scores"),
            saliency=_numbers(values, "saliency"),
            verdict=fields.verdict(values["verdict"]) if values.get("verdict") else None,
            reason=_optional(values, "reason", fields.text),
            arm=_optional(values, "arm", fields.text),
            active_ms=_optional(values, "active_ms", fields.whole),
            updated_at=_optional(values, "updated_at", fields.text),
            revision=_optional(values, "revision", fields.whole),
        )
    except FieldError:
        raise
    except InputError as error:
        raise FieldError("annotations", item, str(error)) from error


def _optional(values: dict[str, Any], name: str, check: Callable[[object, str], Value]) -> Value | None:
    return None if values.get(name) is None else check(values[name], name)


def _numbers(values: dict[str, Any], name: str) -> tuple[float, ...] | None:
    if values.get(name) is None:
        return None
    return tuple(fields.number(item, name) for item in fields.sequence(values[name], name))


def settled(
    exact: Windows,
    shown: Sequence[Shown],
    show: Callable[[float, float], Shown],
    tell: Callable[[Shown], tuple[float, float]],
) -> Windows:
    """Windows as the tool shows them now, each with its exact seconds where it has not been moved.

    `show` turns seconds into the tool's units, `tell` turns them back.
    """
    if [show(*window) for window in exact] == list(shown):
        return exact
    known = {show(*window): window for window in exact}
    return tuple(known.get(item) or tell(item) for item in shown)


def with_windows(row: Row, windows: Windows) -> Row:
    """The row with the windows that a tool shows; the same row when they are what it had."""
    if windows == (row.windows or ()):
        return row
    checked = fields.windows([list(window) for window in windows], "windows", row.duration_s)
    return replace(row, windows=checked, verdict=verdict_of(checked))


def version_with(version: AnnotatorVersion, windows: Windows) -> AnnotatorVersion:
    """The version with the windows that a tool shows; scores of windows that are gone go with them."""
    if windows == version.windows:
        return version
    scores = dict(zip(version.windows, version.scores or (), strict=False))
    kept = (
        tuple(scores[window] for window in windows) if all(window in scores for window in windows) else None
    )
    return replace(version, windows=windows, scores=kept or None, verdict=verdict_of(windows))
