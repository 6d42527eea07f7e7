"""The annotator's workspace: lends rows, keeps their edits, and says what stands. Knows no HTTP.

Everything is a question to the store or a write with an operation id; nothing here waits for a video or a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from annotations.queue import QueueFilter
from annotations.records import Assignment, Correction, Edit
from annotations.store import Store
from app.annotate.proposals import Proposals, ProposalState
from app.annotate.task import REVEALED, AnnotationTask, drawn_arm, evidence, item_of, model_part
from app.auth.users import User
from app.media.dataset_clips import DatasetClips
from app.media.frame_edges import check_edges, with_frames
from tempo_core.errors import InputError

REVIEWS_WANTED = 3
"""Annotators for each row unless told otherwise: the knee of agreement with a held-out annotator. Every row is
done once first."""
LONGEST_BESIDES = 200


class AnnotationService:
    """The rows of a store as work for annotators. Threads may share it."""

    def __init__(
        self,
        store: Store,
        dataset_clips: DatasetClips,
        proposals: Proposals,
        *,
        reviews_wanted: int = REVIEWS_WANTED,
    ) -> None:
        if reviews_wanted < 1:
            raise InputError(f"Every row wants at least one annotator; got {reviews_wanted}. Use 1 or more.")
        self.store, self.dataset_clips, self.proposals, self.reviews_wanted = (
            store,
            dataset_clips,
            proposals,
            reviews_wanted,
        )

    def next_item(self, user: User, *, op_id: str, besides: Sequence[int] = ()) -> dict[str, Any] | None:
        """The most suspect open row, lent to the user; rows with a clip come before rows without. None: done."""
        if len(besides) > LONGEST_BESIDES:
            raise InputError(f"`besides` names at most {LONGEST_BESIDES} rows; got {len(besides)}.")
        lent = self._lend(user, op_id, besides)
        if lent is not None and self._file_is_missing(lent.query_id):
            found = self._lend(user, f"{op_id}:clip", besides, QueueFilter(with_video=True))
            if found is not None:
                self.store.release(lent.query_id, annotator=user.id, op_id=f"{op_id}:back")
                lent = found
        return None if lent is None else self.item(user, lent.query_id)

    def _lend(
        self, user: User, op_id: str, besides: Sequence[int], wanted: QueueFilter | None = None
    ) -> Assignment | None:
        return self.store.next_query(
            user.id,
            op_id=op_id,
            answers_per_row=self.reviews_wanted,
            excluding=besides,
            queue_filter=wanted or QueueFilter(),
        )

    def _file_is_missing(self, query_id: int) -> bool:
        return self.dataset_clips.look(self.store.query(query_id).row.vid).missing is not None

    def item(self, user: User, query_id: int) -> dict[str, Any]:
        """A row for this user, lent or not. Raises NotFound."""
        query = self.store.query(query_id)
        mine = self._own(query_id, user)
        arm = _arm(user, query_id, mine)
        clip_status = self.dataset_clips.look(query.row.vid)
        if arm != "blind" and clip_status.ready is not None:
            self.proposals.want(query, clip_status.ready.clip)
        return item_of(
            AnnotationTask(
                query=query,
                annotator=user.id,
                latest=mine[-1] if mine else None,
                arm=arm,
                reasons=self.store.suspicions(query_id),
                proposal=self.proposals.newest(query_id),
                clip_status=clip_status,
                progress=self.store.annotator_progress(user.id, answers_per_row=self.reviews_wanted),
            )
        )

    def proposal(self, user: User, query_id: int) -> dict[str, Any]:
        """Where the model's proposal stands; `hidden` in the blind arm, with nothing of it."""
        query = self.store.query(query_id)
        if _arm(user, query_id, self._own(query_id, user)) == "blind":
            return _standing(ProposalState(state="hidden"))
        ready = self.dataset_clips.look(query.row.vid).ready
        if ready is not None:
            return _standing(self.proposals.want(query, ready.clip))
        found = self.proposals.newest(query_id)
        return _standing(ProposalState(state="waiting" if found is None else "ready", proposal=found))

    def save(
        self, user: User, query_id: int, given: Mapping[str, Any], *, parent_id: int | None, op_id: str
    ) -> Correction:
        """Add the user's next version. Raises Conflict, NotFound, InputError, OperationReused."""
        _check_types(given)
        edit = Edit.from_dict(given)
        query = self.store.query(query_id)
        mine = self._own(query_id, user)
        known = [each for each in mine if parent_id is not None and each.id <= parent_id]
        # The arm is what was shown, which the server knows; it must not depend on what came after the parent,
        # so that a retry is the same request.
        edit = replace(edit, arm=_arm(user, query_id, known))
        if not any(each.op_id == op_id for each in mine):
            check_edges(self.store, self.dataset_clips, query, edit)
        edit = with_frames(self.dataset_clips, query, edit)
        return self.store.submit(query_id, edit, annotator=user.id, parent_id=parent_id, op_id=op_id)

    def skip(self, user: User, query_id: int, *, op_id: str) -> None:
        """Give a row back undone. Raises NotFound."""
        self.store.query(query_id)
        self.store.release(query_id, annotator=user.id, op_id=op_id)

    def done_by(self, user: User) -> list[int]:
        """Rows that the user submitted, the latest first."""
        return self.store.submitted_by(user.id)

    def standing(self, user: User) -> dict[str, Any]:
        """How far the user is, and whether there is anything at all."""
        return {"progress": self.progress(user), "empty": self.store.is_empty()}

    def progress(self, user: User) -> dict[str, int]:
        """{"done", "left"}: rows that the user submitted, and rows that the queue has for them."""
        return self.store.annotator_progress(user.id, answers_per_row=self.reviews_wanted).to_dict()

    def _own(self, query_id: int, user: User) -> list[Correction]:
        return [each for each in self.store.corrections(query_id) if each.annotator == user.id]


def _arm(user: User, query_id: int, versions: Sequence[Correction]) -> str:
    """The arm of the version that follows these: a blind annotator sees everything once they have submitted."""
    arm = drawn_arm(user.id, query_id)
    return REVEALED if arm == "blind" and any(each.edit.submitted for each in versions) else arm


def _standing(found: ProposalState) -> dict[str, Any]:
    return {
        "state": found.state,
        "message": found.message,
        "model": model_part(found.proposal, hidden=False),
        **evidence(found.proposal, hidden=False),
    }


_TYPES: dict[str, tuple[type, ...]] = {
    "flagged": (bool,),
    "submitted": (bool,),
    "proposal_id": (int, type(None)),
    "active_ms": (int, type(None)),
    "key_presses": (int, type(None)),
    "moments": (list,),
    "categories": (list,),
}


def _check_types(given: Mapping[str, Any]) -> None:
    """What `Edit` takes on trust from Python code must be checked when a browser sends it."""
    for name, types in _TYPES.items():
        if name in given and type(given[name]) not in types:
            raise InputError(f"{name} is {str(given[name])[:40]!r}; an edit's {name} cannot be that.")
    for name in ("active_ms", "key_presses"):
        if given.get(name) is not None and not 0 <= given[name] < 2**53:
            raise InputError(f"{name} is {given[name]}; give a whole number of 0 or more.")
