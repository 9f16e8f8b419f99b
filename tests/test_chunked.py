"""Steps and flows on dask-backed fields: the single block's result, whatever the chunks and the scheduler."""

import contextlib
import os
import pickle
import signal
import warnings

import dask
import numpy as np
import pytest
import strategies as own
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import mcfpaper as mcf
from mcfpaper import _tilework, cluster
from mcfpaper._chunked import ChunkedProblem
from mcfpaper.kernels import curvedistance, spline
from mcfpaper.solvers import curvefront, curves, tiles

# cells: what splines on windows forget (1e-9), where Newton stops (1e-7), where nodes happen to lie (2e-6)
FORGOTTEN = 1e-5
SCALARS = ("perimeter", "nonlocal_perimeter", "volume", "risk", "adversarial_risk", "dissipation")


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Many tiles on a small grid."""
    monkeypatch.setattr(tiles, "TILE", 16)


def densities(coords):
    return mcf.densities.from_functions(
        coords, lambda x, y: np.exp(-((x - 0.2) ** 2) - y**2), lambda x, y: 0.8 + 0.3 * x - 0.2 * x * y
    )


def ellipse(coords, a=0.6, b=0.45, centre=(0.0, 0.0)):
    """A level-set function that is no distance."""
    x, y = coords["x"] - centre[0], coords["y"] - centre[1]
    return xr.DataArray((1 - (x / a) ** 2 - (y / b) ** 2).transpose(*coords.dims), coords, name="u")


def halfplane(coords):
    return xr.DataArray((0.1 + 0.3 * coords["x"] - coords["y"]).transpose(*coords.dims), coords)


def same(lazy, plain, cells=FORGOTTEN):
    """That fronts agree to so many cells, and distances where the closest point is not in doubt."""
    h = abs(float(plain.x[1] - plain.x[0]))
    near = abs(plain.u) < 0.15
    assert float(abs(lazy.u - plain.u).where(near).max()) <= cells * h
    assert float(abs(lazy.u - plain.u).max()) <= 2 * h  # samples on the wrong side of the medial axis, either way
    for name in ("gap", *SCALARS):
        if name in plain:
            # u moved by `cells` moves areas, lengths and masses by that much of the front's length, below 10 here
            np.testing.assert_allclose(lazy[name], plain[name], atol=10 * cells * h / 0.02, rtol=0)


STARTS = {"ellipse": ellipse, "halfplane": halfplane, "complement": lambda c: -ellipse(c)}
PLAIN = {}


def plain_run(kind):
    coords = mcf.grid(40)
    if kind not in PLAIN:
        PLAIN[kind] = mcf.evolve(STARTS[kind](coords), densities(coords), 0.08, 0.03, 0.015)
    return PLAIN[kind]


@given(st.data(), st.sampled_from(sorted(STARTS)), st.sampled_from(["synchronous", "threads"]))
@settings(max_examples=5)
def test_a_flow_is_that_of_a_single_block_for_any_chunks(data, kind, scheduler):
    coords = mcf.grid(40)
    u, rho = STARTS[kind](coords), densities(coords)
    plain = plain_run(kind)
    lazy = data.draw(own.chunkings(u))
    lazy_rho = rho.map(lambda r: data.draw(own.chunkings(r))) if data.draw(st.booleans()) else rho
    with dask.config.set(scheduler=scheduler):
        run = mcf.evolve(lazy, lazy_rho, 0.08, 0.03, 0.015)
        assert run.u.chunks[1:] == lazy.chunks
        assert run.u.attrs == plain.u.attrs
        assert run.attrs == plain.attrs
        assert set(run.data_vars) == set(plain.data_vars)
        same(run.compute(), plain)


def test_results_do_not_depend_on_the_chunks_at_all(tmp_path):
    """To the last bit, and neither when a run was resumed from its store."""
    coords = mcf.grid((40, 50))
    u, rho = ellipse(coords), densities(coords)
    runs = [mcf.evolve(u.chunk(y=y, x=x), rho.chunk(y=x), 0.08, 0.03, 0.01).compute() for y, x in ((7, 50), (40, 13))]
    xr.testing.assert_identical(*runs)
    mcf.evolve(u.chunk(9), rho, 0.08, 0.02, 0.01, store=tmp_path / "run.zarr")
    resumed = mcf.evolve(u.chunk(x=30), rho, 0.08, 0.03, 0.01, store=tmp_path / "run.zarr")
    xr.testing.assert_equal(resumed.compute(), runs[0])
    assert mcf.open_trajectory(tmp_path / "run.zarr").attrs["steps_done"] == 3


def test_a_chunked_run_refuses_the_store_of_another_problem(tmp_path):
    coords = mcf.grid(32)
    u, rho = ellipse(coords), densities(coords)
    mcf.evolve(u.chunk(20), rho, 0.1, 0.0, 0.01, store=tmp_path / "run.zarr")
    with pytest.raises(ValueError, match="another problem"):
        mcf.evolve((1.01 * u).chunk(20), rho, 0.1, 0.0, 0.01, store=tmp_path / "run.zarr")


@pytest.mark.parametrize("place", [15, 16])
def test_a_front_through_nodes_at_the_border_of_tiles(place):
    """u is 0 at cell centres: which side of them the front passes must be the same for the tiles on either side."""
    coords = mcf.grid(48)
    u = xr.DataArray((coords["x"][place] - coords["x"] + 0 * coords["y"]).transpose("y", "x"), coords)
    rho = mcf.densities.uniform(coords)
    out = mcf.step(u.chunk(13), rho, 0.1, 0.02).compute()
    np.testing.assert_allclose(out.u, u, atol=1e-10)  # a straight front between equal densities stays


def two_discs(coords, gap):
    x = 0.3 + 0.5 * gap
    return np.maximum(ellipse(coords, 0.3, 0.3, (-x, 0)), ellipse(coords, 0.3, 0.3, (x, 0)))


@pytest.mark.parametrize(
    ("u", "eps", "tau"),
    [
        (lambda c: two_discs(c, 0.4), 0.08, 0.004),
        (lambda c: two_discs(c, 0.02), 0.1, 0.01),  # they merge
        (lambda c: np.maximum(ellipse(c, 0.5, 0.5, (-0.2, 0)), ellipse(c, 0.15, 0.15, (0.6, 0.6))), 0.08, 0.015),
    ],
    ids=["apart", "merge", "one vanishes"],
)
def test_changes_of_topology(u, eps, tau):
    coords = mcf.grid(64)
    rho = mcf.densities.uniform(coords)
    u = u(coords)
    plain = mcf.step(u, rho, eps, tau)
    lazy = mcf.step(u.chunk(23), rho.chunk(64), eps, tau).compute()
    assert len(mcf.contours(lazy.u)) == len(mcf.contours(plain.u))
    # each is within its gap of the solution of the discrete problem; where discs merge, rays end early and Newton's
    # method converges linearly, to no more than curvefront.REST
    same(lazy, plain, float(plain.gap + lazy.gap) / (2 / 64) + FORGOTTEN)


@pytest.mark.parametrize(("sign", "said"), [(1, "empty set"), (-1, "whole box")])
def test_a_set_that_vanishes_is_said_to(sign, said):
    coords = mcf.grid(40)
    u, rho = sign * ellipse(coords, 0.2, 0.2), mcf.densities.uniform(coords)
    with pytest.warns(UserWarning, match=said):
        out = mcf.step(u.chunk(15), rho, 0.1, 0.1)
    assert (out.u == -sign * np.inf).all()
    assert not out.certified
    with pytest.warns(UserWarning, match=said):
        run = mcf.evolve(u.chunk(15), rho, 0.1, 0.2, 0.1)
    with pytest.warns(UserWarning, match=said):
        plain = mcf.evolve(u, rho, 0.1, 0.2, 0.1)
    for name in SCALARS:
        np.testing.assert_allclose(run[name], plain[name], atol=1e-6, rtol=0)  # as in `same`
    again = mcf.step(run.u[-1], rho, 0.1, 0.1)
    assert (again.u == -sign * np.inf).all()


def test_what_to_warn_of_is_known_without_work():
    coords = mcf.grid(40)
    problem = ChunkedProblem(ellipse(coords).chunk(15), densities(coords), 0.08, 0.01)
    start = problem.start()
    result = problem.step(start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dask, "compute", lambda *_: pytest.fail("blocks were computed"))
        assert problem.complaints(start, result) == []


def test_a_boolean_set():
    """Its front is that of the distances between cell centres, whose kinks the two ways see a little apart."""
    coords = mcf.grid(40)
    u, rho = ellipse(coords) > 0, densities(coords)
    lazy = mcf.step(u.chunk(17), rho, 0.1, 0.02).compute()
    plain = mcf.step(u, rho, 0.1, 0.02)
    assert float(abs(lazy.u - plain.u).where(abs(plain.u) < 0.1).max()) <= float(lazy.gap + plain.gap)


def test_distances_are_those_of_the_single_block_and_of_any_window():
    rng = np.random.default_rng(3)
    angles = np.arange(200) * 2 * np.pi / 200
    radius = 14 + 2 * np.cos(3 * angles)
    nodes = np.stack([24.3 + radius * np.cos(angles), 27.1 + radius * np.sin(angles)], 1)[::-1] * 0.1
    front = curvefront.CurveFront([curves.Curve(nodes)], (0.1, 0.1))
    field = tiles.CurveField(front.pieces(), (50, 60), (0.1, 0.1))
    whole = field((0, 0), (50, 60))
    near = abs(whole) < 0.1 * curvedistance.REACH  # farther away the seeds' tree may settle ties otherwise
    np.testing.assert_allclose(whole[near], front.distance((50, 60))[near], atol=1e-13)
    for _ in range(20):
        lo = rng.integers(0, (49, 59))
        hi = rng.integers(lo + 1, (51, 61))
        window = field(tuple(lo), tuple(hi))
        np.testing.assert_array_equal(window, whole[lo[0] : hi[0], lo[1] : hi[1]])


def test_fields_on_tiles_are_the_splines_of_the_whole():
    rng = np.random.default_rng(4)
    u, shape = rng.random((45, 61)), (45, 61)
    tiling = tiles.Tiling(shape)

    def fetch(numbers):
        boxes = {t: tiling.box(t, tiles.MARGIN) for t in numbers}
        known.add({t: tiles.coefficients(tiling, t, u[a[0] : b[0], a[1] : b[1]]) for t, (a, b) in boxes.items()})

    known = tiles.Tiles(tiling, fetch)
    x = rng.random((500, 2)) * shape - 0.5
    c = spline.prefilter(u)
    value, gradient, _ = spline.derivatives(c, x, (0.1, 0.2))
    # 0.27^16 of values of order 1, per cell for slopes
    np.testing.assert_allclose(known.values(x), value, atol=1e-8)
    found = known.slopes(x, np.array([0.1, 0.2]))
    np.testing.assert_allclose(found[0], value, atol=1e-8)
    np.testing.assert_allclose(found[1], gradient, atol=1e-7)


def returned(run):
    """Bytes of the largest result, of one call to the scheduler, that comes back to the caller."""
    largest = [0]

    def get(dsk, keys, **options):
        out = dask.get(dsk, keys, **options)
        largest[0] = max(largest[0], len(pickle.dumps(out)))
        return out

    with dask.config.set(scheduler=get):
        run()
    return largest[0]


def test_no_field_is_gathered():
    """What comes back grows with the front, that is with n, not with the grid."""

    def size(n):
        coords = mcf.grid(n)
        u, rho = ellipse(coords).chunk(n // 4), densities(coords).chunk(n // 4)
        h = 2 / n
        return returned(lambda: mcf.evolve(u, rho, 3 * h, 2 * h * h, h * h)), 8 * n * n

    small, _ = size(256)
    large, field = size(512)
    assert large < 2.5 * small
    assert large < field


def test_the_graph_does_not_grow_with_the_steps():
    coords = mcf.grid(40)
    run = mcf.evolve(ellipse(coords).chunk(20), densities(coords), 0.08, 0.05, 0.01)
    sizes = [len(dict(dask.optimize(run.u[k].data)[0].__dask_graph__())) for k in range(6)]
    assert max(sizes) == min(sizes)


def test_far_blocks_are_not_touched_by_a_step():
    """Densities that cannot be read far from the front, once the problem is set up."""
    coords = mcf.grid(256)
    u, rho = ellipse(coords, 0.2, 0.2, (-0.5, -0.5)).chunk(32), densities(coords).chunk(32)
    allowed = [True]

    def guarded(values, block_info=None):
        where = block_info[0]["array-location"]
        assert allowed[0] or max(a for a, _ in where) < 160, "a far block was read"
        return values

    rho = rho.map(lambda r: r.copy(data=r.data.map_blocks(guarded, dtype=float, meta=np.empty((0, 0)))))
    problem = ChunkedProblem(u, rho, 0.03, 0.001)
    start = problem.start()
    allowed[0] = False
    result = problem.step(start)
    assert problem.state(result, start).volume > 0


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("u", lambda u, rho: (u.where(u.x < 0.9), rho)),
        ("u", lambda u, rho: (u.where(u.x < 0.9, np.inf), rho)),
        ("densities", lambda u, rho: (u, -rho)),
        ("densities", lambda u, rho: (u, rho.where(rho.x < 0.9))),
        ("densities", lambda u, rho: (u, 0 * rho)),
    ],
)
def test_bad_values_are_named_before_anything_is_done(name, change, tmp_path):
    coords = mcf.grid(40)
    u, rho = change(ellipse(coords).chunk(20), densities(coords).chunk(20))
    with pytest.raises(ValueError, match=name):
        mcf.evolve(u, rho, 0.1, 0.1, store=tmp_path / "run.zarr")
    assert list(tmp_path.iterdir()) == []


def test_infinite_blocks_among_finite_ones_are_refused():
    coords = mcf.grid(40)
    u = ellipse(coords)
    values = u.values.copy()
    values[:20, :20] = -np.inf
    with pytest.raises(ValueError, match="u must be finite"):
        mcf.step(u.copy(data=values).chunk(20), densities(coords), 0.1)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1.0, -1.0])
def test_empty_and_full_sets_stay(value):
    coords = mcf.grid(40)
    u = xr.full_like(ellipse(coords), value)
    out = mcf.step(u.chunk(13), densities(coords), 0.1)
    assert (out.u == np.copysign(np.inf, value)).all()
    assert out.u.chunks == u.chunk(13).chunks
    assert out.certified


@pytest.mark.parametrize(
    ("dims", "n", "method"), [(("x",), 60, "smooth"), (("x",), 60, "exact"), (("z", "y", "x"), 16, "exact")]
)
def test_lines_and_the_exact_method_keep_the_chunks(dims, n, method):
    coords = mcf.grid(n, dims=dims)
    u = 0.7 - sum(coords[d] ** 2 for d in dims) ** 0.5
    u = xr.DataArray(u.transpose(*dims), coords)
    rho = mcf.densities.uniform(coords)
    lazy = mcf.evolve(u.chunk(7), rho, 0.3, 0.06, 0.03, method)
    assert lazy.u.chunks[1:] == u.chunk(7).chunks
    xr.testing.assert_identical(lazy.compute(), mcf.evolve(u, rho, 0.3, 0.06, 0.03, method))


def test_on_a_distributed_cluster():
    distributed = pytest.importorskip("distributed")
    coords = mcf.grid(40)
    plain = plain_run("ellipse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of distributed, about ports and the like
        client = distributed.Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None)
    with client:
        run = mcf.evolve(ellipse(coords).chunk(11), densities(coords).chunk(30), 0.08, 0.03, 0.015)
        same(run.compute(), plain)


def test_a_killed_worker_changes_nothing(tmp_path, monkeypatch):
    """A worker that is killed in the middle of the first step's work, once; its nanny starts another one."""
    monkeypatch.undo()  # the workers have the tiles that are usual
    coords = mcf.grid(200)
    u, rho = ellipse(coords).chunk(70), mcf.densities.uniform(coords).chunk(90)
    mark, read = tmp_path / "died", _tilework.coefficients

    def dying(tiling, t, windows, *args):  # what Newton's method asks for
        with contextlib.suppress(FileExistsError):
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)
        return read(tiling, t, windows, *args)

    runs = []
    with cluster.local(2) as client:
        workers = set(client.run(os.getpid).values())
        for work in (read, dying):
            monkeypatch.setattr(_tilework, "coefficients", work)
            runs.append(mcf.evolve(u, rho, 0.1, 0.04, 0.02).compute())
        assert mark.exists()
        client.wait_for_workers(2)
        assert len(workers & set(client.run(os.getpid).values())) == 1
    xr.testing.assert_identical(*runs)


def dumbbell(c, neck):
    """Two discs of radius 0.3 joined by a strip of half width `neck`."""
    along = np.clip(c["x"], -0.45, 0.45)
    discs = [0.3 - np.hypot(c["x"] - s, c["y"]) for s in (-0.45, 0.45)]
    return np.maximum(np.maximum(*discs), neck - np.hypot(c["x"] - along, c["y"])).transpose(*c.dims)


ROOT = 0.004**0.5  # of tau; shapes at their critical sizes in a step of it: T10 and O2
CRITICAL = {
    "neck": (dumbbell, (1.3 * ROOT, 1.5 * ROOT)),
    "gap": (two_discs, (0.3 * ROOT, 2.9 * ROOT)),
    "vanishing": (lambda c, r: ellipse(c, r, r, (0.013, -0.021)), (2.2 * ROOT, 2.4 * ROOT)),
}


@settings(max_examples=6)
@given(st.data(), st.sampled_from(sorted(CRITICAL)), st.floats(1.6, 3.0), st.floats(0, 1))
def test_steps_in_doubt_are_decided_as_on_a_single_block(data, shape, radius, share):
    """With few cells per eps, where a rough energy would mislead."""
    make, (low, high) = CRITICAL[shape]
    coords = mcf.grid(64)
    h = 2 / 64
    u = make(coords, low + share * (high - low))
    rho = mcf.densities.from_functions(coords, lambda x, y: 1 + 0.2 * x, lambda x, y: 1 - 0.1 * y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a set vanished, or the tolerance is not reached
        plain = mcf.step(u, rho, radius * h, ROOT**2)
        lazy = mcf.step(data.draw(own.chunkings(u)), rho, radius * h, ROOT**2).compute()
    if np.isinf(plain.u).all() or np.isinf(lazy.u).all():
        np.testing.assert_array_equal(lazy.u, plain.u)
        return
    assert len(mcf.contours(lazy.u)) == len(mcf.contours(plain.u))
    # each is that near to the solution of its discrete problem; at kinks the two f differ, below the default tolerance
    apart = float(abs(lazy.u - plain.u).where(abs(plain.u) < 2 * h).max())
    assert apart <= float(plain.gap + lazy.gap) + 0.02 * h
