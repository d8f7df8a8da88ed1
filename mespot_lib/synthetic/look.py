"""The outward look of a person: colours, hair, beard, glasses, age and the light that falls on the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]  # blue, green, red in [0, 255], as OpenCV orders them

# skin in full light, from dark to pale
_SKIN_TONES = np.array(
    [[58, 74, 108], [74, 100, 148], [98, 132, 184], [132, 164, 212], [160, 188, 230], [178, 202, 238]], float
)
_HAIR_COLOURS: dict[str, Colour] = {
    "black": (26, 24, 26),
    "dark brown": (30, 38, 54),
    "brown": (42, 60, 88),
    "auburn": (38, 62, 112),
    "blond": (96, 146, 188),
    "grey": (138, 140, 144),
}
_IRIS_COLOURS: dict[str, Colour] = {
    "dark brown": (24, 38, 62),
    "brown": (34, 60, 96),
    "hazel": (52, 96, 122),
    "green": (80, 116, 108),
    "blue": (152, 122, 92),
    "grey": (138, 132, 122),
}
# styles of `hair.STYLES` that men and women draw from
_SHORT = ("crop", "side part", "swept back", "buzz", "receding", "bald", "curls")
_LONG = ("bob", "long", "tied back", "fringe", "side part", "curls", "long")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")


@dataclass(frozen=True)
class Look:
    """Colours are (blue, green, red); `age` and `masculinity` lie in [0, 1]."""

    age: float
    masculinity: float
    skin: Colour
    skin_tone: float  # 0 dark .. 1 pale
    lips: Colour
    iris: Colour
    hair: Colour
    hair_style: str
    hairline_y: float
    hairline_squareness: float  # exponent of the hairline's curve: 2.5 round, 5 square
    brow_strength: float
    beard: str
    glasses: str  # "none", "round", "square" or "half rim"
    freckles: int
    light: tuple[float, float, float]  # unit vector toward the key light: x right, y down, z to the camera
    ambient: float  # share of the light that comes from everywhere


def draw_look(rng: np.random.Generator) -> Look:
    """Draw the look of a person."""
    masculinity = float(rng.choice([rng.uniform(0, 0.25), rng.uniform(0.75, 1)]))
    age = float(rng.uniform(0, 1))
    tone = float(np.clip(rng.beta(1.7, 1.25), 0.03, 0.98))
    styles = _SHORT if masculinity > 0.5 else _LONG
    style = str(rng.choice(styles))
    hair_name = _draw_hair_colour(rng, tone, age)
    direction = np.array([rng.uniform(-0.65, 0.65), rng.uniform(-0.65, -0.35), 1.0])
    direction /= np.linalg.norm(direction)
    skin = _between(_SKIN_TONES, tone) * rng.uniform(0.96, 1.03, 3)
    lip_tint = np.array([0.78, 0.66, 0.92]) * rng.uniform(0.9, 1.02) * (1 - 0.06 * (1 - masculinity))
    return Look(
        age=age,
        masculinity=masculinity,
        skin=tuple(skin),
        skin_tone=tone,
        lips=tuple(skin * lip_tint),
        iris=_IRIS_COLOURS[_draw_iris(rng, tone)],
        hair=_HAIR_COLOURS[hair_name],
        hair_style=style,
        hairline_y=float(rng.uniform(-122, -106)) - (12 if style == "receding" else 0),
        hairline_squareness=float(rng.uniform(2.6, 4.0) + masculinity),
        brow_strength=float(rng.uniform(0.78, 0.9) + 0.1 * masculinity),
        beard=str(rng.choice(BEARDS, p=[0.4, 0.25, 0.1, 0.1, 0.15])) if masculinity > 0.5 else "none",
        glasses=str(rng.choice(["none", "round", "square", "half rim"], p=[0.7, 0.1, 0.1, 0.1])),
        freckles=int(rng.integers(20, 60) + (rng.random() < 0.2) * tone * 220),
        light=tuple(direction),
        ambient=float(rng.uniform(0.38, 0.5)),
    )


def _draw_hair_colour(rng: np.random.Generator, tone: float, age: float) -> str:
    if age > 0.8 and rng.random() < 0.7:
        return "grey"
    names = ["black", "dark brown", "brown", "auburn", "blond"]
    light_share = float(np.clip((tone - 0.5) * 2, 0, 1))  # fair hair goes with pale skin
    weights = np.array([1, 1, light_share, 0.5 * light_share, 0.9 * light_share])
    return str(rng.choice(names, p=weights / weights.sum()))


def _draw_iris(rng: np.random.Generator, tone: float) -> str:
    names = list(_IRIS_COLOURS)
    return str(rng.choice(names[:3] if tone < 0.6 else names))


def _between(colours: np.ndarray, position: float) -> np.ndarray:
    place = position * (len(colours) - 1)
    low = min(int(place), len(colours) - 2)
    return colours[low] + (place - low) * (colours[low + 1] - colours[low])
