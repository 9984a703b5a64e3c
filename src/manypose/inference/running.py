"""`Runner`: the interface between prediction and a model of any runtime. Needs no PyTorch.

Each has ``skeleton``, ``stride`` and ``size`` (of a whole photo's view), ``top_down``, ``finds_boxes`` (it is a person detector),
``nms_oks`` (the OKS above which the lower-scoring of two people is left out; None: never), and ``people(photo, boxes)``: a view for each
box. ``found(views, warps, options, what)`` returns the people, or the detector's boxes, in each photo or crop of a batch, in the pixels of
its base view; `views` is the batch at each scale, and `warps` are those of one element of the batch.
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
"""The models with a graph, which are `Runner`s themselves."""

AnyModel: TypeAlias = PersonGraph | DetectorGraph | Method

Runner: TypeAlias = PersonGraph | DetectorGraph | Eager


def runner(model: AnyModel) -> Runner:
    """The runner of a model: itself for a graph, `Eager` for a `Method`."""
    if isinstance(model, Graphs):
        return model
    from manypose.inference.eager import Eager

    return Eager(model)
