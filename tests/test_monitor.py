"""The invariants monitor, on sets and runs whose invariants are known."""

import itertools

import numpy as np
import pytest
import strategies as own
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import mcfpaper as mcf
from mcfpaper import grids, monitor

GRID, H = mcf.grid(64), 1 / 32
Y, X = grids.mesh(GRID)
RHO = mcf.densities.uniform(GRID, prior=0.3)
EPS, TAU, STEPS = 0.1, 0.0125, 3


def disc(radius, x=0.0, y=0.0):
    return radius - np.hypot(X - x, Y - y)


@pytest.fixture(scope="module")
def smooth():
    return mcf.evolve(disc(0.6), RHO, EPS, STEPS * TAU, TAU, progress=False)


@pytest.fixture(scope="module")
def exact():
    rho = mcf.densities.gaussian(GRID, [0.1, 0.0], 2.0, [-0.2, 0.1], 3.0)
    return rho, mcf.evolve(disc(0.6) > 0, rho, EPS, STEPS * 0.03, 0.03, method="exact", ball="box", progress=False)


@pytest.mark.parametrize(("inner", "shift"), [(0.3, 0.1), (0.3, 0.3), (0.6, 0.0), (0.2, 0.45)])
def test_overhang_of_discs(inner, shift):
    """The farthest point is on the axis: r + d - R; without a shift all points are."""
    u, v = disc(inner, shift), 2 * disc(0.5)  # v is no distance: it is made one
    # the nearest vertex is h/2 away at most, where the distance has fallen to second order; splines: 1e-5
    slack = 1e-5 + inner * shift / (inner + shift) * (H / 2 / inner) ** 2 / 2
    assert monitor.overhang(u, v) == pytest.approx(inner + shift - 0.5, abs=slack)


def test_overhang_sees_a_hole():
    """The ring has the disc's boundary within it, yet not the disc's centre."""
    ring = np.minimum(disc(0.8), -disc(0.3))
    # the four cell centres about the middle of the hole are h/sqrt2 from it
    assert monitor.overhang(disc(0.5), ring) == pytest.approx(0.3, abs=H)
    assert monitor.overhang(ring, disc(0.8)) == pytest.approx(0.0, abs=1e-6)  # what the splines of a distance miss


@given(st.data())
@settings(max_examples=40)
def test_overhang_of_whole_cells(data):
    """Zero or less exactly for subsets; else the distance to the nearest cell of the other set, by all pairs."""
    coords = data.draw(own.grids())
    a, b = data.draw(own.sets(coords)), data.draw(own.sets(coords))
    out = monitor.overhang(a, b)
    assert (out <= 0) == bool((~a | b).all())
    if a.any() and b.any() and out > 0:
        points = np.stack([np.ravel(c) for c in grids.mesh(coords)], axis=-1)
        apart = [np.hypot.reduce(points[b.values.ravel()] - p, axis=-1).min() for p in points[(a & ~b).values.ravel()]]
        assert out == pytest.approx(max(apart), rel=1e-9)


def test_overhang_of_empty_and_full_sets():
    none, all_ = xr.full_like(X, -np.inf), xr.full_like(X, np.inf)
    assert monitor.overhang(none, disc(0.5)) == monitor.overhang(disc(0.5), all_) == -np.inf
    assert monitor.overhang(disc(0.5), none) == np.inf
    # the corner cell's centre
    assert monitor.overhang(all_, disc(0.5)) == pytest.approx(np.sqrt(2) * (1 - H / 2) - 0.5, abs=1e-5)


def test_overhang_refuses_what_it_cannot_compare():
    with pytest.raises(TypeError, match="both be boolean"):
        monitor.overhang(disc(0.5), disc(0.5) > 0)
    with pytest.raises(ValueError, match="v"):
        monitor.overhang(disc(0.5), disc(0.5)[::2])


@given(st.data())
@settings(max_examples=25)
def test_lipschitz_by_all_pairs(data):
    """Over the whole grid, and of the pairs near the front alone."""
    coords = data.draw(own.grids())
    u = data.draw(own.fields(coords))
    h = [abs(float(coords[d][1] - coords[d][0])) for d in coords]
    cells, worst, near = list(np.ndindex(u.shape)), 0.0, 0.0
    for a, b in itertools.combinations(cells, 2):
        if max(abs(np.subtract(a, b))) == 1:
            slope = abs(u.values[a] - u.values[b]) / np.hypot.reduce(np.subtract(a, b) * h)
            worst = max(worst, slope)
            near = max(near, slope) if max(abs(u.values[a]), abs(u.values[b])) <= 0.5 else near
    assert monitor.lipschitz(u) == pytest.approx(worst, rel=1e-12)
    assert monitor.lipschitz(u, 0.5) == pytest.approx(near, rel=1e-12)
    assert monitor.lipschitz(xr.full_like(u, -np.inf)) == 0


def test_disc_in_a_smooth_run(smooth):
    """O2 gives every step's motion and energy."""
    found = monitor.invariants(smooth, RHO)
    radii = [0.6]
    for _ in range(STEPS):
        radii.append(float(mcf.oracles.ball_step(radii[-1], TAU)))
    lost = -np.diff(radii)
    # two steps of a flow, each within 0.01 H^2 of O2 (test_front)
    np.testing.assert_allclose(found["retreat"], lost, atol=0.02 * H**2)
    np.testing.assert_allclose(found["advance"], -lost, atol=0.02 * H**2)
    rho = float((RHO.rho0 + RHO.rho1)[0, 0])
    old, new = np.array(radii[:-1]), np.array(radii[1:])
    spent = 2 * np.pi * rho * (old * (old**2 - new**2) / 2 - (old**3 - new**3) / 3) / TAU
    excess = spent - 2 * np.pi * rho * (old - new)
    # so the perimeters are within that, times 2 pi rho, and the distance term, quadratic in the motion, too
    np.testing.assert_allclose(found["energy_excess"], excess, atol=4 * 2 * np.pi * rho * 0.01 * H**2)
    assert (found["energy_excess"] < 0).all()
    # a distance's difference quotients are 1 at most, up to the spline that it comes from
    assert 0.99 < float(found["lipschitz"].max()) < 1 + 1e-6
    assert (found["lipschitz_everywhere"] >= found["lipschitz"]).all()
    np.testing.assert_array_equal(found["gap"], smooth["gap"][1:])


@pytest.mark.parametrize("kind", ["smooth", "exact"])
def test_figures_agree_with_those_of_evolve(kind, request):
    """Computed anew from the sets; evolve has its own way to the same figures."""
    rho, run = request.getfixturevalue("exact") if kind == "exact" else (RHO, request.getfixturevalue("smooth"))
    found, energy = monitor.invariants(run, rho), run["nonlocal_perimeter"].values
    excess = energy[1:] + run["dissipation"].values[1:] - energy[:-1]
    # rounding; the smooth ones take the distance of a distance, 1e-5 of the perimeter
    np.testing.assert_allclose(found["energy_excess"], excess, atol=1e-12 if kind == "exact" else 1e-5 * energy[0])


def test_sets_of_cells(exact):
    rho, run = exact
    found = monitor.invariants(run, rho)
    inside = run["u"].values > 0
    for k in range(STEPS):
        assert (found["advance"].values[k] <= 0) == (not (inside[k + 1] & ~inside[k]).any())
        assert (found["retreat"].values[k] <= 0) == (not (inside[k] & ~inside[k + 1]).any())
    assert (found["energy_excess"] <= 1e-12).all()
    assert (found["lipschitz_everywhere"] <= 1 + 1e-12).all()
    assert (found["gap"] == 0).all()


@pytest.mark.parametrize("kind", ["smooth", "exact"])
def test_a_run_played_backwards_is_found_out(kind, request):
    """The sets grow, and the energy with them."""
    rho, run = request.getfixturevalue("exact") if kind == "exact" else (RHO, request.getfixturevalue("smooth"))
    back = run.isel(time=slice(None, None, -1)).assign_coords(time=run["time"])
    found = monitor.invariants(back, rho)
    assert (found["advance"] > 0.5 * H).all()
    assert (found["energy_excess"] > 0.01).all()
    row = monitor.table({"backwards": found}).loc["backwards"]
    assert (row["steps"], row["nested"]) == (STEPS, 0)


def test_table(smooth, exact):
    runs = {"disc": monitor.invariants(smooth, RHO), "cells": monitor.invariants(exact[1], exact[0])}
    table = monitor.table(runs)
    assert list(table.index) == ["disc", "cells"]
    for name, found in runs.items():
        assert table.loc[name, "certified"] == table.loc[name, "converged"] == STEPS
        assert table.loc[name, "largest gap / h"] == pytest.approx(float(found["gap"].max()) / H)
        assert table.loc[name, "worst energy excess"] == float(found["energy_excess"].max())
    assert table.loc["disc", "nested"] == STEPS


def test_a_store_gives_the_same(smooth, tmp_path):
    stored = mcf.evolve(disc(0.6), RHO, EPS, STEPS * TAU, TAU, store=tmp_path / "run.zarr", progress=False)
    xr.testing.assert_allclose(monitor.invariants(stored, RHO), monitor.invariants(smooth, RHO), rtol=1e-12)


def test_runs_to_the_empty_set():
    """A set that vanishes is nested, spends what it had and has constant u."""
    with pytest.warns(UserWarning, match="O2"):
        run = mcf.evolve(disc(0.5), RHO, EPS, 0.16, 0.08, progress=False)
    found = monitor.invariants(run, RHO)
    assert (found["advance"] == -np.inf).all()
    assert found["retreat"].values[0] == pytest.approx(0.5 - H / np.sqrt(2), abs=1e-4)  # the innermost cell centres
    assert found["retreat"].values[1] == -np.inf
    assert found["energy_excess"].values[0] < 0
    assert found["energy_excess"].values[1] == 0
    assert (found["lipschitz_everywhere"] == 0).all()


def test_nesting(smooth):
    """A disc of radius r within one of radius R, both shrinking: the margin grows."""
    outer = mcf.evolve(disc(0.63, 0.03), RHO, EPS, STEPS * TAU, TAU, progress=False)
    found, back = monitor.nesting(smooth, outer), monitor.nesting(outer, smooth)
    # they touch; the nearest vertex is H/2 away at most, where the distance has fallen by 9.7e-6, see the discs above
    assert abs(float(found["overhang"][0])) < 2e-5
    assert (found["overhang"] <= found["allowed"] + 2e-5).all()
    assert (np.diff(found["overhang"]) < 0).all()
    np.testing.assert_allclose(back["overhang"][0], 0.06, atol=2e-5)
    np.testing.assert_allclose(found["allowed"], np.cumsum(smooth["gap"].values + outer["gap"].values))
    turned = monitor.nesting(smooth, outer.transpose("x", "y", "time"))
    np.testing.assert_allclose(turned["overhang"], found["overhang"], atol=1e-12)  # rounding


def test_bad_input(smooth, exact):
    with pytest.raises(ValueError, match="at least one step"):
        monitor.invariants(smooth.isel(time=[0]), RHO)
    with pytest.raises(ValueError, match="attributes"):
        monitor.invariants(smooth.drop_attrs(), RHO)
    with pytest.raises(ValueError, match="variables"):
        monitor.invariants(smooth.drop_vars("gap"), RHO)
    with pytest.raises(ValueError, match="64 cells"):
        monitor.invariants(smooth, mcf.densities.uniform(mcf.grid(32)))
    with pytest.raises(ValueError, match="same times"):
        monitor.nesting(smooth, smooth.isel(time=slice(2)))
    small = smooth.assign_coords(time=1e-9 * smooth["time"])
    with pytest.raises(ValueError, match="same times"):
        monitor.nesting(small, small.assign_coords(time=2 * small["time"]))
    with pytest.raises(ValueError, match="64 cells"):
        monitor.nesting(smooth, smooth.isel(x=slice(32)))
    with pytest.raises(ValueError, match="coordinate 'x' of inner"):
        monitor.nesting(smooth, smooth.assign_coords(x=smooth["x"] + 0.5))
    with pytest.raises(ValueError, match="method"):
        monitor.nesting(smooth, exact[1].assign_coords(time=smooth["time"]))
