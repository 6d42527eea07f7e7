"""How a snapshot writes the store's records down: JSON lines that name each other by operation id."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from annotations.records import Correction, Proposal, Query, Verdict, latest_of_each, resolve
from annotations.rows import row_content


def row_values(
    query: Query,
    versions: Sequence[Correction],
    decided: Sequence[Verdict],
    written: Mapping[int, dict[str, Any]],
    video_sha256: str | None,
) -> dict[str, Any]:
    adopted = next((each for each in versions if decided and each.id == decided[-1].correction_id), None)
    submitted = [each for each in versions if each.edit.submitted]
    answer = resolve(query, submitted, adopted)
    windows = None if answer.moments is None else [[each.start_s, each.end_s] for each in answer.moments]
    behind = answer.correction
    return {
        "dataset": query.dataset,
        "split": query.row.split,
        "row": row_content(query.row),
        "raw": query.row.raw,
        "video_sha256": video_sha256,
        "answer": {
            "source": answer.source,
            "verdict": answer.verdict,
            "windows": windows,
            "by": None if behind is None else behind.annotator,
            "op_id": None if behind is None else behind.op_id,
        },
        "versions": [written[each.id] for each in latest_of_each(submitted)],
        "adopted": None if adopted is None else written[adopted.id],
    }


class Names:
    """Writes one query's records with operation ids in place of the database's numbers."""

    def __init__(
        self,
        query: Query,
        versions: Sequence[Correction],
        proposed: Sequence[Proposal],
        decided: Sequence[Verdict],
    ) -> None:
        self._query = {"dataset": query.dataset, "qid": query.row.qid_value}
        self._corrections: dict[int | None, str] = {each.id: each.op_id for each in versions}
        self._proposals: dict[int | None, str] = {each.id: each.op_id for each in proposed}
        self._verdicts: dict[int | None, str] = {each.id: each.op_id for each in decided}

    def correction(self, each: Correction) -> dict[str, Any]:
        edit = each.edit.to_dict()
        proposal = self._proposals.get(edit.pop("proposal_id"))
        return {
            "op_id": each.op_id,
            **self._query,
            "annotator": each.annotator,
            "revision": each.revision,
            "parent": self._corrections.get(each.parent_id),
            "restores": self._corrections.get(each.restores_id),
            "proposal": proposal,
            "created_at_ms": each.created_at_ms,
            "edit": edit,
        }

    def proposal(self, each: Proposal) -> dict[str, Any]:
        said = each.prediction
        return {
            "op_id": each.op_id,
            **self._query,
            "created_at_ms": each.created_at_ms,
            "model_id": said.model_id,
            "adapter_id": said.adapter_id,
            "refused": said.refused,
            "relevance": said.relevance,
            "moments": [[moment.start_ms, moment.end_ms, moment.confidence] for moment in said.moments],
            "allocation": said.allocation,
            "timings": said.timings,
            "answer": said.answer,
        }

    def verdict(self, each: Verdict) -> dict[str, Any]:
        return {
            "op_id": each.op_id,
            **self._query,
            "revision": each.revision,
            "parent": self._verdicts.get(each.parent_id),
            "correction": self._corrections.get(each.correction_id),
            "adjudicator": each.adjudicator,
            "note": each.note,
            "created_at_ms": each.created_at_ms,
        }


class JsonLines:
    """A file of JSON lines that hashes and counts what is written to it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = f"{name}.jsonl"
        self.records = 0
        self._digest = hashlib.sha256()
        self._file: IO[bytes] = (folder / self.name).open("wb")

    def __enter__(self) -> "JsonLines":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def write(self, values: Mapping[str, Any]) -> None:
        line = json.dumps(values, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        self._digest.update(line)
        self._file.write(line)
        self.records += 1

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
