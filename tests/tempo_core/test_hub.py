"""Downloads from a hub on this machine: cut, resumed, cancelled, verified, refused; and the list of known grounders."""

import json
import logging
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tempo_core import hub as hub_module
from tempo_core.__main__ import main
from tempo_core.errors import Cancelled, InputError
from tempo_core.grounders import ARCHITECTURES, KNOWN, known_grounder
from tempo_core.hub import DiskTooFull, Hub, HubError, HubUnreachable
from tempo_core.memory import plan, published
from tempo_core.protocols import HUB_NAMES
from tests import file_worker, power_cuts
from tests.fake_hub import FakeHub, serve_hub
from tests.power_cuts import Recording

NAME = "someone/grounder"
WEIGHTS = os.urandom(300_000)
CUTS = int(os.environ.get("TEMPO_POWER_CUTS", "12"))


def checkpoint_files(model_type: str = "qwen2_vl") -> dict[str, bytes]:
    """What a download looks at; nothing loads it."""
    return {
        "config.json": json.dumps({"model_type": model_type}).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors": WEIGHTS,
        "README.md": b"never fetched",
        "pytorch_model.bin": b"never fetched",
    }


@pytest.fixture
def remote() -> Iterator[FakeHub]:
    with serve_hub(FakeHub({NAME: checkpoint_files()})) as served:
        yield served


def local(remote: FakeHub, tmp_path: Path, **options: object) -> Hub:
    return Hub(endpoint=remote.url, cache=tmp_path / "cache", pause_s=0.0, **options)  # type: ignore[arg-type]


def test_a_cut_connection_is_taken_up_where_it_ended(remote: FakeHub, tmp_path: Path) -> None:
    remote.cut_after = [100_000, 50_000]
    hub, reports = local(remote, tmp_path), list[tuple[str, int, int]]()
    folder = hub.download(NAME, on_progress=lambda *step: reports.append(step))
    assert remote.ranges == ["", "bytes=100000-", "bytes=150000-"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    amounts = [done for _, done, _ in reports]
    assert amounts == sorted(amounts)
    assert amounts[-1] == reports[-1][2] == 300_000 + 2 + len(checkpoint_files()["config.json"])
    assert hub.cached(NAME) == folder
    assert hub.partial_bytes(NAME) == 0
    before = len(remote.authorizations)
    assert hub.cached(f"{NAME}@main") == folder
    assert len(remote.authorizations) == before, "the cache asks nobody"


@pytest.mark.slow
def test_after_a_power_cut_what_has_its_name_is_whole_and_the_download_goes_on(
    remote: FakeHub, tmp_path: Path
) -> None:
    root, log, disk = tmp_path / "written", tmp_path / "log", tmp_path / "disk"
    power_cuts.record(power_cuts.recorder(tmp_path), file_worker.download, root, log, remote.url, NAME)
    recording, seeded = Recording(log, root), random.Random(6)
    contents = checkpoint_files().values()
    named = 0
    renames = recording.places("R")
    cuts = [*seeded.sample(recording.places(), CUTS), *renames * 4, *[len(recording.changes)] * 4]
    for state in recording.states(sorted(cuts), seeded):
        state.write(disk)
        blobs = [path for path in disk.rglob("blobs/*") if not path.name.endswith(hub_module.PART_SUFFIX)]
        assert all(path.read_bytes() in contents for path in blobs), f"cut {state.cut}, {state.damage}"
        assert len(blobs) == 3 or "downloaded" not in state.promised
        named += len(blobs)
        hub = Hub(endpoint=remote.url, cache=disk / "cache", pause_s=0.0)
        try:
            folder = hub.download(NAME)
        except HubError:  # what had arrived before the cut was not what was sent: it is dropped
            folder = hub.download(NAME)
        assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert named > len(cuts) / 2


def test_a_download_that_was_given_up_goes_on_later(remote: FakeHub, tmp_path: Path) -> None:
    remote.cut_after = [100_000, *[0] * hub_module.MAX_CUTS]
    hub = local(remote, tmp_path)
    with pytest.raises(HubUnreachable, match=r"cut 5 times in a row at 0\.1 of 0\.3 MB .* download again"):
        hub.download(NAME)
    assert hub.cached(NAME) is None
    assert hub.partial_bytes(NAME) == 100_000
    remote.cut_after.clear()
    local(remote, tmp_path).download(NAME)
    assert remote.ranges[-1] == "bytes=100000-"
    assert hub.cached(NAME) is not None


def test_a_cancelled_download_keeps_what_is_here(remote: FakeHub, tmp_path: Path) -> None:
    cancel, hub = threading.Event(), local(remote, tmp_path)

    def stop(_stage: str, done: int, _total: int) -> None:
        if done > 60_000:
            cancel.set()

    with pytest.raises(Cancelled, match="What is here is kept"):
        hub.download(NAME, cancel=cancel, on_progress=stop)
    partial_bytes = hub.partial_bytes(NAME)
    assert 60_000 < partial_bytes < 300_000
    assert (hub.download(NAME) / "model.safetensors").read_bytes() == WEIGHTS
    assert remote.ranges[-1] == f"bytes={partial_bytes}-"


def test_other_bytes_than_the_hub_told_are_thrown_away(remote: FakeHub, tmp_path: Path) -> None:
    remote.spoilt = True
    hub = local(remote, tmp_path)
    with pytest.raises(
        HubError, match=r"model\.safetensors arrived with 300,000 bytes and hash .* thrown away"
    ):
        hub.download(NAME)
    assert hub.cached(NAME) is None
    assert hub.partial_bytes(NAME) == 0


def test_a_full_disk_is_known_before_a_byte_of_the_weights(
    remote: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "FREE_SPACE_FLOOR_BYTES", 1 << 60)
    with pytest.raises(DiskTooFull, match=r"needs 0\.0 GB more, and .* must stay free"):
        local(remote, tmp_path).download(NAME)
    assert remote.ranges == []


@pytest.mark.parametrize(
    ("files", "error"),
    [
        (checkpoint_files("llava"), "someone/grounder holds a 'llava' model; families that run here"),
        (
            {**checkpoint_files(), "config.json": b'{"model_type": "qwen2_vl", "auto_map": {"a": "b"}}'},
            "wants to run code of its own",
        ),
        (checkpoint_files("qwen3_vl_moe"), r"someone/grounder holds a mixture of experts of 0\.0 GB"),
        ({**checkpoint_files(), "config.json": b"no"}, "config.json that is no JSON"),
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "has no safetensors weights"),
    ],
)
def test_what_cannot_run_here_costs_no_weights(
    files: dict[str, bytes], error: str, remote: FakeHub, tmp_path: Path
) -> None:
    remote.repositories[NAME] = files
    with pytest.raises(InputError, match=error):
        local(remote, tmp_path).download(NAME)
    assert remote.ranges == []


def test_gated_private_and_unknown_ones_say_what_to_do_and_never_the_token(
    remote: FakeHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    remote.gated.add(NAME)
    caplog.set_level(logging.DEBUG)
    messages = []
    for options, name in (
        ({}, NAME),
        ({"token": "hf_other"}, NAME),
        ({"token": "hf_other"}, "someone/else"),
        ({}, "someone/else"),
        ({}, f"{NAME}@nowhere"),
    ):
        with pytest.raises(HubError) as refusal:
            local(remote, tmp_path, **options).download(name)
        messages.append(str(refusal.value))
    assert "on request only: see" in messages[0]
    assert "set HF_TOKEN to a token of that account" in messages[0]
    assert "has not been given access yet" in messages[1]
    assert "HF_TOKEN's account may not see it" in messages[2]
    assert "For a private one set HF_TOKEN" in messages[3]
    assert "no such revision" in messages[4]
    folder = local(remote, tmp_path, token=remote.token).download(NAME)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert "hf_" not in " ".join(messages)
    assert "hf_" not in caplog.text


def test_the_token_goes_to_the_hub_and_not_to_its_storage(remote: FakeHub, tmp_path: Path) -> None:
    with serve_hub(FakeHub(dict(remote.repositories))) as storage:
        remote.storage = storage.url
        local(remote, tmp_path, token=remote.token).download(NAME)
        assert storage.ranges == [""]
        assert {authorization for _, authorization in storage.authorizations} == {""}
    assert {authorization for _, authorization in remote.authorizations} == {f"Bearer {remote.token}"}


def test_the_environment_names_the_hub_and_its_cache_and_may_forbid_to_ask(
    remote: FakeHub, tmp_path: Path
) -> None:
    """In a process of its own: the hub's client reads its settings once."""
    code = (
        "import sys; from tempo_core.hub import Hub; hub = Hub.from_environment();"
        "print(hub.host, hub.is_offline, hub.cached(sys.argv[1]) is not None); print(hub.download(sys.argv[1]))"
    )
    named = {
        "HF_ENDPOINT": f"{remote.url}/",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_TOKEN": "hf_secret",
    }
    host = remote.url.partition("//")[2]

    def ask(offline: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **named, "HF_HUB_OFFLINE": offline}
        return subprocess.run(
            [sys.executable, "-c", code, NAME], env=environment, capture_output=True, text=True, check=False
        )

    fetched = ask("0")
    state, folder = fetched.stdout.splitlines()
    assert state == f"{host} False False"
    assert Path(folder).is_relative_to(tmp_path / "cache")
    assert (Path(folder) / "model.safetensors").read_bytes() == WEIGHTS
    assert dict(remote.authorizations)[f"api/models/{NAME}"] == "Bearer hf_secret"
    before = len(remote.authorizations)
    refused = ask("1")
    assert refused.stdout.splitlines() == [f"{host} True True"]
    assert "HF_HUB_OFFLINE" in refused.stderr
    assert len(remote.authorizations) == before, "the hub is not asked"


def test_offline_and_unreachable_hubs_are_told_apart(remote: FakeHub, tmp_path: Path) -> None:
    offline = local(remote, tmp_path, is_offline=True)
    with pytest.raises(HubUnreachable, match="HF_HUB_OFFLINE is set"):
        offline.download(NAME)
    assert remote.authorizations == []
    local(remote, tmp_path).download(NAME)
    assert offline.cached(NAME) is not None, "what the cache has can be used offline"
    away = Hub(endpoint="http://127.0.0.1:9", cache=tmp_path / "other", pause_s=0.0)
    with pytest.raises(
        HubUnreachable, match=r"127\.0\.0\.1:9 cannot be reached .* Check the network and HF_ENDPOINT"
    ):
        away.download(NAME)


@pytest.mark.parametrize("name", ["grounder", "a/b/c", "a/../b@../../etc", "", "owner/name@../../x"])
def test_what_is_no_hub_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no hub name\. Write owner/name"):
        Hub(endpoint="http://127.0.0.1:9", cache=tmp_path).cached(name)


def test_known_grounders_tell_the_sizes_that_the_memory_plan_tells() -> None:
    assert set(ARCHITECTURES) == set(published())
    for name, architecture in ARCHITECTURES.items():
        memory = plan(name, device="cuda")
        assert (architecture.parameters, architecture.quantised_parameters) == (
            memory.parameters,
            memory.quantised_parameters,
        )
        assert architecture.model_type == published()[name].model_type
        grounder = next(candidate for candidate in KNOWN if candidate.architecture is architecture)
        assert grounder.loaded_bytes("nf4", "cuda") == memory.weight_bytes
        assert grounder.loaded_bytes("whole", "cpu") == 4 * memory.parameters
        assert grounder.loaded_bytes("nf4", "cpu") == plan(name, device="cpu").weight_bytes


def test_every_checkpoint_whose_words_are_known_is_listed() -> None:
    assert {grounder.name.lower() for grounder in KNOWN} >= set(HUB_NAMES)
    unitime = known_grounder("zeqianli/unitime@main")
    assert unitime is not None
    assert unitime.repositories == ("Qwen/Qwen2-VL-7B-Instruct", "zeqianli/UniTime")
    assert unitime.protocol.name == "unitime"
    assert all(grounder.licence for grounder in KNOWN)


def test_the_commands_list_and_download(
    remote: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = local(remote, tmp_path)
    monkeypatch.setattr(Hub, "from_environment", lambda: hub)
    remote.repositories |= {
        "Qwen/Qwen2-VL-7B-Instruct": checkpoint_files(),
        "zeqianli/UniTime": {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"},
    }
    assert main(["models", "download", "zeqianli/UniTime", "--json"]) == 0
    folders = json.loads(capsys.readouterr().out)["folders"]
    assert list(folders) == ["Qwen/Qwen2-VL-7B-Instruct", "zeqianli/UniTime"]
    assert main(["models", "list", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert [name for name, row in listed.items() if row["is_here"]] == [
        "zeqianli/UniTime",
        "Qwen/Qwen2-VL-7B-Instruct",
    ]
    assert main(["models", "list"]) == 0
    assert "MCG-NJU/TimeLens2-4B" in capsys.readouterr().out
    assert main(["models", "download", "someone/else"]) == 2
    assert "has no model someone/else" in capsys.readouterr().err
