"""A small valid file in every format that is read."""

import json
from pathlib import Path

from annotations.formats import FORMATS, ExportOptions, export_names, names, write
from annotations.rows import AnnotatorVersion, Row
from tests.annotations.formats.test_other_projects import DOCUMENTS

MODEL = AnnotatorVersion(annotator="m", source="model", windows=((1.0, 3.0),), scores=(0.5,))
ADA = AnnotatorVersion(
    annotator="ada", windows=((2.0, 4.0),), active_ms=900, updated_at="2026-01-02T03:04:05Z"
)
ROWS = [
    Row(
        qid=str(number),
        qid_is_int=True,
        query=query,
        vid="v_0.0_60.0",
        duration_s=60.0,
        split="val",
        windows=windows,
        relevant_clip_ids=(0, 1) if windows else (),
        saliency_scores=((1, 2, 3), (4, 0, 4)) if windows else (),
        annotations=(MODEL, ADA),
        extra={"note": ["a", {"b": 1.5}]},
    )
    for number, (query, windows) in enumerate(
        {"a square, “red”": ((0.0, 4.0), (10.0, 12.0)), "=it\nturns": ((2.0, 8.0),), "nothing": ()}.items()
    )
]
TEXTS = {
    "cvat": "<annotations><meta><task><size>50</size><source>clips/v.mp4</source></task></meta>"
    '<track id="0" label="walks"><box frame="0" outside="0"/><box frame="9" outside="1"/></track></annotations>',
    "losslesscut": "Start,End,Name,Place\n00:01:02.500,63,a,kitchen\n5,6,b,\n",
    "audacity": "1.0\t2.5\ta\n\\\t100.0\t200.0\n3,5\t4\tb\n",
    "srt": "1\n00:00:01,000 --> 00:00:02,500\n<i>one</i>\n\n2\n00:00:03,000 --> 00:00:04,000\ntwo\n",
    "youcook2": json.dumps(
        {"database": {"v": {"duration": 9, "annotations": [{"segment": [1, 2], "id": 0, "sentence": "cut"}]}}}
    ),
    "charades-sta": "V1 1.0 2.5##opens.\nV1 4.0 5.0##opens.\nV2 0 1##x\n",
}


def write_folder_seeds(folder: Path) -> list[tuple[str, dict[str, bytes]]]:
    """(format, file name → content) of each format that several files together may be in."""
    seeds = []
    for format in export_names():
        if FORMATS[format].folder and FORMATS[format].is_read:
            write(ROWS, folder / format, format=format, options=ExportOptions(keep_going=True))
            files = [file for file in (folder / format).rglob("*") if file.suffix == FORMATS[format].suffix]
            seeds.append((format, {file.name: file.read_bytes() for file in files}))
    return seeds


def write_seeds(folder: Path) -> list[tuple[str, str, bytes]]:
    """(format, file name, content) of each; every format of `names()` is there."""
    seeds = [(format, f"{format}{FORMATS[format].suffix}", text.encode()) for format, text in TEXTS.items()]
    for title, document in DOCUMENTS.items():
        format = {"database": "activitynet13", "tvgbench": "time-r1"}.get(title, title.split()[0])
        suffix = FORMATS[format].suffix
        seeds.append((format, f"{title.replace(' ', '-')}{suffix}", json.dumps(document).encode()))
    options = ExportOptions(keep_going=True, frame_rate=25, saliency="keep+neutral")
    for format in export_names():
        if FORMATS[format].is_read:
            path = folder / f"{format}{FORMATS[format].suffix}"
            write(ROWS, path, format=format, options=options)
            seeds.append((format, f"written-{path.name}", path.read_bytes()))
    assert {format for format, _, _ in seeds} == set(names())
    return seeds
