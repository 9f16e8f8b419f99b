"""Densities against their moments, kernel sums and other ways of computing the same."""

import numpy as np
import pytest
import xarray as xr

from mcfpaper import densities as make
from mcfpaper.densities import bayes
from mcfpaper.grids import cell_volume, grid, mesh


def mass(rho):
    return float(rho.sum()) * cell_volume(rho)


def test_grid_has_cell_centres_in_the_order_of_its_dimensions():
    g = grid((4, 10), lower=(0, -1), upper=(2, 4), dims=("b", "a"))
    assert list(g) == ["b", "a"]
    np.testing.assert_allclose(g["b"], [0.25, 0.75, 1.25, 1.75])
    np.testing.assert_allclose(g["a"], np.arange(10) * 0.5 - 0.75)
    assert grid(5, dims="x")["x"].size == 5


@pytest.mark.parametrize("prior", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dims", [("x",), ("x", "y"), ("z", "x", "y")])
def test_uniform_densities_hold_their_priors(dims, prior):
    rho = make.uniform(grid(7, lower=-2, upper=1, dims=dims), prior=prior)
    assert rho.rho1.dims == dims
    assert mass(rho.rho0) == pytest.approx(1 - prior, rel=1e-14)
    assert mass(rho.rho1) == pytest.approx(prior, rel=1e-14)


def test_gaussians_have_their_mass_mean_and_covariance():
    # Midpoint sums of smooth, decayed integrands converge beyond all orders; the tails beyond six deviations are 1e-8.
    g = grid((80, 100), lower=(-4, -5), upper=(4, 5), dims=("y", "x"))
    mean1, cov1 = [0.4, -0.3], [[0.4, 0.15], [0.15, 0.3]]
    rho = make.gaussian(g, [0, 0.5], [0.3, 0.5], mean1, cov1, prior=0.35)
    assert mass(rho.rho0) == pytest.approx(0.65, abs=1e-7)
    assert mass(rho.rho1) == pytest.approx(0.35, abs=1e-7)
    y, x = mesh(g)
    weight = rho.rho1 / rho.rho1.sum()
    my, mx = float((weight * y).sum()), float((weight * x).sum())
    assert [my, mx] == pytest.approx(mean1, abs=1e-6)
    moments = [
        [float((weight * (a - m) * (b - k)).sum()) for b, k in ((y, my), (x, mx))] for a, m in ((y, my), (x, mx))
    ]
    np.testing.assert_allclose(moments, cov1, atol=1e-6)


def test_a_mixture_is_the_weighted_sum_of_its_components():
    g = grid(20)
    one = make.gaussian(g, [0, 0], 0.1, [0.5, 0], 0.2, prior=0.4)
    two = make.gaussian(g, [0.3, -0.2], 0.3, [0, 0.5], [0.1, 0.2], prior=0.4)
    both = make.mixture(
        g, [[0, 0], [0.3, -0.2]], [0.1, 0.3], [[0.5, 0], [0, 0.5]], [0.2, [0.1, 0.2]], [1, 3], None, 0.4
    )
    np.testing.assert_allclose(both.rho0, 0.25 * one.rho0 + 0.75 * two.rho0, rtol=1e-13)
    np.testing.assert_allclose(both.rho1, 0.5 * one.rho1 + 0.5 * two.rho1, rtol=1e-13)


def test_functions_are_called_by_the_names_of_the_coordinates():
    g = grid((6, 9), dims=("y", "x"))
    y, x = mesh(g)
    rho = make.from_functions(g, lambda x, y: 2 + x + 0.5 * y, lambda y: np.exp(y), normalise=False)
    assert rho.rho0.dims == rho.rho1.dims == ("y", "x")
    np.testing.assert_allclose(rho.rho0, 2 + x + 0.5 * y)
    np.testing.assert_allclose(rho.rho1, np.exp(y))
    arrays = make.from_functions(
        g, lambda x, y: np.where(x > y, 1.0, 0.5), lambda **c: 2 * c["x"] ** 2, normalise=False
    )
    np.testing.assert_allclose(arrays.rho0, xr.where(x > y, 1.0, 0.5))
    np.testing.assert_allclose(arrays.rho1, 2 * x**2)


def test_functions_are_normalised_together_or_to_a_prior():
    g = grid((6, 9))
    plain = make.from_functions(g, lambda x: 1 + x**2, lambda y: 3 + y)
    assert mass(plain.rho0 + plain.rho1) == pytest.approx(1, rel=1e-14)
    ratio = plain.rho1 / plain.rho0
    y, x = mesh(g)
    np.testing.assert_allclose(ratio, (3 + y) / (1 + x**2), rtol=1e-13)
    given = make.from_functions(g, lambda x: 1 + x**2, lambda: 1.0, prior=0.2)
    assert [mass(given.rho0), mass(given.rho1)] == pytest.approx([0.8, 0.2], rel=1e-13)


@pytest.mark.parametrize("bandwidth", ["scott", 0.4])
def test_samples_against_the_kernel_sum(bandwidth):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(40, 2)) * [0.3, 0.5], np.repeat([0, 1], [25, 15])
    g = grid((5, 7))
    rho = make.from_samples(X, y, g, bandwidth=bandwidth)
    first, second = mesh(g)
    for label, n in ((0, 25), (1, 15)):
        points = X[y == label]
        factor = n ** (-1 / 6) if bandwidth == "scott" else bandwidth
        cov = np.cov(points.T) * factor**2
        gap = np.stack([first.values, second.values], -1)[:, :, None] - points
        kernels = np.exp(-0.5 * np.einsum("...i,ij,...j", gap, np.linalg.inv(cov), gap))
        expected = kernels.sum(-1) / (2 * np.pi * np.sqrt(np.linalg.det(cov))) / 40
        np.testing.assert_allclose(rho[f"rho{label}"], expected, rtol=1e-10)


def test_samples_take_a_prior():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=30) * 0.2, np.repeat([0, 1], 15)
    rho = make.from_samples(X, y, grid(200, -3, 3, dims="x"), prior=0.1)
    assert [mass(rho.rho0), mass(rho.rho1)] == pytest.approx([0.9, 0.1], abs=1e-6)


def test_bayes_is_positive_where_class_1_is_the_more_likely():
    rho = make.gaussian(grid((9, 12)), [0, 0.2], 0.2, [0.1, -0.2], 0.3, prior=0.45)
    u = bayes(rho)
    stacked = np.stack([rho.rho0, rho.rho1])
    np.testing.assert_array_equal(u > 0, stacked.argmax(0) == 1)
    assert u.dims == rho.rho0.dims
    whole = bayes(
        xr.Dataset({"rho0": ("x", np.array([2, 1], "u1")), "rho1": ("x", np.array([1, 2], "u1"))}, {"x": [0, 1]})
    )
    np.testing.assert_array_equal(whole, [-1, 1])  # unsigned numbers must not wrap


@pytest.mark.parametrize("function", [lambda x, /: x, np.exp, abs])
def test_functions_that_take_no_coordinate_by_name_are_refused(function):
    with pytest.raises((TypeError, ValueError), match="rho0 must"):
        make.from_functions(grid(4), function, lambda x: x)
