"""A scheduler and workers started from the command line, as a user would, and what becomes of work when they die."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import checkouts
import dask
import nbformat
import numpy as np
import pytest
import toyflow
import xarray as xr
from distributed import Client, LocalCluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import LATTICE, chunkings, densities, fields, grids, radii

import mcfpaper as mcf
from mcfpaper import cluster
from mcfpaper import operators as op
from mcfpaper.__main__ import main

WORKER = ("worker", "--nthreads", "1", "--no-dashboard")


class Cluster:
    """Processes of a scheduler and its workers."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
        self.address = self.wait_for("Scheduler at:", 0).split()[-1]

    def start(self, *arguments):
        path = self.folder / f"{len(self.processes)}.log"
        command = [sys.executable, "-m", "dask", *arguments]
        paths = [os.path.dirname(__file__), str(Path(mcf.__file__).parents[1])]  # of modules that jobs refer to
        environment = os.environ | cluster.PINNED | {"PYTHONPATH": os.pathsep.join(paths)}
        with path.open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=environment)
        self.processes.append((process, path))
        return len(self.processes) - 1

    def wait_for(self, text, number):
        process, log = self.processes[number]
        for _ in range(1200):
            if lines := [line for line in log.read_text().splitlines() if text in line]:
                return lines[0]
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        raise AssertionError(log.read_text())

    def work(self, *options):
        number = self.start(*WORKER, *options, self.address)
        self.wait_for("Registered to:", number)
        return number

    def end(self):
        for process, _ in reversed(self.processes):
            process.terminate()
        for process, _ in self.processes:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A scheduler with two workers."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        for _ in range(2):
            made.work()
        yield made
    finally:
        made.end()


def squares(k):
    return {"square": k**2, "pid": os.getpid()}


def test_a_scheduler_is_found_by_argument_variable_and_active_client(running, monkeypatch):
    def used(**options):
        out = mcf.sweep(squares, {"k": range(4)}, **options)
        assert out["square"].values.tolist() == [0, 1, 4, 9]
        return set(out["pid"].values)

    with Client(running.address, set_as_default=False) as client:
        workers = set(client.run(os.getpid).values())
        assert len(workers) == 2
        assert used(client=client) <= workers
    assert used(client=running.address) <= workers
    monkeypatch.setenv(cluster.VARIABLE, running.address)
    assert used() <= workers
    monkeypatch.setenv(cluster.VARIABLE, "tcp://127.0.0.1:1")
    with Client(running.address):
        assert used() <= workers  # what the program does counts for more than the environment


def test_the_dashboard_is_told(running, capsys):
    mcf.sweep(squares, {"k": range(2)}, client=running.address, progress=True)
    said = capsys.readouterr().err
    assert "dask dashboard: http://127.0.0.1:" in said
    assert "sweep: 100%" in said


def test_no_scheduler_at_the_address(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cluster, "TIMEOUT", 0.5)
    with pytest.raises(ConnectionError, match=r"no dask scheduler answers at 'tcp://127\.0\.0\.1:1'"):
        mcf.sweep(squares, {"k": [1]}, client="tcp://127.0.0.1:1")
    with pytest.raises(ConnectionError, match="no dask scheduler answers at 'nonsense://'"):
        mcf.sweep(squares, {"k": [1]}, client="nonsense://")
    checkouts.make(tmp_path, monkeypatch)
    checkouts.write_notebook(tmp_path, "01_one", "1")
    assert main(["reproduce", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "no dask scheduler answers" in capsys.readouterr().err
    assert not (tmp_path / "data" / "runs").exists()


def test_workers_with_another_version_or_none_are_refused(running, monkeypatch):
    def broken(self, function):
        raise ModuleNotFoundError("No module named 'mcfpaper'")

    with monkeypatch.context() as patch:
        patch.setattr(cluster, "version", lambda name: "0.0.1")
        with pytest.raises(ConnectionError, match=r"have mcfpaper .*; here it is 0\.0\.1"):
            mcf.sweep(squares, {"k": [1]}, client=running.address)
    monkeypatch.setattr(Client, "run", broken)
    with pytest.raises(ConnectionError, match=r"a worker of .* cannot load mcfpaper: No module named 'mcfpaper'"):
        mcf.sweep(squares, {"k": [1]}, client=running.address)


def test_reproduce_hands_the_scheduler_to_the_notebooks(running, monkeypatch, tmp_path, capsys):
    checkouts.make(tmp_path, monkeypatch)
    code = "import os, mcfpaper\nout = mcfpaper.sweep(lambda k: os.getppid() + 0 * k, {'k': [1, 2]})['value']"
    path = checkouts.write_notebook(tmp_path, "01_one", code, "print(sorted(set(out.values.tolist())))")
    monkeypatch.delenv(cluster.VARIABLE, raising=False)
    assert main(["reproduce", "--scheduler", running.address]) == 0
    assert f"Parameter studies run at {running.address}, dashboard: http" in capsys.readouterr().err
    assert cluster.VARIABLE not in os.environ
    executed = nbformat.read(tmp_path / "data/runs/quick/notebooks" / path.name, 4)
    nannies = {process.pid for process, _ in running.processes[1:]}
    (output,) = executed.cells[2].outputs
    assert set(eval(output["text"])) <= nannies


@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_operators_on_workers_equal_numpy_bit_for_bit(running, data):
    """Sums to rounding: at most 300 terms, in another order."""
    coords = data.draw(grids())
    u, rho = data.draw(fields(coords)), data.draw(densities(coords))
    eps, ball = data.draw(radii(coords)), data.draw(st.sampled_from(LATTICE))
    lazy, lazy_rho = data.draw(chunkings(u)), rho.map(lambda r: data.draw(chunkings(r)))
    bits = {"dilate": (eps, ball), "erode": (eps, ball), "subgradient": (rho, eps, ball)}
    sums = {"nonlocal_tv": (eps, ball), "risk": ()}  # those of sets would compile more
    there = {name: getattr(op, name)(lazy, *(lazy_rho if a is rho else a for a in args)) for name, args in bits.items()}
    there |= {name: getattr(op, name)(lazy, lazy_rho, *args) for name, args in sums.items()}
    with Client(running.address):
        (there,) = dask.compute(there)
    for name, args in bits.items():
        np.testing.assert_array_equal(there[name], getattr(op, name)(u, *args))
    for name, args in sums.items():
        here = float(getattr(op, name)(u, rho, *args))
        assert abs(float(there[name]) - here) <= 1e-12 * (abs(here) + 10 / eps)


def flow(folder):
    """A problem in a Zarr store, and the arguments of the command that runs it."""
    coords = mcf.grid(200)  # more than one tile
    u = 1 - (coords["x"] / 0.8) ** 2 - (coords["y"] / 0.6) ** 2
    mcf.densities.uniform(coords).assign(u=u).to_zarr(folder / "in.zarr", consolidated=False)
    return ["evolve", str(folder / "in.zarr"), "--eps", "0.1", "--tau", "0.001", "--t-end", "0.003", "--chunk", "70"]


def executed(client):
    return sum(client.run(lambda dask_worker: dask_worker.state.executed_count).values())


def test_a_flow_on_workers_by_the_command_line(running, tmp_path, capsys):
    """To the last bit what threads of this process give."""
    command = flow(tmp_path)
    assert main([*command, "-o", str(tmp_path / "here")]) == 0
    with Client(running.address, set_as_default=False) as client:
        before = executed(client)
        assert main([*command, "-o", str(tmp_path / "there"), "--scheduler", running.address]) == 0
        assert executed(client) > before + 20
    said = capsys.readouterr()
    assert f"Blocks are computed at {running.address}" in said.err
    assert "3 of 3 steps, to time 0.003, are stored" in said.out
    here, there = (mcf.open_trajectory(tmp_path / name) for name in ("here", "there"))
    xr.testing.assert_identical(here.compute(), there.compute())


def test_a_flow_tells_of_its_progress_and_of_the_dashboard(running, capsys):
    coords = mcf.grid(40)
    u = 1 - (coords["x"] / 0.8) ** 2 - (coords["y"] / 0.6) ** 2
    with Client(running.address):
        mcf.evolve(u.chunk(20), mcf.densities.uniform(coords), 0.1, 0.002, 0.001, progress=True)
    said = capsys.readouterr().err
    assert "dask dashboard: http://127.0.0.1:" in said
    last = said.split("\r")[-1]  # done, steps, time gone and left, time reached, gap
    assert re.search(r"100%.* 2/2 \[\d\d:\d\d<\d\d:\d\d,.*, gap=\d.\de-\d+, t=0\.002\]", last), said


@pytest.fixture
def start():
    """Start a program that runs a flow on the workers of a cluster; ended with the test."""
    started = []

    def start(cluster, store, *options):
        started.append(toyflow.start(store, 40, "--chunked", "--scheduler", cluster.address, *options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_ctrl_c_leaves_workers_that_are_in_a_long_kernel(start, tmp_path):
    """It ends well before the kernel would, which takes a minute; the steps before are kept."""
    made = Cluster(tmp_path)
    try:
        made.work()
        store, mark = tmp_path / "a.zarr", tmp_path / "mark"
        process = start(made, store, "--stubborn", mark)
        ended = lambda: process.poll() is not None  # noqa: E731
        wait_for(lambda: ended() or (store.exists() and mcf.open_trajectory(store).sizes["time"] > 2))
        mark.touch()
        wait_for(lambda: ended() or os.path.exists(f"{mark}.reached"))
        done = mcf.open_trajectory(store).sizes["time"]
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate(timeout=20)[1]
        assert mcf.open_trajectory(store).sizes["time"] == done
    finally:
        made.end()


@pytest.mark.slow
def test_a_client_killed_twenty_times(start, running, tmp_path):
    """At random moments, with workers that go on for a while: the store is that of an uninterrupted run."""
    rng = np.random.default_rng()
    stores = [tmp_path / name for name in ("whole", "killed")]
    toyflow.finished(start(running, stores[0]))
    for _ in range(20):
        process = start(running, stores[1])
        time.sleep(rng.uniform(0, 1.0))
        process.kill()
        process.communicate()
    toyflow.finished(start(running, stores[1]))
    whole, killed = ({p.relative_to(s): p.read_bytes() for p in s.rglob("*") if p.is_file()} for s in stores)
    assert whole == killed


def test_a_killed_worker_does_not_change_the_result(tmp_path):
    """SIGKILL in the middle of a computation; no nanny starts the worker anew, the other one finishes."""
    made = Cluster(tmp_path)
    try:
        first = made.work("--no-nanny")
        made.work("--no-nanny")
        x = np.linspace(-1, 1, 240)
        u = xr.DataArray(np.sin(9 * x)[:, None] * np.cos(7 * x), {"y": x, "x": x}, ("y", "x"))
        with Client(made.address) as client:
            slow = u.chunk(y=20, x=20)
            slow = slow.copy(data=slow.data.map_blocks(pause, dtype=float))
            future = client.compute(op.dilate(slow, 0.1))
            wait_for(lambda: sum(map(len, client.has_what().values())) >= 20)
            made.processes[first][0].send_signal(signal.SIGKILL)
            np.testing.assert_array_equal(future.result(timeout=120), op.dilate(u, 0.1))
            assert len(client.nthreads()) == 1
    finally:
        made.end()


def pause(block):
    time.sleep(0.01)
    return block


def wait_for(condition):
    for _ in range(2400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


SLOW_END = """
import threading, time
from mcfpaper import cluster

if __name__ == "__main__":
    with cluster.local(1) as client:
        client.run(lambda: threading.Thread(target=time.sleep, args=(8,)).start())
"""


@pytest.mark.slow
def test_a_worker_that_takes_long_to_end_is_waited_for_and_nobody_is_warned(tmp_path):
    """As on a busy machine, where dask would kill it after 4 s and say so in a notebook's output."""
    script = tmp_path / "slow_end.py"
    script.write_text(SLOW_END)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_default_workers_are_as_many_as_the_quota_allows(monkeypatch):
    started = []

    class Recorded(LocalCluster):
        def __init__(self, **options):
            started.append(options["n_workers"])
            super().__init__(**options | {"n_workers": 0})

    monkeypatch.setattr("distributed.LocalCluster", Recorded)
    monkeypatch.setattr("dask.system.CPU_COUNT", 3)
    with cluster.local() as client:
        assert client.cluster.scheduler.address.startswith("tcp://127.0.0.1:")
    with cluster.connected(jobs=2) as client:
        assert client is not None
    with cluster.connected(jobs=1) as client:
        assert client is None
    monkeypatch.setattr("dask.system.CPU_COUNT", 1)
    with cluster.connected(jobs=9) as client:
        assert client is None
    assert started == [3, 2]


QUOTA = """
from mcfpaper import _interrupt, cluster

def threads():
    import numba
    return numba.config.NUMBA_NUM_THREADS

if __name__ == "__main__":
    pool = _interrupt._pool()
    print(cluster._processors(), pool._processes, end=" ")
    with cluster.connected(jobs=9) as client:
        print(client, end=" ")
    with cluster.local() as client:
        (worker,) = client.cluster.workers.values()
        print(worker.memory_manager.memory_limit, *client.nthreads().values(), *client.run(threads).values())
"""


def test_a_quota_of_one_processor_and_a_limit_of_memory_are_kept(tmp_path):
    """Of a control group (version 2), whose files another mount hides from this process alone."""
    (tmp_path / "quota.py").write_text(QUOTA)
    files = "cd /sys/fs/cgroup && echo '100000 100000' > cpu.max && echo 3000000000 > memory.max"
    inside = f"mount -t tmpfs none /sys/fs/cgroup && {files} && exec {sys.executable} {tmp_path}/quota.py"
    try:
        done = subprocess.run(["unshare", "--mount", "sh", "-c", inside], capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr}")
    assert done.stdout.split() == ["1", "1", "None", "3000000000", "1", "1"], done.stderr
