"""T4 and D10 where the level-set function is smooth: formulae in its normal n = grad u / |grad u| and Dn.

Arrays of points have shape (m, d), normals (m, d), matrices (m, d, d); the order of the coordinates is the caller's.
Densities are callables of points: (m, d) -> (m,).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def normals(gradient: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """n = grad u / |grad u| (inward, D7) and Dn, from the gradient and the Hessian of u."""
    gradient, hessian = np.asarray(gradient, float), np.asarray(hessian, float)
    size = np.linalg.norm(gradient, axis=-1)
    if (size == 0).any():
        raise ValueError("gradient must not vanish: the normal is undefined there")
    n = gradient / size[:, None]
    tangent = np.eye(n.shape[-1]) - n[:, :, None] * n[:, None, :]
    return n, tangent @ hessian / size[:, None, None]


def ellipse_normals(points: np.ndarray, axes: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """n and Dn of u = 1 - sum (x_i / axes_i)^2, an ellipse or ellipsoid, at points other than the centre."""
    points, weight = np.asarray(points, float), 1 / np.asarray(axes, float) ** 2
    hessian = np.broadcast_to(-2 * np.diag(weight), (len(points), weight.size, weight.size))
    return normals(-2 * weight * points, hessian)


def subgradient_density(
    points: np.ndarray, n: np.ndarray, Dn: np.ndarray, rho0: Callable, rho1: Callable, eps: float
) -> np.ndarray:
    """p_eps of T4 at `points`: the element of the subdifferential of TV_eps, per unit volume.

    Valid where the eps-balls on both sides touch the level set of u at the point only; the principal curvatures are
    checked (eps times them below 1), the reach is the caller's to know.
    """
    points, n, Dn = np.asarray(points, float), np.asarray(n, float), np.asarray(Dn, float)
    out = np.linalg.det(np.eye(n.shape[-1]) - eps * Dn)
    back = np.linalg.det(np.eye(n.shape[-1]) + eps * Dn)
    if (np.abs(np.linalg.eigvals(Dn)) * eps >= 1).any():
        raise ValueError(f"eps must be less than every radius of curvature of the level sets, got {eps:g}")
    gain = rho0(points - eps * n) * out - rho0(points)
    return (gain + rho1(points) - rho1(points + eps * n) * back) / eps


def subgradient_expansion(
    n: np.ndarray, Dn: np.ndarray, values: np.ndarray, gradients: np.ndarray, hessians: np.ndarray, eps: float
) -> np.ndarray:
    """-div(rho n) + eps (G(rho0) - G(rho1)), the first two orders of p_eps (T4).

    `values` (2, m), `gradients` (2, m, d) and `hessians` (2, m, d, d) hold rho0, rho1 and their derivatives.
    """
    trace = np.trace(Dn, axis1=-2, axis2=-1)
    second = (trace**2 - np.einsum("mij,mji->m", Dn, Dn)) / 2  # e_2: the product of the principal curvatures

    def G(q, dq, ddq):
        bend = np.einsum("mi,mij,mj->m", n, ddq, n) / 2
        return bend + np.einsum("mi,mi->m", n, dq) * trace + q * second

    rho, slope = values[0] + values[1], gradients[0] + gradients[1]
    first = -rho * trace - np.einsum("mi,mi->m", n, slope)
    return first + eps * (G(values[0], gradients[0], hessians[0]) - G(values[1], gradients[1], hessians[1]))


def limit_velocity(n: np.ndarray, Dn: np.ndarray, grad_log_rho: np.ndarray) -> np.ndarray:
    """Outward normal velocity V = -kappa - d(log rho)/d(nu) of D10, with nu = -n and kappa = -div n."""
    return np.trace(Dn, axis1=-2, axis2=-1) + np.einsum("mi,mi->m", n, np.asarray(grad_log_rho, float))
