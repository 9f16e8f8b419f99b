"""The book: whole, the same every time, nothing fetched from a network; the command that makes it."""

import base64
import html
import itertools
import json
import re
from pathlib import Path

import checkouts
import pytest
from bookparts import NAMES, PNG, ROOT, Page, cells, code, is_figure, outputs, prose

from mcfpaper import book, ledger
from mcfpaper.__main__ import main
from mcfpaper.book import _bokeh

EACH = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The book of the committed notebooks."""
    out = tmp_path_factory.mktemp("book") / "a book"
    assert book.build(out) == out / "index.html"
    return out


@pytest.fixture(scope="module")
def pages(folder):
    """Its pages, parsed, by name."""
    return {path.stem: Page(path) for path in folder.glob("*.html")}


def test_every_page_is_there_and_reached_from_the_first(pages):
    """In the order of the notebooks, forth and back."""
    assert set(pages) == {"index", *NAMES, "claims"}
    for page in pages.values():
        listed = [address for tag, address in page.addresses if tag == "a" and address.endswith(".html")]
        assert listed[: len(NAMES) + 2] == ["index.html", *(f"{name}.html" for name in NAMES), "claims.html"]
    chain = ["index", *NAMES, "claims"]
    for before, here in itertools.pairwise(chain):
        assert pages[here].addresses.count(("a", f"{before}.html")) >= 2 - (before == "index")
        assert pages[before].addresses.count(("a", f"{here}.html")) >= 2


def test_nothing_is_fetched_and_every_link_leads_somewhere(folder, pages):
    """Files and places in the book; only a link that a reader follows may leave it."""
    for page in pages.values():
        assert len(set(page.ids)) == len(page.ids)
        for tag, address in page.addresses:
            target, _, place = address.partition("#")
            if address.startswith("data:"):
                assert tag == "img"
            elif address.startswith("https:"):
                assert tag == "a"
            else:
                assert not target or (folder / target).is_file(), address
                assert not place or place in (pages[Path(target).stem] if target else page).ids, address


@EACH
def test_style_sheets_of_figures_are_in_the_book(folder, name):
    """The only files that a Bokeh document names."""
    text = (folder / f"{name}.html").read_text(encoding="utf-8")
    named = set(re.findall(r'"url": ?"([^"]*)"', text))
    assert named
    assert all((folder / address).is_file() for address in named)


@EACH
def test_every_formula_is_set_and_no_dollar_is_left(pages, name):
    """Found here by the dollars around them, in the order of the notebook."""
    prose = "\n\n".join("".join(cell["source"]) for cell in cells(name, "markdown"))
    prose = re.sub(r"`[^`\n]*`", "", prose)
    wanted = [a or b for a, b in re.findall(r"\$\$(.+?)\$\$|\$([^$]+?)\$", prose, flags=re.DOTALL)]
    assert [t.split() for t in pages[name].formulas()] == [t.split() for t in wanted]
    assert "$" not in pages[name].text("body", but={"tex", "script", "pre", "code"})


@EACH
def test_every_figure_has_a_still_picture(pages, name):
    """Each PNG of the notebook is in its page once; those of interactive figures take their places."""
    wanted = [
        "".join("".join(o["data"]["image/png"]).split()) for o in outputs(name) if "image/png" in o.get("data", {})
    ]
    found = [source.removeprefix("data:image/png;base64,") for source, _ in pages[name].pictures]
    assert found == wanted
    live = sum(is_figure(output) for output in outputs(name))
    assert sum("still" in classes for _, classes in pages[name].pictures) == live


@EACH
def test_code_and_printed_lines_are_all_there(pages, name):
    """But cells that draw nothing but a still picture; of tables the text."""
    code, printed = pages[name].text("pre", "code"), pages[name].text("pre", "output")
    for cell in cells(name, "code"):
        source = "".join(cell["source"])
        assert source.strip() in code or re.fullmatch(r"mcf\.plots\.png\(.*\)", source), source
        for output in cell["outputs"]:
            assert "".join(output.get("text", "")) in printed
    tables = [o for o in outputs(name) if "</table>" in "".join(o.get("data", {}).get("text/html", ""))]
    shown = pages[name].text("table", "output")
    for table in tables:
        words = re.findall(r"<t[dh][^>]*>([^<]+)</t[dh]>", "".join(table["data"]["text/html"]))
        assert words
        assert all(html.unescape(word) in shown for word in words)


@EACH
def test_headings_are_in_the_contents(pages, name):
    """Title and sections, on the notebook's own page."""
    prose = "\n".join("".join(cell["source"]) for cell in cells(name, "markdown"))
    contents = pages[name].text("nav")
    for heading in re.findall(r"^##? (.+)$", prose, flags=re.MULTILINE):
        for words in re.split(r"\$[^$]*\$|`", heading):
            assert words.strip() in contents


def test_claims_are_reported_with_links_to_their_notebooks(pages):
    """Every committed claim, as it stands against the committed notebooks."""
    page, claims = pages["claims"], [claim for run in ledger.load() for claim in run["claims"]]
    assert claims
    for claim in claims:
        assert claim["sentence"] in page.text("table")
        assert claim["oracle"] in page.text("section")
        assert ("a", f"{claim['notebook']}.html") in page.addresses
    assert f"of {len(claims)} claims hold" in page.text("main")
    assert f"of {len(claims)} claims hold" in pages["index"].text("main")


def test_links_between_notebooks_lead_to_pages(pages):
    """Notebook 00 links to all others."""
    linked = {address for tag, address in pages["00_start_here"].addresses if tag == "a"}
    assert linked >= {f"{name}.html" for name in NAMES[1:]}
    assert not any(address.endswith(".ipynb") for page in pages.values() for _, address in page.addresses)


def test_book_is_the_same_again_and_knows_no_machine(folder, tmp_path):
    """Byte for byte; and no path of this machine outside pictures."""
    other = tmp_path / "book"
    book.build(other)
    for path in folder.rglob("*"):
        if path.is_file():
            assert (other / path.relative_to(folder)).read_bytes() == path.read_bytes()
        if path.suffix == ".html":
            text = re.sub(r"base64,[^\"]*", "", path.read_text(encoding="utf-8"))
            assert not any(str(place) in text for place in (ROOT, folder.parent, Path.home() / "x"))


def test_libraries_are_there_once(folder):
    """As installed, beside the pages: no page holds one."""
    pages = [(folder / f"{name}.html").read_text(encoding="utf-8") for name in NAMES]
    for name in _bokeh.SCRIPTS:
        installed = Path(_bokeh.bokeh.__file__).parent / f"server/static/js/{name}.min.js"
        library = installed.read_text(encoding="utf-8")
        assert (folder / f"assets/{name}.min.js").read_text(encoding="utf-8") == library
        middle = library[len(library) // 2 :][:200]
        assert not any(middle in page for page in pages)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of two notebooks that were executed, with a link and a picture, and no claims."""
    checkouts.make(tmp_path, monkeypatch)
    (tmp_path / "notebooks/dot.png").write_bytes(base64.b64decode(PNG))
    write(tmp_path, "01_one", *prose("# One", "[two](02_two.ipynb#there) ![dot](dot.png)"), code())
    write(tmp_path, "02_two", *prose("# Two", "## There"), code())
    return tmp_path


def write(root, name, *cells):
    """A notebook in a checkout."""
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)}
    (root / "notebooks" / f"{name}.ipynb").write_text(json.dumps(document))


def test_command_makes_the_book_where_it_was_told(checkout, capsys):
    """By default in the checkout, in a folder that git ignores; again in the place of the old one."""
    assert main(["book", "--out", "new/place"]) == 0
    assert capsys.readouterr().out == f"Book: {checkout / 'new/place/index.html'}\n"
    page = Page(checkout / "new/place/01_one.html")
    assert ("a", "02_two.html#there") in page.addresses
    assert ("img", f"data:image/png;base64,{PNG}") in page.addresses
    for _ in range(2):
        assert main(["book"]) == 0
        (checkout / "_book/old").touch()
    assert main(["book"]) == 0
    assert sorted(path.name for path in (checkout / "_book").iterdir()) == [
        "01_one.html",
        "02_two.html",
        "assets",
        "claims.html",
        "index.html",
    ]
    assert sorted(path.name for path in checkout.iterdir()) == ["_book", "data", "new", "notebooks"]


def test_book_of_a_run(checkout, capsys):
    """Of its executed copies and its records; where there was none the command says what to do."""
    assert main(["book", "--scale", "full"]) == 2
    assert "`mcfpaper reproduce --scale full` makes them" in capsys.readouterr().err
    (checkout / "data/runs/full").mkdir(parents=True)
    (checkout / "notebooks").rename(checkout / "data/runs/full/notebooks")
    assert main(["book", "--scale", "full"]) == 0
    assert "at full scale" in (checkout / "_book/index.html").read_text()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: [p.unlink() for p in (root / "notebooks").glob("*.ipynb")],
            "there are no notebooks NN_*.ipynb in",
        ),
        (lambda root: (root / "notebooks/02_two.ipynb").write_text("{"), "02_two.ipynb is not valid JSON"),
        (lambda root: (root / "notebooks/02_two.ipynb").write_text("{}"), "is no notebook of format 4"),
        (lambda root: write(root, "02_two", *prose("## No title")), "02_two.ipynb has no level-1 heading"),
        (
            lambda root: write(root, "02_two", *prose("# T"), code(count=None)),
            "02_two.ipynb, cell 2: it was not executed",
        ),
        (
            lambda root: write(root, "02_two", *prose("# T\n<img src=//x.org/y>")),
            "would fetch something from a network",
        ),
        (lambda root: (root / "_book").mkdir() or (root / "_book/mine").touch(), "is there and holds no book"),
        (lambda root: (root / "_book").touch(), "is there and holds no book"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing_behind(checkout, capsys, spoil, message):
    """Exit status 2, one line, and the folder as it was."""
    spoil(checkout)
    before = sorted(checkout.rglob("*"))
    assert main(["book"]) == 2
    assert message in capsys.readouterr().err
    assert sorted(checkout.rglob("*")) == before


def test_an_old_book_outlives_a_failure(checkout):
    """It is replaced by a whole one only."""
    assert main(["book"]) == 0
    write(checkout, "02_two", *prose("no title"))
    assert main(["book"]) == 2
    assert (checkout / "_book/02_two.html").is_file()


@pytest.mark.parametrize(
    "tag", ['<script src="http://x/y.js">', "<link rel=a href=https://x>", "<style>@import '//x';"]
)
def test_what_a_browser_would_fetch_is_found(tag):
    """And what is text or a link to follow is not."""
    assert book.FETCHED.search(tag)
    assert not book.FETCHED.search(html.escape(tag) + '<a href="https://x">')
