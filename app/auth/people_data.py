"""One person's data of a whole installation: the store, the sessions, and the files of the home that name people."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from annotations.store import Store
from app.auth.accounts import ERASED_PREFIX, NOT_PEOPLE, AccountService
from app.auth.users import Role
from app.home import Home
from tempo_core.checkpoint import PROMOTED
from tempo_core.errors import InputError
from train.checkpoints import exclusive_lock, read_json, write_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Erasure:
    """What was erased, or with a dry run what would be."""

    pseudonym: str
    """Empty after a dry run."""
    rows: dict[str, int]
    """Of the store, by table, and sessions."""
    files: tuple[str, ...]
    """Of the home, with the name replaced."""
    still_named_in: tuple[str, ...]
    """Snapshots and exports, which are copies for good and are left alone."""


def person_data(service: AccountService, store: Store, name: str) -> dict[str, Any]:
    """Everything that is known of a person, as JSON values. Raises InputError when nothing is."""
    data = store.person_data(name)
    data["sessions"] = [
        {"browser": session.browser, "started_at_s": session.started_at_s, "used_at_s": session.used_at_s}
        for session in service.sessions.of_account(name)
    ]
    if not any(value for key, value in data.items() if key != "name"):
        raise InputError(f"Nothing is known of {name!r}. `accounts list` names the accounts.")
    return data


def erase_person(
    service: AccountService, store: Store, home: Home, name: str, *, actor: str, dry_run: bool = False
) -> Erasure:
    """Take a person out: a pseudonym for the name, no account, no password, no session; the work stays.

    Raises InputError for a name that nothing is known of, that is nobody's, or that is the last administrator's.
    """
    if name in NOT_PEOPLE:
        raise InputError(
            f"{name!r} is no person: the store's records use it for what nobody in particular did."
        )
    rows = {
        key: len(rows) for key, rows in person_data(service, store, name).items() if key != "name" and rows
    }
    active_accounts = [account for account in service.all() if account.name != name and not account.disabled]
    if "accounts" in rows and not any(account.role == Role.ADMINISTRATOR for account in active_accounts):
        raise InputError(f"{name} is the last administrator. Make somebody else one first.")
    files = [
        path for path in _files_with_people(home) if _rename(read_json(path), name, "") != read_json(path)
    ]
    pseudonym = "" if dry_run else f"{ERASED_PREFIX}{secrets.token_hex(4)}"
    if not dry_run:
        service.sessions.end_all(name)
        store.erase_person(name, pseudonym, op_id=str(uuid4()), actor=actor)
        with exclusive_lock(home.adapters, wait=True):  # nobody promotes meanwhile
            for path in files:
                write_json(path, _rename(read_json(path), name, pseudonym))
    return Erasure(
        pseudonym=pseudonym,
        rows=rows,
        files=tuple(str(path.relative_to(home.root)) for path in files),
        still_named_in=tuple(str(path.relative_to(home.root)) for path in _copies_with(home, name)),
    )


def _files_with_people(home: Home) -> Iterator[Path]:
    """Who promoted an adapter, and who started a training."""
    training = home.root / "training"
    for path in (home.adapters / PROMOTED, training / "current.json", *sorted(training.glob("*/begun.json"))):
        if path.is_file():
            yield path


def _rename(value: Any, name: str, pseudonym: str) -> Any:
    """JSON values with the pseudonym for the name wherever it stands for who did something."""
    if isinstance(value, list):
        return [_rename(item, name, pseudonym) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: pseudonym if key == "by" and item == name else _rename(item, name, pseudonym)
        for key, item in value.items()
    }


def _copies_with(home: Home, name: str) -> Iterator[Path]:
    """Files below snapshots and exports that hold the name as a JSON text."""
    needle = json.dumps(name).encode()
    for folder in (home.snapshots, home.exports):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    holds_it = any(needle in line for line in file)
                if holds_it:
                    yield path
