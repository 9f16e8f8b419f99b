"""Small checkouts in a temporary folder, for the tests of the ledger, the report and the runner."""

import json
from pathlib import Path


def make(folder: Path, monkeypatch) -> Path:
    """An empty checkout that the package takes for its own, and none of the variables that a runner sets."""
    for name in ("DATA", "SCALE", "RECORDS", "NOTEBOOK"):
        monkeypatch.delenv(f"MCFPAPER_{name}", raising=False)
    monkeypatch.setenv("MCFPAPER_ROOT", str(folder))
    monkeypatch.chdir(folder)
    (folder / "notebooks").mkdir()
    (folder / "data").mkdir()
    return folder


def write_notebook(root: Path, name: str, *sources: str, prose: str = "# A title") -> Path:
    """A notebook of one prose cell and code cells."""
    code = {"cell_type": "code", "outputs": [], "execution_count": None}
    cells = [{"cell_type": "markdown", "source": prose}, *({**code, "source": source} for source in sources)]
    cells = [{"id": f"cell-{i}", "metadata": {}, **cell} for i, cell in enumerate(cells)]
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    path = root / "notebooks" / f"{name}.ipynb"
    path.write_text(json.dumps(document))
    return path


def opening(name: str) -> str:
    """The import cell of a notebook."""
    return f"from mcfpaper import ledger\nclaims = ledger.Ledger({name!r})"


def claim(label: str, sentence: str, measured: float) -> str:
    """Code that claims that a figure is at most 1."""
    return f"claims.claim({label!r}, {sentence!r}, measured={measured}, at_most=1, oracle='a definition')"


def run_of(root: Path, name: str) -> dict:
    """What the last run of a notebook left."""
    return json.loads((root / f"data/runs/quick/records/{name}.json").read_text())
