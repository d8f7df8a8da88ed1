"""Hair, brows and beards, painted strand by strand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mespot_lib.synthetic.brushes import (
    BOTTOM,
    blob,
    canvas_axes,
    draw_strokes,
    fill_shape,
    over,
    pink_noise,
    smooth_step,
    soften,
)
from mespot_lib.synthetic.geometry import SIDES, FaceShape, brow_centre, half_width, lip_edges
from mespot_lib.synthetic.look import Look


class HairStyle(NamedTuple):
    """How hair sits on a head; lengths in u.

    Attributes
    ----------
    above, beside : how far the hair stands out over the crown and over the temples.
    reach_y : how far down it hangs beside the face.
    strand : length of a strand.
    flow : name of the direction field the strands follow.
    fringe : how far below the hairline the hair over the forehead reaches.
    over_ears : whether it covers the ears.
    waviness : amplitude of the waves of a strand.
    density : share of opaque hair below the strands.
    """

    above: float
    beside: float
    reach_y: float
    strand: float
    flow: str
    fringe: float = 0.0
    over_ears: bool = False
    waviness: float = 0.0
    density: float = 1.0


STYLES = {
    "crop": HairStyle(9, 4, 8, 16, "forward"),
    "side part": HairStyle(13, 5, 10, 60, "part right"),
    "swept back": HairStyle(13, 4, 5, 40, "back"),
    "buzz": HairStyle(2, 1, 0, 4, "back", density=0.72),
    "receding": HairStyle(6, 3, 8, 22, "back", density=0.8),
    "bald": HairStyle(0, 3, 8, 12, "down", density=0.7),
    "bob": HairStyle(15, 20, 150, 150, "part right", over_ears=True, waviness=2.5),
    "long": HairStyle(14, 15, BOTTOM, 300, "part middle", over_ears=True, waviness=5.0),
    "tied back": HairStyle(8, 2, 2, 60, "back"),
    "fringe": HairStyle(13, 17, BOTTOM, 260, "fringe", fringe=24, over_ears=True, waviness=3.0),
    "curls": HairStyle(26, 18, 26, 16, "curls", over_ears=True),
}

_STRAND_POINTS = 9


def paint_hair(shape: FaceShape, look: Look, rng: np.random.Generator) -> np.ndarray:
    """Paint the hair of the head; premultiplied float32 (H, W, 4), blue-green-red-alpha in [0, 255]."""
    style = STYLES[look.hair_style]
    mask = _hair_mask(shape, look, style, rng)
    mask = mask * _density_on_top(look)
    colour = np.asarray(look.hair, np.float32)
    under = np.concatenate([mask[..., None] * colour * 0.5, 255 * mask[..., None]], 2) * style.density
    layer = np.clip(under, 0, 255).astype(np.uint8)
    roots = _draw_roots(mask, 5200 if style.strand < 40 else 4200, rng)
    strands = _grow(roots, style, shape, look, rng)
    shine = _shine(roots, shape, look) * np.exp(rng.normal(0, 0.24, len(roots)))
    draw_strokes(layer, strands, _tinted(colour, shine), rng.choice([1, 1, 2], len(roots)))
    return layer * _trimmed(shape, style)


def hair_shadow(hair: np.ndarray) -> np.ndarray:
    """What the hair's soft shadow leaves of the light on the skin beside it (H, W, 1)."""
    alpha = np.ascontiguousarray(hair[..., 3]) / 255
    shadow = 0.30 * soften(alpha, 9) + 0.25 * soften(alpha, 3)
    return (1 - shadow * (1 - alpha))[..., None]


def paint_brows(shape: FaceShape, look: Look, rng: np.random.Generator) -> np.ndarray:
    """Paint both brows; premultiplied float32 (H, W, 4)."""
    x, y = canvas_axes()
    layer = np.zeros((y.size, x.size, 4), np.uint8)
    colour = np.asarray(look.hair, np.float32) * 0.75 + np.asarray(look.skin, np.float32) * 0.05
    for side in SIDES:
        hairs = _brow_hairs(shape, 420, rng) * (side, 1)
        draw_strokes(layer, hairs, _tinted(colour, np.exp(rng.normal(0, 0.2, len(hairs)))), 1)
    hairs = layer.astype(np.float32)
    haze = soften(hairs, 2.2)
    return (0.55 * hairs + 0.45 * haze) * look.brow_strength


def _brow_hairs(shape: FaceShape, count: int, rng: np.random.Generator) -> np.ndarray:
    """Hairs (count, points, 2) of the right brow: upright at its inner end, lying down toward the outer one."""
    along = rng.uniform(0, 1, count) ** 0.95
    centre_x, centre_y = brow_centre(shape, along)
    thickness = shape.brow_thickness * np.interp(along, [0, 0.12, 0.6, 1], [0.7, 1, 0.8, 0.22])
    start_y = centre_y + rng.uniform(-1, 1, count) * thickness
    # from above and below they meet at the middle line
    angle = 1.25 - 1.5 * along + 0.35 * (start_y - centre_y) / thickness + rng.normal(0, 0.15, count)
    length = rng.uniform(6, 10, (count, 1))
    steps = np.linspace(0, 1, 4)
    bend = angle[:, None] - 0.35 * steps
    x = centre_x[:, None] + np.cos(bend) * length * steps
    y = start_y[:, None] - np.sin(bend) * length * steps * 0.7
    return np.stack([x, y], 2)


def paint_beard(shape: FaceShape, look: Look, rng: np.random.Generator) -> np.ndarray:
    """Paint the beard; premultiplied float32 (H, W, 4), empty for a shaven face."""
    x, y = canvas_axes()
    if look.beard == "none":
        return np.zeros((y.size, x.size, 4), np.float32)
    density = _beard_density(shape, look.beard, x, y)
    density *= 1 + 0.15 * pink_noise(rng, density.shape, 1.0, 8)
    density = np.clip(density, 0, 1)
    stubble = look.beard == "stubble"
    hairs = _beard_hairs(density, 5000 if stubble else 4200, 1.8 if stubble else 9.0, rng)
    layer = np.zeros((y.size, x.size, 4), np.uint8)
    tones = 0.85 * np.exp(rng.normal(0, 0.25, len(hairs)))
    draw_strokes(layer, hairs, _tinted(np.asarray(look.hair), tones), 1)
    haze = soften(density.astype(np.float32), 2.0)[..., None] * (0.28 if stubble else 0.62)
    under = np.concatenate([haze * np.asarray(look.hair, np.float32) * 0.6, haze * 255], 2)
    return over(layer.astype(np.float32) * (0.35 if stubble else 0.75), under)


def _beard_hairs(density: np.ndarray, count: int, length: float, rng: np.random.Generator) -> np.ndarray:
    """Hairs (count, points, 2) that hang down and a little toward the middle."""
    roots = _draw_roots(density, count, rng)
    angle = (np.pi / 2 - 0.010 * roots[:, 0] + rng.normal(0, 0.3, count))[:, None]
    steps = np.linspace(0, 1, 4) * length * rng.uniform(0.5, 1, (count, 1))
    return roots[:, None] + np.stack([np.cos(angle) * steps, np.sin(angle) * steps], 2)


def _tinted(colour: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """Opaque colours (N, 4) of N strands."""
    colours = np.clip(colour * brightness[:, None], 0, 255)
    return np.concatenate([colours, np.full((len(colours), 1), 255)], 1)


# --- the hair's outline ------------------------------------------------------------------------------------


def _opening_half_width(shape: FaceShape, look: Look, style: HairStyle, y: np.ndarray) -> np.ndarray:
    """Half width of the part of the face that is free of hair, at heights y."""
    top = look.hairline_y + style.fringe
    temple_y = -52.0
    temple_x = 0.79 * shape.cheek_half_width
    rise = np.clip((temple_y - y) / (temple_y - top), 0, 1)
    forehead = temple_x * np.clip(1 - rise**look.hairline_squareness, 0, 1) ** 0.5
    if style.over_ears:
        heights = [temple_y, -10, 60, 120, 170, BOTTOM]
        edge = [0.79, 0.89, 0.92, 0.87, 0.70, 0.60]
    else:
        heights = [temple_y, -30, style.reach_y, BOTTOM]
        edge = [0.79, 0.87, 0.96, 0.97]
    return np.where(y < temple_y, forehead, np.interp(y, heights, np.array(edge) * shape.cheek_half_width))


def _outer_half_width(shape: FaceShape, style: HairStyle, y: np.ndarray) -> np.ndarray:
    """Half width of the hair's outline at heights y."""
    crown = shape.crown_y - style.above
    stretched = shape.crown_y + (y - crown) * (20 - shape.crown_y) / (20 - crown)
    head = half_width(shape, np.where(y < 20, stretched, 20))
    unevenness = 0.07 * style.beside * (np.sin(y / 23 + shape.chin_y) + np.sin(y / 9 + shape.crown_y))
    out = head + style.beside * smooth_step(crown, -60, y) + unevenness
    if style.over_ears:
        out = out + np.interp(y, [20, 120, style.reach_y], [0, 5, 24 if style.reach_y == BOTTOM else -12])
        return np.where(y < style.reach_y, out, 0)
    return np.where(y < -24, out, np.where(y < style.reach_y, half_width(shape, y) - 0.5, 0))


def _trimmed(shape: FaceShape, style: HairStyle) -> np.ndarray:
    """1 inside the hair's outline and a little beyond it, 0 where no strand reaches (H, W, 1)."""
    levels = np.linspace(shape.crown_y - style.above, min(style.reach_y + 1, BOTTOM), 160)
    outer = fill_shape(_mirrored_polygon(_outer_half_width(shape, style, levels), levels))
    return smooth_step(0.04, 0.30, soften(outer, 4.0))[..., None]


def _hair_mask(shape: FaceShape, look: Look, style: HairStyle, rng: np.random.Generator) -> np.ndarray:
    """Soft, ragged mask (H, W) of the hair."""
    x, y = canvas_axes()
    levels = np.linspace(shape.crown_y - style.above, min(style.reach_y + 1, BOTTOM), 160)
    outer = _mirrored_polygon(_outer_half_width(shape, style, levels), levels)
    levels = np.linspace(look.hairline_y + style.fringe, BOTTOM, 220)
    opening = _mirrored_polygon(_opening_half_width(shape, look, style, levels), levels)
    ragged = 0.10 * pink_noise(rng, (y.size, x.size), 0.8, 30).clip(-2, 2)
    inside = smooth_step(0.3, 0.75, soften(fill_shape(outer), 2.0) + ragged)
    free = smooth_step(0.3, 0.75, soften(fill_shape(opening), 3.0) + ragged)
    return (inside * (1 - free)).astype(np.float32)


def _mirrored_polygon(half_widths: np.ndarray, levels: np.ndarray) -> np.ndarray:
    right = np.stack([half_widths, levels], 1)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def _density_on_top(look: Look) -> np.ndarray | float:
    """What age leaves of the hair on top: all of it, bare temples, or a rim above the ears."""
    x, y = canvas_axes()
    if look.hair_style == "bald":
        return smooth_step(-125, -85, y) * smooth_step(82, 104, np.abs(x) - 0.2 * (y + 80))
    if look.hair_style == "receding":
        temples = 1.5 * blob(np.abs(x), y, 64, look.hairline_y + 2, 24, 17)
        thin = 0.35 * blob(x, y, 0, look.hairline_y, 40, 30)
        return np.clip(1 - temples - thin, 0, 1)
    return 1.0


# --- strands -----------------------------------------------------------------------------------------------


def _draw_roots(weight: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` places (count, 2) in u with probability proportional to `weight` (H, W)."""
    x, y = canvas_axes()
    cumulative = np.cumsum(weight.ravel(), dtype=np.float64)
    chosen = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], count))
    rows, columns = np.divmod(np.minimum(chosen, weight.size - 1), weight.shape[1])
    return np.stack([x[0, columns], y[rows, 0]], 1).astype(float) + rng.uniform(-0.25, 0.25, (count, 2))


def _grow(
    roots: np.ndarray, style: HairStyle, shape: FaceShape, look: Look, rng: np.random.Generator
) -> np.ndarray:
    """Strands (N, points, 2) from their roots along the style's direction field."""
    count = len(roots)
    length = style.strand * rng.uniform(0.45, 1.0, count)
    if style.strand > 100:  # long hair: strands end where the hair ends
        length = np.minimum(length, np.maximum(30, style.reach_y + 20 - roots[:, 1]))
    step = (length / (_STRAND_POINTS - 1))[:, None]
    lean = rng.normal(0, 0.16, count)
    if style.flow == "curls":
        turn = rng.choice([-1, 1], count) * rng.uniform(0.35, 0.7, count)
        heading = rng.uniform(0, 2 * np.pi, count)
    points = [roots]
    for number in range(_STRAND_POINTS - 1):
        if style.flow == "curls":
            angle = heading + turn * number
        else:
            angle = _direction(points[-1], style.flow) + lean
            angle = angle + 0.02 * style.waviness * np.sin(points[-1][:, 1] / 11 + lean * 20)
        points.append(points[-1] + step * np.stack([np.cos(angle), np.sin(angle)], 1))
    strands = np.stack(points, 1)
    return _drape(strands, style, shape, look, rng)


def _direction(points: np.ndarray, flow: str) -> np.ndarray:
    """Angle (rad, 0 to the right, pi/2 down) in which hair lies at the places."""
    x, y = points[:, 0], points[:, 1]
    if flow == "back":
        return np.arctan2(-np.ones_like(y), -0.004 * x)
    if flow == "forward":
        radial = np.arctan2(y + 60, x)
        down = np.where(x > 0, 1.45, np.pi - 1.45)
        on_side = smooth_step(-110, -60, y)
        return np.where(on_side > 0.5, down, radial)
    if flow == "down":
        return np.pi / 2 - 0.003 * x
    if flow == "fringe":
        return np.pi / 2 - 0.0035 * x
    part_x = 34.0 if flow == "part right" else 0.0
    away = np.abs(x - part_x)
    return np.arctan2(0.12 + (away / 62) ** 1.6, np.tanh((x - part_x) / 3))


def _drape(
    strands: np.ndarray, style: HairStyle, shape: FaceShape, look: Look, rng: np.random.Generator
) -> np.ndarray:
    """Keep long strands beside the face instead of across it."""
    if style.flow not in ("part right", "part middle", "fringe"):
        return strands
    top = look.hairline_y + style.fringe
    if style.fringe:  # hair over the forehead is cut above the brows
        over_forehead = np.abs(strands[:, 0, 0]) < 84
        strands = _cut(strands, np.where(over_forehead, top + rng.uniform(-3, 5, len(strands)), BOTTOM + 50))
    x, y = strands[..., 0], strands[..., 1]
    edge = _opening_half_width(shape, look, style, y) + rng.exponential(4.0, (len(strands), 1))
    side = np.where(strands[:, :1, 0] >= 0, 1, -1)
    outer = np.maximum(_outer_half_width(shape, style, np.minimum(y, style.reach_y - 1)), edge)
    outer = outer - rng.exponential(2.0, (len(strands), 1))
    inside_face = y > top + 6
    draped = np.where(inside_face, np.maximum(np.abs(x), edge), np.abs(x))
    strands[..., 0] = np.where(inside_face, side, np.sign(x)) * np.minimum(draped, np.maximum(outer, edge))
    return strands


def _cut(strands: np.ndarray, lowest: np.ndarray) -> np.ndarray:
    """Shorten strands that reach below their lowest y (N,): the rest of their points stays at the cut."""
    beyond = strands[..., 1] > lowest[:, None]
    first_beyond = np.where(beyond.any(1), beyond.argmax(1), strands.shape[1])
    kept = np.minimum(np.arange(strands.shape[1])[None], np.maximum(first_beyond - 1, 0)[:, None])
    cut = np.take_along_axis(strands, kept[..., None], 1)
    # the last piece ends at the cut, on the line it was on
    rows = np.flatnonzero(beyond.any(1) & (first_beyond > 0))
    inside, outside = strands[rows, first_beyond[rows] - 1], strands[rows, first_beyond[rows]]
    share = (lowest[rows] - inside[:, 1]) / np.maximum(outside[:, 1] - inside[:, 1], 1e-6)
    end = inside + share[:, None] * (outside - inside)
    after = np.arange(strands.shape[1])[None] >= first_beyond[rows, None]
    cut[rows] = np.where(after[..., None], end[:, None], cut[rows])
    return cut


def _shine(roots: np.ndarray, shape: FaceShape, look: Look) -> np.ndarray:
    """Relative brightness of strands by the light on their roots."""
    x, y = roots[:, 0], roots[:, 1]
    band = 0.6 * np.exp(-0.5 * (((x - 90 * look.light[0]) / 70) ** 2 + ((y + 158) / 22) ** 2))
    turned_away = 0.35 * np.clip(np.abs(x) / 140, 0, 1.2) ** 2
    return np.clip(0.88 + band - turned_away + 0.25 * x / 140 * look.light[0], 0.35, 2.0)


# --- beards ------------------------------------------------------------------------------------------------


def _beard_density(shape: FaceShape, beard: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    upper, _, lower = lip_edges(shape, x)
    wide = shape.mouth_half_width
    off_lips = np.maximum(smooth_step(1, 5, upper - y), smooth_step(1, 5, y - lower))
    off_lips = np.where(np.abs(x) > wide, 1, off_lips)
    moustache_top = shape.nose_base_y + 8 + 0.0065 * x**2
    moustache = smooth_step(moustache_top, moustache_top + 8, y) * smooth_step(
        wide + 10, wide - 12, np.abs(x)
    )
    moustache = moustache * smooth_step(shape.mouth_y + 12, shape.mouth_y - 4, y)
    moustache = moustache * (1 - 0.5 * blob(x, y, 0, shape.nose_base_y + 12, 3.5, 10))
    if beard == "moustache":
        return moustache * off_lips
    chin = smooth_step(shape.mouth_y + 6, shape.mouth_y + 20, y)
    below_lip = 1 - 0.8 * _bare_spots(shape, x, y)
    if beard == "goatee":
        reach = wide + 6 - 0.30 * np.clip(y - shape.mouth_y - 8, 0, None)
        around = smooth_step(reach + 4, reach - 12, np.abs(x)) * below_lip
        return np.maximum(moustache, chin * around) * off_lips * _inside_head(shape, x, y, 4)
    cheek_line = shape.nose_base_y + 20 - 0.010 * np.maximum(np.abs(x) - 40, 0) ** 2
    fade = 34 if beard == "stubble" else 16
    cheeks = smooth_step(cheek_line, cheek_line + fade, y) * smooth_step(wide - 14, wide + 16, np.abs(x))
    jaw = np.maximum(cheeks, chin * below_lip)
    return np.maximum(moustache, jaw) * off_lips * _inside_head(shape, x, y, 5 if beard == "full" else -3)


def _bare_spots(shape: FaceShape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The two bare spots below the corners of the lower lip."""
    return blob(np.abs(x), y, 22, shape.mouth_y + shape.lower_lip + 6, 9, 6)


def _inside_head(shape: FaceShape, x: np.ndarray, y: np.ndarray, beyond: float) -> np.ndarray:
    """1 inside the head's outline widened by `beyond` u, 0 outside."""
    outline = half_width(shape, y - np.maximum(beyond, 0)) + beyond
    return smooth_step(2, -3, np.abs(x) - outline) * (y < shape.chin_y + max(beyond, 0))
