"""The exact engine against brute force, against the graph with every edge, and against the laws T5-T7 and O1-O2."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.optimize import brentq
from scipy.spatial import ConvexHull

from mcfpaper import oracles
from mcfpaper.kernels.balls import NORMS
from mcfpaper.solvers import mincut

SHAPES = [((40,), (0.3,)), ((12, 15), (0.3, 0.3)), ((14, 11), (0.3, 0.2)), ((6, 7, 5), (0.3, 0.2, 0.3))]


def all_subsets(n):
    """All subsets of n cells: (2^n, n) booleans."""
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def neighbours(shape, eps, spacing, norm, cells=slice(None)):
    """Matrix: does y lie in the ball of x? Straight from the definition; rows for the given cells x."""
    at = np.stack(np.meshgrid(*[np.arange(n) * h for n, h in zip(shape, spacing, strict=True)], indexing="ij"), -1)
    d = np.abs(at.reshape(-1, 1, len(shape))[cells] - at.reshape(1, -1, len(shape)))
    length = {"lattice": np.sqrt((d**2).sum(-1)), "box": d.max(-1), "diamond": d.sum(-1)}[norm]
    return length <= eps * (1 + 1e-9)


def ball_offsets(shape, eps, spacing, norm):
    """Offsets in the ball, from the same definition: the neighbours of the middle cell of a box twice as large."""
    wide = tuple(2 * n + 1 for n in shape)
    middle = np.ravel_multi_index(shape, wide)
    row = neighbours(wide, eps, spacing, norm, [middle])[0]
    return np.stack(np.unravel_index(np.flatnonzero(row), wide), -1) - shape


def brute_force(rho0, rho1, w, eps, norm, spacing=(1.0, 1.0)):
    """Least value and minimal and maximal minimiser of sum rho0 (grown - a) + rho1 (a - shrunk) - w a, in integers."""
    shape = w.shape
    a = all_subsets(w.size)
    ball = neighbours(shape, eps, spacing, norm).astype(np.float32)
    grown, shrunk = a @ ball > 0, ~(~a @ ball > 0)
    value = (grown & ~a) @ rho0.ravel() + (a & ~shrunk) @ rho1.ravel() - a @ w.ravel()
    best = a[value == value.min()]
    return value.min(), best.all(0).reshape(shape), best.any(0).reshape(shape)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("eps", [1.0, 1.5, 2.0])
def test_brute_force_with_ties(norm, eps):
    """Small integer data: many ties. All sums are integers, so the comparison is exact."""
    rng = np.random.default_rng(int(10 * eps))
    different = 0
    for top in [1, 1, 2, 2, 3, 5]:
        rho0, rho1 = rng.integers(0, top + 1, (2, 4, 4))
        w = rng.integers(-2 * top, 2 * top + 1, (4, 4))
        value, small, large = brute_force(rho0, rho1, w, eps, norm)
        cut = mincut.solve(rho0, rho1, w / eps, eps, (1.0, 1.0), norm)
        np.testing.assert_array_equal(cut.minimal, small)
        np.testing.assert_array_equal(cut.maximal, large)
        assert cut.info["value"] * eps == pytest.approx(value, abs=1e-12)  # rounding of w/eps
        different += (small != large).any()
    assert different  # the data do have ties


@pytest.mark.parametrize("seed", range(4))
def test_brute_force_real_data(seed):
    """Real data rounded to the quantum as the engine states it: still exact, in int64."""
    rng = np.random.default_rng(seed)
    (rho0, rho1), g, eps = rng.random((2, 4, 4)), rng.normal(size=(4, 4)) * 1.5, 1.5
    cut = mincut.solve(rho0, rho1, g, eps, (1.0, 1.0))
    # 2^-60 of the mass that could move on 4096 cells, 9 in a ball and each in some terms more, as a power of two
    assert cut.info["quantum"] <= 2.0**-59 * 4096 * (9 + 5) * max(rho0.max(), rho1.max())
    quanta = [np.rint(v / cut.info["quantum"]).astype(int) for v in (rho0, rho1, eps * g)]
    _, small, large = brute_force(*quanta, eps, "lattice")
    np.testing.assert_array_equal(cut.minimal, small)
    np.testing.assert_array_equal(cut.maximal, large)


@st.composite
def tied(draw, shapes):
    """Small integers, of which some weigh up to 2^30 times as much and some nothing, a radius, a spacing, a norm."""
    shape = draw(st.sampled_from(shapes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    top = draw(st.integers(1, 5))
    rho0, rho1 = rng.integers(0, top + 1, (2, *shape)) << draw(st.sampled_from([0, 30])) * rng.integers(0, 2, shape)
    w = rng.integers(-2 * top, 2 * top + 1, shape) << draw(st.sampled_from([0, 30])) * rng.integers(0, 2, shape)
    spacing = [draw(st.sampled_from([0.7, 1.0, 1.3])) for _ in shape]
    eps = draw(st.sampled_from([0.3, 0.7, 1.1, 1.4, 2.3, 3.0, 50.0]))
    return rho0, rho1, w, eps, spacing, draw(st.sampled_from(NORMS))


@given(tied([(12,), (3, 4), (2, 2, 3), (1, 5, 2)]), st.sampled_from([2.0**-990, 2.0**-40, 1.0, 2.0**960]))
@settings(max_examples=150)
def test_ties_survive_floating_point(problem, unit):
    """Masses in whole multiples of a power of two, weights as quotients by eps: exact all the same."""
    rho0, rho1, w, eps, spacing, norm = problem
    _, small, large = brute_force(rho0, rho1, w, eps, norm, spacing)
    cut = mincut.solve(rho0 * unit, rho1 * unit, w * unit / eps, eps, spacing, norm)
    np.testing.assert_array_equal(cut.minimal, small)
    np.testing.assert_array_equal(cut.maximal, large)


@given(tied([(30,), (6, 7), (3, 4, 5), (1, 9, 2)]))
@settings(max_examples=100)
def test_plain_graph_with_ties(problem):
    from benchmarks.exact_step import plain_graph

    rho0, rho1, w, eps, spacing, norm = problem
    cut = mincut.solve(rho0, rho1, w / eps, eps, spacing, norm)
    ball = ball_offsets(w.shape, eps, spacing, norm)
    for which in ("minimal", "maximal"):
        np.testing.assert_array_equal(getattr(cut, which), plain_graph(rho0, rho1, w, ball, which))


@given(tied([(12,), (3, 4), (2, 2, 3)]))
@settings(max_examples=40)
def test_every_level_of_the_proximal_solution_by_all_sets(problem):
    """{u > t} and, from the problem turned over, {u >= t} at all levels, tied values of u among them."""
    rho0, rho1, w, eps, spacing, norm = problem
    rho0, rho1 = rho0 % 8, rho1 % 8
    f = w % 17 - 8.0
    f.flat[:2] = -8, 8
    u = mincut.proximal(rho0, rho1, f, eps, eps, spacing, norm, depth=4)
    v = mincut.proximal(rho1, rho0, -f, eps, eps, spacing, norm, depth=4)  # of -f: -u
    for t in range(-7, 8):
        weight = ((rho0 + rho1) * (f - t)).astype(int)
        _, small, large = brute_force(rho0, rho1, weight, eps, norm, spacing)
        np.testing.assert_array_equal(u.lower >= t, small)
        np.testing.assert_array_equal(v.lower < -t, large)


@pytest.mark.parametrize(("shape", "spacing"), SHAPES)
@pytest.mark.parametrize("norm", NORMS)
def test_plain_graph(shape, spacing, norm):
    """Random data, smooth and rough, real and integer: the same two sets as from all edges."""
    from benchmarks.exact_step import plain_graph

    rng = np.random.default_rng(len(shape))
    eps = 0.65
    ball = ball_offsets(shape, eps, spacing, norm)
    for smooth in (0, 1, 2):
        rho0, rho1, g = (ndimage.gaussian_filter(rng.normal(size=shape), smooth) for _ in range(3))
        rho0, rho1, g = abs(rho0), abs(rho1), 2 * g / eps
        if smooth == 1:
            rho0, rho1, g = np.rint(8 * rho0), np.rint(8 * rho1), np.rint(12 * g * eps) / eps
        cut = mincut.solve(rho0, rho1, g, eps, spacing, norm)
        quanta = [np.rint(v / cut.info["quantum"]).astype(np.int64) for v in (rho0, rho1, eps * g)]
        for which in ("minimal", "maximal"):
            np.testing.assert_array_equal(getattr(cut, which), plain_graph(*quanta, ball, which))


def distance(a, spacing):
    """Signed distance between cell centres, half a cell off the boundary on either side: monotone in the set."""
    half = min(spacing) / 2
    inside = ndimage.distance_transform_edt(a, spacing) - half
    return np.where(a, inside, half - ndimage.distance_transform_edt(~a, spacing))


def smooth_problem(seed, shape=(30, 26)):
    """Random smooth densities, spacing, and two nested sets, neither empty nor full."""
    rng = np.random.default_rng(seed)
    rho0, rho1 = (np.exp(ndimage.gaussian_filter(rng.normal(size=shape), 4) * 6) for _ in range(2))
    v = ndimage.gaussian_filter(rng.normal(size=shape), 2.5)
    return rho0, rho1, (0.1, 0.12), v > np.quantile(v, 0.6), v > np.quantile(v, 0.45)


@pytest.mark.parametrize("seed", range(3))
def test_T5_levels_of_the_proximal_solution_are_cuts(seed):
    """{u > t} is the minimal cut for f - t at every level, and the interval holds the maximal one too."""
    rho0, rho1, spacing, a, _ = smooth_problem(seed)
    f, eps, tau, depth = distance(a, spacing), 0.25, 0.1, 4
    u = mincut.proximal(rho0, rho1, f, eps, tau, spacing, depth=depth)
    step = (f.max() - f.min()) / 2**depth
    assert u.info["resolution"] == step
    np.testing.assert_allclose(u.upper - u.lower, step, rtol=1e-12)
    for t in f.min() + np.arange(1, 2**depth) * step:
        cut = mincut.solve(rho0, rho1, (rho0 + rho1) * (f - t) / tau, eps, spacing)
        np.testing.assert_array_equal(u.lower >= t, cut.minimal)
        assert ((u.upper >= t) >= cut.maximal).all()  # u >= t implies that the upper bound is


@pytest.mark.parametrize("seed", range(6))
def test_T6_monotone_in_the_set(seed):
    """A ⊂ B gives S(A) ⊂ S(B) for the minimal and for the maximal step."""
    rho0, rho1, spacing, a, b = smooth_problem(seed)
    cuts = [mincut.solve(rho0, rho1, (rho0 + rho1) * distance(s, spacing) / 0.08, 0.25, spacing) for s in (a, b)]
    assert (cuts[0].minimal <= cuts[1].minimal).all()
    assert (cuts[0].maximal <= cuts[1].maximal).all()
    assert all((c.minimal <= c.maximal).all() for c in cuts)
    assert cuts[1].minimal.any()


@pytest.mark.parametrize("seed", range(3))
def test_T6_proximal_solution(seed):
    """f <= g gives u_f <= u_g, a shift of the data shifts u, and sup |u_f - u_g| <= sup |f - g|.

    Data, shift and levels are dyadic, so that f - t and (f + c) - (t + c) are the same floating-point number.
    """
    rho0, rho1, spacing, a, b = smooth_problem(seed, (20, 18))
    f, g = (np.rint(64 * distance(s, spacing)) / 64 for s in (a, b))
    u, v, w = (mincut.proximal(rho0, rho1, x, 0.25, 0.1, spacing, depth=6, bounds=(y, y + 4.0))
               for x, y in ((f, -2.0), (g, -2.0), (f + 0.25, -1.75)))  # fmt: skip
    assert (u.lower <= v.lower).all()
    np.testing.assert_array_equal(w.lower, u.lower + 0.25)
    # the lower bounds are u rounded down to a level, hence one step more
    assert abs(u.lower - v.lower).max() <= abs(f - g).max() + u.info["resolution"]


@pytest.mark.parametrize("seed", range(4))
def test_T7_energy_inequality(seed):
    """The step's own energy does not exceed the old set's: Per + distance term <= Per of the start."""
    rho0, rho1, spacing, a, _ = smooth_problem(seed)
    eps, tau = 0.25, 0.05
    for _ in range(3):
        g = (rho0 + rho1) * distance(a, spacing) / tau
        cut = mincut.solve(rho0, rho1, g, eps, spacing)
        old = mincut.energy(a, rho0, rho1, g, eps, spacing)
        rounding = 1e-13 * np.prod(spacing) * np.sum((rho0 + rho1) / eps + abs(g))  # of the sums, and of the quantum
        for new in cut[:2]:
            per = mincut.energy(new, rho0, rho1, 0 * g, eps, spacing)
            moved = np.prod(spacing) * np.sum(abs(g[new ^ a]))
            assert per + moved <= mincut.energy(a, rho0, rho1, 0 * g, eps, spacing) + rounding
            assert cut.info["value"] <= old + rounding
        if not cut.minimal.any():
            break
        a = cut.minimal


def test_minimal_and_maximal_differ():
    """Equal energies of the old interval and of the empty set: 2 R rho = sum of f rho eps/tau, all dyadic."""
    f = 4.0 - abs(np.arange(30) - 15)  # sum over the 7 cells where it is positive: 16
    half, eps, tau = np.full(30, 0.5), 2.0, 8.0
    cut = mincut.solve(half, half, f / tau, eps, (1.0,))
    assert not cut.minimal.any()
    np.testing.assert_array_equal(cut.maximal, f >= 0)  # a cell with f = 0 at either end costs nothing
    longer = mincut.solve(half, half, f / 7.5, eps, (1.0,))  # a slightly smaller tau decides
    np.testing.assert_array_equal(longer.minimal, f > 0)


def test_a_forced_cell_is_in_whatever_it_costs():
    """A cell forced in among cells forced out costs all the mass of its ball, and rounding may not make that a tie."""
    for shape in ((5,), (3, 3), (70, 70)):
        one, g = np.ones(shape), np.full(shape, -np.inf)
        g[tuple(n // 2 for n in shape)] = np.inf
        for a in mincut.solve(one, one, g, 1.5, (1.0,) * len(shape))[:2]:
            np.testing.assert_array_equal(a, g > 0)


def planar_root(b0, eps, tau):
    """O1, A = {x > b}: the balance of mass at b, for the two densities of the next test."""

    def rho0(x):
        return np.exp(-((x + 0.6) ** 2))

    def rho1(x):
        return 0.7 * np.exp(-((x - 0.5) ** 2) / 2)

    def law(b):
        force = rho0(b) - rho0(b - eps) + rho1(b + eps) - rho1(b)
        return force / eps + (b - b0) * (rho0(b) + rho1(b)) / tau

    return brentq(law, b0 - 1, b0 + 1, xtol=1e-12), rho0, rho1


def test_O1_planar_asymmetric():
    """In one dimension the lattice ball is isotropic: front and profile to one cell."""
    n, eps, tau, b0 = 800, 0.1, 0.15, 0.2
    h = 6.0 / n
    x = -3 + h * (np.arange(n) + 0.5)
    b, rho0, rho1 = planar_root(b0, eps, tau)
    assert abs(b - b0) > 5 * h  # the front does move
    cut = mincut.solve(rho0(x), rho1(x), (rho0(x) + rho1(x)) * (x - b0) / tau, eps, (h,))
    for a in cut[:2]:
        assert abs(x[a].min() - h / 2 - b) <= h
        assert a[np.argmax(a) :].all()
    u = mincut.proximal(rho0(x), rho1(x), x - b0, eps, tau, (h,), depth=5, bounds=(-0.4, 0.4))
    for j in range(1, 32):
        t = -0.4 + 0.025 * j
        assert abs(x[u.lower >= t - 1e-9].min() - h / 2 - planar_root(b0 + t, eps, tau)[0]) <= h


def test_O2_disc_to_the_anisotropy_of_the_lattice():
    """r = 0.6 -> 0.5 exactly; the lattice ball of 6.4 cells has facets: radius 0.484 ... 0.53 (theory.md section 4)."""
    n, r0, tau = 256, 0.6, 0.05
    h = 2 / n
    x = -1 + h * (np.arange(n) + 0.5)
    r = np.hypot(*np.meshgrid(x, x))
    half = np.full((n, n), 0.5)
    cut = mincut.solve(half, half, (r0 - r) / tau, tau, (h, h))
    np.testing.assert_array_equal(cut.minimal, cut.maximal)
    a = cut.minimal
    assert 10 * cut.info["edges"] < n * n * len(ball_offsets((13, 13), 6.4, (1.0, 1.0), "lattice"))
    assert r[a].max() < 0.53 + h
    assert r[~a].min() > 0.484 - h
    for image in (a.T, a[::-1], a[:, ::-1]):  # the symmetries of the square
        np.testing.assert_array_equal(image, a)
    # the radius falls below what survives: the empty set is exact (O2, with a margin for the lattice)
    assert not mincut.solve(half, half, (0.45 - r) / tau, tau, (h, h)).maximal.any()


def largest_turn(cells):
    """Largest angle between neighbouring edges of the lattice disc's convex hull."""
    z = ball_offsets((2 * int(cells) + 1,) * 2, cells, (1.0, 1.0), "lattice")
    corners = z[ConvexHull(z).vertices]
    edges = np.diff(corners, axis=0, append=corners[:1]) @ [1, 1j]
    return np.abs(np.angle(np.roll(edges, -1) / edges)).max()


@pytest.mark.parametrize("complement", [False, True])
@pytest.mark.parametrize(("n", "eps", "tau"), [(128, 0.05, 0.05), (192, 0.1, 0.02)])
def test_O1_radial_asymmetric_to_the_anisotropy_of_the_lattice(n, eps, tau, complement):
    """The front holds a circle of the exact radius between its circles, and those are a facetted front's, to a cell.

    Curvature for a lattice ball sits in facets with the normals of the ball's hull: between two of them, an angle b
    apart, a corner is left at most, 1/cos(b/2) times as far out as the facets.
    """

    def rho0(r):
        return 0.2 + 0.5 * r**2

    def rho1(r):
        return np.exp(-2 * r**2)

    h = 2 / n
    x = -1 + h * (np.arange(n) + 0.5)
    r = np.hypot(*np.meshgrid(x, x))
    exact = oracles.radial_step(0.6, rho0, rho1, eps, tau, complement=complement)
    f = (r - 0.6) if complement else (0.6 - r)
    for a in mincut.solve(rho0(r), rho1(r), (rho0(r) + rho1(r)) * f / tau, eps, (h, h))[:2]:
        ball = ~a if complement else a
        far, near = r[ball].max(), r[~ball].min()
        assert near - h <= exact <= far + h
        assert far - near <= exact * (1 / np.cos(largest_turn(eps / h) / 2) - 1) + 2 * h


def test_O1_intervals():
    """In one dimension there is no anisotropy: both ends to one cell, for an interval and its complement."""
    n, eps, tau = 1200, 0.1, 0.15
    h = 6.0 / n
    x = -3 + h * (np.arange(n) + 0.5)
    rho0, rho1 = 0.6 * np.exp(-(x**2) / 3), 0.9 * np.exp(-(x**2))
    for sign in (1, -1):
        exact = oracles.radial_step(
            1.0, lambda r: 0.6 * np.exp(-(r**2) / 3), lambda r: 0.9 * np.exp(-(r**2)), eps, tau, 1, complement=sign < 0
        )
        assert abs(exact - 1.0) > 5 * h
        for a in mincut.solve(rho0, rho1, sign * (rho0 + rho1) * (1.0 - abs(x)) / tau, eps, (h,))[:2]:
            ball = a if sign > 0 else ~a
            np.testing.assert_array_equal(
                ball[np.abs(np.abs(x) - exact) > h], (abs(x) < exact)[abs(abs(x) - exact) > h]
            )


def test_forced_cells_and_guess():
    """Infinite weights force cells; a guess, however wrong, changes nothing."""
    rho0, rho1, spacing, a, b = smooth_problem(1)
    g = (rho0 + rho1) * distance(a, spacing) / 0.05
    g[:3], g[-3:] = np.inf, -np.inf
    first = mincut.solve(rho0, rho1, g, 0.25, spacing)
    assert first.minimal[:3].all()
    assert not first.maximal[-3:].any()
    for guess in (distance(~b, spacing), np.zeros_like(g)):
        other = mincut.solve(rho0, rho1, g, 0.25, spacing, guess=guess)
        np.testing.assert_array_equal(other.minimal, first.minimal)
        np.testing.assert_array_equal(other.maximal, first.maximal)
    for side in ("minimal", "maximal"):
        one = mincut.solve(rho0, rho1, g, 0.25, spacing, side=side)
        np.testing.assert_array_equal(getattr(one, side), getattr(first, side))


@pytest.mark.parametrize("eps", [0.5, 7.5, 100.0, 1e30, 1e200])
def test_extreme_balls(eps):
    """A ball of one cell (no perimeter at all), and balls wider than the box (all or nothing moves)."""
    rng = np.random.default_rng(3)
    rho0, rho1, g = *rng.random((2, 4, 4)), rng.normal(size=(4, 4))
    cut = mincut.solve(rho0, rho1, g, eps, (1.0, 1.0))
    quanta = [np.rint(np.clip(v / cut.info["quantum"], -(2**55), 2**55)).astype(int) for v in (rho0, rho1, eps * g)]
    _, small, large = brute_force(*quanta, eps, "lattice")
    np.testing.assert_array_equal(cut.minimal, small)
    np.testing.assert_array_equal(cut.maximal, large)


def test_no_mass_and_errors():
    """Without mass the sign of g decides; wrong values are named."""
    g = np.array([[1.0, 0.0], [-1.0, np.inf]])
    cut = mincut.solve(np.zeros((2, 2)), np.zeros((2, 2)), g, 1.0, (1.0, 1.0))
    np.testing.assert_array_equal(cut.minimal, g > 0)
    np.testing.assert_array_equal(cut.maximal, g >= 0)
    one = np.ones((2, 2))
    for args, words in (
        ((one, one[:1], one, 1.0, (1.0, 1.0)), "one shape"),
        ((-one, one, one, 1.0, (1.0, 1.0)), "rho0"),
        ((one, one * np.nan, one, 1.0, (1.0, 1.0)), "rho1"),
        ((one, one, one * np.nan, 1.0, (1.0, 1.0)), "NaN"),
        ((one, one, one, 1.0, (1.0, 1.0), "lattice", "left"), "side"),
        ((one, one, one, 1.0, (1.0, 1.0), "round"), "norm"),
    ):
        with pytest.raises(ValueError, match=words):
            mincut.solve(*args)
