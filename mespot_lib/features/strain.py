"""Optical strain: how much a flow field stretches and shears the skin.

    e = 1/2 (grad u + (grad u)^T),   |e| = sqrt(e_xx^2 + e_yy^2 + e_xy^2 + e_yx^2)

as in Liong et al. 2014 and SOFTNet (Liong et al. 2021). A shift of the whole head has none, which is its charm; a turn
in the plane has little.
"""

import numpy as np


def optical_strain(flow: np.ndarray) -> np.ndarray:
    """Return the strain magnitude (H, W) float32 of a flow field (H, W, 2) in px: 0.01 is a stretch of 1 %.

    Derivatives are central differences, one-sided at the border.
    """
    u_y, u_x = np.gradient(flow[..., 0])
    v_y, v_x = np.gradient(flow[..., 1])
    shear = (u_y + v_x) / 2
    return np.sqrt(u_x**2 + v_y**2 + 2 * shear**2).astype(np.float32)
