"""I3D: the Inception-v1 network for pictures, inflated to clips (Carreira and Zisserman, CVPR 2017).

    clip (C, T, H, W)
      1a 7x7x7, all halved -> pool 1, space -> 2b, 2c -> pool 2, space -> 3b, 3c -> pool 3, all -> 480 channels, T / 4
      -> 4b to 4f -> pool 4, all -> 832 channels, T / 8 -> 5b, 5c -> pool 5, mean over space -> 1024 channels

Every convolution is followed by batch norm and ReLU. All sizes are padded as "same" does, so half of an odd size is
rounded up. A width below 1 makes all layers that much narrower.

Kinetics weights are not part of this package. `load_i3d` takes them from a file the user has; layers bear the names of
the published weights, so such a file fits as it is.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

Triple = tuple[int, int, int]

# Channels of an Inception block: 1x1; 1x1, 3x3; 1x1, 3x3; 1x1 after the pooling (Table 1 of Szegedy et al. 2015)
_BLOCKS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
_STEM = {"Conv3d_1a_7x7": 64, "Conv3d_2b_1x1": 64, "Conv3d_2c_3x3": 192}
_NARROWEST = 4  # channels


class WeightsError(ValueError):
    """A file of weights that cannot be read, or that belongs to another network."""


class I3d(nn.Module):
    """The network without its classifier.

    channels : of the clips: 3 for colour, 2 for flow, 1 for grey
    width : factor of the number of channels of all layers
    """

    def __init__(self, channels: int, width: float = 1.0):
        super().__init__()
        layers = stages(width)
        first, second, third = (layers[name] for name in _STEM)
        self.Conv3d_1a_7x7 = Unit(channels, first, (7, 7, 7), (2, 2, 2))
        self.Conv3d_2b_1x1 = Unit(first, second)
        self.Conv3d_2c_3x3 = Unit(second, third, (3, 3, 3))
        before = third
        for name, block in _BLOCKS.items():
            self.add_module(name, Inception(before, [_scaled(c, width) for c in block]))
            before = layers[name]

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps after pools 3, 4 and 5, (B, C, T', H', W') of clips (B, C, T, H, W)."""
        at = self.every_stage(clips)
        return at["pool 3"], at["pool 4"], at["pool 5"]

    def every_stage(self, clips: Tensor) -> dict[str, Tensor]:
        """Return the output of every layer and pool by name.

        The last pool is the mean over space and over two moments. I3D moves it on by one; so that each level of a
        pyramid has half the moments of the one before, here it moves by two.
        """
        at = {"Conv3d_1a_7x7": self.Conv3d_1a_7x7(clips)}
        at["pool 1"] = same_max_pool(at["Conv3d_1a_7x7"], (1, 3, 3), (1, 2, 2))
        at["Conv3d_2b_1x1"] = self.Conv3d_2b_1x1(at["pool 1"])
        at["Conv3d_2c_3x3"] = self.Conv3d_2c_3x3(at["Conv3d_2b_1x1"])
        x = at["pool 2"] = same_max_pool(at["Conv3d_2c_3x3"], (1, 3, 3), (1, 2, 2))
        for name in _BLOCKS:
            x = at[name] = getattr(self, name)(x)
            if name == "Mixed_3c":
                x = at["pool 3"] = same_max_pool(x, (3, 3, 3), (2, 2, 2))
            if name == "Mixed_4f":
                x = at["pool 4"] = same_max_pool(x, (2, 2, 2), (2, 2, 2))
        over_space = x.mean(dim=(-2, -1), keepdim=True)
        at["pool 5"] = nnf.avg_pool3d(over_space, (2, 1, 1), ceil_mode=True)
        return at


class Unit(nn.Module):
    """Convolution with "same" padding, batch norm, ReLU."""

    def __init__(self, before: int, after: int, kernel: Triple = (1, 1, 1), stride: Triple = (1, 1, 1)):
        super().__init__()
        self.conv3d = nn.Conv3d(before, after, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(after, eps=1e-3, momentum=0.1)
        nn.init.kaiming_normal_(self.conv3d.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv3d
        if conv.kernel_size == conv.stride == (1, 1, 1):
            return nnf.relu(self.bn(_mixed(x, conv.weight)), inplace=True)
        before, after = _same_padding(x, conv.kernel_size, conv.stride)
        if before == after:  # without a copy of the clip
            x = nnf.conv3d(x, conv.weight, stride=conv.stride, padding=before)
        else:
            x = conv(_padded(x, before, after))
        return nnf.relu(self.bn(x), inplace=True)


def _mixed(x: Tensor, weight: Tensor) -> Tensor:
    """Return the convolution of x (B, C, T, H, W) with a kernel (O, C, 1, 1, 1).

    On CPUs as a product of matrices, which on the small maps of the later blocks takes a fifth of the time of `conv3d`.
    """
    if x.device.type != "cpu":
        return nnf.conv3d(x, weight)
    return torch.bmm(weight.flatten(1).expand(len(x), -1, -1), x.flatten(2)).unflatten(2, x.shape[2:])


class Inception(nn.Module):
    """Four branches side by side: 1x1; 1x1 then 3x3; the same again, narrower; pooling then 1x1."""

    def __init__(self, before: int, channels: list[int]):
        super().__init__()
        self.b0 = Unit(before, channels[0])
        self.b1a, self.b1b = Unit(before, channels[1]), Unit(channels[1], channels[2], (3, 3, 3))
        self.b2a, self.b2b = Unit(before, channels[3]), Unit(channels[3], channels[4], (3, 3, 3))
        self.b3b = Unit(before, channels[5])

    def forward(self, x: Tensor) -> Tensor:
        pooled = _max_pool(x, (3, 3, 3), (1, 1, 1), padding=1)
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)]
        return torch.cat(branches, dim=1)


def stages(width: float = 1.0) -> dict[str, int]:
    """Return how many channels leave each layer.

    >>> stages()["Mixed_3c"], stages()["Mixed_4f"], stages()["Mixed_5c"]
    (480, 832, 1024)
    """
    stem = {name: _scaled(channels, width) for name, channels in _STEM.items()}
    return stem | {n: sum(_scaled(c[i], width) for i in (0, 2, 4, 5)) for n, c in _BLOCKS.items()}


def parameter_count(model: nn.Module, classes: int = 0) -> int:
    """Return how many numbers are trained, with those of a classifier of so many classes on top of an `I3d`."""
    trunk = sum(p.numel() for p in model.parameters())
    return trunk + (stages()["Mixed_5c"] + 1) * classes


def _scaled(channels: int, width: float) -> int:
    return max(min(_NARROWEST, channels), round(channels * width))


def same_max_pool(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Return the maxima of x (B, C, T, H, W), which is not negative, with "same" padding by zeros."""
    before, after = _same_padding(x, kernel, stride)
    return _max_pool(_padded(x, before, after), kernel, stride)


def _max_pool(x: Tensor, kernel: Triple, stride: Triple, padding: int = 0) -> Tensor:
    """Return `max_pool3d` of x; on CPUs with the channels innermost, which takes a tenth of the time on small maps."""
    if x.device.type == "cpu":
        x = x.contiguous(memory_format=torch.channels_last_3d)
    return nnf.max_pool3d(x, kernel, stride, padding).contiguous()


def _same_padding(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return how many zeros come before and after in each direction; of an odd number the larger part after."""
    sizes = zip(x.shape[-3:], kernel, stride, strict=True)
    totals = [max(0, (-(-size // s) - 1) * s + k - size) for size, k, s in sizes]
    return [total // 2 for total in totals], [total - total // 2 for total in totals]


def _padded(x: Tensor, before: list[int], after: list[int]) -> Tensor:
    if not any(before) and not any(after):
        return x
    pairs = zip(reversed(before), reversed(after), strict=True)  # the last direction first
    return nnf.pad(x, [size for pair in pairs for size in pair])


# ---------------------------------------------------------------------------------------------------------------------
# Weights


def inflated(kernel: Tensor, moments: int) -> Tensor:
    """Return the kernel (O, I, t, h, w) that does to a clip at rest what `kernel` (O, I, h, w) does to its picture."""
    return (kernel / moments).unsqueeze(2).repeat(1, 1, moments, 1, 1)


def load_i3d(path: str | Path, model: I3d) -> None:
    """Fill a network with the weights of a file: `.safetensors`, or a state dict of PyTorch; nothing else is unpickled.

    Names of both published conversions are known; a classifier in the file is left out. Kernels of two dimensions are
    inflated. Kernels for colour are summed for a network that takes grey, which is what grey copied into three channels
    would give.

    Raises
    ------
    WeightsError
        If the file is missing, is not a file of weights, or holds those of another network.
    """
    found = {_our_name(name): value for name, value in _tensors(Path(path)).items()}
    wanted = model.state_dict()
    missing = [n for n in wanted if n not in found and not n.endswith("num_batches_tracked")]
    if missing:
        raise WeightsError(
            f"{path}: not the weights of an I3D: {len(missing)} of {len(wanted)} are not in it, {missing[0]} for one"
        )
    fitted = {name: _fitted(found.get(name, own), own) for name, own in wanted.items()}
    odd = [name for name, value in fitted.items() if value.shape != wanted[name].shape]
    if odd:
        here, there = tuple(wanted[odd[0]].shape), tuple(found[odd[0]].shape)
        raise WeightsError(
            f"{path}: weights of another size: {odd[0]} is {there}, this network needs {here}; published weights fit "
            "width 1, with 3 channels for colour (or 1 for grey) and 2 for flow"
        )
    model.load_state_dict(fitted)


def _fitted(value: Tensor, own: Tensor) -> Tensor:
    """Return a tensor of a file as a network with `own` in its place can use it, if it can."""
    if own.ndim == 5 and value.ndim == 4:
        value = inflated(value, own.shape[2])
    if own.ndim == 5 and value.ndim == 5 and (value.shape[1], own.shape[1]) == (3, 1):
        value = value.sum(dim=1, keepdim=True)
    return value


# The other conversion: branch_1.0 for b1a, and so on
_BRANCHES = {"0": "b0", "1.0": "b1a", "1.1": "b1b", "2.0": "b2a", "2.1": "b2b", "3.1": "b3b"}


def _our_name(name: str) -> str:
    name = name.removeprefix("module.").replace(".batch3d.", ".bn.")
    name = re.sub(r"^(conv3d_\d|mixed_\d)", lambda found: found[0].capitalize(), name)
    return re.sub(r"\.branch_(\d(?:\.\d)?)\.", lambda found: f".{_BRANCHES.get(found[1], found[1])}.", name)


def _tensors(path: Path) -> Mapping[str, Tensor]:
    import pickle

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsError(
            f"{path}: no such file; Kinetics weights of I3D are not part of this package: give a file you have, or "
            "train from scratch without"
        )
    try:
        read = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path}: cannot be read as weights: {' '.join(str(error).split())[:160]}"
        ) from None
    read = read.get("state_dict", read) if isinstance(read, Mapping) else read
    if not isinstance(read, Mapping) or not all(isinstance(value, Tensor) for value in read.values()):
        raise WeightsError(f"{path}: not a state dict, that is tensors by name")
    return read
