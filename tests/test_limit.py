"""The limit flow against exact solutions (O3-O5), conservation laws, symmetry and an independent level-set run."""

import numpy as np
import pytest
import xarray as xr

from mcfpaper import densities as rhos
from mcfpaper import grids, limit
from mcfpaper import oracles as o
from mcfpaper.limit import limit_flow
from mcfpaper.solvers import levelset
from mcfpaper.solvers.planeflow import FINE, PlaneFlow

TRACKED = 1e-6  # an ODE step is good to 1e-9 of the box, some hundred add up: measured 4e-8 to 5e-7


def plane(n=96, half=1.0):
    g = grids.grid(n, -half, half)
    y, x = grids.mesh(g)
    return g, x, y, 2 * half / n


def same(g, f):
    return rhos.from_functions(g, f, f)


def deviation(field, exact, width):
    """Largest difference within `width` of the exact front; both are signed distances there."""
    near = np.abs(exact) < width
    assert near.any()
    return float(np.abs(field - exact).values[near.values].max())


def check(flow, exact, width, bound):
    """The front is right to `bound`, and the flow's own estimate says no less than its error (rounding apart)."""
    for k, t in enumerate(flow.time.values):
        error = deviation(flow.u[k], exact(t), width)
        assert error < bound
        assert error < float(flow.error[k]) + 1e-8  # 1e-8: the front of `u` itself is a spline's


def test_shrinking_circle():
    g, x, y, h = plane()
    r = np.hypot(x - 0.1, y)
    flow = limit_flow(0.6 - r, rhos.uniform(g), [0.0, 0.05, 0.1, 0.17, 0.2])
    check(flow.isel(time=slice(0, 4)), lambda t: o.shrinking_radius(t, 0.6) - r, 2 * h, TRACKED)
    assert (flow.u[4] == -np.inf).all()  # gone at 0.18
    assert flow.error[4] == 0
    assert flow.u.dims == ("time", "y", "x")
    assert flow.u.attrs["units"] == flow.error.attrs["units"] == "length"


@pytest.mark.parametrize("r0", [0.45, 0.6])
def test_gaussian_data_shrink_or_spread_a_circle(r0):
    g, x, y, h = plane()
    r, s = np.hypot(x, y), 0.5
    flow = limit_flow(r0 - r, same(g, lambda x, y: np.exp(-(x**2 + y**2) / (2 * s**2))), [0.0, 0.05, 0.1])
    check(flow, lambda t: o.gaussian_radius(t, r0, s) - r, 2 * h, TRACKED)


def test_planar_drift_between_two_edges():
    g, x, _, h = plane()
    flow = limit_flow(x - 0.1, same(g, lambda x, y: np.exp(-(x**2) / 0.5)), [0.0, 0.1, 0.4])
    check(flow, lambda t: x - o.gaussian_plane(t, 0.1, 0.5), 2 * h, TRACKED)


def test_paperclip():
    g, x, y, h = plane(160, 2.0)
    flow = limit_flow(o.paperclip_level(x, y, -1.0), rhos.uniform(g), [0.0, 0.3, 0.6, 0.9])
    for k, t in enumerate(flow.time.values):
        px, py = xr.DataArray(o.paperclip_points(t - 1, 200).T, dims=("c", "p"))
        off = float(np.abs(flow.u[k].interp(x=px, y=py, method="linear")).max())
        assert off < 0.2 * h**2 * 2  # linear interpolation of a distance: h^2 kappa / 8 per axis, kappa <= 2.3 here
    fronts = PlaneFlow(o.paperclip_level(x, y, -1.0).values, np.zeros(x.shape), (h, h), FINE).run(np.array([0.0, 0.9]))
    corner = float(x.min())
    for (front,), t in zip(fronts, (-1.0, -0.1), strict=True):
        assert o.paperclip_level(*(front.points[:, ::-1] + corner).T, t) == pytest.approx(0, abs=TRACKED)


@pytest.mark.parametrize("flip", [1, -1])
def test_grim_reaper_travels_at_speed_one(flip):
    """The box is high enough for its arms to be upright (to exp(-5)) where they meet the edge."""
    g = grids.grid((120, 80), (0.0, -2.0), (6.0, 2.0))
    y, x = grids.mesh(g)
    flow = limit_flow(flip * o.grim_reaper_level(x, y, 1.0), rhos.uniform(g), [0.0, 0.5])
    at = np.linspace(-1.2, 1.2, 25)
    for k, t in enumerate((1.0, 1.5)):
        level = flow.u[k].interp(x=("p", at), y=("p", o.grim_reaper(at, t)), method="cubic")
        assert np.abs(level).max() < 2e-6  # cubic interpolation of `u` on this grid, fourth order: measured 1.1e-6


def area(components):
    """Area inside closed curves sampled at an odd number of even parameters: Green's formula, spectrally accurate."""
    total = 0.0
    for f in components:
        z = f.points[:, 0] + 1j * f.points[:, 1]
        slope = np.fft.ifft(np.fft.fft(z) * 1j * np.fft.fftfreq(len(z), 1 / len(z)))
        total += abs(np.sum(z.conj() * slope).imag) * np.pi / len(z)
    return total


def test_area_law_and_rounding_of_a_flower():
    _, x, y, h = plane(128)
    angle = np.arctan2(y, x)
    u = 0.55 + 0.2 * np.cos(3 * angle) + 0.05 * np.sin(5 * angle) - np.hypot(x, y)
    times = np.array([0.0, 0.03, 0.08, 0.14])
    fronts = PlaneFlow(u.values, np.zeros(u.shape), (h, h), FINE).run(times)
    areas = np.array([area(f) for f in fronts])
    assert areas == pytest.approx(o.area_law(times, areas[0]), rel=1e-6)  # markers resolve 1e-6 of the curve
    ratios = [np.ptp(np.linalg.norm(f[0].points - f[0].points.mean(0), axis=1)) / f[0].radius for f in fronts]
    assert (np.diff(ratios) < 0).all()
    assert ratios[-1] < 0.01  # measured 0.0065, at an eighth of the area


def test_components_and_a_hole_live_and_die_on_their_own():
    g, x, y, h = plane(128)
    ring, disc = np.hypot(x + 0.3, y), np.hypot(x - 0.65, y)
    u = np.maximum(np.minimum(0.5 - ring, ring - 0.2), 0.15 - disc)
    times = [0.0, 0.005, 0.015, 0.03, 0.1]
    flow = limit_flow(u, rhos.uniform(g), times)

    def exact(t):
        big, hole, small = (o.shrinking_radius(t, r) for r in (0.5, 0.2, 0.15))
        inner = ring - hole if hole > 0 else big - ring
        return np.maximum(np.minimum(big - ring, inner), small - disc) if small > 0 else np.minimum(big - ring, inner)

    check(flow, exact, 1.5 * h, TRACKED)


@pytest.mark.parametrize(("centre", "where"), [((1.0, 0.0), "edge"), ((1.0, 1.0), "corner")])
def test_discs_cut_by_the_box_shrink_like_whole_ones(centre, where):
    g, x, y, h = plane()
    r = np.hypot(x - centre[0], y - centre[1])
    flow = limit_flow(0.5 - r, rhos.uniform(g), [0.0, 0.05, 0.12, 0.13])
    check(flow.isel(time=slice(0, 3)), lambda t: o.shrinking_radius(t, 0.5) - r, 2 * h, TRACKED)
    assert (flow.u[3] == -np.inf).all()


def test_complement_moves_alike_and_time_composes():
    g, x, y, h = plane(64)
    rho = rhos.from_functions(g, lambda x, y: np.exp(-((x - 0.2) ** 2) - y**2), lambda x, y: 1 + 0.3 * x * y)
    u = 0.6 - np.sqrt(x**2 + 1.5 * y**2 + 0.4 * x * y)
    flow = limit_flow(u, rho, [0.0, 0.02, 0.06])
    mirrored = limit_flow(-u, rho, [0.02, 0.06])
    for k in range(2):
        # another time step history, tolerance 2e-9 a step
        assert deviation(-mirrored.u[k], flow.u[k + 1], 2 * h) < 1e-7
    again = limit_flow(flow.u[1].drop_vars("time"), rho, [0.04])
    # restarting costs the spline through u on the grid, r (h/r)^4/384 = 5e-8 for r = 0.36, where it bends most
    assert deviation(again.u[0], flow.u[2], 2 * h) < 1e-7


def test_weighted_flow_agrees_with_level_sets_and_converges():
    g, x, y, _ = plane(96)
    rho = same(g, lambda x, y: np.exp(np.sin(3 * x) * np.cos(2 * y)))
    u = 0.5 - np.hypot(x, 1.3 * y)
    flow = limit_flow(u, rho, [0.05])
    log = np.log(rho.rho0.values)
    errors = []
    for n in (48, 96):
        gn, xn, yn, hn = plane(n)
        start = limit_flow(0.5 - np.hypot(xn, 1.3 * yn), rhos.uniform(gn), [0.0]).u[0]
        drift = np.stack(
            [-2 * np.sin(3 * xn) * np.sin(2 * yn), 3 * np.cos(3 * xn) * np.cos(2 * yn)]
        )  # the gradient in the order (y, x)
        end = xr.DataArray(levelset.advance(start.values, drift, (hn, hn), 0.05), xn.coords)
        errors.append(deviation(flow.u[0].interp(x=xn.x, y=yn.y, method="cubic"), end, 2 * hn))
    assert log.std() > 0.1
    assert errors[1] < 2e-4  # second order: h^2 is 4e-4
    assert errors[1] < 0.3 * errors[0]


def test_fronts_that_are_drawn_together_never_meet():
    """In a valley of rho both sides of a gap close in on each other exponentially: b(t) = b(0) exp(-a t)."""
    g, x, _, h = plane(64)
    flow = limit_flow(abs(x) - 0.2, same(g, lambda x, y: np.exp(4 * x**2)), [0.0, 0.2, 0.6])
    check(flow, lambda t: abs(x) - 0.2 * np.exp(-8 * t), 2 * h, TRACKED)  # u has a kink, 6 cells from it
    assert 0.2 * np.exp(-8 * 0.6) < 0.1 * h  # far below the grid by then
    g, x, y, h = plane(96)
    u = np.maximum(0.33 - np.hypot(x - 0.4, y), 0.33 - np.hypot(x + 0.4, y))
    flow = limit_flow(u, same(g, lambda x, y: np.exp(-1.5 * np.exp(-(x**2) / 0.03))), [0.0, 0.01, 0.04])
    assert (flow.u.interp(x=0, y=0) < 0).all()
    assert float(flow.error.max()) < 1e-4  # of two discs by COARSE's fewer markers: measured 5e-5


def test_a_disc_driven_through_the_edge_of_the_box_leaves():
    g, x, y, _ = plane(48)
    flow = limit_flow(0.5 - np.hypot(x - 0.3, y), same(g, lambda x, y: np.exp(-6 * x)), [0.0, 0.03, 0.06, 0.3])
    assert (flow.u.sel(time=0.06, x=1, method="nearest") > 0).any()  # a piece of the edge is inside
    assert (flow.u[-1] == -np.inf).all()


def test_intervals_drift_and_leave():
    g = grids.grid(200, dims=("x",))
    x = grids.mesh(g)[0]
    rho = rhos.from_functions(g, lambda x: 0.3 * np.exp(-(x**2) / 0.5), lambda x: 0.7 * np.exp(-(x**2) / 0.5))
    flow = limit_flow(0.3 - abs(x - 0.1), rho, [0.0, 0.1, 0.2, 0.3, 0.5])

    def exact(t):
        return np.minimum(o.gaussian_plane(t, 0.4, 0.5) - x, x - o.gaussian_plane(t, -0.2, 0.5))

    check(flow.isel(time=slice(0, 3)), exact, 0.02, 1e-8)
    right_left = limit_flow(0.1 - abs(x - 0.5), rho, [0.0, 0.2, 0.6]).u
    assert deviation(right_left[1], x - o.gaussian_plane(0.2, 0.4, 0.5), 0.02) < 1e-7  # the kink of u, 10 cells away
    assert right_left[1, -1] > 0  # its right end has left the box at 0.13
    assert (right_left[2] == -np.inf).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_point_on_a_cell_centre(sign):
    """Interpolation may give 0 there or either sign; without a drift the point stays."""
    for n in range(4, 24):
        x = xr.DataArray(0.3 * np.arange(n), {"x": 0.3 * np.arange(n)}, "x")
        distance = sign * (x - x[n // 2])
        flow = limit_flow(distance * np.exp(0.1 * x), rhos.uniform(distance), [0.0, 1.0])
        np.testing.assert_allclose(flow.u, [distance, distance], atol=1e-12)  # rounding
        assert (flow.error < 1e-12).all()


def test_length_units_may_be_large():
    assert (levelset.advance(np.full((4, 4), 1e12), np.zeros((2, 4, 4)), (1e10, 1e10), 1e21) > 0).all()


def test_ball_in_three_dimensions():
    g = grids.grid(32, dims=("z", "y", "x"))
    z, y, x = grids.mesh(g)
    r, s = np.sqrt(x**2 + y**2 + z**2), 0.6
    flow = limit_flow(0.6 - r, same(g, lambda x, y, z: np.exp(-(x**2 + y**2 + z**2) / (2 * s**2))), [0.0, 0.02, 0.04])
    check(flow, lambda t: o.gaussian_radius(t, 0.6, s, 3) - r, 0.1, 0.12 * (2 / 32) ** 2)  # second order: measured 0.09
    gone = limit_flow(0.3 - r, rhos.uniform(g), [0.05])
    assert (gone.u == -np.inf).all()


@pytest.mark.parametrize(("value", "kind"), [(-np.inf, float), (np.inf, float), (-1.0, float), (True, bool)])
def test_empty_and_full_stay(value, kind):
    g, x, _, _ = plane(16)
    u = xr.full_like(x, value, dtype=kind)
    flow = limit_flow(u, rhos.uniform(g), [0.0, 1.0])
    assert (flow.u == (np.inf if value > 0 else -np.inf)).all()
    assert (flow.error == 0).all()


def test_rough_and_tiny_sets():
    g, x, y, h = plane(48)
    u = 0.5 - np.hypot(x, y) + 0.5 * h * xr.DataArray(np.random.default_rng(0).normal(size=x.shape), x.coords)
    flow = limit_flow(u, rhos.uniform(g), [0.0, 0.02])
    assert deviation(flow.u[1], o.shrinking_radius(0.02, 0.5) - np.hypot(x, y), h) < 0.5 * h  # the noise's own size
    cell = xr.zeros_like(x, dtype=bool)
    cell[20, 20] = True
    tiny = limit_flow(cell, rhos.uniform(g), [0.0, h**2])
    assert (tiny.u[0] > 0).sum() == 1
    assert (tiny.u[1] == -np.inf).all()


def test_opposite_ends_are_infinitely_far_apart(monkeypatch):
    """The set vanishes in one of the two computations behind the estimate and fills the box in the other."""
    g, x, y, _ = plane(12)
    monkeypatch.setattr(PlaneFlow, "run", lambda self, times: [-np.inf if self.at is FINE else np.inf] * len(times))
    assert (limit_flow(0.5 - np.hypot(x, y), rhos.uniform(g), [0.0, 0.1]).error == np.inf).all()
    ends = {True: np.inf, False: -np.inf}
    monkeypatch.setattr(limit, "_level_sets", lambda u, log, h, *_: [np.full(u.shape, ends[h[0] > 0.3])])
    g = grids.grid(10, dims=("z", "y", "x"))
    z, y, x = grids.mesh(g)
    assert (limit_flow(0.5 - np.sqrt(x**2 + y**2 + z**2), rhos.uniform(g), [0.1]).error == np.inf).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_speck_too_small_to_be_traced(sign):
    g, x, _, _ = plane(12)
    u = xr.full_like(x, -1.0)
    u[5, 7] = 1e-9
    flow = limit_flow(sign * u, rhos.uniform(g), [0.0, 0.1])
    assert (flow.u == -sign * np.inf).all()
    assert (flow.error == 0).all()


@pytest.mark.parametrize("times", [[], [-0.1, 0.1], [0.1, 0.1], [0.2, 0.1], [np.nan], [0.0, np.inf], 0.5])
def test_times_are_checked(times):
    g, x, y, _ = plane(16)
    with pytest.raises(ValueError, match="times must"):
        limit_flow(0.5 - np.hypot(x, y), rhos.uniform(g), times)


def test_other_bad_input():
    g, x, y, _ = plane(32)
    u = 0.5 - np.hypot(x, y)
    with pytest.raises(TypeError, match="times must"):
        limit_flow(u, rhos.uniform(g), ["a"])
    with pytest.raises(ValueError, match="NaN"):
        limit_flow(u.where(u < 0.3), rhos.uniform(g), [0.1])
    with pytest.raises(ValueError, match="vanish everywhere"):
        limit_flow(u, 0 * rhos.uniform(g), [0.1])
    with pytest.raises(ValueError, match="where the front passes"):
        limit_flow(u, rhos.uniform(g).where(x > 0, 0.0), [0.1])
    with pytest.raises(ValueError, match="coordinate"):
        limit_flow(u, rhos.uniform(plane(32, 2.0)[0]), [0.1])
