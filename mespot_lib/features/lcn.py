"""Local contrast normalisation: what is left of a face when lighting and skin tone are divided out.

    g = (f - m) / max(sigma, c)        (Yap et al. 2022, eq. 1)

m and sigma are the mean and the standard deviation of f in a Gaussian window, c is the mean of sigma over the image.
The paper calls sigma a variance; only with the standard deviation is g independent of contrast, which it claims.
"""

import cv2
import numpy as np

# Grey levels; keeps regions without any contrast finite, and is far below what a sensor resolves.
_FLAT = 1e-9


def lcn(image: np.ndarray, sigma: float = 4.0) -> np.ndarray:
    """Return the normalised image, (H, W) float32, of a grey image (H, W).

    sigma : standard deviation of the Gaussian window in px; the paper does not print its own

    Raises
    ------
    ValueError
        If the image is not (H, W) or sigma is not positive.
    """
    if image.ndim != 2 or sigma <= 0:
        raise ValueError(f"lcn needs a grey image (H, W) and a positive sigma, got {image.shape} and {sigma}")
    grey = image - image.mean(dtype=np.float64)  # so that rounding does not depend on the brightness
    above_mean = grey - _blur(grey, sigma)
    # Squares of differences, not a difference of squares: never negative, and exact in bright flat regions.
    deviation = np.sqrt(_blur(above_mean**2, sigma))
    return (above_mean / np.maximum(np.maximum(deviation, deviation.mean()), _FLAT)).astype(np.float32)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
