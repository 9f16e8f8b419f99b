"""O2: one step of the scheme from a ball, equal constant densities, in closed form."""

from __future__ import annotations

import numpy as np

from mcfpaper.oracles._scalar import dimension, lengths


def ball_survival_radius(tau: float, d: int = 2, eps: float = 0.0) -> float:
    """Smallest radius r* after a step that a ball can have (O2); eps enters only for d = 3.

    The closed form needs r* > eps; below that `radial_step` has the answer.
    """
    d = dimension(d)
    lengths(tau=tau)
    square = {1: 2 * tau, 2: 3 * tau, 3: 2 * tau + 2 * np.sqrt(tau * (tau + eps**2))}[d]
    if square <= eps**2:
        raise ValueError(f"eps must be less than the survival radius {np.sqrt(square):g}, got {eps:g}: use radial_step")
    return float(np.sqrt(square))


def ball_critical_radius(tau: float, d: int = 2, eps: float = 0.0) -> float:
    """Radius before a step up to which a ball vanishes in that step (O2): r* + (d - 1) tau / r*."""
    r = ball_survival_radius(tau, d, eps)
    return r + (d - 1) * tau / r


def ball_step(r0: np.ndarray, tau: float, d: int = 2, eps: float = 0.0) -> np.ndarray:
    """Radius after one step from the ball of radius `r0` (O2); 0 where the ball vanishes."""
    r0 = np.asarray(r0, float)
    r = (r0 + np.sqrt(np.maximum(r0**2 - 4 * (d - 1) * tau, 0.0))) / 2
    return np.where(r0 > ball_critical_radius(tau, d, eps), r, 0.0)[()]


def ball_profile(x: np.ndarray, r0: float, tau: float, d: int = 2, eps: float = 0.0) -> np.ndarray:
    """Proximal solution u (T5) at distance `x` from the centre of the ball of radius `r0` (O2).

    u = r0 - |x| - (d - 1) tau / |x| for |x| >= r*, and constant inside: a plateau at the maximum.
    """
    x = np.maximum(np.asarray(x, float), ball_survival_radius(tau, d, eps))
    return r0 - x - (d - 1) * tau / x
