"""`python -m scripts.screenshots`: bad input is one line; the scenes are well named."""

from pathlib import Path
from typing import Any

import pytest

from scripts import screenshots
from scripts.scenes import SCENES
from scripts.stage import StageError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: OUT"),
        (["out", "--only", "nowhere"], "invalid choice: 'nowhere'"),
        (["out", "--themes", "purple"], "invalid choice: 'purple'"),
        (["out", "--widths", "800"], "invalid choice: 800"),
        (["out", "--widths", "wide"], "invalid int value: 'wide'"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        screenshots.main(arguments)
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert screenshots.main([str(tmp_path / "file" / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_no_browser_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise StageError("there is no Chromium.")

    monkeypatch.setattr(screenshots, "browsing", none)
    assert screenshots.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == "screenshots: there is no Chromium.\n"


class Page:
    """Stands for a browser's page; the picture is an empty file."""

    def set_default_timeout(self, _ms: int) -> None: ...
    def unroute_all(self, behavior: str) -> None: ...
    def screenshot(self, path: Path, **_: Any) -> None:
        path.write_bytes(b"")


class Context(Page):
    def new_page(self) -> Page:
        return Page()

    def close(self) -> None: ...


class Browser:
    def new_context(self, **_: Any) -> Context:
        return Context()


def test_a_scene_that_cannot_be_reached_is_said_and_pictured(tmp_path: Path) -> None:
    def lost(_page: Any, _served: Any) -> None:
        raise RuntimeError("no way\nhere")

    served: Any = None
    take = screenshots.take
    reached = screenshots.Scene(name="there", act=lambda page, served: None)
    assert take(Browser(), served, reached, "dark", 390, tmp_path) is None
    missed = screenshots.Scene(name="nowhere", act=lost)
    assert take(Browser(), served, missed, "light", 1440, tmp_path) == "no way"
    assert {path.name for path in tmp_path.iterdir()} == {
        "there-dark-390.png",
        "nowhere-light-1440-unreached.png",
    }


def test_every_page_and_state_has_a_scene_of_its_own() -> None:
    names = [scene.name for scene in SCENES]
    assert len(names) == len(set(names))
    for page in ("ground", "models", "annotate", "review", "data", "train", "sign-in"):
        assert any(name.startswith(page) for name in names), page
    for state in ("first-run", "loading", "offline", "conflict", "missing", "done"):
        assert f"annotate-{state}" in names
