"""Steps and flows on dask-backed fields in space: the single block's result, whatever the chunks."""

import warnings
from contextlib import contextmanager

import dask
import numpy as np
import pytest
import strategies as own
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

import mcfpaper as mcf
from mcfpaper._spaced import SpaceProblem
from mcfpaper.kernels.boolean_distance import boolean_distance
from mcfpaper.solvers import bricks, mincut

# cells: what splines on windows forget (3e-5 of second differences that the band's end leaves), seen: 1.1e-6
FORGOTTEN = 1e-5
# cells: beyond WIDTH osculating paraboloids are used, between as many bricks in different order; at focal points a
# paraboloid is off by the third order of a cell's half width, 0.85^3/6 times the change of curvature, below 0.05 here
FAR = 0.01
N, EPS, TAU = 56, 4 * 2 / 56, 4 * (2 / 56) ** 2
SCALARS = ("perimeter", "nonlocal_perimeter", "volume", "risk", "adversarial_risk", "dissipation")
PLAIN = {}


@pytest.fixture(autouse=True)
def small_bricks(monkeypatch):
    """Several bricks on a small grid."""
    monkeypatch.setattr(bricks, "SIDE", 28)


def coordinates(n=N):
    return mcf.grid(n, dims=("z", "y", "x"))


def ellipsoid(coords, radii=(0.5, 0.6, 0.45), centre=(0.0, 0.0, 0.0)):
    """A level-set function that is no distance."""
    u = 1 - sum(((coords[k] - c) / r) ** 2 for k, r, c in zip("xyz", radii, centre, strict=True))
    return xr.DataArray(u.transpose(*coords.dims), coords, name="u")


def densities(coords):
    return mcf.densities.from_functions(
        coords, lambda x, y, z: np.exp(-((x - 0.2) ** 2) - y**2 - z**2), lambda x, y, z: 0.8 + 0.3 * x - 0.2 * y * z
    )


STARTS = {
    "ellipsoid": ellipsoid,
    "complement": lambda c: -ellipsoid(c),
    "plane": lambda c: xr.DataArray((0.1 - c["z"] + 0 * c["x"] * c["y"]).transpose(*c.dims), c),  # meets four walls
}


def plain_run(kind):
    coords = coordinates()
    if kind not in PLAIN:
        PLAIN[kind] = mcf.evolve(STARTS[kind](coords), densities(coords), EPS, 2 * TAU, TAU)
    return PLAIN[kind]


def same(lazy, plain):
    h = abs(float(plain.x[1] - plain.x[0]))
    apart = abs(lazy.u - plain.u)
    assert float(apart.where(abs(plain.u) < 11 * h).max()) <= FORGOTTEN * h
    assert float(apart.max()) <= FAR * h
    for name in ("gap", *SCALARS):
        if name in plain:
            # u moved by FORGOTTEN moves areas and masses by that much of the front's area, below 10 here; by tau: /tau
            np.testing.assert_allclose(lazy[name], plain[name], atol=10 * FORGOTTEN * h / TAU * h, rtol=0)
    for name in ("certified", "converged", "iterations"):
        np.testing.assert_array_equal(lazy[name], plain[name])


@contextmanager
def no_single_task():
    """Steps that are solved in one task fail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpaceProblem, "_dense", refused)
        yield


def refused(*args):
    raise AssertionError("not to be called")


@given(data=st.data())
@settings(max_examples=2)
def test_a_step_is_that_of_a_single_block_for_any_chunks(data):
    coords = coordinates(40)
    u, rho = ellipsoid(coords, (0.65, 0.7, 0.6)), densities(coords)
    if "step" not in PLAIN:
        PLAIN["step"] = mcf.step(u, rho, 0.15, 0.01)
    with dask.config.set(scheduler=data.draw(st.sampled_from(["synchronous", "threads"]))), no_single_task():
        lazy = mcf.step(data.draw(own.chunkings(u)), rho.map(lambda r: data.draw(own.chunkings(r))), 0.15, 0.01)
        same(lazy.compute(), PLAIN["step"])


@pytest.mark.slow
@given(data=st.data(), kind=st.sampled_from(sorted(STARTS)), scheduler=st.sampled_from(["synchronous", "threads"]))
@settings(max_examples=6)
def test_a_flow_is_that_of_a_single_block_for_any_chunks(data, kind, scheduler):
    coords = coordinates()
    u, rho = STARTS[kind](coords), densities(coords)
    plain = plain_run(kind)
    lazy = data.draw(own.chunkings(u))
    lazy_rho = rho.map(lambda r: data.draw(own.chunkings(r))) if data.draw(st.booleans()) else rho
    with dask.config.set(scheduler=scheduler), no_single_task():
        run = mcf.evolve(lazy, lazy_rho, EPS, 2 * TAU, TAU)
        assert run.u.chunks[1:] == lazy.chunks
        assert run.attrs == plain.attrs
        assert set(run.data_vars) == set(plain.data_vars)
        same(run.compute(), plain)


@pytest.mark.slow
def test_results_do_not_depend_on_the_chunks_at_all(tmp_path):
    """To the last bit, and neither when a run was resumed from its store."""
    coords = coordinates(48)
    u, rho, eps, tau = ellipsoid(coords), densities(coords), 0.15, 0.005
    runs = [mcf.evolve(u.chunk(z=z, x=x), rho.chunk(y=x), eps, 2 * tau, tau).compute() for z, x in ((17, 48), (48, 30))]
    xr.testing.assert_identical(*runs)
    mcf.evolve(u.chunk(19), rho, eps, tau, tau, store=tmp_path / "run.zarr")
    resumed = mcf.evolve(u.chunk(x=30), rho, eps, 2 * tau, tau, store=tmp_path / "run.zarr")
    xr.testing.assert_equal(resumed.compute(), runs[0])


def test_far_blocks_are_not_touched_by_a_step(monkeypatch):
    """Neither bricks of the densities nor of f that are far from the front, once the problem is set up."""
    monkeypatch.setattr(bricks, "SIDE", 20)
    coords = coordinates(84)
    u, rho = ellipsoid(coords, (0.25, 0.25, 0.24), (-0.62, -0.62, -0.62)).chunk(24), densities(coords).chunk(24)
    allowed = [True]

    def guarded(values, block_info=None):
        where = block_info[0]["array-location"]
        assert allowed[0] or max(a for a, _ in where) < 72, "a far block was read"
        return values

    rho = rho.map(lambda r: r.copy(data=r.data.map_blocks(guarded, dtype=float, meta=np.empty((0, 0, 0)))))
    problem = SpaceProblem(u, rho, 3 / 42, 0.001)
    start = problem.start()
    allowed[0] = False
    with pytest.MonkeyPatch.context() as patch, no_single_task():
        patch.setattr(bricks, "far_distance", refused)
        result = problem.step(start)
        assert problem.state(result, start).volume > 0
        assert result.certified


@pytest.mark.parametrize(
    ("start", "doubt"),
    [(ellipsoid, False), (lambda c: ellipsoid(c, (0.5, 0.5, 0.5), (0.4, 0.0, 0.0)), True), (STARTS["plane"], False)],
)
def test_a_front_that_faces_a_wall_is_near_its_image(start, doubt):
    coords = coordinates()
    problem = SpaceProblem(start(coords).chunk(30), densities(coords).chunk(40), EPS, TAU)
    assert problem._doubtful(problem._level(problem.start())) == doubt


@pytest.mark.slow
def test_a_set_that_falls_apart_is_solved_in_one_task():
    from benchmarks.space import dumbbell

    u, rho = dumbbell(40, neck=0.12)
    eps, tau, h = 0.1, 0.008, (0.05,) * 3  # balls 0.3 apart: nearer than 2 eps they attract
    f = boolean_distance(u.values > 0, h) / tau
    exact = mincut.solve(rho.rho0.values, rho.rho1.values, f, eps, h, side="minimal").minimal
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that corners keep the step from its tolerance
        plain = mcf.step(u, rho, eps, tau)
        lazy = mcf.step(u.chunk(20), rho.chunk(30), eps, tau).compute()
    # either is the solution to within its gap; the box about the front is cut, so that other lattices propose starts
    assert float(abs(lazy.u - plain.u).where(abs(plain.u) < 0.1).max()) <= float(lazy.gap + plain.gap)
    assert [label(a)[1] for a in (u > 0, exact, plain.u > 0, lazy.u > 0)] == [1, 2, 2, 2]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_set_that_vanishes_is_said_to(sign):
    coords = coordinates(32)
    u, rho = sign * ellipsoid(coords, (0.2, 0.2, 0.2)), mcf.densities.uniform(coords)
    with pytest.warns(UserWarning, match="empty set" if sign > 0 else "whole box"):
        run = mcf.evolve(u.chunk(15), rho, 0.2, 0.2, 0.1)
    assert (run.u[1:] == -sign * np.inf).all()
    np.testing.assert_allclose(run.volume[1:], 0.0 if sign > 0 else 8.0, atol=1e-12)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1.0, -1.0])
def test_empty_and_full_sets_stay(value):
    coords = coordinates(28)
    u = xr.full_like(ellipsoid(coords), value)
    out = mcf.step(u.chunk(13), densities(coords), 0.2)
    assert (out.u == np.copysign(np.inf, value)).all()
    assert out.u.chunks == u.chunk(13).chunks


@pytest.mark.slow
def test_a_boolean_set():
    coords = coordinates(48)
    u, rho = ellipsoid(coords) > 0, densities(coords)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that corners keep the step from its tolerance
        lazy = mcf.step(u.chunk(17), rho, 0.15, 0.004).compute()
        plain = mcf.step(u, rho, 0.15, 0.004)
    # the single block takes distances between centres for f, which differ from those to the front by half a cell
    assert float(abs(lazy.u - plain.u).where(abs(plain.u) < 0.1).max()) <= 0.5 * 2 / 48


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("u", lambda u, rho: (u.where(u.x < 0.9), rho)),
        ("u", lambda u, rho: (u.where(u.x < 0.9, np.inf), rho)),
        ("densities", lambda u, rho: (u, -rho)),
        ("densities", lambda u, rho: (u, 0 * rho)),
    ],
)
def test_bad_values_are_named_before_anything_is_done(name, change, tmp_path):
    coords = coordinates(28)
    u, rho = change(ellipsoid(coords).chunk(20), densities(coords).chunk(20))
    with pytest.raises(ValueError, match=name):
        mcf.evolve(u, rho, 0.2, 0.1, store=tmp_path / "run.zarr")
    assert list(tmp_path.iterdir()) == []


def test_figures_for_a_budget_beyond_the_bricks_that_are_kept():
    coords = mcf.grid((120, 3, 3), 0.0, (120.0, 3.0, 3.0), dims=("z", "y", "x"))
    u = xr.DataArray((coords["z"] - 61.7 + 0 * coords["y"] * coords["x"]).transpose(*coords), coords)
    rho = mcf.densities.from_functions(coords, lambda z: np.exp(-((z / 50) ** 2)), lambda z: 1 + np.sin(z / 9))
    eps = bricks.KNOWN + 5.0
    plain, lazy = (mcf.evolve(v, rho, eps, 0.0) for v in (u, u.chunk(z=50)))
    for name in SCALARS:
        # a plane is its own distance; what splines on windows forget of the densities
        np.testing.assert_allclose(lazy[name], plain[name], rtol=1e-5, atol=1e-5 * float(plain["risk"][0]))
