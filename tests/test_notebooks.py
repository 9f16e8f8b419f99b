"""The structure of the notebooks. As a commit hook: `python tests/test_notebooks.py FILE ...` prints what is wrong."""

import ast
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_BYTES, MAX_LINES, MAX_DEFINITION = 1_500_000, 25, 2
CHECKED = "nbval-check-output"
TOP_FOLDERS = r"/(?:home|Users|root|tmp|var|private|mnt|media|opt|usr|srv|etc|work\w*)/"
HERE = "|".join(re.escape(f"{p}") for p in {FOLDER.parent, Path.home(), Path(tempfile.gettempdir())} if p.name)
ABSOLUTE = re.compile(rf"(?<![\w.:/~-])(?:{TOP_FOLDERS}|(?:{HERE})\b|~/|[A-Z]:\\\\?\w)")


def text(field: str | list[str]) -> str:
    """A multi-line field of the notebook format."""
    return field if isinstance(field, str) else "".join(field)


def shown(cell: dict) -> Iterator[str]:
    """Everything readable in a cell's outputs: streams, plain text and HTML, no scripts or pictures."""
    for output in cell.get("outputs", []):
        yield text(output.get("text", ""))
        for kind in ("text/plain", "text/html", "text/markdown"):
            yield text(output.get("data", {}).get(kind, ""))


def claims(tree: ast.AST) -> bool:
    """Whether the code states a claim: calls something named `claim`."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any("claim" in (getattr(f, "attr", None), getattr(f, "id", None)) for f in calls)


def of_file(path: Path, notebook: dict) -> Iterator[str]:
    """Name, size, kernel, and the notebook as a whole."""
    cells = notebook["cells"]
    if not re.fullmatch(r"\d\d(_[a-z0-9]+)+", path.stem):
        yield "is not named NN_words.ipynb"
    if path.is_file() and path.stat().st_size >= MAX_BYTES:
        yield f"has {path.stat().st_size / 1e6:.2f} MB; the limit is {MAX_BYTES / 1e6} MB"
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        yield "does not name the kernel python3"
    for key in notebook["metadata"].keys() - {"kernelspec", "language_info"}:
        yield f"carries metadata {key!r}"
    if not cells or cells[0]["cell_type"] != "markdown" or not re.match(r"# \S", text(cells[0]["source"])):
        yield "does not open with a level-1 heading"
    if sum(text(c["source"]).startswith("# ") for c in cells if c["cell_type"] == "markdown") > 1:
        yield "has several level-1 headings"
    counts = [c["execution_count"] for c in cells if c["cell_type"] == "code"]
    if counts != list(range(1, len(counts) + 1)):
        yield f"was not executed once from top to bottom: {counts}"
    if not any("image/png" in o.get("data", {}) for c in cells for o in c.get("outputs", [])):
        yield "shows no PNG figure"
    ids = [c.get("id") for c in cells]
    if None in ids or len(set(ids)) < len(ids):
        yield "has cells without an id of their own"


def of_cell(cell: dict) -> Iterator[str]:
    """Length, tags, outputs and paths of one cell."""
    source = text(cell["source"])
    tags = cell["metadata"].get("tags", [])
    if not source.strip():
        yield "is empty"
    if len(source.splitlines()) > MAX_LINES:
        yield f"has {len(source.splitlines())} lines; the limit is {MAX_LINES}"
    for key in cell["metadata"].keys() - {"tags"}:
        yield f"carries metadata {key!r}"
    for tag in set(tags) - {CHECKED}:
        yield f"has the tag {tag!r}; only {CHECKED!r} is allowed, or something would go unchecked"
    for found in {m.group() for part in (source, *shown(cell)) for m in ABSOLUTE.finditer(part)}:
        yield f"holds an absolute path: {found}"
    for output in cell.get("outputs", []):
        if output["output_type"] == "error":
            yield f"ended in an error: {output['ename']}"
        if output.get("name") == "stderr":
            yield f"wrote to stderr: {text(output['text'])[:60]!r}"
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
            yield "shows a widget, which is nothing without its kernel"


def of_code(cell: dict, stem: str, first: bool) -> Iterator[str]:
    """Imports, definitions and claims of one code cell."""
    try:
        tree = ast.parse(text(cell["source"]))
    except SyntaxError as error:
        yield f"is no plain Python (magics are not): {error.msg}"
        return
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    if bool(imports) != first:
        yield "is the first code cell and imports nothing" if first else "imports; the first code cell is for that"
    for node in ast.walk(tree):
        defines = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)
        if defines and node.end_lineno - node.lineno >= MAX_DEFINITION:
            yield f"defines {getattr(node, 'name', 'a lambda')} in more than {MAX_DEFINITION} lines"
        opens = isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "Ledger"
        if opens and [getattr(a, "value", None) for a in node.args] != [stem]:
            yield f"opens the ledger of another notebook than {stem!r}"
    if claims(tree) != (CHECKED in cell["metadata"].get("tags", [])):
        yield f"must have the tag {CHECKED!r} if it states a claim, and only then"
    if claims(tree) and not any(o.get("name") == "stdout" for o in cell["outputs"]):
        yield "states a claim and shows no line of it"


def problems(path: Path, notebook: dict) -> list[str]:
    """All that is wrong with a notebook's structure."""
    found = list(of_file(path, notebook))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for place, cell in enumerate(notebook["cells"], start=1):
        here = list(of_cell(cell))
        if cell["cell_type"] == "code":
            here += of_code(cell, path.stem, cell is code[0])
        found += [f"cell {place} {what}" for what in here]
    return found


def read(path: Path) -> dict:
    """A notebook as it stands on disk, nothing filled in."""
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_structure(path):
    """Every committed notebook follows the rules."""
    assert problems(path, read(path)) == []


def test_every_notebook_is_seen():
    """Numbers are unique, the index is there, and none hides in a folder."""
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert len(set(numbers)) == len(numbers)
    assert numbers[:1] == ["00"]
    below = [path for path in FOLDER.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    assert sorted(below) == NOTEBOOKS


def code(number: int, source: str, *outputs: dict, tags: tuple[str, ...] = ()) -> dict:
    """A code cell for the tests of the rules themselves."""
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code",
        "id": f"c{number}",
        "execution_count": number,
        "metadata": metadata,
        "source": source,
        "outputs": list(outputs),
    }


def stream(name: str, words: str) -> dict:
    """What a cell printed."""
    return {"output_type": "stream", "name": name, "text": words}


PNG = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo="}, "metadata": {}}
GOOD = {
    "metadata": {"kernelspec": {"name": "python3"}, "language_info": {"name": "python"}},
    "cells": [
        {"cell_type": "markdown", "id": "m1", "metadata": {}, "source": "# A theorem\n\nAnd words and/or a/b."},
        code(1, 'import mcfpaper as mcf\nclaims = mcf.ledger.Ledger("01_good")'),
        code(2, "double = lambda x: 2 * x\nplot", PNG),
        code(3, 'claims.claim("T1", measured=double(1))', stream("stdout", "T1 holds: 2"), tags=(CHECKED,)),
    ],
}
FAULTS = [  # what is done to the good notebook `n`, and a part of the complaint
    (lambda n: n["cells"].pop(0), "level-1 heading"),
    (lambda n: n["cells"][0].update(source="## Lower"), "level-1 heading"),
    (lambda n: n["cells"].insert(2, {**n["cells"][0], "id": "m2"}), "several level-1 headings"),
    (lambda n: n["cells"][2].update(execution_count=5), "top to bottom"),
    (lambda n: n["cells"][2].update(execution_count=None), "top to bottom"),
    (lambda n: n["cells"][2].update(outputs=[]), "no PNG"),
    (lambda n: n["cells"][2].pop("id"), "id of their own"),
    (lambda n: n["cells"][2].update(id="c1"), "id of their own"),
    (lambda n: n["metadata"].update(widgets={}), "metadata 'widgets'"),
    (lambda n: n["metadata"].update(kernelspec={"name": "mine"}), "kernel python3"),
    (lambda n: n["cells"][2]["metadata"].update(execution={}), "metadata 'execution'"),
    (lambda n: n["cells"][2]["metadata"].update(tags=["nbval-skip"]), "nbval-skip"),
    (lambda n: n["cells"][2].update(source="import os\nplot"), "imports"),
    (lambda n: n["cells"][1].update(source="x = 1"), "imports nothing"),
    (lambda n: n["cells"][2].update(source="def f(x):\n    y = x\n    return y"), "defines f"),
    (lambda n: n["cells"][2].update(source="g = (lambda x:\n\n 2)"), "defines a lambda"),
    (lambda n: n["cells"][2].update(source="x = 1\n" * 26), "26 lines"),
    (lambda n: n["cells"][2].update(source=""), "is empty"),
    (lambda n: n["cells"][2].update(source="%time x"), "no plain Python"),
    (lambda n: n["cells"][2].update(source='open("/home/me/x")'), "absolute path"),
    (lambda n: n["cells"][2].update(source='open(r"C:\\data")'), "absolute path"),
    (lambda n: n["cells"][2]["outputs"].append(stream("stdout", f"in {Path.home()}/x")), "absolute path"),
    (lambda n: n["cells"][2]["outputs"].append(stream("stderr", "noise")), "stderr"),
    (lambda n: n["cells"][2]["outputs"].append({"output_type": "error", "ename": "ValueError"}), "ValueError"),
    (lambda n: n["cells"][2]["outputs"][0]["data"].update({"application/vnd.jupyter.widget-view+json": {}}), "widget"),
    (lambda n: n["cells"][3]["metadata"].clear(), CHECKED),
    (lambda n: n["cells"][2]["metadata"].update(tags=[CHECKED]), CHECKED),
    (lambda n: n["cells"][3].update(outputs=[]), "no line"),
    (
        lambda n: n["cells"][1].update(source='import mcfpaper as mcf\nmcf.ledger.Ledger("02_other")'),
        "another notebook",
    ),
]


def test_rules_accept_a_good_notebook():
    """Nothing to complain of, under a good name."""
    assert problems(Path("01_good.ipynb"), GOOD) == []
    assert problems(Path("good.ipynb"), GOOD)[0] == "is not named NN_words.ipynb"


@pytest.mark.parametrize(("fault", "complaint"), FAULTS)
def test_rules_notice(fault, complaint):
    """Each fault, alone, is named."""
    notebook = deepcopy(GOOD)
    fault(notebook)
    assert any(complaint in what for what in problems(Path("01_good.ipynb"), notebook))


def test_rules_notice_a_big_file_and_the_hook_reports_it(tmp_path, capsys):
    """The hook's exit status counts faulty notebooks."""
    path = tmp_path / "01_good.ipynb"
    path.write_text(json.dumps(GOOD))
    assert hook([str(path)]) == 0
    big = deepcopy(GOOD)
    big["cells"][2]["outputs"][0]["data"]["image/png"] = "A" * MAX_BYTES
    path.write_text(json.dumps(big))
    assert hook([str(path)]) == 1
    assert "1.50 MB" in capsys.readouterr().out


def hook(names: list[str]) -> int:
    """Print the problems of the named notebooks; the number of faulty ones."""
    faulty = 0
    for name in names:
        found = problems(Path(name), read(Path(name)))
        print(*(f"{name} {what}" for what in found), sep="\n", end="\n" if found else "")
        faulty += bool(found)
    return faulty


if __name__ == "__main__":
    sys.exit(min(1, hook(sys.argv[1:] or [str(path) for path in NOTEBOOKS])))
