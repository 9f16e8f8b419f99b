"""A scikit-learn classifier whose decision boundary is that of an adversarially regularised Bayes classifier."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import xarray as xr
from scipy.ndimage import map_coordinates
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from mcfpaper import _checks, densities, grids, scheme

DIMS = ("x0", "x1", "x2")


class CurvatureFlowClassifier(ClassifierMixin, BaseEstimator):
    """Two classes of points in one to three dimensions, told apart by the set at the end of the flow.

    `fit` estimates the class densities by Gaussian kernels on a grid around the points, starts from the Bayes
    classifier of the estimate, and runs the minimising-movements scheme (D8). Each step is adversarial training
    against shifts of length `eps` and shortens the boundary; with ``t_end=0`` it stays that of the Bayes classifier.
    Lengths are those of the features: scale these first if they are not comparable.

    Parameters
    ----------
    eps : float, optional
        Adversarial budget, in length units, at least one cell; by default two cells.
    t_end : float, optional
        End time, like tau a length squared; by default tau, one step.
    tau : float, optional
        Time step, a length squared; the number `eps` by default.
    cells : int
        Cells along the longest side of the grid, at least 8. Cells have the same length along all sides.
    margin : float
        Free space around the points on each side, as a share of the longest side of their box.
    bandwidth : "scott", "silverman" or float
        Of the kernels, see `mcfpaper.densities.from_samples`.
    prior : float, optional
        Mass of the second class; by default its share among the points.
    method : {"smooth", "exact"}
        See `mcfpaper.step`.

    Attributes
    ----------
    classes_ : array, shape (2,)
        Labels in order; the second is that of the set {u > 0}.
    n_features_in_ : int
        Number of features.
    densities_ : xarray.Dataset
        The estimate, with dimensions `x0`, `x1`, `x2` after the features.
    trajectory_ : xarray.Dataset
        What `mcfpaper.evolve` returned.
    u_ : xarray.DataArray
        Signed distance to the boundary at the end, positive where the second class is predicted.
    """

    def __init__(
        self,
        eps: float | None = None,
        t_end: float | None = None,
        tau: float | None = None,
        *,
        cells: int = 64,
        margin: float = 0.25,
        bandwidth: float | str = "scott",
        prior: float | None = None,
        method: str = "smooth",
    ):
        self.eps = eps
        self.t_end = t_end
        self.tau = tau
        self.cells = cells
        self.margin = margin
        self.bandwidth = bandwidth
        self.prior = prior
        self.method = method

    def fit(self, X: np.ndarray, y: np.ndarray) -> CurvatureFlowClassifier:
        """Learn the boundary from points `X`, shape (n, 1 to 3), and their labels `y`, shape (n,), of two values."""
        if not isinstance(self.cells, Integral) or self.cells < 8:
            raise ValueError(f"cells must be a whole number, at least 8, got {self.cells!r}")
        margin = _checks.number(self.margin, "margin", above=0.0)
        X, y = validate_data(self, X, y, dtype=float, ensure_min_samples=2)
        y = self._labels(y)
        if X.shape[1] > 3:
            raise ValueError(f"X must have 1 to 3 features, got {X.shape[1]}")
        grid, h = self._grid(X, margin)
        eps = 2 * h if self.eps is None else _checks.number(self.eps, "eps", above=0.0)
        tau = eps if self.tau is None else _checks.number(self.tau, "tau", above=0.0)
        self.densities_ = densities.from_samples(X, y, grid, self.bandwidth, self.prior)
        t_end = tau if self.t_end is None else self.t_end
        start = densities.bayes(self.densities_)
        self.trajectory_ = scheme.evolve(start, self.densities_, eps, t_end, tau, self.method, progress=False)
        self.u_ = self.trajectory_["u"].isel(time=-1, drop=True)
        return self

    def _labels(self, y: np.ndarray) -> np.ndarray:
        check_classification_targets(y)
        self.classes_, encoded = np.unique(y, return_inverse=True)
        if type_of_target(y, input_name="y") != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {type_of_target(y)}.")
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold two classes, got one class: {self.classes_[0]!r}")
        return encoded

    def _grid(self, X: np.ndarray, margin: float) -> tuple[xr.Coordinates, float]:
        low, high = X.min(axis=0), X.max(axis=0)
        longest = float((high - low).max())
        if longest <= 0:
            raise ValueError("X must spread, got the same point throughout")
        h = longest * (1 + 2 * margin) / self.cells
        n = np.maximum(np.ceil(((high - low) + 2 * margin * longest) / h - 1e-9).astype(int), 2)
        middle, half = (low + high) / 2, n * h / 2
        return grids.grid(n, middle - half, middle + half, DIMS[: X.shape[1]]), h

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Signed distance to the boundary, in length units, positive for the second class.

        Beyond the grid it is that at its edge; it is infinite if the flow has left one class only.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=float, reset=False)
        u = self.u_.values
        if np.isinf(u).any():
            return np.full(len(X), u.flat[0])
        index = [(x - float(c[0])) / float(c[1] - c[0]) for x, c in zip(X.T, self.u_.coords.values(), strict=True)]
        return map_coordinates(u, index, order=1, mode="nearest")

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Labels of points, shape (n,): the second class in the set {u > 0}."""
        inside = self.decision_function(X) > 0
        return self.classes_[inside.astype(int)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
