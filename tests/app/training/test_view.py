"""What the train page says, read as a person reads it."""

from dataclasses import replace
from typing import Any

from app.training.jobs import JobStatus
from app.training.service import Preview
from app.training.view import adapters_html, job_html, preview_html, scores_html
from tests.app.markup import HOSTILE, hostile_texts, page_text
from tests.train.refresh.test_registry import lineage
from train.dry_run import DryRun
from train.refresh.registry import Entry

PLAN = DryRun(
    rows={"rows": 54, "clips": 13},
    steps={"sft": 12, "pir-grpo": 10},
    tokens={"sft": 1, "pir-grpo": 1},
    weight_bytes=1,
    trained=1,
    state_bytes=1,
    activation_bytes=1,
    seconds={"sft": 95.0, "pir-grpo": 487.0},
    other_seconds={"checking": 18.0},
    device="cpu",
    memory_bytes=1_500_000_000,
)


def entry(name: str = "tiny-1", **fields: Any) -> Entry:
    promoted = fields.pop("promoted", False)
    return Entry(name=name, folder=None, lineage=lineage(**fields), promoted=promoted)  # type: ignore[arg-type]


def test_a_preview_says_what_is_used_and_what_is_left_out() -> None:
    preview = Preview(
        snapshot=HOSTILE,
        training={"rows": 1234, "clips": 5},
        held_out={"rows": 2, "clips": 1, "no moment": 1},
        kinds={"moments": 3, HOSTILE: 1},
        left_out={HOSTILE: 1200},
        replay=True,
        plan=PLAN,
    )
    html = preview_html(preview)
    text = " ".join(page_text(html).split())
    assert "About 10 min and about 1.5 GB of memory on cpu, by estimate: 54 rows about 13 clips teach" in text
    assert "Looking at clips, about 18 s" in text
    assert "Learning answers: 12 steps, about 2 min" in text
    assert hostile_texts(html) == 3
    assert "<dt>rows that teach</dt><dd>1,234</dd>" in html
    assert "1,200 left out" in page_text(html)
    assert "mixed in" in html
    assert "no corrections to learn from" not in html
    nothing = preview_html(
        Preview(
            snapshot="s",
            training={"rows": 0, "clips": 0},
            held_out={"rows": 0, "clips": 0, "no moment": 0},
            kinds={},
            left_out={},
            replay=False,
            plan=None,
        )
    )
    loading = replace(preview, plan=None, problem=HOSTILE)
    assert hostile_texts(preview_html(loading)) == 4
    assert "There are no corrections to learn from yet." in page_text(nothing)


def test_a_job_shows_its_stages_and_what_it_says() -> None:
    status = JobStatus(
        state="running",
        message=HOSTILE,
        recipe=HOSTILE,
        by=HOSTILE,
        started_at_ms=1_000,
        stage="sft",
        stages=("reading", "sft", HOSTILE),
        step=3,
        steps=4,
        unit=HOSTILE,
        batch=1,
        batches=2,
        seconds_left=95.0,
        seconds_to_come=7200.0,
    )
    html = job_html(status)
    assert hostile_texts(html) == 5
    assert '<li class="done">Reading the snapshot</li>' in html
    assert '<li class="now" aria-current="step">Learning answers</li>' in html
    assert 'value="88"' in html
    assert f"3 of 4 {HOSTILE} · 1 of 2 batches of the next step · about 2 min left" in page_text(html)
    assert "· about 2.0 h for what follows, by estimate" in page_text(html)
    assert "1970-01-01 00:00 UTC" in page_text(html)
    unknown = job_html(JobStatus(state="running", message="Reading.", stage="reading", stages=("reading",)))
    assert "left" not in page_text(unknown)
    assert "0 of 0" not in page_text(unknown)
    over = job_html(JobStatus(state="failed", message="It broke.", stages=("reading", "sft"), stage="sft"))
    assert "<progress" not in over
    assert 'role="alert"' in over
    html = job_html(JobStatus(state="done", message="Made.", stages=("reading", "sft"), stage="sft"))
    assert html.count('class="done"') == 2


def test_scores_mark_what_is_sure_and_quote_every_reason() -> None:
    sure = {"first": 0.5, "second": 0.75, "low": 0.1, "high": 0.4}
    unknown = {"first": None, "second": 0.5, "low": None, "high": None}
    scores = {
        HOSTILE: {"rows": 1200, "clips": 3, "differences": {"ra_iou": sure, "miou": unknown}},
        "corrected": {"rows": 1, "clips": 1, "differences": {"ra_iou": {**sure, "low": -0.1}}},
    }
    html = scores_html(scores, {"message": HOSTILE, "reasons": [HOSTILE]})
    assert hostile_texts(html) == 3
    assert (
        '<tr class="sure"><th>refusal-aware IoU</th><td>0.500</td><td>0.750</td><td>+0.100 to +0.400</td></tr>'
        in html
    )
    assert "<tr><th>mIoU of the best window</th><td>–</td><td>0.500</td><td>–</td></tr>" in html
    assert html.count('class="sure"') == 1
    assert "Corrected held-out rows: 1 row, 1 clip" in page_text(html)
    assert "compared here when a refresh has trained" in scores_html(None, None)


def test_adapters_say_where_they_come_from() -> None:
    gap = {"first": 0.5, "second": 0.625}
    hostile = entry(
        HOSTILE,
        base=HOSTILE,
        parent=HOSTILE,
        recipe={"name": HOSTILE},
        seeds={HOSTILE: 1},
        code_version=HOSTILE,
        scores={"corrected": {"differences": {"ra_iou": gap}}},
        rows={"training": {"rows": HOSTILE}},
        promoted=True,
    )
    html = adapters_html([hostile, entry(scores={}, rows={})], HOSTILE)
    assert hostile_texts(html) == 8
    assert "<td>0.500 → 0.625</td>" in html
    assert html.count("tempo-served") == 1
    assert page_text(adapters_html([], HOSTILE)).strip().startswith(HOSTILE)
    assert "the bare model is served" in adapters_html([])
