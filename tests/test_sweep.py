"""Parameter studies: what goes in, what comes out, in this process and on workers."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import mcfpaper as mcf
from mcfpaper import cluster


@pytest.fixture(scope="module")
def pair():
    """Two worker processes, which sweeps use where a test asks for them."""
    with cluster.local(2) as client:
        yield client


@pytest.fixture
def alone(monkeypatch):
    """One processor: sweeps run in this process."""
    monkeypatch.setattr(cluster, "_active", lambda: None)
    monkeypatch.setattr(cluster, "_processors", lambda: 1)


@pytest.fixture(params=["alone", "pair"])
def anywhere(request):
    """Both ways in turn."""
    request.getfixturevalue(request.param)


def polynomial(a, b=1.0, c=0.0):
    return a * b**2 + c


def test_one_number_a_job(anywhere):
    eps = xr.DataArray([0.5, 0.25, 0.125], dims="eps", attrs={"units": "length"})
    out = mcf.sweep(polynomial, {"a": eps, "b": range(1, 3)})
    assert out["polynomial"].dims == ("a", "b")
    np.testing.assert_array_equal(out["polynomial"], eps.values[:, None] * np.array([1, 4]))
    np.testing.assert_array_equal(out["a"], eps)
    assert out["a"].attrs == eps.attrs
    assert out["b"].dtype.kind == "i"


axes = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.integers(-9, 9), min_size=1, max_size=3, unique=True), min_size=1
).filter(lambda p: "a" in p)


@settings(max_examples=20)
@given(axes, st.booleans())
def test_every_combination_has_its_place(parameters, labelled):
    """Whatever the order of the parameters and of their values."""
    given_values = {k: {f"{k}{v}": v for v in values} if labelled else values for k, values in parameters.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "_processors", lambda: 1)
        patch.setattr(cluster, "_active", lambda: None)
        out = mcf.sweep(lambda **kw: polynomial(**kw), given_values)["value"]
    assert list(out.dims) == list(parameters)
    for index in np.ndindex(out.shape):
        point = {name: values[i] for i, (name, values) in zip(index, parameters.items(), strict=True)}
        assert float(out[index]) == polynomial(**point)
        assert all(str(out[index][k].item()) == (f"{k}{v}" if labelled else str(v)) for k, v in point.items())


def field(eps, shape, density):
    """A lazy field, a figure and a text; neither `shape` nor `density` is a label."""
    u = xr.DataArray(eps * np.ones((3, 2)), {"y": [0.0, 1, 2]}, ("y", "x"), attrs={"units": "length"}).chunk(y=1)
    return xr.Dataset({"u": u + shape(2), "kind": str(density["kind"].values), "t": ("time", [eps])}, attrs={"n": 3})


def test_fields_of_labelled_shapes_and_densities(anywhere):
    densities = {name: xr.Dataset({"kind": name.upper()}) for name in ("uniform", "Gaussian")}
    shapes = {"square": lambda x: x**2, "cube": lambda x: x**3}
    out = mcf.sweep(field, {"shape": shapes, "density": densities, "eps": [0.5, 0.25]})
    assert out["u"].dims == ("shape", "density", "eps", "y", "x")
    assert out["u"].chunks is None
    assert out["u"].attrs == {"units": "length"}
    assert out.attrs == {"n": 3}
    assert (out["u"].sel(shape="cube", eps=0.25) == 8.25).all()
    assert (out["kind"].sel(density="Gaussian") == "GAUSSIAN").all()
    np.testing.assert_array_equal(out["t"].sel(eps=0.25), np.full((2, 2, 1), 0.25))


def agree(function, study, client):
    there = mcf.sweep(function, study, client=client)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "_active", lambda: cluster.SERIAL)
        here = mcf.sweep(function, study)
    xr.testing.assert_identical(there, here)
    return here


def test_workers_and_this_process_agree_to_the_bit(pair):
    grid = mcf.grid(64)

    def bayes(variance, prior):
        rho = mcf.densities.gaussian(grid, [0.0, 0.0], variance, [0.2, 0.0], 0.4, prior)
        return rho.assign(mass=rho.to_array().sum(), bayes=mcf.bayes(rho))

    out = agree(bayes, {"variance": [0.3, 0.5, 0.9], "prior": [0.2, 0.5]}, pair)
    xr.testing.assert_equal(out.isel(variance=2, prior=0, drop=True), bayes(0.9, 0.2))


@pytest.mark.slow
def test_workers_and_this_process_agree_to_the_bit_on_the_scheme(pair):
    grid = mcf.grid(24)
    rho = mcf.densities.gaussian(grid, [0.0, 0.0], 0.5, [0.2, 0.0], 0.4)
    u = 0.7 - np.hypot(xr.DataArray(grid["y"]), xr.DataArray(grid["x"]))

    def end(eps, tau, method):
        return mcf.evolve(u, rho, eps, 2 * tau, tau, method=method).isel(time=-1, drop=True)

    agree(end, {"eps": [0.1, 0.2], "tau": [0.02, 0.03], "method": ["smooth", "exact"]}, pair)


def test_unlike_times_are_an_error_or_joined(alone):
    def path(tau):
        return xr.DataArray(np.arange(3.0), {"time": tau * np.arange(3)}, "time", name="path")

    with pytest.raises(ValueError, match=r"do not fit together.*choose join"):
        mcf.sweep(path, {"tau": [0.5, 1.0]})
    out = mcf.sweep(path, {"tau": [0.5, 1.0]}, join="outer")
    np.testing.assert_array_equal(out["time"], [0, 0.5, 1, 2])
    np.testing.assert_array_equal(out["path"], [[0, 1, 2, np.nan], [0, np.nan, 1, 2]])
    assert mcf.sweep(path, {"tau": [0.5, 1.0]}, join="inner")["path"].values.tolist() == [[0, 2], [0, 1]]


def test_a_failing_job_is_named_and_ends_the_sweep(anywhere):
    def job(a, b):
        if (a, b) == (2, "y"):
            raise ZeroDivisionError("by nothing")
        return a

    with pytest.raises(RuntimeError, match=r"the job a=2, b=y failed: ZeroDivisionError: by nothing") as raised:
        mcf.sweep(job, {"a": [1, 2], "b": ["x", "y"]})
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert float(mcf.sweep(job, {"a": [1], "b": ["x"]})["job"].squeeze()) == 1  # the workers are free again


def test_warnings_come_back_with_their_parameters(anywhere):
    def job(a):
        for _ in range(3):
            warnings.warn(
                f"{a} is odd" if a % 2 else "even", UserWarning if a % 2 else DeprecationWarning, stacklevel=1
            )
        return a

    with pytest.warns(UserWarning, match="a=3: 3 is odd") as said:
        mcf.sweep(job, {"a": [2, 3]})
    assert len(said) == 1


@pytest.mark.parametrize("returned", [None, [1, 2], np.arange(3), object()])
def test_what_has_no_place_in_a_dataset_is_refused(alone, returned):
    with pytest.raises(RuntimeError, match=f"the job a=1 failed: TypeError: .* got {type(returned).__name__}"):
        mcf.sweep(lambda a: returned, {"a": [1]})


def test_results_must_agree_in_names_and_leave_those_of_parameters(alone):
    with pytest.raises(ValueError, match=r"variables \['x'\], a=2 returned \['y'\]"):
        mcf.sweep(lambda a: {"x" if a == 1 else "y": 0}, {"a": [1, 2]})
    for taken in ({"a": 1}, xr.DataArray([1.0], dims="a", name="u")):
        with pytest.raises(RuntimeError, match=r"called like a parameter, got \['a'\]"):
            mcf.sweep(lambda a, taken=taken: taken, {"a": [1, 2]})
    out = mcf.sweep(lambda a: xr.DataArray(2 * a, {"a": a}), {"a": [1, 2]})  # a scalar coordinate says the same
    assert out["value"].values.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((polynomial, [1, 2]), TypeError, "parameters must map names to values, got list"),
        ((polynomial, {}), ValueError, "at least one parameter"),
        ((polynomial, {1: [2]}), TypeError, "strings for names, got 1"),
        ((polynomial, {"a": 0.1}), TypeError, r"parameters\['a'\] must be a sequence"),
        ((polynomial, {"a": "abc"}), TypeError, r"parameters\['a'\] must be a sequence"),
        ((polynomial, {"a": []}), ValueError, "at least one value"),
        ((polynomial, {"a": [1, 2, 1]}), ValueError, "none twice"),
        ((polynomial, {"a": [xr.Dataset()]}), TypeError, "as a mapping of labels"),
        ((polynomial, {"a": np.ones((2, 2))}), TypeError, "must hold numbers or strings, got list"),
        ((polynomial, {"b": [1]}), TypeError, "must take the parameters b by name: missing a required argument: 'a'"),
        ((polynomial, {"a": [1], "eps": [1]}), TypeError, "must take the parameters a, eps by name"),
        (("polynomial", {"a": [1]}), TypeError, "function must be callable, got str"),
        ((polynomial, {"a": [1]}, 7), TypeError, "client must be a distributed.Client or an address, got int"),
    ],
)
def test_bad_arguments_are_told_before_any_work(arguments, error, message):
    with pytest.raises(error, match=message):
        mcf.sweep(*arguments)
    with pytest.raises(ValueError, match="join must be one of"):
        mcf.sweep(polynomial, {"a": [1]}, join="left")


def test_progress_is_shown_where_asked_for(alone, capsys):
    mcf.sweep(polynomial, {"a": [1, 2]}, progress=True)
    assert "sweep: 100%" in capsys.readouterr().err
    mcf.sweep(polynomial, {"a": [1, 2]})
    assert capsys.readouterr().err == ""


def test_the_workers_are_pinned_and_this_process_keeps_its_threads(pair):
    def threads(k):
        import numba

        return {"numba": numba.config.NUMBA_NUM_THREADS, "openmp": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()}

    before = {name: os.environ.get(name) for name in cluster.PINNED}
    out = mcf.sweep(threads, {"k": range(4)})
    assert (out["numba"] == 1).all()
    assert (out["openmp"] == "1").all()
    assert os.getpid() not in out["pid"]
    assert {name: os.environ.get(name) for name in cluster.PINNED} == before


def test_a_sweep_inside_a_job_runs_there(pair):
    def outer(a):
        inner = mcf.sweep(lambda b: os.getpid() + 0 * b, {"b": [1, 2]})["value"]
        return int((inner == os.getpid()).sum())

    assert mcf.sweep(outer, {"a": [1, 2, 3]})["outer"].values.tolist() == [2, 2, 2]


def test_a_worker_that_dies_takes_no_job_with_it(pair):
    """It is started anew, and the job that it had runs again."""

    def job(k, mark):
        if k == 1 and not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return k**2

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        out = mcf.sweep(job, {"k": range(6), "mark": [f"{folder}/mark"]})
    assert out["job"].squeeze().values.tolist() == [0, 1, 4, 9, 16, 25]


SCRIPT = """
import os, sys, time
import mcfpaper as mcf
from mcfpaper import cluster

def job(k):
    open(f"{sys.argv[1]}/{os.getpid()}", "w").close()
    time.sleep(600)

cluster._processors = lambda: 2
GUARD
    mcf.sweep(job, {"k": range(4)})
"""


def start(tmp_path, guard):
    path = tmp_path / "study.py"
    path.write_text(SCRIPT.replace("GUARD", guard))
    (tmp_path / "marks").mkdir()
    return subprocess.Popen(
        [sys.executable, path, tmp_path / "marks"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_ctrl_c_ends_the_sweep_and_its_workers(tmp_path):
    """As in a terminal, where every process of the group gets the signal."""
    process = start(tmp_path, "if __name__ == '__main__':")
    kill = threading.Timer(120, process.kill)
    kill.start()
    while process.poll() is None and len(list((tmp_path / "marks").iterdir())) < 2:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    kill.cancel()
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in said
    assert "WARNING" not in said
    pids = [int(mark.name) for mark in (tmp_path / "marks").iterdir()]
    assert len(pids) == 2
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def test_a_script_without_a_guard_is_told_so(tmp_path):
    process = start(tmp_path, "if True:")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "put that under if __name__ == '__main__'" in said
    assert "RuntimeError: worker processes did not start" in said


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "two"])
def test_number_of_workers_is_checked(workers):
    with (
        pytest.raises(ValueError, match=f"workers must be a positive integer, got {workers!r}"),
        cluster.local(workers),
    ):
        pass
