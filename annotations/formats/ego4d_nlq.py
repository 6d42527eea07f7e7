"""Ego4D's natural-language queries: {"videos": [{"video_uid", "clips": [{"clip_uid", "annotations": [..]}]}]}.

An annotation has `language_queries`: {"query", "clip_start_sec", "clip_end_sec", "template"}. The video is the clip,
and times are in it. Queries of the test set have no times. Form: nlq_train.json and nlq_val.json, version 2.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.files import read_text
from annotations.formats.options import Item, Omission, ReadOptions
from annotations.formats.records import Record, read_records


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order: one for each query of a clip."""
    document = fields.mapping(fields.parse_json(read_text(path)), "file")

    def records(name: str, value: Any) -> Iterator[Record | Omission]:
        video = fields.mapping(value, name)
        for item in fields.sequence(video.get("clips") or [], "clips"):
            clip = fields.mapping(item, "clips")
            vid = fields.required(clip, "clip_uid")
            end_s, duration = clip.get("clip_end_sec"), None
            if end_s is not None:
                start_s = fields.number(clip.get("clip_start_sec", 0), "clip_start_sec")
                duration = fields.number(end_s, "clip_end_sec") - start_s
            for annotation in fields.sequence(clip.get("annotations") or [], "annotations"):
                annotation_values = fields.mapping(annotation, "annotations")
                queries = fields.sequence(annotation_values.get("language_queries") or [], "language_queries")
                for idx, query in enumerate(queries):
                    values = fields.mapping(query, "language_queries")
                    uid = annotation_values.get("annotation_uid")
                    place = f"clip {vid}, annotation {uid}, language_queries[{idx}]"
                    if not values.get("query"):
                        # Annotators of Ego4D left some templates without a question.
                        yield Omission(file=path.name, place=place, reason="has no query")
                        continue
                    edges = [values.get(name) for name in ("clip_start_sec", "clip_end_sec")]
                    yield Record(
                        place=place,
                        vid=vid,
                        query=values["query"],
                        windows=None if edges == [None, None] else [edges],
                        duration=duration,
                        subset=document.get("split"),
                        extra={"template": values.get("template"), "video_uid": video.get("video_uid")},
                    )

    videos = fields.sequence(fields.required(document, "videos"), "videos")
    items = ((f"videos[{idx}]", video) for idx, video in enumerate(videos))
    return read_records(path, options, items, records)
