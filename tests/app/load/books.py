"""Whether a store holds what was acknowledged, in the order in which it was."""

from collections.abc import Sequence
from pathlib import Path

from annotations import checks, operation_log
from annotations.store import Store
from tests.app.load.people import Save


def lost_saves(store: Store, saves: Sequence[Save]) -> list[str]:
    """One sentence for each acknowledged save that the store does not hold as it was told."""
    with store.database.read() as connection:
        places = operation_log.positions(connection, [save.op_id for save in saves])
    corrections = {
        correction.op_id: correction
        for query_id in {save.query_id for save in saves}
        for correction in store.corrections(query_id)
    }
    lost = []
    for save in saves:
        correction = corrections.get(save.op_id)
        if correction is None or save.op_id not in places:
            lost.append(f"{save.op_id} was acknowledged and is not there.")
        elif (correction.id, correction.annotator) != (save.correction_id, save.annotator):
            lost.append(f"{save.op_id} is not the version that was acknowledged.")
    # Whatever was sent after another's acknowledgement stands after it.
    soonest_s = float("inf")
    for save in sorted(saves, key=lambda save: -places.get(save.op_id, 0)):
        if soonest_s < save.sent_s:
            lost.append(f"{save.op_id} was sent after a later operation had been acknowledged.")
        soonest_s = min(soonest_s, save.acknowledged_s)
    return lost


def problems(database: Path, saves: Sequence[Save]) -> list[str]:
    """`lost_saves`, and what `verify` finds, of a store that nobody has open."""
    with Store(database) as store:
        return lost_saves(store, saves) + checks.problems(store, snapshots=False)
