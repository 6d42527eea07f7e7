"""The train page in Chromium: counting, starting, watching, cancelling, comparing, promoting."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from annotations.errors import StoreError
from annotations.records import Edit, EditedMoment, Video
from annotations.rows import Row
from annotations.snapshot import take_snapshot
from annotations.store import Store
from app.auth.users import LOCAL_USER, Role, User
from app.ground.engines import EngineProvider, NotReady
from app.home import Home
from app.training.jobs import TrainingJobs
from app.training.service import ModelSelection, PromotionWatch, TrainingService
from app.training.view import adapters_html, preview_html, scores_html
from tempo_core.checkpoint import SHIPPED, fingerprint
from tempo_core.errors import InputError
from tests.app.annotating import until
from tests.app.conftest import RunningApp
from tests.app.fakes import FakeEngine
from tests.app.training.fake_job import FakeJob, state_of
from tests.train.refresh.test_registry import lineage, passing_scores, peft_files
from train.__main__ import main
from train.checkpoints import append_line, write_json
from train.refresh.gate import AgainstGate
from train.refresh.registry import Registry

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

SLOW_MS = 300_000
STAGES_OF_THE_FAKE = [
    "Reading the snapshot",
    "Rows of before",
    "Looking at clips",
    "Learning answers",
    "Practising",
    "Old against new",
    "Deciding",
]


@pytest.fixture
def store(tmp_path: Path, clip: Path) -> Iterator[Store]:
    """Three rows about two clips, two of them corrected, one of those held out."""
    import hashlib

    with Store(tmp_path / "cqvh.sqlite3") as opened:
        rows = [
            Row(qid=str(n), query=f"query {n}", vid=vid, duration_s=4.0, split=split, windows=((1.0, 2.0),))  # type: ignore[arg-type]
            for n, (vid, split) in enumerate([("a", "train"), ("a", "train"), ("b", "val")])
        ]
        opened.import_rows(rows, dataset="set", op_id="rows")
        digest = hashlib.sha256(clip.read_bytes()).hexdigest()
        size = clip.stat().st_size
        videos = [
            Video(vid=vid, sha256=digest[:-1] + vid, path=str(clip), size_bytes=size, modified_ns=1)
            for vid in "ab"
        ]
        opened.save_videos(videos[:1], op_id="clips", actor="test")
        correction = Edit(verdict="moments", moments=(EditedMoment(start_ms=0, end_ms=1000),))
        for n in (0, 2):
            query = opened.find("set", str(n))
            opened.submit(query.id, correction, annotator="ada", parent_id=None, op_id=f"edit {n}")
        yield opened


@pytest.fixture
def fake(tmp_path: Path, clip: Path) -> FakeJob:
    return FakeJob(tmp_path, clip)


@pytest.fixture
def train(page: Any, serve: Callable[..., RunningApp], store: Store, fake: FakeJob, tmp_path: Path) -> Any:
    """The page, with a job that needs no model."""
    from app.home import open_home

    home = open_home(tmp_path / "home-0")
    service = TrainingService(
        store, home, EngineProvider.of(FakeEngine()), jobs=TrainingJobs(home, command=fake)
    )
    page.set_default_timeout(SLOW_MS)
    page.training = service
    page.running = serve(store=store, training=service)
    page.goto(f"{page.running.url}/train")
    expect(page.locator("#train-preview")).to_contain_text("rows that teach", timeout=SLOW_MS)
    return page


@pytest.mark.browser
def test_a_refresh_from_start_to_promotion(train: Any, fake: FakeJob, tmp_path: Path) -> None:
    facts = train.locator("#train-preview")
    expect(facts).to_contain_text(re.compile(r"rows that teach\s*1"))
    expect(facts).to_contain_text("1 left out: the clip was never there")
    expect(facts).to_contain_text("1 left out: nobody corrected it")
    expect(facts).to_contain_text(re.compile("Practising: 10 steps, about .*"))
    train.get_by_label("Leave PIR-GRPO out").check()
    expect(facts).not_to_contain_text("Practising", timeout=SLOW_MS)
    expect(facts).to_contain_text("Learning answers: ")
    train.locator("#train-start").click()
    job = train.locator("#train-job")
    expect(job).to_contain_text("Running", timeout=SLOW_MS)
    expect(job).to_contain_text("tempo-tiny-refresh without PIR-GRPO, started by")
    expect(job.locator("li.now")).to_have_text("Learning answers", timeout=SLOW_MS)
    expect(train.locator("#train-curves")).to_contain_text("loss and exact answers", timeout=SLOW_MS)
    expect(train.locator("#train-progress")).to_contain_text("work done, %", timeout=SLOW_MS)
    expect(job.locator(".tempo-train-work")).to_contain_text("3 of 3 steps · 1 of 4 batches of the next step")
    expect(job.locator(".tempo-train-work")).to_contain_text(
        re.compile(r"about \d+ min left · about 20 min for")
    )
    expect(train.locator("#train-start")).to_be_disabled()

    train.locator("#train-cancel").click()
    expect(job).to_contain_text("Cancelled", timeout=SLOW_MS)
    train.reload()  # what a fresh tab shows comes from the job's files
    expect(job).to_contain_text("Cancelled", timeout=SLOW_MS)
    fake.release()
    train.locator("#train-resume").click()
    expect(job).to_contain_text("An adapter was made.", timeout=SLOW_MS)
    expect(train.locator("#train-curves")).to_contain_text("reward (PIR-GRPO)", timeout=SLOW_MS)
    expect(train.locator("#train-progress")).to_contain_text("mean IoU of the answers so far")
    scores = train.locator("#train-scores")
    expect(scores).to_contain_text("+0.100 to +0.400")
    expect(scores).to_contain_text("1 corrected held-out rows cannot tell.")

    train.locator("#train-row input").click()
    train.get_by_role("option", name="a <b>bold</b> square").click()
    expect(train.locator("#train-lanes")).to_contain_text(
        "no moment", timeout=SLOW_MS
    )  # the old answer refused
    timeline = train.locator("#train-timeline")
    expect(timeline.locator("video")).to_have_attribute("src", re.compile("/media/"), timeout=SLOW_MS)
    expect(timeline).to_contain_text("a <b>bold</b> square")


@pytest.mark.browser
def test_names_of_stages_are_whole_at_every_width(train: Any, fake: FakeJob) -> None:
    train.locator("#train-start").click()
    names = train.locator("#train-job li")
    expect(train.locator("#train-job li.now")).to_have_text("Learning answers", timeout=SLOW_MS)
    for width, height in ((1366, 768), (1440, 900), (390, 844)):
        train.set_viewport_size({"width": width, "height": height})
        # Charts are drawn anew for another width a little later.
        train.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)
        sizes = names.evaluate_all(
            """names => names.map((name) => ({
                text: name.innerText, cut: name.scrollWidth > name.clientWidth || name.scrollHeight > name.clientHeight,
                size: parseFloat(getComputedStyle(name).fontSize), right: name.getBoundingClientRect().right,
            }))"""
        )
        assert [size["text"].removeprefix("✓ ") for size in sizes] == STAGES_OF_THE_FAKE, width
        assert not any(size["cut"] for size in sizes), (width, sizes)
        assert all(size["size"] >= 12 and size["right"] <= width for size in sizes), (width, sizes)
    fake.release()


def run_by_hand(home: Home, video: Path, message: str) -> Path:
    """The folder of a refresh that somebody ran on the command line; it appears when all of it is written."""
    folder = home.root / "by-hand"
    (folder / "answers").mkdir(parents=True)
    config = {"name": "qwen2-vl-2b", "pir": None}
    write_json(folder / "begun.json", {"config": config, "by": "command line"})
    row = {"set": "kept", "row_id": "set/9", "query": "a dog", "video": str(video), "duration_s": 4.0}
    write_json(folder / "rows.json", {"held_out": [{**row, "moments": [[0, 2]]}]})
    for model, moments in (("old", [[0, 1]]), ("new", [[0, 2]])):
        answer = {"qid": "set/9", "moments": [{"start_s": a, "end_s": b} for a, b in moments]}
        append_line(folder / "answers" / f"kept-{model}.jsonl", answer)
    gap = {"first": 0.5, "second": 1.0, "low": 0.2, "high": 0.8, "p_value": 0.001}
    scores = {"kept": {"rows": 1, "clips": 1, "differences": {"ra_iou": gap}}}
    write_json(folder / "scores.json", scores)
    outcome: dict[str, Any] = {
        "state": "kept",
        "message": message,
        "adapter": None,
        "reasons": [],
        "scores": scores,
    }
    write_json(folder / "outcome.json", outcome)
    return folder.rename(home.root / "training" / "by-hand")


@pytest.mark.browser
def test_old_against_new_of_a_refresh_by_hand_is_shown_and_chosen(
    train: Any, fake: FakeJob, clip: Path
) -> None:
    """It appears by itself; the job's own is shown when it has compared, unless somebody has chosen."""
    home = train.training.home
    fake.release()
    train.locator("#train-start").click()
    chosen, scores = train.locator("#train-run input"), train.locator("#train-scores")
    expect(scores).to_contain_text("+0.100 to +0.400", timeout=SLOW_MS)
    expect(chosen).to_have_value(re.compile("^tempo-tiny-refresh, .* UTC, ada: not promoted$"))
    run_by_hand(home, clip, "Made by hand.")
    chosen.click()
    option = train.get_by_role("option", name=re.compile("^qwen2-vl-2b without PIR-GRPO, .*, command line"))
    expect(option).to_be_visible(timeout=SLOW_MS)
    option.click()
    expect(scores).to_contain_text("Made by hand.", timeout=SLOW_MS)
    expect(scores).to_contain_text("+0.200 to +0.800")
    train.locator("#train-row input").click()
    train.get_by_role("option", name="a dog (known before, set/9)").click()
    expect(train.locator("#train-lanes")).to_contain_text("Truth", timeout=SLOW_MS)

    # what else happens in the home does not take it away
    adapter_name = train.training.registry.add(peft_files(home.root / "made", 1.0), lineage()).name
    expect(train.locator("#train-adapters")).to_contain_text(adapter_name, timeout=SLOW_MS)
    expect(chosen).to_have_value(re.compile("^qwen2-vl-2b"))
    expect(scores).to_contain_text("Made by hand.")


def test_without_a_job_the_newest_refresh_of_the_home_is_there(
    store: Store, home: Home, fake: FakeJob, clip: Path
) -> None:
    service = desk_of(store, home, fake)
    assert service.runs() == []
    folder = run_by_hand(home, clip, "Made by hand.")
    (run,) = service.runs()
    assert (run.name, run.state) == ("by-hand", "kept")
    (row,) = service.run_named("by-hand").compared_rows()
    assert (row.title, row.truth, row.video) == ("a dog (known before, set/9)", [[0, 2]], clip)
    for name in ("../by-hand", "", None, str(folder)):
        with pytest.raises(InputError, match="no longer in this home"):
            service.run_named(name)


@pytest.mark.browser
def test_promote_and_roll_back(train: Any, tmp_path: Path) -> None:
    adapter = peft_files(tmp_path / "made", 1.0)
    name = train.training.registry.add(adapter, lineage()).name
    adapters = train.locator("#train-adapters")
    expect(adapters).to_contain_text(name, timeout=SLOW_MS)
    train.locator("#train-adapter input").click()
    train.get_by_role("option", name=name).click()
    question = train.locator("#train-ask")
    expect(question).to_be_hidden()
    train.locator("#train-promote").click()
    expect(question).to_contain_text(f"{name} did not pass. Serve it all the same?", timeout=SLOW_MS)
    expect(question).to_contain_text("Nothing was measured: it has no scores of a refresh.")
    train.locator("#train-leave").click()
    expect(question).to_be_hidden(timeout=SLOW_MS)
    assert train.training.registry.promoted(fingerprint(SHIPPED)) is None
    train.locator("#train-promote").click()
    train.locator("#train-promote-anyway").click()
    expect(adapters.locator(".tempo-served")).to_have_count(1, timeout=SLOW_MS)
    expect(question).to_be_hidden()
    entry = train.training.registry.promoted(fingerprint(SHIPPED))
    assert entry is not None
    assert entry.name == name
    train.locator("#train-rollback").click()
    expect(train.locator("#train-served-line")).to_contain_text("The bare model is served", timeout=SLOW_MS)
    expect(adapters.locator(".tempo-served")).to_have_count(0, timeout=SLOW_MS)
    train.locator("#train-rollback").click()
    expect(train.locator("#train-served-line")).to_contain_text("nothing to roll back", timeout=SLOW_MS)

    # nobody is asked about one that passed
    passed = train.training.registry.add(
        peft_files(tmp_path / "passed", 2.0), lineage(scores=passing_scores())
    )
    expect(adapters).to_contain_text(passed.name, timeout=SLOW_MS)
    train.locator("#train-adapter input").click()
    train.get_by_role("option", name=passed.name).click()
    train.locator("#train-promote").click()
    expect(adapters.locator(".tempo-served")).to_have_count(1, timeout=SLOW_MS)
    expect(question).to_be_hidden()


@pytest.mark.browser
def test_choosing_another_adapter_ends_the_question_without_the_server(train: Any, tmp_path: Path) -> None:
    """An answer of the server could come after the next question, and take that away."""
    names = [
        train.training.registry.add(peft_files(tmp_path / name, scale), lineage()).name
        for name, scale in (("one", 1.0), ("other", 2.0))
    ]
    question = train.locator("#train-ask")
    for name in names:
        expect(train.locator("#train-adapters")).to_contain_text(name, timeout=SLOW_MS)
    train.locator("#train-adapter input").click()
    train.get_by_role("option", name=names[0]).click()
    train.locator("#train-promote").click()
    expect(question).to_contain_text(f"{names[0]} did not pass", timeout=SLOW_MS)
    train.route("**/queue/join*", lambda route: None)  # from now on it says nothing
    train.locator("#train-adapter input").click()
    train.get_by_role("option", name=names[1]).click()
    expect(question).to_be_hidden()
    train.unroute_all(behavior="ignoreErrors")
    train.locator("#train-promote").click()
    expect(question).to_contain_text(f"{names[1]} did not pass", timeout=SLOW_MS)


def desk_of(store: Store, home: Home, fake: FakeJob) -> TrainingService:
    return TrainingService(
        store, home, EngineProvider.of(FakeEngine()), jobs=TrainingJobs(home, command=fake)
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    from app.home import open_home

    return open_home(tmp_path / "home")


def test_a_preview_counts_what_a_refresh_would_use(store: Store, home: Home, fake: FakeJob) -> None:
    preview = desk_of(store, home, fake).preview()
    assert list(home.snapshots.iterdir()) == []  # looking keeps nothing
    assert (preview.training["rows"], preview.held_out["rows"]) == (1, 0)
    assert preview.left_out == {"the clip was never there": 1, "nobody corrected it": 1}
    html = preview_html(preview)
    assert "no corrections to learn from" not in html
    assert "<dt>of them corrections</dt><dd>1</dd>" in html


def test_the_estimate_is_the_dry_runs(
    store: Store, home: Home, fake: FakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = take_snapshot(store, home.root / "kept", actor="test").folder
    words = ["refresh", "--data", str(snapshot), "--adapters", str(home.adapters), "--dry-run", "--json"]
    for pir, option in ((True, []), (False, ["--no-pir"])):
        assert main([*words, *option]) == 0
        plan = desk_of(store, home, fake).preview("tempo-tiny-refresh", pir=pir).plan
        assert plan is not None
        assert asdict(plan) == json.loads(capsys.readouterr().out)
        assert plan.steps.keys() == ({"sft", "pir-grpo"} if pir else {"sft"})
        assert plan.other_seconds.keys() == {"replay", "checking", "comparing"}
    assert not (home.root / "training" / "preview").exists()


def test_without_pir_is_another_run_and_goes_on_without(store: Store, home: Home, fake: FakeJob) -> None:
    service = desk_of(store, home, fake)
    folders = list[Path]()
    for pir in (True, False):
        status = service.start(LOCAL_USER, "tempo-tiny-refresh", pir=pir)
        until(lambda: service.jobs.status().step == 3, bool)
        service.jobs.cancel()
        until(lambda: service.jobs.running(), lambda running: not running)
        assert status.folder is not None
        folders.append(status.folder)
    assert folders[0] != folders[1]
    fake.release()
    status = service.jobs.resume("eva")
    assert (status.folder, status.recipe) == (folders[1], "tempo-tiny-refresh without PIR-GRPO")
    until(lambda: service.jobs.running(), lambda running: not running)


def test_the_recipe_of_the_served_model_comes_first(store: Store, home: Home, fake: FakeJob) -> None:
    assert desk_of(store, home, fake).recipes()[0] == "tempo-tiny-refresh"


def test_nothing_begins_before_it_is_known_which_model_is_served(
    store: Store, home: Home, fake: FakeJob
) -> None:
    """Of a 7B checkpoint that loads for minutes: not with tempo-tiny, and not on it."""
    loading = EngineProvider(lambda: None)
    service = TrainingService(
        store,
        home,
        loading,
        jobs=TrainingJobs(home, command=fake),
        selection=ModelSelection(checkpoint="Qwen/Qwen2-VL-7B"),
    )
    assert service.recipes()[0] != "tempo-tiny-refresh"
    preview = service.preview()
    assert (preview.replay, preview.plan, preview.training["rows"]) == (False, None, 1)
    assert "loading" in preview.problem
    for work in (lambda: service.start(LOCAL_USER, "qwen2-vl-7b"), lambda: service.rollback(LOCAL_USER)):
        with pytest.raises(NotReady, match="loading"):
            work()
    assert service.jobs.status().state == "idle"


def test_a_promotion_says_what_it_means_for_this_app(
    store: Store, home: Home, fake: FakeJob, tmp_path: Path
) -> None:
    usual = desk_of(store, home, fake)
    ours = usual.registry.add(peft_files(tmp_path / "ours", 1.0), lineage()).name
    foreign = lineage(base="other", base_fingerprint="f" * 64)
    theirs = usual.registry.add(peft_files(tmp_path / "theirs", 2.0), foreign).name
    with pytest.raises(AgainstGate, match="did not pass: Nothing was measured"):
        usual.promote(LOCAL_USER, ours)
    assert usual.promote(LOCAL_USER, ours, against_gate=True) == f"{ours} is served from now on."
    message = usual.promote(LOCAL_USER, theirs, against_gate=True)
    assert "is promoted for other, which is not the model" in message
    pinned = TrainingService(
        store, home, usual.engines, jobs=usual.jobs, selection=ModelSelection(adapter="/some/where/mine")
    )
    assert pinned.promote(LOCAL_USER, ours).endswith("started with --adapter mine and goes on with that.")
    assert pinned.rollback(LOCAL_USER, (ours,)).startswith("The bare model is promoted. This app was started")


def test_a_job_says_what_has_become_of_its_adapter(
    store: Store, home: Home, fake: FakeJob, tmp_path: Path
) -> None:
    service = desk_of(store, home, fake)
    name = service.registry.add(peft_files(tmp_path / "made", 1.0), lineage()).name
    fake.release()
    service.start(LOCAL_USER, "tempo-tiny-refresh")
    until(lambda: service.status().state == "done" and not service.jobs.running(), bool)
    folder = service.status().folder
    assert folder is not None
    message = f"{name} is better and is served now."
    outcome: dict[str, Any] = {
        "state": "promoted",
        "message": message,
        "adapter": name,
        "reasons": [],
        "scores": None,
    }
    write_json(folder / "outcome.json", outcome)
    write_json(folder / "state.json", {**state_of(folder), "message": message})
    service.promote(LOCAL_USER, name, against_gate=True)
    assert service.status().message == message
    service.rollback(LOCAL_USER)
    assert "it is not served now" in service.status().message
    assert "it is not served now" in (service.outcome() or {})["message"]


def test_a_promotion_by_another_process_is_noticed(tmp_path: Path) -> None:
    registry, loads = Registry(tmp_path), []
    watch = PromotionWatch(tmp_path, lambda: loads.append(1))
    assert not watch.look()
    registry.promote(registry.add(peft_files(tmp_path / "made", 1.0), lineage()).name, by="ada")
    assert watch.look()
    assert not watch.look()
    assert loads == [1]


def test_promotions_by_any_process_are_logged_once_and_by_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreError("The database is away.")

    registry, store = Registry(tmp_path), Store(":memory:")
    name = registry.add(peft_files(tmp_path / "made", 1.0), lineage()).name
    registry.promote(name, by="ada")  # while no app runs
    PromotionWatch(tmp_path, lambda: None, store)
    watch = PromotionWatch(tmp_path, lambda: None, store)
    registry.rollback(lineage().base_fingerprint, by="bo")
    with monkeypatch.context() as patch:
        patch.setattr(store, "record_event", away)
        with pytest.raises(StoreError):
            watch.look()
    assert not watch.look(), "the engine is reloaded once, and the log catches up"
    logged = [(entry.action, entry.actor, entry.detail["adapter"]) for entry in store.audit_entries()]
    assert logged == [("rolled back", "bo", "none"), ("promoted", "ada", name)]
    store.close()


@pytest.mark.browser
def test_a_damaged_registry_is_a_sentence_and_mended_it_is_shown_again(train: Any, tmp_path: Path) -> None:
    registry = train.training.registry
    name = registry.add(peft_files(tmp_path / "made", 1.0), lineage()).name
    expect(train.locator("#train-adapters")).to_contain_text(name, timeout=SLOW_MS)
    promoted = registry.folder / "promoted.json"
    promoted.write_text("{ cut")
    expect(train.locator("#train-adapters")).to_contain_text("promoted.json", timeout=SLOW_MS)
    train.reload()  # nor does it take a fresh tab's other parts
    expect(train.locator("#train-adapters")).to_contain_text("promoted.json", timeout=SLOW_MS)
    expect(train.locator("#train-recipe input")).to_have_value("tempo-tiny-refresh", timeout=SLOW_MS)
    train.locator("#train-start").click()
    expect(train.locator("#train-cancel")).to_be_enabled(timeout=SLOW_MS)
    assert "Traceback" not in train.locator("body").inner_text()
    assert str(registry.folder) not in train.locator("body").inner_text()
    promoted.unlink()
    registry.promote(name, by="ada")
    expect(train.locator("#train-adapters .tempo-served")).to_have_count(1, timeout=SLOW_MS)
    train.locator("#train-cancel").click()
    expect(train.locator("#train-job")).to_contain_text("Cancelled", timeout=SLOW_MS)


def test_nothing_that_a_person_wrote_becomes_markup(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    nasty = "<img src=x onerror=alert(1)>"
    registry.add(peft_files(tmp_path / "made", 1.0), lineage(recipe={"name": nasty}))
    assert "<img" not in adapters_html(registry.entries())
    assert "<img" not in scores_html(
        {"corrected": {"rows": 1, "clips": 1, "differences": {}}}, {"message": nasty}
    )


def test_the_page_is_for_researchers(
    serve: Callable[..., RunningApp], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    annotator = User(id="ben", name="Ben", roles=frozenset({Role.VISITOR, Role.ANNOTATOR}))
    monkeypatch.setattr("app.auth.users.Authenticator.resolve", lambda self, request: annotator)
    running = serve(store=store)
    answer = httpx.get(f"{running.url}/train", timeout=300)
    assert answer.status_code == 403
    assert "researcher" in answer.text
    assert json.dumps("train-preview") not in answer.text
