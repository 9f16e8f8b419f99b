"""Dilation by a Euclidean lattice ball of R cells, against OpenCV, scipy.ndimage and scikit-image."""

from __future__ import annotations

import cv2
import numpy as np
import scipy.ndimage as ndi
from skimage import morphology as ski

from benchmarks.run import paired
from mcfpaper.kernels import balls, morphology


def run(quick: bool) -> list[dict]:
    """Rows: dtype, shape, R, milliseconds on one and two threads and of each peer, ratios."""
    flat, large, solid = [(64, 64), (99, 99), (16,) * 3] if quick else [(1024, 1024), (4096, 4096), (128,) * 3]
    kinds = (np.float32, np.float64)
    rows = [_row(dtype, shape, R, quick) for shape in (flat, large) for dtype in kinds for R in (4, 8, 16, 32)]
    return rows + [_row(dtype, solid, R, quick) for dtype in kinds for R in (4, 8)]


def _row(dtype: type, shape: tuple[int, ...], R: int, quick: bool) -> dict:
    u = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    ones = (1.0,) * u.ndim
    ball = footprint(R, u.ndim)
    rivals = {
        "ours": lambda: morphology.dilate(u, R, ones),
        "2 threads": lambda: morphology.dilate(u, R, ones, threads=2),
    }
    slow = {}
    if u.size < 1 << 22:  # a large image shows how far two threads go, where starting one costs nothing
        slow["scipy"] = lambda: ndi.grey_dilation(u, footprint=ball, mode="constant", cval=-np.inf)
        if u.ndim == 2:
            rivals["cv2"] = lambda: cv2.dilate(u, ball, borderType=cv2.BORDER_CONSTANT, borderValue=-1e30)
            slow["skimage"] = lambda: ski.dilation(u, ball)
    for call in rivals.values() if u.ndim == 2 else [*rivals.values(), *slow.values()]:
        np.testing.assert_array_equal(call(), rivals["ours"]())
    cv2.setNumThreads(1)
    ms = paired(rivals, 1 if quick else 25)
    if R <= 16 or quick:  # at R = 32 they take seconds a call
        ms |= paired(slow, 1)
    row = {"dtype": np.dtype(dtype).name, "shape": "×".join(map(str, shape)), "R": R}
    row |= {name: ms.get(name, float("nan")) for name in ("ours", "2 threads", "cv2", "scipy", "skimage")}
    row |= {f"x {name}": row[name] / row["ours"] for name in ("cv2", "scipy", "skimage")}
    return row | {"1 / 2 threads": row["ours"] / row["2 threads"]}


def footprint(R: int, d: int) -> np.ndarray:
    """The ball as an array of 0 and 1."""
    image = np.zeros((2 * R + 1,) * d, np.uint8)
    image[tuple((balls.offsets(*balls.lattice_ball(R, (1.0,) * d)) + R).T)] = 1
    return image
