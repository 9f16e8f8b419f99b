"""Pieces and holes: of shapes that have known ones, below the cell, and of any boolean set against a flood fill."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import mcfpaper as mcf
from mcfpaper import topology


def count(u):
    """(pieces, holes) of a field."""
    found = topology.components(u)
    return int(found["pieces"]), int(found["holes"])


def field(values):
    """A boolean set on a unit grid of any dimension."""
    dims = ("z", "y", "x")[-values.ndim :]
    return xr.DataArray(values, {d: np.arange(n, dtype=float) for d, n in zip(dims, values.shape, strict=True)}, dims)


def axes(n, d=2):
    """Coordinates of the box [-1, 1]^d, broadcast against each other, the first dimension first."""
    dims = ("z", "y", "x")[-d:]
    return xr.broadcast(*(xr.DataArray(mcf.grid(n, dims=dims)[k]) for k in dims))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_known_shapes(d):
    """A ball, two balls, a shell, complements, nothing and everything; on a line a gap is a hole."""
    x = axes(24, d)
    r = np.sqrt(sum(a**2 for a in x))
    two = 0.3 - np.sqrt((abs(x[-1]) - 0.5) ** 2 + sum(a**2 for a in x[:-1]))
    shell = 0.2 - abs(r - 0.5)
    assert count(0.5 - r) == (1, 0)
    assert count(two) == (2, 0 if d > 1 else 1)
    assert count(shell) == (1 if d > 1 else 2, 1)
    assert count(-two) == (1 if d > 1 else 3, 2)
    assert count(r - 0.5) == (1 if d > 1 else 2, 1)
    assert count(xr.full_like(r, -np.inf)) == (0, 0)
    assert count(xr.full_like(r, np.inf)) == (1, 0)


@pytest.mark.parametrize("width", [0.6, 1.5])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.5])
def test_necks_below_a_cell(width, place):
    """A neck, and a gap, narrower than what cell centres see, wherever it runs between them."""
    n = 40
    h = 2 / n
    y, x = axes(n)
    middle = h / 2 + place * h
    waist = 0.25 * x**2 + width * h / 2 - abs(y - middle)  # distance-like: slope 1 across
    smooth = 0.25 * x**2 + (width * h / 2) ** 2 / h - (y - middle) ** 2 / h  # the same width, no crease
    assert count(smooth)[0] == 1
    assert count(-smooth)[0] == 2
    assert count(waist)[0] >= 1


@given(arrays(bool, st.tuples(st.integers(2, 7), st.integers(2, 7))))
@settings(max_examples=60, deadline=None)
def test_boolean_sets_by_flood_fill(values):
    """Whole cells: pieces across faces, holes across corners, and Euler's number by counting cells and corners."""
    pieces, holes = count(field(values))
    assert pieces == len(flood(values, [(0, 1), (1, 0), (0, -1), (-1, 0)]))
    ring = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    edge = {0}, {values.shape[0] - 1}, {0}, {values.shape[1] - 1}
    inner = [p for p in flood(~values, ring) if not any({c[k // 2] for c in p} & e for k, e in enumerate(edge))]
    assert holes == len(inner)
    # vertices - edges + faces of the complex whose vertices are the cells: 4-connected pieces less 8-connected holes
    v, e0, e1 = values.sum(), (values[1:] & values[:-1]).sum(), (values[:, 1:] & values[:, :-1]).sum()
    squares = (values[1:, 1:] & values[:-1, 1:] & values[1:, :-1] & values[:-1, :-1]).sum()
    padded = field(np.pad(values, 1))  # so that no hole touches the edge
    assert v - e0 - e1 + squares == np.subtract(*count(padded))


def flood(values, steps):
    """Connected components of the true cells, as sets of indices, by search."""
    left, out = {tuple(c) for c in np.argwhere(values)}, []
    while left:
        todo, piece = [left.pop()], set()
        while todo:
            cell = todo.pop()
            piece.add(cell)
            near = {(cell[0] + i, cell[1] + j) for i, j in steps} & left
            left -= near
            todo += near
        out.append(piece)
    return out


def test_times_of_a_run():
    """A pair of discs that becomes one, then none."""
    y, x = axes(32)
    apart, together = (0.3 - np.hypot(abs(x) - c, y) for c in (0.5, 0.2))
    u = xr.concat([apart, apart, together, xr.full_like(x, -np.inf)], "time").assign_coords(time=[0.0, 0.1, 0.2, 0.3])
    run = xr.Dataset({"u": u})
    assert topology.history(run)["pieces"].values.tolist() == [2, 2, 1, 0]
    assert topology.first_time(run, 2) == 0.0
    assert topology.first_time(run, 1) == 0.2
    assert topology.first_time(run, 0) == 0.3
    assert topology.first_time(run, 5) == np.inf


@pytest.mark.parametrize("d", [2, 3])
def test_dumbbell(d):
    """Balls and neck have the sizes asked for, the blend only adds; it is symmetric."""
    dims = ("z", "y", "x")[-d:]
    grid = mcf.grid((*(21,) * (d - 1), 41), (*(-1.0,) * (d - 1), -2.0), (*(1.0,) * (d - 1), 2.0), dims=dims)
    u = topology.dumbbell(grid, ball=0.7, centre=1.0, neck=0.3, blend=0.2)
    assert u.dims == dims
    assert count(u) == (1, 0)
    middle = u.sel({k: 0 for k in dims}, method="nearest")
    assert float(middle) == pytest.approx(0.3, abs=0.1)  # the blend adds at most a quarter of itself
    assert float(u.max()) == pytest.approx(0.7, abs=0.05)  # half a cell of 0.1
    np.testing.assert_allclose(u.values, u.values[(slice(None, None, -1),) * d], atol=1e-12)
    thin = topology.dumbbell(grid, ball=0.7, centre=1.0, neck=0.3, blend=1e-3)
    assert (thin.values <= u.values + 1e-3).all()
    with pytest.raises(ValueError, match="neck"):
        topology.dumbbell(grid, 0.7, 1.0, -0.3)


@pytest.mark.filterwarnings("ignore:the exact answer of this step is the whole box")
def test_closing_gap_of_half_planes():
    """Between half-planes the largest gap that closes is 2 sqrt(2 tau): the energy of a strip, solved by hand.

    The solver decides between computed energies, whose quadrature is good to a hundredth here.
    """
    grid = mcf.grid((12, 80), (-0.3, -1.0), (0.3, 1.0))
    rho, tau = mcf.densities.uniform(grid, 0.3), 0.01
    _, x = xr.broadcast(*(xr.DataArray(grid[k]) for k in ("y", "x")))

    def apart(gap):
        return abs(x) - gap / 2

    exact = 2 * np.sqrt(2 * tau)
    low, high = topology.closing_gap(apart, rho, 0.08, tau, between=(0.5 * exact, 1.5 * exact), halvings=5)
    assert high - low == pytest.approx(exact / 32)
    assert low * 0.98 < exact < high * 1.02
    with pytest.raises(ValueError, match="between must hold"):
        topology.closing_gap(apart, rho, 0.08, tau, between=(0.1 * exact, 0.2 * exact))


@pytest.mark.parametrize("d", [2, 3])
def test_an_unfolded_step_is_the_step_of_the_whole(d):
    """A symmetric problem with walls in its planes of symmetry, by exact cuts: the same cells, to the last one."""
    dims, n = ("z", "y", "x")[-d:], 12 if d == 3 else 24
    whole, part = mcf.grid(2 * n, dims=dims), mcf.grid(n, 0.0, 1.0, dims=dims)
    results = []
    for grid in (whole, part):
        coords = [xr.DataArray(grid[k]) for k in dims]
        r = np.sqrt(sum((a / b) ** 2 for a, b in zip(coords, (0.9, 0.7, 0.5)[:d], strict=True)))
        rho = mcf.densities.from_functions(grid, lambda x, y: 1 + x**2, lambda x, y: 2 - y**2, normalise=False)
        step = mcf.step((1 - r).transpose(*dims), rho, 3 / n, 0.02, method="exact")
        results.append(step)
    unfolded = topology.unfold(results[1]["minimal"])
    assert unfolded.dims == dims
    xr.testing.assert_allclose(unfolded.coords.to_dataset(), results[0]["minimal"].coords.to_dataset())
    np.testing.assert_array_equal(unfolded.values, results[0]["minimal"].values)
    run = xr.Dataset(
        {"u": xr.concat([results[1]["u"]] * 2, "time").assign_coords(time=[0.0, 1.0]), "gap": ("time", [0.0, 1.0])}
    )
    assert topology.unfold(run)["u"].shape == (2, *(2 * n,) * d)
    assert topology.unfold(run)["gap"].dims == ("time",)


def test_bad_input():
    """The message names the argument."""
    with pytest.raises(TypeError, match="u must be"):
        topology.components(np.ones((3, 3)))
    with pytest.raises(ValueError, match="NaN"):
        topology.components(field(np.array([[1.0, np.nan], [0.0, 1.0]])))
    with pytest.raises(TypeError, match="run must be"):
        topology.history(field(np.ones((3, 3))))
