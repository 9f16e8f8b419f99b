"""The exact engine against brute force, against the graph with every edge, and against the laws T5-T7 and O1-O2."""

import maxflow
import numpy as np
import pytest
from scipy import ndimage

from mcfpaper.kernels.balls import NORMS
from mcfpaper.solvers import mincut

SHAPES = [((40,), (0.3,)), ((12, 15), (0.3, 0.3)), ((14, 11), (0.3, 0.2)), ((6, 7, 5), (0.3, 0.2, 0.3))]


def all_subsets():
    """All 2^16 subsets of a 4 x 4 grid."""
    return (np.arange(2**16)[:, None] >> np.arange(16) & 1).astype(bool).reshape(-1, 4, 4)


def neighbours(shape, eps, spacing, norm):
    """Matrix: does y lie in the ball of x? Straight from the definition."""
    at = np.stack(np.meshgrid(*[np.arange(n) * h for n, h in zip(shape, spacing, strict=True)], indexing="ij"), -1)
    d = np.abs(at.reshape(-1, 1, len(shape)) - at.reshape(1, -1, len(shape)))
    length = {"lattice": np.sqrt((d**2).sum(-1)), "box": d.max(-1), "diamond": d.sum(-1)}[norm]
    return length <= eps * (1 + 1e-9)


def brute_force(rho0, rho1, w, eps, norm):
    """Least value and minimal and maximal minimiser of sum rho0 (grown - a) + rho1 (a - shrunk) - w a, in integers."""
    a = all_subsets().reshape(-1, 16)
    ball = neighbours((4, 4), eps, (1.0, 1.0), norm).astype(int)
    grown, shrunk = a @ ball > 0, ~(~a @ ball > 0)
    value = (grown & ~a) @ rho0.ravel() + (a & ~shrunk) @ rho1.ravel() - a @ w.ravel()
    best = a[value == value.min()]
    return value.min(), best.all(0).reshape(4, 4), best.any(0).reshape(4, 4)


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
    quanta = [np.rint(v / cut.info["quantum"]).astype(int) for v in (rho0, rho1, eps * g)]
    _, small, large = brute_force(*quanta, eps, "lattice")
    np.testing.assert_array_equal(cut.minimal, small)
    np.testing.assert_array_equal(cut.maximal, large)


def plain_graph(q0, q1, w, eps, spacing, norm):
    """Minimal and maximal minimiser from PyMaxflow and one edge per cell and ball point."""
    shape, n = q0.shape, q0.size
    cells = np.arange(n)
    x, y = np.nonzero(neighbours(shape, eps, spacing, norm))
    cost = (q1 - q0 - w).ravel()
    sets = []
    for sign in (1, -1):  # PyMaxflow leaves undecided cells on the source side; swapped, that gives the minimal set
        graph = maxflow.GraphInt(3 * n, 2 * len(x) + 2 * n)
        graph.add_nodes(3 * n)
        wide, none = np.full(len(x), 2**61), np.zeros(len(x), np.int64)
        ends = (
            np.stack([np.maximum(-cost, 0), 0 * cost, q1.ravel()]),
            np.stack([np.maximum(cost, 0), q0.ravel(), 0 * cost]),
        )
        graph.add_edges(y, n + x, *(wide, none)[::sign])
        graph.add_edges(2 * n + x, y, *(wide, none)[::sign])
        graph.add_grid_tedges(np.arange(3 * n).reshape(3, n), *ends[::sign])
        graph.maxflow()
        source = ~graph.get_grid_segments(cells.reshape(shape))
        sets.append(source if sign == 1 else ~source)
    return sets[1], sets[0]


@pytest.mark.parametrize(("shape", "spacing"), SHAPES)
@pytest.mark.parametrize("norm", NORMS)
def test_plain_graph(shape, spacing, norm):
    """Random data, smooth and rough, real and integer: the same two sets as from all edges."""
    rng = np.random.default_rng(len(shape))
    eps = 0.65
    for smooth in (0, 1, 2):
        rho0, rho1, g = (ndimage.gaussian_filter(rng.normal(size=shape), smooth) for _ in range(3))
        rho0, rho1, g = abs(rho0), abs(rho1), 2 * g / eps
        if smooth == 1:
            rho0, rho1, g = np.rint(8 * rho0), np.rint(8 * rho1), np.rint(12 * g * eps) / eps
        cut = mincut.solve(rho0, rho1, g, eps, spacing, norm)
        quanta = [np.rint(v / cut.info["quantum"]).astype(np.int64) for v in (rho0, rho1, eps * g)]
        small, large = plain_graph(*quanta, eps, spacing, norm)
        np.testing.assert_array_equal(cut.minimal, small)
        np.testing.assert_array_equal(cut.maximal, large)
