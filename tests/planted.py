"""A pattern of pixels that nothing drawn looks like, planted into frames, and a search for it in pictures."""

import base64
import re
from pathlib import Path

import cv2
import numpy as np

BLOCK = 8  # px; coarse enough to survive shrinking and JPEG
_PATCH = 10  # blocks along each side of what is searched for
_PLACES = (
    (11, 11),
    (5, 11),
    (14, 11),
    (20, 1),
)  # blocks from the upper left: on a face in the middle, and beside it
FOUND = 0.55  # correlation; chance stays below 0.45, a picture under arrows and boxes above 0.6


def pattern(height: int, width: int) -> np.ndarray:
    """Return blocks of -1 and 1 at random, (H, W), the same every time."""
    blocks = np.random.default_rng(2718).choice((-1.0, 1.0), (64, 64))
    return np.kron(blocks, np.ones((BLOCK, BLOCK)))[:height, :width]


def plant(image: np.ndarray, levels: float = 30.0) -> np.ndarray:
    """Return the image (H, W[, 3]) uint8 with the pattern over all of it, `levels` darker and brighter."""
    change = levels * pattern(*image.shape[:2])
    return np.clip(image + (change[..., None] if image.ndim == 3 else change), 0, 255).astype(np.uint8)


def likeness(picture: np.ndarray) -> float:
    """Return how well the pattern is found anywhere in a picture (H, W[, 3]), at any usual size: its correlation."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if picture.ndim == 3 else picture
    # plain areas have no correlation; noise makes it a small one
    grey = grey.astype(np.float32) + np.random.default_rng(0).normal(0, 2, grey.shape).astype(np.float32)
    whole = pattern(64 * BLOCK, 64 * BLOCK)[::BLOCK, ::BLOCK].astype(np.float32)
    best = 0.0
    for block in np.geomspace(3, 15, 19):
        size = round(_PATCH * block)
        if size > min(grey.shape):
            break
        for row, column in _PLACES:
            patch = whole[row : row + _PATCH, column : column + _PATCH]
            wanted = cv2.resize(patch, (size, size), interpolation=cv2.INTER_NEAREST)
            wanted = cv2.GaussianBlur(wanted, (0, 0), block / 6)
            best = max(best, float(cv2.matchTemplate(grey, wanted, cv2.TM_CCOEFF_NORMED).max()))
    return best


def pictures_in(text: str) -> list[np.ndarray]:
    """Return every raster picture that stands in a notebook or page as base64, those inside of SVG too."""
    found = []
    for data in re.findall(r"[A-Za-z0-9+/=]{200,}", text.replace("\\n", "")):
        try:
            content = base64.b64decode(data, validate=True)
        except ValueError:
            continue
        if content.lstrip()[:5] in (b"<?xml", b"<svg "):
            found += pictures_in(content.decode("utf-8"))
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if image is not None:
            found.append(image)
    return found


def plant_tree(root: Path) -> None:
    """Plant the pattern into every frame of a dataset, in place."""
    for path in root.rglob("*.jpg"):
        image = plant(cv2.imread(str(path), cv2.IMREAD_COLOR))
        path.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
