"""Uploads: quotas, what makes way for what, and what is left behind."""

import os
from pathlib import Path

import pytest

from app.auth.users import Role, User
from app.http.errors import NoSuchFile, StorageFull
from app.media.storage import StorageLimits
from app.media.uploads import COPIED_TTL_S, UPLOAD_TTL_S, Upload, Uploads
from tests.app.people import Clock

ADA = User(id="ada", name="ada", roles=frozenset({Role.VISITOR}), signed_in=True)
LIMITS = StorageLimits(person_bytes=100, total_bytes=250, free_space_floor_bytes=0)


def visitor(number: int, network: str = "192.0.2.1") -> User:
    return User(id=f"visitor-{number}", name="Visitor", roles=frozenset({Role.VISITOR}), network=network)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def uploads(tmp_path: Path, clock: Clock) -> Uploads:
    (tmp_path / "uploads").mkdir()
    return Uploads(tmp_path / "uploads", LIMITS, clock=clock)


def send(uploads: Uploads, user: User, size_bytes: int, name: str = "clip.avi") -> Upload:
    """An upload as the route takes it in: admitted, written, registered, settled."""
    uploads.admit(user, size_bytes)
    folder = uploads.folder / os.urandom(8).hex()
    folder.mkdir()
    (folder / name).write_bytes(b"x" * size_bytes)
    upload = uploads.add(user, folder / name)
    uploads.settle(user, size_bytes)
    return upload


def test_one_person_has_a_quota(uploads: Uploads) -> None:
    send(uploads, ADA, 60)
    with pytest.raises(StorageFull, match="limit of one person"):
        uploads.admit(ADA, 41)
    send(uploads, ADA, 40)
    send(uploads, visitor(1), 100)


def test_visitors_of_one_address_share_a_quota(uploads: Uploads) -> None:
    send(uploads, visitor(1), 60)
    with pytest.raises(StorageFull, match="limit of one person"):
        uploads.admit(visitor(2), 41)
    uploads.admit(visitor(2, "192.0.2.2"), 41)


def test_everybody_together_has_a_quota(uploads: Uploads) -> None:
    send(uploads, ADA, 100)
    send(uploads, visitor(1), 100)
    with pytest.raises(StorageFull, match="as many uploads as it may"):
        uploads.admit(visitor(2, "192.0.2.2"), 51)


def test_bytes_that_are_coming_count(uploads: Uploads) -> None:
    uploads.admit(ADA, 70)
    with pytest.raises(StorageFull):
        uploads.admit(ADA, 31)
    uploads.settle(ADA, 70)
    uploads.admit(ADA, 31)


def test_bytes_of_a_chat_count_as_an_upload_of_theirs(uploads: Uploads) -> None:
    upload = uploads.store(ADA, "clip.mp4", b"x" * 60)
    assert upload.path.read_bytes() == b"x" * 60
    with pytest.raises(StorageFull, match="limit of one person"):
        uploads.store(ADA, "clip.mp4", b"x" * 41)
    # what was refused left no file and no bytes under way
    assert [path.name for path in uploads.folder.rglob("*.mp4")] == ["clip.mp4"]
    uploads.store(ADA, "clip.mp4", b"x" * 40)


def test_an_original_that_was_copied_makes_way_for_a_new_upload(uploads: Uploads, tmp_path: Path) -> None:
    """Its address stays good and gives the copy."""
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(b"copy")
    first = send(uploads, ADA, 90)
    uploads.copied(first.path, copy)
    assert first.path.read_bytes() == b"x" * 90
    send(uploads, ADA, 90)
    assert uploads.get(ADA, first.address).path.read_bytes() == b"copy"
    assert first.path.samefile(copy), "it takes no room of its own"


def test_an_upload_that_nobody_asked_about_makes_way_for_nothing(uploads: Uploads) -> None:
    first = send(uploads, ADA, 90)
    with pytest.raises(StorageFull):
        uploads.admit(ADA, 90)
    assert first.path.read_bytes() == b"x" * 90


def test_uploads_end(uploads: Uploads, clock: Clock, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(b"copy")
    copied_upload, other_upload = send(uploads, ADA, 10), send(uploads, ADA, 10)
    uploads.copied(copied_upload.path, copy)
    clock.pass_s(COPIED_TTL_S + 1)
    uploads.sweep()
    assert (copied_upload.path.read_bytes(), other_upload.path.read_bytes()) == (b"copy", b"x" * 10)
    clock.pass_s(UPLOAD_TTL_S)
    uploads.sweep()
    assert list(uploads.folder.iterdir()) == []
    with pytest.raises(NoSuchFile, match="no longer kept"):
        uploads.get(ADA, copied_upload.address)


def test_what_an_earlier_run_left_belongs_to_nobody_and_goes(tmp_path: Path) -> None:
    folder = tmp_path / "uploads"
    (folder / "coming-x").mkdir(parents=True)
    (folder / "coming-x" / "part").write_bytes(b"x")
    (folder / "stray").write_bytes(b"x")
    Uploads(folder)
    assert list(folder.iterdir()) == []
