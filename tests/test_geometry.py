"""Perimeter, volume, Hausdorff distance and contours against shapes whose answers are known."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ellipe

import mcfpaper as mcf
from mcfpaper.kernels.quadrature import integrals

few = settings(max_examples=20)


def plane(n=64):
    g = mcf.grid(n)
    return g["x"], g["y"]


def space(n=24):
    g = mcf.grid(n, dims=("x", "y", "z"))
    return g["x"], g["y"], g["z"]


def disc(x, y, radius=0.5, cx=0.03, cy=0.07):
    return (radius**2 - (x - cx) ** 2 - (y - cy) ** 2) * np.exp(x)  # smooth, no distance, no polynomial


def order(measure, exact, sizes):
    errors = [abs(float(measure(n)) - exact) for n in sizes]
    return np.log(errors[0] / errors[-1]) / np.log(sizes[-1] / sizes[0])


ELLIPSE = 4 * 0.8 * ellipe(1 - (0.35 / 0.8) ** 2)


@pytest.mark.parametrize(
    ("function", "exact"), [(mcf.perimeter, ELLIPSE), (mcf.volume, np.pi * 0.8 * 0.35)], ids=["perimeter", "area"]
)
def test_an_ellipse_is_measured_to_fourth_order(function, exact):
    def measure(n):
        x, y = plane(n)
        return function(1 - (x / 0.8) ** 2 * np.exp(0 * y) - (y / 0.35) ** 2 + 0.0 * x)

    def distorted(n):
        x, y = plane(n)
        return function((1 - (x / 0.8) ** 2 - (y / 0.35) ** 2) * np.exp(x + y))

    assert float(measure(32)) == pytest.approx(exact, rel=1e-7)  # a quadratic is its own spline: quadrature alone
    assert order(distorted, exact, (32, 64, 128)) > 3.7


def test_spheres_and_ellipsoids_are_measured_to_fourth_order():
    def ellipsoid(n, *axes):
        coordinates = space(n)
        return (1 - sum((c / a) ** 2 for c, a in zip(coordinates, axes, strict=True))) * np.exp(coordinates[0])

    assert order(lambda n: mcf.volume(ellipsoid(n, 0.8, 0.6, 0.5)), 4 / 3 * np.pi * 0.24, (12, 36)) > 3.5
    assert order(lambda n: mcf.perimeter(ellipsoid(n, 0.6, 0.6, 0.6)), 4 * np.pi * 0.36, (12, 36)) > 3.5


def test_intervals_are_measured_on_a_line():
    x = mcf.grid(200, dims="x")["x"]
    u = np.cos(8 * x + 0.4)  # positive on (-2.9.., 1.3) modulo 2 pi, cut at -1 and 1
    roots = (np.pi / 2 + np.pi * np.arange(-5, 6) - 0.4) / 8
    roots = roots[np.abs(roots) < 1]
    cuts = np.r_[-1, roots, 1]
    inside = np.cos(8 * (cuts[1:] + cuts[:-1]) / 2 + 0.4) > 0
    assert float(mcf.perimeter(u)) == len(roots)
    assert float(mcf.volume(u)) == pytest.approx(np.diff(cuts)[inside].sum(), abs=1e-7)  # (8h)^4/384 a root
    np.testing.assert_allclose([float(c["x"][0]) for c in mcf.contours(u)], roots, atol=1e-7)


def test_holes_and_components_add_up():
    x, y = plane(96)
    r = np.hypot(x, y)
    ring = (r - 0.3) * (0.7 - r)
    assert float(mcf.perimeter(ring)) == pytest.approx(2 * np.pi, rel=1e-7)  # fourth order: (h/0.3)^4/384
    assert float(mcf.volume(ring)) == pytest.approx(np.pi * 0.4, rel=1e-7)  # the kink at the centre is not felt
    two = -disc(x, y, 0.3, -0.5, -0.4) * disc(x, y, 0.2, 0.4, 0.5)
    assert float(mcf.perimeter(two)) == pytest.approx(np.pi, rel=1e-6)  # (h/0.2)^4/384 = 3e-7
    assert float(mcf.volume(two)) == pytest.approx(np.pi * 0.13, rel=1e-6)
    assert len(mcf.contours(ring)) == len(mcf.contours(two)) == 2


@few
@given(st.floats(0, np.pi / 2), st.floats(-0.6, 0.6))
def test_the_box_edge_is_no_part_of_the_boundary(angle, offset):
    x, y = plane(16)
    c, s = np.cos(angle), np.sin(angle)
    u = c * x + s * y - offset
    # the chord and the area by the corners of the square clipped by the half plane
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    level = square @ [c, s] - offset
    polygon, cut = [], []
    for p, q, f, g in zip(square, np.roll(square, -1, 0), level, np.roll(level, -1), strict=True):
        if f > 0:
            polygon.append(p)
        if (f > 0) != (g > 0):
            cut.append(p + (q - p) * f / (f - g))
            polygon.append(cut[-1])
    px, py = np.transpose(polygon)
    area = 0.5 * np.sum(px * np.roll(py, -1) - py * np.roll(px, -1))
    assert float(mcf.perimeter(u)) == pytest.approx(np.hypot(*(cut[0] - cut[1])), abs=1e-10)
    assert float(mcf.volume(u)) == pytest.approx(area, abs=1e-10)


def test_densities_weight_perimeter_and_volume():
    x, y = plane(64)
    u = disc(x, y, 0.5, 0.0, 0.0)
    rho = xr.Dataset({"rho0": np.exp(-(x**2) - y**2), "rho1": 0.5 + 0 * x + 0 * y})
    exact = np.pi * (np.exp(-0.25) + 0.5)
    assert float(mcf.perimeter(u, rho)) == pytest.approx(exact, rel=1e-7)  # (h/0.5)^4/384 = 4e-8
    assert float(mcf.volume(u, rho)) == pytest.approx(np.pi * (1 - np.exp(-0.25)) + 0.5 * np.pi / 4, rel=1e-7)
    assert mcf.volume(u, rho).attrs["units"] == "mass"
    assert mcf.volume(u).attrs["units"] == "length^2"


@few
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_a_set_and_its_complement_fill_the_box(seed, d):
    rng = np.random.default_rng(seed)
    u, weight = rng.normal(size=(2, *(6,) * d))
    parts = [integrals(v, (0.5,) * d, [None, weight]) for v in (u, -u, np.full_like(u, np.inf))]
    # rough fields have places where the front is no graph even in the smallest part of a cell: there to that size
    np.testing.assert_allclose(np.add(parts[0], parts[1]), parts[2], rtol=2e-3, atol=2e-3 * 3**d)


def test_empty_and_full_sets_have_no_perimeter():
    x, y = plane(8)
    for value, volume in ((-1.0, 0.0), (1.0, 4.0), (-np.inf, 0.0), (np.inf, 4.0), (False, 0.0), (True, 4.0)):
        u = xr.full_like(x + y, value, dtype=type(value))
        assert float(mcf.perimeter(u)) == 0
        assert float(mcf.volume(u)) == pytest.approx(volume)


def test_hausdorff_distances_of_discs():
    x, y = plane(64)
    a, b = disc(x, y, 0.5, 0.0, 0.0), disc(x, y, 0.35, 0.2, -0.1)
    exact = np.hypot(0.2, 0.1) + 0.15  # between the circles: distance of the centres plus difference of the radii
    assert float(mcf.hausdorff(a, b)) == pytest.approx(exact, abs=1e-7)  # splines: r (h/r)^4/384 = 6e-8
    assert float(mcf.hausdorff(b, a)) == float(mcf.hausdorff(a, b))
    assert float(mcf.hausdorff(a, a)) < 1e-9
    x, y, z = space(20)
    a, b = (r**2 - (x - c) ** 2 - y**2 - z**2 for r, c in ((0.6, 0.0), (0.5, 0.1)))
    assert float(mcf.hausdorff(a, b)) == pytest.approx(0.2, abs=1e-9)  # of quadratics: rounding alone


def test_curves_lie_on_the_front_and_close():
    x, y = plane(64)
    (curve,) = mcf.contours(disc(x, y, 0.5, 0.0, 0.0))
    assert curve.attrs["closed"] == 1
    np.testing.assert_allclose(np.hypot(curve["x"], curve["y"]), 0.5, atol=1e-7)  # (h/0.5)^4/384 = 4e-8
    assert curve["x"][0] == curve["x"][-1]
    (open_curve,) = mcf.contours(x + 0.3 * y - 0.1)
    assert open_curve.attrs["closed"] == 0
    np.testing.assert_allclose(np.abs(open_curve["y"][[0, -1]]), 1)  # the front reaches the edge of the box


@pytest.mark.parametrize("descending", ["", "y", "xz"])
def test_surfaces_are_closed_and_face_outwards(descending):
    x, y, z = space(20)
    u = 0.01 - ((x**2 + y**2 + z**2) - 0.25) ** 2  # two spheres, of radii sqrt(0.15) and sqrt(0.35)
    pieces = mcf.contours(u.isel({d: slice(None, None, -1) for d in descending}))
    assert len(pieces) == 2
    volumes = []
    for piece in pieces:
        v = np.stack([piece[k].values for k in ("x", "y", "z")], axis=1)[piece["faces"].values]
        volumes.append(np.einsum("ij,ij->i", v[:, 0], np.cross(v[:, 1], v[:, 2])).sum() / 6)
        edges = np.sort(np.concatenate([piece["faces"].values[:, [i, j]] for i, j in ((0, 1), (1, 2), (2, 0))]), axis=1)
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    inner, outer = sorted(volumes, key=abs)
    # flat triangles with vertices on the sphere: second order, h = 0.1; the inner one faces its own inside
    assert inner == pytest.approx(-4 / 3 * np.pi * 0.15**1.5, rel=0.05)
    assert outer == pytest.approx(4 / 3 * np.pi * 0.35**1.5, rel=0.03)


@few
@given(st.integers(-3, 3), st.integers(-3, 3))
def test_translation_by_whole_cells_changes_no_measure(i, j):
    x, y = plane(32)
    h = 2 / 32
    at, moved = (disc(x, y, 0.4, a, b) * np.exp(-a) for a, b in ((0.02, 0.05), (0.02 + i * h, 0.05 + j * h)))
    # the spline forgets its ends like 0.27^k, k >= 6 cells away
    assert float(mcf.perimeter(moved)) == pytest.approx(float(mcf.perimeter(at)), rel=1e-7)
    assert float(mcf.volume(moved)) == pytest.approx(float(mcf.volume(at)), rel=1e-7)


def test_lazy_and_boolean_fields():
    x, y = plane(32)
    u = disc(x, y)
    d = mcf.signed_distance(u.chunk(10))
    assert d.chunks == u.chunk(10).chunks
    xr.testing.assert_identical(d.compute(), mcf.signed_distance(u))
    assert d.attrs["units"] == "length"
    f = mcf.signed_distance(u > 0)
    np.testing.assert_array_equal(f > 0, u > 0)
    assert float(mcf.volume(u > 0)) == pytest.approx(np.pi / 4, rel=0.05)  # cells of 1/16


@pytest.mark.parametrize("function", [mcf.signed_distance, mcf.perimeter, mcf.volume, mcf.contours])
def test_bad_input_is_refused(function):
    x, y = plane(8)
    u = x + y
    with pytest.raises(TypeError, match="u must be"):
        function(u.values)
    with pytest.raises(ValueError, match="u must not hold NaN"):
        function(u.where(u > 0))
    with pytest.raises(ValueError, match="u must be finite"):
        function(u.where(u > 0, np.inf))


def test_a_boundary_is_needed():
    x, y = plane(8)
    u = x + y
    with pytest.raises(ValueError, match=r"u must have a boundary.*empty"):
        mcf.contours(u - 9)
    with pytest.raises(ValueError, match=r"v must have a boundary.*full"):
        mcf.hausdorff(u, u + 9)
    with pytest.raises(ValueError, match="v must have"):
        mcf.hausdorff(u, plane(9)[0] + plane(9)[1])
