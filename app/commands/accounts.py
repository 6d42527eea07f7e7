"""`python -m app accounts add|list|disable|enable|role|password`: who may sign in, and as what."""

import argparse
import getpass
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from annotations.records import ROLES, Account
from annotations.store import Store
from app.auth.accounts import AccountService
from app.auth.passwords import check_password, make_password
from app.auth.sessions import Sessions
from app.home import open_home
from tempo_core.errors import InputError

PASSWORD_HELP = (
    "The password is asked for, or read as the first line of standard input; it is never an argument."
)


def add_parser(subparsers: Any) -> None:
    """Describe the command and what it can do."""
    accounts = subparsers.add_parser("accounts", help="add, list, change and disable accounts")
    actions = accounts.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = _action(actions, "add", _add, "add an account", named=True)
    add.add_argument(
        "--role", choices=ROLES, default="annotator", help="what it may do (default: %(default)s)"
    )
    _take_password(add)
    _action(actions, "list", _list, "list the accounts")
    disable = "keep somebody from signing in, at once; what they did stays"
    _action(actions, "disable", _disable, disable, named=True)
    _action(actions, "enable", _enable, "let a disabled account sign in again", named=True)
    role = _action(actions, "role", _role, "change what an account may do", named=True)
    role.add_argument("role", choices=ROLES, help="the new role")
    password = "set another password and end the account's sessions"
    _take_password(_action(actions, "password", _password, password, named=True))


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code. Raises InputError for what can be mended."""
    with _accounts(args) as accounts:
        args.act(args, accounts)
    return 0


def _action(actions: Any, name: str, act: Any, text: str, *, named: bool = False) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=f"{text.capitalize()}.")
    if named:
        parser.add_argument("name", help="the account's name")
    parser.add_argument(
        "--home",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="the app's folder (default: $TEMPO_HOME or ./data)",
    )
    parser.add_argument(
        "--database",
        metavar="URL",
        default=argparse.SUPPRESS,
        help="the store (default: the home's cqvh.sqlite3)",
    )
    parser.add_argument("--json", action="store_true", help="answer with one JSON object")
    parser.set_defaults(run=run, act=act)
    return parser


def _take_password(parser: argparse.ArgumentParser) -> None:
    parser.epilog = PASSWORD_HELP
    parser.add_argument("--generate", action="store_true", help="make a random password and print it once")


@contextmanager
def _accounts(args: argparse.Namespace) -> Iterator[AccountService]:
    home = open_home(args.home)
    with Store(args.database or home.database) as store:
        sessions = Sessions(home.sessions)
        try:
            yield AccountService(store, sessions)
        finally:
            sessions.close()


def _add(args: argparse.Namespace, accounts: AccountService) -> None:
    password = _new_password(args)
    account = accounts.add(args.name, args.role, password, actor=_actor())
    text = f"Added {account.name} ({account.role})."
    if len(accounts.all()) == 2:
        text += " From now on everybody signs in, on this machine too."
    _show(args, account, text, password)


def _list(args: argparse.Namespace, accounts: AccountService) -> None:
    rows = accounts.all()
    if args.json:
        print(json.dumps({"accounts": [_row(account) for account in rows]}))
        return
    for account in rows:
        state = "disabled" if account.disabled else ""
        print(f"{account.name:<20} {account.role:<14} {_day(account)} {state}".rstrip())


def _disable(args: argparse.Namespace, accounts: AccountService) -> None:
    account = accounts.change(args.name, disabled=True, actor=_actor())
    _show(args, account, f"{account.name} can no longer sign in; their sessions are over.")


def _enable(args: argparse.Namespace, accounts: AccountService) -> None:
    account = accounts.change(args.name, disabled=False, actor=_actor())
    _show(args, account, f"{account.name} can sign in again.")


def _role(args: argparse.Namespace, accounts: AccountService) -> None:
    account = accounts.change(args.name, role=args.role, actor=_actor())
    _show(args, account, f"{account.name} is now {account.role}.")


def _password(args: argparse.Namespace, accounts: AccountService) -> None:
    accounts.found(args.name)
    password = _new_password(args)
    account = accounts.change(args.name, password=password, actor=_actor())
    _show(args, account, f"{account.name} has a new password; their sessions are over.", password)


def _new_password(args: argparse.Namespace) -> str:
    if args.generate:
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


def _show(args: argparse.Namespace, account: Account, text: str, password: str | None = None) -> None:
    shown = {"password": password} if args.__dict__.get("generate") else {}
    if args.json:
        print(json.dumps(_row(account) | shown))
        return
    print(text)
    if shown:
        print(f"Password, shown only now: {password}")


def _row(account: Account) -> dict[str, Any]:
    created = datetime.fromtimestamp(account.created_at_ms / 1000, UTC).isoformat(timespec="seconds")
    return {"name": account.name, "role": account.role, "disabled": account.disabled, "created_at": created}


def _day(account: Account) -> str:
    return datetime.fromtimestamp(account.created_at_ms / 1000, UTC).date().isoformat()


def _actor() -> str:
    """Who runs the command, for the records: somebody with a shell on the server."""
    try:
        return os.environ.get("TEMPO_ACTOR") or getpass.getuser()
    except (OSError, KeyError):
        return "shell"
