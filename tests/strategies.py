"""What hypothesis draws for the laws: grids, fields, sets, densities, radii and chunkings."""

import numpy as np
import xarray as xr
from hypothesis import strategies as st

LATTICE = ("lattice", "box", "diamond")
LONGEST = {1: 24, 2: 11, 3: 6}  # cells along an axis
seeds = st.integers(0, 2**32 - 1)


one_to_three = st.integers(1, 3)


@st.composite
def grids(draw, dims=one_to_three):
    """Uniform grids: any names and order of dimensions, their own spacing, increasing or decreasing."""
    names = draw(st.permutations(["x", "y", "z"]))[: draw(dims)]
    coords = {}
    for name in names:
        n = draw(st.integers(2, LONGEST[len(names)]))
        h = draw(st.sampled_from([0.1, 0.25, 0.3]))
        x = draw(st.sampled_from([-1.0, 0.0, 100.0])) + h * np.arange(n)
        coords[name] = x[::-1] if draw(st.booleans()) else x
    return xr.Coordinates(coords)


def spacing(coords):
    """Largest step of a grid."""
    return max(abs(float(coords[dim][1] - coords[dim][0])) for dim in coords)


@st.composite
def fields(draw, coords, dtype=np.float64):
    """Fields of few values (with ties, as level-set functions of sets have) or of many."""
    rng = np.random.default_rng(draw(seeds))
    shape = [coords[dim].size for dim in coords]
    few = draw(st.booleans())
    values = rng.integers(-3, 4, shape) / 4 if few else rng.normal(size=shape)
    return xr.DataArray(values.astype(dtype), coords, list(coords), name="u", attrs={"units": "length"})


@st.composite
def sets(draw, coords):
    """Boolean sets, the empty and the full one among them."""
    u = draw(fields(coords))
    return u > draw(st.sampled_from([-9.0, -0.3, 0.0, 0.6, 9.0]))


@st.composite
def densities(draw, coords):
    """Non-negative densities, zero in places, in either order of the dimensions."""
    dims = draw(st.permutations(list(coords)))
    out = {}
    for name in ("rho0", "rho1"):
        rng = np.random.default_rng(draw(seeds))
        values = rng.random([coords[dim].size for dim in dims]) * (rng.random() < 0.9)
        out[name] = xr.DataArray(np.where(values > 0.2, values, 0.0), dict(coords), dims)
    return xr.Dataset(out)


def radii(coords):
    """Budgets from one cell to beyond the box, whole multiples of the spacing among them."""
    h = spacing(coords)
    return st.sampled_from([1.0, 2.0, 3.0, 40.0]).map(lambda k: k * h) | st.floats(h, 4 * h)


@st.composite
def chunkings(draw, u):
    """`u` cut into random chunks, down to one cell."""
    chunks = {}
    for dim, n in u.sizes.items():
        cuts = sorted(draw(st.sets(st.integers(1, n - 1), max_size=4)))
        chunks[dim] = tuple(int(k) for k in np.diff([0, *cuts, n]))
    return u.chunk(chunks)
