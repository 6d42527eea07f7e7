"""The benchmark that holds a server's answers against the same weights here."""

import json
import math
import shutil
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.served import EXAMPLES
from tests.openai_server import completion, fake_server, token

RED, WHITE = "the red object", "when does something pure white show up?"


def test_a_servers_answers_are_held_against_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(EXAMPLES / "shapes-plain.mp4", tmp_path)
    entry = {"file": "shapes-plain.mp4", "questions": [RED, WHITE, "a dog barks"]}
    (tmp_path / "manifest.json").write_text(json.dumps([entry]))
    rows = [token("No", math.log(0.75), From=math.log(0.25)), token(" relevant moment.", 0.0)]
    with fake_server() as server:
        server.replies = [
            completion("From 0128.0 to 0160.0."),
            completion("No relevant moment.", logprobs=rows),
        ]
        argv = ["served", "--endpoint", server.address, "--clips", str(tmp_path), "--json"]
        assert main(argv) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["asked"], data["same_moments"]) == (2, 1), "in words that it does not know it is not asked"
    same, other = data["questions"]
    assert (same["question"], same["here"], same["there"]) == (RED, [[128.0, 160.0]], [[128.0, 160.0]])
    assert (other["there"], other["relevance_there"]) == ([], pytest.approx(0.25))
    assert data["relevance_apart"] == [pytest.approx(other["relevance_here"] - 0.25)]
