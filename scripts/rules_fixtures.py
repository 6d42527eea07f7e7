"""What the authors' own evaluators print for one generated file, as a fixture for `tests/tempo_core/metrics/rules`.

    python scripts/rules_fixtures.py REPOSITORIES [OUT.json]

REPOSITORIES holds bare clones as OWNER+NAME/repo, at any commit; the commit that was read is written beside the
numbers. Each evaluator runs as a program of its own where it is one, in a folder that is thrown away: nothing of it is
kept. Run this in an environment of its own: numpy below 2.4 (`np.trapz`), scipy, scikit-learn, pandas below 3,
matplotlib, torch and nncore. RA-RFT's judge is replaced by the answer itself, which the rows state.
"""

import ast
import contextlib
import io
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scripts.protocol_fixtures import Repository

OUT = Path(__file__).resolve().parents[1] / "tests" / "tempo_core" / "metrics" / "rules" / "evaluators.json"
QUERIES = 160
Row = dict[str, Any]
JUDGE = """
import json, sys
import src.llm_eval.llm_evaluator as judge
judge.step1_relevance_and_top1_span = json.loads
judge.step2_extract_categories = lambda text: []
judge.step3_score_reasoning = lambda text, truth: {"score": 0.0}
judge.step4_sbert_similarity = lambda text, truth: {"similarity": 0.0}
from src.llm_eval.processor import process_split
with open(sys.argv[1]) as file:
    metrics = process_split(json.load(file), 0)
print(json.dumps({name: metrics[name] for name in ("relevance", "RA-IoU")}))
"""
STUBS = {
    "openai.py": "OpenAI = APITimeoutError = APIConnectionError = type('Stub', (Exception,), {})\n",
    "dotenv.py": "def load_dotenv():\n    pass\n",
    "sentence_transformers.py": "SentenceTransformer = util = None\n",
    "torch.py": "",
}


def generate(seed: int) -> tuple[list[Row], list[Row]]:
    """Ground truth and predictions: none, one and many moments; refusals, overlaps, ties and impossible windows.

    Times lie on a grid of half a second, so that equal fits and IoU at a threshold are common.
    """
    rng = random.Random(seed)

    def window(longest: float = 20.0) -> list[float]:
        start = rng.randrange(0, 2 * 130) / 2
        return [start, start + rng.randrange(1, round(2 * longest)) / 2]

    truth, predictions = [], []
    for qid in range(1, QUERIES + 1):
        count = rng.choice([0, 0, 1, 1, 1, 1, 2, 2, 3, 4, 6])
        moments = [window(rng.choice([8.0, 30.0, 60.0])) for _ in range(count)]
        if count > 1 and rng.random() < 0.3:
            moments[1] = [moments[0][1], moments[0][1] + 4.0]
        names = {"qid": qid, "query": f"query {qid}", "vid": f"video {qid % 40}"}
        duration = rng.choice([150.0, 150.0, 150.0, 120.5])
        truth.append(names | {"duration": duration, "relevant_windows": moments})

        near = [
            [start + rng.choice([0, 0, -0.5, 1.0, 3.0]), end + rng.choice([0, 0, 0.5, -1.0, 4.0])]
            for start, end in moments
        ]
        near = [[max(start, 0.0), end] for start, end in near]
        windows = near + [window() for _ in range(rng.randrange(1, 9))]
        rng.shuffle(windows)
        if rng.random() < 0.1:
            windows.insert(rng.randrange(len(windows)), rng.choice([[30.0, 20.0], [15.0, 15.0]]))
        ranked = [[*edges, rng.randrange(1, 10) / 10] for edges in windows]
        row: Row = names | {"pred_relevant_windows": ranked}
        if rng.random() < 0.85:
            row["relevance"] = rng.choice([0.1, 0.4, 0.5, 0.6, 0.8, 0.95])
        if rng.random() < (0.5 if count == 0 else 0.1):
            row["refused"] = True
            if rng.random() < 0.5:
                row["pred_relevant_windows"] = []
        elif rng.random() < 0.7:
            answers = near[: rng.randrange(1, 5)] + [window() for _ in range(rng.choice([0, 0, 1, 2]))]
            rng.shuffle(answers)
            if answers and rng.random() < 0.3:
                answers.append([answers[0][0] + 1.0, answers[0][1] + 2.0])
            if rng.random() < 0.1:
                answers.insert(0, [40.0, 35.0])
            row |= {"moments": answers, "refused": False}
        predictions.append(row)
    return truth, predictions


def answer(row: Row) -> list[list[float]]:
    """The row's answer as a set: none for a refusal, `moments`, else the sure windows or the best one."""
    ranked = sorted(row["pred_relevant_windows"], key=lambda window: -window[2])
    if row.get("refused", not ranked and not row.get("moments")):
        return []
    if "moments" in row:
        return [list(moment) for moment in row["moments"]]
    return [window[:2] for window in ranked if window[2] >= 0.5] or [window[:2] for window in ranked[:1]]


def refuses(row: Row) -> bool:
    return bool(row.get("refused", not row["pred_relevant_windows"] and not row.get("moments")))


class Workshop:
    """A folder for one evaluator's files, and the evaluator in it as a program."""

    def __init__(self, folder: Path, repository: Repository, files: Sequence[str]) -> None:
        self.folder = folder
        for name in files:
            self.write(name, repository.read(name))

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def write_lines(self, name: str, rows: Sequence[Any]) -> Path:
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows))

    def run(self, *words: str | Path) -> str:
        command = [sys.executable, *map(str, words)]
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        process = subprocess.run(
            command, cwd=self.folder, env=environment, check=True, capture_output=True, text=True
        )
        return process.stdout


def qv_m2(folder: Path, repository: Repository, truth: list[Row], predictions: list[Row]) -> Any:
    shop = Workshop(folder, repository, ["standalone_eval/eval.py", "standalone_eval/utils.py"])
    shop.write_lines("p.jsonl", predictions)
    shop.write_lines("g.jsonl", truth)
    words = ["--submission_path", "p.jsonl", "--gt_path", "g.jsonl", "--save_path", "out/scores.json"]
    shop.run("standalone_eval/eval.py", *words, "--not_verbose")
    return json.loads((folder / "out" / "scores.json").read_text())


def soccer_gmr(folder: Path, repository: Repository, truth: list[Row], predictions: list[Row]) -> Any:
    files = ["eval/eval_main.py", "eval/metrics.py", "eval/normalization.py", "eval/utils.py"]
    shop = Workshop(folder, repository, files)
    rows = []
    for row in predictions:
        existence = row.get("relevance", 0.0 if refuses(row) else None)
        rows.append(row if existence is None else row | {"pred_exist_score": existence})
    shop.write_lines("p.jsonl", rows)
    shop.write_lines("g.jsonl", truth)
    words = ["--submission_path", "p.jsonl", "--gt_path", "g.jsonl", "--save_path", "out/scores.json"]
    shop.run("eval/eval_main.py", *words, "--not_verbose")
    return json.loads((folder / "out" / "scores.json").read_text())


def omtg(folder: Path, repository: Repository, truth: list[Row], predictions: list[Row]) -> Any:
    import numpy as np
    import pandas
    from scipy.optimize import linear_sum_assignment

    def text(windows: list[list[float]]) -> str:
        return ", ".join(f"<time>{start} - {end} seconds</time>" for start, end in windows) or "none"

    rows = [
        {"prediction": text(answer(row)), "answer": text(moments["relevant_windows"])}
        for moments, row in zip(truth, predictions, strict=True)
    ]
    names = ["parse_time_to_seconds", "parse_time_intervals", "calculate_iou", "merge_segments"]
    names += ["calculate_total_length", "compute_one_to_many_metrics", "OMTGBench"]
    module = repository.run(
        "vlmeval/dataset/omtgbench.py",
        *names,
        np=np,
        re=re,
        linear_sum_assignment=linear_sum_assignment,
        VideoBaseDataset=object,
        load=lambda path: pandas.DataFrame(rows),
        dump=lambda scores, path: None,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        return module.OMTGBench.evaluate(SimpleNamespace(dataset_name="OMTGBench"), "p.xlsx")


def vue_tr(version: str) -> Any:
    def run(folder: Path, repository: Repository, truth: list[Row], predictions: list[Row]) -> Any:
        import copy

        import numpy as np

        answers = [{"query_id": row["qid"], "answer": answer(row)} for row in predictions]
        true = [{"query_id": row["qid"], "gt": row["relevant_windows"]} for row in truth]
        (folder / "p.json").write_text(json.dumps(answers))
        (folder / "g.json").write_text(json.dumps(true))
        names = ["overlap_ratio", "success_overlap", "merge_time_spans", "interval_intersection"]
        names += ["interval_union", "compute_precision_recall", "load_result", "print_result"]
        module = repository.run(
            f"{version}/qa_eval.py", *names, np=np, json=json, osp=os.path, copy=copy, pdb=None
        )
        results = module.load_result(str(folder / "g.json"), str(folder / "p.json"))
        precision, recall = module.compute_precision_recall(results)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            module.print_result("model", len(results), precision, recall, module.success_overlap(results)[1])
        return {name: float(value) for name, value in re.findall(r"(\w+): ([\d.]+|nan)%", printed.getvalue())}

    return run


def timelens(folder: Path, repository: Repository, truth: list[Row], predictions: list[Row]) -> Any:
    shop = Workshop(folder, repository, ["evaluation/compute_metrics.py", "timelens/utils.py"])
    lines = []
    for moments, row in zip(truth, predictions, strict=True):
        if len(moments["relevant_windows"]) == 1:
            key = f"{row['vid']}>>>{row['query']}>>>{moments['relevant_windows'][0]}"
            lines.append({key: {"timestamps": answer(row)}})
    shop.write_lines("p.jsonl", lines)
    printed = shop.run("evaluation/compute_metrics.py", "-f", "p.jsonl")
    return {name: float(value) for name, value in re.findall(r"^(m?IOU.*?): (\S+)$", printed, re.MULTILINE)}


def unitime(folder: Path, repository: Repository, truth: list[Row], predictions: list[Row]) -> Any:
    shop = Workshop(folder, repository, ["eval_metrics.py"])
    true = [{"qid": row["qid"], "annos": [{"window": row["relevant_windows"]}]} for row in truth]
    answers = [
        {"qid": row["qid"], "pred_relevant_windows": answer(row)}
        for moments, row in zip(truth, predictions, strict=True)
        if moments["relevant_windows"]
    ]
    shop.write("datasets/anet/test_all.json", json.dumps(true))
    shop.write("anet.json", json.dumps(answers))
    printed = ast.literal_eval(shop.run("eval_metrics.py", "--res", "anet.json").splitlines()[-1])
    return {name.removeprefix("Rank@1\n"): float(value) for name, value in printed.items()}


def na_vmr(folder: Path, repository: Repository, truth: list[Row], predictions: list[Row]) -> Any:
    shop = Workshop(folder, repository, ["UniVTG-NA/negative_aware_results.py"])
    shop.write_lines(
        "g.jsonl", [row | {"relevant_windows": row["relevant_windows"] or [[0, 0]]} for row in truth]
    )
    answers = [
        row
        | {
            "pred_class": row.get("relevance", 0.0 if refuses(row) else 1.0),
            "pred_relevant_windows": row["pred_relevant_windows"] or [[0.0, 0.0, 0.0]],
        }
        for row in predictions
    ]
    shop.write("p.json", json.dumps({"preds": answers}))
    words = ["--gt_path", "g.jsonl", "--pred_path", "p.json"]
    printed = shop.run("UniVTG-NA/negative_aware_results.py", *words)
    return {name: float(value) for name, value in re.findall(r"^(R.*?):? ([\d.]+)$", printed, re.MULTILINE)}


def ra_rft(folder: Path, repository: Repository, truth: list[Row], predictions: list[Row]) -> Any:
    files = [f"src/llm_eval/{name}.py" for name in ("llm_evaluator", "processor", "utils")]
    shop = Workshop(folder, repository, files)
    for name, text in STUBS.items():
        shop.write(name, text)
    items = []
    for moments, row in zip(truth, predictions, strict=True):
        answers, windows = answer(row), moments["relevant_windows"]
        items.append(
            {
                "gt_relevant": bool(windows),
                "gt_timestamp": windows[0] if len(windows) == 1 else windows,
                "gt_output": "a reason",
                "model_output": json.dumps(
                    {
                        "classification": "irrelevant" if refuses(row) else "relevant",
                        "span": answers[0] if answers else None,
                    }
                ),
            }
        )
    shop.write("items.json", json.dumps(items))
    shop.write("judge.py", JUDGE)
    return json.loads(shop.run("judge.py", "items.json"))


EVALUATORS = {
    "qv-m2": ("Zhuo-Cao/QV-M2", qv_m2),
    "soccer-gmr": ("dymm9977/generalized-moment-retrieval", soccer_gmr),
    "omtg": ("open-compass/VLMEvalKit", omtg),
    "vue-tr": ("bytedance/vidi", vue_tr("VUE_TR")),
    "vue-tr-v2": ("bytedance/vidi", vue_tr("VUE_TR_V2")),
    "timelens": ("TencentARC/TimeLens", timelens),
    "unitime": ("Lzq5/UniTime", unitime),
    "na-vmr": ("keflanagan/MomentofUntruth", na_vmr),
    "ra-rft": ("JINSUBY/RA-RFT", ra_rft),
}


def finite(value: Any) -> Any:
    """The same numbers in JSON: null for NaN."""
    if isinstance(value, Mapping):
        return {str(name): finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else OUT
    truth, predictions = generate(seed=11)
    with_moments = [idx for idx, row in enumerate(truth) if row["relevant_windows"]]
    results = []
    for name, (repository_name, run) in EVALUATORS.items():
        repository = Repository(folder, repository_name)
        subsets = {"every": range(QUERIES)} | ({"with moments": with_moments} if name == "qv-m2" else {})
        for rows, chosen in subsets.items():
            with tempfile.TemporaryDirectory() as workshop:
                chosen_truth, chosen_predictions = (
                    [kind[idx] for idx in chosen] for kind in (truth, predictions)
                )
                scores = finite(run(Path(workshop), repository, chosen_truth, chosen_predictions))
            origin = {"repository": repository.name, "commit": repository.commit}
            results.append({"rules": name, **origin, "rows": rows, "scores": scores})
    parts = []
    for title, lines in (("ground_truth", truth), ("predictions", predictions), ("results", results)):
        listed = ",\n".join(json.dumps(line) for line in lines)
        parts.append(f'"{title}": [\n{listed}\n]')
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
