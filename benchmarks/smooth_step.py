"""One smooth step of a disc from the old front (tau = 0.05), one thread, against the plain minimum cut of PyMaxflow.

The last rows: the first step of shapes whose topology or corners are in question, and how many times an ordinary step
(of the disc, the same size) it costs; the very last is their median.
"""

import time
import tracemalloc

import maxflow
import numpy as np
from scipy.spatial import cKDTree

from benchmarks.run import paired
from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers import front

CASES = ((128, 0.05), (256, 0.05), (512, 0.05), (1024, 0.05), (1024, 0.025))
PEER_UP_TO = 256  # where the plain graph takes a minute or more: one pair there


def run(quick):
    """Rows: grid, ball radius in cells, milliseconds of CPU of both, peak memory of numpy arrays."""
    rows = []
    for n, eps in CASES[: 1 if quick else None]:
        n = 48 if quick else n
        h = 2.0 / n
        x, y = np.meshgrid(*[(np.arange(n) + 0.5) * h - 1.0] * 2, indexing="ij")
        f, half = 0.6 - np.hypot(x, y), np.full((n, n), 0.5)
        args = (f, half, half, eps, 0.05, (h, h))
        rivals = {"ours": lambda args=args: front.step(*args)}
        if n <= PEER_UP_TO:
            rivals["pymaxflow"] = lambda args=args: plain_cut(*args)
        times = paired(rivals, 1 if quick or n == PEER_UP_TO else 3)
        start = time.process_time()
        front.step(*args)
        cpu = (time.process_time() - start) * 1e3
        tracemalloc.start()
        front.step(*args)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        peer = times.get("pymaxflow", float("nan"))
        rows.append(
            {
                "cells": f"{n}²",
                "R": eps / h,
                "step": times["ours"],
                "step CPU": cpu,
                "peak MiB": peak,
                "pymaxflow": peer,
            }
            | {"x pymaxflow": peer / times["ours"], "times an ordinary step": 1.0}
        )
    return rows + through_trouble(48 if quick else 128, 1 if quick else 3)


def shapes(x, y):
    """Level functions of the singular shapes; eps = 0.05."""
    turns = np.linspace(0.6 * np.pi, 3.6 * np.pi, 2000)
    arm = (0.23 * turns / np.pi)[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1)
    ends = np.maximum(0.35 - np.hypot(np.abs(x) - 0.5, y), np.minimum(0.1 - np.abs(y), 0.5 - np.abs(x)))
    return {
        "square": 0.5 - np.maximum(np.abs(x), np.abs(y)),
        "dumbbell": ends,
        "two discs": 0.35 - np.hypot(np.abs(x) - 0.375, y),
        "thin annulus": 0.06 - np.abs(np.hypot(x, y) - 0.55),
        "figure eight": 0.16 - np.abs(np.hypot(np.abs(x) - 0.42, y) - 0.4),
        "spiral": 0.1 - cKDTree(arm).query(np.stack([x, y], -1))[0],
    }


def through_trouble(n, repeats):
    """Rows of the singular shapes on n² cells, paired with the ordinary step."""
    h, tau = 2.0 / n, 0.0125
    x, y = np.meshgrid(*[(np.arange(n) + 0.5) * h - 1.0] * 2, indexing="ij")
    half, rows = np.full((n, n), 0.5), []
    for name, u in shapes(x, y).items():
        rivals = {
            key: lambda f=f: front.step(f, half, half, 0.05, tau, (h, h))
            for key, f in (("shape", redistance(u, (h, h))), ("disc", 0.6 - np.hypot(x, y)))
        }
        times = paired(rivals, repeats)
        rows.append((f"{n}² {name}", times["shape"], times["shape"] / times["disc"]))
    rows.append((f"{n}² median", *(float(np.median([row[k] for row in rows])) for k in (1, 2))))
    nan = float("nan")
    return [
        {"cells": name, "R": 0.05 / h, "step": t, "step CPU": nan, "peak MiB": nan, "pymaxflow": nan}
        | {"x pymaxflow": nan, "times an ordinary step": ratio}
        for name, t, ratio in rows
    ]


def plain_cut(f, rho0, rho1, eps, tau, spacing):
    """The lattice problem as one graph: a cell node and two auxiliary nodes a cell, infinite edges over each ball."""
    shape, cell = f.shape, float(np.prod(spacing))
    graph = maxflow.Graph[float](3 * f.size, 40 * f.size)
    nodes, sup, inf = (graph.add_grid_nodes(shape) for _ in range(3))
    gain = cell * f * (rho0 + rho1) / tau + cell * (rho0 - rho1) / eps
    graph.add_grid_tedges(nodes, np.maximum(gain, 0.0), np.maximum(-gain, 0.0))
    graph.add_grid_tedges(sup, 0.0 * f, cell * rho0 / eps)
    graph.add_grid_tedges(inf, cell * rho1 / eps, 0.0 * f)
    reach = [int(eps / h) for h in spacing]
    for i in range(-reach[0], reach[0] + 1):
        for j in range(-reach[1], reach[1] + 1):
            if (i * spacing[0]) ** 2 + (j * spacing[1]) ** 2 > eps**2 * (1 + 1e-9) ** 2:
                continue
            a = tuple(slice(max(-k, 0), m - max(k, 0)) for k, m in zip((i, j), shape, strict=True))
            b = tuple(slice(max(k, 0), m - max(-k, 0)) for k, m in zip((i, j), shape, strict=True))
            graph.add_edges(nodes[b].ravel(), sup[a].ravel(), np.full(nodes[a].size, 1e9), np.zeros(nodes[a].size))
            graph.add_edges(inf[a].ravel(), nodes[b].ravel(), np.full(nodes[a].size, 1e9), np.zeros(nodes[a].size))
    graph.maxflow()
    return ~graph.get_grid_segments(nodes)
