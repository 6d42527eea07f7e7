"""Some cases of each campaign, with the seed of the long runs; long ones are by command (`python -m tests.fuzz`)."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from annotations.store import Store
from tempo_core.video import demuxer_for
from tests.app.studio import open_studio
from tests.fuzz import campaign
from tests.fuzz.__main__ import Campaign, open_campaign
from tests.fuzz.bodies import BODIES, FORMS, routes_of, single_account
from tests.fuzz.campaign import Fault, Tally
from tests.fuzz.mutations import mutated
from tests.fuzz.seed_videos import KINDS, write_seeds

ROOT = Path(__file__).parents[2]
needs_fork = pytest.mark.skipif(
    sys.platform != "linux", reason="forks its children, and counts them in /proc"
)


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("videos", 60), ("annotations", 200)])
def test_no_case_breaks_the_parent_hangs_tells_or_leaves_anything(
    tmp_path: Path, name: Campaign, count: int
) -> None:
    state = tmp_path / "state.json"
    # In a process of its own, whose children are counted.
    command = [sys.executable, "-m", "tests.fuzz", name, "--count", str(count), "--state", str(state)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    tally = Tally.load(state, 1)
    assert (tally.faults, result.returncode) == ([], 0), result.stdout + result.stderr
    assert tally.outcomes.total() == count
    assert len(tally.outcomes) > 1, "some are read and some are refused"


@pytest.mark.slow
def test_no_request_breaks_the_app_hangs_or_tells(tmp_path: Path) -> None:
    """Here and not in a process of its own: it has no children to count, and Gradio takes long to load."""
    with open_campaign("bodies", tmp_path) as case:
        tally = campaign.run("bodies", case, Tally(seed=1), count=400)
    assert tally.faults == []
    assert tally.outcomes.total() == 400
    assert len(tally.outcomes) > 1, "some are answered and some are refused"


def test_there_is_a_seed_for_every_container(tmp_path: Path) -> None:
    demuxers = {demuxer_for(content[:4096]) for content in write_seeds(tmp_path, pictures=2).values()}
    assert demuxers == {
        *(
            "mov",
            "matroska",
            "avi",
            "webp",
            "ogg",
            "gif",
            "mpeg",
            "asf",
            "mxf",
            "flv",
            "dv",
            "apng",
            "mpegts",
        ),
    }
    assert len(KINDS) > 20


def test_there_is_a_body_for_every_route_that_takes_one(tmp_path: Path) -> None:
    with (
        Store(tmp_path / "cqvh.sqlite3") as store,
        open_studio(tmp_path, authenticator=single_account(store), host="127.0.0.1", store=store) as studio,
    ):
        posts = {path.rstrip("/") for method, path in routes_of(studio) if method == "POST"}
    assert posts == {*BODIES, *FORMS}


def test_a_case_is_made_again_from_its_number() -> None:
    mutations = [
        mutated(random.Random(f"x 1 {case}"), bytes(range(256)) * 4, [b"other"]) for case in (1, 2, 1)
    ]
    assert mutations[0] == mutations[2] != mutations[1]


def test_a_campaign_goes_on_where_it_was_stopped_and_names_its_faults(tmp_path: Path) -> None:
    numbers: list[float] = []

    def case(seeded: random.Random) -> str:
        numbers.append(seeded.random())
        if len(numbers) == 3:
            raise Fault("the third")
        return "read"

    state = tmp_path / "state.json"
    campaign.run("x", case, Tally.load(state, 5), count=2, state=state)
    tally = campaign.run("x", case, Tally.load(state, 5), count=4, state=state)
    assert tally.faults == [{"case": 2, "fault": "the third"}]
    assert dict(tally.outcomes) == {"read": 3, "fault": 1}
    once: list[float] = []
    campaign.run("x", lambda seeded: once.append(seeded.random()) or "read", Tally(seed=5), count=4)
    assert numbers == once
    with pytest.raises(SystemExit, match="is of seed 5, not 6"):
        Tally.load(state, 6)
