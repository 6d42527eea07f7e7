"""The examples in docs/api.md run as they stand, against a running app."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.app.conftest import RunningApp

pytest.importorskip("gradio_client")
pytestmark = pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")  # gradio 6.31 on pandas 3

DOCUMENT = Path(__file__).parents[3] / "docs" / "api.md"


class OpenAIStandIn:
    """Sends what the `openai` package sends for one question, and gives the answer's attributes."""

    def __init__(self, *, base_url: str, api_key: str) -> None:
        self.url = f"{base_url}/chat/completions"
        self.headers = {"Authorization": f"Bearer {api_key}"}
        self.chat = SimpleNamespace(completions=self)

    def create(self, **body: Any) -> Any:
        answer = httpx.post(self.url, json=body, headers=self.headers, timeout=None).raise_for_status().json()
        choices = [
            SimpleNamespace(message=SimpleNamespace(**choice["message"])) for choice in answer["choices"]
        ]
        return SimpleNamespace(choices=choices)


def test_the_documented_examples_run(
    serve: Callable[..., RunningApp],
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = serve()
    package = ModuleType("openai")
    package.OpenAI = OpenAIStandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "openai", package)
    outputs = []
    for script in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL):
        script = script.replace("http://127.0.0.1:7860", running.url).replace("clip.mp4", str(clip))
        exec(compile(script, str(DOCUMENT), "exec"), {})
        outputs.append(capsys.readouterr().out)
    gradio_output, openai_output = outputs
    assert "1.0 to 2.5 s, confidence 0.87" in gradio_output
    assert "From 0001.0 to 0002.0." in gradio_output
    assert openai_output.splitlines()[0] == "1.0 to 2.5 seconds."
    assert float(openai_output.splitlines()[1]) > 0.5
