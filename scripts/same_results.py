"""Do two checkouts of the project give the same results? Runs the same commands and requests in both.

    python scripts/same_results.py OLD NEW [--data FOLDER] [--parts answers,files,store,train,http]
    python scripts/same_results.py CHECKOUT          # print one checkout's results as JSON

Run it with the Python of the project's environment; each checkout runs its own code, from its own folder. Only command
lines and HTTP are used, so that OLD may be a commit with other module names: `git worktree add OLD COMMIT`. Times,
random ids and addresses are left out. Exit code 1 when something differs. It takes a few minutes for each checkout.

answers  `tempo_core` ground, predict, allocate and frames on the clips and questions of app/examples
files    `tempo_core evaluate` by both rules: on what `predict` wrote, and on the prediction files of --data FOLDER
         (FOLDER/eval/*preds.jsonl against FOLDER/qvhighlights/highlight_val_release.jsonl)
store    `annotations` import, export in every format, snapshot, stats and queue
train    `train` shapeworld, sft and pir-grpo: rows, clips, curves and the adapters' weights
http     the app, served: its JSON routes, and a question by its Gradio API
"""

import argparse
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Results = dict[str, Any]
"""What was done, and what came of it: a JSON value without what differs from run to run."""

VOLATILE = re.compile(
    r"(timings|url|context_id|created|created_at|written_at|path|folder|videos|video|rows_path|file|op_id|"
    r".*_at_ms|.*_at|elapsed_s|seconds|time|until_ms|leased_until_ms|.*_seconds|code_version)"
)
"""Keys of JSON objects whose values are times, random ids or places on disk."""

SAMPLE_ROWS = [
    ("A red circle appears", [[2, 8]]),
    ("two squares at once", [[4, 10], [14, 20]]),
    ("the wall turns teal", [[0, 6]]),
    ("a dog jumps over a fence", []),
]


class Checkout:
    """One checkout's commands, run in an empty home of their own."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root, self.scratch, self.home = root.resolve(), scratch, scratch / "home"
        self.home.mkdir(parents=True)
        self.examples = self.root / "app" / "examples"
        self.manifest = json.loads((self.examples / "manifest.json").read_text())
        self.environment = {**os.environ, "TEMPO_HOME": str(self.home), "OMP_NUM_THREADS": "1"}

    def run(self, *words: object) -> str:
        """A command's standard output, after its exit code where that is not 0."""
        process = subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        if process.returncode:
            return f"exit code {process.returncode}: {process.stderr.strip().splitlines()[-1:]}\n{process.stdout}"
        return process.stdout

    def without_places(self, text: str) -> str:
        """The text without the folders that the two checkouts do not share."""
        return text.replace(str(self.scratch), "SCRATCH").replace(str(self.root), "CHECKOUT")

    def answer(self, *words: object) -> Any:
        """A command's JSON (one object, or one a line), or its text."""
        text = self.without_places(self.run(*words))
        with suppress(ValueError):
            return stable(json.loads(text))
        lines = [line for line in text.splitlines() if line]
        return [stable(json.loads(line)) if line.startswith("{") else line for line in lines]


def stable(value: Any) -> Any:
    """A JSON value without the keys of VOLATILE; long lists and texts as digests."""
    if isinstance(value, dict):
        return {key: stable(inner) for key, inner in value.items() if not VOLATILE.fullmatch(key)}
    if isinstance(value, list):
        values = [stable(inner) for inner in value]
        return values if len(values) <= 40 else f"{len(values)} values, {digest(json.dumps(values).encode())}"
    if isinstance(value, str):
        return value if len(value) <= 200 else f"{len(value)} characters, {digest(value.encode())}"
    return value


def digest(content: bytes) -> str:
    return "sha256 " + hashlib.sha256(content).hexdigest()[:16]


def files_in(folder: Path) -> Results:
    """The digest of every file below a folder; JSON without what is volatile."""
    digests: Results = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"):
        content = path.read_bytes()
        if path.suffix == ".json":
            with suppress(ValueError):
                content = json.dumps(stable(json.loads(content))).encode()
        digests[path.relative_to(folder).as_posix()] = digest(content)
    return digests


def answers(checkout: Checkout) -> Results:
    results: Results = {}
    rows = [
        {"qid": 100 * number + idx, "query": question, "vid": Path(clip["file"]).stem, "duration": 30}
        for number, clip in enumerate(checkout.manifest)
        for idx, question in enumerate(clip["questions"])
    ]
    truth = checkout.scratch / "questions.jsonl"
    truth.write_text("".join(json.dumps({**row, "relevant_windows": [[2, 8]]}) + "\n" for row in rows))
    predictions = checkout.scratch / "predictions.jsonl"
    results["predict"] = checkout.answer(
        "tempo_core",
        "predict",
        "--ground-truth",
        truth,
        "--videos",
        checkout.examples,
        "--out",
        predictions,
        "--json",
    )
    if predictions.is_file():
        for line in predictions.read_text().splitlines():
            prediction = stable(json.loads(line))
            results[f"predict: qid {prediction['qid']}"] = prediction
    for clip in checkout.manifest[:2]:  # `predict` has asked about all of them
        path = checkout.examples / clip["file"]
        question = clip["questions"][0]
        results[f"ground {clip['file']}: {question}"] = checkout.answer(
            "tempo_core", "ground", path, question, "--json"
        )
        results[f"allocate {clip['file']}"] = checkout.answer("tempo_core", "allocate", path, "--json")
    path = checkout.examples / checkout.manifest[0]["file"]
    for options in (("--fps", "1"), ("--at", "1.5")):
        folder = checkout.scratch / f"frames{options[0]}"
        name = f"frames {' '.join(options)}"
        results[name] = checkout.answer("tempo_core", "frames", path, "--out", folder, "--json", *options)
        results[f"{name}: files"] = files_in(folder)
    results["ground: bad question"] = checkout.run("tempo_core", "ground", path, "").partition(":")[0]
    return results


def files(checkout: Checkout, data: Path | None) -> Results:
    pairs = [(checkout.scratch / "predictions.jsonl", checkout.scratch / "questions.jsonl")]
    if data is not None:
        truth = data / "qvhighlights" / "highlight_val_release.jsonl"
        pairs += [(predictions, truth) for predictions in sorted(data.glob("eval/*preds.jsonl"))]
    results: Results = {}
    for predictions, truth in pairs:
        for rules in ("official", "strict"):
            words = ("--predictions", predictions, "--ground-truth", truth, "--rules", rules)
            results[f"evaluate {predictions.name} {rules}"] = checkout.answer(
                "tempo_core", "evaluate", *words, "--samples", "50", "--partial", "--json"
            )
    return results


def store(checkout: Checkout) -> Results:
    results: Results = {}
    rows = checkout.scratch / "highlight_train_release.jsonl"
    vids = [Path(clip["file"]).stem for clip in checkout.manifest]
    with rows.open("w") as file:
        for qid, (query, windows) in enumerate(SAMPLE_ROWS, start=1):
            clips = [clip for start, end in windows for clip in range(start // 2, end // 2)]
            row: Results = {"qid": qid, "query": query, "duration": 24, "vid": vids[(qid - 1) % 2]}
            row |= {"relevant_windows": windows, "relevant_clip_ids": clips}
            row |= {"saliency_scores": [[qid % 5, 2, 3] for _ in clips]}
            if windows:
                file.write(json.dumps(row) + "\n")
    predictions = checkout.scratch / "model_predictions.jsonl"
    predictions.write_text(
        "".join(
            json.dumps(
                {"qid": qid, "query": query, "vid": vids[(qid - 1) % 2]}
                | {"pred_relevant_windows": [[1, 7, 0.5]]}
            )
            + "\n"
            for qid, (query, windows) in enumerate(SAMPLE_ROWS, start=1)
            if windows
        )
    )
    database = ("--database", checkout.home / "cqvh.sqlite3", "--json")
    results["import"] = checkout.answer("annotations", "import", rows, "--split", "train", *database)
    results["import again"] = checkout.answer("annotations", "import", rows, "--split", "train", *database)
    results["import predictions"] = checkout.answer(
        "annotations", "import", predictions, "--format", "predictions", *database
    )
    results["videos add"] = checkout.answer("annotations", "videos", "add", checkout.examples, *database)
    for command in ("stats", "queue", "verify", "agreement"):
        results[command] = checkout.answer("annotations", command, *database)
    formats = {
        "qvhighlights": "",
        "parquet": ".parquet",
        "csv": ".csv",
        "label-studio": ".json",
        "webvtt": "",
        "elan": "",
        "lighthouse": ".jsonl",
        "activitynet": ".json",
        "timelens": ".jsonl",
        "charades-sta": ".txt",
        "predictions": ".jsonl",
    }
    for name, suffix in formats.items():
        folder = checkout.scratch / "exports" / name
        folder.mkdir(parents=True)
        target = folder / f"rows{suffix}" if suffix else folder / "rows"
        options = ("--frame-rate", "25") if name == "label-studio" else ()
        results[f"export {name}"] = checkout.answer(
            "annotations", "export", "--format", name, "--out", target, *options, *database
        )
        results[f"export {name}: files"] = files_in(folder)
    snapshots = checkout.scratch / "snapshots"
    results["snapshot"] = checkout.answer("annotations", "snapshot", "--out", snapshots, *database)
    results["snapshot: names"] = sorted(path.name for path in snapshots.glob("*"))
    return results


def train(checkout: Checkout) -> Results:
    results: Results = {}
    clips = checkout.scratch / "shapeworld"
    results["shapeworld"] = checkout.answer(
        "train",
        "shapeworld",
        "--out",
        clips,
        "--clips",
        "4",
        "--queries",
        "3",
        "--size",
        "112",
        "--seed",
        "3",
        "--json",
    )
    results["shapeworld: files"] = files_in(clips)
    data = ("--data", clips / "rows.jsonl", "--videos", clips / "videos", "--json")
    sft, pir = checkout.scratch / "sft", checkout.scratch / "pir"
    results["sft"] = checkout.answer("train", "sft", "--out", sft, "--steps", "3", *data)[:-1]
    results["sft: adapter"] = files_in(sft / "adapter")
    results["pir-grpo"] = checkout.answer(
        "train", "pir-grpo", "--out", pir, "--steps", "1", "--adapter", sft / "adapter", *data
    )[:-1]
    results["pir-grpo: adapter"] = files_in(pir / "adapter")
    results["sft --dry-run"] = checkout.answer(
        "train", "sft", "--out", checkout.scratch / "none", "--dry-run", *data
    )
    return results


def http(checkout: Checkout) -> Results:
    """Requests to the served app, on the rows that `store` imported."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    log = (checkout.scratch / "app.log").open("w")
    command = [sys.executable, "-m", "app", "--port", str(port), "--home", str(checkout.home)]
    server = subprocess.Popen(
        command, cwd=checkout.root, env=checkout.environment, stdout=log, stderr=subprocess.STDOUT
    )
    results: Results = {}

    def request(path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        message = urllib.request.Request(
            address + path, data=data, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(message, timeout=120) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            return error.code, json.loads(text) if text.startswith("{") else text[:80]

    def record(path: str, body: Any = None) -> None:
        status, value = request(path, body)
        name = path if body is None else f"{path} {json.dumps(body)[:80]}"
        results[name] = [status, stable(json.loads(checkout.without_places(json.dumps(value))))]

    try:
        while True:
            if server.poll() is not None:
                return {"app": f"ended with {server.returncode}"}
            try:
                if request("/status")[1]["state"] != "loading":
                    break
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.5)
        record("/status")
        moment = {"start_ms": 1000, "end_ms": 3000}
        edit = {"verdict": "moments", "moments": [moment]}
        for path in ("me", "sample", "queries/1", "queries/1/proposal", "queries/3", "queries/99"):
            record(f"/annotate/api/{path}")
        record("/annotate/api/next", {"op_id": "next-1"})
        record("/annotate/api/next", {})
        record("/annotate/api/queries/1/edits", {"op_id": "edit-1", "parent_id": None, "edit": edit})
        record("/annotate/api/queries/1/edits", {"op_id": "edit-1", "parent_id": None, "edit": edit})
        record("/annotate/api/queries/1/edits", {"op_id": "edit-2", "parent_id": None, "edit": edit})
        for wrong in (
            None,
            {"verdict": "perhaps"},
            {"verdict": "moments", "moments": [{"start_ms": 3000, "end_ms": 1000}]},
            {"verdict": "moments", "moments": [{"start_ms": 0, "end_ms": 10**9}]},
            {"verdict": "no-moment", "moments": [moment]},
        ):
            record("/annotate/api/queries/2/edits", {"op_id": "wrong", "parent_id": None, "edit": wrong})
        refusal = {"verdict": "no-moment", "moments": [], "reason": "it is not there"}
        record("/annotate/api/queries/2/edits", {"op_id": "edit-3", "parent_id": None, "edit": refusal})
        record("/annotate/api/queries/3/skip", {"op_id": "skip-1"})
        record("/review/api/queue")
        record("/review/api/queries/1")
        verdict = {"verdict_parent_id": None, "parent_id": 1}
        for decision in (
            {"op_id": "verdict-1", "adopt": 7},
            {"op_id": "verdict-2", "adopt": {"kind": "annotator", "id": 99}},
            {"op_id": "verdict-3", "adopt": {"kind": "annotator", "id": 1}},
            {"op_id": "verdict-4", "edit": edit},
        ):
            record("/review/api/queries/1/verdict", decision | verdict)
        record("/review/api/queries/1")

        from gradio_client import Client, handle_file

        client = Client(address, verbose=False)
        clip = checkout.manifest[0]
        answer = client.predict(
            video=handle_file(str(checkout.examples / clip["file"])),
            query=clip["questions"][0],
            api_name="/ground",
        )
        results["Gradio /ground"] = stable(answer)
        again = client.predict(context_id=answer["context_id"], query=clip["questions"][1], api_name="/ask")
        results["Gradio /ask"] = stable(again)
        results["Gradio parameters"] = {
            name: [parameter["parameter_name"] for parameter in endpoint["parameters"]]
            for name, endpoint in client.view_api(print_info=False, return_format="dict")[
                "named_endpoints"
            ].items()
        }
    finally:
        server.terminate()
        server.wait()
        log.close()
    return results


def results_of(root: Path, parts: list[str], data: Path | None) -> Results:
    """Every result of one checkout, by part and name."""
    runs: dict[str, Callable[[Checkout], Results]] = {
        "answers": answers,
        "files": lambda checkout: files(checkout, data),
        "store": store,
        "train": train,
        "http": http,
    }
    with tempfile.TemporaryDirectory(prefix="same-results-") as scratch:
        checkout = Checkout(root, Path(scratch))
        results: Results = {}
        for part in parts:
            start_s = time.monotonic()
            results |= {f"{part}: {name}": value for name, value in runs[part](checkout).items()}
            print(f"{root}: {part} took {time.monotonic() - start_s:.0f} s", file=sys.stderr, flush=True)
        return results


def differences(old: Any, new: Any, place: str = "") -> list[str]:
    """Where two JSON values differ, one line a place."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for key in dict.fromkeys([*old, *new]):
            lines += differences(old.get(key, "absent"), new.get(key, "absent"), f"{place}.{key}")
        return lines
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for i in range(len(old)) for line in differences(old[i], new[i], f"{place}[{i}]")]
    return [] if old == new else [f"    {place or 'value'}: {old!r} -> {new!r}"]


def main() -> int:
    """Print one checkout's results, or compare two; 1 when they differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkouts", type=Path, nargs="+", metavar="CHECKOUT", help="one, or OLD and NEW")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="with eval/ and qvhighlights/")
    parser.add_argument(
        "--parts", default="answers,files,store,train,http", help="some of them, in this order"
    )
    args = parser.parse_args()
    parts = args.parts.split(",")
    data = None if args.data is None else args.data.resolve()
    if len(args.checkouts) == 1:
        print(json.dumps(results_of(args.checkouts[0], parts, data), indent=1))
        return 0
    if len(args.checkouts) > 2:
        parser.error("give one checkout, or two")
    old, new = [results_of(root, parts, data) for root in args.checkouts]
    different = 0
    for name in dict.fromkeys([*old, *new]):
        lines = differences(old.get(name, "absent"), new.get(name, "absent"))
        different += bool(lines)
        print(f"{'DIFFERS' if lines else 'same   '} {name}")
        print("\n".join(lines), end="\n" if lines else "")
    print(f"{len(old | new) - different} results are the same, {different} differ.")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
