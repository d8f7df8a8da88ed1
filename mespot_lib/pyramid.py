"""Features of several durations, fused: FPN, PANet and BiFPN over time (Tan, Pang and Le, CVPR 2020).

A pyramid has levels, from the finest, of many moments, to the coarsest; each has half the moments of the one before.

    from above    coarsest -> ... -> finest     a level gets its input and the level above, doubled in length
    from below    finest -> ... -> coarsest     then what that gave and the level below, halved

    fpn        from above only
    panet      then from below, each level after itself; sums
    bifpn      no nodes of one input, the input enters from below once more, sums with learnt weights
    bifpn_se   the same with squeeze-and-excitation of each input before it is weighed

Learnt weights go through a ReLU and are divided by their sum, "fast normalised fusion"; equations (1) and (2) of He et
al. 2023.
"""

from collections.abc import Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

Fusion = Literal["fpn", "panet", "bifpn", "bifpn_se"]
FUSIONS: tuple[Fusion, ...] = ("fpn", "panet", "bifpn", "bifpn_se")
_EPSILON = 1e-4  # equations (1) and (2); the value is that of Tan et al.


class SeparableConv(nn.Module):
    """Depthwise convolution over three moments, 1x1 convolution, batch norm, ReLU."""

    def __init__(self, channels: int):
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv1d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.pointwise(self.depthwise(x))))


class SqueezeExcite(nn.Module):
    """Channels weighed by what their means over time say (Hu et al. 2018)."""

    def __init__(self, channels: int, reduction: int = 4):
        super().__init__()
        inner = max(1, channels // reduction)
        self.gate = nn.Sequential(
            nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean(dim=2)).unsqueeze(2)


class Node(nn.Module):
    """A sum of inputs of one length, then a convolution."""

    def __init__(self, channels: int, inputs: int, fusion: Fusion):
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs)) if fusion in ("bifpn", "bifpn_se") else None
        self.attention = nn.ModuleList(
            SqueezeExcite(channels) if fusion == "bifpn_se" else nn.Identity() for _ in range(inputs)
        )
        self.conv = SeparableConv(channels)

    def shares(self) -> Tensor:
        """Return with what factor each input enters the sum; never negative."""
        if self.weights is None:
            return torch.ones(len(self.attention))
        positive = torch.relu(self.weights)
        return positive / (positive.sum() + _EPSILON)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the fusion (B, C, T) of inputs (B, C, T)."""
        seen = [attend(x) for attend, x in zip(self.attention, inputs, strict=True)]
        return self.conv(sum(share * x for share, x in zip(self.shares(), seen, strict=True)))


class PyramidLayer(nn.Module):
    """One pass from above and, but for FPN, one from below."""

    def __init__(self, levels: int, channels: int, fusion: Fusion):
        super().__init__()
        skip = fusion in ("bifpn", "bifpn_se")
        self.top = None if skip else Node(channels, 1, fusion)
        self.from_above = nn.ModuleList(Node(channels, 2, fusion) for _ in range(levels - 1))
        upward = [3 if skip and level < levels - 1 else 2 for level in range(1, levels)]
        self.from_below = nn.ModuleList(
            Node(channels, inputs, fusion) for inputs in upward if fusion != "fpn"
        )
        self.skip = skip

    def forward(self, inputs: Sequence[Tensor], again: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return the fused levels, finest first, of inputs (B, C, T) by level.

        again : what the pass from below sees of the inputs, if that is something else
        """
        again = inputs if again is None else again
        down = [inputs[-1] if self.top is None else self.top(inputs[-1])]
        for node, x in zip(reversed(self.from_above), reversed(inputs[:-1]), strict=True):
            down.append(node(x, longer(down[-1], x.shape[-1])))
        down.reverse()
        if not len(self.from_below):
            return down
        out = [down[0]]
        for level, node in enumerate(self.from_below, start=1):
            middle = [down[level]] if level < len(inputs) - 1 or not self.skip else []
            own = [again[level]] if self.skip else []
            out.append(node(*own, *middle, shorter(out[-1])))
        return out

    def shares(self) -> dict[str, Tensor]:
        """Return the factors of each node's inputs by name, as `Node.shares`; levels count from 0, the finest."""
        named = {f"{level} from above": node for level, node in enumerate(self.from_above)}
        named |= {f"{level} from below": node for level, node in enumerate(self.from_below, start=1)}
        return {name: cast(Node, node).shares().detach() for name, node in named.items()}


class Pyramid(nn.Module):
    """Features of a network as levels of one width, coarser levels added, and layers of fusion.

    features : channels of each given feature, finest first; levels : how many in all, the further ones by halving
    """

    def __init__(self, features: Sequence[int], levels: int, channels: int, fusion: Fusion, repeats: int = 1):
        super().__init__()
        self.extra = levels - len(features)
        self.lateral = nn.ModuleList(_lateral(before, channels) for before in features)
        # the middle levels enter twice, each time through a lateral of its own (P4_in_1, P4_in_2 of Figure 3)
        middle = features[1:] if fusion in ("bifpn", "bifpn_se") else ()
        self.lateral_again = nn.ModuleList(_lateral(before, channels) for before in middle)
        self.beyond = _lateral(features[-1], channels)
        self.layers = nn.ModuleList(PyramidLayer(levels, channels, fusion) for _ in range(repeats))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the levels (B, channels, T), finest first, of features (B, C, T)."""
        inputs = [lateral(x) for lateral, x in zip(self.lateral, features, strict=True)]
        again = inputs[:1] + [
            lateral(x) for lateral, x in zip(self.lateral_again, features[1:], strict=False)
        ]
        coarser, x = [], self.beyond(features[-1])
        for _ in range(self.extra):
            x = shorter(x)
            coarser.append(x)
        levels = self.layers[0]([*inputs, *coarser], [*again, *coarser] if self.lateral_again else None)
        for layer in self.layers[1:]:
            levels = layer(levels)
        return levels


def longer(x: Tensor, length: int) -> Tensor:
    """Return x (B, C, T) with each moment repeated, to another length."""
    return nnf.interpolate(x, size=length, mode="nearest")


def shorter(x: Tensor) -> Tensor:
    """Return the maxima of every two moments of x (B, C, T); of an odd number the last stands alone."""
    return nnf.max_pool1d(x, 2, ceil_mode=True)


def _lateral(before: int, channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv1d(before, channels, 1, bias=False), nn.BatchNorm1d(channels))
