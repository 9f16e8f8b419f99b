"""The command line: `report`, `evolve` and `explore`, their exit statuses, bad usage, help."""

import base64
import subprocess
import sys

import checkouts
import numpy as np
import pytest
import toyflow
import xarray as xr
import zarr

import mcfpaper as mcf
from mcfpaper import _commands, ledger, reproduce, scheme, trajectory
from mcfpaper.__main__ import COMMANDS, main

PNG = b"\x89PNG\r\n\x1a\n not looked into"
COMMITTED = ("01_one", "02_two")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Two notebooks of one claim each, run and committed."""
    checkouts.make(tmp_path, monkeypatch)
    for name in COMMITTED:
        checkouts.write_notebook(tmp_path, name, "x = 1")
        run_by_hand(name)
        reproduce.renew_committed(checkouts.run_of(tmp_path, name))
    return tmp_path


def run_by_hand(name, measured=0.5, sentence="It <is> [small]"):
    claims = ledger.Ledger(name)
    try:
        claims.claim("T1", sentence, measured=measured, at_most=1, oracle="a definition", plot=PNG)
    except ledger.ClaimError:
        assert measured > 1


def test_report_of_claims_that_hold(checkout, capsys):
    assert main(["report"]) == 0
    printed = capsys.readouterr().out
    assert "2 of 2 claims hold" in printed
    assert "[small]" in printed
    page = (checkout / "data/runs/quick/report.html").read_text()
    assert base64.b64encode(PNG).decode() in page
    assert "It &lt;is&gt; [small]" in page
    assert "http" not in page


def test_report_of_a_claim_that_fails(checkout, capsys):
    run_by_hand("02_two", measured=2.0)
    assert main(["report"]) == 1
    assert "1 of 2 claims hold; 1 fail." in capsys.readouterr().out


def test_report_of_a_claim_that_is_missing(checkout, capsys):
    (checkout / "data/runs/quick/records/02_two.json").unlink()
    assert main(["report"]) == 1
    printed = capsys.readouterr().out
    assert "1 of 2 claims hold; 1 missing." in printed
    assert "not produced" in printed


def test_report_of_a_claim_that_is_stale(checkout, capsys):
    checkouts.write_notebook(checkout, "02_two", "x = 1", prose="# Other words")
    assert main(["report"]) == 0
    checkouts.write_notebook(checkout, "02_two", "x = 2")
    assert main(["report"]) == 1
    assert "1 of 2 claims hold; 1 stale." in capsys.readouterr().out


def test_report_of_a_claim_that_is_not_committed_yet(checkout, capsys):
    run_by_hand("02_two", sentence="Another")
    assert main(["report"]) == 0
    assert "3 of 3 claims hold; 1 new" in capsys.readouterr().out


def test_report_ignores_records_of_notebooks_that_are_not_the_checkouts(checkout, capsys):
    run_by_hand("my_own", measured=2.0)
    assert main(["report"]) == 0
    assert "2 of 2 claims hold" in capsys.readouterr().out


def test_report_goes_to_the_page_that_was_asked_for(checkout, tmp_path):
    assert main(["report", "--html", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert not (checkout / "data/runs/quick/report.html").exists()


def test_report_without_runs_says_what_to_do(checkout, capsys):
    assert main(["report", "--scale", "full"]) == 1
    assert "run `mcfpaper reproduce --scale full` first" in capsys.readouterr().err


def test_a_broken_record_is_named(checkout, capsys):
    (checkout / "data/runs/quick/records/02_two.json").write_text("{")
    assert main(["report"]) == 2
    assert "02_two.json is not valid JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "7"], "no notebook is called '7'; there are 01_one, 02_two"),
        (["reproduce", "notebooks/03_three.ipynb"], "no notebook is called"),
        (["reproduce", "--inplace", "--scale", "full"], "leave out --scale full"),
    ],
)
def test_bad_usage_is_told_before_any_work(checkout, capsys, arguments, message):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (checkout / "data/runs/quick/notebooks").exists()


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["report", "--scale", "huge"]])
def test_what_argparse_refuses(arguments, capsys):
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert "usage: mcfpaper" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as refused:
        main([command, "--help"])
    assert refused.value.code == 0
    assert f"usage: mcfpaper {command}" in capsys.readouterr().out


def test_the_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "mcfpaper", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[0]) == (0, "mcfpaper")


# evolve and explore ---------------------------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A problem in a netCDF file and in a Zarr store; steps cost nothing."""
    toyflow.install(monkeypatch.setattr)
    figures = [name for name in _commands.FIGURES if name != "gap"]
    measure = lambda self, u, before: {k: i + float(u.sum()) for i, k in enumerate(figures)}  # noqa: E731
    monkeypatch.setattr(scheme.Problem, "_measure_subcell", measure)
    monkeypatch.chdir(tmp_path)
    coords = mcf.grid(toyflow.SHAPE)
    data = mcf.densities.uniform(coords).assign(u=xr.DataArray(toyflow.state(0), coords, coords.dims))
    data.to_netcdf("in.nc")
    data.drop_vars("u").to_zarr("in.zarr", consolidated=False)
    return ["evolve", "in.nc", "-o", "out.zarr", "--eps", "0.6", "--tau", str(toyflow.TAU), "--t-end"]


def test_evolve_runs_resumes_and_extends(toy, capsys):
    for end, steps in (("1.0", 4), ("1.0", 4), ("1.5", 6)):
        assert main([*toy, end]) == 0
        said = capsys.readouterr().out
        assert f"{steps} of {steps} steps, to time {end.removesuffix('.0')}, are stored" in said
        run = mcf.open_trajectory("out.zarr")
        np.testing.assert_array_equal(run["u"][-1], toyflow.state(steps))
        assert f"{float(run['risk'][0]):.6g}  {float(run['risk'][-1]):12.6g}" in said
    assert run.attrs["eps"] == 0.6
    assert main([*toy, "0.5"]) == 0
    assert "2 steps, to time 0.5; the store holds 6 of 6" in capsys.readouterr().out
    assert main([*toy, "1.5", "--eps", "0.7"]) == 2
    assert "out.zarr was written by another problem" in capsys.readouterr().err


def test_evolve_names_an_input_of_the_wrong_type(toy, capsys):
    (xr.load_dataset("in.nc") > 0).to_zarr("bad.zarr", consolidated=False)
    assert main(["evolve", "bad.zarr", *toy[2:], "1.0"]) == 2
    assert "densities.rho0 must hold real numbers, got dtype bool" in capsys.readouterr().err


def test_evolve_passes_every_option_on_and_starts_from_bayes(toy, monkeypatch):
    seen = {}

    def recorded(u, rho, **options):
        seen.update(options, u=u, rho=rho)
        raise ValueError("enough")

    monkeypatch.setattr(scheme, "evolve", recorded)
    line = ["in.zarr", "-o", "a.zarr", "--eps", "0.5", "--t-end", "2", "--tau", "0.25", "--method", "exact"]
    line += ["--ball", "box", "--side", "maximal", "--tol", "0.001", "--chunk", "3"]
    assert main(["evolve", *line]) == 2
    u, rho = seen.pop("u"), seen.pop("rho")
    assert seen == {
        "store": "a.zarr", "eps": 0.5, "t_end": 2.0, "tau": 0.25, "method": "exact", "ball": "box", "side": "maximal",
        "tol": 0.001,
    }  # fmt: skip
    assert u.chunks == ((3, 3), (3, 1))
    xr.testing.assert_identical(u.compute(), mcf.bayes(rho.compute()))


def test_evolve_fails_where_a_step_misses_its_tolerance(toy, monkeypatch, capsys):
    step = scheme.Problem._step
    monkeypatch.setattr(scheme.Problem, "_step", lambda self, f: step(self, f).assign(converged=False))
    with pytest.warns(UserWarning, match="2 of 2 steps did not reach tol"):
        assert main([*toy, "0.5"]) == 1
    assert "2 of 2 steps" in capsys.readouterr().out


def test_ctrl_c_tells_what_is_stored(toy, monkeypatch, capsys):
    commit = trajectory.Writer.commit

    def interrupted(self, step, values):
        if step == 3:
            raise KeyboardInterrupt
        commit(self, step, values)

    with monkeypatch.context() as patch:
        patch.setattr(trajectory.Writer, "commit", interrupted)
        assert main([*toy, "1.0"]) == 130
    assert "2 of 4 steps, to time 0.5, are stored; the same command goes on" in capsys.readouterr().err
    assert main([*toy, "1.0"]) == 0


def test_ctrl_c_before_anything_is_stored(toy, monkeypatch, capsys):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(scheme.Problem, "start", interrupted)
    assert main([*toy, "1.0"]) == 130
    assert capsys.readouterr().err == "\nInterrupted. Nothing is stored yet; the same command goes on.\n"


def test_evolve_tells_what_is_wrong_with_its_input(toy, tmp_path, monkeypatch, capsys):
    (tmp_path / "text.nc").write_text("no data")
    (tmp_path / "folder").mkdir()
    zarr.create_group("none.zarr")
    (tmp_path / "four.nc").write_bytes(b"\x89HDF\r\n\x1a\n")
    xr.Dataset({"rho0": ("x", [1.0, 2.0])}).to_netcdf("half.nc")
    monkeypatch.setattr(_commands, "find_spec", lambda name: None)  # as where no reader of netCDF-4 is installed
    for name, message in {
        "absent.nc": "INPUT absent.nc does not exist",
        "text.nc": "INPUT text.nc is neither a Zarr store nor a netCDF file",
        "four.nc": "INPUT four.nc is a netCDF file of version 4: `pip install h5netcdf` to read it",
        "folder": "INPUT folder is neither a Zarr store nor a netCDF file",
        "none.zarr": "must have the variables rho0 and rho1, lacks rho0, rho1",
        "half.nc": "lacks rho1",
    }.items():
        assert main(["evolve", name, "-o", "a.zarr", "--eps", "0.6", "--t-end", "1"]) == 2
        assert message in capsys.readouterr().err
    assert main([*toy, "1", "--eps", "0.01"]) == 2
    assert "eps must be at least the largest grid spacing" in capsys.readouterr().err
    assert main([*toy, "1", "--chunk", "0"]) == 2
    assert "--chunk must be at least 1" in capsys.readouterr().err
    assert not (tmp_path / "a.zarr").exists()


def test_explore_writes_a_page_that_needs_no_network(toy, tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(_commands.webbrowser, "open", opened.append)
    assert main([*toy, "1.0"]) == 0
    assert main(["explore", "out.zarr", "--html", "pages/run.html", "--no-browser"]) == 0
    assert opened == []
    page = (tmp_path / "pages/run.html").read_text()
    assert "<title>out.zarr</title>" in page
    assert page.count("<script") > 3
    assert "<script src" not in page
    assert "adversarial risk" in page
    assert main(["explore", "out.zarr"]) == 0
    assert opened == [(tmp_path / "out.zarr.html").as_uri()]
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "out.zarr.html")
    assert main(["explore", "out.zarr", "--html", "pages/run", "--no-browser"]) == 0
    assert (tmp_path / "pages/run").read_text().startswith(page[:100])
    assert sorted(p.name for p in (tmp_path / "pages").iterdir()) == ["run", "run.html"]
    assert main(["explore", "absent.zarr"]) == 2
    assert "absent.zarr does not exist" in capsys.readouterr().err


def test_explore_opens_the_notebooks(checkout, monkeypatch, capsys):
    called = []
    monkeypatch.setattr(_commands.subprocess, "call", lambda command: called.append(command) or 3)
    assert main(["explore", "--no-browser"]) == 3
    assert called == [[sys.executable, "-m", "jupyterlab", "--no-browser", str(checkout / "notebooks")]]
    monkeypatch.setattr(_commands, "find_spec", lambda name: None)
    assert main(["explore"]) == 2
    assert "JupyterLab is missing" in capsys.readouterr().err
    monkeypatch.setenv("MCFPAPER_ROOT", str(checkout / "data"))
    assert main(["explore"]) == 2
    assert "there are no notebooks" in capsys.readouterr().err
