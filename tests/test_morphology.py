"""Dilation and erosion against a maximum taken offset by offset, bit for bit, and the laws they obey."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mcfpaper.kernels import balls, cascade, morphology
from mcfpaper.kernels.morphology import argdilate, dilate, erode, halo

NORMS = st.sampled_from(balls.NORMS)
DTYPES = (np.float32, np.float64, np.bool_)
quick = settings(max_examples=40, deadline=None)


@st.composite
def problems(draw, dtypes=DTYPES):
    """An array of 1 to 3 dimensions, a radius up to beyond the box, and a spacing."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=12))
    dtype = draw(st.sampled_from(dtypes))
    values = st.booleans() if dtype is np.bool_ else st.sampled_from([-np.inf, -2.5, -1, 0.0, 1, 1.5, 3, np.inf])
    u = draw(hnp.arrays(dtype, shape, elements=values))
    spacing = tuple(draw(st.sampled_from([0.5, 1.0, 1.3])) for _ in shape)
    return u, draw(st.one_of(st.floats(0.1, 6), st.integers(1, 30).map(float))), spacing


def all_offsets(eps, spacing, norm, shape):
    """Offsets of the ball that stay within some array of this shape, from the definition."""
    axes = [np.arange(-n + 1, n) for n in shape]
    z = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(shape))
    x = np.abs(z * np.asarray(spacing))
    length = {"lattice": np.sqrt((x**2).sum(1)), "box": x.max(1), "diamond": x.sum(1)}[norm]
    return z[length <= eps * (1 + 1e-9)]


def by_offsets(u, eps, spacing, norm, better=np.maximum, low=-np.inf):
    """The maximum over shifted copies of a padded array, one for each offset."""
    low = {np.maximum: False, np.minimum: True}[better] if u.dtype == bool else low
    padded = np.pad(u, [(n, n) for n in u.shape], constant_values=low)
    out = np.full_like(u, low)
    for z in all_offsets(eps, spacing, norm, u.shape):
        here = tuple(slice(n + k, 2 * n + k) for n, k in zip(u.shape, z, strict=True))
        out = better(out, padded[here])
    return out


def guarded(u, outside):
    """The same values in memory between others, which may not be read."""
    line = np.full(3 * u.size, outside, u.dtype)
    line[u.size : -u.size] = u.reshape(-1)
    return line[u.size : -u.size].reshape(u.shape)


@given(problems(), NORMS)
@quick
def test_equals_the_maximum_over_offsets(problem, norm):
    u, eps, spacing = problem
    high, low = (True, False) if u.dtype == bool else (np.inf, -np.inf)
    above, below = guarded(u, high), guarded(u, low)
    for threads in (1, 2):
        up, down = dilate(above, eps, spacing, norm, threads), erode(below, eps, spacing, norm, threads)
        assert up.dtype == down.dtype == u.dtype
        np.testing.assert_array_equal(up, by_offsets(u, eps, spacing, norm))
        np.testing.assert_array_equal(down, by_offsets(u, eps, spacing, norm, np.minimum, np.inf))
    np.testing.assert_array_equal(above, u)
    np.testing.assert_array_equal(below, u)


@pytest.mark.parametrize("eps", [1e19, 1e160, 1.79e308])
@pytest.mark.parametrize("h", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("norm", balls.NORMS)
def test_any_radius_and_any_unit(norm, h, eps):
    """Balls beyond every number of cells, and the same ball in units whose squares leave the range of numbers."""
    u = np.random.default_rng(5).standard_normal((3, 4))
    np.testing.assert_array_equal(dilate(u, eps, (1.0, 0.5), norm), np.full(u.shape, u.max()))
    np.testing.assert_array_equal(dilate(u, 1.5 * h, (h, 0.5 * h), norm), by_offsets(u, 1.5, (1.0, 0.5), norm))
    assert min(halo(eps, (1.0, 0.01))) > 1e18


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint64, np.longdouble, ">f4", "O"])
def test_other_types_become_float64(dtype):
    u = np.arange(12).reshape(3, 4).astype(dtype)
    got = dilate(u, 1.0, (1.0, 1.0))
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, by_offsets(u.astype(float), 1.0, (1.0, 1.0), "lattice"))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
def test_no_cells(shape):
    for f in (dilate, erode, argdilate):
        assert f(np.zeros(shape), 2.0, (1.0,) * len(shape)).shape == shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("R", [1, 2, 3, 5, 6.4, 8, 9, 12.8, 16, 24, 33])
def test_wide_discs(R, dtype):
    u = np.random.default_rng(7).standard_normal((70, 81)).astype(dtype)
    if dtype is np.bool_:
        u = np.random.default_rng(7).random((70, 81)) > 0.999
    np.testing.assert_array_equal(dilate(u, R, (1.0, 1.0)), by_offsets(u, R, (1.0, 1.0), "lattice"))
    np.testing.assert_array_equal(erode(u, R, (1.0, 0.7)), by_offsets(u, R, (1.0, 0.7), "lattice", np.minimum, np.inf))


@pytest.mark.parametrize("shape", [(9000,), (3, 9001), (2, 5, 8500)])
def test_long_rows(shape):
    """Rows are worked on in panels; those of float64 are 2048 columns or eight times the ball."""
    u = np.random.default_rng(8).standard_normal(shape)
    for R in (3.0, 400.0) if len(shape) == 1 else (3.0, 12.0):
        got = [dilate(u, R, (1.0,) * u.ndim, threads=threads) for threads in (1, 2)]
        np.testing.assert_array_equal(got[0], by_offsets(u, R, (1.0,) * u.ndim, "lattice"))
        np.testing.assert_array_equal(*got)


@pytest.mark.parametrize("width", range(32, 48))
def test_panels_of_unequal_width(width, monkeypatch):
    """41 columns are 20 and 21, with their margins three cache lines and a cell more."""
    monkeypatch.setattr(morphology, "PANEL", 1)  # so that a panel is as wide as eight radii
    rising = np.tile(np.arange(1.0 * width), (3, 1))  # so that a cell from the other end of a row is seen
    for u in (rising, -rising):
        np.testing.assert_array_equal(dilate(u, 2.0, (1.0, 1.0)), by_offsets(u, 2.0, (1.0, 1.0), "lattice"))


@pytest.mark.parametrize("dtype", [np.float64, np.bool_])
def test_balls_in_parts(dtype, monkeypatch):
    """A large solid ball is dilated by in several sweeps."""
    monkeypatch.setattr(morphology, "PLANES", 4)
    morphology._parts.cache_clear()
    u = np.random.default_rng(9).standard_normal((9, 11, 10)) > 2
    u = u if dtype is np.bool_ else np.random.default_rng(9).standard_normal(u.shape)
    spacing = (1.0, 1.1, 0.9)  # those of no other test: plans are kept
    assert len(morphology._parts(4.0, spacing, "lattice", (4, 3, 4))) > 1
    np.testing.assert_array_equal(dilate(u, 4.0, spacing, threads=2), by_offsets(u, 4.0, spacing, "lattice"))
    np.testing.assert_array_equal(erode(u, 4.0, spacing), by_offsets(u, 4.0, spacing, "lattice", np.minimum, np.inf))


def test_strides_and_other_types():
    u = np.random.default_rng(1).integers(-50, 50, (20, 30, 2))
    frozen = u[..., 1].astype(float)
    frozen.flags.writeable = False
    for view in (u[..., 0], u[::-2, ::3, 1], u[..., 0].T, np.asfortranarray(u[..., 1]), frozen):
        got = dilate(view, 3.0, (1.0, 1.0))
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, by_offsets(view.astype(float), 3.0, (1.0, 1.0), "lattice"))


@given(problems(), NORMS)
@quick
def test_duality(problem, norm):
    u, eps, spacing = problem
    minus = np.logical_not if u.dtype == bool else np.negative
    np.testing.assert_array_equal(dilate(u, eps, spacing, norm), minus(erode(minus(u), eps, spacing, norm)))


@given(problems(), NORMS)
@quick
def test_order(problem, norm):
    u, eps, spacing = problem
    small, large = dilate(u, eps / 2, spacing, norm), dilate(u, eps, spacing, norm)
    assert (erode(u, eps, spacing, norm) <= u).all()
    assert (u <= small).all()
    assert (small <= large).all()
    diamond, box = dilate(u, eps, spacing, "diamond"), dilate(u, eps, spacing, "box")
    assert (diamond <= dilate(u, eps, spacing)).all()
    assert (dilate(u, eps, spacing) <= box).all()


@given(problems(), NORMS)
@quick
def test_maximisers(problem, norm):
    """The index lies in the ball, attains the maximum, and is the cell itself or else the first."""
    u, eps, spacing = problem
    flat, cells = u.reshape(-1), np.stack(np.unravel_index(np.arange(u.size), u.shape), -1)
    ball = set(map(tuple, all_offsets(eps, spacing, norm, u.shape)))
    index, value = argdilate(u, eps, spacing, norm), dilate(u, eps, spacing, norm)
    assert index.dtype == np.int64
    np.testing.assert_array_equal(flat[index], value)
    np.testing.assert_array_equal(index[u == value], np.arange(u.size).reshape(u.shape)[u == value])
    for i in np.random.default_rng(0).integers(u.size, size=5):
        near = [j for j in range(u.size) if tuple(cells[j] - cells[i]) in ball and flat[j] == value.reshape(-1)[i]]
        assert index.reshape(-1)[i] == (i if i in near else near[0])


def test_zeros_have_no_sign():
    """Which zero of a mixed lot comes out must not depend on the order of the maxima, so it is always +0.0."""
    u = np.where(np.random.default_rng(2).random((9, 9)) < 0.5, -0.0, 0.0)
    for out in (dilate(u, 2.0, (1.0, 1.0)), erode(u, 2.0, (1.0, 1.0)), dilate(u[0], 0.5, (1.0,))):
        assert not np.signbit(out).any()


@given(st.floats(0.1, 9), st.tuples(*[st.sampled_from([0.4, 1.0, 1.3])] * 3), NORMS, st.integers(1, 3))
@quick
def test_chords_of_a_ball(eps, spacing, norm, d):
    spacing = spacing[:d]
    rows, half = balls.lattice_ball(eps, spacing, norm)
    z = balls.offsets(rows, half)
    shape = [n + 2 for n in halo(eps, spacing)]
    np.testing.assert_array_equal(z, all_offsets(eps, spacing, norm, shape))
    np.testing.assert_array_equal(z, -z[::-1])
    assert tuple(z.max(0)) == halo(eps, spacing)


def test_unknown_norm():
    with pytest.raises(ValueError, match="norm must be one of"):
        dilate(np.zeros(3), 1.0, (1.0,), "round")


@pytest.mark.parametrize(("R", "loads"), [(4, 13), (8, 21), (16, 48), (32, 64)])
def test_programs_are_short(R, loads):
    """For large discs less than one load a row of the disc; at R = 4 and 8 a cascade of edges and nothing else."""
    rows, half = balls.lattice_ball(R, (1.0, 1.0))
    program = cascade.compile_ball(rows[:, 0], half)
    assert program.cost <= loads
    if R <= 8:
        assert max(map(len, program.stages[1:])) == 2


@pytest.mark.parametrize(("R", "loads"), [(2, 2), (4, 2), (8, 2), (12, 1), (16, 1)])
def test_programs_of_solid_balls_are_short(R, loads):
    """Less than two loads a row of the ball, of which there are about pi R^2; for large balls less than one."""
    stages = [stage for part in morphology._parts(R, (1.0,) * 3, "lattice", (64,) * 3) for stage in part]
    rows, _ = balls.lattice_ball(R, (1.0,) * 3)
    assert sum(map(len, stages)) < loads * len(rows)


@given(st.floats(0, 14), st.sampled_from([0.4, 1.0, 1.3]), NORMS)
@quick
def test_programs_make_the_ball(eps, width, norm):
    """Every stage, as a set of offsets, taken from the definition of a program; the last one is the ball."""
    rows, half = balls.lattice_ball(eps, (1.0, width), norm)
    sets = [{(0, 0)}]
    for terms in cascade.compile_ball(rows[:, 0], half).stages:
        sets.append({(dy + y, dx + x) for s, dy, dx in terms for y, x in sets[s]})
    assert sets[-1] == set(map(tuple, balls.offsets(rows, half).tolist()))


def test_many_threads_at_once():
    rng = np.random.default_rng(3)
    fields = [rng.standard_normal((40, 50)).astype(np.float32) for _ in range(16)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda u: dilate(u, 5.0, (1.0, 1.0), threads=2), fields))
    for u, out in zip(fields, got, strict=True):
        np.testing.assert_array_equal(out, by_offsets(u, 5.0, (1.0, 1.0), "lattice"))


def test_who_finds_the_other_thread_busy_works_alone():
    u = np.random.default_rng(3).standard_normal((40, 50))
    other, begun, end = morphology._other(), threading.Event(), threading.Event()
    done = other.start(lambda: begun.set() or end.wait())
    assert begun.wait(60)
    assert other.start(print) is None
    np.testing.assert_array_equal(dilate(u, 5.0, (1.0, 1.0), threads=2), by_offsets(u, 5.0, (1.0, 1.0), "lattice"))
    end.set()
    assert done.get(timeout=60) is None
    assert other.start(begun.clear).get(timeout=60) is None
    assert not begun.is_set()


def test_errors_of_the_other_thread_reach_the_caller(monkeypatch):
    u = np.random.default_rng(3).standard_normal((40, 50))
    sweep, main = morphology._maxima.sweep, threading.get_ident()

    def full(*args):
        if threading.get_ident() != main:
            raise OSError("no space left")  # where kernels are kept, say
        sweep(*args)

    monkeypatch.setattr(morphology._maxima, "sweep", full)
    with pytest.raises(OSError, match="no space"):
        dilate(u, 5.0, (1.0, 1.0), threads=2)
    monkeypatch.undo()
    assert morphology._other().start(int).get(timeout=60) is None
    np.testing.assert_array_equal(dilate(u, 5.0, (1.0, 1.0), threads=2), by_offsets(u, 5.0, (1.0, 1.0), "lattice"))


def test_a_call_that_is_interrupted_leaves_the_other_thread_in_order(monkeypatch):
    u = np.random.default_rng(3).standard_normal((40, 50))
    sweep, main = morphology._maxima.sweep, threading.get_ident()

    def interrupted(*args):
        if threading.get_ident() == main:
            raise KeyboardInterrupt
        time.sleep(0.05)
        sweep(*args)

    for threads_of_the_next in (1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(morphology._maxima, "sweep", interrupted)
            with pytest.raises(KeyboardInterrupt):
                dilate(u + 1, 5.0, (1.0, 1.0), threads=2)
        got = dilate(u, 5.0, (1.0, 1.0), threads=threads_of_the_next)
        np.testing.assert_array_equal(got, by_offsets(u, 5.0, (1.0, 1.0), "lattice"))


def test_without_threads_the_caller_does_all(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(morphology.Thread, "start", refuse)
    alone = morphology._Parked()
    monkeypatch.setattr(morphology, "_other", lambda: alone)
    u = np.random.default_rng(3).standard_normal((40, 50))
    np.testing.assert_array_equal(dilate(u, 5.0, (1.0, 1.0), threads=2), by_offsets(u, 5.0, (1.0, 1.0), "lattice"))


def test_the_other_thread_keeps_no_arrays():
    u = np.random.default_rng(3).standard_normal((40, 50))
    got = dilate(u, 5.0, (1.0, 1.0), threads=2)
    kept = [weakref.ref(u), weakref.ref(got if got.base is None else got.base)]
    del u, got
    for _ in range(1000):  # it answers a little before it lets go
        if all(array() is None for array in kept):
            return
        time.sleep(0.01)
    raise AssertionError("arrays are kept")


class FarEnd:
    """In place of the other thread: works at once, until it meets somebody who has claimed some rows."""

    def __init__(self, rows):
        self.rows = rows

    def start(self, work, to, claims, end, ring, plan):
        to.view(np.uint8)[:] = 1
        claims[:, 1 - end] = self.rows
        work(to, claims, end, ring, plan)
        claims[:, 1 - end] = 0


@pytest.fixture
def row_by_row(monkeypatch):
    """Blocks of one row, where small arrays are one block."""
    morphology._plans.cache_clear()
    monkeypatch.setattr(morphology._maxima, "CHUNKS", (1, 1))
    yield
    morphology._plans.cache_clear()


def meet(problem, norm, rows):
    u, eps, spacing = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(morphology, "_other", lambda: FarEnd(rows))
        up, down = dilate(u, eps, spacing, norm, 2), erode(u, eps, spacing, norm, 2)
    np.testing.assert_array_equal(up, by_offsets(u, eps, spacing, norm))
    np.testing.assert_array_equal(down, by_offsets(u, eps, spacing, norm, np.minimum, np.inf))


@given(problems(), NORMS, st.integers(0, 400))
@quick
def test_two_ends_meet_anywhere(problem, norm, rows):
    meet(problem, norm, rows)


@pytest.mark.usefixtures("row_by_row")
def test_two_ends_meet_at_any_row():
    u = np.random.default_rng(6).standard_normal((9, 6)) - 9
    for problem in ((u, 2.0, (1.0, 1.0)), (u.reshape(3, 6, 3), 1.5, (1.0, 1.0, 1.0))):
        for rows in range(30):
            meet(problem, "lattice", rows)


@pytest.mark.usefixtures("row_by_row")
def test_an_end_stops_where_the_other_has_claimed():
    class Claims:
        def start(self, work, to, claims, end, ring, plan):
            to[:], claims[:, end] = 7.0, rows

    u = np.random.default_rng(6).standard_normal((9, 6))
    for rows in range(10):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(morphology, "_other", Claims)
            got = dilate(u, 2.0, (1.0, 1.0), threads=2)
        np.testing.assert_array_equal(got[: 9 - rows], by_offsets(u, 2.0, (1.0, 1.0), "lattice")[: 9 - rows])
        assert (got[9 - rows :] == 7.0).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.parametrize("busy", [False, True])
def test_forked_worker(busy):
    """A child has no second thread, whatever its parent had, and starts one of its own."""
    code = f"""
import os
import threading
import numpy as np
from mcfpaper.kernels.morphology import _other, dilate
u = np.random.default_rng(4).standard_normal((300, 300))
want = dilate(u, 4.0, (1.0, 1.0), threads=2)
end = threading.Event()
if {busy}:
    _other().start(end.wait)
child = os.fork()
if not child:
    right = (dilate(u, 4.0, (1.0, 1.0), threads=2) == want).all()
    os._exit(int(not (right and _other().start(int).get(timeout=60) is None)))
end.set()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_spawned_worker():
    u = np.random.default_rng(4).random((8, 9)) > 0.8
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for threads in (1, 2):
            got = pool.submit(dilate, u, 2.0, (1.0, 1.0), threads=threads).result()
            np.testing.assert_array_equal(got, dilate(u, 2.0, (1.0, 1.0)))


def test_the_benchmark_runs(tmp_path, monkeypatch, capsys):
    from benchmarks import run

    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "names", lambda: ["dilation"])
    run.main(["dilation", "--quick"])
    assert "x cv2" in capsys.readouterr().out
    assert (tmp_path / "results" / "dilation-quick.json").stat().st_size > 0
