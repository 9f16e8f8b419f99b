"""The book: static pages of the executed notebooks and of their claims, read without a kernel or a network.

Figures are interactive where JavaScript runs, and their still pictures are in the page for where it does not.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from tqdm import tqdm

from .. import _workspace, ledger, report

TITLE = "A mean curvature flow arising in adversarial training"
HERE = Path(__file__).resolve().parent
MARK = Path("assets", "book.css")  # by which a folder is known to hold a book
FETCHED = re.compile(
    r"""<(?:script|link|img|iframe|source|video|audio|embed|object)\b[^>]*\b(?:src|href|data)\s*=\s*["']?(?:https?:)?//"""
    r"""|<style[^<]*(?:@import|url\()\s*["']?(?:url\()?["']?(?:https?:)?//""",
    re.IGNORECASE,
)


def build(out: str | Path | None = None, scale: str | None = None) -> Path:
    """Make the book, whole or not at all.

    Parameters
    ----------
    out : path, optional
        Its folder, replaced if it holds a book; by default ``_book`` in the checkout.
    scale : {"quick", "full"}, optional
        Make it of the last run at that scale; by default of the committed notebooks and records.

    Returns
    -------
    Path
        The first page.

    Raises
    ------
    ValueError
        Before anything is written: for a folder that holds something else, when there are no notebooks, and
        naming the notebook and cell when one was not executed, has an interactive figure without a still picture or
        needs the network.
    """
    out = Path(out).resolve() if out else _workspace.root() / "_book"
    _check_folder(out)
    paths, runs = _sources(scale)
    cells, bokeh = _import_parts()
    names = frozenset(path.stem for path in paths)
    with tqdm(paths, unit="notebook", ncols=shutil.get_terminal_size().columns) as bar:
        chapters = [cells.chapter(_read(path), path, names) for path in bar]
    pages = _pages(chapters, runs, scale or "quick", [f"{name}.min.js" for name in bokeh.SCRIPTS])
    for name, page in pages.items():
        if found := FETCHED.search(page):
            rest = page[found.end() :].split('"', 1)[0]
            raise ValueError(f"{name} would fetch something from a network: {found.group()[-80:]}{rest[:80]}")
    with _new_folder(out) as folder:
        bokeh.write_assets(folder / "assets", frozenset().union(*(c.styles for c in chapters)))
        for name, page in pages.items():
            (folder / name).write_text(page, encoding="utf-8")
        style = (HERE / "book.css").read_text(encoding="utf-8") + cells.code_style()
        (folder / MARK).write_text(style, encoding="utf-8")
        shutil.copyfile(HERE / "book.js", folder / "assets" / "book.js")
    return out / "index.html"


def _check_folder(out: Path) -> None:
    if out.exists() and not (out.is_dir() and ((out / MARK).is_file() or not any(out.iterdir()))):
        raise ValueError(f"{out} is there and holds no book; name a folder that is new, empty or a book")


def _sources(scale: str | None) -> tuple[list[Path], dict[str, dict]]:
    """Files of the notebooks in order, and run records by notebook."""
    if scale is None:
        folder, runs, missing = _workspace.root() / "notebooks", {r["notebook"]: r for r in ledger.load()}, ""
    elif scale in _workspace.SCALES:
        folder, runs = _workspace.data_dir(scale) / "notebooks", report.load_runs(scale)
        missing = f"; `mcfpaper reproduce --scale {scale}` makes them"
    else:
        raise ValueError(f"scale is {scale!r}; it must be one of {', '.join(_workspace.SCALES)}")
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise ValueError(f"there are no notebooks NN_*.ipynb in {folder}{missing}")
    return paths, runs


def _read(path: Path) -> dict:
    notebook = _workspace.read_json(path)
    if notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise ValueError(f"{path} is no notebook of format 4")
    return notebook


def _pages(chapters: Sequence, runs: dict[str, dict], scale: str, libraries: list[str]) -> dict[str, str]:
    """Every page's text by its file name."""
    entries, ran = report.compare(ledger.load(), runs), list(runs.values())
    order = [("index", "Contents"), *((c.name, c.title) for c in chapters), ("claims", "Claims report")]
    book = {
        "title": TITLE,
        "chapters": chapters,
        "order": list(zip([None, *order[:-1]], order, [*order[1:], None], strict=True)),
        "scripts": [*libraries, "panel/panel.min.js", "book.js"],
        "version": metadata.version("mcfpaper"),
        "scale": scale,
        "summary": report.summary(entries, ran),
        "claims": {c.name: [e for e in entries if e.record["notebook"] == c.name] for c in chapters},
    }
    templates = {path.name: path.read_text(encoding="utf-8") for path in HERE.glob("*.html")}
    environment = report.environment(templates)
    first, other = environment.get_template("index.html"), environment.get_template("chapter.html")
    pages = {"index.html": first.render(book=book, good=report.GOOD)}
    pages |= {f"{c.name}.html": other.render(book=book, chapter=c) for c in chapters}
    pages["claims.html"] = report.render(entries, ran, scale, template="claims.html", templates=templates, book=book)
    return pages


@contextlib.contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `out` once it is full."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as place:
        full, old = Path(place) / "new", Path(place) / "old"
        full.mkdir()
        yield full
        if out.exists():
            out.rename(old)
        full.rename(out)


def _import_parts():
    try:
        from . import _bokeh, _cells
    except ImportError as error:
        raise ValueError(f"the book needs the extra `book` (pip install 'mcfpaper[book]'): {error}") from error
    return _cells, _bokeh
