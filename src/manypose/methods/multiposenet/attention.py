"""A PRN with attention between candidates instead of a perceptron over cells; smaller, and aware of overlapping boxes.

`AttentionPRN` can replace a `PRN`. Each pair of a box and a candidate in it is a token that encodes the joint type and the position in
the box. Each layer has attention between the candidates of a box, then between the boxes of a candidate. It has hundreds of times fewer
weights than the paper's PRN, which does not consider other boxes.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from manypose.methods.multiposenet.region_maps import stamps
from manypose.methods.multiposenet.roi import Regions
from manypose.poses.skeleton import COCO, Skeleton, named

__all__ = ["AttentionPRN"]

Groups = list[tuple[Tensor, Tensor]]
"""Batches of groups of similar size: token rows (g, t), and a mask of those that are not padding."""


class AttentionPRN(nn.Module):
    """``y_k = φ_k(X) + x_k`` at the candidates (Eq. 1), φ by attention.

    Args:
        skeleton: the joints k.
        size: height and width of the grid of learned position embeddings, which are interpolated.
        width: of a token.
        layers: each has attention in the box, attention between boxes and a perceptron.
        heads: of each attention.
        dropout: in the perceptrons.
        gain: see `PRN`.
        margin: see `PRN`.
        extend: see `PRN`.
    """

    def __init__(
        self,
        skeleton: str | Skeleton = COCO,
        size: tuple[int, int] | list[int] = (14, 9),
        width: int = 64,
        layers: int = 3,
        heads: int = 4,
        dropout: float = 0.0,
        gain: float = 2.0,
        margin: float = 0.6,
        extend: float = 0.3,
    ) -> None:
        super().__init__()
        if width % heads or min(width, layers, heads) < 1:
            raise ValueError(f"the width must be a multiple of the heads, and all at least 1; got {width}, {layers} layers, {heads} heads")
        self.skeleton = named(skeleton) if isinstance(skeleton, str) else skeleton
        self.size, self.margin, self.extend = (int(size[0]), int(size[1])), margin, extend
        self.arguments = {
            "size": list(self.size), "width": width, "layers": layers, "heads": heads, "dropout": dropout,
            "margin": margin, "extend": extend,
        }  # fmt: skip
        self.places = nn.Parameter(torch.randn(len(self.skeleton) * self.size[0] * self.size[1], width) * 0.5)
        self.layers = nn.ModuleList(_Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.correction = nn.Linear(width, 1)
        self.gain = nn.Parameter(torch.full((len(self.skeleton),), float(gain)))

    def forward(self, seen: Regions) -> Float[Tensor, " p"]:
        """``y`` before the softmax, for each candidate; `Regions.candidate` identifies a candidate in several boxes."""
        cells, shares = stamps((seen.place + self.extend) / (1 + 2 * self.extend), self.size)
        flat = (cells + (seen.joint * (self.size[0] * self.size[1]))[:, None]).flatten()
        each = torch.arange(len(seen.row), device=seen.row.device) * cells.shape[1]
        x = functional.embedding_bag(flat, self.places, each, mode="sum", per_sample_weights=shares.flatten().to(self.places.dtype))
        boxes = _groups(seen.row)
        rivals = [] if seen.candidate is None else _groups(seen.candidate)
        for layer in self.layers:
            x = layer(x, boxes, rivals)
        return self.correction(self.norm(x))[:, 0] + self.gain[seen.joint] * seen.heights


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.inside, self.between = _Attention(width, heads), _Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, boxes: Groups, rivals: Groups) -> Tensor:
        x = self.inside(x, boxes)
        x = self.between(x, rivals) if rivals else x
        return x + self.mlp(x)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.split, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, groups: Groups) -> Tensor:
        qkv = self.split(self.norm(x))
        out = torch.zeros_like(qkv[:, : x.shape[1]])
        for rows, there in groups:
            q, k, v = qkv[rows].unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=there[:, None, None])
            out = out.index_put((rows[there],), y.transpose(1, 2).flatten(2)[there])
        return x + self.join(out)


def _groups(of: Int[Tensor, " p"]) -> Groups:
    """The tokens of each group, batched by sizes 1, 2, 3-4, 5-8 … to reduce padding."""
    order = of.argsort(stable=True)
    _, count = of[order].unique_consecutive(return_counts=True)
    start, made, low = count.cumsum(0) - count, [], 0
    while len(count) and low < int(count.max()):
        high = max(1, 2 * low)
        some = (count > low) & (count <= high)
        if some.any():
            steps = torch.arange(int(count[some].max()), device=of.device)
            there = steps < count[some][:, None]
            made.append((order[(start[some][:, None] + steps).where(there, start[some][:, None])], there))
        low = high
    return made
