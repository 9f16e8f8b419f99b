"""Whether to show progress."""

import sys


def wanted(progress: bool | None) -> bool:
    """The caller's choice; None: where a terminal or a notebook shows it."""
    return (sys.stderr.isatty() or _in_notebook()) if progress is None else progress


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    return kernel is not None and kernel.IPKernelApp.initialized()
