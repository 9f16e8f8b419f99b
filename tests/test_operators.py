"""Laws of the nonlocal operators on the lattice (theory.md D2-D6, T1, T2, T4), on numpy and on dask."""

import itertools

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import LATTICE, chunkings, densities, fields, grids, radii, sets

from mcfpaper import operators as op
from mcfpaper.kernels import morphology

balls = st.sampled_from(LATTICE)
few = settings(max_examples=20)  # xarray, not the kernels, sets the pace
# Sums of at most 300 terms in double precision, taken in another order: 300 units of rounding and a margin.
ROUNDING = 1e-12


def same(a, b, scale=1.0):
    """Whether two sums agree to rounding, `scale` being the size of their terms' sum."""
    return abs(float(a) - float(b)) <= ROUNDING * (abs(float(a)) + abs(float(b)) + scale)


@st.composite
def problems(draw, field=fields, count=1, **options):
    """Fields (or sets) on one grid, with densities, a radius and a ball."""
    grid = draw(grids(**options))
    drawn = [draw(field(grid)) for _ in range(count)]
    return (*drawn, draw(densities(grid)), draw(radii(grid)), draw(balls))


def brute_force(u, eps, ball):
    """Sup over the ball by comparing all pairs of cell centres."""
    points = np.stack([c.values.ravel() for c in xr.broadcast(*(u[dim] for dim in u.dims))], axis=1)
    gaps = np.abs(points[:, None] - points[None])
    order = {"lattice": 2, "box": np.inf, "diamond": 1}[ball]
    near = np.linalg.norm(gaps, ord=order, axis=2) <= eps * (1 + 1e-9)
    values = u.values.ravel()
    return np.array([values[row].max() for row in near]).reshape(u.shape)


@few
@given(problems())
def test_dilation_is_the_largest_value_in_the_ball(problem):
    u, _, eps, ball = problem
    np.testing.assert_array_equal(op.dilate(u, eps, ball), brute_force(u, eps, ball))


@few
@given(problems(), problems(sets))
def test_erosion_is_dual_to_dilation(of_field, of_set):
    u, _, eps, ball = of_field
    np.testing.assert_array_equal(op.erode(u, eps, ball), -op.dilate(-u, eps, ball))
    a, _, eps, ball = of_set
    np.testing.assert_array_equal(op.erode(a, eps, ball), ~op.dilate(~a, eps, ball))


@few
@given(problems(count=2))
def test_dilation_is_monotone_and_between_its_argument_and_the_maximum(problem):
    u, v, _, eps, ball = problem
    high = op.dilate(np.maximum(u, v), eps, ball)
    low = op.dilate(u, eps, ball)
    assert (low <= high).all()
    assert (u <= low).all()
    assert low.max() == u.max()


@few
@given(problems())
def test_a_larger_ball_dilates_more(problem):
    u, _, eps, _ = problem
    diamond, disc, box = (op.dilate(u, eps, ball) for ball in ("diamond", "lattice", "box"))
    assert (diamond <= disc).all()
    assert (disc <= box).all()
    for ball in LATTICE:
        assert (op.dilate(u, eps, ball) <= op.dilate(u, 1.4 * eps, ball)).all()


@few
@given(problems(sets), st.sampled_from([np.bool_, np.float32, np.float64, np.int16, np.uint8]))
def test_fields_keep_dtype_coordinates_and_attributes_and_are_not_modified(problem, dtype):
    u, _, eps, ball = problem
    u = u.astype(dtype).assign_attrs(units="length").assign_coords(time=3.0).rename("phi")
    before = u.copy(deep=True)
    for operator in (op.dilate, op.erode):
        out = operator(u, eps, ball)
        assert out.dtype == (dtype if dtype in (np.bool_, np.float32, np.float64) else np.float64)
        assert not np.shares_memory(out.values, u.values)
        xr.testing.assert_identical(out.astype(dtype).copy(data=u.values), before)
    xr.testing.assert_identical(u, before)


@pytest.mark.parametrize("eps", [1e3, 1e30, 1e308])
@pytest.mark.parametrize("ball", LATTICE)
def test_budgets_beyond_the_box(eps, ball):
    """All cells are in every ball, on one block and on many: D5 and D6 by hand."""
    u, rho = smooth_problem(12)
    lazy, inside, cell = u.chunk(y=5), u > 0, 1 / 36
    np.testing.assert_array_equal(op.dilate(u, eps, ball), np.full(u.shape, u.max()))
    np.testing.assert_array_equal(op.erode(lazy, eps, ball).compute(), np.full(u.shape, u.min()))
    total = float(((u.max() - u) * rho.rho0 + (u - u.min()) * rho.rho1).sum()) * cell
    assert float(op.nonlocal_tv(lazy, rho, eps, ball)) * eps == pytest.approx(total, rel=1e-12)
    total = float(rho.rho0.where(~inside, 0.0).sum() + rho.rho1.where(inside, 0.0).sum()) * cell
    assert float(op.nonlocal_perimeter(u, rho, eps, ball)) * eps == pytest.approx(total, rel=1e-12)
    assert float(op.subgradient(lazy, rho, eps, ball).sum()) * eps == pytest.approx(0, abs=1e-10)


@few
@given(problems(sets))
def test_adversarial_risk_is_risk_plus_eps_times_perimeter(problem):
    a, rho, eps, ball = problem
    whole = op.risk(a, rho) + eps * op.nonlocal_perimeter(a, rho, eps, ball)
    assert same(op.adversarial_risk(a, rho, eps, ball), whole)


@few
@given(problems(sets))
def test_adversarial_risk_is_the_expected_worst_case(problem):
    a, rho, eps, ball = problem
    wrong0 = brute_force(a.astype(float), eps, ball)  # sup of |1_A - 0|
    wrong1 = brute_force(1.0 - a, eps, ball)  # sup of |1_A - 1|
    rho = rho.transpose(*a.dims)
    cell = np.prod([abs(float(a[dim][1] - a[dim][0])) for dim in a.dims])
    by_definition = (wrong0 * rho.rho0.values + wrong1 * rho.rho1.values).sum() * cell
    assert same(op.adversarial_risk(a, rho, eps, ball), by_definition)


@few
@given(problems())
def test_a_level_set_function_counts_as_the_cells_where_it_is_positive(problem):
    u, rho, eps, ball = problem
    assert float(op.risk(u, rho)) == float(op.risk(u > 0, rho))
    for functional in (op.nonlocal_perimeter, op.adversarial_risk):
        assert float(functional(u, rho, eps, ball)) == float(functional(u > 0, rho, eps, ball))


@few
@given(problems(sets))
def test_the_complement_swaps_the_classes(problem):
    a, rho, eps, ball = problem
    swapped = rho.rename(rho0="rho1", rho1="rho0")
    assert same(op.nonlocal_perimeter(a, rho, eps, ball), op.nonlocal_perimeter(~a, swapped, eps, ball))
    assert same(op.adversarial_risk(a, rho, eps, ball), op.adversarial_risk(~a, swapped, eps, ball))


@few
@given(problems())
def test_coarea(problem):
    u, rho, eps, ball = problem
    levels = np.unique(u)
    layers = sum(
        (high - low) * float(op.nonlocal_perimeter(u > low, rho, eps, ball)) for low, high in itertools.pairwise(levels)
    )
    total = op.nonlocal_tv(u, rho, eps, ball)
    assert same(total, layers, scale=float(np.abs(u).max()) * float(total + 1))


@few
@given(problems(sets))
def test_total_variation_of_an_indicator_is_the_perimeter(problem):
    a, rho, eps, ball = problem
    perimeter = op.nonlocal_perimeter(a, rho, eps, ball)
    assert same(op.nonlocal_tv(a, rho, eps, ball), perimeter)
    assert same(op.nonlocal_tv(a.astype(float), rho, eps, ball), perimeter)


@few
@given(problems(), st.floats(0, 10), st.floats(-10, 10))
def test_total_variation_is_homogeneous_blind_to_constants_and_odd_up_to_the_classes(problem, c, constant):
    u, rho, eps, ball = problem
    total = op.nonlocal_tv(u, rho, eps, ball)
    assert total >= 0
    scale = float(rho.to_array().sum()) * 20 / eps  # of the terms that cancel, u being below 10
    assert same(op.nonlocal_tv(c * u, rho, eps, ball), c * total, scale)
    assert same(op.nonlocal_tv(u + constant, rho, eps, ball), total, scale)
    assert same(op.nonlocal_tv(0 * u + constant, rho, eps, ball), 0, 0)
    swapped = rho.rename(rho0="rho1", rho1="rho0")
    assert same(op.nonlocal_tv(-u, rho, eps, ball), op.nonlocal_tv(u, swapped, eps, ball), scale)


@few
@given(problems(count=2), st.floats(0, 1))
def test_total_variation_is_convex_and_submodular(problem, s):
    u, v, rho, eps, ball = problem
    tv = [float(op.nonlocal_tv(w, rho, eps, ball)) for w in (u, v, s * u + (1 - s) * v)]
    slack = ROUNDING * (1 + tv[0] + tv[1])
    assert tv[2] <= s * tv[0] + (1 - s) * tv[1] + slack
    low, high = (op.nonlocal_tv(w, rho, eps, ball) for w in (np.minimum(u, v), np.maximum(u, v)))
    assert float(low + high) <= tv[0] + tv[1] + slack


@few
@given(problems(sets, count=2))
def test_perimeter_is_submodular(problem):
    a, b, rho, eps, ball = problem
    meet, join, first, second = (op.nonlocal_perimeter(c, rho, eps, ball) for c in (a & b, a | b, a, b))
    assert float(meet + join) <= float(first + second) + ROUNDING * float(1 + first + second)


@few
@given(problems(count=2))
def test_subgradient_is_an_element_of_the_subdifferential(problem):
    u, v, rho, eps, ball = problem
    p = op.subgradient(u, rho, eps, ball)
    cell = np.prod([abs(float(u[dim][1] - u[dim][0])) for dim in u.dims])
    tv_u, tv_v = op.nonlocal_tv(u, rho, eps, ball), op.nonlocal_tv(v, rho, eps, ball)
    size = float(np.abs(p).sum()) * cell
    assert p.dims == u.dims
    assert same((p * cell).sum(), 0, size)
    assert same((p * u).sum() * cell, tv_u, 4 * size)
    assert float(tv_v) >= float(tv_u + (p * (v - u)).sum() * cell) - ROUNDING * (1 + 8 * size)


@few
@given(problems())
def test_nothing_is_written_to_arguments(problem):
    u, rho, eps, ball = problem
    u_before, rho_before = u.copy(deep=True), rho.copy(deep=True)
    for functional in (op.nonlocal_tv, op.nonlocal_perimeter, op.adversarial_risk, op.subgradient):
        functional(u, rho, eps, ball)
    op.risk(u, rho)
    xr.testing.assert_identical(u, u_before)
    xr.testing.assert_identical(rho, rho_before)


@few
@given(problems(), st.data())
def test_order_and_direction_of_the_axes_do_not_matter(problem, data):
    u, rho, eps, ball = problem
    dims = data.draw(st.permutations(u.dims))
    flipped = data.draw(st.sampled_from(u.dims))
    turned = u.transpose(*dims).isel({flipped: slice(None, None, -1)})
    there = op.dilate(turned, eps, ball)
    xr.testing.assert_identical(there, op.dilate(u, eps, ball).transpose(*dims).isel({flipped: slice(None, None, -1)}))
    rho_turned = rho.isel({flipped: slice(None, None, -1)})
    assert same(op.nonlocal_tv(turned, rho_turned, eps, ball), op.nonlocal_tv(u, rho, eps, ball))


@few
@given(problems(dims=st.integers(2, 3)), st.integers(1, 3), st.data())
def test_quarter_turns(problem, turns, data):
    u, rho, eps, ball = problem
    h, n = 0.3, max(u.shape)
    eps, axes = max(eps, h), data.draw(st.permutations(range(u.ndim)))[:2]
    fields = [np.pad(v.transpose(*u.dims).values, [(0, n - k) for k in u.shape]) for v in (u, rho.rho0, rho.rho1)]
    coords = {dim: h * np.arange(n) for dim in u.dims}
    before, after = (
        xr.Dataset({name: (u.dims, turn(f)) for name, f in zip(("u", "rho0", "rho1"), fields, strict=True)}, coords)
        for turn in (np.copy, lambda f: np.rot90(f, turns, axes))
    )
    there = np.rot90(op.dilate(before.u, eps, ball), turns, axes)
    np.testing.assert_array_equal(op.dilate(after.u, eps, ball), there)
    assert same(op.nonlocal_tv(after.u, after, eps, ball), op.nonlocal_tv(before.u, before, eps, ball))


@few
@given(problems(), st.data())
def test_translations(problem, data):
    """A field in a constant surrounding of a ball's width may be moved: the box edge plays no part."""
    u, rho, eps, ball = problem
    eps = min(eps, 4 * min(abs(float(u[dim][1] - u[dim][0])) for dim in u.dims) * 3)
    placed = []
    for _ in range(2):
        shift = [data.draw(st.integers(0, 3)) for _ in u.dims]
        width = [(13 + s, 16 - s) for s in shift]  # eps is at most twelve cells
        coords = {dim: 0.1 * np.arange(n + 29) for dim, n in u.sizes.items()}
        stretched = {dim: abs(float(u[dim][1] - u[dim][0])) / 0.1 * c for (dim, c) in coords.items()}
        wide = [np.pad(f.transpose(*u.dims).values, width) for f in (u, rho.rho0, rho.rho1)]
        wide = [xr.DataArray(values, stretched, u.dims) for values in wide]
        placed.append(op.nonlocal_tv(wide[0], xr.Dataset({"rho0": wide[1], "rho1": wide[2]}), max(eps, 0.3), ball))
    assert same(*placed)


def test_scalars_have_names_and_units_and_no_coordinates():
    u = xr.DataArray(np.arange(8.0), {"x": 0.5 * np.arange(8)}, "x").assign_coords(time=1.0)
    rho = xr.Dataset({"rho0": 0 * u + 0.1, "rho1": 0 * u + 0.2})
    for name in ("nonlocal_tv", "nonlocal_perimeter", "adversarial_risk"):
        out = getattr(op, name)(u, rho, 1.0)
        assert (out.name, out.ndim, len(out.coords)) == (name, 0, 0)
        assert {"long_name", "units"} <= set(out.attrs)
    # by hand: u grows by 2 cells = 2 except near the ends; sum of (u⊕ - u) 0.1 + (u - u⊖) 0.2, cell 0.5, eps 1
    assert float(op.nonlocal_tv(u, rho, 1.0)) == pytest.approx((0.1 * 13 + 0.2 * 13) * 0.5, rel=1e-14)


def test_coordinates_equal_to_rounding_do_not_drop_cells():
    """Coordinates computed by another route differ in the last bit; xarray's own arithmetic would drop those cells."""
    x = -1 + (np.arange(30) + 0.5) * (2 / 30)
    other = np.linspace(x[0], x[-1], 30)
    assert (x != other).any()
    u = xr.DataArray(np.sin(3 * x), {"x": x}, "x")
    rho = xr.Dataset({"rho0": ("x", np.full(30, 0.2)), "rho1": ("x", np.full(30, 0.3))}, {"x": other})
    exact = op.risk(u, rho.assign_coords(x=x))
    assert float(op.risk(u, rho)) == float(exact)
    assert float(op.nonlocal_tv(u, rho, 0.2)) == float(op.nonlocal_tv(u, rho.assign_coords(x=x), 0.2))


# dask ----------------------------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(problems(), st.data())
def test_chunked_fields_give_the_numpy_result_bit_for_bit(problem, data):
    u, rho, eps, ball = problem
    u = data.draw(st.sampled_from([u, u.astype(np.float32), u > 0]))
    lazy = data.draw(chunkings(u))
    lazy_rho = rho.map(lambda r: data.draw(chunkings(r))) if data.draw(st.booleans()) else rho
    with dask.config.set(scheduler="synchronous"):
        for operator in (op.dilate, op.erode):
            out = operator(lazy, eps, ball)
            assert out.chunks == lazy.chunks
            xr.testing.assert_identical(out.compute(), operator(u, eps, ball))
        out = op.subgradient(lazy, lazy_rho, eps, ball)
        assert out.chunks == lazy.chunks
        np.testing.assert_array_equal(out.compute(), op.subgradient(u, rho, eps, ball))
        for functional in (op.nonlocal_tv, op.nonlocal_perimeter, op.adversarial_risk):
            out = functional(lazy, lazy_rho, eps, ball)
            assert out.chunks == ()
            assert same(out, functional(u, rho, eps, ball), 10 / eps)
        assert same(op.risk(lazy, lazy_rho), op.risk(u, rho))


def test_chunks_below_the_halo_merge_with_their_neighbours_only():
    from mcfpaper._blocks import _merged

    assert _merged((3, 3, 3, 1), 3) == (3, 3, 4)
    assert _merged((1, 1, 1, 1, 1), 2) == (2, 3)
    assert _merged((1, 1), 9) == (2,)


def smooth_problem(n=40):
    x = -1 + (np.arange(n) + 0.5) * (2 / n)
    u = xr.DataArray(np.sin(3 * x)[:, None] - np.cos(2 * x + 1), {"y": x, "x": x}, ("y", "x"))
    return u, xr.Dataset({"rho0": np.exp(-(u**2)), "rho1": 0 * u + 0.2})


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_schedulers_agree(scheduler):
    u, rho = smooth_problem()
    lazy = u.chunk(y=17, x=12)
    together = xr.Dataset({"p": op.subgradient(lazy, rho, 0.17), "u": op.dilate(lazy, 0.17)})
    with dask.config.set(scheduler=scheduler, num_workers=2):
        together = together.compute()
    np.testing.assert_array_equal(together.u, op.dilate(u, 0.17))
    np.testing.assert_array_equal(together.p, op.subgradient(u, rho, 0.17))


@pytest.mark.parametrize("processors", [1, 2])
def test_the_other_thread_helps_with_large_fields_that_are_not_lazy(processors, monkeypatch):
    calls, start = [], morphology._Parked.start
    monkeypatch.setattr(morphology._Parked, "start", lambda *args: calls.append(1) or start(*args))
    monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", processors)
    u, _ = smooth_problem()
    alone = [f(u, 0.17) for f in (op.dilate, op.erode)]
    assert not calls
    monkeypatch.setattr(op, "TWO_THREADS", u.nbytes)
    for f, want in zip((op.dilate, op.erode), alone, strict=True):
        np.testing.assert_array_equal(f(u, 0.17), want)
        np.testing.assert_array_equal(f(u.chunk(y=20), 0.17).compute(scheduler="threads"), want)
    assert len(calls) == (2 if processors == 2 else 0)


def refuse(block):
    raise RuntimeError("computed")


@pytest.mark.parametrize("ball", [*LATTICE, "isotropic"])
def test_nothing_is_computed_before_the_caller_asks(ball):
    u, rho = smooth_problem()
    trap = u.chunk(y=20).copy(data=da.map_blocks(refuse, u.chunk(y=20).data, meta=np.empty((0, 0))))
    calls = [
        lambda: op.dilate(trap, 0.2, ball),
        lambda: op.erode(trap, 0.2, ball),
        lambda: op.nonlocal_tv(trap, rho, 0.2, ball),
        lambda: op.subgradient(trap, rho, 0.2, ball),
        lambda: op.nonlocal_tv(u, xr.Dataset({"rho0": trap, "rho1": trap}), 0.2, ball),
    ]
    if ball != "isotropic":  # sub-cell geometry of a set needs its values
        calls += [
            lambda: op.nonlocal_perimeter(trap, rho, 0.2, ball),
            lambda: op.risk(trap, rho, ball),
            lambda: op.adversarial_risk(trap, rho, 0.2, ball),
        ]
    for call in calls:
        out = call()
        assert out.chunks is not None
        with pytest.raises(RuntimeError, match="computed"):
            out.compute(scheduler="synchronous")


@pytest.mark.parametrize("ball", [*LATTICE, "isotropic"])
@pytest.mark.parametrize(("bad", "rows"), [(np.nan, 1), (np.inf, 1), (-np.inf, 20)])  # a cell, or a whole chunk
def test_lazy_values_are_checked_when_they_are_computed(ball, bad, rows):
    u, rho = smooth_problem()
    spoilt = u.copy()
    spoilt[:rows, 4 if rows == 1 else slice(None)] = bad
    lazy = spoilt.chunk(y=20)
    calls = [lambda: op.dilate(lazy, 0.2, ball), lambda: op.erode(lazy, 0.2, ball)]
    calls += [lambda: op.nonlocal_tv(lazy, rho, 0.2, ball), lambda: op.subgradient(lazy, rho, 0.2, ball)]
    calls += [lambda: op.risk(lazy, rho, ball), lambda: op.nonlocal_perimeter(lazy, rho, 0.2, ball)]
    calls += [lambda: op.adversarial_risk(lazy, rho, 0.2, ball)]
    calls += [lambda: op.risk(u, rho.assign(rho0=-rho.rho0).chunk(x=9), ball)]
    for call in calls:
        out = call()
        assert out.chunks is not None
        with pytest.raises(ValueError, match=r"\b(u|a|densities\.rho0) must (not hold NaN|be)"):
            out.compute(scheduler="synchronous")
