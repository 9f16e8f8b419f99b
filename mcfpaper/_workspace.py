"""Where the checkout is, where runs write, at which scale, and which code a notebook holds.

Environment variables (all optional): ``MCFPAPER_SCALE`` quick or full; ``MCFPAPER_DATA`` the folder of
produced data; ``MCFPAPER_ROOT`` the checkout; ``MCFPAPER_CACHE`` the folder of compiled kernels; ``MCFPAPER_SCHEDULER``
the dask scheduler that parameter studies use. The runner also sets
``MCFPAPER_RECORDS``, where a notebook that it executes leaves its records until it has ended, and
``MCFPAPER_NOTEBOOK``, that notebook's name.
"""

import hashlib
import json
import os
from pathlib import Path

SCALES = ("quick", "full")


def scale() -> str:
    """Scale of this run, "quick" or "full", from ``MCFPAPER_SCALE`` (quick by default)."""
    value = os.environ.get("MCFPAPER_SCALE") or "quick"
    if value not in SCALES:
        raise ValueError(f"MCFPAPER_SCALE is {value!r}; it must be one of {', '.join(SCALES)}")
    return value


def root() -> Path:
    """The checkout: ``MCFPAPER_ROOT``, else the folder above the package, else the current folder."""
    if named := os.environ.get("MCFPAPER_ROOT"):
        return Path(named).resolve()
    above = Path(__file__).resolve().parent.parent
    return above if (above / "notebooks").is_dir() else Path.cwd()


def data_dir(at_scale: str | None = None) -> Path:
    """Folder of the data that runs at a scale produce: trajectories/, records/, notebooks/."""
    base = os.environ.get("MCFPAPER_DATA") or root() / "data" / "runs"
    return Path(base).resolve() / (at_scale or scale())


def committed_path() -> Path:
    """The committed quick-scale records."""
    return root() / "data" / "claims.json"


def notebook_path(name: str) -> Path:
    """File of the notebook called `name`: the kernel's own folder first, then the checkout's notebooks."""
    here = Path.cwd() / f"{name}.ipynb"
    return here if here.is_file() else root() / "notebooks" / f"{name}.ipynb"


def code_hash(notebook: dict) -> str:
    """Hash of the code cells of a parsed notebook: prose and outputs may change, code may not."""
    sources = ("".join(c["source"]).strip() for c in notebook["cells"] if c["cell_type"] == "code")
    return hashlib.sha256(json.dumps([s for s in sources if s]).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """`code_hash` of a notebook file; empty when there is no such file."""
    return code_hash(read_json(path)) if path.is_file() else ""


def package_hash() -> str:
    """Hash of the package's own source files: what a stored trajectory was computed by."""
    folder = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def read_json(path: Path) -> dict:
    """A JSON file, or a ValueError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: readers see the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict) -> None:
    """`write_text` of a JSON document, one line per entry and nothing that JSON lacks (NaN)."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
