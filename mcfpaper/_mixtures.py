"""Gaussian mixtures on a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from mcfpaper import _checks
from mcfpaper.grids import mesh


def gaussian_mixture(
    grid: xr.Coordinates, means: Sequence, covs: Sequence, weights: object, name: str, cov_name: str, weights_name: str
) -> xr.DataArray:
    """Probability density of a mixture; the names are those of the caller's arguments, for messages."""
    from scipy.stats import multivariate_normal

    axes = mesh(grid)
    d = len(axes)
    for values, label in ((means, name), (covs, cov_name)):
        if not isinstance(values, Sequence | np.ndarray):
            raise TypeError(f"{label} must be a sequence with one entry per component, got {values!r}")
        if len(values) == 0:
            raise ValueError(f"{label} must have at least one entry, got none")
    if len(covs) != len(means):
        raise ValueError(f"{cov_name} must have one covariance per mean of {name}, {len(means)}, got {len(covs)}")
    weights = np.ones(len(means)) if weights is None else _checks.numbers(weights, weights_name)
    if weights.shape != (len(means),) or weights.min() < 0 or weights.sum() <= 0:
        raise ValueError(f"{weights_name} must hold {len(means)} numbers >= 0 with a positive sum, got {weights}")
    points = np.stack([a.values for a in axes], axis=-1)
    total = np.zeros(axes[0].shape)
    for mean, cov, weight in zip(means, covs, weights / weights.sum(), strict=True):
        mean = _checks.numbers(mean, name).reshape(-1)
        if mean.shape != (d,):
            raise ValueError(f"{name} must hold {d} numbers per component, one per dimension, got {mean}")
        law = multivariate_normal(mean, _covariance(cov, d, cov_name))
        total += weight * law.pdf(points).reshape(total.shape)
    return axes[0].copy(data=total)


def _covariance(cov: object, d: int, name: str) -> np.ndarray:
    cov = _checks.numbers(cov, name)
    full = cov * np.eye(d) if cov.ndim == 0 else np.diag(cov) if cov.shape == (d,) else cov
    if full.shape != (d, d) or not np.allclose(full, full.T):
        raise ValueError(f"{name} must be a number, {d} variances or a symmetric {d} by {d} matrix, got {cov.tolist()}")
    if np.linalg.eigvalsh(full).min() <= 0:
        raise ValueError(f"{name} must be positive definite, got {cov.tolist()}")
    return full
