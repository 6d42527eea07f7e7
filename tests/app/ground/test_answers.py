"""Answers that stay: whose they are, who else may see them, and what is sent of them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.auth.users import LOCAL_USER, Authenticator
from app.ground.answers import PER_CLIP, RECENT, AnswerHistory, answer_page
from app.http.errors import NoSuchFile, StorageFull
from app.media.library import Clip, MediaLibrary
from tests.app.fakes import light_draw, light_prepare, write_clip
from tests.app.markup import HOSTILE, attributes, hostile_texts, page_text
from tests.app.studio import ALICE, BOB, Studio, open_studio

OTHER = SimpleNamespace(id="somebody-else")
MOMENTS = [
    {"start_s": 1.0, "end_s": 2.5, "confidence": 0.87, "band": "clear"},
    {"start_s": 3.0, "end_s": 3.5, "confidence": None, "band": None},
]


def outcome(clip: Clip, query: str = "a square") -> Any:
    answer = {"query": query, "model_id": HOSTILE, "moments": []}
    return SimpleNamespace(clip=clip, to_dict=lambda: answer)


def value(query: str = "a square") -> dict[str, Any]:
    return {
        "query": query,
        "moments": MOMENTS,
        "video": {"url": "/x"},
        "strip": None,
        "frames": {"times_s": [0.0]},
    }


@pytest.fixture
def media(tmp_path: Path) -> MediaLibrary:
    (tmp_path / "media").mkdir()
    return MediaLibrary(tmp_path / "media", light_prepare, light_draw)


@pytest.fixture
def clip(media: MediaLibrary, tmp_path: Path) -> Clip:
    return media.ingest(write_clip(tmp_path / "square.mp4"), owner=LOCAL_USER.id, title=f"{HOSTILE}.mp4")


def history(media: MediaLibrary) -> AnswerHistory:
    times = iter(range(1000))
    return AnswerHistory(media, clock=lambda: float(next(times)))


def test_an_answer_is_its_askers_and_outlives_the_server(media: MediaLibrary, clip: Clip) -> None:
    answers = history(media)
    first = answers.add(outcome(clip), value(), "2 moments found.")
    second = answers.add(outcome(clip, "a dog"), value("a dog"), "1 moment found.")
    assert "video" not in first.value, "addresses are of the clip as it is then"
    assert first.value["frames"] == {"times_s": [0.0]}
    again = AnswerHistory(media)
    assert again.get(LOCAL_USER, clip.id, first.id) == (first, clip)
    assert again.recent(LOCAL_USER) == again.of_clip(clip) == [second, first]
    assert again.recent(LOCAL_USER, besides=clip.id) == []
    assert again.recent(OTHER) == []  # type: ignore[arg-type]
    for user, clip_id, answer_id in (
        (OTHER, clip.id, first.id),
        (LOCAL_USER, clip.id, "x" * 16),
        (LOCAL_USER, clip.id, "../clip"),
        (LOCAL_USER, "nowhere", first.id),
    ):
        with pytest.raises(NoSuchFile):
            again.get(user, clip_id, answer_id)  # type: ignore[arg-type]


def test_a_question_is_listed_once_and_old_ones_make_room(media: MediaLibrary, clip: Clip) -> None:
    answers = history(media)
    for _ in range(2):
        last = answers.add(outcome(clip), value(), "")
    assert answers.of_clip(clip) == [last]
    for number in range(PER_CLIP + 2):
        answers.add(outcome(clip, str(number)), value(str(number)), "")
    assert [answer.value["query"] for answer in answers.of_clip(clip)] == [
        str(number) for number in reversed(range(2, PER_CLIP + 2))
    ]
    assert len(answers.recent(LOCAL_USER)) == RECENT


def test_a_full_disk_is_told(media: MediaLibrary, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.ground.answers.write_whole", full)
    with pytest.raises(StorageFull, match="cannot be kept"):
        history(media).add(outcome(clip), value(), "")


def test_a_link_is_the_owners_to_make_and_to_end(media: MediaLibrary, clip: Clip) -> None:
    answers = history(media)
    stored = answers.add(outcome(clip), value(), "")
    assert stored.link == ""
    with pytest.raises(NoSuchFile):
        answers.shared(clip.id, stored.id, "")
    with pytest.raises(NoSuchFile):
        answers.share(OTHER, clip.id, stored.id, is_shared=True)  # type: ignore[arg-type]
    shared = answers.share(LOCAL_USER, clip.id, stored.id, is_shared=True)
    assert shared.link.startswith(f"/shared/{clip.id}/{stored.id}/")
    assert len(shared.secret) == 43
    assert answers.shared(clip.id, stored.id, shared.secret) == (shared, clip)
    for wrong in ("", shared.secret[:-1], "é" * 43):
        with pytest.raises(NoSuchFile):
            answers.shared(clip.id, stored.id, wrong)
    answers.add(outcome(clip), value(), "")  # the same question again: what is shared stays as it was shared
    assert answers.shared(clip.id, stored.id, shared.secret)[0] == shared
    answers.share(LOCAL_USER, clip.id, stored.id, is_shared=False)
    with pytest.raises(NoSuchFile):
        answers.shared(clip.id, stored.id, shared.secret)


def test_the_page_needs_nothing_else_and_reads_as_text(media: MediaLibrary, clip: Clip) -> None:
    answers = history(media)
    stored = answers.add(outcome(clip, HOSTILE), value(HOSTILE), HOSTILE)
    assert "<img" not in answer_page(stored, clip)
    media.strip_of(clip)
    html = answer_page(stored, clip)
    assert html.lstrip().startswith("<!doctype html>")
    assert hostile_texts(html) == 5, "the title, the question, the line, the clip and the model"
    text = page_text(html)
    assert "1.0 to 2.5 s, clear (87 %)" in text
    assert "3.0 to 3.5 s" in text
    assert html.count('src="data:image/jpeg;base64,') == 2
    assert not [v for v in attributes(html) if re.match(r"(https?:)?//|/", v)], "no address of a server"
    assert "<script" not in html


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with open_studio(
        tmp_path / "home", authenticator=Authenticator(anonymous=True), host="studio.test"
    ) as studio:
        yield studio


def test_who_gets_what_over_http(studio: Studio, tmp_path: Path) -> None:
    answers: AnswerHistory = studio.app.state.answers
    alice = Authenticator(anonymous=True).resolve(
        SimpleNamespace(cookies={"tempo_visitor": ALICE}, headers={}, client=None)
    )
    assert alice is not None
    source = write_clip(tmp_path / "square.mp4")
    clip = answers.media.ingest(source, owner=alice.id, title="my square.mp4")
    stored = answers.add(outcome(clip), value(), "")
    page = studio.request("GET", stored.address)
    headers = dict(page.headers)
    assert (page.status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert headers["content-disposition"] == 'attachment; filename="tempo-answer.html"'
    assert headers["content-security-policy"].startswith("default-src 'none'")
    moment = studio.request("GET", f"{stored.address}/moments/1")
    assert (moment.status, dict(moment.headers)["content-type"]) == (200, "video/mp4")
    assert "my%20square-1.0-2.5.mp4" in dict(moment.headers)["content-disposition"]
    assert b"ftyp" in moment.body[:16]
    for path in ("/moments/0", "/moments/3"):
        assert studio.request("GET", stored.address + path).status == 404
    for path in ("", "/moments/1"):
        foreign = studio.request("GET", stored.address + path, who=BOB)
        assert foreign.status == 404
        assert "square" not in foreign.text
    assert studio.request("GET", f"/shared/{clip.id}/{stored.id}/{'x' * 43}", who=BOB).status == 404
    shared = answers.share(alice, clip.id, stored.id, is_shared=True)
    page = studio.request("GET", shared.link, who=BOB)
    assert page.status == 200
    assert dict(page.headers)["referrer-policy"] == "no-referrer"
    assert shared.secret not in page.text
    assert clip.id not in page.text, "the page tells nobody how to ask for the clip"
    assert studio.request("GET", clip.url, who=BOB).status == 404
    assert json.loads((clip.folder / "answers" / f"{stored.id}.json").read_text())["secret"] == shared.secret
