"""`queue`: which rows to look at first, and why."""

import argparse
import dataclasses

from annotations.commands import common
from annotations.queue import QueueFilter
from annotations.rows import SPLITS
from annotations.suspicion import REASONS


def add_parser(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers,
        "queue",
        run,
        "List the rows that look most in need of correction, with the reasons.\n\n"
        "Fewest reviews first, then the highest score: 1 - product of (1 - weight * strength) over\n"
        "the reasons.",
    )
    parser.add_argument("--limit", type=int, default=20, help="rows (default: %(default)s)")
    parser.add_argument("--after", type=int, metavar="ID", help="the last row of the page before")
    parser.add_argument("--dataset", metavar="NAME")
    parser.add_argument("--split", choices=SPLITS)
    parser.add_argument("--reason", choices=tuple(REASONS))
    parser.add_argument("--with-video", action="store_true", help="only rows whose clip is registered")
    parser.add_argument(
        "--review", action="store_true", help="the adjudicators' queue: least agreement first"
    )
    parser.add_argument("--renew", action="store_true", help="work out every row's place again first")


def run(args: argparse.Namespace) -> int:
    """Show one page."""
    wanted = QueueFilter(
        dataset=args.dataset,
        split=args.split,
        reason=args.reason,
        with_video=args.with_video,
        review=args.review,
    )
    with common.open_store(args) as store:
        if args.renew:
            store.renew_queue()
        items = store.queue(wanted, limit=args.limit, after=args.after)
    answer = [{**dataclasses.asdict(item), "texts": [each.text for each in item.reasons]} for item in items]
    lines = [
        (
            item.query_id,
            f"{item.dataset}:{item.qid}",
            f"{item.score:.3f}",
            "; ".join(each.text for each in item.reasons),
        )
        for item in items
    ]
    common.show(args, {"rows": answer}, common.table([("id", "query", "score", "because"), *lines]))
    return 0
