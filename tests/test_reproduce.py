"""The main job on tiny notebooks: what is kept when one fails, is interrupted, or renewed in place."""

import json
import os
import signal
import subprocess
import sys
import time

import checkouts
import nbformat
import pytest

from mcfpaper import _workspace, ledger
from mcfpaper.__main__ import main
from mcfpaper.reproduce import _start_trajectories, select

GOOD = ("01_good", checkouts.opening("01_good"), "print(claims.scale)", checkouts.claim("T1", "It is small", 0.5))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    checkouts.make(tmp_path, monkeypatch)
    checkouts.write_notebook(tmp_path, *GOOD)
    return tmp_path


def outputs(path):
    return [o for cell in nbformat.read(path, 4).cells if cell.cell_type == "code" for o in cell.outputs]


def out_of_step(root):
    """Notebooks whose committed records are not those of their committed code and outputs."""
    notebooks = {path.stem: nbformat.read(path, 4) for path in (root / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    runs = {run["notebook"]: run["claims"] for run in ledger.load(root / "data" / "claims.json")}
    wrong = set(notebooks) ^ set(runs)
    for name in set(notebooks) & set(runs):
        cells = [c for c in notebooks[name].cells if c.cell_type == "code"]
        printed = {line for c in cells for o in c.outputs for line in o.get("text", "").splitlines()}
        code = _workspace.code_hash(notebooks[name])
        if any(c["code"] != code or ledger.line(c) not in printed for c in runs[name]):
            wrong.add(name)
    return wrong


def test_the_committed_records_are_those_of_the_committed_notebooks(repository):
    assert out_of_step(repository) == set(), "renew them: mcfpaper reproduce --inplace"


def test_notebooks_are_named_by_number_file_name_or_path(checkout):
    other = checkouts.write_notebook(checkout, "02_two", "1")
    checkouts.write_notebook(checkout, "scratch", "1")
    names = [path.stem for path in select()]
    assert names == ["01_good", "02_two"]
    for name in ("2", "02", "02_two", "02_two.ipynb", "notebooks/02_two.ipynb", str(other)):
        assert select([name]) == [other]
    assert [path.stem for path in select(["02", "01"])] == names
    with pytest.raises(ValueError, match="'3'"):
        select(["1", "3"])


def test_a_failing_notebook_is_named_and_leaves_the_others_intact(checkout, capfd):
    checkouts.write_notebook(
        checkout,
        "02_fails",
        checkouts.opening("02_fails"),
        checkouts.claim("T2", "It is large", 3.0),
        checkouts.claim("T2", "It goes on", 0.5),
    )
    raising = "raise KeyError('no such thing')"
    checkouts.write_notebook(
        checkout, "03_raises", checkouts.opening("03_raises"), "claims.store('a').mkdir()", raising, "print(1)"
    )
    checkouts.write_notebook(checkout, "04_dies", "import os; os._exit(1)")
    assert main(["reproduce"]) == 1
    printed = capfd.readouterr().out
    assert "03_raises raised: KeyError: 'no such thing'" in printed
    assert "04_dies raised: DeadKernelError" in printed
    assert "2 of 3 claims hold; 1 fail; 2 new, not committed yet" in printed
    good, fails, raises = (checkouts.run_of(checkout, n) for n in ("01_good", "02_fails", "03_raises"))
    assert good["error"] is None
    assert good["seconds"] > 0
    assert good["claims"][0]["holds"]
    assert [c["holds"] for c in fails["claims"]] == [False, True]
    assert raises["claims"] == []
    runs = checkout / "data/runs/quick"
    assert outputs(runs / "notebooks/01_good.ipynb")[1].text.startswith("T1 holds: It is small: measured 0.5")
    assert outputs(runs / "notebooks/03_raises.ipynb")[-1].ename == "KeyError"
    assert not outputs(checkout / "notebooks/01_good.ipynb")
    assert (runs / "trajectories/03_raises/unfinished").is_file()
    assert not (runs / "trajectories/01_good/unfinished").exists()
    if sys.platform == "linux":
        assert 10 < good["peak_memory_mb"] < 1500


def test_inplace_renews_notebook_and_records_and_twice_changes_nothing(checkout):
    index = checkouts.write_notebook(
        checkout, "00_index", "from mcfpaper import ledger", "print(len(ledger.records()), 'claims')"
    )
    gone = {"notebook": "09_gone", "claims": [], "seconds": 1, "peak_memory_mb": 1, "error": None}
    (checkout / "data/claims.json").write_text(json.dumps({"notebooks": [gone]}))
    assert main(["reproduce", "--inplace"]) == 0
    text = select(["1"])[0].read_text()
    assert outputs(select(["1"])[0])[0].text == "quick\n"
    assert outputs(index)[0].text == "1 claims\n"  # it ran last
    counts = [c.execution_count for c in nbformat.read(select(["1"])[0], 4).cells if c.cell_type == "code"]
    assert counts == [1, 2, 3]
    assert list(ledger.notebooks()["notebook"]) == ["00_index", "01_good"]
    (claim,) = ledger.load()[1]["claims"]
    assert "plot" not in claim
    assert main(["reproduce", "1", "--inplace"]) == 0
    assert select(["1"])[0].read_text() == text
    assert ledger.load()[1]["claims"] == [claim]
    assert out_of_step(checkout) == set()
    index.unlink()
    checkouts.write_notebook(checkout, *GOOD, "1 + 1")
    assert out_of_step(checkout) == {"00_index", "01_good"}


def test_inplace_leaves_a_notebook_whose_claim_fails(checkout):
    path = checkouts.write_notebook(
        checkout, "01_good", checkouts.opening("01_good"), checkouts.claim("T1", "It is small", 2.0)
    )
    before = path.read_text()
    assert main(["reproduce", "01", "--inplace"]) == 1
    assert path.read_text() == before
    assert ledger.load() == []


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_leaves_finished_notebooks_finished(tmp_path, monkeypatch):
    checkout = checkouts.make(tmp_path, monkeypatch)
    checkouts.write_notebook(checkout, "01_quick", "print(1)")
    slow = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(120)"
    checkouts.write_notebook(checkout, "02_slow", slow)
    old = checkout / "data/runs/quick/records/02_slow.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    stored = checkout / "data/runs/quick/trajectories/02_slow"
    stored.mkdir(parents=True)
    (stored / "old").touch()
    running = subprocess.Popen([sys.executable, "-m", "mcfpaper", "reproduce"], stderr=subprocess.PIPE, text=True)
    try:
        pid_file = checkout / "notebooks/pid"
        wait_until(lambda: running.poll() is not None or (pid_file.is_file() and pid_file.read_text()))
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130, told
    assert "Interrupted. Finished and kept: 01_quick. Left: 02_slow" in told
    wait_until(lambda: not alive(int(pid_file.read_text())))
    assert checkouts.run_of(checkout, "01_quick")["error"] is None
    assert old.read_text() == "{}"
    assert [path.name for path in (checkout / "data/runs/quick/notebooks").iterdir()] == ["01_quick.ipynb"]
    assert [path.name for path in stored.iterdir()] == ["unfinished"]


def test_trajectories_start_anew_unless_the_last_run_did_not_finish(checkout):
    marker = _start_trajectories("01_good", "quick")
    (marker.parent / "half").touch()
    assert (_start_trajectories("01_good", "quick").parent / "half").exists()
    marker.unlink()
    assert not (_start_trajectories("01_good", "quick").parent / "half").exists()


def wait_until(happened, seconds=60):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
