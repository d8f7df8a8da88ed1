"""TV-L1 optical flow (Zach, Pock and Bischof 2007), many pairs at a time, on CPU or GPU.

Sought is the flow u = (u1, u2) that minimises, summed over the image,

    lambda |rho(u)| + |grad u1| + |grad u2|        rho(u) = I1(x + u0) + <grad I1(x + u0), u - u0> - I0(x)

with u0 the flow so far, by which the image is warped again and again. A copy v of u, tied to it by
|u - v|^2 / (2 theta), parts the two halves of the problem, which take turns:

    v = u - grad I1 (rho / |grad I1|^2)     the second factor no larger than lambda theta, of either sign
    p = (p + tau/theta grad u) / (1 + tau/theta |grad u|)     Chambolle's step of the dual variable
    u = v + theta div p

From coarse to fine over a pyramid. The number of turns is fixed, so a pair's flow does not depend on the pairs it is
computed with. What the paper leaves open was chosen by the end-point error of planted motion: derivatives over five
pixels of the warped image, warping at twice the size, and a slight blur before all, because sensor noise of one grey
level is as large as the change that a tenth of a pixel makes.

This file needs torch, as the learned methods do; `flow.dense_flow` imports it when it is asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor

_SMALLEST = 16  # px, the coarsest scale
_CPU_PIXELS = (
    100_000  # that are worked on at a time: what the iterations touch then stays in the cache of a core
)
_GPU_PIXELS = 4_000_000
_FLAT = 1e-9
_BETWEEN = (
    3 / 256,
    -25 / 256,
    150 / 256,
    150 / 256,
    -25 / 256,
    3 / 256,
)  # halfway between two pixels, from six
_DERIVATIVE = (1 / 12, -8 / 12, 0.0, 8 / 12, -1 / 12)  # exact for polynomials up to the fourth degree


@dataclass(frozen=True)
class TvL1Config:
    """Settings, with the letters of the paper; grey levels run from 0 to 1.

    lambda_ : weight of the data term; smaller is smoother
    theta : how tightly u and v are tied; tau : step of the dual iteration, at most 1/4
    scales : levels of the pyramid, each half the size of the one above, the coarsest at least 16 px wide
    warps : times the image is warped anew per scale; iterations : turns of u and v per warp
    dual_steps : steps of p per turn
    median : take the median of 3 x 3 flow vectors after each warp (Wedel et al. 2009)
    blur_px : standard deviation of the blur before all, 0 for none
    """

    lambda_: float = 15.0
    theta: float = 0.3
    tau: float = 0.25
    scales: int = 5
    warps: int = 5
    iterations: int = 10
    dual_steps: int = 2
    median: bool = False
    blur_px: float = 0.5


def tvl1_flow(
    first: np.ndarray, second: np.ndarray, config: TvL1Config | None = None, device: str = "cpu"
) -> np.ndarray:
    """Return the motion from `first` to `second`, stacks (N, H, W) of grey levels 0 to 255: (N, H, W, 2) float32 px.

    x comes first; sign and direction as in `mespot_lib.features.flow`.

    Raises
    ------
    ValueError
        If the images are not (N, H, W) of one shape, or smaller than 16 x 16 px.
    """
    if first.ndim != 3 or first.shape != second.shape or min(first.shape[1:]) < _SMALLEST:
        raise ValueError(
            f"TV-L1 needs two stacks (N, H, W) of one shape, H and W from {_SMALLEST} px: got "
            f"{first.shape} and {second.shape}"
        )
    config = config or TvL1Config()
    flow = np.empty((*first.shape, 2), dtype=np.float32)
    with torch.inference_mode():
        for rows in _chunks(first.shape, device):
            start, end = (
                torch.from_numpy(np.array(side[rows], dtype=np.float32)).to(device)[:, None] / 255
                for side in (first, second)
            )
            flow[rows] = _flow(start, end, config).permute(0, 2, 3, 1).cpu().numpy()
    return flow


def _chunks(shape: tuple[int, int, int], device: str) -> Iterator[slice]:
    pixels = _CPU_PIXELS if torch.device(device).type == "cpu" else _GPU_PIXELS
    size = max(1, pixels // (shape[1] * shape[2]))
    for start in range(0, shape[0], size):
        yield slice(start, start + size)


def _flow(first: Tensor, second: Tensor, config: TvL1Config) -> Tensor:
    """Return the flow (N, 2, H, W) of pairs of images (N, 1, H, W) in 0..1, from coarse to fine."""
    pyramid = [(_blurred(first, config.blur_px), _blurred(second, config.blur_px))]
    while len(pyramid) < config.scales and min(pyramid[-1][0].shape[-2:]) // 2 >= _SMALLEST:
        fixed, moving = (_resized(side, [n // 2 for n in side.shape[-2:]]) for side in pyramid[-1])
        pyramid.append((fixed, moving))
    coarsest = pyramid[-1][0]
    u = coarsest.new_zeros(len(coarsest), 2, *coarsest.shape[-2:])
    for fixed, moving in reversed(pyramid):
        if fixed.shape[-2:] != u.shape[-2:]:
            wider, higher = (fixed.shape[axis] / u.shape[axis] for axis in (-1, -2))
            u = _resized(u, fixed.shape[-2:]) * u.new_tensor([wider, higher]).view(1, 2, 1, 1)
        doubled = _doubled(moving)
        for _ in range(config.warps):
            u = _warp_and_solve(fixed[:, 0], doubled, u, config)
            u = _median(u) if config.median else u
    return u


def _warp_and_solve(fixed: Tensor, doubled: Tensor, u0: Tensor, config: TvL1Config) -> Tensor:
    """Return a better flow than `u0` (N, 2, H, W), by which the moving image, doubled, is warped at first."""
    warped = _warped(doubled, u0)
    gradient = torch.stack(_derivatives(warped), dim=1)
    inverse = 1 / (gradient**2).sum(dim=1).clamp_min(_FLAT)
    constant = warped[:, 0] - fixed - (gradient * u0).sum(dim=1)  # rho without the part that u changes
    u, v, rho = u0.clone(), torch.empty_like(u0), torch.empty_like(constant)
    dual = torch.zeros_like(u), torch.zeros_like(u)  # p, by the direction of its derivative
    spare = torch.zeros_like(u), torch.zeros_like(u), torch.empty_like(u)
    most = config.lambda_ * config.theta
    for _ in range(config.iterations):
        torch.addcmul(constant, gradient[:, 0], u[:, 0], out=rho)
        rho.addcmul_(gradient[:, 1], u[:, 1])
        rho.mul_(inverse).clamp_(-most, most)
        torch.addcmul(u, gradient, rho[:, None], value=-1, out=v)
        for _ in range(config.dual_steps):
            _dual_step(u, dual, spare, config.tau / config.theta)
            _primal(u, v, dual, config.theta)
    return u


def _primal(u: Tensor, v: Tensor, dual: tuple[Tensor, Tensor], theta: float) -> None:
    """Write v + theta div p into u."""
    along_x, along_y = dual
    torch.add(v, along_x, alpha=theta, out=u)
    u.add_(along_y, alpha=theta)
    u[..., 1:].sub_(along_x[..., :-1], alpha=theta)
    u[..., 1:, :].sub_(along_y[..., :-1, :], alpha=theta)


def _dual_step(u: Tensor, dual: tuple[Tensor, Tensor], spare: tuple[Tensor, ...], rate: float) -> None:
    """Take one step of p; forward differences, 0 at the far border."""
    along_x, along_y, length = spare
    torch.sub(u[..., 1:], u[..., :-1], out=along_x[..., :-1])
    torch.sub(u[..., 1:, :], u[..., :-1, :], out=along_y[..., :-1, :])
    torch.mul(along_x, along_x, out=length)
    length.addcmul_(along_y, along_y).sqrt_().mul_(rate).add_(1)
    for one, change in zip(dual, (along_x, along_y), strict=True):
        one.add_(change, alpha=rate).div_(length)


# ---------------------------------------------------------------------------------------------------------------------
# Images


def _doubled(image: Tensor) -> Tensor:
    """Return an image (N, 1, H, W) at twice the size, (N, 1, 2 H - 1, 2 W - 1): between any two pixels a new one.

    Values between come from polynomials through six neighbours. Linear interpolation of what is returned is exact
    enough for tenths of a pixel; torch's bicubic one (a = -0.75) is not: its slope at a pixel is 1.5 times too steep.
    """
    taps = image.new_tensor(_BETWEEN)
    for axis in (-1, -2):
        shape = [1, 1, 1, 1]
        shape[axis] = len(taps)
        pad = (2, 2, 0, 0) if axis == -1 else (0, 0, 2, 2)
        between = nnf.conv2d(nnf.pad(image, pad, mode="replicate"), taps.view(shape))
        size = list(image.shape)
        size[axis] = 2 * size[axis] - 1
        image, whole = image.new_empty(size), image
        image.movedim(axis, -1)[..., ::2] = whole.movedim(axis, -1)
        image.movedim(axis, -1)[..., 1::2] = between.movedim(axis, -1)
    return image


def _warped(doubled: Tensor, u: Tensor) -> Tensor:
    """Return an image, given at twice its size (N, 1, 2 H - 1, 2 W - 1), where the flow (N, 2, H, W) points to."""
    height, width = u.shape[-2:]
    y, x = (torch.arange(n, dtype=u.dtype, device=u.device) for n in (height, width))
    place = torch.stack(
        [(x + u[:, 0]) * (2 / (width - 1)) - 1, (y[:, None] + u[:, 1]) * (2 / (height - 1)) - 1], dim=-1
    )
    return nnf.grid_sample(doubled, place, padding_mode="border", align_corners=True)


def _derivatives(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the derivatives of an image (N, 1, H, W) in x and y, (N, H, W) each."""
    taps = image.new_tensor(_DERIVATIVE)
    padded = nnf.pad(image, (2, 2, 2, 2), mode="replicate")
    in_x = nnf.conv2d(padded[:, :, 2:-2], taps.view(1, 1, 1, 5))
    in_y = nnf.conv2d(padded[:, :, :, 2:-2], taps.view(1, 1, 5, 1))
    return in_x[:, 0], in_y[:, 0]


def _blurred(image: Tensor, sigma_px: float) -> Tensor:
    if not sigma_px:
        return image
    reach = int(np.ceil(3 * sigma_px))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / sigma_px) ** 2).to(
        image.dtype
    )
    taps /= taps.sum()
    padded = nnf.pad(image, (reach,) * 4, mode="replicate")
    return nnf.conv2d(nnf.conv2d(padded, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))


def _resized(image: Tensor, size: Sequence[int]) -> Tensor:
    return nnf.interpolate(image, size=tuple(size), mode="bilinear", antialias=True, align_corners=False)


# Exchanges that leave the median of nine in place 4 (Smith 1996); an exchange puts the smaller of two first.
_EXCHANGES = "12 45 78 01 34 67 12 45 78 03 58 47 36 14 25 47 42 64 42"


def _median(u: Tensor) -> Tensor:
    """Return the medians of 3 x 3 neighbours, of each component by itself."""
    height, width = u.shape[-2:]
    padded = nnf.pad(u, (1, 1, 1, 1), mode="replicate")
    nine = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    for low, high in (map(int, pair) for pair in _EXCHANGES.split()):
        nine[low], nine[high] = torch.minimum(nine[low], nine[high]), torch.maximum(nine[low], nine[high])
    return nine[4].contiguous()
