"""The example in docs/api.md runs as it stands, against a running app."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.conftest import RunningApp

pytest.importorskip("gradio_client")
pytestmark = pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")  # gradio 6.31 on pandas 3

DOCUMENT = Path(__file__).parents[3] / "docs" / "api.md"


def test_the_documented_example_runs(
    serve: Callable[..., RunningApp], clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = serve()
    (script,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    script = script.replace("http://127.0.0.1:7860", running.url).replace("clip.mp4", str(clip))
    exec(compile(script, str(DOCUMENT), "exec"), {})
    said = capsys.readouterr().out
    assert "1.0 to 2.5 s, confidence 0.87" in said
    assert "From 0001.0 to 0002.0." in said
    assert len(running.engine.encoded) == 1
