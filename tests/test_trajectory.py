"""Stores of trajectories: round trip, resuming, readers beside a writer, and whatever may interrupt a run."""

import errno
import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import toyflow
import xarray as xr
import zarr

import mcfpaper as mcf
from mcfpaper import trajectory

PATIENCE = 120  # seconds until something happens in another process, which may have to compile first


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    toyflow.install(monkeypatch.setattr)


@pytest.fixture
def client():
    """Start a program that runs the toy flow on a store; ended with the test."""
    started = []

    def start(*arguments, **popen):
        started.append(toyflow.start(*arguments, **popen))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def files(store):
    """Every file of a store and its bytes."""
    return {p.relative_to(store): p.read_bytes() for p in Path(store).rglob("*") if p.is_file()}


def steps_done(store):
    return mcf.open_trajectory(store).sizes["time"] - 1 if store.exists() else -1


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def check(data, steps):
    """That a trajectory holds the toy flow up to a step."""
    np.testing.assert_array_equal(data.time, toyflow.TAU * np.arange(steps + 1))
    for k in range(steps + 1):
        np.testing.assert_array_equal(data.u[k], toyflow.state(k))


def test_round_trip(tmp_path):
    stored, memory = toyflow.run(tmp_path / "a.zarr", 3), toyflow.run(None, 3)
    assert stored.u.chunks == ((1,) * 4, (6,), (4,))
    xr.testing.assert_equal(stored.compute(), memory)
    for name, variable in memory.variables.items():
        assert stored[name].attrs == variable.attrs
        assert stored[name].dtype == variable.dtype
    assert memory.attrs.items() <= stored.attrs.items()
    assert stored.attrs["steps"] == stored.attrs["steps_done"] == 3
    xr.testing.assert_identical(mcf.open_trajectory(str(tmp_path / "a.zarr")), stored)
    check(stored, 3)


def test_plain_xarray_opens_it(tmp_path):
    """Without a warning (pytest makes errors of them)."""
    toyflow.run(tmp_path / "a.zarr", 3)
    check(xr.open_zarr(tmp_path / "a.zarr"), 3)


@pytest.mark.parametrize("full", [False, True])
def test_infinite_fields_survive(tmp_path, full, monkeypatch):
    monkeypatch.undo()  # the scheme itself: these sets stay
    coords = mcf.grid(4)
    u = xr.DataArray(np.full((4, 4), full), coords, ("y", "x"))
    run = mcf.evolve(u, mcf.densities.uniform(coords), 0.5, 1.0, method="exact", store=tmp_path / "a.zarr")
    assert (run.u == (np.inf if full else -np.inf)).all()


def test_longer_run_extends_and_shorter_returns_the_first_steps(tmp_path):
    store = tmp_path / "a.zarr"
    check(toyflow.run(store, 2), 2)
    check(toyflow.run(store, 5), 5)
    before = files(store)
    check(toyflow.run(store, 3), 3)
    check(toyflow.run(store, 5), 5)
    assert files(store) == before  # nothing is left to do
    xr.testing.assert_equal(toyflow.run(store, 5).compute(), toyflow.run(None, 5))


def test_a_run_from_the_end_of_another(tmp_path):
    """A field that comes from a store brings its time and its encoding along: neither matters."""
    first = toyflow.run(tmp_path / "a.zarr", 2)
    second = toyflow.run(tmp_path / "b.zarr", 1, u=first.u.isel(time=-1).load())
    np.testing.assert_array_equal(second.u[1], toyflow.state(3))
    np.testing.assert_array_equal(second.time, [0, toyflow.TAU])


def test_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch):
    toyflow.run(tmp_path / "whole.zarr", 5)
    store, commit = tmp_path / "a.zarr", trajectory.Writer.commit

    def interrupted(self, step, values):
        if step == 3:  # fields of the step are written, but it is not committed
            self._group["u"][step] = 7.0
            (self.path / "u" / "c" / "3" / "0" / "0.abc.partial").touch()
            raise KeyboardInterrupt
        commit(self, step, values)

    monkeypatch.setattr(trajectory.Writer, "commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        toyflow.run(store, 5)
    partial = mcf.open_trajectory(store)
    check(partial, 2)
    assert (partial.attrs["steps"], partial.attrs["steps_done"]) == (5, 2)
    monkeypatch.setattr(trajectory.Writer, "commit", commit)
    check(toyflow.run(store, 5), 5)
    assert files(store) == files(tmp_path / "whole.zarr")


@pytest.mark.parametrize("changes", [{"eps": 0.7}, {"u": -toyflow.state(0)}, {"u": toyflow.state(0).T}])
def test_store_of_another_problem_is_refused_untouched(tmp_path, changes):
    store = tmp_path / "a.zarr"
    toyflow.run(store, 2)
    before = files(store)
    if "u" in changes:
        dims = ("y", "x") if changes["u"].shape == toyflow.SHAPE else ("x", "y")
        changes = {"u": xr.DataArray(changes["u"], mcf.grid(toyflow.SHAPE), dims)}
    with pytest.raises(ValueError, match=r"a\.zarr was written by another problem"):
        toyflow.run(store, 4, **changes)
    assert files(store) == before


def test_newer_format_is_refused_untouched(tmp_path):
    store = tmp_path / "a.zarr"
    toyflow.run(store, 2)
    metadata = json.loads((store / "zarr.json").read_text())
    metadata["attributes"]["format"] += 1
    (store / "zarr.json").write_text(json.dumps(metadata))
    before = files(store)
    for call in (lambda: mcf.open_trajectory(store), lambda: toyflow.run(store, 3)):
        with pytest.raises(ValueError, match="newer"):
            call()
    assert files(store) == before


def test_what_is_not_a_trajectory_is_refused_untouched(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.zarr does not exist"):
        mcf.open_trajectory(tmp_path / "none.zarr")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("precious")
    (tmp_path / "file").write_text("precious")
    zarr.create_group(tmp_path / "group")
    zarr.create_array(tmp_path / "array", shape=(2,), dtype=float)
    before = files(tmp_path)
    for name in ("folder", "file", "group", "array"):
        for call in (mcf.open_trajectory, lambda store: toyflow.run(store, 2)):
            with pytest.raises(ValueError, match=f"{name} is not a"):
                call(tmp_path / name)
    assert before.items() <= files(tmp_path).items()
    assert {p.suffix for p in set(files(tmp_path)) - set(before)} == {".lock"}


def test_leftovers_of_a_creation_do_not_hinder(tmp_path, monkeypatch):
    store = tmp_path / "a.zarr"
    (tmp_path / ".a.zarr.tmp" / "u").mkdir(parents=True)
    (tmp_path / ".a.zarr.tmp" / "zarr.json").write_text("half")

    def broken(path):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(trajectory, "_consolidate", broken)
        with pytest.raises(OSError, match=r"a\.zarr could not be written \(Input/output error\)"):
            toyflow.run(store, 2)
    assert [p.name for p in tmp_path.iterdir()] in ([], ["a.zarr.lock"])
    check(toyflow.run(store, 2), 2)


def test_an_interrupted_extension_hides_nothing(tmp_path, monkeypatch):
    store = tmp_path / "a.zarr"
    toyflow.run(store, 2)

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trajectory, "_consolidate", killed)
        with pytest.raises(KeyboardInterrupt):
            toyflow.run(store, 9)
    check(mcf.open_trajectory(store), 2)
    check(xr.open_zarr(store), 2)
    check(toyflow.run(store, 2), 2)
    check(toyflow.run(store, 5), 5)


def test_second_writer_is_refused_and_readers_are_not(tmp_path, client):
    store = tmp_path / "a.zarr"
    process = client(store, 10_000, "--pause", "0.01")
    wait_until(lambda: steps_done(store) >= 1)
    (tmp_path / "link.zarr").symlink_to(store)
    for path in (store, tmp_path / "link.zarr"):
        with pytest.raises(RuntimeError, match="is being written by another run"):
            toyflow.run(path, 10_000)
    data = mcf.open_trajectory(store)
    check(data, data.sizes["time"] - 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = steps_done(store)
    check(toyflow.run(store, done + 2), done + 2)  # the lock has gone with its process


def test_ctrl_c_ends_a_run_and_keeps_the_last_step(tmp_path, client):
    store = tmp_path / "a.zarr"
    process = client(store, 10_000, "--pause", "0.01")
    wait_until(lambda: steps_done(store) >= 2)
    done = steps_done(store)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in said
    assert steps_done(store) >= done
    check(mcf.open_trajectory(store), steps_done(store))


@pytest.mark.parametrize("options", [(), ("--chunked",)], ids=["one block", "on chunks"])
def test_ctrl_c_in_a_kernel_that_runs_for_a_minute(tmp_path, client, options):
    """It ends well before the kernel would."""
    store, mark = tmp_path / "a.zarr", tmp_path / "mark"
    process = client(store, 10_000, *options, "--stubborn", mark)
    wait_until(lambda: steps_done(store) >= 2 or process.poll() is not None)
    mark.touch()
    wait_until(lambda: Path(f"{mark}.reached").exists() or process.poll() is not None)
    done = steps_done(store)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in said
    assert steps_done(store) == done


@pytest.mark.parametrize(
    ("rounds", "options"),
    [
        pytest.param(3, (), id="thrice"),
        pytest.param(20, (), marks=pytest.mark.slow, id="twenty times"),
        pytest.param(20, ("--chunked",), marks=pytest.mark.slow, id="on chunks"),
    ],
)
def test_killed_at_random_moments(tmp_path, client, rounds, options):
    """Creation, commits and the extension of a shorter run are all hit sooner or later."""
    store, rng = tmp_path / "a.zarr", np.random.default_rng()
    pause, per_round = (0.3, 2) if options else (0.05, 10)  # about what a few steps take
    steps = per_round * rounds
    toyflow.finished(client(tmp_path / "whole.zarr", steps, *options))
    for _ in range(rounds):
        begun, process = store.exists(), client(store, steps, *options)
        target = min(steps_done(store) + int(rng.integers(0, per_round // 2 + 1)), steps)
        wait_until(lambda target=target, p=process: steps_done(store) >= target or p.poll() is not None)
        time.sleep(rng.uniform(0, pause))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if begun or store.exists():
            done = mcf.open_trajectory(store)
            assert np.isfinite(done.u).all()
            np.testing.assert_allclose(np.diff(done.time), done.attrs["tau"], rtol=1e-9)
            if not options:
                check(done, steps_done(store))
    toyflow.finished(client(store, steps, *options))
    assert mcf.open_trajectory(store).attrs["steps_done"] == steps
    assert files(store) == files(tmp_path / "whole.zarr")


def test_reading_while_writing_and_extending(tmp_path, client):
    store, seen = tmp_path / "a.zarr", set()
    toyflow.run(store, 2)
    process = client(store, 40)
    while process.poll() is None:
        data = mcf.open_trajectory(store)
        k = data.sizes["time"] - 1
        seen.add(k)
        assert float(data.time[-1]) == k * toyflow.TAU
        np.testing.assert_array_equal(data.u[-1], toyflow.state(k))
        assert float(data.risk[-1]) == pytest.approx(toyflow.state(k).sum())
    assert process.returncode == 0, process.stderr.read()
    assert len(seen) > 3
    check(mcf.open_trajectory(store), 40)


def test_a_worker_that_does_not_see_the_store_writes_nothing(tmp_path):
    u = da.zeros(toyflow.SHAPE)
    with trajectory.Writer(tmp_path / "a", xr.Dataset({"u": (("y", "x"), u)}), np.arange(3.0), "x") as writer:
        writer.commit(1, {"u": u})
        (tmp_path / "a").rename(tmp_path / "b")
        with pytest.raises(OSError, match=r"step 2 could not be written .*a worker does not see .*the 1 steps before"):
            writer.commit(2, {"u": u})
    assert not (tmp_path / "a").exists()
    assert steps_done(tmp_path / "b") == 1


@pytest.fixture
def disc(tmp_path):
    """A file system of its own with room for a few steps, and what mounts it anew with other options."""
    place = tmp_path / "disc"
    place.mkdir()

    def mount(options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"file systems cannot be mounted here: {done.stderr}")

    mount("size=300k")
    yield place, mount
    subprocess.run(["umount", place], check=True)


def test_a_disc_that_fills_up_or_is_read_only(disc):
    place, mount = disc
    store = place / "a.zarr"
    with pytest.raises(OSError, match=r"step \d+ could not be written .*No space left.* steps before it are intact"):
        toyflow.run(store, 100)
    done = steps_done(store)
    assert 1 <= done < 100
    check(mcf.open_trajectory(store), done)
    mount("remount,ro")
    before = files(store)
    with pytest.raises(OSError, match=r"a\.zarr could not be written \(Read-only file system\)"):
        toyflow.run(store, 100)
    assert files(store) == before
    check(mcf.open_trajectory(store), done)
    mount("remount,rw,size=10m")
    check(toyflow.run(store, 100), 100)


def full_disc():
    """No file may grow beyond this many bytes: what a process meets on a full disc, but for the error's number."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))


def test_full_disc(tmp_path, client):
    store = tmp_path / "a.zarr"
    toyflow.run(store, 2)
    before = files(store)
    process = client(store, 5, preexec_fn=full_disc)
    _, said = process.communicate(timeout=60)
    assert "OSError" in said
    assert f"{store} could not be written" in said
    assert "File too large" in said
    assert files(store).items() >= {k: v for k, v in before.items() if k.name != "zarr.json"}.items()
    check(mcf.open_trajectory(store), 2)
    check(toyflow.run(store, 5), 5)


def test_full_disc_in_a_step(tmp_path, monkeypatch):
    store = tmp_path / "a.zarr"
    put = zarr.storage._local._put

    def full(path, value, *args, **options):
        if "/risk/c/3" in path.as_posix():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return put(path, value, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(zarr.storage._local, "_put", full)
        with pytest.raises(OSError, match=r"step 3 could not be .*No space left.* the 2 steps before it are intact"):
            toyflow.run(store, 5)
    check(mcf.open_trajectory(store), 2)
    check(toyflow.run(store, 5), 5)


def test_read_only_store(tmp_path_factory, client):
    folder = tmp_path_factory.mktemp("readonly")
    store = folder / "a.zarr"
    toyflow.run(store, 2)
    (folder / "a.zarr.lock").unlink(missing_ok=True)
    before = files(store)
    for path in (store, folder):
        for sub in (path, *path.rglob("*")):
            sub.chmod(0o555 if sub.is_dir() else 0o444)
    try:
        _, said = client(store, 5, "--unprivileged").communicate(timeout=60)
    finally:
        for sub in (folder, *folder.rglob("*")):
            sub.chmod(0o755)
    assert "PermissionError" in said
    assert f"store {store} could not be written (Permission denied)" in said
    assert files(store) == before
    check(mcf.open_trajectory(store), 2)


@pytest.mark.parametrize(("shape", "chunks"), [((3000, 5), (1, 1024, 5)), ((300, 5, 5), (1, 128, 5, 5))])
def test_chunks_hold_some_megabytes_at_most(tmp_path, shape, chunks):
    u = xr.DataArray(np.zeros(shape), dims=[f"x{k}" for k in range(len(shape))])
    initial = xr.Dataset({"u": u, "gap": 0.0})
    with trajectory.Writer(tmp_path / "a.zarr", initial, np.array([0.0, 1.0]), "problem"):
        pass
    assert xr.open_zarr(tmp_path / "a.zarr").u.encoding["chunks"] == chunks
