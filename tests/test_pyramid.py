"""The pyramid: an example by hand, what reaches what, weights that stay positive."""

import pytest
import torch
from torch import nn

from mespot_lib.pyramid import FUSIONS, Node, Pyramid, PyramidLayer, SqueezeExcite, longer, shorter

CHANNELS = 4


def inputs(levels: int = 5, finest: int = 32, seed: int = 0, **options) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return [torch.rand(2, CHANNELS, finest >> level, **options) for level in range(levels)]


def plain(layer: PyramidLayer) -> PyramidLayer:
    """The layer with convolutions that change nothing."""
    for node in layer.modules():
        if isinstance(node, Node):
            node.conv = nn.Identity()
    return layer


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 1, -1)


FINE, MIDDLE, COARSE = row(1, 2, 3, 4), row(10, 20), row(100)


def test_bifpn_of_three_levels_by_hand():
    fine, middle, coarse = plain(PyramidLayer(3, 1, "bifpn"))([FINE, MIDDLE, COARSE])
    # from above: middle (10 + 100) / 2 = 55, (20 + 100) / 2 = 60; fine (1 + 55) / 2, (2 + 55) / 2, (3 + 60) / 2 ...
    assert fine.flatten().tolist() == pytest.approx([28, 28.5, 31.5, 32], rel=1e-3)
    # from below: input, from above, maxima of the fine level in twos: (10 + 55 + 28.5) / 3, (20 + 60 + 32) / 3
    assert middle.flatten().tolist() == pytest.approx([93.5 / 3, 112 / 3], rel=1e-3)
    # input and the maximum of the middle: (100 + 112 / 3) / 2
    assert coarse.flatten().tolist() == pytest.approx([(100 + 112 / 3) / 2], rel=1e-3)


def test_fpn_and_panet_of_three_levels_by_hand():
    out = plain(PyramidLayer(3, 1, "fpn"))([FINE, MIDDLE, COARSE])
    assert [x.flatten().tolist() for x in out] == [[111, 112, 123, 124], [110, 120], [100]]
    out = plain(PyramidLayer(3, 1, "panet"))([FINE, MIDDLE, COARSE])
    assert [x.flatten().tolist() for x in out] == [[111, 112, 123, 124], [222, 244], [344]]


def test_the_pass_from_below_can_see_another_input():
    layer = plain(PyramidLayer(3, 1, "bifpn"))
    again = [FINE, MIDDLE + 3, COARSE + 2]
    before, after = layer([FINE, MIDDLE, COARSE]), layer([FINE, MIDDLE, COARSE], again)
    assert torch.equal(before[0], after[0])
    assert (after[1] - before[1]).flatten().tolist() == pytest.approx([1, 1], rel=1e-3)
    assert (after[2] - before[2]).flatten().tolist() == pytest.approx([1.5], rel=1e-3)


def test_weights_are_shares_that_ignore_their_scale():
    node = Node(CHANNELS, 3, "bifpn")
    assert node.shares().tolist() == pytest.approx([1 / 3] * 3, abs=1e-4)
    node.weights.data = torch.tensor([6.0, 2.0, -1.0])
    assert node.shares().tolist() == pytest.approx([0.75, 0.25, 0], abs=1e-4)
    node.weights.data = torch.tensor([-6.0, -2.0, -1.0])
    assert node.shares().tolist() == [0, 0, 0]  # and not a division by zero


def test_weights_stay_positive_whatever_is_learnt():
    layer = PyramidLayer(5, CHANNELS, "bifpn")
    steps = torch.optim.SGD(layer.parameters(), lr=2.0)
    for seed in range(20):
        loss = sum(x.square().mean() for x in layer(inputs(seed=seed)))  # pulls everything towards nothing
        steps.zero_grad()
        loss.backward()
        steps.step()
    shares = layer.shares()
    assert len(shares) == 8
    assert all((one >= 0).all() and one.sum() <= 1 for one in shares.values())
    assert any((node.weights < 1).any() for node in layer.from_below)  # they were pulled at


@pytest.mark.parametrize("fusion", FUSIONS)
def test_which_level_reaches_which(fusion):
    layer = PyramidLayer(5, CHANNELS, fusion).eval()
    for value in layer.parameters():
        value.data = value.data.abs() + 0.01  # nothing closes a ReLU, nothing cancels
    given = inputs(requires_grad=True)
    for level, out in enumerate(layer(given)):
        reached = [
            g.abs().sum() > 0
            for g in torch.autograd.grad(
                out.sum(), given, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        ]
        assert reached == [fusion != "fpn" or other >= level for other in range(5)]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_pyramid_adds_levels_and_keeps_their_lengths(fusion):
    features = [torch.rand(2, c, t) for c, t in ((6, 32), (8, 16), (10, 8))]
    out = Pyramid((6, 8, 10), 5, CHANNELS, fusion, repeats=2)(features)
    assert [tuple(x.shape) for x in out] == [(2, CHANNELS, t) for t in (32, 16, 8, 4, 2)]


def test_every_part_of_a_pyramid_is_trained():
    features = [torch.rand(2, c, t) for c, t in ((6, 32), (8, 16), (10, 8))]
    for fusion in FUSIONS:
        net = Pyramid((6, 8, 10), 5, CHANNELS, fusion)
        sum(x.sum() for x in net(features)).backward()
        assert all(p.grad is not None for p in net.parameters()), fusion


def test_fusions_differ_in_what_they_add():
    count = {fusion: sum(p.numel() for p in PyramidLayer(5, 32, fusion).parameters()) for fusion in FUSIONS}
    assert count["fpn"] < count["bifpn"] < count["panet"] < count["bifpn_se"]


def test_excitation_is_between_nothing_and_all():
    x = torch.rand(2, CHANNELS, 7)
    out = SqueezeExcite(CHANNELS)(x)
    factor = out / x
    assert ((factor > 0) & (factor < 1)).all()
    assert torch.allclose(factor, factor[..., :1].expand_as(factor), atol=1e-5)  # the same at all moments


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_lengths_that_are_odd_go_down_and_up_again(length):
    x = torch.rand(1, 2, length)
    down = shorter(x)
    assert down.shape[-1] == -(-length // 2)
    assert longer(down, length).shape == x.shape
    assert (longer(down, length) >= x).all()
