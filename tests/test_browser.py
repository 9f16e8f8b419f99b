"""The notebooks as a reader sees them: JupyterLab in a headless Chromium runs them, figures draw, the slider moves.

`MCFPAPER_SCREENSHOTS=FOLDER make test-slow` keeps a picture of every cell.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
TIMEOUT = 60_000  # milliseconds for a page to load or a figure to appear; a notebook runs without limit
TRACKER = "lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"

RUN_ALL = """async () => {
    const app = window.jupyterapp;
    await app.restored;
    const panel = app.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    panel.content.model.cells.get(0);
    await app.commands.execute("notebook:run-all-cells");
    return panel.content.model.toJSON();
}"""
COLOURS = """canvas => {
    if (!canvas.width || !canvas.height) return 0;
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(new Uint32Array(data.buffer)).size;
}"""

INNER = """canvas => {  // a hash of the middle of the picture: the title names the slider's value, and does not count
    const [w, h] = [canvas.width, canvas.height];
    const data = canvas.getContext("2d").getImageData(0.2 * w, 0.2 * h, 0.6 * w, 0.6 * h).data;
    return data.reduce((hash, value) => (31 * hash + value) | 0, 0);
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab of its own, on copies of the notebooks, with no settings of the user."""
    place = tmp_path_factory.mktemp("lab")
    copies = place / "notebooks"
    copies.mkdir()
    for notebook in NOTEBOOKS:
        shutil.copy(notebook, copies)
    settings = place / "config" / TRACKER
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"windowingMode": "none"}))  # cells out of sight are drawn too
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(place / "config"), "JUPYTER_DATA_DIR": str(place / "data")}
    options = ["--no-browser", "--allow-root", "--port=0", "--IdentityProvider.token=", "--ServerApp.port_retries=0"]
    options += ["--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={copies}", "--LabApp.news_url="]
    log = place / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], stdout=output, stderr=output, env=environment, cwd=copies
        )
    try:
        yield address(server, log)
    finally:
        server.terminate()
        server.wait(timeout=30)


def address(server, log):
    """Wait for the server to say where it listens."""
    for _ in range(300):
        if found := re.search(r"http://(?:localhost|127\.0\.0\.1):\d+/", log.read_text()):
            return found.group()
        if server.poll() is not None:
            break
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")


def from_wheels(route):
    """Answer a request to a content network from the installed packages: the test needs no network."""
    import bokeh
    import panel

    name = re.sub(r"-[\d.]+\d(?=\.)", "", route.request.url.split("?")[0].rsplit("/", 1)[-1])  # less its version
    folders = [Path(bokeh.__file__).parent / "server/static/js", Path(panel.__file__).parent / "dist"]
    found = next((path for folder in folders for path in folder.rglob(name)), None)
    if found is None:
        route.abort()
    else:
        route.fulfill(path=found)


@pytest.fixture
def page(browser, lab):
    """A tall page, whose requests leave this machine only as far as the installed wheels."""
    context = browser.new_context(viewport={"width": 1400, "height": 1600})
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    page.route(lambda url: not url.startswith(lab), from_wheels)
    yield page
    context.close()


def keep_pictures(page, stem):
    """A picture of each cell, where somebody asked for them."""
    if folder := os.environ.get("MCFPAPER_SCREENSHOTS"):
        (Path(folder) / stem).mkdir(parents=True, exist_ok=True)
        for number, cell in enumerate(page.locator(".jp-Notebook .jp-Cell").all(), start=1):
            cell.screenshot(path=Path(folder) / stem / f"{number:02d}.png")


def wait_until(page, true, what):
    """Wait for something that the page has no event for."""
    for _ in range(100):
        if true():
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"not within 20 s: {what}")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_draws(page, lab, path):
    """Runs without an error, every interactive figure has something on its canvas, and the slider changes it."""
    page.goto(f"{lab}lab/tree/{path.name}?reset")  # no other notebook is open
    page.wait_for_function("window.jupyterapp && window.jupyterapp.shell.currentWidget?.sessionContext")
    notebook = page.evaluate(RUN_ALL)
    outputs = [o for c in notebook["cells"] if c["cell_type"] == "code" for o in c["outputs"]]
    assert [o["evalue"] for o in outputs if o["output_type"] == "error"] == []
    assert [o["text"] for o in outputs if o.get("name") == "stderr"] == []
    assert any("image/png" in o.get("data", {}) for o in outputs)

    interactive = sum("application/vnd.holoviews_exec.v0+json" in o.get("data", {}) for o in outputs)
    figures = page.locator(".jp-OutputArea-output .bk-Figure")
    if interactive:
        figures.first.wait_for()
    for figure in figures.all():
        figure.scroll_into_view_if_needed()
        canvas = figure.locator("canvas").first
        wait_until(page, lambda canvas=canvas: canvas.evaluate(COLOURS) > 2, "a canvas with a picture")
    for output in page.locator(".jp-OutputArea-output", has=page.locator(".noUi-handle")).all():
        move_slider(page, output)
    keep_pictures(page, path.stem)


def move_slider(page, output):
    """Push a slider by the arrow key: the figure beside it changes."""
    canvas, handle = output.locator(".bk-Figure canvas").first, output.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    before = canvas.evaluate(INNER)
    handle.focus()
    page.keyboard.press("ArrowRight")
    wait_until(page, lambda: canvas.evaluate(INNER) != before, "a figure that follows its slider")
