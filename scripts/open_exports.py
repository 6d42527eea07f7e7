"""Do the tools that exports are for read them? Exports rows in eight formats and opens them with those tools.

    python -m scripts.open_exports               # makes an environment for the tools, and throws it away
    python -m scripts.open_exports --keep DIR    # keeps the environment and the files

The tools are pympi (ELAN), webvtt-py, datasets and DuckDB, in a virtual environment of their own: about 400 MB from the
package index. It is no part of CI. Exit code 1 when a tool reads something else than was written.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

TOOLS = ("pympi-ling", "webvtt-py", "datasets", "duckdb")
TRAINING = {"llama-factory": "rows.json", "ms-swift": "rows.jsonl", "easyr1": "rows.jsonl"}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--keep", metavar="DIR", type=Path, help="where environment and files stay")
    parser.add_argument("--check", metavar="DIR", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check is not None:
        faults = list(differences(options.check))
        print("\n".join(faults) or "Every tool reads what was written.")
        return 1 if faults else 0
    with tempfile.TemporaryDirectory(prefix="open-exports-") as scratch:
        folder = options.keep or Path(scratch)
        write_exports(folder / "exports")
        python = folder / "environment" / "bin" / "python"
        if not python.exists():
            venv.create(python.parents[1], with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *TOOLS], check=True)
        check = [python, Path(__file__).resolve(), "--check", folder / "exports"]
        return subprocess.run(check, check=False).returncode


def write_exports(folder: Path) -> None:
    """The rows in every format, and what a tool should find in `expected.json`."""
    from annotations.formats import ExportOptions, write
    from annotations.rows import AnnotatorVersion, Row

    ranked = AnnotatorVersion(
        annotator="tiny", source="model", windows=((2.0, 6.0), (1.0, 2.5)), scores=(0.9, 0.2)
    )
    rows = [
        Row(
            qid="7",
            qid_is_int=True,
            query='a dog & "cat" <b> runs',
            vid="one",
            duration_s=20.0,
            split="train",
            windows=((1.25, 5.5), (5.5, 9.25)),
            annotations=(ranked,),
        ),
        Row(qid="b-2", query="naïve 日本", vid="two", duration_s=9.5, split="train", windows=((0.0, 9.5),)),
        Row(qid="3", query="nothing", vid="two", duration_s=9.5, split="train", windows=()),
    ]
    targets = {
        "elan": "elan",
        "webvtt": "webvtt",
        "parquet": "parquet",
        "csv": "rows.csv",
        "lighthouse": "rows.jsonl",
    }
    for name, target in (targets | {name: f"{name}/{file}" for name, file in TRAINING.items()}).items():
        write(rows, folder / target, format=name, options=ExportOptions(overwrite=True))
    expected = [
        {"qid": row.qid, "query": row.query, "vid": row.vid, "windows": row.windows or ()} for row in rows
    ]
    (folder / "expected.json").write_text(json.dumps(expected), encoding="utf-8")


def differences(folder: Path) -> Iterator[str]:
    """What a tool reads otherwise than it was written; runs in the tools' environment."""
    import datasets
    import duckdb
    import pympi
    import webvtt

    rows: list[dict[str, Any]] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    for row in rows:
        row["windows"] = [tuple(window) for window in row["windows"]]

    # ELAN: the moments' tiers, and its rule that annotations of a tier do not overlap.
    for vid in ("one", "two"):
        document = pympi.Elan.Eaf(str(folder / "elan" / f"{vid}.eaf"))
        for tier in document.get_tier_names():
            spans = sorted(annotation[:2] for annotation in document.get_annotation_data_for_tier(tier))
            if any(before[1] > after[0] for before, after in pairwise(spans)):
                yield f"ELAN: annotations of tier {tier} overlap: {spans}"
        for row in rows:
            if row["vid"] == vid:
                tier_annotations = document.get_annotation_data_for_tier(f"{row['qid']}/moments")
                written = [
                    (round(start * 1000), round(end * 1000), row["query"]) for start, end in row["windows"]
                ]
                if sorted(annotation[:3] for annotation in tier_annotations) != written:
                    yield f"ELAN: query {row['qid']} has {tier_annotations}, not {written}"

    for vid in ("one", "two"):
        cues = [
            (cue.start_in_seconds, cue.end_in_seconds)
            for cue in webvtt.read(str(folder / "webvtt" / f"{vid}.vtt"))
        ]
        written_cues = [(int(s), int(e)) for row in rows if row["vid"] == vid for s, e in row["windows"]]
        if [(int(start), int(end)) for start, end in cues] != written_cues:
            yield f"WebVTT: {vid} has cues {cues}, not {written_cues}"

    table = datasets.load_dataset(str(folder / "parquet"), cache_dir=str(folder / "cache"))["train"]
    columns = zip(table["qid"], table["query"], table["relevant_windows"], strict=True)
    read_rows = [(qid, query, [tuple(window) for window in windows]) for qid, query, windows in columns]
    if read_rows != [(row["qid"], row["query"], row["windows"]) for row in rows]:
        yield f"datasets: the Parquet folder has {read_rows}"
    for name, file in TRAINING.items():
        path = folder / name / file
        examples = datasets.load_dataset(
            "json", data_files=str(path), split="train", cache_dir=str(folder / "cache")
        )
        answers = [
            example["messages"][1]["content"] if "messages" in example else example["answer"]
            for example in examples
        ]
        if [json.loads(answer) for answer in answers] != [list(map(list, row["windows"])) for row in rows]:
            yield f"datasets: {name} has the answers {answers}"

    queries = {
        "Parquet": f"SELECT count(*) FROM read_parquet('{folder}/parquet/data/*.parquet')",
        "JSON lines": f"SELECT count(*) FROM read_json('{folder}/rows*.jsonl')",
        "CSV": f"SELECT count(DISTINCT qid) FROM read_csv('{folder}/rows.csv')",
    }
    for name, query in queries.items():
        ((count,),) = duckdb.sql(query).fetchall()
        if count != len(rows):
            yield f"DuckDB: {name} has {count} queries, not {len(rows)}"


if __name__ == "__main__":
    sys.exit(main())
