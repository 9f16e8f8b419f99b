"""The exact step (minimal and maximal set), disc of radius 0.6 on [-1, 1]², eps = tau = 0.05, against PyMaxflow.

The peer is the plain graph: two auxiliary nodes per cell and an edge to (from) every ball point. It is timed for one
set, which is all that one of its runs gives; ours are always both. The answers have to be identical.
"""

from __future__ import annotations

import itertools
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import maxflow
import numpy as np

from benchmarks.run import paired
from mcfpaper.kernels.balls import lattice_ball, offsets
from mcfpaper.solvers import mincut

EPS = TAU = 0.05


def run(quick: bool) -> list[dict]:
    """Rows: cells, milliseconds of ours and of the peer, ratio, rounds, edges of each, peak memory of ours (MB)."""
    return [_row(n, compare=quick or n <= 256) for n in ((32, 48) if quick else (128, 256, 512))]


def _row(n: int, compare: bool) -> dict:
    problem = disc(n)
    cut = mincut.solve(*problem)
    rivals = {"ours": lambda: mincut.solve(*problem)}
    nan = float("nan")
    row = {"shape": f"{n}×{n}", "cells in A": int(cut.minimal.sum())}
    if compare:
        quantum = cut.info["quantum"]
        masses = [np.rint(v / quantum).astype(np.int64) for v in (*problem[:2], EPS * problem[2])]
        ball = offsets(*lattice_ball(EPS, problem[4]))
        sides = itertools.cycle(
            ("minimal", "maximal")
        )  # each run is checked: the untimed first one for the minimal set

        def peer():
            side = next(sides)
            np.testing.assert_array_equal(plain_graph(*masses, ball, side), getattr(cut, side))

        rivals["PyMaxflow"] = peer
    ms = paired(rivals, 3 if n <= 128 else 1)
    row |= {"ours": ms["ours"], "PyMaxflow": ms.get("PyMaxflow", nan)}
    row |= {"x PyMaxflow": row["PyMaxflow"] / row["ours"], "rounds": cut.info["rounds"], "edges": cut.info["edges"]}
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return row | {"peak MB": fresh.submit(_peak, n).result()}


def disc(n: int) -> tuple:
    """Arguments of `mincut.solve` for the step from the disc."""
    h = 2 / n
    x = -1 + h * (np.arange(n) + 0.5)
    half = np.full((n, n), 0.5)
    return half, half, (0.6 - np.hypot(*np.meshgrid(x, x))) / TAU, EPS, (h, h)


def _peak(n: int) -> float:
    """Peak memory of a fresh process that takes the step, libraries included."""
    mincut.solve(*disc(n))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def plain_graph(q0, q1, weight, ball: np.ndarray, side: str) -> np.ndarray:
    """Least sum of q0 (a⊕ - a) + q1 (a - a⊖) - weight a over sets a, for int64 arrays, from the graph with every edge.

    PyMaxflow counts undecided nodes to the source side: the maximal set. With all arcs turned it gives the minimal one.
    """
    shape, n = q0.shape, q0.size
    cells = np.arange(n).reshape(shape)
    turn = 1 if side == "maximal" else -1
    graph = maxflow.GraphInt(3 * n, 2 * n * len(ball))
    graph.add_nodes(3 * n)
    for z in ball:
        near = cells[tuple(slice(max(0, -o), m - max(0, o)) for o, m in zip(z, shape, strict=True))].ravel()
        far = cells[tuple(slice(max(0, o), m - max(0, -o)) for o, m in zip(z, shape, strict=True))].ravel()
        wide, none = np.full(near.size, 2**61), np.zeros(near.size, np.int64)
        graph.add_edges(far, n + near, *(wide, none)[::turn])
        graph.add_edges(2 * n + near, far, *(wide, none)[::turn])
    cost, zero = (q1 - q0 - weight).ravel(), np.zeros(n, np.int64)
    source, sink = np.stack([np.maximum(-cost, 0), zero, q1.ravel()]), np.stack([np.maximum(cost, 0), q0.ravel(), zero])
    graph.add_grid_tedges(np.arange(3 * n).reshape(3, n), *(source, sink)[::turn])
    graph.maxflow()
    first = ~graph.get_grid_segments(cells)
    return first if turn == 1 else ~first
