"""Operation ids: a write that comes twice is done once, and answers the same both times."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, func, insert, select

from annotations.errors import OperationReused
from annotations.records import digest
from annotations.tables import operations
from tempo_core.errors import InputError

LONGEST_ID = 200


def once(
    connection: Connection,
    work: Callable[[], Any],
    *,
    op_id: str,
    kind: str,
    request: Any,
    actor: str,
    now_ms: int,
) -> Any:
    """What `work` returns (JSON values), or what it returned when this operation was first done.

    Raises OperationReused when `op_id` was used for another request, InputError when it is empty or too long.
    """
    if not op_id or len(op_id) > LONGEST_ID:
        raise InputError(f"An operation id has 1 to {LONGEST_ID} characters; got {len(op_id)}. Send a UUID.")
    if not actor:
        raise InputError("A write needs the name of who does it; got an empty one.")
    if connection.dialect.name == "postgresql":  # a retry that overtakes its first attempt waits for it here
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(op_id, 0))))
    request_sha256 = digest([kind, actor, request])
    done = connection.execute(
        select(operations.c.request_sha256, operations.c.result).where(operations.c.op_id == op_id)
    ).one_or_none()
    if done is not None:
        if done.request_sha256 != request_sha256:
            raise OperationReused(
                f"Operation {op_id!r} was done before with another request; send a new id with a new request."
            )
        return done.result
    result = work()
    values = {"op_id": op_id, "kind": kind, "request_sha256": request_sha256, "result": result}
    connection.execute(insert(operations), {**values, "actor": actor, "created_at_ms": now_ms})
    return result
