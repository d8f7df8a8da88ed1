"""How exact a dense flow is, measured on motion that is known.

Two test beds. A *texture* is moved as a whole by turning the phases of its Fourier coefficients: exact to any fraction
of a pixel, and without the blur of an interpolation. A *drawn face* (`mespot_lib.synthetic`) is photographed at rest
and with one muscle at work; its exact landmarks say where the skin went. Both are synthetic: they rank algorithms and
settings, and say where one of them fails.

Borders are left out everywhere: there no algorithm sees where the picture went.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd

from mespot_lib import face
from mespot_lib.features.flow import Method, dense_flow
from mespot_lib.features.regions import region_boxes, region_means
from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.geometry import SIDES
from mespot_lib.synthetic.identity import make_identity
from mespot_lib.synthetic.muscles import COLUMNS, amplitude_limits, column
from mespot_lib.synthetic.render import Stage, develop, draw_planes, landmarks_px, set_stage
from mespot_lib.synthetic.timeline import FrameState, neutral_state

BORDER_PX = 8
METHODS: tuple[Method, ...] = ("dis", "farneback", "tvl1")
# Where one muscle moves the skin: name -> action unit, and the landmarks that go with it.
PLACES: dict[str, tuple[str, tuple[int, ...]]] = {
    "brows": ("2", (18, 19, 24, 25)),  # the outer brows are raised
    "mouth corners": ("12", (48, 54)),  # pulled up and out
}
REACH_PX = 2  # flow is read in squares of 5 px around a landmark


def moved_texture(
    shift_px: Sequence[float] | np.ndarray,
    *,
    size: int = 128,
    grain_px: float = 1.5,
    contrast: float = 30.0,
    noise_levels: float = 0.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a random texture before and after a shift of the whole: two (size, size) uint8 images.

    shift_px : x, y in px, x right and y down; any fraction. What leaves on one side comes in on the other.
    grain_px : standard deviation of the Gaussian that makes the grain; below 1 px the texture is finer than a camera
        can record
    contrast : standard deviation of the texture in grey levels
    noise_levels : standard deviation in grey levels of noise that is new in each image
    """
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")  # cycles per px
    low_pass = np.exp(-2 * (np.pi * grain_px) ** 2 * (x**2 + y**2))
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) * low_pass
    spectrum[0, 0] = 0
    turned = spectrum * np.exp(-2j * np.pi * (x * shift_px[0] + y * shift_px[1]))
    plain, moved = np.fft.ifft2(spectrum).real, np.fft.ifft2(turned).real
    level = contrast / plain.std()
    before, after = (photographed(128 + level * image, noise_levels, rng) for image in (plain, moved))
    return before, after


def photographed(image: np.ndarray, noise_levels: float, rng: np.random.Generator) -> np.ndarray:
    """Return an image in grey levels as a sensor gives it: with normal noise, rounded and cut to uint8."""
    noisy = image + noise_levels * rng.standard_normal(image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def texture_readout(
    shifts_px: Iterable[float],
    methods: Iterable[Method] = METHODS,
    *,
    repeats: int = 3,
    size: int = 128,
    grain_px: float = 1.5,
    contrast: float = 30.0,
    noise_levels: float = 1.6,
) -> pd.DataFrame:
    """Return what each flow reads of known shifts of a texture, one row per method and shift.

    Every repeat has its own texture and its own direction. Columns, in px: `true`; `read`, the mean over the picture of
    the component along the motion; `bias` = read - true; `spread`, its standard deviation over the pixels; `error`,
    the mean length of the difference of the vectors.
    """
    rows = []
    for true in shifts_px:
        for repeat in range(repeats):
            angle = 0.4 + 2.1 * repeat  # neither along the rows nor along the columns
            direction = np.array([np.cos(angle), np.sin(angle)])
            pair = moved_texture(
                true * direction,
                size=size,
                grain_px=grain_px,
                contrast=contrast,
                noise_levels=noise_levels,
                seed=repeat,
            )
            for method in methods:
                flow = _inside(dense_flow(*pair, method))
                along = flow @ direction
                error = np.linalg.norm(flow - true * direction, axis=-1).mean()
                rows.append((method, true, along.mean(), along.std(), error))
    table = pd.DataFrame(rows, columns=["method", "true", "read", "spread", "error"])
    table = table.groupby(["method", "true"], sort=False, as_index=False).mean()
    table.insert(3, "bias", table["read"] - table["true"])
    return table


def drawn_crops(
    person: int, states: Sequence[FrameState], *, size: int = 128, noise_levels: float = 1.6
) -> tuple[list[np.ndarray], np.ndarray]:
    """Photograph a drawn person in several states with the camera of the default dataset.

    Returns the crops, each (size, size) uint8 grey, all cut with the matrix of the first state, and the exact landmarks
    (N, 68, 2) float32 px in them.
    """
    stage = replace(_stage(person), noise_levels=noise_levels)
    rng = np.random.default_rng(person)
    images = [develop(stage, draw_planes(stage, state), rng) for state in states]
    landmarks = np.stack([landmarks_px(stage, state) for state in states])
    matrix = face.face_matrix(landmarks[0], size)
    return [face.crop_face(image, matrix, size) for image in images], face.transform_points(landmarks, matrix)


def moved_faces(
    peaks_px: Sequence[float], *, size: int = 128, noise_levels: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return faces before and after a bump of motion: (N, S, S) uint8 twice, and the motion (N, S, S, 2) float64 px.

    Each drawn face is rendered at twice the size, so that cubic interpolation of it blurs nothing, and moved by a
    Gaussian bump somewhere in its middle, in a random direction. The motion is exact: in the second picture stands at
    p + motion(p) what stands at p in the first.

    peaks_px : the largest motion, one for each pair; noise_levels : as in `moved_texture`
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size].astype(np.float64)
    before: list[np.ndarray] = []
    after: list[np.ndarray] = []
    motions: list[np.ndarray] = []
    for number, peak in enumerate(peaks_px):
        (big,), _ = drawn_crops(number % 3, [neutral_state()], size=2 * size, noise_levels=0.0)
        centre, angle = rng.uniform(0.3, 0.7, 2) * size, rng.uniform(0, 2 * np.pi)
        bump = functools.partial(_bump, centre=centre, peak=peak * np.array([np.cos(angle), np.sin(angle)]))
        origin = np.stack([x, y], axis=-1)
        for _ in range(30):  # the place that has moved here; the iteration contracts, as the bump is flat
            origin = np.stack([x, y], axis=-1) - bump(origin)
        pictures = [_sampled(big, places) for places in (np.stack([x, y], axis=-1), origin)]
        for side, picture in zip((before, after), pictures, strict=True):
            side.append(photographed(picture, noise_levels, rng))
        motions.append(bump(np.stack([x, y], axis=-1)))
    return np.stack(before), np.stack(after), np.stack(motions)


def _bump(places: np.ndarray, centre: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """Return the motion at places (..., 2) of a square picture: a Gaussian a sixth of its edge wide."""
    width = places.shape[0] / 6
    return np.exp(-((places - centre) ** 2).sum(axis=-1) / (2 * width**2))[..., None] * peak


def _sampled(big: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return a picture drawn at twice the size, at places (H, W, 2) in px of the single size."""
    at = (2 * places + 0.5).astype(np.float32)  # pixel centres
    soft = cv2.GaussianBlur(big.astype(np.float32), (0, 0), 1.0)
    return cv2.remap(soft, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def working(action_unit: str, amplitude_u: float) -> FrameState:
    """Return the state of a face at rest but for one action unit, on both sides, `amplitude_u` strong.

    Raises
    ------
    ValueError
        If the amplitude is beyond what the drawn face can do.
    """
    muscles, columns = np.zeros(COLUMNS, np.float32), [column(action_unit, side) for side in SIDES]
    limit = amplitude_limits()[columns[0]]
    if amplitude_u > limit:
        raise ValueError(
            f"action unit {action_unit} of a drawn face goes up to {limit:g} u, not {amplitude_u:g}"
        )
    muscles[columns] = amplitude_u
    return neutral_state(muscles=muscles)


def muscle_readout(
    amplitudes_u: Iterable[float],
    methods: Iterable[Method] = METHODS,
    *,
    persons: Sequence[int] = (1, 2, 3),
    size: int = 128,
    noise_levels: float = 1.6,
) -> pd.DataFrame:
    """Return what each flow reads of the skin that a muscle has moved: one row per method, place, amplitude, person.

    Columns, in u: `amplitude` of the action unit; `true`, the mean exact displacement of the landmarks of the place;
    `read`, the mean of the measured component along it.
    """
    per_u = size / face.CROP_UNITS
    rows = []
    for place, (action_unit, points) in PLACES.items():
        for amplitude in amplitudes_u:
            for person in persons:
                states = [neutral_state(), working(action_unit, amplitude)]
                crops, landmarks = drawn_crops(person, states, size=size, noise_levels=noise_levels)
                at = landmarks[0, points]
                moved = (landmarks[1, points] - at) / per_u
                for method in methods:
                    read = _read_at(dense_flow(crops[0], crops[1], method), at) / per_u
                    true = np.linalg.norm(moved, axis=1)
                    along = (read * moved).sum(axis=1) / true
                    rows.append((method, place, amplitude, person, true.mean(), along.mean()))
    return pd.DataFrame(rows, columns=["method", "place", "amplitude", "person", "true", "read"])


def noise_floor(
    image: np.ndarray,
    landmarks: np.ndarray,
    conditions: Iterable[tuple[float, float]],
    methods: Iterable[Method] = METHODS,
    *,
    repeats: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what each flow sees where nothing moves: a picture against itself, with new noise, and brighter.

    image : (S, S) grey face crop without noise; landmarks : (68, 2) px in it
    conditions : pairs (standard deviation of the noise in grey levels, relative brightness of the second picture)

    One row per method and condition. Columns, root mean squares of the vectors in px: `pixel`, of single ones;
    `region`, of their means in the regions of `mespot_lib.features.regions`.
    """
    boxes = region_boxes(landmarks, len(image))
    rng = np.random.default_rng(seed)
    rows = []
    for noise_levels, gain in conditions:
        for _ in range(repeats):
            before, after = (photographed(image * level, noise_levels, rng) for level in (1.0, gain))
            for method in methods:
                flow = dense_flow(before, after, method)
                rows.append(
                    (method, noise_levels, gain, _power(_inside(flow)), _power(region_means(flow, boxes)))
                )
    columns = ["method", "noise", "gain", "pixel", "region"]
    table = pd.DataFrame(rows, columns=columns).groupby(columns[:3], sort=False, as_index=False).mean()
    table[columns[3:]] **= 0.5
    return table


@functools.lru_cache(maxsize=4)  # half a second each
def _stage(person: int) -> Stage:
    return set_stage(make_identity(person), replace(SyntheticConfig.casme2(), grey=True), person)


def _inside(flow: np.ndarray) -> np.ndarray:
    return flow[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX].reshape(-1, 2)


def _power(vectors: np.ndarray) -> float:
    return float((vectors**2).sum(axis=-1).mean())


def _read_at(flow: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the mean flow (N, 2) in the squares around points (N, 2)."""
    around = np.arange(-REACH_PX, REACH_PX + 1)
    x, y = np.rint(points).astype(int).T
    return flow[y[:, None, None] + around[:, None], x[:, None, None] + around].mean(axis=(1, 2))
