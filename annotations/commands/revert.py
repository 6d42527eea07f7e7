"""`revert`: bring an older version back as a new one."""

import argparse

from annotations.commands import common
from tempo_core.errors import InputError


def add_parser(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers, "revert", run, "Add a version equal to an older one; nothing is removed (see `history`)."
    )
    parser.add_argument("query", metavar="QUERY", help="its number in the store, or DATASET:QID")
    parser.add_argument("--to", required=True, metavar="ID", help="a correction's number, or `original`")
    parser.add_argument(
        "--annotator", metavar="NAME", help="whose version it becomes (default: who runs this)"
    )


def run(args: argparse.Namespace) -> int:
    """Add the version and name it."""
    if args.to != "original" and not args.to.isdecimal():
        raise InputError(f"--to is {args.to!r}; give a correction's number, or `original`.")
    annotator = args.annotator or common.actor()
    with common.open_store(args) as store:
        query = common.find_query(store, args.query)
        before = store.latest(query.id, annotator)
        added = store.revert(
            query.id,
            to_id=None if args.to == "original" else int(args.to),
            annotator=annotator,
            parent_id=None if before is None else before.id,
            op_id=common.new_op_id(),
        )
    answer = {"correction": added.id, "revision": added.revision, "edit": added.edit.to_dict()}
    common.show(
        args, answer, f"Correction {added.id} is {annotator}'s version {added.revision} of {args.query}."
    )
    return 0
