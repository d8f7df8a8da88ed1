"""The camera: from a person and a timeline to frames and landmarks.

Every frame takes the same path, whether anything moves or not, so that nothing but motion tells an expression from
a face at rest: pixel -> place on the head (inverse similarity) -> place on the turned head (parallax) -> place on
the face at rest (inverse displacement), then one single interpolation of the painting, then furrows, eyes and mouth,
the backdrop, the light, and the sensor's noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mespot_lib.synthetic import eyes
from mespot_lib.synthetic.backdrop import paint_backdrop
from mespot_lib.synthetic.brushes import BOTTOM, LEFT, PAINT_SCALE, RIGHT, TOP
from mespot_lib.synthetic.chance import stream
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.geometry import SIDES, place_lids
from mespot_lib.synthetic.identity import Identity
from mespot_lib.synthetic.mouth import draw_mouth
from mespot_lib.synthetic.muscles import FIELD_STEP, FURROW_STEP, look_up
from mespot_lib.synthetic.timeline import FrameState, Timeline

ORIGIN_ROW = 0.455  # height of the inner eye corners in the frame, share of its height
_PREFILTER_PX = 0.36  # blur of the painting in camera pixels, against aliasing
_COARSE_PX = 2  # smooth maps are computed at every second pixel and interpolated
_MEAN_DEPTH_U = 50.0  # the head turns about a point this deep
_PLATE_MARGIN_PX = 128
_NOISE_FLOOR, _NOISE_PER_LEVEL = 0.4, 0.006  # variance relative to that of mid grey, by grey level
_GLASSES_REACH_U = (160.0, 50.0, 60.0)  # to both sides, above and below the inner eye corners
_GREY_WEIGHTS = np.array([0.114, 0.587, 0.299], np.float32)

Maps = tuple[np.ndarray, np.ndarray]  # x and y of pixels


@dataclass(frozen=True)
class Stage:
    """A person in front of a camera: everything prepared once per video."""

    identity: Identity
    width: int
    height: int
    pixels_per_u: float
    noise_levels: float
    painting: np.ndarray  # uint8 (h, w, planes + 1), premultiplied, last is alpha
    worn: np.ndarray | None
    backdrop: np.ndarray  # float32 (planes, H, W)
    ball: np.ndarray  # float32 (N, N, 3) or (N, N)
    plate: np.ndarray  # float32 (planes, H + margin, W + margin), unit normal

    @property
    def origin(self) -> tuple[float, float]:
        """Pixel position of the middle between the inner eye corners of a head at rest."""
        return self.width / 2, ORIGIN_ROW * self.height


def set_stage(identity: Identity, config: SyntheticConfig, seed: int) -> Stage:
    """Prepare the drawing of one video with that seed."""
    x = (np.arange(config.width, dtype=np.float32)[None] - config.width / 2) / config.pixels_per_u
    y = (
        np.arange(config.height, dtype=np.float32)[:, None] - ORIGIN_ROW * config.height
    ) / config.pixels_per_u
    backdrop = paint_backdrop(identity.shape, identity.look, x, y, stream(seed, "backdrop"))
    ball = identity.eyeball
    if config.grey:
        backdrop, ball = (backdrop @ _GREY_WEIGHTS)[..., None], ball @ _GREY_WEIGHTS
    backdrop = np.moveaxis(backdrop, 2, 0)
    ball = cv2.GaussianBlur(ball, (0, 0), _PREFILTER_PX * eyes.BALL_SCALE / config.pixels_per_u)
    planes = len(backdrop)
    plate_shape = (planes, config.height + _PLATE_MARGIN_PX, config.width + _PLATE_MARGIN_PX)
    return Stage(
        identity=identity,
        width=config.width,
        height=config.height,
        pixels_per_u=config.pixels_per_u,
        noise_levels=config.noise_levels,
        painting=_for_camera(identity.face, config),
        worn=None if identity.worn is None else _for_camera(identity.worn, config),
        backdrop=np.ascontiguousarray(backdrop, np.float32),
        ball=ball,
        plate=stream(seed, "noise").standard_normal(plate_shape, np.float32),
    )


def render_frames(
    identity: Identity, timeline: Timeline, config: SyntheticConfig, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw the frames of a video one after the other.

    Parameters
    ----------
    identity, timeline : who and what.
    config : camera settings; the timeline must have been planned with the same config.
    seed : seed of the video (backdrop and noise).

    Yields
    ------
    image : uint8, (H, W, 3) blue-green-red, or (H, W) if the config says grey.
    landmarks : float32 (68, 2), exact places of the 68 landmarks in pixels.
    """
    stage = set_stage(identity, config, seed)
    rng = stream(seed, "noise")
    for frame in range(len(timeline)):
        state = timeline.state(frame)
        planes = draw_planes(stage, state)
        yield develop(stage, planes, rng), landmarks_px(stage, state)


def draw_planes(stage: Stage, state: FrameState) -> np.ndarray:
    """Draw one frame without noise: float32 (planes, H, W), grey levels."""
    identity = stage.identity
    inverse = _inverse_similarity(stage, state)
    turned, source, face = _coarse_maps(stage, state, inverse)
    furrows = look_up(identity.muscles.shade(state.muscles), source[0], source[1], FURROW_STEP)
    light = _to_full(furrows, stage)

    map_x, map_y = _full_map(stage, inverse, source, face)
    *layers, alpha = _sample(stage.painting, map_x, map_y)
    image = _blend(layers, alpha, light, stage.backdrop)
    _draw_eyes(image, stage, state, map_x, map_y)
    if state.mouth > 0:
        _draw_mouth(image, stage, state, inverse)
    if stage.worn is not None:
        _put_on(image, stage, state, *_full_map(stage, inverse, turned, face))
    image *= np.float32(state.gain)
    return image


def develop(stage: Stage, planes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add the sensor's noise to float planes (planes, H, W) and return the uint8 image.

    The noise is a random window of a plate drawn once: new in every frame, but cheap.
    """
    row, column = rng.integers(0, _PLATE_MARGIN_PX, 2)
    window = stage.plate[:, row : row + stage.height, column : column + stage.width]
    variance = np.maximum(planes, 0)
    variance *= np.float32(_NOISE_PER_LEVEL)
    variance += np.float32(_NOISE_FLOOR)
    noise = np.sqrt(variance, out=variance)
    noise *= window
    noise *= np.float32(stage.noise_levels * (1 if rng.random() < 0.5 else -1))
    noise += planes
    noise += np.float32(0.5)  # rounds, as the conversion cuts
    np.clip(noise, 0, 255, out=noise)
    image = noise.astype(np.uint8)
    return image[0] if len(image) == 1 else cv2.merge(list(image))


def landmarks_px(stage: Stage, state: FrameState) -> np.ndarray:
    """Return the places of the 68 landmarks in pixels, float32 (68, 2)."""
    identity = stage.identity
    at_rest = place_lids(identity.landmarks, identity.shape, state.opening, state.raised)
    field = identity.muscles.field(state.muscles, state.mouth)
    moved = at_rest
    for _ in range(8):  # fixed point of q = P + D(q); converges because the gradient of D stays below .9
        moved = at_rest + _look_up_points(field, moved)
    turned = moved
    for _ in range(4):
        depth = _look_up_points(identity.depth, turned) - _MEAN_DEPTH_U
        turned = moved + depth[:, None] * (state.yaw, state.pitch)
    return _similarity(stage, state, turned).astype(np.float32)


# --- geometry of the camera --------------------------------------------------------------------------------


def _similarity(stage: Stage, state: FrameState, points_u: np.ndarray) -> np.ndarray:
    """Places on the turned head (N, 2) in u -> pixels."""
    scale = stage.pixels_per_u * state.size
    cosine, sine = np.cos(state.roll) * scale, np.sin(state.roll) * scale
    x0, y0 = stage.origin
    x = cosine * points_u[:, 0] - sine * points_u[:, 1] + x0 + state.x * stage.pixels_per_u
    y = sine * points_u[:, 0] + cosine * points_u[:, 1] + y0 + state.y * stage.pixels_per_u
    return np.stack([x, y], 1)


def _inverse_similarity(stage: Stage, state: FrameState) -> np.ndarray:
    """Matrix (2, 3): pixel -> place on the turned head in u."""
    scale = 1 / (stage.pixels_per_u * state.size)
    cosine, sine = np.cos(state.roll) * scale, np.sin(state.roll) * scale
    x0 = stage.origin[0] + state.x * stage.pixels_per_u
    y0 = stage.origin[1] + state.y * stage.pixels_per_u
    return np.array(
        [[cosine, sine, -cosine * x0 - sine * y0], [-sine, cosine, sine * x0 - cosine * y0]], np.float32
    )


def _affine(matrix: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apply a (2, 3) matrix to a grid of pixel positions; returns x and y (rows, columns)."""
    return tuple(
        np.add.outer(row[1] * rows + row[2], row[0] * columns).astype(np.float32, copy=False)
        for row in matrix
    )


def _coarse_maps(stage: Stage, state: FrameState, inverse: np.ndarray) -> tuple[Maps, Maps, Maps]:
    """On every second pixel: place without the turn of the head, and on the face at rest; plus the plain place."""
    identity = stage.identity
    columns = np.arange(stage.width // _COARSE_PX, dtype=np.float32) * _COARSE_PX + (_COARSE_PX - 1) / 2
    rows = np.arange(stage.height // _COARSE_PX, dtype=np.float32) * _COARSE_PX + (_COARSE_PX - 1) / 2
    plain = _affine(inverse, columns, rows)
    depth = look_up(identity.depth, *plain, FIELD_STEP) - np.float32(_MEAN_DEPTH_U)
    turned = (plain[0] - np.float32(state.yaw) * depth, plain[1] - np.float32(state.pitch) * depth)
    shift = look_up(identity.muscles.field(state.muscles, state.mouth), *turned, FIELD_STEP)
    source = (turned[0] - shift[..., 0], turned[1] - shift[..., 1])
    return turned, source, plain


def _full_map(stage: Stage, inverse: np.ndarray, target: Maps, plain: Maps) -> tuple[np.ndarray, np.ndarray]:
    """Positions on the painting's pixels (H, W) for every camera pixel.

    Only the departure from the similarity is interpolated between coarse nodes; it is smooth.
    """
    height, width = stage.painting.shape[:2]
    scales = (width / (RIGHT - LEFT), height / (BOTTOM - TOP))
    to_painting = inverse * np.array(scales, np.float32)[:, None]
    to_painting[:, 2] += np.array([-LEFT * scales[0] - 0.5, -TOP * scales[1] - 0.5], np.float32)
    full = _affine(
        to_painting, np.arange(stage.width, dtype=np.float32), np.arange(stage.height, dtype=np.float32)
    )
    for positions, moved, still, scale in zip(full, target, plain, scales, strict=True):
        positions += _to_full((moved - still) * np.float32(scale), stage)
    return full


def _to_full(coarse: np.ndarray, stage: Stage) -> np.ndarray:
    return cv2.resize(coarse, (stage.width, stage.height), interpolation=cv2.INTER_LINEAR)


def _look_up_points(grid: np.ndarray, points_u: np.ndarray) -> np.ndarray:
    """Read a grid at points (N, 2); returns (N,) or (N, 2)."""
    x, y = points_u.astype(np.float32).T
    return look_up(grid, np.ascontiguousarray(x)[None], np.ascontiguousarray(y)[None], FIELD_STEP)[0]


# --- painting ----------------------------------------------------------------------------------------------


def _for_camera(layer: np.ndarray, config: SyntheticConfig) -> np.ndarray:
    """Reduce a painted layer to twice the camera's resolution, and to grey if asked for."""
    scale = min(PAINT_SCALE, 2 * config.pixels_per_u)
    size = (round((RIGHT - LEFT) * scale), round((BOTTOM - TOP) * scale))
    layer = layer.astype(np.float32)
    if config.grey:
        layer = np.dstack([layer[..., :3] @ _GREY_WEIGHTS, layer[..., 3]])
    reduced = cv2.resize(layer, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(reduced, (0, 0), _PREFILTER_PX * scale / config.pixels_per_u)
    return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)


def _sample(painting: np.ndarray, map_x: np.ndarray, map_y: np.ndarray) -> list[np.ndarray]:
    """Interpolate the painting; a list of float32 planes (H, W), the last is alpha."""
    sampled = cv2.remap(painting, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return [plane.astype(np.float32) for plane in cv2.split(sampled)]


def _blend(
    layers: Sequence[np.ndarray], alpha: np.ndarray, light: np.ndarray, backdrop: np.ndarray
) -> np.ndarray:
    """Premultiplied layers in their light over the backdrop (planes, H, W)."""
    behind = alpha * np.float32(-1 / 255)
    behind += 1
    image = backdrop * behind
    for plane, layer in zip(image, layers, strict=True):
        layer *= light
        plane += layer
    return image


def _put_on(image: np.ndarray, stage: Stage, state: FrameState, map_x: np.ndarray, map_y: np.ndarray) -> None:
    """Composite the glasses over the frame."""
    box = _box(stage, _similarity(stage, state, np.zeros((1, 2)))[0], *_GLASSES_REACH_U)
    if box is None:
        return
    assert stage.worn is not None  # else there is nothing to put on
    *layers, alpha = _sample(stage.worn, map_x[box], map_y[box])
    behind = 1 - alpha * np.float32(1 / 255)
    for plane, layer in zip(image[(slice(None), *box)], layers, strict=True):
        plane *= behind
        plane += layer


def _draw_eyes(
    image: np.ndarray, stage: Stage, state: FrameState, map_x: np.ndarray, map_y: np.ndarray
) -> None:
    shape, look = stage.identity.shape, stage.identity.look
    height, width = stage.painting.shape[:2]
    scales = (width / (RIGHT - LEFT), height / (BOTTOM - TOP))
    middle_x = 0.5 * (shape.eye_inner_x + shape.eye_outer_x)
    for eye, side in enumerate(SIDES):
        centre = np.array([[side * middle_x, 0.0]])
        box = _box(stage, _similarity(stage, state, centre)[0], eyes.REACH_X, eyes.ABOVE, eyes.BELOW)
        if box is None:
            continue
        x = side * ((map_x[box] + 0.5) / np.float32(scales[0]) + np.float32(LEFT))
        y = (map_y[box] + 0.5) / np.float32(scales[1]) + np.float32(TOP)
        eyes.draw_eye(
            image[(slice(None), *box)],
            x,
            y,
            stage.ball,
            shape,
            look,
            side,
            float(state.opening[eye]),
            float(state.raised[eye]),
            state.gaze,
            1 / stage.pixels_per_u,
        )


def _draw_mouth(image: np.ndarray, stage: Stage, state: FrameState, inverse: np.ndarray) -> None:
    shape = stage.identity.shape
    centre = np.array([[0.0, shape.mouth_y + 0.3 * state.mouth]])
    reach_y = state.mouth + 12
    box = _box(stage, _similarity(stage, state, centre)[0], shape.mouth_half_width + 6, reach_y, reach_y)
    if box is None:
        return
    rows, columns = (np.arange(part.start, part.stop, dtype=np.float32) for part in box)
    x, y = _affine(inverse, columns, rows)
    depth = look_up(stage.identity.depth, x, y, FIELD_STEP) - np.float32(_MEAN_DEPTH_U)
    x, y = x - np.float32(state.yaw) * depth, y - np.float32(state.pitch) * depth
    draw_mouth(image[(slice(None), *box)], x, y, shape, state.mouth, 1 / stage.pixels_per_u)


def _box(
    stage: Stage, centre_px: np.ndarray, reach_x_u: float, above_u: float, below_u: float
) -> tuple[slice, slice] | None:
    """The part of the frame around a place, or None if it lies outside; sizes in u."""
    scale = stage.pixels_per_u * 1.05  # a little room for roll, turn and size
    left, right = centre_px[0] - reach_x_u * scale, centre_px[0] + reach_x_u * scale
    top, bottom = centre_px[1] - above_u * scale, centre_px[1] + below_u * scale
    rows = slice(max(0, int(top)), min(stage.height, int(bottom) + 1))
    columns = slice(max(0, int(left)), min(stage.width, int(right) + 1))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    return rows, columns
