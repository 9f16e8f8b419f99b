"""Recorded claims as tables, for notebook 00 and the README."""

from pathlib import Path

from . import _figures, _workspace


def records(path: str | Path | None = None):
    """Claims as a table, one row each (`pandas.DataFrame`).

    Parameters
    ----------
    path : path, optional
        A file of records; by default the committed ones, ``data/claims.json``.

    Returns
    -------
    pandas.DataFrame
        Columns label, sentence, measured, bound, oracle, holds, notebook, id.
    """
    import pandas as pd

    rows = [
        {
            "label": c["label"],
            "sentence": c["sentence"],
            "measured": ", ".join(f"{n} {t}" for n, t in c["text"].items()),
            "bound": _figures.bounds_text(c["bound"]),
            "oracle": c["oracle"],
            "holds": c["holds"],
            "notebook": c["notebook"],
            "id": c["id"],
        }
        for run in load(path)
        for c in run["claims"]
    ]
    columns = ["label", "sentence", "measured", "bound", "oracle", "holds", "notebook", "id"]
    return pd.DataFrame(rows, columns=columns)


def notebooks(path: str | Path | None = None):
    """Runs as a table, one row a notebook (`pandas.DataFrame`): claims, how many hold, seconds, peak MB."""
    import pandas as pd

    rows = [
        {
            "notebook": run["notebook"],
            "claims": len(run["claims"]),
            "hold": sum(c["holds"] for c in run["claims"]),
            "seconds": run["seconds"],
            "peak_memory_mb": run["peak_memory_mb"],
        }
        for run in load(path)
    ]
    return pd.DataFrame(rows, columns=["notebook", "claims", "hold", "seconds", "peak_memory_mb"])


def theorems(path: str | Path | None = None):
    """Labels as a table, in order (`pandas.DataFrame`): the notebooks that claim it, claims, how many hold."""
    claims = records(path)
    order = sorted(set(claims["label"]), key=lambda label: (label.rstrip("0123456789"), len(label), label))
    table = claims.groupby("label").agg(
        notebooks=("notebook", lambda names: ", ".join(sorted(set(names)))),
        claims=("id", "size"),
        hold=("holds", "sum"),
    )
    return table.loc[order].reset_index()


def load(path: str | Path | None = None) -> list[dict]:
    """Run records from a file of several (the committed one by default); none when there is no file."""
    path = Path(path) if path else _workspace.committed_path()
    return _workspace.read_json(path)["notebooks"] if path.is_file() else []
