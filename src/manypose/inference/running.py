"""`Runner`: a model as prediction drives it, whatever computes its network. Needs no PyTorch.

Each has ``skeleton``, ``stride`` and ``size`` (of a whole photo's view), ``top_down`` (it looks at one person at a time), ``finds_boxes``
(it is a person detector), ``nms_oks`` (of two people with a higher OKS the one with the lower score is left out; None: both stay), and
``people(photo, boxes)``: a view for each box. ``found(views, warps, options, what)`` gives the people, or the detector's boxes, of each
photo or crop of a batch in the pixels of its base view; `views` are the batch at each scale, and `warps` those of one of the batch.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

from manypose.inference.graph_models import DetectorGraph, PersonGraph

if TYPE_CHECKING:
    from manypose.inference.eager import Eager
    from manypose.methods.method import Method
else:
    Eager = Method = Any  # they need PyTorch, which may be missing

__all__ = ["AnyModel", "Graphs", "Runner", "runner"]

Graphs = (PersonGraph, DetectorGraph)
"""The models whose networks are graphs: they are `Runner`s themselves."""

AnyModel: TypeAlias = PersonGraph | DetectorGraph | Method

Runner: TypeAlias = PersonGraph | DetectorGraph | Eager


def runner(model: AnyModel) -> Runner:
    """What drives a model: a graph itself, or PyTorch for a `Method`."""
    if isinstance(model, Graphs):
        return model
    from manypose.inference.eager import Eager

    return Eager(model)
