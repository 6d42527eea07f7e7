"""`python -m app accounts`: who may sign in, as what, and where they are signed in."""

import getpass
import json
import os
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from annotations.records import Account
from annotations.store import Store
from app.auth.accounts import AccountService
from app.auth.passwords import check_password, make_password
from app.auth.sessions import Sessions
from app.auth.sign_on import HEADER_ISSUER
from app.home import Home, open_home
from tempo_core import command_line
from tempo_core.command_line import AsJson, actor
from tempo_core.errors import InputError

PASSWORD_HELP = (
    "The password is asked for, or read as the first line of standard input; it is never an argument."
)

accounts = command_line.new_app("accounts", "Add, list, change and disable accounts.")

Context = typer.Context
RoleName = Literal["visitor", "annotator", "adjudicator", "researcher", "administrator"]
Name = Annotated[str, typer.Argument(metavar="NAME", help="the account's name")]
HomeFolder = Annotated[
    str | None,
    typer.Option("--home", metavar="DIR", help="the app's folder (default: $TEMPO_HOME or ./data)"),
]
Database = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="the store (default: the home's cqvh.sqlite3)"),
]
Generate = Annotated[bool, typer.Option("--generate", help="make a random password and print it once")]


@accounts.command(epilog=PASSWORD_HELP)
def add(
    context: Context,
    name: Name,
    role: Annotated[RoleName, typer.Option("--role", help="what it may do")] = "annotator",
    generate: Generate = False,
    home: HomeFolder = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Add an account."""
    service = _account_service(context, home, database)
    password = _new_password(generate)
    account = service.add(name, role, password, actor=actor())
    text = f"Added {account.name} ({account.role})."
    if len(service.all()) == 2:
        text += " From now on everybody signs in, on this machine too."
    _show(account, text, as_json, password if generate else None)


@accounts.command(name="list")
def list_accounts(
    context: Context, home: HomeFolder = None, database: Database = None, as_json: AsJson = False
) -> None:
    """List the accounts."""
    rows = [_row(account) for account in _account_service(context, home, database).all()]
    if as_json:
        command_line.write_json({"accounts": rows})
        return
    for row in rows:
        state = "disabled" if row["disabled"] else ""
        print(f"{row['name']:<20} {row['role']:<14} {row['created_at'][:10]} {state}".rstrip())


@accounts.command()
def disable(
    context: Context, name: Name, home: HomeFolder = None, database: Database = None, as_json: AsJson = False
) -> None:
    """Keep somebody from signing in, at once; what they did stays."""
    account = _account_service(context, home, database).change(name, disabled=True, actor=actor())
    _show(account, f"{account.name} can no longer sign in; their sessions are over.", as_json)


@accounts.command()
def enable(
    context: Context, name: Name, home: HomeFolder = None, database: Database = None, as_json: AsJson = False
) -> None:
    """Let a disabled account sign in again."""
    account = _account_service(context, home, database).change(name, disabled=False, actor=actor())
    _show(account, f"{account.name} can sign in again.", as_json)


@accounts.command(name="role")
def change_role(
    context: Context,
    name: Name,
    role: Annotated[RoleName, typer.Argument(help="the new role")],
    home: HomeFolder = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Change what an account may do."""
    account = _account_service(context, home, database).change(name, role=role, actor=actor())
    _show(account, f"{account.name} is now {account.role}.", as_json)


@accounts.command(name="password", epilog=PASSWORD_HELP)
def change_password(
    context: Context,
    name: Name,
    generate: Generate = False,
    home: HomeFolder = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Set another password and end the account's sessions."""
    service = _account_service(context, home, database)
    service.get(name)  # a name that is not there is said before a password is asked for
    password = _new_password(generate)
    account = service.change(name, password=password, actor=actor())
    text = f"{account.name} has a new password; their sessions are over."
    _show(account, text, as_json, password if generate else None)


@accounts.command(name="reset")
def reset_password(
    context: Context, name: Name, home: HomeFolder = None, database: Database = None, as_json: AsJson = False
) -> None:
    """Make a temporary password, which its owner must change at the next sign-in, and end the account's sessions.

    It works for 3 days.
    """
    service = _account_service(context, home, database)
    password = service.reset_password(name, actor=actor())
    text = f"{name} has a temporary password, to be changed at the next sign-in; their sessions are over."
    _show(service.get(name), text, as_json, password)


@accounts.command(name="sessions")
def list_sessions(
    context: Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="the account's name (default: everybody)")
    ] = None,
    home: HomeFolder = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List who is signed in from which browser, since when, and the last use."""
    service = _account_service(context, home, database)
    if name is not None:
        service.get(name)
    rows = [
        {
            "name": session.account,
            "session": session.id,
            "browser": session.browser,
            "started_at": _utc(session.started_at_s),
            "used_at": _utc(session.used_at_s),
        }
        for session in service.sessions.of_account(name)
    ]
    if as_json:
        command_line.write_json({"sessions": rows})
        return
    for row in rows:
        print(f"{row['name']:<20} {row['session']}  {row['used_at']}  {row['browser']}")


@accounts.command(name="sign-out")
def sign_out(
    context: Context,
    name: Name,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="one session, as `sessions` lists it (default: all)")
    ] = None,
    home: HomeFolder = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """End an account's sessions, at once; a program's keys too."""
    num_sessions = _account_service(context, home, database).revoke(name, session, actor=actor())
    text = f"{num_sessions} session{'' if num_sessions == 1 else 's'} of {name} ended."
    command_line.show({"name": name, "ended": num_sessions}, text, as_json=as_json)


@accounts.command(name="link")
def link_identity(
    context: Context,
    name: Name,
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="the header's value, or the provider's `sub`")
    ],
    issuer: Annotated[
        str, typer.Option(metavar="URL", help="the OpenID Connect issuer (default: the proxy's header)")
    ] = HEADER_ISSUER,
    home: HomeFolder = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Let somebody sign in to an account that is there by single sign-on.

    Without it their first sign-in makes an account of its own, whatever names are alike.
    """
    _account_service(context, home, database).link(issuer, subject, name, actor=actor())
    row = {"name": name, "issuer": issuer, "subject": subject}
    command_line.show(row, f"{subject} of {issuer} signs in to {name}.", as_json=as_json)


@accounts.command(name="key")
def issue_key(
    context: Context, name: Name, home: HomeFolder = None, database: Database = None, as_json: AsJson = False
) -> None:
    """Print a key with which a program signs in as the account, sent as "Authorization: Bearer KEY".

    It ends like a browser's sign-in: 7 days from now, 12 hours after its last use, with a new password, and when the
    account is disabled.
    """
    key = _account_service(context, home, database).issue_key(name, actor=actor())
    command_line.show({"name": name, "key": key}, key, as_json=as_json)


@accounts.command(name="export")
def export_person(
    context: Context,
    name: Name,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="the JSON file to write; it must not be there")],
    home: HomeFolder = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Write everything that is known of a person to one JSON file, for them.

    Account, identities, sessions, corrections, verdicts, what they were lent, their operations, and their part of the
    audit log. No password and no other person's name is in it.
    """
    from app.auth.people_data import person_data

    service, store, _ = _parts(context, home, database)
    data = person_data(service, store, name)
    try:
        with open(out, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            json.dump(data, file, ensure_ascii=False, indent=1)
    except OSError as error:
        raise InputError(
            f"{out} cannot be written ({error.strerror}). Name a file that is not there."
        ) from error
    store.record_event("person exported", actor=actor(), person=name)
    counts = {key: len(rows) for key, rows in data.items() if key != "name"}
    text = "\n".join([f"{out} holds all of {name}:", *(f"  {n} {key}" for key, n in counts.items() if n)])
    command_line.show({"name": name, "file": str(out), "rows": counts}, text, as_json=as_json)


@accounts.command(name="erase")
def erase(
    context: Context,
    name: Name,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be erased, and change nothing")
    ] = False,
    home: HomeFolder = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person for good: a pseudonym takes the name's place everywhere, and their work stays.

    Account, password, identities and sessions go. Not reached are backups, snapshots and exports that were made before
    (those in the home are listed), notes in which somebody wrote the name, and files that were imported.
    """
    from app.auth.people_data import erase_person

    service, store, tempo_home = _parts(context, home, database)
    erasure = erase_person(service, store, tempo_home, name, actor=actor(), dry_run=dry_run)
    lines = [f"{name} would be erased:" if dry_run else f"{name} is erased, and {erasure.pseudonym} now."]
    lines += [f"  {count} {table}" for table, count in erasure.rows.items()]
    lines += [f"  {file}" for file in erasure.files]
    lines += [f"still named in {file}" for file in erasure.still_named_in]
    command_line.show({"name": name, **asdict(erasure)}, "\n".join(lines), as_json=as_json)


def _account_service(context: Context, home: str | None, database: str | None) -> AccountService:
    """The accounts of a home and its store, open until the command ends. Options before `accounts` count where the
    command has none.
    """
    return _parts(context, home, database)[0]


def _parts(context: Context, home: str | None, database: str | None) -> tuple[AccountService, Store, Home]:
    """The accounts of a home, their store, and the home, open until the command ends."""
    common = context.obj or {}
    tempo_home = open_home(home or common.get("home"))
    store = context.with_resource(Store(database or common.get("database") or tempo_home.database))
    sessions = context.with_resource(closing(Sessions(tempo_home.sessions)))
    return AccountService(store, sessions), store, tempo_home


def _new_password(generate: bool) -> str:
    if generate:
        return make_password()
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise InputError(
                "Standard input holds no password. Write it as the first line, or use --generate."
            )
        return password
    password = getpass.getpass("Password: ")
    check_password(password)
    if getpass.getpass("Once more: ") != password:
        raise InputError("The two passwords differ; nothing was changed.")
    return password


def _show(account: Account, text: str, as_json: bool, generated: str | None = None) -> None:
    row, lines = _row(account), [text]
    if generated is not None:
        row["password"] = generated
        lines.append(f"Password, shown only now: {generated}")
    command_line.show(row, "\n".join(lines), as_json=as_json)


def _row(account: Account) -> dict[str, Any]:
    created = _utc(account.created_at_ms / 1000)
    return {"name": account.name, "role": account.role, "disabled": account.disabled, "created_at": created}


def _utc(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
