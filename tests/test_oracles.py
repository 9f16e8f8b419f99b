"""The oracles against brute force, closed forms, differential equations and each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq

from mcfpaper import oracles as o
from mcfpaper.oracles._scalar import SPHERE

HALF = 0.5


def bump(mean, s, mass=1.0):
    return lambda r: mass * np.exp(-((r - mean) ** 2) / (2 * s**2))


PAIRS = {
    "constant": (0.5, 0.5),
    "unequal": (0.3, 0.7),
    "gaussian": (bump(1.0, 0.6), bump(0.0, 0.5)),
    "hollow": (bump(0.0, 0.4), bump(1.2, 0.5)),
}


# ---- O1 -------------------------------------------------------------------------------------------------------


def brute_force_ball(r0, rho0, rho1, eps, tau, d, complement, reach, n=30000):
    """The least of D8 over all balls of a fine radial grid, from cell sums: no calculus, no root finding."""
    h = reach / n
    s = (np.arange(2 * n) + 0.5) * h  # cell centres; the dilation may leave the range
    f0, f1 = (np.broadcast_to(q(s) if callable(q) else q, s.shape) * s ** (d - 1) * h for q in (rho0, rho1))
    m0, m1, first = (np.r_[0.0, np.cumsum(q)] for q in (f0, f1, (f0 + f1) * (r0 - s)))
    shift = round(eps / h)
    k = np.arange(1, n)
    inner = np.maximum(k - shift, 0)
    if complement:
        perimeter = m0[k] - m0[inner] + m1[k + shift] - m1[k]
    else:
        perimeter = m0[k + shift] - m0[k] + m1[k] - m1[inner]
    energy = perimeter / eps - first[k] / tau
    best = int(np.argmin(energy))
    return (k[best] * h if energy[best] < 0 else 0.0), SPHERE[d] * energy[best]


@pytest.mark.parametrize("complement", [False, True])
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("pair", PAIRS)
def test_radial_step_is_the_least_energy_of_all_balls(pair, d, complement):
    rho0, rho1 = PAIRS[pair]
    for r0, eps, tau in [(0.8, 0.1, 0.02), (0.5, 0.2, 0.1), (0.15, 0.1, 0.02), (0.9, 0.3, 0.01)]:
        reach = 3.0
        r = o.radial_step(r0, rho0, rho1, eps, tau, d, complement=complement, reach=reach)
        expected, energy = brute_force_ball(r0, rho0, rho1, eps, tau, d, complement, reach)
        assert r == pytest.approx(expected, abs=1.5 * reach / 30000)  # the spacing of the radial grid
        if r > 0:
            exact = o.radial_energy(r, r0, rho0, rho1, eps, tau, d, complement)
            assert exact == pytest.approx(energy, rel=1e-6, abs=1e-6)  # midpoint sums of smooth functions


def test_radial_step_picks_the_better_of_two_roots():
    # class 1 in a core and in a ring: the step from 0.6 can stop at either edge
    def rho1(r):
        return np.where(r < 0.3, 1.0, 0.0) + bump(0.7, 0.05)(r)

    def rho0(r):
        return 0.3 * bump(0.5, 0.05)(r) + 0.01

    chosen = [o.radial_step(0.6, rho0, rho1, 0.05, tau, reach=1.5) for tau in (0.003, 0.3)]
    expected = [brute_force_ball(0.6, rho0, rho1, 0.05, tau, 2, False, 1.5)[0] for tau in (0.003, 0.3)]
    assert chosen == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("shape", ["empty", "outside"])
def test_a_set_that_is_gone_stays_gone(shape):
    assert o.radial_step(0.0, HALF, HALF, 0.1, 0.1) == 0
    path = o.radial_flow(0.39, HALF, HALF, 0.05, 0.03, 4, complement=shape == "outside")
    assert path[0] == 0.39
    assert (path[1:] == 0).all()  # 0.39 is just under the critical radius, 0.4


def test_a_minimiser_beyond_reach_is_reported():
    with pytest.raises(ValueError, match="reach"):
        o.radial_step(1.0, bump(0, 0.3), bump(0, 0.3), 0.1, 0.5, reach=3.0)
    with pytest.raises(ValueError, match="reach"):
        o.planar_step(1.0, bump(0, 0.3), bump(0, 0.3), 0.1, 0.5, reach=3.0)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.2, 1.0), st.floats(0.05, 0.2), st.floats(0.005, 0.05), st.booleans())
def test_level_t_is_the_step_of_a_shifted_distance_and_shrinks_with_t(r0, eps, tau, complement):
    rho0, rho1 = PAIRS["gaussian"]
    levels = np.linspace(-0.1, 0.1, 5)
    radii = [o.radial_step(r0, rho0, rho1, eps, tau, complement=complement, level=t, reach=4.0) for t in levels]
    sign = -1 if complement else 1  # {u > t} falls with t, its hole grows
    assert (np.diff(radii) * sign <= 1e-12).all()
    shifted = o.radial_step(r0 - sign * levels[-1], rho0, rho1, eps, tau, complement=complement, reach=4.0)
    assert radii[-1] == pytest.approx(shifted, abs=1e-10)


@pytest.mark.parametrize("complement", [False, True])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_profile_has_the_steps_as_its_level_sets(d, complement):
    rho0, rho1 = PAIRS["gaussian"]
    r0, eps, tau, reach = 0.9, 0.1, 0.03, 2.5
    args = (r0, rho0, rho1, eps, tau, d)
    for t in (-0.2, -0.05, 0.0, 0.1):
        r = o.radial_step(*args, complement=complement, level=t, reach=reach)
        assert r > 0
        u = o.radial_profile(np.array([r - 1e-6, r + 1e-6]), *args, complement=complement, reach=reach)
        assert u == pytest.approx(t, abs=2e-6)  # a slope of about 1, over 1e-6
        assert (u[0] - t) * (u[1] - t) < 0


def test_profile_minimises_the_proximal_energy():
    """T5 directly: perturbing the profile, plateau included, never lowers TV_eps(u) + ∫ rho (u - f)^2 / (2 tau)."""
    rho0, rho1 = PAIRS["gaussian"]
    r0, eps, tau, d, n = 0.9, 0.1, 0.03, 2, 1500
    s = (np.arange(n) + 0.5) * 2.5 / n
    shift = round(eps * n / 2.5)
    weight0, weight1 = rho0(s) * s ** (d - 1), rho1(s) * s ** (d - 1)

    def energy(u):
        padded = np.r_[u[shift - 1 :: -1], u, np.full(shift, u[-1])]
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * shift + 1)
        spread = (windows.max(1) - u) @ weight0 + (u - windows.min(1)) @ weight1
        return spread / eps + (weight0 + weight1) @ (u - (r0 - s)) ** 2 / (2 * tau)

    u = o.radial_profile(s, r0, rho0, rho1, eps, tau, d, reach=2.5)
    base, rng = energy(u), np.random.default_rng(1)
    for size in (3e-2, 1e-1):
        for _ in range(20):
            centre, width = rng.uniform(0, 1.8), rng.uniform(0.05, 0.4)
            bent = u + rng.choice([-1, 1]) * size * np.exp(-(((s - centre) / width) ** 2))
            assert energy(bent) > base


def test_planar_step_is_the_least_energy_on_a_grid():
    rho0, rho1 = bump(-0.6, 0.4), bump(0.5, 0.6)
    n, h = 40001, 4 / 40000
    s = np.linspace(-2, 2, n)
    m0, m1 = (np.r_[0.0, np.cumsum(q(s) * h)] for q in (rho0, rho1))
    for b0, eps, tau in [(0.0, 0.2, 0.05), (0.3, 0.1, 0.1), (-0.5, 0.3, 0.02)]:
        moved = np.r_[0.0, np.cumsum((s - b0) * (rho0(s) + rho1(s)) * h)]
        k, shift = np.arange(4000, 36000), round(eps / h)
        energy = (m0[k] - m0[k - shift] + m1[k + shift] - m1[k]) / eps + moved[k] / tau
        expected = s[k[np.argmin(energy)]] - h / 2
        assert o.planar_step(b0, rho0, rho1, eps, tau) == pytest.approx(expected, abs=1.5 * h)


def test_planar_step_is_the_radial_step_of_a_far_ball():
    # a slab {|x| < r} in d = 1 is a half space {x_1 > b} seen from its other side
    rho0, rho1 = bump(1.5, 0.5), bump(0.4, 0.5)
    b = o.planar_step(-1.0, lambda x: rho0(-x), lambda x: rho1(-x), 0.1, 0.05)
    assert o.radial_step(1.0, rho0, rho1, 0.1, 0.05, d=1) == pytest.approx(-b, abs=1e-10)


# ---- O2 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "eps"), [(1, 0.05), (2, 0.05), (3, 0.05), (3, 0.2)])
def test_closed_forms_for_constant_densities(d, eps):
    tau = 0.03
    critical = o.ball_critical_radius(tau, d, eps)
    for factor in (0.5, 0.999, 1.001, 1.5, 3.0):
        closed = o.ball_step(factor * critical, tau, d, eps)
        assert closed == pytest.approx(o.radial_step(factor * critical, HALF, HALF, eps, tau, d), abs=1e-9)
    smallest = o.ball_step(critical * (1 + 1e-13), tau, d, eps)
    assert smallest == pytest.approx(o.ball_survival_radius(tau, d, eps), abs=1e-5)  # a square root near its branch
    x = np.linspace(0, 1.2, 301)
    general = o.radial_profile(x, 0.9, HALF, HALF, eps, tau, d)
    assert general == pytest.approx(o.ball_profile(x, 0.9, tau, d, eps), abs=1e-5)  # second order in the table's step


def test_nonlocal_perimeter_of_a_ball_for_constant_densities():
    r, eps = 0.7, 0.2
    assert o.radial_perimeter(r, HALF, HALF, eps, 2) == pytest.approx(2 * np.pi * r, rel=1e-12)
    assert o.radial_perimeter(r, HALF, HALF, eps, 3) == pytest.approx(4 * np.pi * (r**2 + eps**2 / 3), rel=1e-12)
    assert o.ball_survival_radius(0.01, 2) == pytest.approx(np.sqrt(0.03))
    assert o.ball_critical_radius(0.01, 2) == pytest.approx(4 / 3 * np.sqrt(0.03))
    with pytest.raises(ValueError, match="survival radius"):
        o.ball_step(0.5, 0.01, eps=0.2)


# ---- O3, O4, O5 -------------------------------------------------------------------------------------------------


def test_shrinking_ball_and_area_law_agree():
    t = np.linspace(0, 0.4, 9)
    assert np.pi * o.shrinking_radius(t, 0.8) ** 2 == pytest.approx(o.area_law(t, np.pi * 0.64))
    assert o.radial_limit(t, 0.8, np.zeros_like, 3) == pytest.approx(o.shrinking_radius(t, 0.8, 3), abs=1e-6)


def test_gaussian_flow_solves_its_equation():
    t = np.linspace(0, 0.6, 7)
    for r0, d in [(0.9, 2), (0.5, 2), (0.9, 3), (0.3, 1)]:
        ode = o.radial_limit(t, r0, lambda r: -r / 0.36, d)
        assert o.gaussian_radius(t, r0, 0.6, d) == pytest.approx(ode, abs=1e-6)  # 1e-6: a square root at the end
    assert o.gaussian_radius(5.0, 0.6, 0.6) == pytest.approx(0.6)
    assert o.gaussian_plane(t, 0.2, 0.6, -0.1) == pytest.approx(o.planar_limit(t, 0.2, lambda b: -(b + 0.1) / 0.36))


def level_set_residual(u, x, y, t, h=1e-4):
    """u_t - |grad u| div(grad u / |grad u|) at points of {u = 0}, over |grad u|: a velocity."""
    ux = (u(x + h, y, t) - u(x - h, y, t)) / (2 * h)
    uy = (u(x, y + h, t) - u(x, y - h, t)) / (2 * h)
    uxx = (u(x + h, y, t) - 2 * u(x, y, t) + u(x - h, y, t)) / h**2
    uyy = (u(x, y + h, t) - 2 * u(x, y, t) + u(x, y - h, t)) / h**2
    uxy = (u(x + h, y + h, t) - u(x + h, y - h, t) - u(x - h, y + h, t) + u(x - h, y - h, t)) / (4 * h**2)
    ut = (u(x, y, t + h) - u(x, y, t - h)) / (2 * h)
    size = ux**2 + uy**2
    return (ut - (uxx * uy**2 - 2 * uxy * ux * uy + uyy * ux**2) / size) / np.sqrt(size)


def test_paperclip_and_grim_reaper_move_by_curvature():
    for t in (-2.0, -1.0, -0.2):
        x, y = o.paperclip_points(t, 64).T
        assert o.paperclip_level(x, y, t) == pytest.approx(0, abs=1e-13)
        assert level_set_residual(o.paperclip_level, x, y, t) == pytest.approx(0, abs=1e-5)  # h^2 and rounding / h^2
        # the trapezoidal rule is spectrally accurate on an analytic closed curve
        fine = o.paperclip_points(t, 4096)
        area = 0.5 * np.sum(fine[:, 0] * np.roll(fine[:, 1], -1) - np.roll(fine[:, 0], -1) * fine[:, 1])
        assert area == pytest.approx(o.paperclip_area(t), rel=1e-6)  # a polygon, second order: measured 7e-7
    x = np.linspace(-1.3, 1.3, 27)
    assert level_set_residual(o.grim_reaper_level, x, o.grim_reaper(x, 0.3), 0.3) == pytest.approx(0, abs=1e-5)
    assert o.grim_reaper_level(0.0, 1.0, 0.3) > 0 > o.grim_reaper_level(0.0, 0.0, 0.3)
    assert o.paperclip_level(2 * np.pi, 0.0, -1.0) < 0  # no periodic copies
    with pytest.raises(ValueError, match="t must be < 0"):
        o.paperclip_points(0.0)
    with pytest.raises(ValueError, match="pi/2"):
        o.grim_reaper(2.0, 0.0)


@pytest.mark.parametrize("complement", [False, True])
def test_the_scheme_converges_to_the_limit_flow_at_first_order(complement):
    """T9 on O1: error of order eps = tau, by halving twice."""
    rho0, rho1 = bump(1.0, 0.7), bump(0.0, 0.8)

    def dlog(r):
        a, b = rho0(r), rho1(r)
        return -(a * (r - 1.0) / 0.49 + b * r / 0.64) / (a + b)

    exact = o.radial_limit(0.08, 0.9, dlog)
    errors = [
        abs(o.radial_flow(0.9, rho0, rho1, e, e, round(0.08 / e), complement=complement)[-1] - exact)
        for e in (0.004, 0.002, 0.001)
    ]
    # what is of second order halves each time: measured 0.015 and 0.007 at most
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.02)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(1, abs=0.01)


def test_the_planar_scheme_converges_to_the_drift_at_first_order():
    q0, q1, exact = bump(0.0, 0.5, 0.4), bump(0.0, 0.5, 0.6), o.gaussian_plane(0.1, 0.2, 0.5)
    errors = [abs(o.planar_flow(0.2, q0, q1, e, e, round(0.1 / e))[-1] - exact) for e in (0.01, 0.005, 0.0025)]
    # what is of second order halves each time: measured 0.015 and 0.007 at most
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.02)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(1, abs=0.01)


# ---- T3, T4, D10 ------------------------------------------------------------------------------------------------


def test_subgradient_is_the_derivative_of_the_perimeter_and_conserves_mass():
    rho0, rho1 = bump(1.0, 0.3), bump(0.3, 0.4)
    h, r, eps = 1e-5, 0.8, 0.15
    for d in (2, 3):
        for complement, sign in [(False, 1), (True, -1)]:
            ends = [o.radial_perimeter(r + s, rho0, rho1, eps, d, complement) for s in (h, -h)]
            slope = sign * (ends[0] - ends[1]) / (2 * h) / (SPHERE[d] * r ** (d - 1))
            assert o.radial_subgradient(r, rho0, rho1, eps, d, complement) == pytest.approx(slope, rel=1e-7, abs=1e-8)
    # on the line, data far from the ends: p integrates to 0 (T4)
    total, _ = quad(lambda b: o.planar_subgradient(b, rho0, rho1, eps), -3, 4, points=[0.3, 1.0], epsabs=1e-12)
    assert total == pytest.approx(0, abs=1e-10)


def test_general_subgradient_reduces_to_the_radial_one():
    rho0, rho1 = PAIRS["gaussian"]
    points = np.random.default_rng(0).normal(size=(20, 3))
    points *= np.linspace(0.5, 1.5, 20)[:, None] / np.linalg.norm(points, axis=1)[:, None]
    for d in (2, 3):
        x = points[:, :d]
        r = np.linalg.norm(x, axis=1)
        n, Dn = o.ellipse_normals(x, (1.0,) * d)
        p = o.subgradient_density(
            x, n, Dn, lambda y: rho0(np.linalg.norm(y, axis=1)), lambda y: rho1(np.linalg.norm(y, axis=1)), 0.05
        )
        assert p == pytest.approx(o.radial_subgradient(r, rho0, rho1, 0.05, d), rel=1e-10)


def test_subgradient_of_an_ellipse_against_the_derivative_of_tv():
    """The mass of p against a bump is the directional derivative of TV_eps at a smooth u, by brute force."""
    axes, eps, n = (1.2, 0.9), 0.1, 121
    line = np.linspace(-0.4, 0.4, n)
    h = line[1] - line[0]
    X = np.stack(np.meshgrid(0.75 + line, 0.3 + line, indexing="ij"), -1).reshape(-1, 2)

    def rho0(x):
        return 1 + 0.5 * x[:, 0] + 0.2 * x[:, 1] ** 2

    def rho1(x):
        return 0.8 - 0.3 * x[:, 1]

    def phi(x):
        return np.exp(-((x[:, 0] - 0.75) ** 2 + (x[:, 1] - 0.3) ** 2) / 0.005)

    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    circle = eps * np.stack([np.cos(angle), np.sin(angle)], -1)

    def tv(sign):
        """TV_eps of u + s phi, the sup by enumeration of the circle (u has no critical point in the balls)."""

        def u(x):
            return np.sqrt(1e-300 + (x[:, 0] / axes[0]) ** 2 + (x[:, 1] / axes[1]) ** 2) * -1 + sign * 1e-5 * phi(x)

        values = u((X[:, None, :] + circle).reshape(-1, 2)).reshape(len(X), -1)
        up, down, centre = _parabola_max(values), -_parabola_max(-values), u(X)
        return np.sum((up - centre) * rho0(X) + (centre - down) * rho1(X)) * h**2 / eps

    slope = (tv(1) - tv(-1)) / 2e-5
    near = X[np.linalg.norm(X - [0.75, 0.3], axis=1) < 0.27]
    n_, Dn = o.ellipse_normals(near, axes)
    expected = np.sum(o.subgradient_density(near, n_, Dn, rho0, rho1, eps) * phi(near)) * h**2
    assert slope == pytest.approx(expected, rel=2e-3)  # the difference quotient; the bump is cut at 5e-7 of its height


def _parabola_max(values):
    k = values.argmax(1)[:, None]
    a, b, c = (np.take_along_axis(values, (k + j) % values.shape[1], 1)[:, 0] for j in (-1, 0, 1))
    return b + (a - c) ** 2 / (8 * np.maximum(2 * b - a - c, 1e-300))


def test_subgradient_expansion_is_second_order():
    """p_eps = -div(rho n) + eps (G(rho0) - G(rho1)) + O(eps^2), on an ellipsoid with unequal densities (T4)."""
    points = np.random.default_rng(3).uniform(0.4, 0.9, (12, 3))
    n, Dn = o.ellipse_normals(points, (1.5, 1.1, 0.9))
    a, b = np.array([0.3, -0.2, 0.5]), np.array([-0.4, 0.6, 0.1])
    grads = np.array([a, b])
    values = np.exp(points @ grads.T).T
    gradients = values[:, :, None] * grads[:, None, :]
    hessians = gradients[:, :, :, None] * grads[:, None, None, :]
    errors = []
    for eps in (0.08, 0.04, 0.02):
        p = o.subgradient_density(points, n, Dn, lambda x: np.exp(x @ a), lambda x: np.exp(x @ b), eps)
        errors.append(np.abs(p - o.subgradient_expansion(n, Dn, values, gradients, hessians, eps)).max())
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(2, abs=0.01)  # measured 0.004


def test_expansion_of_the_perimeter_t3():
    """T3's first-order correction, on spheres: (eps/2) ∫ [d_nu (rho0 - rho1) + kappa (rho0 - rho1)]."""
    rho0, rho1, r, h = bump(1.0, 0.6), bump(0.0, 0.5), 0.8, 1e-6

    def gap(s):
        return rho0(s) - rho1(s)

    for d in (1, 2, 3):
        area = SPHERE[d] * r ** (d - 1)
        slope = (gap(r + h) - gap(r - h)) / (2 * h)
        errors = [
            o.radial_perimeter(r, rho0, rho1, e, d)
            - area * (rho0(r) + rho1(r) + e / 2 * (slope + (d - 1) / r * gap(r)))
            for e in (0.02, 0.01)
        ]
        assert np.log2(abs(errors[0] / errors[1])) == pytest.approx(2, abs=0.1)  # third order: measured up to 0.064


def test_limit_velocity_of_circles_and_of_one_small_step():
    points = np.array([[0.6, 0.0], [0.0, 0.6], [0.36, 0.48]])
    n, Dn = o.ellipse_normals(points, (1.0, 1.0))
    assert o.limit_velocity(n, Dn, -points / 0.25) == pytest.approx(0.6 / 0.25 - 1 / 0.6)
    q = bump(0.0, 0.5)
    step = (o.radial_step(0.6, q, q, 1e-3, 1e-4) - 0.6) / 1e-4
    assert step == pytest.approx(0.6 / 0.25 - 1 / 0.6, rel=2e-3)  # T8: the error is of order tau and eps^2
    with pytest.raises(ValueError, match="gradient"):
        o.ellipse_normals(np.zeros((1, 2)), (1.0, 1.0))
    with pytest.raises(ValueError, match="radius of curvature"):
        o.subgradient_density(points, n, Dn, lambda x: 1 + 0 * x[:, 0], lambda x: 1 + 0 * x[:, 0], 0.7)


# ---- O7 -------------------------------------------------------------------------------------------------------


def adversarial_brute(rho0, rho1, eps, d, reach, n=60000):
    h = reach / n
    s = (np.arange(n) + 0.5) * h
    m0, m1 = (np.r_[0.0, np.cumsum(q(s) * s ** (d - 1) * h)] for q in (rho0, rho1))
    shift, k = round(eps / h), np.arange(1, n)
    risks = m0[np.minimum(k + shift, n)] + m1[-1] - m1[np.maximum(k - shift, 0)]
    radius = k[np.argmin(risks)] * h
    ends = {0.0: m1[-1], np.inf: m0[-1], radius: risks.min()}
    return min(ends, key=ends.get)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_adversarial_radius_against_all_balls(d):
    cases = [(bump(1.5, 0.4), bump(0.0, 0.6)), (bump(1.5, 0.4), bump(0.0, 0.1)), (bump(1.5, 0.1, 0.1), bump(0, 0.9))]
    found = []
    for eps in (0.05, 0.2, 0.5):
        for rho0, rho1 in cases:
            r = o.adversarial_radius(rho0, rho1, eps, d, reach=6.0)
            assert r == pytest.approx(adversarial_brute(rho0, rho1, eps, d, 6.0), abs=2e-4)
            assert r == o.adversarial_radius(rho1, rho0, eps, d, reach=6.0, complement=True)
            found.append(r)
    assert 0.0 in found
    assert any(0 < r < np.inf for r in found)


def test_adversarial_plane():
    rho0, rho1 = bump(-0.5, 0.4, 0.6), bump(0.5, 0.4, 0.4)
    eps = 0.1
    b = o.adversarial_plane(rho0, rho1, eps, lower=-4, upper=4)
    assert b == pytest.approx(brentq(lambda x: rho0(x - eps) - rho1(x + eps), -1, 1), abs=1e-12)
    assert o.adversarial_plane(rho0, bump(0.5, 0.4, 1e-6), 0.3, lower=-4, upper=4) == np.inf
    assert o.adversarial_plane(bump(-0.5, 0.4, 1e-6), rho1, 0.6, lower=-4, upper=4) == -np.inf


def test_first_order_of_the_adversarial_minimiser():
    """D9: the minimiser lies outward of the Bayes boundary by -eps div(rho nu) / |d_nu (rho1 - rho0)| + O(eps^2)."""
    rho0, rho1 = bump(1.2, 0.5), bump(0.0, 0.6)
    bayes = brentq(lambda r: rho1(r) - rho0(r), 0.2, 1.2)
    h = 1e-6

    def rho(r):
        return rho0(r) + rho1(r)

    divergence = (rho(bayes + h) - rho(bayes - h)) / (2 * h) + rho(bayes) / bayes
    steep = abs(sum(s * (rho1(bayes + s * h) - rho0(bayes + s * h)) for s in (1, -1)) / (2 * h))
    errors = [
        o.adversarial_radius(rho0, rho1, e, 2, reach=5.0) - bayes + e * divergence / steep for e in (0.04, 0.02, 0.01)
    ]
    assert np.log2(np.abs(np.divide(errors[:-1], errors[1:]))) == pytest.approx(2, abs=0.15)  # third order: 0.12, 0.05


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"d": 4}, "d must"),
        ({"eps": 0.0}, "eps"),
        ({"tau": -1.0}, "tau"),
        ({"r0": -1.0}, "r0"),
        ({"rho0": -1.0}, "rho0"),
    ],
)
def test_bad_input(change, word):
    good = {"r0": 1.0, "rho0": 0.5, "rho1": 0.5, "eps": 0.1, "tau": 0.1, "d": 2}
    with pytest.raises(ValueError, match=word):
        o.radial_step(**{**good, **change})


def test_bad_input_elsewhere():
    with pytest.raises(ValueError, match="t must"):
        o.planar_limit([-1.0], 0.0, np.zeros_like)
    with pytest.raises(ValueError, match="rho0 \\+ rho1"):
        o.radial_profile(0.5, 0.9, lambda r: r < 0.5, 0.0, 0.05, 0.01)
    with pytest.raises(ValueError, match="x must"):
        o.radial_profile(9.0, 0.9, HALF, HALF, 0.05, 0.01)
