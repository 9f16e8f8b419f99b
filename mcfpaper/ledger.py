"""Claims: each is stated once in a notebook, recorded, printed in one line and then asserted.

A notebook's import cell opens its ledger, and a claim reads like the paper::

    claims = mcf.ledger.Ledger("01_adversarial_training")

    claims.claim("T1", "Adversarial risk is risk plus eps times nonlocal perimeter",
                 measured={"largest residual": residual}, at_most=1e-12,
                 because="sums of 16,384 terms of size one",
                 oracle="definition D4, cell by cell", parameters={"n": n, "eps": eps}, plot=figure)

prints ``T1 holds: Adversarial risk is ...: largest residual below 1e-12`` or raises `ClaimError`. Records
go to ``data/runs/<scale>/records/<notebook>.json``, one file a notebook; `records` reads the committed ones.
"""

import base64
import contextlib
import os
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from . import _figures, _workspace
from ._records import load, notebooks, records, theorems
from ._workspace import data_dir, scale

__all__ = [
    "ClaimError",
    "Ledger",
    "data_dir",
    "load",
    "notebooks",
    "plus_minus",
    "records",
    "scale",
    "theorems",
]

PACKAGES = ("mcfpaper", "numpy", "numba", "scipy", "xarray", "dask", "ortools", "holoviews")


class ClaimError(AssertionError):
    """A claim that does not hold; it has been recorded."""


def plus_minus(value: float, spread: float) -> list[float]:
    """A figure with its spread, for `measured`: both ends must meet the bound."""
    if not spread >= 0:
        raise ValueError(f"spread is {spread}; it must be at least 0")
    return [float(value) - float(spread), float(value) + float(spread)]


class Ledger:
    """The claims of one notebook.

    Parameters
    ----------
    notebook : str
        File name of the notebook without ``.ipynb``.

    Attributes
    ----------
    scale : str
        "quick" or "full" (``MCFPAPER_SCALE``).

    Raises
    ------
    ValueError
        When the runner executes a notebook of another name.
    """

    def __init__(self, notebook: str):
        running = os.environ.get("MCFPAPER_NOTEBOOK")
        if running and running != notebook:
            raise ValueError(f"notebook is {notebook!r}, but the notebook being run is {running!r}")
        self.notebook, self.scale, self._by_runner = notebook, scale(), bool(running)
        self._code = _workspace.file_hash(_workspace.notebook_path(notebook))
        self._stated: dict[str, dict] = {}

    def choose(self, *, quick: Any, full: Any) -> Any:
        """The value for this run's scale."""
        return {"quick": quick, "full": full}[self.scale]

    def store(self, name: str) -> Path:
        """Path for a trajectory of this notebook, another one whenever the package or notebook changes.

        A run that was interrupted thus resumes, and no figure is measured on what other code computed.
        """
        key = f"{_workspace.package_hash()[:6]}{self._code[:6]}"
        folder = data_dir(self.scale) / "trajectories" / self.notebook
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{_slug(name)}-{key}.zarr"

    def claim(
        self,
        label: str,
        sentence: str,
        *,
        measured: Any,
        at_most: Any = None,
        at_least: Any = None,
        between: Any = None,
        because: str = "",
        oracle: str,
        parameters: dict[str, Any] | None = None,
        trajectory: str | Path | None = None,
        plot: Any = None,
        name: str | None = None,
        digits: int = 2,
    ) -> None:
        """Record a claim, print it in one line, then assert it.

        Parameters
        ----------
        label, sentence : str
            What is claimed: a label of the map of theorems ("T1") and one line of plain words.
        measured : number, sequence of numbers, or mapping from names to these
            The figures. Several observations of one figure (orders, `plus_minus`) must each meet the
            bound. NaN and infinity never hold.
        at_most, at_least, between : number (a pair for `between`), or mapping from names to these
            The bound of every figure, or of each by name.
        because : str
            Where the bound comes from.
        oracle : str
            What the figure was held against.
        parameters : dict, optional
            What the experiment was run with.
        trajectory : path, optional
            The store that the figures come from.
        plot : HoloViews object, PNG bytes, an object with PNG `data`, or path of a PNG file, optional
            Picture for the report.
        name : str, optional
            Part of the record's identity; by default made from the sentence. A claim that is reworded
            counts as another one unless it has a name.
        digits : int
            Significant digits in the printed line: no more than come out the same on another machine.

        Raises
        ------
        ClaimError
            When a figure misses its bound (after recording).
        ValueError, TypeError
            For a bad argument, or for a claim stated twice in one run; nothing is recorded then.
        """
        _one_line("label", label, "oracle", oracle, "sentence", sentence)
        figures = _figures.as_figures(measured)
        bounds = _figures.as_bounds(list(figures), at_most, at_least, between)
        identity = f"{self.notebook}/{label}/{_slug(name or sentence)}"
        if self._by_runner and identity in self._stated:
            raise ValueError(f"the claim {identity} is stated twice; give one of them a name of its own")
        record = {
            "id": identity,
            "label": label,
            "sentence": sentence,
            "holds": all(_figures.meets(figures[n], bounds[n]) for n in figures),
            "measured": {n: _plain(values) for n, values in figures.items()},
            "bound": bounds,
            "text": {n: _figures.value_text(figures[n], bounds[n], digits) for n in figures},
            "because": because,
            "oracle": oracle,
            "parameters": _plain(parameters or {}),
            "trajectory": _relative(trajectory),
            "notebook": self.notebook,
            "scale": self.scale,
            "code": self._code,
            "versions": versions(),
            "plot": None if plot is None else base64.b64encode(_png(plot)).decode(),
        }
        self._stated[identity] = record
        self._write()
        print(line(record))
        if not record["holds"]:
            raise ClaimError(line(record))

    def _write(self) -> None:
        """All claims so far in one file; by hand, those of an earlier run stay until they are restated."""
        folder = os.environ.get("MCFPAPER_RECORDS") if self._by_runner else None
        path = Path(folder or data_dir(self.scale) / "records") / f"{self.notebook}.json"
        old = _workspace.read_json(path) if path.is_file() else {}
        claims = {c["id"]: c for c in old.get("claims", [])} | self._stated
        _workspace.write_json(path, run_record(self.notebook, self.scale, list(claims.values())))


def run_record(notebook: str, at_scale: str, claims: list[dict], **more) -> dict:
    """What one run of a notebook leaves: its claims, and what the runner knows of the run."""
    about = {"notebook": notebook, "scale": at_scale, "seconds": None, "peak_memory_mb": None, "error": None}
    return about | more | {"claims": claims}


def line(record: dict) -> str:
    """The one line of a claim, which reads the same on another machine."""
    parts = []
    for name, text in record["text"].items():
        bound = _figures.bound_text(record["bound"][name])
        said = text in (bound, bound.replace("at most", "below"))
        parts.append(f"{name} {text}" if said else f"{name} {text} ({bound})")
    verdict = "holds" if record["holds"] else "FAILS"
    return f"{record['label']} {verdict}: {record['sentence']}: {', '.join(parts)}"


def versions() -> dict[str, str]:
    """Versions of what computes, of those installed."""
    import platform

    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _one_line(*named: str) -> None:
    for name, value in zip(named[::2], named[1::2], strict=True):
        if not isinstance(value, str):
            raise TypeError(f"{name} is {type(value).__name__}; it must be a string")
        if not value.strip() or "\n" in value:
            raise ValueError(f"{name} is {value!r}; it must be one line of text")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].rstrip("-")


def _relative(store: str | Path | None) -> str | None:
    if store is None:
        return None
    path, base = Path(store).resolve(), data_dir().parent
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name


def _plain(value: Any) -> Any:
    """What JSON can hold: numbers to six digits, arrays as lists, anything else as text."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "to_numpy"):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _png(plot: Any) -> bytes:
    if isinstance(plot, str | Path):
        plot = Path(plot).read_bytes()
    data = plot if isinstance(plot, bytes) else getattr(plot, "data", None)
    if not (isinstance(data, bytes) and data.startswith(b"\x89PNG")):
        from . import plots

        data = plots.png(plot).data
    return data
