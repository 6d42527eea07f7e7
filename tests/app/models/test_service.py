"""The Models page without a browser: downloads as jobs, folders, what is served and offered, and who may do what."""

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotations.rows import Row
from annotations.store import Store
from app.auth.users import GRANTS, LOCAL_USER, Role
from app.build import load_engine
from app.ground.engines import EngineProvider
from app.ground.service import GroundingService, ModelFailure, Outcome, Question, Settings
from app.ground.view import done_line
from app.job_queue import JobQueue, JobQueues
from app.media.library import MediaLibrary
from app.models.service import ModelsService
from app.models.settings import SettingsFile
from tempo_core.checkpoint import FOOTAGE, SHIPPED
from tempo_core.errors import CheckpointError, InputError, MemoryShortage
from tempo_core.hub import Hub
from tempo_core.vocabulary import read_vocabulary
from tests.app.fakes import FakeEngine, fake_ground, light_draw, light_prepare, write_clip
from tests.bad_checkpoints import BAD_CHECKPOINTS, bad_checkpoint
from tests.fake_hub import FakeHub, serve_hub
from train.shapeworld.clips import write_frames

NAME = "someone/grounder"


class NamedEngine(FakeEngine):
    """An engine of a folder's name."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model_id = f"{folder.name}@0/nf4"


@pytest.fixture
def remote() -> Iterator[FakeHub]:
    with serve_hub(FakeHub()) as served:
        served.add(NAME, SHIPPED)
        yield served


@pytest.fixture
def service(remote: FakeHub, tmp_path: Path) -> Iterator[ModelsService]:
    queue = JobQueue("downloads", per_owner=16)

    def load(folder: Path, adapter: Path | None, four_bit: bool) -> Any:
        if folder.name == "too-large":
            raise MemoryError
        if folder.name == "broken":
            raise CheckpointError(f"{folder}/model.safetensors is damaged.")
        return NamedEngine(folder)

    yield ModelsService(
        EngineProvider.of(FakeEngine(), name="tempo-tiny"),
        Hub(endpoint=remote.url, cache=tmp_path / "cache", token="hf_secret", pause_s=0.0),
        SettingsFile(tmp_path / "models.json"),
        queue,
        load=load,
        store=Store(":memory:"),
    )
    queue.close()


def row_of(service: ModelsService, name: str) -> dict[str, Any]:
    return next(row for row in service.overview(LOCAL_USER)["models"] if row["name"] == name)


def last_state(service: ModelsService, name: str) -> dict[str, Any]:
    """A download's state once it has ended."""
    while (download := service._downloads[name]).is_running:
        time.sleep(0.01)
    return download.to_dict()


def test_a_download_is_a_job_whose_progress_everybody_sees(remote: FakeHub, service: ModelsService) -> None:
    remote.gate.clear()
    remote.cut_after = [1_000_000]
    service.start_download(LOCAL_USER, NAME)
    while service._downloads[NAME].done_bytes < 1_500_000:
        time.sleep(0.01)
    download = service._downloads[NAME].to_dict()
    assert (download["stage"], download["by"]) == ("downloading", LOCAL_USER.name)
    assert download["done_bytes"] < download["total_bytes"]
    with pytest.raises(InputError, match="is being downloaded already"):
        service.start_download(LOCAL_USER, NAME)
    remote.gate.set()
    assert last_state(service, NAME)["stage"] == "done"
    row = row_of(service, NAME)
    assert (row["state"], row["place"], row["problem"]) == ("here", "cache", "")
    assert (row["family"], row["protocol"], row["refuses"]) == ("Qwen2-VL", "Tempo", True)
    assert 6_000_000 < row["parameters"] < 7_000_000
    assert row["whole_bytes"] == 4 * row["parameters"]
    assert row["nf4_bytes"] > row["whole_bytes"]  # a CPU keeps so small a model's weights dequantised too


def test_a_cancelled_download_says_how_much_is_here_and_goes_on(
    remote: FakeHub, service: ModelsService
) -> None:
    remote.gate.clear()
    service.start_download(LOCAL_USER, NAME)
    while service._downloads[NAME].done_bytes < 1_000_000:
        time.sleep(0.01)
    service.start_download(LOCAL_USER, "someone/else")
    assert service.cancel_download("someone/else").stage == "cancelled", "it had not begun"
    service.cancel_download(NAME)
    remote.gate.set()
    assert last_state(service, NAME)["stage"] == "cancelled"
    assert service.hub.partial_bytes(NAME) > 0
    with pytest.raises(InputError, match="is not being downloaded"):
        service.cancel_download(NAME)
    service.start_download(LOCAL_USER, NAME)
    assert last_state(service, NAME)["stage"] == "done"
    assert remote.ranges[-1].startswith("bytes=")


def test_what_goes_wrong_is_a_sentence_without_token_and_folders(
    remote: FakeHub, service: ModelsService, tmp_path: Path
) -> None:
    service.start_download(LOCAL_USER, "someone/else")
    failed = last_state(service, "someone/else")
    assert failed["stage"] == "failed"
    assert "has no model someone/else" in failed["message"]
    with pytest.raises(InputError, match="is no hub name"):
        service.start_download(LOCAL_USER, "grounder")
    overview = json.dumps(service.overview(LOCAL_USER))
    assert "hf_secret" not in overview
    assert str(tmp_path) not in overview


def test_known_grounders_tell_what_they_can_do(service: ModelsService) -> None:
    row = row_of(service, "MCG-NJU/TimeLens2-4B")
    assert row["state"] == "absent"
    assert (row["licence"], row["family"], row["protocol"]) == ("Apache-2.0", "Qwen3-VL", "TimeLens2")
    assert (row["names_sets"], row["refuses"], row["is_calibrated"]) == (True, False, False)
    assert row["source"] == "https://huggingface.co/MCG-NJU/TimeLens2-4B"
    assert row_of(service, "NemoStation/Marlin-2B")["is_gated"]
    assert row_of(service, "zeqianli/UniTime")["base"] == "Qwen/Qwen2-VL-7B-Instruct"
    assert row_of(service, "tempo-tiny")["state"] == "served"


def test_a_folder_of_ones_own_goes_by_a_name_of_its_own(service: ModelsService, tmp_path: Path) -> None:
    folder = shutil.copytree(SHIPPED, tmp_path / "grounder")
    other = shutil.copytree(SHIPPED, tmp_path / "more" / "grounder")
    assert service.add_folder(str(folder)) == "grounder"
    assert service.add_folder(str(folder)) == "grounder", "the same folder is one model"
    assert service.add_folder(str(other)) == "grounder-2"
    assert row_of(service, "grounder")["state"] == "here"
    overview = json.dumps(service.overview(LOCAL_USER))
    assert str(tmp_path) not in overview
    for path in ("", "grounder", str(tmp_path / "nowhere")):
        with pytest.raises(InputError, match="There is no folder"):
            service.add_folder(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError):
        service.add_folder(str(tmp_path / "empty"))
    shutil.rmtree(other)
    assert row_of(service, "grounder-2")["problem"]
    service.remove("grounder-2")
    assert "grounder-2" not in json.dumps(service.overview(LOCAL_USER))
    with pytest.raises(InputError, match="not among the models that were added"):
        service.remove("tempo-tiny")


def test_another_model_is_served_and_one_that_cannot_be_loaded_leaves_the_served_one(
    service: ModelsService, tmp_path: Path
) -> None:
    for name in ("good", "broken", "too-large"):
        service.add_folder(str(shutil.copytree(SHIPPED, tmp_path / name)))
    served = service.engines.get()
    for name, problem in (
        ("broken", "broken could not be loaded: model.safetensors is damaged."),
        ("too-large", "the memory does not hold it beside the served model"),
    ):
        service.serve(name)
        assert service.engines.wait(300)
        assert problem in service.served()["problem"]
        assert service.engines.get() is served
        assert (service.served()["name"], service.served()["state"]) == ("tempo-tiny", "ready")
    service.serve("good")
    assert service.engines.wait(300)
    assert service.served() == {
        "name": "good",
        "state": "ready",
        "message": "good@0/nf4 is ready.",
        "model_id": "good@0/nf4",
        "loading": None,
        "problem": "",
    }
    assert row_of(service, "good")["state"] == "served"
    assert row_of(service, "tempo-tiny")["state"] == "here"
    with pytest.raises(InputError, match="good is served already"):
        service.serve("good")
    with pytest.raises(InputError, match=r"good is served\. Serve another"):
        service.remove("good")
    with pytest.raises(InputError, match="is not on this machine"):
        service.serve("MCG-NJU/TimeLens2-4B")
    service.serve("tempo-tiny")
    assert service.engines.wait(300)
    assert service.served()["name"] == "tempo-tiny"


@pytest.mark.parametrize("kind", BAD_CHECKPOINTS)
def test_a_checkpoint_that_cannot_run_is_one_message_and_the_served_model_goes_on(
    service: ModelsService, tmp_path: Path, kind: str
) -> None:
    """By the folder that is added, or where that tells it only then, by the load."""
    words = bad_checkpoint(kind, SHIPPED, tmp_path / "model")
    service._load = partial(load_engine, tmp_path / "adapters")
    served = service.engines.get()
    try:
        service.add_folder(str(tmp_path / "model"))
    except CheckpointError as error:
        problem = str(error)
    else:
        service.serve("model")
        assert service.engines.wait(300)
        problem = service.served()["problem"]
    assert words in problem
    assert "\n" not in problem
    assert service.engines.get() is served
    assert (service.served()["name"], service.served()["state"]) == ("tempo-tiny", "ready")


def test_the_endpoint_that_the_app_was_started_with_is_served_again(
    service: ModelsService, tmp_path: Path
) -> None:
    remote_engine = FakeEngine()
    remote_engine.model_id = "behind@http://127.0.0.1/endpoint"
    service.engines = EngineProvider.of(remote_engine, name="endpoint")
    for name, model_id in (("tempo-tiny", "tempo-tiny@0/nf4"), ("endpoint", remote_engine.model_id)):
        service.serve(name)
        assert service.engines.wait(300)
        assert (service.served()["name"], service.served()["model_id"]) == (name, model_id)
        assert row_of(service, "endpoint")["state"] == ("served" if name == "endpoint" else "here")
    service.serve("tempo-tiny")
    assert service.engines.wait(300)
    # a folder of that name is another model
    assert service.add_folder(str(shutil.copytree(SHIPPED, tmp_path / "endpoint"))) == "endpoint-2"
    service.offer("endpoint", is_offered=True)
    assert "endpoint" in service.offered()
    assert service.knowledge("endpoint") is None
    assert service.engines.other("endpoint", service.loader("endpoint")) is remote_engine
    with pytest.raises(InputError, match="is not among the models that were added"):
        service.remove("endpoint")


def test_an_app_without_an_endpoint_knows_no_model_of_that_name(service: ModelsService) -> None:
    assert not service.is_here("endpoint")
    with pytest.raises(InputError, match="endpoint is not on this machine"):
        service.serve("endpoint")


def test_offered_models_are_remembered(service: ModelsService, tmp_path: Path) -> None:
    service.add_folder(str(shutil.copytree(SHIPPED, tmp_path / "good")))
    service.offer("good", is_offered=True)
    with pytest.raises(InputError, match="is not on this machine"):
        service.offer(NAME, is_offered=True)
    assert SettingsFile(tmp_path / "models.json").read().offered == (FOOTAGE.name, "good")
    service.offer("good", is_offered=False)
    assert SettingsFile(tmp_path / "models.json").read().offered == (FOOTAGE.name,)
    (tmp_path / "models.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"damaged\. Delete it"):
        service.settings.read()


def grounding_of(service: ModelsService, folder: Path) -> GroundingService:
    """The Ground page's service with these models to choose from."""
    folder.mkdir()
    media, queues = MediaLibrary(folder, light_prepare, light_draw), JobQueues()
    grounding = GroundingService(service.engines, media, queues, ground=fake_ground)
    grounding.choices = service
    return grounding


async def steps_of(grounding: GroundingService, question: Question, models: list[str]) -> list[Any]:
    steps = grounding.ground_each(LOCAL_USER, question, models, threading.Event())
    return [step async for step in steps if isinstance(step, Outcome | ModelFailure)]


def test_offered_models_answer_beside_the_served_one_and_contexts_never_mix(
    service: ModelsService, tmp_path: Path
) -> None:
    for name in ("good", "too-large", "hidden"):
        service.add_folder(str(shutil.copytree(SHIPPED, tmp_path / name)))
    for name in ("good", "too-large"):
        service.offer(name, is_offered=True)
    grounding = grounding_of(service, tmp_path / "media")
    question = Question(source=write_clip(tmp_path / "clip.mp4"), query="a square", settings=Settings())

    def ask(*models: str) -> list[Any]:
        return asyncio.run(steps_of(grounding, question, list(models)))

    served, failure, good = ask("", "too-large", "good")
    assert (served.answer.model_id, good.answer.model_id) == ("fake-engine", "good@0/nf4")
    assert failure.model == "too-large"
    assert "the memory does not hold it beside the served model" in failure.message
    assert service.engines.get().model_id == "fake-engine", "the served one goes on"
    assert [outcome.reused for outcome in ask("good", "")] == [True, True]
    assert {outcome.context.model_id for outcome in ask("good", "")} == {"fake-engine", "good@0/nf4"}

    async def ask_again(context_id: str) -> list[Any]:
        steps = grounding.ask(LOCAL_USER, context_id, "a purple dog", 1, threading.Event())
        return [step async for step in steps if isinstance(step, Outcome)]

    (again,) = asyncio.run(ask_again(good.context_id))
    assert again.answer.model_id == "good@0/nf4"

    for models, message in (
        (["hidden"], "'hidden' is not offered here"),
        (["", "a", "b", "c"], "4 models were chosen; at most 3"),
        (["too-large"], "the memory does not hold it"),
    ):
        with pytest.raises(InputError, match=message):
            ask(*models)
    grounding.queues.close()


def test_the_other_shipped_model_is_offered_until_somebody_chooses(service: ModelsService) -> None:
    row = row_of(service, FOOTAGE.name)
    assert (row["place"], row["state"], row["licence"], row["is_offered"]) == ("shipped", "here", "MIT", True)
    service.offer(FOOTAGE.name, is_offered=False)
    assert service.offered() == []
    assert not row_of(service, FOOTAGE.name)["is_offered"]


@pytest.mark.parametrize(
    ("query", "models", "model_id", "by_words"),
    [
        ("a red circle", [""], "fake-engine", ""),
        ("Please show me when a title appears!", [""], "tempo-tiny-footage@0/nf4", "tempo-tiny-footage"),
        ("a title appears", ["tempo-tiny"], "fake-engine", ""),
        ("a title appears", ["tempo-tiny-footage"], "tempo-tiny-footage@0/nf4", ""),
        ("a giraffe", [""], "fake-engine", ""),
    ],
)
def test_a_question_goes_to_the_model_that_was_taught_its_words(
    service: ModelsService, tmp_path: Path, query: str, models: list[str], model_id: str, by_words: str
) -> None:
    service.engines.get().vocabulary = read_vocabulary(SHIPPED)
    service.add_folder(str(shutil.copytree(SHIPPED, tmp_path / "without-words")))
    (tmp_path / "without-words" / "vocabulary.json").unlink()
    service.offer("without-words", is_offered=True)  # it would have to be loaded to know
    grounding = grounding_of(service, tmp_path / "media")
    question = Question(source=write_clip(tmp_path / "clip.mp4"), query=query, settings=Settings())
    for _ in range(2):  # the second time from the context of the first
        (outcome,) = asyncio.run(steps_of(grounding, question, models))
        assert (outcome.context.model_id, outcome.by_words) == (model_id, by_words)
    assert outcome.reused
    assert (f"{by_words} was asked" in done_line(outcome)) == bool(by_words)
    assert list(grounding.others()) == [FOOTAGE.name]
    service.engines.get().vocabulary = None
    assert (grounding.others(), grounding.knowing("a title appears")) == ({}, {})
    grounding.queues.close()


@pytest.mark.parametrize(
    ("is_drawn", "model_id"), [(True, "fake-engine"), (False, "tempo-tiny-footage@0/nf4")]
)
def test_words_that_both_know_mean_what_they_mean_in_such_a_clip(
    service: ModelsService, tmp_path: Path, is_drawn: bool, model_id: str
) -> None:
    service.engines.get().vocabulary = read_vocabulary(SHIPPED)
    grounding = grounding_of(service, tmp_path / "media")
    path = tmp_path / "clip.mp4"
    frames = np.full((40, 96, 160, 3), 90, dtype=np.uint8)
    if not is_drawn:
        frames = np.random.default_rng(0).integers(0, 255, frames.shape, dtype=np.uint8)
    write_frames(frames, path, size=(96, 160), rate=10)
    for query in ("it fades to black", "there is a cut"):
        question = Question(source=path, query=query, settings=Settings())
        (outcome,) = asyncio.run(steps_of(grounding, question, [""]))
        assert outcome.context.model_id == model_id
    assert len(grounding._drawn) == 1, "the clip is looked at once"
    grounding.queues.close()


def test_a_damaged_list_of_words_stops_no_other_question(service: ModelsService, tmp_path: Path) -> None:
    service.engines.get().vocabulary = read_vocabulary(SHIPPED)
    service.add_folder(str(shutil.copytree(SHIPPED, tmp_path / "damaged")))
    service.offer("damaged", is_offered=True)
    (tmp_path / "damaged" / "vocabulary.json").write_text('{"content": "red"}')
    grounding = grounding_of(service, tmp_path / "media")
    assert list(grounding.others()) == [FOOTAGE.name]
    question = Question(
        source=write_clip(tmp_path / "clip.mp4"), query="a title appears", settings=Settings()
    )
    (outcome,) = asyncio.run(steps_of(grounding, question, [""]))
    assert outcome.by_words == FOOTAGE.name
    grounding.queues.close()


def test_models_asked_longest_ago_make_room(service: ModelsService) -> None:
    engines, loads, memory = service.engines, list[str](), 3

    def load(name: str) -> Any:
        if 1 + len(engines._others) >= memory:
            raise MemoryShortage(f"The weights of {name} take 9 GB, and 1 GB are free.")
        loads.append(name)
        return NamedEngine(Path(name))

    for name in ("a", "b", "a", "c", "a", "b"):
        assert engines.other(name, partial(load, name)).model_id == f"{name}@0/nf4"
    assert loads == ["a", "b", "c", "b"], "a was asked again before c came, so b went"
    assert engines.get().model_id == "fake-engine"


def test_proposers_are_named_and_taken_back(service: ModelsService) -> None:
    assert service.store is not None
    service.store.import_rows([Row(qid="q", vid="v", query="a")], dataset="set", op_id="1")
    user = replace(LOCAL_USER, roles=GRANTS[Role.ADMINISTRATOR])
    service.name_proposer(user, "set", NAME, is_named=True, op_id="2")
    assert service.overview(user)["datasets"] == [{"name": "set", "proposers": ["grounder"]}]
    service.name_proposer(user, "set", "grounder", is_named=False, op_id="3")
    assert service.overview(user)["datasets"] == [{"name": "set", "proposers": []}]
