"""The claims report: what the runs of a scale measured, against the committed list of claims.

A claim that fails, that is missing (committed, but not produced) or that is stale (the code cells of its
notebook have changed since) counts as failed, and so does a notebook that raised.
"""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import _figures, _workspace, ledger

GOOD = ("holds", "new")


@dataclass(frozen=True)
class Entry:
    """One claim and how it stands: "holds", "new" (holds, not committed yet), "FAILS", "missing", "stale"."""

    record: dict
    status: str

    @property
    def measured(self) -> str:
        if self.status == "missing":
            return "not produced"
        return ", ".join(f"{name} {text}" for name, text in self.record["text"].items())

    @property
    def bound(self) -> str:
        return _figures.bounds_text(self.record["bound"])


def load_runs(scale: str) -> dict[str, dict]:
    """Run records of a scale by notebook, of the checkout's notebooks and the committed ones only."""
    ours = {path.stem for path in (_workspace.root() / "notebooks").glob("*.ipynb")}
    ours |= {run["notebook"] for run in ledger.load()}
    files = sorted((_workspace.data_dir(scale) / "records").glob("*.json"))
    return {path.stem: _workspace.read_json(path) for path in files if path.stem in ours}


def compare(committed: list[dict], runs: dict[str, dict], only: Collection[str] | None = None) -> list[Entry]:
    """Entries of the notebooks named in `only` (default: all), in the order of the notebooks."""
    wanted = {run["notebook"]: run["claims"] for run in committed}
    entries = []
    for notebook in sorted(set(wanted) | set(runs)):
        if only is not None and notebook not in only:
            continue
        made = {c["id"]: c for c in runs.get(notebook, {"claims": []})["claims"]}
        code = _workspace.file_hash(_workspace.root() / "notebooks" / f"{notebook}.ipynb")
        listed = [c["id"] for c in wanted.get(notebook, [])]
        for claim in wanted.get(notebook, []):
            if claim["id"] not in made:
                entries.append(Entry(claim, "missing"))
        entries += [Entry(c, _status(c, code, c["id"] in listed)) for c in made.values()]
    return entries


def _status(record: dict, code: str, listed: bool) -> str:
    if not record["holds"]:
        return "FAILS"
    if not code or record["code"] != code:
        return "stale"
    return "holds" if listed else "new"


def report(scale: str | None = None, *, only: Collection[str] | None = None, html: str | Path | None = None) -> int:
    """Print the claims report and write it as one HTML page.

    Parameters
    ----------
    scale : {"quick", "full"}, optional
        Which runs to report; by default those of ``MCFPAPER_SCALE``.
    only : collection of str, optional
        Notebooks to cover; by default every one that has run or has committed claims.
    html : path, optional
        The page; by default ``data/runs/<scale>/report.html``.

    Returns
    -------
    int
        0 when every claim holds, else 1: an exit status.
    """
    scale = scale or _workspace.scale()
    runs = load_runs(scale)
    if not runs:
        command = "mcfpaper reproduce" + (f" --scale {scale}" if scale != "quick" else "")
        print(f"There are no runs of {scale} scale yet: run `{command}` first.", file=sys.stderr)
        return 1
    entries = compare(ledger.load(), runs, only)
    covered = [run for name, run in runs.items() if only is None or name in only]
    _print_table(entries, covered, scale)
    page = Path(html) if html else _workspace.data_dir(scale) / "report.html"
    _workspace.write_text(page, render(entries, covered, scale, only))
    print(f"Report: {page}")
    return 0 if all(e.status in GOOD for e in entries) and not any(r["error"] for r in covered) else 1


def summary(entries: list[Entry], runs: list[dict]) -> str:
    """How many claims hold, and what is wrong."""
    counts = {s: sum(e.status == s for e in entries) for s in ("FAILS", "missing", "stale", "new")}
    good = sum(e.status in GOOD for e in entries)
    text = f"{good} of {len(entries)} claims hold"
    words = {"FAILS": "fail", "missing": "missing", "stale": "stale", "new": "new, not committed yet"}
    text += "".join(f"; {n} {words[s]}" for s, n in counts.items() if n)
    raised = [run["notebook"] for run in runs if run["error"]]
    return text + (f"; raised an error: {', '.join(raised)}" if raised else "") + "."


def _print_table(entries: list[Entry], runs: list[dict], scale: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table(title=f"Claims, {scale} scale")
    for column in ("", "claim", "measured", "bound", "status", "notebook"):
        table.add_column(column, overflow="fold")
    for e in entries:
        status = Text(e.status, style="green" if e.status in GOOD else "bold red")
        texts = (e.record["label"], e.record["sentence"], e.measured, e.bound)
        table.add_row(*map(Text, texts), status, Text(e.record["notebook"]))
    console.print(table)
    for run in runs:
        if run["error"]:
            console.print(Text(f"{run['notebook']} raised: {run['error']}", style="bold red"))
    console.print(summary(entries, runs), markup=False, highlight=False)


def render(
    entries: list[Entry],
    runs: list[dict],
    scale: str,
    only: Collection[str] | None = None,
    template: str = "report",
    templates: Mapping[str, str] | None = None,
    **names: object,
) -> str:
    """The report as one HTML page that needs nothing else, or within a template that extends it and may use `names`."""
    page = environment(templates or {}).get_template(template)
    told = summary(entries, runs)
    return page.render(entries=entries, runs=runs, scale=scale, only=only, good=GOOD, summary=told, **names)


def environment(templates: Mapping[str, str]):
    """Jinja templates by name, and with them the report's own, "report" (`jinja2.Environment`)."""
    from jinja2 import DictLoader, Environment

    page = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    loader = DictLoader({"report": page, **templates})
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=loader)
