"""The main job: execute the notebooks, keep what they produce, report their claims.

A run writes ``data/runs/<scale>/``: ``notebooks/`` executed copies, ``records/`` one file of claims a notebook
(replaced when the notebook's run has ended), ``trajectories/<notebook>/`` stores, ``report.html``.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from . import _workspace, cluster, ledger
from .report import report

INDEX = "00"  # the notebook that shows the committed records


def select(names: Sequence[str] = ()) -> list[Path]:
    """The checkout's notebooks in order, or those named by number, file name or path.

    Raises
    ------
    ValueError
        For a name that is no notebook, or when there are none.
    """
    folder = _workspace.root() / "notebooks"
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise ValueError(f"there are no notebooks NN_*.ipynb in {folder}")
    chosen = set()
    for name in names:
        found = [p for p in every if _is_named(p, name)]
        if not found:
            raise ValueError(f"no notebook is called {name!r}; there are {', '.join(p.stem for p in every)}")
        chosen.update(found)
    return [p for p in every if p in chosen] if names else every


def _is_named(path: Path, name: str) -> bool:
    if name.isdigit():
        return int(path.stem[:2]) == int(name)
    return name in (path.stem, path.name) or Path(name).resolve() == path.resolve()


def reproduce(
    names: Sequence[str] = (), scale: str | None = None, inplace: bool = False, scheduler: str | None = None
) -> int:
    """Execute notebooks, each in a fresh kernel, then report their claims.

    Parameters
    ----------
    names : sequence of str
        Notebooks by number, file name or path; all by default.
    scale : {"quick", "full"}, optional
        By default that of ``MCFPAPER_SCALE``.
    inplace : bool
        Renew the committed notebooks and ``data/claims.json`` too, for notebooks whose claims all hold.
    scheduler : str, optional
        Address of a dask scheduler for the parameter studies of the notebooks; by default that of
        ``MCFPAPER_SCHEDULER``, else they run on this machine.

    Returns
    -------
    int
        Exit status: 0 when every notebook ran and every claim holds, 1 when not, 130 after Ctrl-C.

    Raises
    ------
    ValueError
        Before any work, for an unknown notebook or scale, or `inplace` at full scale.
    ConnectionError
        Before any work, if no scheduler answers, or its workers lack this version of the package.
    """
    scale = scale or _workspace.scale()
    if scale not in _workspace.SCALES:
        raise ValueError(f"scale is {scale!r}; it must be one of {', '.join(_workspace.SCALES)}")
    if inplace and scale != "quick":
        raise ValueError("--inplace renews the committed records, which are of quick scale: leave out --scale full")
    paths = select(names)
    if inplace:  # the index shows the committed records, so it comes after those that renew them
        paths.sort(key=lambda path: path.stem.startswith(INDEX))
    finished = []
    try:
        with cluster.named(scheduler):
            _run_all(paths, scale, inplace, finished)
    except KeyboardInterrupt:
        left = " ".join(path.stem for path in paths if path.stem not in finished)
        print(f"\nInterrupted. Finished and kept: {', '.join(finished) or 'none'}. Left: {left}", file=sys.stderr)
        return 130
    if inplace and names and INDEX not in {path.stem[:2] for path in paths}:
        print(f"The committed records have changed; renew notebook {INDEX}, which shows them, too.")
    return report(scale, only=[path.stem for path in paths] if names else None)


def _run_all(paths: list[Path], scale: str, inplace: bool, finished: list[str]) -> None:
    """Run notebooks one after the other, naming each in `finished` once its results are kept."""
    notebooks = _import_notebooks()
    parsed = [notebooks.read(path) for path in paths]
    width = shutil.get_terminal_size().columns
    pace = 0.1 if sys.stderr.isatty() else 30.0
    total = sum(len(notebooks.code_cells(n)) for n in parsed)
    with tqdm(total=total, unit="cell", ncols=width, mininterval=pace) as bar:
        for number, (path, notebook) in enumerate(zip(paths, parsed, strict=True), start=1):
            run = _run_one(path, notebook, scale, bar, f"[{number}/{len(paths)}] {path.stem}")
            _keep(path, notebook, run, scale)
            if inplace and not run["error"] and all(c["holds"] for c in run["claims"]):
                _workspace.write_text(path, notebooks.dumps(notebook))
                renew_committed(run)
            finished.append(path.stem)
            bar.write(_told(run), file=sys.stderr)


def _run_one(path: Path, notebook, scale: str, bar: tqdm, title: str) -> dict:
    """Execute one notebook; its run record."""
    notebooks = _import_notebooks()
    cells = notebooks.code_cells(notebook)
    start = bar.n

    def on_cell(index: int) -> None:
        bar.n = start + cells.index(index)
        bar.set_description_str(f"{title}, cell {cells.index(index) + 1}/{len(cells)}", refresh=sys.stderr.isatty())
        bar.update(0)

    unfinished = _start_trajectories(path.stem, scale)
    with tempfile.TemporaryDirectory(prefix="mcfpaper-") as staging:
        env = os.environ | {
            "MCFPAPER_SCALE": scale,
            "MCFPAPER_DATA": str(_workspace.data_dir(scale).parent),
            "MCFPAPER_CACHE": os.environ.get("MCFPAPER_CACHE") or str(_workspace.data_dir(scale).parent / "kernels"),
            "MCFPAPER_ROOT": str(_workspace.root()),
            "MCFPAPER_RECORDS": staging,
            "MCFPAPER_NOTEBOOK": path.stem,
        }
        tick = bar.refresh if sys.stderr.isatty() else lambda: None
        outcome = notebooks.execute(notebook, path.parent, env, on_cell, tick)
        stated = Path(staging) / f"{path.stem}.json"
        claims = _workspace.read_json(stated)["claims"] if stated.is_file() else []
    if not outcome["error"]:
        unfinished.unlink()
    notebooks.normalise(notebook)
    bar.n = start + len(cells)
    bar.refresh()
    code = _workspace.code_hash(notebook)  # of what was executed, whatever became of the file meanwhile
    return ledger.run_record(path.stem, scale, [c | {"code": code} for c in claims], **outcome)


def _start_trajectories(name: str, scale: str) -> Path:
    """Begin anew, unless the last run did not finish: then its steps are there to resume from."""
    folder = _workspace.data_dir(scale) / "trajectories" / name
    marker = folder / "unfinished"
    if folder.is_dir() and not marker.is_file():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    marker.touch()
    return marker


def _keep(path: Path, notebook, run: dict, scale: str) -> None:
    folder = _workspace.data_dir(scale)
    _workspace.write_text(folder / "notebooks" / path.name, _import_notebooks().dumps(notebook))
    _workspace.write_json(folder / "records" / f"{path.stem}.json", run)


def renew_committed(run: dict) -> None:
    """Put one notebook's run, without its plots, among the committed records; drop notebooks that are gone."""
    folder = _workspace.root() / "notebooks"
    slim = run | {"claims": [{k: v for k, v in c.items() if k != "plot"} for c in run["claims"]]}
    others = [r for r in ledger.load() if r["notebook"] != run["notebook"]]
    kept = [r for r in others if (folder / f"{r['notebook']}.ipynb").is_file()]
    everything = sorted([*kept, slim], key=lambda r: r["notebook"])
    _workspace.write_json(_workspace.committed_path(), {"scale": "quick", "notebooks": everything})


def _told(run: dict) -> str:
    """One line on a notebook that has ended."""
    memory = f", {run['peak_memory_mb']} MB" if run["peak_memory_mb"] else ""
    count = len(run["claims"])
    claims = f"{sum(c['holds'] for c in run['claims'])} of {count} claims hold" if count else "no claims"
    error = f", raised {run['error']}" if run["error"] else ""
    return f"{run['notebook']}: {claims}, {run['seconds']:.0f} s{memory}{error}"


def _import_notebooks():
    try:
        from . import _notebooks
    except ImportError as error:
        raise ValueError(
            f"running notebooks needs the extra `notebooks` (pip install 'mcfpaper[notebooks]'): {error}"
        ) from error
    return _notebooks
