"""Annotating: lends rows, keeps the annotators' answers, and says how far they are. Knows no HTTP.

Everything is a question to the store or a write with an operation id; nothing here waits for a video or a model.
"""

import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from annotations.arms import Arm
from annotations.queue import QueueFilter
from annotations.reading import AnnotatorRow
from annotations.records import PLANTED, Assignment, Correction, Query, ResolvedAnswer, UpcomingRow
from annotations.store import GAIN_AGE, LEASE_S, Store
from app.annotate.proposals import Proposals, ProposalState, planted_proposal
from app.annotate.requests import EditBody, check_edges
from app.annotate.task import REVEALED, evidence, model_part, next_arm, task_json
from app.auth.users import User
from app.media.dataset_clips import DatasetClips
from tempo_core.errors import InputError

NO_VIDEO = "video unavailable"
"""The one reason that needs no clip."""
CLIPS_AHEAD = 3
"""Rows behind the one that is lent whose clips are prepared already."""
MOST_UPCOMING = 20
"""Upcoming rows that are remembered of one annotator: one for each of their windows."""
REVIEWS_WANTED = 3
"""Annotators for each row unless told otherwise: the knee of agreement with a held-out annotator. Every row is
done once first."""


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
        self.store, self.dataset_clips, self.proposals = store, dataset_clips, proposals
        self.reviews_wanted = reviews_wanted
        self._lock = threading.Lock()
        self._upcoming: defaultdict[str, OrderedDict[int, UpcomingRow]] = defaultdict(OrderedDict)
        """By annotator and query: what was told of a row, which holds when it is lent."""
        self._told_ahead: dict[str, tuple[int, float]] = {}
        """By annotator: the upcoming row that was told last, and when (`time.monotonic`)."""

    def next_task(
        self, user: User, *, op_id: str, excluded: Sequence[int] = (), upcoming_id: int | None = None
    ) -> dict[str, Any] | None:
        """The most suspect open row, lent to the user; rows with a clip come before rows without. None: done.

        `excluded` are queries that the user has at hand and does not get again. `upcoming_id` is the row of
        `upcoming_task` that they see already: it comes first, as it was shown.
        """
        upcoming = None if upcoming_id is None else self._upcoming_row(user, upcoming_id)

        def lend(op_id: str, row_filter: QueueFilter) -> Assignment | None:
            return self.store.next_query(
                user.id,
                op_id=op_id,
                answers_per_row=self.reviews_wanted,
                excluding=excluded,
                queue_filter=row_filter,
                upcoming=upcoming,
                avoiding=self._others_upcoming(user),
            )

        loan = lend(op_id, QueueFilter())
        if loan is None and self.dataset_clips.scan_folder():
            loan = lend(
                f"{op_id}:scan", QueueFilter()
            )  # a project's rows stand in no queue without their clips
        with self._lock:
            self._told_ahead.pop(user.id, None)
        if loan is None:
            return None
        with self.store.shared_read():
            is_planned = self.store.project_of_row(loan.query_id, user.id) is not None
            row = self.store.annotator_row(loan.query_id, user.id)
        if not is_planned and self.dataset_clips.look(row.query.row.vid, row.video).missing is not None:
            with_video = lend(f"{op_id}:clip", QueueFilter(with_video=True))
            if with_video is not None:
                self.store.release(loan.query_id, annotator=user.id, op_id=f"{op_id}:back")
                loan = with_video
        if any(project.order == "gain" and project.state == "open" for project in self.store.projects()):
            self.store.renew_gains(age=GAIN_AGE)
        self._prepare_ahead(user, [*excluded, loan.query_id])
        return self.task(user, loan.query_id)

    def upcoming_task(self, user: User, *, excluded: Sequence[int]) -> dict[str, Any] | None:
        """The row that `next_task` would lend now, as it would be shown, so that its clip can be loaded before it is
        asked for. None: there is none.

        Nothing is recorded: the row is not lent, its arm is drawn but not stored, and what was drawn holds when
        the row comes to be lent or answered. Others get it meanwhile where there is no other for them.
        """

        def choose(row_filter: QueueFilter) -> UpcomingRow | None:
            return self.store.upcoming_row(
                user.id,
                answers_per_row=self.reviews_wanted,
                excluding=excluded,
                avoiding=self._others_upcoming(user),
                queue_filter=row_filter,
                draw=str(uuid4()),
            )

        upcoming = choose(QueueFilter())
        if upcoming is None:
            return None
        row = self.store.annotator_row(upcoming.query_id, user.id)
        if self.dataset_clips.look(row.query.row.vid, row.video).missing is not None:
            upcoming = choose(QueueFilter(with_video=True)) or upcoming
        with self._lock:
            self._told_ahead[user.id] = upcoming.query_id, time.monotonic()
            own = self._upcoming[user.id]
            own.setdefault(upcoming.query_id, upcoming)
            own.move_to_end(upcoming.query_id)
            while len(own) > MOST_UPCOMING:
                own.popitem(last=False)
        self._prepare_ahead(user, [*excluded, upcoming.query_id])
        return self.task(user, upcoming.query_id)

    def _others_upcoming(self, user: User) -> list[int]:
        """Rows that others were told as their next ones less than a loan's length ago."""
        now_s = time.monotonic()
        with self._lock:
            others = [ahead for annotator, ahead in self._told_ahead.items() if annotator != user.id]
        return [query_id for query_id, told_at_s in others if now_s - told_at_s < LEASE_S]

    def _upcoming_row(self, user: User, query_id: int) -> UpcomingRow | None:
        with self._lock:
            return self._upcoming[user.id].get(query_id)

    def _annotator_row(self, user: User, query_id: int) -> tuple[AnnotatorRow, Arm]:
        """The row with what is planted on it, and its arm, lent or upcoming. Raises NotFound."""
        row = self.store.annotator_row(query_id, user.id)
        if row.arm is not None:
            return row, row.arm
        upcoming = self._upcoming_row(user, query_id)
        if upcoming is not None:
            return replace(row, plant=upcoming.plant), upcoming.arm
        return row, self.store.arm(query_id, user.id)

    def _prepare_ahead(self, user: User, at_hand: Sequence[int]) -> None:
        """Have the clips prepared that come after the rows at hand."""
        with self.store.shared_read():
            upcoming = self.store.upcoming(
                user.id, answers_per_row=self.reviews_wanted, excluding=at_hand, limit=CLIPS_AHEAD
            )
            vids = [self.store.query(query_id).row.vid for query_id in upcoming]
        self.dataset_clips.prepare_ahead(user.id, list(dict.fromkeys(vids)))

    def look_again(self, user: User, query_id: int) -> dict[str, Any]:
        """The row, after a look for its clip. Raises NotFound."""
        self.dataset_clips.look_again(self.store.query(query_id).row.vid)
        return self.task(user, query_id)

    def task(self, user: User, query_id: int) -> dict[str, Any]:
        """A row for this user, lent or not. Raises NotFound."""
        row, first_arm = self._annotator_row(user, query_id)
        query = row.query
        arm = next_arm(first_arm, row.heads)
        clip_status = self.dataset_clips.look(query.row.vid, row.video)
        with self.store.shared_read():
            project = self.store.project_of_row(query_id, user.id)
            blind_share = self.store.blind_share()
            if project is not None and project.blind_share is not None:
                blind_share = project.blind_share
            if arm != "blind" and clip_status.ready is not None:
                proposal = self.proposals.request(query, clip_status.ready.clip).proposal
            else:
                proposal = self.proposals.newest(query)
            twins: list[tuple[Query, ResolvedAnswer]] = []
            if row.plant is None:
                answers = [(twin, self.store.resolved(twin.id)) for twin in self.store.twins(query_id)]
                twins = [(twin, answer) for twin, answer in answers if answer.source != "original"]
            else:  # an answer to the same question would give the wrong proposal away
                arm, proposal = "model-first", planted_proposal(row.plant, proposal)
            return task_json(
                query,
                annotator=user.id,
                latest=self.store.latest(query_id, user.id) if row.heads else None,
                arm=arm,
                reasons=self.store.suspicions(query_id),
                proposal=proposal,
                worth=None if proposal is None else self.proposals.worth(query, proposal),
                model_absence=self.proposals.absence(query) if proposal is None else None,
                clip_status=clip_status,
                progress=self.store.annotator_progress(user.id, answers_per_row=self.reviews_wanted),
                blind_share=blind_share,
                project=project,
                twins=twins,
            )

    def proposal(self, user: User, query_id: int) -> dict[str, Any]:
        """Where the model's proposal stands; `hidden` in the blind arm, with nothing of it."""
        row, first_arm = self._annotator_row(user, query_id)
        query = row.query
        arm = next_arm(first_arm, row.heads)
        if row.plant is not None:
            newest = planted_proposal(row.plant, self.proposals.newest(query))
            status = ProposalState(state="none" if newest is None else "ready", proposal=newest)
        elif arm == "blind":
            status = ProposalState(state="hidden")
        elif (ready := self.dataset_clips.look(query.row.vid, row.video).ready) is not None:
            status = self.proposals.request(query, ready.clip)
        else:
            newest = self.proposals.newest(query)
            status = ProposalState(state="waiting" if newest is None else "ready", proposal=newest)
        proposal = status.proposal
        worth = None if proposal is None else self.proposals.worth(query, proposal)
        return {
            "state": status.state,
            "message": status.message,
            "model": model_part(proposal, hidden=False, worth=worth),
            **evidence(status.proposal, hidden=False),
        }

    def save(
        self, user: User, query_id: int, body: EditBody, *, parent_id: int | None, op_id: str
    ) -> Correction:
        """Add the user's next version. Raises Conflict, NotFound, InputError, OperationReused."""
        row, first_arm = self._annotator_row(user, query_id)
        if row.arm is None:  # the answer comes before its row was lent
            self.store.arm(query_id, user.id, upcoming=self._upcoming_row(user, query_id))
        query, plant = row.query, row.plant
        clip = self.dataset_clips.look(query.row.vid, row.video).ready
        first_attempt = next((version for version in row.heads if version.op_id == op_id), None)
        is_retry = first_attempt is not None
        if first_attempt is not None:
            arm = first_attempt.arm
        else:
            # What was shown depends on nothing that came after the parent, so that a retry which overtakes is the
            # same request.
            seen_before = [head for head in row.heads if parent_id is not None and head.id <= parent_id]
            arm = next_arm(first_arm, seen_before)
            has_begun_with_model = body.proposal_id is not None and body.opening in (None, "model")
            if arm == "model-first" and not seen_before and not has_begun_with_model:
                arm = REVEALED  # the model had not answered when the annotator began
        screen: dict[str, Any] = {"arm": arm}
        if plant is not None:  # what was shown is no model's, whatever its name
            screen = {"arm": PLANTED, "proposal_id": None}
        if arm == "blind":  # nothing was sent that could be on the screen, whatever the client says
            screen |= {"proposal_id": None, "screen_reasons": None if body.screen_reasons is None else ()}
        edit = body.to_edit(clip, **screen)
        if clip is None and edit.submitted and not is_retry and edit.reason != NO_VIDEO:
            raise InputError(
                f"The clip of query {query_id} is not here, so nobody can have judged it; wait until it is prepared, "
                f"skip the row, or answer `cannot-judge` with the reason {NO_VIDEO!r}."
            )
        if clip is not None and not is_retry:
            planted_edges = [] if plant is None else [ms for moment in plant.moments for ms in moment]
            check_edges(self.store, query, edit, clip, offered=planted_edges)
        return self.store.submit(query_id, edit, annotator=user.id, parent_id=parent_id, op_id=op_id)

    def skip(self, user: User, query_id: int, *, op_id: str) -> None:
        """Give a row back undone. Raises NotFound."""
        self.store.query(query_id)
        self.store.release(query_id, annotator=user.id, op_id=op_id)

    def progress(self, user: User) -> dict[str, Any]:
        """{"done", "left"}: rows that the user submitted, and rows that the queue has for them; in a project its name,
        how many rows wait for their clip, and why it ended.
        """
        return self.store.annotator_progress(user.id, answers_per_row=self.reviews_wanted).to_dict()
