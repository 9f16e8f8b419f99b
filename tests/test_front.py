"""The smooth step against exact laws (theory.md O1, O2), its symmetries, its certificate and what it does at ends."""

import numpy as np
import pytest

from mcfpaper import oracles
from mcfpaper.kernels import contour, spline
from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers import barriers, curvefront, curves, front, mincut, starts
from mcfpaper.solvers.force import Field, force, frame
from mcfpaper.solvers.newton import StepData

EPS = TAU = 0.05


def grid(n, d=2):
    """Spacing and coordinates of n cells a side on [-1, 1]^d."""
    h = 2.0 / n
    return h, *np.meshgrid(*[(np.arange(n) + 0.5) * h - 1.0] * d, indexing="ij")


def points(u, h):
    """Points of the front of u on [-1, 1]^d, from the spline's roots on grid edges."""
    c = spline.prefilter(u)
    lattice, axes = contour.widened(c, u)
    return contour.edge_roots(c, lattice, *axes)[:, 3 - u.ndim :] * h + 0.5 * h - 1.0


def radii(u, h):
    return np.sqrt((points(u, h) ** 2).sum(1))


def flat(r):
    return 0.5 + 0.0 * r


def bell(r):
    return 0.5 * np.exp(-r * r / 2)


UNEQUAL = {
    "bells": (lambda r: 0.7 * np.exp(-r * r), lambda r: 0.3 * np.exp(-r * r / 4)),
    "growing": (lambda r: 0.2 + 0.3 * r**2, lambda r: np.exp(-2 * r * r)),
    "waves": (lambda r: 0.5 + 0.3 * np.cos(3 * r), lambda r: 0.4 + 0.0 * r),
}


@pytest.mark.parametrize("name", UNEQUAL)
def test_force_is_exact_on_a_circle(name):
    # the spline of a signed distance is off by h^2/12 of its fourth derivative: 2e-4 of the curvature at n = 64
    h, x, y = grid(64)
    r = np.hypot(x, y)
    a, b = UNEQUAL[name]
    u = Field(0.6 - r, (h, h))
    y0 = points(0.6 - r, h)
    p = force(frame(u, (y0 + 1.0) / h - 0.5, (h, h)), Field(a(r), (h, h)), Field(b(r), (h, h)), EPS).p
    exact = oracles.radial_subgradient(0.6, a, b, EPS)
    assert np.abs(p - exact).max() < 1e-3 * max(1.0, abs(exact))


@pytest.mark.parametrize("n", [64, 128, 256])
@pytest.mark.parametrize("a", [flat, bell])
def test_disc_step_equal_densities(n, a):
    h, x, y = grid(n)
    r = np.hypot(x, y)
    out = front.step(0.6 - r, a(r), a(r), EPS, TAU, (h, h))
    found = radii(out.u, h)
    assert out.converged
    assert out.certified
    # required: 0.005 cells; what the splines of a distance leave is of second order, measured 0.0073 h^2
    assert abs(found.mean() - oracles.radial_step(0.6, a, a, EPS, TAU)) < 0.01 * h**2
    assert np.ptp(found) < 1e-5 * h  # measured 3e-6 at 64 cells, 6e-8 at 256


@pytest.mark.parametrize("name", UNEQUAL)
def test_disc_step_unequal_densities(name):
    h, x, y = grid(128)
    r = np.hypot(x, y)
    a, b = UNEQUAL[name]
    out = front.step(0.6 - r, a(r), b(r), EPS, TAU, (h, h))
    found = radii(out.u, h)
    assert out.converged
    assert out.certified
    # required: 0.02 cells; the closed form has no smearing, so the bounds for equal densities hold too
    assert abs(found.mean() - oracles.radial_step(0.6, a, b, EPS, TAU)) < 0.01 * h**2
    assert np.ptp(found) < 1e-5 * h


def test_flow_of_a_disc_to_the_empty_set():
    h, x, y = grid(128)
    half = np.full(x.shape, 0.5)
    u, radius, tau = 0.6 - np.hypot(x, y), 0.6, 0.0125
    for _ in range(20):
        u = front.step(u, half, half, EPS, tau, (h, h)).u
        radius = oracles.ball_step(radius, tau)
        if radius == 0.0:
            break
        found = radii(u, h)
        assert abs(found.mean() - radius) < 0.003 * h  # required: 0.03 at 256 cells; measured 0.0016, of second order
        assert np.ptp(found) < 1e-5 * h  # measured 4e-6
    assert np.isneginf(u).all()


def test_one_dimension():
    h, x = grid(200, 1)

    def a(s):
        return 0.5 * np.exp(-s * s)

    def b(s):
        return 0.3 + 0.1 * s

    out = front.step(x - 0.1023, a(x), b(x), EPS, 0.01, (h,))
    assert out.converged
    assert out.certified
    # splines of smooth densities are of fourth order: measured 1e-10
    assert np.abs(points(out.u, h) - oracles.planar_step(0.1023, a, b, EPS, 0.01)).max() < 1e-8 * h


def test_plane_across_the_grid_axes_and_a_wall():
    h, x, y = grid(64)
    half = np.full(x.shape, 0.5)
    out = front.step(x - 0.0123, half, half, EPS, TAU, (h, h))  # touches the box edge, does not move
    assert np.abs(points(out.u, h)[:, 0] - 0.0123).max() < 1e-12 * h
    out = front.step(0.6 - np.hypot(x - 1.0, y), half, half, EPS, TAU, (h, h))  # half a disc on the wall
    p = points(out.u, h)
    # of second order as a whole disc's, 0.0073 h^2 on average: here the largest, measured 0.013
    assert np.abs(np.hypot(p[:, 0] - 1.0, p[:, 1]) - oracles.ball_step(0.6, TAU)).max() < 0.02 * h**2


@pytest.mark.parametrize("degrees", [0, 17, 45, 80])
def test_planes_at_any_angle(degrees):
    # walls bend the front, by exp(-distance/sqrt(tau)) of a few cells: a thousandth at the centre
    n, tau = 256, 0.0125
    h, x, y = grid(n)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))

    def a(t):
        return 0.5 * np.exp(-0.5 * (t + 0.2) ** 2)

    def b(t):
        return 0.3 + 0.1 * t + 0.02 * t * t

    t = c * x + s * y
    out = front.step(t - 0.0123, a(t), b(t), EPS, tau, (h, h))
    assert out.converged
    assert out.certified
    p = points(out.u, h)
    p = p[np.hypot(*p.T) < 0.1]
    assert len(p) > 10
    assert np.abs(p @ (c, s) - oracles.planar_step(0.0123, a, b, EPS, tau)).max() < 0.002 * h


def ellipse(n=96):
    h, x, y = grid(n)
    u = redistance(1.0 - np.hypot((x + 0.1) / 0.7, (y - 0.03) / 0.45), (h, h))
    return h, u, 0.3 + 0.2 * np.exp(-x * x - y * y), 0.5 + 0.1 * x


def test_symmetries():
    # exact up to the order of sums; conjugate gradients stop at the same iterate
    h, u, a, b = ellipse()
    base = front.step(u, a, b, EPS, 0.0125, (h, h)).u
    close = np.abs(base) < 0.2
    swapped = front.step(-u, b, a, EPS, 0.0125, (h, h)).u
    assert np.abs(base + swapped)[close].max() < 1e-6 * h
    mirrored = front.step(u[:, ::-1], a[:, ::-1], b[:, ::-1], EPS, 0.0125, (h, h)).u[:, ::-1]
    assert np.abs(base - mirrored)[close].max() < 1e-6 * h
    turned = front.step(u.T, a.T, b.T, EPS, 0.0125, (h, h)).u.T
    assert np.abs(base - turned)[close].max() < 1e-6 * h


@pytest.mark.parametrize("tol", [0.3, 0.1, 0.02])
def test_gap_bounds_the_error(tol):
    h, u, a, b = ellipse()
    near = np.abs(u) < 0.3
    exact = front.step(u, a, b, EPS, 0.0125, (h, h), tol=1e-9 * h).u  # runs until the front stands still
    out = front.step(u, a, b, EPS, 0.0125, (h, h), tol=tol * h)
    assert out.converged
    assert out.gap <= tol * h
    band = near & (np.abs(exact) < 2 * h)
    assert np.abs(out.u - exact)[band].max() <= out.gap


SHAPES = {
    "square": lambda x, y: 0.5 - np.maximum(np.abs(x), np.abs(y)),
    "dumbbell": lambda x, y: np.maximum(
        0.35 - np.hypot(np.abs(x) - 0.5, y), np.minimum(0.1 - np.abs(y), 0.5 - np.abs(x))
    ),
    "star": lambda x, y: 0.55 + 0.22 * np.cos(5 * np.arctan2(y, x)) - np.hypot(x, y),
    "discs": lambda x, y: 0.3 - np.hypot(np.abs(x) - 0.36, y),
    "corner": lambda x, y: 0.3 - x - 0.4 * y,  # meets two walls, neither at a right angle
}


@pytest.mark.parametrize("name", SHAPES)
def test_first_step_of_rough_shapes_converges_and_gap_bounds_its_error(name):
    h, x, y = grid(64)
    f, tau = redistance(SHAPES[name](x, y), (h, h)), 0.0125
    a, b = 0.7 * np.exp(-x * x - y * y), 0.3 + 0.1 * x
    out = front.step(f, a, b, EPS, tau, (h, h))
    assert out.converged
    assert out.certified
    assert out.gap <= 0.005 * h
    problem = StepData(f, a, b, EPS, tau, (h, h))
    exact, _ = curvefront.relax(problem, out.u)
    for _ in range(3):  # nodes a sixteenth of a cell apart
        exact, _ = curvefront.refined(problem, exact)
    band = np.abs(out.u) < 2 * h
    assert np.abs(out.u - exact.distance(f.shape))[band].max() <= out.gap


def test_no_certificate_where_rays_cross():
    h, x, y = grid(64)
    f, half = np.abs(x) - 0.04 + 0.0 * y, np.full(x.shape, 0.5)  # two half planes, a gap narrower than 2 eps
    problem = StepData(f, half, half, EPS, 1e-3, (h, h))
    found, _ = curvefront.relax(problem, f)
    proof = barriers.certify(problem, found)
    assert not proof.holds
    assert front.step(f, half, half, EPS, 1e-3, (h, h)).reason == "full"


def test_curves_that_cross():
    h, x, y = grid(64)
    u = redistance(0.6 - np.hypot((x + 1.0) / 1.2, y), (h, h))  # ends on a wall
    simple = curvefront.CurveFront(curves.extract(u, (h, h)), (h, h))
    assert not curvefront.crossing(simple)
    s = np.linspace(0.0, 2 * np.pi, 200, endpoint=False) + 0.01  # no node on the crossing
    eight = curves.Curve(1.0 + 0.5 * np.stack([np.sin(s), np.sin(2 * s)], 1))
    assert curvefront.crossing(curvefront.CurveFront([eight], (h, h)))
    rings = [curves.Curve(1.0 + 0.4 * np.stack([np.cos(s) + d, np.sin(s)], 1)) for d in (0.0, 0.5)]
    assert curvefront.crossing(curvefront.CurveFront(rings, (h, h)))
    assert not curvefront.crossing(curvefront.CurveFront(rings[:1], (h, h)))


def test_distance_to_curves():
    h, x, y = grid(64)
    u = redistance(0.6 - np.hypot((x + 1.0) / 1.2, y), (h, h))  # ends on a wall, at a right angle
    found = curvefront.CurveFront(curves.extract(u, (h, h)), (h, h)).distance(u.shape)
    far = np.abs(found - u) > 1e-3 * h
    assert not far[np.abs(u) < 0.15].any()
    assert far.mean() < 0.01  # at the medial axis


def test_nested_sets_stay_nested():
    h, x, y = grid(64)
    a, b = bell(np.hypot(x, y)), 0.4 + 0.1 * y
    rng = np.random.default_rng(3)
    for _ in range(4):
        angle = np.arctan2(y, x)
        k, phase = rng.integers(2, 4), rng.uniform(0, 6)
        inner = 0.5 + 0.04 * np.cos(k * angle + phase) - np.hypot(x, y)
        outer = np.maximum(inner + 0.01, 0.6 - np.hypot(x - 0.05, y))
        pair = [front.step(redistance(w, (h, h)), a, b, EPS, 0.0125, (h, h)) for w in (inner, outer)]
        band = np.abs(pair[0].u) < 2 * h
        assert (pair[0].u - pair[1].u)[band].max() <= pair[0].gap + pair[1].gap


def test_sets_that_vanish_or_fill_the_box():
    h, x, y = grid(64)
    half, r = np.full(x.shape, 0.5), np.hypot(x, y)
    gone = front.step(0.4 - r, half, half, EPS, TAU, (h, h))  # below 2.31 sqrt(tau) = 0.516 (O2)
    assert gone.reason == "empty"
    assert np.isneginf(gone.u).all()
    full = front.step(r - 0.3, half, half, EPS, TAU, (h, h))
    assert full.reason == "full"
    assert np.isposinf(full.u).all()
    for infinite in (-np.inf, np.inf):
        stays = front.step(np.full(x.shape, infinite), half, half, EPS, TAU, (h, h))
        assert (stays.u == infinite).all()
        assert stays.converged


def test_a_small_piece_vanishes_and_a_large_one_stays():
    h, x, y = grid(96)
    half = np.full(x.shape, 0.5)
    u = redistance(np.maximum(0.45 - np.hypot(x + 0.4, y), 0.15 - np.hypot(x - 0.5, y)), (h, h))
    out = front.step(u, half, half, EPS, 0.0125, (h, h))
    p = points(out.u, h)
    found = np.hypot(p[:, 0] + 0.4, p[:, 1])
    assert np.abs(found - oracles.ball_step(0.45, 0.0125)).max() < 0.01 * h**2  # as a disc alone


@pytest.mark.slow
@pytest.mark.parametrize("name", ["square", "dumbbell", "star", "discs", "annulus"])
def test_hard_shapes_reach_the_empty_set(name):
    h, x, y = grid(128)
    half = np.full(x.shape, 0.5)
    shapes = {
        "square": 0.5 - np.maximum(np.abs(x), np.abs(y)),
        "dumbbell": np.maximum(0.35 - np.hypot(np.abs(x) - 0.5, y), np.minimum(0.1 - np.abs(y), 0.5 - np.abs(x))),
        "star": 0.55 + 0.22 * np.cos(5 * np.arctan2(y, x)) - np.hypot(x, y),
        "discs": 0.3 - np.hypot(np.abs(x) - 0.36, y),
        "annulus": 0.15 - np.abs(np.hypot(x, y) - 0.5),
    }
    u, area = redistance(shapes[name], (h, h)), np.inf
    for _ in range(20):
        u = front.step(u, half, half, EPS, 0.0125, (h, h)).u
        assert (u > 0).mean() < area
        area = (u > 0).mean()
        if area == 0.0:
            break
    assert np.isneginf(u).all()


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b"), [(flat, flat), UNEQUAL["bells"]])
def test_ball_in_three_dimensions(a, b):
    h, x, y, z = grid(48, 3)
    r = np.sqrt(x * x + y * y + z * z)
    out = front.step(0.7 - r, a(r), b(r), 0.15, 0.02, (h, h, h))
    found = radii(out.u, h)
    assert out.converged
    assert out.certified
    assert abs(found.mean() - oracles.radial_step(0.7, a, b, 0.15, 0.02, d=3)) < 0.05 * h
    assert np.ptp(found) < 0.05 * h


def test_budget_of_few_cells_and_a_step_in_doubt():
    # eps = 1.6 cells, and tau so large that other minimisers are looked for: energies have to tell them apart
    n, eps, r0 = 40, 0.16, 1.32
    h = 4.0 / n
    x, y = np.meshgrid(*[(np.arange(n) + 0.5) * h - 2.0] * 2, indexing="ij")
    r = np.hypot(x, y)

    def law(share):
        return lambda q: share * np.exp(-(q**2) / 2.88)

    assert starts.doubtful(r0 - r, eps, eps, (h, h))
    out = front.step(r0 - r, law(0.7)(r), law(0.3)(r), eps, eps, (h, h))
    assert out.certified
    exact = oracles.radial_step(r0, law(0.7), law(0.3), eps, eps)
    band = np.abs(exact - r) < 2 * h
    assert np.abs(out.u - (exact - r))[band].max() < 0.01 * h**2  # as a disc alone


@pytest.mark.parametrize("propose", [starts.coarse, starts.predictor, lambda f, a, b, _, *t: mincut.predicted(f, *t)])
def test_starts_for_lengths_beyond_the_box(propose):
    """As much memory and time as for any other step."""
    h, y, x = grid(16)
    w = propose(0.5 - np.hypot(x, y), flat(x), flat(x), 1e6, 1e20, (h, h))
    assert w.shape == x.shape
    assert not np.isnan(w).any()
