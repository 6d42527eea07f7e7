"""Rows that hypothesis makes: any text, up to 25 windows or none, any fractional edges."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from annotations.rows import SPLITS, AnnotatorVersion, Row, Windows

characters = st.characters(exclude_categories=("Cs",))
texts = st.text(characters, min_size=1, max_size=40).filter(lambda text: bool(text.strip()))
awkward = st.sampled_from(
    [
        "a\nb\r\n\n c",
        "=1+1",
        "'=x",
        "]]>&<b>-->",
        "  two  spaces ",
        "NOTE -->",
        "日本語 🦩",
        "a##b",
        '"q",',
        "\x00\x1f",
    ]
)
queries = texts | awkward
plain_words = st.text("abcDEF123_-é", min_size=1, max_size=12)
versions_of_time = st.none() | st.just("2026-11-21T01:02:03Z")
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
# Made once: to make a strategy takes as long as to draw from it.
unit = st.floats(0, 1)
maybe_text = st.none() | queries
maybe_unit = st.none() | unit
few = st.integers(0, 3)
sources = st.sampled_from(["model", "annotator", "original"])
maybe_saliency = st.none() | st.lists(st.floats(-5, 5), min_size=1, max_size=4).map(tuple)
empty_verdicts = st.sampled_from(["no-moment", "cannot-judge"])
maybe_arm = st.none() | st.just("blind")
maybe_active_ms = st.none() | st.integers(0, 10**9)
durations = st.floats(2, 900)
splits = st.sampled_from(SPLITS)
maybe_alpha = st.none() | st.floats(-1, 1)
maybe_words = st.none() | plain_words
maybe_row_rev = st.none() | st.integers(0, 10**6)
extras = st.dictionaries(plain_words.map(lambda name: f"x{name}"), json_values, max_size=2)


@st.composite
def windows(draw: st.DrawFn, end_s: float, *, least: int = 0, most: int = 25) -> Windows:
    """Sorted windows inside [0, end_s) that neither touch nor overlap."""
    count = draw(st.integers(least, most))
    inside = st.floats(0, end_s, exclude_max=True) | st.integers(0, int(end_s * 10) - 1).map(lambda n: n / 10)
    edges = sorted(draw(st.lists(inside, min_size=2 * count, max_size=2 * count, unique=True)))
    return tuple(zip(edges[0::2], edges[1::2], strict=True))


@st.composite
def versions(draw: st.DrawFn, end_s: float, place: int) -> AnnotatorVersion:
    spans = draw(windows(end_s, most=4))
    scores = tuple(draw(unit) for _ in spans) or None
    return AnnotatorVersion(
        annotator=draw(plain_words),
        source=draw(sources),
        windows=spans,
        scores=scores if draw(st.booleans()) else None,
        saliency=draw(maybe_saliency),
        relevance=draw(maybe_unit),
        verdict=None if spans else draw(empty_verdicts),
        reason=draw(maybe_text),
        arm=draw(maybe_arm),
        active_ms=draw(maybe_active_ms),
        updated_at=draw(versions_of_time),
        revision=place,
    )


@st.composite
def rows(draw: st.DrawFn, place: int = 0, *, least: int = 0, labelled: bool = False) -> Row:
    """A row with every attribute set or not; its qid ends in `place`, so that lists of rows can be unique."""
    end_s = draw(durations)
    spans = draw(windows(end_s, least=least))
    unlabelled = not labelled and draw(st.booleans()) and least == 0
    numbered = draw(st.booleans())
    clip_scores = draw(
        st.none() | st.just(((0, 1), ((0, 4, 2),)))
        if end_s < 4
        else st.just(((0, 1), ((0, 4, 2), (1, 1, 1))))
    )
    clips, scores = (
        clip_scores if clip_scores and len(clip_scores[0]) == len(clip_scores[1]) else (None, None)
    )
    annotations = tuple(draw(versions(end_s, at)) for at in range(draw(few)))
    return Row(
        qid=str(place) if numbered else f"{draw(queries)}{place}",
        qid_is_int=numbered,
        query=draw(queries),
        vid=draw(queries),
        duration_s=end_s,
        split=draw(splits),
        windows=None if unlabelled else spans,
        relevant_clip_ids=clips,
        saliency_scores=scores,
        original_windows=draw(st.none() | windows(end_s, most=3)),
        reason=draw(maybe_text),
        mean_tiou=draw(maybe_unit),
        alpha_clip=draw(maybe_alpha),
        model_version=draw(maybe_words),
        row_rev=draw(maybe_row_rev),
        annotations=annotations or None,
        extra=draw(extras),
    )


def several(*, least: int = 0, labelled: bool = False) -> st.SearchStrategy[list[Row]]:
    """One to three rows with different ids."""
    row_strategies = [rows(place, least=least, labelled=labelled) for place in range(3)]
    return st.integers(1, 3).flatmap(lambda count: st.tuples(*row_strategies[:count]).map(list))


BARE: dict[str, Any] = {
    "split": "unknown",
    "relevant_clip_ids": None,
    "saliency_scores": None,
    "original_windows": None,
    "reason": None,
    "mean_tiou": None,
    "alpha_clip": None,
    "model_version": None,
    "row_rev": None,
    "annotations": None,
    "extra": {},
}


def bare(row: Row, **fields: Any) -> Row:
    """The row with nothing but query, video and moments, and what `kept` adds."""
    return replace(row, **{**BARE, **fields})
