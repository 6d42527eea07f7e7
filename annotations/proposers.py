"""Which models may propose for which datasets. Nobody but a person names one: until then there is none.

A model is named by what stands before the first @ of its id, as `tempo-tiny` of
`tempo-tiny@0123456789ab+adapter@ba9876543210/float32`, so that its adapters and precisions are named with it. ANY is
any model. What a model says of another dataset stays in the store and counts nowhere.
"""

from collections.abc import Iterable

from annotations.records import Proposal

ANY = "*"


def model_name(model_id: str) -> str:
    """The part of a model's id by which it is named."""
    return model_id.partition("@")[0]


def may_propose(model_id: str, names: Iterable[str]) -> bool:
    """Whether a dataset for which these models are named takes a model's answers."""
    return not {ANY, model_id, model_name(model_id)}.isdisjoint(names)


def named_proposals(proposals: Iterable[Proposal], names: Iterable[str]) -> list[Proposal]:
    """Those by models that may propose, in the same order."""
    names = frozenset(names)
    return [proposal for proposal in proposals if may_propose(proposal.prediction.model_id, names)]
