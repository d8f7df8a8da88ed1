"""The shape of a face: its measures, its curves and its 68 landmarks, all in face units (u) and closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UPPER_LID_SHARE = 0.61  # of the eye's opening lies above the line through its corners
SIDES = (-1, 1)  # left and right half of the *image*; x of a feature on side s is s times its distance


@dataclass(frozen=True)
class FaceShape:
    """Measures of a face in u (a real inner-eye distance of 31 mm makes 1 u about half a millimetre)."""

    cheek_half_width: float
    jaw_fullness: float  # exponent of the jaw's superellipse: 2 pointed, 3.4 square
    chin_y: float
    crown_y: float
    eye_inner_x: float
    eye_outer_x: float
    eye_height: float  # of the open eye
    eye_tilt: float  # y of the outer corner; negative is up
    iris_radius: float
    brow_y: float
    brow_thickness: float
    brow_arch: float
    nose_half_width: float
    nose_tip_y: float
    nose_base_y: float
    mouth_half_width: float
    mouth_y: float
    upper_lip: float
    lower_lip: float
    ear_reach: float  # how far the ears stand out


def draw_shape(rng: np.random.Generator, masculinity: float) -> FaceShape:
    """Draw the measures of a face; `masculinity` in [0, 1] leans jaw, brows, lips and eyes."""

    def leaning(feminine: float, masculine: float, spread: float) -> float:
        return float(feminine + (masculine - feminine) * masculinity + rng.uniform(-spread, spread))

    return FaceShape(
        cheek_half_width=leaning(129, 134, 7),
        jaw_fullness=leaning(2.35, 2.85, 0.3),
        chin_y=leaning(209, 219, 6),
        crown_y=float(rng.uniform(-194, -184)),
        eye_inner_x=float(rng.uniform(31, 33.5)),
        eye_outer_x=float(rng.uniform(88, 95)),
        eye_height=leaning(23.5, 21, 1.5),
        eye_tilt=float(rng.uniform(-6, 0.5)),
        iris_radius=float(rng.uniform(11.6, 12.8)),
        brow_y=leaning(-50, -44, 3),
        brow_thickness=leaning(4.4, 6.6, 0.9),
        brow_arch=leaning(9, 5.5, 2.5),
        nose_half_width=leaning(31, 35, 3),
        nose_tip_y=float(rng.uniform(73, 82)),
        nose_base_y=float(rng.uniform(93, 100)),
        mouth_half_width=float(rng.uniform(46, 55)),
        mouth_y=float(rng.uniform(137, 145)),
        upper_lip=leaning(10.5, 8.5, 1.5),
        lower_lip=leaning(14.5, 12.5, 2),
        ear_reach=float(rng.uniform(9, 15)),
    )


def half_width(shape: FaceShape, y: np.ndarray | float) -> np.ndarray:
    """Half width of the head (without ears) at height y; 0 above the crown and below the chin."""
    widest_y = 12.0
    below = np.clip((y - widest_y) / (shape.chin_y - widest_y), 0, 1)
    above = np.clip((widest_y - y) / (widest_y - shape.crown_y), 0, 1)
    jaw = (1 - below**shape.jaw_fullness) ** 0.46
    skull = (1 - above**2.9) ** 0.47
    return shape.cheek_half_width * np.where(np.asarray(y) > widest_y, jaw, skull)


def head_outline(shape: FaceShape, points: int = 120) -> np.ndarray:
    """Closed outline of the head (points, 2)."""
    angle = np.linspace(0, np.pi, points // 2)
    middle, radius = (shape.chin_y + shape.crown_y) / 2, (shape.chin_y - shape.crown_y) / 2
    y = middle - radius * np.cos(angle)
    right = np.stack([half_width(shape, y), y], 1)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def brow_centre(shape: FaceShape, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre line of the right brow, (x, y), for `along` from 0 (inner end) to 1 (outer end)."""
    x = 21 + 82 * along
    y = shape.brow_y + 6 - shape.brow_arch * np.sin(np.pi * (along * 0.86 + 0.02)) - 2.5 * along
    return x, y


def lid_margins(
    shape: FaceShape, along: np.ndarray, opening: np.ndarray | float, raised: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Heights y of the upper and the lower lid margin of an eye.

    Parameters
    ----------
    along : position from 0 (inner corner) to 1 (outer corner).
    opening : 1 at rest, 0 shut, above 1 wide open.
    raised : share of its depth by which the lower lid is raised.
    """
    corner_line = shape.eye_tilt * along
    lower = corner_line + (1 - UPPER_LID_SHARE) * shape.eye_height * (1 - raised) * _arch(along, 0.85, 0.62)
    upper = corner_line - UPPER_LID_SHARE * shape.eye_height * opening * _arch(along, 0.60, 0.66)
    shut = np.clip(1 - opening, 0, 1)
    upper = upper + shut * 0.86 * (lower - corner_line)  # the upper lid comes down onto the lower one
    return np.minimum(upper, lower), lower


def _arch(along: np.ndarray, inner_power: float, outer_power: float) -> np.ndarray:
    """Arch over 0..1 with height 1, steep or flat at each end."""
    peak = inner_power / (inner_power + outer_power)
    height = peak**inner_power * (1 - peak) ** outer_power
    along = np.clip(along, 0, 1)
    return along**inner_power * (1 - along) ** outer_power / height


def lip_edges(shape: FaceShape, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Upper edge, parting line and lower edge of the lips at x; meaningful for |x| <= mouth_half_width."""
    t = np.clip(np.abs(x) / shape.mouth_half_width, 0, 1)
    bow = 1.08 * (1 - t**1.7) ** 0.9 - 0.24 * np.exp(-0.5 * (x / 6.0) ** 2)
    parting = shape.mouth_y + 1.6 * np.cos(t * np.pi * 1.6) * (1 - t) - 1.2 * t**3
    upper = shape.mouth_y - shape.upper_lip * bow - 1.2 * t**3
    lower = shape.mouth_y + shape.lower_lip * 1.02 * (1 - t**2.0) ** 0.85 - 1.2 * t**3
    return upper, parting, lower


def nasolabial_distance(shape: FaceShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Horizontal distance (u, positive) to the fold from the nose wing to beside the mouth corner."""
    return np.abs(np.abs(x) - (shape.nose_half_width + 3 + 0.46 * (y - shape.nose_base_y)))


def neutral_landmarks(shape: FaceShape) -> np.ndarray:
    """The 68 landmarks of the face at rest (68, 2), numbered as by dlib; `place_lids` moves those of the lids."""
    landmarks = np.zeros((68, 2))
    landmarks[:17] = _jaw_landmarks(shape)
    along = np.linspace(0, 1, 5)
    brow = np.stack(brow_centre(shape, along), 1)
    landmarks[22:27] = brow
    landmarks[17:22] = (brow * (-1, 1))[::-1]
    landmarks[27:31, 1] = np.linspace(2, shape.nose_tip_y, 4)
    across = np.array([-1, -0.5, 0, 0.5, 1])
    landmarks[31:36, 0] = across * 0.62 * shape.nose_half_width
    landmarks[31:36, 1] = shape.nose_base_y - 4 * np.abs(across)
    landmarks[48:68] = _mouth_landmarks(shape)
    return place_lids(landmarks, shape, np.ones(2), np.zeros(2))


def _jaw_landmarks(shape: FaceShape) -> np.ndarray:
    angle = np.linspace(0, np.pi, 17)
    y = 5 + (shape.chin_y - 7 - 5) * np.sin(angle) ** 0.85
    jaw = np.stack([-np.sign(np.cos(angle)) * 0.965 * half_width(shape, y), y], 1)
    jaw[8, 0] = 0
    return jaw


def _mouth_landmarks(shape: FaceShape) -> np.ndarray:
    """Twelve outer and eight inner points of the lips."""
    outer_top = np.array([-1, -0.62, -0.22, 0, 0.22, 0.62, 1]) * shape.mouth_half_width
    outer_bottom = np.array([0.62, 0.25, 0, -0.25, -0.62]) * shape.mouth_half_width
    inner_top = np.array([-0.9, -0.35, 0, 0.35, 0.9]) * shape.mouth_half_width
    inner_bottom = np.array([0.35, 0, -0.35]) * shape.mouth_half_width
    # the inner contours lie a little off the parting line, each on its own lip
    return np.concatenate(
        [
            np.stack([outer_top, lip_edges(shape, outer_top)[0]], 1),
            np.stack([outer_bottom, lip_edges(shape, outer_bottom)[2]], 1),
            np.stack([inner_top, lip_edges(shape, inner_top)[1] - 0.4], 1),
            np.stack([inner_bottom, lip_edges(shape, inner_bottom)[1] + 0.4], 1),
        ]
    )


# Of the left and of the right eye of the image: landmark, position along the eye, and 0 upper or 1 lower lid.
_LID_LANDMARKS = np.array([[39, 38, 37, 36, 41, 40], [42, 43, 44, 45, 46, 47]])
_LID_ALONG = np.array([0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
_IS_LOWER = np.array([False, False, False, False, True, True])


def place_lids(
    landmarks: np.ndarray, shape: FaceShape, opening: np.ndarray, raised: np.ndarray
) -> np.ndarray:
    """Return landmarks (68, 2) with the twelve eye points where the lids are, given their state (2,) each."""
    placed = landmarks.copy()
    for eye, side in enumerate(SIDES):
        upper, lower = lid_margins(shape, _LID_ALONG, opening[eye], raised[eye])
        width = shape.eye_outer_x - shape.eye_inner_x
        placed[_LID_LANDMARKS[eye], 0] = side * (shape.eye_inner_x + _LID_ALONG * width)
        placed[_LID_LANDMARKS[eye], 1] = np.where(_IS_LOWER, lower, upper)
    return placed
