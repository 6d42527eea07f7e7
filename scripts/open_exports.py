"""Do the tools that exports are for read them? Exports rows in ten formats and opens them with the tools themselves.

    python -m scripts.open_exports                        # every tool; environments are made and thrown away
    python -m scripts.open_exports --keep DIR             # keeps environments, repositories and files
    python -m scripts.open_exports --only label-studio --only track

Label Studio is started and asked through its API; ELAN's files go through its schema and pympi; QVHighlights' own
evaluator and Lighthouse's own data set run from their repositories, LLaMA-Factory's and ms-swift's own loaders from
their packages; datasets, DuckDB, webvtt-py and openpyxl read theirs; Chromium loads the cues. Environments take some
gigabytes from the package index. It is no part of CI. Exit code 1 when a tool reads something else than was written;
a tool that cannot be had is named.
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

ENVIRONMENTS = {
    "readers": (
        "pympi-ling",
        "webvtt-py",
        "datasets",
        "duckdb",
        "openpyxl",
        "xmlschema",
        "numpy<2.4",
        "scikit-learn",
    ),
    "label-studio": ("label-studio",),
    "llama-factory": ("torch", "llamafactory"),
    "ms-swift": ("torch", "ms-swift"),
}
UNLOADABLE = ("torchvision", "torchaudio")
"""Built for torch with CUDA in the package index: beside a torch without it, importing them fails. No check here needs
pictures or sound, so they leave the environments again."""
REPOSITORIES = ("jayleicn/moment_detr", "line/lighthouse")
ELAN_SCHEMA = "https://www.mpi.nl/tools/elan/EAFv3.0.xsd"
ELAN_FORK = "mocialov/ELAN_AUTO_HAMNOSYS", "src/main/resources/mpi/eudico/resources"
"""A repository with the sources of ELAN (GPL-3.0), and the folder of its schemas."""
TRAINING = {"llama-factory": "rows.json", "ms-swift": "rows.jsonl", "easyr1": "rows.jsonl"}
FRAME_RATE = 25.0
START_S = 900
"""How long Label Studio may take to start."""
Opened = tuple[str, str, str]
"""A tool with its version, what it opened, and its fault or ""."""


class Unavailable(Exception):
    """A tool that cannot be had here."""


class Workshop:
    """The folder with exports, environments and repositories."""

    def __init__(self, folder: Path, repositories: Path | None) -> None:
        self.folder, self.exports = folder, folder / "exports"
        self.repositories = repositories or folder / "repositories"

    def python(self, name: str) -> Path:
        """The interpreter of an environment, which is made where it is not there."""
        python = self.folder / name / "bin" / "python"
        if not python.exists():
            venv.create(python.parents[1], with_pip=True)
            pip = [str(python), "-m", "pip"]
            subprocess.run([*pip, "install", "--quiet", *ENVIRONMENTS[name]], check=True)
            subprocess.run([*pip, "uninstall", "--quiet", "--yes", *UNLOADABLE], check=True)
        return python

    def checkout(self, name: str, *paths: str) -> Path:
        """Folders of a GitHub repository, from a bare copy OWNER+NAME/repo where there is one."""
        target = self.folder / "checkouts" / name.replace("/", "+")
        if not target.exists():
            copy = self.repositories / name.replace("/", "+") / "repo"
            source = str(copy) if copy.exists() else f"https://github.com/{name}"
            if subprocess.run(["git", "clone", "-q", "-n", source, target], check=False).returncode:
                raise Unavailable(f"{source} cannot be cloned")
            subprocess.run(["git", "-C", target, "checkout", "-q", "HEAD", "--", *paths], check=True)
        return target

    def inside(self, environment: str, check: str, *arguments: str | Path) -> list[Opened]:
        """Run one of CHECKS in an environment."""
        command = [
            self.python(environment),
            Path(__file__).resolve(),
            "--check",
            check,
            self.exports,
            *arguments,
        ]
        process = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
        if process.returncode:
            return [(check, "", process.stderr.strip().splitlines()[-1])]
        return [tuple(line) for line in json.loads(process.stdout.splitlines()[-1])]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--keep", metavar="DIR", type=Path, help="where environments, repositories and files stay"
    )
    parser.add_argument("--repositories", metavar="DIR", type=Path, help="bare copies as OWNER+NAME/repo")
    parser.add_argument("--only", action="append", choices=list(TOOLS), help="this tool; may be repeated")
    parser.add_argument("--check", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check:
        check, *folders = options.check
        print(json.dumps(list(CHECKS[check](*map(Path, folders)))))
        return 0
    faults = 0
    with tempfile.TemporaryDirectory(prefix="open-exports-") as scratch:
        shop = Workshop((options.keep or Path(scratch)).resolve(), options.repositories)
        write_exports(shop.exports)
        for name in options.only or TOOLS:
            try:
                lines = list(TOOLS[name](shop))
            except (Unavailable, subprocess.CalledProcessError) as error:
                lines = [(name, "not opened", f"skipped: {error}")]
            for tool, subject, fault in lines:
                faults += bool(fault) and not fault.startswith("skipped")
                print(f"{tool:<28} {subject:<44} {fault or 'as written'}", flush=True)
    return 1 if faults else 0


def expected_rows(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    for row in rows:
        row["windows"] = [tuple(window) for window in row["windows"]]
    return rows


def write_exports(folder: Path) -> None:
    """The rows in every format, and what a tool should find in `expected.json`."""
    from dataclasses import replace

    from annotations.formats import ExportOptions, write
    from annotations.formats.grid import covered_clips
    from annotations.rows import AnnotatorVersion, Row
    from tempo_core.metrics import evaluate_files

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
    # The evaluator divides by the number of queries with short, middle and long moments: there are some of each.
    short, middle, long = ((2.0, 6.0),), ((0.0, 4.0), (10.0, 38.0)), ((20.0, 90.0),)
    scored, predicted = [], []
    for number, windows in enumerate((short, middle, long, ((40.0, 60.0), (100.0, 150.0))), 1):
        clips = covered_clips(windows)
        row = Row(
            qid=str(number),
            qid_is_int=True,
            query=f"query {number}",
            vid=f"v{number}",
            duration_s=150.0,
            split="train",
            windows=windows,
            relevant_clip_ids=clips,
            saliency_scores=tuple((4, (number + clip) % 5, 2) for clip in clips),
        )
        answer = AnnotatorVersion(
            annotator="tiny",
            source="model",
            windows=((2.0, 7.0), (12.0, 38.0), (20.0, 80.0 + number), (98.0, 150.0)),
            scores=(0.7, 0.4, 0.9 - number / 10, 0.4),
            saliency=tuple(clip * number % 7 / 7 for clip in range(75)),
        )
        scored.append(row)
        predicted.append(replace(row, windows=None, verdict=None, annotations=(answer,)))
    targets = {
        "elan": "elan",
        "webvtt": "webvtt",
        "parquet": "parquet",
        "csv": "rows.csv",
        "xlsx": "rows.xlsx",
        "lighthouse": "rows.jsonl",
        "label-studio": "tasks.json",
    }
    for name, target in (targets | {name: f"{name}/{file}" for name, file in TRAINING.items()}).items():
        write(
            rows, folder / target, format=name, options=ExportOptions(overwrite=True, frame_rate=FRAME_RATE)
        )
    overwrite = ExportOptions(overwrite=True)
    write(scored, folder / "official.jsonl", format="qvhighlights", options=overwrite)
    write(scored, folder / "scored.jsonl", format="lighthouse", options=overwrite)
    unscored = [replace(row, relevant_clip_ids=None, saliency_scores=None) for row in scored]
    write(unscored, folder / "unscored.jsonl", format="lighthouse", options=overwrite)
    write(predicted, folder / "predictions.jsonl", format="predictions", options=overwrite)
    evaluation = evaluate_files(folder / "predictions.jsonl", folder / "official.jsonl", rules="official")
    (folder / "scores.json").write_text(json.dumps(evaluation.scores), encoding="utf-8")
    expected = [
        {"qid": row.qid, "query": row.query, "vid": row.vid, "windows": row.windows or ()} for row in rows
    ]
    (folder / "expected.json").write_text(json.dumps(expected), encoding="utf-8")


def open_elan(folder: Path) -> Iterator[Opened]:
    """pympi's reading, and ELAN's rule that annotations of a tier do not overlap."""
    import pympi

    for vid in ("one", "two"):
        document = pympi.Elan.Eaf(str(folder / "elan" / f"{vid}.eaf"))
        fault = ""
        for tier in document.get_tier_names():
            spans = sorted(annotation[:2] for annotation in document.get_annotation_data_for_tier(tier))
            if any(before[1] > after[0] for before, after in pairwise(spans)):
                fault = f"annotations of tier {tier} overlap: {spans}"
        for row in expected_rows(folder):
            if row["vid"] == vid:
                annotations = document.get_annotation_data_for_tier(f"{row['qid']}/moments")
                written = [
                    (round(start * 1000), round(end * 1000), row["query"]) for start, end in row["windows"]
                ]
                if sorted(annotation[:3] for annotation in annotations) != written:
                    fault = f"query {row['qid']} has {annotations}, not {written}"
        yield f"pympi {version('pympi-ling')}", f"elan/{vid}.eaf: times, values, no overlap", fault


def open_elan_schema(folder: Path, schema: Path) -> Iterator[Opened]:
    import xmlschema

    rules = xmlschema.XMLSchema(str(schema))
    for vid in ("one", "two"):
        errors = [error.reason for error in rules.iter_errors(str(folder / "elan" / f"{vid}.eaf"))]
        yield "ELAN's schema", f"elan/{vid}.eaf: {schema.name}", "; ".join(map(str, errors[:3]))


def open_cues(folder: Path) -> Iterator[Opened]:
    import webvtt

    for vid in ("one", "two"):
        cues = [
            (cue.start_in_seconds, cue.end_in_seconds)
            for cue in webvtt.read(str(folder / "webvtt" / f"{vid}.vtt"))
        ]
        written = [
            (int(s), int(e)) for row in expected_rows(folder) if row["vid"] == vid for s, e in row["windows"]
        ]
        fault = "" if [(int(s), int(e)) for s, e in cues] == written else f"cues {cues}, not {written}"
        yield f"webvtt-py {version('webvtt-py')}", f"webvtt/{vid}.vtt: cues", fault


def open_tables(folder: Path) -> Iterator[Opened]:
    import datasets
    import duckdb
    import openpyxl

    rows, cache = expected_rows(folder), str(folder / "cache")
    library = f"datasets {version('datasets')}"
    table = datasets.load_dataset(str(folder / "parquet"), cache_dir=cache)["train"]
    columns = zip(table["qid"], table["query"], table["relevant_windows"], strict=True)
    read_rows = [(qid, query, [tuple(window) for window in windows]) for qid, query, windows in columns]
    is_right = read_rows == [(row["qid"], row["query"], row["windows"]) for row in rows]
    yield library, "parquet: ids, queries, moments", "" if is_right else f"has {read_rows}"
    for name, file in TRAINING.items():
        path = str(folder / name / file)
        examples = datasets.load_dataset("json", data_files=path, split="train", cache_dir=cache)
        answers = [
            json.loads(example["messages"][1]["content"] if "messages" in example else example["answer"])
            for example in examples
        ]
        is_right = answers == [list(map(list, row["windows"])) for row in rows]
        yield library, f"{name}/{file}: answers", "" if is_right else f"has the answers {answers}"
    queries = {
        "parquet": f"SELECT count(*) FROM read_parquet('{folder}/parquet/data/*.parquet')",
        "rows.jsonl": f"SELECT count(*) FROM read_json('{folder}/rows*.jsonl')",
        "rows.csv": f"SELECT count(DISTINCT qid) FROM read_csv('{folder}/rows.csv')",
    }
    for name, query in queries.items():
        ((count,),) = duckdb.sql(query).fetchall()
        fault = "" if count == len(rows) else f"{count} queries, not {len(rows)}"
        yield f"DuckDB {version('duckdb')}", f"{name}: queries", fault
    sheet = openpyxl.load_workbook(folder / "rows.xlsx").active
    times = [
        (line[6], line[7]) for line in sheet.iter_rows(min_row=2, values_only=True) if line[3] == "truth"
    ]
    written = [window for row in rows for window in row["windows"] or [(None, None)]]
    yield f"openpyxl {version('openpyxl')}", "rows.xlsx: moments", "" if times == written else f"has {times}"


def open_evaluator(folder: Path, repository: Path) -> Iterator[Opened]:
    """QVHighlights' own evaluator on our files gives the scores of `evaluate --rules official`."""
    out = folder / "official-scores.json"
    files = ["--submission_path", folder / "predictions.jsonl", "--gt_path", folder / "official.jsonl"]
    script = repository / "standalone_eval" / "eval.py"
    words = [sys.executable, script, *files, "--save_path", out, "--not_verbose"]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    process = subprocess.run(
        list(map(str, words)), check=False, env=environment, capture_output=True, text=True
    )
    if process.returncode:
        raise RuntimeError(process.stderr.strip().splitlines()[-1])
    theirs, ours = (flat_scores(json.loads(file.read_text())) for file in (out, folder / "scores.json"))
    differing = sorted(name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name))
    fault = f"{len(differing)} differ: {', '.join(differing[:5])}" if differing or not theirs else ""
    yield "moment_detr standalone_eval", f"official.jsonl, predictions.jsonl: {len(theirs)} scores", fault


def flat_scores(value: object, name: str = "") -> dict[str, float]:
    """Every number of nested scores, by its path."""
    if not isinstance(value, dict):
        return {name: float(str(value))}
    return {
        path: score
        for key, part in value.items()
        for path, score in flat_scores(part, f"{name}/{key}").items()
    }


def open_lighthouse(folder: Path, repository: Path) -> Iterator[Opened]:
    """Lighthouse's own data set, its features made up."""
    sys.path[:0] = [str(repository), str(repository / "training")]
    import torch
    from dataset import StartEndDataset

    class Rows(StartEndDataset):
        def _get_query_feat_by_qid(self, qid: object) -> Any:
            return torch.zeros(4, 8)

        def _get_video_feat_by_vid(self, vid: object) -> Any:
            return torch.zeros(75, 8)

    def shares(window: list[float], duration: float) -> tuple[float, float]:
        """Centre and width in units of the duration."""
        return round(sum(window) / 2 / duration, 4), round((window[1] - window[0]) / duration, 4)

    lines = [json.loads(line) for line in (folder / "official.jsonl").read_text().splitlines()]
    written = [{shares(window, line["duration"]) for window in line["relevant_windows"]} for line in lines]

    for name, file in (("qvhighlight", "scored.jsonl"), ("charades", "unscored.jsonl")):
        rows = Rows(name, None, str(folder / file), [""], [""], "", ctx_mode="video_tef")
        spans = [
            {tuple(round(share, 4) for share in span) for span in row["model_inputs"]["span_labels"].tolist()}
            for row in map(rows.__getitem__, range(len(rows)))
        ]
        fault = "" if spans == written else f"has {spans}, not {written}"
        yield "Lighthouse StartEndDataset", f"{file} as {name}: spans", fault


def open_llama_factory(folder: Path) -> Iterator[Opened]:
    """LLaMA-Factory's own loader and converter, from `dataset_info.json` to its conversations."""
    os.environ["DISABLE_VERSION_CHECK"] = "1"
    # It imports torchaudio whether or not a row has sound.
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    sys.modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    dataset_dir = str(folder / "llama-factory")
    (attributes,) = get_dataset_list(["rows"], dataset_dir)
    training = Seq2SeqTrainingArguments(output_dir=str(folder / "cache"), report_to=[])
    model = ModelArguments(model_name_or_path="none", cache_dir=str(folder / "cache"))
    data = DataArguments(dataset_dir=dataset_dir, media_dir=dataset_dir)
    examples = [
        (example["_prompt"][0]["content"], example["_response"][0]["content"], example["_videos"])
        for example in _load_single_dataset(attributes, model, data, training)
    ]
    tool = f"LLaMA-Factory {version('llamafactory')}"
    yield tool, "llama-factory/rows.json: conversations", training_fault(examples, expected_rows(folder))


def open_ms_swift(folder: Path) -> Iterator[Opened]:
    """ms-swift's own loader, with the columns that it hands to GRPO's rewards."""
    from swift.dataset import load_dataset

    path = str(folder / "ms-swift" / "rows.jsonl")
    rows, _ = load_dataset(path, strict=True, load_from_cache_file=False, remove_unused_columns=False)
    examples, rewarded = [], []
    for row in rows:
        (user, assistant), videos = row["messages"], row["videos"]
        files = [video["path"] if isinstance(video, dict) else video for video in videos]
        examples.append((user["content"], assistant["content"], files))
        rewarded.append((user["content"], row["solution"], files))
    expected = expected_rows(folder)
    tool = f"ms-swift {version('ms-swift')}"
    yield tool, "ms-swift/rows.jsonl: conversations", training_fault(examples, expected)
    yield tool, "ms-swift/rows.jsonl: solutions for rewards", training_fault(rewarded, expected)


def training_fault(examples: list[tuple[str, str, list[str]]], rows: list[dict[str, Any]]) -> str:
    """What is wrong with prompts, answers and clips that a trainer's loader gives, or ""."""
    is_right = len(examples) == len(rows) and all(
        prompt.count("<video>") == 1
        and f"query: {row['query']}\n" in prompt
        and json.loads(answer) == list(map(list, row["windows"]))
        and [Path(video).name for video in videos] == [f"{row['vid']}.mp4"]
        for (prompt, answer, videos), row in zip(examples, rows, strict=True)
    )
    return "" if is_right else f"has {examples}"


def open_label_studio(shop: Workshop) -> Iterator[Opened]:
    """Start it, import through its API, export, and compare frames and what our reader makes of the export."""
    python = shop.python("label-studio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, home = "0123456789" * 4, shop.folder / "label-studio-home"
    home.mkdir(exist_ok=True)
    environment = os.environ | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(home),
        "COLLECT_ANALYTICS": "false",
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    }
    account = ["--username", "a@example.org", "--password", "open-exports", "--user-token", token]
    command = [python.parent / "label-studio", "start", "--no-browser", "--port", str(port), *account]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(list(map(str, command)), env=environment, cwd=home, stdout=log, stderr=log)

    def ask(path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=START_S) as answer:
            return json.loads(answer.read())

    try:
        until = time.monotonic() + START_S
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                release = ask("/api/version")["release"]
                break
            if time.monotonic() > until or server.poll() is not None:
                raise Unavailable(f"it did not start; {home / 'log'} says why")
            time.sleep(1)
        tasks = json.loads((shop.exports / "tasks.json").read_text())
        config = (shop.exports / "tasks.labels.xml").read_text()
        project = ask("/api/projects", {"title": "exports", "label_config": config})["id"]
        ask(f"/api/projects/{project}/import", tasks)
        exported = ask(f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")
        predictions = ask(f"/api/predictions?project={project}")
    finally:
        server.terminate()
        server.wait()
    tool = f"Label Studio {release}"
    read_back = {str(task["data"]["qid"]): _ranges(task["annotations"]) for task in exported}
    written = {str(task["data"]["qid"]): _ranges(task["annotations"]) for task in tasks}
    yield (
        tool,
        "tasks.json: frames of annotations",
        "" if read_back == written else f"{read_back}, not {written}",
    )
    proposed, expected = (
        _ranges(predictions),
        [frames for task in tasks for frames in _ranges(task["predictions"])],
    )
    yield (
        tool,
        "tasks.json: frames of predictions",
        "" if proposed == expected else f"{proposed}, not {expected}",
    )
    from annotations.formats import read

    (shop.exports / "label-studio-export.json").write_text(json.dumps(exported))
    rows = {row.qid: row.windows for row in read(shop.exports / "label-studio-export.json").rows}
    near = all(
        len(rows[row["qid"]] or ()) == len(row["windows"])
        and all(
            abs(ours - theirs) <= 1 / FRAME_RATE + 1e-6
            for window, other in zip(row["windows"], rows[row["qid"]] or (), strict=True)
            for ours, theirs in zip(window, other, strict=True)
        )
        for row in expected_rows(shop.exports)
    )
    yield tool, "its JSON export: read back within a frame", "" if near else f"has {rows}"


def _ranges(answers: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """First and last frames of every region."""
    return [
        (span["start"], span["end"])
        for answer in answers
        for region in answer["result"]
        for span in region["value"].get("ranges", ())
    ]


def open_track(shop: Workshop) -> Iterator[Opened]:
    """Chromium's cues of a `<track>`."""
    from playwright.sync_api import sync_playwright

    from scripts.setup import CHROMIUM_FLAGS, find_browser

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(shop.exports)))
    Thread(target=server.serve_forever, daemon=True).start()
    (shop.exports / "page.html").write_text("<video></video>")
    load = """(source) => new Promise((done, fail) => {
      const track = document.createElement("track");
      document.querySelector("video").append(track);
      const text = (cue) => cue.getCueAsHTML().textContent;
      track.onload = () => done([...track.track.cues].map((cue) => [cue.startTime, cue.endTime, text(cue)]));
      track.onerror = () => fail(new Error("the track does not load"));
      [track.src, track.track.mode] = [source, "hidden"];
    })"""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_FLAGS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/page.html")
        for vid in ("one", "two"):
            cues = [tuple(cue) for cue in page.evaluate(load, f"webvtt/{vid}.vtt")]
            rows = [row for row in expected_rows(shop.exports) if row["vid"] == vid]
            written = [(*window, row["query"]) for row in rows for window in row["windows"]]
            fault = "" if cues == written else f"has {cues}, not {written}"
            yield f"Chromium {browser.version}", f"webvtt/{vid}.vtt: cues of <track>", fault
        browser.close()
    server.shutdown()


def open_schema(shop: Workshop) -> Iterator[Opened]:
    """The schema as it is published, or else as ELAN's sources have it."""
    schema = shop.folder / "EAFv3.0.xsd"
    if not schema.exists():
        try:
            schema.write_bytes(urllib.request.urlopen(ELAN_SCHEMA, timeout=60).read())
        except OSError:
            schema = shop.checkout(*ELAN_FORK) / ELAN_FORK[1] / schema.name
    return iter(shop.inside("readers", "schema", schema))


CHECKS: dict[str, Callable[..., Iterator[Opened]]] = {
    "elan": open_elan,
    "schema": open_elan_schema,
    "cues": open_cues,
    "tables": open_tables,
    "evaluator": open_evaluator,
    "lighthouse": open_lighthouse,
    "llama-factory": open_llama_factory,
    "ms-swift": open_ms_swift,
}
"""What runs in an environment of the tools."""
TOOLS: dict[str, Callable[[Workshop], Any]] = {
    "elan": lambda shop: shop.inside("readers", "elan"),
    "elan-schema": open_schema,
    "webvtt": lambda shop: shop.inside("readers", "cues"),
    "track": open_track,
    "tables": lambda shop: shop.inside("readers", "tables"),
    "evaluator": lambda shop: shop.inside(
        "readers", "evaluator", shop.checkout(REPOSITORIES[0], "standalone_eval")
    ),
    "lighthouse": lambda shop: shop.inside(
        "llama-factory", "lighthouse", shop.checkout(REPOSITORIES[1], "lighthouse", "training")
    ),
    "llama-factory": lambda shop: shop.inside("llama-factory", "llama-factory"),
    "ms-swift": lambda shop: shop.inside("ms-swift", "ms-swift"),
    "label-studio": open_label_studio,
}


if __name__ == "__main__":
    sys.exit(main())
