"""Reading, executing and normalising notebook files."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import nbclient
import nbformat
from ipykernel.kernelspec import get_kernel_dict

from . import _workspace


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook; a cell without an identity gets one from its place, so that it is the same every time."""
    raw = _workspace.read_json(path)
    if raw.get("nbformat") != 4:
        raise ValueError(f"{path} has notebook format {raw.get('nbformat')}; it must have format 4")
    raw["nbformat_minor"] = max(5, raw.get("nbformat_minor", 0))
    for place, cell in enumerate(raw["cells"], start=1):
        cell.setdefault("id", f"cell-{place:02d}")
    return nbformat.reads(json.dumps(raw), as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[int]:
    """Indices of the cells that a kernel executes."""
    return [i for i, c in enumerate(notebook.cells) if c.cell_type == "code" and c.source.strip()]


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Drop what differs between machines and editors: times, versions, states of progress bars."""
    notebook.metadata = nbformat.NotebookNode(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        language_info={"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
    )
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode({k: v for k, v in cell.metadata.items() if k == "tags" and v})
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not _progress_bar(o)]


def _progress_bar(output: nbformat.NotebookNode) -> bool:
    """A widget, or the empty display that a closed one leaves."""
    data = output.get("data", "no display")
    return not data or "application/vnd.jupyter.widget-view+json" in data


def dumps(notebook: nbformat.NotebookNode) -> str:
    """A notebook file's text."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def execute(
    notebook: nbformat.NotebookNode,
    folder: Path,
    env: dict[str, str],
    on_cell: Callable[[int], None],
    tick: Callable[[], None],
) -> dict:
    """Execute a notebook in place, in a fresh kernel started in `folder`.

    A `ClaimError` does not stop it, so that one failing claim does not hide the others. `on_cell` is called
    with the index of each cell that begins, `tick` every second.

    Returns
    -------
    dict
        seconds, peak_memory_mb (of the kernel's process; None where the system does not tell), error (None
        or one line).
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = nbclient.NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        timeout=None,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        allow_error_names=["ClaimError"],
    )
    client.km = _this_python(client.create_kernel_manager())
    started = time.perf_counter()
    outcome = asyncio.run(_run(client, env, on_cell, tick))
    return {"seconds": round(time.perf_counter() - started, 1)} | outcome


def _this_python(manager):
    """Start the kernel of the running interpreter, whatever is registered on the machine as python3."""
    spec, ours = manager.kernel_spec, get_kernel_dict()
    spec.argv, spec.env, spec.metadata = ours["argv"], {}, ours.get("metadata", {})
    if manager.has_trait("transport_encryption"):
        manager.transport_encryption = "auto"  # else a kernel on TCP warns
    return manager


async def _run(client: nbclient.NotebookClient, env: dict[str, str], on_cell, tick) -> dict:
    km, error, peak = client.km, None, None
    clock = asyncio.create_task(_every_second(tick))
    try:
        await client.async_start_new_kernel(env=env)
        await client.async_start_new_kernel_client()
        for index in code_cells(client.nb):
            on_cell(index)
            await client.async_execute_cell(client.nb.cells[index], index)
    except nbclient.exceptions.CellExecutionError as raised:
        error = f"{raised.ename}: {raised.evalue}".splitlines()[0]
    except Exception as raised:  # a kernel that dies must not take the other notebooks' results with it
        error = f"{type(raised).__name__}: {raised}".splitlines()[0]
    finally:
        clock.cancel()
        interrupted = asyncio.current_task().cancelling() > 0
        peak = _peak_memory_mb(getattr(km.provisioner, "pid", None))
        if km.has_kernel:
            if interrupted:
                km.shutdown_wait_time = 1.0
                await km.interrupt_kernel()
                await asyncio.sleep(0.5)  # time to close what it has open
            await km.shutdown_kernel()
        if client.kc is not None:
            client.kc.stop_channels()
    if interrupted:  # nbclient takes a cancelled cell for a dead kernel
        raise asyncio.CancelledError
    return {"peak_memory_mb": peak, "error": error}


async def _every_second(tick: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(1.0)
        tick()


def _peak_memory_mb(pid: int | None) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024)
    except (OSError, IndexError):  # not Linux, or the kernel has gone
        return None
