"""What the commands `evolve` and `explore` do."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import webbrowser
from importlib.util import find_spec
from pathlib import Path

import xarray as xr

from mcfpaper import _workspace, cluster, densities, scheme
from mcfpaper.trajectory import open_trajectory

FIGURES = ("perimeter", "nonlocal_perimeter", "volume", "risk", "adversarial_risk", "dissipation", "gap")


def read_problem(path: str, chunk: int | None = None) -> tuple[xr.DataArray, xr.Dataset]:
    """Initial set and densities from a file.

    Parameters
    ----------
    path : str
        A Zarr store or a netCDF file (version 4 needs h5netcdf) with variables `rho0`, `rho1` (mass per unit volume)
        and, if the flow is not to start from the Bayes classifier, `u` (a level-set function, positive inside), on one
        uniform grid.
    chunk : int, optional
        Cells a side of the blocks to work in; all at once by default.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read or lacks a variable.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"INPUT {path} does not exist")
    if chunk is not None and chunk < 1:
        raise ValueError(f"--chunk must be at least 1, got {chunk}")
    if _is_hdf5(path) and not (find_spec("h5netcdf") or find_spec("netCDF4")):
        raise ValueError(f"INPUT {path} is a netCDF file of version 4: `pip install h5netcdf` to read it")
    engine = {"engine": "zarr", "consolidated": False} if Path(path).is_dir() else {}
    try:
        data = xr.open_dataset(path, chunks=None if chunk is None else {}, **engine)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"INPUT {path} is neither a Zarr store nor a netCDF file that xarray reads: {error}"
        ) from error
    if missing := {"rho0", "rho1"} - set(data.data_vars):
        raise ValueError(f"INPUT {path} must have the variables rho0 and rho1, lacks {', '.join(sorted(missing))}")
    if chunk is not None:
        data = data.chunk(chunk)
    rho = data[["rho0", "rho1"]]
    return (data["u"] if "u" in data else densities.bayes(rho)), rho


def _is_hdf5(path: str) -> bool:
    """Whether a file is what netCDF of version 4 is."""
    if Path(path).is_dir():
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x89HDF"


def evolve(path: str, store: str, chunk: int | None, scheduler: str | None, **options) -> int:
    """Run the scheme on the problem in a file, into a store; exit status 0 if every step met its tolerance."""
    u, rho = read_problem(path, chunk)
    try:
        with cluster.active(scheduler):
            run = scheme.evolve(u, rho, store=store, **options)
    except KeyboardInterrupt:
        told = _reached(open_trajectory(store)) if Path(store).exists() else "Nothing is stored yet"
        print(f"\nInterrupted. {told}; the same command goes on.", file=sys.stderr)
        return 130
    print(f"{_reached(run)}\n{_figures(run)}")
    return 0 if bool(run["converged"].all()) else 1


def _reached(run: xr.Dataset) -> str:
    steps, stored, to = run.sizes["time"] - 1, run.attrs["steps_done"], f"to time {float(run['time'][-1]):.6g}"
    if stored > steps:
        return f"{steps} steps, {to}; the store holds {stored} of {run.attrs['steps']}"
    return f"{steps} of {run.attrs['steps']} steps, {to}, are stored"


def _figures(run: xr.Dataset) -> str:
    """The figures at the start and at the end, as a table."""
    ends = run[list(FIGURES)].isel(time=[0, -1]).compute()
    rows = [f"{v.attrs['long_name']:>30}  {v.values[0]:12.6g}  {v.values[1]:12.6g}" for v in ends.data_vars.values()]
    return "\n".join([f"{'':>30}  {'start':>12}  {'end':>12}", *rows])


def explore(store: str | None = None, page: str | None = None, browser: bool = True) -> int:
    """Show a stored trajectory as a page with a time slider, or the notebooks in JupyterLab."""
    if store is None:
        return _lab(browser)
    path = Path(page or f"{Path(store).resolve()}.html")
    _write_page(open_trajectory(store), path, Path(store).name)
    print(path)
    if browser:
        webbrowser.open(path.resolve().as_uri())
    return 0


def _lab(browser: bool) -> int:
    folder = _workspace.root() / "notebooks"
    if not folder.is_dir():
        raise ValueError(f"there are no notebooks in {folder.parent}: run this in a checkout, or name a STORE")
    if find_spec("jupyterlab") is None:
        raise ValueError("JupyterLab is missing: pip install 'mcfpaper[notebooks]'")
    return subprocess.call([sys.executable, "-m", "jupyterlab", *([] if browser else ["--no-browser"]), str(folder)])


def _write_page(run: xr.Dataset, path: Path, title: str) -> None:
    """Front and figures over time, in one file that needs no kernel and no network."""
    import holoviews as hv

    from mcfpaper import plots

    hv.extension("bokeh")
    energies = plots.series(run, ["perimeter", "nonlocal_perimeter"], "perimeter")
    risks = plots.series(run, ["risk", "adversarial_risk"], "risk")
    parts = [energies, risks, plots.series(run, ["volume"], "volume"), plots.certificate(run)]
    if run["u"].ndim == 3:  # the plane: time and two dimensions
        parts = [plots.trajectory(run), plots.fronts(run), *parts]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as place:
        with contextlib.redirect_stdout(sys.stderr):  # its progress bar
            page = Path(place, "page.html")
            hv.save(hv.Layout(parts).cols(2).opts(shared_axes=False), page, resources="inline", title=title)
        page.replace(path)
