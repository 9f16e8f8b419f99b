"""What `import mcfpaper` brings along, and that every public name is there."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mcfpaper

LOOK = """
import json, sys, threading
import mcfpaper
print(json.dumps([sorted(sys.modules), threading.active_count()]))
"""


def test_the_import_loads_no_library_and_starts_nothing():
    """Each of these takes a tenth of a second or more; numba and BLAS would start threads, distributed a loop."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True, env=environment)
    modules, threads = json.loads(done.stdout)
    heavy = {
        "numpy",
        "scipy",
        "xarray",
        "pandas",
        "dask",
        "distributed",
        "numba",
        "zarr",
        "tqdm",
        "holoviews",
        "sklearn",
    }
    assert heavy.isdisjoint(modules)
    assert threads == 1
    assert [m for m in modules if m.startswith("mcfpaper")] == ["mcfpaper"]


@pytest.mark.parametrize("name", mcfpaper.__all__)
def test_public_names_load_and_belong_to_the_package(name):
    found = getattr(mcfpaper, name)
    assert name in dir(mcfpaper)
    assert (getattr(found, "__module__", None) or found.__name__).startswith("mcfpaper.")
    assert found.__doc__


def test_an_unknown_name_is_told():
    with pytest.raises(AttributeError, match="module 'mcfpaper' has no attribute 'dilation'"):
        mcfpaper.dilation  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'dilation'"):
        from mcfpaper import dilation  # noqa: F401


@pytest.mark.parametrize(
    ("layer", "below"),
    [
        ("kernels", {"numpy", "scipy", "numba", "contourpy", "filelock", "mcfpaper.kernels"}),
        ("solvers", {"numpy", "scipy", "ortools", "contourpy", "sklearn", "mcfpaper.kernels", "mcfpaper.solvers"}),
    ],
)
def test_layers_know_those_below_only(layer, below):
    """Kernels and solvers work on arrays: neither labelled nor chunked ones, nor the package around them."""
    for path in (Path(mcfpaper.__file__).parent / layer).glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in nodes if isinstance(n, ast.ImportFrom)}
        assert all(n for n in names), path  # no relative imports
        known = {".".join(n.split(".")[: 2 if n.startswith("mcfpaper") else 1]) for n in names}
        assert known - set(sys.stdlib_module_names) <= below, path
