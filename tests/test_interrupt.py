"""Ctrl-C in calls of the main thread whose kernels look at no signals."""

import hashlib
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import xarray as xr

import mcfpaper as mcf
from mcfpaper.solvers import mincut

COORDS = mcf.grid(8)
RHO = mcf.densities.uniform(COORDS)
U = xr.DataArray(0.5 - np.hypot(*np.meshgrid(COORDS["y"], COORDS["x"])), COORDS, ("y", "x"))
CALLS = {
    "robust_classifier": lambda: mcf.robust_classifier(RHO, 0.3),
    "step": lambda: mcf.step(U, RHO, 0.3, method="exact"),
    "proximal": lambda: mcf.proximal(U, RHO, 0.3, method="exact"),
}


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="sends a signal to a thread")
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_does_not_wait_for_a_minimum_cut(monkeypatch, name):
    ended, main = threading.Event(), threading.main_thread().ident

    def cut(*args, **options):
        threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT)).start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**6)  # most of a second in C
        ended.set()
        raise ValueError("nobody hears of this any more")

    monkeypatch.setattr(mincut, "solve", cut)
    monkeypatch.setattr(mincut, "proximal", cut)
    with pytest.raises(KeyboardInterrupt):
        CALLS[name]()
    assert not ended.is_set()
    assert ended.wait(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_gets_threads_of_its_own():
    code = "import os; from mcfpaper import _interrupt; pool, child = _interrupt._pool(), os.fork()\n"
    code += "if child == 0: os._exit(_interrupt._pool() is pool or _interrupt._pool().apply(abs, (-1,)) != 1)\n"
    code += "assert os.waitpid(child, 0)[1] == 0"
    subprocess.run([sys.executable, "-c", code], check=True)
