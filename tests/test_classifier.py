"""The scikit-learn estimator: scikit-learn's own checks, and what it is built from."""

import numpy as np
import pytest
import xarray as xr
from sklearn.datasets import make_moons
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import mcfpaper as mcf
from mcfpaper import CurvatureFlowClassifier

TOO_MANY = "it has 4 to 10 features, and the estimator takes 1 to 3"
EXPECTED = {
    "check_n_features_in_after_fitting": TOO_MANY,
    "check_positive_only_tag_during_fit": TOO_MANY,
    "check_estimators_dtypes": TOO_MANY,
    "check_dtype_object": TOO_MANY,
}


# The exact method on few cells: quick in three dimensions too.
@pytest.mark.filterwarnings("ignore:the exact answer of this step")  # of random labels a step on few cells keeps one
@parametrize_with_checks(
    [CurvatureFlowClassifier(cells=20, method="exact")], expected_failed_checks=lambda estimator: EXPECTED
)
def test_scikit_learn(estimator, check):
    check(estimator)


def moons(n=120):
    return make_moons(n, noise=0.25, random_state=3)


def fitted(X, y, **options):
    return CurvatureFlowClassifier(**{"cells": 24, "method": "exact"} | options).fit(X, y)


def test_it_is_the_flow_from_the_bayes_classifier_of_the_estimated_densities():
    X, y = moons()
    model = fitted(X, y, eps=0.3, t_end=0.6, tau=0.15, bandwidth=0.4, prior=0.3)
    grid = model.u_.drop_vars([c for c in model.u_.coords if c not in model.u_.dims])
    rho = mcf.densities.from_samples(X, y, grid, bandwidth=0.4, prior=0.3)
    run = mcf.evolve(mcf.bayes(rho), rho, 0.3, 0.6, 0.15, method="exact")
    xr.testing.assert_identical(model.densities_, rho)
    xr.testing.assert_identical(model.trajectory_, run)
    centres = np.stack([c.values.ravel() for c in xr.broadcast(grid["x0"], grid["x1"])], axis=1)
    np.testing.assert_allclose(model.decision_function(centres), run["u"][-1].values.ravel(), atol=1e-12)
    np.testing.assert_array_equal(model.predict(centres), run["u"][-1].values.ravel() > 0)


def test_the_grid_holds_the_points_in_square_cells():
    X, y = moons()
    model = fitted(X * [3.0, 1.0], y, margin=0.1)
    steps = [float(model.u_[d][1] - model.u_[d][0]) for d in model.u_.dims]
    assert steps[0] == pytest.approx(steps[1], rel=1e-12)
    assert max(model.u_.shape) == 24
    for d, x in zip(model.u_.dims, (X * [3.0, 1.0]).T, strict=True):
        free = min(x.min() - float(model.u_[d][0]), float(model.u_[d][-1]) - x.max())
        assert free >= 0.1 * 3 * np.ptp(X[:, 0]) - steps[0] * 0.51


def test_labels_may_be_anything_and_their_order_counts():
    X, y = moons()
    model, named = fitted(X, y), fitted(X, np.array(["no", "yes"])[y])
    np.testing.assert_array_equal(named.predict(X), np.array(["no", "yes"])[model.predict(X)])
    swapped = fitted(X, 1 - y)
    assert (swapped.predict(X) == 1 - model.predict(X)).mean() > 0.95  # a tie of the estimates may fall either way


def test_a_large_budget_shortens_the_boundary_and_none_leaves_that_of_bayes():
    X, y = moons()
    lengths = [fitted(X, y, eps=e, bandwidth=0.2).trajectory_["nonlocal_perimeter"].values for e in (0.3, 0.6)]
    assert all(length[-1] < length[0] for length in lengths)
    still = fitted(X, y, t_end=0.0)
    bayes = mcf.bayes(still.densities_)
    np.testing.assert_array_equal(still.u_ > 0, bayes > 0)


def test_it_learns_in_a_pipeline():
    X, y = moons(240)
    model = make_pipeline(StandardScaler(), CurvatureFlowClassifier(cells=32, method="exact"))
    assert cross_val_score(model, X, y, cv=3).mean() > 0.75  # half-way from chance to none wrong


def test_far_points_get_the_label_of_the_grids_edge_and_an_empty_class_has_no_boundary():
    X, y = moons()
    model = fitted(X, y)
    corner = [float(c[0]) for c in model.u_.coords.values()]
    np.testing.assert_array_equal(model.decision_function([corner, [c - 100 for c in corner]]), [model.u_[0, 0]] * 2)
    empty = fitted(X, y, prior=0.0)
    assert (empty.decision_function(X) == -np.inf).all()
    assert (empty.predict(X) == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cells": 4}, "cells must be a whole number, at least 8, got 4"),
        ({"cells": 20.0}, "cells must be a whole number"),
        ({"margin": 0.0}, "margin must be finite and > 0, got 0"),
        ({"eps": -1.0}, "eps must be finite and > 0, got -1"),
        ({"tau": 0.0}, "tau must be finite and > 0, got 0"),
        ({"t_end": -0.1}, "t_end must be >= 0, got -0.1"),
        ({"prior": 2.0}, "prior must lie between 0 and 1, got 2"),
        ({"bandwidth": "wide"}, "bandwidth must be one of"),
        ({"method": "quick"}, "method must be one of"),
        ({"eps": 1e-6}, "eps must be at least the largest grid spacing"),
    ],
)
def test_bad_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        fitted(*moons(), **options)


def test_bad_points_are_named():
    X, y = moons()
    with pytest.raises(ValueError, match="1 to 3 features, got 4"):
        fitted(np.hstack([X, X]), y)
    with pytest.raises(ValueError, match="two classes, got one class"):
        fitted(X, 0 * y)
    with pytest.raises(ValueError, match="X must spread"):
        fitted(0 * X, y)
    with pytest.raises(ValueError, match="X must spread over all 2 dimensions"):
        fitted(X[:, :1] * [1.0, 2.0], y)
