"""Signed distances: exact fronts, optimality of the closest point, safeguards, monotone distances of sets."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import distance_transform_edt, gaussian_filter

from mcfpaper.kernels import spline
from mcfpaper.kernels.boolean_distance import boolean_distance
from mcfpaper.kernels.contour import front_points
from mcfpaper.kernels.distance import redistance

few = settings(max_examples=25)
seeds = st.integers(0, 2**32 - 1)


def mesh(n, d):
    """Cell centres of [-1, 1]^d with n cells along each axis, and the spacing."""
    h = 2 / n
    return np.meshgrid(*[-1 + h * (np.arange(n) + 0.5)] * d, indexing="ij"), (h,) * d


def ball(n, d, radius=0.5):
    """A smooth level-set function of a ball off the centre, no distance and no polynomial; its exact distance."""
    x, h = mesh(n, d)
    q = sum((a - 0.03 * (k + 1)) ** 2 for k, a in enumerate(x))
    return (radius**2 - q) * np.exp(x[0]), radius - np.sqrt(q), h


def smooth(seed, shape=(34, 27)):
    """A smooth random field with several components, holes and fronts that leave the box."""
    u = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3.0)
    return u / u.std()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_spline_is_fourth_order_up_to_the_edge_of_the_box(d):
    errors = []
    rng = np.random.default_rng(0)
    for n in (24, 96):
        x, h = mesh(n, d)
        c = spline.prefilter(np.exp(x[0]) * np.cos(2 * x[-1] + 0.3))
        p = rng.choice([-0.5, n - 0.5], (300, d))  # the corners of the box ...
        p[:, 0] = rng.uniform(-0.5, n - 0.5, 300)  # ... and its edges
        y = -1 + h[0] * (p + 0.5)
        errors.append(np.abs(spline.evaluate(c, p) - np.exp(y[:, 0]) * np.cos(2 * y[:, -1] + 0.3)).max())
    assert np.log2(errors[0] / errors[1]) / 2 > 3.7


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_a_spline_reproduces_the_polynomials_that_its_values_determine(n):
    degree = min(n - 1, 3)
    p = np.linspace(-0.5, n - 0.5, 9)[:, None]
    values = spline.evaluate(spline.prefilter(np.arange(n) ** float(degree)), p)
    np.testing.assert_allclose(values, p[:, 0] ** degree, atol=1e-12 * n**degree)  # rounding


def test_derivatives_are_those_of_the_values():
    c, h, step = spline.prefilter(smooth(0)), (0.5, 2.0), 1e-5
    p = np.random.default_rng(1).uniform(0, 26, (50, 2))
    _, gradient, hessian = spline.derivatives(c, p, h)
    for k in range(2):
        e = step * np.eye(2)[k]
        (up, gup, _), (down, gdown, _) = (spline.derivatives(c, p + s * e, h) for s in (1, -1))
        # central differences: step^2 times the third derivative, and rounding/step
        np.testing.assert_allclose((up - down) / (2 * step * h[k]), gradient[:, k], atol=1e-8)
        np.testing.assert_allclose((gup - gdown) / (2 * step * h[k]), hessian[:, k], atol=1e-4)


def test_a_disc_is_right_to_a_hundred_thousandth_of_a_cell():
    u, exact, h = ball(256, 2)
    assert np.abs(redistance(u, h) - exact).max() < 1e-5 * h[0]  # what the flow needs, wanted everywhere


@pytest.mark.parametrize(("d", "sizes"), [(1, (16, 64)), (2, (16, 64)), (3, (12, 36))])
def test_distances_are_fourth_order(d, sizes):
    errors = []
    for n in sizes:
        u, exact, h = ball(n, d)
        errors.append(np.abs(redistance(u, h) - exact).max())
    assert np.log(errors[0] / errors[1]) / np.log(sizes[1] / sizes[0]) > 3.5


@few
@given(st.floats(0, 2 * np.pi), st.floats(-0.9, 0.9))
def test_a_straight_front_cut_by_the_box_counts_only_inside_it(angle, offset):
    (y, x), h = mesh(20, 2)
    n = np.array([np.cos(angle), np.sin(angle)])
    d = redistance(n[0] * y + n[1] * x - offset, h)
    along = np.array([-n[1], n[0]])
    with np.errstate(divide="ignore", over="ignore"):  # the segment of the line inside [-1, 1]^2
        ends = np.sort((np.array([[-1.0], [1.0]]) - offset * n) / along, axis=0)
    s = np.clip(along[0] * y + along[1] * x, ends[0].max(), ends[1].min())
    exact = np.hypot(y - offset * n[0] - s * along[0], x - offset * n[1] - s * along[1])
    np.testing.assert_allclose(np.abs(d), exact, atol=1e-9)  # a plane is its own spline: Newton's tolerance


@few
@given(seeds, st.sampled_from([(1.0, 1.0), (0.7, 1.3)]))
def test_the_closest_point_is_on_the_front_and_no_front_point_is_nearer(seed, h):
    u = smooth(seed)
    d, feet = redistance(u, h, feet=True)
    x = np.stack(np.indices(u.shape), axis=-1)
    gap = np.linalg.norm((feet - x) * h, axis=-1)
    np.testing.assert_allclose(gap, np.abs(d), atol=1e-12)
    value, gradient, _ = spline.derivatives(spline.prefilter(u), feet.reshape(-1, 2), h)
    assert (np.abs(value) <= 1e-7 * np.linalg.norm(gradient, axis=1) + 1e-12).all()
    assert ((feet >= -0.5) & (feet <= np.array(u.shape) - 0.5)).all()
    front, _, _ = front_points(u, h)
    nearest = np.linalg.norm((x[:, :, None] - front) * h, axis=-1).min(axis=-1)
    assert (np.abs(d) <= nearest * (1 + 1e-12) + 1e-12).all()


@few
@given(seeds, st.floats(0.5, 8.0))
@example(110836249, 1.5)  # a thin finger of front
def test_a_band_has_the_same_distances_and_the_rest_is_beyond_it(seed, width):
    u, h = smooth(seed), (1.0, 0.6)
    full, band = redistance(u, h), redistance(u, h, width)
    near = np.abs(full) < width
    np.testing.assert_array_equal(band[near], full[near])
    assert (np.abs(band[~near]) >= width).all()
    np.testing.assert_array_equal(band > 0, u > 0)


def test_a_long_line_stays_within_its_lists():
    """Compiled kernels would write beyond an array; Python says so."""
    code = "import numpy as np; from mcfpaper.kernels.distance import redistance; u = np.arange(131073.0) - 65536.3;"
    code += "assert abs(redistance(u, (1.0,), 5.0)[65536] + 0.3) < 1e-9"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, check=True)


@few
@given(arrays(float, array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=9), elements=st.floats(-2, 2, width=16)))
def test_rough_fields_keep_their_signs(u):
    d = redistance(u, (0.3,) * u.ndim)
    assert not np.isnan(d).any()
    np.testing.assert_array_equal(d > 0, u > 0)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_empty_and_full_sets_are_infinitely_far_from_their_boundary(d):
    u = np.ones((4,) * d)
    for value, sign in ((-1.0, -1), (0.0, -1), (-np.inf, -1), (2.0, 1), (np.inf, 1)):
        np.testing.assert_array_equal(redistance(value * u, (1.0,) * d), sign * np.inf)
        assert np.isnan(redistance(value * u, (1.0,) * d, feet=True)[1]).all()


def test_corners_cost_accuracy_but_not_sense():
    (y, x), h = mesh(64, 2)
    u = 0.5 - np.abs(x - 0.01) - np.abs(y + 0.02)  # a square on its corner, kinks along both axes through its centre
    exact = (0.5 - np.abs(x - 0.01) - np.abs(y + 0.02)) / np.sqrt(2)
    d = redistance(u, h)
    np.testing.assert_array_equal(d > 0, u > 0)
    away = (exact > 0) & (np.minimum(np.abs(x - 0.01), np.abs(y + 0.02)) > 5 * h[0])
    assert away.sum() > 20
    assert np.abs(d - exact)[away].max() < 0.27**5 * h[0]  # how a spline forgets a kink
    assert np.abs(d - exact)[exact > 0].max() < 0.3 * h[0]  # a rounded corner is off by a fraction of a cell


@few
@example(133924)  # two closest points, one of them three cells of front from the other
@given(seeds)
def test_axes_may_be_swapped_and_reversed(seed):
    u = smooth(seed)
    d = redistance(u, (1.0, 0.6))
    np.testing.assert_allclose(redistance(u.T, (0.6, 1.0)).T, d, atol=1e-6)  # Newton's tolerance near a focal point
    np.testing.assert_allclose(redistance(u[::-1], (1.0, 0.6))[::-1], d, atol=1e-6)


@pytest.mark.parametrize(("d", "curvature"), [(2, 1), (3, 2)])
def test_front_points_know_their_normal_and_curvature(d, curvature):
    errors = []
    for n in (16, 32):
        u, _, h = ball(n, d)
        points, normals, kappa = front_points(u, h)
        x = -1 + h[0] * (points + 0.5) - 0.03 * np.arange(1, d + 1)
        radius = np.linalg.norm(x, axis=1)
        # normals are of third order, radii of fourth: measured at 16 cells 2e-4, and 1e-4 cells
        assert np.abs(radius - 0.5).max() < 2e-4 * h[0]
        assert np.abs(normals - x / radius[:, None]).max() < 3e-4
        errors.append(np.abs(kappa - curvature / 0.5).max())
    assert errors[1] < errors[0] / 3  # second derivatives of a cubic spline: second order


sets = arrays(bool, array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7))
spacings = st.sampled_from([(1.0, 1.0, 1.0), (0.1, 0.1, 0.1), (0.3, 0.7, 1.1), (2.0, 0.3, 0.3)])


@given(st.data(), sets, spacings)
def test_distances_of_sets_are_monotone_bit_for_bit(data, a, h):
    b = a | data.draw(arrays(bool, a.shape))
    assert (boolean_distance(a, h[: a.ndim]) <= boolean_distance(b, h[: a.ndim])).all()


@given(sets, spacings)
def test_the_complement_has_the_opposite_distance(a, h):
    np.testing.assert_array_equal(boolean_distance(~a, h[: a.ndim]), -boolean_distance(a, h[: a.ndim]))


@given(sets, spacings)
def test_distances_of_sets_are_those_between_cell_centres(a, h):
    h = h[: a.ndim]
    f = boolean_distance(a, h)
    if a.all() or not a.any():
        assert (f == (np.inf if a.all() else -np.inf)).all()
        return
    gap = np.where(a, distance_transform_edt(a, sampling=h), distance_transform_edt(~a, sampling=h))
    np.testing.assert_allclose(f, np.where(a, 1, -1) * (gap - min(h) / 2), rtol=1e-14)
